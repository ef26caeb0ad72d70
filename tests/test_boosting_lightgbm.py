"""Objectives and metrics on the real LightGBM."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import lossext as lx

lgb = pytest.importorskip("lightgbm")
sklearn = pytest.importorskip("sklearn")

from lossext.boosting import LightGBMObjective, _adapter  # noqa: E402

ROUNDS = 50
pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")  # its successor is too new
PARAMS = {"num_leaves": 7, "num_threads": 1, "verbose": -1, "seed": 0}
CLASSIFIER = {"num_leaves": 7, "n_jobs": 1, "verbose": -1, "random_state": 0}


def data(n_labels=1, n_rows=600):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n_rows, 8))
    scores = X @ rng.normal(size=(8, n_labels)) + rng.normal(size=(n_rows, n_labels)) - 1
    y = (scores > 0).astype(np.int64)
    return X, (y[:, 0] if n_labels == 1 else y), rng.uniform(0.2, 3, n_rows)


def bce_from_mean(y, weight=None):
    loss = lx.BCEWithLogitsLoss()
    return LightGBMObjective(loss, init_raw=loss.init_raw(y, weight))


@pytest.mark.parametrize("weighted", [False, True])
def test_train_like_binary(weighted):
    X, y, weight = data()
    weight = weight if weighted else None
    own, ours = {}, {}
    objective = bce_from_mean(y, weight)
    dataset = lgb.Dataset(X, y, weight=weight)
    reference = lgb.train(
        {**PARAMS, "objective": "binary", "metric": "binary_logloss"}, dataset, ROUNDS, [dataset],
        callbacks=[lgb.record_evaluation(own)],
    )  # fmt: skip
    dataset = lgb.Dataset(X, y, weight=weight)
    model = lgb.train(
        {**PARAMS, "objective": objective}, dataset, ROUNDS, [dataset],
        feval=objective.metric, callbacks=[lgb.record_evaluation(ours)],
    )  # fmt: skip
    np.testing.assert_allclose(objective.predict(model.predict(X)), reference.predict(X), atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        ours["training"]["binary_cross_entropy_with_logits"], own["training"]["binary_logloss"], rtol=1e-5
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_classifier_like_binary(weighted):
    X, y, weight = data()
    weight = weight if weighted else None
    objective = bce_from_mean(y, weight)
    reference = lgb.LGBMClassifier(**CLASSIFIER, n_estimators=ROUNDS).fit(X, y, sample_weight=weight)
    model = sklearn.base.clone(lgb.LGBMClassifier(**CLASSIFIER, n_estimators=ROUNDS, objective=objective))
    model.fit(X, y, sample_weight=weight)
    probability = objective.predict(model.predict(X, raw_score=True))
    np.testing.assert_allclose(probability, reference.predict_proba(X)[:, 1], atol=1e-5, rtol=0)


def test_init_score_of_the_dataset_works_too():
    X, y, _ = data()
    loss = lx.BCEWithLogitsLoss()
    constant = loss.init_raw(y)
    dataset = lgb.Dataset(X, y, init_score=np.full(len(y), constant))
    model = lgb.train({**PARAMS, "objective": LightGBMObjective(loss)}, dataset, 20)
    reference = lgb.train({**PARAMS, "objective": bce_from_mean(y)}, lgb.Dataset(X, y), 20)
    np.testing.assert_allclose(model.predict(X), reference.predict(X), atol=1e-5)


@pytest.mark.parametrize("interface", ["train", "regressor"])
@pytest.mark.parametrize("cls", [lx.BCEWithLogitsLoss, lx.MultiLabelSoftMarginLoss])
def test_multilabel_like_binary_of_each_column(cls, interface):
    X, Y, weight = data(4)
    label_sets, codes = np.unique(Y, axis=0, return_inverse=True)
    loss = cls()
    objective = LightGBMObjective(loss, init_raw=loss.init_raw(Y, weight), label_sets=label_sets)
    if interface == "train":
        dataset, log = lgb.Dataset(X, codes, weight=weight), {}
        model = lgb.train(
            {**PARAMS, "objective": objective, "num_class": 4}, dataset, ROUNDS, [dataset],
            feval=objective.metric, callbacks=[lgb.record_evaluation(log)],
        )  # fmt: skip
        mean = loss(model.predict(X) + objective.init_raw, Y, sample_weight=weight) * len(Y) / weight.sum()
        np.testing.assert_allclose(log["training"][loss.declaration.function][-1], mean, rtol=1e-6)
    else:
        model = lgb.LGBMRegressor(
            **CLASSIFIER, n_estimators=ROUNDS, objective=objective, num_class=4, metric="None"
        ).fit(X, codes, sample_weight=weight)
    probability = objective.predict(model.predict(X))
    for column, y in zip(probability.T, Y.T, strict=True):
        reference = lgb.train({**PARAMS, "objective": "binary"}, lgb.Dataset(X, y, weight=weight), ROUNDS)
        np.testing.assert_allclose(column, reference.predict(X), atol=1e-5, rtol=0)


@pytest.mark.parametrize("p", [1, 2])
def test_multiclass(p):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_digits(return_X_y=True)
    train, test = np.arange(len(y)) % 4 != 0, np.arange(len(y)) % 4 == 0
    settings = {**CLASSIFIER, "n_estimators": 20, "learning_rate": 0.3}
    objective = LightGBMObjective(lx.MultiMarginLoss(p=p))
    model = lgb.LGBMClassifier(**settings, objective=objective)
    model.fit(X[train], y[train], eval_set=[(X[test], y[test])], eval_metric=objective.metric)
    softmax = lgb.LGBMClassifier(**settings).fit(X[train], y[train])
    raw = objective.predict(model.predict(X[test], raw_score=True))
    assert raw.shape == (test.sum(), 10)
    accuracy = (raw.argmax(axis=1) == y[test]).mean()
    assert accuracy > softmax.score(X[test], y[test]) - 0.02
    log = model.evals_result_["valid_0"]["multi_margin_loss"]
    np.testing.assert_allclose(log[-1], lx.multi_margin_loss(raw, y[test], p=p), rtol=1e-6)
    native = lgb.train(
        {**PARAMS, "learning_rate": 0.3, "objective": objective, "num_class": 10},
        lgb.Dataset(X[train], y[train]),
        20,
    )
    np.testing.assert_allclose(native.predict(X[test]), raw, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_binary_multi_margin(p):
    X, y, _ = data()
    objective = LightGBMObjective(lx.MultiMarginLoss(p=p))
    model = lgb.train({**PARAMS, "objective": objective}, lgb.Dataset(X, y), ROUNDS)
    assert ((objective.predict(model.predict(X)) > 0) == y).mean() > (0.88 if p == 1 else 0.95)


@pytest.mark.parametrize("loss", [lx.MultiMarginLoss, lx.HingeLoss])
def test_margin_sets_the_scale_alone(loss):
    """Without the library's own constants, scores grow with the margin and nothing else changes."""
    X, y, weight = data()
    params = {**PARAMS, "min_sum_hessian_in_leaf": 0}
    one, many = (
        lgb.train({**params, "objective": LightGBMObjective(loss(margin=m))}, lgb.Dataset(X, y, weight=weight), 20)
        for m in (1.0, 64.0)
    )
    np.testing.assert_allclose(many.predict(X), 64 * one.predict(X), rtol=1e-9)


@pytest.mark.parametrize("interface", ["train", "classifier"])
def test_early_stopping(interface):
    X, y, _ = data()
    X_train, y_train, X_valid, y_valid = X[:200], y[:200], X[200:], y[200:]
    objective = bce_from_mean(y_train)
    stop = lgb.early_stopping(5, verbose=False)
    train = lgb.Dataset(X_train, y_train)
    reference = lgb.train(
        {**PARAMS, "objective": "binary"}, train, 300, [lgb.Dataset(X_valid, y_valid, train)], callbacks=[stop]
    )
    if interface == "train":
        train = lgb.Dataset(X_train, y_train)
        valid = lgb.Dataset(X_valid, y_valid, train)
        model = lgb.train(
            {**PARAMS, "objective": objective}, train, 300, [valid], feval=objective.metric, callbacks=[stop]
        )
    else:
        model = lgb.LGBMClassifier(**CLASSIFIER, n_estimators=300, objective=objective, metric="None")
        model.fit(X_train, y_train, eval_set=[(X_valid, y_valid)], eval_metric=objective.metric, callbacks=[stop])
        model = model.booster_
    assert 0 < model.best_iteration < 290
    assert model.best_iteration == reference.best_iteration


def test_pickles():
    X, y, weight = data()
    objective = LightGBMObjective(
        lx.BCEWithLogitsLoss(pos_weight=2.0), init_raw=[0.5, 1.0], label_sets=[[0, 1], [1, 1]]
    )
    assert pickle.loads(pickle.dumps(objective)) == objective == copy.deepcopy(objective)
    assert repr(objective).startswith("LightGBMObjective(loss=BCEWithLogitsLoss(")
    objective = bce_from_mean(y, weight)
    model = lgb.LGBMClassifier(n_estimators=3, objective=objective, verbose=-1)
    model.fit(X, y, sample_weight=weight)
    again = pickle.loads(pickle.dumps(model))
    assert again.objective_ == objective
    assert np.array_equal(again.predict(X, raw_score=True), model.predict(X, raw_score=True))


def test_layout():
    rng = np.random.default_rng(0)
    raw, y = np.asfortranarray(rng.normal(size=(30, 4))), rng.integers(0, 4, 30)
    for derivative in LightGBMObjective(lx.MultiMarginLoss(p=2))(y, raw, None):
        assert derivative.shape == raw.shape
        assert derivative.dtype == np.float32
        assert np.shares_memory(derivative.ravel(order="F"), derivative)


def test_errors():
    with pytest.raises(TypeError, match="loss must be a loss object"):
        LightGBMObjective("bce")
    loss = lx.BCEWithLogitsLoss()
    for bad in (np.inf, [[1.0]], np.nan):
        with pytest.raises(ValueError, match="init_raw"):
            LightGBMObjective(loss, init_raw=bad)
    with pytest.raises(TypeError, match="init_raw"):
        LightGBMObjective(loss, init_raw="a")
    with pytest.raises(ValueError, match=r"label_sets has shape \(2,\)"):
        LightGBMObjective(loss, label_sets=[0, 1])
    objective = LightGBMObjective(loss, label_sets=[[0, 1], [1, 0]])
    for bad in (2, -1, 0.5):
        with pytest.raises(ValueError, match=f"label {float(bad)} is not a row of label_sets, 0 to 1"):
            objective(np.array([0.0, bad]), np.zeros((2, 2)))
    objective = LightGBMObjective(loss, init_raw=[0.5, 1.0])
    for raw in (np.zeros(2), np.zeros((2, 3))):
        with pytest.raises(ValueError, match=r"init_raw has shape \(2,\); for raw scores of shape"):
            objective.predict(raw)
        with pytest.raises(ValueError, match=r"init_raw has shape \(2,\); for raw scores of shape"):
            objective(np.zeros(raw.shape), raw)


BOOSTED = [cls() for cls in lx.registry() if _adapter.why_not(cls()) is None]


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("loss", BOOSTED, ids=lambda loss: type(loss).__name__)
def test_one_pass_is_what_numpy_gives(loss, dtype, columns):
    """Layouts, weights of either sign and all curvatures; more rows than are worked through at a time.

    Scores and labels are multiples of 1/1024, whose sums and differences are exact: a loss may be as steep as it likes.
    """
    rng = np.random.default_rng(0)
    n, kind = 5001, loss._target.kind
    shape = n if columns == 1 else (n, columns)
    of_classes = kind in ("unit", "sign", "class")
    y = rng.integers(0, max(columns, 2), n) if of_classes else rng.integers(1, 8192, shape) / 1024
    start = 0.25 if columns == 1 else [0.125, -0.25, 0.375]
    tolerance = {"rtol": 2e-5, "atol": 1e-6} if dtype == "f4" else {"rtol": 1e-6, "atol": 1e-12}
    for order, least, curvature in itertools.product("CF", (None, 0.1, -0.5), (None, *loss.declaration.curvatures)):
        raw = np.asarray(np.rint(2048 * rng.normal(size=(n, columns))) / 1024, dtype, order=order)
        weight = None if least is None else rng.uniform(least, 2, n).astype("f4")
        objective = LightGBMObjective(loss, start, curvature=curvature, scale_pos_weight=1.5)
        found, expected = ([np.empty((n, columns), "f4", out) for _ in range(2)] for out in "FC")
        assert objective._in_one_pass(raw, y.astype("f4"), weight, *found)
        objective._in_blocks(raw, y.astype("f4"), weight, *expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, **tolerance)
