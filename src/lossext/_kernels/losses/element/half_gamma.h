/* Half the gamma deviance of the logarithm x of a mean and an amount y > 0; t = log(y) - x, w = y e^-x:
 *
 *   value = w - 1 - log(w) = expm1(t) - t
 *   slope = 1 - w = -expm1(t)
 *   curvature = w
 *   fisher = 1
 *
 * The form with t keeps its digits near the optimum, the form with w far below it. */
#include "_deviance.h"
#define PARTS w, excess /* excess = expm1(t) - t; w = e^t, or y e^-x where the rounding of t would count */
NO_PARAMETERS
#define COSTLY
#define HAS_SHARED
#define HAS_LIMIT
#define HAS_FISHER

INLINE vec shared(E e) { return -log_ratio(e.x, e.y); }

static NOINLINE vec mean_ratio(E e) { return times_exp(e.y, -e.x, v_zero()); }

INLINE mask is_far(E e) { return v_gt(e.shared, v_set(2)); }

INLINE parts parts_of(E e)
{
    const mask far = is_far(e);
    parts p;
    const vec power = v_exp_and_excess(v_select(far, -e.x, e.shared), &p.excess);
    p.w = v_select(far, e.y * power, power);
    const mask large = m_and(far, v_gt(v_abs(e.x), v_set(64))); /* e^-x alone may be 0 or inf */
    if (m_any(large))
        p.w = v_select(large, mean_ratio(e), p.w);
    return p;
}

INLINE vec value(E e) { return v_select(is_far(e), e.part.w - (e.shared + one()), e.part.excess); }

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE vec slope(E e)
{
    const mask near = m_without(v_ge(e.shared, v_set(-1)), is_far(e));
    return v_select(near, v_zero() - (e.part.excess + e.shared), one() - e.part.w);
}

INLINE vec curvature(E e) { return mean_ratio(e); }

INLINE vec fisher(E e) { return (void)e, one(); }
