"""CatBoost's classifier and regressor with a loss of ours: as its own where it has the loss."""

import pickle

import numpy as np
import pytest

import lossext as lx

catboost = pytest.importorskip("catboost")
sklearn = pytest.importorskip("sklearn")

from lossext.boosting import CatBoostClassifier, CatBoostRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Failed to import numba", "ignore:Can't optimze method")  # sic
RNG = np.random.default_rng(2)
X = RNG.normal(size=(300, 5))
SCORE = X[:, 0] + RNG.normal(size=300)
CODES = (SCORE > 0.7).astype(int)
LABELS = np.where(CODES, "yes", "no")
COUNTS = RNG.poisson(np.exp(SCORE / 2))
WEIGHT = RNG.uniform(0.2, 3, 300)
SETTINGS = {
    "iterations": 20,
    "depth": 3,
    "learning_rate": 0.2,
    "thread_count": 1,
    "verbose": False,
    "allow_writing_files": False,
    "bootstrap_type": "No",
    "leaf_estimation_method": "Newton",
    "leaf_estimation_iterations": 1,
}


def refitted(model, *arguments, **more):
    """A fitted clone."""
    return sklearn.base.clone(model).fit(*arguments, **more)


@pytest.mark.parametrize("auto", ["Balanced", "SqrtBalanced"])
@pytest.mark.parametrize("classes", [2, 3])
def test_auto_class_weights_of_weighted_rows(auto, classes):
    y = CODES if classes == 2 else np.digitize(SCORE, [-0.5, 1.5])
    own = {"loss_function": "Logloss", "boost_from_average": False} if classes == 2 else {"loss_function": "MultiClass"}
    theirs = catboost.CatBoostClassifier(**own, auto_class_weights=auto, **SETTINGS).fit(X, y, sample_weight=WEIGHT)
    expected = np.asarray(theirs.get_all_params()["class_weights"])[y]
    model = CatBoostClassifier(auto_class_weights=auto, **SETTINGS)
    np.testing.assert_allclose(
        np.prod(model._class_weights(np.arange(classes), y, y, WEIGHT)[1:], axis=0), expected, rtol=1e-6
    )


def test_auto_class_weights_of_small_weights():
    """Where CatBoost, which counts in whole numbers, gives none."""
    model = CatBoostClassifier(auto_class_weights="Balanced", **SETTINGS)
    small = model._class_weights(np.arange(2), CODES, CODES, WEIGHT / WEIGHT.sum())[1]
    sums = np.bincount(CODES, small * WEIGHT)
    np.testing.assert_allclose(sums[0], sums[1])
    with pytest.raises(ValueError, match="auto_class_weights = 'Even' is not one of 'Balanced'"):
        CatBoostClassifier(auto_class_weights="Even", **SETTINGS).fit(X, CODES)


@pytest.mark.parametrize(
    "weights", [{}, {"scale_pos_weight": 4.0}, {"auto_class_weights": "Balanced"}, {"class_weights": [1.0, 3.0]}]
)
def test_binary_like_its_own(weights):
    weight = WEIGHT
    model = refitted(CatBoostClassifier(**SETTINGS, **weights), X, LABELS, sample_weight=weight)
    reference = catboost.CatBoostClassifier(
        **SETTINGS, **weights, loss_function="Logloss", boost_from_average=True
    ).fit(X, CODES, sample_weight=weight)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-5)
    assert np.array_equal(model.predict(X), np.array(["no", "yes"])[reference.predict(X)])
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_params() == model.get_params()
    assert again.classes_.tolist() == ["no", "yes"]
    assert model.score(X, LABELS) > 0.75


def test_class_weight_of_scikit_learn():
    ours = CatBoostClassifier(**SETTINGS, class_weight="balanced").fit(X, LABELS)
    counts = np.bincount(CODES)
    theirs = CatBoostClassifier(**SETTINGS, class_weights=(300 / (2 * counts)).tolist()).fit(X, LABELS)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X))


def test_the_start_is_the_models_own(tmp_path):
    """Rare positives: probabilities have their mean, also of a model that was saved."""
    rare = (SCORE > 2.2).astype(int)
    model = CatBoostClassifier(**SETTINGS).fit(X, rare)
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(rare.mean(), rel=0.2)
    model.save_model(tmp_path / "model.cbm")
    loaded = catboost.CatBoost().load_model(tmp_path / "model.cbm")
    np.testing.assert_allclose(loaded.predict(X), model.decision_function(X))


@pytest.mark.parametrize(
    "weights", [{}, {"scale_pos_weight": 9.0}, {"auto_class_weights": "Balanced"}, {"class_weights": [1.0, 9.0]}]
)
def test_early_stopping_like_its_own(weights):
    """Weights of classes are those of evaluation sets, too."""
    settings = {**SETTINGS, "iterations": 400, **weights}
    first, rest = slice(0, 200), slice(200, None)
    model = CatBoostClassifier(**settings).fit(
        X[first], LABELS[first], eval_set=(X[rest], LABELS[rest]), early_stopping_rounds=10
    )
    reference = catboost.CatBoostClassifier(**settings, loss_function="Logloss", boost_from_average=True)
    reference.fit(X[first], CODES[first], eval_set=(X[rest], CODES[rest]), early_stopping_rounds=10)
    assert 1 < model.best_iteration_ == reference.best_iteration_ < 350
    (ours,), (theirs,) = (m.get_best_score()["validation"].values() for m in (model, reference))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_weights_of_evaluation_sets_with_categories():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X[:, :2]).rename(columns=str).assign(kind=np.where(X[:, 2] > 0, "a", "b"))
    for more in ({"cat_features": ["kind"]}, {}):
        settings = {**SETTINGS, "iterations": 5, **({} if more else {"cat_features": ["kind"]})}
        model = CatBoostClassifier(class_weights={"no": 1.0, "yes": 3.0}, **settings)
        model.fit(frame, LABELS, eval_set=[(frame, LABELS)], **more)
        scores = model.get_evals_result()
        (learn,), (validation,) = (scores[name].values() for name in ("learn", "validation"))
        np.testing.assert_allclose(learn, validation, rtol=1e-2)


def test_many_classes():
    y = np.array(["a", "b", "c"])[np.digitize(SCORE, [-0.7, 0.7])]
    settings = {**SETTINGS, "iterations": 10}
    for loss in (None, "sigmoid_focal_loss", "multi_margin_loss"):
        model = CatBoostClassifier(loss=loss, **settings).fit(X, y)
        assert model.score(X, y) > 0.6
        assert hasattr(model, "predict_proba") == (loss != "multi_margin_loss")
        if hasattr(model, "predict_proba"):
            np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
        assert model.predict(X[:3]).shape == (3,)
    assert len(list(model.staged_predict(X))) == 10


def test_multilabel():
    Y = np.column_stack((SCORE > 0, X[:, 1] > 0)).astype(int)
    model = CatBoostClassifier(loss=lx.BCEWithLogitsLoss(), **{**SETTINGS, "iterations": 10}).fit(X, Y)
    assert model.predict(X).shape == model.predict_proba(X).shape == Y.shape
    assert model.score(X, Y) > 0.6


@pytest.mark.parametrize(("loss", "own"), [(None, "RMSE"), (lx.HalfSquaredErrorLoss(), "RMSE")])
def test_regressor_like_its_own(loss, own):
    model = refitted(CatBoostRegressor(loss=loss, **SETTINGS), X, SCORE, sample_weight=WEIGHT)
    reference = catboost.CatBoostRegressor(**SETTINGS, loss_function=own).fit(X, SCORE, sample_weight=WEIGHT)
    np.testing.assert_allclose(model.predict(X), reference.predict(X), atol=1e-5)
    assert model.score(X, SCORE) > 0.3


def test_counts_and_quantiles():
    model = CatBoostRegressor(loss=lx.HalfTweedieLoss(power=1.5), **SETTINGS).fit(X, COUNTS)
    assert model.predict(X).min() > 0
    assert model.predict(X).mean() == pytest.approx(COUNTS.mean(), rel=0.1)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))
    quantiles = CatBoostRegressor(loss=lx.PinballLoss(quantile=[0.1, 0.9]), **SETTINGS).fit(X, SCORE)
    below = (SCORE[:, np.newaxis] < quantiles.predict(X)).mean(axis=0)
    np.testing.assert_allclose(below, [0.1, 0.9], atol=0.05)


def test_cross_validation_and_search():
    from sklearn.model_selection import GridSearchCV

    from lossext.sklearn import loss_scorer

    losses = [lx.BCEWithLogitsLoss(), lx.SigmoidFocalLoss()]
    search = GridSearchCV(
        CatBoostClassifier(**SETTINGS), {"loss": losses}, scoring=loss_scorer("bce_with_logits"), cv=3
    ).fit(X, LABELS)
    assert search.best_params_["loss"] == losses[0]


def test_errors():
    with pytest.raises(TypeError, match="loss_function is made from loss"):
        CatBoostClassifier(loss_function="Logloss")
    with pytest.raises(TypeError, match="X is a Pool"):
        CatBoostClassifier(**SETTINGS).fit(catboost.Pool(X, CODES))
    with pytest.raises(ValueError, match="it is for a regressor"):
        CatBoostClassifier(loss=lx.HuberLoss(), **SETTINGS).fit(X, CODES)
    with pytest.raises(ValueError, match="previously unseen labels"):
        CatBoostClassifier(**SETTINGS).fit(X, LABELS, eval_set=(X, np.where(CODES, "yes", "other")))
    with pytest.raises(AttributeError, match="has no init_raw yet"):
        _ = CatBoostClassifier().init_raw_
    with pytest.raises(ValueError, match="class_weights has 3 entries for 2 classes"):
        CatBoostClassifier(class_weights=[1, 2, 3], **SETTINGS).fit(X, CODES)


@pytest.mark.parametrize("kind", ["model", "file", "other rows"])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_going_on_from_a_model(classes, kind, tmp_path):
    """Of an earlier model CatBoost counts the start or not, as its rows are those of before."""
    if classes:
        estimator, y = CatBoostClassifier, CODES if classes == 2 else np.digitize(SCORE, [-0.5, 1.5])
    else:
        estimator, y = CatBoostRegressor, SCORE + 50
    settings = {**SETTINGS, "random_strength": 0}  # a new fit draws anew
    rows, labels = X.copy(), y.copy()
    if kind == "other rows":
        order = RNG.permutation(len(X))
        rows, labels = X[order], y[order]
    first = estimator(**settings).fit(rows, labels)
    start = first.get_scale_and_bias()
    earlier = first
    if kind == "file":
        earlier = tmp_path / "first.cbm"
        first.save_model(earlier)
    both = estimator(**settings).fit(X, y, init_model=earlier)
    at_once = estimator(**{**settings, "iterations": 40}).fit(X, y)
    assert both.tree_count_ == 40
    assert both.get_scale_and_bias() == start == first.get_scale_and_bias()
    if classes:
        np.testing.assert_allclose(both.predict_proba(X), at_once.predict_proba(X), rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_allclose(both.predict(X), at_once.predict(X), rtol=1e-5)
