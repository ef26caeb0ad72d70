"""Derivatives of a loss as boosting libraries ask for them: their layouts and types, in one pass over memory."""

cdef extern from "objective.h" nogil:
    enum: LX_CURVATURE, LX_CONSTANT, LX_CONSTANT_AT_SLOPES, LX_TO_THE_KINK
    enum: LX_DERIVE, LX_LIMIT, LX_MOST_CLASSES
    ctypedef struct lx_table:
        void *data
        int type
        Py_ssize_t row, column
    ctypedef struct lx_objective:
        lx_job job
        lx_block_kernel kernel
        const lx_job *loss
        const double *shift
        const double *constant
        lx_table raw, target, weight, grad, hess
        int of_rows, against_all, rule, kinked
        double factor, floor, least, positive
        double *spread
        Py_ssize_t block
        const float *limit
        Py_ssize_t limits
    lx_block_kernel lx_objective_kernel(int what, int type)

cdef enum:
    LIMITS = 256    # beside each other, for loops of vectors
CURVATURE, CONSTANT, CONSTANT_AT_SLOPES, TO_THE_KINK = LX_CURVATURE, LX_CONSTANT, LX_CONSTANT_AT_SLOPES, LX_TO_THE_KINK
MOST_CLASSES = LX_MOST_CLASSES


cdef class Objective:
    """Losses prepared for calls by a boosting library: one for a row of scores, or one for each column.

    `rule` selects the Hessian: the curvature of kind `curvature`; `constants`, one per column, everywhere or where the
    slope is not 0; or the slope divided by the distance from the kink, which counts as at least `least`.  The Hessian
    is multiplied by `factor` and raised to at least `floor`.  If `kinked`, it may be 0 or infinite where the slope is
    not 0, and is then limited by a scale that `limit_of` computes from the sum and the number of all h^(-1/2) of a
    column.  `positive` multiplies both derivatives where the target is 1.
    """
    cdef list losses
    cdef lx_objective facts
    cdef int curvature
    cdef object constants, limit_of

    def __init__(self, list losses, int curvature, int rule, constants, bint kinked, limit_of, double factor,
                 double floor, double least, double positive):
        self.losses, self.curvature, self.constants, self.limit_of = losses, curvature, constants, limit_of
        memset(&self.facts, 0, sizeof(self.facts))
        self.facts.rule, self.facts.kinked = rule, kinked
        self.facts.factor, self.facts.floor = factor, floor
        self.facts.least, self.facts.positive = least, positive

    def run(self, raw, target, weight, shift, bint against_all, grad, hess):
        """Fills grad and hess, of float32; false if a target is none of the loss's.

        raw (N, C) is of float32 or float64; target (N,), (N, 1) or (N, C) and weight (N,) or None are of either type;
        shift is (C,) of float64, or None.
        """
        cdef Evaluator loss = <Evaluator?> self.losses[0]
        cdef lx_objective o = self.facts
        cdef held_buffers held
        cdef lx_total total
        cdef lx_job *jobs = NULL
        cdef Py_ssize_t c, columns = raw.shape[1], cols
        cdef int threads, bad = 0, type
        cdef double work
        real = raw.dtype
        type = real is FLOAT64
        held.count = 0
        try:
            o.of_rows, o.against_all = loss.rowwise, against_all
            if against_all:    # no label is that of a column
                o.positive = 1
            o.job.size, o.job.rows, o.job.cols, o.job.inner = sizeof(lx_job), raw.shape[0], columns, 1
            cols = max(columns, 2) if loss.rowwise else 1
            if o.job.rows == 0:
                return True
            if not loss.rowwise and len(self.losses) != columns:
                raise ValueError(f"{len(self.losses)} losses are not one for each of {columns} columns")
            take_table(&held, &o.raw, "raw scores", raw, &o.job, real, False)
            take_table(&held, &o.target, "labels", target, &o.job, real, False)
            if weight is not None:
                take_table(&held, &o.weight, "weights", weight, &o.job, real, False)
            take_table(&held, &o.grad, "grad", grad, &o.job, real, True)
            take_table(&held, &o.hess, "hess", hess, &o.job, real, True)
            o.shift = <const double *> sized(&held, shift, "shift", columns * sizeof(double))
            o.constant = <const double *> sized(&held, self.constants, "constants", len(self.losses) * sizeof(double))
            jobs = <lx_job *> PyMem_Malloc(len(self.losses) * sizeof(lx_job))
            if jobs == NULL:
                raise MemoryError("no memory for the jobs of the columns")
            for c in range(len(self.losses)):
                (<Evaluator> self.losses[c]).describe(&jobs[c], cols, real, self.curvature)
            o.loss = jobs
            o.kernel = loss.kernel(real, loss.rowwise and loss.soft_loss >= 0 and loss.smoothing > 0)
            work = o.job.rows * (columns * (loss.cost + 1) * (8 if type else 4) / 4 + loss.cost_of_row)
            threads = choose_threads(loss.threads, None, work)
            if o.kinked:
                o.block = block_length(&o.job, True)
                spread = np.zeros(((o.job.rows + o.block - 1) // o.block, columns, 3))
                o.spread = <double *> hold(&held, spread, True)
            bad = run_job(&o.job, lx_objective_kernel(LX_DERIVE, type), True, 8, threads, &total, &held)
            if not bad and o.kinked:
                limits = np.array([self.limit_of(sum, count) for sum, count in spread[..., :2].sum(axis=0)], np.float32)
                if (spread[..., 2].max(axis=0) > limits).any():
                    limits = np.tile(limits, max(1, LIMITS // columns))
                    o.limit, o.limits = <const float *> hold(&held, limits), len(limits)
                    run_job(&o.job, lx_objective_kernel(LX_LIMIT, type), True, 8, threads, &total, &held)
            lx_small_call_ends(work, threads)
            return not bad
        finally:
            PyMem_Free(jobs)
            release(&held)


cdef take_table(held_buffers *held, lx_table *table, str name, array, const lx_job *job, real, bint writable):
    """Memory and strides of an array of one or two axes; what has one column serves all of them."""
    cdef Py_buffer *view = &held.views[held.count]
    dtype = array.dtype
    if dtype is not FLOAT32 and (dtype is not FLOAT64 or writable):
        raise TypeError(f"{name} have dtype {dtype}, which is not the kernels' own")
    PyObject_GetBuffer(array, view, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
    held.count += 1
    if (not 1 <= view.ndim <= 2 or view.shape[0] != job.rows or view.itemsize != dtype.itemsize
            or (view.ndim == 2 and view.shape[1] != 1 and view.shape[1] != job.cols)):
        raise ValueError(f"{name} have shape {array.shape}; allowed is ({job.rows}, {job.cols}), or one column of it")
    table.data = view.buf
    table.type = LX_REAL if dtype is real else LX_OTHER_REAL
    table.row = view.strides[0] // view.itemsize
    table.column = view.strides[1] // view.itemsize if view.ndim == 2 and view.shape[1] == job.cols else 0
