/* Half the Poisson deviance of the logarithm x of a mean and a count y >= 0; t = x - log(y):
 *
 *   value = y log(y / e^x) - y + e^x = y (expm1(t) - t)
 *   slope = e^x - y = y expm1(t)
 *   curvature = fisher = e^x
 *
 * The form with t loses no digits at the optimum, that with e^x none far above it.  For y = 0 both are e^x. */
#include "_deviance.h"
#define PARTS power, excess /* e^t and expm1(t) - t where t <= 2, else e^x */
NO_PARAMETERS
#define COSTLY
#define HAS_SHARED
#define HAS_LIMIT

INLINE vec shared(E e) { return log_ratio(e.x, positive_part(e.y)); }

INLINE mask is_near(E e) { return m_and(v_gt(e.y, v_zero()), v_le(e.shared, v_set(2))); }

INLINE parts parts_of(E e)
{
    parts p;
    p.power = v_exp_and_excess(v_select(is_near(e), e.shared, e.x), &p.excess);
    return p;
}

INLINE vec value(E e)
{
    const vec far = e.part.power - v_where(v_gt(e.y, v_zero()), e.y * (e.shared + one()));
    return v_select(is_near(e), e.y * e.part.excess, far);
}

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE vec slope(E e)
{
    const vec growth = v_select(v_lt(e.shared, v_set(-1)), e.part.power - one(), e.part.excess + e.shared);
    return v_select(is_near(e), e.y * growth, e.part.power - e.y);
}

INLINE vec curvature(E e) { return v_exp(e.x); }
