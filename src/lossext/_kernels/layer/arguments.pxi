"""What a call over a layer begins and ends with: its arrays, what multiplies its rows, its results.

As in ../call.pxi, an array that kernels can read goes through; `convert` is lossext._validate, which converts others.
"""

from contextvars import ContextVar

cdef enum:
    READY = 0x0001 | 0x0100    # NumPy's C_CONTIGUOUS and ALIGNED
    FLOPS_PER_NS = 100         # of one thread of an AVX-512 machine, for the choice of threads

# where an accumulator wants the sum and the divisor of the mean, before they are rounded
TOTALS = ContextVar("TOTALS", default=None)


cdef class Layer:
    """A linear layer, and rows that it is applied to."""

    cdef readonly object weights    # (V, D), as the caller gave it
    cdef readonly object biases     # (V,), as the caller gave it
    cdef readonly object inputs     # (N, D), native
    cdef readonly object real       # of the kernels
    cdef readonly object dtype      # of the results
    cdef readonly Py_ssize_t rows, dim, classes

    def __init__(self, weights, biases, inputs, real, dtype):
        self.weights, self.biases, self.inputs, self.real, self.dtype = weights, biases, inputs, real, dtype
        self.classes, (self.rows, self.dim) = len(weights), inputs.shape

    def take(self, rows):
        """Of some rows."""
        return Layer(self.weights, self.biases, self.inputs[rows], self.real, self.dtype)


cdef bint is_ready(array, dtype) except -1:
    return array.dtype is dtype and <int> array.flags.num & READY == READY


cdef real_array(convert, str name, value):
    """An array of a real type."""
    if type(value) is NDARRAY and (value.dtype is FLOAT32 or value.dtype is FLOAT64):
        return value
    return convert.weights(name, value)


def checked_layer(convert, weights, biases, inputs, num_classes=None):
    """The arrays of a call, checked."""
    cdef tuple shape, w_shape
    x = inputs
    if type(x) is NDARRAY and (is_ready(x, FLOAT32) or is_ready(x, FLOAT64)):
        real = dtype = x.dtype
    else:
        x, real, dtype = convert.real_input("inputs", inputs)
    w, b = real_array(convert, "weights", weights), real_array(convert, "biases", biases)
    shape, w_shape = x.shape, w.shape
    if len(shape) != 2:
        raise ValueError(f"inputs has shape {shape}; allowed is rank 2, (N, D)")
    if len(w_shape) != 2 or w_shape[1] != shape[1]:
        raise ValueError(f"weights has shape {w_shape}; allowed is (V, {shape[1]}), one row per class")
    if num_classes is not None and w_shape[0] != num_classes:
        raise ValueError(f"weights has shape {w_shape}; allowed is ({num_classes}, {shape[1]}): num_classes rows")
    if b.shape != w_shape[:1]:
        raise ValueError(f"biases has shape {b.shape}; allowed is {w_shape[:1]}, one per row of weights")
    return Layer(w, b, x, real, dtype)


def as_result(convert, array, dtype):
    """In the type of the results; what is too large for it becomes infinite, without a warning."""
    return array if array.dtype is dtype else convert.rounded(array, dtype)


cdef class Weighting:
    """What multiplies each row's loss and gradient, and which rows take part: all, as it is made."""

    cdef object convert
    cdef int reduction
    cdef readonly object row_weight, upstream
    cdef readonly object rows         # those that take part, None for all
    cdef readonly Py_ssize_t n_rows
    cdef public double divisor        # of the mean
    cdef double scale

    def __init__(self, convert, str reduction, sample_weight, grad_output, Py_ssize_t n_rows):
        self.convert, self.reduction, self.n_rows = convert, REDUCTION_CODES[reduction], n_rows
        self.divisor, self.scale = n_rows, 1
        if sample_weight is not None:
            self.row_weight = convert.sample_weights(sample_weight, n_rows, FLOAT64)
        if grad_output is not None:
            shape = (n_rows,) if self.reduction == NONE else None
            self.upstream, self.scale = convert.upstream(grad_output, shape, FLOAT64)

    def leave_out(self, known):
        """Those rows alone take part that are `known` (None: all) and have a weight; the mean is over known ones."""
        if known is not None:
            self.divisor = np.count_nonzero(known)
        part = known
        if self.row_weight is not None:
            heavy = self.row_weight != 0
            part = heavy if known is None else heavy & known
        if part is None or part.all():
            return
        self.rows = np.flatnonzero(part)
        if self.row_weight is not None:
            self.row_weight = self.row_weight[self.rows]
        if self.upstream is not None:
            self.upstream = self.upstream[self.rows]

    def prepare(self, LayerJob job not None, bint want_grad, double part=1):
        """Tell a job what multiplies the rows' losses and gradients."""
        job.row_weight = self.row_weight
        if self.reduction == NONE:
            job.loss = empty(job.rows)
        if want_grad:
            job.row_upstream, job.grad_scale = self.upstream, self.grad_scale() * job.scale * part

    cdef double grad_scale(self):
        """What multiplies the gradients of all rows."""
        if self.reduction != MEAN:
            return self.scale
        return self.scale / self.divisor if self.divisor else 0

    def value(self, LayerJob job not None, dtype):
        """The rows' losses as the caller wants them."""
        cdef double total = job.total
        totals = TOTALS.get()
        if totals is not None:
            totals.append((total, self.divisor))
        if self.reduction == NONE:
            loss = job.loss
            if self.row_weight is not None:
                with np.errstate(all="ignore"):
                    loss = loss * self.row_weight
            return self.all_rows(as_result(self.convert, loss, dtype))
        if self.reduction == MEAN:
            total = total / self.divisor if self.divisor else NAN
        return scalar_of(self.convert, dtype, total)

    def all_rows(self, values):
        """`values` of the rows that take part, and 0 of the others."""
        if self.rows is None:
            return values
        result = np.zeros((self.n_rows, *values.shape[1:]), values.dtype)
        result[self.rows] = values
        return result

    def factors(self, double scale):
        """What the gradient of each row that takes part is multiplied by, in float64."""
        factor = np.full(self.n_rows if self.rows is None else len(self.rows), self.grad_scale() * scale)
        for other in (self.upstream, self.row_weight):
            if other is not None:
                factor *= other
        return factor


def layer_threads(threads, n_threads, int products, Py_ssize_t rows, Py_ssize_t classes, Py_ssize_t dim):
    """For so many products of matrices; `threads` is lossext._threads."""
    return choose_threads(threads, n_threads, 2.0 * products * rows * classes * dim / FLOPS_PER_NS)


def new_job(int kind, Layer layer not None, weights, biases, LayerIds ids not None):
    """A job with the operands that every call has."""
    cdef LayerJob job = LayerJob()
    job.real_type, job.kind = layer.real is FLOAT64, kind
    job.rows, job.dim = layer.rows, layer.dim
    job.classes = ids.n_classes if ids.class_row != NULL else len(weights)
    job.inputs, job.weights, job.biases, job.ids = layer.inputs, weights, biases, ids
    return job
