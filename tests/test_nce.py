"""NCELoss against an independent reference and TensorFlow's answers."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import lossext as lx
from lossext._kernels import drivers
from lossext.samplers import LogUniformSampler, UniformSampler

DATA = Path(__file__).parent / "data"
TOLERANCE = {"float64": 2e-12, "float32": 3e-6}


@pytest.fixture(params=drivers.isa_levels())
def isa(request):
    before = drivers.isa()
    drivers.set_isa(request.param)
    yield request.param
    drivers.set_isa(before)


def dense(value, grad):
    return value, grad.weights.to_dense(), grad.biases.to_dense(), grad.inputs


def golden():
    with np.load(DATA / "nce.npz") as z:
        arrays = dict(z)
    return [
        pytest.param(case, {k: arrays[f"{case['id']}.{k}"] for k in case["keys"]}, id=case["id"])
        for case in json.loads(str(arrays["meta"]))
    ]


@pytest.mark.parametrize(("case", "data"), golden())
def test_golden(case, data, isa):
    parameters = case["params"]
    loss = lx.NCELoss(
        1,
        parameters["num_classes"],
        parameters["num_true"],
        (data["sampled"], data["true_expected_count"], data["sampled_expected_count"]),
        parameters["remove_accidental_hits"],
    )
    arrays = [data[k] for k in ("weights", "biases", "labels", "inputs")]
    results = dense(*loss.value_and_grad(*arrays, grad_output=data["grad_output"]))
    kind = "alt_mask_all_" if "dup_hits" in case["tags"] else "ref_"  # TensorFlow masks one of several hits only
    for result, name in zip(results, ("loss", "grad_weights", "grad_biases", "grad_inputs"), strict=True):
        right = data[kind + name]
        bound = TOLERANCE[case["dtype"]] * np.abs(right).max(initial=0)
        np.testing.assert_allclose(np.float64(result), right, rtol=0, atol=bound)


def problem(rows, classes, dim, num_true, n_sampled, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=s) for s in ((classes, dim), classes, (rows, dim))]
    arrays.insert(2, rng.integers(classes, size=(rows, num_true)))
    values = (
        rng.integers(classes, size=n_sampled),
        rng.uniform(0.1, 2, (rows, num_true)),
        rng.uniform(0.1, 2, n_sampled),
    )
    return arrays, values


def reference(w, b, labels, x, sampled, true_count, sampled_count, remove):
    t = np.einsum("nd,ntd->nt", x, w[labels]) + b[labels] - np.log(true_count)
    z = x @ w[sampled].T + b[sampled] - np.log(sampled_count)
    kept = np.ones(z.shape)
    if remove:
        kept = 1.0 - (labels[:, :, None] == sampled).any(1)
    num_true = labels.shape[1]
    loss = (np.logaddexp(0, t) - t / num_true).sum(1) + (kept * np.logaddexp(0, z)).sum(1)
    dt, dz = 1 / (1 + np.exp(-t)) - 1 / num_true, kept / (1 + np.exp(-z))
    dw, db = np.zeros_like(w), np.zeros_like(b)
    np.add.at(dw, labels, dt[:, :, None] * x[:, None])
    np.add.at(db, labels, dt)
    np.add.at(dw, sampled, dz.T @ x)
    np.add.at(db, sampled, dz.sum(0))
    return loss, dw, db, np.einsum("nt,ntd->nd", dt, w[labels]) + dz @ w[sampled]


# the last two: several waves of classes, and of rows
@pytest.mark.parametrize(
    ("rows", "classes", "dim", "num_true", "n_sampled"),
    [(3, 10, 4, 1, 5), (97, 300, 33, 2, 193), (5, 900, 3, 3, 30_000), (1100, 5000, 2, 1, 4000)],
)
@pytest.mark.parametrize("remove", [True, False])
def test_reference(rows, classes, dim, num_true, n_sampled, remove):
    arrays, values = problem(rows, classes, dim, num_true, n_sampled)
    loss = lx.NCELoss(1, classes, num_true, values, remove)
    for mine, right in zip(dense(*loss.value_and_grad(*arrays)), reference(*arrays, *values, remove), strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-11, atol=1e-11 * np.abs(right).max())
    np.testing.assert_array_equal(loss(*arrays), loss.value_and_grad(*arrays)[0])


def test_extreme_logits():
    w, x = np.zeros((2, 1)), np.zeros((1, 1))
    ones = np.ones((1, 1)), np.ones(1)
    for own, other, value in (
        (-800.0, -800.0, 800),
        (800.0, 800.0, 800),
        (-np.inf, 0, np.inf),
        (0, -np.inf, np.log(2)),
    ):
        got, grad = lx.NCELoss(1, 2, sampled_values=([1], *ones)).value_and_grad(w, [own, other], [0], x)
        np.testing.assert_allclose(got, value)
        assert np.isfinite(grad.biases.values).all()
    for own in (30.0, 100.0, 300.0):  # relative accuracy near 0
        loss = lx.NCELoss(1, 2, sampled_values=([1], *ones))
        value, grad = loss.value_and_grad(w, [own, -np.inf], [0], x)
        np.testing.assert_allclose(value, np.log1p(np.exp(-own)), rtol=1e-14)
        np.testing.assert_allclose(grad.biases.to_dense()[0], -1 / (1 + np.exp(own)), rtol=1e-14)


def test_threads():
    arrays, values = problem(300, 1000, 20, 2, 700)
    loss = lx.NCELoss(1, 1000, 2, values, reduction="mean")
    one, *many = (loss.value_and_grad(*arrays, n_threads=n) for n in (1, 2, 5))
    for other in many:
        for mine, right in zip(dense(*other), dense(*one), strict=True):
            np.testing.assert_array_equal(mine, right)


def test_draws_use_expected_counts():
    arrays, _ = problem(6, 50, 3, 1, 5)
    for sampler in (None, LogUniformSampler(50, seed=4)):
        loss = lx.NCELoss(5, 50, seed=4, sampler=sampler)
        twin = UniformSampler(50, seed=4) if sampler is None else LogUniformSampler(50, seed=4)
        expected = loss(*arrays, sampled_values=twin.sample(arrays[2], 5))
        np.testing.assert_array_equal(loss(*arrays), expected)
    assert pickle.loads(pickle.dumps(loss)) == loss


def test_function_and_parameters():
    arrays, values = problem(6, 50, 3, 1, 5)
    value = lx.nce_loss(*arrays, 5, 50, 1, values, True, None, "sum")
    assert value == lx.NCELoss(5, 50, 1, values, True, reduction="sum")(*arrays)
    assert lx.NCELoss(5, 50) != lx.SampledSoftmaxLoss(5, 50, remove_accidental_hits=False)
    with pytest.raises(ValueError, match=r"labels\[1\] = 50 is not in \[0, 50\)"):
        lx.NCELoss(5, 50)(arrays[0], arrays[1], [0, 50, 1, 1, 1, 1], arrays[3])
    with pytest.raises(ValueError, match="num_sampled = 51 is greater than num_classes = 50"):
        lx.NCELoss(51, 50)


def test_no_rows():
    value, grad = lx.NCELoss(2, 5, reduction="sum").value_and_grad(np.ones((5, 2)), np.ones(5), [], np.ones((0, 2)))
    assert value == 0
    assert grad.weights.to_dense().shape == (5, 2)
