"""What the losses at sampled classes of a linear layer have in common."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._kernels.drivers import Labels
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, INT64, Array, Shape
from lossext.losses.layer._call import (
    LayerTotals,
    RaggedIds,
    explain,
    is_csr,
    ragged_ids,
)
from lossext.row_sparse import RowSparse
from lossext.samplers import UniformSampler, checked_seed


class SampledSoftmaxGrad(NamedTuple):
    """Gradients of a loss over a linear layer: those of weights and biases hold the rows that were touched.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> weights, biases, inputs = np.zeros((1000, 3)), np.zeros(1000), np.ones((2, 3))
    >>> loss = lx.SampledSoftmaxLoss(num_sampled=5, num_classes=1000)
    >>> grad = loss.grad(weights, biases, [7, 8], inputs)
    >>> print(grad.weights, grad.biases, grad.inputs.shape)
    RowSparse(7 rows of shape (1000, 3), float64) RowSparse(7 rows of shape (1000,), float64) (2, 3)
    >>> grad.weights.sgd(weights, learning_rate=0.1)
    >>> print(weights.any(axis=1).sum())
    7
    """

    weights: RowSparse
    biases: RowSparse
    inputs: Array


def labels_of(labels: Labels, rows: Array) -> Labels:
    """Those of some rows."""
    if labels.start is None:
        n_true = labels.shape[1]
        place = (rows[:, None] * n_true + np.arange(n_true)).ravel()
        share = None if labels.share is None else labels.share[place]
        return Labels(labels.ids[place], None, share, place, (len(rows), n_true), None)
    chosen = RaggedIds(labels.ids, labels.start, labels.share, labels.place, labels.shape).take(rows)
    return Labels(chosen.ids, chosen.start, chosen.weight, chosen.place, labels.shape, None)


def ragged_labels(labels: Any, n_rows: int, n_classes: int) -> Labels:
    """A CSR matrix, or ids padded with -1."""
    ids, start, weight, place, shape = ragged_ids("labels", labels, n_rows, n_classes)
    known = start[1:] > start[:-1]
    return Labels(ids, start, weight, place, shape, None if known.all() else known)


@_validate.quiet
def with_shares(labels: Labels, label_weight: Any, n_rows: int) -> Labels:
    """Labels with shares in proportion to their weights; those of CSR labels are their data."""
    weight, name = labels.share, "labels.data" if label_weight is None else "label_weight"
    if label_weight is not None:
        if weight is not None:
            raise ValueError("label_weight is given, and labels is a CSR matrix, whose data are the weights")
        array = _validate.weights("label_weight", label_weight)
        if array.shape != labels.shape and not (array.ndim == 1 and labels.shape == (n_rows, 1) == (len(array), 1)):
            raise ValueError(f"label_weight has shape {array.shape}; allowed is the labels', {labels.shape}")
        weight = array.astype(FLOAT64).ravel()
        weight = weight if labels.place is None else weight[labels.place]
    if weight is None:
        return labels
    start = labels.start
    if start is None:
        start = np.arange(n_rows + 1) * labels.shape[1]
    row = np.repeat(np.arange(n_rows), np.diff(start))
    total = np.bincount(row, weight, minlength=n_rows)
    bad = ~((weight >= 0) & (weight < math.inf))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name} of a label of row {row[at]} is {weight[at]}, which is not finite and at least 0")
    light = ~((total > 0) & (total < math.inf)) & (np.diff(start) > 0)
    if light.any():
        at = int(np.argmax(light))
        raise ValueError(f"weights of the labels of row {at} add up to {total[at]}, which is not finite and positive")
    return Labels(labels.ids, labels.start, weight / total[row], labels.place, labels.shape, labels.known)


def checked_values(sampled_values: Any) -> tuple[Array, Array, Array] | None:
    """sampled_values as three arrays; counts, and what depends on the layer and the labels, are checked at the call."""
    if sampled_values is None:
        return None
    if not isinstance(sampled_values, (list, tuple)):
        raise TypeError(f"sampled_values must be a list or tuple, not {type(sampled_values).__name__}")
    if len(sampled_values) != 3:
        raise ValueError(
            f"sampled_values has length {len(sampled_values)}; allowed is 3: sampled_candidates, true_expected_count, "
            "sampled_expected_count"
        )
    names = ("sampled_candidates", "true_expected_count", "sampled_expected_count")
    candidates, true_count, sampled_count = (
        _validate.as_array(f"sampled_values' {name}", value) for name, value in zip(names, sampled_values, strict=True)
    )
    if candidates.ndim != 1:
        raise ValueError(f"sampled_candidates has shape {candidates.shape}; allowed is rank 1, (S,)")
    if sampled_count.shape != candidates.shape:
        raise ValueError(f"sampled_expected_count has shape {sampled_count.shape}; allowed is {candidates.shape}")
    _validate.require_real("true_expected_count", true_count)
    _validate.require_real("sampled_expected_count", sampled_count)
    return candidates, true_count, sampled_count


def log_counts(name: str, counts: Array, place: Array | None) -> Array:
    """Logarithms of expected counts, of those at `place`."""
    chosen = counts.ravel() if place is None else counts.ravel()[place]
    logs = np.empty(len(chosen))
    at = drivers.log_counts(_validate.native(chosen, FLOAT64), logs)
    if at >= 0:
        index = np.unravel_index(at if place is None else int(place[at]), counts.shape)
        raise ValueError(f"{_validate.item(name, index)} = {counts[index]} is not finite and positive")
    return logs


# what drivers.evaluate_sampled leaves to Python
RARE = SimpleNamespace(
    validate=_validate,
    threads=_threads,
    is_csr=is_csr,
    ragged_labels=ragged_labels,
    ragged_ids=ragged_ids,
    with_shares=with_shares,
    labels_of=labels_of,
    explain=explain,
    row_sparse=RowSparse.of_unique,
    gradients=SampledSoftmaxGrad,
)


class SampledLoss(LayerTotals, Parameterized):
    """Base of the losses that compare a row's labels with sampled classes."""

    _kind: ClassVar[int]
    num_sampled = Parameter[int]()
    num_classes = Parameter[int]()
    num_true = Parameter[int | None]()
    sampled_values = Parameter[Any]()
    remove_accidental_hits = Parameter[bool]()
    seed = Parameter[Any]()
    reduction = Parameter[str]()
    sampler = Parameter[Any]()
    _own_sampler: UniformSampler

    def _start(self, num_sampled: Any, num_classes: Any, num_true: Any, **parameters: Any) -> None:
        classes = _validate.positive("num_classes", num_classes)
        counts = {"num_sampled": num_sampled, "num_true": num_true}
        for name, value in counts.items():
            if value is None and name == "num_true":
                continue
            counts[name] = _validate.positive(name, value)
            if value > classes:
                raise ValueError(f"{name} = {value} is greater than num_classes = {classes}")
        sampler = parameters["sampler"]
        if sampler is not None:
            if not callable(getattr(sampler, "sample", None)):
                raise TypeError(f"sampler must have a method sample(labels, num_sampled), not {type(sampler).__name__}")
            if getattr(sampler, "num_classes", classes) != classes:
                raise ValueError(f"sampler has num_classes = {sampler.num_classes}; allowed is the loss's, {classes}")
        values = checked_values(parameters["sampled_values"])
        if values is not None:
            _validate.class_ids("sampled_candidates", values[0])
            log_counts("sampled_expected_count", values[2], None)
        self._set_parameters(
            num_sampled=counts["num_sampled"],
            num_classes=classes,
            num_true=counts["num_true"],
            sampled_values=values,
            remove_accidental_hits=_validate.boolean("remove_accidental_hits", parameters["remove_accidental_hits"]),
            seed=checked_seed(parameters["seed"]),
            reduction=_validate.reduction(parameters["reduction"]),
            sampler=sampler,
        )
        self.__dict__["_own_sampler"] = UniformSampler(classes, seed=parameters["seed"])

    def spawn(self, n: int) -> list[Any]:
        """Losses like this one whose draws are independent of each other's and of its own: one for each worker.

        See `lossext.samplers.UniformSampler.spawn`; a `sampler` of the caller's must have this method too.

        Parameters
        ----------
        n : int
            At least 1.

        Returns
        -------
        list of losses

        Raises
        ------
        TypeError
            n is not an int, or the sampler has no method ``spawn``.
        ValueError
            n is less than 1.

        Examples
        --------
        >>> import lossext as lx
        >>> for_workers = lx.SampledSoftmaxLoss(num_sampled=5, num_classes=100, seed=0).spawn(4)
        """
        sampler = self._own_sampler if self.sampler is None else self.sampler
        if not callable(getattr(sampler, "spawn", None)):
            raise TypeError(f"sampler must have a method spawn(n), not {type(sampler).__name__}")
        spawned = []
        for child in sampler.spawn(n):
            loss = type(self).__new__(type(self))
            changed = {"seed": child.seed} if self.sampler is None else {"sampler": child}
            loss.__dict__.update(self.__dict__)
            loss.__dict__["_parameters"] = {**self._parameters, **changed}
            loss.__dict__["_own_sampler"] = child if self.sampler is None else copy.deepcopy(self._own_sampler)
            spawned.append(loss)
        return spawned

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __call__(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sampled_values: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        label_weight: npt.ArrayLike | None = None,
        exclude: Any = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        weights, biases, labels, inputs : array_like
            (V, D), (V,), (N, num_true) and (N, D); see the class for types, and for other numbers of labels.
        sampled_values : optional
            Instead of those given at construction.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``. A row of weight 0 takes no
            part, whatever its label.
        label_weight : array_like of the labels' shape, optional
            Shares of a row's labels in its target, up to a factor. Default: equal; CSR labels have their data.
        exclude : array_like of ints (N, M) padded with -1, or CSR matrix (N, V), optional
            Classes that a row does not meet among its negatives, such as its history.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of inputs' dtype, or an array (N,) for ``reduction="none"``.
        """
        options = sampled_values, sample_weight, None, label_weight, exclude, n_threads
        return drivers.evaluate_sampled(self, RARE, (weights, biases, labels, inputs), options, False)[0]

    def value_and_grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sampled_values: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        label_weight: npt.ArrayLike | None = None,
        exclude: Any = None,
        n_threads: int | None = None,
    ) -> tuple[Any, SampledSoftmaxGrad]:
        """``(value, gradients)``.

        Parameters
        ----------
        weights, biases, labels, inputs, sampled_values, sample_weight, label_weight, exclude, n_threads
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar for mean and sum, (N,) for none. Default 1.

        Returns
        -------
        value : numpy scalar or ndarray
        gradients : SampledSoftmaxGrad
            ``weights`` and ``biases`` as `RowSparse`, ``inputs`` an array (N, D).
        """
        options = sampled_values, sample_weight, grad_output, label_weight, exclude, n_threads
        return drivers.evaluate_sampled(self, RARE, (weights, biases, labels, inputs), options, True)

    def grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sampled_values: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        label_weight: npt.ArrayLike | None = None,
        exclude: Any = None,
        n_threads: int | None = None,
    ) -> SampledSoftmaxGrad:
        """The gradients alone, of classes drawn anew; parameters as for `value_and_grad`."""
        return self.value_and_grad(
            weights,
            biases,
            labels,
            inputs,
            sampled_values=sampled_values,
            sample_weight=sample_weight,
            grad_output=grad_output,
            label_weight=label_weight,
            exclude=exclude,
            n_threads=n_threads,
        )[1]

    def _require_something_to_draw(self, labels: Labels, exclude: RaggedIds, rows: Array | None) -> None:
        """ValueError if a row's exclusions, with its labels, are all classes."""
        n_classes, n_rows = self.num_classes, len(exclude.start) - 1
        start = labels.start
        if start is None:
            start = np.arange(n_rows + 1) * labels.shape[1]
        most = np.diff(exclude.start) + (np.diff(start) if self.remove_accidental_hits else 0)
        for i in np.flatnonzero(most >= n_classes):
            out = exclude.ids[exclude.start[i] : exclude.start[i + 1]]
            if self.remove_accidental_hits:
                out = np.concatenate([out, labels.ids[start[i] : start[i + 1]]])
            if len(np.unique(out)) == n_classes:
                row = i if rows is None else rows[i]
                raise ValueError(
                    f"exclude leaves row {row} nothing to draw: {exclude.start[i + 1] - exclude.start[i]} classes are "
                    f"excluded and {start[i + 1] - start[i]} are its labels, of num_classes = {n_classes}"
                )

    def _take_classes(
        self, ids: drivers.LayerIds, labels: Labels, counts_shape: Shape, sampled_values: Any
    ) -> tuple[Array | None, Array | None]:
        """Give the kernels the classes of a call; the logarithms of expected counts (of labels, of classes)."""
        values = self._parameters["sampled_values"] if sampled_values is None else checked_values(sampled_values)
        place = labels.place
        if values is None:
            values = self._draw(labels)
            if isinstance(values, np.ndarray):
                ids.take_classes(values)
                return None, None
            place = None  # drawn for these very labels
            counts_shape = labels.shape if labels.start is None else labels.ids.shape
        candidates, true_count, sampled_count = values
        given_shape = true_count.shape
        if true_count.ndim == 1 and counts_shape[1:] == (1,):
            true_count = true_count.reshape(-1, 1)
        if true_count.shape != counts_shape:
            raise ValueError(f"true_expected_count has shape {given_shape}; allowed is the labels', {counts_shape}")
        ids.take_classes(_validate.native(_validate.class_ids("sampled_candidates", candidates)[0], INT64))
        return (
            log_counts("true_expected_count", true_count, place),
            log_counts("sampled_expected_count", sampled_count, None),
        )

    def _draw(self, labels: Labels) -> Array | tuple[Array, Array, Array]:
        """Classes with their expected counts, or without if those cancel."""
        sampler = self._own_sampler if self.sampler is None else self.sampler
        of_rows = labels.ids.reshape(labels.shape) if labels.start is None else labels.ids
        values: tuple[Array, Array, Array] | None = checked_values(sampler.sample(of_rows, self.num_sampled))
        if values is None:
            raise TypeError(
                "sampler.sample(labels, num_sampled) returned None; allowed is a triple, as of sampled_values"
            )
        return values
