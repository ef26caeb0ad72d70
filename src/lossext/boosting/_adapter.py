"""What the adapters share: from raw scores, labels and weights of a boosting library to derivatives and values."""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext._parameters import Parameter, Parameterized, borrowing
from lossext._validate import Array
from lossext.losses._dense import CLASS, SIGN, DenseLoss
from lossext.losses._logistic import LogisticLink
from lossext.losses.hinge_embedding import HingeEmbeddingLoss
from lossext.losses.multi_margin import MultiMarginLoss

SMALLEST_HESS = 1e-16
NEAR_KINK = 0.5  # in margins: less slows leaves that hold rows of both sides, more is no better than the bare slope


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


def curvature(loss: DenseLoss, scores: Array, target: Array, grad: Array, hess: Array) -> Array:
    """The Hessian, or what stands in for it where the loss is a sum of hinges.

    That is the curvature of the parabolas which touch the hinges at the scores and have their minimum at the kinks: of
    the squared hinges, each weighted so that it majorises its hinge.
    """
    if isinstance(loss, MultiMarginLoss) and loss.p == 1:
        own = target[:, np.newaxis]
        to_kink = loss.margin - np.take_along_axis(scores, own, axis=1) + scores
    elif isinstance(loss, HingeEmbeddingLoss):
        to_kink = np.where(target > 0, scores, loss.margin - scores)
    else:
        return hess
    secant: Array = np.abs(grad) / np.maximum(to_kink, NEAR_KINK * (abs(loss.margin) or 1.0))
    if loss.declaration.target is CLASS:  # the class's score is in every hinge of the row
        np.put_along_axis(secant, own, 0, axis=1)
        np.put_along_axis(secant, own, secant.sum(axis=1, keepdims=True), axis=1)
    return secant


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
        return borrowing(type(self.loss), **{**self.loss._parameters, "reduction": "sum"})

    @property
    def _name(self) -> str:
        return self.loss.declaration.function

    def predict(self, raw: npt.ArrayLike) -> Array:
        """Probabilities of the model's raw scores; the scores themselves where the loss has no link."""
        scores = np.asarray(raw)
        return self.loss.inverse_link(scores) if isinstance(self.loss, LogisticLink) else scores

    def _arranged(self, raw: Array, target: Array) -> tuple[Array, Array]:
        """Scores and targets as the loss takes them."""
        kind = self.loss.declaration.target
        if kind is CLASS:
            classes = target.astype(np.int64)
            if (classes != target).any():
                raise ValueError(f"label {target[classes != target][0]} is not a class id")
            return np.column_stack((np.zeros_like(raw), raw)) if raw.ndim == 1 else raw, classes
        if self.loss.declaration.ranks == (2,) and raw.ndim == 1:
            raw = raw[:, np.newaxis]
        if kind is SIGN:
            target = np.where(target == 0, -1, target)
        if target.size != raw.size:
            raise ValueError(f"labels of shape {target.shape} do not go with raw scores of shape {raw.shape}")
        return raw, target.reshape(raw.shape)

    def _derivatives(self, raw: Array, target: Array, weight: Array | None) -> tuple[Array, Array]:
        """Gradient and positive Hessian, of raw's shape."""
        scores, target = self._arranged(raw, target)
        undo_mean = float(scores.shape[1]) if self.loss.declaration.value_by_row else 1.0
        grad, hess = self._summed.grad_and_hess(scores, target, sample_weight=weight, grad_output=undo_mean)
        hess = curvature(self.loss, scores, target, grad, hess)
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
