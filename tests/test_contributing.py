"""The worked examples of CONTRIBUTING.md, copied into a tree, built and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the source tree"),
]


def blocks(section):
    """(path, code) of a section's blocks, each under a line that names its file."""
    return re.findall(r"`((?:src|tests)/[\w/.]+)`[^\n]*:\n\n```\w+\n(.*?)```", section, re.DOTALL)


def test_new_losses(tmp_path):
    tree = tmp_path / "tree"
    # kernels that `pip install .` left in build/ are not compiled again
    ignore = shutil.ignore_patterns("lib.*", "generated", ".*", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignore)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = [block for section in text.split("\n### ")[1:] for block in blocks(section.split("\n## ")[0])]
    assert len(found) == 6
    for path, code in found:
        file = tree / path
        file.write_text((file.read_text() + "\n\n" if file.exists() else "") + code)
    environment = os.environ | {"LOSSEXT_LEVELS": ""}  # one instruction set is enough
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), "."]
    subprocess.run(install, cwd=tree, env=environment, check=True)
    environment = os.environ | {"PYTHONPATH": str(target)}
    names = "CauchyLoss or MulticlassExponentialLoss"
    tests = ["test_losses", "test_registry", "test_errors", "test_golden", "test_derivatives", "test_accuracy"]
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for arguments in (["-k", names, *(f"tests/{name}.py" for name in tests)], ["tests/test_docs.py"]):
        done = subprocess.run(pytest_run + arguments, cwd=tree, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
