"""Objectives and metrics for LightGBM."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._parameters import Parameter
from lossext._validate import Array
from lossext.boosting._adapter import ShiftedAdapter, raw_target_weight, require
from lossext.losses._dense import DenseLoss

lightgbm = require("lightgbm")


class LightGBMObjective(ShiftedAdapter):
    """A loss as the objective of LightGBM, for `lightgbm.train` and for the scikit-learn interface.

    Parameters
    ----------
    loss : loss object
        Any whose input is a free score, such as ``SigmoidFocalLoss()``, or one of `lossext.custom_loss`.
        Those of class ids are multiclass, with ``num_class`` among the parameters of `lightgbm.train` (the classifier
        sets it itself).
    init_raw : float or array_like of shape (C,)
        Added to the model's raw scores, in training and by `predict`; ``loss.init_raw(y, sample_weight)`` is where
        LightGBM's own objectives start (``boost_from_average``), which it does not do for a custom one.
    label_sets : array_like of shape (K, C), optional
        For multilabel. LightGBM has no labels of shape (N, C): instead, the label of a row is the number of its labels'
        row in this table. ``label_sets, codes = np.unique(Y, axis=0, return_inverse=True)`` makes table and labels;
        ``num_class`` is C. In the scikit-learn interface use ``LGBMRegressor(num_class=C, metric="None")``: the
        classifier would take the numbers for its classes.
    curvature : str, optional
        What the Hessian is: ``"builtin"``, the rule of the library's own objective of that loss, or a kind that the
        loss has. Default: see `lossext.boosting`.
    scale_pos_weight : float
        Multiplies derivatives of rows whose label is 1, as the parameter of that name does for the library's own
        objectives, which does not reach a custom one.

    Raises
    ------
    TypeError
        loss is not a loss object; init_raw or label_sets is not of real numbers.
    ValueError
        A loss that cannot be boosted, with those that can; a curvature that there is not; init_raw is not finite, or of
        rank 2; label_sets is not of rank 2. While training, labels that the loss does not take.

    Notes
    -----
    LightGBM's models know neither the constant nor the link: use ``objective.predict(model.predict(X))``, with
    ``raw_score=True`` for a classifier. See `lossext.boosting` for labels, weights and Hessians.

    Examples
    --------
    >>> import lightgbm, lossext as lx, numpy as np
    >>> from lossext.boosting import LightGBMObjective
    >>> X, y = np.arange(8.0).reshape(8, 1), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    >>> loss = lx.BCEWithLogitsLoss(pos_weight=2.0)
    >>> objective = LightGBMObjective(loss, init_raw=loss.init_raw(y))
    >>> params = {"objective": objective, "min_data_in_leaf": 1, "num_leaves": 2, "verbose": -1}
    >>> booster = lightgbm.train(params, lightgbm.Dataset(X, y), 10, feval=objective.metric)
    >>> probability = objective.predict(booster.predict(X))

    or ``LGBMClassifier(objective=objective).fit(X, y, sample_weight=w, eval_metric=objective.metric)``.
    """

    library = "lightgbm"

    label_sets = Parameter[Array | None]()

    def __init__(
        self,
        loss: DenseLoss,
        init_raw: npt.ArrayLike = 0.0,
        label_sets: npt.ArrayLike | None = None,
        curvature: str | None = None,
        scale_pos_weight: float = 1.0,
    ) -> None:
        table = None
        if label_sets is not None:
            table = _validate.as_array("label_sets", label_sets)
            _validate.require_real("label_sets", table)
            if table.ndim != 2:
                raise ValueError(f"label_sets has shape {table.shape}; allowed is rank 2, (K, C)")
        self._set_parameters(
            **self._own_parameters(loss, curvature, scale_pos_weight),
            init_raw=self._checked_init_raw(init_raw),
            label_sets=table,
        )

    def __call__(self, first: Any, second: Any, weight: Any = None) -> tuple[Array, Array]:
        """Gradient and Hessian of ``objective(raw, dataset)`` or ``objective(y_true, raw, weight)``."""
        return self._derivatives(*raw_target_weight(first, second, weight), order="F")  # class by class, as it lies

    def metric(self, first: Any, second: Any, weight: Any = None) -> tuple[str, float, bool]:
        """Name, mean of the loss, and that lower is better: for ``feval`` of `train` or ``eval_metric`` of `fit`."""
        return self._name, self._mean(*raw_target_weight(first, second, weight)), False

    def _check_shapes(self, raw: Array, target: Array) -> None:
        if self.label_sets is None:
            super()._check_shapes(raw, target)
        elif self.label_sets.shape[1] != raw.shape[1]:
            raise ValueError(
                f"label_sets has shape {self.label_sets.shape}, which does not go with raw scores of shape {raw.shape}"
            )

    def _looked_up(self, target: Array) -> Array:
        if self.label_sets is None:
            return target
        rows = target.astype(np.int64)
        bad = (rows != target) | (rows < 0) | (rows >= len(self.label_sets))
        if bad.any():
            raise ValueError(f"label {target[bad][0]} is not a row of label_sets, 0 to {len(self.label_sets) - 1}")
        return self.label_sets[rows]

    def _targets(self, target: Array, columns: int) -> Array:
        return super()._targets(self._looked_up(target), columns)


# ---- estimators ----
