/* Binary cross entropy of a probability x and a target y in [0, 1]:
 *
 *   value = -y log(x) - (1 - y) log(1 - x)
 *   slope = (1 - y) / (1 - x) - y / x
 *   curvature = (1 - y) / (1 - x)^2 + y / x^2
 *   fisher = 1 / (x (1 - x))                    (the mean of curvature if y is 1 with probability x)
 *
 * A term with factor 0 is 0 even at x = 0 and x = 1.  Nothing is clipped: torch divides by max(x (1 - x), 1e-12) and
 * caps values at 100. */
NO_PARAMETERS
#define COSTLY
#define HAS_LIMIT
#define HAS_FISHER

/* 0 less the logarithms: no value is -0 */
INLINE vec value(E e) { return v_zero() - v_fma(one() - e.y, v_log1p(-e.x), e.y * v_log(e.x)); }

INLINE vec limit(E e) { return v_zero() - (times(one() - e.y, v_log1p(-e.x)) + times(e.y, v_log(e.x))); }

/* a / b, 0 where a is */
INLINE vec share(vec a, vec b) { return v_where(v_not_equal(a, v_zero()), a / b); }

INLINE vec slope(E e) { return share(one() - e.y, one() - e.x) - share(e.y, e.x); }

INLINE vec curvature(E e)
{
    const vec rest = one() - e.x;
    return share(share(one() - e.y, rest), rest) + share(share(e.y, e.x), e.x);
}

INLINE vec fisher(E e) { return one() / (e.x * (one() - e.x)); }
