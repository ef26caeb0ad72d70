"""The estimators on dask arrays and dataframes: ``pip install 'lossext[dask]'``.

Workers compute values, gradients and products with the Hessian of their chunks where these lie; the client, of which
there has to be one (``distributed.Client()``), runs the solver of `lossext.sklearn`.
"""

try:
    import dask  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"lossext.dask needs dask and distributed ({error.name} is missing): pip install 'lossext[dask]'"
    ) from error

from lossext.dask._accumulate import accumulate
from lossext.dask._chunks import ChunkError
from lossext.dask._estimators import LossClassifier, LossRegressor
from lossext.dask._scorer import loss_scorer

__all__ = ["ChunkError", "LossClassifier", "LossRegressor", "accumulate", "loss_scorer"]
