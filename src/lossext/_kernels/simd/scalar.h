/* Any compiler and machine: vectors of one element. */
typedef real vec;
typedef int mask;
enum { LANES = 1, REGISTERS = 16 };
typedef double doubles;

INLINE vec v_set(real a) { return a; }
INLINE vec v_load(const real *p) { return *p; }
INLINE void v_store(real *p, vec a) { *p = a; }
INLINE void v_stream(real *p, vec a) { *p = a; }
INLINE void stream_fence(void) { }

enum { FUSED = 0 }; /* whether v_fma rounds once */
INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }
INLINE vec v_fnma(vec a, vec b, vec c) { return c - a * b; }
INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
INLINE vec v_min(vec a, vec b) { return a < b ? a : b; }
INLINE vec v_abs(vec a) { return (real)fabs(a); }
INLINE vec v_minus_abs(vec a) { return -(real)fabs(a); }
INLINE vec v_copysign(vec a, vec sign) { return (real)copysign((double)a, (double)sign); }
INLINE vec v_sqrt(vec a) { return (real)sqrt((double)a); }

INLINE mask v_lt(vec a, vec b) { return a < b; }
INLINE mask v_gt(vec a, vec b) { return a > b; }
INLINE mask v_ge(vec a, vec b) { return a >= b; }
INLINE mask v_le(vec a, vec b) { return a <= b; }
INLINE mask v_not_equal(vec a, vec b) { return !(a == b); }
INLINE mask v_not_ge(vec a, vec b) { return !(a >= b); }
INLINE mask m_none(void) { return 0; }
INLINE mask m_and(mask a, mask b) { return a && b; }
INLINE mask m_or(mask a, mask b) { return a | b; }
INLINE mask m_not(mask a) { return !a; }
INLINE mask m_without(mask a, mask b) { return a && !b; }
INLINE mask m_first(ptrdiff_t n) { return n > 0; }
INLINE mask m_lane(ptrdiff_t i) { return i == 0; }
INLINE mask m_load(const uint8_t *p) { return *p != 0; }
INLINE int m_count(mask a) { return a; }
INLINE int m_any(mask a) { return a; }

INLINE vec v_select(mask m, vec a, vec b) { return m ? a : b; }
INLINE vec v_where(mask m, vec a) { return m ? a : 0; }
INLINE vec v_without(vec a, mask m) { return m ? 0 : a; }
INLINE vec v_load_first(const real *p, ptrdiff_t n, real fill) { return n > 0 ? *p : fill; }
INLINE void v_store_first(real *p, vec a, ptrdiff_t n)
{
    if (n > 0)
        *p = a;
}

INLINE vec v_exponent(vec a)
{
#ifdef LX_DOUBLE
    uint64_t bits;
    memcpy(&bits, &a, 8);
    bits <<= 52;
    memcpy(&a, &bits, 8);
#else
    uint32_t bits;
    memcpy(&bits, &a, 4);
    bits <<= 23;
    memcpy(&a, &bits, 4);
#endif
    return a;
}

INLINE vec v_split(vec a, vec *exponent) /* as in avx2.h */
{
#ifdef LX_DOUBLE
    const uint64_t base = 0x3fe6a09e667f3bcd;
    uint64_t bits;
    memcpy(&bits, &a, 8);
    bits -= base;
    *exponent = (real)((int64_t)((bits >> 52) ^ 0x800) - 0x800);
    bits = (bits & 0x000fffffffffffff) + base;
    memcpy(&a, &bits, 8);
#else
    const uint32_t base = 0x3f3504f3;
    uint32_t bits;
    memcpy(&bits, &a, 4);
    bits -= base;
    *exponent = (real)((int32_t)((bits >> 23) ^ 0x100) - 0x100);
    bits = (bits & 0x007fffff) + base;
    memcpy(&a, &bits, 4);
#endif
    return a;
}

#ifndef LX_DOUBLE
INLINE double v_low_double(vec a) { return a; }
INLINE double v_high_double(vec a) { (void)a; return 0; }
INLINE vec v_of_doubles(double low, double high) { (void)high; return (real)low; }
#endif
INLINE double d_set(double a) { return a; }
INLINE double d_fma(double a, double b, double c) { return a * b + c; }
INLINE double d_sum(double a) { return a; }
INLINE real v_sum(vec a) { return a; }
INLINE real v_greatest(vec a) { return a; }
INLINE void v_transpose(vec v[LANES]) { (void)v; }
