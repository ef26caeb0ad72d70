/* Short rows: LANES of them at a time are turned into columns, and back when they hold the slopes. */

typedef struct {
    ALIGNED real x[COLUMN_ELEMENTS];           /* columns of scores, then of terms, then of slopes */
    ALIGNED real y[OWN ? 1 : COLUMN_ELEMENTS]; /* columns of targets */
    ALIGNED real rows[COLUMN_ELEMENTS];        /* the last rows, with others to fill a vector; slopes by row */
} columns;

/* From a group's vector of rows to the next. */
INLINE ptrdiff_t column_stride(ptrdiff_t cols) { return (cols + PIECE - 1) / PIECE * PIECE * LANES; }

INLINE totals fold_columns(const row *context, vec id, real *x, const real *y, ptrdiff_t cols)
{
    const row r = *context;
    tally s = tally_zero();
    vec j = v_zero();
    real *const end = x + cols * LANES;
    const int settled = cols > 2 * SETTLE;
#define TERM_OF(z, costs, target, at) \
    do { \
        const vec score = v_load(x + (at) * LANES); \
        z = term(&r, score); \
        target = OWN ? v_zero() : v_load(y + (at) * LANES); \
        costs = cost(&r, score, target); \
        if (OWN) { \
            z = v_where(v_not_equal(id, j), z); \
            j += one(); \
        } \
        v_store(x + (at) * LANES, z); \
    } while (0)
    for (; x + 4 * LANES <= end; x += 4 * LANES, y += OWN ? 0 : 4 * LANES) {
        vec t[4], costs[4], target[4];
        UNROLL(4)
        for (int i = 0; i < 4; i++)
            TERM_OF(t[i], costs[i], target[i], i);
        tally_four(&s, t, costs, target, 0);
        if (settled && (end - x) % (SETTLE * LANES) < 4 * LANES)
            tally_settle(&s);
    }
    UNROLL(1)
    for (; x < end; x += LANES, y += OWN ? 0 : LANES) {
        vec t, costs, target;
        TERM_OF(t, costs, target, 0);
        tally_one(&s, t, costs, target, 0);
    }
#undef TERM_OF
    return totals_of_lanes(&s, settled);
}

static NOINLINE void fold_lanes(group *g, columns *c, ptrdiff_t cols)
{
    UNROLL(1)
    for (ptrdiff_t k = 0, at = 0; k < g->rows.vectors; k++, at += column_stride(cols))
        g->totals[k] = fold_columns(&g->row[k], g->rows.id[k], c->x + at, c->y + (OWN ? 0 : at), cols);
}

/* `each` of an entry e, or `own_result` at the class, into the columns `to`. */
#define MAP_LANES(to, each, own_result) \
    for (ptrdiff_t k = 0, at = 0; k < g->rows.vectors; k++, at += column_stride(cols)) { \
        const row r = g->row[k]; \
        const vec id = g->rows.id[k], own = g->result[k].own_result; \
        vec j = v_zero(); \
        entry e = {v_zero(), g->result[k].factor, g->rows.grad_scale[k], v_zero()}; \
        UNROLL(1) \
        for (ptrdiff_t i = at; i < at + cols * LANES; i += LANES, j += one()) { \
            e.t = v_load(c->x + i); \
            e.y = OWN ? v_zero() : v_load(c->y + i); \
            v_store(to + i, OWN ? v_select(v_not_equal(id, j), each(&r, e), own) : each(&r, e)); \
        } \
    }

static NOINLINE void map_lanes(const group *g, columns *c, ptrdiff_t cols)
{
    MAP_LANES(c->x, slope, own_slope)
    for (ptrdiff_t i = 0; BEST && i < g->rows.count; i++) { /* no column is -1 */
        const ptrdiff_t best = (ptrdiff_t)lane(g->rows.best_id, i), k = i / LANES;
        if (best >= 0)
            c->x[k * column_stride(cols) + best * LANES + i % LANES] += lane(&g->result[k].best_slope, i % LANES);
    }
}

#define CURVE_LANES(kind) \
    static NOINLINE void kind##_lanes(const group *g, const columns *c, real *to, ptrdiff_t cols) \
    { \
        MAP_LANES(to, kind, own_curvature) \
    }
CURVE_LANES(curvature)
#ifdef HAS_MAJORIZER
CURVE_LANES(majorizer)
#endif
#ifdef HAS_FISHER
CURVE_LANES(fisher)
#endif
#ifdef HAS_RESIDUAL
CURVE_LANES(residual)
#endif

/* The last rows go through a buffer: they may be too few, and behind them the array ends or is another thread's. */
INLINE void read_columns(const group *g, const real *rows, ptrdiff_t cols, real *to, columns *c, int last)
{
    const ptrdiff_t vectors = g->rows.vectors, direct = last ? vectors - 1 : vectors;
    for (ptrdiff_t k = 0; k < direct; k++)
        SHARED(turn)(rows + k * LANES * cols, cols, to + k * column_stride(cols), vectors * LANES * cols);
    if (last) {
        const ptrdiff_t rest = (g->rows.count - direct * LANES) * cols;
        memset(c->rows, 0, (size_t)(LANES * cols + PIECE) * sizeof(real));
        memcpy(c->rows, rows + direct * LANES * cols, (size_t)rest * sizeof(real));
        SHARED(turn)(c->rows, cols, to + direct * column_stride(cols), 0);
    }
}

/* By a buffer: pieces written straight to lines that are not in a cache take three times as long, and pieces reach into
 * the next row. */
INLINE void write_columns(const group *g, const real *from, ptrdiff_t cols, real *to, columns *c, int stream)
{
    for (ptrdiff_t k = 0; k < g->rows.vectors; k++)
        SHARED(turn_back)(from + k * column_stride(cols), cols, c->rows + k * LANES * cols, to + k * LANES * cols);
    SHARED(copy)(to, c->rows, g->rows.count * cols, stream);
}

static NOINLINE void curve_rows_as_lanes(const lx_job *job, const group *g, columns *c)
{
    ALIGNED real curvatures[COLUMN_ELEMENTS];
    switch (job->curvature) {
#ifdef HAS_MAJORIZER
    case LX_MAJORIZER: majorizer_lanes(g, c, curvatures, job->cols); break;
#endif
#ifdef HAS_FISHER
    case LX_FISHER: fisher_lanes(g, c, curvatures, job->cols); break;
#endif
#ifdef HAS_RESIDUAL
    case LX_RESIDUAL: residual_lanes(g, c, curvatures, job->cols); break;
#endif
    default: curvature_lanes(g, c, curvatures, job->cols);
    }
    write_columns(g, curvatures, job->cols, (real *)job->hess + g->rows.first * job->cols, c, job->stream);
}

static NOINLINE void rows_as_lanes(const lx_job *job, group *g, int last)
{
    columns c;
    const ptrdiff_t cols = job->cols, at = g->rows.first * cols;
    read_columns(g, (const real *)job->input + at, cols, c.x, &c, last);
    if (!OWN)
        read_columns(g, (const real *)job->target.data + at, cols, c.y, &c, last);
    for (ptrdiff_t k = 0; PEAK && k < g->rows.vectors; k++)
        SHARED(peak_lanes)(c.x + k * column_stride(cols), cols, OWN, &g->rows, k);
    begin_rows(job, g);
    fold_lanes(g, &c, cols);
    finish_rows(job, g);
    if (job->hess)
        curve_rows_as_lanes(job, g, &c);
    if (job->grad) {
        map_lanes(g, &c, cols);
        write_columns(g, c.x, cols, (real *)job->grad + at, &c, job->stream);
    }
}
