"""Boosting with losses that the libraries have not: rare positives, intervals, counts, several labels, one's own.

python examples/boosting.py            a minute
python examples/boosting.py --quick    a tenth of the rows

Needs LightGBM and scikit-learn: pip install 'lossext[lightgbm,sklearn]'.
"""

import argparse

import numpy as np
from sklearn.metrics import average_precision_score, mean_pinball_loss, mean_tweedie_deviance
from sklearn.model_selection import train_test_split

import lossext as lx
from lossext.boosting import LGBMClassifier, LGBMRegressor

SETTINGS = {"n_estimators": 60, "learning_rate": 0.1, "num_leaves": 7, "verbose": -1, "n_jobs": 1}


def rare_positives(rng, n_rows):
    """One row in a hundred is positive."""
    X = rng.normal(size=(n_rows, 10))
    raw = X @ rng.normal(size=10) + X[:, 0] * X[:, 1]
    noisy = raw + rng.logistic(size=n_rows)
    y = (noisy > np.quantile(noisy, 0.99)).astype(int)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0, stratify=y)
    weight = float(lx.balanced_pos_weight(y[:, np.newaxis])[0])
    losses = {
        "cross entropy": lx.BCEWithLogitsLoss(),
        "focal": lx.SigmoidFocalLoss(gamma=2.0),
        "positives weighted": lx.BCEWithLogitsLoss(pos_weight=weight),
    }
    result = {}
    for name, loss in losses.items():
        model = LGBMClassifier(loss=loss, **SETTINGS).fit(X, y)
        p = model.predict_proba(X_test)[:, 1]
        result[name] = average_precision_score(y_test, p), p.mean() / y_test.mean()
    return result


def intervals(rng, n_rows):
    """Three quantiles of noise that grows, each model of its own."""
    X = rng.normal(size=(n_rows, 5))
    y = X[:, 0] + np.exp(X[:, 1] / 2) * rng.normal(size=n_rows)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
    result = {}
    for q in (0.05, 0.5, 0.95):
        model = LGBMRegressor(loss=lx.PinballLoss(quantile=q), **SETTINGS).fit(X, y)
        constant = mean_pinball_loss(y_test, np.full(len(y_test), np.quantile(y, q)), alpha=q)
        predicted = model.predict(X_test)
        result[q] = (y_test < predicted).mean(), mean_pinball_loss(y_test, predicted, alpha=q) / constant
    return result


def counts(rng, n_rows):
    """Claims: mostly nothing, the rest a sum of amounts."""
    X = rng.normal(size=(n_rows, 5))
    mean = np.exp(X[:, 0] - 0.5)
    number = rng.poisson(mean)
    y = np.array([rng.gamma(2.0, 1.0, n).sum() for n in number])
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
    model = LGBMRegressor(loss=lx.HalfTweedieLoss(power=1.5), **SETTINGS).fit(X, y)
    constant = mean_tweedie_deviance(y_test, np.full(len(y_test), y.mean()), power=1.5)
    return 1 - mean_tweedie_deviance(y_test, model.predict(X_test), power=1.5) / constant


def several_labels(rng, n_rows):
    """Labels of shape (N, C): XGBoost has them."""
    from lossext.boosting import XGBClassifier

    X = rng.normal(size=(n_rows, 6))
    Y = (X[:, :3] + rng.normal(size=(n_rows, 3)) > 1).astype(int)
    X, X_test, Y, Y_test = train_test_split(X, Y, test_size=0.5, random_state=0)
    model = XGBClassifier(loss=lx.AsymmetricLoss(), n_estimators=30, n_jobs=1).fit(X, Y)
    return [average_precision_score(Y_test[:, c], model.predict_proba(X_test)[:, c]) for c in range(3)]


def cauchy(raw, target):
    return np.log1p((raw - target) ** 2)


def cauchy_slope(raw, target):
    return 2 * (raw - target) / (1 + (raw - target) ** 2)


def cauchy_bound(raw, target):
    """The curvature of the best parabola above, slope / (raw - target)."""
    return 2 / (1 + (raw - target) ** 2)


def ones_own(rng, n_rows):
    """A tenth of the targets are nonsense."""
    X = rng.normal(size=(n_rows, 5))
    truth = X[:, 0] + X[:, 1] ** 2
    y = truth + rng.normal(size=n_rows) / 2
    y[rng.uniform(size=n_rows) < 0.1] += 50
    loss = lx.custom_loss(cauchy, cauchy_slope, cauchy_bound, target="real")
    result = {}
    for name, choice in (("squared", None), ("own", loss)):
        result[name] = np.abs(LGBMRegressor(loss=choice, **SETTINGS).fit(X, y).predict(X) - truth).mean()
    return result


def hand_written(y, raw):
    """Focal loss as it is often written: the weight's derivative forgotten, and the sign."""
    p = 1 / (1 + np.exp(-raw))
    return y - p, p * (1 - p)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    n_rows = 4000 if parser.parse_args().quick else 40_000
    rng = np.random.default_rng(0)
    print("1 % positives: average precision, mean probability / rate")
    for name, numbers in rare_positives(rng, 2 * n_rows).items():
        print(f"  {name:20}{numbers[0]:8.3f}{numbers[1]:8.2f}")
    print("quantiles: rows below, pinball loss / that of a constant")
    for q, numbers in intervals(rng, n_rows).items():
        print(f"  {q:<20}{numbers[0]:8.3f}{numbers[1]:8.2f}")
    print(f"Tweedie: share of deviance explained {counts(rng, n_rows):.3f}")
    try:
        print("several labels: average precision", np.round(several_labels(rng, n_rows), 3))
    except ImportError as error:
        print(f"several labels: {error}")
    print("one's own loss, a tenth of nonsense: mean distance from the truth")
    for name, distance in ones_own(rng, n_rows).items():
        print(f"  {name:20}{distance:8.3f}")
    print("a hand-written objective, checked")
    print(lx.check_objective(hand_written))


if __name__ == "__main__":
    main()
