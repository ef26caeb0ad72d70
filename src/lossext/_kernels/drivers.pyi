"""Types of the compiled drivers."""

from typing import Any, Final

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

def isa() -> str: ...
def isa_levels() -> tuple[str, ...]: ...
def set_isa(name: str) -> None: ...
def openmp_version() -> int: ...
def openmp_limit() -> int: ...
def one_thread_only() -> bool: ...
def threads_for(work: float) -> int: ...
def remember_threads(threads: int) -> None: ...
def compiler() -> str: ...
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
    ) -> tuple[Any, Any, Any]: ...
    def divisor(self, target: Any, element_weight: Any, sample_weight: Any, mask: Any, shape: Any) -> float: ...

def run_sampled(
    real_type: int,
    mode: int,
    rows: int,
    dim: int,
    classes: int,
    num_true: int,
    scale: float,
    inputs: Any,
    weights: Any,
    ids: Any,
    labels: Any,
    bias: Any,
    true_bias: Any,
    hits: Any,
    hit_first: Any,
    hit_last: Any,
    upstream: Any,
    loss: Any,
    grad_inputs: Any,
    grad_classes: Any,
    grad_bias: Any,
    groups: int,
    order: Any,
    start: Any,
    target: Any,
    merged: Any,
    merged_bias: Any,
    k: int,
    top_values: Any,
    top_ids: Any,
    n_threads: int,
) -> None: ...
def group_ids(keys: Any, labels: int, order: Any, start: Any, unique: Any, hit_first: Any, hit_last: Any) -> int: ...
def update_rows(
    real_type: int,
    rule: int,
    indices: Any,
    values: Any,
    param: Any,
    first: Any,
    second: Any,
    rate: float,
    decay1: float,
    decay2: float,
    epsilon: float,
    rows: int,
    length: int,
    n_threads: int,
) -> None: ...
def alias_table(weights: Any, share: Any, alias: Any) -> None: ...
def tree_add(tree: Any, ids: Any) -> None: ...
def tree_find(tree: Any, targets: Any, ids: Any) -> None: ...

class IdSet:
    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def add(self, ids: Any) -> None: ...
    def take_new(self, candidates: Any, new: Any) -> tuple[int, int]: ...
