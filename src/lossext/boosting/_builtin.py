"""The second derivatives that the libraries' own objectives use, by the loss that is theirs.

An entry is here only if the library's own objective comes out: those whose leaves are renewed afterwards (absolute
error and quantiles of LightGBM, CatBoost and XGBoost up to 3.3) are not, since a custom objective cannot renew leaves.
Sources: LightGBM src/objective/*.hpp, XGBoost src/objective/*, CatBoost's error_functions.h and .cpp.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossext._validate import Array


def one(columns: int) -> float:
    return 1.0


@dataclass(frozen=True)
class Builtin:
    """The rule of a library's own objective for a loss."""

    objective: str  # its name there
    kind: str = "exact"  # a curvature of the loss; or "weight": that of half the squared error, 1
    factor: Callable[[int], float] = one  # of the number of columns
    of: Callable[[Any], bool] = lambda loss: True  # the losses, by their parameters
    since: tuple[int, ...] = (0,)  # the first version with this rule
    before: tuple[int, ...] = (10**6,)  # the first version with another one
    start: Callable[[Any, Any, Any], Any] | None = None  # where it starts, if not where the loss is least
    # of Hessians; this one is XGBoost's of most; that of its hinge is 1.2e-38, of which products with weights are slow
    floor: float = 1e-16


def damped(columns: int) -> float:
    """e^(x + 0.7) for e^x: max_delta_step of Poisson regression."""
    return math.exp(0.7)


def doubled(columns: int) -> float:
    return 2.0 if columns > 1 else 1.0


def friedman(columns: int) -> float:
    """K / (K - 1), from Friedman (2001)."""
    return columns / (columns - 1) if columns > 1 else 1.0


def mean(loss: Any, target: Any, weight: Any) -> Any:
    return np.average(np.asarray(target, np.float64), axis=0, weights=weight)


def newton_step(loss: Any, target: Any, weight: Any) -> Any:
    """One from 0, as XGBoost fits a stump."""
    summed = loss._with(reduction="sum")
    grad, hess = summed.grad_and_hess(np.zeros(np.shape(target)), target, sample_weight=weight)
    return -grad.sum(axis=0) / hess.sum(axis=0)


def newton_step_from_mean(loss: Any, target: Any, weight: Any) -> Any:
    """One from the mean, as XGBoost for its expectiles."""
    middle = mean(loss, target, weight)
    return middle + newton_step(loss, np.asarray(target, np.float64) - middle, weight)


def half_expectile(loss: Any) -> bool:
    """XGBoost's has no factor 2, and its several levels are steps above each other."""
    weight = loss._parameters.get("weight")
    return not loss._n_outputs and weight is not None and bool(np.all(weight == 0.5))


def compound(loss: Any) -> bool:
    """Tweedie's powers in [1, 2), all that the libraries have."""
    return 1 <= float(loss.power) < 2


def unit_hinge(loss: Any) -> bool:
    return bool(loss.p == 1 and loss.margin == 1)


def weighted_focal(loss: Any) -> bool:
    return loss.alpha is not None and 0 < loss.alpha < 1 and loss.gamma > 0 and not loss.label_smoothing


LOGISTIC = {
    "binary_cross_entropy_with_logits": "binary",
    "soft_margin_loss": "binary",
    "multilabel_soft_margin_loss": "binary",
}

RULES: dict[str, dict[str, Builtin]] = {
    "lightgbm": {
        **{function: Builtin(name) for function, name in LOGISTIC.items()},
        "half_squared_error_loss": Builtin("regression"),
        "huber_loss": Builtin("huber", "weight", start=mean),
        "half_poisson_loss": Builtin("poisson", factor=damped),
        "poisson_nll_loss": Builtin("poisson", factor=damped, of=lambda loss: loss.log_input),
        "half_gamma_loss": Builtin("gamma"),
        "half_tweedie_loss": Builtin("tweedie", of=compound),
        "cross_entropy": Builtin("multiclass", factor=friedman),
    },
    "xgboost": {
        **{function: Builtin("binary:logistic") for function in LOGISTIC},
        "half_squared_error_loss": Builtin("reg:squarederror"),
        "pseudo_huber_loss": Builtin("reg:pseudohubererror", before=(3, 5), start=newton_step),
        "half_poisson_loss": Builtin("count:poisson", factor=damped, before=(3, 5)),
        "poisson_nll_loss": Builtin("count:poisson", factor=damped, of=lambda loss: loss.log_input, before=(3, 5)),
        "half_gamma_loss": Builtin("reg:gamma", before=(3, 5)),
        "half_tweedie_loss": Builtin("reg:tweedie", of=compound, before=(3, 5)),
        "expectile_loss": Builtin(
            "reg:expectileerror", of=half_expectile, since=(3, 4), before=(3, 5), start=newton_step_from_mean
        ),
        "hinge_loss": Builtin("binary:hinge", "weight", of=unit_hinge, floor=1e-30),
        "cross_entropy": Builtin("multi:softprob", factor=doubled),
    },
    "sklearn": {
        "half_squared_error_loss": Builtin("squared_error"),
        "l1_loss": Builtin("absolute_error", "weight"),
        "pinball_loss": Builtin("quantile", "weight"),
        "half_poisson_loss": Builtin("poisson"),
        "half_gamma_loss": Builtin("gamma"),
        "binary_cross_entropy_with_logits": Builtin("log_loss"),
        "cross_entropy": Builtin("log_loss"),
    },
    "catboost": {
        "binary_cross_entropy_with_logits": Builtin("CrossEntropy"),
        "soft_margin_loss": Builtin("Logloss"),
        "multilabel_soft_margin_loss": Builtin("MultiCrossEntropy"),
        "half_squared_error_loss": Builtin("RMSE"),
        "huber_loss": Builtin("Huber"),
        "expectile_loss": Builtin("Expectile"),
        "log_cosh_loss": Builtin("LogCosh"),
        "half_poisson_loss": Builtin("Poisson"),
        "sigmoid_focal_loss": Builtin("Focal", of=weighted_focal),
        "half_tweedie_loss": Builtin("Tweedie", of=compound),
    },
}


def version(library: str) -> tuple[int, ...]:
    """The first numbers of the installed library's version."""
    found = re.match(r"(\d+)\.(\d+)", importlib.import_module(library).__version__)
    return tuple(map(int, found.groups())) if found else (0,)


def rule_of(library: str, loss: Any) -> Builtin | None:
    """The rule of the installed library's own objective of this loss, if it has one that is known."""
    rule = RULES.get(library, {}).get(loss.declaration.function)
    if rule is None or not rule.of(loss) or not rule.since <= version(library) < rule.before:
        return None
    return rule


# ---- what keeps a curvature finite and above 0 ----

SMALLEST_HESS = Builtin.floor
CLOSEST = 0.04


def limit(total: float, count: float) -> float:
    r"""The limit of a column's majorizer that is infinite at a kink, from sum and number of its h^(-1/2).

    A majorizer is slope / |d| there, d the distance from the kink. Distances count as at least 0.04 s, with
    s = (mean sqrt(|d|))^2, the scale of XGBoost 3.4 for its smooth absolute error and quantiles; in terms of curvatures
    that is h <= 1 / (0.04 (mean 1 / sqrt(h))^2). Scores so keep the target's scale.
    """
    scale = (total / count) ** 2 if count else 1.0
    return min(1 / (CLOSEST * scale), float(np.finfo(np.float32).max))


def cap(hess: Array) -> None:
    """Limit it in place and column by column."""
    for column in hess.T if hess.ndim == 2 else (hess,):
        curved = column[(column > 0) & np.isfinite(column)]
        np.minimum(column, limit(np.sum(1 / np.sqrt(curved, dtype=np.float64)), len(curved)), out=column)
