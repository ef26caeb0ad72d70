"""MindSpore, eager."""

from collections.abc import Callable
from functools import partial
from typing import Any

import mindspore
from mindspore import Tensor, ops

from benchmarks.cases import Case, arrays


def version() -> str:
    return str(mindspore.__version__)


def call(case: Case) -> Callable[[], Any] | None:
    if case.size > 1_100_000 or case.dtype != "float32":
        return None  # seconds a call, or not supported on the CPU
    a = arrays(case)
    x, y = Tensor(a.x), Tensor(a.y)
    if "multi_margin" in case.loss:
        loss: Callable[..., Any] = partial(ops.multi_margin_loss, target=y, p=int(case.loss[-1]))
    elif case.loss == "hinge_embedding":
        loss = partial(ops.hinge_embedding_loss, targets=y)
    elif case.loss == "multilabel_soft_margin":
        loss = partial(ops.multilabel_soft_margin_loss, target=y)
    else:
        ones = Tensor(a.x[0] * 0 + 1)
        w, q = (ones, ones) if a.w is None else (Tensor(a.w), Tensor(a.q))
        loss = partial(ops.binary_cross_entropy_with_logits, target=y, weight=w, pos_weight=q)
    run = (lambda x: loss(x)) if case.what == "value" else mindspore.value_and_grad(lambda x: loss(x))

    def synchronised() -> Any:
        result = run(x)
        mindspore.runtime.synchronize()
        return result

    return synchronised
