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
from lossext.sklearn._objective import Rows


def find_classes(y: Any) -> tuple[Array, bool]:
    """All classes, and whether a row can have several."""
    if y.ndim == 1 and y.dtype.kind in "biuU":  # type_of_target says so after much longer, 1.7's with a warning
        return np.unique(y), False
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind == "multilabel-indicator":
        return np.arange(y.shape[1]), True
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Unknown label type: {kind}. Allowed is y of shape (N,) holding a class a row, or of shape (N, C) holding "
            "0 and 1"
        )
    return np.unique(column_or_1d(y, warn=True)), False


def encode(y: Any, classes: Array, several: bool, as_ids: bool) -> Any:
    """Targets of the scores: class ids (N,), or 0 and 1 (N, C), one column for two classes."""
    if several:
        if y.ndim != 2 or y.shape[1] != len(classes):
            raise ValueError(f"y has shape {y.shape}; allowed is (N, {len(classes)}), a column a label")
        values = y.data if sparse.issparse(y) else y
        bad = values[(values != 0) & (values != 1)] if values.dtype != bool else values[:0]
        if bad.size:
            raise ValueError(f"y holds {bad[0]}; a multilabel y holds 0 and 1")
        return sparse.csr_array(y, dtype=np.uint8) if sparse.issparse(y) else y
    encoded = numbers_of(y if y.ndim == 1 else column_or_1d(y), classes)
    if as_ids:
        return encoded
    if len(classes) == 2:
        return encoded.astype(np.uint8)[:, None]
    ones = np.ones(len(encoded), np.uint8)
    return sparse.csr_array((ones, encoded, np.arange(len(encoded) + 1)), shape=(len(encoded), len(classes)))


def numbers_of(y: Array, classes: Array) -> Array:
    """Each row's class as its place among the classes."""
    if y.dtype.kind in "biu" and classes.dtype.kind in "biu":  # LabelEncoder takes ten times as long for a few rows
        numbers = np.searchsorted(classes[:-1], y)
        if np.array_equal(classes[numbers], y):
            return numbers
    encoder = LabelEncoder()
    encoder.classes_ = classes
    return np.asarray(encoder.transform(y))


def make_rows(X: Any, target: Any, sample_weight: Any) -> Rows:
    """The rows whose weight is not zero; weights that are all 1 are none, to the bit."""
    if sample_weight is None:
        return Rows(X, target, None)
    if isinstance(sample_weight, Number):
        sample_weight = np.full(X.shape[0], sample_weight)
    weight = check_array(sample_weight, ensure_2d=False, dtype=X.dtype, order="C", input_name="sample_weight")
    check_non_negative(weight, "sample_weight")
    if weight.shape != target.shape[:1] and weight.shape != target.shape:
        by_score = f" or {target.shape}, one a score" if target.ndim == 2 else ""
        raise ValueError(f"sample_weight has shape {weight.shape}; allowed is {target.shape[:1]}{by_score}")
    rows = Rows(X, target, weight)
    used = weight != 0 if weight.ndim == 1 else weight.any(axis=1)
    rows = rows if used.all() else rows.take(used)
    return rows._replace(weight=None) if np.all(rows.weight == 1) else rows


def class_ids(target: Any) -> Array:
    """Class ids of rows that have one class."""
    if target.ndim == 1:
        return np.asarray(target)
    return np.asarray(target.indices if sparse.issparse(target) else target[:, 0])
