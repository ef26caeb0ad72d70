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
 * Powers of s: see _powers.h; c = 0 is the focal loss with two gammas.  Of a hard target one part is 0: one
 * logarithm is enough, log(1 + e^-|x|) where y is 1 and log(1 - r) where it is 0. */
#define PARTS up, down, rest, sp_down, log, positive, factor, grown, v
PARAMETERS(gamma_neg, gamma_pos, clip)
#define COSTLY
#define HAS_SHARED
#define HAS_RESIDUAL
#include "_powers.h"

INLINE vec shared(E e) { return v_exp_negative(v_minus_abs(e.x)); }

/* factor * log, 0 where the factor is */
INLINE vec term(vec factor, vec log) { return v_where(v_not_equal(factor, v_zero()), factor * log); }

/* a logarithm whose factor is 0 where it is infinite */
INLINE vec finite_log(vec log) { return v_min(v_set(REAL_MAX), log); }

INLINE parts parts_of(E e)
{
    const mask left = v_lt(e.x, v_zero());
    const vec t = e.shared, sum = one() + t, sum_lost = t - (sum - one());
    const vec far = v_quotient(one(), sum), near = v_quotient(t, sum); /* powers amplify every rounding error */
    const vec above = v_max(v_zero(), e.x), below = v_max(v_zero(), -e.x);
    const int clips = m_any(v_gt(e.clip, v_zero())), hard = all_hard(e.y);
    parts p;
    p.up = v_select(left, near, far);
    p.down = v_select(left, far, near);
    p.rest = p.down + e.clip;
    const vec r = v_max(v_zero(), p.up - e.clip), k = p.up * p.down;

    /* 1 - r from r if r is small, else from the other terms */
    const mask low = v_lt(r, v_set((real)0.5)), positive = hard ? v_gt(e.y, v_zero()) : m_none();
    const vec others = v_select(low, one() - r, p.rest), others_lost = v_where(low, (one() - others) - r);
    vec log1p_t = v_zero();
    if (clips) {
        const vec of = v_select(positive, sum, others), lost = v_select(positive, sum_lost, others_lost);
        log1p_t = v_log_limits(of, v_log_with_rest(of, lost)); /* NaN stays */
        p.log = -log1p_t;
    }
    if (!clips || !hard)
        log1p_t = v_log_with_rest(sum, sum_lost);
    if (!clips)
        p.log = above + log1p_t;
    p.sp_down = below + log1p_t;
    p.positive = e.y * (is_power(e.gamma_pos, 1) ? p.down : sigmoid_power(above, log1p_t, e.gamma_pos));

    const mask active = v_not_equal(r, v_zero());
    p.factor = v_where(active, one() - e.y);
    p.v = clips ? v_quotient(k, v_max(v_set(QUOTIENT_LEAST), p.rest)) : p.up;
    if (is_power(e.gamma_neg, 4)) {
        p.grown = p.factor * k * (r * (r * r));
        p.factor = p.factor * ((r * r) * (r * r));
    } else {
        p.factor = p.factor * (clips ? any_power(r, e.gamma_neg) : sigmoid_power(below, log1p_t, e.gamma_neg));
        p.grown = p.factor * (clips ? v_where(active, k / r) : p.down);
    }
    return p;
}

INLINE vec value(E e) { return term(e.part.positive, e.part.sp_down) + term(e.part.factor, e.part.log); }

INLINE vec slope(E e)
{
    const parts p = e.part;
    const vec steep = v_fma(e.gamma_pos, p.up * finite_log(p.sp_down), p.down);
    return v_fnma(p.positive, steep, v_fma(e.gamma_neg * p.grown, finite_log(p.log), p.factor * p.v));
}

INLINE vec curvature(E e)
{
    const parts p = e.part;
    const vec g = e.gamma_pos, h = e.gamma_neg, two = v_set(2), d = p.down - p.up, log = finite_log(p.log);
    const mask clips = v_gt(e.clip, v_zero());
    const vec r = p.up - e.clip, u = v_select(clips, v_where(v_gt(r, v_zero()), p.up * p.down / r), p.down);
    const vec sum = v_fma(p.down, p.down, e.clip * d) / p.rest; /* v + d, s(-x) where c is 0 */
    const vec bent = g * v_fma(g, p.up, -p.down) * (p.up * finite_log(p.sp_down));
    const vec positive = v_fma(v_fma(two, g, one()) * p.up, p.down, bent);
    const vec bent_back = h * p.grown * v_fma(v_fma(h - one(), u, d), log, two * p.v);
    return v_fma(p.positive, positive, bent_back + p.factor * p.v * v_select(clips, sum, p.down));
}

INLINE vec residual(E e) { return v_abs(v_fnma(e.y, e.part.down, (one() - e.y) * e.part.up)); }
