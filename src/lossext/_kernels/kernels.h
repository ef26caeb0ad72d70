/* What the Cython drivers ask of a block kernel.  Kernels are compiled once for each loss, type and instruction set
 * (see setup.py); dispatch.c picks one. */
#ifndef LX_KERNELS_H
#define LX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { LX_FLOAT32, LX_FLOAT64, LX_TYPES };
enum { LX_BASELINE, LX_AVX2, LX_AVX512, LX_LEVELS };

/* Elements that an elementwise loss works through at a time: they and what is made of them stay in the first-level
 * cache. */
enum { LX_CHUNK = 512 };

/* How an operand meets element (row, column) of the (rows, cols) input.  To an elementwise loss those by column and the
 * scalars come repeated, cols + LX_CHUNK (1 + LX_CHUNK) values long, so that a chunk that begins anywhere reads on
 * without a turn. */
enum { LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR };
typedef struct {
    const void *data;
    int layout;
} lx_operand;

enum { LX_REAL, LX_UINT8, LX_INT32, LX_INT64 }; /* what a target array holds; LX_REAL: the input's own type */

/* What becomes of the values: one number for all, one a row, one an element; or they are not asked for. */
enum { LX_NO_VALUE, LX_TOTAL, LX_ROWS, LX_ELEMENTS };

/* All arrays are C-contiguous, of the kernel's type, and (rows, cols) or what their layout says. */
typedef struct {
    ptrdiff_t rows, cols;
    const void *input;
    lx_operand target; /* full unless target_type is LX_REAL; class ids: one a row */
    int target_type;
    lx_operand weight, pos_weight;
    const void *sample_weight; /* one a row, or NULL */
    lx_operand grad_output;    /* besides grad_scale */
    double param;              /* margin */
    int power;                 /* p */
    double value_divisor, grad_scale;
    int reduce;
    void *value;      /* LX_ROWS, LX_ELEMENTS */
    void *grad;       /* or NULL */
    void *hess;       /* or NULL */
    int stream;       /* grad (and hess) are too large for the caches: write around them */
} lx_job;

/* Works on elements (rows for a rowwise loss) [first, last), adds its values to *total for LX_TOTAL.
 * True if a target lies outside the loss's domain: the results are then undefined. */
typedef int (*lx_block_kernel)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, double *total);

/* A loss's number, -1 if there is none of that name; and its kernel for a type, at the current level. */
int lx_find_loss(const char *name);
lx_block_kernel lx_kernel(int loss, int type);

int lx_level(void);
const char *lx_level_name(int level);
int lx_level_supported(int level); /* compiled in, and this CPU and its operating system have it */
void lx_set_level(int level);

#endif
