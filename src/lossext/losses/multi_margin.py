"""Multiclass hinge (multi margin) loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._parameters import Parameter, borrowing
from lossext._validate import Array
from lossext.losses._dense import CLASS, Declaration, DenseLoss


class MultiMarginLoss(DenseLoss):
    r"""Multiclass hinge loss of Weston and Watkins.

    For a row of scores :math:`x` of length C and its class :math:`y`,

    .. math:: \frac{w_y}{C} \sum_{i \ne y} \max(0, (margin - x_y) + x_i)^p.

    Parameters
    ----------
    p : {1, 2}
        Power of the hinges.
    margin : float
        Any finite real number.
    weight : array_like of shape (C,), optional
        Weight of each class, of any real dtype; cast to input's.
    reduction : {"mean", "sum", "none"}
        Mean over the N rows (never a sum of weights divides), their sum, or one value a row.

    Raises
    ------
    TypeError
        p is not an int; margin is not a real number; weight is not of real numbers; reduction is not a str; target is
        not of an integer dtype; input is complex, object or str.
    ValueError
        p is not 1 or 2; margin is not finite; reduction is unknown; input is not of rank 2 or has no column; target is
        not of shape (N,); a class id lies outside [0, C); weight is not of shape (C,).

    Notes
    -----
    *input* (N, C) is float32 or float64, used as it is; float16 is computed in float32; integers and bools in float64.
    *target* (N,) is of any integer dtype. Error: 4 ulp of a row's value and of the gradient, beside the rounding
    of the hinges themselves. The gradient at a kink is 0. A NaN score makes its own column and the class's NaN, a NaN
    at the class the whole row; an infinite score is computed as the formula says, so inf - inf is NaN.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x = np.array([[0.3, 0.7], [0.5, 0.5]], np.float32)
    >>> loss = lx.MultiMarginLoss()
    >>> value, grad = loss.value_and_grad(x, [0, 0])
    >>> print(value)
    0.6
    >>> print(grad)
    [[-0.25  0.25]
     [-0.25  0.25]]
    """

    declaration = Declaration(
        function="multi_margin_loss",
        kernel="multi_margin",
        family="rowwise",
        target=CLASS,
        weights=("weight",),
        ranks=(2,),
        value_by_row=True,
        value_ulp=4.0,
        grad_ulp=4.0,
        cost=0.1,
        cost_of_row=2.5,
    )
    p = Parameter[int]()
    margin = Parameter[float]()
    weight = Parameter[Any]()

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: npt.ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        self._set_parameters(**self._checked(p, margin, weight, reduction))

    @staticmethod
    def _checked(p: Any, margin: Any, weight: Any, reduction: Any) -> dict[str, Any]:
        power = _validate.integer("p", p)
        if power not in (1, 2):
            raise ValueError(f"p = {power} is not 1 or 2")
        weights = _validate.optional_weights("weight", weight)
        if weights is not None and weights.ndim != 1:
            raise ValueError(f"weight has shape {weights.shape}; allowed is (C,), one a class")
        return {
            "p": power,
            "margin": _validate.finite_real("margin", margin),
            "weight": weights,
            "reduction": _validate.reduction(reduction),
        }

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        # a hinge depends on the difference of its score to the class's
        rows = np.arange(len(target))
        product: Array = hess * (direction - direction[rows, target][:, np.newaxis])
        product[rows, target] = -product.sum(axis=1)
        return product


def multi_margin_loss(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
) -> Any:
    """Value of `MultiMarginLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import lossext as lx
    >>> print(lx.multi_margin_loss([[0.25, 0.75], [0.5, 0.5]], [0, 0], reduction="none"))
    [0.75 0.5 ]
    """
    return borrowing(MultiMarginLoss, p=p, margin=margin, weight=weight, reduction=reduction)(input, target)
