"""Elementwise losses: `python -m benchmarks.elements`, on one thread in cache, on all from memory.

Losses with transcendental functions are compared with the vector functions that their headers name, each run once over
the same blocks in cache; those without, from memory, with streaming the same arrays; all with themselves under a mask.
"""

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lossext
from benchmarks import timing
from benchmarks.cases import LOSSES as NAMED
from benchmarks.cases import Case, arrays
from lossext._kernels import drivers

HEADERS = Path(__file__).parent.parent / "src/lossext/_kernels/losses/element"
FUNCTIONS = re.compile(r"\bv_(exp_negative|exp|expm1|expm1_minus|tanh_ratio|log1p_unit|log_normal|log|log1p|pow)\(")
# the nearest that can be timed
PARTS = {
    "v_log_pair": "log",
    "v_log_with_rest": "log_normal",
    "log_in": "log",
    "times_exp": "exp",
    "v_exp_and_excess": "expm1_minus",
}
IN_CACHE = (32, 512)


def text_of(header: Path) -> str:
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    included = re.findall(r'#include "(_\w+\.h)"', text)
    return text + "".join(text_of(HEADERS / name) for name in included)


def bodies(text: str) -> dict[str, str]:
    """Of the functions in a header, by name."""
    found = re.finditer(r"^INLINE \w+ (\w+)\([^)]*\)[^{]*\{(.*?)\n?\}\s*$", text, re.DOTALL | re.MULTILINE)
    return {match[1]: match[2] for match in found}


def functions_of(kernel: str) -> list[str]:
    """Vector functions that value and slope call, by themselves or through a helper, each of which counts once."""
    text = re.sub(r"LOG_TARGET \? [^:]+ : ", "", text_of(HEADERS / f"{kernel}.h"))  # off by default
    parts = bodies(text)
    calls = ["log1p_unit"] if "#define HAS_SHARED_LOG1P" in text else []
    waiting = ["shared", "parts_of", "value", "slope"]
    for name in waiting:
        body = parts.get(name, "")
        calls += FUNCTIONS.findall(body)
        waiting += sorted({word for word in re.findall(r"\b(\w+)\(", body) if word in parts} - {*waiting})
    reached = " ".join(parts.get(name, "") for name in waiting)
    return calls + [function for name, function in PARTS.items() if f"{name}(" in reached]


def interleaved(calls: list[Any], rounds: int) -> list[float]:
    """Seconds of each, in turn; the least, for whatever else the machine does only adds."""
    usual = [timing.usual(call) for call in calls]
    times = [[timing.in_slot(call, u, 0.01) for call, u in zip(calls, usual, strict=True)] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def call(case: Case, mask: Any = None, n_threads: int | None = None) -> Any:
    a, (name, parameters) = arrays(case), NAMED[case.loss]
    loss = getattr(lossext, name)(**parameters)
    keywords = {"mask": mask, "n_threads": n_threads}
    if case.what == "value":
        return partial(loss, a.x, a.y, **keywords)
    return partial(loss.value_and_grad, a.x, a.y, out=np.ones(case.shape, case.dtype), **keywords)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elements", description=__doc__, allow_abbrev=False)
    parser.add_argument("--losses", nargs="+", help="default: every elementwise loss")
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--tables", nargs="+", default=["functions", "limit", "mask"])
    parser.add_argument("--rows", type=int, default=4096, help="of 10,000 columns, where arrays lie in memory")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    known = {name: getattr(lossext, cls).declaration for name, (cls, parameters) in NAMED.items() if not parameters}
    names = [name for name, d in known.items() if d.family == "element" and name in (args.losses or known)]
    print(f"{drivers.isa()}; value and gradient, mean")
    for name in names:
        for dtype in args.dtypes:
            functions = functions_of(known[name].kernel)
            if "functions" in args.tables and functions:
                beside_functions(Case(name, IN_CACHE, dtype, "value_and_grad"), functions, args.rounds)
            if "limit" in args.tables and not functions:
                beside_limit(Case(name, (args.rows, 10_000), dtype, "value_and_grad"), args.rounds)
            if "mask" in args.tables:
                for shape in (IN_CACHE, (args.rows, 10_000)):
                    with_mask(Case(name, shape, dtype, "value_and_grad"), args.rounds)


def beside_functions(case: Case, functions: list[str], rounds: int) -> None:
    x = np.abs(arrays(case).x)
    two = [name for name in functions if name == "pow"]
    calls = [partial(drivers.vector_function, f, x, x if f in two else None) for f in functions]
    ours, *theirs = interleaved([call(case, n_threads=1), *calls], rounds)
    size = x.size / 1e9
    print(f"functions {case.loss:24} {case.dtype} {ours / size:6.3f} ns, {'+'.join(functions)} "
          f"{sum(theirs) / size:6.3f} ns: {ours / sum(theirs):.2f}", flush=True)  # fmt: skip


def beside_limit(case: Case, rounds: int) -> None:
    from benchmarks.peers import limit

    ours, bare = interleaved([call(case), limit.call(case)], rounds)
    print(f"limit     {case.loss:24} {case.dtype} {1e3 * ours:7.2f} ms, streaming {1e3 * bare:7.2f} ms: "
          f"{bare / ours:.2f} of the limit", flush=True)  # fmt: skip


def with_mask(case: Case, rounds: int) -> None:
    mask = np.resize(np.random.default_rng(3).random(1_000_003) < 0.8, case.shape)
    threads = 1 if case.shape == IN_CACHE else None
    plain, masked = interleaved([call(case, n_threads=threads), call(case, mask, threads)], rounds)
    print(f"mask      {case.loss:24} {case.dtype} {case.shape!s:14} {1e6 * plain:9.1f} us, with a mask "
          f"{1e6 * masked:9.1f} us: {masked / plain - 1:+.0%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
