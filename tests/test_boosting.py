"""What holds of lossext.boosting without any of the libraries."""

import subprocess
import sys

import pytest

import lossext.boosting


@pytest.mark.parametrize(("name", "module"), lossext.boosting.MODULES.items())
def test_missing_library(name, module, monkeypatch):
    library = module.partition("_")[0]
    monkeypatch.setitem(sys.modules, library, None)
    for loaded in (library, module):
        monkeypatch.delitem(sys.modules, f"lossext.boosting.{loaded}", raising=False)
    with pytest.raises(ImportError, match=rf"needs {library}: pip install 'lossext\[{library}\]'"):
        getattr(lossext.boosting, name)


def test_names():
    assert sorted(lossext.boosting.MODULES) == lossext.boosting.__all__
    assert dir(lossext.boosting) == sorted(lossext.boosting.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        lossext.boosting.Nothing  # noqa: B018


def test_imports_no_library():
    code = "import sys, lossext, lossext.boosting; print([m for m in sys.modules if m.split('.')[0] in {libraries}])"
    libraries = {"xgboost", "lightgbm", "catboost", "sklearn", "scipy", "pandas"}
    done = subprocess.run(
        [sys.executable, "-c", code.format(libraries=libraries)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
