"""Weights that balance classes: losses accept such weights, but do not derive them from the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._declare import UNIT
from lossext._validate import FLOAT64, Array

__all__ = ["balanced_pos_weight", "balanced_weights"]


@_validate.quiet
def balanced_weights(target: npt.ArrayLike, num_classes: int) -> Array:
    r"""Class weights that give each class the same total weight, as scikit-learn's "balanced".

    With :math:`n` targets, :math:`n_c` of them of class :math:`c`, and :math:`C` classes,
    :math:`w_c = n / (C \, n_c)`. A class that does not occur is counted once, so that its weight is finite.

    Parameters
    ----------
    target : array_like of int, or CSR of shape (N, num_classes)
        Class ids of any shape; or a ``scipy.sparse`` CSR matrix or array of non-negative entries, whose column sums are
        the counts.
    num_classes : int
        At least 1.

    Returns
    -------
    ndarray of shape (num_classes,)
        Of float64; suitable as the ``weight`` of multiclass losses.

    Raises
    ------
    TypeError
        target does not have an integer dtype; num_classes is not an int.
    ValueError
        A class id is outside [0, num_classes); an entry is negative or not finite; the matrix does not have num_classes
        columns.

    Examples
    --------
    >>> import lossext as lx
    >>> lx.balanced_weights([0, 0, 0, 1], 2)
    array([0.66666667, 2.        ])
    """
    n_classes = _validate.positive("num_classes", num_classes)
    if _validate.is_csr(target):
        counts = sums_by_column(target, n_classes)
    else:
        ids = _validate.ids_in_range("target", target, n_classes, own=True)
        counts = np.bincount(ids.ravel(), minlength=n_classes).astype(np.float64)
    weights: Array = counts.sum() / (n_classes * np.where(counts > 0, counts, 1))
    return weights


@_validate.quiet
def balanced_pos_weight(target: npt.ArrayLike) -> Any:
    r"""The ``pos_weight`` that gives positive and negative targets of each column the same total weight.

    With the sums :math:`n_1` of a column's targets :math:`y` and :math:`n_0` of :math:`1 - y`, it is
    :math:`n_0 / n_1`, the ratio of scikit-learn's two "balanced" weights. A sum of 0 is replaced by 1, so that the
    weight is finite and positive.

    Parameters
    ----------
    target : array_like of shape (N,) or (N, ...), or CSR of shape (N, C)
        Targets in [0, 1].

    Returns
    -------
    float, or ndarray of target's shape without its first axis
        Of float64; suitable as the ``pos_weight`` of binary cross entropy with logits.

    Raises
    ------
    TypeError
        target does not have a real dtype.
    ValueError
        A target is not in [0, 1], or target has no axis.

    Examples
    --------
    >>> import lossext as lx
    >>> lx.balanced_pos_weight([[1, 0], [0, 0], [0, 1], [0, 1]])
    array([3., 1.])
    """
    if _validate.is_csr(target):
        positive = sums_by_column(target, target.shape[1], most=1.0)  # type: ignore[union-attr]
        n_rows = target.shape[0]  # type: ignore[union-attr]
    else:
        y = _validate.as_array("target", target)
        _validate.require_real("target", y)
        if y.ndim == 0:
            raise ValueError("target has shape (); allowed is (N,) or (N, ...)")
        if UNIT.is_bad(y).any():
            raise _validate.bad_target(UNIT, y, y.shape)
        positive, n_rows = np.clip(y.astype(np.float64), 0, 1).sum(0), len(y)
    negative = n_rows - positive
    ratio = np.where(negative > 0, negative, 1) / np.where(positive > 0, positive, 1)
    return ratio if ratio.ndim else float(ratio)


def sums_by_column(csr: Any, n_columns: int, most: float = np.inf) -> Array:
    """Sums of the stored entries, which must lie in [0, most]."""
    if csr.shape[1] != n_columns:
        raise ValueError(f"target has shape {csr.shape}; allowed is (N, {n_columns})")
    start, column, data = _validate.csr_target(csr, csr.shape, FLOAT64)
    bad = ~((data >= 0) & (data <= most) & (data < np.inf))
    if bad.any():
        allowed = "in [0, 1]" if most == 1 else "a finite number of at least 0"
        raise _validate.bad_stored(start, column, data, bad, allowed)
    return np.bincount(column, data, minlength=n_columns)
