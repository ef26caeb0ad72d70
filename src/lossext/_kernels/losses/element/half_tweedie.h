/* Half the Tweedie deviance of the logarithm x of a mean and an amount y; a = 2 - power, b = 1 - power, t = x - log(y):
 *
 *   value = (e^(a x) - y^a) / a - y (e^(b x) - y^b) / b, where a or b is 0 the limit         (Jorgensen 1997)
 *         = y^a t^2 D, D = exp[0, b t, a t], the second divided difference
 *   slope = e^(b x) (e^x - y) = y e^(b x) expm1(t) = -e^(a x) expm1(-t)
 *   curvature = a e^(a x) - b y e^(b x)
 *   fisher = e^(a x)
 *
 * For power 1.5, with w the greater of e^(x/2), y e^(-x/2) and m = expm1(-|t|/2), which is -1 at y = 0,
 *
 *   value = 2 (e^(x/4) - y^(1/2) e^(-x/4))^2 = 2 w m^2,        slope = sign(t) w (-m) (2 + m)
 *
 * For y <= 0 without the powers of y, but for power 0: (e^x - y)^2 / 2.  Near t = 0 the terms of the first form cancel.
 * D is exp(m) sum_k h_k / (k + 2)! about the nodes' mean m, with the complete symmetric polynomials h_k of the nodes
 * less m; these follow from h_k = -e2 h_(k-2) + e3 h_(k-3), so that Clenshaw's rule adds them up. */
#include "_deviance.h"
#define PARTS w, m /* of power 1.5 */
PARAMETERS(power)
#define COSTLY
#define HAS_SHARED
#define HAS_LIMIT
#define HAS_FISHER
#define RADIUS ((real)2.4) /* so far the series goes, of few enough terms to be exact */

INLINE vec a_of(E e) { return v_set(2) - e.power; }
INLINE vec b_of(E e) { return one() - e.power; }

INLINE vec shared(E e) { return log_ratio(e.x, positive_part(e.y)); }

/* y e^(c x) for y >= 0, the product c x in two parts */
INLINE vec times_power_of_mean(vec y, vec c, vec x)
{
    const vec t = c * x;
    const mask some = v_not_equal(c, v_zero()); /* 0 times inf is NaN */
    return times_exp(y, v_where(some, t), v_where(some, v_product_error(c, x, t)));
}

INLINE int is_default(E e) { return !m_any(v_not_equal(e.power, v_set((real)1.5))); }

INLINE parts parts_of(E e)
{
    parts p = {v_zero(), v_zero()};
    if (is_default(e)) {
        const mask positive = v_gt(e.y, v_zero()), by_mean = m_or(m_not(positive), v_ge(e.shared, v_zero()));
        const vec half = v_set((real)0.5) * e.x;
        p.w = times_exp(v_select(by_mean, one(), e.y), v_select(by_mean, half, -half), v_zero());
        p.m = v_expm1(v_select(positive, v_set((real)-0.5) * v_abs(e.shared), v_set(EXPM1_FLOOR)));
    }
    return p;
}

/* exp(-m) D for nodes with mean m that are at most RADIUS away from it; e2, e3 of the nodes less m */
INLINE vec divided_difference(vec e2, vec e3)
{
    enum { TERMS = sizeof(real) == sizeof(double) ? 27 : 17 };
    static const double c[] = {
        0.5, 0.16666666666666666, 0.041666666666666664, 0.008333333333333333, 0.001388888888888889,
        0.0001984126984126984, 2.48015873015873e-05, 2.7557319223985893e-06, 2.755731922398589e-07,
        2.505210838544172e-08, 2.08767569878681e-09, 1.6059043836821613e-10, 1.1470745597729725e-11,
        7.647163731819816e-13, 4.779477332387385e-14, 2.8114572543455206e-15, 1.5619206968586225e-16,
        8.22063524662433e-18, 4.110317623312165e-19, 1.9572941063391263e-20, 8.896791392450574e-22,
        3.868170170630684e-23, 1.6117375710961184e-24, 6.446950284384474e-26, 2.4795962632247976e-27,
        9.183689863795546e-29, 3.279889237069838e-30}; /* 1 / (k + 2)! */
    vec s0 = v_zero(), s1 = v_zero(), s2 = v_zero(); /* of k + 1, k + 2, k + 3 */
    for (int k = TERMS - 1; k >= 0; k--) {
        const vec s = v_fnma(e2, s1, v_fma(e3, s2, v_set((real)c[k])));
        s2 = s1;
        s1 = s0;
        s0 = s;
    }
    return s0;
}

static NOINLINE vec value_of_any(E e)
{
    const vec a = a_of(e), b = b_of(e), third = v_set((real)(1.0 / 3)), mean = (a + b) * third;
    const mask positive = v_gt(e.y, v_zero());

    /* t, and log(y^a e^(mean t)) or log(y^a), in two parts */
    const pair log_y = v_log_pair(positive_part(e.y)), gap = pair_add(e.x, -log_y.hi);
    const pair t = pair_add(gap.hi, gap.lo - log_y.lo);
    const vec n0 = -mean, n1 = b - mean, n2 = a - mean, far_off = v_max(v_max(v_abs(n0), v_abs(n1)), v_abs(n2));
    const mask near = m_and(positive, v_le(v_abs(t.hi) * far_off, v_set(RADIUS)));
    const vec p = a * log_y.hi, p_rest = v_fma(a, log_y.lo, v_product_error(a, log_y.hi, p));
    const pair sum = pair_add(p, v_where(near, mean * t.hi));
    const vec rest = sum.lo + (p_rest + v_where(near, v_fma(mean, t.lo, v_product_error(mean, t.hi, mean * t.hi))));

    const vec square = t.hi * t.hi, lost = v_product_error(t.hi, t.hi, square) + (t.hi + t.hi) * t.lo;
    vec d = v_zero();
    if (m_any(near))
        d = divided_difference((n1 * n2 + n0 * (n1 + n2)) * square, n0 * n1 * n2 * square * t.hi);
    const vec by_series = v_fma(square, d, lost * d);
    if (!m_any(m_not(near)))
        return times_exp(by_series, sum.hi, rest);

    /* one of a t and b t may be small: its difference by expm1 */
    const mask a_is_less = v_lt(v_abs(a), v_abs(b));
    const vec c = v_select(a_is_less, a, b), ct = c * t.hi;
    const mask small = m_and(positive, m_or(v_lt(v_abs(ct), one()), m_not(v_not_equal(c, v_zero()))));
    const mask a_is_small = m_and(small, a_is_less), b_is_small = m_without(small, a_is_less);
    const vec quotient = v_select(v_not_equal(c, v_zero()), v_expm1(ct) / c, t.hi);
    const vec by_small = v_select(a_is_less, quotient + one() / b, -(quotient + one() / a));
    const vec of_constant = v_select(small, by_small, one() / (a * b));
    const vec at_0 = v_without(of_constant * e.y * e.y, v_not_equal(e.power, v_zero()));
    const vec factor = v_select(positive, of_constant, at_0);

    const vec scale = v_select(near, by_series, v_abs(factor));
    const vec constant = times_exp(scale, sum.hi, rest);
    const vec y_part = e.y / v_select(v_not_equal(b, v_zero()), b, one());
    const vec by_mean = v_copysign(times_power_of_mean(one() / v_abs(a), a, e.x), a);
    const vec by_y = v_copysign(times_power_of_mean(v_abs(y_part), b, e.x), y_part);
    const vec powers = v_without(by_mean, a_is_small) - v_without(by_y, b_is_small);
    return v_select(near, constant, powers + v_copysign(constant, factor));
}

INLINE vec value(E e)
{
    return is_default(e) ? (e.part.w * e.part.m) * (e.part.m + e.part.m) : value_of_any(e);
}

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE mask is_positive(E e) { return v_gt(e.y, v_zero()); }
INLINE mask is_above(E e) { return m_and(is_positive(e), v_ge(e.shared, v_zero())); }

/* c times the greater of e^(a x), y e^(b x); times e^(b x) for y < 0, e^(a x) for y = 0 */
INLINE vec times_greater(E e, vec c)
{
    const mask by_mean = m_or(is_above(e), m_without(v_ge(e.y, v_zero()), is_positive(e)));
    const vec size = v_abs(c) * v_select(m_without(is_positive(e), by_mean), e.y, one());
    return v_copysign(times_power_of_mean(size, v_select(by_mean, a_of(e), b_of(e)), e.x), c);
}

static NOINLINE vec slope_of_any(E e)
{
    const vec share = v_expm1(v_minus_abs(e.shared)), apart = v_select(is_above(e), -share, share);
    const mask negative = v_lt(e.y, v_zero());
    const vec together = m_any(negative) ? v_select(negative, v_exp(e.x) - e.y, one()) : one();
    return times_greater(e, v_select(is_positive(e), apart, together));
}

INLINE vec slope(E e)
{
    if (!is_default(e))
        return slope_of_any(e);
    const vec size = e.part.w * v_fma(e.part.m, e.part.m, e.part.m + e.part.m); /* -|slope| */
    return v_select(m_and(is_positive(e), v_lt(e.shared, v_zero())), size, v_zero() - size); /* 0, not -0 */
}

INLINE vec curvature(E e)
{
    const vec a = a_of(e), b = b_of(e), by_y = b * e.y;
    const vec of_mean = v_copysign(times_power_of_mean(v_abs(a), a, e.x), a);
    const vec sum = of_mean - v_copysign(times_power_of_mean(v_abs(by_y), b, e.x), by_y);
    if (!m_any(v_is_nan(sum)))
        return sum;
    const vec share = v_exp_negative(v_minus_abs(e.shared)); /* inf - inf */
    const vec apart = v_select(is_above(e), v_fnma(b, share, a), v_fma(a, share, -b));
    return v_select(v_is_nan(sum), times_greater(e, apart), sum);
}

INLINE vec fisher(E e) { return times_power_of_mean(one(), a_of(e), e.x); }
