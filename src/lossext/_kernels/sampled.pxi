"""Driver of the losses over a linear layer's logits at some of its classes, and the grouping of class ids.

A call goes in waves: so many blocks of rows by so many tiles of classes that their logits stay in the caches.  If
all classes fit into one wave, the logits are kept for the gradients.  If not, a second pass over the classes computes
them anew.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef extern from "runtime.h" nogil:
    ctypedef void (*lx_step)(const void *, Py_ssize_t) noexcept nogil
    ctypedef struct lx_phase:
        lx_step step
        const void *job
        long long units, taken, done
    void lx_work_through(lx_phase *phases, int count, lx_team *team)

cdef extern from "sampled.h" nogil:
    enum: LX_FLOAT64
    enum: LX_ROW_BLOCK, LX_CLASS_TILE, LX_MERGE_UNIT
    enum: LX_SOFTMAX, LX_NORMALIZED_SOFTMAX, LX_SIGMOID, LX_RAW
    enum: LX_ADD, LX_ADAGRAD, LX_ADAM
    ctypedef struct lx_sampled:
        Py_ssize_t rows, dim, classes, num_true
        double scale
        const void *inputs
        const void *weights
        const int64_t *ids
        const int64_t *labels
        const void *bias
        const void *true_bias
        const int64_t *hits
        const int64_t *hit_first
        const int64_t *hit_last
        const void *upstream
        int mode, first_wave, last_wave, keep, first_rows
        Py_ssize_t first_row, blocks, first_class, tiles, tile, stride, panels
        void *packed_inputs
        void *columns
        void *packed_weights
        void *logits
        void *peak
        void *sum
        void *truth
        void *row_peak
        void *row_factor
        double *row_sum
        double *loss
        void *grad_truth
        void *grad_inputs
        void *grad_classes
        void *grad_bias
        Py_ssize_t groups
        const int64_t *order
        const int64_t *start
        const int64_t *target
        void *merged
        void *merged_bias
        Py_ssize_t k
        void *top_values
        int64_t *top_ids
    ctypedef struct lx_row_update:
        int rule
        Py_ssize_t rows, length
        const int64_t *indices
        const void *values
        void *param
        void *first
        void *second
        double rate, decay1, decay2, epsilon
    ctypedef struct lx_sampled_steps:
        Py_ssize_t panel
        lx_step true_logits, gather, pack, logits, rows, products, finish_inputs, merge, keep_largest, update_rows
    const lx_sampled_steps *lx_sampled_kernels(int type)

SOFTMAX, SIGMOID, RAW = LX_SOFTMAX, LX_SIGMOID, LX_RAW
ADD, ADAGRAD, ADAM = LX_ADD, LX_ADAGRAD, LX_ADAM

cdef enum:
    KEEP_BYTES = 7 << 20       # logits of a block of rows by all classes: beyond, computing anew beats keeping
    WAVE_BYTES = 4 << 20       # logits of a wave, about, where there is a choice: some of a last-level cache
    WAVE_BLOCKS = 16           # of rows, where not all classes fit
    PHASES = 64                # at most, between two looks at pending signals
    DIGIT = 11                 # bits of a radix sort's digit


cdef Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef struct schedule:
    lx_phase[PHASES] phases
    lx_sampled[PHASES] jobs    # each phase's own: the wave changes from one to the next
    int count, n_threads


cdef int add_phase(schedule *planned, lx_step step, const lx_sampled *job, Py_ssize_t units) except -1:
    """Plan a step of a call; runs what is planned when it is much."""
    cdef int i = planned.count
    planned.jobs[i] = job[0]
    set_phase(&planned.phases[i], step, &planned.jobs[i], units)
    planned.count += 1
    if planned.count == PHASES:
        run_schedule(planned)
    return 0


cdef int run_schedule(schedule *planned) except -1:
    with nogil:
        run_phases(planned.phases, planned.count, planned.n_threads)
    planned.count = 0
    PyErr_CheckSignals()
    return 0


cdef void set_phase(lx_phase *phase, lx_step step, const void *job, Py_ssize_t units) noexcept nogil:
    phase.step, phase.job, phase.units, phase.taken, phase.done = step, job, units, 0, 0


cdef void run_phases(lx_phase *phases, int count, int n_threads) noexcept nogil:
    cdef lx_team team
    cdef int i
    cdef Py_ssize_t most = 1
    for i in range(count):
        most = max(most, <Py_ssize_t> phases[i].units)
    n_threads = <int> min(<Py_ssize_t> n_threads, most)
    if n_threads == 1:
        run_alone(phases, count)
        lx_call_ends()
        return
    lx_team_gather(&team, n_threads)
    for i in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1):
        lx_work_through(phases, count, &team)
    lx_call_ends()


cdef void run_alone(lx_phase *phases, int count) noexcept nogil:
    cdef Py_ssize_t unit
    for i in range(count):
        for unit in range(phases[i].units):
            phases[i].step(phases[i].job, unit)


cdef struct workspace:
    char *memory
    Py_ssize_t used


cdef void *take(workspace *space, Py_ssize_t size) noexcept:
    """The next part of the workspace, on a cache line; only counts before there is memory."""
    cdef char *part = space.memory + space.used if space.memory != NULL else NULL
    space.used += ceil_div(size, 64) * 64
    return part


def run_sampled(int real_type, int mode, Py_ssize_t rows, Py_ssize_t dim, Py_ssize_t classes, Py_ssize_t num_true,
                double scale, inputs, weights, ids, labels, bias, true_bias, hits, hit_first, hit_last, upstream, loss,
                grad_inputs, grad_classes, grad_bias, groups, order, start, target, merged, merged_bias, Py_ssize_t k,
                top_values, top_ids, int n_threads):
    """Losses of all rows, and the gradients if there is an `upstream`; for RAW the k largest logits: see sampled.h."""
    cdef held_buffers held
    cdef lx_sampled job
    cdef const lx_sampled_steps *steps = lx_sampled_kernels(real_type)
    cdef workspace space
    cdef schedule planned
    cdef char *memory = NULL
    cdef int item = 8 if real_type == LX_FLOAT64 else 4
    cdef Py_ssize_t panel = steps.panel
    cdef Py_ssize_t all_blocks = ceil_div(rows, LX_ROW_BLOCK), all_tiles, wave_blocks, wave_tiles, tile_bytes
    cdef Py_ssize_t first_block, first_tile, packed_row, needed
    cdef bint with_grad = upstream is not None, with_products, resident
    held.count = 0
    memset(&job, 0, sizeof(job))
    try:
        job.rows, job.dim, job.classes, job.num_true, job.scale = rows, dim, classes, num_true, scale
        job.inputs, job.weights = hold(&held, inputs), hold(&held, weights)
        job.ids, job.labels = <const int64_t *> hold(&held, ids), <const int64_t *> hold(&held, labels)
        job.bias, job.true_bias = hold(&held, bias), hold(&held, true_bias)
        job.hits = <const int64_t *> hold(&held, hits)
        job.hit_first, job.hit_last = <const int64_t *> hold(&held, hit_first), <const int64_t *> hold(&held, hit_last)
        job.upstream = hold(&held, upstream)
        job.loss = <double *> hold(&held, loss, True)
        job.grad_inputs = hold(&held, grad_inputs, True)
        job.grad_classes, job.grad_bias = hold(&held, grad_classes, True), hold(&held, grad_bias, True)
        job.groups = groups
        job.order, job.start = <const int64_t *> hold(&held, order), <const int64_t *> hold(&held, start)
        job.target = <const int64_t *> hold(&held, target)
        job.merged, job.merged_bias = hold(&held, merged, True), hold(&held, merged_bias, True)

        job.k = k
        job.top_values, job.top_ids = hold(&held, top_values, True), <int64_t *> hold(&held, top_ids, True)

        job.panels = max(1, ceil_div(dim, panel))
        job.stride = job.panels * panel
        if job.stride * item % 512 == 0:
            job.stride += 64 // item    # else rows would meet in a few sets of the first cache
        all_tiles = ceil_div(classes, LX_CLASS_TILE)
        # tiles of even size, of whole heights of the micro-kernel
        job.tile = ceil_div(ceil_div(classes, max(1, all_tiles)), 12) * 12
        all_tiles = ceil_div(classes, max(1, job.tile))
        tile_bytes = max(1, job.tile) * LX_ROW_BLOCK * item
        resident = all_tiles * tile_bytes <= KEEP_BYTES
        if resident:
            wave_tiles = all_tiles
            wave_blocks = min(all_blocks, max(2, WAVE_BYTES // (max(1, all_tiles) * tile_bytes)))
        else:
            wave_blocks = min(all_blocks, <Py_ssize_t> WAVE_BLOCKS)
            wave_tiles = max(2, WAVE_BYTES // (wave_blocks * tile_bytes))

        space.memory, space.used = NULL, 0
        for _ in range(2):    # counts, then allots
            job.packed_inputs = take(&space, wave_blocks * LX_ROW_BLOCK * job.stride * item)
            job.columns = take(&space, wave_blocks * LX_ROW_BLOCK * dim * item)
            job.packed_weights = take(&space, wave_tiles * job.tile * job.stride * item)
            job.logits = take(&space, wave_tiles * wave_blocks * tile_bytes)
            job.peak = take(&space, wave_tiles * wave_blocks * LX_ROW_BLOCK * item)
            job.sum = take(&space, wave_tiles * wave_blocks * LX_ROW_BLOCK * item)
            job.truth = take(&space, rows * num_true * item)
            job.grad_truth = take(&space, rows * num_true * item)
            job.row_peak = take(&space, all_blocks * LX_ROW_BLOCK * item)
            job.row_factor = take(&space, all_blocks * LX_ROW_BLOCK * item)
            job.row_sum = <double *> take(&space, all_blocks * LX_ROW_BLOCK * sizeof(double))
            if memory == NULL:
                needed = space.used
                memory = <char *> malloc(needed + 64)
                if memory == NULL:
                    raise MemoryError(f"no {needed} bytes for the work of a call")
                space.memory, space.used = memory + (-<uint64_t> memory & 63), 0

        planned.count, planned.n_threads = 0, n_threads
        if mode != LX_RAW:
            add_phase(&planned, steps.true_logits, &job, all_blocks)
        for job.mode in [mode] if resident or mode == LX_SIGMOID or not with_grad else [mode, LX_NORMALIZED_SOFTMAX]:
            with_products = with_grad and (resident or job.mode != LX_SOFTMAX)
            job.keep = with_products
            packed_row = -1
            for first_tile in range(0, max(1, all_tiles), max(1, wave_tiles)):
                job.first_class = first_tile * job.tile
                job.tiles = min(wave_tiles, all_tiles - first_tile)
                job.first_wave = first_tile == 0
                job.last_wave = first_tile + job.tiles == all_tiles
                add_phase(&planned, steps.gather, &job, job.tiles)
                for first_block in range(0, all_blocks, wave_blocks):
                    job.first_row = first_block * LX_ROW_BLOCK
                    job.blocks = min(wave_blocks, all_blocks - first_block)
                    job.first_rows = first_block == 0
                    if packed_row != job.first_row:
                        add_phase(&planned, steps.pack, &job, job.blocks)
                        packed_row = job.first_row
                    add_phase(&planned, steps.logits, &job, job.tiles * job.blocks)
                    if job.mode == LX_RAW:
                        add_phase(&planned, steps.keep_largest, &job, job.blocks)
                    elif job.mode != LX_NORMALIZED_SOFTMAX:
                        add_phase(&planned, steps.rows, &job, job.blocks)
                    if with_products:
                        add_phase(&planned, steps.products, &job, (job.tiles + job.blocks) * job.panels)
        if with_grad:
            add_phase(&planned, steps.finish_inputs, &job, all_blocks)
            add_phase(&planned, steps.merge, &job, ceil_div(job.groups, LX_MERGE_UNIT))
        run_schedule(&planned)
    finally:
        free(memory)
        release(&held)


def update_rows(int real_type, int rule, indices, values, param, first, second, double rate, double decay1,
                double decay2, double epsilon, Py_ssize_t rows, Py_ssize_t length, int n_threads):
    """Update rows of `length` numbers of param, and of its state, in place: see sampled.h for the rules."""
    cdef held_buffers held
    cdef lx_row_update job
    cdef lx_phase phase
    held.count = 0
    try:
        job.rule, job.rows, job.length = rule, rows, length
        job.rate, job.decay1, job.decay2, job.epsilon = rate, decay1, decay2, epsilon
        job.indices = <const int64_t *> hold(&held, indices)
        job.values = hold(&held, values)
        job.param = hold(&held, param, True)
        job.first, job.second = hold(&held, first, True), hold(&held, second, True)
        set_phase(&phase, lx_sampled_kernels(real_type).update_rows, &job, ceil_div(rows, LX_MERGE_UNIT))
        with nogil:
            run_phases(&phase, 1, n_threads)
    finally:
        release(&held)


def group_ids(keys, Py_ssize_t labels, order, start, unique, hit_first, hit_last):
    """Group equal keys: the first `labels` of them are of the rows' labels, the others of the classes.

    `order` takes the keys' positions sorted by key (equal ones as they came), `unique` the distinct keys, `start`
    where each begins in `order`, and hit_first[j], hit_last[j] the part of `order` that holds the classes equal to
    label j.  Returns the number of distinct keys.  All are int64; `start` has one more place than keys.
    """
    cdef held_buffers held
    cdef Py_ssize_t n
    held.count = 0
    try:
        hold(&held, keys)
        n = held.views[0].len // sizeof(int64_t)
        for array in (order, start, unique, hit_first, hit_last):
            hold(&held, array, True)
        groups = group(<const int64_t *> held.views[0].buf, n, labels, <int64_t *> held.views[1].buf,
                       <int64_t *> held.views[2].buf, <int64_t *> held.views[3].buf, <int64_t *> held.views[4].buf,
                       <int64_t *> held.views[5].buf)
        if groups < 0:
            raise MemoryError("no memory to sort class ids")
        return groups
    finally:
        release(&held)


cdef Py_ssize_t group(const int64_t *keys, Py_ssize_t n, Py_ssize_t labels, int64_t *order, int64_t *start,
                      int64_t *unique, int64_t *hit_first, int64_t *hit_last) noexcept nogil:
    cdef Py_ssize_t i, first, end, groups = 0
    if not sort_positions(keys, n, order):
        return -1
    first = 0
    while first < n:
        end = first + 1
        while end < n and keys[order[end]] == keys[order[first]]:
            end += 1
        unique[groups], start[groups] = keys[order[first]], first
        groups += 1
        i = first
        while i < end and order[i] < labels:
            i += 1
        for p in range(first, i):
            hit_first[order[p]], hit_last[order[p]] = i, end
        first = end
    start[groups] = n
    return groups


cdef bint sort_positions(const int64_t *keys, Py_ssize_t n, int64_t *order) noexcept nogil:
    """order = the positions of the keys in ascending order, stable: a radix sort.  False without memory."""
    cdef Py_ssize_t i, count, place
    cdef Py_ssize_t[1 << DIGIT] counts
    cdef int64_t least, largest
    cdef int64_t *other
    cdef int64_t *source = order
    cdef int64_t *sink
    cdef int shift = 0
    cdef uint64_t span
    if n == 0:
        return True
    least = largest = keys[0]
    for i in range(n):
        order[i] = i
        least, largest = min(least, keys[i]), max(largest, keys[i])
    span = <uint64_t> largest - <uint64_t> least
    other = sink = <int64_t *> malloc(n * sizeof(int64_t))
    if other == NULL:
        return False
    while shift < 64 and span >> shift:
        memset(counts, 0, sizeof(counts))
        for i in range(n):
            counts[(<uint64_t> keys[i] - <uint64_t> least) >> shift & ((1 << DIGIT) - 1)] += 1
        place = 0
        for i in range(1 << DIGIT):
            count = counts[i]
            counts[i] = place
            place += count
        for i in range(n):
            digit = (<uint64_t> keys[source[i]] - <uint64_t> least) >> shift & ((1 << DIGIT) - 1)
            sink[counts[digit]] = source[i]
            counts[digit] += 1
        source, sink = sink, source
        shift += DIGIT
    if source != order:
        for i in range(n):
            order[i] = source[i]
    free(other)
    return True


cdef class IdSet:
    """A set of class ids: open addressing, at most half full."""

    cdef int64_t *slots
    cdef Py_ssize_t mask, count

    def __cinit__(self, Py_ssize_t capacity):
        cdef int bits = 3
        while (<Py_ssize_t> 1 << bits) < 2 * capacity:
            bits += 1
        self.mask, self.count = (<Py_ssize_t> 1 << bits) - 1, 0
        self.slots = <int64_t *> malloc((self.mask + 1) * sizeof(int64_t))
        if self.slots == NULL:
            raise MemoryError(f"no memory for a set of {capacity} class ids")
        memset(self.slots, 0xff, (self.mask + 1) * sizeof(int64_t))

    def __dealloc__(self):
        free(self.slots)

    def __len__(self):
        return self.count

    cdef bint insert(self, int64_t key) noexcept nogil:
        """True if it was not there yet."""
        cdef Py_ssize_t at = <Py_ssize_t> (<uint64_t> key * 0x9e3779b97f4a7c15u >> 20) & self.mask
        while self.slots[at] != -1:
            if self.slots[at] == key:
                return False
            at = (at + 1) & self.mask
        self.slots[at] = key
        self.count += 1
        return True

    def add(self, const int64_t[::1] ids):
        """Take ids of at least 0 in, no more than there is room for."""
        for i in range(ids.shape[0]):
            self.insert(ids[i])

    def take_new(self, const int64_t[::1] candidates, int64_t[::1] new):
        """Fill `new` with candidates that were not there yet; (how many are new, how many candidates it took)."""
        cdef Py_ssize_t used = 0, n_new = 0
        while n_new < new.shape[0] and used < candidates.shape[0]:
            if self.insert(candidates[used]):
                new[n_new] = candidates[used]
                n_new += 1
            used += 1
        return n_new, used


def alias_table(double[::1] weights, double[::1] share, int64_t[::1] alias):
    """Walker's table, in Vose's way.  To draw, take a place at random, and its alias with chance 1 - share.

    `weights` are multiplied so that their mean is 1, and used up.
    """
    cdef Py_ssize_t n = weights.shape[0], i, n_small = 0, n_large = 0, small, large, heaviest = 0
    # small ones from the left, large ones from the right
    cdef int64_t *stack = <int64_t *> malloc(n * sizeof(int64_t))
    cdef double total = 0
    if stack == NULL:
        raise MemoryError(f"no memory for a table of {n} classes")
    for i in range(n):
        total += weights[i]
        if weights[i] > weights[heaviest]:
            heaviest = i
    for i in range(n):
        weights[i] *= n / total
        if weights[i] < 1:
            stack[n_small] = i
            n_small += 1
        else:
            n_large += 1
            stack[n - n_large] = i
    while n_small and n_large:
        n_small -= 1
        small, large = stack[n_small], stack[n - n_large]
        share[small], alias[small] = weights[small], large
        weights[large] -= 1 - weights[small]
        if weights[large] < 1:
            n_large -= 1
            stack[n_small] = large
            n_small += 1
    for i in range(n_large):
        share[stack[n - 1 - i]], alias[stack[n - 1 - i]] = 1, stack[n - 1 - i]
    for i in range(n_small):    # what rounding has left over; never a class of weight 0
        share[stack[i]], alias[stack[i]] = (1 if weights[stack[i]] > 0.5 else 0), heaviest
    free(stack)


def tree_add(int64_t[::1] tree, const int64_t[::1] ids):
    """Count ids in a Fenwick tree; class i stands at i + 1."""
    cdef Py_ssize_t i
    cdef int64_t at
    for i in range(ids.shape[0]):
        at = ids[i] + 1
        while at < tree.shape[0]:
            tree[at] += 1
            at += at & -at


def tree_find(const int64_t[::1] tree, const int64_t[::1] targets, int64_t[::1] ids):
    """The class at which the running sum of counts exceeds each target."""
    cdef Py_ssize_t i, top = 1
    cdef int64_t at, step, rest
    while 2 * top < tree.shape[0]:
        top *= 2
    for i in range(targets.shape[0]):
        at, rest, step = 0, targets[i], top
        while step:
            if at + step < tree.shape[0] and tree[at + step] <= rest:
                at += step
                rest -= tree[at]
            step >>= 1
        ids[i] = at
