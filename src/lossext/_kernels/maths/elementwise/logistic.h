/* Logistic loss of a logit x and a target y in [0, 1], with weight w and weight q of the positive part:
 *
 *   value = w (q y sp(-x) + (1 - y) sp(x)),       sp(z) = log(1 + e^z) = max(z, 0) + log1p(e^-|z|)
 *   slope = w ((1 - y) s(x) - q y s(-x)),         s(z) = 1 / (1 + e^-z)
 *   curvature = w ((1 - y) + q y) s(x) s(-x)
 *
 * Both softplus and both sigmoids come from one e^-|x|, so nothing cancels for a hard target: torch's form
 * (1 - y) x + (1 + (q - 1) y) sp(-x) has no correct digit left at x = -20, y = 0. */
#define HAS_POS_WEIGHT 1
#define HAS_SHARED 1    /* e^-|x| */
#define HAS_LOG1P 1     /* value = linear + both log1p(shared), and both is 1 without weights */

INLINE mask outside_domain(vec y) { return v_not_ge(v_fnma(y, y, y), v_zero()); } /* y - y^2; catches NaN as well */

INLINE vec prepare(vec x) { return v_exp_negative(v_minus_abs(x)); }

typedef struct {
    vec negative, positive, both; /* 1 - y, q y, their sum */
} parts;

INLINE parts parts_of(const element *p)
{
    parts a;
    a.negative = v_set(1) - p->y;
    a.positive = p->has_pos_weight ? p->pos_weight * p->y : p->y;
    a.both = p->has_pos_weight ? a.negative + a.positive : v_set(1);
    return a;
}

/* The part without a logarithm; NaN at an infinite logit. */
INLINE vec finite_linear(const element *p)
{
    if (FUSED && !p->has_pos_weight)
        return v_fnma(p->x, p->y, v_max(p->x, v_zero()));
    const parts a = parts_of(p);
    return v_select(v_gt(p->x, v_zero()), a.negative, a.positive) * v_abs(p->x);
}

INLINE vec finite_value(const element *p)
{
    const vec v = v_fma(parts_of(p).both, v_log1p_unit(p->shared), finite_linear(p));
    return p->has_weight ? p->weight * v : v;
}

INLINE vec linear(const element *p)
{
    const parts a = parts_of(p);
    vec side = v_select(v_gt(p->x, v_zero()), a.negative, a.positive);
    side = p->has_weight ? p->weight * side : side;
    return v_where(v_not_equal(side, v_zero()), side * v_abs(p->x)); /* 0 * inf is 0: the limit at an infinite logit */
}

INLINE vec value(const element *p)
{
    vec both = parts_of(p).both;
    both = p->has_weight ? p->weight * both : both;
    return v_fma(both, v_log1p_unit(p->shared), linear(p));
}

INLINE vec slope(const element *p)
{
    const parts a = parts_of(p);
    const vec far = p->weight / (v_set(1) + p->shared), near = p->shared * far; /* w s(|x|), w s(-|x|) */
    const mask below = v_lt(p->x, v_zero());
    const vec up = v_select(below, near, far), down = v_select(below, far, near); /* w s(x), w s(-x) */
    return v_fnma(a.positive, down, a.negative * up);
}

INLINE vec curvature(const element *p)
{
    const vec far = v_set(1) / (v_set(1) + p->shared);
    return p->weight * parts_of(p).both * (p->shared * far * far);
}
