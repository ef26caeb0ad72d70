/* Baseline x86-64. */
#include <emmintrin.h>

#ifdef LX_DOUBLE
typedef double vec __attribute__((vector_size(16)));
typedef __m128d mask;
enum { LANES = 2, REGISTERS = 16 };
#define OP(name) _mm_##name##_pd
#define AS_MASK(i) _mm_castsi128_pd(i)
static ALIGNED const int64_t first_lanes[4] = {-1, -1, 0, 0};
#else
typedef float vec __attribute__((vector_size(16)));
typedef __m128 mask;
enum { LANES = 4, REGISTERS = 16 };
#define OP(name) _mm_##name##_ps
#define AS_MASK(i) _mm_castsi128_ps(i)
static ALIGNED const int32_t first_lanes[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
#endif
typedef double doubles __attribute__((vector_size(16)));

INLINE vec v_set(real a) { return OP(set1)(a); }
INLINE vec v_load(const real *p) { return OP(loadu)(p); }
INLINE void v_store(real *p, vec a) { OP(storeu)(p, a); }
INLINE void v_stream(real *p, vec a) { OP(stream)(p, a); }
INLINE void stream_fence(void) { _mm_sfence(); }

enum { FUSED = 0 }; /* whether v_fma rounds once */
INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }
INLINE vec v_fnma(vec a, vec b, vec c) { return c - a * b; }
INLINE vec v_max(vec a, vec b) { return OP(max)(a, b); }
INLINE vec v_min(vec a, vec b) { return OP(min)(a, b); }
INLINE vec v_abs(vec a) { return OP(andnot)(v_set((real)-0.0), a); }
INLINE vec v_minus_abs(vec a) { return OP(or)(a, v_set((real)-0.0)); }
INLINE vec v_copysign(vec a, vec sign)
{
    const vec bit = v_set((real)-0.0);
    return OP(or)(OP(andnot)(bit, a), OP(and)(bit, sign));
}
INLINE vec v_sqrt(vec a) { return OP(sqrt)(a); }

INLINE mask v_lt(vec a, vec b) { return OP(cmplt)(a, b); }
INLINE mask v_gt(vec a, vec b) { return OP(cmpgt)(a, b); }
INLINE mask v_ge(vec a, vec b) { return OP(cmpge)(a, b); }
INLINE mask v_le(vec a, vec b) { return OP(cmple)(a, b); }
INLINE mask v_not_equal(vec a, vec b) { return OP(cmpneq)(a, b); }
INLINE mask v_not_ge(vec a, vec b) { return OP(cmpnge)(a, b); }
INLINE mask m_none(void) { return OP(setzero)(); }
INLINE mask m_and(mask a, mask b) { return OP(and)(a, b); }
INLINE mask m_or(mask a, mask b) { return OP(or)(a, b); }
INLINE mask m_not(mask a) { return OP(xor)(a, AS_MASK(_mm_set1_epi32(-1))); }
INLINE mask m_without(mask a, mask b) { return OP(andnot)(b, a); }
INLINE mask m_first(ptrdiff_t n) { return AS_MASK(_mm_loadu_si128((const __m128i *)(first_lanes + LANES - n))); }
INLINE mask m_lane(ptrdiff_t i) /* none if there is no lane i */
{
#ifdef LX_DOUBLE
    return AS_MASK(_mm_cmpeq_epi32(_mm_set1_epi32((int)i), _mm_setr_epi32(0, 0, 1, 1)));
#else
    return AS_MASK(_mm_cmpeq_epi32(_mm_set1_epi32((int)i), _mm_setr_epi32(0, 1, 2, 3)));
#endif
}
INLINE mask m_load(const uint8_t *p) /* lanes whose byte is not 0 */
{
    int32_t bytes = 0;
    memcpy(&bytes, p, LANES);
    __m128i m = _mm_cmpeq_epi8(_mm_cvtsi32_si128(bytes), _mm_setzero_si128());
    m = _mm_unpacklo_epi8(m, m);
    m = _mm_unpacklo_epi16(m, m);
#ifdef LX_DOUBLE
    m = _mm_unpacklo_epi32(m, m);
#endif
    return m_not(AS_MASK(m));
}
INLINE int m_count(mask a) /* POPCNT is not in the baseline */
{
    static const signed char ones[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    return ones[OP(movemask)(a)];
}
INLINE int m_any(mask a) { return OP(movemask)(a) != 0; }

INLINE vec v_select(mask m, vec a, vec b) { return OP(or)(OP(and)(m, a), OP(andnot)(m, b)); }
INLINE vec v_where(mask m, vec a) { return OP(and)(m, a); }
INLINE vec v_without(vec a, mask m) { return OP(andnot)(m, a); }
#include "tails.h"

INLINE vec v_exponent(vec a)
{
#ifdef LX_DOUBLE
    return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(a), 52));
#else
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(a), 23));
#endif
}

INLINE vec v_split(vec a, vec *exponent) /* as in avx2.h */
{
#ifdef LX_DOUBLE
    const __m128i base = _mm_set1_epi64x(0x3fe6a09e667f3bcd);
    __m128i bits = _mm_sub_epi64(_mm_castpd_si128(a), base);
    __m128i biased = _mm_srli_epi64(_mm_add_epi64(bits, _mm_set1_epi64x(1LL << 62)), 52);
    *exponent = _mm_castsi128_pd(_mm_or_si128(biased, _mm_set1_epi64x(0x4330000000000000)))
                - v_set(4503599627370496.0 + 1024.0);
    return _mm_castsi128_pd(_mm_add_epi64(_mm_and_si128(bits, _mm_set1_epi64x(0x000fffffffffffff)), base));
#else
    const __m128i base = _mm_set1_epi32(0x3f3504f3);
    __m128i bits = _mm_sub_epi32(_mm_castps_si128(a), base);
    *exponent = _mm_cvtepi32_ps(_mm_srai_epi32(bits, 23));
    return _mm_castsi128_ps(_mm_add_epi32(_mm_and_si128(bits, _mm_set1_epi32(0x007fffff)), base));
#endif
}

INLINE doubles d_set(double a) { return _mm_set1_pd(a); }
INLINE doubles d_fma(doubles a, doubles b, doubles c) { return a * b + c; }
INLINE double d_sum(doubles a) { return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a))); }
#ifdef LX_DOUBLE
INLINE real v_sum(vec a) { return d_sum(a); }
INLINE real v_greatest(vec a) { return _mm_cvtsd_f64(_mm_max_sd(a, _mm_unpackhi_pd(a, a))); }
#else
INLINE doubles v_low_double(vec a) { return _mm_cvtps_pd(a); }
INLINE doubles v_high_double(vec a) { return _mm_cvtps_pd(_mm_movehl_ps(a, a)); }
INLINE vec v_of_doubles(doubles low, doubles high) { return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high)); }
INLINE real v_sum(vec a)
{
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}
INLINE real v_greatest(vec a)
{
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}
#endif

INLINE void v_transpose(vec v[LANES])
{
#ifdef LX_DOUBLE
    const vec a = _mm_unpacklo_pd(v[0], v[1]), b = _mm_unpackhi_pd(v[0], v[1]);
    v[0] = a, v[1] = b;
#else
    _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]);
#endif
}

#undef OP
#undef AS_MASK
