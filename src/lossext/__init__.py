"""lossext: loss functions with their gradients for NumPy arrays, on the CPU, as fast as memory allows."""

from lossext._config import show_config
from lossext._scipy import scipy_objective
from lossext._version import __version__
from lossext.losses import (
    BCEWithLogitsLoss,
    FrequencyEstimator,
    HingeEmbeddingLoss,
    InBatchSoftmaxGrad,
    InBatchSoftmaxLoss,
    LinearSoftmaxGrad,
    LinearSoftmaxLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NCELoss,
    SampledSoftmaxGrad,
    SampledSoftmaxLoss,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    linear_softmax_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
    nce_loss,
    sampled_softmax_loss,
    topk,
)
from lossext.row_sparse import RowSparse

__all__ = [
    "BCEWithLogitsLoss",
    "FrequencyEstimator",
    "HingeEmbeddingLoss",
    "InBatchSoftmaxGrad",
    "InBatchSoftmaxLoss",
    "LinearSoftmaxGrad",
    "LinearSoftmaxLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NCELoss",
    "RowSparse",
    "SampledSoftmaxGrad",
    "SampledSoftmaxLoss",
    "__version__",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "linear_softmax_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "nce_loss",
    "sampled_softmax_loss",
    "scipy_objective",
    "show_config",
    "topk",
]
