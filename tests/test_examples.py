"""The examples of output layers run, on a part of their data, and learn."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.exists(), reason="the tests stand alone"),
    pytest.mark.slow,
]


def output(name, *options):
    pytest.importorskip("tqdm")
    command = [sys.executable, EXAMPLES / f"{name}.py", *map(str, options)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert "100%" in run.stderr  # progress
    return run.stdout


def test_language_model():
    printed = output("language_model", "--files", 60, "--words", 20_000, "--epochs", 1)
    rows = re.findall(r"^(full softmax|\d+ sampled) +[\d.]+ +(\d+) +(\d+)$", printed, re.MULTILINE)
    assert [name for name, _, _ in rows] == ["full softmax", "100 sampled", "1000 sampled"]
    for _, before, after in rows:
        assert int(after) < 0.7 * int(before)


def test_two_towers():
    printed = output("two_towers", "--files", 250, "--epochs", 15)
    recall = dict(re.findall(r"^(most frequent|lossext|torch) +[\d.]+ +([\d.]+)$", printed, re.MULTILINE))
    assert float(recall["lossext"]) > float(recall["most frequent"])
    if "torch" in recall:
        assert abs(float(recall["lossext"]) - float(recall["torch"])) < 0.1
