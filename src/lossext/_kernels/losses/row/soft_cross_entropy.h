/* Cross entropy against a row of targets t_j >= 0 with the sum s: with k the column of the greatest score,
 *
 *   value = sum_j t_j (log sum_i e^(x_i / T) - x_j / T) = s CE_k + sum_{j != k} t_j (x_k - x_j) / T,
 *   slope_j = (s p_j - t_j) / T,   slope_k = (sum_{j != k} t_j - s sum_{j != k} p_j) / T,
 *   curvature_j = s p_j (1 - p_j) / T^2;  CE_k is that of _softmax.h. */
PARAMETERS(temperature)
enum { TARGETS = 1, PEAK = 1, BEST = 0, KEEP = 1, EAGER = 0, SUMS = UNIT | TIES | COST | TARGET };
#define TEMPERATURE p->temperature
#define CARRIED sum
#include "losses/row/_softmax.h"

#define HAS_COST
INLINE vec cost(const row *r, vec x, vec y) { return v_where(v_not_equal(y, v_zero()), y * (r->own - x)); }

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const shares s = shares_of(r, t);
    const vec sum = t->own_target + t->target, own_slope = (t->target - sum * s.others) * r->rate;
    const vec of_greatest = v_where(v_not_equal(sum, v_zero()), sum * s.value); /* infinite: only with targets */
    (void)p;
    r->sum = sum;
    return (result){.value = v_fma(t->cost, r->rate, of_greatest),
                    .factor = sum * r->share * r->rate,
                    .own_slope = own_slope,
                    .own_curvature = sum * s.own * s.others * r->rate * r->rate,
                    .own_residual = v_abs(own_slope)};
}

INLINE vec slope(const row *r, entry e) { return v_fma(e.t, e.f, v_zero() - e.w * e.y * r->rate); }

INLINE vec curvature(const row *r, entry e) { return spread_of(r, e.t) * r->sum * e.w * r->rate * r->rate; }

#define HAS_RESIDUAL
INLINE vec residual(const row *r, entry e) { return v_copysign(slope(r, e), e.w); } /* |p - y| by the weights */
