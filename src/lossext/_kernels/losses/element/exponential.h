/* Exponential loss of a score x and a target y in [0, 1], as scikit-learn's (AdaBoost's; Friedman and others 2000):
 *
 *   value = curvature = y e^-x + (1 - y) e^x
 *   slope = (1 - y) e^x - y e^-x
 *   residual = |s(2x) - y| = |(1 - y) s(2x) - y s(-2x)|,     s(z) = 1 / (1 + e^-z)
 *
 * A term with factor 0 is 0 even where its exponential overflows. */
#define PARTS up, down /* (1 - y) e^x, y e^-x */
NO_PARAMETERS
#define COSTLY
#define HAS_RESIDUAL

INLINE vec power(vec x) { return v_exp(x); }

/* Where every target is 0 or 1, one exponential is enough. */
INLINE parts parts_of(E e)
{
    const mask positive = v_gt(e.y, v_zero());
    if (!all_hard(e.y))
        return (parts){times(one() - e.y, power(e.x)), times(e.y, power(-e.x))};
    const vec one_of_both = power(v_select(positive, -e.x, e.x));
    return (parts){v_without(one_of_both, positive), v_where(positive, one_of_both)};
}

INLINE vec value(E e) { return e.part.down + e.part.up; }

INLINE vec slope(E e) { return e.part.up - e.part.down; }

INLINE vec curvature(E e) { return value(e); }

INLINE vec residual(E e)
{
    const vec t = v_exp_negative(v_set(-2) * v_abs(e.x)), far = v_quotient(one(), one() + t), near = t * far;
    const mask below = v_lt(e.x, v_zero());
    return v_abs(v_fnma(e.y, v_select(below, far, near), (one() - e.y) * v_select(below, near, far)));
}
