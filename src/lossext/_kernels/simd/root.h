/* The square root with its inverse, for losses that need both. */
#ifndef LX_ROOT_H
#define LX_ROOT_H

#include "simd.h"

/* sqrt(a) for 1 <= a < 2^120, and 1 / sqrt(a). */
INLINE vec v_root(vec a, vec *inverse)
{
#ifdef LX_ISA_AVX512 /* Goldschmidt's steps, for the divider is busy three times as long; all but always rounded */
    const vec half = v_set((real)0.5);
#ifdef LX_DOUBLE
    const vec first = _mm512_rsqrt14_pd(a);
#else
    const vec first = _mm512_rsqrt14_ps(a);
#endif
    vec root = a * first, h = half * first;
    enum { STEPS = sizeof(real) / 4 }; /* 14 bits, 28, 56 */
    UNROLL(2)
    for (int i = 0; i < STEPS; i++) {
        const vec error = v_fnma(root, h, half);
        root = v_fma(root, error, root);
        h = v_fma(h, error, h);
    }
    *inverse = h + h;
    return v_fma(v_fnma(root, root, a), h, root);
#else
    const vec root = v_sqrt(a);
    *inverse = v_set(1) / root;
    return root;
#endif
}

#endif
