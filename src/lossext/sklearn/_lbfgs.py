"""SciPy's L-BFGS in a linear model's coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

from lossext._validate import Array
from lossext.sklearn._newton import Result
from lossext.sklearn._rows import Rows

MEMORY = 10  # pairs of steps and gradients


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

    In the coordinates the Hessian is about I, so half the squared gradient is about the gap.
    """
    loss, space, _, scale, alpha, width = problem
    shape, dtype = start.shape, space.dtype
    state: dict[str, Any] = {"value": np.inf, "grad": np.zeros(shape), "n": 0, "stopped": False, "done": False}

    def evaluate(flat: Array) -> float:
        z = flat.reshape(shape)
        w, intercept = space.coef(z)
        value, slope_w, slope_b = space.sums(loss, rows, w, intercept, width)
        square, pull = space.penalty(z, None)
        grad = space.from_slopes(slope_w, slope_b) * scale + alpha * pull
        state["value"] = scale * value + 0.5 * alpha * float(square.sum())
        state["grad"] = grad
        return float(state["value"])

    def gradient(flat: Array) -> Array:  # SciPy wants it where it has just asked for the value
        return np.asarray(state["grad"].ravel(), np.float64)

    def callback(flat: Array) -> None:
        state["n"] += 1
        z = flat.reshape(shape).copy()  # SciPy goes on in the same array
        state["stopped"] = report(z, np.array([state["value"]]))
        state["done"] = gap_of(projected(z, state["grad"], bounds)) <= tol * max(
            abs(state["value"]), first - state["value"]
        )
        if state["stopped"] or state["done"]:
            raise StopIteration

    first = evaluate(start.ravel())
    result = minimize(
        evaluate,
        start.ravel().astype(np.float64),
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
    z = result.x.reshape(shape)
    value = evaluate(result.x)
    return Result(
        z, np.array([value]), np.array([gap_of(projected(z, state["grad"], bounds))]), state["n"], result.status != 1
    )


def gap_of(grad: Array) -> float:
    """Half the squared gradient."""
    return 0.5 * float(np.vdot(grad, grad))


def projected(z: Array, grad: Array, bounds: Any) -> Array:
    """The gradient, without what leads beyond a bound."""
    if bounds is None:
        return grad
    at_bound = np.array([low is not None for low, _ in bounds]).reshape(z.shape) & (z <= 0)
    return np.where(at_bound, np.minimum(grad, 0), grad)
