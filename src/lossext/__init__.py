"""Loss functions and their gradients for NumPy arrays on the CPU, as fast as memory allows."""

# No __all__: with it, help() would repeat the help of every class. Names without a leading underscore are public.
import importlib as _importlib
from typing import Any as _Any

from lossext import losses as losses
from lossext._accumulate import Accumulator as Accumulator
from lossext._check_objective import check_objective as check_objective
from lossext._config import show_config as show_config
from lossext._custom import custom_loss as custom_loss
from lossext._declare import registry as registry
from lossext._overview import overview as _overview
from lossext._scipy import scipy_objective as scipy_objective
from lossext._version import __version__ as __version__
from lossext.balance import balanced_pos_weight as balanced_pos_weight
from lossext.balance import balanced_weights as balanced_weights
from lossext.losses import *  # noqa: F403
from lossext.row_sparse import RowSparse as RowSparse

if __doc__:  # not under python -OO
    __doc__ += _overview(losses.SUBJECTS)


def __getattr__(name: str) -> _Any:
    """`lossext.boosting`, `lossext.dask` and `lossext.sklearn`, which are imported on first use."""
    if name in ("boosting", "dask", "sklearn"):
        return _importlib.import_module(f"lossext.{name}")
    raise AttributeError(f"module 'lossext' has no attribute {name!r}")
