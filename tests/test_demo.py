"""`python -m lossext`: every loss by subject, gradients right, 100 columns, options, and help() of the package."""

import pydoc
import re
import subprocess
import sys

import pytest

import lossext
from lossext import __main__ as demo


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lossext", *arguments], capture_output=True, text=True, timeout=300, check=False
    )


def test_every_loss():
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""  # progress is for terminals
    assert max(map(len, done.stdout.splitlines())) <= 100
    names = {name for name in lossext.losses.__all__ if name.endswith("Loss")}
    rows = re.findall(r"^  (\w+) +([\d.-]+) +([\d.-]+) ", done.stdout, re.MULTILINE)
    assert {name for name, *_ in rows} == names
    assert all(float(after) < float(before) for _, before, after in rows)
    for subject in lossext.losses.SUBJECTS:
        assert subject.__doc__.partition(",")[0].rstrip(".") in done.stdout


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "values.png"
    demo.draw([demo.runs()[0][1]()], str(picture))
    assert picture.stat().st_size > 10_000


def test_a_wrong_gradient_is_told(monkeypatch, capsys):
    first = demo.runs()[0]
    result = first[1]()._replace(gradient_error=1e-3)
    monkeypatch.setattr(demo, "runs", lambda: [(first[0], lambda: result)])
    assert demo.main([]) == 1
    assert "WRONG GRADIENT" in capsys.readouterr().out


def test_help_option():
    done = run("--help")
    assert done.returncode == 0
    assert "--plot FILE" in done.stdout


def test_help_of_the_package():
    text = pydoc.plain(pydoc.render_doc(lossext))
    assert len(text.splitlines()) < 300
    for cls in lossext.registry():
        assert cls.__name__ in text
        assert max(map(len, cls.__doc__.splitlines())) <= 120
