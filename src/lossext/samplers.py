"""Samplers of negative classes, with the counts that they are expected to draw.

Each has one method, ``sample(labels, num_sampled)``. Its result is what ``sampled_values`` of a loss takes.
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

PATIENCE = 16  # draws for each class that is wanted, before its turn is computed
NONE_AVOIDED = np.empty(0, np.int64)
SPREAD_OUT = 1 << 28  # beyond so many classes, no array has one number for each


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
    """Draws classes, each with its own probability, from a random generator of its own or the caller's.

    One sampler in several threads: draws are serialised. A pickled sampler goes on where it was; equality looks at the
    parameters alone. Without a seed, each process draws its own: forked, spawned, or one that a sampler is pickled to.
    """

    unique = Parameter[bool]()
    seed = Parameter[Any]()

    @property
    def num_classes(self) -> int:
        """Classes are 0 ... num_classes - 1."""
        number: int = self._parameters["num_classes"]
        return number

    def _start(self, seed: Any, **parameters: Any) -> None:
        self._set_parameters(**parameters, seed=checked_seed(seed))
        self._lock = _threads.Lock()
        self._generator = np.random.default_rng(seed)

    def _drawing(self) -> threading.Lock:
        """The lock of draws, in whichever process this is."""
        return self._lock(self._draw_its_own)

    def _draw_its_own(self) -> None:
        """In a forked child, without a seed."""
        if self.seed is None:
            self._generator = np.random.default_rng()

    def __getstate__(self) -> dict[str, Any]:
        apart = {"_lock"} | ({"_generator"} if self.seed is None else set())
        return {name: value for name, value in self.__dict__.items() if name not in apart}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = state["_parameters"]  # what a draw ends by is checked as at construction
        for name, check in (("num_classes", _validate.positive), ("unique", _validate.boolean)):
            if name in parameters:
                check(name, parameters[name])
        self.__dict__.update(state)
        self._lock = _threads.Lock()
        if "_generator" not in state:
            self._generator = np.random.default_rng()

    def spawn(self, n: int) -> list[Any]:
        """Samplers like this one whose draws are independent of each other's and of its own: one for each worker.

        Their generators are children of this one's, in the way of `numpy.random.SeedSequence`: the same seed gives the
        same ones, and another call gives others.

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
        ids = _validate.ids_in_range("labels", labels, self.num_classes, own=True)
        count = _validate.positive("num_sampled", num_sampled)
        with self._drawing():
            sampled, tries = self._draw(count)
            values = SampledValues(sampled, self._expected(ids, count, tries), self._expected(sampled, count, tries))
            self._learn(ids)
            return values

    def _expected(self, ids: Array, count: int, tries: float) -> Array:
        """How often each class is expected among `count` draws, unique ones after that many `tries`."""
        p = self._probability(ids)
        if not self.unique:
            return p * count
        with np.errstate(divide="ignore", under="ignore"):  # log(0) at p = 1, whose count is then 1
            return -np.expm1(tries * np.log1p(-p))

    def _draw(self, count: int, avoided: Array | None = None) -> tuple[Array, float]:
        """`count` classes, none of those `avoided` if enough remain without them, and how many tries it took."""
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
            if tries > PATIENCE * (count + 64) and self.num_classes <= SPREAD_OUT:
                taken_ids = np.concatenate([avoided.ravel(), sampled[:n_drawn]])
                sampled[n_drawn:], more_tries = self._race(count - n_drawn, taken_ids)
                return sampled, tries + more_tries
            n_new, n_used = taken.take_new(self._candidates(count - n_drawn + 16), sampled[n_drawn:])
            n_drawn, tries = n_drawn + n_new, tries + n_used
        return sampled, tries

    def _first_draws(self, taken: drivers.IdSet, sampled: Array) -> tuple[int, int]:
        """Draw into `sampled`, in a faster way than by candidates if there is one; how many, in how many tries."""
        return 0, 0

    @_validate.quiet
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

    def _learn(self, labels: Array) -> None:
        """Take notice of a call's labels, after its draw."""

    def _available(self) -> int:
        """Classes of a probability above 0."""
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
        Classes are 0 ... num_classes - 1.
    unique : bool
        Whether a class is drawn at most once.
    seed : int, numpy.random.Generator or None
        A generator is used as it is, and shared with the caller.

    Notes
    -----
    With p the probability of a class and S draws, its expected count is p S. For unique draws it is
    -expm1(tries log1p(-p)), where tries is how many draws it took to see S distinct classes.

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
        patience = PATIENCE * (len(sampled) + 64)
        return drivers.draw_uniform(self._generator.bit_generator, classes, taken, sampled, patience)

    @_validate.quiet
    def draw_apart(self, labels: Array | None, num_sampled: int) -> Array:
        """Classes other than the labels, as long as there are enough."""
        avoided = None if labels is None else _validate.ids_in_range("labels", labels, self.num_classes, own=True)
        return self.draw_checked(avoided, _validate.positive("num_sampled", num_sampled))

    def draw_checked(self, avoided: Array | None, count: int) -> Array:
        """As `draw_apart`, for a loss that has looked at its arguments."""
        with self._drawing():
            return self._draw(count, avoided)[0]


class LogUniformSampler(Sampler):
    """Zipf's law, for classes sorted by frequency.

    Class i has the probability log((i + 2) / (i + 1)) / log(num_classes + 1).
    Warns once if the labels it meets are clearly not sorted so, the most frequent class first.

    Parameters
    ----------
    num_classes, unique, seed
        As of `UniformSampler`, which tells the expected counts too.

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
        # sorted by frequency, Zipf's law has some 95 % there, and even p ~ 1 / sqrt(i) 71 %
        if self._seen >= 200 and self._in_lower_half < 0.6 * self._seen:
            self._warned = True
            warnings.warn(
                f"only {self._in_lower_half / self._seen:.0%} of the labels lie in the lower half of the "
                f"{self.num_classes} classes: LogUniformSampler takes classes to be sorted by frequency, the most "
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
    """Classes are as likely as given: in proportion to counts ** distortion, by Walker's alias table.

    Parameters
    ----------
    counts : array_like of shape (num_classes,)
        How often each class occurs: finite, not negative, not all 0. A class of count 0 is never drawn.
    distortion : float
        1 takes the counts as they are, 0 makes all classes equally likely, 0.75 is word2vec's choice.
    unique, seed
        As of `UniformSampler`, which tells the expected counts too.

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
            raise ValueError(f"counts[{at}] = {array[at]} gives no finite probability of at least 0")
        if not (array > 0).any():
            raise ValueError("counts holds nothing above 0")
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
    """Counts ** power over the greatest of these, whatever their scale; 0 at 0, and nowhere else."""
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
    """Classes are as likely as they were among the labels so far.

    Class i has the probability (1 + count_i) / (num_classes + all counts). Each call counts its labels after its draw.

    Parameters
    ----------
    num_classes, unique, seed
        As of `UniformSampler`, which tells the expected counts too.

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
        self._tree = places & -places  # their running sums, as a Fenwick tree; at 0 the sum of all
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
    """Every class, once: for tests, and to train with the full softmax.

    Parameters
    ----------
    num_classes : int
        Classes are 0 ... num_classes - 1.

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
            num_classes.

        Returns
        -------
        SampledValues

        Raises
        ------
        TypeError
            labels are not integers, num_sampled is not an int.
        ValueError
            A label lies outside [0, num_classes), num_sampled is not num_classes.
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
