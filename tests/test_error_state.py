"""What the caller has told NumPy to do about overflow, and Python about warnings, changes nothing."""

import itertools
import warnings

import numpy as np
import pytest
from cases import parameters_of, values_of

import lossext as lx
from lossext import samplers

TINY = {"f2": 6e-8, "f4": 1e-45, "f8": 5e-324}
HUGE = {"f2": 6e4, "f4": 3e38, "f8": 1.7e308}


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def tried(call, *arguments, **keywords):
    """The call, in which an argument may be refused."""
    try:
        return call(*arguments, **keywords)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def array_of(kind, dtype):
    numbers = {
        "plain": [[0.5, 0.25, 0.75], [0.1, 0.9, 0.3]],
        "tiny": np.full((2, 3), TINY[dtype]),
        "huge": np.array([[1, -1, 1], [1, 1, -1]]) * HUGE[dtype],
        "infinite": [[1, np.inf, -np.inf], [0, 1, 2]],
        "nan": [[np.nan, 0, 1], [0, 1, 2]],
    }[kind]
    with np.errstate(all="ignore"):
        return np.asarray(numbers).astype(dtype)


@pytest.mark.parametrize("kind", ["plain", "tiny", "huge", "infinite", "nan"])
@pytest.mark.parametrize("cls", lx.registry(), ids=lambda cls: cls.__name__)
def test_dense_losses(cls, kind):
    targets = [np.ones((2, 3)), np.full((2, 3), 1e-40), np.full((2, 3), 1e300), np.ones((2, 3), "f2")]
    if cls.declaration.takes_ids:
        targets = [np.array([1, 0]) if cls.declaration.target.kind == "class" else np.array([[1, -1], [0, 2]])]
    reductions, weights = ("mean", "none", "sum", "weighted_mean"), (None, 1e-45, 1e300, np.inf)
    called = 0
    for dtype in TINY:
        x = array_of(kind, dtype)
        for i, y in enumerate(targets):
            # every pair of reduction and weight with the first target; each reduction and each weight with the others
            pairs = zip(reductions, weights[i:] + weights[:i], strict=True)
            for reduction, weight in pairs if i else itertools.product(reductions, weights):
                more = {} if weight is None else {"weight": np.full(3, weight)}
                loss = tried(cls, reduction=reduction, **more)
                if loss is None:
                    continue
                called += tried(loss, x, y) is not None
                tried(loss.value_and_grad, x, y)
                tried(loss.grad, x, y, sample_weight=[1e-300, 1e300])
                if reduction != "none":
                    tried(loss.grad, x, y, grad_output=1e-300)
                    tried(loss.grad, x, y, grad_output=1e300)
                for curvature in cls.declaration.curvatures:
                    tried(loss.grad_and_hess, x, y, curvature=curvature)
            loss = cls()
            tried(loss.inverse_link, x), tried(loss.link, x), tried(loss.divisor, y)
            for weight in (None, [1e-300, 1e-320], [1e300, 1e308], [0, 0]):
                tried(loss.init_raw, y, weight)
    assert called or cls.declaration.input_domain


@pytest.mark.parametrize("cls", lx.registry(), ids=lambda cls: cls.__name__)
def test_each_value_of_each_parameter(cls):
    """A power of softmax focal below 1 divided by 0 on the way to the start."""
    x, y = np.array([[0.5, 0.25, 0.75], [0.1, 0.9, 0.3]]), np.ones((2, 3))
    if cls.declaration.takes_ids:
        y = np.array([1, 0]) if cls.declaration.target.kind == "class" else np.array([[1, -1], [0, 2]])
    for name in parameters_of(cls):
        for value in values_of(cls, name) if name not in cls.declaration.weights else (2.0, [1e-300, 0.0, 1e300]):
            loss = tried(cls, **{name: value})
            if loss is None:
                continue
            tried(loss.value_and_grad, x, y), tried(loss.inverse_link, x), tried(loss.link, x), tried(loss.divisor, y)
            for weight in (None, [1e-300, 1e-320], [1e300, 1e308], [0, 1]):
                tried(loss.init_raw, y, weight)


def test_an_overflow_of_the_value_is_infinite():
    x, y = np.full(3, 6e4, "f2"), np.full(3, -6e4, "f2")
    for loss in (lx.MSELoss(), lx.L1Loss(reduction="sum")):
        value = loss(x, y)
        assert value == np.inf
        assert value.dtype == np.float16
    assert lx.MSELoss()(np.full(3, 1e30, "f4"), np.zeros(3)) == np.inf
    assert lx.MSELoss()(np.full(3, 1e-30, "f4"), np.zeros(3)) == 0


@pytest.mark.parametrize("dtype", TINY)
@pytest.mark.parametrize("size", ["tiny", "plain", "huge"])
def test_layers(dtype, size):
    with np.errstate(all="ignore"):
        scale = {"tiny": TINY[dtype], "plain": 1, "huge": HUGE[dtype]}[size]
        w = (np.arange(40).reshape(10, 4) / 40 * scale).astype(dtype)
    b, x, labels = w[:, 0].copy(), w[:5].copy(), np.arange(5)
    for reduction in ("none", "mean", "sum"):
        for loss in (
            lx.LinearSoftmaxLoss(reduction),
            lx.SampledSoftmaxLoss(3, 10, reduction=reduction),
            lx.NCELoss(3, 10, reduction=reduction),
            lx.LinearBCELoss(reduction=reduction),
        ):
            ids = labels[:, None] if isinstance(loss, lx.LinearBCELoss) else labels
            for weight in (None, np.full(5, 1e-310), np.full(5, 1e300)):
                tried(loss, w, b, ids, x, sample_weight=weight)
                tried(loss.value_and_grad, w, b, ids, x, sample_weight=weight)
            if hasattr(loss, "inverse_link"):
                tried(loss.inverse_link, w)
            if hasattr(loss, "init_raw"):
                tried(loss.init_raw, ids), tried(loss.init_raw, ids, np.full(5, 1e-320))
        for normalize in (False, True):
            loss = lx.InBatchSoftmaxLoss(0.1, reduction, normalize=normalize, symmetric=True)
            tried(loss.value_and_grad, x, w[:5], log_q=np.full(5, -700.0))
    tried(lx.topk, w, b, x, 3)
    for table in TINY:
        g, array = lx.RowSparse([1, 1, 2], x[:3], (10, 4)), np.full((10, 4), 0.5, table)
        state = [np.zeros((10, 4), "f4" if table == "f2" else table) for _ in range(2)]
        for scale in (1e-300, 1e300, -1e-30):
            tried(g.add_to, array, scale), tried(g.__mul__, scale), tried(g.__truediv__, scale)
        tried(g.norm), tried(g.__add__, g), tried(g.to_dense), tried(g.adagrad, array, state[1])
        tried(g.adam, array, *state, 1), tried(g.adam, array, *state, 10**9, 1e-300, (0.0, 0.0))


def test_samplers_and_estimates():
    for sampler in (
        samplers.UniformSampler(10),
        samplers.UniformSampler(2**62),
        samplers.LogUniformSampler(10),
        samplers.LogUniformSampler(2**62),
        samplers.LearnedUnigramSampler(10),
        samplers.FixedUnigramSampler([1e308, 1e308, 1]),
        samplers.FixedUnigramSampler([1e-320, 1e-300, 1, 1e308]),
        samplers.FixedUnigramSampler([5.0]),
    ):
        for n in (1, 2, 3, 10):
            tried(sampler.sample, [0], n)
    for distortion in (0, -3, 1e-300, 100, -100):
        tried(samplers.FixedUnigramSampler([1e-300, 5, 1e300, 0], distortion).sample, [0], 2)
    frequency = lx.FrequencyEstimator(16)
    for ids in (np.int64(3), [3], np.array([1, 2**63], np.uint64), np.int64(3)):
        frequency.update(ids)
        frequency.log_q(ids)
    lx.balanced_weights([0, 0, 2], 4), lx.balanced_pos_weight([[0, 1], [0, 0]])


def test_scipy_objective():
    x, y = np.full((4, 2), 1e-200), np.array([0, 1, 0, 1], np.uint8)
    f = lx.scipy_objective(lx.BCEWithLogitsLoss(), x, y)
    w = np.full(2, 1e-200)
    assert np.isfinite(f(w)[0])
    f.hessp(w, w)


def test_estimators():
    pytest.importorskip("sklearn")
    from lossext.sklearn import LossClassifier, LossRegressor

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)) * [1e-160, 1, 1e3], np.arange(60) % 2
    for loss in ("bce_with_logits", "multi_margin"):
        model = LossClassifier(loss, max_iter=2000).fit(x, y)
        model.predict(x), model.decision_function(x), model.score(x, y)
    LossRegressor("huber", max_iter=2000).fit(x, y * 1.0).predict(x)
    LossClassifier("bce_with_logits", max_iter=2000).fit(x, y).predict_proba(x * 1e5)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosting(library):
    pytest.importorskip(library)
    from lossext import boosting

    raw, y = np.array([-1e4, 800.0, -800.0, 0.0], "f4"), np.array([0, 1, 1, 0.0])
    objective = getattr(boosting, {"xgboost": "XGBoostObjective", "lightgbm": "LightGBMObjective"}[library])
    objective(lx.BCEWithLogitsLoss())(y, raw)
    objective(lx.ExponentialLoss())(y, raw)
