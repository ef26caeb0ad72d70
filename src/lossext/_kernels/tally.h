/* The running totals of a row, in double lanes.  A few vectors are summed plainly; tally_settle then adds their sum
 * exactly, so that the error of the total does not grow with the length of the row. */
enum { SETTLE = 16 }; /* vectors between two calls of tally_settle */

/* Indices of the sums that a loss needs; there are no others, as a tally is copied for every short row. */
enum {
    AT_TERM = 0,
    AT_SQUARE = AT_TERM + ((SUMS & (TERM | UNIT)) != 0),
    AT_COST = AT_SQUARE + ((SUMS & SQUARE) != 0),
    AT_TARGET = AT_COST + ((SUMS & COST) != 0),
    TALLIES = AT_TARGET + ((SUMS & TARGET) != 0)
};

typedef struct {
    wide recent[TALLIES + !TALLIES];       /* since the last call of tally_settle */
    exact_sum settled[TALLIES + !TALLIES]; /* until then */
    vec count;                             /* one row a lane */
    ptrdiff_t counted;                     /* for one row: counted by population count of masks, outside the vectors */
} tally;

INLINE tally tally_zero(void)
{
    tally s;
    UNROLL(4)
    for (int k = 0; k < TALLIES + !TALLIES; k++) {
        s.recent[k] = wide_zero();
        s.settled[k] = exact_of(wide_zero());
    }
    s.count = v_zero();
    s.counted = 0;
    return s;
}

INLINE void tally_settle(tally *s)
{
    UNROLL(4)
    for (int k = 0; k < TALLIES; k++) {
        s->settled[k] = exact_add(s->settled[k], s->recent[k]);
        s->recent[k] = wide_zero();
    }
}

/* Terms divided by four cannot overflow when four of them are added. */
#define TERM_SCALE ((real)((SUMS & TERM) && !(SUMS & SQUARE) ? 0.25 : 1))

INLINE wide square_of(wide a) { return wide_add_square(wide_zero(), a); }

INLINE void tally_count(tally *s, vec t, const int along)
{
    if (!(SUMS & (COUNT | TIES)))
        return;
    const mask m = SUMS & TIES ? v_ge(t, one()) : v_gt(t, v_zero());
    if (along)
        s->counted += m_count(m);
    else
        s->count += v_where(m, one());
}

INLINE vec without_ties(vec t) { return SUMS & TIES ? v_select(v_ge(t, one()), v_zero(), t) : t; }

INLINE wide sum_of_four(const vec *v) { return wide_of((v[0] + v[1]) + (v[2] + v[3])); }

INLINE void tally_four(tally *s, const vec *terms, const vec *costs, const vec *targets, const int along)
{
    vec t[4];
    UNROLL(4)
    for (int i = 0; i < 4; i++) {
        tally_count(s, terms[i], along);
        t[i] = without_ties(terms[i]);
    }
    if (SUMS & UNIT)
        s->recent[AT_TERM] = wide_join(s->recent[AT_TERM], sum_of_four(t));
    if ((SUMS & TERM) && (SUMS & SQUARE)) { /* they are widened in any case */
        const wide a = wide_of(t[0]), b = wide_of(t[1]), c = wide_of(t[2]), d = wide_of(t[3]);
        s->recent[AT_TERM] = wide_join(s->recent[AT_TERM], wide_join(wide_join(a, b), wide_join(c, d)));
        const wide squares = wide_join(wide_add_square(square_of(a), b), wide_add_square(square_of(c), d));
        s->recent[AT_SQUARE] = wide_join(s->recent[AT_SQUARE], squares);
    } else if (SUMS & TERM) {
        const vec q = v_set(TERM_SCALE);
        const vec quarters = v_fma(t[0], q, t[1] * q) + v_fma(t[2], q, t[3] * q);
        s->recent[AT_TERM] = wide_join(s->recent[AT_TERM], wide_of(quarters));
    }
    if (SUMS & COST)
        s->recent[AT_COST] = wide_join(s->recent[AT_COST], sum_of_four(costs));
    if (SUMS & TARGET)
        s->recent[AT_TARGET] = wide_join(s->recent[AT_TARGET], sum_of_four(targets));
}

/* UNIT is added to `rest`: there are three vectors at most. */
INLINE void tally_one(tally *s, vec term, vec cost, vec target, vec *rest, const int along)
{
    tally_count(s, term, along);
    const wide t = wide_of(term);
    if (SUMS & UNIT)
        *rest += without_ties(term);
    if (SUMS & TERM)
        s->recent[AT_TERM] = wide_join(s->recent[AT_TERM], TERM_SCALE != 1 ? wide_scale(t, TERM_SCALE) : t);
    if (SUMS & SQUARE)
        s->recent[AT_SQUARE] = wide_add_square(s->recent[AT_SQUARE], t);
    if (SUMS & COST)
        s->recent[AT_COST] = wide_add(s->recent[AT_COST], cost);
    if (SUMS & TARGET)
        s->recent[AT_TARGET] = wide_add(s->recent[AT_TARGET], target);
}

/* Sum number k; `settled`: whether there was a call of tally_settle. */
INLINE wide sum_of(const tally *s, const int k, int settled)
{
    wide sum = s->recent[k];
    if (settled) {
#ifdef LX_DOUBLE
        const exact_sum exact = exact_add(s->settled[k], sum);
        sum.part[0] = exact.sum.part[0] + finite_or_zero(exact.rest.part[0]);
#else
        sum = wide_join(sum, s->settled[k].sum);
#endif
    }
    return sum;
}

INLINE totals totals_of_lanes(const tally *s, int settled)
{
    totals t = {v_zero(), v_zero(), s->count, v_zero(), v_zero(), v_zero()};
    if (SUMS & (TERM | UNIT))
        t.term = v_of_wide(sum_of(s, AT_TERM, settled)) * v_set(1 / TERM_SCALE);
    if (SUMS & SQUARE)
        t.square = v_of_wide(sum_of(s, AT_SQUARE, settled));
    if (SUMS & COST)
        t.cost = v_of_wide(sum_of(s, AT_COST, settled));
    if (SUMS & TARGET)
        t.target = v_of_wide(sum_of(s, AT_TARGET, settled));
    return t;
}

/* Writes the totals of one row to lane i. */
INLINE void totals_of_row(const tally *s, totals *to, ptrdiff_t i, int settled)
{
    if (SUMS & (TERM | UNIT))
        lanes_of(&to->term)[i] = (real)(wide_total(sum_of(s, AT_TERM, settled)) / TERM_SCALE);
    if (SUMS & SQUARE)
        lanes_of(&to->square)[i] = (real)wide_total(sum_of(s, AT_SQUARE, settled));
    if (SUMS & (COUNT | TIES))
        lanes_of(&to->count)[i] = (real)s->counted;
    if (SUMS & COST)
        lanes_of(&to->cost)[i] = (real)wide_total(sum_of(s, AT_COST, settled));
    if (SUMS & TARGET)
        lanes_of(&to->target)[i] = (real)wide_total(sum_of(s, AT_TARGET, settled));
}
