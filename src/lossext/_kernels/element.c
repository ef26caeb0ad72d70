/* Block kernel of an element loss: LX_LOSS is its header.
 *
 * A block is processed in chunks that stay in the L1 cache, in separate passes: shared subexpressions, values,
 * curvatures, slopes.  Losses without a shared subexpression are cheap enough for one pass over value and slope;
 * costly losses have one pass for all results, which computes their other subexpressions once, in registers.  Long
 * dependency chains, such as log1p of the shared part, stay separate passes: fused, their latency would dominate. */
#include "element.h"

#include LX_LOSS

#ifdef HAS_SHARED
enum { SHARES = 1 };
#else
enum { SHARES = 0 };
#endif
#ifdef HAS_SHARED_LOG1P
enum { SHARES_LOG1P = 1 };
#else
enum { SHARES_LOG1P = 0 };
#endif
#ifdef COSTLY
enum { CHEAP = 0 };
#else
enum { CHEAP = !SHARES };
#endif
#ifndef PARTS
INLINE parts parts_of(E e) { return e.part; }
#endif
#ifdef VARYING
enum { VARIES = 1 };
#else
enum { VARIES = 0 };
#endif
#ifdef HAS_LIMIT
enum { TAKES_LIMIT = 1 };
#else
enum { TAKES_LIMIT = 0 };
INLINE vec limit(E e) { return value(e); }
#endif

enum { N_PARAMETERS = (sizeof(E) - sizeof(parts)) / sizeof(vec) - 5 };

INLINE E element_at(const chunk *c, ptrdiff_t i)
{
    E e;
    memset(&e.part, 0, sizeof e.part);
    vec *parameters = (vec *)(&e.part + 1);
    for (int k = 0; k < (int)N_PARAMETERS; k++)
        parameters[k] = VARIES ? spread_at(c->varying[k], i) : v_set(c->parameter[k]);
    e.x = v_load(c->x + i);
    e.y = v_load(c->y + i);
#ifdef HAS_REST
    e.rest = (one() - e.y) - spread_at(c->lost, i);
#else
    e.rest = v_zero();
#endif
    e.shared = SHARES ? v_load(c->shared + i) : v_zero(); /* shared() itself does not use it */
    e.log1p = SHARES_LOG1P ? v_load(c->log1p + i) : v_zero();
    return e;
}

/* Sums of values in double lanes; for doubles, partial sums of sixteen vectors are added with their rounding error,
 * so that the error of a total depends neither on its length nor on the number of lanes. */
enum { SETTLE = 16 };
typedef struct {
    wide plain;
    exact_sum settled;
} tally;

INLINE tally tally_zero(void)
{
    const tally t = {wide_zero(), exact_of(wide_zero())};
    return t;
}

INLINE void tally_settle(tally *t)
{
    t->settled = exact_add(t->settled, t->plain);
    t->plain = wide_zero();
}

INLINE void tally_add(tally *t, vec v, ptrdiff_t i)
{
    t->plain = wide_add(t->plain, v);
    if (sizeof(real) == sizeof(double) && i % (SETTLE * LANES) == (SETTLE - 1) * LANES)
        tally_settle(t);
}

/* a if the element counts, else 0; not by a weight of 0, since a may be NaN. */
INLINE vec if_known(const chunk *c, vec a, ptrdiff_t i) { return v_where(known_at(c, i), a); }

INLINE vec weighted_value(const chunk *c, E e, ptrdiff_t i, const int weighted)
{
    if (weighted == WEIGHTED)
        return if_known(c, times(value(e), spread_at(c->weight, i)), i);
    return weighted ? if_known(c, value(e), i) : value(e);
}

/* A derivative times its weights. */
INLINE vec scaled(const chunk *c, vec derivative, ptrdiff_t i)
{
    return if_known(c, times(derivative, spread_at(c->grad_weight, i) * v_set(c->grad_scale)), i);
}

INLINE vec weighted_slope(const chunk *c, E e, ptrdiff_t i, const int weighted)
{
    if (weighted == WEIGHTED)
        return scaled(c, slope(e), i);
    const vec s = slope(e) * v_set(c->grad_scale);
    return weighted ? if_known(c, s, i) : s;
}

INLINE void store(real *to, vec v, const int stream)
{
    if (stream)
        v_stream(to, v);
    else
        v_store(to, v);
}

/* Passes copy the chunk struct: otherwise the compiler would reload it after every store, which might alias it. */
#define FOR_EACH_VECTOR_AHEAD(given, prefetches, step) \
    do { \
        const chunk copy = *(given), *const c = &copy; \
        for (ptrdiff_t i = 0; i < c->n; i += LANES) { \
            const E e = element_at(c, i); \
            if (prefetches) { \
                PREFETCH(c->next_x + i); \
                PREFETCH(c->next_y + i * c->size_of_y); \
            } \
            step; \
        } \
    } while (0)
#define FOR_EACH_VECTOR(given, step) FOR_EACH_VECTOR_AHEAD(given, 0, step)

#ifdef HAS_SHARED
static NOINLINE void shared_pass(const chunk *given, real *to)
{
    FOR_EACH_VECTOR_AHEAD(given, c->prefetches, v_store(to + i, shared(e)));
}
#endif

#ifdef COSTLY
INLINE vec curvature_of(E e, int kind)
{
#ifdef HAS_MAJORIZER
    if (kind == LX_MAJORIZER)
        return majorizer(e);
#endif
#ifdef HAS_FISHER
    if (kind == LX_FISHER)
        return fisher(e);
#endif
#ifdef HAS_RESIDUAL
    if (kind == LX_RESIDUAL)
        return residual(e);
#endif
    return curvature(e);
}

INLINE vec value_or_limit(E e)
{
    const vec v = value(e);
    if (!TAKES_LIMIT || !m_any(v_is_nan(v)))
        return v;
    return v_select(v_is_nan(v), limit(e), v);
}

/* Computes the results whose pointer is not NULL.  A vector is read before any of its results is written, as they may
 * overwrite the input. */
static NOINLINE void results(const lx_job *job, const chunk *given, real *value, real *slopes, real *hess, int stream,
                             tally *total)
{
    const int kind = job->curvature;
    tally sum = *total;
#define STEP_FOR_ALL \
    E full = e; \
    full.part = parts_of(e); \
    if (value) { \
        const vec v = value_or_limit(full); \
        const vec weighted = c->weighted ? if_known(c, times(v, spread_at(c->weight, i)), i) : v; \
        tally_add(&sum, weighted, i); \
        v_store(value + i, weighted); \
    } \
    if (hess) \
        v_store(hess + i, scaled(c, curvature_of(full, kind), i)); \
    if (slopes) { \
        const vec s = slope(full); \
        store(slopes + i, c->grad_weighted ? scaled(c, s, i) : s * v_set(c->grad_scale), stream); \
    }
    FOR_EACH_VECTOR_AHEAD(given, !SHARES && c->prefetches, STEP_FOR_ALL);
#undef STEP_FOR_ALL
    *total = sum;
}
#else

/* A pass is compiled for chunks with and without weights and, for cheap losses, for chunks with missing elements but
 * no weights, as weights would cost them a fifth of their time. */
#define EACH_WAY(weighted, loop) \
    do { \
        if (CHEAP && weighted == PARTLY_KNOWN) \
            loop(PARTLY_KNOWN); \
        else if (weighted) \
            loop(WEIGHTED); \
        else \
            loop(0); \
    } while (0)

/* A loop is also compiled with and without streaming stores: LOOP_OF(weighted, stream). */
#define LOOP_TO_CACHES(weighted) LOOP_OF(weighted, 0)
#define LOOP_AROUND_CACHES(weighted) LOOP_OF(weighted, 1)
#define STREAM_OR_NOT(weighted) \
    do { \
        if (stream) \
            EACH_WAY(((weighted) ? WEIGHTED : 0), LOOP_AROUND_CACHES); \
        else \
            EACH_WAY(weighted, LOOP_TO_CACHES); \
    } while (0)

static NOINLINE void value_pass(const chunk *given, real *to, tally *total)
{
    tally sum = *total;
#define LOOP(weighted) \
    FOR_EACH_VECTOR_AHEAD(given, CHEAP && c->prefetches, const vec v = weighted_value(c, e, i, weighted); \
                          tally_add(&sum, v, i); v_store(to + i, v))
    EACH_WAY(given->weighted, LOOP);
#undef LOOP
    *total = sum;
}

/* Replaces values of value_pass that are NaN by the limit. */
static NOINLINE void limit_pass(const chunk *given, real *to, tally *total)
{
    FOR_EACH_VECTOR(given, const vec v = v_load(to + i); const vec l = times(limit(e), spread_at(c->weight, i));
                    const vec w = v_select(v_is_nan(v), l, v); tally_add(total, w, i); v_store(to + i, w));
}

static NOINLINE void slope_pass(const chunk *given, real *to, const int stream)
{
#define LOOP(weighted) \
    FOR_EACH_VECTOR_AHEAD(given, CHEAP && stream, store(to + i, weighted_slope(c, e, i, weighted), stream))
    EACH_WAY(given->grad_weighted, LOOP);
#undef LOOP
}

#ifndef HAS_SHARED
/* For cheap losses: one pass for the total and the slopes. */
static NOINLINE void value_and_slope_pass(const chunk *given, real *to, tally *total, const int stream)
{
    tally sum = *total;
#define STEP_OF(weighted, stream) \
    const vec s = weighted_slope(c, e, i, weighted); \
    tally_add(&sum, weighted_value(c, e, i, weighted), i); \
    store(to + i, s, stream)
#define LOOP_OF(weighted, stream) FOR_EACH_VECTOR_AHEAD(given, stream, STEP_OF(weighted, stream))
    STREAM_OR_NOT(given->weighted);
#undef LOOP_OF
#undef STEP_OF
    *total = sum;
}
#endif

#define CURVATURE_PASS(kind) \
    static NOINLINE void kind##_pass(const chunk *given, real *to) \
    { \
        FOR_EACH_VECTOR(given, v_store(to + i, scaled(c, kind(e), i))); \
    }
CURVATURE_PASS(curvature)
#ifdef HAS_MAJORIZER
CURVATURE_PASS(majorizer)
#else
#define majorizer_pass curvature_pass
#endif
#ifdef HAS_FISHER
CURVATURE_PASS(fisher)
#else
#define fisher_pass curvature_pass
#endif
#ifdef HAS_RESIDUAL
CURVATURE_PASS(residual)
#else
#define residual_pass curvature_pass
#endif

static void curvatures(int kind, const chunk *c, real *to)
{
    if (kind == LX_MAJORIZER)
        majorizer_pass(c, to);
    else if (kind == LX_FISHER)
        fisher_pass(c, to);
    else if (kind == LX_RESIDUAL)
        residual_pass(c, to);
    else
        curvature_pass(c, to);
}

#ifdef HAS_LOG1P
/* Without weights, sums of logarithms are computed as logarithms of products: log1p(a) + log1p(b) =
 * log1p(a + b + ab), where all terms are positive, so no digits are lost.  Products of 32 factors, in independent
 * chains, stay far from overflow.  It also computes the slopes unless `slopes` is NULL. */
INLINE void add_log1p_total(const chunk *given, real *slopes, tally *total, const int partly)
{
    enum { CHAINS = 4, FACTORS = 8 };
    const chunk copy = *given, *const c = &copy;
    tally sum = *total;
    vec product[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    for (ptrdiff_t i = 0; i < c->n; i += CHAINS * LANES) {
        UNROLL(4)
        for (int k = 0; k < CHAINS; k++) {
            const ptrdiff_t at = i + k * LANES;
            const E e = element_at(c, at);
            const vec a = partly ? if_known(c, e.shared, at) : e.shared;
            tally_add(&sum, partly ? if_known(c, linear(e), at) : linear(e), at);
            product[k] = v_fma(product[k], a, product[k] + a);
            if (slopes) {
                const vec s = plain_slope(e) * v_set(c->grad_scale);
                v_store(slopes + at, partly ? if_known(c, s, at) : s);
            }
        }
        if (i / (CHAINS * LANES) % FACTORS == FACTORS - 1 || i + CHAINS * LANES == c->n) {
            vec all = v_zero();
            for (int k = 0; k < CHAINS; k++) {
                all = v_fma(all, product[k], all + product[k]);
                product[k] = v_zero();
            }
            sum.plain = wide_add(sum.plain, v_log1p(all));
        }
    }
    *total = sum;
}

static NOINLINE void log1p_total_pass(const chunk *c, real *slopes, tally *total)
{
    if (c->weighted)
        add_log1p_total(c, slopes, total, 1);
    else
        add_log1p_total(c, slopes, total, 0);
}

INLINE int takes_products(const lx_job *job, const chunk *c)
{
    int plain = job->reduce == LX_TOTAL && c->weighted < WEIGHTED;
    for (int k = 0; k < (int)N_PARAMETERS; k++)
        plain = plain && job->varying[k].layout == LX_ABSENT;
    return plain;
}
#else
INLINE int takes_products(const lx_job *job, const chunk *c) { return (void)job, (void)c, 0; }
static void log1p_total_pass(const chunk *c, real *slopes, tally *total) { (void)c, (void)slopes, (void)total; }
#endif

/* Writes values to `to` and adds them to the total, which becomes NaN only if the limit of a value is; also writes
 * the slopes unless `slopes` is NULL. */
static void values(const lx_job *job, const chunk *c, real *to, real *slopes, tally *total)
{
    tally sum = *total;
    if (takes_products(job, c))
        log1p_total_pass(c, slopes, &sum);
    else
        value_pass(c, to, &sum);
    if (TAKES_LIMIT) {
        const double check = wide_total(sum.plain) + wide_total(sum.settled.sum);
        if (check != check) {
            if (takes_products(job, c))
                value_pass(c, to, &sum);
            sum = *total;
            limit_pass(c, to, &sum);
        }
    }
    *total = sum;
}

/* Whether log1p_total_pass can compute the slopes, too: not over the input, which limits read again. */
INLINE int takes_slopes(const lx_job *job, const chunk *c, const real *slopes, int stream)
{
    return slopes && slopes != c->x && !stream && c->grad_weighted < WEIGHTED && takes_products(job, c);
}

static void results(const lx_job *job, const chunk *c, real *value, real *slopes, real *hess, int stream, tally *total)
{
#ifndef HAS_SHARED
    if (job->reduce == LX_TOTAL && slopes && !hess && !TAKES_LIMIT) { /* value and slope have the same weights */
        value_and_slope_pass(c, slopes, total, stream);
        return;
    }
#endif
    const int along = !hess && takes_slopes(job, c, slopes, stream);
    if (value)
        values(job, c, value, along ? slopes : NULL, total);
    if (hess) /* before the slopes, which may overwrite the input */
        curvatures(job->curvature, c, hess);
    if (slopes && !along)
        slope_pass(c, slopes, stream);
}
#endif

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    chunk_room room;
    ALIGNED real shared_room[SHARES ? ROOM : 1], log1p_room[SHARES_LOG1P ? ROOM : 1];
    ALIGNED real value_room[ROOM], grad_room[ROOM], hess_room[ROOM];
    ALIGNED real varying_room[VARIES ? N_PARAMETERS : 1][ROOM];
    unfinished_row row = {0, 0};
    tally sum = tally_zero();
    chunk c;
    int bad = 0;
    SHARED(begin_chunks)(job, &c, &room);
    c.shared = shared_room;
    c.log1p = log1p_room;

    /* Large arrays from malloc begin 16 bytes after a cache line: a short first chunk aligns the others to cache
     * lines, without which a stream takes up to 1.6 times as long.  The actual address is not used, so that
     * results do not depend on it.  In the caches this costs more than it saves, as elements that fill no whole
     * vectors are copied. */
    ptrdiff_t n = c.prefetches && last - first >= 4 * LX_CHUNK ? (ptrdiff_t)(48 / sizeof(real)) : LX_CHUNK;
    for (ptrdiff_t at = first; at < last; at += n, n = LX_CHUNK) {
        n = n < last - at ? n : last - at;
        if (n > STEP)
            n -= n % STEP; /* the remainder becomes a separate short chunk */
        bad |= SHARED(lay_chunk)(job, at, n, &c, &room);
        for (int k = 0; VARIES && k < (int)N_PARAMETERS; k++)
            SHARED(lay_varying)(job, k, at, n, &c, varying_room[k]);
#ifdef HAS_SHARED
        shared_pass(&c, shared_room);
        if (SHARES_LOG1P)
            SHARED(log1p_of)(shared_room, c.n, log1p_room);
#endif
        real *value = job->reduce == LX_ELEMENTS ? (real *)job->value + at : value_room;
        real *grad = job->grad ? (real *)job->grad + at : NULL, *hess = job->hess ? (real *)job->hess + at : NULL;
        const int whole = c.n == n, stream = whole && job->stream && reals_to_line(grad) == 0;
        real *values_to = job->reduce == LX_NO_VALUE ? NULL : whole ? value : value_room;
        results(job, &c, values_to, !grad || whole ? grad : grad_room, hess ? hess_room : NULL, stream, &sum);
        if (job->reduce == LX_ROWS)
            SHARED(add_to_rows)(job, at, value_room, n, &row);
        if (!whole && job->reduce == LX_ELEMENTS)
            memcpy(value, value_room, (size_t)n * sizeof(real));
        if (!whole && grad)
            memcpy(grad, grad_room, (size_t)n * sizeof(real));
        if (hess)
            memcpy(hess, hess_room, (size_t)n * sizeof(real));
    }
    tally_settle(&sum);
    total->sum += wide_total(sum.settled.sum);
    total->rest += exact_rest(sum.settled);
    total->count += c.count;
    if (job->stream)
        stream_fence();
    return bad;
}
