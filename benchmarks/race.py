"""The coordinator's side: one process for each library, their calls timed in turn."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.peers import PEERS

ROOT = Path(__file__).parent.parent
PAUSE = 0.01  # seconds until the idle threads of the process measured before have stopped spinning
MAX_SECONDS = 1.0  # total time after which a call is not repeated any further
TOLERANCE = {"float32": 2e-4, "float64": 1e-9}


class PeerError(RuntimeError):
    """A peer's process reported an exception, or died."""


class Worker:
    """A process that holds one library."""

    def __init__(self, python: str, env: Mapping[str, str]) -> None:
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker"],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def send(self, do: str, **order: Any) -> None:
        assert self.process.stdin
        try:
            print(json.dumps({"do": do, **order}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # receive says what happened

    def receive(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise PeerError(f"process ended:\n{self.log.read()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]

    def ask(self, do: str, **order: Any) -> Any:
        self.send(do, **order)
        return self.receive()

    def stop(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # of a process that has ended by itself
            self.process.stdin.close()
        self.process.wait()
        self.log.close()


class Workers:
    """One process for each library that the peers need; peers that are not installed are left out."""

    def __init__(self, peers: Iterable[str], pythons: Mapping[str, str], env: Mapping[str, str]) -> None:
        libraries = {PEERS[peer] for peer in peers}
        self.workers = {library: Worker(pythons[library], env) for library in libraries}
        self.versions: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self.failures: list[str] = []
        for peer in peers:
            self.of(peer).send("version", peer=peer)
        for peer in peers:
            try:
                self.versions[peer] = self.of(peer).receive()
            except PeerError as error:
                if peer == "lossext":
                    raise
                self.absent[peer] = str(error)

    def of(self, peer: str) -> Worker:
        return self.workers[PEERS[peer]]

    def answer(self, entry: "Entry") -> Any:
        """None, and a note, if the peer fails; lossext must not."""
        try:
            return self.of(entry.peer).receive()
        except PeerError as error:
            if entry.peer == "lossext":
                raise
            self.failures.append(f"{entry.name} fails in {entry.case}: {error}")

    def agree(self, entry: "Entry", ours: list[list[float]], theirs: list[list[float]]) -> bool:
        tolerance = TOLERANCE[entry.case.dtype]
        errors = [np.abs(np.subtract(a, b)).sum() / np.abs(a).sum() for a, b in zip(ours, theirs, strict=True)]
        if max(errors) <= tolerance:
            return True
        self.failures.append(f"{entry.name} is off by {max(errors):.1e} in {entry.case}")
        return False

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.stop()


@dataclass(frozen=True)
class Entry:
    """Somebody who takes part in a race, under the name that the results show."""

    name: str
    peer: str
    case: Case


def prepare(workers: Workers, entries: list[Entry]) -> list[Entry]:
    """Lets all bind their arguments at the same time; returns those who have the loss."""
    for worker in workers.workers.values():
        worker.ask("forget")
    for entry in entries:
        workers.of(entry.peer).send("prepare", peer=entry.peer, key=entry.name, case=asdict(entry.case))
    return [entry for entry in entries if workers.answer(entry)]


def check(workers: Workers, entries: list[Entry]) -> list[Entry]:
    """Runs every call once; returns those who get the value and the gradient of the first."""
    for entry in entries:
        workers.of(entry.peer).send("check", key=entry.name)
    results = [workers.answer(entry) for entry in entries]
    return [
        entry
        for entry, result in zip(entries, results, strict=True)
        if result and (entry.peer == "limit" or workers.agree(entry, results[0], result))
    ]


def race(workers: Workers, entries: list[Entry], rounds: int, slot: float) -> dict[str, list[float]]:
    """Seconds per call in every slot: A B, A C, A B, A C, ... with A the first entry."""
    times: dict[str, list[float]] = {entry.name: [] for entry in entries}
    turns: list[tuple[Entry, ...]] = [(entries[0], other) for other in entries[1:]] or [(entries[0],)]
    last = None
    for _ in range(rounds):
        for turn in turns:
            if sum(times[turn[-1].name]) > MAX_SECONDS:
                continue
            for entry in turn:
                worker = workers.of(entry.peer)
                if worker is not last:
                    time.sleep(PAUSE)
                last = worker
                times[entry.name].append(worker.ask("measure", key=entry.name, slot=slot))
    return times
