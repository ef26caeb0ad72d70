/* Functions shared by half deviances with a log link, where x is the logarithm of the mean. */
#include "simd/vmath.h"

/* y, 1 where it is not positive */
INLINE vec positive_part(vec y) { return v_select(v_gt(y, v_zero()), y, v_set(1)); }

/* a + b with its rounding error, for any a and b (Knuth) */
INLINE pair pair_add(vec a, vec b)
{
    const vec sum = a + b, from_b = sum - a;
    const pair c = {sum, (a - (sum - from_b)) + (b - from_b)};
    return c;
}

/* x - log(y) for y > 0, rounded once, since an error of the logarithm would have the effect of an error of x */
INLINE vec log_ratio(vec x, vec y)
{
    const pair log_y = v_log_pair(y);
    return (x - log_y.hi) - log_y.lo;
}

/* The least n of v_scale: where the machine scales, results go below the least normal number */
#ifdef NATIVE_SCALE
#define LEAST_SCALE (-2 * (real)MOST_EXPONENT)
#else
#define LEAST_SCALE (-(real)MOST_EXPONENT)
#endif

/* y exp(t + rest) for finite y >= 0, where exp(t) alone may overflow; `rest` is below half an ulp of t */
INLINE vec times_exp(vec y, vec t, vec rest)
{
    const real most = 4 * (real)MOST_EXPONENT;
    vec k;
    const vec m = v_split_any(positive_part(y), &k), x = v_within(v_set(-most), t, v_set(most)), n = v_exp_whole(x);
    const pair r = v_exp_rest(x, n);
    const vec s = r.hi + v_where(v_lt(v_abs(t), v_set(most)), rest);
    const vec grown = m * (v_fma(v_exp_tail(s), s * s, s) + v_set(1));
    const vec sum = v_max(v_set(LEAST_SCALE), n + k);
    const vec product = v_scale(grown, v_select(v_gt(sum, v_set((real)MOST_EXPONENT + 1)), v_set(most), sum));
    return v_select(v_gt(y, v_zero()), product, y);
}
