"""Objectives and metrics on the real CatBoost."""

import copy
import pickle

import numpy as np
import pytest

import lossext as lx

catboost = pytest.importorskip("catboost")

from lossext.boosting import CatBoostMultiTargetObjective, CatBoostObjective  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Failed to import numba", "ignore:Can't optimze method")  # sic
ROUNDS = 50
SETTINGS = {
    "depth": 3,
    "learning_rate": 0.2,
    "thread_count": 1,
    "random_seed": 0,
    "verbose": False,
    "allow_writing_files": False,
    "bootstrap_type": "No",
    "leaf_estimation_method": "Newton",
    "leaf_estimation_iterations": 1,
}


def data(n_labels=1, n_rows=400):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n_rows, 8))
    scores = X @ rng.normal(size=(8, n_labels)) + rng.normal(size=(n_rows, n_labels)) - 1
    y = (scores > 0).astype(np.int64)
    return X, (y[:, 0] if n_labels == 1 else y), rng.uniform(0.2, 3, n_rows)


def model_of(objective, cls=catboost.CatBoost, **settings):
    settings = {**SETTINGS, "iterations": ROUNDS, "loss_function": objective, **settings}
    if not isinstance(objective, str):
        settings["eval_metric"] = objective.metric
    return cls(settings) if cls is catboost.CatBoost else cls(**settings)


@pytest.mark.parametrize("cls", [catboost.CatBoost, catboost.CatBoostClassifier])
@pytest.mark.parametrize("weighted", [False, True])
def test_like_logloss(cls, weighted):
    X, y, weight = data()
    weight = weight if weighted else None
    objective = CatBoostObjective(lx.BCEWithLogitsLoss())
    reference = model_of("Logloss", cls).fit(X, y, sample_weight=weight)
    model = model_of(objective, cls).fit(X, y, sample_weight=weight)
    probability = objective.predict(model.predict(X, prediction_type="RawFormulaVal"))
    expected = reference.predict(X, prediction_type="Probability")[:, 1]
    np.testing.assert_allclose(probability, expected, atol=1e-5, rtol=0)
    log = model.evals_result_["learn"]["CatBoostMetric"]
    np.testing.assert_allclose(log, reference.evals_result_["learn"]["Logloss"], rtol=1e-3)  # its sum is a rough one
    losses = lx.binary_cross_entropy_with_logits(model.predict(X, prediction_type="RawFormulaVal"), y, reduction="none")
    np.testing.assert_allclose(log[-1], np.average(losses, weights=weight), rtol=1e-6)


def test_starts_from_init_raw_like_boost_from_average():
    X, y, weight = data()
    loss = lx.BCEWithLogitsLoss()
    objective = CatBoostObjective(loss, init_raw=loss.init_raw(y, weight))
    reference = model_of("Logloss", boost_from_average=True).fit(X, y, sample_weight=weight)
    model = model_of(objective).fit(X, y, sample_weight=weight)
    probability = objective.predict(model.predict(X, prediction_type="RawFormulaVal"))
    expected = reference.predict(X, prediction_type="Probability")[:, 1]
    np.testing.assert_allclose(probability, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cls", [lx.BCEWithLogitsLoss, lx.MultiLabelSoftMarginLoss])
def test_like_multilogloss(cls, weighted):
    X, Y, weight = data(3)
    weight = weight if weighted else None
    pool = catboost.Pool(X, Y, weight=weight)
    objective = CatBoostMultiTargetObjective(cls())
    reference = model_of("MultiLogloss").fit(pool)
    model = model_of(objective).fit(pool)
    probability = objective.predict(model.predict(X, prediction_type="RawFormulaVal"))
    expected = reference.predict(X, prediction_type="Probability")
    np.testing.assert_allclose(probability, expected, atol=1e-5, rtol=0)
    (log,) = model.evals_result_["learn"].values()
    losses = lx.multilabel_soft_margin_loss(model.predict(X, prediction_type="RawFormulaVal"), Y, reduction="none")
    np.testing.assert_allclose(log[-1], np.average(losses, weights=weight), rtol=1e-6)
    if not weighted:  # CatBoost divides a weighted one by the number of rows
        np.testing.assert_allclose(log, reference.evals_result_["learn"]["MultiLogloss"], rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_multiclass(p):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_iris(return_X_y=True)
    train, test = np.arange(len(y)) % 2 != 0, np.arange(len(y)) % 2 == 0
    objective = CatBoostObjective(lx.MultiMarginLoss(p=p))
    model = model_of(objective, catboost.CatBoostClassifier, class_names=[0, 1, 2]).fit(X[train], y[train])
    softmax = model_of("MultiClass").fit(X[train], y[train])
    raw = objective.predict(model.predict(X[test], prediction_type="RawFormulaVal"))
    assert np.array_equal(raw.argmax(axis=1), model.predict(X[test])[:, 0])
    expected = softmax.predict(X[test], prediction_type="Class")[:, 0]
    assert (raw.argmax(axis=1) == y[test]).mean() > (expected == y[test]).mean() - 0.03
    raw = model.predict(X[train], prediction_type="RawFormulaVal")
    log = model.evals_result_["learn"]["CatBoostMetric"]
    np.testing.assert_allclose(log[-1], lx.multi_margin_loss(raw, y[train], p=p), rtol=1e-6)


def test_binary_hinge():
    X, y, weight = data()
    objective = CatBoostObjective(lx.MultiMarginLoss(p=2))
    model = model_of(objective).fit(X, y, sample_weight=weight)
    raw = model.predict(X, prediction_type="RawFormulaVal")
    assert ((objective.predict(raw) > 0) == y).mean() > 0.9


def test_early_stopping():
    X, y, _ = data(n_rows=600)
    train, valid = catboost.Pool(X[:200], y[:200]), catboost.Pool(X[200:], y[200:])
    objective = CatBoostObjective(lx.BCEWithLogitsLoss())
    models = [
        model_of(loss, iterations=500, early_stopping_rounds=10).fit(train, eval_set=valid)
        for loss in (objective, "Logloss")
    ]
    assert 0 < models[0].best_iteration_ < 480
    assert models[0].best_iteration_ == models[1].best_iteration_


@pytest.mark.parametrize("cls", [CatBoostObjective, CatBoostMultiTargetObjective])
def test_pickles(cls):
    objective = cls(lx.BCEWithLogitsLoss(pos_weight=2.0), init_raw=0.5)
    assert pickle.loads(pickle.dumps(objective)) == objective == copy.deepcopy(objective)
    assert repr(objective).startswith(f"{cls.__name__}(loss=BCEWithLogitsLoss(")
    metric = pickle.loads(pickle.dumps(objective.metric))
    approxes, y = [np.array([0.5, -1.0, 2.0])], np.array([1, 0, 1], np.float32)
    assert metric.evaluate(approxes, y, None) == objective.metric.evaluate(approxes, y, None)


def test_model_pickles():
    X, y, _ = data()
    objective = CatBoostObjective(lx.BCEWithLogitsLoss())
    model = model_of(objective, catboost.CatBoostClassifier, iterations=3, class_names=[0, 1]).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert again.get_params()["loss_function"] == objective


def test_errors():
    for cls in (CatBoostObjective, CatBoostMultiTargetObjective):
        with pytest.raises(TypeError, match="loss must be a loss object"):
            cls("bce")
        with pytest.raises(ValueError, match="init_raw"):
            cls(lx.BCEWithLogitsLoss(), init_raw=np.nan)
    with pytest.raises(ValueError, match="takes one class id per row"):
        CatBoostMultiTargetObjective(lx.MultiMarginLoss())
    X, y, _ = data()
    with pytest.raises(catboost.CatBoostError, match=r"is not in \[0, 1\]"):
        model_of(CatBoostObjective(lx.BCEWithLogitsLoss())).fit(X, 2 * y)
