/* Gradients of classes, their biases, and inputs, out of what became of the logits, p[s][i]: p row_factor are the
 * slopes of the loss; p alone where gradients are direct. */
#ifndef LX_LAYER_GRADIENTS_H
#define LX_LAYER_GRADIENTS_H

#include "products.h"

enum { AHEAD_STEP = HEIGHT * sizeof(real) < 64 ? HEIGHT * sizeof(real) : 64 };

/* The panel of b that begins at `rows`, in place; copied if it is used more than once, since rows that are a power of
 * two apart drive each other out of the caches, and at the end of the rows, where vectors would read beyond. */
INLINE void in_place(product *p, const real *rows, ptrdiff_t dim, real *copy)
{
    if (p->width == PANEL && p->height <= HEIGHT) {
        p->b = rows;
        p->b_row = dim;
        p->ahead = (const char *)(rows + PANEL);
        p->ahead_step = dim * (ptrdiff_t)sizeof(real);
        return;
    }
    p->b = copy;
    p->b_row = PANEL;
    p->ahead_step = 0;
    for (ptrdiff_t k = 0; k < p->depth; k++)
        for (ptrdiff_t lane = 0; lane < PANEL; lane += LANES) {
            PREFETCH(rows + smaller(k + 8, p->depth - 1) * dim + lane);
            v_store(copy + k * PANEL + lane, load_some(rows + k * dim + lane, p->width - lane));
        }
}

/* grad_classes[s] = sum_i p[s][i] row_factor[i] inputs[i] in panels [first, last) of columns,
 * grad_bias[s] = sum_i p[s][i] row_factor[i].
 * What the product reads of p is used for all panels while it is in the second cache. */
static void class_products(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t first, ptrdiff_t last)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = classes_of(wave, tile), dim = layer->dim;
    product p = {.height = n, .a_row = BLOCK, .a_panel = PANEL, .b_row = PANEL, .c_row = dim, .ahead_step = AHEAD_STEP};
    real *grad = (real *)layer->grad_classes + first_class_of(wave, tile) * dim + wave->first_column;
    real *grad_bias = (real *)layer->grad_bias + first_class_of(wave, tile);
    ALIGNED real copy[BLOCK * PANEL];
    for (ptrdiff_t block = 0; block < wave->blocks; block++) {
        p.depth = rows_of(wave, block);
        p.a = logits_of(wave, tile, block);
        const real *factor = (const real *)layer->row_factor + first_row_of(wave, block);
        p.add = !wave->first_of_classes || block > 0;
        const real *next = block + 1 < wave->blocks ? logits_of(wave, tile, block + 1)
                                                    : logits_of(wave, after(tile, wave->tiles), 0);
        for (ptrdiff_t column = first * PANEL; column < smaller(last * PANEL, wave->columns); column += PANEL) {
            p.width = smaller(PANEL, wave->columns - column);
            p.b = (const real *)layer->packed_inputs + block * BLOCK * layer->stride + column * p.depth;
            p.c = grad + column;
            p.ahead = (const char *)(column > first * PANEL ? p.b + p.depth * PANEL : next);
            if (layer->direct)
                in_place(&p, (const real *)layer->inputs + first_row_of(wave, block) * dim + column, dim, copy);
            rows_product(&p);
        }
        for (ptrdiff_t s = 0; first == 0 && wave->first_column == 0 && s < n; s++) {
            vec sum = v_zero();
            for (ptrdiff_t i = 0; i < p.depth; i += LANES) {
                const ptrdiff_t count = smaller(LANES, p.depth - i);
                const vec by = layer->direct ? v_set(1) : v_load_count(factor + i, count);
                sum = v_fma(v_load_count(p.a + s * BLOCK + i, count), by, sum);
            }
            grad_bias[s] = (p.add ? grad_bias[s] : 0) + v_sum(sum);
        }
    }
}

/* grad_inputs[i] = sum_s p[s][i] weights[s] in panels [first, last) of columns; finish_inputs does the rest, of direct
 * gradients the part of smoothing */
static void input_products(const lx_wave *wave, ptrdiff_t block, ptrdiff_t first, ptrdiff_t last)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t n = rows_of(wave, block), dim = layer->dim, end = smaller(last * PANEL, wave->columns);
    product p = {.height = n, .a_step = BLOCK, .a_panel = PANEL * BLOCK, .b_row = PANEL, .c_row = dim,
                 .ahead_step = AHEAD_STEP};
    real *grad = (real *)layer->grad_inputs + first_row_of(wave, block) * dim + wave->first_column;
    for (ptrdiff_t i = 0; layer->classes == 0 && i < n && first * PANEL < end; i++)
        memset(grad + i * dim + first * PANEL, 0, (size_t)(end - first * PANEL) * sizeof(real));
    ALIGNED real copy[LX_CLASS_TILE * PANEL];
    for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
        p.depth = classes_of(wave, tile);
        p.add = !wave->first_of_rows || tile > 0;
        const real *logits = logits_of(wave, tile, block), *next = logits_of(wave, after(tile, wave->tiles), block);
        const real *weights = layer->direct ? weights_of(layer, first_class_of(wave, tile)) : NULL;
        /* few classes stay in the first cache, and rows of gradients are written in their order */
        const ptrdiff_t step = layer->direct && p.depth < n ? HEIGHT : n;
        for (ptrdiff_t i = 0; i < n; i += step)
            for (ptrdiff_t column = first * PANEL; column < end; column += PANEL) {
                p.height = smaller(step, n - i);
                p.width = smaller(PANEL, wave->columns - column);
                p.a = logits + i;
                p.b = packed_weights_of(wave, tile) + column * p.depth;
                p.c = grad + i * dim + column;
                p.ahead = (const char *)(column > first * PANEL ? p.b + p.depth * PANEL : next);
                if (layer->direct)
                    in_place(&p, weights + column, dim, copy);
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
            if (!layer->direct)
                add_scaled(grad, grad, ((const real *)layer->row_factor)[i], n, 0);
            for (int64_t j = labels->start[i]; !layer->direct && j < labels->start[i + 1]; j++) {
                if (k == 0 && j + 8 < labels->start[end])
                    prefetch_row(weights + labels->row[j + 8] * dim, dim);
                add_scaled(grad, weights + labels->row[j] * dim + k, slope[j], n, 1);
            }
            if (smooth)
                add_scaled(grad, smooth + k, (real)-layer->smoothing.mass * upstream[i], n, 1);
        }
}

#endif
