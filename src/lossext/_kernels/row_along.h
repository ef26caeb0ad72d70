/* Long rows: vectors of adjacent columns, row by row; the rows of a group stay in the caches from the first pass to
 * the last. */

/* The context of row i, broadcast to all lanes. */
INLINE row row_of(const group *g, ptrdiff_t i)
{
    row r;
    for (size_t k = 0; k < sizeof(row) / sizeof(vec); k++)
        ((vec *)&r)[k] = v_set(lane((const vec *)&g->row[i / LANES] + k, i % LANES));
    return r;
}

/* Columns [j, j + n) of a long row's `cols`: all of them, or a part if targets must be copied to a buffer. */
typedef struct {
    const real *x, *y;
    ptrdiff_t j, n, cols;
} stretch;

INLINE int settles(ptrdiff_t cols) { return cols > SETTLE * LANES; }

/* Terms are written to kept[i & keep]; keep is 0 if they are not needed again or are cheap.
 *
 * Every vector is masked in short rows, where branches that depend on the class would be mispredicted, and if terms
 * are expensive; in long rows, only the four vectors that contain the class. */
INLINE tally fold_stretch(group *g, ptrdiff_t i, stretch s, real *kept, ptrdiff_t keep, tally sums, const int eager)
{
    const row r = row_of(g, i);
    const ptrdiff_t own = g->rows.y[i] - s.j, n = s.n;
    const int masked = !settles(s.cols);
    const vec w = v_set(lane(g->rows.grad_scale, i));
    entry e = {v_zero(), w * v_set(EAGER), w, v_zero(), v_zero()};
    ptrdiff_t at = 0;
#define WITHOUT_OWN(masked, v, at) (masked ? v_without(v, m_lane(own - (at))) : (v))
#define FOUR(masked) \
    do { \
        vec t[4], costs[4], target[4]; \
        UNROLL(4) \
        for (int k = 0; k < 4; k++) { \
            const vec score = v_load(s.x + at + k * LANES); \
            t[k] = WITHOUT_OWN(masked && !(SUMS & UNIT), term(&r, score), at + k * LANES); \
            target[k] = TARGETS ? WITHOUT_OWN(masked, v_load(s.y + at + k * LANES), at + k * LANES) : v_zero(); \
            costs[k] = cost(&r, score, target[k]); \
            if (TARGETS) \
                costs[k] = WITHOUT_OWN(masked, costs[k], at + k * LANES); \
            e.t = t[k]; \
            if (KEEP || eager) \
                v_store(kept + (at & keep) + k * LANES, eager ? slope(&r, e) : t[k]); \
        } \
        tally_four(&sums, t, costs, target, 1); \
    } while (0)
    UNROLL(1)
    for (; at + 4 * LANES <= n; at += 4 * LANES) {
        for (int line = 0; line < 4 * LANES; line += REALS_PER_LINE)
            PREFETCH(s.x + at + AHEAD + line);
        if (KEEP || masked || (size_t)(own - at) < 4 * LANES)
            FOUR(1);
        else
            FOUR(0);
        if (!masked && at % (SETTLE * LANES) == 0)
            tally_settle(&sums);
    }
#undef FOUR
    vec rest = v_zero();
    UNROLL(1)
    for (; at < n; at += LANES) {
        const ptrdiff_t count = n - at < LANES ? n - at : LANES;
        const mask here = m_first(count), others = m_without(here, m_lane(own - at));
        const vec score = v_load_count(s.x + at, count), t = v_where(SUMS & UNIT ? here : others, term(&r, score));
        const vec target = TARGETS ? v_where(others, v_load_count(s.y + at, count)) : v_zero();
        e.t = t;
        if (KEEP || eager)
            v_store_count(kept + (at & keep), eager ? slope(&r, e) : t, count);
        tally_one(&sums, t, v_where(others, cost(&r, score, target)), target, &rest, 1);
    }
    if (SUMS & UNIT)
        sums.recent[AT_TERM] = wide_add(sums.recent[AT_TERM], rest);
#undef WITHOUT_OWN
    return sums;
}

/* The next stretch of row i from column j on. */
INLINE stretch stretch_of(const lx_job *job, const group *g, ptrdiff_t i, ptrdiff_t j, real *room, int *bad)
{
    const ptrdiff_t cols = job->cols, most = TARGETS ? (ptrdiff_t)ALONG_ELEMENTS : cols;
    const ptrdiff_t n = cols - j < most ? cols - j : most;
    stretch s = {(const real *)job->input + (g->rows.first + i) * cols + j, NULL, j, n, cols};
    if (TARGETS)
        s.y = SHARED(targets_of)(job, g->rows.first + i, j, n, room, bad);
    return s;
}

/* Of all rows, whose terms go to `kept`, one after the other or to one place; true if a target is bad. */
static NOINLINE int fold_along(const lx_job *job, group *g, real *kept, ptrdiff_t keep)
{
    ALIGNED real room[TARGETS ? ALONG_ELEMENTS : 1];
    int bad = 0;
    UNROLL(1)
    for (ptrdiff_t i = 0; i < g->rows.count; i++, kept += job->cols & keep) {
        tally sums = tally_zero();
        UNROLL(1)
        for (ptrdiff_t j = 0; j < job->cols;) {
            const stretch s = stretch_of(job, g, i, j, room, &bad);
            const ptrdiff_t own = g->rows.y[i] - j;
            sums = fold_stretch(g, i, s, kept + (j & keep), keep, sums, 0);
            if (TARGETS && (size_t)own < (size_t)s.n)
                lanes_of(&g->totals[i / LANES].own_target)[i % LANES] = s.y[own];
            j += s.n;
        }
        totals_of_row(&sums, &g->totals[i / LANES], i % LANES, settles(job->cols));
    }
    return bad;
}

static NOINLINE void fold_and_map_along(const lx_job *job, group *g, real *grad)
{
    for (ptrdiff_t i = 0; i < g->rows.count; i++, grad += job->cols) {
        const tally sums = fold_stretch(g, i, stretch_of(job, g, i, 0, NULL, NULL), grad, -1, tally_zero(), 1);
        totals_of_row(&sums, &g->totals[i / LANES], i % LANES, settles(job->cols));
    }
}

/* to[j] = each(r, e) for the columns of a stretch, from terms or scores; the entry of the class is overwritten
 * afterwards. */
#define MAP_ALONG(to, each) \
    const row r = row_of(g, i); \
    const vec factor = v_set(lane(&g->result[i / LANES].factor, i % LANES)); \
    entry e = {v_zero(), factor, v_set(lane(g->rows.grad_scale, i)), v_zero(), v_zero()}; \
    UNROLL(1) \
    for (ptrdiff_t at = 0; at < s.n; at += LANES) { \
        const ptrdiff_t count = s.n - at < LANES ? s.n - at : LANES; \
        const vec given = v_load_count(s.x + at, count); \
        e.t = KEEP ? given : term(&r, given); \
        e.y = TARGETS ? v_load_count(s.y + at, count) : v_zero(); \
        v_store_count(to + at, each(&r, e), count); \
    }

INLINE void map_along(const group *g, ptrdiff_t i, stretch s, real *to) { MAP_ALONG(to, slope) }

/* The slopes that finish gives to single columns of row i, of which `to` holds n from column j on. */
static void place_single_slopes(const group *g, ptrdiff_t i, ptrdiff_t j, ptrdiff_t n, real *to)
{
    const ptrdiff_t own = g->rows.y[i] - j, best = g->rows.best[i] - j;
    if ((size_t)own < (size_t)n)
        to[own] = lane(&g->result[i / LANES].own_slope, i % LANES);
    if (BEST && g->rows.best[i] >= 0 && (size_t)best < (size_t)n)
        to[best] += lane(&g->result[i / LANES].best_slope, i % LANES);
}

/* Slopes of all rows from their terms or scores: in their place, or around the caches by the buffer, which holds all of
 * them, terms kept there included, or a part of one. */
static NOINLINE void write_slopes(const lx_job *job, const group *g, const real *from, real *buffer)
{
    ALIGNED real room[TARGETS ? ALONG_ELEMENTS : 1];
    const ptrdiff_t cols = job->cols, all = g->rows.count * cols;
    const int whole = buffer && all <= (ptrdiff_t)ALONG_ELEMENTS;
    real *const grad = (real *)job->grad + g->rows.first * cols;
    UNROLL(1)
    for (ptrdiff_t i = 0, at = 0; i < g->rows.count; i++, at += cols) {
        UNROLL(1)
        for (ptrdiff_t j = 0; j < cols;) {
            stretch s = stretch_of(job, g, i, j, room, NULL);
            if (buffer && s.n > (ptrdiff_t)ALONG_ELEMENTS)
                s.n = ALONG_ELEMENTS;
            s.x = from + at + j;
            real *to = whole ? buffer + at + j : buffer ? buffer : grad + at + j;
            map_along(g, i, s, to);
            place_single_slopes(g, i, j, s.n, to);
            if (buffer && !whole)
                SHARED(copy)(grad + at + j, to, s.n, 1);
            j += s.n;
        }
    }
    if (whole)
        SHARED(copy)(grad, buffer, all, 1);
}
