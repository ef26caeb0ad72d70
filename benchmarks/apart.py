"""Libraries in processes of their own, one computing at a time, for the commands that time one call in few sizes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import timing

PAUSE = 0.03  # seconds until the threads of the other process have stopped spinning


def serve(make: Callable[..., Callable[[], Any]]) -> None:
    """The worker's side: a case a line on stdin, then a line for each time that is wanted."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    call: Any = None
    usual = 0.0
    for line in sys.stdin:
        case = json.loads(line)
        if case:
            call = make(*case)
            value = float(call())
            usual = timing.usual(call)
            print(json.dumps(value), file=answers)
        else:
            print(json.dumps(timing.in_slot(call, usual, 0.05)), file=answers)


class Worker:
    """A process that runs ``python -m module --serve library``."""

    def __init__(self, python: str, module: str, library: str) -> None:
        command = [python, "-m", module, "--serve", library]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, case: Any = None) -> float:
        """The value of a new case; without one, the seconds of a call."""
        time.sleep(PAUSE)
        print(json.dumps(case), file=self.process.stdin, flush=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker died")
        return float(json.loads(line))
