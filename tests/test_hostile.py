"""Games with memory: each in a process of its own, which may end with an error but never by a signal.

A game ends with status 0 where what happened is what NumPy's users expect: a result, or an exception of a documented
kind.  Any other exception is status 1, and a crash a negative one.
"""

import os
import platform
import signal
import subprocess
import sys
import textwrap

import pytest

from lossext._kernels import drivers

PROLOGUE = """
import copy, gc, itertools, pickle, signal, sys, threading, time, warnings
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # what is too much is refused, and no one's memory taken
except ImportError:
    pass
import numpy as np
import lossext as lx
from lossext import samplers
from lossext._kernels import drivers

RNG = np.random.default_rng(0)
HONEST = (TypeError, ValueError, MemoryError, IndexError, OverflowError, pickle.PicklingError)


def tried(call, *arguments, **keywords):
    "The result, or None where an error says that it cannot be."
    try:
        return call(*arguments, **keywords)
    except HONEST:
        return None


def refused(call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except HONEST:
        return
    raise AssertionError(f"{call} took it")


class Liar(np.ndarray):
    "Says that it is larger than it is."
    lie = (1 << 20,)
    @property
    def shape(self):
        return self.lie
    @property
    def size(self):
        return int(np.prod(self.lie))
    def __len__(self):
        return self.lie[0]


def liar(array, shape):
    kind = type("Liar", (Liar,), {"lie": shape})
    return np.ascontiguousarray(array).view(kind)


class Turncoat:
    "Another array each time that somebody asks."
    def __init__(self, *arrays):
        self.arrays = itertools.cycle(arrays)
        self.shape = arrays[0].shape
    def __array__(self, dtype=None, copy=None):
        return next(self.arrays)


class Meddler:
    "An array that does something whenever it is asked for itself."
    def __init__(self, array, does):
        self.array, self.does = array, does
    @property
    def shape(self):
        return self.array.shape
    def __array__(self, dtype=None, copy=None):
        self.does()
        return self.array
    def __index__(self):
        self.does()
        return 2


def set_shape(array, shape):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # NumPy's advice against it
        try:
            array.shape = shape
        except ValueError:
            array.resize(shape, refcheck=False)


def changing(array, good, bad, seconds, call):
    "Calls while another thread writes good and bad numbers in turn."
    done = threading.Event()
    def write():
        while not done.is_set():
            array[...] = bad
            array[...] = good
    thread = threading.Thread(target=write)
    sys.setswitchinterval(1e-5)
    thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried(call)
    done.set()
    thread.join()


def dense(n=64, c=10):
    "(loss, input, target) of every dense loss"
    for cls in lx.registry():
        d = cls.declaration
        x = RNG.random((n, c))
        y = np.arange(n) % c if d.takes_ids else np.ones((n, c))
        yield cls(), x, np.stack([y, 0 * y - 1], axis=1) if d.target.kind == "labels" else y


def layer(v=1000, d=16, n=64, dtype=float):
    return RNG.normal(size=(v, d)).astype(dtype), np.zeros(v, dtype), RNG.normal(size=(n, d)).astype(dtype)
"""


def game(code, status=0, timeout=120, **environment):
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROLOGUE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )
    assert run.returncode == status, f"status {run.returncode}\n{run.stderr[-4000:]}"
    return run.stdout


GAMES = {
    "row_sparse: the caller's indices": """
        for dtype in ("i4", "i8", "u8", ">i8"):
            indices = np.array([0, 1], dtype)
            g = lx.RowSparse(indices, np.ones((2, 3)), (2, 3))
            indices[0] = 10**9
            table = np.zeros((2, 3))
            g.add_to(table)
            assert (table == 1).all() and g.to_dense().shape == (2, 3)
    """,
    "row_sparse: attributes": """
        def fresh():
            return lx.RowSparse([0, 1], np.ones((2, 3)), (2, 3))
        def updates(g):
            for shape in ((2, 3), (1000, 3)):
                table = np.zeros(shape)
                tried(g.add_to, table)
                tried(g.add_to, table.astype("f2"))
                tried(g.adagrad, table, np.zeros(shape))
                tried(g.adagrad, table.astype("f2"), np.zeros(shape, "f4"))
                tried(g.adam, table, np.zeros(shape), np.zeros(shape), 1)
                tried(g.to_dense), tried(g.norm), tried(repr, g), tried(lambda: g + g), tried(lambda: g * 2)
                tried(lambda: pickle.loads(pickle.dumps(g)).add_to(table))
        changes = {
            "_indices": [np.array([0, 10**9]), np.array([-10**9, 0]), np.array([1, 1]), np.array([1, 0]),
                         np.zeros(0, int),
                         np.array([0.0, 1e300]), None, "ab", np.array([[0], [10**9]]), np.array([0, 2**62]),
                         liar(np.array([0, 1]), (1000,)), np.arange(10**5), np.array([0, 1], "i1")],
            "_values": [np.ones((1, 1)), np.ones(()), None, np.ones((2, 3), "i8"), np.ones((3, 2)).T, "abc",
                        liar(np.ones((2, 3)), (1000, 3)), np.ones((2, 3), ">f8"), np.ones((2, 3), object)],
            "_shape": [(1, 30), (10**9, 3), (2**62, 2**62), (2**32, 2**32), (-1, 3), (), (2,), None, (2, -3), (2, 3.5),
                       (1000, 3), (2, 30), (2, 2**61)],
        }
        for name, values in changes.items():
            for value in values:
                g = fresh()
                setattr(g, name, value)
                try:
                    updates(g)
                except AttributeError:
                    pass
        g = fresh()
        g.indices.setflags(write=True)
        g.indices[:] = 0, 10**9
        updates(g)
        g = fresh()
        try:
            g.indices.setflags(write=True)
            g.indices.resize(10**5, refcheck=False)
            g.indices[:] = np.arange(10**5)
        except ValueError:
            pass
        updates(g)
        g = fresh()
        g.values.resize((1, 1), refcheck=False)
        updates(g)
        updates(lx.RowSparse.of_unique(np.array([5, 10**12]), np.ones((2, 3)), (2, 3)))
        hollow = lx.RowSparse.__new__(lx.RowSparse)
        for call in (repr, lambda g: g.add_to(np.zeros((2, 3))), lambda g: g.to_dense(), lambda g: g + g):
            try:
                call(hollow)
            except AttributeError:
                pass
    """,
    "row_sparse: unpickled": """
        g = lx.RowSparse([0, 1], np.ones((2, 3)), (2, 3))
        for protocol in range(6):
            text = pickle.dumps(g, protocol)
            for i in range(len(text)):
                for change in (1, 0x80):
                    bad = bytearray(text)
                    bad[i] ^= change
                    try:
                        h = pickle.loads(bytes(bad))
                    except Exception:
                        continue
                    if isinstance(h, lx.RowSparse) and h.values.nbytes < 1e6:
                        tried(h.add_to, np.zeros((2, 3)))
    """,
    "row_sparse: indices change during an update": """
        n = 20000
        g = lx.RowSparse(np.arange(n), np.ones((n, 8)), (n, 8))
        g.indices.setflags(write=True)
        good, bad = np.arange(n), np.full(n, 10**10)
        table, mean, squares = (np.zeros((n, 8)) for _ in range(3))
        changing(g.indices, good, bad, 1.5, lambda: (g.add_to(table, n_threads=2),
                                                     g.adam(table, mean, squares, 1, n_threads=2)))
    """,
    "row_sparse: tables that lie": """
        g = lx.RowSparse([0, 999], np.ones((2, 3)), (1000, 3))
        for dtype in ("f4", "f8", "f2"):
            table = liar(np.zeros((2, 3), dtype), (1000, 3))
            state = liar(np.zeros((2, 3), "f4" if dtype == "f2" else dtype), (1000, 3))
            for call in (lambda: g.add_to(table), lambda: g.adagrad(table, state),
                         lambda: g.adagrad(np.zeros((1000, 3), dtype), state),
                         lambda: g.adam(table, state, state.copy(), 1)):
                tried(call)
    """,
    "labels change: linear softmax and its relatives": """
        w, b, x = layer(n=512)
        labels = np.arange(512) % 1000
        good, bad = labels.copy(), np.full(512, 10**12)
        calls = [lambda: lx.LinearSoftmaxLoss().value_and_grad(w, b, labels, x, n_threads=2),
                 lambda: lx.SampledSoftmaxLoss(50, 1000, seed=0).value_and_grad(w, b, labels, x, n_threads=2),
                 lambda: lx.NCELoss(50, 1000, seed=0).value_and_grad(w, b, labels, x, n_threads=2),
                 lambda: lx.InBatchSoftmaxLoss().value_and_grad(x, x, item_ids=labels, n_threads=2)]
        for call in calls:
            changing(labels, good, bad, 0.7, call)
    """,
    "candidates and excluded ids change": """
        w, b, x = layer(n=256)
        labels, sampled = np.arange(256), np.arange(500)
        good, bad = sampled.copy(), np.full(500, -(10**12))
        loss = lx.SampledSoftmaxLoss(500, 1000)
        values = sampled, np.ones((256, 1)), np.ones(500)
        changing(sampled, good, bad, 0.7, lambda: loss.grad(w, b, labels, x, sampled_values=values))
        exclude = np.tile(np.arange(5), (256, 1))
        good, bad = exclude.copy(), np.full(exclude.shape, 10**12)
        changing(exclude, good, bad, 0.7, lambda: loss.grad(w, b, labels, x, exclude=exclude))
        changing(exclude, good, bad, 0.7, lambda: lx.topk(w, b, x, 3, exclude=exclude))
    """,
    "class ids of the dense losses change": """
        for loss, x, y in dense(4096, 40):
            if y.dtype.kind != "i":
                continue
            good, bad = y.copy(), np.full(y.shape, 10**13)
            changing(y, good, bad, 0.4, lambda: loss.value_and_grad(x, y, n_threads=2))
    """,
    "class ids change between a comparison and its select": """
        x, weight = RNG.random((4096, 40), np.float32), np.ones(40, np.float32)
        losses = lx.CrossEntropyLoss(weight), lx.CrossEntropyLoss(label_smoothing=0.1), lx.MultiMarginLoss()
        for dtype in (np.int32, np.int64):
            y = np.arange(4096, dtype=dtype) % 40
            for loss in losses:
                call = lambda: loss.value_and_grad(x, y, n_threads=1)
                changing(y, y.copy(), np.full(4096, 10**9, dtype), 1.0, call)
    """,
    "sets of labels change": """
        x, y = RNG.random((3000, 30)), np.tile([3, 7, -1], (3000, 1))
        good, bad = y.copy(), np.full(y.shape, 10**13)
        loss = lx.MultiLabelMarginLoss()
        changing(y, good, bad, 0.7, lambda: loss.value_and_grad(x, y, n_threads=2))
        scores, ids = RNG.random((50, 40, 20)), np.zeros((50, 20), int)
        good, bad = ids.copy(), np.full(ids.shape, -(10**13))
        changing(ids, good, bad, 0.7, lambda: lx.CrossEntropyLoss().value_and_grad(scores, ids, n_threads=2))
    """,
    "sparse targets change": """
        class CSR:
            format = "csr"
        n, c = 2000, 50
        y = CSR()
        y.shape = n, c
        y.indptr, y.indices, y.data = np.arange(n + 1), np.arange(n) % c, np.ones(n)
        x = RNG.random((n, c))
        for name in ("indices", "indptr"):
            for kind in ("i8", "i4"):
                array = getattr(y, name).astype(kind)
                setattr(y, name, array)
                good, bad = array.copy(), np.full(array.shape, 2**30)
                for loss in (lx.BCEWithLogitsLoss(), lx.MultiLabelSoftMarginLoss()):
                    changing(array, good, bad, 0.4, lambda: loss.value_and_grad(x, y, n_threads=2))
    """,
    "sparse targets whose parts do not go together": """
        class CSR:
            def __init__(self, data, indices, indptr, shape):
                self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape
        m = 2**63 - 1
        starts = [[0, m, -(2**62), 3], [0, m, -m, 3], [0, 3, 2, 3], [0, 1, 2, 4], [0, 1, 2, -1], [1, 1, 2, 3],
                  [-1, 1, 2, 3], [0, 2**62, 2**62, 2**62], [0, 1, 3], [0, 1, 2, 3, 3], [], 3, [[0, 1, 2, 3]],
                  np.array([0, m + 1, 1, 3], "u8"), np.array([0, 1, 2, 3.0])]
        places = [[0, 1, 4], [0, 1, -1], [0, 1, m], [0, 1, -m], [0, 1, 2**32], np.array([0, 1, 2**64 - 1], "u8"),
                  np.array([0, 1, 2**32 - 1], "u4"), [[0, 1, 2]], [0, 1], [], 3, [0.0, 1.0, 2.0]]
        data = [[1.0, 1.0], [], 1.0, [[1.0, 1.0, 1.0]], [1.0, 1.0, np.nan], ["a", "b", "c"], [None, 1, 2]]
        whole = ([1.0, 1.0, 1.0], [0, 1, 2], [0, 1, 2, 3], (3, 4))
        bad = [(0, value) for value in data] + [(1, value) for value in places] + [(2, value) for value in starts]
        bad += [(3, shape) for shape in [(3, 5), (4, 4), (3,), (), (2**62, 4), (-3, 4)]]
        w, b, x = layer(v=4, d=2, n=3)
        calls = [lambda y, loss=loss: loss.value_and_grad(RNG.random((3, 4)), y) for loss, _, _ in dense()]
        calls += [lambda y, loss=loss: loss.divisor(y) for loss, _, _ in dense()]
        calls += [lambda y, loss=loss: loss.init_raw(y) for loss, _, _ in dense()]
        calls += [lambda y: lx.LinearSoftmaxLoss().grad(w, b, y, x), lambda y: lx.LinearBCELoss().grad(w, b, y, x),
                  lambda y: lx.SampledSoftmaxLoss(2, 4, num_true=None).grad(w, b, y, x),
                  lambda y: lx.SampledSoftmaxLoss(2, 4).grad(w, b, [0, 1, 2], x, exclude=y),
                  lambda y: lx.topk(w, b, x, 2, exclude=y), lambda y: lx.balanced_weights(y, 4),
                  lambda y: lx.balanced_pos_weight(y)]
        for call in calls:
            for at, value in bad:
                parts = [np.array(part) if i < 3 else part for i, part in enumerate(whole)]
                parts[at] = np.array(value) if at < 3 else value
                tried(call, CSR(*parts))
        for start in starts[:8]:
            for loss in (lx.BCEWithLogitsLoss(), lx.CrossEntropyLoss(), lx.MultiLabelMarginLoss()):
                y = CSR(np.ones(3), np.array([0, 1, 2]), np.array(start), (3, 4))
                refused(loss.value_and_grad, np.zeros((3, 4)), y)
    """,
    "arrays that end where memory ends": """
        import ctypes, mmap
        PAGE = mmap.PAGESIZE
        libc = ctypes.CDLL(None, use_errno=True)
        def walled(array):
            "A copy whose last byte is the last one before a page that nobody may touch."
            whole = -(-array.nbytes // PAGE) * PAGE
            memory = mmap.mmap(-1, whole + PAGE)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            assert libc.mprotect(ctypes.c_void_p(start + whole), ctypes.c_size_t(PAGE), 0) == 0
            result = np.frombuffer(memory, array.dtype, array.size, whole - array.nbytes).reshape(array.shape)
            result[...] = array
            return result
        def at_the_wall(cls, n, c, real):
            d = cls.declaration
            x = walled(RNG.random((n, c)).astype(real))
            values, known = ((n,) if by_row else (n, c) for by_row in (d.value_by_row, d.family != "element"))
            targets = [np.arange(n) % c if d.takes_ids else np.ones((n, c), kind) for kind in ("f4", "f8", "u1")]
            targets = targets[:1] if d.takes_ids else targets
            if d.target.kind == "labels":
                targets = [np.stack([targets[0], 0 * targets[0] - 1], axis=1)]
            if d.soft_kernel:
                targets.append(RNG.random((n, c)).astype(real))
            more = {"sample_weight": walled(np.ones(n, real)), "mask": walled(np.ones(known, bool))}
            if not d.value_by_row:
                more["element_weight"] = walled(np.ones(c, real))
            weight = {"weight": walled(np.ones(c, real))} if d.weights else {}
            for y in map(walled, targets):
                for keywords in ({}, more):
                    each = cls(reduction="none", **(weight if keywords else {}))
                    each.value_and_grad(x, y, out=walled(np.empty((n, c), real)), **keywords)
                    each.grad(x, y, grad_output=walled(np.ones(values, real)))
                    for curvature in d.curvatures:
                        each.grad_and_hess(x, y, curvature=curvature, **keywords)
                    for reduction in ("mean", "weighted_mean"):
                        cls(reduction=reduction, **(weight if keywords else {})).value_and_grad(x, y, **keywords)
                if not d.value_by_row:  # one weight, of which no product is made, and a mask
                    full = {"element_weight": walled(np.ones((n, c), real)), "mask": more["mask"]}
                    for reduction in ("none", "mean", "weighted_mean"):
                        cls(reduction=reduction).value_and_grad(x, y, **full)
                        cls(reduction=reduction).value_and_grad(x, y, element_weight=full["element_weight"])
        from lossext._kernels import drivers
        for level in drivers.isa_levels():  # masked loads, which the highest level has, do not fault
            drivers.set_isa(level)
            rows = (1, 2, 9, 10, 17, 18, 65) if level == drivers.isa_levels()[-1] else (1, 9, 18)
            for cls in lx.registry():
                for real in ("f4", "f8"):
                    for c in (1, 2, 3, 5, 7, 17, 70):
                        for n in rows:
                            at_the_wall(cls, n, c, real)
    """,
    "predictions change": """
        for loss, x, y in dense(2048, 40):
            good, bad = x.copy(), np.where(RNG.random(x.shape) < 0.5, np.nan, np.inf)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                changing(x, good, bad, 0.1, lambda: loss.value_and_grad(x, y, n_threads=2))
        w, b, x = layer(n=256)
        changing(x, x.copy(), np.full(x.shape, np.nan), 0.4, lambda: lx.topk(w, b, x, 5))
    """,
    "a signal handler changes labels": """
        w, b, x = layer(v=5000, d=64, n=2000)
        labels = np.arange(2000)
        def change(*_):
            labels[...] = 10**12 if labels[0] == 0 else np.arange(2000)
        signal.signal(signal.SIGALRM, change)
        signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
        loss, sampled = lx.LinearSoftmaxLoss(), lx.SampledSoftmaxLoss(50, 5000)
        x2, y2 = RNG.random((200000, 10)), np.arange(200000) % 10
        margin = lx.MultiMarginLoss()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            tried(loss.grad, w, b, labels, x), tried(sampled.grad, w, b, labels, x), margin.grad(x2, y2)
        signal.setitimer(signal.ITIMER_REAL, 0)
    """,
    "arrays that lie: dense losses": """
        for loss, x, y in dense(8, 5):
            big = (1 << 18, 5)
            lying = liar(x, big), liar(y, big if y.ndim == 2 else big[:1]), liar(np.ones(8), big[:1])
            real = np.ones(big)
            target = np.ones(big, y.dtype) if y.ndim == 2 else np.ones(big[0], y.dtype)
            tried(loss, lying[0], y), tried(loss, x, lying[1]), tried(loss, lying[0], lying[1])
            tried(loss.grad, real, lying[1])
            tried(loss.grad, real, target, out=lying[0])
            tried(loss.grad, real.astype("f4"), target, out=liar(x.astype("f4"), big))
            tried(loss.grad, real.astype("f2"), target, out=liar(x.astype("f2"), big))
            tried(loss.grad, real, target, sample_weight=lying[2])
            tried(loss.grad, real, target, element_weight=lying[0])
            tried(loss.grad, real, target, mask=liar(np.ones(8, bool), big if y.ndim == 2 else big[:1]))
            tried(type(loss)(reduction="none").grad, real, target, grad_output=lying[2])
            tried(loss.grad_and_hess, lying[0], lying[1])
            tried(loss.init_raw, lying[1])
            tried(loss.divisor, lying[1])
            tried(loss.divisor, target, shape=(2**62, 2**62))
    """,
    "arrays that lie: layers": """
        w, b, x = layer(v=20, d=4, n=8)
        lying = liar(w, (10**7, 4)), liar(b, (10**7,)), liar(np.arange(8), (10**6,)), liar(x, (10**6, 4))
        honest = w, b, np.arange(8), x
        for loss in (lx.LinearSoftmaxLoss(), lx.SampledSoftmaxLoss(5, 20), lx.NCELoss(5, 20), lx.LinearBCELoss(),
                     lx.SampledSoftmaxLoss(5, 10**7), lx.NCELoss(5, 10**7)):
            for choice in itertools.product((0, 1), repeat=4):
                arguments = [(honest, lying)[c][i] for i, c in enumerate(choice)]
                tried(loss, *arguments), tried(loss.value_and_grad, *arguments)
        tried(lx.topk, lying[0], lying[1], lying[3], 5), tried(lx.topk, w, b, lying[3], 5)
        tried(lx.InBatchSoftmaxLoss().grad, lying[3], lying[0], item_ids=lying[2])
    """,
    "arrays that change when asked": """
        for loss, x, y in dense(8, 5):
            y2 = np.full_like(y, 10**9) if y.ndim == 1 else np.ones((900, 50), y.dtype)
            for a, b in ((Turncoat(x, RNG.random((1, 1))), y), (x, Turncoat(y, y2)), (x, Turncoat(y2, y)),
                         (Turncoat(RNG.random((1000, 5)), x), y), (Turncoat(x, x.astype(complex)), Turncoat(y, y[:1]))):
                tried(loss, a, b), tried(loss.value_and_grad, a, b)
                tried(loss.grad, x, y, sample_weight=Turncoat(np.ones(8), np.ones(1)))
                tried(loss.grad, x, y, mask=Turncoat(np.ones(8, bool), np.ones(1, bool)))
        w, b, x = layer(v=20, d=4, n=8)
        for loss in (lx.LinearSoftmaxLoss(), lx.SampledSoftmaxLoss(5, 20), lx.NCELoss(5, 20)):
            for labels in (Turncoat(np.arange(8), np.full(8, 10**9)), Turncoat(np.full(8, -(10**9)), np.arange(8)),
                           Turncoat(np.arange(8), np.arange(3))):
                tried(loss.grad, w, b, labels, x), tried(loss.grad, w, b, labels, x)
        indices = Turncoat(np.array([0, 1]), np.array([0, 10**9]))
        for _ in range(4):
            g = tried(lx.RowSparse, indices, np.ones((2, 3)), (2, 3))
            g and g.add_to(np.zeros((2, 3)))
    """,
    "a sampler that plays": """
        w, b, x = layer(v=1000, d=16, n=64)
        class Resizes:
            def sample(self, labels, n):
                for array in (w, b, x):
                    array.resize((1,) * array.ndim, refcheck=False)
                return np.arange(n), np.ones(labels.shape), np.ones(n)
        for loss in (lx.SampledSoftmaxLoss, lx.NCELoss):
            w, b, x = layer(v=1000, d=16, n=64)
            tried(loss(20, 1000, sampler=Resizes()).grad, w, b, np.arange(64), x)
        answers = [
            lambda l, n: (np.full(n, 10**12), np.ones(l.shape), np.ones(n)),
            lambda l, n: (np.arange(n) - 5, np.ones(l.shape), np.ones(n)),
            lambda l, n: (np.arange(n), np.ones(1), np.ones(n)),
            lambda l, n: (np.arange(n), np.ones(l.shape), np.ones(1)),
            lambda l, n: (liar(np.arange(n), (10**6,)), np.ones(l.shape), liar(np.ones(n), (10**6,))),
            lambda l, n: (np.arange(n), liar(np.ones(l.shape), (10**6, 1)), np.ones(n)),
            lambda l, n: (np.arange(n), np.ones(l.shape), None),
            lambda l, n: None,
            lambda l, n: (np.zeros(0, int), np.ones(l.shape), np.zeros(0)),
            lambda l, n: (np.arange(5 * n) % 1000, np.ones(l.shape), np.ones(5 * n)),
        ]
        for answer in answers:
            for loss in (lx.SampledSoftmaxLoss, lx.NCELoss):
                w, b, x = layer(v=1000, d=16, n=64)
                sampler = type("Sampler", (), {"sample": lambda self, l, n: answer(l, n)})()
                tried(loss(20, 1000, sampler=sampler).grad, w, b, np.arange(64), x)
    """,
    "sizes that wrap": """
        for classes in (2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1):
            sampler = samplers.UniformSampler(classes, seed=0)
            sampler.sample([classes - 1], 10)
            for n in (2**60, 2**62 + 5, 2**63 - 1, 2**61 - 1):
                refused(sampler.sample, [0], n)
                refused(sampler.draw_apart, np.arange(1000), n)
            tried(samplers.LearnedUnigramSampler, classes)
            tried(samplers.LogUniformSampler(classes).sample, [0], 100)
        refused(samplers.AllSampler(2**62).sample, [0], 2**62)
        refused(samplers.UniformSampler, 2**63)
        w, b, x = layer(v=10, d=4, n=3)
        wide = np.broadcast_to(np.zeros(1), (2**36, 2**20))
        for call in (lambda: lx.MultiMarginLoss()(wide, np.broadcast_to(np.zeros(1, int), 2**36)),
                     lambda: lx.BCEWithLogitsLoss()(wide, np.broadcast_to(np.zeros(1), wide.shape)),
                     lambda: lx.LinearSoftmaxLoss()(wide[:, :4], wide[:, 0], [0, 0, 0], x),
                     lambda: lx.topk(w, b, x, 2**62), lambda: lx.topk(w, b, x, 2**31),
                     lambda: lx.SampledSoftmaxLoss(2**61, 2**62)(w, b, [0, 0, 0], x),
                     lambda: lx.RowSparse([0], [[1.0]], (2**63, 1)).to_dense(),
                     lambda: lx.RowSparse([0], [[1.0]], (2**62, 1)).to_dense(),
                     lambda: lx.balanced_weights([0, 2**62], 2**63),
                     lambda: lx.FrequencyEstimator(2**62),
                     ):
            refused(call)
    """,
    "samplers' insides": """
        for make in (lambda: samplers.UniformSampler(50, seed=0), lambda: samplers.LogUniformSampler(50, seed=0),
                     lambda: samplers.LearnedUnigramSampler(50, seed=0),
                     lambda: samplers.FixedUnigramSampler(np.arange(1.0, 51), seed=0)):
            for name in list(vars(make())):
                for value in (np.zeros(1), np.full(51, 2**62), np.full(51, -(2**62)), None, 10**18, np.zeros(0, int),
                              np.full(51, np.nan), liar(np.zeros(1), (51,))):
                    sampler = make()
                    sampler.__dict__[name] = value
                    try:
                        with np.errstate(all="ignore"):
                            signal.alarm(20)
                            sampler.sample([1, 2], 10)
                            signal.alarm(0)
                    except Exception:
                        pass
    """,
    "a loss's parameters change": """
        pos = np.ones(5)
        loss = lx.BCEWithLogitsLoss(pos_weight=pos, weight=np.ones(5))
        x, y = RNG.random((8, 5)), np.ones((8, 5))
        loss(x, y)
        for name in ("pos_weight", "weight"):
            array = getattr(loss, name)
            try:
                array.setflags(write=True)
                array.resize(1, refcheck=False)
            except ValueError:
                pass
            tried(loss, x, y), tried(loss.grad, x, y), tried(loss, x.astype("f4"), y)
        for cls in lx.registry():
            loss = cls()
            for name in list(loss._parameters):
                for value in (None, "x", 2**70, np.ones(3), liar(np.ones(1), (5,)), float("nan"), -7, {}):
                    loss = cls()
                    loss._parameters[name] = value
                    try:
                        loss(x, np.arange(8) % 5 if cls.declaration.takes_ids else y)
                    except Exception:
                        pass
    """,
    "an argument's conversion reshapes or resizes the others": """
        losses = lx.CrossEntropyLoss, lx.MultiMarginLoss, lx.MultiLabelMarginLoss, lx.BCEWithLogitsLoss, lx.MSELoss
        shapes = ((4, 50_000), (50_000, 4)), ((50_000, 4), (4, 50_000)), ((300, 400), (1, 1)), ((300, 400), (3000, 400))
        def target(cls, n, c):
            if cls.declaration.takes_ids:
                return np.zeros(n, int)
            return np.zeros((n, 1), int) if cls.declaration.target.kind == "labels" else np.ones((n, c))
        for cls, (old, new) in itertools.product(losses, shapes):
            for loss in (cls(), cls(reduction="none")):
                for call in (loss, loss.value_and_grad, loss.grad_and_hess):
                    for shape in (old, new):
                        x = RNG.random(old)
                        tried(call, x, Meddler(target(cls, *shape), lambda: set_shape(x, new)))
            for name in ("sample_weight", "mask", "grad_output", "element_weight", "n_threads"):
                for i in range(3):
                    arrays = x, y, out = RNG.random(old), target(cls, *old), np.empty(old)
                    by_row = name == "sample_weight" or cls.declaration.value_by_row
                    given = np.ones(old[:1] if by_row else old, bool if name == "mask" else float)
                    given = Meddler(given, lambda: arrays[i].resize(1, refcheck=False))
                    tried(cls(reduction="none").grad, x, y, out=out, **{name: given})
    """,
    "an argument's conversion resizes the layer": """
        for change in range(4):
            for at in range(5):
                for loss in (lx.LinearSoftmaxLoss(), lx.LinearBCELoss(), lx.SampledSoftmaxLoss(50, 1000),
                             lx.NCELoss(50, 1000)):
                    w, b, x = layer(v=1000, d=16, n=64)
                    labels = np.arange(64)[:, None] if isinstance(loss, lx.LinearBCELoss) else np.arange(64)
                    arrays = [w, b, labels, x, np.ones(64)]
                    plays = list(arrays)
                    plays[at] = Meddler(arrays[at], lambda: arrays[change].resize(1, refcheck=False))
                    tried(loss.value_and_grad, *plays[:4], sample_weight=plays[4])
                    tried(lx.topk, plays[0], plays[1], plays[3], 5)
                    tried(lx.InBatchSoftmaxLoss().grad, plays[3], plays[3], log_q=plays[4], item_ids=plays[2])
    """,
    "a signal's handler resizes what is computed on": """
        def handler(*_):
            array.resize(1, refcheck=False)
        signal.signal(signal.SIGALRM, handler)
        for which in range(3):
            for delay in (0.002, 0.005, 0.01, 0.02, 0.03):
                x, y, out = (np.zeros((1 << 15, 1 << 10), "f4") for _ in range(3))
                array = (x, y, out)[which]
                signal.setitimer(signal.ITIMER_REAL, delay)
                tried(lx.MSELoss().value_and_grad, x, y, out=out, n_threads=1)
                signal.setitimer(signal.ITIMER_REAL, 0)
            for delay in (0.01, 0.02, 0.03):
                w, b, x = layer(v=100_000, d=64, n=512, dtype="f4")
                array = (w, b, x)[which]
                signal.setitimer(signal.ITIMER_REAL, delay)
                tried(lx.LinearSoftmaxLoss().value_and_grad, w, b, np.zeros(512, int), x, n_threads=1)
                signal.setitimer(signal.ITIMER_REAL, 0)
    """,
    "derivatives for boosting of arrays that do not go together": """
        n = 20_000
        def objective(losses):
            return drivers.Objective(losses, 0, drivers.CURVATURE, None, False, None, 1.0, 0.0, 0.0, 1.0)
        for real in ("f4", "f8"):
            for loss, columns in ((lx.BCEWithLogitsLoss(), 1), (lx.BCEWithLogitsLoss(), 3), (lx.CrossEntropyLoss(), 1)):
                cols = 3 if loss.declaration.takes_ids else columns
                good = [np.zeros((n, cols), real), np.zeros(n, real), np.ones(n, real), np.zeros(cols),
                        np.zeros((n, cols), "f4"), np.zeros((n, cols), "f4")]
                def run(raw, target, weight, shift, grad, hess):
                    return objective([loss._evaluator] * columns).run(raw, target, weight, shift, False, grad, hess)
                assert run(*good)
                for at in range(6):
                    for shape in ((1,), (n - 1,), (n - 1, cols), (n, cols + 1), (1, cols), (n, 1, 1), (), (0,)):
                        bad = list(good)
                        bad[at] = np.zeros(shape, good[at].dtype)
                        if bad[at].nbytes < good[at].nbytes:
                            for _ in range(3):
                                refused(run, *bad)
                    for dtype in ("f2", "i4", "c16", "O", "f4", ">f8", "V8"):
                        bad = list(good)
                        bad[at] = np.zeros(good[at].shape, dtype)
                        tried(run, *bad)
        refused(objective([object()]).run, *good[:4], False, *good[4:])
        refused(objective([lx.BCEWithLogitsLoss()._evaluator]).run, *good[:4], False, *good[4:])
    """,
    "an interrupt leaves nothing half-done": """
        class Stop(Exception):
            pass
        def handler(*_):
            raise Stop
        signal.signal(signal.SIGALRM, handler)
        def storm(call, check, hits=400):
            end = time.monotonic() + 20
            while hits > 0 and time.monotonic() < end:
                try:
                    signal.setitimer(signal.ITIMER_REAL, float(RNG.random()) * 3e-4 + 2e-5)
                    for _ in range(50):
                        call()
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Stop:
                    hits -= 1
                assert check()
        sampler, labels = samplers.LearnedUnigramSampler(50, seed=0), np.arange(20)
        def adds_up():
            tree, weights = sampler._tree, sampler._weights
            return tree[0] == weights.sum() == sampler._total and tree[32] == weights[:32].sum()
        storm(lambda: sampler.sample(labels, 5), adds_up)
        estimator = lx.FrequencyEstimator(100)
        storm(lambda: estimator.update([1, 2]), lambda: estimator._last.max() == estimator.step)
        total = lx.MSELoss().accumulator()
        storm(lambda: total.update([1.0], [0.0]), lambda: total._sum == total._divisor)
        sampler.sample(labels, 5), estimator.update([1]), total.update([1.0], [0.0])    # no lock is held for ever
    """,
    "kernels' own classes": """
        ids = drivers.LayerIds(4, 10)
        job = drivers.LayerJob()
        for call in (lambda: job.run(1), lambda: ids.group_all(True, None, None), lambda: ids.take_labels(None, None),
                     lambda: ids.take_labels(np.arange(4), np.array([0, 9, 1, 2, 4])),
                     lambda: drivers.RowUpdate().run(2),
                     lambda: drivers.IdSet(2**62), lambda: drivers.IdSet(-5), lambda: drivers.LayerIds(-1, 5)):
            tried(call)
        s = drivers.IdSet(4)
        tried(s.add, np.arange(100)), tried(s.take_new, np.arange(100), np.empty(100, int))
        none, numbers, many = None, np.ones(5), np.arange(10**6)
        for call in (lambda: s.add(none), lambda: s.take_new(none, none),
                     lambda: drivers.draw_uniform(none, 5, none, none, 1), lambda: ids.take_classes(none),
                     lambda: ids.group_twins(none), lambda: drivers.log_counts(none, none),
                     lambda: drivers.tree_add(none, none, none), lambda: drivers.tree_find(none, none, none),
                     lambda: drivers.tree_find(np.arange(4), many, np.empty(1, int)),
                     lambda: drivers.alias_table(none, none, none),
                     lambda: drivers.alias_table(np.ones(10**6), numbers, np.zeros(5, int))):
            for _ in range(5):
                refused(call)
        try:
            drivers.draw_uniform(object(), 5, s, np.empty(3, int), 100)
        except AttributeError:
            pass
    """,
}


@pytest.mark.parametrize("name", GAMES)
def test_game(name):
    if "signal." in GAMES[name] and not hasattr(signal, "setitimer"):
        pytest.skip("no timers")
    game(GAMES[name])


EVERYTHING = """
def everything(n_threads):
    "Calls of every loss large enough to be shared out; their results"
    global RNG
    RNG, results = np.random.default_rng(0), []
    for dtype in ("f4", "f8"):
        for loss, x, y in dense(3000, 30):
            x = x.astype(dtype)
            results.append(loss(x, y, n_threads=n_threads))
            results += loss.value_and_grad(x, y, n_threads=n_threads)
            results += loss.grad_and_hess(x, y, n_threads=n_threads)
        for loss, x, y in dense(200, 700):
            results += loss.value_and_grad(x.astype(dtype), y, n_threads=n_threads)
        w, b, x = layer(v=700, d=80, n=300, dtype=dtype)
        for loss in (lx.LinearSoftmaxLoss(), lx.SampledSoftmaxLoss(90, 700, seed=0), lx.NCELoss(90, 700, seed=0),
                     lx.LinearBCELoss()):
            labels = np.arange(300)[:, None] if isinstance(loss, lx.LinearBCELoss) else np.arange(300)
            value, grad = loss.value_and_grad(w, b, labels, x, n_threads=n_threads)
            results += [value, grad.inputs]
        g = lx.RowSparse(np.arange(700), w, w.shape)
        table, mean, squares = (np.zeros(w.shape, dtype) for _ in range(3))
        g.adam(table, mean, squares, 1, n_threads=n_threads)
        results += [table, mean, squares, *lx.topk(w, b, x, 9, n_threads=n_threads)]
    return b"".join(np.asarray(r).tobytes() for r in results)
"""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets a limit of Linux")
parallel = pytest.mark.skipif(not drivers.openmp_version(), reason="a serial build")


@linux
@parallel
@pytest.mark.parametrize("before", [1, 2])
def test_no_more_threads(before):
    """Where the system gives no more threads, calls go on with those that there are."""
    game(
        EVERYTHING
        + f"""
import os
alone = everything(1)
assert everything({before}) == alone
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    threading.Thread(target=int).start()
except RuntimeError:
    pass
else:
    sys.exit("the limit does not hold")
for n_threads in (2, 4, 300):
    assert everything(n_threads) == alone
"""
    )


@linux
@parallel
def test_as_many_threads_as_there_may_be():
    """A limit that is just enough is enough."""
    game(
        EVERYTHING
        + """
import os
alone = everything(1)
if os.getuid():
    sys.exit(0)    # others' processes count too
os.setresuid(65531, 65531, 65531)
resource.setrlimit(resource.RLIMIT_NPROC, (4, 4))
for n_threads in (4, 2, 5, 4, 3, 4):
    assert everything(n_threads) == alone
    assert len(os.listdir("/proc/self/task")) <= 4
"""
    )


@pytest.mark.parametrize("n_threads", [1, 2])
def test_stacks_of_128_kib(n_threads):
    """As on musl, for the caller and for the pool."""
    game(
        EVERYTHING
        + f"""
threading.stack_size(128 << 10)
right, found = everything(1), []
thread = threading.Thread(target=lambda: found.append(everything({n_threads})))
thread.start()
thread.join()
assert found == [right]
""",
        OMP_STACKSIZE="128k",
    )


@linux
@parallel
@pytest.mark.skipif(platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc", reason="knows glibc on x86-64")
@pytest.mark.parametrize("mode", [0x8040, 0x2000, 0x4000, 0x6000])
def test_the_callers_floating_point_state_holds_in_every_thread(mode):
    """Flushing of subnormal numbers, and the three directed roundings, set after the pool has started."""
    game(
        EVERYTHING
        + f"""
import ctypes
plain = everything(2)
libm = ctypes.CDLL("libm.so.6")
state = (ctypes.c_uint32 * 8)()
libm.fegetenv(state)
state[7] |= {mode}
libm.fesetenv(state)
alone, shared = everything(1), everything(2)
x, y = np.full((4000, 40), 1e-38, "f4"), np.zeros((4000, 40), "f4")
bits = [lx.HuberLoss(reduction="none").value_and_grad(x, y, n_threads=n)[1].tobytes() for n in (1, 2)]
state[7] &= ~{mode}
libm.fesetenv(state)
assert alone == shared and bits[0] == bits[1]
assert everything(2) == plain
"""
    )


def test_calls_import_nothing():
    """An import takes a lock, for which a child that is forked meanwhile waits for ever."""
    game(
        EVERYTHING
        + """
import numpy.random, pathlib
before = set(sys.modules)
everything(1)
for loss, x, y in dense():
    loss(x.tolist(), y.tolist()), loss.divisor(y), tried(loss.init_raw, y), tried(loss.inverse_link, x)
lx.RowSparse([1, 1], np.ones((2, 2)), (3, 2))
estimator = lx.FrequencyEstimator(9)
estimator.update([1, 2, 1]), estimator.log_q([1])
for sampler in (samplers.LearnedUnigramSampler(50), samplers.LogUniformSampler(50)):
    sampler.sample([1], 5), sampler.sample([1], 50)
lx.InBatchSoftmaxLoss(symmetric=True, normalize=True).grad(np.ones((4, 2)), np.ones((4, 2)), item_ids=[1, 2, 1, 3])
everything(2)
assert set(sys.modules) == before, set(sys.modules) - before
"""
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_during_the_first_calls_of_other_threads():
    game(
        """
import os
total, estimator, loss, done = lx.MSELoss().accumulator(), lx.FrequencyEstimator(10), lx.CrossEntropyLoss(), False
def calls():
    total.update([1.0], [0.0]), total.value(), estimator.update([1]), estimator.log_q([2]), loss([[1.0, 2.0]], [0])
def work():
    while not done:
        calls()
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        calls()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        break
done = True
for thread in threads:
    thread.join()
assert status == 0, status
"""
    )
