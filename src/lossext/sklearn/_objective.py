"""The loss of a linear model's scores: what the solvers minimise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import safe_sparse_dot

from lossext._parameters import borrowing
from lossext.losses import BCEWithLogitsLoss, MultiLabelSoftMarginLoss, MultiMarginLoss
from lossext.losses._dense import DenseLoss

Array = npt.NDArray[Any]

# hinge embedding is missing: its loss of an example that is alike falls without end as a linear score falls
LOSSES: dict[str, type[DenseLoss]] = {
    "multi_margin": MultiMarginLoss,
    "multilabel_soft_margin": MultiLabelSoftMarginLoss,
    "bce_with_logits": BCEWithLogitsLoss,
}
BLOCK = 1 << 18  # scores at a time: they and the targets made for them stay in the cache
N_THREADS = 1  # of the loss: next to the matrix products it is nothing, and a second pool would be in BLAS's way


def as_loss(loss: str | DenseLoss) -> DenseLoss:
    """A loss by name as an object."""
    return LOSSES[loss]() if isinstance(loss, str) else loss


class Rows(NamedTuple):
    """Examples: features, targets and weights, of which each may be a slice of the whole."""

    X: Any  # ndarray or CSR
    target: Any  # (N,) class ids, or (N, C) of 0 and 1: ndarray or CSR
    weight: Array | None  # (N,) or (N, C)

    def total_weight(self) -> float:
        """What the sum of the losses is divided by."""
        if self.weight is None:
            return float(self.X.shape[0])
        n_columns = 1 if self.weight.ndim == 1 else self.weight.shape[1]
        return float(self.weight.sum(dtype=np.float64)) / n_columns

    def counts(self, n_columns: int) -> tuple[Array, Array]:
        """Weight of the positive rows of each column, and of all rows, in float64."""
        target, weight = self.target, self.weight
        weight = np.ones(self.X.shape[0]) if weight is None else weight.astype(np.float64, copy=False)
        if target.ndim == 1:
            return np.bincount(target, weights=weight, minlength=n_columns), weight.sum()
        if weight.ndim == 1:
            return target.T @ weight, weight.sum()
        product = target.multiply(weight) if sparse.issparse(target) else target * weight
        return np.asarray(product.sum(axis=0)), weight.sum(axis=0)

    def take(self, rows: Any) -> Rows:
        """Some rows, copied."""
        return Rows(self.X[rows], self.target[rows], None if self.weight is None else self.weight[rows])

    def slice(self, start: int, stop: int) -> Rows:
        """Consecutive rows, not copied."""
        return Rows(*(part if part is None else rows_of(part, start, stop) for part in self))

    def blocks(self, n_columns: int) -> Iterator[Rows]:
        """All rows, a few at a time."""
        n_rows, step = self.X.shape[0], max(1, BLOCK // n_columns)
        for start in range(0, n_rows, step):
            yield self.slice(start, min(start + step, n_rows))


def rows_of(array: Any, start: int, stop: int) -> Any:
    """Consecutive rows of an array or CSR matrix, as a view."""
    if not sparse.issparse(array):
        return array[start:stop]
    low, high = array.indptr[start], array.indptr[stop]
    parts = array.data[low:high], array.indices[low:high], array.indptr[start : stop + 1] - low
    return type(array)(parts, shape=(stop - start, array.shape[1]), copy=False)


class ScoreLoss:
    """Loss of scores (N, C), summed over rows and columns, and its gradient.

    A binary problem has one column, the score of the second class against the first.
    """

    def __init__(
        self, loss: DenseLoss, n_columns: int, weight: Array | None = None, pos_weight: Array | None = None
    ) -> None:
        self.loss = loss
        self.n_columns = n_columns
        self.takes_ids = isinstance(loss, MultiMarginLoss)
        self.weight = weight
        self.pos_weight = pos_weight
        self.hinges: dict[float, list[tuple[MultiMarginLoss, float]]] = {}
        self.logistic = BCEWithLogitsLoss(weight=weight, pos_weight=pos_weight, reduction="sum")

    @property
    def kink_width(self) -> float:
        """A scale of the loss's kinks, 0 for a smooth loss."""
        if isinstance(self.loss, MultiMarginLoss) and self.loss.p == 1:
            return abs(self.loss.margin) or 1.0
        return 0.0

    def curvature(self, rows: Rows) -> Array:
        """Second derivatives (C,), about: those of the logistic losses where one score fits all rows."""
        curvature = np.ones(self.n_columns)
        if not self.takes_ids:
            positives, total = rows.counts(self.n_columns)
            share = positives / total
            odds = curvature if self.pos_weight is None else self.pos_weight
            curvature = odds * share * (1 - share) / (odds * share + 1 - share)
            curvature = np.maximum(curvature * (1 if self.weight is None else self.weight), 1e-6)
        return curvature

    def value_and_grad(
        self, scores: Array, target: Any, weight: Array | None, width: float = 0.0
    ) -> tuple[float, Array]:
        """Sum and gradient; `scores` may be overwritten.  Kinks are rounded over `width` score units."""
        if self.takes_ids:
            return self._margin(scores, target, weight, width)
        if sparse.issparse(target):
            target = target.toarray()
        loss, row_weight = self.logistic, weight
        if weight is not None and weight.ndim == 2:
            of_columns = weight if self.weight is None else weight * self.weight
            loss = borrowing(BCEWithLogitsLoss, weight=of_columns, pos_weight=self.pos_weight, reduction="sum")
            row_weight = None
        value, grad = loss.value_and_grad(scores, target, sample_weight=row_weight, out=scores, n_threads=N_THREADS)
        return float(value), grad

    def _margin(self, scores: Array, target: Array, weight: Array | None, width: float) -> tuple[float, Array]:
        if binary := self.n_columns == 1:
            pair = np.zeros((len(scores), 2), scores.dtype)
            pair[:, 1:] = scores
            scores = pair
        value, grad = 0.0, None
        for hinge, scale in self._hinges(width):
            total, part = hinge.value_and_grad(
                scores, target, sample_weight=weight, grad_output=scale, n_threads=N_THREADS
            )
            value += scale * float(total)
            grad = part if grad is None else np.add(grad, part, out=grad)
        assert grad is not None
        return value, grad[:, 1:] if binary else grad

    def _hinges(self, width: float) -> list[tuple[MultiMarginLoss, float]]:
        """What adds up to the multi margin loss, summed over the classes."""
        if width not in self.hinges:
            self.hinges[width] = self._make_hinges(width)
        return self.hinges[width]

    def _make_hinges(self, width: float) -> list[tuple[MultiMarginLoss, float]]:
        p, margin = self.loss._parameters["p"], self.loss._parameters["margin"]
        n_classes = max(self.n_columns, 2)
        if not width:
            return [(MultiMarginLoss(p, margin, self.weight, "sum"), float(n_classes))]
        # a hinge with a rounded corner is (max(0, z)^2 - max(0, z - width)^2) / (2 width)
        return [
            (MultiMarginLoss(2, at, self.weight, "sum"), sign * n_classes / (2 * width))
            for at, sign in ((margin, 1), (margin - width, -1))
        ]


class LinearModel:
    """Coefficients (C, D) and intercepts (C, 1) or (C, 0), views of one vector of parameters."""

    def __init__(self, n_columns: int, n_features: int, fit_intercept: bool) -> None:
        self.shape = (n_columns, n_features)
        self.fit_intercept = fit_intercept
        self.size = n_columns * (n_features + fit_intercept)

    def split(self, parameters: Array) -> tuple[Array, Array]:
        """The two views."""
        matrix = parameters.reshape(self.shape[0], -1)
        return matrix[:, : self.shape[1]], matrix[:, self.shape[1] :]

    def scores(self, X: Any, parameters: Array) -> Array:
        """Raw scores (N, C)."""
        coef, intercept = self.split(parameters)
        scores: Array = safe_sparse_dot(X, coef.T, dense_output=True)
        if self.fit_intercept:
            scores += intercept.T
        return scores

    def value_and_grad(self, loss: ScoreLoss, rows: Rows, parameters: Array, width: float = 0.0) -> tuple[float, Array]:
        """Sum of the loss over all rows, and its gradient in the parameters."""
        value, grad = 0.0, np.zeros_like(parameters)
        coef_grad, intercept_grad = self.split(grad)
        for block in rows.blocks(self.shape[0]):
            part, residual = loss.value_and_grad(self.scores(block.X, parameters), block.target, block.weight, width)
            value += part
            coef_grad += safe_sparse_dot(residual.T, block.X, dense_output=True)
            if self.fit_intercept:
                intercept_grad += residual.T @ np.ones((len(residual), 1), residual.dtype)  # faster than a sum
        return value, grad

    def value(self, loss: ScoreLoss, rows: Rows, parameters: Array) -> float:
        """Sum of the loss over all rows."""
        return sum(
            loss.value_and_grad(self.scores(block.X, parameters), block.target, block.weight)[0]
            for block in rows.blocks(self.shape[0])
        )
