"""Gradients that touch few rows of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._validate import FLOAT32, FLOAT64, INT64, Array, Shape

BYTES_PER_NS = 5.0  # of rows here and there, by one thread, for the choice of threads


class RowSparse:
    """An array that is zero but for some rows.

    Parameters
    ----------
    indices : array_like of integers, (R,)
        The rows. Repeated ones are merged, their values added in the order in which they come.
    values : array_like of real numbers, (R, ...)
        What is in them.
    shape : tuple of ints
        Of the whole array, (V, ...).

    Attributes
    ----------
    indices : ndarray of int64
        Unique and ascending.
    values : ndarray
    shape : tuple

    Raises
    ------
    TypeError
        indices are not integers, values not real.
    ValueError
        An index lies outside [0, V); values do not have the shape that indices and shape ask for.

    Examples
    --------
    >>> import lossext as lx
    >>> g = lx.RowSparse([3, 1, 3], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (5, 2))
    >>> print(g.indices, g.values.tolist())
    [1 3] [[3.0, 4.0], [6.0, 8.0]]
    """

    __slots__ = ("indices", "shape", "values")

    def __init__(self, indices: npt.ArrayLike, values: npt.ArrayLike, shape: Shape) -> None:
        self.shape = tuple(_validate.integer("shape", n) for n in shape)
        rows = _validate.ids_in_range("indices", indices, self.shape[0] if self.shape else 0)
        array = _validate.weights("values", values)
        if rows.ndim != 1 or array.shape != (len(rows), *self.shape[1:]):
            raise ValueError(
                f"indices has shape {rows.shape} and values {array.shape}; "
                f"allowed is (R,) and {('R', *self.shape[1:])} for an array of shape {self.shape}"
            )
        if (rows[1:] <= rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows, first = np.unique(rows[order], return_index=True)
            array = np.add.reduceat(array[order], first, axis=0)
        self.indices, self.values = rows, array

    def __repr__(self) -> str:
        return f"RowSparse({len(self.indices)} rows of shape {self.shape}, {self.values.dtype})"

    def to_dense(self) -> Array:
        """The whole array."""
        dense = np.zeros(self.shape, self.values.dtype)
        dense[self.indices] = self.values
        return dense

    def add_to(self, array: Array, scale: float = 1.0, *, n_threads: int | None = None) -> None:
        """``array[indices] += scale * values``, in place.

        Parameters
        ----------
        array : ndarray
            Of this shape and any real floating dtype, writable.
        scale : float
            Minus the learning rate, say.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Raises
        ------
        TypeError
            array is not a floating ndarray, scale not a real number.
        ValueError
            array is of another shape or not writable, scale is not finite.
        """
        factor = _validate.finite_real("scale", scale)
        writable("array", array, self.shape)
        threads = _threads.choose(n_threads, 2 * self.values.nbytes / BYTES_PER_NS)
        real = array.dtype
        if real not in (FLOAT32, FLOAT64) or not _validate.ready(array) or not array.dtype.isnative:
            array[self.indices] += (factor * self.values).astype(real)
            return
        drivers.add_rows(real == FLOAT64, len(self.indices), self._row_length(), self.indices,
                         _validate.native(self.values, real), array, factor, threads)  # fmt: skip

    def _row_length(self) -> int:
        return int(np.prod(self.shape[1:], dtype=INT64))


def writable(name: str, array: Any, shape: Shape) -> None:
    """TypeError, ValueError unless it can be updated in place."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, not {type(array).__name__}")
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}; allowed is float16, float32 or float64")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed is {shape}")
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only")
