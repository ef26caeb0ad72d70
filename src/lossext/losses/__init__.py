"""The losses, one file each."""

from lossext.losses.bce_with_logits import BCEWithLogitsLoss, binary_cross_entropy_with_logits
from lossext.losses.hinge_embedding import HingeEmbeddingLoss, hinge_embedding_loss
from lossext.losses.layer import (
    FrequencyEstimator,
    InBatchSoftmaxGrad,
    InBatchSoftmaxLoss,
    LinearBCEGrad,
    LinearBCELoss,
    LinearSoftmaxGrad,
    LinearSoftmaxLoss,
    NCELoss,
    SampledSoftmaxGrad,
    SampledSoftmaxLoss,
    linear_bce_loss,
    linear_softmax_loss,
    nce_loss,
    sampled_softmax_loss,
    topk,
)
from lossext.losses.multi_margin import MultiMarginLoss, multi_margin_loss
from lossext.losses.multilabel_soft_margin import MultiLabelSoftMarginLoss, multilabel_soft_margin_loss

DENSE = (MultiLabelSoftMarginLoss, MultiMarginLoss, HingeEmbeddingLoss, BCEWithLogitsLoss)

__all__ = [
    "DENSE",
    "BCEWithLogitsLoss",
    "FrequencyEstimator",
    "HingeEmbeddingLoss",
    "InBatchSoftmaxGrad",
    "InBatchSoftmaxLoss",
    "LinearBCEGrad",
    "LinearBCELoss",
    "LinearSoftmaxGrad",
    "LinearSoftmaxLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NCELoss",
    "SampledSoftmaxGrad",
    "SampledSoftmaxLoss",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "linear_bce_loss",
    "linear_softmax_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "nce_loss",
    "sampled_softmax_loss",
    "topk",
]
