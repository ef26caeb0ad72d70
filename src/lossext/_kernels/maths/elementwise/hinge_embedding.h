/* Hinge embedding of a distance x and a target y, 1 (alike) or -1 (apart):
 *
 *   value = x if y = 1, max(0, margin - x) if y = -1
 *   slope = 1 if y = 1, -1 if y = -1 and margin - x >= 0, else 0      (-1 at the kink, as torch)
 *   curvature = 0 */
#define HAS_POS_WEIGHT 0
#define HAS_SHARED 0
#define HAS_LOG1P 0

INLINE mask outside_domain(vec y) { return v_not_equal(v_abs(y), v_set(1)); }

INLINE vec value(const element *p)
{
    const vec apart = v_max(v_zero(), p->param - p->x); /* in this order NaN comes through */
    const vec v = v_select(v_gt(p->y, v_zero()), p->x, apart);
    return p->has_weight ? p->weight * v : v;
}

INLINE vec finite_value(const element *p) { return value(p); }

INLINE vec slope(const element *p)
{
    const vec gap = p->param - p->x;
    const vec apart = v_select(v_ge(gap, v_zero()), v_set(-1), v_max(v_zero(), gap)); /* 0 or NaN */
    return p->weight * v_select(v_gt(p->y, v_zero()), v_set(1), apart);
}

INLINE vec curvature(const element *p)
{
    (void)p;
    return v_zero();
}
