"""Every dense loss against its twin and against itself, over whatever the registry holds."""

import copy
import inspect
import itertools
import pickle
import threading
import tracemalloc

import numpy as np
import pytest
from cases import (
    MATRICES,
    REDUCTIONS,
    TARGET_DTYPES,
    dense,
    empty_shapes_of,
    function_of,
    input_of,
    kind_of,
    losses_for,
    matrix_only,
    name,
    parameters_of,
    plain,
    powers_of,
    roundings,
    shapes_of,
    takes_part_of_the_line,
    target_of,
    value_shape,
    weights_for,
)
from twins import assert_close, reference

import lossext
from lossext import _start
from lossext._declare import InputDomain

pytestmark = pytest.mark.filterwarnings("error")
every_loss = pytest.mark.parametrize("cls", dense, ids=name)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_reduction = pytest.mark.parametrize("reduction", ["none", "mean"])  # the others: test_against_twin


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check(loss, x, y, *, soft=False, what="", **keywords):
    """value_and_grad against the twin, value and grad against value_and_grad."""
    what = what, loss, np.shape(x), np.asarray(x).dtype, np.asarray(y).dtype, list(keywords)
    value, grad = loss.value_and_grad(x, y, **keywords)
    exact = reference(loss, x, y, keywords.get("sample_weight"), keywords.get("grad_output", 1.0))
    extra = roundings(
        loss, soft=soft, sample_weight=keywords.get("sample_weight"), grad_output=keywords.get("grad_output")
    )
    value_ulps = loss.declaration.value_ulp + extra
    if loss.reduction != "none":
        # one more rounding; and double lanes that add doubles lose some
        value_ulps += 1 if np.asarray(value).dtype != np.float64 else 1 + np.sqrt(np.size(x))
    assert_close(value, exact.value, exact.value_terms, value_ulps, ("value", what))
    assert_close(grad, exact.grad, exact.grad_terms, loss.declaration.grad_ulp + extra, ("grad", what))
    assert same_bits(loss.grad(x, y, **keywords), grad), what
    keywords.pop("grad_output", None)
    keywords.pop("out", None)
    assert same_bits(loss(x, y, **keywords), value), what
    return value, grad


@every_loss
@every_dtype
def test_against_twin(cls, dtype, level):
    """Parameters, weight layouts and reductions drawn anew for every shape."""
    rng = np.random.default_rng(1)
    for shape in shapes_of(cls):
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        for loss in losses_for(cls, shape, rng, 5):
            reduction = loss.reduction
            value, grad = check(loss, x, y)
            assert isinstance(grad, np.ndarray)
            assert grad.dtype == x.dtype
            assert np.shape(value) == value_shape(loss, shape)
            assert value.dtype == x.dtype
            if reduction != "none":
                assert type(value) is x.dtype.type


@every_loss
@every_dtype
def test_every_row_length(cls, dtype, level):
    """Short rows are where a kernel changes its way through the array."""
    rng = np.random.default_rng(2)
    by_row = cls.declaration.value_by_row
    for columns in (*range(1, 36), 63, 64, 65) if by_row else (1, 2, 7, 33):
        for rows in (1, 2, 15, 16, 17, 40) if by_row else (1, 17):
            x, y = input_of((rows, columns), dtype, rng, cls), target_of(cls, (rows, columns), rng)
            for p in powers_of(cls):
                check(plain(cls, reduction="none", p=p), x, y)


@every_loss
@every_dtype
def test_sample_weight_and_grad_output(cls, dtype, level):
    rng = np.random.default_rng(3)
    for shape in shapes_of(cls):
        if not shape:
            continue
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        weight = rng.integers(-8, 24, shape[0]) / 8
        for loss in losses_for(cls, shape, rng, 3):
            upstream = np.asarray(rng.integers(-16, 16, value_shape(loss, shape)) / 4)
            check(loss, x, y, sample_weight=weight, grad_output=upstream)


@every_loss
@every_dtype
def test_target_dtypes(cls, dtype, level):
    """Labels mean the same in any type."""
    rng = np.random.default_rng(4)
    for shape in [(37, 5), (5, 130)]:
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        loss = plain(cls, reduction="none")
        expected = loss.value_and_grad(x, y.astype("i8"))
        for target_dtype in TARGET_DTYPES[kind_of(cls)]:
            for order in "=<>":
                got = check(loss, x, y.astype(np.dtype(target_dtype).newbyteorder(order)))
                assert all(map(same_bits, got, expected)), (target_dtype, order)
        assert all(map(same_bits, loss.value_and_grad(x, y.tolist()), expected))


@every_loss
@every_dtype
def test_soft_targets(cls, dtype, level):
    if kind_of(cls) in ("sign", "class", "labels") and not cls.declaration.soft_kernel:
        with pytest.raises((TypeError, ValueError), match="target"):
            cls()(np.ones((3, 2), dtype), np.full((3, 2), 0.5, dtype))
        return
    rng = np.random.default_rng(5)
    for shape in MATRICES:
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng, soft=True)
        for target_dtype in ("f2", "f4", "f8"):
            for loss in losses_for(cls, shape, rng, 3 if target_dtype == x.dtype else 1, reduction="none"):
                check(loss, x, y.astype(target_dtype), soft=True)


def layouts(a):
    """The same numbers in memory as NumPy can hold them."""
    a = np.ascontiguousarray(a)
    yield "fortran", np.asfortranarray(a)
    yield "big endian", a.astype(a.dtype.newbyteorder(">"))
    double = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    every_other = (slice(None, None, 2),) * a.ndim
    strided = double[every_other]
    strided[...] = a
    yield "strided", strided
    flip = tuple(slice(None, None, -1) for _ in a.shape)
    yield "reversed", a[flip].copy()[flip]
    memory = np.zeros(a.nbytes + 1, np.uint8)
    unaligned = np.frombuffer(memory, a.dtype, a.size, offset=1).reshape(a.shape)
    unaligned[...] = a
    yield "unaligned", unaligned
    wide = np.zeros((*a.shape[:-1], a.shape[-1] + 3), a.dtype)
    wide[..., 1:-2] = a
    yield "columns of a wider array", wide[..., 1:-2]
    # equal dtypes that are not NumPy's own objects
    yield "unpickled", pickle.loads(pickle.dumps(a))
    named = np.zeros(double.shape, np.dtype(a.dtype, metadata={"unit": "m"}))[every_other]
    named[...] = a
    yield "strided, of a dtype with metadata", named
    yield "of a dtype with metadata", named.copy()
    constant = a.copy()
    constant.flags.writeable = False
    yield "read-only", constant


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@every_reduction
def test_layouts(cls, dtype, reduction):
    """Input, target, weights and grad_output in any memory give the bits of their plain copies."""
    rng = np.random.default_rng(6)
    shape = (13, 21)
    x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
    weights = {"weight": rng.random(shape if "pos_weight" in parameters_of(cls) else shape[1]).astype(dtype)}
    weights["pos_weight"] = rng.random(shape).astype(dtype)
    rows = rng.random(shape[0]).astype(dtype)
    loss = plain(cls, reduction=reduction, **weights)
    upstream = np.ones(np.shape(loss(x, y)), dtype)
    expected = check(loss, x, y, sample_weight=rows, grad_output=upstream)

    def agrees(loss, *arrays):
        x, y, rows, upstream = arrays
        got = loss.value_and_grad(x, y, sample_weight=rows, grad_output=upstream)
        return all(map(same_bits, got, expected))

    for what, array in layouts(x):
        assert np.array_equal(array, x), what
        assert agrees(loss, array, y, rows, upstream), f"input {what}"
    for what, array in layouts(y):
        assert agrees(loss, x, array, rows, upstream), f"target {what}"
    for what, array in layouts(rows):
        assert agrees(loss, x, y, array, upstream), f"sample_weight {what}"
    if upstream.ndim:
        for what, array in layouts(upstream):
            assert agrees(loss, x, y, rows, array), f"grad_output {what}"
    for key in cls.declaration.weights:
        for what, array in layouts(weights[key]):
            assert agrees(plain(cls, reduction=reduction, **{**weights, key: array}), x, y, rows, upstream), (key, what)


@every_loss
def test_broadcast_views(cls):
    """Stride 0 is a layout like any other."""
    rng = np.random.default_rng(7)
    shape = (9, 6)
    x = np.broadcast_to(input_of(shape[1:], "float32", rng, cls), shape)
    y = target_of(cls, shape, rng)
    y = np.broadcast_to(y[:1], y.shape)
    loss = plain(cls, reduction="none")
    got = loss.value_and_grad(x, y)
    assert all(map(same_bits, got, loss.value_and_grad(x.copy(), y.copy())))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of a sum that float16 does not hold: documented
@every_loss
@every_reduction
def test_float16(cls, reduction):
    """Computed in float32, rounded once."""
    rng = np.random.default_rng(8)
    for shape in shapes_of(cls):
        x, y = input_of(shape, "float16", rng, cls) / 64, target_of(cls, shape, rng)  # whose sums float16 holds
        x = np.asarray(x, "float16")
        for i, loss in enumerate(losses_for(cls, shape, rng, 4, reduction=reduction)):
            value, grad = loss.value_and_grad(x, y) if i else check(loss, x, y)  # float32's bits are those of the twin
            wide_value, wide_grad = loss.value_and_grad(x.astype("float32"), y)
            assert same_bits(value, np.asarray(wide_value).astype("float16"))
            assert same_bits(grad, wide_grad.astype("float16"))


@every_loss
@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "i2", "u4", "i8", "u8"])
def test_integer_input(cls, dtype):
    rng = np.random.default_rng(9)
    shape = (6, 5)
    x, y = rng.integers(0, 2, shape).astype(dtype), target_of(cls, shape, rng)
    for reduction in REDUCTIONS:
        got = check(plain(cls, reduction=reduction), x, y)
        assert all(map(same_bits, got, plain(cls, reduction=reduction).value_and_grad(x.astype("f8"), y)))
        assert got[1].dtype == np.float64
    out = np.empty(shape)
    assert plain(cls).grad(x, y, out=out) is out


@every_loss
def test_lists(cls):
    """Anything that NumPy makes an array of."""
    x = [[0.5, -1.0, 2.0], [1.0, 0.25, -3.0]]
    if takes_part_of_the_line(cls):
        x = np.abs(x) / 4
        x = x.tolist()
    y = target_of(cls, (2, 3), np.random.default_rng(10))
    got = cls().value_and_grad(x, y.tolist())
    assert all(map(same_bits, got, cls().value_and_grad(np.array(x), y)))
    assert cls(reduction="sum")(np.empty((0, 3)), [] if kind_of(cls) == "class" else np.empty((0, 3), int)) == 0


@every_loss
@every_dtype
def test_weight_dtypes(cls, dtype):
    """Any real type, cast to the input's."""
    rng = np.random.default_rng(34)
    shape = (12, 5)
    x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
    weight, rows = rng.integers(0, 5, 5), rng.integers(0, 5, 12)
    expected = plain(cls, weight=weight, pos_weight=weight).value_and_grad(x, y, sample_weight=rows)
    for other in ("i1", "u2", ">i4", "u8", "f2", "f4", ">f8"):
        loss = plain(cls, weight=weight.astype(other), pos_weight=weight.astype(other))
        got = loss.value_and_grad(x, y, sample_weight=rows.astype(other), grad_output=np.ones((), other))
        assert all(map(same_bits, got, expected)), other
    loss = plain(cls, weight=weight.tolist(), pos_weight=weight.tolist())
    assert all(map(same_bits, loss.value_and_grad(x, y, sample_weight=rows.tolist(), grad_output=1), expected))
    for bits in (weight > 2, (weight > 2).tolist()):
        loss = plain(cls, weight=bits, pos_weight=bits)
        assert loss(x, y) == plain(cls, weight=np.multiply(bits, 1.0), pos_weight=np.multiply(bits, 1.0))(x, y)


@every_loss
def test_nan_weights_propagate(cls):
    """To the rows that they belong to, and nowhere else."""
    rng = np.random.default_rng(35)
    shape = (6, 5)
    x, y = input_of(shape, "float32", rng, cls), target_of(cls, shape, rng)
    rows = np.ones(6)
    rows[2] = np.nan
    value, grad = cls(reduction="none").value_and_grad(x, y, sample_weight=rows)
    for result in (value, grad):
        assert np.all(np.isfinite(np.delete(result, 2, 0)))
        assert np.any(np.isnan(result[2]))  # multi margin: not where a hinge is off
    assert np.isnan(cls()(x, y, sample_weight=rows))
    if kind_of(cls) == "class":
        weight = np.array([1, np.nan, 1, 1, 1])
        y = np.array([0, 1, 2, 3, 4, 0])
        assert np.array_equal(np.isnan(cls(weight=weight, reduction="none")(x, y)), y == 1)
    elif "weight" in cls.declaration.weights:
        weight = np.ones(shape)
        weight[3, 1] = np.nan
        value, grad = cls(weight=weight, reduction="none").value_and_grad(x, y)
        assert np.array_equal(np.isnan(grad), np.isnan(weight))
        assert np.array_equal(np.isnan(value), np.isnan(weight.sum(1)) if value.ndim == 1 else np.isnan(weight))


@every_loss
@every_reduction
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_empty(cls, reduction, dtype):
    rng = np.random.default_rng(11)
    for shape in empty_shapes_of(cls):
        x, y = np.empty(shape, dtype), np.asarray(target_of(cls, shape, rng))
        for loss in losses_for(cls, shape, rng, reduction=reduction):
            value, grad = loss.value_and_grad(x, y)
            assert grad.shape == shape
            assert grad.dtype == x.dtype
            assert same_bits(value, loss(x, y))
            assert np.shape(value) == value_shape(loss, shape)
            assert value.dtype == x.dtype
            if reduction != "none":
                assert np.isnan(value) if reduction == "mean" else value == 0


@every_loss
def test_function_is_the_class(cls):
    rng = np.random.default_rng(12)
    shape = (7, 5)
    x, y = input_of(shape, "float32", rng, cls), target_of(cls, shape, rng)
    function = function_of(cls)
    assert same_bits(function(x, y), cls()(x, y))
    for loss in losses_for(cls, shape, rng):
        given = {key: getattr(loss, key) for key in parameters_of(cls)}
        assert same_bits(function(x, y, **given), loss(x, y))
        kinds = inspect.signature(function).parameters
        by_position = [given[key] for key in list(kinds)[2:] if kinds[key].kind is not inspect.Parameter.KEYWORD_ONLY]
        rest = {key: value for key, value in given.items() if kinds[key].kind is inspect.Parameter.KEYWORD_ONLY}
        assert same_bits(function(x, y, *by_position, **rest), loss(x, y))


@every_loss
def test_function_takes_each_weight_as_a_number_or_an_array(cls):
    rng = np.random.default_rng(14)
    shape = (7, 5)
    x, y = input_of(shape, "float32", rng, cls), target_of(cls, shape, rng)
    names = [name for name in cls.declaration.weights if name in parameters_of(cls)]
    by_class = cls.declaration.family != "element"
    kinds = [None, rng.random(5), rng.random(5).astype("f4"), rng.integers(1, 4, 5), rng.random(10)[::2].astype("f4")]
    kinds += [] if by_class else [2.0, np.float32(0.5), np.array(3.0), rng.random((7, 1))]
    for given in itertools.product(kinds, repeat=len(names)):
        weights = dict(zip(names, given, strict=True))
        for reduction in ("none", "mean", "weighted_mean"):
            loss = cls(**weights, reduction=reduction)
            assert same_bits(function_of(cls)(x, y, **weights, reduction=reduction), loss(x, y))
    for key in names:
        for bad, error in ((np.ones(3), ValueError), (np.ones(5, complex), TypeError)):
            with pytest.raises(error, match=key):
                function_of(cls)(x, y, **{key: bad})


@every_loss
@every_dtype
@every_reduction
def test_out(cls, dtype, reduction, level):
    rng = np.random.default_rng(13)
    shape = (23, 17)
    x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
    loss = plain(cls, reduction=reduction, weight=rng.random(shape[1]))
    value, grad = loss.value_and_grad(x, y)
    out = np.full(shape, np.nan, dtype)
    got = loss.value_and_grad(x, y, out=out)
    assert got[1] is out
    assert same_bits(got[0], value)
    assert same_bits(out, grad)
    out = np.full(shape, np.nan, dtype)
    assert loss.grad(x, y, out=out) is out
    assert same_bits(out, grad)
    for call in (loss.grad, loss.value_and_grad):
        place = x.copy()
        got = call(place, y, out=place)
        assert (got if call == loss.grad else got[1]) is place
        assert same_bits(place, grad)
    unpickled = pickle.loads(pickle.dumps(out))
    unpickled[...] = np.nan
    assert loss.grad(x, y, out=unpickled) is unpickled
    assert same_bits(unpickled, grad)
    # not on a cache line, nor on a vector
    for shift in range(1, 5):
        memory = np.full(x.size + 8, 7, dtype)
        out = memory[shift : shift + x.size].reshape(shape)
        loss.grad(x, y, out=out)
        assert same_bits(out, grad)
        assert np.all(np.delete(memory, np.s_[shift : shift + x.size]) == 7), "written outside of out"


@every_loss
def test_out_that_overlaps_input(cls):
    """In place is the input itself; a shifted view of it is no place to write to."""
    rng = np.random.default_rng(14)
    shape = (40, 30)
    memory = input_of((1300,), "float32", rng, cls)
    y = target_of(cls, shape, rng)
    for shift in (1, 16, 100):
        both = memory.copy()
        x, out = both[:1200].reshape(shape), both[shift : shift + 1200].reshape(shape)
        for call in (cls().grad, cls().value_and_grad):
            with pytest.raises(ValueError, match=r"\bout\b.*\binput\b"):
                call(x, y, out=out)
        assert np.array_equal(both, memory)


def test_float16_out():
    rng = np.random.default_rng(15)
    for cls in dense:
        x, y = input_of((5, 4), "float16", rng, cls), target_of(cls, (5, 4), rng)
        expected = cls().grad(x, y)
        out = np.empty_like(x)
        assert cls().grad(x, y, out=out) is out
        assert same_bits(out, expected)
        assert cls().grad(x, y, out=x) is x
        assert same_bits(x, expected)


@every_loss
@every_dtype
def test_nothing_of_the_inputs_size_is_allocated(cls, dtype):
    """Beside the result; for native contiguous arrays, and targets of the types that are read as they are."""
    rng = np.random.default_rng(33)
    shape = (1000, 301)
    x = input_of(shape, dtype, rng, cls)
    out = np.empty_like(x)
    rows = np.ones(shape[0], dtype)
    ids = ["i4", "i8"]
    own = {"unit": ["?", "u1", "i4", "i8", dtype], "class": ids, "labels": ids}.get(kind_of(cls), ["i4", "i8", dtype])
    for target_dtype in own:
        y = target_of(cls, shape, rng, target_dtype)
        for weight in [None, *weights_for(cls, shape, rng)]:
            if isinstance(weight, np.ndarray):
                weight = weight.astype(dtype)
            loss = plain(cls, weight=weight, pos_weight=weight)
            for _ in range(3):  # in a process of pytest-xdist another thread allocates, too, but not each time
                tracemalloc.start()
                loss(x, y, sample_weight=rows, n_threads=1)
                loss.grad(x, y, sample_weight=rows, out=out, n_threads=1)
                loss.value_and_grad(x, y, out=out, n_threads=1)
                if target_dtype == own[-1]:
                    function_of(cls)(x, y, **dict.fromkeys(cls.declaration.weights, weight))
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                if peak < 100_000:
                    break
            assert peak < 100_000, f"{peak} bytes for target {target_dtype}, weight {np.shape(weight)}"


@every_loss
@every_dtype
@every_reduction
def test_small_calls_give_the_same_bits(cls, dtype, reduction):
    """Plain calls, and those that say how many threads there may be."""
    rng = np.random.default_rng(27)
    for shape in ((1, 1), (5, 7), (40, 33)):
        x = input_of(shape, dtype, rng, cls)
        weight, pos_weight = rng.random((2, shape[1])).astype(dtype)
        for loss in losses_for(cls, shape, rng, reduction=reduction, weight=weight, pos_weight=pos_weight):
            for target_dtype in ("i4", "i8") if cls.declaration.takes_ids else ("i4", "i8", dtype):
                y = target_of(cls, shape, rng, target_dtype)
                out = np.empty_like(x)
                assert same_bits(loss(x, y), loss(x, y, n_threads=1))
                for short, long in zip(
                    loss.value_and_grad(x, y, out=out) + loss.grad_and_hess(x, y),
                    loss.value_and_grad(x, y, n_threads=1) + loss.grad_and_hess(x, y, n_threads=1),
                    strict=True,
                ):
                    assert same_bits(short, long)


@every_loss
@every_dtype
@pytest.mark.parametrize(
    ("reduction", "shape"), [("none", (160, 1001)), ("mean", (12011, 9)), ("sum", (3, 24001))], ids=str
)
def test_any_number_of_threads_gives_the_same_bits(cls, dtype, reduction, shape):
    rng = np.random.default_rng(16)
    x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng, "i4")
    weight = rng.random(shape[0])
    loss = plain(cls, reduction=reduction, weight=rng.random(shape[1]))
    value, grad = loss.value_and_grad(x, y, sample_weight=weight, n_threads=1)
    out = np.empty_like(x)
    for threads in (2, 3, 4, None):
        got = loss.value_and_grad(x, y, sample_weight=weight, n_threads=threads, out=out)
        assert same_bits(got[0], value), threads
        assert same_bits(out, grad), threads
        assert same_bits(loss(x, y, sample_weight=weight, n_threads=threads), value)
    # and against the twin: enough rows to see every block, without the twin's memory for all
    picked = rng.choice(shape[0], min(shape[0], 40), replace=False)
    rows = plain(cls, reduction="sum", weight=getattr(loss, "weight", None))
    exact = reference(rows, x[picked], y[picked], weight[picked])
    scale = loss.divisor(y, shape=shape)
    ulps = cls.declaration.grad_ulp + 3
    assert_close(grad[picked], exact.grad / scale, exact.grad_terms / scale, ulps, "grad")


@every_loss
def test_rows_of_any_size_meet_their_own_operands(cls):
    """Blocks of the drivers start anywhere in the batch: each operand must be read from there."""
    rng = np.random.default_rng(17)
    for shape in [(2503, 7), (301, 130), (2, 20011)]:
        x, y = input_of(shape, "float64", rng, cls), target_of(cls, shape, rng)
        rows = rng.integers(1, 16, shape[0]) / 4
        for loss in losses_for(cls, shape, rng, 2, p=2, margin=0.3):
            upstream = rng.integers(1, 8, value_shape(loss, shape)) / 2
            value, grad = check(loss, x, y, sample_weight=rows, grad_output=upstream, n_threads=1)
        again = loss.value_and_grad(x, y, sample_weight=rows, grad_output=upstream, n_threads=2)
        assert same_bits(again[0], value)
        assert same_bits(again[1], grad)


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_value_is_that_beside_a_gradient(cls, dtype):
    """To the bit: rows are grouped by what is asked for, and their values are added in one order."""
    rng = np.random.default_rng(19)
    for columns in (3, 40, 70, 130, 300):
        for rows in (34, 145, 376):
            x, y = input_of((rows, columns), dtype, rng, cls), target_of(cls, (rows, columns), rng)
            for loss in losses_for(cls, (rows, columns), rng, 1):
                assert same_bits(loss(x, y, n_threads=1), loss.value_and_grad(x, y, n_threads=1)[0]), (loss, x.shape)


def test_python_threads_share_a_loss():
    rng = np.random.default_rng(18)
    for cls in dense:
        loss = cls()
        work = [(input_of((300, 200), "float32", rng, cls), target_of(cls, (300, 200), rng)) for _ in range(4)]
        expected = [loss.value_and_grad(*pair) for pair in work]
        wrong = []

        def run(pair, answer, loss=loss, wrong=wrong):
            for _ in range(10):
                got = loss.value_and_grad(*pair)
                if not all(map(same_bits, got, answer)):
                    wrong.append(got)

        threads = [threading.Thread(target=run, args=args) for args in zip(work, expected, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


@every_loss
@every_reduction
def test_central_differences(cls, reduction):
    """The gradient is the derivative of the value, away from kinks."""
    rng = np.random.default_rng(19)
    shape = (4, 5)
    step = 1e-5
    for loss in losses_for(cls, shape, rng, 12, reduction=reduction):
        y = target_of(cls, shape, rng, soft=kind_of(cls) == "unit")
        x = np.round(rng.uniform(-2, 2, shape), 1) + 0.0123 * np.arange(1, 6)  # no two differ by a margin
        if takes_part_of_the_line(cls):
            x = x / 5 + 0.45
        if "margin" in parameters_of(cls) and kind_of(cls) == "class":
            z = loss.margin - np.take_along_axis(x, y[:, None], 1) + x
            assert np.min(abs(z[np.arange(5) != y[:, None]])) > 2 * step
        rows = rng.random(shape[0]) + 0.5
        upstream = rng.random(np.shape(loss(x, y)))
        grad = loss.grad(x, y, sample_weight=rows, grad_output=upstream)
        numeric = np.empty(shape)
        for at in np.ndindex(shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[at] += sign * step
                ends.append(np.sum(upstream * loss(moved, y, sample_weight=rows)))
            numeric[at] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(grad, numeric, rtol=1e-8, atol=1e-9 * np.max(abs(grad)))


@every_loss
@every_dtype
@every_reduction
def test_second_derivatives(cls, dtype, reduction, level):
    """Gradient and diagonal of the Hessian against the twin."""
    rng = np.random.default_rng(30)
    for shape in shapes_of(cls):
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        for loss in losses_for(cls, shape, rng, 2, reduction=reduction):
            keywords = {"grad_output": rng.integers(1, 8, value_shape(loss, shape)) / 4}
            if shape:
                keywords["sample_weight"] = rng.integers(1, 8, shape[0]) / 4
            grad, hess = loss.grad_and_hess(x, y, **keywords)
            exact, extra = reference(loss, x, y, **keywords), roundings(loss, **keywords)
            assert_close(grad, exact.grad, exact.grad_terms, cls.declaration.grad_ulp + extra, (loss, shape))
            assert_close(hess, exact.hess, exact.hess_terms, cls.declaration.hess_ulp + extra, (loss, shape))
    x, y = input_of((701, 301), dtype, rng, cls), target_of(cls, (701, 301), rng)
    expected = plain(cls, p=2).grad_and_hess(x, y, n_threads=1)
    for threads in (2, 3):
        assert all(map(same_bits, plain(cls, p=2).grad_and_hess(x, y, n_threads=threads), expected))


@every_loss
def test_second_derivatives_by_differences(cls):
    rng = np.random.default_rng(31)
    shape, step = (4, 5), 1e-5
    y = target_of(cls, shape, rng, soft=kind_of(cls) == "unit")
    x = np.round(rng.uniform(-2, 2, shape), 1) + 0.0123 * np.arange(1, 6)
    if takes_part_of_the_line(cls):
        x = x / 5 + 0.45
    for loss in losses_for(cls, shape, rng, 12):
        upstream = rng.random(np.shape(loss(x, y)))
        hess = loss.grad_and_hess(x, y, grad_output=upstream)[1]
        numeric = np.empty(shape)
        for at in np.ndindex(shape):
            change = np.zeros(shape)
            change[at] = step
            ends = [loss.grad(x + sign * change, y, grad_output=upstream)[at] for sign in (1, -1)]
            numeric[at] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(hess, numeric, rtol=1e-7, atol=1e-9)


@every_loss
@pytest.mark.parametrize(("dtype", "shape"), [("float32", (2063, 2051)), ("float64", (1031, 2051))])
def test_results_that_outgrow_the_caches(cls, dtype, shape, level):
    """They are written in another way; the numbers are those of the rows by themselves."""
    rng = np.random.default_rng(32)
    x = np.tile(input_of((1, shape[1] + 64), dtype, rng, cls), shape[0]).ravel()[: np.prod(shape)].reshape(shape)
    y = target_of(cls, shape, rng, "i4")
    loss = plain(cls, reduction="sum", p=2, weight=rng.random(shape[1]))
    value, grad = loss.value_and_grad(x, y)
    np.testing.assert_allclose(loss.grad_and_hess(x, y)[0], grad, rtol=1e-6 if dtype == "float32" else 1e-14)
    for rows in (slice(0, 3), slice(1000, 1030), slice(-2, None)):
        assert same_bits(loss.grad(x[rows].copy(), y[rows]), grad[rows])
    parts = [loss(x[rows], y[rows]) for rows in (slice(0, 700), slice(700, None))]
    assert value == pytest.approx(sum(map(float, parts)), rel=1e-6)


@every_loss
@every_dtype
def test_weights_multiply(cls, dtype):
    """Powers of two come through exactly, whatever the rounding."""
    rng = np.random.default_rng(20)
    shape = (31, 9)
    x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
    factors = 2.0 ** rng.integers(-3, 4, shape[0])
    for reduction in ("none", "mean", "sum"):
        for loss in losses_for(cls, shape, rng, 12, reduction=reduction):
            value, grad = loss.value_and_grad(x, y)
            upstream = np.full(np.shape(value), -4.0)
            assert np.array_equal(loss.grad(x, y, grad_output=upstream), -4 * grad)
            weighted_value, weighted_grad = loss.value_and_grad(x, y, sample_weight=factors)
            assert np.array_equal(weighted_grad, (factors[:, None] * grad).astype(dtype))
            if reduction == "none":
                by_row = factors.reshape((-1,) + (1,) * (value.ndim - 1))
                assert np.array_equal(weighted_value, (by_row * value).astype(dtype))
            if "weight" in cls.declaration.weights and loss.weight is not None:
                given = {key: getattr(loss, key) for key in parameters_of(cls)}
                given["weight"] = -2 * np.asarray(given["weight"])
                twice_value, twice_grad = cls(**given).value_and_grad(x, y)
                factor = 1 if cls.declaration.divides_by_class_weight and reduction == "mean" else -2
                assert np.array_equal(twice_value, factor * value)
                assert np.array_equal(twice_grad, factor * grad)


@every_loss
def test_mean_and_sum_are_those_of_none(cls):
    """mean divides by rows or elements, by no weights but torch's for class ids."""
    rng = np.random.default_rng(21)
    shape = (11, 6)
    x, y = input_of(shape, "float64", rng, cls), target_of(cls, shape, rng)
    weight = np.arange(6) + 1.0
    rows = rng.random(11)
    none, sums, mean = (plain(cls, reduction=reduction, weight=weight) for reduction in ("none", "sum", "mean"))
    values = none(x, y, sample_weight=rows)
    assert sums(x, y, sample_weight=rows) == pytest.approx(values.sum(), rel=1e-14)
    divisor = weight[y].sum() if cls.declaration.divides_by_class_weight else values.size
    assert mean(x, y, sample_weight=rows) == pytest.approx(values.sum() / divisor, rel=1e-14)
    np.testing.assert_allclose(
        mean.grad(x, y, sample_weight=rows), none.grad(x, y, sample_weight=rows) / divisor, rtol=1e-14
    )
    assert same_bits(sums.grad(x, y, sample_weight=rows), none.grad(x, y, sample_weight=rows))


@every_loss
@every_dtype
def test_rows_permute(cls, dtype, level):
    """A row does not know its neighbours."""
    rng = np.random.default_rng(22)
    for shape in [(50, 3), (50, 33)]:
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        order = rng.permutation(shape[0])
        loss = plain(cls, reduction="none", p=2)
        value, grad = loss.value_and_grad(x, y)
        moved_value, moved_grad = loss.value_and_grad(x[order], y[order])
        ulps = 2 * max(cls.declaration.value_ulp, cls.declaration.grad_ulp)
        exact = reference(loss, x, y)
        assert_close(moved_value, value[order].astype("longdouble"), exact.value_terms[order], ulps, "value")
        assert_close(moved_grad, grad[order].astype("longdouble"), exact.grad_terms[order], ulps, "grad")


@every_loss
@every_dtype
def test_special_numbers_anywhere(cls, dtype, level):
    """NaN, infinities, zeros of both signs, denormals, kinks: as the twin has them, in any lane."""
    rng = np.random.default_rng(28)
    special = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        np.finfo(dtype).tiny,
        np.finfo(dtype).smallest_subnormal,
    ]
    for shape in [(40, 1), (30, 2), (30, 5), (20, 16), (12, 33), (4, 130)]:
        if kind_of(cls) == "class" and shape[1] == 1:
            continue  # nothing there depends on the logit
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        if takes_part_of_the_line(cls):
            special = [np.nan, 0.0, 1.0]
        places = rng.random(shape) < 0.5 * rng.random((shape[0], 1))
        x[places] = rng.choice(special, np.count_nonzero(places))
        for loss in losses_for(cls, shape, rng, 12, reduction="none"):
            check(loss, x, y)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("lane", [0, 3, 16, 20])
def test_logistic_losses_at_infinity(dtype, lane, level):
    """0 * inf counts as 0: the value is the limit."""
    nan, inf = np.nan, np.inf
    table = [(inf, 1, 0, 0), (inf, 0, inf, 1), (-inf, 1, inf, -1), (-inf, 0, 0, 0), (nan, 1, nan, nan)]
    for x, y, value, slope in table:
        logits, target = np.zeros((1, 21), dtype), np.zeros((1, 21))
        logits[0, lane], target[0, lane] = x, y
        for cls in (lossext.BCEWithLogitsLoss, lossext.MultiLabelSoftMarginLoss):
            got, grad = cls(reduction="none").value_and_grad(logits, target)
            scale = 1 if cls is lossext.BCEWithLogitsLoss else 21
            rest = np.delete(grad[0], lane)
            assert np.all(np.abs(rest * scale - 0.5) < 1e-3)
            assert np.array_equal(grad[0, lane], np.asarray(slope / scale).astype(dtype), equal_nan=True)
            if cls is lossext.BCEWithLogitsLoss:
                assert np.array_equal(got[0, lane], value, equal_nan=True)
                assert np.all(np.abs(np.delete(got[0], lane) - np.log(2)) < 1e-3)
            elif np.isfinite(value):
                assert abs(got[0] - 20 / 21 * np.log(2)) < 1e-3
            else:
                assert np.array_equal(got[0], value, equal_nan=True)
    # a weight of 0, and of NaN
    bce = lossext.binary_cross_entropy_with_logits
    assert bce(np.array([np.inf], dtype), [0], weight=0.0) == 0
    assert bce(np.array([-np.inf], dtype), [1], pos_weight=0.0) == 0
    assert np.isnan(bce(np.zeros(1, dtype), [0], weight=np.nan))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("columns", [2, 3, 20, 100])
def test_multi_margin_special_numbers(dtype, p, columns, level):
    loss = lossext.MultiMarginLoss(p=p, reduction="none")
    rng = np.random.default_rng(29)
    for y in {0, 1, columns - 1}:
        for bad in {0, columns // 2, columns - 1}:
            x = rng.standard_normal((2, columns)).astype(dtype)
            x[0, bad] = np.nan
            value, grad = loss.value_and_grad(x, [y, y])
            assert np.isnan(value[0])
            assert np.isfinite(value[1])
            assert np.all(np.isfinite(grad[1]))
            # its own column and the class's; at the class the whole row
            expected = np.full(columns, bad == y)
            expected[[bad, y]] = True
            assert np.array_equal(np.isnan(grad[0]), expected)
        # the kink: margin - x_y + x_i = 0
        x = np.zeros((1, columns), dtype)
        x[0, y] = 1
        value, grad = loss.value_and_grad(x, [y])
        assert value[0] == 0
        assert np.all(grad == 0)
        # as written: inf - inf
        x = np.zeros((1, columns), dtype)
        x[0, y] = np.inf
        value, grad = loss.value_and_grad(x, [y])
        assert value[0] == 0
        assert np.all(grad == 0)
        x[0, (y + 1) % columns] = np.inf
        assert np.isnan(loss(x, [y])[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_hinge_embedding_special_numbers(dtype, level):
    nan, inf = np.nan, np.inf
    above = 1 + np.finfo(dtype).eps
    table = [  # x, y, value, slope
        (nan, 1, nan, 1), (inf, 1, inf, 1), (-inf, 1, -inf, 1), (0, 1, 0, 1),
        (nan, -1, nan, nan), (inf, -1, 0, 0), (-inf, -1, inf, -1), (1, -1, 0, -1), (above, -1, 0, 0), (-0.0, -1, 1, -1),
    ]  # fmt: skip
    x, y, value, slope = (np.tile([row[i] for row in table], 7) for i in range(4))
    got = lossext.HingeEmbeddingLoss(reduction="none").value_and_grad(x.astype(dtype), y)
    assert np.array_equal(got[0], value.astype(dtype), equal_nan=True)
    assert np.array_equal(got[1], slope.astype(dtype), equal_nan=True)
    mean = lossext.HingeEmbeddingLoss(reduction="mean").grad(x.astype(dtype), y)
    assert np.array_equal(np.isnan(mean), np.isnan(slope))


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_sums_do_not_overflow(cls, dtype, level):
    """They are accumulated in float64: a mean of large values is a large value."""
    large = float(np.finfo(dtype).max) / 3
    x = np.full((6, 300), large, dtype)
    y = (np.ones if kind_of(cls) in ("sign", "positive") else np.zeros)(x.shape)
    if kind_of(cls) == "class":
        x[:, 0], y = 0, np.zeros(6, int)
    if kind_of(cls) == "labels":
        x[:, 0], y = 0, np.zeros((6, 1), int)
    if takes_part_of_the_line(cls):
        x /= np.finfo(dtype).max
    for loss in losses_for(cls, x.shape, np.random.default_rng(22), 6, reduction="mean", weight=None, pos_weight=None):
        values = loss._with(reduction="none")(x, y)
        if not np.isfinite(values).all():  # a parabola or an exponential of such numbers
            continue
        value, grad = loss.value_and_grad(x, y)
        assert value == pytest.approx(float(np.mean(values, dtype=np.float64)), rel=2e-3)
        assert np.all(np.isfinite(grad))


@every_loss
def test_nothing_is_modified(cls):
    rng = np.random.default_rng(23)
    shape = (20, 8)
    arrays = {"x": input_of(shape, "float32", rng, cls), "y": target_of(cls, shape, rng, "i1")}
    arrays |= {"weight": rng.random(8).astype("f4"), "pos_weight": rng.random(8).astype("f4")}
    arrays |= {"rows": rng.random(20).astype("f4")}
    kept = copy.deepcopy(arrays)
    loss = plain(cls, reduction="sum", weight=arrays["weight"], pos_weight=arrays["pos_weight"])
    loss.value_and_grad(arrays["x"], arrays["y"], sample_weight=arrays["rows"], grad_output=np.float32(2))
    for key, array in arrays.items():
        assert same_bits(array, kept[key]), key


@every_loss
def test_pickle_repr_equality(cls):
    rng = np.random.default_rng(24)
    shape = (6, 4)
    x, y = input_of(shape, "float32", rng, cls), target_of(cls, shape, rng)
    losses = list(losses_for(cls, shape, rng))
    for loss in losses:
        text = repr(loss)
        assert text.startswith(cls.__name__ + "(")
        for parameter in parameters_of(cls):
            assert f"{parameter}=" in text
        for twin in (pickle.loads(pickle.dumps(loss)), copy.copy(loss), copy.deepcopy(loss)):
            assert type(twin) is cls
            assert twin == loss
            assert repr(twin) == text
            assert same_bits(twin(x, y), loss(x, y))
        assert loss != text
        assert loss is not None
        assert loss != 0
    for i, one in enumerate(losses):
        for j, other in enumerate(losses):
            assert (one == other) is (i == j), (one, other)
    assert eval(repr(cls()), vars(__import__("lossext"))) == cls()
    assert all(cls() != other() for other in dense if other is not cls)


@every_loss
def test_equality_is_by_value(cls):
    if "weight" in cls.declaration.weights:
        assert cls(weight=[1, 2, 3]) == cls(weight=np.array([1.0, 2.0, 3.0]))
        assert cls(weight=[1, 2, 3]) != cls(weight=[1, 2, 4])
        assert cls(weight=[1, 2, 3]) != cls(weight=[1, 2])
        assert cls(weight=[1, 2, 3]) != cls()
    assert cls() == cls(reduction="mean") != cls(reduction="sum")


@every_loss
def test_parameters_are_read_only(cls):
    rng = np.random.default_rng(25)
    shape = (6, 4)
    x, y = input_of(shape, "float64", rng, cls), target_of(cls, shape, rng)
    loss = plain(cls, weight=np.arange(4.0), pos_weight=np.arange(4.0))
    for parameter in parameters_of(cls):
        with pytest.raises(AttributeError):
            setattr(loss, parameter, getattr(loss, parameter))
        with pytest.raises(AttributeError):
            delattr(loss, parameter)
    for key in cls.declaration.weights:
        own = np.arange(4.0)
        loss = plain(cls, **{key: own})
        before = loss(x, y)
        with pytest.raises((ValueError, TypeError)):
            getattr(loss, key)[0] = 5
        own[:] = 100
        assert same_bits(loss(x, y), before), f"the caller's array is still the loss's {key}"


@every_loss
def test_parameters_are_shown(cls):
    for loss in losses_for(cls, (3, 2), np.random.default_rng(26), weight=None, pos_weight=None):
        for parameter in parameters_of(cls):
            assert f"{parameter}={getattr(loss, parameter)!r}" in repr(loss)


def test_hinge_embedding_broadcasts():
    """As NumPy does; the gradient is summed back to the input's shape."""
    (cls,) = (cls for cls in dense if cls.declaration.broadcasts)
    rng = np.random.default_rng(27)
    pairs = [
        ((2, 1), (3,)),
        ((1,), (4,)),
        ((), (5,)),
        ((2, 3), (3,)),
        ((2, 3), ()),
        ((2, 3), (2, 1)),
        ((3, 1, 2), (4, 1)),
    ]
    pairs += [((1, 230), (300, 1)), ((300, 1), (1, 230)), ((0, 1), (1, 3)), ((1, 3), (0, 1)), ((5,), (2, 1, 1))]
    for shape, target_shape in pairs:
        both = np.broadcast_shapes(shape, target_shape)
        for dtype in ("float32", "float64"):
            x, y = input_of(shape, dtype, rng, cls), target_of(cls, target_shape, rng)
            for reduction in REDUCTIONS:
                loss = cls(reduction=reduction)
                upstream = np.asarray(rng.integers(-8, 8, both if reduction == "none" else ()) / 4)
                if 0 in both:
                    value, grad = loss.value_and_grad(x, y, grad_output=upstream)
                    assert grad.shape == shape
                    if reduction == "none":
                        assert value.shape == both
                    continue
                value, grad = loss.value_and_grad(x, y, grad_output=upstream)
                exact = reference(loss, x, y, None, upstream)
                assert np.shape(value) == np.shape(exact.value)
                assert grad.shape == shape
                count = np.prod(both) / max(np.prod(shape), 1)
                assert_close(value, exact.value, exact.value_terms, 4 + np.sqrt(np.prod(both)), "value")
                assert_close(grad, exact.grad, exact.grad_terms, 4 + np.sqrt(count), "grad")
                for threads in (1, 2, 3):
                    again = loss.value_and_grad(x, y, grad_output=upstream, n_threads=threads)
                    assert same_bits(again[0], value)
                    assert same_bits(again[1], grad)
                if both:
                    rows = rng.integers(1, 8, both[0]) / 4
                    value, grad = loss.value_and_grad(x, y, sample_weight=rows, grad_output=upstream)
                    exact = reference(loss, x, y, rows, upstream)
                    assert_close(value, exact.value, exact.value_terms, 4 + np.sqrt(np.prod(both)), "value")
                    assert_close(grad, exact.grad, exact.grad_terms, 4 + np.sqrt(count), "grad")
                    hess = loss.grad_and_hess(x, y)[1]
                    assert same_bits(hess, np.zeros(shape, dtype))
        out = np.empty(shape)
        x = input_of(shape, "float64", rng, cls)
        if 0 not in both:
            assert cls(reduction="sum").grad(x, y, out=out) is out
            assert same_bits(out, cls(reduction="sum").grad(x, y))


@pytest.mark.parametrize("cls", [cls for cls in dense if cls.declaration.family != "element"], ids=name)
def test_a_mask_of_rows_changes_no_other_row(cls):
    """Not even by what a row is divided by, its columns."""
    rng = np.random.default_rng(0)
    x, y, mask = rng.random((6, 5)), target_of(cls, (6, 5), rng), np.array([True, False, True, True, False, True])
    loss = cls(reduction="none")
    np.testing.assert_array_equal(loss(x, y, mask=mask), np.where(mask, loss(x, y), 0))
    np.testing.assert_array_equal(loss.grad(x, y, mask=mask), np.where(mask[:, None], loss.grad(x, y), 0))
    assert cls()(x, y, mask=mask) == pytest.approx(cls()(x[mask], y[mask]), rel=1e-14)


def test_infinite_sums_of_weights_and_ids_beyond_any():
    loss = lossext.MSELoss(reduction="weighted_mean", weight=np.inf)
    np.testing.assert_array_equal(loss.grad([1.0, 2.0], [0.0, 2.0]), [0, 0])
    far = lossext.CrossEntropyLoss(ignore_index=10**400)
    assert far([[0.0, 0.0]], [1]) == pytest.approx(np.log(2))


def test_residual_curvature_under_a_negative_upstream_gradient():
    x, y = np.array([[0.5, -1.0, 2.0]]), np.array([[0.2, 0.5, 0.3]])
    loss = lossext.CrossEntropyLoss()
    there = loss.grad_and_hess(x, y, curvature="residual")[1]
    np.testing.assert_array_equal(loss.grad_and_hess(x, y, curvature="residual", grad_output=-1.0)[1], -there)


@every_loss
def test_nothing_near_the_start_is_lower(cls):
    """Of losses that declare a constant to start from; the others refuse."""
    rng = np.random.default_rng(6)
    shape = (40, 3) if matrix_only(cls) else (40,)
    y, weight = target_of(cls, shape, rng), rng.integers(1, 8, 40) / 4
    for loss in losses_for(cls, shape, rng, 8, weight=None, reduction="sum"):
        if cls.declaration.start is None:
            with pytest.raises(TypeError, match=f"{cls.__name__} .*no constant to start from"):
                loss.init_raw(y, weight)
            continue
        start = np.asarray(loss.init_raw(y, weight))
        assert start.shape == shape[1:]
        # probabilities count from 1e-15 on
        domain = loss._input_domain or InputDomain("", -_start.LARGEST_LOG_ODDS, _start.LARGEST_LOG_ODDS)
        least = loss(np.broadcast_to(start, shape), y, sample_weight=weight)
        for step in rng.choice([1e-3, 0.1, 1.0], 30)[:, np.newaxis] * rng.standard_normal((30, start.size)):
            raw = np.clip(start + step.reshape(start.shape), domain.low, domain.high)
            assert loss(np.broadcast_to(raw, shape), y, sample_weight=weight) >= least * (1 - 1e-12), (loss, raw)
