/* Focal loss of a logit x and a target y in [0, 1] (Lin and others 2017), with weights of the positive and the
 * negative:
 *
 *   value = a q^gamma B,        a = positive y + negative (1 - y)
 *   q = y s(-x) + (1 - y) s(x),                               s(z) = 1 / (1 + e^-z)
 *   B = y sp(-x) + (1 - y) sp(x),                             sp(z) = log(1 + e^z) = max(z, 0) + log1p(e^-|z|)
 *   slope = a q^gamma (gamma d B + B'),                       d = q' / q = (1 - 2 y) s(x) s(-x) / q
 *   curvature = a q^gamma (gamma d (c + (gamma - 1) d) B + 2 gamma d B' + s(x) s(-x)),     c = s(-x) - s(x)
 *   residual = a |B'| = a |s(x) - y|
 *
 * With t = e^-|x|, q = w / (1 + t), w = t or 1 for a hard target; so q^gamma = exp(-gamma |x| - gamma log1p(t)), whose
 * exponent is kept in two numbers, has all its digits where 1 - s(x) has none. */
#define PARTS a, far, near, q, power, cross, steep /* s(|x|), s(-|x|), q, q^gamma, B, B' */
PARAMETERS(positive, negative, gamma)
#define COSTLY
#define HAS_REST
#define HAS_SHARED
#define HAS_SHARED_LOG1P
#define HAS_RESIDUAL
#include "_powers.h"

INLINE vec shared(E e) { return v_exp_negative(v_minus_abs(e.x)); }

INLINE mask is_below(E e) { return v_lt(e.x, v_zero()); }

INLINE parts parts_of(E e)
{
    const mask below = is_below(e);
    const vec side = v_select(below, e.y, e.rest), w = v_fma(v_select(below, e.rest, e.y), e.shared, side);
    const vec size = v_abs(e.x);
    parts p;
    p.far = v_quotient(one(), one() + e.shared);
    p.near = e.shared * p.far;
    const vec up = v_select(below, p.near, p.far), down = v_select(below, p.far, p.near);
    p.a = v_fma(e.positive, e.y, e.negative * e.rest);
    p.q = v_quotient(w, one() + e.shared); /* powers amplify every rounding error */
    p.cross = e.log1p + v_where(v_gt(side, v_zero()), side * size);
    p.steep = v_fnma(e.y, down, e.rest * up);
    p.power = p.q * p.q;
    if (is_power(e.gamma, 2))
        return p;
    const mask soft = m_and(v_gt(e.y, v_zero()), v_lt(e.y, one()));
    p.power = sigmoid_power(v_where(v_not_ge(side, v_set((real)0.5)), size), e.log1p, e.gamma);
    if (m_any(soft))
        p.power = v_select(soft, any_power(w / (one() + e.shared), e.gamma), p.power);
    return p;
}

INLINE vec finite_cross(E e) { return v_min(v_set(REAL_MAX), e.part.cross); } /* what it multiplies is 0 beyond */

INLINE vec value(E e) { return times(e.part.a * e.part.power, e.part.cross); }

INLINE vec growth(E e) /* d; at t = 0 that of a hard target which x agrees with */
{
    const vec ratio = v_select(v_gt(e.part.q, v_zero()), e.part.near / e.part.q, one());
    return (e.rest - e.y) * ratio * e.part.far;
}

INLINE vec slope(E e)
{
    const parts p = e.part;
    if (!is_power(e.gamma, 2))
        return p.a * p.power * v_fma(e.gamma, growth(e) * finite_cross(e), p.steep);
    const vec turned = (e.rest - e.y) * (p.near * p.far); /* q d, which is no quotient */
    return p.a * p.q * v_fma(turned + turned, finite_cross(e), p.q * p.steep);
}

INLINE vec curvature(E e)
{
    const parts p = e.part;
    const vec gap = p.far - p.near, c = v_select(is_below(e), gap, -gap), d = growth(e);
    const vec bent = e.gamma * v_fma(e.gamma - one(), d, c) * (d * finite_cross(e));
    return p.a * p.power * (bent + v_fma(v_set(2) * e.gamma * d, p.steep, p.near * p.far));
}

INLINE vec residual(E e) { return v_abs(e.part.a * e.part.steep); }
