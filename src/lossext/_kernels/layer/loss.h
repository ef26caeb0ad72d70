/* The loss of each row and the gradients of its labels' logits, after all classes have been processed. */
#ifndef LX_LAYER_LOSS_H
#define LX_LAYER_LOSS_H

#include "logits.h"

/* `others` is the sum of exp(z), relative to exp(top).  If the logit of a single label is the largest, the loss is
 * computed by log1p from the other exponentials, and its gradient as minus their probability, so that neither loses
 * digits near zero. */
INLINE void finish_softmax(const lx_layer *layer, ptrdiff_t i)
{
    const lx_labels *labels = &layer->labels;
    const ptrdiff_t first = (ptrdiff_t)labels->start[i], n = (ptrdiff_t)labels->start[i + 1] - first;
    const real *t = (const real *)labels->logit + first, *share = (const real *)labels->share + first;
    double e = 1; /* of the last label */
    const double base = ((const real *)layer->row_base)[i], smooth = layer->smoothing.row ? layer->smoothing.mass : 0;
    double top = base, true_sum = 0, distance = 0, mass = 0;
    for (ptrdiff_t k = 0; k < n; k++)
        if (t[k] > top)
            top = t[k];
    for (ptrdiff_t k = 0; k < n; k++) {
        e = t[k] == top ? 1 : exp(t[k] - top);
        true_sum += e;
        distance += t[k] == top || share[k] == 0 ? 0 : share[k] * (top - t[k]);
        mass += share[k];
    }
    const double rescale = base == top ? 1 : exp(base - top), others = layer->row_sum[i] * rescale;
    const double total = others + true_sum;
    const double log_total = n == 1 && t[0] == top ? log1p(others) : log(total);
    double loss = mass == 0 ? distance : distance + mass * log_total;
    if (smooth) {
        const real *x = (const real *)layer->inputs + i * layer->dim;
        const double mean = layer->scale * dot(x, layer->smoothing.row, layer->dim) + layer->smoothing.bias;
        loss += smooth * (top - mean + log_total);
    }
    layer->loss[i] = loss;
    if (layer->log_normalizer)
        layer->log_normalizer[i] = top + log_total;
    if (!layer->upstream)
        return;
    const double upstream = ((const real *)layer->upstream)[i], factor = upstream / total;
    ((real *)layer->row_factor)[i] = mass + smooth == 0 ? 0 : (real)((mass + smooth) * factor);
    ((real *)layer->row_rescale)[i] = (real)rescale;
    for (ptrdiff_t k = 0; k < n; k++) {
        if (n > 1)
            e = t[k] == top ? 1 : exp(t[k] - top);
        const double slope = n == 1 ? smooth * e - share[k] * others : (mass + smooth) * e - share[k] * total;
        ((real *)labels->grad)[first + k] = (real)(slope * factor);
    }
}

/* share softplus(-t) + rest softplus(t); a factor of 0 times an infinite softplus is 0 */
INLINE void finish_sigmoid(const lx_layer *layer, ptrdiff_t i)
{
    const lx_labels *labels = &layer->labels;
    double loss = layer->row_sum[i];
    for (int64_t j = labels->start[i]; j < labels->start[i + 1]; j++) {
        const double t = ((const real *)labels->logit)[j], e = exp(-fabs(t)), l = log1p(e);
        const double share = ((const real *)labels->share)[j], rest = ((const real *)labels->rest)[j];
        loss += (share == 0 ? 0 : share * (t > 0 ? l : l - t)) + (rest == 0 ? 0 : rest * (t > 0 ? t + l : l));
        if (layer->upstream) {
            const double slope = (rest * (t > 0 ? 1 : e) - share * (t > 0 ? e : 1)) / (1 + e);
            ((real *)labels->grad)[j] = (real)(slope * ((const real *)layer->upstream)[i]);
        }
    }
    layer->loss[i] = loss;
}

/* Replaces the bases of tiles by the factors of their sums and exponentials. */
INLINE void rescale_tiles(const lx_wave *wave, ptrdiff_t block)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t first = first_row_of(wave, block), n = rows_of(wave, block);
    real *row_base = (real *)layer->row_base + first;
    ALIGNED real rescale[BLOCK];
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        vec old = v_load(row_base + i), base = old;
        for (ptrdiff_t tile = 0; tile < wave->tiles; tile++)
            base = v_max(base, v_load(by_tile(wave, layer->base, tile, block) + i));
        v_store(rescale + i, v_exp_negative(old - base));
        v_store(row_base + i, base);
        for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
            real *of_tile = by_tile(wave, layer->base, tile, block) + i;
            real *sum = by_tile(wave, layer->sum, tile, block) + i;
            const vec factor = v_exp_negative(v_load(of_tile) - base);
            v_store(of_tile, factor);
            v_store(sum, factor * v_load(sum));
        }
    }
    for (ptrdiff_t i = 0; i < n; i++)
        layer->row_sum[first + i] *= rescale[i];
}

static void take_tiles(const void *call, ptrdiff_t block)
{
    const lx_wave *wave = call;
    const lx_layer *layer = wave->layer;
    const ptrdiff_t first = first_row_of(wave, block), n = rows_of(wave, block);
    if (wave->mode == LX_SOFTMAX)
        rescale_tiles(wave, block);
    for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
        const real *sum = by_tile(wave, layer->sum, tile, block);
        for (ptrdiff_t i = 0; i < n; i++)
            layer->row_sum[first + i] += sum[i];
    }
    if (!wave->last_of_rows)
        return;
    for (ptrdiff_t i = first; i < first + n; i++)
        wave->mode == LX_SOFTMAX ? finish_softmax(layer, i) : finish_sigmoid(layer, i);

    if (!wave->keep || (wave->mode != LX_SOFTMAX && !layer->direct))
        return;
    const real *row_rescale = (const real *)layer->row_rescale + first;
    for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
        real *of_tile = by_tile(wave, layer->base, tile, block);
        real *p = logits_of(wave, tile, block);
        if (layer->direct) {
            for (ptrdiff_t i = 0; wave->mode == LX_SOFTMAX && i < n; i += LANES)
                v_store(of_tile + i, v_load(of_tile + i) * v_load(row_rescale + i));
            make_slopes(wave, tile, block, wave->mode == LX_SOFTMAX ? of_tile : NULL);
            continue;
        }
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            const vec factor = v_load(of_tile + i) * v_load(row_rescale + i);
            const mask other = v_not_equal(factor, v_set(1));
            if (!m_any(n - i < LANES ? m_and(other, m_first(n - i)) : other))
                continue; /* the row's base already */
            for (ptrdiff_t s = 0; s < classes_of(wave, tile); s++)
                v_store(p + s * BLOCK + i, weighty_or_zero(v_load(p + s * BLOCK + i) * factor));
        }
    }
}

#endif
