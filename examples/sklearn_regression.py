"""LossRegressor and LossClassifier beside scikit-learn's own: quantile intervals, counts, outliers, rare events.

python examples/sklearn_regression.py            a minute
python examples/sklearn_regression.py --quick    a tenth of the rows

Needs scikit-learn: pip install 'lossext[sklearn]'.
"""

import argparse
import time

import numpy as np
from sklearn.linear_model import HuberRegressor, LogisticRegression, PoissonRegressor, QuantileRegressor, Ridge
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, r2_score, roc_auc_score

import lossext as lx
from lossext.sklearn import LossClassifier, LossRegressor


def table(title, header, rows):
    print(f"{title}\n{'':44}{''.join(f'{name:>12}' for name in (*header, 'fit'))}")
    for name, numbers, seconds in rows:
        print(f"{name:44}{''.join(f'{number:12.4f}' for number in numbers)}{1e3 * seconds:9.0f} ms")
    print()


def timed(estimator, X, y):
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start


def quantile_intervals(rng, n_rows):
    """Noise that grows with the first feature: an interval of nine rows in ten."""
    X = rng.normal(size=(n_rows, 10))
    y = X @ rng.normal(size=10) + np.exp(0.5 * X[:, 0]) * rng.standard_t(4, size=n_rows)
    half = n_rows // 2
    rows = []
    for name, make in (
        ("QuantileRegressor", lambda q: QuantileRegressor(quantile=q, alpha=0)),
        ("LossRegressor, pinball", lambda q: LossRegressor(lx.PinballLoss(quantile=q), alpha=0)),
    ):
        low, high = make(0.05), make(0.95)
        seconds = timed(low, X[:half], y[:half]) + timed(high, X[:half], y[:half])
        ends = low.predict(X[half:]), high.predict(X[half:])
        inside = np.mean((ends[0] <= y[half:]) & (y[half:] <= ends[1]))
        rows.append((name, (inside, d2_pinball_score(y[half:], ends[1], alpha=0.95)), seconds))
    table(f"quantiles 0.05 and 0.95, {half} x 10", ("inside", "D2 of 0.95"), rows)


def insurance_counts(rng, n_rows):
    """Claims, a few in a hundred contracts."""
    X = rng.normal(size=(n_rows, 8))
    y = rng.poisson(np.exp(X @ rng.normal(scale=0.3, size=8) - 3))
    half = n_rows // 2
    rows = []
    for name, model in (
        ("Ridge", Ridge()),
        ("PoissonRegressor", PoissonRegressor(alpha=1e-4)),
        ("LossRegressor, half_poisson", LossRegressor("half_poisson", alpha=1e-4)),
    ):
        seconds = timed(model, X[:half], y[:half])
        mean = np.maximum(model.predict(X[half:]), 1e-6)
        rows.append((name, (mean.mean() / y[half:].mean(), d2_tweedie_score(y[half:], mean, power=1)), seconds))
    table(f"counts, {half} x 8", ("mean / true", "D2"), rows)


def outliers(rng, n_rows):
    """A row in twenty is off by a hundred."""
    X = rng.normal(size=(n_rows, 10))
    clean = X @ rng.normal(size=10)
    y = clean + rng.normal(size=n_rows) + 100 * (rng.random(n_rows) < 0.05)
    rows = []
    for name, model in (
        ("Ridge", Ridge()),
        ("HuberRegressor", HuberRegressor(alpha=0)),
        ("LossRegressor, huber", LossRegressor("huber", alpha=0)),
        ("LossRegressor, l1", LossRegressor("l1", alpha=0)),
    ):
        seconds = timed(model, X, y)
        rows.append((name, (r2_score(clean, model.predict(X)),), seconds))
    table(f"outliers, {n_rows} x 10", ("R2, clean",), rows)


def rare_events(rng, n_rows):
    """One event in two thousand rows."""
    X = rng.normal(size=(n_rows, 20))
    y = (rng.random(n_rows) < 1 / (1 + np.exp(8.5 - X @ rng.normal(scale=0.4, size=20)))).astype(int)
    half = n_rows // 2
    rows = []
    for name, model in (
        ("LogisticRegression", LogisticRegression()),
        ("LossClassifier, bce_with_logits", LossClassifier("bce_with_logits")),
        ("LossClassifier, sigmoid_focal", LossClassifier("sigmoid_focal")),
    ):
        seconds = timed(model, X[:half], y[:half])
        probability = model.predict_proba(X[half:])[:, 1]
        rows.append((name, (probability.mean() / y.mean(), roc_auc_score(y[half:], probability)), seconds))
    table(f"rare events, {half} x 20, share {y.mean():.5f}", ("mean / true", "AUC"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    part = 10 if parser.parse_args().quick else 1
    generator = np.random.default_rng(0)
    quantile_intervals(generator, 20_000 // part)
    insurance_counts(generator, 200_000 // part)
    outliers(generator, 20_000 // part)
    rare_events(generator, 400_000 // part)
