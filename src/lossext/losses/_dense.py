"""Bases of the losses of an array of predictions: construction and calls, the same for all of them."""

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
    _kernels: ClassVar[dict[Any, int]]  # numbers of the compiled ones, by variant

    reduction: str = parameter(
        "mean",
        word(*REDUCTIONS),
        "Mean over what is known, its sum, one value each, the mean weighted by all weights, or the sum over the "
        "number of rows.",
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
        """An object for one call, which does not copy its arrays."""
        instance = cls.__new__(cls)
        instance.__dict__["_parameters"] = cls._checked(**parameters)
        return instance

    @classmethod
    def _declare(cls, declaration: Declaration) -> None:
        """Finish a new class: what follows from its declaration and parameters."""
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

    # parameters that the family looks after; a kernel's parameter that is none of the loss's is a class attribute
    _not_for_the_kernel: ClassVar[frozenset[str]] = frozenset(
        ("weight", "reduction", "missing", "label_smoothing", "ignore_index")
    )

    @property
    def _target(self) -> Target:
        """The targets that this loss takes: of its class, unless a parameter decides."""
        return self.declaration.target

    @property
    def _input_domain(self) -> InputDomain | None:
        """Likewise the predictions."""
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
            Predictions and what they should have been; see the class for shapes and types.
        element_weight : array_like, optional
            Multiplies the loss, as ``weight`` does, and with it: a scalar or what broadcasts to input's shape.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``.
        mask : array_like of bool, optional
            True where the target is known; what is not known is left out. One an element, or one a row for losses with
            a value for each row.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of input's dtype, or an array for ``reduction="none"``.
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
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar, or of the value's shape for none. Default 1.
        out : ndarray, optional
            Takes the gradient: of input's shape and dtype, C-contiguous, writable. May be input itself, shares memory
            with nothing else. Undefined after an error.

        Returns
        -------
        ndarray
            The gradient; ``out`` if it was given.
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
        """``(value, gradient)`` from one pass over memory; parameters as for `grad`."""
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
        """``(gradient, curvature)`` from one pass, both like input; other parameters as for `grad`.

        Parameters
        ----------
        input, target, element_weight, sample_weight, mask, grad_output, n_threads
            As for `grad`.
        curvature : {"exact", "majorizer", "fisher", "residual"}
            The diagonal of the Hessian (at a kink one-sided); the second derivative of the lowest parabola that touches
            the loss at the prediction and lies above it, infinite at a kink that no parabola covers; the expected
            information, where the loss is a likelihood; the distance of the predicted probability from the target.
            Each loss says which of these it has.

        Returns
        -------
        tuple of ndarray
            Gradient and curvature, with all weights.
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
        """What the sum of the values is divided by: 1.0 for none and sum.

        Parameters
        ----------
        target, element_weight, sample_weight, mask
            As for calling the loss.
        shape : tuple of int, optional
            Of input, where it is not the target's.

        Returns
        -------
        float
            The number of known elements or rows for mean, the sum of their weights for weighted_mean, the number of
            rows for batchmean.
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
        """Means (probabilities, counts) of raw scores, by the loss's link; TypeError where it has none.

        A hinge says how far a score should be from another, not how probable a label is.
        """
        link = self._link()
        return self._by_link("raw", raw, link.inverse, link.name)

    def link(self, mean: npt.ArrayLike) -> Array:
        """Raw scores of means, the inverse of `inverse_link`; TypeError where the loss has no link."""
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
            raise TypeError(f"{type(self).__name__} has no link: its scores are not those of means or probabilities")
        return self.declaration.link

    def init_raw(self, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """The constant raw score of each column that minimises the loss; TypeError where there is none.

        Parameters
        ----------
        target : array_like of shape (N,) or (N, C)
            As for the loss.
        sample_weight : array_like of shape (N,), optional
            As for the loss, whose own weights count too.

        Returns
        -------
        float or ndarray of shape (C,)
            Of float64, and finite; 0 for a column without weight.
        """
        return _start.constant(self, target, sample_weight)

    # ---- the way to the kernel ----

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

    # whether a sequence for a parameter stands for several outputs of one target, one a column of input
    _outputs_by_parameter: ClassVar[bool] = False

    @once
    def _several(self) -> dict[str, Array]:
        """The parameters that are sequences, of a loss with several outputs."""
        names = self.declaration.kernel_parameters if self._outputs_by_parameter else ()
        return {name: v for name in names if isinstance(v := self._parameters.get(name), np.ndarray)}

    @property
    def _n_outputs(self) -> int:
        """How many outputs a target has, 0 where input has target's shape."""
        return max(map(len, self._several.values()), default=0)

    def _of_output(self, k: int) -> DenseLoss:
        """The loss of one of several outputs."""
        return self._with(**{name: float(v[k]) for name, v in self._several.items()})

    def _with(self, **changed: Any) -> DenseLoss:
        """The same loss with other values for those of these parameters that it has."""
        parameters = {**self._parameters, **{k: v for k, v in changed.items() if k in self._parameters}}
        return type(self)._without_copy(**parameters)

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        """Product of the Hessian with a direction, both of input's shape, from the Hessian's diagonal `hess`."""
        return hess * direction


class ElementLoss(DenseLoss):
    """Base of the losses of one prediction and one target."""

    weight: npt.ArrayLike | None = parameter(
        None, weights(), "Multiplies the loss: a scalar or what broadcasts to input's shape; cast to input's dtype."
    )

    missing: str = parameter(
        "error", word("error", "nan"), 'Whether a target that is NaN is an error, or not known and left out ("nan").'
    )

    def __init_subclass__(cls, *, target: Target, **facts: Any) -> None:
        if target.kind not in ("real", "non_negative", "positive", "unit"):
            cls.missing = "error"
        weights = tuple(name for name in ("weight", "pos_weight") if name in parameters_of(cls))
        cls._declare(Declaration(family="element", target=target, weights=weights, **facts))


class RowLoss(DenseLoss):
    """Base of the losses of a row of scores."""

    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Weight of each class, of shape (C,); cast to input's dtype."
    )

    def init_raw(
        self, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, num_classes: int | None = None
    ) -> Array:
        """The constant row of raw scores that minimises the loss, with a mean of 0; TypeError where there is none.

        Parameters
        ----------
        target : array_like of shape (N,) or (N, C)
            Class ids or probabilities, which may be CSR.
        sample_weight : array_like of shape (N,), optional
            As for the loss, whose class weights count too.
        num_classes : int, optional
            C, for class ids. Default: the length of the class weights, or one more than the greatest id, at least 2.

        Returns
        -------
        ndarray of shape (C,)
            Of float64; a class without weight has the share 1e-15.
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
