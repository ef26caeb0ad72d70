/* Optimisers on some rows of a large array. */
#ifndef LX_LAYER_ROW_UPDATE_H
#define LX_LAYER_ROW_UPDATE_H

#include "vectors.h"

INLINE void update_row(const lx_row_update *job, const real *grad, real *param, real *first, real *second)
{
    const vec rate = v_set((real)job->rate), epsilon = v_set((real)job->epsilon);
    const vec new1 = v_set((real)(1 - job->decay1)), new2 = v_set((real)(1 - job->decay2));
    for (ptrdiff_t i = 0; i < job->length; i += LANES) {
        const ptrdiff_t n = smaller(LANES, job->length - i);
        const vec g = v_load_count(grad + i, n);
        vec step = g, square = v_load_count(second + i, n);
        if (job->rule == LX_ADAM) {
            const vec old = v_load_count(first + i, n);
            step = v_fma(new1, g - old, old);
            v_store_count(first + i, step, n);
            square = v_fma(new2, v_fma(g, g, -square), square);
        } else
            square = v_fma(g, g, square);
        v_store_count(second + i, square, n);
        step = v_where(v_not_equal(step, v_zero()), step / (v_sqrt(square) + epsilon));
        v_store_count(param + i, v_fnma(rate, step, v_load_count(param + i, n)), n);
    }
}

static void update_rows(const void *call, ptrdiff_t unit)
{
    const lx_row_update *job = call;
    const ptrdiff_t length = job->length, end = smaller((unit + 1) * LX_MERGE_UNIT, job->rows);
    for (ptrdiff_t r = unit * LX_MERGE_UNIT; r < end; r++) {
        const real *grad = (const real *)job->values + r * length;
        const ptrdiff_t at = (ptrdiff_t)job->indices[r] * length;
        real *param = (real *)job->param + (job->compact ? r * length : at);
        if (r + 8 < end && !job->compact) {
            const ptrdiff_t next = (ptrdiff_t)job->indices[r + 8] * length;
            prefetch_row((const real *)job->param + next, length);
            if (job->second)
                prefetch_row((const real *)job->second + next, length);
            if (job->first)
                prefetch_row((const real *)job->first + next, length);
        }
        if (job->rule == LX_ADD)
            add_scaled(param, grad, (real)job->rate, length, 1);
        else
            update_row(job, grad, param, job->first ? (real *)job->first + at : NULL, (real *)job->second + at);
    }
}

#endif
