/* The steps of sampled.h for one type and instruction set.
 *
 * The three matrix products run on one micro-kernel: HEIGHT rows by PANEL columns that stay in registers while the
 * depth is walked.  Logits are kept transposed, class by class, so that the classes' rows are broadcast as they are,
 * the softmax works down the columns, and the same tile serves both gradients. */
#include "sampled.h"
#include "simd/simd.h"
#include "simd/vmath.h"

enum { HEIGHT = REGISTERS >= 32 ? 12 : 6, PANEL = 2 * LANES, BLOCK = LX_ROW_BLOCK };

INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* c[i][0 .. width) = (add: +=) sum over k < depth of a[i a_row + k a_step] b[k b_row + 0 .. width), i < height.
 * height is a constant where it is called; b can be read to PANEL columns. */
INLINE void micro(int height, ptrdiff_t depth, const real *RESTRICT a, ptrdiff_t a_row, ptrdiff_t a_step,
                  const real *RESTRICT b, ptrdiff_t b_row, real *RESTRICT c, ptrdiff_t c_row, ptrdiff_t width, int add)
{
    vec sum[HEIGHT][2];
    UNROLL(16)
    for (int i = 0; i < height; i++)
        sum[i][0] = sum[i][1] = v_zero();
    for (ptrdiff_t k = 0; k < depth; k++) {
        vec left = v_load(b + k * b_row), right = v_load(b + k * b_row + LANES);
        UNROLL(16)
        for (int i = 0; i < height; i++) {
            vec factor = v_set(a[i * a_row + k * a_step]);
            sum[i][0] = v_fma(factor, left, sum[i][0]);
            sum[i][1] = v_fma(factor, right, sum[i][1]);
        }
    }
    UNROLL(16)
    for (int i = 0; i < height; i++, c += c_row) {
        if (width >= PANEL) {
            v_store(c, add ? v_load(c) + sum[i][0] : sum[i][0]);
            v_store(c + LANES, add ? v_load(c + LANES) + sum[i][1] : sum[i][1]);
            continue;
        }
        for (int j = 0; j < 2; j++) {
            ptrdiff_t n = width - j * LANES;
            if (n >= LANES)
                v_store(c + j * LANES, add ? v_load(c + j * LANES) + sum[i][j] : sum[i][j]);
            else if (n > 0)
                v_store_first(c + j * LANES, add ? v_load_first(c + j * LANES, n, 0) + sum[i][j] : sum[i][j], n);
        }
    }
}

INLINE void product(ptrdiff_t height, ptrdiff_t depth, const real *a, ptrdiff_t a_row, ptrdiff_t a_step, const real *b,
                    ptrdiff_t b_row, real *c, ptrdiff_t c_row, ptrdiff_t width, int add)
{
    for (; height >= HEIGHT; height -= HEIGHT, a += HEIGHT * a_row, c += HEIGHT * c_row)
        micro(HEIGHT, depth, a, a_row, a_step, b, b_row, c, c_row, width, add);
    switch (height) {
#define REST(n) \
    case n: \
        micro(n < HEIGHT ? n : 1, depth, a, a_row, a_step, b, b_row, c, c_row, width, add); \
        break;
        REST(1) REST(2) REST(3) REST(4) REST(5) REST(6) REST(7) REST(8) REST(9) REST(10) REST(11)
#undef REST
    }
}

/* a by rows, and a by columns: constant steps make for short addresses */
static void rows_product(ptrdiff_t height, ptrdiff_t depth, const real *a, ptrdiff_t a_row, const real *b,
                         ptrdiff_t b_row, real *c, ptrdiff_t c_row, ptrdiff_t width, int add)
{
    product(height, depth, a, a_row, 1, b, b_row, c, c_row, width, add);
}

static void columns_product(ptrdiff_t height, ptrdiff_t depth, const real *a, ptrdiff_t a_column, const real *b,
                            ptrdiff_t b_row, real *c, ptrdiff_t c_row, ptrdiff_t width, int add)
{
    product(height, depth, a, 1, a_column, b, b_row, c, c_row, width, add);
}

INLINE real dot(const real *a, const real *b, ptrdiff_t n)
{
    vec sum = v_zero();
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        sum = v_fma(v_load(a + i), v_load(b + i), sum);
    if (i < n)
        sum = v_fma(v_load_first(a + i, n - i, 0), v_load_first(b + i, n - i, 0), sum);
    return v_sum(sum);
}

/* out = (add: +=) factor a */
INLINE void add_scaled(real *out, const real *a, real factor, ptrdiff_t n, int add)
{
    vec by = v_set(factor);
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(out + i, add ? v_fma(by, v_load(a + i), v_load(out + i)) : by * v_load(a + i));
    if (i < n) {
        vec v = v_load_first(a + i, n - i, 0);
        v_store_first(out + i, add ? v_fma(by, v, v_load_first(out + i, n - i, 0)) : by * v, n - i);
    }
}

INLINE void prefetch_row(const real *row, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += REALS_PER_LINE)
        PREFETCH(row + i);
}

/* where things of the wave are */
INLINE ptrdiff_t rows_of(const lx_sampled *job, ptrdiff_t block)
{
    return smaller(BLOCK, job->rows - job->first_row - block * BLOCK);
}
INLINE ptrdiff_t classes_of(const lx_sampled *job, ptrdiff_t tile)
{
    return smaller(job->tile, job->classes - job->first_class - tile * job->tile);
}
INLINE real *logits_of(const lx_sampled *job, ptrdiff_t tile, ptrdiff_t block)
{
    return (real *)job->logits + (tile * job->blocks + block) * job->tile * BLOCK;
}
INLINE real *by_tile(const lx_sampled *job, void *array, ptrdiff_t tile, ptrdiff_t block)
{
    return (real *)array + (tile * job->blocks + block) * BLOCK;
}

static void true_logits(const void *call, ptrdiff_t block)
{
    const lx_sampled *job = call;
    const real *inputs = job->inputs, *weights = job->weights, *bias = job->true_bias, *upstream = job->upstream;
    const ptrdiff_t dim = job->dim, num_true = job->num_true;
    const ptrdiff_t first = block * BLOCK, end = smaller(first + BLOCK, job->rows);
    for (ptrdiff_t i = first; i < first + BLOCK; i++) {
        ((real *)job->row_peak)[i] = -REAL_MAX;
        ((real *)job->row_factor)[i] = upstream && i < end ? upstream[i] : 0;
        job->row_sum[i] = 0;
    }
    for (ptrdiff_t j = first * num_true; j < end * num_true; j++) {
        if (j + 8 < end * num_true)
            prefetch_row(weights + job->labels[j + 8] * dim, dim);
        real product = dot(inputs + j / num_true * dim, weights + job->labels[j] * dim, dim);
        ((real *)job->truth)[j] = (real)job->scale * product + bias[j];
    }
}

static void gather(const void *call, ptrdiff_t tile)
{
    const lx_sampled *job = call;
    const real *weights = job->weights;
    const ptrdiff_t dim = job->dim, n = classes_of(job, tile), first = job->first_class + tile * job->tile;
    real *out = (real *)job->packed_weights + tile * job->tile * job->stride;
    for (ptrdiff_t s = 0; s < n; s++, out += job->stride) {
        if (job->ids && s + 8 < n)
            prefetch_row(weights + job->ids[first + s + 8] * dim, dim);
        memcpy(out, weights + (job->ids ? job->ids[first + s] : first + s) * dim, (size_t)dim * sizeof(real));
        memset(out + dim, 0, (size_t)(job->stride - dim) * sizeof(real));
    }
}

static void pack(const void *call, ptrdiff_t block)
{
    const lx_sampled *job = call;
    const ptrdiff_t dim = job->dim, stride = job->stride, n = rows_of(job, block);
    const real *inputs = (const real *)job->inputs + (job->first_row + block * BLOCK) * dim;
    real *rows = (real *)job->packed_inputs + block * BLOCK * stride;
    real *columns = (real *)job->columns + block * BLOCK * dim;
    for (ptrdiff_t i = 0; i < BLOCK; i++) {
        if (i < n)
            add_scaled(rows + i * stride, inputs + i * dim, (real)job->scale, dim, 0);
        ptrdiff_t from = i < n ? dim : 0;
        memset(rows + i * stride + from, 0, (size_t)(stride - from) * sizeof(real));
    }
    for (ptrdiff_t first = 0; first < n; first += PANEL, rows += PANEL * stride)
        for (ptrdiff_t k = 0; k < dim; k++, columns += PANEL)
            for (ptrdiff_t i = 0; i < PANEL; i++)
                columns[i] = rows[i * stride + k];
}

/* A row does not meet its own labels among its negatives: those logits are left out. */
INLINE void forbid(const lx_sampled *job, ptrdiff_t tile, ptrdiff_t block, real *z)
{
    if (!job->hit_first)
        return;
    const ptrdiff_t first = job->first_class + tile * job->tile, end = first + classes_of(job, tile);
    const ptrdiff_t first_row = job->first_row + block * BLOCK;
    for (ptrdiff_t i = 0; i < rows_of(job, block); i++)
        for (ptrdiff_t j = (first_row + i) * job->num_true; j < (first_row + i + 1) * job->num_true; j++)
            for (int64_t p = job->hit_first[j]; p < job->hit_last[j]; p++) {
                int64_t s = job->hits ? job->hits[p] - job->rows * job->num_true : p;
                if (s >= first && s < end)
                    z[(s - first) * BLOCK + i] = (real)-INFINITY;
            }
}

static void logits(const void *call, ptrdiff_t unit)
{
    const lx_sampled *job = call;
    const ptrdiff_t tile = unit / job->blocks, block = unit % job->blocks, dim = job->dim, stride = job->stride;
    const ptrdiff_t n = classes_of(job, tile), columns = (rows_of(job, block) + PANEL - 1) / PANEL * PANEL;
    const ptrdiff_t first_row = job->first_row + block * BLOCK;
    const real *weights = (const real *)job->packed_weights + tile * job->tile * stride;
    const real *bias = (const real *)job->bias + job->first_class + tile * job->tile;
    real *z = logits_of(job, tile, block);
    for (ptrdiff_t i = 0; i < columns; i += PANEL)
        rows_product(n, dim, weights, stride, (const real *)job->columns + (block * BLOCK + i) * dim, PANEL, z + i,
                     BLOCK, PANEL, 0);
    forbid(job, tile, block, z);

    const int keep = job->keep;
    if (job->mode == LX_RAW) {
        for (ptrdiff_t s = 0; s < n; s++)
            for (ptrdiff_t i = 0; i < columns; i += LANES)
                v_store(z + s * BLOCK + i, v_load(z + s * BLOCK + i) + v_set(bias[s]));
        return;
    }
    for (ptrdiff_t i = 0; i < columns; i += LANES) {
        vec sum = v_zero();
        if (job->mode == LX_SOFTMAX) {
            vec peak = v_set(-REAL_MAX);
            for (ptrdiff_t s = 0; s < n; s++) {
                vec a = v_load(z + s * BLOCK + i) + v_set(bias[s]);
                v_store(z + s * BLOCK + i, a);
                peak = v_max(peak, a);
            }
            for (ptrdiff_t s = 0; s < n; s++) {
                vec e = v_exp_negative(v_load(z + s * BLOCK + i) - peak);
                if (keep)
                    v_store(z + s * BLOCK + i, e);
                sum += e;
            }
            v_store(by_tile(job, job->peak, tile, block) + i, peak);
        } else if (job->mode == LX_NORMALIZED_SOFTMAX) {
            vec peak = v_load((const real *)job->row_peak + first_row + i);
            vec factor = v_load((const real *)job->row_factor + first_row + i);
            for (ptrdiff_t s = 0; s < n; s++)
                v_store(z + s * BLOCK + i, v_exp_negative(v_load(z + s * BLOCK + i) + v_set(bias[s]) - peak) * factor);
        } else {
            vec factor = v_load((const real *)job->row_factor + first_row + i);
            for (ptrdiff_t s = 0; s < n; s++) {
                vec a = v_load(z + s * BLOCK + i) + v_set(bias[s]), e = v_exp_negative(-v_abs(a)), one = v_set(1);
                sum += v_max(v_zero(), a) + v_log1p_unit(e);
                if (keep)
                    v_store(z + s * BLOCK + i, v_select(v_lt(a, v_zero()), e, one) / (one + e) * factor);
            }
        }
        v_store(by_tile(job, job->sum, tile, block) + i, sum);
    }
}

/* Loss and gradient of the true logits of row i, once all classes are in.  `others` is relative to exp(peak).
 * Where the true logit is the largest, the loss is log1p of the others' share, and its gradient minus their
 * probability: neither loses digits where the loss is near zero. */
INLINE void finish_softmax(const lx_sampled *job, ptrdiff_t i)
{
    const ptrdiff_t num_true = job->num_true;
    const real *t = (const real *)job->truth + i * num_true;
    const double peak = ((const real *)job->row_peak)[i];
    double top = peak, true_sum = 0, distance = 0;
    for (ptrdiff_t k = 0; k < num_true; k++)
        if (t[k] > top)
            top = t[k];
    for (ptrdiff_t k = 0; k < num_true; k++) {
        true_sum += t[k] == top ? 1 : exp(t[k] - top);
        distance += t[k] == top ? 0 : top - t[k];
    }
    const double rescale = exp(peak - top), others = job->row_sum[i] * rescale, total = others + true_sum;
    job->loss[i] = num_true == 1 && t[0] == top ? log1p(others) : distance / (double)num_true + log(total);
    if (!job->upstream)
        return;
    const double factor = ((const real *)job->upstream)[i] / total;
    ((real *)job->row_factor)[i] = (real)(factor * rescale);
    for (ptrdiff_t k = 0; k < num_true; k++)
        ((real *)job->grad_truth)[i * num_true + k] =
            (real)(num_true == 1 ? -others * factor
                                 : ((t[k] == top ? 1 : exp(t[k] - top)) - total / (double)num_true) * factor);
}

/* The same for the sum of logistic losses with targets 1 / num_true for the labels and 0 for the classes. */
INLINE void finish_sigmoid(const lx_sampled *job, ptrdiff_t i)
{
    const ptrdiff_t num_true = job->num_true;
    const double target = 1 / (double)num_true;
    double loss = job->row_sum[i];
    for (ptrdiff_t k = 0; k < num_true; k++) {
        const double t = ((const real *)job->truth)[i * num_true + k], e = exp(-fabs(t));
        loss += log1p(e) + (t > 0 ? (num_true == 1 ? 0 : t * (1 - target)) : -t * target);
        if (job->upstream) {
            const double slope = num_true == 1 ? -(t > 0 ? e : 1) / (1 + e) : (t > 0 ? 1 : e) / (1 + e) - target;
            ((real *)job->grad_truth)[i * num_true + k] = (real)(slope * ((const real *)job->upstream)[i]);
        }
    }
    job->loss[i] = loss;
}

static void rows(const void *call, ptrdiff_t block)
{
    const lx_sampled *job = call;
    const ptrdiff_t first = job->first_row + block * BLOCK, n = rows_of(job, block);
    real *row_peak = (real *)job->row_peak + first;
    double *row_sum = job->row_sum + first;
    if (job->mode == LX_SOFTMAX) {
        ALIGNED real rescale[BLOCK];
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            vec old = v_load(row_peak + i), peak = old;
            for (ptrdiff_t tile = 0; tile < job->tiles; tile++)
                peak = v_max(peak, v_load(by_tile(job, job->peak, tile, block) + i));
            v_store(rescale + i, v_exp_negative(old - peak));
            v_store(row_peak + i, peak);
        }
        for (ptrdiff_t i = 0; i < n; i++)
            row_sum[i] *= rescale[i];
    }
    for (ptrdiff_t tile = 0; tile < job->tiles; tile++) {
        real *peak = by_tile(job, job->peak, tile, block), *sum = by_tile(job, job->sum, tile, block);
        if (job->mode == LX_SOFTMAX)
            for (ptrdiff_t i = 0; i < n; i += LANES) {
                vec rescale = v_exp_negative(v_load(peak + i) - v_load(row_peak + i));
                v_store(peak + i, rescale);
                v_store(sum + i, rescale * v_load(sum + i));
            }
        for (ptrdiff_t i = 0; i < n; i++)
            row_sum[i] += sum[i];
    }
    if (!job->last_wave)
        return;
    for (ptrdiff_t i = first; i < first + n; i++)
        job->mode == LX_SOFTMAX ? finish_softmax(job, i) : finish_sigmoid(job, i);

    if (!job->keep || job->mode != LX_SOFTMAX)
        return;
    const real *row_factor = (const real *)job->row_factor + first;
    for (ptrdiff_t tile = 0; tile < job->tiles; tile++) {
        const real *peak = by_tile(job, job->peak, tile, block);
        real *p = logits_of(job, tile, block);
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            vec factor = v_load(peak + i) * v_load(row_factor + i);
            for (ptrdiff_t s = 0; s < classes_of(job, tile); s++)
                v_store(p + s * BLOCK + i, v_load(p + s * BLOCK + i) * factor);
        }
    }
}

static void class_products(const lx_sampled *job, ptrdiff_t tile, ptrdiff_t panel)
{
    const ptrdiff_t n = classes_of(job, tile), dim = job->dim, first = job->first_class + tile * job->tile;
    real *grad = (real *)job->grad_classes + first * dim + panel * PANEL, *grad_bias = (real *)job->grad_bias + first;
    for (ptrdiff_t block = 0; block < job->blocks; block++) {
        const real *p = logits_of(job, tile, block);
        const real *inputs = (const real *)job->packed_inputs + block * BLOCK * job->stride + panel * PANEL;
        const ptrdiff_t rows = rows_of(job, block);
        const int add = !job->first_rows || block > 0;
        rows_product(n, rows, p, BLOCK, inputs, job->stride, grad, dim, dim - panel * PANEL, add);
        for (ptrdiff_t s = 0; panel == 0 && s < n; s++) {
            vec sum = v_zero();
            ptrdiff_t i = 0;
            for (; i + LANES <= rows; i += LANES)
                sum += v_load(p + s * BLOCK + i);
            if (i < rows)
                sum += v_load_first(p + s * BLOCK + i, rows - i, 0);
            grad_bias[s] = (add ? grad_bias[s] : 0) + v_sum(sum);
        }
    }
}

static void input_products(const lx_sampled *job, ptrdiff_t block, ptrdiff_t panel)
{
    const ptrdiff_t n = rows_of(job, block), dim = job->dim, width = smaller(PANEL, dim - panel * PANEL);
    real *grad = (real *)job->grad_inputs + (job->first_row + block * BLOCK) * dim + panel * PANEL;
    for (ptrdiff_t i = 0; job->classes == 0 && i < n; i++)
        memset(grad + i * dim, 0, (size_t)width * sizeof(real));
    for (ptrdiff_t tile = 0; tile < job->tiles; tile++)
        columns_product(n, classes_of(job, tile), logits_of(job, tile, block), BLOCK,
                        (const real *)job->packed_weights + tile * job->tile * job->stride + panel * PANEL, job->stride,
                        grad, dim, width, !job->first_wave || tile > 0);
}

static void products(const void *call, ptrdiff_t unit)
{
    const lx_sampled *job = call;
    const ptrdiff_t number = unit / job->panels, panel = unit % job->panels;
    if (number < job->tiles)
        class_products(job, number, panel);
    else
        input_products(job, number - job->tiles, panel);
}

static void finish_inputs(const void *call, ptrdiff_t block)
{
    const lx_sampled *job = call;
    const real *weights = job->weights, *grad_truth = job->grad_truth;
    const ptrdiff_t dim = job->dim, num_true = job->num_true, end = smaller((block + 1) * BLOCK, job->rows) * num_true;
    for (ptrdiff_t j = block * BLOCK * num_true; j < end; j++) {
        real *grad = (real *)job->grad_inputs + j / num_true * dim;
        if (j + 8 < end)
            prefetch_row(weights + job->labels[j + 8] * dim, dim);
        add_scaled(grad, weights + job->labels[j] * dim, grad_truth[j], dim, 1);
        if (job->scale != 1 && (j + 1) % num_true == 0)
            add_scaled(grad, grad, (real)job->scale, dim, 0);
    }
}

static void merge(const void *call, ptrdiff_t unit)
{
    const lx_sampled *job = call;
    const ptrdiff_t dim = job->dim, labels = job->rows * job->num_true;
    const real *inputs = job->inputs, *grad_truth = job->grad_truth;
    const real *grad_classes = job->grad_classes, *grad_bias = job->grad_bias;
    for (ptrdiff_t u = unit * LX_MERGE_UNIT; u < smaller((unit + 1) * LX_MERGE_UNIT, job->groups); u++) {
        const ptrdiff_t row = job->target ? job->target[u] : u;
        real *out = (real *)job->merged + row * dim, *out_bias = (real *)job->merged_bias + row;
        int add = job->target != NULL;
        double bias = add ? *out_bias : 0;
        for (int64_t p = job->start[u]; p < job->start[u + 1]; p++, add = 1) {
            const int64_t j = job->order[p];
            if (j < labels)
                add_scaled(out, inputs + j / job->num_true * dim, grad_truth[j] * (real)job->scale, dim, add);
            else
                add_scaled(out, grad_classes + (j - labels) * dim, 1, dim, add);
            bias += j < labels ? grad_truth[j] : grad_bias[j - labels];
        }
        *out_bias = (real)bias;
    }
}

static void keep_largest(const void *call, ptrdiff_t block)
{
    const lx_sampled *job = call;
    const ptrdiff_t first_row = job->first_row + block * BLOCK, n = rows_of(job, block), k = job->k;
    ALIGNED real least[BLOCK]; /* of the k largest so far */
    for (ptrdiff_t i = 0; i < BLOCK; i++) {
        real *values = (real *)job->top_values + (first_row + i) * k;
        if (job->first_wave && i < n)
            for (ptrdiff_t r = 0; r < k; r++) {
                values[r] = (real)-INFINITY;
                job->top_ids[(first_row + i) * k + r] = -1;
            }
        least[i] = i < n ? values[k - 1] : (real)INFINITY;
    }
    for (ptrdiff_t tile = 0; tile < job->tiles; tile++) {
        const real *z = logits_of(job, tile, block);
        const int64_t first = job->first_class + tile * job->tile;
        for (ptrdiff_t s = 0; s < classes_of(job, tile); s++, z += BLOCK)
            for (ptrdiff_t lane = 0; lane < n; lane += LANES) {
                if (!m_any(v_gt(v_load(z + lane), v_load(least + lane))))
                    continue;
                for (ptrdiff_t i = lane; i < smaller(lane + LANES, n); i++) {
                    if (!(z[i] > least[i]))
                        continue;
                    real *values = (real *)job->top_values + (first_row + i) * k;
                    int64_t *ids = job->top_ids + (first_row + i) * k;
                    ptrdiff_t r = k - 1;
                    for (; r > 0 && values[r - 1] < z[i]; r--) {
                        values[r] = values[r - 1];
                        ids[r] = ids[r - 1];
                    }
                    values[r] = z[i];
                    ids[r] = first + s;
                    least[i] = values[k - 1];
                }
            }
    }
}

INLINE void update_row(const lx_row_update *job, const real *grad, real *param, real *first, real *second)
{
    const vec rate = v_set((real)job->rate), epsilon = v_set((real)job->epsilon);
    const vec new1 = v_set((real)(1 - job->decay1)), new2 = v_set((real)(1 - job->decay2));
    for (ptrdiff_t i = 0; i < job->length; i += LANES) {
        const ptrdiff_t n = smaller(LANES, job->length - i);
#define LOAD(p) (n == LANES ? v_load((p) + i) : v_load_first((p) + i, n, 0))
#define STORE(p, v) (n == LANES ? v_store((p) + i, v) : v_store_first((p) + i, v, n))
        vec g = LOAD(grad), step = g;
        if (job->rule == LX_ADAM) {
            vec old = LOAD(first);
            step = v_fma(new1, g - old, old);
            STORE(first, step);
        }
        vec square = LOAD(second);
        square = job->rule == LX_ADAM ? v_fma(new2, v_fma(g, g, -square), square) : v_fma(g, g, square);
        STORE(second, square);
        STORE(param, v_fnma(rate, step / (v_sqrt(square) + epsilon), LOAD(param)));
#undef LOAD
#undef STORE
    }
}

static void update_rows(const void *call, ptrdiff_t unit)
{
    const lx_row_update *job = call;
    const ptrdiff_t length = job->length, end = smaller((unit + 1) * LX_MERGE_UNIT, job->rows);
    real *param = job->param, *first = job->first, *second = job->second;
    for (ptrdiff_t r = unit * LX_MERGE_UNIT; r < end; r++) {
        const real *grad = (const real *)job->values + r * length;
        const ptrdiff_t at = (ptrdiff_t)job->indices[r] * length;
        if (r + 8 < end) {
            prefetch_row(param + job->indices[r + 8] * length, length);
            if (second)
                prefetch_row(second + job->indices[r + 8] * length, length);
            if (first)
                prefetch_row(first + job->indices[r + 8] * length, length);
        }
        if (job->rule == LX_ADD)
            add_scaled(param + at, grad, (real)job->rate, length, 1);
        else
            update_row(job, grad, param + at, first ? first + at : NULL, second + at);
    }
}

const lx_sampled_steps LX_KERNEL = {
    PANEL, true_logits, gather, pack, logits, rows, products, finish_inputs, merge, keep_largest, update_rows};
