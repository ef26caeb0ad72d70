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

INLINE gap gap_between(real margin, real x_y)
{
    const real rounded = margin - x_y, back = rounded - margin;
    const real lost = (margin - (rounded - back)) - (x_y + back);
    const gap g = {rounded, lost == lost ? lost : 0}; /* nothing to give back at infinity */
    return g;
}

INLINE vec hinge_of(vec x, gap g) { return v_max(v_zero(), x + v_set(g.rounded)); } /* in this order NaN comes through */

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

INLINE wide power_of(vec z, const int power) { return power == 1 ? wide_of(z) : wide_square(wide_of(z)); }

/* What the sums of the rounded z say of the true ones: sum (z + lost)^p, and the sum of their slopes. */
INLINE row_value finish(const row_sums *sums, gap g, const int power, double *slopes)
{
    const double lost = g.lost, active = sums->active;
    const double rounding = exact_rest(sums->value);
    row_value v = {sums->value.sum, active * lost};
    *slopes = active;
    if (power == 2) {
        const double hinge = wide_total(sums->hinge.sum) + exact_rest(sums->hinge);
        v.extra = lost * (2 * hinge + active * lost);
        *slopes = 2 * (hinge + active * lost);
    }
    if (!(fabs(v.extra) <= DBL_MAX)) /* beside an infinite hinge nothing was lost */
        v.extra = 0;
    v.extra += rounding;
    return v;
}

enum { SHORT = 8 };

/* A row of at most SHORT vectors, `vectors` a constant: it is read once, and nothing is added across lanes. */
INLINE row_value short_row(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess,
                           const int vectors, const int power)
{
    const ptrdiff_t rest = job->cols - (vectors - 1) * LANES; /* columns in the last vector */
    const gap g = gap_between((real)job->param, x[y]);
    vec z[SHORT];
    wide powers = wide_zero(), hinges = wide_zero();
    int active = 0;
    mask nan = m_none();
    UNROLL(8)
    for (int i = 0; i < vectors; i++) {
        const mask class = m_lane(y - i * LANES);
        const mask others = m_without(i < vectors - 1 ? m_first(LANES) : m_first(rest), class);
        z[i] = v_where(others, hinge_of(i < vectors - 1 ? v_load(x + i * LANES) : v_load_first(x + i * LANES, rest, 0), g));
        powers = wide_join(powers, power_of(z[i], power));
        if (power == 2)
            hinges = wide_add(hinges, z[i]);
        active += m_count(v_gt(z[i], v_zero()));
        nan = m_or(nan, v_is_nan(z[i]));
    }
    const row_sums sums = {exact_of(powers), exact_of(hinges), active};
    double slopes;
    const row_value value = finish(&sums, g, power, &slopes);
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
        v_store_first(grad + (vectors - 1) * LANES, slope_of(z[vectors - 1], g, each, power), rest);
        grad[y] = m_any(nan) ? (real)NAN : (real)(0 - slopes * scale);
    }
    return value;
}

INLINE wide sum_of_four(wide a, wide b, wide c, wide d) { return wide_join(wide_join(a, b), wide_join(c, d)); }

/* Columns [from, to), without the class's.  Eight vectors are added plainly, and the sums of eight exactly, or the
 * error of a long row's sum would grow with its length. */
INLINE void tally_range(row_sums *sums, const real *x, ptrdiff_t from, ptrdiff_t to, gap g, const int power)
{
    const vec one = v_set(1), zero = v_zero(), quarter = v_set((real)0.25);
    vec active = v_zero();
    for (; from + 8 * LANES <= to; from += 8 * LANES) {
        wide value = wide_zero(), hinge = wide_zero();
        for (const real *four = x + from; four < x + from + 8 * LANES; four += 4 * LANES) {
            const vec a = hinge_of(v_load(four), g), b = hinge_of(v_load(four + LANES), g);
            const vec c = hinge_of(v_load(four + 2 * LANES), g), d = hinge_of(v_load(four + 3 * LANES), g);
            if (power == 1) /* quarters cannot overflow */
                value = wide_add(value, v_fma(a, quarter, b * quarter) + v_fma(c, quarter, d * quarter));
            else {
                const wide wa = wide_of(a), wb = wide_of(b), wc = wide_of(c), wd = wide_of(d);
                hinge = wide_join(hinge, sum_of_four(wa, wb, wc, wd));
                value = wide_join(value, sum_of_four(wide_square(wa), wide_square(wb), wide_square(wc), wide_square(wd)));
            }
            active += (v_where(v_gt(a, zero), one) + v_where(v_gt(b, zero), one))
                      + (v_where(v_gt(c, zero), one) + v_where(v_gt(d, zero), one));
        }
        sums->value = exact_add(sums->value, power == 1 ? wide_scale(value, 4) : value);
        sums->hinge = power == 1 ? sums->hinge : exact_add(sums->hinge, hinge);
    }
    for (; from < to; from += LANES) {
        const ptrdiff_t count = to - from < LANES ? to - from : LANES;
        vec z = hinge_of(v_load_count(x + from, count), g);
        z = count == LANES ? z : v_where(m_first(count), z);
        sums->value = exact_add(sums->value, power_of(z, power));
        if (power == 2)
            sums->hinge = exact_add(sums->hinge, wide_of(z));
        active += v_where(v_gt(z, zero), one);
    }
    sums->active += (double)v_sum(active);
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

INLINE row_value long_row(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess,
                          const int power)
{
    const ptrdiff_t n = job->cols, own = y / LANES * LANES, width = n - own < LANES ? n - own : LANES;
    const gap g = gap_between((real)job->param, x[y]);
    row_sums sums = {exact_of(wide_zero()), exact_of(wide_zero()), 0};
    tally_range(&sums, x, 0, own, g, power);
    tally_range(&sums, x, own + width, n, g, power);
    const mask others = m_without(m_first(width), m_lane(y - own));
    const vec z = v_where(others, hinge_of(v_load_count(x + own, width), g));
    sums.value = exact_add(sums.value, power_of(z, power));
    sums.hinge = exact_add(sums.hinge, wide_of(z));
    sums.active += m_count(v_gt(z, v_zero()));

    double slopes;
    const row_value value = finish(&sums, g, power, &slopes);
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

INLINE row_value row_with_power(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess,
                                const int power)
{
    switch ((job->cols + LANES - 1) / LANES) {
    case 1: return short_row(job, x, y, scale, grad, hess, 1, power);
    case 2: return short_row(job, x, y, scale, grad, hess, 2, power);
    case 3: return short_row(job, x, y, scale, grad, hess, 3, power);
    case 4: return short_row(job, x, y, scale, grad, hess, 4, power);
    case 5: return short_row(job, x, y, scale, grad, hess, 5, power);
    case 6: return short_row(job, x, y, scale, grad, hess, 6, power);
    case 7: return short_row(job, x, y, scale, grad, hess, 7, power);
    case 8: return short_row(job, x, y, scale, grad, hess, 8, power);
    }
    return long_row(job, x, y, scale, grad, hess, power);
}

INLINE row_value row(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess)
{
    if (job->power == 1)
        return row_with_power(job, x, y, scale, grad, hess, 1);
    return row_with_power(job, x, y, scale, grad, hess, 2);
}
