/* What losses of the softmax of a row against its class have in common.
 *
 * With the greatest of the others as the peak, t_j = e^((x_j - peak) / T), at most 1, S = sum_j t_j and
 * ahead = (x_y - peak) / T,
 *
 *   log sum_j e^(x_j / T) - x_y / T = log1p((S - 1) e^-ahead) if ahead >= 0, else log1p(S - 1) - ahead,
 *
 * so that a small loss keeps its digits, as does the class's slope, which is minus the sum of the others'. */
#ifndef TEMPERATURE
#define TEMPERATURE one()
#endif

typedef struct {
    vec peak, rate, ahead, lost; /* peak: finite, for the terms; rate: 1 / T; ahead + lost is exact */
    vec own, share, rest;        /* the score of the class; from finish: p_j = share t_j, and 1 - p_j of the peak */
#ifdef CARRIED
    vec CARRIED; /* the loss's own, from finish */
#endif
} row;

/* a / T and what that rounding lost, a + lost over T. */
INLINE vec exact_quotient(vec a, vec lost, vec temperature, vec rate, vec *rest)
{
    const vec q = a * rate, p = q * temperature;
    const vec left = (a - p) - v_product_error(q, temperature, p);
    *rest = finite_or_zero((left + lost) * rate);
    return q;
}

INLINE row begin(const parameters *p, vec own, vec peak)
{
    row r = {.peak = v_min(v_set(REAL_MAX), peak), .rate = one() / TEMPERATURE, .own = own};
    vec lost;
    const vec ahead = exact_difference(own, peak, &lost);
    (void)p;
    r.ahead = exact_quotient(ahead, lost, TEMPERATURE, r.rate, &r.lost);
    return r;
}

INLINE vec term(const row *r, vec x) { return v_exp_negative(v_min(v_zero(), (x - r->peak) * r->rate)); }

/* value = log of the total over the class's part; probabilities of the class and of the others, and own / others before
 * the division.  Sets the share. */
typedef struct {
    vec value, own, others, odds;
} shares;

INLINE shares shares_of(row *r, const totals *t)
{
    const mask ahead = v_ge(r->ahead, v_zero()); /* then t_y is 1 */
    const vec near = v_exp_negative(v_minus_abs(r->ahead)); /* else this, as it was added up */
    const vec e = v_fma(near, v_select(ahead, v_zero() - r->lost, r->lost), near);
    const vec all_but_one = (t->count - one()) + t->term; /* t->term is without the ties at the peak */
    const vec more = v_select(ahead, all_but_one, all_but_one + (e - near)); /* S - 1 */
    const vec own = v_select(ahead, one(), e), others = v_select(ahead, more * e, one() + (more - e));
    const vec all = own + others;
    shares s;
    s.value = v_log1p(v_select(ahead, others, more)) - v_where(v_lt(r->ahead, v_zero()), r->ahead + r->lost);
    r->share = v_quotient(v_select(ahead, e, one()), all);
    r->rest = v_quotient(v_select(ahead, v_fma(more - one(), e, one()), more), all);
    s.own = v_quotient(own, all);
    s.others = v_quotient(others, all);
    s.odds = own / others;
    return s;
}

/* p_j (1 - p_j), of the peak without cancellation. */
INLINE vec spread_of(const row *r, vec t)
{
    const vec p = t * r->share;
    return p * v_select(v_ge(t, one()), r->rest, one() - p);
}
