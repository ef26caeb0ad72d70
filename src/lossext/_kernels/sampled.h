/* Steps of the losses over a linear layer's logits at some of its classes (sampled softmax, NCE, softmax of the whole
 * layer, in-batch softmax):
 *
 *     z[i][s] = scale inputs[i] . weights[ids[s]] + bias[s],      s < classes,
 *     t[i][k] = scale inputs[i] . weights[labels[i][k]] + true_bias[i][k],      k < num_true.
 *
 * Nothing of size rows x all classes exists.  Rows are taken in blocks, classes in tiles, and the logits of a wave of
 * blocks and tiles live in `logits`.  Every step below does one unit (a block, a tile, one of each, ...) and units of
 * one step are independent, so threads share them out.  Each sum runs over fixed blocks or tiles in their order: its
 * bits depend neither on the wave nor on the threads. */
#ifndef LX_SAMPLED_H
#define LX_SAMPLED_H

#include "job.h"
#include "runtime.h"

enum {
    LX_ROW_BLOCK = 96,   /* a multiple of the micro-kernel's height and width on every instruction set */
    LX_CLASS_TILE = 192, /* at most; with a block of rows it fits the second cache */
    LX_MERGE_UNIT = 32   /* merged rows of a unit */
};

/* What becomes of a tile's logits z: exp(z - peak of the tile), exp(z - row_peak) row_factor, sigmoid(z) row_factor, z.
 * */
enum { LX_SOFTMAX, LX_NORMALIZED_SOFTMAX, LX_SIGMOID, LX_RAW };

typedef struct {
    ptrdiff_t rows, dim, classes, num_true;
    double scale;
    const void *inputs, *weights;   /* (rows, dim), (any, dim) */
    const int64_t *ids;             /* (classes,), or NULL: class s is row s of weights */
    const int64_t *labels;          /* (rows, num_true): rows of weights */
    const void *bias, *true_bias;   /* (classes,), (rows, num_true) */
    /* Classes that label j = i num_true + k forbids to row i: occurrences (see Merging) hits[hit_first[j]] ...
     * hits[hit_last[j] - 1]; without `hits` the classes hit_first[j] ... hit_last[j] - 1.  Without `hit_first`, none.
     * */
    const int64_t *hits, *hit_first, *hit_last;
    const void *upstream;           /* (rows,): what a row's gradient is multiplied by; NULL: no gradients are wanted */

    /* the wave */
    int mode;
    int first_wave, last_wave;      /* of classes, for the rows of this wave */
    int keep;                       /* all classes are in this wave, and gradients are wanted of it */
    int first_rows;                 /* first wave of rows for these classes */
    ptrdiff_t first_row, blocks;
    ptrdiff_t first_class, tiles, tile; /* tile: classes of each tile but the last */
    ptrdiff_t stride, panels;       /* of packed rows: reals, and vectors' columns in it; see the table below */

    /* of the wave; aligned to cache lines */
    void *packed_inputs;            /* (blocks LX_ROW_BLOCK, stride): scaled, zeros after dim */
    void *columns;                  /* the same by panels of rows: (blocks, panels of a block, dim, panel) */
    void *packed_weights;           /* (tiles tile, stride) */
    void *logits;                   /* (tiles, blocks, tile, LX_ROW_BLOCK) */
    void *peak, *sum;               /* (tiles, blocks LX_ROW_BLOCK): of each tile */

    /* of the call */
    void *truth;                    /* (rows, num_true): t */
    void *row_peak, *row_factor;    /* (rows,): largest logit yet; then what exp(z - peak) is multiplied by */
    double *row_sum;                /* (rows,): of exp(z - peak) over the classes, of softplus(z) for NCE */
    double *loss;                   /* (rows,) */
    void *grad_truth;               /* (rows, num_true) */
    void *grad_inputs;              /* (rows, dim) */
    void *grad_classes, *grad_bias; /* (classes, dim), (classes,) */

    /* Merging: occurrence j < rows num_true is label j, later ones are the classes.  Group u, of occurrences
     * order[start[u]] ... order[start[u + 1] - 1], goes to row u; or is added to row target[u] */
    ptrdiff_t groups;
    const int64_t *order, *start, *target;
    void *merged, *merged_bias;

    /* The largest logits of each row, descending; of equal ones the class that comes first. */
    ptrdiff_t k;
    void *top_values;               /* (rows, k) */
    int64_t *top_ids;
} lx_sampled;

/* What becomes of row indices[r] of param, for its gradient g = values[r]; indices are unique.
 * LX_ADD      param += rate g
 * LX_ADAGRAD  second += g^2;  param -= rate g / (sqrt(second) + epsilon)
 * LX_ADAM     first += (1 - decay1) (g - first);  second += (1 - decay2) (g^2 - second);
 *             param -= rate first / (sqrt(second) + epsilon) */
enum { LX_ADD, LX_ADAGRAD, LX_ADAM };
typedef struct {
    int rule;
    ptrdiff_t rows, length;
    const int64_t *indices;
    const void *values;
    void *param, *first, *second;
    double rate, decay1, decay2, epsilon;
} lx_row_update;

typedef struct {
    ptrdiff_t panel;                /* columns of the micro-kernel */
    /* of an lx_sampled */
    lx_step
        true_logits,                /* block of all rows */
        gather,                     /* tile: packs weights */
        pack,                       /* block: packs inputs */
        logits,                     /* tile * blocks + block: product, hits, then as `mode` says */
        rows,                       /* block: takes the tiles in; on the last wave of classes loss and gradient of t */
        products,                   /* tile * panels + panel: gradients of the classes; then block * panels + panel:
                                     * of the inputs */
        finish_inputs,              /* block of all rows: adds the labels' part, multiplies by scale */
        merge,                      /* LX_MERGE_UNIT groups */
        keep_largest;               /* block: takes the tiles in */
    lx_step update_rows;            /* LX_MERGE_UNIT rows of an lx_row_update */
} lx_sampled_steps;

const lx_sampled_steps *lx_sampled_kernels(int type); /* at the current level */

#endif
