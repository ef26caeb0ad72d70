"""From a call of a dense loss to its kernel: the only way, for every argument.

An array that kernels can read goes through as a pointer.  Any other argument is converted by lossext._validate, that
argument alone, and the same code goes on with the result.
"""

from cpython.buffer cimport PyBuffer_IsContiguous
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.math cimport NAN
from libc.string cimport memcmp, memcpy, memset

cimport cython

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
    WANT_TOTAL = 8    # with the value: sum and divisor, not rounded to input's type
VALUE, GRAD, HESS = WANT_VALUE, WANT_GRAD, WANT_HESS
ABSENT, FULL, BY_COLUMN, BY_ROW, SCALAR = LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR
REAL, OTHER_REAL, UINT8, INT32, INT64 = LX_REAL, LX_OTHER_REAL, LX_UINT8, LX_INT32, LX_INT64

cdef enum:
    MOST_NUMBERED = 1 << 24    # columns that float32, in which lanes count them, tells apart
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
    PyObject *own_weights    # dict of arrays that stand in for the loss's weights, or None
    PyObject *element_weight
    PyObject *sample_weight
    PyObject *mask
    PyObject *grad_output
    held_buffers held
    const Py_buffer *input    # in the shape that is computed on
    void *copies[LX_PARAMETERS + LX_WEIGHTS + 1]
    int n_copies, item_size
    bint copied    # an argument's copy is used in its place, or Python code of an argument's has run


cdef class Scalars:
    """NumPy's scalars of a dtype, out of an array of one: np.float32(x) takes four times as long."""
    cdef object array
    cdef Py_buffer memory

    def __cinit__(self, dtype):
        self.array = empty((), dtype)
        PyObject_GetBuffer(self.array, &self.memory, PyBUF_WRITABLE)

    cdef make(self, double value):
        with cython.critical_section(self):
            if self.memory.itemsize == 4:
                (<float *> self.memory.buf)[0] = <float> value
            else:
                (<double *> self.memory.buf)[0] = value
            return self.array[()]

cdef Scalars FLOAT32_SCALARS = Scalars(FLOAT32), FLOAT64_SCALARS = Scalars(FLOAT64)


cdef scalar_of(convert, dtype, double value):
    """In the type of the results; what it cannot hold is infinite, or 0, without a word."""
    if dtype is FLOAT64:
        return FLOAT64_SCALARS.make(value)
    if dtype is FLOAT32 and (value == 0 or 1.2e-38 < abs(value) < 3.4e38):
        return FLOAT32_SCALARS.make(value)
    return convert.rounded(np.float64(value), dtype)


cdef class Evaluator:
    """A loss and its parameters, bound for calls.

    `facts` is what the loss's class and parameters say (lossext._declare.facts_of); `convert` is lossext._validate, and
    `threads` is lossext._threads.
    """
    cdef int loss, soft_loss, reduction    # soft_loss: of rows of targets, -1 if there is none
    cdef bint rowwise, per_row, over_columns, takes_bool, matrix_only, broadcasts, nan_is_missing, ignores
    cdef bint divides_by_class_weight, label_sets
    cdef double cost, cost_of_row, smoothing
    cdef long long ignore_index
    cdef Py_ssize_t n_outputs
    cdef double parameter[LX_PARAMETERS]
    cdef lx_domain domain[2]    # of targets that are no class ids, in float32 and in float64
    cdef object input_domain
    cdef list varying
    cdef object target, weight, convert, threads, declaration
    cdef dict in_float32, in_float64    # weights that the loss was made with, by name

    def __init__(self, facts, convert, threads):
        cdef int k
        domain = facts.soft_target or facts.target
        for k, real in enumerate((FLOAT32, FLOAT64)):
            self.domain[k].low, self.domain[k].high = domain.bounds(real)
            self.domain[k].slack, self.domain[k].sign = domain.slack, domain.sign
        self.convert, self.threads, self.declaration = convert, threads, facts
        self.loss, self.soft_loss = facts.kernel_number, facts.soft_kernel_number
        self.reduction, self.divides_by_class_weight = REDUCTION_CODES[facts.reduction], facts.divides_by_class_weight
        self.rowwise, self.per_row, self.over_columns = facts.rowwise, facts.per_row, facts.over_columns
        self.label_sets = facts.target.kind == "labels"
        self.matrix_only, self.broadcasts, self.takes_bool = facts.matrix_only, facts.broadcasts, facts.takes_bool
        self.nan_is_missing, self.smoothing = facts.nan_is_missing, facts.label_smoothing
        self.ignores = facts.ignore_index is not None and -2**63 <= facts.ignore_index < 2**63    # no id is beyond
        self.ignore_index = facts.ignore_index if self.ignores else 0
        self.cost, self.cost_of_row = facts.cost, facts.cost_of_row
        self.target, self.weight, self.input_domain = facts.target, facts.weight, facts.input_domain
        self.in_float32, self.in_float64 = {}, {}
        self.varying, self.n_outputs = [], facts.n_outputs
        for k, value in enumerate(facts.kernel_parameters):
            array = value if type(value) is NDARRAY else None
            self.varying.append(array)
            self.parameter[k] = 1.0 if value is None or array is not None else value

    def run(self, int want, input, target, element_weight, sample_weight, mask, grad_output, out, n_threads,
            int curvature=0, own_weights=None):
        """Value, gradient, curvature, those of them that are wanted: one as it is, two as a tuple.

        `own_weights` are arrays by name that stand in for the weights which the loss was made with.
        """
        cdef call_state call
        begin(&call, element_weight, sample_weight, mask, grad_output)
        call.job.curvature = curvature
        call.own_weights = <PyObject *> own_weights
        try:
            return self.evaluate(&call, want, input, target, out, n_threads)
        finally:
            end(&call)

    def divisor(self, target, element_weight, sample_weight, mask, shape):
        """What the sum of the values is divided by, for an input of this shape (of float64)."""
        cdef call_state call
        begin(&call, element_weight, sample_weight, mask, None)
        try:
            return self.evaluate(&call, 0, np.broadcast_to(np.zeros(1), shape), target, None, None)
        finally:
            end(&call)

    def total(self, input, target, element_weight, sample_weight, mask, n_threads):
        """Type of the value, sum of the losses and what it is divided by, both of float64."""
        cdef call_state call
        begin(&call, element_weight, sample_weight, mask, None)
        try:
            return self.evaluate(&call, WANT_VALUE | WANT_TOTAL, input, target, None, n_threads)
        finally:
            end(&call)

    cdef evaluate(self, call_state *call, int want, input, target, out, n_threads):
        cdef lx_job *job = &call.job
        cdef lx_total total
        cdef double work, sum_divisor, divisor, upstream
        cdef int threads, split, bad, axis
        cdef bint direct, soft
        cdef tuple shape, own_shape, value_shape
        mask = <object> call.mask

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
        y = self.take_target(call, target, shape, real)
        x = self.hold_plain(call, x, real)
        call.input = last_held(call)
        if job.target.layout != LX_CSR:
            y = self.hold_plain(call, y, None)
        if job.target.layout == LX_CSR or not self.fits(call.input, last_held(call)):
            shape = self.convert.common_shape(self.declaration, shape, y.shape, target)
            if shape != own_shape:
                x = self.hold_plain(call, self.convert.native(np.broadcast_to(x, shape), real), real)
                call.input = last_held(call)
                y = self.hold_plain(call, y, None)
        job.input = call.input.buf
        call.copied = call.copied or x is not input

        job.inner = split = 1
        value_shape = shape
        if self.rowwise:
            job.rows, job.cols = call.input.shape[0], call.input.shape[1]
            for axis in range(2, call.input.ndim):
                job.inner *= call.input.shape[axis]
            job.rows *= job.inner
            value_shape = shape[:1] if call.input.ndim == 2 else shape[:1] + shape[2:]
        else:
            split = self.split(shape, call)
            job.rows, job.cols = rows_and_columns(call.input, split)
            if self.per_row:
                value_shape = shape[:1]
        if job.inner > 1 and call.item_size == 4 and job.cols > MOST_NUMBERED:
            raise ValueError(f"input has shape {shape}; of float32 at most {MOST_NUMBERED} classes can lie along axis "
                             f"1 of (N, C, d1, ...): turn it to rows of classes, or to float64")
        require_shape(call.input, shape)
        require_items(call.input, job.rows * job.cols, call.item_size)
        self.place_target(call, y, shape, split, real)
        self.take_weights(call, shape, split, real)
        if mask is not None:
            self.take_mask(call, shape, value_shape, mask)
        job.nan_is_missing, job.ignores, job.ignore_index = self.nan_is_missing, self.ignores, self.ignore_index
        job.target_scale, job.target_shift = 1 - self.smoothing, self.smoothing / (job.cols if self.rowwise else 2)
        job.domain = self.domain[call.item_size == 8]
        if self.input_domain is not None:
            job.checks_input, job.input_low, job.input_high = 1, self.input_domain.low, self.input_domain.high
        upstream = self.take_upstream(call, value_shape, real)
        memcpy(job.parameter, self.parameter, sizeof(self.parameter))

        # where the results go: straight into their arrays, if these are of the kernel's type and shape
        direct = dtype is real and own_shape is shape
        grad = hess = kernel_grad = kernel_hess = value = None
        if want & WANT_GRAD:
            grad = self.result_array(call, out, own_shape, dtype, input, target)
            kernel_grad = grad if direct else empty(shape, real)
            job.grad = hold(&call.held, kernel_grad, True)
            require_items(last_held(call), job.rows * job.cols, call.item_size)
        if want & WANT_HESS:
            hess = empty(own_shape, dtype)
            kernel_hess = hess if direct else empty(shape, real)
            job.hess = hold(&call.held, kernel_hess, True)
        if want & WANT_VALUE:
            job.reduce = LX_TOTAL
            if self.reduction == NONE:
                job.reduce = LX_ROWS if self.per_row else LX_ELEMENTS
                value = empty(value_shape, real)
                job.value = hold(&call.held, value, True)

        if job.rows * job.cols == 0:
            divisor = 0.0 if self.reduction >= MEAN and self.reduction != SUM else 1.0
            if want == 0:
                return divisor
            if want & WANT_TOTAL:
                return dtype, 0.0, divisor
            for derivative in (grad, hess):
                if derivative is not None:
                    derivative.fill(0)
            if want & WANT_VALUE and value is None:
                value = dtype.type(0 if self.reduction == SUM else np.nan)
            elif value is not None and dtype is not real:
                value = value.astype(dtype)
            return wanted(want, value, grad, hess)

        work = job.rows * (job.cols * self.cost * call.item_size / 4 + self.cost_of_row)
        threads = choose_threads(self.threads, n_threads, work)
        if call.copied or n_threads is not None and type(n_threads) is not int:
            require_held(&call.held)
        job.stream = (job.grad != NULL and job.grad != job.input
                      and job.rows * job.cols * call.item_size >= STREAM_BYTES)
        sum_divisor = self.row_divisor(call, real, threads)
        job.value_divisor = sum_divisor
        divisor = self.mean_divisor(call, shape, want & ~WANT_TOTAL, threads, target, mask)
        if want == 0:
            return divisor
        if divisor > 0 or divisor < 0:
            job.value_divisor *= divisor
            job.grad_scale = upstream / job.value_divisor
        if job.checks_input and job.grad == job.input:    # before the gradient takes its place
            self.convert.check_input(x, target, mask, self.declaration)
            require_held(&call.held)
        soft = self.rowwise and self.soft_loss >= 0 and (not job.holds_classes or self.smoothing > 0)
        bad = run_job(job, self.kernel(real, soft), self.rowwise, call.item_size, threads, &total,
                      &call.held)
        if bad & LX_BAD_TARGET:
            raise self.bad_target(job, target, shape, real, mask)
        if bad & LX_NO_MEMORY:
            raise MemoryError("no memory for the labels of a row")
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
        if want & WANT_TOTAL:
            return dtype, total.sum / sum_divisor, divisor
        if not divisor or divisor - divisor != 0:    # weights that add up to infinity: a gradient over it is 0, not NaN
            for derivative in (kernel_grad, kernel_hess):
                if derivative is not None:
                    derivative.fill(0)
        if not direct:
            self.convert.store_result(kernel_grad, grad)
            self.convert.store_result(kernel_hess, hess)
        if want & WANT_VALUE:
            if value is None:
                value = scalar_of(self.convert, dtype, total.sum / job.value_divisor if divisor else NAN)
            elif dtype is not real:
                value = self.convert.rounded(value, dtype)
        return wanted(want, value, grad, hess)

    cdef Py_ssize_t target_items(self, const lx_job *job) noexcept:
        if self.label_sets:
            return job.rows * job.set_length
        return job.rows if job.holds_classes else items_of(job, job.target.layout)

    cdef describe(self, lx_job *job, Py_ssize_t cols, real, int curvature):
        """A job of this loss for scores whose memory is yet to be said, and derivatives of the sum."""
        cdef int k
        memset(job, 0, sizeof(lx_job))
        job.size, job.cols, job.inner = sizeof(lx_job), cols, 1
        job.domain = self.domain[real is FLOAT64]
        job.nan_is_missing, job.ignores, job.ignore_index = self.nan_is_missing, self.ignores, self.ignore_index
        job.target_scale, job.target_shift = 1 - self.smoothing, self.smoothing / (cols if self.rowwise else 2)
        job.holds_classes = self.rowwise
        job.target.type, job.target.layout = LX_INT64 if self.rowwise else LX_REAL, LX_FULL
        job.value_divisor = job.grad_scale = 1
        job.curvature = curvature
        memcpy(job.parameter, self.parameter, sizeof(self.parameter))
        if self.weight is not None:
            if self.rowwise:
                self.convert.check_class_weights("weight", self.weight, cols)
            job.weight[LX_WEIGHT].data = memory_of(self.in_type(NULL, "weight", self.weight, real))
            job.weight[LX_WEIGHT].layout = LX_BY_COLUMN if self.rowwise else LX_SCALAR
        for k in range(len(self.varying)):
            if self.varying[k] is not None:
                name = self.declaration.parameter_names[k]
                job.varying[k].data = memory_of(self.in_type(NULL, name, self.varying[k], real))
                job.varying[k].layout = LX_SCALAR

    cdef lx_block_kernel kernel(self, real, bint soft):
        return lx_kernel(self.soft_loss if soft else self.loss, real is FLOAT64)

    # ---- input and target ----

    cdef hold_plain(self, call_state *call, array, dtype):
        """Takes an array of this dtype (None: its own) if kernels can read it, else a copy; returns what it took."""
        cdef Py_buffer *buffer = &call.held.views[call.held.count]
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDES)
        if <size_t> buffer.buf % <size_t> buffer.itemsize == 0 and PyBuffer_IsContiguous(buffer, b"C"):
            call.held.count += 1
            return array
        PyBuffer_Release(buffer)
        call.copied = True
        array = self.convert.native(array, array.dtype if dtype is None else dtype)
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDES)
        call.held.count += 1
        return array

    cdef take_target(self, call_state *call, target, tuple shape, real):
        """The target as an array of a type that kernels read; sets that type."""
        cdef lx_operand *y = &call.job.target
        cdef bint classes = self.rowwise
        dtype = target.dtype if type(target) is NDARRAY else None
        if classes and self.soft_loss >= 0:
            array = target
            if dtype is None and not self.convert.is_csr(target):
                array = self.convert.as_array("target", target)
            classes = len(array.shape) < len(shape)
            if not classes:
                call.copied = call.copied or array is not target
                target = array
                if self.ignores and self.ignore_index >= 0:
                    raise ValueError(f"ignore_index = {self.ignore_index} with a target of probabilities; it is for "
                                     f"class ids")
                if len(shape) > 2 and not self.convert.is_csr(target):
                    target = self.convert.soft_columns(self.declaration.soft_target, target, shape, real)
                dtype = target.dtype if type(target) is NDARRAY else None
        call.job.holds_classes = classes and not self.label_sets
        y.type = -1
        if dtype is LONGS or dtype is INTS:
            y.type = LX_INT64 if dtype is LONGS else LX_INT32
        elif not classes:
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
        if classes:
            array = target
            if self.label_sets and self.convert.is_csr(target):
                y.layout = LX_CSR
            else:
                array, y.type = self.convert.class_ids("target", target)
        elif self.convert.is_csr(target):
            array = target
            y.layout = LX_CSR
        else:
            array, y.type = self.convert.real_target("target", target, real, self.takes_bool)
        return array

    cdef bint fits(self, const Py_buffer *x, const Py_buffer *y) noexcept:
        """Whether input and target go together without further ado."""
        if self.matrix_only and (x.ndim != 2 or x.shape[1] == 0):
            return False
        if self.n_outputs and (x.ndim != 2 or x.shape[1] != self.n_outputs):
            return False
        if self.n_outputs:
            return y.ndim == 1 and y.shape[0] == x.shape[0]
        if not self.rowwise or y.ndim == x.ndim and self.soft_loss >= 0:
            return same_shape(x, y) and (not self.rowwise or x.ndim > 1 and x.shape[1] > 0)
        if x.ndim < 2 or x.shape[1] == 0 or y.ndim == 0 or y.shape[0] != x.shape[0]:
            return False
        if self.label_sets:
            return y.ndim == 2
        return y.ndim == x.ndim - 1 and memcmp(y.shape + 1, x.shape + 2, (y.ndim - 1) * sizeof(Py_ssize_t)) == 0

    cdef place_target(self, call_state *call, y, tuple shape, int split, real):
        """Memory and layout of the target, which was held last."""
        cdef lx_job *job = &call.job
        if job.target.layout == LX_CSR:
            if self.label_sets:    # which the places of the entries are
                start, column = self.convert.csr_labels(y, shape)
            else:
                start, column, data = self.convert.csr_target(y, shape, real)
                job.target.data = hold(&call.held, data)
                job.target.type = LX_REAL
            job.sparse.start = <const long long *> hold(&call.held, start)
            job.sparse.column = hold(&call.held, column)
            job.sparse.column_type = LX_INT32 if column.dtype is INTS else LX_INT64
            return
        if self.label_sets:
            job.set_length = y.shape[1]
        if self.rowwise or same_shape(call.input, last_held(call)):
            job.target.layout = LX_FULL
        else:
            y, layout = self.convert.broadcast_target(self.target, y, shape, split, real)
            job.target.layout, job.target.type = layout, LX_REAL
            self.hold_plain(call, y, real)
        require_items(last_held(call), self.target_items(job), size_of_type(job.target.type, call.item_size))
        job.target.data = last_held(call).buf
        if not self.rowwise:
            self.repeat(call, &job.target)

    # ---- weights, masks and what comes from above ----

    cdef int split(self, tuple shape, call_state *call):
        """Where to cut input's axes into rows and columns."""
        if call.input.ndim <= 2:
            return 1 if call.input.ndim else 0
        weight, varying = self.weights_of(call)
        arrays = [array for array in (weight, *varying) if array is not None]
        if call.element_weight != <PyObject *> None:
            arrays.append(np.asarray(<object> call.element_weight))
        return self.convert.split_axis(shape, *arrays)

    cdef take_weights(self, call_state *call, tuple shape, int split, real):
        cdef lx_job *job = &call.job
        cdef int k
        weight, varying = self.weights_of(call)
        if weight is not None:
            weight = self.in_type(call, "weight", weight, real)
            if self.rowwise:
                self.convert.check_class_weights("weight", weight, job.cols)
                self.hold_plain(call, weight, real)
                require_items(last_held(call), job.cols, call.item_size)
                job.weight[LX_WEIGHT].data = last_held(call).buf
                job.weight[LX_WEIGHT].layout = LX_BY_COLUMN
            else:
                self.place(call, &job.weight[LX_WEIGHT], "weight", weight, shape, split, real)
        for k in range(len(varying)):
            if varying[k] is not None:
                name = self.declaration.parameter_names[k]
                array = self.in_type(call, name, varying[k], real)
                self.place(call, &job.varying[k], name, array, shape, split, real)
        if call.element_weight != <PyObject *> None:
            element_weight = <object> call.element_weight
            element_weight = self.weight_of_call(call, "element_weight", element_weight, real)
            self.place(call, &job.weight[LX_ELEMENT_WEIGHT], "element_weight", element_weight, shape, split, real)
        if call.sample_weight != <PyObject *> None:
            sample_weight = <object> call.sample_weight
            if (type(sample_weight) is not NDARRAY or sample_weight.dtype is not real or sample_weight.ndim != 1
                    or not shape or len(sample_weight) != shape[0]):
                call.copied = True
                sample_weight = self.convert.sample_weights(sample_weight, shape[0] if shape else None, real)
            if shape[0] != job.rows and shape[0]:
                sample_weight = np.repeat(sample_weight, job.rows // shape[0])
            self.hold_plain(call, sample_weight, real)
            require_items(last_held(call), job.rows, call.item_size)
            job.weight[LX_SAMPLE_WEIGHT].data = last_held(call).buf
            job.weight[LX_SAMPLE_WEIGHT].layout = LX_FULL if job.cols == 1 else LX_BY_ROW

    cdef tuple weights_of(self, call_state *call):
        """The weight, and the kernel's parameters that are arrays: of the loss, or in their place of the call."""
        if call.own_weights == <PyObject *> None:
            return self.weight, self.varying
        own = <dict> call.own_weights
        names = self.declaration.parameter_names
        return own.get("weight", self.weight), [own.get(name, mine) for name, mine in zip(names, self.varying)]

    cdef in_type(self, call_state *call, str name, array, real):
        """A weight in the type of the computation; one that the loss was made with is converted once for each type."""
        if call != NULL and call.own_weights != <PyObject *> None and name in <dict> call.own_weights:
            return self.weight_of_call(call, name, array, real)
        cdef dict known = self.in_float32 if real is FLOAT32 else self.in_float64
        converted = known.get(name)
        if converted is None:
            converted = known[name] = self.convert.native(array, real)
        return converted

    cdef weight_of_call(self, call_state *call, str name, array, real):
        """A weight that was given with the call, in the type of the computation."""
        if type(array) is NDARRAY and array.dtype is real:
            return array
        call.copied = True
        return self.convert.native(self.convert.weights(name, array), real)

    cdef place(self, call_state *call, lx_operand *operand, str name, array, tuple shape, int split, real):
        """Memory and layout of an operand that broadcasts to the input."""
        cdef const Py_buffer *view
        self.hold_plain(call, array, real)
        view = last_held(call)
        if same_shape(view, call.input):
            operand.layout = LX_FULL
        elif view.len == view.itemsize and view.ndim <= call.input.ndim:
            operand.layout = LX_SCALAR
        elif view.ndim == 1 and call.input.ndim == 2 and view.shape[0] == call.input.shape[1]:
            operand.layout = LX_BY_COLUMN if call.job.rows > 1 else LX_FULL
        else:
            array, operand.layout = self.convert.operand(name, array, shape, split, real)
            self.hold_plain(call, array, real)
        require_items(last_held(call), items_of(&call.job, operand.layout), call.item_size)
        operand.data = last_held(call).buf
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

    cdef take_mask(self, call_state *call, tuple shape, tuple value_shape, mask):
        by_row = self.rowwise or self.n_outputs or call.job.target.layout == LX_CSR
        allowed = value_shape if self.rowwise else shape[:1] if by_row else shape
        if type(mask) is not NDARRAY or mask.dtype is not BOOL or mask.shape != allowed:
            call.copied = True
            mask = self.convert.known("mask", mask, allowed)
        self.hold_plain(call, mask, BOOL)
        require_items(last_held(call), call.job.rows if by_row else call.job.rows * call.job.cols, 1)
        call.job.mask.data = last_held(call).buf
        call.job.mask.type = LX_UINT8
        call.job.mask.layout = LX_BY_ROW if by_row and call.job.cols > 1 else LX_FULL

    cdef double take_upstream(self, call_state *call, tuple wanted, real) except? -1:
        """The upstream gradient where it is one number, 1 where it is an array."""
        if call.grad_output == <PyObject *> None:
            return 1.0
        grad_output = <object> call.grad_output
        if self.reduction != NONE and type(grad_output) is float:
            return grad_output
        if self.reduction != NONE:
            call.copied = True
            return self.convert.upstream_scalar(grad_output)
        if type(grad_output) is not NDARRAY or grad_output.dtype is not real or grad_output.shape != wanted:
            call.copied = True
            grad_output = self.convert.upstream_array(grad_output, wanted, real)
        self.hold_plain(call, grad_output, real)
        require_items(last_held(call), call.job.rows if self.per_row else call.job.rows * call.job.cols, call.item_size)
        call.job.grad_output.data = last_held(call).buf
        call.job.grad_output.layout = LX_BY_ROW if self.per_row and (call.job.cols > 1 or self.rowwise) else LX_FULL
        return 1.0

    # ---- results ----

    cdef result_array(self, call_state *call, out, tuple shape, dtype, input, target):
        """Where the gradient goes, which shares memory with no argument but the whole of input."""
        cdef Py_buffer *view = &call.held.views[call.held.count]
        cdef const Py_buffer *other
        cdef int i
        if out is None:
            return empty(shape, dtype)
        if (type(out) is not NDARRAY or out.dtype is not dtype or out.shape != shape or not out.flags.carray):
            self.convert.check_result("out", out, shape, dtype)
        if call.copied:
            self.require_no_overlap(call, out, input, target)
        PyObject_GetBuffer(out, view, PyBUF_STRIDES)
        try:
            for i in range(call.held.count):
                other = &call.held.views[i]
                whole_input = other == call.input and view.buf == other.buf and view.len == other.len
                if overlap(view, other) and not whole_input:
                    self.require_no_overlap(call, out, input, target)
                    raise ValueError("out shares memory with an argument other than input")
        finally:
            PyBuffer_Release(view)
        return out

    cdef require_no_overlap(self, call_state *call, out, input, target):
        self.convert.require_no_overlap(out, input, {
            "target": target, "element_weight": <object> call.element_weight,
            "sample_weight": <object> call.sample_weight, "mask": <object> call.mask,
            "grad_output": <object> call.grad_output,
        })

    # ---- divisors ----

    cdef double row_divisor(self, call_state *call, real, int threads) except -1:
        """What a row's own value is divided by, but for rows with missing targets, which get a weight for that."""
        cdef lx_job *job = &call.job
        cdef lx_job counting
        cdef lx_total total
        if not self.over_columns:
            return 1.0
        if self.rowwise or not (self.nan_is_missing or job.mask.layout):    # a row is known as a whole, or not
            return <double> job.cols
        scale = empty(job.rows, real)
        job.weight[LX_ROW_SCALE].data = hold(&call.held, scale, True)
        counting = job[0]
        counting.value = <void *> job.weight[LX_ROW_SCALE].data
        run_job(&counting, lx_count(LX_COUNT_BY_ROW, call.item_size == 8), True, call.item_size, threads, &total,
                &call.held)
        job.weight[LX_ROW_SCALE].layout = LX_FULL if job.cols == 1 else LX_BY_ROW
        return 1.0

    cdef double mean_divisor(self, call_state *call, tuple shape, int want, int threads, target, mask) except? -1:
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
        if self.reduction == MEAN and self.divides_by_class_weight and job.holds_classes and job.weight[LX_WEIGHT].data:
            job.counts = 3
        elif self.reduction == MEAN or not weighted:
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
        bad = run_job(&counting, kernel, self.rowwise, call.item_size, threads, &total, &call.held)
        job.counts = 0
        if bad:
            raise self.bad_target(job, target, shape, None, mask)
        if self.over_columns and not self.rowwise and not job.weight[LX_ROW_SCALE].layout:
            return total.count / job.cols
        return total.count

    cdef bad_target(self, lx_job *job, target, tuple shape, real, mask):
        domain = self.target if job.holds_classes or self.soft_loss < 0 else self.declaration.soft_target
        return self.convert.bad_target(domain, target, shape, real, mask, self.declaration)

    cdef double rows_with_known(self, call_state *call, int threads) except? -1:
        cdef Py_ssize_t i, count = 0
        cdef bint double_type = call.item_size == 8
        cdef const void *scale = call.job.weight[LX_ROW_SCALE].data
        for i in range(call.job.rows):
            count += (<const double *> scale)[i] > 0 if double_type else (<const float *> scale)[i] > 0
        return <double> count


cdef int choose_threads(threads, n_threads, double work) except -1:
    """As lossext._threads.choose, which is `threads`."""
    cdef int count
    if type(n_threads) is int and 0 < n_threads < 4096:
        count = n_threads
    elif n_threads is not None:
        count = threads.checked("n_threads", n_threads)
    else:
        count = lx_threads_for(work)
        if count == 0:
            count = threads.default()[0]
            lx_remember_threads(count)
    return 1 if count > 1 and lx_must_run_serially() else count


cdef const void *memory_of(array) except NULL:
    """Address of an array that is kept elsewhere."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    PyBuffer_Release(&view)
    return view.buf


cdef int require_items(const Py_buffer *memory, Py_ssize_t count, Py_ssize_t size) except -1:
    """ValueError unless the memory has so many items: a shape can lie, or change meanwhile."""
    if memory.len < count * size:
        raise ValueError(f"an array has {memory.len} bytes of memory; its shape asks for {count * size}")
    return 0


cdef int require_shape(const Py_buffer *memory, tuple shape) except -1:
    """ValueError unless the memory has this shape, by which results are made: input's own may have changed since."""
    cdef int axis
    cdef bint same = memory.ndim == len(shape)
    for axis in range(memory.ndim if same else 0):
        same = same and memory.shape[axis] == <Py_ssize_t> shape[axis]
    if not same:
        raise ValueError("input's shape was changed during the call")
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


cdef void begin(call_state *call, element_weight, sample_weight, mask, grad_output) noexcept:
    """A call's state; the arguments are those of its caller, who keeps them alive."""
    memset(&call.job, 0, sizeof(call.job))
    call.job.size = sizeof(call.job)
    call.element_weight, call.sample_weight = <PyObject *> element_weight, <PyObject *> sample_weight
    call.mask, call.grad_output = <PyObject *> mask, <PyObject *> grad_output
    call.own_weights = <PyObject *> None
    call.held.count = call.n_copies = 0
    call.copied = False


cdef void end(call_state *call) noexcept:
    cdef int i
    for i in range(call.n_copies):
        PyMem_Free(call.copies[i])
    release(&call.held)


cdef inline const Py_buffer *last_held(const call_state *call) noexcept:
    return &call.held.views[call.held.count - 1]


cdef bint same_shape(const Py_buffer *a, const Py_buffer *b) noexcept:
    return a.ndim == b.ndim and (a.ndim == 0 or memcmp(a.shape, b.shape, a.ndim * sizeof(Py_ssize_t)) == 0)


cdef wanted(int want, value, grad, hess):
    if want == WANT_VALUE:
        return value
    if want == WANT_GRAD:
        return grad
    return (value, grad) if want == WANT_VALUE | WANT_GRAD else (grad, hess)


cdef (Py_ssize_t, Py_ssize_t) rows_and_columns(const Py_buffer *array, int split) noexcept:
    cdef Py_ssize_t rows = 1, cols = 1
    cdef int axis
    for axis in range(array.ndim):
        if axis < split:
            rows *= array.shape[axis]
        else:
            cols *= array.shape[axis]
    return rows, cols
