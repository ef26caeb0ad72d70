"""The short way of small calls that need nothing but a kernel: a few arrays as they come.

Checks and conversions in Python take two microseconds, as long as some thousand elements do. Whatever is not plain,
and everything that is wrong, gets None here, for the long way (lossext.losses._dense.evaluate) to convert or explain.
"""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_IsContiguous

import numpy as np

cdef object NDARRAY = np.ndarray
# arrays in the machine's byte order and without metadata share these very objects
cdef object FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64), BOOL = np.dtype(np.bool_)
cdef object BYTES = np.dtype(np.uint8), INTS = np.dtype(np.int32), LONGS = np.dtype(np.int64)
cdef object empty = np.empty

cdef enum:
    WANT_VALUE = 1
    WANT_GRAD = 2
    WANT_HESS = 4
VALUE, GRAD, HESS = WANT_VALUE, WANT_GRAD, WANT_HESS


cdef class SmallCalls:
    """Those of a dense loss with its parameters."""
    cdef int loss, power
    cdef double margin, cost, cost_of_row
    cdef bint rowwise, by_row, takes_bool, is_mean, is_none
    cdef object weight, pos_weight

    def __init__(self, int loss, bint rowwise, bint by_row, bint takes_bool, dict parameters, double cost,
                 double cost_of_row):
        self.loss, self.rowwise, self.by_row, self.takes_bool = loss, rowwise, by_row, takes_bool
        self.cost, self.cost_of_row = cost, cost_of_row
        self.is_mean, self.is_none = parameters["reduction"] == "mean", parameters["reduction"] == "none"
        self.margin, self.power = parameters.get("margin", 0.0), parameters.get("p", 1)
        self.weight, self.pos_weight = parameters.get("weight"), parameters.get("pos_weight")

    def run(self, int want, input, target, out):
        """(value, gradient, curvature), those of them that are wanted; or None."""
        cdef held_buffers held
        cdef lx_job job
        cdef void *copies[2]
        cdef int n_copies = 0, n_threads, item_size, i
        cdef double work, total
        if type(input) is not NDARRAY or type(target) is not NDARRAY:
            return None
        real = input.dtype
        if real is FLOAT32:
            item_size = 4
        elif real is FLOAT64:
            item_size = 8
        else:
            return None
        job.target_type = self.target_type(target.dtype, real)
        if job.target_type < 0:
            return None
        held.count = 0
        try:
            job.input, job.target.data = view(&held, input, False), view(&held, target, False)
            if job.input == NULL or job.target.data == NULL or not self.fits(&held.views[0], &held.views[1], &job):
                return None
            work = self.work(job.rows, job.cols, item_size)
            n_threads = lx_threads_for(work)
            if n_threads == 0:
                return None
            job.target.layout = LX_FULL
            job.sample_weight = job.grad_output.data = NULL
            job.grad_output.layout = LX_ABSENT
            if not (self.by_column(&held, &job, &job.weight, self.weight, real)
                    and self.by_column(&held, &job, &job.pos_weight, self.pos_weight, real)):
                return None

            value = grad = hess = None
            job.grad = job.hess = job.value = NULL
            if want & WANT_GRAD:
                grad = empty(input.shape, real) if out is None else out
                if out is not None and (type(out) is not NDARRAY or out.dtype is not real):
                    return None
                job.grad = view(&held, grad, True)
                if job.grad == NULL or out is not None and not takes_result(&held):
                    return None
            if want & WANT_HESS:
                hess = empty(input.shape, real)
                job.hess = view(&held, hess, True)
            job.reduce = LX_NO_VALUE
            if want & WANT_VALUE:
                job.reduce = LX_TOTAL
                if self.is_none:
                    job.reduce = LX_ROWS if self.by_row else LX_ELEMENTS
                    value = empty(job.rows if self.by_row else input.shape, real)
                    job.value = view(&held, value, True)
            job.value_divisor = <double> job.cols if self.by_row else 1.0
            if self.is_mean:
                job.value_divisor *= <double> job.rows if self.by_row else <double> (job.rows * job.cols)
            job.grad_scale = 1 / job.value_divisor
            job.param, job.power = self.margin, self.power
            if not self.rowwise:
                n_copies += repeat(&job.weight, job.cols, item_size, &copies[n_copies])
                n_copies += repeat(&job.pos_weight, job.cols, item_size, &copies[n_copies])
            if n_threads > 1 and lx_one_thread_only():
                n_threads = 1
            if run_job(&job, self.loss, self.rowwise, item_size == 8, n_threads, &total):
                return None
            lx_small_call_ends(work, n_threads)
            if job.reduce == LX_TOTAL:
                value = real.type(total / job.value_divisor)
            return value, grad, hess
        finally:
            for i in range(n_copies):
                PyMem_Free(copies[i])
            release(&held)

    cpdef double work(self, Py_ssize_t rows, Py_ssize_t cols, int item_size) noexcept:
        """Nanoseconds that a call takes on one thread, roughly."""
        return rows * (cols * self.cost * item_size / 4 + self.cost_of_row)

    cdef int target_type(self, dtype, real) except -2:
        """What of the kernels' target types this is, -1 for none."""
        if self.rowwise:
            return LX_INT64 if dtype is LONGS else LX_INT32 if dtype is INTS else -1
        if dtype is real:
            return LX_REAL
        if dtype is LONGS or dtype is INTS:
            return LX_INT64 if dtype is LONGS else LX_INT32
        if dtype is BYTES or dtype is BOOL and self.takes_bool:
            return LX_UINT8
        return -1

    cdef bint fits(self, const Py_buffer *input, const Py_buffer *target, lx_job *job) noexcept:
        """Whether input and target go together, and are not empty; sets the job's rows and columns."""
        cdef Py_ssize_t size = input.len // input.itemsize
        if input.ndim < 1 or size == 0 or self.by_row and input.ndim != 2:
            return False
        job.rows = input.shape[0]
        job.cols = size // job.rows
        if self.rowwise:
            return target.ndim == 1 and target.shape[0] == job.rows
        return same_shape(input, target)

    cdef bint by_column(self, held_buffers *held, const lx_job *job, lx_operand *operand, weight, real) except -1:
        """Takes weights if there are none, or one a column."""
        cdef const Py_buffer *one_a_column
        operand.data, operand.layout = NULL, LX_ABSENT
        if weight is None:
            return True
        if weight.dtype is not real or held.views[0].ndim != 2:
            return False
        operand.data, operand.layout = view(held, weight, False), LX_BY_COLUMN
        if operand.data == NULL:
            return False
        one_a_column = &held.views[held.count - 1]
        return one_a_column.ndim == 1 and one_a_column.shape[0] == job.cols


cdef void *view(held_buffers *held, array, bint writable) except? NULL:
    """Address of an array that kernels can take as it is; NULL for others."""
    cdef Py_buffer *buffer = &held.views[held.count]
    if writable and not array.flags.writeable:
        return NULL
    PyObject_GetBuffer(array, buffer, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
    held.count += 1
    if <size_t> buffer.buf % <size_t> buffer.itemsize or not PyBuffer_IsContiguous(buffer, b"C"):
        return NULL
    return buffer.buf


cdef bint same_shape(const Py_buffer *a, const Py_buffer *b) noexcept:
    return a.ndim == b.ndim and memcmp(a.shape, b.shape, a.ndim * sizeof(Py_ssize_t)) == 0


cdef bint takes_result(const held_buffers *held) noexcept:
    """Whether the last array is like the first, the input, and shares memory with nothing but the whole of that."""
    cdef const Py_buffer *out = &held.views[held.count - 1]
    cdef int i
    if not same_shape(out, &held.views[0]):
        return False
    for i in range(held.count - 1):
        if overlap(out, &held.views[i]) and (i > 0 or out.buf != held.views[0].buf):
            return False
    return True
