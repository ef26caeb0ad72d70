/* Half the gamma deviance of the logarithm x of a mean and an amount y > 0; t = log(y) - x, w = y e^-x:
 *
 *   value = w - 1 - log(w) = expm1(t) - t
 *   slope = 1 - w = -expm1(t) = w expm1(-t)
 *   curvature = w
 *   fisher = 1
 *
 * The form with t loses no digits at the optimum, that with w none far below it. */
#include "_deviance.h"
NO_PARAMETERS
#define COSTLY
#define HAS_SHARED
#define HAS_LIMIT
#define HAS_FISHER

INLINE vec shared(E e) { return -log_ratio(e.x, e.y); }

INLINE vec curvature(E e) { return times_exp(e.y, -e.x, v_zero()); }

INLINE vec value(E e)
{
    const vec far = curvature(e) - (e.shared + one());
    return v_select(v_le(e.shared, v_set(2)), v_expm1_minus(e.shared), far);
}

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE vec slope(E e)
{
    return v_select(v_gt(e.shared, v_zero()), curvature(e), v_set(-1)) * v_expm1(v_minus_abs(e.shared));
}

INLINE vec fisher(E e) { return (void)e, one(); }
