"""Conversion and checks of arguments that kernels cannot read directly, one argument at a time.

Kernels take native, aligned, C-contiguous float32 or float64.  An array of this form is passed on unchanged; any other
real array is copied into it.  Every error names the argument, what it is and what is allowed.
"""

from __future__ import annotations

import functools
import math
import numbers
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

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

NULLABLE = ("Int", "UInt", "Float", "boolean", "int", "uint", "double", "bool")  # dtypes of pandas, including Arrow's

TAKE_CSR = ("target", "labels", "exclude")  # arguments that may be sparse

MOST = 2**63 - 1

_READY = 0x0001 | 0x0100  # NumPy's C_CONTIGUOUS and ALIGNED flags


P = ParamSpec("P")
T = TypeVar("T")


def quiet(function: Callable[P, T]) -> Callable[P, T]:
    """The function without floating-point warnings or errors, whatever the caller's ``np.seterr``."""

    @functools.wraps(function)
    def silent(*args: P.args, **kwargs: P.kwargs) -> T:
        with np.errstate(all="ignore"):  # a new object for each call: NumPy 1 stores the caller's state in it
            return function(*args, **kwargs)

    return silent


class Operand(NamedTuple):
    """An array that broadcasts to the input, in a layout that the kernels know."""

    array: Any
    layout: int


def ready(array: Array) -> bool:
    """Whether kernels can read the memory directly, apart from its dtype."""
    return array.flags.num & _READY == _READY


def as_array(name: str, value: Any) -> Array:
    """`value` as an array of any dtype."""
    if type(value) is np.ndarray:
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name} cannot be converted to an array: {error}") from None
    ma = sys.modules.get("numpy.ma")  # not np.ma, which imports it: a child forked meanwhile would wait forever
    if isinstance(value, getattr(ma, "MaskedArray", ())) and ma.is_masked(value):  # type: ignore[union-attr]
        raise ValueError(f"{name} is a masked array with masked entries, which have no loss; fill them first")
    if array.dtype == object:
        advice = what_to_do(name, value)
        if advice is not None:
            raise TypeError(advice)
    return array


def what_to_do(name: str, value: Any) -> str | None:
    """How to convert a value that became an object array: a sparse matrix, or a column or frame of pandas."""
    if hasattr(value, "tocsr"):
        form = getattr(value, "format", "?")
        if name in TAKE_CSR and form != "csr":
            return not_csr(name, value)
        return f"{name} is sparse in format {form}; allowed is an array: {name}.toarray()"
    if not hasattr(value, "to_numpy"):
        return None
    if hasattr(value, "columns"):
        return (
            f"{name} is a {type(value).__name__} whose columns do not have one common real dtype; convert it by "
            f"{name}.to_numpy('float64'), with na_value=np.nan if entries are missing (NA)"
        )
    kind = str(getattr(value, "dtype", ""))
    if kind == "category":
        return f"{name} is a {type(value).__name__} of dtype category; pass its integer codes, {name}.cat.codes"
    if kind.startswith(NULLABLE):
        return (
            f"{name} is a {type(value).__name__} of dtype {kind} with missing entries (NA); "
            f"{name}.to_numpy('float64', na_value=np.nan) converts them to NaN"
        )
    return None


def require_real(name: str, array: Array, allowed: str = "bool, integer, float16, float32 or float64") -> None:
    """TypeError unless the array has a real dtype of at most 64 bits."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {array.dtype}; allowed is {allowed}")


def native(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in the form that kernels read, copied only if necessary."""
    if array.dtype == dtype and ready(array):
        return array
    with np.errstate(all="ignore"):  # a weight beyond float32's range becomes inf, as in NumPy, but without a warning
        array = np.ascontiguousarray(array, dtype).reshape(array.shape)
    return array if ready(array) else array.copy()


def real_input(name: str, value: Any) -> tuple[Array, np.dtype[Any], np.dtype[Any]]:
    """(array in the compute dtype, compute dtype, result dtype) for an argument that determines these dtypes.

    The dtypes are this module's own objects, so they can be compared by `is`; an array's equal dtype may be another
    object.
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


def real_target(name: str, value: Any, real: np.dtype[Any], takes_bool: bool) -> tuple[Array, int]:
    """Targets in a dtype that the kernels read, and the kernels' code for this dtype."""
    array = value if type(value) is np.ndarray else as_array(name, value)
    require_real(name, array)
    dtype = array.dtype.newbyteorder("=")
    if dtype == np.bool_ and not takes_bool:
        raise TypeError(
            f"{name} has dtype bool, and False is not -1; allowed is an integer or float dtype holding -1 and 1"
        )
    if dtype in (FLOAT32, FLOAT64):
        return native(array, dtype), drivers.REAL if dtype == real else drivers.OTHER_REAL
    kind = TARGET_TYPES.get(dtype)
    if kind is not None:
        return native(array, dtype), kind
    if dtype.kind == "i":  # int8, int16
        return native(array, INT32), drivers.INT32
    return native(array, real), drivers.REAL  # float16, uint16, uint32, uint64


def class_ids(name: str, value: Any) -> tuple[Array, int]:
    """Class ids as int32 or int64, and the kernels' code for this dtype; their range is checked where they are used."""
    array = value if type(value) is np.ndarray else as_array(name, value)
    dtype = array.dtype
    if dtype is INT64 or dtype is INT32:
        return (array if ready(array) else native(array, dtype)), drivers.INT64 if dtype is INT64 else drivers.INT32
    if array.size == 0 and type(value) is not np.ndarray:
        return native(array, INT64), drivers.INT64  # the float64 dtype of an empty list is not the caller's choice
    if dtype.kind == "f" and str(getattr(value, "dtype", "")).startswith(NULLABLE):
        raise TypeError(
            f"{name} is a {type(value).__name__} of dtype {value.dtype} with missing entries (NA), which are not class "
            f"ids; exclude them by {'mask=' if name == 'target' else 'sample_weight=0'}, and fill them with any class "
            f"id, as by {name}.fillna(0)"
        )
    if dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {dtype}; allowed are integer dtypes of at most 64 bits for class ids")
    if dtype.kind == "u" and dtype.itemsize == 8:
        array = np.minimum(array, np.iinfo(np.int64).max)  # stays out of range instead of becoming negative
    if dtype == INT32:
        return native(array, INT32), drivers.INT32
    return array.astype(INT64, order="C"), drivers.INT64


def weights(name: str, value: Any) -> Array:
    """Weights as an array of a real dtype."""
    if type(value) is np.ndarray and (value.dtype is FLOAT32 or value.dtype is FLOAT64):
        return value
    array = as_array(name, value)
    require_real(name, array)
    return array


def check_class_weights(name: str, array: Array, n_classes: int) -> None:
    """ValueError unless there is exactly one weight per class."""
    if array.shape != (n_classes,):
        raise ValueError(f"{name} has shape {array.shape}; allowed is ({n_classes},), one per class")


def sample_weights(value: Any, n_rows: int | None, dtype: np.dtype[Any]) -> Array | None:
    """One weight per row in the given dtype, or None."""
    if value is None:
        return None
    array = weights("sample_weight", value)
    if n_rows is None or array.shape != (n_rows,):
        wanted = "input has no rows to weight" if n_rows is None else f"allowed is ({n_rows},), one per row"
        raise ValueError(f"sample_weight has shape {array.shape}; {wanted}")
    return native(array, dtype)


def upstream(value: Any, shape: Shape | None, dtype: np.dtype[Any]) -> tuple[Array | None, float]:
    """grad_output as (array of the value's shape, 1.0), or as (None, scalar) for a scalar value (`shape` None)."""
    if value is None:
        return None, 1.0
    if shape is None:
        return None, upstream_scalar(value)
    return upstream_array(value, shape, dtype), 1.0


def upstream_scalar(value: Any) -> float:
    """grad_output of a value that is a scalar."""
    array = weights("grad_output", value)
    if array.ndim:
        raise ValueError(f"grad_output has shape {array.shape}; allowed is a scalar, as the value is one")
    return float(array)


def upstream_array(value: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """grad_output of the value's shape."""
    array = weights("grad_output", value)
    if array.shape != shape:
        raise ValueError(f"grad_output has shape {array.shape}; allowed is the value's, {shape}")
    return native(array, dtype)


def known(name: str, value: Any, shape: Shape) -> Array:
    """A mask, true where the target is known."""
    array = as_array(name, value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} has dtype {array.dtype}; allowed is bool, True where the target is known")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed is {shape}")
    return native(array, np.dtype(np.bool_))


def check_result(name: str, value: Any, shape: Shape, dtype: np.dtype[Any]) -> None:
    """TypeError or ValueError unless `value` is an array to which the result can be written."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, not {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name} has dtype {value.dtype}; allowed is input's, {dtype}")
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}; allowed is input's, {shape}")
    if not value.flags.carray:
        raise ValueError(f"{name} must be C-contiguous, aligned and writable")


def require_no_overlap(out: Array, input: Any, others: dict[str, Any]) -> None:
    """ValueError if `out` may share memory with an argument, unless it is exactly the memory of input."""
    whole = isinstance(input, np.ndarray) and (
        out.__array_interface__["data"][0] == input.__array_interface__["data"][0]
        and out.strides == input.strides
        and out.nbytes == input.nbytes
    )
    for name, value in (*(() if whole else (("input", input),)), *others.items()):
        array = np.asarray(value) if hasattr(value, "__array__") else value  # pandas, torch: maybe the same memory
        if isinstance(array, np.ndarray) and np.may_share_memory(out, array):
            raise ValueError(f"out shares memory with {name}; it may only be input itself or separate memory")


def padded(shape: Shape, n_dims: int) -> Shape:
    return (1,) * (n_dims - len(shape)) + shape


def split_axis(shape: Shape, *operands: Array | None) -> int:
    """The axis that divides input's axes into rows and columns; if possible, operands vary along only one of these."""
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


def operand(name: str, array: Array, shape: Shape, split: int, dtype: np.dtype[Any]) -> Operand:
    """`array` for an input of `shape` divided at axis `split`; repeated in memory if it varies by row and column."""
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


def real_number(name: str, value: Any) -> float:
    """A real number that may be infinite, but not NaN or a bool."""
    number = as_number(name, value)
    if math.isnan(number):
        raise ValueError(f"{name} = nan is not a number")
    return number


def as_number(name: str, value: Any) -> float:
    """A real number, not a bool, as a float."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.floating, np.integer)):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def finite_real(name: str, value: Any) -> float:
    """A finite real number, not a bool."""
    number = as_number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} = {number} is not a finite number")
    return number


def integer(name: str, value: Any) -> int:
    """An integer of any type except bool."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    return int(value)


def positive(name: str, value: Any) -> int:
    """A count: an int of at least 1 that int64 can hold."""
    number = integer(name, value)
    if number < 1:
        raise ValueError(f"{name} = {number} is not at least 1")
    if number > MOST:
        raise ValueError(f"{name} = {number} is greater than {MOST}, the maximum of int64")
    return number


def boolean(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return bool(value)


def ids_in_range(name: str, value: Any, n_classes: int, own: bool = False) -> Array:
    """Class ids as int64, each in [0, n_classes); always a copy if `own`."""
    array, _ = class_ids(name, value)
    array = np.array(array, INT64) if own else native(array, INT64)
    if array.size and (array.min() < 0 or array.max() >= n_classes):
        at = np.unravel_index(int(np.argmax((array < 0) | (array >= n_classes))), array.shape)
        raise ValueError(f"{item(name, at)} = {np.asarray(value)[at]} is not in [0, {n_classes})")
    return array


def first_of_equals(ascending: Array) -> Array:
    """Where a number differs from the previous one (np.unique imports numpy.ma; see `as_array`)."""
    first = np.ones(len(ascending), bool)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return first


def item(name: str, index: tuple[Any, ...]) -> str:
    """The name of an element in a message: target[3], target[2, 1]."""
    return f"{name}[{', '.join(str(int(i)) for i in index)}]" if index else name


# ---- input and target together ----


def common_shape(facts: Any, shape: Shape, target_shape: Shape, target: Any) -> Shape:
    """The shape of the computation; ValueError if the shapes of input and target do not match."""
    if facts.matrix_only and len(shape) != 2:
        raise ValueError(f"input has shape {shape}; allowed is rank 2, (N, C)")
    if facts.rowwise and len(shape) < 2:
        raise ValueError(f"input has shape {shape}; allowed is (N, C) or (N, C, d1, ...)")
    if (facts.matrix_only or facts.rowwise) and shape[1] == 0:
        raise ValueError(f"input has shape {shape}; at least one column is needed")
    if facts.n_outputs:
        allowed = f"{shape[:1]}, one for the {facts.n_outputs} columns of each row of input"
        if len(shape) != 2 or shape[1] != facts.n_outputs:
            raise ValueError(f"input has shape {shape}; allowed is (N, {facts.n_outputs}), one column per parameter")
        if target_shape != shape[:1]:
            raise ValueError(f"target has shape {target_shape}; allowed is {allowed}")
        return shape
    if facts.target.kind == "labels":
        if is_csr(target) and target_shape == shape:
            return shape
        allowed = f"({shape[0]}, K), the ids of a row's labels padded with -1, or CSR of shape {shape}"
        raise ValueError(f"target has shape {target_shape}; allowed is {allowed}")
    if facts.rowwise:
        ids = shape[:1] + shape[2:]
        allowed = f"{ids}, one class id per row of input"
        if facts.soft_kernel_number >= 0:
            allowed += f", or {shape}, probabilities"
        if target_shape != ids and not (facts.soft_kernel_number >= 0 and target_shape == shape):
            raise ValueError(f"target has shape {target_shape}; allowed is {allowed}")
        return shape
    if target_shape == shape:
        return shape
    if facts.broadcasts:
        try:
            return np.broadcast_shapes(shape, target_shape)
        except (ValueError, RuntimeError):  # RuntimeError: more than the 32 axes that NumPy broadcasts
            pass
        raise ValueError(f"target has shape {target_shape}, which does not broadcast with input's, {shape}")
    raise ValueError(f"target has shape {target_shape}; allowed is input's, {shape}")


def broadcast_target(domain: Any, target: Array, shape: Shape, split: int, real: np.dtype[Any]) -> Operand:
    """A target whose shape is not input's, in the compute dtype and a layout that kernels support."""
    if domain.is_bad(target, real).any():
        raise bad_target(domain, target, target.shape, real)
    if target.shape == shape[: target.ndim] and len(shape) == target.ndim + 1 == split + 1:
        return Operand(native(target, real), drivers.BY_ROW)
    layout = operand("target", target, shape, split, real)
    if layout.layout == drivers.SCALAR:
        return Operand(native(np.broadcast_to(target, shape), real), drivers.FULL)
    return layout


def soft_columns(domain: Any, target: Array, shape: Shape, real: np.dtype[Any]) -> Array:
    """Targets along axis 1 of (N, C, d1, ...), in the compute dtype, as kernels read them."""
    require_real("target", target)
    rounds = target.dtype.kind == "f" and target.dtype.itemsize > real.itemsize  # could make a bad target valid
    if rounds and domain.is_bad(target, real).any():
        raise bad_target(domain, target, shape, real)
    return native(target, real)


def is_csr(value: Any) -> bool:
    """Whether `value` is a SciPy CSR matrix or array, or has its attributes; SciPy is not imported."""
    return not isinstance(value, np.ndarray) and all(
        hasattr(value, name) for name in ("data", "indices", "indptr", "shape")
    )


def not_csr(name: str, value: Any) -> str:
    """The message about a sparse format other than CSR."""
    return f"{name} is sparse in format {getattr(value, 'format', '?')}; allowed is CSR: {name}.tocsr()"


def csr_target(value: Any, shape: Shape, real: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """(starts of rows, columns, values) of a CSR target, with strictly ascending columns; duplicates are summed."""
    if getattr(value, "format", "csr") != "csr":
        raise TypeError(not_csr("target", value))
    data, columns, start = (as_array(f"target.{name}", getattr(value, name)) for name in ("data", "indices", "indptr"))
    require_real("target.data", data)
    for name, ids in (("indices", columns), ("indptr", start)):
        if ids.dtype.kind not in "iu":
            raise TypeError(f"target.{name} has dtype {ids.dtype}; allowed are integers")
    # copies with NumPy's own dtypes, so that kernels use exactly what is checked here
    start, columns = start.astype(INT64), columns.astype(INT32 if columns.dtype == INT32 else INT64)
    n_rows, n_columns = shape
    if start.shape != (n_rows + 1,):
        raise ValueError(f"target.indptr has shape {start.shape}; allowed is ({n_rows + 1},), one more than the rows")
    ascends = np.concatenate(([start[0] == 0], start[1:] >= start[:-1]))  # not by differences, as int64 wraps
    if not ascends.all():
        at = int(np.argmin(ascends))
        raise ValueError(f"{item('target.indptr', (at,))} = {start[at]}; allowed are numbers that ascend from 0")
    for name, array in (("indices", columns), ("data", data)):
        if array.ndim != 1 or len(array) < start[-1]:
            raise ValueError(
                f"target.{name} has shape {array.shape}; allowed is ({start[-1]},), the last entry of target.indptr"
            )
    columns, data = columns[: start[-1]], data[: start[-1]]
    if columns.size and (columns.min() < 0 or columns.max() >= n_columns):
        at = int(np.argmax((columns < 0) | (columns >= n_columns)))
        raise ValueError(f"{item('target.indices', (at,))} = {columns[at]} is not in [0, {n_columns})")
    row_ends = start[1:-1]
    steps = np.diff(columns) > 0
    steps[row_ends[(row_ends > 0) & (row_ends < len(columns))] - 1] = True
    if not steps.all():
        start, columns, data = merged(start, columns, data, n_columns)
    return start, columns, native(data, real)


def csr_labels(value: Any, shape: Shape) -> tuple[Array, Array]:
    """(starts of rows, columns) of the labels of a CSR target: its entries of 1; stored zeros do not count."""
    start, columns, data = csr_target(value, shape, FLOAT64)
    chosen = data == 1
    bad = ~(chosen | (data == 0))
    if bad.any():
        raise bad_stored(start, columns, data, bad, "0 or 1")
    if not chosen.all():
        start = np.concatenate(([0], np.cumsum(chosen)))[start]
        columns = columns[chosen]
    return start, columns


def merged(start: Array, columns: Array, data: Array, n_columns: int) -> tuple[Array, Array, Array]:
    """Rows with strictly ascending columns; entries at the same position are summed."""
    n_rows = len(start) - 1
    rows = np.repeat(np.arange(n_rows), np.diff(start))
    order = np.lexsort((columns, rows))
    rows, columns, data = rows[order], columns[order], data[order]
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    at = np.flatnonzero(first)
    data = np.add.reduceat(data.astype(np.float64), at) if len(at) else data.astype(np.float64)
    start = np.searchsorted(rows[at], np.arange(n_rows + 1)).astype(np.int64)
    return start, np.ascontiguousarray(columns[at]), data


# ---- results ----


def store_result(computed: Array | None, out: Array | None) -> None:
    """Write a derivative to the caller's array, in its dtype and summed over axes along which input was broadcast."""
    if computed is None or out is None:
        return
    extra = computed.ndim - out.ndim
    axes = (*range(extra), *(extra + i for i, n in enumerate(out.shape) if n == 1 and computed.shape[extra + i] != 1))
    with np.errstate(all="ignore"):
        if axes:
            computed = computed.sum(axis=axes, dtype=np.float64).reshape(out.shape)
        out[...] = computed


def rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in another dtype; numbers beyond its range become infinite, without a warning."""
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def bad_target(
    domain: Any,
    given: Any,
    shape: Shape,
    real: np.dtype[Any] | None = None,
    mask: Any = None,
    facts: Any = None,
) -> ValueError:
    """The error that names the first target outside the domain."""
    if is_csr(given):
        return bad_entry(domain, given, shape, real, mask)
    target = np.asarray(given)
    if domain.kind == "labels":
        bad = ((target < 0) | (target >= shape[1])) & (np.cumsum(target == -1, axis=1) == 0)
        mask = None if mask is None else np.asarray(mask, bool)[:, np.newaxis]
    elif domain.kind == "class":
        bad = (target < 0) | (target >= shape[1])
        if facts is not None and facts.ignore_index is not None:
            bad &= target != facts.ignore_index
    else:
        bad = domain.is_bad(target, real)
        if facts is not None and facts.nan_is_missing:
            bad &= ~np.isnan(target) if target.dtype.kind == "f" else True
    if mask is not None:
        known = np.asarray(mask, bool)
        if known.ndim == bad.ndim - 1 and known.shape != bad.shape:  # one per row, with columns along axis 1
            known = np.expand_dims(known, 1)
        bad &= known
    requirement = domain.requirement.format(n_classes=shape[1] if len(shape) > 1 else 0)
    if not bad.any():
        return ValueError(f"target held a value that is not {requirement}, and was changed during the call")
    at = np.unravel_index(int(np.argmax(bad)), target.shape)
    return ValueError(f"{item('target', at)} = {target[at]} is not {requirement}")


def bad_entry(domain: Any, given: Any, shape: Shape, real: np.dtype[Any] | None, mask: Any) -> ValueError:
    """The error that names the first stored entry of a CSR target outside the domain, in a known row."""
    start, columns, data = csr_target(given, shape, FLOAT64 if real is None else real)
    bad = domain.is_bad(data, real)
    if mask is not None:
        bad &= np.repeat(np.asarray(mask, bool), np.diff(start))
    requirement = domain.requirement.format(n_classes=shape[1])
    if not bad.any():
        return ValueError(f"target held a value that is not {requirement}, and was changed during the call")
    return bad_stored(start, columns, data, bad, requirement)


def bad_stored(start: Array, columns: Array, data: Array, bad: Array, requirement: str) -> ValueError:
    """The error that names the first bad stored entry."""
    at = int(np.argmax(bad))
    where = item("target", (np.searchsorted(start, at, "right") - 1, columns[at]))
    return ValueError(f"{where} = {data[at]} is not {requirement} (entries at the same position are summed)")


def check_input(input: Array, target: Any, mask: Any, facts: Any) -> None:
    """ValueError that names the first prediction with a known target that is outside the loss's domain."""
    domain = facts.input_domain
    with np.errstate(invalid="ignore"):
        bad = (input < domain.low) | (input > domain.high)
    if facts.nan_is_missing and not is_csr(target):
        given = np.asarray(target)
        bad &= ~np.isnan(given) if given.dtype.kind == "f" else True
    if mask is not None:
        known = np.asarray(mask, bool)
        bad &= known.reshape(known.shape + (1,) * (input.ndim - known.ndim))
    if bad.any():
        at = np.unravel_index(int(np.argmax(bad)), input.shape)
        raise ValueError(f"{item('input', at)} = {input[at]} is not {domain.requirement}")
