"""LossClassifier and loss_scorer: contract, scikit-learn's own checks, and life inside its tools."""

# ruff: noqa: E402

import io
import pickle
import re
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, normalize
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

import lossext as lx
from lossext.sklearn import LossClassifier, SampledSoftmaxClassifier, _losses, loss_scorer

LOGISTIC = ["multilabel_soft_margin", "bce_with_logits"]
LOSSES = ["multi_margin", lx.MultiMarginLoss(p=2), *LOGISTIC]
EXACT = {"tol": 1e-9, "max_iter": 5000}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def multilabel():
    X, Y = make_multilabel_classification(300, 12, n_classes=6, random_state=0)
    return StandardScaler().fit_transform(X), Y


@pytest.mark.parametrize(
    "estimator",
    [
        *(LossClassifier(name) for name in _losses.fitting(_losses.CLASSIFICATION)),
        LossClassifier(lx.MultiMarginLoss(p=2)),
        LossClassifier(solver="adam"),
        LossClassifier(penalty="l1"),
        LossClassifier(solver="lbfgs"),
        LossClassifier("hinge", solver="sgd"),
    ],
    ids=str,
)
def test_passes_every_check_of_scikit_learn(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert not failed


def test_parameters_of_the_loss_in_grids(iris):
    X, y = iris
    model = LossClassifier("multi_margin", C=2.0)
    assert model.get_params()["loss__margin"] == 1.0
    assert "loss__margin" not in model.get_params(deep=False)
    model.set_params(loss__margin=0.5, C=3.0)
    assert model.loss == lx.MultiMarginLoss(margin=0.5)
    assert (model.C, clone(model).loss) == (3.0, model.loss)
    model.set_params(loss="hinge", loss__p=2)
    assert model.loss == lx.HingeLoss(p=2)
    grid = GridSearchCV(LossClassifier(lx.MultiMarginLoss(p=2)), {"loss__margin": [0.5, 2.0]}, cv=2).fit(X, y)
    assert grid.best_estimator_.loss.margin == grid.best_params_["loss__margin"]
    before = model.loss
    for name, value, message in (
        ("loss__margine", 1.0, r"Invalid parameter 'loss__margine' .* loss__margin"),
        ("loss__p", 3, "p = 3"),
        ("loss__reduction", "sum", "Invalid parameter 'loss__reduction'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_params(**{name: value})
        assert model.loss is before


def test_columns_of_a_frame_name_the_labels(multilabel):
    pd = pytest.importorskip("pandas")
    X, Y = multilabel
    names = [f"tag {i}" for i in range(Y.shape[1])]
    frame = pd.DataFrame(Y, columns=names)
    model = LossClassifier("bce_with_logits", warm_start=True).fit(X, frame)
    plain = LossClassifier("bce_with_logits").fit(X, Y)
    assert list(model.classes_) == names
    np.testing.assert_allclose(model.coef_, plain.coef_)
    model.fit(X, frame)
    assert set(model.predict_top_k(X[:3], 2).ravel()) <= set(names)
    stream = LossClassifier("bce_with_logits").partial_fit(X, frame, classes=names).partial_fit(X, frame)
    assert list(stream.classes_) == names
    weighted = LossClassifier("bce_with_logits", class_weight={"tag 1": 3.0}).fit(X, frame)
    same = LossClassifier("bce_with_logits", class_weight={1: 3.0}).fit(X, Y)
    np.testing.assert_allclose(weighted.coef_, same.coef_)


# what is minimised


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_objective_is_the_documented_one(iris, loss, weighted):
    X, y = iris
    weight = np.random.default_rng(0).uniform(0, 2, len(y)) if weighted else None
    model = LossClassifier(loss, alpha=0.01).fit(X, y, sample_weight=weight)
    score = loss_scorer(loss)(model, X, y, sample_weight=weight)
    assert model.objective_ == pytest.approx(-3 * score + 0.005 * (model.coef_**2).sum(), rel=1e-10)


def test_logistic_losses_are_logistic_regression(cancer):
    X, y = cancer
    theirs = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-10, max_iter=5000).fit(X, y)
    for loss in LOGISTIC:
        ours = LossClassifier(loss, alpha=0.01, **EXACT).fit(X, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_one_pass_over_labels_is_one_vs_rest(multilabel, iris):
    for X, y in (multilabel, iris):
        ours = LossClassifier("bce_with_logits", alpha=0.01, **EXACT).fit(X, y)
        each = LogisticRegression(C=1 / (0.01 * len(X)), tol=1e-10, max_iter=5000)
        theirs = OneVsRestClassifier(each).fit(X, y)
        np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-5)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
        assert (ours.predict(X) == theirs.predict(X)).all()


@pytest.mark.parametrize("p", [1, 2])
def test_two_classes_of_multi_margin_are_a_support_vector_machine(cancer, p):
    from sklearn.svm import LinearSVC

    X, y = cancer
    loss = lx.MultiMarginLoss(p=p)
    ours = LossClassifier(loss, alpha=0.1, tol=1e-8, max_iter=5000, fit_intercept=False).fit(X, y)
    theirs = LinearSVC(
        C=1 / (0.1 * len(y)), loss="hinge" if p == 1 else "squared_hinge", dual=True, fit_intercept=False, tol=1e-8,
        max_iter=100_000, random_state=0,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-3 if p == 1 else 1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lx.MultiMarginLoss(margin=0.7),
        lx.MultiMarginLoss(p=2),
        lx.MulticlassHingeLoss(margin=0.7),
        lx.BCEWithLogitsLoss(),
        lx.CrossEntropyLoss(temperature=0.5, label_smoothing=0.1),
        lx.SoftmaxFocalLoss(),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_columns", [1, 4])
def test_scores_have_the_slopes_and_curvatures_of_their_values(loss, n_columns):
    from lossext.sklearn._scores import ScoreLoss

    rng = np.random.default_rng(0)
    scores, ids = rng.normal(size=(50, n_columns)), rng.integers(0, max(n_columns, 2), 50)
    score_loss = ScoreLoss(loss, n_columns)
    width = 0.1 if score_loss.has_kinks else None
    columns = score_loss.columns(ids, rng.random(50))
    value, slope, _ = score_loss.evaluate(scores, columns, width)
    direction = rng.normal(size=scores.shape)
    above, below = (score_loss.evaluate(scores + t * direction, columns, width) for t in (1e-6, -1e-6))
    assert (slope * direction).sum() == pytest.approx((above[0].sum() - below[0].sum()) / 2e-6, rel=1e-6)
    hess = score_loss.evaluate(scores, columns, width, hess=True)[2]
    if score_loss.coupled:
        own = hess if score_loss.knows_products else None
        product = score_loss.hessian(scores, columns, own, width, slope)(direction)
    else:
        product = hess * direction
    np.testing.assert_allclose(product, (above[1] - below[1]) / 2e-6, atol=1e-4)
    if width:  # rounding moves the value by little
        assert value.sum() == pytest.approx(score_loss.evaluate(scores, columns)[0].sum(), rel=0.02)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_mini_batches_come_near_the_minimum(cancer, solver, loss):
    X, y = cancer
    best = LossClassifier(loss, alpha=0.01, tol=1e-6).fit(X, y)
    model = LossClassifier(loss, alpha=0.01, solver=solver, tol=1e-5, batch_size=64, random_state=0)
    assert model.fit(X, y).objective_ < 1.1 * best.objective_


def test_float32_stays_float32(iris):
    X, y = iris
    for solver in ("lbfgs", "adam"):
        model = LossClassifier(solver=solver).fit(X.astype(np.float32), y)
        assert model.coef_.dtype == model.decision_function(X.astype(np.float32)).dtype == np.float32
        assert model.score(X, y) > 0.9


def test_sparse_features_give_the_same(iris):
    X, y = iris
    X = np.where(np.abs(X) < 0.5, 0, X)
    for loss in LOSSES:
        dense = LossClassifier(loss, alpha=0.1).fit(X, y)
        for container in (sparse.csr_array, sparse.csr_matrix, sparse.csc_matrix):
            model = LossClassifier(loss, alpha=0.1).fit(container(X), y)
            np.testing.assert_allclose(model.coef_, dense.coef_, atol=1e-8)
            assert (model.predict(container(X)) == dense.predict(X)).all()


def test_blocks_of_rows_do_not_matter(iris, multilabel, monkeypatch):
    for (X, y), loss in ((iris, "multi_margin"), (multilabel, "bce_with_logits"), (iris, "bce_with_logits")):
        weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
        y_used = sparse.csr_matrix(y) if y.ndim == 2 else y
        whole = LossClassifier(loss).fit(X, y_used, sample_weight=weight)
        for module in ("_rows", "_scores", "_solve", "_features"):
            monkeypatch.setattr(f"lossext.sklearn.{module}.BLOCK", 100)
        parts = LossClassifier(loss).fit(sparse.csr_matrix(X), y_used, sample_weight=weight)
        np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-4)
        monkeypatch.undo()


# multilabel


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_sparse_labels(multilabel, solver):
    X, Y = multilabel
    dense = LossClassifier("bce_with_logits", solver=solver, random_state=0).fit(X, Y)
    for container, dtype in ((sparse.csr_matrix, int), (sparse.csr_array, bool), (sparse.csc_matrix, float)):
        model = LossClassifier("bce_with_logits", solver=solver, random_state=0).fit(X, container(Y.astype(dtype)))
        np.testing.assert_allclose(model.coef_, dense.coef_)
        predicted = model.predict(X)
        assert sparse.issparse(predicted)
        assert (predicted.toarray() == dense.predict(X)).all()
        assert model.score(X, container(Y)) == dense.score(X, Y)


def test_sparse_labels_are_never_dense_as_a_whole():
    rng = np.random.default_rng(0)
    n_rows, n_labels = 20_000, 1_000
    where = rng.choice(n_rows * n_labels, n_rows, replace=False)  # SciPy's names for a generator differ by release
    Y = sparse.csr_matrix((np.ones(n_rows), np.divmod(where, n_labels)), shape=(n_rows, n_labels))
    X = rng.standard_normal((n_rows, 4)).astype(np.float32)
    model = LossClassifier("bce_with_logits", max_iter=2, tol=0)
    tracemalloc.start()
    with pytest.warns(ConvergenceWarning):
        model.fit(X, Y)
    model.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.75 * n_rows * n_labels  # bytes: half of the smallest dense Y


@pytest.mark.parametrize("by", ["fit", "partial_fit"])
def test_labels_by_the_thousand(by):
    """Five labels of 8,000 a row: nothing of rows x labels in fits or predictions, whose labels are right."""
    n_rows, n_labels = 1000, 8_000
    X = texts(n_rows, 4, n_words=30)[0].astype(np.float32)
    word = X.argmax(axis=1)[:, np.newaxis]
    ids = np.sort(word * 7 + np.arange(5), axis=1)  # of a row's first word
    Y = sparse.csr_matrix((np.ones(ids.size, np.int8), ids.ravel(), np.arange(0, ids.size + 1, 5)), (n_rows, n_labels))
    model = LossClassifier("bce_with_logits", max_iter=3, random_state=0)
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        getattr(model, by)(X, Y)
    fitted = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    predicted, top = model.predict(X), model.predict_top_k(X, 5)
    peak = tracemalloc.get_traced_memory()[1] - start
    tracemalloc.stop()
    assert fitted < 12 * model.coef_.nbytes + 16e6  # coefficients are 1 MB, rows x labels would be 32 in float32
    assert peak < 8e6  # rows x labels in bytes
    assert sparse.issparse(predicted)
    assert (np.sort(top, axis=1) == ids).mean() > 0.5
    if by == "fit":
        assert (predicted != Y).nnz < 0.5 * Y.nnz


def test_too_many_classes_are_said_before_the_start():
    X, y = sparse.csr_matrix((3, 1 << 22)), np.arange(3)
    for model in (LossClassifier(), SampledSoftmaxClassifier()):
        with pytest.raises(MemoryError, match=r"columns of scores x 4194304 features need \d{13,14} bytes for solver="):
            model.partial_fit(X, y, classes=np.arange(100_000))
        assert not hasattr(model, "coef_")


def test_multilabel_targets_must_be_0_and_1(multilabel):
    X, Y = multilabel
    for bad in (2 * Y - 1, sparse.csr_matrix(Y * 2)):
        with pytest.raises(ValueError, match=r"y holds (-1|2); a multilabel y holds 0 and 1"):
            LossClassifier("bce_with_logits").fit(X, bad)
    with pytest.raises(ValueError, match=r"multi_margin' takes one class per row; .* 'multilabel_soft_margin'"):
        LossClassifier("multi_margin").fit(X, Y)
    with pytest.raises(ValueError, match="Unknown label type"):
        LossClassifier("bce_with_logits").fit(X, Y + np.arange(6))


# weights


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_class_weight_is_sample_weight(iris, loss):
    X, y = iris
    by_class = {0: 1.0, 1: 3.0, 2: 0.5}
    a = LossClassifier(loss, class_weight=by_class).fit(X, y)
    weight = np.array([1, 3, 0.5])[y]
    b = LossClassifier(loss).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-3)


def test_balanced_weights(cancer):
    X, y = cancer
    share = y.mean()
    model = LossClassifier("bce_with_logits", class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(model.class_weight_, [0.5 / (1 - share), 0.5 / share])
    model = LossClassifier("bce_with_logits", pos_weight="balanced").fit(X, y)
    np.testing.assert_allclose(model.pos_weight_, [(1 - share) / share])
    # both put the same weight on either class, up to a factor
    again = LossClassifier("bce_with_logits", class_weight="balanced", alpha=1e-3).fit(X, y)
    assert again.score(X, y) > 0.95


def test_pos_weight_is_the_weight_of_positive_scores(multilabel):
    X, Y = multilabel
    pos_weight = np.array([1, 2, 3, 0.5, 1, 4.0])
    a = LossClassifier("bce_with_logits", pos_weight=pos_weight).fit(X, Y)
    b = LossClassifier(lx.BCEWithLogitsLoss(pos_weight=pos_weight)).fit(X, Y)
    weight = np.where(Y, pos_weight, 1.0)
    c = LossClassifier("bce_with_logits").fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(a.coef_, b.coef_)
    np.testing.assert_allclose(a.coef_, c.coef_, atol=1e-4)


def test_column_weights_of_a_loss_object_count(multilabel):
    X, Y = multilabel
    weight = np.array([1, 1, 0, 1, 1, 1.0])
    model = LossClassifier(lx.MultiLabelSoftMarginLoss(weight=weight, reduction="none")).fit(X, Y)
    assert (model.coef_[2] == 0).all()
    assert (np.delete(model.coef_, 2, axis=0) != 0).all()
    same = LossClassifier("multilabel_soft_margin", class_weight=dict(enumerate(weight))).fit(X, Y)
    np.testing.assert_allclose(same.coef_, model.coef_)
    with pytest.raises(ValueError, match=r"weight of the loss has shape \(300, 1\); .* given to fit as sample_weight"):
        LossClassifier(lx.MultiLabelSoftMarginLoss(weight=np.ones((300, 1)))).fit(X, Y)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_weights_of_single_scores(multilabel, solver):
    X, Y = multilabel
    missing = np.random.default_rng(0).random(Y.shape) < 0.3
    weight = np.where(missing, 0.0, 1.0)
    settings = {"solver": solver, "random_state": 0}
    a = LossClassifier("bce_with_logits", **settings).fit(X, Y, sample_weight=weight)
    b = LossClassifier("bce_with_logits", **settings).fit(X, np.where(missing, 1 - Y, Y), sample_weight=weight)
    np.testing.assert_allclose(a.coef_, b.coef_)
    c = LossClassifier("bce_with_logits", **settings).fit(X, sparse.csr_matrix(Y), sample_weight=weight)
    np.testing.assert_allclose(a.coef_, c.coef_)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(300, 2\); allowed is \(300,\) or \(300, 6\)"):
        LossClassifier("bce_with_logits").fit(X, Y, sample_weight=weight[:, :2])


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_zero_weights_are_as_good_as_absent(iris, solver):
    X, y = iris
    keep = np.arange(len(y)) % 3 > 0
    model = LossClassifier(solver=solver, batch_size=16, random_state=0)
    a = clone(model).fit(X[keep], y[keep])
    b = clone(model).fit(X, y, sample_weight=keep.astype(float))
    np.testing.assert_array_equal(a.coef_, b.coef_)
    with pytest.raises(ValueError, match="all are zero"):
        model.fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="only 1 class"):
        model.fit(X, y, sample_weight=(y == 1).astype(float))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, y, sample_weight=-np.ones(len(y)))


@pytest.mark.parametrize("weights", [{"pos_weight": 4.0}, {"class_weight": {0: 1, 1: 4}}, {"class_weight": "balanced"}])
def test_probabilities_undo_the_weights(weights):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 2))
    y = (X @ [1.0, -0.5] - 2 + rng.logistic(size=len(X)) > 0).astype(int)
    plain = LossClassifier("bce_with_logits").fit(X, y)
    model = LossClassifier("bce_with_logits", **weights).fit(X, y)
    assert model.predict(X).mean() > 2 * plain.predict(X).mean()
    assert brier_score_loss(y, model.predict_proba(X)[:, 1]) < 1.01 * brier_score_loss(y, plain.predict_proba(X)[:, 1])
    kept = model.set_params(undo_weights=False).predict_proba(X)[:, 1]
    assert kept.mean() > 1.5 * y.mean()
    np.testing.assert_allclose(np.log(kept), model.predict_log_proba(X)[:, 1])


def test_multiclass_probabilities_undo_class_weights():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 2))
    y = (X @ rng.standard_normal((2, 3)) + rng.gumbel(size=(len(X), 3))).argmax(axis=1)
    plain = LossClassifier("bce_with_logits").fit(X, y)
    model = LossClassifier("bce_with_logits", class_weight={0: 5, 1: 1, 2: 1}).fit(X, y)
    share = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X).mean(axis=0), share, atol=0.02)
    assert log_loss(y, model.predict_proba(X)) < 1.02 * log_loss(y, plain.predict_proba(X))
    assert model.set_params(undo_weights=False).predict_proba(X).mean(axis=0)[0] > 1.3 * share[0]


@pytest.mark.parametrize("loss", ["multi_margin", lx.MultiMarginLoss(p=2)], ids=str)
def test_hinges_have_no_probabilities(iris, loss):
    model = LossClassifier(loss).fit(*iris)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match=r"probabilities are available for the losses .*'bce_with_logits'"):
        _ = model.predict_proba


# mini-batches


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("loss", ["multi_margin", "bce_with_logits"])
def test_partial_fit(iris, loss, solver):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = LossClassifier(loss, solver=solver, random_state=0)
    order = np.random.default_rng(0).permutation(len(y))
    for epoch in range(80):
        for part in np.array_split(order, 5):
            model.partial_fit(X[part], names[part], classes=np.unique(names) if epoch == 0 else None)
    assert model.score(X, names) > 0.9
    assert model.n_iter_ == 400
    before = pickle.dumps(model.__dict__)
    with pytest.raises(ValueError, match=r"previously unseen labels: .*rose"):
        model.partial_fit(X[:2], ["setosa", "rose"])
    assert pickle.dumps(model.__dict__) == before
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X[:2], names[:2], classes=["a", "b"])
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:2, :2], names[:2])


def test_partial_fit_wants_classes_first(iris):
    X, y = iris
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        LossClassifier(solver="sgd").partial_fit(X, y)
    with pytest.raises(ValueError, match="previously unseen labels"):
        LossClassifier(solver="sgd").partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes of a multilabel problem are those of y's columns, \[0 1 2\], not"):
        LossClassifier("bce_with_logits", solver="sgd").partial_fit(X, np.eye(3)[y], classes=["a", "b", "c"])
    assert not hasattr(LossClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="it is available for solver='auto', 'adam' and 'sgd'"):
        LossClassifier(solver="lbfgs").partial_fit(X, y)


def test_partial_fit_multilabel_without_classes(multilabel):
    X, Y = multilabel
    a, b = (LossClassifier("bce_with_logits", solver="adam", pos_weight="balanced", random_state=0) for _ in range(2))
    for start in range(0, 300, 100):
        a.partial_fit(X[start : start + 100], Y[start : start + 100])
        b.partial_fit(X[start : start + 100], sparse.csr_matrix(Y[start : start + 100]))
    np.testing.assert_allclose(a.coef_, b.coef_)
    np.testing.assert_allclose(a.pos_weight_, (1 - Y.mean(axis=0)) / Y.mean(axis=0))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_with_zero_weights_changes_nothing(iris, solver):
    X, y = iris
    model = LossClassifier(solver=solver, random_state=0)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    before = model.coef_.copy(), model.intercept_.copy()
    model.partial_fit(X, y, sample_weight=np.zeros(len(y)))
    np.testing.assert_array_equal(model.coef_, before[0])
    np.testing.assert_array_equal(model.intercept_, before[1])


def test_partial_fit_goes_on_after_fit(iris):
    X, y = iris
    model = LossClassifier(solver="adam", random_state=0, max_iter=20, tol=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    before = model.objective_
    for _ in range(20):
        model.partial_fit(X, y)
    assert model.objective_ < before


def test_partial_fit_after_another_solver(iris):
    X, y = iris
    model = LossClassifier(random_state=0).fit(X, y).set_params(solver="adam", learning_rate=1e-3)
    best = model.objective_
    assert model.partial_fit(X, y).objective_ < 1.1 * best
    assert model.set_params(solver="sgd").partial_fit(X, y).objective_ < 1.1 * best


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_coefficients_that_run_away_are_an_error(cancer, solver):
    X, y = cancer
    model = LossClassifier(lx.MultiMarginLoss(p=2), solver=solver, learning_rate=1e300, random_state=0)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"not finite: .* lower learning_rate=1e\+300"):
        model.fit(X * 1e10, y)


def test_features_beyond_all_scales(cancer):
    X, y = cancer
    for scale in (1e-60, 1e60, 10.0 ** np.arange(-15, 15)):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert np.isfinite(LossClassifier("bce_with_logits").fit(X * scale, y).coef_).all()


@pytest.mark.parametrize("split", [True, False])
def test_early_stopping(cancer, split):
    X, y = cancer
    model = LossClassifier("bce_with_logits", solver="adam", alpha=0, learning_rate=0.05, batch_size=32, random_state=0)
    if split:
        model.set_params(early_stopping=True, validation_fraction=0.3).fit(X, y)
    else:
        model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
        best = -loss_scorer("bce_with_logits")(model, X[300:], y[300:])
        assert min(model.validation_curve_) == pytest.approx(best)
    assert model.n_iter_ == len(model.validation_curve_) == len(model.loss_curve_) < 1000
    assert min(model.validation_curve_) < model.validation_curve_[-1]
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        model.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="solver='adam' or solver='sgd'"):
        LossClassifier(early_stopping=True).fit(X, y)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_warm_start(cancer, solver):
    X, y = cancer
    model = LossClassifier("bce_with_logits", solver=solver, warm_start=True, random_state=0)
    first = model.fit(X, y).n_iter_
    assert model.fit(X, y).n_iter_ < first / 2
    with pytest.raises(ValueError, match="warm_start=True goes on from 30 features"):
        model.fit(X[:, :5], y)


# messages, progress, callbacks


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_convergence_warning_says_what_to_do(cancer, solver):
    X, y = load_breast_cancer(return_X_y=True)
    model = LossClassifier("bce_with_logits", solver=solver, max_iter=7, tol=1e-8, random_state=0)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    (message,) = (str(warning.message) for warning in caught if warning.category is ConvergenceWarning)
    for part in ("7", "objective", "gradient", "max_iter=7", "StandardScaler", "tol"):
        assert part in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LossClassifier("bce_with_logits", solver=solver, random_state=0).fit(*cancer)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_verbose(cancer, solver, capsys):
    model = LossClassifier("bce_with_logits", solver=solver, verbose=2).fit(*cancer)
    lines = capsys.readouterr().out.splitlines()
    assert all(re.search(r" s, at most \d+\.\d s left$", line) for line in lines)
    assert len(lines) == model.n_iter_
    assert lines[0].startswith("[LossClassifier] iteration 1: objective 0.")
    model.set_params(verbose=1).fit(*cancer)
    assert len(capsys.readouterr().out.splitlines()) == model.n_iter_ // 10


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("loss", ["multi_margin", "bce_with_logits"])
def test_callbacks(cancer, solver, loss):
    pytest.importorskip("sklearn.callback")
    X, y = cancer

    class Recorder:
        def __init__(self, stop_at=None):
            self.stop_at = stop_at
            self.events, self.scores = [], []

        def setup(self, estimator, context):
            self.events.append("setup")

        def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
            self.events.append(("begin", context.task_name, context.task_id))

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            self.events.append(("end", context.task_name, context.task_id))
            if X is not None and fitted_estimator is not None and context.task_name == "iteration":
                self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) == self.stop_at

        def teardown(self, estimator, context):
            self.events.append("teardown")

    recorder = Recorder()
    model = LossClassifier(loss, solver=solver, random_state=0).set_callbacks(recorder).fit(X, y)
    assert recorder.events[:2] == ["setup", ("begin", "fit", 0)]
    assert recorder.events[-2:] == [("end", "fit", 0), "teardown"]
    begun = [event[1:] for event in recorder.events if event[0] == "begin"]
    assert sorted(begun) == sorted(event[1:] for event in recorder.events if event[0] == "end")
    assert len(recorder.scores) == model.n_iter_
    assert recorder.scores[-1] == model.score(X, y) > recorder.scores[0] - 0.01

    stopped = LossClassifier(loss, solver=solver, random_state=0).set_callbacks(Recorder(stop_at=3)).fit(X, y)
    assert stopped.n_iter_ == 3
    assert stopped.score(X, y) == recorder.scores[2]


def test_callbacks_of_scikit_learn(cancer):
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = LossClassifier("bce_with_logits").set_callbacks(monitor).fit(*cancer)
    assert monitor.get_logs()
    assert model.score(*cancer) > 0.95
    pytest.importorskip("rich")
    grid = GridSearchCV(LossClassifier(), {"alpha": [0.1, 1.0]}, cv=2)
    grid.set_callbacks(callback.ProgressBar()).fit(*cancer)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "hinges"}, "must be a str among .*'multilabel_soft_margin'"),
        ({"loss": "multi_magrin"}, "Did you mean 'multi_margin'"),
        ({"class_weight": {0: np.inf}}, "not finite"),
        ({"loss": "bce_with_logits", "pos_weight": np.inf}, "pos_weight"),
        ({"loss": lx.HingeEmbeddingLoss()}, "must be a str among"),
        ({"alpha": -1}, "'alpha' parameter of LossClassifier must be a float in the range"),
        ({"solver": "newton"}, "'solver' parameter of LossClassifier must be a str among"),
        (
            {"loss": "multi_margin", "pos_weight": 2.0},
            "pos_weight=2.0 cannot be used: loss MultiMarginLoss.* has no positive part",
        ),
        (
            {"loss": "bce_with_logits", "pos_weight": [1, 2]},
            r"pos_weight has shape \(2,\); allowed is a scalar or \(3,",
        ),
        ({"loss": "bce_with_logits", "pos_weight": [1, 0, 1]}, "is not positive"),
        ({"loss": lx.BCEWithLogitsLoss(pos_weight=2), "pos_weight": 2.0}, "has a pos_weight of its own"),
        ({"class_weight": {0: -1}}, "negative"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "is 0 for all classes"),
        ({"class_weight": {"rose": 1}}, "not in class_weight"),
    ],
)
def test_bad_parameters(iris, parameters, message):
    with pytest.raises(ValueError, match=message):
        LossClassifier(**parameters).fit(*iris)


def test_bad_data(iris, multilabel):
    X, y = iris
    with pytest.raises(ValueError, match="only 1 class"):
        LossClassifier().fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match=r"takes one class per row; .* pos_weight='balanced'"):
        LossClassifier("bce_with_logits", class_weight="balanced").fit(*multilabel)
    with pytest.raises(NotFittedError):
        LossClassifier().predict(X)
    model = LossClassifier("bce_with_logits", solver="adam")
    with pytest.raises(ValueError, match="previously unseen labels"):
        model.fit(X, y, X_val=X, y_val=y + 1)
    model.partial_fit(*multilabel)
    with pytest.raises(ValueError, match=r"y has shape \(300, 5\); allowed is \(N, 6\)"):
        model.partial_fit(multilabel[0], multilabel[1][:, :5])


def test_a_missing_library_is_named():
    code = "import sys; sys.modules['sklearn'] = None; import lossext; import lossext.sklearn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: lossext.sklearn needs scikit-learn" in run.stderr
    assert "pip install 'lossext[sklearn]'" in run.stderr


def test_the_package_alone_imports_neither_scikit_learn_nor_scipy():
    code = "import lossext, sys; assert not {'scipy', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# inside scikit-learn's tools


def test_pipeline_and_column_transformer():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame({"size": rng.normal(size=200), "shop": rng.choice(["a", "b", "c"], 200)})
    y = np.where((table["size"] > 0) ^ (table["shop"] == "b"), "yes", "no")
    columns = ColumnTransformer([("n", StandardScaler(), ["size"]), ("c", OneHotEncoder(), ["shop"])])
    model = make_pipeline(columns, LossClassifier("bce_with_logits")).fit(table, y)
    assert model.score(table, y) > 0.6
    assert model.predict_proba(table).shape == (200, 2)
    direct = LossClassifier().fit(table[["size"]], y)
    assert list(direct.feature_names_in_) == ["size"]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search_in_processes_and_threads(iris, backend):
    joblib = pytest.importorskip("joblib")
    grid = {"loss": ["multi_margin", lx.MultiMarginLoss(p=2), "bce_with_logits"], "alpha": [1e-3, 1e-1]}
    with joblib.parallel_backend(backend, n_jobs=2):
        search = GridSearchCV(make_pipeline(StandardScaler(), LossClassifier()), {}, cv=3)
        search.param_grid = {f"lossclassifier__{name}": values for name, values in grid.items()}
        search.fit(*iris)
    assert search.best_score_ > 0.93
    serial = clone(search).fit(*iris)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])


def test_calibration(cancer):
    X, y = cancer
    model = CalibratedClassifierCV(LossClassifier(), cv=3).fit(X, y)
    assert brier_score_loss(y, model.predict_proba(X)[:, 1]) < 0.05


def test_one_vs_rest_around_it(iris):
    X, y = iris
    ours = LossClassifier("bce_with_logits", alpha=0.01, **EXACT)
    np.testing.assert_allclose(
        OneVsRestClassifier(ours).fit(X, y).decision_function(X), clone(ours).fit(X, y).decision_function(X), atol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_pickle_and_skops(iris, loss, solver):
    X, y = iris
    model = LossClassifier(loss, solver=solver, random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    skops = pytest.importorskip("skops.io")
    stored = skops.dumps(model)
    kinds = skops.get_untrusted_types(data=stored)
    assert all(kind.startswith("lossext.") for kind in kinds)
    assert not any(part.startswith("_") and part != "_classifier" for kind in kinds for part in kind.split("."))
    loaded = skops.load(io.BytesIO(stored), trusted=kinds)
    np.testing.assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    if solver == "adam":
        loaded.partial_fit(X, y)


# the scorer


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_scorer_is_the_negative_mean_loss(iris, loss):
    X, y = iris
    for keep in (y >= 0, y > 0):
        model = LossClassifier(loss).fit(X[keep], y[keep])
        scores = model.decision_function(X[keep])
        ids = y[keep] - y[keep].min()
        if scores.ndim == 1 and isinstance(loss, str) and loss != "multi_margin":
            expected = lx.binary_cross_entropy_with_logits(scores, ids)
        elif scores.ndim == 1:
            p = 2 if not isinstance(loss, str) else 1
            expected = lx.multi_margin_loss(np.column_stack((np.zeros_like(scores), scores)), ids, p=p)
        elif isinstance(loss, str) and loss != "multi_margin":
            expected = lx.multilabel_soft_margin_loss(scores, np.eye(3)[ids])
        else:
            expected = lx.multi_margin_loss(scores, ids, p=2 if not isinstance(loss, str) else 1)
        scorer = loss_scorer(loss)
        assert scorer(model, X[keep], y[keep]) == pytest.approx(-expected)
        assert scorer(model, X[keep][:10], y[keep][:10]) <= 0  # not all classes occur
    assert "loss_scorer(" in repr(scorer)


def test_scorer_with_weights_in_searches(iris):
    X, y = iris
    names = np.array(["a", "b", "c"])[y]
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    model = LossClassifier("bce_with_logits").fit(X, names)
    scorer = loss_scorer("bce_with_logits")
    repeated = scorer(model, X.repeat(weight, axis=0), names.repeat(weight))
    assert scorer(model, X, names, sample_weight=weight) == pytest.approx(repeated)
    scores = cross_val_score(
        make_pipeline(StandardScaler(), LossClassifier()), X, names, scoring=loss_scorer("multi_margin")
    )
    assert (scores <= 0).all()
    both = cross_validate(LossClassifier(), X, y, scoring={"loss": loss_scorer("multi_margin"), "accuracy": "accuracy"})
    assert both["test_loss"].shape == (5,)


def test_metadata_routing(cancer):
    X, y = cancer
    weight = np.random.default_rng(0).uniform(size=len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = LossClassifier("bce_with_logits").set_fit_request(sample_weight=True)
        scorer = loss_scorer("bce_with_logits").set_score_request(sample_weight=True)
        search = GridSearchCV(estimator, {"alpha": [0.01, 0.1]}, scoring=scorer, cv=2)
        weighted = search.fit(X, y, sample_weight=weight).cv_results_["mean_test_score"]
        scorer = loss_scorer("bce_with_logits").set_score_request(sample_weight=False)
        plain = clone(search).set_params(scoring=scorer).fit(X, y, sample_weight=weight)
        assert (weighted != plain.cv_results_["mean_test_score"]).all()
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        assert pipeline.fit(X, y, sample_weight=weight).score(X, y) > 0.9


def test_scorer_on_other_estimators_and_bad_input(iris, multilabel):
    X, y = iris
    assert loss_scorer("multi_margin")(LogisticRegression().fit(X, y), X, y) < 0
    X, Y = multilabel
    model = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    dense = loss_scorer("multilabel_soft_margin")(model, X, Y)
    assert dense == pytest.approx(-lx.multilabel_soft_margin_loss(model.decision_function(X), Y))
    for y in (sparse.csr_matrix(Y), Y.tolist()):
        assert loss_scorer("multilabel_soft_margin")(model, X, y) == pytest.approx(dense)
    with pytest.raises(ValueError, match="takes one class per row; y is multilabel"):
        loss_scorer("multi_margin")(model, X, Y)
    with pytest.raises(ValueError, match="'loss' parameter of loss_scorer must be a str among"):
        loss_scorer("hinges")


def test_digits_at_hand():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), LossClassifier("bce_with_logits")).fit(X[:1200], y[:1200])
    assert accuracy_score(y[1200:], model.predict(X[1200:])) > 0.9


def texts(n_rows, n_classes, n_words=3000, seed=0):
    """Rows of length 1 of words: half of them the class's own, the frequent ones of a few classes."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, n_words + 1)
    share = rng.dirichlet(np.full(n_classes, 0.7))
    y = rng.choice(n_classes, n_rows, p=share)
    own = frequency * rng.gamma(0.15, size=(n_classes, n_words))
    own /= own.sum(axis=1, keepdims=True)
    common = frequency / frequency.sum()
    words = np.vstack([rng.choice(n_words, 25, p=0.75 * common + 0.25 * own[c]) for c in y])
    where = np.repeat(np.arange(n_rows), 25).astype(np.int32), words.ravel().astype(np.int32)
    return normalize(sparse.csr_array((np.ones(words.size), where), (n_rows, n_words))), y


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"class_weight": "balanced"},
        {"loss": lx.HingeLoss(margin=0.3)},
        {"loss": lx.HingeLoss(margin=0.3, p=2), "class_weight": "balanced"},
    ],
)
def test_hinges_of_sparse_features_reach_the_minimum(settings):
    X, y = texts(600, 5)
    weight = np.random.default_rng(1).uniform(0.5, 2, 600)
    model = LossClassifier(**{"loss": "hinge", "fit_intercept": False, **settings}).fit(X, y, sample_weight=weight)
    loss = settings.get("loss", lx.HingeLoss())
    margin, p = loss.margin, loss.p
    k = np.ones(5) if model.class_weight_ is None else model.class_weight_
    total = weight.sum()

    def objective(coef):
        signs = 2 * (y[:, np.newaxis] == np.arange(5)) - 1
        losses = np.maximum(0, margin - signs * (X @ coef.T)) ** p * (weight * k[y])[:, np.newaxis]
        return losses.sum() / total + model.alpha_ / 2 * (coef**2).sum()

    C = 1 / (model.alpha_ * total * margin ** (2 - p))
    peer = LinearSVC(loss=["hinge", "squared_hinge"][p - 1], fit_intercept=False, C=C, tol=1e-8, max_iter=10**6)
    best = np.vstack([peer.fit(X, y == c, sample_weight=weight * k[y]).coef_ for c in range(5)])
    assert objective(model.coef_) == pytest.approx(model.objective_, rel=1e-9)
    assert objective(model.coef_) <= objective(margin * best) * (1 + 1e-5)


def test_intercepts_of_hinges_of_sparse_features_are_free():
    X, y = texts(600, 3)
    fast = LossClassifier("hinge").fit(X, y)
    long = sparse.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape)
    np.testing.assert_array_equal(LossClassifier("hinge").fit(long, y).coef_, fast.coef_)
    slow = LossClassifier("hinge", solver="newton-cg", max_iter=5000).fit(X, y)
    assert fast.objective_ <= slow.objective_ * (1 + 1e-5)
    shifted = fast.decision_function(X) + np.array([-0.01, 0, 0.01])[:, np.newaxis, np.newaxis]
    signs = 2 * (y[:, np.newaxis] == np.arange(3)) - 1
    low, here, high = np.maximum(0, 1 - signs * shifted).mean(axis=1)
    assert (here <= low + 1e-4).all()
    assert (here <= high + 1e-4).all()


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_label_that_no_sparse_row_has(fit_intercept):
    X, y = texts(200, 3)
    Y = np.column_stack((np.zeros(200, int), y == 0, np.ones(200, int)))
    model = LossClassifier("hinge", fit_intercept=fit_intercept).fit(X, Y)
    predicted = model.predict(X)
    assert not predicted[:, 0].any()
    assert predicted[:, 2].all()
    alone = LossClassifier("hinge", fit_intercept=fit_intercept).fit(X, Y[:, 1])
    np.testing.assert_array_equal(alone.coef_[0], model.coef_[1])


@pytest.mark.parametrize(
    ("loss", "peer"), [("cross_entropy", "log_loss"), ("bce_with_logits", "log_loss"), ("hinge", "hinge")]
)
def test_a_stream_of_texts_is_learnt_as_by_sgd_classifier(loss, peer):
    X, y = texts(6000, 30)
    peer = SGDClassifier("hinge" if loss == "hinge" else "log_loss", random_state=0)
    accuracies = []
    for model in (LossClassifier(loss, alpha=1e-4, random_state=0), peer):
        for start in (*range(0, 4000, 500), *range(0, 4000, 500)):
            model.partial_fit(X[start : start + 500], y[start : start + 500], classes=np.arange(30))
        accuracies.append(model.score(X[4000:], y[4000:]))
    assert accuracies[0] >= accuracies[1] - 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("loss", ["bce_with_logits", "cross_entropy", "hinge", lx.HingeLoss(p=2)])
def test_constant_columns_change_nothing(loss, container, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) * [1.0, 1e3]
    y = (X[:, 0] + 0.3 * rng.normal(size=500) > 0).astype(int)
    constants = np.repeat([[1e6, 0.0, 1e-9]], 500, axis=0)
    alone = LossClassifier(loss).fit(container(X.astype(dtype)), y)
    beside = LossClassifier(loss).fit(container(np.hstack((constants, X)).astype(dtype)), y)
    assert beside.objective_ == pytest.approx(alone.objective_, rel=1e-6)
    assert np.abs(beside.coef_[0, :3] * constants[0]).max() < 1e-6


@pytest.mark.slow
def test_the_example_on_texts():
    example = Path(__file__).parents[1] / "examples" / "text.py"
    if not example.exists():
        pytest.skip("the tests stand alone")
    run = subprocess.run([sys.executable, example, "--rows", "800"], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^(\S.*?) +[\d.]+ s +([\d.]+) +([\d.]+) +[\d.]+$", run.stdout, re.MULTILINE)
    memory, accuracy = ({name: float(numbers[i]) for name, *numbers in rows} for i in (0, 1))
    peers = {"BCE with logits": "OneVsRest(liblinear)", "hinge": "LinearSVC, hinge", "hinge p=2": "LinearSVC"}
    for ours, peer in peers.items():
        assert abs(accuracy[f"LossClassifier, {ours}"] - accuracy[peer]) <= 0.01
        assert memory[f"LossClassifier, {ours}"] <= 4


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_digits])
def test_a_penalty_with_a_corner_is_minimised(penalty, load):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    default, exact = (
        LossClassifier(penalty=penalty, l1_ratio=0.5, **settings).fit(X, y)
        for settings in ({}, {"tol": 1e-8, "max_iter": 10_000})
    )
    assert default.objective_ == pytest.approx(exact.objective_, rel=1e-6)
    assert abs(np.mean(default.coef_ == 0) - np.mean(exact.coef_ == 0)) < 0.05


def newton_decrement(model, X, y, weight):
    """Half of ``g' H^-1 g`` of weighted softmax losses and half the squared norm, over their value: the gap, nearly."""
    X, coef = X.astype(np.float64), model.coef_.astype(np.float64)
    scores = X @ coef.T + model.intercept_
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    X = np.column_stack((X - np.average(X, axis=0, weights=weight), np.ones(len(X))))
    k, c = X.shape[1], shares.shape[1]
    slope = weight[:, None] * (shares - np.eye(c)[y])
    grad = slope.T @ X + np.column_stack((coef, np.zeros(c)))
    hessian = np.zeros((c, k, c, k))
    for i in range(c):
        for j in range(c):
            curvature = weight * shares[:, i] * ((i == j) - shares[:, j])
            hessian[i, :, j] = X.T @ (X * curvature[:, None])
        hessian[i, range(k - 1), i, range(k - 1)] += 1
    size = np.sqrt(np.einsum("ikik->ik", hessian)).ravel()
    scaled = hessian.reshape(c * k, c * k) / np.outer(size, size)
    scaled[np.diag_indices(c * k)] += 1e-13  # a constant added to all scores changes nothing
    g = grad.ravel() / size
    value = -(weight * np.log(shares[np.arange(len(y)), y])).sum() + 0.5 * (coef**2).sum()
    return 0.5 * g @ np.linalg.solve(scaled, g) / value


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    ("load", "n_iter", "dtype"),
    [
        (load, n, t)
        for load, n in ((load_digits, 60), (load_wine, 15), (load_iris, 15))
        for t in (np.float64, np.float32)
    ],
)
def test_softmax_of_unscaled_features_ends_at_its_minimum_soon(load, n_iter, container, weighted, dtype):
    X, y = load(return_X_y=True)
    X = X.astype(dtype)
    weight = np.random.default_rng(0).uniform(0.2, 3, len(y)).astype(dtype) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LossClassifier().fit(container(X), y, sample_weight=weight)
    assert model.n_iter_ <= n_iter
    weight = np.ones(len(y)) if weight is None else weight.astype(np.float64)
    assert abs(newton_decrement(model, X, y, weight)) < 1e-6
