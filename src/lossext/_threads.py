"""How many threads a call may use: the only place where that is decided.

`n_threads` given to the call, else LOSSEXT_NUM_THREADS, else the least of what the OpenMP runtime that this package is
linked with allows in the calling thread (so OMP_NUM_THREADS and threadpoolctl hold), the CPUs the process may run on,
and the CPU quota of its container.  Whether a call has enough work for them is decided in _kernels/runtime.c.
"""

from __future__ import annotations

import functools
import math
import operator
import os
import threading
from typing import TYPE_CHECKING, Any

from lossext._kernels import drivers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Lock:
    """For what one thread at a time may change: ``with lock():``. A forked child finds it open, a copy has its own."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock, self._process = threading.Lock(), os.getpid()

    def __call__(self, in_child: Callable[[], None] | None = None) -> threading.Lock:
        """The lock itself: once taken by an `__enter__` in Python, an interrupt could leave it so.

        `in_child` is called once in a forked child, first of all.
        """
        if self._process != os.getpid():  # made in another process, where another thread may have held it
            if in_child is not None:
                in_child()
            self._renew()
        return self._lock

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, ()


def choose(n_threads: int | None, work: float) -> int:
    """Threads for a call that would take `work` nanoseconds on one."""
    if n_threads is not None:
        count = checked("n_threads", n_threads)
    else:
        count = drivers.threads_for(work)
        if not count:
            count = default()[0]
            drivers.remember_threads(count)
    return 1 if count > 1 and drivers.one_thread_only() else count


def default() -> tuple[int, str]:
    """Threads of a call with much work and no `n_threads`, and what decided it."""
    wish = os.environ.get("LOSSEXT_NUM_THREADS")
    if wish is not None:
        try:
            return checked("LOSSEXT_NUM_THREADS", int(wish)), "LOSSEXT_NUM_THREADS"
        except ValueError:
            raise ValueError(f"LOSSEXT_NUM_THREADS = {wish!r} is not a whole number of at least 1") from None
    if not drivers.openmp_version():
        return 1, "serial build"
    limits = [(drivers.openmp_limit(), "OpenMP runtime"), (affinity(), "CPU affinity")]
    quota = container_quota()
    if quota is not None:
        limits.append((quota, "CPU quota of the container"))
    return min(limits, key=operator.itemgetter(0))


def checked(name: str, value: int) -> int:
    """`value` as a number of threads; TypeError, ValueError."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int of at least 1, not a bool")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int of at least 1, not {type(value).__name__}") from None
    if count < 1:
        raise ValueError(f"{name} = {count} is not at least 1")
    return min(count, 4096)


def check_variable() -> None:
    """Have every call, however small, ask for `default` and so raise, where LOSSEXT_NUM_THREADS is no number."""
    if os.environ.get("LOSSEXT_NUM_THREADS") is not None:
        try:
            default()
        except ValueError:
            drivers.ask_always()


def affinity() -> int:
    """CPUs that the scheduler lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def container_quota(root: str | Path = "/sys/fs/cgroup", membership: str | Path = "/proc/self/cgroup") -> int | None:
    """Whole CPUs of the tightest control-group quota, v2 or v1, over the group and its ancestors; None without one."""
    from pathlib import Path  # here, once: it would take as long to import as all the rest of the package

    root = Path(root)
    try:
        lines = Path(membership).read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        if controllers and not base.exists():
            base = root / "cpu"
        group = base / path.lstrip("/")
        # in a container the path can be the host's, which is not mounted: then the root is the container's own group
        for folder in (group, *group.parents):
            if folder == base.parent:
                break
            quotas += quota_of(folder)
    return max(1, math.ceil(min(quotas))) if quotas else None


def quota_of(folder: Path) -> list[float]:
    """CPUs that a control group may use, if it says so."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{part}_us").read_text().strip() for part in ("quota", "period"))
        return [] if quota in ("max", "-1") else [int(quota) / int(period)]
    except (OSError, ValueError):
        return []


check_variable()
