"""Objectives and metrics for CatBoost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext._declare import CURVATURES
from lossext._validate import Array
from lossext.boosting._adapter import ShiftedAdapter, require
from lossext.boosting._builtin import CLOSEST, SMALLEST_HESS
from lossext.losses._dense import DenseLoss

require("catboost")
from catboost import MultiTargetCustomMetric, MultiTargetCustomObjective  # noqa: E402


class CatBoostMetric:
    """Mean of a loss as a metric of CatBoost; made by `CatBoostObjective.metric`."""

    def __init__(self, objective: CatBoostAdapter) -> None:
        self.objective = objective

    def is_max_optimal(self) -> bool:
        """Lower is better."""
        return False

    def evaluate(self, approxes: Sequence[Array], target: Any, weight: Array | None) -> tuple[float, float]:
        """Sum of the loss, and of what to divide it by."""
        targets = by_row(target)
        if self.objective.loss._n_outputs and targets.ndim == 2:
            targets = targets[:, 0]
        return self.objective._total(by_row(approxes), targets, weight)

    def get_final_error(self, error: float, weight: float) -> float:
        """The mean."""
        return error / weight if weight else math.nan  # CatBoost compiles this where there is Numba


class CatBoostMultiTargetMetric(CatBoostMetric, MultiTargetCustomMetric):  # type: ignore[misc]
    """The same for labels of shape (N, C); made by `CatBoostMultiTargetObjective.metric`."""


def by_row(columns: Any) -> Array:
    """CatBoost's arrays, one per column, as one of shape (N,) or (N, C)."""
    array = np.asarray(columns)
    if array.ndim == 1:
        return array
    return array[0] if len(array) == 1 else array.T


class CatBoostAdapter(ShiftedAdapter):
    """What CatBoost's two kinds of objective share."""

    library = "catboost"

    def __init__(self, loss: DenseLoss, init_raw: npt.ArrayLike = 0.0, curvature: str | None = None) -> None:
        self._set_parameters(**self._own_parameters(loss, curvature, 1.0), init_raw=self._checked_init_raw(init_raw))

    def _derivatives_of_row(self, approx: Array, target: Any, weight: float) -> tuple[Array, Array]:
        """Of a row by itself, as CatBoost asks: for thousands of them, so with as few steps as there can be."""
        facts, kind, columns = self.loss.declaration, self._rule.kind, len(approx)
        quick = facts.smooth or kind == "majorizer" or (facts.takes_ids and self._curves)
        if kind in CURVATURES and quick:
            scale = columns if facts.over_columns else 1.0
            try:
                grads, hesses = self._summed.grad_and_hess(
                    (approx + self.init_raw).reshape(1, columns),
                    self._target_of_row(target, columns),
                    curvature=kind,
                    n_threads=1,
                )
            except ValueError:
                pass  # explained below
            else:
                hess = hesses[0]
                hess *= scale * self._rule.factor(columns)
                if not facts.smooth:
                    hess[np.isinf(hess)] = 1 / CLOSEST
                np.maximum(hess, SMALLEST_HESS, out=hess)
                matrix = np.zeros(columns * columns)
                np.multiply(hess, -weight, out=matrix[:: columns + 1])
                return grads[0] * (-scale * weight), matrix.reshape(columns, columns)
        targets = np.reshape(target, (1, -1))
        if facts.takes_ids or self.loss._n_outputs or np.ndim(target) == 0:
            targets = targets[:, 0]
        grad, hess = self._derivatives(approx[np.newaxis], targets, np.array([weight]))
        return -grad[0], -np.diag(hess[0])

    def _target_of_row(self, target: Any, columns: int) -> Array:
        """As the loss takes it; ValueError for a class that is no integer."""
        if self.loss.declaration.takes_ids and isinstance(target, float) and target == int(target):
            return np.array((int(target),))
        if self.loss._n_outputs or self.loss.declaration.takes_ids:
            own = np.ravel(target)[:1]
            if self.loss.declaration.takes_ids and own[0] != int(own[0]):
                raise ValueError("not a class id")
            return own if self.loss._n_outputs else own.astype(np.int64)
        return self._targets(np.reshape(target, (1, -1) if np.ndim(target) else -1), columns)


class CatBoostObjective(CatBoostAdapter):
    """A loss as the objective of CatBoost, for one label per row: regression, binary or multiclass.

    Parameters
    ----------
    loss : loss object
        Any whose input is a free score. Those of class ids are multiclass if ``classes_count`` or ``class_names`` is
        among CatBoost's parameters.
    init_raw : float or array_like of shape (C,)
        Added to the model's raw scores, in training and by `predict`, such as ``loss.init_raw(y, sample_weight)``.
        CatBoost starts from 0 with a custom objective, and by default with its own.
    curvature : str, optional
        What the Hessian is: ``"builtin"``, the rule of the library's own objective of that loss, or a kind that the
        loss has. Default: see `lossext.boosting`.

    Raises
    ------
    TypeError
        loss is not a loss object; init_raw is not of real numbers.
    ValueError
        A loss that cannot be boosted, with those that can; a curvature that there is not; init_raw is not finite, or of
        rank 2.
    catboost.CatBoostError
        While training, labels that the loss does not take; its text holds the loss's own error.

    Notes
    -----
    CatBoost wants a metric with a custom objective. It calls a multiclass or multilabel objective for one row at a
    time, and takes the Hessian of a row as its diagonal. Its own objectives have other defaults of
    ``leaf_estimation_iterations`` and ``leaf_estimation_method``: the model is the same with the same settings.

    Give ``CatBoostClassifier`` the classes, ``class_names=[0, 1]``: with a custom objective it forgets them, and its
    ``predict`` fails. CatBoost's models do not know the constant: use ``objective.predict(model.predict(X,
    prediction_type="RawFormulaVal"))``. See `lossext.boosting` for labels, weights and Hessians.

    Examples
    --------
    >>> import catboost, lossext as lx, numpy as np
    >>> from lossext.boosting import CatBoostObjective
    >>> X, y = np.arange(8.0).reshape(8, 1), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    >>> loss = lx.BCEWithLogitsLoss(pos_weight=2.0)
    >>> objective = CatBoostObjective(loss, init_raw=loss.init_raw(y))
    >>> model = catboost.CatBoost(dict(loss_function=objective, eval_metric=objective.metric, iterations=10, depth=1,
    ...                                learning_rate=0.3, verbose=False, allow_writing_files=False))
    >>> raw = model.fit(X, y).predict(X, prediction_type="RawFormulaVal")
    >>> probability = objective.predict(raw)
    """

    def calc_ders_range(self, approxes: Array, targets: Array, weights: Array | None) -> Array:
        """First and second derivatives of minus the loss, (N, 2): CatBoost maximises."""
        grad, hess = self._derivatives(approxes, targets, weights)
        return -np.column_stack((grad, hess))

    def calc_ders_multi(self, approx: Array, target: float, weight: float) -> tuple[Array, Array]:
        """First derivatives and Hessian of minus the loss of a row, in the classes' scores."""
        return self._derivatives_of_row(approx, target, weight)

    @property
    def metric(self) -> CatBoostMetric:
        """The mean of the loss, for ``eval_metric``."""
        return CatBoostMetric(self)


class CatBoostMultiTargetObjective(CatBoostAdapter, MultiTargetCustomObjective):  # type: ignore[misc]
    """An elementwise loss as the objective of CatBoost, for labels of shape (N, C): multilabel.

    Parameters, errors and notes as for `CatBoostObjective`; CatBoost itself tells the two apart by their class.
    Besides, ValueError for losses of class ids, of which a row has one.

    Examples
    --------
    >>> import catboost, lossext as lx, numpy as np
    >>> from lossext.boosting import CatBoostMultiTargetObjective
    >>> X, Y = np.arange(8.0).reshape(8, 1), np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 2, axis=0)
    >>> objective = CatBoostMultiTargetObjective(lx.MultiLabelSoftMarginLoss())
    >>> model = catboost.CatBoost(dict(loss_function=objective, eval_metric=objective.metric, iterations=10, depth=1,
    ...                                learning_rate=0.3, verbose=False, allow_writing_files=False))
    >>> raw = model.fit(X, Y).predict(X, prediction_type="RawFormulaVal")
    >>> print(objective.predict(raw).shape)
    (8, 2)
    """

    def __init__(self, loss: DenseLoss, init_raw: npt.ArrayLike = 0.0, curvature: str | None = None) -> None:
        super().__init__(loss, init_raw, curvature)
        if loss.declaration.takes_ids:
            raise ValueError(f"loss = {loss!r} takes one class id per row: for CatBoostObjective")

    def calc_ders_multi(self, approxes: Array, targets: Array, weight: float) -> tuple[Array, Array]:
        """First derivatives and Hessian of minus the loss of a row, in the columns' scores."""
        return self._derivatives_of_row(approxes, targets, weight)

    @property
    def metric(self) -> CatBoostMultiTargetMetric:
        """The mean of the loss, for ``eval_metric``."""
        return CatBoostMultiTargetMetric(self)
