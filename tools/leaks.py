"""Memory of the process over many calls, errors included: python tools/leaks.py [CALLS]

Ends non-zero if it grows by more than a mebibyte in the second half of the calls.
"""

import resource
import sys
import time

import numpy as np

import lossext as lx

ALLOWED = 1 << 20


def calls():
    """(function, error it must raise or None): good and bad calls of every public class."""
    rng = np.random.default_rng(0)
    for cls in lx.registry():
        x = rng.random((13, 7))  # in the domain of every loss
        ids = cls.declaration.takes_ids
        target = np.arange(13) % 7 if ids else np.ones((13, 7), np.uint8)
        bad = np.full(13, 7) if ids else np.full((13, 7), np.inf)
        if cls.declaration.target.kind == "labels":
            target, bad = target[:, np.newaxis], bad[:, np.newaxis]
        loss, each = cls(), cls(reduction="none")
        out = np.empty_like(x)
        yield lambda loss=loss, target=target, x=x: loss(x, target), None
        yield (
            lambda x=x, loss=loss, target=target: loss.value_and_grad(x[::-1], target, sample_weight=np.ones(13)),
            None,
        )
        yield lambda x=x, loss=loss, target=target, out=out: loss.grad(x, target, out=out, n_threads=2), None
        yield lambda x=x, each=each, target=target: each.grad(x.astype(np.float16), target), None
        yield lambda x=x, loss=loss, bad=bad: loss.value_and_grad(x, bad), ValueError
        yield lambda x=x, loss=loss, target=target: loss(x[:5], target), ValueError
        yield lambda x=x, loss=loss, target=target: loss(x.astype(complex), target), TypeError
        yield lambda x=x, loss=loss, target=target: loss.grad(x, target, out=x[:, ::-1]), ValueError
        yield lambda x=x, loss=loss, target=target: loss(x, target, n_threads=0), ValueError
        yield lambda cls=cls: cls(reduction="median"), ValueError
    x = rng.normal(size=(13, 7))
    weights, biases, labels = rng.normal(size=(40, 7)), np.zeros(40), np.arange(13) % 40
    sampled = lx.SampledSoftmaxLoss(5, 40)
    yield lambda: sampled(weights, biases, labels, x), None
    yield lambda: sampled.value_and_grad(weights, biases, labels, x), None
    yield lambda: sampled.grad(weights, biases, labels, x).weights.add_to(weights, -0.1), None
    yield lambda: sampled(weights, biases, labels + 40, x), ValueError
    yield lambda: sampled(weights, biases, labels.astype(float), x), TypeError


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run(functions, count):
    for i in range(count):
        function, error = functions[i % len(functions)]
        try:
            function()
        except (TypeError, ValueError) as caught:
            if error is None or not isinstance(caught, error):
                raise
        else:
            if error is not None:
                raise SystemExit(f"call {i % len(functions)}: {error.__name__} expected")


count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
functions = list(calls())
begin = time.perf_counter()
run(functions, count // 2)
before = resident()
run(functions, count // 2)
grown = resident() - before
errors = sum(error is not None for _, error in functions)
print(
    f"leaks: {count} calls of {len(functions)} kinds ({errors} of them errors), "
    f"{grown} bytes more in the second half, {time.perf_counter() - begin:.0f} s"
)
sys.exit(grown > ALLOWED)
