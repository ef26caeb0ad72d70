"""Classifiers and regressors of LightGBM and XGBoost with a loss of ours: as the libraries' own where these have it."""

import pickle

import numpy as np
import pytest

import lossext as lx

sklearn = pytest.importorskip("sklearn")
from lossext.boosting._builtin import version  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 6))
SCORE = X[:, 0] + RNG.normal(size=600)
CODES = (SCORE > 0.7).astype(int)
LABELS = np.where(CODES, "yes", "no")
COUNTS = RNG.poisson(np.exp(SCORE / 2))


def both(library):
    """Our classifier and regressor, and the library's, with settings."""
    module = pytest.importorskip(library)
    import lossext.boosting as ours

    prefix = {"lightgbm": "LGBM", "xgboost": "XGB"}[library]
    settings = {"n_estimators": 50, "n_jobs": 1, "max_depth": 3}
    if library == "lightgbm":
        settings["verbose"] = -1
    kinds = ("Classifier", "Regressor")
    return [getattr(where, prefix + kind) for where in (ours, module) for kind in kinds], settings


def start_of(library, y):
    """For the library's estimator, where it would start with another constant than the mean."""
    if library == "lightgbm" or version(library) >= (3, 1):
        return {}
    return {"base_score": float(np.mean(y))}


@pytest.mark.parametrize("weights", [{}, {"scale_pos_weight": 4.0}])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_classifier_like_its_parent(library, weights):
    (ours, _, theirs, _), settings = both(library)
    model = sklearn.base.clone(ours(**settings, **weights)).fit(X, LABELS)
    start = {} if weights else start_of(library, CODES)
    reference = theirs(**settings, **weights, **start).fit(X, CODES)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-6)
    assert np.array_equal(model.predict(X), np.array(["no", "yes"])[reference.predict(X)])
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.classes_.tolist() == ["no", "yes"]


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_early_stopping_like_its_parent(library):
    (ours, _, theirs, _), settings = both(library)
    stop = {"early_stopping_round": 5} if library == "lightgbm" else {"early_stopping_rounds": 5}
    settings = {**settings, "n_estimators": 500, **stop}
    model = ours(**settings).fit(X[:300], LABELS[:300], eval_set=[(X[300:], LABELS[300:])])
    quiet = {} if library == "lightgbm" else {"verbose": False}
    reference = theirs(**settings).fit(X[:300], CODES[:300], eval_set=[(X[300:], CODES[300:])], **quiet)
    name = "best_iteration_" if library == "lightgbm" else "best_iteration"
    assert 1 < getattr(model, name) == getattr(reference, name) < 490


@pytest.mark.parametrize("loss", [lx.HalfPoissonLoss(), lx.HalfTweedieLoss(), None])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_regressor_like_its_parent(library, loss):
    (_, ours, _, theirs), settings = both(library)
    own = {"HalfPoissonLoss": ("poisson", "count:poisson"), "HalfTweedieLoss": ("tweedie", "reg:tweedie")}
    name = own.get(type(loss).__name__, ("regression", "reg:squarederror"))[library == "xgboost"]
    reference = theirs(**settings, **start_of(library, COUNTS), objective=name).fit(X, COUNTS)
    np.testing.assert_allclose(ours(loss=loss, **settings).fit(X, COUNTS).predict(X), reference.predict(X), rtol=1e-5)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_quantiles_and_many_classes(library):
    (classifier, regressor, _, _), settings = both(library)
    model = regressor(loss=lx.PinballLoss(quantile=[0.1, 0.5, 0.9]), **settings).fit(X, SCORE)
    below = (SCORE[:, np.newaxis] < model.predict(X)).mean(axis=0)
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.05)
    y = np.digitize(SCORE, [-0.7, 0.7])
    for loss in ("sigmoid_focal_loss", "multi_margin_loss", "hinge_loss"):
        model = classifier(loss=loss, **settings).fit(X, y)
        assert model.score(X, y) > 0.6
        assert hasattr(model, "predict_proba") == (loss == "sigmoid_focal_loss")
    model = classifier(loss="sigmoid_focal_loss", **settings).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_errors(library):
    (classifier, regressor, _, _), settings = both(library)
    with pytest.raises(ValueError, match=r"unseen labels: .*'yesterday'.* of row 2 of an evaluation set"):
        classifier(**settings).fit(X, LABELS, eval_set=[(X[:3], np.array(["yes", "no", "yesterday"]))])
    with pytest.raises(ValueError, match="did you mean 'hinge_loss'"):
        classifier(loss="hingeloss", **settings).fit(X, CODES)
    with pytest.raises(ValueError, match="it is for a regressor"):
        classifier(loss=lx.HuberLoss(), **settings).fit(X, CODES)
    with pytest.raises(ValueError, match="it is for a classifier"):
        regressor(loss=lx.HingeLoss(), **settings).fit(X, SCORE)
    with pytest.raises(ValueError, match='a low score of it means "alike"'):
        classifier(loss=lx.HingeEmbeddingLoss(), **settings).fit(X, CODES)
    with pytest.raises(TypeError, match="objective is made from loss"):
        classifier(objective="binary")
