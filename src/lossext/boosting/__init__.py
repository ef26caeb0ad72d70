"""The dense losses as objectives and metrics of XGBoost, LightGBM and CatBoost.

Each library is imported with the first name that needs it, and comes with the extra of its name:
``pip install 'lossext[xgboost]'``, ``'lossext[lightgbm]'``, ``'lossext[catboost]'``.

What the adapters have in common:

- The loss may be any dense one, with weights or without; its ``reduction`` does not matter. Derivatives are those of
  the sum over rows and columns: the 1/C in the formula of a row's loss is left out, so that the library's
  regularisation means what it means with its own objectives. The metric is the mean, over rows or elements, of the loss
  as its formula says, weighted by the sample weights as the libraries' own metrics are.
- Sample weights of the library multiply gradient, Hessian and metric, once. For weights of the positives use the loss's
  ``pos_weight``: what the libraries have for their own objectives (``scale_pos_weight``, ``is_unbalance``) does not
  reach a custom one. Weights of the loss may be a scalar or one for each column; rows are the sample weights' business.
- No Hessian is under 1e-16. Multi margin with p = 1 and hinge embedding have no second derivative: where a hinge of
  value z has a slope, ``slope / max(z, |margin| / 2)`` stands in for it. Slope / z is the curvature of the parabola
  that touches the hinge at the score, lies above it and has its minimum at the kink: a Newton step of one score goes
  to the margin, and the margin sets the scale of the scores. Multi margin mostly learns better with p = 2, whose
  derivatives are exact.
- Binary: the library's one score of a row goes straight into the logistic losses and hinge embedding. For multi margin,
  which compares classes, a score r stands for the scores (0, r) of classes 0 and 1.
- Labels: 0 and 1 (or anything between) for the logistic losses; 0 and 1 or -1 and 1 for hinge embedding, where 0 means
  -1; class ids for multi margin.
- ``predict(raw)`` makes probabilities of the model's raw scores where the loss has a link, and leaves the scores as
  they are where it has none: the class of multi margin is the column of the greatest, or ``raw > 0`` for one score.
- Metrics take raw scores, which the libraries hand over to them only beside a custom objective.
- They pickle, and two with the same parameters are equal.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lossext.boosting._adapter import require

if TYPE_CHECKING:
    from lossext.boosting.catboost import CatBoostMultiTargetObjective, CatBoostObjective
    from lossext.boosting.catboost_estimators import CatBoostClassifier, CatBoostRegressor
    from lossext.boosting.lightgbm import LightGBMObjective
    from lossext.boosting.lightgbm_estimators import LGBMClassifier, LGBMRegressor
    from lossext.boosting.sklearn_hgb import hgb_loss
    from lossext.boosting.xgboost import XGBoostObjective
    from lossext.boosting.xgboost_estimators import XGBClassifier, XGBRegressor

MODULES = {
    "CatBoostClassifier": "catboost_estimators",
    "CatBoostMultiTargetObjective": "catboost",
    "CatBoostObjective": "catboost",
    "CatBoostRegressor": "catboost_estimators",
    "LGBMClassifier": "lightgbm_estimators",
    "LGBMRegressor": "lightgbm_estimators",
    "LightGBMObjective": "lightgbm",
    "XGBClassifier": "xgboost_estimators",
    "XGBRegressor": "xgboost_estimators",
    "XGBoostObjective": "xgboost",
    "hgb_loss": "sklearn_hgb",
}
__all__ = [
    "CatBoostClassifier",
    "CatBoostMultiTargetObjective",
    "CatBoostObjective",
    "CatBoostRegressor",
    "LGBMClassifier",
    "LGBMRegressor",
    "LightGBMObjective",
    "XGBClassifier",
    "XGBRegressor",
    "XGBoostObjective",
    "hgb_loss",
]


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library, _, estimators = MODULES[name].partition("_")
    require(library)
    if estimators:
        require("sklearn")
    return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
