"""Losses of probability distributions."""

from __future__ import annotations

from lossext._declare import LOG_PROBABILITY, NON_NEGATIVE, Target, function_of
from lossext._parameters import flag, parameter
from lossext.losses._dense import ElementLoss

__all__ = ["KLDivLoss", "kl_div"]


class KLDivLoss(
    ElementLoss, kernel="kl_div", function="kl_div", target=NON_NEGATIVE, variant="log_target", linear_score=False
):
    r"""Kullback-Leibler divergence of predicted log-probabilities.

    For an element :math:`x` of input, a log-probability, and its target :math:`t`, a probability,

    .. math:: t \, (\log t - x),

    and 0 for t = 0 and any x that is not NaN. With ``log_target`` the target is :math:`\log t`, which may be -inf.
    ``reduction="batchmean"`` gives the mean divergence of the rows; ``mean`` divides by the number of elements, as in
    torch. Error bounds are in ulp of :math:`t (|\log t| + |x|)`, as the terms may cancel.

    As `torch.nn.KLDivLoss`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x, t = np.log([[0.5, 0.25, 0.25]]), np.array([[0.5, 0.5, 0.0]])
    >>> print(lx.KLDivLoss(reduction="batchmean")(x, t))
    0.34657359027997264
    """

    log_target: bool = parameter(False, flag(), "Whether targets are logarithms of probabilities.")

    @property
    def _target(self) -> Target:
        return LOG_PROBABILITY if self.log_target else NON_NEGATIVE


kl_div = function_of(
    KLDivLoss,
    """>>> print(lx.kl_div(np.log([0.5, 0.5]), [0.25, 0.0], reduction="none"))
    [-0.1732868  0.       ]""".replace(">>> print", ">>> import numpy as np\n    >>> print"),
)
