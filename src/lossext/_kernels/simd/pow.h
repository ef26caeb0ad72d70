/* pow on vectors, branch-free: exp(b log(a)) with log(a) in two vectors, since an error of the logarithm counts
 * b log(a) times. */
#ifndef LX_POW_H
#define LX_POW_H

#include "log.h"

#ifdef LX_DOUBLE
#define POWER_CAP 18446744073709551616.0 /* 2^64: larger exponents give nothing but 0, 1 and inf */
#define POWER_REST 9.094947017729282e-13 /* 2^-40: more than what is lost of b log(a) where exp is finite */
#else
#define POWER_CAP 1099511627776.0f /* 2^40 */
#define POWER_REST 3.0517578125e-05f /* 2^-15 */
#endif

/* log(a) for a > 0; hi is -inf at 0, inf at inf, NaN below 0 and for NaN.
 * With s = 2 f / (2 + f), z = s^2: log(1 + f) = s + s z (1/12 + z R(z)). */
INLINE pair v_log_pair(vec a)
{
#ifdef LX_DOUBLE
    static const real c[] = {4.625929269271485e-18, 0.012500000000000705, 0.0022321428570390303, 0.0004340277835922468,
                             8.877824397924585e-05, 1.8782662775489402e-05, 4.045659559958009e-06,
                             1.00680047204997e-06};
    const vec twelfth = v_set(0.08333333333333333); /* c[0] is what it lacks */
    enum { TERMS = 8 };
#else
    static const real c[] = {-2.483527e-09f, 1.2500048e-02f, 2.2302414e-03f, 4.5741492e-04f};
    const vec twelfth = v_set(8.3333336e-02f);
    enum { TERMS = 4 };
#endif
    vec k;
    const vec m = v_split_any(a, &k), one = v_set(1), f = m - one;
    const pair g = pair_sum(one, m); /* exact for m up to 2 as well */
    const vec twice = f + f, inverse = one / g.hi;
    pair s, z;
    s.hi = twice * inverse;
    const vec back = s.hi * g.hi;
    s.lo = (((twice - back) - v_product_error(s.hi, g.hi, back)) - s.hi * g.lo) * inverse;
    z = pair_product(s, s);
    const pair p = pair_sum(twelfth, v_polynomial(c, TERMS, z.hi));
    const pair w = pair_product(s, pair_product(z, p));
    const pair h = pair_sum(s.hi, w.hi), high = pair_sum(k * v_set(LN2_HIGH), h.hi);
    pair sum = pair_sum(high.hi, high.lo + (h.lo + v_fma(k, v_set(LN2_LOW), s.lo + w.lo)));
    sum.hi = v_log_limits(a, sum.hi);
    return sum;
}

/* exp(hi + lo) for hi + lo with lo below hi's rounding, 1 if hi and lo are 0; what lo adds to 0 or inf does not count */
INLINE vec v_exp_pair(vec hi, vec lo)
{
    const vec x = v_within(v_set(EXP_FLOOR), hi, v_set(EXP_CEILING)), n = v_exp_whole(x);
    /* the bounds come second: they are what remains of a NaN, where hi is infinite */
    const vec rest = v_min(v_max(lo, v_set(-POWER_REST)), v_set(POWER_REST));
    const pair r = v_exp_rest(x, n);
    const vec y = r.hi + rest;
    return v_scale(v_fma(v_exp_tail(y), y * y, y) + v_set(1), n);
}

/* a^b for a >= 0; 1 for b = 0, NaN for a < 0 */
INLINE vec v_pow(vec a, vec b)
{
    const pair log_a = v_log_pair(a);
    const vec power = v_within(v_set(-POWER_CAP), b, v_set(POWER_CAP)), t = power * log_a.hi;
    const vec t_rest = v_fma(power, log_a.lo, v_product_error(power, log_a.hi, t));
    return v_exp_pair(v_where(v_not_equal(b, v_zero()), t), t_rest);
}

#endif
