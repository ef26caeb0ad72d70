"""Noise-contrastive estimation loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext._kernels import drivers
from lossext.losses.layer._sampled import SampledLoss


class NCELoss(SampledLoss):
    r"""Noise-contrastive estimation: labels against sampled classes, each by its own logistic loss.

    For a row of inputs :math:`x`, its labels :math:`l_1 ... l_T` and sampled classes :math:`c_1 ... c_S`, with

    .. math::
        t_k = x \cdot W_{l_k} + b_{l_k} - \log E_{l_k}, \qquad z_s = x \cdot W_{c_s} + b_{c_s} - \log E_{c_s},

    the loss is

    .. math:: \sum_k \Big(\log(1 + e^{t_k}) - \frac{t_k}{T}\Big) + \sum_s \log(1 + e^{z_s}),

    as TensorFlow's ``nce_loss``. :math:`E` are the counts that the sampler is expected to draw.

    Parameters
    ----------
    num_sampled, num_classes, num_true, sampled_values, seed, reduction, sampler
        As of `SampledSoftmaxLoss`. Without sampled_values and sampler, unique classes are drawn uniformly.
    remove_accidental_hits : bool
        Leave out of a row's negatives every class that is one of its labels; not by default, as in TensorFlow.

    Raises
    ------
    TypeError, ValueError
        As `SampledSoftmaxLoss`.

    Notes
    -----
    Types, shapes and memory are those of `SampledSoftmaxLoss`. At an infinite logit, each logistic loss is its limit.
    Error, beside the rounding of the logits: some 5 ulp of float32, 1e-14 in float64.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> values = [2, 3], np.ones((2, 1)), np.ones(2)
    >>> loss = lx.NCELoss(num_sampled=2, num_classes=4, sampled_values=values)
    >>> print(loss(np.zeros((4, 3)), np.zeros(4), [0, 1], np.zeros((2, 3))))  # 3 log 2
    [2.07944154 2.07944154]
    """

    _kind = drivers.SIGMOID

    def __init__(
        self,
        num_sampled: int,
        num_classes: int,
        num_true: int = 1,
        sampled_values: Any = None,
        remove_accidental_hits: bool = False,
        seed: int | np.random.Generator | None = 0,
        reduction: str = "none",
        sampler: Any = None,
    ) -> None:
        self._start(
            num_sampled,
            num_classes,
            num_true,
            sampled_values=sampled_values,
            remove_accidental_hits=remove_accidental_hits,
            seed=seed,
            reduction=reduction,
            sampler=sampler,
        )


def nce_loss(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    labels: npt.ArrayLike,
    inputs: npt.ArrayLike,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    seed: int | np.random.Generator | None = None,
    reduction: str = "none",
    sampler: Any = None,
) -> Any:
    """Value of `NCELoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> values = [2, 3], np.ones((2, 1)), np.ones(2)
    >>> print(lx.nce_loss(np.zeros((4, 3)), np.zeros(4), [0, 1], np.zeros((2, 3)), 2, 4, sampled_values=values))
    [2.07944154 2.07944154]
    """
    parameters = num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits, seed, reduction, sampler
    return NCELoss(*parameters)(weights, biases, labels, inputs)
