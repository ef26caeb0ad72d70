/* Losses over a linear layer's logits at all or some of its classes (softmax, sampled softmax, NCE, BCE, in-batch
 * softmax), and the largest of the logits:
 *
 *     z[i][s] = scale inputs[i] . weights[class_row[s]] + bias[s],        s < classes,
 *     t[j]    = scale inputs[i] . weights[label.row[j]] + label.bias[j],  j a label of row i.
 *
 * Nothing of size rows x all classes exists.  Rows are taken in blocks, classes in tiles, columns of inputs and weights
 * in slices; the logits of a wave of blocks and tiles live in `logits`.  A step does one unit (a block, a tile, one of
 * each, ...), and units of one step are independent, so threads share them out.  Each sum runs over fixed blocks,
 * tiles and slices in their order: its bits depend neither on the wave nor on the threads. */
#ifndef LX_LAYER_H
#define LX_LAYER_H

#include "../job.h"
#include "../runtime.h"

enum {
    LX_ROW_BLOCK = 96,   /* a multiple of the micro-kernel's height and width on every instruction set */
    LX_CLASS_TILE = 192, /* at most; together with a block of rows it fits into the L2 cache */
    LX_SLICE = 2048,     /* columns, at most */
    LX_MERGE_UNIT = 32   /* merged rows of a unit */
};

/* How the logits z of a tile are transformed: exp(z - base of the tile), exp(z - row_base) row_rescale, sigmoid(z),
 * or not at all.  The slopes of the loss are these times row_factor, which is applied to the packed inputs of the
 * gradient products. */
enum { LX_SOFTMAX, LX_NORMALIZED_SOFTMAX, LX_SIGMOID, LX_RAW };

/* The rows' own classes.  With y = share, r = rest, Y = sum of a row's shares:
 * softmax   loss = sum_j y_j (log(sum_j exp(t_j) + sum_s exp(z_s)) - t_j)
 * sigmoid   loss = sum_j (y_j log(1 + exp(-t_j)) + r_j log(1 + exp(t_j))) + sum_s log(1 + exp(z_s)) */
typedef struct {
    const int64_t *start;  /* (rows + 1,): row i has the labels start[i] ... start[i + 1] - 1 */
    const int64_t *row;    /* row of weights, one per label */
    const void *bias, *share, *rest;
    void *logit, *grad;
} lx_labels;

/* Classes that are left out of a row's z: those of the keys key[start[i]] ... key[start[i + 1] - 1].  Key g stands for
 * the classes order[first[g]] ... order[first[g + 1] - 1], which ascend; without `order` it is class g, and the keys of
 * a row ascend.  Without `start`, none. */
typedef struct {
    const int64_t *start, *key, *order, *first;
} lx_hits;

/* Rows of the layer that a call touches.  Group u, of labels label[label_first[u]] ... and of classes
 * class[class_first[u]] ..., sums up in row u of `weights` and `biases`.  Without `class_first` the classes' gradients
 * are in place already: the group's labels are added to row `row[u]`. */
typedef struct {
    ptrdiff_t count;
    const int64_t *row, *label, *label_first, *class_, *class_first;
    void *weights, *biases;
} lx_groups;

/* The largest logits of each row in descending order; among equal ones, the lowest class comes first. */
typedef struct {
    ptrdiff_t count;
    void *values;              /* (rows, count) */
    int64_t *ids;
} lx_top;

/* A part of the loss, mass (log of the sum of exponentials - x . row - bias): a mean over all classes' logits. */
typedef struct {
    double mass, bias;
    const void *row;           /* (dim,), NULL for none */
} lx_smoothing;

typedef struct {
    ptrdiff_t rows, dim, classes;
    double scale;
    const void *inputs, *weights; /* (rows, dim), (any, dim) */
    const int64_t *class_row;     /* (classes,): rows of weights; NULL: class s is row s */
    const void *bias;             /* (classes,) */
    const void *upstream;         /* (rows,): upstream gradient of each row, including the scale; NULL: no gradients */
    lx_labels labels;
    lx_hits hits;
    lx_groups groups;
    lx_top top;
    lx_smoothing smoothing;
    double *loss, *log_normalizer; /* (rows,); the latter may be NULL */
    void *grad_inputs;             /* (rows, dim) */
    void *grad_classes, *grad_bias; /* (classes, dim), (classes,) */

    /* work of the call */
    ptrdiff_t tile;                /* number of classes in each tile except the last */
    ptrdiff_t stride;              /* of packed rows, in reals: whole panels, zeros after a slice's columns */
    int unpacked;                  /* logits directly from inputs and weights, for few rows or classes */
    int direct;                    /* gradients too: what is kept of the logits becomes the slopes, labels' included */
    int one_tile;                  /* one tile holds all classes, and the logits of the labels are taken from it */
    void *row_label;               /* (rows,): largest logit of the labels */
    void *row_base, *row_factor;   /* (rows,): the reference of exponentials, and their factor */
    void *row_rescale;             /* (rows,): exp(row_base - largest logit), once that is known */
    double *row_sum;               /* (rows,): of exp(z - row_base), or of softplus(z), over the classes */

    /* work of a wave; aligned to cache lines */
    void *packed_inputs;           /* (blocks LX_ROW_BLOCK, stride): times row_factor */
    void *columns;                 /* inputs by panels of rows: (blocks, panels of a block, slice, panel) */
    void *packed_weights;          /* (tiles tile, stride) */
    void *logits;                  /* (tiles, blocks, tile, LX_ROW_BLOCK) */
    void *base, *sum;              /* (tiles, blocks LX_ROW_BLOCK): of each tile */
} lx_layer;

typedef struct {
    const lx_layer *layer;
    int mode;
    int first_of_rows, last_of_rows;       /* first, last wave of classes for these rows */
    int first_of_classes;                  /* first wave of rows for these classes */
    int keep;                              /* transformed logits are needed for gradients */
    ptrdiff_t first_row, blocks, first_class, tiles;
    ptrdiff_t first_column, columns, panels; /* the slice */
    ptrdiff_t group;                       /* panels of a unit of products */
} lx_wave;

/* Updates row indices[r] of param by its gradient g = values[r]; indices are unique.  Param's row is r where
 * `compact`.  A step of 0 / 0 changes nothing.  Without values g is a product of a sparse row and a dense matrix of
 * `length` columns, the sum of factors[e] dense[entries[e]] over start[r] <= e < start[r + 1], plus `penalty` param, at
 * the unique `columns` (length) of param's `stride` ones; NULL: all.
 * LX_ADD      param += rate g
 * LX_ADAGRAD  second += g^2;  param -= rate g / (sqrt(second) + epsilon)
 * LX_ADAM     first += (1 - decay1) (g - first);  second += (1 - decay2) (g^2 - second);
 *             param -= rate first / (sqrt(second) + epsilon)
 * LX_TAKE     values = param, at `columns`
 * LX_PRODUCT  values = g */
enum { LX_ADD, LX_ADAGRAD, LX_ADAM, LX_TAKE, LX_PRODUCT };
typedef struct {
    int rule, compact;
    ptrdiff_t rows, length, stride;
    const int64_t *indices, *columns, *start, *entries;
    const void *factors, *dense;
    void *values, *param, *first, *second;
    double penalty, rate, decay1, decay2, epsilon;
} lx_row_update;

typedef struct {
    ptrdiff_t panel, lanes;    /* columns of the micro-kernel, of a vector */
    /* of an lx_wave */
    lx_step
        label_logits,          /* block of all rows */
        pack_weights,          /* tile */
        pack_columns,          /* block: inputs as the logits want them */
        pack_rows,             /* block: inputs as the gradients want them */
        logits,                /* tile * blocks + block: product; after the last slice hits, then as `mode` says */
        take_tiles,            /* block: sums over tiles; on the rows' last wave loss and gradient of the labels */
        products,              /* groups of panels: block * groups + group: gradients of the inputs; then tile * groups
                                * + group: of the classes */
        finish_inputs,         /* block of all rows: adds the labels' part */
        merge,                 /* LX_MERGE_UNIT groups */
        keep_largest;          /* block: merges the tiles */
    lx_step update_rows;       /* LX_MERGE_UNIT rows of an lx_row_update */
} lx_layer_steps;

const lx_layer_steps *lx_layer_kernels(int type); /* at the current level */

#endif
