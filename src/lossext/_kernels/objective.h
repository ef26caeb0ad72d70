/* Derivatives for a boosting library: passes scores in the library's layout to the kernel of a loss and derivatives
 * back, a few rows at a time, so that intermediate results stay in the L1 cache. */
#ifndef LX_OBJECTIVE_H
#define LX_OBJECTIVE_H

#include "job.h"

/* An array of rows and columns; strides count items. */
typedef struct {
    void *data;
    int type; /* LX_REAL or LX_OTHER_REAL */
    ptrdiff_t row, column;
} lx_table;

/* What is used as the Hessian: the kernel's curvature; the loss's weight where the slope is not 0 (or everywhere, if
 * the loss is smooth); or the slope divided by the distance from the kink. */
enum { LX_CURVATURE, LX_CONSTANT, LX_CONSTANT_AT_SLOPES, LX_TO_THE_KINK };

typedef struct {
    lx_job job;            /* rows and columns of the library's scores, which share out the work; nothing else of it */
    lx_block_kernel kernel;
    const lx_job *loss;    /* of any rows: one of all columns for a row loss, else one for each column */
    const double *shift;   /* added to the scores of each column, or NULL */
    const double *constant; /* one a column, of LX_CONSTANT */
    lx_table raw, target, weight, grad, hess; /* weight.data may be NULL; grad and hess are of floats */
    int of_rows;           /* a row loss */
    int against_all;       /* targets are class ids, and each column has its class against all others */
    int rule;
    int kinked;            /* Hessians are limited once all are known, by LX_LIMIT */
    double factor, floor;  /* of Hessians */
    double least;          /* distance from the kink */
    double positive;       /* factor of both derivatives where the target is 1 */
    double *spread;        /* if kinked: sum and number of h^(-1/2) over the finite Hessians h > 0, and the greatest
                              h, without weights, for each block of `block` rows and each column of it */
    ptrdiff_t block;
    const float *limit;    /* of LX_LIMIT, one a column, in as many rows as make it `limits` long */
    ptrdiff_t limits;
} lx_objective;

/* Kernels, whose job is the first field of an lx_objective.  DERIVE: both derivatives, and the spread of Hessians.
 * LIMIT: the Hessians under their limits. */
enum { LX_DERIVE, LX_LIMIT, LX_OBJECTIVES };
lx_block_kernel lx_objective_kernel(int what, int type);

enum { LX_MOST_CLASSES = 256 }; /* of a row loss here */

#endif
