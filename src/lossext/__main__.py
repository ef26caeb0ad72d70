"""`python -m lossext`: fit a linear model to Fisher's iris with each loss, and check each gradient.

Ends with status 1 if a gradient is off.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lossext import _iris, _threads
from lossext._kernels import drivers
from lossext._validate import Array
from lossext._version import __version__
from lossext.losses import (
    BCEWithLogitsLoss,
    HingeEmbeddingLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SampledSoftmaxLoss,
)
from lossext.losses._dense import DenseLoss

STEPS = 300
RATE = 1.0
TOLERANCE = 1e-7  # central differences themselves are good to some 1e-9
TIMED_ROWS = 300_000


class Result(NamedTuple):
    loss: str
    before: float
    after: float
    accuracy: float
    gradient_error: float
    ns_one_thread: float
    ns_all_threads: float


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m lossext",
        description="Fit a linear model to Fisher's iris with each of five losses, check each gradient against central "
        "differences, and time it.",
        epilog="Ends with status 1 if a gradient is off.",
    ).parse_args()
    measurements, species = _iris.load()
    features = (measurements - measurements.mean(axis=0)) / measurements.std(axis=0)
    own = species[:, None] == np.arange(3)

    threads, reason = _threads.default()
    print(f"lossext {__version__}: a linear model of Fisher's iris by {STEPS} steps of gradient descent with each loss")
    print(f"threads: {threads} ({reason}); instruction set: {drivers.isa()}\n")
    results = [
        run_dense(MultiLabelSoftMarginLoss(), features, own, species),
        run_dense(MultiMarginLoss(), features, species, species),
        run_dense(HingeEmbeddingLoss(), features, np.where(own, 1, -1), species, squared=True),
        run_dense(BCEWithLogitsLoss(pos_weight=2.0), features, own, species),
        run_sampled(features, species),
    ]
    print_table(results, threads)

    wrong = [result.loss for result in results if not result.gradient_error <= TOLERANCE]
    if wrong:
        print(f"\nWRONG GRADIENT (further than {TOLERANCE:g} from central differences): {', '.join(wrong)}")
    return 1 if wrong else 0


def run_dense(loss: DenseLoss, features: Array, target: Array, species: Array, squared: bool = False) -> Result:
    """A score for each plant and species, linear in the features: the greatest wins.

    If `squared`, the loss sees the square of the score, which is a distance of the plant from a plane that each species
    has for itself, and the smallest wins: hinge embedding pulls a plant to its own plane and pushes it off the others.
    """
    x = np.column_stack([features, np.ones(len(features))])  # the last weight of a score is its bias
    weights = start(x.shape[1], 3)

    def seen(scores: Array) -> Array:
        return scores**2 if squared else scores

    first = seen(x @ weights)
    for _ in range(STEPS):
        scores = x @ weights
        grad = loss.grad(seen(scores), target)
        weights -= RATE * (x.T @ (2 * scores * grad if squared else grad))
    last = seen(x @ weights)

    guess = last.argmin(axis=1) if squared else last.argmax(axis=1)
    error = relative_error(loss.grad(first, target), central_differences(lambda: loss(first, target), first))

    repeats = TIMED_ROWS // len(first)
    big, big_target = np.tile(first.astype(np.float32), (repeats, 1)), np.concatenate([target] * repeats)
    out = np.empty_like(big)
    times = ns_an_element(lambda n: loss.value_and_grad(big, big_target, out=out, n_threads=n), big.size)
    return Result(
        type(loss).__name__,
        float(loss(first, target)),
        float(loss(last, target)),
        float(np.mean(guess == species)),
        error,
        *times,
    )


def run_sampled(features: Array, species: Array) -> Result:
    """Trained against 2 classes drawn anew at each step; valued and checked against all 3, the exact softmax."""
    loss = SampledSoftmaxLoss(num_sampled=2, num_classes=3, seed=0, reduction="mean")
    everything = np.arange(3), np.ones((len(species), 1)), np.ones(3)
    weights, biases, inputs = start(3, 4), start(3), features.copy()

    def value() -> float:
        return float(loss(weights, biases, species, inputs, sampled_values=everything))

    first = value()
    grad = loss.grad(weights, biases, species, inputs, sampled_values=everything)
    errors = [
        relative_error(grad.weights.to_dense(), central_differences(value, weights)),
        relative_error(grad.biases.to_dense(), central_differences(value, biases)),
        relative_error(grad.inputs, central_differences(value, inputs)),
    ]

    for _ in range(STEPS):
        grad = loss.grad(weights, biases, species, inputs)
        grad.weights.add_to(weights, scale=-RATE)
        grad.biases.add_to(biases, scale=-RATE)
    guess = (inputs @ weights.T + biases).argmax(axis=1)

    repeats = TIMED_ROWS // len(inputs)
    model = weights.astype(np.float32), biases.astype(np.float32)
    batch = np.tile(species, repeats), np.tile(inputs.astype(np.float32), (repeats, 1))
    logits = len(batch[0]) * (1 + loss.num_sampled)
    times = ns_an_element(lambda n: loss.value_and_grad(*model, *batch, n_threads=n), logits)
    return Result(
        type(loss).__name__,
        first,
        value(),
        float(np.mean(guess == species)),
        float(np.max(errors)),  # not max(): it can lose a NaN
        *times,
    )


def start(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape)


def central_differences(value: Callable[[], float], x: Array, step: float = 1e-5) -> Array:
    """Derivatives of value() by every element of x, which is changed in place for it, and put back."""
    grad = np.empty_like(x)
    for i in np.ndindex(x.shape):
        middle = x[i]
        x[i] = middle + step
        above = value()
        x[i] = middle - step
        grad[i] = (above - value()) / (2 * step)
        x[i] = middle
    return grad


def relative_error(grad: Array, expected: Array) -> float:
    return float(np.abs(grad - expected).max() / np.abs(expected).max())


def ns_an_element(call: Callable[[int], object], elements: int) -> tuple[float, float]:
    """Nanoseconds of call(n_threads) for each element, on one thread and on as many as a call takes by default."""
    one, several = (1e9 * best_time(functools.partial(call, n)) / elements for n in (1, _threads.default()[0]))
    return one, several


def best_time(call: Callable[[], object], budget: float = 0.1) -> float:
    """Seconds of the fastest of as many calls as the budget allows: others may be using the machine too."""
    best, end = math.inf, time.perf_counter() + budget
    while (begin := time.perf_counter()) < end:
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def print_table(results: list[Result], threads: int) -> None:
    columns = f"{'accuracy':>11}{'gradient error':>17}{'ns/element':>13}{f'n_threads={threads}':>15}"
    print(f"{'loss':<26}{'before':>9}{'after':>9}{columns}")
    for r in results:
        print(
            f"{r.loss:<26}{r.before:>9.4f}{r.after:>9.4f}{r.accuracy:>10.1%} {r.gradient_error:>17.1e}"
            f"{r.ns_one_thread:>13.2f}{r.ns_all_threads:>15.2f}"
        )
    print(
        "\naccuracy: on the 150 plants, after the fit\n"
        "gradient error: largest difference from central differences over the largest gradient, float64\n"
        f"ns/element: value and gradient together, float32, {TIMED_ROWS:,} rows; per logit for sampled softmax\n"
        f"n_threads={threads}: the same on as many threads as a call of this size takes by default, the others on one"
    )


if __name__ == "__main__":
    sys.exit(main())
