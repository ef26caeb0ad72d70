"""jax.jit of the loss, or of its value_and_grad."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import COMMON, Case, arrays

jax.config.update("jax_enable_x64", True)


def version() -> str:
    return str(jax.__version__)


def call(case: Case) -> Callable[[], Any]:
    a = arrays(case)
    loss: Callable[..., Any] = partial(logistic, w=a.w, q=a.q)
    if case.loss in OTHERS:
        loss = OTHERS[case.loss]
    elif "multi_margin" in case.loss:
        loss = partial(multi_margin, p=int(case.loss[-1]))
    elif case.loss == "hinge_embedding":
        loss = hinge_embedding
    compiled = jax.jit(loss if case.what == "value" else jax.value_and_grad(loss))
    x, y = jnp.array(a.x), jnp.array(a.y)
    return lambda: jax.block_until_ready(compiled(x, y))


def logistic(x: Any, y: Any, w: Any, q: Any) -> Any:
    """Multilabel soft margin and BCE: the mean over everything is the same."""
    positive, negative = y * jax.nn.softplus(-x), (1 - y) * jax.nn.softplus(x)
    loss = (positive if q is None else q * positive) + negative
    return jnp.mean(loss if w is None else w * loss)


def multi_margin(x: Any, y: Any, p: int) -> Any:
    z = jnp.maximum(1 - jnp.take_along_axis(x, y[:, None], axis=1) + x, 0) ** p
    return jnp.sum(jnp.where(jnp.arange(x.shape[1]) == y[:, None], 0, z)) / x.size


def hinge_embedding(x: Any, y: Any) -> Any:
    return jnp.mean(jnp.where(y == 1, x, jnp.maximum(1 - x, 0)))


def cross_entropy(x: Any, y: Any) -> Any:
    own = jnp.take_along_axis(x, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(x, axis=1) - own)


def mse(x: Any, y: Any) -> Any:
    return jnp.mean((x - y) ** 2)


def l1(x: Any, y: Any) -> Any:
    return jnp.mean(jnp.abs(x - y))


def huber(x: Any, y: Any) -> Any:
    """With a bound of 1, also smooth L1."""
    d = jnp.abs(x - y)
    return jnp.mean(jnp.where(d < 1, d * d / 2, d - 0.5))


OTHERS = {"cross_entropy": cross_entropy, "mse": mse, "l1": l1, "huber": huber, "smooth_l1": huber}
LOSSES = {*COMMON, *OTHERS}
