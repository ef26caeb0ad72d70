"""Processes of the suite, hypothesis profiles, and shared fixtures: the instruction-set level that kernels run at."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lossext import _threads
from lossext._kernels import drivers

sys.path.insert(0, str(Path(__file__).parent))  # references and cases, under --import-mode=importlib too

settings.register_profile(
    "default", max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give the whole suite a process for each CPU; a part of it, by file or -k, ends before they would have begun."""
    option = config.option
    if hasattr(config, "workerinput") or not hasattr(option, "numprocesses"):  # in such a process; no pytest-xdist
        return
    is_whole = all(map(os.path.isdir, config.args)) and not option.keyword
    if is_whole and option.numprocesses is None and not option.usepdb:
        option.numprocesses = min(_threads.affinity(), _threads.container_quota() or sys.maxsize)
        option.dist = "worksteal"
    if option.numprocesses:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads leave their CPU to the other processes


def at_level(name: str) -> Iterator[str]:
    before = drivers.isa()
    drivers.set_isa(name)
    try:
        yield name
    finally:
        drivers.set_isa(before)


@pytest.fixture(params=drivers.isa_levels() if os.environ.get("LOSSEXT_TEST_LEVELS") == "all" else [drivers.isa()])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """The instruction set in use (LOSSEXT_ISA names another), or with LOSSEXT_TEST_LEVELS=all each that runs here."""
    yield from at_level(request.param)
