"""Hinge embedding loss."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lossext import _validate
from lossext._parameters import Parameter, borrowing
from lossext.losses._dense import SIGN, Declaration, DenseLoss


class HingeEmbeddingLoss(DenseLoss):
    r"""Hinge loss of a distance between two things that are alike (1) or not (-1).

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: x \text{ if } y = 1, \qquad \max(0, margin - x) \text{ if } y = -1.

    Input and target broadcast as in NumPy: the value has the broadcast shape, and the gradient is summed back to
    input's.

    Parameters
    ----------
    margin : float
        Any finite real number.
    reduction : {"mean", "sum", "none"}
        Mean over the elements of the broadcast shape, their sum, or one value each.

    Raises
    ------
    TypeError
        margin is not a real number; reduction is not a str; target is bool (False is not -1); input or target is
        complex, object or str.
    ValueError
        margin is not finite; reduction is unknown; input and target do not broadcast; a target is neither -1 nor 1.

    Notes
    -----
    *input* is of any shape, float32 or float64, used as it is; float16 is computed in float32; integers and bools in
    float64. *target* is of any integer or float dtype. Error: 1 ulp of a value, none of the gradient. The gradient is
    -1 at the kink, as torch's; it is 1 for y = 1 whatever x is, and NaN for y = -1 and a NaN x.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x = np.array([0.9, -1.2, 2.0], np.float32)
    >>> y = np.array([1, -1, -1])
    >>> value, grad = lx.HingeEmbeddingLoss().value_and_grad(x, y)
    >>> print(value)
    1.0333333
    >>> print(grad.round(4))
    [ 0.3333 -0.3333  0.    ]
    """

    declaration = Declaration(
        function="hinge_embedding_loss",
        kernel="hinge_embedding",
        family="elementwise",
        target=SIGN,
        broadcasts=True,
        value_ulp=1.0,
        grad_ulp=0.0,
        cost=0.1,
    )
    margin = Parameter[float]()

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        self._set_parameters(**self._checked(margin, reduction))

    @staticmethod
    def _checked(margin: Any, reduction: Any) -> dict[str, Any]:
        return {"margin": _validate.finite_real("margin", margin), "reduction": _validate.reduction(reduction)}


def hinge_embedding_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """Value of `HingeEmbeddingLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import lossext as lx
    >>> print(lx.hinge_embedding_loss([0.5, -1.5, 2.0], [1, -1, -1], reduction="none"))
    [0.5 2.5 0. ]
    """
    return borrowing(HingeEmbeddingLoss, margin=margin, reduction=reduction)(input, target)
