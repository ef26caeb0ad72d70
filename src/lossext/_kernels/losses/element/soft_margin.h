/* Logistic loss of a score x and a target y, -1 or 1, as torch's SoftMarginLoss; z = y x:
 *
 *   value = sp(-z),                   sp(z) = log(1 + e^z) = max(z, 0) + log1p(e^-|z|)
 *   slope = -y s(-z),                 s(z) = 1 / (1 + e^-z)
 *   curvature = s(z) s(-z)
 *   majorizer = tanh(z/2) / (2 z)     (Jaakkola and Jordan 2000)
 *   residual = s(-z)                  (distance of the probability from the target in [0, 1]) */
NO_PARAMETERS
#define HAS_SHARED
#define HAS_LOG1P
#define HAS_MAJORIZER
#define HAS_RESIDUAL

INLINE vec shared(E e) { return v_exp_negative(v_minus_abs(e.x)); }

INLINE vec wrong_by(E e) { return v_select(v_gt(e.y, v_zero()), -e.x, e.x); } /* -z */

INLINE vec linear(E e) { return v_max(v_zero(), wrong_by(e)); } /* in this order NaN propagates */

INLINE vec value(E e) { return linear(e) + v_log1p_unit(e.shared); }

INLINE vec residual(E e)
{
    const vec far = v_quotient(one(), one() + e.shared);
    return v_select(v_gt(wrong_by(e), v_zero()), far, e.shared * far);
}

INLINE vec slope(E e) { return v_copysign(residual(e), -e.y); }
INLINE vec plain_slope(E e) { return slope(e); }

INLINE vec curvature(E e)
{
    const vec far = v_quotient(one(), one() + e.shared);
    return e.shared * far * far;
}

INLINE vec majorizer(E e) { return v_set((real)0.25) * v_tanh_ratio(v_set((real)0.5) * e.x); }
