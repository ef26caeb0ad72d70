"""What is particular to losses of real targets, counts and amounts: identities, limits, small losses."""

import math

import mpmath
import numpy as np
import pytest
from golden_cases import cases_of
from twins import assert_close, reference

import lossext as lx
from lossext._kernels import drivers

DTYPES = (np.float32, np.float64)
NEW = (
    "MSELoss",
    "HalfSquaredErrorLoss",
    "L1Loss",
    "SmoothL1Loss",
    "HuberLoss",
    "PseudoHuberLoss",
    "LogCoshLoss",
    "PinballLoss",
    "ExpectileLoss",
    "EpsilonInsensitiveLoss",
    "HalfPoissonLoss",
    "HalfGammaLoss",
    "HalfTweedieLoss",
    "PoissonNLLLoss",
    "KLDivLoss",
)
CASES = [pytest.param(case, id=case.id) for name in NEW for case in cases_of(name)]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(params=drivers.isa_levels())
def isa(request):
    before = drivers.isa()
    drivers.set_isa(request.param)
    yield request.param
    drivers.set_isa(before)


def same_bits(one, other, x, y, factor=1.0):
    """Value, gradient and curvature of one loss are those of another times a power of 2."""
    assert np.array_equal(one(x, y), factor * other(x, y))
    for mine, theirs in zip(one.grad_and_hess(x, y), other.grad_and_hess(x, y), strict=True):
        assert np.array_equal(mine, x.dtype.type(factor) * theirs)


def pairs(rng, dtype, n=2000):
    y = rng.normal(size=n).astype(dtype)
    return (y + rng.choice([0, 1e-4, 1, 30], size=n) * rng.normal(size=n)).astype(dtype), y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("one", "other", "factor"),
    [
        (lx.PinballLoss(quantile=0.5, reduction="none"), lx.L1Loss(reduction="none"), 0.5),
        (lx.ExpectileLoss(expectile=0.5, reduction="none"), lx.MSELoss(reduction="none"), 0.5),
        (lx.HuberLoss(delta=math.inf, reduction="none"), lx.HalfSquaredErrorLoss(reduction="none"), 1.0),
        (lx.SmoothL1Loss(beta=0.0, reduction="none"), lx.L1Loss(reduction="none"), 1.0),
        (lx.EpsilonInsensitiveLoss(epsilon=0.0, reduction="none"), lx.L1Loss(reduction="none"), 1.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_identities(one, other, factor, dtype, isa, rng):
    same_bits(one, other, *pairs(rng, dtype), factor)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("power", "other"), [(1.0, lx.HalfPoissonLoss), (2.0, lx.HalfGammaLoss)])
def test_tweedie_holds_poisson_and_gamma(power, other, dtype, rng):
    y = rng.gamma(2.0, size=2000).astype(dtype)
    x = (np.log(y) + rng.choice([1e-5, 1e-2, 1, 5], size=y.size) * rng.normal(size=y.size)).astype(dtype)
    tweedie = lx.HalfTweedieLoss(power=power, reduction="none")
    exact = reference(other(reduction="none"), x, y)
    assert_close(tweedie(x, y), exact.value, exact.value_terms, 3)
    assert_close(tweedie.grad(x, y), exact.grad, exact.grad_terms, 3)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9, 1e-13])
def test_tweedie_is_continuous_in_power(power, step, rng):
    """Including the deviance's constants, which scikit-learn leaves out, and which jump."""
    y = rng.gamma(2.0, size=500)
    x = np.log(y) + rng.normal(size=y.size)
    at = lx.half_tweedie_loss(x, y, power=power, reduction="none")
    beside = lx.half_tweedie_loss(x, y, power=power + step, reduction="none")
    np.testing.assert_allclose(beside, at, rtol=30 * step, atol=1e-18)


def test_tweedie_of_power_0_is_the_squared_error_of_the_mean():
    x, y = np.array([0.5, 1.0, -2.0, 0.0]), np.array([-1.0, 2.0, 0.0, -1e-3])
    np.testing.assert_allclose(
        lx.half_tweedie_loss(x, y, power=0.0, reduction="none"), (np.exp(x) - y) ** 2 / 2, rtol=1e-15
    )


@pytest.mark.parametrize(
    ("power", "bad", "allowed"), [(2.0, 0.0, "above 0"), (1.5, -1.0, "at least 0"), (-1.0, math.inf, "finite")]
)
def test_power_decides_which_targets_are_good(power, bad, allowed):
    with pytest.raises(ValueError, match=rf"target\[1\] = .*{allowed}"):
        lx.half_tweedie_loss([0.0, 0.0], [1.0, bad], power=power)
    assert np.isfinite(lx.half_tweedie_loss([0.0], [-1.0], power=-1.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distance", [1e-4, 1e-8, 1e-12])
def test_small_errors_keep_their_digits(distance, dtype):
    d = dtype(distance)
    for loss in (lx.LogCoshLoss(reduction="none"), lx.PseudoHuberLoss(delta=2.0, reduction="none")):
        value, grad = loss.value_and_grad([d], np.zeros(1, dtype))
        exact = reference(loss, np.array([d]), np.zeros(1, dtype))
        assert_close(value, exact.value, exact.value_terms, 2)
        assert_close(grad, exact.grad, exact.grad_terms, 3)
        assert value[0] > 0


def test_poisson_keeps_its_digits_near_the_optimum():
    """The example of those that compute y log(y / mu) - y + mu."""
    x, y = np.float32(1.609375), 5
    value = lx.half_poisson_loss(np.array([x]), [y], reduction="none")[0]
    moved = (np.nextafter(x, np.float32(0)), x, np.nextafter(x, np.float32(9)))
    exact = [float(y * mpmath.log(y) - y * mpmath.mpf(float(at)) - y + mpmath.exp(float(at))) for at in moved]
    ulp = float(np.spacing(value))
    assert min(exact) - 3 * ulp <= value <= max(exact) + 3 * ulp


def test_several_quantiles():
    levels = [0.1, 0.5, 0.9]
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).normal(size=40)
    loss = lx.PinballLoss(quantile=levels, reduction="none")
    expected = np.stack([lx.pinball_loss(x[:, k], y, quantile=q, reduction="none") for k, q in enumerate(levels)], 1)
    assert np.array_equal(loss(x, y), expected)
    assert loss.divisor(y) == 1
    assert lx.PinballLoss(quantile=levels).divisor(y) == 120
    np.testing.assert_allclose(lx.PinballLoss(quantile=levels)(x, y), expected.mean(), rtol=1e-15)
    starts = [lx.PinballLoss(quantile=q).init_raw(y) for q in levels]
    assert loss.init_raw(y).tolist() == starts
    with pytest.raises(ValueError, match=r"\(40, 2\)"):
        loss(x[:, :2], y)
    with pytest.raises(ValueError, match=r"quantile\[1\]"):
        lx.PinballLoss(quantile=[0.5, 1.0])


def test_several_expectiles_start_where_each_is_least():
    y = np.random.default_rng(1).normal(size=50)
    starts = lx.ExpectileLoss(expectile=[0.2, 0.5]).init_raw(y)
    assert starts[1] == pytest.approx(y.mean(), rel=1e-12)
    assert abs(lx.ExpectileLoss(expectile=0.2, reduction="sum").grad(np.full(50, starts[0]), y).sum()) < 1e-12


@pytest.mark.parametrize(
    "loss",
    [
        lx.HuberLoss(delta=0.5),
        lx.SmoothL1Loss(beta=0.5),
        lx.SmoothL1Loss(beta=0.0),
        lx.PseudoHuberLoss(delta=0.5),
        lx.LogCoshLoss(),
        lx.ExpectileLoss(expectile=0.8),
        lx.EpsilonInsensitiveLoss(epsilon=0.3),
        lx.EpsilonInsensitiveLoss(epsilon=0.3, p=2),
        lx.L1Loss(),
        lx.MSELoss(),
        lx.PinballLoss(quantile=0.3),
        lx.HalfPoissonLoss(),
        lx.HalfGammaLoss(),
        lx.HalfTweedieLoss(power=1.2),
        lx.PoissonNLLLoss(),
        lx.PoissonNLLLoss(log_input=False),
    ],
    ids=repr,
)
def test_no_constant_beside_the_start_is_better(loss, rng):
    y, weight = rng.gamma(2.0, size=101), rng.uniform(0.5, 2, size=101)
    start = loss.init_raw(y, weight)

    def at(raw):
        return loss(np.full(y.shape, raw), y, sample_weight=weight)

    assert at(start) <= min(at(start + step) for step in (-1e-3, 1e-3, -0.1, 0.1)) * (1 + 1e-15)


def test_a_negative_mean_is_an_error():
    loss = lx.PoissonNLLLoss(log_input=False)
    with pytest.raises(ValueError, match=r"input\[1\] = -1.0 is not at least 0"):
        loss([1.0, -1.0], [1, 1])
    assert np.isfinite(loss([1.0, -1.0], [1, 1], mask=[True, False]))
    assert np.isnan(loss([1.0, math.nan], [1, 1]))
    assert np.isfinite(lx.PoissonNLLLoss()([1.0, -1.0], [1, 1]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_factorial(dtype, isa):
    y = np.concatenate([np.arange(60), np.geomspace(1e-30, 1e30, 400), np.linspace(0, 12, 500)]).astype(dtype)
    got = drivers.vector_function("log_factorial", y)
    with mpmath.workdps(60):
        exact = [mpmath.loggamma(mpmath.mpf(float(v)) + 1) for v in y]
        error = [abs(mpmath.mpf(float(g)) - e) / (abs(e) or 1) for g, e in zip(got, exact, strict=True)]
    assert max(error) <= 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    if case.refused or "ref_loss" not in case.arrays or "t:out" in case.tags:
        return
    x, y, upstream = (case.arrays[key] for key in ("input", "target", "grad_output"))
    params = {**case.params}
    loss = getattr(lx, case.name)(**params)
    keep = ~loss._target.is_bad(y)  # the reference lets targets pass that are errors here
    if not keep.all():
        if case.params["reduction"] != "none" or ("weight" in params and np.ndim(params["weight"])):
            return
        x, y = np.broadcast_arrays(x, y)
        x, y, upstream = x[keep], y[keep], np.broadcast_to(upstream, keep.shape)[keep]
    if upstream.ndim and loss.reduction != "none":
        upstream = upstream.reshape(())
    value, grad = loss.value_and_grad(x, y, grad_output=upstream)
    hess = loss.grad_and_hess(x, y, grad_output=upstream)[1]
    eps = float(np.finfo(np.float16 if case.dtype == "float16" else case.dtype).eps)
    exact = reference(loss, x, y, grad_output=upstream, parameter_type=np.float64)
    for key, got, size in (
        ("ref_loss", value, exact.value_terms),
        ("ref_grad_input", grad, exact.grad_terms),
        ("ref_hess", hess, exact.hess_terms),
    ):
        if key not in case.arrays:
            continue
        expected = case.arrays[key]
        if not keep.all():
            expected = expected[keep]
        with np.errstate(all="ignore"):
            # parameters are rounded to the type of the computation; curvatures have no bound of their own
            bound = (60 if key == "ref_hess" else 12) * eps * np.asarray(size, np.float64) + 60 * eps * abs(expected)
            bound = bound + 2 * float(np.finfo(case.dtype).tiny)
            fine = (abs(got - expected) <= bound) | (np.isnan(got) & np.isnan(expected)) | (got == expected)
            fine |= np.isinf(got) & (abs(expected) > np.finfo(case.dtype).max) & (np.sign(got) == np.sign(expected))
        if key == "ref_hess" and "nonfinite" in case.tags:
            fine |= ~np.isfinite(x)
        if case.name == "KLDivLoss":  # a target of log 0 counts 0 whatever the prediction
            fine |= np.isneginf(x) & np.isneginf(y)
        assert fine.all(), f"{key}: {got[~fine]} for {expected[~fine]} at {x[~fine] if x.shape == fine.shape else x}"


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_missing_is_not_read(name, dtype, isa, rng):
    x, y = rng.uniform(0.1, 3, size=(2, 7, 331)).astype(dtype)
    known = rng.random(x.shape) < 0.7
    for reduction in ("none", "mean", "sum", "weighted_mean", "batchmean"):
        loss = getattr(lx, name)(reduction=reduction, missing="nan")
        results = []
        for filler in (0.5, math.nan, math.inf, -math.inf, 1e38):
            at, missing = np.where(known, x, dtype(filler)), np.where(known, y, dtype(math.nan))
            weight = np.linspace(0.5, 2, x.shape[0]).astype(dtype)
            value, grad = loss.value_and_grad(at, missing, sample_weight=weight)
            hess = loss.grad_and_hess(at, missing, sample_weight=weight)[1]
            plain = type(loss)(reduction=reduction)
            masked = plain.value_and_grad(at, np.where(known, y, dtype(-5)), sample_weight=weight, mask=known)
            assert np.array_equal(value, masked[0])
            assert np.array_equal(grad, masked[1])
            assert not grad[~known].any()
            results.append((value, grad, hess))
        for other in results[1:]:
            assert all(map(np.array_equal, results[0], other))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target_dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 3000])
def test_targets_outside_the_domain_are_not_missing(dtype, target_dtype, n, isa):
    for name, worse in (
        ("BCEWithLogitsLoss", 5.0),
        ("BCEWithLogitsLoss", -1.0),
        ("MSELoss", math.inf),
    ):
        x, y, mask = np.ones(n, dtype), np.ones(n, target_dtype), np.arange(n) != n - 2
        y[1] = math.nan
        for loss in (getattr(lx, name)(missing="nan"), getattr(lx, name)(missing="nan", reduction="sum")):
            y[n - 2] = worse
            for call in (loss, loss.grad, loss.value_and_grad):
                with pytest.raises(ValueError, match=rf"target\[{n - 2}\]"):
                    call(x, y)
                call(x, y, mask=mask)
            y[n - 2] = math.nan
            assert loss.grad(x, y)[n - 2] == 0
            with pytest.raises(ValueError, match=r"target\[1\]"):
                type(loss)().value_and_grad(x, y, mask=mask)


def test_targets_a_little_beyond_a_bound_in_their_own_type(isa):
    x = np.zeros(3)
    for kind in DTYPES:
        y = np.array([1 + 2 * np.finfo(kind).eps, -np.finfo(kind).eps, 0.5], kind)
        np.testing.assert_array_equal(lx.BCEWithLogitsLoss().grad(x, y), lx.BCEWithLogitsLoss().grad(x, [1, 0, 0.5]))


@pytest.mark.parametrize("n", [7, 300, 5000, 20_011])
def test_counts_of_what_is_known(n, isa, rng):
    x, y = rng.normal(size=(2, n))
    bits = rng.integers(0, 256, n, np.uint8) * (rng.random(n) < 0.9)
    true = bits > 0  # a byte other than 0 and 1 is true, too
    masks = (
        (bits.view(bool), true),
        (true, true),
        (np.ones(n, bool), np.ones(n, bool)),
        (np.zeros(n, bool), np.zeros(n, bool)),
    )
    for missing, target in (("error", y), ("nan", np.where(rng.random(n) < 0.8, y, math.nan))):
        for mask, known in masks:
            known = known & ~np.isnan(target)
            loss, count = lx.L1Loss(missing=missing), known.sum()
            value, grad = loss.value_and_grad(x, target, mask=mask)
            assert loss.divisor(target, mask=mask) == count
            np.testing.assert_array_equal(grad, np.where(known, np.sign(x - target) / max(count, 1), 0))
            np.testing.assert_equal(loss(x, target, mask=mask), value)
            assert value == pytest.approx(np.abs(x - target)[known].sum() / count if count else math.nan, nan_ok=True)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_reductions_against_twins(name, dtype, isa, rng):
    x, y = rng.uniform(0.1, 3, size=(2, 13, 37)).astype(dtype)
    weight, each, sample = (rng.uniform(0.5, 2, size=s).astype(dtype) for s in (37, (13, 37), 13))
    mask = rng.random(x.shape) < 0.8
    for reduction in ("none", "mean", "sum", "weighted_mean", "batchmean"):
        loss = getattr(lx, name)(reduction=reduction, weight=weight)
        for given in (mask, None):
            call = {"sample_weight": sample, "element_weight": each, "mask": given}
            for curvature in loss.declaration.curvatures:
                exact = reference(loss, x, y, curvature=curvature, **call)
                grad, hess = loss.grad_and_hess(x, y, curvature=curvature, **call)
                assert_close(hess, exact.hess, exact.hess_terms, 12, curvature)
            value = loss(x, y, **call)
            assert_close(np.asarray(value), exact.value, exact.value_terms, loss.declaration.value_ulp + 5, "value")
            assert_close(grad, exact.grad, exact.grad_terms, loss.declaration.grad_ulp + 5, "grad")
