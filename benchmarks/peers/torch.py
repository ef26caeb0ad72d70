"""torch, eager: the loss, then backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.cases import COMMON, Case, arrays

OTHERS = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "soft_margin": F.soft_margin_loss,
    "poisson_nll": F.poisson_nll_loss,
    "kl_div": F.kl_div,
    "binary_cross_entropy": F.binary_cross_entropy,
    "cross_entropy": F.cross_entropy,
}
LOSSES = {*COMMON, *OTHERS}


def version() -> str:
    return f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"


def tensors(case: Case) -> tuple[Callable[[Any], Any], Any]:
    """The loss as a function of its input, and the input: clones, which torch aligns as it likes."""
    a = arrays(case)
    x, y = torch.from_numpy(a.x).clone(), torch.from_numpy(a.y).clone()
    if case.loss in OTHERS:
        return partial(OTHERS[case.loss], target=y), x
    if "multi_margin" in case.loss:
        return partial(F.multi_margin_loss, target=y, p=int(case.loss[-1])), x
    if case.loss == "hinge_embedding":
        return partial(F.hinge_embedding_loss, target=y), x
    if case.loss == "multilabel_soft_margin":
        return partial(F.multilabel_soft_margin_loss, target=y), x
    weights = {} if a.w is None else {"weight": torch.from_numpy(a.w), "pos_weight": torch.from_numpy(a.q)}
    return partial(F.binary_cross_entropy_with_logits, target=y, **weights), x


def with_backward(loss: Callable[[Any], Any], x: Any) -> Any:
    value = loss(x)
    (grad,) = torch.autograd.grad(value, x)
    return value, grad


def call(case: Case) -> Callable[[], Any]:
    loss, x = tensors(case)
    if case.what == "value":
        return partial(loss, x)
    return partial(with_backward, loss, x.requires_grad_())
