/* A row's totals while they are added up, in double lanes.  A few vectors are added plainly; tally_settle adds their
 * sum exactly, so that the error of a long row's total does not grow with its length. */
enum { SETTLE = 16 }; /* vectors between two calls of it */

typedef struct {
    wide term, square, cost, target;           /* since the last call */
    exact_sum terms, squares, costs, targets;  /* until then */
    vec count;                                 /* one row a lane */
    ptrdiff_t counted;                         /* one row: bits of masks, beside the vectors */
    int settles;                               /* one row: whether it is long enough for tally_settle */
} tally;

INLINE tally tally_zero(void)
{
    const wide zero = wide_zero();
    const exact_sum none = exact_of(zero);
    const tally s = {zero, zero, zero, zero, none, none, none, none, v_zero(), 0, 0};
    return s;
}

INLINE void settle(wide *plain, exact_sum *exact)
{
    *exact = exact_add(*exact, *plain);
    *plain = wide_zero();
}

INLINE void tally_settle(tally *s)
{
    settle(&s->term, &s->terms);
    settle(&s->square, &s->squares);
    settle(&s->cost, &s->costs);
    settle(&s->target, &s->targets);
}

/* Quarters of four terms cannot overflow when they are added. */
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
        s->term = wide_join(s->term, sum_of_four(t));
    if ((SUMS & TERM) && (SUMS & SQUARE)) { /* they are made wide anyway */
        const wide a = wide_of(t[0]), b = wide_of(t[1]), c = wide_of(t[2]), d = wide_of(t[3]);
        s->term = wide_join(s->term, wide_join(wide_join(a, b), wide_join(c, d)));
        s->square = wide_join(s->square, wide_join(wide_add_square(square_of(a), b), wide_add_square(square_of(c), d)));
    } else if (SUMS & TERM) {
        const vec q = v_set(TERM_SCALE);
        s->term = wide_join(s->term, wide_of(v_fma(t[0], q, t[1] * q) + v_fma(t[2], q, t[3] * q)));
    }
    if (SUMS & COST)
        s->cost = wide_join(s->cost, sum_of_four(costs));
    if (SUMS & TARGET)
        s->target = wide_join(s->target, sum_of_four(targets));
}

INLINE void tally_one(tally *s, vec term, vec cost, vec target, const int along)
{
    tally_count(s, term, along);
    const wide t = wide_of(without_ties(term));
    if (SUMS & (TERM | UNIT))
        s->term = wide_join(s->term, TERM_SCALE != 1 ? wide_scale(t, TERM_SCALE) : t);
    if (SUMS & SQUARE)
        s->square = wide_add_square(s->square, t);
    if (SUMS & COST)
        s->cost = wide_add(s->cost, cost);
    if (SUMS & TARGET)
        s->target = wide_add(s->target, target);
}

/* `settled`: whether there was a call of tally_settle. */
INLINE wide sum_of(wide plain, exact_sum exact, int settled)
{
#ifdef LX_DOUBLE
    if (settled) {
        exact = exact_add(exact, plain);
        plain.part[0] = exact.sum.part[0] + finite_or_zero(exact.rest.part[0]);
    }
    return plain;
#else
    return settled ? wide_join(plain, exact.sum) : plain;
#endif
}

INLINE totals totals_of_lanes(const tally *s, int settled)
{
    const vec unscale = v_set(1 / TERM_SCALE);
    const totals t = {v_of_wide(sum_of(s->term, s->terms, settled)) * unscale,
                      v_of_wide(sum_of(s->square, s->squares, settled)), s->count,
                      v_of_wide(sum_of(s->cost, s->costs, settled)), v_of_wide(sum_of(s->target, s->targets, settled)),
                      v_zero()};
    return t;
}

/* Those of one row, into lane i. */
INLINE void totals_of_row(const tally *s, totals *to, ptrdiff_t i, int settled)
{
    if (SUMS & (TERM | UNIT))
        ((real *)&to->term)[i] = (real)(wide_total(sum_of(s->term, s->terms, settled)) / TERM_SCALE);
    if (SUMS & SQUARE)
        ((real *)&to->square)[i] = (real)wide_total(sum_of(s->square, s->squares, settled));
    if (SUMS & (COUNT | TIES))
        ((real *)&to->count)[i] = (real)s->counted;
    if (SUMS & COST)
        ((real *)&to->cost)[i] = (real)wide_total(sum_of(s->cost, s->costs, settled));
    if (SUMS & TARGET)
        ((real *)&to->target)[i] = (real)wide_total(sum_of(s->target, s->targets, settled));
}
