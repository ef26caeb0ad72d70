"""Losses of two classes: digits over the whole range, identities, limits, kinks, domains, starts."""

import contextlib
import copy
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from twins import assert_close, reference

import lossext as lx
from lossext._kernels import drivers

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")

FOCAL = [{"gamma": gamma, "alpha": alpha} for gamma in (0.0, 0.3, 1.0, 2.0, 3.0) for alpha in (None, 0.25)]
ASYMMETRIC = [
    {},
    {"clip": 0.0},
    {"clip": 0.0, "gamma_neg": 0.0, "gamma_pos": 0.0},
    {"clip": 0.3, "gamma_neg": 1.0},
    {"clip": 1e-3},
    {"gamma_neg": 0.5, "gamma_pos": 0.5},
    {"gamma_neg": 0.0},
    {"clip": 1.0},
]
LOSSES = [
    (lx.BCELoss, {}),
    *((lx.SigmoidFocalLoss, p) for p in FOCAL),
    *((lx.AsymmetricLoss, p) for p in ASYMMETRIC),
    (lx.SoftMarginLoss, {}),
    *((lx.HingeLoss, {"margin": margin, "p": p}) for margin in (1.0, 0.3, 0.0, -0.5) for p in (1, 2)),
    (lx.ModifiedHuberLoss, {}),
    (lx.ExponentialLoss, {}),
]
each_loss = pytest.mark.parametrize(("cls", "parameters"), LOSSES, ids=lambda value: getattr(value, "__name__", ""))
logit_losses = pytest.mark.parametrize(
    "loss",
    [lx.SigmoidFocalLoss(reduction="none"), lx.AsymmetricLoss(reduction="none"), lx.ExponentialLoss(reduction="none")],
    ids=lambda loss: type(loss).__name__,
)


@contextlib.contextmanager
def instruction_set(level):
    before = drivers.isa()
    drivers.set_isa(level)
    yield
    drivers.set_isa(before)


@pytest.fixture(params=drivers.isa_levels())
def isa(request):
    with instruction_set(request.param):
        yield request.param


def predictions(cls, dtype, rng, size=700):
    if cls is lx.BCELoss:
        u = rng.random(size)
        return np.concatenate([u, 1 - u**6, 10.0 ** rng.uniform(-37, 0, size), [0, 1, 0.5]]).astype(dtype)
    far = 85 if dtype is np.float32 else 690
    x = [3 * rng.normal(size=size), rng.uniform(-far, far, size), 1e-6 * rng.normal(size=size), [0, 1, -1, 2.5e4]]
    return np.concatenate(x).astype(dtype)


def targets(cls, shape, dtype, rng, soft=False):
    y = rng.integers(0, 2, shape).astype(dtype)
    if cls.declaration.target.sign:
        return 2 * y - 1
    return np.where(rng.random(shape) < 0.3, y, rng.random(shape) ** 3).astype(dtype) if soft else y


# ---- digits


@each_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_digits(cls, parameters, dtype):
    rng = np.random.default_rng(0)
    loss, declared = cls(reduction="none", **parameters), cls.declaration
    x = predictions(cls, dtype, rng)
    for soft in (False, True) if declared.target.kind == "unit" else (False,):
        y = targets(cls, x.shape, dtype, rng, soft)
        for kind in declared.curvatures:
            twin = reference(loss, x, y, curvature=kind)
            for level in drivers.isa_levels():
                with instruction_set(level):
                    value, grad = loss.value_and_grad(x, y)
                    hess = loss.grad_and_hess(x, y, curvature=kind)[1]
                assert_close(value, twin.value, twin.value_terms, declared.value_ulp, f"value, {level}")
                assert_close(grad, twin.grad, twin.grad_terms, declared.grad_ulp, f"gradient, {level}")
                assert_close(hess, twin.hess, twin.hess_terms, 3 if declared.convex else 10, f"{kind}, {level}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label_smoothing", [1e-3, 0.1, 0.9])
@pytest.mark.parametrize(
    "loss", [lx.BCEWithLogitsLoss(), lx.SigmoidFocalLoss(alpha=0.25), lx.SigmoidFocalLoss(gamma=0.5)]
)
def test_smoothed_targets_keep_the_digits_of_both_parts(loss, label_smoothing, dtype, isa):
    """A rounded 1 - s / 2 would leave 1 - y few digits of s / 2; a target's own rounding is allowed for."""
    rng = np.random.default_rng(6)
    loss = loss._with(label_smoothing=label_smoothing, reduction="none")
    x = predictions(type(loss), dtype, rng)
    for soft in (False, True):
        y = targets(type(loss), x.shape, dtype, rng, soft)
        value, grad = loss.value_and_grad(x, y)
        twin = reference(loss, x, y)
        assert_close(value, twin.value, twin.value_terms, loss.declaration.value_ulp + 3, "value")
        assert_close(grad, twin.grad, twin.grad_terms, loss.declaration.grad_ulp + 3, "gradient")


@each_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "weighted_mean", "batchmean"])
def test_weights_and_what_is_missing(cls, parameters, reduction):
    rng = np.random.default_rng(1)
    for dtype in (np.float16, np.float32, np.float64):
        x = (rng.random((37, 5)) if cls is lx.BCELoss else 3 * rng.normal(size=(37, 5))).astype(dtype)
        y = targets(cls, x.shape, dtype, rng)
        weight, rows = rng.integers(1, 9, 5) / 8, rng.integers(1, 9, 37) / 8
        loss = cls(weight=weight, reduction=reduction, **parameters)
        known = rng.random(x.shape) < 0.7
        nan = np.where(known, y, np.nan).astype(dtype)
        worse = np.where(known, x, np.nan).astype(dtype)
        calls = [(loss, worse, y, known)]
        if "missing" in loss._parameters:
            calls.append((loss._with(missing="nan"), worse, nan, None))
        for called, given, target, mask in calls:
            value, grad = called.value_and_grad(given, target, sample_weight=rows, mask=mask)
            twin = reference(called, given, target, rows, mask=mask)
            ulp = (cls.declaration.value_ulp + 4, cls.declaration.grad_ulp + 4)
            assert_close(value, twin.value, twin.value_terms, ulp[0], "value")
            assert_close(grad, twin.grad, twin.grad_terms, ulp[1], "gradient")
            assert not grad[~known].any()


def test_small_focal_losses_keep_their_digits(isa):
    value, grad = lx.SigmoidFocalLoss(reduction="none").value_and_grad(np.float32([20, -20]), [1, 0])
    assert value == pytest.approx([8.756510e-27] * 2, rel=1e-6)
    assert grad == pytest.approx([-2.626953e-26, 2.626953e-26], rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 0.999])
def test_focal_gradients_of_small_gamma_are_finite(gamma, isa):
    x = np.concatenate([np.linspace(-2000, 2000, 4001), [np.inf, -np.inf, 1e300]])
    for dtype in (np.float32, np.float64):
        for y in (0, 1):
            grad = lx.SigmoidFocalLoss(gamma=gamma, reduction="sum").grad(x.astype(dtype), np.full(x.shape, y))
            assert np.isfinite(grad).all()


def test_asymmetric_loss_is_not_capped(isa):
    value, grad = lx.AsymmetricLoss(reduction="none").value_and_grad([-500.0, 500.0], [1, 0])
    assert value == pytest.approx([500, 0.95**4 * -math.log(0.05)], rel=1e-14)
    assert grad[0] == -1


# ---- identities


def ulp_apart(a, b):
    return np.abs(a - b) / np.finfo(a.dtype).eps / np.maximum(np.abs(b), np.finfo(a.dtype).tiny)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("loss", "same", "sign"),
    [
        (lx.SigmoidFocalLoss(gamma=0.0), lx.BCEWithLogitsLoss(), False),
        (lx.SigmoidFocalLoss(gamma=0.0, label_smoothing=0.2), lx.BCEWithLogitsLoss(label_smoothing=0.2), False),
        (lx.AsymmetricLoss(gamma_neg=0.0, gamma_pos=0.0, clip=0.0), lx.BCEWithLogitsLoss(), False),
        (lx.AsymmetricLoss(gamma_neg=2.0, gamma_pos=2.0, clip=0.0), lx.SigmoidFocalLoss(gamma=2.0), False),
        (lx.SoftMarginLoss(), lx.BCEWithLogitsLoss(), True),
    ],
    ids=["focal", "smoothed", "asymmetric", "asymmetric-focal", "soft-margin"],
)
def test_one_loss_is_another(loss, same, sign, dtype, isa):
    rng = np.random.default_rng(2)
    x = np.concatenate([3 * rng.normal(size=500), rng.uniform(-80, 80, 500)]).astype(dtype)
    y = rng.integers(0, 2, x.shape)
    loss, same = loss._with(reduction="none"), same._with(reduction="none")
    mine, theirs = loss.value_and_grad(x, 2 * y - 1 if sign else y), same.value_and_grad(x, y)
    for a, b in zip(mine, theirs, strict=True):
        assert ulp_apart(a, b).max() <= 6
    a, b = (f.grad_and_hess(x, z)[1] for f, z in ((loss, 2 * y - 1 if sign else y), (same, y)))
    assert np.all(abs(a - b) <= 16 * np.finfo(dtype).eps * np.maximum(abs(b), abs(theirs[1])))


def test_alpha_weighs_the_two_parts():
    x, y = np.linspace(-3, 3, 13), np.arange(13) % 2
    plain, weighed = (lx.SigmoidFocalLoss(alpha=a, reduction="none")(x, y) for a in (None, 0.25))
    assert weighed == pytest.approx(np.where(y == 1, 0.25, 0.75) * plain, rel=4e-16)


def test_modified_huber_is_the_squared_hinge_until_it_turns():
    x, y = np.linspace(-0.999, 5, 400), np.ones(400)
    for a, b in zip(
        lx.ModifiedHuberLoss(reduction="none").value_and_grad(x, y),
        lx.HingeLoss(p=2, reduction="none").value_and_grad(x, y),
        strict=True,
    ):
        assert np.array_equal(a, b)


def test_cross_entropy_of_probabilities_is_that_of_logits():
    x = np.linspace(-5, 5, 41)
    y = np.linspace(0, 1, 41)
    p = lx.BCEWithLogitsLoss().inverse_link(x)
    assert lx.binary_cross_entropy(p, y, reduction="none") == pytest.approx(
        lx.binary_cross_entropy_with_logits(x, y, reduction="none"), rel=1e-13
    )


# ---- limits


def answers(loss, x, y):
    value, grad = loss.value_and_grad(np.array(x), np.array(y))
    return value.tolist(), grad.tolist(), loss.grad_and_hess(np.array(x), np.array(y))[1].tolist()


INF = math.inf


@pytest.mark.parametrize(
    ("loss", "y", "value", "grad"),
    [
        (lx.SigmoidFocalLoss(), 1, [INF, 0], [-1, 0]),
        (lx.SigmoidFocalLoss(), 0, [0, INF], [0, 1]),
        (lx.SigmoidFocalLoss(), 0.5, [INF, INF], [-0.125, 0.125]),
        (lx.SigmoidFocalLoss(gamma=0.0, alpha=0.25), 1, [INF, 0], [-0.25, 0]),
        (lx.AsymmetricLoss(), 1, [INF, 0], [-1, 0]),
        (lx.AsymmetricLoss(clip=0.0), 0, [0, INF], [0, 1]),
        (lx.AsymmetricLoss(gamma_neg=0.0, clip=0.5), 0, [0, math.log(2)], [0, 0]),
        (lx.SoftMarginLoss(), 1, [INF, 0], [-1, 0]),
        (lx.SoftMarginLoss(), -1, [0, INF], [0, 1]),
        (lx.HingeLoss(), 1, [INF, 0], [-1, 0]),
        (lx.HingeLoss(p=2), -1, [0, INF], [0, INF]),
        (lx.ModifiedHuberLoss(), 1, [INF, 0], [-4, 0]),
        (lx.ExponentialLoss(), 1, [INF, 0], [-INF, 0]),
        (lx.ExponentialLoss(), 0, [0, INF], [0, INF]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, lx.losses._dense.DenseLoss) else "",
)
def test_infinite_scores(loss, y, value, grad, isa):
    got = answers(loss._with(reduction="none"), [-INF, INF], [y, y])
    assert got[0] == pytest.approx(value, rel=1e-15)
    assert got[1] == pytest.approx(grad, rel=1e-15)
    assert not np.isnan(got[2]).any()


def test_probabilities_at_the_bounds(isa):
    value, grad, hess = answers(lx.BCELoss(reduction="none"), [0.0, 0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0, 0.5])
    assert value == [0, INF, INF, 0, INF]
    assert grad == [1, -INF, INF, -1, -INF]
    assert hess == [1, INF, INF, 1, INF]
    assert lx.binary_cross_entropy(np.full(1000, 0.0), np.zeros(1000)) == 0


@each_loss
def test_nan_comes_through_where_it_is_and_nowhere_else(cls, parameters, isa):
    loss = cls(reduction="none", **parameters)
    for y in (1, -1 if cls.declaration.target.sign else 0):
        x = np.full(67, 0.25)
        x[[3, 50]] = np.nan
        value, grad = loss.value_and_grad(x, np.full(67, y))
        assert np.array_equal(np.isnan(value), np.isnan(x))
        assert np.array_equal(np.isnan(grad), np.isnan(x))
        assert np.isnan(cls(**parameters)(x, np.full(67, y)))


# ---- kinks and majorizers


def test_kinks(isa):
    for y in (1, -1):
        z = np.array([1.0])
        assert lx.HingeLoss(reduction="none").grad(y * z, [y]) == [-y]
        assert lx.HingeLoss(margin=0.0, reduction="none").grad(0 * z, [y]) == [-y]
        assert answers(lx.HingeLoss(p=2, reduction="none"), y * z, [y]) == ([0], [0], [0])
        assert answers(lx.ModifiedHuberLoss(reduction="none"), y * z, [y]) == ([0], [0], [0])
        assert answers(lx.ModifiedHuberLoss(reduction="none"), -y * z, [y]) == ([4], [-4 * y], [2])
        assert lx.HingeLoss(reduction="sum").grad_and_hess(y * z, [y], curvature="majorizer")[1] == [INF]
    assert answers(lx.AsymmetricLoss(gamma_neg=0.0, clip=0.5, reduction="none"), [0.0], [0]) == ([0], [0], [0])


@pytest.mark.parametrize(
    "loss",
    [lx.HingeLoss(), lx.HingeLoss(margin=0.3, p=2), lx.ModifiedHuberLoss(), lx.SoftMarginLoss()],
    ids=lambda loss: type(loss).__name__,
)
def test_majorizers_lie_above_and_touch(loss):
    rng = np.random.default_rng(3)
    loss = loss._with(reduction="none")
    x, y = 3 * rng.normal(size=2000), 2.0 * rng.integers(0, 2, 2000) - 1
    grad, curvature = loss.grad_and_hess(x, y, curvature="majorizer")
    value = loss(x, y)
    for scale in (0.01, 0.5, 3, 100):
        step = scale * rng.normal(size=x.shape)
        parabola = value + grad * step + curvature * step**2 / 2
        assert np.all(loss(x + step, y) <= parabola + 1e-12 * (1 + abs(parabola)))
    if type(loss) is not lx.SoftMarginLoss:  # on the other side of the kink, or of 0
        assert np.all(curvature >= loss.grad_and_hess(x, y)[1])


# ---- domains


@pytest.mark.parametrize("n_threads", [1, 2])
def test_input_outside_its_domain(n_threads, isa):
    x, y = np.full((7, 5000), 0.5, np.float32), np.ones((7, 5000))
    x[3, 17] = 1.5
    loss = lx.BCELoss()
    for call in (loss, loss.grad, loss.value_and_grad, loss.grad_and_hess):
        with pytest.raises(ValueError, match=r"input\[3, 17\] = 1\.5 is not in \[0, 1\]"):
            call(x, y, n_threads=n_threads)
    with pytest.raises(ValueError, match=r"input\[3, 17\] = 1\.5 is not in \[0, 1\]"):
        loss.value_and_grad(x, y, out=x, n_threads=n_threads)
    assert x[0, 0] == 0.5  # nothing was overwritten
    known = np.ones(x.shape, bool)
    known[3, 17] = False
    assert loss(x, y, mask=known) == pytest.approx(math.log(2))
    y[3, 17] = np.nan
    assert lx.BCELoss(missing="nan")(x, y) == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match=r"target\[3, 17\] = nan"):
        loss(x, y)


@pytest.mark.parametrize("bad", [-1e-30, 1.0000001, INF, -INF])
def test_every_bad_probability_is_found(bad):
    for dtype in (np.float32, np.float64):
        for n in (1, 2, 13, 600):
            x = np.full(n, 0.25, dtype)
            x[-1] = bad
            with pytest.raises(ValueError, match=rf"input\[{n - 1}\] = .* is not in \[0, 1\]"):
                lx.binary_cross_entropy(x, np.zeros(n))
    with pytest.raises(ValueError, match=r"input\[1\] = 2"):
        lx.binary_cross_entropy([0, 2], [1, 1])


def test_probabilities_may_be_overwritten_by_the_gradient():
    x, y = np.linspace(0.01, 0.99, 3000), np.arange(3000) % 2
    expected = lx.BCELoss().grad(x, y)
    assert np.array_equal(lx.BCELoss().grad(x, y, out=x), expected)


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (lx.SigmoidFocalLoss, {"gamma": -0.1}),
        (lx.SigmoidFocalLoss, {"gamma": math.nan}),
        (lx.SigmoidFocalLoss, {"alpha": 1.5}),
        (lx.SigmoidFocalLoss, {"label_smoothing": -0.1}),
        (lx.AsymmetricLoss, {"clip": -0.1}),
        (lx.AsymmetricLoss, {"gamma_neg": -1.0}),
        (lx.AsymmetricLoss, {"gamma_pos": INF}),
        (lx.HingeLoss, {"p": 3}),
        (lx.HingeLoss, {"margin": INF}),
    ],
)
def test_wrong_parameters(cls, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cls(**wrong)


def test_targets_of_signs_refuse_bool_and_two():
    for function in (lx.soft_margin_loss, lx.hinge_loss, lx.modified_huber_loss):
        with pytest.raises(TypeError, match="False is not -1"):
            function([1.0], [True])
        with pytest.raises(ValueError, match=r"target\[1\] = 2 is not -1 or 1"):
            function([1.0, 2.0], [1, 2])


def test_focal_losses_compare_and_pickle():
    loss = lx.SigmoidFocalLoss(alpha=0.25, gamma=1.5)
    for other in (copy.copy(loss), pickle.loads(pickle.dumps(loss)), eval(repr(loss), vars(lx))):
        assert other == loss
        assert other([0.5], [1]) == loss([0.5], [1])


# ---- starts


@pytest.mark.parametrize("ones", [0, 1, 7, 20])
@pytest.mark.parametrize(
    "loss",
    [
        lx.BCELoss(),
        lx.SigmoidFocalLoss(),
        lx.SigmoidFocalLoss(alpha=0.25, gamma=0.5),
        lx.AsymmetricLoss(),
        lx.AsymmetricLoss(gamma_neg=1.0, clip=0.3),
        lx.SoftMarginLoss(),
        lx.HingeLoss(),
        lx.HingeLoss(margin=0.3, p=2),
        lx.HingeLoss(margin=-1.0),
        lx.ModifiedHuberLoss(),
        lx.ExponentialLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_no_constant_is_lower_than_the_start(loss, ones):
    y = (np.arange(20) < ones).astype(float)
    weight = 0.5 + np.arange(20) / 10
    if loss.declaration.target.sign:
        y = 2 * y - 1
    start = loss.init_raw(y, weight)
    assert math.isfinite(start)

    def at(raw):
        return float(loss(np.full(20, raw), y, sample_weight=weight))

    # constants between those of probabilities 1e-15 and 1 - 1e-15
    reach = 17 if type(loss) is lx.ExponentialLoss else 34
    low, high = (0, 1) if loss.declaration.input_domain else (-reach, reach)
    others = np.concatenate([np.linspace(low, high, 401), np.clip(start + np.linspace(-1e-3, 1e-3, 21), low, high)])
    assert at(start) <= min(map(at, others)) * (1 + 1e-12) + 1e-14


def test_starts_by_column_and_without_weight():
    y = np.array([[1, 0, 0.5], [1, 0, 0.5], [0, 0, 0.5]])
    focal = lx.SigmoidFocalLoss(gamma=0.0).init_raw(y)
    assert focal == pytest.approx(lx.BCEWithLogitsLoss().init_raw(y), abs=1e-9)
    assert lx.SigmoidFocalLoss().init_raw([1, 0, 1], [0, 0, 0]) == 0
    smoothed = lx.SigmoidFocalLoss(gamma=0.0, label_smoothing=0.1).init_raw([1, 1, 0])
    assert smoothed == pytest.approx(lx.BCEWithLogitsLoss(label_smoothing=0.1).init_raw([1, 1, 0]))


@logit_losses
def test_links(loss):
    p = np.array([0.1, 0.5, 0.9])
    assert loss.inverse_link(loss.link(p)) == pytest.approx(p)
    y = np.array([1.0, 0.0, 1.0, 1.0])
    residual = loss.grad_and_hess(np.full(4, 0.3), y, curvature="residual")[1]
    assert residual == pytest.approx(abs(loss.inverse_link(np.full(4, 0.3)) - y))


# ---- balanced weights


def csr_of(dense):
    dense = np.asarray(dense)
    rows = [np.flatnonzero(row) for row in dense]
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.concatenate(rows)
    data = dense[np.repeat(np.arange(len(dense)), np.diff(indptr)), indices]
    return SimpleNamespace(data=data, indices=indices, indptr=indptr, shape=dense.shape, format="csr")


@pytest.mark.parametrize("loss", [lx.SigmoidFocalLoss(), lx.AsymmetricLoss(), lx.ExponentialLoss(), lx.BCELoss()])
def test_sparse_targets_are_dense_ones(loss):
    rng = np.random.default_rng(5)
    x, y = rng.random((40, 57)), (rng.random((40, 57)) < 0.1).astype(float)
    known = rng.random(40) < 0.7
    for mask in (None, known):
        dense = loss.value_and_grad(x, y, mask=None if mask is None else np.repeat(known[:, None], 57, 1))
        sparse = loss.value_and_grad(x, csr_of(y), mask=mask)
        assert dense[0] == sparse[0]
        assert np.array_equal(dense[1], sparse[1])


def test_bad_entries_of_sparse_targets_are_named():
    y = np.zeros((4, 6))
    y[1, 4], y[3, 2] = -1.0, 2.5
    x, loss = np.full((4, 6), 0.5), lx.BCEWithLogitsLoss()
    with pytest.raises(ValueError, match=r"target\[1, 4\] = -1\.0 is not in \[0, 1\]"):
        loss(x, csr_of(y))
    with pytest.raises(ValueError, match=r"target\[3, 2\] = 2\.5 is not in \[0, 1\]"):
        loss.value_and_grad(x, csr_of(y), mask=np.arange(4) != 1)
    assert loss(x, csr_of(y), mask=np.arange(4) % 2 == 0) == pytest.approx(loss(x[:2], np.zeros((2, 6))))


def test_domain_of_input_beside_sparse_targets():
    x, y = np.full((4, 3), 0.5), csr_of(np.eye(4, 3))
    x[2, 1] = 2
    with pytest.raises(ValueError, match=r"input\[2, 1\] = 2\.0 is not in \[0, 1\]"):
        lx.binary_cross_entropy(x, y)
    assert lx.BCELoss()(x, y, mask=np.arange(4) != 2) == pytest.approx(math.log(2))


def test_balanced_weights():
    y = np.array([0, 2, 2, 2, 1, 2])
    weight = lx.balanced_weights(y, 3)
    assert weight == pytest.approx([2, 2, 0.5])
    assert weight[y].sum() == pytest.approx(6)
    assert np.array_equal(lx.balanced_weights(csr_of(np.eye(3)[y]), 3), weight)
    assert np.array_equal(lx.balanced_weights(y.reshape(2, 3).astype(np.uint8), 3), weight)
    assert lx.balanced_weights([0, 0, 2], 3) == pytest.approx([0.5, 1, 1])  # a class that does not occur
    assert np.isfinite(lx.multi_margin_loss(np.zeros((6, 3)), y, weight=weight))


def test_balanced_weights_are_scikit_learns():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    y = np.random.default_rng(4).integers(0, 5, 200) // 2
    assert lx.balanced_weights(y, 3) == pytest.approx(compute("balanced", classes=np.arange(3), y=y), rel=1e-15)
    negative, positive = compute("balanced", classes=np.arange(2), y=y > 0)
    assert lx.balanced_pos_weight(y > 0) == pytest.approx(positive / negative, rel=1e-14)


def test_balanced_pos_weight():
    y = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]])
    weight = lx.balanced_pos_weight(y)
    assert np.array_equal(weight, [3, 1, 0.25, 4])
    assert np.array_equal(lx.balanced_pos_weight(csr_of(y)), weight)
    assert lx.balanced_pos_weight(y[:, 0].astype(bool)) == 3.0
    assert lx.balanced_pos_weight([0.25, 0.75, 0.5]) == pytest.approx(1)
    grad = lx.BCEWithLogitsLoss(pos_weight=weight[:2]).grad(np.zeros((4, 2)), y[:, :2])
    assert grad.sum(0) == pytest.approx([0, 0])  # both classes pull alike


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lx.balanced_weights([0, 3], 3), ValueError, r"target\[1\] = 3 is not in \[0, 3\)"),
        (lambda: lx.balanced_weights([0, -1], 3), ValueError, r"target\[1\] = -1"),
        (lambda: lx.balanced_weights([0.5], 3), TypeError, "target has dtype float64"),
        (lambda: lx.balanced_weights([0], 0), ValueError, "num_classes = 0"),
        (lambda: lx.balanced_weights(csr_of(np.eye(2)), 3), ValueError, r"target has shape \(2, 2\)"),
        (lambda: lx.balanced_weights(csr_of(-np.eye(2)), 2), ValueError, r"target\[0, 0\] = -1"),
        (lambda: lx.balanced_pos_weight([0, 2]), ValueError, r"target\[1\] = 2 is not in \[0, 1\]"),
        (lambda: lx.balanced_pos_weight([0.0, np.nan]), ValueError, r"target\[1\] = nan"),
        (lambda: lx.balanced_pos_weight(csr_of(2 * np.eye(2))), ValueError, r"target\[0, 0\] = 2"),
        (lambda: lx.balanced_pos_weight(["a"]), TypeError, "target"),
        (lambda: lx.balanced_pos_weight(1), ValueError, "target has shape"),
    ],
)
def test_what_cannot_be_balanced(call, error, message):
    with pytest.raises(error, match=message):
        call()
