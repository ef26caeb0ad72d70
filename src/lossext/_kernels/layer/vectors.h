/* Operations on rows of any length, and addresses of a wave's data. */
#ifndef LX_LAYER_VECTORS_H
#define LX_LAYER_VECTORS_H

#include "layer.h"
#include "../simd/simd.h"

enum { BLOCK = LX_ROW_BLOCK, PANEL = 2 * LANES };

INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

#ifdef LX_DOUBLE
#define REAL_MIN DBL_MIN
#define NEGLIGIBLE 0x1p-969
#else
#define REAL_MIN FLT_MIN
#define NEGLIGIBLE 0x1p-102f
#endif

/* 0 for subnormal numbers, with which a product takes some hundred cycles; NaN stays */
INLINE vec normal_or_zero(vec a) { return v_select(v_lt(v_abs(a), v_set(REAL_MIN)), v_zero(), a); }

/* 0 for probabilities whose products could be subnormal: below the smallest normal number divided by one ulp of 1. */
INLINE vec weighty_or_zero(vec p) { return v_select(v_lt(p, v_set(NEGLIGIBLE)), v_zero(), p); }

/* Of n numbers, zeros after them */
INLINE vec load_some(const real *p, ptrdiff_t n) { return n > 0 ? v_load_count(p, smaller(LANES, n)) : v_zero(); }

INLINE real dot(const real *a, const real *b, ptrdiff_t n)
{
    vec sum = v_zero(), other = v_zero();
    ptrdiff_t i = 0;
    for (; i + PANEL <= n; i += PANEL) {
        sum = v_fma(v_load(a + i), v_load(b + i), sum);
        other = v_fma(v_load(a + i + LANES), v_load(b + i + LANES), other);
    }
    for (; i < n; i += LANES) {
        const ptrdiff_t count = smaller(LANES, n - i);
        sum = v_fma(v_load_count(a + i, count), v_load_count(b + i, count), sum);
    }
    return v_sum(sum + other);
}

/* out = (add: +=) factor a */
INLINE void add_scaled(real *out, const real *a, real factor, ptrdiff_t n, int add)
{
    vec by = v_set(factor);
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(out + i, add ? v_fma(by, v_load(a + i), v_load(out + i)) : by * v_load(a + i));
    if (i < n) {
        vec v = v_load_first(a + i, n - i, 0);
        v_store_first(out + i, add ? v_fma(by, v, v_load_first(out + i, n - i, 0)) : by * v, n - i);
    }
}

INLINE void prefetch_row(const real *row, ptrdiff_t n)
{
    n = smaller(n, 16 * REALS_PER_LINE); /* the hardware prefetcher handles the rest */
    for (ptrdiff_t i = 0; i < n; i += REALS_PER_LINE)
        PREFETCH(row + i);
}

INLINE ptrdiff_t rows_of(const lx_wave *wave, ptrdiff_t block)
{
    return smaller(BLOCK, wave->layer->rows - wave->first_row - block * BLOCK);
}
INLINE ptrdiff_t classes_of(const lx_wave *wave, ptrdiff_t tile)
{
    const ptrdiff_t size = wave->layer->tile;
    return smaller(size, wave->layer->classes - wave->first_class - tile * size);
}
INLINE ptrdiff_t first_row_of(const lx_wave *wave, ptrdiff_t block) { return wave->first_row + block * BLOCK; }
INLINE ptrdiff_t first_class_of(const lx_wave *wave, ptrdiff_t tile)
{
    return wave->first_class + tile * wave->layer->tile;
}
INLINE const real *weights_of(const lx_layer *layer, ptrdiff_t s)
{
    return (const real *)layer->weights + (layer->class_row ? layer->class_row[s] : s) * layer->dim;
}
INLINE real *logits_of(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t block)
{
    return (real *)wave->layer->logits + (tile * wave->blocks + block) * wave->layer->tile * BLOCK;
}
INLINE const real *packed_weights_of(const lx_wave *wave, ptrdiff_t tile)
{
    return (const real *)wave->layer->packed_weights + tile * wave->layer->tile * wave->layer->stride;
}
/* The tile and block to prefetch: the next one, or the same again after the last */
INLINE ptrdiff_t after(ptrdiff_t number, ptrdiff_t count) { return smaller(number + 1, count - 1); }
INLINE real *by_tile(const lx_wave *wave, void *array, ptrdiff_t tile, ptrdiff_t block)
{
    return (real *)array + (tile * wave->blocks + block) * BLOCK;
}

#endif
