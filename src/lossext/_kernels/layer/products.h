/* Matrix products on one micro-kernel: HEIGHT rows by PANEL columns of accumulators that stay in registers over the
 * whole depth.  Logits are stored transposed, class by class, so that rows of classes are broadcast without packing,
 * the softmax runs down columns, and both gradients use the same tile. */
#ifndef LX_LAYER_PRODUCTS_H
#define LX_LAYER_PRODUCTS_H

#include "vectors.h"

enum { HEIGHT = REGISTERS >= 32 ? 12 : 6 };
enum { DEPTH = 256 }; /* so that a panel of b and the rows of a fit into the L1 cache */

/* c[i][j] = (add: +=) sum over k < depth of a[k / PANEL a_panel + i a_row + k % PANEL a_step] b[k b_row + j],
 * i < height, j < width.  b can be read to whole vectors.  It also prefetches the operands of the next product:
 * for each k of HEIGHT rows the line at `ahead`, which then advances by ahead_step bytes. */
typedef struct {
    ptrdiff_t height, depth, width;
    const real *a;
    ptrdiff_t a_row, a_step, a_panel;
    const real *b;
    ptrdiff_t b_row;
    real *c;
    ptrdiff_t c_row;
    int add;
    const char *ahead;
    ptrdiff_t ahead_step;
} product;

/* `height` rows of `vectors` vectors; both are constants where it is called */
INLINE void micro(int height, int vectors, product p)
{
    vec sum[HEIGHT][2];
    const real *a[HEIGHT / 3], *b = p.b; /* one pointer per row would not fit into registers */
    UNROLL(16)
    for (int i = 0; i < HEIGHT / 3; i++) {
        a[i] = p.a + 3 * i * p.a_row;
        if (p.a_row != 1)
            OPAQUE(a[i]);
    }
    UNROLL(16)
    for (int i = 0; i < height; i++) {
        PREFETCH_TO_WRITE(p.c + i * p.c_row);
        if (vectors > 1)
            PREFETCH_TO_WRITE(p.c + i * p.c_row + LANES);
        sum[i][0] = sum[i][1] = v_zero();
    }
    for (ptrdiff_t first = 0; first < p.depth; first += PANEL) {
        const ptrdiff_t count = smaller(PANEL, p.depth - first);
        for (ptrdiff_t k = 0; k < count; k++, b += p.b_row, p.ahead += p.ahead_step) {
            const vec left = v_load(b), right = vectors > 1 ? v_load(b + LANES) : left;
            PREFETCH_FAR(p.ahead);
            UNROLL(16)
            for (int i = 0; i < height; i++) {
                const vec factor = v_set(a[i / 3][i % 3 * p.a_row + k * p.a_step]);
                sum[i][0] = v_fma(factor, left, sum[i][0]);
                if (vectors > 1)
                    sum[i][1] = v_fma(factor, right, sum[i][1]);
            }
        }
        UNROLL(16)
        for (int i = 0; i < HEIGHT / 3; i++)
            a[i] += p.a_panel;
    }
    UNROLL(16)
    for (int i = 0; i < height; i++, p.c += p.c_row) {
        if (p.width >= vectors * LANES) {
            v_store(p.c, p.add ? v_load(p.c) + sum[i][0] : sum[i][0]);
            if (vectors > 1)
                v_store(p.c + LANES, p.add ? v_load(p.c + LANES) + sum[i][1] : sum[i][1]);
            continue;
        }
        for (int j = 0; j < vectors; j++) {
            const ptrdiff_t n = smaller(LANES, p.width - j * LANES);
            if (n > 0)
                v_store_count(p.c + j * LANES, p.add ? v_load_count(p.c + j * LANES, n) + sum[i][j] : sum[i][j], n);
        }
    }
}

INLINE void panel_product(int vectors, product p)
{
    for (; p.height >= HEIGHT; p.height -= HEIGHT) {
        micro(HEIGHT, vectors, p);
        p.a += HEIGHT * p.a_row;
        p.c += HEIGHT * p.c_row;
        p.ahead += p.ahead_step * p.depth;
    }
    switch (p.height) {
#define REST(n) \
    case n: \
        micro(n < HEIGHT ? n : 1, vectors, p); \
        break;
        REST(1) REST(2) REST(3) REST(4) REST(5) REST(6) REST(7) REST(8) REST(9) REST(10) REST(11)
#undef REST
    }
}

/* a by rows and a by columns; constant strides allow simple addressing modes */
static void rows_product(const product *given)
{
    product p = *given;
    p.a_step = 1;
    if (p.width > LANES)
        panel_product(2, p);
    else
        panel_product(1, p);
}

static void columns_product(const product *given)
{
    product p = *given;
    p.a_row = 1;
    if (p.width > LANES)
        panel_product(2, p);
    else
        panel_product(1, p);
}

enum { DOT_ROWS = 16, DOT_DEPTH = 32768 / (DOT_ROWS * (int)sizeof(real)) };

/* z[a][b] = (add: +=) w[a] . x[b], a < 4, b < few (a constant where it is called), over n columns; rows of x are
 * DOT_DEPTH apart, with zeros after n; only `classes` rows of z and `rows` of its columns are written. */
INLINE void few_dots(int few, const real *const *w, const real *x, ptrdiff_t n, real *z, ptrdiff_t classes,
                     ptrdiff_t rows, int add)
{
    vec sum[4][4];
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < few; b++)
            sum[a][b] = v_zero();
    for (ptrdiff_t k = 0; k < n; k += LANES) {
        const ptrdiff_t count = smaller(LANES, n - k);
        for (int a = 0; a < 4; a++) {
            const vec left = v_load_count(w[a] + k, count);
            for (int b = 0; b < few; b++)
                sum[a][b] = v_fma(left, v_load(x + b * DOT_DEPTH + k), sum[a][b]);
        }
    }
    for (int a = 0; a < classes; a++)
        for (int b = 0; b < rows; b++) {
            real *out = z + a * BLOCK + b;
            *out = (add ? *out : 0) + v_sum(sum[a][b]);
        }
}

/* Logits of a tile for a block, directly from memory without packing: for few rows or few classes. */
static void unpacked_product(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t block, real *z)
{
    const lx_layer *layer = wave->layer;
    const ptrdiff_t dim = layer->dim, n = classes_of(wave, tile), all = rows_of(wave, block);
    const real *inputs = (const real *)layer->inputs + first_row_of(wave, block) * dim;
    ALIGNED real x[DOT_ROWS * DOT_DEPTH];
    for (ptrdiff_t first = 0; first < all; first += DOT_ROWS) {
        const ptrdiff_t rows = smaller(DOT_ROWS, all - first);
        for (ptrdiff_t k = 0; k < dim; k += DOT_DEPTH) {
            const ptrdiff_t depth = smaller(DOT_DEPTH, dim - k), whole = (depth + LANES - 1) / LANES * LANES;
            for (ptrdiff_t i = 0; i < DOT_ROWS; i++) {
                const ptrdiff_t given = i < rows ? depth : 0;
                if (given)
                    memcpy(x + i * DOT_DEPTH, inputs + (first + i) * dim + k, (size_t)given * sizeof(real));
                if (i < (rows + 3) / 4 * 4)
                    memset(x + i * DOT_DEPTH + given, 0, (size_t)(whole - given) * sizeof(real));
            }
            for (ptrdiff_t s = 0; s < n; s += 4) {
                const real *w[4];
                for (ptrdiff_t a = 0; a < 4; a++)
                    w[a] = weights_of(layer, first_class_of(wave, tile) + smaller(s + a, n - 1)) + k;
                for (ptrdiff_t i = 0; i < rows;) {
                    real *out = z + s * BLOCK + first + i;
                    const real *from = x + i * DOT_DEPTH;
                    if (rows - i > 1) {
                        few_dots(4, w, from, depth, out, smaller(4, n - s), smaller(4, rows - i), k > 0);
                        i += 4;
                    } else {
                        few_dots(1, w, from, depth, out, smaller(4, n - s), 1, k > 0);
                        i += 1;
                    }
                }
            }
        }
    }
}

#endif
