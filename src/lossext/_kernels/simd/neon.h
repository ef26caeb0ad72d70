/* AArch64, where NEON with FMA is the baseline. */
#include <arm_neon.h>

#ifdef LX_DOUBLE
typedef float64x2_t vec;
typedef uint64x2_t mask;
enum { LANES = 2, REGISTERS = 32 };
#define OP(name) name##_f64
#define U(name) name##_u64
#define AS_MASK(a) vreinterpretq_u64_f64(a)
static ALIGNED const int64_t first_lanes[4] = {-1, -1, 0, 0};
typedef uint64_t lane_bits;
#else
typedef float32x4_t vec;
typedef uint32x4_t mask;
enum { LANES = 4, REGISTERS = 32 };
#define OP(name) name##_f32
#define U(name) name##_u32
static ALIGNED const int32_t first_lanes[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
typedef uint32_t lane_bits;
#endif
typedef float64x2_t doubles;

INLINE vec v_set(real a) { return OP(vdupq_n)(a); }
INLINE vec v_load(const real *p) { return OP(vld1q)(p); }
INLINE void v_store(real *p, vec a) { OP(vst1q)(p, a); }
INLINE void v_stream(real *p, vec a) { v_store(p, a); }
INLINE void stream_fence(void) { }

enum { FUSED = 1 }; /* whether v_fma rounds once */
INLINE vec v_fma(vec a, vec b, vec c) { return OP(vfmaq)(c, a, b); }
INLINE vec v_fnma(vec a, vec b, vec c) { return OP(vfmsq)(c, a, b); }
INLINE vec v_max(vec a, vec b) { return OP(vbslq)(OP(vcgtq)(a, b), a, b); }
INLINE vec v_min(vec a, vec b) { return OP(vbslq)(OP(vcltq)(a, b), a, b); }
INLINE vec v_abs(vec a) { return OP(vabsq)(a); }
INLINE vec v_minus_abs(vec a) { return -v_abs(a); }
INLINE vec v_copysign(vec a, vec sign)
{
    return OP(vbslq)(U(vdupq_n)((lane_bits)1 << (8 * sizeof(real) - 1)), sign, a);
}
INLINE vec v_sqrt(vec a) { return OP(vsqrtq)(a); }

INLINE mask v_lt(vec a, vec b) { return OP(vcltq)(a, b); }
INLINE mask v_gt(vec a, vec b) { return OP(vcgtq)(a, b); }
INLINE mask v_ge(vec a, vec b) { return OP(vcgeq)(a, b); }
INLINE mask v_le(vec a, vec b) { return OP(vcleq)(a, b); }
INLINE mask v_not_equal(vec a, vec b) { return ~OP(vceqq)(a, b); }
INLINE mask v_not_ge(vec a, vec b) { return ~OP(vcgeq)(a, b); }
INLINE mask m_none(void) { return U(vdupq_n)(0); }
INLINE mask m_and(mask a, mask b) { return a & b; }
INLINE mask m_or(mask a, mask b) { return a | b; }
INLINE mask m_not(mask a) { return ~a; }
INLINE mask m_without(mask a, mask b) { return a & ~b; }
INLINE mask m_first(ptrdiff_t n) { return U(vld1q)((const lane_bits *)(first_lanes + LANES - n)); }
INLINE mask m_lane(ptrdiff_t i) /* none if there is no lane i */
{
    static const lane_bits lanes[] = {0, 1, 2, 3};
    return U(vceqq)(U(vld1q)(lanes), U(vdupq_n)((lane_bits)i));
}
INLINE mask m_load(const uint8_t *p) /* lanes whose byte is not 0 */
{
    uint32_t bytes = 0;
    memcpy(&bytes, p, LANES);
    const uint32x4_t m = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
#ifdef LX_DOUBLE
    const uint64x2_t two = vmovl_u32(vget_low_u32(m));
    return vtstq_u64(two, two);
#else
    return vtstq_u32(m, m);
#endif
}
INLINE int m_count(mask a) { return (int)U(vaddvq)(a & U(vdupq_n)(1)); }
INLINE int m_any(mask a) { return vmaxvq_u32((uint32x4_t)a) != 0; }

INLINE vec v_select(mask m, vec a, vec b) { return OP(vbslq)(m, a, b); }
INLINE vec v_where(mask m, vec a) { return OP(vbslq)(m, a, v_set(0)); }
INLINE vec v_without(vec a, mask m) { return OP(vbslq)(m, v_set(0), a); }
#include "tails.h"

INLINE vec v_exponent(vec a)
{
#ifdef LX_DOUBLE
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(a), 52));
#else
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a), 23));
#endif
}

INLINE vec v_split(vec a, vec *exponent)
{
#ifdef LX_DOUBLE
    const int64x2_t base = vdupq_n_s64(0x3fe6a09e667f3bcd);
    int64x2_t bits = vreinterpretq_s64_f64(a) - base;
    *exponent = vcvtq_f64_s64(vshrq_n_s64(bits, 52));
    return vreinterpretq_f64_s64((bits & vdupq_n_s64(0x000fffffffffffff)) + base);
#else
    const int32x4_t base = vdupq_n_s32(0x3f3504f3);
    int32x4_t bits = vreinterpretq_s32_f32(a) - base;
    *exponent = vcvtq_f32_s32(vshrq_n_s32(bits, 23));
    return vreinterpretq_f32_s32((bits & vdupq_n_s32(0x007fffff)) + base);
#endif
}

INLINE float64x2_t d_set(double a) { return vdupq_n_f64(a); }
INLINE float64x2_t d_fma(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }
INLINE double d_sum(float64x2_t a) { return vaddvq_f64(a); }
INLINE real v_sum(vec a) { return OP(vaddvq)(a); }
INLINE real v_greatest(vec a) { return OP(vmaxvq)(a); }
#ifndef LX_DOUBLE
INLINE float64x2_t v_low_double(vec a) { return vcvt_f64_f32(vget_low_f32(a)); }
INLINE float64x2_t v_high_double(vec a) { return vcvt_high_f64_f32(a); }
INLINE vec v_of_doubles(float64x2_t low, float64x2_t high) { return vcvt_high_f32_f64(vcvt_f32_f64(low), high); }
#endif

INLINE void v_transpose(vec v[LANES])
{
#ifdef LX_DOUBLE
    const vec a = vzip1q_f64(v[0], v[1]), b = vzip2q_f64(v[0], v[1]);
    v[0] = a, v[1] = b;
#else
    const vec a = vzip1q_f32(v[0], v[2]), b = vzip2q_f32(v[0], v[2]); /* rows 0 and 2, two columns each */
    const vec c = vzip1q_f32(v[1], v[3]), d = vzip2q_f32(v[1], v[3]);
    v[0] = vzip1q_f32(a, c), v[1] = vzip2q_f32(a, c);
    v[2] = vzip1q_f32(b, d), v[3] = vzip2q_f32(b, d);
#endif
}

#undef OP
#undef U
