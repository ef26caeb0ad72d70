/* Half the Tweedie deviance of the logarithm x of a mean and an amount y; a = 2 - power, b = 1 - power, t = x - log(y):
 *
 *   value = (e^(a x) - y^a) / a - y (e^(b x) - y^b) / b, where a or b is 0 the limit         (Jorgensen 1997)
 *         = y^a t^2 D, D = exp[0, b t, a t], the second divided difference
 *   slope = e^(b x) (e^x - y) = y e^(b x) expm1(t)
 *   curvature = a e^(a x) - b y e^(b x)
 *   fisher = e^(a x)
 *
 * For y <= 0 without the powers of y; the square of e^x - y for power 0.  Near t = 0 the terms of the first form cancel.
 * D is exp(m) sum_k h_k / (k + 2)! about the nodes' mean m, with the complete symmetric polynomials h_k of the nodes less
 * m; these follow from h_k = -e2 h_(k-2) + e3 h_(k-3), so that Clenshaw's rule adds them up. */
#include "_deviance.h"
PARAMETERS(power)
#define HAS_SHARED
#define HAS_LIMIT
#define HAS_FISHER

INLINE vec a_of(E e) { return v_set(2) - e.power; }
INLINE vec b_of(E e) { return one() - e.power; }

INLINE vec shared(E e) { return log_ratio(e.x, positive_part(e.y)); }

/* e^(c x), the product in two parts */
INLINE vec power_of_mean(E e, vec c)
{
    const vec t = c * e.x;
    return v_exp_pair(t, v_product_error(c, e.x, t));
}

/* |y| e^(b x), 0 for y = 0 */
INLINE vec y_times_power(E e)
{
    const vec t = b_of(e) * e.x, size = v_abs(e.y), rest = v_product_error(b_of(e), e.x, t);
    return v_where(v_gt(size, v_zero()), times_exp(positive_part(size), t, rest));
}

/* exp(-m) D for nodes with mean m that are at most 3 away from it; e2, e3 of the nodes less m */
INLINE vec divided_difference(vec e2, vec e3)
{
    enum { TERMS = sizeof(real) == sizeof(double) ? 30 : 19 };
    static const double c[] = {
        0.5, 0.16666666666666666, 0.041666666666666664, 0.008333333333333333, 0.001388888888888889,
        0.0001984126984126984, 2.48015873015873e-05, 2.7557319223985893e-06, 2.755731922398589e-07,
        2.505210838544172e-08, 2.08767569878681e-09, 1.6059043836821613e-10, 1.1470745597729725e-11,
        7.647163731819816e-13, 4.779477332387385e-14, 2.8114572543455206e-15, 1.5619206968586225e-16,
        8.22063524662433e-18, 4.110317623312165e-19, 1.9572941063391263e-20, 8.896791392450574e-22,
        3.868170170630684e-23, 1.6117375710961184e-24, 6.446950284384474e-26, 2.4795962632247976e-27,
        9.183689863795546e-29, 3.279889237069838e-30, 1.1309962886447716e-31, 3.769987628815905e-33,
        1.216125041553518e-34}; /* 1 / (k + 2)! */
    vec s0 = v_zero(), s1 = v_zero(), s2 = v_zero(); /* of k + 1, k + 2, k + 3 */
    for (int k = TERMS - 1; k >= 0; k--) {
        const vec s = v_fnma(e2, s1, v_fma(e3, s2, v_set((real)c[k])));
        s2 = s1;
        s1 = s0;
        s0 = s;
    }
    return s0;
}

INLINE vec value(E e)
{
    const vec a = a_of(e), b = b_of(e), t = e.shared, third = v_set((real)(1.0 / 3)), mean = (a + b) * third;
    const vec n0 = -mean, n1 = b - mean, n2 = a - mean, pairs = n1 * n2 + n0 * (n1 + n2);
    const mask positive = v_gt(e.y, v_zero());
    const mask near = m_and(positive, v_le(v_abs(t) * v_max(v_max(v_abs(n0), v_abs(n1)), v_abs(n2)), v_set(3)));

    /* y^a, or y^a e^(mean t) */
    const pair log_y = v_log_pair(positive_part(e.y));
    const vec p = a * log_y.hi, rest = v_fma(a, log_y.lo, v_product_error(a, log_y.hi, p));
    const vec shift = v_where(near, mean * t), sum = p + shift, back = sum - p;
    const vec lost = (p - (sum - back)) + (shift - back);
    const vec power_of_y = v_exp_pair(sum, rest + lost);
    const vec close = power_of_y * (t * t * divided_difference(pairs * t * t, n0 * n1 * n2 * t * t * t));

    /* one of a t and b t may be small: its difference by expm1 */
    const vec c = v_select(v_lt(v_abs(a), v_abs(b)), a, b), ct = c * t;
    const mask small = m_and(positive, v_lt(v_abs(ct), one()));
    const vec at_0 = v_select(v_not_equal(e.power, v_zero()), v_zero(), e.y * e.y);
    const vec constant = v_select(positive, power_of_y, at_0);
    const vec quotient = power_of_y * v_select(v_not_equal(c, v_zero()), v_expm1(ct) / c, t);
    const vec by_mean = (power_of_mean(e, a) - constant) / a;
    const vec by_y = (v_copysign(y_times_power(e), e.y) - constant) / b;
    const mask a_is_small = m_and(small, v_lt(v_abs(a), v_abs(b))), b_is_small = m_without(small, a_is_small);
    const vec far = v_select(a_is_small, quotient, by_mean) - v_select(b_is_small, quotient, by_y);
    return v_select(near, close, far);
}

INLINE vec limit(E e) { return v_select(v_is_nan(e.x), e.x, v_set((real)INFINITY)); }

INLINE vec slope(E e)
{
    const vec part = v_copysign(y_times_power(e), e.y);
    const mask near = m_and(v_gt(e.y, v_zero()), v_le(v_abs(e.shared), v_set(2)));
    return v_select(near, part * v_expm1(e.shared), power_of_mean(e, a_of(e)) - part);
}

INLINE vec curvature(E e)
{
    return a_of(e) * power_of_mean(e, a_of(e)) - b_of(e) * v_copysign(y_times_power(e), e.y);
}

INLINE vec fisher(E e) { return power_of_mean(e, a_of(e)); }
