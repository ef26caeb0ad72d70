/* The kernel table and the choice of its row.
 *
 * Own CPUID and XGETBV: __builtin_cpu_supports needs a library of the compiler's that some link lines lack, and ifunc
 * (target_clones) does not exist on musl. */
#include "layer/layer.h"
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static unsigned long long saved_registers(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned r[4])
{
    if (!__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]))
        r[0] = r[1] = r[2] = r[3] = 0;
}
static unsigned long long saved_registers(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (unsigned long long)high << 32 | low;
}
#endif

static int cpu_level(void)
{
    unsigned r1[4], r7[4];
    cpuid(1, r1);
    const unsigned osxsave = r1[2] >> 27 & 1, avx = r1[2] >> 28 & 1, fma = r1[2] >> 12 & 1;
    if (!osxsave || !avx || !fma || (saved_registers() & 0x06) != 0x06)
        return LX_BASELINE;
    cpuid(7, r7);
    const unsigned avx2 = r7[1] >> 5 & 1, bmi2 = r7[1] >> 8 & 1;
    if (!avx2 || !bmi2)
        return LX_BASELINE;
    const unsigned f = r7[1] >> 16 & 1, dq = r7[1] >> 17 & 1, bw = r7[1] >> 30 & 1, vl = r7[1] >> 31 & 1;
    return f && dq && bw && vl && (saved_registers() & 0xe6) == 0xe6 ? LX_AVX512 : LX_AVX2;
}
#else
static int cpu_level(void) { return LX_BASELINE; }
#endif

/* setup.py writes lx_losses.inc from the folder maths/: LX_LOSS(family, name) a line. */
#define KERNELS(family, name, level) \
    int lx_##family##_##name##_##level##_f32(const lx_job *, ptrdiff_t, ptrdiff_t, double *); \
    int lx_##family##_##name##_##level##_f64(const lx_job *, ptrdiff_t, ptrdiff_t, double *);
#define PAIR(family, name, level) {lx_##family##_##name##_##level##_f32, lx_##family##_##name##_##level##_f64}
#ifdef LX_HAVE_AVX2
#define IF_AVX2(...) __VA_ARGS__
#else
#define IF_AVX2(...)
#endif
#ifdef LX_HAVE_AVX512
#define IF_AVX512(...) __VA_ARGS__
#else
#define IF_AVX512(...)
#endif

#define LX_LOSS(family, name) \
    KERNELS(family, name, baseline) IF_AVX2(KERNELS(family, name, avx2)) IF_AVX512(KERNELS(family, name, avx512))
#include "lx_losses.inc"
#undef LX_LOSS

static const struct {
    const char *name;
    lx_block_kernel kernel[LX_LEVELS][LX_TYPES];
} losses[] = {
#define LX_LOSS(family, name) \
    {#name, {[LX_BASELINE] = PAIR(family, name, baseline), IF_AVX2([LX_AVX2] = PAIR(family, name, avx2), ) \
             IF_AVX512([LX_AVX512] = PAIR(family, name, avx512))}},
#include "lx_losses.inc"
#undef LX_LOSS
};

#define STEPS(level) extern const lx_layer_steps lx_layer_##level##_f32, lx_layer_##level##_f64;
#define STEPS_PAIR(level) {&lx_layer_##level##_f32, &lx_layer_##level##_f64}
STEPS(baseline) IF_AVX2(STEPS(avx2)) IF_AVX512(STEPS(avx512))

static const lx_layer_steps *const layer[LX_LEVELS][LX_TYPES] = {
    [LX_BASELINE] = STEPS_PAIR(baseline), IF_AVX2([LX_AVX2] = STEPS_PAIR(avx2), )
    IF_AVX512([LX_AVX512] = STEPS_PAIR(avx512))};

int lx_find_loss(const char *name)
{
    for (int i = 0; i < (int)(sizeof losses / sizeof *losses); i++)
        if (!strcmp(losses[i].name, name))
            return i;
    return -1;
}

static int level = -1;

const char *lx_level_name(int l)
{
    static const char *const names[LX_LEVELS] = {"baseline", "avx2", "avx512"};
    return names[l];
}

int lx_level_supported(int l) { return l <= cpu_level() && losses[0].kernel[l][LX_FLOAT32] != NULL; }

int lx_level(void)
{
    if (level < 0)
        for (level = LX_LEVELS - 1; !lx_level_supported(level);)
            level--;
    return level;
}

void lx_set_level(int l) { level = l; }

lx_block_kernel lx_kernel(int loss, int type) { return losses[loss].kernel[lx_level()][type]; }

const lx_layer_steps *lx_layer_kernels(int type) { return layer[lx_level()][type]; }
