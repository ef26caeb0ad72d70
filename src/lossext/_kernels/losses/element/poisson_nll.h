/* Negative log-likelihood of a count y >= 0 whose Poisson distribution has the mean m, as torch but for `full`:
 *
 *   value = m - y log(m),                   log(m) = x if LOG_INPUT, else m = x >= 0 and log(m) = log(x + eps)
 *           + log(y!) if full               (torch: Stirling's approximation, and only above y = 1)
 *   LOG_INPUT:  slope = e^x - y,            curvature = fisher = e^x
 *   else:       slope = 1 - y / (x + eps),  curvature = y / (x + eps)^2, fisher = 1 / (x + eps) */
#include "_deviance.h"
VARIANT(LOG_INPUT, 0, 1)
#define PARTS mean /* e^x, or x + eps */
PARAMETERS(full, eps)
#define COSTLY
#define HAS_LIMIT
#define HAS_FISHER

INLINE parts parts_of(E e) { return (parts){LOG_INPUT ? v_exp(e.x) : e.x + e.eps}; }

/* What does not depend on the prediction; the same for all elements, `full` decides */
INLINE vec constant(E e) { return m_any(v_gt(e.full, v_zero())) ? v_log_factorial(e.y) : v_zero(); }

/* log(x + eps) with what rounding the sum took away, which counts where the sum is about 1 */
INLINE vec log_of_mean(E e)
{
    return v_log_of_sum(e.part.mean, pair_add(e.x, e.eps).lo);
}

INLINE vec value(E e)
{
    return (LOG_INPUT ? e.part.mean - e.y * e.x : e.x - e.y * log_of_mean(e)) + constant(e);
}

/* 0 times inf is 0, and an infinite mean outweighs its logarithm */
INLINE vec limit(E e)
{
    const vec mean = LOG_INPUT ? e.part.mean : e.x, log_mean = LOG_INPUT ? e.x : log_of_mean(e);
    const vec plain = mean - times(e.y, log_mean) + constant(e);
    return v_select(v_gt(mean, v_set(REAL_MAX)), mean, plain);
}

INLINE vec slope(E e)
{
    if (LOG_INPUT)
        return e.part.mean - e.y;
    return one() - v_select(v_gt(e.y, v_zero()), e.y / e.part.mean, v_min(v_zero(), e.part.mean)); /* 0, or NaN */
}

INLINE vec curvature(E e)
{
    if (LOG_INPUT)
        return e.part.mean;
    return v_select(v_gt(e.y, v_zero()), e.y / e.part.mean / e.part.mean, v_min(v_zero(), e.part.mean));
}

INLINE vec fisher(E e) { return LOG_INPUT ? e.part.mean : one() / e.part.mean; }
