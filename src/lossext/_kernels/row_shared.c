/* Passes of the row family that no loss changes. */
#include "row.h"

/* ---- classes and weights ---- */

#define READ(type) \
    for (ptrdiff_t i = 0; i < g->count; i++, x += cols) { \
        const type given = ((const type *)job->target.data)[g->first + i]; \
        const int known = (!mask || mask[g->first + i]) && !(job->ignores && given == job->ignore_index); \
        const int outside = (uint64_t)given >= (uint64_t)cols; \
        const ptrdiff_t class = outside || !known ? 0 : (ptrdiff_t)given; \
        bad |= outside && known; \
        unknown |= !known; \
        g->y[i] = class; \
        id[i] = (real)(int32_t)class; \
        own[i] = x[class]; \
        is_known[i] = (real)known; \
    }

/* True if there is a bad one, which is then read as class 0; so are those of rows that are not known. */
int SHARED(read_classes)(const lx_job *job, row_group *g)
{
    const ptrdiff_t cols = job->cols;
    const uint8_t *mask = job->mask.data;
    const real *x = (const real *)job->input + g->first * cols;
    real *id = lanes_of(g->id), *own = lanes_of(g->own), *is_known = lanes_of(g->known);
    int bad = 0, unknown = 0;
    if (job->target.type == LX_INT32)
        READ(int32_t)
    else
        READ(int64_t)
    for (ptrdiff_t i = g->count; i % LANES; i++) {
        g->y[i] = 0;
        id[i] = own[i] = 0;
        is_known[i] = 1;
    }
    g->all_known = !unknown;
    return bad;
}

static double product(double a, double b) { return a == 0 || b == 0 ? 0 * (isnan(a + b) ? a + b : 0) : a * b; }

void SHARED(read_weights)(const lx_job *job, row_group *g)
{
    const real *weight = job->weight[LX_WEIGHT].data, *sample_weight = job->weight[LX_SAMPLE_WEIGHT].data;
    const real *upstream = job->grad_output.data;
    real *scale = lanes_of(g->scale), *grad_scale = lanes_of(g->grad_scale);
    for (ptrdiff_t i = 0; i < g->count; i++) {
        const ptrdiff_t r = g->first + i;
        const double w = product(weight ? weight[g->y[i]] : 1.0, sample_weight ? sample_weight[r] : 1.0);
        scale[i] = (real)w;
        grad_scale[i] = (real)(job->grad_scale * product(w, upstream ? upstream[r] : 1.0));
    }
}

/* ---- rows as lanes ---- */

/* columns[j LANES + i] = rows[i cols + j]; reads up to a piece beyond the last row, writes whole pieces of columns.
 * Meanwhile it prefetches as many lines `ahead`, in the order of memory. */
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

/* The reverse; also writes up to a piece beyond the last row.  The last columns come first, since a piece writes into
 * the next row.  Meanwhile it prefetches the lines that the rows are to be copied to. */
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

/* Whole lines around the caches where they are to be. */
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

/* ---- the greatest of the other scores; NaN is no score ---- */

/* By row, and the lowest column that has it. */
void SHARED(peak_lanes)(const real *columns, ptrdiff_t cols, int own, row_group *g, ptrdiff_t k)
{
    vec peak = v_set(-REAL_MAX), best = v_set(-1), j = v_zero();
    const vec y = own ? g->id[k] : v_set(-1), least = v_set((real)-INFINITY);
    for (ptrdiff_t c = 0; c < cols; c++, j += one()) {
        const vec x = v_select(v_not_equal(y, j), v_load(columns + c * LANES), least);
        const mask above = v_gt(x, peak);
        best = v_select(above, j, best);
        peak = v_select(above, x, peak);
    }
    g->peak[k] = peak;
    g->best_id[k] = best;
}

/* Of row i of the group. */
void SHARED(peak_along)(const real *x, ptrdiff_t cols, int own, int best, row_group *g, ptrdiff_t i)
{
    const ptrdiff_t y = own ? g->y[i] : -1;
    const vec least = v_set(-REAL_MAX);
    const int masked = cols <= 16 * LANES; /* in short rows no branch depends on the class: it would be mispredicted */
    vec a[4] = {least, least, least, least};
    ptrdiff_t at = 0;
    for (; at + 4 * LANES <= cols; at += 4 * LANES)
        if (masked || (size_t)(y - at) < 4 * LANES) {
            UNROLL(4)
            for (int k = 0; k < 4; k++)
                a[k] = v_max(v_select(m_lane(y - at - k * LANES), least, v_load(x + at + k * LANES)), a[k]);
        } else {
            UNROLL(4)
            for (int k = 0; k < 4; k++)
                a[k] = v_max(v_load(x + at + k * LANES), a[k]);
        }
    for (; at < cols; at += LANES) {
        const ptrdiff_t count = cols - at < LANES ? cols - at : LANES;
        const vec score = count == LANES ? v_load(x + at) : v_load_first(x + at, count, -REAL_MAX);
        a[0] = v_max(v_select(m_lane(y - at), least, score), a[0]);
    }
    const real peak = v_greatest(v_max(v_max(a[0], a[1]), v_max(a[2], a[3])));
    lanes_of(g->peak)[i] = peak;
    g->best[i] = -1;
    for (ptrdiff_t j = 0; best && j < cols; j++)
        if (x[j] == peak && j != y) {
            g->best[i] = j;
            break;
        }
}

/* ---- values ---- */

/* Of the rows in vector k of a group. */
void SHARED(take_values)(const lx_job *job, const row_group *g, ptrdiff_t k, const vec *value, exact_sum *total)
{
    const ptrdiff_t first = k * LANES, count = g->count - first < LANES ? g->count - first : LANES;
    const vec weighted = v_where(v_gt(g->known[k], v_zero()), times(*value, g->scale[k]));
    if (job->reduce == LX_ROWS)
        for (ptrdiff_t i = 0; i < count; i++)
            ((real *)job->value)[g->first + first + i] = (real)(lane(&weighted, i) / job->value_divisor);
    *total = exact_add(*total, wide_of(count == LANES ? weighted : v_where(m_first(count), weighted)));
}

/* Rows that are not known have no derivatives. */
void SHARED(clear_unknown)(const lx_job *job, const row_group *g, real *rows)
{
    for (ptrdiff_t i = 0; i < g->count; i++)
        if (!(lane(g->known, i) > 0))
            memset(rows + i * job->cols, 0, (size_t)job->cols * sizeof(real));
}

/* Where the class's slope overflowed before it was divided: minus the sum of the others', as they were written. */
void SHARED(mend_own_slopes)(const lx_job *job, const row_group *g, const vec *own_slope, ptrdiff_t k, real *rows)
{
    for (ptrdiff_t i = 0; i < LANES && k * LANES + i < g->count; i++) {
        if (!isinf(lane(own_slope, i)))
            continue;
        const ptrdiff_t r = k * LANES + i, own = g->y[r];
        real *row = rows + r * job->cols;
        double sum = 0;
        for (ptrdiff_t j = 0; j < job->cols; j++)
            sum += j == own ? 0.0 : (double)row[j];
        row[own] = (real)-sum;
    }
}

/* The number of known rows, or with `counts` 2 the sum of their weights. */
int SHARED(count_rows)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const real *weight = job->weight[LX_WEIGHT].data, *sample_weight = job->weight[LX_SAMPLE_WEIGHT].data;
    const uint8_t *mask = job->mask.data;
    for (ptrdiff_t r = first; r < last; r++) {
        const int64_t y = job->target.type == LX_INT32 ? ((const int32_t *)job->target.data)[r]
                                                       : ((const int64_t *)job->target.data)[r];
        if ((mask && !mask[r]) || (job->ignores && y == job->ignore_index))
            continue;
        if (y < 0 || y >= job->cols)
            return 1;
        total->count += job->counts == 1 ? 1.0 : (weight ? weight[y] : 1.0) * (sample_weight ? sample_weight[r] : 1.0);
    }
    return 0;
}
