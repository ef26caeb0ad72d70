/* Expectile loss of a prediction x and a target y, d = x - y, expectile q in (0, 1) (Newey and Powell 1987):
 *
 *   value = q d^2 if d < 0, else (1 - q) d^2
 *   slope = 2 q d if d < 0, else 2 (1 - q) d
 *   curvature = 2 q if d < 0, else 2 (1 - q)
 *   majorizer = 2 max(q, 1 - q) */
#define VARYING
PARAMETERS(expectile)
#define HAS_MAJORIZER

INLINE vec share(E e, vec d) { return v_select(v_lt(d, v_zero()), e.expectile, one() - e.expectile); }

INLINE vec value(E e)
{
    const vec d = e.x - e.y;
    return share(e, d) * d * d;
}

INLINE vec slope(E e)
{
    const vec d = e.x - e.y;
    return share(e, d) * (d + d);
}

INLINE vec curvature(E e)
{
    const vec d = e.x - e.y, half = share(e, d);
    return v_select(v_is_nan(d), d, half + half);
}

INLINE vec majorizer(E e)
{
    const vec half = v_max(e.expectile, one() - e.expectile);
    return half + half;
}
