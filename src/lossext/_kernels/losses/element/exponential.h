/* Exponential loss of a score x and a target y in [0, 1], as scikit-learn's (AdaBoost's; Friedman and others 2000):
 *
 *   value = curvature = y e^-x + (1 - y) e^x
 *   slope = (1 - y) e^x - y e^-x
 *   residual = |s(2x) - y| = |(1 - y) s(2x) - y s(-2x)|,     s(z) = 1 / (1 + e^-z)
 *
 * A term with factor 0 is 0 even where its exponential overflows. */
NO_PARAMETERS
#define COSTLY
#define HAS_RESIDUAL

INLINE vec up(E e) { return times(one() - e.y, v_exp(e.x)); }
INLINE vec down(E e) { return times(e.y, v_exp(-e.x)); }

INLINE vec value(E e) { return down(e) + up(e); }
INLINE vec slope(E e) { return up(e) - down(e); }
INLINE vec curvature(E e) { return value(e); }

INLINE vec residual(E e)
{
    const vec t = v_exp_negative(v_set(-2) * v_abs(e.x)), far = one() / (one() + t), near = t * far;
    const mask below = v_lt(e.x, v_zero());
    return v_abs(v_fnma(e.y, v_select(below, far, near), (one() - e.y) * v_select(below, near, far)));
}
