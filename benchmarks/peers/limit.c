/* The least that a loss must do to memory: read its input (and its target, if that is as large), write a gradient.
 * On 64-bit words whatever the dtype: it is the traffic that counts. */
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define WORDS 8
#elif defined(__AVX__)
#define WORDS 4
#else
#define WORDS 2
#endif
typedef uint64_t vec __attribute__((vector_size(8 * WORDS)));
typedef uint64_t loose __attribute__((vector_size(8 * WORDS), aligned(8), may_alias)); /* NumPy aligns to 16 */

static inline void stream(uint64_t *p, vec v)
{
#if defined(__AVX512F__)
    _mm512_stream_si512((void *)p, (__m512i)v);
#elif defined(__AVX__)
    _mm256_stream_si256((void *)p, (__m256i)v);
#elif defined(__x86_64__)
    _mm_stream_si128((void *)p, (__m128i)v);
#else
    *(loose *)p = v;
#endif
}

/* Words before the next multiple of the vector's size: streams are faster on whole cache lines. */
static ptrdiff_t head(const void *p, ptrdiff_t n)
{
    ptrdiff_t words = (ptrdiff_t)((-(uintptr_t)p % sizeof(vec)) / 8);
    return words < n ? words : n;
}

uint64_t limit_read(const uint64_t *x, const uint64_t *y, ptrdiff_t n)
{
    uint64_t sum = 0;
#pragma omp parallel reduction(+ : sum)
    {
        vec a = {0}, b = {0}, c = {0}, d = {0};
        ptrdiff_t first = head(x, n), i;
#pragma omp for schedule(static)
        for (i = first; i <= n - 4 * WORDS; i += 4 * WORDS) {
            a += *(const loose *)(x + i);
            b += *(const loose *)(x + i + WORDS);
            c += *(const loose *)(x + i + 2 * WORDS);
            d += *(const loose *)(x + i + 3 * WORDS);
            if (y) {
                a += *(const loose *)(y + i);
                b += *(const loose *)(y + i + WORDS);
                c += *(const loose *)(y + i + 2 * WORDS);
                d += *(const loose *)(y + i + 3 * WORDS);
            }
        }
        a += b + c + d;
        for (i = 0; i < WORDS; i++)
            sum += a[i];
    }
    return sum;
}

void limit_write(const uint64_t *x, const uint64_t *y, uint64_t *out, ptrdiff_t n, int around_caches)
{
    ptrdiff_t first = head(out, n);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = first; i <= n - WORDS; i += WORDS) {
        vec v = *(const loose *)(x + i);
        if (y)
            v += *(const loose *)(y + i);
        if (around_caches)
            stream(out + i, v);
        else
            *(loose *)(out + i) = v;
    }
#if defined(__x86_64__)
    _mm_sfence();
#endif
}
