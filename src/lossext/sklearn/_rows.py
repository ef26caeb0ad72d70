"""Examples, as a whole, in blocks of rows or columns, or in mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches

from lossext._validate import Array

BLOCK = 1 << 18  # scores at a time: they and the targets made for them stay in the cache
SPARSE = 64  # columns for each entry, from which on sorting the entries is cheaper than looking at all columns
FEW_NUMBERS = 1 << 20  # of float32 features, scores and coefficients each


def held_columns(X: Any) -> Array:
    """The columns of CSR rows that have entries, ascending."""
    if X.shape[1] > SPARSE * X.nnz:
        return np.unique(X.indices)
    held = np.zeros(X.shape[1], bool)
    held[X.indices] = True
    return np.flatnonzero(held)


def without_empty_columns(X: Any) -> tuple[Array, Any]:
    """Those columns, and the rows over these alone."""
    columns = held_columns(X)
    place = np.empty(X.shape[1], np.int32)  # pages that are not touched cost nothing
    place[columns] = np.arange(len(columns))
    return columns, sparse.csr_array((X.data, place[X.indices], X.indptr), shape=(X.shape[0], len(columns)))


class Rows(NamedTuple):
    """Examples: features, targets and weights, of which each may be a slice of the whole."""

    X: Any  # ndarray or CSR
    target: Any  # (N,) class ids or numbers, or (N, C): ndarray or CSR
    weight: Array | None  # (N,) or (N, C)

    @property
    def elsewhere(self) -> bool:
        """Whether the rows lie in other processes, and make their own `Features`."""
        return False

    def total_weight(self) -> float:
        """What the sum of the losses is divided by."""
        if self.weight is None:
            return float(self.X.shape[0])
        n_columns = 1 if self.weight.ndim == 1 else self.weight.shape[1]
        return float(self.weight.sum(dtype=np.float64)) / n_columns

    def counts(self, n_columns: int) -> tuple[Array, Array]:
        """Weight of the positive rows of each column (of the second class, if there is one), and of all, in float64."""
        target, weight = self.target, self.weight
        weight = np.ones(self.X.shape[0]) if weight is None else weight.astype(np.float64, copy=False)
        if target.ndim == 1:
            shift = int(n_columns == 1)
            if weight.ndim == 1:
                return np.bincount(target, weights=weight, minlength=n_columns + shift)[shift:], weight.sum()
            columns = [weight[target == c + shift, c].sum() for c in range(n_columns)]
            return np.array(columns, np.float64), weight.sum(axis=0)
        if weight.ndim == 1:
            return target.T @ weight, weight.sum()
        product = target.multiply(weight) if sparse.issparse(target) else target * weight
        return np.asarray(product.sum(axis=0)), weight.sum(axis=0)

    def precise(self, n_columns: int) -> Rows:
        """The same in float64, where that is as good as free: a minimum needs more digits than float32 has."""
        n_rows, n_features = self.X.shape
        numbers = self.X.nnz if sparse.issparse(self.X) else self.X.size
        if self.X.dtype != np.float32 or max(numbers, n_columns * max(n_rows, n_features)) > FEW_NUMBERS:
            return self
        wide = (part.astype(np.float64) if part is not None and part.dtype == np.float32 else part for part in self)
        return Rows(*wide)

    def take(self, rows: Any) -> Rows:
        """Some rows, copied."""
        return Rows(self.X[rows], self.target[rows], None if self.weight is None else self.weight[rows])

    def slice(self, start: int, stop: int) -> Rows:
        """Consecutive rows, not copied."""
        return Rows(*(part if part is None else rows_of(part, start, stop) for part in self))

    def blocks(self, n_columns: int) -> Iterator[Rows]:
        """All rows, a few at a time."""
        n_rows, step = self.X.shape[0], max(1, BLOCK // n_columns)
        if n_rows <= step:
            yield self
            return
        for start in range(0, n_rows, step):
            yield self.slice(start, min(start + step, n_rows))

    def batches(self, size: int, random: np.random.RandomState) -> Iterator[Rows]:
        """All rows in mini-batches, shuffled if there are several."""
        n_rows = self.X.shape[0]
        if n_rows <= size:
            yield self
            return
        order = random.permutation(n_rows)
        for batch in gen_batches(n_rows, size):
            yield self.take(order[batch])


def rows_of(array: Any, start: int, stop: int) -> Any:
    """Consecutive rows of an array or CSR matrix, as a view."""
    if not sparse.issparse(array):
        return array[start:stop]
    low, high = array.indptr[start], array.indptr[stop]
    parts = array.data[low:high], array.indices[low:high], array.indptr[start : stop + 1] - low
    return type(array)(parts, shape=(stop - start, array.shape[1]), copy=False)
