"""What the losses over a linear layer have in common: arguments of a call, and the way to the kernels."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from lossext import _threads, _validate
from lossext._accumulate import Accumulates
from lossext._kernels import drivers
from lossext._validate import FLOAT64, INT64, Array, Shape

checked_layer = functools.partial(drivers.checked_layer, _validate)
as_result = functools.partial(drivers.as_result, _validate)
weighting_of = functools.partial(drivers.Weighting, _validate)
threads_for = functools.partial(drivers.layer_threads, _threads)


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


@_validate.quiet
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
    if drivers.is_canonical(indices, start, data, n_classes):
        return RaggedIds(indices, start, data, np.arange(len(indices)), indices.shape)
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


class LayerTotals(Accumulates):
    """Mixin of the losses of a layer: the sum of a call's losses."""

    def _total(self, *arrays: Any, **keywords: Any) -> tuple[np.dtype[Any], float, float]:
        found: list[tuple[float, float]] = []
        token = drivers.TOTALS.set(found)
        try:
            dtype = self(*arrays, **keywords).dtype  # type: ignore[operator]
        finally:
            drivers.TOTALS.reset(token)
        sums, divisors = zip(*found, strict=True)  # in both directions of a symmetric loss, which is their mean
        return dtype, sum(sums) / len(sums), divisors[0]
