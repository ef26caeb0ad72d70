"""What the package was built with, and how it would run here."""

from __future__ import annotations

import platform

import numpy as np

from lossext import _threads
from lossext._kernels import drivers
from lossext._version import __version__


def show_config() -> None:
    """Print what the package was built with and how it would run here.

    The version, Python, NumPy and the compiler; the OpenMP standard that the kernels were compiled for, and the limit
    of the OpenMP runtime they are linked with; how many threads a long enough call made now would use, and why; the
    instruction set in use, and those that this build has and this machine can run.

    Examples
    --------
    >>> import lossext
    >>> lossext.show_config()  # doctest: +ELLIPSIS
    lossext          ...
    Python           ...
    NumPy            ...
    compiler         ...
    OpenMP           ...
    threads          ...
    instruction set  ...
    """
    threads, reason = _threads.default()
    facts = {
        "lossext": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.platform()})",
        "NumPy": np.__version__,
        "compiler": drivers.compiler(),
        "OpenMP": openmp(),
        "threads": f"{threads} ({reason})",
        "instruction set": f"{drivers.isa()} (available: {', '.join(drivers.isa_levels())})",
    }
    for name, fact in facts.items():
        print(f"{name:<17}{fact}")


def openmp() -> str:
    version = drivers.openmp_version()
    return f"{version}, limit of the runtime {drivers.openmp_limit()}" if version else "none, a serial build"
