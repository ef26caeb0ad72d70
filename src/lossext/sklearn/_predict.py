"""What linear classifiers say of new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import log_expit, log_softmax
from sklearn.linear_model._base import LinearClassifierMixin

from lossext._validate import Array, quiet
from lossext.row_sparse import product
from lossext.sklearn import _losses
from lossext.sklearn._base import OnlyIf
from lossext.sklearn._rows import Rows, without_empty_columns


def by_steps(estimator: Any) -> bool:
    """Whether `fit` goes by mini-batches."""
    return estimator.solver in ("adam", "sgd")


def why_no_probabilities(estimator: Any) -> None:
    """AttributeError for a loss without them."""
    if _losses.log_odds(estimator._loss()) is None:
        choice = _losses.fitting(_losses.CLASSIFICATION)
        having = [name for name, cls in choice.items() if _losses.log_odds(cls()) is not None]
        raise AttributeError(
            f"probabilities are available for the losses {', '.join(map(repr, having))}, "
            f"not for loss={estimator.loss!r}; CalibratedClassifierCV makes them out of its scores"
        )


def linear_scores(X: Any, coef: Array, intercept: Array) -> Array:
    """Scores of some rows.  Of coefficients that a product with sparse rows would copy, only the rows' are taken."""
    if not sparse.issparse(X):
        scores: Array = X @ coef.T
    elif coef.flags.f_contiguous and coef.dtype == X.dtype:
        scores = product(X, coef.T)
    else:
        features, X = without_empty_columns(X)
        scores = X @ coef[:, features].T
    return scores + intercept


class ClassPredictions(LinearClassifierMixin):  # type: ignore[misc]
    """Mixin of the classifiers whose scores are linear."""

    @quiet
    def decision_function(self: Any, X: Any) -> Array:
        """Scores (N, C); for two classes (N,), of the second against the first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray
        """
        scores: Array = linear_scores(self._checked(X), self.coef_, self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 and not self._multilabel else scores

    @quiet
    def predict(self: Any, X: Any) -> Any:
        """Classes (N,); for a multilabel problem 0 and 1 (N, C), sparse if y was sparse.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray or CSR array
        """
        X = self._checked(X)
        parts: list[Any] = []
        for block in Rows(X, X, None).blocks(len(self.coef_)):
            scores = linear_scores(block.X, self.coef_, self.intercept_)
            if self._multilabel:
                parts.append(
                    sparse.csr_array(scores > 0, dtype=int) if self._sparse_output else (scores > 0).astype(int)
                )
            else:
                ids = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)
                parts.append(self.classes_[ids])
        return sparse.vstack(parts, format="csr") if self._multilabel and self._sparse_output else np.concatenate(parts)

    @quiet
    def predict_top_k(self: Any, X: Any, k: int = 5) -> Array:
        """The k classes or labels of the greatest scores of each row, the greatest first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)
        k : int
            At least 1, at most the number of classes.

        Returns
        -------
        ndarray of shape (N, k)
        """
        X = self._checked(X)
        if not 1 <= k <= len(self.classes_):
            raise ValueError(f"k = {k} is not in [1, {len(self.classes_)}]")
        parts = []
        for block in Rows(X, X, None).blocks(len(self.coef_)):
            scores = linear_scores(block.X, self.coef_, self.intercept_)
            if len(self.classes_) == 2 and scores.shape[1] == 1:
                scores = np.hstack((-scores, scores))
            few = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            few.sort(axis=1)
            order = np.argsort(-np.take_along_axis(scores, few, axis=1), axis=1, kind="stable")
            parts.append(np.take_along_axis(few, order, axis=1))
        return np.asarray(self.classes_[np.concatenate(parts)])

    @OnlyIf(why_no_probabilities)
    @quiet
    def predict_proba(self: Any, X: Any) -> Array:
        """Probabilities, by default of the data as it was before `class_weight` and `pos_weight`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N, n_classes)
            For one-dimensional y rows sum to 1 (one-vs-rest probabilities are divided by their sum); for a multilabel
            problem each label has its own.
        """
        return np.asarray(np.exp(self.predict_log_proba(X)))

    @OnlyIf(why_no_probabilities)
    @quiet
    def predict_log_proba(self: Any, X: Any) -> Array:
        """Logarithms of what `predict_proba` gives.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N, n_classes)
        """
        loss = self._loss()
        scores = self.decision_function(X) * _losses.log_odds(loss)
        if self.undo_weights and self.pos_weight_ is not None:
            scores -= np.log(self.pos_weight_).astype(scores.dtype)
        if self._multilabel:  # class weights go along whole columns, and shift nothing
            return np.asarray(log_expit(scores))
        shift = np.zeros(len(self.classes_), scores.dtype)
        if self.undo_weights and self.class_weight_ is not None:
            # a class of weight k has k times its share of what the model saw; a weight of 0 cannot be undone
            shift[:] = np.log(np.where(self.class_weight_ > 0, self.class_weight_, 1))
        if scores.ndim == 1:
            scores -= shift[1] - shift[0]
            return np.column_stack((log_expit(-scores), log_expit(scores)))
        if _losses.kind_of(loss) != "class":
            scores = log_expit(scores)
        return np.asarray(log_softmax(scores - shift, axis=1))
