"""A scorer on the package's losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils._param_validation import StrOptions, validate_params

from lossext._validate import Array
from lossext.losses import BCEWithLogitsLoss, MultiLabelSoftMarginLoss, MultiMarginLoss
from lossext.losses._dense import DenseLoss
from lossext.sklearn._objective import LOSSES, ScoreLoss, as_loss
from lossext.sklearn._targets import encode, find_classes, make_rows


@validate_params(
    {"loss": [StrOptions(set(LOSSES)), MultiMarginLoss, MultiLabelSoftMarginLoss, BCEWithLogitsLoss]},
    prefer_skip_nested_validation=True,
)  # type: ignore[untyped-decorator]
def loss_scorer(loss: Any) -> LossScorer:
    """Make a scorer out of a loss: its negative mean over rows and columns, so greater is better.

    Parameters
    ----------
    loss : {"multi_margin", "multilabel_soft_margin", "bce_with_logits"} or a loss object of theirs
        Evaluated on `decision_function`. An object's own `reduction` does not matter.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``, as `cross_val_score` and `GridSearchCV` take it; a weighted
        mean if there are weights. With metadata routing, ``.set_score_request(sample_weight=True)`` asks for them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from lossext.sklearn import LossClassifier, loss_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> scores = cross_val_score(LossClassifier("bce_with_logits"), X, y, scoring=loss_scorer("bce_with_logits"))
    >>> print(len(scores), scores.max() < 0)
    5 True
    """
    return LossScorer(loss)


class LossScorer(_BaseScorer):  # type: ignore[misc]
    """What `loss_scorer` makes."""

    def __init__(self, loss: str | DenseLoss) -> None:
        super().__init__(mean_loss, -1, {"loss": loss}, "decision_function")

    def __repr__(self) -> str:
        return f"loss_scorer({self._kwargs['loss']!r})"

    def _score(self, method_caller: Any, estimator: Any, X: Any, y: Any, **kwargs: Any) -> float:
        scores = method_caller(estimator, "decision_function", X)
        return -mean_loss(y, scores, classes=estimator.classes_, **self._kwargs, **kwargs)


def mean_loss(y: Any, y_score: Array, *, loss: Any, classes: Array, sample_weight: Any = None) -> float:
    """Mean of a loss over rows and columns, weighted by row."""
    loss, y = as_loss(loss), y if sparse.issparse(y) else np.asarray(y)
    takes_ids = isinstance(loss, MultiMarginLoss)
    _, several = find_classes(y)
    if several and takes_ids:
        raise ValueError(f"{loss!r} takes one class a row; y is multilabel")
    scores = np.array(y_score, ndmin=2).reshape(len(y_score), -1)
    score_loss = ScoreLoss(loss, scores.shape[1])
    rows = make_rows(scores, encode(y, np.asarray(classes), several, takes_ids), sample_weight)
    total = sum(
        score_loss.value_and_grad(block.X.copy(), block.target, block.weight)[0]
        for block in rows.blocks(scores.shape[1])
    )
    return float(total) / (rows.total_weight() * score_loss.n_weights)
