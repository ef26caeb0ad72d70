/* Hinge of Crammer and Singer (2001):  z = margin - x_y + max_{j != y} x_j,
 *
 *   value = max(0, z),   slope_y = -1 and slope_b = 1 where z > 0, b the lowest column of the maximum
 *
 * margin - x_y = shift + lost, as in multi_margin.h.  A NaN score makes its own column NaN, and the class's. */
PARAMETERS(margin)
enum { TARGETS = 0, PEAK = 1, BEST = 1, KEEP = 0, EAGER = 0, SUMS = TERM };

typedef struct {
    vec gap, lost, peak, shift;
} row;

INLINE row begin(const parameters *p, vec own, vec peak)
{
    row r;
    const vec shift = exact_difference(p->margin, own, &r.lost);
    r.gap = shift + peak;
    r.peak = peak;
    r.shift = shift;
    return r;
}

INLINE vec term(const row *r, vec x) { return (void)r, v_where(v_is_nan(x), x); }

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const mask active = v_gt(r->gap, v_zero());
    const vec value = v_select(active, r->gap + r->lost, v_max(v_zero(), r->gap)) + t->term;
    const vec step = v_select(v_is_nan(value), v_zero(), v_where(active, one()));
    (void)p;
    return (result){.value = value, .own_slope = v_select(v_is_nan(value), value, v_zero() - step), .best_slope = step};
}

INLINE vec slope(const row *r, entry e) { return (void)r, e.t; }

INLINE vec curvature(const row *r, entry e) { return (void)r, (void)e, v_zero(); }

/* With z_b the greatest of z_j = margin - x_y + x_j: 1 / |z_b| at the class; at the others 1 / |z_j| where z_b < 0,
 * else 1 / (z_b - z_j), at b the greatest of all these. */
#define HAS_MAJORIZER
INLINE vec majorizer(const row *r, entry e)
{
    const vec gap = v_select(v_gt(r->gap, v_zero()), r->peak - e.x, (e.x + r->shift) + r->lost);
    return one() / v_abs(gap);
}
INLINE vec own_majorizer(const row *r, vec sum, vec greatest)
{
    return (void)sum, (void)greatest, one() / v_abs(r->gap + r->lost);
}
INLINE vec best_majorizer(const row *r, vec greatest)
{
    const vec own = one() / v_abs(r->gap + r->lost);
    return v_select(v_gt(r->gap, v_zero()), v_max(own, greatest), own);
}
