"""Losses for scikit-learn's HistGradientBoosting estimators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossext._validate import FLOAT32, Array
from lossext.boosting._adapter import Adapter, require
from lossext.boosting._builtin import version
from lossext.boosting._estimators import OF_CLASSES, indicators, probabilities, start_of
from lossext.losses._dense import DenseLoss

require("sklearn")
OLDEST, NEWEST = (1, 6), (1, 9)  # BaseLoss is private there: what it asks is tested on these

if not OLDEST <= version("sklearn") <= NEWEST:
    raise ImportError(
        f"hgb_loss needs scikit-learn {'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}, whose private "
        f"BaseLoss it is made for; installed is {'.'.join(map(str, version('sklearn')))}"
    )

from sklearn._loss.loss import AbsoluteError, BaseLoss, PinballLoss  # noqa: E402

# whose leaves scikit-learn renews, by medians and quantiles of its own
RENEWED = {
    "l1_loss": lambda loss: AbsoluteError(),
    "pinball_loss": lambda loss: PinballLoss(quantile=loss.quantile),
}


class HGBObjective(Adapter):
    """The derivatives of a loss, as HistGradientBoosting calls for them."""

    library = "sklearn"

    def __init__(self, loss: DenseLoss, curvature: str | None = None) -> None:
        self._set_parameters(**self._own_parameters(loss, curvature, 1.0))


class HGBLink:
    """A loss's link as scikit-learn's."""

    def __init__(self, loss: DenseLoss) -> None:
        self.loss = loss
        # what is done with means beside inverse() is up to HGBLoss
        self.interval_y_pred = None

    def inverse(self, raw_prediction: Array, out: Array | None = None) -> Array:
        """Means of raw scores; the scores where there is no link."""
        raw = np.asarray(raw_prediction)
        mean = raw.copy() if self.loss.declaration.link is None else self.loss.inverse_link(raw)
        if out is None:
            return mean
        out[...] = mean
        return out


class HGBLoss(BaseLoss):  # type: ignore[misc]
    """What `hgb_loss` makes: scikit-learn's `BaseLoss` around a loss of this package."""

    def __init__(self, loss: DenseLoss, curvature: str | None) -> None:
        self.objective = HGBObjective(loss, curvature)
        if loss._n_outputs:
            raise ValueError(f"loss = {loss!r} has several outputs; HistGradientBoosting has one: give one quantile")
        super().__init__(closs=None, link=HGBLink(loss))
        facts = loss.declaration
        # scikit-learn then makes a leaf what fit_intercept_only says of its residuals
        self.differentiable = facts.smooth or loss._target.kind != "real"
        self.approx_hessian = not facts.smooth
        self.n_classes = 1
        of = RENEWED.get(facts.function)
        self._own = of(loss) if of is not None else None

    @property
    def lossext_loss(self) -> DenseLoss:
        """The loss it was made of."""
        return self.objective.loss

    def __repr__(self) -> str:
        return f"hgb_loss({self.lossext_loss!r})"

    def in_y_true_range(self, y: Array) -> bool:
        """Whether all targets are of the loss's domain."""
        return not self.lossext_loss._target.is_bad(np.asarray(y)).any()

    def _columns(self, raw: Array) -> Array:
        return raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw

    def loss(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        loss_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        """Value of each row, weighted."""
        values = self.objective._values(np.asarray(raw_prediction), np.asarray(y_true), sample_weight)
        if loss_out is None:
            return values
        loss_out[...] = values
        return loss_out

    def gradient_hessian(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        hessian_out: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        """Gradient and Hessian of raw_prediction's shape, into the arrays given."""
        raw = self._columns(np.asarray(raw_prediction))
        given = [a for a in (gradient_out, hessian_out) if a is not None and a.dtype is FLOAT32]
        out = tuple(a.reshape(len(raw), -1) for a in given) if len(given) == 2 else None
        grad, hess = self.objective._derivatives(raw, np.asarray(y_true), sample_weight, "F", out)  # type: ignore[arg-type]
        if self._own is not None:  # there the kink belongs to the targets above
            kink, weight = raw == y_true, 1.0 if sample_weight is None else sample_weight
            share = getattr(self.lossext_loss, "quantile", 1.0)
            grad[kink] = np.broadcast_to(-share * weight, kink.shape)[kink]
            hess[kink] = np.broadcast_to(weight, kink.shape)[kink]
        results = []
        for part, wanted in ((grad, gradient_out), (hess, hessian_out)):
            if wanted is None:
                results.append(part)
            else:
                if out is None:
                    wanted.reshape(part.shape, order="A")[...] = part
                results.append(wanted)
        return results[0], results[1]

    def gradient(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        """Gradient of raw_prediction's shape."""
        return self.gradient_hessian(y_true, raw_prediction, sample_weight, gradient_out)[0]

    def loss_gradient(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        loss_out: Array | None = None,
        gradient_out: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        """Value of each row, and the gradient."""
        return (
            self.loss(y_true, raw_prediction, sample_weight, loss_out),
            self.gradient(y_true, raw_prediction, sample_weight, gradient_out),
        )

    def __call__(
        self, y_true: Array, raw_prediction: Array, sample_weight: Array | None = None, n_threads: int = 1
    ) -> float:
        """Weighted mean of the rows' values."""
        return float(np.average(self.loss(y_true, raw_prediction), weights=sample_weight))

    def fit_intercept_only(self, y_true: Array, sample_weight: Array | None = None) -> Any:
        """The start; of residuals, what a leaf is to be. Tells how many columns the scores have."""
        loss, y = self.lossext_loss, np.asarray(y_true)
        if self._own is not None:
            return self._own.fit_intercept_only(y, sample_weight)
        if loss._target.kind not in OF_CLASSES:
            return np.float64(start_of(self.objective, y, sample_weight))
        n_classes = math.floor(float(np.max(y, initial=0))) + 1
        self.is_multiclass = n_classes > 2
        self.n_classes = n_classes if self.is_multiclass else 1
        if loss.declaration.takes_ids and not self.is_multiclass:
            return np.float64(start_of(self.objective, y.astype(np.int64), sample_weight))
        if self.is_multiclass or loss.declaration.takes_ids or loss.declaration.target.sign:
            y = indicators(loss, y.astype(np.int64), n_classes)
        raw = np.broadcast_to(start_of(self.objective, y, sample_weight), (self.n_classes,))
        return raw.copy() if self.is_multiclass else np.float64(raw[0])


class HGBProbabilityLoss(HGBLoss):
    """The same for losses whose scores are those of probabilities."""

    def predict_proba(self, raw_prediction: Array) -> Array:
        """Probabilities of the classes, (N, K)."""
        return probabilities(self.lossext_loss, self._columns(np.asarray(raw_prediction)))


def hgb_loss(loss: DenseLoss, curvature: str | None = None) -> HGBLoss:
    """A loss for ``loss=`` of scikit-learn's `HistGradientBoostingRegressor` and `HistGradientBoostingClassifier`.

    Parameters
    ----------
    loss : loss object
        Any whose input is a free score. Of more than two classes, losses of one score go class against all others.
    curvature : str, optional
        What the Hessian is: ``"builtin"``, scikit-learn's own rule for that loss, or a kind that the loss has. Default:
        ``"builtin"`` where there is one.

    Returns
    -------
    sklearn._loss.loss.BaseLoss
        For any number of fits, one at a time.

    Raises
    ------
    ImportError
        scikit-learn is missing, or of a version that this is not made for: 1.6 to 1.9.
    TypeError
        loss is not a loss object.
    ValueError
        A loss that cannot be boosted, of several quantiles at once, or a curvature that there is not. While fitting,
        labels that the loss does not take, by row.

    Notes
    -----
    Half squared error, absolute error, pinball, Poisson and gamma deviance, binary and multiclass cross entropy grow
    the trees that scikit-learn's own losses grow. Losses of the residual that have a kink get leaves that minimise
    them. The classifier has `predict_proba` where the loss has a link.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import hgb_loss
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> X, y = np.arange(80.0).reshape(80, 1), np.repeat([1.0, 5.0], 40)
    >>> model = HistGradientBoostingRegressor(loss=hgb_loss(lx.HuberLoss(delta=2.0)), max_iter=200)
    >>> print(model.fit(X, y).predict([[3.0], [73.0]]).round(2))
    [1. 5.]
    """
    kind = HGBProbabilityLoss if link_of_classes(loss) else HGBLoss
    return kind(loss, curvature)


def link_of_classes(loss: Any) -> bool:
    """Whether the scores are those of probabilities of classes."""
    return isinstance(loss, DenseLoss) and loss.declaration.link is not None and loss._target.kind in OF_CLASSES
