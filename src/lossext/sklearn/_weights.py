"""Weights of the classes, the columns of the scores and their positive parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import compute_class_weight

from lossext._validate import Array
from lossext.losses._dense import DenseLoss
from lossext.sklearn import _losses
from lossext.sklearn._rows import Rows
from lossext.sklearn._scores import ScoreLoss, of_columns


def weigh(
    loss_object: DenseLoss,
    classes: Array,
    multilabel: bool,
    class_weight: Any,
    pos_weight: Any,
    positives: Array,
    seen: Array,
) -> tuple[ScoreLoss, Array | None]:
    """The loss with its weights, and the weights of the classes.

    `positives` and `seen` are the weights of the rows that are positive in each column, and of all rows.
    """
    if pos_weight is not None:
        has_own = _losses.parameters_of(loss_object).get("pos_weight") is not None
        if has_own or _losses.kind_of(loss_object) == "class":
            reason = "has a pos_weight of its own" if has_own else "has no positive part to weigh"
            raise ValueError(f"pos_weight={pos_weight!r} cannot be used: loss {loss_object!r} {reason}")
        balanced, n_columns = isinstance(pos_weight, str), len(positives)
        pos_weight = ratio(seen - positives, positives) if balanced else of_columns("pos_weight", pos_weight, n_columns)
    weights = class_weights(class_weight, classes, None if multilabel else class_totals(positives, seen))
    n_columns = 1 if len(classes) == 2 and not multilabel else len(classes)
    score_loss = ScoreLoss(loss_object, n_columns, weights if multilabel else None, pos_weight)
    if score_loss.pos_weight is not None and not ((score_loss.pos_weight > 0) & (score_loss.pos_weight < np.inf)).all():
        raise ValueError(f"pos_weight={score_loss.pos_weight} is not positive and finite")
    return score_loss, weights


def class_totals(positives: Array, seen: Array) -> Array:
    """Weights of the rows of each class."""
    return positives if len(positives) > 1 else np.append(seen - positives, positives)


def class_weights(class_weight: Any, classes: Array, totals: Array | None) -> Array | None:
    """The parameter `class_weight`, one weight per class; `totals` are the weights of their rows, None for columns.

    Those of classes have a mean of 1 over the rows.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        weights = compute_class_weight(class_weight, classes=classes, y=classes)
        if not np.isfinite(weights).all():
            raise ValueError(f"class_weight={class_weight} holds a weight that is not finite")
        if not (weights >= 0).all():
            raise ValueError(f"class_weight={class_weight} holds a negative weight")
        if totals is None:
            return np.asarray(weights)
    elif totals is None:
        raise ValueError(
            "class_weight='balanced' takes one class per row; for a multilabel y there is pos_weight='balanced'"
        )
    else:
        weights = ratio(1.0, totals)
    mean = np.sum(weights * totals) / np.sum(totals)
    if mean == 0:
        raise ValueError(f"class_weight={class_weight} is 0 for all classes that occur")
    return np.asarray(weights / mean)


def ratio(dividend: Any, divisor: Array) -> Array:
    """A balancing weight: 1 for what does not occur."""
    weights = np.ones_like(divisor)
    np.divide(dividend, divisor, out=weights, where=(divisor > 0) & (np.asarray(dividend) > 0))
    return weights


def weigh_by_class(rows: Rows, class_weight: Array) -> Rows:
    """Rows whose weights are multiplied by those of their classes."""
    weight = class_weight.astype(rows.X.dtype)[rows.target]
    if rows.weight is not None:
        weight = rows.weight * (weight if rows.weight.ndim == 1 else weight[:, None])
    return rows._replace(weight=weight)
