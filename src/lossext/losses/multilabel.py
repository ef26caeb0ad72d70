"""Losses of several labels a row."""

from __future__ import annotations

import numpy.typing as npt

from lossext import _start
from lossext._declare import LOGIT, UNIT, function_of
from lossext._parameters import parameter, weights, word
from lossext.losses._dense import REDUCTIONS, ElementLoss

__all__ = ["MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss"]


class MultiLabelSoftMarginLoss(
    ElementLoss,
    kernel="logistic",
    function="multilabel_soft_margin_loss",
    target=UNIT,
    link=LOGIT,
    start=_start.at_log_odds,
    curvatures=("exact", "majorizer", "residual"),
    ranks=(2,),
    value_by_row=True,
    over_columns=True,
    value_ulp=4.0,
    grad_ulp=4.0,
):
    r"""One-against-all logistic loss of several labels, averaged over the classes.

    For logits :math:`x` and targets :math:`y` of shape (N, C), with :math:`sp(z) = \log(1 + e^z)`, a row's loss is

    .. math:: \frac{1}{C} \sum_c w_c \, (y_c \, sp(-x_c) + (1 - y_c) \, sp(x_c)).

    The 1/C stays in every reduction, as in torch and MindSpore; where targets are missing, a row is divided by its
    known columns, and a row without any is none. At an infinite logit the value is the limit; NaN logits and weights
    come through.

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

    pos_weight = None  # the kernel knows one
    weight: npt.ArrayLike | None = parameter(
        None,
        weights(),
        "Multiplies the loss: a scalar or what broadcasts to input's shape; cast to input's dtype.",
        kw_only=False,
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "As of `DenseLoss`.", kw_only=False)


multilabel_soft_margin_loss = function_of(
    MultiLabelSoftMarginLoss,
    """>>> x, y = [[0.3, 0.6, 0.6], [0.9, 0.4, 0.2]], [[0, 0, 1], [0, 0, 1]]
    >>> print(lx.multilabel_soft_margin_loss(x, y, reduction="none"))
    [0.77644372 0.917436  ]""",
    positional=("weight", "reduction"),
)
