"""Declared, checked and read-only parameters, which losses and samplers have, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np

from lossext import _validate
from lossext._validate import Array

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """The allowed values of a parameter: in words for messages and documentation, as code, and as test examples."""

    requirement: str  # "a finite real number above 0"
    read: Callable[[str, Any], Any]  # converts to the type used internally; raises TypeError, ValueError
    accepts: Callable[[Any], bool]
    tries: tuple[Any, ...]  # some allowed values
    refused: tuple[Any, ...]  # some values of the right type that are not allowed

    def __call__(self, name: str, value: Any) -> Any:
        checked = self.read(name, value)
        if not self.accepts(checked):
            raise ValueError(f"{name} = {checked} is not {self.requirement}")
        return checked


def always(value: Any) -> bool:
    return True


def real() -> Check:
    """Any finite real number."""
    return Check(
        "a finite real number", _validate.finite_real, always, (1.0, 0.3, -0.5), (math.nan, math.inf, -math.inf)
    )


def above(bound: float, *, finite: bool = True) -> Check:
    """A real number above `bound`."""
    read = _validate.finite_real if finite else _validate.real_number
    tries = (bound + 1.0, bound + 0.25, *(() if finite else (math.inf,)))
    return Check(f"above {bound:g}", read, lambda v: v > bound, tries, (bound, bound - 1.0, math.nan))


def at_least(bound: float) -> Check:
    """A finite real number of at least `bound`."""
    return Check(
        f"at least {bound:g}",
        _validate.finite_real,
        lambda v: v >= bound,
        (bound, bound + 0.5, bound + 2.0),
        (bound - 0.25, math.nan, math.inf),
    )


def between(low: float, high: float) -> Check:
    """A real number in the open interval."""
    tries = tuple(low + share * (high - low) for share in (0.5, 0.1, 0.9))
    return Check(
        f"in ({low:g}, {high:g})",
        _validate.as_number,  # numbers that are not finite are outside the interval
        lambda v: low < v < high,
        tries,
        (low, high, low - 0.5, math.nan),
    )


def within(low: float, high: float) -> Check:
    """A real number in the closed interval."""
    tries = tuple(low + share * (high - low) for share in (0.0, 0.1, 1.0))
    return Check(
        f"in [{low:g}, {high:g}]",
        _validate.as_number,
        lambda v: low <= v <= high,
        tries,
        (low - 0.1, high + 0.1, math.nan),
    )


def outside(low: float, high: float) -> Check:
    """A finite real number that is not in the open interval."""
    tries = ((low + high) / 2 + (high - low), low, high, high + 0.9, low - 1.0)
    return Check(
        f"outside ({low:g}, {high:g})",
        _validate.finite_real,
        lambda v: not low < v < high,
        tries,
        ((low + high) / 2, math.nan),
    )


def optional(check: Check) -> Check:
    """None, or a value that another check accepts."""
    return Check(
        f"None or {check.requirement}",
        lambda name, value: None if value is None else check.read(name, value),
        lambda v: v is None or check.accepts(v),
        (None, *check.tries),
        check.refused,
    )


def one_of(*values: int) -> Check:
    """One of a few integers."""
    return Check(
        " or ".join(map(str, values)),
        _validate.integer,
        lambda v: v in values,
        values,
        (min(values) - 1, max(values) + 1),
    )


def an_integer() -> Check:
    """Any int."""
    return Check("an int", _validate.integer, always, (-100, 0), ())


def flag() -> Check:
    """True or False."""
    return Check("a bool", _validate.boolean, always, (True, False), ())


def word(*values: str) -> Check:
    """One of a few words."""
    return Check(
        f"one of {', '.join(map(repr, values))}",
        lambda name, value: _validate.choice(name, value, values),
        always,
        values,
        ("no such word",),
    )


def weights(*, by_class: bool = False) -> Check:
    """None, or weights of a real dtype: one per class, or an array that broadcasts to input."""

    def read(name: str, value: Any) -> Any:
        array = None if value is None else _validate.weights(name, value)
        if by_class and array is not None and array.ndim != 1:
            raise ValueError(f"{name} has shape {array.shape}; allowed is (C,), one per class")
        return array

    return Check("None or weights of a real dtype", read, always, (None,), ())


def one_or_several(check: Check) -> Check:
    """A number that another check accepts, or a sequence of such numbers, one for each column of input."""

    def read(name: str, value: Any) -> Any:
        if np.ndim(value) == 0:
            return check.read(name, value)
        if np.ndim(value) != 1 or not len(value):
            raise ValueError(f"{name} has shape {np.shape(value)}; allowed is a number or a nonempty sequence of them")
        numbers = [check(f"{name}[{i}]", v) for i, v in enumerate(value)]
        return np.array(numbers)

    def accepts(value: Any) -> bool:
        return all(map(check.accepts, np.atleast_1d(value)))

    return Check(f"{check.requirement}, or a sequence of such numbers", read, accepts, check.tries, check.refused)


class Parameter(Generic[T]):
    """A read-only attribute for a parameter, with its default, check and meaning."""

    def __init__(self, default: Any = None, check: Check | None = None, text: str = "", kw_only: bool = True) -> None:
        self.default, self.check, self.text, self.kw_only = default, check, text, kw_only

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Parameter[T]: ...
    @overload
    def __get__(self, instance: Parameterized, owner: type) -> T: ...
    def __get__(self, instance: Parameterized | None, owner: type) -> Parameter[T] | T:
        if instance is None:
            return self
        value: T = instance._parameters[self.name]
        return value

    def __set__(self, instance: Parameterized, value: T) -> None:
        raise AttributeError(f"{self.name} of {type(instance).__name__} is read-only; make a new object instead")


class once(Generic[T]):  # noqa: N801
    """A property that is computed once.

    Like functools.cached_property, but without the lock of Python 3.11, for which a child forked while another thread
    held it would wait forever.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        if instance is None:
            return self  # type: ignore[return-value]
        value = self.function(instance)
        instance.__dict__[self.name] = value
        return value


def parameter(default: Any, check: Check, text: str, *, kw_only: bool = True) -> Any:
    """A declared parameter: its default, its check and the sentence that documents it."""
    return Parameter(default, check, text, kw_only)


class Parameterized:
    """Base of classes whose objects consist of parameters, which determine equality, repr and pickle."""

    _parameters: dict[str, Any]

    def _set_parameters(self, **parameters: Any) -> None:
        """Store checked parameters; arrays are copied, so that nothing can change them."""
        for name, value in parameters.items():
            if isinstance(value, np.ndarray):
                parameters[name] = frozen(value)
            elif isinstance(value, tuple):
                parameters[name] = tuple(map(frozen, value))
        self.__dict__["_parameters"] = parameters

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._parameters.items())})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameterized):
            return NotImplemented
        mine, theirs = self._parameters, other._parameters
        return type(self) is type(other) and all(same(mine[name], theirs[name]) for name in mine)

    def __hash__(self) -> int:
        scalars = ((k, v) for k, v in self._parameters.items() if isinstance(v, (int, float, str)))
        return hash((type(self), *scalars))

    def __getstate__(self) -> dict[str, Any]:
        return dict(self._parameters)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_parameters(**state)


def frozen(array: Array) -> Array:
    """A copy that cannot be written to."""
    array = array.copy()
    array.flags.writeable = False
    return array


def same(a: Any, b: Any) -> bool:
    """Equality of parameters; two generators are equal if they are at the same position of the same sequence."""
    if isinstance(a, np.random.Generator) and isinstance(b, np.random.Generator):
        a, b = a.bit_generator.state, b.bit_generator.state
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
