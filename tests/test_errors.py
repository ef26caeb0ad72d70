"""Bad calls: the documented exception, a message that names the argument and what came, and nothing modified."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from cases import dense, function_of, input_of, kind_of, name, parameters_of, plain, target_of

import lossext
from lossext import samplers

pytestmark = pytest.mark.filterwarnings("error")

MLSM, MM = lossext.MultiLabelSoftMarginLoss, lossext.MultiMarginLoss
HE, BCE = lossext.HingeEmbeddingLoss, lossext.BCEWithLogitsLoss
N, C = 4, 3


def good(cls, dtype="float32"):
    rng = np.random.default_rng(0)
    return input_of((N, C), dtype, rng, cls), target_of(cls, (N, C), rng)


def swapped(a):
    return a.astype(a.dtype.newbyteorder())


def with_item(a, index, value, dtype=None):
    a = np.array(a, dtype)
    a[index] = value
    return a


def bad(cls, error, word, came="", *, also=(), **arguments):
    shown = ",".join(f"{key}={' '.join(str(value).split())[:40]}" for key, value in arguments.items())
    return pytest.param(cls, error, word, came, arguments, id=f"{cls.__name__}-{shown}")


def ragged():
    return [[1.0, 2.0, 3.0], [4.0]]


def everywhere():
    """Errors that every dense loss raises."""
    for cls in dense:
        x, y = good(cls)
        # reduction
        for value in (None, 1, b"mean", ["mean"], True):
            yield bad(cls, TypeError, "reduction", type(value).__name__, reduction=value)
        for value in ("avg", "MEAN", "", "mean "):
            yield bad(cls, ValueError, "reduction", repr(value), reduction=value)
        # input
        for value in (x.astype(complex), x.astype(object), x.astype(str), x.astype("S8"), x.astype("m8[s]")):
            yield bad(cls, TypeError, "input", str(value.dtype), input=value)
        yield bad(cls, TypeError, "input", "", input=None)
        yield bad(cls, (TypeError, ValueError), "input", "", input=ragged())
        yield bad(cls, TypeError, "input", "", input=x.view([("a", "f4")]))
        # target's type
        for value in (y.astype(complex), y.astype(object), y.astype(str), y.astype("m8[s]")):
            yield bad(cls, TypeError, "target", str(value.dtype), target=value)
        yield bad(cls, TypeError, "target", "", target=None)
        yield bad(cls, (TypeError, ValueError), "target", "", target=ragged())
        # n_threads
        for value in (0, -1, -(2**70)):
            yield bad(cls, ValueError, "n_threads", str(value), n_threads=value)
        for value in (1.5, 2.0, "2", [2], True):
            yield bad(cls, TypeError, "n_threads", type(value).__name__, n_threads=value)
        # sample_weight
        for value in (np.ones(N + 1), np.ones((N, 1)), np.ones((N, C)), np.ones(C), np.ones(1), 2.0, []):
            yield bad(cls, ValueError, "sample_weight", str(np.shape(value)), sample_weight=value)
        for value in (np.ones(N, complex), np.ones(N, object), ["a"] * N):
            yield bad(cls, TypeError, "sample_weight", str(np.asarray(value).dtype), sample_weight=value)
        # grad_output
        for reduction in ("mean", "sum"):
            for value in (np.ones(1), np.ones(N), [2.0]):
                yield bad(cls, ValueError, "grad_output", str(np.shape(value)), grad_output=value, reduction=reduction)
        for value in (np.ones(N + 1), np.ones((C, N)), np.ones((1, N, C)), np.ones((N, 1))):
            yield bad(cls, ValueError, "grad_output", str(value.shape), grad_output=value, reduction="none")
        for value in (1j, "1", None.__class__):
            yield bad(cls, TypeError, "grad_output", "", grad_output=value)
        # out
        for value in (x.tolist(), "out", 1.0):
            yield bad(cls, TypeError, "out", type(value).__name__, out=value)
        for dtype in ("f8", "f2", "i4", "c8", object):
            yield bad(cls, TypeError, "out", np.dtype(dtype).name, out=np.zeros((N, C), dtype))
        yield bad(cls, TypeError, "out", "", out=swapped(x))
        for shape in ((N, C + 1), (N,), (N * C,), (1, N, C), (C, N), ()):
            yield bad(cls, ValueError, "out", str(shape), out=np.zeros(shape, "f4"))
        constant = np.zeros((N, C), "f4")
        constant.flags.writeable = False
        for what in (constant, np.zeros((N, C), "f4", order="F"), np.zeros((N, 2 * C), "f4")[:, ::2]):
            yield bad(cls, ValueError, "out", "writable" if what is constant else "contiguous", out=what)


def matrices():
    """Errors of shape."""
    for cls in (MLSM, MM):
        for shape in ((), (C,), (N, C, 1), (1, N, C)):
            yield bad(cls, ValueError, "input", str(shape), input=np.zeros(shape), target=np.zeros(shape[:1], int))
        target = np.zeros(N, int) if cls.declaration.takes_ids else np.zeros((N, 0))
        yield bad(cls, ValueError, "input", str((N, 0)), input=np.zeros((N, 0)), target=target)
    for shape in ((N,), (C,), (N, 1), (1, C), (N + 1, C), (C, N), (1, N, C), ()):
        for cls in (MLSM, BCE):
            yield bad(cls, ValueError, "target", str(shape), target=np.zeros(shape))
    for shape in ((N, 1), (1, N), (N - 1,), (N + 1,), (1,), (), (N, C)):
        yield bad(MM, ValueError, "target", str(shape), target=np.zeros(shape, int))
    for shape in ((N,), (N + 1, C), (2,), (N, C + 1)):
        yield bad(HE, ValueError, "target", str(shape), target=np.ones(shape))
    for cls in (MLSM, BCE):
        for key in cls.declaration.weights:
            for shape in ((N,), (C + 1,), (N + 1, C), (2, N, C), (1, 1, C), (1, N, C), (2, C), (0,)):
                yield bad(cls, ValueError, key, str(shape), **{key: np.ones(shape)})
    x = np.zeros(5)
    for key in ("weight", "pos_weight"):
        yield bad(BCE, ValueError, key, "(1, 5)", input=x, target=x, **{key: np.ones((1, 5))})
        yield bad(BCE, ValueError, key, "(2,)", input=np.float32(1), target=1, **{key: np.ones(2)})
    for shape in ((C + 1,), (1,), (N,), (C, 1), (1, C), (N, C), (), (0,)):
        if shape != (C,):
            yield bad(MM, ValueError, "weight", str(shape) if shape else "", weight=np.ones(shape))
    yield bad(HE, ValueError, "sample_weight", "(1,)", input=np.float32(1), target=1, sample_weight=[1.0])


def parameters():
    """Errors of a loss's own parameters."""
    for value in (True, np.True_, 1.0, 2.0, "1", None, 1j, [1], np.float64(2)):
        yield bad(MM, TypeError, "p", type(value).__name__, p=value)
    for value in (0, 3, -1, np.int8(4)):
        yield bad(MM, ValueError, "p", str(value), p=value)
    for cls in (MM, HE):
        for value in (True, np.False_, "1", None, 1j, [1.0], np.ones(2)):
            yield bad(cls, TypeError, "margin", type(value).__name__, margin=value)
        for value in (np.nan, np.inf, -np.inf, np.float32("inf"), 10**400):
            yield bad(cls, ValueError, "margin", "", margin=value)
    for cls in dense:
        for key in cls.declaration.weights:
            for value in (np.ones(C, complex), np.ones(C, object), ["a", "b", "c"], "heavy", 1j, np.ones(C, "m8[s]")):
                yield bad(cls, TypeError, key, "", **{key: value})
            yield bad(cls, (TypeError, ValueError), key, "", **{key: ragged()})


@pytest.mark.parametrize(("cls", "error", "word", "came", "arguments"), [*everywhere(), *matrices(), *parameters()])
def test_bad_argument(cls, error, word, came, arguments):
    x, y = good(cls)
    arguments = {"input": x, "target": y, **arguments}
    kept = {key: value.tobytes() for key, value in arguments.items() if isinstance(value, np.ndarray)}
    given = {key: arguments.pop(key) for key in parameters_of(cls) if key in arguments}
    pair = (arguments.pop("input"), arguments.pop("target"))
    calls = [lambda: cls(**given).value_and_grad(*pair, **arguments), lambda: cls(**given).grad(*pair, **arguments)]
    if not {"grad_output", "out"} & set(arguments):
        calls.append(lambda: cls(**given)(*pair, **arguments))
    if not arguments:
        calls.append(lambda: function_of(cls)(*pair, **given))
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        message = str(caught.value)
        assert re.search(rf"\b{word}\b", message), message
        assert came in message, message
        assert type(caught.value) in (TypeError, ValueError)
    after = {**given, **arguments, "input": pair[0], "target": pair[1]}
    for key, before in kept.items():
        assert after[key].tobytes() == before, f"{key} was modified"


@pytest.mark.parametrize("cls", dense, ids=name)
def test_parameters_are_checked_at_construction(cls):
    for key, value in {"reduction": "no", "p": 3, "margin": np.nan, "weight": "w", "pos_weight": 1j}.items():
        if key in parameters_of(cls):
            with pytest.raises((TypeError, ValueError), match=rf"\b{key}\b"):
                cls(**{key: value})
    with pytest.raises(TypeError):
        cls(no_such_parameter=1)


def bad_targets():
    """(class, shape of a good target, bad value, dtype): values that a cast to a smaller type would make good, too."""
    for cls in (MLSM, BCE):
        for dtype in ("f2", "f4", "f8"):
            for value in (np.nan, np.inf, -np.inf, -0.25, 1.25, 2, -1):
                yield cls, value, dtype
        yield cls, 1 + 2**-49, "f8"  # beyond the few ulp that count as the bound
        yield cls, -(2.0**-49), "f8"
        yield cls, 1e300, "f8"
        for dtype, values in {
            "u1": (2, 255), "i1": (-1, 2), "i2": (-1, 2, 256, 257), "u2": (2, 256, 257), "i4": (-1, 2, 256, 2**16),
            "u4": (2, 2**31, 2**32 - 1), "i8": (-1, 2, 256, 257, 2**32, 2**32 + 1, 2**63 - 1, -(2**63), 1 - 2**32),
            "u8": (2, 2**32 + 1, 2**63, 2**64 - 1),
        }.items():  # fmt: skip
            for value in values:
                yield cls, value, dtype
    for dtype in ("f2", "f4", "f8"):
        for value in (np.nan, np.inf, -np.inf, 0, 0.5, 2, -2):
            yield HE, value, dtype
    yield HE, 1 + 2**-52, "f8"
    yield HE, -1 - 2**-51, "f8"
    for dtype, values in {
        "u1": (0, 2, 255), "i1": (0, 2, -2), "i2": (0, 255, 257, -257), "u2": (0, 2**16 - 1), "i4": (0, 2**16 + 1),
        "u4": (0, 2**32 - 1), "i8": (0, 2**32 - 1, 2**32 + 1, -(2**32) - 1, 2**63 - 1, -(2**63)),
        "u8": (0, 2**64 - 1, 2**32 + 1),
    }.items():  # fmt: skip
        for value in values:
            yield HE, value, dtype
    for dtype, values in {
        "u1": (C, 255), "i1": (-1, C), "i2": (-1, C, 256), "u2": (C, 256, 2**16 - 1), "i4": (-1, C, -(2**31), 2**16),
        "u4": (C, 2**32 - 1, 2**31), "i8": (-1, C, -100, 2**32, 2**32 + 1, -(2**32), 2**63 - 1, -(2**63)),
        "u8": (C, 2**32, 2**63, 2**64 - 1),
    }.items():  # fmt: skip
        for value in values:
            yield MM, value, dtype


bounded = pytest.mark.parametrize("cls", [c for c in dense if kind_of(c) not in ("real", "log_probability")], ids=name)


def allowed(cls):
    return cls.declaration.target.requirement.format(n_classes=C)


@pytest.mark.parametrize(
    ("cls", "value", "dtype"),
    [pytest.param(*case, id=f"{name(case[0])}-{case[2]}-{case[1]}") for case in bad_targets()],
)
def test_bad_target(cls, value, dtype):
    """Found wherever it stands, named with its index and the value that the caller wrote."""
    for real in ("float32", "float64"):
        x, y = good(cls, real)
        y = np.abs(y).astype(dtype)  # all good: 0 and 1, or 1
        for at in ((0, 0), (2, 1), (3, 2)):
            at = at[: y.ndim]
            target = with_item(y, at, value)
            before = x.tobytes(), target.tobytes()
            index = ", ".join(map(str, at))
            for call in (cls(), cls(reduction="none"), cls().grad, cls(reduction="sum").value_and_grad):
                with pytest.raises(ValueError, match=re.escape(f"target[{index}] = ")) as caught:
                    call(x, target)
                message = str(caught.value)
                assert allowed(cls) in message
                number = message.partition(" = ")[2].partition(" ")[0]
                assert np.array_equal(np.array(number, dtype), target[at], equal_nan=target.dtype.kind == "f")
            assert before == (x.tobytes(), target.tobytes())


@bounded
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bad_target_anywhere(cls, dtype, level):
    """In any row and column, lane, block or tail; with weights, into `out`, on several threads."""
    rng = np.random.default_rng(1)
    for shape in [(1, 1), (3, 1), (2, 40), (37, 3), (19, 16), (300, 5), (5, 1003), (3000, 70)]:
        x, y = input_of(shape, dtype, rng, cls), target_of(cls, shape, rng)
        weight = rng.random(shape[1])
        for _ in range(4):
            at = tuple(int(rng.integers(n)) for n in y.shape)
            if kind_of(cls) == "labels":  # which are read up to the first -1
                at = (at[0], 0)
            target_dtype = rng.choice(
                ["i1", "i4", "i8"] if cls.declaration.takes_ids else ["i1", "i4", "i8", "f4", "f8"]
            )
            target = with_item(y, at, -2 if y.ndim == 2 else -1, "i2" if target_dtype == "i1" else target_dtype)
            for loss in (plain(cls, p=2), plain(cls, reduction="none", weight=weight)):
                for threads in (1, 2):
                    with pytest.raises(ValueError, match=rf"target\[{', '.join(map(str, at))}\] = -[12](\.0)? "):
                        loss.value_and_grad(x, target, n_threads=threads)
                    with pytest.raises(ValueError, match="target"):
                        loss(x, target, n_threads=threads)
                    out = np.empty_like(x)
                    with pytest.raises(ValueError, match="target"):
                        loss.grad(x, target, out=out, n_threads=threads)


@pytest.mark.parametrize("cls", [c for c in dense if not c.declaration.takes_ids], ids=name)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_targets_that_are_not_finite(cls, dtype):
    """Refused by every loss, for input of either type."""
    for real in ("float32", "float64"):
        x, y = good(cls, real)
        for value in (np.nan, np.inf) if kind_of(cls) == "log_probability" else (np.nan, np.inf, -np.inf):
            with pytest.raises(ValueError, match=rf"target\[2, 1\] = {value} is not "):
                cls().value_and_grad(x, with_item(np.abs(y), (2, 1), value, dtype))


@pytest.mark.parametrize("cls", [MLSM, BCE], ids=name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_a_few_ulp_beyond_a_bound_count_as_the_bound(cls, dtype):
    x, y = good(cls, dtype)
    little = 3 * np.finfo(dtype).eps
    beyond = np.where(y > 0, 1 + little, -little).astype(dtype)
    for got, expected in zip(cls().value_and_grad(x, beyond), cls().value_and_grad(x, y), strict=True):
        assert np.array_equal(got, expected)


@bounded
def test_bad_target_in_other_memory(cls):
    """The index is the caller's, whatever the strides."""
    x, y = good(cls)
    y = with_item(y, (1,) * y.ndim, -7)
    index = "[1, 1]" if y.ndim == 2 else "[1]"
    double = np.zeros(tuple(2 * n for n in y.shape), y.dtype)
    strided = double[tuple(slice(None, None, 2) for _ in y.shape)]
    strided[...] = y
    for target in (np.asfortranarray(y), strided, swapped(y), y.tolist(), y.astype("i2")):
        with pytest.raises(ValueError, match=rf"target{re.escape(index)} = -7 "):
            cls()(x, target)


def test_bad_target_that_is_broadcast():
    """hinge embedding: the index is that of the target as it was given."""
    x = np.zeros((50, 4), np.float32)
    for target, where in (
        ([1, -1, 0, 1], "target[2] = 0 "),
        ([[1]] * 30 + [[3]] + [[1]] * 19, "target[30, 0] = 3 "),
        (5, "target = 5 "),
    ):
        for call in (HE(), HE(reduction="none").grad):
            with pytest.raises(ValueError, match=re.escape(where)):
                call(x, target)


@pytest.mark.parametrize("cls", [c for c in dense if kind_of(c) in ("unit", "sign", "class")], ids=name)
def test_labels_beyond_int64(cls):
    for bad_label in (2**63, 2**64 - 1, 2**64, 2**200, -(2**63) - 1):
        for others in ([0, 1, 1], [-1, 1, 1]):
            target = (
                [bad_label, *others] if cls.declaration.takes_ids else [[label] * C for label in (bad_label, *others)]
            )
            with pytest.raises((TypeError, ValueError), match=r"\btarget\b"):
                cls()(np.zeros((N, C)), target)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool"])
def test_class_ids_are_integers(dtype):
    x, y = good(MM)
    with pytest.raises(TypeError, match=rf"\btarget\b.*{dtype}"):
        MM()(x, y.astype(dtype))
    with pytest.raises(TypeError, match=r"\btarget\b"):
        MM()(x, [0.0, 1.0, 2.0, 0.0])


def test_hinge_embedding_refuses_bool():
    """False is not -1."""
    x, y = good(HE)
    for target in (y > 0, True, [True] * C):
        with pytest.raises(TypeError, match=r"\btarget\b.*bool"):
            HE()(x, target)


@pytest.mark.parametrize("cls", dense, ids=name)
def test_out_shares_memory_with_what_is_read(cls):
    x, _ = good(cls)
    for key in cls.declaration.weights:
        memory = np.ones(N * C + C, np.float32)
        weight = memory[:C] if cls.declaration.takes_ids else memory[: N * C].reshape(N, C)
        out = memory[: N * C].reshape(N, C)
        y = good(cls)[1]
        loss = plain(cls, **{key: weight})
        # a loss that keeps its own copy of the weights has nothing to share
        if np.shares_memory(out, getattr(loss, key)):
            with pytest.raises(ValueError, match=rf"\bout\b.*\b{key}\b"):
                loss.grad(x, y, out=out)
        else:
            assert loss.grad(x, y, out=out) is out
    if cls.declaration.takes_ids:
        memory = np.zeros(2 * N * C, np.int32)
        y, out = memory[2 : 2 + N], memory[: N * C].view(np.float32).reshape(N, C)
        y = y.reshape(N, 1) if kind_of(cls) == "labels" else y
    else:
        memory = np.ones(N * C + 4, np.float32)
        y, out = memory[: N * C].reshape(N, C), memory[4:].reshape(N, C)
    for loss in (cls(), cls(reduction="none")):
        before = memory.copy()
        for call in (loss.grad, loss.value_and_grad):
            with pytest.raises(ValueError, match=r"\bout\b.*\btarget\b"):
                call(x, y, out=out)
            assert np.array_equal(memory, before)
    if not cls.declaration.takes_ids:  # exactly the target's memory
        with pytest.raises(ValueError, match=r"\bout\b.*\btarget\b"):
            cls().grad(x, y, out=y)


@pytest.mark.parametrize("cls", dense, ids=name)
def test_out_in_other_operands(cls):
    """It shares memory with nothing but input."""
    x, y = good(cls)
    memory = np.ones(N * C, np.float32)
    out = memory.reshape(N, C)
    loss = cls(reduction="none")
    for key, shape in (("sample_weight", (N,)), ("grad_output", np.shape(loss(x, y)))):
        view = memory[: math.prod(shape)].reshape(shape)
        with pytest.raises(ValueError, match=rf"\bout\b.*\b{key}\b"):
            loss.grad(x, y, out=out, **{key: view})
        assert np.all(memory == 1)


def test_bce_takes_weights_by_keyword_alone():
    with pytest.raises(TypeError, match="positional"):
        BCE(np.ones(3))


@pytest.mark.parametrize("form", ["csc", "coo", "lil", "dok", "dia", "bsr"])
def test_sparse_targets_that_are_not_csr(form):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = getattr(sparse, f"{form}_array")(np.eye(3))
    with pytest.raises(TypeError, match=rf"target is sparse in format {form}; allowed is CSR: target\.tocsr\(\)"):
        BCE()(np.ones((3, 3)), matrix)
    with pytest.raises(TypeError, match=r"input is sparse in format .*: input\.toarray\(\)"):
        BCE()(matrix.tocoo(), np.ones((3, 3)))


@pytest.mark.parametrize("form", ["csc", "coo", "lil"])
def test_sparse_labels_that_are_not_csr(form):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = getattr(sparse, f"{form}_array")((4, 9))
    w, b, x = np.zeros((9, 2)), np.zeros(9), np.zeros((4, 2))
    for loss in (lossext.LinearSoftmaxLoss(), lossext.LinearBCELoss(), lossext.SampledSoftmaxLoss(3, 9)):
        with pytest.raises(TypeError, match=rf"labels is sparse in format {form}; allowed is CSR: labels\.tocsr\(\)"):
            loss(w, b, matrix, x)
    with pytest.raises(TypeError, match=rf"exclude is sparse in format {form}; allowed is CSR: exclude\.tocsr\(\)"):
        lossext.topk(w, b, x, 2, exclude=matrix)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_parameters_of_an_interval_that_are_not_finite(value):
    for make, message in (
        (lambda: BCE(label_smoothing=value), rf"label_smoothing = {value} is not in \[0, 1\]"),
        (lambda: lossext.PinballLoss(quantile=value), rf"quantile = {value} is not in \(0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_row_sparse_messages():
    with pytest.raises(TypeError, match="shape must be a tuple of ints, not int"):
        lossext.RowSparse([0], np.ones((1, 2)), 9)
    arrays = [np.zeros((9, 2)) for _ in range(3)]
    with pytest.raises(TypeError, match=r"betas must be a tuple of two numbers in .*, not float"):
        lossext.RowSparse([0], np.ones((1, 2)), (9, 2)).adam(*arrays, 1, betas=0.9)


class Csr:
    """A CSR matrix as far as losses look: [[1, 0, 1], [0, 1, 0]]."""

    def __init__(self, **changed):
        self.data, self.indices, self.indptr, self.shape = np.ones(3), np.array([0, 2, 1]), np.array([0, 2, 3]), (2, 3)
        vars(self).update(changed)


@pytest.mark.parametrize(
    ("error", "message", "changed"),
    [
        (ValueError, r"target\.indices\[1\] = 3 is not in \[0, 3\)", {"indices": np.array([0, 3, 1])}),
        (ValueError, r"target\.indices\[2\] = -1 is not in \[0, 3\)", {"indices": np.array([0, 2, -1], np.int32)}),
        (TypeError, r"target\.indices has dtype float64; allowed are integers", {"indices": np.ones(3)}),
        (ValueError, r"target\.indices has shape \(2,\); allowed is \(3,\)", {"indices": np.array([0, 2])}),
        (ValueError, r"target\.indptr has shape \(2,\); allowed is \(3,\)", {"indptr": np.array([0, 3])}),
        (ValueError, r"target\.indptr\[2\] = 1; .* ascend from 0", {"indptr": np.array([0, 2, 1])}),
        (ValueError, r"target\.indptr\[0\] = 1; .* ascend from 0", {"indptr": np.array([1, 2, 3])}),
        (ValueError, r"target\.data has shape \(2,\); allowed is \(3,\)", {"data": np.ones(2)}),
        (TypeError, r"target\.data has dtype complex128", {"data": np.ones(3, complex)}),
        (ValueError, r"target\[1, 1\] = 1\.5 is not in \[0, 1\]", {"data": np.array([1, 1, 1.5])}),
        (ValueError, r"target has shape \(3, 2\); allowed is input's, \(2, 3\)", {"shape": (3, 2)}),
    ],
)
def test_sparse_targets_whose_parts_do_not_go_together(error, message, changed):
    with pytest.raises(error, match=message):
        BCE()(np.ones((2, 3)), Csr(**changed))


@pytest.mark.parametrize("kind", ["i4", "i8"])
@pytest.mark.parametrize("dtype", [lambda k: np.dtype(k, metadata={"a": 1}), lambda k: np.dtype(k).newbyteorder("=")])
def test_dtypes_that_are_equal_and_not_the_same(kind, dtype):
    """As those of h5py, of a long int, or of an array whose byte order was turned."""
    rng = np.random.default_rng(0)
    x, ids = rng.normal(size=(50, 30)), rng.integers(0, 30, 50)
    dense = np.zeros(x.shape)
    dense[np.arange(50), ids] = 1
    other = dtype(kind)
    assert other == kind
    assert other is not np.dtype(kind)
    parts = {"indptr": np.arange(51).astype(other), "indices": ids.astype(other), "shape": x.shape}
    sparse = Csr(data=np.ones(50).astype(dtype("f8")), **parts)
    for cls in (BCE, lossext.CrossEntropyLoss, MLSM):
        assert cls()(x, sparse) == cls()(x.astype(dtype("f8")), dense.astype(dtype("f4"))) == cls()(x, dense)
    assert lossext.MultiLabelMarginLoss()(x, sparse) == lossext.MultiLabelMarginLoss()(x, ids[:, np.newaxis])
    assert MM()(x, ids.astype(other)) == MM()(x, ids)


def test_more_columns_than_float32_counts():
    """Along axis 1, where lanes count columns in the type of the scores."""
    scores = np.broadcast_to(np.float32(0), (1, 2**24 + 1, 2))
    with pytest.raises(ValueError, match=r"input has shape \(1, 16777217, 2\); of float32 at most 16777216 classes"):
        lossext.CrossEntropyLoss()(scores, np.zeros((1, 2), int))


def test_pandas_columns_say_what_to_do():
    pd = pytest.importorskip("pandas")
    x = np.ones((3, 3))
    nullable = pd.Series([True, None, False], dtype="boolean")
    with pytest.raises(TypeError, match=r"target\.to_numpy\('float64', na_value=np\.nan\)"):
        BCE()(np.ones(3), nullable)
    assert np.isfinite(BCE(missing="nan")(np.ones(3), nullable.to_numpy("float64", na_value=np.nan)))
    with pytest.raises(TypeError, match=r"target is a Series of dtype Int64 .*NA.*target\.fillna\(0\)"):
        lossext.MultiMarginLoss()(x, pd.Series([1, None, 0], dtype="Int64"))
    with pytest.raises(TypeError, match=r"target\.cat\.codes"):
        lossext.MultiMarginLoss()(x, pd.Series(list("aba"), dtype="category"))
    frame = pd.DataFrame({"a": pd.Series([1, 2], dtype="Int64"), "b": [0.5, 0.25]})
    with pytest.raises(TypeError, match=r"input is a DataFrame .*input\.to_numpy\('float64'\)"):
        lossext.MSELoss()(frame, np.ones((2, 2)))
    assert lossext.MSELoss()(frame.to_numpy("float64"), np.ones((2, 2))) > 0


def test_masked_array_with_holes():
    """A hole has no loss."""
    for cls in dense:
        x, y = good(cls)
        masked = np.ma.masked_array(x, x > 0)
        with pytest.raises((TypeError, ValueError), match=r"\binput\b"):
            cls()(masked, y)


@pytest.mark.parametrize("value", ["0", "-3", "many", "1.5", ""])
@pytest.mark.parametrize("size", ["3", "10**7"])
def test_bad_thread_variable(value, size):
    """LOSSEXT_NUM_THREADS is checked like n_threads, and named, at a call of any size."""
    code = (
        "import numpy as np, lossext\n"
        f"try: print(lossext.hinge_embedding_loss(np.zeros({size}, 'f4'), np.ones({size}, 'f4')))\n"
        "except ValueError as error: print(error)"
    )
    environment = {**os.environ, "LOSSEXT_NUM_THREADS": value}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "LOSSEXT_NUM_THREADS" in run.stdout


def test_bad_isa_variable():
    environment = {**os.environ, "LOSSEXT_ISA": "pentium"}
    code = "import lossext, numpy; lossext.hinge_embedding_loss(numpy.zeros(3), numpy.ones(3))"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "LOSSEXT_ISA" in run.stderr
    assert "pentium" in run.stderr


@pytest.mark.parametrize("name", ["link", "inverse_link"])
@pytest.mark.parametrize("shape", [(), (3,), (3, 0), (0, 0, 2)])
def test_links_of_rows_want_columns(name, shape):
    with pytest.raises(ValueError, match=r"has shape .*; allowed is \(N, C\)"):
        getattr(lossext.CrossEntropyLoss(), name)(np.ones(shape))


@pytest.mark.parametrize("cls", [lossext.CrossEntropyLoss, lossext.SoftmaxFocalLoss])
def test_a_start_wants_columns(cls):
    with pytest.raises(ValueError, match=r"target has shape \(3, 0\); at least one column"):
        cls(**({"label_smoothing": 0.1} if cls is lossext.CrossEntropyLoss else {})).init_raw(np.ones((3, 0)))


def test_more_axes_than_numpy_broadcasts():
    with pytest.raises(ValueError, match="does not broadcast with input's"):
        lossext.HingeEmbeddingLoss()(np.ones((1,) * 34), np.ones((1,) * 33))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("target", [[1j, 2j], ["a"], [None], [0.5], [True]])
def test_divisor_of_what_is_no_class(target):
    with pytest.raises((TypeError, ValueError), match="target"):
        lossext.NLLLoss().divisor(target)


ENORMOUS = 10**400
GRADIENT = lossext.RowSparse([1], [[1.0]], (3, 1))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("num_classes", lambda: lossext.LinearSoftmaxLoss().init_raw([0, 1], num_classes=ENORMOUS)),
        ("num_classes", lambda: lossext.CrossEntropyLoss().init_raw([0, 1], num_classes=ENORMOUS)),
        ("num_classes", lambda: lossext.balanced_weights([0, 1], ENORMOUS)),
        ("num_classes", lambda: samplers.UniformSampler(ENORMOUS)),
        ("num_sampled", lambda: samplers.LogUniformSampler(10).sample([0], ENORMOUS)),
        ("num_sampled", lambda: lossext.NCELoss(ENORMOUS, 10)),
        ("n", lambda: samplers.UniformSampler(10).spawn(ENORMOUS)),
        ("n", lambda: lossext.SampledSoftmaxLoss(5, 10).spawn(ENORMOUS)),
        ("k", lambda: lossext.topk(np.ones((3, 1)), np.ones(3), [[1.0]], ENORMOUS)),
        ("step", lambda: GRADIENT.adam(*np.zeros((3, 3, 1)), ENORMOUS)),
        ("num_buckets", lambda: lossext.FrequencyEstimator(ENORMOUS)),
    ],
)
def test_more_than_can_be_counted(name, call):
    with pytest.raises(ValueError, match=rf"^{name} = 10+ is greater than 9223372036854775807"):
        call()


@pytest.mark.parametrize("w", [1j, [ENORMOUS], ["a"], [[1.0]], [1j, 1j]])
def test_parameters_of_a_scipy_objective(w):
    objective = lossext.scipy_objective(lossext.MSELoss(), np.ones((3, 2)), np.ones(3))
    for call in (objective, lambda w: objective.hessp(np.zeros(2), w), objective.unpack):
        with pytest.raises((TypeError, ValueError), match=r"^[vw] (has|cannot)"):
            call(w)


@pytest.mark.parametrize("labels", ["abc", [0.5], [-1], [20], [2**63 - 1], {}, ..., [[0, 1], [2]]])
def test_a_draw_apart_from_what_are_no_classes(labels):
    with pytest.raises((TypeError, ValueError), match=r"^labels"):
        samplers.UniformSampler(20, seed=0).draw_apart(labels, 3)
