/* Huber loss of a prediction x and a target y, d = x - y, delta > 0 or inf (Huber 1964), as torch:
 *
 *   value = d^2 / 2 if |d| <= delta, else delta (|d| - delta / 2)
 *   slope = max(-delta, min(delta, d))
 *   curvature = 1 if |d| <= delta, else 0
 *   majorizer = min(1, delta / |d|) */
PARAMETERS(delta)
#define HAS_MAJORIZER

INLINE vec value(E e)
{
    const vec d = e.x - e.y, size = v_abs(d), half = v_set((real)0.5);
    return v_select(v_le(size, e.delta), half * d * d, e.delta * (size - half * e.delta));
}

INLINE vec slope(E e) { return v_min(e.delta, v_max(-e.delta, e.x - e.y)); } /* in this order NaN propagates */

INLINE vec curvature(E e)
{
    const vec size = v_abs(e.x - e.y);
    return v_select(v_le(size, e.delta), one(), v_min(v_zero(), size)); /* 0, or NaN */
}

INLINE vec majorizer(E e)
{
    const vec size = v_abs(e.x - e.y);
    return v_select(v_le(size, e.delta), one(), e.delta / size);
}
