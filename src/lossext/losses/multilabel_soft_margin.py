"""Multilabel soft margin loss."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lossext import _validate
from lossext._parameters import Parameter, borrowing
from lossext.losses._dense import UNIT, Declaration, DenseLoss
from lossext.losses._logistic import LogisticLink


class MultiLabelSoftMarginLoss(LogisticLink, DenseLoss):
    r"""One-against-all logistic loss of several labels, averaged over the classes.

    For logits :math:`x` and targets :math:`y` of shape (N, C), with :math:`sp(z) = \log(1 + e^z)`, a row's loss is

    .. math:: \frac{1}{C} \sum_c w_c \, (y_c \, sp(-x_c) + (1 - y_c) \, sp(x_c)).

    The 1/C stays in every reduction, as in torch and MindSpore.

    Parameters
    ----------
    weight : array_like, optional
        Anything that broadcasts to input's shape: a scalar, (C,), (N, 1), (N, C). Any real dtype, cast to input's.
    reduction : {"mean", "sum", "none"}
        Mean over the N rows, their sum, or one value a row.

    Raises
    ------
    TypeError
        weight is not of real numbers; reduction is not a str; input or target is complex, object or str.
    ValueError
        reduction is unknown; input is not of rank 2 or has no column; target has another shape than input; a target
        lies outside [0, 1] or is NaN; weight does not broadcast to input's shape.

    Notes
    -----
    *input* is float32 or float64, used as it is; float16 is computed in float32; integers and bools in float64.
    *target* is of any bool, integer or float dtype. Error: 4 ulp of a row's value, 4 ulp of the gradient for targets 0
    and 1 and no weight (one more for each weight and for the mean's divisor); results under the smallest normal number
    may be 0. At an infinite logit the value is the limit; NaN logits and weights come through.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x = np.array([[0.3, 0.6, 0.6], [0.9, 0.4, 0.2]], np.float32)
    >>> y = np.array([[0, 0, 1], [0, 0, 1]])
    >>> loss = lx.MultiLabelSoftMarginLoss()
    >>> value, grad = loss.value_and_grad(x, y)
    >>> print(value)
    0.84693986
    >>> print(grad.round(3))
    [[ 0.096  0.108 -0.059]
     [ 0.118  0.1   -0.075]]
    """

    declaration = Declaration(
        function="multilabel_soft_margin_loss",
        kernel="logistic",
        family="elementwise",
        target=UNIT,
        weights=("weight",),
        ranks=(2,),
        value_by_row=True,
        value_ulp=4.0,
        grad_ulp=4.0,
    )
    weight = Parameter[Any]()

    def __init__(self, weight: npt.ArrayLike | None = None, reduction: str = "mean") -> None:
        self._set_parameters(**self._checked(weight, reduction))

    @staticmethod
    def _checked(weight: Any, reduction: Any) -> dict[str, Any]:
        return {"weight": _validate.optional_weights("weight", weight), "reduction": _validate.reduction(reduction)}


def multilabel_soft_margin_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> Any:
    """Value of `MultiLabelSoftMarginLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import lossext as lx
    >>> x, y = [[0.3, 0.6, 0.6], [0.9, 0.4, 0.2]], [[0, 0, 1], [0, 0, 1]]
    >>> print(lx.multilabel_soft_margin_loss(x, y, reduction="none"))
    [0.77644372 0.917436  ]
    """
    return borrowing(MultiLabelSoftMarginLoss, weight=weight, reduction=reduction)(input, target)
