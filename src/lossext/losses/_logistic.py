"""What the logistic losses share: the link between raw scores and probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._validate import Array
from lossext.losses._dense import UNIT, bad_target

LARGEST_INIT = math.log((1 - 1e-15) / 1e-15)


class LogisticLink:
    """Mixin of the losses whose raw scores are log-odds."""

    _parameters: dict[str, Any]

    def inverse_link(self, raw: npt.ArrayLike) -> Array:
        """Probabilities of raw scores, ``1 / (1 + exp(-raw))``, of any shape; relative error 3 ulp.

        These are the probabilities of the labels as weighted: a ``pos_weight`` q makes the odds q times those of the
        data.

        Examples
        --------
        >>> import lossext as lx
        >>> lx.BCEWithLogitsLoss().inverse_link([-1.0, 0.0, 30.0]).round(4)
        array([0.2689, 0.5   , 1.    ])
        """
        from lossext.losses.bce_with_logits import BCEWithLogitsLoss  # which takes any shape, but imports this

        # the gradient at target 0
        return BCEWithLogitsLoss(reduction="sum").grad(raw, np.zeros(np.shape(raw), np.uint8))

    def init_raw(self, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """The constant raw score of each column that minimises the loss: the log-odds of the weighted targets.

        Parameters
        ----------
        target : array_like of shape (N,) or (N, C)
            In [0, 1].
        sample_weight : array_like of shape (N,), optional
            As for the loss, whose own weights count too.

        Returns
        -------
        float or ndarray of shape (C,)
            Of float64, within the log-odds of 1e-15 and 1 - 1e-15 (about 34.5 either way), so finite for a column of
            one kind; 0 for a column without weight.

        Raises
        ------
        ValueError
            A target lies outside [0, 1]; the weights of a column's positive or negative part sum to less than 0, so
            that there is no minimum; target has no first axis; weights of another shape than the loss allows.

        Examples
        --------
        >>> import lossext as lx
        >>> print(round(lx.BCEWithLogitsLoss().init_raw([1, 0, 0, 0]), 4))
        -1.0986
        """
        y = _validate.as_array("target", target)
        _validate.require_real("target", y)
        if y.ndim == 0:
            raise ValueError("target has shape (); allowed is (N,) or (N, C)")
        if UNIT.is_bad(y, 0).any():
            raise bad_target(UNIT, y, y.shape)
        row_weight = _validate.sample_weights(sample_weight, len(y), _validate.FLOAT64)
        weight = self._factor("weight", y.shape)
        if row_weight is not None:
            weight = weight * row_weight.reshape(-1, *[1] * (y.ndim - 1))
        ones = (weight * self._factor("pos_weight", y.shape) * y).sum(axis=0)
        zeros = (weight * np.subtract(1.0, y, dtype=np.float64)).sum(axis=0)
        if np.any((ones < 0) | (zeros < 0)):
            raise ValueError("weights of a column sum to less than 0: no constant minimises the loss")
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = np.clip(np.log(ones) - np.log(zeros), -LARGEST_INIT, LARGEST_INIT)
        raw = np.where((ones == 0) & (zeros == 0), 0.0, raw)
        return raw if raw.ndim else float(raw)

    def _factor(self, name: str, shape: _validate.Shape) -> Array:
        """A weight parameter as an array of `shape`, 1 where the loss has none."""
        factor = self._parameters.get(name)
        if factor is None:
            return np.broadcast_to(1.0, shape)
        try:
            return np.broadcast_to(factor.astype(np.float64), shape)
        except ValueError:
            raise ValueError(
                f"{name} has shape {factor.shape}, which does not broadcast to target's, {shape}"
            ) from None
