/* pow on vectors, branch-free: exp(b log(a)) with log(a) in two vectors, since the relative error of the logarithm is
 * multiplied by b log(a). */
#ifndef LX_POW_H
#define LX_POW_H

#include "log.h"

#ifdef LX_DOUBLE
#define POWER_CAP 18446744073709551616.0 /* 2^64: larger exponents give only 0, 1 and inf */
#define POWER_REST 9.094947017729282e-13 /* 2^-40: above the rounding error of b log(a) where exp is finite */
#else
#define POWER_CAP 1099511627776.0f /* 2^40 */
#define POWER_REST 3.0517578125e-05f /* 2^-15 */
#endif

/* log(a) for a > 0; hi is -inf at 0, inf at inf, NaN below 0 and for NaN.
 * a = 2^k m, c the nearest of three centres, s = 2 (m - c) / (m + c), z = s^2:
 * log(a) = k ln 2 + log(c) + s + s z R(z), and s z R(z) is so small that its roundings do not count.  The centres are
 * numbers whose logarithm is all but a short one (Gal 1986): k LN2_HIGH + log(c) is exact. */
INLINE pair v_log_pair(vec a)
{
#ifdef LX_DOUBLE
    static const real r[] = {0.08333333333333333,   0.01250000000000397,  0.0022321428560088128,
                             0.0004340279266763389, 8.87685318003023e-05, 1.91017937229786e-05};
    const real lower = 0.820780160226777, log_lower = -0.19749997612143488, lower_end = 0.906;
    const real upper = 1.2183530859714529, log_upper = 0.19750001723787136, upper_end = 1.1038;
    enum { TERMS = 6 };
#else
    static const real r[] = {8.3333336e-02f, 1.2499496e-02f, 2.2602002e-03f};
    const real lower = 0.8152427077293396f, log_lower = -0.2042694091796875f, lower_end = 0.903f;
    const real upper = 1.2455459833145142f, log_upper = 0.219573974609375f, upper_end = 1.116f;
    enum { TERMS = 3 };
#endif
    vec k;
    const vec m = v_split_any(a, &k), one = v_set(1);
    const mask below = v_lt(m, v_set(lower_end)), above = v_gt(m, v_set(upper_end));
    const vec c = v_select(below, v_set(lower), v_select(above, v_set(upper), one));
    const vec log_c = v_select(below, v_set(log_lower), v_where(above, v_set(log_upper)));
    const vec f = m - c, g = m + c, g_low = m - (g - c), twice = f + f, inverse = one / g, s = twice * inverse;
    const vec z = s * s;
    vec s_low = v_fnma(s, g_low, v_exact_fnma(s, g, twice)) * inverse;
#ifdef LX_DOUBLE /* what s and z lack counts in s^3 / 12, too */
    s_low *= v_fma(z, v_set(0.25), one);
    s_low = v_fma(v_product_error(s, s, z), s * v_set(1.0 / 12), s_low);
#endif
    const pair high = pair_sum(v_fma(k, v_set(LN2_HIGH), log_c), s);
    const vec low = v_fma(s * z, v_polynomial(r, TERMS, z), v_fma(k, v_set(LN2_LOW), s_low));
    pair sum = pair_sum(high.hi, high.lo + low);
    sum.hi = v_log_limits(a, sum.hi);
    return sum;
}

/* exp(hi + lo) for lo below half an ulp of hi; 1 if both are 0; lo is ignored where exp(hi) is 0 or inf */
INLINE vec v_exp_pair(vec hi, vec lo)
{
    const vec x = v_within(v_set(EXP_BOTTOM), hi, v_set(EXP_CEILING)), n = v_exp_whole(x), one = v_set(1);
    /* the bounds are second arguments, as these are the result for a NaN, where hi is infinite */
    const vec rest = v_min(v_max(lo, v_set(-POWER_REST)), v_set(POWER_REST));
    const vec r_high = v_fnma(n, v_set(LN2_HIGH), x), r_low = v_fnma(n, v_set(LN2_LOW), rest);
    const vec r = r_high + r_low, tail = v_exp_tail(r);
#ifdef LX_DOUBLE /* the rounding errors of v_exp and of the logarithm together would exceed the bound */
    const pair sum = pair_sum(one, r_high);
    return v_scale(sum.hi + (sum.lo + v_fma(tail, r * r, r_low)), n);
#else
    return v_scale(v_fma(tail, r * r, r) + one, n);
#endif
}

/* a^b for a >= 0 and any b; 1 for b = 0, NaN for a < 0 */
INLINE vec v_pow(vec a, vec b)
{
    const pair log_a = v_log_pair(a);
    const vec power = v_within(v_set(-POWER_CAP), b, v_set(POWER_CAP)), t = power * log_a.hi;
    const vec t_low = v_fma(power, log_a.lo, v_product_error(power, log_a.hi, t));
    const mask plain = v_not_equal(b, v_zero()); /* else 0 inf would be NaN */
    return v_exp_pair(v_where(plain, t), v_where(plain, t_low));
}

#endif
