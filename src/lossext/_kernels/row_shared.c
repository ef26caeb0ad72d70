/* Functions independent of the loss: layouts of rows, and their largest scores. */
#include "row.h"

/* ---- rows as lanes ---- */

/* columns[j LANES + i] = rows[i cols + j]; reads up to a piece past the last row and writes whole pieces of columns.
 * It also prefetches as many lines from `ahead` on, in ascending order. */
void SHARED(turn)(const real *rows, ptrdiff_t cols, real *columns, ptrdiff_t ahead)
{
    const real *next = rows + ahead;
    for (ptrdiff_t j = 0; j < cols; j += PIECE) {
        vec v[PIECE];
        UNROLL(4)
        for (int line = 0; line < PIECE * LANES; line += REALS_PER_LINE, next += REALS_PER_LINE)
            PREFETCH(next);
        v_turn(v, rows + j, cols);
        UNROLL(4)
        for (int i = 0; i < PIECE; i++)
            v_store(columns + (j + i) * LANES, v[i]);
    }
}

/* The reverse; writes up to a piece past the last row.  It starts with the last columns, since a piece overwrites
 * the start of the next row.  It also prefetches the destination of the rows. */
void SHARED(turn_back)(const real *columns, ptrdiff_t cols, real *rows, const real *lines)
{
    for (ptrdiff_t j = (cols - 1) / PIECE * PIECE; j >= 0; j -= PIECE) {
        vec v[PIECE];
        UNROLL(4)
        for (int line = 0; line < PIECE * LANES; line += REALS_PER_LINE, lines += REALS_PER_LINE)
            PREFETCH_TO_WRITE(lines);
        UNROLL(4)
        for (int i = 0; i < PIECE; i++)
            v[i] = v_load(columns + (j + i) * LANES);
        v_turn_back(v, rows + j, cols);
    }
}

/* Copies whole cache lines to their destination by streaming stores. */
void SHARED(copy)(real *to, const real *from, ptrdiff_t n, int stream)
{
    const ptrdiff_t head = stream ? reals_to_line(to) : 0;
    ptrdiff_t i = head < n ? head : n;
    memcpy(to, from, (size_t)i * sizeof(real));
    if (stream)
        for (; i + LANES <= n; i += LANES)
            v_stream(to + i, v_load(from + i));
    else
        for (; i + LANES <= n; i += LANES)
            v_store(to + i, v_load(from + i));
    memcpy(to + i, from + i, (size_t)(n - i) * sizeof(real));
}

/* ---- classes along axis 1: rows are already adjacent in memory, as lanes ---- */

/* Calls copy(columns, address, rows, whole) for runs of rows that are adjacent in memory and within one vector. */
#define FOR_EACH_STRETCH(step) \
    for (ptrdiff_t i = 0, end; i < g->count; i = end) { \
        const ptrdiff_t r = g->first + i, here = job->inner - r % job->inner, room = LANES - i % LANES; \
        const ptrdiff_t left = g->count - i, most = here < room ? here : room, length = left < most ? left : most; \
        const ptrdiff_t at = start_of_row(job, r) + j * job->inner, to = i / LANES * column_stride(n) + i % LANES; \
        end = i + length; \
        for (ptrdiff_t c = 0; c < n; c++) \
            step(at + c * job->inner, to + c * LANES, length); \
    }

/* Columns [j, j + n) of a group's rows; lanes without a row are 0. */
void SHARED(gather)(const lx_job *job, const row_group *g, const real *from, ptrdiff_t j, ptrdiff_t n, real *columns)
{
#define GATHER(at, to, length) \
    do { \
        if (length == LANES) \
            v_store(columns + (to), v_load(from + (at))); \
        else \
            for (ptrdiff_t l = 0; l < length; l++) \
                columns[(to) + l] = from[(at) + l]; \
    } while (0)
    if (g->count % LANES)
        memset(columns + (g->vectors - 1) * column_stride(n), 0, (size_t)(n * LANES) * sizeof(real));
    FOR_EACH_STRETCH(GATHER)
#undef GATHER
}

void SHARED(scatter)(const lx_job *job, const row_group *g, const real *columns, ptrdiff_t j, ptrdiff_t n,
                     real *memory)
{
#define PUT(at, from, length) \
    do { \
        if (length == LANES && job->stream && reals_to_line(memory + (at)) % LANES == 0) \
            v_stream(memory + (at), v_load(columns + (from))); \
        else if (length == LANES) \
            v_store(memory + (at), v_load(columns + (from))); \
        else \
            for (ptrdiff_t l = 0; l < length; l++) \
                memory[(at) + l] = columns[(from) + l]; \
    } while (0)
    FOR_EACH_STRETCH(PUT)
#undef PUT
}

/* ---- the largest scores; NaN is ignored ---- */

/* The lowest column of the greatest score of each row, and the greatest of the others, after columns [j, j + n). */
void SHARED(greatest_lanes)(const real *columns, ptrdiff_t j, ptrdiff_t n, row_group *g, ptrdiff_t k)
{
    vec greatest = g->own[k], id = g->id[k], second = g->peak[k], column = v_set((real)j);
    ptrdiff_t c = 0;
    if (j == 0) {
        greatest = v_load(columns);
        id = v_zero();
        second = v_set(-REAL_MAX);
        column = one();
        c = 1;
    }
    for (; c < n; c++, column += one()) {
        const vec x = v_load(columns + c * LANES);
        const mask above = v_gt(x, greatest);
        second = v_max(v_select(above, greatest, x), second);
        id = v_select(above, column, id);
        greatest = v_select(above, x, greatest);
    }
    g->own[k] = greatest;
    g->id[k] = id;
    g->peak[k] = second;
    for (ptrdiff_t i = 0; i < LANES; i++)
        g->y[k * LANES + i] = (ptrdiff_t)lane(&id, i);
}

/* The greatest of the others after columns [j, j + n), and the lowest column that has it. */
void SHARED(peak_lanes)(const real *columns, ptrdiff_t j, ptrdiff_t n, int best_too, row_group *g, ptrdiff_t k)
{
    vec peak = j ? g->peak[k] : v_set(-REAL_MAX), best = j ? g->best_id[k] : v_set(-1), column = v_set((real)j);
    const vec y = g->id[k], least = v_set((real)-INFINITY);
    for (ptrdiff_t c = 0; c < n; c++, column += one()) {
        const vec x = v_select(v_not_equal(y, column), v_load(columns + c * LANES), least);
        const mask above = v_gt(x, peak);
        best = v_select(above, column, best);
        peak = v_select(above, x, peak);
    }
    g->peak[k] = peak;
    g->best_id[k] = best;
    for (ptrdiff_t i = 0; best_too && i < LANES; i++)
        g->best[k * LANES + i] = (ptrdiff_t)lane(&best, i);
}

/* The lowest column other than `except` with at least this score; -1 if there is none. */
static ptrdiff_t column_of(const real *x, ptrdiff_t cols, real score, ptrdiff_t except)
{
    for (ptrdiff_t at = 0; at < cols; at += LANES) {
        const ptrdiff_t count = cols - at < LANES ? cols - at : LANES;
        const vec here = count == LANES ? v_load(x + at) : v_load_first(x + at, count, (real)-INFINITY);
        if (!m_any(m_without(v_ge(here, v_set(score)), m_lane(except - at))))
            continue;
        for (ptrdiff_t j = at; j < at + count; j++)
            if (x[j] >= score && j != except)
                return j;
    }
    return -1;
}

/* Of the group's rows: the lowest column of the greatest score. */
void SHARED(greatest_along)(const real *x, ptrdiff_t cols, row_group *g)
{
    const vec least = v_set((real)-INFINITY);
    for (ptrdiff_t i = 0; i < g->count; i++, x += cols) {
        vec a[4] = {least, least, least, least};
        ptrdiff_t at = 0;
        for (; at + 4 * LANES <= cols; at += 4 * LANES)
            UNROLL(4)
            for (int k = 0; k < 4; k++)
                a[k] = v_max(v_load(x + at + k * LANES), a[k]);
        for (; at < cols; at += LANES)
            a[0] = v_max(cols - at < LANES ? v_load_first(x + at, cols - at, (real)-INFINITY) : v_load(x + at), a[0]);
        const ptrdiff_t found = column_of(x, cols, v_greatest(v_max(v_max(a[0], a[1]), v_max(a[2], a[3]))), -1);
        g->y[i] = found < 0 ? 0 : found;
        lanes_of(g->own)[i] = x[g->y[i]];
    }
}

/* The greatest of the others; `best`: and the lowest column that has it. */
void SHARED(peak_along)(const real *x, ptrdiff_t cols, int best, row_group *g)
{
    const vec least = v_set(-REAL_MAX);
    const int masked = cols <= 16 * LANES; /* in short rows no branch depends on the class: it would be mispredicted */
    for (ptrdiff_t i = 0; i < g->count; i++, x += cols) {
        const ptrdiff_t y = g->y[i];
        vec a[4] = {least, least, least, least};
        ptrdiff_t at = 0;
#define OTHERS(k, at, score) a[k] = v_select(m_lane(y - (at)), a[k], v_max(score, a[k]))
        for (; at + 4 * LANES <= cols; at += 4 * LANES)
            if (masked || (size_t)(y - at) < 4 * LANES) {
                UNROLL(4)
                for (int k = 0; k < 4; k++)
                    OTHERS(k, at + k * LANES, v_load(x + at + k * LANES));
            } else {
                UNROLL(4)
                for (int k = 0; k < 4; k++)
                    a[k] = v_max(v_load(x + at + k * LANES), a[k]);
            }
        for (; at + LANES <= cols; at += LANES)
            OTHERS(1, at, v_load(x + at));
        if (at < cols)
            OTHERS(0, at, v_load_first(x + at, cols - at, -REAL_MAX));
#undef OTHERS
        const real peak = v_greatest(v_max(v_max(a[0], a[1]), v_max(a[2], a[3])));
        lanes_of(g->peak)[i] = peak;
        g->best[i] = best ? column_of(x, cols, peak, y) : -1;
    }
}
