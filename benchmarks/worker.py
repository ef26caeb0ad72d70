"""A process that holds one library: takes orders on stdin, a JSON object a line, and answers likewise on stdout."""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.cases import COMMON, Case

SAMPLES = 1000
calls: dict[str, Callable[[], Any]] = {}  # what is prepared: name -> call
usual: dict[str, float] = {}


def version(peer: str) -> str:
    return str(_module(peer).version())


def prepare(peer: str, key: str, case: dict[str, Any]) -> bool:
    """Binds the arguments under this key; False if the library does not have the loss."""
    module = _module(peer)
    if case["loss"] not in getattr(module, "LOSSES", COMMON):
        return False
    call = module.call(Case(**{**case, "shape": tuple(case["shape"])}))
    if call is not None:
        calls[key] = call
    return call is not None


def check(key: str) -> list[list[float]]:
    """The value, and the gradient at places all over the array."""
    result = calls[key]()
    results = result if isinstance(result, tuple) else (result,)
    flat = [np.asarray(r.detach() if hasattr(r, "detach") else r).ravel() for r in results]
    return [r[np.linspace(0, r.size - 1, min(SAMPLES, r.size)).astype(int)].tolist() for r in flat]


def measure(key: str, slot: float) -> float:
    """Seconds of a call, measured for about as long as the slot."""
    if key not in usual:
        usual[key] = timing.usual(calls[key])
        if usual[key] > 0.1:
            return usual[key]
    return timing.in_slot(calls[key], usual[key], slot)


def after_idling(key: str, idle: float, rounds: int) -> list[float]:
    return timing.after_idling(calls[key], idle, rounds)


def peak_memory(key: str) -> int:
    return timing.peak_memory(calls[key])


def forget() -> None:
    calls.clear()
    usual.clear()


def _module(peer: str) -> Any:
    return importlib.import_module(f"benchmarks.peers.{peer}")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    orders = {f.__name__: f for f in (version, prepare, check, measure, after_idling, peak_memory, forget)}
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"result": orders[order.pop("do")](**order)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
