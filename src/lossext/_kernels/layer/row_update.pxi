"""Updates of some rows of a large array."""


cdef class RowUpdate:
    """Operands of an update, filled by name; arrays are C-contiguous and of the kernels' type."""

    cdef public int real_type  # whether float64
    cdef public int rule       # ADD, ADAGRAD, ADAM
    cdef public bint compact   # param has the rows of indices alone
    cdef public Py_ssize_t rows, length          # of param
    cdef public object indices, values           # int64 ascending; (indices, length)
    cdef public object param, first, second
    cdef public double rate, decay1, decay2, epsilon

    def run(self, int n_threads):
        """Update rows of param and of its state in place."""
        cdef held_buffers held
        cdef lx_row_update job
        cdef lx_phase phase
        cdef Py_ssize_t r, size, item = 8 if self.real_type else 4
        cdef int64_t *indices = NULL
        held.count = 0
        memset(&job, 0, sizeof(job))
        try:
            hold(&held, self.indices)
            job.rows, job.length = held.views[0].len // sizeof(int64_t), self.length
            indices = <int64_t *> malloc(held.views[0].len + sizeof(int64_t))
            if indices == NULL:
                raise MemoryError(f"no memory for {job.rows} indices")
            memcpy(indices, held.views[0].buf, held.views[0].len)
            for r in range(job.rows):    # of the copy, which nobody else can change
                if (<uint64_t> indices[r] >= <uint64_t> self.rows) or (r and indices[r] <= indices[r - 1]):
                    raise ValueError(f"indices[{r}] = {indices[r]}: not ascending, or not in [0, {self.rows})")
            job.rule, job.compact, job.indices = self.rule, self.compact, indices
            job.rate, job.decay1, job.decay2, job.epsilon = self.rate, self.decay1, self.decay2, self.epsilon
            size = times(times(self.rows, self.length), item)
            job.values = sized(&held, self.values, "values", times(times(job.rows, self.length), item))
            job.param = sized(&held, self.param, "array",
                              times(times(job.rows, self.length), item) if self.compact else size, True)
            job.first = sized(&held, self.first, "mean", size, True)
            job.second = sized(&held, self.second, "squares", size, True)
            set_phase(&phase, lx_layer_kernels(self.real_type).update_rows, &job, ceil_div(job.rows, LX_MERGE_UNIT))
            with nogil:
                run_phases(&phase, 1, n_threads)
        finally:
            free(indices)
            release(&held)
