"""Which loss is LossClassifier's default: accuracy and log loss of each, with the penalty that C=1.0 gives.

python -m benchmarks.linear_defaults

Digits, breast cancer and wine with standardised features, by five folds twice over; text: summaries and dependencies of
Debian packages with their sections, read by apt-cache where there is one (see `benchmarks.text`), by three folds.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lossext as lx
from benchmarks import text
from lossext.sklearn import LossClassifier

LOSSES = {
    "cross_entropy": "cross_entropy",
    "bce_with_logits": "bce_with_logits",
    "softmax_focal": "softmax_focal",
    "multi_margin, p=2": lx.MultiMarginLoss(p=2),
    "hinge, p=2": lx.HingeLoss(p=2),
}


def scores(loss: Any, X: Any, y: Any, folds: Any, scale: bool) -> Any:
    """Mean accuracy, and mean log loss or NaN, over the folds."""
    found = []
    for fitted, kept in folds.split(X, y):
        model = LossClassifier(loss)
        model = make_pipeline(StandardScaler(), model) if scale else model
        model.fit(X[fitted], y[fitted])
        likely = hasattr(model, "predict_proba")
        found.append(
            (
                accuracy_score(y[kept], model.predict(X[kept])),
                log_loss(y[kept], model.predict_proba(X[kept]), labels=model.classes_) if likely else np.nan,
            )
        )
    return np.mean(found, axis=0)


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)
    data = {
        "digits": (load_digits(return_X_y=True), 10),
        "breast cancer": (load_breast_cancer(return_X_y=True), 10),
        "wine": (load_wine(return_X_y=True), 10),
    }
    if text.packages():
        X, y, _ = text.corpus(3000)
        common = np.isin(y, [name for name, count in zip(*np.unique(y, return_counts=True), strict=True) if count > 2])
        data["text"] = (X[common], y[common]), 3
    for title, ((X, y), n_folds) in data.items():
        folds = RepeatedStratifiedKFold(n_splits=min(n_folds, 5), n_repeats=max(1, n_folds // 5), random_state=0)
        print(f"{title}, {X.shape[0]} x {X.shape[1]}, {len(np.unique(y))} classes\n{'':24}accuracy  log loss")
        for name, loss in LOSSES.items():
            accuracy, nats = scores(loss, X, y, folds, title != "text")
            print(f"{name:24}{accuracy:8.4f}{nats:10.4f}", flush=True)
        print()


if __name__ == "__main__":
    main()
