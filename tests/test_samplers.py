"""Samplers: what they draw, the counts they expect, their errors."""

import pickle
import re

import numpy as np
import pytest

from lossext.samplers import UniformSampler


def test_uniform_draws():
    sampler = UniformSampler(50, seed=0)
    counts = np.zeros(50)
    for _ in range(2000):
        values = sampler.sample([[0, 1]], 10)
        assert len(set(values.sampled_candidates.tolist())) == 10
        counts[values.sampled_candidates] += 1
    expected = 2000 * 10 / 50
    assert ((counts - expected) ** 2 / expected).sum() < 85.4  # chi-square of 49 degrees, 0.1 %


def test_uniform_expected_counts():
    values = UniformSampler(10, unique=False, seed=0).sample([[3], [4]], 30)
    assert values.true_expected_count.shape == (2, 1)
    np.testing.assert_allclose(values.true_expected_count, 3)
    np.testing.assert_allclose(values.sampled_expected_count, np.full(30, 3))


def test_all_classes_in_bounded_time():
    values = UniformSampler(300_000, seed=0).sample([0], 300_000)
    np.testing.assert_array_equal(np.sort(values.sampled_candidates), np.arange(300_000))
    assert 0.99 < values.true_expected_count[0] <= 1


def test_seed_and_pickle():
    sampler, again = (UniformSampler(1000, seed=5) for _ in range(2))
    assert sampler == again != UniformSampler(1000, seed=6)
    assert repr(sampler) == "UniformSampler(num_classes=1000, unique=True, seed=5)"
    first, second = (sampler.sample([1], 5).sampled_candidates for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(again.sample([1], 5).sampled_candidates, first)
    copy = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(copy.sample([1], 5).sampled_candidates, second)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "num_sampled = 11 is more than the 10 classes", lambda: UniformSampler(10).sample([1], 11)),
        (ValueError, "num_sampled = 0 is not at least 1", lambda: UniformSampler(10).sample([1], 0)),
        (TypeError, "num_sampled must be an int", lambda: UniformSampler(10).sample([1], 1.0)),
        (ValueError, "labels[0, 1] = 10 is not in [0, 10)", lambda: UniformSampler(10).sample([[1, 10]], 5)),
        (TypeError, "labels has dtype float64", lambda: UniformSampler(10).sample([1.0], 5)),
        (ValueError, "num_classes = 0 is not at least 1", lambda: UniformSampler(0)),
        (TypeError, "unique must be a bool", lambda: UniformSampler(10, unique=1)),
        (TypeError, "seed must be None", lambda: UniformSampler(10, seed="1")),
        (ValueError, "seed = -3 is negative", lambda: UniformSampler(10, seed=-3)),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=re.escape(message)):
        call()
