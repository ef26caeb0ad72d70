"""Penalties with a corner at 0: positive and negative parts of the coefficients, for L-BFGS with bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossext._validate import Array
from lossext.sklearn._features import Features


class Parts:
    """Coordinates (2 D + 1, C): the positive and negative parts of coefficients, each at least 0, and the intercept."""

    implicit = False

    def __init__(self, features: Features, l1: float) -> None:
        self.features, self.l1, self.dtype, self.n = features, l1, features.dtype, features.n_features

    def _joined(self, z: Array) -> Array:
        return np.vstack((z[: self.n] - z[self.n : 2 * self.n], z[2 * self.n :]))

    def coef(self, z: Array) -> tuple[Array, Array]:
        """Coefficients (D, C) and intercepts (C,)."""
        return self.features.coef(self._joined(z))

    def of(self, coef: Array, intercept: Array) -> Array:
        """The coordinates of coefficients and intercepts."""
        z = self.features.of(coef, intercept)
        return np.vstack((np.maximum(z[: self.n], 0), np.maximum(-z[: self.n], 0), z[self.n :]))

    def sums(self, loss: Any, rows: Any, w: Array, intercept: Array, width: Any) -> tuple[float, Array, Array]:
        """Sum of the losses of all rows, and its gradients in the coefficients and the intercepts."""
        return self.features.sums(loss, rows, w, intercept, width)

    def penalised(self, z: Array, w: Array, slopes: tuple[Array, Array], alpha: float) -> tuple[float, Array]:
        """The penalty where coefficients are w, and the objective's gradient; `slopes` are the losses' in w and b."""
        ridge, grad = self.features.penalised(z, w, slopes, alpha * (1 - self.l1))
        corner = alpha * self.l1 * self.features.scale
        value = ridge + float(np.vdot(corner, z[: self.n] + z[self.n : 2 * self.n]))
        return value, np.vstack((grad[: self.n] + corner, corner - grad[: self.n], grad[self.n :]))

    def bounds(self, shape: tuple[int, ...]) -> Any:
        """Parts are at least 0."""
        low = np.full(shape, -np.inf)
        low[: 2 * self.n] = 0
        return [(None if b == -np.inf else 0.0, None) for b in low.ravel()]
