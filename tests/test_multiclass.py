"""Losses of classes beyond what holds for every loss: probabilities, sparse labels, classes along axis 1, Hessians."""

import numpy as np
import pytest
from twins import assert_close, reference

import lossext as lx

pytestmark = pytest.mark.filterwarnings("error")
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPES = [
    (5, 3),
    (40, 10),
    (33, 48),
    (7, 70),
    (3, 1003),
    (2, 5000),
    (4, 5, 3),
    (3, 7, 2, 5),
    (2, 200, 40),
    (1, 4, 1000),
]


class Csr:
    """What is known of a SciPy matrix: its four attributes."""

    def __init__(self, dense):
        dense = np.asarray(dense)
        self.shape = dense.shape
        rows, self.indices = np.nonzero(dense)
        self.indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
        self.data = dense[rows, self.indices]

    def toarray(self):
        dense = np.zeros(self.shape, self.data.dtype)
        np.add.at(dense, (np.repeat(np.arange(self.shape[0]), np.diff(self.indptr)), self.indices), self.data)
        return dense


def check(loss, x, y, ulps=6, **keywords):
    value, grad = loss.value_and_grad(x, y, **keywords)
    exact = reference(loss, x, y, **keywords)
    n = 1 if loss.reduction == "none" or x.dtype == np.float32 else np.sqrt(x.size)
    assert_close(value, exact.value, exact.value_terms, ulps + n, ("value", loss, x.shape))
    assert_close(grad, exact.grad, exact.grad_terms, ulps, ("grad", loss, x.shape))
    return value, grad


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_of_every_kind_of_target(dtype, shape, level):
    rng = np.random.default_rng(1)
    x, ids = (3 * rng.standard_normal(shape)).astype(dtype), rng.integers(0, shape[1], shape[:1] + shape[2:])
    soft, weight, known = rng.random(shape), rng.random(shape[1]) + 0.5, rng.random(ids.shape) > 0.3
    ignored = np.where(rng.random(ids.shape) < 0.3, -100, ids)
    for more in ({}, {"weight": weight}, {"label_smoothing": 0.25}, {"temperature": 1.75, "reduction": "none"}):
        loss = lx.CrossEntropyLoss(**more)
        for target in (ids, soft, ignored):
            check(loss, x, target)
        check(loss, x, ids, mask=known)
        check(loss, x, soft, mask=known, sample_weight=rng.random(shape[0]))
    for kind in ("exact", "residual"):
        for target in (ids, soft):
            hess = lx.CrossEntropyLoss(weight=weight).grad_and_hess(x, target, curvature=kind)[1]
            exact = reference(lx.CrossEntropyLoss(weight=weight), x, target, curvature=kind)
            assert_close(hess, exact.hess, exact.hess_terms, 8, kind)


@every_dtype
def test_targets_of_every_type(dtype, level):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((9, 6)).astype(dtype)
    for kind in ("?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"):
        check(lx.CrossEntropyLoss(), x, rng.integers(0, 2, x.shape).astype(kind))


@every_dtype
def test_rows_that_are_ignored_are_not_read(dtype, level):
    rng = np.random.default_rng(3)
    for shape in [(40, 5), (40, 70), (5, 6, 7)]:
        x, y = rng.standard_normal(shape).astype(dtype), rng.integers(0, shape[1], shape[:1] + shape[2:])
        y[rng.random(y.shape) < 0.4] = -100
        spoilt = np.where(np.expand_dims(y == -100, 1), rng.choice([np.nan, np.inf, 1e38], shape), x).astype(dtype)
        for loss in (lx.CrossEntropyLoss(), lx.CrossEntropyLoss(label_smoothing=0.1), lx.NLLLoss()):
            for a, b in zip(loss.value_and_grad(x, y), loss.value_and_grad(spoilt, y), strict=True):
                assert np.array_equal(a, b)
    nothing = lx.CrossEntropyLoss().value_and_grad(np.ones((2, 3)), [-100, -100])
    assert np.isnan(nothing[0])
    assert not nothing[1].any()


@every_dtype
def test_sure_classes_keep_their_digits(dtype, level):
    """torch, keras, optax and scikit-learn give 0, with the gradient 0, from a margin of 17 on in float32."""
    for ahead in (10.0, 17.5, 40.0, 80.0):
        x = np.array([[ahead, 0.0, -1.0]], dtype)
        check(lx.CrossEntropyLoss(reduction="none"), x, [0], ulps=3)
        assert lx.cross_entropy(x, [0]) > 0
        check(lx.CrossEntropyLoss(reduction="none"), x, np.array([[1.0, 0, 0]]), ulps=4)


@every_dtype
@pytest.mark.parametrize("columns", [2, 3, 10, 52, 100, 1000])
def test_second_derivatives_keep_their_digits(dtype, columns, level):
    rng = np.random.default_rng(4)
    for scale in (0.1, 0.3, 1):  # larger distances add the rounding of the distance itself
        x = (rng.uniform(-scale, scale, (100, columns))).astype(dtype)
        _, hess = lx.CrossEntropyLoss(reduction="sum").grad_and_hess(x, rng.integers(0, columns, 100))
        e = np.exp(x.astype(np.longdouble))
        total = e.sum(axis=1, keepdims=True)
        others = np.stack([np.delete(e, j, axis=1).sum(axis=1) for j in range(columns)], axis=1)
        exact = e / total * (others / total)
        assert np.max(np.abs(hess - exact) / exact) <= 3 * np.finfo(dtype).eps


@every_dtype
@pytest.mark.parametrize("columns", [3, 30, 100])
def test_values_at_infinite_scores(dtype, columns, level):
    rest = np.zeros(columns - 2)
    for own, other, value in (
        (np.inf, np.inf, np.nan),
        (np.inf, 0, 0),
        (0, np.inf, np.inf),
        (-np.inf, 0, np.inf),
        (0, -np.inf, np.log1p(columns - 2)),
        (np.nan, 0, np.nan),
        (0, np.nan, np.nan),
    ):
        x = np.array([own, other, *rest], dtype)[None]
        np.testing.assert_allclose(lx.CrossEntropyLoss()(x, [0]), value, rtol=1e-6)


def test_limits_at_infinite_scores():
    x = np.array([[np.inf, 0.0, 1.0], [0.0, np.inf, 1.0], [-np.inf, 0.0, 1.0], [1.0, -np.inf, 0.0]])
    value, grad = lx.CrossEntropyLoss(reduction="none").value_and_grad(x, [0, 0, 0, 0])
    assert value.tolist()[:3] == [0, np.inf, np.inf]
    assert grad[0].tolist() == [0, 0, 0]
    assert grad[1].tolist() == [-1, 1, 0]
    assert value[3] == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-15)


@every_dtype
@pytest.mark.parametrize("columns", [4, 300])
def test_sparse_probabilities_are_dense_ones(dtype, columns):
    rng = np.random.default_rng(4)
    dense = rng.random((20, columns)) * (rng.random((20, columns)) < 0.2)
    x, sparse = rng.standard_normal(dense.shape).astype(dtype), Csr(dense)
    for loss in (lx.CrossEntropyLoss(), lx.CrossEntropyLoss(weight=rng.random(columns), label_smoothing=0.2)):
        for of_dense, of_sparse in zip(
            loss.value_and_grad(x, dense.astype(dtype)), loss.value_and_grad(x, sparse), strict=True
        ):
            assert np.array_equal(of_dense, of_sparse)
        assert loss.divisor(dense) == loss.divisor(sparse)
    twice = Csr(dense)
    twice.indices, twice.data = np.repeat(twice.indices, 2)[::-1], np.repeat(twice.data, 2)[::-1] / 2
    twice.indptr = 2 * (twice.indptr[-1] - twice.indptr[::-1])
    assert lx.cross_entropy(x[::-1], twice) == pytest.approx(float(lx.cross_entropy(x, sparse)), rel=1e-6)
    sparse.data[0] = -0.5
    with pytest.raises(ValueError, match="target"):
        lx.cross_entropy(x, sparse)


def test_sparse_sets_of_labels():
    rng = np.random.default_rng(5)
    dense = (rng.random((15, 30)) < 0.2).astype(np.int8)
    x, loss = rng.standard_normal(dense.shape), lx.MultiLabelMarginLoss()
    order = np.argsort(dense == 0, axis=1, kind="stable")
    padded = np.where(np.take_along_axis(dense, order, 1), order, -1)
    for a, b, c in zip(
        loss.value_and_grad(x, padded), loss.value_and_grad(x, Csr(dense)), reference(loss, x, padded)[:2], strict=True
    ):
        assert np.array_equal(a, b)
        np.testing.assert_allclose(a, np.float64(c), rtol=1e-12, atol=1e-15)
    place = tuple(np.argwhere(dense)[0].tolist())
    with pytest.raises(ValueError, match=rf"target\[{place[0]}, {place[1]}\] = 2.0 is not 0 or 1"):
        loss(x, Csr(2 * dense))


def test_a_repeated_label_counts_twice_and_many_are_sorted():
    x = np.random.default_rng(6).standard_normal((3, 200))
    loss = lx.MultiLabelMarginLoss(reduction="none")
    once, twice = loss(x, [[3, -1, 7]] * 3), loss(x, [[3, 3, -1]] * 3)
    assert np.array_equal(twice, 2 * once)
    many = np.tile(np.random.default_rng(7).permutation(200)[:90], (3, 1))
    np.testing.assert_allclose(loss(x, many), np.float64(reference(loss, x, many).value), rtol=1e-12)


@every_dtype
@pytest.mark.parametrize("shape", [(6, 4), (5, 60), (2, 5, 3)], ids=str)
def test_products_with_the_hessian(dtype, shape):
    rng = np.random.default_rng(8)
    x, v = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    ids, soft = rng.integers(0, shape[1], shape[:1] + shape[2:]), rng.random(shape)
    ids.flat[0] = -100
    sample_weight = rng.random(shape[0])
    for more in ({}, {"weight": rng.random(shape[1]), "label_smoothing": 0.1, "temperature": 2.0, "reduction": "sum"}):
        loss = lx.CrossEntropyLoss(**more)
        for y in (ids, soft):
            product = loss.hess_product(x, y, v, sample_weight=sample_weight)
            assert product.dtype == x.dtype
            wide_x, step = x.astype(np.float64), 1e-5
            up, down = (
                loss.grad(wide_x + side * step * v.astype(np.float64), y, sample_weight=sample_weight)
                for side in (1, -1)
            )
            np.testing.assert_allclose(product, (up - down) / (2 * step), rtol=2e-4, atol=2e-8)


def test_the_constant_to_start_from():
    y = np.array([0, 0, 1, 2, 2, 2])
    for loss in (
        lx.CrossEntropyLoss(),
        lx.CrossEntropyLoss(temperature=2.0, label_smoothing=0.1),
        lx.SoftmaxFocalLoss(),
    ):
        raw = loss.init_raw(y)
        slope = loss.grad(np.tile(raw, (6, 1)), y).sum(axis=0)
        np.testing.assert_allclose(slope, 0, atol=1e-9)
        assert raw.mean() == pytest.approx(0, abs=1e-12)
    assert len(lx.CrossEntropyLoss().init_raw(y, num_classes=5)) == 5
    one_hot = np.eye(3)[y]
    np.testing.assert_allclose(lx.CrossEntropyLoss().init_raw(one_hot), lx.CrossEntropyLoss().init_raw(y), rtol=1e-14)
    np.testing.assert_allclose(
        lx.CrossEntropyLoss().init_raw(Csr(one_hot), sample_weight=np.arange(6.0)),
        lx.CrossEntropyLoss().init_raw(y, sample_weight=np.arange(6.0)),
        rtol=1e-14,
    )


def test_log_normalizer_and_link():
    x = np.random.default_rng(9).standard_normal((4, 7))
    loss = lx.CrossEntropyLoss()
    np.testing.assert_allclose(loss.log_normalizer(x), np.log(np.exp(x).sum(axis=1)), rtol=1e-14)
    np.testing.assert_allclose(loss.log_normalizer(x + 1000), loss.log_normalizer(x) + 1000, rtol=1e-14)
    np.testing.assert_allclose(loss.inverse_link(x), np.exp(x - loss.log_normalizer(x)[:, None]), rtol=1e-14)


def test_majorizers_of_hinges_along_axis_1():
    """The same numbers whichever way the rows lie."""
    rng = np.random.default_rng(10)
    for classes, inner in [(4, 9), (60, 3), (200, 17)]:
        x, y = rng.standard_normal((2, classes, inner)), rng.integers(0, classes, (2, inner))
        rows = np.moveaxis(x, 1, -1).reshape(-1, classes)
        loss = lx.MulticlassHingeLoss()
        along = loss.grad_and_hess(np.ascontiguousarray(rows), y.ravel(), curvature="majorizer")
        across = loss.grad_and_hess(x, y, curvature="majorizer")
        for a, b in zip(along, across, strict=True):
            np.testing.assert_allclose(np.moveaxis(b, 1, -1).reshape(-1, classes), a, rtol=1e-14)


def test_bad_targets():
    x = np.zeros((2, 3))
    for target, words in (
        ([0, 3], r"target\[1\] = 3 is not in \[0, 3\)"),
        (np.array([[0.5, -0.25, 0], [1, 0, 0]]), r"target\[0, 1\] = -0.25"),
        (np.array([[0.5, np.nan, 0], [1, 0, 0]]), r"target\[0, 1\] = nan"),
        (np.zeros((3, 3)), r"\(3, 3\); allowed is \(2,\), one class id per row of input, or \(2, 3\), probabilities"),
    ):
        with pytest.raises(ValueError, match=words):
            lx.cross_entropy(x, target)
    with pytest.raises(ValueError, match="ignore_index = 1 with a target of probabilities"):
        lx.CrossEntropyLoss(ignore_index=1)(x, np.ones((2, 3)))
    with pytest.raises(ValueError, match="label_smoothing"):
        lx.CrossEntropyLoss(label_smoothing=1.5)
    csc = Csr(np.eye(3)[:2])
    csc.format = "csc"
    with pytest.raises(TypeError, match=r"tocsr"):
        lx.cross_entropy(x, csc)
