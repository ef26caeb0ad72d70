"""SampledSoftmaxLoss against an independent reference, other packages' answers, and its contract."""

import itertools
import json
import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import lossext as lx
from lossext._kernels import drivers
from lossext.samplers import UniformSampler

DATA = Path(__file__).parent / "data"
TOLERANCE = {"float64": 2e-12, "float32": 3e-6, "float16": 3e-3}


@pytest.fixture(params=drivers.isa_levels())
def isa(request):
    before = drivers.isa()
    drivers.set_isa(request.param)
    yield request.param
    drivers.set_isa(before)


def reference(weights, biases, labels, inputs, sampled, true_count, sampled_count, remove=True, upstream=1.0):
    """Losses and dense gradients, row by row, in long double."""
    w, b, x = (np.asarray(a, np.longdouble) for a in (weights, biases, inputs))
    labels = np.asarray(labels).reshape(len(x), -1)
    upstream = np.broadcast_to(np.asarray(upstream, np.longdouble), len(x))
    losses, dw, db, dx = np.zeros(len(x), np.longdouble), np.zeros_like(w), np.zeros_like(b), np.zeros_like(x)
    for i, own in enumerate(labels):
        negatives = [s for s, c in enumerate(sampled) if not (remove and c in own)]
        classes = np.concatenate([own, np.asarray(sampled, int)[negatives]]).astype(int)
        counts = np.concatenate([np.asarray(true_count)[i], np.asarray(sampled_count)[negatives]])
        z = w[classes] @ x[i] + b[classes] - np.log(counts.astype(np.longdouble))
        p = np.exp(z - z.max())
        others = p[len(own) :].sum() / p.sum()
        if len(own) == 1:
            losses[i] = np.log1p(p[1:].sum() / p[0])
        else:
            losses[i] = z.max() + np.log(p.sum()) - z[: len(own)].mean()
        p /= p.sum()
        p[: len(own)] -= 1 / np.longdouble(len(own))
        if len(own) == 1:
            p[0] = -others
        p *= upstream[i]
        np.add.at(dw, classes, p[:, None] * x[i])
        np.add.at(db, classes, p)
        dx[i] = p @ w[classes]
    return losses, dw, db, dx


def check(result, expected, dtype):
    value, grad = result
    actual = (value, grad.weights.to_dense(), grad.biases.to_dense(), grad.inputs)
    for name, mine, right in zip(("value", "weights", "biases", "inputs"), actual, expected, strict=True):
        scale = np.abs(right).max(initial=0)
        np.testing.assert_allclose(
            np.float64(mine), np.float64(right), rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=name
        )


def problem(rows, classes, dim, num_true=1, n_sampled=None, seed=0, dtype="float64", unique=True):
    rng = np.random.default_rng(seed)
    weights, biases, inputs = (rng.normal(size=s).astype(dtype) for s in ((classes, dim), classes, (rows, dim)))
    labels = rng.integers(classes, size=(rows, num_true))
    n_sampled = n_sampled or min(classes, 5)
    sampled = rng.choice(classes, n_sampled, replace=not unique)
    values = sampled, rng.uniform(0.1, 2, (rows, num_true)), rng.uniform(0.1, 2, n_sampled)
    return (weights, biases, labels, inputs), values


def test_document_example():
    legacy = np.random.RandomState(1)
    weights, biases, inputs = (legacy.randint(0, 9, s).astype(np.float32) for s in ([7, 10], [7], [3, 10]))
    for seed in range(5):
        value = lx.sampled_softmax_loss(weights, biases, [0, 1, 2], inputs, num_sampled=4, num_classes=7, seed=seed)
        np.testing.assert_allclose(value, [71.00671534848937, 14.000046230, 6.18559e-06], rtol=1e-6)


def golden():
    with np.load(DATA / "sampled_softmax.npz") as z:
        arrays = dict(z)
    for case in json.loads(str(arrays["meta"])):
        yield pytest.param(case, {k: arrays[f"{case['id']}.{k}"] for k in case["keys"]}, id=case["id"])


@pytest.mark.parametrize(("case", "data"), list(golden()))
def test_golden(case, data, isa):
    loss = lx.SampledSoftmaxLoss(
        num_sampled=1,
        num_classes=case["params"]["num_classes"],
        num_true=case["params"]["num_true"],
        remove_accidental_hits=case["params"]["remove_accidental_hits"],
    )
    values = data["sampled"], data["true_expected_count"], data["sampled_expected_count"]
    result = loss.value_and_grad(
        *(data[k] for k in ("weights", "biases", "labels", "inputs")),
        sampled_values=values,
        grad_output=data["grad_output"],
    )
    kind = "alt_mask_all_" if "dup_hits" in case["tags"] else "ref_"  # TensorFlow masks one of several hits only
    check(result, [data[kind + k] for k in ("loss", "grad_weights", "grad_biases", "grad_inputs")], case["dtype"])


# shapes about the edges of blocks (96), tiles (192), vectors and panels
@pytest.mark.parametrize(
    ("rows", "classes", "dim", "num_true", "n_sampled"),
    [
        (1, 2, 1, 1, 2),
        (1, 2, 3, 1, 2),
        (97, 50, 5, 1, 7),
        (96, 300, 33, 1, 192),
        (200, 400, 64, 2, 193),
        (31, 500, 16, 3, 391),
        (3, 7, 130, 4, 5),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("remove", [True, False])
def test_reference(rows, classes, dim, num_true, n_sampled, dtype, remove, isa):
    arrays, values = problem(
        rows, classes, dim, min(num_true, classes), n_sampled, dtype=dtype, unique=n_sampled <= classes
    )
    upstream = np.random.default_rng(1).normal(size=rows)
    loss = lx.SampledSoftmaxLoss(1, classes, num_true, remove_accidental_hits=remove)
    result = loss.value_and_grad(*arrays, sampled_values=values, grad_output=upstream)
    check(result, reference(*arrays, *values, remove, upstream), dtype)
    np.testing.assert_array_equal(loss(*arrays, sampled_values=values), result[0])


@pytest.mark.parametrize(("rows", "n_sampled"), [(7, 60_000), (1100, 4000)])
def test_waves(rows, n_sampled):
    """More logits than are kept at once: several waves of classes, and of rows."""
    (w, b, labels, x), _ = problem(rows, 100_000, 3)
    sampled = np.random.default_rng(2).integers(len(w), size=n_sampled)
    sampled[:: n_sampled // 3] = labels[: len(sampled[:: n_sampled // 3]), 0]
    values = sampled, np.ones((rows, 1)), np.ones(n_sampled)
    loss = lx.SampledSoftmaxLoss(1, len(w), reduction="mean")
    value, grad = loss.value_and_grad(w, b, labels, x, sampled_values=values)
    z = x @ w[sampled].T + b[sampled]
    z[labels == sampled] = -np.inf
    t = (x * w[labels[:, 0]]).sum(1) + b[labels[:, 0]]
    total = np.exp(z).sum(1) + np.exp(t)
    p = np.exp(z) / total[:, None] / rows
    minus = (np.exp(t) / total - 1) / rows
    dw, db = np.zeros_like(w), np.zeros_like(b)
    np.add.at(dw, sampled, p.T @ x)
    np.add.at(db, sampled, p.sum(0))
    np.add.at(dw, labels[:, 0], minus[:, None] * x)
    np.add.at(db, labels[:, 0], minus)
    dx = p @ w[sampled] + minus[:, None] * w[labels[:, 0]]
    check((value, grad), (np.mean(np.log(total) - t), dw, db, dx), "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_classes_sampled_is_the_full_softmax(dtype):
    (w, b, labels, x), _ = problem(20, 30, 4, dtype=dtype)
    loss = lx.SampledSoftmaxLoss(30, 30)
    ones = np.ones((20, 1)), np.ones(30)
    check(loss.value_and_grad(w, b, labels, x), reference(w, b, labels, x, np.arange(30), *ones), dtype)


def test_bias_falls_with_the_sample():
    (w, b, labels, x), _ = problem(64, 2000, 8)
    full = lx.SampledSoftmaxLoss(2000, 2000, reduction="mean")(w, b, labels, x)
    bias = []
    for n_sampled in (20, 200, 1000):
        loss = lx.SampledSoftmaxLoss(n_sampled, 2000, reduction="mean")
        bias.append(abs(np.mean([loss(w, b, labels, x) for _ in range(30)]) - full))
    assert bias[0] > bias[1] > bias[2]


@pytest.mark.parametrize("num_true", [1, 3])
@pytest.mark.parametrize("remove", [True, False])
def test_central_differences(num_true, remove):
    arrays, values = problem(4, 6, 3, num_true, 5)
    loss = lx.SampledSoftmaxLoss(1, 6, num_true, values, remove, reduction="sum")
    _, grad = loss.value_and_grad(*arrays, sample_weight=[1, 2, 0.5, -1])
    dense = {0: grad.weights.to_dense(), 1: grad.biases.to_dense(), 3: grad.inputs}
    for which, gradient in dense.items():
        for at in np.ndindex(gradient.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [a.copy() for a in arrays]
                moved[which][at] += step
                ends.append(loss(*moved, sample_weight=[1, 2, 0.5, -1]))
            assert gradient[at] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


def test_reductions_and_weights():
    arrays, values = problem(5, 9, 4)
    make = lambda reduction: lx.SampledSoftmaxLoss(3, 9, sampled_values=values, reduction=reduction)  # noqa: E731
    rows = make("none")(*arrays)
    weight = np.array([1.0, 0.0, -2.0, 3.0, 0.5])
    assert rows.shape == (5,)
    np.testing.assert_allclose(make("sum")(*arrays), rows.sum())
    np.testing.assert_allclose(make("mean")(*arrays, sample_weight=weight), (rows * weight).sum() / 5)
    _, by_rows = make("none").value_and_grad(*arrays, sample_weight=weight, grad_output=np.full(5, 0.2))
    _, by_mean = make("mean").value_and_grad(*arrays, sample_weight=weight)
    for mine, theirs in zip(by_rows, by_mean, strict=True):
        mine, theirs = (g.to_dense() if isinstance(g, lx.RowSparse) else g for g in (mine, theirs))
        np.testing.assert_allclose(mine, theirs, rtol=1e-13, atol=1e-16)
    assert isinstance(make("mean")(*arrays), np.float64)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_no_rows(reduction):
    w, b, x, labels = np.ones((5, 2)), np.zeros(5), np.empty((0, 2)), np.empty((0, 1), int)
    value, grad = lx.SampledSoftmaxLoss(3, 5, reduction=reduction).value_and_grad(w, b, labels, x)
    if reduction == "none":
        assert value.shape == (0,)
    else:
        np.testing.assert_equal(value, {"mean": np.nan, "sum": 0.0}[reduction])
    assert grad.inputs.shape == (0, 2)
    assert not grad.weights.to_dense().any()


def test_all_negatives_masked():
    (w, b, _, x), _ = problem(3, 4, 2)
    loss = lx.SampledSoftmaxLoss(1, 4, sampled_values=([2, 2], np.ones((3, 1)), np.ones(2)))
    value, grad = loss.value_and_grad(w, b, [2, 2, 2], x)
    np.testing.assert_array_equal(value, 0)
    assert not grad.inputs.any()
    assert not grad.weights.values.any()


@pytest.mark.parametrize("shift", [5.0, 20.0, 60.0, 300.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relative_accuracy_near_zero(shift, dtype):
    w, b, x = np.zeros((5, 1), dtype), np.zeros(5, dtype), np.ones((1, 1), dtype)
    b[0] = shift
    loss = lx.SampledSoftmaxLoss(4, 5)
    value, grad = loss.value_and_grad(w, b, [0], x)
    tiny = np.finfo(dtype).tiny * 10
    np.testing.assert_allclose(value, np.log1p(4 * np.exp(-shift)), rtol=4 * np.finfo(dtype).eps, atol=tiny)
    share = 4 * np.exp(-shift) / (1 + 4 * np.exp(-shift))
    np.testing.assert_allclose(grad.biases.to_dense()[0], -share, rtol=4 * np.finfo(dtype).eps, atol=tiny)


def test_large_losses_are_not_clamped():
    w, b, x = np.zeros((3, 1)), np.array([0.0, 500.0, 3.0]), np.ones((1, 1))
    value, grad = lx.SampledSoftmaxLoss(2, 3).value_and_grad(w, b, [0], x)
    np.testing.assert_allclose(value, 500)
    np.testing.assert_allclose(grad.biases.to_dense(), [-1, 1, 0], atol=1e-200)


def test_nan_stays_in_its_row():
    (w, b, labels, x), values = problem(4, 9, 3)
    x[1, 2] = np.nan
    value, grad = lx.SampledSoftmaxLoss(3, 9, sampled_values=values).value_and_grad(w, b, labels, x)
    assert np.isnan(value).tolist() == [False, True, False, False]
    assert np.isnan(grad.inputs).all(1).tolist() == [False, True, False, False]
    assert np.isfinite(grad.inputs[[0, 2, 3]]).all()


def test_minus_infinite_bias_forbids_a_class():
    (w, b, labels, x), _ = problem(4, 9, 3)
    labels[:] = 0
    without = lx.SampledSoftmaxLoss(1, 9, sampled_values=([1, 2], np.ones((4, 1)), np.ones(2)))(w, b, labels, x)
    b[3] = -np.inf
    value, grad = lx.SampledSoftmaxLoss(1, 9, sampled_values=([1, 2, 3], np.ones((4, 1)), np.ones(3))).value_and_grad(
        w, b, labels, x
    )
    np.testing.assert_allclose(value, without, rtol=1e-14)
    assert np.isfinite(grad.inputs).all()


@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize(("rows", "n_sampled"), [(300, 500), (2, 1000), (7, 60_000), (500, 9000)])
def test_same_bits_for_any_number_of_threads(n_threads, rows, n_sampled):
    arrays, _ = problem(rows, 70_000, 20, dtype="float32")
    values = np.random.default_rng(0).integers(70_000, size=n_sampled), np.ones((rows, 1)), np.ones(n_sampled)
    loss = lx.SampledSoftmaxLoss(1, 70_000, sampled_values=values, reduction="mean")
    one, many = (loss.value_and_grad(*arrays, n_threads=n) for n in (1, n_threads))
    assert one[0] == many[0]
    assert np.array_equal(one[1].weights.values, many[1].weights.values)
    assert np.array_equal(one[1].biases.values, many[1].biases.values)
    assert np.array_equal(one[1].inputs, many[1].inputs)


FORMS = {
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "big_endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read_only": lambda a: (a.setflags(write=False), a)[1],
    "list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_layouts(form):
    arrays, values = problem(6, 11, 4, 2)
    loss = lx.SampledSoftmaxLoss(1, 11, 2, sampled_values=values)
    plain = loss.value_and_grad(*arrays)
    for which in range(4):
        changed = [FORMS[form](a.copy()) if i == which else a for i, a in enumerate(arrays)]
        value, grad = loss.value_and_grad(*changed)
        np.testing.assert_array_equal(value, plain[0])
        np.testing.assert_array_equal(grad.weights.to_dense(), plain[1].weights.to_dense())
        np.testing.assert_array_equal(grad.inputs, plain[1].inputs)
    unaligned = np.empty(arrays[0].nbytes + 1, np.uint8)[1:].view(np.float64).reshape(arrays[0].shape)
    unaligned[...] = arrays[0]
    np.testing.assert_array_equal(loss(unaligned, *arrays[1:]), plain[0])


@pytest.mark.parametrize(
    ("given", "computed"), [("float16", "float16"), ("int8", "float64"), ("bool", "float64"), ("f4", "f4")]
)
def test_types(given, computed):
    arrays, values = problem(3, 6, 4)
    arrays = [a if i == 2 else np.round(a).astype(given) for i, a in enumerate(arrays)]
    value, grad = lx.SampledSoftmaxLoss(1, 6, sampled_values=values).value_and_grad(*arrays)
    for result in (value, grad.weights.values, grad.biases.values, grad.inputs):
        assert result.dtype == computed
    check((value, grad), reference(*arrays, *values), np.dtype(computed).name)


def test_types_may_differ():
    (w, b, labels, x), values = problem(3, 6, 4, dtype="float32")
    loss = lx.SampledSoftmaxLoss(1, 6, sampled_values=values)
    value, grad = loss.value_and_grad(
        w.astype(np.float64), b.astype(np.float16).astype(int), labels.astype(np.uint8), x
    )
    assert value.dtype == grad.weights.values.dtype == np.float32
    np.testing.assert_array_equal(value, loss(w, b.astype(np.float16).astype(int), labels, x))


def test_inputs_are_untouched():
    arrays, values = problem(5, 9, 4)
    before = [a.copy() for a in (*arrays, *values)]
    lx.SampledSoftmaxLoss(1, 9, sampled_values=values).value_and_grad(*arrays)
    for mine, old in zip((*arrays, *values), before, strict=True):
        np.testing.assert_array_equal(mine, old)


def test_seeds():
    arrays, _ = problem(5, 1000, 4)
    first, again, other = (lx.SampledSoftmaxLoss(10, 1000, seed=s) for s in (3, 3, 4))
    sequence = [first(*arrays) for _ in range(3)]
    np.testing.assert_array_equal(sequence, [again(*arrays) for _ in range(3)])
    assert not np.array_equal(sequence[0], sequence[1])
    assert not np.array_equal(sequence[0], other(*arrays))
    assert first == lx.SampledSoftmaxLoss(10, 1000, seed=3) != other
    copy = pickle.loads(pickle.dumps(first))
    assert copy == first
    np.testing.assert_array_equal(copy(*arrays), first(*arrays))
    generator = np.random.default_rng(3)
    shared = lx.SampledSoftmaxLoss(10, 1000, seed=generator)
    np.testing.assert_array_equal(shared(*arrays), sequence[0])
    assert generator.integers(2**60) != np.random.default_rng(3).integers(2**60)
    assert pickle.loads(pickle.dumps(shared)) == shared
    free = [lx.SampledSoftmaxLoss(10, 1000, seed=None)(*arrays) for _ in range(2)]
    assert not np.array_equal(*free)


def test_grad_draws_anew():
    arrays, _ = problem(5, 1000, 4)
    loss, same = (lx.SampledSoftmaxLoss(10, 1000) for _ in range(2))
    assert not np.array_equal(loss.grad(*arrays).inputs, loss.grad(*arrays).inputs)
    same(*arrays)
    values = UniformSampler(1000, seed=1).sample(arrays[2], 10)
    np.testing.assert_array_equal(*(loss.grad(*arrays, sampled_values=values).inputs for _ in range(2)))


def test_parameters():
    loss = lx.SampledSoftmaxLoss(4, 7, reduction="mean")
    assert repr(loss) == (
        "SampledSoftmaxLoss(num_sampled=4, num_classes=7, num_true=1, sampled_values=None, "
        "remove_accidental_hits=True, seed=0, reduction='mean', sampler=None)"
    )
    assert loss.num_sampled == 4
    with pytest.raises(AttributeError, match="read-only"):
        loss.num_sampled = 5
    values = [np.array([1, 2]), np.ones((1, 1)), np.ones(2)]
    with_values = lx.SampledSoftmaxLoss(4, 7, sampled_values=values)
    assert with_values == lx.SampledSoftmaxLoss(4, 7, sampled_values=tuple(values)) != loss
    values[0][0] = 5
    assert with_values.sampled_values[0][0] == 1
    assert hash(loss) == hash(lx.SampledSoftmaxLoss(4, 7, reduction="mean"))


def test_function_is_the_class():
    arrays, values = problem(3, 6, 4)
    value = lx.sampled_softmax_loss(*arrays, 1, 6, 1, values, True, None, "mean")
    assert value == lx.SampledSoftmaxLoss(1, 6, 1, values, reduction="mean")(*arrays)


@pytest.mark.parametrize(("n_labels", "n_sampled"), [(3, 4), (6, 1), (1, 6)])
def test_labels_stay_out_of_the_pool(n_labels, n_sampled):
    (w, b, _, x), _ = problem(20, 7, 2)
    labels = np.arange(20) % n_labels
    loss = lx.SampledSoftmaxLoss(n_sampled, 7)
    for _ in range(20):
        touched = loss.grad(w, b, labels, x).weights.indices
        assert len(touched) == n_labels + n_sampled


def test_pool_too_small_for_labels():
    """Then all classes are drawn from, and hits are masked row by row."""
    (w, b, _, x), _ = problem(20, 7, 2)
    labels = np.arange(20) % 7
    value = lx.SampledSoftmaxLoss(7, 7)(w, b, labels, x)
    np.testing.assert_allclose(
        value, reference(w, b, labels, x, np.arange(7), np.ones((20, 1)), np.ones(7))[0].astype(float)
    )


def test_one_object_in_several_threads():
    arrays, _ = problem(5, 1000, 4)
    loss = lx.SampledSoftmaxLoss(10, 1000)
    serial = lx.SampledSoftmaxLoss(10, 1000)
    expected = sorted(serial(*arrays)[0] for _ in range(200))
    values = []
    workers = [threading.Thread(target=lambda: values.extend([loss(*arrays)[0] for _ in range(50)])) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(values) == expected


W, B, X, Y = np.ones((20, 3)), np.zeros(20), np.ones((4, 3)), np.zeros(4, int)
ONES = np.ones((4, 1)), np.ones(2)
MESSAGES = [
    (ValueError, "num_sampled = 21 is greater than num_classes = 20", {"num_sampled": 21}, {}),
    (ValueError, "num_true = 21 is greater than num_classes = 20", {"num_true": 21}, {}),
    (ValueError, "num_sampled = 0 is not at least 1", {"num_sampled": 0}, {}),
    (ValueError, "num_true = -1 is not at least 1", {"num_true": -1}, {}),
    (TypeError, "num_sampled must be an int, not float", {"num_sampled": 2.0}, {}),
    (TypeError, "num_true must be an int, not bool", {"num_true": True}, {}),
    (TypeError, "num_classes must be an int, not str", {"num_classes": "20"}, {}),
    (TypeError, "remove_accidental_hits must be a bool, not int", {"remove_accidental_hits": 1}, {}),
    (TypeError, "seed must be None, an int or a numpy.random.Generator, not float", {"seed": 1.5}, {}),
    (ValueError, "seed = -1 is negative", {"seed": -1}, {}),
    (ValueError, "reduction = 'max' is not one of 'none', 'mean', 'sum'", {"reduction": "max"}, {}),
    (TypeError, "reduction must be a str, not int", {"reduction": 1}, {}),
    (TypeError, "sampled_values must be a list or tuple, not ndarray", {"sampled_values": np.ones(3)}, {}),
    (TypeError, "sampled_values must be a list or tuple, not int", {}, {"sampled_values": 3}),
    (ValueError, "sampled_values has length 2", {"sampled_values": ONES}, {}),
    (ValueError, "true_expected_count[2, 0] = 0.0 is not finite and positive", {},
     {"sampled_values": ([1, 2], [[1], [1], [0.0], [1]], [1, 1])}),
    (ValueError, "sampled_expected_count[1] = nan is not finite and positive", {},
     {"sampled_values": ([1, 2], ONES[0], [1, np.nan])}),
    (ValueError, "sampled_expected_count[0] = inf is not finite and positive", {},
     {"sampled_values": ([1, 2], ONES[0], [np.inf, 1])}),
    (ValueError, "sampled_candidates[1] = 20 is not in [0, 20)", {}, {"sampled_values": ([1, 20], *ONES)}),
    (ValueError, "sampled_candidates[0] = -1 is not in [0, 20)", {}, {"sampled_values": ([-1, 2], *ONES)}),
    (TypeError, "sampled_candidates has dtype float64", {}, {"sampled_values": ([1.0, 2.0], *ONES)}),
    (ValueError, "sampled_candidates has shape (1, 2)", {}, {"sampled_values": ([[1, 2]], *ONES)}),
    (ValueError, "sampled_expected_count has shape (2,); allowed is (3,)", {}, {"sampled_values": ([1, 2, 3], *ONES)}),
    (ValueError, "true_expected_count has shape (3, 1); allowed is the labels', (4, 1)", {},
     {"sampled_values": ([1, 2], np.ones((3, 1)), np.ones(2))}),
    (ValueError, "weights has shape (19, 3); allowed is (20, 3)", {}, {"weights": W[1:], "biases": B[1:]}),
    (ValueError, "weights has shape (20, 2); allowed is (V, 3)", {}, {"weights": W[:, 1:]}),
    (ValueError, "biases has shape (19,); allowed is (20,)", {}, {"biases": B[1:]}),
    (ValueError, "inputs has shape (3,); allowed is rank 2", {}, {"inputs": X[0]}),
    (ValueError, "labels has shape (3,); allowed is (4, 1) or (4,)", {}, {"labels": Y[1:]}),
    (ValueError, "labels has shape (4, 2); allowed is (4, 1)", {}, {"labels": np.zeros((4, 2), int)}),
    (ValueError, "labels has shape (4,); allowed is (4, 2)", {"num_true": 2}, {}),
    (ValueError, "labels[2, 0] = 20 is not in [0, 20)", {}, {"labels": [[0], [1], [20], [3]]}),
    (ValueError, "labels[1] = -1 is not in [0, 20)", {}, {"labels": [0, -1, 2, 3]}),
    (ValueError, "labels[1] = 9223372036854775808 is not in [0, 20)", {}, {"labels": np.array([0, 2**63, 1, 2], "u8")}),
    (TypeError, "labels has dtype float64", {}, {"labels": np.zeros(4)}),
    (TypeError, "labels has dtype bool", {}, {"labels": np.zeros(4, bool)}),
    (TypeError, "inputs has dtype complex128", {}, {"inputs": X * 1j}),
    (TypeError, "weights has dtype object", {}, {"weights": W.astype(object)}),
    (TypeError, "biases has dtype <U", {}, {"biases": B.astype(str)}),
    (ValueError, "sample_weight has shape (3,)", {}, {"sample_weight": [1, 2, 3]}),
    (TypeError, "sample_weight has dtype complex128", {}, {"sample_weight": [1j] * 4}),
    (ValueError, "grad_output has shape (); allowed is the value's, (4,)", {}, {"grad_output": 1.0}),
    (ValueError, "grad_output has shape (4,); allowed is a scalar", {"reduction": "sum"}, {"grad_output": [1] * 4}),
    (ValueError, "n_threads = 0 is not at least 1", {}, {"n_threads": 0}),
    (TypeError, "n_threads must be an int", {}, {"n_threads": 1.0}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "parameters", "arguments"), MESSAGES, ids=range(len(MESSAGES)))
def test_errors(error, message, parameters, arguments):
    call = {"weights": W, "biases": B, "labels": Y, "inputs": X}
    parameters = {"num_sampled": 2, "num_classes": 20, **parameters}
    with pytest.raises(error, match=re.escape(message)):
        lx.SampledSoftmaxLoss(**parameters).value_and_grad(**{**call, **arguments})


@pytest.mark.parametrize("method", ["__call__", "grad", "value_and_grad"])
def test_methods_agree(method):
    arrays, values = problem(3, 6, 4)
    loss = lx.SampledSoftmaxLoss(1, 6, sampled_values=values)
    value, grad = loss.value_and_grad(*arrays)
    result = getattr(loss, method)(*arrays)
    if method == "__call__":
        np.testing.assert_array_equal(result, value)
    else:
        result = result if method == "grad" else result[1]
        np.testing.assert_array_equal(result.inputs, grad.inputs)


def test_rows_permute():
    (w, b, labels, x), (sampled, true_count, sampled_count) = problem(150, 40, 6)
    order = np.random.default_rng(0).permutation(150)
    loss = lx.SampledSoftmaxLoss(1, 40)
    value, grad = loss.value_and_grad(w, b, labels, x, sampled_values=(sampled, true_count, sampled_count))
    moved = loss.value_and_grad(
        w, b, labels[order], x[order], sampled_values=(sampled, true_count[order], sampled_count)
    )
    np.testing.assert_array_equal(moved[0], value[order])
    np.testing.assert_array_equal(moved[1].inputs, grad.inputs[order])


def test_weights_are_never_copied_whole():
    """A layer in another type or layout costs the rows that are touched."""
    import tracemalloc

    weights = np.zeros((64, 200_000)).T  # 100 MB, not C-contiguous
    tracemalloc.start()
    loss = lx.SampledSoftmaxLoss(50, len(weights))
    loss.value_and_grad(weights, np.zeros(len(weights), np.float16), np.arange(30), np.ones((30, 64)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


@pytest.mark.parametrize(("level", "dtype"), list(itertools.product(drivers.isa_levels(), ["float32", "float64"])))
def test_levels_agree(level, dtype):
    arrays, values = problem(50, 60, 9, 2, dtype=dtype)
    loss = lx.SampledSoftmaxLoss(1, 60, 2, sampled_values=values)
    before = drivers.isa()
    try:
        drivers.set_isa(level)
        check(loss.value_and_grad(*arrays), reference(*arrays, *values), dtype)
    finally:
        drivers.set_isa(before)
