"""Objectives and metrics on the real XGBoost."""

import copy
import pickle

import numpy as np
import pytest

import lossext as lx

xgb = pytest.importorskip("xgboost")
sklearn = pytest.importorskip("sklearn")

from lossext.boosting import XGBoostObjective  # noqa: E402
from lossext.boosting._adapter import why_not  # noqa: E402

ROUNDS = 50
PARAMS = {"max_depth": 3, "nthread": 1, "seed": 0}
estimates_as_we_do = pytest.mark.skipif(
    tuple(map(int, xgb.__version__.split(".")[:2])) < (3, 1), reason="older ones estimate another base_score"
)


def data(n_labels=1, n_rows=600):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n_rows, 8)).astype(np.float32)
    scores = X @ rng.normal(size=(8, n_labels)) + rng.normal(size=(n_rows, n_labels)) - 1
    y = (scores > 0).astype(np.float32)
    return X, (y[:, 0] if n_labels == 1 else y), rng.uniform(0.2, 3, n_rows)


@estimates_as_we_do
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_labels", [1, 4])
def test_train_like_logistic(n_labels, weighted):
    X, y, weight = data(n_labels)
    weight = weight if weighted else None
    matrix = xgb.DMatrix(X, y, weight=weight)
    params = {**PARAMS, "objective": "binary:logistic"}
    objective = XGBoostObjective(lx.BCEWithLogitsLoss())
    own, ours = {}, {}
    reference = xgb.train(
        {**params, "eval_metric": "logloss"},
        matrix,
        ROUNDS,
        evals=[(matrix, "train")],
        evals_result=own,
        verbose_eval=False,
    )
    model = xgb.train(
        {**params, "base_score": objective.base_score(y, weight), "disable_default_eval_metric": True},
        matrix,
        ROUNDS,
        evals=[(matrix, "train")],
        obj=objective,
        custom_metric=objective.metric,
        evals_result=ours,
        verbose_eval=False,
    )
    np.testing.assert_allclose(model.predict(matrix), reference.predict(matrix), atol=1e-5, rtol=0)
    raw = model.predict(matrix, output_margin=True)
    np.testing.assert_allclose(objective.predict(raw), reference.predict(matrix), atol=1e-5, rtol=0)
    (name,) = ours["train"]
    assert name == "binary_cross_entropy_with_logits"
    np.testing.assert_allclose(ours["train"][name], own["train"]["logloss"], rtol=1e-5)


@estimates_as_we_do
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_labels", [1, 4])
def test_classifier_like_logistic(n_labels, weighted):
    X, y, weight = data(n_labels)
    weight = weight if weighted else None
    objective = XGBoostObjective(lx.BCEWithLogitsLoss())
    settings = {"max_depth": 3, "n_jobs": 1, "n_estimators": ROUNDS}
    reference = xgb.XGBClassifier(**settings).fit(X, y, sample_weight=weight)
    model = xgb.XGBClassifier(
        **settings, objective=objective, base_score=objective.base_score(y, weight), eval_metric=objective.metric
    )
    model = sklearn.base.clone(model).fit(
        X,
        y,
        sample_weight=weight,
        eval_set=[(X, y)],
        sample_weight_eval_set=None if weight is None else [weight],
        verbose=False,
    )  # fmt: skip
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-5, rtol=0)
    assert np.array_equal(model.predict(X), reference.predict(X))
    log = model.evals_result()["validation_0"]["binary_cross_entropy_with_logits"]
    raw = model.predict(X, output_margin=True)
    row_losses = lx.BCEWithLogitsLoss(reduction="none")(raw, y).reshape(len(y), -1).mean(axis=1)
    np.testing.assert_allclose(log[-1], np.average(row_losses, weights=weight), rtol=1e-5)


def test_multi_output_trees():
    X, y, weight = data(4)
    matrix = xgb.DMatrix(X, y, weight=weight)
    params = {**PARAMS, "objective": "binary:logistic", "multi_strategy": "multi_output_tree", "base_score": 0.3}
    reference = xgb.train(params, matrix, 20)
    model = xgb.train(params, matrix, 20, obj=XGBoostObjective(lx.BCEWithLogitsLoss()))
    np.testing.assert_allclose(model.predict(matrix), reference.predict(matrix), atol=1e-5, rtol=0)


def test_binary_multi_margin():
    """It learns as XGBoost's own hinge does, whose Hessian is 1 at a violated margin."""
    X, y, _ = data(n_rows=1200)
    train, test = xgb.DMatrix(X[:400], y[:400]), xgb.DMatrix(X[400:], y[400:])
    objective = XGBoostObjective(lx.MultiMarginLoss())
    reference = xgb.train({**PARAMS, "objective": "binary:hinge", "base_score": 0.5}, train, ROUNDS)
    model = xgb.train({**PARAMS, "base_score": 0.5}, train, ROUNDS, obj=objective)
    accuracy = ((objective.predict(model.predict(test)) > 0) == y[400:]).mean()
    assert accuracy >= (reference.predict(test) == y[400:]).mean()


def test_steps_of_hinges_go_to_the_margin():
    """A Newton step of one score, for one violated hinge, ends at the kink, whatever the weights."""
    raw = np.array([[0.0, 1.0, -9.0], [0.0, -0.5, -9.0]])
    for cls in (lx.MultiMarginLoss, lx.MulticlassHingeLoss):
        objective = XGBoostObjective(cls(margin=3.0, weight=[5.0, 1.0, 1.0]))
        grad, hess = objective(np.array([0, 0]), raw, np.array([2.0, 0.1]))
        np.testing.assert_allclose(-grad / hess, [[4, -4, 0], [2.5, -2.5, 0]], rtol=1e-6)
    grad, hess = objective(np.array([0]), np.array([[2.9, 0.0, 0.0]]))
    np.testing.assert_allclose(-grad / hess, [[1.5, -1.5, 0]], rtol=1e-6)  # half of the margin at least
    assert (XGBoostObjective(lx.MultiMarginLoss(margin=0.0))(np.array([0]), raw[:1])[1] > 0).all()


@pytest.mark.parametrize("loss", [lx.L1Loss(), lx.PinballLoss(quantile=0.3), lx.HingeLoss(margin=2.0)])
def test_majorizers_are_capped_at_the_kink(loss):
    """A distance d from the kink counts as at least 0.04 (mean sqrt|d|)^2."""
    rng = np.random.default_rng(0)
    raw, y = rng.normal(size=500), np.repeat([1.0, -1.0], 250)
    raw[:3] = y[:3] * getattr(loss, "margin", 1.0)
    weight = rng.uniform(0.2, 3, 500)
    grad, hess = XGBoostObjective(loss)(y, raw, weight)
    slope, curvature = loss._with(reduction="sum").grad_and_hess(raw, y, curvature="majorizer")
    assert np.isinf(curvature).any()
    curved = curvature[(curvature > 0) & np.isfinite(curvature)]
    largest = 1 / (0.04 * np.mean(1 / np.sqrt(curved)) ** 2)
    expected = np.maximum(np.minimum(curvature, largest), 1e-16) * weight
    np.testing.assert_allclose(hess, expected, rtol=1e-6)
    np.testing.assert_allclose(grad, slope * weight, rtol=1e-6)


def test_negative_weights_turn_the_sign():
    raw, y, weight = np.array([0.5, -200.0, 1.0]), np.array([1, 0, 0]), np.array([-2.0, -1.0, 1.0])
    for loss in (lx.BCEWithLogitsLoss(), lx.L1Loss(), lx.HingeLoss()):
        grad, hess = XGBoostObjective(loss)(y, raw, weight)
        plain = XGBoostObjective(loss)(y, raw)
        np.testing.assert_allclose(grad, plain[0] * weight, rtol=1e-6)
        np.testing.assert_allclose(hess, plain[1] * weight, rtol=1e-6)


def test_only_hinges_have_a_stand_in():
    far = np.array([-200.0, 200.0], np.float32)  # the Hessian is 0 in float32
    for loss in (lx.BCEWithLogitsLoss(), lx.MultiLabelSoftMarginLoss()):
        grad, hess = XGBoostObjective(loss)(np.array([1, 0]), far)
        assert grad.tolist() == [-1, 1]
        assert hess.tolist() == [np.float32(1e-16)] * 2  # as XGBoost's own
    grad, hess = XGBoostObjective(lx.MultiMarginLoss(p=2))(np.array([1, 1]), far)
    np.testing.assert_allclose(hess, [2, 1e-16])


def test_row_means_train_like_sums():
    """The 1/C of a row's loss does not reach the trees."""
    X, y, weight = data(4)
    matrix = xgb.DMatrix(X, y, weight=weight)
    bce, multilabel = (
        xgb.train(PARAMS, matrix, 10, obj=XGBoostObjective(loss)).predict(matrix)
        for loss in (lx.BCEWithLogitsLoss(), lx.MultiLabelSoftMarginLoss())
    )
    np.testing.assert_allclose(bce, multilabel, atol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_multiclass(p):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_digits(return_X_y=True)
    train, test = np.arange(len(y)) % 4 != 0, np.arange(len(y)) % 4 == 0
    settings = {"max_depth": 4, "n_jobs": 1, "n_estimators": 15}
    objective = XGBoostObjective(lx.MultiMarginLoss(p=p))
    model = xgb.XGBClassifier(**settings, objective=objective).fit(X[train], y[train])
    softmax = xgb.XGBClassifier(**settings).fit(X[train], y[train])
    raw = objective.predict(model.predict(X[test], output_margin=True))
    assert raw.shape == (test.sum(), 10)
    assert np.array_equal(raw.argmax(axis=1), model.predict(X[test]))
    assert model.score(X[test], y[test]) > softmax.score(X[test], y[test]) - (0.04 if p == 1 else 0.03)


@pytest.mark.parametrize("interface", ["train", "classifier"])
def test_early_stopping(interface):
    X, y, _ = data()
    X_train, y_train, X_valid, y_valid = X[:200], y[:200], X[200:], y[200:]
    objective = XGBoostObjective(lx.BCEWithLogitsLoss())
    base_score = objective.base_score(y_train)
    if interface == "train":
        model = xgb.train(
            {**PARAMS, "objective": "binary:logistic", "base_score": base_score},
            xgb.DMatrix(X_train, y_train),
            300,
            evals=[(xgb.DMatrix(X_valid, y_valid), "valid")],
            obj=objective,
            custom_metric=objective.metric,
            early_stopping_rounds=5,
            verbose_eval=False,
        )
    else:
        model = xgb.XGBClassifier(
            n_estimators=300, max_depth=3, n_jobs=1, objective=objective, base_score=base_score,
            eval_metric=objective.metric, early_stopping_rounds=5,
        ).fit(X_train, y_train, eval_set=[(X_valid, y_valid)], verbose=False)  # fmt: skip
    reference = xgb.XGBClassifier(
        n_estimators=300, max_depth=3, n_jobs=1, base_score=base_score, eval_metric="logloss", early_stopping_rounds=5
    ).fit(X_train, y_train, eval_set=[(X_valid, y_valid)], verbose=False)
    assert 0 < model.best_iteration < 290
    assert model.best_iteration == reference.best_iteration


def test_pickles(tmp_path):
    X, y, weight = data()
    objective = XGBoostObjective(lx.BCEWithLogitsLoss(pos_weight=2.0))
    assert pickle.loads(pickle.dumps(objective)) == objective == copy.deepcopy(objective)
    assert repr(objective).startswith("XGBoostObjective(loss=BCEWithLogitsLoss(")
    metric = pickle.loads(pickle.dumps(objective.metric))
    assert metric(y, np.zeros_like(y)) == objective.metric(y, np.zeros_like(y))
    model = xgb.XGBClassifier(n_estimators=3, objective=objective, eval_metric=objective.metric)
    model.fit(X, y, sample_weight=weight)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_params()["objective"] == objective


def test_zero_weights_are_as_no_rows():
    _, y, weight = data()
    weight[::3] = 0
    kept = weight > 0
    objective = XGBoostObjective(lx.BCEWithLogitsLoss())
    raw = np.zeros(len(y), np.float32)
    grad, hess = objective(y, raw, sample_weight=weight)
    few = objective(y[kept], raw[kept], sample_weight=weight[kept])
    assert not grad[~kept].any()
    assert (hess[~kept] <= 1e-16).all()
    assert np.array_equal(grad[kept], few[0])
    assert np.array_equal(hess[kept], few[1])
    np.testing.assert_allclose(objective.metric(y, raw, weight), objective.metric(y[kept], raw[kept], weight[kept]))


@pytest.mark.parametrize("cls", [cls for cls in lx.registry() if why_not(cls()) is None])
def test_derivatives(cls):
    rng = np.random.default_rng(0)
    loss = cls()
    raw = rng.normal(size=(30, 4)).astype(np.float32) * 3
    y = rng.integers(0, 4, 30) if loss.declaration.takes_ids else rng.integers(0, 2, (30, 4))
    if loss._target.kind == "positive":
        y = y + 1
    for flat in (False, True):
        if flat:
            raw, y = raw[:, 0], np.minimum(y, 1) if y.ndim == 1 else y[:, 0]
        for kind in (None, *loss.declaration.curvatures):
            grad, hess = XGBoostObjective(loss, kind)(y.astype(np.float32), raw)
            for derivative in (grad, hess):
                assert derivative.shape == raw.shape
                assert derivative.dtype == np.float32
                assert derivative.flags.c_contiguous
            assert (hess > 0).all()
            assert np.isfinite(hess).all()
        assert np.isfinite(XGBoostObjective(loss).metric(y, raw))


@pytest.mark.parametrize("cls", [cls for cls in lx.registry() if why_not(cls()) is not None])
def test_refuses_what_is_no_free_score(cls):
    with pytest.raises(ValueError, match=r"cannot be boosted: .*Those that can: .*BCEWithLogitsLoss"):
        XGBoostObjective(cls())


def test_refuses_low_scores_that_mean_alike():
    with pytest.raises(ValueError, match='a low score of it means "alike"'):
        XGBoostObjective(lx.HingeEmbeddingLoss())


def test_labels_of_signs():
    raw, y = np.linspace(-2, 2, 5, dtype=np.float32), np.array([0, 1, 0, 1, 0])
    objective = XGBoostObjective(lx.HingeLoss())
    for a, b in zip(objective(y, raw), objective(2 * y - 1, raw), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(objective(y, raw)[0], [0, -1, 1, -1, 1])
    assert objective.predict(raw) is raw


def test_base_score():
    objective = XGBoostObjective(lx.BCEWithLogitsLoss(pos_weight=3.0))
    assert objective.base_score([0, 1]) == pytest.approx(0.75)
    assert objective.base_score([1, 1]) == 1 - 1e-6
    assert objective.base_score([[0, 1], [0, 0]], [1, 0]) == [1e-6, 1 - 1e-6]
    with pytest.raises(TypeError, match="MultiMarginLoss has no link"):
        XGBoostObjective(lx.MultiMarginLoss()).base_score([0, 1])


def test_errors():
    for bad in ("bce", lx.BCEWithLogitsLoss, None):
        with pytest.raises(TypeError, match="loss must be a loss object"):
            XGBoostObjective(bad)
    raw = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"target\[1\] = 2.0 is not in \[0, 1\]"):
        XGBoostObjective(lx.BCEWithLogitsLoss())(np.array([0.0, 2.0, 1.0]), raw)
    with pytest.raises(ValueError, match=r"label 0\.5 is not a class id"):
        XGBoostObjective(lx.MultiMarginLoss())(np.array([0.0, 0.5, 1.0]), raw)
    with pytest.raises(ValueError, match=r"target\[1\] = 2 is not in \[0, 2\): .* num_class"):
        XGBoostObjective(lx.MultiMarginLoss())(np.array([0.0, 2.0, 1.0]), raw)
    with pytest.raises(ValueError, match=r"labels of shape \(3, 2\) do not go with raw scores of shape \(3,\)"):
        XGBoostObjective(lx.BCEWithLogitsLoss())(np.zeros((3, 2)), raw)
