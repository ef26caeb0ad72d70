"""In-batch softmax loss of two-tower models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, Array
from lossext.losses.layer._call import LayerTotals, as_result, threads_for, weighting_of
from lossext.row_sparse import RowSparse


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

    def item_rows(self, item_ids: npt.ArrayLike, num_items: int) -> RowSparse:
        """The gradient with respect to an embedding table from which ``items = table[item_ids]`` were taken.

        Parameters
        ----------
        item_ids : array_like of integers, one per row of items
            Rows of the table.
        num_items : int
            Number of rows of the table.

        Returns
        -------
        RowSparse
            Of shape (num_items, D); gradients of the same item are summed.

        Examples
        --------
        >>> import numpy as np, lossext as lx
        >>> table, ids = np.eye(5, 3), [2, 0, 2]
        >>> grad = lx.InBatchSoftmaxLoss().grad(np.ones((3, 3)), table[ids], item_ids=ids)
        >>> grad.item_rows(ids, len(table)).sgd(table, learning_rate=0.1)
        """
        return RowSparse(item_ids, self.items, (num_items, self.items.shape[1]))


class InBatchSoftmaxLoss(LayerTotals, Parameterized):
    r"""Softmax cross entropy of users against the items of their batch.

    Row i of users :math:`u` belongs to row i of items :math:`v`; the items of the other rows are its negatives. With
    the temperature :math:`\tau` and the probability :math:`q_j` that item j is in a batch,

    .. math:: s_{ij} = \frac{u_i \cdot v_j}{\tau} - \log q_j, \qquad loss_i = \log \sum_j e^{s_{ij}} - s_{ii},

    where the sum excludes other rows with the same item as row i.

    Parameters
    ----------
    temperature : float
        Divides the scores; above 0.
    reduction : {"mean", "sum", "none"}
        Mean over the N rows, their sum, or one value per row.
    normalize : bool
        Whether to divide each row of users and items by its norm, so that scores are cosines. A row of zeros is kept,
        with a gradient of 0.
    symmetric : bool
        Whether to average this loss and that of items against the users of their batch (without log_q), as in CLIP.

    Raises
    ------
    TypeError
        temperature is not a real number; normalize or symmetric is not a bool; reduction is not a str; users, items or
        log_q are not real; item_ids are not integers.
    ValueError
        temperature is not finite and positive; reduction is unknown; shapes do not match; log_q holds NaN or infinity.

    Notes
    -----
    *users* (N, D) determines the dtype, as the inputs of `SampledSoftmaxLoss` do; *items* is cast to it and may have
    more rows than users. The additional items are negatives for every user, and `item_ids` and `log_q` cover them, too.
    For large N the matrix of scores is never stored as a whole. Small probabilities in gradients are treated as in
    `LinearSoftmaxLoss`. Results do not depend on the number of threads.

    NT-Xent of two views a and b of N objects (Chen et al., "A simple framework for contrastive learning", 2020) is
    ``InBatchSoftmaxLoss(temperature, normalize=True)`` with users ``concatenate([a, b])``, items
    ``concatenate([b, a])`` and item_ids ``tile(arange(N), 2)``, so that no view is its own negative.

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
    normalize = Parameter[bool]()
    symmetric = Parameter[bool]()

    def __init__(
        self, temperature: float = 1.0, reduction: str = "mean", *, normalize: bool = False, symmetric: bool = False
    ) -> None:
        number = _validate.finite_real("temperature", temperature)
        if number <= 0:
            raise ValueError(f"temperature = {number} is not above 0")
        self._set_parameters(
            temperature=number,
            reduction=_validate.reduction(reduction),
            normalize=_validate.boolean("normalize", normalize),
            symmetric=_validate.boolean("symmetric", symmetric),
        )

    def __repr__(self) -> str:
        """Keywords at their defaults are left out."""
        more = "".join(f", {name}=True" for name in ("normalize", "symmetric") if self._parameters[name])
        return f"InBatchSoftmaxLoss(temperature={self.temperature!r}, reduction={self.reduction!r}{more})"

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
        users : array_like of shape (N, D)
            Outputs of one tower.
        items : array_like of shape (M, D), M at least N
            Outputs of the other: row i < N belongs to user i, the rest are negatives of all.
        item_ids : array_like of integers (M,), optional
            Which item each row holds: rows that hold the same one are not each other's negatives. Default: all differ.
        log_q : array_like of shape (M,), optional
            Logarithm of the probability that the row's item is in a batch, for example from `FrequencyEstimator`. A
            number added to all of them changes nothing, so they may be unnormalised, and above 0.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``. The user of a row of weight 0
            takes no part; its item stays among the negatives.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of users' dtype, or an array (N,) for ``reduction="none"``.
        """
        wanted = False, sample_weight, None, n_threads
        return self._evaluate(users, items, item_ids, log_q, wanted)[0]

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
        wanted = True, sample_weight, grad_output, n_threads
        value, grad = self._evaluate(users, items, item_ids, log_q, wanted)
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
        wanted = True, sample_weight, grad_output, n_threads
        grad = self._evaluate(users, items, item_ids, log_q, wanted)[1]
        assert grad is not None
        return grad

    @_validate.quiet
    def _evaluate(
        self,
        users: Any,
        items: Any,
        item_ids: Any,
        log_q: Any,
        wanted: tuple[bool, Any, Any, int | None],
    ) -> tuple[Any, InBatchSoftmaxGrad | None]:
        want_grad, sample_weight, grad_output, n_threads = wanted
        x, real, dtype = _validate.real_input("users", users)
        w = _validate.weights("items", items)
        if x.ndim != 2:
            raise ValueError(f"users has shape {x.shape}; allowed is rank 2, (N, D)")
        if w.ndim != 2 or len(w) < len(x) or w.shape[1] != x.shape[1]:
            raise ValueError(f"items has shape {w.shape}; allowed is users', {x.shape}, or more rows: negatives of all")
        w = _validate.native(w, real)
        n_rows, n_items = len(x), len(w)
        keys = None if item_ids is None else item_keys("item_ids", item_ids, n_items)
        bias = np.zeros(n_items, real)
        if log_q is not None:
            bias = as_result(-checked_log_q(log_q, n_items), real)
        weighting = weighting_of(self.reduction, sample_weight, grad_output, n_rows)
        weighting.leave_out(None)
        user_norm = item_norm = np.empty(0)
        if self.normalize:
            (x, user_norm), (w, item_norm) = unit_rows(x, real), unit_rows(w, real)
        part = 0.5 if self.symmetric else 1.0
        direction = Direction(self.temperature, weighting, part if want_grad else None, n_threads)
        job, grad_users, grad_items = direction.run(drivers.Layer(w, bias, x, real, dtype), keys)
        value = weighting.value(job, FLOAT64)
        if self.symmetric:
            back = drivers.Layer(x, np.zeros(n_rows, real), w[:n_rows], real, dtype)
            other, back_items, back_users = direction.run(back, None if keys is None else keys[:n_rows])
            value = (value + weighting.value(other, FLOAT64)) / 2
            if want_grad:
                grad_users += back_users
                grad_items[:n_rows] += back_items
        value = as_result(np.asarray(value), dtype)[()]
        if not want_grad:
            return value, None
        if self.normalize:
            grad_users, grad_items = through_norm(grad_users, x, user_norm), through_norm(grad_items, w, item_norm)
        return value, InBatchSoftmaxGrad(as_result(grad_users, dtype), as_result(grad_items, dtype))


class Direction(NamedTuple):
    """How rows are compared with a batch's classes; of users with items, or of items with users."""

    temperature: float
    weighting: drivers.Weighting
    grad_scale: float | None  # None: no gradients are wanted
    n_threads: int | None

    def run(self, layer: drivers.Layer, keys: Array | None) -> tuple[drivers.LayerJob, Any, Any]:
        """The job, which has the losses; gradients of all inputs and of all classes."""
        rows, n_classes = self.weighting.rows, layer.classes
        own = np.arange(self.weighting.n_rows) if rows is None else rows
        if rows is not None:
            layer = layer.take(rows)
        n_rows, dim = layer.rows, layer.dim
        ids = drivers.LayerIds(n_rows, n_classes)
        ids.take_labels(own, None)
        if keys is None:
            ids.group_all(True, None, None)
        else:
            ids.group_twins(keys)
        job = drivers.new_job(drivers.SOFTMAX, layer, layer.weights, layer.biases, ids)
        job.scale = 1 / self.temperature
        self.weighting.prepare(job, self.grad_scale is not None, self.grad_scale or 1.0)
        if self.grad_scale is not None:
            make = np.empty if n_rows else np.zeros
            job.grad_weights, job.grad_biases = make((n_classes, dim), layer.real), make(n_classes, layer.real)
            job.grad_inputs = np.empty((n_rows, dim), layer.real)
        threads = threads_for(self.n_threads, 3, n_rows, n_classes, dim)
        if n_rows:
            job.run(threads)
        if self.grad_scale is None:
            return job, None, None
        return job, self.weighting.all_rows(job.grad_inputs), job.grad_weights


def item_keys(name: str, value: Any, n_items: int) -> Array:
    """Ids of any 64 bits as distinct int64."""
    array = _validate.as_array(name, value)
    if array.dtype.kind != "u" or array.dtype.itemsize < 8:
        array = _validate.class_ids(name, array if array.size else value)[0]
    if array.shape != (n_items,):
        raise ValueError(f"{name} has shape {array.shape}; allowed is ({n_items},), one per row of items")
    if array.dtype.kind == "u":
        array = array.astype(np.uint64, copy=False).view(np.int64)
    return _validate.native(array, np.dtype(np.int64))


def checked_log_q(value: Any, n_items: int) -> Array:
    """One finite number per row of items, in float64."""
    q = _validate.weights("log_q", value)
    if q.shape != (n_items,):
        raise ValueError(f"log_q has shape {q.shape}; allowed is ({n_items},), one per row of items")
    if not np.isfinite(q).all():
        at = int(np.argmin(np.isfinite(q)))
        raise ValueError(f"log_q[{at}] = {q[at]} is not finite")
    return q.astype(FLOAT64)


def unit_rows(array: Array, real: np.dtype[Any]) -> tuple[Array, Array]:
    """Rows over their lengths, and these; a row of zeros stays one. No square overflows."""
    with np.errstate(all="ignore"):
        peak = np.abs(array).max(axis=1, initial=0, keepdims=True).astype(FLOAT64)
        scaled = array / np.where(peak > 0, peak, 1)
        length = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
        unit = scaled / np.where(peak > 0, length, 1)
        return np.ascontiguousarray(unit, real), peak * length


def through_norm(grad: Array, unit: Array, length: Array) -> Array:
    """The gradient of rows, out of that of the unit rows: (g - (g . u) u) / length; 0 at a row of zeros."""
    with np.errstate(all="ignore"):
        g = grad.astype(FLOAT64)
        along = (g * unit).sum(axis=1, keepdims=True)
        result = np.where(length == 0, 0.0, (g - along * unit) / length)
    return as_result(result, grad.dtype)
