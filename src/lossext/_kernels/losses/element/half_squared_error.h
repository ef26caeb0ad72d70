/* Half the squared error of a prediction x and a target y, d = x - y, as scikit-learn:
 *
 *   value = d^2 / 2,  slope = d,  curvature = 1 */
NO_PARAMETERS

INLINE vec value(E e)
{
    const vec d = e.x - e.y;
    return v_set((real)0.5) * d * d; /* in this order it overflows only where the result does */
}

INLINE vec slope(E e) { return e.x - e.y; }

INLINE vec curvature(E e) { return (void)e, one(); }
