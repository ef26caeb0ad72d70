/* Block kernel of the losses of a row of scores against a class id. */
#include "kernels.h"
#include "simd/vmath.h"

#include LX_LOSS

int LX_KERNEL(const lx_job *job, ptrdiff_t first, ptrdiff_t last, double *total)
{
    const real *weight = job->weight.data, *sample_weight = job->sample_weight, *upstream = job->grad_output.data;
    const ptrdiff_t cols = job->cols;
    double sum = 0;
    for (ptrdiff_t r = first; r < last; r++) {
        const int64_t y = job->target_type == LX_INT32 ? ((const int32_t *)job->target.data)[r]
                                                       : ((const int64_t *)job->target.data)[r];
        if (y < 0 || y >= cols)
            return 1;
        double scale = (weight ? weight[y] : 1.0) * (sample_weight ? sample_weight[r] : 1.0);
        double grad_scale = scale * job->grad_scale * (upstream ? upstream[r] : 1.0);
        const double value = scale * row(job, (const real *)job->input + r * cols, y, grad_scale,
                                         job->grad ? (real *)job->grad + r * cols : NULL,
                                         job->hess ? (real *)job->hess + r * cols : NULL);
        if (job->reduce == LX_ROWS)
            ((real *)job->value)[r] = (real)(value * job->value_scale);
        sum += value;
    }
    if (job->stream)
        stream_fence();
    *total += sum;
    return 0;
}
