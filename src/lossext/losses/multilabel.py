"""Losses for multilabel classification."""

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
    r"""One-versus-rest logistic loss of several labels, averaged over the classes.

    For logits :math:`x` and targets :math:`y` of shape (N, C), with :math:`sp(z) = \log(1 + e^z)`, a row's loss is

    .. math:: \frac{1}{C} \sum_c w_c \, (y_c \, sp(-x_c) + (1 - y_c) \, sp(x_c)).

    Every reduction keeps the factor 1/C, as in torch and MindSpore. If targets are missing, each row is divided by the
    number of its known columns, and a row without known columns does not count. At an infinite logit the value is the
    limit; NaN logits and weights propagate.

    As `torch.nn.MultiLabelSoftMarginLoss`.

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

    pos_weight = None  # a parameter of the kernel that this loss does not have
    weight: npt.ArrayLike | None = parameter(
        None,
        weights(),
        "Multiplies the loss: a scalar or an array that broadcasts to input; cast to input's dtype.",
        kw_only=False,
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "See `DenseLoss`.", kw_only=False)


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
    r"""Asymmetric loss: a focal loss with separate powers for present and absent labels, and a shifted probability.

    For an element :math:`x` of input and its target :math:`y` in [0, 1], with :math:`s(z) = 1 / (1 + e^{-z})` and
    :math:`r = \max(0, s(x) - clip)`,

    .. math:: -y \, s(-x)^{gamma\_pos} \log s(x) - (1 - y) \, r^{gamma\_neg} \log(1 - r).

    At the kink :math:`s(x) = clip`, gradient and curvature of the second term are 0. At an infinite logit the value is
    the limit. For hard targets, ``clip=0`` with two equal powers is the focal loss; with both powers 0 it is binary
    cross entropy with logits. Error bounds are in ulp of the sum of the absolute terms (including s(x) and clip) and
    hold for powers up to 4; beyond, each unit of a power adds some 2 ulp. Derivatives smaller than 1e4 times the
    smallest normal number may be 0.

    Differences from the authors' code: logarithms are not capped (theirs are taken of at least 1e-8, so at most 18.42);
    the gradient includes the derivative of the powers (theirs treats them as constants by default); a soft target
    weighs the two terms (theirs interpolates the powers); and their only reduction, ``"sum"``, is not the default.

    The loss is not convex; ``curvature="residual"``, :math:`|s(x) - y|`, is never negative. `init_raw` searches for the
    minimum among the log-odds of probabilities between 1e-15 and 1 - 1e-15.

    Source: Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor: Asymmetric loss for multi-label
    classification (2021).

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

    gamma_neg: float = parameter(4.0, at_least(0), "For absent labels, the power of the probability minus clip.")
    gamma_pos: float = parameter(1.0, at_least(0), "For present labels, the power of one minus the probability.")
    clip: float = parameter(0.05, within(0, 1), "The probability up to which an absent label has no loss.")


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
    r"""Multilabel hinge loss: hinges between every label of a row and every other column.

    For a row of scores :math:`x` of length C and its set of labels :math:`Y`,

    .. math:: \frac{1}{C} \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - x_j + x_i).

    A row with L labels takes O(C log L) time. As in torch, ids after the first -1 of a row are not read, a repeated
    label counts repeatedly, and a row without labels has the value 0. The error bounds hold in addition to the rounding
    of the hinges themselves. The gradient at a kink is 0. A NaN score makes the gradient NaN in its own column and in
    all columns that share a hinge with it.

    As `torch.nn.MultiLabelMarginLoss`.

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
