"""A call of the losses at sampled classes, from its arguments to its results.

What is rare is left to Python: `rare` is RARE of lossext.losses.layer._sampled.
"""


cdef class Labels:
    """The rows' own classes."""

    cdef readonly object ids      # int64, row after row
    cdef readonly object start    # (N + 1,): row i has ids[start[i] : start[i + 1]]; None: the same number in each
    cdef readonly object share    # float64, of each row's target; adds up to 1; None: equal
    cdef readonly object place    # of each id in the caller's array, None: as they come
    cdef readonly tuple shape     # of what has a number for each label: ids as samplers get them, expected counts
    cdef readonly object known    # (N,): rows that have a label; None: all

    def __init__(self, ids, start, share, place, tuple shape, known):
        self.ids, self.start, self.share, self.place, self.shape, self.known = ids, start, share, place, shape, known


cdef Labels equal_labels(convert, labels, Py_ssize_t n_rows, Py_ssize_t num_true):
    """As many labels in each row; which classes they are is checked later."""
    cdef tuple shape
    ids = labels
    if type(ids) is not NDARRAY or not is_ready(ids, LONGS):
        ids = convert.class_ids("labels", labels)[0]
    shape = ids.shape
    if shape != (n_rows, num_true) and not (num_true == 1 and shape == (n_rows,)):
        also = f" or ({n_rows},)" if num_true == 1 else ""
        raise ValueError(f"labels has shape {np.shape(labels)}; allowed is ({n_rows}, {num_true}){also}")
    if ids.dtype is not LONGS:
        ids = convert.native(ids, LONGS)
    return Labels(ids if len(shape) == 1 else ids.ravel(), None, None, None, (n_rows, num_true), None)


def evaluate_sampled(loss, rare, tuple arrays, tuple options, bint want_grad):
    """Value and gradients, None if these are not wanted."""
    cdef dict parameters = loss._parameters
    cdef Layer layer
    cdef Labels labels
    cdef Weighting weighting
    cdef LayerIds ids
    cdef Py_ssize_t n_rows
    weights, biases, given, inputs = arrays
    sampled_values, sample_weight, grad_output, label_weight, excluded, n_threads = options
    convert = rare.validate
    n_classes, num_true = parameters["num_classes"], parameters["num_true"]
    layer = checked_layer(convert, weights, biases, inputs, n_classes)
    n_rows = layer.rows
    if num_true is None or type(given) is not NDARRAY and rare.is_csr(given):
        labels = rare.ragged_labels(given, n_rows, n_classes)
    else:
        labels = equal_labels(convert, given, n_rows, num_true)
    weighting = Weighting(convert, parameters["reduction"], sample_weight, grad_output, n_rows)
    exclude = out = out_start = out_places = None
    if excluded is not None:
        exclude = rare.ragged_ids("exclude", excluded, n_rows, n_classes)
    if labels.share is not None or label_weight is not None:
        labels = rare.with_shares(labels, label_weight, n_rows)
    counts_shape = labels.shape    # of true_expected_count
    if labels.known is not None or sample_weight is not None:
        weighting.leave_out(labels.known)
        if weighting.rows is not None:
            labels = rare.labels_of(labels, weighting.rows)
            layer = layer.take(weighting.rows)
            if exclude is not None:
                exclude = exclude.take(weighting.rows)
    if exclude is not None:
        out, out_start, out_places = exclude.ids, exclude.start, exclude.place
    try:
        ids = LayerIds(layer.rows, n_classes)
        ids.take_labels(labels.ids, labels.start)
        if exclude is not None:
            loss._require_something_to_draw(labels, exclude, weighting.rows)
        log_counts = loss._take_classes(ids, labels, counts_shape, sampled_values)
        ids.group_sampled(parameters["remove_accidental_hits"], out, out_start)
    except BadIdError as error:
        values = parameters["sampled_values"] if sampled_values is None else sampled_values
        raise rare.explain(error, {
            "labels": (given, labels.place),
            "exclude": (excluded, out_places),
            "sampled_candidates": (None if values is None else values[0], None),
        }, n_classes) from None
    return run_sampled(loss._kind, rare, layer, labels, ids, log_counts, weighting, n_threads, want_grad)


cdef run_sampled(int kind, rare, Layer layer, Labels labels, LayerIds ids, tuple log_counts, Weighting weighting,
                 n_threads, bint want_grad):
    """Value and gradients; log counts (of labels, of classes) of None cancel."""
    cdef LayerJob job
    cdef Py_ssize_t n_groups
    w, b, touched = layer.weights, layer.biases, None
    if not (is_ready(w, layer.real) and is_ready(b, layer.real)):
        touched = ids.touched_rows()    # the kernels get a copy, of these alone
        w = rare.validate.native(w[touched], layer.real)
        b = rare.validate.native(b[touched], layer.real)
        ids.renumber()
    job = new_job(kind, layer, w, b, ids)
    job.label_log_counts, job.class_log_counts = log_counts
    job.label_share = labels.share
    weighting.prepare(job, want_grad)
    threads = layer_threads(rare.threads, n_threads, 3, layer.rows, ids.n_classes, layer.dim)
    if not want_grad:
        if layer.rows:
            job.run(threads)
        return weighting.value(job, layer.dtype), None
    n_groups = ids.n_groups if layer.rows else 0
    job.grad_inputs, job.grad_biases = empty((layer.rows, layer.dim), layer.real), empty(n_groups, layer.real)
    job.grad_weights = empty((n_groups, layer.dim), layer.real)
    if layer.rows:
        job.run(threads)
    if touched is None:
        touched = ids.touched_rows()
    if n_groups < ids.n_groups:
        touched = touched[:n_groups].copy()
    touched.setflags(write=False)
    of_weights, of_biases, of_inputs = job.grad_weights, job.grad_biases, job.grad_inputs
    if layer.dtype is not layer.real:
        of_weights, of_biases, of_inputs = [
            as_result(rare.validate, grad, layer.dtype) for grad in (of_weights, of_biases, of_inputs)
        ]
    return weighting.value(job, layer.dtype), rare.gradients(
        rare.row_sparse(touched, of_weights, layer.weights.shape),
        rare.row_sparse(touched, of_biases, layer.biases.shape),
        of_inputs if weighting.rows is None else weighting.all_rows(of_inputs),
    )
