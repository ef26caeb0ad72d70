/* Block kernel of the elementwise losses: value, slope and curvature are functions of one logit and its target.
 *
 * A block is worked through in chunks that stay in the first-level cache, in passes (what the others share, values,
 * curvatures, slopes): one fused loop would wait for its own long chains of operations (measured: 1.8 times as long).
 * Targets of other types, and weights that broadcast, are laid out for a chunk before it. */
#include "kernels.h"
#include "simd/vmath.h"

/* One vector of elements, as a loss sees it. */
typedef struct {
    vec x, y, weight, pos_weight, param, shared;
    int has_weight, has_pos_weight; /* constants where a loop is compiled */
} element;

#include LX_LOSS

/* One chunk: pointers to its n elements; weights may be NULL. */
typedef struct {
    ptrdiff_t n;
    const real *x, *y, *value_weight, *grad_weight, *pos_weight, *shared;
    real param, grad_scale;
} chunk;

INLINE element element_at(const chunk *c, ptrdiff_t i, ptrdiff_t count, const real *weight, const int weighted,
                          const int q)
{
    element p;
    p.x = v_load_count(c->x + i, count);
    p.y = count == LANES ? v_load(c->y + i) : v_load_first(c->y + i, count, 1); /* 1: a target that every loss takes */
    p.shared = HAS_SHARED ? v_load_count(c->shared + i, count) : v_zero();
    p.weight = weighted ? v_load_count(weight + i, count) : v_set(1);
    p.pos_weight = q ? v_load_count(c->pos_weight + i, count) : v_set(1);
    p.param = v_set(c->param);
    p.has_weight = weighted;
    p.has_pos_weight = q;
    return p;
}

/* Whole vectors, then the rest: `step` is inlined twice, once with the constant LANES. */
#define FOR_EACH_VECTOR(n, step) \
    do { \
        ptrdiff_t i = 0; \
        for (; i + LANES <= (n); i += LANES) { \
            const ptrdiff_t count = LANES; \
            step; \
        } \
        if (i < (n)) { \
            const ptrdiff_t count = (n) - i; \
            step; \
        } \
    } while (0)

/* The loop for the weights that there are. */
#define WITH_WEIGHTS(weight, pos_weight, loop) \
    do { \
        if (!HAS_POS_WEIGHT || !(pos_weight)) { \
            if (weight) \
                loop(1, 0); \
            else \
                loop(0, 0); \
        } else if (weight) \
            loop(1, HAS_POS_WEIGHT); \
        else \
            loop(0, HAS_POS_WEIGHT); \
    } while (0)

/* What a pass hands to it: its STEP over the chunk c. */
#define LOOP(weighted, q) FOR_EACH_VECTOR(c->n, STEP(weighted, q))

#if HAS_SHARED
/* Two streams from memory and two of weights from a cache are too many for the processor to read ahead by itself: up
 * to twice the time. */
INLINE void prepare_ahead(const real *x, const real *y, ptrdiff_t n, real *shared, const int ahead)
{
#define STEP \
    if (ahead && count == LANES) { \
        PREFETCH(x + AHEAD + i); \
        PREFETCH(y + AHEAD + i); \
    } \
    v_store_count(shared + i, prepare(v_load_count(x + i, count)), count)
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static NOINLINE void prepare_pass(const chunk *c, real *shared)
{
    if (c->value_weight || c->pos_weight)
        prepare_ahead(c->x, c->y, c->n, shared, 1);
    else
        prepare_ahead(c->x, c->y, c->n, shared, 0);
}
#endif

/* `infinite`: whether there may be infinite logits, of which a loss takes the limit.  What it gives for the others does
 * not depend on that. */
INLINE vec value_at(const element *p, const int infinite)
{
    const vec v = finite_value(p);
    return infinite ? v_select(v_is_nan(v), value(p), v) : v;
}

INLINE int values_are_nan(const chunk *given, real *values, int *is_bad, const int infinite)
{
    const chunk copy = *given, *const c = &copy; /* else it is read again after every store, which might change it */
    mask bad = m_none(), nan = m_none();
#define STEP(weighted, q) \
    const element p = element_at(c, i, count, c->value_weight, weighted, q); \
    const vec v = value_at(&p, infinite); \
    bad = m_or(bad, outside_domain(p.y)); \
    nan = m_or(nan, v_is_nan(v)); \
    v_store_count(values + i, v, count)
    WITH_WEIGHTS(c->value_weight, c->pos_weight, LOOP);
#undef STEP
    *is_bad |= m_any(bad);
    return m_any(nan);
}

static NOINLINE void value_pass(const chunk *c, real *values, int *is_bad)
{
    if (values_are_nan(c, values, is_bad, 0))
        values_are_nan(c, values, is_bad, 1);
}

INLINE double sum_of_values(const chunk *given, int *is_bad, const int infinite)
{
    const chunk copy = *given, *const c = &copy;
    mask bad = m_none();
    wide sum = wide_zero();
#define STEP(weighted, q) \
    const element p = element_at(c, i, count, c->value_weight, weighted, q); \
    const vec v = value_at(&p, infinite); \
    bad = m_or(bad, outside_domain(p.y)); \
    sum = wide_add(sum, count == LANES ? v : v_where(m_first(count), v))
    WITH_WEIGHTS(c->value_weight, c->pos_weight, LOOP);
#undef STEP
    *is_bad |= m_any(bad);
    return wide_total(sum);
}

static NOINLINE double total_pass(const chunk *c, int *is_bad, int infinite)
{
    return infinite ? sum_of_values(c, is_bad, 1) : sum_of_values(c, is_bad, 0);
}

#if HAS_LOG1P
/* Without weights, the logarithms of a chunk are taken of products: log1p(a) + log1p(b) = log1p(a + b + ab), in which
 * all terms are positive, so that no digit is lost.  `FACTORS` of them keep the product far from overflow. */
static NOINLINE double log1p_total_pass(const chunk *given, int *is_bad)
{
    enum { CHAINS = 4, FACTORS = 32 };
    const chunk copy = *given, *const c = &copy;
    mask bad = m_none();
    wide sum = wide_zero();
    for (ptrdiff_t i = 0; i < c->n;) {
        vec product[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
#define FACTOR(chain, count) \
    do { \
        const element p = element_at(c, i, count, NULL, 0, 0); \
        bad = m_or(bad, outside_domain(p.y)); \
        sum = wide_add(sum, finite_linear(&p)); /* 0 in lanes beyond the end, and so is `shared` */ \
        product[chain] = v_fma(product[chain], p.shared, product[chain] + p.shared); \
    } while (0)
        for (int k = 0; k < FACTORS && i + CHAINS * LANES <= c->n; k++) {
            UNROLL(4)
            for (int chain = 0; chain < CHAINS; chain++, i += LANES)
                FACTOR(chain, LANES);
        }
        if (i + CHAINS * LANES > c->n)
            for (; i < c->n; i += LANES)
                FACTOR(0, c->n - i < LANES ? c->n - i : LANES);
#undef FACTOR
        for (int chain = 0; chain < CHAINS; chain++)
            sum = wide_add(sum, v_log1p(product[chain]));
    }
    *is_bad |= m_any(bad);
    return wide_total(sum);
}
#endif

/* An element for its derivatives: these are to be multiplied by `weight`, which holds the loss's weight, the upstream
 * gradient and the divisor of a mean. */
INLINE element for_derivatives(element p, const chunk *c)
{
    p.weight = p.has_weight ? p.weight * v_set(c->grad_scale) : v_set(c->grad_scale);
    return p;
}

INLINE void store_slope(real *grad, vec slope, ptrdiff_t count, const int stream)
{
    if (stream && count == LANES)
        v_stream(grad, slope);
    else
        v_store_count(grad, slope, count);
}

INLINE mask slopes(const chunk *given, real *grad, const int stream, const int check)
{
    const chunk copy = *given, *const c = &copy;
    mask bad = m_none();
#define STEP(weighted, q) \
    const element p = for_derivatives(element_at(c, i, count, c->grad_weight, weighted, q), c); \
    if (check) \
        bad = m_or(bad, outside_domain(p.y)); \
    store_slope(grad + i, slope(&p), count, stream)
    WITH_WEIGHTS(c->grad_weight, c->pos_weight, LOOP);
#undef STEP
    return bad;
}

/* Targets are looked at where no pass over the values has done so. */
static NOINLINE int slope_pass(const chunk *c, real *grad, int stream, int check)
{
    if (check)
        return m_any(slopes(c, grad, 0, 1));
    if (stream)
        return m_any(slopes(c, grad, 1, 0));
    return m_any(slopes(c, grad, 0, 0));
}

#if !HAS_SHARED
/* Where both are cheap, one pass for the total and the slopes reads the operands once. */
INLINE double sum_and_slopes(const chunk *given, real *grad, int *is_bad, const int stream)
{
    const chunk copy = *given, *const c = &copy;
    mask bad = m_none();
    wide sum = wide_zero();
#define STEP(weighted, q) \
    const element p = element_at(c, i, count, c->value_weight, weighted, q), d = for_derivatives(p, c); \
    const vec v = value(&p); \
    bad = m_or(bad, outside_domain(p.y)); \
    sum = wide_add(sum, count == LANES ? v : v_where(m_first(count), v)); \
    store_slope(grad + i, slope(&d), count, stream)
    WITH_WEIGHTS(c->value_weight, c->pos_weight, LOOP);
#undef STEP
    *is_bad |= m_any(bad);
    return wide_total(sum);
}

static NOINLINE double total_and_slope_pass(const chunk *c, real *grad, int *is_bad, int stream)
{
    return stream ? sum_and_slopes(c, grad, is_bad, 1) : sum_and_slopes(c, grad, is_bad, 0);
}
#endif

static NOINLINE void curvature_pass(const chunk *given, real *hess)
{
    const chunk copy = *given, *const c = &copy;
#define STEP(weighted, q) \
    const element p = for_derivatives(element_at(c, i, count, c->grad_weight, weighted, q), c); \
    v_store_count(hess + i, curvature(&p), count)
    WITH_WEIGHTS(c->grad_weight, c->pos_weight, LOOP);
#undef STEP
}

/* ---- operands, laid out for a chunk ---- */

/* Where a chunk begins. */
typedef struct {
    ptrdiff_t at, row, column;
} place;

static place place_of(ptrdiff_t at, ptrdiff_t cols)
{
    const place p = {at, at / cols, at % cols};
    return p;
}

static const real *targets_at(const lx_job *job, ptrdiff_t at, ptrdiff_t n, real *buffer)
{
    if (job->target_type == LX_UINT8) {
        const uint8_t *y = (const uint8_t *)job->target.data + at;
        for (ptrdiff_t i = 0; i < n; i++)
            buffer[i] = (real)y[i];
    } else if (job->target_type == LX_INT32) {
        const int32_t *y = (const int32_t *)job->target.data + at;
        for (ptrdiff_t i = 0; i < n; i++)
            buffer[i] = (real)y[i];
    } else {
        const int64_t *y = (const int64_t *)job->target.data + at;
        for (ptrdiff_t i = 0; i < n; i++)
            buffer[i] = (real)y[i];
    }
    return buffer;
}

/* One value a row, spread over its columns; writes up to LANES - 1 beyond n. */
static const real *spread_rows(const real *per_row, place p, ptrdiff_t n, ptrdiff_t cols, real *buffer)
{
    for (ptrdiff_t i = 0, left = cols - p.column; i < n; i += left, left = cols, p.row++)
        for (ptrdiff_t k = i; k < i + left && k < n; k += LANES)
            v_store(buffer + k, v_set(per_row[p.row]));
    return buffer;
}

/* n elements of an operand, or NULL if it is absent.  Those by column come repeated so often that a chunk finds its
 * own. */
static const real *operand_at(const lx_operand *o, place p, ptrdiff_t n, ptrdiff_t cols, real *buffer)
{
    const real *data = o->data;
    switch (o->layout) {
    case LX_FULL:
        return data + p.at;
    case LX_BY_COLUMN:
        return data + p.column;
    case LX_SCALAR:
        return data;
    case LX_BY_ROW:
        return spread_rows(data, p, n, cols, buffer);
    default:
        return NULL;
    }
}

static const real *product(const real *a, const real *b, ptrdiff_t n, real *buffer)
{
    if (!a || !b)
        return a ? a : b;
    for (ptrdiff_t i = 0; i < n; i++)
        buffer[i] = a[i] * b[i];
    return buffer;
}

/* ---- sums of rows ---- */

/* The sum of the row that a chunk ends in, and what is to be added to it. */
typedef struct {
    double sum, rest;
} unfinished_row;

/* Adds n values to the sum of the row at `p`, and writes the rows that they complete. */
static void add_to_rows(const lx_job *job, place p, const real *values, ptrdiff_t n, unfinished_row *row)
{
    real *rows = (real *)job->value + p.row;
    for (ptrdiff_t i = 0, left = job->cols - p.column; i < n; left = job->cols) {
        const ptrdiff_t end = left < n - i ? i + left : n, complete = left <= n - i;
        if (end - i >= 2 * LANES) {
            exact_sum lanes = exact_of(wide_zero());
            for (; i + LANES <= end; i += LANES)
                lanes = exact_add(lanes, wide_of(v_load(values + i)));
            row->sum += wide_total(lanes.sum);
            row->rest += exact_rest(lanes);
        }
        for (; i < end; i++)
            row->sum += values[i];
        if (complete) {
            *rows++ = (real)((row->sum + row->rest) / job->value_divisor);
            row->sum = row->rest = 0;
        }
    }
}

static double total(const chunk *c, int *bad)
{
#if HAS_LOG1P
    const double sum = c->value_weight || c->pos_weight ? total_pass(c, bad, 0) : log1p_total_pass(c, bad);
#else
    const double sum = total_pass(c, bad, 0);
#endif
    return sum == sum ? sum : total_pass(c, bad, 1);
}

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, double *sum)
{
    enum { ROOM = LX_CHUNK + LANES };
    real shared[ROOM] ALIGNED, values[ROOM] ALIGNED, targets[ROOM] ALIGNED;
    real weights[ROOM] ALIGNED, row_weights[ROOM] ALIGNED, upstream[ROOM] ALIGNED, positives[ROOM] ALIGNED;
    const lx_operand sample_weight = {job->sample_weight, job->sample_weight ? LX_BY_ROW : LX_ABSENT};
    const ptrdiff_t cols = job->cols;
    const real *input = job->input;
    real *grad = job->grad, *hess = job->hess;
    unfinished_row row = {0, 0};
    int bad = 0;

    /* Large arrays of malloc's begin 16 bytes behind a cache line: a short first chunk puts the others on lines,
     * without which a stream takes up to 1.6 times as long.  The true address is not asked for, or results would depend
     * on it. */
    ptrdiff_t n = last - first >= 4 * LX_CHUNK ? (ptrdiff_t)(48 / sizeof(real)) : LX_CHUNK;
    for (ptrdiff_t at = first; at < last; at += n, n = LX_CHUNK) {
        n = n < last - at ? n : last - at;
        const place p = place_of(at, cols);
        chunk c = {.n = n, .x = input + at, .shared = shared};
        c.param = (real)job->param;
        c.grad_scale = (real)job->grad_scale;
        c.y = job->target_type == LX_REAL ? operand_at(&job->target, p, n, cols, targets)
                                          : targets_at(job, at, n, targets);
        c.value_weight = product(operand_at(&job->weight, p, n, cols, weights),
                                 operand_at(&sample_weight, p, n, cols, row_weights), n, weights);
        c.pos_weight = operand_at(&job->pos_weight, p, n, cols, positives);

        const int stream = job->stream && n == LX_CHUNK && reals_to_line(grad + at) == 0;
#if HAS_SHARED
        prepare_pass(&c, shared);
#else
        if (job->reduce == LX_TOTAL && grad && !hess) { /* no upstream array, so both have the same weights */
            *sum += total_and_slope_pass(&c, grad + at, &bad, stream);
            continue;
        }
#endif
        if (job->reduce == LX_TOTAL)
            *sum += total(&c, &bad);
        else if (job->reduce == LX_ELEMENTS)
            value_pass(&c, (real *)job->value + at, &bad);
        else if (job->reduce == LX_ROWS) {
            value_pass(&c, values, &bad);
            add_to_rows(job, p, values, n, &row);
        }
        if (grad || hess)
            c.grad_weight = product(c.value_weight, operand_at(&job->grad_output, p, n, cols, upstream), n, upstream);
        if (hess) /* before the slopes: they may take the place of the input */
            curvature_pass(&c, hess + at);
        if (grad)
            bad |= slope_pass(&c, grad + at, stream, job->reduce == LX_NO_VALUE);
    }
    if (job->stream)
        stream_fence();
    return bad;
}
