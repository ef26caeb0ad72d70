"""scipy_objective against central differences, and in SciPy's minimisers against scikit-learn's optimum."""

import itertools
import pickle

import numpy as np
import pytest

import lossext as lx

SEED = 7
METHODS = ["L-BFGS-B", "Newton-CG", "trust-ncg"]
LOSSES = [
    lx.BCEWithLogitsLoss(pos_weight=[2.0, 1.0, 0.5], reduction="sum"),
    lx.MultiLabelSoftMarginLoss(weight=[1.0, 2.0, 3.0]),
    lx.MultiMarginLoss(p=2, weight=[1.0, 2.0, 0.5]),
    lx.MultiMarginLoss(p=1),
    lx.HingeEmbeddingLoss(),
]


def problem(loss, n_rows=40):
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n_rows, 4)) * (rng.random((n_rows, 4)) < 0.7)
    y = {
        "class": rng.integers(0, 3, n_rows),
        "sign": rng.choice([-1, 1], (n_rows, 3)),
        "unit": rng.integers(0, 2, (n_rows, 3)),
    }[loss.declaration.target.kind]
    return X, y, rng.uniform(0.2, 2, n_rows)


@pytest.mark.parametrize(("loss", "fit_intercept"), list(itertools.product(LOSSES, [False, True])))
def test_derivatives(loss, fit_intercept):
    X, y, weight = problem(loss)
    objective = lx.scipy_objective(loss, X, y, alpha=0.3, sample_weight=weight, fit_intercept=fit_intercept)
    rng = np.random.default_rng(SEED)
    w, step = rng.normal(size=objective.size), 1e-6
    assert objective.size == 4 * 3 + 3 * fit_intercept
    value, grad = objective(w)
    assert isinstance(value, float)
    assert grad.dtype == np.float64
    coef, intercept = objective.unpack(w)
    assert (coef.shape, intercept.shape) == ((4, 3), (3,))
    expected = loss(X @ coef + intercept, y, sample_weight=weight) + 0.15 * (coef**2).sum()
    assert value == pytest.approx(expected, rel=1e-14)
    for direction in np.eye(objective.size):
        (up, up_grad), (down, down_grad) = (objective(w + sign * step * direction) for sign in (1, -1))
        assert grad @ direction == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-7)
        slope = (up_grad - down_grad) / (2 * step)
        np.testing.assert_allclose(objective.hessp(w, direction), slope, rtol=1e-6, atol=1e-7)


def test_hessp_follows_w():
    loss = LOSSES[0]
    objective = lx.scipy_objective(loss, *problem(loss)[:2])
    ones, zeros = np.ones(objective.size), np.zeros(objective.size)
    fresh = lx.scipy_objective(loss, *problem(loss)[:2])
    w = zeros.copy()
    objective.hessp(w, ones)
    w += 1  # in place, as minimisers do
    assert np.array_equal(objective.hessp(w, ones), fresh.hessp(ones, ones))


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "coo_array"])
@pytest.mark.parametrize("loss", LOSSES)
def test_sparse(loss, kind):
    sparse = pytest.importorskip("scipy.sparse")
    X, y, _ = problem(loss)
    dense = lx.scipy_objective(loss, X, y, alpha=0.1, fit_intercept=True)
    objective = lx.scipy_objective(loss, getattr(sparse, kind)(X.astype(np.float32)), y, alpha=0.1, fit_intercept=True)
    w = np.random.default_rng(SEED).normal(size=dense.size)
    np.testing.assert_allclose(objective(w)[0], dense(w)[0], rtol=1e-6)
    np.testing.assert_allclose(objective(w)[1], dense(w)[1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(objective.hessp(w, w), dense.hessp(w, w), rtol=1e-5, atol=1e-7)


def minimum(objective, method):
    optimize = pytest.importorskip("scipy.optimize")
    hessp = None if method == "L-BFGS-B" else objective.hessp
    options = {
        "L-BFGS-B": {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000},
        "Newton-CG": {"xtol": 1e-12},
        "trust-ncg": {"gtol": 1e-9},
    }[method]
    return optimize.minimize(objective, np.zeros(objective.size), jac=True, hessp=hessp, method=method, options=options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weighted", [False, True])
def test_optimum_of_logistic_regression(method, weighted):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = pytest.importorskip("sklearn.datasets").load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    weight = np.random.default_rng(SEED).uniform(0.2, 2, len(y)) if weighted else None
    loss = lx.BCEWithLogitsLoss(reduction="sum")
    objective = lx.scipy_objective(loss, X, y, alpha=0.5, sample_weight=weight, fit_intercept=True)
    found = minimum(objective, method)
    reference = linear_model.LogisticRegression(C=2.0, solver="newton-cholesky", tol=1e-10).fit(X, y, weight)
    coef, intercept = objective.unpack(found.x)
    np.testing.assert_allclose(coef, reference.coef_[0], atol=2e-5)
    np.testing.assert_allclose(intercept, reference.intercept_[0], atol=2e-5)
    assert abs(found.fun - objective(np.append(reference.coef_[0], reference.intercept_))[0]) < 1e-8


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES[:3])
def test_minimisers_agree(loss, method):
    X, y, weight = problem(loss, n_rows=300)
    objective = lx.scipy_objective(loss, X, y, alpha=0.01, sample_weight=weight, fit_intercept=True)
    found = minimum(objective, method)
    assert np.abs(found.jac).max() < 1e-5
    assert found.fun == pytest.approx(minimum(objective, "L-BFGS-B").fun, rel=1e-9)


def test_lbfgs_on_a_piecewise_linear_loss():
    X, y, _ = problem(LOSSES[3], n_rows=300)
    objective = lx.scipy_objective(LOSSES[3], X, y, alpha=0.01, fit_intercept=True)
    assert minimum(objective, "L-BFGS-B").fun < objective(np.zeros(objective.size))[0]


def test_n_classes():
    X, y, _ = problem(lx.MultiMarginLoss())
    assert lx.scipy_objective(lx.MultiMarginLoss(), X, y, n_classes=6).size == 4 * 6
    with pytest.raises(ValueError, match="n_classes = 3 is for class ids"):
        lx.scipy_objective(lx.BCEWithLogitsLoss(), X, y, n_classes=3)
    with pytest.raises(TypeError, match="n_classes must be an int"):
        lx.scipy_objective(lx.MultiMarginLoss(), X, y, n_classes=3.0)


def test_pickles():
    loss = LOSSES[0]
    objective = lx.scipy_objective(loss, *problem(loss)[:2], alpha=1.0)
    again, w = pickle.loads(pickle.dumps(objective)), np.ones(objective.size)
    assert again(w)[0] == objective(w)[0]


def test_errors():
    loss, X, y = lx.BCEWithLogitsLoss(), np.ones((3, 2)), np.array([0, 1, 1])
    with pytest.raises(TypeError, match="loss must be a loss object"):
        lx.scipy_objective("bce", X, y)
    with pytest.raises(ValueError, match="its reduction must be 'mean' or 'sum'"):
        lx.scipy_objective(lx.BCEWithLogitsLoss(reduction="none"), X, y)
    with pytest.raises(ValueError, match=r"X has shape \(3,\); allowed is rank 2"):
        lx.scipy_objective(loss, X[:, 0], y)
    with pytest.raises(TypeError, match="X has dtype complex128"):
        lx.scipy_objective(loss, X + 1j, y)
    for bad in (y[:2], 1):
        with pytest.raises(ValueError, match=r"y has shape .*; its first axis must be X's, 3"):
            lx.scipy_objective(loss, X, bad)
    for bad in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="alpha = "):
            lx.scipy_objective(loss, X, y, bad)
    with pytest.raises(TypeError, match="alpha must be a real number"):
        lx.scipy_objective(loss, X, y, "1")
    with pytest.raises(ValueError, match=r"sample_weight has shape \(2,\)"):
        lx.scipy_objective(loss, X, y, sample_weight=[1, 2])
    with pytest.raises(TypeError, match="y has dtype float64; allowed are integer dtypes"):
        lx.scipy_objective(lx.MultiMarginLoss(), X, y / 1)
    objective = lx.scipy_objective(loss, X, y)
    for call in (objective, objective.unpack, lambda w: objective.hessp(w, np.ones(2))):
        with pytest.raises(ValueError, match=r"w has shape \(3,\); allowed is \(2,\)"):
            call(np.ones(3))
    with pytest.raises(ValueError, match=r"v has shape \(3,\); allowed is \(2,\)"):
        objective.hessp(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"target\[0\] = 5 is not in \[0, 1\]"):
        lx.scipy_objective(loss, X, [5, 0, 1])(np.ones(2))
