"""The way to the minimum of a linear model's penalised loss, all rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse

from lossext._validate import Array
from lossext.sklearn import _lbfgs, _losses
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
ENOUGH = 20  # rows per parameter, that their Hessian is within a few tenths of that of all rows
ENOUGH_OF_CLASS = 5
QUICK = 100  # iterations of L-BFGS at most, before Newton's method is sent for
TURN = 15  # of these, before they go on in other coordinates
WHITENED = 1 << 22  # numbers of the Hessians of all columns at most
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


class Task(NamedTuple):
    """A model to be fitted to rows: from where, how near to its minimum, and who is told on the way."""

    model: Model
    rows: Rows
    start: tuple[Array, Array]  # coefficients (C, D) and intercepts (C,)
    curvature: Array  # (C,), mean ones of the loss at the start
    tol: float  # of the objective's value may be left
    max_iter: int
    report: Callable[[Callable[[], tuple[Array, Array]], float], bool]  # of coefficients and value; whether to stop
    kink_width: Any = None


class Fit(NamedTuple):
    """Coefficients, and how far they are from the best."""

    coef: Array  # (C, D)
    intercept: Array  # (C,)
    value: float
    gap: float
    n_iter: int
    settled: bool


def constants(loss: ScoreLoss, columns: Columns, total: float, start: Array, width: Any = None) -> Array:
    """The intercepts that are best without features, from near them."""
    target = columns.target
    nothing = np.empty((target.shape[0], 0))
    space = Features(nothing, None, np.ones(len(start)), 0.0, True, turned=False)
    problem = Problem(loss, space, columns, 1 / total, 0.0, width)
    return minimise(problem, start[np.newaxis], 1e-12, 100, direct=not loss.coupled).coordinates[0]  # type: ignore[no-any-return]


def start_of_classes(loss: ScoreLoss, positives: Array, seen: Any, total: float) -> Array:
    """Intercepts that fit the classes' shares; the loss of a constant knows no more of the rows."""
    width = 2 * loss.kink_width if loss.has_kinks else None
    with np.errstate(divide="ignore", invalid="ignore"):
        begin = np.log(positives) if loss.coupled else np.log(positives / (seen - positives))
    rate = _losses.log_odds(loss.loss)
    begin = begin / rate if rate and np.isfinite(begin).all() else np.zeros(loss.n_columns)
    if loss.by_class:
        totals = positives if len(positives) > 1 else np.append(seen - positives, positives)
        columns = loss.columns(np.arange(len(totals)), totals)
    else:
        target = np.repeat(np.array([[0], [1]], np.uint8), loss.n_columns, axis=1)
        columns = loss.columns(target, np.vstack((seen - positives, positives)))
    best = constants(loss, columns, total, begin, width)
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


def lbfgs(task: Task, space: Any = None) -> Fit:
    """By L-BFGS, all columns at a time, in coordinates of the start if there are no others."""
    model, rows, start, curvature, tol, max_iter, report, kink_width = task
    loss = model.loss
    bent = bool(model.l1 and model.alpha)
    ridge = model._replace(alpha=model.alpha * (1 - model.l1), l1=float(bent))
    space = features(rows, curvature, ridge, turned=not bent) if space is None else space
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


def lbfgs_first(task: Task) -> Fit:
    """By L-BFGS while that gets on, in coordinates of the Hessian now and then, at last by Newton's method."""
    told = Told(task.report)
    n_features, dtype = task.rows.X.shape[1], task.start[0].dtype
    # the Hessians of all columns cost some D / 8 iterations; float32 has no digits for a second start
    suits = dtype == np.float64 and n_features**2 * len(task.curvature) <= WHITENED
    turn = max(TURN, n_features // 8) if suits else QUICK
    start, space, fit, n_iter = task.start, None, None, 0
    while n_iter < QUICK:
        fit = lbfgs(task._replace(start=start, max_iter=min(task.max_iter - n_iter, turn), report=told), space)
        n_iter += fit.n_iter
        fit = fit._replace(n_iter=n_iter)
        near = fit.settled and fit.gap <= 10 * task.tol * abs(fit.value)
        if told.stopped or near or n_iter >= task.max_iter:
            return fit
        if not np.isfinite(fit.value):
            break
        start = fit.coef.astype(dtype), fit.intercept.astype(dtype)
        exact = fit.settled and (space is not None or not suits)  # as far as the type's digits go
        space = whitened(task, start) if n_iter < QUICK and not exact else None
        if space is None:
            break
    rest = newton(task._replace(start=start, max_iter=task.max_iter - n_iter))
    return rest._replace(n_iter=n_iter + rest.n_iter)


def whitened(task: Task, start: tuple[Array, Array]) -> Whitened | None:
    """Coordinates in which the Hessian of each column by itself is I where coefficients are `start`."""
    model, rows = task.model, task.rows
    space = features(rows, task.curvature, model, turned=False)
    factors = factors_at(model, rows, start, space, None, each=True)
    return None if factors is None else Whitened(space, factors)


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


def near_minimum(task: Task, few: Rows, direct: bool) -> Near | None:
    """Coefficients that fit a few of the rows, and the Hessian there, for steps on all (Erdogdu and Montanari 2015)."""
    model, width = task.model, task.kink_width
    away = float(np.sqrt(number_of_parameters(task.rows, model.loss) / few.X.shape[0]))
    part = task._replace(
        model=model._replace(total=few.total_weight()),
        rows=few,
        start=(task.start[0].copy(), task.start[1].copy()),
        tol=max(task.tol, 0.1 * away**2),
        report=lambda *_: False,
    )
    fit = lbfgs_first(part) if model.loss.coupled else newton(part, direct)
    space: Any = features(task.rows, task.curvature, model, turned=False)
    if not direct:
        at, width = (fit.coef, fit.intercept), None if width is None else away * width
        factors = factors_at(part.model, few, at, space.over(few.X), width, each=not model.loss.coupled)
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


def factors_at(
    model: Model, rows: Rows, at: tuple[Array, Array], space: Features, width: Any, each: bool
) -> list[Array] | None:
    """Cholesky factors of the Hessian of some rows at some coefficients; None if it is not definite.

    `each`: of each column by itself, even if they are coupled.
    """
    loss = model.loss
    problem = Problem(loss, space, loss.columns(rows.target, rows.weight), 1 / model.total, model.alpha, width)
    scores = space.scores(rows.X, at[0].T.astype(space.dtype), at[1])
    if each:
        hess = loss.evaluate(scores, problem.columns, width, hess=True)[2]
        assert hess is not None
        matrices = [space.hessian(hess[:, c] * problem.scale, model.alpha, c) for c in range(loss.n_columns)]
    else:
        _, slope, hess = evaluate(problem, scores)
        whole = space.coupled_hessian(hessian(problem, scores, slope, hess), model.alpha, loss.n_columns)
        n = whole.shape[0] * whole.shape[1]
        matrices = [whole.reshape(n, n)]
    try:
        for matrix in matrices:
            matrix[np.diag_indices_from(matrix)] += 1e-6 * matrix.trace() / len(matrix)
        return [linalg.cholesky(matrix, overwrite_a=True) for matrix in matrices]
    except (linalg.LinAlgError, ValueError):
        return None


def newton(task: Task, direct: bool = False) -> Fit:
    """By Newton's method, a few columns at a time."""
    model, rows, start, curvature, tol, max_iter, _, kink_width = task
    loss, report = model.loss, Told(task.report)
    coef, intercept = start  # as good as free: a fit's own
    few = None if coef.any() else few_of(rows, loss)
    near = None if few is None else near_minimum(task, few, direct)
    if near is None:
        space = space_for(rows, loss, curvature, model, not coef.any(), direct)
    else:
        coef, intercept, space, _ = near
    step = width_of_block(rows, loss)
    values = np.zeros(1 if loss.coupled else loss.n_columns)
    gaps = np.zeros_like(values)
    n_iter, settled = 0, True
    for begin in range(0, loss.n_columns, step):
        where = slice(begin, min(begin + step, loss.n_columns))
        own = slice(None) if loss.coupled else where
        part = space.select(where)
        columns = loss.columns(rows.target, rows.weight, where.start, where.stop)

        def told(z: Array, value: Array, part: Any = part, where: slice = where, own: slice = own) -> bool:
            values[own] = value

            def now() -> tuple[Array, Array]:
                w, b = part.coef(z)
                whole, ends = coef.copy(), intercept.copy()
                whole[where], ends[where] = w.T, b
                return whole, ends

            return report(now, float(values.sum()))

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
        if report.stopped:
            break
    return Fit(coef, intercept, float(values.sum()), float(gaps.sum()), n_iter, settled or report.stopped)


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
