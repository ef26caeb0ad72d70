"""Twenty million rows that no process ever holds: made on the workers, fitted in bounded memory.

python examples/dask_rows.py                 # on one process, then on two
python examples/dask_rows.py --rows 200000   # in seconds
"""

import argparse
import logging
import time

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from lossext.dask import LossClassifier

FEATURES = 20


def make_rows(block_info=None):
    """A chunk of features and, last, the class; its place among the chunks is the seed."""
    (start, stop), (place, _) = block_info[None]["array-location"][0], block_info[None]["chunk-location"]
    rng = np.random.default_rng(place)
    rows = rng.standard_normal((stop - start, FEATURES + 1), np.float32)
    score = rows[:, :FEATURES] @ np.linspace(-1, 1, FEATURES, dtype=np.float32)
    rows[:, FEATURES] = score + rng.logistic(size=stop - start) > 0
    return rows


def memory(dask_worker):
    """Most bytes that this worker's process has had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fit(n_rows, rows_of_chunk, n_processes, memory_limit, processes=True):
    settings = {"n_workers": n_processes, "threads_per_worker": 1, "dashboard_address": None, "processes": processes}
    with (
        LocalCluster(memory_limit=memory_limit, silence_logs=logging.ERROR, **settings) as cluster,
        Client(cluster) as client,
    ):
        sizes = [rows_of_chunk] * (n_rows // rows_of_chunk) + [n_rows % rows_of_chunk] * bool(n_rows % rows_of_chunk)
        rows = da.map_blocks(make_rows, chunks=(tuple(sizes), (FEATURES + 1,)), dtype=np.float32)
        start = time.perf_counter()
        fitted = LossClassifier(verbose=1).fit(rows[:, :FEATURES], rows[:, FEATURES])
        seconds = time.perf_counter() - start
        most = max(client.run(memory).values())
    print(
        f"{n_processes} processes: {n_rows} rows, {n_rows * FEATURES * 4 / 1e9:.2f} GB of features, {seconds:.1f} s, "
        f"{fitted.n_iter_} iterations, objective {fitted.objective_:.6f}, at most {most / 1e6:.0f} MB in a worker"
    )
    return fitted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--rows-of-chunk", type=int, default=250_000)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--memory-limit", default="1GB")
    options = parser.parse_args()
    fits = [fit(options.rows, options.rows_of_chunk, n, options.memory_limit) for n in options.processes]
    away = max(float(np.abs(other.coef_ - fits[0].coef_).max()) for other in fits)
    print(f"coefficients differ by {away:.1e}")


if __name__ == "__main__":
    main()
