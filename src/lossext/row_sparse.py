"""Gradients that are nonzero in few rows of an array."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._validate import FLOAT16, FLOAT32, FLOAT64, INT64, Array, Shape

BYTES_PER_NS = 5.0  # of scattered rows, on one thread; used to choose the number of threads


class RowSparse:
    """An array that is zero except in some rows.

    Parameters
    ----------
    indices : array_like of integers, (R,)
        Indices of the nonzero rows. Repeated indices are merged, with their values added in the given order.
    values : array_like of real numbers, (R, ...)
        The rows at `indices`.
    shape : tuple of ints
        Shape of the whole array, (V, ...).

    Attributes
    ----------
    indices : ndarray of int64
        Unique and ascending; read-only.
    values : ndarray
        Of a floating dtype; integers become float64. May be assigned an array of the same shape.
    shape : tuple
        Read-only.

    Raises
    ------
    TypeError
        indices are not integers; values are not real.
    ValueError
        An index is outside [0, V); the shape of values does not match indices and shape.

    Examples
    --------
    >>> import lossext as lx
    >>> g = lx.RowSparse([3, 1, 3], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (5, 2))
    >>> print(g.indices, g.values.tolist())
    [1 3] [[3.0, 4.0], [6.0, 8.0]]
    """

    __slots__ = ("_indices", "_shape", "_values")

    @_validate.quiet
    def __init__(self, indices: npt.ArrayLike, values: npt.ArrayLike, shape: Shape) -> None:
        if not np.iterable(shape):
            raise TypeError(f"shape must be a tuple of ints, not {type(shape).__name__}")
        whole = tuple(_validate.integer(f"shape[{i}]", n) for i, n in enumerate(shape))
        if any(n < 0 for n in whole):
            raise ValueError(f"shape = {whole} has a negative length")
        rows = _validate.ids_in_range("indices", indices, whole[0] if whole else 0, own=True)
        array = _validate.weights("values", values)
        if rows.ndim != 1 or array.shape != (len(rows), *whole[1:]):
            raise ValueError(
                f"indices has shape {rows.shape} and values {array.shape}; "
                f"allowed is (R,) and {('R', *whole[1:])} for an array of shape {whole}"
            )
        if array.dtype.kind != "f":
            array = array.astype(FLOAT64)  # sums of integers would wrap
        if (rows[1:] <= rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
            first = np.flatnonzero(_validate.first_of_equals(rows))
            rows = rows[first]
            wide = array.astype(FLOAT32) if array.dtype.itemsize == 2 else array
            with np.errstate(all="ignore"):
                array = np.add.reduceat(wide[order], first, axis=0).astype(array.dtype, copy=False)
        rows.setflags(write=False)
        self._indices, self._values, self._shape = rows, array, whole

    @classmethod
    def of_unique(cls, indices: Array, values: Array, shape: Shape) -> RowSparse:
        """From indices that are already unique, ascending and read-only; takes ownership of them, without checks."""
        instance = cls.__new__(cls)
        instance._indices, instance._values, instance._shape = indices, values, shape
        return instance

    @property
    def indices(self) -> Array:
        """Indices of the rows, unique and ascending; read-only."""
        return self._indices

    @property
    def values(self) -> Array:
        """The rows at `indices`; another array of the same shape may be assigned."""
        return self._values

    @values.setter
    def values(self, values: npt.ArrayLike) -> None:
        array = _validate.weights("values", values)
        if array.shape != self._values.shape:
            raise ValueError(f"values has shape {array.shape}; allowed is {self._values.shape}")
        self._values = array if array.dtype.kind == "f" else array.astype(FLOAT64)

    @property
    def shape(self) -> Shape:
        """Shape of the whole array; read-only."""
        return self._shape

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._indices, self._values, self._shape)

    @_validate.quiet
    def __add__(self, other: Any) -> RowSparse:
        """The sum with a RowSparse of the same shape; it has the rows of both."""
        if not isinstance(other, RowSparse):
            return NotImplemented
        if other.shape != self.shape:
            raise ValueError(f"a RowSparse of shape {other.shape} cannot be added to one of shape {self.shape}")
        values = np.concatenate([self.values, other.values])
        return RowSparse(np.concatenate([self.indices, other.indices]), values, self.shape)

    def __radd__(self, other: Any) -> RowSparse:
        """``0 + gradient`` is the gradient, so that ``sum`` accepts gradients."""
        return self if type(other) is int and other == 0 else NotImplemented

    def __mul__(self, factor: Any) -> RowSparse:
        """The product with a real number."""
        if isinstance(factor, (RowSparse, str)) or np.ndim(factor):
            return NotImplemented
        number = _validate.finite_real("factor", factor)
        with np.errstate(all="ignore"):
            return RowSparse.of_unique(self._indices, self._values * self._values.dtype.type(number), self._shape)

    __rmul__ = __mul__
    __array_ufunc__ = None  # NumPy leaves `number * gradient` to this class

    def __truediv__(self, divisor: Any) -> RowSparse:
        """The quotient by a real number other than 0."""
        if isinstance(divisor, (RowSparse, str)) or np.ndim(divisor):
            return NotImplemented
        number = _validate.finite_real("divisor", divisor)
        if number == 0:
            raise ZeroDivisionError("a RowSparse divided by 0")
        with np.errstate(all="ignore"):
            return RowSparse.of_unique(self._indices, self._values / self._values.dtype.type(number), self._shape)

    def __neg__(self) -> RowSparse:
        return self * -1.0

    @_validate.quiet
    def norm(self) -> float:
        """Square root of the sum of squares, in float64, without overflow of the squares.

        Examples
        --------
        >>> import lossext as lx
        >>> g = lx.RowSparse([3, 1], [[3.0], [4.0]], (5, 1)) + lx.RowSparse([3], [[0.0]], (5, 1))
        >>> g = g * min(1.0, 2.5 / g.norm())  # clipped
        >>> print(g.norm(), g.values.tolist())
        2.5 [[2.0], [1.5]]
        """
        values = self._values.ravel()
        if values.dtype.itemsize < 8:  # squares fit float64
            return math.sqrt(np.square(values, dtype=FLOAT64).sum())
        with np.errstate(all="ignore"):
            peak = float(np.abs(values).max(initial=0))
            if not 0 < peak < math.inf:
                return peak
            return peak * math.sqrt(np.square(values / peak).sum())

    def __repr__(self) -> str:
        return f"RowSparse({len(self.indices)} rows of shape {self.shape}, {self.values.dtype})"

    def to_dense(self) -> Array:
        """The whole array, as an ndarray of `shape`."""
        dense = np.zeros(self.shape, self.values.dtype)
        dense[self.indices] = self.values
        return dense

    @_validate.quiet
    def add_to(self, array: Array, scale: float = 1.0, *, n_threads: int | None = None) -> None:
        """``array[indices] += scale * values``, in place.

        Parameters
        ----------
        array : ndarray
            Of this shape and any real floating dtype, writable.
        scale : float
            The factor; minus the learning rate for gradient descent.
        n_threads : int, optional
            Maximum number of threads, at least 1. Default: see ``lossext.show_config()``.

        Raises
        ------
        TypeError
            array is not a floating ndarray, or scale is not a real number.
        ValueError
            array has another shape or is not writable, or scale is not finite.
        """
        rate = _validate.finite_real("scale", scale)
        require_writable("array", array, self.shape)
        if array.dtype in (FLOAT32, FLOAT64) and _validate.ready(array) and array.dtype.isnative:
            self._update(drivers.ADD, (array, None, None), (rate, 0, 0, 0), n_threads)
        else:
            _threads.choose(n_threads, 0)  # to be checked, no more
            with np.errstate(all="ignore"):
                array[self.indices] += (rate * self.values).astype(array.dtype)

    def sgd(self, array: Array, learning_rate: float, *, n_threads: int | None = None) -> None:
        """A step of gradient descent on the rows, in place: ``array[indices] -= learning_rate * values``.

        Parameters and errors as in `add_to`.
        """
        self.add_to(array, -_validate.finite_real("learning_rate", learning_rate), n_threads=n_threads)

    @_validate.quiet
    def adagrad(
        self,
        array: Array,
        squares: Array,
        learning_rate: float = 0.01,
        epsilon: float = 1e-10,
        *,
        n_threads: int | None = None,
    ) -> None:
        """A step of Adagrad on the rows, in place.

        ``squares += values**2``, then ``array -= learning_rate * values / (sqrt(squares) + epsilon)``, at `indices`;
        0 / 0 counts as 0.

        Parameters
        ----------
        array, squares : ndarray
            Parameters and accumulated squares, both of this shape and of the same dtype, float32 or float64,
            C-contiguous and writable; a float16 array takes float32 squares. Squares start at 0 or a small number.
        learning_rate, epsilon : float
            As in the formula.
        n_threads : int, optional
            Maximum number of threads, at least 1. Default: see ``lossext.show_config()``.

        Raises
        ------
        TypeError
            The arrays are not float32 or float64 ndarrays of one dtype; a number is not real.
        ValueError
            An array has another shape, is not C-contiguous, not writable or shares memory with another; a number is not
            finite.
        """
        rates = (
            _validate.finite_real("learning_rate", learning_rate), 0.0, 0.0, _validate.finite_real("epsilon", epsilon)
        )  # fmt: skip
        self._require_state(array=array, squares=squares)
        self._update(drivers.ADAGRAD, (array, None, squares), rates, n_threads)

    @_validate.quiet
    def adam(
        self,
        array: Array,
        mean: Array,
        squares: Array,
        step: int,
        learning_rate: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        *,
        n_threads: int | None = None,
    ) -> None:
        """A step of lazy Adam on the rows, in place; rows without a gradient and their moments remain unchanged.

        ``mean += (1 - betas[0]) * (values - mean)``, ``squares += (1 - betas[1]) * (values**2 - squares)``, then
        ``array -= rate * mean / (sqrt(squares) + epsilon)`` at `indices`, where
        ``rate = learning_rate * sqrt(1 - betas[1]**step) / (1 - betas[0]**step)``, as in torch's SparseAdam.

        Parameters
        ----------
        array, mean, squares : ndarray
            Parameters and moments, which start at 0, all of this shape and of the same dtype, float32 or float64,
            C-contiguous and writable; a float16 array takes float32 moments.
        step : int
            Number of the step, starting at 1.
        learning_rate, betas, epsilon : float
            As in the formula; betas are in [0, 1).
        n_threads : int, optional
            Maximum number of threads, at least 1. Default: see ``lossext.show_config()``.

        Raises
        ------
        TypeError
            The arrays are not float32 or float64 ndarrays of one dtype; a number is not real; step is not an int.
        ValueError
            An array has another shape, is not C-contiguous, not writable or shares memory with another; a number is not
            finite; a beta is outside [0, 1); step is less than 1.
        """
        count = _validate.positive("step", step)
        if not np.iterable(betas):
            raise TypeError(f"betas must be a tuple of two numbers in [0, 1), not {type(betas).__name__}")
        decays = [_validate.finite_real(f"betas[{i}]", beta) for i, beta in enumerate(betas)]
        if len(decays) != 2 or not all(0 <= decay < 1 for decay in decays):
            raise ValueError(f"betas = {betas} is not two numbers in [0, 1)")
        rate = _validate.finite_real("learning_rate", learning_rate)
        rate *= math.sqrt(1 - decays[1] ** count) / (1 - decays[0] ** count)
        rates = rate, decays[0], decays[1], _validate.finite_real("epsilon", epsilon)
        self._require_state(array=array, mean=mean, squares=squares)
        self._update(drivers.ADAM, (array, mean, squares), rates, n_threads)

    def _require_state(self, **arrays: Any) -> None:
        """TypeError or ValueError unless all arrays can be updated in place."""
        dtype = getattr(arrays["array"], "dtype", None)
        half = dtype == FLOAT16 and all(getattr(a, "dtype", None) == FLOAT32 for a in list(arrays.values())[1:])
        for name, array in arrays.items():
            require_writable(name, array, self.shape)
            if half and name == "array":
                continue
            if array.dtype != (FLOAT32 if half else dtype) or array.dtype == FLOAT16 or not array.dtype.isnative:
                raise TypeError(
                    f"{name} has dtype {array.dtype}; allowed is native float32 or float64, the same for all arrays, "
                    "or a float16 array with float32 state"
                )
            if not _validate.ready(array):
                raise ValueError(f"{name} is not C-contiguous and aligned")
        for (name, array), (other_name, other) in itertools.combinations(arrays.items(), 2):
            if np.may_share_memory(array, other):
                raise ValueError(f"{name} shares memory with {other_name}")

    def _update(
        self,
        rule: int,
        arrays: tuple[Array, Array | None, Array | None],
        rates: tuple[float, float, float, float],
        n_threads: int | None,
    ) -> None:
        """Apply an update rule to the parameters, with their first and second moments if the rule has them."""
        array, first, second = arrays
        for name, other in (("array", array), ("mean", first), ("squares", second)):
            if other is not None and np.may_share_memory(other, self._values):
                raise ValueError(f"{name} shares memory with the values of the gradient")
        half = array.dtype == FLOAT16
        real = FLOAT64 if array.dtype == FLOAT64 else FLOAT32
        job = drivers.RowUpdate()
        job.real_type, job.rule, job.compact = real is FLOAT64, rule, half
        job.rows, job.length = self.shape[0], math.prod(self.shape[1:])
        job.indices = _validate.native(self._indices, INT64)
        n_bytes = self._fill(job, real)
        job.param, job.first, job.second = (array[self._indices].astype(FLOAT32) if half else array), first, second
        job.rate, job.decay1, job.decay2, job.epsilon = rates
        n_arrays = 2 + (first is not None) + (second is not None)
        job.run(_threads.choose(n_threads, n_arrays * n_bytes / BYTES_PER_NS))
        if half:
            with np.errstate(all="ignore"):
                array[self._indices] = job.param

    def _fill(self, job: drivers.RowUpdate, real: Any) -> int:
        """Pass the values to the job; returns their number of bytes."""
        job.values = _validate.native(self._values, real)
        return int(job.values.nbytes)


class ProductSparse(RowSparse):
    """A product of a sparse and a dense matrix in some rows and columns, computed only within update steps."""

    __slots__ = ("_columns", "_dense", "_penalty", "_sparse")
    _columns: Array | None
    _sparse: Any
    _dense: Array
    _penalty: float

    @classmethod
    def of(
        cls, rows: Array, columns: Array | None, sparse: Any, dense: Array, penalty: float, shape: Shape
    ) -> ProductSparse:
        """``sparse @ dense + penalty * array`` at rows and columns that are unique and ascending; None: all columns.

        `sparse` is CSR, of as many rows; dense (n, K) is C-contiguous and of the same type.
        """
        instance = cls.__new__(cls)
        instance._indices, instance._values, instance._shape = rows, dense, shape
        instance._columns, instance._sparse, instance._dense, instance._penalty = columns, sparse, dense, penalty
        return instance

    def _fill(self, job: drivers.RowUpdate, real: Any) -> int:
        job.columns = None if self._columns is None else _validate.native(self._columns, INT64)
        job.penalty = self._penalty
        take_product(job, self._sparse, self._dense)
        n_bytes: int = len(self._indices) * self._dense.shape[1] * self._dense.itemsize
        return n_bytes + product_work(self._sparse, self._dense)


def take_product(job: drivers.RowUpdate, sparse: Any, dense: Array) -> None:
    """Pass the operands of the product of a CSR and a dense matrix to the job."""
    job.start, job.entries = (_validate.native(ids, INT64) for ids in (sparse.indptr, sparse.indices))
    job.factors, job.dense, job.n_dense = _validate.native(sparse.data, dense.dtype), dense, len(dense)


def product_work(sparse: Any, dense: Array) -> int:
    """The cost of a product, expressed in bytes of scattered rows."""
    work: int = sparse.nnz * dense.shape[1] * dense.itemsize // 2
    return work


def product(sparse: Any, dense: Array, n_threads: int | None = None) -> Array:
    """``sparse @ dense`` of a CSR and a C-contiguous dense matrix of float32 or float64, parallel over rows."""
    job = drivers.RowUpdate()
    job.real_type, job.rule, job.length = dense.dtype == FLOAT64, drivers.PRODUCT, dense.shape[1]
    take_product(job, sparse, dense)
    job.values = np.empty((sparse.shape[0], dense.shape[1]), dense.dtype)
    job.run(_threads.choose(n_threads, product_work(sparse, dense) / BYTES_PER_NS))
    return np.asarray(job.values)


def block_of(array: Array, rows: Array, columns: Array) -> Array:
    """A copy of some rows and columns of a C-contiguous matrix, given by unique and ascending ids."""
    job = drivers.RowUpdate()
    job.real_type, job.rule = array.dtype == FLOAT64, drivers.TAKE
    job.rows, job.length = array.shape
    job.indices, job.columns = (_validate.native(ids, INT64) for ids in (rows, columns))
    job.param = array
    job.values = np.empty((len(rows), len(columns)), array.dtype)
    job.run(_threads.choose(None, 2 * job.values.nbytes / BYTES_PER_NS))
    return np.asarray(job.values)


def require_writable(name: str, array: Any, shape: Shape) -> None:
    """TypeError or ValueError unless it is a writable floating array of this shape."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, not {type(array).__name__}")
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}; allowed is float16, float32 or float64")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed is {shape}")
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only")
