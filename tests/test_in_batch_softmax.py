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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extra", [0, 40])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_extra_negatives_cosines_and_both_ways(dtype, extra, normalize, symmetric):
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(30, 5)).astype(dtype), rng.normal(size=(30 + extra, 5)).astype(dtype)
    ids, log_q = rng.integers(40, size=30 + extra), np.log(rng.uniform(0.01, 1, 30 + extra))
    upstream, n, tau = rng.normal(size=30), 30, 0.4
    u, v = users.astype(np.longdouble), items.astype(np.longdouble)
    lengths = [np.sqrt((a**2).sum(1, keepdims=True)) for a in (u, v)]
    if normalize:
        u, v = u / lengths[0], v / lengths[1]

    def one_way(rows, classes, keys, shift):
        s = rows @ classes.T / tau - shift
        s[(keys[:n, None] == keys) & (np.arange(n)[:, None] != np.arange(len(classes)))] = -np.inf
        p = np.exp(s - s.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(n), np.arange(n)])
        p[np.arange(n), np.arange(n)] -= 1
        p *= upstream[:, None] / tau
        return loss, p @ classes, p.T @ rows

    right, du, dv = one_way(u, v, ids, log_q)
    if symmetric:
        other, back_v, back_u = one_way(v[:n], u, ids[:n], 0)
        right, du = (right + other) / 2, (du + back_u) / 2
        dv[:n] += back_v
        dv /= 2
    if normalize:
        du = (du - (du * u).sum(1, keepdims=True) * u) / lengths[0]
        dv = (dv - (dv * v).sum(1, keepdims=True) * v) / lengths[1]
    loss = lx.InBatchSoftmaxLoss(tau, "none", normalize=normalize, symmetric=symmetric)
    value, grad = loss.value_and_grad(users, items, item_ids=ids, log_q=log_q, grad_output=upstream)
    for mine, wanted in zip((value, *grad), (right, du, dv), strict=True):
        assert mine.dtype == dtype
        wanted = np.float64(wanted)
        np.testing.assert_allclose(
            mine, wanted, rtol=0, atol={"float32": 1e-5, "float64": 1e-12}[dtype] * abs(wanted).max()
        )
    mean = lx.InBatchSoftmaxLoss(tau, normalize=normalize, symmetric=symmetric)(users, items, item_ids=ids, log_q=log_q)
    np.testing.assert_allclose(mean, float(right.mean()), rtol={"float32": 1e-5, "float64": 1e-12}[dtype])


def test_nt_xent_is_a_recipe():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 8, 5))
    z = np.concatenate([a, b])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    s = z @ z.T / 0.5
    np.fill_diagonal(s, -np.inf)
    positive = np.r_[np.arange(8, 16), np.arange(8)]
    right = np.logaddexp.reduce(s, axis=1) - s[np.arange(16), positive]
    loss = lx.InBatchSoftmaxLoss(0.5, "none", normalize=True)
    value = loss(np.concatenate([a, b]), np.concatenate([b, a]), item_ids=np.tile(np.arange(8), 2))
    np.testing.assert_allclose(value, right, rtol=1e-13)


def test_rows_of_zeros_and_extreme_lengths():
    users, items, _, _ = problem(5, 3)
    users[1], users[2], items[0] = 0, users[2] * 1e200, items[0] * 1e-200
    value, grad = lx.InBatchSoftmaxLoss(normalize=True).value_and_grad(users, items)
    assert np.isfinite(value)
    assert not grad.users[1].any()
    assert np.isfinite(grad.users).all()
    assert repr(lx.InBatchSoftmaxLoss(normalize=True)) == (
        "InBatchSoftmaxLoss(temperature=1.0, reduction='mean', normalize=True)"
    )


@pytest.mark.parametrize("dtype", ["uint64", "int64", "uint32", "int8"])
def test_every_integer_is_an_id_of_its_own(dtype):
    """Largest ids of a type are distinct; hashed ids of 64 bits too."""
    users, items, _, _ = problem(6, 3)
    most = np.iinfo(dtype).max
    ids = np.array([most, most - 1, 0, most // 2, most // 2 + 1, 1], dtype)
    loss = lx.InBatchSoftmaxLoss()
    assert loss(users, items, item_ids=ids) == loss(users, items)
    ids[1] = most
    assert loss(users, items, item_ids=ids) != loss(users, items)
    estimator = lx.FrequencyEstimator(1 << 20, rate=1)
    for _ in range(2):
        estimator.update(ids[:1])
        estimator.update(ids[2:3])
    np.testing.assert_allclose(estimator.log_q(ids[[0, 2]]), np.log([0.5, 0.5]))
    estimator = lx.FrequencyEstimator(1 << 20)
    for _ in range(10):
        estimator.update(np.array([-1]))
    assert estimator.log_q(np.array([2**64 - 1], np.uint64)) < -1 < estimator.log_q([-1])


def test_an_item_table_gets_the_gradient_of_its_rows():
    rng = np.random.default_rng(0)
    table, users, ids = rng.normal(size=(20, 4)), rng.normal(size=(9, 4)), rng.integers(20, size=9)
    grad = lx.InBatchSoftmaxLoss().grad(users, table[ids], item_ids=ids)
    right = np.zeros_like(table)
    np.add.at(right, ids, grad.items)
    rows = grad.item_rows(ids, 20)
    np.testing.assert_allclose(rows.to_dense(), right, atol=1e-15)
    assert len(rows.indices) == len(set(ids.tolist()))


def test_estimators_of_several_workers_merge():
    rng = np.random.default_rng(0)
    p = np.linspace(0.02, 0.9, 50)
    whole, *parts = (lx.FrequencyEstimator(5000, rate=0.02) for _ in range(4))
    for step in range(6000):
        batch = np.flatnonzero(rng.random(50) < p)
        whole.update(batch)
        parts[step % 3].update(batch)
    merged = parts[0]
    before = pickle.dumps(parts[1])
    merged.merge(parts[1])
    merged.merge(parts[2])
    assert pickle.dumps(parts[1]) == before
    assert merged.step == whole.step == 6000
    np.testing.assert_allclose(merged.log_q(np.arange(50)), np.log(p), atol=0.5)
    assert abs(np.mean(merged.log_q(np.arange(50)) - np.log(p))) < 0.05
    for _ in range(1500):
        merged.update(np.flatnonzero(rng.random(50) < p[::-1]))
    assert abs(np.mean((merged.log_q(np.arange(50)) - np.log(p[::-1]))[20:])) < 0.2
    with pytest.raises(ValueError, match="num_buckets=7"):
        merged.merge(lx.FrequencyEstimator(7))
    with pytest.raises(TypeError, match="must be a FrequencyEstimator, not int"):
        merged.merge(3)


def test_the_state_of_an_estimator_is_small():
    estimator = lx.FrequencyEstimator(10_000_000)
    estimator.update(np.arange(1000))
    copy = pickle.loads(pickle.dumps(estimator))
    assert len(pickle.dumps(estimator)) < 20_000
    np.testing.assert_array_equal(copy.log_q(np.arange(2000)), estimator.log_q(np.arange(2000)))
    full = lx.FrequencyEstimator(100)
    full.update(np.arange(10_000))
    assert len(pickle.dumps(full)) < 1500


def test_more_steps_than_ages_are_told_apart():
    from lossext.losses.layer import frequency

    estimator = lx.FrequencyEstimator(100, rate=0.5)
    estimator.update([1, 2])
    estimator.step = estimator._base + frequency.MOST_STEPS
    estimator._last[estimator._buckets([1])] = frequency.MOST_STEPS
    for _ in range(30):
        estimator.update([1])
    assert estimator.log_q([1]) == pytest.approx(0, abs=1e-3)
    assert estimator._last.max() < frequency.MOST_STEPS
