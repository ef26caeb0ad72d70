"""In-batch softmax loss of two-tower models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, Array
from lossext.losses._sampled import FLOPS_PER_NS, Weighting, group


class InBatchSoftmaxGrad(NamedTuple):
    """Gradients at the outputs of the two towers.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> towers = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> grad = lx.InBatchSoftmaxLoss(reduction="sum").grad(towers, towers)
    >>> print(grad.users.round(2).tolist(), grad.items.round(2).tolist())
    [[-0.27, 0.27], [0.27, -0.27]] [[-0.27, 0.27], [0.27, -0.27]]
    """

    users: Array
    items: Array


class InBatchSoftmaxLoss(Parameterized):
    r"""Softmax cross entropy of users against the items of their batch.

    Row i of users :math:`u` belongs to row i of items :math:`v`; the items of the other rows are its negatives. With
    temperature :math:`\tau` and :math:`q_j` the probability that item j is in a batch,

    .. math:: s_{ij} = \frac{u_i \cdot v_j}{\tau} - \log q_j, \qquad loss_i = \log \sum_j e^{s_{ij}} - s_{ii},

    where the sum leaves out other rows that hold item i too.

    Parameters
    ----------
    temperature : float
        Above 0.
    reduction : {"mean", "sum", "none"}
        Mean over the N rows, their sum, or one value a row.

    Raises
    ------
    TypeError
        temperature is not a real number; reduction is not a str; users, items or log_q are not real; item_ids are not
        integers.
    ValueError
        temperature is not finite and positive; reduction is unknown; shapes do not fit; log_q holds NaN or infinity.

    Notes
    -----
    *users* (N, D) sets the type, as `SampledSoftmaxLoss`'s inputs do; *items* (N, D) is cast to it. For large N the
    matrix of scores is never built as a whole. Results do not depend on the number of threads.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> users = np.eye(3)
    >>> loss = lx.InBatchSoftmaxLoss(temperature=0.1)
    >>> value, grad = loss.value_and_grad(users, users, item_ids=[7, 8, 9])
    >>> print(value.round(8), grad.items.shape)
    9.08e-05 (3, 3)
    """

    temperature = Parameter[float]()
    reduction = Parameter[str]()

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        number = _validate.finite_real("temperature", temperature)
        if number <= 0:
            raise ValueError(f"temperature = {number} is not above 0")
        self._set_parameters(temperature=number, reduction=_validate.reduction(reduction))

    def __call__(
        self,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        *,
        item_ids: npt.ArrayLike | None = None,
        log_q: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        users, items : array_like of shape (N, D)
            Outputs of the two towers.
        item_ids : array_like of integers (N,), optional
            Which item each row holds: rows that hold the same one are not each other's negatives. Default: all differ.
        log_q : array_like of shape (N,), optional
            Logarithm of the probability that the row's item is in a batch, for example from `FrequencyEstimator`.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of users' dtype, or an array (N,) for ``reduction="none"``.
        """
        return self._evaluate(users, items, item_ids, log_q, False, sample_weight, None, n_threads)[0]

    def value_and_grad(
        self,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        *,
        item_ids: npt.ArrayLike | None = None,
        log_q: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[Any, InBatchSoftmaxGrad]:
        """``(value, gradients)``.

        Parameters
        ----------
        users, items, item_ids, log_q, sample_weight, n_threads
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar for mean and sum, (N,) for none. Default 1.

        Returns
        -------
        value : numpy scalar or ndarray
        gradients : InBatchSoftmaxGrad
            ``users`` and ``items``, both (N, D).
        """
        value, grad = self._evaluate(users, items, item_ids, log_q, True, sample_weight, grad_output, n_threads)
        assert grad is not None
        return value, grad

    def grad(
        self,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        *,
        item_ids: npt.ArrayLike | None = None,
        log_q: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> InBatchSoftmaxGrad:
        """The gradients alone; parameters as for `value_and_grad`."""
        grad = self._evaluate(users, items, item_ids, log_q, True, sample_weight, grad_output, n_threads)[1]
        assert grad is not None
        return grad

    def _evaluate(
        self,
        users: Any,
        items: Any,
        item_ids: Any,
        log_q: Any,
        want_grad: bool,
        sample_weight: Any,
        grad_output: Any,
        n_threads: int | None,
    ) -> tuple[Any, InBatchSoftmaxGrad | None]:
        x, real, dtype = _validate.real_input("users", users)
        w = _validate.weights("items", items)
        if x.ndim != 2:
            raise ValueError(f"users has shape {x.shape}; allowed is rank 2, (N, D)")
        if w.shape != x.shape:
            raise ValueError(f"items has shape {w.shape}; allowed is users', {x.shape}")
        n_rows, dim = x.shape
        own = np.arange(n_rows)
        order, hit_first, hit_last = None, own, own + 1
        if item_ids is not None:
            ids = _validate.native(_validate.class_ids("item_ids", item_ids)[0], own.dtype)
            if ids.shape != (n_rows,):
                raise ValueError(f"item_ids has shape {ids.shape}; allowed is ({n_rows},), one a row")
            _, order, _, hit_first, hit_last = group(ids, ids)
        bias = np.zeros(n_rows, real)
        if log_q is not None:
            q = _validate.weights("log_q", log_q)
            if q.shape != (n_rows,):
                raise ValueError(f"log_q has shape {q.shape}; allowed is ({n_rows},), one a row")
            if not np.isfinite(q).all():
                at = int(np.argmin(np.isfinite(q)))
                raise ValueError(f"log_q[{at}] = {q[at]} is not finite")
            bias = (-q.astype(FLOAT64)).astype(real)
        weighting = Weighting.of(self.reduction, sample_weight, grad_output, n_rows)
        threads = _threads.choose(n_threads, 6 * n_rows * n_rows * dim / FLOPS_PER_NS)
        loss = np.empty(n_rows)
        grad = InBatchSoftmaxGrad(np.empty(x.shape, real), np.empty(x.shape, real)) if want_grad else None
        grad_bias = np.empty(n_rows, real)
        if n_rows:
            drivers.run_sampled(
                real is FLOAT64, drivers.SOFTMAX, n_rows, dim, n_rows, 1, 1 / self.temperature, x,
                _validate.native(w, real), None, own, bias, bias, order, hit_first, hit_last,
                weighting.of_gradients(n_rows, real) if want_grad else None, loss, grad and grad.users,
                grad and grad.items, grad_bias, n_rows, own, np.arange(n_rows + 1), own, grad and grad.items, grad_bias,
                0, None, None, threads,
            )  # fmt: skip
        value = weighting.value(loss, dtype)
        if grad is None:
            return value, None
        with np.errstate(over="ignore"):
            return value, InBatchSoftmaxGrad(*(g.astype(dtype, copy=False) for g in grad))


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
        self._last = np.zeros(self.num_buckets, np.int64)  # 0: never
        self._interval = np.zeros(self.num_buckets)

    def __repr__(self) -> str:
        return f"FrequencyEstimator(num_buckets={self.num_buckets}, rate={self.rate})"

    def update(self, ids: npt.ArrayLike) -> None:
        """Take notice of a batch's items; one that occurs twice in it counts once.

        Parameters
        ----------
        ids : array_like of integers
        """
        buckets = np.unique(self._buckets(ids))
        self.step += 1
        gap = self.step - self._last[buckets]
        before = self._interval[buckets]
        self._interval[buckets] = np.where(self._last[buckets] > 0, before + self.rate * (gap - before), gap)
        self._last[buckets] = self.step

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
        interval = self._interval[self._buckets(ids)]
        result: Array = np.log(1 / np.where(interval > 0, np.maximum(interval, 1.0), self.step + 1.0))
        return result

    def _buckets(self, ids: Any) -> Array:
        array = _validate.as_array("ids", ids)
        mixed = _validate.class_ids("ids", array)[0].astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        result: Array = ((mixed ^ (mixed >> np.uint64(29))) % np.uint64(self.num_buckets)).astype(np.int64)
        return result
