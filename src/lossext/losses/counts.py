"""Losses for counts and amounts, whose mean is positive."""

from __future__ import annotations

from lossext import _start
from lossext._declare import IDENTITY, LOG, MEAN, NON_NEGATIVE, POSITIVE, REAL, InputDomain, Link, Target, function_of
from lossext._parameters import at_least, flag, outside, parameter
from lossext.losses._dense import ElementLoss

__all__ = [
    "HalfGammaLoss",
    "HalfPoissonLoss",
    "HalfTweedieLoss",
    "PoissonNLLLoss",
    "half_gamma_loss",
    "half_poisson_loss",
    "half_tweedie_loss",
    "poisson_nll_loss",
]


class HalfPoissonLoss(
    ElementLoss,
    kernel="half_poisson",
    function="half_poisson_loss",
    target=NON_NEGATIVE,
    link=LOG,
    start=_start.at_log_mean,
    value_ulp=3.0,
    curvatures=("exact", "fisher"),
    cost=1.0,
):
    r"""Half the Poisson deviance; the prediction is the logarithm of the mean.

    For an element :math:`x` of input, the logarithm of the mean, and its target :math:`y`, a count or an amount,

    .. math:: y \log \frac{y}{e^x} - y + e^x,

    which is never negative, and 0 if the mean equals the target. For y = 0 it is :math:`e^x`. scikit-learn's
    ``HalfPoissonLoss`` drops the terms that do not depend on x. The error bound includes the effect of changing x by at
    most one ulp; the logarithm of y is computed in two parts, so that no digits are lost near the minimum.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.0, 1.609375, -1.0], np.float32), np.array([1, 5, 0])
    >>> print([f"{value:.3g}" for value in lx.HalfPoissonLoss(reduction="none")(x, y)])
    ['0', '9.89e-09', '0.368']
    >>> print([f"{slope:.3g}" for slope in lx.HalfPoissonLoss(reduction="sum").grad(x, y)])
    ['0', '-0.000315', '0.368']
    """


half_poisson_loss = function_of(
    HalfPoissonLoss,
    """>>> print(lx.half_poisson_loss([0.0, 1.0, -1.0], [1, 5, 0], reduction="none").round(4))
    [0.     0.7655 0.3679]""",
)


class HalfGammaLoss(
    ElementLoss,
    kernel="half_gamma",
    function="half_gamma_loss",
    target=POSITIVE,
    link=LOG,
    start=_start.at_log_mean,
    value_ulp=3.0,
    curvatures=("exact", "fisher"),
    cost=1.0,
):
    r"""Half the gamma deviance; the prediction is the logarithm of the mean.

    For an element :math:`x` of input, the logarithm of the mean, and its target :math:`y`,

    .. math:: \frac{y}{e^x} - 1 - \log \frac{y}{e^x},

    which is never negative, and 0 if the mean equals the target. scikit-learn's ``HalfGammaLoss`` drops the terms that
    do not depend on x. The error bound includes the effect of changing x by at most one ulp.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.0, 1.0, -1.0], np.float32), np.array([1, 5, 0.5], np.float32)
    >>> value, grad = lx.HalfGammaLoss(reduction="sum").value_and_grad(x, y)
    >>> print(value, grad.round(4))
    0.28224736 [ 0.     -0.8394 -0.3591]
    """


half_gamma_loss = function_of(
    HalfGammaLoss,
    """>>> print(lx.half_gamma_loss([0.0, 1.0, -1.0], [1, 5, 0.5], reduction="none").round(4))
    [0.     0.23   0.0523]""",
)


class HalfTweedieLoss(
    ElementLoss,
    kernel="half_tweedie",
    function="half_tweedie_loss",
    target=NON_NEGATIVE,
    link=LOG,
    start=_start.at_log_mean,
    value_ulp=3.0,
    curvatures=("exact", "fisher"),
    cost=3.0,
):
    r"""Half the Tweedie deviance; the prediction is the logarithm of the mean.

    For an element :math:`x` of input, the logarithm of the mean :math:`\mu = e^x`, its target :math:`y`, and a variance
    proportional to :math:`\mu^p`,

    .. math:: \frac{\mu^{2-p} - y^{2-p}}{2-p} - y \, \frac{\mu^{1-p} - y^{1-p}}{1-p},

    with the limits `HalfPoissonLoss` at p = 1 and `HalfGammaLoss` at p = 2; p = 0 gives half the squared error of the
    mean. It is never negative, 0 if the mean equals the target, and continuous in p. For a negative power and a
    non-positive target, the powers of y are left out, as in scikit-learn. The error bound includes the effect of
    changing x by at most one ulp.

    Targets must be finite: any number for powers up to 0, at least 0 for powers below 2, above 0 for powers from 2 on.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.0, 1.0, -1.0], np.float32), np.array([1, 5, 0], np.float32)
    >>> value, grad = lx.HalfTweedieLoss(power=1.5, reduction="sum").value_and_grad(x, y)
    >>> print(round(float(value), 4), grad.round(4))
    1.6315 [ 0.     -1.3839  0.6065]
    """

    power: float = parameter(1.5, outside(0, 1), "The power p of the mean to which the variance is proportional.")

    @property
    def _target(self) -> Target:
        return REAL if self.power <= 0 else NON_NEGATIVE if self.power < 2 else POSITIVE


half_tweedie_loss = function_of(
    HalfTweedieLoss,
    """>>> print(lx.half_tweedie_loss([0.0, 1.0, -1.0], [1, 5, 0], power=1.5, reduction="none").round(4))
    [0.     0.4185 1.2131]""",
)


class PoissonNLLLoss(
    ElementLoss,
    kernel="poisson_nll",
    function="poisson_nll_loss",
    target=NON_NEGATIVE,
    link=LOG,
    start=_start.at_poisson_mean,
    variant="log_input",
    curvatures=("exact", "fisher"),
    value_ulp=3.0,
    cost=0.7,
):
    r"""Negative log-likelihood of Poisson-distributed counts.

    For an element :math:`x` of input and its target :math:`y`,

    .. math:: e^x - y \, x \qquad \text{or, without log\_input,} \qquad x - y \log(x + \epsilon),

    to which ``full`` adds :math:`\log y!` (torch adds Stirling's approximation, and only for y > 1). Without
    ``log_input``, a negative x raises a ValueError. Error bounds are in ulp of the sum of the absolute terms, which may
    cancel; `HalfPoissonLoss` has no such cancellation.

    As `torch.nn.PoissonNLLLoss`, except for :math:`\log y!`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, y = np.array([0.0, 1.0, -1.0], np.float32), np.array([1, 5, 0])
    >>> value, grad = lx.PoissonNLLLoss(reduction="sum").value_and_grad(x, y)
    >>> print(value, grad.round(4))
    -0.9138388 [ 0.     -2.2817  0.3679]
    """

    log_input: bool = parameter(True, flag(), "Whether input is the logarithm of the mean (else the mean itself).")
    full: bool = parameter(False, flag(), "Whether to add the term that does not depend on input.")
    eps: float = parameter(1e-8, at_least(0), "Added to the mean before the logarithm, without ``log_input``.")

    @property
    def _input_domain(self) -> InputDomain | None:
        return None if self.log_input else MEAN

    def _link(self) -> Link:
        return LOG if self.log_input else IDENTITY


poisson_nll_loss = function_of(
    PoissonNLLLoss,
    """>>> print(lx.poisson_nll_loss([0.5, 3.0, 2.0], [1, 5, 0], log_input=False, full=True, reduction="none").round(4))
    [1.1931 2.2944 2.    ]""",
)
