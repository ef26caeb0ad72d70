"""Chunks of rows of several dask collections side by side, and passes over them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dask
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.core import flatten
from distributed import get_client, get_worker
from scipy import sparse

FAN_IN = 8  # partial results that one task adds up


class ChunkError(RuntimeError):
    """Work on a chunk failed; the message names the chunk, its rows and its worker."""


def is_collection(value: Any) -> bool:
    """Whether it is a dask array, dataframe or series."""
    return bool(dask.is_dask_collection(value)) and (hasattr(value, "chunks") or hasattr(value, "npartitions"))


def optimized(collections: Iterable[Any]) -> Iterator[Any]:
    """Collections whose graphs do nothing in vain: what several arrays are made of is made once."""
    collections = list(collections)
    arrays = iter(dask.optimize(*(c for c in collections if hasattr(c, "chunks"))))
    for collection in collections:  # dask.optimize would give other columns of a dataframe (dask 2026.8)
        yield next(arrays) if hasattr(collection, "chunks") else collection.optimize()


def current_client() -> Any:
    """The client; RuntimeError says how to have one."""
    try:
        return get_client()
    except ValueError:
        raise RuntimeError(
            "lossext.dask needs a client: client = distributed.Client() starts workers on this machine, "
            "distributed.Client(address) uses a cluster"
        ) from None


class Chunks:
    """Rows of collections, by name, of which each has the same rows in each of its chunks.

    Chunks that are not persisted are made anew in every pass: ``X.persist()`` keeps what fits into the workers' memory.
    """

    def __init__(self, **collections: Any) -> None:
        given = {name: value for name, value in collections.items() if value is not None}
        check_kinds(given)
        self.names, self.lengths = tuple(given), known_lengths(given)
        self.graph: dict[Any, Any] = {}
        columns = []
        for collection in optimized(given.values()):
            self.graph.update(collection.__dask_graph__())
            columns.append(list(flatten(collection.__dask_keys__())))
        self.keys = list(zip(*columns, strict=True))
        self.start: list[int] | None = None
        if self.lengths is not None:
            self.start = [0, *itertools.accumulate(self.lengths)]

    def __len__(self) -> int:
        return len(self.keys)

    def settle(self, lengths: list[int]) -> None:
        """Take lengths that a pass over the chunks found."""
        self.lengths, self.start = lengths, [0, *itertools.accumulate(lengths)]

    def run(self, work: Callable[..., Any], merge: Callable[[list[Any]], Any], *given: Any) -> Any:
        """What `merge` makes of ``work(chunk, *given)`` of all chunks, in their order, `FAN_IN` of them at a time.

        So the bits of a sum depend on the chunks alone, not on the workers or on who was first.
        """
        client = current_client()
        token = f"lossext-{work.__name__}-{uuid.uuid4().hex}"
        graph = dict(self.graph)
        shared = (token, "given")
        graph[shared] = Task(shared, together, *given)  # an object of its own: made again where it is lost
        level = []
        for index, keys in enumerate(self.keys):
            key = (token, 0, index)
            first = None if self.start is None else self.start[index]
            parts = List(*map(TaskRef, keys))  # references, since keys of what is persisted are not in the graph
            graph[key] = Task(key, on_worker, work, (index, len(self.keys), first), self.names, parts, TaskRef(shared))
            level.append(key)
        for height in itertools.count(1):
            groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
            level = []
            for index, group in enumerate(groups):
                key = (token, height, index)
                graph[key] = Task(key, merge, List(*map(TaskRef, group)))
                level.append(key)
            if len(level) == 1:
                break
        return result_of(client, graph, level[0])


def result_of(client: Any, graph: dict[Any, Any], key: Any) -> Any:
    """The value of a key; whatever ends the waiting, nothing is left on the cluster."""
    futures: list[Any] = []
    try:
        futures += client.get(graph, [key], sync=False)
        return futures[0].result()
    except BaseException as error:
        if client.status != "running" and isinstance(error, Exception):
            raise RuntimeError("the client was closed while its workers computed; nothing was changed") from error
        if client.status == "running":
            client.cancel(futures)
        raise
    finally:
        for future in futures:
            future.release()


def together(*given: Any) -> tuple[Any, ...]:
    """What a pass hands to every chunk."""
    return given


def on_worker(work: Callable[..., Any], place: tuple[int, int, int | None], names: Any, parts: Any, given: Any) -> Any:
    """Work on one chunk; an error names it."""
    index, count, first = place
    try:
        return work(dict(zip(names, parts, strict=True)), index, *given)
    except Exception as error:
        n_rows = parts[0].shape[0]
        rows = "" if first is None else f", rows {first} to {first + n_rows - 1},"
        text = f"{type(error).__name__}: {error}"
        raise ChunkError(f"chunk {index} of {count}{rows} on worker {get_worker().address}: {text}") from error


def merged_sums(parts: Iterable[Any]) -> Any:
    """Sums of tuples of arrays, in their order; None is nothing."""
    total: list[Any] | None = None
    for part in parts:
        if part is not None:
            total = list(part) if total is None else [a + b for a, b in zip(total, part, strict=True)]
    return None if total is None else tuple(total)


def check_kinds(given: dict[str, Any]) -> None:
    """TypeError and ValueError unless all are collections of rows of a kind."""
    for name, value in given.items():
        if not is_collection(value):
            raise TypeError(
                f"{name} is {type(value).__name__}; allowed is a dask array, dataframe or series: "
                f"dask.array.from_array({name}, chunks=...) makes one, lossext.sklearn takes what is not dask's"
            )
        columns: Any = getattr(value, "chunks", ())[1:]
        if any(len(sizes) > 1 for sizes in columns):
            raise ValueError(
                f"{name} has {len(columns[0])} chunks along its columns; allowed is one: "
                f"{name} = {name}.rechunk({{1: -1}})"
            )


def known_lengths(given: dict[str, Any]) -> list[int] | None:
    """Rows of each chunk, None of dataframes; ValueError unless chunks are known and side by side."""
    first, found = next(iter(given)), None
    count = {name: len(v.chunks[0]) if hasattr(v, "chunks") else v.npartitions for name, v in given.items()}
    for name, value in given.items():
        if hasattr(value, "chunks"):
            sizes = value.chunks[0]
            if any(np.isnan(size) for size in sizes):
                raise ValueError(f"{name} has chunks of unknown length; call {name}.compute_chunk_sizes() first")
            if found is None:
                found = name, list(sizes)
            elif list(sizes) != found[1]:
                raise ValueError(
                    f"{name} has chunks of {short(sizes)} rows, {found[0]} of {short(found[1])}; allowed are the same: "
                    f"{name} = {name}.rechunk({{0: {found[0]}.chunks[0]}})"
                )
        if count[name] != count[first]:
            raise ValueError(
                f"{name} has {count[name]} chunks, {first} {count[first]}; allowed are the same rows in each chunk: "
                f"take both out of one dataframe, or call .repartition(divisions=...) of both"
            )
    return None if found is None else found[1]


def short(sizes: Iterable[int]) -> str:
    sizes = list(sizes)
    return ", ".join(map(str, sizes[:4])) + (f", ... ({len(sizes)} chunks)" if len(sizes) > 4 else "")


def as_array(part: Any, dtype: Any = None) -> Any:
    """A chunk as NumPy's array, or CSR, laid out in one way.

    What comes from another worker lies at any address, and a view comes as a whole: NumPy and BLAS would sum these in
    another order.
    """
    if sparse.issparse(part):
        part = part.tocsr() if dtype is None else part.tocsr().astype(dtype, copy=False)
        parts = tuple(np.require(a, requirements=["C", "A"]) for a in (part.data, part.indices, part.indptr))
        return type(part)(parts, shape=part.shape, copy=False)
    if hasattr(part, "to_numpy"):
        part = part.to_numpy()
    return np.require(part, dtype, ["C", "A"])
