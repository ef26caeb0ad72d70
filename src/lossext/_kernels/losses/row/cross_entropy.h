/* Softmax cross entropy:  value = log sum_j e^(x_j / T) - x_y / T,  slope_j = p_j / T,  slope_y = -sum of the others',
 * curvature p_j (1 - p_j) / T^2; see _softmax.h. */
PARAMETERS(temperature)
enum { TARGETS = 0, PEAK = 1, BEST = 0, KEEP = 1, EAGER = 0, SUMS = UNIT | TIES };
#define TEMPERATURE p->temperature
#include "losses/row/_softmax.h"

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const shares s = shares_of(r, t);
    (void)p;
    return (result){.value = s.value,
                    .factor = r->share * r->rate,
                    .own_slope = v_zero() - s.others * r->rate,
                    .own_curvature = s.own * s.others * r->rate * r->rate,
                    .own_residual = s.others * r->rate};
}

INLINE vec slope(const row *r, entry e) { return (void)r, e.t * e.f; }

INLINE vec curvature(const row *r, entry e) { return spread_of(r, e.t) * e.w * r->rate * r->rate; }

#define HAS_RESIDUAL
INLINE vec residual(const row *r, entry e) { return (void)r, e.t * e.f; }
