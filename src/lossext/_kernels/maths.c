/* Each function of simd/vmath.h over arrays, compiled once for each type and instruction set, for tests. */
#include "maths.h"
#include "simd/lanes.h"
#include "simd/vmath.h"

INLINE vec v_lanes(vec x) { return v_set((real)LANES) + v_zero() * x; }
INLINE vec v_of_wide_of(vec x) { return v_of_wide(wide_of(x)); }
INLINE vec v_greatest_of(vec x) { return v_set(v_greatest(x)); }

#define SIGNATURE (const void *first, const void *second, void *result, ptrdiff_t n)

/* Whole vectors, then the remainder */
#define OVER_ARRAY(step) \
    const real *a = first, *b = second; \
    real *r = result; \
    for (; n >= LANES; n -= LANES, a += LANES, b += LANES, r += LANES) { \
        const vec x = v_load(a), y = v_load(b); \
        (void)y; \
        v_store(r, step); \
    } \
    if (n > 0) { \
        const vec x = v_load_first(a, n, 1), y = v_load_first(b, n, 1); \
        (void)y; \
        v_store_first(r, step, n); \
    }
#define UNARY(name) \
    static void name##_of SIGNATURE { OVER_ARRAY(v_##name(x)) }
#define BINARY(name) \
    static void name##_of SIGNATURE { OVER_ARRAY(v_##name(x, y)) }
#define MATRIX(name)
#include "maths_list.h"
#undef UNARY
#undef BINARY
#undef MATRIX

/* Transposes a matrix of LANES rows piece by piece, and back */
static void turn_of SIGNATURE
{
    const ptrdiff_t cols = n / LANES;
    (void)second;
    for (ptrdiff_t c = 0; c + PIECE <= cols; c += PIECE) {
        vec v[PIECE];
        v_turn(v, (const real *)first + c, cols);
        for (int i = 0; i < PIECE; i++)
            v_store((real *)result + (c + i) * LANES, v[i]);
    }
}

static void turn_back_of SIGNATURE
{
    const ptrdiff_t cols = n / LANES;
    (void)second;
    for (ptrdiff_t c = 0; c + PIECE <= cols; c += PIECE) {
        vec v[PIECE];
        for (int i = 0; i < PIECE; i++)
            v[i] = v_load((const real *)first + (c + i) * LANES);
        v_turn_back(v, (real *)result + c, cols);
    }
}

#define UNARY(name) {#name, 1, name##_of},
#define BINARY(name) {#name, 2, name##_of},
#define MATRIX(name) {#name, 1, name##_of},
const lx_vector_function LX_KERNEL[] = {
#include "maths_list.h"
    {NULL, 0, NULL}};
