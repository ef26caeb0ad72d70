"""What the losses over some classes of a linear layer have in common: the way from a call to the kernels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._validate import FLOAT64, INT64, Array
from lossext.row_sparse import RowSparse

FLOPS_PER_NS = 100.0  # of one thread of an AVX-512 machine, for the choice of threads


class SampledSoftmaxGrad(NamedTuple):
    """Gradients of a loss over a linear layer: those of weights and biases hold the rows that were touched."""

    weights: RowSparse
    biases: RowSparse
    inputs: Array


class Layer(NamedTuple):
    """A linear layer, rows that it is applied to, and their classes."""

    weights: Array  # (V, D), as the caller gave it
    biases: Array  # (V,), as the caller gave it
    labels: Array  # (N, num_true) int64, in range
    inputs: Array  # (N, D), native
    real: np.dtype[Any]  # of the kernels
    dtype: np.dtype[Any]  # of the results


def layer(weights: Any, biases: Any, labels: Any, inputs: Any, num_classes: int | None, num_true: int) -> Layer:
    """The arrays of a call, checked."""
    x, real, dtype = _validate.real_input("inputs", inputs)
    w, b = _validate.weights("weights", weights), _validate.weights("biases", biases)
    if x.ndim != 2:
        raise ValueError(f"inputs has shape {x.shape}; allowed is rank 2, (N, D)")
    if w.ndim != 2 or w.shape[1] != x.shape[1]:
        raise ValueError(f"weights has shape {w.shape}; allowed is (V, {x.shape[1]}), a row a class, as wide as inputs")
    if num_classes is not None and len(w) != num_classes:
        raise ValueError(
            f"weights has shape {w.shape}; allowed is ({num_classes}, {x.shape[1]}), a row each of num_classes"
        )
    if b.shape != w.shape[:1]:
        raise ValueError(f"biases has shape {b.shape}; allowed is {w.shape[:1]}, one a row of weights")
    ids = _validate.ids_in_range("labels", labels, len(w))
    if num_true == 1 and ids.ndim == 1:
        ids = ids.reshape(-1, 1)
    if ids.shape != (len(x), num_true):
        also = f" or ({len(x)},)" if num_true == 1 else ""
        raise ValueError(f"labels has shape {np.shape(labels)}; allowed is ({len(x)}, {num_true}){also}")
    return Layer(w, b, ids, x, real, dtype)


def checked_values(sampled_values: Any) -> tuple[Array, Array, Array] | None:
    """sampled_values as three arrays; what depends on the layer and the labels is checked at the call."""
    if sampled_values is None:
        return None
    if not isinstance(sampled_values, (list, tuple)):
        raise TypeError(f"sampled_values must be a list or tuple, not {type(sampled_values).__name__}")
    if len(sampled_values) != 3:
        raise ValueError(
            f"sampled_values has length {len(sampled_values)}; allowed is 3: sampled_candidates, true_expected_count, "
            "sampled_expected_count"
        )
    names = ("sampled_candidates", "true_expected_count", "sampled_expected_count")
    candidates, true_count, sampled_count = (
        _validate.as_array(f"sampled_values' {name}", value) for name, value in zip(names, sampled_values, strict=True)
    )
    if candidates.ndim != 1:
        raise ValueError(f"sampled_candidates has shape {candidates.shape}; allowed is rank 1, (S,)")
    if sampled_count.shape != candidates.shape:
        raise ValueError(f"sampled_expected_count has shape {sampled_count.shape}; allowed is {candidates.shape}")
    for name, counts in (("true_expected_count", true_count), ("sampled_expected_count", sampled_count)):
        _validate.require_real(name, counts)
        bad = ~((counts > 0) & (counts < math.inf))
        if bad.any():
            at = np.unravel_index(int(np.argmax(bad)), counts.shape)
            raise ValueError(f"{_validate.item(name, at)} = {counts[at]} is not finite and positive")
    _validate.class_ids("sampled_candidates", candidates)
    return candidates, true_count, sampled_count


class Grouped(NamedTuple):
    """The rows of a layer that a call touches, and who touches them; see drivers.group_ids."""

    rows: Array
    order: Array
    start: Array
    hit_first: Array
    hit_last: Array


def group(labels: Array, ids: Array) -> Grouped:
    keys = np.concatenate([labels.ravel(), ids])
    order, start, unique = np.empty(len(keys), INT64), np.empty(len(keys) + 1, INT64), np.empty(len(keys), INT64)
    hit_first, hit_last = np.empty(labels.size, INT64), np.empty(labels.size, INT64)
    n_groups = drivers.group_ids(keys, labels.size, order, start, unique, hit_first, hit_last)
    return Grouped(unique[:n_groups], order, start[: n_groups + 1], hit_first, hit_last)


def evaluate(
    kind: int,
    reduction: str,
    layer: Layer,
    sampled: Array,
    log_true: Array | None,
    log_sampled: Array | None,
    remove_accidental_hits: bool,
    want_grad: bool,
    sample_weight: Any,
    grad_output: Any,
    n_threads: int | None,
) -> tuple[Any, SampledSoftmaxGrad | None]:
    """Value and gradients of a loss at the sampled classes; log counts of None cancel."""
    weights, biases, labels, x, real, dtype = layer
    (n_rows, dim), num_true, n_sampled = x.shape, labels.shape[1], len(sampled)
    row_weight = _validate.sample_weights(sample_weight, n_rows, FLOAT64)
    upstream, grad_scale = _validate.upstream(grad_output, (n_rows,) if reduction == "none" else None, FLOAT64)
    threads = _threads.choose(n_threads, 6 * n_rows * n_sampled * dim / FLOPS_PER_NS)

    groups = group(labels, sampled)
    true_bias = np.take(biases, labels).astype(FLOAT64)
    bias = np.take(biases, sampled).astype(FLOAT64)
    if log_true is not None and log_sampled is not None:
        true_bias -= log_true
        bias -= log_sampled
    label_rows, ids = labels, sampled
    if weights.dtype != real or not _validate.ready(weights):  # the kernels get a copy, of the touched rows alone
        place = np.empty(len(groups.order), INT64)
        place[groups.order] = np.repeat(np.arange(len(groups.rows)), np.diff(groups.start))
        label_rows, ids = place[: labels.size], place[labels.size :]
        weights = _validate.native(weights[groups.rows], real)

    row_factor = None
    if want_grad:
        row_factor = np.full(n_rows, grad_scale / max(n_rows, 1) if reduction == "mean" else grad_scale)
        for factor in (upstream, row_weight):
            if factor is not None:
                row_factor *= factor
    loss = np.empty(n_rows)
    shape = (len(groups.rows) if n_rows else 0, dim)
    merged, merged_bias = np.empty(shape, real), np.empty(shape[0], real)
    grad_inputs = np.empty((n_rows, dim), real)
    if n_rows:
        drivers.run_sampled(
            real is FLOAT64, kind, n_rows, dim, n_sampled, num_true, 1.0, x, weights, ids, label_rows,
            bias.astype(real), true_bias.astype(real), groups.order,
            groups.hit_first if remove_accidental_hits else None, groups.hit_last,
            None if row_factor is None else row_factor.astype(real), loss, grad_inputs,
            np.empty((n_sampled, dim) if want_grad else 0, real), np.empty(n_sampled, real), shape[0],
            groups.order, groups.start, None, merged, merged_bias, threads,
        )  # fmt: skip
    value = reduced(loss if row_weight is None else loss * row_weight, reduction, dtype)
    if not want_grad:
        return value, None
    touched = groups.rows[: shape[0]].copy()
    with np.errstate(over="ignore"):
        return value, SampledSoftmaxGrad(
            RowSparse(touched, merged.astype(dtype, copy=False), layer.weights.shape),
            RowSparse(touched, merged_bias.astype(dtype, copy=False), layer.biases.shape),
            grad_inputs.astype(dtype, copy=False),
        )


def reduced(loss: Array, reduction: str, dtype: np.dtype[Any]) -> Any:
    """The rows' losses as the caller wants them."""
    with np.errstate(over="ignore"):
        if reduction == "none":
            return loss.astype(dtype, copy=False)
        total = loss.sum()
        return dtype.type(total if reduction == "sum" else total / len(loss) if len(loss) else math.nan)
