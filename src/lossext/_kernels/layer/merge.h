/* Gradients of the affected rows, merged from those of labels and classes. */
#ifndef LX_LAYER_MERGE_H
#define LX_LAYER_MERGE_H

#include "vectors.h"

/* The row of inputs that label j belongs to: start[i] <= j < start[i + 1]. */
INLINE ptrdiff_t row_of_label(const lx_layer *layer, int64_t j)
{
    const int64_t *start = layer->labels.start;
    if (start[layer->rows] == layer->rows && start[j] == j && start[j + 1] == j + 1)
        return (ptrdiff_t)j; /* one label a row */
    int64_t low = 0, high = layer->rows;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (start[middle] <= j)
            low = middle;
        else
            high = middle;
    }
    return (ptrdiff_t)low;
}

static void merge(const void *call, ptrdiff_t unit)
{
    const lx_layer *layer = ((const lx_wave *)call)->layer;
    const lx_groups *groups = &layer->groups;
    const ptrdiff_t dim = layer->dim;
    const real *inputs = layer->inputs, *slope = layer->labels.grad;
    const real *grad_classes = layer->grad_classes, *grad_bias = layer->grad_bias;
    for (ptrdiff_t u = unit * LX_MERGE_UNIT; u < smaller((unit + 1) * LX_MERGE_UNIT, groups->count); u++) {
        const ptrdiff_t row = groups->class_first ? u : (ptrdiff_t)groups->row[u];
        real *out = (real *)groups->weights + row * dim, *out_bias = (real *)groups->biases + row;
        int add = groups->class_first == NULL;
        double bias = add ? *out_bias : 0;
        for (int64_t p = groups->label_first[u]; p < groups->label_first[u + 1]; p++, add = 1) {
            const int64_t j = groups->label[p];
            add_scaled(out, inputs + row_of_label(layer, j) * dim, slope[j], dim, add);
            bias += slope[j];
        }
        for (int64_t p = groups->class_first ? groups->class_first[u] : 0;
             groups->class_first && p < groups->class_first[u + 1]; p++, add = 1) {
            const int64_t s = groups->class_[p];
            add_scaled(out, grad_classes + s * dim, 1, dim, add);
            bias += grad_bias[s];
        }
        *out_bias = (real)bias;
    }
}

#endif
