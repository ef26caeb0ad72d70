"""The one driver of the losses over a linear layer.

A call goes in waves: so many blocks of rows by so many tiles of classes that their logits stay in the caches.  If all
classes fit into one wave, the logits are kept for the gradients.  If not, a second pass over the classes computes them
anew.
"""

cdef enum:
    KEEP_BYTES = 13 << 20      # logits of a block of rows by all classes: beyond, computing anew beats keeping
    PACKED_BYTES = 64 << 20    # of the weights that are packed meanwhile
    INPUT_BYTES = 16 << 20     # of a wave's inputs that are packed, in each of two forms
    WAVE_BYTES = 4 << 20       # logits of a wave, about, where there is a choice: some of a last-level cache
    WAVE_BLOCKS = 16           # of rows, where not all classes fit
    UNITS = 32                 # of products, at least, before panels are taken together,
    MOST_PANELS = 4            # so many of them;
    DIRECT_PANELS = 16         # of rows in place, which are pages apart, more
    FEW_ROWS = 4               # whose logits need no packing from a depth of two vectors on
    FEW = 16                   # rows or classes: from eight vectors on;
    FEW_BYTES = 1 << 20        # of what they meet that is packed for the gradients at a time


cdef struct layer_plan:
    const lx_layer_steps *steps
    int mode, n_threads
    bint with_grad, resident
    Py_ssize_t item, slice, all_blocks, all_tiles, wave_blocks, wave_tiles, wave_rows, tile_bytes
    void *class_bias


cdef class LayerJob:
    """Operands of a call, filled by name; arrays are C-contiguous, of the kernels' type, or None for absent.

    The gradients, each row's times grad_scale row_weight row_upstream, are written if there is a place for them.
    `total` is then the sum of the losses times row_weight.
    """

    cdef public int real_type  # whether float64
    cdef public int kind       # SOFTMAX, SIGMOID, RAW: the largest logits
    cdef public Py_ssize_t rows, dim, classes
    cdef public double scale
    cdef public object inputs, weights          # (rows, dim), (any, dim)
    cdef public object biases                   # as many as weights; without sampled classes, of the classes
    cdef public LayerIds ids
    cdef public object label_log_counts, class_log_counts  # float64: what biases are lessened by
    cdef public object label_share, label_rest  # float64, one per label; default: 1 / the row's number, the rest
    cdef public object row_weight, row_upstream  # float64 (rows,)
    cdef public double grad_scale
    cdef public object smoothing_row            # (dim,)
    cdef public double smoothing_mass, smoothing_bias
    cdef public object loss, log_normalizer     # float64 (rows,)
    cdef readonly double total
    cdef public object grad_inputs, grad_weights, grad_biases  # the latter of the touched rows, or of all
    cdef public Py_ssize_t top_count
    cdef public object top_values, top_ids      # (rows, top_count)

    def __cinit__(self):
        self.scale = self.grad_scale = 1

    def run(self, int n_threads):
        """Compute."""
        cdef held_buffers held
        cdef lx_layer layer
        cdef layer_plan plan
        cdef char *memory = NULL
        held.count = 0
        memset(&layer, 0, sizeof(layer))
        try:
            self.hold_operands(&held, &layer)
            plan.steps = lx_layer_kernels(self.real_type)
            plan.item, plan.n_threads = 8 if self.real_type else 4, n_threads
            plan.with_grad = self.grad_inputs is not None
            plan.mode, plan.class_bias = self.kind, NULL
            plan_waves(&plan, &layer)
            self.allot(&plan, &layer, &memory)
            if self.real_type:
                fill_work(self, &held, &layer, <double *> plan.class_bias)
            else:
                fill_work(self, &held, &layer, <float *> plan.class_bias)
            run_waves(&plan, &layer, &held)
            if self.kind != LX_RAW:
                self.add_up(&held, &layer)
        finally:
            free(memory)
            release(&held)

    cdef int hold_operands(self, held_buffers *held, lx_layer *layer) except -1:
        """The operands, each as long as its place in the job asks for."""
        cdef Py_ssize_t item = 8 if self.real_type else 4, cells = times(self.rows, self.dim)
        cdef LayerIds ids = self.ids
        if ids is None or ids.rows != self.rows or ids.label_start == NULL:
            raise ValueError("ids are not those of the rows")
        cdef Py_ssize_t n_weights = ids.vocabulary, width = times(self.dim, item)
        cdef bint sampled = ids.class_row != NULL, with_grad = self.grad_inputs is not None
        if self.classes != (ids.n_classes if sampled else n_weights):
            raise ValueError(f"{self.classes} classes are not those of the ids")
        layer.rows, layer.dim, layer.classes, layer.scale = self.rows, self.dim, self.classes, self.scale
        layer.inputs = sized(held, self.inputs, "inputs", times(cells, item))
        layer.weights = sized(held, self.weights, "weights", times(n_weights, width))
        layer.bias = sized(held, self.biases, "biases", times(n_weights, item))
        layer.loss = <double *> sized(held, self.loss, "loss", times(self.rows, 8), True)
        layer.log_normalizer = <double *> sized(held, self.log_normalizer, "log_normalizer", times(self.rows, 8), True)
        layer.smoothing.row = sized(held, self.smoothing_row, "smoothing_row", width)
        layer.smoothing.mass, layer.smoothing.bias = self.smoothing_mass, self.smoothing_bias
        layer.class_row = ids.class_row
        layer.labels.start, layer.labels.row = ids.label_start, ids.label_row
        layer.hits.start, layer.hits.key = ids.hit_start, ids.hit_key
        layer.hits.order, layer.hits.first = ids.hit_order, ids.hit_first
        layer.groups.count = ids.n_groups if with_grad else 0
        layer.groups.row, layer.groups.label = ids.group_row, ids.group_label
        layer.groups.label_first, layer.groups.class_ = ids.label_first, ids.group_class
        layer.groups.class_first = ids.class_first
        if with_grad:
            n_weights = ids.n_groups if sampled else n_weights
            layer.grad_inputs = sized(held, self.grad_inputs, "grad_inputs", times(cells, item), True)
            layer.groups.weights = sized(held, self.grad_weights, "grad_weights", times(n_weights, width), True)
            layer.groups.biases = sized(held, self.grad_biases, "grad_biases", times(n_weights, item), True)
        if self.kind == LX_RAW:
            cells = times(self.rows, self.top_count)
            layer.top.count = self.top_count
            layer.top.values = sized(held, self.top_values, "values", times(cells, item), True)
            layer.top.ids = <int64_t *> sized(held, self.top_ids, "ids", times(cells, 8), True)
        return 0

    cdef int allot(self, layer_plan *plan, lx_layer *layer, char **memory) except -1:
        """The work's memory: counted, then allotted."""
        cdef workspace space
        cdef LayerIds ids = self.ids
        cdef Py_ssize_t item = plan.item, n_labels = ids.n_labels, all_rows = plan.all_blocks * LX_ROW_BLOCK
        cdef Py_ssize_t n_sums = plan.wave_tiles * plan.wave_blocks * LX_ROW_BLOCK
        cdef Py_ssize_t n_sampled = ids.n_classes if ids.class_row != NULL else 0
        times(times(n_sampled, layer.dim), item)
        space.memory, space.used = NULL, 0
        for _ in range(2):
            if not layer.unpacked or plan.with_grad and not layer.direct:
                layer.packed_weights = take(&space, times(plan.wave_tiles * layer.tile, layer.stride * item))
            if plan.with_grad and not layer.direct:
                layer.packed_inputs = take(&space, plan.wave_rows * layer.stride * item)
            if not layer.unpacked:
                layer.columns = take(&space, plan.wave_rows * plan.slice * item)
            layer.logits = take(&space, plan.wave_tiles * plan.wave_blocks * plan.tile_bytes)
            layer.base, layer.sum = take(&space, n_sums * item), take(&space, n_sums * item)
            layer.row_base, layer.row_factor = take(&space, all_rows * item), take(&space, all_rows * item)
            layer.row_label, layer.row_rescale = take(&space, all_rows * item), take(&space, all_rows * item)
            layer.row_sum = <double *> take(&space, all_rows * sizeof(double))
            if self.loss is None:
                layer.loss = <double *> take(&space, all_rows * sizeof(double))
            if plan.with_grad:
                layer.upstream = take(&space, all_rows * item)
            layer.labels.bias, layer.labels.logit = take(&space, n_labels * item), take(&space, n_labels * item)
            layer.labels.share, layer.labels.rest = take(&space, n_labels * item), take(&space, n_labels * item)
            layer.labels.grad = take(&space, n_labels * item)
            if n_sampled:
                plan.class_bias = take(&space, n_sampled * item)
                layer.grad_classes = take(&space, n_sampled * layer.dim * item if plan.with_grad else 0)
                layer.grad_bias = take(&space, n_sampled * item)
            if memory[0] == NULL:
                space.memory = aligned_memory(space.used, memory)
                space.used = 0
        if ids.class_row == NULL:
            layer.grad_classes, layer.grad_bias = layer.groups.weights, layer.groups.biases
        return 0

    cdef int add_up(self, held_buffers *held, const lx_layer *layer) except -1:
        """The sum of the losses, with what its roundings took away (Neumaier's sum): within 1 ulp and 2^-104 of the
        sum of their sizes."""
        cdef const double *weight = <const double *> sized(held, self.row_weight, "row weights", layer.rows * 8)
        cdef double total = 0, lost = 0, one, more
        cdef Py_ssize_t i
        for i in range(layer.rows):
            one = layer.loss[i] * (weight[i] if weight != NULL else 1)
            more = total + one
            lost += (total - more) + one if abs(total) >= abs(one) else (one - more) + total
            total = more
        self.total = total + lost if lost == lost and abs(lost) < 1e308 else total
        return 0


ctypedef fused real_number:
    float
    double


cdef int fill_work(LayerJob job, held_buffers *held, lx_layer *layer, real_number *class_bias) except -1:
    """What rows' gradients are multiplied by; biases of labels and sampled classes, less the logarithms of their
    expected counts; the labels' shares."""
    cdef LayerIds ids = job.ids
    cdef Py_ssize_t i, j, first, end
    cdef double y
    cdef const double *weight = <const double *> sized(held, job.row_weight, "row weights", ids.rows * 8)
    cdef const double *row_upstream = <const double *> sized(held, job.row_upstream, "grad_output", ids.rows * 8)
    cdef real_number *upstream = <real_number *> layer.upstream
    cdef const real_number *biases = <const real_number *> layer.bias
    cdef const double *log_count = <const double *> sized(
        held, job.label_log_counts, "true_expected_count", ids.n_labels * 8)
    cdef const double *class_log_count = <const double *> sized(
        held, job.class_log_counts, "sampled_expected_count", ids.n_classes * 8)
    cdef const double *share = <const double *> sized(held, job.label_share, "label shares", ids.n_labels * 8)
    cdef const double *rest = <const double *> sized(held, job.label_rest, "label rests", ids.n_labels * 8)
    cdef real_number *bias = <real_number *> layer.labels.bias
    cdef real_number *shares = <real_number *> layer.labels.share
    cdef real_number *rests = <real_number *> layer.labels.rest
    if upstream != NULL:
        for i in range(ids.rows):
            y = job.grad_scale
            if row_upstream != NULL:
                y *= row_upstream[i]
            if weight != NULL:
                y *= weight[i]
            upstream[i] = <real_number> y
    if ids.label_row == NULL:
        return 0
    for i in range(ids.rows):
        first, end = ids.label_start[i], ids.label_start[i + 1]
        for j in range(first, end):
            y = share[j] if share != NULL else 1 / <double> (end - first)
            bias[j] = <real_number> (biases[ids.label_row[j]] - (log_count[j] if log_count != NULL else 0))
            shares[j] = <real_number> y
            rests[j] = <real_number> (rest[j] if rest != NULL else 1 - y)
    if ids.class_row == NULL:
        return 0
    for j in range(ids.n_classes):
        class_bias[j] = <real_number> (biases[ids.class_row[j]]
                                       - (class_log_count[j] if class_log_count != NULL else 0))
    layer.bias = class_bias
    return 0


cdef int plan_waves(layer_plan *plan, lx_layer *layer) except -1:
    """Sizes of tiles, slices and waves."""
    cdef Py_ssize_t item = plan.item, panel = plan.steps.panel, lanes = plan.steps.lanes, few
    few = min(layer.rows, layer.classes)
    layer.unpacked = ((layer.rows <= FEW_ROWS and layer.dim >= 2 * lanes)
                      or (few <= FEW and layer.dim >= 8 * lanes))
    plan.slice = min(layer.dim, <Py_ssize_t> LX_SLICE)
    layer.one_tile = layer.unpacked and layer.class_row == NULL and layer.classes <= LX_CLASS_TILE
    if layer.unpacked:
        few = FEW_BYTES // (max(layer.rows, layer.classes) * item)    # columns
        plan.slice = min(plan.slice, max(<Py_ssize_t> 256, few // 64 * 64))
    layer.stride = max(<Py_ssize_t> 1, ceil_div(plan.slice, panel)) * panel
    plan.all_blocks = ceil_div(layer.rows, LX_ROW_BLOCK)
    plan.all_tiles = max(<Py_ssize_t> 1, ceil_div(layer.classes, LX_CLASS_TILE))
    # tiles of even size, of whole heights of the micro-kernel
    layer.tile = max(<Py_ssize_t> 12, ceil_div(ceil_div(layer.classes, plan.all_tiles), 12) * 12)
    plan.all_tiles = ceil_div(layer.classes, layer.tile)
    plan.tile_bytes = layer.tile * LX_ROW_BLOCK * item
    plan.resident = ((plan.with_grad or plan.mode == LX_SOFTMAX)
                     and plan.all_tiles <= KEEP_BYTES // plan.tile_bytes
                     and plan.all_tiles <= PACKED_BYTES // (layer.tile * layer.stride * item))
    # labels' slopes are to be known when products begin
    layer.direct = (layer.unpacked and plan.with_grad and layer.class_row == NULL and layer.classes > 0
                    and (plan.resident or plan.mode == LX_SOFTMAX))
    if layer.direct:
        plan.slice, layer.stride = layer.dim, 0
    if plan.resident:
        plan.wave_tiles = plan.all_tiles
        plan.wave_blocks = WAVE_BYTES // (max(<Py_ssize_t> 1, plan.all_tiles) * plan.tile_bytes)
    else:
        plan.wave_blocks = WAVE_BLOCKS
    if not layer.direct:
        plan.wave_blocks = min(plan.wave_blocks, INPUT_BYTES // (LX_ROW_BLOCK * layer.stride * item))
    plan.wave_blocks = min(plan.all_blocks, max(<Py_ssize_t> 2, plan.wave_blocks))
    if not plan.resident:
        plan.wave_tiles = WAVE_BYTES // (plan.wave_blocks * plan.tile_bytes)
        if not layer.direct:
            plan.wave_tiles = min(plan.wave_tiles, PACKED_BYTES // 2 // (layer.tile * layer.stride * item))
        plan.wave_tiles = min(plan.all_tiles, max(<Py_ssize_t> 2, plan.wave_tiles))
    plan.wave_rows = min(plan.wave_blocks * LX_ROW_BLOCK, ceil_div(layer.rows, panel) * panel)
    return 0


cdef void set_slice(lx_wave *wave, const layer_plan *plan, Py_ssize_t first) noexcept nogil:
    wave.first_column, wave.columns = first, min(plan.slice, wave.layer.dim - first)
    wave.panels = max(<Py_ssize_t> 1, ceil_div(wave.columns, plan.steps.panel))


cdef int run_waves(const layer_plan *plan, const lx_layer *layer, const held_buffers *held) except -1:
    cdef schedule planned
    cdef packed_parts packed
    cdef lx_wave wave
    cdef const lx_layer_steps *steps = plan.steps
    cdef Py_ssize_t first_block, first_tile
    cdef int passes = 1 if plan.resident or plan.mode != LX_SOFTMAX or not plan.with_grad else 2, number
    memset(&wave, 0, sizeof(wave))
    wave.layer = layer
    planned.count, planned.n_threads, planned.held = 0, plan.n_threads, held
    add_phase(&planned, steps.label_logits, &wave, plan.all_blocks)
    for number in range(passes):
        wave.mode = plan.mode if number == 0 else LX_NORMALIZED_SOFTMAX
        wave.keep = plan.with_grad and (passes == 1 or number == 1)
        packed.weights = packed.columns = packed.rows = packed.columns_row = packed.rows_row = -1
        for first_tile in range(0, max(<Py_ssize_t> 1, plan.all_tiles), max(<Py_ssize_t> 1, plan.wave_tiles)):
            wave.first_class = first_tile * layer.tile
            wave.tiles = min(plan.wave_tiles, plan.all_tiles - first_tile)
            wave.first_of_rows = first_tile == 0
            wave.last_of_rows = first_tile + wave.tiles == plan.all_tiles
            packed.weights = -1
            for first_block in range(0, plan.all_blocks, plan.wave_blocks):
                wave.first_row = first_block * LX_ROW_BLOCK
                wave.blocks = min(plan.wave_blocks, plan.all_blocks - first_block)
                wave.first_of_classes = first_block == 0
                add_wave(&planned, plan, &wave, &packed)
    if plan.with_grad and (not layer.direct or layer.smoothing.row != NULL):
        add_phase(&planned, steps.finish_inputs, &wave, plan.all_blocks)
    if plan.with_grad and not layer.direct:
        add_phase(&planned, steps.merge, &wave, ceil_div(layer.groups.count, LX_MERGE_UNIT))
    return run_schedule(&planned)


cdef struct packed_parts:
    Py_ssize_t weights, columns, columns_row, rows, rows_row  # which slices, of which wave of rows


cdef int add_wave(schedule *planned, const layer_plan *plan, lx_wave *wave, packed_parts *packed) except -1:
    cdef const lx_layer_steps *steps = plan.steps
    cdef Py_ssize_t most, first, last = max(<Py_ssize_t> 0, wave.layer.dim - 1) // max(<Py_ssize_t> 1, plan.slice)
    if wave.layer.unpacked:
        set_slice(wave, plan, 0)
        add_phase(planned, steps.logits, wave, wave.tiles * wave.blocks)
    else:
        for number in range(last + 1):
            first = number * plan.slice
            set_slice(wave, plan, first)
            if packed.weights != first:
                add_phase(planned, steps.pack_weights, wave, wave.tiles)
                packed.weights = first
            if packed.columns != first or packed.columns_row != wave.first_row:
                add_phase(planned, steps.pack_columns, wave, wave.blocks)
                packed.columns, packed.columns_row = first, wave.first_row
            add_phase(planned, steps.logits, wave, wave.tiles * wave.blocks)
    if wave.mode == LX_RAW:
        add_phase(planned, steps.keep_largest, wave, wave.blocks)
    elif wave.mode != LX_NORMALIZED_SOFTMAX:
        add_phase(planned, steps.take_tiles, wave, wave.blocks)
    if not wave.keep:
        return 0
    for number in range(last, -1, -1):    # the slice that is packed already comes first
        first = number * plan.slice
        set_slice(wave, plan, first)
        if packed.weights != first and not wave.layer.direct:
            add_phase(planned, steps.pack_weights, wave, wave.tiles)
            packed.weights = first
        if not wave.layer.direct and (packed.rows != first or packed.rows_row != wave.first_row):
            add_phase(planned, steps.pack_rows, wave, wave.blocks)
            packed.rows, packed.rows_row = first, wave.first_row
        most = DIRECT_PANELS if wave.layer.direct else MOST_PANELS
        wave.group = max(<Py_ssize_t> 1, min(most, (wave.tiles + wave.blocks) * wave.panels // UNITS))
        add_phase(planned, steps.products, wave, (wave.tiles + wave.blocks) * ceil_div(wave.panels, wave.group))
    return 0
