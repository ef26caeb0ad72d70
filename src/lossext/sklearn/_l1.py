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

    def from_slopes(self, w: Array, total: Array) -> Array:
        """From gradients in the coefficients and the intercepts to that in the coordinates."""
        z = self.features.from_slopes(w, total)
        return np.vstack((z[: self.n], -z[: self.n], z[self.n :]))

    def penalty(self, z: Array, image: Any) -> tuple[Array, Array]:
        """Twice the penalty over alpha, and its gradient over alpha."""
        square, pull = self.features.penalty(self._joined(z), image)
        scale = self.features.scale
        size = np.einsum("dc,dc->c", scale, z[: self.n] + z[self.n : 2 * self.n])
        ridge = (1 - self.l1) * pull
        grad = np.vstack((ridge[: self.n] + self.l1 * scale, -ridge[: self.n] + self.l1 * scale, ridge[self.n :]))
        return (1 - self.l1) * square + 2 * self.l1 * size, grad

    def bounds(self, shape: tuple[int, ...]) -> Any:
        """Parts are at least 0."""
        low = np.full(shape, -np.inf)
        low[: 2 * self.n] = 0
        return [(None if b == -np.inf else 0.0, None) for b in low.ravel()]
