"""The tables: which cases, against whom, in what environment, and what is measured."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from benchmarks.cases import DTYPES, LARGE, LOSSES, SHAPES, Case
from benchmarks.race import Entry, Workers, check, prepare, race

# glibc gives large blocks back to the kernel when they are freed, so that a library that allocates its temporaries anew
# in every call pays for their pages every time.  With this it keeps them: what such a library reaches at best.
RETAINED_HEAP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TOP_PAD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
# the same instruction set for the peers that can be told
AVX2 = {"LOSSEXT_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}

HUGE = 10_000_000  # elements; in float64 gigabytes of temporaries and seconds a call, so only torch is asked
WHATS = ["value", "value_and_grad"]
SMALL_C = [2, 3, 5, 10, 20, 50, 64]
IDLE = [0.02, 0.05]


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    rounds: int
    slot: float  # seconds; a quick call is repeated for as long
    smoke: bool


def times(workers: Workers, peers: list[str], case: Case, plan: Plan) -> list[dict[str, Any]]:
    if case.size < LARGE and not plan.smoke:
        peers = [peer for peer in peers if peer != "limit"]
    if case.size > HUGE and case.dtype == "float64":
        peers = [peer for peer in peers if peer in ("lossext", "limit", "torch")]
    entries = prepare(workers, [Entry(peer, peer, case) for peer in peers])
    return [{"times": race(workers, check(workers, entries), plan.rounds, plan.slot)}]


def small_rows(workers: Workers, peers: list[str], case: Case, plan: Plan) -> list[dict[str, Any]]:
    """As many elements in rows of other lengths."""
    cases = [replace(case, shape=(case.size // c, c)) for c in [case.shape[1], *SMALL_C]]
    entries = prepare(workers, [Entry(f"C = {case.shape[1]}", "lossext", case) for case in cases])
    return [{"times": race(workers, entries, plan.rounds, plan.slot)}]


def idle(workers: Workers, peers: list[str], case: Case, plan: Plan) -> list[dict[str, Any]]:
    """The first call after a while in which the caller did not compute."""
    entries = prepare(workers, [Entry(peer, peer, case) for peer in peers])
    rows: list[dict[str, Any]] = [{"idle": 0.0, "times": race(workers, entries, plan.rounds, plan.slot)}]
    for seconds in IDLE:
        samples: dict[str, list[float]] = {entry.name: [] for entry in entries}
        for entry in entries * 2:
            worker = workers.of(entry.peer)
            samples[entry.name] += worker.ask("after_idling", key=entry.name, idle=seconds, rounds=2 * plan.rounds)
        rows.append({"idle": seconds, "times": samples})
    return rows


def memory(workers: Workers, peers: list[str], case: Case, plan: Plan) -> list[dict[str, Any]]:
    """Peak of resident memory over what was there before the first call of this size."""
    extra = {}
    for peer in peers:
        small = prepare(workers, [Entry(peer, peer, replace(case, shape=(256, 100)))])
        check(workers, small)  # the library is loaded and has run
        for entry in prepare(workers, [Entry(peer, peer, case)]):
            extra[peer] = workers.of(peer).ask("peak_memory", key=entry.name)
    return [{"memory": extra}]


@dataclass(frozen=True)
class Table:
    peers: tuple[str, ...]
    cases: list[Case]
    measure: Callable[[Workers, list[str], Case, Plan], list[dict[str, Any]]] = times
    env: dict[str, str] = field(default_factory=dict)


def cases(shapes: Any = SHAPES, dtypes: Any = DTYPES, whats: Any = WHATS, losses: Any = LOSSES) -> list[Case]:
    """Every combination; in an order in which the arrays can be used again."""
    order = product(shapes, dtypes, losses, whats)
    return [case for s, d, n, w in order if (case := Case(n, s, d, w)).makes_sense]


LARGE_SHAPES = [shape for shape in SHAPES if shape[0] * shape[1] >= LARGE]
ROWS_OF_1000 = [(1050, 1000)]
EVERYBODY = ("lossext", "limit", "numpy", "torch", "jax", "tensorflow", "mindspore", "numba", "sklearn")

TABLES = {
    "default": Table(EVERYBODY, cases(dtypes=["float32"])),
    "retained": Table(
        ("lossext", "torch", "torch_compile", "jax"),
        cases(LARGE_SHAPES, ["float32"]),
        env=RETAINED_HEAP,
    ),
    "limit": Table(("lossext", "limit"), cases([(4096, 10_000)])),
    "float64": Table(EVERYBODY, cases(SHAPES[:-1], ["float64"]) + cases(SHAPES[-1:], ["float64"], ["value_and_grad"])),
    "avx2": Table(
        ("lossext", "limit", "torch", "jax"),
        cases(dtypes=["float32"], whats=["value_and_grad"]),
        env=AVX2,
    ),
    "small": Table(("lossext",), cases(ROWS_OF_1000), measure=small_rows),
    "idle": Table(
        ("lossext", "lossext_serial", "torch"),
        cases([(256, 100), (1024, 1000), (65_536, 100)], ["float32"], ["value_and_grad"], ["bce", "multi_margin_p1"]),
        measure=idle,
    ),
    "fresh": Table(
        ("lossext", "lossext_fresh", "torch"),
        cases(LARGE_SHAPES, DTYPES, ["value_and_grad"], ["bce", "hinge_embedding"]),
    ),
    "memory": Table(
        ("lossext", "numpy", "torch", "jax", "numba", "sklearn"),
        cases([(4096, 10_000)], ["float32"], ["value_and_grad"]),
        measure=memory,
    ),
}
