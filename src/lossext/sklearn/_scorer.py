"""A scorer on the package's losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils.validation import check_is_fitted

from lossext._validate import Array
from lossext.sklearn import _losses
from lossext.sklearn._scores import ScoreLoss
from lossext.sklearn._targets import encode, find_classes, make_rows


def loss_scorer(loss: Any) -> LossScorer:
    """Make a scorer out of a loss: its negative mean over rows and columns, so greater is better.

    Parameters
    ----------
    loss : str or loss object
        A loss of classifiers or of regressors, by name or as an object. Those of classifiers are evaluated on
        `decision_function`, those of
        regressors on what `predict` gives, put through the loss's link. An object's own `reduction` does not matter.

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
    kinds = _losses.CLASSIFICATION + _losses.REGRESSION
    return LossScorer(loss, _losses.kind_of(_losses.find(loss, kinds, "loss_scorer")) in _losses.CLASSIFICATION)


class LossScorer(_BaseScorer):  # type: ignore[misc]
    """What `loss_scorer` makes."""

    def __init__(self, loss: Any, of_classes: bool) -> None:
        super().__init__(mean_loss, -1, {"loss": loss}, "decision_function" if of_classes else "predict")

    def __repr__(self) -> str:
        return f"loss_scorer({self._kwargs['loss']!r})"

    def _score(self, method_caller: Any, estimator: Any, X: Any, y: Any, **kwargs: Any) -> float:
        check_is_fitted(estimator)
        method = self._response_method
        scores = method_caller(estimator, method, X)
        classes = estimator.classes_ if method == "decision_function" else None
        return -mean_loss(y, scores, classes=classes, **self._kwargs, **kwargs)


def mean_loss(y: Any, y_score: Array, *, loss: Any, classes: Any, sample_weight: Any = None) -> float:
    """Mean of a loss over rows and columns, weighted by row."""
    loss = _losses.find(loss, _losses.CLASSIFICATION + _losses.REGRESSION, "loss_scorer")
    y = sparse.csr_array(y) if sparse.issparse(y) else np.asarray(y)
    scores = np.array(y_score, ndmin=2).reshape(len(y_score), -1)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    score_loss = ScoreLoss(loss, scores.shape[1])
    if classes is None:
        with np.errstate(all="ignore"):
            scores = np.ascontiguousarray(loss.link(scores), scores.dtype)
        target = y if score_loss.shares_target else y.reshape(len(y), -1)
    else:
        _, several = find_classes(y)
        if several and score_loss.by_class:
            raise ValueError(f"{loss!r} takes one class per row; y is multilabel")
        target = encode(y, np.arange(scores.shape[1]) if several else np.asarray(classes), several)
    rows = make_rows(scores, target, sample_weight, scores.shape[1])
    total = 0.0
    with np.errstate(all="ignore"):
        for block in rows.blocks(scores.shape[1]):
            total += float(score_loss.evaluate(block.X, score_loss.columns(block.target, block.weight))[0].sum())
    return total / (rows.total_weight() * score_loss.n_weights)
