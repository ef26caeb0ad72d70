"""Second derivatives and links of the dense losses."""

import itertools

import numpy as np
import pytest

import lossext as lx
from lossext.losses import DENSE

N, C = 7, 5
LOGISTIC = [lx.BCEWithLogitsLoss, lx.MultiLabelSoftMarginLoss]
HINGES = [lx.MultiMarginLoss, lx.HingeEmbeddingLoss]
RNG_SEED = 3


def losses():
    """Every dense loss with every combination of its weights, of every layout."""
    rng = np.random.default_rng(RNG_SEED)
    for cls in DENSE:
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


@pytest.mark.parametrize("cls", DENSE)
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
