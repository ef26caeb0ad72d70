/* Pseudo-Huber loss of a prediction x and a target y, d = x - y, t = d / delta, s = sqrt(1 + t^2) (Charbonnier 1994):
 *
 *   value = delta^2 (s - 1) = d^2 / (1 + s) = d^2 / 2 (1 - t^2 / (1 + s)^2)
 *   slope = d / s
 *   curvature = 1 / s^3
 *   majorizer = 1 / s
 *
 * From |t| = 2^60 on (2^30 for float32) s is |t|, whose square could overflow. */
PARAMETERS(delta)
#define HAS_MAJORIZER
#define STEEP ((real)(sizeof(real) == sizeof(double) ? 1152921504606846976.0 : 1073741824.0))

INLINE vec root(vec t) { return v_sqrt(v_fma(t, t, one())); }

/* The last form, which rounds least where it takes off little, for |t| < 1. */
INLINE vec value(E e)
{
    const vec d = e.x - e.y, t = d / e.delta, below = one() + root(t), half = v_set((real)0.5) * d * d;
    const mask near = v_lt(v_abs(t), one());
    const vec ratio = v_select(near, t * t, d) / v_select(near, below * below, below);
    const vec bent = v_select(near, v_fnma(half, ratio, half), d * ratio);
    return v_select(v_ge(v_abs(t), v_set(STEEP)), e.delta * v_abs(d), bent);
}

INLINE vec slope(E e)
{
    const vec d = e.x - e.y, t = d / e.delta;
    return v_select(v_ge(v_abs(t), v_set(STEEP)), v_copysign(e.delta, d), d / root(t));
}

INLINE vec majorizer(E e)
{
    const vec t = (e.x - e.y) / e.delta;
    return one() / v_select(v_ge(v_abs(t), v_set(STEEP)), v_abs(t), root(t));
}

INLINE vec curvature(E e)
{
    const vec t = (e.x - e.y) / e.delta, square = v_fma(t, t, one());
    return one() / (square * v_sqrt(square)); /* 0 where that overflows */
}
