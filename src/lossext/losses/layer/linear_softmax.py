"""Exact softmax cross entropy of a linear layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, INT64, Array
from lossext.losses.layer._call import (
    LayerTotals,
    as_result,
    checked_layer,
    csr_ids,
    explain,
    is_csr,
    threads_for,
    weighting_of,
)
from lossext.losses.layer._link import SoftmaxLink, log_shares

ROWS_AT_ONCE = 4096  # rows per pass of NumPy over a matrix


class LinearSoftmaxGrad(NamedTuple):
    """Dense gradients of the loss of a linear layer.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> weights, biases, inputs = np.zeros((3, 2)), np.zeros(3), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> grad = lx.LinearSoftmaxLoss("sum").grad(weights, biases, [0, 1], inputs)
    >>> weights -= 0.3 * grad.weights  # a step of gradient descent
    >>> print(weights.round(2).tolist(), grad.biases.round(2), grad.inputs.shape)
    [[0.2, -0.1], [-0.1, 0.2], [-0.1, -0.1]] [-0.33 -0.33  0.67] (2, 2)
    """

    weights: Array
    biases: Array
    inputs: Array


class LinearSoftmaxLoss(SoftmaxLink, LayerTotals, Parameterized):
    r"""Softmax cross entropy over all classes of a linear layer.

    For a row of inputs :math:`x` and its label :math:`l`,

    .. math:: \log \sum_c e^{x \cdot W_c + b_c} - (x \cdot W_l + b_l).

    It is the limit of `SampledSoftmaxLoss` for many sampled classes, and serves to evaluate models trained with that.
    Classes are processed in tiles, so the logits of all rows and classes are never stored together.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Mean over the known rows (with `weight`, divided by the sum of their labels' weights), their sum, or one value
        per row.
    ignore_index : int
        A row with this label is unknown: its value and gradients are 0, and it does not count in the mean.
    label_smoothing : float
        In [0, 1]: a row's target y becomes (1 - label_smoothing) y + label_smoothing / V, whatever the sum of soft
        labels, as in `torch.nn.CrossEntropyLoss`.
    weight : array_like of shape (V,), optional
        Class weights, which multiply the (smoothed) target.
    temperature : float
        Divides the logits; above 0.

    Raises
    ------
    TypeError
        labels are not integers; inputs, weights, biases or weight are not real; a parameter has a wrong type.
    ValueError
        A label is outside [0, V); a soft label is outside [0, 1]; shapes do not match; a parameter is out of its range;
        weights has no row.

    Notes
    -----
    *inputs* (N, D) determines the dtype: float32 and float64 are computed in their own precision, float16 in float32,
    integers in float64. *weights* (V, D) and *biases* (V,) are copied unless they have that dtype and are C-contiguous.
    *labels* has shape (N,) or (N, 1) and any integer dtype. Soft labels are a CSR matrix (N, V), such as SciPy's, of
    the rows' targets :math:`y`; the loss of a row is then :math:`\sum_c y_c (\log \sum_j e^{z_j} - z_c)`, and a row
    without entries is unknown, as with *ignore_index*.

    The default of *ignore_index* and the divisor of the mean are those of `torch.nn.CrossEntropyLoss`. Rows with
    sample_weight 0 are ignored, whatever their label.

    In addition to its results and arrays of N numbers, a call takes some 65 MB for D up to 256, and at most 150 MB. If
    the label's logit is the largest, the value is computed by log1p from the probabilities of the other classes and
    keeps its relative accuracy down to 0. In gradients, probabilities below 2e-31 (float64: 2e-292) times the largest
    of the row count as 0. Results do not depend on the number of threads.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> loss = lx.LinearSoftmaxLoss()
    >>> value, grad = loss.value_and_grad(np.eye(3), np.zeros(3), [0, 1], np.zeros((2, 3)))
    >>> print(value.round(8))  # log 3
    1.09861229
    >>> print(grad.biases.round(4))
    [-0.1667 -0.1667  0.3333]
    """

    reduction = Parameter[str]()
    ignore_index = Parameter[int]()
    label_smoothing = Parameter[float]()
    weight = Parameter[Any]()
    temperature = Parameter[float]()

    def __init__(
        self,
        reduction: str = "mean",
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        weight: npt.ArrayLike | None = None,
        temperature: float = 1.0,
    ) -> None:
        smoothing = _validate.finite_real("label_smoothing", label_smoothing)
        if not 0 <= smoothing <= 1:
            raise ValueError(f"label_smoothing = {smoothing} is not in [0, 1]")
        tau = _validate.finite_real("temperature", temperature)
        if tau <= 0:
            raise ValueError(f"temperature = {tau} is not above 0")
        self._set_parameters(
            reduction=_validate.reduction(reduction),
            ignore_index=_validate.integer("ignore_index", ignore_index),
            label_smoothing=smoothing,
            weight=None if weight is None else _validate.weights("weight", weight),
            temperature=tau,
        )

    def __repr__(self) -> str:
        """Keywords at their defaults are left out."""
        shown: list[tuple[str, Any]] = [("reduction", self.reduction)]
        shown += [("ignore_index", self.ignore_index)] if self.ignore_index != -100 else []
        shown += [("label_smoothing", self.label_smoothing)] if self.label_smoothing else []
        shown += [("weight", self.weight)] if self.weight is not None else []
        shown += [("temperature", self.temperature)] if self.temperature != 1 else []
        return f"LinearSoftmaxLoss({', '.join(f'{name}={value!r}' for name, value in shown)})"

    def __call__(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        weights, biases, labels, inputs : array_like
            (V, D), (V,), (N,) and (N, D); see the class for types, and for soft labels.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``. A row of weight 0 takes no
            part, whatever its label.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of inputs' dtype, or an array (N,) for ``reduction="none"``.
        """
        layer = checked_layer(weights, biases, inputs)
        weighting = weighting_of(self.reduction, sample_weight, None, layer.rows)
        return self._evaluate(layer, labels, False, weighting, n_threads)[0]

    def value_and_grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[Any, LinearSoftmaxGrad]:
        """``(value, gradients)``.

        Parameters
        ----------
        weights, biases, labels, inputs, sample_weight, n_threads
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar for mean and sum, (N,) for none. Default 1.

        Returns
        -------
        value : numpy scalar or ndarray
        gradients : LinearSoftmaxGrad
            ``weights`` (V, D), ``biases`` (V,) and ``inputs`` (N, D).
        """
        layer = checked_layer(weights, biases, inputs)
        weighting = weighting_of(self.reduction, sample_weight, grad_output, layer.rows)
        value, grad = self._evaluate(layer, labels, True, weighting, n_threads)
        assert grad is not None
        return value, grad

    def grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> LinearSoftmaxGrad:
        """The gradients alone; parameters as for `value_and_grad`."""
        arrays = weights, biases, labels, inputs
        options: dict[str, Any] = {"sample_weight": sample_weight, "grad_output": grad_output, "n_threads": n_threads}
        return self.value_and_grad(*arrays, **options)[1]

    @_validate.quiet
    def init_raw(
        self,
        target: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        num_classes: int | None = None,
    ) -> Array:
        """The biases that minimise the loss of a layer without weights: logarithms of the classes' weighted shares.

        Parameters
        ----------
        target : array_like of integers, (N,) or (N, 1)
            Labels.
        sample_weight : array_like of shape (N,), optional
            As for the loss.
        num_classes : int, optional
            V. Default: up to the greatest label.

        Returns
        -------
        ndarray of shape (V,)
            Of float64, at least log(1e-15) (about -34.5), so finite for a class that does not occur; 0 where there is
            no weight at all.

        Raises
        ------
        TypeError
            target is not of integers, num_classes is not an int.
        ValueError
            A label lies outside [0, V); num_classes is less than 1; the weights of a class sum to less than 0, so that
            there is no minimum; shapes do not fit.

        Examples
        --------
        >>> import lossext as lx
        >>> print(lx.LinearSoftmaxLoss().init_raw([0, 2, 2, 2], num_classes=4).round(2))
        [ -1.39 -34.54  -0.29 -34.54]
        """
        classes = None if num_classes is None else _validate.positive("num_classes", num_classes)
        return log_shares(target, sample_weight, classes, 1)

    @_validate.quiet
    def log_normalizer(
        self, weights: npt.ArrayLike, biases: npt.ArrayLike, inputs: npt.ArrayLike, *, n_threads: int | None = None
    ) -> Array:
        """Logarithm of the sum of the exponentials of each row's logits (over the temperature).

        Parameters
        ----------
        weights, biases, inputs, n_threads
            As for calling the loss.

        Returns
        -------
        ndarray of shape (N,)
            Of inputs' dtype.

        Examples
        --------
        >>> import numpy as np, lossext as lx
        >>> lx.LinearSoftmaxLoss().log_normalizer(np.eye(3), np.zeros(3), np.zeros((1, 3))).round(8)  # log 3
        array([1.09861229])
        """
        layer = checked_layer(weights, biases, inputs)
        n_rows, n_classes, dim = layer.rows, layer.classes, layer.dim
        require_classes(layer)
        ids = drivers.LayerIds(n_rows, n_classes)
        ids.group_all(False, None, None)
        job = self._job(layer, ids)
        job.log_normalizer = np.empty(n_rows)
        if n_rows:
            job.run(threads_for(n_threads, 1, n_rows, n_classes, dim))
        return as_result(job.log_normalizer, layer.dtype)

    def _job(self, layer: drivers.Layer, ids: drivers.LayerIds) -> drivers.LayerJob:
        scale = 1 / self.temperature
        biases = layer.biases if scale == 1 else layer.biases.astype(FLOAT64) * scale
        weights, biases = (_validate.native(a, layer.real) for a in (layer.weights, biases))
        job = drivers.new_job(drivers.SOFTMAX, layer, weights, biases, ids)
        job.scale = scale
        return job

    @_validate.quiet
    def _evaluate(
        self, layer: drivers.Layer, given: Any, want_grad: bool, weighting: drivers.Weighting, n_threads: int | None
    ) -> tuple[Any, LinearSoftmaxGrad | None]:
        """Value and gradients over all classes."""
        n_classes, dim = layer.classes, layer.dim
        require_classes(layer)
        class_weight = self.weight
        if class_weight is not None:
            if class_weight.shape != (n_classes,):
                raise ValueError(f"weight has shape {class_weight.shape}; allowed is ({n_classes},), one per class")
            class_weight = class_weight.astype(FLOAT64)
        labels, start, share, place = self._labels(given, weighting, class_weight, n_classes)
        if weighting.rows is not None:
            layer = layer.take(weighting.rows)
        n_rows = layer.rows
        ids = drivers.LayerIds(n_rows, n_classes)
        try:
            ids.take_labels(labels, start)
        except drivers.BadIdError as error:
            raise explain(error, {"labels": (given, place)}, n_classes) from None
        if class_weight is not None:
            share = class_weight[labels] * (1 if share is None else share)
        if self.label_smoothing:
            share = (1 - self.label_smoothing) * (np.ones(len(labels)) if share is None else share)
        ids.group_all(True, None, None)
        job = self._job(layer, ids)
        job.label_share = share
        weighting.prepare(job, want_grad)
        if self.label_smoothing:
            self._smooth(job, layer, class_weight)
        grad = None
        if want_grad:
            make = np.empty if n_rows else np.zeros
            grad = LinearSoftmaxGrad(
                make(layer.weights.shape, layer.real), make(n_classes, layer.real), np.empty((n_rows, dim), layer.real)
            )
            job.grad_weights, job.grad_biases, job.grad_inputs = grad
        if n_rows:
            job.run(threads_for(n_threads, 4, n_rows, n_classes, dim))
        value = weighting.value(job, layer.dtype)
        if grad is None:
            return value, None
        if self.label_smoothing and n_rows:
            smooth_gradients(
                grad, layer.inputs, weighting.factors(job.scale), self.label_smoothing / n_classes, class_weight
            )
        w, b, x = (as_result(g, layer.dtype) for g in grad)
        return value, LinearSoftmaxGrad(w, b, weighting.all_rows(x))

    def _labels(
        self, given: Any, weighting: drivers.Weighting, class_weight: Array | None, n_classes: int
    ) -> tuple[Array, Array | None, Array | None, Array | None]:
        """Labels of the rows that take part, where each row's begin, their shares, their places."""
        n_rows = weighting.n_rows
        if is_csr(given):
            soft = csr_ids("labels", given, n_rows, n_classes)
            share = within_unit("labels", soft.weight, soft.place, given.data)
            known = soft.start[1:] > soft.start[:-1]
            weighting.leave_out(None if known.all() else known)
            soft = soft._replace(weight=share)
            if weighting.rows is not None:
                soft = soft.take(weighting.rows)
            return soft.ids, soft.start, soft.weight, soft.place
        ids = _validate.native(_validate.class_ids("labels", given)[0], INT64)
        if ids.shape != (n_rows,) and ids.shape != (n_rows, 1):
            raise ValueError(f"labels has shape {np.shape(given)}; allowed is ({n_rows}, 1) or ({n_rows},)")
        ids = ids.ravel()
        known = ids != self.ignore_index
        weighting.leave_out(None if known.all() else known)
        if class_weight is not None:  # the mean is over the weights of the known labels
            good = known & (ids >= 0) & (ids < n_classes)
            weighting.divisor = float(class_weight[ids[good]].sum())
        place = weighting.rows
        return (ids if place is None else ids[place]), None, None, place

    def _smooth(self, job: drivers.LayerJob, layer: drivers.Layer, class_weight: Array | None) -> None:
        """Tell the kernels of the part of the target that is the (weighted) mean over all classes."""
        n_classes = len(layer.weights)
        of_class = np.ones(n_classes) if class_weight is None else class_weight
        total = of_class.sum()
        if total == 0:
            return
        row = np.zeros(layer.weights.shape[1])
        for first in range(0, n_classes, ROWS_AT_ONCE):
            some = slice(first, first + ROWS_AT_ONCE)
            row += of_class[some] @ layer.weights[some].astype(FLOAT64)
        job.smoothing_mass = self.label_smoothing * total / n_classes
        job.smoothing_bias = float(of_class @ layer.biases.astype(FLOAT64)) / total * job.scale
        job.smoothing_row = _validate.native(row / total, layer.real)


def require_classes(layer: drivers.Layer) -> None:
    """ValueError without any class."""
    if not layer.classes:
        raise ValueError(f"weights has shape {layer.weights.shape}; at least one class is needed")


def within_unit(name: str, share: Array | None, place: Array, data: Any) -> Array:
    """Soft labels, those a few ulp of their type above 1 as 1."""
    assert share is not None
    if not share.size or (share.min() >= 0 and share.max() <= 1):
        return share
    kind = np.asarray(data).dtype
    most = 1 + 4 * (np.finfo(kind).eps if kind.kind == "f" else 0)
    bad = ~((share >= 0) & (share <= most))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}.data[{place[at]}] = {share[at]} is not in [0, 1]")
    return np.minimum(share, 1)


def smooth_gradients(
    grad: LinearSoftmaxGrad, inputs: Array, upstream: Array, smoothing: float, class_weight: Array | None
) -> None:
    """What the part of the target that is spread over all classes takes away from each class's gradient."""
    of_inputs, of_bias = upstream @ inputs, upstream.sum()
    for first in range(0, len(grad.biases), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        part = smoothing if class_weight is None else smoothing * class_weight[some, None]
        grad.weights[some] -= (part * of_inputs).astype(inputs.dtype)
        grad.biases[some] -= np.ravel(part * of_bias).astype(inputs.dtype)


def linear_softmax_loss(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    labels: npt.ArrayLike,
    inputs: npt.ArrayLike,
    reduction: str = "mean",
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: npt.ArrayLike | None = None,
    temperature: float = 1.0,
) -> Any:
    """Value of `LinearSoftmaxLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> print(lx.linear_softmax_loss(np.eye(3), np.zeros(3), [0, 1], np.zeros((2, 3))).round(8))
    1.09861229
    """
    loss = LinearSoftmaxLoss(
        reduction,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        weight=weight,
        temperature=temperature,
    )
    return loss(weights, biases, labels, inputs)
