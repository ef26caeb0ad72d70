"""Inputs for tests that run over every dense loss: from its declaration and its constructor's parameters alone."""

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import lossext
from lossext.losses import DENSE

REDUCTIONS = ("none", "mean", "sum")

# every constructor parameter of every dense loss, with values worth running; weights depend on the shape
PARAMETERS = {"p": (1, 2), "margin": (1.0, 0.3, -0.5), "reduction": REDUCTIONS}

TARGET_DTYPES = {
    "unit": ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"),
    "sign": ("i1", "i2", "i4", "i8", "f2", "f4", "f8"),
    "class": ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"),
}

# rows shorter and longer than any vector, block remainders, one row, one column
MATRICES = [(1, 1), (1, 7), (5, 1), (37, 2), (37, 3), (19, 5), (64, 8), (7, 10), (33, 16), (9, 17), (11, 31), (4, 64)]
MATRICES += [(3, 100), (2, 1003), (301, 4)]
ARRAYS = [(), (1,), (13,), (2, 3, 4), (1025,), (3, 1, 5), (2, 3, 2, 7)]
EMPTY = [(0,), (0, 3), (2, 0), (4, 0, 2)]


def function_of(cls: type) -> Any:
    return getattr(lossext, cls.declaration.function)


def parameters_of(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)


def kind_of(cls: type) -> str:
    """ "unit" (targets in [0, 1]), "sign" (-1 or 1) or "class" (ids)"""
    return cls.declaration.target.kind


def value_shape(loss: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the value for an input (broadcast with its target) of this shape."""
    if loss.reduction != "none":
        return ()
    return shape[:1] if loss.declaration.value_by_row else shape


def matrix_only(cls: type) -> bool:
    return cls.declaration.ranks is not None


def shapes_of(cls: type) -> list[tuple[int, ...]]:
    return MATRICES if matrix_only(cls) else ARRAYS + MATRICES


def empty_shapes_of(cls: type) -> list[tuple[int, ...]]:
    return [(0, 3)] if matrix_only(cls) else EMPTY


def input_of(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> Any:
    return np.asarray(3 * rng.standard_normal(shape)).astype(dtype)


def target_of(
    cls: type, shape: tuple[int, ...], rng: np.random.Generator, dtype: Any = None, soft: bool = False
) -> Any:
    """A target for an input of this shape; soft: anywhere in [0, 1] for a loss that takes it."""
    kind = kind_of(cls)
    if kind == "class":
        target = rng.integers(0, shape[1], shape[0])
    elif kind == "sign":
        target = 2 * rng.integers(0, 2, shape) - 1
    elif soft:
        target = rng.random(shape)
    else:
        target = rng.integers(0, 2, shape)
    return np.asarray(target).astype("i8" if dtype is None and not soft else dtype or "f8")


def weights_for(cls: type, shape: tuple[int, ...], rng: np.random.Generator) -> list[Any]:
    """A weight of every layout that the input's shape takes; eighths, so exact in every type."""

    def draw(of: tuple[int, ...]) -> Any:
        return rng.integers(1, 24, of) / 8

    if kind_of(cls) == "class":
        return [draw(shape[1:])]
    layouts = {shape, shape[1:], shape[:1] + (1,) * (len(shape) - 1), (1,) * len(shape)}
    if len(shape) > 2:
        layouts |= {(1, *shape[1:-1], 1), (*shape[:-1], 1), shape[-1:], (shape[0], 1, *shape[2:])}
    return [1.75, *(draw(layout) for layout in sorted(layouts))]


def losses_for(
    cls: type, shape: tuple[int, ...], rng: np.random.Generator, at_most: int = 100, **fixed: Any
) -> Iterator[Any]:
    """The loss with every combination of its parameters, or `at_most` drawn of them; `fixed` ones as given."""
    choices = []
    for name in parameters_of(cls):
        if name in fixed:
            choices.append([fixed[name]])
        elif name in cls.declaration.weights:
            choices.append([None, *weights_for(cls, shape, rng)])
        else:
            choices.append(PARAMETERS[name])
    combinations = list(itertools.product(*choices))
    if len(combinations) > at_most:
        combinations = [combinations[i] for i in rng.choice(len(combinations), at_most, replace=False)]
    for values in combinations:
        yield cls(**dict(zip(parameters_of(cls), values, strict=True)))


def plain(cls: type, **given: Any) -> Any:
    """The loss with default parameters but for the given ones that it has."""
    return cls(**{name: value for name, value in given.items() if name in parameters_of(cls)})


def roundings(loss: Any, *, soft: bool = False, sample_weight: Any = None, grad_output: Any = None) -> int:
    """How many roundings a call adds to those of the plain loss, whose bound its declaration states."""
    weights = sum(getattr(loss, name) is not None for name in loss.declaration.weights)
    return weights + 2 * soft + (sample_weight is not None) + (grad_output is not None) + (loss.reduction == "mean")


dense = tuple(DENSE)


def name(cls: type) -> str:
    return cls.__name__
