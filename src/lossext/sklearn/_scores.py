"""The loss of a linear model's scores, summed over rows: what the solvers ask for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lossext._validate import Array
from lossext.losses._dense import DenseLoss
from lossext.sklearn import _losses
from lossext.sklearn._rows import BLOCK, rows_of

N_THREADS = 1  # of the loss: next to the matrix products it is nothing, and a second pool would be in BLAS's way
STEP = 1e-6  # of a difference quotient of slopes, in score units


class Columns(NamedTuple):
    """Targets and weights of some columns of the scores, as the loss takes them."""

    target: Any
    weight: Array | None  # (N, 1) or (N, C)


class ScoreLoss:
    """Loss of scores (N, C), summed over rows, its slopes and curvatures.

    A problem of two classes has one column, the score of the second class against the first. `coupled` says that the
    columns are to be seen together; else each has a loss of its own.

    Piecewise linear losses are taken as means over ``score - width`` to ``score + width``, if widths, one number or
    one a
    column, are given. These
    are smooth: of such a mean the slope is a difference of values, the curvature one of slopes.
    """

    def __init__(
        self, loss: DenseLoss, n_columns: int, weight: Array | None = None, pos_weight: Array | None = None
    ) -> None:
        self.kind = _losses.kind_of(loss)
        self.loss = loss
        self.n_columns = n_columns
        self.by_class = self.kind == "class"
        self.pair = self.by_class and n_columns == 1
        self.coupled = self.by_class and not self.pair
        self.n_weights = max(n_columns, 2) if self.by_class else n_columns
        over_columns = self.by_class and loss.declaration.over_columns
        self.of_classes = self.kind in _losses.CLASSIFICATION
        self.shares_target = _losses.columns_of(loss) is not None  # one number a row, for all columns
        self.scale = float(self.n_weights) if over_columns else 1.0  # losses add up over columns
        self.has_kinks = _losses.is_piecewise_linear(loss)
        own = _losses.parameters_of(loss)
        own_weight = of_columns("the weight of the loss", own.get("weight"), self.n_weights)
        own_odds = of_columns("the pos_weight of the loss", own.get("pos_weight"), n_columns)
        self.pos_weight = pos_weight if own_odds is None else own_odds
        self.weight, kept = weight, own_weight  # of columns; of classes, which the loss itself weighs
        if not self.by_class:
            kept = None
            self.weight = weight if own_weight is None else own_weight if weight is None else weight * own_weight
        self.plain = _losses.changed(loss, weight=kept, pos_weight=None, reduction="none")
        self.by_row = not self.by_class and loss.declaration.over_columns  # then a column at a time is a row

    @property
    def rounds(self) -> bool:
        """Whether kinks of coupled columns can be rounded: by the squares of the hinges."""
        return {"p", "margin"} <= _losses.parameters_of(self.loss).keys()

    @property
    def kink_width(self) -> float:
        """A scale of the loss's kinks, 0 for a smooth loss."""
        return abs(_losses.parameters_of(self.loss).get("margin", 1.0)) or 1.0 if self.has_kinks else 0.0

    def columns(self, target: Any, weight: Array | None, start: int = 0, stop: int | None = None) -> Columns:
        """Targets and weights of consecutive columns, all of a row together where they are coupled."""
        if self.by_class:
            return Columns(target, None if weight is None else weight[:, np.newaxis])
        where = slice(start, self.n_columns if stop is None else stop)
        if not self.of_classes:
            if weight is not None:
                weight = weight[:, where] if weight.ndim == 2 else weight[:, np.newaxis]
            if self.weight is not None:
                weight = self.weight[np.newaxis, where] if weight is None else weight * self.weight[where]
            return Columns(target if self.shares_target else target[:, where], weight)
        if target.ndim == 1:  # one class a row
            positive = target[:, np.newaxis] == np.arange(self.n_columns)[where] + (self.n_columns == 1)
        else:
            positive = target[:, where]
            positive = positive.toarray() if sparse.issparse(positive) else positive
        if weight is not None:
            weight = weight[:, where] if weight.ndim == 2 else weight[:, np.newaxis]
        if self.weight is not None:
            weight = self.weight[where] if weight is None else weight * self.weight[where]
        if self.pos_weight is not None:
            odds = np.where(positive, self.pos_weight[where], 1)
            weight = odds if weight is None else weight * odds
        if weight is not None and weight.ndim == 1:
            weight = weight[np.newaxis]
        labels = np.asarray(positive).astype(np.int8 if self.kind == "sign" else np.uint8, copy=False)
        return Columns(2 * labels - 1 if self.kind == "sign" else labels, weight)

    def evaluate(
        self, scores: Array, columns: Columns, width: Any = None, hess: bool = False
    ) -> tuple[Array, Array, Array | None]:
        """Sums of the loss, (C,) or (1,) if coupled; slopes (N, C); curvatures (N, C), not negative, if wanted."""
        n_rows, n_columns = scores.shape
        total = np.zeros(1 if self.coupled else n_columns)
        slope = np.empty_like(scores)
        curvature = np.empty_like(scores) if hess else None
        step = max(1, BLOCK // max(1, n_columns))
        for start in range(0, n_rows, step):
            stop = min(start + step, n_rows)
            target, weight = part_of(columns, start, stop)
            values, slopes, curvatures = self._smooth(scores[start:stop], target, width, hess)
            if weight is not None:
                slopes = slopes * weight
                values = values * (weight[:, 0] if values.ndim == 1 else weight)
            slope[start:stop] = slopes
            total += values.sum(axis=0, dtype=np.float64)
            if curvature is not None and curvatures is not None:
                curvatures = np.maximum(curvatures, 0, out=curvatures)
                curvature[start:stop] = curvatures if weight is None else curvatures * weight
        if self.scale != 1:
            total *= self.scale
            slope *= self.scale
            if curvature is not None:
                curvature *= self.scale
        return total, slope, curvature

    @property
    def knows_products(self) -> bool:
        """Whether the loss makes products with the Hessian of a row out of its diagonal."""
        return type(self.loss)._hess_product is not DenseLoss._hess_product

    def hess_product(
        self,
        scores: Array,
        columns: Columns,
        hess: Array | None,
        direction: Array,
        width: Any = None,
        slope: Array | None = None,
    ) -> Array:
        """Product of the Hessian of coupled columns with a direction: the loss's own, or a difference of two slopes.

        `slope` is the one at `scores`, if it is known.
        """
        if hess is not None:
            return self.loss._hess_product(hess, columns.target, direction)
        size = float(np.abs(direction).max(initial=0.0))
        if size == 0:
            return np.zeros_like(direction)
        step = STEP / size
        if slope is None or scores.dtype != np.float64:
            slope = self.evaluate(scores.astype(np.float64), columns, width)[1]
        moved = self.evaluate(scores + step * direction.astype(np.float64), columns, width)[1]
        moved -= slope
        moved /= step
        return moved.astype(scores.dtype, copy=False)

    def _smooth(self, scores: Array, target: Any, width: Any, hess: bool) -> tuple[Array, Array, Array | None]:
        if width is None:
            return self._raw(scores, target, hess)
        if self.coupled:
            return self._smooth_pairs(scores, target, width, hess)
        middle = self._raw(scores, target, False)[0]
        above, slope_above, _ = self._raw(scores + width, target, False)
        below, slope_below, _ = self._raw(scores - width, target, False)
        jump = slope_above - slope_below
        bend = above + below - 2 * middle
        slope = (above - below) / (2 * width)
        # one kink a from the score, of a jump J: the mean is J (width - |a|)^2 / (4 width) above the loss
        excess = np.divide(bend * bend, 4 * width * jump, out=np.zeros_like(bend), where=jump > 1e-6)
        return middle + excess, slope, jump / (2 * width) if hess else None

    def _smooth_pairs(self, scores: Array, target: Any, width: Any, hess: bool) -> tuple[Array, Array, Array | None]:
        """Hinges of pairs of scores: (max(0, z + width)^2 - max(0, z - width)^2) / (4 width)."""
        own = _losses.parameters_of(self.plain)
        if not self.rounds:
            return self._raw(scores, target, hess)
        parts = []
        for side in (1, -1):
            square = _losses.changed(self.plain, p=2, margin=own["margin"] + side * width)
            parts.append([part / (4 * width) for part in self._call(square, scores, target, hess) if part is not None])
        wide, narrow = parts
        value, slope, *curvature = (a - b for a, b in zip(wide, narrow, strict=True))
        return value, slope, curvature[0] if hess else None

    def _raw(self, scores: Array, target: Any, hess: bool) -> tuple[Array, Array, Array | None]:
        if self.pair:
            pair = np.zeros((len(scores), 2), scores.dtype)
            pair[:, 1:] = scores
            value, slope, curvature = self._call(self.plain, pair, target, hess)
            return value[:, np.newaxis], slope[:, 1:], None if curvature is None else curvature[:, 1:]
        if self.by_row:
            shape = scores.shape
            flat = self._call(self.plain, scores.reshape(-1, 1), target.reshape(-1, 1), hess)
            value, slope, curvature = (None if part is None else part.reshape(shape) for part in flat)
            return value, slope, curvature
        return self._call(self.plain, scores, target, hess)

    def _call(self, loss: DenseLoss, scores: Array, target: Any, hess: bool) -> tuple[Array, Array, Array | None]:
        value, slope = loss.value_and_grad(scores, target, n_threads=N_THREADS)
        if not hess:
            return value, slope, None
        facts = loss.declaration
        kind = "majorizer" if not facts.convex and "majorizer" in facts.curvatures else "exact"
        return value, slope, loss.grad_and_hess(scores, target, curvature=kind, n_threads=N_THREADS)[1]


def part_of(columns: Columns, start: int, stop: int) -> Columns:
    """Consecutive rows; weights of one row are those of all."""
    target, weight = columns
    if weight is not None and len(weight) > 1:
        weight = weight[start:stop]
    return Columns(rows_of(target, start, stop), weight)


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
