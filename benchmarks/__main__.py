"""The one command: measures, and writes what it found after every row, so that a run can be cut short and resumed."""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.cases import DTYPES, LOSSES, SHAPES
from benchmarks.peers import PEERS
from benchmarks.race import Workers
from benchmarks.tables import TABLES, Plan, Table

RESULTS = Path(__file__).parent / "results"
SMOKE_SHAPES = [(999, 7)]
LAYERS = ["benchmarks.sampled_softmax", "benchmarks.linear_softmax"]  # commands of their own


def shape(text: str) -> tuple[int, int]:
    rows, columns = text.lower().split("x")
    return int(rows), int(columns)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    some: dict[str, Any] = {"nargs": "+", "metavar": "X"}
    parser.add_argument("--tables", choices=TABLES, default=list(TABLES), help=", ".join(TABLES), **some)
    parser.add_argument("--losses", choices=LOSSES, default=list(LOSSES), help=", ".join(LOSSES), **some)
    shapes = " ".join(f"{n}x{c}" for n, c in SHAPES)
    parser.add_argument("--shapes", type=shape, help=f"default: {shapes}", **some)
    parser.add_argument("--dtypes", choices=DTYPES, default=DTYPES, help=", ".join(DTYPES), **some)
    parser.add_argument("--peers", choices=PEERS, default=list(PEERS), help=", ".join(PEERS), **some)
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="LIBRARY=PYTHON",
        help="interpreter of the environment where this library is installed, beside lossext (default: this one); may "
        "be repeated",
    )
    parser.add_argument("--rounds", type=int, default=5, help="A B A B ...: how often (default: 5)")
    parser.add_argument("--json", type=Path, help="rows measured again replace those of the file, the others stay")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--resume", action="store_true", help="measure only what the JSON file does not have yet")
    parser.add_argument(
        "--smoke", action="store_true", help="everything once, small, in seconds; the times mean nothing"
    )
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.shapes, args.peers = 1, SMOKE_SHAPES, ["limit", "lossext_fresh", "lossext_serial", "numpy"]
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-")) if args.smoke else RESULTS
    args.json = args.json or folder / "results.json"
    args.markdown = args.markdown or folder / "README.md"
    args.plot = args.plot or folder / "ratios.png"
    return args


def selected(table: Table, args: argparse.Namespace) -> Table:
    cases = [case for case in table.cases if case.loss in args.losses and case.dtype in args.dtypes]
    if args.shapes:
        there = dict.fromkeys(replace(case, shape=shape) for shape in args.shapes for case in cases)
        cases = [case for case in there if case.makes_sense]
    peers = tuple(peer for peer in table.peers if peer in args.peers or peer == "lossext")
    return replace(table, cases=cases, peers=peers)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["table"], row["loss"], tuple(row["shape"]), row["dtype"], row["what"]


def load(path: Path) -> dict[str, Any]:
    """The results so far, if they are of this machine."""
    here = machine.describe()
    if path.exists():
        results: dict[str, Any] = json.loads(path.read_text())
        if results["machine"]["cpu"] == here["cpu"]:
            return {**results, "machine": here}
    return {"machine": here, "versions": {}, "rows": []}


def save(results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(row) for row in results["rows"])
    head = json.dumps({name: value for name, value in results.items() if name != "rows"}, indent=1)
    path.write_text(head[:-2] + f',\n "rows": [\n{rows}\n]}}\n')


def progress(total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit="case", dynamic_ncols=True, disable=None)


def main() -> int:
    args = arguments()
    pythons = dict.fromkeys(PEERS.values(), sys.executable)
    pythons |= dict(pair.split("=", 1) for pair in args.peer)
    plan = Plan(args.rounds, slot=0.001 if args.smoke else 0.01, smoke=args.smoke)
    tables = {name: selected(TABLES[name], args) for name in args.tables}
    if platform.libc_ver()[0] != "glibc":
        tables.pop("memory", None)  # reads /proc, and makes glibc give back what is free
    results = load(args.json)
    done = {key(row) for row in results["rows"]} if args.resume else set()
    failures: list[str] = []
    absent: dict[str, str] = {}
    bar = progress(sum(len(table.cases) for table in tables.values()))
    for name, table in tables.items():
        todo = [case for case in table.cases if key({"table": name, **asdict(case)}) not in done]
        if bar is not None:
            bar.update(len(table.cases) - len(todo))
        if not todo:
            continue
        start = time.monotonic()
        with Workers(table.peers, pythons, table.env) as workers:
            results["versions"][name] = workers.versions
            for case in todo:
                if bar is not None:
                    bar.set_description(f"{name}: {case.loss} {case.shape} {case.dtype} {case.what}")
                measured = table.measure(workers, list(workers.versions), case, plan)
                rows = [{"table": name, **asdict(case), "shape": list(case.shape), **row} for row in measured]
                same = key(rows[0])
                results["rows"] = [row for row in results["rows"] if key(row) != same] + rows
                save(results, args.json)
                if bar is not None:
                    bar.update()
            failures += workers.failures
            absent |= workers.absent
        print(f"{name}: {len(todo)} cases in {time.monotonic() - start:.0f} s")
    if bar is not None:
        bar.close()
    for name in LAYERS if args.smoke else ():
        if subprocess.run([sys.executable, "-m", name, "--smoke"], check=False).returncode:
            failures.append(f"{name} failed")
    report.write_markdown(results, args.markdown, args.plot)
    report.write_plot(results, args.plot)
    print(f"{args.json}\n{args.markdown}\n{args.plot}")
    print(*(f"left out: {peer} ({why})" for peer, why in absent.items()), *failures, sep="\n", file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
