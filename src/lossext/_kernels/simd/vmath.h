/* Mathematical functions of vectors of floats and doubles, branch-free.  They never call libm's scalar functions, which
 * would prevent loops from being vectorised.
 *
 * Largest errors in ulp on every instruction set, where the result is a normal number; smaller results may be 0.
 * tests/test_vector_maths.py checks these bounds:
 *
 *   exp_negative(x)    2   x <= 0               log_normal(a)      2   normal numbers above 0
 *   exp(x)             2                        log(a)             2
 *   expm1(x)           2                        log1p_unit(a)      2   0 <= a <= 1
 *   expm1_minus(x)     2   exp(x) - 1 - x       log1p(a)           2
 *   tanh_ratio(x)      2   tanh(x) / x          log_factorial(y)   3   y >= 0
 *   pow(a, b)          2   a >= 0               lgamma(a)          3   a > 0
 *
 * NaN propagates, except in log_normal and for pow(NaN, 0) = 1; infinities and zeros give the limits. */
#ifndef LX_VMATH_H
#define LX_VMATH_H

#include "exp.h"
#include "gamma.h"
#include "log.h"
#include "pow.h"

#endif
