"""lossext, the gradient going into an array of the caller's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import lossext
from benchmarks.cases import LOSSES, Case, arrays

__all__ = ["LOSSES", "bind", "call", "out", "version"]


def version() -> str:
    from lossext._kernels import drivers

    return f"{lossext.__version__} ({drivers.isa()})"


def bind(case: Case, **keywords: Any) -> Callable[[], Any]:
    a = arrays(case)
    name, parameters = LOSSES[case.loss]
    if a.w is not None:
        parameters = {"weight": a.w, "pos_weight": a.q}
    loss = getattr(lossext, name)(**parameters)
    return partial(loss if case.what == "value" else loss.value_and_grad, a.x, a.y, **keywords)


def out(case: Case) -> dict[str, Any]:
    """An array that has been written to, so that its pages are there."""
    return {} if case.what == "value" else {"out": np.ones(case.shape, case.dtype)}


def call(case: Case) -> Callable[[], Any]:
    return bind(case, **out(case))
