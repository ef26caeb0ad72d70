"""What a round of boosting costs with the libraries' own objectives and with ours, side by side.

python tools/boosting_rounds.py [ROWS]

Processor time of one thread, so that other work on the machine counts little; medians of runs that take turns.
"""

import sys
import time
import warnings

import lightgbm
import numpy as np
import xgboost

import lossext as lx
from lossext.boosting import LightGBMObjective, XGBoostObjective

ROUNDS, TURNS = 10, 5


def cost(train):
    begin = time.thread_time()
    train()
    return (time.thread_time() - begin) / ROUNDS * 1e3


def of_lightgbm(X, y, loss, classes):
    own = "multiclass" if classes else "binary"
    settings = {"num_leaves": 15, "num_threads": 1, "verbose": -1, **({"num_class": classes} if classes else {})}

    def train(objective):
        data = lightgbm.Dataset(X, y).construct()
        return cost(lambda: lightgbm.train({**settings, "objective": objective}, data, ROUNDS))

    return lambda: train(LightGBMObjective(loss)), lambda: train(own)


def of_xgboost(X, y, loss, classes):
    own = "multi:softprob" if classes else "binary:logistic"
    settings = {"max_depth": 4, "nthread": 1, "tree_method": "hist", "objective": own, "base_score": 0.5}
    settings |= {"num_class": classes} if classes else {}
    data = xgboost.DMatrix(X, y)
    xgboost.train(settings, data, 1)  # which makes the bins
    objective = XGBoostObjective(loss)
    return (
        lambda: cost(lambda: xgboost.train(settings, data, ROUNDS, obj=objective)),
        lambda: cost(lambda: xgboost.train(settings, data, ROUNDS)),
    )


def main():
    warnings.simplefilter("ignore")
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 5)).astype(np.float32)
    score = X[:, 0] + rng.normal(size=n_rows)
    print("| library | labels | its own, ms | ours, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for library, sides in ((lightgbm, of_lightgbm), (xgboost, of_xgboost)):
        for loss, y, classes in (
            (lx.BCEWithLogitsLoss(), score > 1, 0),
            (lx.CrossEntropyLoss(), np.digitize(score, [-1, 0, 1]), 4),
        ):
            both = sides(X, y.astype(float), loss, classes)
            turns = [[side() for side in both] for _ in range(TURNS)]
            ours, own = np.median(turns, axis=0)
            name = f"{library.__name__} {library.__version__}"
            print(f"| {name} | {classes or 2} classes | {own:.1f} | {ours:.1f} | {ours / own:.2f} |", flush=True)


if __name__ == "__main__":
    main()
