"""Labels of different number in each row, exclusions, rows without weight: padded, CSR and one by one agree."""

import re

import numpy as np
import pytest

import lossext as lx
from lossext.samplers import FixedUnigramSampler, UniformSampler

sparse = pytest.importorskip("scipy.sparse")

V, D = 40, 5


def csr(rows, weights=None, classes=V):
    """Lists of ids, or of their weights, as a matrix."""
    data = np.concatenate([np.ones(len(r)) for r in rows]) if weights is None else np.concatenate(weights)
    start = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    return sparse.csr_array((data, np.concatenate(rows).astype(int), start), shape=(len(rows), classes))


def padded(rows, fill=-1, dtype=None):
    width = max(map(len, rows))
    return np.array([list(r) + [fill] * (width - len(r)) for r in rows], dtype)


def problem(n_rows=30, seed=0, dtype="float64", most=4):
    rng = np.random.default_rng(seed)
    w, b, x = (rng.normal(size=s).astype(dtype) for s in ((V, D), V, (n_rows, D)))
    labels = [np.sort(rng.choice(V, rng.integers(0, most + 1), replace=False)) for _ in range(n_rows)]
    history = [rng.choice(V, rng.integers(0, 6), replace=False) for _ in range(n_rows)]
    sampled = rng.integers(V, size=12)
    return w, b, x, labels, history, (sampled, rng.uniform(0.1, 2, 12), rng.uniform(0.1, 2, V))


def dense(grad):
    return [g.to_dense() if isinstance(g, lx.RowSparse) else g for g in grad]


def row_by_row(make, w, b, x, labels, weights, history, values, upstream):
    """Each row by a call of its own with its number of labels, and its sample without what it must not meet."""
    losses = np.zeros(len(x))
    total = [np.zeros_like(w), np.zeros_like(b), np.zeros_like(x)]
    sampled, count, true_count = values
    for i, own in enumerate(labels):
        if not len(own):
            continue
        left = ~np.isin(sampled, history[i])
        mine = sampled[left], true_count[own][None], count[left]
        share = None if weights is None else np.asarray(weights[i])[None]
        loss = make(len(own))
        value, grad = loss.value_and_grad(
            w, b, own[None], x[i : i + 1], sampled_values=mine, label_weight=share, grad_output=upstream[i : i + 1]
        )
        losses[i] = value[0]
        for whole, part in zip(total, dense(grad), strict=True):
            whole[...] = whole + part if len(part) != 1 or len(whole) == 1 else whole
        total[2][i] = grad.inputs[0]
    return losses, total


@pytest.mark.parametrize("kind", [lx.SampledSoftmaxLoss, lx.NCELoss])
@pytest.mark.parametrize("form", ["padded", "csr"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("excluded", [False, True])
def test_ragged_labels_are_rows_of_their_own(kind, form, weighted, excluded):
    w, b, x, labels, history, values = problem()
    rng = np.random.default_rng(3)
    weights = [rng.uniform(0.2, 3, len(r)) for r in labels] if weighted else None
    history = history if excluded else [[] for _ in labels]
    upstream = rng.normal(size=len(x))
    make = lambda n: kind(1, V, n, remove_accidental_hits=True)  # noqa: E731
    right, (dw, db, dx) = row_by_row(make, w, b, x, labels, weights, history, values, upstream)

    sampled, count, true_count = values
    exclude = (padded(history, dtype=int) if form == "padded" else csr(history)) if excluded else None
    if form == "padded":
        given, share = padded(labels, dtype=int), padded(weights, 7.0) if weighted else None
        counts = np.where(given >= 0, true_count[given], -5)  # padding is not looked at
    else:
        given, share, counts = csr(labels, weights), None, true_count[np.concatenate(labels)]
    loss = make(None)
    options = {"sampled_values": (sampled, counts, count), "exclude": exclude, "label_weight": share}
    value, grad = loss.value_and_grad(w, b, given, x, grad_output=upstream, **options)
    np.testing.assert_allclose(value, right, rtol=1e-12)
    for mine, wanted in zip(dense(grad), (dw, db, dx), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-11, atol=1e-13)
    # rows without a label have the value 0 and leave the divisor
    known = sum(len(r) > 0 for r in labels)
    assert known < len(labels)
    mean = kind(1, V, None, remove_accidental_hits=True, reduction="mean")
    np.testing.assert_allclose(mean(w, b, given, x, **options), right.sum() / known, rtol=1e-12)


@pytest.mark.parametrize("kind", [lx.SampledSoftmaxLoss, lx.NCELoss])
def test_equal_numbers_of_labels_are_the_same_in_every_form(kind):
    w, b, x, _, _, (sampled, count, _) = problem()
    labels = np.argsort(np.random.default_rng(1).random((len(x), V)), axis=1)[:, :3]
    counts = np.random.default_rng(2).uniform(0.1, 2, labels.shape)
    plain = kind(1, V, 3).value_and_grad(w, b, labels, x, sampled_values=(sampled, counts, count))
    again = kind(1, V, None).value_and_grad(w, b, labels, x, sampled_values=(sampled, counts, count))
    order = np.argsort(labels, axis=1)
    matrix = csr(np.take_along_axis(labels, order, 1))
    by_row = np.take_along_axis(counts, order, 1).ravel()
    sparse_ = kind(1, V, 3).value_and_grad(w, b, matrix, x, sampled_values=(sampled, by_row, count))
    for value, grad in (again, sparse_):
        np.testing.assert_allclose(value, plain[0], rtol=1e-13)
        for mine, right in zip(dense(grad), dense(plain[1]), strict=True):
            np.testing.assert_allclose(mine, right, atol=1e-13)


@pytest.mark.parametrize("sampler", [None, UniformSampler(V, seed=1), FixedUnigramSampler(np.arange(V), seed=1)])
def test_ragged_labels_draw_like_others(sampler):
    w, b, x, labels, _, _ = problem()
    labels = [r[r > 0] for r in labels]
    for given in (padded(labels, dtype=int), csr(labels)):
        loss = lx.SampledSoftmaxLoss(6, V, None, sampler=sampler, reduction="mean")
        value, grad = loss.value_and_grad(w, b, given, x)
        assert np.isfinite(value)
        assert not grad.inputs[[len(r) == 0 for r in labels]].any()


def test_rows_without_weight_take_no_part():
    w, b, x, _, _, _ = problem()
    labels = np.arange(30)
    labels[[3, 7]] = -1, V + 5
    weight = np.ones(30)
    weight[[3, 7, 9]] = 0
    x[9], x[3] = np.nan, np.inf
    kept = np.flatnonzero(weight)
    sampler = FixedUnigramSampler(np.r_[0.0, np.ones(V - 1)], seed=0)  # label 0 cannot be drawn
    labels[0], weight[0] = 0, 0
    kept = kept[1:]
    twin = FixedUnigramSampler(np.r_[0.0, np.ones(V - 1)], seed=0)
    value, grad = lx.SampledSoftmaxLoss(6, V, sampler=sampler).value_and_grad(w, b, labels, x, sample_weight=weight)
    right, right_grad = lx.SampledSoftmaxLoss(6, V, sampler=twin).value_and_grad(w, b, labels[kept], x[kept])
    np.testing.assert_array_equal(value[kept], right)
    np.testing.assert_array_equal(grad.weights.to_dense(), right_grad.weights.to_dense())
    np.testing.assert_array_equal(grad.inputs[kept], right_grad.inputs)
    out = np.setdiff1d(np.arange(30), kept)
    assert not value[out].any()
    assert not grad.inputs[out].any()
    value, grad = lx.LinearSoftmaxLoss().value_and_grad(w, b, labels, x, sample_weight=weight)
    np.testing.assert_allclose(value, lx.LinearSoftmaxLoss("sum")(w, b, labels[kept], x[kept]) / 30)
    assert not grad.inputs[out].any()
    nothing = lx.LinearSoftmaxLoss("sum").value_and_grad(w, b, labels, x, sample_weight=np.zeros(30))
    assert nothing[0] == 0
    assert not any(g.any() for g in nothing[1])


def test_topk_leaves_out():
    w, b, x, _, history, _ = problem()
    z = x @ w.T + b
    for i, out in enumerate(history):
        z[i, out] = -np.inf
    right = np.argsort(-z, axis=1)[:, :7]
    for exclude in (padded(history, dtype=int), csr(history), csr(history).tocsr().astype(np.float32)):
        values, ids = lx.topk(w, b, x, 7, exclude=exclude)
        np.testing.assert_array_equal(ids, right)
        np.testing.assert_allclose(values, np.take_along_axis(z, right, 1))
    # across tiles, many of them, and all
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(1000, D)), rng.normal(size=(3, D))
    out = [np.arange(1000), rng.permutation(1000)[:990], []]
    values, ids = lx.topk(w, np.zeros(1000), x, 12, exclude=csr(out, classes=1000))
    assert (ids[0] == -1).all()
    assert (ids[1] == -1).sum() == 2
    assert set(ids[1][:10]) == set(range(1000)) - set(out[1])
    np.testing.assert_array_equal(ids[2], np.argsort(-(x[2] @ w.T))[:12])


CALL = {"w": np.zeros((V, D)), "b": np.zeros(V), "x": np.zeros((2, D))}


def sampled(labels, **options):
    return lx.SampledSoftmaxLoss(3, V, None)(CALL["w"], CALL["b"], labels, CALL["x"], **options)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "labels[1, 0] = 40 is not in [0, 40)", lambda: sampled([[1, -1], [40, 2]])),
        (ValueError, "labels[0, 1] = -2 is not in [0, 40)", lambda: sampled([[1, -2], [4, 2]])),
        (ValueError, "labels has shape (2, 41); allowed is (2, 40)",
         lambda: sampled(sparse.csr_array(np.eye(2, V + 1)))),
        (TypeError, "sparse in format csc", lambda: sampled(sparse.csc_array(np.eye(2, V)))),
        (ValueError, "labels.data of a label of row 0 is -1.0", lambda: sampled(-sparse.csr_array(np.eye(2, V)))),
        (ValueError, "weights of the labels of row 1 add up to 0.0",
         lambda: sampled([[1, 2], [3, 4]], label_weight=[[1, 1], [0, 0]])),
        (ValueError, "label_weight has shape (2, 1); allowed is the labels', (2, 2)",
         lambda: sampled([[1, 2], [3, 4]], label_weight=[[1], [0]])),
        (ValueError, "label_weight is given, and labels is a CSR",
         lambda: sampled(sparse.csr_array(np.eye(2, V)), label_weight=[1, 1])),
        (ValueError, "exclude[0, 1] = 40 is not in [0, 40)", lambda: sampled([[1], [2]], exclude=[[3, 40], [1, -1]])),
        (ValueError, "exclude has shape (3, 1); allowed is (2, M)",
         lambda: sampled([[1], [2]], exclude=np.ones((3, 1), int))),
        (ValueError, "exclude leaves row 1 nothing to draw: 39 classes are excluded and 1 are its labels",
         lambda: sampled([[1], [0]], exclude=[[-1] * 39, list(range(1, 40))])),
        (ValueError, "exclude[1, 0] = 41 is not in [0, 40)", lambda: lx.topk(**topk_arguments(), exclude=[[1], [41]])),
        (ValueError, "labels[1] = -1 is not in [0, 40)",
         lambda: lx.SampledSoftmaxLoss(3, V)(CALL["w"], CALL["b"], [1, -1], CALL["x"])),
        (ValueError, "labels[0, 1] = -1 is not in [0, 40)",
         lambda: lx.SampledSoftmaxLoss(3, V, 2)(CALL["w"], CALL["b"], [[1, -1], [2, 3]], CALL["x"])),
    ],
)  # fmt: skip
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()


def topk_arguments():
    return {"weights": CALL["w"], "biases": CALL["b"], "inputs": CALL["x"], "k": 2}


def test_csr_in_any_order():
    """Unsorted indices, repeated ones (added up), explicit zeros, any index type."""
    w, b, x, _, _, _ = problem(2)
    start, indices, data = [0, 4, 6], [7, 3, 7, 1], [1.0, 2.0, 1.0, 0.0]
    odd = sparse.csr_array((np.array([*data, 1, 1]), np.array([*indices, 9, 2]), np.array(start)), shape=(2, V))
    tidy = sparse.csr_array(odd.toarray())
    tidy.indices, tidy.indptr = tidy.indices.astype(np.int64), tidy.indptr.astype(np.int64)
    values = [1, 2, 3], np.ones(6), np.ones(3)
    short = [1, 2, 3], np.ones(4), np.ones(3)
    loss = lx.SampledSoftmaxLoss(1, V, None)
    np.testing.assert_allclose(
        loss(w, b, odd, x, sampled_values=values), loss(w, b, tidy, x, sampled_values=short), rtol=1e-14
    )
    broken = tidy.copy()
    broken.indices[1] = 99
    with pytest.raises(ValueError, match=r"labels.indices\[1\] = 99 is not in"):
        loss(w, b, broken, x)
    broken = tidy.copy()
    broken.indptr[1] = 50
    with pytest.raises(ValueError, match=r"labels.indptr does not ascend"):
        loss(w, b, broken, x)


def test_init_raw_of_ragged_labels():
    rows = [[1, 2], [], [2], [0, 1, 2, 3]]
    share = np.zeros(5)
    for own in rows:
        share[own] += 1 / max(len(own), 1)
    right = np.log(np.maximum(share / share.sum(), 1e-15))
    loss = lx.SampledSoftmaxLoss(2, 5, None)
    np.testing.assert_allclose(loss.init_raw(padded(rows, dtype=int)), right)
    np.testing.assert_allclose(loss.init_raw(csr(rows, classes=5)), right)
    np.testing.assert_allclose(loss.init_raw(padded(rows, dtype=int), [1, 1, 0, 1])[2], np.log(0.75 / 2))
    with pytest.raises(ValueError, match="a label of target is 9"):
        loss.init_raw([[9]])
