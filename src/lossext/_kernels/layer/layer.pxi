"""Losses over a linear layer: a room for each purpose."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy, memset

cdef extern from "layer/layer.h" nogil:
    enum: LX_FLOAT64
    enum: LX_ROW_BLOCK, LX_CLASS_TILE, LX_SLICE, LX_MERGE_UNIT
    enum: LX_SOFTMAX, LX_NORMALIZED_SOFTMAX, LX_SIGMOID, LX_RAW
    enum: LX_ADD, LX_ADAGRAD, LX_ADAM, LX_TAKE, LX_PRODUCT
    ctypedef void (*lx_step)(const void *, Py_ssize_t) noexcept nogil
    ctypedef struct lx_phase:
        lx_step step
        const void *job
        long long units, taken, done
    void lx_work_through(lx_phase *phases, int count, lx_team *team)
    ctypedef struct lx_labels:
        const int64_t *start
        const int64_t *row
        const void *bias
        const void *share
        const void *rest
        void *logit
        void *grad
    ctypedef struct lx_hits:
        const int64_t *start
        const int64_t *key
        const int64_t *order
        const int64_t *first
    ctypedef struct lx_groups:
        Py_ssize_t count
        const int64_t *row
        const int64_t *label
        const int64_t *label_first
        const int64_t *class_
        const int64_t *class_first
        void *weights
        void *biases
    ctypedef struct lx_top:
        Py_ssize_t count
        void *values
        int64_t *ids
    ctypedef struct lx_smoothing:
        double mass, bias
        const void *row
    ctypedef struct lx_layer:
        Py_ssize_t rows, dim, classes
        double scale
        const void *inputs
        const void *weights
        const int64_t *class_row
        const void *bias
        const void *upstream
        lx_labels labels
        lx_hits hits
        lx_groups groups
        lx_top top
        lx_smoothing smoothing
        double *loss
        double *log_normalizer
        void *grad_inputs
        void *grad_classes
        void *grad_bias
        Py_ssize_t tile, stride
        int unpacked, direct, one_tile
        void *row_label
        void *row_base
        void *row_rescale
        void *row_factor
        double *row_sum
        void *packed_inputs
        void *columns
        void *packed_weights
        void *logits
        void *base
        void *sum
    ctypedef struct lx_wave:
        const lx_layer *layer
        int mode, first_of_rows, last_of_rows, first_of_classes, keep
        Py_ssize_t first_row, blocks, first_class, tiles, first_column, columns, panels, group
    ctypedef struct lx_row_update:
        int rule, compact
        Py_ssize_t rows, length, stride
        const int64_t *indices
        const int64_t *columns
        const int64_t *start
        const int64_t *entries
        const void *factors
        const void *dense
        void *values
        void *param
        void *first
        void *second
        double penalty, rate, decay1, decay2, epsilon
    ctypedef struct lx_layer_steps:
        Py_ssize_t panel, lanes
        lx_step label_logits, pack_weights, pack_columns, pack_rows, logits, take_tiles, products, finish_inputs
        lx_step merge, keep_largest, update_rows
    const lx_layer_steps *lx_layer_kernels(int type)

SOFTMAX, SIGMOID, RAW = LX_SOFTMAX, LX_SIGMOID, LX_RAW
ADD, ADAGRAD, ADAM, TAKE, PRODUCT = LX_ADD, LX_ADAGRAD, LX_ADAM, LX_TAKE, LX_PRODUCT

include "memory.pxi"
include "phases.pxi"
include "sorting.pxi"
include "ids.pxi"
include "driver.pxi"
include "arguments.pxi"
include "sampled.pxi"
include "row_update.pxi"
include "id_set.pxi"
include "log_counts.pxi"
include "uniform.pxi"
include "alias_table.pxi"
include "fenwick_tree.pxi"
