/* Functions independent of the loss: classes, rows of targets, weights, values, counts. */
#include "row.h"
#include "targets.h"

/* ---- classes ---- */

INLINE int64_t class_of(const lx_job *job, ptrdiff_t r)
{
    return job->target.type == LX_INT32 ? ((const int32_t *)job->target.data)[r]
                                        : ((const int64_t *)job->target.data)[r];
}

/* The class id as an index: read only once, checked and used, as another thread may change it. */
INLINE int64_t class_read_once(const lx_job *job, ptrdiff_t r)
{
    return job->target.type == LX_INT32 ? ((const volatile int32_t *)job->target.data)[r]
                                        : ((const volatile int64_t *)job->target.data)[r];
}

INLINE int row_is_known(const lx_job *job, ptrdiff_t r)
{
    const uint8_t *mask = job->mask.data;
    if (mask && !mask[r])
        return 0;
    return !(job->holds_classes && job->ignores && class_of(job, r) == job->ignore_index);
}

#define LEAVE_OUT(type) \
    for (ptrdiff_t i = 0; (type)ignored == ignored && i < n; i++) \
        known[i] = ((const type *)job->target.data)[r + i] == (type)ignored ? 0 : known[i];

/* Writes 1 for known rows among n from r on, else 0, and returns their number; the loops are vectorised. */
static ptrdiff_t read_known(const lx_job *job, ptrdiff_t r, ptrdiff_t n, real *known)
{
    const uint8_t *mask = job->mask.data;
    const int64_t ignored = job->ignore_index;
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        known[i] = !mask || mask[r + i] ? 1 : 0;
    if (job->holds_classes && job->ignores && job->target.type == LX_INT32)
        LEAVE_OUT(int32_t)
    if (job->holds_classes && job->ignores && job->target.type != LX_INT32)
        LEAVE_OUT(int64_t)
    for (ptrdiff_t i = 0; i < n; i++)
        count += known[i] > 0;
    return count;
}
#undef LEAVE_OUT

/* Whether a known row among n from r on has an invalid class. */
static int any_bad_class(const lx_job *job, ptrdiff_t r, ptrdiff_t n, const real *known)
{
    int bad = 0;
    for (ptrdiff_t i = 0; job->holds_classes && i < n; i++)
        bad |= known[i] > 0 && (uint64_t)class_of(job, r + i) >= (uint64_t)job->cols;
    return bad;
}

/* Invalid and unknown classes are replaced by 0.  They are read from a copy that is opaque to the compiler;
 * otherwise a vector select could read the caller's memory again after the comparison. */
#define READ(type) \
    do { \
        type ids[GROUP * LANES]; \
        const type *given = ids; \
        memcpy(ids, (const type *)job->target.data + g->first, (size_t)g->count * sizeof(type)); \
        OPAQUE(given); \
        for (ptrdiff_t i = 0; i < g->count; i++) { \
            const int outside = (uint64_t)given[i] >= (uint64_t)job->cols, known = !unknown || is_known[i] > 0; \
            bad |= outside & known; \
            g->y[i] = outside | !known ? 0 : (ptrdiff_t)given[i]; \
        } \
    } while (0)

/* True if a class is invalid. */
int SHARED(read_classes)(const lx_job *job, row_group *g)
{
    const real *x = (const real *)job->input + start_of_row(job, g->first), *is_known = lanes_of(g->known);
    real *id = lanes_of(g->id), *own = lanes_of(g->own);
    const int partly = job->mask.data || job->ignores;
    const int unknown = partly && read_known(job, g->first, g->count, lanes_of(g->known)) < g->count;
    int bad = 0;
    if (job->target.type == LX_INT32)
        READ(int32_t);
    else
        READ(int64_t);
    for (ptrdiff_t i = g->count; i % LANES; i++) {
        g->y[i] = 0;
        own[i] = 0;
        lanes_of(g->known)[i] = 1;
    }
    for (ptrdiff_t i = 0; i < g->vectors * LANES; i++)
        id[i] = (real)(int32_t)g->y[i];
    if (job->inner == 1)
        for (ptrdiff_t i = 0; i < g->count; i++, x += job->cols)
            own[i] = x[g->y[i]];
    else
        for (ptrdiff_t i = 0, place = g->first % job->inner; i < g->count; i++) {
            own[i] = x[g->y[i] * job->inner];
            place = place + 1 == job->inner ? 0 : place + 1;
            x += place ? 1 : 1 + (job->cols - 1) * job->inner;
        }
    g->all_known = !unknown;
    return bad;
}
#undef READ

/* For rows of targets: true if a column that serves as the class is invalid. */
int SHARED(read_known_rows)(const lx_job *job, row_group *g)
{
    g->all_known = read_known(job, g->first, g->count, lanes_of(g->known)) == g->count;
    for (ptrdiff_t i = g->count; i % LANES; i++)
        lanes_of(g->known)[i] = 1;
    return any_bad_class(job, g->first, g->count, lanes_of(g->known));
}

/* ---- rows of targets ---- */

static void read_row(const lx_job *job, ptrdiff_t r, ptrdiff_t j, ptrdiff_t n, real *to)
{
    if (!job->holds_classes && job->target.layout != LX_CSR) {
        convert_targets(job, r * job->cols + j, n, to);
        return;
    }
    memset(to, 0, (size_t)n * sizeof(real));
    if (!job->holds_classes)
        scatter_row(job, r, j, n, to);
    else {
        const int64_t own = class_read_once(job, r) - j;
        if ((uint64_t)own < (uint64_t)n)
            to[own] = 1;
    }
}

INLINE mask is_bad(const lx_domain *d, vec y)
{
    return m_or(v_not_ge(y, v_set((real)d->low)), v_not_ge(v_set((real)d->high), y));
}

/* Targets [j, j + n) of row r, weighted: w_j (scale y_j + shift); `room` filled, or where they lie.  A row that is not
 * known has zeros.  `bad`, if given, becomes true where a target lies outside the loss's domain. */
const real *SHARED(targets_of)(const lx_job *job, ptrdiff_t r, ptrdiff_t j, ptrdiff_t n, real *room, int *bad)
{
    const real *weight = job->weight[LX_WEIGHT].data, *from = (const real *)job->target.data + r * job->cols + j;
    const vec scale = v_set((real)job->target_scale), shift = v_set((real)job->target_shift);
    const int plain = job->target.type == LX_REAL && job->target.layout == LX_FULL && !job->holds_classes;
    const int weighted = job->target_scale != 1 || weight;
    mask found = m_none();
    if (!row_is_known(job, r)) {
        memset(room, 0, (size_t)n * sizeof(real));
        return room;
    }
    if (!plain)
        read_row(job, r, j, n, room);
    from = plain ? from : room;
    for (ptrdiff_t i = 0; (bad || weighted) && i < n; i += LANES) {
        const ptrdiff_t count = n - i < LANES ? n - i : LANES;
        vec y = v_load_count(from + i, count);
        found = m_or(found, is_bad(&job->domain, y));
        if (!weighted)
            continue;
        y = v_fma(y, scale, shift);
        v_store_count(room + i, weight ? times(y, v_load_count(weight + j + i, count)) : y, count);
    }
    if (bad)
        *bad |= m_any(found);
    return weighted ? room : from;
}

/* The same for columns [j, j + n) of a group's rows, transposed to columns; `rows` is a buffer.  True if a target is
 * invalid. */
int SHARED(columns_of_targets)(const lx_job *job, const row_group *g, ptrdiff_t j, ptrdiff_t n, real *columns,
                               real *rows)
{
    const real *weight = job->weight[LX_WEIGHT].data;
    const vec scale = v_set((real)job->target_scale), shift = v_set((real)job->target_shift);
    mask bad = m_none();
    if (job->inner > 1 && !job->holds_classes)
        SHARED(gather)(job, g, job->target.data, j, n, columns);
    else {
        memset(columns, 0, (size_t)(g->vectors * column_stride(n)) * sizeof(real));
        for (ptrdiff_t i = 0; i < g->count; i++) {
            real *to = columns + i / LANES * column_stride(n) + i % LANES;
            if (lane(g->known, i) > 0)
                read_row(job, g->first + i, j, n, rows);
            for (ptrdiff_t c = 0; c < n && lane(g->known, i) > 0; c++)
                to[c * LANES] = rows[c];
        }
    }
    for (ptrdiff_t k = 0; k < g->vectors; k++) {
        const mask known = v_gt(g->known[k], v_zero());
        for (ptrdiff_t c = 0; c < n; c++) {
            real *at = columns + k * column_stride(n) + c * LANES;
            vec y = v_where(known, v_load(at));
            bad = m_or(bad, is_bad(&job->domain, y));
            y = v_fma(y, scale, shift);
            v_store(at, weight ? times(y, v_set(weight[j + c])) : y);
        }
    }
    return m_any(bad);
}

/* ---- weights ---- */

/* For rows of targets, the weights are already part of the targets. */
void SHARED(read_weights)(const lx_job *job, row_group *g, int of_class)
{
    const real *weight = of_class ? job->weight[LX_WEIGHT].data : NULL;
    const real *sample_weight = job->weight[LX_SAMPLE_WEIGHT].data, *upstream = job->grad_output.data;
    real *scale = lanes_of(g->scale), *grad_scale = lanes_of(g->grad_scale);
    for (ptrdiff_t i = 0; i < g->count; i++) {
        const ptrdiff_t r = g->first + i;
        const double w = times_weight(weight ? weight[g->y[i]] : 1.0, sample_weight ? sample_weight[r] : 1.0);
        scale[i] = (real)w;
        grad_scale[i] = (real)(job->grad_scale * times_weight(w, upstream ? upstream[r] : 1.0));
    }
}

/* ---- values ---- */

/* The values of the rows in vector k of a group.  With `by_row`, groups may begin at any row, so rows are added one
 * by one; added lane by lane, totals would depend on the sizes of groups. */
void SHARED(take_values)(const lx_job *job, const row_group *g, ptrdiff_t k, const vec *value, int by_row,
                         exact_sum *total)
{
    const ptrdiff_t first = k * LANES, count = g->count - first < LANES ? g->count - first : LANES;
    const vec weighted = v_where(v_gt(g->known[k], v_zero()), times(*value, g->scale[k]));
    if (job->reduce == LX_ROWS)
        for (ptrdiff_t i = 0; i < count; i++)
            ((real *)job->value)[g->first + first + i] = (real)(lane(&weighted, i) / job->value_divisor);
    if (by_row)
        for (ptrdiff_t i = 0; i < count; i++)
            *total = exact_add(*total, wide_of(v_where(m_first(1), v_set(lane(&weighted, i)))));
    else
        *total = exact_add(*total, wide_of(count == LANES ? weighted : v_where(m_first(count), weighted)));
}

/* Unknown rows have derivatives of 0. */
void SHARED(clear_unknown)(const lx_job *job, const row_group *g, real *derivative)
{
    for (ptrdiff_t i = 0; i < g->count; i++) {
        real *row = derivative + start_of_row(job, g->first + i);
        if (!(lane(g->known, i) > 0))
            for (ptrdiff_t j = 0; j < job->cols; j++)
                row[j * job->inner] = 0;
    }
}

/* If the slope of the class overflowed before its division, it is computed as minus the sum of the other slopes. */
void SHARED(mend_own_slopes)(const lx_job *job, const row_group *g, const vec *own_slope, ptrdiff_t k)
{
    for (ptrdiff_t i = 0; i < LANES && k * LANES + i < g->count; i++) {
        if (!isinf(lane(own_slope, i)))
            continue;
        const ptrdiff_t own = g->y[k * LANES + i];
        real *row = (real *)job->grad + start_of_row(job, g->first + k * LANES + i);
        double sum = 0;
        for (ptrdiff_t j = 0; j < job->cols; j++)
            sum += j == own ? 0.0 : (double)row[j * job->inner];
        row[own * job->inner] = (real)-sum;
    }
}

/* The weight of row r as one of its class, or of its targets. */
static double class_weight(const lx_job *job, ptrdiff_t r)
{
    const real *weight = job->weight[LX_WEIGHT].data;
    ALIGNED real room[LX_CHUNK];
    double sum = 0;
    if (!weight)
        return 1;
    if (job->holds_classes) {
        const int64_t own = class_read_once(job, r);
        return (uint64_t)own < (uint64_t)job->cols ? (double)weight[own] : 0;
    }
    for (ptrdiff_t j = 0; j < job->cols; j++) {
        if (job->inner > 1)
            room[j % LX_CHUNK] = ((const real *)job->target.data)[start_of_row(job, r) + j * job->inner];
        else if (j % LX_CHUNK == 0)
            read_row(job, r, j, job->cols - j < LX_CHUNK ? job->cols - j : LX_CHUNK, room);
        sum += times_weight(weight[j], room[j % LX_CHUNK]);
    }
    return sum;
}

/* The number of known rows, or the other quantity chosen by `counts`. */
int SHARED(count_rows)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const real *sample_weight = job->weight[LX_SAMPLE_WEIGHT].data;
    double lost = 0; /* rounding error (Kahan) */
    real known[LX_CHUNK];
    for (ptrdiff_t at = first, n; at < last; at += n) {
        n = last - at < LX_CHUNK ? last - at : LX_CHUNK;
        const ptrdiff_t count = read_known(job, at, n, known);
        if (any_bad_class(job, at, n, known))
            return LX_BAD_TARGET;
        if (job->counts == 1) {
            total->count += (double)count;
            continue;
        }
        for (ptrdiff_t r = at; r < at + n; r++) {
            if (known[r - at] == 0)
                continue;
            double weight = class_weight(job, r);
            if (job->counts == 2)
                weight = times_weight(weight, sample_weight ? sample_weight[r] : 1.0);
            const double more = weight - lost, sum = total->count + more;
            lost = (sum - total->count) - more;
            total->count = sum;
        }
    }
    return 0;
}
