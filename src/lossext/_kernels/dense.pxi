"""Driver of the dense losses: blocks of elements, or of rows, shared out among threads.

Blocks have a fixed size and their sums are added in their order, so the bits of a result do not depend on the number of
threads, nor on which of them took which block.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cython.parallel cimport prange
from libc.string cimport memcmp, memcpy

cdef extern from "kernels.h" nogil:
    enum: LX_CHUNK
    enum: LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR
    enum: LX_REAL, LX_UINT8, LX_INT32, LX_INT64
    enum: LX_NO_VALUE, LX_TOTAL, LX_ROWS, LX_ELEMENTS
    ctypedef struct lx_operand:
        const void *data
        int layout
    ctypedef struct lx_job:
        Py_ssize_t rows, cols
        const void *input
        lx_operand target
        int target_type
        lx_operand weight, pos_weight
        const void *sample_weight
        lx_operand grad_output
        double param
        int power
        double value_divisor, grad_scale
        int reduce
        void *value
        void *grad
        void *hess
        int stream
    ctypedef int (*lx_block_kernel)(const lx_job *, Py_ssize_t, Py_ssize_t, double *) noexcept nogil
    int lx_find_loss(const char *name)
    lx_block_kernel lx_kernel(int loss, int type)

ABSENT, FULL, BY_COLUMN, BY_ROW, SCALAR = LX_ABSENT, LX_FULL, LX_BY_COLUMN, LX_BY_ROW, LX_SCALAR
REAL, UINT8, INT32, INT64 = LX_REAL, LX_UINT8, LX_INT32, LX_INT64
NO_VALUE, TOTAL, ROWS, ELEMENTS = LX_NO_VALUE, LX_TOTAL, LX_ROWS, LX_ELEMENTS

cdef enum:
    BLOCK = 16384              # elements: some 5 us of work, small enough to share out, large beside its overhead
    SMALL_BLOCK = 4096         # of arrays that would make too few blocks
    WAVE = 2048                # blocks between two looks at pending signals
    STREAM_BYTES = 16 << 20    # a result that outgrows the caches is written around them


def find_loss(str name):
    """Number of the kernel that was built from maths/*/<name>.h."""
    cdef int loss = lx_find_loss(name.encode())
    if loss < 0:
        raise LookupError(f"no kernel {name!r} was built")
    return loss


ctypedef struct blocks:
    lx_block_kernel kernel
    const lx_job *job
    Py_ssize_t first, length, end    # from `first` on, each of `length`, none beyond `end`
    Py_ssize_t count
    double *sums                     # of each


cdef int run_blocks(const blocks *todo, int n_threads) noexcept nogil:
    """All blocks; true if one met a bad target."""
    cdef int bad = 0, worker
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
    lx_team_leave(team)
    return bad


cdef int run_block(const blocks *todo, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t first = todo.first + b * todo.length
    todo.sums[b] = 0
    return todo.kernel(todo.job, first, min(first + todo.length, todo.end), &todo.sums[b])


cdef int run_job(lx_job *job, int loss, bint rowwise, int real_type, int n_threads, double *total) except -1:
    """All of a job, and the sum of its values; true if it met a bad target."""
    cdef blocks todo
    cdef double sums[WAVE]
    cdef Py_ssize_t unit, wave, block = BLOCK if job.rows * job.cols >= 8 * BLOCK else SMALL_BLOCK
    cdef int bad = 0, i
    job.stream = (job.grad != NULL and job.grad != job.input
                  and job.rows * job.cols * (8 if real_type else 4) >= STREAM_BYTES)
    # a block is whole rows where something is summed by row; the kernel counts rows or elements
    unit = job.cols if rowwise or job.reduce == LX_ROWS else 1
    todo.kernel, todo.job, todo.sums, todo.first = lx_kernel(loss, real_type), job, sums, 0
    todo.length, todo.end = max(<Py_ssize_t> 1, block // unit), job.rows
    wave = min(<Py_ssize_t> WAVE, max(<Py_ssize_t> 1, WAVE * BLOCK // (todo.length * unit)))
    if not rowwise:
        todo.length, todo.end = todo.length * unit, job.rows * job.cols
    total[0] = 0
    while todo.first < todo.end:
        todo.count = min(wave, (todo.end - todo.first + todo.length - 1) // todo.length)
        with nogil:
            bad = run_blocks(&todo, <int> min(<Py_ssize_t> n_threads, todo.count))
        if bad:
            return 1
        for i in range(todo.count):
            total[0] += sums[i]
        todo.first += todo.count * todo.length
        if todo.first < todo.end:
            PyErr_CheckSignals()
    return 0


def run_dense(int loss, bint rowwise, int real_type, Py_ssize_t rows, Py_ssize_t cols, input, target, int target_type,
              int target_layout, weight, int weight_layout, pos_weight, int pos_weight_layout, sample_weight,
              grad_output, int grad_output_layout, double param, int power, double value_divisor, double grad_scale,
              int reduce, value, grad, hess, int n_threads):
    """Value, gradient and curvature of a dense loss, whichever have a place to go.

    Returns the sum of the values over `value_divisor` for TOTAL (else 0.0), or None if a target lies outside the loss's
    domain.  ValueError if `grad` or `hess` shares memory with another array (but for `grad` in the place of `input`).
    """
    cdef held_buffers held
    cdef lx_job job
    cdef double total
    cdef void *copies[3]
    cdef int bad, n_results, n_copies = 0, i, item_size = 8 if real_type else 4
    held.count = 0
    try:
        job.rows, job.cols = rows, cols
        job.grad = hold(&held, grad, True)
        job.hess = hold(&held, hess, True)
        n_results = held.count
        job.input = hold(&held, input)
        job.target, job.target_type = hold_operand(&held, target, target_layout), target_type
        job.weight = hold_operand(&held, weight, weight_layout)
        job.pos_weight = hold_operand(&held, pos_weight, pos_weight_layout)
        job.sample_weight = hold(&held, sample_weight)
        job.grad_output = hold_operand(&held, grad_output, grad_output_layout)
        if not rowwise:
            n_copies += repeat(&job.target, cols, item_size, &copies[n_copies])
            n_copies += repeat(&job.weight, cols, item_size, &copies[n_copies])
            n_copies += repeat(&job.pos_weight, cols, item_size, &copies[n_copies])
        job.value = hold(&held, value, True)
        job.param, job.power, job.reduce = param, power, reduce
        job.value_divisor, job.grad_scale = value_divisor, grad_scale
        if job.grad != NULL or job.hess != NULL:
            check_apart(&held, &job, n_results, (input, target, weight, pos_weight, sample_weight, grad_output))
        bad = run_job(&job, loss, rowwise, real_type, n_threads, &total)
        lx_call_ends()
        if bad:
            return None
        return total / value_divisor
    finally:
        for i in range(n_copies):
            PyMem_Free(copies[i])
        release(&held)


cdef int repeat(lx_operand *operand, Py_ssize_t cols, Py_ssize_t item_size, void **copy) except -1:
    """Repeats an operand by column, or a scalar, as the kernels want it; 1 if that took a copy that is to be freed."""
    cdef Py_ssize_t have, needed
    if operand.layout == LX_BY_COLUMN:
        have = cols * item_size
    elif operand.layout == LX_SCALAR:
        have = item_size
    else:
        return 0
    needed = have + LX_CHUNK * item_size
    cdef char *repeated = <char *> PyMem_Malloc(needed)
    if repeated == NULL:
        raise MemoryError(f"no memory for {needed} bytes of weights")
    memcpy(repeated, operand.data, have)
    while have < needed:
        memcpy(repeated + have, repeated, min(have, needed - have))
        have += min(have, needed - have)
    operand.data = copy[0] = repeated
    return 1


cdef lx_operand hold_operand(held_buffers *held, array, int layout) except *:
    cdef lx_operand operand
    operand.data = hold(held, array)
    operand.layout = LX_ABSENT if array is None else layout
    return operand


cdef int check_apart(held_buffers *held, lx_job *job, int n_results, tuple operands) except -1:
    """What is written shares no memory with what is read, but that the gradient may take the place of the input."""
    cdef int i, j
    cdef const Py_buffer *result
    cdef const Py_buffer *operand
    for i in range(n_results):
        for j in range(n_results, held.count):
            result, operand = &held.views[i], &held.views[j]
            if not overlap(result, operand) or operand.buf == job.value:
                continue
            in_place = result.buf == job.grad and operand.buf == job.input and operand.buf == result.buf
            if in_place and operand.len == result.len:
                continue
            names = ("input", "target", "weight", "pos_weight", "sample_weight", "grad_output")
            name = [name for name, array in zip(names, operands) if array is not None][j - n_results]
            raise ValueError(f"out shares memory with {name}; only input may be overwritten, and as a whole")
    return 0
