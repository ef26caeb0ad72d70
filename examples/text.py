"""LossClassifier on sparse text beside liblinear, LinearSVC and SGDClassifier: time, memory, accuracy, F1.

python examples/text.py                two minutes
python examples/text.py --rows 1000    some seconds

The corpus is what the machine has: descriptions of Debian's packages with their sections, read by apt-cache; without
it, docstrings of NumPy, SciPy and scikit-learn with the modules that they are from. Of each estimator C is 1, and there
are no intercepts, since liblinear penalises its own. Memory is what Python allocated beside X, in arrays of classes x
features. Needs scikit-learn: pip install 'lossext[sklearn]'.
"""

import argparse
import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import time
import tracemalloc
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

import lossext as lx
from lossext.sklearn import LossClassifier


def packages():
    """Names and descriptions of Debian's packages, and their sections; none without apt-cache."""
    if shutil.which("apt-cache") is None:
        return []
    listing = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=False).stdout
    records = (dict(re.findall(r"(?m)^(\w[\w-]*): (.*(?:\n .*)*)", record)) for record in listing.split("\n\n"))
    return [
        (f"{record['Package']} {record['Description']}", record["Section"].split("/")[-1])
        for record in records
        if {"Package", "Section", "Description"} <= record.keys()
    ]


def docstrings():
    """Documentation of functions and classes, and their modules."""
    found = {}
    for package in map(importlib.import_module, ("numpy", "scipy", "sklearn")):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if info.name.rpartition(".")[2].startswith(("_", "test", "conftest")):
                continue
            try:
                things = vars(importlib.import_module(info.name))
            except Exception:  # a module that is not to be imported here
                continue
            for name, thing in things.items():
                text = inspect.getdoc(thing) if callable(thing) and not name.startswith("_") else None
                if text:
                    found.setdefault(text, info.name)
    return list(found.items())


def corpus(n_rows):
    """TF-IDF of words and pairs of words, and classes that some rows have."""
    pairs = packages() or docstrings()
    pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))[:n_rows]]
    texts, y = zip(*pairs, strict=True)
    names, counts = np.unique(y, return_counts=True)
    X = TfidfVectorizer(ngram_range=(1, 2), max_features=50_000, sublinear_tf=True).fit_transform(texts)
    kept = np.isin(y, names[counts >= 8])
    return X[kept], np.array(y)[kept]


def estimators():
    """(name, estimator)."""
    free = {"fit_intercept": False}
    return [
        ("OneVsRest(liblinear)", OneVsRestClassifier(LogisticRegression(solver="liblinear", **free))),
        ("LinearSVC", LinearSVC(**free)),
        ("LinearSVC, hinge", LinearSVC(loss="hinge", **free)),
        ("SGDClassifier", SGDClassifier(random_state=0, **free)),
        ("LossClassifier, BCE with logits", LossClassifier("bce_with_logits", **free)),
        ("LossClassifier, cross entropy", LossClassifier("cross_entropy", **free)),
        ("LossClassifier, sigmoid focal", LossClassifier("sigmoid_focal", **free)),
        ("LossClassifier, hinge", LossClassifier("hinge", **free)),
        ("LossClassifier, hinge p=2", LossClassifier(lx.HingeLoss(p=2), **free)),
        ("LossClassifier, BCE, sgd", LossClassifier("bce_with_logits", solver="sgd", random_state=0, **free)),
    ]


def main(n_rows):
    X, y = corpus(n_rows)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    n_classes = len(np.unique(y))
    print(f"{X_train.shape[0]} x {X.shape[1]}, {n_classes} classes")
    print(f"{'':36}{'fit':>10}{'memory':>9}{'accuracy':>10}{'F1':>8}")
    for name, estimator in estimators():
        start = time.perf_counter()
        estimator.fit(X_train, y_train)
        seconds = time.perf_counter() - start
        tracemalloc.start()
        estimator.fit(X_train, y_train)
        memory = tracemalloc.get_traced_memory()[1] / (n_classes * X.shape[1] * X.dtype.itemsize)
        tracemalloc.stop()
        predicted = estimator.predict(X_test)
        f1 = f1_score(y_test, predicted, average="macro", zero_division=0)
        print(f"{name:36}{seconds:8.2f} s{memory:9.1f}{(predicted == y_test).mean():10.4f}{f1:8.4f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8000)
    warnings.simplefilter("ignore", ConvergenceWarning)
    main(parser.parse_args().rows)
