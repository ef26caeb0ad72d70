"""Blocks of elements, or of rows, shared out among threads.

Blocks have a fixed size and their sums are added in their order, so the bits of a result do not depend on the number of
threads, nor on which of them took which block.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport prange

cdef extern from "job.h" nogil:
    enum: LX_CHUNK, LX_PARAMETERS
    enum: LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR, LX_CSR
    enum: LX_REAL, LX_OTHER_REAL, LX_UINT8, LX_INT32, LX_INT64, LX_INT8, LX_INT16
    enum: LX_WEIGHT, LX_ELEMENT_WEIGHT, LX_SAMPLE_WEIGHT, LX_ROW_SCALE, LX_WEIGHTS
    enum: LX_NO_VALUE, LX_TOTAL, LX_ROWS, LX_ELEMENTS
    enum: LX_COUNT_ELEMENTS, LX_COUNT_BY_ROW, LX_COUNT_ROWS
    enum: LX_BAD_TARGET, LX_BAD_INPUT, LX_NO_MEMORY
    ctypedef struct lx_operand:
        const void *data
        int type, layout
    ctypedef struct lx_domain:
        double low, high, slack
        int sign
    ctypedef struct lx_csr:
        const long long *start
        const void *column
        int column_type
    ctypedef struct lx_job:
        size_t size
        Py_ssize_t rows, cols
        const void *input
        lx_operand target
        lx_csr sparse
        lx_domain domain
        double target_scale, target_shift
        lx_operand *weight
        lx_operand mask
        int nan_is_missing
        long long ignore_index
        int ignores
        lx_operand grad_output
        double *parameter
        lx_operand *varying
        double value_divisor, grad_scale
        int reduce, curvature
        void *value
        void *grad
        void *hess
        int stream, counts, checks_input
        double input_low, input_high
        Py_ssize_t inner, set_length
        int holds_classes
    ctypedef struct lx_total:
        double sum, rest, count
    ctypedef int (*lx_block_kernel)(const lx_job *, Py_ssize_t, Py_ssize_t, lx_total *) noexcept nogil
    int lx_find_loss(const char *family, const char *name)
    const char *lx_parameters(int loss)
    lx_block_kernel lx_kernel(int loss, int type)
    lx_block_kernel lx_count(int what, int type)

cdef enum:
    BLOCK = 16384              # elements: some 5 us of work, small enough to share out, large beside its overhead
    SMALL_BLOCK = 4096         # of arrays that would make too few blocks
    WAVE = 1024                # blocks between two looks at pending signals
    STREAM_BYTES = 16 << 20    # a result that outgrows the caches is written around them


ctypedef struct blocks:
    lx_block_kernel kernel
    const lx_job *job
    Py_ssize_t first, length, end    # from `first` on, each of `length`, none beyond `end`
    Py_ssize_t count
    lx_total *totals                 # of each


cdef int run_blocks(const blocks *todo, int wanted) noexcept nogil:
    """All blocks; what bad they met."""
    cdef int bad = 0, worker, n_threads = lx_threads_to_be_had(wanted)
    cdef Py_ssize_t b
    cdef lx_team team
    if n_threads == 1:
        for b in range(todo.count):
            bad |= run_block(todo, b)
        return bad
    lx_team_gather(&team, n_threads)
    for worker in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1):
        bad |= share_blocks(todo, &team)
    return bad


cdef int share_blocks(const blocks *todo, lx_team *team) noexcept nogil:
    """One thread's part: blocks until all are taken."""
    cdef int bad = 0
    cdef lx_member member = lx_team_arrive(team)
    cdef Py_ssize_t b = lx_team_take(team, &member, todo.count)
    while b >= 0:
        bad |= run_block(todo, b)
        lx_let_others_arrive(team)
        b = lx_team_take(team, &member, todo.count)
    lx_team_leave(team, &member)
    return bad


cdef int run_block(const blocks *todo, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t first = todo.first + b * todo.length
    todo.totals[b].sum = todo.totals[b].rest = todo.totals[b].count = 0
    return todo.kernel(todo.job, first, min(first + todo.length, todo.end), &todo.totals[b])


cdef void add_total(lx_total *total, const lx_total *block) noexcept nogil:
    """Adds a block's sum, and keeps what the rounding of that takes away (Knuth's TwoSum)."""
    cdef double sum = total.sum + block.sum, back = sum - total.sum
    cdef double lost = (total.sum - (sum - back)) + (block.sum - back)
    total.sum = sum
    if lost == lost:    # not where a sum is infinite or NaN
        total.rest += lost
    total.rest += block.rest
    total.count += block.count


cdef Py_ssize_t block_length(const lx_job *job, bint by_row) noexcept nogil:
    """Rows of a block: whole ones where something is summed by row."""
    cdef Py_ssize_t block = BLOCK if job.rows * job.cols >= 8 * BLOCK else SMALL_BLOCK
    return max(<Py_ssize_t> 1, block // (job.cols if by_row or job.reduce == LX_ROWS else 1))


cdef int run_job(const lx_job *job, lx_block_kernel kernel, bint by_row, int item_size, int n_threads,
                 lx_total *total, const held_buffers *held) except -1:
    """All of a job, in blocks of rows or of elements, and the sum of its values; what bad it met."""
    cdef blocks todo
    cdef lx_total totals[WAVE]
    cdef Py_ssize_t wave, i
    cdef Py_ssize_t unit = job.cols if by_row or job.reduce == LX_ROWS else 1
    cdef int bad = 0
    todo.kernel, todo.job, todo.totals, todo.first = kernel, job, totals, 0
    todo.length, todo.end = block_length(job, by_row), job.rows    # the kernel counts rows or elements
    wave = min(<Py_ssize_t> WAVE, max(<Py_ssize_t> 1, WAVE * BLOCK // (todo.length * unit)))
    if not by_row:
        todo.length, todo.end = todo.length * unit, job.rows * job.cols
    total.sum = total.rest = total.count = 0
    while todo.first < todo.end:
        todo.count = min(wave, (todo.end - todo.first + todo.length - 1) // todo.length)
        if n_threads == 1 and job.rows * job.cols <= SMALL_BLOCK:    # done before another could take the GIL
            bad = run_blocks(&todo, 1)
        else:
            with nogil:
                bad = run_blocks(&todo, <int> min(<Py_ssize_t> n_threads, todo.count))
        if bad:
            return bad
        for i in range(todo.count):
            add_total(total, &totals[i])
        todo.first += todo.count * todo.length
        if todo.first < todo.end:
            PyErr_CheckSignals()
            require_held(held)
    total.sum += total.rest
    return 0
