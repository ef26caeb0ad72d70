/* Kullback-Leibler divergence of log-probabilities x from probabilities t: y, or e^y if LOG_TARGET, as torch:
 *
 *   value = t (log(t) - x), 0 at t = 0
 *   slope = -t
 *   curvature = 0 */
#include "_deviance.h"
VARIANT(LOG_TARGET, 0, 1)
NO_PARAMETERS
#define COSTLY

INLINE vec probability(E e) { return LOG_TARGET ? v_exp(e.y) : e.y; }

INLINE vec value(E e)
{
    const vec log_t = LOG_TARGET ? e.y : v_log(e.y), gap = log_t - e.x;
    const vec product = LOG_TARGET ? v_copysign(times_exp(v_abs(gap), e.y, v_zero()), gap) : e.y * gap;
    const mask some = v_gt(log_t, v_set((real)-INFINITY)), beyond = v_gt(v_abs(gap), v_set(REAL_MAX));
    return v_select(some, v_select(beyond, gap, product), v_where(v_is_nan(e.x), e.x)); /* 0 times inf is 0 */
}

INLINE vec slope(E e) { return v_select(v_is_nan(e.x), e.x, -probability(e)); }

INLINE vec curvature(E e) { return (void)e, v_zero(); }
