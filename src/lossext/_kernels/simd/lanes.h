/* Rows as lanes: transposes of pieces of rows to columns and back.
 *
 * A piece is PIECE adjacent elements of a row.  LANES pieces, one from each row, are transposed to PIECE vectors, the
 * columns. */
#ifndef LX_LANES_H
#define LX_LANES_H

#include "simd.h"

#if defined(LX_ISA_AVX512)
#include "lanes_avx512.h"
#elif defined(LX_ISA_AVX2)
#include "lanes_avx2.h"
#else /* a vector is as long as a piece, so that PIECE rows of it are transposed */
enum { PIECE = LANES };

/* PIECE columns of LANES rows, which begin at p, p + cols, ... */
INLINE void v_turn(vec v[PIECE], const real *p, ptrdiff_t cols)
{
    UNROLL(4)
    for (int i = 0; i < PIECE; i++)
        v[i] = v_load(p + i * cols);
    v_transpose(v);
}

/* The reverse.  Rows are written in ascending order, so that what a piece writes past its row is overwritten by the
 * next row. */
INLINE void v_turn_back(vec v[PIECE], real *p, ptrdiff_t cols)
{
    v_transpose(v);
    UNROLL(4)
    for (int i = 0; i < PIECE; i++)
        v_store(p + i * cols, v[i]);
}
#endif

enum { PIECES = LANES / PIECE };

#endif
