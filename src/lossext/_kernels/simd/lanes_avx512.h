/* Rows as lanes of AVX-512: 16 bytes of four rows as floats, 32 bytes of two rows as doubles. */
enum { PIECE = 4 };

#ifdef LX_DOUBLE
INLINE vec two_rows(const real *p, const real *q)
{
    return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(p)), _mm256_loadu_pd(q), 1);
}

INLINE void v_turn(vec v[PIECE], const real *p, ptrdiff_t cols)
{
    const vec a = two_rows(p, p + 2 * cols), b = two_rows(p + cols, p + 3 * cols);
    p += 4 * cols;
    const vec c = two_rows(p, p + 2 * cols), d = two_rows(p + cols, p + 3 * cols);
    const vec e = _mm512_unpacklo_pd(a, b), f = _mm512_unpackhi_pd(a, b);
    const vec g = _mm512_unpacklo_pd(c, d), h = _mm512_unpackhi_pd(c, d);
    v[0] = _mm512_shuffle_f64x2(e, g, 0x88), v[1] = _mm512_shuffle_f64x2(f, h, 0x88);
    v[2] = _mm512_shuffle_f64x2(e, g, 0xdd), v[3] = _mm512_shuffle_f64x2(f, h, 0xdd);
}

INLINE void v_turn_back(vec v[PIECE], real *p, ptrdiff_t cols)
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const vec e = _mm512_permutex2var_pd(v[0], low, v[2]), f = _mm512_permutex2var_pd(v[1], low, v[3]);
    const vec g = _mm512_permutex2var_pd(v[0], high, v[2]), h = _mm512_permutex2var_pd(v[1], high, v[3]);
    const vec row[4] = {_mm512_unpacklo_pd(e, f), _mm512_unpackhi_pd(e, f), _mm512_unpacklo_pd(g, h),
                        _mm512_unpackhi_pd(g, h)}; /* rows 0 and 2, 1 and 3, 4 and 6, 5 and 7 */
    UNROLL(2)
    for (int half = 0; half < 2; half++, p += 4 * cols) {
        const vec a = row[2 * half], b = row[2 * half + 1];
        _mm256_storeu_pd(p, _mm512_castpd512_pd256(a));
        _mm256_storeu_pd(p + cols, _mm512_castpd512_pd256(b));
        _mm256_storeu_pd(p + 2 * cols, _mm512_extractf64x4_pd(a, 1));
        _mm256_storeu_pd(p + 3 * cols, _mm512_extractf64x4_pd(b, 1));
    }
}
#else
/* Transposes within each quarter. */
INLINE void v_transpose(vec v[PIECE])
{
#define PAIRS(part, a, b) _mm512_castpd_ps(_mm512_##part##_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))
    const vec a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    const vec c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    v[0] = PAIRS(unpacklo, a, c), v[1] = PAIRS(unpackhi, a, c);
    v[2] = PAIRS(unpacklo, b, d), v[3] = PAIRS(unpackhi, b, d);
#undef PAIRS
}

INLINE void v_turn(vec v[PIECE], const real *p, ptrdiff_t cols)
{
    const ptrdiff_t apart = PIECE * cols;
    UNROLL(4)
    for (int i = 0; i < PIECE; i++, p += cols) {
        v[i] = _mm512_castps128_ps512(_mm_loadu_ps(p));
        v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(p + apart), 1);
        v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(p + 2 * apart), 2);
        v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(p + 3 * apart), 3);
    }
    v_transpose(v);
}

INLINE void v_turn_back(vec v[PIECE], real *p, ptrdiff_t cols)
{
    v_transpose(v);
#define STORE_QUARTER(quarter) \
    UNROLL(4) \
    for (int i = 0; i < PIECE; i++, p += cols) \
        _mm_storeu_ps(p, _mm512_extractf32x4_ps(v[i], quarter));
    STORE_QUARTER(0) STORE_QUARTER(1) STORE_QUARTER(2) STORE_QUARTER(3)
#undef STORE_QUARTER
}
#endif
