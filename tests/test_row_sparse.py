"""RowSparse."""

import copy
import pickle
import re

import numpy as np
import pytest

import lossext as lx
from lossext._kernels import drivers
from lossext.row_sparse import ProductSparse, block_of, product


def sparse(rows=50, length=7, total=200, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.choice(total, rows, replace=False))
    return lx.RowSparse(indices, rng.normal(size=(rows, length)).astype(dtype), (total, length))


def test_repeated_rows_are_merged_in_order():
    g = lx.RowSparse([3, 1, 3, 0, 3], [[1.0], [2], [4], [8], [16]], (5, 1))
    np.testing.assert_array_equal(g.indices, [0, 1, 3])
    np.testing.assert_array_equal(g.values, [[8], [2], [21]])
    np.testing.assert_array_equal(g.to_dense(), [[8], [2], [0], [21], [0]])
    assert repr(g) == "RowSparse(3 rows of shape (5, 1), float64)"


def test_rows_of_any_rank():
    for shape in ((4,), (4, 2), (4, 2, 3)):
        values = np.ones((2, *shape[1:]))
        g = lx.RowSparse([1, 3], values, shape)
        array = np.zeros(shape)
        g.add_to(array)
        np.testing.assert_array_equal(array, g.to_dense())
        assert array.sum() == values.sum()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("into", ["float16", "float32", "float64", ">f8"])
@pytest.mark.parametrize("length", [1, 7, 64, 100])
def test_add_to(dtype, into, length):
    g = sparse(dtype=dtype, length=length)
    array = np.ones(g.shape, into)
    g.add_to(array, scale=-0.5)
    bound = 2e-3 if "float16" in (dtype, into) else 2e-7 if "float32" in (dtype, into) else 1e-15
    np.testing.assert_allclose(array.astype(float), 1 - 0.5 * g.to_dense().astype(float), rtol=0, atol=bound)
    untouched = np.setdiff1d(np.arange(len(array)), g.indices)
    assert (array[untouched] == 1).all()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_add_to_a_view(n_threads):
    g = sparse()
    wide = np.zeros((200, 14))
    g.add_to(wide[:, ::2], n_threads=n_threads)
    np.testing.assert_array_equal(wide[:, ::2], g.to_dense())
    array = np.zeros(g.shape)
    g.add_to(array, n_threads=n_threads)
    np.testing.assert_array_equal(array, g.to_dense())


def test_nothing_to_add():
    g = lx.RowSparse(np.empty(0, int), np.empty((0, 3)), (5, 3))
    array = np.ones((5, 3))
    g.add_to(array)
    assert (array == 1).all()
    assert not g.to_dense().any()


READ_ONLY = np.zeros((5, 2))
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "indices[1] = 5 is not in [0, 5)", lambda: lx.RowSparse([1, 5], np.ones((2, 2)), (5, 2))),
        (ValueError, "indices[0] = -1 is not in [0, 5)", lambda: lx.RowSparse([-1, 4], np.ones((2, 2)), (5, 2))),
        (TypeError, "indices has dtype float64", lambda: lx.RowSparse([1.0], np.ones((1, 2)), (5, 2))),
        (ValueError, "indices has shape (1,) and values (2, 2)", lambda: lx.RowSparse([1], np.ones((2, 2)), (5, 2))),
        (TypeError, "values has dtype complex128", lambda: lx.RowSparse([1], np.ones((1, 2)) * 1j, (5, 2))),
        (TypeError, "array must be a numpy.ndarray, not list", lambda: sparse().add_to([[1.0]])),
        (TypeError, "array has dtype int64", lambda: sparse().add_to(np.zeros((200, 7), int))),
        (ValueError, "array has shape (5, 2); allowed is (200, 7)", lambda: sparse().add_to(np.zeros((5, 2)))),
        (ValueError, "array is read-only", lambda: lx.RowSparse([1], [[1, 2]], (5, 2)).add_to(READ_ONLY)),
        (ValueError, "scale = nan is not a finite", lambda: sparse().add_to(np.zeros((200, 7)), scale=np.nan)),
        (TypeError, "scale must be a real number", lambda: sparse().add_to(np.zeros((200, 7)), scale="1")),
        (ValueError, "n_threads = 0", lambda: sparse().add_to(np.zeros((200, 7)), n_threads=0)),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 7, 64, 100])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_optimisers(dtype, length, n_threads):
    """A few steps of each, against the formulas on whole arrays."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(200, length)).astype(dtype)
    bound = {"float32": 1e-5, "float64": 1e-13}[dtype]
    gradients = [sparse(length=length, dtype=dtype, seed=seed) for seed in range(4)]
    touched = [np.isin(np.arange(200), g.indices)[:, None] for g in gradients]

    array = start.copy()
    for g in gradients:
        g.sgd(array, 0.1, n_threads=n_threads)
    np.testing.assert_allclose(array, start - 0.1 * sum(np.float64(g.to_dense()) for g in gradients), atol=bound)

    array, squares = start.copy(), np.full_like(start, 0.1)
    right, sums = np.float64(start), np.full(start.shape, 0.1)
    for g in gradients:
        g.adagrad(array, squares, 0.5, 1e-3, n_threads=n_threads)
        dense = np.float64(g.to_dense())
        sums += dense**2
        right -= 0.5 * dense / (np.sqrt(sums) + 1e-3)
    np.testing.assert_allclose(array, right, atol=bound)
    np.testing.assert_allclose(squares, sums, atol=10 * bound)

    array, mean, squares = start.copy(), np.zeros_like(start), np.zeros_like(start)
    right, first, second = np.float64(start), np.zeros(start.shape), np.zeros(start.shape)
    for step, (g, here) in enumerate(zip(gradients, touched, strict=True), 1):
        g.adam(array, mean, squares, step, 0.05, (0.8, 0.95), n_threads=n_threads)
        dense = np.float64(g.to_dense())
        first = np.where(here, 0.8 * first + 0.2 * dense, first)
        second = np.where(here, 0.95 * second + 0.05 * dense**2, second)
        rate = 0.05 * np.sqrt(1 - 0.95**step) / (1 - 0.8**step)
        right -= np.where(here, rate * first / (np.sqrt(second) + 1e-8), 0)
    np.testing.assert_allclose(array, right, atol=bound)
    np.testing.assert_allclose(mean, first, atol=bound)
    np.testing.assert_allclose(squares, second, atol=bound)


def state(**changes):
    arrays = {"array": np.zeros((200, 7)), "mean": np.zeros((200, 7)), "squares": np.zeros((200, 7)), "step": 1}
    return {**arrays, **changes}


SHARED = np.zeros((200, 7))


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "step = 0 is not at least 1", state(step=0)),
        (TypeError, "step must be an int", state(step=1.0)),
        (ValueError, "betas = (0.9, 1.0) is not two numbers in [0, 1)", state(betas=(0.9, 1.0))),
        (ValueError, "betas = (0.9,) is not two numbers in [0, 1)", state(betas=(0.9,))),
        (TypeError, "mean has dtype float32; allowed is native float32 or float64, the same for all arrays",
         state(mean=np.zeros((200, 7), np.float32))),
        (TypeError, "array has dtype float16", state(array=np.zeros((200, 7), np.float16))),
        (TypeError, "squares must be a numpy.ndarray, not list", state(squares=[0])),
        (ValueError, "squares has shape (7,); allowed is (200, 7)", state(squares=np.zeros(7))),
        (ValueError, "mean is not C-contiguous", state(mean=np.zeros((7, 200)).T)),
        (ValueError, "mean shares memory with squares", state(mean=SHARED, squares=SHARED)),
        (ValueError, "learning_rate = inf is not a finite", state(learning_rate=np.inf)),
        (TypeError, "epsilon must be a real number", state(epsilon=None)),
    ],
)  # fmt: skip
def test_optimiser_errors(error, message, arguments):
    with pytest.raises(error, match=re.escape(message)):
        sparse().adam(**arguments)
    assert not any(a.any() for a in arguments.values() if isinstance(a, np.ndarray))


def test_a_step_costs_the_touched_rows():
    """Nothing of the layer's size is made."""
    import tracemalloc

    array, squares = np.zeros((1_000_000, 8)), np.zeros((1_000_000, 8))
    g = lx.RowSparse([5, 999_999], np.ones((2, 8)), array.shape)
    tracemalloc.start()
    g.adagrad(array, squares)
    g.add_to(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_arithmetic():
    a, b = sparse(seed=1), sparse(seed=2)
    np.testing.assert_allclose((a + b).to_dense(), a.to_dense() + b.to_dense())
    np.testing.assert_array_equal((2 * a).to_dense(), 2 * a.to_dense())
    np.testing.assert_array_equal((a * np.float32(0.5)).to_dense(), a.to_dense() / 2)
    np.testing.assert_array_equal((np.float64(0.5) * a).to_dense(), (a / 2).to_dense())
    np.testing.assert_array_equal((-a).to_dense(), -a.to_dense())
    assert a.norm() == pytest.approx(np.linalg.norm(a.to_dense()), rel=1e-14)
    assert sparse(dtype="float16").__mul__(2).values.dtype == np.float16
    clipped = a * min(1.0, 0.1 / a.norm())
    assert clipped.norm() == pytest.approx(0.1)
    assert lx.RowSparse([1], [[1e300, 1e300]], (2, 2)).norm() == pytest.approx(np.sqrt(2) * 1e300)
    assert lx.RowSparse([1], np.full((1, 2), 3e38, "f4"), (2, 2)).norm() == pytest.approx(np.sqrt(2) * 3e38)
    assert lx.RowSparse([], np.empty((0, 2)), (2, 2)).norm() == 0
    for call, error, message in (
        (lambda: a + sparse(length=6), ValueError, "shape (200, 6) cannot be added"),
        (lambda: a + 1, TypeError, "unsupported operand"),
        (lambda: a * np.ones(7), TypeError, "does not support ufuncs"),
        (lambda: a * np.nan, ValueError, "factor = nan"),
        (lambda: a / 0, ZeroDivisionError, "divided by 0"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            call()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol):
    a = sparse()
    b = pickle.loads(pickle.dumps(a, protocol))
    np.testing.assert_array_equal(a.to_dense(), b.to_dense())
    assert not b.indices.flags.writeable
    assert copy.deepcopy(a).shape == a.shape


def test_sums_of_integers_do_not_wrap():
    g = lx.RowSparse([1, 1, 1], np.full((3, 2), 100, np.int8), (2, 2))
    np.testing.assert_array_equal(g.values, [[300, 300]])
    assert lx.RowSparse([0, 0], [[True], [True]], (1, 1)).values.tolist() == [[2.0]]


def test_half_precision_tables_with_float32_state():
    rng = np.random.default_rng(0)
    for name, state in (("adagrad", ("squares",)), ("adam", ("mean", "squares"))):
        table = rng.normal(size=(200, 7)).astype(np.float16)
        right = table.astype(np.float32)
        mine, theirs = ({s: np.zeros((200, 7), np.float32) for s in state} for _ in range(2))
        for step in range(1, 4):
            g = sparse(seed=step, dtype="float32")
            more = {"step": step} if name == "adam" else {}
            getattr(g, name)(table, **mine, **more)
            getattr(g, name)(right, **theirs, **more)
            right = right.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(table, right.astype(np.float16))
        for s in state:
            np.testing.assert_array_equal(mine[s], theirs[s])


@pytest.mark.parametrize("name", ["adagrad", "adam"])
def test_epsilon_0(name):
    array, state = np.ones((5, 3)), {s: np.zeros((5, 3)) for s in ("mean", "squares")[name == "adagrad" :]}
    more = {"step": 1} if name == "adam" else {}
    g = lx.RowSparse([1, 3], [[0, 1, 0], [0, 0, np.nan]], (5, 3))
    getattr(g, name)(array, **state, **more, learning_rate=0.5, epsilon=0)
    np.testing.assert_allclose(array[1], [1, 0.5, 1])
    np.testing.assert_array_equal(array[3], [1, 1, np.nan])


def test_indices_are_its_own():
    indices = np.array([0, 1])
    g = lx.RowSparse(indices, np.ones((2, 3)), (2, 3))
    indices[0] = 10**9
    array = np.zeros((2, 3))
    g.add_to(array)
    assert (array == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        g.indices[0] = 10**9
    for name, value in (("indices", [1]), ("shape", (1, 30))):
        with pytest.raises(AttributeError):
            setattr(g, name, value)
    with pytest.raises(ValueError, match=r"values has shape \(1, 3\); allowed is \(2, 3\)"):
        g.values = g.values[:1]
    g.values *= 2
    assert (g.values == 2).all()


def test_values_that_are_part_of_the_table():
    buffer = np.ones((5, 3))
    g = lx.RowSparse([0, 1], buffer[1:3], (4, 3))
    with pytest.raises(ValueError, match="array shares memory with the values"):
        g.add_to(buffer[:4])
    assert (buffer == 1).all()


@pytest.mark.parametrize("name", ["array", "mean", "squares"])
def test_state_that_overlaps_the_values(name):
    buffer = np.ones((5, 2))
    g = lx.RowSparse([0, 1, 2, 3], buffer[1:], (4, 2))
    arrays = {key: np.zeros((4, 2)) for key in ("array", "mean", "squares")} | {name: buffer[:4]}
    with pytest.raises(ValueError, match=f"{name} shares memory with the values"):
        g.adam(**arrays, step=1)
    if name != "mean":
        with pytest.raises(ValueError, match=f"{name} shares memory with the values"):
            g.adagrad(arrays["array"], arrays["squares"])
    assert (buffer == 1).all()


def forced(**state):
    """As someone makes it who goes around the constructor."""
    g = lx.RowSparse([0, 1], np.ones((2, 3)), (2, 3))
    for name, value in state.items():
        setattr(g, f"_{name}", value)
    return g


class Liar(np.ndarray):
    """Says that it is larger than it is."""

    @property
    def shape(self):
        return (1000, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: forced(indices=np.array([0, 10**9])),
        lambda: forced(indices=np.array([-(10**9), 1])),
        lambda: forced(indices=np.array([1, 1])),
        lambda: forced(shape=(10**9, 3), indices=np.array([5, 10**8])),
        lambda: forced(shape=(2**62, 2**62)),
        lambda: forced(values=np.ones((1, 1))),
        lambda: forced(shape=(2, 30)),
        lambda: forced(shape=(1000, 3), indices=np.array([0, 999])),
    ],
)
@pytest.mark.parametrize("update", ["add_to", "adagrad"])
def test_games_with_attributes_are_errors(make, update):
    """Nothing outside of the arrays is read or written, whatever a RowSparse or an array says of itself."""
    g = make()
    for array in (np.zeros((2, 3)), np.zeros((2, 3)).view(Liar)):
        arrays = (array,) if update == "add_to" else (array, array.copy())
        with pytest.raises((ValueError, TypeError, MemoryError, IndexError)):
            getattr(g, update)(*arrays)


def test_sum_takes_gradients():
    a, b = (
        lx.RowSparse([3, 1], [[1.0, 2.0], [3.0, 4.0]], (5, 2)),
        lx.RowSparse([1, 4], [[5.0, 6.0], [7.0, 8.0]], (5, 2)),
    )
    np.testing.assert_array_equal(sum([a, b, a]).to_dense(), 2 * a.to_dense() + b.to_dense())
    for other in (1, 0.0, None, "0", np.zeros((5, 2))):
        with pytest.raises(TypeError):
            other + a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 7, 40, 300])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_products_of_sparse_rows(dtype, length, n_threads):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(500, length)).astype(dtype)
    for density in (0.0, 0.02, 1.0):
        rows = scipy_sparse.random_array((130, 500), density=density, rng=rng, dtype=dtype, format="csr")
        found = product(rows, dense, n_threads)
        assert found.dtype == dtype
        bound = {"float32": 2e-6, "float64": 1e-14}[dtype] * (np.abs(rows.toarray()) @ np.abs(dense) + 1)
        assert (np.abs(found - np.float64(rows.toarray()) @ dense) <= bound).all()
        np.testing.assert_array_equal(found, product(rows, dense, 1))  # whatever the number of threads


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_columns", [None, 3, 40, 200])
@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_steps_on_products(dtype, n_columns, name):
    """As with the product made dense, in some rows and columns; others stay as they are."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    shape = (90, 200)
    rows = np.sort(rng.permutation(90)[:30])
    columns = None if n_columns is None else np.sort(rng.permutation(200)[:n_columns])
    where = np.ix_(rows, np.arange(200) if columns is None else columns)
    arrays = [rng.random(shape).astype(dtype) for _ in range({"sgd": 1, "adagrad": 2, "adam": 3}[name])]
    expected = [np.float64(a) for a in arrays]
    step = {"step": 3} if name == "adam" else {}
    if columns is not None:
        np.testing.assert_array_equal(block_of(arrays[0], rows, columns), arrays[0][where])
    for _ in range(2):
        sparse_part = scipy_sparse.random_array((30, 20), density=0.2, rng=rng, dtype=dtype, format="csr")
        dense = rng.normal(size=(20, len(where[1][0]))).astype(dtype)
        grad = ProductSparse.of(rows, columns, sparse_part, dense, 0.5, shape)
        getattr(grad, name)(*arrays, **step, learning_rate=0.1)
        values = np.float64(sparse_part.toarray()) @ dense + 0.5 * expected[0][where]
        block = [a[where] for a in expected]
        getattr(lx.RowSparse(np.arange(30), values, values.shape), name)(*block, **step, learning_rate=0.1)
        for whole, part in zip(expected, block, strict=True):
            whole[where] = part
    for found, right in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(found, right, atol={"float32": 1e-5, "float64": 1e-13}[dtype])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": 9}, "rule = 9 is unknown"),
        ({"columns": None}, "columns must not be None"),
        ({"columns": np.array([1, 7])}, r"columns\[1\] = 7: not ascending, or not in \[0, 7\)"),
        ({"columns": np.array([1, 1])}, "not ascending"),
        ({"indices": np.array([5, 1])}, "not ascending"),
        ({"values": np.zeros((1, 1))}, "values holds 8 bytes"),
        ({"param": np.zeros((10, 6))}, "array holds 480 bytes"),
        ({"rule": drivers.PRODUCT}, "start must not be None"),
        ({"rule": drivers.ADD}, "columns and penalty go with a product"),
        ({"rule": drivers.ADD, "values": None}, "must have values or else a product"),
        ({"rule": drivers.ADAGRAD}, "second must not be None"),
        ({"rule": drivers.ADD, "values": None, "start": np.array([0, 1, 1])}, "must have start, entries"),
    ],
)
def test_operands_that_do_not_fit_are_errors(changes, message):
    job = drivers.RowUpdate()
    operands = {
        "real_type": 1, "rule": drivers.TAKE, "rows": 10, "length": 7, "indices": np.array([1, 5]),
        "columns": np.array([1, 6]), "values": np.zeros((2, 2)), "param": np.zeros((10, 7)),
    }  # fmt: skip
    for name, value in {**operands, **changes}.items():
        setattr(job, name, value)
    with pytest.raises((TypeError, ValueError), match=message):
        job.run(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": np.array([0, 3, 1])}, "start"),
        ({"start": np.array([0, 2, 1])}, r"start\[1\] = 2 is greater than start\[2\] = 1"),
        ({"start": np.array([0, 2, -(2**60)])}, r"not in \[0, 3\)"),
        ({"start": np.array([], np.int64)}, "start has length 0"),
        ({"entries": np.array([0, 3])}, r"entries\[1\] = 3: not in \[0, 3\)"),
        ({"entries": np.array([0, -1])}, r"entries\[1\] = -1"),
        ({"factors": np.ones(1)}, "factors holds 8 bytes"),
        ({"dense": np.ones((3, 3))}, "dense holds 72 bytes"),
        ({"values": np.ones((1, 4))}, "values holds 32 bytes"),
    ],
)
def test_products_that_do_not_fit_are_errors(changes, message):
    job = drivers.RowUpdate()
    operands = {
        "real_type": 1, "rule": drivers.PRODUCT, "length": 4, "start": np.array([0, 1, 2]), "entries": np.array([0, 2]),
        "factors": np.ones(2), "dense": np.ones((3, 4)), "n_dense": 3, "values": np.zeros((2, 4)),
    }  # fmt: skip
    for name, value in {**operands, **changes}.items():
        setattr(job, name, value)
    with pytest.raises((TypeError, ValueError), match=message):
        job.run(1)
