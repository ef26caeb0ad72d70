"""Accumulators over collections."""

from __future__ import annotations

from typing import Any

from lossext import Accumulator
from lossext.dask import _work
from lossext.dask._chunks import Chunks


def accumulate(loss: Any, input: Any, target: Any, **keywords: Any) -> Accumulator:
    """Accumulate a dense loss over the chunks of collections, on the workers.

    Parameters
    ----------
    loss : loss object
        Of any reduction but "none".
    input, target : dask array, series or dataframe
        With the same rows in each of their chunks.
    **keywords : dask array or series
        ``element_weight``, ``sample_weight`` and ``mask``, likewise.

    Returns
    -------
    Accumulator
        Its ``value()`` is what ``loss(input, target, **keywords)`` would be of all rows.

    Examples
    --------
    >>> import dask.array as da, lossext as lx
    >>> from distributed import Client
    >>> from lossext.dask import accumulate
    >>> with Client(n_workers=1, processes=False, dashboard_address=None) as client:
    ...     x = da.ones(1000, chunks=100)
    ...     print(accumulate(lx.MSELoss(), x, 0 * x).value())
    1.0
    """
    loss.accumulator()  # a reduction that has none is refused here
    chunks = Chunks(input=input, target=target, **keywords)
    found: Accumulator = chunks.run(_work.totals, _work.merge_totals, loss)
    return found
