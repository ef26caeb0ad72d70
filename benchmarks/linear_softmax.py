"""Softmax of a whole linear layer, value and all gradients: lossext against torch's linear_cross_entropy.

    python -m benchmarks.linear_softmax --torch /path/to/venv/bin/python [--smoke]

Each library runs in a process of its own; one computes at a time, in turn; medians. Their values must agree.
"""

import argparse
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.apart import Worker, serve
from benchmarks.machine import describe

SIZES = [(1024, 64, 20_000), (1024, 64, 200_000), (4096, 128, 32_000)]  # N, D, V
SMOKE = [(32, 8, 500)]
MODULE = "benchmarks.linear_softmax"


def arrays(rows: int, dim: int, classes: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((classes, dim), dtype=np.float32)
    inputs = 0.1 * rng.standard_normal((rows, dim), dtype=np.float32)
    return weights, np.zeros(classes, np.float32), rng.integers(classes, size=rows), inputs


def ours(rows: int, dim: int, classes: int) -> Callable[[], Any]:
    import lossext as lx

    given, loss = arrays(rows, dim, classes), lx.LinearSoftmaxLoss()
    return lambda: loss.value_and_grad(*given)[0]


def torch(rows: int, dim: int, classes: int) -> Callable[[], Any]:
    import torch
    import torch.nn.functional as F

    w, b, y, x = (torch.from_numpy(a) for a in arrays(rows, dim, classes))
    for parameter in (w, b, x):
        parameter.requires_grad_()

    def call() -> float:
        loss = F.linear_cross_entropy(x, w, y, linear_bias=b)
        torch.autograd.grad(loss, (w, b, x))
        return float(loss.detach())

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--smoke", action="store_true", help="everything once, small; the times mean nothing")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve({"lossext": ours, "torch": torch}[options.serve])
        return
    machine = describe()
    print(f"{machine['cpu']}, {machine['cpus']} CPUs, load {machine['load']}; float32")
    workers = {"lossext": Worker(sys.executable, MODULE, "lossext")}
    if options.torch:
        workers["torch"] = Worker(options.torch, MODULE, "torch")
    print("| N | D | V | lossext ms | torch ms | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for case in SMOKE if options.smoke else SIZES:
        values = [worker.ask(case) for worker in workers.values()]
        np.testing.assert_allclose(values, values[0], rtol=1e-4)
        times: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(1 if options.smoke else options.rounds):
            for name, worker in workers.items():
                times[name].append(worker.ask())
        mine = median(times["lossext"])
        other = f"{1e3 * median(times['torch']):.1f}" if options.torch else "-"
        ratio = f"{median(times['torch']) / mine:.1f}" if options.torch else "-"
        print(f"| {case[0]} | {case[1]} | {case[2]} | {1e3 * mine:.1f} | {other} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
