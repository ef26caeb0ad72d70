"""SampledSoftmaxClassifier: scikit-learn's own checks, exactness, memory, samplers."""

# ruff: noqa: E402

import io
import pickle
import tracemalloc
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lossext as lx
from lossext.samplers import UniformSampler
from lossext.sklearn import SampledSoftmaxClassifier

SOLVERS = ["adagrad", "adam", "sgd"]
SAMPLERS = ["log_uniform", "uniform", "fixed_unigram", "learned_unigram"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def many():
    """2000 classes, Zipf's law, features that tell them apart but for noise."""
    rng = np.random.default_rng(0)
    n_classes = 2000
    names = rng.permutation(np.array([f"c{i:04}" for i in range(n_classes)]))
    y = np.minimum(rng.zipf(1.3, 20_000) - 1, n_classes - 1)
    directions = rng.standard_normal((n_classes, 24))
    X = directions[y] + 0.3 * rng.standard_normal((len(y), 24))
    return X.astype(np.float32), names[y]


@pytest.mark.parametrize("solver", SOLVERS)
def test_passes_every_check_of_scikit_learn(solver):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(SampledSoftmaxClassifier(solver=solver), on_fail=None, on_skip=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
    assert set(failed) <= {"check_array_api_input"}, failed  # skipped: needs libraries


def test_all_classes_sampled_is_the_softmax(digits):
    X, y = digits
    model = SampledSoftmaxClassifier(num_sampled=10, solver="adam", random_state=0).fit(X, y)
    exact = lx.LinearSoftmaxLoss()(model.coef_, model.intercept_, y, X)
    assert model.loss_curve_[-1] == pytest.approx(exact, rel=0.2)  # measured on the way
    theirs = LogisticRegression(C=np.inf, max_iter=100).fit(X, y)
    assert model.score(X, y) > theirs.score(X, y) - 0.01


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampled_comes_near_the_exact_one(many, sampler, solver):
    X, y = many
    model = SampledSoftmaxClassifier(200, sampler, solver=solver, max_iter=8, tol=0, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    value = lx.LinearSoftmaxLoss()(model.coef_, model.intercept_, np.searchsorted(model.classes_, y), X)
    shares = np.unique(y, return_counts=True)[1] / len(y)
    assert value < 0.5 * -(shares * np.log(shares)).sum()  # half of what is left to know without X
    assert model.score(X, y) > 0.7


def test_a_sampler_of_ones_own(many):
    X, y = many
    classes = np.unique(y)
    sampler = UniformSampler(len(classes), seed=0)
    with pytest.warns(ConvergenceWarning):
        model = SampledSoftmaxClassifier(200, sampler, max_iter=3, tol=0, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.5
    with pytest.raises(ValueError, match="sampler has 7 classes; y has"):
        SampledSoftmaxClassifier(5, UniformSampler(7)).fit(X, y)


def test_predictions_are_exact(many):
    X, y = many
    with pytest.warns(ConvergenceWarning):
        model = SampledSoftmaxClassifier(100, max_iter=1, random_state=0).fit(X, y)
    scores = model.decision_function(X[:200])
    assert (model.predict(X[:200]) == model.classes_[scores.argmax(axis=1)]).all()
    order = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    assert (model.predict_top_k(X[:200], 7) == model.classes_[order]).all()
    probabilities = model.predict_proba(X[:200])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    expected = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), rtol=1e-3)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X[:200])), probabilities, rtol=1e-5)
    assert model.predict_top_k(sparse.csr_array(X[:9]), 3).shape == (9, 3)
    with pytest.raises(ValueError, match="k = 0"):
        model.predict_top_k(X, 0)


def test_hundred_thousand_classes_in_the_memory_of_their_coefficients():
    rng = np.random.default_rng(0)
    n_classes, n_rows, dim = 100_000, 110_000, 16
    y = np.concatenate((np.arange(n_classes), rng.integers(0, 1000, n_rows - n_classes)))
    X = rng.standard_normal((n_rows, dim)).astype(np.float32)
    model = SampledSoftmaxClassifier(512, max_iter=1, random_state=0)
    tracemalloc.start()
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    assert len(caught) == 1  # nothing about the order of the classes, which are sorted
    model.predict(X[:2000])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.coef_.shape == (n_classes, dim)
    # coefficients, the squares of adagrad, some integers a class or a row; all logits would be 44 GB
    assert peak < 2 * model.coef_.nbytes + 100 * (n_classes + n_rows) + 20e6


@pytest.mark.parametrize("solver", SOLVERS)
def test_partial_fit(digits, solver):
    X, y = digits
    names = np.array(list("abcdefghij"))[y]
    model = SampledSoftmaxClassifier(5, solver=solver, random_state=0, learning_rate=0.05)
    for start in range(0, 1700, 100):
        model.partial_fit(X[start : start + 100], names[start : start + 100], classes=list("abcdefghij"))
    assert model.score(X, names) > 0.8
    coef = model.coef_.copy()
    model.partial_fit(X, names, sample_weight=np.zeros(len(y)))
    np.testing.assert_array_equal(model.coef_, coef)
    with pytest.raises(ValueError, match=r"previously unseen labels: .*z"):
        model.partial_fit(X[:2], ["a", "z"])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clone(model).partial_fit(X, y)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X[:2], names[:2], classes=["a", "b"])


@pytest.mark.parametrize("solver", SOLVERS)
def test_same_seed_same_model(digits, solver):
    X, y = digits
    a, b, c = (SampledSoftmaxClassifier(4, solver=solver, max_iter=5, tol=0, random_state=seed) for seed in (1, 1, 2))
    with pytest.warns(ConvergenceWarning, match="reached max_iter=5 passes.*learning_rate"):
        np.testing.assert_array_equal(a.fit(X, y).coef_, b.fit(X, y).coef_)
    with pytest.warns(ConvergenceWarning):
        assert not np.array_equal(a.coef_, c.fit(X, y).coef_)


def test_sparse_features_and_zero_weights(digits):
    X, y = digits
    X = np.where(np.abs(X) < 0.5, 0, X)
    model = SampledSoftmaxClassifier(5, random_state=0, max_iter=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        a = clone(model).fit(X, y)
        b = clone(model).fit(sparse.csr_matrix(X), y)
        np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-6)
        assert (a.predict(X) == b.predict(sparse.csr_matrix(X))).all()
        keep = np.arange(len(y)) % 3 > 0
        a = clone(model).fit(X[keep], y[keep])
        b = clone(model).fit(X, y, sample_weight=keep.astype(float))
        np.testing.assert_array_equal(a.coef_, b.coef_)
    with pytest.raises(ValueError, match="all are zero"):
        model.fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="only 1 class"):
        model.fit(X, y, sample_weight=(y == 1).astype(float))


class Repeating:
    """Draws classes repeatedly, among them labels of the rows."""

    num_classes = 60

    def sample(self, labels, num_sampled):
        drawn = np.resize([3, 7, 3, 11, 20, 7, 3], num_sampled)
        counts = 0.5 + (drawn % 5)
        return drawn, 0.5 + np.asarray(labels) % 5, counts


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("alpha", [0.0, 0.01])
@pytest.mark.parametrize(("num_sampled", "sampler"), [(5, "log_uniform"), (7, Repeating()), (60, "uniform")])
def test_steps_on_sparse_rows_are_those_on_dense_ones(solver, alpha, num_sampled, sampler):
    """Few, repeated and all classes; every feature is in every batch, or the lazy steps of Adam would differ."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 13)), rng.integers(0, 60, 90)
    weight = rng.random(90)
    models = []
    for features in (X, sparse.csr_array(X)):
        model = SampledSoftmaxClassifier(
            num_sampled, sampler, solver=solver, alpha=alpha, batch_size=10, learning_rate=0.1, random_state=0
        )
        for _ in range(3):
            model.partial_fit(features, y, classes=np.arange(60), sample_weight=weight)
        models.append(model)
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, atol=1e-10)
    np.testing.assert_allclose(models[0].intercept_, models[1].intercept_, atol=1e-10)
    # from one kind of rows to the other
    a, b = (model.partial_fit(rows, y) for model, rows in zip(models, (sparse.csr_matrix(X), X), strict=True))
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-10)
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(sparse.csr_matrix(X)), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hashed_rows_stay_sparse(dtype):
    rng = np.random.default_rng(0)
    n_rows, n_features, n_classes = 300, 1 << 18, 40
    y = rng.integers(0, n_classes, n_rows)
    places = np.concatenate([rng.integers(0, n_features, (n_rows, 9)), 1000 * y[:, np.newaxis]], axis=1)
    X = sparse.csr_matrix((np.ones(places.size, dtype), places.ravel(), np.arange(0, places.size + 1, 10)))
    X.resize(n_rows, n_features)
    model = SampledSoftmaxClassifier(8, random_state=0).partial_fit(X, y, classes=np.arange(n_classes))
    tracemalloc.start()
    for _ in range(20):
        model.partial_fit(X, y)
    probabilities = model.predict_proba(X)
    top = model.predict_top_k(X, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < model.coef_.nbytes / 4  # dense rows would be 7 times the coefficients
    assert model.coef_.dtype == probabilities.dtype == dtype
    assert (model.predict(X) == y).mean() > 0.95
    assert (top[:, 0] == model.predict(X)).all()
    scores = np.float64(X.toarray()) @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model.decision_function(X), scores, atol=1e-5)
    other = X.astype(np.float32 if dtype == np.float64 else np.float64)
    np.testing.assert_allclose(model.decision_function(other), scores, atol=1e-5)


def test_early_stopping_gives_the_best_of_the_passes(digits):
    X, y = digits
    options = {"early_stopping": True, "learning_rate": 1.0, "max_iter": 60, "random_state": 0, "tol": 0.0}
    kept = train_test_split(np.arange(len(y)), test_size=0.1, random_state=0)[1]
    for features in (X, sparse.csr_array(X)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = SampledSoftmaxClassifier(5, **options).fit(features, y)
        curve = model.validation_curve_
        assert model.n_iter_ == len(curve) == len(model.loss_curve_)
        assert model.n_iter_ - 1 - np.argmin(curve) <= model.n_iter_no_change
        own = model.predict_log_proba(features[kept])[np.arange(len(kept)), y[kept]]
        assert -own.mean() == pytest.approx(min(curve), rel=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert SampledSoftmaxClassifier(5, max_iter=3).fit(X, y).validation_curve_ == []


def test_warm_start_and_no_intercept(digits):
    X, y = digits
    model = SampledSoftmaxClassifier(solver="adam", warm_start=True, fit_intercept=False, random_state=0)
    first = model.fit(X, y).loss_curve_
    assert (model.intercept_ == 0).all()
    assert model.fit(X, y).loss_curve_[0] < first[0] / 2
    with pytest.raises(ValueError, match="warm_start=True goes on from 64 features and 10 classes"):
        model.fit(X[:, :5], y)


def test_bad_parameters(digits):
    for parameters in ({"sampler": "zipf"}, {"num_sampled": 0}, {"solver": "lbfgs"}):
        (name,) = parameters
        with pytest.raises(ValueError, match=f"'{name}' parameter of SampledSoftmaxClassifier must be"):
            SampledSoftmaxClassifier(**parameters).fit(*digits)
    with pytest.raises(ValueError, match="Unknown label type"):
        SampledSoftmaxClassifier().fit(digits[0], digits[0][:, 1])


def test_progress_and_callbacks(digits, capsys):
    X, y = digits
    model = SampledSoftmaxClassifier(5, random_state=0, verbose=2).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ == len(model.loss_curve_)
    assert lines[0].startswith("[SampledSoftmaxClassifier] iteration 1: loss ")
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    SampledSoftmaxClassifier(5, random_state=0).set_callbacks(monitor).fit(X, y)
    assert monitor.get_logs()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pickle_and_skops(digits, sampler):
    X, y = digits
    model = SampledSoftmaxClassifier(4, sampler, random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.partial_fit(X, y).coef_, model.partial_fit(X, y).coef_)
    skops = pytest.importorskip("skops.io")
    stored = skops.dumps(model)
    loaded = skops.load(io.BytesIO(stored), trusted=skops.get_untrusted_types(data=stored))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_grid_search_in_a_pipeline():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SampledSoftmaxClassifier(random_state=0))
    search = GridSearchCV(pipeline, {"sampledsoftmaxclassifier__solver": SOLVERS}, cv=3, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.93


@pytest.mark.parametrize("solver", ["adagrad", "adam"])
def test_few_rows_are_learnt_as_by_logistic_regression(solver):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = SampledSoftmaxClassifier(num_sampled=4, solver=solver, random_state=0).fit(X[::2], y[::2])
    exact = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) >= exact.score(X[1::2], y[1::2]) - 0.03
