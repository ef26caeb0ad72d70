"""lossext: loss functions with their gradients for NumPy arrays, on the CPU, as fast as memory allows."""

from lossext._config import show_config
from lossext._scipy import scipy_objective
from lossext._version import __version__
from lossext.losses import (
    BCEWithLogitsLoss,
    HingeEmbeddingLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SampledSoftmaxGrad,
    SampledSoftmaxLoss,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
    sampled_softmax_loss,
)
from lossext.row_sparse import RowSparse

__all__ = [
    "BCEWithLogitsLoss",
    "HingeEmbeddingLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "RowSparse",
    "SampledSoftmaxGrad",
    "SampledSoftmaxLoss",
    "__version__",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "sampled_softmax_loss",
    "scipy_objective",
    "show_config",
]
