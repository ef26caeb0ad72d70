"""Equality with the boosting libraries' own objectives: writes docs/boosting_builtin.md.

python tools/boosting_table.py            prints it
python tools/boosting_table.py --write    writes it; rows of versions that are not installed stay

Of each loss for which a library has an objective of its own (`lossext.boosting._builtin`) two models are trained, with
its objective and with ours and `curvature="builtin"`, and their raw scores compared.
"""

import argparse
import contextlib
import io
import warnings
from pathlib import Path

import numpy as np

import lossext as lx
from lossext.boosting import _builtin

ROUNDS = 50
PAGE = Path(__file__).parent.parent / "docs" / "boosting_builtin.md"
RNG = np.random.default_rng(3)
X = RNG.normal(size=(500, 6))
SCORE = X @ RNG.normal(size=6) / 2
NOISY = SCORE + RNG.normal(size=500)
TARGETS = {
    "real": SCORE + RNG.standard_t(3, 500),
    "non_negative": RNG.poisson(np.exp(SCORE)).astype(float),
    "positive": RNG.gamma(2, np.exp(SCORE)) + 1e-3,
    "unit": (NOISY > 0).astype(float),
    "sign": (NOISY > 0).astype(float),
    "class": np.digitize(NOISY, [-0.7, 0.7]),
}
PARAMETERS = {"sigmoid_focal_loss": {"alpha": 0.25}, "expectile_loss": {"expectile": 0.7}}
OF_XGBOOST = {"expectile_loss": {"weight": 0.5}}


def of_lightgbm(loss, rule, y):
    import lightgbm

    from lossext.boosting import LightGBMObjective

    classes = {"num_class": 3} if loss.declaration.takes_ids else {}
    start = rule.start(loss, y, None) if rule.start else loss.init_raw(as_signs(loss, y))
    objective = LightGBMObjective(loss, start, curvature="builtin")
    settings = {"num_leaves": 7, "num_threads": 1, "verbose": -1, **classes}
    own = {"alpha": getattr(loss, "delta", 0.9), "tweedie_variance_power": getattr(loss, "power", 1.5)}
    ours, theirs = (
        lightgbm.train({**settings, **more}, lightgbm.Dataset(X, y), ROUNDS).predict(X, raw_score=True)
        for more in ({"objective": objective}, {"objective": rule.objective, **own})
    )
    return ours + start, theirs


def of_xgboost(loss, rule, y):
    import xgboost

    from lossext.boosting import XGBoostObjective

    data = xgboost.DMatrix(X, y)
    settings = {
        "max_depth": 3, "nthread": 1, "objective": rule.objective, "base_score": 0.4,
        "max_delta_step": 0.7 if rule.objective == "count:poisson" else 0,
        **({"num_class": 3} if loss.declaration.takes_ids else {}),
        **({"expectile_alpha": loss.expectile} if rule.objective == "reg:expectileerror" else {}),
    }  # fmt: skip
    own = {"huber_slope": getattr(loss, "delta", 1.0), "tweedie_variance_power": getattr(loss, "power", 1.5)}
    ours = xgboost.train(settings, data, ROUNDS, obj=XGBoostObjective(loss, "builtin"))
    theirs = xgboost.train({**settings, **own}, data, ROUNDS)
    return tuple(model.predict(data, output_margin=True) for model in (ours, theirs))


def of_catboost(loss, rule, y):
    import catboost

    from lossext.boosting import CatBoostObjective

    name = rule.objective + {
        "Huber": f":delta={getattr(loss, 'delta', 0)}",
        "Expectile": f":alpha={getattr(loss, 'expectile', 0)}",
        "Focal": f":focal_alpha={getattr(loss, 'alpha', 0)};focal_gamma={getattr(loss, 'gamma', 0)}",
        "Tweedie": f":variance_power={getattr(loss, 'power', 0)}",
    }.get(rule.objective, "")
    settings = {
        "depth": 3, "learning_rate": 0.2, "thread_count": 1, "verbose": False, "allow_writing_files": False,
        "bootstrap_type": "No", "leaf_estimation_method": "Newton", "leaf_estimation_iterations": 1,
        "boost_from_average": False, "iterations": ROUNDS,
    }  # fmt: skip
    objective = CatBoostObjective(loss, curvature="builtin")
    choices = ({"loss_function": objective, "eval_metric": objective.metric}, {"loss_function": name})
    models = [catboost.CatBoost({**settings, **choice}).fit(X, y) for choice in choices]
    return tuple(model.predict(X, prediction_type="RawFormulaVal") for model in models)


def of_sklearn(loss, rule, y):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    from lossext.boosting import hgb_loss

    settings = {"max_iter": ROUNDS, "max_leaf_nodes": 7, "early_stopping": False}
    classifies = rule.objective == "log_loss"
    estimator = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    own = {"quantile": loss.quantile} if rule.objective == "quantile" else {}
    ours = estimator(loss=hgb_loss(loss, "builtin"), **settings).fit(X, y)
    theirs = estimator(loss=rule.objective, **own, **settings).fit(X, y)
    return tuple(model._raw_predict(X) for model in (ours, theirs))


def as_signs(loss, y):
    return 2 * y - 1 if loss.declaration.target.sign else y


LIBRARIES = {"lightgbm": of_lightgbm, "xgboost": of_xgboost, "catboost": of_catboost, "sklearn": of_sklearn}
NAMES = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost", "sklearn": "scikit-learn (HGB)"}


def rows():
    for library, compare in LIBRARIES.items():
        try:
            version = __import__(library).__version__
        except ImportError:
            continue
        for cls in lx.registry():
            function = cls.declaration.function
            more = OF_XGBOOST.get(function, {}) if library == "xgboost" else {}
            loss = cls(**PARAMETERS.get(function, {}), **more)
            rule = _builtin.rule_of(library, loss)
            if rule is None or (loss.declaration.ranks == (2,) and not loss.declaration.takes_ids):
                continue
            y = TARGETS[loss._target.kind]
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                ours, theirs = compare(loss, rule, y)
            if loss.declaration.takes_ids:  # a constant in all scores of a row makes no difference
                ours, theirs = (raw - raw.mean(axis=1, keepdims=True) for raw in (ours, theirs))
            distance = float(np.max(np.abs(ours - theirs)))
            yield f"| {NAMES[library]} {version} | `{cls.__name__}` | `{rule.objective}` | {distance:.1e} |"


TEXT = """# Boosting: equality with the libraries' own objectives

The table shows the largest difference of raw scores after {rounds} rounds on {n_rows} rows between the library's own
objective and lossext's with `curvature="builtin"`, from the same starting score. It omits losses for which the library
recomputes the leaf values after each tree (absolute error and quantiles in LightGBM, CatBoost, and XGBoost before 3.4),
since a custom objective cannot do that. XGBoost's expectile loss is half of lossext's, so it is compared with
`ExpectileLoss(expectile, weight=0.5)`. There is no `"builtin"` curvature for XGBoost's expectiles at several levels,
each of which is predicted as a step above the one before, nor for its absolute error and quantiles, which are smoothed
from 3.4 on. There is none either for losses that differ from the library's by a constant factor, such as `MSELoss`,
because the factor changes the effect of regularisation.
`python tools/boosting_table.py --write` makes this page.

| library | loss | library's objective | largest difference |
| --- | --- | --- | --- |
{rows}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="docs/boosting_builtin.md")
    write = parser.parse_args().write
    found = []
    for row in rows():
        print(row, flush=True)
        found.append(row)
    if write:
        made = {row.split("|")[1] for row in found}
        known = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "`" in line]
        found += [line for line in known if line.split("|")[1] not in made]  # of other versions
        order = list(NAMES.values())
        found.sort(key=lambda row: next(k for k, name in enumerate(order) if row.startswith(f"| {name} ")))
        PAGE.write_text(TEXT.format(rounds=ROUNDS, n_rows=len(X), rows="\n".join(found)))


if __name__ == "__main__":
    main()
