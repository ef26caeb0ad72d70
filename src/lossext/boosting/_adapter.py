"""What the adapters share: from raw scores, labels and weights of a boosting library to derivatives and values."""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext._parameters import Parameter, Parameterized
from lossext._validate import Array
from lossext.losses._dense import DenseLoss

SMALLEST_HESS = 1e-16


def require(library: str) -> Any:
    """The library, or an ImportError that says how to get it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(f"this needs {library}: pip install 'lossext[{library}]'", name=library) from error


def raw_target_weight(first: Any, second: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Arguments of a call in one order.

    A native interface calls with (raw scores, data set), a scikit-learn one with (labels, raw scores, weights).
    """
    target, raw = first, second
    if is_dataset(second):
        raw, target, weight = first, second.get_label(), second.get_weight()
    return np.asarray(raw), np.asarray(target), None if weight is None or not len(weight) else np.asarray(weight)


def is_dataset(argument: Any) -> bool:
    """Whether this is XGBoost's DMatrix or LightGBM's Dataset."""
    return hasattr(argument, "get_label")


class Adapter(Parameterized):
    """Base of the objectives."""

    loss = Parameter[DenseLoss]()

    @staticmethod
    def _checked_loss(loss: Any) -> DenseLoss:
        if not isinstance(loss, DenseLoss):
            raise TypeError(f"loss must be a loss object such as BCEWithLogitsLoss(), not {loss!r}")
        return loss

    @functools.cached_property
    def _summed(self) -> DenseLoss:
        return self.loss._with(reduction="sum")

    @property
    def _name(self) -> str:
        return self.loss.declaration.function

    def predict(self, raw: npt.ArrayLike) -> Array:
        """Probabilities of the model's raw scores; the scores themselves where the loss has no link."""
        scores = np.asarray(raw)
        return self.loss.inverse_link(scores) if self.loss.declaration.link else scores

    def _arranged(self, raw: Array, target: Array) -> tuple[Array, Array]:
        """Scores and targets as the loss takes them."""
        kind = self.loss.declaration.target
        if self.loss.declaration.takes_ids:
            classes = target.astype(np.int64)
            if (classes != target).any():
                raise ValueError(f"label {target[classes != target][0]} is not a class id")
            return np.column_stack((np.zeros_like(raw), raw)) if raw.ndim == 1 else raw, classes
        if self.loss.declaration.ranks == (2,) and raw.ndim == 1:
            raw = raw[:, np.newaxis]
        if kind.sign:
            target = np.where(target == 0, -1, target)
        if target.size != raw.size:
            raise ValueError(f"labels of shape {target.shape} do not go with raw scores of shape {raw.shape}")
        return raw, target.reshape(raw.shape)

    def _derivatives(self, raw: Array, target: Array, weight: Array | None) -> tuple[Array, Array]:
        """Gradient and positive Hessian, of raw's shape."""
        scores, target = self._arranged(raw, target)
        undo_mean = float(scores.shape[1]) if self.loss.declaration.over_columns else 1.0
        kind = "exact" if self.loss.declaration.smooth else self.loss.declaration.curvatures[-1]
        grad, hess = self._summed.grad_and_hess(
            scores, target, sample_weight=weight, grad_output=undo_mean, curvature=kind
        )
        if grad.size != raw.size:  # two classes, one score
            grad, hess = grad[:, 1], hess[:, 1]
        hess = np.maximum(hess, SMALLEST_HESS)
        return grad.reshape(raw.shape), hess.reshape(raw.shape)

    def _total(self, raw: Array, target: Array, weight: Array | None) -> tuple[float, float]:
        """Weighted sum of the loss, and what to divide it by for the mean."""
        scores, target = self._arranged(raw, target)
        count = float(len(scores) if weight is None else np.sum(weight, dtype=np.float64))
        if not self.loss.declaration.value_by_row:
            count *= scores.size / len(scores)
        return float(self._summed(scores, target, sample_weight=weight)), count

    def _mean(self, raw: Array, target: Array, weight: Array | None) -> float:
        total, count = self._total(raw, target, weight)
        return total / count if count else math.nan


class ShiftedAdapter(Adapter):
    """An adapter that keeps the constant which its library's models do not."""

    init_raw = Parameter[Array]()

    @staticmethod
    def _checked_init_raw(init_raw: Any) -> Array:
        array = np.asarray(init_raw)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"init_raw has dtype {array.dtype}; allowed are real numbers")
        if array.ndim > 1 or not np.isfinite(array).all():
            raise ValueError(f"init_raw = {init_raw!r} is not a finite number, or one for each column")
        return array.astype(np.float64)

    def _shifted(self, raw: Array) -> Array:
        if self.init_raw.shape not in ((), raw.shape[1:]):
            raise ValueError(
                f"init_raw has shape {self.init_raw.shape}; for raw scores of shape {raw.shape} allowed is () or "
                f"{raw.shape[1:]}"
            )
        shifted: Array = raw + self.init_raw
        return shifted

    def _arranged(self, raw: Array, target: Array) -> tuple[Array, Array]:
        return super()._arranged(self._shifted(raw), target)

    def predict(self, raw: npt.ArrayLike) -> Array:
        """Probabilities of the model's raw scores plus ``init_raw``; the sum itself where the loss has no link."""
        return super().predict(self._shifted(np.asarray(raw)))
