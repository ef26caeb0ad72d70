/* Hinge of a score x and a target y, -1 or 1, to the power P; h = margin - y x:
 *
 *   value = max(0, h)^P
 *   slope = -y where h >= 0, else 0;  P = 2: -2 y max(0, h)     (P = 1, at the kink: -y, as scikit-learn and keras)
 *   curvature = 0;                    P = 2: 2 where h > 0, else 0
 *   majorizer = 1 / (2 |h|);          P = 2: 2                  (touches the other branch at h - 2 h) */
VARIANT(P, 1, 2)
PARAMETERS(margin)
#define HAS_MAJORIZER

INLINE vec gap(E e) { return e.margin - v_select(v_gt(e.y, v_zero()), e.x, -e.x); }

INLINE vec value(E e)
{
    const vec h = v_max(v_zero(), gap(e)); /* in this order NaN propagates */
    return P == 1 ? h : h * h;
}

INLINE vec slope(E e)
{
    const vec z = gap(e), h = v_max(v_zero(), z);
    return P == 1 ? v_select(v_ge(z, v_zero()), -e.y, h) : v_fnma(e.y, h + h, v_zero()); /* not -0 */
}

INLINE vec curvature(E e)
{
    const vec h = v_max(v_zero(), gap(e));
    return P == 1 ? v_zero() : v_select(v_gt(h, v_zero()), v_set(2), h);
}

INLINE vec majorizer(E e) { return P == 1 ? v_set((real)0.5) / v_abs(gap(e)) : v_set(2); }
