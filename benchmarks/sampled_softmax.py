"""Sampled softmax, value and all gradients: lossext against TensorFlow, and against what the arithmetic can do.

    python -m benchmarks.sampled_softmax [--tensorflow /path/to/venv/bin/python] [--dtype float64] [--smoke]

Each library runs in a process of its own; one computes at a time, in turn; medians.  Both take the same classes, and
their values must agree.  TensorFlow runs as a tf.function with its gradients.  The peak is that of a loop of
multiply-adds on registers, on as many threads, in the same rounds.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.apart import PAUSE, Worker, serve
from benchmarks.machine import describe

DIM = 128
SIZES = [(1_000_000, 512, 1000), (1_000_000, 512, 8192), (1_000_000, 4096, 1000), (1_000_000, 4096, 8192)]
SMOKE = [(1000, 32, 50)]
MODULE = "benchmarks.sampled_softmax"

PEAK = """
#define LANES (64 / sizeof(T))
typedef T vec __attribute__((vector_size(64)));
double peak(long n)
{
    vec a[12], x, y;
    for (int j = 0; j < LANES; j++) x[j] = 1 + 1e-7 * j, y[j] = 1e-9 * j;
    for (int i = 0; i < 12; i++) a[i] = x * (T)i;
    for (long k = 0; k < n; k++)
        for (int i = 0; i < 12; i++) a[i] = a[i] * x + y;
    for (int i = 1; i < 12; i++) a[0] += a[i];
    return a[0][0];
}
"""


def arrays(dtype: str, classes: int, rows: int, sampled: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((classes, DIM), dtype=np.float32).astype(dtype, copy=False)
    inputs = 0.1 * rng.standard_normal((rows, DIM)).astype(dtype)
    labels = rng.integers(classes, size=(rows, 1))
    ids = rng.choice(classes, sampled, replace=False)
    values = ids, np.full((rows, 1), sampled / classes, dtype), np.full(sampled, sampled / classes, dtype)
    return weights, np.zeros(classes, dtype), labels, inputs, values


def ours(dtype: str, classes: int, rows: int, sampled: int) -> Callable[[], Any]:
    import lossext as lx

    weights, biases, labels, inputs, values = arrays(dtype, classes, rows, sampled)
    loss = lx.SampledSoftmaxLoss(sampled, classes, reduction="mean")
    return lambda: loss.value_and_grad(weights, biases, labels, inputs, sampled_values=values)[0]


def tensorflow(dtype: str, classes: int, rows: int, sampled: int) -> Callable[[], Any]:
    import tensorflow as tf

    weights, biases, labels, inputs, values = arrays(dtype, classes, rows, sampled)
    w, b = tf.Variable(weights), tf.Variable(biases)
    x, y, v = tf.constant(inputs), tf.constant(labels), tuple(map(tf.constant, values))

    @tf.function  # type: ignore[untyped-decorator]
    def call() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(tf.nn.sampled_softmax_loss(w, b, y, x, sampled, classes, sampled_values=v))
        return loss, tape.gradient(loss, (w, b, x))

    return lambda: call()[0].numpy()


class Peak:
    """Multiply-adds per second of all threads."""

    def __init__(self, dtype: str, threads: int) -> None:
        self.threads, self.lanes = threads, 64 // np.dtype(dtype).itemsize
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, "peak.c"), Path(folder, "peak.so")
            source.write_text(PEAK)
            real = {"float32": "float", "float64": "double"}[dtype]
            flags = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffp-contract=fast", "-funroll-loops"]
            subprocess.run(["cc", *flags, f"-DT={real}", "-shared", "-fPIC", "-o", library, source], check=True)
            self.loop = ctypes.CDLL(str(library)).peak
        self.loop.argtypes, self.loop.restype = [ctypes.c_long], ctypes.c_double

    def measure(self, n: int = 2_000_000) -> float:
        workers = [threading.Thread(target=self.loop, args=(n,)) for _ in range(self.threads)]
        begin = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return self.threads * 12 * self.lanes * n / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensorflow", metavar="PYTHON", help="a Python that has tensorflow")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--smoke", action="store_true", help="everything once, small; the times mean nothing")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve({"lossext": ours, "tensorflow": tensorflow}[options.serve])
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    machine = describe()
    threads = machine["cpus"]
    print(f"{machine['cpu']}, {threads} CPUs, load {machine['load']}; {options.dtype}, D = {DIM}")
    workers = {"lossext": Worker(sys.executable, MODULE, "lossext")}
    if options.tensorflow:
        workers["tensorflow"] = Worker(options.tensorflow, MODULE, "tensorflow")
    peak = Peak(options.dtype, threads)
    print("| V | N | S | lossext ms | of peak | tensorflow ms | ratio |\n| --- | --- | --- | --- | --- | --- | --- |")
    for classes, rows, sampled in SMOKE if options.smoke else SIZES:
        case = options.dtype, classes, rows, sampled
        values = [worker.ask(case) for worker in workers.values()]
        np.testing.assert_allclose(values, values[0], rtol=1e-4)
        times: dict[str, list[float]] = {name: [] for name in workers}
        peaks = []
        for _ in range(1 if options.smoke else options.rounds):
            for name, worker in workers.items():
                times[name].append(worker.ask())
            time.sleep(PAUSE)
            peaks.append(peak.measure())
        mine = median(times["lossext"])
        share = 3 * rows * sampled * DIM / mine / median(peaks)
        other = f"{1e3 * median(times['tensorflow']):.2f}" if options.tensorflow else "-"
        ratio = f"{median(times['tensorflow']) / mine:.1f}" if options.tensorflow else "-"
        print(f"| {classes} | {rows} | {sampled} | {1e3 * mine:.2f} | {share:.0%} | {other} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
