"""What the estimators ask a loss: its declaration, and where its parameters decide, the loss itself."""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any

import numpy as np

from lossext._declare import registry
from lossext._validate import Array
from lossext.losses._dense import DenseLoss

CLASSIFICATION = ("class", "unit", "sign")  # kinds of targets
REGRESSION = ("real", "non_negative", "positive")


def name_of(cls: type[DenseLoss]) -> str:
    """The word for a loss: "bce_with_logits" for BCEWithLogitsLoss."""
    name = cls.__name__.removesuffix("Loss").replace("MultiLabel", "Multilabel")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def kind_of(loss: type[DenseLoss] | DenseLoss) -> str:
    """Kind of the targets: "class", "unit", "sign", "real" and so on."""
    target = loss.declaration.target if isinstance(loss, type) else loss._target
    return str(target.kind)


def fitting(kinds: tuple[str, ...]) -> dict[str, type[DenseLoss]]:
    """Losses of linear scores with such targets, by name."""
    return _fitting(kinds, registry())


@functools.lru_cache
def _fitting(kinds: tuple[str, ...], classes: tuple[type[DenseLoss], ...]) -> dict[str, type[DenseLoss]]:
    return {name_of(cls): cls for cls in classes if cls.declaration.linear_score and kind_of(cls) in kinds}


def find(loss: Any, kinds: tuple[str, ...], owner: str) -> DenseLoss:
    """A loss by name or object as an object; ValueError names the losses that fit."""
    if isinstance(loss, DenseLoss) and loss.declaration.linear_score and kind_of(loss) in kinds:
        return loss
    choice = fitting(kinds)
    if isinstance(loss, str) and loss in choice:
        return choice[loss]()
    names = ", ".join(map(repr, sorted(choice)))
    near = difflib.get_close_matches(loss, choice, 1) if isinstance(loss, str) else []
    raise ValueError(
        f"The 'loss' parameter of {owner} must be a str among {{{names}}} or an object of one of these losses. "
        f"Got {loss!r} instead.{f' Did you mean {near[0]!r}?' if near else ''}"
    )


def parameters_of(loss: DenseLoss) -> dict[str, Any]:
    """The parameters of a loss by name."""
    return dict(loss._parameters)


def changed(loss: DenseLoss, **parameters: Any) -> DenseLoss:
    """The loss with other values of those of the parameters that it has."""
    own = parameters_of(loss)
    return type(loss)(**{**own, **{name: value for name, value in parameters.items() if name in own}})


def is_piecewise_linear(loss: DenseLoss) -> bool:
    """Whether the second derivative is 0 wherever there is one."""
    if loss.declaration.smooth:
        return False
    plain = changed(loss, weight=None, reduction="sum")
    grid = np.linspace(-3.03, 3.05, 38)
    if kind_of(loss) == "class":
        scores, target = np.column_stack((grid, np.zeros_like(grid))), np.zeros(len(grid), np.int64)
    else:
        n_columns = columns_of(loss) or 1
        scores = np.repeat(grid[:, np.newaxis], n_columns, axis=1)
        target = np.ones((len(grid), 1) if columns_of(loss) is None else len(grid), np.int8)
    curvature: Array = plain.grad_and_hess(scores, target)[1]
    return not curvature.any()


def columns_of(loss: DenseLoss) -> int | None:
    """Number of scores of a row that a sequence of parameters asks for: one a quantile; None where there is none."""
    lengths = {
        np.size(value) for name, value in parameters_of(loss).items()
        if name not in loss.declaration.weights and np.ndim(value) == 1
    }  # fmt: skip
    return lengths.pop() if lengths else None


def log_odds(loss: DenseLoss) -> float | None:
    """By what a score, or the difference of two classes', is multiplied to be the logarithm of odds; None without."""
    if loss.declaration.link is None or loss.declaration.link.name not in ("logit", "half_logit", "softmax"):
        return None
    shares = np.ravel(loss.inverse_link(np.array([[0.0, 0.5]])))  # of the second against the first, or each for itself
    second = float(shares[1])
    return round(float(np.log(second) - np.log1p(-second)) / 0.5, 12)
