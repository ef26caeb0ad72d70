"""What a pass over chunks costs on a cluster: seconds and bytes, fitted, and a run with simulated latency.

python -m benchmarks.dask_cost
"""

import argparse
import asyncio
import json
import logging
import time
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from lossext.dask import _work
from lossext.dask._chunks import Chunks, merged_sums
from lossext.dask._rows import Rows
from lossext.dask._work import Plan, Point
from lossext.sklearn import LossRegressor
from lossext.sklearn._scores import ScoreLoss

# chunks, rows of a chunk, features, columns of the scores
CASES = [
    (8, 1000, 10, 1), (32, 1000, 10, 1), (64, 1000, 10, 1), (8, 50000, 10, 1), (8, 50000, 40, 1), (8, 20000, 40, 8),
    (32, 1000, 100, 20), (32, 1000, 100, 100), (8, 1000, 100, 100),
]  # fmt: skip


def patch(latency: float) -> float:
    """Count the bytes that a process writes, and let every message take `latency` seconds longer."""
    from distributed.comm import tcp

    if not hasattr(tcp, "lossext_bytes"):
        tcp.lossext_bytes, tcp.lossext_latency, plain = 0, 0.0, tcp.TCP.write

        async def write(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            if tcp.lossext_latency:
                await asyncio.sleep(tcp.lossext_latency)
            size = await plain(self, message, *args, **kwargs)
            tcp.lossext_bytes += size or 0
            return size

        tcp.TCP.write = write
    tcp.lossext_latency = latency
    count, tcp.lossext_bytes = float(tcp.lossext_bytes), 0
    return count


def measured(client: Any, case: tuple[int, ...], latency: float, repeats: int) -> tuple[float, float]:
    """Median seconds of a pass for values and gradients, and bytes written by all processes."""
    n_chunks, n_rows, n_features, n_columns = case
    X = da.ones((n_chunks * n_rows, n_features), chunks=(n_rows, n_features)).persist()
    y = da.zeros((n_chunks * n_rows, n_columns), chunks=(n_rows, n_columns)).persist()
    chunks = Chunks(X=X, y=y)
    loss = LossRegressor("half_squared_error")
    rows = Rows(chunks, X.shape, Plan(loss, "<f8", False))
    point = Point(ScoreLoss(loss._loss(), n_columns), None, np.zeros((n_features, n_columns)), np.zeros(n_columns))
    rows.sums(point)
    patch(latency), client.run(patch, latency)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        chunks.run(_work.sums, merged_sums, rows.plan, point)
        seconds.append(time.perf_counter() - start)
    written = patch(0.0) + sum(client.run(patch, 0.0).values())
    return float(np.median(seconds)), written / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--latency", type=float, default=0.02)
    options = parser.parse_args()
    table = []
    for n_workers in options.workers:
        settings = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(silence_logs=logging.ERROR, **settings) as cluster, Client(cluster) as client:
            for case in CASES:
                seconds, size = measured(client, case, 0.0, options.repeats)
                table.append((n_workers, *case, seconds, size))
                print(json.dumps(table[-1]), flush=True)
            for latency in (0.0, options.latency, 2 * options.latency):
                seconds, _ = measured(client, CASES[0], latency, options.repeats)
                print(f"{n_workers} workers, {latency * 1e3:.0f} ms more for a message: {seconds * 1e3:.0f} ms a pass")
    workers, chunks, rows, features, columns, seconds, size = np.array(table, float).T
    numbers = (features + 1) * columns
    work = chunks * rows * features * columns / workers
    # seconds: a pass, a chunk (scheduler), numbers added up or sent, multiplications of a worker
    for name, parts, found in (
        ("seconds", (np.ones_like(chunks), chunks, chunks * numbers, work), seconds),
        ("bytes", (np.ones_like(chunks), chunks, workers * numbers, (workers > 1) * chunks * numbers), size),
    ):
        parts = np.column_stack(parts) / found[:, np.newaxis]  # relative errors count
        fitted = np.linalg.lstsq(parts, np.ones(len(found)), rcond=None)[0]
        print(name, [f"{number:.3g}" for number in fitted], f"off by {np.abs(parts @ fitted - 1).max():.0%} at most")


if __name__ == "__main__":
    main()
