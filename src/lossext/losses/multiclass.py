"""Losses of one class out of many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossext._declare import CLASS, function_of
from lossext._parameters import one_of, parameter, real, weights, word
from lossext._validate import Array
from lossext.losses._dense import REDUCTIONS, RowLoss

__all__ = ["MultiMarginLoss", "MulticlassHingeLoss", "multi_margin_loss", "multiclass_hinge_loss"]


class MultiMarginLoss(
    RowLoss,
    kernel="multi_margin",
    function="multi_margin_loss",
    target=CLASS,
    variant="p",
    over_columns=True,
    value_ulp=4.0,
    grad_ulp=4.0,
    smooth=False,
):
    r"""Multiclass hinge loss of Weston and Watkins.

    For a row of scores :math:`x` of length C and its class :math:`y`,

    .. math:: \frac{w_y}{C} \sum_{i \ne y} \max(0, (margin - x_y) + x_i)^p.

    The error bounds hold beside the rounding of the hinges themselves. The gradient at a kink is 0. A NaN score makes
    its own column and the class's NaN, a NaN at the class the whole row; an infinite score is computed as the formula
    says, so inf - inf is NaN.

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

    p: int = parameter(1, one_of(1, 2), "Power of the hinges.", kw_only=False)
    margin: float = parameter(1.0, real(), "By how much the class's score is to exceed the others.", kw_only=False)
    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Weight of each class, of shape (C,); cast to input's dtype.", kw_only=False
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "As of `DenseLoss`.", kw_only=False)

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        # a hinge depends on the difference of its score to the class's
        rows = np.arange(len(target))
        product: Array = hess * (direction - direction[rows, target][:, np.newaxis])
        product[rows, target] = -product.sum(axis=1)
        return product


multi_margin_loss = function_of(
    MultiMarginLoss,
    """>>> print(lx.multi_margin_loss([[0.25, 0.75], [0.5, 0.5]], [0, 0], reduction="none"))
    [0.75 0.5 ]""",
    positional=("p", "margin", "weight", "reduction"),
)


class MulticlassHingeLoss(
    RowLoss,
    kernel="multiclass_hinge",
    function="multiclass_hinge_loss",
    target=CLASS,
    value_ulp=1.0,
    grad_ulp=0.0,
    smooth=False,
):
    r"""Multiclass hinge loss of Crammer and Singer: the best of the other classes counts alone.

    For a row of scores :math:`x` and its class :math:`y`,

    .. math:: w_y \max(0, margin - x_y + \max_{j \ne y} x_j).

    The gradient is 0 where the hinge is 0; of several best others the lowest takes it. ``margin=0`` gives the
    perceptron's loss. A NaN score makes its own column and the class's NaN.

    Examples
    --------
    >>> import lossext as lx
    >>> value, grad = lx.MulticlassHingeLoss().value_and_grad([[0.5, 1.0, 1.0], [2.0, 0.0, 0.5]], [0, 0])
    >>> print(value)
    0.75
    >>> print(grad)
    [[-0.5  0.5  0. ]
     [ 0.   0.   0. ]]
    """

    margin: float = parameter(1.0, real(), "By how much the class's score is to exceed the best of the others.")


multiclass_hinge_loss = function_of(
    MulticlassHingeLoss,
    """>>> print(lx.multiclass_hinge_loss([[0.5, 1.0, 1.0], [2.0, 0.0, 0.5]], [0, 0], reduction="none"))
    [1.5 0. ]""",
)
