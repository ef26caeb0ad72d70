/* Rows as lanes of AVX2: a vector takes 16 bytes of two rows, which are transposed within its halves. */
#ifdef LX_DOUBLE
enum { PIECE = 2 };
#define LOAD_PIECE _mm_loadu_pd
#define STORE_PIECE _mm_storeu_pd
#define LOW(v) _mm256_castpd256_pd128(v)
#define HIGH(v) _mm256_extractf128_pd(v, 1)
#define HALVES(low, high) _mm256_insertf128_pd(_mm256_castpd128_pd256(low), high, 1)
#else
enum { PIECE = 4 };
#define LOAD_PIECE _mm_loadu_ps
#define STORE_PIECE _mm_storeu_ps
#define LOW(v) _mm256_castps256_ps128(v)
#define HIGH(v) _mm256_extractf128_ps(v, 1)
#define HALVES(low, high) _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1)
#endif

INLINE void v_transpose(vec v[PIECE])
{
#ifdef LX_DOUBLE
    const vec a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    v[0] = a, v[1] = b;
#else
#define PAIRS(part, a, b) _mm256_castpd_ps(_mm256_##part##_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)))
    const vec a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    const vec c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = PAIRS(unpacklo, a, c), v[1] = PAIRS(unpackhi, a, c);
    v[2] = PAIRS(unpacklo, b, d), v[3] = PAIRS(unpackhi, b, d);
#undef PAIRS
#endif
}

INLINE void v_turn(vec v[PIECE], const real *p, ptrdiff_t cols)
{
    UNROLL(4)
    for (int i = 0; i < PIECE; i++)
        v[i] = HALVES(LOAD_PIECE(p + i * cols), LOAD_PIECE(p + (i + PIECE) * cols));
    v_transpose(v);
}

INLINE void v_turn_back(vec v[PIECE], real *p, ptrdiff_t cols)
{
    v_transpose(v);
    UNROLL(4)
    for (int i = 0; i < PIECE; i++, p += cols)
        STORE_PIECE(p, LOW(v[i]));
    UNROLL(4)
    for (int i = 0; i < PIECE; i++, p += cols)
        STORE_PIECE(p, HIGH(v[i]));
}

#undef LOAD_PIECE
#undef STORE_PIECE
#undef LOW
#undef HIGH
#undef HALVES
