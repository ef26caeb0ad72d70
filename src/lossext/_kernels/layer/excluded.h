/* Classes that a row excludes from its logits: its labels among the sampled classes, and those that the caller names. */
#ifndef LX_LAYER_EXCLUDED_H
#define LX_LAYER_EXCLUDED_H

#include "vectors.h"

/* The first position in the ascending array [p, end) with a number of at least `least`. */
INLINE int64_t lower_bound(const int64_t *numbers, int64_t p, int64_t end, int64_t least)
{
    while (p < end) {
        const int64_t middle = p + (end - p) / 2;
        if (numbers[middle] < least)
            p = middle + 1;
        else
            end = middle;
    }
    return p;
}

/* Sets the logits of classes excluded from a row to -inf. */
INLINE void leave_out(const lx_wave *wave, ptrdiff_t tile, ptrdiff_t block, ptrdiff_t begin, ptrdiff_t end)
{
    const lx_hits *hits = &wave->layer->hits;
    if (!hits->start)
        return;
    const int64_t first = first_class_of(wave, tile), last = first + classes_of(wave, tile);
    const int64_t *start = hits->start + first_row_of(wave, block), *classes = hits->order ? hits->order : hits->key;
    real *z = logits_of(wave, tile, block);
    for (ptrdiff_t i = begin; i < end; i++)
        for (int64_t p = start[i]; p < start[i + 1];) {
            int64_t from = p, to = start[i + 1];
            if (hits->order) {
                from = hits->first[hits->key[p]];
                to = hits->first[hits->key[p] + 1];
                p++;
            } else
                p = to;
            for (from = lower_bound(classes, from, to, first); from < to && classes[from] < last; from++)
                z[(classes[from] - first) * BLOCK + i] = (real)-INFINITY;
        }
}

#endif
