"""torch.compile in its best form: loss and gradient as one graph, or a compiled loss and then backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.peers.torch import LOSSES, tensors, version, with_backward
from benchmarks.timing import fastest

__all__ = ["LOSSES", "call", "version"]


def call(case: Case) -> Callable[[], Any]:
    torch._dynamo.reset()  # else other shapes and dtypes of one loss count as its recompilations, which are limited
    loss, x = tensors(case)
    if case.what == "value":
        return partial(torch.compile(loss, dynamic=False), x)
    joint = torch.compile(torch.func.grad_and_value(loss), dynamic=False)
    separate = torch.compile(loss, dynamic=False)
    return fastest([partial(swapped, joint, x), partial(with_backward, separate, x.detach().requires_grad_())])


def swapped(joint: Callable[[Any], Any], x: Any) -> Any:
    grad, value = joint(x)
    return value, grad
