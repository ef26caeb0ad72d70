"""LightGBM's estimators with any loss of this package."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from lossext._validate import Array
from lossext.boosting._adapter import require
from lossext.boosting._estimators import (
    OWN,
    OnPredictions,
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
from lossext.boosting.lightgbm import LightGBMObjective
from lossext.losses._dense import DenseLoss

lightgbm = require("lightgbm")


# LightGBM leaves out features that min_child_samples allows no split of, and without one left an objective that is not
# its own is an error: so few rows are trained without that filter, and more once again
FEW_ROWS = 1000


class ByOrder:
    """A metric that only the order of the scores counts for, by LightGBM's name.

    LightGBM would put its own before that of the loss, and stop by it.
    """

    metrics: ClassVar[dict[str, Any]] = {"auc": roc_auc_score, "average_precision": average_precision_score}

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, y_true: Array, raw: Array, weight: Array | None) -> tuple[str, float, bool]:
        """Name, value, and that higher is better."""
        return self.name, float(self.metrics[self.name](y_true, raw, sample_weight=weight)), True


class Fitting:
    """What the two estimators share."""

    _objective: Any
    init_raw_: Any
    loss: Any
    curvature: str | None

    def _library_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        """What the library may see of the parameters."""
        params = {k: v for k, v in params.items() if k not in OWN}
        return {**params, **self.__dict__.get("_given", {})}

    def _metrics(self, eval_metric: Any, objective: LightGBMObjective, answer: Any) -> list[Any]:
        """The loss's own metric, on which early stopping goes, and others."""
        metrics = [objective.metric]
        for metric in [] if eval_metric is None else eval_metric if isinstance(eval_metric, list) else [eval_metric]:
            if callable(metric) and metric != objective.metric:
                metrics.append(OnPredictions(metric, answer))  # type: ignore[arg-type]
            elif metric in ByOrder.metrics:
                metrics.append(ByOrder(metric))  # type: ignore[arg-type]
            elif not callable(metric):
                raise ValueError(
                    f"eval_metric {metric!r} of LightGBM would be computed of raw scores without start and link; "
                    f"allowed are {', '.join(map(repr, ByOrder.metrics))} for two classes, and functions, which get "
                    "predictions"
                )
        return metrics

    def _train(self, parent: Any, objective: LightGBMObjective, given: dict[str, Any], *args: Any, **more: Any) -> None:
        """The library's fit with the objective in its place for that time."""
        self._given = {"metric": "None", "first_metric_only": True, **given}
        if len(np.asarray(args[1])) < FEW_ROWS:
            self._given["feature_pre_filter"] = False
        self.objective = self._objective = objective
        try:
            try:
                with library_asks():
                    parent(*args, **more)
            except lightgbm.basic.LightGBMError as error:
                if "num_features" not in str(error) or "feature_pre_filter" in self._given:
                    raise
                self._given["feature_pre_filter"] = False
                with library_asks():
                    parent(*args, **more)
        finally:
            self.objective = None  # type: ignore[assignment]
            self._given = {}
        self.init_raw_ = objective.init_raw

    def _start(self, init_score: Any, init_model: Any, objective: LightGBMObjective, y: Any, weight: Any) -> Any:
        """0 where another model or the caller's scores are the start."""
        if init_model is not None:
            return getattr(init_model, "init_raw_", 0.0)
        return 0.0 if init_score is not None else start_of(objective, y, weight)

    def _predict(self, X: Any, raw_score: bool, leaf: bool, contrib: bool, **more: Any) -> Any:
        with library_asks():
            raw = lightgbm.LGBMModel.predict(self, X, raw_score=True, pred_leaf=leaf, pred_contrib=contrib, **more)
        if leaf:
            return raw
        start = self.init_raw_
        if not contrib:
            return raw + start
        columns = max(1, start.size)
        width = raw.shape[1] // (columns if start.ndim else self._columns())
        for c in range(raw.shape[1] // width):
            raw[:, (c + 1) * width - 1] += start[c] if start.ndim else start
        return raw

    def _columns(self) -> int:
        return int(self.booster_.num_model_per_iteration())  # type: ignore[attr-defined]


def labels_of(eval_set: Any, eval_y: Any) -> list[Any]:
    """Labels of all evaluation sets."""
    pairs = [eval_set] if isinstance(eval_set, tuple) else eval_set or []
    more = [] if eval_y is None else list(eval_y) if isinstance(eval_y, tuple) else [eval_y]
    return [*(labels for _, labels in pairs), *more]


class LGBMClassifier(Fitting, lightgbm.LGBMClassifier):  # type: ignore[misc, name-defined]
    """`lightgbm.LGBMClassifier` of any loss of classes: objective, metric, start and link belong together.

    Parameters
    ----------
    loss : loss object or str, optional
        A loss whose targets are classes, in [0, 1] or -1 and 1, or the name of its function, such as
        ``"sigmoid_focal_loss"``. Of more than two classes, losses of one score go class against all others. Default:
        binary cross entropy, and cross entropy for more classes.
    curvature : str, optional
        As of `LightGBMObjective`.
    **parameters
        Those of `lightgbm.LGBMClassifier`, but ``objective``. ``scale_pos_weight`` and ``is_unbalance`` reach the
        objective.

    Attributes
    ----------
    init_raw_ : ndarray
        The start, which is in all answers.

    Raises
    ------
    TypeError
        ``objective`` is given; loss is neither a loss nor a name.
    ValueError
        While fitting: a loss that cannot be boosted, or is for a regressor, an unknown name or curvature, a metric of
        LightGBM that would read raw scores.

    Notes
    -----
    The loss is the metric of evaluation sets; other metrics come after it, and ``early_stopping_round`` looks at it
    alone. Functions for ``eval_metric`` get probabilities (scores where the loss has no link). `predict_proba` is there
    for losses with a link. Contributions contain the start.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import LGBMClassifier
    >>> X, y = np.arange(40.0).reshape(40, 1), np.repeat(["no", "yes"], 20)
    >>> model = LGBMClassifier(loss=lx.SigmoidFocalLoss(), n_estimators=10, min_child_samples=5, verbose=-1)
    >>> print(model.fit(X, y).predict([[3.0], [33.0]]))
    ['no' 'yes']
    """

    def __init__(self, *, loss: Any = None, curvature: str | None = None, **parameters: Any) -> None:
        refuse_objective(parameters)
        super().__init__(**{k: v for k, v in parameters.items() if k != "objective"})
        self.loss = loss
        self.curvature = curvature

    __init__.__signature__ = constructor_of(lightgbm.LGBMClassifier)  # type: ignore[attr-defined]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, without objective."""
        return without_objective(self, super().get_params(deep))

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        init_score: Any = None,
        *,
        eval_metric: Any = None,
        init_model: Any = None,
        **more: Any,
    ) -> LGBMClassifier:
        """As `lightgbm.LGBMClassifier.fit`."""
        classes, codes = encode(y)
        loss = chosen(self.loss, len(classes))
        for labels in labels_of(more.get("eval_set"), more.get("eval_y")):
            numbers_of(classes, labels)  # LightGBM would cut longer strings to the length of the classes
        plain = LightGBMObjective(loss, curvature=self.curvature)
        weight = product(sample_weight, class_weights(self.class_weight, y))
        start = self._start(init_score, init_model, plain, indicators(loss, codes, len(classes)), weight)
        objective = LightGBMObjective(loss, start, None, self.curvature, self._positives(codes, len(classes)))
        answer = functools.partial(answers, loss, objective.init_raw)
        self._train(
            super().fit, objective, {}, X, y, sample_weight=sample_weight, init_score=init_score, init_model=init_model,
            eval_metric=self._metrics(eval_metric, objective, answer), **more,
        )  # fmt: skip
        return self

    def _positives(self, codes: Array, n_classes: int) -> float:
        params = self.get_params()
        if n_classes != 2:
            return 1.0
        if params.get("is_unbalance"):
            return float(np.sum(codes == 0) / np.sum(codes == 1))
        return float(params.get("scale_pos_weight", 1.0))

    def predict(
        self, X: Any, raw_score: bool = False, *, pred_leaf: bool = False, pred_contrib: bool = False, **more: Any
    ) -> Any:
        """Classes; raw scores with the start, leaves or contributions if asked."""
        result = self._predict(X, raw_score, pred_leaf, pred_contrib, **more)
        return result if raw_score or pred_leaf or pred_contrib else self.classes_[class_numbers(result)]

    @where_probabilities  # type: ignore[untyped-decorator]
    def predict_proba(
        self, X: Any, raw_score: bool = False, *, pred_leaf: bool = False, pred_contrib: bool = False, **more: Any
    ) -> Any:
        """Probabilities of the classes, (N, K), by the loss's link."""
        result = self._predict(X, raw_score, pred_leaf, pred_contrib, **more)
        if raw_score or pred_leaf or pred_contrib:
            return result
        return probabilities(self._objective.loss, result)

    def decision_function(self, X: Any, **more: Any) -> Array:
        """Raw scores with the start, (N,) for two classes, else (N, K)."""
        scores: Array = self._predict(X, True, False, False, **more)
        return scores


def answers(loss: DenseLoss, start: Array, raw: Array) -> Array:
    """What functions for ``eval_metric`` get: (N,) probabilities of the second class, or (N, K)."""
    scores = raw + start
    if not loss.declaration.link:
        return scores
    probability = probabilities(loss, scores)
    return probability[:, 1] if scores.ndim == 1 else probability


def means_with(loss: DenseLoss, start: Array, raw: Array) -> Array:
    """Means of raw scores that the model keeps without their start."""
    return means(loss, raw + start)


class LGBMRegressor(Fitting, lightgbm.LGBMRegressor):  # type: ignore[misc, name-defined]
    """`lightgbm.LGBMRegressor` of any loss of numbers: objective, metric, start and link belong together.

    Parameters
    ----------
    loss : loss object or str, optional
        A loss whose targets are numbers, or the name of its function, such as ``"huber_loss"``. Of several quantiles or
        expectiles `predict` gives a column each. Default: half the squared error.
    curvature : str, optional
        As of `LightGBMObjective`.
    **parameters
        Those of `lightgbm.LGBMRegressor`, but ``objective``.

    Attributes
    ----------
    init_raw_ : ndarray
        The start, which is in all answers.

    Raises
    ------
    TypeError, ValueError
        As of `LGBMClassifier`.

    Notes
    -----
    `predict` gives means by the loss's link, such as expected counts. As of `LGBMClassifier` besides.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import LGBMRegressor
    >>> X, y = np.arange(40.0).reshape(40, 1), np.repeat([1.0, 5.0], 20)
    >>> model = LGBMRegressor(loss=lx.HalfPoissonLoss(), n_estimators=100, min_child_samples=5, verbose=-1)
    >>> print(model.fit(X, y).predict([[3.0], [33.0]]).round(1))
    [1. 5.]
    """

    def __init__(self, *, loss: Any = None, curvature: str | None = None, **parameters: Any) -> None:
        refuse_objective(parameters)
        super().__init__(**{k: v for k, v in parameters.items() if k != "objective"})
        self.loss = loss
        self.curvature = curvature

    __init__.__signature__ = constructor_of(lightgbm.LGBMRegressor)  # type: ignore[attr-defined]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, without objective."""
        return without_objective(self, super().get_params(deep))

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        init_score: Any = None,
        *,
        eval_metric: Any = None,
        init_model: Any = None,
        **more: Any,
    ) -> LGBMRegressor:
        """As `lightgbm.LGBMRegressor.fit`."""
        loss = chosen(self.loss, None)
        plain = LightGBMObjective(loss, curvature=self.curvature)
        target = numbers(y)
        start = self._start(init_score, init_model, plain, target, product(sample_weight))
        objective = LightGBMObjective(loss, start, curvature=self.curvature)
        given = {"num_class": loss._n_outputs} if loss._n_outputs > 1 else {}
        answer = functools.partial(means_with, loss, objective.init_raw)
        self._train(
            super().fit, objective, given, X, y, sample_weight=sample_weight, init_score=init_score,
            init_model=init_model, eval_metric=self._metrics(eval_metric, objective, answer), **more,
        )  # fmt: skip
        return self

    def predict(
        self, X: Any, raw_score: bool = False, *, pred_leaf: bool = False, pred_contrib: bool = False, **more: Any
    ) -> Any:
        """Means; raw scores with the start, leaves or contributions if asked."""
        result = self._predict(X, raw_score, pred_leaf, pred_contrib, **more)
        if raw_score or pred_leaf or pred_contrib:
            return result
        return means(self._objective.loss, result)
