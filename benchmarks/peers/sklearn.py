"""scikit-learn's private losses (Cython, OpenMP), for those that it shares with us; results into given arrays."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn._loss import loss as losses

from benchmarks.cases import Case, arrays

# our loss: theirs, and how many of it make one of ours
HALVES = {"bce": (losses.HalfBinomialLoss, 1), "mse": (losses.HalfSquaredError, 2)}
OTHERS = {
    "half_squared_error": losses.HalfSquaredError,
    "l1": losses.AbsoluteError,
    "half_poisson": losses.HalfPoissonLoss,
    "half_gamma": losses.HalfGammaLoss,
}
LOSSES = {*HALVES, *OTHERS, "cross_entropy"}


def version() -> str:
    return str(sklearn.__version__)


def call(case: Case) -> Callable[[], Any] | None:
    a = arrays(case)
    factor = 1
    if case.loss == "cross_entropy":
        loss, x, y = losses.HalfMultinomialLoss(n_classes=case.shape[1]), a.x, a.y.astype(case.dtype)
    elif case.loss in LOSSES:
        kind, factor = HALVES.get(case.loss) or (OTHERS[case.loss], 1)
        loss, x, y = kind(), a.x.ravel(), a.y.ravel()
    else:
        return None
    values, grad = np.ones_like(y), np.ones_like(x)
    n_threads = len(os.sched_getaffinity(0))
    if case.what == "value":
        return lambda: factor * loss.loss(y, x, loss_out=values, n_threads=n_threads).mean()

    def value_and_grad() -> Any:
        loss.loss_gradient(y, x, loss_out=values, gradient_out=grad, n_threads=n_threads)
        return factor * values.mean(), np.multiply(grad, factor / values.size, out=grad)

    return value_and_grad
