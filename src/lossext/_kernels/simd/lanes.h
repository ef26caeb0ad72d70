/* Rows as lanes: pieces of rows turned into columns and back.
 *
 * A piece is PIECE neighbours in a row.  LANES pieces, one of each row, are PIECE vectors: the columns. */
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

/* The reverse.  The first row is written first: what a piece writes beyond its row, the next row overwrites. */
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
