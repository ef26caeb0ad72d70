"""XGBoost's estimators with any loss of this package."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from lossext._validate import Array
from lossext.boosting._adapter import require
from lossext.boosting._builtin import newton_step, version
from lossext.boosting._estimators import (
    OWN,
    OnPredictions,
    asks,
    chosen,
    class_numbers,
    class_weights,
    constructor_of,
    encode,
    indicators,
    library_asks,
    means,
    numbers,
    numbers_of,
    probabilities,
    product,
    refuse_objective,
    start_of,
    where_probabilities,
    without_objective,
)
from lossext.boosting.xgboost import XGBoostMetric, XGBoostObjective, in_link_of
from lossext.losses._dense import DenseLoss

xgboost = require("xgboost")


BY_ORDER = ("auc", "aucpr")  # metrics of its own that need no link


class Fitting:
    """What the two estimators share."""

    eval_metric: Any
    objective: Any
    loss: Any
    curvature: str | None
    _standard: str  # the objective that the library makes it

    def _all_parameters(self, parent: Any, deep: bool) -> dict[str, Any]:
        """Parameters of this and of the library's estimator, which looks for its own in the first base it finds."""
        plain = copy.copy(self)
        plain.__class__ = parent
        return {**BaseEstimator.get_params(self, deep), **parent.get_params(plain, deep)}

    def _library_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        """What the library may see of the parameters."""
        params = {k: v for k, v in params.items() if k not in (*OWN, "class_weight", "scale_pos_weight")}
        return {**params, **self.__dict__.get("_given", {})}

    def _metrics(self, objective: XGBoostObjective, stored: str) -> list[Any]:
        """Others, and the loss's own as the last, on which early stopping goes."""
        given = self.eval_metric
        metrics: list[Any] = []
        for metric in [] if given is None else [given] if callable(given) or isinstance(given, str) else given:
            if isinstance(metric, str) and metric not in BY_ORDER and stored != objective.same_link:
                raise ValueError(
                    f"eval_metric {metric!r} of XGBoost would be computed with the link of {stored!r}, which is not "
                    f"that of {objective.loss!r}; allowed are {', '.join(map(repr, BY_ORDER))} and a function, which "
                    "gets predictions and takes the place of the loss"
                )
            metrics.append(metric)
        if any(callable(metric) for metric in metrics):  # XGBoost takes one
            answer = functools.partial(answers, objective.loss)
            return [
                OnPredictions(m, answer) if callable(m) and not isinstance(m, XGBoostMetric) else m for m in metrics
            ]
        return [*metrics, objective.metric]

    def _train(
        self, parent: Any, objective: XGBoostObjective, stored: str, start: Any, *args: Any, **more: Any
    ) -> None:
        """The library's fit with objective and metric in their places for that time."""
        params = self.get_params()  # type: ignore[attr-defined]
        given: dict[str, Any] = {"disable_default_eval_metric": 1}
        if params.get("base_score") is None and more.get("xgb_model") is None and not held_back(start):
            given["base_score"] = in_link_of(stored, start)
        rule = objective._rule
        if rule.objective == "count:poisson" and params.get("max_delta_step") is None:
            given["max_delta_step"] = 0.7  # as XGBoost for its own
        if objective.loss._n_outputs > 1:
            given["num_class"] = objective.loss._n_outputs
        theirs = self.objective, self.eval_metric
        metrics = self._metrics(objective, stored)
        self._given = given
        # XGBoost takes the names out of a list only if there are any
        self.objective, self.eval_metric = objective, metrics if len(metrics) > 1 else metrics[0]
        try:
            with library_asks():
                parent(*args, **more)
        finally:
            self.objective, self.eval_metric = theirs
            self._given = {}

    def _raw(self, X: Any, **more: Any) -> Array:
        with library_asks():
            raw: Array = xgboost.XGBModel.predict(self, X, output_margin=True, **more)
        return raw


def held_back(start: Any) -> bool:
    """Whether this version knows no start for each column."""
    return np.ndim(start) > 0 and version("xgboost") < (3, 1)


def answers(loss: DenseLoss, scores: Array) -> Array:
    """What functions for ``eval_metric`` get."""
    if loss.declaration.link and loss.declaration.takes_ids:
        return probabilities(loss, scores)
    return means(loss, scores)


class XGBClassifier(Fitting, xgboost.XGBClassifier):  # type: ignore[misc, name-defined]
    """`xgboost.XGBClassifier` of any loss of classes: objective, metric, start and link belong together.

    Parameters
    ----------
    loss : loss object or str, optional
        A loss whose targets are classes, in [0, 1] or -1 and 1, or the name of its function, such as
        ``"sigmoid_focal_loss"``. Of more than two classes, losses of one score go class against all others. Default:
        binary cross entropy, and cross entropy for more classes. Labels of shape (N, C) of 0 and 1 are multilabel.
    curvature : str, optional
        As of `XGBoostObjective`.
    class_weight : dict or "balanced", optional
        As elsewhere in scikit-learn.
    **parameters
        Those of `xgboost.XGBClassifier`, but ``objective``. ``scale_pos_weight`` reaches the objective.

    Raises
    ------
    TypeError
        ``objective`` is given; loss is neither a loss nor a name.
    ValueError
        While fitting: a loss that cannot be boosted, or is for a regressor, an unknown name or curvature, a metric of
        XGBoost that would take another link.

    Notes
    -----
    The loss is the metric of evaluation sets, after others, and early stopping looks at it alone; a function for
    ``eval_metric`` takes its place, and gets probabilities (scores where the loss has no link). `predict_proba` is
    there for losses with a link. Labels may be strings. XGBoost before 3.1 has no start for each column: 0.5 is that
    of all.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import XGBClassifier
    >>> X, y = np.arange(40.0).reshape(40, 1), np.repeat(["no", "yes"], 20)
    >>> model = XGBClassifier(loss=lx.SigmoidFocalLoss(), n_estimators=10)
    >>> print(model.fit(X, y).predict([[3.0], [33.0]]))
    ['no' 'yes']
    """

    def __init__(
        self, *, loss: Any = None, curvature: str | None = None, class_weight: Any = None, **parameters: Any
    ) -> None:
        refuse_objective(parameters)
        super().__init__(**{k: v for k, v in parameters.items() if k != "objective"})
        self.loss = loss
        self.curvature = curvature
        self.class_weight = class_weight

    __init__.__signature__ = constructor_of(xgboost.XGBClassifier, "class_weight")  # type: ignore[attr-defined]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, without objective."""
        return without_objective(self, self._all_parameters(xgboost.XGBClassifier, deep))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.loss is None or not chosen(self.loss, 2).declaration.takes_ids
        return tags

    @property
    def classes_(self) -> Array:
        """The labels of the classes."""
        if asks() or "_classes" not in self.__dict__:
            return np.arange(self.n_classes_)
        classes: Array = self._classes
        return classes

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        eval_set: Any = None,
        verbose: Any = False,
        **more: Any,
    ) -> XGBClassifier:
        """As `xgboost.XGBClassifier.fit`, but quiet."""
        classes, codes = encode(y)
        loss = chosen(self.loss, len(classes))
        if codes.ndim == 2 and loss.declaration.takes_ids:
            raise ValueError(f"loss = {loss!r} takes one class per row, and y has shape {codes.shape}")
        factor = self.get_params().get("scale_pos_weight") or 1.0
        objective = XGBoostObjective(loss, self.curvature, factor if len(classes) == 2 else 1.0)
        stored = "multi:softprob" if len(classes) > 2 else "binary:logistic"
        weight, target = (
            product(sample_weight, class_weights(self.class_weight, y)),
            indicators(loss, codes, len(classes)),
        )
        start = start_of(objective, target, weight)
        if objective.scale_pos_weight != 1 and objective._rule.objective == "binary:logistic" and codes.ndim == 1:
            start = newton_step(loss, target, product(weight, np.where(codes == 1, factor, 1.0)))  # as XGBoost's own
        if eval_set is not None:
            eval_set = [(part, codes if labels is y else numbers_of(classes, labels)) for part, labels in eval_set]
        self._train(
            super().fit, objective, stored, start, X, codes, sample_weight=weight, eval_set=eval_set, verbose=verbose,
            **more,
        )  # fmt: skip
        self._classes = classes
        return self

    def predict(self, X: Any, *, output_margin: bool = False, **more: Any) -> Any:
        """Classes; raw scores if asked. 0 and 1 of shape (N, C) for multilabel."""
        raw = self._raw(X, **more)
        if output_margin:
            return raw
        if self._multilabel(raw):
            return (raw > 0).astype(np.intp)
        return self.classes_[class_numbers(raw)]

    def _multilabel(self, raw: Array) -> bool:
        return raw.ndim == 2 and self.n_classes_ == 2

    @where_probabilities  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, **more: Any) -> Array:
        """Probabilities of the classes, (N, K), or of the labels, (N, C), by the loss's link."""
        raw = self._raw(X, **more)
        loss = chosen(self.loss, self.n_classes_)
        return loss.inverse_link(raw) if self._multilabel(raw) else probabilities(loss, raw)

    def decision_function(self, X: Any, **more: Any) -> Array:
        """Raw scores, (N,) for two classes, else (N, K)."""
        return self._raw(X, **more)


class XGBRegressor(Fitting, xgboost.XGBRegressor):  # type: ignore[misc, name-defined]
    """`xgboost.XGBRegressor` of any loss of numbers: objective, metric, start and link belong together.

    Parameters
    ----------
    loss : loss object or str, optional
        A loss whose targets are numbers, or the name of its function, such as ``"huber_loss"``. Of several quantiles or
        expectiles `predict` gives a column each. Default: half the squared error.
    curvature : str, optional
        As of `XGBoostObjective`.
    **parameters
        Those of `xgboost.XGBRegressor`, but ``objective``.

    Raises
    ------
    TypeError, ValueError
        As of `XGBClassifier`.

    Notes
    -----
    `predict` gives means by the loss's link, such as expected counts. As of `XGBClassifier` besides.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import XGBRegressor
    >>> X, y = np.arange(40.0).reshape(40, 1), np.repeat([1.0, 5.0], 20)
    >>> model = XGBRegressor(loss=lx.HalfPoissonLoss())
    >>> print(model.fit(X, y).predict([[3.0], [33.0]]).round(1))
    [1. 5.]
    """

    def __init__(self, *, loss: Any = None, curvature: str | None = None, **parameters: Any) -> None:
        refuse_objective(parameters)
        super().__init__(**{k: v for k, v in parameters.items() if k != "objective"})
        self.loss = loss
        self.curvature = curvature

    __init__.__signature__ = constructor_of(xgboost.XGBRegressor)  # type: ignore[attr-defined]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, without objective."""
        return without_objective(self, self._all_parameters(xgboost.XGBRegressor, deep))

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, verbose: Any = False, **more: Any) -> XGBRegressor:
        """As `xgboost.XGBRegressor.fit`, but quiet."""
        loss = chosen(self.loss, None)
        objective = XGBoostObjective(loss, self.curvature)
        start = start_of(objective, numbers(y), product(sample_weight))
        self._train(
            super().fit,
            objective,
            "reg:squarederror",
            start,
            X,
            y,
            sample_weight=sample_weight,
            verbose=verbose,
            **more,
        )
        return self

    def predict(self, X: Any, *, output_margin: bool = False, **more: Any) -> Array:
        """Means; raw scores if asked."""
        raw = self._raw(X, **more)
        return raw if output_margin else means(chosen(self.loss, None), raw)
