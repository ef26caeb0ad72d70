/* Powers of probabilities, gamma >= 0 being the same for all; those that are defaults are products. */
INLINE int is_power(vec gamma, int number) { return !m_any(v_not_equal(gamma, v_set((real)number))); }

static NOINLINE vec any_power(vec q, vec gamma) { return v_pow(q, gamma); }

/* s(-u)^gamma = exp(-gamma (linear + log1p(e^-|u|))) with linear = max(u, 0) and the logarithm given, for gamma >= 0.
 *
 * gamma times linear is kept with its rounding, for an error of the exponent is one of the result's digits. */
INLINE vec sigmoid_power(vec linear, vec log1p_t, vec gamma)
{
    const vec capped = v_min(v_set((real)1e6), linear); /* where it is more, what the power multiplies is 0 */
    const vec product = gamma * capped, lost = v_product_error(gamma, capped, product), rest = gamma * log1p_t;
    const pair sum = pair_sum(v_max(product, rest), v_min(product, rest));
    return v_exp_pair(-sum.hi, -(lost + sum.lo));
}
