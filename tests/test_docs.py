"""What the documents show is true: every Python block of README.md and every doctest of the package runs."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import lossext

README = Path(__file__).parents[1] / "README.md"
needs_readme = pytest.mark.skipif(not README.exists(), reason="the tests stand alone")
COMMANDS = ["pip install . && python -m lossext", "pip install '.[test]' && pytest"]


def blocks(language):
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@needs_readme
def test_readme_python(tmp_path, monkeypatch, capsys):
    """In order and in one session, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    assert blocks("python")
    names = {"__name__": "readme"}
    for number, block in enumerate(blocks("python")):
        if block.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block, names, f"README block {number}", str(README), 0)
            assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
            names = test.globs
        else:
            exec(compile(block, f"README block {number}", "exec"), names)


@needs_readme
def test_readme_commands():
    lines = [
        line
        for language in ("sh", "bash", "shell", "console")
        for block in blocks(language)
        for line in block.splitlines()
    ]
    assert [line.removeprefix("$ ") for line in lines[:2]] == COMMANDS


def modules():
    for module in pkgutil.walk_packages(lossext.__path__, "lossext."):
        if not module.name.endswith("__main__"):
            yield module.name


@pytest.mark.parametrize("name", ["lossext", *modules()])
def test_doctests(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if (error.name or "lossext").startswith("lossext"):
            raise
        pytest.skip(f"{name} is for those who have {error.name}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_there_are_doctests():
    finder = doctest.DocTestFinder()
    for public in lossext.__all__:
        thing = getattr(lossext, public)
        if callable(thing) and public.endswith(("Loss", "_loss", "_logits")):
            assert any(test.examples for test in finder.find(thing, public)), f"{public} shows no example"
