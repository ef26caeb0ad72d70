"""Declarations of losses (targets, link, error bounds, ...), the registry, and what follows from the declarations.

Estimators, boosting, benchmarks, tests and documentation learn what a loss can do from its declaration, and find the
losses in the registry, to which each subclass adds itself.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext._kernels import drivers
from lossext._parameters import Parameter
from lossext._validate import Array, quiet

CURVATURES = {"exact": 0, "majorizer": 1, "fisher": 2, "residual": 3}  # as in _kernels/job.h


@dataclass(frozen=True, slots=True)
class Target:
    """The domain of targets: numbers from `low` to `high`, finite unless stated otherwise."""

    kind: str
    requirement: str  # the domain in words, for messages
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False  # `low` itself is not allowed
    low_may_be_infinite: bool = False
    slack: float = 0.0  # values up to so many ulp (of 1) beyond a bound count as the bound
    sign: bool = False  # the bounds apply to the magnitude

    @quiet
    def bounds(self, real: np.dtype[Any]) -> tuple[float, float]:
        """The smallest and the largest allowed value in a floating-point type."""
        info = np.finfo(real)
        low = max(self.low, float(info.min)) if not self.low_may_be_infinite else self.low
        if self.above_low:
            low = float(np.nextafter(real.type(self.low), real.type(math.inf)))
        return low, min(self.high, float(info.max))

    @quiet
    def is_bad(self, target: Array, real: np.dtype[Any] | None = None) -> npt.NDArray[np.bool_]:
        """Which elements are outside the domain, for a computation in the type `real` (default: the target's own)."""
        own = target.dtype if target.dtype.kind == "f" and target.dtype.itemsize >= 4 else np.dtype(np.float64)
        low, high = self.bounds(real or own)
        slack = self.slack * float(np.finfo(own).eps)
        with np.errstate(all="ignore"):
            size = abs(target.astype(np.float64)) if self.sign else target.astype(np.float64)
            bad = ~((size >= low - slack) & (size <= high + slack))
            if real is not None and real.itemsize < own.itemsize:  # after rounding
                bad |= ~((size.astype(real) >= low - slack) & (size.astype(real) <= high + slack))
        return np.asarray(bad)


REAL = Target("real", "a finite number")
NON_NEGATIVE = Target("non_negative", "a finite number of at least 0", low=0.0)
POSITIVE = Target("positive", "a finite number above 0", low=0.0, above_low=True)
UNIT = Target("unit", "in [0, 1]", low=0.0, high=1.0, slack=4.0)
SIGN = Target("sign", "-1 or 1", low=1.0, high=1.0, sign=True)
LOG_PROBABILITY = Target("log_probability", "a finite number or -inf", low_may_be_infinite=True)
CLASS = Target("class", "in [0, {n_classes})")
LABELS = Target("labels", "in [0, {n_classes}) or -1 after the last label of a row")


@dataclass(frozen=True, slots=True)
class InputDomain:
    """The domain of predictions, if not all numbers: from `low` to `high`, and NaN, which propagates."""

    requirement: str
    low: float = -math.inf
    high: float = math.inf


PROBABILITY = InputDomain("in [0, 1]", low=0.0, high=1.0)
MEAN = InputDomain("at least 0", low=0.0)


@dataclass(frozen=True, slots=True)
class Link:
    """The function that maps the mean to the raw score."""

    name: str
    formula: str
    link: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


def logistic(raw: Array) -> Array:
    e = np.exp(-abs(raw))
    return np.where(raw >= 0, 1, e) / (1 + e)  # type: ignore[no-any-return]


def log_odds(mean: Array) -> Array:
    return np.log(mean) - np.log1p(-mean)


def softmax(raw: Array) -> Array:
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def log_shares(mean: Array) -> Array:
    log = np.log(mean)
    return log - log.mean(axis=1, keepdims=True)  # type: ignore[no-any-return]


IDENTITY = Link("identity", "raw", lambda mean: mean.copy(), lambda raw: raw.copy())
LOG = Link("log", "exp(raw)", np.log, np.exp)
LOGIT = Link("logit", "1 / (1 + exp(-raw))", log_odds, logistic)
HALF_LOGIT = Link("half_logit", "1 / (1 + exp(-2 raw))", lambda mean: log_odds(mean) / 2, lambda raw: logistic(2 * raw))
SOFTMAX = Link("softmax", "exp(raw) / sum(exp(raw))", log_shares, softmax)


@dataclass(frozen=True, slots=True)
class Declaration:
    """All facts about a loss that the rest of the package needs."""

    function: str  # public name of the function that returns the value
    kernel: str  # _kernels/losses/<family>/<kernel>.h
    family: str  # "element", "row" or "labels"
    target: Target
    soft_kernel: str | None = None  # the kernel for rows of probabilities, if the loss takes these and class ids
    product_kernel: str | None = None  # its gradient, with directions as targets, is the Hessian product
    input_domain: InputDomain | None = None  # None: all numbers
    link: Link | None = None
    start: Callable[..., Any] | None = None  # finds the constant that minimises the loss, see _start
    weights: tuple[str, ...] = ("weight",)  # parameters that are weights
    ranks: tuple[int, ...] | None = None  # None: any
    value_by_row: bool = False  # one value per row
    over_columns: bool = False  # divided by the number of columns
    divides_by_class_weight: bool = False  # in the mean over class ids, as in torch
    broadcasts: bool = False  # whether input and target broadcast with each other
    curvatures: tuple[str, ...] = ("exact",)
    kernel_parameters: tuple[str, ...] = ()  # in the order of the kernel's header
    variant: str | None = None  # the parameter that chooses among the kernel's variants
    value_ulp: float = 2.0
    grad_ulp: float = 3.0
    hess_ulp: float = 6.0
    derivatives_by_row: bool = False  # their bounds are in ulp of the row's largest derivative
    smooth: bool = True  # has a first derivative everywhere
    convex: bool = True
    linear_score: bool = True  # whether a linear model of the score makes sense
    low_score_means: str = "negative"  # or "alike", for losses of a distance
    # ns on one thread with AVX-512, to choose the number of threads
    cost: float = 0.3  # per float32 element
    cost_of_row: float = 0.0  # per row, in addition to its elements

    @property
    def takes_ids(self) -> bool:
        return self.target.kind in ("class", "labels")


_registry: list[Any] = []


def register(cls: type) -> None:
    _registry.append(cls)


def registry() -> tuple[Any, ...]:
    """All public loss classes of an array of predictions, in the order of definition.

    Losses over a linear layer are not among them. ``cls.declaration`` holds the facts about a loss.

    Returns
    -------
    tuple of type
        Subclasses of ``DenseLoss``.

    Examples
    --------
    >>> import lossext as lx
    >>> [cls.__name__ for cls in lx.registry() if cls.declaration.broadcasts]
    ['HingeEmbeddingLoss']
    """
    return tuple(_registry)


# ---- signatures that follow from the parameters ----


def parameters_of(cls: type) -> dict[str, Parameter[Any]]:
    """The declared parameters of a class, in the order of its constructor."""
    return _parameters_of(cls)


@functools.cache
def _parameters_of(cls: Any) -> dict[str, Parameter[Any]]:
    found: dict[str, Parameter[Any]] = {}
    own = [p for p in vars(cls).values() if isinstance(p, Parameter)]
    inherited = [p for base in cls.__mro__[1:-1] for p in vars(base).values() if isinstance(p, Parameter)]
    for p in (*own, *inherited):
        if p.check is not None and getattr(cls, p.name) is p:  # a subclass may hide a parameter by another attribute
            found[p.name] = p
    positional = [p for p in found.values() if not p.kw_only]
    return {p.name: p for p in (*positional, *(p for p in found.values() if p.kw_only))}


def signature_of(
    cls: type, first: tuple[str, ...] = (), positional: tuple[str, ...] | None = None
) -> inspect.Signature:
    """Signature of the constructor, or, with `first` arguments, of the function; `positional` parameters come first."""
    parameters = parameters_of(cls)
    if positional is not None:
        rest = [name for name in parameters if name not in positional]
        parameters = {name: parameters[name] for name in (*positional, *rest)}
    arguments = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in first]
    for name, p in parameters.items():
        by_position = not p.kw_only if positional is None else name in positional
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if by_position else inspect.Parameter.KEYWORD_ONLY
        arguments.append(inspect.Parameter(name, kind, default=p.default))
    return inspect.Signature(arguments)


def function_of(cls: Any, example: str, positional: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The function that returns a loss's value, with the parameters as keywords (or `positional` ones)."""
    signature = signature_of(cls, ("input", "target"), positional)
    declared = parameters_of(cls)
    weights = [key for key in cls.declaration.weights if key in declared]
    name = cls.declaration.function

    @functools.lru_cache(maxsize=256, typed=True)
    def of_scalars(**parameters: Any) -> Any:
        return cls(**parameters)

    def function(input: npt.ArrayLike, target: npt.ArrayLike, *arguments: Any, **parameters: Any) -> Any:
        if arguments:
            if len(arguments) > len(positional):
                raise TypeError(f"{name}() takes at most {2 + len(positional)} arguments by position")
            for key, value in zip(positional, arguments, strict=False):
                if key in parameters:
                    raise TypeError(f"{name}() got {key!r} twice")
                parameters[key] = value
        arrays = {}
        for key in weights:  # the loss without weights is cached: to construct it takes longer than a small call
            if type(parameters.get(key)) is np.ndarray:
                arrays[key] = parameters.pop(key)
        try:
            loss = of_scalars(**parameters)
        except TypeError:  # an unhashable parameter, such as a list, or a wrong type, which raises again below
            for key in parameters:
                if key not in declared:
                    raise TypeError(f"{name}() has no parameter {key!r}; it has {', '.join(declared)}") from None
            defaults = {key: p.default for key, p in declared.items()}
            return cls._without_copy(**{**defaults, **parameters, **arrays})(input, target)
        if arrays:
            return loss._evaluator.run(drivers.VALUE, input, target, None, None, None, None, None, None, 0, arrays)
        return loss(input, target)

    function.__name__ = function.__qualname__ = name
    function.__module__ = cls.__module__
    function.__signature__ = signature  # type: ignore[attr-defined]
    if cls.__doc__ is not None:
        summary = cls.__doc__.strip().splitlines()[0]
        indented = "\n".join(line.strip() for line in example.strip().splitlines())
        function.__doc__ = (
            f"{summary}\n\nReturns the value of `{cls.__name__}`, whose documentation describes the arguments and the "
            f"errors raised.\n\nExamples\n--------\n>>> import lossext as lx\n{indented}\n"
        )
    return function


def find_kernels(declaration: Declaration, variants: tuple[Any, ...]) -> tuple[dict[Any, int], tuple[str, ...]]:
    """The numbers of a loss's kernels by variant (None if there is only one), and the names of their parameters."""
    names = {None: declaration.kernel} if not variants else {v: f"{declaration.kernel}_{int(v)}" for v in variants}
    found = {variant: drivers.find_loss(declaration.family, name) for variant, name in names.items()}
    return {variant: number for variant, (number, _) in found.items()}, next(iter(found.values()))[1]


def soft_kernel_number(declaration: Declaration) -> int:
    """The number of the kernel for rows of probabilities, -1 if there is none."""
    return drivers.find_loss(declaration.family, declaration.soft_kernel)[0] if declaration.soft_kernel else -1
