/* Multilabel margin loss, as torch:  z_ji = (1 - x_j) + x_i for labels j and other columns i,
 *
 *   value = sum_j sum_i max(0, z_ji),   slope_i = number of j with z_ji > 0,   slope_j = -number of i with z_ji > 0.
 *
 * With the labels in the order of their gaps 1 - x_j, those of which z_ji > 0 are the first k: a search for each i, and
 * counts of the k, give all of it in O(C log L) a row.  A NaN score makes its own column NaN, and those that it meets.
 * A hinge's majorizer is 1 / |z| at both of its columns, as (a - b)^2 <= 2 a^2 + 2 b^2. */
NO_PARAMETERS

/* How many of the first labels z_ji > 0 holds for. */
INLINE ptrdiff_t active_labels(const label_set *set, real x)
{
    ptrdiff_t low = 0, high = set->numbers;
    while (low < high) {
        const ptrdiff_t middle = low + (high - low) / 2;
        if (set->labels[middle].gap + x > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double row_of_labels(const real *x, ptrdiff_t cols, const label_set *set, real *slope)
{
    const real nan = (real)NAN, highest = set->numbers ? set->labels[0].gap : (real)-INFINITY;
    const int bad_label = set->numbers < set->count;
    double value = 0, rest = 0;
    int bad_other = 0, bad_pair = 0, others = 0, above = 0, below = 0; /* others that are inf, -inf */
    for (ptrdiff_t k = 0; k <= set->numbers; k++)
        set->counts[k] = 0;
    for (ptrdiff_t at = 0; at < cols; at += LANES) {
        const ptrdiff_t end = cols - at < LANES ? cols : at + LANES;
        const vec scores = v_load_count(x + at, end - at);
        const int any = !set->count ? 0 : bad_label || m_any(v_not_ge(v_zero(), scores + v_set(highest)));
        real out[LANES] = {0};
        for (ptrdiff_t i = at; any && i < end; i++) {
            if (set->chosen[i])
                continue;
            const real score = ((const real *)&scores)[i - at];
            const ptrdiff_t k = active_labels(set, score);
            const real lowest = set->numbers ? set->labels[set->numbers - 1].gap : 0; /* of the gaps */
            const int pair = set->numbers && (isnan(highest + score) || isnan(lowest + score));
            const int is_bad = bad_label || pair;
            others = 1;
            bad_pair |= pair;
            above |= score > REAL_MAX;
            below |= score < -REAL_MAX;
            bad_other |= score != score;
            set->counts[k]++;
            out[i - at] = is_bad ? nan : (real)k;
            if (k) {
                const double more = (double)k * score + set->sums[k], sum = value + more, back = sum - value;
                rest += (value - (sum - back)) + (more - back);
                value = sum;
            }
        }
        if (slope)
            memcpy(slope + at, out, (size_t)(end - at) * sizeof(real));
    }
    for (ptrdiff_t k = set->count - 1, active = 0; slope && k >= 0; k--) {
        const real gap = set->labels[k].gap;
        const int unordered = k >= set->numbers || bad_other || (gap < -REAL_MAX && above) || (gap > REAL_MAX && below);
        active += k < set->numbers ? set->counts[k + 1] : 0;
        slope[set->labels[k].column] -= others && unordered ? nan : (real)active;
    }
    rest = rest - rest == 0 ? rest : 0;
    return bad_pair || (bad_label && others) ? NAN : value + rest;
}

static void majorizers(const real *x, ptrdiff_t cols, const label_set *set, real *hess)
{
    for (ptrdiff_t k = 0; k < set->count; k++) {
        double sum = 0;
        for (ptrdiff_t i = 0; i < cols; i++) {
            if (set->chosen[i])
                continue;
            const double h = 1 / fabs((double)set->labels[k].gap + (double)x[i]);
            hess[i] += (real)h;
            sum += h;
        }
        hess[set->labels[k].column] += (real)sum;
    }
}
