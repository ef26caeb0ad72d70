"""The same calls in two installed versions of lossext, in turn: `python -m benchmarks.versions --other PYTHON`.

Each version runs in the interpreter it is installed in, on one instruction set at a time; A B A B, the least of many
short times, for whatever else the machine does only adds.  Without --other: what every argument of a small call costs
beside the plain call, in this version.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np

SHAPES = {
    "short": [(10_000, 2), (7_000, 3), (4_000, 5), (2_000, 10), (1_000, 20), (600, 33), (20, 1000)],
    "published": [(32, 10), (256, 100), (1024, 1000), (1_000_000, 1), (65_536, 100)],
}
LOSSES = {
    "multilabel": ("MultiLabelSoftMarginLoss", {}, ""),
    "multi_margin_p1": ("MultiMarginLoss", {"p": 1}, "classes"),
    "multi_margin_p2": ("MultiMarginLoss", {"p": 2}, "classes"),
    "hinge_embedding": ("HingeEmbeddingLoss", {}, "signs"),
    "bce": ("BCEWithLogitsLoss", {}, ""),
    "bce_weighted": ("BCEWithLogitsLoss", {"weight": ..., "pos_weight": ...}, ""),
}
# how a small call differs from the plain one, and how many times its time is allowed
SMALL = {
    "plain": 1,
    "n_threads": 1.5,
    "sample_weight": 1.5,
    "grad_output": 1.5,
    "scalar weight": 1.5,
    "class weight": 1.5,
    "int target": 2,
    "other float": 2.5,
    "value": 1,
    "function": None,
}
SLOT = 0.005  # seconds


def call_of(loss, shape, dtype, what, small):
    """A call without arguments that does what is to be timed."""
    import lossext

    rng = np.random.default_rng(0)
    name, parameters, target = LOSSES[loss]
    x = (2 * rng.standard_normal(shape)).astype(dtype)
    y = (rng.random(shape) < 0.4).astype(dtype)
    if target:
        y = rng.integers(0, shape[1], shape[0]) if target == "classes" else 2 * y - 1
    parameters = {k: rng.uniform(0.5, 2, shape[1]).astype(dtype) if v is ... else v for k, v in parameters.items()}
    keywords = {"out": np.ones(shape, dtype)} if what == "value_and_grad" and small == "plain" and x.size > 1000 else {}
    if small == "n_threads":
        keywords["n_threads"] = 1
    elif small == "sample_weight":
        keywords["sample_weight"] = np.ones(shape[0], dtype)
    elif small == "grad_output":
        keywords["grad_output"] = 2.0
    elif small == "scalar weight" and not target:
        parameters["weight"] = 2.0
    elif small == "class weight":
        parameters["weight"] = np.ones(shape[1], dtype)
    elif small == "int target":
        y = y.astype(np.int8)
    elif (small == "other float" and target == "classes") or (small == "scalar weight" and target):
        return None
    elif small == "other float":
        y = y.astype(np.float64 if dtype == "float32" else np.float32)
    elif small == "function":
        function = {
            "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
            "MultiMarginLoss": "multi_margin_loss",
            "HingeEmbeddingLoss": "hinge_embedding_loss",
            "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
        }[name]
        value_of = getattr(lossext, function)
        return lambda: value_of(x, y, **parameters)
    bound = getattr(lossext, name)(**parameters)
    method = bound if what == "value" or small == "value" else bound.value_and_grad
    return lambda: method(x, y, **keywords)


def work():
    """The side of one version: a case a line on stdin, or a wish for its time."""
    call, repeats = None, 1
    for line in sys.stdin:
        order = json.loads(line)
        if order:
            try:
                call, repeats = call_of(*order), 1
            except TypeError:  # an argument that this version has not
                call = None
            if call is not None:
                until = time.perf_counter() + SLOT
                while time.perf_counter() < until:
                    call()
                while seconds(call, repeats) * repeats < SLOT / 10:
                    repeats *= 2
            print(json.dumps(call is not None), flush=True)
        else:
            call()
            print(json.dumps(min(seconds(call, repeats) for _ in range(10))), flush=True)


def seconds(call, repeats):
    start = time.perf_counter()
    for _ in itertools.repeat(None, repeats):
        call()
    return (time.perf_counter() - start) / repeats


class Version:
    def __init__(self, python, isa, threads):
        env = {**os.environ, **({"LOSSEXT_ISA": isa} if isa else {})}
        if threads:
            env["LOSSEXT_NUM_THREADS"] = threads
        self.process = subprocess.Popen(
            [python, "-P", os.path.abspath(__file__), "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def ask(self, order):
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def times(versions, rounds, cases):
    """Of each version, in turn, with a case for each; None where one cannot do its own."""
    able = [version.ask(case) for version, case in zip(versions, cases, strict=True)]
    if not all(able):
        return None
    found = [[version.ask(None) for version in versions] for _ in range(rounds)]
    return [min(column) for column in zip(*found, strict=True)]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("--other", metavar="PYTHON", help="interpreter of the environment that has the other version")
    parser.add_argument("--isa", nargs="+", default=[""], help="avx512 avx2 baseline; default: the machine's")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--shapes", nargs="+", default=["published"], help="published, short, or as 32x10")
    parser.add_argument("--whats", nargs="+", default=["value", "value_and_grad"])
    parser.add_argument("--threads", default="", help="LOSSEXT_NUM_THREADS of both")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--over", type=float, default=0.0, help="show only ratios over this")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work()
        return
    shapes = [s for name in args.shapes for s in SHAPES.get(name) or [tuple(map(int, name.split("x")))]]
    for isa in args.isa:
        versions = [Version(python, isa, args.threads) for python in (sys.executable, args.other or sys.executable)]
        if args.other:
            compare(versions, args, isa, shapes)
        else:
            small_calls(versions, args, isa)
        for version in versions:
            version.stop()


def compare(versions, args, isa, shapes):
    for shape, dtype, loss, what in itertools.product(shapes, args.dtypes, args.losses, args.whats):
        if shape[1] == 1 and LOSSES[loss][2] == "classes":
            continue
        this, other = times(versions, args.rounds, 2 * [(loss, shape, dtype, what, "plain")])
        if this / other >= args.over:
            print(f"{isa:8} {dtype} {shape!s:15} {loss:16} {what:14} {1e6 * this:10.2f} us, "
                  f"other {1e6 * other:10.2f} us, ratio {this / other:.2f}", flush=True)  # fmt: skip


def small_calls(versions, args, isa):
    for dtype, loss, small in itertools.product(args.dtypes, args.losses, SMALL):
        cases = [(loss, (32, 10), dtype, "value_and_grad", kind) for kind in (small, "plain")]
        if found := times(versions, args.rounds, cases):
            allowed = f"allowed {SMALL[small]}" if SMALL[small] else "allowed: 1 us more than value"
            print(f"{isa:8} {dtype} {loss:16} {small:14} {1e6 * found[0]:6.2f} us, plain {1e6 * found[1]:6.2f} us, "
                  f"ratio {found[0] / found[1]:.2f} ({allowed})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
