/* The interface between the Cython drivers and the vector functions. */
#ifndef LX_MATHS_H
#define LX_MATHS_H

#include <stddef.h>

/* Computes n numbers; `second` is read only by functions of two arguments, and may equal `first` otherwise. */
typedef struct {
    const char *name;
    int arguments;
    void (*run)(const void *first, const void *second, void *result, ptrdiff_t n);
} lx_vector_function;

/* All functions for a type, at the current level; the last one's name is NULL. */
const lx_vector_function *lx_vector_functions(int type);

#endif
