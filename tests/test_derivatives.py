"""Second derivatives of the dense losses, and links."""

import itertools
import re

import numpy as np
import pytest

import lossext as lx

N, C = 7, 5
LOGISTIC = [lx.BCEWithLogitsLoss, lx.MultiLabelSoftMarginLoss]
SOFTMAX = [lx.LinearSoftmaxLoss(), lx.SampledSoftmaxLoss(num_sampled=2, num_classes=C)]
HINGES = [lx.MultiMarginLoss, lx.HingeEmbeddingLoss]
RNG_SEED = 3


def losses():
    """Every dense loss with every combination of its weights, of every layout."""
    rng = np.random.default_rng(RNG_SEED)
    for cls in lx.registry():
        declaration = cls.declaration
        shapes = [(C,)] if declaration.family == "rowwise" else [(), (C,), (N, 1), (N, C)]
        choices = [[None, *(rng.uniform(0.2, 3, s) for s in shapes)] for _ in declaration.weights]
        powers = [{"p": 1}, {"p": 2}] if cls is lx.MultiMarginLoss else [{}]
        for weights, power, reduction in itertools.product(
            itertools.product(*choices), powers, ["mean", "sum", "none"]
        ):
            named = dict(zip(declaration.weights, weights, strict=True))
            layouts = ",".join(f"{k}{np.shape(v)}" for k, v in named.items() if v is not None)
            loss = cls(**named, **power, reduction=reduction)
            yield pytest.param(loss, id=f"{cls.__name__}-{power.get('p', '')}-{layouts}-{reduction}")


def problem(loss, dtype=np.float64):
    """Scores, targets, sample weights and an upstream gradient."""
    rng = np.random.default_rng(RNG_SEED)
    x = rng.normal(0, 3, (N, C))  # with this seed no score is within a step of a kink
    kind = loss.declaration.target.kind
    y = {
        "class": rng.integers(0, C, N),
        "sign": rng.choice([-1, 1], (N, C)),
        "unit": rng.random((N, C)),
    }[kind]
    sample_weight = rng.uniform(0.5, 2, N)
    by_row = loss.declaration.value_by_row
    upstream = 1.5 if loss.reduction != "none" else rng.uniform(0.5, 2, N if by_row else (N, C))
    return x.astype(dtype), y, {"sample_weight": sample_weight, "grad_output": upstream}


@pytest.mark.parametrize("loss", list(losses()))
def test_hessian_is_the_derivative_of_the_gradient(loss):
    x, y, keywords = problem(loss)
    grad, hess = loss.grad_and_hess(x, y, **keywords)
    assert np.array_equal(grad, loss.grad(x, y, **keywords))
    assert hess.shape == x.shape
    assert hess.dtype == x.dtype
    step = 1e-5
    for c in range(C):  # rows do not meet each other
        up, down = x.copy(), x.copy()
        up[:, c] += step
        down[:, c] -= step
        slope = (loss.grad(up, y, **keywords) - loss.grad(down, y, **keywords))[:, c] / (2 * step)
        np.testing.assert_allclose(hess[:, c], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", [lx.HingeEmbeddingLoss(), lx.MultiMarginLoss(p=1)], ids=repr)
def test_piecewise_linear_losses_have_no_curvature(loss):
    x, y, keywords = problem(loss)
    assert not loss.grad_and_hess(x, y, **keywords)[1].any()


@pytest.mark.parametrize("cls", lx.registry())
def test_float32_hessian(cls):
    loss = cls(reduction="sum")
    x, y, keywords = problem(loss, np.float32)
    hess = loss.grad_and_hess(x, y, **keywords)[1]
    assert hess.dtype == np.float32
    np.testing.assert_allclose(hess, loss.grad_and_hess(x.astype(np.float64), y, **keywords)[1], rtol=1e-5)


def test_logistic_hessian_is_accurate_far_out():
    x = np.array([-700.0, -40.0, 40.0, 700.0])
    hess = lx.BCEWithLogitsLoss(reduction="sum").grad_and_hess(x, np.ones(4))[1]
    np.testing.assert_allclose(hess, np.exp(-np.abs(x)), rtol=1e-14)


@pytest.mark.parametrize("cls", LOGISTIC)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse_link(cls, dtype):
    raw = np.array([[-np.inf, -80.0, -1.0], [0.0, 1.0, np.inf]], dtype)
    probability = cls().inverse_link(raw)
    assert probability.dtype == dtype
    exact = 1 / (1 + np.exp(-raw.astype(np.float64)))
    np.testing.assert_allclose(probability, exact, rtol=5 * np.finfo(dtype).eps)
    assert np.array_equal(cls().inverse_link(raw[0]), probability[0])
    assert np.isnan(cls().inverse_link(np.nan))


def weightings(cls, shape):
    rng = np.random.default_rng(RNG_SEED)
    shapes = [None, (), shape[1:], shape]
    names = cls.declaration.weights
    for chosen in itertools.product(shapes, repeat=len(names)):
        yield cls(
            **{k: None if s is None else rng.uniform(0.2, 3, s) for k, s in zip(names, chosen, strict=True)},
            reduction="sum",
        )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("cls", "shape"), [(cls, (40, 3)) for cls in LOGISTIC] + [(lx.BCEWithLogitsLoss, (40,))])
def test_init_raw_minimises(cls, shape, weighted):
    rng = np.random.default_rng(RNG_SEED)
    y = rng.random(shape)
    sample_weight = rng.uniform(0.1, 2, shape[0]) if weighted else None
    for loss in weightings(cls, shape):
        raw = loss.init_raw(y, sample_weight)
        assert isinstance(raw, float) if len(shape) == 1 else raw.shape == shape[1:]
        x = np.broadcast_to(raw, shape)
        slope = loss.grad(x, y, sample_weight=sample_weight).sum(axis=0)  # convex: 0 at the minimum and only there
        np.testing.assert_allclose(slope, 0, atol=1e-12 * shape[0])


def test_init_raw_is_finite():
    loss = lx.BCEWithLogitsLoss()
    bound = np.log((1 - 1e-15) / 1e-15)
    assert loss.init_raw([1, 1, 1]) == bound
    assert loss.init_raw(np.zeros(3, bool)) == -bound
    assert loss.init_raw([1, 0, 0], [1.0, 0.0, 0.0]) == bound
    assert loss.init_raw([1, 0], [0.0, 0.0]) == 0
    assert loss.init_raw(np.empty((0, 2))).tolist() == [0, 0]


@pytest.mark.parametrize("cls", LOGISTIC)
def test_init_raw_refuses(cls):
    y = [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match=r"target\[0, 1\] = 2 is not in \[0, 1\]"):
        cls().init_raw([[0, 2]])
    with pytest.raises(ValueError, match=r"target has shape \(\)"):
        cls().init_raw(1)
    with pytest.raises(ValueError, match=r"weight has shape \(3,\), which does not broadcast to target's, \(2, 2\)"):
        cls(weight=[1, 2, 3]).init_raw(y)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\)"):
        cls().init_raw(y, [1, 1, 1])
    with pytest.raises(ValueError, match="sum to less than 0"):
        cls(weight=-1.0).init_raw(y)
    with pytest.raises(TypeError, match="target has dtype"):
        cls().init_raw(["a"])


@pytest.mark.parametrize("cls", HINGES)
def test_hinges_have_no_link(cls):
    with pytest.raises(TypeError, match=f"{cls.__name__} has no link"):
        cls().inverse_link([0.0])
    with pytest.raises(TypeError, match=f"{cls.__name__} has no link"):
        cls().init_raw([1, 0])


@pytest.mark.parametrize("loss", SOFTMAX, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_softmax_inverse_link(loss, dtype):
    raw = np.random.default_rng(RNG_SEED).normal(0, 5, (3, 4, C)).astype(dtype)
    probability = loss.inverse_link(raw)
    assert probability.dtype == dtype
    e = np.exp(raw.astype(np.longdouble))
    exact = (e / e.sum(axis=-1, keepdims=True)).astype(np.float64)
    ulp = 1 if dtype != np.float64 else 2 - np.log(exact)
    tiny = np.finfo(dtype).smallest_subnormal
    assert (np.abs(probability - exact) <= ulp * np.finfo(dtype).eps * exact + tiny).all()
    np.testing.assert_allclose(probability.sum(axis=-1, dtype=np.float64), 1, rtol=C * np.finfo(dtype).eps)
    assert np.array_equal(loss.inverse_link(raw[0, 0]), probability[0, 0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("loss", SOFTMAX, ids=lambda loss: type(loss).__name__)
def test_softmax_inverse_link_at_the_edge(loss):
    largest = np.finfo(np.float64).max
    assert loss.inverse_link([largest, largest, -largest]).tolist() == [0.5, 0.5, 0]
    assert loss.inverse_link([3, 3, -np.inf]).tolist() == [0.5, 0.5, 0]
    assert loss.inverse_link([0, 0]).dtype == np.float64
    assert loss.inverse_link(np.empty((0, 2), np.float32)).shape == (0, 2)
    for row in ([np.nan, 0], [np.inf, 0], [-np.inf, -np.inf]):
        assert np.isnan(loss.inverse_link([row, [0, 0]])[0]).any()
        assert loss.inverse_link([row, [0, 0]])[1].tolist() == [0.5, 0.5]
    for shape in ((), (0,), (2, 0)):
        with pytest.raises(ValueError, match=f"raw has shape {re.escape(str(shape))}; allowed"):
            loss.inverse_link(np.empty(shape))
    with pytest.raises(TypeError, match="raw has dtype complex"):
        loss.inverse_link([1j, 0])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", SOFTMAX, ids=lambda loss: type(loss).__name__)
def test_softmax_init_raw_minimises(loss, weighted):
    rng = np.random.default_rng(RNG_SEED)
    y = rng.integers(0, C, 40)
    sample_weight = rng.uniform(0.1, 2, 40) if weighted else None
    raw = loss.init_raw(y, sample_weight)
    assert raw.shape == (C,)
    assert np.array_equal(raw, loss.init_raw(y[:, np.newaxis].astype(np.uint8), sample_weight))
    full = lx.LinearSoftmaxLoss("sum")
    grad = full.grad(np.zeros((C, 1)), raw, y, np.zeros((40, 1)), sample_weight=sample_weight)
    np.testing.assert_allclose(grad.biases, 0, atol=1e-12)
    counts = np.bincount(y, sample_weight)
    np.testing.assert_allclose(loss.inverse_link(raw), counts / counts.sum())


def test_softmax_init_raw_of_several_labels():
    rng = np.random.default_rng(RNG_SEED)
    y, sample_weight = np.array([[0, 1], [1, 2], [1, 4], [3, 4]]), rng.uniform(0.1, 2, 4)
    everything = range(C), np.ones((4, 2)), np.ones(C)
    loss = lx.SampledSoftmaxLoss(1, C, num_true=2, sampled_values=everything, reduction="sum")
    raw = loss.init_raw(y, sample_weight)
    grad = loss.grad(np.zeros((C, 1)), raw, y, np.zeros((4, 1)), sample_weight=sample_weight)
    np.testing.assert_allclose(grad.biases.to_dense(), 0, atol=1e-12)


def test_softmax_init_raw_is_finite():
    linear, sampled = SOFTMAX
    never = np.log(1e-15)
    assert sampled.init_raw([1, 1]).tolist() == [never, 0, never, never, never]
    assert linear.init_raw([1, 1]).tolist() == [never, 0]
    assert linear.init_raw([1, 1], num_classes=3).tolist() == [never, 0, never]
    assert linear.init_raw([1, 0], [1.0, 0.0]).tolist() == [never, 0]
    assert linear.init_raw([1, 0], [0.0, 0.0]).tolist() == [0, 0]
    assert sampled.init_raw([]).tolist() == [0] * C
    assert linear.init_raw([]).shape == (0,)


@pytest.mark.parametrize("loss", SOFTMAX, ids=lambda loss: type(loss).__name__)
def test_softmax_init_raw_refuses(loss):
    with pytest.raises(ValueError, match=r"target\[1\] = -1 is not in \[0, "):
        loss.init_raw([0, -1])
    with pytest.raises(TypeError, match="target has dtype float64"):
        loss.init_raw([0.0])
    for shape in ((), (2, 2), (2, 1, 1)):
        with pytest.raises(
            ValueError, match=rf"target has shape {re.escape(str(shape))}; allowed is \(N,\) or \(N, 1\)"
        ):
            loss.init_raw(np.zeros(shape, int))
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\)"):
        loss.init_raw([0, 1], [1, 1, 1])
    with pytest.raises(ValueError, match="sum to less than 0"):
        loss.init_raw([0, 1], [1, -1])


def test_softmax_init_raw_names_the_classes():
    linear, sampled = SOFTMAX
    with pytest.raises(ValueError, match=rf"target\[0\] = {C} is not in \[0, {C}\)"):
        sampled.init_raw([C])
    with pytest.raises(ValueError, match=r"target\[0\] = 3 is not in \[0, 3\)"):
        linear.init_raw([3], num_classes=3)
    with pytest.raises(ValueError, match="num_classes = 0"):
        linear.init_raw([0], num_classes=0)
    with pytest.raises(ValueError, match=r"target has shape \(2,\); allowed is \(N, 2\)"):
        lx.SampledSoftmaxLoss(2, C, num_true=2).init_raw([0, 1])
