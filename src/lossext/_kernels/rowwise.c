/* Block kernel of the losses of a row of scores against a class id. */
#include "kernels.h"
#include "simd/vmath.h"

/* Rows that are read together: as many as stay in the first-level cache. */
enum { GROUP = 128, GROUP_ELEMENTS = 4096 };

/* Some rows, and what they need of the other operands. */
typedef struct {
    ptrdiff_t first, count;
    const real *x;     /* (count, cols) */
    real *grad, *hess; /* the same, or NULL */
    int64_t y[GROUP];
    real own[GROUP] ALIGNED;                /* the score of the class */
    double scale[GROUP], grad_scale[GROUP]; /* of values and of slopes, where there are weights */
} group;

/* A row's value: a sum over lanes, which need not be added up where only the total of all rows counts, and the rest. */
typedef struct {
    wide lanes;
    double extra;
} row_value;

INLINE void take_value(const lx_job *job, const group *g, ptrdiff_t i, row_value value, row_value *total,
                       const int weighted)
{
    const double scale = weighted ? g->scale[i] : 1;
    if (job->reduce == LX_ROWS) {
        const double sum = wide_total(value.lanes) + value.extra;
        ((real *)job->value)[g->first + i] = (real)(sum * scale / job->value_divisor);
    }
    total->lanes = wide_join(total->lanes, weighted ? wide_scale(value.lanes, scale) : value.lanes);
    total->extra += value.extra * scale;
}

#include LX_LOSS

/* False if there is a bad one. */
static int read_classes(const lx_job *job, group *g)
{
    const real *x = g->x;
    for (ptrdiff_t i = 0; i < g->count; i++, x += job->cols) {
        const int64_t y = job->target_type == LX_INT32 ? ((const int32_t *)job->target.data)[g->first + i]
                                                       : ((const int64_t *)job->target.data)[g->first + i];
        if (y < 0 || y >= job->cols)
            return 0;
        g->y[i] = y;
        g->own[i] = x[y];
    }
    return 1;
}

static void read_weights(const lx_job *job, group *g)
{
    const real *weight = job->weight.data, *sample_weight = job->sample_weight, *upstream = job->grad_output.data;
    for (ptrdiff_t i = 0; i < g->count; i++) {
        const ptrdiff_t r = g->first + i;
        g->scale[i] = (weight ? weight[g->y[i]] : 1.0) * (sample_weight ? sample_weight[r] : 1.0);
        g->grad_scale[i] = job->grad_scale * (g->scale[i] * (upstream ? upstream[r] : 1.0));
    }
}

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, double *total)
{
    const int weighted = job->weight.data || job->sample_weight || job->grad_output.data;
    const ptrdiff_t fit = GROUP_ELEMENTS / job->cols, most = fit > GROUP ? GROUP : fit;
    const ptrdiff_t step = job->cols > LONGEST_IN_GROUP ? 1 : most;
    row_value sum = {wide_zero(), 0};
    group g;
    for (g.first = first; g.first < last; g.first += step) {
        g.count = last - g.first < step ? last - g.first : step;
        g.x = (const real *)job->input + g.first * job->cols;
        g.grad = job->grad ? (real *)job->grad + g.first * job->cols : NULL;
        g.hess = job->hess ? (real *)job->hess + g.first * job->cols : NULL;
        if (!read_classes(job, &g))
            return 1;
        if (weighted) {
            read_weights(job, &g);
            rows(job, &g, &sum, 1);
        } else
            rows(job, &g, &sum, 0);
    }
    *total += wide_total(sum.lanes) + sum.extra;
    if (job->stream)
        stream_fence();
    return 0;
}
