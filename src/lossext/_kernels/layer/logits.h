/* Logits of the labels; logits of a wave's tiles and their transformation. */
#ifndef LX_LAYER_LOGITS_H
#define LX_LAYER_LOGITS_H

#include "excluded.h"
#include "products.h"
#include "../simd/vmath.h"

/* How far the largest logit of a tile may be from a row's label for exponentials relative to the label: differences
 * are then rounded by no more than some ulp of 1. */
#define NEAR_BELOW 16
#define NEAR_ABOVE 8

static void label_logits(const void *call, ptrdiff_t block)
{
    const lx_layer *layer = ((const lx_wave *)call)->layer;
    const lx_labels *labels = &layer->labels;
    const real *inputs = layer->inputs, *weights = layer->weights, *bias = labels->bias, *upstream = layer->upstream;
    const ptrdiff_t dim = layer->dim, first = block * BLOCK, end = smaller(first + BLOCK, layer->rows);
    for (ptrdiff_t i = first; i < first + BLOCK; i++) {
        ((real *)layer->row_label)[i] = ((real *)layer->row_base)[i] = -REAL_MAX;
        ((real *)layer->row_rescale)[i] = 1;
        ((real *)layer->row_factor)[i] = upstream && i < end ? upstream[i] : 0;
        layer->row_sum[i] = 0;
    }
    if (!labels->start || layer->one_tile)
        return;
    for (ptrdiff_t i = first; i < end; i++)
        for (int64_t j = labels->start[i]; j < labels->start[i + 1]; j++) {
            if (j + 8 < labels->start[end])
                prefetch_row(weights + labels->row[j + 8] * dim, dim);
            const real t = (real)layer->scale * dot(inputs + i * dim, weights + labels->row[j] * dim, dim) + bias[j];
            ((real *)labels->logit)[j] = t;
            if (t > ((real *)layer->row_label)[i])
                ((real *)layer->row_label)[i] = t;
        }
}

/* As label_logits, from the products of the tile that holds all classes */
static void labels_of_tile(const lx_wave *wave, ptrdiff_t block)
{
    const lx_layer *layer = wave->layer;
    const lx_labels *labels = &layer->labels;
    const real *z = logits_of(wave, 0, block);
    const int64_t *start = labels->start + first_row_of(wave, block);
    real *most = (real *)layer->row_label + first_row_of(wave, block);
    for (ptrdiff_t i = 0; i < rows_of(wave, block); i++)
        for (int64_t j = start[i]; j < start[i + 1]; j++) {
            const real t = (real)layer->scale * z[labels->row[j] * BLOCK + i] + ((const real *)labels->bias)[j];
            ((real *)labels->logit)[j] = t;
            if (t > most[i])
                most[i] = t;
        }
}

/* z = scale z + bias, and exp(z - base) with its sum, for a column of vectors.  The base is the label's logit if the
 * largest logit of the column is close to it, so that most tiles of a row have the same base; otherwise it is the
 * largest logit. */
INLINE void softmax_column(real *z, const real *bias, vec scale, ptrdiff_t n, vec label, vec *base, vec *sum, int keep)
{
    vec peak = v_set(-REAL_MAX);
    for (ptrdiff_t s = 0; s < n; s++) {
        const vec a = v_fma(scale, v_load(z + s * BLOCK), v_set(bias[s]));
        v_store(z + s * BLOCK, a);
        peak = v_max(peak, a);
    }
    const vec ahead = peak - label;
    *base = v_select(m_and(v_ge(ahead, v_set(-NEAR_BELOW)), v_le(ahead, v_set(NEAR_ABOVE))), label, peak);
    for (ptrdiff_t s = 0; s < n; s++) {
        const vec e = v_exp_negative(v_load(z + s * BLOCK) - *base);
        if (keep)
            v_store(z + s * BLOCK, weighty_or_zero(e));
        *sum += e;
    }
}

/* softplus(z) = max(z, 0) + log1p(exp(-|z|)), summed, and sigmoid(z) */
INLINE void sigmoid_column(real *z, const real *bias, vec scale, ptrdiff_t n, vec *sum, int keep)
{
    const vec one = v_set(1);
    for (ptrdiff_t s = 0; s < n; s++) {
        const vec a = v_fma(scale, v_load(z + s * BLOCK), v_set(bias[s])), e = v_exp_negative(-v_abs(a));
        *sum += v_max(v_zero(), a) + v_log1p_unit(e);
        if (keep)
            v_store(z + s * BLOCK, weighty_or_zero(v_select(v_lt(a, v_zero()), e, one) / (one + e)));
    }
}

/* The slopes of the loss, in place of what was kept of a tile's logits: times row_factor and, where exponentials are
 * relative to the tile's base, times `rescale` (by row), with the labels'. */
static void make_slopes(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t block, const real *rescale)
{
    const lx_layer *layer = wave->layer;
    const lx_labels *labels = &layer->labels;
    const ptrdiff_t n = rows_of(wave, block), classes = classes_of(wave, tile);
    const int64_t first = first_class_of(wave, tile), *start = labels->start + first_row_of(wave, block);
    const real *factor = (const real *)layer->row_factor + first_row_of(wave, block);
    real *p = logits_of(wave, tile, block);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const vec by = v_load(factor + i), relative = rescale ? v_load(rescale + i) : v_set(1);
        for (ptrdiff_t s = 0; s < classes; s++) {
            const vec e = weighty_or_zero(v_load(p + s * BLOCK + i) * relative);
            v_store(p + s * BLOCK + i, normal_or_zero(e * by));
        }
    }
    for (ptrdiff_t i = 0; i < n; i++)
        for (int64_t j = start[i]; j < start[i + 1]; j++)
            if (labels->row[j] >= first && labels->row[j] < first + classes)
                p[(labels->row[j] - first) * BLOCK + i] += ((const real *)labels->grad)[j];
}

/* Of rows [begin, end) of a block */
static void finish_logits(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t block, ptrdiff_t begin, ptrdiff_t end)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = classes_of(wave, tile), first_row = first_row_of(wave, block);
    real *z = logits_of(wave, tile, block);
    const real *bias = (const real *)layer->bias + first_class_of(wave, tile);
    const vec scale = v_set((real)layer->scale);
    leave_out(wave, tile, block, begin, end);
    for (ptrdiff_t i = begin; i < end; i += LANES) {
        vec sum = v_zero(), base = v_load((const real *)layer->row_base + first_row + i);
        const vec label = v_load((const real *)layer->row_label + first_row + i);
        const vec rescale = v_load((const real *)layer->row_rescale + first_row + i);
        switch (wave->mode) {
        case LX_SOFTMAX:
            softmax_column(z + i, bias, scale, n, label, &base, &sum, wave->keep);
            v_store(by_tile(wave, layer->base, tile, block) + i, base);
            break;
        case LX_NORMALIZED_SOFTMAX:
            for (ptrdiff_t s = 0; s < n; s++) {
                const vec a = v_fma(scale, v_load(z + s * BLOCK + i), v_set(bias[s]));
                v_store(z + s * BLOCK + i, weighty_or_zero(v_exp_negative(a - base) * rescale));
            }
            break;
        case LX_SIGMOID:
            sigmoid_column(z + i, bias, scale, n, &sum, wave->keep);
            break;
        default:
            for (ptrdiff_t s = 0; s < n; s++)
                v_store(z + s * BLOCK + i, v_fma(scale, v_load(z + s * BLOCK + i), v_set(bias[s])));
        }
        v_store(by_tile(wave, layer->sum, tile, block) + i, sum);
    }
}

static void logits(const void *call, ptrdiff_t unit)
{
    const lx_wave *wave = call;
    const lx_layer *layer = wave->layer;
    const ptrdiff_t tile = unit / wave->blocks, block = unit % wave->blocks, width = wave->columns;
    const ptrdiff_t n = classes_of(wave, tile), rows = rows_of(wave, block);
    if (layer->unpacked) {
        unpacked_product(wave, tile, block, logits_of(wave, tile, block));
        if (layer->one_tile)
            labels_of_tile(wave, block);
        finish_logits(wave, tile, block, 0, rows);
        if (layer->direct && wave->mode == LX_NORMALIZED_SOFTMAX)
            make_slopes(wave, tile, block, NULL);
        return;
    }
    product p = {.height = n, .a_row = PANEL, .a_panel = n * PANEL, .b_row = PANEL, .c_row = BLOCK};
    p.ahead_step = HEIGHT * (ptrdiff_t)sizeof(real) * PANEL / BLOCK; /* the weights' next columns, in shares */
    for (ptrdiff_t k = 0; k == 0 || k < width; k += DEPTH)
        for (ptrdiff_t i = 0; i < rows; i += PANEL) {
            p.depth = smaller(DEPTH, width - k);
            p.width = rows - i > LANES ? PANEL : LANES;
            p.a = packed_weights_of(wave, tile) + k * n;
            p.b = (const real *)layer->columns + (block * BLOCK + i) * width + k * PANEL;
            p.c = logits_of(wave, tile, block) + i;
            p.add = wave->first_column > 0 || k > 0;
            p.ahead = (const char *)(p.a + n * DEPTH) + i / PANEL * (n / HEIGHT) * p.depth * p.ahead_step;
            rows_product(&p);
            if (k + p.depth == width && wave->first_column + width == layer->dim) /* while it is in the L1 cache */
                finish_logits(wave, tile, block, i, smaller(i + PANEL, rows));
        }
}

#endif
