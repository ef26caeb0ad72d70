"""CatBoost's estimators with any loss of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lossext._validate import Array
from lossext.boosting._adapter import require
from lossext.boosting._estimators import (
    OWN,
    chosen,
    class_numbers,
    class_weights,
    constructor_of,
    encode,
    indicators,
    means,
    numbers,
    numbers_of,
    probabilities,
    product,
    refuse_objective,
    start_of,
    where_probabilities,
)
from lossext.boosting.catboost import CatBoostMultiTargetObjective, CatBoostObjective

catboost = require("catboost")

POWERS = {"Balanced": 1.0, "SqrtBalanced": 0.5}  # of what auto_class_weights makes equal
WEIGHTS_OF_CLASSES = ("class_weight", "class_weights", "auto_class_weights", "scale_pos_weight")


class Fitting:
    """What the two estimators share."""

    _init_params: dict[str, Any]
    _canonized_params: Any
    _ours: dict[str, Any]

    def _take(self, **own: Any) -> None:
        """Keep our parameters among the library's, which cloning and searches ask for."""
        self._init_params.pop("loss_function", None)  # a default of the library's
        self._init_params.update({name: value for name, value in own.items() if value is not None})
        self._ours = {}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters that were given, and loss and curvature."""
        return {**dict.fromkeys(OWN), **self._init_params}

    @property
    def loss(self) -> Any:
        """The loss, or its name."""
        return self._init_params.get("loss")

    @property
    def curvature(self) -> str | None:
        """Of the objective."""
        return self._init_params.get("curvature")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {**state, "_lossext": (dict(self._init_params), dict(self._ours))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        params, ours = state.pop("_lossext")
        super().__setstate__(state)  # type: ignore[misc]
        self._init_params, self._ours, self._canonized_params = dict(params), dict(ours), None  # not the model's

    @contextlib.contextmanager
    def _as_library_sees_it(self, **given: Any) -> Iterator[None]:
        """Parameters of CatBoost alone, with the objective, for the time of a fit."""
        ours = self._init_params
        theirs = {k: v for k, v in ours.items() if k not in (*OWN, *WEIGHTS_OF_CLASSES)}
        method = {} if "leaf_estimation_method" in theirs else {"leaf_estimation_method": "Newton"}
        steps = {} if "leaf_estimation_iterations" in theirs else {"leaf_estimation_iterations": 1}
        self._init_params = {**theirs, **method, **steps, **given}
        self._canonized_params = None
        try:
            yield
        finally:
            self._init_params, self._canonized_params = ours, None

    def _fit_objective(
        self,
        parent: Any,
        loss: Any,
        target: Array,
        X: Any,
        y: Any,
        weight: Array | None,
        more: dict[str, Any],
        **given: Any,
    ) -> None:
        """The library's fit; the model then knows where it started."""
        kind = CatBoostMultiTargetObjective if np.ndim(y) == 2 else CatBoostObjective
        plain = kind(loss, curvature=self.curvature)
        earlier = more.get("init_model")
        if earlier is not None:
            more["init_model"], start = without_bias(earlier)
        else:
            start = 0.0 if more.get("baseline") is not None else start_of(plain, target, weight)
        objective = kind(loss, start, self.curvature)
        if "eval_metric" not in self._init_params:
            given["eval_metric"] = objective.metric
        with self._as_library_sees_it(loss_function=objective, **given):
            parent(X, y, sample_weight=weight, **more)
        if np.any(start):
            columns = y.shape[1] if np.ndim(y) == 2 else given.get("classes_count", 1)
            bias = np.broadcast_to(start, (columns,)).astype(float).tolist()
            self.set_scale_and_bias(1.0, bias if len(bias) > 1 else bias[0])  # type: ignore[attr-defined]
        self._ours = {"loss": loss, "init_raw": np.asarray(start)}

    @property
    def init_raw_(self) -> Array:
        """The start, which is the model's bias."""
        start: Array = self._of_fit("init_raw")
        return start

    def _of_fit(self, name: str) -> Any:
        if name not in self._ours:
            raise AttributeError(f"this {type(self).__name__} has no {name} yet: call fit")
        return self._ours[name]

    def _raw(self, X: Any, **more: Any) -> Array:
        raw: Array = catboost.CatBoost.predict(self, X, prediction_type="RawFormulaVal", **more)
        return raw

    def _staged(self, X: Any, **more: Any) -> Iterator[Array]:
        yield from catboost.CatBoost.staged_predict(self, X, prediction_type="RawFormulaVal", **more)


def without_bias(model: Any) -> tuple[Any, Any]:
    """A copy of a model, or of a file's, and its bias, which CatBoost counts in some cases and in others not."""
    plain = model.copy() if isinstance(model, catboost.CatBoost) else catboost.CatBoost().load_model(model)
    scale, bias = plain.get_scale_and_bias()
    plain.set_scale_and_bias(scale, [0.0] * len(bias) if np.ndim(bias) else 0.0)
    return plain, bias


def refuse_pool(X: Any) -> None:
    """TypeError for CatBoost's own kind of data."""
    if isinstance(X, catboost.Pool):
        raise TypeError("X is a Pool, whose labels cannot be looked at; give X and y (and cat_features) by themselves")


KINDS_OF_FEATURES = ("cat_features", "text_features", "embedding_features")


def relabelled(
    eval_set: Any, targets_of: Callable[[Any], Array], by_class: Array | None = None, features: Any = None
) -> Any:
    """An evaluation set, or a list of them, with targets as the objective takes them, and the weights of classes."""
    pairs = eval_set if isinstance(eval_set, list) else [eval_set]
    for pair in pairs:
        refuse_pool(pair)
    found: list[Any] = [(part, targets_of(labels)) for part, labels in pairs]
    if by_class is not None:
        found = [catboost.Pool(part, target, weight=by_class[target], **(features or {})) for part, target in found]
    return found if isinstance(eval_set, list) else found[0]


class CatBoostClassifier(Fitting, catboost.CatBoostClassifier):  # type: ignore[misc, name-defined]
    """`catboost.CatBoostClassifier` of any loss of classes: objective, metric, start and link belong together.

    Parameters
    ----------
    loss : loss object or str, optional
        A loss whose targets are classes, in [0, 1] or -1 and 1, or the name of its function, such as
        ``"sigmoid_focal_loss"``. Of more than two classes, losses of one score go class against all others. Default:
        binary cross entropy, and cross entropy for more classes. Labels of shape (N, C) of 0 and 1 are multilabel.
    curvature : str, optional
        As of `CatBoostObjective`.
    class_weight : dict or "balanced", optional
        As elsewhere in scikit-learn; CatBoost's ``class_weights``, ``auto_class_weights`` and ``scale_pos_weight`` work
        too. All multiply the sample weights.
    **parameters
        Those of `catboost.CatBoostClassifier`, but ``loss_function`` and ``objective``.

    Attributes
    ----------
    classes_ : ndarray
        Labels of the classes.
    init_raw_ : ndarray
        The start, which is the model's bias and so in all answers, also of a saved model.

    Raises
    ------
    TypeError
        ``loss_function`` is given; loss is neither a loss nor a name; X is a Pool.
    ValueError
        While fitting: a loss that cannot be boosted, or is for a regressor, an unknown name or curvature.

    Notes
    -----
    The loss is the metric of evaluation sets, on which early stopping goes, unless ``eval_metric`` is given. Leaves are
    estimated by one Newton step unless ``leaf_estimation_method`` and ``leaf_estimation_iterations`` say otherwise. Of
    more than two classes CatBoost calls an objective of Python row by row.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import CatBoostClassifier
    >>> X, y = np.arange(40.0).reshape(40, 1), np.repeat(["no", "yes"], 20)
    >>> model = CatBoostClassifier(loss=lx.SigmoidFocalLoss(), iterations=10, verbose=False, allow_writing_files=False)
    >>> print(model.fit(X, y).predict([[3.0], [33.0]]))
    ['no' 'yes']
    """

    def __init__(
        self, *, loss: Any = None, curvature: str | None = None, class_weight: Any = None, **parameters: Any
    ) -> None:
        refuse_objective(parameters)
        super().__init__(**{k: v for k, v in parameters.items() if k not in ("objective", "loss_function")})
        self._take(loss=loss, curvature=curvature, class_weight=class_weight)

    __init__.__signature__ = constructor_of(catboost.CatBoostClassifier, "class_weight")  # type: ignore[attr-defined]

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, eval_set: Any = None, **more: Any) -> Any:
        """As `catboost.CatBoostClassifier.fit`."""
        refuse_pool(X)
        classes, codes = encode(y)
        loss = chosen(self.loss, len(classes))
        if codes.ndim == 2 and loss.declaration.takes_ids:
            raise ValueError(f"loss = {loss!r} takes one class per row, and y has shape {codes.shape}")
        of_classes = product(*self._class_weights(classes, codes, y, sample_weight))
        weight = product(sample_weight, of_classes)
        given = {"classes_count": len(classes)} if len(classes) > 2 else {}
        if eval_set is not None:
            by_class = None
            if of_classes is not None:  # which CatBoost's own objectives have in evaluation sets, too
                by_class = np.ones(len(classes))
                by_class[codes] = of_classes
            kinds = {kind: more.get(kind, self._init_params.get(kind)) for kind in KINDS_OF_FEATURES}
            more["eval_set"] = relabelled(
                eval_set, lambda z: codes if z is y else numbers_of(classes, z), by_class, kinds
            )
        target = indicators(loss, codes, len(classes))
        self._fit_objective(super().fit, loss, target, X, codes.astype(np.float64), weight, more, **given)
        self._ours["classes"] = classes
        return self

    def _class_weights(self, classes: Array, codes: Array, y: Any, sample_weight: Any) -> list[Array | None]:
        """Of each row, from each of the ways to give them."""
        params = self._init_params
        if codes.ndim == 2:
            return []
        weights = [class_weights(params.get("class_weight"), y)]
        given, auto = params.get("class_weights"), params.get("auto_class_weights")
        if isinstance(given, dict):
            table = {label: given.get(label, given.get(str(label), 1.0)) for label in classes.tolist()}
            given = list(table.values())
        if given is not None:
            if len(given) != len(classes):
                raise ValueError(f"class_weights has {len(given)} entries for {len(classes)} classes")
            weights.append(np.asarray(given, np.float64)[codes])
        if auto not in (None, "None"):
            if auto not in POWERS:
                raise ValueError(f"auto_class_weights = {auto!r} is not one of {', '.join(map(repr, POWERS))} and None")
            sums = np.bincount(codes, sample_weight)
            if sums.min() >= 1:
                sums = np.floor(sums)  # as CatBoost does, which gives classes under 1 no weight of their own
            weights.append(((sums.max() / sums) ** POWERS[auto])[codes])
        if params.get("scale_pos_weight") is not None and len(classes) == 2:
            weights.append(np.where(codes == 1, params["scale_pos_weight"], 1.0))
        return weights

    @property
    def classes_(self) -> Array:
        """Labels of the classes."""
        classes: Array = self._of_fit("classes") if "classes" in self._ours else np.empty(0)
        return classes

    def predict(self, data: Any, prediction_type: str = "Class", **more: Any) -> Any:
        """Classes; with ``prediction_type="Probability"`` or ``"RawFormulaVal"`` these. 0 and 1 for multilabel."""
        if prediction_type == "RawFormulaVal":
            return self._raw(data, **more)
        if prediction_type in ("Probability", "LogProbability"):
            mean = self.predict_proba(data, **more)
            return np.log(mean) if prediction_type == "LogProbability" else mean
        return self._labels(self._raw(data, **more))

    def _labels(self, raw: Array) -> Array:
        if self._multilabel(raw):
            return (raw > 0).astype(np.intp)
        return self.classes_[class_numbers(raw)]

    def _multilabel(self, raw: Array) -> bool:
        return raw.ndim == 2 and len(self.classes_) == 2

    def _probabilities(self, raw: Array) -> Array:
        loss = self._of_fit("loss")
        return loss.inverse_link(raw) if self._multilabel(raw) else probabilities(loss, raw)

    @where_probabilities  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, **more: Any) -> Array:
        """Probabilities of the classes, (N, K), or of the labels, (N, C), by the loss's link."""
        return self._probabilities(self._raw(X, **more))

    @where_probabilities  # type: ignore[untyped-decorator]
    def predict_log_proba(self, data: Any, **more: Any) -> Array:
        """Their logarithms."""
        return np.log(self.predict_proba(data, **more))  # type: ignore[no-any-return]

    def staged_predict(self, data: Any, prediction_type: str = "Class", **more: Any) -> Iterator[Array]:
        """Answers of the first trees."""
        for raw in self._staged(data, **more):
            yield raw if prediction_type == "RawFormulaVal" else self._labels(raw)

    @where_probabilities  # type: ignore[untyped-decorator]
    def staged_predict_proba(self, data: Any, **more: Any) -> Iterator[Array]:
        """Likewise probabilities."""
        return map(self._probabilities, self._staged(data, **more))

    def decision_function(self, X: Any, **more: Any) -> Array:
        """Raw scores with the start, (N,) for two classes, else (N, K)."""
        return self._raw(X, **more)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy."""
        right = self.predict(X) == np.asarray(y)
        return float(np.average(right.reshape(len(right), -1).all(axis=1), weights=sample_weight))


class CatBoostRegressor(Fitting, catboost.CatBoostRegressor):  # type: ignore[misc, name-defined]
    """`catboost.CatBoostRegressor` of any loss of numbers: objective, metric, start and link belong together.

    Parameters
    ----------
    loss : loss object or str, optional
        A loss whose targets are numbers, or the name of its function, such as ``"huber_loss"``. Of several quantiles or
        expectiles `predict` gives a column each. Default: half the squared error.
    curvature : str, optional
        As of `CatBoostObjective`.
    **parameters
        Those of `catboost.CatBoostRegressor`, but ``loss_function`` and ``objective``.

    Attributes
    ----------
    init_raw_ : ndarray
        The start, which is the model's bias and so in all answers, also of a saved model.

    Raises
    ------
    TypeError, ValueError
        As of `CatBoostClassifier`.

    Notes
    -----
    `predict` gives means by the loss's link, such as expected counts. As of `CatBoostClassifier` besides.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> from lossext.boosting import CatBoostRegressor
    >>> X, y = np.arange(40.0).reshape(40, 1), np.repeat([1.0, 5.0], 20)
    >>> model = CatBoostRegressor(loss=lx.HalfPoissonLoss(), iterations=200, learning_rate=0.3, verbose=False,
    ...                           allow_writing_files=False)
    >>> print(model.fit(X, y).predict([[3.0], [33.0]]).round(1))
    [1. 5.]
    """

    def __init__(self, *, loss: Any = None, curvature: str | None = None, **parameters: Any) -> None:
        refuse_objective(parameters)
        super().__init__(**{k: v for k, v in parameters.items() if k not in ("objective", "loss_function")})
        self._take(loss=loss, curvature=curvature)

    __init__.__signature__ = constructor_of(catboost.CatBoostRegressor)  # type: ignore[attr-defined]

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, eval_set: Any = None, **more: Any) -> Any:
        """As `catboost.CatBoostRegressor.fit`."""
        refuse_pool(X)
        loss = chosen(self.loss, None)
        target = numbers(y)
        if eval_set is not None:
            more["eval_set"] = relabelled(eval_set, lambda z: repeated(loss, numbers(z)))
        weight = product(sample_weight)
        self._fit_objective(super().fit, loss, target, X, repeated(loss, target), weight, more)
        return self

    def predict(self, data: Any, prediction_type: str | None = None, **more: Any) -> Array:
        """Means; raw scores for ``prediction_type="RawFormulaVal"``."""
        raw = self._raw(data, **more)
        return raw if prediction_type == "RawFormulaVal" else self._means(raw)

    def _means(self, raw: Array) -> Array:
        return means(self._of_fit("loss"), raw)

    def staged_predict(self, data: Any, prediction_type: str | None = None, **more: Any) -> Iterator[Array]:
        """Answers of the first trees."""
        for raw in self._staged(data, **more):
            yield raw if prediction_type == "RawFormulaVal" else self._means(raw)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R²."""
        from sklearn.metrics import r2_score

        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))


def repeated(loss: Any, target: Array) -> Array:
    """A column for each output, since CatBoost has as many scores as labels."""
    return np.repeat(target[:, np.newaxis], loss._n_outputs, axis=1) if loss._n_outputs else target
