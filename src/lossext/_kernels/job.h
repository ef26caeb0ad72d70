/* What the drivers ask of a block kernel: one struct, filled by name.  Kernels are compiled once for each loss, type
 * and instruction set (see setup.py); dispatch.c picks one. */
#ifndef LX_JOB_H
#define LX_JOB_H

#include <stddef.h>
#include <stdint.h>

/* Name of a function that is compiled once for a type and an instruction set, whatever the loss. */
#define LX_JOIN_(a, b) lx_##a##_##b
#define LX_JOIN(a, b) LX_JOIN_(a, b)
#define SHARED(name) LX_JOIN(name, LX_SUFFIX)

enum { LX_FLOAT32, LX_FLOAT64, LX_TYPES }; /* the type of a kernel: of input, weights and results */
enum { LX_BASELINE, LX_AVX2, LX_AVX512, LX_LEVELS };

/* Elements that an element loss works through at a time: they, and what is made of them, stay in the first cache. */
enum { LX_CHUNK = 512 };

/* How an operand meets element (row, column) of the (rows, cols) input.  For an element loss, operands BY_COLUMN are
 * repeated in memory, cols + LX_CHUNK values long: a chunk that begins at any column can read contiguously past the end
 * of its row. */
enum { LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR, LX_CSR };

/* What an operand's array holds.  LX_REAL: the kernel's own type; LX_OTHER_REAL: the other one of float32, float64. */
enum { LX_REAL, LX_OTHER_REAL, LX_UINT8, LX_INT32, LX_INT64, LX_INT8, LX_INT16 };

typedef struct {
    const void *data;
    int type, layout;
} lx_operand;

/* Which targets a loss takes: low <= y <= high, or |y| for a sign.  Up to `slack` beyond counts as the bound. */
typedef struct {
    double low, high, slack;
    int sign;
} lx_domain;

/* Columns of the stored entries of a CSR target, ascending in each row, none twice; target.data holds their values. */
typedef struct {
    const int64_t *start;
    const void *column;
    int column_type; /* LX_INT32 or LX_INT64 */
} lx_csr;

/* Factors of a row's or an element's value.  ROW_SCALE: 1 over the number of known columns of a row. */
enum { LX_WEIGHT, LX_ELEMENT_WEIGHT, LX_SAMPLE_WEIGHT, LX_ROW_SCALE, LX_WEIGHTS };

/* What becomes of the values: one number for all, one a row, one an element; or they are not asked for. */
enum { LX_NO_VALUE, LX_TOTAL, LX_ROWS, LX_ELEMENTS };

enum { LX_EXACT, LX_MAJORIZER, LX_FISHER, LX_RESIDUAL }; /* kinds of curvature */

enum { LX_PARAMETERS = 8 };

/* Arrays are C-contiguous, aligned, and (rows, cols), (rows / inner, cols, inner) or as their layout says.  Later
 * versions append fields only. */
typedef struct {
    size_t size; /* of this struct, as the caller knows it */
    ptrdiff_t rows, cols;
    const void *input;
    lx_operand target; /* class ids: one a row, of an integer type */
    lx_csr sparse;
    lx_domain domain;
    double target_scale, target_shift; /* y becomes scale y + shift: label smoothing; 1 and 0 for none */
    lx_operand weight[LX_WEIGHTS];     /* of a loss of class ids, LX_WEIGHT is one a class */
    lx_operand mask;                   /* LX_UINT8, true where the target is known; FULL or BY_ROW */
    int nan_is_missing;                /* a target that is NaN is not known */
    int64_t ignore_index;              /* a row of this class is not known */
    int ignores;                       /* whether there is an ignore_index */
    lx_operand grad_output;            /* besides grad_scale */
    double parameter[LX_PARAMETERS];
    lx_operand varying[LX_PARAMETERS]; /* parameters of losses that take them element by element */
    double value_divisor, grad_scale;
    int reduce, curvature;
    void *value; /* LX_ROWS, LX_ELEMENTS */
    void *grad;  /* or NULL */
    void *hess;  /* or NULL */
    int stream;  /* grad (and hess) are too large for the caches: write around them */
    int counts;  /* what the total is to hold of the known elements or rows, 1: their number, 2: the sum of their
                    weights, 3: of their class weights */
    int checks_input; /* whether predictions are to lie in [input_low, input_high]; NaN comes through */
    double input_low, input_high;
    ptrdiff_t inner;   /* of row losses: how far apart a row's columns are, which lie along axis 1 of (N, C, inner) */
    ptrdiff_t set_length; /* of a row of labels that is padded with -1 */
    int holds_classes; /* of row losses: the target holds class ids, not rows of numbers */
} lx_job;

/* A block's sum of values, what its roundings took away, and what `counts` asks for. */
typedef struct {
    double sum, rest, count;
} lx_total;

enum { LX_BAD_TARGET = 1, LX_BAD_INPUT = 2, LX_NO_MEMORY = 4 };

/* Works on elements (rows for a row loss) [first, last).
 * LX_BAD_TARGET, LX_BAD_INPUT or both if one lies outside the loss's domain, or LX_NO_MEMORY: the results are then
 * undefined. */
typedef int (*lx_block_kernel)(const lx_job *job, ptrdiff_t first, ptrdiff_t last, lx_total *total);

/* A loss's number by family and name, -1 if there is none; its parameters' names, separated by commas. */
int lx_find_loss(const char *family, const char *name);
const char *lx_parameters(int loss);
lx_block_kernel lx_kernel(int loss, int type); /* at the current level */

/* What is known of a block without computing the loss, as `counts` says; LX_COUNT_BY_ROW also writes 1 over the number
 * of known elements of each row (0 if there is none) to job->value. */
enum { LX_COUNT_ELEMENTS, LX_COUNT_BY_ROW, LX_COUNT_ROWS, LX_COUNTS };
lx_block_kernel lx_count(int what, int type);

void lx_find_level(void); /* once, at import */
int lx_level(void);
const char *lx_level_name(int level);
int lx_level_supported(int level); /* compiled in, and this CPU and its operating system have it */
void lx_set_level(int level);

#endif
