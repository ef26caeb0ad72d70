"""LossClassifier on sparse text beside liblinear, LinearSVC and SGDClassifier: time, memory, accuracy, F1.

python -m benchmarks.text                  57 classes, 120 tags, and streams
python -m benchmarks.text --part tags

The corpus is that of Debian's packages, read by apt-cache: a document is a package's name, its summary and the names of
what it depends on; its class is its section, its labels are its debtags. Without apt-cache there is no corpus. All fits
are without intercepts, since liblinear penalises its own; C is 1. A time is the shorter of two fits that alternate;
memory is what Python allocated beside X, in vectors of classes x features.
"""

from __future__ import annotations

import argparse
import collections
import functools
import re
import shutil
import subprocess
import time
import tracemalloc
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

import lossext as lx
from lossext.sklearn import LossClassifier

N_FEATURES = 50_000
N_TAGS = 120


@functools.cache
def packages() -> list[dict[str, str]]:
    """Fields of Debian's packages; none without apt-cache."""
    if shutil.which("apt-cache") is None:
        return []
    listing = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=False).stdout
    records = (dict(re.findall(r"(?m)^(\w[\w-]*): (.*(?:\n .*)*)", record)) for record in listing.split("\n\n"))
    return [record for record in records if {"Package", "Section", "Description"} <= record.keys()]


def documents(n_rows: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Some packages' texts, sections, and which of the most frequent tags they have."""
    known = packages()
    some = [known[i] for i in np.random.default_rng(0).permutation(len(known))[:n_rows]]
    plain = re.compile(r"\([^)]*\)")
    texts = [f"{r['Package']} {r['Description']} {plain.sub('', r.get('Depends', ''))}" for r in some]
    tags = [re.findall(r"[^,\s]+", record.get("Tag", "")) for record in some]
    common = [tag for tag, _ in collections.Counter(tag for own in tags for tag in own).most_common(N_TAGS)]
    labels = np.array([[tag in own for tag in common] for own in map(set, tags)], np.int8)
    return texts, np.array([record["Section"].split("/")[-1] for record in some]), labels


def corpus(n_rows: int) -> tuple[Any, Any, Any]:
    """TF-IDF of words and pairs of words, sections, tags."""
    texts, sections, tags = documents(n_rows)
    X = TfidfVectorizer(ngram_range=(1, 2), max_features=N_FEATURES, sublinear_tf=True).fit_transform(texts)
    return X, sections, tags


def estimators(several: bool) -> list[tuple[str, Any]]:
    """(name, estimator)."""
    free: dict[str, Any] = {"fit_intercept": False}
    rest = [
        ("OneVsRest(liblinear)", OneVsRestClassifier(LogisticRegression(solver="liblinear", **free))),
        ("OneVsRest(LinearSVC)", OneVsRestClassifier(LinearSVC(**free))),
        ("OneVsRest(LinearSVC, hinge)", OneVsRestClassifier(LinearSVC(loss="hinge", **free))),
        ("OneVsRest(SGDClassifier)", OneVsRestClassifier(SGDClassifier(random_state=0, **free))),
        ("LossClassifier, bce_with_logits", LossClassifier("bce_with_logits", **free)),
        ("LossClassifier, sigmoid_focal", LossClassifier("sigmoid_focal", **free)),
        ("LossClassifier, hinge", LossClassifier("hinge", **free)),
        ("LossClassifier, hinge p=2", LossClassifier(lx.HingeLoss(p=2), **free)),
    ]
    return rest if several else [*rest, ("LossClassifier, cross_entropy", LossClassifier("cross_entropy", **free))]


def table(title: str, X: Any, y: Any, n_fitted: int, several: bool) -> None:
    """A row an estimator."""
    n_vectors = (y.shape[1] if several else len(np.unique(y[:n_fitted]))) * X.shape[1] * X.dtype.itemsize
    print(f"{title}: {n_fitted} x {X.shape[1]}\n{'':36}{'time':>9}{'memory':>9}{'accuracy':>10}{'F1':>8}")
    choice = estimators(several)
    seconds = {name: np.inf for name, _ in choice}
    for _ in range(2):
        for name, estimator in choice:
            start = time.perf_counter()
            estimator.fit(X[:n_fitted], y[:n_fitted])
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    for name, estimator in choice:
        tracemalloc.start()
        estimator.fit(X[:n_fitted], y[:n_fitted])
        peak = tracemalloc.get_traced_memory()[1] / n_vectors
        tracemalloc.stop()
        predicted = estimator.predict(X[n_fitted:])
        right = (predicted == y[n_fitted:]).mean()
        f1 = f1_score(y[n_fitted:], predicted, average="micro" if several else "macro", zero_division=0)
        print(f"{name:36}{seconds[name]:7.2f} s{peak:9.1f}{right:10.4f}{f1:8.4f}", flush=True)
    print()


def streams(n_fitted: int) -> None:
    """Two passes in chunks of 500, hashed into 2^18 columns, at the penalty that SGDClassifier has by default."""
    texts, sections, _ = documents(n_fitted + 2000)
    X = HashingVectorizer(n_features=1 << 18, ngram_range=(1, 2)).transform(texts)
    classes = np.unique(sections)
    print(f"streams: two passes over {n_fitted} x {X.shape[1]}, {len(classes)} classes")
    print(f"{'':36}{'time':>9}{'accuracy':>10}")
    for name, model in (
        ("SGDClassifier", SGDClassifier(random_state=0)),
        ("SGDClassifier, average", SGDClassifier(random_state=0, average=True)),
        ("SGDClassifier, log_loss", SGDClassifier("log_loss", random_state=0)),
        ("LossClassifier, bce_with_logits", LossClassifier("bce_with_logits", alpha=1e-4, random_state=0)),
        ("LossClassifier, cross_entropy", LossClassifier("cross_entropy", alpha=1e-4, random_state=0)),
        ("LossClassifier, hinge", LossClassifier("hinge", alpha=1e-4, random_state=0)),
    ):
        start = time.perf_counter()
        for _ in range(2):
            for begin in range(0, n_fitted, 500):
                model.partial_fit(X[begin : begin + 500], sections[begin : begin + 500], classes=classes)
        seconds = time.perf_counter() - start
        print(f"{name:36}{seconds:7.2f} s{model.score(X[n_fitted:], sections[n_fitted:]):10.4f}", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("sections", "tags", "streams"))
    parser.add_argument("--rows", type=int, default=6000)
    options = parser.parse_args()
    if not packages():
        raise SystemExit("this machine has no apt-cache, or its lists of packages are empty: apt-get update")
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, sections, tags = corpus(options.rows + 2000)
    if options.part in (None, "sections"):
        table(f"{len(np.unique(sections))} sections", X, sections, options.rows, False)
    if options.part in (None, "tags"):
        table(f"{tags.shape[1]} tags", X, tags, options.rows, True)
    if options.part in (None, "streams"):
        streams(options.rows)


if __name__ == "__main__":
    main()
