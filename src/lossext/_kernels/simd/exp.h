/* exp, expm1, expm1(x) - x and tanh(t) / t on vectors, branch-free.
 *
 * x = n ln 2 + r, |r| <= ln 2 / 2, exp(x) = 2^n (1 + r + r^2 q(r)); q is a minimax polynomial.
 * NaN propagates.  Results below the smallest normal number may be flushed to 0. */
#ifndef LX_EXP_H
#define LX_EXP_H

#include "polynomial.h"

#ifdef LX_DOUBLE
#define LOG2_E 1.4426950408889634074
#define LN2_HIGH 0.69314718036912381649
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_FLOOR -709.0   /* 2^n is 0 there */
#define EXP_BOTTOM -746.0  /* exp is 0 there */
#define EXP_CEILING 709.79 /* above the logarithm of the largest number */
#define EXPM1_FLOOR -40.0  /* where expm1 is -1 */
#define MOST_EXPONENT 1023.0
#define EXP_ROUNDER (6755399441055744.0 + 1023.0) /* 1.5 2^52 + bias: adding it rounds to a whole number */
#else
#define LOG2_E 1.44269504088896341f
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.428606765330187e-06f
#define EXP_FLOOR -88.0f
#define EXP_BOTTOM -105.0f
#define EXP_CEILING 88.73f
#define EXPM1_FLOOR -20.0f
#define MOST_EXPONENT 127.0f
#define EXP_ROUNDER 12583039.0f /* 1.5 2^23 + 127 */
#endif

/* q(r) of exp(r) = 1 + r + r^2 q(r) */
INLINE vec v_exp_tail(vec r)
{
#ifdef LX_DOUBLE
    static const real even[] = {0.50000000000000011102230246251565, 4.166666666662315055003062980176e-2,
                                1.3888888917505761745607717472240e-3, 2.480152097304114399171567906244e-5,
                                2.7620273897810473201474681936851e-7};
    static const real odd[] = {0.16666666666666674068153497501044, 8.333333333322577932134045397561e-3,
                               1.984126988566154510713890335438e-4, 2.755724325676873531966058414322e-6,
                               2.510973569790162275532351696464e-8};
    return v_polynomial2(even, 5, odd, 5, r);
#else
    static const real p[] = {0.5f, 0.1666657626628875732421875f, 4.16664667427539825439453125e-2f,
                             8.3632506430149078369140625e-3f, 1.393496873788535594940185546875e-3f};
    return v_polynomial(p, 5, r);
#endif
}

/* exp(x) for x <= 0; 0 below EXP_FLOOR, NaN stays NaN.
 * 2^n is made from the low bits after adding the rounding constant.  It is a factor, since adding to the exponent bits
 * would turn a NaN into a number. */
INLINE vec v_exp_negative(vec x)
{
    x = v_max(v_set(EXP_FLOOR), x);
    vec shifted = v_fma(x, v_set(LOG2_E), v_set(EXP_ROUNDER));
    vec n = shifted - v_set(EXP_ROUNDER);
    vec r = v_fnma(n, v_set(LN2_LOW), v_fnma(n, v_set(LN2_HIGH), x));
    vec power = v_exponent(shifted);
    return v_fma(v_fma(v_exp_tail(r), r * r, r), power, power);
}

/* x / ln 2 as a whole number, for floor <= x <= EXP_CEILING */
INLINE vec v_exp_whole(vec x) { return v_fma(x, v_set(LOG2_E), v_set(EXP_ROUNDER)) - v_set(EXP_ROUNDER); }

INLINE vec v_within(vec low, vec x, vec high) { return v_min(high, v_max(low, x)); }

/* r = x - n ln 2, with its rounding error */
INLINE pair v_exp_rest(vec x, vec n)
{
    const vec r = v_fnma(n, v_set(LN2_HIGH), x); /* exact */
    const vec sum = v_fnma(n, v_set(LN2_LOW), r);
    const pair rest = {sum, v_fnma(n, v_set(LN2_LOW), r - sum)};
    return rest;
}

/* 2^n; 0 where n is one less than the smallest exponent */
INLINE vec v_power_of_2(vec n) { return v_exponent(n + v_set(EXP_ROUNDER)); }

#ifndef NATIVE_SCALE
#undef EXP_BOTTOM
#define EXP_BOTTOM EXP_FLOOR
/* a 2^n for n up to one more than the largest exponent */
INLINE vec v_scale(vec a, vec n)
{
    const vec within = v_min(v_set(MOST_EXPONENT), n);
    return v_fma(a, n - within, a) * v_power_of_2(within);
}
#endif

/* exp(x) for any x */
INLINE vec v_exp(vec x)
{
    x = v_within(v_set(EXP_BOTTOM), x, v_set(EXP_CEILING));
    const vec n = v_exp_whole(x), r = v_exp_rest(x, n).hi;
    return v_scale(v_fma(v_exp_tail(r), r * r, r) + v_set(1), n);
}

/* exp(x) - 1 for any x: 2^n ((r + (1 - 2^-n)) + r^2 q(r)); the inner sum is exact where it cancels */
INLINE vec v_expm1(vec x)
{
    const vec y = v_within(v_set(EXPM1_FLOOR), x, v_set(EXP_CEILING)), n = v_exp_whole(y);
    const pair r = v_exp_rest(y, n);
    const vec tail = v_fma(v_exp_tail(r.hi), r.hi * r.hi, r.lo), back = v_power_of_2(-v_min(v_set(MOST_EXPONENT), n));
    return v_copysign(v_scale((r.hi + (v_set(1) - back)) + tail, n), x); /* -0 stays -0 */
}

/* exp(d), and *excess = expm1(d) - d for any d, never negative: d^2/2 + d^3 c(d) for |d| <= 1/2, elsewhere from
 * exp(d) = 2^n (s + t), s = 1 + r rounded and t the remainder: (2^n s - 1 - d) + 2^n t with a nearly exact bracket. */
INLINE vec v_exp_and_excess(vec d, vec *excess)
{
#ifdef LX_DOUBLE
    static const real even[] = {0.16666666666666666, 0.008333333333334055, 0.000198412698396338,
                                2.7557320803051187e-06, 2.5051402303417488e-08, 1.6195091140679205e-10};
    static const real odd[] = {0.041666666666666664, 0.0013888888888889588, 2.4801587300436794e-05,
                               2.7557320429438233e-07, 2.0876141923455643e-09, 1.1593846227720193e-11};
#else
    static const real c[] = {1.6666667e-01f, 4.1666664e-02f, 8.333174e-03f,
                             1.38891e-03f,   1.9966115e-04f, 2.4822451e-05f};
#endif
    const vec one = v_set(1), capped = v_min(v_set(EXP_CEILING), d), x = v_max(v_set(EXP_BOTTOM), capped);
    const mask far = v_gt(v_abs(d), v_set((real)0.5));
    const vec n = v_where(far, v_exp_whole(x));
    const pair r = v_exp_rest(x, n), s = pair_sum(one, r.hi);
    const vec half = r.hi * (r.hi * v_set((real)0.5));
#ifdef LX_DOUBLE
    const vec tail = v_fma(v_polynomial2(even, 6, odd, 6, r.hi), r.hi * r.hi * r.hi, half);
#else
    const vec tail = v_fma(v_polynomial(c, 6, r.hi), r.hi * r.hi * r.hi, half);
#endif
    const vec grown = v_scale(s.hi, n);
    const vec bracket = (v_max(grown, -capped) - one) + v_min(grown, -capped);
    *excess = v_scale(tail + v_where(far, s.lo + r.lo), n) + v_where(far, bracket);
    return v_scale(one + (r.hi + (r.lo + tail)), n);
}

INLINE vec v_expm1_minus(vec d)
{
    vec excess;
    v_exp_and_excess(d, &excess);
    return excess;
}

/* z A(z) and B(z) of tanh(t) / t = 1 + z A(z) / B(z), z = t^2, a rational minimax approximation for |t| < 1 */
INLINE void v_tanh_fraction(vec z, vec *numerator, vec *denominator)
{
#ifdef LX_DOUBLE
    static const real a[] = {-1311.7449902541894, -84.23744708573102, -0.9566769039986154, -6.765715299825864e-05};
    static const real b[] = {3935.2349707625685, 1826.8063295622048, 96.45928155641697, 1.0};
    enum { TERMS = 4 };
#else
    static const real a[] = {-21.204866f, -0.9342782f}, b[] = {63.614597f, 28.248663f, 1.0f};
    enum { TERMS = 2 };
#endif
    *numerator = z * v_polynomial(a, TERMS, z);
    *denominator = v_polynomial(b, sizeof b / sizeof *b, z);
}

/* tanh(t) / t, 1 at 0, from e = exp(-2 |t|): where |t| >= 1, (1 - e) / (|t| + |t| e) */
INLINE vec v_tanh_ratio_of(vec t, vec e)
{
    const vec one = v_set(1), size = v_abs(t);
    const mask near = v_lt(size, one);
    const vec below = v_max(v_fma(size, e, size), size); /* inf where |t| is, though inf e is NaN */
    vec a, b;
    v_tanh_fraction(t * t, &a, &b);
    return v_where(near, one) + v_select(near, a, one - e) / v_select(near, b, below);
}

/* tanh(t) from the same: where |t| >= 1, (1 - e) / (1 + e) */
INLINE vec v_tanh_of(vec t, vec e)
{
    const vec one = v_set(1);
    const mask near = v_lt(v_abs(t), one);
    vec a, b;
    v_tanh_fraction(t * t, &a, &b);
    const vec part = v_quotient(v_select(near, t * a, v_copysign(one - e, t)), v_select(near, b, one + e));
    return v_where(near, t) + part;
}

INLINE vec v_tanh_ratio(vec t) { return v_tanh_ratio_of(t, v_exp_negative(v_set(-2) * v_abs(t))); }

#endif
