/* Binary cross entropy of a probability x and a target y in [0, 1]:
 *
 *   value = -y log(x) - (1 - y) log(1 - x)
 *   slope = (1 - y) / (1 - x) - y / x
 *   curvature = (1 - y) / (1 - x)^2 + y / x^2
 *   fisher = 1 / (x (1 - x))                    (the expected curvature if y is 1 with probability x)
 *
 * A term whose factor y or 1 - y is 0 is 0, even at x = 0 and x = 1.  Nothing is clipped: torch divides by
 * max(x (1 - x), 1e-12) and caps values at 100. */
NO_PARAMETERS
#define COSTLY
#define HAS_FISHER

INLINE mask is_positive(E e) { return v_gt(e.y, v_zero()); }

/* log(x) in `lanes`, else log(1 - x) */
INLINE vec log_in(mask lanes, vec x)
{
    const vec rest = one() - x;
    return v_log_of_sum(v_select(lanes, x, rest), v_without((one() - rest) - x, lanes));
}

/* 0 minus the logarithms, so that no value is -0.  Where all targets are 0 or 1, one logarithm is enough. */
INLINE vec value(E e)
{
    const vec log = log_in(all_hard(e.y) ? is_positive(e) : m_none(), e.x);
    if (all_hard(e.y))
        return v_zero() - log;
    return v_zero() - (times(one() - e.y, log) + times(e.y, log_in(m_not(m_none()), e.x)));
}

/* a / b, 0 where a is */
INLINE vec share(vec a, vec b) { return v_where(v_not_equal(a, v_zero()), a / b); }

INLINE vec slope(E e)
{
    if (all_hard(e.y))
        return v_set(1) / v_select(is_positive(e), -e.x, one() - e.x);
    return share(one() - e.y, one() - e.x) - share(e.y, e.x);
}

INLINE vec curvature(E e)
{
    const vec rest = one() - e.x;
    return share(share(one() - e.y, rest), rest) + share(share(e.y, e.x), e.x);
}

INLINE vec fisher(E e) { return one() / (e.x * (one() - e.x)); }
