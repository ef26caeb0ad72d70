/* Gradients of classes, their biases, and inputs, out of what became of the logits, p[s][i]: p row_factor are the
 * slopes of the loss. */
#ifndef LX_LAYER_GRADIENTS_H
#define LX_LAYER_GRADIENTS_H

#include "products.h"

/* grad_classes[s] = sum_i p[s][i] row_factor[i] inputs[i] in panels [first, last) of columns,
 * grad_bias[s] = sum_i p[s][i] row_factor[i].
 * What the product reads of p is used for all panels while it is in the second cache. */
static void class_products(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t first, ptrdiff_t last)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = classes_of(wave, tile), dim = layer->dim;
    product p = {.height = n, .a_row = BLOCK, .b_row = layer->stride, .c_row = dim};
    real *grad = (real *)layer->grad_classes + first_class_of(wave, tile) * dim + wave->first_column;
    real *grad_bias = (real *)layer->grad_bias + first_class_of(wave, tile);
    for (ptrdiff_t block = 0; block < wave->blocks; block++) {
        p.depth = rows_of(wave, block);
        p.a = logits_of(wave, tile, block);
        const real *factor = (const real *)layer->row_factor + first_row_of(wave, block);
        p.add = !wave->first_of_classes || block > 0;
        const real *next = block + 1 < wave->blocks ? logits_of(wave, tile, block + 1)
                                                    : logits_of(wave, after(tile, wave->tiles), 0);
        for (ptrdiff_t column = first * PANEL; column < smaller(last * PANEL, wave->columns); column += PANEL) {
            p.width = smaller(PANEL, wave->columns - column);
            p.b = (const real *)layer->packed_inputs + block * BLOCK * layer->stride + column;
            p.c = grad + column;
            p.ahead = (const char *)(column > first * PANEL ? p.a : next);
            rows_product(&p);
        }
        for (ptrdiff_t s = 0; first == 0 && wave->first_column == 0 && s < n; s++) {
            vec sum = v_zero();
            for (ptrdiff_t i = 0; i < p.depth; i += LANES) {
                const ptrdiff_t count = smaller(LANES, p.depth - i);
                sum = v_fma(v_load_count(p.a + s * BLOCK + i, count), v_load_count(factor + i, count), sum);
            }
            grad_bias[s] = (p.add ? grad_bias[s] : 0) + v_sum(sum);
        }
    }
}

/* grad_inputs[i] = sum_s p[s][i] weights[s] in panels [first, last) of columns; finish_inputs does the rest */
static void input_products(const lx_wave *wave, ptrdiff_t block, ptrdiff_t first, ptrdiff_t last)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = rows_of(wave, block), dim = layer->dim, end = smaller(last * PANEL, wave->columns);
    product p = {.height = n, .a_step = BLOCK, .b_row = layer->stride, .c_row = dim};
    real *grad = (real *)layer->grad_inputs + first_row_of(wave, block) * dim + wave->first_column;
    for (ptrdiff_t i = 0; layer->classes == 0 && i < n && first * PANEL < end; i++)
        memset(grad + i * dim + first * PANEL, 0, (size_t)(end - first * PANEL) * sizeof(real));
    for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
        p.depth = classes_of(wave, tile);
        p.a = logits_of(wave, tile, block);
        p.add = !wave->first_of_rows || tile > 0;
        for (ptrdiff_t column = first * PANEL; column < end; column += PANEL) {
            p.width = smaller(PANEL, wave->columns - column);
            p.b = packed_weights_of(wave, tile) + column;
            p.c = grad + column;
            /* first the next tile's logits, then its weights */
            const ptrdiff_t panel = column / PANEL - first, next = after(tile, wave->tiles);
            p.ahead = panel == 0 ? (const char *)logits_of(wave, next, block)
                                 : (const char *)(packed_weights_of(wave, next) + (panel - 1) * p.depth * BLOCK);
            columns_product(&p);
        }
    }
}

/* Blocks come first: they are the larger units. */
static void products(const void *call, ptrdiff_t unit)
{
    const lx_wave *wave = call;
    const ptrdiff_t groups = (wave->panels + wave->group - 1) / wave->group, number = unit / groups;
    const ptrdiff_t first = unit % groups * wave->group, last = smaller(first + wave->group, wave->panels);
    if (number < wave->blocks)
        input_products(wave, number, first, last);
    else
        class_products(wave, number - wave->blocks, first, last);
}

static void finish_inputs(const void *call, ptrdiff_t block)
{
    const lx_layer *layer = ((const lx_wave *)call)->layer;
    const lx_labels *labels = &layer->labels;
    const real *weights = layer->weights, *upstream = layer->upstream, *slope = labels->grad;
    const real *smooth = layer->smoothing.row;
    const ptrdiff_t dim = layer->dim, first = block * BLOCK, end = smaller(first + BLOCK, layer->rows);
    enum { RUN = 4096 / (int)sizeof(real) }; /* columns that stay in the first cache */
    for (ptrdiff_t i = first; i < end; i++)
        for (ptrdiff_t k = 0; k < dim; k += RUN) {
            const ptrdiff_t n = smaller(RUN, dim - k);
            real *grad = (real *)layer->grad_inputs + i * dim + k;
            add_scaled(grad, grad, ((const real *)layer->row_factor)[i], n, 0);
            for (int64_t j = labels->start[i]; j < labels->start[i + 1]; j++) {
                if (k == 0 && j + 8 < labels->start[end])
                    prefetch_row(weights + labels->row[j + 8] * dim, dim);
                add_scaled(grad, weights + labels->row[j] * dim + k, slope[j], n, 1);
            }
            if (smooth)
                add_scaled(grad, smooth + k, (real)-layer->smoothing.mass * upstream[i], n, 1);
        }
}

#endif
