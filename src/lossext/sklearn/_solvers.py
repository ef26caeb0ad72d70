"""The ways to the minimum: L-BFGS on all rows, Adam and gradient descent with momentum on a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from lossext.sklearn._coordinates import Coordinates

Array = npt.NDArray[Any]

ROUNDING = (0.1, 0.01)  # of a kink's scale, in turn: L-BFGS needs a gradient that does not jump
LEARNING_RATE = {"adam": 0.01, "sgd": 0.1}
MOMENTUM = 0.9  # of sgd
DECAY = (0.9, 0.999)  # of Adam's two averages, as in Kingma and Ba (2014)


class Result(NamedTuple):
    """Where a solver stopped, and why."""

    parameters: Array
    n_iter: int
    gradient: float  # largest component
    trouble: str | None  # what kept it from converging


def lbfgs(
    value_and_grad: Callable[[Array, float], tuple[float, Array]],
    start: Array,
    coordinates: Coordinates,
    kink_width: float,
    tol: float,
    max_iter: int,
    begin: Callable[[Array], None],
    end: Callable[[int, float, float, Array], bool],
) -> Result:
    """Minimise in the type of `start`; `begin` and `end` are told of every iteration, and `end` may stop it."""
    dtype = start.dtype
    z = coordinates.of(start.astype(np.float64))
    n_iter, value, slope, stopped = 0, np.inf, np.inf, False
    trouble: str | None = None

    for share in ROUNDING if kink_width else (0.0,):
        if n_iter == max_iter or stopped:
            break

        def evaluate(z: Array, width: float = share * kink_width) -> tuple[float, Array]:
            nonlocal value, slope
            value, grad = value_and_grad(coordinates.parameters(z).astype(dtype), width)
            slope = float(np.abs(grad).max(initial=0.0))
            return value, coordinates.gradient(grad.astype(np.float64, copy=False))

        def callback(z: Array) -> None:
            nonlocal n_iter, stopped
            n_iter += 1
            parameters = coordinates.parameters(z).astype(dtype)  # a copy: SciPy goes on in the same array
            stopped = end(n_iter, value, slope, parameters)
            if stopped or slope <= tol:
                raise StopIteration
            begin(parameters)

        begin(coordinates.parameters(z).astype(dtype))
        left = max_iter - n_iter
        result = minimize(
            evaluate,
            z,
            jac=True,
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
        trouble = None
        if result.status == 1:
            trouble = "reached max_iter"
        elif result.status == 2:
            trouble = "found no lower value along its search direction, so exhausted the type's precision,"
    return Result(coordinates.parameters(z).astype(dtype), n_iter, slope, trouble)


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
