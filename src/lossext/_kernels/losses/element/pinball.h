/* Pinball loss of a predicted quantile x and a target y, d = x - y, quantile q in (0, 1) (Koenker and Bassett 1978):
 *
 *   value = (1 - q) |d| if d > 0, else q |d|
 *   slope = 1 - q if d > 0, -q if d < 0, 0 at d = 0
 *   curvature = 0
 *   majorizer = 1 / (2 |d|), inf at d = 0                           (Hunter and Lange 2000) */
#define VARYING
PARAMETERS(quantile)
#define HAS_MAJORIZER

INLINE vec value(E e)
{
    const vec d = e.x - e.y;
    return v_select(v_gt(d, v_zero()), one() - e.quantile, e.quantile) * v_abs(d);
}

INLINE vec slope(E e)
{
    const vec d = e.x - e.y;
    const vec below = v_select(v_lt(d, v_zero()), -e.quantile, d); /* 0 and NaN stay */
    return v_select(v_gt(d, v_zero()), one() - e.quantile, below);
}

INLINE vec curvature(E e) { return (void)e, v_zero(); }

INLINE vec majorizer(E e) { return v_set((real)0.5) / v_abs(e.x - e.y); }
