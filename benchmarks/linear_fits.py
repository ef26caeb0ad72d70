"""CPU time and accuracy of fits of small and medium-sized dense problems, next to LogisticRegression.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.linear_fits

Both use their default parameters and are timed alternately; a fit of a few milliseconds is repeated.  A gap is the
relative difference from the smallest objective of these fits and of one with a tight tolerance.  "Ratio at gap 1e-6"
divides by the time of LogisticRegression with the first tolerance of 1e-4, 1e-5, ... whose gap is at most 1e-6.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import median
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from lossext.sklearn import LossClassifier

SLOT = 0.03  # CPU seconds of a fit and its repetitions
MADE = ((2000, 20, 3), (20_000, 200, 3), (20_000, 50, 2), (1000, 10, 2), (5000, 100, 10), (200_000, 50, 5))


def problems() -> dict[str, tuple[Any, Any]]:
    """Data sets by name; the unscaled ones both scaled and as they are."""
    found = {}
    for name, load in (("digits", load_digits), ("breast cancer", load_breast_cancer), ("wine", load_wine)):
        X, y = load(return_X_y=True)
        found[f"{name}, scaled"] = StandardScaler().fit_transform(X), y
        found[f"{name}, as it is"] = X, y
    for n, d, c in MADE:
        X, y = make_classification(n, d, n_informative=min(d, 10), n_redundant=0, n_classes=c, random_state=0)
        found[f"{n} x {d}, {c} classes"] = X, y
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 20))
    score = X[:, 0] + rng.gumbel(size=len(X))
    found["20000 x 20, 1 % positive"] = X, (score > np.quantile(score, 0.99)).astype(int)
    return found


def objective(model: Any, X: Any, y: Any) -> float:
    """Sum of the log losses and half the squared norm; summed over the classes for one-vs-rest models."""
    parts = getattr(model, "estimators_", [model])
    coef = np.vstack([part.coef_ for part in parts])
    scores = X @ coef.T + np.concatenate([part.intercept_ for part in parts])
    ids = np.searchsorted(model.classes_, y)
    if len(coef) == 1 or len(parts) > 1 or getattr(model, "loss", "") == "bce_with_logits":
        sign = np.where(ids[:, np.newaxis] == np.arange(len(coef)) + (len(coef) == 1), 1, -1)
        losses = np.logaddexp(0, -sign * scores)
    else:
        losses = logsumexp(scores, axis=1) - scores[np.arange(len(y)), ids]
    return float(losses.sum() + 0.5 * (coef**2).sum())


def seconds(model: Any, X: Any, y: Any) -> float:
    """CPU time of a fit."""
    start, n = time.process_time(), 0
    while not n or time.process_time() - start < SLOT:
        model.fit(X, y)
        n += 1
    return (time.process_time() - start) / n


def with_gap_1e_6(peer: Any, X: Any, y: Any, least: float) -> Any:
    """The peer with a tolerance for which its gap is at most 1e-6; None if 2000 iterations do not suffice."""
    inner = "estimator__" if hasattr(peer, "estimator") else ""
    for digits in range(4, 9):
        model = clone(peer).set_params(**{f"{inner}tol": 10.0**-digits, f"{inner}max_iter": 2000})
        if objective(model.fit(X, y), X, y) <= least * (1 + 1e-6):
            return model
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="run only problems whose names contain this")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    heads = "lossext, ms | time ratio | gap of lossext | gap of LogisticRegression | ratio at gap 1e-6"
    print(f"| loss | problem | {heads} |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for loss in ("cross_entropy", "bce_with_logits"):
        for name, (X, y) in problems().items():
            several = len(np.unique(y)) > 2
            if options.only not in name or (loss == "bce_with_logits" and not several):
                continue
            ours = LossClassifier(loss)
            peer = LogisticRegression() if loss == "cross_entropy" else OneVsRestClassifier(LogisticRegression())
            found = [objective(model.fit(X, y), X, y) for model in (ours, peer)]
            least = min(*found, objective(LossClassifier(loss, tol=1e-8).fit(X, y), X, y))
            exact = with_gap_1e_6(peer, X, y, least)
            models = [ours, peer] if exact is None else [ours, peer, exact]
            times = [[seconds(model, X, y) for model in models] for _ in range(options.rounds)]
            mine, *ratios = (median(t[0] / (t[i] if i else 1) for t in times) for i in range(len(models)))
            gaps = " | ".join(f"{value / least - 1:.0e}" for value in found)
            also = f"{ratios[1]:.2f}" if exact else "never"
            print(f"| {loss} | {name} | {1e3 * mine:.3g} | {ratios[0]:.2f} | {gaps} | {also} |", flush=True)


if __name__ == "__main__":
    main()
