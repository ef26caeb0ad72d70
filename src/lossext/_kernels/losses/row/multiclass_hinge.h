/* Hinge of Crammer and Singer (2001):  z = margin - x_y + max_{j != y} x_j,
 *
 *   value = max(0, z),   slope_y = -1 and slope_b = 1 where z > 0, b the lowest column of the maximum
 *
 * margin - x_y = shift + lost, as in multi_margin.h.  A NaN score makes its own column NaN, and the class's. */
PARAMETERS(margin)
enum { PEAK = 1, BEST = 1, KEEP = 0, EAGER = 0, OWN = 1, SUMS = TERM };

typedef struct {
    vec gap, lost;
} row;

INLINE row begin(const parameters *p, vec own, vec peak)
{
    row r;
    const vec shift = exact_difference(p->margin, own, &r.lost);
    r.gap = shift + peak;
    return r;
}

INLINE vec term(const row *r, vec x) { return (void)r, v_where(v_is_nan(x), x); }

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const mask active = v_gt(r->gap, v_zero());
    const vec value = v_select(active, r->gap + r->lost, v_max(v_zero(), r->gap)) + t->term;
    const vec step = v_select(v_is_nan(value), v_zero(), v_where(active, one()));
    (void)p;
    return (result){value, v_zero(), v_select(v_is_nan(value), value, v_zero() - step), v_zero(), step};
}

INLINE vec slope(const row *r, entry e) { return (void)r, e.t; }

INLINE vec curvature(const row *r, entry e) { return (void)r, (void)e, v_zero(); }
