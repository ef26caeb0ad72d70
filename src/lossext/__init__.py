"""lossext: loss functions with their gradients for NumPy arrays, on the CPU, as fast as memory allows."""

from lossext._version import __version__
from lossext.losses import (
    BCEWithLogitsLoss,
    HingeEmbeddingLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
)

__all__ = [
    "BCEWithLogitsLoss",
    "HingeEmbeddingLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "__version__",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
]
