"""What people boost with losses of this package, and what has to come out of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import lossext as lx

pytest.importorskip("lightgbm")
pytest.importorskip("sklearn")

PATH = Path(__file__).parent.parent / "examples" / "boosting.py"
if not PATH.exists():
    pytest.skip("the tests stand alone", allow_module_level=True)


@pytest.fixture(scope="module")
def examples():
    spec = importlib.util.spec_from_file_location("boosting_examples", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_rare_positives(examples, rng):
    result = examples.rare_positives(rng, 8000)
    assert min(precision for precision, _ in result.values()) > 0.04  # of nothing learnt: 0.01
    assert result["cross entropy"][1] == pytest.approx(1, abs=0.5)
    assert result["positives weighted"][1] > 3


def test_intervals(examples, rng):
    for q, (below, share) in examples.intervals(rng, 4000).items():
        assert below == pytest.approx(q, abs=0.04)
        assert share < 0.95


def test_counts(examples, rng):
    assert examples.counts(rng, 6000) > 0.02


def test_several_labels(examples, rng):
    pytest.importorskip("xgboost")
    assert min(examples.several_labels(rng, 3000)) > 0.3  # of nothing learnt: 0.24


def test_ones_own(examples, rng):
    result = examples.ones_own(rng, 3000)
    assert result["own"] < 0.5 < result["squared"]


def test_a_hand_written_objective(examples):
    assert "wrong sign" in [finding.fault for finding in lx.check_objective(examples.hand_written)]
