"""The way to the minimum of a linear model's penalised loss, all rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lossext._validate import Array
from lossext.sklearn import _lbfgs
from lossext.sklearn._features import Features, RowSpace
from lossext.sklearn._l1 import Parts
from lossext.sklearn._newton import Problem, Result, minimise, tails_curved
from lossext.sklearn._rows import BLOCK, Rows
from lossext.sklearn._scores import Columns, ScoreLoss

SHARES = (2.0, 0.4, 0.08, 0.02, 0.005, 0.0015, 0.0005)  # of a kink's scale over which it is rounded, in turn
POLISHING = 40  # iterations at most
EXACT = 1 << 12  # scores so few that time does not matter
ROUNDED = 1e-5  # of the value may come from the rounding
ACCEPTED = 1e-6  # of the value: a gap that is no matter for a warning
ACCEPTED_OF_KINKS = 1e-3  # where the gap is not estimated, but bounded by what rounding adds


class Model(NamedTuple):
    """What is fitted: ``1 / total * loss + alpha ((1 - l1) / 2 |w|^2 + l1 |w|_1)``."""

    loss: ScoreLoss
    alpha: float
    fit_intercept: bool
    total: float  # weight of the rows
    l1: float = 0.0  # share of the penalty that is alpha times the coefficients' sizes


class Fit(NamedTuple):
    """Coefficients, and how far they are from the best."""

    coef: Array  # (C, D)
    intercept: Array  # (C,)
    value: float
    gap: float
    n_iter: int
    settled: bool


def constants(loss: ScoreLoss, columns: Columns, total: float, start: Array, width: Any = None) -> Array:
    """The intercepts that are best without features."""
    target = columns.target
    nothing = np.empty((target.shape[0], 0))
    space = Features(nothing, None, np.ones(len(start)), 0.0, True, turned=False)
    problem = Problem(loss, space, columns, 1 / total, 0.0, width)
    return minimise(problem, start[np.newaxis], 1e-12, 100, direct=not loss.coupled).coordinates[0]  # type: ignore[no-any-return]


def start_of_classes(loss: ScoreLoss, positives: Array, seen: Any, total: float) -> Array:
    """Intercepts that fit the classes' shares; the loss of a constant knows no more of the rows."""
    width = 2 * loss.kink_width if loss.has_kinks else None
    if loss.by_class:
        totals = positives if len(positives) > 1 else np.append(seen - positives, positives)
        columns = loss.columns(np.arange(len(totals)), totals)
    else:
        target = np.repeat(np.array([[0], [1]], np.uint8), loss.n_columns, axis=1)
        columns = loss.columns(target, np.vstack((seen - positives, positives)))
    best = constants(loss, columns, total, np.zeros(loss.n_columns), width)
    return best - best.mean() if loss.coupled else best


def space_for(rows: Rows, loss: ScoreLoss, curvature: Array, model: Model, from_zero: bool, direct: bool) -> Any:
    """Coordinates that suit the features."""
    if rows.elsewhere:
        return features(rows, curvature, model, turned=not direct)
    X = rows.X
    n_rows, n_features = X.shape
    if not direct and from_zero and n_rows < n_features and n_features > 256 and alike(X, curvature, model.alpha):
        return RowSpace(X, curvature, model.fit_intercept)
    return features(rows, curvature, model, turned=not direct)


def features(rows: Any, curvature: Array, model: Model, turned: bool) -> Features:
    """Coordinates of coefficients, where the rows are."""
    if rows.elsewhere:
        return rows.features(curvature, model, turned)  # type: ignore[no-any-return]
    weight = rows.weight if rows.weight is None or rows.weight.ndim == 1 else rows.weight.mean(axis=1)
    return Features(rows.X, weight, curvature, model.alpha, model.fit_intercept, turned)


def alike(X: Any, curvature: Array, alpha: float) -> bool:
    """Whether the features' sizes, and the penalty beside them, are such as not to matter."""
    squares = X.multiply(X).mean(axis=0) if sparse.issparse(X) else np.einsum("nd,nd->d", X, X) / len(X)
    along = float(curvature.mean()) * np.asarray(squares) + alpha
    return bool(alpha > 0 and np.isfinite(along).all() and along.max() <= 1e4 * along.min())


def width_of_block(rows: Rows, loss: ScoreLoss) -> int:
    """Columns to solve at a time, so that their scores are few beside the features."""
    n_rows, n_features = rows.X.shape
    if loss.coupled or rows.elsewhere:
        return loss.n_columns
    per_row = rows.X.nnz // max(1, n_rows) if sparse.issparse(rows.X) else n_features
    return max(1, min(loss.n_columns, max(BLOCK // max(1, n_rows), per_row // 8)))  # type: ignore[no-any-return]


def curvature_at(loss: ScoreLoss, start: Array, columns: Columns, total: float, width: Any) -> Array:
    """Mean curvature of each column where all rows have the scores `start`."""
    scores = np.repeat(start[np.newaxis], columns.target.shape[0], axis=0)
    _, slope, hess = loss.evaluate(scores, columns, width, hess=True)
    assert hess is not None
    if loss.has_parabolas:
        hess = tails_curved(Problem(loss, None, columns, 1.0, 0.0), scores, slope, hess, np.ones(len(start)))
    mean = hess.sum(axis=0, dtype=np.float64) / total
    if loss.has_kinks:  # where no row is near one, a few will come near
        return np.maximum(mean, 0.05 / np.asarray(width))  # type: ignore[no-any-return]
    return np.maximum(mean, 1e-12 * (float(mean.max()) or 1.0))  # type: ignore[no-any-return]


def lbfgs(
    model: Model,
    rows: Rows,
    start: tuple[Array, Array],
    curvature: Array,
    tol: float,
    max_iter: int,
    report: Callable[[Callable[[], tuple[Array, Array]], float], bool],
    kink_width: Any = None,
) -> Fit:
    """By L-BFGS, all columns at a time."""
    loss = model.loss
    bent = bool(model.l1 and model.alpha)
    ridge = model._replace(alpha=model.alpha * (1 - model.l1))
    space: Any = features(rows, curvature, ridge, turned=not bent)
    if bent:
        space = Parts(space, model.l1)
    z = space.of(start[0].T, start[1])
    bounds = space.bounds(z.shape) if bent else None

    def model_at(z: Array) -> tuple[Array, Array]:
        w, b = space.coef(z)
        return w.T, b

    n_iter, stopped = 0, False

    def told(z: Array, value: Array) -> bool:
        nonlocal stopped
        stopped = report(lambda: model_at(z), float(value.sum()))
        return stopped

    for share in SHARES[:5] if loss.has_kinks else (0,):
        width = share * kink_width if loss.has_kinks else None
        problem = Problem(loss, space, Columns(None, None), 1 / model.total, model.alpha, width)
        result = _lbfgs.minimise(problem, rows, z, tol, max_iter - n_iter, told, bounds)
        z, n_iter = result.coordinates, n_iter + result.n_iter
        if stopped or not result.settled:
            break
    w, b = model_at(z)
    return Fit(w, b, float(result.value[0]), float(result.gap.sum()), n_iter, result.settled or stopped)


def newton(
    model: Model,
    rows: Rows,
    start: tuple[Array, Array],
    curvature: Array,
    tol: float,
    max_iter: int,
    report: Callable[[Callable[[], tuple[Array, Array]], float], bool],
    direct: bool = False,
    kink_width: Any = None,
) -> Fit:
    """By Newton's method, a few columns at a time; `report` is told the model so far and its objective."""
    loss = model.loss
    coef, intercept = start  # as good as free: a fit's own
    space = space_for(rows, loss, curvature, model, not coef.any(), direct)
    step = width_of_block(rows, loss)
    values = np.zeros(1 if loss.coupled else loss.n_columns)
    gaps = np.zeros_like(values)
    n_iter, settled, stopped = 0, True, False
    for begin in range(0, loss.n_columns, step):
        where = slice(begin, min(begin + step, loss.n_columns))
        own = slice(None) if loss.coupled else where
        part = space.select(where)
        columns = loss.columns(rows.target, rows.weight, where.start, where.stop)

        def told(z: Array, value: Array, part: Any = part, where: slice = where, own: slice = own) -> bool:
            nonlocal stopped
            values[own] = value

            def now() -> tuple[Array, Array]:
                w, b = part.coef(z)
                whole, ends = coef.copy(), intercept.copy()
                whole[where], ends[where] = w.T, b
                return whole, ends

            stopped = report(now, float(values.sum()))
            return stopped

        problem = Problem(loss, part, columns, 1 / model.total, model.alpha)
        z = part.of(coef[where].T, intercept[where])
        result = (smoothed if loss.has_kinks else minimise)(
            problem, z, tol, max_iter, told, direct, *([kink_width] if loss.has_kinks else [])
        )
        w, b = part.coef(result.coordinates)
        coef[where], intercept[where] = w.T, b
        values[own], gaps[own] = result.value, result.gap
        n_iter = max(n_iter, result.n_iter)
        settled &= result.settled
        if stopped:
            break
    return Fit(coef, intercept, float(values.sum()), float(gaps.sum()), n_iter, settled or stopped)


def smoothed(
    problem: Problem, start: Array, tol: float, max_iter: int, report: Any, direct: bool, kink_width: Any
) -> Result:
    """Minimise a loss with kinks, rounded less and less, until rounding hardly matters."""
    z, n_iter = start, 0
    best: Result | None = None
    for share in SHARES:
        rounded = problem._replace(width=share * kink_width)
        left = max_iter - n_iter if tol else min(max_iter - n_iter, POLISHING)
        goal = max(tol, 0.1 * ROUNDED) if tol else 1e-18
        result = minimise(rounded, z, goal, left, report, direct)
        settled = result.settled or (not tol and left == POLISHING)
        z, n_iter = result.coordinates, n_iter + result.n_iter
        scores = problem.space.image(z)
        value = problem.loss.evaluate(scores, problem.columns)[0] * problem.scale
        half = problem.space.penalty(z, scores)[0]
        value = value + 0.5 * problem.alpha * (half.sum(keepdims=True) if problem.loss.coupled else half)
        excess = np.abs(result.value - value)
        # the minimum is at least the rounded one, less what rounding adds there
        found = Result(z, value, excess, n_iter, result.settled)
        if best is None or value.sum() < best.value.sum():
            best = found
        if n_iter >= max_iter or (excess <= ROUNDED * np.abs(value)).all() or not settled:
            break
        if (excess <= 1e3 * ROUNDED * np.abs(value)).all() and problem.space.X.shape[0] * scores.shape[1] <= EXACT:
            tol = 0.0  # a few rows: to the last digit, so that weights are as good as repeated rows
    assert best is not None
    return best._replace(n_iter=n_iter, settled=settled)
