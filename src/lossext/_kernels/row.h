/* The row family: losses of a row of scores x_j for a class, or for a row of targets y_j.
 *
 * Functions of a whole row (begin, finish) are computed with one row per lane.  Functions of its scores (term,
 * slope, curvature) are computed on vectors that are
 *
 *   row_lanes.h   short rows: one column of LANES rows, so also one row per lane;
 *   row_along.h   long rows: adjacent columns of one row, whose context is broadcast to all lanes.
 *
 * The formulas of a loss are the same for both.  A header losses/row/<name>.h defines
 *
 *   PARAMETERS(margin)             names of the loss's parameters, used as p->margin; NO_PARAMETERS if it has none
 *   VARIANT(P, 1, 2)               compiles a kernel for each value of P, which is a constant in it
 *   enum { TARGETS,                0: a row has a class, given by its id; 1: a row of targets, for which the column
 *                                  with the largest score serves as the class
 *          PEAK,                   1: begin needs the largest of the other scores
 *          BEST,                   1: finish also sets the slope of the lowest column with that score
 *          SUMS,                   which totals finish needs, see below
 *          KEEP,                   1: terms are expensive and kept for slope(); 0: they are recomputed
 *          EAGER };                the factor, if it does not depend on totals, so that slopes of long rows are
 *                                  written while totals are summed; else 0
 *   row begin(p, own, peak)        the row's context, from the score of the class: a struct that contains only vectors
 *   vec term(r, x)                 the summand, >= 0; with UNIT, the class is included, else its term is ignored
 *   result finish(p, r, totals)    value, factor, and slope and curvature of the class; may modify the context
 *   vec slope(r, e)                from the term e.t, the factor with all weights e.f, the weights e.w, the target e.y
 *   vec curvature(r, e)            from the same; HAS_RESIDUAL and HAS_FISHER add residual(r, e) and fisher(r, e)
 *   #define HAS_COST               vec cost(r, x, y): a second summand, for all columns but the class
 *   #define HAS_MAJORIZER          vec majorizer(r, e) for columns other than the class, with their score e.x;
 *                                  vec own_majorizer(r, sum, greatest), best_majorizer(r, greatest): for the class
 *                                  and the best other column, from these majorizers
 *
 * The family implements everything else: the class and the ends of rows, layouts and types of targets, label smoothing,
 * sums, weights, unknown rows, streaming stores. */
#ifndef LX_ROW_H
#define LX_ROW_H

#include "job.h"
#include "simd/lanes.h"
#include "simd/vmath.h"

/* Totals of a row, over the columns other than the class except where noted.  TERM: sum of terms; UNIT: sum of all
 * terms, which are at most 1; SQUARE: sum of squared terms; COUNT: number of terms above 0; TIES: number of all terms
 * equal to 1, which the sum then excludes; COST: sum of cost(); TARGET: sum of targets. */
enum { TERM = 1, UNIT = 2, SQUARE = 4, COUNT = 8, TIES = 16, COST = 32, TARGET = 64 };

typedef struct {
    vec term, square, count, cost, target;
    vec own_target; /* the target at the class, for rows of targets */
} totals;

typedef struct {
    vec value, factor, own_slope, own_curvature, own_residual, best_slope;
} result;

/* The arguments of slope(): a column of several rows, or adjacent columns of one row. */
typedef struct {
    vec t, f, w, y, x; /* term, factor with the weights, the weights, target; for majorizers the score */
} entry;

#define NO_PARAMETERS PARAMETERS(none)
#define PARAMETERS(...) \
    typedef struct { \
        vec __VA_ARGS__; \
    } parameters;
#define VARIANT(name, ...) /* read by setup.py, which defines the name */

INLINE vec one(void) { return v_set(1); }
INLINE vec finite_or_zero(vec a) { return v_where(v_ge(v_set(REAL_MAX), v_abs(a)), a); }

/* a * b with 0 * inf = 0, for infinite weights and for weights of 0 with an infinite loss. */
INLINE vec times(vec a, vec b)
{
    const vec product = a * b;
    return v_select(m_without(v_is_nan(product), v_is_nan(a + b)), v_zero(), product);
}

/* a - b = difference + *lost exactly (Knuth's TwoSum), where lost is the rounding error; 0 if the difference is not
 * finite. */
INLINE vec exact_difference(vec a, vec b, vec *lost)
{
    const vec d = a - b, back = d - a;
    *lost = finite_or_zero((a - (d - back)) - (b + back));
    return d;
}

/* What no loss changes is compiled once for a type and an instruction set (row_shared.c). */
enum {
    GROUP = 8,                                        /* vectors of rows in a group, at most */
    MOST_COLUMNS = 128,                               /* of rows as lanes */
    COLUMN_ELEMENTS = (MOST_COLUMNS + PIECE) * LANES, /* of a group of them */
    ALONG_ELEMENTS = 16384 / sizeof(real)             /* of a group of long rows, unless a single row is longer */
};

/* Classes and weights of a group of rows; vectors have one row per lane. */
typedef struct {
    ptrdiff_t first, count, vectors;
    ptrdiff_t y[GROUP * LANES], best[GROUP * LANES]; /* columns of the class and of the peak */
    vec id[GROUP], best_id[GROUP];                   /* the same as numbers */
    vec own[GROUP], peak[GROUP];                     /* their scores */
    vec known[GROUP], scale[GROUP], grad_scale[GROUP];
    int all_known;
} row_group;

/* Where row r begins. */
INLINE ptrdiff_t start_of_row(const lx_job *job, ptrdiff_t r)
{
    return job->inner == 1 ? r * job->cols : r / job->inner * job->inner * job->cols + r % job->inner;
}

/* Rows as lanes: the distance between consecutive vectors of rows in a group. */
INLINE ptrdiff_t column_stride(ptrdiff_t cols) { return (cols + PIECE - 1) / PIECE * PIECE * LANES; }

INLINE real *lanes_of(vec *v) { return (real *)v; }
INLINE real lane(const vec *v, ptrdiff_t i) { return ((const real *)v)[i]; }

/* row_classes.c: classes, targets, weights, values */
int SHARED(read_classes)(const lx_job *job, row_group *g);
int SHARED(read_known_rows)(const lx_job *job, row_group *g);
const real *SHARED(targets_of)(const lx_job *job, ptrdiff_t r, ptrdiff_t j, ptrdiff_t n, real *room, int *bad);
int SHARED(columns_of_targets)(const lx_job *job, const row_group *g, ptrdiff_t j, ptrdiff_t n, real *columns,
                               real *rows);
void SHARED(read_weights)(const lx_job *job, row_group *g, int of_class);
void SHARED(take_values)(const lx_job *job, const row_group *g, ptrdiff_t k, const vec *value, int by_row,
                         exact_sum *total);
void SHARED(mend_own_slopes)(const lx_job *job, const row_group *g, const vec *own_slope, ptrdiff_t k);
void SHARED(clear_unknown)(const lx_job *job, const row_group *g, real *derivative);

/* row_shared.c: layouts, peaks */
void SHARED(turn)(const real *rows, ptrdiff_t cols, real *columns, ptrdiff_t ahead);
void SHARED(turn_back)(const real *columns, ptrdiff_t cols, real *rows, const real *lines);
void SHARED(copy)(real *to, const real *from, ptrdiff_t n, int stream);
void SHARED(gather)(const lx_job *job, const row_group *g, const real *from, ptrdiff_t j, ptrdiff_t n, real *columns);
void SHARED(scatter)(const lx_job *job, const row_group *g, const real *columns, ptrdiff_t j, ptrdiff_t n, real *to);
void SHARED(greatest_lanes)(const real *columns, ptrdiff_t j, ptrdiff_t n, row_group *g, ptrdiff_t k);
void SHARED(peak_lanes)(const real *columns, ptrdiff_t j, ptrdiff_t n, int best, row_group *g, ptrdiff_t k);
void SHARED(greatest_along)(const real *x, ptrdiff_t cols, row_group *g);
void SHARED(peak_along)(const real *x, ptrdiff_t cols, int best, row_group *g);

#endif
