/* See objective.h. */
#include "objective.h"
#include "simd/simd.h"

#include <math.h>

enum { ROOM = 6144 / sizeof(real) }; /* scores at a time */

typedef struct {
    ALIGNED real x[ROOM], grad[ROOM], hess[ROOM], value[ROOM];
    union {
        real y[ROOM];
        int64_t ids[ROOM];
    } target;
} room;

/* ---- what the library has ---- */

/* n items, `stride` apart; without one the loop is a vector's. */
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

/* n numbers of one column, as `real`, `step` apart. */
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

/* Class ids; true if one is no integer. */
static int read_ids(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, int64_t *to)
{
    int bad = 0;
#define READ(type) \
    do { \
        const type *from = (const type *)o->target.data + first * o->target.row; \
        for (ptrdiff_t i = 0; i < n; i++) { \
            const type y = from[i * o->target.row]; \
            const int inside = y >= (type)-1e9 && y <= (type)1e9; \
            const int32_t id = inside ? (int32_t)y : -1; \
            bad |= !inside || (type)id != y; \
            to[i] = id; \
        } \
    } while (0)
    if (o->target.type == LX_REAL)
        READ(real);
    else
        READ(other_real);
#undef READ
    return bad;
}

/* Targets of a column as its loss takes them; true if one is no class. */
static int read_targets(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, real *to)
{
    const int sign = o->loss[0].domain.sign;
    const real no = sign ? -1 : 0, own = (real)column, count = (real)o->job.cols;
    int bad = 0;
    read_numbers(&o->target, first, n, o->against_all ? 0 : column, to, 1);
    for (ptrdiff_t i = 0; o->against_all && column == 0 && i < n; i++) {
        const int inside = to[i] >= 0 && to[i] < count;
        bad |= !inside || (real)(int32_t)(inside ? to[i] : 0) != to[i];
    }
    for (ptrdiff_t i = 0; o->against_all && i < n; i++)
        to[i] = to[i] == own ? 1 : no;
    for (ptrdiff_t i = 0; sign && !o->against_all && i < n; i++)
        to[i] = to[i] == 0 ? -1 : to[i];
    return bad;
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
        const real distance = value[i] / way[i]; /* NaN where there is no slope, and is not looked at */
        way[i] = distance < least ? least : distance;
    }
    for (ptrdiff_t c = 0; c < cols; c++)
        for (ptrdiff_t i = 0; i < n; i++) {
            const real g = grad[c * n + i], h = hess[c * n + i], curved = size_of(g) / way[i];
            hess[c * n + i] = (h <= 0) & (g != 0) ? curved : h;
        }
}

static int any_bare(const real *grad, const real *hess, ptrdiff_t n)
{
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        found |= (hess[i] <= 0) & (grad[i] != 0);
    return found;
}

/* Runs the loss on n rows, `cols` columns each; then the scores in the room are not needed any more. */
static int run(const lx_objective *o, lx_job *job, room *r, ptrdiff_t n, ptrdiff_t cols, const double *constant)
{
    const int to_the_kink = o->rule == LX_TO_THE_KINK;
    lx_total total = {0, 0, 0};
    job->rows = n;
    job->grad = r->grad;
    job->hess = o->rule == LX_CURVATURE ? r->hess : NULL;
    job->value = r->value;
    job->reduce = to_the_kink ? LX_ROWS : LX_NO_VALUE;
    const ptrdiff_t units = o->of_rows ? n : n * cols;
    if (o->kernel(job, 0, units, &total))
        return LX_BAD_TARGET;
    if (o->rule != LX_CURVATURE)
        for (ptrdiff_t i = 0; i < n * cols; i++)
            r->hess[i] = to_the_kink || (o->rule == LX_CONSTANT_AT_SLOPES && r->grad[i] == 0) ? 0 : (real)*constant;
    for (ptrdiff_t i = 0; o->rule > LX_CURVATURE && o->rule < LX_TO_THE_KINK && job->nan_is_missing && i < n; i++)
        if (r->target.y[i] != r->target.y[i])
            r->hess[i] = 0;
    if (o->kinked && (to_the_kink || any_bare(r->grad, r->hess, n * cols))) {
        if (!to_the_kink) {
            job->grad = job->hess = NULL;
            job->reduce = LX_ROWS;
            o->kernel(job, 0, units, &total);
        }
        curve_to_the_kink(r->value, r->grad, r->hess, n, cols, (real)o->least, r->x);
    }
    return 0;
}

/* ---- back to the library ---- */

INLINE real at_least(real h, real floor) { return h < floor ? floor : h; } /* NaN stays */

/* a * w where 0 * inf is 0. */
INLINE real weighted(real a, real w)
{
    const real product = a * w;
    return (product != product) & (a == a) & (w == w) ? 0 : product;
}

/* n derivatives with factor, floor and weights; of a loss with kinks, Hessians stay as they are. */
static NOINLINE void weigh(const lx_objective *o, real *g, real *h, const real *w, ptrdiff_t n)
{
    const real factor = (real)o->factor, floor = (real)o->floor;
    for (ptrdiff_t i = 0; w && i < n; i++)
        g[i] = weighted(g[i], w[i]);
    if (o->kinked)
        for (ptrdiff_t i = 0; i < n; i++)
            h[i] *= factor;
    else if (!w)
        for (ptrdiff_t i = 0; i < n; i++)
            h[i] = at_least(h[i] * factor, floor);
    else
        for (ptrdiff_t i = 0; i < n; i++) {
            /* as of the built-in objectives, both change their sign with that of the weight */
            const real curved = h[i] * factor, weight = w[i];
            const real before = weight < 0 ? at_least(curved, floor) : curved, after = weighted(before, weight);
            const real least = weight < 0 ? -REAL_MAX : floor;
            h[i] = at_least(after, least);
        }
}

/* n derivatives to where they go, `step` apart there. */
static void write(const lx_table *to, ptrdiff_t at, ptrdiff_t step, const real *from, ptrdiff_t n)
{
#define AS_FLOAT(x) (float)(x)
    COPY(from, 1, n, (float *)to->data + at, step, AS_FLOAT);
#undef AS_FLOAT
}

/* Of n rows of a column, whose weights come in place of the scores. */
static void write_column(const lx_objective *o, room *r, ptrdiff_t at, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column)
{
    real *g = r->grad + at, *h = r->hess + at;
    if (o->weight.data)
        read_numbers(&o->weight, first, n, 0, r->x, 1);
    weigh(o, g, h, o->weight.data ? r->x : NULL, n);
    if (o->positive != 1) {
        read_numbers(&o->target, first, n, column, r->x, 1);
        for (ptrdiff_t i = 0; i < n; i++) {
            const real factor = r->x[i] == 1 ? (real)o->positive : 1;
            g[i] *= factor;
            h[i] *= o->kinked ? 1 : factor;
        }
    }
    write(&o->grad, first * o->grad.row + column * o->grad.column, o->grad.row, g, n);
    write(&o->hess, first * o->hess.row + column * o->hess.column, o->hess.row, h, n);
}

INLINE int of_whole_rows(const lx_table *t, ptrdiff_t columns) { return t->column == 1 && t->row == columns; }

/* A few rows of a row loss, as rows if they lie so at both ends, else column by column.  Two classes with one score
 * have the scores 0 and this. */
static int derive_rows(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    const ptrdiff_t columns = o->job.cols, cols = o->loss->cols, added = cols - columns;
    const int rows = columns == cols && !o->kinked && of_whole_rows(&o->raw, cols) && of_whole_rows(&o->grad, cols)
                     && of_whole_rows(&o->hess, cols);
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
    for (ptrdiff_t c = 0; c < columns && job.input == r->x; c++)
        read_scores(o, first, n, c, rows ? r->x + c : r->x + (c + added) * n, rows ? cols : 1);
    if (run(o, &job, r, n, cols, o->constant))
        return LX_BAD_TARGET;
    if (rows) {
        for (ptrdiff_t c = 0; o->weight.data && c < cols; c++)
            read_numbers(&o->weight, first, n, 0, r->x + c, cols);
        weigh(o, r->grad, r->hess, o->weight.data ? r->x : NULL, n * cols);
        write(&o->grad, first * cols, 1, r->grad, n * cols);
        write(&o->hess, first * cols, 1, r->hess, n * cols);
    }
    for (ptrdiff_t c = 0; c < columns && !rows; c++)
        write_column(o, r, (c + added) * n, first, n, c);
    return 0;
}

/* A few rows of all columns of a loss of one score. */
static int derive_columns(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    for (ptrdiff_t c = 0; c < o->job.cols; c++) {
        lx_job job = o->loss[c];
        job.target.data = r->target.y;
        job.input = r->x;
        if (read_targets(o, first, n, c, r->target.y))
            return LX_BAD_TARGET;
        read_scores(o, first, n, c, r->x, 1);
        if (run(o, &job, r, n, 1, o->constant ? o->constant + c : NULL))
            return LX_BAD_TARGET;
        write_column(o, r, 0, first, n, c);
    }
    return 0;
}

int SHARED(objective_derive)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const lx_objective *o = (const lx_objective *)job;
    const ptrdiff_t step = ROOM / (o->of_rows ? o->loss->cols : 1);
    room r;
    (void)total;
    for (ptrdiff_t i = first; i < last; i += step) {
        const ptrdiff_t n = last - i < step ? last - i : step;
        if (o->of_rows ? derive_rows(o, i, n, &r) : derive_columns(o, i, n, &r))
            return LX_BAD_TARGET;
    }
    return 0;
}

enum { SUMS = 16 }; /* beside each other, so that none waits for another */

INLINE void add_spread(const float *hess, ptrdiff_t stride, ptrdiff_t n, lx_total *total)
{
    double sum[SUMS] = {0}, count[SUMS] = {0};
    ptrdiff_t i = 0;
#define ADD(k, value) \
    do { \
        const float h = value; \
        const int curved = h > 0 && h <= 3.402823466e38f; \
        sum[k] += curved ? 1 / sqrtf(curved ? h : 1) : 0; \
        count[k] += curved; \
    } while (0)
    for (; i + SUMS <= n; i += SUMS)
        for (ptrdiff_t k = 0; k < SUMS; k++)
            ADD(k, hess[(i + k) * stride]);
    for (; i < n; i++)
        ADD(0, hess[i * stride]);
#undef ADD
    for (int k = 0; k < SUMS; k++) {
        total->sum += sum[k];
        total->count += count[k];
    }
}

int SHARED(objective_spread)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const lx_objective *o = (const lx_objective *)job;
    const float *hess = (const float *)o->hess.data + o->column * o->hess.column + first * o->hess.row;
    if (o->hess.row == 1)
        add_spread(hess, 1, last - first, total);
    else
        add_spread(hess, o->hess.row, last - first, total);
    return 0;
}

int SHARED(objective_limit)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const lx_objective *o = (const lx_objective *)job;
    const float floor = (float)o->floor;
    real w[ROOM], y[ROOM];
    (void)total;
    for (ptrdiff_t from = first, n; from < last; from += n) {
        n = last - from < ROOM ? last - from : ROOM;
        if (o->weight.data)
            read_numbers(&o->weight, from, n, 0, w, 1);
        for (ptrdiff_t c = 0; c < job->cols; c++) {
            const ptrdiff_t step = o->hess.row;
            float *hess = (float *)o->hess.data + c * o->hess.column + from * step;
            const float most = (float)o->limit[c];
#define LIMITED(h) ((h) > most ? most : (h) < floor ? floor : (h))
            if (step == 1)
                for (ptrdiff_t i = 0; i < n; i++)
                    hess[i] = LIMITED(hess[i]);
            else
                for (ptrdiff_t i = 0; i < n; i++)
                    hess[i * step] = LIMITED(hess[i * step]);
#undef LIMITED
            for (ptrdiff_t i = 0; o->weight.data && i < n; i++)
                hess[i * step] *= (float)w[i];
            if (o->positive != 1)
                read_numbers(&o->target, from, n, c, y, 1);
            for (ptrdiff_t i = 0; o->positive != 1 && i < n; i++)
                hess[i * step] *= y[i] == 1 ? (float)o->positive : 1;
        }
    }
    return 0;
}
