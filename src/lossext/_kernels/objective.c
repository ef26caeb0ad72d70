/* See objective.h. */
#include "objective.h"
#include "simd/simd.h"

#include <math.h>

#ifdef LX_DOUBLE
typedef float other_real;
#else
typedef double other_real;
#endif

enum { ROOM = 6144 / sizeof(real) }; /* scores at a time */

typedef struct {
    ALIGNED real x[ROOM], grad[ROOM], hess[ROOM], value[ROOM];
    union {
        real y[ROOM];
        int64_t ids[ROOM];
    } target;
} room;

/* ---- what the library has ---- */

INLINE double number_at(const lx_table *t, ptrdiff_t row, ptrdiff_t column)
{
    const ptrdiff_t at = row * t->row + column * t->column;
    return t->type == LX_REAL ? (double)((const real *)t->data)[at] : (double)((const other_real *)t->data)[at];
}

/* n rows of a column, plus `shift`, to every `step`-th place. */
INLINE void copy_column(const real *from, ptrdiff_t stride, ptrdiff_t n, real shift, real *to, ptrdiff_t step)
{
    if (stride == 1 && step == 1)
        for (ptrdiff_t i = 0; i < n; i++)
            to[i] = from[i] + shift;
    else
        for (ptrdiff_t i = 0; i < n; i++)
            to[i * step] = from[i * stride] + shift;
}

static void read_scores(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, ptrdiff_t column, real *to, ptrdiff_t step)
{
    const real *from = (const real *)o->raw.data + first * o->raw.row + column * o->raw.column;
    copy_column(from, o->raw.row, n, o->shift ? (real)o->shift[column] : 0, to, step);
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
    const real no = sign ? -1 : 0;
    int bad = 0;
#define READ(type) \
    do { \
        const type *from = (const type *)o->target.data + first * o->target.row; \
        const ptrdiff_t stride = o->target.row; \
        if (o->against_all) { \
            const type own = (type)column, count = (type)o->job.cols; \
            for (ptrdiff_t i = 0; i < n; i++) { \
                const type y = from[i * stride]; \
                const int inside = y >= 0 && y < count; \
                bad |= !inside || (type)(int32_t)(inside ? y : 0) != y; \
                to[i] = y == own ? 1 : no; \
            } \
        } else { \
            from += column * o->target.column; \
            for (ptrdiff_t i = 0; i < n; i++) { \
                const real y = (real)from[i * stride]; \
                to[i] = sign && y == 0 ? -1 : y; \
            } \
        } \
    } while (0)
    if (o->target.type == LX_REAL)
        READ(real);
    else
        READ(other_real);
#undef READ
    return bad;
}

/* ---- Hessians ---- */

INLINE real size_of(real a) { return a < 0 ? -a : a; }

/* At a row's entries that have a slope and no curvature: |slope| over the distance from the kink, which is the value
 * over the row's greatest |slope|, and counts as `least` at least.  Entries are `step` apart, rows one. */
static NOINLINE void curve_to_the_kink(const real *value, const real *grad, real *hess, ptrdiff_t n, ptrdiff_t cols,
                                       ptrdiff_t row, ptrdiff_t column, real least)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const real *g = grad + i * row;
        real *h = hess + i * row, greatest = 0;
        for (ptrdiff_t c = 0; c < cols; c++)
            greatest = size_of(g[c * column]) > greatest ? size_of(g[c * column]) : greatest;
        if (!(greatest > 0))
            continue;
        const real way = value[i] / greatest, distance = way < least ? least : way;
        for (ptrdiff_t c = 0; c < cols; c++)
            if (h[c * column] <= 0 && g[c * column] != 0)
                h[c * column] = size_of(g[c * column]) / distance;
    }
}

static int any_bare(const real *grad, const real *hess, ptrdiff_t n)
{
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        found |= (hess[i] <= 0) & (grad[i] != 0);
    return found;
}

/* Runs the loss on what lies in the room: n rows, `cols` columns each. */
static int run(const lx_objective *o, lx_job *job, room *r, ptrdiff_t n, ptrdiff_t cols, const double *constant)
{
    const ptrdiff_t inner = job->inner, row = inner > 1 ? 1 : cols, column = inner;
    const int to_the_kink = o->rule == LX_TO_THE_KINK;
    lx_total total = {0, 0, 0};
    job->input = r->x;
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
        curve_to_the_kink(r->value, r->grad, r->hess, n, cols, row, column, (real)o->least);
    }
    return 0;
}

/* ---- back to the library ---- */

INLINE real at_least(real h, real floor) { return h < floor ? floor : h; } /* NaN stays */

/* a * w where 0 * inf is 0. */
INLINE real weighted(real a, real w)
{
    const real product = a * w;
    return product != product && a == a && w == w ? 0 : product;
}

/* n rows of a column; of a loss with kinks, Hessians come out as they are. */
static void write_column(const lx_objective *o, const real *g, const real *h, ptrdiff_t stride, ptrdiff_t first,
                         ptrdiff_t n, ptrdiff_t column)
{
    float *grad = (float *)o->grad.data + first * o->grad.row + column * o->grad.column;
    float *hess = (float *)o->hess.data + first * o->hess.row + column * o->hess.column;
    const ptrdiff_t row = o->grad.row, hess_row = o->hess.row;
    const real factor = (real)o->factor, floor = o->kinked ? -REAL_MAX : (real)o->floor;
    if (!o->weight.data) {
        if (stride == 1 && row == 1 && hess_row == 1)
            for (ptrdiff_t i = 0; i < n; i++) {
                grad[i] = (float)g[i];
                hess[i] = (float)at_least(h[i] * factor, floor);
            }
        else
            for (ptrdiff_t i = 0; i < n; i++) {
                grad[i * row] = (float)g[i * stride];
                hess[i * hess_row] = (float)at_least(h[i * stride] * factor, floor);
            }
    } else
        for (ptrdiff_t i = 0; i < n; i++) {
            const real w = (real)number_at(&o->weight, first + i, 0), curved = h[i * stride] * factor;
            grad[i * row] = (float)weighted(g[i * stride], w);
            if (o->kinked)
                hess[i * hess_row] = (float)curved;
            else if (w < 0) /* as of the built-in objectives: both change their sign */
                hess[i * hess_row] = (float)weighted(at_least(curved, floor), w);
            else
                hess[i * hess_row] = (float)at_least(weighted(curved, w), floor);
        }
    for (ptrdiff_t i = 0; o->positive != 1 && i < n; i++)
        if (number_at(&o->target, first + i, column) == 1) {
            grad[i * row] *= (float)o->positive;
            if (!o->kinked)
                hess[i * hess_row] *= (float)o->positive;
        }
}

/* A few rows of a row loss.  Two classes with one score have the scores 0 and this. */
static int derive_rows(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    const ptrdiff_t columns = o->job.cols, cols = o->loss->cols;
    const int by_class = o->raw.row == 1 || columns == 1;
    const ptrdiff_t row = by_class ? 1 : cols, column = by_class ? n : 1;
    lx_job job = *o->loss;
    job.inner = column;
    job.target.data = r->target.ids;
    if (read_ids(o, first, n, r->target.ids))
        return LX_BAD_TARGET;
    if (columns < cols)
        for (ptrdiff_t i = 0; i < n; i++)
            r->x[i] = 0;
    for (ptrdiff_t c = 0; c < columns; c++)
        read_scores(o, first, n, c, r->x + (c + cols - columns) * column, row);
    if (run(o, &job, r, n, cols, o->constant))
        return LX_BAD_TARGET;
    for (ptrdiff_t c = 0; c < columns; c++) {
        const ptrdiff_t at = (c + cols - columns) * column;
        write_column(o, r->grad + at, r->hess + at, row, first, n, c);
    }
    return 0;
}

/* A few rows of all columns of a loss of one score. */
static int derive_columns(const lx_objective *o, ptrdiff_t first, ptrdiff_t n, room *r)
{
    for (ptrdiff_t c = 0; c < o->job.cols; c++) {
        lx_job job = o->loss[c];
        job.target.data = r->target.y;
        if (read_targets(o, first, n, c, r->target.y))
            return LX_BAD_TARGET;
        read_scores(o, first, n, c, r->x, 1);
        if (run(o, &job, r, n, 1, o->constant ? o->constant + c : NULL))
            return LX_BAD_TARGET;
        write_column(o, r->grad, r->hess, 1, first, n, c);
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

int SHARED(objective_spread)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    enum { SUMS = 8 }; /* beside each other, so that none waits for another */
    const lx_objective *o = (const lx_objective *)job;
    const float *hess = (const float *)o->hess.data + o->column * o->hess.column;
    double sum[SUMS] = {0}, count[SUMS] = {0};
    for (ptrdiff_t i = first; i < last; i += SUMS)
        for (ptrdiff_t k = 0; k < SUMS; k++) {
            const float h = i + k < last ? hess[(i + k) * o->hess.row] : 0;
            const int curved = h > 0 && h <= 3.402823466e38f;
            sum[k] += curved ? 1 / sqrt((double)(curved ? h : 1)) : 0;
            count[k] += curved;
        }
    for (int k = 0; k < SUMS; k++) {
        total->sum += sum[k];
        total->count += count[k];
    }
    return 0;
}

int SHARED(objective_limit)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    const lx_objective *o = (const lx_objective *)job;
    const float floor = (float)o->floor, positive = (float)o->positive;
    (void)total;
    for (ptrdiff_t c = 0; c < job->cols; c++) {
        float *hess = (float *)o->hess.data + c * o->hess.column;
        const float most = (float)o->limit[c];
        for (ptrdiff_t i = first; i < last; i++) {
            float h = hess[i * o->hess.row];
            h = h > most ? most : h;
            h = h < floor ? floor : h;
            hess[i * o->hess.row] = h;
        }
        for (ptrdiff_t i = first; i < last && o->weight.data; i++)
            hess[i * o->hess.row] *= (float)number_at(&o->weight, i, 0);
        for (ptrdiff_t i = first; i < last && o->positive != 1; i++)
            if (number_at(&o->target, i, c) == 1)
                hess[i * o->hess.row] *= positive;
    }
    return 0;
}
