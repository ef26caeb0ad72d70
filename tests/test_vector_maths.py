"""The vector functions that losses are made of, on every instruction set: errors over the whole range of each type.

BOUNDS is the one table of errors; simd/vmath.h repeats it.  Exact values come from mpmath for float64, and from long
double for float32, where NumPy has the function.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
from conftest import at_level

from lossext._kernels import drivers

# largest error in units in the last place, where the result is a normal number; below it may be 0
BOUNDS = {
    "exp_negative": 2,
    "exp": 2,
    "expm1": 2,
    "expm1_minus": 2,
    "tanh_ratio": 2,
    "log1p_unit": 2,
    "log_normal": 2,
    "log": 2,
    "log1p": 2,
    "pow": 2,
    "log_factorial": 3,
    "lgamma": 3,
}
INF, NAN = math.inf, math.nan


class Function(NamedTuple):
    exact: Callable[..., Any]  # in mpmath's numbers
    wide: Callable[..., Any] | None  # in NumPy's long double
    low: float  # the domain, both ends included
    high: float
    points: list[float]  # where something changes
    limits: list[tuple[float, float]]  # of arguments and results; a dict would take 0.0 and -0.0 for one


def mp_expm1_minus(d):
    if abs(d) > 0.01:
        return mpmath.expm1(d) - d
    return sum(d**k / mpmath.factorial(k) for k in range(12, 1, -1))


def wide_expm1_minus(d):
    term = np.zeros_like(d)
    for k in range(30, 2, -1):
        term = (1 + term) * d / k
    return np.where(abs(d) < 1, d * d / 2 * (1 + term), np.expm1(d) - d)


def mp_log_factorial(y):
    if abs(y) > 1e-4:
        return mpmath.loggamma(1 + y)
    return -mpmath.euler * y + sum((-y) ** k * mpmath.zeta(k) / k for k in range(2, 9))


def wide_tanh_ratio(t):
    return np.where(t == 0, 1, np.tanh(t) / np.where(t == 0, 1, t))


LN2 = math.log(2)
HALVES = [(k + half) * LN2 for k in range(-40, 41) for half in (0, 0.5)]  # where n of 2^n changes
ENDS = [(k + half) * LN2 for k in (-1074, -1022, 1023, -149, -126, 127) for half in (-1, -0.5, 0, 0.5, 1)]
FUNCTIONS = {
    "exp_negative": Function(mpmath.exp, np.exp, -INF, 0, HALVES + ENDS, [(-INF, 0), (0.0, 1), (-0.0, 1)]),
    "exp": Function(mpmath.exp, np.exp, -INF, INF, HALVES + ENDS, [(-INF, 0), (INF, INF), (0.0, 1), (-0.0, 1)]),
    "expm1": Function(
        mpmath.expm1, np.expm1, -INF, INF, HALVES + ENDS, [(-INF, -1), (INF, INF), (0.0, 0.0), (-0.0, -0.0)]
    ),
    "expm1_minus": Function(
        mp_expm1_minus,
        wide_expm1_minus,
        -INF,
        INF,
        [*HALVES, *ENDS, 0.5, -0.5],
        [(-INF, INF), (INF, INF), (0.0, 0), (-0.0, 0)],
    ),
    "tanh_ratio": Function(
        lambda t: mpmath.tanh(t) / t, wide_tanh_ratio, -INF, INF, [1, 2, 4], [(-INF, 0), (INF, 0), (0.0, 1), (-0.0, 1)]
    ),
    "log1p_unit": Function(mpmath.log1p, np.log1p, 0, 1, [0.64, 0.5, 1], [(0.0, 0), (1.0, LN2)]),
    "log_normal": Function(mpmath.log, np.log, 0, INF, [0.5, 2**0.5, 0.5**0.5, 1, 2], [(1.0, 0)]),
    "log": Function(
        mpmath.log,
        np.log,
        0,
        INF,
        [0.5, 2**0.5, 0.5**0.5, 1, 2],
        [(0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-INF, NAN)],
    ),
    "log1p": Function(
        mpmath.log1p,
        np.log1p,
        -1,
        INF,
        [2**0.5 - 1, 0.5**0.5 - 1, 1, 2**30, 2**64, -0.5, -1],
        [(-1.0, -INF), (0.0, 0.0), (-0.0, -0.0), (INF, INF), (-1.5, NAN), (-INF, NAN)],
    ),
    "log_factorial": Function(
        mp_log_factorial, None, 0, INF, [0.5, 1, 1.5, 2, 2.5, 6.5, 7.5, 10], [(0.0, 0), (1.0, 0), (INF, INF)]
    ),
    "lgamma": Function(
        mpmath.loggamma,
        None,
        0,
        INF,
        [0.5, 0.75, 1, 1.5, 2, 2.5, 3, 8.5],
        [(0.0, INF), (1.0, 0), (2.0, 0), (INF, INF), (-1.5, NAN), (-INF, NAN)],
    ),
}
# a^b with b log(a) up to the ends of the range: where log(a) is least exact, near 1, and at any a
POWER_BASES = [0.5**0.5, 2**0.5, 0.903, 0.906, 1.1038, 1.116, 0.8152, 0.8208, 1.2184, 1.2455, 1]


@pytest.fixture(params=drivers.isa_levels(), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from at_level(request.param)


def neighbours(values, dtype):
    """The values rounded, and the numbers around them."""
    near = np.array(values, dtype)
    with np.errstate(over="ignore"):
        steps = [near, *(near * (1 + i * np.finfo(dtype).eps).astype(dtype) for i in range(-4, 5))]
    return np.concatenate(steps)


@functools.cache
def inputs(name, dtype):
    """Numbers of each exponent, denser where exp lives, around the points where something changes, and at the ends."""
    function, info = FUNCTIONS[name], np.finfo(dtype)
    rng = np.random.default_rng(0)
    dense = 6 if dtype == np.float32 else 1
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    spread = np.ldexp(1 + rng.random((2 * dense, exponents.size)), exponents)
    narrow = np.exp2(rng.uniform(-30, 12, 700 * dense))
    middle = rng.uniform(0, 3, 700 * dense)
    wide = rng.uniform(0, math.log(float(info.max)) + 1, 300 * dense)
    around = np.array(function.points)[:, None] * (
        1 + np.exp2(rng.uniform(-info.nmant, -1, 10)) * rng.choice([-1, 1], 10)
    )
    with np.errstate(over="ignore"):
        parts = [spread.ravel(), narrow, middle, wide]
        positive = np.concatenate([np.concatenate(parts), [info.tiny, info.smallest_subnormal, info.max]]).astype(dtype)
        x = np.concatenate([positive, -positive, around.ravel().astype(dtype), neighbours(function.points, dtype)])
    least = float(info.tiny) if name == "log_normal" else function.low
    return np.unique(x[(x >= least) & (x <= function.high) & np.isfinite(x) & (x != 0) & (x != -1)])


@functools.cache
def power_inputs(dtype):
    info = np.finfo(dtype)
    rng = np.random.default_rng(1)
    dense = 6 if dtype == np.float32 else 1
    count = 700 * dense
    most = math.log(float(info.max))
    bases = [
        np.exp2(rng.uniform(info.minexp - info.nmant, info.maxexp, count)),
        np.exp2(rng.uniform(-1, 1, count)),
        1 + rng.choice([-1, 1], count) * np.exp2(rng.uniform(-info.nmant, -1, count)),
        np.repeat(POWER_BASES, count // 11)
        * (1 + rng.choice([-1, 1], count // 11 * 11) * np.exp2(rng.uniform(-12, -6, count // 11 * 11))),
    ]
    a = np.concatenate(bases).astype(dtype)
    a = a[(a > 0) & (a != 1) & np.isfinite(a)]
    log_a = np.log(a.astype(np.float64))
    up_to_ends = rng.uniform(-1.02, 1.02, a.size) * most / log_a
    at_ends = rng.choice([-1, 1], a.size) * rng.uniform(0.9, 1.001, a.size) * most / log_a
    b = [up_to_ends, at_ends, rng.uniform(-6, 6, a.size), rng.integers(-5, 6, a.size) / 2]
    a, b = np.tile(a, 4), np.concatenate(b).astype(dtype)
    finite = np.isfinite(b) & (b != 0)
    return a[finite], b[finite]


def rounded(exact, dtype):
    """(the nearest number, what it lacks) of long doubles or of a list of mpmath's numbers"""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if isinstance(exact, np.ndarray):
            nearest = exact.astype(dtype)
            return nearest, np.where(np.isfinite(nearest), exact - nearest, 0).astype(np.float64)
        nearest = np.array([float(e) for e in exact]).astype(dtype)
        lack = [
            float(e - mpmath.mpf(float(n))) if math.isfinite(n) else 0.0 for e, n in zip(exact, nearest, strict=True)
        ]
        return nearest, np.array(lack)


@functools.cache
def exact(name, dtype):
    """(arguments, nearest numbers to the exact results, what those lack)"""
    if name == "pow":
        arguments = power_inputs(dtype)
        of_mpmath, of_numpy = mpmath.power, np.power
    else:
        arguments = (inputs(name, dtype),)
        of_mpmath, of_numpy = FUNCTIONS[name].exact, FUNCTIONS[name].wide
    if dtype == np.float32 and of_numpy is not None:
        with np.errstate(all="ignore"):
            results = of_numpy(*(a.astype(np.longdouble) for a in arguments))
        return arguments, *rounded(results, dtype)
    with mpmath.workprec(140):
        numbers = zip(*(map(mpmath.mpf, a.tolist()) for a in arguments), strict=True)
        return arguments, *rounded([of_mpmath(*n) for n in numbers], dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", BOUNDS)
def test_error(name, dtype):
    arguments, nearest, lack = exact(name, dtype)
    assert nearest.size > 2500
    info = np.finfo(dtype)
    got = drivers.vector_function(name, *arguments)
    size = abs(nearest)
    fraction, exponent = np.frexp(size)
    exponent -= (fraction == 0.5) & (np.sign(nearest) * lack < 0)  # the exact result lies below the power of 2
    unit = np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)
    with np.errstate(invalid="ignore"):
        error = abs((got.astype(np.float64) - nearest) - lack) / unit
    error[np.isinf(nearest)] = np.where(got == nearest, 0, INF)[np.isinf(nearest)]
    small = size < info.tiny
    error[small & ((got == 0) | (abs(got) <= info.tiny) & (np.sign(got) == np.sign(nearest)))] = 0
    worst = np.nanargmax(np.where(np.isnan(error), INF, error))
    where = ", ".join(repr(a[worst]) for a in arguments)
    assert error[worst] <= BOUNDS[name], (
        f"{error[worst]:.2f} ulp: {name}({where}) = {got[worst]!r} for {nearest[worst]!r}"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_limits(name, dtype):
    limits = FUNCTIONS[name].limits + [(NAN, NAN)] * (name != "log_normal")
    x, results = np.array(limits, dtype).T.copy()
    for count in (x.size, 1):  # whole vectors and what remains
        for i in range(0, x.size, count):
            got = drivers.vector_function(name, x[i : i + count])
            expected = results[i : i + count]
            np.testing.assert_array_max_ulp(got[~np.isnan(expected)], expected[~np.isnan(expected)], 2)
            assert (np.isnan(got) == np.isnan(expected)).all()
            assert name not in ("expm1", "log1p") or (np.signbit(got) == np.signbit(expected))[expected == 0].all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_limits_of_pow(dtype):
    info = np.finfo(dtype)
    a = np.array([0, 1, 0.5, 3, info.tiny, info.smallest_subnormal, info.max, INF, 1 + info.eps], dtype)
    b = np.array([0, 1, -1, 0.5, -0.5, 2, 1e30, -1e30, 1e-30, -1e-30, info.max, -info.max, INF, -INF], dtype)
    a, b = (part.ravel() for part in np.meshgrid(a, b))
    with np.errstate(all="ignore"):
        expected = np.power(a.astype(np.longdouble), b.astype(np.longdouble)).astype(dtype)
    got = drivers.vector_function("pow", a, b)
    flushed = (expected < info.tiny) & (got <= info.tiny)
    np.testing.assert_array_max_ulp(np.where(flushed, expected, got), expected, 2)
    nan = drivers.vector_function("pow", np.array([-1, NAN, NAN, 2], dtype), np.array([0.5, 1, 0.5, NAN], dtype))
    assert np.isnan(nan).all()


def test_results_are_monotonic_at_the_ends():
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        x = np.linspace(math.log(float(info.max)) - 1e-3, math.log(float(info.max)) + 1e-3, 2000).astype(dtype)
        for name in ("exp", "expm1", "expm1_minus"):
            assert (np.diff(np.minimum(drivers.vector_function(name, x), info.max)) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_comparisons_take_the_second_where_one_is_nan(dtype):
    a = np.array([1, 2, NAN, 1, NAN, -0.0, INF, -INF], dtype)
    b = np.array([2, 1, 1, NAN, NAN, -0.0, 3, 3], dtype)
    nan = np.isnan(a) | np.isnan(b)
    np.testing.assert_array_equal(drivers.vector_function("min", a, b), np.where(nan, b, np.minimum(a, b)))
    np.testing.assert_array_equal(drivers.vector_function("max", a, b), np.where(nan, b, np.maximum(a, b)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_signs(dtype):
    a = np.array([3, -3, 0.0, -0.0, NAN, INF, -INF, 1e-40], dtype)
    sign = drivers.vector_function("sign", a)
    np.testing.assert_array_equal(sign, np.sign(a))
    assert (np.signbit(sign) == np.signbit(a)).all()
    b = np.array([-1, 1, -0.0, 0.0, 1, -INF, INF, -2], dtype)
    got = drivers.vector_function("copysign", a, b)
    np.testing.assert_array_equal(got, np.copysign(a, b))
    assert (np.signbit(got) == np.signbit(b)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_rows_turn_into_columns_and_back(dtype):
    rng = np.random.default_rng(0)
    lanes = int(drivers.vector_function("lanes", np.zeros(1, dtype))[0])
    for cols in (4, 12, 20):
        rows = rng.random((lanes, cols)).astype(dtype)
        columns = drivers.vector_function("turn", rows).reshape(cols, lanes)
        np.testing.assert_array_equal(columns, rows.T)
        back = drivers.vector_function("turn_back", columns).reshape(lanes, cols)
        np.testing.assert_array_equal(back, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_lanes_of_doubles_and_the_greatest(dtype):
    lanes = int(drivers.vector_function("lanes", np.zeros(1, dtype))[0])
    x = np.random.default_rng(0).normal(size=(7, lanes)).astype(dtype)
    np.testing.assert_array_equal(drivers.vector_function("of_wide_of", x), x)
    np.testing.assert_array_equal(drivers.vector_function("greatest_of", x)[:, 0], x.max(axis=1))


def test_wrong_calls_are_errors():
    x = np.ones(3)
    with pytest.raises(ValueError, match="there is no vector function 'cosine'"):
        drivers.vector_function("cosine", x)
    with pytest.raises(TypeError, match="exp takes 1 argument"):
        drivers.vector_function("exp", x, x)
    with pytest.raises(TypeError, match="pow takes 2 arguments"):
        drivers.vector_function("pow", x)
    with pytest.raises(TypeError, match="array has dtype int64, not float32 or float64"):
        drivers.vector_function("exp", np.ones(3, np.int64))
    with pytest.raises(ValueError, match="other is 2 of float64, array 3 of float64"):
        drivers.vector_function("pow", x, np.ones(2))
