/* The row family: losses of a row of scores x_j against a class, or against a row of targets y_j.
 *
 * What concerns a row as a whole (begin, finish) is computed with ONE ROW A LANE.  What concerns its scores (term,
 * slope, curvature) is computed on vectors that are
 *
 *   row_lanes.h   short rows: one column of LANES rows, so again one row a lane;
 *   row_along.h   long rows: neighbouring columns of one row, whose context is spread to all lanes.
 *
 * A loss sees vectors and cannot tell.  A header losses/row/<name>.h says
 *
 *   PARAMETERS(margin)             names of the loss's numbers, found as p->margin; NO_PARAMETERS where there are none
 *   VARIANT(P, 1, 2)               a kernel for each value of P, which is a constant there
 *   enum { TARGETS,                0: a row has a class, given by its id; 1: a row of targets, and the family takes
 *                                  the column of the greatest score for the class
 *          PEAK,                   1: begin wants the greatest score of the others
 *          BEST,                   1: and finish gives a slope of its own to the lowest column that has it
 *          SUMS,                   which totals finish wants, see below
 *          KEEP,                   1: terms are dear, so slope() finds them kept; 0: they are computed again
 *          EAGER };                the factor, where it depends on no totals: slopes of long rows are then written
 *                                  while totals are added up; else 0
 *   row begin(p, own, peak)        the row's context, from the score of the class: a struct of nothing but vectors
 *   vec term(r, x)                 what is added up, >= 0; for the class too under UNIT, else what it gives there does
 *                                  not matter
 *   result finish(p, r, totals)    value, factor, slope and curvatures of the class; it may write to the context
 *   vec slope(r, e)                from e.t the term, e.f the factor with all weights, e.w the weights, e.y the target
 *   vec curvature(r, e)            likewise; also residual, fisher under HAS_RESIDUAL, HAS_FISHER
 *   #define HAS_COST               vec cost(r, x, y): a second quantity to add up, of the others
 *   #define HAS_MAJORIZER          vec majorizer(r, e) of the others, which also finds the score, e.x;
 *                                  vec own_majorizer(r, sum, greatest), best_majorizer(r, greatest): of the class and
 *                                  of the best, from the others' majorizers
 *
 * and the family does the rest: the class and the ends of rows, layouts and types of targets, label smoothing, sums,
 * weights, unknown rows, streaming. */
#ifndef LX_ROW_H
#define LX_ROW_H

#include "job.h"
#include "simd/lanes.h"
#include "simd/vmath.h"

/* Totals of a row.  TERM: sum of the others' terms; UNIT: of all terms, none of which exceeds 1; SQUARE: of the others'
 * squares; COUNT: number of the others' above 0; TIES: number of all that are 1, which are then left out of the sum;
 * COST: sum of cost(); TARGET: of targets. */
enum { TERM = 1, UNIT = 2, SQUARE = 4, COUNT = 8, TIES = 16, COST = 32, TARGET = 64 };

typedef struct {
    vec term, square, count, cost, target;
    vec own_target; /* the target at the class, where there is a row of them */
} totals;

typedef struct {
    vec value, factor, own_slope, own_curvature, own_residual, best_slope;
} result;

/* A column, or a row's neighbouring columns, when slopes are computed. */
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

/* a * b where 0 * inf is 0: infinite weights, and weights of 0 at an infinite loss. */
INLINE vec times(vec a, vec b)
{
    const vec product = a * b;
    return v_select(m_without(v_is_nan(product), v_is_nan(a + b)), v_zero(), product);
}

/* a - b = difference + *lost, exactly (Knuth's TwoSum); lost is 0 where the difference is not finite. */
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

/* Some rows' classes and weights; in vectors one row a lane. */
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

/* Rows as lanes: from a group's vector of rows to the next. */
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
