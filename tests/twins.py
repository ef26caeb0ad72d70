"""Every dense loss once more, as its value in NumPy's long double: what the kernels are held to.

A twin is `name(x, y, p)`: a Jet of scores, the targets, the loss's parameters by name.  An element loss gives the value
of each element; a row loss, of x (N, C) against class ids, sets of ids or rows of targets, the value of each row.
Derivatives, and the sizes that rounding is measured by, come out of the jets.  MAJORIZERS, FISHER and RESIDUALS are the
other curvatures, where a loss has one that is not its second derivative.

`reference` applies what holds for all losses: weights, masks, missing targets, reductions, upstream gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import jets
import numpy as np
import pytest
from jets import (
    EXTENDED,
    Jet,
    Wide,
    exact_sum,
    exp,
    exponential_gap,
    greatest_other,
    hinge,
    hypot_minus,
    lgamma_of,
    log,
    log1p,
    log_cosh,
    minus_peak,
    nan_in_slope,
    of_class,
    pick,
    sigmoid,
    sized_by_row,
    softplus,
    split,
    sum_of_gaps,
    times,
    total,
    where,
    wide,
)
from numpy.typing import NDArray

from lossext._declare import registry

Ids = NDArray[np.intp]

# ---- regression: d = x - y


def mse(x: Jet, y: Wide, p: Any) -> Jet:
    """d^2"""
    return (x - y) ** 2


def half_squared_error(x: Jet, y: Wide, p: Any) -> Jet:
    """d^2 / 2"""
    return (x - y) ** 2 / 2


def l1(x: Jet, y: Wide, p: Any) -> Jet:
    """|d|"""
    return abs(x - y)


def smooth_l1(x: Jet, y: Wide, p: Any) -> Jet:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2"""
    d = x - y
    return split(-abs(d), -p.beta, far_branch(d, p.beta), d * d / (2 * p.beta))


def huber(x: Jet, y: Wide, p: Any) -> Jet:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2)"""
    d = x - y
    return split(abs(d), p.delta, d * d / 2, p.delta * far_branch(d, p.delta))


def far_branch(d: Jet, bend: Wide) -> Jet:
    """|d| - bend / 2 for |d| >= bend: at least half of |d|, so what cancels is not counted."""
    return replace(abs(d), given=True) - bend / 2


def pseudo_huber(x: Jet, y: Wide, p: Any) -> Jet:
    """delta^2 (sqrt(1 + (d / delta)^2) - 1)"""
    return p.delta**2 * hypot_minus((x - y) / p.delta)


def log_cosh_loss(x: Jet, y: Wide, p: Any) -> Jet:
    """log cosh d"""
    return log_cosh(x - y)


def pinball(x: Jet, y: Wide, p: Any) -> Jet:
    """quantile |d| where d <= 0, else (1 - quantile) |d|"""
    d = x - y
    return abs(d) * np.where(d.near > 0, 1 - p.quantile, p.quantile)


def expectile(x: Jet, y: Wide, p: Any) -> Jet:
    """expectile d^2 where d < 0, else (1 - expectile) d^2"""
    d = x - y
    return split(-d, 0, d * d * (1 - p.expectile), d * d * p.expectile)


def epsilon_insensitive(x: Jet, y: Wide, p: Any) -> Jet:
    """max(0, |d| - epsilon)^p"""
    return hinge(abs(x - y) - p.epsilon, kink=0) ** p.p


# ---- counts and amounts: x is the logarithm of the mean


def half_poisson(x: Jet, y: Wide, p: Any) -> Jet:
    """y log(y / e^x) - y + e^x"""
    return half_tweedie(x, y, SimpleNamespace(power=wide(1)))


def half_gamma(x: Jet, y: Wide, p: Any) -> Jet:
    """y e^-x - 1 - log(y e^-x)"""
    return half_tweedie(x, y, SimpleNamespace(power=wide(2)))


def half_tweedie(x: Jet, y: Wide, p: Any) -> Jet:
    """e^(a x) / a - y e^(b x) / b + max(0, y)^a / (a b), a = 2 - power, b = 1 - power; (e^x - y)^2 / 2 for power 0"""
    a, b = 2 - p.power, 1 - p.power
    positive = np.where(y > 0, y, 1)
    loss = positive**a * exponential_gap(x - np.log(positive), a)
    if p.power == 0:
        loss = where(y > 0, loss, (exp(x) - y) ** 2 / 2)
    elif p.power < 0:
        loss = where(y > 0, loss, exp(a * x) / a - y * exp(b * x) / b)
    elif p.power < 2:
        loss = where(y > 0, loss, exp(a * x) / a)
    terms = abs(a) * np.exp(a * x.value) + abs(b * y) * np.exp(b * x.value)  # of the curvature, which cancel
    return moved(replace(loss, curvature_size=np.fmax(loss.curvature_size, terms)), x, 1 + abs(a))


def moved(loss: Jet, x: Jet, rate: Wide) -> Jet:
    """A third of an ulp of x is added to the sizes: three of these are the ulp by which x may be moved."""
    by = abs(x.value) / 3
    return replace(
        loss,
        value_size=loss.value_size + times(by, loss.slope_size),
        slope_size=loss.slope_size + times(by, loss.curvature_size),
        curvature_size=loss.curvature_size * (1 + rate * by),
    )


def poisson_nll(x: Jet, y: Wide, p: Any) -> Jet:
    """e^x - y x, or x - y log(x + eps); full: + log y!"""
    if p.log_input:
        loss = where(np.isposinf(x.value), exp(x), exp(x) - y * x)
    else:
        loss = where(np.isposinf(x.value), x, x - y * log(x + p.eps))
    return loss + lgamma_of(y + 1) if p.full else loss


# ---- two classes


def smoothed(y: Wide, p: Any) -> Wide:
    return y * (1 - p.label_smoothing) + p.label_smoothing / 2


def logistic(x: Jet, y: Wide, q: Any = 1) -> Jet:
    """q y log(1 + e^-x) + (1 - y) log(1 + e^x)"""
    return times(q, y) * softplus(-x) + (1 - y) * softplus(x)


def bce_with_logits(x: Jet, y: Wide, p: Any) -> Jet:
    """With y (1 - label_smoothing) + label_smoothing / 2 for y."""
    return logistic(x, smoothed(y, p), 1 if p.pos_weight is None else p.pos_weight)


def multilabel_soft_margin(x: Jet, y: Wide, p: Any) -> Jet:
    """An element; `reference` divides a row's sum by its columns."""
    return logistic(x, y)


def bce(x: Jet, y: Wide, p: Any) -> Jet:
    """-y log x - (1 - y) log(1 - x)"""
    return -(y * log(x)) - (1 - y) * log1p(-x)


def focal_weight(y: Wide, p: Any) -> Any:
    return 1 if p.alpha is None else p.alpha * y + (1 - p.alpha) * (1 - y)


def sigmoid_focal(x: Jet, y: Wide, p: Any) -> Jet:
    """(alpha y + (1 - alpha) (1 - y)) q^gamma BCE with q = y s(-x) + (1 - y) s(x); y smoothed as in BCE"""
    y = smoothed(y, p)
    return focal_weight(y, p) * ((y * sigmoid(-x) + (1 - y) * sigmoid(x)) ** p.gamma * logistic(x, y))


def asymmetric(x: Jet, y: Wide, p: Any) -> Jet:
    """y s(-x)^gamma_pos log(1 + e^-x) - (1 - y) r^gamma_neg log(1 - r) with r = max(0, s(x) - clip)"""
    positive = sigmoid(-x) ** p.gamma_pos * softplus(-x)
    if p.clip == 0:
        negative = sigmoid(x) ** p.gamma_neg * softplus(x)
    else:
        r = hinge(sigmoid(x) - p.clip, kink=0)
        negative = r**p.gamma_neg * -where(r.near < 0.5, log1p(-r), log(sigmoid(-x) + p.clip))
    return y * positive + (1 - y) * negative


def signed(x: Jet, y: Wide) -> Jet:
    """y x for y = -1 or 1"""
    return where(y > 0, x, -x)


def soft_margin(x: Jet, y: Wide, p: Any) -> Jet:
    """log(1 + e^(-y x))"""
    return softplus(-signed(x, y))


def hinge_loss(x: Jet, y: Wide, p: Any) -> Jet:
    """max(0, margin - y x)^p"""
    return hinge(p.margin - signed(x, y), kink=2 - int(p.p)) ** p.p


def modified_huber(x: Jet, y: Wide, p: Any) -> Jet:
    """max(0, 1 - z)^2 where z = y x >= -1, else -4 z"""
    z = signed(x, y)
    return split(-z, 1, hinge(1 - z, kink=0) ** 2, -4 * z)


def exponential(x: Jet, y: Wide, p: Any) -> Jet:
    """y e^-x + (1 - y) e^x"""
    return y * exp(-x) + (1 - y) * exp(x)


def hinge_embedding(x: Jet, y: Wide, p: Any) -> Jet:
    """x where y = 1, max(0, margin - x) where y = -1"""
    return where(y > 0, x, hinge(p.margin - x, kink=1))


def kl_div(x: Jet, y: Wide, p: Any) -> Jet:
    """t (log t - x)"""
    t, log_t = (np.exp(y), y) if p.log_target else (y, np.log(y))
    return -t * nan_in_slope(x) + times(t, log_t)


# ---- classes: y are ids, or rows of targets


def softmax(x: Jet, ids: Ids, temperature: Any = 1) -> tuple[Jet, Jet]:
    """log sum_j e^(x_j - x_id), and the share of the others' e^x_j in it.

    With the others' peak, S = sum_{j != id} e^(x_j - peak) and lag = peak - x_id:
    log1p(S e^lag) where lag <= 0, else lag + log(S + e^-lag).
    """
    own, mine = pick(x, ids), of_class(x.value.shape, ids)
    peak = np.where(mine, -np.inf, x.value).max(-1, keepdims=True)
    parts = total(where(mine, 0, exp(minus_peak(x, peak) / temperature)))
    lag = (peak - own) / temperature
    odds, share = parts * exp(lag), exp(-lag)
    ahead = lag.value <= 0
    value = where(ahead, log1p(odds), lag + log(parts + share))
    return value, where(ahead, odds / (1 + odds), parts / (parts + share))


def cross_entropy(x: Jet, y: NDArray[Any], p: Any) -> Jet:
    """sum_c t_c (log sum_j e^x_j - x_c) with t = w ((1 - s) y + s / C), x divided by the temperature, y one-hot for ids

    = T CE_k + sum_{c != k} t_c (x_k - x_c) with T = sum_c t_c and k the greatest of the row
    """
    shape = x.value.shape
    weight = np.broadcast_to(wide(1 if p.weight is None else p.weight), shape[1:])
    if y.ndim == 1 and p.label_smoothing == 0:
        return sized_by_row(weight[y][:, np.newaxis] * softmax(x, y, p.temperature)[0])
    y = wide(of_class(shape, y)) if y.ndim == 1 else y
    targets = weight * (y * (1 - p.label_smoothing) + p.label_smoothing / shape[1])
    ids = x.value.argmax(-1)
    mine, peak = of_class(shape, ids), x.value.max(-1, keepdims=True)
    others = np.where(mine, 0, targets).sum(-1, keepdims=True)
    behind = minus_peak(x, peak) / p.temperature * np.where(mine, others, -targets)
    sum_of_targets = targets.sum(-1, keepdims=True)
    return sized_by_row(sum_of_targets * softmax(x, ids, p.temperature)[0] + total(behind))


def nll(x: Jet, y: Ids, p: Any) -> Jet:
    """-x_y"""
    return -pick(nan_in_slope(x), y)


def softmax_focal(x: Jet, y: Ids, p: Any) -> Jet:
    """q^gamma CE with q the others' share"""
    value, others = softmax(x, y)
    return sized_by_row(others**p.gamma * value)


def multiclass_hinge(x: Jet, y: Ids, p: Any) -> Jet:
    """max(0, margin - x_y + max_{j != y} x_j); a NaN score makes its own column NaN, and the class's."""
    row = hinge(exact_sum(p.margin, -pick(x, y), greatest_other(x, y)), kink=0)
    untouched = np.isnan(row.value) & ~np.isnan(x.value) & ~of_class(x.value.shape, y)
    return replace(row, slope=np.where(untouched, 0, row.slope))


def own_score(x: Jet, y: Ids) -> Wide:
    return np.take_along_axis(x.value, y[:, np.newaxis], -1)


def multi_margin(x: Jet, y: Ids, p: Any) -> Jet:
    """1/C sum_{j != y} max(0, (margin - x_y) + x_j)^p"""
    z = hinge(exact_sum(p.margin, -own_score(x, y), x), kink=0)
    return sum_of_gaps(z**p.p, y) / x.value.shape[1]


def pairs(x: Jet, y: Ids) -> Iterator[tuple[Ids, NDArray[np.bool_], Jet]]:
    """For each place k in the rows' ids: these, which columns to pair with them, and 1 - x_(y_k) + x_i.

    A row's ids end at the first -1.
    """
    ids = np.where(np.cumsum(y < 0, -1) > 0, -1, y)
    outside = ~(ids[:, :, np.newaxis] == np.arange(x.value.shape[1])).any(1)
    for label in ids.T:
        own = np.maximum(label, 0)
        yield own, outside & (label >= 0)[:, np.newaxis], 1 - x.constant(own_score(x, own)) + x


def multilabel_margin(x: Jet, y: Ids, p: Any) -> Jet:
    """1/C sum_{j in y} sum_{i not in y} max(0, 1 - x_j + x_i)"""
    row = total(x.constant(0))
    for own, chosen, z in pairs(x, y):
        row = row + sum_of_gaps(where(chosen, hinge(z, kink=0), 0), own)
    return row / x.value.shape[1]


TWINS: dict[str, Callable[[Jet, Any, Any], Jet]] = {
    "MSELoss": mse,
    "HalfSquaredErrorLoss": half_squared_error,
    "L1Loss": l1,
    "SmoothL1Loss": smooth_l1,
    "HuberLoss": huber,
    "PseudoHuberLoss": pseudo_huber,
    "LogCoshLoss": log_cosh_loss,
    "PinballLoss": pinball,
    "ExpectileLoss": expectile,
    "EpsilonInsensitiveLoss": epsilon_insensitive,
    "HalfPoissonLoss": half_poisson,
    "HalfGammaLoss": half_gamma,
    "HalfTweedieLoss": half_tweedie,
    "PoissonNLLLoss": poisson_nll,
    "BCEWithLogitsLoss": bce_with_logits,
    "MultiLabelSoftMarginLoss": multilabel_soft_margin,
    "BCELoss": bce,
    "SigmoidFocalLoss": sigmoid_focal,
    "AsymmetricLoss": asymmetric,
    "SoftMarginLoss": soft_margin,
    "HingeLoss": hinge_loss,
    "ModifiedHuberLoss": modified_huber,
    "ExponentialLoss": exponential,
    "HingeEmbeddingLoss": hinge_embedding,
    "KLDivLoss": kl_div,
    "CrossEntropyLoss": cross_entropy,
    "NLLLoss": nll,
    "SoftmaxFocalLoss": softmax_focal,
    "MulticlassHingeLoss": multiclass_hinge,
    "MultiMarginLoss": multi_margin,
    "MultiLabelMarginLoss": multilabel_margin,
}

DECLARATIONS = {cls.__name__: cls.declaration for cls in registry()}


# ---- other curvatures: jets whose value is the curvature, or numbers


def steepness(z: Jet) -> Jet:
    """1 / (2 |z|), of max(0, z): the parabola from one branch touches the other."""
    return 0.5 / abs(z)


def half_tanh(x: Jet, weight: Any = 1) -> Jet:
    """weight tanh(x / 2) / (2 x), of weight log(1 + e^x) with any linear function added."""
    at_zero = x.value == 0
    return where(at_zero, 0.25, jets.tanh(x / 2) / (2 * where(at_zero, 1, x))) * weight


def logistic_majorizer(x: Jet, y: Wide, p: Any) -> Jet:
    y = smoothed(y, p)
    return half_tanh(x, 1 - y + times(1 if p.pos_weight is None else p.pos_weight, y))


def smooth_l1_majorizer(x: Jet, y: Wide, p: Any) -> Jet:
    d = abs(x - y)
    return split(-d, -p.beta, 1 / d, 1 / p.beta)


def huber_majorizer(x: Jet, y: Wide, p: Any) -> Jet:
    d = abs(x - y)
    return split(d, p.delta, 1, p.delta / d)


def log_cosh_majorizer(x: Jet, y: Wide, p: Any) -> Jet:
    d = abs(x - y)
    return where(d.value == 0, 1, jets.tanh(d) / d)


def epsilon_insensitive_majorizer(x: Jet, y: Wide, p: Any) -> Any:
    """Beyond 2 epsilon the parabola touches the branch on the other side of y."""
    d = abs(x - y)
    return split(d, 2 * p.epsilon, steepness(d - p.epsilon), 1 / d) if p.p == 1 else 2


def hinge_majorizer(x: Jet, y: Wide, p: Any) -> Any:
    return steepness(p.margin - signed(x, y)) if p.p == 1 else 2


def modified_huber_majorizer(x: Jet, y: Wide, p: Any) -> Jet:
    """(f'(z) + 2) / z: with 2 z added, the loss is even."""
    return split(abs(x), 1, 2, 2 / abs(x))


def at_both(e: Jet, ids: Ids) -> Jet:
    """Elements of the others as they are, their sum at the class."""
    mine = of_class(e.value.shape, ids)
    others = where(mine, 0, e)
    return where(mine, e.constant(total(others).value), others)


def multi_margin_majorizer(x: Jet, y: Ids, p: Any) -> Jet:
    z = exact_sum(p.margin, -own_score(x, y), x)
    return at_both(2 * steepness(z) if p.p == 1 else x.constant(4), y) / x.value.shape[1]


def multilabel_margin_majorizer(x: Jet, y: Ids, p: Any) -> Jet:
    sums = x.constant(0)
    for own, chosen, z in pairs(x, y):
        sums = sums + at_both(where(chosen, 2 * steepness(z), 0), own)
    return sums / x.value.shape[1]


def multiclass_hinge_majorizer(x: Jet, y: Ids, p: Any) -> Wide:
    """Of z_j = margin - x_y + x_j, the best z_b: 1 / |z_b| at the class; at the others 1 / |z_j| where z_b < 0; else
    1 / (z_b - z_j) at j and the greatest of all these at b.
    """
    mine = of_class(x.value.shape, y)
    z = exact_sum(p.margin, -own_score(x, y), where(mine, -np.inf, x)).value
    best = z.max(-1, keepdims=True)
    at_best = of_class(x.value.shape, z.argmax(-1))
    behind = np.where(at_best, np.inf, best - z)
    nearest = np.minimum(best, behind.min(-1, keepdims=True))
    gap = np.where(best > 0, np.where(at_best, nearest, behind), abs(z))
    return 1 / np.where(mine, abs(best), gap)


# The least h with f(x + t) <= f(x) + f'(x) t + h t^2 / 2 for all t: f'(d) / d where f is even and f'(d) / d falls.
# Of rows, one h a score with f(x + t) <= f(x) + sum_j (f_j t_j + h_j t_j^2 / 2) for all t: a hinge of x_j - x_k takes
# 1 / |z| at both, as (t_j - t_k)^2 <= 2 t_j^2 + 2 t_k^2.
Curvature = Callable[[Jet, Any, Any], Any]
MAJORIZERS: dict[str, Curvature] = {
    "L1Loss": lambda x, y, p: 1 / abs(x - y),
    "SmoothL1Loss": smooth_l1_majorizer,
    "HuberLoss": huber_majorizer,
    "PseudoHuberLoss": lambda x, y, p: 1 / (1 + hypot_minus((x - y) / p.delta)),
    "LogCoshLoss": log_cosh_majorizer,
    "PinballLoss": lambda x, y, p: steepness(x - y),
    "ExpectileLoss": lambda x, y, p: 2 * np.maximum(p.expectile, 1 - p.expectile),
    "EpsilonInsensitiveLoss": epsilon_insensitive_majorizer,
    "BCEWithLogitsLoss": logistic_majorizer,
    "MultiLabelSoftMarginLoss": lambda x, y, p: half_tanh(x),
    "SoftMarginLoss": lambda x, y, p: half_tanh(x),
    "HingeLoss": hinge_majorizer,
    "ModifiedHuberLoss": modified_huber_majorizer,
    "HingeEmbeddingLoss": lambda x, y, p: where(y > 0, 0, steepness(p.margin - x)),
    "MultiMarginLoss": multi_margin_majorizer,
    "MulticlassHingeLoss": multiclass_hinge_majorizer,
    "MultiLabelMarginLoss": multilabel_margin_majorizer,
}

# The expected second derivative, where that depends on y; it does so linearly, and y has the mean that x stands for.
FISHER: dict[str, Curvature] = {
    "HalfGammaLoss": lambda x, y, p: 1,
    "HalfTweedieLoss": lambda x, y, p: exp((2 - p.power) * x),
    "PoissonNLLLoss": lambda x, y, p: exp(x) if p.log_input else 1 / (x + p.eps),
    "BCELoss": lambda x, y, p: 1 / (x * (1 - x)),
}


def steep(loss: Jet) -> Jet:
    """|slope| as a value."""
    return replace(loss, value=abs(loss.slope), value_size=loss.slope_size)


def weighted_logistic(x: Jet, y: Wide, p: Any) -> Jet:
    """Focal with gamma = 0."""
    y = smoothed(y, p)
    return focal_weight(y, p) * logistic(x, y)


# |probability - y|, weighted as the loss is: the slope's magnitude where gamma and clip are 0.
RESIDUALS: dict[str, Curvature] = {
    "BCEWithLogitsLoss": lambda x, y, p: steep(bce_with_logits(x, y, p)),
    "MultiLabelSoftMarginLoss": lambda x, y, p: steep(logistic(x, y)),
    "SigmoidFocalLoss": lambda x, y, p: steep(weighted_logistic(x, y, p)),
    "AsymmetricLoss": lambda x, y, p: steep(logistic(x, y)),
    "SoftMarginLoss": lambda x, y, p: steep(soft_margin(x, y, p)),
    "ExponentialLoss": lambda x, y, p: steep(logistic(2 * x, y)) / 2,
    "CrossEntropyLoss": lambda x, y, p: steep(cross_entropy(x, y, p)),
    "SoftmaxFocalLoss": lambda x, y, p: steep(sized_by_row(softmax(x, y)[0])),
}
CURVATURES: dict[str, dict[str, Curvature]] = {
    "exact": {},
    "majorizer": MAJORIZERS,
    "fisher": FISHER,
    "residual": RESIDUALS,
}


# ---- what holds for all losses


class Twin(NamedTuple):
    """Value, gradient and curvature as a call should give them, and their sizes."""

    value: Wide
    grad: Wide
    hess: Wide
    value_terms: Wide
    grad_terms: Wide
    hess_terms: Wide


class Parameters:
    """A loss's parameters as its kernel meets them: numbers rounded to the type it works in, then in long double."""

    def __init__(self, loss: Any, real: type) -> None:
        self._loss, self._real = loss, real

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._loss, name)
        if value is None or isinstance(value, (bool, str)):
            return value
        return wide(np.asarray(value).astype(self._real))


def loss_like(name: str, **parameters: Any) -> Any:
    """Something with the name and the parameters of a loss, for `reference`."""
    defaults = {"weight": None, "pos_weight": None, "reduction": "mean", "missing": "error", "label_smoothing": 0.0}
    defaults |= {"temperature": 1.0, "ignore_index": -100, "alpha": None}
    return type(name, (SimpleNamespace,), {})(**{**defaults, **parameters})


def real_type(dtype: Any) -> type:
    """In which type a loss computes on an input of this one."""
    return np.float32 if dtype.newbyteorder("=") in (np.float16, np.float32) else np.float64


def sum_to_shape(a: Wide, shape: tuple[int, ...]) -> Wide:
    """Undo broadcasting from `shape`: the adjoint of np.broadcast_to."""
    a = a.sum(tuple(range(a.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return a.sum(stretched, keepdims=True)


def dense_target(loss: Any, target: Any) -> NDArray[Any]:
    """CSR as an array; as ids padded with -1 where ids are meant."""
    if not hasattr(target, "indptr"):
        return np.asarray(target)
    dense = np.asarray(target.toarray())
    if type(loss).__name__ != "MultiLabelMarginLoss":
        return dense
    order = np.argsort(dense == 0, axis=1, kind="stable")
    return np.where(np.take_along_axis(dense, order, 1) != 0, order, -1)


def with_curvature(name: str, kind: str, x: Jet, y: Any, p: Any) -> Jet:
    """The loss's jet with the curvature of this kind: the second derivative where there is no other formula."""
    jet = TWINS[name](x, y, p)
    if name not in CURVATURES[kind]:
        return jet
    other = CURVATURES[kind][name](x, y, p)
    other = other if isinstance(other, Jet) else x.constant(other)
    return replace(jet, curvature=other.value, curvature_size=other.value_size)


def along(a: Wide, derivative: Wide) -> Wide:
    """One number a value, against derivatives: those of a row's value have one axis more."""
    return a if a.ndim == derivative.ndim else np.expand_dims(a, 1)


class Unreduced(NamedTuple):
    twin: Twin  # 0 where not known
    weight: Wide  # of each value, for weighted_mean; 0 where not known
    count: Wide  # likewise for mean


def scaled(twin: Twin, value: Wide, derivative: Wide) -> Twin:
    """Times a factor of the value and one of its derivatives; 0 * inf is 0."""
    factors = (value, derivative, derivative, abs(value), abs(derivative), abs(derivative))
    return Twin(*(times(factor, part) for factor, part in zip(factors, twin, strict=True)))


def of_elements(
    loss: Any, x: NDArray[Any], target: NDArray[Any], weight: Wide, mask: NDArray[np.bool_] | None, run: Any
) -> Unreduced:
    name = type(loss).__name__
    y = wide(target.astype(x.dtype))
    if y.ndim < x.ndim and name in ("PinballLoss", "ExpectileLoss"):  # several outputs of one target
        y = y[:, np.newaxis]
    x, y = np.broadcast_arrays(x, np.clip(y, 0, 1) if DECLARATIONS[name].target.kind == "unit" else y)
    known = np.ones(x.shape, bool)
    if mask is not None:  # one per element, or one per row
        known &= mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
    if getattr(loss, "missing", "error") == "nan":
        known &= ~np.isnan(y)
    twin = run(np.where(known, x, x.dtype.type(0.5)), np.where(known, y, 1))
    weight = np.where(known, weight, 0)
    twin = scaled(twin, weight, weight)
    count = wide(known)
    if name == "MultiLabelSoftMarginLoss":  # a row is divided by its known columns
        share = np.where(known.any(1), 1 / wide(known.sum(1)), 0)
        twin = twin._replace(value=twin.value.sum(1), value_terms=twin.value_terms.sum(1))
        twin = scaled(twin, share, share[:, np.newaxis])
        weight, count = weight.sum(1) * share, wide(known.any(1))
    return Unreduced(twin, weight, count)


def of_rows(loss: Any, x: NDArray[Any], target: NDArray[Any], mask: NDArray[np.bool_] | None, run: Any) -> Unreduced:
    """x (N, C, d1, ...): a row lies along axis 1."""
    name, shape = type(loss).__name__, x.shape[:1] + x.shape[2:]
    ids, by_class = target.shape == shape, name in ("CrossEntropyLoss", "NLLLoss")

    def as_rows(a: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(a, 1, -1).reshape(known.size, -1) if a.size else np.empty((known.size, a.shape[1]), a.dtype)

    def as_given(a: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(a.reshape(*shape, x.shape[1]), -1, 1)

    known = np.ones(shape, bool) if mask is None else mask
    if ids and by_class:
        known = known & (target != loss.ignore_index)
    row_known = known.reshape(-1, 1)
    if ids:
        y = np.where(row_known[:, 0], target.reshape(-1), 0).astype(np.intp)
    elif name == "MultiLabelMarginLoss":
        y = np.where(row_known, as_rows(target).astype(np.intp), -1)
    else:
        y = np.where(row_known, wide(as_rows(target).astype(x.dtype)), 1)
    twin = run(np.where(row_known, as_rows(x), x.dtype.type(0.5)), y)
    twin = Twin(
        *(part.reshape(shape) if "value" in field else as_given(part) for field, part in twin._asdict().items())
    )
    weight = wide(np.ones(shape))
    if getattr(loss, "weight", None) is not None:
        class_weight = wide(np.asarray(loss.weight).astype(x.dtype))
        weight = (class_weight[y] if ids else times(class_weight, y).sum(-1)).reshape(shape)
    factor = wide(known) if name == "CrossEntropyLoss" else np.where(known, weight, 0)
    weight = np.where(known, weight, 0)
    return Unreduced(
        scaled(twin, factor, np.expand_dims(factor, 1)), weight, weight if ids and by_class else wide(known)
    )


def reference(
    loss: Any,
    input: Any,
    target: Any,
    sample_weight: Any = None,
    grad_output: Any = 1.0,
    *,
    element_weight: Any = None,
    mask: Any = None,
    curvature: str = "exact",
    parameter_type: type | None = None,
) -> Twin:
    """What the loss should give when called like this, and the sizes of what that is added up from.

    `loss` is an object whose class has a name of TWINS and whose attributes are its parameters.  These are rounded to
    the type that the loss works in, or to `parameter_type`.
    """
    input, target = np.asarray(input), dense_target(loss, target)
    x = input.astype(real_type(input.dtype))
    p, name = Parameters(loss, parameter_type or x.dtype.type), type(loss).__name__

    def rounded(a: Any) -> Wide:
        return wide(np.asarray(1 if a is None else a).astype(x.dtype))

    def run(x: NDArray[Any], y: Any) -> Twin:
        jet = with_curvature(name, curvature, Jet.variable(x), y, p)
        return Twin(jet.value, jet.slope, jet.curvature, jet.value_size, jet.slope_size, jet.curvature_size)

    with np.errstate(all="ignore"):
        mask = None if mask is None else np.asarray(mask, bool)
        if DECLARATIONS[name].family != "element":
            twin, weight, count = of_rows(loss, x, target, mask, run)
        else:
            factor = times(rounded(getattr(loss, "weight", None)), rounded(element_weight))
            twin, weight, count = of_elements(loss, x, target, factor, mask, run)
        shape = twin.value.shape
        samples = rounded(sample_weight)
        samples = samples.reshape(samples.shape + (1,) * (len(shape) - samples.ndim))
        divisors = {
            "mean": count.sum(),
            "weighted_mean": times(weight, samples).sum(),
            "batchmean": wide(shape[0] if shape else 1),
        }
        divisor = divisors.get(loss.reduction, wide(1))
        upstream = np.broadcast_to(times(rounded(grad_output) / divisor, samples), shape)
        twin = scaled(twin, samples, along(upstream, twin.grad))
        derivatives = {
            field: sum_to_shape(part, input.shape) if divisor else np.zeros(input.shape, np.longdouble)
            for field, part in twin._asdict().items()
            if "value" not in field
        }
        value, value_terms = twin.value, twin.value_terms
        if loss.reduction != "none":
            value, value_terms = value.sum() / divisor, value_terms.sum() / abs(divisor)
        return Twin(value=value if divisor else wide(np.nan), value_terms=value_terms, **derivatives)


def assert_close(got: Any, exact: Wide, terms: Wide, ulps: float, what: object = "") -> None:
    """`got` is within `ulps` units in the last place of `terms` from `exact`; NaN and inf stand where they should.

    Results under the smallest normal number may be flushed to 0, and overflow on the way is let pass.  `what` is
    printed only where it is off, since the weights of a loss take long to print.
    """
    got = np.asarray(got)
    info = np.finfo(got.dtype)
    assert got.shape == exact.shape, f"{what}: shape {got.shape} instead of {exact.shape}"
    if not EXTENDED and got.dtype == np.float64:
        pytest.skip("long double is double here: bounds of float64 are not checked")
    with np.errstate(all="ignore"):
        # 3: the greatest weight of the tests, which multiplies what was under the smallest normal number
        smallest = 3 * info.tiny if got.dtype != np.float16 else info.smallest_subnormal
        bound = ulps * wide(info.eps) * terms + smallest
        fine = (abs(wide(got) - exact) <= bound) | (np.isnan(got) & np.isnan(exact)) | (got == exact)
        fine |= np.isinf(got) & (np.sign(got) == np.sign(exact)) & (abs(exact) > info.max)
    if not np.all(fine):
        at = tuple(int(i) for i in np.argwhere(~fine)[0])
        raise AssertionError(
            f"{what}: {np.count_nonzero(~fine)} of {fine.size} wrong, first {at}: {got[at]!r} for {exact[at]!r}, "
            f"bound {bound[at]!r}"
        )
