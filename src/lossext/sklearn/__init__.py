"""The losses as scikit-learn estimators and scorers: ``pip install 'lossext[sklearn]'``."""

try:
    import scipy  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"lossext.sklearn needs scikit-learn ({error.name} is missing): pip install 'lossext[sklearn]'"
    ) from error

from lossext.sklearn._classifier import LossClassifier
from lossext.sklearn._regressor import LossRegressor
from lossext.sklearn._sampled import SampledSoftmaxClassifier
from lossext.sklearn._scorer import loss_scorer

__all__ = ["LossClassifier", "LossRegressor", "SampledSoftmaxClassifier", "loss_scorer"]
