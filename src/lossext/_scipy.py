"""A linear model's loss as an objective for scipy.optimize."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._validate import Array
from lossext.losses._dense import DenseLoss


class ScipyObjective:
    """Value, gradient and Hessian of the loss of a linear model, created and documented by `scipy_objective`.

    Attributes
    ----------
    size : int
        Number of parameters: the length of ``w``.
    """

    def __init__(
        self,
        loss: DenseLoss,
        X: Any,
        y: Array,
        columns: _validate.Shape,
        alpha: float,
        sample_weight: Array | None,
        fit_intercept: bool,
    ) -> None:
        self._loss, self._X, self._y, self._alpha, self._sample_weight = loss, X, y, alpha, sample_weight
        self._coef_shape = (X.shape[1], *columns)
        self._n_coef = math.prod(self._coef_shape)
        self._fit_intercept = fit_intercept
        self.size = self._n_coef + (math.prod(columns) if fit_intercept else 0)
        self._curvature: tuple[Array, Array] | None = None  # the last parameters and their curvature

    @_validate.quiet
    def __call__(self, w: npt.ArrayLike) -> tuple[float, Array]:
        """``(f, g)`` at the parameters w, of shape (size,)."""
        w = self._checked("w", w)
        value, slope = self._loss.value_and_grad(self._scores(w), self._y, sample_weight=self._sample_weight)
        coef = w[: self._n_coef]
        return float(value) + self._alpha / 2 * float(coef @ coef), self._back(slope, coef)

    @_validate.quiet
    def hessp(self, w: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """Product of the Hessian at w with a vector v, both of shape (size,)."""
        w, v = self._checked("w", w), self._checked("v", v)
        known = self._curvature
        if known is None or not np.array_equal(known[0], w):
            hess = self._loss.grad_and_hess(self._scores(w), self._y, sample_weight=self._sample_weight)[1]
            self._curvature = known = w.copy(), hess
        slope = self._loss._hess_product(known[1], self._y, self._scores(v))
        return self._back(slope, v[: self._n_coef])

    def unpack(self, w: npt.ArrayLike) -> tuple[Array, Array]:
        """Coefficients (D,) or (D, C), and intercept, () or (C,), 0 if it is not fitted."""
        w = self._checked("w", w)
        coef = w[: self._n_coef].reshape(self._coef_shape)
        intercept = w[self._n_coef :] if self._fit_intercept else np.zeros(math.prod(self._coef_shape[1:]))
        return coef, intercept.reshape(self._coef_shape[1:])

    def _checked(self, name: str, vector: Any) -> Array:
        array = _validate.native(_validate.weights(name, vector), _validate.FLOAT64)
        if array.shape != (self.size,):
            raise ValueError(f"{name} has shape {array.shape}; allowed is ({self.size},)")
        return array

    def _scores(self, w: Array) -> Array:
        coef, intercept = self.unpack(w)
        scores: Array = self._X @ coef
        if self._fit_intercept:
            scores += intercept
        return scores

    def _back(self, slope: Array, coef: Array) -> Array:
        """Derivatives in the parameters from those in the scores, plus that of the penalty at `coef`."""
        result = np.empty(self.size)
        result[: self._n_coef] = (self._X.T @ slope).ravel() + self._alpha * coef
        if self._fit_intercept:
            result[self._n_coef :] = slope.sum(axis=0)
        return result


def scipy_objective(
    loss: DenseLoss,
    X: Any,
    y: npt.ArrayLike,
    alpha: float = 0.0,
    *,
    sample_weight: npt.ArrayLike | None = None,
    fit_intercept: bool = False,
    n_classes: int | None = None,
) -> ScipyObjective:
    r"""Loss of a linear model as an objective for `scipy.optimize.minimize`.

    With coefficients :math:`W` of shape (D, C) and intercept :math:`b` of shape (C,), and with the loss's own
    reduction,

    .. math:: f(W, b) = loss(X W + b, y) + \frac{\alpha}{2} \lVert W \rVert^2.

    Parameters
    ----------
    loss : dense loss
        Any of ``lossext.registry()``, with a reduction other than "none".
    X : array_like or sparse matrix or array of shape (N, D)
        Kept as float64; a sparse one (of SciPy, or anything with a ``tocsr`` method) as CSR.
    y : array_like of shape (N,) or (N, C)
        The target, as in a call of the loss.
    alpha : float
        At least 0. scikit-learn's ``LogisticRegression(C=c)`` has the same minimum as reduction "sum" and alpha 1/c.
    sample_weight : array_like of shape (N,), optional
        As in a call of the loss.
    fit_intercept : bool
        Whether to fit an intercept, which is not penalised; otherwise it is 0.
    n_classes : int, optional
        The number of classes C for losses of class ids; default: the largest class in y plus one.

    Returns
    -------
    ScipyObjective
        Called with parameters w of shape (size,), it returns ``(f, g)`` in float64, as for ``jac=True``. Its method
        ``hessp(w, v)`` returns the exact product with the Hessian (one-sided at the kinks of multi margin with p = 2),
        ``unpack(w)`` returns ``(coefficients, intercept)``. w holds the coefficients row by row, then the intercept.

    Raises
    ------
    TypeError
        loss is not a dense loss of this package; X, alpha or sample_weight is not real; n_classes is not an int; y has
        a dtype that the loss does not take.
    ValueError
        The loss's reduction is "none"; X is not 2-D or does not have as many rows as y; alpha is negative or not
        finite; n_classes is given with a loss that takes no class ids. When called: a target is not allowed, or w or v
        has a wrong shape.

    Notes
    -----
    Multi margin with p = 1 and hinge embedding are piecewise linear: their Hessian is that of the penalty alone, so
    methods that use it make little progress. L-BFGS-B works with every loss.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> X, y = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]]), np.array([1, 1, 0])
    >>> objective = lx.scipy_objective(lx.BCEWithLogitsLoss(), X, y, alpha=0.1, fit_intercept=True)
    >>> value, grad = objective(np.zeros(objective.size))
    >>> print(round(value, 4), grad.round(4))
    0.6931 [-0.6667 -0.3333 -0.1667]

    Then ``scipy.optimize.minimize(objective, np.zeros(objective.size), jac=True, method="L-BFGS-B")``, or with
    ``hessp=objective.hessp`` and ``method="trust-ncg"`` or "Newton-CG".
    """
    if not isinstance(loss, DenseLoss):
        raise TypeError(f"loss must be a loss object such as BCEWithLogitsLoss(), not {loss!r}")
    if loss.reduction == "none":
        raise ValueError(f"loss = {loss!r} has no single value; its reduction must be 'mean' or 'sum', or another mean")
    sparse = hasattr(X, "tocsr")
    X = X.tocsr() if sparse else _validate.as_array("X", X)
    _validate.require_real("X", X)
    if X.ndim != 2:
        raise ValueError(f"X has shape {X.shape}; allowed is rank 2, (N, D)")
    X = X.astype(np.float64) if sparse else _validate.native(X, _validate.FLOAT64)
    target = _validate.as_array("y", y)
    if target.shape[:1] != X.shape[:1]:
        raise ValueError(f"y has shape {target.shape}; its first axis must be X's, {X.shape[0]}")
    alpha = _validate.finite_real("alpha", alpha)
    if alpha < 0:
        raise ValueError(f"alpha = {alpha} is not at least 0")
    if loss.declaration.takes_ids:
        target = _validate.native(_validate.class_ids("y", target)[0], _validate.INT64)
        count = int(target.max(initial=-1)) + 1 if n_classes is None else _validate.positive("n_classes", n_classes)
        columns: _validate.Shape = (count,)
    else:
        columns = target.shape[1:]
        if n_classes is not None:
            raise ValueError(f"n_classes = {n_classes} is for class ids; {type(loss).__name__} has y's columns")
    weight = _validate.sample_weights(sample_weight, X.shape[0], _validate.FLOAT64)
    return ScipyObjective(loss, X, target, columns, alpha, weight, fit_intercept)
