"""LinearSoftmaxLoss and topk: the exact softmax of a layer, in tiles."""

import pickle
import re
import resource
import subprocess
import sys

import numpy as np
import pytest

import lossext as lx
from lossext._kernels import drivers


def problem(rows, classes, dim, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    w, b, x = (rng.normal(size=s).astype(dtype) for s in ((classes, dim), classes, (rows, dim)))
    return w, b, rng.integers(classes, size=rows), x


def reference(w, b, labels, x, upstream=1.0):
    """In long double, with the whole matrix of logits."""
    w, b, x = (np.asarray(a, np.longdouble) for a in (w, b, x))
    z = x @ w.T + b
    e = np.exp(z - z.max(1, keepdims=True))
    own = np.arange(len(x)), labels
    loss = np.log(e.sum(1)) - np.log(e[own])
    p = e / e.sum(1, keepdims=True)
    p[own] -= 1
    p *= np.broadcast_to(np.asarray(upstream), len(x))[:, None]
    return loss, p.T @ x, p.sum(0), p @ w


# below, about and beyond what is kept of the logits: then they are computed twice
@pytest.mark.parametrize(
    ("rows", "classes", "dim"), [(1, 1, 1), (3, 7, 5), (97, 193, 33), (200, 30_000, 3), (5, 60_000, 8)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", drivers.isa_levels())
def test_reference(rows, classes, dim, dtype, isa):
    if rows * classes > 10**6 and isa != drivers.isa():
        pytest.skip("long arrays on one instruction set only")
    arrays = problem(rows, classes, dim, dtype)
    upstream = np.random.default_rng(1).normal(size=rows)
    before = drivers.isa()
    try:
        drivers.set_isa(isa)
        loss = lx.LinearSoftmaxLoss("none")
        value, grad = loss.value_and_grad(*arrays, grad_output=upstream)
        np.testing.assert_array_equal(loss(*arrays), value)
    finally:
        drivers.set_isa(before)
    for mine, right in zip((value, *grad), reference(*arrays, upstream), strict=True):
        bound = {"float64": 2e-12, "float32": 5e-6}[dtype] * np.abs(right).max()
        assert mine.dtype == dtype
        np.testing.assert_allclose(np.float64(mine), np.float64(right), rtol=0, atol=bound)


def test_sampled_softmax_with_all_classes_is_the_same():
    arrays = problem(30, 400, 6)
    sampled = lx.SampledSoftmaxLoss(400, 400, reduction="mean")
    value, grad = sampled.value_and_grad(*arrays)
    exact, exact_grad = lx.LinearSoftmaxLoss().value_and_grad(*arrays)
    np.testing.assert_allclose(value, exact, rtol=1e-14)
    np.testing.assert_allclose(grad.weights.to_dense(), exact_grad.weights, atol=1e-15)
    np.testing.assert_allclose(grad.biases.to_dense(), exact_grad.biases, atol=1e-15)
    np.testing.assert_allclose(grad.inputs, exact_grad.inputs, atol=1e-15)


def test_central_differences():
    arrays = problem(4, 6, 3)
    loss = lx.LinearSoftmaxLoss()
    for which, gradient in zip((0, 1, 3), loss.grad(*arrays), strict=True):
        for at in np.ndindex(gradient.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [a.copy() for a in arrays]
                moved[which][at] += step
                ends.append(loss(*moved))
            assert gradient[at] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("n_threads", [2, 5])
@pytest.mark.parametrize(("rows", "classes"), [(300, 500), (5, 60_000)])
def test_same_bits_for_any_number_of_threads(n_threads, rows, classes):
    arrays = problem(rows, classes, 20, "float32")
    one, many = (lx.LinearSoftmaxLoss("sum").value_and_grad(*arrays, n_threads=n) for n in (1, n_threads))
    for mine, right in zip((many[0], *many[1]), (one[0], *one[1]), strict=True):
        np.testing.assert_array_equal(mine, right)


def test_reductions_types_and_layouts():
    w, b, labels, x = problem(9, 40, 5)
    rows = lx.LinearSoftmaxLoss("none")(w, b, labels, x)
    weight = np.arange(9.0)
    np.testing.assert_allclose(lx.LinearSoftmaxLoss()(w, b, labels, x, sample_weight=weight), (rows * weight).mean())
    np.testing.assert_allclose(lx.linear_softmax_loss(w, b, labels, x, "sum"), rows.sum())
    for form in (np.asfortranarray, lambda a: a.astype(">f8"), lambda a: np.repeat(a, 2, 0)[::2]):
        np.testing.assert_array_equal(lx.LinearSoftmaxLoss("none")(form(w), form(b), labels, form(x)), rows)
    half, grad = lx.LinearSoftmaxLoss("none").value_and_grad(
        *(a.astype(np.float16) for a in (w, b)), labels, x.astype("f2")
    )
    assert half.dtype == grad.weights.dtype == np.float16
    np.testing.assert_allclose(half, rows, rtol=3e-3)
    loss = lx.LinearSoftmaxLoss("none")
    assert repr(loss) == "LinearSoftmaxLoss(reduction='none')"
    assert pickle.loads(pickle.dumps(loss)) == loss != lx.LinearSoftmaxLoss()


def test_near_zero_and_nan():
    w, b, x = np.zeros((5, 1)), np.array([300.0, 0, 0, 0, 0]), np.ones((2, 1))
    np.testing.assert_allclose(lx.LinearSoftmaxLoss("none")(w, b, [0, 0], x), 4 * np.exp(-300), rtol=1e-14)
    x[1] = np.nan
    value, grad = lx.LinearSoftmaxLoss("none").value_and_grad(w, b, [0, 0], x)
    assert np.isnan(value).tolist() == np.isnan(grad.inputs[:, 0]).tolist() == [False, True]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_no_rows(reduction):
    value, grad = lx.LinearSoftmaxLoss(reduction).value_and_grad(np.ones((4, 2)), np.ones(4), [], np.ones((0, 2)))
    expected = {"none": np.empty(0), "mean": np.nan, "sum": 0.0}[reduction]
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(grad.weights, np.zeros((4, 2)))


MEMORY = """
import resource, numpy as np, lossext as lx
w, b, x = np.ones((1_000_000, 64), np.float32), np.ones(1_000_000, np.float32), np.ones((256, 64), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lx.LinearSoftmaxLoss().value_and_grad(w, b, np.arange(256), x) if {grad} else lx.topk(w, b, x, 10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("grad", [True, False])
def test_memory(grad):
    """A million classes, logits of a gigabyte: under 300 MB beyond the arrays given and the gradients asked for."""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on Linux
    code = MEMORY.replace("{grad}", str(grad))
    used = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    asked = (1_000_000 * 65 + 256 * 64) * 4 / 1024 if grad else 0
    assert used - asked < 300_000


@pytest.mark.parametrize(
    ("rows", "classes", "dim", "k"), [(1, 1, 1, 1), (5, 20, 3, 20), (97, 1000, 8, 3), (3, 60_000, 2, 50)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_topk(rows, classes, dim, k, dtype, n_threads):
    w, b, _, x = problem(rows, classes, dim, dtype)
    values, ids = lx.topk(w, b, x, k, n_threads=n_threads)
    z = x.astype(np.float64) @ w.T.astype(np.float64) + b
    right = -np.sort(-z, axis=1)[:, :k]
    assert values.dtype == dtype
    np.testing.assert_allclose(values, right, atol={"float32": 1e-5, "float64": 1e-13}[dtype])
    np.testing.assert_allclose(np.take_along_axis(z, ids, 1), right, atol={"float32": 1e-5, "float64": 1e-13}[dtype])
    assert all(len(set(row)) == k for row in ids.tolist())


def test_topk_ties_and_nan():
    w, b = np.zeros((6, 1)), np.array([1.0, 2.0, 2.0, np.nan, -np.inf, 2.0])
    values, ids = lx.topk(w, b, [[0.0]], 6)
    np.testing.assert_array_equal(ids, [[1, 2, 5, 0, -1, -1]])
    np.testing.assert_array_equal(values, [[2, 2, 2, 1, -np.inf, -np.inf]])
    assert lx.topk(w, b, np.empty((0, 1)), 2)[1].shape == (0, 2)


W, B, X = np.ones((20, 3)), np.zeros(20), np.ones((4, 3))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "reduction = 'max'", lambda: lx.LinearSoftmaxLoss("max")),
        (ValueError, "labels[1] = 20 is not in [0, 20)", lambda: lx.linear_softmax_loss(W, B, [0, 20, 1, 1], X)),
        (ValueError, "labels has shape (3,)", lambda: lx.linear_softmax_loss(W, B, [0, 1, 1], X)),
        (TypeError, "labels has dtype float64", lambda: lx.linear_softmax_loss(W, B, np.zeros(4), X)),
        (
            ValueError,
            "weights has shape (20, 3); allowed is (V, 2)",
            lambda: lx.linear_softmax_loss(W, B, [0] * 4, X[:, :2]),
        ),
        (ValueError, "biases has shape (19,)", lambda: lx.linear_softmax_loss(W, B[1:], [0] * 4, X)),
        (TypeError, "inputs has dtype complex128", lambda: lx.linear_softmax_loss(W, B, [0] * 4, X * 1j)),
        (ValueError, "k = 21 is greater than the 20 rows of weights", lambda: lx.topk(W, B, X, 21)),
        (ValueError, "k = 0 is not at least 1", lambda: lx.topk(W, B, X, 0)),
        (TypeError, "k must be an int", lambda: lx.topk(W, B, X, 1.0)),
        (ValueError, "inputs has shape (3,)", lambda: lx.topk(W, B, X[0], 1)),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize("classes", [500, 60_000])  # probabilities kept, and computed anew
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["ids", "soft", "none"])
def test_labels_near_and_far_from_the_largest_logits(classes, dtype, kind):
    """Tiles whose exponentials are relative to the label's logit, beside others that are relative to their own peak."""
    rng = np.random.default_rng(0)
    ahead = np.array([-700, -60, -17, -15, -9, -7, 0, 5, 9, 30, 100])
    w = rng.normal(size=(classes, len(ahead))).astype(dtype)
    b = np.repeat(rng.choice([-40, -20, -12, -2, 0], classes // 100), 100).astype(dtype)  # of tiles unlike each other
    x = np.eye(len(ahead)).astype(dtype)
    labels = rng.choice(classes, len(ahead), replace=False)
    wide = np.longdouble
    z = w.T.astype(wide) + b
    w[labels, np.arange(len(ahead))] = (z.max(axis=1) + ahead - b[labels]).astype(dtype)
    z = w.T.astype(wide) + b
    target = np.zeros((len(ahead), classes), wide)
    target[np.arange(len(ahead)), labels] = 1
    given = labels
    if kind == "soft":
        sparse = pytest.importorskip("scipy.sparse")
        target[:, 7] += 0.5
        given = sparse.csr_matrix(np.minimum(target, 1).astype(float))
        target = given.toarray().astype(wide)
    top = z.max(axis=1, keepdims=True)
    lse = np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top
    loss = (target * (lse - z)).sum(axis=1)
    p = target.sum(axis=1, keepdims=True) * np.exp(z - lse) - target
    eps = np.finfo(dtype).eps
    if kind == "none":
        found = lx.LinearSoftmaxLoss().log_normalizer(w, b, x)
        np.testing.assert_allclose(found, lse[:, 0].astype(float), rtol=8 * eps)
        return
    value, grad = lx.LinearSoftmaxLoss("none").value_and_grad(w, b, given, x, grad_output=np.ones(len(x)))
    np.testing.assert_array_equal(value, lx.LinearSoftmaxLoss("none")(w, b, given, x))
    sure = loss == loss if kind == "soft" else loss > 1e-10  # the sum of others' exponentials in long double ends there
    np.testing.assert_allclose(value[sure], loss[sure].astype(float), rtol=200 * eps)
    np.testing.assert_allclose(grad.weights, p.T.astype(float), rtol=200 * eps, atol=40 * eps)
    np.testing.assert_allclose(grad.biases, p.sum(axis=0).astype(float), rtol=200 * eps, atol=200 * eps)
    np.testing.assert_allclose(grad.inputs, (p @ w).astype(float), atol=800 * eps * 40)
