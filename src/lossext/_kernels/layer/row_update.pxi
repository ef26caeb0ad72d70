"""Updates of some rows of a large array, or of a block of it, and products of sparse rows."""


REQUIRED = {
    ADD: ("indices", "param"), ADAGRAD: ("indices", "param", "second"), ADAM: ("indices", "param", "first", "second"),
    TAKE: ("indices", "columns", "param", "values"), PRODUCT: ("start", "values"),
}


cdef class RowUpdate:
    """Operands of an update, filled by name; arrays are C-contiguous and of the kernels' type."""

    cdef public int real_type  # whether float64
    cdef public int rule       # ADD, ADAGRAD, ADAM; TAKE and PRODUCT fill values
    cdef public bint compact   # param has the rows of indices alone
    cdef public Py_ssize_t rows, length          # of param
    cdef public object indices                   # int64 ascending
    cdef public object columns                   # of param, int64 ascending; None: all
    cdef public object values                    # (indices, columns), or a product:
    cdef public object start, entries, factors   # CSR rows: int64, int64, real
    cdef public object dense                     # (n_dense, columns)
    cdef public Py_ssize_t n_dense
    cdef public object param, first, second
    cdef public double penalty, rate, decay1, decay2, epsilon

    def run(self, int n_threads):
        """Update rows of param and of its state in place."""
        cdef held_buffers held
        cdef lx_row_update job
        cdef lx_phase phase
        cdef Py_ssize_t size, item = 8 if self.real_type else 4
        cdef int64_t *indices = NULL
        cdef int64_t *columns = NULL
        cdef int64_t *start = NULL
        cdef int64_t *entries = NULL
        self.require()
        held.count = 0
        memset(&job, 0, sizeof(job))
        try:
            job.length = job.stride = self.length
            if self.columns is not None:
                columns = checked_ids(&held, self.columns, "columns", self.length, True, &job.length)
            if self.rule != LX_PRODUCT:
                indices = checked_ids(&held, self.indices, "indices", self.rows, True, &job.rows)
            if self.start is not None:
                self.take_sparse(&held, &job, &start, &entries, item)
            job.rule, job.compact, job.indices, job.columns = self.rule, self.compact, indices, columns
            job.penalty, job.rate = self.penalty, self.rate
            job.decay1, job.decay2, job.epsilon = self.decay1, self.decay2, self.epsilon
            size = times(times(self.rows, self.length), item)
            job.values = sized(&held, self.values, "values", times(times(job.rows, job.length), item),
                               self.rule == LX_TAKE or self.rule == LX_PRODUCT)
            job.param = sized(&held, self.param, "array",
                              times(times(job.rows, self.length), item) if self.compact else size, True)
            job.first = sized(&held, self.first, "mean", size, True)
            job.second = sized(&held, self.second, "squares", size, True)
            set_phase(&phase, lx_layer_kernels(self.real_type).update_rows, &job, ceil_div(job.rows, LX_MERGE_UNIT))
            with nogil:
                run_phases(&phase, 1, n_threads)
        finally:
            free(indices)
            free(columns)
            free(start)
            free(entries)
            release(&held)

    cdef int require(self) except -1:
        """TypeError, ValueError for a rule that lacks an operand."""
        if self.rule not in REQUIRED:
            raise ValueError(f"rule = {self.rule} is unknown")
        for name in REQUIRED[self.rule]:
            if getattr(self, name) is None:
                raise TypeError(f"{name} must not be None")
        if self.start is not None and (self.entries is None or self.factors is None or self.dense is None):
            raise TypeError("a product must have start, entries, factors and dense")
        if self.rule not in (TAKE, PRODUCT):
            if (self.values is None) == (self.start is None):
                raise TypeError("an update must have values or else a product")
            if self.values is not None and (self.columns is not None or self.penalty):
                raise ValueError("columns and penalty go with a product, not with values")
        return 0

    cdef int take_sparse(self, held_buffers *held, lx_row_update *job, int64_t **start, int64_t **entries,
                         Py_ssize_t item) except -1:
        """Sparse rows, of which there are as many as indices."""
        cdef Py_ssize_t count, n_starts, r
        entries[0] = checked_ids(held, self.entries, "entries", self.n_dense, False, &count)
        start[0] = checked_ids(held, self.start, "start", count + 1, False, &n_starts)
        if self.rule == LX_PRODUCT:
            job.rows = n_starts - 1
        if n_starts < 1 or n_starts - 1 != job.rows:
            raise ValueError(f"start has length {n_starts}; allowed is one more than {job.rows} rows")
        for r in range(job.rows):
            if start[0][r] > start[0][r + 1]:
                raise ValueError(f"start[{r}] = {start[0][r]} is greater than start[{r + 1}] = {start[0][r + 1]}")
        job.start, job.entries = start[0], entries[0]
        job.factors = sized(held, self.factors, "factors", times(count, item))
        job.dense = sized(held, self.dense, "dense", times(times(self.n_dense, job.length), item))
        return 0


cdef int64_t *checked_ids(held_buffers *held, array, name, Py_ssize_t end, bint ascending,
                          Py_ssize_t *count) except NULL:
    """A copy, which nobody else can change, of ids in [0, end)."""
    hold(held, array)
    cdef const Py_buffer *view = &held.views[held.count - 1]
    cdef Py_ssize_t i
    cdef int64_t *ids = <int64_t *> malloc(view.len + sizeof(int64_t))
    count[0] = view.len // sizeof(int64_t)
    if ids == NULL:
        raise MemoryError(f"no memory for {count[0]} {name}")
    memcpy(ids, view.buf, view.len)
    for i in range(count[0]):
        if (<uint64_t> ids[i] >= <uint64_t> end) or (ascending and i and ids[i] <= ids[i - 1]):
            at = ids[i]
            free(ids)
            raise ValueError(f"{name}[{i}] = {at}: not {'ascending, or not ' if ascending else ''}in [0, {end})")
    return ids
