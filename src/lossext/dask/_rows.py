"""Rows that lie in chunks on workers, as the solvers of `lossext.sklearn` see them.

Scores are linear in the coordinates of the coefficients, so the client takes the coordinates for the scores: their
image is themselves, a gradient in the scores comes as one in the coordinates, and inner products are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lossext._validate import Array
from lossext.dask import _work
from lossext.dask._chunks import Chunks, merged_sums
from lossext.dask._work import Plan, Point, Spread
from lossext.sklearn import _features
from lossext.sklearn._scores import Columns, ScoreLoss
from lossext.sklearn._solve import Model

CROSSED = 1024  # features up to which products of each with each are summed


class Shape(NamedTuple):
    """What the solvers ask of features that lie elsewhere."""

    shape: tuple[int, int]
    dtype: Any


class Rows:
    """All rows of some chunks."""

    elsewhere = True
    target = weight = None  # the client has none

    def __init__(self, chunks: Chunks, shape: tuple[int, int], plan: Plan) -> None:
        self.chunks, self.plan = chunks, plan
        self.X = Shape(shape, np.dtype(plan.dtype))
        self._total: float | None = None
        self._moments: Spread | None = None

    def precise(self, n_columns: int) -> Rows:
        """The rows as they are: chunks are as large as their workers can hold."""
        return self

    def counts(self, n_columns: int) -> tuple[Array, Array]:
        """Weight of the positive rows of each column, and of all."""
        found = self.chunks.run(_work.counts, merged_sums, self.plan, n_columns)
        if found is None:
            raise ValueError("Sample weights must contain at least one nonzero weight; all are zero")
        positives, seen, self._total = found
        return positives, seen

    def total_weight(self) -> float:
        """What the sum of the losses is divided by."""
        return self.moments(True).total if self._total is None else self._total

    def moments(self, centred: bool) -> Spread:
        """Of the features, from one pass."""
        if self._moments is None:
            crossed = self.X.shape[1] <= CROSSED
            self._moments = self.chunks.run(_work.moments, _work.merge_moments, self.plan, centred, crossed)
            if self._moments is None:
                raise ValueError("Sample weights must contain at least one nonzero weight; all are zero")
        return self._moments

    def by_class(self, plan: Plan) -> Rows:
        """With the weights of the classes, which a plan now knows."""
        rows = Rows(self.chunks, self.X.shape, plan)
        rows._total = self._total
        return rows

    def features(self, curvature: Array, model: Model, turned: bool) -> Features:
        """Coordinates that suit the features."""
        return Features(self, curvature, model, turned)

    def sums(self, point: Point) -> tuple[Array, Array, Array]:
        """Values of the loss, and gradients in the coefficients and the intercepts."""
        found: tuple[Array, Array, Array] = self.chunks.run(_work.sums, merged_sums, self.plan, point)
        return found


class Features(_features.Features):
    """Coordinates of features that lie elsewhere; their image are the coordinates themselves."""

    def __init__(self, rows: Rows, curvature: Array, model: Model, turned: bool) -> None:
        self.rows = rows
        moments = Averages(rows.moments(model.fit_intercept))
        turned = turned and moments.spread.cross is not None
        super().__init__(rows.X, None, curvature, model.alpha, model.fit_intercept, turned, moments)
        if isinstance(model.loss, Loss):
            model.loss.space = self

    def image(self, z: Array) -> Array:
        """The coordinates, in the features' type as scores would be."""
        return np.asarray(z, self.dtype)

    def back(self, slope: Array) -> Array:
        """A gradient has come as one in the coordinates."""
        return np.asarray(slope, np.float64)

    def select(self, columns: Any) -> Features:
        """All columns are solved at a time: a pass costs more than their scores."""
        return self

    def sums(self, loss: Any, rows: Any, w: Array, intercept: Array, width: Any) -> tuple[float, Array, Array]:
        """Sum of the losses of all rows, and its gradients in the coefficients and the intercepts."""
        values, slope_w, slope_b = rows.sums(Point(loss.here, width, w, intercept))
        return float(values.sum()), slope_w, slope_b

    def hessian(self, curvature: Any, alpha: float, column: int) -> Array:
        """Hessian of one column; `curvature` is the one that stands for it."""
        return self.in_coordinates(curvature, alpha, column)


class Averages:
    """The moments of features, as `lossext.sklearn` asks for them."""

    def __init__(self, spread: Spread) -> None:
        self.spread, self.mean, self.square = spread, spread.mean, spread.square / spread.total

    def products(self, X: Any, scale: Array) -> Array:
        """Mean products of the features over `scale`, each with each."""
        cross: Any = self.spread.cross
        return np.asarray(cross / self.spread.total / np.outer(scale, scale))


class Loss(ScoreLoss):
    """The loss of rows that lie elsewhere, as a function of coordinates."""

    space: Features

    def __init__(self, here: ScoreLoss, rows: Rows) -> None:
        self.__dict__.update(here.__dict__)
        self.here, self.rows = here, rows

    def columns(self, target: Any, weight: Array | None, start: int = 0, stop: int | None = None) -> Columns:
        """Targets stay where they are."""
        return Columns(None, None)

    def at(self, z: Array, width: Any) -> Point:
        """The point of some coordinates."""
        return Point(self.here, width, *self.space.coef(np.asarray(z, np.float64)))

    @property
    def has_parabolas(self) -> bool:
        """Curvatures stay with the rows, so none are exchanged for others: where steps fail, they are shortened."""
        return False

    def evaluate(
        self, scores: Array, columns: Columns, width: Any = None, hess: bool = False, above: bool = False
    ) -> Any:
        """Sums of the loss, gradient in the coordinates, and what stands for the curvatures."""
        point = self.at(scores, width)
        values, slope_w, slope_b = self.rows.sums(point)
        slope = self.space.from_slopes(slope_w, slope_b)
        return values, slope, Curvature(self, point) if hess else None

    def hessian(self, scores: Array, columns: Columns, hess: Any, width: Any, slope: Array) -> Callable[[Array], Array]:
        """Products with the Hessian in the coordinates."""
        curvature = Curvature(self, self.at(scores, width)) if hess is None else hess
        return lambda direction: curvature * direction


class Curvature:
    """Curvatures of all rows at a point: products with the Hessian, each a pass; its matrices, all in one."""

    def __init__(self, loss: Loss, point: Point) -> None:
        self.loss, self.point, self.scale = loss, point, 1.0
        self.matrices: Array | None = None

    def __imul__(self, scale: float) -> Curvature:  # type: ignore[misc]
        self.scale *= scale
        return self

    def __mul__(self, direction: Array) -> Array:
        space, rows = self.loss.space, self.loss.rows
        w, intercept = space.coef(np.asarray(direction, np.float64))
        found = rows.chunks.run(_work.products, merged_sums, rows.plan, self.point, (w, intercept))
        return space.from_slopes(*found) * self.scale

    def __getitem__(self, at: tuple[slice, int]) -> Array:
        """The products of the features, by curvature, of one column."""
        rows = self.loss.rows
        if self.matrices is None:
            mean = self.loss.space.mean
            (self.matrices,) = rows.chunks.run(_work.matrices, merged_sums, rows.plan, self.point, mean)
        return np.asarray(self.matrices[at[1]] * self.scale)
