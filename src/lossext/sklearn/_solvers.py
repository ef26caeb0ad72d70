"""The ways to the minimum: L-BFGS on all rows, Adam and gradient descent with momentum on a few at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize

from lossext._validate import Array
from lossext.sklearn._coordinates import Coordinates
from lossext.sklearn._objective import LinearModel, Rows
from lossext.sklearn._progress import Progress

ROUNDING = (0.1, 0.01)  # of a kink's scale, in turn: L-BFGS needs a gradient that does not jump
LEARNING_RATE = {"adam": 0.01, "sgd": 0.1}
MOMENTUM = 0.9  # of sgd
TROUBLE = {  # by minimize's status
    1: "reached max_iter",
    2: "found no lower value along its search direction, so exhausted the type's precision,",
}
DECAY = (0.9, 0.999)  # of Adam's two averages, as in Kingma and Ba (2014)


def lbfgs(
    model: LinearModel, rows: Rows, scale: float, start: Array, tol: float, max_iter: int, progress: Progress
) -> tuple[Array, float, str | None]:
    """Minimise in the type of `start`: parameters, their gradient's largest component, what kept from converging."""
    dtype, kink_width = start.dtype, model.loss.kink_width
    coordinates = Coordinates(model, rows)
    z = coordinates.of(start.astype(np.float64))
    n_iter, value, grad, stopped = 0, np.inf, start, False
    trouble: str | None = None

    for share in ROUNDING if kink_width else (0.0,):
        if n_iter == max_iter or stopped:
            break

        def evaluate(z: Array, width: float = share * kink_width) -> float:
            nonlocal value, grad
            parameters = coordinates.parameters(z).astype(dtype, copy=False)
            value, grad = model.value_and_grad(rows, parameters, scale, width)
            return value

        def gradient(z: Array) -> Array:  # SciPy wants it where it has just asked for the value
            return coordinates.gradient(grad.astype(np.float64, copy=False))

        def fitted(z: Array) -> dict[str, Array]:
            return model.attributes(coordinates.parameters(z).astype(dtype, copy=False))

        def callback(z: Array) -> None:
            nonlocal n_iter, stopped
            n_iter += 1
            slope = largest(grad)
            now = partial(fitted, z.copy())  # SciPy goes on in the same array
            stopped = progress.end(n_iter, now, objective=value, gradient=slope)
            if stopped or slope <= tol:
                raise StopIteration
            progress.begin(now)

        progress.begin(partial(fitted, z))
        left = max_iter - n_iter
        result = minimize(
            evaluate,
            z,
            jac=gradient,  # returned with the value, SciPy would keep it by comparing points
            method="L-BFGS-B",
            callback=callback,
            options={
                "maxiter": left,
                "maxfun": 20 * left + 100,
                "maxls": 50,
                "gtol": 0.0,  # in other coordinates than ours
                # near a kink, even a rounded one, the gradient stays great for long after the value has settled
                "ftol": max(0.01 * tol if kink_width else 0.0, 4 * np.finfo(dtype).eps),
            },
        )
        z = result.x
        trouble = TROUBLE.get(result.status)
    return coordinates.parameters(z).astype(dtype), largest(grad), trouble


def largest(grad: Array) -> float:
    """Greatest size of a component."""
    return float(np.abs(grad).max(initial=0.0))


def new_state(solver: str, parameters: Array) -> dict[str, Any]:
    """What a mini-batch solver remembers between steps, in plain arrays."""
    state = {"n_steps": 0, "mean": np.zeros_like(parameters)}
    return {**state, "square": np.zeros_like(parameters)} if solver == "adam" else state


def step(solver: str, parameters: Array, grad: Array, state: dict[str, Any], learning_rate: float) -> None:
    """One update of the parameters, in place."""
    state["n_steps"] += 1
    mean = state["mean"]
    if solver == "sgd":
        mean *= MOMENTUM
        mean += grad
        parameters -= learning_rate * mean
        return
    fast, slow = DECAY
    square, n_steps = state["square"], state["n_steps"]
    mean += (1 - fast) * (grad - mean)
    square += (1 - slow) * (grad * grad - square)
    rate = learning_rate / (1 - fast**n_steps)
    parameters -= rate * mean / (np.sqrt(square / (1 - slow**n_steps)) + 1e-8)
