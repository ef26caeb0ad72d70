"""What is computed: the losses, the shapes and the arrays that everybody gets."""

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lossext

# losses that every peer here has, by (class in lossext, its parameters)
COMMON: dict[str, tuple[str, dict[str, Any]]] = {
    "multilabel_soft_margin": ("MultiLabelSoftMarginLoss", {}),
    "multi_margin_p1": ("MultiMarginLoss", {"p": 1}),
    "multi_margin_p2": ("MultiMarginLoss", {"p": 2}),
    "hinge_embedding": ("HingeEmbeddingLoss", {}),
    "bce": ("BCEWithLogitsLoss", {}),
    "bce_weighted": ("BCEWithLogitsLoss", {"weight": ..., "pos_weight": ...}),  # both (C,), from `arrays`
}


def _others() -> dict[str, tuple[str, dict[str, Any]]]:
    """The rest of the registry, with default parameters, by the names of their functions."""
    known = {name for name, _ in COMMON.values()}
    return {
        cls.declaration.function.removesuffix("_loss"): (cls.__name__, {})
        for cls in lossext.registry()
        if cls.__name__ not in known
    }


LOSSES = {**COMMON, **_others()}
SHAPES = [(32, 10), (256, 100), (1024, 1000), (1_000_000, 1), (65_536, 100), (4096, 10_000)]
DTYPES = ["float32", "float64"]
LARGE = 1_000_000  # elements: from here on a result may meet fresh memory, and a limit of memory makes sense


@dataclass(frozen=True)
class Case:
    loss: str
    shape: tuple[int, int]
    dtype: str
    what: str  # "value" or "value_and_grad"; always reduction="mean"

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def declaration(self) -> Any:
        return getattr(lossext, LOSSES[self.loss][0]).declaration

    @property
    def makes_sense(self) -> bool:
        return self.shape[1] > 1 or not self.declaration.takes_ids


def arrays(case: Case) -> SimpleNamespace:
    """Input x, target y, and weights w and q where the loss has them."""
    x, y = _input(case.shape, case.dtype), _target(case.shape, case.dtype, case.declaration.target.kind)
    if case.declaration.input_domain is not None:
        x = np.clip(abs(x) / 8, 0.01, 0.99)
    if "weight" not in LOSSES[case.loss][1]:
        return SimpleNamespace(x=x, y=y, w=None, q=None)
    rng = np.random.default_rng(2)
    w, q = (rng.uniform(0.5, 2, case.shape[1]).astype(case.dtype) for _ in "wq")
    return SimpleNamespace(x=x, y=y, w=w, q=q)


@lru_cache(maxsize=1)  # the cases come sorted so that this one array is used by all losses in turn
def _input(shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    block = 2 * np.random.default_rng(0).standard_normal(min(shape[0] * shape[1], 1_000_003))
    return np.resize(block.astype(dtype), shape)


@lru_cache(maxsize=1)
def _target(shape: tuple[int, int], dtype: str, kind: str) -> NDArray[Any]:
    rng = np.random.default_rng(1)
    if kind == "class":
        return rng.integers(0, shape[1], shape[0])
    if kind == "labels":  # a row's few, padded with -1
        ids = rng.integers(0, shape[1], (shape[0], min(shape[1], 5)))
        ids[rng.random(ids.shape) < 0.2] = -1
        return ids
    block = (rng.random(min(shape[0] * shape[1], 1_000_003)) < 0.4).astype(dtype)
    if kind == "positive":
        block += 1
    return np.resize(2 * block - 1 if kind == "sign" else block, shape)
