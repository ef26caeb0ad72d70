/* Half the Poisson deviance of the logarithm x of a mean and a count y >= 0; t = x - log(y):
 *
 *   value = y log(y / e^x) - y + e^x = y (expm1(t) - t)
 *   slope = e^x - y = y expm1(t)
 *   curvature = fisher = e^x
 *
 * The forms with t lose no digits at the optimum, those with e^x none far above it; e^x for y = 0. */
#include "_deviance.h"
NO_PARAMETERS
#define HAS_SHARED
#define HAS_LIMIT

INLINE vec shared(E e) { return log_ratio(e.x, positive_part(e.y)); }

INLINE mask uses_ratio(E e) { return m_and(v_gt(e.y, v_zero()), v_le(e.shared, v_set(2))); }

INLINE vec value(E e)
{
    const vec far = v_exp(e.x) - v_where(v_gt(e.y, v_zero()), e.y * (e.shared + one()));
    return v_select(uses_ratio(e), e.y * v_expm1_minus(e.shared), far);
}

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE vec slope(E e) { return v_select(uses_ratio(e), e.y * v_expm1(e.shared), v_exp(e.x) - e.y); }

INLINE vec curvature(E e) { return v_exp(e.x); }
