"""Softmax cross entropy of a linear layer, exactly, and the largest of its logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, INT64, Array
from lossext.losses._sampled import FLOPS_PER_NS, Layer, Weighting, checked_labels, checked_layer, group
from lossext.losses._softmax import SoftmaxLink, log_shares


class LinearSoftmaxGrad(NamedTuple):
    """Gradients of the loss of a linear layer, as wide as the layer.

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


class LinearSoftmaxLoss(SoftmaxLink, Parameterized):
    r"""Softmax cross entropy of a linear layer, over all of its classes.

    For a row of inputs :math:`x` and its label :math:`l`,

    .. math:: \log \sum_c e^{x \cdot W_c + b_c} - (x \cdot W_l + b_l).

    It is what `SampledSoftmaxLoss` tends to as it samples more classes, and how to evaluate what was trained with it.
    Classes are taken in tiles: the logits of all rows and classes never exist together.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Mean over the N rows, their sum, or one value a row.

    Raises
    ------
    TypeError
        labels are not integers; inputs, weights or biases are not real; reduction is not a str.
    ValueError
        A label lies outside [0, V); shapes do not fit; reduction is unknown; weights has no row.

    Notes
    -----
    *inputs* (N, D) sets the type: float32 and float64 are used as they are, float16 is computed in float32, integers in
    float64. *weights* (V, D) and *biases* (V,) are used as they are if they are of that type and C-contiguous, else
    copied. *labels* is (N,) or (N, 1), of any integer dtype.

    Beside its results and arrays of N numbers, a call takes some 30 MB for D up to 256. Where the label's logit is the
    largest, the value is log1p of the others' share, and keeps its relative accuracy down to 0. Results do not depend
    on the number of threads.

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

    def __init__(self, reduction: str = "mean") -> None:
        self._set_parameters(reduction=_validate.reduction(reduction))

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
            (V, D), (V,), (N,) and (N, D); see the class for types.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of inputs' dtype, or an array (N,) for ``reduction="none"``.
        """
        layer = checked_layer(weights, biases, inputs)
        weighting = Weighting.of(self.reduction, sample_weight, None, len(layer.inputs))
        return evaluate(layer, checked_labels(labels, layer, 1), False, weighting, n_threads)[0]

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
        weighting = Weighting.of(self.reduction, sample_weight, grad_output, len(layer.inputs))
        value, grad = evaluate(layer, checked_labels(labels, layer, 1), True, weighting, n_threads)
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


def evaluate(
    layer: Layer, labels: Array, want_grad: bool, weighting: Weighting, n_threads: int | None
) -> tuple[Any, LinearSoftmaxGrad | None]:
    """Value and gradients over all classes."""
    _, biases, x, real, dtype = layer
    weights = _validate.native(layer.weights, real)
    (n_rows, dim), n_classes = x.shape, len(weights)
    if n_classes == 0:
        raise ValueError(f"weights has shape {weights.shape}; at least one class is needed")
    threads = _threads.choose(n_threads, 8 * n_rows * n_classes * dim / FLOPS_PER_NS)
    bias = _validate.native(biases, real)
    own = labels.ravel()
    groups = group(labels, own[:0])
    loss = np.empty(n_rows)
    grad = None
    if want_grad:
        make = np.empty if n_rows else np.zeros
        grad = LinearSoftmaxGrad(make(weights.shape, real), make(n_classes, real), np.empty(x.shape, real))
    if n_rows:
        drivers.run_sampled(
            real is FLOAT64, drivers.SOFTMAX, n_rows, dim, n_classes, 1, 1.0, x, weights, None, own, bias,
            np.take(bias, own), None, own, own + 1, weighting.of_gradients(n_rows, real) if want_grad else None, loss,
            grad and grad.inputs, grad and grad.weights, grad and grad.biases, len(groups.rows), groups.order,
            groups.start, groups.rows, grad and grad.weights, grad and grad.biases, 0, None, None, threads,
        )  # fmt: skip
    value = weighting.value(loss, dtype)
    if grad is None:
        return value, None
    with np.errstate(over="ignore"):
        return value, LinearSoftmaxGrad(*(g.astype(dtype, copy=False) for g in grad))


def linear_softmax_loss(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    labels: npt.ArrayLike,
    inputs: npt.ArrayLike,
    reduction: str = "mean",
) -> Any:
    """Value of `LinearSoftmaxLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> print(lx.linear_softmax_loss(np.eye(3), np.zeros(3), [0, 1], np.zeros((2, 3))).round(8))
    1.09861229
    """
    return LinearSoftmaxLoss(reduction)(weights, biases, labels, inputs)


def topk(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    inputs: npt.ArrayLike,
    k: int,
    *,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """The k largest logits ``inputs @ weights.T + biases`` of each row, without the matrix of all logits.

    Parameters
    ----------
    weights, biases, inputs : array_like
        (V, D), (V,) and (N, D); types as of `LinearSoftmaxLoss`.
    k : int
        At least 1, at most V.
    n_threads : int, optional
        At least 1. Default: see ``lossext.show_config()``.

    Returns
    -------
    values : ndarray (N, k)
        Descending, of inputs' dtype.
    ids : ndarray (N, k) of int64
        Their classes; of equal logits, the lower class comes first. NaN and -inf are never taken: where fewer than k
        other logits are left, the rest is -inf, and -1.

    Raises
    ------
    TypeError
        An array is not real, k is not an int.
    ValueError
        k is less than 1 or greater than V, shapes do not fit.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> values, ids = lx.topk([[1.0], [3.0], [2.0]], np.zeros(3), [[1.0], [-1.0]], k=2)
    >>> print(values.tolist(), ids.tolist())
    [[3.0, 2.0], [-1.0, -2.0]] [[1, 2], [0, 2]]
    """
    layer = checked_layer(weights, biases, inputs)
    _, biases, x, real, dtype = layer
    (n_rows, dim), n_classes = x.shape, len(layer.weights)
    count = _validate.positive("k", k)
    if count > n_classes:
        raise ValueError(f"k = {count} is greater than the {n_classes} rows of weights")
    threads = _threads.choose(n_threads, 2 * n_rows * n_classes * dim / FLOPS_PER_NS)
    values, ids = np.empty((n_rows, count), real), np.empty((n_rows, count), INT64)
    if n_rows:
        w, b = _validate.native(layer.weights, real), _validate.native(biases, real)
        drivers.run_sampled(
            real is FLOAT64, drivers.RAW, n_rows, dim, n_classes, 1, 1.0, x, w, None, None, b, None, None, None, None,
            None, None, None, None, None, 0, None, None, None, None, None, count, values, ids, threads,
        )  # fmt: skip
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False), ids
