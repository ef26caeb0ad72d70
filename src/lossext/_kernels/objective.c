/* See objective.h. */
#include "objective.h"
#include "simd/simd.h"

#include <math.h>
#include <string.h>

enum { ROOM = 6144 / sizeof(real), LEAST_ROWS = 128 }; /* scores at a time */

typedef struct {
    ALIGNED real x[ROOM], grad[ROOM], hess[ROOM], value[ROOM], spare[ROOM];
    union {
        real y[ROOM];
        int64_t ids[ROOM];
    } target;
} room;

/* ---- arrays of the library ---- */

/* Lines of rows [first, first + n) of a table whose columns lie together, part `k` of `parts`. */
static void fetch_rows(const lx_table *t, size_t size, ptrdiff_t first, ptrdiff_t n, ptrdiff_t k, ptrdiff_t parts)
{
    const ptrdiff_t bytes = n * t->row * (ptrdiff_t)size, from = bytes * k / parts, to = bytes * (k + 1) / parts;
    const char *memory = (const char *)t->data + first * t->row * (ptrdiff_t)size;
    for (ptrdiff_t at = from; at < to; at += 64)
        PREFETCH_TO_WRITE(memory + at);
}

/* Prefetches part of the next rows while the current ones are processed: the streams are too short for the hardware
 * prefetcher. */
static NOINLINE void fetch_next(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t k, ptrdiff_t parts)
{
    const size_t label = o->target.type == LX_REAL ? sizeof(real) : sizeof(other_real);
    const ptrdiff_t left = o->job.rows - first, rows = n < left ? n : left;
    if (rows <= 0)
        return;
    fetch_rows(&o->raw, sizeof(real), first, rows, k, parts);
    fetch_rows(&o->target, label, first, rows, k, parts);
    fetch_rows(&o->grad, sizeof(float), first, rows, k, parts);
    fetch_rows(&o->hess, sizeof(float), first, rows, k, parts);
}

/* n items at distance `stride`; the loop for contiguous items is vectorised. */
#define COPY(from, stride, n, to, step, each) \
    do { \
        if ((stride) == 1 && (step) == 1) \
            for (ptrdiff_t i = 0; i < (n); i++) \
                (to)[i] = each((from)[i]); \
        else \
            for (ptrdiff_t i = 0; i < (n); i++) \
                (to)[i * (step)] = each((from)[i * (stride)]); \
    } while (0)

static void read_scores(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, real *to, ptrdiff_t step)
{
    const real *from = (const real *)o->raw.data + first * o->raw.row + column * o->raw.column;
    const real shift = o->shift ? (real)o->shift[column] : 0;
#define SHIFTED(x) (x) + shift
    COPY(from, o->raw.row, n, to, step, SHIFTED);
#undef SHIFTED
}

/* For few columns, separate loops are compiled, which the compiler vectorises. */
#define EACH_WIDTH(width, loop) \
    do { \
        if ((width) == 2) \
            loop(2); \
        else if ((width) == 3) \
            loop(3); \
        else if ((width) == 4) \
            loop(4); \
        else \
            loop(width); \
    } while (0)

/* Transposes rows of `cols` numbers to consecutive columns. */
static NOINLINE void part_columns(const real *restrict rows, ptrdiff_t n, ptrdiff_t cols, real *restrict to)
{
#define PART(width) \
    for (ptrdiff_t i = 0; i < n; i++) \
        for (ptrdiff_t c = 0; c < (width); c++) \
    to[c * n + i] = rows[i * (width) + c]
    EACH_WIDTH(cols, PART);
#undef PART
}

/* Transposes columns back to rows. */
static NOINLINE void join_columns(const real *restrict from, ptrdiff_t n, ptrdiff_t cols, float *restrict rows)
{
#define JOIN(width) \
    for (ptrdiff_t i = 0; i < n; i++) \
        for (ptrdiff_t c = 0; c < (width); c++) \
    rows[i * (width) + c] = (float)from[c * n + i]
    EACH_WIDTH(cols, JOIN);
#undef JOIN
}

INLINE int of_whole_rows(const lx_table *t, ptrdiff_t columns) { return t->column == 1 && t->row == columns; }

/* The scores as consecutive columns. */
static void read_columns(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, real *to)
{
    const ptrdiff_t cols = o->job.cols;
    if (cols == 1 || !of_whole_rows(&o->raw, cols)) {
        for (ptrdiff_t c = 0; c < cols; c++)
            read_scores(o, first, n, c, to + c * n, 1);
        return;
    }
    part_columns((const real *)o->raw.data + first * cols, n, cols, to);
    for (ptrdiff_t c = 0; o->shift && c < cols; c++)
        for (ptrdiff_t i = 0; i < n; i++)
            to[c * n + i] += (real)o->shift[c];
}

/* n numbers of one column as `real`, at distance `step`. */
static void read_numbers(const lx_table *t, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, real *to, ptrdiff_t step)
{
    const ptrdiff_t at = first * t->row + column * t->column;
#define AS_REAL(x) (real)(x)
    if (t->type == LX_REAL)
        COPY((const real *)t->data + at, t->row, n, to, step, AS_REAL);
    else
        COPY((const other_real *)t->data + at, t->row, n, to, step, AS_REAL);
#undef AS_REAL
}

/* The same, contiguous: in place or in the buffer. */
static const real *numbers(const lx_table *t, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, real *in)
{
    if (t->type == LX_REAL && t->row == 1)
        return (const real *)t->data + first + column * t->column;
    read_numbers(t, first, n, column, in, 1);
    return in;
}

/* Class ids; true if one is not an integer. */
static int read_ids(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, int64_t *to)
{
    int bad = 0;
#define EACH(type, stride) \
    for (ptrdiff_t i = 0; i < n; i++) { \
        const type y = from[i * (stride)]; \
        const int inside = (y >= (type)-1e9) & (y <= (type)1e9); \
        const int32_t id = (int32_t)(inside ? y : -1); \
        bad |= !inside | ((type)id != y); \
        to[i] = id; \
    }
#define READ(type) \
    do { \
        const type *from = (const type *)o->target.data + first * o->target.row; \
        if (o->target.row == 1) \
            EACH(type, 1) \
        else \
            EACH(type, o->target.row) \
    } while (0)
    if (o->target.type == LX_REAL)
        READ(real);
    else
        READ(other_real);
#undef READ
#undef EACH
    return bad;
}

/* Targets of a column in the form of its loss; NULL if one is not a class. */
static const real *targets(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, real *in)
{
    const int sign = o->loss[0].domain.sign;
    const real no = sign ? -1 : 0, own = (real)column, count = (real)o->job.cols;
    const real *y = numbers(&o->target, first, n, o->against_all ? 0 : column, in);
    int bad = 0;
    if (o->against_all && column == 0)
        for (ptrdiff_t i = 0; i < n; i++) {
            const real label = y[i];
            const int inside = (label >= 0) & (label < count);
            const int32_t id = (int32_t)(inside ? label : -1);
            bad |= !inside | ((real)id != label);
        }
    if (o->against_all)
        for (ptrdiff_t i = 0; i < n; i++)
            in[i] = y[i] == own ? 1 : no;
    else if (sign)
        for (ptrdiff_t i = 0; i < n; i++)
            in[i] = y[i] == 0 ? -1 : y[i];
    else
        in = (real *)y;
    return bad ? NULL : in;
}

/* ---- Hessians ---- */

INLINE real size_of(real a) { return a < 0 ? -a : a; }

/* Entries that have a slope and no curvature get |slope| over the distance from the kink, which is the value over the
 * row's greatest |slope|, and counts as `least` at least.  Columns lie one after the other; `way` is room for n. */
static NOINLINE void curve_to_the_kink(const real *value, const real *grad, real *hess, ptrdiff_t n, ptrdiff_t cols,
                                       real least, real *way)
{
    for (ptrdiff_t i = 0; i < n; i++)
        way[i] = size_of(grad[i]);
    for (ptrdiff_t c = 1; c < cols; c++)
        for (ptrdiff_t i = 0; i < n; i++)
            way[i] = size_of(grad[c * n + i]) > way[i] ? size_of(grad[c * n + i]) : way[i];
    for (ptrdiff_t i = 0; i < n; i++) {
        const real distance = value[i] / way[i]; /* NaN where the slope is 0, and then not used */
        way[i] = distance < least ? least : distance;
    }
    for (ptrdiff_t c = 0; c < cols; c++)
        for (ptrdiff_t i = 0; i < n; i++) {
            const real g = grad[c * n + i], h = hess[c * n + i], curved = size_of(g) / way[i];
            hess[c * n + i] = ((h <= 0) & (g != 0)) ? curved : h;
        }
}

static int any_bare(const real *grad, const real *hess, ptrdiff_t n)
{
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        found |= (hess[i] <= 0) & (grad[i] != 0);
    return found;
}

/* Hessians equal to the loss's weight, everywhere or where the slope is not 0. */
static NOINLINE void put_constant(int rule, const real *grad, const real *missing, real *hess, ptrdiff_t n, real weight)
{
    const real flat = rule == LX_CONSTANT ? weight : 0;
    for (ptrdiff_t i = 0; i < n; i++)
        hess[i] = grad[i] == 0 ? flat : weight;
    if (missing) /* NaN */
        for (ptrdiff_t i = 0; i < n; i++)
            hess[i] = missing[i] != missing[i] ? 0 : hess[i];
}

/* Runs the loss on n rows of `cols` columns; afterwards the scores in the buffer are no longer needed. */
static int run(const lx_objective *o, lx_job *job, room *r, real *grad, real *hess, ptrdiff_t n, ptrdiff_t cols,
               const double *constant)
{
    const int to_the_kink = o->rule == LX_TO_THE_KINK;
    lx_total total = {0, 0, 0};
    job->rows = n;
    job->grad = grad;
    job->hess = o->rule == LX_CURVATURE ? hess : NULL;
    job->value = r->value;
    job->reduce = to_the_kink ? LX_ROWS : LX_NO_VALUE;
    const ptrdiff_t units = o->of_rows ? n : n * cols;
    if (o->kernel(job, 0, units, &total))
        return LX_BAD_TARGET;
    if (to_the_kink)
        memset(hess, 0, (size_t)(n * cols) * sizeof(real));
    else if (o->rule != LX_CURVATURE)
        put_constant(o->rule, grad, job->nan_is_missing ? job->target.data : NULL, hess, n * cols, (real)*constant);
    if (o->kinked && (to_the_kink || any_bare(grad, hess, n * cols))) {
        if (!to_the_kink) {
            job->grad = job->hess = NULL;
            job->reduce = LX_ROWS;
            o->kernel(job, 0, units, &total);
        }
        curve_to_the_kink(r->value, grad, hess, n, cols, (real)o->least, r->x);
    }
    return 0;
}

/* ---- results for the library ---- */

INLINE real at_least(real h, real floor) { return h < floor ? floor : h; } /* NaN stays */

/* a * w where 0 * inf is 0. */
INLINE real weighted(real a, real w)
{
    const real product = a * w;
    return ((product != product) & (a == a) & (w == w)) ? 0 : product;
}

/* n derivatives with factor, floor and weights. */
static NOINLINE void weigh(const lx_objective *o, real *g, real *h, const real *w, ptrdiff_t n)
{
    const real factor = (real)o->factor, floor = (real)o->floor;
    for (ptrdiff_t i = 0; w && i < n; i++)
        g[i] = weighted(g[i], w[i]);
    if (!w)
        for (ptrdiff_t i = 0; i < n; i++)
            h[i] = at_least(h[i] * factor, floor);
    else if (o->kinked)
        for (ptrdiff_t i = 0; i < n; i++)
            h[i] = weighted(at_least(h[i] * factor, floor), w[i]);
    else
        for (ptrdiff_t i = 0; i < n; i++) {
            /* as in the built-in objectives, both change their sign with that of the weight */
            const real curved = h[i] * factor, weight = w[i];
            const real before = weight < 0 ? at_least(curved, floor) : curved, after = weighted(before, weight);
            const real least = weight < 0 ? -REAL_MAX : floor;
            h[i] = at_least(after, least);
        }
}

enum { SUMS = 32 }; /* independent sums, so that the loop is vectorised */

/* h^(-1/2) of 2^-126 <= h < infinity, from its exponent and Newton's steps (Lomont 2003): half the time of a root and a
 * division. */
INLINE float reciprocal_root(float h)
{
    int32_t bits;
    float y;
    memcpy(&bits, &h, sizeof bits);
    bits = 0x5f375a86 - (bits >> 1);
    memcpy(&y, &bits, sizeof y);
    y *= 1.5f - 0.5f * h * y * y;
    y *= 1.5f - 0.5f * h * y * y;
    y *= 1.5f - 0.5f * h * y * y;
    return y;
}

/* Adds sum and number of (f h)^(-1/2), of which there is `room` for n, and keeps the greatest f h; in loops that become
 * vectors. */
static NOINLINE void add_spread(const real *hess, float factor, ptrdiff_t n, double *to, real *room)
{
    float sum[SUMS] = {0}, most[SUMS] = {0}, *root = (float *)room;
    int count = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const float h = (float)hess[i] * factor;
        const int curved = (h >= 1.175494351e-38f) & (h <= 3.402823466e38f);
        const float some = reciprocal_root(curved ? h : 1);
        root[i] = curved ? some : 0;
        count += curved;
    }
    ptrdiff_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int k = 0; k < SUMS; k++) {
            const float h = (float)hess[i + k];
            sum[k] += root[i + k];
            most[k] = h > most[k] ? h : most[k];
        }
    for (; i < n; i++) {
        sum[0] += root[i];
        most[0] = (float)hess[i] > most[0] ? (float)hess[i] : most[0];
    }
    for (int k = 0; k < SUMS; k++) {
        to[0] += sum[k];
        to[2] = most[k] * factor > to[2] ? most[k] * factor : to[2];
    }
    to[1] += count;
}

/* Writes n derivatives to their destination at distance `step`. */
static void write(const lx_table *to, ptrdiff_t at, ptrdiff_t step, const real *from, ptrdiff_t n)
{
#define AS_FLOAT(x) (float)(x)
    if (from != (const void *)((float *)to->data + at))
        COPY(from, 1, n, (float *)to->data + at, step, AS_FLOAT);
#undef AS_FLOAT
}

/* Where to compute results for an array of the library: in place if it holds contiguous `real`, else in the buffer. */
static real *place(const lx_table *to, ptrdiff_t at, int side_by_side, real *in)
{
    return side_by_side && sizeof(real) == sizeof(float) ? (real *)((float *)to->data + at) : in;
}

/* Writes derivatives of consecutive columns to their destination. */
static void write_columns(const lx_table *to, ptrdiff_t first, ptrdiff_t n, ptrdiff_t cols, const real *from)
{
    if (cols > 1 && of_whole_rows(to, cols))
        join_columns(from, n, cols, (float *)to->data + first * cols);
    else
        for (ptrdiff_t c = 0; c < cols; c++)
            write(to, first * to->row + c * to->column, to->row, from + c * n, n);
}

/* Weights and spread of n rows of a column. */
static void finish_column(const lx_objective *o, room *r, real *g, real *h, ptrdiff_t first, ptrdiff_t n,
                          ptrdiff_t column)
{
    if (o->kinked)
        add_spread(h, (float)o->factor, n, o->spread + 3 * (first / o->block * o->job.cols + column), r->value);
    weigh(o, g, h, o->weight.data ? numbers(&o->weight, first, n, 0, r->spare) : NULL, n);
    if (o->positive != 1) {
        const real *y = numbers(&o->target, first, n, column, r->spare);
        for (ptrdiff_t i = 0; i < n; i++) {
            const real factor = y[i] == 1 ? (real)o->positive : 1;
            g[i] *= factor;
            h[i] *= factor;
        }
    }
}

/* A few rows of a row loss, as rows if they lie so at both ends, else column by column.  Two classes with one score
 * have the scores 0 and this. */
static int derive_rows(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    const ptrdiff_t columns = o->job.cols, cols = o->loss->cols, added = cols - columns;
    const int rows = columns == cols && !o->kinked && of_whole_rows(&o->raw, cols) && of_whole_rows(&o->grad, cols)
                     && of_whole_rows(&o->hess, cols);
    real *g = place(&o->grad, first * cols, rows, r->grad), *h = place(&o->hess, first * cols, rows, r->hess);
    lx_job job = *o->loss;
    job.target.data = r->target.ids;
    job.inner = rows ? 1 : n;
    job.input = r->x;
    if (read_ids(o, first, n, r->target.ids))
        return LX_BAD_TARGET;
    for (ptrdiff_t i = 0; added && i < n; i++)
        r->x[i] = 0;
    if (rows && !o->shift)
        job.input = (const real *)o->raw.data + first * cols;
    else if (!rows)
        read_columns(o, first, n, r->x + added * n);
    else
        for (ptrdiff_t c = 0; c < columns; c++)
            read_scores(o, first, n, c, r->x + c, cols);
    if (run(o, &job, r, g, h, n, cols, o->constant))
        return LX_BAD_TARGET;
    if (rows) {
        for (ptrdiff_t c = 0; o->weight.data && c < cols; c++)
            read_numbers(&o->weight, first, n, 0, r->spare + c, cols);
        weigh(o, g, h, o->weight.data ? r->spare : NULL, n * cols);
        write(&o->grad, first * cols, 1, g, n * cols);
        write(&o->hess, first * cols, 1, h, n * cols);
        return 0;
    }
    for (ptrdiff_t c = 0; c < columns; c++) {
        fetch_next(o, first + n, n, c, columns);
        finish_column(o, r, g + (c + added) * n, h + (c + added) * n, first, n, c);
    }
    write_columns(&o->grad, first, n, columns, g + added * n);
    write_columns(&o->hess, first, n, columns, h + added * n);
    return 0;
}

/* A few rows of a column of a loss of one score, from x to g and h. */
static int derive_column(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, const real *x, real *g,
                         real *h, room *r)
{
    lx_job job = o->loss[column];
    job.input = x;
    job.target.data = targets(o, first, n, column, r->target.y);
    if (!job.target.data || run(o, &job, r, g, h, n, 1, o->constant ? o->constant + column : NULL))
        return LX_BAD_TARGET;
    finish_column(o, r, g, h, first, n, column);
    return 0;
}

/* All columns of a column-major table. */
static int derive_columns(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    for (ptrdiff_t c = 0; c < o->job.cols; c++) {
        const ptrdiff_t at = first * o->grad.row + c * o->grad.column;
        real *g = place(&o->grad, at, o->grad.row == 1, r->grad), *h = place(&o->hess, at, o->hess.row == 1, r->hess);
        const real *x = (const real *)o->raw.data + first + c * o->raw.column;
        if (o->raw.row != 1 || o->shift) {
            read_scores(o, first, n, c, r->x, 1);
            x = r->x;
        }
        if (derive_column(o, first, n, c, x, g, h, r))
            return LX_BAD_TARGET;
        write(&o->grad, at, o->grad.row, g, n);
        write(&o->hess, at, o->hess.row, h, n);
    }
    return 0;
}

/* A few columns of a row-major table. */
static int derive_joined(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    read_columns(o, first, n, r->x);
    for (ptrdiff_t c = 0; c < o->job.cols; c++) {
        fetch_next(o, first + n, n, c, o->job.cols);
        if (derive_column(o, first, n, c, r->x + c * n, r->grad + c * n, r->hess + c * n, r))
            return LX_BAD_TARGET;
    }
    write_columns(&o->grad, first, n, o->job.cols, r->grad);
    write_columns(&o->hess, first, n, o->job.cols, r->hess);
    return 0;
}

int SHARED(objective_derive)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const lx_objective *o = (const lx_objective *)job;
    const ptrdiff_t cols = o->of_rows ? o->loss->cols : o->job.cols;
    const int apart = (o->raw.row == 1) & (o->grad.row == 1) & (o->hess.row == 1);
    const int few = cols <= ROOM / LEAST_ROWS;
    const ptrdiff_t step = o->of_rows || (few && !apart) ? ROOM / cols : apart ? ROOM : LEAST_ROWS;
    room r;
    (void)total;
    for (ptrdiff_t i = first; i < last; i += step) {
        const ptrdiff_t n = last - i < step ? last - i : step;
        if (o->of_rows      ? derive_rows(o, i, n, &r)
            : few && !apart ? derive_joined(o, i, n, &r)
                            : derive_columns(o, i, n, &r))
            return LX_BAD_TARGET;
    }
    return 0;
}

/* What came into the Hessians of n rows of a column after the floor. */
static void factors(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, float *to, real *in)
{
    const real *w = o->weight.data ? numbers(&o->weight, first, n, 0, in) : NULL;
    for (ptrdiff_t i = 0; i < n; i++)
        to[i] = w ? (float)w[i] : 1;
    const real *y = o->positive != 1 ? numbers(&o->target, first, n, column, in) : NULL;
    for (ptrdiff_t i = 0; y && i < n; i++)
        to[i] *= y[i] == 1 ? (float)o->positive : 1;
}

/* Limits n Hessians, at distance `step`, to `most` times their factors. */
static void limit_weighted(float *hess, ptrdiff_t step, ptrdiff_t n, float most, const float *factor)
{
#define EACH(step) \
    for (ptrdiff_t i = 0; i < n; i++) { \
        const float h = hess[i * (step)], bound = most * factor[i]; \
        const float low = h < bound ? bound : h, high = h > bound ? bound : h; \
        hess[i * (step)] = factor[i] < 0 ? low : high; \
    }
    if (step == 1)
        EACH(1)
    else
        EACH(step)
#undef EACH
}

#define LIMITED(h, most) ((h) > (most) ? (most) : (h))

int SHARED(objective_limit)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const lx_objective *o = (const lx_objective *)job;
    const int weighs = o->weight.data || o->positive != 1, rows = !weighs && of_whole_rows(&o->hess, job->cols);
    const ptrdiff_t step = !rows ? ROOM : job->cols < ROOM ? ROOM / job->cols : 1;
    real in[ROOM];
    float factor[ROOM];
    (void)total;
    for (ptrdiff_t from = first, n; from < last; from += n) {
        n = last - from < step ? last - from : step;
        if (rows) {
            float *hess = (float *)o->hess.data + from * job->cols;
            for (ptrdiff_t at = 0, count; at < n * job->cols; at += count) {
                count = n * job->cols - at < o->limits ? n * job->cols - at : o->limits;
                for (ptrdiff_t i = 0; i < count; i++)
                    hess[at + i] = LIMITED(hess[at + i], o->limit[i]);
            }
        }
        for (ptrdiff_t c = 0; !rows && c < job->cols; c++) {
            float *hess = (float *)o->hess.data + c * o->hess.column + from * o->hess.row;
            const float most = o->limit[c];
            if (weighs) {
                factors(o, from, n, c, factor, in);
                limit_weighted(hess, o->hess.row, n, most, factor);
            } else
                for (ptrdiff_t i = 0; i < n; i++)
                    hess[i] = LIMITED(hess[i], most);
        }
    }
    return 0;
}
