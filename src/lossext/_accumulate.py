"""Totals of a loss over chunks that need not fit in memory together."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from lossext import _threads

__all__ = ["Accumulator"]


class Accumulates:
    """Mixin that gives losses the method `accumulator`."""

    def accumulator(self) -> Accumulator:
        """Create an accumulator of this loss over chunks of rows.

        Returns
        -------
        Accumulator
            Empty. ``update`` adds a chunk, ``merge`` another accumulator; ``value`` returns the value that one call
            with all chunks together would return.

        Raises
        ------
        ValueError
            The reduction is "none", whose value has one number for every row or element.
        """
        return Accumulator(self)

    def _total(self, *arrays: Any, **keywords: Any) -> tuple[np.dtype[Any], float, float]:
        """The dtype of a call's value, the sum of its losses, and the divisor."""
        raise NotImplementedError


class Accumulator:
    """Sum and divisor of a loss over chunks of rows, created by `loss.accumulator()`.

    Sums and divisors of the chunks are float64 and are added with compensation (Knuth's two-sum). For any chunks, the
    value therefore equals that of all rows at once up to one rounding to its dtype; for float64 losses, up to the error
    of the sums of the chunks. The same chunks in the same order give the same bits. Several threads may update one
    accumulator. It pickles to a few hundred bytes, plus the arrays of the loss itself.

    Parameters
    ----------
    loss : loss object
        Of any reduction but "none".

    Examples
    --------
    >>> import lossext as lx
    >>> total = lx.MSELoss().accumulator()
    >>> for chunk, target in [([1.0, 2.0], [0.0, 0.0]), ([3.0], [1.0])]:
    ...     _ = total.update(chunk, target)
    >>> print(total.value(), total.divisor())
    3.0 3.0
    >>> print(lx.MSELoss()([1.0, 2.0, 3.0], [0.0, 0.0, 1.0]))
    3.0
    """

    __slots__ = ("_divisor", "_dtype", "_lock", "_loss", "_sum")

    def __init__(self, loss: Any) -> None:
        if loss.reduction == "none":
            raise ValueError(
                "reduction='none' gives a value for each row or element, which cannot be accumulated; allowed are the "
                "loss's other reductions, such as reduction='sum'"
            )
        self._loss, self._lock = loss, _threads.Lock()
        self._dtype: np.dtype[Any] | None = None
        self._sum = self._divisor = (0.0, 0.0)

    def __repr__(self) -> str:
        return f"<Accumulator of {self._loss!r}: {self.value()!r}>"

    def __getstate__(self) -> tuple[Any, ...]:
        with self._lock():
            return self._loss, self._dtype and self._dtype.str, *self._sum, *self._divisor

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._lock = _threads.Lock()
        self._loss, dtype, *numbers = state
        self._dtype = dtype and np.dtype(dtype)
        self._sum, self._divisor = (numbers[0], numbers[1]), (numbers[2], numbers[3])

    @property
    def loss(self) -> Any:
        """The loss."""
        return self._loss

    def update(self, *arrays: Any, **keywords: Any) -> Self:
        """Add a chunk; an error leaves the accumulator unchanged.

        Parameters
        ----------
        *arrays, **keywords
            As in a call of the loss.

        Returns
        -------
        Accumulator
            Itself.
        """
        dtype, total, divisor = self._loss._total(*arrays, **keywords)
        return self._add(dtype, (total, 0.0), (divisor, 0.0))

    def merge(self, other: Accumulator) -> Self:
        """Add the totals of another accumulator of an equal loss.

        Parameters
        ----------
        other : Accumulator
            Remains unchanged.

        Returns
        -------
        Accumulator
            Itself.

        Raises
        ------
        TypeError
            other is not an Accumulator.
        ValueError
            other accumulates another loss.
        """
        if not isinstance(other, Accumulator):
            raise TypeError(f"other is {type(other).__name__}; allowed is an Accumulator of {self._loss!r}")
        if other._loss != self._loss and repr(other._loss) != repr(self._loss):  # states of generators may differ
            raise ValueError(f"other accumulates {other._loss!r}; allowed is {self._loss!r}")
        with other._lock():
            dtype, total, divisor = other._dtype, other._sum, other._divisor
        return self if dtype is None else self._add(dtype, total, divisor)

    def _add(self, dtype: np.dtype[Any], total: tuple[float, float], divisor: tuple[float, float]) -> Self:
        with self._lock():
            self._dtype = dtype if self._dtype is None else np.promote_types(self._dtype, dtype)
            self._sum, self._divisor = added(self._sum, total), added(self._divisor, divisor)
        return self

    def value(self) -> Any:
        """The value over all chunks so far.

        Returns
        -------
        numpy scalar
            Of input's dtype; NaN if the divisor is 0.
        """
        with self._lock():
            dtype = np.dtype(np.float64) if self._dtype is None else self._dtype
            total, divisor = sum(self._sum), self._divisor_of_all()
        with np.errstate(all="ignore"):
            return dtype.type(total / divisor if divisor else math.nan)

    def divisor(self) -> float:
        """The divisor of the sum over all chunks so far.

        Returns
        -------
        float
            The sum of the chunks' divisors; 1.0 for ``reduction="sum"``.
        """
        with self._lock():
            return self._divisor_of_all()

    def _divisor_of_all(self) -> float:
        return 1.0 if self._loss.reduction == "sum" else sum(self._divisor)


def added(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """The sum of two numbers, each with its rounding error (two-sum, Knuth 1969)."""
    total = a[0] + b[0]
    if not math.isfinite(total):
        return total, 0.0
    back = total - a[0]
    lost = (a[0] - (total - back)) + (b[0] - back)
    return total, a[1] + b[1] + lost
