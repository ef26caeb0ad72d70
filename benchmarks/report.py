"""Markdown and plot from the rows of the JSON file."""

from collections.abc import Iterable, Iterator
from itertools import product
from math import nan
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from numpy import nanmax, nanmin

from benchmarks.cases import DTYPES, LARGE, LOSSES, SHAPES, Case
from benchmarks.tables import TABLES

Row = dict[str, Any]

TITLES = {name: name.replace("_", " ") for name in LOSSES} | {
    "multilabel_soft_margin": "multilabel soft margin",
    "multi_margin_p1": "multi margin, p = 1",
    "multi_margin_p2": "multi margin, p = 2",
    "hinge_embedding": "hinge embedding",
    "bce": "BCE with logits",
    "bce_weighted": "BCE, weight and pos_weight",
}
WHATS = {"value": "value", "value_and_grad": "value and gradient"}
PEER_TITLES = {
    "torch": "torch",
    "torch_compile": "torch.compile",
    "jax": "jax.jit",
    "numpy": "NumPy",
    "numba": "numba",
    "sklearn": "scikit-learn",
    "tensorflow": "TensorFlow",
    "mindspore": "MindSpore",
}
# who is in the plot: Okabe and Ito's colours and a shape each, told apart by colour-blind readers too
STYLES = {
    "torch": ("#D55E00", "o"),
    "torch_compile": ("#E69F00", "s"),
    "jax": ("#0072B2", "^"),
    "numpy": ("#000000", "v"),
    "numba": ("#009E73", "D"),
    "sklearn": ("#CC79A7", "P"),
}


def seconds(value: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.0f} ns"


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2g}×" if ratio < 10 else f"{ratio:.0f}×"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def shape_title(shape: Iterable[int]) -> str:
    return "({}, {})".format(*shape)


class Results:
    """The rows, by table and case."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.machine, self.rows = results["machine"], results["rows"]
        self.versions = {
            peer: v for table in reversed(TABLES) for peer, v in results["versions"].get(table, {}).items()
        }

    def of(self, table: str, **wanted: Any) -> list[Row]:
        return [row for row in self.rows if row["table"] == table and all(row[k] == v for k, v in wanted.items())]

    def ratio(self, table: str, peer: str, **wanted: Any) -> float | None:
        """Median time of the peer over median time of lossext."""
        for row in self.of(table, **wanted):
            if row["times"].get(peer):
                return float(median(row["times"][peer]) / median(row["times"]["lossext"]))
        return None

    def spread(self) -> float | None:
        """How quiet the machine was: half the distance between the quartiles over the median."""
        slots = [row["times"]["lossext"] for row in self.rows if len(row.get("times", {}).get("lossext", [])) > 3]
        if not slots:
            return None
        quartiles = [quantiles(times, n=4, method="inclusive") for times in slots]
        return float(median((high - low) / 2 / middle for low, middle, high in quartiles))

    def shapes(self, *tables: str) -> list[tuple[int, int]]:
        there = {tuple(row["shape"]) for row in self.rows if row["table"] in tables}
        return [shape for shape in SHAPES if shape in there] + sorted(there - set(SHAPES))


def write_markdown(raw: dict[str, Any], path: Path, plot: Path) -> None:
    results = Results(raw)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(sections(results, plot)))


def sections(results: Results, plot: Path) -> Iterator[str]:
    m = results.machine
    yield "# Results\n"
    yield f"{m['cpu']}, {m['cpus']} CPUs, {m['memory_gib']} GiB; {m['system']}; {m['date']}."
    named = {"lossext": "lossext", "limit": "limit by cc", **PEER_TITLES}
    yield (
        ", ".join(f"{name} {results.versions[peer]}" for peer, name in named.items() if peer in results.versions)
        + ".\n"
    )
    if spread := results.spread():
        yield (
            f"Half of the measurements of a case are within {spread:.0%} of its median (lossext, median over all "
            "cases).\n"
        )
    yield "[benchmarks/README.md](../README.md) describes the method and how to repeat the measurements.\n"
    yield f"![Running time of other libraries divided by that of lossext]({plot.name})\n"
    if any(results.of(name) for name in ("default", "retained")):
        yield "## Against torch, value and gradient, float32\n"
        yield (
            "Time of torch (eager, forward and backward) divided by that of lossext, and the time of lossext. From a "
            "million elements on, torch spends much of its time on new memory for temporaries: **in brackets, the "
            "ratio if the allocator retains freed memory in both processes**, which is not the default.\n"
        )
        yield against_torch(results)
    for dtype, name in (("float32", "default"), ("float64", "float64")):
        for what, title in WHATS.items():
            if rows := results.of(name, what=what, dtype=dtype):
                yield f"## Against all libraries, {title}, {dtype}\n"
                yield (
                    "Time of each library divided by that of lossext. *retained*: the allocator retains freed memory. "
                    "*limit*: time of merely streaming through the same arrays divided by that of lossext.\n"
                )
                yield against_everybody(results, rows)
    if rows := results.of("limit"):
        yield "## Against the limit set by memory\n"
        yield "Time of streaming through the same arrays divided by that of lossext, alternating in one process.\n"
        yield against_limit(rows)
    if rows := results.of("avx2"):
        yield "## All libraries restricted to AVX2, value and gradient, float32\n"
        yield "lossext, torch and jax with AVX2 as the highest instruction set.\n"
        yield against_everybody(results, rows)
    if rows := results.of("small"):
        yield "## Short rows\n"
        yield (
            "Rows of C columns with about a million elements in total: time per element divided by that of the longest "
            "rows.\n"
        )
        yield small_rows(rows)
    if rows := results.of("idle"):
        yield "## After idling\n"
        yield "A single call after the process has slept for the given time: median and 90th percentile.\n"
        yield idle(rows)
    if rows := results.of("fresh"):
        yield "## A new array for every gradient\n"
        yield "Value and gradient with `out` and without, where the system must provide the pages of a new array.\n"
        yield fresh(rows)
    if rows := results.of("memory"):
        yield "## Memory beyond the arrays\n"
        yield (
            "Increase of the process's peak resident memory during a call. Input, target and, for lossext, numba and "
            "scikit-learn, the array for the gradient exist before the call; the numbers of the other libraries "
            "include their new gradient.\n"
        )
        yield memory(rows)


def against_torch(results: Results) -> str:
    shapes = results.shapes("default")

    def cell(loss: str, shape: tuple[int, int]) -> str:
        case = {"loss": loss, "shape": list(shape), "dtype": "float32", "what": "value_and_grad"}
        ratio = results.ratio("default", "torch", **case)
        if ratio is None:
            return "–"
        ours = median(results.of("default", **case)[0]["times"]["lossext"])
        kept = f" (**{times(results.ratio('retained', 'torch', **case))}**)" if shape[0] * shape[1] >= LARGE else ""
        return f"{times(ratio)}{kept}, {seconds(ours)}"

    lines = [[title, *(cell(loss, shape) for shape in shapes)] for loss, title in TITLES.items()]
    return table(["", *map(shape_title, shapes)], [line for line in lines if set(line[1:]) != {"–"}])


def against_everybody(results: Results, rows: list[Row]) -> str:
    here = {peer for row in rows for peer in row["times"]}
    columns = [(row_table, peer) for peer in PEER_TITLES for row_table in (rows[0]["table"], "retained")
               if (peer in here if row_table != "retained" else rows[0]["table"] == "default"
                   and any(peer in row["times"] for row in results.of("retained")))]  # fmt: skip
    header = [
        "loss",
        "shape",
        "lossext",
        "limit",
        *(PEER_TITLES[p] + (", retained" if t == "retained" else "") for t, p in columns),
    ]
    lines = []
    for row in sorted(rows, key=lambda row: list(LOSSES).index(row["loss"])):
        case = {name: row[name] for name in ("loss", "shape", "dtype", "what")}
        ours = median(row["times"]["lossext"])
        limit = f"{median(row['times']['limit']) / ours:.0%}" if row["times"].get("limit") else "–"
        ratios = [times(results.ratio(t, peer, **case)) for t, peer in columns]
        lines.append([TITLES[row["loss"]], shape_title(row["shape"]), seconds(ours), limit, *ratios])
    return table(header, lines)


def against_limit(rows: list[Row]) -> str:
    columns = [(what, dtype) for dtype in DTYPES for what in WHATS]
    cells: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for row in rows:
        if not row["times"].get("limit"):
            continue
        limit = median(row["times"]["limit"])
        arrays = (
            1 + (not Case(row["loss"], (1, 1), "float32", "value").declaration.takes_ids) + (row["what"] != "value")
        )
        rate = arrays * row["shape"][0] * row["shape"][1] * int(row["dtype"][-2:]) / 8 / limit / 1e9
        line = cells.setdefault((TITLES[row["loss"]], shape_title(row["shape"])), {})
        line[row["what"], row["dtype"]] = f"{limit / median(row['times']['lossext']):.0%} of {rate:.0f} GB/s"
    lines = [[*line, *(found.get(column, "–") for column in columns)] for line, found in cells.items()]
    return table(["loss", "shape", *(f"{WHATS[what]}, {dtype}" for what, dtype in columns)], lines)


def small_rows(rows: list[Row]) -> str:
    names = list(rows[0]["times"])
    lines = []
    for row in rows:
        each = [
            median(row["times"][name]) / (row["shape"][0] * row["shape"][1]) * 1e9
            for name in names
            if row["times"].get(name)
        ]
        cells = [f"{each[0]:.2f} ns", *(times(ns / each[0]) for ns in each[1:])]
        lines.append([TITLES[row["loss"]], row["dtype"], WHATS[row["what"]], *cells])
    return table(["loss", "dtype", "", *names], lines)


def idle(rows: list[Row]) -> str:
    peers = list(rows[0]["times"])

    def cell(samples: list[float]) -> str:
        ninety = f" ({seconds(quantiles(samples, n=10, method='inclusive')[-1])})" if len(samples) > 1 else ""
        return seconds(median(samples)) + ninety

    lines = [
        [
            TITLES[row["loss"]],
            shape_title(row["shape"]),
            f"{1000 * row['idle']:.0f} ms",
            *(cell(row["times"][p]) for p in peers),
        ]
        for row in rows
        if all(row["times"].get(p) for p in peers)
    ]
    titles = {"lossext_serial": "lossext, n_threads=1", "torch": "torch"}
    return table(["loss", "shape", "idle", *(titles.get(peer, peer) for peer in peers)], lines)


def fresh(rows: list[Row]) -> str:
    def line(row: Row) -> list[str]:
        ours, new = median(row["times"]["lossext"]), median(row["times"]["lossext_fresh"])
        torch = seconds(median(row["times"]["torch"])) if row["times"].get("torch") else "–"
        return [
            TITLES[row["loss"]],
            row["dtype"],
            shape_title(row["shape"]),
            seconds(ours),
            seconds(new),
            times(new / ours),
            torch,
        ]

    header = ["loss", "dtype", "shape", "into `out`", "new array", "ratio", "torch (new array)"]
    return table(header, [line(row) for row in rows if row["times"].get("lossext_fresh")])


def memory(rows: list[Row]) -> str:
    peers = list(dict.fromkeys(peer for row in rows for peer in row["memory"]))

    def cell(row: Row, peer: str) -> str:
        return f"{row['memory'][peer] / 1e6:.1f} MB" if peer in row["memory"] else "–"

    lines = [
        [TITLES[row["loss"]], shape_title(row["shape"]), WHATS[row["what"]], *(cell(row, p) for p in peers)]
        for row in rows
    ]
    return table(["loss", "shape", "", *(PEER_TITLES.get(peer, peer) for peer in peers)], lines)


def write_plot(raw: dict[str, Any], path: Path) -> None:
    """Ratios of value and gradient in float32; hollow markers if the allocator retains memory."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullLocator

    results = Results(raw)
    shapes = results.shapes("default", "retained")
    if not shapes:
        return
    n_rows = -(-len(TITLES) // 3)
    size = (13, 4 * n_rows)
    figure, axes = pyplot.subplots(n_rows, 3, figsize=size, sharex=True, sharey=True, layout="constrained")
    for axis in axes.flat[len(TITLES) :]:
        axis.set_visible(False)
    measured = set()
    for axis, (loss, title) in zip(axes.flat, TITLES.items(), strict=False):
        for (column, shape), (place, peer) in product(enumerate(shapes), enumerate(STYLES)):
            case = {"loss": loss, "shape": list(shape), "dtype": "float32", "what": "value_and_grad"}
            default, kept = (results.ratio(name, peer, **case) for name in ("default", "retained"))
            if default is None and kept is None:
                continue
            measured.add(peer)
            colour, marker = STYLES[peer]
            style = {"color": colour, "marker": marker, "ms": 7, "mew": 1.4}
            x = column + (place - 2.5) * 0.14
            if default and kept:
                axis.plot([x, x], [default, kept], color=colour, lw=1)
            for ratio, fill in ((default, colour), (kept, "white")):
                axis.plot(x, ratio or nan, mfc=fill, **style)
        axis.axhspan(1e-3, 1, color="0.93", lw=0)
        axis.axhline(1, color="0.2", lw=1.2)
        axis.set(title=title, yscale="log", xlim=(-0.5, len(shapes) - 0.5))
        axis.set_xticks(range(len(shapes)), [f"{n}\n× {c}" for n, c in shapes])
        axis.grid(axis="y", color="0.85")
        axis.set_axisbelow(True)
        for border in range(1, len(shapes)):
            axis.axvline(border - 0.5, color="0.9", lw=0.8)
    ratios = [line.get_ydata()[0] for axis in axes.flat for line in axis.lines if len(line.get_ydata()) == 1]
    axes[0, 0].set_ylim(0.7 * min(1, nanmin([*ratios, 1])), 1.5 * nanmax([*ratios, 10]))
    for axis in axes[:, 0]:
        axis.set_ylabel("time of peer / time of lossext")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axis.yaxis.set_minor_locator(NullLocator())
    marks = [
        Line2D([], [], ls="", marker=m, color=c, label=PEER_TITLES[p]) for p, (c, m) in STYLES.items() if p in measured
    ]
    marks += [
        Line2D([], [], ls="", marker="o", color="0.4", label="filled: default allocator"),
        Line2D([], [], ls="", marker="o", color="0.4", mfc="white", label="hollow: heap kept, no page faults"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    m = results.machine
    figure.suptitle(
        f"Value and gradient, float32: time of others over time of lossext\n{m['cpu']}, {m['cpus']} CPUs, {m['date']}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
