/* Functions independent of the loss: contiguous operands of a chunk, sums of rows, counts of known elements. */
#include "element.h"
#include "targets.h"

/* Where a chunk begins. */
typedef struct {
    ptrdiff_t at, row, column;
} place;

INLINE place place_of(ptrdiff_t at, ptrdiff_t cols)
{
    const place p = {at, at / cols, at % cols};
    return p;
}

enum { LARGE_BYTES = 4 << 20 }; /* input larger than the L2 cache */

void SHARED(begin_chunks)(const lx_job *job, chunk *c, chunk_room *room)
{
    v_store(room->one, v_set(1));
    v_store(room->zero, v_zero());
    memset(room->all, 255, sizeof room->all);
    c->lost.data = room->zero;
    c->lost.mask = 0;
    for (int k = 0; k < LX_PARAMETERS; k++)
        c->parameter[k] = (real)job->parameter[k];
    c->grad_scale = (real)job->grad_scale;
    c->count = 0;
    c->prefetches = job->rows * job->cols >= LARGE_BYTES / (ptrdiff_t)sizeof(real);
}

/* ---- weights ---- */

/* Repeats one value per row over its columns; writes up to LANES - 1 elements past n. */
static void spread_rows(const real *per_row, const place *p, ptrdiff_t n, ptrdiff_t cols, real *to)
{
    per_row += p->row;
    for (ptrdiff_t i = 0, left = cols - p->column; i < n; i += left, left = cols, per_row++)
        for (ptrdiff_t k = i; k < i + left && k < n; k += LANES)
            v_store(to + k, v_set(*per_row));
}

/* n elements of an operand: its own memory, or a copy in the buffer `room`. */
static const real *operand_at(const lx_operand *o, const place *p, ptrdiff_t n, ptrdiff_t cols, real *room)
{
    const real *data = o->data;
    if (o->layout == LX_FULL)
        return data + p->at;
    if (o->layout == LX_BY_COLUMN)
        return data + p->column;
    if (o->layout == LX_BY_ROW)
        spread_rows(data, p, n, cols, room);
    else
        for (ptrdiff_t k = 0; k < n; k += LANES)
            v_store(room + k, v_set(*data));
    return room;
}

/* to = a * b with 0 * inf = 0; a may be `to`. */
static void multiply(const real *a, const real *b, ptrdiff_t n, real *to)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, times(v_load(a + i), v_load(b + i)));
    if (i < n)
        v_store_first(to + i, times(v_load_first(a + i, n - i, 1), v_load_first(b + i, n - i, 1)), n - i);
}

/* The product of all weights of a chunk: one vector of ones or of a scalar, an array's own memory, or the buffer
 * `room`. */
static spread weights_of(const lx_job *job, const place *p, ptrdiff_t n, chunk_room *room, int *weighted)
{
    ALIGNED real other[ROOM];
    spread product = {room->one, 0};
    *weighted = 0;
    for (int k = 0; k < LX_WEIGHTS; k++) {
        const lx_operand *o = &job->weight[k];
        if (o->layout == LX_ABSENT)
            continue;
        if (!*weighted && o->layout == LX_SCALAR) {
            v_store(room->scalar, v_set(*(const real *)o->data));
            product.data = room->scalar;
        } else if (!*weighted) {
            product.data = operand_at(o, p, n, job->cols, room->weight);
            product.mask = -1;
        } else {
            const real *factor = operand_at(o, p, n, job->cols, other);
            if (!product.mask)
                for (ptrdiff_t i = 0; i < n; i += LANES)
                    v_store(room->weight + i, v_load(product.data));
            multiply(product.mask ? product.data : room->weight, factor, n, room->weight);
            product.data = room->weight;
            product.mask = -1;
        }
        *weighted = WEIGHTED;
    }
    return product;
}

/* ---- targets ---- */

INLINE vec magnitude_or_self(vec y, int sign) { return sign ? v_abs(y) : y; }

enum { FINITE = 1, WITHIN = 2 };

/* Whether n targets, a multiple of STEP, are all finite (FINITE), or are in [low, high] or NaN (WITHIN), or both; 0 if
 * one is infinite.  Minimum and maximum, which skip NaN, and a sum of y * 0, which is NaN if a y is not finite, are
 * cheaper than comparisons into masks. */
INLINE int surely_inside(const real *y, ptrdiff_t n, real low, real high, int sign, const int what)
{
    enum { CHAINS = 4 };
    vec zeros[CHAINS], least[CHAINS], greatest[CHAINS];
    UNROLL(4)
    for (int k = 0; k < CHAINS; k++)
        zeros[k] = v_zero(), least[k] = v_set(high), greatest[k] = v_set(low);
    for (ptrdiff_t i = 0; i < n; i += CHAINS * LANES) {
        UNROLL(4)
        for (int k = 0; k < CHAINS; k++) {
            const vec own = v_load(y + i + k * LANES), t = what & WITHIN ? magnitude_or_self(own, sign) : own;
            if (what & FINITE)
                zeros[k] = v_fma(t, v_zero(), zeros[k]);
            if (what & WITHIN)
                least[k] = v_min(t, least[k]), greatest[k] = v_max(t, greatest[k]);
        }
    }
    mask bad = m_none();
    UNROLL(4)
    for (int k = 0; k < CHAINS; k++) {
        if (what & FINITE)
            bad = m_or(bad, v_is_nan(zeros[k]));
        if (what & WITHIN)
            bad = m_or(bad, m_or(v_lt(least[k], v_set(low)), v_gt(greatest[k], v_set(high))));
    }
    return !m_any(bad);
}

/* Whether all known targets of a chunk are in [low, high]. */
static int all_inside(const lx_job *job, const chunk *c, real low, real high)
{
    const int sign = job->domain.sign;
    if (job->nan_is_missing                          ? surely_inside(c->y, c->n, low, high, sign, WITHIN)
        : low == -REAL_MAX && high == REAL_MAX ? surely_inside(c->y, c->n, low, high, sign, FINITE)
                                               : surely_inside(c->y, c->n, low, high, sign, FINITE | WITHIN))
        return 1;
    mask bad = m_none();
    for (ptrdiff_t i = 0; i < c->n; i += LANES) {
        const vec t = magnitude_or_self(v_load(c->y + i), sign);
        const mask known = job->nan_is_missing ? known_at(c, i) : byte_at(c->known, i);
        bad = m_or(bad, m_and(known, m_or(v_not_ge(t, v_set(low)), v_not_ge(v_set(high), t))));
    }
    return !m_any(bad);
}

/* Counts the stored entries of the rows in a chunk, and writes them over zeros to `to` if not NULL. */
static ptrdiff_t scatter_entries(const lx_job *job, const place *p, ptrdiff_t n, real *to)
{
    ptrdiff_t first = p->column, row = p->row, length, count = 0;
    for (ptrdiff_t i = 0; i < n; i += length, first = 0, row++) {
        length = job->cols - first < n - i ? job->cols - first : n - i;
        count += scatter_row(job, row, first, length, to ? to + i : NULL);
    }
    return count;
}

/* Converts n targets to the kernel's own type. */
static void read_targets(const lx_job *job, const place *p, ptrdiff_t n, real *to)
{
    if (job->target.layout == LX_CSR) {
        memset(to, 0, (size_t)n * sizeof(real));
        scatter_entries(job, p, n, to);
    } else if (job->target.type != LX_REAL)
        convert_targets(job, p->at, n, to);
    else {
        const real *from = operand_at(&job->target, p, n, job->cols, to);
        if (from != to)
            memcpy(to, from, (size_t)n * sizeof(real));
    }
}

/* Whether a prediction with a known target is outside [low, high]; NaN is not. */
static int any_outside(const chunk *c, real low, real high)
{
    mask bad = m_none();
    for (ptrdiff_t i = 0; i < c->n; i += LANES) {
        const vec v = v_load(c->x + i);
        bad = m_or(bad, m_and(known_at(c, i), m_or(v_lt(v, v_set(low)), v_gt(v, v_set(high)))));
    }
    return m_any(bad);
}

/* A byte for each of n elements, 0 where the mask marks the target as missing: in the mask itself, or in `room`. */
static const uint8_t *bytes_of_mask(const lx_job *job, const place *p, ptrdiff_t n, uint8_t *room)
{
    const uint8_t *given = job->mask.data;
    if (job->mask.layout == LX_FULL)
        return given + p->at;
    if (job->mask.layout == LX_ABSENT)
        memset(room, 255, (size_t)n);
    else {
        given += p->row;
        for (ptrdiff_t i = 0, left = job->cols - p->column; i < n; i += left, left = job->cols)
            memset(room + i, *given++, (size_t)(left < n - i ? left : n - i));
    }
    return room;
}

static ptrdiff_t count_numbers(const real *y, ptrdiff_t n)
{
    ptrdiff_t count = 0, i = 0;
    for (; i + LANES <= n; i += LANES)
        count += LANES - m_count(v_is_nan(v_load(y + i)));
    for (; i < n; i++)
        count += y[i] == y[i];
    return count;
}

/* The number of nonzero bytes among n: eight are added at a time, in so few words that no byte overflows. */
static ptrdiff_t count_true(const uint8_t *bytes, ptrdiff_t n)
{
    enum { WORDS = 255 };
    const uint64_t ones = 0x0101010101010101u, pairs = 0x00ff00ff00ff00ffu;
    ptrdiff_t count = 0, i = 0;
    while (i + 8 <= n) {
        const ptrdiff_t words = (n - i) / 8 < WORDS ? (n - i) / 8 : WORDS;
        uint64_t sum = 0, any = 0, word;
        for (ptrdiff_t k = 0; k < words; k++) {
            memcpy(&word, bytes + i + 8 * k, 8);
            sum += word, any |= word;
        }
        if (any & ~ones) /* bytes other than NumPy's 0 and 1 */
            for (ptrdiff_t k = 0; k < 8 * words; k++)
                count += bytes[i + k] != 0;
        else
            count += (ptrdiff_t)((((sum & pairs) + (sum >> 8 & pairs)) * 0x0001000100010001u) >> 48);
        i += 8 * words;
    }
    for (; i < n; i++)
        count += bytes[i] != 0;
    return count;
}

/* The number of elements whose byte, if there are `bytes`, is not 0 and whose target, if given, is not NaN. */
static double count_of(const uint8_t *bytes, const real *y, ptrdiff_t n)
{
    ptrdiff_t count = 0;
    if (!y)
        return (double)(bytes ? count_true(bytes, n) : n);
    if (!bytes)
        return (double)count_numbers(y, n);
    for (ptrdiff_t i = 0; i < n; i++)
        count += bytes[i] != 0 && y[i] == y[i];
    return (double)count;
}

INLINE int is_plain(const lx_operand *o) { return o->layout == LX_FULL && o->type == LX_REAL; }

static double sum_of(const real *a, ptrdiff_t n)
{
    wide sum = wide_zero();
    for (ptrdiff_t i = 0; i < n; i += LANES)
        sum = wide_add(sum, n - i < LANES ? v_load_first(a + i, n - i, 0) : v_load(a + i));
    return wide_total(sum);
}

static void fill_up(real *a, ptrdiff_t n, ptrdiff_t end, real with)
{
    for (ptrdiff_t i = n; i < end; i++)
        a[i] = with;
}

/* Clips targets in `room` that are slightly beyond a bound.  True if a known target is outside the domain. */
static int bring_inside(const lx_job *job, const chunk *c, real *y)
{
    const lx_domain *domain = &job->domain;
    const real low = (real)domain->low, high = (real)domain->high;
    if (all_inside(job, c, low, high))
        return 0;
    if (domain->slack == 0)
        return 1;
    const real slack = (real)(domain->slack * (sizeof(real) == sizeof(double) ? DBL_EPSILON : FLT_EPSILON));
    const int bad = !all_inside(job, c, low - slack, high + slack);
    for (ptrdiff_t i = 0; i < c->n; i++)
        y[i] = y[i] < low ? low : y[i] > high ? high : y[i];
    return bad;
}

/* Copies n elements to `room` and pads them to `end`. */
static const real *filled_up(const real *from, ptrdiff_t n, ptrdiff_t end, real with, real *room)
{
    if (from != room)
        memcpy(room, from, (size_t)n * sizeof(real));
    fill_up(room, n, end, with);
    return room;
}

/* Writes weights given by one vector for all elements to `room`. */
static const real *as_array(spread weight, ptrdiff_t n, real *room)
{
    if (weight.mask)
        return weight.data;
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store(room + i, v_load(weight.data));
    return room;
}

static void lay_upstream(const lx_job *job, const place *p, ptrdiff_t n, spread weight, chunk *c, chunk_room *room)
{
    c->grad_weight = weight;
    c->grad_weighted = c->weighted;
    if (job->grad_output.layout == LX_ABSENT)
        return;
    const real *upstream = operand_at(&job->grad_output, p, n, job->cols, room->upstream);
    if (c->weighted == WEIGHTED) {
        multiply(as_array(weight, n, room->weight), upstream, n, room->upstream);
        upstream = room->upstream;
    }
    c->grad_weight.data = c->n != n ? filled_up(upstream, n, c->n, 0, room->upstream) : upstream;
    c->grad_weight.mask = -1;
    c->grad_weighted = WEIGHTED;
}

/* Label smoothing of y, and separately of 1 - y, which cannot be computed accurately from a rounded y near 1. */
static void smooth(const lx_job *job, chunk *c, chunk_room *room)
{
    const real scale = (real)job->target_scale, shift = (real)job->target_shift;
    for (ptrdiff_t i = 0; i < c->n; i++) {
        const real rest = (1 - room->y[i]) * scale + shift;
        room->y[i] = room->y[i] * scale + shift;
        room->lost[i] = (1 - room->y[i]) - rest;
    }
    c->lost.data = room->lost;
    c->lost.mask = -1;
}

/* Sets what the passes prefetch. */
static void look_ahead(const lx_job *job, ptrdiff_t at, chunk *c)
{
    static const unsigned char size_of[] = {sizeof(real), sizeof(other_real), 1, 4, 8, 1, 2};
    c->next_x = (const real *)job->input + at + AHEAD;
    c->size_of_y = sizeof(real);
    c->next_y = (const char *)c->next_x;
    if (job->target.layout == LX_FULL) {
        c->size_of_y = size_of[job->target.type];
        c->next_y = (const char *)job->target.data + (at + AHEAD) * c->size_of_y;
    }
}

/* Prepares targets and the mask of elements that count. */
static int lay_targets(const lx_job *job, const place *p, ptrdiff_t n, chunk *c, chunk_room *room)
{
    static const ALIGNED real zeros[LX_CHUNK] = {0}; /* all targets of most chunks where few entries are stored */
    const int contiguous = job->target.layout == LX_FULL || job->target.layout == LX_BY_COLUMN;
    const int smooths = job->target_scale != 1, misses = job->nan_is_missing || job->mask.layout != LX_ABSENT;
    const lx_domain *domain = &job->domain;
    int bad = 0;
    const int sparse = job->target.layout == LX_CSR && domain->low <= 0;
    const int empty = sparse && n == c->n && !scatter_entries(job, p, n, NULL);
    if (empty)
        c->y = zeros;
    else if (contiguous && job->target.type == LX_REAL && n == c->n)
        c->y = operand_at(&job->target, p, n, job->cols, room->y);
    else {
        read_targets(job, p, n, room->y);
        fill_up(room->y, n, c->n, 1);
        c->y = room->y;
    }
    c->known.data = room->all;
    c->known.mask = 0;
    if (job->mask.layout != LX_ABSENT || n < c->n) {
        c->known.data = bytes_of_mask(job, p, n, room->known);
        c->known.mask = -1;
    }
    if (n < c->n) {
        if (c->known.data != room->known)
            memcpy(room->known, c->known.data, (size_t)n);
        memset(room->known + n, 0, (size_t)(c->n - n));
        c->known.data = room->known;
    }
    c->weighted = misses || n < c->n ? PARTLY_KNOWN : 0;
    if (job->counts)
        c->count += misses ? count_of(c->known.mask ? c->known.data : NULL, job->nan_is_missing ? c->y : NULL, n)
                           : (double)n;
    if (smooths || (!empty && !all_inside(job, c, (real)domain->low, (real)domain->high))) {
        c->y = filled_up(c->y, c->n, c->n, 1, room->y);
        bad = bring_inside(job, c, room->y);
        if (smooths)
            smooth(job, c, room);
    }
    return bad;
}

/* Prepares all operands of a chunk of n elements from `at` on, except varying parameters.  Returns the kernel's
 * error code. */
int SHARED(lay_chunk)(const lx_job *job, ptrdiff_t at, ptrdiff_t n, chunk *c, chunk_room *room)
{
    const place p = place_of(at, job->cols);
    c->n = (n + STEP - 1) / STEP * STEP;
    c->x = (const real *)job->input + at;
    if (n < c->n)
        c->x = filled_up(c->x, n, c->n, (real)0.5, room->x);
    look_ahead(job, at, c);
    int bad = lay_targets(job, &p, n, c, room);
    int weighted;
    spread weight = weights_of(job, &p, n, room, &weighted);
    if (n < c->n && weight.mask)
        weight.data = filled_up(weight.data, n, c->n, 0, room->weight);
    c->weight = weight;
    if (weighted)
        c->weighted = WEIGHTED;
    if (job->checks_input && any_outside(c, (real)job->input_low, (real)job->input_high))
        bad |= LX_BAD_INPUT;
    lay_upstream(job, &p, n, weight, c, room);
    return bad;
}

/* The k-th parameter of a chunk, if it varies. */
void SHARED(lay_varying)(const lx_job *job, int k, ptrdiff_t at, ptrdiff_t n, chunk *c, real *room)
{
    const lx_operand *o = &job->varying[k];
    c->varying[k].data = room;
    c->varying[k].mask = 0;
    if (o->layout == LX_ABSENT || o->layout == LX_SCALAR)
        v_store(room, v_set(o->layout == LX_ABSENT ? c->parameter[k] : *(const real *)o->data));
    else {
        const place p = place_of(at, job->cols);
        const real *data = operand_at(o, &p, n, job->cols, room);
        c->varying[k].data = c->n != n ? filled_up(data, n, c->n, (real)0.5, room) : data;
        c->varying[k].mask = -1;
    }
}

/* log1p of n numbers in [0, 1], n a multiple of STEP, in a separate loop: inside a long formula it adds latency */
void SHARED(log1p_of)(const real *unit, ptrdiff_t n, real *to)
{
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store(to + i, v_log1p_unit(v_load(unit + i)));
}

/* ---- sums of rows, and counts ---- */

INLINE void add_to_row(unfinished_row *row, double more)
{
    const double sum = row->sum + more;
#ifdef LX_DOUBLE /* as exact_add */
    const double from_more = sum - row->sum;
    row->rest += (row->sum - (sum - from_more)) + (more - from_more);
#endif
    row->sum = sum;
}

INLINE double total_of_row(const unfinished_row *row)
{
    return row->sum + (fabs(row->rest) <= DBL_MAX ? row->rest : 0);
}

/* Adds n values to the sum of the row in which they begin, and writes the sums of completed rows. */
void SHARED(add_to_rows)(const lx_job *job, ptrdiff_t at, const real *values, ptrdiff_t n, unfinished_row *row)
{
    const place p = place_of(at, job->cols);
    real *rows = (real *)job->value + p.row;
    for (ptrdiff_t i = 0, left = job->cols - p.column; i < n; left = job->cols) {
        const ptrdiff_t end = left < n - i ? i + left : n, complete = left <= n - i;
        if (end - i >= 2 * LANES) {
            exact_sum lanes = exact_of(wide_zero());
            for (; i + LANES <= end; i += LANES)
                lanes = exact_add(lanes, wide_of(v_load(values + i)));
            add_to_row(row, wide_total(lanes.sum));
            row->rest += exact_rest(lanes);
        }
        for (; i < end; i++)
            add_to_row(row, values[i]);
        if (complete) {
            *rows++ = (real)(total_of_row(row) / job->value_divisor);
            row->sum = row->rest = 0;
        }
    }
}

/* The number of known elements among n from p on or, if `weighted`, the sum of their weights. */
static double count_known(const lx_job *job, const place *p, ptrdiff_t n, chunk_room *room, int weighted)
{
    int any = 0;
    spread product = {room->one, 0};
    if (weighted)
        product = weights_of(job, p, n, room, &any);
    const uint8_t *bytes = job->mask.layout == LX_ABSENT ? NULL : bytes_of_mask(job, p, n, room->known);
    const real *y = NULL;
    if (job->nan_is_missing && is_plain(&job->target))
        y = (const real *)job->target.data + p->at;
    else if (job->nan_is_missing) {
        read_targets(job, p, n, room->y);
        y = room->y;
    }
    if (!any)
        return count_of(bytes, y, n);
    const real *weight = as_array(product, n, room->weight);
    for (ptrdiff_t i = 0; i < n; i++)
        room->upstream[i] = (!bytes || bytes[i]) && (!y || y[i] == y[i]) ? weight[i] : 0;
    return sum_of(room->upstream, n);
}

/* The number of known elements, or with `counts` 2 the sum of their weights. */
int SHARED(count_elements)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    chunk_room room;
    v_store(room.one, v_set(1));
    const int plain = job->counts == 1 && (job->mask.layout == LX_ABSENT || job->mask.layout == LX_FULL)
                      && (!job->nan_is_missing || is_plain(&job->target));
    const ptrdiff_t most = plain ? PTRDIFF_MAX : LX_CHUNK; /* counts without a buffer need no chunks */
    for (ptrdiff_t at = first, n; at < last; at += n) {
        const place p = place_of(at, job->cols);
        n = last - at < most ? last - at : most;
        total->count += count_known(job, &p, n, &room, job->counts == 2);
    }
    return 0;
}

/* 1 over the number of known elements of each row, 0 if there is none, into job->value; and how many rows have any. */
int SHARED(count_by_row)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    chunk_room room;
    v_store(room.one, v_set(1));
    for (ptrdiff_t row = first; row < last; row++) {
        double count = 0;
        for (ptrdiff_t column = 0, n; column < job->cols; column += n) {
            const place p = {row * job->cols + column, row, column};
            n = job->cols - column < LX_CHUNK ? job->cols - column : LX_CHUNK;
            count += count_known(job, &p, n, &room, 0);
        }
        ((real *)job->value)[row] = count > 0 ? (real)(1 / count) : 0;
        total->count += count > 0;
    }
    return 0;
}
