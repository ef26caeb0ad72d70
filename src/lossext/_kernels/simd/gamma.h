/* log(y!) and log(Gamma(a)) on vectors, branch-free. */
#ifndef LX_GAMMA_H
#define LX_GAMMA_H

#include "log.h"

/* log(y!) = log(Gamma(y + 1)) for y >= -1/4; minus log(y) if `less`, for y below 1.5 only.
 *
 * Below 1.5: y (y - 1) (1/2 + N(y) / D(y)), a rational minimax approximation, exact at the zeros 0 and 1.
 * Up to 7.5: from y! = y (y - 1) ... f!, f in [0.5, 1.5).  Beyond: Stirling's series. */
INLINE vec v_log_factorial_less(vec y, mask less)
{
#ifdef LX_DOUBLE
    static const real numerator[] = {0.07721566490153287,  0.03170955523406482,    -0.3270615238004525,
                                     -0.5284716263129032,  -0.3296836559431077,    -0.09457243980923069,
                                     -0.01170768786649397, -0.0004602454108582438, -1.659562956010948e-07};
    static const real denominator[] = {1.0, 3.5868489134922554, 5.143824320619412, 3.764594179946215, 1.487209938310279,
                                       0.30803681546690737, 0.029669979825687875, 0.0009573133675618512};
    static const real series[] = {0.08333333333333326,    -0.002777777777468915, 0.0007936505874899872,
                                  -0.0005951876773722478, 0.000836130307293238,  -0.0016217873364826837};
#else
    static const real numerator[] = {7.7215664e-02f, -1.1465711e-01f, -1.9495933e-01f, -4.818856e-02f, -2.3379072e-04f};
    static const real denominator[] = {1.0f, 1.6912917f, 8.3400285e-01f, 1.1157261e-01f};
    static const real series[] = {8.3333306e-02f, -2.7641093e-03f};
#endif
    enum { TOP = sizeof numerator / sizeof(real), BOTTOM = sizeof denominator / sizeof(real) };
    enum { TERMS = sizeof series / sizeof(real), STEPS = 6 };
    const vec one = v_set(1), half = v_set((real)0.5);
    const mask large = v_ge(y, v_set((real)7.5));
    vec f = y, product = v_select(m_or(large, less), y, one);
    UNROLL(6)
    for (int i = 0; i < STEPS; i++) {
        const mask step = v_ge(f, v_set((real)1.5));
        product = v_select(m_without(step, large), product * f, product);
        f -= v_where(step, one);
    }
    const vec log = v_log(product), inverse = one / y;

    const vec g = f - one, both = f * g, lost = v_product_error(f, g, both);
    const vec fraction = v_polynomial(numerator, TOP, f) / v_polynomial(denominator, BOTTOM, f);
    const vec small = v_fma(both, half, v_fma(lost, half, both * fraction)) + v_select(less, -log, log);

    const vec half_log_two_pi = v_set((real)0.91893853320467274178);
    const vec rest = v_fma(inverse, v_polynomial(series, TERMS, inverse * inverse), v_fma(half, log, half_log_two_pi));
    return v_select(large, v_fma(y, log - one, rest), small);
}

/* log(y!) for y >= 0 */
INLINE vec v_log_factorial(vec y) { return v_log_factorial_less(y, m_none()); }

/* log(Gamma(a)) for a > 0; inf at 0, NaN below */
INLINE vec v_lgamma(vec a)
{
    const mask low = v_not_ge(a, v_set((real)0.75));
    return v_log_factorial_less(v_select(low, a, a - v_set(1)), low);
}

#endif
