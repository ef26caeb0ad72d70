/* A slice's columns of weights and inputs, packed for the products into panels of PANEL columns, stored row after
 * row, so that a product reads memory sequentially. */
#ifndef LX_LAYER_PACK_H
#define LX_LAYER_PACK_H

#include "vectors.h"

static void pack_weights(const void *call, ptrdiff_t tile)
{
    const lx_wave *wave = call;
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = classes_of(wave, tile), first = first_class_of(wave, tile), width = wave->columns;
    real *out = (real *)layer->packed_weights + tile * layer->tile * layer->stride;
    for (ptrdiff_t s = 0; s < n; s++) {
        const real *row = weights_of(layer, first + s) + wave->first_column;
        if (layer->class_row && s + 8 < n)
            prefetch_row(weights_of(layer, first + s + 8) + wave->first_column, width);
        for (ptrdiff_t k = 0; k < width; k += PANEL) {
            real *to = out + k * n + s * PANEL;
            v_store(to, load_some(row + k, width - k));
            v_store(to + LANES, load_some(row + k + LANES, width - k - LANES));
        }
    }
}

static void pack_rows(const void *call, ptrdiff_t block)
{
    const lx_wave *wave = call;
    const lx_layer *layer = wave->layer;
    const ptrdiff_t first = first_row_of(wave, block), n = rows_of(wave, block), width = wave->columns;
    const real *inputs = (const real *)layer->inputs + wave->first_column;
    const real *factor = (const real *)layer->row_factor + first;
    real *out = (real *)layer->packed_inputs + block * BLOCK * layer->stride;
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t k = 0; k < width; k += PANEL)
            for (ptrdiff_t lane = k; lane < k + PANEL; lane += LANES) {
                const vec x = load_some(inputs + (first + i) * layer->dim + lane, width - lane);
                v_store(out + k * n + i * PANEL + lane - k, normal_or_zero(v_set(factor[i]) * x));
            }
}

static void pack_columns(const void *call, ptrdiff_t block)
{
    const lx_wave *wave = call;
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = rows_of(wave, block), dim = layer->dim, width = wave->columns;
    const real *inputs = (const real *)layer->inputs + first_row_of(wave, block) * dim + wave->first_column;
    real *out = (real *)layer->columns + block * BLOCK * width;
    for (ptrdiff_t first = 0; first < n; first += PANEL, inputs += PANEL * dim) {
        const ptrdiff_t rows = smaller(PANEL, n - first);
        enum { RUN = 16 }; /* columns at a time: what a row's cache line holds is used while it is there */
        for (ptrdiff_t begin = 0; begin < width; begin += RUN) {
            const ptrdiff_t end = smaller(begin + RUN, width);
            for (ptrdiff_t i = 0; i < rows; i++)
                for (ptrdiff_t k = begin; k < end; k++)
                    out[k * PANEL + i] = inputs[i * dim + k];
            for (ptrdiff_t k = begin; rows < PANEL && k < end; k++)
                memset(out + k * PANEL + rows, 0, (size_t)(PANEL - rows) * sizeof(real));
        }
        out += width * PANEL;
    }
}

#endif
