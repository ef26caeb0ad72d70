/* Smooth absolute error of a prediction x and a target y, d = x - y, beta >= 0 (Girshick 2015), as torch:
 *
 *   value = d^2 / (2 beta) if |d| < beta, else |d| - beta / 2
 *   slope = d / beta if |d| < beta, else sign(d), 0 at d = beta = 0
 *   curvature = 1 / beta if |d| < beta, else 0
 *   majorizer = 1 / max(beta, |d|), inf at d = beta = 0 */
PARAMETERS(beta)
#define HAS_MAJORIZER

INLINE vec value(E e)
{
    const vec d = e.x - e.y, size = v_abs(d), half = v_set((real)0.5);
    return v_select(v_lt(size, e.beta), half * d * (d / e.beta), size - half * e.beta);
}

INLINE vec slope(E e)
{
    const vec d = e.x - e.y;
    return v_select(v_lt(v_abs(d), e.beta), d / e.beta, v_sign(d));
}

INLINE vec curvature(E e)
{
    const vec size = v_abs(e.x - e.y);
    return v_select(v_lt(size, e.beta), one() / e.beta, v_min(v_zero(), size)); /* 0, or NaN */
}

INLINE vec majorizer(E e) { return one() / v_max(e.beta, v_abs(e.x - e.y)); } /* in this order NaN propagates */
