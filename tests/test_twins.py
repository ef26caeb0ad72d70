"""Twins by themselves: other curvatures, identities between losses, and what `reference` makes of weights and masks."""

import numpy as np
import pytest
from jets import EXTENDED, Jet, wide
from twins import FISHER, MAJORIZERS, RESIDUALS, TWINS, Parameters, Twin, loss_like, reference

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")

# parameters of each loss, some of its targets
ELEMENTS = [
    ("MSELoss", {}, "real"),
    ("HalfSquaredErrorLoss", {}, "real"),
    ("L1Loss", {}, "real"),
    ("SmoothL1Loss", {"beta": 0.75}, "real"),
    ("SmoothL1Loss", {"beta": 0.0}, "real"),
    ("HuberLoss", {"delta": 1.25}, "real"),
    ("PseudoHuberLoss", {"delta": 0.5}, "real"),
    ("LogCoshLoss", {}, "real"),
    ("PinballLoss", {"quantile": 0.9}, "real"),
    ("ExpectileLoss", {"expectile": 0.2}, "real"),
    ("EpsilonInsensitiveLoss", {"epsilon": 0.5, "p": 1}, "real"),
    ("EpsilonInsensitiveLoss", {"epsilon": 0.5, "p": 2}, "real"),
    ("HalfPoissonLoss", {}, "positive"),
    ("HalfGammaLoss", {}, "positive"),
    ("HalfTweedieLoss", {"power": 1.7}, "positive"),
    ("HalfTweedieLoss", {"power": 2.6}, "positive"),
    ("HalfTweedieLoss", {"power": -0.5}, "real"),
    ("PoissonNLLLoss", {"log_input": True, "full": True, "eps": 1e-8}, "positive"),
    ("BCEWithLogitsLoss", {"pos_weight": 2.5, "label_smoothing": 0.1}, "unit"),
    ("MultiLabelSoftMarginLoss", {}, "unit"),
    ("SigmoidFocalLoss", {"gamma": 1.5, "alpha": 0.3}, "unit"),
    ("AsymmetricLoss", {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}, "unit"),
    ("SoftMarginLoss", {}, "sign"),
    ("HingeLoss", {"margin": 1.0, "p": 1}, "sign"),
    ("HingeLoss", {"margin": 0.5, "p": 2}, "sign"),
    ("ModifiedHuberLoss", {}, "sign"),
    ("ExponentialLoss", {}, "unit"),
    ("HingeEmbeddingLoss", {"margin": 0.75}, "sign"),
    ("KLDivLoss", {"log_target": False}, "positive"),
]
TARGETS = {
    "real": [-1.5, 0.0, 0.3, 2.0],
    "positive": [0.125, 0.3, 1.0, 7.0],
    "unit": [0.0, 0.25, 1.0],
    "sign": [-1.0, 1.0],
}
ROW_LOSSES = [
    ("CrossEntropyLoss", {"temperature": 1.5}),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": np.array([1.0, 0.5, 2.0, 1.0, 3.0])}),
    ("NLLLoss", {}),
    ("SoftmaxFocalLoss", {"gamma": 1.5}),
    ("MulticlassHingeLoss", {"margin": 1.0}),
    ("MulticlassHingeLoss", {"margin": -0.5}),
    ("MultiMarginLoss", {"margin": 1.0, "p": 1}),
    ("MultiMarginLoss", {"margin": 0.5, "p": 2}),
    ("MultiLabelMarginLoss", {}),
]
named = {"ids": lambda value: value if isinstance(value, str) else ""}


def run(name, parameters, x, y, curvature="exact"):
    """The twin's value of each element or row, with its derivatives."""
    loss = loss_like(name, reduction="none", **parameters)
    if name != "MultiLabelSoftMarginLoss":
        return reference(loss, x, y, curvature=curvature)
    rows = reference(loss, x[:, np.newaxis], y[:, np.newaxis], curvature=curvature)
    return Twin(*(part.reshape(x.shape) for part in rows))


def row_targets(name, rng, rows, columns):
    if name != "MultiLabelMarginLoss":
        return rng.integers(0, columns, rows)
    chosen = rng.random((rows, columns)).argsort(1)
    return np.where(np.arange(columns) < rng.integers(0, 3, (rows, 1)), chosen, -1)


# ---- derivatives: jets are right by test_jets, this is whether twins use them rightly


@pytest.mark.parametrize(("name", "parameters", "kind"), ELEMENTS, **named)
def test_derivatives_of_elements(name, parameters, kind):
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-3.0517, 3.1173, 23), TARGETS[kind]))
    step = 1e-4
    twin, right, left = (run(name, parameters, a, y) for a in (x, x + step, x - step))
    rounding = 1e-6 * (1 + abs(twin.value))  # of the third and fourth derivatives
    assert np.all(abs((right.value - left.value) / (wide(x + step) - (x - step)) - twin.grad) <= rounding)
    assert np.all(abs((right.grad - left.grad) / (wide(x + step) - (x - step)) - twin.hess) <= 10 * rounding)


@pytest.mark.parametrize(("name", "parameters"), ROW_LOSSES, **named)
def test_derivatives_of_rows(name, parameters):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), row_targets(name, rng, 40, 5)
    step, twin = 1e-5, run(name, parameters, x, y)
    for c in range(5):
        right, left = (run(name, parameters, x + sign * step * (np.arange(5) == c), y) for sign in (1, -1))
        assert np.allclose(
            (right.value - left.value).astype(float) / (2 * step), twin.grad[:, c].astype(float), atol=1e-7
        )
        assert np.allclose(
            (right.grad - left.grad)[:, c].astype(float) / (2 * step), twin.hess[:, c].astype(float), atol=1e-7
        )


# ---- other curvatures


CONVEX_ELEMENTS = [e for e in ELEMENTS if e[0] in MAJORIZERS or e[0] in ("MSELoss", "HalfSquaredErrorLoss")]


@pytest.mark.parametrize(("name", "parameters", "kind"), CONVEX_ELEMENTS, **named)
def test_majorizers_are_the_lowest_parabolas_above(name, parameters, kind):
    steps = np.concatenate([np.geomspace(1e-3, 1e5, 1500), np.linspace(1e-3, 12, 2500)])
    steps = np.concatenate([-steps, steps])
    for y in TARGETS[kind]:
        for x in (-4.2, -1.3, -0.4, 0.0, 0.1, 0.9, 2.75, 6.5):
            here = run(name, parameters, np.array([x]), np.array([y]), "majorizer")
            there = x + steps
            exact_steps = wide(there) - x
            rise = run(name, parameters, there, np.full(there.shape, y)).value - here.value - here.grad * exact_steps
            needed = (2 * rise / exact_steps**2).max()
            rounding = 1e-9 if EXTENDED else 1e-6
            assert needed <= here.hess * (1 + rounding) + rounding, (x, y)
            if np.isfinite(here.hess):
                assert needed >= 0.995 * here.hess - 1e-9, (x, y)


@pytest.mark.parametrize(("name", "parameters"), [r for r in ROW_LOSSES if r[0] in MAJORIZERS], **named)
def test_majorizers_of_rows_lie_above(name, parameters):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(400, 5)), row_targets(name, rng, 400, 5)
    here = run(name, parameters, x, y, "majorizer")
    for scale in (1e-2, 0.3, 1.0, 4.0, 100.0):
        for _ in range(20):
            there = x + scale * rng.normal(size=x.shape) * (rng.random(x.shape) < 0.6)
            step = wide(there) - x
            parabola = here.value + (here.grad * step + here.hess * step**2 / 2).sum(1)
            assert np.all(run(name, parameters, there, y).value <= parabola + 1e-12)


def test_majorizers_at_kinks_are_infinite():
    for name, parameters, x, y in (
        ("L1Loss", {}, 1.0, 1.0),
        ("PinballLoss", {"quantile": 0.3}, 1.0, 1.0),
        ("SmoothL1Loss", {"beta": 0.0}, 1.0, 1.0),
        ("EpsilonInsensitiveLoss", {"epsilon": 0.5, "p": 1}, 1.5, 1.0),
        ("HingeLoss", {"margin": 1.0, "p": 1}, -1.0, -1.0),
        ("HingeEmbeddingLoss", {"margin": 1.0}, 1.0, -1.0),
    ):
        assert np.isposinf(run(name, parameters, np.array([x]), np.array([y]), "majorizer").hess)


def test_fisher_is_the_curvature_at_the_mean():
    """Second derivatives are linear in the target, so the expected one is that at the expected target."""
    raw = np.linspace(-3, 3, 13)
    for name, parameters, x, mean in (
        ("HalfGammaLoss", {}, raw, np.exp(raw)),
        ("HalfTweedieLoss", {"power": 1.3}, raw, np.exp(raw)),
        ("HalfTweedieLoss", {"power": 3.0}, raw, np.exp(raw)),
        ("PoissonNLLLoss", {"log_input": True, "full": False, "eps": 0.25}, raw, np.exp(raw)),
        ("PoissonNLLLoss", {"log_input": False, "full": False, "eps": 0.25}, raw**2, raw**2 + 0.25),
        ("BCELoss", {}, np.linspace(0.1, 0.9, 9), np.linspace(0.1, 0.9, 9)),
    ):
        assert name in FISHER
        fisher = run(name, parameters, x, np.ones_like(x), "fisher").hess.astype(float)
        assert np.allclose(fisher, run(name, parameters, x, mean).hess.astype(float), rtol=1e-13)


def test_residuals():
    x = np.linspace(-4, 4, 9)
    p = 1 / (1 + np.exp(-x))
    for name, parameters in (
        ("BCEWithLogitsLoss", {}),
        ("SigmoidFocalLoss", {"gamma": 2.0}),
        ("AsymmetricLoss", {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}),
    ):
        for y in (0.0, 0.25, 1.0):
            residual = run(name, parameters, x, np.full(9, y), "residual").hess.astype(float)
            assert np.allclose(residual, abs(p - y), rtol=1e-14)
    for y in (-1, 1):
        assert np.allclose(run("SoftMarginLoss", {}, x, np.full(9, y), "residual").hess.astype(float), abs(p - (y > 0)))
    half = run("ExponentialLoss", {}, x / 2, np.full(9, 0.25), "residual").hess.astype(float)
    assert np.allclose(half, abs(p - 0.25), rtol=1e-14)
    rows, ids = np.random.default_rng(2).normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    share = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    for name, parameters in (("CrossEntropyLoss", {}), ("SoftmaxFocalLoss", {"gamma": 2.0})):
        residual = run(name, parameters, rows, ids, "residual").hess.astype(float)
        assert np.allclose(residual, abs(share - np.eye(4)[ids]), rtol=1e-13)
    assert set(RESIDUALS) | set(MAJORIZERS) | set(FISHER) <= set(TWINS)


# ---- identities


def same(a, b, factor=1.0):
    for field in ("value", "grad", "hess"):
        left, right = getattr(a, field), factor * getattr(b, field)
        assert np.all(abs(left - right) <= 1e-17 + 1e-15 * abs(right)), field


def test_identities():
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-3, 3, 13), [0.25, 1.0, 2.0]))
    none = {"weight": None}
    same(run("PinballLoss", {"quantile": 0.5}, x, y), run("L1Loss", none, x, y), 0.5)
    same(run("ExpectileLoss", {"expectile": 0.5}, x, y), run("MSELoss", none, x, y), 0.5)
    same(run("HuberLoss", {"delta": np.inf}, x, y), run("HalfSquaredErrorLoss", none, x, y))
    same(run("SmoothL1Loss", {"beta": 0.0}, x, y), run("L1Loss", none, x, y))
    same(run("HalfTweedieLoss", {"power": 1}, x, y), run("HalfPoissonLoss", none, x, y))
    same(run("HalfTweedieLoss", {"power": 2}, x, y), run("HalfGammaLoss", none, x, y))
    for power in (1.0, 2.0):
        for other in (power - 1e-9, power + 1e-9):
            if other >= 1:
                a, b = (run("HalfTweedieLoss", {"power": p}, x, y) for p in (power, other))
                assert np.allclose(a.value.astype(float), b.value.astype(float), rtol=1e-7)
    y = np.round(y / 2)
    bce = run("BCEWithLogitsLoss", none, x, y)
    same(run("SigmoidFocalLoss", {"gamma": 0.0}, x, y), bce)
    same(run("AsymmetricLoss", {"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0}, x, y), bce)
    same(run("SoftMarginLoss", none, x, 2 * y - 1), bce)
    rows, ids = np.random.default_rng(3).normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    by_id = run("CrossEntropyLoss", none, rows, ids)
    same(run("CrossEntropyLoss", none, rows, np.eye(4)[ids]), by_id)
    same(run("SoftmaxFocalLoss", {"gamma": 0.0}, rows, ids), by_id)
    smoothed = 0.8 * np.eye(4)[ids] + 0.05
    same(run("CrossEntropyLoss", {"label_smoothing": 0.2}, rows, ids), run("CrossEntropyLoss", none, rows, smoothed))
    single = np.where(np.arange(4) == 0, ids[:, None], -1)
    same(run("MultiLabelMarginLoss", none, rows, single), run("MultiMarginLoss", {"margin": 1.0, "p": 1}, rows, ids))


def test_deviances_are_never_negative():
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-6, 6, 400), [1e-3, 0.5, 1.0, 20.0]))
    near = np.log(y) + 1e-12 * x
    for power in (-2.0, 0.0, 1.0, 1.2, 1.999, 2.0, 2.5, 4.0):
        for scores in (x, near):
            assert np.all(run("HalfTweedieLoss", {"power": power}, scores, y).value >= 0)


# ---- what holds for all losses


def numbers(twin):
    return [np.asarray(part).astype(float) for part in twin[:3]]


def test_reductions_and_divisors():
    rng = np.random.default_rng(4)
    x, y, w, s = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.random((5, 3)), rng.random(5)
    each = numbers(run("MSELoss", {"weight": w}, x, y))[0] * s[:, None]
    divisors = {"sum": 1, "mean": 15, "batchmean": 5, "weighted_mean": (w * s[:, None]).sum()}
    for reduction, divisor in divisors.items():
        loss = loss_like("MSELoss", weight=w, reduction=reduction)
        value, grad, hess = numbers(reference(loss, x, y, s, 2.0))
        assert np.allclose(value, each.sum() / divisor)
        assert np.allclose(grad, 2 * 2 * (x - y) * w * s[:, None] / divisor)
        assert np.allclose(hess, 2 * 2 * w * s[:, None] / divisor)
    twice = reference(loss_like("MSELoss", weight=w, reduction="mean"), x, y, element_weight=w)
    assert np.allclose(numbers(twice)[0], ((x - y) ** 2 * w**2).mean())


def test_row_weights_and_divisors():
    rng = np.random.default_rng(5)
    x, ids, s, w = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 9]), rng.random(6), np.array([1.0, 2, 0.5, 0])
    plain = numbers(run("CrossEntropyLoss", {}, x[:5], ids[:5]))[0] * s[:5]
    for reduction, divisor in (("mean", 4.5), ("sum", 1), ("batchmean", 6), ("weighted_mean", w[ids[:5]] @ s[:5])):
        loss = loss_like("CrossEntropyLoss", weight=w, reduction=reduction, ignore_index=9)
        value, grad, _ = numbers(reference(loss, x, ids, s))
        assert np.allclose(value, w[ids[:5]] @ plain / divisor)
        assert not grad[5].any()
    focal = loss_like("SoftmaxFocalLoss", gamma=0.0, weight=w)
    assert np.allclose(numbers(reference(focal, x[:5], ids[:5], s[:5]))[0], w[ids[:5]] @ plain / 5)


def test_nothing_known():
    x, y = np.ones((2, 3)), np.zeros((2, 3))
    for reduction, value in (("sum", 0), ("mean", np.nan), ("weighted_mean", np.nan)):
        twin = reference(loss_like("L1Loss", reduction=reduction), x, y, mask=np.zeros((2, 3), bool))
        assert np.array_equal(twin.value, value, equal_nan=True)
        assert not twin.grad.any()
    weights = loss_like("L1Loss", weight=0.0, reduction="weighted_mean")
    assert np.isnan(reference(weights, x, y).value)
    assert not reference(weights, x, y).grad.any()


@pytest.mark.parametrize(("name", "parameters", "kind"), ELEMENTS, **named)
@pytest.mark.parametrize("way", ["mask", "nan"])
def test_missing_elements_are_not_read(name, parameters, kind, way):
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(4, 5)), rng.choice(TARGETS[kind], (4, 5))
    known = rng.random((4, 5)) < 0.6
    known[2], known[1] = False, True
    loss = loss_like(name, reduction="mean", missing="nan" if way == "nan" else "error", **parameters)
    results = []
    for junk in (0.0, np.nan, np.inf, 1e38):
        target = np.where(known, y, np.nan if way == "nan" else junk)
        mask = None if way == "nan" else known
        results.append(reference(loss, np.where(known, x, junk), target, mask=mask))
    for result in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], result, strict=True))
    assert not results[0].grad[~known].any()
    if name == "MultiLabelSoftMarginLoss":
        rows = [run(name, parameters, x[n, k], y[n, k]).value.mean() for n, k in enumerate(known) if k.any()]
        assert np.allclose(float(results[0].value), np.mean(rows).astype(float))
    else:
        each = run(name, parameters, x, y)
        assert np.allclose(float(results[0].value), float(each.value[known].mean()))
        assert np.allclose(results[0].grad.astype(float) * known.sum(), (each.grad * known).astype(float))


@pytest.mark.parametrize(("name", "parameters"), ROW_LOSSES, **named)
def test_masked_rows_are_not_read(name, parameters):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(6, 5)), row_targets(name, rng, 6, 5)
    known = np.array([True, False, True, True, False, True])
    loss = loss_like(name, reduction="mean", **parameters)
    results = []
    for junk in (0.0, np.nan, np.inf):
        rows = known.reshape(-1, *[1] * (y.ndim - 1))
        results.append(reference(loss, np.where(known[:, None], x, junk), np.where(rows, y, 77), mask=known))
    for result in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], result, strict=True))
    alone = reference(loss, x[known], y[known])
    assert np.allclose(float(results[0].value), float(alone.value))
    assert np.allclose(results[0].grad[known].astype(float), alone.grad.astype(float))


def test_classes_along_axis_1():
    rng = np.random.default_rng(8)
    x, ids = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    flat, flat_ids = np.moveaxis(x, 1, -1).reshape(-1, 3), ids.reshape(-1)
    mask = rng.random((2, 4, 5)) < 0.7
    for parameters in ({}, {"weight": np.array([1.0, 2.0, 0.5]), "label_smoothing": 0.1}):
        loss = loss_like("CrossEntropyLoss", **parameters)
        many, rows = reference(loss, x, ids, mask=mask), reference(loss, flat, flat_ids, mask=mask.reshape(-1))
        assert many.value == rows.value
        assert np.array_equal(np.moveaxis(many.grad, 1, -1).reshape(-1, 3), rows.grad)
    soft = np.moveaxis(np.eye(3)[ids], -1, 1)
    many = reference(loss_like("CrossEntropyLoss", reduction="none"), x, soft, rng.random(2))
    assert many.value.shape == (2, 4, 5)
    assert many.grad.shape == x.shape


def test_several_outputs_of_one_target():
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=6)
    for name, parameter in (("PinballLoss", "quantile"), ("ExpectileLoss", "expectile")):
        loss = loss_like(name, **{parameter: [0.1, 0.5, 0.9]})
        twin = reference(loss, x, y, mask=np.arange(6) != 2)
        for column, level in enumerate((0.1, 0.5, 0.9)):
            alone = run(name, {parameter: level}, x[:, column], y)
            expected = np.where(np.arange(6) == 2, 0, alone.grad) / 15
            assert np.allclose(twin.grad[:, column].astype(float), expected.astype(float))


class Csr:
    """As much of a CSR matrix as is asked for here."""

    indptr = None

    def __init__(self, dense):
        self.dense = dense

    def toarray(self):
        return self.dense


def test_csr_targets():
    rng = np.random.default_rng(10)
    x, dense = rng.normal(size=(5, 4)), (rng.random((5, 4)) < 0.4).astype(float)
    known = np.array([True, True, False, True, True])
    for name in ("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss"):
        loss = loss_like(name)
        sparse = reference(loss, x, Csr(dense), mask=known)
        full = reference(loss, x, dense, mask=np.repeat(known[:, None], 4, 1))
        assert all(np.array_equal(a, b) for a, b in zip(sparse, full, strict=True))
    ids = np.full((5, 4), -1)
    for n, row in enumerate(dense):
        ids[n, : int(row.sum())] = np.flatnonzero(row)
    loss = loss_like("MultiLabelMarginLoss")
    assert all(
        np.array_equal(a, b) for a, b in zip(reference(loss, x, Csr(dense)), reference(loss, x, ids), strict=True)
    )


def test_broadcasting_is_undone():
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(3, 1)), np.array([[1, -1, 1, -1]])
    loss = loss_like("HingeEmbeddingLoss", margin=1.0)
    twin, full = reference(loss, x, y), reference(loss, np.repeat(x, 4, 1), np.repeat(y, 3, 0))
    assert twin.value == full.value
    assert np.allclose(twin.grad.astype(float), full.grad.sum(1, keepdims=True).astype(float))


def test_parameters_are_rounded_to_the_input_s_type():
    x = np.array([1.0], np.float32)
    assert reference(loss_like("HuberLoss", delta=0.1), x, [0.0]).grad == wide(np.float32(0.1))
    assert reference(loss_like("HuberLoss", delta=0.1), x.astype(float), [0.0]).grad == wide(0.1)
    p = Parameters(loss_like("PoissonNLLLoss", full=True, alpha=None), np.float32)
    assert p.full is True
    assert p.alpha is None


def test_targets_just_beyond_the_unit_interval_count_as_its_ends():
    x = np.array([2.0, -1.0])
    exact, beyond = (run("BCEWithLogitsLoss", {}, x, np.array(y)) for y in ([1.0, 0.0], [1 + 4e-16, -4e-16]))
    assert np.array_equal(exact.value, beyond.value)


def test_sizes_bound_what_rounding_does():
    """float32's own arithmetic, formula by formula, stays within a few ulp of the sizes."""
    x = np.random.default_rng(12).normal(size=1000).astype(np.float32)
    y = np.float32(0.3)
    e = np.exp(x)
    for name, parameters, value in (
        ("PoissonNLLLoss", {"log_input": True, "full": False, "eps": 1e-8}, e - y * x),
        ("KLDivLoss", {"log_target": False}, y * (np.log(y) - x)),
        ("EpsilonInsensitiveLoss", {"epsilon": 0.1, "p": 1}, np.maximum(0, abs(x - y) - np.float32(0.1))),
    ):
        twin = run(name, parameters, x, np.full_like(x, y))
        assert np.all(abs(value - twin.value) <= 2 * np.finfo(np.float32).eps * twin.value_terms)


def test_rows_have_one_value():
    x = Jet.variable(np.zeros((2, 3)))
    for name, given in ROW_LOSSES:
        parameters = given | {"weight": None}
        y = np.full((2, 3), -1) if name == "MultiLabelMarginLoss" else np.zeros(2, int)
        assert TWINS[name](x, y, Parameters(loss_like(name, **parameters), float)).value.shape == (2, 1)
