"""Samplers: what they draw, the counts they expect, their errors."""

import os
import pickle
import re
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import lossext as lx
from lossext import samplers
from lossext._kernels import drivers
from lossext.samplers import (
    AllSampler,
    FixedUnigramSampler,
    LearnedUnigramSampler,
    LogUniformSampler,
    UniformSampler,
)

COUNTS = np.array([5, 1, 0, 2, 8, 3, 1, 1, 0, 4])


def learned(unique=True, seed=None):
    """Has seen COUNTS."""
    sampler = LearnedUnigramSampler(10, unique, seed)
    sampler.sample(np.repeat(np.arange(10), COUNTS), 1)
    return sampler


SAMPLERS = {
    "uniform": (lambda **k: UniformSampler(10, **k), np.full(10, 0.1)),
    "log_uniform": (lambda **k: LogUniformSampler(10, **k), np.diff(np.log(np.arange(1, 12))) / np.log(11)),
    "fixed": (lambda **k: FixedUnigramSampler(COUNTS, **k), COUNTS / COUNTS.sum()),
    "distorted": (lambda **k: FixedUnigramSampler(COUNTS, 0.5, **k), np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()),
    "learned": (learned, (1 + COUNTS) / (10 + COUNTS.sum())),
}
CHI_SQUARE_LIMIT = 32.0  # of at most 9 degrees, passed once in 5000
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


@every_sampler
def test_frequencies(name):
    make, p = SAMPLERS[name]
    drawn = make(unique=False, seed=1).sample([0], 200_000).sampled_candidates
    counts = np.bincount(drawn, minlength=10)
    expected = p * 200_000
    assert (counts[p == 0] == 0).all()
    assert ((counts - expected)[p > 0] ** 2 / expected[p > 0]).sum() < CHI_SQUARE_LIMIT


@every_sampler
def test_expected_counts_with_repeats(name):
    make, p = SAMPLERS[name]
    values = make(unique=False, seed=1).sample([[0, 4], [9, 1]], 30)
    np.testing.assert_allclose(values.true_expected_count, 30 * p[[[0, 4], [9, 1]]])
    np.testing.assert_allclose(values.sampled_expected_count, 30 * p[values.sampled_candidates])


@every_sampler
@pytest.mark.parametrize("n_sampled", [1, 3, 6])
def test_expected_counts_of_unique_draws(name, n_sampled):
    """On the average, they are about how often a class is among the sampled ones."""
    make, _ = SAMPLERS[name]
    generator = np.random.default_rng(2)
    seen, expected = np.zeros(10), np.zeros(10)
    rounds = 4000
    sampler = make(seed=generator)
    for _ in range(rounds):
        if isinstance(sampler, LearnedUnigramSampler):
            values = sampler._draw(n_sampled)
            sampled, counts = values[0], sampler._expected(np.arange(10), n_sampled, values[1])
        else:
            sampled, counts, _ = sampler.sample(np.arange(10), n_sampled)
        assert len(np.unique(sampled)) == n_sampled
        seen[sampled] += 1
        expected += counts
    noise = 4 * np.sqrt(0.25 / rounds)
    np.testing.assert_allclose(expected / rounds, seen / rounds, atol=noise + 0.06)  # the formula is an approximation


def test_formula_of_unique_draws():
    values = LogUniformSampler(8, seed=3).sample(np.arange(8), 6)
    p = np.diff(np.log(np.arange(1, 10))) / np.log(9)
    tries = np.log1p(-values.true_expected_count) / np.log1p(-p)
    np.testing.assert_allclose(tries, tries[0])
    assert tries[0] == pytest.approx(round(tries[0]))
    assert tries[0] >= 6


@every_sampler
def test_a_race_has_the_same_distribution(name, monkeypatch):
    """Draws that end in a race of clocks, against draws by trial alone."""
    make, _ = SAMPLERS[name]
    results = []
    for patience in (-1, 10**9):
        sampler = make(seed=7)
        monkeypatch.setattr(samplers, "MAX_TRIES_PER_CLASS", patience)
        draws = [sampler._draw(7) for _ in range(5000)]
        counts = np.bincount(np.concatenate([d[0] for d in draws]), minlength=10)
        results.append((counts, np.mean([d[1] for d in draws])))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=4 * np.sqrt(2 * 0.25 * 5000))
    assert results[0][1] == pytest.approx(results[1][1], rel=0.05)


@pytest.mark.parametrize(
    "sampler",
    [
        UniformSampler(300_000, seed=0),
        LogUniformSampler(300_000, seed=0),
        FixedUnigramSampler(np.r_[1e15, np.ones(999)], seed=0),
        LearnedUnigramSampler(1000, seed=0),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_all_classes_in_bounded_time(sampler):
    begin = time.process_time()
    values = sampler.sample([0, 5], sampler.num_classes)
    np.testing.assert_array_equal(np.sort(values.sampled_candidates), np.arange(sampler.num_classes))
    assert (values.sampled_expected_count > 0).all()
    assert (values.sampled_expected_count <= 1).all()
    assert time.process_time() - begin < 2


def test_huge_ranges():
    for make in (UniformSampler, LogUniformSampler):
        values = make(2**62, seed=0).sample([2**61], 1000)
        assert 0 <= values.sampled_candidates.min() < values.sampled_candidates.max() < 2**62
        assert 0 < values.true_expected_count[0] < 1e-14


def test_large_alias_table():
    counts = np.random.default_rng(0).zipf(1.5, 100_000).clip(max=10**6)
    counts[::7] = 0
    drawn = FixedUnigramSampler(counts, unique=False, seed=0).sample([1], 1_000_000).sampled_candidates
    assert counts[drawn].min() > 0
    head = np.argsort(counts)[-50:]
    expected = 1e6 * counts[head] / counts.sum()
    observed = np.bincount(drawn, minlength=len(counts))[head]
    assert ((observed - expected) ** 2 / expected).sum() < 95


def test_learned_unigram_learns_after_the_draw():
    sampler = LearnedUnigramSampler(5, unique=False, seed=0)
    seen = [sampler.sample([[1], [1], [3]], 6).true_expected_count.ravel().tolist() for _ in range(3)]
    np.testing.assert_allclose(seen, [[1.2, 1.2, 1.2], [2.25, 2.25, 1.5], [30 / 11, 30 / 11, 18 / 11]])


def test_all():
    sampler = AllSampler(4)
    values = sampler.sample([[1, 2]], 4)
    np.testing.assert_array_equal(values.sampled_candidates, np.arange(4))
    np.testing.assert_array_equal(values.true_expected_count, [[1, 1]])
    np.testing.assert_array_equal(values.sampled_expected_count, np.ones(4))
    assert pickle.loads(pickle.dumps(sampler)) == sampler != AllSampler(5)
    assert repr(sampler) == "AllSampler(num_classes=4)"


@every_sampler
def test_seed_and_pickle(name):
    make, _ = SAMPLERS[name]
    sampler, again = (make(seed=5) for _ in range(2))
    assert sampler == again != make(seed=6)
    first, second, third = (sampler.sample([1], 5).sampled_candidates for _ in range(3))
    np.testing.assert_array_equal(again.sample([1], 5).sampled_candidates, first)
    copy = pickle.loads(pickle.dumps(again))
    assert copy == again
    np.testing.assert_array_equal(copy.sample([1], 5).sampled_candidates, second)
    np.testing.assert_array_equal(copy.sample([1], 5).sampled_candidates, third)


def test_parameters():
    assert repr(UniformSampler(1000, seed=5)) == "UniformSampler(num_classes=1000, unique=True, seed=5)"
    assert repr(FixedUnigramSampler([1, 2])) == (
        "FixedUnigramSampler(counts=array([1, 2]), distortion=1.0, unique=True, seed=None)"
    )
    sampler = LogUniformSampler(7)
    with pytest.raises(AttributeError, match="read-only"):
        sampler.unique = False
    with pytest.raises(AttributeError):
        sampler.num_classes = 3
    counts = np.ones(3)
    fixed = FixedUnigramSampler(counts)
    counts[0] = 5
    assert fixed.counts[0] == 1


def test_one_sampler_in_several_threads():
    shared, serial = (UniformSampler(1000, seed=0) for _ in range(2))
    expected = sorted(tuple(serial.sample([0], 5).sampled_candidates) for _ in range(200))
    draws = []

    def draw():
        draws.extend(tuple(shared.sample([0], 5).sampled_candidates) for _ in range(50))

    workers = [threading.Thread(target=draw) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(draws) == expected


def test_warning_for_labels_that_are_not_sorted():
    rng = np.random.default_rng(0)
    sampler = LogUniformSampler(10_000, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogUniformSampler(10_000, seed=0).sample(np.minimum(rng.zipf(1.3, 5000) - 1, 9999), 10)
        LogUniformSampler(10_000, seed=0).sample((rng.random(5000) ** 2 * 10_000).astype(int), 10)  # p ~ 1 / sqrt(i)
        for _ in range(6):
            sampler.sample(rng.integers(10_000, size=32), 10)  # too few to tell
    with pytest.warns(UserWarning, match="sorted by frequency"):
        sampler.sample(rng.integers(10_000, size=32), 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.sample(rng.integers(10_000, size=32), 10)  # once is enough


@every_sampler
def test_losses_take_samplers(name):
    make, _ = SAMPLERS[name]
    rng = np.random.default_rng(0)
    w, b, x, labels = (
        rng.normal(size=(10, 3)),
        rng.normal(size=10),
        rng.normal(size=(6, 3)),
        [[0], [1], [3], [4], [5], [0]],
    )
    loss = lx.SampledSoftmaxLoss(4, 10, sampler=make(seed=1))
    twin = make(seed=1)
    for _ in range(2):
        value = loss(w, b, labels, x)
        np.testing.assert_array_equal(value, loss(w, b, labels, x, sampled_values=twin.sample(labels, 4)))
    copy = pickle.loads(pickle.dumps(loss))
    np.testing.assert_array_equal(copy(w, b, labels, x), loss(w, b, labels, x))
    assert lx.SampledSoftmaxLoss(4, 10, sampler=make(seed=1)) == lx.SampledSoftmaxLoss(4, 10, sampler=make(seed=1))
    value = lx.sampled_softmax_loss(w, b, labels, x, 4, 10, sampler=make(seed=1))
    np.testing.assert_array_equal(value, lx.SampledSoftmaxLoss(4, 10, sampler=make(seed=1))(w, b, labels, x))


def test_the_estimate_of_a_sampler_is_nearly_unbiased():
    """With expected counts, the gradient at the inputs tends to the full softmax's."""
    rng = np.random.default_rng(0)
    w, b, x = rng.normal(size=(500, 4)), np.linspace(3, -3, 500), rng.normal(size=(20, 4))
    labels = rng.integers(500, size=20)
    full = lx.SampledSoftmaxLoss(500, 500, sampler=AllSampler(500)).grad(w, b, labels, x).inputs
    errors = []
    for n_sampled in (5, 50, 200):
        loss = lx.SampledSoftmaxLoss(n_sampled, 500, sampler=LogUniformSampler(500, unique=False, seed=0))
        errors.append(np.abs(np.mean([loss.grad(w, b, labels, x).inputs for _ in range(300)], axis=0) - full).mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "num_sampled = 11 is more than the 10 classes", lambda: UniformSampler(10).sample([1], 11)),
        (ValueError, "num_sampled = 9 is more than the 8 classes", lambda: FixedUnigramSampler(COUNTS).sample([1], 9)),
        (ValueError, "num_sampled = 0 is not at least 1", lambda: UniformSampler(10).sample([1], 0)),
        (TypeError, "num_sampled must be an int", lambda: UniformSampler(10).sample([1], 1.0)),
        (ValueError, "labels[0, 1] = 10 is not in [0, 10)", lambda: LogUniformSampler(10).sample([[1, 10]], 5)),
        (ValueError, "labels[0] = -1 is not in [0, 10)", lambda: LearnedUnigramSampler(10).sample([-1], 5)),
        (TypeError, "labels has dtype float64", lambda: UniformSampler(10).sample([1.0], 5)),
        (ValueError, "num_classes = 0 is not at least 1", lambda: UniformSampler(0)),
        (TypeError, "unique must be a bool", lambda: UniformSampler(10, unique=1)),
        (TypeError, "seed must be None", lambda: UniformSampler(10, seed="1")),
        (ValueError, "seed = -3 is negative", lambda: UniformSampler(10, seed=-3)),
        (ValueError, "counts[1] = -1 is not a finite", lambda: FixedUnigramSampler([1, -1])),
        (ValueError, "counts[0] = nan is not a finite", lambda: FixedUnigramSampler([np.nan, 1])),
        (ValueError, "counts has no entry above 0", lambda: FixedUnigramSampler([0, 0])),
        (ValueError, "counts has shape (1, 2)", lambda: FixedUnigramSampler([[1, 2]])),
        (TypeError, "distortion must be a real number", lambda: FixedUnigramSampler([1, 2], "1")),
        (ValueError, "num_sampled = 3 is not num_classes = 4", lambda: AllSampler(4).sample([1], 3)),
        (ValueError, "labels[0] = 4 is not in [0, 4)", lambda: AllSampler(4).sample([4], 4)),
        (TypeError, "sampler must have a method", lambda: lx.SampledSoftmaxLoss(2, 10, sampler=3)),
        (ValueError, "sampler has num_classes = 9", lambda: lx.SampledSoftmaxLoss(2, 10, sampler=AllSampler(9))),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()


# ---- workers ----

CHILD = """
import pickle, sys
sampler = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps([sampler.sample([1], 5).sampled_candidates.tolist() for _ in range(3)]))
"""


def in_forked_child(function):
    """What a function gives in a child of this process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, pickle.dumps(function()))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        result = pickle.load(pipe)
    os.waitpid(child, 0)
    return result


def draws(sampler):
    return [sampler.sample([1], 5).sampled_candidates.tolist() for _ in range(3)]


@every_sampler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_without_a_seed_each_process_draws_its_own(name):
    make, _ = SAMPLERS[name]
    sampler, seeded = make(seed=None), make(seed=3)
    two = [in_forked_child(lambda: draws(sampler)) for _ in range(2)]
    assert two[0] != two[1] != draws(sampler)
    same = [in_forked_child(lambda: draws(seeded)) for _ in range(2)]
    assert same[0] == same[1] == draws(seeded)
    text = pickle.dumps(sampler)
    spawned = [
        pickle.loads(subprocess.run([sys.executable, "-c", CHILD], input=text, capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert spawned[0] != spawned[1]
    assert draws(pickle.loads(text)) != draws(pickle.loads(text))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_losses_without_a_seed_draw_their_own_in_each_process():
    w, b, x = np.random.default_rng(0).normal(size=(1000, 3)), np.zeros(1000), np.ones((4, 3))
    loss = lx.SampledSoftmaxLoss(5, 1000, seed=None)
    values = [in_forked_child(lambda: loss(w, b, [1, 2, 3, 4], x).tolist()) for _ in range(2)]
    copies = [pickle.loads(pickle.dumps(loss))(w, b, [1, 2, 3, 4], x).tolist() for _ in range(2)]
    assert len({tuple(v) for v in (*values, *copies, loss(w, b, [1, 2, 3, 4], x).tolist())}) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_while_another_thread_draws():
    sampler = UniformSampler(1000)
    with sampler._drawing():
        assert len(in_forked_child(lambda: draws(sampler))) == 3


@every_sampler
def test_spawned_samplers_are_independent_and_repeatable(name):
    make, _ = SAMPLERS[name]
    first, again = make(seed=5).spawn(3), make(seed=5).spawn(3)
    sequences = [draws(s) for s in first]
    assert sequences == [draws(s) for s in again]
    assert len({str(s) for s in (*sequences, draws(make(seed=5)))}) == 4
    parent = make(seed=5)
    assert draws(parent.spawn(1)[0]) != draws(parent.spawn(1)[0])
    assert draws(pickle.loads(pickle.dumps(again[0]))) == draws(again[0])
    with pytest.raises(ValueError, match="n = 0 is not at least 1"):
        parent.spawn(0)


def test_spawned_losses():
    w, b, x = np.random.default_rng(0).normal(size=(1000, 3)), np.zeros(1000), np.ones((4, 3))
    for sampler in (None, LogUniformSampler(1000, seed=2)):
        for kind in (lx.SampledSoftmaxLoss, lx.NCELoss):
            loss = kind(5, 1000, seed=2, sampler=sampler)
            values = [one(w, b, [1, 2, 3, 4], x).tolist() for one in loss.spawn(3)]
            assert len({str(v) for v in values}) == 3
            assert loss.spawn(1)[0].num_sampled == 5


# ---- any scale, bounded ----


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-30, 1.0, 1e30, 5e307])
@pytest.mark.parametrize("distortion", [1.0, 0.5, 0.0, -1.0])
def test_counts_of_any_scale(scale, distortion):
    counts = np.array([3.0, 0.0, 1.0, 2.0]) * scale
    sampler = FixedUnigramSampler(counts, distortion, unique=False, seed=0)
    p = np.array([3.0, 0, 1, 2])
    p = np.where(p > 0, np.power(p, distortion, where=p > 0, out=np.zeros(4)), 0)
    values = sampler.sample([0, 1, 2, 3], 6)
    np.testing.assert_allclose(values.true_expected_count, 6 * p / p.sum(), rtol=1e-12)
    drawn = np.bincount(sampler.sample([0], 60_000).sampled_candidates, minlength=4)
    np.testing.assert_allclose(drawn, 60_000 * p / p.sum(), atol=600)


def test_counts_of_mixed_scale():
    sampler = FixedUnigramSampler([1e308, 1e308, 1], unique=False, seed=0)
    values = sampler.sample([0, 1, 2], 1000)
    np.testing.assert_allclose(values.true_expected_count[:2], 500)
    assert values.true_expected_count[2] > 0
    assert set(values.sampled_candidates.tolist()) == {0, 1}
    assert FixedUnigramSampler(np.array([2**64 - 1, 1], np.uint64)).sample([0], 2).sampled_candidates.size == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: UniformSampler(2**62).draw_apart(np.arange(1000), 2**60),
        lambda: UniformSampler(2**63 - 1).draw_apart(np.arange(1000), 2**62 + 5),
        lambda: LogUniformSampler(2**62).sample([1], 2**61),
        lambda: UniformSampler(2**62, unique=False).sample([1], 2**61),
    ],
)
def test_draws_that_no_memory_holds(call):
    begin = time.process_time()
    with pytest.raises((MemoryError, ValueError)):
        call()
    assert time.process_time() - begin < 1


def test_more_classes_than_int64_counts():
    for make in (UniformSampler, LogUniformSampler, AllSampler):
        with pytest.raises(ValueError, match="num_classes = 9223372036854775808 is greater than"):
            make(2**63)
    values = LogUniformSampler(2**63 - 1, unique=False, seed=0).sample([2**63 - 2], 1000)
    assert values.sampled_candidates.min() >= 0


def test_draws_are_those_of_numpy():
    """The faster way of uniform draws takes the numbers that Generator.integers gives."""
    for classes in (1, 2, 7, 1000, 10**6, 2**31 + 5, 2**32 - 1):
        for source in (np.random.PCG64, np.random.MT19937, np.random.Philox):
            mine, theirs = np.random.Generator(source(3)), np.random.Generator(source(3))
            n, n_drawn, tries = min(classes, 50), 0, 0
            drawn, right = np.empty(n, np.int64), np.empty(n, np.int64)
            result = drivers.draw_uniform(mine.bit_generator, classes, drivers.IdSet(n), drawn, 10**9)
            seen = drivers.IdSet(n)
            while n_drawn < n:
                new, used = seen.take_new(theirs.integers(classes, size=n - n_drawn + 16), right[n_drawn:])
                n_drawn, tries = n_drawn + new, tries + used
            np.testing.assert_array_equal(drawn, right)
            assert result == (n, tries)
            assert mine.integers(2**40) == theirs.integers(2**40)
