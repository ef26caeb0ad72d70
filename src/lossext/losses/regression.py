"""Losses for regression: of a real prediction and a real target."""

from __future__ import annotations

import numpy.typing as npt

from lossext import _start
from lossext._declare import IDENTITY, REAL, function_of
from lossext._parameters import above, at_least, between, one_of, one_or_several, parameter
from lossext.losses._dense import ElementLoss

__all__ = [
    "EpsilonInsensitiveLoss",
    "ExpectileLoss",
    "HalfSquaredErrorLoss",
    "HuberLoss",
    "L1Loss",
    "LogCoshLoss",
    "MSELoss",
    "PinballLoss",
    "PseudoHuberLoss",
    "SmoothL1Loss",
    "epsilon_insensitive_loss",
    "expectile_loss",
    "half_squared_error_loss",
    "huber_loss",
    "l1_loss",
    "log_cosh_loss",
    "mse_loss",
    "pinball_loss",
    "pseudo_huber_loss",
    "smooth_l1_loss",
]


class MSELoss(
    ElementLoss, kernel="mse", function="mse_loss", target=REAL, link=IDENTITY, start=_start.at_mean, cost=0.1
):
    r"""Squared error.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: (x - y)^2.

    As `torch.nn.MSELoss`. For torch's weighted mean, which divides by the sum of the weights, use
    ``reduction="weighted_mean"``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> value, grad = lx.MSELoss().value_and_grad(x, y)
    >>> print(value)
    0.41666666
    >>> print(grad.round(4))
    [-0.3333  0.      0.6667]
    """


mse_loss = function_of(
    MSELoss,
    """>>> print(lx.mse_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], reduction="none"))
    [0.25 0.   1.  ]""",
)


class HalfSquaredErrorLoss(
    ElementLoss,
    kernel="half_squared_error",
    function="half_squared_error_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_mean,
    cost=0.1,
):
    r"""Half the squared error, whose gradient is the residual.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: \tfrac{1}{2} (x - y)^2.

    As scikit-learn's ``HalfSquaredError`` and the squared error of boosting libraries, whose regularisation parameters
    assume this scale.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> grad, hess = lx.HalfSquaredErrorLoss(reduction="sum").grad_and_hess(x, y)
    >>> print(grad, hess)
    [-0.5  0.   1. ] [1. 1. 1.]
    """


half_squared_error_loss = function_of(
    HalfSquaredErrorLoss,
    """>>> print(lx.half_squared_error_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], reduction="none"))
    [0.125 0.    0.5  ]""",
)


class L1Loss(
    ElementLoss,
    kernel="l1",
    function="l1_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_median,
    curvatures=("exact", "majorizer"),
    smooth=False,
    cost=0.1,
):
    r"""Absolute error.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: |x - y|.

    At the kink x = y, the gradient is 0, as in torch, and the majorizer is infinite; elsewhere the majorizer is
    :math:`1 / |x - y|`.

    As `torch.nn.L1Loss`. For torch's weighted mean, which divides by the sum of the weights, use
    ``reduction="weighted_mean"``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> value, grad = lx.L1Loss().value_and_grad(x, y)
    >>> print(value)
    0.5
    >>> print(grad.round(4))
    [-0.3333  0.      0.3333]
    """


l1_loss = function_of(
    L1Loss,
    """>>> print(lx.l1_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], reduction="none"))
    [0.5 0.  1. ]""",
)


class SmoothL1Loss(
    ElementLoss,
    kernel="smooth_l1",
    function="smooth_l1_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_root,
    curvatures=("exact", "majorizer"),
    smooth=False,
    cost=0.1,
):
    r"""Absolute error, replaced by a parabola for small errors.

    For an element :math:`x` of input, its target :math:`y` and :math:`d = x - y`,

    .. math:: \frac{d^2}{2 \beta} \text{ if } |d| < \beta, \qquad |d| - \frac{\beta}{2} \text{ otherwise,}

    which is `HuberLoss` with ``delta=beta``, divided by beta. ``beta=0`` is `L1Loss`, whose gradient at the kink is 0.
    The second derivative at \|d\| = beta is 0.

    Source: Girshick: Fast R-CNN (2015). As `torch.nn.SmoothL1Loss`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 1.0], np.float32)
    >>> value, grad = lx.SmoothL1Loss(beta=1.0).value_and_grad(x, y)
    >>> print(value)
    0.875
    >>> print(grad.round(4))
    [-0.1667  0.      0.3333]
    """

    beta: float = parameter(1.0, at_least(0), "The absolute error up to which the loss is a parabola.")


smooth_l1_loss = function_of(
    SmoothL1Loss,
    """>>> print(lx.smooth_l1_loss([1.0, 2.0, 4.0], [1.5, 2.0, 1.0], reduction="none"))
    [0.125 0.    2.5  ]""",
)


class HuberLoss(
    ElementLoss,
    kernel="huber",
    function="huber_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_root,
    curvatures=("exact", "majorizer"),
    cost=0.1,
):
    r"""Huber loss: a parabola for small errors that continues along its tangents.

    For an element :math:`x` of input, its target :math:`y` and :math:`d = x - y`,

    .. math:: \tfrac{1}{2} d^2 \text{ if } |d| \le \delta, \qquad
              \delta \left(|d| - \tfrac{\delta}{2}\right) \text{ otherwise}

    The second derivative at \|d\| = delta is 1. An infinite delta gives half the squared error.

    Source: Huber: Robust estimation of a location parameter (1964). As `torch.nn.HuberLoss`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 1.0], np.float32)
    >>> value, grad = lx.HuberLoss(delta=2.0).value_and_grad(x, y)
    >>> print(value)
    1.375
    >>> print(grad.round(4))
    [-0.1667  0.      0.6667]
    """

    delta: float = parameter(
        1.0, above(0, finite=False), "The absolute error up to which the loss is a parabola; may be inf."
    )


huber_loss = function_of(
    HuberLoss,
    """>>> print(lx.huber_loss([1.0, 2.0, 4.0], [1.5, 2.0, 1.0], delta=2.0, reduction="none"))
    [0.125 0.    4.   ]""",
)


class PseudoHuberLoss(
    ElementLoss,
    kernel="pseudo_huber",
    function="pseudo_huber_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_root,
    curvatures=("exact", "majorizer"),
    value_ulp=2.5,
    cost=0.2,
):
    r"""Pseudo-Huber loss, a smooth approximation of the Huber loss.

    For an element :math:`x` of input, its target :math:`y` and :math:`d = x - y`,

    .. math:: \delta^2 \left(\sqrt{1 + (d / \delta)^2} - 1\right)

    It is computed as :math:`d^2 / (1 + s)` with s the square root, so small errors keep their digits and large ones do
    not overflow. Its error bound is half an ulp larger than that of the other losses because more operations round.

    Source: Charbonnier et al.: Two deterministic half-quadratic regularization algorithms for computed imaging (1994).
    As XGBoost's ``reg:pseudohubererror``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.0001, 2.0, 1.0], np.float32)
    >>> value, grad = lx.PseudoHuberLoss(delta=2.0, reduction="sum").value_and_grad(x, y)
    >>> print(value, grad.round(4))
    3.2111027 [-1.0000e-04  0.0000e+00  1.6641e+00]
    """

    delta: float = parameter(1.0, above(0), "The absolute error near which the loss changes from quadratic to linear.")


pseudo_huber_loss = function_of(
    PseudoHuberLoss,
    """>>> print(lx.pseudo_huber_loss([1.0, 2.0, 4.0], [1.5, 2.0, 1.0], reduction="none").round(4))
    [0.118  0.     2.1623]""",
)


class LogCoshLoss(
    ElementLoss,
    kernel="log_cosh",
    function="log_cosh_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_root,
    curvatures=("exact", "majorizer"),
    cost=0.4,
):
    r"""Logarithm of the hyperbolic cosine of the error.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: \log \cosh(x - y).

    Large errors do not overflow. Small errors keep their digits, which the form
    :math:`|d| + \log(1 + e^{-2|d|}) - \log 2` used by other libraries loses.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1e-4, 2.0, 400.0], np.float32), np.array([0.0, 1.0, 0.0], np.float32)
    >>> print([f"{value:.4g}" for value in lx.LogCoshLoss(reduction="none")(x, y)])
    ['5e-09', '0.4338', '399.3']
    """


log_cosh_loss = function_of(
    LogCoshLoss,
    """>>> print(lx.log_cosh_loss([1.0, 2.0, 4.0], [1.5, 2.0, 1.0], reduction="none").round(4))
    [0.1201 0.     2.3093]""",
)


class PinballLoss(
    ElementLoss,
    kernel="pinball",
    function="pinball_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_quantile,
    curvatures=("exact", "majorizer"),
    smooth=False,
    cost=0.1,
):
    r"""Pinball loss, minimised by a quantile of the target.

    For an element :math:`x` of input, its target :math:`y` and the quantile :math:`q`,

    .. math:: q \, (y - x) \text{ if } x \le y, \qquad (1 - q) \, (x - y) \text{ otherwise}

    For a sequence of Q quantiles, input has shape (N, Q), with one column per quantile, and target has shape (N,). At
    the kink x = y, the gradient is 0 and the majorizer infinite. ``quantile=0.5`` is exactly half of `L1Loss`.

    Source: Koenker and Bassett: Regression quantiles (1978). As scikit-learn's ``mean_pinball_loss``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> value, grad = lx.PinballLoss(quantile=0.75, reduction="sum").value_and_grad(x, y)
    >>> print(value, grad)
    0.625 [-0.75  0.    0.25]
    >>> lx.PinballLoss(quantile=[0.25, 0.75]).init_raw([1.0, 2.0, 4.0, 8.0, 9.0])
    array([2., 8.])
    """

    _outputs_by_parameter = True
    quantile: float | npt.ArrayLike = parameter(
        0.5,
        one_or_several(between(0, 1)),
        "The quantile to predict, or one for each column of input.",
    )


pinball_loss = function_of(
    PinballLoss,
    """>>> print(lx.pinball_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], quantile=0.75, reduction="none"))
    [0.375 0.    0.25 ]""",
)


class ExpectileLoss(
    ElementLoss,
    kernel="expectile",
    function="expectile_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_root,
    curvatures=("exact", "majorizer"),
    value_ulp=2.5,
    cost=0.1,
):
    r"""Asymmetrically weighted squared error, minimised by an expectile of the target.

    For an element :math:`x` of input, its target :math:`y` and the expectile :math:`q`,

    .. math:: q \, (y - x)^2 \text{ if } x \le y, \qquad (1 - q) \, (x - y)^2 \text{ otherwise}

    For a sequence of Q expectiles, input has shape (N, Q), with one column per expectile, and target has shape (N,).
    ``expectile=0.5`` is exactly half of `MSELoss`. The second derivative at x = y is 2 (1 - q). The error bound is half
    an ulp larger than that of the other losses because more operations round.

    Source: Newey and Powell: Asymmetric least squares estimation and testing (1987).

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> value, grad = lx.ExpectileLoss(expectile=0.75, reduction="sum").value_and_grad(x, y)
    >>> print(value, grad)
    0.4375 [-0.75  0.    0.5 ]
    """

    _outputs_by_parameter = True
    expectile: float | npt.ArrayLike = parameter(
        0.5,
        one_or_several(between(0, 1)),
        "The expectile to predict, or one for each column of input.",
    )


expectile_loss = function_of(
    ExpectileLoss,
    """>>> print(lx.expectile_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], expectile=0.75, reduction="none"))
    [0.1875 0.     0.25  ]""",
)


class EpsilonInsensitiveLoss(
    ElementLoss,
    kernel="epsilon_insensitive",
    function="epsilon_insensitive_loss",
    target=REAL,
    link=IDENTITY,
    start=_start.at_root,
    curvatures=("exact", "majorizer"),
    value_ulp=2.5,
    smooth=False,
    cost=0.1,
):
    r"""Excess of the absolute error over epsilon, or its square: the loss of support vector regression.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: \max(0, |x - y| - \epsilon)^p

    At the kink \|x - y\| = epsilon, gradient and second derivative are 0; for p = 1 the majorizer there is infinite.
    The error bound is in ulp of (\|x - y\| + epsilon)^p.

    Source: Vapnik: The nature of statistical learning theory (1995). As scikit-learn's ``LinearSVR``.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> value, grad = lx.EpsilonInsensitiveLoss(epsilon=0.25, reduction="sum").value_and_grad(x, y)
    >>> print(value, grad)
    1.0 [-1.  0.  1.]
    """

    epsilon: float = parameter(0.1, at_least(0), "The absolute error up to which the loss is 0.")
    p: int = parameter(1, one_of(1, 2), "The power of the excess over epsilon.")


epsilon_insensitive_loss = function_of(
    EpsilonInsensitiveLoss,
    """>>> print(lx.epsilon_insensitive_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], epsilon=0.25, reduction="none"))
    [0.25 0.   0.75]""",
)
