/* Hinge embedding of a distance x and a target y, 1 (alike) or -1 (apart), as torch:
 *
 *   value = x if y = 1, max(0, margin - x) if y = -1
 *   slope = 1 if y = 1, -1 if y = -1 and margin - x >= 0, else 0      (-1 at the kink)
 *   curvature = 0 */
PARAMETERS(margin)

INLINE vec value(E e)
{
    const vec apart = v_max(v_zero(), e.margin - e.x); /* in this order NaN propagates */
    return v_select(v_gt(e.y, v_zero()), e.x, apart);
}

INLINE vec slope(E e)
{
    const vec gap = e.margin - e.x;
    const vec apart = v_select(v_ge(gap, v_zero()), v_set(-1), v_max(v_zero(), gap)); /* 0 or NaN */
    return v_select(v_gt(e.y, v_zero()), one(), apart);
}

INLINE vec curvature(E e) { return (void)e, v_zero(); }
