/* The interface between drivers and block kernels: one struct, filled by name.  Kernels are compiled once for each
 * loss, type and instruction set (see setup.py); dispatch.c selects one. */
#ifndef LX_JOB_H
#define LX_JOB_H

#include <stddef.h>
#include <stdint.h>

/* The name of a function that is compiled once for each type and instruction set. */
#define LX_JOIN_(a, b) lx_##a##_##b
#define LX_JOIN(a, b) LX_JOIN_(a, b)
#define SHARED(name) LX_JOIN(name, LX_SUFFIX)

enum { LX_FLOAT32, LX_FLOAT64, LX_TYPES }; /* the type of a kernel: of input, weights and results */
enum { LX_BASELINE, LX_AVX2, LX_AVX512, LX_LEVELS };

/* The number of elements that an element loss processes at a time, so that these and results stay in the L1 cache. */
enum { LX_CHUNK = 512 };

/* How an operand is indexed for element (row, column) of the (rows, cols) input.  For an element loss, operands
 * BY_COLUMN are repeated in memory to cols + LX_CHUNK values, so that a chunk that begins at any column can read
 * contiguously past the end of its row. */
enum { LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR, LX_CSR };

/* The type of an operand's array.  LX_REAL: the kernel's own type; LX_OTHER_REAL: the other one of float32, float64. */
enum { LX_REAL, LX_OTHER_REAL, LX_UINT8, LX_INT32, LX_INT64, LX_INT8, LX_INT16 };

typedef struct {
    const void *data;
    int type, layout;
} lx_operand;

/* The domain of targets: low <= y <= high, or of |y| for a sign.  Targets up to `slack` beyond count as the bound. */
typedef struct {
    double low, high, slack;
    int sign;
} lx_domain;

/* Columns of the stored entries of a CSR target, strictly ascending in each row; target.data holds their values. */
typedef struct {
    const int64_t *start;
    const void *column;
    int column_type; /* LX_INT32 or LX_INT64 */
} lx_csr;

/* Factors of the value of a row or an element.  ROW_SCALE: 1 over the number of known columns of a row. */
enum { LX_WEIGHT, LX_ELEMENT_WEIGHT, LX_SAMPLE_WEIGHT, LX_ROW_SCALE, LX_WEIGHTS };

/* How values are reduced: not computed, one total, one per row, or one per element. */
enum { LX_NO_VALUE, LX_TOTAL, LX_ROWS, LX_ELEMENTS };

enum { LX_EXACT, LX_MAJORIZER, LX_FISHER, LX_RESIDUAL }; /* kinds of curvature */

enum { LX_PARAMETERS = 8 };

/* Arrays are C-contiguous and aligned, with the shape (rows, cols) or (rows / inner, cols, inner) or as given by their
 * layout.  Later versions only append fields. */
typedef struct {
    size_t size; /* of this struct in the caller's version */
    ptrdiff_t rows, cols;
    const void *input;
    lx_operand target; /* class ids: one per row, of an integer type */
    lx_csr sparse;
    lx_domain domain;
    double target_scale, target_shift; /* label smoothing replaces y by scale y + shift; 1 and 0 for none */
    lx_operand weight[LX_WEIGHTS];     /* for class ids, LX_WEIGHT holds one weight per class */
    lx_operand mask;                   /* LX_UINT8, true where the target is known; FULL or BY_ROW */
    int nan_is_missing;                /* a NaN target is unknown */
    int64_t ignore_index;              /* a row of this class is unknown */
    int ignores;                       /* whether there is an ignore_index */
    lx_operand grad_output;            /* in addition to grad_scale */
    double parameter[LX_PARAMETERS];
    lx_operand varying[LX_PARAMETERS]; /* parameters that differ from column to column */
    double value_divisor, grad_scale;
    int reduce, curvature;
    void *value; /* LX_ROWS, LX_ELEMENTS */
    void *grad;  /* or NULL */
    void *hess;  /* or NULL */
    int stream;  /* grad (and hess) exceed the caches: use streaming stores */
    int counts;  /* what total.count is over known elements or rows; 1: their number, 2: the sum of their weights,
                    3: the sum of their class weights */
    int checks_input; /* whether predictions must be in [input_low, input_high]; NaN propagates */
    double input_low, input_high;
    ptrdiff_t inner;   /* row losses: the distance of a row's columns, which are axis 1 of (N, C, inner) */
    ptrdiff_t set_length; /* length of a row of labels padded with -1 */
    int holds_classes; /* row losses: the target holds class ids, not rows of numbers */
} lx_job;

/* The sum of a block's values, its rounding error, and the quantity chosen by `counts`. */
typedef struct {
    double sum, rest, count;
} lx_total;

enum { LX_BAD_TARGET = 1, LX_BAD_INPUT = 2, LX_NO_MEMORY = 4 };

/* Processes elements (rows for a row loss) [first, last).  Returns 0; or LX_BAD_TARGET, LX_BAD_INPUT or both if one is
 * outside the loss's domain; or LX_NO_MEMORY.  After an error the results are undefined. */
typedef int (*lx_block_kernel)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total);

/* The number of a loss by family and name, -1 if there is none; the names of its parameters, separated by commas. */
int lx_find_loss(const char *family, const char *name);
const char *lx_parameters(int loss);
lx_block_kernel lx_kernel(int loss, int type); /* at the current level */

/* Kernels that compute only the quantity chosen by `counts`; LX_COUNT_BY_ROW also writes 1 over the number of known
 * elements of each row (0 if there is none) to job->value. */
enum { LX_COUNT_ELEMENTS, LX_COUNT_BY_ROW, LX_COUNT_ROWS, LX_COUNTS };
lx_block_kernel lx_count(int what, int type);

void lx_find_level(void); /* once, at import */
int lx_level(void);
const char *lx_level_name(int level);
int lx_level_supported(int level); /* compiled in, and supported by the CPU and the operating system */
void lx_set_level(int level);

#endif
