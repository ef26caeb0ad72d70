"""Losses of two classes."""

from __future__ import annotations


import numpy.typing as npt

from lossext import _start
from lossext._declare import LOGIT, UNIT, function_of
from lossext._parameters import parameter, weights, within, word
from lossext.losses._dense import REDUCTIONS, ElementLoss

__all__ = ["BCEWithLogitsLoss", "binary_cross_entropy_with_logits"]




class BCEWithLogitsLoss(
    ElementLoss,
    kernel="logistic",
    function="binary_cross_entropy_with_logits",
    target=UNIT,
    link=LOGIT,
    start=_start.at_log_odds,
    curvatures=("exact", "majorizer", "residual"),
):
    r"""Binary cross entropy of logits, with weights.

    For an element :math:`x` of input, its target :math:`y` in [0, 1], weight :math:`w` and weight :math:`q` of the
    positive part (``pos_weight``), with :math:`sp(z) = \log(1 + e^z)`,

    .. math:: w \, (q \, y \, sp(-x) + (1 - y) \, sp(x)).

    Label smoothing :math:`s` makes the target :math:`y (1 - s) + s / 2` first. At an infinite logit the value is the
    limit; NaN logits and weights come through.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x = np.array([[0.5, -1.0], [2.0, 0.0]], np.float32)
    >>> y = np.array([[1, 0], [1, 0]])
    >>> value, grad = lx.BCEWithLogitsLoss(pos_weight=[2.0, 1.0]).value_and_grad(x, y)
    >>> print(value)
    0.5521047
    >>> print(grad.round(4))
    [[-0.1888  0.0672]
     [-0.0596  0.125 ]]
    """

    weight: npt.ArrayLike | None = parameter(
        None, weights(), "Multiplies the loss: a scalar or what broadcasts to input's shape; cast to input's dtype."
    )
    pos_weight: npt.ArrayLike | None = parameter(
        None, weights(), "Multiplies the loss of the positive part: a scalar or what broadcasts to input's shape."
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "As of `DenseLoss`.")
    label_smoothing: float = parameter(0.0, within(0, 1), "How far targets are moved towards 1/2.")


binary_cross_entropy_with_logits = function_of(
    BCEWithLogitsLoss,
    """>>> print(lx.binary_cross_entropy_with_logits([0.0, -20.0], [1, 0], reduction="none"))
    [6.93147181e-01 2.06115362e-09]""",
    positional=("weight", "pos_weight", "reduction"),
)
