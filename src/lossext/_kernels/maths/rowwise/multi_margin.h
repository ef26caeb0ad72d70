/* Multiclass hinge of a row of n scores x against the class y:
 *
 *   z_i = max(0, (margin - x_y) + x_i) for i != y,   z_y = 0
 *   value = sum_i z_i^p                              p is 1 or 2
 *   slope_i = p z_i^(p-1) [z_i > 0],                 slope_y = -sum of the others
 *   curvature_i = 2 [z_i > 0] for p = 2, else 0,     curvature_y = sum of the others
 *
 * (the caller divides by n).  z is formed in torch's order, so that the same columns are active; a NaN score makes its own
 * column NaN, and the class's. */

typedef struct {
    wide value, hinge; /* sums of z^p and, for p = 2, of z */
    vec active;        /* lanes' counts of z > 0: whole numbers, exact */
} row_sums;

INLINE vec hinge_of(vec x, vec shift) { return v_max(v_zero(), x + shift); } /* in this order NaN comes through */

INLINE void tally(row_sums *sums, vec z, const int power)
{
    wide_add(&sums->value, power == 1 ? z : z * z);
    if (power == 2)
        wide_add(&sums->hinge, z);
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
            wide_add(&sums->value, (a + b) + (c + d));
        else {
            wide_add(&sums->value, v_fma(a, a, b * b) + v_fma(c, c, d * d));
            wide_add(&sums->hinge, (a + b) + (c + d));
        }
        sums->active += (v_where(v_gt(a, zero), one) + v_where(v_gt(b, zero), one))
                        + (v_where(v_gt(c, zero), one) + v_where(v_gt(d, zero), one));
    }
    for (; from + LANES <= to; from += LANES)
        tally(sums, hinge_of(v_load(x + from), shift), power);
    if (from < to)
        tally(sums, v_where(m_first(to - from), hinge_of(v_load_first(x + from, to - from, 0), shift)), power);
}

INLINE vec slope_of(vec x, vec shift, vec scale, const int power)
{
    const vec z = hinge_of(x, shift);
    return power == 1 ? v_select(v_gt(z, v_zero()), scale, z) : scale * z; /* z is 0 or NaN where it is not positive */
}

INLINE void slope_range(real *grad, const real *x, ptrdiff_t from, ptrdiff_t to, vec shift, vec scale, const int power)
{
    for (; from + LANES <= to; from += LANES)
        v_store(grad + from, slope_of(v_load(x + from), shift, scale, power));
    if (from < to)
        v_store_first(grad + from, slope_of(v_load_first(x + from, to - from, 0), shift, scale, power), to - from);
}

/* The same around the caches: whole lines, but for the group in which the class's own slope is put afterwards. */
INLINE void slope_stream(real *grad, const real *x, ptrdiff_t n, ptrdiff_t y, vec shift, vec scale, const int power)
{
    enum { GROUP = 256 };
    ptrdiff_t i = reals_to_line(grad);
    slope_range(grad, x, 0, i, shift, scale, power);
    for (; i + GROUP <= n; i += GROUP) {
        if (i <= y && y < i + GROUP) {
            slope_range(grad, x, i, i + GROUP, shift, scale, power);
            continue;
        }
        for (ptrdiff_t k = i; k < i + GROUP; k += LANES) {
            PREFETCH(x + n + k); /* the next row, while this one is being written */
            v_stream(grad + k, slope_of(v_load(x + k), shift, scale, power));
        }
    }
    slope_range(grad, x, i, n, shift, scale, power);
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
    const vec shift = v_set((real)job->param - x[y]);
    row_sums sums = {wide_zero(), wide_zero(), v_zero()};

    const ptrdiff_t width = n - own < LANES ? n - own : LANES;
    const vec mine = width == LANES ? v_load(x + own) : v_load_first(x + own, width, 0);
    tally_range(&sums, x, 0, own, shift, power);
    tally(&sums, v_where(m_without(m_first(width), m_lane(y - own)), hinge_of(mine, shift)), power);
    tally_range(&sums, x, own + width, n, shift, power);

    const double value = wide_total(sums.value);
    if (grad || hess) {
        const double active = (double)v_sum(sums.active);

        const double pull = power == 2 ? 2 * wide_total(sums.hinge) : value != value ? value : active;
        const vec each = v_set((real)(power * scale));
        if (hess)
            curvature_row(hess, x, n, y, shift, (real)scale, active, power);
        if (grad) {
            if (job->stream && n >= 1024)
                slope_stream(grad, x, n, y, shift, each, power);
            else
                slope_range(grad, x, 0, n, shift, each, power);
            grad[y] = (real)(-pull * scale);
        }
    }
    return value;
}

INLINE double row(const lx_job *job, const real *x, ptrdiff_t y, double scale, real *grad, real *hess)
{
    if (job->power == 1)
        return row_with_power(job, x, y, scale, grad, hess, 1);
    return row_with_power(job, x, y, scale, grad, hess, 2);
}
