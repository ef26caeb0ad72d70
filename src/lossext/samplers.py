"""Samplers of negative classes, which also give the expected counts of classes.

Each has a method ``sample(labels, num_sampled)``, whose result can be passed to a loss as ``sampled_values``.
"""

from __future__ import annotations

import copy
import math
import threading
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import Array

__all__ = [
    "AllSampler",
    "FixedUnigramSampler",
    "LearnedUnigramSampler",
    "LogUniformSampler",
    "SampledValues",
    "UniformSampler",
]

MAX_TRIES_PER_CLASS = 16  # draws per requested class, after which the remaining classes are computed directly
NONE_AVOIDED = np.empty(0, np.int64)
MAX_DENSE_CLASSES = 1 << 28  # with more classes, no array of one number per class is made


class SampledValues(NamedTuple):
    """Sampled classes and expected counts, in the order of TensorFlow and MindSpore.

    Examples
    --------
    >>> from lossext.samplers import UniformSampler
    >>> values = UniformSampler(10, unique=False, seed=0).sample([3, 7], num_sampled=4)
    >>> print(values.sampled_candidates, values.true_expected_count, values.sampled_expected_count)
    [8 6 5 2] [0.4 0.4] [0.4 0.4 0.4 0.4]
    >>> sampled, of_labels, of_sampled = values
    """

    sampled_candidates: Array  # (S,) int64
    true_expected_count: Array  # the labels' shape, float64
    sampled_expected_count: Array  # (S,) float64


class Sampler(Parameterized):
    """Draws classes by their probabilities, from its own random generator or from the caller's.

    Several threads may use one sampler, whose draws are serialised. A pickled sampler continues its sequence of draws;
    equality compares only the parameters. Without a seed, each process draws differently, whether it was forked,
    spawned or received the sampler by pickle.
    """

    unique = Parameter[bool]()
    seed = Parameter[Any]()

    @property
    def num_classes(self) -> int:
        """The number of classes, whose ids are 0 ... num_classes - 1."""
        number: int = self._parameters["num_classes"]
        return number

    def _start(self, seed: Any, **parameters: Any) -> None:
        self._set_parameters(**parameters, seed=checked_seed(seed))
        self._lock = _threads.Lock()
        self._generator = np.random.default_rng(seed)

    def _drawing(self) -> threading.Lock:
        """The lock for draws in the current process."""
        return self._lock(self._draw_its_own)

    def _draw_its_own(self) -> None:
        """In a forked child: draw differently from the parent, unless a seed was given."""
        if self.seed is None:
            self._generator = np.random.default_rng()

    def __getstate__(self) -> dict[str, Any]:
        apart = {"_lock"} | ({"_generator"} if self.seed is None else set())
        return {name: value for name, value in self.__dict__.items() if name not in apart}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = state["_parameters"]  # those that bound the duration of a draw are checked as in the constructor
        for name, check in (("num_classes", _validate.positive), ("unique", _validate.boolean)):
            if name in parameters:
                check(name, parameters[name])
        self.__dict__.update(state)
        self._lock = _threads.Lock()
        if "_generator" not in state:
            self._generator = np.random.default_rng()

    def spawn(self, n: int) -> list[Any]:
        """Create samplers with independent draws, for example one for each worker.

        Their generators are spawned from that of this sampler by `numpy.random.SeedSequence`: the same seed gives the
        same samplers, and another call gives different ones.

        Parameters
        ----------
        n : int
            At least 1.

        Returns
        -------
        list of samplers

        Raises
        ------
        TypeError
            n is not an int, or the generator was made without a seed sequence.
        ValueError
            n is less than 1.

        Examples
        --------
        >>> from lossext.samplers import UniformSampler
        >>> one, two = UniformSampler(100, seed=0).spawn(2)
        >>> print(one.sample([0], 3).sampled_candidates, two.sample([0], 3).sampled_candidates)
        [80 94  0] [66 67 35]
        """
        count = _validate.positive("n", n)
        with self._drawing():
            children = self._generator.spawn(count)
        spawned = []
        for child in children:
            sampler = copy.deepcopy(self)
            sampler.__dict__["_parameters"] = {**self._parameters, "seed": child}
            sampler._generator = child
            spawned.append(sampler)
        return spawned

    @_validate.quiet
    def sample(self, labels: npt.ArrayLike, num_sampled: int) -> SampledValues:
        """Draw classes, which all rows share.

        Parameters
        ----------
        labels : array_like of integers
            True classes, of any shape; the draw does not depend on them.
        num_sampled : int
            Number of classes to draw, at least 1; if they are unique, at most the number of classes.

        Returns
        -------
        SampledValues
            ``sampled_candidates`` (S,), ``true_expected_count`` of the labels' shape, ``sampled_expected_count`` (S,).

        Raises
        ------
        TypeError
            labels are not integers, or num_sampled is not an int.
        ValueError
            A label is outside [0, num_classes); num_sampled is less than 1 or exceeds the classes that can be drawn.
        """
        ids = _validate.ids_in_range("labels", labels, self.num_classes, own=True)
        count = _validate.positive("num_sampled", num_sampled)
        with self._drawing():
            sampled, tries = self._draw(count)
            values = SampledValues(sampled, self._expected(ids, count, tries), self._expected(sampled, count, tries))
            self._learn(ids)
            return values

    def _expected(self, ids: Array, count: int, tries: float) -> Array:
        """Expected count of each class in `count` draws; for unique classes, after so many `tries`."""
        p = self._probability(ids)
        if not self.unique:
            return p * count
        with np.errstate(divide="ignore", under="ignore"):  # log(0) at p = 1, whose count is then 1
            return -np.expm1(tries * np.log1p(-p))

    def _draw(self, count: int, avoided: Array | None = None) -> tuple[Array, float]:
        """`count` classes, and the number of tries; none of the `avoided` classes if enough others remain."""
        if not self._parameters["unique"]:
            return self._candidates(count), count
        if avoided is None:
            avoided = NONE_AVOIDED
        taken = drivers.IdSet(count + avoided.size)
        taken.add(avoided)
        available = self._available()
        if count > available - len(taken):
            if count > available:
                raise ValueError(f"num_sampled = {count} is more than the {available} classes that can be drawn")
            taken, avoided = drivers.IdSet(count), NONE_AVOIDED
        sampled = np.empty(count, np.int64)
        n_drawn, tries = self._first_draws(taken, sampled)
        while n_drawn < count:
            if tries > MAX_TRIES_PER_CLASS * (count + 64) and self.num_classes <= MAX_DENSE_CLASSES:
                taken_ids = np.concatenate([avoided.ravel(), sampled[:n_drawn]])
                sampled[n_drawn:], more_tries = self._race(count - n_drawn, taken_ids)
                return sampled, tries + more_tries
            n_new, n_used = taken.take_new(self._candidates(count - n_drawn + 16), sampled[n_drawn:])
            n_drawn, tries = n_drawn + n_new, tries + n_used
        return sampled, tries

    def _first_draws(self, taken: drivers.IdSet, sampled: Array) -> tuple[int, int]:
        """Draw into `sampled` by a faster method, if there is one; returns the numbers of draws and tries."""
        return 0, 0

    @_validate.quiet
    def _race(self, count: int, taken: Array) -> tuple[Array, float]:
        """The last classes of a draw of nearly all classes, in bounded time.

        Drawing until the next new class appears is equivalent to a race of exponential clocks among the remaining
        classes, with a geometric number of tries, so classes and tries have the distribution of continued draws.
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

    def _learn(self, labels: Array) -> None:
        """Update the sampler by the labels of a call, after its draw."""

    def _available(self) -> int:
        """The number of classes with a probability above 0."""
        return self.num_classes

    def _candidates(self, count: int) -> Array:
        """Independent draws."""
        raise NotImplementedError

    def _probability(self, ids: Array) -> Array:
        raise NotImplementedError


class UniformSampler(Sampler):
    """All classes are equally likely.

    Parameters
    ----------
    num_classes : int
        The number of classes, whose ids are 0 ... num_classes - 1.
    unique : bool
        Whether a class is drawn at most once.
    seed : int, numpy.random.Generator or None
        A generator is used directly and shared with the caller; None draws differently in each process.

    Notes
    -----
    The expected count of a class with probability p in S draws is p S. For unique classes it is
    -expm1(tries log1p(-p)), where tries is the number of draws until S distinct classes had appeared.

    Examples
    --------
    >>> from lossext.samplers import UniformSampler
    >>> sampled = UniformSampler(4, seed=0).sample([[1], [2]], num_sampled=4)
    >>> sorted(sampled.sampled_candidates.tolist())
    [0, 1, 2, 3]
    """

    def __init__(self, num_classes: int, unique: bool = True, seed: int | np.random.Generator | None = None) -> None:
        classes = _validate.positive("num_classes", num_classes)
        self._start(seed, num_classes=classes, unique=_validate.boolean("unique", unique))

    def _candidates(self, count: int) -> Array:
        return self._generator.integers(self.num_classes, size=count)

    def _expected(self, ids: Array, count: int, tries: float) -> Array:
        p = 1 / self.num_classes
        if not self.unique:
            return np.full(ids.shape, p * count)
        return np.full(ids.shape, -math.expm1(tries * math.log1p(-p)) if p < 1 else 1.0)

    def _probability(self, ids: Array) -> Array:
        return np.full(ids.shape, 1 / self.num_classes)

    def _first_draws(self, taken: drivers.IdSet, sampled: Array) -> tuple[int, int]:
        classes = self._parameters["num_classes"]
        if classes >= 2**32:
            return 0, 0
        max_tries = MAX_TRIES_PER_CLASS * (len(sampled) + 64)
        return drivers.draw_uniform(self._generator.bit_generator, classes, taken, sampled, max_tries)

    @_validate.quiet
    def draw_apart(self, labels: Array | None, num_sampled: int) -> Array:
        """Draw classes other than the labels, as long as there are enough."""
        avoided = None if labels is None else _validate.ids_in_range("labels", labels, self.num_classes, own=True)
        return self.draw_checked(avoided, _validate.positive("num_sampled", num_sampled))

    def draw_checked(self, avoided: Array | None, count: int) -> Array:
        """As `draw_apart`, for arguments that a loss has already checked."""
        with self._drawing():
            return self._draw(count, avoided)[0]


class LogUniformSampler(Sampler):
    """Draws by Zipf's law, for classes sorted by frequency, the most frequent first.

    Class i has the probability log((i + 2) / (i + 1)) / log(num_classes + 1).
    Warns once if the labels show clearly that the classes are not sorted by frequency.

    Parameters
    ----------
    num_classes, unique, seed
        See `UniformSampler`, also for the expected counts.

    Examples
    --------
    >>> from lossext.samplers import LogUniformSampler
    >>> values = LogUniformSampler(1000, unique=False, seed=0).sample([[0], [999]], num_sampled=100)
    >>> print(values.true_expected_count.round(3))
    [[10.033]
     [ 0.014]]
    """

    def __init__(self, num_classes: int, unique: bool = True, seed: int | np.random.Generator | None = None) -> None:
        classes = _validate.positive("num_classes", num_classes)
        self._start(seed, num_classes=classes, unique=_validate.boolean("unique", unique))
        self._seen, self._in_lower_half, self._warned = 0, 0, False

    def _learn(self, labels: Array) -> None:
        if self._warned or self._seen >= 10_000 or self.num_classes < 100:
            return
        self._seen += labels.size
        self._in_lower_half += int((labels < self.num_classes // 2).sum())
        # for classes sorted by frequency this half holds some 95 % of labels by Zipf's law, 71 % for p ~ 1 / sqrt(i)
        if self._seen >= 200 and self._in_lower_half < 0.6 * self._seen:
            self._warned = True
            warnings.warn(
                f"only {self._in_lower_half / self._seen:.0%} of the labels lie in the lower half of the "
                f"{self.num_classes} classes: LogUniformSampler expects classes to be sorted by frequency, the most "
                "frequent first",
                stacklevel=3,
            )

    def _candidates(self, count: int) -> Array:
        drawn = np.exp(self._generator.random(count) * math.log1p(self.num_classes))
        ids: Array = np.minimum(np.minimum(drawn, 2.0**63 - 1024).astype(np.int64) - 1, self.num_classes - 1)
        return ids

    def _probability(self, ids: Array) -> Array:
        return np.log1p(1 / (ids + 1.0)) / math.log1p(self.num_classes)


class FixedUnigramSampler(Sampler):
    """Draws classes in proportion to counts ** distortion, by Walker's alias method.

    Parameters
    ----------
    counts : array_like of shape (num_classes,)
        How often each class occurs: finite, not negative, not all 0. A class with count 0 is never drawn.
    distortion : float
        With 1, probabilities are proportional to the counts; with 0, all classes are equally likely; word2vec uses
        0.75.
    unique, seed
        See `UniformSampler`, also for the expected counts.

    Examples
    --------
    >>> from lossext.samplers import FixedUnigramSampler
    >>> values = FixedUnigramSampler([3, 0, 1], unique=False, seed=0).sample([0, 2], num_sampled=8)
    >>> print(values.true_expected_count)
    [6. 2.]
    """

    counts = Parameter[Any]()
    distortion = Parameter[float]()

    @_validate.quiet
    def __init__(
        self,
        counts: npt.ArrayLike,
        distortion: float = 1.0,
        unique: bool = True,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        array = _validate.weights("counts", counts)
        if array.ndim != 1:
            raise ValueError(f"counts has shape {array.shape}; allowed is (num_classes,), one per class")
        power = _validate.finite_real("distortion", distortion)
        bad = ~((array >= 0) & (array < math.inf))
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"counts[{at}] = {array[at]} is not a finite number of at least 0")
        if not (array > 0).any():
            raise ValueError("counts has no entry above 0")
        weights = relative_weights(array.astype(np.float64), power)
        self._start(seed, counts=array, distortion=power, unique=_validate.boolean("unique", unique))
        share, alias = np.empty(len(array)), np.empty(len(array), np.int64)
        drivers.alias_table(weights.copy(), share, alias)
        self._probabilities, self._share, self._alias = weights / weights.sum(), share, alias

    @property
    def num_classes(self) -> int:
        """Number of counts."""
        return len(self.counts)

    def _available(self) -> int:
        return int(np.count_nonzero(self._probabilities))

    def _candidates(self, count: int) -> Array:
        places = self._generator.integers(self.num_classes, size=count)
        return np.where(self._generator.random(count) < self._share[places], places, self._alias[places])

    def _probability(self, ids: Array) -> Array:
        p: Array = self._probabilities[ids]
        return p


def relative_weights(counts: Array, power: float) -> Array:
    """Counts ** power divided by their maximum, without overflow; 0 only where the count is 0."""
    weights = np.zeros(len(counts))
    some = counts > 0
    with np.errstate(under="ignore"):
        if power == 1:
            weights[some] = counts[some] / counts.max()
        else:
            logs = np.log(counts[some])
            logs = power * (logs - (logs.max() if power >= 0 else logs.min()))
            weights[some] = np.exp(logs)
    weights[some] = np.maximum(weights[some], np.finfo(np.float64).tiny)
    return weights


class LearnedUnigramSampler(Sampler):
    """Draws classes in proportion to their frequency among the labels so far.

    Class i has the probability (1 + count_i) / (num_classes + sum of counts). Each call counts its labels after its
    draw.

    Parameters
    ----------
    num_classes, unique, seed
        See `UniformSampler`, also for the expected counts.

    Examples
    --------
    >>> from lossext.samplers import LearnedUnigramSampler
    >>> sampler = LearnedUnigramSampler(4, unique=False, seed=0)
    >>> for _ in range(2):
    ...     print(sampler.sample([1, 1, 1, 2], num_sampled=8).true_expected_count)
    [2. 2. 2. 2.]
    [4. 4. 4. 2.]
    """

    def __init__(self, num_classes: int, unique: bool = True, seed: int | np.random.Generator | None = None) -> None:
        classes = _validate.positive("num_classes", num_classes)
        self._start(seed, num_classes=classes, unique=_validate.boolean("unique", unique))
        places = np.arange(classes + 1)
        self._weights = np.ones(classes, np.int64)  # 1 + count
        self._tree = places & -places  # prefix sums of the weights, as a Fenwick tree; entry 0 is the total
        self._tree[0] = classes

    def _learn(self, labels: Array) -> None:
        drivers.tree_add(self._tree, self._weights, labels.ravel())

    @property
    def _total(self) -> int:
        return int(self._tree[0])

    def _candidates(self, count: int) -> Array:
        ids = np.empty(count, np.int64)
        drivers.tree_find(self._tree, self._generator.integers(self._total, size=count), ids)
        return ids

    def _probability(self, ids: Array) -> Array:
        return self._weights[ids] / self._total


class AllSampler(Parameterized):
    """Draws every class once: for tests, and to train with the full softmax.

    Parameters
    ----------
    num_classes : int
        The number of classes, whose ids are 0 ... num_classes - 1.

    Examples
    --------
    >>> from lossext.samplers import AllSampler
    >>> AllSampler(3).sample([1], num_sampled=3).sampled_candidates
    array([0, 1, 2])
    """

    num_classes = Parameter[int]()

    def __init__(self, num_classes: int) -> None:
        self._set_parameters(num_classes=_validate.positive("num_classes", num_classes))

    def sample(self, labels: npt.ArrayLike, num_sampled: int) -> SampledValues:
        """All classes, each with an expected count of 1.

        Parameters
        ----------
        labels : array_like of integers
            True classes, of any shape.
        num_sampled : int
            Must be num_classes.

        Returns
        -------
        SampledValues

        Raises
        ------
        TypeError
            labels are not integers, or num_sampled is not an int.
        ValueError
            A label is outside [0, num_classes), or num_sampled is not num_classes.
        """
        ids = _validate.ids_in_range("labels", labels, self.num_classes)
        if _validate.integer("num_sampled", num_sampled) != self.num_classes:
            raise ValueError(
                f"num_sampled = {num_sampled} is not num_classes = {self.num_classes}, which AllSampler draws"
            )
        return SampledValues(np.arange(self.num_classes), np.ones(ids.shape), np.ones(self.num_classes))


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
