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
PARAMETERS(positive, negative, gamma)
#define COSTLY
#define HAS_REST
#define HAS_SHARED
#define HAS_RESIDUAL
#include "_powers.h"

INLINE vec shared(E e) { return v_exp_negative(v_minus_abs(e.x)); }

typedef struct {
    vec side, w, log1p_t, far; /* side: y where x < 0, else 1 - y; far: s(|x|) */
    mask below;
} parts;

INLINE parts parts_of(E e)
{
    parts p;
    p.below = v_lt(e.x, v_zero());
    p.side = v_select(p.below, e.y, e.rest);
    p.w = v_fma(v_select(p.below, e.rest, e.y), e.shared, p.side);
    p.log1p_t = v_log1p_unit(e.shared);
    p.far = v_quotient(one(), one() + e.shared);
    return p;
}

/* q^gamma times the weight */
INLINE vec factor(E e, parts p)
{
    const vec a = v_fma(e.positive, e.y, e.negative * e.rest), q = p.w / (one() + e.shared);
    if (is_power(e.gamma, 2))
        return a * (q * q);
    const mask soft = m_and(v_gt(e.y, v_zero()), v_lt(e.y, one()));
    const vec hard = sigmoid_power(v_where(v_not_ge(p.side, v_set((real)0.5)), v_abs(e.x)), p.log1p_t, e.gamma);
    return a * (m_any(soft) ? v_select(soft, any_power(q, e.gamma), hard) : hard);
}

INLINE vec cross_entropy(E e, parts p) { return p.log1p_t + times(p.side, v_abs(e.x)); }

INLINE vec steepness(E e, parts p) /* B' */
{
    const vec near = e.shared * p.far;
    const vec up = v_select(p.below, near, p.far), down = v_select(p.below, p.far, near);
    return v_fnma(e.y, down, e.rest * up);
}

INLINE vec growth(E e, parts p) /* d; at t = 0 that of a hard target which x agrees with */
{
    const vec ratio = v_select(v_gt(p.w, v_zero()), e.shared / p.w, one());
    return (e.rest - e.y) * ratio * p.far;
}

INLINE vec value(E e)
{
    const parts p = parts_of(e);
    return times(factor(e, p), cross_entropy(e, p));
}

INLINE vec slope(E e)
{
    const parts p = parts_of(e);
    return factor(e, p) * v_fma(e.gamma, times(growth(e, p), cross_entropy(e, p)), steepness(e, p));
}

INLINE vec curvature(E e)
{
    const parts p = parts_of(e);
    const vec gap = (one() - e.shared) * p.far, c = v_select(p.below, gap, -gap), d = growth(e, p);
    const vec bent = e.gamma * v_fma(e.gamma - one(), d, c) * times(d, cross_entropy(e, p));
    const vec turned = v_fma(v_set(2) * e.gamma * d, steepness(e, p), e.shared * p.far * p.far);
    return factor(e, p) * (bent + turned);
}

INLINE vec residual(E e)
{
    return v_abs(v_fma(e.positive, e.y, e.negative * e.rest) * steepness(e, parts_of(e)));
}
