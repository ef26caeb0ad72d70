"""How often items come in a stream of batches."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._validate import Array

MOST_STEPS = 2**32 - 1  # that an age can tell apart


class FrequencyEstimator:
    """How often items come in a stream of batches, in bounded memory: `log_q` for `InBatchSoftmaxLoss`.

    Ids are hashed to buckets. Each keeps the step at which it was last seen, and a moving average of the steps between
    two times; the inverse of the latter is the item's probability to be in a batch. Frequencies may drift, and ids may
    be new (Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", 2019).

    Parameters
    ----------
    num_buckets : int
        Items in one bucket look like one that is as frequent as all of them: take several times the number of items.
    rate : float
        Of the moving average, in (0, 1]: small is exact, large is quick to follow.

    Raises
    ------
    TypeError
        num_buckets is not an int, rate not a real number, ids are not integers.
    ValueError
        num_buckets is less than 1, rate is not in (0, 1].

    Notes
    -----
    Several threads may update one. A bucket takes 8 bytes of memory; of a pickle, 12 bytes a bucket that was seen, or 8
    of any, whichever is less.

    Examples
    --------
    >>> import lossext as lx
    >>> estimator = lx.FrequencyEstimator(1000)
    >>> for step in range(100):
    ...     estimator.update([1, 2] if step % 2 else [1])
    >>> print(estimator.log_q([1, 2]).round(2))  # log 1, log 1/2
    [ 0.   -0.69]
    """

    def __init__(self, num_buckets: int, rate: float = 0.05) -> None:
        self.num_buckets = _validate.positive("num_buckets", num_buckets)
        self.rate = _validate.finite_real("rate", rate)
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate = {rate} is not in (0, 1]")
        self.step = 0
        self._base = 0  # what is to be added to _last where it is not 0
        self._last = np.zeros(self.num_buckets, np.uint32)  # 0: never
        self._interval = np.zeros(self.num_buckets, np.float32)
        self._lock = _threads.Lock()

    def __repr__(self) -> str:
        return f"FrequencyEstimator(num_buckets={self.num_buckets}, rate={self.rate})"

    def __getstate__(self) -> dict[str, Any]:
        with self._lock():
            state = self.__dict__.copy()
            del state["_lock"]
            seen = np.flatnonzero(self._last)
            if 12 * len(seen) < 8 * self.num_buckets:
                place = seen.astype(np.uint32 if self.num_buckets <= 2**32 else np.int64)
                state.update(_seen=place, _last=self._last[seen], _interval=self._interval[seen])
            else:
                state.update(_last=self._last.copy(), _interval=self._interval.copy())
            return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {**state, "_lock": _threads.Lock()}
        seen = state.pop("_seen", None)
        self.__dict__.update(state)
        if seen is not None:
            self._last, self._interval = np.zeros(self.num_buckets, np.uint32), np.zeros(self.num_buckets, np.float32)
            self._last[seen], self._interval[seen] = state["_last"], state["_interval"]

    @_validate.quiet
    def update(self, ids: npt.ArrayLike) -> None:
        """Take notice of a batch's items; one that occurs twice in it counts once.

        Parameters
        ----------
        ids : array_like of integers
        """
        buckets = np.sort(self._buckets(ids), axis=None)
        buckets = buckets[_validate.first_of_equals(buckets)]
        with self._lock():
            if self.step - self._base >= MOST_STEPS:  # ages beyond half of what can be told apart look like that half
                shift = MOST_STEPS // 2
                self._last = np.where(self._last > 0, np.maximum(self._last, shift + 1) - shift, 0).astype(np.uint32)
                self._base += shift
            step = self.step + 1
            last, before = self._last[buckets].astype(np.int64), self._interval[buckets].astype(np.float64)
            gap = step - self._base - last
            interval = np.where(last > 0, before + self.rate * (gap - before), step)
            # stored at the end, without a call between, that an interrupt could take for its place
            self._interval[buckets] = interval
            self._last[buckets] = step - self._base
            self.step = step

    @_validate.quiet
    def log_q(self, ids: npt.ArrayLike) -> Array:
        """Logarithm of each item's probability to be in a batch.

        Parameters
        ----------
        ids : array_like of integers

        Returns
        -------
        ndarray of float64, of the shape of ids
            At most 0. An item never seen counts as one that is due now.
        """
        buckets = self._buckets(ids)
        with self._lock():
            interval, step = self._interval[buckets].astype(np.float64), self.step
        result: Array = np.log(1 / np.where(interval > 0, np.maximum(interval, 1.0), step + 1.0))
        return result

    @_validate.quiet
    def merge(self, other: FrequencyEstimator) -> None:
        """Take over what another estimator has seen, such as that of another worker.

        From then on this one knows the batches of both, as if they had come in turn: an item's probability is the mean
        of both, weighted by their numbers of batches.

        Parameters
        ----------
        other : FrequencyEstimator
            Of as many buckets and the same rate; it is left as it is.

        Raises
        ------
        TypeError
            other is not a FrequencyEstimator.
        ValueError
            It has another number of buckets, or another rate.

        Examples
        --------
        >>> import lossext as lx
        >>> one, two = lx.FrequencyEstimator(1000), lx.FrequencyEstimator(1000)
        >>> for _ in range(10):
        ...     one.update([7])
        ...     two.update([8])
        >>> one.merge(two)
        >>> print(one.step, one.log_q([7, 8]).round(2))  # each in half of the batches
        20 [-0.69 -0.69]
        """
        if not isinstance(other, FrequencyEstimator):
            raise TypeError(f"other must be a FrequencyEstimator, not {type(other).__name__}")
        if (other.num_buckets, other.rate) != (self.num_buckets, self.rate):
            raise ValueError(f"other is {other!r}; allowed is one like {self!r}")
        theirs = copy.copy(other)  # whole, while other threads update it
        with self._lock():
            total = self.step + theirs.step
            rate, recent = np.zeros(self.num_buckets), np.zeros(self.num_buckets)  # how often, and how lately
            for one in (self, theirs):
                seen = one._interval > 0
                rate[seen] += one.step / np.maximum(one._interval[seen].astype(np.float64), 1.0)
                recent[seen] = np.maximum(recent[seen], (one._last[seen] + float(one._base)) / one.step)
            seen = rate > 0
            self.step, self._base = total, max(0, total - MOST_STEPS)
            self._interval[seen] = total / rate[seen]
            last = np.maximum(np.rint(recent[seen] * total), 1 + self._base)
            self._last[seen] = (last - self._base).astype(np.uint32)

    def _buckets(self, ids: Any) -> Array:
        array = _validate.as_array("ids", ids)
        if array.dtype.kind != "u":
            array = _validate.class_ids("ids", ids)[0]
        mixed = array.astype(np.uint64)
        if array.dtype.kind == "i":  # -1 is not 2^64 - 1
            mixed = mixed ^ np.where(array < 0, np.uint64(0x5851F42D4C957F2D), np.uint64(0))
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        result: Array = ((mixed ^ (mixed >> np.uint64(29))) % np.uint64(self.num_buckets)).astype(np.int64)
        return result
