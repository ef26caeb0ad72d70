"""The constant raw score that minimises a loss, by column of the targets: where fits and boosting begin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossext import _validate
from lossext._declare import IDENTITY, NON_NEGATIVE
from lossext._validate import FLOAT64, Array

LARGEST_LOG_ODDS = math.log((1 - 1e-15) / 1e-15)
SMALLEST_SHARE = 1e-15
MOST_STEPS = 200  # bisection alone would take 60 of float64, Newton some five


@_validate.quiet
def constant(loss: Any, target: Any, sample_weight: Any) -> Any:
    """`DenseLoss.init_raw`: checks and weights the targets, then asks what the loss declares, column by column."""
    if loss.declaration.start is None:
        raise no_start(loss)
    y, known = known_targets(loss, target)
    outputs = loss._n_outputs
    if outputs:
        if y.ndim != 1:
            raise ValueError(f"target has shape {y.shape}; allowed is (N,) where a loss has several outputs")
        y, known = (np.repeat(a[:, np.newaxis], outputs, axis=1) for a in (y, known))
    weight = known * weights_of(loss, "weight", y.shape)
    if sample_weight is not None:
        row_weight = _validate.sample_weights(sample_weight, len(y), FLOAT64)
        assert row_weight is not None
        weight = weight * row_weight.reshape(-1, *[1] * (y.ndim - 1))
    if loss._parameters.get("pos_weight") is not None:  # as other weights and targets, which say the same
        positive = y * weights_of(loss, "pos_weight", y.shape)
        both = positive + (1 - y)
        weight = weight * both
        y = np.divide(positive, both, out=y, where=both != 0)
    columns, weights = (a.reshape(len(y), math.prod(y.shape[1:])) for a in (y, weight))
    if not np.isfinite(weights).all():
        raise ValueError("a weight is not finite: no constant minimises the loss")
    start = loss.declaration.start
    raw = np.array(
        [start(loss._of_output(k) if outputs else loss, columns[:, k], weights[:, k]) for k in range(columns.shape[1])]
    )
    return raw.reshape(*y.shape[1:], *raw.shape[1:]) if y.ndim > 1 or raw.ndim > 1 else float(raw[0])


def known_targets(loss: Any, target: Any) -> tuple[Array, Array]:
    """Targets as float64 (1 where there is none), and where they are known."""
    y = _validate.as_array("target", target)
    _validate.require_real("target", y)
    if y.ndim == 0:
        raise ValueError("target has shape (); allowed is (N,) or (N, C)")
    known = np.ones(y.shape, bool)
    if loss._parameters.get("missing") == "nan" and y.dtype.kind == "f":
        known = ~np.isnan(y)
    checked = np.where(known, y, np.ones((), y.dtype)) if not known.all() else y
    if loss._target.is_bad(checked).any():
        raise _validate.bad_target(loss._target, checked, checked.shape)
    y = checked.astype(np.float64)
    smoothing = loss._parameters.get("label_smoothing") or 0.0
    return y * (1 - smoothing) + smoothing / 2 if smoothing else y, known.astype(np.float64)


def weights_of(loss: Any, name: str, shape: tuple[int, ...]) -> Array:
    """A weight parameter as an array of `shape`, 1 where the loss has none."""
    factor = loss._parameters.get(name)
    if factor is None:
        return np.broadcast_to(1.0, shape)
    try:
        return np.broadcast_to(factor.astype(np.float64), shape)
    except ValueError:
        raise ValueError(f"{name} has shape {factor.shape}, which does not broadcast to target's, {shape}") from None


def no_start(loss: Any) -> TypeError:
    lack = "has no link, so" if loss.declaration.link is None else "declares"
    return TypeError(f"{type(loss).__name__} {lack} no constant to start from; start from 0")


def no_minimum() -> ValueError:
    return ValueError("weights of a column sum to less than 0: no constant minimises the loss")


@_validate.quiet
def constant_row(loss: Any, target: Any, sample_weight: Any, num_classes: int | None) -> Array:
    """Likewise of a loss of the softmax of a row: one raw score per class, with a mean of 0."""
    if loss.declaration.start is None:
        raise no_start(loss)
    shares = class_shares(loss, target, sample_weight, num_classes)
    raw = np.log(np.maximum(loss.declaration.start(loss, shares), SMALLEST_SHARE))
    raw *= getattr(loss, "temperature", 1.0)
    centred: Array = raw - raw.mean()
    return centred


def class_shares(loss: Any, target: Any, sample_weight: Any, num_classes: int | None) -> Array:
    """The classes' shares of the weights of the known rows; all the same without weights."""
    class_weight = loss._parameters.get("weight")
    y = target if _validate.is_csr(target) else np.asarray(target)
    if not _validate.is_csr(target) and y.ndim == 1:
        y, _ = _validate.class_ids("target", target)
        if num_classes is None:
            num_classes = len(class_weight) if class_weight is not None else max(int(y.max(initial=0)) + 1, 2)
        num_classes = _validate.positive("num_classes", num_classes)
        known = y != loss._parameters.get("ignore_index", -1)
        bad = known & ((y < 0) | (y >= num_classes))
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"target[{at}] = {y[at]} is not in [0, {num_classes})")
        row_weight = _validate.sample_weights(sample_weight, len(y), FLOAT64)
        sums = np.bincount(y[known], None if row_weight is None else row_weight[known], num_classes).astype(np.float64)
    else:
        require_rows(y)
        if num_classes is not None and num_classes != y.shape[-1]:
            raise ValueError(f"num_classes = {num_classes}, but target has {y.shape[-1]} columns")
        sums = weighted_column_sums(loss, y, _validate.sample_weights(sample_weight, y.shape[0], FLOAT64))
    if class_weight is not None:
        _validate.check_class_weights("weight", class_weight, len(sums))
    weight = np.ones(len(sums)) if class_weight is None else class_weight.astype(np.float64)
    smoothing = loss._parameters.get("label_smoothing", 0.0)
    sums = weight * (sums * (1 - smoothing) + smoothing / len(sums) * sums.sum())
    if not np.isfinite(sums).all():
        raise ValueError("a weight is not finite: no constant minimises the loss")
    if (sums < 0).any():
        raise no_minimum()
    total = sums.sum()
    return sums / total if total else np.full(len(sums), 1 / len(sums))


def require_rows(y: Any) -> None:
    """ValueError unless it is a matrix."""
    if len(y.shape) != 2:
        raise ValueError(f"target has shape {y.shape}; allowed is (N,) class ids or (N, C) probabilities")
    if y.shape[1] == 0:
        raise ValueError(f"target has shape {y.shape}; at least one column is needed")


def weighted_column_sums(loss: Any, y: Any, row_weight: Array | None) -> Array:
    """Of rows of probabilities, dense or CSR."""
    require_rows(y)
    if _validate.is_csr(y):
        start, columns, data = _validate.csr_target(y, y.shape, FLOAT64)
        if NON_NEGATIVE.is_bad(data).any():
            raise _validate.bad_target(NON_NEGATIVE, y, y.shape)
        if row_weight is not None:
            data = data * np.repeat(row_weight, np.diff(start))
        return np.bincount(columns, data, y.shape[1])
    _validate.require_real("target", y)
    if NON_NEGATIVE.is_bad(y).any():
        raise _validate.bad_target(NON_NEGATIVE, y, y.shape)
    ones = np.ones(len(y)) if row_weight is None else row_weight
    sums: Array = ones @ y.astype(np.float64, copy=False)
    return sums


# ---- where losses start: functions of a loss, the targets of a column and their weights ----


def at_mean(loss: Any, y: Array, weight: Array) -> float:
    total = float(weight.sum())
    if total < 0:
        raise no_minimum()
    return float(weight @ y) / total if total else 0.0


def at_log_mean(loss: Any, y: Array, weight: Array) -> float:
    """Where no target is above 0, the least mean has no logarithm: that of 1e-300 serves."""
    mean = at_mean(loss, y, weight)
    if mean < 0 and (weight < 0).any():
        raise no_minimum()
    return math.log(max(mean, 1e-300)) if weight.any() else 0.0


def at_poisson_mean(loss: Any, y: Array, weight: Array) -> float:
    return at_log_mean(loss, y, weight) if loss.log_input else max(at_mean(loss, y, weight) - loss.eps, 0.0)


def at_log_odds(loss: Any, y: Array, weight: Array) -> float:
    """The log-odds of the weighted targets, within those of 1e-15 and 1 - 1e-15; 0 without weights."""
    return log_odds(*ones_and_zeros(loss, y, weight))


def ones_and_zeros(loss: Any, y: Array, weight: Array) -> tuple[float, float]:
    """How much weight the two classes have."""
    share = (1 + y) / 2 if loss.declaration.target.sign else y
    return float(weight @ share), float(weight @ (1 - share))


def at_half_log_odds(loss: Any, y: Array, weight: Array) -> float:
    return at_log_odds(loss, y, weight) / 2


def at_log_shares(loss: Any, shares: Array) -> Array:
    """The probabilities that minimise cross entropy are the classes' shares."""
    return shares


def at_focal_shares(loss: Any, shares: Array) -> Array:
    """Those that minimise sum_c s_c f(p_c), f(p) = -(1 - p)^gamma log p: s_c f'(p_c) is the same for all classes.

    Bisections for the logarithm of -s f' that makes the probabilities' sum 1, and for each class's probability.
    """
    if loss.gamma == 0 or (shares == 1).any():
        return shares
    used, gamma = shares[shares > 0], loss.gamma

    def probabilities(level: float) -> Array:
        low, high = np.full(len(used), SMALLEST_SHARE), np.ones(len(used))
        for _ in range(MOST_STEPS):
            middle = (low + high) / 2
            steep = (1 - middle) ** gamma / middle - gamma * (1 - middle) ** (gamma - 1) * np.log(middle)
            too_steep = np.log(used) + np.log(np.maximum(steep, 1e-300)) > level
            low, high = np.where(too_steep, middle, low), np.where(too_steep, high, middle)
            if (high - low <= 1e-16 * high).all():
                break
        return (low + high) / 2

    low, high = -700.0, 700.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if probabilities(middle).sum() > 1 else (low, middle)
    found = np.zeros(len(shares))
    found[shares > 0] = probabilities((low + high) / 2)
    return found


def at_median(loss: Any, y: Array, weight: Array) -> float:
    return quantile(y, weight, 0.5)


def at_quantile(loss: Any, y: Array, weight: Array) -> float:
    return quantile(y, weight, loss.quantile)


def log_odds(ones: float, zeros: float) -> float:
    if ones < 0 or zeros < 0:
        raise no_minimum()
    if ones == 0 or zeros == 0:
        return 0.0 if ones == zeros else math.copysign(LARGEST_LOG_ODDS, ones - zeros)
    return min(max(math.log(ones) - math.log(zeros), -LARGEST_LOG_ODDS), LARGEST_LOG_ODDS)


def at_margin(loss: Any, y: Array, weight: Array) -> float:
    """Of a hinge of y raw: the margin of the heavier class; squared, the share of it that the mean target says."""
    ones, zeros = ones_and_zeros(loss, y, weight)
    if ones < 0 or zeros < 0:
        raise no_minimum()
    if ones == zeros or loss.margin <= 0:
        return 0.0
    share = math.copysign(1.0, ones - zeros) if loss.p == 1 else (ones - zeros) / (ones + zeros)
    return float(loss.margin * share)


def at_lowest(loss: Any, y: Array, weight: Array) -> float:
    """The lowest of all raw scores up to LARGEST_LOG_ODDS, also of a loss that is not convex.

    The best of a grid, of the targets where a score is the mean itself; then the root of the slope beside it.
    """
    y, weight = used(y, weight)
    if not len(y):
        return 0.0
    y, place = np.unique(y, return_inverse=True)
    weight = np.bincount(place, weight)
    plain = loss._with(weight=None, reduction="sum", missing="error", label_smoothing=0.0)
    grid = np.linspace(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, 139)
    if loss.declaration.link is IDENTITY:
        grid = np.quantile(y, np.linspace(0, 1, len(grid)))
    values = [float(plain(np.full(len(y), raw), y, element_weight=weight)) for raw in grid]
    best = int(np.argmin(values))
    if best in (0, len(grid) - 1):
        return float(grid[best])
    return root(plain, y, weight, float(grid[best - 1]), float(grid[best + 1]), float(grid[best]))


def quantile(y: Array, weight: Array, level: float) -> float:
    """The weighted quantile: where the weights up to it come to `level` of all; midway where two values would do."""
    y, weight = used(y, weight)
    if not len(y):
        return 0.0
    order = np.argsort(y, kind="stable")
    values, sums = y[order], np.cumsum(weight[order])
    at = level * sums[-1]
    low = min(int(np.searchsorted(sums, at * (1 - 1e-14))), len(values) - 1)
    if math.isclose(sums[low], at, rel_tol=1e-14) and low + 1 < len(values):
        return float((values[low] + values[low + 1]) / 2)
    return float(values[low])


def used(y: Array, weight: Array) -> tuple[Array, Array]:
    """Targets with a weight, and these."""
    if (weight < 0).any():
        raise ValueError("a weight is negative: no constant minimises the loss")
    return y[weight > 0], weight[weight > 0]


def at_root(loss: Any, y: Array, weight: Array) -> float:
    """Where the slope of a convex loss of y - raw vanishes: Newton steps, kept inside a shrinking bracket."""
    y, weight = used(y, weight)
    if not len(y):
        return 0.0
    plain = loss._with(weight=None, reduction="sum", missing="error")
    return root(plain, y, weight, float(y.min()), float(y.max()), quantile(y, weight, 0.5))


def root(plain: Any, y: Array, weight: Array, low: float, high: float, raw: float) -> float:
    """Where the slope of the sum vanishes, between `low` where it falls and `high` where it rises, from `raw` on."""
    for _ in range(MOST_STEPS):
        grad, hess = plain.grad_and_hess(np.full(len(y), raw), y, element_weight=weight)
        slope, curvature = float(grad.sum()), float(hess.sum())
        if slope == 0:
            break
        low, high = (low, raw) if slope > 0 else (raw, high)
        step = raw - slope / curvature if curvature > 0 else math.nan
        following = step if low < step < high else (low + high) / 2
        if following == raw or not low < following < high:
            break
        raw = following
    return raw
