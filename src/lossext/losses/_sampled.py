"""What the losses over some classes of a linear layer have in common: the way from a call to the kernels."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, INT64, Array
from lossext.row_sparse import RowSparse
from lossext.samplers import UniformSampler, checked_seed

FLOPS_PER_NS = 100.0  # of one thread of an AVX-512 machine, for the choice of threads


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


class Layer(NamedTuple):
    """A linear layer, and rows that it is applied to."""

    weights: Array  # (V, D), as the caller gave it
    biases: Array  # (V,), as the caller gave it
    inputs: Array  # (N, D), native
    real: np.dtype[Any]  # of the kernels
    dtype: np.dtype[Any]  # of the results


def checked_layer(weights: Any, biases: Any, inputs: Any, num_classes: int | None = None) -> Layer:
    """The arrays of a call, checked."""
    x, real, dtype = _validate.real_input("inputs", inputs)
    w, b = _validate.weights("weights", weights), _validate.weights("biases", biases)
    if x.ndim != 2:
        raise ValueError(f"inputs has shape {x.shape}; allowed is rank 2, (N, D)")
    if w.ndim != 2 or w.shape[1] != x.shape[1]:
        raise ValueError(f"weights has shape {w.shape}; allowed is (V, {x.shape[1]}), a row a class, as wide as inputs")
    if num_classes is not None and len(w) != num_classes:
        raise ValueError(f"weights has shape {w.shape}; allowed is ({num_classes}, {x.shape[1]}): num_classes rows")
    if b.shape != w.shape[:1]:
        raise ValueError(f"biases has shape {b.shape}; allowed is {w.shape[:1]}, one a row of weights")
    return Layer(w, b, x, real, dtype)


def checked_labels(labels: Any, layer: Layer, num_true: int) -> Array:
    """Labels as int64 (N, num_true), each a row of the layer."""
    ids = _validate.ids_in_range("labels", labels, len(layer.weights))
    n_rows = len(layer.inputs)
    if num_true == 1 and ids.ndim == 1:
        ids = ids.reshape(-1, 1)
    if ids.shape != (n_rows, num_true):
        also = f" or ({n_rows},)" if num_true == 1 else ""
        raise ValueError(f"labels has shape {np.shape(labels)}; allowed is ({n_rows}, {num_true}){also}")
    return ids


def checked_values(sampled_values: Any) -> tuple[Array, Array, Array] | None:
    """sampled_values as three arrays; what depends on the layer and the labels is checked at the call."""
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
    for name, counts in (("true_expected_count", true_count), ("sampled_expected_count", sampled_count)):
        _validate.require_real(name, counts)
        bad = ~((counts > 0) & (counts < math.inf))
        if bad.any():
            at = np.unravel_index(int(np.argmax(bad)), counts.shape)
            raise ValueError(f"{_validate.item(name, at)} = {counts[at]} is not finite and positive")
    _validate.class_ids("sampled_candidates", candidates)
    return candidates, true_count, sampled_count


class Grouped(NamedTuple):
    """The rows of a layer that a call touches, and who touches them; see drivers.group_ids."""

    rows: Array
    order: Array
    start: Array
    hit_first: Array
    hit_last: Array


def group(labels: Array, ids: Array) -> Grouped:
    keys = np.concatenate([labels.ravel(), ids])
    order, start, unique = np.empty(len(keys), INT64), np.empty(len(keys) + 1, INT64), np.empty(len(keys), INT64)
    hit_first, hit_last = np.empty(labels.size, INT64), np.empty(labels.size, INT64)
    n_groups = drivers.group_ids(keys, labels.size, order, start, unique, hit_first, hit_last)
    return Grouped(unique[:n_groups], order, start[: n_groups + 1], hit_first, hit_last)


class Weighting(NamedTuple):
    """What multiplies each row's loss and gradient."""

    reduction: str
    row_weight: Array | None
    upstream: Array | None
    scale: float

    @classmethod
    def of(cls, reduction: str, sample_weight: Any, grad_output: Any, n_rows: int) -> Weighting:
        row_weight = _validate.sample_weights(sample_weight, n_rows, FLOAT64)
        upstream, scale = _validate.upstream(grad_output, (n_rows,) if reduction == "none" else None, FLOAT64)
        return cls(reduction, row_weight, upstream, scale / max(n_rows, 1) if reduction == "mean" else scale)

    def value(self, loss: Array, dtype: np.dtype[Any]) -> Any:
        """The rows' losses as the caller wants them."""
        if self.row_weight is not None:
            loss = loss * self.row_weight
        with np.errstate(over="ignore"):
            if self.reduction == "none":
                return loss.astype(dtype, copy=False)
            total = loss.sum()
            return dtype.type(total if self.reduction == "sum" else total / len(loss) if len(loss) else math.nan)

    def of_gradients(self, n_rows: int, real: np.dtype[Any]) -> Array:
        """What each row's gradient is multiplied by."""
        factor = np.full(n_rows, self.scale)
        for other in (self.upstream, self.row_weight):
            if other is not None:
                factor *= other
        return factor.astype(real)


def evaluate(
    kind: int,
    layer: Layer,
    labels: Array,
    sampled: Array,
    log_counts: tuple[Array, Array] | None,
    remove_accidental_hits: bool,
    want_grad: bool,
    weighting: Weighting,
    n_threads: int | None,
) -> tuple[Any, SampledSoftmaxGrad | None]:
    """Value and gradients of a loss at the sampled classes; log counts (of labels, of classes) of None cancel."""
    weights, biases, x, real, dtype = layer
    (n_rows, dim), num_true, n_sampled = x.shape, labels.shape[1], len(sampled)
    threads = _threads.choose(n_threads, 6 * n_rows * n_sampled * dim / FLOPS_PER_NS)
    groups = group(labels, sampled)
    true_bias, bias = (np.take(biases, ids).astype(FLOAT64) for ids in (labels, sampled))
    if log_counts is not None:
        true_bias -= log_counts[0]
        bias -= log_counts[1]
    label_rows, ids = labels, sampled
    if weights.dtype != real or not _validate.ready(weights):  # the kernels get a copy, of the touched rows alone
        place = np.empty(len(groups.order), INT64)
        place[groups.order] = np.repeat(np.arange(len(groups.rows)), np.diff(groups.start))
        label_rows, ids = place[: labels.size], place[labels.size :]
        weights = _validate.native(weights[groups.rows], real)

    upstream = weighting.of_gradients(n_rows, real) if want_grad else None
    n_groups = len(groups.rows) if n_rows and want_grad else 0
    loss, grad_inputs = np.empty(n_rows), np.empty((n_rows if want_grad else 0, dim), real)
    grad_classes = np.empty((n_sampled if want_grad else 0, dim), real)
    merged, merged_bias = np.empty((n_groups, dim), real), np.empty(n_groups, real)
    if n_rows:
        drivers.run_sampled(
            real is FLOAT64, kind, n_rows, dim, n_sampled, num_true, 1.0, x, weights, ids, label_rows,
            bias.astype(real), true_bias.astype(real), groups.order,
            groups.hit_first if remove_accidental_hits else None, groups.hit_last, upstream, loss, grad_inputs,
            grad_classes, np.empty(len(grad_classes), real), n_groups, groups.order, groups.start, None, merged,
            merged_bias, 0, None, None, threads,
        )  # fmt: skip
    value = weighting.value(loss, dtype)
    if not want_grad:
        return value, None
    touched = groups.rows[:n_groups].copy()
    with np.errstate(over="ignore"):
        return value, SampledSoftmaxGrad(
            RowSparse.of_unique(touched, merged.astype(dtype, copy=False), layer.weights.shape),
            RowSparse.of_unique(touched, merged_bias.astype(dtype, copy=False), layer.biases.shape),
            grad_inputs.astype(dtype, copy=False),
        )


class SampledLoss(Parameterized):
    """Base of the losses that compare a row's labels with sampled classes."""

    _kind: ClassVar[int]
    num_sampled = Parameter[int]()
    num_classes = Parameter[int]()
    num_true = Parameter[int]()
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
            counts[name] = _validate.positive(name, value)
            if value > classes:
                raise ValueError(f"{name} = {value} is greater than num_classes = {classes}")
        sampler = parameters["sampler"]
        if sampler is not None:
            if not callable(getattr(sampler, "sample", None)):
                raise TypeError(f"sampler must have a method sample(labels, num_sampled), not {type(sampler).__name__}")
            if getattr(sampler, "num_classes", classes) != classes:
                raise ValueError(f"sampler has num_classes = {sampler.num_classes}; allowed is the loss's, {classes}")
        self._set_parameters(
            num_sampled=counts["num_sampled"],
            num_classes=classes,
            num_true=counts["num_true"],
            sampled_values=checked_values(parameters["sampled_values"]),
            remove_accidental_hits=_validate.boolean("remove_accidental_hits", parameters["remove_accidental_hits"]),
            seed=checked_seed(parameters["seed"]),
            reduction=_validate.reduction(parameters["reduction"]),
            sampler=sampler,
        )
        self.__dict__["_own_sampler"] = UniformSampler(classes, seed=parameters["seed"])

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
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        weights, biases, labels, inputs : array_like
            (V, D), (V,), (N, num_true) and (N, D); see the class for types.
        sampled_values : optional
            Instead of those given at construction.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of inputs' dtype, or an array (N,) for ``reduction="none"``.
        """
        arrays = weights, biases, labels, inputs
        return self._evaluate(arrays, False, sampled_values, sample_weight, None, n_threads)[0]

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
        n_threads: int | None = None,
    ) -> tuple[Any, SampledSoftmaxGrad]:
        """``(value, gradients)``.

        Parameters
        ----------
        weights, biases, labels, inputs, sampled_values, sample_weight, n_threads
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar for mean and sum, (N,) for none. Default 1.

        Returns
        -------
        value : numpy scalar or ndarray
        gradients : SampledSoftmaxGrad
            ``weights`` and ``biases`` as `RowSparse`, ``inputs`` an array (N, D).
        """
        arrays = weights, biases, labels, inputs
        value, grad = self._evaluate(arrays, True, sampled_values, sample_weight, grad_output, n_threads)
        assert grad is not None
        return value, grad

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
            n_threads=n_threads,
        )[1]

    def _evaluate(
        self,
        arrays: tuple[Any, Any, Any, Any],
        want_grad: bool,
        sampled_values: Any,
        sample_weight: Any,
        grad_output: Any,
        n_threads: int | None,
    ) -> tuple[Any, SampledSoftmaxGrad | None]:
        weights, biases, labels, inputs = arrays
        layer = checked_layer(weights, biases, inputs, self.num_classes)
        ids = checked_labels(labels, layer, self.num_true)
        weighting = Weighting.of(self.reduction, sample_weight, grad_output, len(layer.inputs))
        sampled, log_counts = self._classes(ids, sampled_values)
        hits = self.remove_accidental_hits
        return evaluate(self._kind, layer, ids, sampled, log_counts, hits, want_grad, weighting, n_threads)

    def _classes(self, labels: Array, sampled_values: Any) -> tuple[Array, tuple[Array, Array] | None]:
        """The classes of a call, and the logarithms of expected counts (of labels, of classes)."""
        values = self.sampled_values if sampled_values is None else checked_values(sampled_values)
        if values is None:
            values = self._draw(labels)
            if isinstance(values, np.ndarray):
                return values, None
        candidates, true_count, sampled_count = values
        sampled = _validate.ids_in_range("sampled_candidates", candidates, self.num_classes)
        if self.num_true == 1 and true_count.ndim == 1:
            true_count = true_count.reshape(-1, 1)
        if true_count.shape != labels.shape:
            raise ValueError(f"true_expected_count has shape {values[1].shape}; allowed is the labels', {labels.shape}")
        return sampled, (np.log(true_count, dtype=FLOAT64), np.log(sampled_count, dtype=FLOAT64))

    def _draw(self, labels: Array) -> Array | tuple[Array, Array, Array]:
        """Classes with their expected counts, or without if those cancel."""
        sampler = self._own_sampler if self.sampler is None else self.sampler
        values: tuple[Array, Array, Array] | None = checked_values(sampler.sample(labels, self.num_sampled))
        assert values is not None
        return values
