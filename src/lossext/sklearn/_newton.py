"""Newton's method for linear models: conjugate gradients or a Cholesky factor, all columns of the scores at a time.

Columns that are not coupled have their own steps and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from lossext._validate import Array
from lossext.sklearn._scores import Columns, ScoreLoss

FORCING = 0.25  # of the gradient may be left by conjugate gradients, less near the minimum
MAX_INNER = 500
MAX_INNER_OF_KINKS = 100  # whose steps lead but to the next piece
FAINT = 0.01  # of the curvature, added where few rows near a kink would make steps far too long
DAMPED = 1e-4  # of the curvature, added where a direction along which no row is near a kink would have no end
FEW_ROWS = 1024  # that curve, of a column: so many make a matrix to factorise
QUICKENED = 0.1  # of the gap is left by a step: those to come leave less
FLAT = 1e-12  # a curvature that is none, in coordinates in which it is about 1
IDLE = 4  # steps without a nearer end are an end, where all digits are wanted: kinks come and go
ARMIJO = 1e-4
MAX_HALVINGS = 40
MAX_TRIALS = 20  # of a length
SHORT = 0.1  # a step so short says that the curvature does not tell how far the slope goes
CURVED = 0.1  # of the best parabolas' curvature, in rows with a slope: less makes steps that go nowhere
NEAR = 0.1  # of its start is left of a slope where a length will do


class Result(NamedTuple):
    """Where Newton's method ended."""

    coordinates: Array
    value: Array  # of the objective, a column each
    gap: Array  # of the value to the minimum, an estimate
    n_iter: int
    settled: bool  # not by the number of iterations


class Problem(NamedTuple):
    """Objective ``scale * loss(image(z)) + alpha / 2 |w(z)|^2`` of some columns."""

    loss: ScoreLoss
    space: Any
    columns: Columns
    scale: float
    alpha: float
    width: Any = None


def minimise(
    problem: Problem,
    start: Array,
    tol: float,
    max_iter: int,
    report: Callable[[Array, Array], bool] = lambda z, value: False,
    direct: bool = False,
) -> Result:
    """Minimise from `start` until no column's gap is more than `tol` times its value."""
    loss, space, alpha = problem.loss, problem.space, problem.alpha
    z = start
    scores = space.image(z)
    value, slope, hess = evaluate(problem, scores)
    square, pull = space.penalty(z, scores)
    value += 0.5 * alpha * together(loss, square)
    first = value.copy()
    gap = np.full(len(value), np.inf)
    stuck, ended = np.zeros((2, len(value)), bool)
    epsilon = np.finfo(scores.dtype).eps
    n_iter, forcing = 0, FORCING
    n_failed = np.zeros(len(value), int)  # steps by exact curvatures
    n_idle = np.zeros(len(value), int)
    while n_iter < max_iter:
        grad = space.back(slope) + alpha * pull
        size = np.maximum(np.abs(value), first - value)
        if space.whitened:  # the Hessian is about I, so a product with it would hardly change the guess
            guess = together(loss, space.dot(grad, grad))
            if (guess <= tol * size).all():
                return Result(z, value, guess, n_iter, True)
        if direct:
            if loss.coupled:
                step = coupled_step(problem, scores, slope, hess, grad)
            else:
                step = cholesky_step(problem, hess, grad, ~ended)  # type: ignore[arg-type]
            image = space.image(step)
        else:
            sharp = problem.width is not None and space.implicit and not loss.coupled
            few = np.count_nonzero(hess, axis=0) <= FEW_ROWS if sharp else np.zeros_like(ended)  # type: ignore[arg-type]
            step, image = conjugate_gradients(problem, scores, slope, hess, grad, forcing, ~ended & ~few)
            if few.any():
                factorised = few_rows(problem, hess, grad, few & ~ended)  # type: ignore[arg-type]
                step, image = step + factorised, image + space.image(factorised)
        along = together(loss, space.dot(grad, step, image))
        before, gap = gap, np.where(ended, gap, -0.5 * along)
        # in one piece of a loss, and so near, a step leaves no greater share of the gap than the one before
        near = (gap > 0) & (gap < QUICKENED * before) & (before < size) & (problem.width is None)
        left = np.where(near, gap * gap / before, gap)
        done = ended | (left <= tol * size)
        forcing = float(np.clip(np.sqrt(np.min(np.abs(gap) / np.maximum(size, np.finfo(float).tiny))), 0.01, FORCING))
        cross = together(loss, space.dot(pull, step, image))
        bend = together(loss, space.penalty(step, image)[0])
        noise = (8 if tol >= epsilon else 64) * epsilon * size
        waiting = ~stuck & ~ended & (along < 0)
        ridge = 0.5 * alpha * together(loss, square), alpha * cross, 0.5 * alpha * bend  # of the penalty along the step
        length, trial, new_value, new_slope, new_hess = (backtrack if problem.width is None else least)(
            problem, scores, image, (value, along), ridge, waiting, noise
        )
        foreseen = done & ~ended & (gap > tol * size)
        done &= ~foreseen | (length == 1)
        gap = np.where(foreseen & done, left, gap)
        z = z + length * step
        scores, slope, hess = trial, new_slope, new_hess
        failed = waiting & (length < SHORT) & (n_failed < 2) & loss.has_parabolas
        n_failed += failed
        if n_failed.any():
            hess = tails_curved(problem, scores, slope, hess, n_failed)  # type: ignore[arg-type]
        square, pull = space.penalty(z, scores)
        n_idle = np.where(gap < 0.5 * before, 0, n_idle + 1)  # by the gradient, which knows more digits than the value
        idle = (n_idle > IDLE) | (tol >= epsilon)
        stuck |= ((value - new_value <= noise) & (gap <= 1e3 * noise) & idle | (length == 0)) & ~failed
        value = new_value
        n_iter += 1
        if report(z, value):
            break
        ended = done | stuck
        if ended.all():
            return Result(z, value, gap, n_iter, True)
    return Result(z, value, gap, n_iter, False)


def backtrack(
    problem: Problem, scores: Array, image: Array, now: tuple[Array, Array], ridge: Any, waiting: Array, noise: Array
) -> tuple[Array, Array, Array, Array, Array | None]:
    """The first of the lengths 1, 1/2, ... of a step that lowers the value enough, and what there is."""
    value, along = now
    length = waiting.astype(float)
    for halving in range(MAX_HALVINGS + 1):
        trial = scores + (length * image).astype(scores.dtype, copy=False)
        new_value, slope, hess = evaluate(problem, trial)
        new_value += ridge[0] + length * (ridge[1] + length * ridge[2])
        fails = waiting & (length > 0) & ~(new_value <= value + ARMIJO * length * along + noise)
        if not fails.any():
            break
        length[fails] *= 0.5 if halving < MAX_HALVINGS - 1 else 0
    return length, trial, new_value, slope, hess


def least(
    problem: Problem, scores: Array, image: Array, now: tuple[Array, Array], ridge: Any, waiting: Array, noise: Array
) -> tuple[Array, Array, Array, Array, Array | None]:
    """The length of a step where the value is least, nearly, and what there is: by Newton's method between bounds.

    The value is quadratic in pieces; with such lengths Newton's method gets from piece to piece in few steps.
    """
    loss = problem.loss
    value, along = now
    length = waiting.astype(float)
    low, high = np.zeros_like(length), np.full_like(length, np.inf)
    best = np.zeros_like(length)
    for trial_number in range(MAX_TRIALS):
        trial = scores + (length * image).astype(scores.dtype, copy=False)
        new_value, slope, hess = evaluate(problem, trial)
        new_value += ridge[0] + length * (ridge[1] + length * ridge[2])
        rise = together(loss, np.einsum("nc,nc->c", slope, image)) + ridge[1] + 2 * length * ridge[2]
        lower = new_value <= value + noise
        best = np.where(lower & (length > 0), length, best)
        going = waiting & ~(lower & (np.abs(rise) <= NEAR * np.abs(along)))
        if not going.any() or trial_number == MAX_TRIALS - 1:
            break
        up = (rise > 0) | ~lower
        high, low = np.where(up, length, high), np.where(up, low, length)
        bent = hessian(problem, trial, slope, hess)(image)
        curve = 2 * ridge[2] + together(loss, np.einsum("nc,nc->c", image, bent))
        with np.errstate(all="ignore"):
            new = length - rise / curve
        shorter = np.where(low > 0, 0.5 * (low + high), 0.1 * high)  # without curvature a step can be 1e12 too long
        middle = np.where(np.isfinite(high), shorter, 4 * length)
        inside = (new > low) & (new < np.minimum(high, 10 * length))
        length = np.where(going, np.where(inside, new, middle), length)
    if (waiting & ~lower).any():  # where the last one rose, the last that did not
        length = np.where(lower, length, best)
        trial = scores + (length * image).astype(scores.dtype, copy=False)
        new_value, slope, hess = evaluate(problem, trial)
        new_value += ridge[0] + length * (ridge[1] + length * ridge[2])
    return length, trial, new_value, slope, hess


def evaluate(problem: Problem, scores: Array) -> tuple[Array, Array, Array | None]:
    """The mean loss of each column, its slopes and curvatures; of coupled columns no curvatures."""
    loss = problem.loss
    with np.errstate(over="ignore", invalid="ignore"):
        value, slope, hess = loss.evaluate(
            scores, problem.columns, problem.width, hess=not loss.coupled or loss.knows_products
        )
    slope *= problem.scale
    if hess is not None:
        hess *= problem.scale
    return np.where(np.isnan(value), np.inf, value * problem.scale), slope, hess


def tails_curved(problem: Problem, scores: Array, slope: Array, hess: Array, n_failed: Array) -> Array:
    """Curvatures; in columns where most slopes are those of straight tails, those of the best parabolas above them.

    With these Newton's method is iterative reweighting, which lowers the value from anywhere; from the second failure
    on it is that in any case.
    """
    above = problem.loss.evaluate(scores, problem.columns, hess=True, above=True)[2]
    assert above is not None
    above *= problem.scale
    straight = hess.sum(axis=0) < CURVED * np.where(slope != 0, above, 0).sum(axis=0)
    return np.where((n_failed > 1) | ((n_failed > 0) & straight), above, hess)


def together(loss: ScoreLoss, numbers: Array) -> Array:
    """One number of all columns if they are coupled."""
    return numbers.sum(keepdims=True) if loss.coupled else numbers


def hessian(problem: Problem, scores: Array, slope: Array, hess: Array | None) -> Callable[[Array], Array]:
    """Products with the Hessian of the losses of the rows."""
    loss, _, columns, scale, _, width = problem
    if not loss.coupled:
        return lambda direction: hess * direction
    if hess is not None:
        return loss.hessian(scores, columns, hess, width, slope)
    unscaled = loss.hessian(scores, columns, None, width, slope / scale)
    return lambda direction: unscaled(direction) * scale


def few_rows(problem: Problem, hess: Array, grad: Array, wanted: Array) -> Array:
    """``-H^-1 grad`` of the wanted columns, of which only a few rows curve; 0 for others.

    Near kinks that are hardly rounded these rows curve so much that conjugate gradients hardly get on.
    """
    step = np.zeros_like(grad)
    for column in np.flatnonzero(wanted):
        step[:, column] = problem.space.newton_step(hess[:, column], grad[:, column], problem.alpha)
    return step


def conjugate_gradients(
    problem: Problem,
    scores: Array,
    slope: Array,
    hess: Array | None,
    grad: Array,
    forcing: float,
    wanted: Array,
) -> tuple[Array, Array]:
    """About ``-H^-1 grad`` and its image, by conjugate gradients until less than a share of the gradient is left.

    Columns that are not wanted get no step.
    """
    loss, space, alpha = problem.loss, problem.space, problem.alpha
    step = np.zeros_like(grad)
    step_image = np.zeros_like(scores)
    left = -grad
    left_image = space.image(left) if space.implicit else None
    norm = together(loss, space.dot(left, left, left_image))
    goal = forcing**2 * norm
    way, way_image = left, space.image(left) if left_image is None else left_image
    going = (norm > 0) & wanted
    bend = hessian(problem, scores, slope, hess)
    for inner in range(MAX_INNER if problem.width is None else MAX_INNER_OF_KINKS):
        if not going.any():
            break
        product = space.back(bend(way_image)) + alpha * space.penalty(way, way_image)[1]
        if problem.width is not None and not space.implicit:
            product += DAMPED * way
        curve = together(loss, space.dot(product, way, way_image))
        bends = curve > FLAT * together(loss, space.dot(way, way, way_image))
        length = np.where(going & bends, norm / np.where(bends, curve, 1), 0)
        if not inner:  # at least the way down, in coordinates in which a step of 1 is about right
            length = np.where(going & ~bends, 1.0, length)
        going &= bends
        step = step + length * way
        step_image += length * way_image
        left = left - length * product
        left_image = space.image(left) if space.implicit else None
        new_norm = together(loss, space.dot(left, left, left_image))
        going &= new_norm > goal
        if not going.any():
            break
        ratio = np.where(going, new_norm / np.where(norm > 0, norm, 1), 0)
        norm = new_norm
        way = left + ratio * way
        way_image = space.image(way) if left_image is None else left_image + ratio * way_image
    return step, step_image


def cholesky_step(problem: Problem, hess: Array, grad: Array, wanted: Array) -> Array:
    """``-H^-1 grad`` by a Cholesky factor of each wanted column's Hessian; 0 for others."""
    if not problem.space.n_features:  # a number per column, of which there may be a hundred thousand
        curvature = problem.space.intercept_scale**2 * hess.sum(axis=0, dtype=np.float64)
        curvature += FAINT * np.maximum(curvature, FAINT) if problem.width is not None else 0.0
        return np.where(wanted, -grad / np.where(curvature > 0, curvature, FLAT), 0.0)
    step = np.zeros_like(grad)
    for column in np.flatnonzero(wanted):
        matrix = problem.space.hessian(hess[:, column], problem.alpha, column)
        # the Hessian is about I where many rows are near a kink, but few may be
        extra = FAINT * max(float(np.trace(matrix)) / len(matrix), FAINT) if problem.width is not None else 0.0
        extra = 0.0 if problem.alpha else extra
        step[:, column] = solved(matrix, -grad[:, column], extra)
    return step


def coupled_step(problem: Problem, scores: Array, slope: Array, hess: Array | None, grad: Array) -> Array:
    """``-H^-1 grad`` of coupled columns by a Cholesky factor of their Hessian."""
    bend = hessian(problem, scores, slope, hess)
    matrix = problem.space.coupled_hessian(bend, problem.alpha, grad.shape[1])
    # a constant added to all scores changes nothing
    return solved(matrix.reshape(grad.size, grad.size), -grad.ravel(), FLAT).reshape(grad.shape)


def solved(matrix: Array, right: Array, extra: float) -> Array:
    """``(matrix + extra I)^-1 right``; by more than `extra` where the matrix is not definite."""
    diagonal = np.diagonal(matrix).copy()
    largest = float(diagonal.max(initial=0.0))
    if not np.isfinite(largest):
        return np.full_like(right, np.nan)
    while True:
        matrix.flat[:: len(matrix) + 1] = diagonal + extra
        _, found, failed = lapack.dposv(matrix, right)
        if not failed:
            return np.asarray(found)
        extra = max(100 * extra, 1e-12 * largest, FLAT)
