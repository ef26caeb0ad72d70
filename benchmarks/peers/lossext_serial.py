"""lossext in the calling thread alone."""

from collections.abc import Callable
from typing import Any

from benchmarks.cases import LOSSES, Case
from benchmarks.peers.lossext import bind, out, version

__all__ = ["LOSSES", "call", "version"]


def call(case: Case) -> Callable[[], Any]:
    return bind(case, n_threads=1, **out(case))
