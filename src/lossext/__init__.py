"""lossext: loss functions with their gradients for NumPy arrays, on the CPU, as fast as memory allows."""

import importlib
from typing import Any

from lossext import losses
from lossext._check_objective import check_objective
from lossext._config import show_config
from lossext._custom import custom_loss
from lossext._declare import registry
from lossext._scipy import scipy_objective
from lossext._version import __version__
from lossext.balance import balanced_pos_weight, balanced_weights
from lossext.losses import *  # noqa: F403
from lossext.row_sparse import RowSparse

__all__ = [
    "RowSparse",
    "__version__",
    "balanced_pos_weight",
    "balanced_weights",
    "check_objective",
    "custom_loss",
    "registry",
    "scipy_objective",
    "show_config",
]
__all__ += losses.__all__


def __getattr__(name: str) -> Any:
    """`lossext.boosting` and `lossext.sklearn`, which are imported when first asked for."""
    if name in ("boosting", "sklearn"):
        return importlib.import_module(f"lossext.{name}")
    raise AttributeError(f"module 'lossext' has no attribute {name!r}")
