"""What a pass over chunks costs on a cluster: seconds and bytes, fitted, and a run with simulated latency.

python -m benchmarks.dask_cost
"""

import argparse
import asyncio
import logging
import time
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from lossext.dask import _chunks, _work
from lossext.dask._chunks import Chunks, merged_sums
from lossext.dask._rows import Rows
from lossext.dask._work import Plan, Point
from lossext.sklearn import LossRegressor
from lossext.sklearn._scores import ScoreLoss

# chunks, rows of a chunk, features, columns of the scores
CASES = [
    (8, 1000, 10, 1), (64, 1000, 10, 1), (256, 1000, 10, 1), (8, 100000, 10, 1), (8, 100000, 40, 1),
    (8, 20000, 40, 8), (32, 1000, 100, 20), (32, 1000, 100, 100), (8, 1000, 100, 100),
]  # fmt: skip
LEVELS = (1, 3, 5)  # of a tree of sums of two each


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


def measured(client: Any, case: tuple[int, ...], latencies: tuple[float, ...], repeats: int) -> tuple[Any, float]:
    """Median seconds of a pass for values and gradients, at each latency in turn; bytes written by all processes."""
    n_chunks, n_rows, n_features, n_columns = case
    X = da.ones((n_chunks * n_rows, n_features), chunks=(n_rows, n_features)).persist()
    y = da.zeros((n_chunks * n_rows, n_columns), chunks=(n_rows, n_columns)).persist()
    chunks = Chunks(X=X, y=y)
    loss = LossRegressor("half_squared_error")
    rows = Rows(chunks, X.shape, Plan(loss, "<f8", False))
    point = Point(ScoreLoss(loss._loss(), n_columns), None, np.zeros((n_features, n_columns)), np.zeros(n_columns))
    rows.sums(point)
    seconds: list[list[float]] = []
    written = 0.0
    for _ in range(repeats):
        seconds.append([])
        for latency in latencies:
            patch(latency), client.run(patch, latency)
            start = time.perf_counter()
            chunks.run(_work.sums, merged_sums, rows.plan, point)
            seconds[-1].append(time.perf_counter() - start)
            written += patch(0.0) + sum(client.run(patch, 0.0).values())
    return np.median(seconds, axis=0), written / repeats / len(latencies)


def fit(name: str, words: list[str], parts: list[Any], found: Any) -> Any:
    """Coefficients of the parts, by least squares of relative errors."""
    matrix = np.column_stack(parts) / found[:, np.newaxis]
    fitted = np.linalg.lstsq(matrix, np.ones(len(found)), rcond=None)[0]
    text = " + ".join(f"{number:.3g} {word}" for number, word in zip(fitted, words, strict=True))
    print(f"{name} = {text}; off by {np.abs(matrix @ fitted - 1).max():.0%} at most", flush=True)
    return fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--latency", type=float, default=0.02)
    options = parser.parse_args()
    table = []
    print("workers, chunks, rows of a chunk, features, columns: seconds, bytes of a pass")
    for n_workers in options.workers:
        settings = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(silence_logs=logging.ERROR, **settings) as cluster, Client(cluster) as client:
            for case in CASES:
                (seconds,), size = measured(client, case, (0.0,), options.repeats)
                table.append((n_workers, *case, seconds, size))
                print(f"{(n_workers, *case)}: {seconds:.4f}, {size:.0f}", flush=True)
            messages = []
            _chunks.FAN_IN = 2  # levels without many chunks
            for levels in LEVELS:
                (without, late), _ = measured(client, (2**levels, 10, 10, 1), (0.0, options.latency), options.repeats)
                messages.append((late - without) / options.latency)
                print(f"{n_workers} workers, {levels} levels: {messages[-1]:.1f} messages one after the other")
            _chunks.FAN_IN = 8
            of_level = (messages[1] - messages[0]) / (LEVELS[1] - LEVELS[0])
            at_first = messages[0] - LEVELS[0] * of_level
            text = f"{at_first:.1f} + {of_level:.1f} levels"
            print(f"by the first two {text}, so the last {at_first + LEVELS[-1] * of_level:.1f}", flush=True)
    workers, chunks, rows, features, columns, seconds, size = np.array(table, float).T
    sums, numbers = 8 * (features + 1) * columns, chunks * rows * features / workers
    one, several = np.ones_like(chunks), 1.0 * (workers > 1)
    words = ["", "chunks", "chunks (of several workers)"]
    parts = [one, chunks, several * chunks]
    fit(
        "seconds",
        [*words, "rows x features / workers", "rows x features x columns / workers"],
        [*parts, numbers, numbers * columns],
        seconds,
    )
    fit(
        "bytes",
        [*words, "S", "(workers - 1) x S", "chunks x S (of several workers)"],
        [*parts, sums, (workers - 1) * sums, several * chunks * sums],
        size,
    )


if __name__ == "__main__":
    main()
