"""The largest logits of a linear layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._validate import INT64, Array
from lossext.losses.layer._call import as_result, checked_layer, explain, ragged_ids, threads_for


@_validate.quiet
def topk(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    inputs: npt.ArrayLike,
    k: int,
    *,
    exclude: Any = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """The k largest logits ``inputs @ weights.T + biases`` of each row, without the matrix of all logits.

    Parameters
    ----------
    weights, biases, inputs : array_like
        (V, D), (V,) and (N, D); types as of `LinearSoftmaxLoss`.
    k : int
        At least 1, at most V.
    exclude : array_like of ints (N, M) padded with -1, or CSR matrix (N, V), optional
        Classes that are not taken for a row, such as its history.
    n_threads : int, optional
        At least 1. Default: see ``lossext.show_config()``.

    Returns
    -------
    values : ndarray (N, k)
        Descending, of inputs' dtype.
    ids : ndarray (N, k) of int64
        Their classes; of equal logits, the lower class comes first. NaN, -inf and excluded
        classes are never taken: where fewer than k logits are left, the rest is -inf, and -1.

    Raises
    ------
    TypeError
        An array is not real, k or excluded ids are not integers.
    ValueError
        k is less than 1 or greater than V, an excluded id is not in [0, V), shapes do not fit.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> values, ids = lx.topk([[1.0], [3.0], [2.0]], np.zeros(3), [[1.0], [-1.0]], k=2)
    >>> print(values.tolist(), ids.tolist())
    [[3.0, 2.0], [-1.0, -2.0]] [[1, 2], [0, 2]]
    """
    layer = checked_layer(weights, biases, inputs)
    n_rows, dim, n_classes = layer.rows, layer.dim, layer.classes
    count = _validate.positive("k", k)
    if count > n_classes:
        raise ValueError(f"k = {count} is greater than the {n_classes} rows of weights")
    out = None if exclude is None else ragged_ids("exclude", exclude, n_rows, n_classes)
    ids = drivers.LayerIds(n_rows, n_classes)
    try:
        ids.group_all(False, out and out.ids, out and out.start)
    except drivers.BadIdError as error:
        raise explain(error, {"exclude": (exclude, out and out.place)}, n_classes) from None
    values, classes = np.empty((n_rows, count), layer.real), np.empty((n_rows, count), INT64)
    threads = threads_for(n_threads, 1, n_rows, n_classes, dim)
    if n_rows:
        w, b = (_validate.native(a, layer.real) for a in (layer.weights, layer.biases))
        job = drivers.new_job(drivers.RAW, layer, w, b, ids)
        job.top_count, job.top_values, job.top_ids = count, values, classes
        job.run(threads)
    return as_result(values, layer.dtype), classes
