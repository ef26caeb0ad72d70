/* Multiclass hinge of a row of n scores x against the class y:
 *
 *   z_i = max(0, (margin - x_y) + x_i) for i != y,   z_y = 0
 *   value = sum_i z_i^p                              p is 1 or 2
 *   slope_i = p z_i^(p-1) [z_i > 0],                 slope_y = -sum of the others
 *   curvature_i = 2 [z_i > 0] for p = 2, else 0,     curvature_y = sum of the others
 *
 * (the caller divides by n).  margin - x_y is rounded before x_i is added, as in torch, so that the same columns are active;
 * what that rounding took away is given back to the active ones, without which a small z has few correct digits.  A NaN score
 * makes its own column NaN, and the class's. */

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

typedef struct {
    wide value, hinge; /* sums of z^p and, for p = 2, of z */
    vec active;        /* lanes' counts of z > 0: whole numbers, exact */
} row_sums;

INLINE vec hinge_of(vec x, vec shift) { return v_max(v_zero(), x + shift); } /* in this order NaN comes through */

INLINE void tally(row_sums *sums, vec z, const int power)
{
    sums->value = wide_add(sums->value, power == 1 ? z : z * z);
    if (power == 2)
        sums->hinge = wide_add(sums->hinge, z);
    sums->active += v_where(v_gt(z, v_zero()), v_set(1));
}

/* Columns [from, to), without the class's.  Four vectors are added before they are widened: two roundings. */
INLINE void tally_range(row_sums *sums, const real *x, ptrdiff_t from, ptrdiff_t to, vec shift, const int power)
{
    for (; from + 4 * LANES <= to; from += 4 * LANES) {
        const vec a = hinge_of(v_load(x + from), shift), b = hinge_of(v_load(x + from + LANES), shift);
        const vec c = hinge_of(v_load(x + from + 2 * LANES), shift), d = hinge_of(v_load(x + from + 3 * LANES), shift);
        const vec one = v_set(1), zero = v_zero();
        if (power == 1)
            sums->value = wide_add(sums->value, (a + b) + (c + d));
        else {
            sums->value = wide_add(sums->value, v_fma(a, a, b * b) + v_fma(c, c, d * d));
            sums->hinge = wide_add(sums->hinge, (a + b) + (c + d));
        }
        sums->active += (v_where(v_gt(a, zero), one) + v_where(v_gt(b, zero), one))
                        + (v_where(v_gt(c, zero), one) + v_where(v_gt(d, zero), one));
    }
    for (; from + LANES <= to; from += LANES)
        tally(sums, hinge_of(v_load(x + from), shift), power);
    if (from < to)
        tally(sums, v_where(m_first(to - from), hinge_of(v_load_first(x + from, to - from, 0), shift)), power);
}

INLINE vec slope_of(vec x, gap g, vec scale, const int power)
{
    const vec z = hinge_of(x, v_set(g.rounded)); /* 0 or NaN where it is not positive */
    return v_select(v_gt(z, v_zero()), power == 1 ? scale : scale * (z + v_set(g.lost)), z);
}

INLINE void slope_range(real *grad, const real *x, ptrdiff_t from, ptrdiff_t to, gap g, vec scale, const int power)
{
    for (; from + LANES <= to; from += LANES)
        v_store(grad + from, slope_of(v_load(x + from), g, scale, power));
    if (from < to)
        v_store_first(grad + from, slope_of(v_load_first(x + from, to - from, 0), g, scale, power), to - from);
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
            v_stream(grad + k, slope_of(v_load(x + k), g, scale, power));
        }
    }
    slope_range(grad, x, i, n, g, scale, power);
}

INLINE void curvature_row(real *hess, const real *x, ptrdiff_t n, ptrdiff_t y, vec shift, real scale, double active,
                          const int power)
{
    const vec each = v_set(power == 2 ? 2 * scale : 0), zero = v_zero();
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(hess + i, v_where(v_gt(hinge_of(v_load(x + i), shift), zero), each));
    if (i < n)
        v_store_first(hess + i, v_where(v_gt(hinge_of(v_load_first(x + i, n - i, 0), shift), zero), each), n - i);
    hess[y] = (real)(power == 2 ? 2 * scale * active : 0);
}

INLINE double row_with_power(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess,
                             const int power)
{
    const ptrdiff_t n = job->cols, own = y / LANES * LANES;
    const gap g = gap_between((real)job->param, x[y]);
    const vec shift = v_set(g.rounded);
    row_sums sums = {wide_zero(), wide_zero(), v_zero()};

    const ptrdiff_t width = n - own < LANES ? n - own : LANES;
    const vec mine = width == LANES ? v_load(x + own) : v_load_first(x + own, width, 0);
    tally_range(&sums, x, 0, own, shift, power);
    tally(&sums, v_where(m_without(m_first(width), m_lane(y - own)), hinge_of(mine, shift)), power);
    tally_range(&sums, x, own + width, n, shift, power);

    /* sum of (z + lost)^p over the active, and of its slopes */
    const double lost = g.lost, active = (double)v_sum(sums.active), hinges = wide_total(sums.hinge);
    double value = wide_total(sums.value), slopes;
    if (power == 1) {
        value += active * lost;
        slopes = value != value ? value : active;
    } else {
        value += lost * (2 * hinges + active * lost);
        slopes = 2 * (hinges + active * lost);
    }
    if (hess)
        curvature_row(hess, x, n, y, shift, (real)scale, active, power);
    if (grad) {
        const vec each = v_set((real)(power * scale));
        if (job->stream && n >= 1024)
            slope_stream(grad, x, n, y, g, each, power);
        else
            slope_range(grad, x, 0, n, g, each, power);
        grad[y] = (real)(-slopes * scale);
    }
    return value;
}

INLINE double row(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess)
{
    if (job->power == 1)
        return row_with_power(job, x, y, scale, grad, hess, 1);
    return row_with_power(job, x, y, scale, grad, hess, 2);
}
