"""Shared fixtures: the instruction-set level that kernels run at, and hypothesis profiles."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lossext._kernels import drivers

sys.path.insert(0, str(Path(__file__).parent))  # references and cases, under --import-mode=importlib too

settings.register_profile(
    "default", max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


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
