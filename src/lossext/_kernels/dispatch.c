/* The tables of kernels, and the choice of the instruction set.
 *
 * CPUID and XGETBV are called directly: __builtin_cpu_supports needs a compiler library that is not always linked, and
 * ifunc (target_clones) does not exist on musl. */
#include "job.h"
#include "layer/layer.h"
#include "maths.h"
#include "objective.h"
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

/* setup.py writes lx_losses.inc from the folder losses/, with a line LX_LOSS(family, name, "parameters") per loss. */
#define KERNEL(family, name, level, type) lx_##family##_##name##_##level##_##type
#define DECLARE(function) int function(const lx_job *, ptrdiff_t, ptrdiff_t, lx_total *);
#define KERNELS(family, name, level) DECLARE(KERNEL(family, name, level, f32)) DECLARE(KERNEL(family, name, level, f64))
#define PAIR(family, name, level) {KERNEL(family, name, level, f32), KERNEL(family, name, level, f64)}
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

#define EVERY_LEVEL(family, name) \
    KERNELS(family, name, baseline) IF_AVX2(KERNELS(family, name, avx2)) IF_AVX512(KERNELS(family, name, avx512))
#define TABLE(family, name) \
    {[LX_BASELINE] = PAIR(family, name, baseline), IF_AVX2([LX_AVX2] = PAIR(family, name, avx2), ) \
     IF_AVX512([LX_AVX512] = PAIR(family, name, avx512))}

#define LX_LOSS(family, name, parameters) EVERY_LEVEL(family, name)
#include "lx_losses.inc"
#undef LX_LOSS

static const struct {
    const char *family, *name, *parameters;
    lx_block_kernel kernel[LX_LEVELS][LX_TYPES];
} losses[] = {
#define LX_LOSS(family, name, parameters) {#family, #name, parameters, TABLE(family, name)},
#include "lx_losses.inc"
#undef LX_LOSS
};

#define COUNT(name) EVERY_LEVEL(count, name)
COUNT(elements) COUNT(by_row) COUNT(rows)
static const lx_block_kernel counts[LX_COUNTS][LX_LEVELS][LX_TYPES] = {
    [LX_COUNT_ELEMENTS] = TABLE(count, elements),
    [LX_COUNT_BY_ROW] = TABLE(count, by_row),
    [LX_COUNT_ROWS] = TABLE(count, rows),
};

#define OBJECTIVE(name) EVERY_LEVEL(objective, name)
OBJECTIVE(derive) OBJECTIVE(limit)
static const lx_block_kernel objectives[LX_OBJECTIVES][LX_LEVELS][LX_TYPES] = {
    [LX_DERIVE] = TABLE(objective, derive),
    [LX_LIMIT] = TABLE(objective, limit),
};

#define STEPS(level) extern const lx_layer_steps lx_layer_##level##_f32, lx_layer_##level##_f64;
#define STEPS_PAIR(level) {&lx_layer_##level##_f32, &lx_layer_##level##_f64}
STEPS(baseline) IF_AVX2(STEPS(avx2)) IF_AVX512(STEPS(avx512))

static const lx_layer_steps *const layer[LX_LEVELS][LX_TYPES] = {
    [LX_BASELINE] = STEPS_PAIR(baseline), IF_AVX2([LX_AVX2] = STEPS_PAIR(avx2), )
    IF_AVX512([LX_AVX512] = STEPS_PAIR(avx512))};

#define FUNCTIONS(level) extern const lx_vector_function lx_maths_##level##_f32[], lx_maths_##level##_f64[];
#define FUNCTIONS_PAIR(level) {lx_maths_##level##_f32, lx_maths_##level##_f64}
FUNCTIONS(baseline) IF_AVX2(FUNCTIONS(avx2)) IF_AVX512(FUNCTIONS(avx512))

static const lx_vector_function *const maths[LX_LEVELS][LX_TYPES] = {
    [LX_BASELINE] = FUNCTIONS_PAIR(baseline), IF_AVX2([LX_AVX2] = FUNCTIONS_PAIR(avx2), )
    IF_AVX512([LX_AVX512] = FUNCTIONS_PAIR(avx512))};

int lx_find_loss(const char *family, const char *name)
{
    for (int i = 0; i < (int)(sizeof losses / sizeof *losses); i++)
        if (!strcmp(losses[i].family, family) && !strcmp(losses[i].name, name))
            return i;
    return -1;
}

const char *lx_parameters(int loss) { return losses[loss].parameters; }

/* Set by lx_find_level at import, before other threads can read it. */
static int level = LX_BASELINE;

const char *lx_level_name(int l)
{
    static const char *const names[LX_LEVELS] = {"baseline", "avx2", "avx512"};
    return names[l];
}

int lx_level_supported(int l) { return l <= cpu_level() && losses[0].kernel[l][LX_FLOAT32] != NULL; }

void lx_find_level(void)
{
    int best = LX_LEVELS - 1;
    while (!lx_level_supported(best))
        best--;
    level = best;
}

int lx_level(void) { return level; }

void lx_set_level(int l) { level = l; }

lx_block_kernel lx_kernel(int loss, int type) { return losses[loss].kernel[level][type]; }

lx_block_kernel lx_count(int what, int type) { return counts[what][level][type]; }

lx_block_kernel lx_objective_kernel(int what, int type) { return objectives[what][level][type]; }

const lx_layer_steps *lx_layer_kernels(int type) { return layer[level][type]; }

const lx_vector_function *lx_vector_functions(int type) { return maths[level][type]; }
