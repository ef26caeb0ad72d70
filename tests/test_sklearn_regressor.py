"""LossRegressor: scikit-learn's optima, quantiles, missing targets, steps, messages."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn import linear_model
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lossext as lx
from lossext.sklearn import LossRegressor, _losses, loss_scorer

pytestmark = pytest.mark.skipif(not _losses.fitting(_losses.REGRESSION), reason="the package has no loss of numbers")


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def objective(loss, model, X, y, alpha):
    scores = X @ model.coef_.T + model.intercept_
    return float(loss(scores, y)) + 0.5 * alpha * float((model.coef_**2).sum())


def test_passes_every_check_of_scikit_learn():
    for name in _losses.fitting(_losses.REGRESSION):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(LossRegressor(name), on_fail=None, on_skip=None)
        failed = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
        assert set(failed) <= {"check_array_api_input"}, (name, failed)


def peers(n_rows):
    exact = {"tol": 1e-12, "max_iter": 10_000}
    return [
        ("HalfSquaredErrorLoss", {}, linear_model.Ridge(alpha=0.1 * n_rows, tol=1e-12)),
        ("HalfPoissonLoss", {}, linear_model.PoissonRegressor(alpha=0.1, **exact)),
        ("HalfGammaLoss", {}, linear_model.GammaRegressor(alpha=0.1, **exact)),
        ("HalfTweedieLoss", {"power": 1.5}, linear_model.TweedieRegressor(power=1.5, link="log", alpha=0.1, **exact)),
    ]


@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs"])
def test_the_optimum_is_that_of_scikit_learn(diabetes, solver):
    X, y = diabetes
    for name, parameters, peer in peers(len(y)):
        loss = getattr(lx, name)(**parameters)
        ours = LossRegressor(loss, alpha=0.1, solver=solver).fit(X, y)
        best = objective(loss, peer.fit(X, y), X, y, 0.1)
        assert objective(loss, ours, X, y, 0.1) == pytest.approx(best, rel=1e-6)
        assert ours.score(X, y) == pytest.approx(peer.score(X, y), abs=1e-4)


def test_huber(diabetes):
    X, y = diabetes
    peer = linear_model.HuberRegressor(alpha=0, tol=1e-9, max_iter=10_000).fit(X, y)
    loss = lx.HuberLoss(delta=1.35 * peer.scale_)
    ours = LossRegressor(loss, alpha=0.0).fit(X, y)
    assert objective(loss, ours, X, y, 0) == pytest.approx(objective(loss, peer, X, y, 0), rel=1e-6)


@pytest.mark.parametrize("quantile", [0.1, 0.5])
def test_quantiles_are_those_of_a_linear_program(quantile):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 10))
    y = X @ rng.normal(size=10) + rng.standard_t(3, size=3000)
    loss = lx.PinballLoss(quantile=quantile)
    ours = LossRegressor(loss, alpha=0.0).fit(X, y)
    peer = linear_model.QuantileRegressor(quantile=quantile, alpha=0).fit(X, y)
    assert objective(loss, ours, X, y, 0) == pytest.approx(objective(loss, peer, X, y, 0), rel=1e-4)
    assert (ours.predict(X) >= y).mean() == pytest.approx(quantile, abs=0.01)


@pytest.mark.parametrize("quantile", [0.02, 0.1, 0.9, 0.95])
@pytest.mark.parametrize("solver", ["auto", "newton", "newton-cg", "lbfgs"])
def test_quantiles_of_few_rows_with_a_penalty(quantile, solver):
    """At a start where no row is near its kink, nothing curves but the penalty: the step is 1e12 times too long."""
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LossRegressor(lx.PinballLoss(quantile=quantile), alpha=1e-4, solver=solver).fit(X, y)
    assert (y <= model.predict(X)).mean() == pytest.approx(quantile, abs=0.03)


def test_several_quantiles_at_once(diabetes):
    X, y = diabetes
    model = LossRegressor(lx.PinballLoss(quantile=[0.1, 0.5, 0.9]), alpha=0.0, sort_quantiles=True).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == (len(y), 3)
    assert (np.diff(predicted, axis=1) >= 0).all()
    np.testing.assert_allclose((predicted >= y[:, None]).mean(axis=0), [0.1, 0.5, 0.9], atol=0.02)
    median = LossRegressor(lx.PinballLoss(), alpha=0.0).fit(X, y)
    np.testing.assert_allclose(model.coef_[1], median.coef_, rtol=0.05, atol=0.5)


def test_l1_is_the_lasso(diabetes):
    X, y = diabetes
    for penalty, peer in (("l1", linear_model.Lasso(2.0, tol=1e-10)), ("elasticnet", linear_model.ElasticNet(2.0))):
        ours = LossRegressor("half_squared_error", penalty=penalty, alpha=2.0).fit(X, y)
        peer.fit(X, y)
        np.testing.assert_allclose(ours.coef_, peer.coef_, atol=0.02)
        assert ((ours.coef_ == 0) == (peer.coef_ == 0)).all()


def test_missing_targets_are_left_out(diabetes):
    X, y = diabetes
    known = np.arange(len(y)) % 7 > 0
    holes = np.where(known, y, np.nan)
    a = LossRegressor(lx.HuberLoss(missing="nan"), alpha=0.1).fit(X, holes)
    b = LossRegressor("huber", alpha=0.1).fit(X[known], y[known])
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-6)
    with pytest.raises(ValueError, match="NaN"):
        LossRegressor("huber").fit(X, holes)


def test_outputs_and_sparse_features(diabetes):
    X, y = diabetes
    both = LossRegressor("half_squared_error", alpha=0.1).fit(X, np.column_stack((y, -y)))
    one = LossRegressor("half_squared_error", alpha=0.1).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(both.coef_, [one.coef_, -one.coef_], atol=1e-6)
    assert one.coef_.shape == (10,)
    assert np.ndim(one.intercept_) == 0


@pytest.mark.parametrize("solver", ["auto", "adam"])
def test_partial_fit(diabetes, solver):
    X, y = diabetes
    model = LossRegressor("half_squared_error", alpha=1e-3, solver=solver, random_state=0)
    if solver == "adam":
        model.set_params(learning_rate=0.05)
    for _ in range(40):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.48
    assert model.coef_.shape == (10,)


def test_bad_input(diabetes):
    X, y = diabetes
    with pytest.raises(ValueError, match=r"y holds -.* in row 0; loss='half_poisson' takes .* at least 0"):
        LossRegressor("half_poisson").fit(X, -y)
    with pytest.raises(ValueError, match="Did you mean 'huber'"):
        LossRegressor("hubre").fit(X, y)
    with pytest.raises(ValueError, match=r"must be a str among .*'huber'"):
        LossRegressor("bce_with_logits").fit(X, y)
    model = LossRegressor("huber").fit(X, y)
    before = model.coef_
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X[:, :3], y[:-1])
    assert model.coef_ is before
    assert loss_scorer("huber")(model, X, y) == pytest.approx(-lx.huber_loss(model.predict(X), y))


@pytest.mark.parametrize("solver", ["newton", "newton-cg"])
@pytest.mark.parametrize("name", ["huber", "pseudo_huber", "log_cosh", "smooth_l1"])
@pytest.mark.parametrize("unit", [1e3, 1e5, 1e7])
def test_targets_far_beyond_the_bend(name, unit, solver):
    """Where all rows are in a loss's straight tails, the fit is that of least absolute deviations."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    y = unit * (X @ np.arange(1.0, 6) + rng.normal(size=500) + 50 * (rng.random(500) < 0.05))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LossRegressor(name, alpha=0, solver=solver).fit(X, y)
    exact = linear_model.QuantileRegressor(alpha=0).fit(X, y)
    least, found = (np.abs(y - each.predict(X)).mean() for each in (exact, model))
    assert found <= least * (1 + 1e-3 / unit**0.5 + 1e-5)
    assert np.abs(model.coef_ / unit - np.arange(1.0, 6)).max() < 0.2
