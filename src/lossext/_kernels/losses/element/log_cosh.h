/* log cosh of d = x - y, for a prediction x and a target y; q = exp(-2 |d|):
 *
 *   value = d^2/2 + d^4 Q(d^2) if |d| < 1, with a minimax polynomial, else |d| + log1p(q) - log 2
 *   slope = tanh(d)
 *   curvature = 1 / cosh(d)^2
 *   majorizer = tanh(d) / d
 *
 * log(cosh(d)) as written overflows, |d| + log1p(q) - log 2 has no digit left where d is small. */
NO_PARAMETERS
#define COSTLY
#define HAS_SHARED
#define HAS_SHARED_LOG1P
#define HAS_MAJORIZER
#ifdef LX_DOUBLE
#define LOG_2_LOST 2.3190468138462996e-17 /* by rounding log 2 */
#else
#define LOG_2_LOST -1.9046542e-09f
#endif

INLINE vec shared(E e) { return v_exp_negative(v_set(-2) * v_abs(e.x - e.y)); }

INLINE vec value(E e)
{
#ifdef LX_DOUBLE
    static const real even[] = {-0.08333333333333331, -0.00674603174542508, -0.0007386027486527743,
                                -9.098044473771023e-05, -1.1870098278564584e-05, -1.4222263651084714e-06,
                                -8.163410141072987e-08};
    static const real odd[] = {0.022222222222212935, 0.0021869488379452975, 0.00025657884381260647,
                               3.274575390887597e-05, 4.245452328679248e-06, 4.0316343962433623e-07,
                               8.440273144347443e-09};
#else
    static const real even[] = {-0.08333331f, -0.006731191f, -0.00059633754f};
    static const real odd[] = {0.022220982f, 0.0021202278f, 0.00010047848f};
#endif
    enum { TERMS = sizeof even / sizeof *even };
    const vec size = v_abs(e.x - e.y), d2 = size * size, half = v_set((real)0.5) * d2;
    const vec near = v_fma(d2 * d2, v_polynomial2(even, TERMS, odd, TERMS, d2), half);
    const vec log_2 = v_set((real)0.69314718055994530942);
    const vec far = (size - log_2) + (e.log1p - v_set(LOG_2_LOST));
    return v_select(v_lt(size, one()), near, far);
}

INLINE vec slope(E e)
{
    return v_tanh_of(e.x - e.y, e.shared);
}

INLINE vec curvature(E e)
{
    const vec d = e.x - e.y, back = d - e.x, lost = (e.x - (d - back)) - (e.y + back); /* by rounding d */
    const vec e1 = v_exp_negative(v_minus_abs(d)), inverse = (e1 + e1) / v_fma(e1, e1, one());
    const vec known = v_where(v_le(v_abs(lost), one()), lost); /* not where d is infinite */
    return inverse * inverse * v_fnma(v_set(2) * slope(e), known, one());
}

INLINE vec majorizer(E e) { return v_tanh_ratio_of(e.x - e.y, e.shared); }
