/* Block kernel of the losses of a row of scores against a class id. */
#include "kernels.h"
#include "simd/vmath.h"

/* A row's value: a sum over lanes, which need not be added up where only the total of all rows counts, and the rest. */
typedef struct {
    wide lanes;
    double extra;
} row_value;

#include LX_LOSS

/* Rows [first, last); `weighted` is a constant: whether anything but the loss scales a row. */
INLINE int rows(const lx_job *job, ptrdiff_t first, ptrdiff_t last, double *total, const int weighted)
{
    const real *weight = job->weight.data, *sample_weight = job->sample_weight, *upstream = job->grad_output.data;
    const ptrdiff_t cols = job->cols;
    wide lanes = wide_zero();
    double extra = 0;
    for (ptrdiff_t r = first; r < last; r++) {
        const int64_t y = job->target_type == LX_INT32 ? ((const int32_t *)job->target.data)[r]
                                                       : ((const int64_t *)job->target.data)[r];
        if (y < 0 || y >= cols)
            return 1;
        double scale = 1, grad_scale = job->grad_scale;
        if (weighted) {
            scale = (weight ? weight[y] : 1.0) * (sample_weight ? sample_weight[r] : 1.0);
            grad_scale *= scale * (upstream ? upstream[r] : 1.0);
        }
        const row_value value = row(job, (const real *)job->input + r * cols, y, grad_scale,
                                    job->grad ? (real *)job->grad + r * cols : NULL,
                                    job->hess ? (real *)job->hess + r * cols : NULL);
        if (job->reduce == LX_ROWS)
            ((real *)job->value)[r] = (real)((wide_total(value.lanes) + value.extra) * scale / job->value_divisor);
        lanes = wide_join(lanes, weighted ? wide_scale(value.lanes, scale) : value.lanes);
        extra += value.extra * scale;
    }
    *total += wide_total(lanes) + extra;
    return 0;
}

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, double *total)
{
    const int weighted = job->weight.data || job->sample_weight || job->grad_output.data;
    const int bad = weighted ? rows(job, first, last, total, 1) : rows(job, first, last, total, 0);
    if (job->stream)
        stream_fence();
    return bad;
}
