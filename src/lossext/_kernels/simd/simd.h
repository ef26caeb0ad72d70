/* The vector layer: one `real`, one `vec` of LANES reals (REGISTERS of them) and one `mask`, for the instruction set
 * and the type that this translation unit is compiled for.
 *
 * LX_ISA_AVX512, LX_ISA_AVX2 or LX_ISA_BASELINE selects it; LX_DOUBLE makes `real` a double.  vec supports + - * / and
 * unary - (GNU vectors; plain numbers in scalar.h); all other operations are v_ functions.  Each header below defines
 * the same functions, so code above this layer never mentions an instruction set. */
#ifndef LX_SIMD_H
#define LX_SIMD_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define GNU_C /* clang-cl does not define __GNUC__ */
#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define NOINLINE __attribute__((noinline))
#else /* GCC 12 removes calls of functions that it has cloned, because it takes their stores for dead */
#define NOINLINE __attribute__((noipa))
#endif
#define ALIGNED __attribute__((aligned(64)))
#define RESTRICT __restrict__
#define PREFETCH(p) __builtin_prefetch(p)
#define PREFETCH_TO_WRITE(p) __builtin_prefetch(p, 1)
#define PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2) /* to the L2 cache */
#define OPAQUE(p) __asm__("" : "+r"(p))             /* hides the value of p from the compiler */
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)
#else /* MSVC: scalar vectors */
#define INLINE static __forceinline
#define NOINLINE __declspec(noinline)
#define ALIGNED __declspec(align(64))
#define RESTRICT __restrict
#define PREFETCH(p) ((void)(p))
#define PREFETCH_TO_WRITE(p) ((void)(p))
#define PREFETCH_FAR(p) ((void)(p))
#define OPAQUE(p) ((void)(p))
#define UNROLL(n)
#endif

#ifdef LX_DOUBLE
typedef double real;
typedef float other_real;
#define REAL_MAX 1.79769313486231570815e308
#else
typedef float real;
typedef double other_real;
#define REAL_MAX 3.40282346638528859812e38f
#endif

#if defined(LX_ISA_AVX512)
#include "avx512.h"
#elif defined(LX_ISA_AVX2)
#include "avx2.h"
#elif defined(LX_FORCE_SCALAR) /* this and LX_FORCE_GENERIC are for tests on machines with vector instructions */
#include "scalar.h"
#elif (defined(__x86_64__) || defined(__SSE2__)) && defined(GNU_C) && !defined(LX_FORCE_GENERIC)
#include "sse2.h"
#elif defined(__aarch64__) && defined(GNU_C) && !defined(LX_FORCE_GENERIC)
#include "neon.h"
#elif defined(GNU_C)
#include "generic.h"
#else
#include "scalar.h"
#endif

#define REALS_PER_LINE ((ptrdiff_t)(64 / sizeof(real)))

/* Prefetch distance, in elements, where the hardware prefetcher is too late. */
#define AHEAD ((ptrdiff_t)(12288 / sizeof(real)))

#ifndef NATIVE_QUOTIENT
INLINE vec v_quotient(vec a, vec b) { return a / b; } /* for QUOTIENT_LEAST <= b < 2^64 */
#endif
#define QUOTIENT_LEAST ((real)5.42101086242752217e-20) /* 2^-64 */

INLINE vec v_zero(void) { return v_set(0); }
INLINE mask v_is_nan(vec a) { return v_not_equal(a, a); }

/* -1 or 1; a itself if it is a zero or NaN */
INLINE vec v_sign(vec a)
{
    return v_select(v_gt(a, v_zero()), v_set(1), v_select(v_lt(a, v_zero()), v_set(-1), a));
}

/* a * b in double, with 0 * inf = 0, for weights. */
INLINE double times_weight(double a, double b) { return a == 0 || b == 0 ? 0 * (isnan(a + b) ? a + b : 0) : a * b; }

/* `count` elements from p, other lanes 0; the compiler removes the branch if count is the constant LANES. */
INLINE vec v_load_count(const real *p, ptrdiff_t count)
{
    return count == LANES ? v_load(p) : v_load_first(p, count, 0);
}

INLINE void v_store_count(real *p, vec a, ptrdiff_t count)
{
    if (count == LANES)
        v_store(p, a);
    else
        v_store_first(p, a, count);
}

/* Number of elements from p to the next cache line. */
INLINE ptrdiff_t reals_to_line(const void *p) { return (ptrdiff_t)((-(uintptr_t)p) & 63) / (ptrdiff_t)sizeof(real); }

/* A sum kept in double lanes, so that summing floats is exact to the precision of a float result. */
#ifdef LX_DOUBLE
enum { WIDE = 1 };
#define AS_DOUBLES(v) {v}
#else
enum { WIDE = 2 };
#define AS_DOUBLES(v) {v_low_double(v), v_high_double(v)}
#endif
typedef struct {
    doubles part[WIDE];
} wide;

INLINE wide wide_of(vec v)
{
    const wide w = {AS_DOUBLES(v)};
    return w;
}

/* Double lanes as reals */
INLINE vec v_of_wide(wide w)
{
#ifdef LX_DOUBLE
    return w.part[0];
#else
    return v_of_doubles(w.part[0], w.part[1]);
#endif
}

INLINE wide wide_zero(void) { return wide_of(v_zero()); }

INLINE wide wide_join(wide a, wide b)
{
    for (int i = 0; i < WIDE; i++)
        a.part[i] += b.part[i];
    return a;
}

INLINE wide wide_scale(wide a, double scale)
{
    for (int i = 0; i < WIDE; i++)
        a.part[i] *= d_set(scale);
    return a;
}

INLINE wide wide_add_square(wide sum, wide a)
{
    for (int i = 0; i < WIDE; i++)
        sum.part[i] = d_fma(a.part[i], a.part[i], sum.part[i]);
    return sum;
}

INLINE wide wide_add(wide sum, vec v) { return wide_join(sum, wide_of(v)); }

INLINE double wide_total(wide sum) { return d_sum(WIDE == 1 ? sum.part[0] : sum.part[0] + sum.part[WIDE - 1]); }

/* A sum with its rounding error (Knuth's TwoSum), for doubles; sums of floats in double lanes do not need it. */
typedef struct {
    wide sum, rest;
} exact_sum;

INLINE exact_sum exact_of(wide sum)
{
    const exact_sum s = {sum, wide_zero()};
    return s;
}

INLINE exact_sum exact_add(exact_sum s, wide more)
{
    const wide sum = wide_join(s.sum, more);
#ifdef LX_DOUBLE
    const doubles from_more = sum.part[0] - s.sum.part[0];
    s.rest.part[0] += (s.sum.part[0] - (sum.part[0] - from_more)) + (more.part[0] - from_more);
#endif
    s.sum = sum;
    return s;
}

/* The rounding error of the sum of the lanes; 0 if the sum is infinite or NaN. */
INLINE double exact_rest(exact_sum s)
{
#ifdef LX_DOUBLE
    const double rest = wide_total(s.rest);
    return fabs(rest) <= DBL_MAX ? rest : 0;
#else
    (void)s;
    return 0;
#endif
}

#endif
