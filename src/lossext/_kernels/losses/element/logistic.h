/* Logistic loss of a logit x and a target y in [0, 1], with weight q (pos_weight) of the positive part:
 *
 *   value = q y sp(-x) + (1 - y) sp(x),       sp(z) = log(1 + e^z) = max(z, 0) + log1p(e^-|z|)
 *   slope = (1 - y) s(x) - q y s(-x),         s(z) = 1 / (1 + e^-z)
 *   curvature = ((1 - y) + q y) s(x) s(-x)
 *   majorizer = ((1 - y) + q y) tanh(x/2) / (2 x)             (Jaakkola and Jordan 2000)
 *   residual = |slope|
 *
 * Both softplus and both sigmoids come from one e^-|x|, so nothing cancels for a hard target: torch's form
 * (1 - y) x + (1 + (q - 1) y) sp(-x) has no correct digit left at x = -20, y = 0. */
#define VARYING
PARAMETERS(pos_weight)
#define HAS_REST
#define HAS_SHARED
#define HAS_LIMIT
#define HAS_LOG1P
#define HAS_MAJORIZER
#define HAS_RESIDUAL

INLINE vec shared(E e) { return v_exp_negative(v_minus_abs(e.x)); }

INLINE vec negative(E e) { return e.rest; }
INLINE vec positive(E e) { return times(e.pos_weight, e.y); }

/* The weight of max(x, 0) or max(-x, 0) */
INLINE vec side(E e, vec positive) { return v_select(v_gt(e.x, v_zero()), negative(e), positive); }

INLINE vec linear(E e) { return side(e, e.y) * v_abs(e.x); }

INLINE vec value(E e)
{
    return v_fma(negative(e) + positive(e), v_log1p_unit(e.shared), side(e, positive(e)) * v_abs(e.x));
}

INLINE vec limit(E e) /* 0 * inf is 0 at an infinite logit */
{
    return v_fma(negative(e) + positive(e), v_log1p_unit(e.shared), times(side(e, positive(e)), v_abs(e.x)));
}

INLINE vec slope_with(E e, vec positive)
{
    const vec far = v_quotient(one(), one() + e.shared), near = e.shared * far; /* s(|x|), s(-|x|) */
    const mask below = v_lt(e.x, v_zero());
    const vec up = v_select(below, near, far), down = v_select(below, far, near); /* s(x), s(-x) */
    return v_fnma(positive, down, negative(e) * up);
}

INLINE vec slope(E e) { return slope_with(e, positive(e)); }
INLINE vec plain_slope(E e) { return slope_with(e, e.y); }

INLINE vec curvature(E e)
{
    const vec far = v_quotient(one(), one() + e.shared);
    return (negative(e) + positive(e)) * (e.shared * far * far);
}

INLINE vec majorizer(E e)
{
    return (negative(e) + positive(e)) * (v_set((real)0.25) * v_tanh_ratio(v_set((real)0.5) * e.x));
}

INLINE vec residual(E e) { return v_abs(slope(e)); }
