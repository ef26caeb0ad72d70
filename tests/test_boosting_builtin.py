"""With `curvature="builtin"` each objective gives the model that the library's own objective of the loss gives."""

import numpy as np
import pytest

import lossext as lx
from lossext.boosting import _builtin

ROUNDS = 50
RNG = np.random.default_rng(3)
X = RNG.normal(size=(500, 6))
SCORE = X @ RNG.normal(size=6) / 2
WEIGHT = RNG.uniform(0.2, 3, 500)
LABELS = {
    "real": SCORE + RNG.standard_t(2, 500),
    "non_negative": RNG.poisson(np.exp(SCORE)).astype(float),
    "positive": RNG.gamma(2, np.exp(SCORE)) + 1e-3,
    "unit": (SCORE + RNG.normal(size=500) > 0).astype(float),
    "sign": (SCORE + RNG.normal(size=500) > 0).astype(float),
    "class": np.digitize(SCORE + RNG.normal(size=500), [-0.7, 0.7]),
}


def losses(library):
    """Those that have a rule, with other parameters than the defaults where the libraries have these too."""
    parameters = {
        "huber_loss": {"delta": 1.5},
        "expectile_loss": {"expectile": 0.7, **({"weight": 0.5} if library == "xgboost" else {})},
        "pseudo_huber_loss": {"delta": 1.5},
        "sigmoid_focal_loss": {"alpha": 0.25, "gamma": 2.5},
    }
    rules = _builtin.RULES[library]
    classes = [cls for cls in lx.registry() if cls.declaration.function in rules]
    return [cls(**parameters.get(cls.declaration.function, {})) for cls in classes]


def label_of(loss):
    if loss.declaration.ranks == (2,) and not loss.declaration.takes_ids:
        return np.column_stack((LABELS["unit"], X[:, 0] > 0.5)).astype(float)
    return LABELS[loss._target.kind]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", losses("lightgbm"), ids=lambda loss: type(loss).__name__)
def test_lightgbm(loss, weighted):
    lgb = pytest.importorskip("lightgbm")
    from lossext.boosting import LightGBMObjective

    y, weight = label_of(loss), WEIGHT if weighted else None
    rule = _builtin.rule_of("lightgbm", loss)
    init = rule.start(loss, y, weight) if rule.start else loss.init_raw(2 * y - 1 if loss._target.sign else y, weight)
    params = {"num_leaves": 7, "num_threads": 1, "verbose": -1}
    classes = {"num_class": 3} if loss.declaration.takes_ids else {}
    own = {"alpha": getattr(loss, "delta", 0.9), "tweedie_variance_power": getattr(loss, "power", 1.5), **classes}
    if y.ndim == 2:
        table, codes = np.unique(y, axis=0, return_inverse=True)
        objective = LightGBMObjective(loss, init, table, curvature="builtin")
        model = lgb.train(
            {**params, "objective": objective, "num_class": 2}, lgb.Dataset(X, codes, weight=weight), ROUNDS
        )
        expected = [
            lgb.train({**params, "objective": "binary"}, lgb.Dataset(X, c, weight=weight), ROUNDS).predict(X)
            for c in y.T
        ]
        np.testing.assert_allclose(objective.predict(model.predict(X)), np.transpose(expected), rtol=1e-5)
        return
    objective = LightGBMObjective(loss, init, curvature="builtin")
    model = lgb.train({**params, **classes, "objective": objective}, lgb.Dataset(X, y, weight=weight), ROUNDS)
    reference = lgb.train({**params, **own, "objective": rule.objective}, lgb.Dataset(X, y, weight=weight), ROUNDS)
    ours, theirs = objective.predict(model.predict(X)), reference.predict(X)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings(r"ignore:.*\n.*are not used")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", losses("xgboost"), ids=lambda loss: type(loss).__name__)
def test_xgboost(loss, weighted):
    xgb = pytest.importorskip("xgboost")
    from lossext.boosting import XGBoostObjective

    rule = _builtin.rule_of("xgboost", loss)
    if rule is None:
        pytest.skip("the rule of this version is not known")
    objective = XGBoostObjective(loss, "builtin")
    data = xgb.DMatrix(X, label_of(loss), weight=WEIGHT if weighted else None)
    params = {
        "max_depth": 3,
        "nthread": 1,
        "objective": rule.objective,
        "base_score": 0.4,
        "max_delta_step": 0.7 if rule.objective == "count:poisson" else 0,
        **({"num_class": 3} if loss.declaration.takes_ids else {}),
        **({"expectile_alpha": loss.expectile} if rule.objective == "reg:expectileerror" else {}),
    }
    own = {
        "huber_slope": getattr(loss, "delta", 1.0),
        "tweedie_variance_power": getattr(loss, "power", 1.5),
    }
    reference = xgb.train({**params, **own}, data, ROUNDS)
    model = xgb.train(params, data, ROUNDS, obj=objective)
    raw, expected = (m.predict(data, output_margin=True) for m in (model, reference))
    np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=1e-5)
    if loss.declaration.link:
        np.testing.assert_allclose(objective.predict(raw), reference.predict(data), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Failed to import numba", "ignore:Can't optimze method")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["Newton", "Gradient"])
@pytest.mark.parametrize("loss", losses("catboost"), ids=lambda loss: type(loss).__name__)
def test_catboost(loss, method, weighted):
    catboost = pytest.importorskip("catboost")
    from lossext.boosting import CatBoostMultiTargetObjective, CatBoostObjective

    y = label_of(loss)
    cls = CatBoostMultiTargetObjective if y.ndim == 2 else CatBoostObjective
    objective = cls(loss, curvature="builtin")
    name = _builtin.rule_of("catboost", loss).objective
    name += {
        "Huber": f":delta={getattr(loss, 'delta', 0)}",
        "Expectile": f":alpha={getattr(loss, 'expectile', 0)}",
        "Focal": f":focal_alpha={getattr(loss, 'alpha', 0)};focal_gamma={getattr(loss, 'gamma', 0)}",
        "Tweedie": f":variance_power={getattr(loss, 'power', 0)}",
    }.get(name, "")
    settings = {
        "depth": 3,
        "learning_rate": 0.2,
        "thread_count": 1,
        "verbose": False,
        "allow_writing_files": False,
        "bootstrap_type": "No",
        "leaf_estimation_method": method,
        "leaf_estimation_iterations": 1,
        "boost_from_average": False,
        "iterations": ROUNDS,
    }
    if y.ndim == 2:
        del settings["boost_from_average"]
    weight = WEIGHT if weighted else None
    reference = catboost.CatBoost({**settings, "loss_function": name}).fit(X, y, sample_weight=weight)
    model = catboost.CatBoost({**settings, "loss_function": objective, "eval_metric": objective.metric})
    model.fit(X, y, sample_weight=weight)
    raw, expected = (m.predict(X, prediction_type="RawFormulaVal") for m in (model, reference))
    np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=1e-5)


def test_versions(monkeypatch):
    """Rules of versions that are not known are not guessed."""
    xgb = pytest.importorskip("xgboost")
    loss = lx.HalfPoissonLoss()
    monkeypatch.setattr(xgb, "__version__", "3.2.0")
    assert _builtin.rule_of("xgboost", loss).objective == "count:poisson"
    monkeypatch.setattr(xgb, "__version__", "3.4.1")
    assert _builtin.rule_of("xgboost", loss).objective == "count:poisson"
    monkeypatch.setattr(xgb, "__version__", "3.5.0")
    assert _builtin.rule_of("xgboost", loss) is None
    monkeypatch.setattr(xgb, "__version__", "3.10.1")
    assert _builtin.rule_of("xgboost", loss) is None
    assert _builtin.rule_of("xgboost", lx.BCEWithLogitsLoss()) is not None
    from lossext.boosting import XGBoostObjective

    with pytest.raises(ValueError, match="allowed are 'exact', 'fisher'"):
        XGBoostObjective(loss, "builtin")


def test_expectiles_of_xgboost(monkeypatch):
    """Half of the package's loss, of one level, from 3.4 on."""
    xgb = pytest.importorskip("xgboost")
    half = lx.ExpectileLoss(expectile=0.7, weight=0.5)
    monkeypatch.setattr(xgb, "__version__", "3.2.0")
    assert _builtin.rule_of("xgboost", half) is None
    monkeypatch.setattr(xgb, "__version__", "3.4.1")
    rule = _builtin.rule_of("xgboost", half)
    assert rule.objective == "reg:expectileerror"
    assert _builtin.rule_of("xgboost", lx.ExpectileLoss(expectile=0.7)) is None
    assert _builtin.rule_of("xgboost", lx.ExpectileLoss(expectile=[0.1, 0.9], weight=0.5)) is None
    # from the mean 1: residuals 1, 1, -2; -(-0.7 - 0.7 + 0.3 * 2) / (0.7 + 0.7 + 0.3)
    assert rule.start(half, np.array([2.0, 2.0, -1.0]), None) == pytest.approx(1 + 0.8 / 1.7)


def test_estimator_starts_as_the_expectiles_of_xgboost():
    pytest.importorskip("xgboost")
    if _builtin.rule_of("xgboost", lx.ExpectileLoss(weight=0.5)) is None:
        pytest.skip("XGBoost has no reg:expectileerror")
    import xgboost as xgb

    from lossext.boosting import XGBRegressor

    y = LABELS["real"]
    ours = XGBRegressor(loss=lx.ExpectileLoss(expectile=0.7, weight=0.5), n_estimators=20, max_depth=3).fit(X, y)
    theirs = xgb.XGBRegressor(objective="reg:expectileerror", expectile_alpha=0.7, n_estimators=20, max_depth=3)
    np.testing.assert_allclose(ours.predict(X), theirs.fit(X, y).predict(X), rtol=1e-5, atol=1e-5)


def test_hinge_has_a_floor_of_its_own():
    pytest.importorskip("xgboost")
    from lossext.boosting import XGBoostObjective

    _, hess = XGBoostObjective(lx.HingeLoss())(np.array([1.0, 0.0]), np.array([2.0, 0.5], np.float32))
    assert hess.tolist() == [np.float32(1e-30), 1]


def test_no_rule_where_leaves_are_renewed():
    pytest.importorskip("lightgbm")
    from lossext.boosting import LightGBMObjective

    for loss in (lx.L1Loss(), lx.PinballLoss(), lx.SigmoidFocalLoss(), lx.HalfTweedieLoss(power=3)):
        with pytest.raises(ValueError, match="no objective of its own"):
            LightGBMObjective(loss, curvature="builtin")
    with pytest.raises(ValueError, match=r"'newton' of L1Loss is not one of \('exact', 'majorizer'\)"):
        LightGBMObjective(lx.L1Loss(), curvature="newton")
    with pytest.raises(TypeError, match="curvature must be a str or None"):
        LightGBMObjective(lx.L1Loss(), curvature=2)
