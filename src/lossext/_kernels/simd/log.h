/* log and log1p on vectors, branch-free.
 *
 * With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s (f - s^2 q(s^2)); q is a minimax polynomial. */
#ifndef LX_LOG_H
#define LX_LOG_H

#include "exp.h"

#ifdef LX_DOUBLE
#define LEAST_NORMAL DBL_MIN
#define LIFT 54.0 /* 2^LIFT times the smallest number is normal */
#define TWO_TO_LIFT 18014398509481984.0
#else
#define LEAST_NORMAL FLT_MIN
#define LIFT 25.0f
#define TWO_TO_LIFT 33554432.0f
#endif

/* log(1 + e) for 0 <= e <= 1 */
INLINE vec v_log1p_unit(vec e)
{
    vec s = v_quotient(e, e + v_set(2)), z = s * s;
#ifdef LX_DOUBLE
    static const real even[] = {0.66666666666666662965923251249478, 0.28571428567363826855896036249760,
                                0.18181789913527821079309095292538, 0.13314239751956289476808678314020,
                                8.8026870151819924803504591181991e-2};
    static const real odd[] = {0.40000000000012625456235036280178, 0.22222222702372474856433444398010,
                               0.15385561288185728434640964223945, 0.12000474095695726206578513028944,
                               0.16161611537214179423749271791366};
    vec q = v_polynomial2(even, 5, odd, 5, z);
#else
    static const real c[] = {0.66666638851165771484375f, 0.4000779092311859130859375f, 0.2823112905025482177734375f,
                             0.2688437402248382568359375f};
    vec q = v_polynomial(c, 4, z);
#endif
    return v_fnma(s, v_fnma(z, q, e), e);
}

/* log((1 + f + c) 2^k) for 1 + f in [sqrt(1/2), sqrt(2)) and c below half an ulp of it */
INLINE vec v_log_of_parts(vec k, vec f, vec c)
{
#ifdef LX_DOUBLE
    static const real q[] = {0.66666666666666696272613990004174, 0.39999999999899277236536931923183,
                             0.28571428626210204626545419159811, 0.22222211090523231952165741011341,
                             0.18182892462868555094601674682053, 0.15331610842054674428185747965387,
                             0.14617797125374243361051185474846};
    enum { TERMS = 7 };
#else
    static const real q[] = {0.66666686534881591796875f, 0.3998853862285614013671875f, 0.29587137699127197265625f};
    enum { TERMS = 3 };
#endif
    const vec s = f / (f + v_set(2)), z = s * s;
    const vec inverse = v_fnma(s + s, v_set(1) - s, v_set(1)); /* 1 / (1 + f) within one percent */
    const vec low = v_fma(k, v_set(LN2_LOW), c * inverse);
    const vec rest = s * v_fnma(z, v_polynomial(q, TERMS, z), f) - low;
    return v_fma(k, v_set(LN2_HIGH), f - rest);
}

/* log(a) for normal a > 0; unspecified otherwise, also for NaN */
INLINE vec v_log_normal(vec a)
{
    vec k;
    const vec f = v_split(a, &k) - v_set(1);
    return v_log_of_parts(k, f, v_zero());
}

/* v_split for any positive number */
INLINE vec v_split_any(vec a, vec *k)
{
    const mask small = v_lt(a, v_set(LEAST_NORMAL));
    const vec m = v_split(v_select(small, a * v_set(TWO_TO_LIFT), a), k);
    *k -= v_where(small, v_set(LIFT));
    return m;
}

#ifndef NATIVE_LOG_LIMITS
/* The limits of log(a): -inf where a is 0, inf where it is inf, NaN where it is negative or NaN; `finite` elsewhere */
INLINE vec v_log_limits(vec a, vec finite)
{
    const vec edge = v_select(v_ge(a, v_zero()), v_set((real)-INFINITY), v_set((real)NAN));
    return v_select(v_lt(a, v_set((real)INFINITY)), v_select(v_gt(a, v_zero()), finite, edge), a);
}
#endif

/* log(a) of any number */
INLINE vec v_log(vec a)
{
    vec k;
    const vec f = v_split_any(a, &k) - v_set(1);
    return v_log_limits(a, v_log_of_parts(k, f, v_zero()));
}

/* log(u + lost) for normal u > 0 and `lost` below half an ulp of it */
INLINE vec v_log_with_rest(vec u, vec lost)
{
    vec k;
    const vec f = v_split(u, &k) - v_set(1);
    return v_log_of_parts(k, f, lost * v_power_of_2(-v_min(v_set(64), k))); /* nothing is lost beyond 2^64 */
}

/* The same for any u */
INLINE vec v_log_of_sum(vec u, vec lost)
{
    vec k;
    const vec f = v_split_any(u, &k) - v_set(1);
    return v_log_limits(u, v_log_of_parts(k, f, lost * v_power_of_2(v_min(v_set(64), v_max(v_set(-64), -k)))));
}

/* log(1 + a) of any number, from u = 1 + a rounded and its rounding error */
INLINE vec v_log1p(vec a)
{
    const vec u = v_set(1) + a, lost = a - (u - v_set(1));
    return v_log_limits(u, v_copysign(v_log_with_rest(u, lost), a));
}

#endif
