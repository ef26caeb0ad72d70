/* Softmax focal loss (Lin et al., 2017):  value = q^gamma CE,  q = 1 - p_y the others' probability,  CE = -log p_y.
 *
 * With the odds r = p_y / q, so that log q = -log1p(r), and u = CE:
 *
 *   slope_j = p_j k,  slope_y = -q k,  k = q^gamma (1 + gamma r u),
 *   curvature_j = k p_j (1 - p_j) + c k p_j^2,  of the class k q p_y + c k q^2,
 *   c k = q^gamma (2 gamma r + gamma (gamma - 1) r^2 u - gamma r u), the second derivative by u. */
PARAMETERS(gamma)
enum { TARGETS = 0, PEAK = 1, BEST = 0, KEEP = 1, EAGER = 0, SUMS = UNIT | TIES };
#define CARRIED bend, k
#include "losses/row/_softmax.h"

INLINE result finish(const parameters *p, row *r, const totals *t)
{
    const shares s = shares_of(r, t);
    const vec most = v_set(REAL_MAX * (real)1e-8), odds = v_min(most, s.odds); /* r u has limits: 0, 1 */
    const vec gu = p->gamma * v_min(most, s.value), first = v_fma(gu, odds, one());
    vec damp = one(), gamma = p->gamma; /* q^gamma, small powers by products: they keep more digits */
    for (int i = 0; i < 4; i++) {
        const mask whole = v_ge(gamma, one());
        damp = v_select(whole, damp * s.others, damp);
        gamma -= v_where(whole, one());
    }
    damp *= v_pow(s.others, gamma);
    const vec k = damp * first, two = v_set(2);
    const vec second = two * p->gamma + v_fma(odds * (p->gamma - one()), gu, v_zero() - gu);
    r->bend = odds * second / first; /* c */
    r->k = k;
    return (result){.value = v_where(v_not_equal(s.value, v_zero()), damp * s.value),
                    .factor = r->share * k,
                    .own_slope = v_zero() - s.others * k,
                    .own_curvature = k * s.others * v_fma(r->bend, s.others, s.own),
                    .own_residual = s.others};
}

INLINE vec slope(const row *r, entry e) { return (void)r, e.t * e.f; }

INLINE vec curvature(const row *r, entry e)
{
    const vec p = e.t * r->share;
    return e.w * r->k * v_fma(p * p, r->bend, spread_of(r, e.t));
}

#define HAS_RESIDUAL
INLINE vec residual(const row *r, entry e) { return e.t * r->share * e.w; }
