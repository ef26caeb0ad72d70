"""The way to the minimum of a linear model's penalised loss, all rows at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse

from lossext._validate import Array
from lossext.sklearn import _lbfgs
from lossext.sklearn._features import Features, RowSpace, Whitened
from lossext.sklearn._l1 import Parts
from lossext.sklearn._newton import Problem, Result, evaluate, hessian, minimise, tails_curved
from lossext.sklearn._rows import BLOCK, Rows
from lossext.sklearn._scores import Columns, ScoreLoss

SHARES = (2.0, 0.4, 0.08, 0.02, 0.005, 0.0015, 0.0005)  # of a kink's scale over which it is rounded, in turn
POLISHING = 40  # iterations at most
EXACT = 1 << 12  # scores so few that time does not matter
ROUNDED = 1e-5  # of the value may come from the rounding
FEWER = 16  # times fewer rows lead to where all rows start
ENOUGH = 20  # rows a parameter, that their Hessian is within a few tenths of that of all rows
ENOUGH_OF_CLASS = 5
QUICK = 100  # iterations of L-BFGS at most, before Newton's method is sent for
FACTORISED = 2048  # parameters of a Hessian at most
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
    found = Features(rows.X, weight, curvature, model.alpha, model.fit_intercept, turned)
    found.centred = model.loss.coupled and not model.l1
    return found


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


class Told:
    """A report that remembers whether it said to stop."""

    def __init__(self, report: Callable[..., bool]) -> None:
        self.report, self.stopped = report, False

    def __call__(self, *state: Any) -> bool:
        self.stopped = self.report(*state)
        return self.stopped


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
    ridge = model._replace(alpha=model.alpha * (1 - model.l1), l1=float(bent))
    space: Any = features(rows, curvature, ridge, turned=not bent)
    if bent:
        space = Parts(space, model.l1)
    z = space.of(start[0].T, start[1])
    bounds = space.bounds(z.shape) if bent else None

    def model_at(z: Array) -> tuple[Array, Array]:
        w, b = space.coef(z)
        return w.T, b

    n_iter, told = 0, Told(lambda z, value: report(lambda: model_at(z), float(value.sum())))
    for share in SHARES[:5] if loss.has_kinks else (0,):
        width = share * kink_width if loss.has_kinks else None
        problem = Problem(loss, space, Columns(None, None), 1 / model.total, model.alpha, width)
        result = _lbfgs.minimise(problem, rows, z, tol, max_iter - n_iter, told, bounds)
        z, n_iter = result.coordinates, n_iter + result.n_iter
        if told.stopped or not result.settled:
            break
    w, b = model_at(z)
    return Fit(w, b, float(result.value[0]), float(result.gap.sum()), n_iter, result.settled or told.stopped)


def lbfgs_first(
    model: Model,
    rows: Rows,
    start: tuple[Array, Array],
    curvature: Array,
    tol: float,
    max_iter: int,
    report: Callable[[Callable[[], tuple[Array, Array]], float], bool],
    kink_width: Any = None,
) -> Fit:
    """By L-BFGS while that gets on, then by Newton's method."""
    told = Told(report)
    fit = lbfgs(model, rows, start, curvature, tol, min(max_iter, QUICK), told, kink_width)
    if told.stopped or fit.n_iter >= max_iter or (fit.settled and fit.gap <= 10 * tol * abs(fit.value)):
        return fit
    if not np.isfinite(fit.value):
        fit = fit._replace(coef=start[0], intercept=start[1])
    dtype = start[0].dtype
    begin = fit.coef.astype(dtype), fit.intercept.astype(dtype)
    rest = newton(model, rows, begin, curvature, tol, max_iter - fit.n_iter, report, kink_width=kink_width)
    return rest._replace(n_iter=fit.n_iter + rest.n_iter)


class Near(NamedTuple):
    """What a fit to a few of the rows tells of the fit to all."""

    coef: Array  # (C, D)
    intercept: Array  # (C,)
    space: Any  # coordinates in which the Hessian there is about I; if steps are direct, any
    away: float  # from the minimum of all rows, about, in spreads of the scores' errors


def are_many(rows: Rows, loss: ScoreLoss) -> bool:
    """Whether a few of the rows tell about where the minimum is."""
    n_parameters = number_of_parameters(rows, loss)
    if rows.elsewhere or not loss.loss.declaration.convex or (loss.coupled and loss.has_kinks):
        return False
    return bool(n_parameters <= FACTORISED and rows.X.shape[0] // FEWER >= ENOUGH * n_parameters)


def few_of(rows: Rows, loss: ScoreLoss) -> Rows | None:
    """A few of the rows, if they are many; None where a class has hardly any."""
    if not are_many(rows, loss):
        return None
    n_rows, n_features = rows.X.shape
    ids = np.random.default_rng(0).choice(n_rows, n_rows // FEWER, replace=False, shuffle=False)
    few = rows.take(np.sort(ids))
    if loss.of_classes:
        positives, seen = few._replace(weight=None).counts(loss.n_columns)
        if min(np.min(positives), np.min(seen - positives)) < ENOUGH_OF_CLASS * (n_features + 1):
            return None
    return few


def number_of_parameters(rows: Rows, loss: ScoreLoss) -> int:
    """Of columns that are to be seen together."""
    return (rows.X.shape[1] + 1) * (loss.n_columns if loss.coupled else 1)  # type: ignore[no-any-return]


def near_minimum(
    model: Model,
    rows: Rows,
    few: Rows,
    start: tuple[Array, Array],
    curvature: Array,
    tol: float,
    max_iter: int,
    direct: bool,
    kink_width: Any,
) -> Near | None:
    """Coefficients that fit a few of the rows, and the Hessian there, for steps on all (Erdogdu and Montanari 2015)."""
    away = float(np.sqrt(number_of_parameters(rows, model.loss) / few.X.shape[0]))
    part = model._replace(total=few.total_weight())
    begin = start[0].copy(), start[1].copy()
    solve = lbfgs_first if model.loss.coupled else functools.partial(newton, direct=direct)
    goal = max(tol, 0.1 * away**2)
    fit = solve(part, few, begin, curvature, goal, max_iter, lambda *_: False, kink_width=kink_width)
    space: Any = features(rows, curvature, model, turned=False)
    if not direct:
        factors = factors_at(part, few, fit, space.over(few.X), None if kink_width is None else away * kink_width)
        if factors is None:
            return None
        space.centred = False  # the Hessian knows
        space = Whitened(space, factors)
    return Near(fit.coef, fit.intercept, space, away)


def lower(problem: Problem, z: Array, other: Array) -> bool:
    """Whether the objective at `z` is finite, and less than at `other`."""
    values = []
    for where in (z, other):
        scores = problem.space.image(where)
        square = problem.space.penalty(where, scores)[0]
        values.append(float(np.sum(evaluate(problem, scores)[0]) + 0.5 * problem.alpha * square.sum()))
    return bool(np.isfinite(values[0]) and values[0] < values[1])


def factors_at(model: Model, rows: Rows, fit: Fit, space: Features, width: Any) -> list[Array] | None:
    """Cholesky factors of the Hessian of some rows at some coefficients; None if it is not definite."""
    loss = model.loss
    problem = Problem(loss, space, loss.columns(rows.target, rows.weight), 1 / model.total, model.alpha, width)
    scores = space.scores(rows.X, fit.coef.T.astype(space.dtype), fit.intercept)
    _, slope, hess = evaluate(problem, scores)
    if loss.coupled:
        whole = space.coupled_hessian(hessian(problem, scores, slope, hess), model.alpha, loss.n_columns)
        n = whole.shape[0] * whole.shape[1]
        matrices = [whole.reshape(n, n)]
    else:
        assert hess is not None
        matrices = [space.hessian(hess[:, c], model.alpha, c) for c in range(loss.n_columns)]
    try:
        for matrix in matrices:
            matrix[np.diag_indices_from(matrix)] += 1e-6 * matrix.trace() / len(matrix)
        return [linalg.cholesky(matrix, overwrite_a=True) for matrix in matrices]
    except (linalg.LinAlgError, ValueError):
        return None


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
    few = None if coef.any() else few_of(rows, loss)
    near = None if few is None else near_minimum(model, rows, few, start, curvature, tol, max_iter, direct, kink_width)
    if near is None:
        space = space_for(rows, loss, curvature, model, not coef.any(), direct)
    else:
        coef, intercept, space, _ = near
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
        if near is not None and not lower(problem, z, part.of(start[0][where].T, start[1][where])):
            z = part.of(start[0][where].T, start[1][where])
        if loss.has_kinks:
            begin_at = 0 if near is None else max(0, sum(share >= near.away for share in SHARES) - 1)
            widths = [share * kink_width for share in SHARES[begin_at:]]
            result = smoothed(problem, z, tol, max_iter, told, direct, widths)
        else:
            result = minimise(problem, z, tol, max_iter, told, direct)
        w, b = part.coef(result.coordinates)
        coef[where], intercept[where] = w.T, b
        values[own], gaps[own] = result.value, result.gap
        n_iter = max(n_iter, result.n_iter)
        settled &= result.settled
        if stopped:
            break
    return Fit(coef, intercept, float(values.sum()), float(gaps.sum()), n_iter, settled or stopped)


def smoothed(
    problem: Problem, start: Array, tol: float, max_iter: int, report: Any, direct: bool, widths: list[Any]
) -> Result:
    """Minimise a loss with kinks, rounded less and less, until rounding hardly matters."""
    z, n_iter = start, 0
    best: Result | None = None
    enough = max(ROUNDED, tol)
    for width in widths:
        rounded = problem._replace(width=width)
        left = max_iter - n_iter if tol else min(max_iter - n_iter, POLISHING)
        goal = max(tol, 0.1 * enough) if tol else 1e-18
        result = minimise(rounded, z, goal, left, report, direct)
        settled = result.settled or (not tol and left == POLISHING)
        z, n_iter = result.coordinates, n_iter + result.n_iter
        scores = problem.space.image(z)
        value = problem.loss.evaluate(scores, problem.columns)[0] * problem.scale
        half = problem.space.penalty(z, scores)[0]
        value = value + 0.5 * problem.alpha * (half.sum(keepdims=True) if problem.loss.coupled else half)
        excess = np.abs(result.value - value)
        # the minimum is at least the rounded one, less what rounding adds there
        found = Result(z, value, excess + np.maximum(result.gap, 0), n_iter, result.settled)
        if best is None or value.sum() < best.value.sum():
            best = found
        if n_iter >= max_iter or (excess <= enough * np.abs(value)).all() or not settled:
            break
        if (excess <= 1e3 * ROUNDED * np.abs(value)).all() and problem.space.X.shape[0] * scores.shape[1] <= EXACT:
            tol = 0.0  # a few rows: to the last digit, so that weights are as good as repeated rows
    assert best is not None
    return best._replace(n_iter=n_iter, settled=settled)
