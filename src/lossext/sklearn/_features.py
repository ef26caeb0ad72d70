"""Linear models in coordinates in which their loss curves about as much along every axis.

Everything is a matrix (K, C): a column of coordinates for each column of the scores, the intercept last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.linalg import blas

from lossext._validate import Array
from lossext.row_sparse import product as sparse_product
from lossext.sklearn._rows import BLOCK, rows_of

SOME = 4096  # rows
CANCELLED = np.finfo(float).eps  # of a mean square is lost where the squared mean is taken from it
WIDE = 16  # columns of a matrix from which on the package's product with sparse rows is faster than SciPy's
GEMM = {np.dtype(np.float32): blas.sgemm, np.dtype(np.float64): blas.dgemm}


def product(a: Any, b: Any) -> Array:
    """``a @ b``, of dense matrices by SciPy's BLAS."""
    # as in L-BFGS: threads of NumPy's own BLAS and of SciPy's would wait for each other, for milliseconds at a time
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        if sparse.issparse(a) and a.format == "csr" and b.shape[1] >= WIDE and a.dtype <= b.dtype:
            return sparse_product(a, np.ascontiguousarray(b), n_threads=1)  # for the same reason
        return np.asarray(a @ np.ascontiguousarray(b))
    if a.dtype != b.dtype or not (a.size and b.size):
        return np.asarray(a @ b)
    (left, turn_left), (right, turn_right) = columnwise(b.T), columnwise(a.T)
    return np.asarray(GEMM[a.dtype](1.0, left, right, trans_a=turn_left, trans_b=turn_right).T)


def sums_of_columns(matrix: Array) -> Array:
    """In float64; NumPy takes several times as long for few columns."""
    if matrix.dtype != np.float64:
        return np.asarray(matrix.sum(axis=0, dtype=np.float64))
    return np.asarray(product(np.ones((1, len(matrix))), matrix)[0])


def columnwise(matrix: Array) -> tuple[Array, bool]:
    """The matrix as BLAS reads it without a copy, and whether that is its transpose."""
    return (matrix.T, True) if matrix.flags.c_contiguous else (np.asfortranarray(matrix), False)


class Moments:
    """Weighted means and mean squares of the features, about the means if there is an intercept."""

    def __init__(self, X: Any, weight: Array | None, centred: bool) -> None:
        self.weight = weight
        self.total = float(X.shape[0] if weight is None else weight.sum(dtype=np.float64))
        self.mean = np.zeros(X.shape[1])
        self.square = np.zeros(X.shape[1])
        if centred:
            for block, w in self._blocks(X):
                self.mean += block.T @ w
            self.mean /= self.total
        if sparse.issparse(X):
            for block, w in self._blocks(X):
                self.square += block.multiply(block).T @ w
            self.square = np.maximum(self.square / self.total - self.mean**2, 0)
            return
        for block, w in self._blocks(X):
            away = block - self.mean
            self.square += np.einsum("nd,nd->d", away, away if self.weight is None else away * w[:, np.newaxis])
        self.square /= self.total

    def _blocks(self, X: Any, apart: int = 1) -> Any:
        step = max(1, BLOCK // max(1, X.shape[1])) if not sparse.issparse(X) else X.shape[0]
        for start in range(0, X.shape[0], step):
            stop = min(start + step, X.shape[0])
            w = np.ones(stop - start) if self.weight is None else self.weight[start:stop].astype(np.float64)
            block = rows_of(X, start, stop)
            yield (block, w) if apart == 1 else (block[::apart], w[::apart])

    def products(self, X: Any, scale: Array) -> Array:
        """Mean products of the features over `scale`, each with each; those of many dense rows out of some of them."""
        total = np.zeros((X.shape[1],) * 2)
        apart = 1 if sparse.issparse(X) else max(1, X.shape[0] // max(SOME, 20 * X.shape[1]))
        weight = 0.0
        for block, w in self._blocks(X, apart):
            weight += float(w.sum())
            if sparse.issparse(block):
                scaled = (block.multiply(np.sqrt(w)[:, np.newaxis]) @ sparse.diags_array(1 / scale)).tocsr()
                total += (scaled.T @ scaled).toarray()
            else:
                away = ((block - self.mean) / scale * np.sqrt(w)[:, np.newaxis]).astype(X.dtype, copy=False)
                total += product(away.T, away)
        total /= weight
        if sparse.issparse(X):
            total -= np.outer(self.mean / scale, self.mean / scale)
        return total


class Features:
    """Coordinates z (K, C) with coefficients ``w = turn (scale z)``, and an intercept at the features' means.

    With the moments A of the features, the Hessian of column c is about h_c A + alpha I, for some curvature h_c of the
    loss. Its diagonal is scaled to 1 first, so that the units of a feature do not matter, and what is left is turned
    on its axes, unless there are too many features. In such coordinates it is about I.
    """

    implicit = False
    whitened = False  # whether the Hessian, not an approximation of it at the start, is about I
    centred = False  # whether coefficients add up to 0 over the columns

    def __init__(
        self,
        X: Any,
        weight: Array | None,
        curvature: Array,
        alpha: float,
        fit_intercept: bool,
        turned: bool = True,
        moments: Any = None,
    ) -> None:
        self.X, self.fit_intercept = X, fit_intercept
        n_rows, n_features = X.shape
        self.n_features = n_features
        self.dtype = X.dtype
        moments = Moments(X, weight, fit_intercept) if moments is None else moments
        self.mean = moments.mean
        typical = float(np.exp(np.log(curvature).mean()))
        size = np.sqrt(typical * moments.square + alpha)
        size = np.where(np.isfinite(size) & (size > 0), size, 1.0)
        if fit_intercept:  # a constant is the intercept's: with a coefficient, its rounding would drown what is left
            noise = max(np.finfo(X.dtype).eps ** 2, CANCELLED if sparse.issparse(X) else 0.0)
            constant = moments.square <= 16 * noise * self.mean**2
            size = np.where(constant, np.inf, size)
        self.turn: Array | None = None
        # an eigendecomposition costs some 20 D^3, a hundred evaluations 400 N C D
        cheap = n_features <= 256 or (n_features <= 4096 and n_features**2 <= 20 * n_rows * len(curvature))
        if turned and cheap:
            square = moments.products(X, size)
            both = typical * square + np.diag(alpha / size**2)
            if np.isfinite(both).all():
                values, axes = linalg.eigh(both, overwrite_a=True, check_finite=False)
                floor = np.finfo(X.dtype).eps * max(float(values[-1]), 0.0)  # what is less is rounding
                along = np.maximum(np.maximum(values, floor), np.finfo(float).tiny)
                bend = alpha * np.einsum("dk,d->k", axes**2, size**-2.0)
                steep = np.maximum(along - bend, 0)[:, np.newaxis] / typical
                self.turn = axes / size[:, np.newaxis]
                scale = (np.maximum(curvature * steep + bend[:, np.newaxis], floor)) ** -0.5
        if self.turn is None:
            scale = (np.maximum(curvature * moments.square[:, np.newaxis] + alpha, np.finfo(float).tiny)) ** -0.5
            scale[np.isinf(size)] = 0
        self.scale = scale
        self.intercept_scale = curvature**-0.5

    def coef(self, z: Array) -> tuple[Array, Array]:
        """Coefficients (D, C) and intercepts (C,)."""
        w = self._coef(z)
        if not self.fit_intercept:
            return w, np.zeros(z.shape[1])
        return w, self.intercept_scale * z[-1] - self.mean @ w

    def _coef(self, z: Array) -> Array:
        w = self.scale * z[: self.n_features]
        if self.turn is not None:
            w = product(self.turn, w)
        if self.centred:  # what is common to all columns changes but the penalty, so curves but little
            w -= w.mean(axis=1, keepdims=True)
        return np.asarray(w)

    def of(self, coef: Array, intercept: Array) -> Array:
        """The coordinates of coefficients (D, C) and intercepts."""
        w = coef if self.turn is None else linalg.lstsq(self.turn, coef, check_finite=False)[0]
        z = np.divide(w, self.scale, out=np.zeros_like(w, np.float64), where=self.scale > 0)
        if not self.fit_intercept:
            return np.asarray(z)
        return np.vstack((z, (intercept + self.mean @ coef) / self.intercept_scale))

    def image(self, z: Array) -> Array:
        """Scores (N, C)."""
        w, intercept = self.coef(z)
        return self.scores(self.X, w.astype(self.dtype, copy=False), intercept)

    def scores(self, X: Any, w: Array, intercept: Array) -> Array:
        """Scores of some rows."""
        scores = product(X, w)
        if self.fit_intercept:
            scores += intercept.astype(self.dtype)
        return scores

    def back(self, slope: Array) -> Array:
        """From a gradient in the scores to that in the coordinates, in float64."""
        return self.from_slopes(self.slope(self.X, slope), sums_of_columns(slope))

    def slope(self, X: Any, slope: Array) -> Array:
        """From a gradient in the scores of some rows to that in the coefficients (D, C)."""
        return product(slope.T, X).T if not sparse.issparse(X) else product(X.T, slope)

    def sums(self, loss: Any, rows: Any, w: Array, intercept: Array, width: Any) -> tuple[float, Array, Array]:
        """Sum of the losses of all rows, and its gradients in the coefficients (D, C) and the intercepts (C,)."""
        w = w.astype(self.dtype, copy=False)
        value, slope_w, slope_b = 0.0, np.zeros_like(w), np.zeros(w.shape[1])
        for block in rows.blocks(w.shape[1]):
            scores = self.scores(block.X, w, intercept)
            values, slope, _ = loss.evaluate(scores, loss.columns(block.target, block.weight), width)
            value += float(values.sum())
            slope_w += self.slope(block.X, slope)
            slope_b += sums_of_columns(slope)
        return value, slope_w, slope_b

    def from_slopes(self, w: Array, total: Array) -> Array:
        """From gradients in the coefficients and the intercepts to that in the coordinates, in float64."""
        w = w.astype(np.float64, copy=False)
        if not self.fit_intercept:
            return self._from_coef(w)
        z = self._from_coef(w - np.outer(self.mean, total))
        return np.vstack((z, self.intercept_scale * total))

    def _from_coef(self, gradient: Array) -> Array:
        if self.turn is not None:
            gradient = product(self.turn.T, gradient)
        return np.asarray(self.scale * gradient)

    def penalty(self, z: Array, image: Array) -> tuple[Array, Array]:
        """``|w|^2`` of each column, and the gradient of half of it."""
        w = self._coef(z)
        grad = np.zeros_like(z)
        grad[: self.n_features] = self._from_coef(w)
        return np.einsum("dc,dc->c", w, w), grad

    def penalised(self, z: Array, w: Array, slopes: tuple[Array, Array], alpha: float) -> tuple[float, Array]:
        """The penalty where coefficients are w, and the objective's gradient; `slopes` are the losses' in w and b."""
        return 0.5 * alpha * float(np.vdot(w, w)), self.from_slopes(slopes[0] + alpha * w, slopes[1])

    def select(self, columns: Any) -> Features:
        """The same for some columns."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.scale, part.intercept_scale = self.scale[:, columns], self.intercept_scale[columns]
        return part

    def over(self, X: Any) -> Features:
        """The same coordinates over other rows."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.X, part.dtype = X, X.dtype
        return part

    def dot(self, a: Array, b: Array, image: Array | None = None) -> Array:
        """Products of the columns; `image` is that of b."""
        return np.einsum("kc,kc->c", a, b)  # type: ignore[no-any-return]

    def hessian(self, curvature: Array, alpha: float, column: int) -> Array:
        """Hessian of one column in its coordinates, whose losses curve by `curvature` (N,)."""
        return self.in_coordinates(curved_products(self.X, self.mean, curvature), alpha, column)

    def in_coordinates(self, moments: Array, alpha: float, column: int) -> Array:
        """The Hessian of one column out of its `curved_products`."""
        n = self.n_features
        scale = self.scale[:, column]
        matrix = moments[:n, :n] + alpha * np.eye(n)
        border = moments[:n, n]
        if self.turn is not None:
            matrix, border = product(self.turn.T, product(matrix, self.turn)), self.turn.T @ border
        matrix = scale[:, np.newaxis] * matrix * scale
        if not self.fit_intercept:
            return np.asarray(matrix)
        last = self.intercept_scale[column]
        whole = np.empty((n + 1, n + 1))
        whole[:n, :n] = matrix
        whole[:n, n] = whole[n, :n] = scale * border * last
        whole[n, n] = last * last * moments[n, n]
        return whole

    def coupled_hessian(self, bend: Callable[[Array], Array], alpha: float, n_columns: int) -> Array:
        """Hessian (K, C, K, C) of coupled columns in their coordinates; `bend` makes products with that in the scores.

        The features are not turned.
        """
        X, n = self.X, self.n_features
        away = np.ones((X.shape[0], n + self.fit_intercept))
        np.subtract(X.toarray() if sparse.issparse(X) else X, self.mean, out=away[:, :n])
        away[:, :n][:, ~self.scale.any(axis=1)] = 0  # a constant may be far away
        scale = np.vstack((self.scale, self.intercept_scale)) if self.fit_intercept else self.scale
        found = np.zeros((len(scale), n_columns) * 2)
        for c in range(n_columns):
            direction = np.zeros((X.shape[0], n_columns), self.dtype)
            direction[:, c] = 1
            curvature = bend(direction).astype(np.float64)
            for d in range(c, n_columns):
                block = product(away.T, away * curvature[:, d, np.newaxis])
                block *= scale[:, c, np.newaxis] * scale[:, d]
                found[:, c, :, d], found[:, d, :, c] = block, block.T
            found[:n, c, :n, c] += np.diag(alpha * self.scale[:, c] ** 2)
        return found


def curved_products(X: Any, mean: Array, curvature: Array) -> Array:
    """Products of the features from their means, and of 1, each with each, summed over rows of weights `curvature`."""
    n = X.shape[1]
    moments = np.zeros((n + 1,) * 2)
    step = max(1, BLOCK // max(1, n))
    for start in range(0, X.shape[0], step):
        stop = min(start + step, X.shape[0])
        root = np.sqrt(curvature[start:stop])
        block = rows_of(X, start, stop)
        curved = np.flatnonzero(root)
        if 4 * len(curved) < len(root):  # near kinks are few
            block, root = block[curved], root[curved]
        away = np.empty((len(root), n + 1), X.dtype)
        np.subtract(block.toarray() if sparse.issparse(block) else block, mean, out=away[:, :n])
        away[:, n] = 1
        away *= root[:, np.newaxis]
        moments += product(away.T, away)
    return moments


class Whitened:
    """Coordinates ``v = R z`` of the coordinates z of a `Features`, of whose Hessian about ``R' R`` is known.

    In v it is about I. `factors` holds R (K C, K C) of coupled columns, or one (K, K) for each column.
    """

    implicit = False
    whitened = True

    def __init__(self, features: Features, factors: list[Array]) -> None:
        self.features, self.X, self.dtype = features, features.X, features.dtype
        self.factors = [np.asfortranarray(factor) for factor in factors]

    def _inner(self, v: Array, transposed: bool = False) -> Array:
        """``R^-1 v``, or ``R'^-1 v``."""
        # BLAS's own: SciPy's solve_triangular looks at the factor first, each time
        if len(self.factors) == 1:
            return np.asarray(blas.dtrsv(self.factors[0], v.ravel(), trans=transposed)).reshape(v.shape)
        columns = zip(self.factors, v.T, strict=True)
        return np.stack([blas.dtrsv(r, part, trans=transposed) for r, part in columns], axis=1)

    def coef(self, v: Array) -> tuple[Array, Array]:
        """Coefficients (D, C) and intercepts (C,)."""
        return self.features.coef(self._inner(v))

    def of(self, coef: Array, intercept: Array) -> Array:
        """The coordinates of coefficients (D, C) and intercepts."""
        z = self.features.of(coef, intercept)
        if len(self.factors) == 1:
            return np.asarray(self.factors[0] @ z.ravel()).reshape(z.shape)
        return np.stack([r @ part for r, part in zip(self.factors, z.T, strict=True)], axis=1)

    def image(self, v: Array) -> Array:
        """Scores (N, C)."""
        return self.features.image(self._inner(v))

    def back(self, slope: Array) -> Array:
        """From a gradient in the scores to that in the coordinates, in float64."""
        return self._inner(self.features.back(slope), transposed=True)

    def sums(self, loss: Any, rows: Any, w: Array, intercept: Array, width: Any) -> tuple[float, Array, Array]:
        """Sum of the losses of all rows, and its gradients in the coefficients and the intercepts."""
        return self.features.sums(loss, rows, w, intercept, width)

    def penalised(self, v: Array, w: Array, slopes: tuple[Array, Array], alpha: float) -> tuple[float, Array]:
        """The penalty where coefficients are w, and the objective's gradient; `slopes` are the losses' in w and b."""
        value, grad = self.features.penalised(v, w, slopes, alpha)
        return value, self._inner(grad, transposed=True)

    def penalty(self, v: Array, image: Array) -> tuple[Array, Array]:
        """``|w|^2`` of each column, and the gradient of half of it."""
        square, grad = self.features.penalty(self._inner(v), image)
        return square, self._inner(grad, transposed=True)

    def select(self, columns: Any) -> Whitened:
        """The same for some columns."""
        if len(self.factors) == 1 or columns == slice(0, len(self.factors)):
            return self
        return Whitened(self.features.select(columns), self.factors[columns])

    def dot(self, a: Array, b: Array, image: Array | None = None) -> Array:
        """Products of the columns."""
        return np.einsum("kc,kc->c", a, b)  # type: ignore[no-any-return]


class RowSpace:
    """Coordinates a (N, C) with coefficients ``X' a``, for fewer rows than features.

    A minimum has such coefficients, since each row pulls along itself. The steps of conjugate gradients are those
    which they take on the coefficients, but a vector has as many numbers as there are rows.
    """

    implicit = True
    whitened = False

    def __init__(self, X: Any, curvature: Array, fit_intercept: bool) -> None:
        self.X, self.fit_intercept = X, fit_intercept
        self.n_rows, self.n_features = X.shape
        self.dtype = X.dtype
        self.transposed = X.T.tocsr() if sparse.issparse(X) else X.T
        square = X.multiply(X).sum() if sparse.issparse(X) else np.einsum("nd,nd->", X, X)
        self.intercept_scale = np.sqrt(max(float(square) / max(1, self.n_rows), np.finfo(float).tiny))
        self.n_columns = len(curvature)

    def coef(self, z: Array) -> tuple[Array, Array]:
        """Coefficients (D, C) and intercepts (C,)."""
        w = product(self.transposed, z[: self.n_rows])
        return w, self._intercept(z)

    def _intercept(self, z: Array) -> Array:
        return self.intercept_scale * z[-1] if self.fit_intercept else np.zeros(z.shape[1], z.dtype)

    def of(self, coef: Array, intercept: Array) -> Array:
        """The coordinates of an intercept; coefficients must be 0."""
        z = np.zeros((self.n_rows + self.fit_intercept, len(intercept)), self.dtype)
        if self.fit_intercept:
            z[-1] = intercept / self.intercept_scale
        return z

    def image(self, z: Array) -> Array:
        """Scores (N, C)."""
        w, intercept = self.coef(z)
        scores = product(self.X, w)
        scores += intercept
        return scores

    def back(self, slope: Array) -> Array:
        """From a gradient in the scores to that in the coordinates."""
        if not self.fit_intercept:
            return slope
        return np.vstack((slope, self.intercept_scale * slope.sum(axis=0)))

    def penalty(self, z: Array, image: Array) -> tuple[Array, Array]:
        """``|w|^2`` of each column, and the gradient of half of it; `image` is that of z."""
        grad = z.copy()
        grad[self.n_rows :] = 0
        return np.einsum("nc,nc->c", z[: self.n_rows], image - self._intercept(z)), grad

    def dot(self, a: Array, b: Array, image: Array | None = None) -> Array:
        """Products of the columns in the coefficients; `image` is that of b."""
        n = self.n_rows
        inner = np.einsum("nc,nc->c", a[:n], image - self._intercept(b))
        return inner + a[-1] * b[-1] if self.fit_intercept else inner  # type: ignore[no-any-return]

    def newton_step(self, hess: Array, grad: Array, alpha: float) -> Array:
        """``-H^-1 grad`` of one column whose losses curve by `hess` (N,) in a few rows A, and nowhere else.

        With the products K of the rows, the step u and that of the intercept, b, it solves

            rows of A:  (K + alpha / hess) u + b = -grad / hess - K u of the others,   others:  u = -grad / alpha,
            intercept:  sum of alpha u over A = gradient of the intercept - sum of grad over A.
        """
        n, few = self.n_rows, np.flatnonzero(hess)
        step = np.append(-grad[:n] / alpha, np.zeros(int(self.fit_intercept)))
        step[few] = 0
        if not len(few):
            return step
        curvature, own = hess[few].astype(np.float64), self.X[few].astype(np.float64)
        matrix = own @ own.T
        matrix = matrix.toarray() if sparse.issparse(matrix) else matrix
        matrix[np.diag_indices_from(matrix)] += alpha / curvature
        factor = linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        right = -grad[few] / curvature - own @ (self.transposed @ step[:n])
        step[few] = linalg.cho_solve(factor, right, check_finite=False)
        if self.fit_intercept:
            # what is left of the gradient of the intercept, in its own unit
            total = (grad[n] / self.intercept_scale - grad[few].sum()) / alpha
            ones = linalg.cho_solve(factor, np.ones(len(few)), check_finite=False)
            b = (step[few].sum() - total) / ones.sum()
            step[few] -= b * ones
            step[n] = b / self.intercept_scale
        return step

    def select(self, columns: Any) -> RowSpace:
        """The same for some columns."""
        return self
