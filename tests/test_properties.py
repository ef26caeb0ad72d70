"""Any array, any parameter: a right answer or a documented error (hypothesis)."""

import numpy as np
import pytest
from cases import (
    TARGET_DTYPES,
    dense,
    kind_of,
    matrix_only,
    name,
    parameters_of,
    plain,
    roundings,
    takes_part_of_the_line,
    target_of,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from twins import assert_close, real_type, reference

pytestmark = pytest.mark.filterwarnings("error")
every_loss = pytest.mark.parametrize("cls", dense, ids=name)

real_dtypes = st.sampled_from(["float16", "float32", "float64"])
reductions = st.sampled_from(["none", "mean", "sum"])
any_dtype = st.sampled_from(
    ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8", ">u8", "c8", "O", "U3"]
)


def inputs(cls, dtype, shape, ordinary=False):
    width = np.dtype(dtype).itemsize * 8
    if takes_part_of_the_line(cls):
        elements = st.integers(1, 31).map(lambda i: i / 32)
    elif ordinary:
        elements = st.integers(-160, 160).map(lambda i: i / 8)
    else:
        elements = st.floats(width=width) | st.integers(-20, 20).map(float)
    return hnp.arrays(dtype, shape, elements=elements)


def shapes(cls, **bounds):
    if matrix_only(cls):
        return st.tuples(st.integers(0, 6), st.integers(1, 9))
    return hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)


def parameters(cls):
    """Any valid parameters but weights."""
    known = {
        "p": st.sampled_from([1, 2]),
        "margin": st.floats(-100, 100) | st.integers(-5, 5),
        "reduction": reductions,
    }
    return st.fixed_dictionaries({key: known[key] for key in parameters_of(cls) if key in known})


@st.composite
def calls(draw, cls, ordinary=False):
    """(loss, input, target, keywords): all good."""
    dtype = draw(real_dtypes)
    shape = draw(shapes(cls))
    x = draw(inputs(cls, dtype, shape, ordinary))
    y = target_of(cls, shape, np.random.default_rng(draw(st.integers(0, 99))))
    y = y.astype(draw(st.sampled_from([d for d in TARGET_DTYPES[kind_of(cls)] if d != "bool"])))
    eighths = st.integers(1, 24).map(lambda i: i / 8)
    weights = {}
    for key in cls.declaration.weights:
        if draw(st.booleans()):
            layout = shape[1:] if kind_of(cls) == "class" else draw(layouts_of(shape))
            weights[key] = draw(hnp.arrays("f8", layout, elements=eighths))
    keywords = {}
    if shape and draw(st.booleans()):
        keywords["sample_weight"] = draw(hnp.arrays("f4", shape[:1], elements=eighths))
    loss = cls(**draw(parameters(cls)), **weights)
    keywords["n_threads"] = draw(st.sampled_from([None, 1, 2]))
    return loss, x, y, keywords


def layouts_of(shape):
    """Shapes that broadcast to `shape`."""
    kept = st.integers(0, len(shape))
    mask = st.lists(st.booleans(), min_size=len(shape), max_size=len(shape))
    return st.builds(lambda k, m: tuple(n if keep else 1 for n, keep in zip(shape, m, strict=True))[k:], kept, mask)


@every_loss
@given(data=st.data())
def test_any_numbers(cls, data):
    """NaN, infinities, denormals, the largest numbers: what the twin says, value and gradient."""
    loss, x, y, keywords = data.draw(calls(cls))
    assume(
        not (matrix_only(cls) and x.shape[1] == 1 and np.isnan(x).any())
    )  # no other class, nothing that depends on x
    before = x.tobytes(), y.tobytes()
    with np.errstate(all="ignore"):
        value, grad = loss.value_and_grad(x, y, **keywords)
    assert (x.tobytes(), y.tobytes()) == before
    exact = reference(loss, x, y, keywords.get("sample_weight"))
    extra = roundings(loss, sample_weight=keywords.get("sample_weight"))
    largest, limit = float(np.max(np.abs(x[np.isfinite(x)]), initial=0)), float(np.finfo(real_type(x.dtype)).max)
    sums = x.dtype == np.float64 or loss.declaration.value_by_row
    grows = getattr(loss, "p", 1) == 2 or not hasattr(loss, "p")  # maybe as a square
    if (largest > limit / 1e6 and sums) or (largest > limit**0.5 / 1e6 and grows):
        return  # sums, or squares, may overflow on the way to a result that does not
    if not np.all(abs(exact.value_terms) < limit / 1e6) or not np.all(abs(exact.grad_terms) < limit / 1e6):
        return  # so may exponentials
    ulps = loss.declaration.value_ulp + extra + (0 if loss.reduction == "none" else 1 + np.sqrt(x.size))
    assert_close(value, exact.value, exact.value_terms, ulps, "value")
    assert_close(grad, exact.grad, exact.grad_terms, loss.declaration.grad_ulp + extra, "grad")


@every_loss
@given(data=st.data())
def test_any_target(cls, data):
    """Whatever the target holds, in whatever type: right if all of it is in the domain, else an error that says so."""
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dtype = np.dtype(data.draw(any_dtype))
    kind = kind_of(cls)
    target_shape = shape[:1] if kind == "class" else shape
    simple = st.sampled_from([0, 1]) | st.sampled_from([-1, 2, 1])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        simple = simple.filter(lambda i: i >= info.min)
        elements = simple if data.draw(st.booleans()) else simple | st.integers(int(info.min), int(info.max))
    elif dtype.kind == "f":
        elements = simple.map(float)
        if data.draw(st.booleans()):
            elements |= st.floats(width=dtype.itemsize * 8) | st.floats(0, 1, width=dtype.itemsize * 8)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        elements = simple.map(str) if dtype.kind == "U" else simple
    y = data.draw(hnp.arrays(dtype, target_shape, elements=elements))
    x = data.draw(inputs(cls, data.draw(st.sampled_from(["float32", "float64"])), shape, ordinary=True))
    loss = plain(cls, reduction=data.draw(reductions), p=data.draw(st.sampled_from([1, 2])))

    wrong_type = dtype.kind not in {"sign": "iuf", "class": "iu", "labels": "iu"}.get(kind, "biuf")
    if wrong_type:
        with pytest.raises(TypeError, match=r"\btarget\b"):
            loss.value_and_grad(x, y)
        return
    with np.errstate(all="ignore"):
        finite = np.isfinite(y.astype(x.dtype)) if dtype.kind in "biuf" else True
        inside = {
            "unit": lambda: (y >= 0) & (y <= 1),
            "sign": lambda: (y == 1) | (y == -1 if dtype.kind != "u" else False),
            "class": lambda: (y >= 0) & (y < shape[1]),
            "labels": lambda: ((y >= 0) & (y < shape[1])) | (np.cumsum(y == -1, axis=1) > 0),
            "real": lambda: finite,
            "non_negative": lambda: finite & (y >= 0),
            "positive": lambda: finite & (y.astype(x.dtype) > 0),
            "log_probability": lambda: finite | (y == -np.inf),
        }[kind]()
        slack = 4 * np.finfo(dtype if dtype.kind == "f" and dtype.itemsize > 2 else "f8").eps
        if kind == "unit" and np.any(~inside & (y >= -slack) & (y <= 1 + slack)):
            return  # counts as the bound
    if (
        kind not in ("unit", "sign", "class", "labels")
        and np.max(abs(y.astype(np.longdouble)), initial=0, where=inside) > 1e6
    ):
        return  # as large as may overflow on the way
    if not np.all(inside):
        with pytest.raises(ValueError, match=r"\btarget\[") as caught:
            loss.value_and_grad(x, y)
        index = tuple(map(int, str(caught.value).partition("[")[2].partition("]")[0].split(",")))
        assert not inside[index]
        return
    value, grad = loss.value_and_grad(x, y)
    exact = reference(loss, x, y)
    extra = roundings(loss, soft=True) + (0 if loss.reduction == "none" else 1 + np.sqrt(x.size))
    assert_close(value, exact.value, exact.value_terms, loss.declaration.value_ulp + extra, "value")
    assert_close(grad, exact.grad, exact.grad_terms, loss.declaration.grad_ulp + extra, "grad")


@every_loss
@given(data=st.data())
def test_any_shapes(cls, data):
    """Shapes meet as documented or are refused by name: nothing broadcasts silently."""
    small = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    shape = data.draw(small)
    kind = kind_of(cls)
    matching = shape[:1] if kind == "class" else shape
    target_shape = data.draw(st.just(matching) | small)
    weights = {key: data.draw(st.none() | layouts_of(shape) | small) for key in cls.declaration.weights}
    rows = data.draw(st.none() | st.just(shape[:1]) | small)
    x, y = np.zeros(shape), np.zeros(target_shape, int) if cls.declaration.takes_ids else np.ones(target_shape)

    def broadcasts(own):
        try:
            return np.broadcast_shapes(own, shape) == shape
        except ValueError:
            return False

    whole, wrong = shape, set()
    if matrix_only(cls) and (len(shape) != 2 or shape[1] == 0):
        wrong.add("input")
    elif cls.declaration.broadcasts:
        try:
            whole = np.broadcast_shapes(shape, target_shape)
        except ValueError:
            wrong.add("target")
    elif kind == "labels":
        wrong |= {"target"} if len(target_shape) != 2 or target_shape[0] != shape[0] else set()
    elif target_shape != matching and not (cls.declaration.soft_kernel and target_shape == shape):
        wrong.add("target")
    for key, own in weights.items():
        if own is not None and ((len(own) != 1 or own != shape[1:2]) if kind == "class" else not broadcasts(own)):
            wrong.add(key)
    if rows is not None and (not whole or rows != whole[:1]):
        wrong.add("sample_weight")
    given_weights = {key: np.ones(own) for key, own in weights.items() if own is not None}

    def call():
        loss = cls(reduction="none", **given_weights)
        return loss.value_and_grad(x, y, sample_weight=None if rows is None else np.ones(rows))

    if wrong:
        with pytest.raises(ValueError, match="|".join(wrong)):
            call()
    else:
        value, grad = call()
        assert grad.shape == shape
        assert np.shape(value) == (shape[:1] if cls.declaration.value_by_row else whole)


@every_loss
@given(data=st.data())
def test_any_memory(cls, data):
    """Slices, steps, transposes and byte orders of arrays give the bits of their copies."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 9)))
    dtype = data.draw(real_dtypes)

    def somewhere(a):
        order = data.draw(st.permutations(range(a.ndim)))
        steps = [data.draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in a.shape]
        offset = data.draw(st.integers(0, 3))
        kind = a.dtype.newbyteorder(data.draw(st.sampled_from("<>")))
        big = np.zeros([abs(steps[i]) * a.shape[i] + offset for i in order], kind)
        view = big.transpose(np.argsort(order))
        view = view[tuple(slice(offset, None, abs(s)) for s in steps)][
            tuple(slice(None, None, np.sign(s)) for s in steps)
        ]
        view = view[tuple(slice(0, n) for n in a.shape)]
        view[...] = a
        return view

    x = rng.standard_normal(shape).astype(dtype)
    if takes_part_of_the_line(cls):
        x = (0.5 + x / 16).astype(dtype)
    y = target_of(cls, shape, rng)
    weight = (rng.random(shape[1]) + 0.5).astype(dtype)
    expected = plain(cls, weight=weight).value_and_grad(x, y)
    got = plain(cls, weight=somewhere(weight)).value_and_grad(somewhere(x), somewhere(y))
    for one, other in zip(expected, got, strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@every_loss
@given(data=st.data())
def test_any_parameter(cls, data):
    """A loss is made, or TypeError or ValueError says which parameter is wrong."""
    numbers = st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.lists(st.floats(0, 1), max_size=3)
    others = st.none() | st.text(max_size=3) | st.binary(max_size=2) | st.builds(object) | st.builds(dict)
    anything = st.sampled_from([1, 2, "mean", "none"]) | numbers | others
    given_parameters = {key: data.draw(anything) for key in parameters_of(cls) if data.draw(st.booleans())}
    x = np.full((2, 3), 0.5)
    y = target_of(cls, x.shape, np.random.default_rng(0)) + (kind_of(cls) == "non_negative")  # whatever the power
    try:
        grad = cls(**given_parameters).grad(x, y)
    except (TypeError, ValueError) as error:
        message = str(error)
    else:
        for key, value in given_parameters.items():
            stored = getattr(cls(**given_parameters), key)
            assert stored is value or np.array_equal(stored, value)
        assert grad.shape == x.shape
        return
    by_column = "one column per parameter" in message or "columns of each row" in message  # of several outputs
    assert by_column or any(key in message for key in given_parameters), message


@every_loss
@given(data=st.data())
def test_value_falls_along_the_gradient(cls, data):
    """A small step against the gradient does not raise a convex loss."""
    loss, x, y, keywords = data.draw(calls(cls, ordinary=True))
    x = x.astype(np.float64)
    if loss.reduction == "none" or not x.size or takes_part_of_the_line(cls) or not cls.declaration.convex:
        return
    value, grad = loss.value_and_grad(x, y, **keywords)
    size = np.sum(grad * grad)
    # convexity: f(x - t g) >= f(x) - t |g|^2 for any t
    for t in (1e-3, 1.0, 10.0):
        lower = value - t * size
        with np.errstate(all="ignore"):
            moved = loss(x - t * grad, y, **keywords)
        assert moved >= lower - 1e-9 * (abs(value) + abs(lower) + t * size)
