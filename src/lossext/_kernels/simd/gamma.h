/* log(y!) = log(Gamma(y + 1)) on vectors, branch-free, for y >= 0.
 *
 * Up to 2: y (y - 1) R(y - 1), R a minimax polynomial, so that no digit is lost at the zeros 0 and 1.  Up to 10: from
 * y! = y (y - 1) ... f!, f in (1, 2].  Beyond: Stirling's series. */
#ifndef LX_GAMMA_H
#define LX_GAMMA_H

#include "log.h"

INLINE vec v_log_factorial(vec y)
{
#ifdef LX_DOUBLE
    static const real even[] = {0.42278433509846713, 0.03296500062115691, 0.004998641164627129, 0.0009153769240386907,
                                0.0001825526153982638, 3.816907658276081e-05, 8.221234475942905e-06,
                                1.8113906873056685e-06, 3.958940459367468e-07, 1.042041826608264e-07,
                                5.910565853507869e-09, 1.6194359237484174e-08, -4.312495770350818e-09,
                                1.5746606982777302e-09};
    static const real odd[] = {-0.10031730167435392, -0.012384192193371805, -0.0021081308339216706,
                               -0.0004057073983775151, -8.309511477709561e-05, -1.7661767658452517e-05,
                               -3.846858091533014e-06, -8.54560908975883e-07, -1.878442644643758e-07,
                               -4.9827532071170234e-08, -2.7296358592514825e-09, -7.842557720538356e-09,
                               2.0986002157033107e-09, -7.639292345836201e-10};
    static const real tail[] = {8.333333333333333e-2, -2.777777777777778e-3, 7.936507936507937e-4,
                                -5.952380952380953e-4, 8.417508417508417e-4, -1.9175269175269176e-3,
                                6.410256410256410e-3};
#else
    static const real even[] = {4.2278433e-01f, 3.296495e-02f, 4.9994495e-03f, 9.1063994e-04f,
                                1.955396e-04f, 2.0481895e-05f, 1.9230823e-05f};
    static const real odd[] = {-1.003173e-01f, -1.2384168e-02f, -2.108514e-03f, -4.034612e-04f,
                               -8.925201e-05f, -9.279913e-06f, -9.059813e-06f};
    static const real tail[] = {8.3333333e-2f, -2.7777778e-3f};
#endif
    enum { TERMS = sizeof even / sizeof *even, TAIL = sizeof tail / sizeof *tail, STEPS = 8 };
    const vec one = v_set(1), half_log_two_pi = v_set((real)0.91893853320467274178);
    const mask large = v_gt(y, v_set(10));
    vec f = v_select(large, one, y), product = one;
    for (int i = 0; i < STEPS; i++) {
        const mask step = v_gt(f, v_set(2));
        product = v_select(step, product * f, product);
        f -= v_where(step, one);
    }
    const vec u = f - one, small = f * (u * v_polynomial2(even, TERMS, odd, TERMS, u));
    const vec log = v_log_normal(v_select(large, y, product)), w = v_select(large, one / y, v_zero());
    const vec rest = v_fma(w, v_polynomial(tail, TAIL, w * w), v_fma(v_set((real)0.5), log, half_log_two_pi));
    return v_select(large, v_fma(y, log - one, rest), log + small);
}

#endif
