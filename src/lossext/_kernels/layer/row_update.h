/* Optimisers on some rows of a large array, or on some columns of these. */
#ifndef LX_LAYER_ROW_UPDATE_H
#define LX_LAYER_ROW_UPDATE_H

#include "vectors.h"

INLINE void update_row(const lx_row_update *job, const real *grad, ptrdiff_t length, real *param, real *first,
                       real *second)
{
    const vec rate = v_set((real)job->rate), epsilon = v_set((real)job->epsilon);
    const vec new1 = v_set((real)(1 - job->decay1)), new2 = v_set((real)(1 - job->decay2));
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        const ptrdiff_t n = smaller(LANES, length - i);
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

/* One step on `length` numbers of a row. */
INLINE void step_on(const lx_row_update *job, const real *grad, ptrdiff_t length, real *param, real *first,
                    real *second)
{
    if (job->rule == LX_ADD)
        add_scaled(param, grad, (real)job->rate, length, 1);
    else
        update_row(job, grad, length, param, first, second);
}

INLINE void take_columns(real *out, const real *row, const int64_t *columns, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = row[columns[i]];
}

INLINE void put_columns(real *row, const real *from, const int64_t *columns, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        row[columns[i]] = from[i];
}

enum { SIDE = 8 * LANES }; /* of a row at a time */

/* out[i] = sum over the entries e of row r of factors[e] dense[entries[e]][from + i], i < n <= SIDE */
INLINE void product_of_row(const lx_row_update *job, ptrdiff_t r, ptrdiff_t from, ptrdiff_t n, real *out)
{
    const real *dense = (const real *)job->dense + from, *factors = job->factors;
    const ptrdiff_t end = (ptrdiff_t)job->start[r + 1];
    ptrdiff_t e = (ptrdiff_t)job->start[r];
    if (n == SIDE) {
        vec sum[8];
        UNROLL(8)
        for (int k = 0; k < 8; k++)
            sum[k] = v_zero();
        for (; e < end; e++) {
            const real *row = dense + (ptrdiff_t)job->entries[e] * job->length;
            const vec factor = v_set(factors[e]);
            if (e + 2 < end)
                prefetch_row(dense + (ptrdiff_t)job->entries[e + 2] * job->length, SIDE);
            UNROLL(8)
            for (int k = 0; k < 8; k++)
                sum[k] = v_fma(factor, v_load(row + k * LANES), sum[k]);
        }
        UNROLL(8)
        for (int k = 0; k < 8; k++)
            v_store(out + k * LANES, sum[k]);
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = 0;
    for (; e < end; e++)
        add_scaled(out, dense + (ptrdiff_t)job->entries[e] * job->length, factors[e], n, 1);
}

/* A step on n numbers of a row from number `from` of `columns` on; scattered columns are gathered in a buffer. */
INLINE void step_on_part(const lx_row_update *job, real *grad, ptrdiff_t from, ptrdiff_t n, real *param, real *first,
                         real *second)
{
    const int64_t *columns = job->columns ? job->columns + from : NULL;
    real params[SIDE], firsts[SIDE], seconds[SIDE];
    if (columns) {
        take_columns(params, param, columns, n);
        if (first)
            take_columns(firsts, first, columns, n);
        if (second)
            take_columns(seconds, second, columns, n);
    }
    real *own = columns ? params : param + from;
    if (job->penalty != 0)
        add_scaled(grad, own, (real)job->penalty, n, 1);
    step_on(job, grad, n, own, columns ? firsts : first ? first + from : NULL,
            columns ? seconds : second ? second + from : NULL);
    if (columns) {
        put_columns(param, params, columns, n);
        if (first)
            put_columns(first, firsts, columns, n);
        if (second)
            put_columns(second, seconds, columns, n);
    }
}

static void update_rows(const void *call, ptrdiff_t unit)
{
    const lx_row_update *job = call;
    const ptrdiff_t length = job->length, end = smaller((unit + 1) * LX_MERGE_UNIT, job->rows);
    const ptrdiff_t stride = job->stride;
    for (ptrdiff_t r = unit * LX_MERGE_UNIT; r < end; r++) {
        real *values = job->values ? (real *)job->values + r * length : NULL;
        if (job->rule == LX_PRODUCT) {
            for (ptrdiff_t i = 0; i < length; i += SIDE)
                product_of_row(job, r, i, smaller(SIDE, length - i), values + i);
            continue;
        }
        const ptrdiff_t at = (ptrdiff_t)job->indices[r] * stride;
        real *param = (real *)job->param + (job->compact ? r * stride : at);
        real *first = job->first ? (real *)job->first + at : NULL;
        real *second = job->second ? (real *)job->second + at : NULL;
        if (r + 8 < end && !job->compact) {
            const ptrdiff_t next = (ptrdiff_t)job->indices[r + 8] * stride;
            prefetch_row((const real *)job->param + next, stride);
            if (job->second)
                prefetch_row((const real *)job->second + next, stride);
            if (job->first)
                prefetch_row((const real *)job->first + next, stride);
        }
        if (job->rule == LX_TAKE)
            take_columns(values, param, job->columns, length);
        else if (values)
            step_on(job, values, length, param, first, second);
        else
            for (ptrdiff_t i = 0; i < length; i += SIDE) {
                const ptrdiff_t n = smaller(SIDE, length - i);
                real grad[SIDE];
                product_of_row(job, r, i, n, grad);
                step_on_part(job, grad, i, n, param, first, second);
            }
    }
}

#endif
