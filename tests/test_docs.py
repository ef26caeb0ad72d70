"""What the documents show is true: every Python block of README.md and docs, and every doctest, runs."""

import doctest
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

import lossext
import lossext.samplers

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
ACCURACY = ROOT / "docs" / "accuracy.json"
DOCUMENTS = [path for path in (README, *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]
COMMANDS = ["pip install . && python -m lossext", "pip install '.[test]' && pytest"]


def blocks(path, language):
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def name_of_missing(error):
    """Of the library that a block or a module needs; an error of the package itself stays one."""
    missing = getattr(error.__cause__ or error, "name", None)
    if not missing or missing.startswith("lossext"):
        raise error
    return missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks(path, tmp_path, monkeypatch):
    """In order and in one session, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "document"}
    for number, block in enumerate(blocks(path, "python")):
        where = f"{path.name}, block {number}"
        if block.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block, names, where, str(path), 0)
            assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
            names = test.globs
        else:
            try:
                exec(compile(block, where, "exec"), names)
            except ImportError as error:
                missing = name_of_missing(error)
                pytest.skip(f"{where}, and what follows it, is for those who have {missing}")


@pytest.mark.skipif(not README.exists(), reason="the tests stand alone")
def test_readme():
    assert blocks(README, "python")
    languages = ("sh", "bash", "shell", "console")
    lines = [line for language in languages for block in blocks(README, language) for line in block.splitlines()]
    assert [line.removeprefix("$ ") for line in lines[:2]] == COMMANDS


@pytest.mark.skipif(not (ROOT / "docs" / "losses").exists(), reason="the tests stand alone")
def test_links_between_documents():
    """To files that are there; what the site makes, tests/test_site.py follows."""
    broken = []
    for path in DOCUMENTS:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            file = link.partition("#")[0]
            made = re.search(r"(^|/)(api|gallery)/", file)
            if file and not made and "://" not in file and not (path.parent / file).exists():
                broken.append(f"{path.name}: {link}")
            if made and "/gallery/plot_" in f"/{file}":
                example = ROOT / "examples" / "gallery" / f"{Path(file).stem}.py"
                if not example.exists():
                    broken.append(f"{path.name}: {link}")
    assert not broken, "\n".join(broken)


@pytest.mark.skipif(not (ROOT / "docs" / "losses").exists(), reason="the tests stand alone")
def test_every_loss_has_its_place():
    """Each subject has a page, which lists its losses itself; what people look up by hand names the same losses."""
    for subject in lossext.losses.SUBJECTS:
        name = subject.__name__.rpartition(".")[2]
        page = (ROOT / "docs" / "losses" / f"{name}.md").read_text(encoding="utf-8")
        if any(cls.__module__ == subject.__name__ for cls in lossext.registry()):
            assert f".. losses:: {name}\n" in page
    public = {name for name in lossext.losses.__all__ if name.endswith("Loss")}
    registered = {cls.__name__ for cls in lossext.registry()}
    readme, choices = (
        {name for name in public if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))}
        for path in (README, ROOT / "docs" / "choose.md")
    )
    assert public - registered <= readme
    assert readme == choices, "README.md and docs/choose.md name the same losses"
    if ACCURACY.exists():
        assert set(recorded_accuracy()) == readme & registered, "python tools/accuracy.py LOSS records what is missing"


def recorded_accuracy():
    return json.loads(ACCURACY.read_text(encoding="utf-8"))["losses"]


@pytest.mark.skipif(not ACCURACY.exists(), reason="the tests stand alone")
def test_recorded_accuracy():
    """Measured errors are within what each loss states."""
    for name, found in recorded_accuracy().items():
        declaration = getattr(lossext, name).declaration
        stated = [declaration.value_ulp, declaration.grad_ulp]
        assert found["bound"] == stated, f"python tools/accuracy.py {name} measures it again"
        assert all(error <= bound for error, bound in zip(found["lossext"], stated, strict=True))


def modules():
    for module in pkgutil.walk_packages(lossext.__path__, "lossext."):
        if not module.name.endswith("__main__"):
            yield module.name


@pytest.mark.parametrize("name", ["lossext", *modules()])
def test_doctests(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        missing = name_of_missing(error)
        pytest.skip(f"{name} is for those who have {missing}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_there_are_doctests():
    finder = doctest.DocTestFinder()
    for module in (lossext, lossext.samplers):
        for public in getattr(module, "__all__", dir(module)):
            thing = getattr(module, public)
            if callable(thing) and not public.startswith("_"):
                assert any(test.examples for test in finder.find(thing, public)), f"{public} shows no example"
