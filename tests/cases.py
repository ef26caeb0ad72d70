"""Inputs for tests that run over every dense loss: from its declaration and its parameters alone."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import lossext
from lossext._declare import parameters_of as declared

REDUCTIONS = ("none", "mean", "sum", "weighted_mean", "batchmean")

WHOLE = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
TARGET_DTYPES = {
    "unit": WHOLE,
    "real": WHOLE[1:],  # targets other than 0 and 1 are no bool
    "non_negative": WHOLE[1:],
    "positive": WHOLE[1:],
    "log_probability": WHOLE[1:],
    "sign": ("i1", "i2", "i4", "i8", "f2", "f4", "f8"),
    "labels": ("i1", "i2", "i4", "i8"),  # -1 ends a row
    "class": ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"),
}
# values to try where those of the check would round on the way, and what a loss is without
TRIES = {"label_smoothing": (0.0, 0.25), "missing": ("error",), "ignore_index": (-100,)}

# rows shorter and longer than any vector, block remainders, one row, one column
MATRICES = [(1, 1), (1, 7), (5, 1), (37, 2), (37, 3), (19, 5), (64, 8), (7, 10), (33, 16), (9, 17), (11, 31), (4, 64)]
MATRICES += [(3, 100), (2, 1003), (301, 4)]
ARRAYS = [(), (1,), (13,), (2, 3, 4), (1025,), (3, 1, 5), (2, 3, 2, 7)]
CLASSES_ALONG_AXIS_1 = [(2, 3, 4), (3, 5, 1), (2, 3, 2, 7), (1, 4, 301), (2, 140, 19)]
EMPTY = [(0,), (0, 3), (2, 0), (4, 0, 2)]


def function_of(cls: type) -> Any:
    return getattr(lossext, cls.declaration.function)


def parameters_of(cls: type) -> list[str]:
    return list(declared(cls))


def kind_of(cls: type) -> str:
    """What its targets are: "real", "unit" (in [0, 1]), "sign" (-1 or 1), "class" (ids), ..."""
    return str(cls.declaration.target.kind)


def values_of(cls: type, name: str) -> tuple[Any, ...]:
    """Values of a parameter worth running."""
    if name == "reduction":
        return REDUCTIONS
    return TRIES.get(name) or declared(cls)[name].check.tries


def powers_of(cls: type) -> tuple[int, ...]:
    return (1, 2) if "p" in parameters_of(cls) else (1,)


def value_shape(loss: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the value for an input (broadcast with its target) of this shape."""
    if loss.reduction != "none":
        return ()
    return shape[:1] + shape[2:] if loss.declaration.value_by_row else shape


def matrix_only(cls: type) -> bool:
    """Whether a rank of 2 is all that it takes, or what it takes at least."""
    return cls.declaration.ranks is not None or cls.declaration.family != "element"


def shapes_of(cls: type) -> list[tuple[int, ...]]:
    if cls.declaration.ranks is not None:
        return MATRICES
    return (ARRAYS if cls.declaration.family == "element" else CLASSES_ALONG_AXIS_1) + MATRICES


def empty_shapes_of(cls: type) -> list[tuple[int, ...]]:
    return [(0, 3)] if matrix_only(cls) else EMPTY


def takes_part_of_the_line(cls: type) -> bool:
    """Whether its predictions have a domain, maybe by a parameter: what lies in [0, 1] is inside."""
    return cls.declaration.input_domain is not None or "_input_domain" in vars(cls)


def input_of(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator, cls: Any = None) -> Any:
    """Predictions of this shape, inside the loss's domain where it has one."""
    if cls is not None and takes_part_of_the_line(cls):
        return np.asarray(0.02 + 0.96 * rng.random(shape)).astype(dtype)
    return np.asarray(3 * rng.standard_normal(shape)).astype(dtype)


def target_of(
    cls: type, shape: tuple[int, ...], rng: np.random.Generator, dtype: Any = None, soft: bool = False
) -> Any:
    """A target for an input of this shape; soft: anywhere in [0, 1] for a loss that takes it."""
    kind = kind_of(cls)
    if soft and cls.declaration.soft_kernel:
        target = rng.random(shape)
    elif kind == "class":
        target = rng.integers(0, shape[1], shape[:1] + shape[2:])
    elif kind == "labels":
        target = label_sets(shape, rng)
    elif kind == "sign":
        target = 2 * rng.integers(0, 2, shape) - 1
    elif soft:
        target = rng.random(shape)
    elif kind == "positive":
        target = rng.integers(1, 6, shape)
    elif kind == "unit":
        target = rng.integers(0, 2, shape)
    else:
        target = rng.integers(0, 5, shape)
    return np.asarray(target).astype("i8" if dtype is None and not soft else dtype or "f8")


def label_sets(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Some ids per row, each once, padded with -1."""
    most = min(shape[1], 6)
    order = np.argsort(rng.random(shape), axis=1)[:, :most]
    return np.where(np.arange(most) < rng.integers(0, most + 1, (shape[0], 1)), order, -1)


def weights_for(cls: type, shape: tuple[int, ...], rng: np.random.Generator) -> list[Any]:
    """A weight of every layout that the input's shape takes; eighths, so exact in every type."""

    def draw(of: tuple[int, ...]) -> Any:
        return rng.integers(1, 24, of) / 8

    if kind_of(cls) == "class":
        return [draw(shape[1:2])]
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
            choices.append(list(values_of(cls, name)))
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
    return (
        weights
        + 2 * soft
        + (sample_weight is not None)
        + (grad_output is not None)
        + (loss.reduction not in ("none", "sum"))
    )


dense = lossext.registry()


def name(cls: type) -> str:
    return cls.__name__
