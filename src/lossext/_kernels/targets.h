/* Conversion of targets of any supported type to the kernel's own type. */
#ifndef LX_TARGETS_H
#define LX_TARGETS_H

#include "job.h"
#include "simd/simd.h"

/* A target of the other type is checked before it is rounded, as rounding could make it valid.  One beyond a bound
 * becomes infinite, which is outside the domain, too; NaN stays NaN, which may mark a missing target. */
INLINE void convert_other(const lx_job *job, ptrdiff_t at, ptrdiff_t n, real *to)
{
    const other_real *from = (const other_real *)job->target.data + at;
    const double slack = job->domain.slack * (sizeof(other_real) == sizeof(double) ? DBL_EPSILON : (double)FLT_EPSILON);
    const double low = job->domain.low - slack, high = job->domain.high + slack;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double y = from[i], t = job->domain.sign ? fabs(y) : y;
        to[i] = (real)(t > high ? HUGE_VAL : t < low ? -HUGE_VAL : y);
        if (job->domain.slack > 0 && t >= low && t <= high) { /* clip what is slightly beyond a bound */
            to[i] = to[i] < (real)job->domain.low ? (real)job->domain.low : to[i];
            to[i] = to[i] > (real)job->domain.high ? (real)job->domain.high : to[i];
        }
    }
}

#define CONVERT(type) \
    for (ptrdiff_t i = 0; i < n; i++) \
        to[i] = (real)((const type *)job->target.data + at)[i]

/* n targets of a contiguous array, starting at element `at`. */
INLINE void convert_targets(const lx_job *job, ptrdiff_t at, ptrdiff_t n, real *to)
{
    switch (job->target.type) {
    case LX_REAL: CONVERT(real); break;
    case LX_OTHER_REAL: convert_other(job, at, n, to); break;
    case LX_UINT8: CONVERT(uint8_t); break;
    case LX_INT8: CONVERT(int8_t); break;
    case LX_INT16: CONVERT(int16_t); break;
    case LX_INT32: CONVERT(int32_t); break;
    default: CONVERT(int64_t);
    }
}
#undef CONVERT

/* Counts the stored entries of a row in columns [first, first + n), and writes them over zeros to `to` if not NULL. */
#define SCATTER(type) \
    do { \
        const type *column = (const type *)job->sparse.column; \
        while (low < high) { /* the first entry at or after the first column */ \
            const ptrdiff_t middle = low + (high - low) / 2; \
            if ((ptrdiff_t)column[middle] < first) \
                low = middle + 1; \
            else \
                high = middle; \
        } \
        for (; low < end && (ptrdiff_t)column[low] < first + n; low++, count++) \
            if (to) \
                to[column[low] - first] = ((const real *)job->target.data)[low]; \
    } while (0)

INLINE ptrdiff_t scatter_row(const lx_job *job, ptrdiff_t row, ptrdiff_t first, ptrdiff_t n, real *to)
{
    ptrdiff_t low = job->sparse.start[row], high = job->sparse.start[row + 1];
    ptrdiff_t count = 0;
    const ptrdiff_t end = high;
    if (job->sparse.column_type == LX_INT32)
        SCATTER(int32_t);
    else
        SCATTER(int64_t);
    return count;
}
#undef SCATTER

#endif
