/* AVX2 and FMA. */
#include <immintrin.h>

#ifdef LX_DOUBLE
typedef double vec __attribute__((vector_size(32)));
typedef __m256d mask;
enum { LANES = 4, REGISTERS = 16 };
#define OP(name) _mm256_##name##_pd
#define AS_MASK(i) _mm256_castsi256_pd(i)
static ALIGNED const int64_t first_lanes[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
#else
typedef float vec __attribute__((vector_size(32)));
typedef __m256 mask;
enum { LANES = 8, REGISTERS = 16 };
#define OP(name) _mm256_##name##_ps
#define AS_MASK(i) _mm256_castsi256_ps(i)
static ALIGNED const int32_t first_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
#endif
typedef double doubles __attribute__((vector_size(32)));

INLINE vec v_set(real a) { return OP(set1)(a); }
INLINE vec v_load(const real *p) { return OP(loadu)(p); }
INLINE void v_store(real *p, vec a) { OP(storeu)(p, a); }
INLINE void v_stream(real *p, vec a) { OP(stream)(p, a); }
INLINE void stream_fence(void) { _mm_sfence(); }

enum { FUSED = 1 }; /* whether v_fma rounds once */
INLINE vec v_fma(vec a, vec b, vec c) { return OP(fmadd)(a, b, c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return OP(fnmadd)(a, b, c); }
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

INLINE mask v_lt(vec a, vec b) { return OP(cmp)(a, b, _CMP_LT_OQ); }
INLINE mask v_gt(vec a, vec b) { return OP(cmp)(a, b, _CMP_GT_OQ); }
INLINE mask v_ge(vec a, vec b) { return OP(cmp)(a, b, _CMP_GE_OQ); }
INLINE mask v_le(vec a, vec b) { return OP(cmp)(a, b, _CMP_LE_OQ); }
INLINE mask v_not_equal(vec a, vec b) { return OP(cmp)(a, b, _CMP_NEQ_UQ); }
INLINE mask v_not_ge(vec a, vec b) { return OP(cmp)(a, b, _CMP_NGE_UQ); }
INLINE mask m_none(void) { return OP(setzero)(); }
INLINE mask m_and(mask a, mask b) { return OP(and)(a, b); }
INLINE mask m_or(mask a, mask b) { return OP(or)(a, b); }
INLINE mask m_not(mask a) { return OP(xor)(a, AS_MASK(_mm256_set1_epi32(-1))); }
INLINE mask m_without(mask a, mask b) { return OP(andnot)(b, a); }
INLINE __m256i first_bits(ptrdiff_t n) { return _mm256_loadu_si256((const __m256i *)(first_lanes + LANES - n)); }
INLINE mask m_first(ptrdiff_t n) { return AS_MASK(first_bits(n)); }
INLINE mask m_lane(ptrdiff_t i) /* none if there is no lane i */
{
#ifdef LX_DOUBLE
    return AS_MASK(_mm256_cmpeq_epi64(_mm256_set1_epi64x(i), _mm256_setr_epi64x(0, 1, 2, 3)));
#else
    return AS_MASK(_mm256_cmpeq_epi32(_mm256_set1_epi32((int)i), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
#endif
}
INLINE mask m_load(const uint8_t *p) /* lanes whose byte is not 0 */
{
#ifdef LX_DOUBLE
    int32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return AS_MASK(_mm256_cmpgt_epi64(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bytes)), _mm256_setzero_si256()));
#else
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    return AS_MASK(_mm256_cmpgt_epi32(bytes, _mm256_setzero_si256()));
#endif
}
INLINE int m_count(mask a) { return _mm_popcnt_u32((unsigned)OP(movemask)(a)); }
INLINE int m_any(mask a) { return OP(movemask)(a) != 0; }

INLINE vec v_select(mask m, vec a, vec b) { return OP(blendv)(b, a, m); }
INLINE vec v_where(mask m, vec a) { return OP(and)(m, a); }
INLINE vec v_without(vec a, mask m) { return OP(andnot)(m, a); }
INLINE vec v_load_first(const real *p, ptrdiff_t n, real fill)
{
    return v_select(m_first(n), OP(maskload)(p, first_bits(n)), v_set(fill));
}
INLINE void v_store_first(real *p, vec a, ptrdiff_t n) { OP(maskstore)(p, first_bits(n), a); }

INLINE vec v_exponent(vec a)
{
#ifdef LX_DOUBLE
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a), 52));
#else
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
#endif
}

/* The bits minus those of sqrt(1/2) hold the exponent in their upper and the fraction in their lower part. */
INLINE vec v_split(vec a, vec *exponent)
{
#ifdef LX_DOUBLE
    const __m256i base = _mm256_set1_epi64x(0x3fe6a09e667f3bcd);
    __m256i bits = _mm256_sub_epi64(_mm256_castpd_si256(a), base);
    /* 2^52 + 2^51 + e as a double's bits: exact for any e that fits, and no 64-bit shift keeps the sign in AVX2 */
    __m256i biased = _mm256_srli_epi64(_mm256_add_epi64(bits, _mm256_set1_epi64x(1LL << 62)), 52);
    *exponent = _mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_set1_epi64x(0x4330000000000000)))
                - v_set(4503599627370496.0 + 1024.0);
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_and_si256(bits, _mm256_set1_epi64x(0x000fffffffffffff)), base));
#else
    const __m256i base = _mm256_set1_epi32(0x3f3504f3);
    __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(a), base);
    *exponent = _mm256_cvtepi32_ps(_mm256_srai_epi32(bits, 23));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), base));
#endif
}

INLINE doubles d_set(double a) { return _mm256_set1_pd(a); }
INLINE doubles d_fma(doubles a, doubles b, doubles c) { return _mm256_fmadd_pd(a, b, c); }
INLINE double d_sum(doubles a)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#ifdef LX_DOUBLE
INLINE real v_sum(vec a) { return d_sum(a); }
INLINE real v_greatest(vec a)
{
    __m128d s = _mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}
#else
INLINE doubles v_low_double(vec a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
INLINE doubles v_high_double(vec a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
INLINE vec v_of_doubles(doubles low, doubles high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1);
}
INLINE real v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE real v_greatest(vec a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
#endif

#undef OP
#undef AS_MASK
