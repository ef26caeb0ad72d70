"""Binary cross entropy with logits."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lossext import _validate
from lossext._parameters import Parameter, borrowing
from lossext.losses._dense import UNIT, Declaration, DenseLoss
from lossext.losses._logistic import LogisticLink


class BCEWithLogitsLoss(LogisticLink, DenseLoss):
    r"""Binary cross entropy of logits, with weights.

    For an element :math:`x` of input, its target :math:`y` in [0, 1], weight :math:`w` and weight :math:`q` of the
    positive part, with :math:`sp(z) = \log(1 + e^z)`,

    .. math:: w \, (q \, y \, sp(-x) + (1 - y) \, sp(x)).

    Parameters
    ----------
    weight, pos_weight : array_like, optional
        Anything that broadcasts to input's shape: a scalar, (C,), (N, 1), (N, C). Any real dtype, cast to input's.
    reduction : {"mean", "sum", "none"}
        Mean over the elements (never a sum of weights divides), their sum, or one value each.

    Raises
    ------
    TypeError
        weight or pos_weight is not of real numbers; reduction is not a str; input or target is complex, object or str.
    ValueError
        reduction is unknown; target has another shape than input; a target lies outside [0, 1] or is NaN; weight or
        pos_weight does not broadcast to input's shape.

    Notes
    -----
    *input* is of any shape, float32 or float64, used as it is; float16 is computed in float32; integers and bools in
    float64. *target* is of any bool, integer or float dtype. Error for targets 0 and 1 and no weight: 2 ulp of a value,
    3 ulp of the gradient (one more for each weight and for the mean's divisor); results under the smallest normal
    number may be 0. At an infinite logit the value is the limit; NaN logits and weights come through.

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

    declaration = Declaration(
        function="binary_cross_entropy_with_logits",
        kernel="logistic",
        family="elementwise",
        target=UNIT,
        weights=("weight", "pos_weight"),
    )
    weight = Parameter[Any]()
    pos_weight = Parameter[Any]()

    def __init__(
        self, *, weight: npt.ArrayLike | None = None, pos_weight: npt.ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        self._set_parameters(**self._checked(weight, pos_weight, reduction))

    @staticmethod
    def _checked(weight: Any, pos_weight: Any, reduction: Any) -> dict[str, Any]:
        return {
            "weight": _validate.optional_weights("weight", weight),
            "pos_weight": _validate.optional_weights("pos_weight", pos_weight),
            "reduction": _validate.reduction(reduction),
        }


def binary_cross_entropy_with_logits(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    pos_weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
) -> Any:
    """Value of `BCEWithLogitsLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import lossext as lx
    >>> print(lx.binary_cross_entropy_with_logits([0.0, -20.0], [1, 0], reduction="none"))
    [6.93147181e-01 2.06115362e-09]
    """
    return borrowing(BCEWithLogitsLoss, weight=weight, pos_weight=pos_weight, reduction=reduction)(input, target)
