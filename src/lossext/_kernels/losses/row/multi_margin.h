/* Multiclass hinge of Weston and Watkins (1999), as torch:  z_j = max(0, (margin - x_y) + x_j) for j != y,
 *
 *   value = sum z_j^P,   slope_j = P z_j^(P-1) where z_j > 0,   slope_y = -sum of the others,   P = 1 or 2
 *
 * margin - x_y = shift + lost: the shift alone says which columns are active, as in torch; what its rounding lost is
 * added to the sums, without which a small z has few correct digits.  A NaN score makes its own column NaN, and the
 * class's. */
PARAMETERS(margin)
VARIANT(P, 1, 2)
enum { TARGETS = 0, PEAK = 0, BEST = 0, KEEP = 0, EAGER = P, SUMS = P == 1 ? TERM | COUNT : TERM | SQUARE | COUNT };

typedef struct {
    vec shift, lost;
} row;

INLINE row begin(const parameters *p, vec own, vec peak)
{
    row r;
    (void)peak;
    r.shift = exact_difference(p->margin, own, &r.lost);
    return r;
}

INLINE vec term(const row *r, vec x) { return v_max(v_zero(), x + r->shift); } /* in this order NaN comes through */

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const vec correction = t->count * r->lost, two = v_set(2); /* of the sum of z */
    const vec square = t->square + finite_or_zero(r->lost * (two * t->term + correction));
    const vec value = P == 1 ? t->term + correction : square;
    const vec slopes = P == 1 ? t->count : two * (t->term + correction);
    const vec own_slope = v_select(v_is_nan(value), value, v_zero() - slopes);
    (void)p;
    return (result){.value = value,
                    .factor = v_set(P),
                    .own_slope = own_slope,
                    .own_curvature = P == 1 ? v_zero() : two * t->count};
}

INLINE vec slope(const row *r, entry e)
{
    return v_select(v_gt(e.t, v_zero()), P == 1 ? e.f : e.f * (e.t + r->lost), e.t);
}

INLINE vec curvature(const row *r, entry e)
{
    (void)r;
    return P == 1 ? v_zero() : v_where(v_gt(e.t, v_zero()), e.f);
}

/* A hinge of x_j - x_y takes 1 / |z_j| at both, as (a - b)^2 <= 2 a^2 + 2 b^2; its square 4. */
#define HAS_MAJORIZER
INLINE vec majorizer(const row *r, entry e)
{
    return P == 1 ? one() / v_abs((e.x + r->shift) + r->lost) : v_set(4);
}
INLINE vec own_majorizer(const row *r, vec sum, vec greatest) { return (void)r, (void)greatest, sum; }
INLINE vec best_majorizer(const row *r, vec greatest) { return (void)r, greatest; }
