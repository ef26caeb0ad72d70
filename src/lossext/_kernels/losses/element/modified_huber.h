/* Modified Huber loss of a score x and a target y, -1 or 1 (Zhang 2004), as scikit-learn's SGDClassifier; z = y x,
 * h = 1 - z:
 *
 *   value = max(0, h)^2 where z >= -1, else -4 z
 *   slope = -y min(4, 2 max(0, h))
 *   curvature = 2 where -1 <= z < 1, else 0
 *   majorizer = 2 / max(1, |x|)                 (f'(z) = -2 - majorizer z, even but for its linear part) */
NO_PARAMETERS
#define HAS_MAJORIZER

INLINE vec agreement(E e) { return v_select(v_gt(e.y, v_zero()), e.x, -e.x); }

INLINE vec value(E e)
{
    const vec z = agreement(e), h = v_max(v_zero(), one() - z); /* in this order NaN propagates */
    return v_select(v_lt(z, v_set(-1)), v_set(-4) * z, h * h);
}

INLINE vec slope(E e)
{
    const vec h = v_max(v_zero(), one() - agreement(e));
    return v_fnma(e.y, v_min(v_set(4), h + h), v_zero()); /* not -0 */
}

INLINE vec curvature(E e)
{
    const vec z = agreement(e);
    const vec inside = v_where(m_and(v_ge(z, v_set(-1)), v_lt(z, one())), v_set(2));
    return v_select(v_is_nan(z), z, inside);
}

INLINE vec majorizer(E e) { return v_set(2) / v_max(one(), v_abs(e.x)); }
