"""Samplers of negative classes, with the counts that they are expected to draw.

Each has one method, ``sample(labels, num_sampled)``. Its result is what ``sampled_values`` of a loss takes.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import Array

__all__ = ["SampledValues", "UniformSampler"]


class SampledValues(NamedTuple):
    """Sampled classes and expected counts, in the order of TensorFlow and MindSpore."""

    sampled_candidates: Array  # (S,) int64
    true_expected_count: Array  # the labels' shape, float64
    sampled_expected_count: Array  # (S,) float64


class Sampler(Parameterized):
    """Draws classes, each with its own probability, from a random generator of its own or the caller's.

    One sampler in several threads: draws are serialised. A pickled sampler goes on where it was; equality looks at the
    parameters alone.
    """

    num_classes = Parameter[int]()
    unique = Parameter[bool]()
    seed = Parameter[Any]()
    _generator: np.random.Generator
    _lock: threading.Lock

    def _start(self, seed: Any, **parameters: Any) -> None:
        self._set_parameters(**parameters, seed=checked_seed(seed))
        self.__dict__.update(_generator=np.random.default_rng(seed), _lock=threading.Lock())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def sample(self, labels: npt.ArrayLike, num_sampled: int) -> SampledValues:
        """Draw classes, the same for all rows.

        Parameters
        ----------
        labels : array_like of integers
            True classes, of any shape; only their expected counts depend on them.
        num_sampled : int
            How many to draw, at least 1; no more than there are classes if they are unique.

        Returns
        -------
        SampledValues
            ``sampled_candidates`` (S,), ``true_expected_count`` of the labels' shape, ``sampled_expected_count`` (S,).

        Raises
        ------
        TypeError
            labels are not integers, num_sampled is not an int.
        ValueError
            A label lies outside [0, num_classes), num_sampled is less than 1, or more than there are classes to draw.
        """
        ids = _validate.ids_in_range("labels", labels, self.num_classes)
        count = _validate.positive("num_sampled", num_sampled)
        with self._lock:
            sampled, tries = self._draw(count)
            return SampledValues(sampled, self._expected(ids, count, tries), self._expected(sampled, count, tries))

    def _expected(self, ids: Array, count: int, tries: float) -> Array:
        """How often each class is expected among `count` draws, unique ones after that many `tries`."""
        p = self._probability(ids)
        if not self.unique or tries == count:
            return p * count
        with np.errstate(divide="ignore"):  # log(0) at p = 1, whose count is then 1
            return -np.expm1(tries * np.log1p(-p))

    def _draw(self, count: int, avoided: Array | None = None) -> tuple[Array, float]:
        """`count` classes, none of those `avoided` if enough remain without them, and how many tries it took."""
        if not self.unique:
            return self._candidates(count), count
        avoided = np.empty(0, np.int64) if avoided is None else avoided.ravel()
        taken = drivers.IdSet(count + len(avoided))
        taken.add(avoided)
        available = self._available()
        if count > available - len(taken):
            taken, avoided = drivers.IdSet(count), avoided[:0]
        if count > available:
            raise ValueError(f"num_sampled = {count} is more than the {available} classes that can be drawn")
        sampled = np.empty(count, np.int64)
        n_drawn, tries = 0, 0
        patience = 16 * count + 1024
        while n_drawn < count:
            if tries > patience and self.num_classes <= SPREAD_OUT:
                taken_ids = np.concatenate([avoided, sampled[:n_drawn]])
                sampled[n_drawn:], more_tries = self._race(count - n_drawn, taken_ids)
                return sampled, tries + more_tries
            n_new, n_used = taken.take_new(self._candidates(count - n_drawn + 16), sampled[n_drawn:])
            n_drawn, tries = n_drawn + n_new, tries + n_used
        return sampled, tries

    def _race(self, count: int, taken: Array) -> tuple[Array, float]:
        """The last of a draw of nearly all classes there are, in bounded time.

        Drawing until the next new class turns up is a race of exponential clocks among the classes not taken yet, and
        the number of tries is geometric: both have the same distribution as if draws had gone on.
        """
        weight = self._probability(np.arange(self.num_classes))
        weight[taken] = 0
        rest = np.flatnonzero(weight)
        clocks = self._generator.standard_exponential(len(rest)) / weight[rest]
        first = np.argpartition(clocks, count - 1)[:count]
        drawn = rest[first[np.argsort(clocks[first])]]
        untaken = weight.sum() - np.concatenate([[0.0], np.cumsum(weight[drawn])[:-1]])
        untaken = np.clip(untaken, weight[drawn], 1 - 2.0**-53)  # rounding may have left less, or more
        tries = np.ceil(np.log(self._generator.random(count)) / np.log1p(-untaken))
        return drawn, float(np.maximum(tries, 1).sum())

    def _available(self) -> int:
        """Classes of a probability above 0."""
        return self.num_classes

    def _candidates(self, count: int) -> Array:
        """Independent draws."""
        raise NotImplementedError

    def _probability(self, ids: Array) -> Array:
        raise NotImplementedError


SPREAD_OUT = 1 << 28  # beyond so many classes, no array has one number for each


class UniformSampler(Sampler):
    """All classes are equally likely.

    Parameters
    ----------
    num_classes : int
        Classes are 0 ... num_classes - 1.
    unique : bool
        Whether a class is drawn at most once.
    seed : int, numpy.random.Generator or None
        A generator is used as it is, and shared with the caller.

    Notes
    -----
    Expected counts: S / num_classes, or -expm1(tries log1p(-1 / num_classes)) for unique draws that took more than S
    tries.

    Examples
    --------
    >>> from lossext.samplers import UniformSampler
    >>> sampled = UniformSampler(4, seed=0).sample([[1], [2]], num_sampled=4)
    >>> sorted(sampled.sampled_candidates.tolist())
    [0, 1, 2, 3]
    """

    def __init__(self, num_classes: int, unique: bool = True, seed: int | np.random.Generator | None = None) -> None:
        self._start(
            seed, num_classes=_validate.positive("num_classes", num_classes), unique=_validate.boolean("unique", unique)
        )

    def _candidates(self, count: int) -> Array:
        return self._generator.integers(self.num_classes, size=count)

    def _probability(self, ids: Array) -> Array:
        return np.full(ids.shape, 1 / self.num_classes)

    def draw_apart(self, labels: Array | None, num_sampled: int) -> Array:
        """Classes other than the labels, as long as there are enough."""
        with self._lock:
            return self._draw(num_sampled, labels)[0]


def checked_seed(seed: Any) -> int | np.random.Generator | None:
    """None, an int of at least 0 or a Generator."""
    if seed is None or isinstance(seed, np.random.Generator):
        return seed
    try:
        number = _validate.integer("seed", seed)
    except TypeError:
        raise TypeError(f"seed must be None, an int or a numpy.random.Generator, not {type(seed).__name__}") from None
    if number < 0:
        raise ValueError(f"seed = {number} is negative")
    return number
