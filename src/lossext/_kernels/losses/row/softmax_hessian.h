/* Product of the Hessian of a softmax cross entropy with a direction v, which stands for the targets:
 *
 *   slope_j = p_j (v_j - m) / T^2,  m = sum_i p_i v_i = v_k - d,  d = sum_{i != k} p_i (v_k - v_i),
 *
 * with k the column of the greatest score; see _softmax.h.  There is no value. */
PARAMETERS(temperature)
enum { TARGETS = 1, PEAK = 1, BEST = 0, KEEP = 1, EAGER = 0, SUMS = UNIT | TIES | COST };
#define TEMPERATURE p->temperature
#define CARRIED mean
#include "losses/row/_softmax.h"

#define HAS_COST
INLINE vec cost(const row *r, vec x, vec y) { return term(r, x) * y; }

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const shares s = shares_of(r, t);
    const vec below = s.others * t->own_target - r->share * t->cost, rate = r->rate * r->rate;
    (void)p;
    r->mean = t->own_target - below;
    return (result){.value = v_zero(), .factor = r->share * rate, .own_slope = s.own * below * rate};
}

INLINE vec slope(const row *r, entry e) { return e.t * e.f * (e.y - r->mean); }
INLINE vec curvature(const row *r, entry e) { return (void)r, (void)e, v_zero(); }
