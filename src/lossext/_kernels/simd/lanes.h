/* What the vector layer lacks for rows as lanes: pieces of 16 bytes turned from rows into columns and back.
 *
 * A vector takes 16 bytes from each of LANES / PIECE rows; PIECE such vectors are transposed within their 128-bit
 * lanes, which is the same few unpackings on every x86 level, and are then PIECE columns of LANES rows. */
#ifndef LANES_H
#define LANES_H

#include "vmath.h"

#define PREFETCH_TO_WRITE(p) __builtin_prefetch(p, 1)

#if defined(LX_ISA_AVX512) && defined(LX_DOUBLE)
enum { PIECE_BYTES = 32 };
#else
enum { PIECE_BYTES = 16 };
#endif
enum { PIECE = PIECE_BYTES / sizeof(real), PIECES = LANES / PIECE };

#if defined(LX_ISA_AVX512)
#define WIDTH(name) _mm512_##name
#elif defined(LX_ISA_AVX2)
#define WIDTH(name) _mm256_##name
#elif defined(__SSE2__)
#define WIDTH(name) _mm_##name
#endif

#ifdef WIDTH
#ifdef LX_DOUBLE
#define LOAD_PIECE _mm_loadu_pd
#define STORE_PIECE _mm_storeu_pd
#else
#define LOAD_PIECE _mm_loadu_ps
#define STORE_PIECE _mm_storeu_ps
#endif

/* Transposes PIECE x PIECE within each 128-bit lane. */
INLINE void v_transpose(vec v[PIECE])
{
#ifdef LX_DOUBLE
    const vec a = WIDTH(unpacklo_pd)(v[0], v[1]), b = WIDTH(unpackhi_pd)(v[0], v[1]);
    v[0] = a, v[1] = b;
#else
#define PAIR(how, a, b) WIDTH(castpd_ps)(WIDTH(how)(WIDTH(castps_pd)(a), WIDTH(castps_pd)(b)))
    const vec a = WIDTH(unpacklo_ps)(v[0], v[1]), b = WIDTH(unpackhi_ps)(v[0], v[1]);
    const vec c = WIDTH(unpacklo_ps)(v[2], v[3]), d = WIDTH(unpackhi_ps)(v[2], v[3]);
    v[0] = PAIR(unpacklo_pd, a, c), v[1] = PAIR(unpackhi_pd, a, c);
    v[2] = PAIR(unpacklo_pd, b, d), v[3] = PAIR(unpackhi_pd, b, d);
#undef PAIR
#endif
}

/* PIECE columns of LANES rows from their beginnings at p, p + cols, ... */
INLINE void v_turn(vec v[PIECE], const real *p, ptrdiff_t cols)
{
#if defined(LX_ISA_AVX512) && defined(LX_DOUBLE) /* pieces of four: rows 0 and 2, 1 and 3, 4 and 6, 5 and 7 */
#define ROWS(i, k) \
    _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(p + (i) * cols)), _mm256_loadu_pd(p + (k) * cols), 1)
    const vec a = ROWS(0, 2), b = ROWS(1, 3), c = ROWS(4, 6), d = ROWS(5, 7);
#undef ROWS
    const vec e = _mm512_unpacklo_pd(a, b), f = _mm512_unpackhi_pd(a, b);
    const vec g = _mm512_unpacklo_pd(c, d), h = _mm512_unpackhi_pd(c, d);
    v[0] = _mm512_shuffle_f64x2(e, g, 0x88), v[1] = _mm512_shuffle_f64x2(f, h, 0x88);
    v[2] = _mm512_shuffle_f64x2(e, g, 0xdd), v[3] = _mm512_shuffle_f64x2(f, h, 0xdd);
#else
    UNROLL(4)
    for (int i = 0; i < PIECE; i++, p += cols) {
        const ptrdiff_t apart = PIECE * cols;
#if defined(LX_ISA_AVX512)
        v[i] = _mm512_castps128_ps512(LOAD_PIECE(p));
        v[i] = _mm512_insertf32x4(v[i], LOAD_PIECE(p + apart), 1);
        v[i] = _mm512_insertf32x4(v[i], LOAD_PIECE(p + 2 * apart), 2);
        v[i] = _mm512_insertf32x4(v[i], LOAD_PIECE(p + 3 * apart), 3);
#elif defined(LX_ISA_AVX2) && defined(LX_DOUBLE)
        v[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(LOAD_PIECE(p)), LOAD_PIECE(p + apart), 1);
#elif defined(LX_ISA_AVX2)
        v[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(LOAD_PIECE(p)), LOAD_PIECE(p + apart), 1);
#else
        (void)apart;
        v[i] = LOAD_PIECE(p);
#endif
    }
    v_transpose(v);
#endif
}

/* The reverse, row after row: what a piece writes into the next row is overwritten. */
INLINE void v_turn_back(vec v[PIECE], real *p, ptrdiff_t cols)
{
#if defined(LX_ISA_AVX512) && defined(LX_DOUBLE)
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const vec e = _mm512_permutex2var_pd(v[0], low, v[2]), f = _mm512_permutex2var_pd(v[1], low, v[3]);
    const vec g = _mm512_permutex2var_pd(v[0], high, v[2]), h = _mm512_permutex2var_pd(v[1], high, v[3]);
    const vec row[8] = {_mm512_unpacklo_pd(e, f), _mm512_unpackhi_pd(e, f), _mm512_unpacklo_pd(g, h),
                        _mm512_unpackhi_pd(g, h)};
    for (int half = 0; half < 2; half++, p += 4 * cols) {
        const vec a = row[2 * half], b = row[2 * half + 1];
        _mm256_storeu_pd(p, _mm512_castpd512_pd256(a));
        _mm256_storeu_pd(p + cols, _mm512_castpd512_pd256(b));
        _mm256_storeu_pd(p + 2 * cols, _mm512_extractf64x4_pd(a, 1));
        _mm256_storeu_pd(p + 3 * cols, _mm512_extractf64x4_pd(b, 1));
    }
#else
    v_transpose(v);
#if defined(LX_ISA_AVX512)
#define STORE_PART(part) \
    UNROLL(4) \
    for (int i = 0; i < PIECE; i++, p += cols) \
        STORE_PIECE(p, part ? _mm512_extractf32x4_ps(v[i], part) : _mm512_castps512_ps128(v[i]));
    STORE_PART(0) STORE_PART(1) STORE_PART(2) STORE_PART(3)
#elif defined(LX_ISA_AVX2) && defined(LX_DOUBLE)
#define STORE_PART(part) \
    UNROLL(4) \
    for (int i = 0; i < PIECE; i++, p += cols) \
        STORE_PIECE(p, part ? _mm256_extractf128_pd(v[i], part) : _mm256_castpd256_pd128(v[i]));
    STORE_PART(0) STORE_PART(1)
#elif defined(LX_ISA_AVX2)
#define STORE_PART(part) \
    UNROLL(4) \
    for (int i = 0; i < PIECE; i++, p += cols) \
        STORE_PIECE(p, part ? _mm256_extractf128_ps(v[i], part) : _mm256_castps256_ps128(v[i]));
    STORE_PART(0) STORE_PART(1)
#else
    UNROLL(4)
    for (int i = 0; i < PIECE; i++, p += cols)
        STORE_PIECE(p, v[i]);
#endif
#undef STORE_PART
#endif
}

/* Double lanes as reals. */
INLINE vec v_of_wide(wide w)
{
#ifdef LX_DOUBLE
    return w.part[0];
#elif defined(LX_ISA_AVX512)
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(w.part[0])), _mm512_cvtpd_ps(w.part[1]), 1);
#elif defined(LX_ISA_AVX2)
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(w.part[0])), _mm256_cvtpd_ps(w.part[1]), 1);
#else
    return _mm_movelh_ps(_mm_cvtpd_ps(w.part[0]), _mm_cvtpd_ps(w.part[1]));
#endif
}

INLINE real v_greatest(vec a)
{
#if defined(LX_ISA_AVX512) && defined(LX_DOUBLE)
    return _mm512_reduce_max_pd(a);
#elif defined(LX_ISA_AVX512)
    return _mm512_reduce_max_ps(a);
#else
    real lane[LANES], greatest;
    v_store(lane, a);
    greatest = lane[0];
    for (int i = 1; i < LANES; i++)
        greatest = lane[i] > greatest ? lane[i] : greatest;
    return greatest;
#endif
}

#undef WIDTH
#else
#error "the prototype has x86 only: NEON's zip1 and zip2 on the same pieces would serve"
#endif
#endif
