"""Types of the compiled drivers."""

from contextvars import ContextVar
from typing import Any, Final

import numpy as np

ABSENT: Final[int]
FULL: Final[int]
BY_COLUMN: Final[int]
BY_ROW: Final[int]
SCALAR: Final[int]
REAL: Final[int]
OTHER_REAL: Final[int]
UINT8: Final[int]
INT32: Final[int]
INT64: Final[int]
VALUE: Final[int]
GRAD: Final[int]
HESS: Final[int]
SOFTMAX: Final[int]
SIGMOID: Final[int]
RAW: Final[int]
ADD: Final[int]
ADAGRAD: Final[int]
ADAM: Final[int]
TAKE: Final[int]
PRODUCT: Final[int]

def isa() -> str: ...
def isa_levels() -> tuple[str, ...]: ...
def set_isa(name: str) -> None: ...
def openmp_version() -> int: ...
def openmp_limit() -> int: ...
def one_thread_only() -> bool: ...
def threads_for(work: float) -> int: ...
def remember_threads(threads: int) -> None: ...
def ask_always() -> None: ...
def compiler() -> str: ...
def vector_function(name: str, array: Any, other: Any = None) -> Any: ...
def find_loss(family: str, name: str) -> tuple[int, tuple[str, ...]]: ...

class Evaluator:
    def __init__(self, facts: Any, convert: Any, threads: Any) -> None: ...
    def run(
        self,
        want: int,
        input: Any,
        target: Any,
        element_weight: Any,
        sample_weight: Any,
        mask: Any,
        grad_output: Any,
        out: Any,
        n_threads: Any,
        curvature: int = 0,
        own_weights: dict[str, Any] | None = None,
    ) -> Any: ...
    def total(
        self, input: Any, target: Any, element_weight: Any, sample_weight: Any, mask: Any, n_threads: Any
    ) -> tuple[np.dtype[Any], float, float]: ...
    def divisor(self, target: Any, element_weight: Any, sample_weight: Any, mask: Any, shape: Any) -> float: ...

CURVATURE: Final[int]
CONSTANT: Final[int]
CONSTANT_AT_SLOPES: Final[int]
TO_THE_KINK: Final[int]
MOST_CLASSES: Final[int]

class Objective:
    def __init__(
        self,
        losses: list[Evaluator],
        curvature: int,
        rule: int,
        constants: Any,
        kinked: bool,
        limit_of: Any,
        factor: float,
        floor: float,
        least: float,
        positive: float,
    ) -> None: ...
    def run(self, raw: Any, target: Any, weight: Any, shift: Any, against_all: bool, grad: Any, hess: Any) -> bool: ...

class BadIdError(ValueError):
    args: tuple[str, int, int]

TOTALS: ContextVar[list[tuple[float, float]] | None]

class Layer:
    weights: Any
    biases: Any
    inputs: Any
    real: np.dtype[Any]
    dtype: np.dtype[Any]
    rows: int
    dim: int
    classes: int
    def __init__(self, weights: Any, biases: Any, inputs: Any, real: np.dtype[Any], dtype: np.dtype[Any]) -> None: ...
    def take(self, rows: Any) -> Layer: ...

class Weighting:
    row_weight: Any
    upstream: Any
    rows: Any
    n_rows: int
    divisor: float
    def __init__(self, convert: Any, reduction: str, sample_weight: Any, grad_output: Any, n_rows: int) -> None: ...
    def leave_out(self, known: Any) -> None: ...
    def prepare(self, job: LayerJob, want_grad: bool, part: float = 1) -> None: ...
    def value(self, job: LayerJob, dtype: np.dtype[Any]) -> Any: ...
    def all_rows(self, values: Any) -> Any: ...
    def factors(self, scale: float) -> Any: ...

def checked_layer(convert: Any, weights: Any, biases: Any, inputs: Any, num_classes: int | None = None) -> Layer: ...
def as_result(convert: Any, array: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]: ...
def layer_threads(threads: Any, n_threads: Any, products: int, rows: int, classes: int, dim: int) -> int: ...
def new_job(kind: int, layer: Layer, weights: Any, biases: Any, ids: LayerIds) -> LayerJob: ...

class Labels:
    ids: Any
    start: Any
    share: Any
    place: Any
    shape: tuple[int, ...]
    known: Any
    def __init__(self, ids: Any, start: Any, share: Any, place: Any, shape: tuple[int, ...], known: Any) -> None: ...

def evaluate_sampled(
    loss: Any, rare: Any, arrays: tuple[Any, ...], options: tuple[Any, ...], want_grad: bool
) -> tuple[Any, Any]: ...
def is_canonical(indices: Any, start: Any, data: Any, n_classes: int) -> bool: ...

class LayerIds:
    rows: int
    vocabulary: int
    n_labels: int
    n_classes: int
    n_groups: int
    def __init__(self, rows: int, vocabulary: int) -> None: ...
    def take_labels(self, ids: Any, start: Any) -> None: ...
    def take_classes(self, ids: Any) -> None: ...
    def group_sampled(self, leave_out_labels: bool, exclude: Any, exclude_start: Any) -> None: ...
    def group_all(self, leave_out_labels: bool, exclude: Any, exclude_start: Any) -> None: ...
    def group_twins(self, keys: Any) -> None: ...
    def __len__(self) -> int: ...
    def renumber(self) -> None: ...

class LayerJob:
    real_type: int
    kind: int
    rows: int
    dim: int
    classes: int
    scale: float
    inputs: Any
    weights: Any
    biases: Any
    ids: LayerIds
    label_log_counts: Any
    class_log_counts: Any
    label_share: Any
    label_rest: Any
    row_weight: Any
    row_upstream: Any
    grad_scale: float
    smoothing_row: Any
    smoothing_mass: float
    smoothing_bias: float
    loss: Any
    log_normalizer: Any
    total: float
    grad_inputs: Any
    grad_weights: Any
    grad_biases: Any
    top_count: int
    top_values: Any
    top_ids: Any
    def run(self, n_threads: int) -> None: ...

class RowUpdate:
    real_type: int
    rule: int
    compact: bool
    rows: int
    length: int
    indices: Any
    columns: Any
    start: Any
    entries: Any
    factors: Any
    dense: Any
    n_dense: int
    values: Any
    param: Any
    first: Any
    second: Any
    penalty: float
    rate: float
    decay1: float
    decay2: float
    epsilon: float
    def run(self, n_threads: int) -> None: ...

def log_counts(counts: Any, logs: Any) -> int: ...
def draw_uniform(bit_generator: Any, classes: int, taken: IdSet, out: Any, max_tries: int) -> tuple[int, int]: ...
def alias_table(weights: Any, share: Any, alias: Any) -> None: ...
def tree_add(tree: Any, counts: Any, ids: Any) -> None: ...
def tree_find(tree: Any, targets: Any, ids: Any) -> None: ...

class IdSet:
    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def add(self, ids: Any) -> None: ...
    def take_new(self, candidates: Any, new: Any) -> tuple[int, int]: ...
