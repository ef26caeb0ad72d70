"""Losses in scikit-learn's HistGradientBoosting: the trees of its own losses, and losses that it has not."""

import pickle

import numpy as np
import pytest

import lossext as lx

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor  # noqa: E402
from sklearn.model_selection import cross_val_predict  # noqa: E402

from lossext.boosting import hgb_loss  # noqa: E402

RNG = np.random.default_rng(2)
X = RNG.normal(size=(600, 5))
SCORE = X[:, 0] + RNG.normal(size=600)
WEIGHT = RNG.uniform(0.2, 3, 600)
COUNTS = RNG.poisson(np.exp(SCORE / 2))
CODES = np.digitize(SCORE, [-0.7, 0.7])
SETTINGS = {"max_iter": 50, "max_leaf_nodes": 7, "early_stopping": False}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "own", "more", "y"),
    [
        (lx.HalfSquaredErrorLoss(), "squared_error", {}, SCORE),
        (lx.L1Loss(), "absolute_error", {}, SCORE),
        (lx.PinballLoss(quantile=0.8), "quantile", {"quantile": 0.8}, SCORE),
        (lx.HalfPoissonLoss(), "poisson", {}, COUNTS),
        (lx.HalfGammaLoss(), "gamma", {}, COUNTS + 0.1),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_regressors_like_its_own(loss, own, more, y, weighted):
    weight = WEIGHT if weighted else None
    ours = HistGradientBoostingRegressor(loss=hgb_loss(loss), **SETTINGS).fit(X, y, sample_weight=weight)
    theirs = HistGradientBoostingRegressor(loss=own, **more, **SETTINGS).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (lx.BCEWithLogitsLoss(), CODES > 1),
        (lx.CrossEntropyLoss(), CODES),
        (lx.CrossEntropyLoss(), np.array(["a", "b", "c"])[CODES]),
        (lx.CrossEntropyLoss(), CODES > 1),
    ],
)
def test_classifiers_like_its_own(loss, y, weighted):
    weight = WEIGHT if weighted else None
    ours = HistGradientBoostingClassifier(loss=hgb_loss(loss), **SETTINGS).fit(X, y, sample_weight=weight)
    theirs = HistGradientBoostingClassifier(**SETTINGS).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-4, atol=1e-6)
    assert np.array_equal(ours.predict(X), theirs.predict(X))


def test_early_stopping_like_its_own():
    settings = {"max_iter": 300, "early_stopping": True, "random_state": 0, "n_iter_no_change": 5}
    for loss, y in ((lx.BCEWithLogitsLoss(), CODES > 1), (lx.CrossEntropyLoss(), CODES)):
        ours = HistGradientBoostingClassifier(loss=hgb_loss(loss), **settings).fit(X, y)
        theirs = HistGradientBoostingClassifier(**settings).fit(X, y)
        assert ours.n_iter_ == theirs.n_iter_ < 250
        np.testing.assert_allclose(ours.validation_score_, theirs.validation_score_, rtol=1e-5)


@pytest.mark.parametrize(
    "loss", [lx.HuberLoss(), lx.LogCoshLoss(), lx.ExpectileLoss(expectile=0.5), lx.EpsilonInsensitiveLoss()]
)
def test_means_that_it_has_not(loss):
    y = SCORE + np.where(RNG.uniform(size=600) < 0.02, 50, 0) * (type(loss) is lx.HuberLoss)
    model = clone(HistGradientBoostingRegressor(loss=hgb_loss(loss), **SETTINGS)).fit(X, y)
    assert np.abs(model.predict(X) - SCORE).mean() < 0.9
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))


def test_tweedie_expectile_and_focal():
    model = HistGradientBoostingRegressor(loss=hgb_loss(lx.HalfTweedieLoss(power=1.5)), **SETTINGS).fit(X, COUNTS)
    assert model.predict(X).min() > 0
    assert model.predict(X).mean() == pytest.approx(COUNTS.mean(), rel=0.1)
    high = HistGradientBoostingRegressor(loss=hgb_loss(lx.ExpectileLoss(expectile=0.9)), **SETTINGS).fit(X, SCORE)
    assert (high.predict(X) > SCORE).mean() > 0.7
    rare = (SCORE > 2.0).astype(int)
    focal = hgb_loss(lx.SigmoidFocalLoss())
    proba = cross_val_predict(HistGradientBoostingClassifier(loss=focal, **SETTINGS), X, rare, method="predict_proba")
    assert sklearn.metrics.roc_auc_score(rare, proba[:, 1]) > 0.65
    several = HistGradientBoostingClassifier(loss=focal, **SETTINGS).fit(X, CODES)  # class against all others
    np.testing.assert_allclose(several.predict_proba(X).sum(axis=1), 1)
    assert several.score(X, CODES) > 0.7


def test_hinges_have_no_probabilities():
    for loss, y in ((lx.HingeLoss(), CODES > 1), (lx.MultiMarginLoss(), CODES)):
        model = HistGradientBoostingClassifier(loss=hgb_loss(loss), **SETTINGS).fit(X, y)
        assert model.score(X, y) > 0.6
        with pytest.raises(AttributeError):
            model.predict_proba(X)


def test_errors():
    with pytest.raises(ValueError, match='a low score of it means "alike"'):
        hgb_loss(lx.HingeEmbeddingLoss())
    with pytest.raises(ValueError, match="give one quantile"):
        hgb_loss(lx.PinballLoss(quantile=[0.1, 0.9]))
    with pytest.raises(TypeError, match="must be a loss object"):
        hgb_loss("huber")
    with pytest.raises(ValueError, match=r"target\[3\] = -1.0 is not"):
        HistGradientBoostingRegressor(loss=hgb_loss(lx.HalfPoissonLoss())).fit(
            X[:9], np.where(np.arange(9) == 3, -1, 1.0)
        )
