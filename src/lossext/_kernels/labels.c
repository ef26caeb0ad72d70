/* Block kernel of a loss of a row of scores against a set of labels: LX_LOSS is its header.
 *
 * A header losses/labels/<name>.h defines
 *
 *   double row_of_labels(x, cols, set, slope)   returns the value; writes one slope per column unless `slope` is NULL
 *   void majorizers(x, cols, set, hess)         adds one curvature per column to `hess`
 *
 * The family implements everything else: sets padded with -1 or as CSR, sorting, weights, unknown rows, totals. */
#include "job.h"
#include "simd/simd.h"

#include <stdlib.h>

/* A label and 1 - its score. */
typedef struct {
    real gap;
    ptrdiff_t column;
} label;

/* The labels of a row in ascending order of their scores, with NaN last; prefix sums of their gaps; a buffer of counts
 * by position; and which columns are labels. */
typedef struct {
    ptrdiff_t count, numbers; /* numbers: how many labels have a score that is not NaN */
    label *labels;
    double *sums;
    ptrdiff_t *counts;
    uint8_t *chosen;
} label_set;

#define NO_PARAMETERS /* read by setup.py */

#include LX_LOSS

/* The k-th label of row r, -1 after the last one. */
INLINE int64_t label_at(const lx_job *job, ptrdiff_t r, ptrdiff_t k)
{
    const int csr = job->target.layout == LX_CSR;
    const void *data = csr ? job->sparse.column : job->target.data;
    const int type = csr ? job->sparse.column_type : job->target.type;
    const ptrdiff_t first = csr ? job->sparse.start[r] : r * job->set_length;
    if (k >= (csr ? job->sparse.start[r + 1] - first : job->set_length))
        return -1;
    /* read only once, as another thread may change it */
    return type == LX_INT32 ? ((const volatile int32_t *)data)[first + k] : ((const volatile int64_t *)data)[first + k];
}

static int by_gap(const void *a, const void *b)
{
    const label *p = a, *q = b;
    const int nan = (p->gap != p->gap) - (q->gap != q->gap);
    return nan ? nan : (p->gap < q->gap) - (p->gap > q->gap);
}

static void sort_labels(label *labels, ptrdiff_t n)
{
    enum { FEW = 32 };
    if (n > FEW) {
        qsort(labels, (size_t)n, sizeof *labels, by_gap);
        return;
    }
    for (ptrdiff_t i = 1; i < n; i++) {
        const label moved = labels[i];
        ptrdiff_t j = i;
        for (; j > 0 && by_gap(&labels[j - 1], &moved) > 0; j--)
            labels[j] = labels[j - 1];
        labels[j] = moved;
    }
}

/* Reads the labels of row r up to the first -1; false if one is out of range. */
static int read_labels(const lx_job *job, ptrdiff_t r, label_set *set)
{
    const real *x = (const real *)job->input + r * job->cols;
    ptrdiff_t n = 0;
    for (int64_t id; (id = label_at(job, r, n)) != -1; n++) {
        if ((uint64_t)id >= (uint64_t)job->cols)
            return 0;
        set->labels[n].column = (ptrdiff_t)id;
        set->labels[n].gap = 1 - x[id];
    }
    sort_labels(set->labels, n);
    set->count = set->numbers = n;
    while (set->numbers && set->labels[set->numbers - 1].gap != set->labels[set->numbers - 1].gap)
        set->numbers--;
    set->sums[0] = 0;
    for (ptrdiff_t k = 0; k < n; k++) {
        set->sums[k + 1] = set->sums[k] + set->labels[k].gap;
        set->chosen[set->labels[k].column] = 1;
    }
    return 1;
}

/* to = scale * to, where 0 * NaN is NaN and 0 * inf is 0. */
static void scale_row(real *to, ptrdiff_t n, double scale)
{
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] = (real)times_weight(scale, to[j]);
}

static int known(const lx_job *job, ptrdiff_t r)
{
    return !job->mask.data || ((const uint8_t *)job->mask.data)[r];
}

/* Returns 0 or an error code. */
static int work_through(const lx_job *job, ptrdiff_t first, ptrdiff_t last, label_set *set, lx_total *total)
{
    const real *sample_weight = job->weight[LX_SAMPLE_WEIGHT].data, *upstream = job->grad_output.data;
    const ptrdiff_t cols = job->cols;
    for (ptrdiff_t r = first; r < last; r++) {
        const real *x = (const real *)job->input + r * cols;
        const double weight = sample_weight ? sample_weight[r] : 1;
        const double scale = job->grad_scale * times_weight(weight, upstream ? upstream[r] : 1);
        real *grad = job->grad ? (real *)job->grad + r * cols : NULL;
        real *hess = job->hess ? (real *)job->hess + r * cols : NULL;
        double value = 0;
        const int is_known = known(job, r);
        if (is_known && !read_labels(job, r, set))
            return LX_BAD_TARGET;
        if (hess) {
            memset(hess, 0, (size_t)cols * sizeof(real));
            if (is_known && job->curvature == LX_MAJORIZER)
                majorizers(x, cols, set, hess);
            scale_row(hess, cols, scale);
        }
        if (grad && !is_known)
            memset(grad, 0, (size_t)cols * sizeof(real));
        if (is_known) {
            value = times_weight(weight, row_of_labels(x, cols, set, grad));
            if (grad)
                scale_row(grad, cols, scale);
            for (ptrdiff_t k = 0; k < set->count; k++)
                set->chosen[set->labels[k].column] = 0;
        }
        if (job->reduce == LX_ROWS)
            ((real *)job->value)[r] = (real)(value / job->value_divisor);
        const double sum = total->sum + value, back = sum - total->sum; /* Knuth's TwoSum */
        const double lost = (total->sum - (sum - back)) + (value - back);
        total->sum = sum;
        total->rest += lost - lost == 0 ? lost : 0;
        total->count += is_known;
    }
    return 0;
}

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total)
{
    ptrdiff_t most = 0;
    for (ptrdiff_t r = first; r < last && job->target.layout == LX_CSR; r++)
        most = job->sparse.start[r + 1] - job->sparse.start[r] > most ? job->sparse.start[r + 1] - job->sparse.start[r]
                                                                      : most;
    most = (job->target.layout == LX_CSR ? most : job->set_length) + 1;
    label_set set = {.labels = malloc((size_t)most * sizeof(label)),
                     .sums = malloc((size_t)(most + 1) * sizeof(double)),
                     .counts = malloc((size_t)(most + 1) * sizeof(ptrdiff_t)),
                     .chosen = calloc((size_t)job->cols, 1)};
    const int room = set.labels && set.sums && set.counts && set.chosen;
    const int bad = room ? work_through(job, first, last, &set, total) : LX_NO_MEMORY;
    free(set.labels);
    free(set.sums);
    free(set.counts);
    free(set.chosen);
    return bad;
}
