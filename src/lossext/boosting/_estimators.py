"""What the classifiers and regressors of all libraries share: the loss, its start, the way from scores to answers."""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from lossext._declare import registry
from lossext._validate import Array
from lossext.boosting._adapter import Adapter, checked_loss, why_not
from lossext.losses._dense import DenseLoss

OF_CLASSES = ("unit", "sign", "class")
OWN = ("loss", "curvature")

# whether the library is asking for parameters, which is not to see ours
_asking: contextvars.ContextVar[bool] = contextvars.ContextVar("asking", default=False)


@contextlib.contextmanager
def library_asks() -> Iterator[None]:
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


def asks() -> bool:
    return _asking.get()


def constructor_of(parent: type, *more: str) -> inspect.Signature:
    """The signature of an estimator: loss, curvature and what the library's own takes, but its objective."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    own += [inspect.Parameter(name, keyword, default=None) for name in (*OWN, *more)]
    seen = {"self", "objective", "loss_function", *OWN, *more}
    rest = None
    for cls in parent.__mro__:
        init = cls.__dict__.get("__init__")
        if init is None or cls is object:
            continue
        for p in inspect.signature(init).parameters.values():
            if p.kind is inspect.Parameter.VAR_KEYWORD:
                rest = p
            elif p.name not in seen and p.kind is not inspect.Parameter.VAR_POSITIONAL:
                seen.add(p.name)
                own.append(p.replace(kind=keyword, annotation=inspect.Parameter.empty))
        if rest is None:
            break
        if cls.__module__.split(".")[0] == "sklearn":
            break
    return inspect.Signature([*own, *([rest] if rest is not None else [])])


def refuse_objective(parameters: dict[str, Any]) -> None:
    for name in ("objective", "loss_function"):
        if parameters.get(name) is not None:
            raise TypeError(f"{name} is made from loss: give loss = {parameters[name]!r} or another one in its place")


# ---- the loss ----


def names() -> dict[str, Any]:
    """The losses that can be boosted, by the names of their functions."""
    return {cls.declaration.function: cls for cls in registry() if why_not(cls()) is None}


def chosen(loss: Any, n_classes: int | None) -> DenseLoss:
    """The loss by its object or its name; None is the usual one. `n_classes` is None for regression."""
    if loss is None:
        if n_classes is None:
            loss = "half_squared_error_loss"
        elif n_classes > 2 and "cross_entropy" in names():
            loss = "cross_entropy"
        else:
            loss = "binary_cross_entropy_with_logits"
    if isinstance(loss, str):
        known = {
            name: cls
            for name, cls in names().items()
            if (cls().declaration.target.kind in OF_CLASSES) == (n_classes is not None)
            or cls.declaration.target.kind == "unit"
        }
        if loss not in known:
            near = difflib.get_close_matches(loss, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"loss = {loss!r} is not one of {', '.join(map(repr, known))}{hint}")
        loss = known[loss]()
    loss = checked_loss(loss)
    kind = loss._target.kind
    if n_classes is not None and kind not in OF_CLASSES:
        raise ValueError(f"loss = {loss!r} has targets that are {loss._target.requirement}: it is for a regressor")
    if n_classes is None and kind in ("sign", "class"):
        raise ValueError(f"loss = {loss!r} has classes for targets: it is for a classifier")
    return loss  # type: ignore[no-any-return]


def indicators(loss: DenseLoss, codes: Array, n_classes: int) -> Array:
    """Targets as the loss takes them, of the numbers of the classes."""
    if loss.declaration.takes_ids:
        return codes
    ones = codes if codes.ndim == 2 or n_classes <= 2 else codes[:, np.newaxis] == np.arange(n_classes)
    return np.where(ones, 1, -1) if loss.declaration.target.sign else ones.astype(np.float64)


def start_of(objective: Adapter, target: Array, weight: Array | None) -> Any:
    """The constant to start from: where the library's own objective does, or where the loss is least.

    0 for hinges: at a constant margin they have no slope to one side.
    """
    loss = objective.loss
    rule = objective._rule
    if weight is not None and (len(weight) != len(target) or not np.sum(weight)):
        return 0.0  # the library says what is wrong
    if rule.start is not None:
        return rule.start(loss, target, weight)
    if loss.declaration.start is None or (loss.declaration.target.sign and not loss.declaration.smooth):
        return 0.0
    try:
        start = loss.init_raw(target, weight)
        if loss.declaration.takes_ids and len(start) == 2:  # two classes have one score, against 0
            start = start[1] - start[0]
        return start
    except ValueError:
        if weight is not None and np.min(weight) < 0:
            return 0.0
        raise


# ---- weights ----


def product(*weights: Any) -> Array | None:
    """Of those that are there."""
    given = [np.asarray(w, np.float64) for w in weights if w is not None]
    return None if not given else np.prod(np.broadcast_arrays(*given), axis=0)


def class_weights(class_weight: Any, y: Any) -> Array | None:
    return None if class_weight is None else compute_sample_weight(class_weight, y)


# ---- answers ----


def encode(y: Any) -> tuple[Array, Array]:
    """Classes, and the number of each label's class; labels of shape (N, C) of 0 and 1 are their own."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    check_classification_targets(y)
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return np.array([0, 1]), labels
    classes, codes = np.unique(labels.ravel(), return_inverse=True)
    return classes, codes.reshape(-1)


def numbers_of(classes: Array, y: Any) -> Array:
    """Numbers of the classes of other labels; ValueError for one that is none of them."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels
    labels = labels.ravel()
    codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    unknown = classes[codes] != labels
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"y contains previously unseen labels: {labels[row]!r} of row {row} of an evaluation set")
    return codes


def probabilities(loss: DenseLoss, scores: Array) -> Array:
    """(N, K): those of two classes from one score, of one score per class scaled to sum to 1."""
    if scores.ndim == 1 and loss.declaration.takes_ids:  # a score against 0
        scores = np.column_stack((np.zeros_like(scores), scores))
    mean = loss.inverse_link(np.asarray(scores, np.float64))
    if mean.ndim == 1:
        other = loss.inverse_link(-np.asarray(scores, np.float64))  # 1 - mean loses digits
        return np.column_stack((other, mean))
    if loss.declaration.takes_ids:
        return mean
    total = mean.sum(axis=1, keepdims=True)
    return np.divide(mean, total, out=np.full_like(mean, 1 / mean.shape[1]), where=total > 0)  # type: ignore[no-any-return]


def class_numbers(scores: Array) -> Array:
    return (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)


def has_probabilities(estimator: Any) -> bool:
    loss = chosen(estimator.get_params()["loss"] if not hasattr(estimator, "loss") else estimator.loss, 2)
    if loss.declaration.link is None:
        raise AttributeError(f"{type(loss).__name__} has no link, so there are no probabilities: use decision_function")
    return True


where_probabilities = available_if(has_probabilities)


def means(loss: DenseLoss, scores: Array) -> Array:
    """By the loss's link; the scores where it has none."""
    return loss.inverse_link(scores) if loss.declaration.link else scores


def without_objective(estimator: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as `get_params` gives them to users, or to the library while it trains.

    Each estimator has a `get_params` of its own: LightGBM and XGBoost call that of the first base, if it has one, on an
    object of that base alone.
    """
    params.pop("objective", None)
    return estimator._library_parameters(params) if asks() else params


class OnPredictions:
    """A metric of predictions, for a library that would call it with raw scores."""

    def __init__(self, metric: Callable[..., Any], predict: Callable[[Array], Array]) -> None:
        self.metric, self.predict = metric, predict
        self.__name__ = getattr(metric, "__name__", "metric")
        self.__signature__ = inspect.signature(metric)  # LightGBM counts the arguments

    def __call__(self, y_true: Any, raw: Any, *others: Any, **more: Any) -> Any:
        """The metric's result."""
        return self.metric(y_true, self.predict(np.asarray(raw)), *others, **more)


def numbers(y: Any) -> Array:
    """Targets of a regression as float64, (N,) or (N, C); what is wrong with them is for the library to say."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    target = np.asarray(y)
    if target.dtype.kind == "O":
        target = target.astype(np.float64)
    if target.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y has dtype {target.dtype}")
    if target.dtype.kind not in "biuf":
        raise ValueError(f"y has dtype {target.dtype}; allowed are real numbers")
    if not np.isfinite(target).all():
        raise ValueError("Input y contains NaN or infinity.")
    return target[:, 0] if target.ndim == 2 and target.shape[1] == 1 else target
