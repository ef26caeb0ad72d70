"""Losses over a linear layer's logits at very many classes, all of them or a sample, and the largest of the logits."""

from lossext.losses.layer._sampled import SampledSoftmaxGrad
from lossext.losses.layer.frequency import FrequencyEstimator
from lossext.losses.layer.in_batch_softmax import InBatchSoftmaxGrad, InBatchSoftmaxLoss
from lossext.losses.layer.largest import topk
from lossext.losses.layer.linear_bce import LinearBCEGrad, LinearBCELoss, linear_bce_loss
from lossext.losses.layer.linear_softmax import LinearSoftmaxGrad, LinearSoftmaxLoss, linear_softmax_loss
from lossext.losses.layer.nce import NCELoss, nce_loss
from lossext.losses.layer.sampled_softmax import SampledSoftmaxLoss, sampled_softmax_loss

__all__ = [
    "FrequencyEstimator",
    "InBatchSoftmaxGrad",
    "InBatchSoftmaxLoss",
    "LinearBCEGrad",
    "LinearBCELoss",
    "LinearSoftmaxGrad",
    "LinearSoftmaxLoss",
    "NCELoss",
    "SampledSoftmaxGrad",
    "SampledSoftmaxLoss",
    "linear_bce_loss",
    "linear_softmax_loss",
    "nce_loss",
    "sampled_softmax_loss",
    "topk",
]
