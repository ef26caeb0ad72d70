/* AVX-512 F, DQ, BW, VL. */
#include <immintrin.h>

#ifdef LX_DOUBLE
typedef double vec __attribute__((vector_size(64)));
typedef __mmask8 mask;
enum { LANES = 8, REGISTERS = 32 };
#define OP(name) _mm512_##name##_pd
#define COMPARE(a, b, how) _mm512_cmp_pd_mask(a, b, how)
#else
typedef float vec __attribute__((vector_size(64)));
typedef __mmask16 mask;
enum { LANES = 16, REGISTERS = 32 };
#define OP(name) _mm512_##name##_ps
#define COMPARE(a, b, how) _mm512_cmp_ps_mask(a, b, how)
#endif
typedef double doubles __attribute__((vector_size(64)));

INLINE vec v_set(real a) { return OP(set1)(a); }
INLINE vec v_load(const real *p) { return OP(loadu)(p); }
INLINE void v_store(real *p, vec a) { OP(storeu)(p, a); }
INLINE void v_stream(real *p, vec a) { OP(stream)(p, a); } /* p on a cache line */
INLINE void stream_fence(void) { _mm_sfence(); }

/* a * b + c and c - a * b, rounded once if the machine has FMA */
enum { FUSED = 1 }; /* whether v_fma rounds once */
INLINE vec v_fma(vec a, vec b, vec c) { return OP(fmadd)(a, b, c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return OP(fnmadd)(a, b, c); }
INLINE vec v_max(vec a, vec b) { return OP(max)(a, b); } /* b where either is NaN */
INLINE vec v_min(vec a, vec b) { return OP(min)(a, b); } /* likewise */
INLINE vec v_abs(vec a) { return OP(abs)(a); }
INLINE vec v_minus_abs(vec a) { return OP(or)(a, v_set((real)-0.0)); }
INLINE vec v_copysign(vec a, vec sign) /* |a| with the sign of `sign` */
{
    const vec bit = v_set((real)-0.0);
    return OP(or)(OP(andnot)(bit, a), OP(and)(bit, sign));
}
/* a 2^n, with overflow and underflow */
#define NATIVE_SCALE
INLINE vec v_scale(vec a, vec n) { return OP(scalef)(a, n); }
/* The limits of log(a): -inf where a is 0, inf where it is inf, NaN where it is negative or NaN; `finite` elsewhere */
#define NATIVE_LOG_LIMITS
INLINE vec v_log_limits(vec a, vec finite)
{
    /* four bits for each of quiet NaN, signalling NaN, 0, 1, -inf, inf, negative, positive, the first lowest:
     * 0 keep, 2 quiet NaN of a, 3 NaN, 4 -inf, 5 inf */
#ifdef LX_DOUBLE
    return _mm512_fixupimm_pd(finite, a, _mm512_set1_epi64(0x03530422), 0);
#else
    return _mm512_fixupimm_ps(finite, a, _mm512_set1_epi32(0x03530422), 0);
#endif
}
INLINE vec v_sqrt(vec a) { return OP(sqrt)(a); }
/* a / b for 2^-64 <= b < 2^64, nearly always correctly rounded; a division instruction takes three times as long */
#define NATIVE_QUOTIENT
INLINE vec v_quotient(vec a, vec b)
{
    const vec one = v_set(1);
    vec inverse = OP(rcp14)(b);
    inverse = v_fma(inverse, v_fnma(b, inverse, one), inverse);
#ifdef LX_DOUBLE
    inverse = v_fma(inverse, v_fnma(b, inverse, one), inverse);
#endif
    const vec q = a * inverse;
    return v_fma(v_fnma(q, b, a), inverse, q);
}

INLINE mask v_lt(vec a, vec b) { return COMPARE(a, b, _CMP_LT_OQ); }
INLINE mask v_gt(vec a, vec b) { return COMPARE(a, b, _CMP_GT_OQ); }
INLINE mask v_ge(vec a, vec b) { return COMPARE(a, b, _CMP_GE_OQ); }
INLINE mask v_le(vec a, vec b) { return COMPARE(a, b, _CMP_LE_OQ); }
INLINE mask v_not_equal(vec a, vec b) { return COMPARE(a, b, _CMP_NEQ_UQ); } /* true for NaN */
INLINE mask v_not_ge(vec a, vec b) { return COMPARE(a, b, _CMP_NGE_UQ); }    /* true for NaN */
INLINE mask m_none(void) { return 0; }
INLINE mask m_and(mask a, mask b) { return (mask)(a & b); }
INLINE mask m_or(mask a, mask b) { return (mask)(a | b); }
INLINE mask m_not(mask a) { return (mask)~a; }
INLINE mask m_without(mask a, mask b) { return (mask)(a & ~b); }
INLINE mask m_first(ptrdiff_t n) { return (mask)((1u << n) - 1); } /* lanes 0 .. n-1, n < LANES */
INLINE mask m_lane(ptrdiff_t i) /* none if there is no lane i */
{
#ifdef LX_DOUBLE
    return _mm512_cmpeq_epi64_mask(_mm512_set1_epi64(i), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
#else
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_cmpeq_epi32_mask(_mm512_set1_epi32((int)i), lanes);
#endif
}
INLINE mask m_load(const uint8_t *p) /* lanes whose byte is not 0 */
{
#ifdef LX_DOUBLE
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)p);
    return (mask)_mm_test_epi8_mask(bytes, bytes);
#else
    const __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    return _mm_test_epi8_mask(bytes, bytes);
#endif
}
INLINE int m_count(mask a) { return __builtin_popcount(a); }
INLINE int m_any(mask a) { return a != 0; }

INLINE vec v_select(mask m, vec a, vec b) { return OP(mask_blend)(m, b, a); } /* m ? a : b */
INLINE vec v_where(mask m, vec a) { return OP(maskz_mov)(m, a); }             /* m ? a : 0 */
INLINE vec v_without(vec a, mask m) { return OP(maskz_mov)((mask)~m, a); } /* m ? 0 : a */
INLINE vec v_load_first(const real *p, ptrdiff_t n, real fill) { return OP(mask_loadu)(v_set(fill), m_first(n), p); }
INLINE void v_store_first(real *p, vec a, ptrdiff_t n) { OP(mask_storeu)(p, m_first(n), a); }

/* a's bits shifted left to the exponent: 2^n from the low bits that exp leaves there */
INLINE vec v_exponent(vec a)
{
#ifdef LX_DOUBLE
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), 52));
#else
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
#endif
}

/* a = m 2^e, e whole, m in [sqrt(1/2), sqrt(2)); a normal and positive.
 * The bits minus those of sqrt(1/2) hold e in their upper and the fraction in their lower part. */
INLINE vec v_split(vec a, vec *exponent)
{
#ifdef LX_DOUBLE
    const __m512i base = _mm512_set1_epi64(0x3fe6a09e667f3bcd);
    __m512i bits = _mm512_sub_epi64(_mm512_castpd_si512(a), base);
    *exponent = _mm512_cvtepi64_pd(_mm512_srai_epi64(bits, 52));
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_and_si512(bits, _mm512_set1_epi64(0x000fffffffffffff)), base));
#else
    const __m512i base = _mm512_set1_epi32(0x3f3504f3);
    __m512i bits = _mm512_sub_epi32(_mm512_castps_si512(a), base);
    *exponent = _mm512_cvtepi32_ps(_mm512_srai_epi32(bits, 23));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x007fffff)), base));
#endif
}

INLINE real v_sum(vec a) { return OP(reduce_add)(a); }
INLINE real v_greatest(vec a) { return OP(reduce_max)(a); } /* any number where a lane is NaN */

#ifndef LX_DOUBLE
INLINE doubles v_low_double(vec a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
INLINE doubles v_high_double(vec a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
INLINE vec v_of_doubles(doubles low, doubles high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
#endif
INLINE doubles d_set(double a) { return _mm512_set1_pd(a); }
INLINE doubles d_fma(doubles a, doubles b, doubles c) { return _mm512_fmadd_pd(a, b, c); }
INLINE double d_sum(doubles a) { return _mm512_reduce_add_pd(a); }

#undef OP
#undef COMPARE
