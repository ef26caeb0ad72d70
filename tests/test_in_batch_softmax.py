"""InBatchSoftmaxLoss and the estimator of its log_q."""

import pickle
import re

import numpy as np
import pytest

import lossext as lx


def problem(rows, dim, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(2, rows, dim)).astype(dtype)
    return users, items, rng.integers(rows // 2 + 1, size=rows), np.log(rng.uniform(0.01, 1, rows))


def reference(users, items, ids, log_q, temperature, upstream):
    u, v = np.asarray(users, np.longdouble), np.asarray(items, np.longdouble)
    s = u @ v.T / temperature - log_q
    twins = (ids[:, None] == ids) & ~np.eye(len(u), dtype=bool)
    s[twins] = -np.inf
    e = np.exp(s - s.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss = -np.log(np.diag(p))
    p = (p - np.eye(len(u))) * np.broadcast_to(upstream, len(u))[:, None]
    return loss, p @ v / temperature, p.T @ u / temperature


@pytest.mark.parametrize(("rows", "dim"), [(1, 2), (5, 3), (97, 33), (400, 8)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_reference(rows, dim, dtype, temperature):
    users, items, ids, log_q = problem(rows, dim, dtype)
    upstream = np.random.default_rng(1).normal(size=rows)
    loss = lx.InBatchSoftmaxLoss(temperature, "none")
    value, grad = loss.value_and_grad(users, items, item_ids=ids, log_q=log_q, grad_output=upstream)
    for mine, right in zip((value, *grad), reference(users, items, ids, log_q, temperature, upstream), strict=True):
        assert mine.dtype == dtype
        bound = {"float64": 2e-12, "float32": 5e-6}[dtype] * np.abs(right).max()
        np.testing.assert_allclose(np.float64(mine), np.float64(right), rtol=0, atol=bound)
    np.testing.assert_array_equal(loss(users, items, item_ids=ids, log_q=log_q), value)
    np.testing.assert_array_equal(loss.grad(users, items, item_ids=ids, log_q=log_q, grad_output=upstream)[1], grad[1])


def test_without_ids_all_items_differ():
    users, items, _, _ = problem(20, 4)
    loss = lx.InBatchSoftmaxLoss()
    np.testing.assert_array_equal(loss(users, items), loss(users, items, item_ids=np.arange(20) - 7))
    right = reference(users, items, np.arange(20), np.zeros(20), 1, 1)[0].mean()
    np.testing.assert_allclose(loss(users, items), np.float64(right))


def test_a_batch_of_one_item_has_no_loss():
    users, items, _, _ = problem(6, 3)
    value, grad = lx.InBatchSoftmaxLoss().value_and_grad(users, items, item_ids=np.full(6, -(2**40)))
    assert value == 0
    assert not grad.users.any()
    assert not grad.items.any()


def test_central_differences():
    users, items, ids, log_q = problem(5, 3)
    loss = lx.InBatchSoftmaxLoss(0.7, "sum")
    grad = loss.grad(users, items, item_ids=ids, log_q=log_q)
    for which, gradient in enumerate(grad):
        for at in np.ndindex(gradient.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [users.copy(), items.copy()]
                moved[which][at] += step
                ends.append(loss(*moved, item_ids=ids, log_q=log_q))
            assert gradient[at] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


def test_threads_and_waves():
    users, items, ids, log_q = problem(3000, 10, "float32")
    loss = lx.InBatchSoftmaxLoss(0.5)
    one, *many = (loss.value_and_grad(users, items, item_ids=ids, log_q=log_q, n_threads=n) for n in (1, 2, 5))
    for other in many:
        for mine, right in zip((other[0], *other[1]), (one[0], *one[1]), strict=True):
            np.testing.assert_array_equal(mine, right)


def test_reductions_types_parameters():
    users, items, ids, _ = problem(6, 3)
    rows = lx.InBatchSoftmaxLoss(reduction="none")(users, items)
    weight = np.arange(6.0)
    np.testing.assert_allclose(lx.InBatchSoftmaxLoss()(users, items, sample_weight=weight), (rows * weight).sum() / 6)
    np.testing.assert_allclose(lx.InBatchSoftmaxLoss(reduction="sum")(users, items), rows.sum())
    assert lx.InBatchSoftmaxLoss()(users.astype(np.float16), items).dtype == np.float16
    loss = lx.InBatchSoftmaxLoss(0.5)
    assert repr(loss) == "InBatchSoftmaxLoss(temperature=0.5, reduction='mean')"
    assert pickle.loads(pickle.dumps(loss)) == loss != lx.InBatchSoftmaxLoss()
    empty = lx.InBatchSoftmaxLoss().value_and_grad(users[:0], items[:0], item_ids=ids[:0])
    assert np.isnan(empty[0])
    assert empty[1].items.shape == (0, 3)


U = np.ones((4, 3))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "temperature = 0.0 is not above 0", lambda: lx.InBatchSoftmaxLoss(0)),
        (TypeError, "temperature must be a real number", lambda: lx.InBatchSoftmaxLoss("1")),
        (ValueError, "reduction = 'max'", lambda: lx.InBatchSoftmaxLoss(reduction="max")),
        (ValueError, "users has shape (3,)", lambda: lx.InBatchSoftmaxLoss()(U[0], U[0])),
        (ValueError, "items has shape (3, 3); allowed is users', (4, 3)", lambda: lx.InBatchSoftmaxLoss()(U, U[1:])),
        (TypeError, "item_ids has dtype float64", lambda: lx.InBatchSoftmaxLoss()(U, U, item_ids=np.ones(4))),
        (ValueError, "item_ids has shape (3,)", lambda: lx.InBatchSoftmaxLoss()(U, U, item_ids=[1, 2, 3])),
        (ValueError, "log_q has shape (3,)", lambda: lx.InBatchSoftmaxLoss()(U, U, log_q=[1, 2, 3])),
        (ValueError, "log_q[2] = -inf is not finite", lambda: lx.InBatchSoftmaxLoss()(U, U, log_q=[0, 0, -np.inf, 0])),
        (ValueError, "num_buckets = 0", lambda: lx.FrequencyEstimator(0)),
        (ValueError, "rate = 0 is not in (0, 1]", lambda: lx.FrequencyEstimator(10, 0)),
        (TypeError, "ids has dtype float64", lambda: lx.FrequencyEstimator(10).update([1.0])),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_frequencies():
    """Items come with known probabilities; the estimates are near, follow a change, and survive pickling."""
    rng = np.random.default_rng(0)
    p = np.linspace(0.02, 0.9, 50)
    estimator = lx.FrequencyEstimator(5000, rate=0.02)
    for _ in range(4000):
        estimator.update(np.flatnonzero(rng.random(50) < p))
    np.testing.assert_allclose(estimator.log_q(np.arange(50)), np.log(p), atol=0.35)
    assert abs(np.mean(estimator.log_q(np.arange(50)) - np.log(p))) < 0.05
    copy = pickle.loads(pickle.dumps(estimator))
    for _ in range(1000):
        copy.update(np.flatnonzero(rng.random(50) < p[::-1]))
    assert abs(np.mean((copy.log_q(np.arange(50)) - np.log(p[::-1]))[20:])) < 0.2
    assert estimator.log_q([10**9]) == pytest.approx(-np.log(4001))
    assert estimator.log_q([[1, 2]]).shape == (1, 2)
    assert repr(estimator) == "FrequencyEstimator(num_buckets=5000, rate=0.02)"
