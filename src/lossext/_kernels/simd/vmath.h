/* exp, log1p and log on vectors: branch-free, for just the domains that losses need, which is what makes them short.
 *
 * Polynomials are minimax on the reduced range.  Largest error, float and double, with or without FMA:
 * exp 1.2 ulp, log1p 1.5 ulp, log 1.0 ulp; tests/test_accuracy.py holds the losses made of them to their bounds.
 * Never libm's scalar calls: they keep a loop from being vectorised. */
#ifndef LX_VMATH_H
#define LX_VMATH_H

#include "simd.h"

#ifdef LX_DOUBLE
#define LOG2_E 1.4426950408889634074
#define LN2_HIGH 0.69314718036912381649
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_FLOOR -709.0
#define EXP_ROUNDER (6755399441055744.0 + 1023.0) /* 1.5 2^52 + bias: adding it rounds to a whole number */
#else
#define LOG2_E 1.44269504088896341f
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.428606765330187e-06f
#define EXP_FLOOR -88.0f
#define EXP_ROUNDER 12583039.0f /* 1.5 2^23 + 127 */
#endif

/* c[0] + c[1] x + ... by Horner's rule; n is a constant where it is called */
INLINE vec v_polynomial(const real *c, int n, vec x)
{
    vec sum = v_set(c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        sum = v_fma(sum, x, v_set(c[i]));
    return sum;
}

/* The same in two chains, for polynomials long enough to wait for themselves */
INLINE vec v_polynomial2(const real *even, int n_even, const real *odd, int n_odd, vec x)
{
    vec x2 = x * x;
    return v_fma(v_polynomial(odd, n_odd, x2), x, v_polynomial(even, n_even, x2));
}

/* exp(x) for x <= 0; 0 under EXP_FLOOR, NaN stays NaN.
 * x = n ln 2 + r, exp(x) = 2^n (1 + r + r^2 p(r)).  2^n comes from the bits that the rounding constant leaves; it
 * multiplies, since adding to the exponent's bits would turn a NaN into a number. */
INLINE vec v_exp_negative(vec x)
{
#ifdef LX_DOUBLE
    static const real even[] = {0.50000000000000011102230246251565, 4.166666666662315055003062980176e-2,
                                1.3888888917505761745607717472240e-3, 2.480152097304114399171567906244e-5,
                                2.7620273897810473201474681936851e-7};
    static const real odd[] = {0.16666666666666674068153497501044, 8.333333333322577932134045397561e-3,
                               1.984126988566154510713890335438e-4, 2.755724325676873531966058414322e-6,
                               2.510973569790162275532351696464e-8};
#else
    static const real p[] = {0.5f, 0.1666657626628875732421875f, 4.16664667427539825439453125e-2f,
                             8.3632506430149078369140625e-3f, 1.393496873788535594940185546875e-3f};
#endif
    x = v_max(v_set(EXP_FLOOR), x);
    vec shifted = v_fma(x, v_set(LOG2_E), v_set(EXP_ROUNDER));
    vec n = shifted - v_set(EXP_ROUNDER);
    vec r = v_fnma(n, v_set(LN2_LOW), v_fnma(n, v_set(LN2_HIGH), x));
#ifdef LX_DOUBLE
    vec q = v_polynomial2(even, 5, odd, 5, r);
#else
    vec q = v_polynomial(p, 5, r);
#endif
    return (v_fma(q, r * r, r) + v_set(1)) * v_exponent(shifted);
}

/* log(1 + e) for 0 <= e <= 1.  With s = e / (2 + e), log(1 + e) = 2 atanh(s) = e - s (e - s^2 q(s^2)). */
INLINE vec v_log1p_unit(vec e)
{
    vec s = e / (e + v_set(2)), z = s * s;
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

/* log(a) for normal a > 0: a = m 2^k, log(m) as above with f = m - 1 in the place of e. */
INLINE vec v_log(vec a)
{
#ifdef LX_DOUBLE
    static const real c[] = {0.66666666666666696272613990004174, 0.39999999999899277236536931923183,
                             0.28571428626210204626545419159811, 0.22222211090523231952165741011341,
                             0.18182892462868555094601674682053, 0.15331610842054674428185747965387,
                             0.14617797125374243361051185474846};
    enum { TERMS = 7 };
#else
    static const real c[] = {0.66666686534881591796875f, 0.3998853862285614013671875f, 0.29587137699127197265625f};
    enum { TERMS = 3 };
#endif
    vec k, f = v_split(a, &k) - v_set(1), s = f / (f + v_set(2)), z = s * s;
    vec rest = v_fnma(k, v_set(LN2_LOW), s * v_fnma(z, v_polynomial(c, TERMS, z), f));
    return v_fma(k, v_set(LN2_HIGH), f - rest);
}

/* log(1 + a) for a >= 0, with what rounding 1 + a took away given back. */
INLINE vec v_log1p(vec a)
{
    const vec u = v_set(1) + a;
    return v_log(u) + (a - (u - v_set(1))) / u;
}

#endif
