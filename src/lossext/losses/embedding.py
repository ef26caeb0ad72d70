"""Losses of distances between pairs of objects that are alike or not."""

from __future__ import annotations

from lossext._declare import SIGN, function_of
from lossext._parameters import parameter, real, word
from lossext.losses._dense import REDUCTIONS, ElementLoss

__all__ = ["HingeEmbeddingLoss", "hinge_embedding_loss"]


class HingeEmbeddingLoss(
    ElementLoss,
    kernel="hinge_embedding",
    function="hinge_embedding_loss",
    target=SIGN,
    broadcasts=True,
    value_ulp=1.0,
    grad_ulp=0.0,
    smooth=False,
    linear_score=False,
    low_score_means="alike",
    cost=0.1,
):
    r"""Hinge loss of the distance between two objects that are alike (1) or not (-1).

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: x \text{ if } y = 1, \qquad \max(0, margin - x) \text{ if } y = -1.

    Input and target broadcast as in NumPy: the value has the broadcast shape, and the gradient is summed to input's
    shape. The gradient at the kink :math:`x = margin` is -1, as in torch. For y = 1 it is 1 for any x; for y = -1 it is
    NaN if x is.

    As `torch.nn.HingeEmbeddingLoss`.

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

    weight = None  # none, as in torch
    margin: float = parameter(
        1.0, real(), "The distance from which objects that are not alike have no loss.", kw_only=False
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "See `DenseLoss`.", kw_only=False)


hinge_embedding_loss = function_of(
    HingeEmbeddingLoss,
    """>>> print(lx.hinge_embedding_loss([0.5, -1.5, 2.0], [1, -1, -1], reduction="none"))
    [0.5 2.5 0. ]""",
    positional=("margin", "reduction"),
)
