"""LossClassifier beside scikit-learn's linear classifiers: accuracy, fit time, and a hundred labels in one pass.

python examples/sklearn_linear.py            both parts, a few minutes
python examples/sklearn_linear.py --quick    a tenth of the rows and labels of the second part

BCE with logits is one-vs-rest, so its equal is OneVsRest(LogisticRegression); LogisticRegression is multinomial.
Needs scikit-learn: pip install 'lossext[sklearn]'.
"""

import argparse
import sys
import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, StratifiedKFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import lossext as lx
from lossext.sklearn import LossClassifier, loss_scorer

STRENGTHS = 10.0 ** np.arange(-6, 0.5, 0.5)  # of the penalty, for a mean of the losses; no best one is at an end
CHOICE = StratifiedKFold(5, shuffle=True, random_state=1)
FOLDS = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)


def classifiers(n_rows):
    """(name, estimator, grid): every one may choose its penalty."""
    c = 1 / (STRENGTHS * n_rows)
    return [
        ("LinearSVC", LinearSVC(random_state=0), {"C": c}),
        ("LinearSVC, hinge", LinearSVC(loss="hinge", random_state=0), {"C": c}),
        ("LogisticRegression", LogisticRegression(max_iter=1000), {"C": c}),
        ("SGDClassifier", SGDClassifier(random_state=0), {"alpha": STRENGTHS}),
        ("OneVsRest(LogisticRegression)", OneVsRestClassifier(LogisticRegression(max_iter=1000)), {"estimator__C": c}),
        ("LossClassifier, multi margin", LossClassifier("multi_margin"), {"alpha": STRENGTHS}),
        ("LossClassifier, multi margin p=2", LossClassifier(lx.MultiMarginLoss(p=2)), {"alpha": STRENGTHS}),
        ("LossClassifier, BCE with logits", LossClassifier("bce_with_logits"), {"alpha": STRENGTHS}),
    ]


def one_class_a_row():
    """Accuracy by cross-validation at each classifier's best penalty, and the shortest of the fits' times.

    Standard errors are those of a mean over the folds, for "to best" of the differences fold by fold.
    """
    for title, load in (("digits", load_digits), ("breast cancer", load_breast_cancer)):
        X, y = load(return_X_y=True)
        rows = []
        for name, estimator, grid in classifiers(len(X)):
            progress(f"{title}: {name}")
            step = type(estimator).__name__.lower()
            pipeline = make_pipeline(StandardScaler(), estimator)
            search = GridSearchCV(pipeline, {f"{step}__{key}": values for key, values in grid.items()}, cv=CHOICE).fit(
                X, y
            )
            results = cross_validate(clone(search.best_estimator_), X, y, cv=FOLDS)
            accuracies, fit = 100 * results["test_score"], 1e3 * results["fit_time"].min()
            rows.append((name, STRENGTHS[search.best_index_], accuracies, fit))
        best = max((accuracies for _, _, accuracies, _ in rows), key=np.mean)
        slowest = max(fit for *_, fit in rows)
        progress("")
        print(f"{title}, {X.shape[0]} x {X.shape[1]}, {len(np.unique(y))} classes")
        print(f"{'':34}{'penalty':>8}{'accuracy':>16}{'to best':>16}{'fit':>10}{'of slowest':>12}")
        for name, strength, accuracies, fit in rows:
            print(
                f"{name:34}{strength:8.0e}{with_error(accuracies)}{with_error(accuracies - best)}"
                f"{fit:7.1f} ms{fit / slowest:12.2f}"
            )
        print()


def with_error(values):
    """A mean and its standard error."""
    return f"{values.mean():8.2f} ± {values.std(ddof=1) / len(values) ** 0.5:4.2f}%"


def many_labels(n_rows, n_labels):
    """All labels in one pass against one fit a label, at the same penalty and loss."""
    X, Y = shifted_digits(n_rows, n_labels)
    estimators = {
        "OneVsRest(LogisticRegression)": OneVsRestClassifier(LogisticRegression(max_iter=1000)),
        "LossClassifier, BCE with logits": LossClassifier("bce_with_logits", alpha=1 / n_rows, tol=1e-4),
    }
    mean_loss = loss_scorer("bce_with_logits")
    print(f"digits, shifted, {n_rows} x {X.shape[1]}, {n_labels} labels")
    print(f"{'':34}{'objective':>11}{'wrong':>9}{'fit':>10}{'speed':>8}")
    slowest = None
    for name, estimator in estimators.items():
        progress(name)
        start = time.perf_counter()
        estimator.fit(X, Y)
        seconds = time.perf_counter() - start
        slowest = slowest or seconds
        parts = getattr(estimator, "estimators_", [estimator])
        penalty = 0.5 / n_rows * sum(float((part.coef_**2).sum()) for part in parts)
        objective = penalty / n_labels - mean_loss(estimator, X, Y)
        wrong = 100 * (estimator.predict(X) != Y).mean()
        progress("")
        print(f"{name:34}{objective:11.6f}{wrong:8.3f}%{seconds:8.2f} s{slowest / seconds:7.1f}x")


def shifted_digits(n_rows, n_labels):
    """The digits, moved by a pixel at most; a label says whether the digit is in some random set of digits."""
    rng = np.random.default_rng(0)
    images, digits = load_digits(return_X_y=True)
    rows = rng.integers(0, len(images), n_rows)
    images, digits = images[rows].reshape(-1, 8, 8) / 16, digits[rows]
    moves = rng.integers(-1, 2, (n_rows, 2))
    for move in np.unique(moves, axis=0):
        moved = (moves == move).all(axis=1)
        images[moved] = np.roll(images[moved], move, axis=(1, 2))
    sets = rng.random((n_labels, 10)).argsort(axis=1) < rng.integers(1, 6, (n_labels, 1))  # 1 to 5 of the 10 digits
    return images.reshape(n_rows, -1), sets[:, digits].T.astype(int)


def progress(text):
    """What is being done, on a line that the next result overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    part = 10 if parser.parse_args().quick else 1
    warnings.simplefilter("ignore", ConvergenceWarning)  # LinearSVC's, at weak penalties
    one_class_a_row()
    many_labels(50_000 // part, 100 // part)
