"""How a call is timed; used in the process of the library that is timed."""

import ctypes
import gc
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

BATCHES = 5
WARM_UP = 0.02  # seconds; threads that slept take several milliseconds to wake


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Of one call, the mean over `repeats` in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def fastest(calls: list[Callable[[], Any]]) -> Callable[[], Any]:
    """Of several ways to do the same, the one to measure."""
    for call in calls:
        call()  # compiles
    return min(calls, key=lambda call: min(seconds(call) for _ in range(5)))


def usual(call: Callable[[], Any]) -> float:
    """Roughly the seconds of a call; its threads are awake."""
    start, best, repeats = time.perf_counter(), math.inf, 1
    while best > 0.001 and time.perf_counter() - start < WARM_UP:
        best = min(best, seconds(call))
    while repeats * best < 0.002:
        best = min(best, seconds(call, repeats))
        repeats *= 2
    return best


def in_slot(call: Callable[[], Any], usual: float, slot: float) -> float:
    """Seconds of a call, the median over a few batches that together fill the slot; at least one call."""
    start = time.perf_counter()
    while usual < WARM_UP and time.perf_counter() - start < WARM_UP:
        call()
    batches = min(max(int(slot / usual), 1), BATCHES)
    repeats = max(int(slot / usual / batches), 1)
    return median(seconds(call, repeats) for _ in range(batches))


def after_idling(call: Callable[[], Any], idle: float, rounds: int) -> list[float]:
    """Seconds of single calls, before each of which this process slept."""
    times = []
    for _ in range(rounds):
        time.sleep(idle)
        times.append(seconds(call))
    return times


def peak_memory(call: Callable[[], Any]) -> int:
    """Bytes of resident memory that the process holds at most in the call beyond those before (Linux, glibc)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else memory that was freed but kept would serve the call unseen
    before = _status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew from here
    result = call()
    peak = _status("VmHWM")
    del result
    return max(0, peak - before)


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(field))
