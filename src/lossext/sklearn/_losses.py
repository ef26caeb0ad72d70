"""What the estimators ask a loss: its declaration, and where that is silent, the loss itself."""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any

import numpy as np

from lossext import losses
from lossext._validate import Array
from lossext.losses._dense import DenseLoss

CLASSIFICATION = ("class", "unit", "sign")  # kinds of targets


def all_losses() -> tuple[type[DenseLoss], ...]:
    """Every dense loss."""
    found = (getattr(losses, name) for name in losses.__all__)
    return tuple(cls for cls in found if isinstance(cls, type) and issubclass(cls, DenseLoss))


def name_of(cls: type[DenseLoss]) -> str:
    """The word for a loss: "bce_with_logits" for BCEWithLogitsLoss."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__.removesuffix("Loss")).lower()


def kind_of(loss: type[DenseLoss] | DenseLoss) -> str:
    """Kind of the targets: "class", "unit", "sign", "real" and so on."""
    return str(loss.declaration.target.kind)


def fits_linear_score(cls: type[DenseLoss]) -> bool:
    """Whether a linear model of the score makes sense."""
    return bool(getattr(cls.declaration, "linear_score", not cls.declaration.broadcasts))


@functools.cache
def classification() -> dict[str, type[DenseLoss]]:
    """Losses of classifiers by name."""
    return {name_of(c): c for c in all_losses() if kind_of(c) in CLASSIFICATION and fits_linear_score(c)}


def parameters_of(loss: DenseLoss) -> dict[str, Any]:
    """The parameters of a loss by name."""
    return dict(loss._parameters)


def changed(loss: DenseLoss, **parameters: Any) -> DenseLoss:
    """The loss with other values of those of the parameters that it has."""
    own = parameters_of(loss)
    return type(loss)(**{**own, **{name: value for name, value in parameters.items() if name in own}})


def find(loss: Any, fitting: dict[str, type[DenseLoss]], owner: str) -> DenseLoss:
    """A loss by name or object as an object; ValueError names the losses that fit."""
    if isinstance(loss, str) and loss in fitting:
        return fitting[loss]()
    if isinstance(loss, tuple(fitting.values())):
        return loss
    names = ", ".join(map(repr, sorted(fitting)))
    near = difflib.get_close_matches(loss, fitting, 1) if isinstance(loss, str) else []
    raise ValueError(
        f"The 'loss' parameter of {owner} must be a str among {{{names}}} or an object of one of these losses. "
        f"Got {loss!r} instead.{f' Did you mean {near[0]!r}?' if near else ''}"
    )


@functools.lru_cache
def averages_columns(loss: DenseLoss) -> bool:
    """Whether a row's loss is a mean over its columns, so that a column that matters to none makes it smaller."""
    if kind_of(loss) != "class":
        return False
    plain = changed(loss, weight=None, reduction="sum")
    two, three = (float(plain(np.array([[0.0, 0.5, -1e4][:n]]), np.array([0]))) for n in (2, 3))
    return three < 0.9 * two


def is_piecewise_linear(loss: DenseLoss) -> bool:
    """Whether the second derivative is 0 wherever there is one."""
    plain = changed(loss, weight=None, reduction="sum")
    grid = np.linspace(-3.03, 3.05, 38)
    kind = kind_of(loss)
    if kind == "class":
        scores, target = np.column_stack((grid, np.zeros_like(grid))), np.zeros(len(grid), np.int64)
    else:
        scores, target = grid[:, np.newaxis], np.ones((len(grid), 1), np.int8)
    curvature: Array = plain.grad_and_hess(scores, target)[1]
    return not curvature.any()
