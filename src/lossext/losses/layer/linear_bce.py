"""Binary cross entropy of a linear layer over very many labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, Array
from lossext.losses.layer._call import (
    LayerTotals,
    as_result,
    checked_layer,
    explain,
    is_csr,
    ragged_ids,
    threads_for,
    weighting_of,
)
from lossext.losses.layer.linear_softmax import require_classes, within_unit


class LinearBCEGrad(NamedTuple):
    """Gradients of the loss of a linear layer, as wide as the layer.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> grad = lx.LinearBCELoss(reduction="sum").grad(np.zeros((3, 2)), np.zeros(3), [[0, 2]], np.ones((1, 2)))
    >>> print(grad.biases)
    [-0.5  0.5 -0.5]
    """

    weights: Array
    biases: Array
    inputs: Array


class LinearBCELoss(LayerTotals, Parameterized):
    r"""Binary cross entropy of a linear layer with any number of labels per row: `BCEWithLogitsLoss` of its logits.

    For a row of inputs :math:`x`, with :math:`z_c = x \cdot W_c + b_c`, targets :math:`y_c` and weights :math:`q_c` of
    positive ones,

    .. math:: \sum_c \big(q_c y_c \log(1 + e^{-z_c}) + (1 - y_c) \log(1 + e^{z_c})\big).

    Classes are taken in tiles: neither the logits nor the targets of all rows and classes ever exist together.

    Parameters
    ----------
    pos_weight : float or array_like of shape (V,), optional
        q. Default: 1.
    reduction : {"mean", "sum", "none"}
        Mean over the N x V targets, their sum, or the sum of each row.

    Raises
    ------
    TypeError
        labels are not integers; inputs, weights, biases or pos_weight are not real; reduction is not a str.
    ValueError
        A label lies outside [0, V), a target outside [0, 1]; shapes do not fit; reduction is unknown.

    Notes
    -----
    *labels* is a CSR matrix (N, V), such as SciPy's, whose data are the targets, or ids (N, M) padded with -1, whose
    targets are 1; all else is 0. A row without labels is one like any other. Types and memory are those of
    `LinearSoftmaxLoss`. In gradients a probability under 2e-31 (float64: 2e-292) counts as 0. Rows of sample_weight 0
    take no part, whatever their labels. Results do not depend on the number of threads.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> loss = lx.LinearBCELoss()
    >>> value, grad = loss.value_and_grad(np.zeros((4, 3)), np.zeros(4), [[1, 3], [0, -1]], np.ones((2, 3)))
    >>> print(value.round(8), grad.biases)  # log 2
    0.69314718 [0.    0.    0.125 0.   ]
    """

    pos_weight = Parameter[Any]()
    reduction = Parameter[str]()

    def __init__(self, *, pos_weight: npt.ArrayLike | None = None, reduction: str = "mean") -> None:
        weight = None if pos_weight is None else _validate.weights("pos_weight", pos_weight)
        if weight is not None and weight.ndim > 1:
            raise ValueError(f"pos_weight has shape {weight.shape}; allowed is a number or (V,), one per class")
        self._set_parameters(pos_weight=weight, reduction=_validate.reduction(reduction))

    def __call__(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: Any,
        inputs: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        weights, biases, inputs : array_like
            (V, D), (V,) and (N, D).
        labels : CSR matrix (N, V), or array_like of ints (N, M) padded with -1
            See the class.
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
        weighting = weighting_of(self.reduction, sample_weight, None, layer.rows)
        return self._evaluate(layer, labels, False, weighting, n_threads)[0]

    def value_and_grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: Any,
        inputs: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[Any, LinearBCEGrad]:
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
        gradients : LinearBCEGrad
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
        labels: Any,
        inputs: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> LinearBCEGrad:
        """The gradients alone; parameters as for `value_and_grad`."""
        options: dict[str, Any] = {"sample_weight": sample_weight, "grad_output": grad_output, "n_threads": n_threads}
        return self.value_and_grad(weights, biases, labels, inputs, **options)[1]

    @_validate.quiet
    def _evaluate(
        self, layer: drivers.Layer, given: Any, want_grad: bool, weighting: drivers.Weighting, n_threads: int | None
    ) -> tuple[Any, LinearBCEGrad | None]:
        n_classes, dim = layer.classes, layer.dim
        require_classes(layer)
        if self.pos_weight is not None and self.pos_weight.shape not in ((), (n_classes,)):
            raise ValueError(f"pos_weight has shape {self.pos_weight.shape}; allowed is a number or ({n_classes},)")
        labels = ragged_ids("labels", given, weighting.n_rows, n_classes)
        if is_csr(given):
            labels = labels._replace(weight=within_unit("labels", labels.weight, labels.place, given.data))
        weighting.leave_out(None)
        weighting.divisor *= n_classes
        if weighting.rows is not None:
            layer = layer.take(weighting.rows)
            labels = labels.take(weighting.rows)
        n_rows = layer.rows
        ids = drivers.LayerIds(n_rows, n_classes)
        try:
            ids.take_labels(labels.ids, labels.start)
        except drivers.BadIdError as error:
            raise explain(error, {"labels": (given, labels.place)}, n_classes) from None
        target = np.ones(len(labels.ids)) if labels.weight is None else labels.weight
        positive = target
        if self.pos_weight is not None:
            of_class = self.pos_weight.astype(FLOAT64)
            positive = target * (of_class if of_class.ndim == 0 else of_class[labels.ids])
        ids.group_all(True, None, None)
        weights, biases = (_validate.native(a, layer.real) for a in (layer.weights, layer.biases))
        job = drivers.new_job(drivers.SIGMOID, layer, weights, biases, ids)
        job.label_share = positive
        job.label_rest = np.zeros(len(target)) if labels.weight is None else 1 - target
        weighting.prepare(job, want_grad)
        grad = None
        if want_grad:
            make = np.empty if n_rows else np.zeros
            grad = LinearBCEGrad(
                make((n_classes, dim), layer.real), make(n_classes, layer.real), np.empty((n_rows, dim), layer.real)
            )
            job.grad_weights, job.grad_biases, job.grad_inputs = grad
        if n_rows:
            job.run(threads_for(n_threads, 3, n_rows, n_classes, dim))
        value = weighting.value(job, layer.dtype)
        if grad is None:
            return value, None
        if layer.dtype is layer.real and weighting.rows is None:
            return value, grad
        w, b, x = (as_result(g, layer.dtype) for g in grad)
        return value, LinearBCEGrad(w, b, weighting.all_rows(x))


def linear_bce_loss(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    labels: Any,
    inputs: npt.ArrayLike,
    *,
    pos_weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
) -> Any:
    """Value of `LinearBCELoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> print(lx.linear_bce_loss(np.zeros((4, 3)), np.zeros(4), [[1, 3]], np.ones((1, 3))).round(8))
    0.69314718
    """
    return LinearBCELoss(pos_weight=pos_weight, reduction=reduction)(weights, biases, labels, inputs)
