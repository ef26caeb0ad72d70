/* Rows as lanes: short rows, of which LANES at a time are transposed to columns and, once these hold the slopes,
 * back; and rows of any length that are already adjacent in memory (classes along axis 1). */

typedef struct {
    ALIGNED real x[COLUMN_ELEMENTS];               /* columns of scores, then of terms, then of slopes */
    ALIGNED real y[TARGETS ? COLUMN_ELEMENTS : 1]; /* columns of targets */
    ALIGNED real rows[COLUMN_ELEMENTS];            /* rows before or after transposition */
    tally tallies[GROUP];                          /* of rows that are processed piece by piece */
} columns;

/* Columns [j, j + n) of a row's `cols`. */
typedef struct {
    ptrdiff_t j, n, cols;
} piece;

/* Adds the terms of a piece to the tally and writes them over the scores. */
INLINE tally fold_columns(row r, vec id, real *x, const real *y, piece p, tally s)
{
    vec j = v_set((real)p.j);
    real *const end = x + p.n * LANES;
    const int settled = p.cols > 2 * SETTLE;
#define TERM_OF(z, costs, target, at) \
    do { \
        const vec score = v_load(x + (at) * LANES); \
        const mask other = v_not_equal(id, j); \
        z = SUMS & UNIT ? term(&r, score) : v_where(other, term(&r, score)); \
        target = TARGETS ? v_where(other, v_load(y + (at) * LANES)) : v_zero(); \
        costs = TARGETS ? v_where(other, cost(&r, score, target)) : cost(&r, score, target); \
        j += one(); \
        v_store(x + (at) * LANES, z); \
    } while (0)
    for (; x + 4 * LANES <= end; x += 4 * LANES, y += TARGETS ? 4 * LANES : 0) {
        vec t[4], costs[4], target[4];
        UNROLL(4)
        for (int i = 0; i < 4; i++)
            TERM_OF(t[i], costs[i], target[i], i);
        tally_four(&s, t, costs, target, 0);
        if (settled && (end - x) % (SETTLE * LANES) < 4 * LANES)
            tally_settle(&s);
    }
    vec rest = v_zero();
    UNROLL(1)
    for (; x < end; x += LANES, y += TARGETS ? LANES : 0) {
        vec t, costs, target;
        TERM_OF(t, costs, target, 0);
        tally_one(&s, t, costs, target, &rest, 0);
    }
    if (SUMS & UNIT)
        s.recent[AT_TERM] = wide_add(s.recent[AT_TERM], rest);
#undef TERM_OF
    return s;
}

static NOINLINE void fold_lanes(group *g, columns *c, piece p)
{
    UNROLL(1)
    for (ptrdiff_t k = 0, at = 0; k < g->rows.vectors; k++, at += column_stride(p.n)) {
        tally s = tally_zero();
        if (p.j)
            s = c->tallies[k];
        s = fold_columns(g->row[k], g->rows.id[k], c->x + at, c->y + (TARGETS ? at : 0), p, s);
        if (p.j + p.n < p.cols)
            c->tallies[k] = s;
        else {
            const vec own_target = g->totals[k].own_target;
            g->totals[k] = totals_of_lanes(&s, p.cols > 2 * SETTLE);
            g->totals[k].own_target = own_target;
        }
    }
}

/* `each` of an entry e, or `own_result` at the class, into the columns `to`. */
#define MAP_LANES(to, each, own_result) \
    for (ptrdiff_t k = 0, at = 0; k < g->rows.vectors; k++, at += column_stride(p.n)) { \
        const row r = g->row[k]; \
        const vec id = g->rows.id[k], own = g->result[k].own_result; \
        vec j = v_set((real)p.j); \
        entry e = {v_zero(), g->result[k].factor, g->rows.grad_scale[k], v_zero(), v_zero()}; \
        UNROLL(1) \
        for (ptrdiff_t i = at; i < at + p.n * LANES; i += LANES, j += one()) { \
            e.t = v_load(c->x + i); \
            e.y = TARGETS ? v_load(c->y + i) : v_zero(); \
            v_store(to + i, v_select(v_not_equal(id, j), each(&r, e), own)); \
        } \
    }

static NOINLINE void map_lanes(const group *g, columns *c, piece p)
{
    MAP_LANES(c->x, slope, own_slope)
    for (ptrdiff_t i = 0; BEST && i < g->rows.count; i++) { /* -1 matches no column */
        const ptrdiff_t best = g->rows.best[i] - p.j, k = i / LANES;
        if (g->rows.best[i] >= 0 && (size_t)best < (size_t)p.n)
            c->x[k * column_stride(p.n) + best * LANES + i % LANES] += lane(&g->result[k].best_slope, i % LANES);
    }
}

/* The last rows go through a buffer: a vector may have too few rows and reads up to a piece past them, and after
 * `left` rows from the start of the group the array ends or belongs to another thread. */
static NOINLINE void read_columns(const lx_job *job, const group *g, const real *from, piece p, columns *c,
                                  ptrdiff_t left)
{
    const ptrdiff_t cols = p.n, vectors = g->rows.vectors, beyond = (PIECE - cols % PIECE) % PIECE;
    const real *rows = from + g->rows.first * cols;
    ptrdiff_t direct = vectors, k = 0;
    if (job->inner > 1) {
        SHARED(gather)(job, &g->rows, from, p.j, p.n, c->x);
        return;
    }
    while (direct > 0 && direct * LANES * cols + beyond > left * cols)
        direct--;
    for (; k < direct; k++)
        SHARED(turn)(rows + k * LANES * cols, cols, c->x + k * column_stride(cols), vectors * LANES * cols);
    for (; k < vectors; k++) {
        const ptrdiff_t rest = g->rows.count - k * LANES, count = rest < LANES ? rest : LANES;
        memset(c->rows, 0, (size_t)(LANES * cols + PIECE) * sizeof(real));
        memcpy(c->rows, rows + k * LANES * cols, (size_t)(count * cols) * sizeof(real));
        SHARED(turn)(c->rows, cols, c->x + k * column_stride(cols), 0);
    }
}

/* Through a buffer: writing pieces directly to lines that are not cached takes three times as long, and pieces
 * overwrite the start of the next row. */
static NOINLINE void write_columns(const lx_job *job, const group *g, const real *from, piece p, real *to, columns *c)
{
    const ptrdiff_t cols = p.n;
    if (job->inner > 1) {
        SHARED(scatter)(job, &g->rows, from, p.j, p.n, to);
        return;
    }
    to += g->rows.first * cols;
    for (ptrdiff_t k = 0; k < g->rows.vectors; k++)
        SHARED(turn_back)(from + k * column_stride(cols), cols, c->rows + k * LANES * cols, to + k * LANES * cols);
    SHARED(copy)(to, c->rows, g->rows.count * cols, job->stream);
}

static void take_own_targets(group *g, const columns *c, piece p)
{
    for (ptrdiff_t i = 0; i < g->rows.count; i++) {
        const ptrdiff_t own = g->rows.y[i] - p.j, k = i / LANES;
        if ((size_t)own < (size_t)p.n)
            lanes_of(&g->totals[k].own_target)[i % LANES] = c->y[k * column_stride(p.n) + own * LANES + i % LANES];
    }
}
