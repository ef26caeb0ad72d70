/* The element family: losses of one prediction x and one target y.
 *
 * A header losses/element/<name>.h defines
 *
 *   PARAMETERS(delta)                  names of the loss's parameters, used as e.delta; NO_PARAMETERS if it has none
 *   vec value(e), slope(e), curvature(e)
 *   #define HAS_MAJORIZER              vec majorizer(e): curvature of the lowest parabola that touches the loss at x
 *                                      and lies above it; HAS_FISHER and HAS_RESIDUAL define fisher(e) and residual(e).
 *                                      Default: curvature(e)
 *   #define HAS_SHARED                 vec shared(e): a subexpression of value and slope, available as e.shared
 *   #define HAS_SHARED_LOG1P           e.log1p is log1p(e.shared), which is in [0, 1]
 *   #define HAS_LIMIT                  vec limit(e): the value where value(e) is NaN, computed only there
 *   #define HAS_LOG1P                  vec linear(e): value(e) = linear(e) + log1p(e.shared) if every parameter is 1
 *   #define HAS_REST                   e.rest is 1 - y, which for a smoothed target is more accurate than one() - e.y
 *   #define COSTLY                     for long formulas: one pass computes all results, including weights
 *   #define PARTS q, power             before PARAMETERS, for a COSTLY loss: parts parts_of(e) computes subexpressions
 *                                      of value and derivatives, available as e.part.q
 *   #define VARYING                    before PARAMETERS: parameters may be one number, or one per column or element
 *   VARIANT(P, 1, 2)                   compiles a kernel for each value of P, which is a constant in it
 *
 * The family implements everything else: weights, masks, missing targets, the domain of targets, label smoothing,
 * layouts and types of operands, ends of arrays, sums, streaming stores.  Missing elements are computed like the
 * others, whatever their values, and their results are masked. */
#ifndef LX_ELEMENT_H
#define LX_ELEMENT_H

#include "job.h"
#include "simd/lanes.h"
#include "simd/vmath.h"

/* Buffers of a chunk, padded to a multiple of four vectors, so that no loop has a remainder. */
enum { STEP = 4 * LANES, ROOM = LX_CHUNK + 64 };

/* Element i is data[i & mask]: with mask 0 all elements use one vector, with -1 each has its own. */
typedef struct {
    const real *data;
    ptrdiff_t mask;
} spread;

/* A byte for each element, indexed in the same way: 0 if the element is missing or padding. */
typedef struct {
    const uint8_t *data;
    ptrdiff_t mask;
} flags;

enum { PARTLY_KNOWN = 1, WEIGHTED = 2 };

/* A chunk in the form that passes use: n is a multiple of STEP. */
typedef struct {
    ptrdiff_t n;
    const real *x, *y, *shared, *log1p;
    int prefetches;     /* whether the input exceeds the L2 cache */
    const real *next_x; /* input of a later chunk, to be prefetched: alternating arrays defeat the hardware */
    const char *next_y;
    ptrdiff_t size_of_y;
    flags known;
    spread weight;      /* of values */
    spread grad_weight; /* of derivatives, in addition to grad_scale */
    int weighted, grad_weighted; /* 0, PARTLY_KNOWN or WEIGHTED */
    spread lost;        /* rounding error of 1 - y for a smoothed y */
    spread varying[LX_PARAMETERS];
    real parameter[LX_PARAMETERS], grad_scale;
    double count; /* of known elements, or the sum of their weights */
} chunk;

/* Buffers for operands of a chunk that must be copied to contiguous memory. */
typedef struct {
    ALIGNED real x[ROOM], y[ROOM], weight[ROOM], upstream[ROOM];
    ALIGNED real lost[ROOM], one[LANES], zero[LANES], scalar[LANES];
    ALIGNED uint8_t known[ROOM], all[64];
} chunk_room;

/* Functions that do not depend on the loss are compiled once for each type and instruction set (element_shared.c). */
void SHARED(begin_chunks)(const lx_job *job, chunk *c, chunk_room *room);
int SHARED(lay_chunk)(const lx_job *job, ptrdiff_t at, ptrdiff_t n, chunk *c, chunk_room *room);
void SHARED(lay_varying)(const lx_job *job, int k, ptrdiff_t at, ptrdiff_t n, chunk *c, real *room);

/* The sum of the row in which a chunk ends, and its rounding error. */
typedef struct {
    double sum, rest;
} unfinished_row;
void SHARED(log1p_of)(const real *unit, ptrdiff_t n, real *to);
void SHARED(add_to_rows)(const lx_job *job, ptrdiff_t at, const real *values, ptrdiff_t n, unfinished_row *row);

INLINE vec one(void) { return v_set(1); }

INLINE vec spread_at(spread s, ptrdiff_t i) { return v_load(s.data + (i & s.mask)); }

INLINE mask byte_at(flags known, ptrdiff_t i) { return m_load(known.data + (i & known.mask)); }

/* Elements that count.  A target of NaN is either missing or outside the domain, which ends in an error. */
INLINE mask known_at(const chunk *c, ptrdiff_t i)
{
    return m_without(byte_at(c->known, i), v_is_nan(v_load(c->y + i)));
}

/* Whether all targets of a vector are 0 or 1. */
INLINE int all_hard(vec y) { return !m_any(v_not_equal(y * y, y)); }

/* a * b with 0 * inf = 0, for infinite weights and for weights of 0 with an infinite loss. */
INLINE vec times(vec a, vec b)
{
    const vec product = a * b;
    const mask nan = v_is_nan(product);
    if (!m_any(nan))
        return product;
    return v_select(m_without(nan, v_is_nan(a + b)), v_zero(), product);
}

/* Without PARTS, the macro's own name becomes an unused member. */
#define NO_PARAMETERS \
    typedef struct { \
        vec PARTS; \
    } parts; \
    typedef struct { \
        vec x, y, rest, shared, log1p; \
        parts part; \
    } E;
#define PARAMETERS(...) \
    typedef struct { \
        vec PARTS; \
    } parts; \
    typedef struct { \
        vec x, y, rest, shared, log1p; \
        parts part; \
        vec __VA_ARGS__; \
    } E;
#define VARIANT(name, ...) /* read by setup.py, which defines the name */

#endif
