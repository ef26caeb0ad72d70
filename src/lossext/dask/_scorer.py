"""A scorer on the package's losses, of collections."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossext.dask._chunks import Chunks, as_array, is_collection, merged_sums
from lossext.sklearn import _losses
from lossext.sklearn import loss_scorer as plain_scorer


class DaskLossScorer:
    """What `loss_scorer` makes."""

    def __init__(self, loss: Any) -> None:
        self.loss, self.plain = loss, plain_scorer(loss)

    def __repr__(self) -> str:
        return f"lossext.dask.loss_scorer({self.loss!r})"

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The negative mean loss."""
        if not is_collection(X):
            given = {} if sample_weight is None else {"sample_weight": sample_weight}
            return float(self.plain(estimator, X, y, **given))
        here = estimator._here() if hasattr(estimator, "_here") else estimator
        found = Chunks(X=X, y=y, sample_weight=sample_weight).run(part_score, merged_sums, here, self.plain)
        return float(found[0] / found[1]) if found is not None else float("nan")


def part_score(parts: dict[str, Any], index: int, estimator: Any, scorer: Any) -> Any:
    """Sum of the scores of a chunk's rows, and their weight."""
    if not parts["X"].shape[0]:
        return None
    y = as_array(parts["y"])
    if "sample_weight" not in parts:
        return scorer(estimator, parts["X"], y) * len(y), float(len(y))
    weight = as_array(parts["sample_weight"]).astype(np.float64)
    total = float(weight.sum())
    return (scorer(estimator, parts["X"], y, sample_weight=weight) * total, total) if total else None


def loss_scorer(loss: Any) -> DaskLossScorer:
    """Make a scorer out of a loss: its negative mean over all rows of collections, or of arrays.

    Parameters
    ----------
    loss : str or loss object
        As for `lossext.sklearn.loss_scorer`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``.
    """
    _losses.find(loss, _losses.CLASSIFICATION + _losses.REGRESSION, "loss_scorer")
    return DaskLossScorer(loss)
