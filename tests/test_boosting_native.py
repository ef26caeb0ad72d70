"""Bare objectives in the libraries' own interfaces: cross validation, early stopping, GOSS, DART, kinds of data."""

import numpy as np
import pytest

import lossext as lx

RNG = np.random.default_rng(4)
X = RNG.normal(size=(400, 5))
SCORE = X[:, 0] + RNG.normal(size=400)
Y = (SCORE > 0.5).astype(float)
CLASSES = np.digitize(SCORE, [-0.5, 0.5])
LGB = {"num_leaves": 7, "num_threads": 1, "verbose": -1, "seed": 1, "boost_from_average": False}
XGB = {"max_depth": 3, "nthread": 1, "base_score": 0.5, "seed": 1}


def lightgbm_objective(loss=None):
    pytest.importorskip("lightgbm")
    from lossext.boosting import LightGBMObjective

    return LightGBMObjective(loss or lx.BCEWithLogitsLoss())


def xgboost_objective(loss=None):
    pytest.importorskip("xgboost")
    from lossext.boosting import XGBoostObjective

    return XGBoostObjective(loss or lx.BCEWithLogitsLoss())


of_either_library = pytest.mark.parametrize("make", [lightgbm_objective, xgboost_objective])


def test_lightgbm_cv():
    objective = lightgbm_objective()
    import lightgbm as lgb

    settings = {"num_boost_round": 20, "nfold": 3, "seed": 0, "stratified": False}
    ours = lgb.cv(
        {**LGB, "objective": objective, "metric": "None"}, lgb.Dataset(X, Y), feval=objective.metric, **settings
    )
    theirs = lgb.cv({**LGB, "objective": "binary"}, lgb.Dataset(X, Y), **settings)
    mean, expected = (next(v for k, v in found.items() if k.endswith("-mean")) for found in (ours, theirs))
    np.testing.assert_allclose(mean, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_xgboost_cv():
    objective = xgboost_objective()
    import xgboost as xgb

    settings = {"num_boost_round": 20, "nfold": 3, "seed": 0, "as_pandas": False}
    params = {**XGB, "objective": "binary:logistic"}
    data = xgb.DMatrix(X, Y)
    ours = xgb.cv(
        {**params, "disable_default_eval_metric": 1}, data, obj=objective, custom_metric=objective.metric, **settings
    )
    theirs = xgb.cv(params, data, **settings)
    mean = next(v for k, v in ours.items() if k.startswith("test") and k.endswith("-mean"))
    np.testing.assert_allclose(mean, theirs["test-logloss-mean"], rtol=1e-5)


@pytest.mark.parametrize("classes", [False, True])
def test_lightgbm_early_stopping(classes):
    objective = lightgbm_objective(lx.CrossEntropyLoss() if classes else None)
    import lightgbm as lgb

    y, more = (CLASSES, {"num_class": 3}) if classes else (Y, {})
    found = []
    for choice, feval in (
        ({"objective": objective, "metric": "None"}, objective.metric),
        ({"objective": "multiclass" if classes else "binary"}, None),
    ):
        train = lgb.Dataset(X[:250], y[:250])
        model = lgb.train(
            {**LGB, **more, **choice}, train, 300, [lgb.Dataset(X[250:], y[250:], reference=train)], feval=feval,
            callbacks=[lgb.early_stopping(5, verbose=False)],
        )  # fmt: skip
        found.append(model.best_iteration)
    assert 1 < found[0] == found[1] < 290


@pytest.mark.parametrize("more", [{"data_sample_strategy": "goss"}, {"bagging_fraction": 0.5, "bagging_freq": 1}])
@pytest.mark.parametrize("classes", [False, True])
def test_lightgbm_samples(more, classes):
    objective = lightgbm_objective(lx.CrossEntropyLoss() if classes else None)
    import lightgbm as lgb

    y, several = (CLASSES, {"num_class": 3}) if classes else (Y, {})
    own = "multiclass" if classes else "binary"
    raw = [
        lgb.train({**LGB, **several, **more, "objective": choice}, lgb.Dataset(X, y), 20).predict(X, raw_score=True)
        for choice in (objective, own)
    ]
    np.testing.assert_allclose(*raw, rtol=1e-5, atol=1e-6)


def test_lightgbm_dart():
    """Other trees are dropped than with its own objective, which draws them at another moment."""
    objective = lightgbm_objective()
    import lightgbm as lgb

    settings = {**LGB, "boosting": "dart", "drop_rate": 0.3, "skip_drop": 0.0}
    raw = [
        lgb.train({**settings, "objective": choice}, lgb.Dataset(X[:250], Y[:250]), 40).predict(X[250:], raw_score=True)
        for choice in (objective, "binary")
    ]
    ours, theirs = (float(lx.binary_cross_entropy_with_logits(r, Y[250:])) for r in raw)
    assert ours == pytest.approx(theirs, rel=0.1)
    assert ours < 0.9 * np.log(2)


@pytest.mark.parametrize("more", [{}, {"booster": "dart", "rate_drop": 0.3}, {"subsample": 0.5}])
@pytest.mark.parametrize("kind", ["DMatrix", "QuantileDMatrix"])
def test_xgboost_dart_and_kinds_of_data(more, kind):
    objective = xgboost_objective()
    import xgboost as xgb

    data = getattr(xgb, kind)(X, Y)
    params = {**XGB, **more, "objective": "binary:logistic"}
    raw = [xgb.train(params, data, 20, obj=choice).predict(data, output_margin=True) for choice in (objective, None)]
    np.testing.assert_allclose(*raw, rtol=1e-5, atol=1e-5)


def test_missing_labels_of_several():
    """LightGBM's labels are rows of a table, in which a label may be unknown."""
    objective = lightgbm_objective()
    import lightgbm as lgb

    from lossext.boosting import LightGBMObjective

    table = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, np.nan], [0, np.nan]])
    second = (X[:, 1] > 0).astype(int)
    codes = 2 * Y.astype(int) + second
    unknown = RNG.uniform(size=400) < 0.5
    codes[unknown] = np.where(Y[unknown] == 1, 4, 5)
    objective = LightGBMObjective(lx.BCEWithLogitsLoss(missing="nan"), label_sets=table)
    params = {**LGB, "num_class": 2, "objective": objective}
    model = lgb.train(params, lgb.Dataset(X, codes), 20)
    raw = model.predict(X)
    reference = lgb.train({**LGB, "objective": "binary"}, lgb.Dataset(X, Y), 20).predict(X, raw_score=True)
    np.testing.assert_allclose(raw[:, 0], reference, rtol=1e-5, atol=1e-6)
    assert ((raw[:, 1] > 0) == second).mean() > 0.95


@of_either_library
@pytest.mark.parametrize("loss", [lx.BCEWithLogitsLoss(), lx.L1Loss(), lx.CrossEntropyLoss()], ids=repr)
def test_weights_are_one_a_row(make, loss):
    shape = (30, 3) if loss.declaration.takes_ids else (30,)
    objective, raw, y = make(loss), np.zeros(shape), np.zeros(30)
    for shape in ((1,), (29,), (31,), (30, 1), (30, 2)):
        for call in (objective, objective.metric):
            with pytest.raises(
                ValueError, match=rf"weights have shape \({shape[0]},.*; allowed is \(30,\), one per row"
            ):
                call(y, raw, np.ones(shape))
    with pytest.raises(TypeError, match="the array of weights has dtype complex128"):
        objective(y, raw, np.ones(30, complex))


@of_either_library
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dtypes_that_are_equal_and_not_the_same(make, dtype):
    other = np.dtype(dtype, metadata={"a": 1})
    rng = np.random.default_rng(0)
    raw, y, weight = rng.normal(size=500).astype(dtype), rng.integers(0, 2, 500).astype(dtype), np.ones(500, dtype)
    objective = make()
    expected = objective(y, raw, weight)
    for arrays in ((y.astype(other), raw, weight), (y, raw.astype(other), weight), (y, raw, weight.astype(other))):
        assert np.array_equal(objective(*arrays), expected)
