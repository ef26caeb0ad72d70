/* The largest logits of each row. */
#ifndef LX_LAYER_LARGEST_H
#define LX_LAYER_LARGEST_H

#include "vectors.h"

/* Puts logit z of class id among the k largest of a row, which descend; z is larger than the last. */
INLINE void insert(real *values, int64_t *ids, ptrdiff_t k, real z, int64_t id)
{
    ptrdiff_t r = k - 1;
    for (; r > 0 && values[r - 1] < z; r--) {
        values[r] = values[r - 1];
        ids[r] = ids[r - 1];
    }
    values[r] = z;
    ids[r] = id;
}

static void keep_largest(const void *call, ptrdiff_t block)
{
    const lx_wave *wave = call;
    const lx_top *top = &wave->layer->top;
    const ptrdiff_t n = rows_of(wave, block), k = top->count;
    real *values = (real *)top->values + first_row_of(wave, block) * k;
    int64_t *ids = top->ids + first_row_of(wave, block) * k;
    ALIGNED real least[BLOCK]; /* of the k largest so far */
    for (ptrdiff_t r = 0; wave->first_of_rows && r < n * k; r++) {
        values[r] = (real)-INFINITY;
        ids[r] = -1;
    }
    for (ptrdiff_t i = 0; i < BLOCK; i++)
        least[i] = i < n ? values[i * k + k - 1] : (real)INFINITY;
    for (ptrdiff_t tile = 0; tile < wave->tiles; tile++) {
        const real *z = logits_of(wave, tile, block);
        const int64_t first = first_class_of(wave, tile);
        for (ptrdiff_t s = 0; s < classes_of(wave, tile); s++, z += BLOCK)
            for (ptrdiff_t lane = 0; lane < n; lane += LANES) {
                if (!m_any(v_gt(v_load(z + lane), v_load(least + lane))))
                    continue;
                for (ptrdiff_t i = lane; i < smaller(lane + LANES, n); i++)
                    if (z[i] > least[i]) {
                        insert(values + i * k, ids + i * k, k, z[i], first + s);
                        least[i] = values[i * k + k - 1];
                    }
            }
    }
}

#endif
