"""Error bounds over the whole range of each type, at each instruction-set level.

The bounds are those of the losses' declarations, which their docstrings state.  Exact values come from long double,
itself held against mpmath in test_registry.py.
"""

import functools
import math
import os

import numpy as np
import pytest
from cases import (
    dense,
    kind_of,
    matrix_only,
    name,
    parameters_of,
    plain,
    powers_of,
    takes_part_of_the_line,
    target_of,
)
from twins import EXTENDED, TWINS, assert_close, real_type, reference, wide

pytestmark = pytest.mark.filterwarnings("error")

DTYPES = [
    "float32",
    pytest.param("float64", marks=pytest.mark.skipif(not EXTENDED, reason="long double is double")),
]
every_loss = pytest.mark.parametrize("cls", dense, ids=name)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
logistic = pytest.mark.parametrize("cls", [c for c in dense if c.declaration.kernel == "logistic"], ids=name)


# the long double references take nearly all of the time; HYPOTHESIS_PROFILE=thorough draws as many as take minutes
DRAWS = 8 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 1


@functools.cache
def whole_range(dtype):
    """Every exponent and both signs; the range where exp lives, densely; the neighbours of special numbers."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    fractions = 1 + rng.random(((12 if dtype.itemsize == 4 else 4) * DRAWS, exponents.size))
    spread = np.ldexp(fractions.astype(dtype), exponents.astype(np.int32)).ravel()
    edge = -math.log(info.smallest_subnormal)  # 103.3 or 744.4: exp(-x) is 0 beyond
    inner = rng.uniform(0, edge + 5, 6000 * DRAWS).astype(dtype)
    middle = rng.uniform(0, 3, 5000 * DRAWS).astype(dtype)
    special = [
        0,
        info.tiny,
        info.smallest_subnormal,
        info.max,
        info.eps,
        1,
        math.log(2),
        math.log(3),
        17.33,
        37.43,
        edge,
    ]
    special += [-math.log(info.tiny), math.log(info.max), 88, 87, 708, 709, 0.34657359, 1.0397208]
    near = np.array(special, dtype)
    near = near[np.isfinite(near)]
    with np.errstate(over="ignore"):
        for _ in range(6):
            near = np.concatenate([near, np.nextafter(near, dtype.type(np.inf)), np.nextafter(near, dtype.type(0))])
    positive = np.concatenate([spread, inner, middle, near[np.isfinite(near)]])
    return np.concatenate([positive, -positive])


def ulp_error(got, exact, summed=False):
    """Error in units in the last place of the exact result; under the smallest normal number 0 is fine, too.

    So it is for each of the elements that a `summed` result was added up from.
    """
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        nearest = np.abs(exact).astype(got.dtype)
        unit = wide(np.spacing(np.clip(nearest, info.tiny, info.max)))
        error = np.maximum(np.abs(wide(got) - exact) - (info.tiny if summed else 0), 0) / unit
    error[(got == nearest * np.sign(exact)) | ((np.abs(exact) < info.tiny) & (got == 0))] = 0
    error[np.isnan(error)] = np.inf
    return error


def assert_ulp(got, exact, bound, what="", summed=False):
    error = ulp_error(np.asarray(got), exact, summed)
    worst = np.unravel_index(np.argmax(error), error.shape)
    assert error[worst] <= bound, f"{what} {error[worst]:.2f} ulp at {worst}: {got[worst]!r} for {exact[worst]!r}"


LABELS = {"unit": (0, 1), "sign": (-1, 1), "positive": (1, 2), "non_negative": (0, 1)}  # of others: -1 and 1


@functools.cache
def exact_elements(cls, dtype, positive):
    """What the loss should give for each of whole_range, alone in its row."""
    x = whole_range(np.dtype(dtype))
    if takes_part_of_the_line(cls):
        x = x[(x >= 0) & (x <= 1)]
    x = x[:, None] if matrix_only(cls) else x
    y = np.full(x.shape, LABELS.get(kind_of(cls), (-1, 1))[positive])
    return x, y, reference(plain(cls, reduction="none"), x, y)


@pytest.mark.parametrize("cls", [c for c in dense if not c.declaration.takes_ids], ids=name)
@every_dtype
@pytest.mark.parametrize("positive", [False, True], ids=["negative", "positive"])
def test_elements(cls, dtype, positive, level):
    """Value and gradient of single elements with hard labels; not where exponentials are about to overflow."""
    x, y, exact = exact_elements(cls, dtype, positive)
    loss = plain(cls, reduction="none")
    limit = np.finfo(dtype).max / 16
    grows = kind_of(cls) in ("non_negative", "positive", "log_probability")
    for target in (y.astype("i8"), y.astype(dtype)):
        value, grad = loss.value_and_grad(x, target)
        for got, right, terms, ulps in (
            (value, exact.value, exact.value_terms, cls.declaration.value_ulp),
            (grad, exact.grad, exact.grad_terms, cls.declaration.grad_ulp),
        ):
            some = terms < limit if grows else np.ones(terms.shape, bool)
            if any(
                p.startswith("gamma") for p in parameters_of(cls)
            ):  # powers of a probability, which the docstring lets be 0 a little earlier
                some &= (terms > 2e4 * np.finfo(dtype).tiny) | (terms == 0)
            assert_close(got[some], right[some], terms[some], ulps, cls.__name__)


@pytest.mark.parametrize("cls", [c for c in dense if c.declaration.value_by_row], ids=name)
@every_dtype
@pytest.mark.parametrize("columns", [2, 3, 10, 33, 1000, 10007])
def test_rows(cls, dtype, columns, level):
    """Values that are summed over a row, and the gradient in it; logits of every magnitude side by side."""
    rng = np.random.default_rng(columns)
    rows = max(20000 // columns, 6)
    scales = 10.0 ** rng.integers(-8, 3, (rows, 1))
    for x in (
        rng.standard_normal((rows, columns)) * scales,
        rng.choice(whole_range(np.dtype(dtype)), (rows, columns)) / (4 * columns),  # so that no sum overflows
    ):
        x = x.astype(dtype)
        y = target_of(cls, x.shape, rng)
        loss = plain(cls, reduction="none")
        exact = reference(loss, x, y)
        value, grad = loss.value_and_grad(x, y)
        if kind_of(cls) == "labels":  # beside the rounding of the hinges
            assert_close(value, exact.value, exact.value_terms, cls.declaration.value_ulp, "value")
        else:
            assert_ulp(value, exact.value, cls.declaration.value_ulp, "value", cls.declaration.value_by_row)
        if cls.declaration.derivatives_by_row:
            assert_close(grad, exact.grad, exact.grad_terms, cls.declaration.grad_ulp, "gradient")
        else:
            assert_ulp(grad, exact.grad, cls.declaration.grad_ulp, "gradient")


@pytest.mark.parametrize("cls", [c for c in dense if c.declaration.value_by_row], ids=name)
@every_dtype
@pytest.mark.parametrize("columns", [3, 10, 100, 1000, 10007])
def test_rows_of_equal_terms(cls, dtype, columns, level):
    """As at the first step of a training: rounding that always goes the same way must not add up."""
    for p in powers_of(cls):
        for level_of_all in np.arange(0, 0.8, 0.0437 if columns <= 1000 else 0.1311):
            x = np.full((1, columns), level_of_all, dtype)
            y = np.zeros((1, columns), int) if kind_of(cls) == "unit" else [[0]] if kind_of(cls) == "labels" else [0]
            loss = plain(cls, reduction="none", p=p, margin=0.3 + level_of_all)
            exact = reference(loss, x, y)
            value, grad = loss.value_and_grad(x, y)
            assert_ulp(value, exact.value, cls.declaration.value_ulp, "value")
            assert_ulp(grad, exact.grad, cls.declaration.grad_ulp, "gradient")


@pytest.mark.parametrize("cls", [c for c in dense if "p" in parameters_of(c) and c.declaration.takes_ids], ids=name)
@every_dtype
def test_squares(cls, dtype, level):
    rng = np.random.default_rng(1)
    for columns in (2, 7, 100):
        x = (rng.standard_normal((2000, columns)) * 10.0 ** rng.integers(-6, 6, (2000, 1))).astype(dtype)
        y = target_of(cls, x.shape, rng)
        loss = cls(p=2, reduction="none")
        exact = reference(loss, x, y)
        value, grad = loss.value_and_grad(x, y)
        if kind_of(cls) == "labels":  # beside the rounding of the hinges
            assert_close(value, exact.value, exact.value_terms, cls.declaration.value_ulp, "value")
        else:
            assert_ulp(value, exact.value, cls.declaration.value_ulp, "value", cls.declaration.value_by_row)
        if cls.declaration.derivatives_by_row:
            assert_close(grad, exact.grad, exact.grad_terms, cls.declaration.grad_ulp, "gradient")
        else:
            assert_ulp(grad, exact.grad, cls.declaration.grad_ulp, "gradient")


@logistic
@every_dtype
def test_relative_accuracy_of_small_results(cls, dtype, level):
    """Where sigmoid(x) - y has no digit left: the reason for sigmoid(-x)."""
    x = np.array([[20.0], [-20.0], [40.0], [-40.0], [80.0], [-80.0]], dtype)
    y = (x > 0).astype("i8")
    value, grad = plain(cls, reduction="none").value_and_grad(x, y)
    small = np.exp(-np.abs(x).astype("longdouble"))
    assert_ulp(np.reshape(value, x.shape), np.log1p(small), cls.declaration.value_ulp, "value")
    assert_ulp(grad, np.where(y, -1, 1) * small / (1 + small), cls.declaration.grad_ulp, "gradient")


@logistic
def test_against_mpmath(cls, level):
    """float64 without long double in between."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-40, 40, 200), rng.uniform(-700, 700, 100), 10.0 ** rng.uniform(-300, 0, 50)])[
        :, None
    ]
    y = rng.integers(0, 2, x.shape)
    value, grad = plain(cls, reduction="none").value_and_grad(x, y)
    with mpmath.workdps(50):
        for xi, yi, vi, gi in zip(x.ravel(), y.ravel(), value.ravel(), grad.ravel(), strict=True):
            z = mpmath.mpf(float(-xi if yi else xi))
            exact_value, exact_grad = mpmath.log1p(mpmath.exp(z)), (-1 if yi else 1) / (1 + mpmath.exp(-z))
            for got, exact, bound in (
                (vi, exact_value, cls.declaration.value_ulp),
                (gi, exact_grad, cls.declaration.grad_ulp),
            ):
                if abs(exact) >= np.finfo(np.float64).tiny:
                    assert abs(mpmath.mpf(float(got)) - exact) <= bound * float(np.spacing(abs(float(exact)))), (xi, yi)


@every_loss
def test_reduced_float32_value(cls, level):
    """Within 1 ulp of the exact sum of the elements that reduction="none" gives."""
    rng = np.random.default_rng(3)
    for shape in [(33001, 1), (300, 100), (3, 17000), (3333, 7)]:
        for scale in (1e-3, 1.0, 1e3):
            x = (scale * rng.standard_normal(shape)).astype(np.float32)
            if takes_part_of_the_line(cls):
                x = rng.random(shape).astype(np.float32)
            y = target_of(cls, shape, rng)
            elements = plain(cls, reduction="none")(x, y)
            if not np.isfinite(elements).all():
                continue  # exponentials that float32 does not hold
            exact = math.fsum(elements.ravel().tolist())
            total, mean = plain(cls, reduction="sum")(x, y), plain(cls, reduction="mean")(x, y)
            assert abs(float(total) - exact) <= np.spacing(np.float32(abs(exact)))
            exact /= elements.size
            assert abs(float(mean) - exact) <= np.spacing(np.float32(abs(exact)))


def test_sum_of_opposites():
    """A sum that cancels is as good as its elements: they are added in float64."""
    from lossext import hinge_embedding_loss

    rng = np.random.default_rng(4)
    x = (1e4 * rng.standard_normal(100000)).astype(np.float32)
    y = np.ones_like(x)
    exact = math.fsum(x.tolist())
    assert abs(hinge_embedding_loss(x, y, reduction="sum") - exact) <= np.spacing(np.float32(abs(exact)))


@every_loss
@every_dtype
def test_denormal_inputs_are_right(cls, dtype, level):
    info = np.finfo(dtype)
    small = info.smallest_subnormal * np.arange(1, 65)
    x = np.concatenate([small, small if takes_part_of_the_line(cls) else -small]).astype(dtype).reshape(-1, 2)
    y = target_of(cls, x.shape, np.random.default_rng(5))
    exact = reference(plain(cls, reduction="none"), x, y)
    value, grad = plain(cls, reduction="none").value_and_grad(x, y)
    assert_close(value, exact.value, exact.value_terms, cls.declaration.value_ulp, "value")
    assert_close(grad, exact.grad, exact.grad_terms, cls.declaration.grad_ulp, "gradient")


@every_loss
def test_floating_point_state_is_left_alone(cls):
    """Nobody else's denormals are flushed after a call."""
    x = np.ones((40, 30), np.float32)
    cls().value_and_grad(x, target_of(cls, x.shape, np.random.default_rng(6)), n_threads=2)
    assert np.float32(2.0**-149) * np.float32(1) != 0
    assert np.float64(2.0**-1074) + np.float64(0) != 0


def test_twins_need_real_types():
    """The references round as the kernels do: float16 computes in float32, integers in float64."""
    assert [real_type(np.dtype(d)) for d in ("f2", "f4", "f8", "i4", "?")] == [np.float32] * 2 + [np.float64] * 3
    assert set(TWINS) >= {cls.__name__ for cls in dense}


@pytest.mark.parametrize("cls", dense, ids=name)
def test_float64_totals(cls):
    """Within 8 ulp of the sum of the values' sizes, beside the values' own error, on every instruction set.

    Equal values are the worst: every partial sum of theirs rounds the same way.
    """
    rng = np.random.default_rng(3)
    shape = (20_000, 3) if matrix_only(cls) else (60_000,)
    equal = target_of(cls, (1, *shape[1:]), rng)
    equal = np.broadcast_to(equal, shape[:1] if kind_of(cls) == "class" else shape)
    for x, y in ((0.7, equal), (1 / 3, equal), (rng.random(shape), target_of(cls, shape, rng))):
        x = np.full(shape, x) if isinstance(x, float) else x
        each, total = cls(reduction="none")(x, y), cls(reduction="sum")(x, y)
        bound = 8 + cls.declaration.value_ulp
        assert abs(total - math.fsum(each)) <= bound * math.ulp(math.fsum(np.abs(each)))
