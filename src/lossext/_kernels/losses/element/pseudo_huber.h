/* Pseudo-Huber loss of a prediction x and a target y, d = x - y, t = d / delta, s = sqrt(1 + t^2) (Charbonnier 1994):
 *
 *   value = delta^2 (s - 1) = d^2 / (1 + s) = d^2 / 2 (1 - t^2 / (1 + s)^2)
 *   slope = d / s
 *   curvature = 1 / s^3
 *   majorizer = 1 / s
 *
 * From |t| = 2^60 on (2^30 for float32) s is |t|, whose square could overflow. */
#include "simd/root.h"

PARAMETERS(delta)
#define HAS_MAJORIZER
#define STEEP ((real)(sizeof(real) == sizeof(double) ? 1152921504606846976.0 : 1073741824.0))

/* By one division for all elements and a residual, after which it is all but always rounded as a quotient is. */
INLINE vec ratio(E e)
{
    const vec d = e.x - e.y;
    if (!FUSED)
        return d / e.delta;
    /* of delta so scaled, and its inverse, none overflows; d may, where it is steep, or vanish, where t^2 does */
    const vec scale = v_select(v_gt(e.delta, one()), v_set(1 / STEEP), v_set(STEEP));
    const vec delta = v_min(v_set(REAL_MAX), e.delta) * scale, inverse = one() / delta;
    const vec scaled_d = d * scale, t = scaled_d * inverse;
    return v_fma(v_fnma(t, delta, scaled_d), inverse, t);
}

/* t itself is NaN where it was infinite before its residual. */
INLINE mask is_steep(E e) { return v_ge(v_abs(e.x - e.y), v_set(STEEP) * e.delta); }

/* s, and 1 / s */
INLINE vec root(vec t, vec *inverse) { return v_root(v_fma(t, t, one()), inverse); }

INLINE vec value(E e)
{
    const vec d = e.x - e.y, t = ratio(e), half = v_set((real)0.5) * d * d;
    const mask near = m_without(v_lt(v_abs(t), one()), v_gt(half, v_set(REAL_MAX)));
    vec inverse;
    const vec quotient = v_quotient(v_select(near, t, d), one() + root(t, &inverse));
    /* the last form, which rounds least where it takes off little, for |t| < 1 unless d^2 / 2 overflows */
    const vec bent = v_select(near, v_fnma(half, quotient * quotient, half), d * quotient);
    return v_select(is_steep(e), e.delta * v_abs(d), bent);
}

INLINE vec slope(E e)
{
    const vec d = e.x - e.y;
    vec inverse;
    root(ratio(e), &inverse);
    return v_select(is_steep(e), v_copysign(e.delta, d), d * inverse);
}

INLINE vec majorizer(E e)
{
    const vec t = ratio(e);
    vec inverse;
    root(t, &inverse);
    return v_select(is_steep(e), one() / v_abs(t), inverse);
}

INLINE vec curvature(E e)
{
    const vec t = (e.x - e.y) / e.delta, square = v_fma(t, t, one());
    return one() / (square * v_sqrt(square)); /* 0 where that overflows */
}
