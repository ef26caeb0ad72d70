/* Block kernel of a row loss: LX_LOSS is its header. */
#include "row.h"

#include LX_LOSS

#ifndef HAS_COST
INLINE vec cost(const row *r, vec x, vec y) { return (void)r, (void)x, (void)y, v_zero(); }
#endif
#ifdef HAS_MAJORIZER
INLINE int takes_majorizer(const lx_job *job) { return job->hess && job->curvature == LX_MAJORIZER; }
#else
INLINE int takes_majorizer(const lx_job *job) { return (void)job, 0; }
#endif

#include "tally.h"

/* Up to how many columns a lane holds a row: measured. */
enum { FEW = (KEEP ? 192 : 144) / sizeof(real), LANES_UP_TO = KEEP || 4 * LANES > (int)FEW ? (int)FEW : 4 * LANES };

/* Some rows and what a loss makes of them; in vectors one row a lane. */
typedef struct {
    row_group rows;
    row row[GROUP];
    totals totals[GROUP];
    result result[GROUP];
} group;

INLINE parameters parameters_of(const lx_job *job)
{
    parameters p;
    for (size_t k = 0; k < sizeof p / sizeof(vec); k++)
        ((vec *)&p)[k] = v_set((real)job->parameter[k]);
    return p;
}

static NOINLINE void begin_rows(const lx_job *job, group *g)
{
    const parameters p = parameters_of(job);
    UNROLL(1)
    for (ptrdiff_t k = 0; k < g->rows.vectors; k++)
        g->row[k] = begin(&p, g->rows.own[k], g->rows.peak[k]);
}

/* The factor and the class's derivatives with all weights. */
static NOINLINE void finish_rows(const lx_job *job, group *g)
{
    const parameters p = parameters_of(job);
    UNROLL(1)
    for (ptrdiff_t k = 0; k < g->rows.vectors; k++) {
        const vec scale = g->rows.grad_scale[k];
        result r = finish(&p, &g->row[k], &g->totals[k]);
        r.factor = times(r.factor, scale);
        r.own_slope = times(r.own_slope, scale);
        r.own_curvature = times(r.own_curvature, scale);
        r.own_residual = times(r.own_residual, scale);
        r.best_slope = times(r.best_slope, scale);
        g->result[k] = r;
    }
}

#include "row_lanes.h"

#include "row_along.h"

/* Rows of a group: what stays in the first-level cache from the first pass to the last. */
static ptrdiff_t rows_of_group(const lx_job *job, int lanes)
{
    const ptrdiff_t cols = job->cols;
    if (lanes) { /* where columns lie as lanes, at least a cache line of each */
        const ptrdiff_t fit = COLUMN_ELEMENTS / ((cols + PIECE) * LANES);
        const ptrdiff_t least = job->inner > 1 ? (REALS_PER_LINE + LANES - 1) / LANES : 1;
        return LANES * (fit > GROUP ? GROUP : fit > least ? fit : least);
    }
    const ptrdiff_t fit = (job->grad || job->hess || PEAK ? ALONG_ELEMENTS : 4 * ALONG_ELEMENTS) / cols;
    return fit > GROUP * LANES ? GROUP * LANES : fit > 1 ? fit : 1;
}

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const int weighted = (!TARGETS && job->weight[LX_WEIGHT].data) || job->weight[LX_SAMPLE_WEIGHT].data
                         || job->grad_output.data;
    const int lanes = job->inner > 1 || (job->cols <= (ptrdiff_t)LANES_UP_TO && job->cols <= (ptrdiff_t)MOST_COLUMNS);
    const ptrdiff_t step = rows_of_group(job, lanes);
    exact_sum sum = exact_of(wide_zero());
    group g;
    memset(&g.totals, 0, sizeof g.totals);
    for (int k = 0; k < GROUP; k++) {
        g.rows.own[k] = g.rows.id[k] = v_zero();
        g.rows.peak[k] = g.rows.best_id[k] = v_zero();
        g.rows.known[k] = g.rows.scale[k] = one();
        g.rows.grad_scale[k] = v_set((real)job->grad_scale);
    }
    g.rows.all_known = 1;
    for (g.rows.first = first; g.rows.first < last; g.rows.first += step) {
        g.rows.count = last - g.rows.first < step ? last - g.rows.first : step;
        g.rows.vectors = (g.rows.count + LANES - 1) / LANES;
        if (TARGETS ? SHARED(read_known_rows)(job, &g.rows) : SHARED(read_classes)(job, &g.rows))
            return LX_BAD_TARGET;
        if (weighted)
            SHARED(read_weights)(job, &g.rows, !TARGETS);
        if (lanes ? rows_as_lanes(job, &g, last - g.rows.first) : rows_along(job, &g))
            return LX_BAD_TARGET;
        for (ptrdiff_t k = 0; job->grad && k < g.rows.vectors; k++)
            if (m_any(v_gt(v_abs(g.result[k].own_slope), v_set(REAL_MAX))))
                SHARED(mend_own_slopes)(job, &g.rows, &g.result[k].own_slope, k);
        if (!g.rows.all_known && job->grad)
            SHARED(clear_unknown)(job, &g.rows, job->grad);
        if (!g.rows.all_known && job->hess)
            SHARED(clear_unknown)(job, &g.rows, job->hess);
        for (ptrdiff_t k = 0; k < g.rows.vectors && job->reduce != LX_NO_VALUE; k++)
            SHARED(take_values)(job, &g.rows, k, &g.result[k].value, !lanes, &sum);
        for (ptrdiff_t i = 0; i < g.rows.count && job->counts; i++)
            total->count += lane(g.rows.known, i);
    }
    total->sum += wide_total(sum.sum);
    total->rest += exact_rest(sum);
    if (job->stream)
        stream_fence();
    return 0;
}
