"""scikit-learn's private losses (Cython, OpenMP), for the one that it shares with us; results into given arrays."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn._loss import HalfBinomialLoss

from benchmarks.cases import Case, arrays


def version() -> str:
    return str(sklearn.__version__)


def call(case: Case) -> Callable[[], Any] | None:
    if case.loss != "bce":
        return None
    a = arrays(case)
    x, y = a.x.ravel(), a.y.ravel()
    loss, grad = np.ones_like(x), np.ones_like(x)
    half_binomial, n_threads = HalfBinomialLoss(), len(os.sched_getaffinity(0))
    if case.what == "value":
        return lambda: half_binomial.loss(y, x, loss_out=loss, n_threads=n_threads).mean()

    def value_and_grad() -> Any:
        half_binomial.loss_gradient(y, x, loss_out=loss, gradient_out=grad, n_threads=n_threads)
        return loss.mean(), np.divide(grad, grad.size, out=grad)

    return value_and_grad
