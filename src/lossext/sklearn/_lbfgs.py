"""SciPy's L-BFGS in a linear model's coordinates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import LbfgsInvHessProduct, minimize

from lossext._validate import Array
from lossext.sklearn._newton import Result
from lossext.sklearn._rows import Rows

MEMORY = 10  # pairs of steps and gradients
STEEPEST = 100.0  # curvature in coordinates in which it is about 1, so that a long gradient needs no guess of the gap


def minimise(
    problem: Any,
    rows: Rows,
    start: Array,
    tol: float,
    max_iter: int,
    report: Callable[[Array, Array], bool],
    bounds: Any = None,
) -> Result:
    """Minimise by L-BFGS until its guess of the gap is at most `tol` times the value.

    The guess is that of the Hessian as the last steps show it; where bounds hold, an upper one: a part of the inverse
    is at least the inverse of that part.
    """
    loss, space, _, scale, alpha, width = problem
    shape, dtype = start.shape, space.dtype
    state: dict[str, Any] = {"value": np.inf, "grad": np.zeros(shape), "n": 0, "stopped": False, "done": False}

    def evaluate(flat: Array) -> float:
        z = unit * flat.reshape(shape)
        w, intercept = space.coef(z)
        value, slope_w, slope_b = space.sums(loss, rows, w, intercept, width)
        penalty, state["grad"] = space.penalised(z, w, (scale * slope_w, scale * slope_b), alpha)
        state["value"] = scale * value + penalty
        return float(state["value"])

    def gradient(flat: Array) -> Array:  # SciPy wants it where it has just asked for the value
        return np.asarray(unit * state["grad"].ravel(), np.float64)

    unit = 1.0
    first = evaluate(start.ravel())
    unit = float(np.linalg.norm(state["grad"])) or 1.0  # of SciPy's first step, which so is the gradient
    begin = start.ravel().astype(np.float64) / unit
    last = [begin, gradient(begin)]
    pairs: deque[tuple[Array, Array]] = deque(maxlen=MEMORY)

    def gap() -> float:
        grad = projected(last[0].reshape(shape), state["grad"], bounds)
        if not pairs:
            return gap_of(grad)
        slope = unit * grad.ravel().astype(np.float64)
        steps, changes = (np.array(part) for part in zip(*pairs, strict=True))
        return 0.5 * float(slope @ LbfgsInvHessProduct(steps, changes).matvec(slope))

    def callback(flat: Array) -> None:
        state["n"] += 1
        now = flat.copy(), gradient(flat)  # SciPy goes on in the same array
        pair = now[0] - last[0], now[1] - last[1]
        if pair[0] @ pair[1] > 0:
            pairs.append(pair)
        last[:] = now
        state["stopped"] = report(unit * now[0].reshape(shape), np.array([state["value"]]))
        goal = tol * max(abs(state["value"]), first - state["value"])
        grad = projected(last[0].reshape(shape), state["grad"], bounds)
        state["done"] = gap_of(grad) <= STEEPEST * goal and gap() <= goal
        if state["stopped"] or state["done"]:
            raise StopIteration

    result = minimize(
        evaluate,
        begin,
        jac=gradient,  # returned with the value, SciPy would keep it by comparing points
        method="L-BFGS-B",
        callback=callback,
        bounds=bounds,
        options={
            "maxiter": max_iter,
            "maxfun": 20 * max_iter + 100,
            "maxls": 50,
            "maxcor": MEMORY,
            "gtol": 0.0,
            "ftol": 0.0 if dtype == np.float64 else float(np.finfo(dtype).eps),
        },
    )
    value = evaluate(result.x)
    last[0] = result.x.copy()
    return Result(unit * result.x.reshape(shape), np.array([value]), np.array([gap()]), state["n"], result.status != 1)


def gap_of(grad: Array) -> float:
    """Half the squared gradient."""
    return 0.5 * float(np.vdot(grad, grad))


def projected(z: Array, grad: Array, bounds: Any) -> Array:
    """The gradient, without what leads beyond a bound."""
    if bounds is None:
        return grad
    at_bound = np.array([low is not None for low, _ in bounds]).reshape(z.shape) & (z <= 0)
    return np.where(at_bound, np.minimum(grad, 0), grad)
