"""From what a caller hands over to arrays that the kernels read: the only path.

Kernels take native, aligned, C-contiguous float32 or float64.  An array that is so already goes through untouched;
anything else real is copied into that form.  Every error names the argument, what came and what is allowed.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext._kernels import drivers

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
TARGET_TYPES = {
    np.dtype(np.bool_): drivers.UINT8,
    np.dtype(np.uint8): drivers.UINT8,
    INT32: drivers.INT32,
    INT64: drivers.INT64,
}

_READY = 0x0001 | 0x0100  # NumPy's C_CONTIGUOUS and ALIGNED flags


class Operand(NamedTuple):
    """An array that broadcasts to the input, in a layout that the kernels know."""

    array: Any  # ndarray, or None where there is none
    layout: int


NO_OPERAND = Operand(None, drivers.ABSENT)


def ready(array: Array) -> bool:
    """Whether kernels can read the memory as it is (but for the type)."""
    return array.flags.num & _READY == _READY


def as_array(name: str, value: Any) -> Array:
    """`value` as an array, whatever is in it."""
    if type(value) is np.ndarray:
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name} cannot be made an array: {error}") from None
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array with masked entries, which have no loss; fill them first")
    return array


def require_real(name: str, array: Array, allowed: str = "bool, integer, float16, float32 or float64") -> None:
    """TypeError unless the numbers are of a real type that float64 holds."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {array.dtype}; allowed is {allowed}")


def native(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array as the kernels read it, copied only if it is not so yet."""
    if array.dtype == dtype and ready(array):
        return array
    with np.errstate(over="ignore"):  # a weight beyond float32 becomes inf, as in NumPy
        array = np.ascontiguousarray(array, dtype).reshape(array.shape)
    return array if ready(array) else array.copy()


def real_input(name: str, value: Any) -> tuple[Array, np.dtype[Any], np.dtype[Any]]:
    """An argument that sets the type of the computation: in that type, the type, and the type of the results.

    Both types are the module's own objects, so that `is` compares them: an array's equal dtype can be another object.
    """
    array = value if type(value) is np.ndarray else as_array(name, value)
    dtype = array.dtype
    if dtype is FLOAT32 or dtype is FLOAT64:
        return (array if ready(array) else native(array, dtype)), dtype, dtype
    require_real(name, array)
    if dtype.kind == "f" and dtype.itemsize == 2:
        return native(array, FLOAT32), FLOAT32, FLOAT16
    real = FLOAT32 if dtype.kind == "f" and dtype.itemsize == 4 else FLOAT64
    return native(array, real), real, real


def real_target(name: str, value: Any, real: np.dtype[Any]) -> tuple[Array, int]:
    """Targets in a type that the kernels read, and which one it is."""
    array = value if type(value) is np.ndarray else as_array(name, value)
    if array.dtype is real:
        return (array if ready(array) else native(array, real)), drivers.REAL
    require_real(name, array)
    dtype = array.dtype.newbyteorder("=")
    kind = TARGET_TYPES.get(dtype)
    if kind is not None:
        return native(array, dtype), kind
    if dtype.kind == "i":  # int8, int16
        return native(array, INT32), drivers.INT32
    return native(array, real), drivers.REAL


def class_ids(name: str, value: Any) -> tuple[Array, int]:
    """Class ids as int32 or int64, and which; that they are classes is checked where they are used."""
    array = value if type(value) is np.ndarray else as_array(name, value)
    dtype = array.dtype
    if dtype is INT64 or dtype is INT32:
        return (array if ready(array) else native(array, dtype)), drivers.INT64 if dtype is INT64 else drivers.INT32
    if array.size == 0 and type(value) is not np.ndarray:
        return native(array, INT64), drivers.INT64  # an empty list has no type to complain of
    if dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {dtype}; class ids are of an integer dtype (of at most 64 bits)")
    if dtype.kind == "u" and dtype.itemsize == 8:
        array = np.minimum(array, np.iinfo(np.int64).max)  # no class either, and does not turn negative
    if dtype == INT32:
        return native(array, INT32), drivers.INT32
    return native(array, INT64), drivers.INT64


def weights(name: str, value: Any) -> Array:
    """Weights as an array of a real type."""
    array = as_array(name, value)
    require_real(name, array)
    return array


def optional_weights(name: str, value: Any) -> Array | None:
    """Weights of a real type that a loss may have."""
    return None if value is None else weights(name, value)


def class_weights(name: str, array: Array | None, n_classes: int, dtype: np.dtype[Any]) -> Operand:
    """One weight a class."""
    if array is None:
        return NO_OPERAND
    if array.shape != (n_classes,):
        raise ValueError(f"{name} has shape {array.shape}; allowed is ({n_classes},), one a class")
    return Operand(native(array, dtype), drivers.BY_COLUMN)


def sample_weights(value: Any, n_rows: int | None, dtype: np.dtype[Any]) -> Array | None:
    """One weight a row, None for none."""
    if value is None:
        return None
    array = weights("sample_weight", value)
    if n_rows is None or array.shape != (n_rows,):
        wanted = "there is no first axis to go along" if n_rows is None else f"allowed is ({n_rows},), one a row"
        raise ValueError(f"sample_weight has shape {array.shape}; {wanted}")
    return native(array, dtype)


def upstream(value: Any, shape: Shape | None, dtype: np.dtype[Any]) -> tuple[Array | None, float]:
    """grad_output as (array of the value's shape, 1.0); as (None, scalar) where the value is one and `shape` None."""
    if value is None:
        return None, 1.0
    array = weights("grad_output", value)
    if shape is None:
        if array.ndim:
            raise ValueError(f"grad_output has shape {array.shape}; the value is a scalar, and so is its gradient")
        return None, float(array)
    if array.shape != shape:
        raise ValueError(f"grad_output has shape {array.shape}; allowed is the value's, {shape}")
    return native(array, dtype), 1.0


def result(name: str, value: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """An array to write a result to."""
    if value is None:
        return np.empty(shape, dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, not {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name} has dtype {value.dtype}; allowed is {dtype}, as of input")
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}; allowed is input's, {shape}")
    if not value.flags.carray:
        raise ValueError(f"{name} must be C-contiguous, aligned and writable")
    return value


def apart(name: str, out: Array, other_name: str, other: Any) -> None:
    """ValueError if `out` may share memory with another argument."""
    if isinstance(other, np.ndarray) and np.may_share_memory(out, other):
        raise ValueError(f"{name} shares memory with {other_name}; only input may be overwritten, and as a whole")


def padded(shape: Shape, n_dims: int) -> Shape:
    return (1,) * (n_dims - len(shape)) + shape


def split_axis(shape: Shape, *operands: Array | None) -> int:
    """Where to cut input's axes into rows and columns, so that operands are one by row or by column if they can be."""
    if len(shape) <= 2:
        return 1 if shape else 0
    varying = [
        [axis for axis, length in enumerate(padded(a.shape, len(shape))) if length != 1]
        for a in operands
        if a is not None
    ]
    by_column = [axes[0] for axes in varying if axes and axes[0] > 0]
    by_row = [axes[-1] + 1 for axes in varying if axes]
    return min(by_column) if by_column else min(max(by_row, default=1), len(shape) - 1)


def operand(name: str, array: Array | None, shape: Shape, split: int, dtype: np.dtype[Any]) -> Operand:
    """`array` for an input of `shape` cut at axis `split`; repeated in memory only if neither by row nor by column."""
    if array is None:
        return NO_OPERAND
    if array.shape == shape:
        return Operand(native(array, dtype), drivers.FULL)
    if array.shape == shape[split:] and shape[0] > 1:  # the common case, without the arithmetic below
        return Operand(native(array, dtype), drivers.BY_COLUMN)
    own = padded(array.shape, len(shape))
    if array.ndim > len(shape) or any(n not in (1, full) for n, full in zip(own, shape, strict=True)):
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to input's, {shape}")
    if array.size == 1:
        return Operand(native(array.reshape(1), dtype), drivers.SCALAR)
    leading, trailing = own[:split], own[split:]
    if math.prod(shape[:split]) == 1 or math.prod(shape[split:]) == 1:
        array, layout = np.broadcast_to(array, shape), drivers.FULL
    elif math.prod(leading) == 1:
        array, layout = np.broadcast_to(array.reshape(trailing), shape[split:]), drivers.BY_COLUMN
    elif math.prod(trailing) == 1:
        array, layout = np.broadcast_to(array.reshape(leading), shape[:split]), drivers.BY_ROW
    else:
        array, layout = np.broadcast_to(array, shape), drivers.FULL
    return Operand(native(array, dtype), layout)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} = {value!r} is not one of {', '.join(map(repr, allowed))}")
    return value


def reduction(value: Any) -> str:
    """'none', 'mean' or 'sum'."""
    return choice("reduction", value, ("none", "mean", "sum"))


def finite_real(name: str, value: Any) -> float:
    """A finite real number, not a bool."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.floating, np.integer)):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} = {number} is not a finite float")
    return number


def integer(name: str, value: Any) -> int:
    """An int of any kind but bool."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    return int(value)


def positive(name: str, value: Any) -> int:
    """An int of at least 1."""
    number = integer(name, value)
    if number < 1:
        raise ValueError(f"{name} = {number} is not at least 1")
    return number


def boolean(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return bool(value)


def ids_in_range(name: str, value: Any, n_classes: int, own: bool = False) -> Array:
    """Class ids as int64, each in [0, n_classes); a copy if it is to be the callee's `own`."""
    array, _ = class_ids(name, value)
    array = np.array(array, INT64) if own else native(array, INT64)
    if array.size and (array.min() < 0 or array.max() >= n_classes):
        at = np.unravel_index(int(np.argmax((array < 0) | (array >= n_classes))), array.shape)
        raise ValueError(f"{item(name, at)} = {np.asarray(value)[at]} is not in [0, {n_classes})")
    return array


def item(name: str, index: tuple[Any, ...]) -> str:
    """How an element is called in a message: target[3], target[2, 1]."""
    return f"{name}[{', '.join(str(int(i)) for i in index)}]" if index else name
