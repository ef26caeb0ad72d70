/* Multiclass hinge of a row of n scores x against the class y:
 *
 *   z_i = max(0, (margin - x_y) + x_i) for i != y,   z_y = 0
 *   value = sum_i z_i^p                              p is 1 or 2
 *   slope_i = p z_i^(p-1) [z_i > 0],                 slope_y = -sum of the others
 *   curvature_i = 2 [z_i > 0] for p = 2, else 0,     curvature_y = sum of the others
 *
 * (the caller divides by n).  margin - x_y is rounded before x_i is added, as in torch, so that the same columns are
 * active; what that rounding took away is given back to the active ones, without which a small z has few correct
 * digits.  A NaN score makes its own column NaN, and the class's. */

typedef struct {
    real rounded, lost; /* margin - x_y = rounded + lost */
} gap;

INLINE gap gap_between(real margin, real own)
{
    const real rounded = margin - own, back = rounded - margin;
    const real lost = (margin - (rounded - back)) - (own + back);
    const gap g = {rounded, lost == lost ? lost : 0}; /* nothing to give back at infinity */
    return g;
}

/* Gaps of a group's rows, in the same way. */
typedef struct {
    real rounded[GROUP] ALIGNED, lost[GROUP] ALIGNED;
} gaps;

INLINE void find_gaps(const lx_job *job, const group *g, gaps *by_row)
{
    const vec margin = v_set((real)job->param);
    for (ptrdiff_t i = 0; i < g->count; i += LANES) {
        const vec own = v_load(g->own + i), rounded = margin - own, back = rounded - margin;
        const vec lost = (margin - (rounded - back)) - (own + back);
        v_store(by_row->rounded + i, rounded);
        v_store(by_row->lost + i, v_select(v_is_nan(lost), v_zero(), lost));
    }
}

/* In this order NaN comes through. */
INLINE vec hinge_of(vec x, gap g) { return v_max(v_zero(), x + v_set(g.rounded)); }

/* Slope of a hinge that may be 0 or NaN where it is not positive. */
INLINE vec slope_of(vec z, gap g, vec scale, const int power)
{
    return v_select(v_gt(z, v_zero()), power == 1 ? scale : scale * (z + v_set(g.lost)), z);
}

INLINE vec curvature_of(vec z, double scale, const int power)
{
    return power == 1 ? v_zero() : v_where(v_gt(z, v_zero()), v_set((real)(2 * scale)));
}

/* Sums over a row without the class: of z^p, of z, and the number of z > 0. */
typedef struct {
    exact_sum value, hinge;
    double active;
} row_sums;

INLINE wide add_power(wide sum, vec z, const int power)
{
    return power == 1 ? wide_add(sum, z) : wide_add_square(sum, wide_of(z));
}

/* What the sums of the rounded z say of the true ones: sum (z + lost)^p, and the sum of their slopes. */
INLINE double given_back(double hinge, double active, gap g, const int power, double *slopes)
{
    const double lost = g.lost;
    double extra = active * lost;
    *slopes = active;
    if (power == 2) {
        *slopes = 2 * (hinge + extra);
        extra = lost * (2 * hinge + extra);
    }
    return fabs(extra) <= DBL_MAX ? extra : 0; /* beside an infinite hinge nothing was lost */
}

enum { SHORT = 8, LONGEST_IN_GROUP = SHORT * LANES };

/* A row of at most SHORT vectors, `vectors` a constant: it is read once, and nothing is added across lanes. */
INLINE row_value short_row(const lx_job *job, const real *x, ptrdiff_t y, gap g, double scale, real *grad, real *hess,
                           const int vectors, const int power)
{
    const ptrdiff_t rest = job->cols - (vectors - 1) * LANES; /* columns in the last vector */
    vec z[SHORT];
    wide powers = wide_zero(), hinges = wide_zero();
    int active = 0;
    mask nan = m_none();
    UNROLL(8)
    for (int i = 0; i < vectors; i++) {
        const mask class = m_lane(y - i * LANES);
        const mask others = m_without(i < vectors - 1 ? m_first(LANES) : m_first(rest), class);
        const vec scores = i < vectors - 1 ? v_load(x + i * LANES) : v_load_first(x + i * LANES, rest, 0);
        z[i] = v_where(others, hinge_of(scores, g));
        powers = add_power(powers, z[i], power);
        if (power == 2)
            hinges = wide_add(hinges, z[i]);
        active += m_count(v_gt(z[i], v_zero()));
        nan = m_or(nan, v_is_nan(z[i]));
    }
    double slopes;
    const row_value value = {powers, given_back(power == 2 ? wide_total(hinges) : 0, active, g, power, &slopes)};
    if (hess) {
        UNROLL(8)
        for (int i = 0; i < vectors; i++)
            v_store_count(hess + i * LANES, curvature_of(z[i], scale, power), i < vectors - 1 ? LANES : rest);
        hess[y] = (real)(power == 2 ? 2 * scale * active : 0);
    }
    if (grad) {
        const vec each = v_set((real)(power * scale));
        UNROLL(8)
        for (int i = 0; i < vectors - 1; i++)
            v_store(grad + i * LANES, slope_of(z[i], g, each, power));
        const vec last = slope_of(z[vectors - 1], g, each, power);
        v_store_first(grad + (vectors - 1) * LANES, last, rest);
        if (vectors == 1) { /* as flat_rows has it, to the bit */
            const double others = wide_total(wide_of(last));
            grad[y] = (real)(0 - (others != 0 ? others : 0 * scale));
        } else
            grad[y] = m_any(nan) ? (real)NAN : (real)(0 - slopes * scale);
    }
    return value;
}

/* Columns [from, to), without the class's.  Eight vectors are added plainly, and the sums of eight exactly, or the
 * error of a long row's sum would grow with its length. */
INLINE void tally_range(row_sums *sums, const real *x, ptrdiff_t from, ptrdiff_t to, gap g, const int power)
{
    const vec zero = v_zero(), quarter = v_set((real)0.25);
    ptrdiff_t active = 0;
    for (; from + 8 * LANES <= to; from += 8 * LANES) {
        wide value = wide_zero(), others = wide_zero(), hinge = wide_zero();
        for (const real *four = x + from; four < x + from + 8 * LANES; four += 4 * LANES) {
            for (int line = 0; line < 4 * LANES; line += REALS_PER_LINE) /* there is little work an element */
                PREFETCH(four + AHEAD + line);
            const vec a = hinge_of(v_load(four), g), b = hinge_of(v_load(four + LANES), g);
            const vec c = hinge_of(v_load(four + 2 * LANES), g), d = hinge_of(v_load(four + 3 * LANES), g);
            if (power == 1) /* quarters cannot overflow */
                value = wide_add(value, v_fma(a, quarter, b * quarter) + v_fma(c, quarter, d * quarter));
            else {
                const wide wa = wide_of(a), wb = wide_of(b), wc = wide_of(c), wd = wide_of(d);
                hinge = wide_join(hinge, wide_join(wide_join(wa, wb), wide_join(wc, wd)));
                value = wide_add_square(wide_add_square(value, wa), wb);
                others = wide_add_square(wide_add_square(others, wc), wd);
            }
            active += m_count(v_gt(a, zero)) + m_count(v_gt(b, zero));
            active += m_count(v_gt(c, zero)) + m_count(v_gt(d, zero));
        }
        sums->value = exact_add(sums->value, power == 1 ? wide_scale(value, 4) : wide_join(value, others));
        sums->hinge = power == 1 ? sums->hinge : exact_add(sums->hinge, hinge);
    }
    for (; from < to; from += LANES) {
        const ptrdiff_t count = to - from < LANES ? to - from : LANES;
        vec z = hinge_of(v_load_count(x + from, count), g);
        z = count == LANES ? z : v_where(m_first(count), z);
        sums->value = exact_add(sums->value, add_power(wide_zero(), z, power));
        if (power == 2)
            sums->hinge = exact_add(sums->hinge, wide_of(z));
        active += m_count(v_gt(z, zero));
    }
    sums->active += (double)active;
}

INLINE void slope_range(real *grad, const real *x, ptrdiff_t from, ptrdiff_t to, gap g, vec scale, const int power)
{
    for (; from + LANES <= to; from += LANES)
        v_store(grad + from, slope_of(hinge_of(v_load(x + from), g), g, scale, power));
    if (from < to) {
        const vec z = hinge_of(v_load_first(x + from, to - from, 0), g);
        v_store_first(grad + from, slope_of(z, g, scale, power), to - from);
    }
}

/* The same around the caches: whole lines, but for the group in which the class's own slope is put afterwards. */
INLINE void slope_stream(real *grad, const real *x, ptrdiff_t n, ptrdiff_t y, gap g, vec scale, const int power)
{
    enum { GROUP = 256 };
    ptrdiff_t i = reals_to_line(grad);
    slope_range(grad, x, 0, i, g, scale, power);
    for (; i + GROUP <= n; i += GROUP) {
        if (i <= y && y < i + GROUP) {
            slope_range(grad, x, i, i + GROUP, g, scale, power);
            continue;
        }
        for (ptrdiff_t k = i; k < i + GROUP; k += LANES) {
            PREFETCH(x + n + k); /* the next row, while this one is being written */
            v_stream(grad + k, slope_of(hinge_of(v_load(x + k), g), g, scale, power));
        }
    }
    slope_range(grad, x, i, n, g, scale, power);
}

INLINE void curvature_row(real *hess, const real *x, ptrdiff_t n, ptrdiff_t y, gap g, double scale, double active,
                          const int power)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t count = n - i < LANES ? n - i : LANES;
        v_store_count(hess + i, curvature_of(hinge_of(v_load_count(x + i, count), g), scale, power), count);
    }
    hess[y] = (real)(power == 2 ? 2 * scale * active : 0);
}

INLINE row_value long_row(const lx_job *job, const real *x, ptrdiff_t y, gap g, double scale, real *grad, real *hess,
                          const int power)
{
    const ptrdiff_t n = job->cols, own = y / LANES * LANES, width = n - own < LANES ? n - own : LANES;
    row_sums sums = {exact_of(wide_zero()), exact_of(wide_zero()), 0};
    tally_range(&sums, x, 0, own, g, power);
    tally_range(&sums, x, own + width, n, g, power);
    const mask others = m_without(m_first(width), m_lane(y - own));
    const vec z = v_where(others, hinge_of(v_load_count(x + own, width), g));
    sums.value = exact_add(sums.value, add_power(wide_zero(), z, power));
    sums.hinge = exact_add(sums.hinge, wide_of(z));
    sums.active += m_count(v_gt(z, v_zero()));

    double slopes;
    const double hinge = wide_total(sums.hinge.sum) + exact_rest(sums.hinge);
    const double extra = given_back(hinge, sums.active, g, power, &slopes);
    const row_value value = {sums.value.sum, extra + exact_rest(sums.value)};
    if (hess)
        curvature_row(hess, x, n, y, g, scale, sums.active, power);
    if (grad) {
        const double total = wide_total(value.lanes);
        const vec each = v_set((real)(power * scale));
        if (job->stream && n >= 1024)
            slope_stream(grad, x, n, y, g, each, power);
        else
            slope_range(grad, x, 0, n, g, each, power);
        grad[y] = (real)(total != total ? total : 0 - slopes * scale);
    }
    return value;
}

/* ---- rows no longer than a vector, as one flat array ---- */

/* Gaps, one for every score. */
typedef struct {
    real rounded[(GROUP + 1) * LANES] ALIGNED, lost[(GROUP + 1) * LANES] ALIGNED;
} flat_gaps;

/* Sum of the values, NaN where infinite or NaN scores ask for more care; and the slopes but for the classes' own. */
INLINE wide flat_sum(const lx_job *job, const group *g, const flat_gaps *flat, real *grad, const int power)
{
    const ptrdiff_t n = g->count * job->cols;
    const vec each = v_set((real)(power * job->grad_scale));
    wide sum = wide_zero();
    vec given_back = v_zero();
#define STEP(count) \
    do { \
        vec z = v_max(v_zero(), v_load_count(g->x + i, count) + v_load(flat->rounded + i)); \
        z = count == LANES ? z : v_where(m_first(count), z); \
        const vec lost = v_load(flat->lost + i); \
        const mask active = v_gt(z, v_zero()); \
        sum = add_power(sum, z, power); \
        given_back += v_where(active, power == 1 ? lost : lost * (z + z + lost)); \
        if (grad) \
            v_store_count(grad + i, v_where(active, power == 1 ? each : each * (z + lost)), count); \
    } while (0)
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STEP(LANES);
    if (i < n)
        STEP(n - i);
#undef STEP
    return wide_add(sum, given_back);
}

INLINE int is_nan(wide sum)
{
    const double total = wide_total(sum);
    return total != total;
}

/* False where the rows are to be done one by one. */
INLINE int flat_rows(const lx_job *job, const group *g, const gaps *by_row, row_value *total, const int power)
{
    const ptrdiff_t cols = job->cols;
    flat_gaps flat;
    for (ptrdiff_t i = 0; i < g->count; i++) {
        v_store(flat.rounded + i * cols, v_set(by_row->rounded[i])); /* and beyond, where the next row follows */
        v_store(flat.lost + i * cols, v_set(by_row->lost[i]));
        flat.rounded[i * cols + g->y[i]] = (real)-INFINITY; /* no hinge of the class */
    }
    if (g->grad == g->x && is_nan(flat_sum(job, g, &flat, NULL, power))) /* before the scores are overwritten */
        return 0;
    const wide sum = g->grad ? flat_sum(job, g, &flat, g->grad, power) : flat_sum(job, g, &flat, NULL, power);
    if (is_nan(sum))
        return 0;
    total->lanes = wide_join(total->lanes, sum);
    for (ptrdiff_t i = 0; g->grad && i < g->count; i++) {
        real *grad = g->grad + i * cols;
        grad[g->y[i]] = (real)(0 - wide_total(wide_of(v_load_count(grad, cols))));
    }
    return 1;
}

/* ---- a group of rows ---- */

INLINE void short_rows(const lx_job *job, const group *g, row_value *total, const int weighted, const int vectors,
                       const int power)
{
    gaps by_row;
    find_gaps(job, g, &by_row);
    if (vectors == 1 && !weighted && job->reduce != LX_ROWS && !g->hess && flat_rows(job, g, &by_row, total, power))
        return;
    for (ptrdiff_t i = 0; i < g->count; i++) {
        const ptrdiff_t at = i * job->cols;
        for (ptrdiff_t k = 0; k < job->cols; k += REALS_PER_LINE) /* the next group: memory would follow the classes */
            PREFETCH(g->x + at + g->count * job->cols + k);
        const gap own = {by_row.rounded[i], by_row.lost[i]};
        const double scale = weighted ? g->grad_scale[i] : job->grad_scale;
        real *grad = g->grad ? g->grad + at : NULL, *hess = g->hess ? g->hess + at : NULL;
        const row_value value = short_row(job, g->x + at, g->y[i], own, scale, grad, hess, vectors, power);
        take_value(job, g, i, value, total, weighted);
    }
}

/* Of a row alone in its group. */
INLINE void one_long_row(const lx_job *job, const group *g, row_value *total, const int weighted, const int power)
{
    const double scale = weighted ? g->grad_scale[0] : job->grad_scale;
    const gap own = gap_between((real)job->param, g->own[0]);
    take_value(job, g, 0, long_row(job, g->x, g->y[0], own, scale, g->grad, g->hess, power), total, weighted);
}

INLINE void rows_with_power(const lx_job *job, const group *g, row_value *total, const int weighted, const int power)
{
    switch ((job->cols + LANES - 1) / LANES) {
    case 1: short_rows(job, g, total, weighted, 1, power); break;
    case 2: short_rows(job, g, total, weighted, 2, power); break;
    case 3: short_rows(job, g, total, weighted, 3, power); break;
    case 4: short_rows(job, g, total, weighted, 4, power); break;
    case 5: short_rows(job, g, total, weighted, 5, power); break;
    case 6: short_rows(job, g, total, weighted, 6, power); break;
    case 7: short_rows(job, g, total, weighted, 7, power); break;
    case 8: short_rows(job, g, total, weighted, 8, power); break;
    default: one_long_row(job, g, total, weighted, power);
    }
}

INLINE void rows(const lx_job *job, const group *g, row_value *total, const int weighted)
{
    if (job->power == 1)
        rows_with_power(job, g, total, weighted, 1);
    else
        rows_with_power(job, g, total, weighted, 2);
}
