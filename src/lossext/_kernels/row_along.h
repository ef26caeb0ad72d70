/* Long rows: vectors of neighbouring columns, one row after the other; the rows of a group stay in the caches between
 * the first pass and the last. */

/* The context of row i, in all lanes: it is nothing but vectors. */
INLINE row row_of(const group *g, ptrdiff_t i)
{
    row r;
    for (size_t k = 0; k < sizeof(row) / sizeof(vec); k++)
        ((vec *)&r)[k] = v_set(lane((const vec *)&g->row[i / LANES] + k, i % LANES));
    return r;
}

/* Terms go to kept[i & keep]: keep = 0 where nobody wants them, or they are cheap.
 *
 * In short rows every vector is masked, as branches that depend on the class would be mispredicted, and where terms are
 * dear; in long ones only the four vectors that hold it. */
INLINE void fold_row(group *g, const real *x, const real *y, ptrdiff_t n, ptrdiff_t i, real *kept, ptrdiff_t keep,
                     const int eager)
{
    const row r = row_of(g, i);
    const ptrdiff_t own = OWN ? g->rows.y[i] : -1;
    const int masked = n <= SETTLE * LANES;
    const vec w = v_set(lane(g->rows.grad_scale, i));
    entry e = {v_zero(), w * v_set(EAGER), w, v_zero()};
    tally sums = tally_zero();
    ptrdiff_t at = 0;
#define FOUR(masked) \
    do { \
        vec t[4], costs[4], target[4]; \
        UNROLL(4) \
        for (int k = 0; k < 4; k++) { \
            const vec score = v_load(x + at + k * LANES); \
            t[k] = term(&r, score); \
            if (masked) \
                t[k] = v_without(t[k], m_lane(own - at - k * LANES)); \
            target[k] = OWN ? v_zero() : v_load(y + at + k * LANES); \
            costs[k] = cost(&r, score, target[k]); \
            e.t = t[k]; \
            if (KEEP || eager) \
                v_store(kept + (at & keep) + k * LANES, eager ? slope(&r, e) : t[k]); \
        } \
        tally_four(&sums, t, costs, target, 1); \
    } while (0)
    UNROLL(1)
    for (; at + 4 * LANES <= n; at += 4 * LANES) {
        for (int line = 0; line < 4 * LANES; line += REALS_PER_LINE)
            PREFETCH(x + at + AHEAD + line);
        if (OWN && (KEEP || masked || (size_t)(own - at) < 4 * LANES))
            FOUR(OWN);
        else
            FOUR(0);
        if (!masked && at % (SETTLE * LANES) == 0)
            tally_settle(&sums);
    }
#undef FOUR
    UNROLL(1)
    for (; at < n; at += LANES) {
        const ptrdiff_t count = n - at < LANES ? n - at : LANES;
        const mask others = OWN ? m_without(m_first(count), m_lane(own - at)) : m_first(count);
        const vec score = v_load_count(x + at, count), t = v_where(others, term(&r, score));
        const vec target = OWN ? v_zero() : v_load_count(y + at, count);
        e.t = t;
        if (KEEP || eager)
            v_store_count(kept + (at & keep), eager ? slope(&r, e) : t, count);
        tally_one(&sums, t, v_where(others, cost(&r, score, target)), target, 1);
    }
    totals_of_row(&sums, &g->totals[i / LANES], i % LANES, !masked);
}

static NOINLINE void fold_along(group *g, const real *x, const real *y, ptrdiff_t n, ptrdiff_t i, real *kept,
                                ptrdiff_t keep)
{
    fold_row(g, x, y, n, i, kept, keep, 0);
}

static NOINLINE void fold_and_map_along(group *g, const real *x, ptrdiff_t n, ptrdiff_t i, real *grad)
{
    fold_row(g, x, NULL, n, i, grad, -1, 1);
}

/* to[j] = each(r, e) for n columns; what stands at the class is overwritten afterwards. */
#define MAP_ALONG(to, each) \
    const row r = row_of(g, i); \
    const vec factor = v_set(lane(&g->result[i / LANES].factor, i % LANES)); \
    entry e = {v_zero(), factor, v_set(lane(g->rows.grad_scale, i)), v_zero()}; \
    ptrdiff_t at = 0; \
    UNROLL(1) \
    for (; at + LANES <= n; at += LANES) { \
        e.t = KEEP ? v_load(t_or_x + at) : term(&r, v_load(t_or_x + at)); \
        e.y = OWN ? v_zero() : v_load(y + at); \
        v_store(to + at, each(&r, e)); \
    } \
    if (at < n) { \
        const vec rest = v_load_first(t_or_x + at, n - at, 0); \
        e.t = KEEP ? rest : term(&r, rest); \
        e.y = OWN ? v_zero() : v_load_first(y + at, n - at, 0); \
        v_store_first(to + at, each(&r, e), n - at); \
    }

static NOINLINE void map_along(const group *g, const real *t_or_x, const real *y, ptrdiff_t n, ptrdiff_t i, real *to)
{
    MAP_ALONG(to, slope)
}

#define CURVE_ALONG(kind) \
    static NOINLINE void kind##_along(const group *g, const real *t_or_x, const real *y, ptrdiff_t n, ptrdiff_t i, \
                                      real *to) \
    { \
        MAP_ALONG(to, kind) \
    }
CURVE_ALONG(curvature)
#ifdef HAS_MAJORIZER
CURVE_ALONG(majorizer)
#endif
#ifdef HAS_FISHER
CURVE_ALONG(fisher)
#endif
#ifdef HAS_RESIDUAL
CURVE_ALONG(residual)
#endif

static void curve_row_along(int kind, const group *g, const real *t_or_x, const real *y, ptrdiff_t n, ptrdiff_t i,
                            real *to)
{
    switch (kind) {
#ifdef HAS_MAJORIZER
    case LX_MAJORIZER: majorizer_along(g, t_or_x, y, n, i, to); break;
#endif
#ifdef HAS_FISHER
    case LX_FISHER: fisher_along(g, t_or_x, y, n, i, to); break;
#endif
#ifdef HAS_RESIDUAL
    case LX_RESIDUAL: residual_along(g, t_or_x, y, n, i, to); break;
#endif
    default: curvature_along(g, t_or_x, y, n, i, to);
    }
    if (OWN)
        to[g->rows.y[i]] = lane(&g->result[i / LANES].own_curvature, i % LANES);
}

/* The slopes that finish gives to single columns of row i, of which `to` holds n from column j on. */
static void place_single_slopes(const group *g, ptrdiff_t i, ptrdiff_t j, ptrdiff_t n, real *to)
{
    const ptrdiff_t own = g->rows.y[i] - j, best = g->rows.best[i] - j;
    if (OWN && (size_t)own < (size_t)n)
        to[own] = lane(&g->result[i / LANES].own_slope, i % LANES);
    if (BEST && g->rows.best[i] >= 0 && (size_t)best < (size_t)n)
        to[best] += lane(&g->result[i / LANES].best_slope, i % LANES);
}

static NOINLINE void rows_along(const lx_job *job, group *g)
{
    ALIGNED real buffer[ALONG_ELEMENTS];
    const ptrdiff_t cols = job->cols, count = g->rows.count, at = g->rows.first * cols;
    const real *x = (const real *)job->input + at, *y = OWN ? x : (const real *)job->target.data + at; /* x: any */
    real *grad = job->grad ? (real *)job->grad + at : NULL, *hess = job->hess ? (real *)job->hess + at : NULL;
    const int local = job->stream && count * cols <= (ptrdiff_t)ALONG_ELEMENTS;
    const ptrdiff_t keep = KEEP && (grad || hess) ? -1 : 0, step = keep ? cols : 0, y_step = OWN ? 0 : cols;
    real *kept = !keep || local ? buffer : grad ? grad : hess;
    for (ptrdiff_t i = 0; PEAK && i < count; i++)
        SHARED(peak_along)(x + i * cols, cols, OWN, BEST, &g->rows, i);
    begin_rows(job, g);
    if (EAGER && grad && !hess && !job->stream) {
        for (ptrdiff_t i = 0; i < count; i++)
            fold_and_map_along(g, x + i * cols, cols, i, grad + i * cols);
        finish_rows(job, g);
        for (ptrdiff_t i = 0; i < count; i++)
            place_single_slopes(g, i, 0, cols, grad + i * cols);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        fold_along(g, x + i * cols, y + i * y_step, cols, i, kept + i * step, keep);
    finish_rows(job, g);
    const real *from = KEEP ? kept : x;
    for (ptrdiff_t i = 0; hess && i < count; i++)
        curve_row_along(job->curvature, g, from + i * cols, y + i * y_step, cols, i, hess + i * cols);
    /* Around the caches by the buffer: of kept terms in their place, else piece by piece. */
    const int buffered = job->stream && (!KEEP || local);
    const ptrdiff_t piece = buffered && !KEEP && cols > (ptrdiff_t)ALONG_ELEMENTS ? (ptrdiff_t)ALONG_ELEMENTS : cols;
    for (ptrdiff_t i = 0; grad && i < count; i++)
        for (ptrdiff_t j = 0; j < cols; j += piece) {
            const ptrdiff_t n = cols - j < piece ? cols - j : piece, here = i * cols + j;
            real *to = buffered ? buffer + (KEEP ? here : 0) : grad + here;
            map_along(g, from + here, y + i * y_step + j, n, i, to);
            place_single_slopes(g, i, j, n, to);
            if (buffered)
                SHARED(copy)(grad + here, to, n, 1);
        }
}
