"""NumPy, as one writes these losses in NumPy with some care: temporaries reused, nothing computed twice."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import Case, arrays


def version() -> str:
    return np.__version__


def call(case: Case) -> Callable[[], Any]:
    a = arrays(case)
    with_grad = case.what != "value"
    if "multi_margin" in case.loss:
        return partial(multi_margin, a.x, a.y, int(case.loss[-1]), with_grad)
    if case.loss == "hinge_embedding":
        return partial(hinge_embedding, a.x, a.y, with_grad)
    return partial(logistic, a.x, a.y, a.w, a.q, with_grad)


def logistic(x: Any, y: Any, w: Any, q: Any, with_grad: bool) -> Any:
    """Multilabel soft margin and BCE: the mean over everything is the same."""
    e = np.exp(-np.abs(x))
    log1p = np.log1p(e)
    positive = np.maximum(-x, 0) + log1p  # softplus(-x)
    negative = np.maximum(x, 0) + log1p
    if q is not None:
        positive *= q
    loss = y * positive + (1 - y) * negative
    if w is not None:
        loss *= w
    value = loss.mean()
    if not with_grad:
        return value
    sigmoid = np.where(x >= 0, 1, e) / (1 + e)
    grad = sigmoid - y if q is None else (1 - y) * sigmoid - q * y * (1 - sigmoid)
    if w is not None:
        grad *= w
    grad /= x.size
    return value, grad


def multi_margin(x: Any, y: Any, p: int, with_grad: bool) -> Any:
    rows = np.arange(len(x))
    z = x - x[rows, y][:, None]
    z += 1
    np.maximum(z, 0, out=z)
    z[rows, y] = 0
    loss = z.sum() if p == 1 else np.vdot(z, z)
    value = loss / x.size
    if not with_grad:
        return value
    grad = (z > 0).astype(x.dtype) if p == 1 else 2 * z
    grad[rows, y] = -grad.sum(axis=1)
    grad /= x.size
    return value, grad


def hinge_embedding(x: Any, y: Any, with_grad: bool) -> Any:
    positive = y == 1
    z = 1 - x
    value = np.where(positive, x, np.maximum(z, 0)).mean()
    if not with_grad:
        return value
    grad = np.where(positive, x.dtype.type(1 / x.size), np.where(z >= 0, x.dtype.type(-1 / x.size), x.dtype.type(0)))
    return value, grad
