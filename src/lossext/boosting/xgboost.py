"""Objectives and metrics for XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext._declare import logistic
from lossext._validate import Array
from lossext.boosting._adapter import Adapter, is_dataset, raw_target_weight, require
from lossext.losses._dense import DenseLoss

xgboost = require("xgboost")

# reg:gamma, since count:poisson bounds steps besides
LINKS = {"identity": "reg:squarederror", "logit": "binary:logistic", "log": "reg:gamma", "softmax": "multi:softprob"}


class XGBoostMetric:
    """Mean of a loss as a metric of XGBoost, lower is better; made by `XGBoostObjective.metric`."""

    def __init__(self, objective: XGBoostObjective) -> None:
        self.objective = objective
        self.__name__ = objective._name  # how the scikit-learn interface calls it

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> tuple[str, float] | float:
        """``metric(raw, dmatrix)`` gives name and value, ``metric(y_true, raw, sample_weight)`` the value."""
        value = self.objective._mean(*raw_target_weight(first, second, sample_weight))
        return (self.__name__, value) if is_dataset(second) else value


class XGBoostObjective(Adapter):
    """A loss as the objective of XGBoost, for `xgboost.train` and for the scikit-learn interface.

    Parameters
    ----------
    loss : loss object
        Any whose input is a free score, such as ``SigmoidFocalLoss()``, or one of `lossext.custom_loss`.
        With labels of shape (N, C) those of one score are multilabel; those of class ids are multiclass, with
        ``num_class`` among the parameters of `xgboost.train` (the classifier sets it itself).
    curvature : str, optional
        What the Hessian is: ``"builtin"``, the rule of the library's own objective of that loss, or a kind that the
        loss has. Default: see `lossext.boosting`.
    scale_pos_weight : float
        Multiplies derivatives of rows whose label is 1, as the parameter of that name does for the library's own
        objectives, which does not reach a custom one.

    Raises
    ------
    TypeError
        loss is not a loss object.
    ValueError
        A loss that cannot be boosted, with those that can; a curvature that there is not; scale_pos_weight not above 0.
        While training, labels that the loss does not take.

    Notes
    -----
    XGBoost keeps the name of an objective of its own in every model, for link and ``base_score``, also where a custom
    one trains it. ``XGBClassifier`` makes it "binary:logistic", or "multi:softprob" for more than two classes. Give
    `xgboost.train` the first in ``params`` for the logistic losses, and both interfaces behave alike: the model
    predicts probabilities and takes ``base_score`` as one. With a custom objective XGBoost does not estimate
    ``base_score``; it is 0.5 unless given.

    See `lossext.boosting` for labels, weights and Hessians.

    Examples
    --------
    >>> import lossext as lx, numpy as np, xgboost
    >>> from lossext.boosting import XGBoostObjective
    >>> X, y = np.arange(8.0).reshape(8, 1), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    >>> objective = XGBoostObjective(lx.BCEWithLogitsLoss(pos_weight=2.0))
    >>> params = {"objective": "binary:logistic", "base_score": objective.base_score(y), "max_depth": 1}
    >>> booster = xgboost.train(params, xgboost.DMatrix(X, y), 10, obj=objective, custom_metric=objective.metric)
    >>> probability = booster.predict(xgboost.DMatrix(X))

    or ``XGBClassifier(objective=objective, base_score=objective.base_score(y), eval_metric=objective.metric)``.
    """

    library = "xgboost"

    def __init__(self, loss: DenseLoss, curvature: str | None = None, scale_pos_weight: float = 1.0) -> None:
        self._set_parameters(**self._own_parameters(loss, curvature, scale_pos_weight))

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """Gradient and Hessian of ``objective(raw, dmatrix)`` or ``objective(y_true, raw, sample_weight)``."""
        return self._derivatives(*raw_target_weight(first, second, sample_weight))

    @property
    def metric(self) -> XGBoostMetric:
        """The mean of the loss, for ``custom_metric`` of `xgboost.train` or ``eval_metric`` of an estimator."""
        return XGBoostMetric(self)

    @property
    def same_link(self) -> str:
        """XGBoost's own objective with the loss's link, for ``objective`` of `xgboost.train` beside ``obj``."""
        link = self.loss.declaration.link
        return LINKS.get(link.name if link else "identity", "reg:squarederror")

    def base_score(self, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float | list[float]:
        """``base_score`` of the constant that minimises the loss, beside ``objective=same_link``, one for each column.

        A probability within 1e-6 and 1 - 1e-6, a mean or a raw score. Lists need XGBoost 3.1. TypeError for a loss
        without such a constant, which needs none.
        """
        score: float | list[float] = in_link_of(self.same_link, self.loss.init_raw(y, sample_weight))
        return score


# ---- estimators ----


def in_link_of(stored: str, start: Any) -> Any:
    """``base_score`` of a raw score, for the objective that the library keeps."""
    if stored == "binary:logistic":
        start = np.clip(logistic(np.asarray(start, np.float64)), 1e-6, 1 - 1e-6)
    elif stored == "reg:gamma":
        start = np.exp(start)
    return np.asarray(start, np.float64).tolist()
