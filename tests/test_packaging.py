"""What is installed, what it needs, and what importing it does."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lossext
from lossext._kernels import drivers

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / "wheels.yml"
in_checkout = pytest.mark.skipif(not WORKFLOW.exists(), reason="not a source checkout")


def python(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_version():
    assert lossext.__version__ == importlib.metadata.version("lossext")


def test_numpy_is_the_only_requirement():
    requirements = importlib.metadata.requires("lossext") or []
    assert [re.split(r"[^\w-]", line)[0] for line in requirements if "extra ==" not in line] == ["numpy"]


def test_package_data():
    names = [str(file).replace("\\", "/") for file in importlib.metadata.files("lossext") or []]
    names = [name for name in names if name.startswith("lossext/") and "__pycache__" not in name]
    if not names:
        pytest.skip("an editable install")
    assert "lossext/py.typed" in names
    compiled = [name for name in names if name.endswith((".so", ".pyd"))]
    assert [name.partition(".")[0] for name in compiled] == ["lossext/_kernels/drivers"]
    assert "lossext/_kernels/drivers.pyi" in names
    assert {Path(name).suffix for name in names} <= {".py", ".pyi", ".typed", ".so", ".pyd"}


def test_openmp_as_expected():
    expected = os.environ.get("LOSSEXT_EXPECT_OPENMP")
    if expected is None:
        pytest.skip("LOSSEXT_EXPECT_OPENMP is not set")
    assert bool(drivers.openmp_version()) == bool(int(expected))


def test_import_needs_nothing_undeclared():
    """Beside numpy: the standard library and itself."""
    found = python("""
import numpy, sys
before = set(sys.modules)
import lossext
print(*(name for name in set(sys.modules) - before if sys.modules[name].__spec__))  # Cython's shared types have none
""")
    assert {name.partition(".")[0] for name in found.split()} <= {"lossext", "numpy", *sys.stdlib_module_names}


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_import_and_small_calls_start_no_thread():
    python("""
import numpy, os
before = len(os.listdir("/proc/self/task"))
import lossext
lossext.binary_cross_entropy_with_logits([0.5], [1.0])
assert len(os.listdir("/proc/self/task")) == before
""")


def test_floating_point_state_is_left_alone():
    """A library linked with -ffast-math switches subnormal numbers off in the whole process."""
    python("import numpy as np, lossext; assert np.float32(1e-40) * np.float32(0.5) > 0; assert 5e-324 > 0")


@in_checkout
def test_workflow_copy():
    copy = ROOT / ".github" / "workflows" / "wheels.yml"
    assert not copy.is_symlink(), "GitHub does not follow links in .github/workflows"
    assert WORKFLOW.read_bytes() == copy.read_bytes()


@in_checkout
def test_actions_are_pinned():
    workflows = [WORKFLOW, *(ROOT / ".github" / "workflows").glob("*.yml")]
    used = [use for file in workflows for use in re.findall(r"uses: *(\S+)", file.read_text(encoding="utf-8"))]
    assert len(used) > 10
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used), used


@in_checkout
def test_tools_of_the_release_are_pinned_by_hash():
    installed = re.findall(r"pip install +(.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert {line for line in installed if "dist/" not in line} == {"--require-hashes -r .github/release-tools.txt"}
    tools = (ROOT / ".github" / "release-tools.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([\w.-]+)==\S+(?:.*\\\n +--hash=sha256:[0-9a-f]{64})+", tools, re.MULTILINE)
    assert len(names) == len(re.findall(r"^[\w.-]+==", tools, re.MULTILINE)) > 20


@in_checkout
def test_the_citation_is_of_this_version():
    assert f"\nversion: {lossext.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@in_checkout
def test_placeholders_stand_in_one_place():
    """The project's address is said in its metadata, from where whoever publishes it changes it."""
    files = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CITATION.cff", "CODE_OF_CONDUCT.md")]
    files += [*(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.*ml")]
    assert [path.name for path in files if "OWNER/" in path.read_text(encoding="utf-8")] == []


@in_checkout
def test_every_package_is_built_in():
    """A new subpackage must be named in pyproject.toml."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent for path in (ROOT / "src" / "lossext").rglob("*.py")}
    packages = {".".join(folder.relative_to(ROOT / "src").parts) for folder in folders}
    assert set(settings["tool"]["setuptools"]["packages"]) == packages


def test_help_of_the_demonstration():
    run = subprocess.run([sys.executable, "-m", "lossext", "--help"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0
    assert run.stdout.startswith("usage: python -m lossext")
    run = subprocess.run([sys.executable, "-m", "lossext", "--fast"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2


def test_boosting_and_sklearn_are_imported_on_first_use():
    python("""
import sys, lossext
assert "lossext.boosting" not in sys.modules
assert lossext.boosting is sys.modules["lossext.boosting"]
try:
    lossext.sklearn.LossClassifier
except ImportError:
    pass    # scikit-learn is not there
try:
    lossext.boost
except AttributeError as error:
    assert "no attribute 'boost'" in str(error)
else:
    sys.exit("there is none")
""")


def elf(option):
    """What readelf says of the extension."""
    tool = shutil.which("readelf")
    if tool is None or sys.platform != "linux":
        pytest.skip("no readelf")
    return subprocess.run([tool, option, "--wide", drivers.__file__], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif("clang" in drivers.compiler(), reason="another compiler's flags")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer stands in for them")
def test_hardening():
    """Tables that are read-only once linked, no executable stack, canaries; no search path but the wheel's own."""
    dynamic, headers, symbols = elf("-d"), elf("-l"), elf("-s")
    assert "BIND_NOW" in dynamic or "NOW" in re.findall(r"FLAGS_1.*", dynamic)[0]
    assert "GNU_RELRO" in headers
    assert re.search(r"GNU_STACK.* RW +", headers)
    assert "__stack_chk_fail" in symbols
    paths = re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", dynamic)
    assert all(path.startswith("$ORIGIN") for path in paths), paths
    if platform.machine() == "x86_64":
        assert Path(drivers.__file__).read_bytes().count(b"\xf3\x0f\x1e\xfa") > 100  # endbr64, where functions begin
