"""The machine's own limit, in lossext's process, on as many threads: the bare traffic of the case's arrays.

A value reads input and target (class ids are too few to count); value and gradient moreover write one array.
Compiled by the system's C compiler for this very machine; without one there is no limit to compare with.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import LOSSES, Case, arrays
from benchmarks.timing import fastest

__all__ = ["LOSSES", "call", "version"]


def version() -> str:
    library()  # so that nobody asks for more where it does not compile
    return subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()


@cache
def library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "limit.so")
        flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, str(Path(__file__).with_suffix(".c")), "-o", target], check=True)
        return ctypes.CDLL(target)


def call(case: Case) -> Callable[[], Any]:
    a = arrays(case)
    words = ctypes.c_ssize_t(a.x.nbytes // 8)
    x, y = pointer(a.x), pointer(a.y) if a.y.shape == a.x.shape else None
    if case.what == "value":
        return partial(library().limit_read, x, y, words)
    out = pointer(np.ones(case.shape, case.dtype))
    return fastest([partial(library().limit_write, x, y, out, words, around_caches) for around_caches in (0, 1)])


def pointer(array: Any) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)  # keeps the array alive
