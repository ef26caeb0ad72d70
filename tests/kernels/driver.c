/* Every kernel without Python: prints a line of checksums for each kernel, type and instruction set; status 1 where one
 * wrote beyond its arrays.  tools/kernels compares the lines of instruction sets and platforms. */
#include "job.h"
#include "layer/layer.h"
#include "maths.h"
#include "runtime.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *family, *name;
} losses[] = {
#define LX_LOSS(family, name, parameters) {#family, #name},
#include "lx_losses.inc"
};
enum { LOSSES = sizeof losses / sizeof *losses };

static int failures = 0;

/* ---- numbers, the same everywhere and on each instruction set ---- */

static const uint64_t seed = 88172645463325252u;
static uint64_t state;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static void *room(size_t bytes) /* on a cache line, with a rim that shows what is written beyond */
{
    enum { RIM = 64 };
    unsigned char *memory = malloc(bytes + 2 * RIM + 64);
    if (!memory)
        exit(2);
    memory += 64 - (uintptr_t)memory % 64;
    memset(memory + bytes, 0xa5, RIM);
    return memory;
}

static void check_rim(const void *memory, size_t bytes, const char *what)
{
    for (int i = 0; i < 64; i++)
        if (((const unsigned char *)memory)[bytes + i] != 0xa5) {
            printf("WROTE BEYOND: %s\n", what);
            failures++;
            return;
        }
}

static double get(const void *array, int type, ptrdiff_t i)
{
    return type == LX_FLOAT64 ? ((const double *)array)[i] : ((const float *)array)[i];
}

static void put(void *array, int type, ptrdiff_t i, double value)
{
    if (type == LX_FLOAT64)
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = (float)value;
}

static size_t size_of(int type) { return type == LX_FLOAT64 ? 8 : 4; }

static void *numbers(int type, ptrdiff_t n, double low, double high)
{
    void *array = room((size_t)n * size_of(type));
    for (ptrdiff_t i = 0; i < n; i++) /* short fractions: both types hold them */
        put(array, type, i, floor((low + (high - low) * uniform()) * 4096) / 4096);
    return array;
}

/* A sum to which each element adds in its own way. */
static double checksum(const void *array, int type, ptrdiff_t n)
{
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        sum += get(array, type, i) * (1 + (double)(i % 7) / 8);
    return sum;
}

/* ---- dense losses ---- */

enum { ROWS = 37, MOST = 300 };

typedef struct {
    void *x, *y, *weight, *value, *grad, *hess;
    int64_t *ids;
    uint8_t *mask;
} arrays;

static void dense(int loss, int type, ptrdiff_t cols, const arrays *a, int ids, int weighted)
{
    const ptrdiff_t n = ROWS * cols;
    const int by_row = strcmp(losses[loss].family, "element") != 0;
    const ptrdiff_t end = by_row ? ROWS : n;
    lx_job job;
    lx_total total = {0, 0, 0};
    memset(&job, 0, sizeof job);
    job.size = sizeof job;
    job.rows = ROWS, job.cols = cols, job.input = a->x;
    job.target.data = ids ? (const void *)a->ids : a->y;
    job.target.type = ids ? LX_INT64 : LX_REAL, job.target.layout = LX_FULL;
    job.domain.low = -HUGE_VAL, job.domain.high = HUGE_VAL;
    job.target_scale = 1;
    if (weighted) {
        job.weight[LX_SAMPLE_WEIGHT].data = a->weight, job.weight[LX_SAMPLE_WEIGHT].layout = LX_BY_ROW;
        job.mask.data = a->mask, job.mask.type = LX_UINT8, job.mask.layout = by_row ? LX_BY_ROW : LX_FULL;
    }
    for (int k = 0; k < LX_PARAMETERS; k++) /* a pos_weight other than 1 is an operand */
        job.parameter[k] = strcmp(lx_parameters(loss), "pos_weight") ? 0.75 : 1;
    job.value_divisor = 1, job.grad_scale = 0.5;
#ifdef LX_HAS_INNER
    job.inner = 1, job.holds_classes = ids == 1;
#endif
#ifdef LX_HAS_SETS
    job.set_length = ids;
#endif
    job.reduce = LX_TOTAL, job.grad = a->grad, job.hess = a->hess;
    const lx_block_kernel kernel = lx_kernel(loss, type);
    int bad = kernel(&job, 0, end, &total);
    printf("%s %s %s cols=%d ids=%d weighted=%d:", losses[loss].family, losses[loss].name, type ? "f64" : "f32",
           (int)cols, ids, weighted);
    if (bad) {
        printf(" refused\n");
        return;
    }
    check_rim(a->grad, (size_t)n * size_of(type), losses[loss].name);
    check_rim(a->hess, (size_t)n * size_of(type), losses[loss].name);
    if (strcmp(losses[loss].family, "labels") == 0)
        memset(a->hess, 0, (size_t)n * size_of(type)); /* which this family has not */
    printf(" %.17g %.17g %.17g", total.sum + total.rest, checksum(a->grad, type, n), checksum(a->hess, type, n));
    job.grad = job.hess = NULL;
    job.reduce = by_row ? LX_ROWS : LX_ELEMENTS, job.value = a->value;
    bad = kernel(&job, 0, end, &total);
    check_rim(a->value, (size_t)end * size_of(type), losses[loss].name);
    printf(" %.17g\n", checksum(a->value, type, end));
}

#ifdef LX_HAS_SETS
/* Up to two labels a row, padded with -1. */
static void label_sets(int loss, int type, ptrdiff_t cols, const arrays *a)
{
    enum { SET = 3 };
    int64_t *labels = room(ROWS * SET * 8);
    for (int r = 0; r < ROWS; r++) {
        labels[SET * r] = r % cols;
        labels[SET * r + 1] = r % 3 && cols > 1 ? (r + 1) % cols : -1;
        labels[SET * r + 2] = -1;
    }
    arrays sets = *a;
    sets.ids = labels;
    for (int weighted = 0; weighted < 2; weighted++)
        dense(loss, type, cols, &sets, SET, weighted);
}
#endif

static void all_dense(int type)
{
    static const ptrdiff_t widths[] = {1, 3, 7, 16, 61, 300};
    for (int w = 0; w < (int)(sizeof widths / sizeof *widths); w++) {
        const ptrdiff_t cols = widths[w], n = ROWS * cols;
        arrays a;
        a.x = numbers(type, n, 0.02, 0.98), a.y = numbers(type, n, 0.25, 1);
        a.weight = numbers(type, ROWS, 0.5, 2);
        a.grad = room((size_t)n * size_of(type)), a.hess = room((size_t)n * size_of(type));
        a.ids = room((size_t)n * 8), a.mask = room((size_t)n);
        for (ptrdiff_t i = 0; i < n; i++) {
            a.ids[i] = i % cols;
            a.mask[i] = i % 5 != 0;
        }
        for (int loss = 0; loss < LOSSES; loss++) {
            const int by_row = strcmp(losses[loss].family, "element") != 0;
#ifdef LX_HAS_SETS
            if (strcmp(losses[loss].family, "labels") == 0) {
                a.value = room(ROWS * size_of(type));
                label_sets(loss, type, cols, &a);
                continue;
            }
#endif
            a.value = room((size_t)(by_row ? ROWS : n) * size_of(type));
            for (int ids = 0; ids <= by_row; ids++)
                for (int weighted = 0; weighted < 2; weighted++)
                    dense(loss, type, cols, &a, ids, weighted);
        }
    }
}

/* ---- vector functions ---- */

static void all_maths(int type)
{
    enum { N = 1003 };
    void *a = numbers(type, N, -20, 20), *b = numbers(type, N, 0.5, 3), *r = room(N * size_of(type));
    for (const lx_vector_function *f = lx_vector_functions(type); f->name; f++) {
        if (strcmp(f->name, "lanes") == 0 || strncmp(f->name, "turn", 4) == 0 || strcmp(f->name, "greatest_of") == 0)
            continue; /* which are about the width of a vector */
        f->run(strcmp(f->name, "log_normal") ? a : b, b, r, N); /* which is of positive numbers alone */
        check_rim(r, N * size_of(type), f->name);
        double sum = 0;
        for (ptrdiff_t i = 0; i < N; i++) {
            const double v = get(r, type, i);
            if (fabs(v) < 1e30)
                sum += v / (1 + fabs(v)) * (1 + (double)(i % 7) / 8);
        }
        printf("maths %s %s: %.17g\n", f->name, type ? "f64" : "f32", sum);
    }
}

/* ---- layers ---- */

static void all_units(lx_step step, const void *job, ptrdiff_t units)
{
    for (ptrdiff_t unit = 0; unit < units; unit++)
        step(job, unit);
}

/* Softmax or sigmoid of all classes, a label a row, in one wave, on packed columns or on inputs and weights in place. */
static void linear(int type, int mode, ptrdiff_t rows, ptrdiff_t dim, ptrdiff_t classes, int direct)
{
    const lx_layer_steps *steps = lx_layer_kernels(type);
    const size_t item = size_of(type);
    lx_layer layer;
    lx_wave wave;
    memset(&layer, 0, sizeof layer);
    memset(&wave, 0, sizeof wave);
    const ptrdiff_t panel = steps->panel, stride = (dim + panel - 1) / panel * panel;
    const ptrdiff_t blocks = (rows + LX_ROW_BLOCK - 1) / LX_ROW_BLOCK, all_rows = blocks * LX_ROW_BLOCK;
    ptrdiff_t tiles = (classes + LX_CLASS_TILE - 1) / LX_CLASS_TILE;
    layer.tile = ((classes + tiles - 1) / tiles + 11) / 12 * 12;
    tiles = (classes + layer.tile - 1) / layer.tile;
    layer.rows = rows, layer.dim = dim, layer.classes = classes, layer.scale = 0.5, layer.stride = stride;
    layer.unpacked = layer.direct = direct, layer.one_tile = direct && tiles == 1;
    layer.inputs = numbers(type, rows * dim, -1, 1), layer.weights = numbers(type, classes * dim, -1, 1);
    layer.bias = numbers(type, classes, -1, 1);
    layer.upstream = numbers(type, all_rows, 0.5, 1);
    layer.loss = room((size_t)all_rows * 8);
    int64_t *start = room((size_t)(rows + 1) * 8), *row = room((size_t)rows * 8);
    int64_t *order = room((size_t)rows * 8), *first = room((size_t)(rows + 1) * 8), *group = room((size_t)rows * 8);
    ptrdiff_t groups = 0, placed = 0;
    for (ptrdiff_t i = 0; i <= rows; i++)
        start[i] = i;
    for (ptrdiff_t i = 0; i < rows; i++)
        row[i] = i * 5 % classes;
    for (ptrdiff_t c = 0; c < classes; c++) {
        const ptrdiff_t before = placed;
        for (ptrdiff_t i = 0; i < rows; i++)
            if (row[i] == c)
                order[placed++] = i;
        if (placed > before)
            group[groups] = c, first[groups++] = before;
    }
    first[groups] = placed;
    layer.labels.start = start, layer.labels.row = row;
    layer.labels.bias = numbers(type, rows, -1, 1), layer.labels.share = room((size_t)rows * item);
    layer.labels.rest = room((size_t)rows * item);
    for (ptrdiff_t i = 0; i < rows; i++) {
        put((void *)layer.labels.share, type, i, 1);
        put((void *)layer.labels.rest, type, i, 0);
        put((void *)layer.labels.bias, type, i, get(layer.bias, type, row[i]));
    }
    layer.labels.logit = room((size_t)rows * item), layer.labels.grad = room((size_t)rows * item);
    layer.hits.start = start, layer.hits.key = row; /* a row's own class is none of the others */
    layer.groups.count = groups, layer.groups.row = group, layer.groups.label = order, layer.groups.label_first = first;
    layer.grad_inputs = room((size_t)(rows * dim) * item);
    layer.grad_classes = layer.groups.weights = room((size_t)(classes * dim) * item);
    layer.grad_bias = layer.groups.biases = room((size_t)classes * item);
    layer.row_base = room((size_t)all_rows * item), layer.row_factor = room((size_t)all_rows * item);
    layer.row_label = room((size_t)all_rows * item), layer.row_rescale = room((size_t)all_rows * item);
    layer.row_sum = room((size_t)all_rows * 8);
    layer.packed_inputs = room((size_t)(all_rows * stride) * item);
    layer.columns = room((size_t)(all_rows * stride) * item);
    layer.packed_weights = room((size_t)(tiles * layer.tile * stride) * item);
    layer.logits = room((size_t)(tiles * blocks * layer.tile * LX_ROW_BLOCK) * item);
    layer.base = room((size_t)(tiles * all_rows) * item), layer.sum = room((size_t)(tiles * all_rows) * item);
    wave.layer = &layer, wave.mode = mode, wave.first_of_rows = wave.last_of_rows = wave.first_of_classes = 1;
    wave.keep = 1, wave.blocks = blocks, wave.tiles = tiles, wave.columns = dim;
    wave.panels = (dim + panel - 1) / panel, wave.group = 1;
    all_units(steps->label_logits, &wave, blocks);
    if (!direct) {
        all_units(steps->pack_weights, &wave, tiles);
        all_units(steps->pack_columns, &wave, blocks);
    }
    all_units(steps->logits, &wave, tiles * blocks);
    all_units(steps->take_tiles, &wave, blocks);
    if (!direct)
        all_units(steps->pack_rows, &wave, blocks);
    all_units(steps->products, &wave, (tiles + blocks) * wave.panels);
    if (!direct) {
        all_units(steps->finish_inputs, &wave, blocks);
        all_units(steps->merge, &wave, (groups + LX_MERGE_UNIT - 1) / LX_MERGE_UNIT);
    }
    check_rim(layer.grad_inputs, (size_t)(rows * dim) * item, "linear: inputs");
    check_rim(layer.grad_classes, (size_t)(classes * dim) * item, "linear: classes");
    printf("layer %s %s %dx%dx%d: %.17g %.17g %.17g %.17g\n", mode == LX_SOFTMAX ? "softmax" : "sigmoid",
           type ? "f64" : "f32", (int)rows, (int)dim, (int)classes, checksum(layer.loss, LX_FLOAT64, rows),
           checksum(layer.grad_inputs, type, rows * dim), checksum(layer.grad_classes, type, classes * dim),
           checksum(layer.grad_bias, type, classes));

    enum { TOP = 4 };
    layer.hits.start = NULL;
    layer.top.count = TOP, layer.top.values = room((size_t)(rows * TOP) * item), layer.top.ids = room((size_t)(rows * TOP) * 8);
    wave.mode = LX_RAW, wave.keep = 0;
    all_units(steps->logits, &wave, tiles * blocks);
    all_units(steps->keep_largest, &wave, blocks);
    double ids = 0;
    for (ptrdiff_t i = 0; i < rows * TOP; i++)
        ids += (double)layer.top.ids[i] * (double)(1 + i % 3);
    printf("layer largest %s %dx%dx%d: %.17g %.17g\n", type ? "f64" : "f32", (int)rows, (int)dim, (int)classes,
           checksum(layer.top.values, type, rows * TOP), ids);
}

static void row_updates(int type)
{
    enum { TABLE = 90, TOUCHED = 45, LENGTH = 19 };
    int64_t *indices = room(TOUCHED * 8);
    for (int i = 0; i < TOUCHED; i++)
        indices[i] = 2 * i + 1;
    for (int rule = LX_ADD; rule <= LX_ADAM; rule++) {
        lx_row_update job;
        memset(&job, 0, sizeof job);
        job.rule = rule, job.rows = TOUCHED, job.length = job.stride = LENGTH, job.indices = indices;
        job.values = numbers(type, TOUCHED * LENGTH, -1, 1);
        job.param = numbers(type, TABLE * LENGTH, -1, 1);
        job.first = rule == LX_ADAM ? numbers(type, TABLE * LENGTH, -1, 1) : NULL;
        job.second = rule == LX_ADD ? NULL : numbers(type, TABLE * LENGTH, 0, 1);
        job.rate = 0.25, job.decay1 = 0.5, job.decay2 = 0.75, job.epsilon = 0.0625;
        all_units(lx_layer_kernels(type)->update_rows, &job, (TOUCHED + LX_MERGE_UNIT - 1) / LX_MERGE_UNIT);
        check_rim(job.param, TABLE * LENGTH * size_of(type), "row update");
        printf("layer update%d %s: %.17g\n", rule, type ? "f64" : "f32", checksum(job.param, type, TABLE * LENGTH));
    }
}

/* A step by a product of sparse rows at some columns, that product itself, and a copy of some rows and columns. */
static void sparse_products(int type)
{
    enum { TABLE = 90, ROWS = 45, STRIDE = 300, COLUMNS = 150, DENSE = 20, OF_ROW = 3 };
    const ptrdiff_t units = (ROWS + LX_MERGE_UNIT - 1) / LX_MERGE_UNIT;
    int64_t *indices = room(ROWS * 8), *columns = room(COLUMNS * 8), *start = room((ROWS + 1) * 8);
    int64_t *entries = room(ROWS * OF_ROW * 8);
    lx_row_update job;
    memset(&job, 0, sizeof job);
    for (int i = 0; i < ROWS; i++)
        indices[i] = 2 * i + 1;
    for (int i = 0; i < COLUMNS; i++)
        columns[i] = 2 * i;
    for (int i = 0; i <= ROWS; i++)
        start[i] = i * OF_ROW;
    for (int i = 0; i < ROWS * OF_ROW; i++)
        entries[i] = i * 7 % DENSE;
    job.rows = ROWS, job.length = COLUMNS, job.stride = STRIDE, job.indices = indices, job.columns = columns;
    job.start = start, job.entries = entries, job.factors = numbers(type, ROWS * OF_ROW, -1, 1);
    job.dense = numbers(type, DENSE * COLUMNS, -1, 1), job.penalty = 0.125;
    job.param = numbers(type, TABLE * STRIDE, -1, 1), job.second = numbers(type, TABLE * STRIDE, 0, 1);
    job.rule = LX_ADAGRAD, job.rate = 0.25, job.epsilon = 0.0625;
    all_units(lx_layer_kernels(type)->update_rows, &job, units);
    check_rim(job.param, TABLE * STRIDE * size_of(type), "sparse step");
    printf("layer sparse step %s: %.17g\n", type ? "f64" : "f32", checksum(job.param, type, TABLE * STRIDE));
    for (job.rule = LX_TAKE; job.rule <= LX_PRODUCT; job.rule++) {
        job.values = room(ROWS * COLUMNS * size_of(type));
        all_units(lx_layer_kernels(type)->update_rows, &job, units);
        check_rim(job.values, ROWS * COLUMNS * size_of(type), "sparse product");
        printf("layer sparse%d %s: %.17g\n", job.rule, type ? "f64" : "f32", checksum(job.values, type, ROWS * COLUMNS));
    }
}

int main(void)
{
    printf("compiler %s\n", lx_compiler());
    lx_find_level();
    for (int level = 0; level < LX_LEVELS; level++) {
        if (!lx_level_supported(level))
            continue;
        lx_set_level(level);
        state = seed;
        printf("level %s\n", lx_level_name(level));
        for (int type = 0; type < LX_TYPES; type++) {
            all_dense(type);
            all_maths(type);
            linear(type, LX_SOFTMAX, 200, 70, 430, 0);
            linear(type, LX_SIGMOID, 50, 33, 29, 0);
            linear(type, LX_SOFTMAX, 110, 333, 9, 1);
            linear(type, LX_SIGMOID, 7, 150, 430, 1);
            row_updates(type);
            sparse_products(type);
        }
    }
    printf("end %d\n", failures);
    return failures != 0;
}
