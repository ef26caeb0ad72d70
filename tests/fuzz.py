"""A fuzzer of the whole public API: tests/fuzz.py [--seed S] [--first I] [--calls N | --seconds T] [--state FILE]

Call i depends on the seed and on i alone, so `--first i --calls 1` repeats it, and `--state` goes on where a run ended.
Arguments are of any shape, dtype, order, alignment and class, and lie at times.  What must hold: an exception is a
TypeError, ValueError or MemoryError; no warning, whatever NumPy's error state; inputs stay as they were; numbers are
those of the long double formulas of tests/twins.py.  A crash ends the process: the number of the call is in the state.
"""

import argparse
import collections
import copy
import pickle
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from cases import kind_of, takes_part_of_the_line, target_of
from twins import TWINS, assert_close, reference

import lossext as lx
from lossext import samplers
from lossext._declare import parameters_of as declared

ALLOWED = (TypeError, ValueError, MemoryError)
REAL = ("f2", "f4", "f8", ">f4", ">f8")
OTHER = ("i1", "u1", "i2", "i4", "i8", "u8", "bool", ">i4", "u2")
STRANGE = ("c16", "O", "U3", "S2", "M8[s]", "g", "V4")
ULPS = 60.0


class Subclass(np.ndarray):
    """An array of another class, which does nothing else."""


class Liar(np.ndarray):
    """Says that it is longer than it is."""

    @property
    def shape(self):
        return (1 << 16, *super().shape[1:])


class Csr:
    """A sparse matrix as far as the package looks; its parts need not go together."""

    def __init__(self, data, indices, indptr, shape):
        self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape


class Fuzzer:
    """One call."""

    def __init__(self, seed, number):
        self.rng = np.random.default_rng([seed, number])
        self.taken_apart = False  # a RowSparse whose private attributes were replaced: an error of any kind will do
        self.inputs = []  # (array, copy): what must stay as it was

    # ---- arguments ----

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def shape(self, most=5):
        if self.chance(0.03):
            return (0, *self.rng.integers(0, 4, int(self.rng.integers(0, 3))).tolist())
        n_dims = int(self.rng.choice([0, 1, 2, 3, 4, 5], p=[0.05, 0.2, 0.5, 0.15, 0.06, 0.04]))
        longest = {0: 1, 1: 2000, 2: 60, 3: 12}.get(n_dims, 5)
        return tuple(int(n) for n in np.ceil(self.rng.random(n_dims) ** 2 * longest))

    def numbers(self, shape, low=-4.0, high=4.0, wild=False):
        x = np.round((low + (high - low) * self.rng.random(shape)) * 64) / 64  # every type holds these
        if wild and x.size:
            special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, 1e300, -1e300, 3e38, 65504.0, 1e-45, 0.5, 1.0, -1.0]
            at = self.rng.random(x.shape) < 0.3
            x = np.where(at, self.rng.choice(special, x.shape), x)
        return x

    def dressed(self, array, keep=False):
        """The same numbers in memory of another kind; mostly an array, now and then something else."""
        array = np.asarray(array)
        kind = int(self.rng.integers(16))
        if kind == 0 and array.ndim:
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        elif kind == 1 and array.ndim:
            array = array[::-1].copy()[::-1]
        elif kind == 2:
            array = np.asfortranarray(array)
        elif kind == 3:
            buffer = np.zeros(array.nbytes + 1, np.uint8)
            odd = np.ndarray(array.shape, array.dtype, buffer, offset=1)
            odd[...] = array
            array = odd
        elif kind == 4:
            array = array.astype(array.dtype.newbyteorder())
        elif kind == 5:
            array = array.copy()
            array.setflags(write=False)
        elif kind == 6:
            array = array.view(Subclass)
        elif kind == 7 and not keep:
            array = array.tolist()
        elif kind == 8 and not keep and array.ndim and array.size:
            array = np.broadcast_to(array[:1], array.shape)
        if isinstance(array, np.ndarray):
            self.inputs.append((array, array.copy()))
        return array

    def odd_argument(self, like):
        """What no function should take, or take with care."""
        shape = np.shape(like)
        return self.pick(
            [
                lambda: None,
                lambda: "abc",
                lambda: [[1.0], [2.0, 3.0]],
                lambda: np.ones(shape).astype(self.pick(STRANGE[:3] + STRANGE[5:6])),
                lambda: np.ma.masked_array(np.ones(shape), np.ones(shape, bool)),
                lambda: np.ones((*shape, 2)),
                lambda: np.ones(tuple(n + 1 for n in shape)),
                lambda: np.ones(shape[1:]),
                lambda: np.ones((1 << 8, *shape[1:])).view(Liar) if len(shape) else 1.0,
                lambda: object(),
                dict,
                lambda: 1e400,
                lambda: 10**400,
                lambda: np.zeros(0),
                lambda: np.broadcast_to(np.float32(1), (1 << 40, 1 << 20)),
                lambda: memoryview(b"abcd"),
                lambda: np.datetime64("2020"),
            ]
        )()

    def sparse(self, dense):
        """(A CSR matrix of these numbers, whether it is sound): shuffled, with doubles and stored zeros at times."""
        rows, columns = np.nonzero(dense)
        data = dense[rows, columns]
        kinds = ("u1", "i8", "bool") if (data == 1).all() else ()
        data = data.astype(self.pick(("f4", "f8", ">f4", *kinds)))
        if self.chance(0.2):
            order = np.lexsort((self.rng.random(len(rows)), rows))
            rows, columns, data = rows[order], columns[order], data[order]
        start = np.searchsorted(rows, np.arange(len(dense) + 1))
        kind = self.pick(("i4", "i8", ">i8", "u4", "u8"))
        parts = [data, columns.astype(kind), start.astype(kind)]
        shape = dense.shape
        if self.chance(0.25):  # liars
            at = int(self.rng.integers(3))
            array = parts[at] = parts[at].astype("f8" if at == 0 else "i8")
            wild = [-1, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63), 0, 1, 7]
            for _ in range(int(self.rng.integers(1, 4))):
                if array.size:
                    array[int(self.rng.integers(array.size))] = self.pick(wild)
            if self.chance(0.3):
                parts[at] = self.pick([array[:-1], array[:0], array[None], array.astype("f4"), array.tolist(), None])
            if self.chance(0.2):
                shape = self.pick([(2, 3), (2**40, 2**40), (-1, -1), (), shape[::-1], (shape[0], 2**62), None])
            return Csr(*parts, shape), False
        for array in parts:
            self.inputs.append((array, array.copy()))
        return Csr(*parts, shape), True

    def parameters(self, cls):
        """Of a loss; now and then one that is refused."""
        chosen = {}
        for name, parameter in declared(cls).items():
            if self.chance(0.5) or parameter.check is None:
                continue
            check = parameter.check
            if self.chance(0.05):
                chosen[name] = self.pick([*check.refused, self.odd_argument(0.0)])
            elif name not in ("weight", "pos_weight") and check.tries:
                chosen[name] = self.pick(check.tries)
        return chosen

    # ---- dense losses ----

    def dense(self):
        cls = self.pick(lx.registry())
        keywords = self.parameters(cls)
        matrix, wild = cls.declaration.ranks is not None, self.chance(0.25)
        shape = self.shape()
        if matrix and not (len(shape) >= 2 and shape[1]) and self.chance(0.95):
            shape = (int(self.rng.integers(1, 50)), int(self.rng.integers(1, 50)))
        if matrix and len(shape) > 2 and max(cls.declaration.ranks) == 2 and self.chance(0.9):
            shape = shape[:2]
        dtype = self.pick(REAL if self.chance(0.9) else OTHER + STRANGE)
        part = takes_part_of_the_line(cls)
        with np.errstate(all="ignore"):
            x = self.numbers(shape, *((0.02, 0.98) if part else (-4.0, 4.0)), wild=wild)
            x = x.astype(dtype) if dtype not in STRANGE[4:] else np.ones(shape).astype("g")
        plain = not wild and np.dtype(dtype).kind == "f" and np.dtype(dtype).itemsize in (2, 4, 8)
        try:
            y = target_of(cls, shape, self.rng, soft=self.chance(0.5))
        except (ValueError, IndexError):  # no class, say
            y = np.ones(shape)
        soft = y.dtype.kind == "f"
        y = np.ceil(y * 64) / 64 if soft else y
        if kind_of(cls) != "class" and not soft and self.chance(0.5):
            y = y.astype(self.pick(("f4", "f8", "i4", "i8", "i2", "f2")))
        elif kind_of(cls) in ("class", "labels") and y.dtype.kind == "i":
            y = y.astype(self.pick(("i4", "i8", "i2")))
        if self.chance(0.04):
            y, plain = self.odd_argument(y), False
        if self.chance(0.03):
            x, plain = self.odd_argument(x), False
        if self.chance(0.04) and isinstance(y, np.ndarray) and y.size and y.dtype.kind in "if":
            y = y.copy()
            y.flat[int(self.rng.integers(y.size))] = self.pick([-7, 99, -1])
            plain = False
        if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
            x = self.dressed(x, keep=True)
        if isinstance(y, np.ndarray) and y.dtype.kind in "fiub":
            y = self.dressed(y, keep=True)
        if isinstance(y, np.ndarray) and y.ndim == len(shape) and self.chance(0.04) and y.size:
            y = self.pick([y[:1], y[..., :1], y[:, None]]) if y.ndim > 1 else y
            plain = False
        dense, sparse = y, False
        if isinstance(y, np.ndarray) and len(shape) == 2 and y.ndim == 2 and y.size and self.chance(0.15):
            if kind_of(cls) == "labels" and y.dtype.kind in "fiu" and ((y >= -1) & (y < shape[1])).all():
                chosen = np.zeros((len(y), shape[1] + 1))
                np.put_along_axis(chosen, y.astype(np.int64), 1, axis=1)  # -1 is the last column
                y, sparse = self.sparse(chosen[:, :-1])[0], True
            elif kind_of(cls) != "sign" and y.dtype.kind in "fiub":
                y, sound = self.sparse(np.asarray(y, "f8"))
                plain, sparse = plain and sound, True
            plain = plain and kind_of(cls) != "labels"  # in which the first -1 ends a row
        more = self.call_keywords(cls, shape, x, keywords)
        plain = plain and more.pop("plain")
        if sparse and "mask" in more and isinstance(more["mask"], np.ndarray):
            more["mask"] = self.rng.random(shape[0]) < 0.7
        loss = cls(**keywords)
        if self.chance(0.1):
            loss = pickle.loads(pickle.dumps(loss, int(self.rng.integers(pickle.HIGHEST_PROTOCOL + 1))))
        if self.chance(0.03):
            loss = copy.deepcopy(loss)
        want = self.pick(("value", "grad", "value_and_grad", "grad_and_hess", "other"))
        if want == "other":
            return self.other_methods(loss, x, y)
        call = dict(more)
        if want == "value":
            call = {k: v for k, v in call.items() if k not in ("grad_output", "out")}
            result = {"value": loss(x, y, **call)}
        elif want == "grad":
            result = {"grad": loss.grad(x, y, **call)}
        elif want == "value_and_grad":
            result = dict(zip(("value", "grad"), loss.value_and_grad(x, y, **call), strict=True))
        else:
            call.pop("out", None)
            call["curvature"] = self.pick(cls.declaration.curvatures)
            result = dict(zip(("grad", "hess"), loss.grad_and_hess(x, y, **call), strict=True))
        for name, array in result.items():
            wanted = np.float64 if np.asarray(x).dtype.kind != "f" else np.asarray(x).dtype.newbyteorder("=")
            assert np.asarray(array).dtype == wanted, f"{name} has dtype {np.asarray(array).dtype} for {wanted}"
            if name != "value":
                assert array.shape == np.shape(x)
        if plain and cls.__name__ in TWINS and np.size(x):
            if sparse and "mask" in call:  # the formula has one per element
                by_row = call["mask"] if cls.declaration.value_by_row else call["mask"][:, None]
                call["mask"] = by_row if cls.declaration.value_by_row and cls.declaration.family != "element" else None
                if call["mask"] is None:
                    return "answered"
            return self.compare(loss, x, dense, call, result)
        return "answered"

    def call_keywords(self, cls, shape, x, keywords):
        """Arguments beside input and target; `plain`: whether the formula knows them."""
        more, plain = {}, True
        value_shape = shape[:1] + shape[2:] if cls.declaration.value_by_row else shape
        if self.chance(0.2):
            more["sample_weight"] = self.dressed(np.ceil(4 * self.rng.random(shape[:1])) / 4)
        if self.chance(0.2) and not cls.declaration.value_by_row:
            tail = self.pick([shape, shape[1:], (), shape[-1:], (1,) * len(shape)])
            more["element_weight"] = self.dressed(np.ceil(4 * self.rng.random(tail)) / 4)
        if self.chance(0.15):
            more["mask"] = self.rng.random(value_shape) < 0.7
            self.inputs.append((more["mask"], more["mask"].copy()))
        if self.chance(0.15):
            scalar = keywords.get("reduction", "mean") != "none"
            more["grad_output"] = self.pick([2.0, -0.5]) if scalar else np.full(value_shape, 0.5)
        if self.chance(0.3):
            more["n_threads"] = int(self.rng.integers(1, 5))
        if self.chance(0.1) and isinstance(x, np.ndarray) and x.dtype.kind == "f":
            kind = int(self.rng.integers(5))
            if kind == 0:
                more["out"] = np.empty(x.shape, x.dtype.newbyteorder("="))
            elif kind == 1:
                more["out"] = np.empty(x.shape, "f8" if x.dtype != np.float64 else "f4")
            elif kind == 2:
                more["out"] = np.empty((*x.shape, 2), x.dtype)[..., 0]
            elif kind == 3:
                more["out"], plain = x, False
                self.inputs = [pair for pair in self.inputs if pair[0] is not x]
            else:
                more["out"], plain = np.empty(x.shape, x.dtype).view(Liar), False
        if self.chance(0.05) and more:
            name = self.pick(list(more))
            more[name], plain = self.odd_argument(np.ones(shape)), False
        if self.chance(0.01):
            more["unknown"] = 1
        return {**more, "plain": plain}

    def compare(self, loss, x, y, call, result):
        formula = {k: v for k, v in call.items() if k not in ("n_threads", "out")}
        twin = reference(loss, np.asarray(x), np.asarray(y), **formula)
        for name, got in result.items():
            exact, terms = getattr(twin, name), getattr(twin, f"{name}_terms")
            ulps = 4.0 if np.asarray(got).dtype == np.float16 else ULPS  # computed in float32, and rounded
            assert_close(got, exact, np.maximum(terms, abs(exact)), ulps, f"{name} of {loss!r}")
        return "compared"

    def other_methods(self, loss, x, y):
        names = ("inverse_link", "link", "init_raw", "weighted", "divisor", "repr", "eq", "accumulator", "product")
        name = self.pick(names)
        if name == "repr":
            assert repr(loss)
        elif name == "eq":
            assert (loss == copy.copy(loss)) in (True, False)
        elif name in ("inverse_link", "link"):
            getattr(loss, name)(x)
        elif name == "weighted":
            weight = self.numbers(np.shape(x)[:1], 0, 4, wild=self.chance(0.2))
            loss.divisor(y, sample_weight=weight) if self.chance(0.3) else loss.init_raw(y, weight)
        elif name == "accumulator":
            total = loss.accumulator()
            if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.ndim and y.ndim):
                total.update(x, y)
                return "answered"
            half = len(x) // 2
            for part in (slice(None, half), slice(half, None)):
                total.update(x[part], y[part])
            total = pickle.loads(pickle.dumps(total))
            return self.same_value(total.value(), loss, x, y)
        elif name == "product":
            if not hasattr(loss, "hess_product"):
                return "answered"
            loss.log_normalizer(x)
            loss.hess_product(x, y, self.numbers(np.shape(x)))
        else:
            getattr(loss, name)(y)
        return "answered"

    def same_value(self, value, loss, x, y):
        """Of chunks and at once, where every term is finite and of one sign."""
        right = loss(x, y)
        if not (np.isfinite(right) and np.isfinite(value) and right > 0):
            return "answered"
        size = np.asarray(loss._with(reduction="none")(x, y)).astype(float)
        if not ((size >= 0).all() and np.isfinite(size).all()):
            return "answered"
        type_ = np.finfo(right.dtype)  # in Python's numbers: the caller's error state may raise
        ulps = 2 * (loss.declaration.value_ulp + 1)  # of a value and of a total, on either side
        bound = ulps * float(type_.eps) * abs(float(right)) + float(type_.tiny)
        assert abs(float(value) - float(right)) <= bound, (value, right)
        return "compared"

    # ---- layers ----

    def layer(self):
        v, d, n = (int(k) for k in self.rng.integers(1, [60, 40, 30]))
        dtype = self.pick(("f4", "f8", "f2", ">f8", "i4"))
        w, b, x = (self.numbers(s).astype(dtype) for s in ((v, d), (v,), (n, d)))
        labels = self.rng.integers(0, v, n)
        arrays = [self.dressed(w, keep=True), self.dressed(b, keep=True), labels, self.dressed(x, keep=True)]
        if self.chance(0.1):
            i = int(self.rng.integers(4))
            arrays[i] = self.odd_argument(arrays[i])
        elif self.chance(0.05):
            labels[int(self.rng.integers(n))] = self.pick([-1, v, 2**62, -(2**63)])
        more = {"n_threads": int(self.rng.integers(1, 5))} if self.chance(0.5) else {}
        if self.chance(0.2):
            more["sample_weight"] = np.ceil(3 * self.rng.random(n)) - 1
        if self.chance(0.05):
            more["sample_weight"] = self.odd_argument(labels)
        reduction = self.pick(("none", "mean", "sum"))
        kind = int(self.rng.integers(6))
        sampled = int(self.rng.integers(1, v + 2))
        if kind < 2:
            loss = (lx.SampledSoftmaxLoss, lx.NCELoss)[kind](
                sampled, v, seed=int(self.rng.integers(9)), reduction=reduction
            )
            if self.chance(0.3):
                more["exclude"] = self.rng.integers(-1, v, (n, 2))
        elif kind == 2:
            loss = lx.LinearSoftmaxLoss(reduction, label_smoothing=self.pick((0.0, 0.1)))
        elif kind == 3:
            loss = lx.LinearBCELoss(reduction=reduction)
            if isinstance(arrays[2], np.ndarray) and arrays[2].ndim == 1:
                arrays[2] = arrays[2][:, None]
        elif kind == 4:
            _, ids = lx.topk(arrays[0], arrays[1], arrays[3], int(self.rng.integers(0, v + 2)))
            assert ((ids >= 0) & (ids < v)).all()
            return "answered"
        else:
            loss = lx.InBatchSoftmaxLoss(self.pick((1.0, 0.1)), reduction, normalize=self.chance(0.5))
            loss.value_and_grad(arrays[3], arrays[3], item_ids=arrays[2] if self.chance(0.5) else None)
            return "answered"
        if self.chance(0.3):
            value = loss(*arrays, **more)
        else:
            value, grad = loss.value_and_grad(*arrays, **more)
            grad.weights.to_dense() if hasattr(grad.weights, "to_dense") else None
        if kind == 2 and "sample_weight" not in more and dtype in ("f4", "f8") and not loss.label_smoothing:
            z = np.float64(x) @ np.float64(w).T + np.float64(b)
            peak = z.max(axis=1, keepdims=True)
            right = np.log(np.exp(z - peak).sum(axis=1)) + peak[:, 0] - z[np.arange(n), labels]
            right = {"none": right, "mean": right.mean(), "sum": right.sum()}[reduction]
            scale = float(np.abs(z).max()) * d * (n if reduction == "sum" else 1)
            assert np.abs(value - right).max() <= scale * (1e-5 if dtype == "f4" else 1e-13)
            return "compared"
        return "answered"

    # ---- row-sparse gradients, samplers, the rest ----

    def row_sparse(self):
        rows, length = int(self.rng.integers(1, 30)), int(self.rng.integers(1, 20))
        indices = self.rng.integers(0, rows, int(self.rng.integers(0, 20)))
        values = self.numbers((len(indices), length)).astype(self.pick(("f2", "f4", "f8", "i4", ">f4")))
        if self.chance(0.05):
            indices = self.odd_argument(indices)
        g = lx.RowSparse(self.dressed(indices), self.dressed(values), self.pick([(rows, length), (rows + 5, length)]))
        if self.chance(0.2):
            g = pickle.loads(pickle.dumps(g, int(self.rng.integers(6))))
        if self.chance(0.1):
            self.taken_apart = True
            setattr(g, self.pick(("_indices", "_values", "_shape")), self.odd_argument(g.values))
        dtype = self.pick(("f2", "f4", "f8"))
        table = np.zeros(self.pick([g.shape, (3, 2)]), dtype)
        if self.chance(0.1):
            table = table.view(Liar)
        state = [np.zeros(np.shape(table), "f4" if dtype == "f2" else dtype) for _ in range(2)]
        name = self.pick(("add_to", "sgd", "adagrad", "adam", "+", "*", "norm", "to_dense"))
        if name == "add_to":
            g.add_to(table, self.pick((1.0, -0.5, 1e300, 0)), n_threads=int(self.rng.integers(1, 4)))
        elif name == "sgd":
            g.sgd(table, 0.1)
        elif name == "adagrad":
            g.adagrad(table, state[0])
        elif name == "adam":
            g.adam(table, *state, int(self.rng.integers(0, 4)))
        elif name == "+":
            both, one = (g + g).to_dense().astype(float), g.to_dense().astype(float)
            assert (np.abs(both - 2 * one) <= 0.01).all()
        elif name == "*":
            assert (g * 2.0).shape == g.shape
        elif name == "norm":
            right = np.sqrt((g.to_dense().astype(float) ** 2).sum())
            assert abs(g.norm() - right) <= 1e-12 * right
        else:
            g.to_dense()
        return "answered"

    def sampler(self):
        v = int(self.pick((1, 2, 7, 50, 2**31, 2**40)))
        seed = int(self.rng.integers(9))
        make = self.pick(
            [
                lambda: samplers.UniformSampler(v, self.chance(0.5), seed),
                lambda: samplers.LogUniformSampler(v, self.chance(0.5), seed),
                lambda: samplers.LearnedUnigramSampler(min(v, 50), self.chance(0.5), seed),
                lambda: samplers.FixedUnigramSampler(
                    np.ceil(3 * self.rng.random(20)) - 1, self.pick((1.0, 0.75, 0)), seed=seed
                ),
                lambda: samplers.AllSampler(min(v, 50)),
            ]
        )
        s = make()
        if self.chance(0.2):
            s = pickle.loads(pickle.dumps(s))
        labels = self.rng.integers(-1 if self.chance(0.1) else 0, min(s.num_classes, 1000), self.shape()[:3])
        if self.chance(0.05):
            labels = self.odd_argument(labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes that are not sorted
            result = s.sample(labels, int(self.rng.integers(-1, 60)))
        drawn = result.sampled_candidates
        assert ((drawn >= 0) & (drawn < s.num_classes)).all()
        assert np.isfinite(result.sampled_expected_count).all()
        return "answered"

    def helpers(self):
        y = self.rng.integers(0, 5, self.shape()[:2])
        if self.chance(0.2):
            y = self.odd_argument(y)
        name = self.pick(("balanced_weights", "balanced_pos_weight", "function", "frequency"))
        if name == "balanced_weights":
            lx.balanced_weights(y, int(self.rng.integers(0, 8)))
        elif name == "balanced_pos_weight":
            lx.balanced_pos_weight(y)
        elif name == "frequency":
            f = lx.FrequencyEstimator(int(self.rng.integers(0, 64)))
            f.update(y)
            f.log_q(y)
        else:
            cls = self.pick(lx.registry())
            getattr(lx, cls.declaration.function)(self.numbers((4, 3), 0.1, 0.9), y, **self.parameters(cls))
        return "answered"

    def run(self):
        """What came of it; AssertionError where it is not what it should be."""
        kind = int(self.rng.choice(5, p=[0.7, 0.12, 0.08, 0.05, 0.05]))
        call = (self.dense, self.layer, self.row_sparse, self.sampler, self.helpers)[kind]
        try:
            outcome = call()
        except ALLOWED as error:
            outcome = type(error).__name__
        except Exception as error:
            if not self.taken_apart:
                raise
            outcome = type(error).__name__
        for array, before in self.inputs:
            with np.errstate(all="ignore"):
                assert array.tobytes() == before.tobytes(), "an input has changed"
        return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--calls", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--state", type=Path, help="a file that keeps the number of the call in hand")
    arguments = parser.parse_args()
    number = arguments.first
    if arguments.state and arguments.state.exists():
        number = int(arguments.state.read_text())
    if arguments.calls is None and arguments.seconds is None:
        arguments.calls = 10_000
    end = float("inf") if arguments.calls is None else number + arguments.calls
    last = time.monotonic() + (arguments.seconds or 1e9)
    outcomes, failures, begin = collections.Counter(), 0, number
    warnings.simplefilter("error")
    np.seterr(all="raise")
    while number < end and time.monotonic() < last:
        if arguments.state and number % 64 == 0:
            arguments.state.write_text(str(number))
        try:
            outcomes[Fuzzer(arguments.seed, number).run()] += 1
        except Exception:
            failures += 1
            print(f"--seed {arguments.seed} --first {number} --calls 1:\n{traceback.format_exc(limit=-4)}", flush=True)
            if failures >= 20:
                break
        number += 1
    if arguments.state:
        arguments.state.write_text(str(number))
    total = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"fuzz: {number - begin} calls from {begin} with seed {arguments.seed}: {failures} failures; {total}")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
