"""Base classes of the losses of an array of predictions, with their common constructor and methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lossext import _start, _threads, _validate
from lossext._accumulate import Accumulates
from lossext._declare import (
    CURVATURES,
    LABELS,
    NON_NEGATIVE,
    Declaration,
    InputDomain,
    Link,
    Target,
    find_kernels,
    parameters_of,
    register,
    signature_of,
    soft_kernel_number,
)
from lossext._docstrings import complete_docstring
from lossext._kernels import drivers
from lossext._kernels.drivers import GRAD, HESS, VALUE
from lossext._parameters import Parameterized, once, parameter, weights, word
from lossext._validate import Array

REDUCTIONS = ("none", "mean", "sum", "weighted_mean", "batchmean")


class DenseLoss(Accumulates, Parameterized):
    """Base of the losses of an array of predictions."""

    declaration: ClassVar[Declaration]
    _kernels: ClassVar[dict[Any, int]]  # numbers of the compiled kernels, by variant

    reduction: str = parameter(
        "mean",
        word(*REDUCTIONS),
        '"none": all values; "sum": their sum; "mean": the sum divided by the number of known elements or rows; '
        '"weighted_mean": divided by the sum of all weights; "batchmean": divided by the number of rows.',
    )

    def __init__(self, *arguments: Any, **parameters: Any) -> None:
        given = self.__signature__.bind(*arguments, **parameters)  # type: ignore[attr-defined]
        given.apply_defaults()
        self._set_parameters(**self._checked(**given.arguments))

    @classmethod
    def _checked(cls, **parameters: Any) -> dict[str, Any]:
        return {name: p.check(name, parameters[name]) for name, p in parameters_of(cls).items() if p.check is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_parameters(**{**state, **self._checked(**state)})

    @classmethod
    def _without_copy(cls, **parameters: Any) -> DenseLoss:
        """A loss that does not copy its parameter arrays, for use in one call."""
        instance = cls.__new__(cls)
        instance.__dict__["_parameters"] = cls._checked(**parameters)
        return instance

    @classmethod
    def _declare(cls, declaration: Declaration) -> None:
        """Complete a new class by what follows from its declaration and parameters."""
        parameters = parameters_of(cls)
        variants = parameters[declaration.variant].check.tries if declaration.variant else ()  # type: ignore[union-attr]
        cls._kernels, names = find_kernels(declaration, variants)
        own = {name for name in parameters if name in vars(cls)} - cls._not_for_the_kernel - {declaration.variant}
        if not own <= set(names) or not all(hasattr(cls, name) for name in names):
            raise TypeError(f"{cls.__name__} declares {sorted(own)}, but its kernel has the parameters {names}")
        cls.declaration = dataclasses.replace(declaration, kernel_parameters=names)
        cls.__signature__ = signature_of(cls)  # type: ignore[attr-defined]
        complete_docstring(cls)
        register(cls)

    # parameters that the family implements; kernel parameters that the loss does not have are class attributes
    _not_for_the_kernel: ClassVar[frozenset[str]] = frozenset(
        ("weight", "reduction", "missing", "label_smoothing", "ignore_index")
    )

    @property
    def _target(self) -> Target:
        """The domain of targets, which may depend on a parameter."""
        return self.declaration.target

    @property
    def _input_domain(self) -> InputDomain | None:
        """The domain of predictions, which may depend on a parameter; None for all numbers."""
        return self.declaration.input_domain

    # ---- calls ----

    def __call__(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        element_weight: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        input, target : array_like
            Predictions and targets; see the class for shapes and types.
        element_weight : array_like, optional
            Multiplies the loss, in addition to ``weight``: a scalar or an array that broadcasts to input.
        sample_weight : array_like of shape (N,), optional
            Multiplies the loss of each row; does not count in the divisor of ``reduction="mean"``.
        mask : array_like of bool, optional
            True where the target is known; unknown elements are ignored. It has input's shape, or the shape of the
            values for losses with one value per row.
        n_threads : int, optional
            Maximum number of threads, at least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of input's dtype, or an array for ``reduction="none"``.

        Raises
        ------
        TypeError, ValueError
            An argument has a wrong type, dtype, shape or value; the message names the argument, what it is and what is
            allowed. See the class for targets and predictions.
        """
        return self._evaluator.run(VALUE, input, target, element_weight, sample_weight, mask, None, None, n_threads)

    def grad(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        element_weight: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        out: Array | None = None,
        n_threads: int | None = None,
    ) -> Array:
        """Gradient with respect to input, of its shape and dtype.

        Parameters
        ----------
        input, target, element_weight, sample_weight, mask, n_threads
            As in a call of the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar, or an array of the values' shape for ``reduction="none"``. Default 1.
        out : ndarray, optional
            Receives the gradient. It must have input's shape and dtype, and be C-contiguous, aligned and writable. It
            may be input itself, but must not share memory with any other argument. After an error its contents are
            undefined.

        Returns
        -------
        ndarray
            The gradient; ``out`` if it was given.

        Raises
        ------
        TypeError, ValueError
            As in a call of the loss.
        """
        gradient: Array = self._evaluator.run(
            GRAD, input, target, element_weight, sample_weight, mask, grad_output, out, n_threads
        )
        return gradient

    def value_and_grad(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        element_weight: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        out: Array | None = None,
        n_threads: int | None = None,
    ) -> tuple[Any, Array]:
        """``(value, gradient)`` from one pass over memory, with the parameters and errors of `grad`."""
        results: tuple[Any, Array] = self._evaluator.run(
            VALUE | GRAD, input, target, element_weight, sample_weight, mask, grad_output, out, n_threads
        )
        return results

    def grad_and_hess(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        curvature: str = "exact",
        element_weight: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[Array, Array]:
        """``(gradient, curvature)`` from one pass over memory.

        Parameters
        ----------
        input, target, element_weight, sample_weight, mask, grad_output, n_threads
            As in `grad`.
        curvature : {"exact", "majorizer", "fisher", "residual"}
            "exact": the diagonal of the Hessian, one-sided at a kink. "majorizer": the second derivative of the lowest
            parabola that touches the loss at the prediction and lies above it; infinite at a kink if there is none.
            "fisher": the expected information, for losses that are likelihoods. "residual": the distance between
            predicted probability and target. The documentation of each loss lists the ones that it has.

        Returns
        -------
        tuple of ndarray
            Gradient and curvature, both of input's shape and dtype, multiplied by all weights.

        Raises
        ------
        TypeError, ValueError
            As in a call of the loss; the loss does not have this curvature.
        """
        kind = _validate.choice("curvature", curvature, self.declaration.curvatures)
        results: tuple[Array, Array] = self._evaluator.run(
            GRAD | HESS, input, target, element_weight, sample_weight, mask, grad_output, None, n_threads,
            CURVATURES[kind],
        )  # fmt: skip
        return results

    def divisor(
        self,
        target: npt.ArrayLike,
        *,
        shape: tuple[int, ...] | None = None,
        element_weight: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> float:
        """The number by which the reduction divides the sum of the values.

        Parameters
        ----------
        target, element_weight, sample_weight, mask
            As in a call of the loss.
        shape : tuple of int, optional
            The shape of input, if it is not that of target.

        Returns
        -------
        float
            For mean, the number of known elements or rows; for weighted_mean, the sum of their weights; for batchmean,
            the number of rows; for sum and none, 1.0.
        """
        if shape is None:
            shape = self._shape_of_input(target)
        return float(self._evaluator.divisor(target, element_weight, sample_weight, mask, shape))

    def _total(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        element_weight: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[np.dtype[Any], float, float]:
        return self._evaluator.total(input, target, element_weight, sample_weight, mask, n_threads)

    def _shape_of_input(self, target: npt.ArrayLike) -> tuple[int, ...]:
        if _validate.is_csr(target):
            return tuple(target.shape)  # type: ignore[union-attr]
        shape = np.shape(target)
        if self.declaration.target.kind == "class" and np.asarray(target).dtype.kind in "iu":  # else probabilities
            weight = self._parameters.get("weight")
            count = len(weight) if weight is not None else int(np.max(target, initial=0)) + 1
            return (*shape[:1], count, *shape[1:])
        return (*shape, self._n_outputs) if self._n_outputs else shape

    # ---- links and constants to start from ----

    def inverse_link(self, raw: npt.ArrayLike) -> Array:
        """Means (such as probabilities or counts) of raw scores, by the loss's link.

        Parameters
        ----------
        raw : array_like
            Raw scores: predictions for the loss.

        Returns
        -------
        ndarray
            Of the shape and dtype of `raw`.

        Raises
        ------
        TypeError
            The loss has no link, such as a hinge, whose scores do not determine probabilities.
        """
        link = self._link()
        return self._by_link("raw", raw, link.inverse, link.name)

    def link(self, mean: npt.ArrayLike) -> Array:
        """Raw scores of means: the inverse of `inverse_link`.

        Parameters
        ----------
        mean : array_like
            Means, such as probabilities or counts.

        Returns
        -------
        ndarray
            Of the shape and dtype of `mean`.

        Raises
        ------
        TypeError
            The loss has no link.
        """
        link = self._link()
        return self._by_link("mean", mean, link.link, link.name)

    @staticmethod
    def _by_link(name: str, value: npt.ArrayLike, function: Callable[[Array], Array], link: str) -> Array:
        array, _, dtype = _validate.real_input(name, value)
        if link == "softmax" and (array.ndim < 2 or array.shape[1] == 0):
            raise ValueError(f"{name} has shape {array.shape}; allowed is (N, C) or (N, C, d1, ...)")
        with np.errstate(all="ignore"):
            result: Array = np.asarray(function(array)).astype(dtype, copy=False)
        return result

    def _link(self) -> Link:
        if self.declaration.link is None:
            raise TypeError(f"{type(self).__name__} has no link: its scores do not determine means or probabilities")
        return self.declaration.link

    def init_raw(self, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """The constant raw score that minimises the loss, for each column.

        Parameters
        ----------
        target : array_like of shape (N,) or (N, C)
            As in a call of the loss.
        sample_weight : array_like of shape (N,), optional
            As in a call of the loss; the loss's own weights count, too.

        Returns
        -------
        float or ndarray of shape (C,)
            Finite, of float64; 0 for a column whose total weight is 0.

        Raises
        ------
        TypeError
            The loss declares no such constant.
        ValueError
            A target or weight is not allowed, or no constant minimises the loss.
        """
        return _start.constant(self, target, sample_weight)

    # ---- calling the kernel ----

    @once
    def _evaluator(self) -> drivers.Evaluator:
        return drivers.Evaluator(self._facts, _validate, _threads)

    @property
    def _facts(self) -> SimpleNamespace:
        declaration, parameters = self.declaration, self._parameters
        variant = parameters[declaration.variant] if declaration.variant else None
        values = tuple(getattr(self, name) for name in declaration.kernel_parameters)
        return SimpleNamespace(
            kernel_number=self._kernels[variant],
            soft_kernel_number=soft_kernel_number(declaration),
            parameter_names=declaration.kernel_parameters,
            kernel_parameters=values,
            reduction=parameters["reduction"],
            rowwise=declaration.family != "element",
            per_row=declaration.value_by_row,
            over_columns=declaration.over_columns,
            takes_bool=not declaration.target.sign,
            matrix_only=declaration.ranks is not None,
            broadcasts=declaration.broadcasts,
            nan_is_missing=parameters.get("missing") == "nan",
            label_smoothing=parameters.get("label_smoothing", 0.0),
            ignore_index=parameters.get("ignore_index"),
            n_outputs=self._n_outputs,
            target=self._target,
            soft_target=NON_NEGATIVE if declaration.soft_kernel else None,
            divides_by_class_weight=declaration.divides_by_class_weight,
            input_domain=self._input_domain,
            weight=parameters.get("weight"),
            cost=declaration.cost,
            cost_of_row=declaration.cost_of_row,
        )

    # whether a sequence as a parameter means several outputs for one target, one per column of input
    _outputs_by_parameter: ClassVar[bool] = False

    @once
    def _several(self) -> dict[str, Array]:
        """The parameters that are sequences, for a loss with several outputs."""
        names = self.declaration.kernel_parameters if self._outputs_by_parameter else ()
        return {name: v for name in names if isinstance(v := self._parameters.get(name), np.ndarray)}

    @property
    def _n_outputs(self) -> int:
        """The number of outputs per target, 0 if input has target's shape."""
        return max(map(len, self._several.values()), default=0)

    def _of_output(self, k: int) -> DenseLoss:
        """The loss of one of several outputs."""
        return self._with(**{name: float(v[k]) for name, v in self._several.items()})

    def _with(self, **changed: Any) -> DenseLoss:
        """The same loss with some parameters changed; those that the loss does not have are ignored."""
        parameters = {**self._parameters, **{k: v for k, v in changed.items() if k in self._parameters}}
        return type(self)._without_copy(**parameters)

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        """Product of the Hessian with a direction, both of input's shape, from the Hessian's diagonal `hess`."""
        return hess * direction


class ElementLoss(DenseLoss):
    """Base of the losses of one prediction and one target."""

    weight: npt.ArrayLike | None = parameter(
        None, weights(), "Multiplies the loss: a scalar or an array that broadcasts to input; cast to input's dtype."
    )

    missing: str = parameter(
        "error", word("error", "nan"), 'Whether a NaN target is an error, or means an unknown target ("nan").'
    )

    def __init_subclass__(cls, *, target: Target, **facts: Any) -> None:
        if target.kind not in ("real", "non_negative", "positive", "unit"):
            cls.missing = "error"
        weights = tuple(name for name in ("weight", "pos_weight") if name in parameters_of(cls))
        cls._declare(Declaration(family="element", target=target, weights=weights, **facts))


class RowLoss(DenseLoss):
    """Base of the losses of a row of scores."""

    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Class weights of shape (C,); cast to input's dtype."
    )

    def init_raw(
        self, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, num_classes: int | None = None
    ) -> Array:
        """The constant row of raw scores, with mean 0, that minimises the loss.

        Parameters
        ----------
        target : array_like of shape (N,) or (N, C)
            Class ids or probabilities, which may be CSR.
        sample_weight : array_like of shape (N,), optional
            As in a call of the loss; the loss's class weights count, too.
        num_classes : int, optional
            C, for class ids. Default: the length of the class weights, or the largest id plus one, but at least 2.

        Returns
        -------
        ndarray of shape (C,)
            Of float64; a class whose total weight is 0 gets the share 1e-15.

        Raises
        ------
        TypeError
            The loss declares no such constant.
        ValueError
            A target or weight is not allowed, or no constant minimises the loss.
        """
        return _start.constant_row(self, target, sample_weight, num_classes)

    def __init_subclass__(cls, **facts: Any) -> None:
        cls._declare(
            Declaration(family="row", **{"ranks": (2,), "value_by_row": True, "cost": 0.1, "cost_of_row": 2.5, **facts})
        )


class LabelSetLoss(DenseLoss):
    """Base of the losses of a row of scores against a set of labels."""

    def __init_subclass__(cls, **facts: Any) -> None:
        facts = {"ranks": (2,), "value_by_row": True, "weights": (), "cost": 1.0, "cost_of_row": 50.0, **facts}
        cls._declare(Declaration(family="labels", target=LABELS, **facts))
