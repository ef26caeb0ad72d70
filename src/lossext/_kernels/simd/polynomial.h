/* Polynomials of vectors, and sums kept in two vectors. */
#ifndef LX_POLYNOMIAL_H
#define LX_POLYNOMIAL_H

#include "simd.h"

/* c[0] + c[1] x + ... by Horner's rule; callers pass a constant n */
INLINE vec v_polynomial(const real *c, int n, vec x)
{
    vec sum = v_set(c[n - 1]);
    UNROLL(16)
    for (int i = n - 2; i >= 0; i--)
        sum = v_fma(sum, x, v_set(c[i]));
    return sum;
}

/* The same in two chains, for long polynomials, which latency would slow down */
INLINE vec v_polynomial2(const real *even, int n_even, const real *odd, int n_odd, vec x)
{
    vec x2 = x * x;
    return v_fma(v_polynomial(odd, n_odd, x2), x, v_polynomial(even, n_even, x2));
}

/* A number as a sum: hi is the number rounded, lo the rounding error. */
typedef struct {
    vec hi, lo;
} pair;

/* a b - p for p = a b rounded: by one FMA, or by halves whose products are exact (Dekker 1971). */
INLINE vec v_product_error(vec a, vec b, vec p)
{
    if (FUSED)
        return v_fma(a, b, -p);
#ifdef LX_DOUBLE
    const vec splitter = v_set(134217729.0); /* 2^27 + 1 */
#else
    const vec splitter = v_set(4097.0f); /* 2^12 + 1 */
#endif
    const vec sa = a * splitter, sb = b * splitter;
    const vec ah = sa - (sa - a), al = a - ah, bh = sb - (sb - b), bl = b - bh;
    return al * bl - (((p - ah * bh) - al * bh) - ah * bl);
}

/* c - a b rounded once, for c near a b */
INLINE vec v_exact_fnma(vec a, vec b, vec c)
{
    if (FUSED)
        return v_fnma(a, b, c);
    const vec p = a * b;
    return (c - p) - v_product_error(a, b, p);
}

/* a + b with its rounding error, for |a| >= |b| or a = 0. */
INLINE pair pair_sum(vec a, vec b)
{
    const vec sum = a + b;
    const pair c = {sum, (a - sum) + b};
    return c;
}

#endif
