"""Losses over a linear layer at any width, beside their formulas in NumPy: where a product of matrices is all it takes.

    python -m benchmarks.widths [--threads 1] [--dtype float32] [--dims 1 7 64] [--smoke]

Both take the same arrays, in turn; medians of the rounds' ratios, ours over NumPy's, with gradients. One thread is
measured by its processor time, several by the clock. NumPy's threads are set before it is imported.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

DIMS = [1, 7, 64, 2**12, 2**16, 2**18]
SIZES = [(16, 10), (1000, 10), (16, 1000), (1000, 1000)]  # rows, classes
MOST = 1 << 26  # numbers in inputs and weights together
SEEN = {"topk": "topk", "softmax": "linear softmax", "sampled": "sampled softmax", "bce": "linear BCE"}


def calls(dtype: str, rows: int, classes: int, dim: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Ours and NumPy's, by name."""
    import numpy as np

    import lossext as lx

    rng = np.random.default_rng(0)
    real = np.float32 if dtype == "float32" else np.float64
    w, b, x = (rng.standard_normal(s, real) for s in ((classes, dim), classes, (rows, dim)))
    x /= dim**0.5
    labels = rng.integers(classes, size=rows)
    k, every = min(10, classes), np.arange(rows)
    table = np.concatenate([w, w])  # of which half is sampled
    all_biases = np.concatenate([b, b])
    values = np.arange(classes), np.ones((rows, 1)), np.ones(classes)

    def topk() -> Any:
        z = x @ w.T + b
        ids = np.argpartition(z, -k, axis=1)[:, -k:]
        found = np.take_along_axis(z, ids, 1)
        order = np.argsort(-found, axis=1)
        return np.take_along_axis(found, order, 1), np.take_along_axis(ids, order, 1)

    def softmax() -> Any:
        z = x @ w.T + b
        own = z[every, labels]
        peak = z.max(axis=1, keepdims=True)
        p = np.exp(z - peak, out=z)
        total = p.sum(axis=1, keepdims=True)
        value = (np.log(total[:, 0]) + peak[:, 0] - own).mean()
        p /= total * rows
        p[every, labels] -= 1 / rows
        return value, p.T @ x, p.sum(axis=0), p @ w

    def sampled() -> Any:
        true = table[labels + classes]
        negatives = table[values[0]]
        t = np.einsum("nd,nd->n", x, true) + all_biases[labels + classes]
        z = x @ negatives.T + all_biases[values[0]]
        peak = np.maximum(z.max(axis=1), t)
        p, e = np.exp(z - peak[:, None], out=z), np.exp(t - peak)
        total = p.sum(axis=1) + e
        value = (np.log(total) + peak - t).mean()
        p /= total[:, None] * rows
        slope = (e / total - 1) / rows
        rows_touched = np.empty((classes + rows, dim), x.dtype)
        rows_touched[:classes], rows_touched[classes:] = p.T @ x, slope[:, None] * x
        return value, rows_touched, p @ negatives + slope[:, None] * true

    def bce() -> Any:
        z = x @ w.T + b
        own = z[every, labels].sum()
        e = np.exp(-np.abs(z))
        value = (np.log1p(e).sum() + np.maximum(z, 0).sum() - own) / z.size
        p = np.where(z >= 0, 1, e) / (1 + e)
        p[every, labels] -= 1
        p /= z.size
        return value, p.T @ x, p.sum(axis=0), p @ w

    linear, many = lx.LinearSoftmaxLoss(), lx.LinearBCELoss()
    some = lx.SampledSoftmaxLoss(classes, 2 * classes, reduction="mean")
    ours: dict[str, Callable[[], Any]] = {
        "topk": lambda: lx.topk(w, b, x, k),
        "softmax": lambda: linear.value_and_grad(w, b, labels, x),
        "sampled": lambda: some.value_and_grad(table, all_biases, labels + classes, x, sampled_values=values),
        "bce": lambda: many.value_and_grad(w, b, labels[:, None], x),
    }
    theirs: dict[str, Callable[[], Any]] = {"topk": topk, "softmax": softmax, "sampled": sampled, "bce": bce}
    for name in ours:
        np.testing.assert_allclose(ours[name]()[0], theirs[name]()[0], rtol=1e-3, atol=1e-3)
    return {name: (ours[name], theirs[name]) for name in ours}


def ratio(pair: tuple[Callable[[], Any], Callable[[], Any]], clock: Callable[[], float], rounds: int) -> float:
    """Ours over NumPy's."""
    begin = clock()
    pair[1]()
    repeats = max(1, int(0.003 / max(clock() - begin, 1e-7)))
    ratios = []
    for _ in range(rounds):
        times = []
        for call in pair:
            begin = clock()
            for _ in range(repeats):
                call()
            times.append(clock() - begin)
        ratios.append(times[0] / times[1])
    return median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype", choices=["float32", "float64"], nargs="+", default=["float32", "float64"])
    parser.add_argument("--dims", type=int, nargs="+", default=DIMS)
    parser.add_argument("--smoke", action="store_true", help="everything once, small; the times mean nothing")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOSSEXT_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    print(f"ours over NumPy's, {options.threads} threads")
    print(f"| dtype | N | V | D | {' | '.join(SEEN.values())} |\n|{' --- |' * (4 + len(SEEN))}")
    for dtype in options.dtype:
        for rows, classes in SIZES[:1] if options.smoke else SIZES:
            for dim in options.dims[:2] if options.smoke else options.dims:
                if (rows + classes) * dim > MOST:
                    continue
                pairs = calls(dtype, rows, classes, dim)
                found = [f"{ratio(pairs[name], clock, 1 if options.smoke else options.rounds):.2f}" for name in SEEN]
                print(f"| {dtype} | {rows} | {classes} | {dim} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
