"""What the losses over a linear layer have in common: arguments of a call, and the way to the kernels."""

from __future__ import annotations

import contextvars
import math
from typing import Any, NamedTuple

import numpy as np

from lossext import _threads, _validate
from lossext._accumulate import Accumulates
from lossext._kernels import drivers
from lossext._validate import FLOAT64, INT64, Array, Shape

FLOPS_PER_NS = 100.0  # of one thread of an AVX-512 machine, for the choice of threads


class Layer(NamedTuple):
    """A linear layer, and rows that it is applied to."""

    weights: Array  # (V, D), as the caller gave it
    biases: Array  # (V,), as the caller gave it
    inputs: Array  # (N, D), native
    real: np.dtype[Any]  # of the kernels
    dtype: np.dtype[Any]  # of the results


def checked_layer(weights: Any, biases: Any, inputs: Any, num_classes: int | None = None) -> Layer:
    """The arrays of a call, checked."""
    x, real, dtype = _validate.real_input("inputs", inputs)
    w, b = _validate.weights("weights", weights), _validate.weights("biases", biases)
    if x.ndim != 2:
        raise ValueError(f"inputs has shape {x.shape}; allowed is rank 2, (N, D)")
    if w.ndim != 2 or w.shape[1] != x.shape[1]:
        raise ValueError(f"weights has shape {w.shape}; allowed is (V, {x.shape[1]}), one row per class")
    if num_classes is not None and len(w) != num_classes:
        raise ValueError(f"weights has shape {w.shape}; allowed is ({num_classes}, {x.shape[1]}): num_classes rows")
    if b.shape != w.shape[:1]:
        raise ValueError(f"biases has shape {b.shape}; allowed is {w.shape[:1]}, one per row of weights")
    return Layer(w, b, x, real, dtype)


class RaggedIds(NamedTuple):
    """Class ids, a different number in each row."""

    ids: Array  # int64, row after row
    start: Array  # int64 (N + 1,): row i has ids[start[i] : start[i + 1]]
    weight: Array | None  # float64, one an id
    place: Array  # of each id in the caller's array
    shape: Shape  # of the caller's array; of a CSR matrix, of its indices

    def take(self, rows: Array) -> RaggedIds:
        """Those of some rows."""
        count = np.diff(self.start)[rows]
        start = np.concatenate([[0], np.cumsum(count)])
        chosen = np.repeat(self.start[:-1][rows] - start[:-1], count) + np.arange(start[-1])
        weight = None if self.weight is None else self.weight[chosen]
        return RaggedIds(self.ids[chosen], start, weight, self.place[chosen], self.shape)


def is_csr(value: Any, name: str = "labels") -> bool:
    """Whether it is a compressed matrix, such as SciPy's; TypeError if by columns."""
    if not _validate.is_csr(value):
        return False
    if getattr(value, "format", "csr") != "csr":
        raise TypeError(_validate.not_csr(name, value))
    return True


def ragged_ids(name: str, value: Any, n_rows: int, n_classes: int) -> RaggedIds:
    """A CSR matrix (N, V), or an array (N, M) of ids that is padded with -1."""
    if is_csr(value, name):
        return csr_ids(name, value, n_rows, n_classes)
    array = _validate.native(_validate.class_ids(name, value)[0], INT64)
    if array.ndim == 1 and n_rows:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or len(array) != n_rows:
        raise ValueError(
            f"{name} has shape {np.shape(value)}; allowed is ({n_rows}, M), padded with -1, or a CSR matrix "
            f"({n_rows}, {n_classes})"
        )
    known = array != -1
    if np.count_nonzero(known) == known.size:
        start = np.arange(0, array.size + 1, array.shape[1]) if array.size else np.zeros(n_rows + 1, INT64)
        return RaggedIds(array.ravel(), start, None, np.arange(array.size), np.shape(value))
    place = np.flatnonzero(known)
    start = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(INT64)
    return RaggedIds(array.ravel()[place], start, None, place, np.shape(value))


def csr_ids(name: str, matrix: Any, n_rows: int, n_classes: int) -> RaggedIds:
    """Columns of a CSR matrix, ascending in each row, equal ones added up; explicit zeros are no entries."""
    if tuple(matrix.shape) != (n_rows, n_classes):
        raise ValueError(f"{name} has shape {tuple(matrix.shape)}; allowed is ({n_rows}, {n_classes})")
    data = _validate.weights(f"{name}.data", matrix.data).astype(FLOAT64)
    indices, start = (
        np.array(_validate.class_ids(f"{name}.{part}", getattr(matrix, part))[0], INT64)
        for part in ("indices", "indptr")
    )
    if indices.ndim != 1 or data.shape != indices.shape or start.shape != (n_rows + 1,):
        raise ValueError(
            f"{name} is not a valid CSR matrix: data has shape {data.shape}, indices {indices.shape}, indptr "
            f"{start.shape}"
        )
    if start[0] != 0 or start[-1] != len(indices) or (start[1:] < start[:-1]).any():
        raise ValueError(f"{name}.indptr does not ascend from 0 to the {len(indices)} entries")
    bad = (indices < 0) | (indices >= n_classes)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}.indices[{at}] = {indices[at]} is not in [0, {n_classes})")
    place = np.arange(len(indices))
    row = np.repeat(np.arange(n_rows), np.diff(start))
    ascending = (indices[1:] > indices[:-1]) | (row[1:] > row[:-1])
    if not ascending.all():
        order = np.lexsort((indices, row))
        indices, data, row, place = indices[order], data[order], row[order], place[order]
        first = np.flatnonzero(np.concatenate([[True], (indices[1:] != indices[:-1]) | (row[1:] != row[:-1])]))
        data = np.add.reduceat(data, first) if len(first) else data
        indices, row, place = indices[first], row[first], place[first]
    if (data == 0).any():
        kept = data != 0
        indices, data, row, place = indices[kept], data[kept], row[kept], place[kept]
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))]).astype(INT64)
    return RaggedIds(indices, start, data, place, (len(matrix.indices),))


def explain(error: drivers.BadIdError, arguments: dict[str, Any], n_classes: int) -> ValueError:
    """The error of an id that the kernels found to be none of a class; arguments: (caller's value, places)."""
    name, at, found = error.args
    value, places = arguments[name]
    if places is not None:
        at = int(places[at])
    if is_csr(value):
        return ValueError(f"{name}.indices[{at}] = {found} is not in [0, {n_classes})")
    array = np.asarray(value)
    index = np.unravel_index(at, array.shape)
    return ValueError(f"{_validate.item(name, index)} = {array[index]} is not in [0, {n_classes})")


# where an accumulator wants the sum and the divisor of the mean, before they are rounded
TOTALS: contextvars.ContextVar[list[tuple[float, float]] | None] = contextvars.ContextVar("TOTALS", default=None)


class LayerTotals(Accumulates):
    """Mixin of the losses of a layer: the sum of a call's losses."""

    def _total(self, *arrays: Any, **keywords: Any) -> tuple[np.dtype[Any], float, float]:
        found: list[tuple[float, float]] = []
        token = TOTALS.set(found)
        try:
            dtype = self(*arrays, **keywords).dtype  # type: ignore[operator]
        finally:
            TOTALS.reset(token)
        sums, divisors = zip(*found, strict=True)  # in both directions of a symmetric loss, which is their mean
        return dtype, sum(sums) / len(sums), divisors[0]


class Weighting(NamedTuple):
    """What multiplies each row's loss and gradient, and which rows take part."""

    reduction: str
    row_weight: Array | None
    upstream: Array | None
    scale: float
    divisor: float  # of the mean
    rows: Array | None  # those that take part, None for all; a row without weight does not
    n_rows: int

    @classmethod
    def of(cls, reduction: str, sample_weight: Any, grad_output: Any, n_rows: int) -> Weighting:
        """Checked, for a call whose rows all count in the mean."""
        if sample_weight is None and grad_output is None:
            return cls(reduction, None, None, 1.0, n_rows, None, n_rows)
        row_weight = _validate.sample_weights(sample_weight, n_rows, FLOAT64)
        upstream, scale = _validate.upstream(grad_output, (n_rows,) if reduction == "none" else None, FLOAT64)
        return cls(reduction, row_weight, upstream, scale, n_rows, None, n_rows)

    def among(self, known: Array | None) -> Weighting:
        """With those rows alone that are `known` (None: all) and have a weight; the mean is over the known ones."""
        divisor: float = self.n_rows if known is None else int(known.sum())
        part = known
        if self.row_weight is not None:
            heavy = self.row_weight != 0
            part = heavy if known is None else heavy & known
        if part is None or part.all():
            return self if known is None else self._replace(divisor=divisor)
        rows = np.flatnonzero(part)
        row_weight = None if self.row_weight is None else self.row_weight[rows]
        upstream = None if self.upstream is None else self.upstream[rows]
        return self._replace(divisor=divisor, rows=rows, row_weight=row_weight, upstream=upstream)

    def prepare(self, job: drivers.LayerJob, want_grad: bool, part: float = 1.0) -> None:
        """Tell a job what multiplies the rows' losses and gradients."""
        job.row_weight = self.row_weight
        if self.reduction == "none":
            job.loss = np.empty(job.rows)
        if want_grad:
            job.row_upstream, job.grad_scale = self.upstream, self.grad_scale() * job.scale * part

    def grad_scale(self) -> float:
        """What multiplies the gradients of all rows."""
        if self.reduction != "mean":
            return self.scale
        return self.scale / self.divisor if self.divisor else 0.0

    def value(self, job: drivers.LayerJob, dtype: np.dtype[Any]) -> Any:
        """The rows' losses as the caller wants them."""
        totals = TOTALS.get()
        if totals is not None:
            totals.append((job.total, float(self.divisor)))
        if self.reduction == "none":
            loss = job.loss if self.row_weight is None else job.loss * self.row_weight
            return self.all_rows(as_result(loss, dtype))
        total = job.total
        if self.reduction == "mean":
            total = total / self.divisor if self.divisor else math.nan
        return dtype.type(total)

    def all_rows(self, values: Array) -> Array:
        """`values` of the rows that take part, and 0 of the others."""
        if self.rows is None:
            return values
        result = np.zeros((self.n_rows, *values.shape[1:]), values.dtype)
        result[self.rows] = values
        return result

    def factors(self, scale: float) -> Array:
        """What the gradient of each row that takes part is multiplied by, in float64."""
        factor = np.full(self.n_rows if self.rows is None else len(self.rows), self.grad_scale() * scale)
        for other in (self.upstream, self.row_weight):
            if other is not None:
                factor *= other
        return factor


def as_result(array: Array, dtype: np.dtype[Any]) -> Array:
    """In the type of the results; what is too large for it becomes infinite (without a warning in a quiet function)."""
    return array if array.dtype is dtype else array.astype(dtype, copy=False)


def threads_for(n_threads: int | None, products: int, rows: int, classes: int, dim: int) -> int:
    """For so many products of matrices."""
    return _threads.choose(n_threads, 2 * products * rows * classes * dim / FLOPS_PER_NS)


def new_job(kind: int, layer: Layer, weights: Array, biases: Array, ids: drivers.LayerIds) -> drivers.LayerJob:
    """A job with the operands that every call has."""
    job = drivers.LayerJob()
    job.real_type, job.kind = layer.real is FLOAT64, kind
    job.rows, job.dim = layer.inputs.shape
    job.classes = len(weights)
    job.inputs, job.weights, job.biases, job.ids = layer.inputs, weights, biases, ids
    return job
