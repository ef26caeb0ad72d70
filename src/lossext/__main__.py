"""`python -m lossext`: fit a linear model to Fisher's iris with each loss, and check each gradient.

Ends with status 1 if a gradient is off.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import lossext
from lossext import _iris, _threads, losses
from lossext._declare import logistic, softmax
from lossext._kernels import drivers
from lossext._overview import subject_of
from lossext._validate import Array
from lossext.losses import layer

STEPS = 300
RATE = 1.0  # the first step's; a step that does not lower the loss halves it
TOLERANCE = 1e-7  # central differences themselves are good to some 1e-9
TIMED_ROWS = 300_000
BUDGET = 0.05  # seconds for each of the two times of a loss


class Result(NamedTuple):
    subject: str
    loss: str
    curve: list[float]  # values, from the start on
    fit: float
    gradient_error: float
    ns_one_thread: float
    ns_all_threads: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lossext",
        description="Fit a linear model to Fisher's iris with each loss, check each gradient, time each loss. Takes "
        "some ten seconds, needs nothing but NumPy, and ends with status 1 if a gradient is off.",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the values step by step into FILE (needs matplotlib)")
    plot = parser.parse_args(arguments).plot
    if plot:
        import matplotlib as mpl  # a missing one is said before the work is done

        mpl.use("Agg")

    threads, reason = _threads.default()
    print(f"lossext {lossext.__version__}: linear models of Fisher's iris, {STEPS} steps of gradient descent each")
    print(f"threads: {threads} ({reason}); instruction set: {drivers.isa()}")
    results: list[Result] = []
    print_heading(threads)
    for result in with_progress(runs()):
        print_row(result, not results or results[-1].subject != result.subject)
        results.append(result)
    print_legend(threads)
    if plot:
        draw(results, plot)
        print(f"\n{plot}: the values, step by step")

    wrong = [result.loss for result in results if not result.gradient_error <= TOLERANCE]
    if wrong:
        print(f"\nWRONG GRADIENT (further than {TOLERANCE:g} from central differences): {', '.join(wrong)}")
    return 1 if wrong else 0


def runs() -> list[tuple[str, Callable[[], Result]]]:
    """Name and work of every loss, by subject."""
    measurements, species = _iris.load()
    found: list[tuple[str, Callable[[], Result]]] = [
        (cls.__name__, functools.partial(run_dense, cls, measurements, species))
        for subject in losses.SUBJECTS
        for cls in lossext.registry()
        if cls.__module__ == subject.__name__
    ]
    of_layers: dict[str, Callable[..., Result]] = {
        "InBatchSoftmaxLoss": run_in_batch,
        "LinearBCELoss": functools.partial(run_layer, padded=True),
        "LinearSoftmaxLoss": run_layer,
        "NCELoss": run_sampled,
        "SampledSoftmaxLoss": run_sampled,
    }
    found += [
        (name, functools.partial(of_layers[name], getattr(layer, name), standard(measurements), species))
        for name in layer.__all__
        if name.endswith("Loss")
    ]
    return found


def standard(columns: Array) -> Array:
    scaled: Array = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    return scaled


# ---- losses of an array of predictions ----


class Problem(NamedTuple):
    """Data for a loss, and how its predictions come out of the linear model's scores."""

    x: Array  # (150, D), the last column 1
    target: Array
    columns: int
    seen: Callable[[Array], Array]
    back: Callable[[Array, Array, Array], Array]  # gradient by scores from scores, predictions, gradient by these
    fit: Callable[[Array], float]


def problem_of(loss: Any, measurements: Array, species: Array) -> Problem:
    """Species from all four measurements, or the width of a petal from the other three: what the loss is made for."""
    declaration = loss.declaration
    kind = declaration.target.kind
    if kind in ("real", "non_negative", "positive") and declaration.linear_score:
        width = measurements[:, 3:]

        def explained(scores: Array) -> float:
            mean = loss.inverse_link(scores) if declaration.link else scores
            return 1 - float(((mean - width) ** 2).mean() / width.var())

        return Problem(with_ones(standard(measurements[:, :3])), width, 1, same, pass_on, explained)

    own = species[:, None] == np.arange(3)
    padded = np.column_stack([species, np.full((len(species), 2), -1)])
    target = {"class": species, "sign": np.where(own, 1, -1), "unit": own, "non_negative": own.astype(float)}.get(
        kind, padded
    )
    seen: Callable[[Array], Array] = same
    back = pass_on
    if declaration.low_score_means == "alike":  # of squares, which are distances of a plant from each species' plane
        seen, back = np.square, through_square
    elif loss._input_domain is not None:
        seen, back = logistic, through_logistic
    elif not declaration.linear_score:
        seen, back = log_softmax, through_log_softmax
    best = np.argmin if declaration.low_score_means == "alike" else np.argmax
    return Problem(
        with_ones(standard(measurements)),
        target,
        3,
        seen,
        back,
        lambda scores: float((best(seen(scores), axis=1) == species).mean()),
    )


def run_dense(cls: Any, measurements: Array, species: Array) -> Result:
    """A score for each plant and species, or for each plant, linear in the measurements."""
    loss = cls()
    problem = problem_of(loss, measurements, species)
    x, target = problem.x, problem.target

    def value_and_grad(weights: Array) -> tuple[float, list[Array]]:
        scores = x @ weights
        prediction = problem.seen(scores)
        value, grad = loss.value_and_grad(prediction, target)
        return float(value), [x.T @ problem.back(scores, prediction, grad)]

    weights = start(x.shape[1], problem.columns)
    first = problem.seen(x @ weights)
    error = relative_error(loss.grad(first, target), central_differences(lambda: loss(first, target), first))
    curve = descend(value_and_grad, [weights])

    repeats = TIMED_ROWS // len(first)
    big, big_target = np.tile(first.astype(np.float32), (repeats, 1)), np.concatenate([target] * repeats)
    out = np.empty_like(big)
    times = ns_an_element(lambda n: loss.value_and_grad(big, big_target, out=out, n_threads=n), big.size)
    return Result(subject_of(cls.__module__), cls.__name__, curve, problem.fit(x @ weights), error, *times)


def with_ones(features: Array) -> Array:
    columns: Array = np.column_stack([features, np.ones(len(features))])  # the last weight of a score is its bias
    return columns


def same(scores: Array) -> Array:
    return scores


def pass_on(scores: Array, prediction: Array, grad: Array) -> Array:
    return grad


def through_square(scores: Array, prediction: Array, grad: Array) -> Array:
    return 2 * scores * grad


def through_logistic(scores: Array, prediction: Array, grad: Array) -> Array:
    back: Array = grad * prediction * (1 - prediction)
    return back


def log_softmax(scores: Array) -> Array:
    log: Array = np.log(softmax(scores))
    return log


def through_log_softmax(scores: Array, prediction: Array, grad: Array) -> Array:
    back: Array = grad - np.exp(prediction) * grad.sum(axis=1, keepdims=True)
    return back


# ---- losses of a layer ----


def run_layer(cls: Any, features: Array, species: Array, padded: bool = False) -> Result:
    """A class for each species, of all classes at once; where labels are padded, a row of one id."""
    return run_classes(cls(), features, species[:, None] if padded else species, species, {}, 3)


def run_sampled(cls: Any, features: Array, species: Array) -> Result:
    """Trained against 2 classes drawn anew at each step; valued and checked against all 3, each once."""
    loss = cls(num_sampled=2, num_classes=3, seed=0, reduction="mean")
    everything = np.arange(3), np.ones((len(species), 1)), np.ones(3)
    return run_classes(loss, features, species, species, {"sampled_values": everything}, 1 + loss.num_sampled)


def run_classes(
    loss: Any, features: Array, labels: Array, species: Array, exact: dict[str, Any], logits: int
) -> Result:
    weights, biases, inputs = start(3, 4), start(3), features.copy()

    def value() -> float:
        return float(loss(weights, biases, labels, inputs, **exact))

    grad = loss.grad(weights, biases, labels, inputs, **exact)
    errors = [
        relative_error(dense(ours), central_differences(value, array))
        for ours, array in ((grad.weights, weights), (grad.biases, biases), (grad.inputs, inputs))
    ]

    curve = [value()]
    for _ in range(STEPS):  # noise: no step can be judged by itself
        grad = loss.grad(weights, biases, labels, inputs)
        weights -= RATE * dense(grad.weights)
        biases -= RATE * dense(grad.biases)
        curve.append(value())
    guess = (inputs @ weights.T + biases).argmax(axis=1)

    repeats = TIMED_ROWS // len(inputs)
    model = weights.astype(np.float32), biases.astype(np.float32)
    batch = np.concatenate([labels] * repeats), np.tile(inputs.astype(np.float32), (repeats, 1))
    times = ns_an_element(lambda n: loss.value_and_grad(*model, *batch, n_threads=n), len(batch[0]) * logits)
    return Result(
        subject_of(layer.__name__),
        type(loss).__name__,
        curve,
        float((guess == species).mean()),
        float(np.max(errors)),  # not max(): it can lose a NaN
        *times,
    )


def run_in_batch(cls: Any, features: Array, species: Array) -> Result:
    """Each plant against its species; the species of the other rows are its negatives."""
    loss = cls()
    plants, table = with_ones(features), start(3, 5)

    def value_and_grad(table: Array) -> tuple[float, list[Array]]:
        value, grad = loss.value_and_grad(plants, table[species], item_ids=species)
        return float(value), [dense(grad.item_rows(species, 3))]

    items = table[species]
    grad = loss.grad(plants, items, item_ids=species)
    error = relative_error(grad.items, central_differences(lambda: float(loss(plants, items, item_ids=species)), items))
    curve = descend(value_and_grad, [table])
    guess = (plants @ table.T).argmax(axis=1)
    rows = np.arange(2048) % len(plants)
    batch = plants[rows].astype(np.float32), table[species][rows].astype(np.float32)
    times = ns_an_element(lambda n: loss.value_and_grad(*batch, item_ids=species[rows], n_threads=n), len(rows) ** 2)
    return Result(subject_of(layer.__name__), cls.__name__, curve, float((guess == species).mean()), error, *times)


def dense(grad: Any) -> Array:
    array: Array = grad if isinstance(grad, np.ndarray) else grad.to_dense()
    return array


# ---- what they have in common ----


def start(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape) / 2


def descend(value_and_grad: Callable[..., tuple[float, list[Array]]], arrays: list[Array]) -> list[float]:
    """Gradient descent in place, a step at a time as long as it lowers the value; the values."""
    rate = RATE
    value, grads = value_and_grad(*arrays)
    curve = [value]
    for _ in range(STEPS):
        tried = [array - rate * grad for array, grad in zip(arrays, grads, strict=True)]
        with np.errstate(all="ignore"):
            new, new_grads = value_and_grad(*tried)
        if new <= value:
            value, grads, rate = new, new_grads, 1.2 * rate
            for array, moved in zip(arrays, tried, strict=True):
                array[:] = moved
        else:
            rate /= 2
        curve.append(value)
    return curve


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


def best_time(call: Callable[[], object], budget: float = BUDGET) -> float:
    """Seconds of the fastest of as many calls as the budget allows: others may be using the machine too."""
    best, end = math.inf, time.perf_counter() + budget
    while (begin := time.perf_counter()) < end:
        call()
        best = min(best, time.perf_counter() - begin)
    return best


# ---- what is shown ----


def with_progress(found: list[tuple[str, Callable[[], Result]]]) -> Iterator[Result]:
    """The results; on a terminal, which loss is being run, on a line that its result overwrites."""
    terminal = sys.stderr.isatty()
    for number, (name, run) in enumerate(found, 1):
        if terminal:
            print(f"\r\033[K[{number}/{len(found)}] {name}", end="", file=sys.stderr, flush=True)
        result = run()
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        yield result


def print_heading(threads: int) -> None:
    columns = f"{'before':>10}{'after':>10}{'fit':>8}{'gradient error':>16}{'ns/element':>12}{f'{threads} threads':>12}"
    print(f"\n{'loss':<28}{columns}")


def print_row(r: Result, first_of_subject: bool) -> None:
    if first_of_subject:
        print(f"{r.subject}")
    print(
        f"  {r.loss:<26}{r.curve[0]:>10.4f}{r.curve[-1]:>10.4f}{r.fit:>7.1%} {r.gradient_error:>16.1e}"
        f"{r.ns_one_thread:>12.2f}{r.ns_all_threads:>12.2f}",
        flush=True,
    )


def print_legend(threads: int) -> None:
    print(
        "\nbefore, after: the value of the loss\n"
        "fit: plants whose species is right; for numbers, explained share of the variance of petal widths\n"
        "gradient error: largest difference from central differences / largest gradient, float64\n"
        f"ns/element: value and gradient, float32, {TIMED_ROWS:,} rows (in-batch softmax 2,048), one thread;\n"
        f"{threads} threads: the same on as many as a call of this size takes by default"
    )


def draw(results: list[Result], path: str) -> None:
    """The value at each step over the first one, a panel for each subject."""
    from matplotlib.figure import Figure

    subjects = list(dict.fromkeys(result.subject for result in results))
    n_rows = math.ceil(len(subjects) / 2)
    figure = Figure(figsize=(12, 3 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for panel in panels[len(subjects) :]:
        panel.set_axis_off()
    for panel, subject in zip(panels, subjects, strict=False):
        for result in (result for result in results if result.subject == subject):
            panel.plot(np.arange(len(result.curve)) + 1, np.divide(result.curve, result.curve[0]), label=result.loss)
        panel.set(title=subject, xscale="log", xlabel="step", ylabel="value / first value")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, ncols=2)
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
