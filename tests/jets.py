"""Second-order jets in NumPy's long double: values, their first two derivatives, and the sizes of both.

A Jet stands for an array of functions, each of one variable: of the score x in its own place.  It holds f, f' and f'',
and arithmetic on jets carries the three along, so that a loss is written down as its value alone.

Rows.  `total`, `pick`, `greatest` and `sum_of_gaps` turn a jet of (N, C) elements into a jet of N rows: the value has
shape (N, 1), the derivatives keep (N, C), one for each of the row's scores (the diagonal of the Hessian).  Elements and
rows do not mix in one formula: `x - pick(x, y)` would depend on two scores; `sum_of_gaps` is for that.

Sizes.  What rounding does to a sum is bounded by units in the last place of its size, the sum of the sizes of its
terms.  A size is |f| where nothing cancels.  What cancelled (size - |f|) goes on through the slopes of the functions
that follow.  Numbers that were given (x, targets, parameters) are free of error: their sum is rounded once, so its size
is the result's.

Kinks.  On which side of a kink an element lies is decided by `near`: the value as a kernel has it that works in x's own
type and rounds every sum and difference.

0 * inf is 0 everywhere.  NaN comes through, into the derivatives that depend on the score, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Wide = NDArray[np.longdouble]
EXTENDED = np.finfo(np.longdouble).nmant >= 63  # not where long double is double: MSVC, arm64 macOS


def wide(a: ArrayLike) -> Wide:
    return np.asarray(a).astype(np.longdouble)


def times(a: ArrayLike, b: ArrayLike) -> Wide:
    """a * b where 0 * inf is 0"""
    product = np.asarray(np.multiply(a, b))
    if np.isnan(product).any():  # seldom
        product = np.where(np.isnan(product) & ~np.isnan(a) & ~np.isnan(b), 0, product)
    return product


def bent(f: ArrayLike, curvature: Wide) -> Wide:
    """f times a curvature: 0 where that is 0, as of a linear function, even if f is NaN."""
    product = times(f, curvature)
    return np.where(curvature == 0, 0, product) if np.isnan(product).any() else product


@dataclass(frozen=True, eq=False, slots=True)
class Jet:
    value: Wide
    slope: Wide
    curvature: Wide
    value_size: Wide
    slope_size: Wide
    curvature_size: Wide
    near: NDArray[Any]
    given: bool = False

    __array_ufunc__ = None  # array + jet asks the jet

    @staticmethod
    def variable(x: NDArray[Any]) -> Jet:
        """The scores themselves, in the type that kernels work in."""
        one, zero = np.ones(x.shape, np.longdouble), np.zeros(x.shape, np.longdouble)
        return Jet(wide(x), one, zero, abs(wide(x)), one, zero, x, given=True)

    def constant(self, c: ArrayLike) -> Jet:
        """A given number, or one for each of this jet's values."""
        value = np.broadcast_to(wide(c), self.value.shape)
        zero = np.zeros(self.slope.shape, np.longdouble)
        return Jet(value, zero, zero, abs(value), zero, zero, value.astype(self.near.dtype), given=True)

    def _other(self, other: Jet | ArrayLike) -> Jet:
        if not isinstance(other, Jet):
            return self.constant(other)
        if other.value.shape != self.value.shape:
            raise TypeError(f"elements do not mix with rows: {self.value.shape} and {other.value.shape}")
        return other

    @property
    def excess(self) -> Wide:
        """What cancelled on the way to the value."""
        return np.where(np.isfinite(self.value_size), self.value_size - abs(self.value), 0)

    def __neg__(self) -> Jet:
        return replace(self, value=-self.value, slope=-self.slope, curvature=-self.curvature, near=-self.near)

    def __add__(self, other: Jet | ArrayLike) -> Jet:
        b = self._other(other)
        value = self.value + b.value
        return Jet(
            value,
            self.slope + b.slope,
            self.curvature + b.curvature,
            abs(value) if self.given and b.given else self.value_size + b.value_size,
            self.slope_size + b.slope_size,
            self.curvature_size + b.curvature_size,
            self.near + b.near,
        )

    __radd__ = __add__

    def __sub__(self, other: Jet | ArrayLike) -> Jet:
        return self + -self._other(other)

    def __rsub__(self, other: ArrayLike) -> Jet:
        return -self + other

    def __mul__(self, other: Jet | ArrayLike) -> Jet:
        if not isinstance(other, Jet):
            return self._scaled(wide(other))
        a, b = self, self._other(other)
        return Jet(
            times(a.value, b.value),
            times(a.slope, b.value) + times(a.value, b.slope),
            bent(b.value, a.curvature) + 2 * times(a.slope, b.slope) + bent(a.value, b.curvature),
            times(a.value_size, b.value_size),
            times(a.slope_size, b.value_size) + times(a.value_size, b.slope_size),
            bent(b.value_size, a.curvature_size)
            + 2 * times(a.slope_size, b.slope_size)
            + bent(a.value_size, b.curvature_size),
            times(a.near, b.near),
        )

    def _scaled(self, c: Wide) -> Jet:
        a, size = self, abs(c)
        near = times(a.near, c.astype(a.near.dtype))
        if near.shape != a.value.shape:
            raise ValueError(f"a factor of shape {c.shape} for a jet of shape {a.value.shape}")
        return Jet(
            *(times(c, part) for part in (a.value, a.slope, a.curvature)),
            *(times(size, part) for part in (a.value_size, a.slope_size, a.curvature_size)),
            near,
        )

    __rmul__ = __mul__

    def __truediv__(self, other: Jet | ArrayLike) -> Jet:
        return self * (reciprocal(other) if isinstance(other, Jet) else 1 / wide(other))

    def __rtruediv__(self, other: ArrayLike) -> Jet:
        return reciprocal(self) * other

    def __abs__(self) -> Jet:
        """The slope at 0 is 0."""
        return chain(self, abs(self.value), np.sign(self.value), 0, near=abs(self.near))

    def __pow__(self, r: ArrayLike) -> Jet:
        """A real power; of a negative number, a whole one."""
        a, r = self.value, wide(r)
        if np.all(r == 1):
            return self
        powers = [a**r, times(r, a ** (r - 1)), times(r * (r - 1), a ** (r - 2))]
        return chain(self, *(np.where(np.isnan(a), a, f) for f in powers))  # NaN^0 would be 1


def chain(a: Jet, f: ArrayLike, f1: ArrayLike, f2: ArrayLike, near: NDArray[Any] | None = None) -> Jet:
    """f(a) from f, f' and f'' at a's value."""
    f, f1, f2 = wide(f), wide(f1), wide(f2)
    slope_size = abs(f1) + times(abs(f2), a.excess)
    return Jet(
        f,
        times(f1, a.slope),
        times(f2, a.slope**2) + bent(f1, a.curvature),
        abs(f) + times(abs(f1), a.excess),
        times(slope_size, a.slope_size),
        times(abs(f2), a.slope_size**2) + bent(slope_size, a.curvature_size),
        f.astype(a.near.dtype) if near is None else near,
    )


# ---- functions of numbers


def sigmoid_of(x: Wide) -> Wide:
    e = np.exp(-abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def expm1_minus_of(t: Wide) -> Wide:
    """e^t - 1 - t, by its series where |t| < 1"""
    small, series = np.where(abs(t) < 1, t, 0), wide(0)
    for k in range(26, 2, -1):
        series = (1 + series) * small / k
    return np.where(abs(t) < 1, (1 + series) * small * small / 2, np.expm1(t) - t)


def lgamma_of(z: ArrayLike) -> Wide:
    """log Gamma(z) for z > 0: Stirling's series at z + n >= 20, less the logarithm of z (z + 1) ... (z + n - 1)."""
    z = wide(z)
    product = wide(np.ones(z.shape))
    for _ in range(20):
        step = z < 20
        product, z = np.where(step, product * z, product), np.where(step, z + 1, z)
    bernoulli = [(1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156), (-3617, 122400)]
    tail = sum(wide(n) / d / z ** (2 * k + 1) for k, (n, d) in enumerate(bernoulli))
    half_log_two_pi = np.log(8 * np.arctan(wide(1))) / 2
    return (z - 0.5) * np.log(z) - z + half_log_two_pi + tail - np.log(product)


# ---- functions of jets


def exp(a: Jet) -> Jet:
    e = np.exp(a.value)
    return chain(a, e, e, e)


def expm1(a: Jet) -> Jet:
    e = np.exp(a.value)
    return chain(a, np.expm1(a.value), e, e)


def log(a: Jet) -> Jet:
    return chain(a, np.log(a.value), 1 / a.value, -1 / a.value**2)


def log1p(a: Jet) -> Jet:
    z = 1 + a.value
    return chain(a, np.log1p(a.value), 1 / z, -1 / z**2)


def sqrt(a: Jet) -> Jet:
    s = np.sqrt(a.value)
    return chain(a, s, 1 / (2 * s), -1 / (4 * s * a.value))


def reciprocal(a: Jet) -> Jet:
    r = 1 / a.value
    return chain(a, r, -r * r, 2 * r * r * r)


def tanh(a: Jet) -> Jet:
    t, e = np.tanh(a.value), np.exp(-2 * abs(a.value))
    sech2 = 4 * e / (1 + e) ** 2
    return chain(a, t, sech2, -2 * t * sech2)


def sigmoid(a: Jet) -> Jet:
    s, other = sigmoid_of(a.value), sigmoid_of(-a.value)
    return chain(a, s, s * other, -s * other * np.tanh(a.value / 2))


def softplus(a: Jet) -> Jet:
    """log(1 + e^a)"""
    x = a.value
    s = sigmoid_of(x)
    return chain(a, np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), s, s * sigmoid_of(-x))


def log_cosh(a: Jet) -> Jet:
    """log cosh a = log1p(2 sinh^2(a/2)) = |a| + log1p(e^-2|a|) - log 2"""
    x, e = abs(a.value), np.exp(-2 * abs(a.value))
    near_zero = np.log1p(2 * np.sinh(np.minimum(x, 1) / 2) ** 2)
    far = x + np.log1p(e) - np.log(wide(2))
    return chain(a, np.where(x < 1, near_zero, far), np.tanh(a.value), 4 * e / (1 + e) ** 2)


def hypot_minus(a: Jet) -> Jet:
    """sqrt(1 + a^2) - 1 = a^2 / (1 + sqrt(1 + a^2))"""
    s = np.hypot(1, a.value)
    ratio = np.where(np.isinf(s), np.sign(a.value), a.value / s)
    return chain(a, np.where(np.isinf(s), s, a.value * (a.value / (1 + s))), ratio, s**-3)


def exponential_gap(t: Jet, a: Wide) -> Jet:
    """The integral of e^((a - 1) s) (e^s - 1) over s from 0 to t: (e^(a t) - 1) / a - (e^(b t) - 1) / b with b = a - 1.

    Never negative.  Where a or b is 0, its quotient is the limit, t.
    """
    b, s = a - 1, t.value

    def quotient(f: Any, limit: Any, c: Wide) -> Any:
        return f(times(c, s)) / c if c else limit

    small = quotient(expm1_minus_of, 0, a) - quotient(expm1_minus_of, 0, b)
    large = quotient(np.expm1, s, a) - quotient(np.expm1, s, b)
    large = np.where(np.isnan(large) & ~np.isnan(s), np.inf, large)  # inf - inf: the greater one wins
    up, down = np.exp(times(a, s)), np.exp(times(b, s))
    slope = np.where(s > 0, times(up, -np.expm1(-s)), times(down, np.expm1(s)))
    curvature = np.where(s > 0, times(up, a - times(b, np.exp(-s))), times(down, times(a, np.exp(s)) - b))
    return chain(t, np.where(abs(s) * max(1, abs(a), abs(b)) < 1, small, large), slope, curvature)


def where(condition: NDArray[np.bool_], a: Jet | ArrayLike, b: Jet | ArrayLike) -> Jet:
    """a where the condition holds, else b; at least one of them a jet."""
    jet = a if isinstance(a, Jet) else b
    assert isinstance(jet, Jet)
    a, b = jet._other(a), jet._other(b)
    return Jet(
        *(
            np.where(condition, getattr(a, name), getattr(b, name))
            for name in ("value", "slope", "curvature", "value_size", "slope_size", "curvature_size", "near")
        ),
        given=a.given and b.given,
    )


def split(z: Jet, bound: ArrayLike, upto: Jet | ArrayLike, above: Jet | ArrayLike) -> Jet:
    """One where z <= bound, the other where z > bound; NaN, derivatives included, where z is NaN."""
    side = where(z.near <= z.constant(bound).near, upto, above)
    return where(np.isnan(z.value), chain(z, z.value, z.value, z.value), side)


def hinge(z: Jet, kink: int) -> Jet:
    """max(0, z); its slope where z is 0 is `kink`."""
    active = np.where(np.isnan(z.value), z.value, (z.near > 0) + kink * (z.near == 0))
    return chain(z, np.where(z.near <= 0, 0, z.value), active, 0)


def nan_in_slope(x: Jet) -> Jet:
    """x, whose slope is NaN where x is, though it does not depend on it."""
    return chain(x, x.value, np.where(np.isnan(x.value), x.value, 1), 0)


def minus_peak(x: Jet, peak: Wide) -> Jet:
    """x - peak, 0 at the peak itself even where that is infinite."""
    gap = np.where(x.value == peak, 0, x.value - peak)
    return replace(x - peak, value=gap, value_size=abs(gap), near=gap.astype(x.near.dtype))


def exact_sum(*terms: Jet | ArrayLike) -> Jet:
    """a + b + c of given numbers as if rounded once, though b + c may cancel most of a.

    What is lost by rounding a + b is added at the end.  On which side of 0 it lies is decided without: `near`.
    """
    jet = next(term for term in terms if isinstance(term, Jet))
    a, b, c = (jet._other(term) for term in terms)
    plain, high = a + b + c, a.value + b.value
    part = high - a.value
    value = high + c.value + ((a.value - (high - part)) + (b.value - part))
    value = np.where(np.isfinite(value), value, plain.value)
    return replace(plain, value=value, value_size=abs(value))


# ---- from elements to rows


def of_class(shape: tuple[int, ...], ids: NDArray[Any]) -> NDArray[np.bool_]:
    """(N, C): where the column is the row's id."""
    return np.asarray(np.arange(shape[-1]) == ids[:, np.newaxis])


def total(e: Jet) -> Jet:
    """Sum of a row of elements."""

    def add(a: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(a.sum(-1, keepdims=True))

    return replace(e, value=add(e.value), value_size=add(e.value_size), near=add(e.near), given=False)


def pick(x: Jet, ids: NDArray[Any]) -> Jet:
    """The element of each row that its id says."""
    zero = np.zeros(x.slope.shape, np.longdouble)
    chosen = of_class(x.value.shape, ids)

    def alone(a: NDArray[Any]) -> NDArray[Any]:
        return np.take_along_axis(a, ids[:, np.newaxis], -1)

    return Jet(
        alone(x.value),
        *(np.where(chosen, a, zero) for a in (x.slope, x.curvature)),
        alone(x.value_size),
        *(np.where(chosen, a, zero) for a in (x.slope_size, x.curvature_size)),
        alone(x.near),
        x.given,
    )


def greatest_other(x: Jet, ids: NDArray[Any]) -> Jet:
    """The greatest element of each row but for its id's; of equal ones the first; -inf where there is no other."""
    others = where(of_class(x.value.shape, ids), -np.inf, x)
    return pick(others, np.argmax(others.value, -1))


def sum_of_gaps(e: Jet, ids: NDArray[Any]) -> Jet:
    """Sum of a row of elements that are functions of x_j - x_id, computed with x_id as a constant."""
    own = of_class(e.value.shape, ids)

    def turned(a: Wide, sign: int) -> Wide:
        others = np.where(own, 0, a)
        return np.where(own, sign * others.sum(-1, keepdims=True), others)

    row = total(where(own, 0, e))
    return replace(
        row,
        slope=turned(e.slope, -1),
        curvature=turned(e.curvature, 1),
        slope_size=turned(e.slope_size, 1),
        curvature_size=turned(e.curvature_size, 1),
    )


def sized_by_row(a: Jet) -> Jet:
    """Derivatives are as large as the greatest of their row: what a factor common to the row does to them."""

    def greatest(size: Wide) -> Wide:
        return np.broadcast_to(size.max(-1, keepdims=True), size.shape)

    return replace(a, slope_size=greatest(a.slope_size), curvature_size=greatest(a.curvature_size))
