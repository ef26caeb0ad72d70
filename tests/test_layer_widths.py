"""Any width, number of rows and of classes: packed and unpacked products, slices, tiles; against NumPy."""

import subprocess
import sys

import numpy as np
import pytest

import lossext as lx
from lossext._kernels import drivers

# about the edges of slices (2048), of depth (256, 512), of few rows and classes (4, 16) and of vectors
SHAPES = [
    (1, 1, 0),
    (3, 5, 0),
    (1, 300, 33),
    (4, 7, 31),
    (5, 200, 255),
    (16, 10, 1024),
    (17, 17, 257),
    (17, 400, 513),
    (30, 20, 2048),
    (40, 30, 2049),
    (100, 200, 4096),
    (33, 18, 5000),
    (2, 3, 70_001),
    (20, 19, 20_011),
]


@pytest.fixture(params=drivers.isa_levels())
def isa(request):
    before = drivers.isa()
    drivers.set_isa(request.param)
    yield request.param
    drivers.set_isa(before)


@pytest.mark.parametrize(("rows", "classes", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_widths(rows, classes, dim, dtype, isa):
    rng = np.random.default_rng(0)
    w, b, x = (rng.normal(size=s).astype(dtype) for s in ((classes, dim), classes, (rows, dim)))
    x /= np.sqrt(max(dim, 1)).astype(dtype)
    labels = rng.integers(classes, size=rows)
    exact = [a.astype(np.float64) for a in (w, b, x)]
    z = exact[2] @ exact[0].T + exact[1]
    lse = np.logaddexp.reduce(z, axis=1)
    p = np.exp(z - lse[:, None])
    loss = lse - z[np.arange(rows), labels]
    p[np.arange(rows), labels] -= 1
    bound = {"float32": 2e-5, "float64": 1e-12}[dtype]
    value, grad = lx.LinearSoftmaxLoss("none").value_and_grad(w, b, labels, x, grad_output=np.ones(rows))
    np.testing.assert_allclose(value, loss, atol=bound * max(1, abs(z).max()))
    for mine, right in zip(grad, (p.T @ exact[2], p.sum(0), p @ exact[0]), strict=True):
        np.testing.assert_allclose(mine, right, rtol=0, atol=bound * max(1, abs(right).max(initial=0)))
    np.testing.assert_array_equal(lx.LinearSoftmaxLoss("none")(w, b, labels, x), value)
    k = min(5, classes)
    values, ids = lx.topk(w, b, x, k)
    np.testing.assert_allclose(values, -np.sort(-z, axis=1)[:, :k], atol=bound * max(1, abs(z).max()))
    np.testing.assert_allclose(np.take_along_axis(z, ids, 1), values, atol=bound * max(1, abs(z).max()))
    if classes > 3:
        everything = np.arange(classes), np.ones((rows, 1)), np.ones(classes)
        sampled = lx.SampledSoftmaxLoss(1, classes)
        value, grad = sampled.value_and_grad(w, b, labels, x, sampled_values=everything)
        np.testing.assert_allclose(value, loss, atol=bound * max(1, abs(z).max()))
        np.testing.assert_allclose(grad.inputs, p @ exact[0], atol=bound * max(1, abs(exact[0]).max(initial=0)))
        np.testing.assert_allclose(grad.weights.to_dense(), p.T @ exact[2], atol=bound)


# few rows or few classes: several blocks of rows, several tiles, all classes in two passes over waves
FEW = [(200, 10, 131), (97, 16, 256), (7, 450, 140), (3, 40_000, 130), (1, 1, 300)]


@pytest.mark.parametrize(("rows", "classes", "dim"), FEW)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_or_classes(rows, classes, dim, dtype, isa):
    """Ragged labels with weights, smoothing, an upstream gradient of both signs, rows without weight."""
    rng = np.random.default_rng(1)
    w, b, x = (rng.normal(size=s).astype(dtype) for s in ((classes, dim), classes, (rows, dim)))
    x /= np.sqrt(dim).astype(dtype)
    labels = np.sort(rng.integers(classes, size=(rows, 3)), axis=1)
    labels[:, 1:][labels[:, 1:] == labels[:, :-1]] = -1
    labels[0, 0] = max(labels[0, 0], 0)
    target = np.zeros((rows, classes))
    for i, some in enumerate(labels):
        target[i, some[some >= 0]] = 1
    upstream, weight = rng.normal(size=rows), rng.random(rows) * (np.arange(rows) % 4 != 1)
    wide = [a.astype(np.float64) for a in (w, b, x)]
    z, factor = wide[2] @ wide[0].T + wide[1], (upstream * weight)[:, None]
    bound = {"float32": 2e-5, "float64": 1e-12}[dtype]

    def check(result, loss, slope):
        value, grad = result
        np.testing.assert_allclose(value, weight * loss, rtol=bound, atol=bound)
        for mine, right in zip(grad, (slope.T @ wide[2], slope.sum(0), slope @ wide[0]), strict=True):
            np.testing.assert_allclose(mine, right, rtol=0, atol=bound * max(1, abs(right).max()))

    loss = (np.logaddexp(0, z) - target * z).sum(axis=1)
    options = {"sample_weight": weight, "grad_output": upstream}
    bce = lx.LinearBCELoss(reduction="none").value_and_grad(w, b, labels, x, **options)
    check(bce, loss, factor * (np.exp(-np.logaddexp(0, -z)) - target))
    lse = np.logaddexp.reduce(z, axis=1)[:, None]
    first = labels.max(axis=1)
    target = np.full((rows, classes), 0.1 / classes)
    target[np.arange(rows), first] += 0.9
    softmax = lx.LinearSoftmaxLoss("none", label_smoothing=0.1).value_and_grad(w, b, first, x, **options)
    check(softmax, (target * (lse - z)).sum(axis=1), factor * (np.exp(z - lse) - target))


@pytest.mark.parametrize(("rows", "classes", "dim"), [(100, 200, 4096), (10, 3000, 5000), (300, 20, 3000)])
def test_wide_layers_have_the_same_bits_for_any_number_of_threads(rows, classes, dim):
    rng = np.random.default_rng(0)
    w, b, x = (rng.normal(size=s).astype("f4") for s in ((classes, dim), classes, (rows, dim)))
    labels = rng.integers(classes, size=rows)
    one, *many = (lx.LinearSoftmaxLoss().value_and_grad(w, b, labels, x, n_threads=n) for n in (1, 2, 5))
    for other in many:
        for mine, right in zip((other[0], *other[1]), (one[0], *one[1]), strict=True):
            np.testing.assert_array_equal(mine, right)


GAMES = """
import sys, threading, time
import numpy as np, lossext as lx
rng = np.random.default_rng(0)
w, b, x = rng.normal(size=(5000, 16)).astype("f4"), np.zeros(5000, "f4"), rng.normal(size=(500, 16)).astype("f4")
labels, sampled = rng.integers(5000, size=500), rng.integers(5000, size=200)
history = rng.integers(5000, size=(500, 20))
table = np.zeros((500, 4))
g = lx.RowSparse(np.arange(500), np.ones((500, 4)), (500, 4))
stop = False

def disturb():
    far = 2**40
    while not stop:
        for array in (labels, sampled, history):
            array[...] = far
            array[...] = -far
            array[...] = rng.integers(5000, size=array.shape)

def call(what):
    if what == "linear": lx.LinearSoftmaxLoss().value_and_grad(w, b, labels, x, n_threads=2)
    if what == "bce": lx.LinearBCELoss().value_and_grad(w, b, labels[:, None], x, n_threads=2)
    if what == "topk": lx.topk(w, b, x, 5, exclude=history)
    if what == "twins": lx.InBatchSoftmaxLoss().value_and_grad(x, x, item_ids=labels, n_threads=2)
    if what == "learned": sampler.sample(labels, 20)
    if what == "sampled":
        values = sampled, np.ones((500, 1)), np.ones(200)
        lx.SampledSoftmaxLoss(1, 5000).value_and_grad(w, b, labels, x, sampled_values=values, exclude=history)
    if what == "own": lx.SampledSoftmaxLoss(20, 5000).value_and_grad(w, b, labels, x)

sampler = lx.samplers.LearnedUnigramSampler(5000) if hasattr(lx, "samplers") else None
if sampler is None:
    import lossext.samplers
    sampler = lossext.samplers.LearnedUnigramSampler(5000)
thread = threading.Thread(target=disturb)
thread.start()
done = 0
end = time.monotonic() + 1.5
while time.monotonic() < end:
    for what in ("linear", "bce", "topk", "twins", "learned", "sampled", "own"):
        try:
            call(what)
            done += 1
        except ValueError as error:
            assert " is not in [0, 5000)" in str(error), error
stop = True
thread.join()
print(done)
"""


def test_arrays_that_another_thread_changes():
    """Labels and classes are copied before they are checked: at worst an error, never memory outside."""
    result = subprocess.run([sys.executable, "-c", GAMES], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0


def test_arrays_that_lie_about_their_shape():
    class Liar(np.ndarray):
        said = ()

        @property
        def shape(self):
            return self.said

    def lie(array, shape):
        liar = array.view(Liar)
        liar.said = shape
        return liar

    w, b, x = np.zeros((10, 4)), np.zeros(10), np.zeros((3, 4))
    for arrays in (
        (lie(w, (10**6, 4)), lie(b, (10**6,)), [0, 5, 10**5], x),
        (w, b, [0, 1, 2] * 1000, lie(x, (3000, 4))),
    ):
        for call in (lx.LinearSoftmaxLoss().value_and_grad, lx.SampledSoftmaxLoss(2, len(arrays[0])).value_and_grad):
            with pytest.raises((ValueError, IndexError, TypeError)):
                call(*arrays)
    value = lx.LinearSoftmaxLoss()(lie(w, (10, 2**20)), b, [0, 1, 2], lie(x, (3, 2**20)))
    assert value == lx.LinearSoftmaxLoss()(w, b, [0, 1, 2], x)


def test_a_sampler_that_resizes_the_weights():
    w, b, x = np.zeros((1000, 4)), np.zeros(1000), np.zeros((3, 4))

    class Sampler:
        def sample(self, labels, num_sampled):
            w.resize((1, 4), refcheck=False)
            return np.array([990, 3]), np.ones(np.shape(labels)), np.ones(2)

    with pytest.raises(ValueError, match="weights holds 32 bytes; its shape asks for 32000"):
        lx.SampledSoftmaxLoss(2, 1000, sampler=Sampler())(w, b, [900, 5, 6], x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_subnormal_number_enters_a_product(dtype):
    """Logits far apart: probabilities whose products could be subnormal are 0, and cost no more than others."""
    tiny, least = np.finfo(dtype).tiny, np.finfo(dtype).tiny / np.finfo(dtype).epsneg
    b = (np.log(tiny) + np.linspace(-20, 60, 801)).astype(dtype)
    b[0] = 0
    w, x = np.ones((801, 1), dtype), np.zeros((2, 1), dtype)
    for loss in (lx.LinearSoftmaxLoss("sum"), lx.LinearBCELoss(reduction="sum")):
        labels = [0, 0] if isinstance(loss, lx.LinearSoftmaxLoss) else [[0], [0]]
        grad = loss.grad(w, b, labels, x)
        small = np.abs(grad.biases[1:])
        right = 2 * np.exp(b[1:].astype(float))
        assert ((small == 0) | (small >= least)).all()
        np.testing.assert_allclose(small[right > 2.1 * least], right[right > 2.1 * least], rtol=1e-4)
