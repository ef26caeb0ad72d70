/* Any processor, with GCC or clang: their generic vectors of 16 bytes (POWER, LoongArch, RISC-V, s390x, ...). */
typedef real vec __attribute__((vector_size(16)));
typedef double doubles __attribute__((vector_size(16)));
#ifdef LX_DOUBLE
typedef int64_t lane_bits;
enum { LANES = 2, REGISTERS = 32 };
#define EXPONENT_AT 52
#define FRACTION 0x000fffffffffffff
#define SPLIT_BASE 0x3fe6a09e667f3bcd
#else
typedef int32_t lane_bits;
enum { LANES = 4, REGISTERS = 32 };
#define EXPONENT_AT 23
#define FRACTION 0x007fffff
#define SPLIT_BASE 0x3f3504f3
#endif
typedef lane_bits mask __attribute__((vector_size(16)));
#define EACH_LANE for (int i = 0; i < LANES; i++)

INLINE vec v_set(real a)
{
#ifdef LX_DOUBLE
    return (vec){a, a};
#else
    return (vec){a, a, a, a};
#endif
}
INLINE mask m_set(lane_bits a) { return a - (mask){0}; }
INLINE vec v_load(const real *p)
{
    vec a;
    memcpy(&a, p, sizeof a);
    return a;
}
INLINE void v_store(real *p, vec a) { memcpy(p, &a, sizeof a); }
INLINE void v_stream(real *p, vec a) { v_store(p, a); }
INLINE void stream_fence(void) { }

INLINE vec v_select(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }
INLINE vec v_where(mask m, vec a) { return (vec)(m & (mask)a); }
INLINE vec v_without(vec a, mask m) { return (vec)(~m & (mask)a); }

INLINE mask v_lt(vec a, vec b) { return (mask)(a < b); }
INLINE mask v_gt(vec a, vec b) { return (mask)(a > b); }
INLINE mask v_ge(vec a, vec b) { return (mask)(a >= b); }
INLINE mask v_le(vec a, vec b) { return (mask)(a <= b); }
INLINE mask v_not_equal(vec a, vec b) { return ~(mask)(a == b); }
INLINE mask v_not_ge(vec a, vec b) { return ~(mask)(a >= b); }
INLINE mask m_none(void) { return m_set(0); }
INLINE mask m_and(mask a, mask b) { return a & b; }
INLINE mask m_or(mask a, mask b) { return a | b; }
INLINE mask m_not(mask a) { return ~a; }
INLINE mask m_without(mask a, mask b) { return a & ~b; }
INLINE mask m_numbers(void)
{
#ifdef LX_DOUBLE
    return (mask){0, 1};
#else
    return (mask){0, 1, 2, 3};
#endif
}
INLINE mask m_first(ptrdiff_t n) { return (mask)(m_numbers() < m_set((lane_bits)n)); }
INLINE mask m_lane(ptrdiff_t i) /* none if there is no lane i */
{
    return i < LANES ? (mask)(m_numbers() == m_set((lane_bits)i)) : m_none();
}
INLINE mask m_load(const uint8_t *p) /* lanes whose byte is not 0 */
{
    mask m = {0};
    EACH_LANE m[i] = p[i] ? -1 : 0;
    return m;
}
INLINE int m_count(mask a)
{
    int count = 0;
    EACH_LANE count -= (int)a[i];
    return count;
}
INLINE int m_any(mask a)
{
    lane_bits any = 0;
    EACH_LANE any |= a[i];
    return any != 0;
}

enum { FUSED = 0 }; /* whether v_fma rounds once */
INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }
INLINE vec v_fnma(vec a, vec b, vec c) { return c - a * b; }
INLINE vec v_max(vec a, vec b) { return v_select(v_gt(a, b), a, b); }
INLINE vec v_min(vec a, vec b) { return v_select(v_lt(a, b), a, b); }
INLINE mask v_sign_bits(void) { return (mask)v_set((real)-0.0); }
INLINE vec v_abs(vec a) { return (vec)((mask)a & ~v_sign_bits()); }
INLINE vec v_minus_abs(vec a) { return (vec)((mask)a | v_sign_bits()); }
INLINE vec v_copysign(vec a, vec sign) { return v_select(v_sign_bits(), sign, a); }
INLINE vec v_sqrt(vec a)
{
    EACH_LANE a[i] = (real)sqrt((double)a[i]); /* which rounds a float's as sqrtf does */
    return a;
}

#include "tails.h"

INLINE vec v_exponent(vec a) { return (vec)((mask)a << EXPONENT_AT); }

INLINE vec v_split(vec a, vec *exponent) /* as in avx2.h */
{
    const mask bits = (mask)a - m_set(SPLIT_BASE);
    *exponent = __builtin_convertvector(bits >> EXPONENT_AT, vec);
    return (vec)((bits & m_set(FRACTION)) + m_set(SPLIT_BASE));
}

INLINE doubles d_set(double a) { return (doubles){a, a}; }
INLINE doubles d_fma(doubles a, doubles b, doubles c) { return a * b + c; }
INLINE double d_sum(doubles a) { return a[0] + a[1]; }
#ifdef LX_DOUBLE
INLINE real v_sum(vec a) { return d_sum(a); }
INLINE real v_greatest(vec a) { return a[0] > a[1] ? a[0] : a[1]; }
#else
INLINE doubles v_low_double(vec a) { return (doubles){a[0], a[1]}; }
INLINE doubles v_high_double(vec a) { return (doubles){a[2], a[3]}; }
INLINE vec v_of_doubles(doubles low, doubles high)
{
    return (vec){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}
INLINE real v_sum(vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
INLINE real v_greatest(vec a)
{
    const real even = a[0] > a[2] ? a[0] : a[2], odd = a[1] > a[3] ? a[1] : a[3];
    return even > odd ? even : odd;
}
#endif

INLINE void v_transpose(vec v[LANES])
{
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) {
            const real lower = v[i][j];
            v[i][j] = v[j][i];
            v[j][i] = lower;
        }
}

#undef EACH_LANE
#undef EXPONENT_AT
#undef FRACTION
#undef SPLIT_BASE
