/* Half the Poisson deviance of the logarithm x of a mean and a count y >= 0; t = x - log(y):
 *
 *   value = y log(y / e^x) - y + e^x = y (expm1(t) - t)
 *   slope = e^x - y = y expm1(t) = -e^x expm1(-t)
 *   curvature = fisher = e^x
 *
 * The form with t loses no digits at the optimum, that with e^x none far above it.  For y = 0 both are e^x. */
#include "_deviance.h"
NO_PARAMETERS
#define COSTLY
#define HAS_SHARED
#define HAS_LIMIT

INLINE vec shared(E e) { return log_ratio(e.x, positive_part(e.y)); }

INLINE vec value(E e)
{
    const mask some = v_gt(e.y, v_zero()), near = m_and(some, v_le(e.shared, v_set(2)));
    const vec far = v_exp(e.x) - v_where(some, e.y * (e.shared + one()));
    return v_select(near, e.y * v_expm1_minus(e.shared), far);
}

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE vec slope(E e)
{
    const vec share = v_expm1(v_minus_abs(e.shared)), mean = v_exp(e.x);
    const vec apart = v_select(v_ge(e.shared, v_zero()), -mean, e.y) * share;
    return v_select(v_gt(e.y, v_zero()), apart, mean);
}

INLINE vec curvature(E e) { return v_exp(e.x); }
