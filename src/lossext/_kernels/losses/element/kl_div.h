/* Kullback-Leibler divergence of log-probabilities x from probabilities t: y, or e^y if LOG_TARGET, as torch:
 *
 *   value = t (log(t) - x), 0 at t = 0
 *   slope = -t
 *   curvature = 0 */
#include "_deviance.h"
VARIANT(LOG_TARGET, 0, 1)
NO_PARAMETERS
#define COSTLY
#define HAS_LIMIT

INLINE vec probability(E e) { return LOG_TARGET ? v_exp(e.y) : e.y; }

INLINE vec of_logarithm(E e)
{
    const vec gap = e.y - e.x, product = v_copysign(times_exp(v_abs(gap), e.y, v_zero()), gap);
    const mask some = v_gt(e.y, v_set((real)-INFINITY)), beyond = v_gt(v_abs(gap), v_set(REAL_MAX));
    return v_select(some, v_select(beyond, gap, product), v_where(v_is_nan(e.x), e.x));
}

INLINE vec of_probability(E e) /* not -0 */
{
    return v_fma(e.y, v_where(v_gt(e.y, v_zero()), v_log(e.y)) - e.x, v_zero());
}

INLINE vec value(E e) { return LOG_TARGET ? of_logarithm(e) : of_probability(e); }

INLINE vec limit(E e) { return v_where(v_is_nan(e.x), e.x); } /* 0 times inf is 0 */

INLINE vec slope(E e) { return v_select(v_is_nan(e.x), e.x, -probability(e)); }

INLINE vec curvature(E e) { return (void)e, v_zero(); }
