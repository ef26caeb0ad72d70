/* The element family: losses of one prediction x and one target y.
 *
 * A header losses/element/<name>.h says
 *
 *   PARAMETERS(delta)                  names of the loss's numbers, found as e.delta; NO_PARAMETERS if none
 *   vec value(e), slope(e), curvature(e)
 *   #define HAS_MAJORIZER              vec majorizer(e): curvature of the best parabola that touches the loss at x and
 *                                      lies above it; likewise HAS_FISHER, HAS_RESIDUAL.  Without it: curvature(e)
 *   #define HAS_SHARED                 vec shared(e): what value and slope both need, found in e.shared
 *   #define HAS_SHARED_LOG1P           e.log1p is log1p(e.shared), which is in [0, 1]
 *   #define HAS_LIMIT                  vec limit(e): the value where value(e) is NaN, asked for only there
 *   #define HAS_LOG1P                  vec linear(e): value(e) = linear(e) + log1p(e.shared) if every parameter is 1
 *   #define HAS_REST                   e.rest is 1 - y, which of a smoothed target has more digits than one() - e.y
 *   #define COSTLY                     of long formulas: one pass makes all that is asked for, weights and all
 *   #define PARTS q, power             before PARAMETERS, of a COSTLY loss: parts parts_of(e), what value and
 *                                      derivatives need besides, found as e.part.q
 *   #define VARYING                    before PARAMETERS: a parameter can be one number, one a column or one an element
 *   VARIANT(P, 1, 2)                   a kernel for each value of P, which is a constant there
 *
 * and the family does the rest: weights, masks, missing targets, the target's domain and label smoothing, layouts and
 * types of operands, ends of arrays, sums, streaming.  Elements that are missing are computed like the others, whatever
 * is there, and left out. */
#ifndef LX_ELEMENT_H
#define LX_ELEMENT_H

#include "job.h"
#include "simd/lanes.h"
#include "simd/vmath.h"

/* A chunk's buffers: what is no multiple of four vectors is filled up, so that no loop has a tail. */
enum { STEP = 4 * LANES, ROOM = LX_CHUNK + 64 };

/* Element i is data[i & mask]: with mask 0 one vector serves all, with -1 there is one for each element. */
typedef struct {
    const real *data;
    ptrdiff_t mask;
} spread;

/* Likewise a byte for each element: 0 where it is missing or fills up the last vectors. */
typedef struct {
    const uint8_t *data;
    ptrdiff_t mask;
} flags;

enum { PARTLY_KNOWN = 1, WEIGHTED = 2 };

/* A chunk as the passes over it see it: n is a multiple of STEP. */
typedef struct {
    ptrdiff_t n;
    const real *x, *y, *shared, *log1p;
    int prefetches;     /* whether the input is too large for the second cache */
    const real *next_x; /* what a later chunk reads: a processor that is asked for one array after the other is late */
    const char *next_y;
    ptrdiff_t size_of_y;
    flags known;
    spread weight;      /* of values */
    spread grad_weight; /* of derivatives, besides grad_scale */
    int weighted, grad_weighted; /* 0, PARTLY_KNOWN or WEIGHTED */
    spread lost;        /* of 1 - y, by rounding a smoothed y */
    spread varying[LX_PARAMETERS];
    real parameter[LX_PARAMETERS], grad_scale;
    double count; /* of known elements, or the sum of their weights */
} chunk;

/* Room for what of a chunk has to be laid out. */
typedef struct {
    ALIGNED real x[ROOM], y[ROOM], weight[ROOM], upstream[ROOM];
    ALIGNED real lost[ROOM], one[LANES], zero[LANES], scalar[LANES];
    ALIGNED uint8_t known[ROOM], all[64];
} chunk_room;

/* What no loss changes is compiled once for a type and an instruction set (element_shared.c). */
void SHARED(begin_chunks)(const lx_job *job, chunk *c, chunk_room *room);
int SHARED(lay_chunk)(const lx_job *job, ptrdiff_t at, ptrdiff_t n, chunk *c, chunk_room *room);
void SHARED(lay_varying)(const lx_job *job, int k, ptrdiff_t at, ptrdiff_t n, chunk *c, real *room);

/* The sum of the row that a chunk ends in, and what its roundings took away. */
typedef struct {
    double sum, rest;
} unfinished_row;
void SHARED(log1p_of)(const real *unit, ptrdiff_t n, real *to);
void SHARED(add_to_rows)(const lx_job *job, ptrdiff_t at, const real *values, ptrdiff_t n, unfinished_row *row);

INLINE vec one(void) { return v_set(1); }

INLINE vec spread_at(spread s, ptrdiff_t i) { return v_load(s.data + (i & s.mask)); }

INLINE mask byte_at(flags known, ptrdiff_t i) { return m_load(known.data + (i & known.mask)); }

/* Elements that count: a target that is NaN is missing, or in no domain, which ends in an error. */
INLINE mask known_at(const chunk *c, ptrdiff_t i)
{
    return m_without(byte_at(c->known, i), v_is_nan(v_load(c->y + i)));
}

/* a * b where 0 * inf is 0: infinite weights, and weights of 0 at an infinite loss. */
INLINE vec times(vec a, vec b)
{
    const vec product = a * b;
    const mask nan = v_is_nan(product);
    if (!m_any(nan))
        return product;
    return v_select(m_without(nan, v_is_nan(a + b)), v_zero(), product);
}

/* A loss without PARTS has one of that name, which nothing uses. */
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
