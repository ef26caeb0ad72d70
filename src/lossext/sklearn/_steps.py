"""Steps on a few rows at a time: averaged gradient descent and Adam.

The state is a dict of plain arrays and numbers, to be pickled. Coefficients are (D, C).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from lossext._validate import Array
from lossext.sklearn._features import product
from lossext.sklearn._rows import Rows, held_columns, without_empty_columns
from lossext.sklearn._solve import Model

BATCH_SIZE = {"adam": 256, "sgd": 64}
DECAY = (0.9, 0.999)  # of Adam's two averages, as in Kingma and Ba (2014)
LEAST = 1e-3  # of the greatest mean slope: what is added to the root of the squares
LATER = 3.0  # of an average: how much later coefficients weigh more, as in Shamir and Zhang (2013)


def why_no_steps(estimator: Any) -> None:
    """AttributeError for a solver that sees all rows."""
    if estimator.solver not in ("auto", "adam", "sgd"):
        raise AttributeError(
            f"partial_fit goes by mini-batches: it is available for solver='auto', 'adam' and 'sgd', not for "
            f"solver={estimator.solver!r}, which sees all rows at a time"
        )


def new_state(
    solver: str, coef: Array, intercept: Array, unit: float = 1.0, of_classes: bool = False
) -> dict[str, Any]:
    """What a solver remembers before the first step from some coefficients (C, D)."""
    start = np.array(coef.T, order="C"), intercept.copy()
    zeros = [np.zeros_like(part) for part in start]
    state = {"solver": solver, "unit": unit, "n_steps": 0, "square": zeros[0], "square_of_intercept": zeros[1]}
    if solver == "adam":
        state.update(coef=start[0], intercept=start[1])
        return {**state, "mean": zeros[0].copy(), "mean_of_intercept": zeros[1].copy()}
    n_features = len(start[0])
    if of_classes:  # a rate for all: else a word that came with one class were as good a reason against each other one
        state.update(square=np.zeros((n_features, 1), coef.dtype), square_of_intercept=np.zeros(1, coef.dtype))
    return {
        **state,
        "at": start[0],  # the coefficients themselves; those of the estimator are their averages
        "at_intercept": start[1],
        "coef": start[0].copy(),
        "intercept": start[1].copy(),
        "size": np.zeros(n_features, coef.dtype),  # greatest size of each feature so far
        "visits": np.zeros(n_features, np.int64),  # steps that had the feature
        "last": np.zeros(n_features, np.int64),  # the latest of them
        "steep": 0.0,  # greatest mean slope of the loss so far
        "n_rows": 0.0,
        "length": 0.0,  # squared lengths of the rows in units of the features, added up
    }


def saved(state: dict[str, Any], X: Any) -> dict[str, Any]:
    """Copies of what steps on these rows change."""
    where: Any = held_columns(X) if sparse.issparse(X) and state["solver"] == "sgd" else slice(None)
    kept = {
        name: value.copy() if name.endswith("intercept") else value[where].copy()
        for name, value in state.items()
        if isinstance(value, np.ndarray)
    }
    return {"where": where, "kept": kept, "rest": {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}}


def restore(state: dict[str, Any], copies: dict[str, Any]) -> None:
    """Undo what was changed since `saved`."""
    for name, value in copies["kept"].items():
        state[name][slice(None) if name.endswith("intercept") else copies["where"]] = value
    state.update(copies["rest"])


def step(model: Model, batch: Rows, scale: float, state: dict[str, Any], rate: float) -> float:
    """One update of the coefficients; the loss of the batch times `scale`, before it."""
    return (adam if state["solver"] == "adam" else sgd)(model, batch, scale, state, rate)


def sgd(model: Model, batch: Rows, scale: float, state: dict[str, Any], rate: float) -> float:
    """Adagrad in the units of each feature (Ross, Mineiro and Langford, 2013), averaged.

    Only what a batch holds is touched: a feature's penalty for the steps since its last one is made up for, and its
    average is that over its own steps.
    """
    X = batch.X
    weight = np.ones(X.shape[0]) if batch.weight is None else batch.weight.reshape(X.shape[0], -1).mean(axis=1)
    where: Any = slice(None)
    if sparse.issparse(X):
        where, X = without_empty_columns(X)
        turned = X.T.tocsr()
        greatest = by_column(np.maximum, np.abs(turned.data), turned)
        squares = by_column(np.add, turned.data * turned.data * weight[turned.indices], turned)
    else:
        greatest, squares = np.abs(X).max(axis=0), weight @ (X * X)
    at = state["at"][where]
    size = np.maximum(state["size"][where], greatest)
    units = np.where(size > 0, size, 1)
    n_rows, length = state["n_rows"] + float(weight.sum()), state["length"] + float(squares @ units**-2.0)
    value, slope = slopes(model, X, batch, at, state["at_intercept"], scale)
    grad = product(turned, slope) if sparse.issparse(X) else product(slope.T, X).T
    square = state["square"][where] + squared(grad, state["square"])
    n_steps = state["n_steps"] + 1
    pace = rate * math.sqrt(n_rows / max(length, np.finfo(float).tiny))  # a float: the type is that of the features
    steep = max(state["steep"], float(np.abs(slope).sum(axis=0).max(initial=0.0)))
    least = LEAST * steep + np.finfo(at.dtype).tiny  # a gradient that is but rounding makes no step
    rates = (pace / units)[:, np.newaxis] / (np.sqrt(square) + least * units[:, np.newaxis])
    missed = (n_steps - state["last"][where])[:, np.newaxis].astype(at.dtype)
    # in place: new arrays of features x classes would cost more than what is computed
    grad *= rates
    at -= grad
    shrink(at, rates * missed, model)
    check_finite(at)
    visits = state["visits"][where] + 1
    share = ((1 + LATER) / (visits + LATER))[:, np.newaxis].astype(at.dtype)
    mean = state["coef"][where]
    np.subtract(at, mean, out=grad)
    grad *= share
    mean += grad
    state["at"][where], state["square"][where], state["size"][where], state["coef"][where] = at, square, size, mean
    state["visits"][where], state["last"][where] = visits, n_steps
    state.update(n_steps=n_steps, n_rows=n_rows, length=length, steep=steep)
    if model.fit_intercept:
        grad = slope.sum(axis=0)
        state["square_of_intercept"] += squared(grad, state["square_of_intercept"])
        root = np.sqrt(state["square_of_intercept"]) + least
        state["at_intercept"] -= rate * grad / root
        share = (1 + LATER) / (n_steps + LATER)
        state["intercept"] += share * (state["at_intercept"] - state["intercept"])
    return value


def by_column(function: np.ufunc, entries: Array, turned: Any) -> Array:
    """What `function` makes of the entries of each column, of which none is empty."""
    return np.asarray(function.reduceat(entries, turned.indptr[:-1]) if len(entries) else np.zeros(0, entries.dtype))


def squared(grad: Array, square: Array) -> Array:
    """Squares of gradients, as sums of these are kept: of each column, or their mean over the columns."""
    if square.shape[-1] == grad.shape[-1]:
        return grad * grad
    return np.asarray(np.einsum("...c,...c->...", grad, grad)[..., np.newaxis] / grad.shape[-1])


def shrink(coef: Array, rates: Array, model: Model) -> None:
    """Steps of such rates on the penalty, in closed form."""
    if model.l1:
        coef[...] = np.sign(coef) * np.maximum(np.abs(coef) - rates * model.alpha * model.l1, 0)
    coef /= 1 + rates * model.alpha * (1 - model.l1)


def adam(model: Model, batch: Rows, scale: float, state: dict[str, Any], rate: float) -> float:
    """Adam of Kingma and Ba."""
    coef, intercept = state["coef"], state["intercept"]
    value, slope = slopes(model, batch.X, batch, coef, intercept, scale)
    grad = product(slope.T, batch.X).T if not sparse.issparse(batch.X) else product(batch.X.T, slope)
    grad = grad + model.alpha * ((1 - model.l1) * coef + model.l1 * np.sign(coef))
    state["n_steps"] += 1
    n = state["n_steps"]
    parts = [(coef, grad, state["mean"], state["square"])]
    if model.fit_intercept:
        parts.append((intercept, slope.sum(axis=0), state["mean_of_intercept"], state["square_of_intercept"]))
    fast, slow = DECAY
    for parameters, gradient, mean, square in parts:
        mean += (1 - fast) * (gradient - mean)
        square += (1 - slow) * (gradient * gradient - square)
        change = rate / (1 - fast**n) * mean / (np.sqrt(square / (1 - slow**n)) + 1e-8)
        check_finite(change)
        parameters -= change
    return value


def slopes(model: Model, X: Any, batch: Rows, coef: Array, intercept: Array, scale: float) -> tuple[float, Array]:
    """The loss of a batch times `scale`, and its slopes."""
    scores = product(X, coef)
    scores += intercept
    values, slope, _ = model.loss.evaluate(scores, model.loss.columns(batch.target, batch.weight))
    slope *= scale
    return float(values.sum()) * scale, slope


def check_finite(array: Array) -> None:
    """FloatingPointError where coefficients run away."""
    if not np.isfinite([array.min(initial=0.0), array.max(initial=0.0)]).all():
        raise FloatingPointError("coefficients are not finite")
