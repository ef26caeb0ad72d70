"""The dense losses once more, as formulas in NumPy's long double: what the kernels are held to.

One function a loss, keyed by class name in TWINS.  It takes the real (float32 or float64) input, the target and the
loss, and gives the values before any reduction, their first and second derivatives with respect to the input, and the
size of the terms that value and gradient were added up from: rounding is bounded by that size, and by the result itself
where nothing cancels.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.longdouble]
EXTENDED = np.finfo(np.longdouble).nmant >= 63  # not where long double is double: MSVC, arm64 macOS


class Twin(NamedTuple):
    value: Wide  # a row or an element
    grad: Wide  # of its own row's or element's value
    hess: Wide
    value_terms: Wide
    grad_terms: Wide
    hess_terms: Wide


def wide(a: Any) -> Wide:
    return np.asarray(a).astype(np.longdouble)


def softplus(x: Wide) -> Wide:
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def sigmoid(x: Wide) -> Wide:
    e = np.exp(-abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def times(a: Wide, b: Wide) -> Wide:
    """a * b where 0 * inf is 0"""
    return np.where((a == 0) & np.isinf(b), 0, a * b)


def exact_sum(a: Wide, b: Wide, c: Wide) -> Wide:
    """a + b + c where b + c may cancel most of a: what rounding a + b loses is added at the end."""
    high = a + b
    part = high - a
    low = (a - (high - part)) + (b - part)
    return high + c + low


def weights_of(loss: Any, name: str, x: NDArray[Any]) -> Wide:
    """A weight parameter as the kernel meets it: rounded to the input's type."""
    weight = getattr(loss, name, None)
    return wide(1 if weight is None else np.asarray(weight).astype(x.dtype))


def logistic(x: NDArray[Any], y: Wide, w: Wide, q: Wide) -> Twin:
    """w (q y sp(-x) + (1 - y) sp(x)), element by element"""
    x = wide(x)
    positive, negative = times(q * y, softplus(-x)), times(1 - y, softplus(x))
    up, down = (1 - y) * sigmoid(x), q * y * sigmoid(-x)
    terms = times(abs(w), abs(positive) + negative)
    hess = w * (1 - y + q * y) * sigmoid(x) * sigmoid(-x)
    return Twin(times(w, positive + negative), w * (up - down), hess, terms, abs(w) * (up + abs(down)), abs(hess))


def bce_with_logits(x: NDArray[Any], target: NDArray[Any], loss: Any) -> Twin:
    return logistic(x, wide(target.astype(x.dtype)), weights_of(loss, "weight", x), weights_of(loss, "pos_weight", x))


def multilabel_soft_margin(x: NDArray[Any], target: NDArray[Any], loss: Any) -> Twin:
    element = logistic(x, wide(target.astype(x.dtype)), weights_of(loss, "weight", x), wide(1))
    columns = x.shape[1]
    by_row = [part.sum(1) if "value" in field else part for field, part in element._asdict().items()]
    return Twin(*(part / columns for part in by_row))


def multi_margin(x: NDArray[Any], target: NDArray[Any], loss: Any) -> Twin:
    """Which columns are active is decided by (margin - x_y) + x_i as rounded; how large they are is exact."""
    rows, target = np.arange(len(x)), target.astype(np.intp)
    margin, own = x.dtype.type(loss.margin), x[rows, target][:, None]
    rounded = (margin - own) + x
    z = np.where(np.isfinite(rounded) & (rounded > 0), exact_sum(wide(margin), -wide(own), wide(x)), wide(rounded))
    scale = np.broadcast_to(weights_of(loss, "weight", x), x.shape[1:])[target][:, None] / x.shape[1]
    value = np.where(z <= 0, 0, z**loss.p)  # NaN is not <= 0
    slope = np.where(z <= 0, 0, z ** (loss.p - 1) * loss.p)
    slope[np.isnan(z)] = np.nan  # z^0 would be 1
    value[rows, target] = slope[rows, target] = 0
    terms = abs(scale * slope)
    grad = scale * slope
    grad[rows, target] = -grad.sum(1)
    terms[rows, target] = terms.sum(1)
    hess = scale * np.where(slope == 0, 0, loss.p * (loss.p - 1))
    hess[rows, target] = hess.sum(1)
    value = scale * value
    return Twin(value.sum(1), grad, hess, abs(value).sum(1), terms, abs(hess))


def hinge_embedding(x: NDArray[Any], target: NDArray[Any], loss: Any) -> Twin:
    x, target = np.broadcast_arrays(x, target)
    gap = x.dtype.type(loss.margin) - x
    positive = target > 0
    value = wide(np.where(positive, x, np.where(gap < 0, 0, gap)))
    grad = wide(np.where(positive, 1, np.where(np.isnan(gap), np.nan, -(gap >= 0).astype(x.dtype))))
    return Twin(value, grad, 0 * wide(target), abs(value), abs(grad), 0 * wide(target))


TWINS = {
    "MultiLabelSoftMarginLoss": multilabel_soft_margin,
    "MultiMarginLoss": multi_margin,
    "HingeEmbeddingLoss": hinge_embedding,
    "BCEWithLogitsLoss": bce_with_logits,
}


def real_type(dtype: Any) -> type:
    """In which type a loss computes on an input of this one."""
    return np.float32 if dtype in (np.float16, np.float32) else np.float64


def sum_to_shape(a: Wide, shape: tuple[int, ...]) -> Wide:
    """Undo broadcasting from `shape`: the adjoint of np.broadcast_to."""
    a = a.sum(tuple(range(a.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return a.sum(stretched, keepdims=True)


def reference(loss: Any, input: Any, target: Any, sample_weight: Any = None, grad_output: Any = 1.0) -> Twin:
    """What `loss.value_and_grad(input, target, ...)` should give, and the size of the terms of both."""
    input, target = np.asarray(input), np.asarray(target)
    x = input.astype(real_type(input.dtype))
    with np.errstate(all="ignore"):
        twin = TWINS[type(loss).__name__](x, target, loss)
        shape = twin.value.shape

        def by_row(a: Wide) -> Wide:
            return a.reshape(a.shape + (1,) * (twin.grad.ndim - a.ndim))

        weight = wide(1)
        if sample_weight is not None:
            weight = wide(np.asarray(sample_weight).astype(x.dtype))
            weight = weight.reshape(weight.shape + (1,) * (len(shape) - 1))
        upstream = by_row(np.broadcast_to(wide(np.asarray(grad_output).astype(x.dtype)) * weight, shape))
        values = [twin.value * weight, twin.value_terms * abs(weight)]
        if loss.reduction != "none":
            values = [a.sum() for a in values]
        derivatives = [twin.grad * upstream, twin.hess * upstream, twin.grad_terms * abs(upstream)]
        derivatives = [sum_to_shape(a, input.shape) for a in (*derivatives, twin.hess_terms * abs(upstream))]
        count = wide(np.prod(shape) if loss.reduction == "mean" else 1)
        value, value_terms, grad, hess, grad_terms, hess_terms = (a / count for a in values + derivatives)
        return Twin(value, grad, hess, value_terms, grad_terms, hess_terms)


def assert_close(got: Any, exact: Wide, terms: Wide, ulps: float, what: str = "") -> None:
    """`got` is within `ulps` units in the last place of `terms` from `exact`; NaN and inf stand where they should.

    Results under the smallest normal number may be flushed to 0, and overflow on the way is let pass.
    """
    got = np.asarray(got)
    info = np.finfo(got.dtype)
    assert got.shape == exact.shape, f"{what}: shape {got.shape} instead of {exact.shape}"
    if not EXTENDED and got.dtype == np.float64:
        ulps += 8  # the reference's own
    with np.errstate(all="ignore"):
        smallest = info.tiny if got.dtype != np.float16 else info.smallest_subnormal
        bound = ulps * wide(info.eps) * terms + smallest
        fine = (abs(wide(got) - exact) <= bound) | (np.isnan(got) & np.isnan(exact)) | (got == exact)
        fine |= np.isinf(got) & (np.sign(got) == np.sign(exact)) & (abs(exact) > info.max)
    if not np.all(fine):
        at = tuple(int(i) for i in np.argwhere(~fine)[0])
        raise AssertionError(
            f"{what}: {np.count_nonzero(~fine)} of {fine.size} wrong, first {at}: {got[at]!r} for {exact[at]!r}, "
            f"bound {bound[at]!r}"
        )
