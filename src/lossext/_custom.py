"""A loss made of a user's own NumPy functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lossext import _probing, _start, _threads, _validate
from lossext._declare import (
    CLASS,
    HALF_LOGIT,
    IDENTITY,
    LOG,
    LOGIT,
    NON_NEGATIVE,
    POSITIVE,
    REAL,
    SIGN,
    SOFTMAX,
    UNIT,
    Declaration,
    registry,
    signature_of,
)
from lossext._kernels.drivers import GRAD, HESS, VALUE
from lossext._parameters import Check, always, once, optional, parameter, word
from lossext._validate import Array
from lossext.losses._dense import DenseLoss

TARGETS = {target.kind: target for target in (REAL, UNIT, SIGN, CLASS, NON_NEGATIVE, POSITIVE)}
LINKS = {link.name: link for link in (IDENTITY, LOG, LOGIT, HALF_LOGIT, SOFTMAX)}
WRONG_SHARE = 0.2  # of the tried scores; some may lie at a kink


def function() -> Check:
    """What can be called."""

    def read(name: str, value: Any) -> Any:
        if not callable(value):
            raise TypeError(f"{name} must be a function of (raw, target), not {value!r}")
        return value

    return Check("a function of (raw, target)", read, always, (), ())


def identifier() -> Check:
    """A name that is none of a loss of the package."""

    def read(name: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, not {type(value).__name__}")
        return value

    def accepts(value: Any) -> bool:
        return bool(value) and all(value != cls.declaration.function for cls in registry())

    return Check("a name that no loss of the package has", read, accepts, (), ())


class CustomLoss(DenseLoss):
    """What `custom_loss` makes."""

    value: Callable[[Array, Array], Any] = parameter(None, function(), "Of each score, or row of scores.")
    gradient: Callable[[Array, Array], Any] = parameter(None, function(), "Derivatives by the scores.")
    hess: Callable[[Array, Array], Any] | None = parameter(None, optional(function()), "Second derivatives.")
    target: str = parameter("real", word(*TARGETS), "Kind of the targets.")
    link_name: str = parameter("identity", word(*LINKS), "The link.")
    name: str | None = parameter(None, optional(identifier()), "Of the metric.")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._try()

    def __repr__(self) -> str:
        return f"custom_loss({self.declaration.function!r}, target={self.target!r}, link={self.link_name!r})"

    # ---- what the layers above ask ----

    @once
    def declaration(self) -> Declaration:
        """What the functions and words that were given say."""
        by_class = self.target == "class"
        target = TARGETS[self.target]
        link = LINKS[self.link_name]
        no_link = link is IDENTITY and self.target in ("unit", "sign", "class")  # scores that are no probabilities
        plain = Declaration(
            function=str(self.name or getattr(self.value, "__name__", type(self.value).__name__)),
            kernel="",
            family="row" if by_class else "element",
            target=target,
            link=None if no_link else link,
            start=None if by_class else start,
            weights=(),
            ranks=(2,) if by_class else None,
            value_by_row=by_class,
        )
        regular = self._curves_up()
        return dataclasses.replace(plain, smooth=regular, convex=regular)

    def _curves_up(self) -> bool:
        """Whether the second derivative is above 0 wherever a tried score has a slope."""
        raw, target = self._tried()
        with np.errstate(all="ignore"):
            slope, curvature = np.asarray(self.gradient(raw, target)), self._second(raw, target)
            return not ((curvature <= 1e-9 * np.abs(slope).max()) & (np.abs(slope) > 1e-6)).any()

    def _tried(self) -> tuple[Array, Array]:
        return _probing.scores_and_targets(self.target, 3 if self.target == "class" else None)

    def _second(self, raw: Array, target: Array) -> Array:
        if self.hess is not None:
            return np.asarray(self.hess(raw, target))
        return _probing.derivative(lambda moved: self.gradient(moved, target), raw)

    def _try(self) -> None:
        """ValueError where the functions do not go together."""
        raw, target = self._tried()
        by_class = self.target == "class"
        results = {}
        for name, of, shape in (
            ("value", self.value, raw.shape[:1]),
            ("grad", self.gradient, raw.shape),
            *(() if self.hess is None else (("hess", self.hess, raw.shape),)),
        ):
            try:
                with np.errstate(all="ignore"):
                    results[name] = np.asarray(of(raw.copy(), target.copy()))
            except Exception as error:
                raise ValueError(
                    f"{name}(raw, target) fails for raw of shape {raw.shape} and target of shape {target.shape}: "
                    f"{type(error).__name__}: {error}"
                ) from error
            if results[name].shape != shape or results[name].dtype.kind not in "iuf":
                what = "one number per row" if by_class and name == "value" else "one number per score"
                raise ValueError(
                    f"{name}(raw, target) gives an array of shape {results[name].shape} and dtype "
                    f"{results[name].dtype} for raw of shape {raw.shape}; allowed is {shape}, {what}"
                )
        with np.errstate(all="ignore"):
            expected = _probing.derivative(lambda moved: self.value(moved, target), raw)
        wrong = _probing.differ(results["grad"], expected)
        if wrong.mean() > WRONG_SHARE:
            at = np.unravel_index(int(np.argmax(wrong)), raw.shape)
            raise ValueError(
                f"grad is not the derivative of value by raw: at raw = {raw[at[0]]}, target = {target[at[0]]} it is "
                f"{results['grad'][at]:.6g}, and differences of value say {expected[at]:.6g}. Both take (raw, target)"
            )

    def _with(self, **changed: Any) -> DenseLoss:
        other = super()._with(**changed)
        other.__dict__["declaration"] = self.declaration
        return other

    @once
    def _evaluator(self) -> Any:
        return NumPyEvaluator(self)


CustomLoss.__signature__ = signature_of(CustomLoss)  # type: ignore[attr-defined]


class NumPyEvaluator:
    """In the place of the kernels' evaluator: validation, weights, masks and reductions around the functions."""

    def __init__(self, loss: CustomLoss) -> None:
        self.loss = loss
        self.by_class = loss.target == "class"

    def run(
        self,
        want: int,
        input: Any,
        target: Any,
        element_weight: Any,
        sample_weight: Any,
        mask: Any,
        grad_output: Any,
        out: Any,
        n_threads: Any,
        curvature: int = 0,
    ) -> Any:
        """Value, gradient, second derivative: the one that is wanted, or a tuple of those."""
        loss = self.loss
        _threads.choose(n_threads, 0.0)
        raw, real, dtype = _validate.real_input("input", input)
        y, known = self._target(target, raw.shape, mask)
        weight = self._weight(raw.shape, element_weight, sample_weight)
        shape = known.shape  # of the value
        divisor = self._divisor(known, weight)
        value, upstream = None, 1.0
        scale: Any = 1.0 if weight is None else weight
        if grad_output is not None:
            given, upstream = _validate.upstream(grad_output, shape if loss.reduction == "none" else None, real)
            scale = scale * upstream if given is None else scale * given
        whole = bool(known.all())
        rows = raw if whole else raw[known]
        if not self.by_class:
            rows = rows.reshape(-1)
        part = y.reshape(-1) if whole else y[known]
        if want & VALUE:
            value = self._spread(loss.value(rows, part), known, shape, real)
            value = value if weight is None else value * weight
            value[~known] = 0
            if loss.reduction != "none":
                with np.errstate(all="ignore"):
                    value = dtype.type(value.sum(dtype=np.float64) / divisor if divisor else math.nan)
            else:
                value = value.astype(dtype, copy=False)
        results: list[Array | None] = []
        for wanted, of in ((GRAD, loss.gradient), (HESS, loss._second)):
            if not want & wanted:
                results.append(None)
                continue
            part_of = self._spread(of(rows, part), known, raw.shape, real)
            factors = np.asarray(scale / divisor if divisor else 0.0)
            result = part_of * (factors[:, np.newaxis] if self.by_class and factors.ndim else factors)
            result[~known] = 0
            results.append(result.astype(dtype, copy=False))
        grad, hess = results
        if out is not None:
            _validate.check_result("out", out, raw.shape, dtype)
            _validate.require_no_overlap(out, input, {"target": target, "sample_weight": sample_weight, "mask": mask})
            out[...] = grad
            grad = out
        found = [part for part, bit in ((value, VALUE), (grad, GRAD), (hess, HESS)) if want & bit]
        return found[0] if len(found) == 1 else tuple(found)

    def total(
        self, input: Any, target: Any, element_weight: Any, sample_weight: Any, mask: Any, n_threads: Any
    ) -> tuple[np.dtype[Any], float, float]:
        """Type of the value, sum of the losses and what it is divided by."""
        raw, _, dtype = _validate.real_input("input", input)
        each = self.loss._with(reduction="none")
        values = each._evaluator.run(VALUE, raw, target, element_weight, sample_weight, mask, None, None, n_threads)
        divisor = self.divisor(target, element_weight, sample_weight, mask, raw.shape)
        return dtype, float(values.sum(dtype=np.float64)), divisor

    def divisor(self, target: Any, element_weight: Any, sample_weight: Any, mask: Any, shape: Any) -> float:
        """What the sum of the values is divided by, for an input of this shape."""
        if self.by_class and len(shape) == 1:
            shape = (*shape, int(np.max(target, initial=0)) + 1)
        _, known = self._target(target, tuple(shape), mask)
        return self._divisor(known, self._weight(tuple(shape), element_weight, sample_weight))

    def _target(self, target: Any, shape: tuple[int, ...], mask: Any) -> tuple[Array, Array]:
        """Targets, and where they are known, in the value's shape."""
        domain = self.loss._target
        if self.by_class:
            if len(shape) != 2 or shape[1] == 0:
                raise ValueError(f"input has shape {shape}; allowed is rank 2, (N, C), with at least one column")
            y, _ = _validate.class_ids("target", target)
            allowed: tuple[int, ...] = shape[:1]
            if y.shape != allowed:
                raise ValueError(f"target has shape {y.shape}; allowed is {allowed}, one class id per row of input")
        else:
            y = _validate.as_array("target", target)
            _validate.require_real("target", y)
            if y.dtype == np.bool_ and domain.sign:
                raise TypeError("target has dtype bool, and False is not -1; allowed are -1 and 1")
            y, allowed = y.astype(np.float64, copy=False), shape
            if y.shape != allowed:
                raise ValueError(f"target has shape {y.shape}; allowed is input's, {shape}")
        known = np.ones(allowed, bool) if mask is None else _validate.known("mask", mask, allowed)
        bad = (y < 0) | (y >= shape[1]) if self.by_class else domain.is_bad(y)
        if (bad & known).any():
            raise _validate.bad_target(domain, y, shape, None, None if mask is None else known)
        return y, known

    def _weight(self, shape: tuple[int, ...], element_weight: Any, sample_weight: Any) -> Array | None:
        """The product of the weights, in the value's shape."""
        weight = None
        if element_weight is not None:
            if self.by_class:
                raise ValueError("element_weight is for losses of one score; give sample_weight")
            array = _validate.weights("element_weight", element_weight)
            try:
                weight = np.broadcast_to(array.astype(np.float64, copy=False), shape)
            except ValueError:
                raise ValueError(
                    f"element_weight has shape {array.shape}, which does not broadcast to input's, {shape}"
                ) from None
        rows = _validate.sample_weights(sample_weight, shape[0] if shape else None, _validate.FLOAT64)
        if rows is None:
            return weight
        if not self.by_class:
            rows = np.broadcast_to(rows.reshape(-1, *[1] * (len(shape) - 1)), shape)
        return rows if weight is None else weight * rows

    def _divisor(self, known: Array, weight: Array | None) -> float:
        reduction = self.loss.reduction
        if reduction in ("none", "sum"):
            return 1.0
        if reduction == "batchmean":
            return float(known.shape[0] if known.ndim else 1)
        if reduction == "weighted_mean" and weight is not None:
            return float(weight[known].sum())
        return float(known.sum())

    def _spread(self, part: Any, known: Array, shape: tuple[int, ...], real: np.dtype[Any]) -> Array:
        """Results of what is known in an array of `shape`, 0 elsewhere."""
        array = np.asarray(part, real)
        if known.all():
            return array.reshape(shape).copy()
        result = np.zeros(shape, real)
        result[known] = array
        return result


def start(loss: Any, y: Array, weight: Array) -> float:
    """Where the slope of the sum vanishes: a bracket grows from the mean in the link, then Newton steps inside it."""
    y, weight = _start.used(y, weight)
    if not len(y):
        return 0.0
    y, place = np.unique(y, return_inverse=True)
    weight = np.bincount(place, weight)
    plain = loss._with(reduction="sum")
    link = loss.declaration.link
    with np.errstate(all="ignore"):
        middle = 0.0 if link is None else float(link.link(np.average(y, weights=weight)))
    middle = min(max(middle, -_start.LARGEST_LOG_ODDS), _start.LARGEST_LOG_ODDS) if link is not IDENTITY else middle
    slope = float(plain.grad(np.full(len(y), middle), y, element_weight=weight).sum())
    if slope == 0 or not math.isfinite(slope):
        return middle if slope == 0 else 0.0
    reach, end = 0.125, middle
    while reach <= 2.0**40:
        end = middle - math.copysign(reach, slope)
        if link is not IDENTITY and abs(end) > _start.LARGEST_LOG_ODDS:
            return math.copysign(_start.LARGEST_LOG_ODDS, end)
        with np.errstate(all="ignore"):
            there = float(plain.grad(np.full(len(y), end), y, element_weight=weight).sum())
        if not there * slope > 0:
            break
        reach *= 2
    else:
        return middle
    low, high = min(middle, end), max(middle, end)
    return _start.root(plain, y, weight, low, high, (low + high) / 2)


def custom_loss(
    value: Callable[[Array, Array], Any],
    grad: Callable[[Array, Array], Any],
    hess: Callable[[Array, Array], Any] | None = None,
    *,
    target: str = "real",
    link: str = "identity",
    name: str | None = None,
) -> CustomLoss:
    r"""A loss object out of one's own NumPy functions, which estimators, boosting adapters and scorers take.

    Parameters
    ----------
    value : function of (raw, target)
        The loss of each score. `raw` and `target` are arrays of shape (n,), of float32 or float64 and of float64. For
        ``target="class"`` `raw` is (n, C), `target` holds n class ids (int64), and the result is one number per row.
    grad : function of (raw, target)
        Derivatives of `value` by `raw`, of raw's shape: of each row by itself, neither weighted nor averaged.
    hess : function of (raw, target), optional
        Second derivatives, of raw's shape; for ``target="class"`` the diagonal. Without it, difference quotients of
        `grad`, which cost four calls of it for each column.
    target : {"real", "unit", "sign", "class", "non_negative", "positive"}
        What the targets are: finite numbers; in [0, 1]; -1 and 1; class ids; at least 0; above 0. Others are an error
        that names the row. "unit", "sign" and "class" are for classifiers.
    link : {"identity", "log", "logit", "half_logit", "softmax"}
        What a raw score is of the mean: `inverse_link` and `predict_proba` follow from it. A classifier's loss with the
        identity has no probabilities.
    name : str, optional
        Of the metric. Default: that of `value`.

    Returns
    -------
    loss object
        With the methods of the other losses, of any ``reduction`` by `sum`, `mean` and so on of the values. Weights,
        masks, missing rows and reductions are looked after. It pickles if the functions do.

    Raises
    ------
    TypeError
        A function is none; a word is no str.
    ValueError
        A word is none of those; a result is of another shape; `grad` is not the derivative of `value` at scores that
        are tried.

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> def cauchy(raw, target):
    ...     return np.log1p((raw - target) ** 2)
    >>> def slope(raw, target):
    ...     return 2 * (raw - target) / (1 + (raw - target) ** 2)
    >>> loss = lx.custom_loss(cauchy, slope, target="real")
    >>> print(round(float(loss([1.0, 3.0], [1.0, 1.0])), 4))
    0.8047
    """
    return CustomLoss(value=value, gradient=grad, hess=hess, target=target, link_name=link, name=name)
