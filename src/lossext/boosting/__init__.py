"""The losses in XGBoost, LightGBM, CatBoost and scikit-learn's HistGradientBoosting.

Estimators, in which objective, metric, start and link cannot be combined wrongly: `LGBMClassifier`, `LGBMRegressor`,
`XGBClassifier`, `XGBRegressor`, `CatBoostClassifier`, `CatBoostRegressor`, and `hgb_loss` for scikit-learn's. Bare
objectives, with the metric that goes with them, for the libraries' native interfaces: `LightGBMObjective`,
`XGBoostObjective`, `CatBoostObjective`, `CatBoostMultiTargetObjective`.

Each library is imported with the first name that needs it, and comes with the extra of its name:
``pip install 'lossext[xgboost]'``, ``'lossext[lightgbm]'``, ``'lossext[catboost]'``, ``'lossext[sklearn]'``.

What they have in common:

- The loss may be any of a free score, of the package or of `lossext.custom_loss`, with weights or without; its
  ``reduction`` does not matter. Derivatives are those of the sum over rows and columns: the 1/C in the formula of a
  row's loss is left out, so that the library's regularisation means what it means with its own objectives. The metric
  is the mean, over rows or elements, of the loss as its formula says, weighted by the sample weights as the libraries'
  own metrics are.
- Sample weights of the library multiply gradient, Hessian and metric, once. Weights of the loss may be a scalar or one
  for each column; rows are the sample weights' business.
- ``curvature`` says what the Hessian is: ``"builtin"``, the rule of the installed library's own objective of that loss,
  or one of the kinds that the loss has. Default: ``"builtin"`` where there is one; else the exact second derivative of
  a smooth convex loss that does not flatten, else the curvature of the best parabola above the loss (the majorizer),
  else the distance of the probability from the label. Hinges of several classes take the exact one, and where it is 0
  at a slope, ``slope / max(z, |margin| / 2)`` with z the hinge's value: a Newton step of one score goes to the margin.
- No Hessian is under 1e-16 (of XGBoost's hinge: 1e-30). A majorizer that is infinite at a kink is limited
  by the scale of the residuals, as XGBoost 3.4 limits that of its smooth absolute error.
- Binary: the library's one score of a row goes straight into losses of one score. For losses that compare classes, a
  score r stands for the scores (0, r) of classes 0 and 1. Of more classes, losses of one score go class against all
  others.
- Labels: 0 and 1 (or anything between) for losses of a probability; 0 and 1 or -1 and 1 for losses of a sign, where 0
  means -1; class ids for those of a row. What a loss does not take is an error that names the row.
- ``predict(raw)`` of an objective makes means of the model's raw scores where the loss has a link, and leaves the
  scores as they are where it has none: the class is then the column of the greatest, or ``raw > 0`` for one score.
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
