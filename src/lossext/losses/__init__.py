"""The losses, by subject."""

from lossext.losses import binary, embedding, multiclass, multilabel
from lossext.losses._sampled import SampledSoftmaxGrad
from lossext.losses.binary import *  # noqa: F403
from lossext.losses.embedding import *  # noqa: F403
from lossext.losses.in_batch_softmax import FrequencyEstimator, InBatchSoftmaxGrad, InBatchSoftmaxLoss
from lossext.losses.linear_softmax import LinearSoftmaxGrad, LinearSoftmaxLoss, linear_softmax_loss, topk
from lossext.losses.multiclass import *  # noqa: F403
from lossext.losses.multilabel import *  # noqa: F403
from lossext.losses.nce import NCELoss, nce_loss
from lossext.losses.sampled_softmax import SampledSoftmaxLoss, sampled_softmax_loss

__all__ = [
    "FrequencyEstimator",
    "InBatchSoftmaxGrad",
    "InBatchSoftmaxLoss",
    "LinearSoftmaxGrad",
    "LinearSoftmaxLoss",
    "NCELoss",
    "SampledSoftmaxGrad",
    "SampledSoftmaxLoss",
    "linear_softmax_loss",
    "nce_loss",
    "sampled_softmax_loss",
    "topk",
]
__all__ += binary.__all__
__all__ += embedding.__all__
__all__ += multiclass.__all__
__all__ += multilabel.__all__
