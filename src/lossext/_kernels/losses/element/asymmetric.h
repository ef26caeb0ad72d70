/* Asymmetric loss of a logit x and a target y in [0, 1] (Ridnik and others 2021), c = clip:
 *
 *   value = y s(-x)^gamma_pos sp(-x) + (1 - y) r^gamma_neg L,     r = max(0, s(x) - c),  L = -log(1 - r)
 *   s(z) = 1 / (1 + e^-z),  sp(z) = log(1 + e^z);                 1 - r = s(-x) + c where r > 0
 *   slope = -y s(-x)^gamma_pos (gamma_pos s(x) sp(-x) + s(-x)) + (1 - y) r^gamma_neg (gamma_neg u L + v)
 *   curvature = y s(-x)^g s(x) (g (g s(x) - s(-x)) sp(-x) + (2 g + 1) s(-x)),  g = gamma_pos
 *     + (1 - y) r^g (g u ((g - 1) u + d) L + 2 g u v + v (v + d)),              g = gamma_neg
 *   with k = s(x) s(-x),  u = k / r,  v = k / (1 - r),  d = s(-x) - s(x),  v + d = (s(-x)^2 + c d) / (1 - r);
 *   the second part is 0 where r is
 *   residual = |s(x) - y|
 *
 * Powers of s as _powers.h says; c = 0 is that loss with its two gammas. */
PARAMETERS(gamma_neg, gamma_pos, clip)
#define COSTLY
#define HAS_SHARED
#define HAS_RESIDUAL
#include "_powers.h"

INLINE vec shared(E e) { return v_exp_negative(v_minus_abs(e.x)); }

typedef struct {
    vec up, down, above, below, log1p_t; /* s(x), s(-x), max(x, 0), max(-x, 0) */
} parts;

INLINE parts parts_of(E e)
{
    const mask left = v_lt(e.x, v_zero());
    parts p;
    p.up = v_select(left, e.shared, one()) / (one() + e.shared); /* its powers count every rounding */
    p.down = v_select(left, one(), e.shared) / (one() + e.shared);
    p.above = v_max(v_zero(), e.x);
    p.below = v_max(v_zero(), -e.x);
    p.log1p_t = v_log1p_unit(e.shared);
    return p;
}

INLINE vec positive_factor(E e, parts p)
{
    return e.y * (is_power(e.gamma_pos, 1) ? p.down : sigmoid_power(p.above, p.log1p_t, e.gamma_pos));
}

typedef struct {
    vec factor, log, u, v; /* (1 - y) r^gamma_neg, 0 where r is; L, u and v as above */
    vec rest, d;
} negative;

INLINE vec negative_power(E e, parts p, vec r, int clips)
{
    if (is_power(e.gamma_neg, 4))
        return (r * r) * (r * r);
    return clips ? any_power(r, e.gamma_neg) : sigmoid_power(p.below, p.log1p_t, e.gamma_neg);
}

INLINE negative negative_of(E e, parts p)
{
    const vec r = v_max(v_zero(), p.up - e.clip), rest = p.down + e.clip, k = p.up * p.down;
    const mask clips = v_gt(e.clip, v_zero()), active = v_not_equal(r, v_zero());
    const mask low = v_lt(r, v_set((real)0.5)); /* 1 - r from r, whose digits count, or from the rest */
    const vec sum = v_select(low, one() - r, rest), lost = v_where(low, (one() - sum) - r);
    negative n;
    n.log = v_select(clips, -v_log_with_rest(sum, lost), p.above + p.log1p_t);
    n.factor = v_where(active, one() - e.y);
    n.u = v_select(clips, v_where(active, k / r), p.down);
    n.v = v_select(clips, k / rest, p.up);
    n.rest = rest;
    n.d = p.down - p.up;
    n.factor = n.factor * negative_power(e, p, r, m_any(clips));
    return n;
}

INLINE vec value(E e)
{
    const parts p = parts_of(e);
    const negative n = negative_of(e, p);
    return times(positive_factor(e, p), p.below + p.log1p_t) + times(n.factor, n.log);
}

INLINE vec slope(E e)
{
    const parts p = parts_of(e);
    const negative n = negative_of(e, p);
    const vec positive = v_fma(e.gamma_pos, times(p.up, p.below + p.log1p_t), p.down);
    return v_fnma(positive_factor(e, p), positive, n.factor * v_fma(e.gamma_neg, times(n.u, n.log), n.v));
}

INLINE vec curvature(E e)
{
    const parts p = parts_of(e);
    const negative n = negative_of(e, p);
    const vec g = e.gamma_pos, h = e.gamma_neg, two = v_set(2);
    const vec sum = v_fma(p.down, p.down, e.clip * n.d) / n.rest; /* v + d, s(-x) where c is 0 */
    const vec turn = v_select(v_gt(e.clip, v_zero()), sum, p.down);
    const vec bent = g * v_fma(g, p.up, -p.down) * times(p.up, p.below + p.log1p_t);
    const vec positive = v_fma(v_fma(two, g, one()) * p.up, p.down, bent);
    const vec bent_back = h * v_fma(h - one(), n.u, n.d) * times(n.u, n.log);
    return v_fma(positive_factor(e, p), positive, n.factor * (bent_back + n.v * (two * h * n.u + turn)));
}

INLINE vec residual(E e)
{
    const parts p = parts_of(e);
    return v_abs(v_fnma(e.y, p.down, (one() - e.y) * p.up));
}
