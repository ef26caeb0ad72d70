"""Jets against mpmath: value and both derivatives of each operation and of compositions; sizes, kinks and limits."""

import jets
import numpy as np
import pytest
from jets import EXTENDED, Jet, wide

mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
EPS = float(np.finfo(np.longdouble).eps)
DIGITS = 60

REAL = [-120.0, -50.0, -7.25, -1.5, -1.0, -0.75, -1e-3, -1e-9, 1e-30, 1e-9, 1e-3, 0.4, 1.0, 2.5, 11.0, 60.0, 120.0]
POSITIVE = [x for x in REAL if x > 0]


def exact(a):
    """A long double as mpmath's number."""
    fraction, exponent = np.frexp(a)
    if not np.isfinite(fraction):
        return mp.mpf(float(fraction))
    high = float(fraction)
    return mp.ldexp(mp.mpf(high) + mp.mpf(float(fraction - high)), int(exponent))


def gap(t, a):
    """The integral of e^((a - 1) s) (e^s - 1) from 0 to t."""
    b = a - 1
    return ((mp.expm1(a * t) / a) if a else t) - ((mp.expm1(b * t) / b) if b else t)


def softplus(x):
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


OPERATIONS = {
    "add": (lambda x: x + 1.5 + x, lambda x: x + 1.5 + x, REAL),
    "subtract": (lambda x: 0.75 - x * x - x, lambda x: 0.75 - x * x - x, REAL),
    "multiply": (lambda x: (x + 2) * (1 - 3 * x) * x, lambda x: (x + 2) * (1 - 3 * x) * x, REAL),
    "divide": (lambda x: (x - 3) / (1 + x * x) / 7, lambda x: (x - 3) / (1 + x * x) / 7, REAL),
    "reciprocal": (lambda x: 2 / x, lambda x: 2 / x, REAL),
    "negative": (lambda x: -(x * x), lambda x: -(x * x), REAL),
    "abs": (lambda x: abs(x) * x, lambda x: abs(x) * x, REAL),
    "square": (lambda x: x**2, lambda x: x**2, REAL),
    "cube": (lambda x: x**3, lambda x: x**3, REAL),
    "power": (lambda x: x**0.7, lambda x: x ** mp.mpf(0.7), POSITIVE),
    "power -1.5": (lambda x: x**-1.5, lambda x: x ** mp.mpf(-1.5), POSITIVE),
    "exp": (jets.exp, mp.exp, REAL),
    "expm1": (jets.expm1, mp.expm1, REAL),
    "log": (jets.log, mp.log, POSITIVE),
    "log1p": (jets.log1p, mp.log1p, [-0.99, -0.5, *POSITIVE]),
    "sqrt": (jets.sqrt, mp.sqrt, POSITIVE),
    "tanh": (jets.tanh, mp.tanh, REAL),
    "sigmoid": (jets.sigmoid, sigmoid, REAL),
    "softplus": (jets.softplus, softplus, REAL),
    "log_cosh": (jets.log_cosh, lambda x: mp.log(mp.cosh(x)), REAL),
    "hypot_minus": (jets.hypot_minus, lambda x: mp.sqrt(1 + x * x) - 1, REAL),
    # compositions
    "logarithm of a softplus": (
        lambda x: jets.log1p(jets.softplus(2 * x)),
        lambda x: mp.log1p(softplus(2 * x)),
        REAL,
    ),
    "focal": (
        lambda x: jets.sigmoid(-x) ** 1.5 * jets.softplus(-x),
        lambda x: sigmoid(-x) ** mp.mpf(1.5) * softplus(-x),
        REAL,
    ),
    "scaled": (lambda x: 0.25 * jets.hypot_minus(x / 0.5), lambda x: (mp.sqrt(1 + 4 * x * x) - 1) / 4, REAL),
    "quotient": (
        lambda x: jets.exp(-x * x) / (1 + jets.tanh(x) ** 2),
        lambda x: mp.exp(-x * x) / (1 + mp.tanh(x) ** 2),
        [x for x in REAL if abs(x) < 70],
    ),
}
OPERATIONS |= {
    f"exponential_gap {a}": (lambda x, a=a: jets.exponential_gap(x, wide(a)), lambda x, a=a: gap(x, mp.mpf(a)), REAL)
    for a in (0.0, 1e-9, 0.5, 1 - 1e-9, 1.0, 2.0, 3.5, -0.5, -1e-9, -4.0)
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations(operation):
    """Within a few ulp of the sizes, and these are the results' own where an operation is one function."""
    ours, theirs, points = OPERATIONS[operation]
    got = ours(Jet.variable(np.array(points)))
    with mpmath.workdps(DIGITS):
        smallest, largest = (exact(a) for a in (np.finfo(np.longdouble).tiny, np.finfo(np.longdouble).max))
        for i, x in enumerate(points):
            # derivatives from differences: digits for small x, and for what is e^-|x| beside 1
            with mpmath.workdps(DIGITS + 3 * int(abs(x) + max(0, -np.log10(abs(x))))):
                f, f1, half_f2 = mpmath.taylor(theirs, mp.mpf(x), 2, chop=False)
            for what, result, size, right in (
                ("value", got.value[i], got.value_size[i], f),
                ("slope", got.slope[i], got.slope_size[i], f1),
                ("curvature", got.curvature[i], got.curvature_size[i], 2 * half_f2),
            ):
                if abs(right) > largest:
                    continue
                rounded = abs(x) if "gap" in operation else 0  # the argument of an exponential
                bound = 16 * EPS * (1 + rounded) * exact(size) + smallest
                assert abs(exact(result) - right) <= bound, f"{what} at {x}: {result} for {mp.nstr(right, 25)}"
                assert exact(size) >= abs(right) - bound, what


def test_lgamma():
    with mpmath.workdps(40):
        for z in (1e-300, 1e-9, 0.1, 0.5, 1.0, 1 + 1e-7, 1.5, 2.0, 2.1, 5.0, 19.5, 20.0, 171.5, 1e5, 1e300):
            right = mpmath.loggamma(mp.mpf(z))
            assert abs(exact(jets.lgamma_of(z)) - right) <= 8 * EPS * max(50, abs(right)), z


def test_sizes():
    x = Jet.variable(np.array([1000.0, 1e-3]))
    d = x - 999.0
    assert np.array_equal(d.value_size, abs(d.value))  # given numbers: rounded once
    cancelled = d - 1.0
    assert np.array_equal(cancelled.value_size, abs(d.value) + 1)
    assert np.array_equal(jets.exp(cancelled).value_size, jets.exp(cancelled).value * (1 + cancelled.excess))
    mixed = 0.25 * jets.softplus(-x) + 0.75 * jets.softplus(x)
    assert np.array_equal(mixed.value_size, mixed.value)
    expected = 0.25 * jets.sigmoid(-x).value + 0.75 * jets.sigmoid(x).value
    assert np.allclose((mixed.slope_size / expected).astype(float), 1, rtol=1e-15)
    assert np.all(mixed.slope_size >= abs(mixed.slope))


def test_kinks():
    x = Jet.variable(np.array([-2.0, 0.0, 3.0, np.nan]))
    for kink in (0, 1):
        assert np.array_equal(jets.hinge(x, kink).slope, [0, kink, 1, np.nan], equal_nan=True)
        assert np.array_equal(jets.hinge(x, kink).value, [0, 0, 3, np.nan], equal_nan=True)
        assert np.array_equal((jets.hinge(x, kink) ** 2).curvature, [0, 2 * kink, 2, np.nan], equal_nan=True)
    assert np.array_equal(abs(x).slope, [-1, 0, 1, np.nan], equal_nan=True)
    either = jets.split(x, 0.0, x * x, 5 * x)
    assert np.array_equal(either.value, [4, 0, 15, np.nan], equal_nan=True)
    assert np.array_equal(either.slope, [-4, 0, 5, np.nan], equal_nan=True)
    assert np.array_equal(either.curvature, [2, 2, 0, np.nan], equal_nan=True)
    assert np.array_equal(jets.where(x.value > 1, x, 7.0).slope, [0, 0, 1, 0])


def test_kinks_are_decided_as_rounded():
    """(1 + 1e-8) - 1 is 0 in float32: not active, though the exact sum is positive."""
    x = Jet.variable(np.array([1e-8, 1.0], np.float32))
    z = jets.exact_sum(1.0, x, -1.0)
    assert np.array_equal(z.near, [0, 1])
    assert z.value[0] == wide(np.float32(1e-8))
    assert np.array_equal(jets.hinge(z, 0).value, [0, 1])


def test_what_does_not_depend_on_nan():
    x = Jet.variable(np.array([np.nan]))
    for jet, slope, curvature in ((3 * x, 3, 0), (x * x, np.nan, 2), (jets.exp(x), np.nan, np.nan)):
        assert np.isnan(jet.value)
        assert np.array_equal(jet.slope, [slope], equal_nan=True)
        assert np.array_equal(jet.curvature, [curvature], equal_nan=True)


def test_limits():
    x = Jet.variable(np.array([np.inf, -np.inf]))
    for jet, value, slope, curvature in (
        (0 * jets.exp(x), [0, 0], [0, 0], [0, 0]),
        (jets.softplus(x), [np.inf, 0], [1, 0], [0, 0]),
        (jets.log_cosh(x), [np.inf, np.inf], [1, -1], [0, 0]),
        (jets.hypot_minus(x), [np.inf, np.inf], [1, -1], [0, 0]),
        (jets.sigmoid(x) * x, [np.inf, 0], [1, 0], [0, 0]),
        (x * x, [np.inf, np.inf], [np.inf, -np.inf], [2, 2]),
        (jets.exponential_gap(x, wide(1)), [np.inf, np.inf], [np.inf, -1], [np.inf, 0]),
        (jets.exponential_gap(x, wide(0)), [np.inf, np.inf], [1, -np.inf], [0, np.inf]),
        (jets.exponential_gap(x, wide(0.5)), [np.inf, np.inf], [np.inf, -np.inf], [np.inf, np.inf]),
        (jets.exponential_gap(x, wide(3)), [np.inf, 1 / wide(2) - 1 / wide(3)], [np.inf, 0], [np.inf, 0]),
        (jets.exponential_gap(x, wide(-1)), [0.5, np.inf], [0, -np.inf], [0, np.inf]),
    ):
        assert np.array_equal(jet.value, value)
        assert np.array_equal(jet.slope, slope)
        assert np.array_equal(jet.curvature, curvature)


def derivatives(f, x):
    """Gradient and diagonal of the Hessian of f(row), row by row, from mpmath."""
    grad, hess = np.empty(x.shape), np.empty(x.shape)
    for n, c in np.ndindex(x.shape):

        def along(t, n=n, c=c):
            return f([mp.mpf(v) if k != c else t for k, v in enumerate(x[n].tolist())], n)

        _, grad[n, c], half = (float(a) for a in mpmath.taylor(along, mp.mpf(x[n, c]), 2))
        hess[n, c] = 2 * half
    return grad, hess


def test_rows():
    rng = np.random.default_rng(0)
    x, ids = rng.normal(size=(3, 4)), np.array([2, 0, 3])
    variable = Jet.variable(x)
    own = wide(x)[np.arange(3), ids][:, None]

    def softmax(row, n):
        return mp.log(sum(mp.exp(v) for v in row)) - row[ids[n]]

    def squares(row, n):
        return sum(mp.exp(v - row[ids[n]]) + (v - row[ids[n]]) ** 2 for j, v in enumerate(row) if j != ids[n])

    def hinge(row, n):
        return (5 + max(v for j, v in enumerate(row) if j != ids[n]) - row[ids[n]]) ** 2

    gaps = variable - own
    for jet, f in (
        (jets.log(jets.total(jets.exp(variable))) - jets.pick(variable, ids), softmax),
        (jets.sum_of_gaps(jets.exp(gaps) + gaps * gaps, ids), squares),
        (jets.exact_sum(5, -jets.pick(variable, ids), jets.greatest_other(variable, ids)) ** 2, hinge),
    ):
        grad, hess = derivatives(f, x)
        assert jet.value.shape == (3, 1)
        assert np.allclose(jet.slope.astype(float), grad, rtol=1e-13, atol=1e-13)
        assert np.allclose(jet.curvature.astype(float), hess, rtol=1e-13, atol=1e-13)
        assert np.all(jet.slope_size >= abs(jet.slope))
        assert np.all(jet.curvature_size >= abs(jet.curvature))
        sized = jets.sized_by_row(jet)
        assert np.array_equal(sized.slope_size, np.repeat(jet.slope_size.max(1)[:, None], 4, 1))


def test_elements_do_not_mix_with_rows():
    x = Jet.variable(np.zeros((3, 4)))
    with pytest.raises(TypeError, match="do not mix"):
        x - jets.pick(x, np.zeros(3, int))
    with pytest.raises(ValueError, match=r"dimensions|broadcast"):
        x + np.zeros((2, 3, 4))


def test_ties_and_single_columns():
    x = Jet.variable(np.array([[1.0, 3.0, 3.0]]))
    assert np.array_equal(jets.greatest_other(x, np.array([0])).slope, [[0, 1, 0]])
    alone = jets.greatest_other(Jet.variable(np.array([[2.0]])), np.array([0]))
    assert alone.value == -np.inf
    assert alone.slope == 0


def test_extended():
    """Long double is what this platform's tests rest on; without it they say so and skip float64."""
    assert (EPS < 1e-18) == EXTENDED
