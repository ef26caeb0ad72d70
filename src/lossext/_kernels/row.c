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

/* The largest number of columns for which rows are processed as lanes (measured).  If terms are expensive,
 * also rows of less than four vectors, as long rows are processed four vectors at a time. */
enum {
    FEW = (KEEP ? 192 : 144) / (int)sizeof(real),
    LANES_UP_TO = KEEP ? (FEW > 4 * LANES - 1 ? FEW : 4 * LANES - 1) : (FEW < 4 * LANES ? FEW : 4 * LANES)
};

/* A group of rows and their results; vectors have one row per lane. */
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

#include "row_curvature.h"

/* ---- a group of rows, in the order of the protocol ---- */

/* Processes pieces of `length` columns; a row is one piece unless classes are along axis 1 of (N, C, inner). */
#define FOR_EACH_PIECE(p) \
    for (piece p = {0, length, cols}; p.n = p.j + length < cols ? length : cols - p.j, p.j < cols; p.j += length)

/* Returns true if a target is invalid. */
static NOINLINE int rows_as_lanes(const lx_job *job, group *g, ptrdiff_t left)
{
    columns c;
    const ptrdiff_t cols = job->cols, fit = COLUMN_ELEMENTS / (g->rows.vectors * LANES) - PIECE;
    const ptrdiff_t length = cols <= fit ? cols : fit / SETTLE * SETTLE;
    const int several = length < cols;
    real *kept = job->grad ? job->grad : job->hess;
    int bad = 0;
    FOR_EACH_PIECE(p) {
        if (PEAK || SUMS)
            read_columns(job, g, job->input, p, &c, left);
        for (ptrdiff_t k = 0; PEAK && k < g->rows.vectors; k++) {
            real *x = c.x + k * column_stride(p.n);
            if (TARGETS)
                SHARED(greatest_lanes)(x, p.j, p.n, &g->rows, k);
            else
                SHARED(peak_lanes)(x, p.j, p.n, BEST, &g->rows, k);
        }
    }
    begin_rows(job, g);
    FOR_EACH_PIECE(p) {
        if (several && SUMS)
            read_columns(job, g, job->input, p, &c, left);
        if (TARGETS) {
            bad |= SHARED(columns_of_targets)(job, &g->rows, p.j, p.n, c.y, c.rows);
            take_own_targets(g, &c, p);
        }
        if (SUMS)
            fold_lanes(g, &c, p);
        if (several && kept)
            write_columns(job, g, c.x, p, kept, &c);
    }
    finish_rows(job, g);
    FOR_EACH_PIECE(p) {
        if (several && kept) {
            read_columns(job, g, kept, p, &c, left);
            if (TARGETS)
                SHARED(columns_of_targets)(job, &g->rows, p.j, p.n, c.y, c.rows);
        }
        if (job->hess && !takes_majorizer(job))
            curve_lanes(job, g, &c, p);
        if (job->grad) {
            map_lanes(g, &c, p);
            write_columns(job, g, c.x, p, job->grad, &c);
        }
    }
#ifdef HAS_MAJORIZER
    if (takes_majorizer(job)) { /* the gradient does not overwrite the input in this case */
        vec sums[GROUP], greatest[GROUP];
        FOR_EACH_PIECE(p) {
            read_columns(job, g, job->input, p, &c, left);
            majorizer_lanes(g, c.x, c.x, p, sums, greatest);
            write_columns(job, g, c.x, p, job->hess, &c);
        }
        place_majorizers(job, g, sums, greatest);
    }
#endif
    return bad ? LX_BAD_TARGET : 0;
}

/* Returns true if a target is invalid. */
static NOINLINE int rows_along(const lx_job *job, group *g)
{
    ALIGNED real buffer[ALONG_ELEMENTS];
    const ptrdiff_t cols = job->cols, count = g->rows.count, at = g->rows.first * cols;
    const real *x = (const real *)job->input + at;
    real *grad = job->grad ? (real *)job->grad + at : NULL, *hess = job->hess ? (real *)job->hess + at : NULL;
    const int local = job->stream && count * cols <= (ptrdiff_t)ALONG_ELEMENTS;
    const ptrdiff_t keep = KEEP && (grad || hess) ? -1 : 0;
    real *kept = !keep || local ? buffer : grad ? grad : hess;
    int bad = 0;
    if (PEAK && TARGETS)
        SHARED(greatest_along)(x, cols, &g->rows);
    if (PEAK)
        SHARED(peak_along)(x, cols, BEST, &g->rows);
    begin_rows(job, g);
    if (EAGER && grad && !hess && !job->stream) {
        fold_and_map_along(job, g, grad);
        finish_rows(job, g);
        for (ptrdiff_t i = 0; i < count; i++)
            place_single_slopes(g, i, 0, cols, grad + i * cols);
        return 0;
    }
    if (SUMS)
        bad = fold_along(job, g, kept, keep);
    finish_rows(job, g);
    const real *from = KEEP ? kept : x;
#ifdef HAS_MAJORIZER
    if (takes_majorizer(job)) {
        vec sums[GROUP], greatest[GROUP];
        for (ptrdiff_t i = 0; i < count; i++)
            majorize_along(job, g, i, &sums[i / LANES], &greatest[i / LANES]);
        place_majorizers(job, g, sums, greatest);
        hess = NULL;
    }
#endif
    for (ptrdiff_t i = 0; hess && i < count; i++)
        write_curvatures(job, g, i, from);
    if (grad)
        write_slopes(job, g, from, job->stream && (!KEEP || local) ? buffer : NULL);
    return bad ? LX_BAD_TARGET : 0;
}

/* ---- the block ---- */

/* The number of rows in a group, which stay in the L1 cache from the first pass to the last. */
static ptrdiff_t rows_of_group(const lx_job *job, int lanes)
{
    const ptrdiff_t cols = job->cols;
    if (lanes) { /* if lanes are contiguous in memory, at least one cache line of each column */
        const ptrdiff_t fit = COLUMN_ELEMENTS / ((cols + PIECE) * LANES);
        const ptrdiff_t least = job->inner > 1 ? (REALS_PER_LINE + LANES - 1) / LANES : 1;
        return LANES * (fit > GROUP ? GROUP : fit > least ? fit : least);
    }
    const ptrdiff_t fit = (job->grad || job->hess || PEAK ? ALONG_ELEMENTS : 4 * ALONG_ELEMENTS) / cols;
    return fit > GROUP * LANES ? GROUP * LANES : fit > LANES ? fit / LANES * LANES : fit > 1 ? fit : 1;
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
