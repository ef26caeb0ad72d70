"""Losses of a real prediction and a real target."""

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

    torch's mean with weights, which divides by their sum, is ``reduction="weighted_mean"``.

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

    .. math:: \tfrac{1}{2} (x - y)^2,

    as scikit-learn's ``HalfSquaredError`` and the squared error of gradient boosting, where it gives the
    regularisation its usual scale.

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

    The gradient at the kink, x = y, is 0, as torch's; the majorizer there is infinite. torch's mean with weights, which
    divides by their sum, is ``reduction="weighted_mean"``.

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
    r"""Absolute error, rounded off where it is small.

    For an element :math:`x` of input, its target :math:`y` and :math:`d = x - y`,

    .. math:: \frac{d^2}{2 \beta} \text{ if } |d| < \beta, \qquad |d| - \frac{\beta}{2} \text{ otherwise,}

    which is `HuberLoss` with ``delta=beta``, divided by beta (Girshick 2015). ``beta=0`` is `L1Loss`, whose gradient at
    the kink is 0. The second derivative at \|d\| = beta is 0.

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

    beta: float = parameter(1.0, at_least(0), "The error up to which the loss is a parabola.")


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
    r"""Huber loss: a parabola that goes on as its tangents.

    For an element :math:`x` of input, its target :math:`y` and :math:`d = x - y`,

    .. math:: \tfrac{1}{2} d^2 \text{ if } |d| \le \delta, \qquad
              \delta \left(|d| - \tfrac{\delta}{2}\right) \text{ otherwise}

    (Huber 1964). The second derivative at \|d\| = delta is 1. An infinite delta gives half the squared error.

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

    delta: float = parameter(1.0, above(0, finite=False), "The error up to which the loss is a parabola; may be inf.")


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
    r"""Huber loss without a seam.

    For an element :math:`x` of input, its target :math:`y` and :math:`d = x - y`,

    .. math:: \delta^2 \left(\sqrt{1 + (d / \delta)^2} - 1\right)

    (Charbonnier 1994), as XGBoost's ``reg:pseudohubererror``. It is computed as :math:`d^2 / (1 + s)` with s the root,
    so small errors keep their digits and large ones do not overflow. Difference, quotient, root and products are
    rounded: half an ulp more than other losses.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.0001, 2.0, 1.0], np.float32)
    >>> value, grad = lx.PseudoHuberLoss(delta=2.0, reduction="sum").value_and_grad(x, y)
    >>> print(value, grad.round(4))
    3.2111027 [-1.0000e-04  0.0000e+00  1.6641e+00]
    """

    delta: float = parameter(1.0, above(0), "The error where the loss turns from a parabola to straight lines.")


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

    Large errors do not overflow, and small ones keep their digits, which the form
    :math:`|d| + \log(1 + e^{-2|d|}) - \log 2` of other libraries loses.

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
    r"""Pinball loss, whose minimum is a quantile of the target.

    For an element :math:`x` of input, its target :math:`y` and the quantile :math:`q`,

    .. math:: q \, (y - x) \text{ if } x \le y, \qquad (1 - q) \, (x - y) \text{ otherwise}

    (Koenker and Bassett 1978). For a sequence of Q quantiles input is (N, Q), with a column for each, and target (N,).
    The gradient at the kink, x = y, is 0, so that ``quantile=0.5`` is half of `L1Loss` to the bit; the majorizer there
    is infinite.

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
        "Which quantile of the target is predicted; or one for each column of input.",
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
    r"""Squared error whose two sides weigh differently, and whose minimum is an expectile of the target.

    For an element :math:`x` of input, its target :math:`y` and the expectile :math:`q`,

    .. math:: q \, (y - x)^2 \text{ if } x \le y, \qquad (1 - q) \, (x - y)^2 \text{ otherwise}

    (Newey and Powell 1987). For a sequence of Q expectiles input is (N, Q), with a column for each, and target (N,).
    ``expectile=0.5`` is half of `MSELoss` to the bit. The second derivative at x = y is 2 (1 - q). The difference,
    whose rounding counts twice, 1 - q and two products are rounded: half an ulp more than other losses.

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
        "Which expectile of the target is predicted; or one for each column of input.",
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
    r"""What an error exceeds epsilon by, or its square: the loss of support vector regression.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: \max(0, |x - y| - \epsilon)^p

    (Vapnik 1995). Gradient and second derivative at \|x - y\| = epsilon are 0; for p = 1 the majorizer there is
    infinite. The bound of the error is in ulp of (\|x - y\| + epsilon)^p; two differences are rounded, and
    count twice in a square.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([1.0, 2.0, 4.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
    >>> value, grad = lx.EpsilonInsensitiveLoss(epsilon=0.25, reduction="sum").value_and_grad(x, y)
    >>> print(value, grad)
    1.0 [-1.  0.  1.]
    """

    epsilon: float = parameter(0.1, at_least(0), "The error up to which nothing is lost.")
    p: int = parameter(1, one_of(1, 2), "The power of what exceeds epsilon.")


epsilon_insensitive_loss = function_of(
    EpsilonInsensitiveLoss,
    """>>> print(lx.epsilon_insensitive_loss([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], epsilon=0.25, reduction="none"))
    [0.25 0.   0.75]""",
)
