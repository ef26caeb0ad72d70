/* Powers of probabilities with one gamma >= 0 for all elements; default values of gamma use products. */
INLINE int is_power(vec gamma, int number) { return !m_any(v_not_equal(gamma, v_set((real)number))); }

static NOINLINE vec any_power(vec q, vec gamma) { return v_pow(q, gamma); }

/* s(-u)^gamma = exp(-gamma (linear + log1p(e^-|u|))) with linear = max(u, 0) and the logarithm given, for gamma >= 0.
 *
 * gamma times linear is kept with its rounding error, since an absolute error of the exponent is a relative error of
 * the result. */
INLINE vec sigmoid_power(vec linear, vec log1p_t, vec gamma)
{
    const vec capped = v_min(v_set((real)1e6), linear); /* above this, the factor of the power is 0 */
    const vec product = gamma * capped, lost = v_product_error(gamma, capped, product), rest = gamma * log1p_t;
    const pair sum = pair_sum(v_max(product, rest), v_min(product, rest));
    return v_exp_pair(-sum.hi, -(lost + sum.lo));
}
