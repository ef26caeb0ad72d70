"""numba: parallel loops over rows, fastmath, the gradient going into an array of the caller's."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks.cases import COMMON, Case, arrays

jit = numba.njit(parallel=True, fastmath=True, cache=True)


def version() -> str:
    return f"{numba.__version__} ({numba.get_num_threads()} threads)"


def call(case: Case) -> Callable[[], Any]:
    a = arrays(case)
    grad = None if case.what == "value" else np.ones(case.shape, case.dtype)  # numba compiles None as a case of its own
    if case.loss in OTHERS:
        loss = partial(OTHERS[case.loss], a.x, a.y, grad)
    elif "multi_margin" in case.loss:
        loss = partial(multi_margin_p1 if case.loss.endswith("p1") else multi_margin_p2, a.x, a.y, grad)
    elif case.loss == "hinge_embedding":
        loss = partial(hinge_embedding, a.x, a.y, grad)
    elif a.w is None:
        loss = partial(logistic, a.x, a.y, grad)
    else:
        loss = partial(logistic_weighted, a.x, a.y, a.w, a.q, grad)
    return loss if grad is None else lambda: (loss(), grad)


@jit
def logistic(x, y, grad):  # type: ignore[no-untyped-def]
    """Multilabel soft margin and BCE: the mean over everything is the same."""
    total, scale = 0.0, x.dtype.type(1 / x.size)
    for i in numba.prange(x.shape[0]):
        for j in range(x.shape[1]):
            e = math.exp(-abs(x[i, j]))
            total += max(x[i, j], 0) - x[i, j] * y[i, j] + math.log1p(e)
            if grad is not None:
                grad[i, j] = ((1 if x[i, j] >= 0 else e) / (1 + e) - y[i, j]) * scale
    return total / x.size


@jit
def logistic_weighted(x, y, w, q, grad):  # type: ignore[no-untyped-def]
    total, scale = 0.0, x.dtype.type(1 / x.size)
    for i in numba.prange(x.shape[0]):
        for j in range(x.shape[1]):
            e = math.exp(-abs(x[i, j]))
            log1p = math.log1p(e)
            positive, negative = q[j] * y[i, j], 1 - y[i, j]
            total += w[j] * (positive * (max(-x[i, j], 0) + log1p) + negative * (max(x[i, j], 0) + log1p))
            if grad is not None:
                s = (1 if x[i, j] >= 0 else e) / (1 + e)
                grad[i, j] = w[j] * (negative * s - positive * (1 - s)) * scale
    return total / x.size


@jit
def multi_margin_p1(x, y, grad):  # type: ignore[no-untyped-def]
    total, scale = 0.0, x.dtype.type(1 / x.size)
    for i in numba.prange(x.shape[0]):
        known, row, count = 1 - x[i, y[i]], x.dtype.type(0), 0
        for j in range(x.shape[1]):
            z = known + x[i, j]
            above = z > 0 and j != y[i]
            row += z if above else 0
            count += above
            if grad is not None:
                grad[i, j] = scale if above else 0
        total += row
        if grad is not None:
            grad[i, y[i]] = -count * scale
    return total / x.size


@jit
def multi_margin_p2(x, y, grad):  # type: ignore[no-untyped-def]
    total, scale = 0.0, x.dtype.type(2 / x.size)
    for i in numba.prange(x.shape[0]):
        known, row, linear = 1 - x[i, y[i]], x.dtype.type(0), x.dtype.type(0)
        for j in range(x.shape[1]):
            z = known + x[i, j] if j != y[i] else 0
            z = max(z, 0)
            row += z * z
            linear += z
            if grad is not None:
                grad[i, j] = z * scale
        total += row
        if grad is not None:
            grad[i, y[i]] = -linear * scale
    return total / x.size


@jit
def hinge_embedding(x, y, grad):  # type: ignore[no-untyped-def]
    total, scale = 0.0, x.dtype.type(1 / x.size)
    for i in numba.prange(x.shape[0]):
        for j in range(x.shape[1]):
            z = 1 - x[i, j]
            total += x[i, j] if y[i, j] == 1 else max(z, 0)
            if grad is not None:
                grad[i, j] = scale if y[i, j] == 1 else -scale if z >= 0 else 0
    return total / x.size


@jit
def cross_entropy(x, y, grad):  # type: ignore[no-untyped-def]
    total, scale = 0.0, x.dtype.type(1 / x.shape[0])
    for i in numba.prange(x.shape[0]):
        peak = x[i, 0]
        for j in range(1, x.shape[1]):
            peak = max(peak, x[i, j])
        mass = x.dtype.type(0)
        for j in range(x.shape[1]):
            e = math.exp(x[i, j] - peak)
            mass += e
            if grad is not None:
                grad[i, j] = e
        total += math.log(mass) + peak - x[i, y[i]]
        if grad is not None:
            share = scale / mass
            for j in range(x.shape[1]):
                grad[i, j] *= share
            grad[i, y[i]] -= scale
    return total / x.shape[0]


@jit
def mse(x, y, grad):  # type: ignore[no-untyped-def]
    total, scale = 0.0, x.dtype.type(2 / x.size)
    for i in numba.prange(x.shape[0]):
        for j in range(x.shape[1]):
            d = x[i, j] - y[i, j]
            total += d * d
            if grad is not None:
                grad[i, j] = d * scale
    return total / x.size


@jit
def huber(x, y, grad):  # type: ignore[no-untyped-def]
    """With a bound of 1, also smooth L1."""
    total, scale, half = 0.0, x.dtype.type(1 / x.size), x.dtype.type(0.5)
    for i in numba.prange(x.shape[0]):
        for j in range(x.shape[1]):
            d = x[i, j] - y[i, j]
            within = max(min(d, x.dtype.type(1)), x.dtype.type(-1))
            total += within * (d - half * within)
            if grad is not None:
                grad[i, j] = within * scale
    return total / x.size


OTHERS = {"cross_entropy": cross_entropy, "mse": mse, "huber": huber, "smooth_l1": huber}
LOSSES = {*COMMON, *OTHERS}
