/* Squared error of a prediction x and a target y, d = x - y, as torch:
 *
 *   value = d^2,  slope = 2 d,  curvature = 2 */
NO_PARAMETERS

INLINE vec value(E e)
{
    const vec d = e.x - e.y;
    return d * d;
}

INLINE vec slope(E e)
{
    const vec d = e.x - e.y;
    return d + d;
}

INLINE vec curvature(E e) { return (void)e, v_set(2); }
