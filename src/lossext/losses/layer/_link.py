"""What the softmax losses share: the link between raw scores and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._validate import FLOAT64, Array

SMALLEST_SHARE = 1e-15


class SoftmaxLink:
    """Mixin of the losses whose raw scores are logarithms of odds between classes."""

    @_validate.quiet
    def inverse_link(self, raw: npt.ArrayLike) -> Array:
        """Probabilities of raw scores, their softmax along the last axis, such as of ``inputs @ weights.T + biases``.

        Parameters
        ----------
        raw : array_like of shape (..., V)
            Scores of all classes; no expected counts are subtracted.

        Returns
        -------
        ndarray of raw's shape
            Float32 stays float32, float16 float16, all else is float64. Computed in float64 without overflow: a
            probability p has a relative error of 1 ulp in float32, of -log(p) ulp more in float64. NaN where a row
            holds NaN or its greatest score is infinite.

        Raises
        ------
        TypeError
            raw is not real.
        ValueError
            raw has no axis, or no class along the last one.

        Examples
        --------
        >>> import lossext as lx
        >>> lx.LinearSoftmaxLoss().inverse_link([[0.0, 0.0, 0.0], [1000.0, 1001.0, 0.0]]).round(4)
        array([[0.3333, 0.3333, 0.3333],
               [0.2689, 0.7311, 0.    ]])
        """
        scores, _, dtype = _validate.real_input("raw", raw)
        if scores.ndim == 0 or scores.shape[-1] == 0:
            raise ValueError(f"raw has shape {scores.shape}; allowed is (..., V) with at least one class")
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf
            shares = np.subtract(scores, scores.max(axis=-1, keepdims=True), dtype=FLOAT64)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=-1, keepdims=True)
        probability: Array = shares.astype(dtype, copy=False)
        return probability


def log_shares(target: Any, sample_weight: Any, num_classes: int | None, num_true: int) -> Array:
    """Logarithms of the classes' shares of the weighted labels."""
    ids = _validate.ids_in_range("target", target, num_classes or np.iinfo(np.int64).max)
    if ids.ndim == num_true == 1:
        ids = ids.reshape(-1, 1)
    if ids.ndim != 2 or ids.shape[1] != num_true:
        also = "(N,) or " if num_true == 1 else ""
        raise ValueError(f"target has shape {np.shape(target)}; allowed is {also}(N, {num_true})")
    weight = _validate.sample_weights(sample_weight, len(ids), FLOAT64)
    if weight is not None:
        weight = np.repeat(weight, num_true)
    return log_of_shares(np.bincount(ids.ravel(), weight, minlength=num_classes or 0).astype(FLOAT64))


def log_of_shares(of_class: Array) -> Array:
    """Logarithms of the shares in what the classes have, none below that of a class that does not occur."""
    if (of_class < 0).any():
        raise ValueError("weights of a class sum to less than 0: no constant minimises the loss")
    total = of_class.sum()
    result: Array = np.log(np.maximum(of_class / total, SMALLEST_SHARE)) if total else np.zeros(len(of_class))
    return result
