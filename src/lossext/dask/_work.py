"""What workers do with a chunk of rows in a pass: the same functions as those of `lossext.sklearn`, on their part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lossext._validate import Array
from lossext.dask._chunks import as_array, merged_sums
from lossext.sklearn import _losses
from lossext.sklearn._features import Moments, curved_products, product
from lossext.sklearn._newton import Problem, hessian
from lossext.sklearn._rows import Rows
from lossext.sklearn._scores import ScoreLoss


class Survey(NamedTuple):
    """What the first pass finds."""

    lengths: list[tuple[int, ...]]  # of each chunk's parts
    problem: (
        tuple[int, int | None, str] | None
    )  # chunk, row of it, what is wrong there: of the first chunk that has one
    classes: Array | None
    several: bool
    dtypes: frozenset[str]  # of the features
    shapes: frozenset[tuple[int, ...]]  # columns of the features and of y
    y: Array | None  # some rows' numbers and weights
    weight: Array | None


def survey(parts: dict[str, Any], index: int, plain: Any, n_kept: int) -> Survey:
    """Check a chunk and say what it holds."""
    lengths = tuple(int(part.shape[0]) for part in parts.values())
    X, y = as_array(parts["X"]), as_array(parts["y"])
    weight = None if "sample_weight" not in parts else as_array(parts["sample_weight"])
    shapes = frozenset([(X.shape[1] if X.ndim == 2 else -1, *y.shape[1:])])
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    found = Survey([lengths], None, None, False, frozenset([dtype.str]), shapes, None, None)
    if len(set(lengths)) > 1:
        pairs = ", ".join(f"{name} {length}" for name, length in zip(parts, lengths, strict=True))
        return found._replace(
            problem=(index, None, f"has other numbers of rows in each: {pairs}; take all out of one dataframe")
        )
    try:
        problem = wrong_features(X) or wrong_weight(weight)
        kinds = "class" if hasattr(plain, "_find_classes") else "numbers"
        if problem is None:
            problem = wrong_classes(y) if kinds == "class" else wrong_numbers(y, plain)
    except (TypeError, ValueError) as error:
        problem = None, str(error)
    if problem is not None:
        return found._replace(problem=(index, *problem))
    if kinds == "class":
        several = y.ndim == 2 and y.shape[1] > 1
        return found._replace(several=several, classes=np.arange(y.shape[1]) if several else np.unique(y))
    kept = np.unique(np.linspace(0, max(0, len(y) - 1), min(n_kept, len(y))).astype(int))
    return found._replace(y=y[kept], weight=None if weight is None else weight[kept])


def merge_surveys(parts: list[Survey]) -> Survey:
    """Of consecutive chunks."""
    problems = [part.problem for part in parts if part.problem is not None]
    classes = [part.classes for part in parts if part.classes is not None and part.classes.size]
    y = [part.y for part in parts if part.y is not None]
    weight = [part.weight for part in parts if part.weight is not None]
    return Survey(
        [lengths for part in parts for lengths in part.lengths],
        problems[0] if problems else None,
        np.unique(np.concatenate(classes)) if classes else None,
        any(part.several for part in parts),
        frozenset[str]().union(*(part.dtypes for part in parts)),
        frozenset[tuple[int, ...]]().union(*(part.shapes for part in parts)),
        np.concatenate(y) if y else None,
        np.concatenate(weight) if weight else None,
    )


def first_row(bad: Array) -> int:
    return int(np.argmax(bad if bad.ndim == 1 else bad.any(axis=1)))


def wrong_features(X: Any) -> tuple[int | None, str] | None:
    if X.ndim != 2:
        return None, f"X has rank {X.ndim}; allowed is 2"
    if X.dtype.kind not in "fiub":
        return None, f"X has dtype {X.dtype}; allowed are real numbers"
    numbers = X.data if sparse.issparse(X) else X
    with np.errstate(all="ignore"):
        if X.dtype.kind != "f" or np.isfinite(numbers.sum(dtype=np.float64)):
            return None
    bad = ~np.isfinite(numbers)
    if not bad.any():
        return None
    row = int(np.searchsorted(X.indptr, np.argmax(bad), "right")) - 1 if sparse.issparse(X) else first_row(bad)
    return row, f"X holds {numbers[bad][0]} in row {{row}}; allowed are finite numbers"


def wrong_weight(weight: Any) -> tuple[int | None, str] | None:
    if weight is None:
        return None
    if weight.ndim != 1:
        return None, f"sample_weight has rank {weight.ndim}; allowed is 1, a number per row"
    bad = ~(np.isfinite(weight.astype(np.float64)) & (weight >= 0))
    if not bad.any():
        return None
    row = first_row(bad)
    return row, f"sample_weight holds {weight[row]} in row {{row}}; allowed are finite numbers of at least 0"


def wrong_classes(y: Any) -> tuple[int | None, str] | None:
    if sparse.issparse(y) or y.ndim > 2:
        return None, "y is sparse or of rank above 2; allowed is (N,), a class per row, or dense (N, C) of 0 and 1"
    if y.ndim == 2 and y.shape[1] > 1:
        bad, allowed = (y != 0) & (y != 1), "0 and 1"
    elif y.dtype.kind == "f":
        bad, allowed = ~(np.isfinite(y) & (y == np.round(y))), "classes: whole numbers or strings"
    elif y.dtype.kind == "O":
        bad, allowed = np.array([v is None or v != v for v in y.ravel()], bool), "classes: whole numbers or strings"
    else:
        return None
    if not bad.any():
        return None
    return first_row(bad), f"y holds {y[bad][0]} in row {{row}}; allowed are {allowed}"


def wrong_numbers(y: Any, plain: Any) -> tuple[int | None, str] | None:
    loss = plain._loss()
    numbers = y.astype(np.float64)
    bad = ~np.isfinite(numbers)
    if _losses.parameters_of(loss).get("missing") == "nan":
        bad &= ~np.isnan(numbers)
    known = np.where(np.isfinite(numbers), numbers, 1.0)
    bad |= np.asarray(loss._target.is_bad(known))
    if not bad.any():
        return None
    return first_row(bad), f"y holds {y[bad][0]} in row {{row}}; loss={plain.loss!r} takes {loss._target.requirement}"


class Plan(NamedTuple):
    """How a chunk becomes rows."""

    plain: Any  # an estimator that is not dask's, with its classes and their weights
    dtype: str
    weighted: bool  # whether by class


def rows_of_chunk(parts: dict[str, Any], plan: Plan) -> Rows | None:
    """Features, targets and weights as the estimator takes them; None if no row counts."""
    dtype = np.dtype(plan.dtype)
    X, y = as_array(parts["X"], dtype), as_array(parts["y"])
    if not X.shape[0]:
        return None
    weight = None if "sample_weight" not in parts else as_array(parts["sample_weight"])
    if hasattr(plan.plain, "_find_classes"):
        y = y[:, 0] if y.ndim == 2 and not plan.plain._multilabel else y
        rows = plan.plain._rows(X, y, weight, may_be_empty=True)
        rows = plan.plain._weighted(rows) if plan.weighted else rows
    else:
        y = np.asarray(y, dtype if y.dtype.kind == "f" else np.float64)
        rows = plan.plain._prepare(X, y, weight, may_be_empty=True)[0]
    return rows if rows.X.shape[0] else None


def counts(parts: dict[str, Any], index: int, plan: Plan, n_columns: int) -> Any:
    """Weights of the positive rows of each column, of all rows, and the total."""
    rows = rows_of_chunk(parts, plan)
    if rows is None:
        return None
    positives, seen = rows.counts(n_columns)
    return positives, np.asarray(seen), rows.total_weight()


class Spread(NamedTuple):
    """Weight, means, and sums of squares and products about these, of the features of some rows."""

    total: float
    mean: Array
    square: Array
    cross: Array | None


def moments(parts: dict[str, Any], index: int, plan: Plan, centred: bool, crossed: bool) -> Spread | None:
    """The spread of a chunk's features."""
    rows = rows_of_chunk(parts, plan)
    if rows is None:
        return None
    weight = rows.weight if rows.weight is None or rows.weight.ndim == 1 else rows.weight.mean(axis=1)
    own = Moments(rows.X, weight, centred)
    cross = own.products(rows.X, np.ones(rows.X.shape[1])) * own.total if crossed else None
    return Spread(own.total, own.mean, own.square * own.total, cross)


def merge_moments(parts: list[Spread | None]) -> Spread | None:
    """Of consecutive chunks, by Chan, Golub and LeVeque (1983)."""
    known = [part for part in parts if part is not None and part.total]
    if not known:
        return None
    a = known[0]
    for b in known[1:]:
        total = a.total + b.total
        away = b.mean - a.mean
        between = a.total * b.total / total
        cross = None if a.cross is None else a.cross + b.cross + between * np.outer(away, away)
        square = a.square + b.square + between * away**2
        a = Spread(total, a.mean + away * (b.total / total), square, cross)
    return a


class Point(NamedTuple):
    """Coefficients (D, C) and intercepts (C,) of a loss."""

    loss: ScoreLoss
    width: Any
    w: Array
    intercept: Array


def scored(rows: Rows, point: Point) -> Any:
    """Blocks of rows with their scores."""
    w, b = point.w.astype(rows.X.dtype), point.intercept.astype(rows.X.dtype)
    for block in rows.blocks(w.shape[1]):
        scores = product(block.X, w)
        scores += b
        yield block, scores, point.loss.columns(block.target, block.weight)


def back(X: Any, slope: Array) -> tuple[Array, Array]:
    """Gradients in the coefficients and the intercepts of one in the scores, in float64."""
    w = product(slope.T, X).T if not sparse.issparse(X) else product(X.T, slope)
    return np.array(w, np.float64, order="C"), slope.sum(axis=0, dtype=np.float64)


def over_blocks(parts: dict[str, Any], plan: Plan, work: Callable[..., Any], *points: Point) -> Any:
    """Sums over a chunk's blocks of what `work` makes of each with its scores at the points; None if no row counts."""
    rows = rows_of_chunk(parts, plan)
    if rows is None:
        return None
    with np.errstate(all="ignore"):
        return merged_sums(work(*at) for at in zip(*(scored(rows, point) for point in points), strict=True))


def sums(parts: dict[str, Any], index: int, plan: Plan, point: Point) -> Any:
    """Values of the loss and its gradients."""

    def of_block(at: Any) -> Any:
        block, scores, columns = at
        values, slope, _ = point.loss.evaluate(scores, columns, point.width)
        return (values, *back(block.X, slope))

    return over_blocks(parts, plan, of_block, point)


def products(parts: dict[str, Any], index: int, plan: Plan, point: Point, way: tuple[Array, Array]) -> Any:
    """Products of the Hessian with a direction."""
    loss = point.loss
    curved = not loss.coupled or loss.knows_products

    def of_block(at: Any, along: Any) -> Any:
        block, scores, columns = at
        _, slope, hess = loss.evaluate(scores, columns, point.width, hess=curved)
        problem = Problem(loss, None, columns, 1.0, 0.0, point.width)
        return back(block.X, hessian(problem, scores, slope, hess)(along[1]))

    return over_blocks(parts, plan, of_block, point, Point(loss, point.width, *way))


def matrices(parts: dict[str, Any], index: int, plan: Plan, point: Point, mean: Array) -> Any:
    """Matrices of the Hessians of columns that have a loss each."""

    def of_block(at: Any) -> Any:
        block, scores, columns = at
        hess = point.loss.evaluate(scores, columns, point.width, hess=True)[2]
        assert hess is not None
        return (np.stack([curved_products(block.X, mean, hess[:, c]) for c in range(hess.shape[1])]),)

    return over_blocks(parts, plan, of_block, point)


def least(parts: dict[str, Any], index: int, plan: Plan) -> Any:
    """The loss of means that are the targets."""
    rows = rows_of_chunk(parts, plan)
    if rows is None:
        return None
    loss = ScoreLoss(plan.plain._loss(), np.size(plan.plain.intercept_))
    raw = np.zeros((rows.X.shape[0], loss.n_columns), rows.X.dtype)
    with np.errstate(all="ignore"):
        return (plan.plain._least(rows.target, loss.columns(rows.target, rows.weight), loss, raw),)


def totals(parts: dict[str, Any], index: int, loss: Any) -> Any:
    """An accumulator of a chunk."""
    total = loss.accumulator()
    return total.update(**{name: as_array(part) for name, part in parts.items()}) if parts["input"].shape[0] else total


def merge_totals(parts: list[Any]) -> Any:
    """Of consecutive chunks."""
    total = parts[0].loss.accumulator()
    for part in parts:  # which stay as they are: a task may run twice
        total.merge(part)
    return total
