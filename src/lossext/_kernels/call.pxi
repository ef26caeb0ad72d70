"""From a call of a dense loss to its kernel: the only way, for every argument.

An array that kernels can read goes through as a pointer.  Any other argument is converted by lossext._validate, that
argument alone, and the same code goes on with the result.
"""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_IsContiguous
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcmp, memcpy, memset

import numpy as np

cdef object NDARRAY = np.ndarray
# arrays in the machine's byte order and without metadata share these very objects
cdef object FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64), BOOL = np.dtype(np.bool_)
cdef object BYTES = np.dtype(np.uint8), SMALL_INTS = np.dtype(np.int8), SHORTS = np.dtype(np.int16)
cdef object INTS = np.dtype(np.int32), LONGS = np.dtype(np.int64)
cdef object empty = np.empty

cdef enum:
    WANT_VALUE = 1
    WANT_GRAD = 2
    WANT_HESS = 4
VALUE, GRAD, HESS = WANT_VALUE, WANT_GRAD, WANT_HESS
ABSENT, FULL, BY_COLUMN, BY_ROW, SCALAR = LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR
REAL, OTHER_REAL, UINT8, INT32, INT64 = LX_REAL, LX_OTHER_REAL, LX_UINT8, LX_INT32, LX_INT64

cdef enum:
    NONE, MEAN, SUM, WEIGHTED_MEAN, BATCHMEAN
cdef dict REDUCTION_CODES = {
    "none": NONE, "mean": MEAN, "sum": SUM, "weighted_mean": WEIGHTED_MEAN, "batchmean": BATCHMEAN,
}


def find_loss(str family, str name):
    """The number of the kernel built from losses/<family>/<name>.h, and the names of its parameters."""
    cdef int loss = lx_find_loss(family.encode(), name.encode())
    if loss < 0:
        raise LookupError(f"no kernel {name!r} of family {family!r} was built")
    return loss, tuple(filter(None, lx_parameters(loss).decode().split(",")))


ctypedef struct call_state:
    lx_job job
    held_buffers held
    void *copies[LX_PARAMETERS + LX_WEIGHTS + 1]
    int n_copies, item_size
    bint copied    # an argument's copy is used in its place


cdef class Evaluator:
    """A loss and its parameters, bound for calls.

    `facts` is what the loss's class and parameters say (lossext._declare.facts_of); `convert` is lossext._validate, and
    `threads` is lossext._threads.
    """
    cdef int loss, reduction, n_varying
    cdef bint rowwise, per_row, over_columns, takes_bool, matrix_only, broadcasts, nan_is_missing, ignores
    cdef double cost, cost_of_row, smoothing
    cdef long long ignore_index
    cdef Py_ssize_t n_outputs
    cdef double parameter[LX_PARAMETERS]
    cdef lx_domain domain[2]    # in float32 and in float64
    cdef object input_domain
    cdef list varying
    cdef object target, weight, convert, threads, declaration
    cdef dict in_real

    def __init__(self, facts, convert, threads):
        cdef int k
        for k, real in enumerate((FLOAT32, FLOAT64)):
            self.domain[k].low, self.domain[k].high = facts.target.bounds(real)
            self.domain[k].slack, self.domain[k].sign = facts.target.slack, facts.target.sign
        self.convert, self.threads, self.declaration = convert, threads, facts
        self.loss, self.reduction = facts.kernel_number, REDUCTION_CODES[facts.reduction]
        self.rowwise, self.per_row, self.over_columns = facts.rowwise, facts.per_row, facts.over_columns
        self.matrix_only, self.broadcasts, self.takes_bool = facts.matrix_only, facts.broadcasts, facts.takes_bool
        self.nan_is_missing, self.smoothing = facts.nan_is_missing, facts.label_smoothing
        self.ignores, self.ignore_index = facts.ignore_index is not None, facts.ignore_index or 0
        self.cost, self.cost_of_row = facts.cost, facts.cost_of_row
        self.target, self.weight, self.input_domain = facts.target, facts.weight, facts.input_domain
        self.in_real = {}
        self.varying, self.n_varying, self.n_outputs = [], 0, facts.n_outputs
        for k, value in enumerate(facts.kernel_parameters):
            array = value if type(value) is NDARRAY else None
            self.varying.append(array)
            self.parameter[k] = 1.0 if value is None or array is not None else value
            self.n_varying += array is not None

    def run(self, int want, input, target, element_weight, sample_weight, mask, grad_output, out, n_threads,
            int curvature=0):
        """(value, gradient, curvature), those of them that are wanted."""
        cdef call_state call
        cdef int i
        memset(&call.job, 0, sizeof(call.job))
        call.job.size = sizeof(call.job)
        call.held.count = call.n_copies = 0
        call.copied = False
        call.job.curvature = curvature
        try:
            return self.evaluate(&call, want, input, target, (element_weight, sample_weight, mask, grad_output), out,
                                 n_threads)
        finally:
            for i in range(call.n_copies):
                PyMem_Free(call.copies[i])
            release(&call.held)

    def divisor(self, target, element_weight, sample_weight, mask, shape):
        """What the sum of the values is divided by, for an input of this shape (of float64)."""
        cdef call_state call
        cdef int i
        memset(&call.job, 0, sizeof(call.job))
        call.job.size = sizeof(call.job)
        call.held.count = call.n_copies = 0
        call.copied = False
        try:
            return self.evaluate(&call, 0, np.broadcast_to(np.zeros(1), shape), target,
                                 (element_weight, sample_weight, mask, None), None, None)
        finally:
            for i in range(call.n_copies):
                PyMem_Free(call.copies[i])
            release(&call.held)

    cdef evaluate(self, call_state *call, int want, input, target, tuple others, out, n_threads):
        cdef lx_job *job = &call.job
        cdef lx_total total
        cdef double work, sum_divisor, divisor, upstream
        cdef int threads, split, bad
        cdef bint direct
        cdef tuple shape, own_shape
        element_weight, sample_weight, mask, grad_output = others

        real = dtype = None
        if type(input) is NDARRAY:
            dtype = input.dtype
            if dtype is FLOAT32 or dtype is FLOAT64:
                real = dtype
        x = input
        if real is None:
            x, real, dtype = self.convert.real_input("input", input)
        call.item_size = 4 if real is FLOAT32 else 8
        own_shape = shape = x.shape
        y = self.take_target(call, target, real)
        if not self.fits(shape, y):
            shape = self.convert.common_shape(self.declaration, shape, y.shape, target)
            if shape != own_shape:
                x = self.convert.native(np.broadcast_to(x, shape), real)
        x = self.hold_plain(call, x, real)
        job.input = call.held.views[call.held.count - 1].buf
        call.copied = call.copied or x is not input

        split = self.split(shape, element_weight)
        job.rows, job.cols = rows_and_columns(shape, split)
        require_items(call, job.rows * job.cols, call.item_size)
        self.place_target(call, y, target, shape, split, real)
        self.take_weights(call, shape, split, real, element_weight, sample_weight)
        if mask is not None:
            self.take_mask(call, shape, mask)
        job.nan_is_missing, job.ignores, job.ignore_index = self.nan_is_missing, self.ignores, self.ignore_index
        job.target_scale, job.target_shift = 1 - self.smoothing, self.smoothing / 2
        job.domain = self.domain[call.item_size == 8]
        if self.input_domain is not None:
            job.checks_input, job.input_low, job.input_high = 1, self.input_domain.low, self.input_domain.high
        upstream = self.take_upstream(call, shape, real, grad_output)
        memcpy(job.parameter, self.parameter, sizeof(self.parameter))

        # where the results go: straight into their arrays, if these are of the kernel's type and shape
        direct = dtype is real and own_shape == shape
        grad = hess = kernel_grad = kernel_hess = value = None
        if want & WANT_GRAD:
            grad = self.result_array(call, out, own_shape, dtype, input, target, others)
            kernel_grad = grad if direct else empty(shape, real)
            job.grad = hold(&call.held, kernel_grad, True)
            require_items(call, job.rows * job.cols, call.item_size)
        if want & WANT_HESS:
            hess = empty(own_shape, dtype)
            kernel_hess = hess if direct else empty(shape, real)
            job.hess = hold(&call.held, kernel_hess, True)
        if want & WANT_VALUE:
            job.reduce = LX_TOTAL
            if self.reduction == NONE:
                job.reduce = LX_ROWS if self.per_row else LX_ELEMENTS
                value = empty(shape[:1] if self.per_row else shape, real)
                job.value = hold(&call.held, value, True)

        if job.rows * job.cols == 0:
            if want == 0:
                return 0.0 if self.reduction >= MEAN and self.reduction != SUM else 1.0
            for derivative in (grad, hess):
                if derivative is not None:
                    derivative.fill(0)
            if want & WANT_VALUE and value is None:
                value = dtype.type(0 if self.reduction == SUM else np.nan)
            elif value is not None and dtype is not real:
                value = value.astype(dtype)
            return value, grad, hess

        work = job.rows * (job.cols * self.cost * call.item_size / 4 + self.cost_of_row)
        threads = self.choose_threads(n_threads, work)
        job.stream = (job.grad != NULL and job.grad != job.input
                      and job.rows * job.cols * call.item_size >= STREAM_BYTES)
        sum_divisor = self.row_divisor(call, real, threads)
        job.value_divisor = sum_divisor
        divisor = self.mean_divisor(call, shape, want, threads, target)
        if want == 0:
            return divisor
        if divisor > 0 or divisor < 0:
            job.value_divisor *= divisor
            job.grad_scale = upstream / job.value_divisor
        if job.checks_input and job.grad == job.input:    # before the gradient takes its place
            self.convert.check_input(x, target, mask, self.declaration)
        bad = run_job(job, lx_kernel(self.loss, call.item_size == 8), self.rowwise, call.item_size, threads, &total)
        if bad & LX_BAD_TARGET:
            raise self.convert.bad_target(self.target, target, shape, real, mask, self.declaration)
        if bad:
            self.convert.check_input(x, target, mask, self.declaration)
            raise ValueError("input was changed during the call")
        if n_threads is None and threads > 0:
            lx_small_call_ends(work, threads)
        else:
            lx_call_ends()
        if job.counts:
            divisor = total.count
            job.value_divisor = sum_divisor * divisor
        if not divisor:
            for derivative in (kernel_grad, kernel_hess):
                if derivative is not None:
                    derivative.fill(0)
        if not direct:
            self.convert.store_result(kernel_grad, grad)
            self.convert.store_result(kernel_hess, hess)
        if want & WANT_VALUE:
            if value is None:
                value = self.scalar(dtype, total.sum / job.value_divisor if divisor else np.nan)
            elif dtype is not real:
                value = self.convert.rounded(value, dtype)
        return value, grad, hess

    cdef scalar(self, dtype, double value):
        """In the type of the results; what it cannot hold is infinite, or 0, without a word."""
        if dtype is FLOAT64 or value == 0 or dtype is FLOAT32 and 1.2e-38 < abs(value) < 3.4e38:
            return dtype.type(value)
        return self.convert.rounded(np.float64(value), dtype)

    # ---- input and target ----

    cdef hold_plain(self, call_state *call, array, dtype):
        """Takes an array of this dtype if kernels can read its memory, else a copy; returns the one that was taken."""
        cdef Py_buffer *buffer = &call.held.views[call.held.count]
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDES)
        if <size_t> buffer.buf % <size_t> buffer.itemsize == 0 and PyBuffer_IsContiguous(buffer, b"C"):
            call.held.count += 1
            return array
        PyBuffer_Release(buffer)
        call.copied = True
        array = self.convert.native(array, dtype)
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDES)
        call.held.count += 1
        return array

    cdef take_target(self, call_state *call, target, real):
        """The target as an array of a type that kernels read; sets that type."""
        cdef lx_operand *y = &call.job.target
        dtype = target.dtype if type(target) is NDARRAY else None
        y.type = -1
        if dtype is LONGS or dtype is INTS:
            y.type = LX_INT64 if dtype is LONGS else LX_INT32
        elif not self.rowwise:
            if dtype is real:
                y.type = LX_REAL
            elif dtype is FLOAT32 or dtype is FLOAT64:
                y.type = LX_OTHER_REAL
            elif dtype is BYTES or dtype is BOOL and self.takes_bool:
                y.type = LX_UINT8
            elif dtype is SMALL_INTS or dtype is SHORTS:
                y.type = LX_INT8 if dtype is SMALL_INTS else LX_INT16
        if y.type >= 0:
            return target
        call.copied = True
        if self.rowwise:
            array, y.type = self.convert.class_ids("target", target)
        elif self.convert.is_csr(target):
            array = target
            y.layout = LX_CSR
        else:
            array, y.type = self.convert.real_target("target", target, real, self.takes_bool)
        return array

    cdef bint fits(self, tuple shape, y):
        """Whether input and target go together without further ado."""
        if self.matrix_only and (len(shape) != 2 or shape[1] == 0):
            return False
        if self.n_outputs:
            return len(shape) == 2 and shape[1] == self.n_outputs and y.shape == shape[:1]
        if self.rowwise:
            return y.shape == shape[:1]
        return y.shape == shape

    cdef place_target(self, call_state *call, y, target, tuple shape, int split, real):
        """Memory and layout of the target."""
        cdef lx_job *job = &call.job
        if job.target.layout == LX_CSR:
            start, column, data = self.convert.csr_target(y, shape, real)
            job.sparse.start = <const long long *> hold(&call.held, start)
            job.sparse.column = hold(&call.held, column)
            job.sparse.column_type = LX_INT32 if column.dtype is INTS else LX_INT64
            job.target.data = hold(&call.held, data)
            job.target.type = LX_REAL
            return
        if self.rowwise or y.shape == shape:
            job.target.layout = LX_FULL
        else:
            y, layout = self.convert.broadcast_target(self.target, y, shape, split, real)
            job.target.layout, job.target.type = layout, LX_REAL
        self.hold_plain(call, y, y.dtype)
        require_items(call, job.rows if self.rowwise else items_of(job, job.target.layout),
                      size_of_type(job.target.type, call.item_size))
        job.target.data = call.held.views[call.held.count - 1].buf
        if not self.rowwise:
            self.repeat(call, &job.target)

    # ---- weights, masks and what comes from above ----

    cdef int split(self, tuple shape, element_weight):
        """Where to cut input's axes into rows and columns."""
        if len(shape) <= 2:
            return 1 if shape else 0
        arrays = [array for array in (self.weight, *self.varying) if array is not None]
        if element_weight is not None:
            arrays.append(np.asarray(element_weight))
        return self.convert.split_axis(shape, *arrays)

    cdef take_weights(self, call_state *call, tuple shape, int split, real, element_weight, sample_weight):
        cdef lx_job *job = &call.job
        cdef int k
        if self.weight is not None:
            if self.rowwise:
                self.convert.check_class_weights("weight", self.weight, job.cols)
                self.hold_plain(call, self.in_type("weight", self.weight, real), real)
                require_items(call, job.cols, call.item_size)
                job.weight[LX_WEIGHT].data = call.held.views[call.held.count - 1].buf
                job.weight[LX_WEIGHT].layout = LX_BY_COLUMN
            else:
                self.place(call, &job.weight[LX_WEIGHT], "weight", self.in_type("weight", self.weight, real), shape,
                           split, real)
        for k in range(len(self.varying)):
            if self.varying[k] is not None:
                name = self.declaration.parameter_names[k]
                self.place(call, &job.varying[k], name, self.in_type(name, self.varying[k], real), shape, split, real)
        if element_weight is not None:
            if type(element_weight) is not NDARRAY or element_weight.dtype is not real:
                call.copied = True
                element_weight = self.convert.native(self.convert.weights("element_weight", element_weight), real)
            self.place(call, &job.weight[LX_ELEMENT_WEIGHT], "element_weight", element_weight, shape, split, real)
        if sample_weight is not None:
            if (type(sample_weight) is not NDARRAY or sample_weight.dtype is not real or sample_weight.ndim != 1
                    or not shape or len(sample_weight) != shape[0]):
                call.copied = True
                sample_weight = self.convert.sample_weights(sample_weight, shape[0] if shape else None, real)
            if shape[0] != job.rows and shape[0]:
                sample_weight = np.repeat(sample_weight, job.rows // shape[0])
            self.hold_plain(call, sample_weight, real)
            require_items(call, job.rows, call.item_size)
            job.weight[LX_SAMPLE_WEIGHT].data = call.held.views[call.held.count - 1].buf
            job.weight[LX_SAMPLE_WEIGHT].layout = LX_FULL if job.cols == 1 else LX_BY_ROW

    cdef in_type(self, str name, array, real):
        """A weight that the loss was made with, in the type of the computation, once for each."""
        key = (name, real)
        if key not in self.in_real:
            self.in_real[key] = self.convert.native(array, real)
        return self.in_real[key]

    cdef place(self, call_state *call, lx_operand *operand, str name, array, tuple shape, int split, real):
        """Memory and layout of an operand that broadcasts to the input."""
        cdef Py_ssize_t ndim = array.ndim
        own = array.shape
        if own == shape:
            operand.layout = LX_FULL
        elif ndim == 0 or array.size == 1 and ndim <= len(shape):
            operand.layout = LX_SCALAR
        elif ndim == 1 and len(shape) == 2 and own[0] == shape[1]:
            operand.layout = LX_BY_COLUMN if call.job.rows > 1 else LX_FULL
        else:
            array, operand.layout = self.convert.operand(name, array, shape, split, real)
        self.hold_plain(call, array, real)
        require_items(call, items_of(&call.job, operand.layout), call.item_size)
        operand.data = call.held.views[call.held.count - 1].buf
        self.repeat(call, operand)

    cdef int repeat(self, call_state *call, lx_operand *operand) except -1:
        """Repeats an operand by column as the kernels of element losses want it."""
        if operand.layout != LX_BY_COLUMN or call.job.cols == 0:
            return 0
        cdef Py_ssize_t have = call.job.cols * call.item_size, needed = have + LX_CHUNK * call.item_size
        cdef char *repeated = <char *> PyMem_Malloc(needed)
        if repeated == NULL:
            raise MemoryError(f"no memory for {needed} bytes of weights")
        memcpy(repeated, operand.data, have)
        while have < needed:
            memcpy(repeated + have, repeated, min(have, needed - have))
            have += min(have, needed - have)
        operand.data = call.copies[call.n_copies] = repeated
        call.n_copies += 1
        return 0

    cdef take_mask(self, call_state *call, tuple shape, mask):
        by_row = self.rowwise or self.n_outputs or call.job.target.layout == LX_CSR
        allowed = shape[:1] if by_row else shape
        if type(mask) is not NDARRAY or mask.dtype is not BOOL or mask.shape != allowed:
            call.copied = True
            mask = self.convert.known("mask", mask, allowed)
        self.hold_plain(call, mask, BOOL)
        require_items(call, call.job.rows if by_row else call.job.rows * call.job.cols, 1)
        call.job.mask.data = call.held.views[call.held.count - 1].buf
        call.job.mask.type = LX_UINT8
        call.job.mask.layout = LX_BY_ROW if by_row and call.job.cols > 1 else LX_FULL

    cdef double take_upstream(self, call_state *call, tuple shape, real, grad_output) except? -1:
        """The upstream gradient where it is one number, 1 where it is an array."""
        if grad_output is None:
            return 1.0
        if self.reduction != NONE:
            return self.convert.upstream_scalar(grad_output)
        wanted = shape[:1] if self.per_row else shape
        if type(grad_output) is not NDARRAY or grad_output.dtype is not real or grad_output.shape != wanted:
            call.copied = True
            grad_output = self.convert.upstream_array(grad_output, wanted, real)
        self.hold_plain(call, grad_output, real)
        require_items(call, call.job.rows if self.per_row else call.job.rows * call.job.cols, call.item_size)
        call.job.grad_output.data = call.held.views[call.held.count - 1].buf
        call.job.grad_output.layout = LX_BY_ROW if self.per_row and (call.job.cols > 1 or self.rowwise) else LX_FULL
        return 1.0

    # ---- results ----

    cdef result_array(self, call_state *call, out, tuple shape, dtype, input, target, tuple others):
        """Where the gradient goes, which shares memory with no argument but the whole of input."""
        cdef Py_buffer *view = &call.held.views[call.held.count]
        cdef const Py_buffer *other
        cdef int i
        if out is None:
            return empty(shape, dtype)
        if (type(out) is not NDARRAY or out.dtype is not dtype or out.shape != shape or not out.flags.carray):
            self.convert.check_result("out", out, shape, dtype)
        if call.copied:
            self.name_overlap(out, input, target, others)
        PyObject_GetBuffer(out, view, PyBUF_STRIDES)
        try:
            for i in range(call.held.count):
                other = &call.held.views[i]
                if overlap(view, other) and not (i == 0 and view.buf == other.buf and view.len == other.len):
                    self.name_overlap(out, input, target, others)
                    raise ValueError("out shares memory with an argument other than input")
        finally:
            PyBuffer_Release(view)
        return out

    cdef name_overlap(self, out, input, target, tuple others):
        element_weight, sample_weight, mask, grad_output = others
        self.convert.require_no_overlap(out, input, {
            "target": target, "element_weight": element_weight, "sample_weight": sample_weight, "mask": mask,
            "grad_output": grad_output,
        })

    cdef int choose_threads(self, n_threads, double work) except -1:
        cdef int count
        if n_threads is not None:
            count = self.threads.checked("n_threads", n_threads)
        else:
            count = lx_threads_for(work)
            if count == 0:
                count = self.threads.default()[0]
                lx_remember_threads(count)
        return 1 if count > 1 and lx_one_thread_only() else count

    # ---- divisors ----

    cdef double row_divisor(self, call_state *call, real, int threads) except -1:
        """What a row's own value is divided by, but for rows with missing targets, which get a weight for that."""
        cdef lx_job *job = &call.job
        cdef lx_job counting
        cdef lx_total total
        if not self.over_columns:
            return 1.0
        if not (self.nan_is_missing or job.mask.layout):
            return <double> job.cols
        scale = empty(job.rows, real)
        job.weight[LX_ROW_SCALE].data = hold(&call.held, scale, True)
        counting = job[0]
        counting.value = <void *> job.weight[LX_ROW_SCALE].data
        run_job(&counting, lx_count(LX_COUNT_BY_ROW, call.item_size == 8), True, call.item_size, threads, &total)
        job.weight[LX_ROW_SCALE].layout = LX_FULL if job.cols == 1 else LX_BY_ROW
        return 1.0

    cdef double mean_divisor(self, call_state *call, tuple shape, int want, int threads, target) except? -1:
        """What the sum of all values is divided by; sets `counts` where the kernel's own pass is to find it."""
        cdef lx_job *job = &call.job
        cdef lx_job counting
        cdef lx_total total
        cdef bint misses = self.nan_is_missing or self.ignores or job.mask.layout
        cdef bint weighted = False
        cdef int k
        if self.reduction == NONE or self.reduction == SUM:
            return 1.0
        if self.reduction == BATCHMEAN:
            return <double> shape[0] if shape else 1.0
        for k in range(LX_WEIGHTS):
            weighted = weighted or job.weight[k].layout != LX_ABSENT
        if self.reduction == MEAN or not weighted:
            if self.over_columns and job.weight[LX_ROW_SCALE].layout:
                return self.rows_with_known(call, threads)
            if not misses:
                return <double> job.rows if self.per_row else <double> (job.rows * job.cols)
            job.counts = 1
            if want == WANT_VALUE:
                return 1.0
        else:
            job.counts = 2
        counting = job[0]
        kernel = lx_count(LX_COUNT_ROWS if self.rowwise else LX_COUNT_ELEMENTS, call.item_size == 8)
        bad = run_job(&counting, kernel, self.rowwise, call.item_size, threads, &total)
        job.counts = 0
        if bad:
            raise self.convert.bad_target(self.target, target, shape, None, None, self.declaration)
        if self.over_columns and not self.rowwise and not job.weight[LX_ROW_SCALE].layout:
            return total.count / job.cols
        return total.count

    cdef double rows_with_known(self, call_state *call, int threads) except? -1:
        cdef Py_ssize_t i, count = 0
        cdef bint double_type = call.item_size == 8
        cdef const void *scale = call.job.weight[LX_ROW_SCALE].data
        for i in range(call.job.rows):
            count += (<const double *> scale)[i] > 0 if double_type else (<const float *> scale)[i] > 0
        return <double> count


cdef int require_items(call_state *call, Py_ssize_t count, Py_ssize_t size) except -1:
    """ValueError unless the memory held last has so many items: a shape can lie, or change meanwhile."""
    cdef Py_ssize_t length = call.held.views[call.held.count - 1].len
    if length < count * size:
        raise ValueError(f"an array has {length} bytes of memory; its shape asks for {count * size}")
    return 0


cdef Py_ssize_t items_of(const lx_job *job, int layout) noexcept:
    if layout == LX_FULL:
        return job.rows * job.cols
    return job.cols if layout == LX_BY_COLUMN else job.rows if layout == LX_BY_ROW else 1


cdef Py_ssize_t size_of_type(int type, Py_ssize_t real_size) noexcept:
    if type == LX_REAL or type == LX_OTHER_REAL:
        return real_size if type == LX_REAL else 12 - real_size
    if type == LX_INT32 or type == LX_INT64:
        return 4 if type == LX_INT32 else 8
    return 2 if type == LX_INT16 else 1


cdef (Py_ssize_t, Py_ssize_t) rows_and_columns(tuple shape, int split):
    cdef Py_ssize_t rows = 1, cols = 1
    cdef int axis = 0
    if split == 1 and len(shape) == 2:
        return shape[0], shape[1]
    for length in shape:
        if axis < split:
            rows *= <Py_ssize_t> length
        else:
            cols *= <Py_ssize_t> length
        axis += 1
    return rows, cols
