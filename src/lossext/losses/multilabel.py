"""Losses of several labels a row."""

from __future__ import annotations

import numpy.typing as npt

from lossext import _start
from lossext._declare import LOGIT, UNIT, function_of
from lossext._parameters import at_least, parameter, weights, within, word
from lossext.losses._dense import REDUCTIONS, ElementLoss, LabelSetLoss

__all__ = [
    "AsymmetricLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "asymmetric_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
]


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


class AsymmetricLoss(
    ElementLoss,
    kernel="asymmetric",
    function="asymmetric_loss",
    target=UNIT,
    link=LOGIT,
    start=_start.at_lowest,
    curvatures=("exact", "residual"),
    value_ulp=8.0,
    grad_ulp=8.0,
    convex=False,
    cost=0.9,
):
    r"""Focal loss of several labels, with another power for what is absent, and a probability up to which that is free.

    For an element :math:`x` of input and its target :math:`y` in [0, 1], with :math:`s(z) = 1 / (1 + e^{-z})` and
    :math:`r = \max(0, s(x) - clip)`,

    .. math:: -y \, s(-x)^{gamma\_pos} \log s(x) - (1 - y) \, r^{gamma\_neg} \log(1 - r).

    At the kink :math:`s(x) = clip` gradient and curvature of the second term are 0. At an infinite logit the value is
    the limit. ``clip=0`` with two equal powers is the focal loss of hard targets; with both 0, binary cross entropy
    with logits. Errors are of the sum of the sizes of the terms (s(x) and clip among these), for powers up to 4; a
    greater one adds some 2 ulp for each 1. Derivatives smaller than 1e4 of the smallest normal numbers may be 0.

    What differs from the code of its authors: logarithms are not capped (theirs end at 1e-8, 18.42); the gradient is
    that of the value, powers included (theirs takes the powers for constants unless it is told otherwise); a soft
    target weighs the two terms (theirs mixes the powers); and ``reduction="sum"``, the only one they have, is to be
    asked for.

    The loss is not convex; ``curvature="residual"``, :math:`|s(x) - y|`, is never negative. `init_raw` is the lowest
    of all constants between those of the log-odds of 1e-15 and of 1 - 1e-15.

    Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor: Asymmetric loss for multi-label classification
    (2021).

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([[0.5, -1.0, -4.0]], np.float32), np.array([[1, 0, 0]])
    >>> value, grad = lx.AsymmetricLoss(reduction="sum").value_and_grad(x, y)
    >>> print(f"{value:.5f}")
    0.17955
    >>> print(grad.round(4))
    [[-0.2539  0.0026  0.    ]]
    """

    gamma_neg: float = parameter(4.0, at_least(0), "The power of the probability of a label that is absent.")
    gamma_pos: float = parameter(1.0, at_least(0), "The power of the missing probability of a label that is present.")
    clip: float = parameter(0.05, within(0, 1), "Probability up to which a label that is absent costs nothing.")


asymmetric_loss = function_of(
    AsymmetricLoss,
    """>>> print(lx.asymmetric_loss([[0.5, -1.0, -4.0]], [[1, 0, 0]], reduction="none").round(6))
    [[0.178983 0.000568 0.      ]]""",
)


class MultiLabelMarginLoss(
    LabelSetLoss,
    kernel="multilabel_margin",
    function="multilabel_margin_loss",
    over_columns=True,
    curvatures=("exact", "majorizer"),
    value_ulp=4.0,
    grad_ulp=2.0,
    hess_ulp=16.0,
    smooth=False,
):
    r"""Hinges between every label of a row and every other column.

    For a row of scores :math:`x` of length C and its set of labels :math:`Y`,

    .. math:: \frac{1}{C} \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - x_j + x_i).

    A row takes O(C log L) time for L labels. As in torch, what follows a row's first -1 is not read, a label that is
    given twice counts twice, and a row without labels has the value 0. The error bounds hold beside the rounding of the
    hinges themselves. The gradient at a kink is 0. A NaN score makes its own column and those that it meets NaN.

    Examples
    --------
    >>> import lossext as lx
    >>> loss = lx.MultiLabelMarginLoss()
    >>> value, grad = loss.value_and_grad([[0.25, 0.5, 1.0, 0.0]], [[3, 0, -1, 1]])
    >>> print(value)
    1.625
    >>> print(grad)
    [[-0.5  0.5  0.5 -0.5]]
    """


multilabel_margin_loss = function_of(
    MultiLabelMarginLoss,
    """>>> print(lx.multilabel_margin_loss([[0.25, 0.5, 1.0, 0.0]], [[3, 0, -1, 1]]))
    1.625""",
)
