"""Losses for binary classification."""

from __future__ import annotations

from typing import ClassVar

import numpy.typing as npt

from lossext import _start
from lossext._declare import HALF_LOGIT, IDENTITY, LOGIT, PROBABILITY, SIGN, UNIT, function_of
from lossext._parameters import at_least, one_of, optional, parameter, real, weights, within, word
from lossext.losses._dense import REDUCTIONS, ElementLoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "ExponentialLoss",
    "HingeLoss",
    "ModifiedHuberLoss",
    "SigmoidFocalLoss",
    "SoftMarginLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "exponential_loss",
    "hinge_loss",
    "modified_huber_loss",
    "sigmoid_focal_loss",
    "soft_margin_loss",
]


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

    Label smoothing :math:`s` first replaces the target by :math:`y (1 - s) + s / 2`. At an infinite logit the value is
    the limit; NaN logits and weights propagate.

    As `torch.nn.BCEWithLogitsLoss`.

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
        None, weights(), "Multiplies the loss: a scalar or an array that broadcasts to input; cast to input's dtype."
    )
    pos_weight: npt.ArrayLike | None = parameter(
        None, weights(), "Multiplies the term of y: a scalar or an array that broadcasts to input."
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "See `DenseLoss`.")
    label_smoothing: float = parameter(0.0, within(0, 1), "The fraction s by which targets are moved towards 1/2.")


binary_cross_entropy_with_logits = function_of(
    BCEWithLogitsLoss,
    """>>> print(lx.binary_cross_entropy_with_logits([0.0, -20.0], [1, 0], reduction="none"))
    [6.93147181e-01 2.06115362e-09]""",
    positional=("weight", "pos_weight", "reduction"),
)


class BCELoss(
    ElementLoss,
    kernel="binary_cross_entropy",
    function="binary_cross_entropy",
    target=UNIT,
    input_domain=PROBABILITY,
    link=IDENTITY,
    start=_start.at_mean,
    curvatures=("exact", "fisher"),
    linear_score=False,
    cost=0.6,
):
    r"""Binary cross entropy of probabilities.

    For an element :math:`x` of input, a probability, and its target :math:`y` in [0, 1],

    .. math:: -y \log x - (1 - y) \log(1 - x).

    A term whose factor :math:`y` or :math:`1 - y` is 0 is 0. Nothing is clipped: at :math:`x = 0, y = 1` the value is
    infinite and the gradient is -inf (torch caps values at 100 and divides the gradient by at least 1e-12; keras clips
    probabilities to [1e-7, 1 - 1e-7]). NaN probabilities propagate. If you have logits, use `BCEWithLogitsLoss`, which
    keeps the digits that are lost in probabilities near 1. The Fisher curvature is :math:`1 / (x (1 - x))`.

    As `torch.nn.BCELoss`, except that torch caps values and gradients.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.5, 0.25, 1.0]), np.array([1, 0, 1])
    >>> value, grad = lx.BCELoss(reduction="sum").value_and_grad(x, y)
    >>> print(value.round(6))
    0.980829
    >>> print(grad.round(4))
    [-2.      1.3333 -1.    ]
    """


binary_cross_entropy = function_of(
    BCELoss,
    """>>> print(lx.binary_cross_entropy([0.5, 0.0, 1.0], [1, 1, 1], reduction="none"))
    [0.69314718        inf 0.        ]""",
)


class SigmoidFocalLoss(
    ElementLoss,
    kernel="sigmoid_focal",
    function="sigmoid_focal_loss",
    target=UNIT,
    link=LOGIT,
    start=_start.at_lowest,
    curvatures=("exact", "residual"),
    value_ulp=8.0,
    grad_ulp=8.0,
    convex=False,
    cost=0.5,
):
    r"""Focal loss of logits: binary cross entropy with less weight on well-classified examples.

    For an element :math:`x` of input and its target :math:`y` in [0, 1], with :math:`s(z) = 1 / (1 + e^{-z})` and
    :math:`sp(z) = \log(1 + e^z)`,

    .. math::
        a \, (y \, s(-x) + (1 - y) \, s(x))^{gamma} \, (y \, sp(-x) + (1 - y) \, sp(x)), \qquad
        a = alpha \, y + (1 - alpha) (1 - y),

    and :math:`a = 1` without alpha. Label smoothing :math:`s` first replaces the target by :math:`y (1 - s) + s / 2`,
    also in :math:`a`. ``gamma=0`` without alpha is binary cross entropy with logits. Small losses keep their digits
    (at x = 20, y = 1 in float32 the value is 8.8e-27, although 1 - s(x) rounds to 0), and gradients are finite for
    every gamma. At an infinite logit the value is the limit. Error bounds are in ulp of the sum of the absolute terms
    and hold for gamma up to 3; beyond, each unit of gamma adds some 2 ulp. Derivatives smaller than 1e4 times the
    smallest normal number may be 0.

    The loss is not convex: the second derivative is negative for some predictions; ``curvature="residual"``,
    :math:`a \, |s(x) - y|`, is never negative. `init_raw` searches for the minimum among the log-odds of probabilities
    between 1e-15 and 1 - 1e-15.

    Source: Lin, Goyal, Girshick, He, Dollár: Focal loss for dense object detection (2017). As ``sigmoid_focal_loss`` of
    torchvision, whose defaults are ``alpha=0.25`` and ``reduction="none"``, and of optax.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.5, -1.0, 3.0], np.float32), np.array([1, 0, 0])
    >>> value, grad = lx.SigmoidFocalLoss(alpha=0.25).value_and_grad(x, y)
    >>> print(f"{value:.5f}")
    0.70287
    >>> print(grad.round(4))
    [-0.0115  0.0131  0.2817]
    """

    alpha: float | None = parameter(
        None, optional(within(0, 1)), "Weight of the positives; negatives have 1 - alpha. None: no weights."
    )
    gamma: float = parameter(2.0, at_least(0), "The power of the probability assigned to the wrong class.")
    label_smoothing: float = parameter(0.0, within(0, 1), "The fraction s by which targets are moved towards 1/2.")

    _not_for_the_kernel: ClassVar[frozenset[str]] = ElementLoss._not_for_the_kernel | {"alpha"}

    @property
    def positive(self) -> float:
        """Weight of the positives, as the kernel takes it."""
        return 1.0 if self.alpha is None else self.alpha

    @property
    def negative(self) -> float:
        """Weight of the negatives, as the kernel takes it."""
        return 1.0 if self.alpha is None else 1 - self.alpha


sigmoid_focal_loss = function_of(
    SigmoidFocalLoss,
    """>>> print(lx.sigmoid_focal_loss([0.0, 20.0], [1, 1], reduction="none"))
    [1.73286795e-01 8.75651072e-27]""",
)


class SoftMarginLoss(
    ElementLoss,
    kernel="soft_margin",
    function="soft_margin_loss",
    target=SIGN,
    link=LOGIT,
    start=_start.at_log_odds,
    curvatures=("exact", "majorizer", "residual"),
):
    r"""Logistic loss of targets -1 and 1.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: \log(1 + e^{-y x}).

    It does not overflow: at :math:`y x = -1000` it is 1000 (torch: infinite, with a NaN gradient). At an infinite score
    the value is the limit. The link maps the probability of the target 1 to the score.

    As `torch.nn.SoftMarginLoss`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.5, -1.0, -200.0], np.float32), np.array([1, -1, 1])
    >>> value, grad = lx.SoftMarginLoss().value_and_grad(x, y)
    >>> print(f"{value:.4f}")
    66.9291
    >>> print(grad.round(4))
    [-0.1258  0.0896 -0.3333]
    """


soft_margin_loss = function_of(
    SoftMarginLoss,
    """>>> print(lx.soft_margin_loss([0.0, -1000.0], [1, 1], reduction="none"))
    [6.93147181e-01 1.00000000e+03]""",
)


class HingeLoss(
    ElementLoss,
    kernel="hinge",
    function="hinge_loss",
    target=SIGN,
    variant="p",
    start=_start.at_margin,
    curvatures=("exact", "majorizer"),
    value_ulp=2.0,
    grad_ulp=2.0,
    smooth=False,
    cost=0.1,
):
    r"""Hinge loss, or squared hinge loss, of targets -1 and 1.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: \max(0, margin - y x)^p.

    ``margin=0`` with p = 1 is the perceptron's loss. At the kink :math:`y x = margin`, the gradient for p = 1 is
    :math:`-y`, as in scikit-learn and keras, and the majorizer is infinite; for p = 2, gradient and curvature there are
    0. The majorizer is :math:`1 / (2 |margin - y x|)` for p = 1, and 2 for p = 2.

    For p = 1, `init_raw` is the margin with the sign of the class with the larger total weight (0 if the weights are
    equal); for p = 2, it is the margin times the mean target.

    As scikit-learn's ``SGDClassifier(loss="hinge")`` and ``"squared_hinge"``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.5, -2.0, 1.0, -0.5]), np.array([1, -1, 1, 1])
    >>> value, grad = lx.HingeLoss(reduction="sum").value_and_grad(x, y)
    >>> print(value, grad)
    2.0 [-1.  0. -1. -1.]
    """

    margin: float = parameter(1.0, real(), "The value of y x from which the loss is 0.")
    p: int = parameter(1, one_of(1, 2), "The power of the hinge.")


hinge_loss = function_of(
    HingeLoss,
    """>>> print(lx.hinge_loss([0.5, -2.0, -0.5], [1, -1, 1], p=2, reduction="none"))
    [0.25 0.   2.25]""",
)


class ModifiedHuberLoss(
    ElementLoss,
    kernel="modified_huber",
    function="modified_huber_loss",
    target=SIGN,
    start=_start.at_mean,
    curvatures=("exact", "majorizer"),
    cost=0.1,
):
    r"""Squared hinge loss that continues linearly for scores far on the wrong side.

    For an element :math:`x` of input, its target :math:`y` of -1 or 1 and :math:`z = y x`,

    .. math:: \max(0, 1 - z)^2 \text{ if } z \ge -1, \qquad -4 z \text{ if } z < -1.

    The gradient is continuous. The second derivative is 2 for :math:`-1 \le z < 1` and 0 elsewhere; the majorizer is
    :math:`2 / \max(1, |x|)`.

    Source: Zhang: Solving large scale linear prediction problems using stochastic gradient descent (2004). As
    scikit-learn's ``SGDClassifier(loss="modified_huber")``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.5, -2.0, 1.0, -3.0]), np.array([1, -1, 1, 1])
    >>> value, grad = lx.ModifiedHuberLoss(reduction="sum").value_and_grad(x, y)
    >>> print(value, grad)
    12.25 [-1.  0.  0. -4.]
    """


modified_huber_loss = function_of(
    ModifiedHuberLoss,
    """>>> print(lx.modified_huber_loss([0.5, -2.0, -3.0], [1, -1, 1], reduction="none"))
    [ 0.25  0.   12.  ]""",
)


class ExponentialLoss(
    ElementLoss,
    kernel="exponential",
    function="exponential_loss",
    target=UNIT,
    link=HALF_LOGIT,
    start=_start.at_half_log_odds,
    curvatures=("exact", "residual"),
    cost=0.5,
):
    r"""Exponential loss, the objective of AdaBoost.

    For an element :math:`x` of input and its target :math:`y` in [0, 1],

    .. math:: y \, e^{-x} + (1 - y) \, e^x.

    The score is half of the log-odds. A term whose factor :math:`y` or :math:`1 - y` is 0 is 0, so the value is the
    limit at an infinite score. Values beyond the largest number are infinite, as are gradient and curvature.
    ``curvature="residual"`` is the distance between probability and target.

    Source: Friedman, Hastie, Tibshirani: Additive logistic regression (2000). As scikit-learn's ``ExponentialLoss``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.5, -1.0]), np.array([1, 0])
    >>> value, grad = lx.ExponentialLoss(reduction="sum").value_and_grad(x, y)
    >>> print(value.round(6), grad.round(6))
    0.97441 [-0.606531  0.367879]
    """


exponential_loss = function_of(
    ExponentialLoss,
    """>>> print(lx.exponential_loss([0.0, 1.0], [1, 0], reduction="none"))
    [1.         2.71828183]""",
)
