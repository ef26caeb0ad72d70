"""The loss of a linear model's scores: what the solvers minimise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import blas
from sklearn.utils import gen_batches

from lossext._parameters import borrowing
from lossext._validate import Array
from lossext.losses import BCEWithLogitsLoss, MultiLabelSoftMarginLoss, MultiMarginLoss
from lossext.losses._dense import DenseLoss

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
        if n_rows <= step:
            yield self
            return
        for start in range(0, n_rows, step):
            yield self.slice(start, min(start + step, n_rows))

    def batches(self, size: int, random: np.random.RandomState) -> Iterator[Rows]:
        """All rows in mini-batches, shuffled if there are several."""
        n_rows = self.X.shape[0]
        if n_rows <= size:
            yield self
            return
        order = random.permutation(n_rows)
        for batch in gen_batches(n_rows, size):
            yield self.take(order[batch])


def rows_of(array: Any, start: int, stop: int) -> Any:
    """Consecutive rows of an array or CSR matrix, as a view."""
    if not sparse.issparse(array):
        return array[start:stop]
    low, high = array.indptr[start], array.indptr[stop]
    parts = array.data[low:high], array.indices[low:high], array.indptr[start : stop + 1] - low
    return type(array)(parts, shape=(stop - start, array.shape[1]), copy=False)


def of_columns(name: str, weight: Any, n_columns: int) -> Array | None:
    """A scalar or one weight a column, as the latter."""
    if weight is None:
        return None
    try:
        return np.array(np.broadcast_to(np.asarray(weight, np.float64), (1, n_columns))[0])
    except ValueError:
        raise ValueError(
            f"{name} has shape {np.shape(weight)}; allowed is a scalar or ({n_columns},). Weights of single rows are "
            "given to fit as sample_weight"
        ) from None


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
        self.n_weights = max(n_columns, 2) if self.takes_ids else n_columns  # multi margin weighs both of two classes
        own = of_columns("the weight of the loss", loss._parameters["weight"], self.n_weights)
        self.weight = weight if own is None else own if weight is None else weight * own
        own = of_columns("the pos_weight of the loss", loss._parameters.get("pos_weight"), self.n_weights)
        self.pos_weight = pos_weight if own is None else own
        self.hinges: dict[float, list[tuple[MultiMarginLoss, float]]] = {}
        self.logistic = BCEWithLogitsLoss(weight=self.weight, pos_weight=self.pos_weight, reduction="sum")

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
            if width:
                return self._rounded_hinge(scores, target, weight, width)
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

    def _rounded_hinge(self, scores: Array, target: Array, weight: Array | None, width: float) -> tuple[float, Array]:
        """Multi margin of two classes with p = 1, which is a hinge of their one score."""
        side = (1 - 2 * target).astype(scores.dtype)
        if self.weight is not None:
            weight = self.weight[target] if weight is None else self.weight[target] * weight
        excess = self.loss._parameters["margin"] + side * scores[:, 0]
        cut = np.minimum(np.maximum(excess, 0), width)
        slope = cut / width if weight is None else (cut * (weight / width)).astype(cut.dtype, copy=False)
        return float((slope * (excess - 0.5 * cut)).sum(dtype=np.float64)), (side * slope)[:, None]

    def _hinges(self, width: float) -> list[tuple[MultiMarginLoss, float]]:
        """What adds up to the multi margin loss, summed over the classes."""
        if width not in self.hinges:
            p, margin = self.loss._parameters["p"], self.loss._parameters["margin"]
            # a hinge with a rounded corner is (max(0, z)^2 - max(0, z - width)^2) / (2 width)
            parts = [(2, margin, 0.5 / width), (2, margin - width, -0.5 / width)] if width else [(p, margin, 1.0)]
            self.hinges[width] = [
                (MultiMarginLoss(power, at, self.weight, "sum"), factor * max(self.n_columns, 2))
                for power, at, factor in parts
            ]
        return self.hinges[width]


class LinearModel:
    """Coefficients (C, D) and intercepts (C, 1) or (C, 0), views of one vector of parameters, and their loss."""

    def __init__(self, loss: ScoreLoss, n_features: int, fit_intercept: bool, alpha: float) -> None:
        self.loss = loss
        self.shape = (loss.n_columns, n_features)
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.size = loss.n_columns * (n_features + fit_intercept)

    def split(self, parameters: Array) -> tuple[Array, Array]:
        """The two views."""
        matrix = parameters.reshape(self.shape[0], -1)
        return matrix[:, : self.shape[1]], matrix[:, self.shape[1] :]

    def join(self, coef: Array, intercept: Array) -> Array:
        """A new vector of parameters of the two."""
        return np.column_stack((coef, intercept) if self.fit_intercept else (coef,)).ravel()

    def attributes(self, parameters: Array) -> dict[str, Array]:
        """The two as attributes of an estimator, copied."""
        coef, intercept = self.split(parameters)
        intercept = intercept.flatten() if self.fit_intercept else np.zeros(len(coef), coef.dtype)
        return {"coef_": coef.copy(), "intercept_": intercept}

    def scores(self, X: Any, parameters: Array) -> Array:
        """Raw scores (N, C)."""
        coef, intercept = self.split(parameters)
        scores = product(X, coef.T)
        if self.fit_intercept:
            scores += intercept.T
        return scores

    def value_and_grad(self, rows: Rows, parameters: Array, scale: float, width: float = 0.0) -> tuple[float, Array]:
        """Sum of the loss over all rows, times `scale`, plus the penalty; and its gradient in the parameters."""
        value, grad = 0.0, np.zeros_like(parameters)
        coef_grad, intercept_grad = self.split(grad)
        for block in rows.blocks(self.shape[0]):
            scores = self.scores(block.X, parameters)
            part, residual = self.loss.value_and_grad(scores, block.target, block.weight, width)
            value += part
            coef_grad += product(residual.T, block.X)
            if self.fit_intercept:
                ones = np.ones((len(residual), 1), residual.dtype)  # faster than a sum
                intercept_grad += product(residual.T, ones)
        grad *= scale
        coef, _ = self.split(parameters)
        coef_grad += self.alpha * coef
        return scale * value + self.penalty(parameters), grad

    def value(self, rows: Rows, parameters: Array) -> float:
        """Sum of the loss over all rows."""
        return sum(
            self.loss.value_and_grad(self.scores(block.X, parameters), block.target, block.weight)[0]
            for block in rows.blocks(self.shape[0])
        )

    def penalty(self, parameters: Array) -> float:
        """Penalty of the coefficients."""
        coef, _ = self.split(parameters)
        return 0.5 * self.alpha * float(np.vdot(coef, coef))


GEMM = {np.dtype(np.float32): blas.sgemm, np.dtype(np.float64): blas.dgemm}


def product(a: Any, b: Any) -> Array:
    """``a @ b``, of dense matrices by SciPy's BLAS."""
    # as in L-BFGS: threads of NumPy's own BLAS and of SciPy's would wait for each other, for milliseconds at a time
    if sparse.issparse(a) or sparse.issparse(b) or a.dtype != b.dtype or not (a.size and b.size):
        return np.asarray(a @ b)
    (left, turn_left), (right, turn_right) = columnwise(b.T), columnwise(a.T)
    return np.asarray(GEMM[a.dtype](1.0, left, right, trans_a=turn_left, trans_b=turn_right).T)


def columnwise(matrix: Array) -> tuple[Array, bool]:
    """The matrix as BLAS reads it without a copy, and whether that is its transpose."""
    return (matrix.T, True) if matrix.flags.c_contiguous else (np.asfortranarray(matrix), False)
