/* Gradients of classes, their biases, and inputs, out of what became of the logits: p[s][i], the slopes of the loss. */
#ifndef LX_LAYER_GRADIENTS_H
#define LX_LAYER_GRADIENTS_H

#include "products.h"

/* grad_classes[s] = sum_i p[s][i] inputs[i],  grad_bias[s] = sum_i p[s][i] */
static void class_products(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t panel)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = classes_of(wave, tile), dim = layer->dim, first = first_class_of(wave, tile);
    product p = {.height = n, .a_row = BLOCK, .b_row = layer->stride, .c_row = dim};
    p.width = smaller(PANEL, wave->columns - panel * PANEL);
    p.c = (real *)layer->grad_classes + first * dim + wave->first_column + panel * PANEL;
    real *grad_bias = (real *)layer->grad_bias + first;
    for (ptrdiff_t block = 0; block < wave->blocks; block++) {
        p.depth = rows_of(wave, block);
        p.a = logits_of(wave, tile, block);
        p.b = (const real *)layer->packed_inputs + block * BLOCK * layer->stride + panel * PANEL;
        p.add = !wave->first_of_classes || block > 0;
        rows_product(&p);
        for (ptrdiff_t s = 0; panel == 0 && wave->first_column == 0 && s < n; s++) {
            vec sum = v_zero();
            for (ptrdiff_t i = 0; i < p.depth; i += LANES)
                sum += v_load_count(p.a + s * BLOCK + i, smaller(LANES, p.depth - i));
            grad_bias[s] = (p.add ? grad_bias[s] : 0) + v_sum(sum);
        }
    }
}

/* grad_inputs[i] = sum_s p[s][i] weights[s] */
static void input_products(const lx_wave *wave, ptrdiff_t block, ptrdiff_t panel)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = rows_of(wave, block), dim = layer->dim;
    product p = {.height = n, .a_step = BLOCK, .b_row = layer->stride, .c_row = dim};
    p.width = smaller(PANEL, wave->columns - panel * PANEL);
    p.c = (real *)layer->grad_inputs + first_row_of(wave, block) * dim + wave->first_column + panel * PANEL;
    for (ptrdiff_t i = 0; layer->classes == 0 && i < n; i++)
        memset(p.c + i * dim, 0, (size_t)p.width * sizeof(real));
    for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
        p.depth = classes_of(wave, tile);
        p.a = logits_of(wave, tile, block);
        p.b = (const real *)layer->packed_weights + tile * layer->tile * layer->stride + panel * PANEL;
        p.add = !wave->first_of_rows || tile > 0;
        columns_product(&p);
    }
}

static void products(const void *call, ptrdiff_t unit)
{
    const lx_wave *wave = call;
    const ptrdiff_t number = unit / wave->panels, panel = unit % wave->panels;
    if (number < wave->tiles)
        class_products(wave, number, panel);
    else
        input_products(wave, number - wave->tiles, panel);
}

static void finish_inputs(const void *call, ptrdiff_t block)
{
    const lx_layer *layer = ((const lx_wave *)call)->layer;
    const lx_labels *labels = &layer->labels;
    const real *weights = layer->weights, *upstream = layer->upstream, *slope = labels->grad;
    const ptrdiff_t dim = layer->dim, first = block * BLOCK, end = smaller(first + BLOCK, layer->rows);
    for (ptrdiff_t i = first; i < end; i++) {
        real *grad = (real *)layer->grad_inputs + i * dim;
        for (int64_t j = labels->start[i]; j < labels->start[i + 1]; j++) {
            if (j + 8 < labels->start[end])
                prefetch_row(weights + labels->row[j + 8] * dim, dim);
            add_scaled(grad, weights + labels->row[j] * dim, slope[j], dim, 1);
        }
        if (layer->smoothing.row)
            add_scaled(grad, layer->smoothing.row, (real)-layer->smoothing.mass * upstream[i], dim, 1);
    }
}

#endif
