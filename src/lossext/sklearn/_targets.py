"""From y and the weights that a caller hands over to targets and weights of scores."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_non_negative, column_or_1d

from lossext._validate import Array
from lossext.sklearn._rows import Rows


def find_classes(y: Any) -> tuple[Array, bool]:
    """All classes, and whether a row can have several."""
    if y.ndim == 1 and y.dtype.kind in "biuU":  # type_of_target says so after much longer, 1.7's with a warning
        return np.unique(y), False
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind == "multilabel-indicator":
        return np.arange(y.shape[1]), True
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Unknown label type: {kind}. Allowed is y of shape (N,) holding a class per row, or of shape (N, C) "
            "holding 0 and 1"
        )
    return np.unique(column_or_1d(y, warn=True)), False


def encode(y: Any, classes: Array, several: bool) -> Any:
    """Class ids (N,), or 0 and 1 (N, C) where a row can have several."""
    if several:
        if y.ndim != 2 or y.shape[1] != len(classes):
            raise ValueError(f"y has shape {y.shape}; allowed is (N, {len(classes)}), a column per label")
        values = y.data if sparse.issparse(y) else y
        bad = values[(values != 0) & (values != 1)] if values.dtype != bool else values[:0]
        if bad.size:
            raise ValueError(f"y holds {bad[0]}; a multilabel y holds 0 and 1")
        return sparse.csr_array(y, dtype=np.uint8) if sparse.issparse(y) else y
    return numbers_of(y if y.ndim == 1 else column_or_1d(y), classes)


def numbers_of(y: Array, classes: Array) -> Array:
    """Each row's class as its place among the classes."""
    if y.dtype.kind in "biu" and classes.dtype.kind in "biu":  # LabelEncoder takes ten times as long for a few rows
        numbers = np.searchsorted(classes[:-1], y)
        if np.array_equal(classes[numbers], y):
            return numbers
    encoder = LabelEncoder()
    encoder.classes_ = classes
    return np.asarray(encoder.transform(y))


def make_rows(X: Any, target: Any, sample_weight: Any, n_columns: int = 1) -> Rows:
    """The rows whose weight is not zero; weights that are all 1 are none, to the bit."""
    if sample_weight is None:
        return Rows(X, target, None)
    if isinstance(sample_weight, Number):
        sample_weight = np.full(X.shape[0], sample_weight)
    weight = check_array(sample_weight, ensure_2d=False, dtype=X.dtype, order="C", input_name="sample_weight")
    check_non_negative(weight, "sample_weight")
    n_rows = target.shape[0]
    if weight.shape != (n_rows,) and (n_columns == 1 or weight.shape != (n_rows, n_columns)):
        by_score = f" or {(n_rows, n_columns)}, one per score" if n_columns > 1 else ""
        raise ValueError(f"sample_weight has shape {weight.shape}; allowed is {(n_rows,)}{by_score}")
    rows = Rows(X, target, weight)
    used = weight != 0 if weight.ndim == 1 else weight.any(axis=1)
    rows = rows if used.all() else rows.take(used)
    return rows._replace(weight=None) if np.all(rows.weight == 1) else rows
