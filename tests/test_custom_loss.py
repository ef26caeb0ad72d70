"""Losses made of one's own functions behave as the package's own of the same formula."""

import pickle
import warnings

import numpy as np
import pytest

import lossext as lx

RNG = np.random.default_rng(11)
RAW = RNG.normal(size=(40, 3))


def sigmoid(raw):
    return 1 / (1 + np.exp(-raw))


def log_loss(raw, target):
    return np.logaddexp(0, raw) - target * raw


def log_loss_slope(raw, target):
    return sigmoid(raw) - target


def log_loss_bend(raw, target):
    return sigmoid(raw) * sigmoid(-raw)


def huber(raw, target):
    size = np.abs(raw - target)
    return np.where(size <= 1, size**2 / 2, size - 0.5)


def huber_slope(raw, target):
    return np.clip(raw - target, -1, 1)


def absolute(raw, target):
    return np.abs(raw - target)


def sign_of(raw, target):
    return np.sign(raw - target)


def cross_entropy(raw, target):
    return np.logaddexp.reduce(raw, axis=1) - raw[np.arange(len(raw)), target]


def cross_entropy_slope(raw, target):
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    slope = e / e.sum(axis=1, keepdims=True)
    slope[np.arange(len(raw)), target] -= 1
    return slope


def poisson(raw, target):
    return np.exp(raw) - target * raw


def poisson_slope(raw, target):
    return np.exp(raw) - target


def logistic(hess=log_loss_bend, **more):
    return lx.custom_loss(log_loss, log_loss_slope, hess, target="unit", link="logit", **more)


def with_reduction(loss, reduction):
    return loss._with(reduction=reduction)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "weighted_mean", "batchmean"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_as_binary_cross_entropy(reduction, masked, weighted):
    ours = with_reduction(logistic(), reduction)
    own = lx.BCEWithLogitsLoss(reduction=reduction)
    y = RNG.uniform(size=RAW.shape)
    calls = {}
    if masked:
        calls["mask"] = RNG.uniform(size=RAW.shape) < 0.6
    if weighted:
        calls |= {"sample_weight": RNG.uniform(size=len(RAW)), "element_weight": RNG.uniform(size=3)}
    np.testing.assert_allclose(ours(RAW, y, **calls), own(RAW, y, **calls), rtol=1e-12)
    for a, b in zip(ours.grad_and_hess(RAW, y, **calls), own.grad_and_hess(RAW, y, **calls), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    upstream = RNG.normal(size=RAW.shape) if reduction == "none" else 2.0
    for a, b in zip(
        ours.value_and_grad(RAW, y, grad_output=upstream, **calls),
        own.value_and_grad(RAW, y, grad_output=upstream, **calls),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    assert ours.divisor(y, **calls) == pytest.approx(own.divisor(y, **calls))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_types_and_out(dtype):
    loss, raw, y = logistic(), RAW.astype(dtype), np.ones(RAW.shape, np.uint8)
    value, grad = loss.value_and_grad(raw, y)
    assert value.dtype == grad.dtype == dtype
    out = np.empty_like(raw)
    assert loss.grad(raw, y, out=out) is out
    assert np.array_equal(out, grad)


def test_second_derivative_by_differences():
    y = (RAW > 0).astype(float)
    np.testing.assert_allclose(logistic(None).grad_and_hess(RAW, y)[1], logistic().grad_and_hess(RAW, y)[1], rtol=1e-6)
    loss = lx.custom_loss(cross_entropy, cross_entropy_slope, target="class", link="softmax")
    ids = np.arange(len(RAW)) % 3
    p = loss.inverse_link(RAW)
    np.testing.assert_allclose(with_reduction(loss, "sum").grad_and_hess(RAW, ids)[1], p * (1 - p), rtol=1e-6)


def test_classes():
    loss = lx.custom_loss(cross_entropy, cross_entropy_slope, target="class", link="softmax")
    ids = np.arange(len(RAW)) % 3
    mask = ids > 0
    expected = cross_entropy(RAW, ids)
    np.testing.assert_allclose(loss(RAW, ids, mask=mask), expected[mask].mean())
    grad = loss.grad(RAW, ids, mask=mask)
    assert not grad[~mask].any()
    np.testing.assert_allclose(grad[mask], cross_entropy_slope(RAW, ids)[mask] / mask.sum())
    with pytest.raises(ValueError, match=r"target\[4\] = 3 is not in \[0, 3\)"):
        loss(RAW, np.where(np.arange(len(RAW)) == 4, 3, ids))
    with pytest.raises(ValueError, match="one class id per row"):
        loss(RAW, ids[:-1])


def test_start():
    y = (RNG.uniform(size=500) < 0.03).astype(float)
    weight = RNG.uniform(size=500)
    assert logistic().init_raw(y, weight) == pytest.approx(lx.BCEWithLogitsLoss().init_raw(y, weight))
    counts = RNG.poisson(3000.0, 500)
    loss = lx.custom_loss(poisson, poisson_slope, target="non_negative", link="log")
    assert loss.init_raw(counts) == pytest.approx(np.log(counts.mean()))
    far = 1e4 + RNG.standard_t(1.5, 501)
    huber_loss = lx.custom_loss(huber, huber_slope)
    assert huber_loss.init_raw(far) == pytest.approx(lx.HuberLoss().init_raw(far))
    assert lx.custom_loss(absolute, sign_of).init_raw(far) == pytest.approx(np.median(far), abs=1e-3)
    assert logistic().init_raw(np.zeros(5)) == pytest.approx(-34.54, abs=0.1)


def test_pickles_and_compares():
    loss = logistic(name="mine")
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss != logistic(None, name="mine")
    assert again(RAW, RAW > 0) == loss(RAW, RAW > 0)
    assert repr(loss) == "custom_loss('mine', target='unit', link='logit')"
    assert logistic().declaration.function == "log_loss"


def test_missing_rows_are_not_read():
    raw, y = np.array([0.5, np.nan, np.inf]), np.array([1.0, 7.0, np.nan])
    known = np.array([True, False, False])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, grad = logistic().value_and_grad(raw, y, mask=known)
    assert value == pytest.approx(np.log1p(np.exp(-0.5)))
    assert grad[1:].tolist() == [0, 0]


def constant(raw, target):
    return 1.0


def fails(raw, target):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("arguments", "more", "error", "match"),
    [
        ((log_loss, 3), {}, TypeError, "gradient must be a function"),
        ((log_loss, log_loss), {"target": "unit"}, ValueError, "grad is not the derivative of value"),
        (
            (constant, log_loss_slope),
            {"target": "unit"},
            ValueError,
            r"value\(raw, target\) gives an array of shape \(\)",
        ),
        ((log_loss, fails), {"target": "unit"}, ValueError, r"grad\(raw, target\) fails .* RuntimeError: no"),
        ((log_loss, log_loss_slope), {"target": "yes"}, ValueError, "target = 'yes' is not one of"),
        ((log_loss, log_loss_slope), {"link": "probit"}, ValueError, "link_name = 'probit' is not one of"),
        ((log_loss, log_loss_slope), {"target": "unit", "name": "hinge_loss"}, ValueError, "no loss of the package"),
    ],
)
def test_errors(arguments, more, error, match):
    with pytest.raises(error, match=match):
        lx.custom_loss(*arguments, **more)


def test_errors_of_calls():
    loss = logistic()
    with pytest.raises(ValueError, match=r"target\[0, 1\] = 2.0 is not in \[0, 1\]"):
        loss([[0.0, 1.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="allowed is input's"):
        loss([0.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="n_threads"):
        loss([0.0], [1.0], n_threads=0)
    with pytest.raises(ValueError, match="element_weight has shape"):
        loss([0.0], [1.0], element_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="curvature = 'fisher'"):
        loss.grad_and_hess([0.0], [1.0], curvature="fisher")


X = RNG.normal(size=(300, 4))
SCORE = X[:, 0] + RNG.normal(size=300)


def test_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    from lossext.sklearn import LossClassifier, LossRegressor, loss_scorer

    y = (SCORE > 0.5).astype(int)
    model = clone(LossClassifier(logistic())).fit(X, y)
    own = LossClassifier("bce_with_logits").fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), own.predict_proba(X), atol=1e-4)
    mine, theirs = (cross_val_score(own, X, y, scoring=loss_scorer(s)) for s in (logistic(), "bce_with_logits"))
    np.testing.assert_allclose(mine, theirs)
    loss = lx.custom_loss(huber, huber_slope)
    np.testing.assert_allclose(
        LossRegressor(loss).fit(X, SCORE).predict(X), LossRegressor(lx.HuberLoss()).fit(X, SCORE).predict(X), atol=1e-3
    )
    classes = np.digitize(SCORE, [-0.5, 0.5])
    several = lx.custom_loss(cross_entropy, cross_entropy_slope, target="class", link="softmax")
    assert LossClassifier(several).fit(X, classes).score(X, classes) > 0.5


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosting(library):
    pytest.importorskip(library)
    pytest.importorskip("sklearn")
    import lossext.boosting as ours

    prefix = {"lightgbm": "LGBM", "xgboost": "XGB"}[library]
    quiet = {"verbose": -1} if library == "lightgbm" else {}
    settings = {"n_estimators": 20, "n_jobs": 1, **quiet}
    classifier, regressor = (getattr(ours, prefix + kind) for kind in ("Classifier", "Regressor"))
    y = np.where(SCORE > 0.5, "yes", "no")
    mine, own = (classifier(loss=loss, curvature="exact", **settings).fit(X, y) for loss in (logistic(), None))
    np.testing.assert_allclose(mine.predict_proba(X), own.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(mine)).predict_proba(X), mine.predict_proba(X))
    counts = RNG.poisson(np.exp(SCORE / 2))
    loss = lx.custom_loss(poisson, poisson_slope, target="non_negative", link="log")
    mine, own = (
        regressor(loss=loss, curvature="exact", **settings).fit(X, counts) for loss in (loss, lx.HalfPoissonLoss())
    )
    np.testing.assert_allclose(mine.predict(X), own.predict(X), rtol=0.01)
    model = regressor(loss=lx.custom_loss(absolute, sign_of), **settings).fit(X, SCORE)
    assert np.abs(model.predict(X) - SCORE).mean() < 0.8 * np.abs(np.median(SCORE) - SCORE).mean()
    classes = np.digitize(SCORE, [-0.5, 0.5])
    several = lx.custom_loss(cross_entropy, cross_entropy_slope, target="class", link="softmax")
    model = classifier(loss=several, **settings).fit(X, classes)
    assert model.score(X, classes) > 0.6
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
