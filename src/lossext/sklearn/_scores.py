"""The loss of a linear model's scores, summed over rows: what the solvers ask for."""

from __future__ import annotations

from collections.abc import Callable
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

    Piecewise linear losses are taken as means over ``score - width`` to ``score + width``, if widths, one number or one
    a column, are given. These are smooth: of such a mean the slope is a difference of values, the curvature one of
    slopes.
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
        self.shares_target = _losses.columns_of(loss) is not None  # one number per row, for all columns
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
    def has_parabolas(self) -> bool:
        """Whether a convex loss knows the best parabolas above it; they are what is taken of others in any case."""
        facts = self.loss.declaration
        return bool(facts.convex and "majorizer" in facts.curvatures and not self.coupled and not self.has_kinks)

    @property
    def rounds(self) -> bool:
        """Whether kinks of coupled columns can be rounded: by the squares of the hinges."""
        return {"p", "margin"} <= _losses.parameters_of(self.loss).keys()

    @property
    def softens(self) -> bool:
        """Whether the loss is one hinge, of the greatest of a row's scores with margins."""
        return self.coupled and self.has_kinks and not self.rounds and "margin" in _losses.parameters_of(self.loss)

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
        if target.ndim == 1:  # one class per row
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
        self, scores: Array, columns: Columns, width: Any = None, hess: bool = False, above: bool = False
    ) -> tuple[Array, Array, Array | None]:
        """Sums of the loss, (C,) or (1,) if coupled; slopes (N, C); curvatures (N, C), not negative, if wanted.

        `above`: those of the best parabolas above the loss, where there are such (`has_parabolas`).
        """
        n_rows, n_columns = scores.shape
        total = np.zeros(1 if self.coupled else n_columns)
        slope = np.empty_like(scores)
        curvature = np.empty_like(scores) if hess else None
        step = max(1, BLOCK // max(1, n_columns))
        for start in range(0, n_rows, step):
            stop = min(start + step, n_rows)
            target, weight = part_of(columns, start, stop)
            values, slopes, curvatures = self._smooth(scores[start:stop], target, width, hess, above)
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

    def hessian(
        self, scores: Array, columns: Columns, hess: Array | None, width: Any, slope: Array
    ) -> Callable[[Array], Array]:
        """Products of a direction with the Hessian of coupled columns: the loss's own, of shares, or differences.

        `slope` is the one at `scores`.
        """
        if hess is not None:
            return lambda direction: self.loss._hess_product(hess, columns.target, direction)
        found = self._shares(scores, columns.target, width)
        if found is not None:
            shares, rate = found
            weight = self._class_weight(columns.target)
            weight = rate * self.scale if weight is None else rate * self.scale * weight
            weight = np.asarray(weight if columns.weight is None else weight * columns.weight, scores.dtype)

            def of_shares(direction: Array) -> Array:
                product: Array = shares * direction
                product -= shares * np.einsum("nc->n", product)[:, np.newaxis]
                product *= weight
                return product

            return of_shares

        def by_difference(direction: Array) -> Array:
            size = float(np.abs(direction).max(initial=0.0))
            if size == 0:
                return np.zeros_like(direction)
            step = STEP / size
            moved = self.evaluate(scores + step * direction.astype(np.float64), columns, width)[1]
            moved -= start
            moved /= step
            return moved.astype(scores.dtype, copy=False)

        start = slope
        if scores.dtype != np.float64:
            start = self.evaluate(scores.astype(np.float64), columns, width)[1]
        return by_difference

    def _shares(self, scores: Array, target: Array, width: Any) -> tuple[Array, Any] | None:
        """Shares p and a rate r, where a row's Hessian is ``r (diag(p) - p p')``."""
        if self.has_kinks:
            if not self.softens:
                return None
            touched = nearest_shares(self._with_margins(scores, target) / np.asarray(width, scores.dtype)) > 0
            n_touched = touched.sum(axis=1, keepdims=True)
            return (touched / n_touched).astype(scores.dtype, copy=False), n_touched / width
        facts = self.loss.declaration
        if not facts.convex or facts.link is None or facts.link.name != "softmax":
            return None
        rate = _losses.log_odds(self.loss)
        return None if rate is None else (np.asarray(self.loss.inverse_link(scores)), rate**2)

    def _class_weight(self, target: Array) -> Array | None:
        """The loss's own weight of each row's class, (N, 1)."""
        weight = _losses.parameters_of(self.plain).get("weight")
        return None if weight is None else np.asarray(weight)[target][:, np.newaxis]

    def _with_margins(self, scores: Array, target: Array) -> Array:
        """Scores of which all but the class's are greater by the margin."""
        shifted: Array = scores + np.asarray(_losses.parameters_of(self.plain)["margin"], scores.dtype)
        rows = np.arange(len(target))
        shifted[rows, target] = scores[rows, target]
        return np.asarray(shifted)

    def _smooth(
        self, scores: Array, target: Any, width: Any, hess: bool, above: bool = False
    ) -> tuple[Array, Array, Array | None]:
        if width is None:
            return self._raw(scores, target, hess, above)
        if self.coupled:
            return self._smooth_pairs(scores, target, width, hess)
        middle = self._raw(scores, target, False)[0]
        higher, slope_higher, _ = self._raw(scores + width, target, False)
        lower, slope_lower, _ = self._raw(scores - width, target, False)
        jump = slope_higher - slope_lower
        bend = higher + lower - 2 * middle
        slope = (higher - lower) / (2 * width)
        # one kink a from the score, of a jump J: the mean is J (width - |a|)^2 / (4 width) above the loss
        excess = np.divide(bend * bend, 4 * width * jump, out=np.zeros_like(bend), where=jump > 1e-6)
        return middle + excess, slope, jump / (2 * width) if hess else None

    def _smooth_pairs(self, scores: Array, target: Any, width: Any, hess: bool) -> tuple[Array, Array, Array | None]:
        """Hinges of pairs of scores: (max(0, z + width)^2 - max(0, z - width)^2) / (4 width)."""
        own = _losses.parameters_of(self.plain)
        if self.softens:
            return self._smooth_greatest(scores, target, float(width), hess)
        if not self.rounds:
            return self._raw(scores, target, hess)
        parts = []
        for side in (1, -1):
            square = _losses.changed(self.plain, p=2, margin=own["margin"] + side * width)
            parts.append([part / (4 * width) for part in self._call(square, scores, target, hess) if part is not None])
        wide, narrow = parts
        value, slope, *curvature = (a - b for a, b in zip(wide, narrow, strict=True))
        return value, slope, curvature[0] if hess else None

    def _smooth_greatest(
        self, scores: Array, target: Array, width: float, hess: bool
    ) -> tuple[Array, Array, Array | None]:
        """A hinge of the greatest score, of scores with margins z and shares p: ``max_p p z + width (1 - |p|^2) / 2``.

        See Martins and Astudillo (2016): quadratic in pieces, so Newton's method ends.
        """
        z = self._with_margins(scores, target)
        p = nearest_shares(z / np.asarray(width, z.dtype))
        rows = np.arange(len(target))
        value = np.einsum("nc,nc->n", p, z) - z[rows, target] + 0.5 * width * (1 - np.einsum("nc,nc->n", p, p))
        curvature = None
        if hess:
            touched = p > 0
            n_touched = touched.sum(axis=1, keepdims=True)
            curvature = np.asarray(touched * (1 - 1 / n_touched) / width, scores.dtype)
        p[rows, target] -= 1
        weight = self._class_weight(target)
        if weight is not None:
            weight = weight.astype(scores.dtype)
            value, p = value * weight[:, 0], p * weight
            curvature = None if curvature is None else curvature * weight
        return value, p, curvature

    def _raw(self, scores: Array, target: Any, hess: bool, above: bool = False) -> tuple[Array, Array, Array | None]:
        if self.pair:
            pair = np.zeros((len(scores), 2), scores.dtype)
            pair[:, 1:] = scores
            value, slope, curvature = self._call(self.plain, pair, target, hess, above)
            return value[:, np.newaxis], slope[:, 1:], None if curvature is None else curvature[:, 1:]
        if self.by_row:
            shape = scores.shape
            flat = self._call(self.plain, scores.reshape(-1, 1), target.reshape(-1, 1), hess, above)
            value, slope, curvature = (None if part is None else part.reshape(shape) for part in flat)  # type: ignore[assignment]
            return value, slope, curvature
        return self._call(self.plain, scores, target, hess, above)

    def _call(
        self, loss: DenseLoss, scores: Array, target: Any, hess: bool, above: bool = False
    ) -> tuple[Array, Array, Array | None]:
        value, slope = loss.value_and_grad(scores, target, n_threads=N_THREADS)
        if not hess:
            return value, slope, None
        facts = loss.declaration
        kind = "majorizer" if (above or not facts.convex) and "majorizer" in facts.curvatures else "exact"
        return value, slope, loss.grad_and_hess(scores, target, curvature=kind, n_threads=N_THREADS)[1]


def nearest_shares(scores: Array) -> Array:
    """The nearest point to each row whose numbers are not negative and add up to 1 (Held, Wolfe and Crowder 1974)."""
    ordered = -np.sort(-scores, axis=1)
    excess = np.cumsum(ordered, axis=1) - 1
    n_kept = np.count_nonzero(ordered * np.arange(1, scores.shape[1] + 1) > excess, axis=1)[:, np.newaxis]
    n_kept = np.maximum(n_kept, 1)  # of NaN none
    shift = np.take_along_axis(excess, n_kept - 1, axis=1) / n_kept
    return np.asarray(np.maximum(scores - shift, 0), scores.dtype)


def part_of(columns: Columns, start: int, stop: int) -> Columns:
    """Consecutive rows; weights of one row are those of all."""
    target, weight = columns
    if weight is not None and len(weight) > 1:
        weight = weight[start:stop]
    return Columns(rows_of(target, start, stop), weight)


def of_columns(name: str, weight: Any, n_columns: int) -> Array | None:
    """A scalar or one weight per column, as the latter."""
    if weight is None:
        return None
    try:
        return np.array(np.broadcast_to(np.asarray(weight, np.float64), (1, n_columns))[0])
    except ValueError:
        raise ValueError(
            f"{name} has shape {np.shape(weight)}; allowed is a scalar or ({n_columns},). Weights of single rows are "
            "given to fit as sample_weight"
        ) from None
