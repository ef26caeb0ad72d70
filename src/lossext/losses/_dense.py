"""What the dense losses have in common: the way from a call to the kernel."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lossext import _threads, _validate
from lossext._kernels import drivers
from lossext._kernels.drivers import GRAD, HESS, VALUE
from lossext._parameters import Parameter, Parameterized
from lossext._validate import FLOAT64, Array, Shape


@dataclass(frozen=True, slots=True)
class Target:
    """What a loss takes as its target."""

    kind: str
    says: str  # how a message puts it

    def is_bad(self, target: Array, n_classes: int) -> npt.NDArray[np.bool_]:
        """Which elements lie outside."""
        if self.kind == "class":
            return np.asarray((target < 0) | (target >= n_classes))
        if self.kind == "sign":
            return np.asarray((target != 1) & (target != -1))
        return np.asarray(~((target >= 0) & (target <= 1)))


UNIT = Target("unit", "in [0, 1]")
SIGN = Target("sign", "-1 or 1")
CLASS = Target("class", "in [0, {n_classes})")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the layers below and the tests need to know of a loss."""

    function: str
    kernel: str  # _kernels/maths/<family>/<kernel>.h
    family: str  # "elementwise", "rowwise"
    target: Target
    weights: tuple[str, ...] = ()
    ranks: tuple[int, ...] | None = None  # None: any
    value_by_row: bool = False  # one value a row, divided by the number of columns
    broadcasts: bool = False  # input and target, with each other
    value_ulp: float = 2.0
    grad_ulp: float = 3.0
    # ns on one thread of an AVX-512 machine, for the choice of threads
    cost: float = 0.3  # a float32 element
    cost_of_row: float = 0.0  # besides


class DenseLoss(Parameterized):
    """Base of the losses of an array of scores."""

    declaration: ClassVar[Declaration]
    _kernel: ClassVar[int]  # its number among the compiled ones

    reduction = Parameter[str]()

    def __init_subclass__(cls) -> None:
        cls._kernel = drivers.find_loss(cls.declaration.kernel)

    def __call__(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        input, target : array_like
            Scores and what they should have been; see the class for shapes and types.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of input's dtype, or an array for ``reduction="none"``.
        """
        return evaluate(self, VALUE, input, target, sample_weight, None, None, n_threads)[0]

    def grad(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        out: Array | None = None,
        n_threads: int | None = None,
    ) -> Array:
        """Gradient with respect to input, of its shape and dtype.

        Parameters
        ----------
        input, target, sample_weight, n_threads
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar for mean and sum, of the value's shape for none. Default 1.
        out : ndarray, optional
            Takes the gradient: of input's shape and dtype, C-contiguous, writable. May be input itself, shares memory
            with nothing else. Undefined after an error.

        Returns
        -------
        ndarray
            The gradient; ``out`` if it was given.
        """
        gradient: Array = evaluate(self, GRAD, input, target, sample_weight, grad_output, out, n_threads)[1]
        return gradient

    def value_and_grad(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        out: Array | None = None,
        n_threads: int | None = None,
    ) -> tuple[Any, Array]:
        """``(value, gradient)`` from one pass over memory; parameters as for `grad`."""
        return evaluate(self, VALUE | GRAD, input, target, sample_weight, grad_output, out, n_threads)[:2]

    def grad_and_hess(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[Array, Array]:
        """``(gradient, diagonal of the Hessian)`` from one pass, both like input; parameters as for `grad`.

        The second derivative is exact where there is one; it is 0 for the piecewise linear losses (hinge embedding,
        multi margin with p = 1), and the one-sided 0 at the kinks of multi margin with p = 2.
        """
        return evaluate(self, GRAD | HESS, input, target, sample_weight, grad_output, None, n_threads)[1:]

    def inverse_link(self, raw: npt.ArrayLike) -> Array:
        """Probabilities of raw scores, for the losses that have a link: the logistic ones.

        A hinge says how far a score should be from another, not how probable a label is; so TypeError.
        """
        raise TypeError(f"{type(self).__name__} has no link: its scores are not those of probabilities")

    def init_raw(self, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """The constant raw score that minimises the loss, for the losses that have a link: the logistic ones.

        A constant says nothing to the hinge losses: adding one to every column leaves multi margin as it is, and hinge
        embedding has no minimum; so TypeError.
        """
        raise TypeError(f"{type(self).__name__} has no link, so no constant to start from; start from 0")

    @functools.cached_property
    def _small_calls(self) -> drivers.SmallCalls:
        declaration = self.declaration
        rowwise = declaration.family == "rowwise"
        return drivers.SmallCalls(
            self._kernel,
            rowwise,
            rowwise or declaration.value_by_row,
            declaration.target is not SIGN,
            self._parameters,
            declaration.cost,
            declaration.cost_of_row,
        )

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        """Product of the Hessian with a direction, both of input's shape, from the Hessian's diagonal `hess`."""
        return hess * direction


def evaluate(
    loss: DenseLoss,
    want: int,
    input: Any,
    target: Any,
    sample_weight: Any,
    grad_output: Any,
    out: Any,
    n_threads: int | None,
) -> tuple[Any, Any, Any]:
    """Value, gradient and diagonal of the Hessian; None for what is not wanted."""
    if sample_weight is None and grad_output is None and n_threads is None:
        results = loss._small_calls.run(want, input, target, out)
        if results is not None:
            return results
    declaration, parameters = loss.declaration, loss._parameters
    rowwise = declaration.family == "rowwise"
    per_row = rowwise or declaration.value_by_row
    reduction = parameters["reduction"]

    x, real, dtype = _validate.real_input("input", input)
    y, y_type = _validate.class_ids("target", target) if rowwise else _validate.real_target("target", target, real)
    own_shape, shape = x.shape, common_shape(declaration, x.shape, y)
    if y_type == drivers.REAL and y is not target:
        check_before_rounding(declaration.target, target, real)
    value_shape = None if reduction != "none" else shape[:1] if per_row else shape
    row_weight = _validate.sample_weights(sample_weight, shape[0] if shape else None, real)
    upstream, grad_scale = _validate.upstream(grad_output, value_shape, real)
    grad: Array | None = _validate.result("out", out, own_shape, dtype) if want & GRAD else None
    hess: Array | None = np.empty(own_shape, dtype) if want & HESS else None

    # input as rows and columns, and how the operands meet them
    weight, pos_weight = parameters.get("weight"), parameters.get("pos_weight")
    split = _validate.split_axis(shape, weight, pos_weight, row_weight)
    rows, cols = shape if len(shape) == 2 else (math.prod(shape[:split]), math.prod(shape[split:]))
    size = rows * cols
    if rowwise:
        weights = _validate.class_weights("weight", weight, cols, real)
    else:
        weights = _validate.operand("weight", weight, shape, split, real)
    pos_weights = _validate.operand("pos_weight", pos_weight, shape, split, real)
    y_layout = drivers.FULL
    if not rowwise and y.shape != shape:
        y_type, (y, y_layout) = drivers.REAL, _validate.operand("target", y, shape, split, real)
    if row_weight is not None and len(row_weight) != rows:
        row_weight = np.repeat(row_weight, rows // max(1, len(row_weight)))
    threads = _threads.choose(n_threads, loss._small_calls.work(rows, cols, real.itemsize))
    if size == 0:
        for derivative in (grad, hess):
            if derivative is not None:
                derivative.fill(0)  # a sum over nothing, where input was broadcast to nothing
        return empty_value(reduction, value_shape, dtype) if want & VALUE else None, grad, hess
    if own_shape != shape:
        x = _validate.native(np.broadcast_to(x, shape), real)

    # where the results go: straight into their arrays, if these are of the kernel's type and shape
    direct = dtype is real and own_shape == shape
    as_given = y is target and upstream is grad_output and row_weight is sample_weight
    as_given = as_given and weights.array is weight and pos_weights.array is pos_weight
    if out is not None and not (direct and as_given):  # else the driver looks at their memory
        for name, array in {
            "target": target,
            "weight": weight,
            "pos_weight": pos_weight,
            "sample_weight": sample_weight,
            "grad_output": grad_output,
        }.items():
            _validate.apart("out", out, name, array)
    kernel_grad = np.empty(shape, real) if grad is not None and not direct else grad
    kernel_hess = np.empty(shape, real) if hess is not None and not direct else hess
    value = np.empty(value_shape, real) if want & VALUE and value_shape is not None else None
    if not want & VALUE:
        reduce = drivers.NO_VALUE
    elif value is None:
        reduce = drivers.TOTAL
    else:
        reduce = drivers.ROWS if per_row else drivers.ELEMENTS
    divisor = float(cols if per_row else 1)
    if reduction == "mean":
        divisor *= rows if per_row else size

    total = drivers.run_dense(
        loss._kernel, rowwise, real is FLOAT64, rows, cols, x, y, y_type, y_layout, weights.array, weights.layout,
        pos_weights.array, pos_weights.layout, row_weight, upstream,
        drivers.BY_ROW if per_row else drivers.FULL, parameters.get("margin", 0.0), parameters.get("p", 1), divisor,
        grad_scale / divisor, reduce, value, kernel_grad, kernel_hess, threads,
    )  # fmt: skip
    if total is None:
        raise bad_target(declaration.target, target, shape)
    if not direct:
        store_result(kernel_grad, grad)
        store_result(kernel_hess, hess)
    if not want & VALUE:
        return None, grad, hess
    if value is None:
        return dtype.type(total), grad, hess
    return value if dtype is real else value.astype(dtype), grad, hess


def common_shape(declaration: Declaration, shape: Shape, target: Array) -> Shape:
    """The shape that is computed on; ValueError, TypeError where input and target do not go together."""
    if declaration.ranks is not None and len(shape) not in declaration.ranks:
        raise ValueError(f"input has shape {shape}; allowed is rank 2, (N, C)")
    if declaration.ranks is not None and shape[1] == 0:
        raise ValueError(f"input has shape {shape}; at least one column is needed")
    if declaration.target is SIGN and target.dtype == np.bool_:
        raise TypeError(
            "target has dtype bool, and False is not -1; allowed is an integer or float dtype holding -1 and 1"
        )
    if declaration.family == "rowwise":
        if target.shape != shape[:1]:
            raise ValueError(f"target has shape {target.shape}; allowed is {shape[:1]}, one class id a row of input")
        return shape
    if target.shape == shape:
        return shape
    if declaration.broadcasts:
        try:
            return np.broadcast_shapes(shape, target.shape)
        except ValueError:
            raise ValueError(
                f"target has shape {target.shape}, which does not broadcast with input's, {shape}"
            ) from None
    raise ValueError(f"target has shape {target.shape}; allowed is input's, {shape}")


def check_before_rounding(domain: Target, target: Any, real: np.dtype[Any]) -> None:
    """ValueError for a bad target of a wider type, which could round to a good one."""
    array = np.asarray(target)
    if array.dtype.itemsize > real.itemsize and domain.is_bad(array, 0).any():
        raise bad_target(domain, array, array.shape)


def empty_value(reduction: str, value_shape: Shape | None, dtype: np.dtype[Any]) -> Any:
    """Value of nothing: the sum is 0, the mean is not defined."""
    if value_shape is not None:
        return np.empty(value_shape, dtype)
    return dtype.type(math.nan if reduction == "mean" else 0)


def store_result(computed: Array | None, out: Array | None) -> None:
    """A derivative into the caller's array: in its dtype, and summed over axes that input was repeated along."""
    if computed is None or out is None:
        return
    extra = computed.ndim - out.ndim
    axes = (*range(extra), *(extra + i for i, n in enumerate(out.shape) if n == 1 and computed.shape[extra + i] != 1))
    if axes:
        computed = computed.sum(axis=axes, dtype=np.float64).reshape(out.shape)
    with np.errstate(over="ignore"):
        out[...] = computed


def bad_target(domain: Target, given: Any, shape: Shape) -> ValueError:
    """The error that names the first target outside the domain."""
    target = np.asarray(given)
    bad = domain.is_bad(target, shape[1] if domain is CLASS else 0)
    says = domain.says.format(n_classes=shape[1]) if domain is CLASS else domain.says
    if not bad.any():
        return ValueError(f"target held a value that is not {says}, and was changed during the call")
    at = np.unravel_index(int(np.argmax(bad)), target.shape)
    return ValueError(f"{_validate.item('target', at)} = {target[at]} is not {says}")
