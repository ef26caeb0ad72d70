"""What LinearSoftmaxLoss has of cross entropy, and LinearBCELoss: against formulas on the whole matrix of logits."""

import re

import numpy as np
import pytest

import lossext as lx

sparse = pytest.importorskip("scipy.sparse")


def problem(rows=50, classes=300, dim=7, seed=0):
    rng = np.random.default_rng(seed)
    w, b, x = (rng.normal(size=s) for s in ((classes, dim), classes, (rows, dim)))
    return w, b, rng.integers(classes, size=rows), x


def soft_reference(w, b, target, x, class_weight, smoothing, temperature, upstream):
    """sum_c q_c y_c (lse - z_c) with y smoothed; in long double."""
    w, b, x, y = (np.asarray(a, np.longdouble) for a in (w, b, x, target))
    z = (x @ w.T + b) / temperature
    top = z.max(1, keepdims=True)
    lse = top + np.log(np.exp(z - top).sum(1, keepdims=True))
    q = ((1 - smoothing) * y + np.where(y.any(1), smoothing, 0)[:, None] / y.shape[1]) * class_weight
    loss = (q * (lse - z)).sum(1)
    slope = (np.exp(z - lse) * q.sum(1, keepdims=True) - q) * np.asarray(upstream)[:, None] / temperature
    return loss, slope.T @ x, slope.sum(0), slope @ w


@pytest.mark.parametrize("classes", [300, 25_000])  # logits kept, and computed twice
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("soft", [False, True])
def test_options(classes, smoothing, weighted, temperature, soft):
    w, b, labels, x = problem(30, classes)
    rng = np.random.default_rng(1)
    class_weight = rng.uniform(0, 2, classes) if weighted else np.ones(classes)
    labels[[2, 5]] = -100
    known = labels != -100
    target = np.zeros((30, classes))
    target[known, labels[known]] = 1
    given = labels
    if soft:
        for i in np.flatnonzero(known):
            target[i, rng.choice(classes, 4, replace=False)] = rng.uniform(0, 0.5, 4)
        given = sparse.csr_array(target)
    upstream = rng.normal(size=30)
    options = {"label_smoothing": smoothing, "temperature": temperature, "weight": class_weight if weighted else None}
    right = soft_reference(w, b, target, x, class_weight, smoothing, temperature, upstream)
    value, grad = lx.LinearSoftmaxLoss("none", **options).value_and_grad(w, b, given, x, grad_output=upstream)
    for mine, wanted in zip((value, *grad), right, strict=True):
        np.testing.assert_allclose(mine, np.float64(wanted), rtol=0, atol=1e-12 * np.abs(np.float64(wanted)).max())
    assert not value[~known].any()
    divisor = class_weight[labels[known]].sum() if weighted and not soft else known.sum()
    mean = lx.linear_softmax_loss(w, b, given, x, **options)
    np.testing.assert_allclose(mean, float(right[0].sum() / divisor), rtol=1e-12)


def test_log_normalizer():
    w, b, _, x = problem()
    for dtype, bound in (("float64", 1e-14), ("float32", 1e-6)):
        w_, b_, x_ = (a.astype(dtype) for a in (w, b, x))
        z = (x_.astype(float) @ w_.T.astype(float) + b_) / 0.5
        result = lx.LinearSoftmaxLoss(temperature=0.5).log_normalizer(w_, b_, x_)
        assert result.dtype == dtype
        np.testing.assert_allclose(result, np.logaddexp.reduce(z, axis=1), rtol=10 * bound)
    assert lx.LinearSoftmaxLoss().log_normalizer(w, b, x[:0]).shape == (0,)


def test_ignored_rows_may_hold_anything():
    w, b, labels, x = problem()
    labels[4], x[4] = -7, np.nan
    value, grad = lx.LinearSoftmaxLoss(ignore_index=-7).value_and_grad(w, b, labels, x)
    rest = np.arange(50) != 4
    right, right_grad = lx.LinearSoftmaxLoss().value_and_grad(w, b, labels[rest], x[rest])
    np.testing.assert_allclose(value, right, rtol=1e-14)
    np.testing.assert_allclose(grad.weights, right_grad.weights, atol=1e-15)
    assert not grad.inputs[4].any()
    nothing, grad = lx.LinearSoftmaxLoss(ignore_index=-7).value_and_grad(w, b, np.full(50, -7), x)
    assert np.isnan(nothing)
    assert not grad.weights.any()


def test_soft_labels_keep_their_domain():
    w, b, _, x = problem(2)
    nearly = sparse.csr_array(np.eye(2, 300, dtype=np.float32) * np.float32(1.0000002))
    exact = sparse.csr_array(np.eye(2, 300))
    assert lx.linear_softmax_loss(w, b, nearly, x) == lx.linear_softmax_loss(w, b, exact, x)
    for bad in (1.1, -0.5, np.nan):
        with pytest.raises(ValueError, match=r"labels.data\[0\] = .* is not in \[0, 1\]"):
            lx.linear_softmax_loss(w, b, exact * bad, x)


@pytest.mark.parametrize("classes", [300, 25_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pos_weight", [None, 3.0, "many"])
def test_bce_is_that_of_the_logits(classes, dtype, pos_weight):
    w, b, _, x = problem(30, classes)
    rng = np.random.default_rng(1)
    target = sparse.csr_array(rng.random((30, classes)) * (rng.random((30, classes)) < 6 / classes))
    target.data[::2] = 1
    if isinstance(pos_weight, str):
        pos_weight = rng.uniform(0.5, 4, classes)
    w, b, x = (a.astype(dtype) for a in (w, b, x))
    z = x.astype(float) @ w.T.astype(float) + b
    dense = lx.BCEWithLogitsLoss(pos_weight=pos_weight, reduction="none")
    rows, slope = dense.value_and_grad(z, target.toarray())
    bound = {"float32": 3e-5, "float64": 1e-12}[dtype]
    for reduction, right, scale in (
        ("none", rows.sum(1), 1), ("sum", rows.sum(), 1), ("mean", rows.mean(), 1 / rows.size)
    ):  # fmt: skip
        loss = lx.LinearBCELoss(pos_weight=pos_weight, reduction=reduction)
        value, grad = loss.value_and_grad(w, b, target, x)
        np.testing.assert_allclose(value, right, rtol=bound)
        np.testing.assert_array_equal(loss(w, b, target, x), value)
        for mine, wanted in zip(grad, (slope.T @ x, slope.sum(0), slope @ w), strict=True):
            assert mine.dtype == dtype
            np.testing.assert_allclose(mine, scale * wanted, atol=bound * scale * np.abs(wanted).max())


def test_bce_of_ids_and_rows():
    w, b, _, x = problem(4)
    ids = [[1, 5, -1], [-1, -1, -1], [7, -1, 2], [0, 1, 2]]
    target = np.zeros((4, 300))
    for row, own in enumerate(ids):
        target[row, [i for i in own if i >= 0]] = 1
    loss = lx.LinearBCELoss(reduction="none")
    np.testing.assert_allclose(loss(w, b, ids, x), loss(w, b, sparse.csr_array(target), x), rtol=1e-14)
    weight = np.array([1.0, 0.0, 2.0, 1.0])
    x[1] = np.nan
    value, grad = lx.LinearBCELoss().value_and_grad(w, b, ids, x, sample_weight=weight)
    np.testing.assert_allclose(value, np.nansum(loss(w, b, ids, x) * weight) / (4 * 300))
    assert not grad.inputs[1].any()
    assert lx.linear_bce_loss(w, b, ids, x[[0, 0, 2, 3]]) > 0
    for reduction, right in (("none", np.empty(0)), ("sum", 0.0), ("mean", np.nan)):
        value, grad = lx.LinearBCELoss(reduction=reduction).value_and_grad(w, b, np.empty((0, 2), int), x[:0])
        np.testing.assert_array_equal(value, right)
        assert not grad.weights.any()


@pytest.mark.parametrize("n_threads", [2, 5])
def test_bce_has_the_same_bits_for_any_number_of_threads(n_threads):
    w, b, _, x = problem(200, 25_000)
    ids = np.random.default_rng(0).integers(25_000, size=(200, 3))
    one, many = (lx.LinearBCELoss().value_and_grad(w, b, ids, x, n_threads=n) for n in (1, n_threads))
    for mine, right in zip((many[0], *many[1]), (one[0], *one[1]), strict=True):
        np.testing.assert_array_equal(mine, right)


W, B, X = np.ones((20, 3)), np.zeros(20), np.ones((2, 3))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "label_smoothing = 1.5 is not in [0, 1]", lambda: lx.LinearSoftmaxLoss(label_smoothing=1.5)),
        (ValueError, "temperature = 0.0 is not above 0", lambda: lx.LinearSoftmaxLoss(temperature=0)),
        (TypeError, "ignore_index must be an int", lambda: lx.LinearSoftmaxLoss(ignore_index=None)),
        (ValueError, "weight has shape (3,); allowed is (20,)",
         lambda: lx.linear_softmax_loss(W, B, [0, 1], X, weight=[1, 2, 3])),
        (ValueError, "labels has shape (2, 19); allowed is (2, 20)",
         lambda: lx.linear_softmax_loss(W, B, sparse.csr_array(np.eye(2, 19)), X)),
        (ValueError, "labels[1] = 20 is not in [0, 20)", lambda: lx.linear_softmax_loss(W, B, [-100, 20], X)),
        (ValueError, "pos_weight has shape (3,)",
         lambda: lx.linear_bce_loss(W, B, [[0], [1]], X, pos_weight=[1, 2, 3])),
        (ValueError, "pos_weight has shape (1, 3)", lambda: lx.LinearBCELoss(pos_weight=[[1, 2, 3]])),
        (ValueError, "labels[1, 0] = 20 is not in [0, 20)", lambda: lx.linear_bce_loss(W, B, [[0], [20]], X)),
        (ValueError, "labels.data[0] = 2.0 is not in [0, 1]",
         lambda: lx.linear_bce_loss(W, B, sparse.csr_array(2 * np.eye(2, 20)), X)),
    ],
)  # fmt: skip
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()
