"""What losses and samplers have in common: checked, read-only parameters, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from lossext._validate import Array

T = TypeVar("T")
Self = TypeVar("Self", bound="Parameterized")


class Parameter(Generic[T]):
    """A read-only attribute out of the parameters."""

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
        raise AttributeError(f"{self.name} of a {type(instance).__name__} is read-only; make a new one")


class Parameterized:
    """Base of what is made of parameters, which decide equality, repr and pickle."""

    _parameters: dict[str, Any]

    # the constructor's parameters, checked and in the types that the layers below expect
    _checked: ClassVar[Callable[..., dict[str, Any]]]

    def _set_parameters(self, **parameters: Any) -> None:
        """Take checked parameters; arrays are copied, so that nothing can change them."""
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
    """Equality of parameters; of two generators, whether they stand at the same place of the same sequence."""
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


def borrowing(cls: type[Self], **parameters: Any) -> Self:
    """An object for one call, which does not copy its arrays."""
    instance = cls.__new__(cls)
    instance.__dict__["_parameters"] = cls._checked(**parameters)
    return instance
