"""Answers of peers, collected by running them, with a reference that is independent of ours: cases by class of loss.

A file of data holds cases {id, dtype, params, tags, keys, ...}; a case's arrays stand under "<id>.<key>".  `ref_*` is
the stable formula in long double, rounded to float64: what tests compare with.  Other keys are what the peer answered.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"

# the file of each class
FILES = {
    "MSELoss": ("mse",),
    "HalfSquaredErrorLoss": ("half_squared_error",),
    "L1Loss": ("l1",),
    "SmoothL1Loss": ("smooth_l1",),
    "HuberLoss": ("huber",),
    "PseudoHuberLoss": ("pseudo_huber",),
    "LogCoshLoss": ("log_cosh",),
    "PinballLoss": ("pinball",),
    "ExpectileLoss": ("expectile",),
    "EpsilonInsensitiveLoss": ("epsilon_insensitive",),
    "HalfPoissonLoss": ("half_poisson",),
    "HalfGammaLoss": ("half_gamma",),
    "HalfTweedieLoss": ("half_tweedie",),
    "PoissonNLLLoss": ("poisson_nll",),
    "BCEWithLogitsLoss": ("bce_with_logits", "bce_with_logits_smoothed"),
    "BCELoss": ("binary_cross_entropy",),
    "SigmoidFocalLoss": ("sigmoid_focal",),
    "AsymmetricLoss": ("asymmetric",),
    "SoftMarginLoss": ("soft_margin",),
    "HingeLoss": ("hinge",),
    "ModifiedHuberLoss": ("modified_huber",),
    "ExponentialLoss": ("exponential",),
    "KLDivLoss": ("kl_div",),
    "CrossEntropyLoss": ("cross_entropy",),
    "NLLLoss": ("nll",),
    "SoftmaxFocalLoss": ("softmax_focal",),
    "MulticlassHingeLoss": ("multiclass_hinge",),
    "MultiLabelMarginLoss": ("multilabel_margin",),
    "MultiLabelSoftMarginLoss": ("multilabel_soft_margin",),
    "MultiMarginLoss": ("multi_margin",),
    "HingeEmbeddingLoss": ("hinge_embedding",),
}
PARAMETER_ARRAYS = ("weight", "pos_weight")  # arrays of a case that are parameters of the loss

# cases that the contract answers with an error, by tag: its targets, or the argument that the error names
OUTSIDE = {
    "": {"t:out": "target"},
    "MultiLabelSoftMarginLoss": {"t:out": "target", "nd": "input", "empty": "input"},
    "MultiMarginLoss": {"1d": "input", "0d": "input"},
    "NLLLoss": {"1d": "input"},
    "HingeEmbeddingLoss": {"target_not_pm1": "target"},
}


class Case(NamedTuple):
    id: str
    name: str  # of the class
    params: dict[str, Any]  # of its constructor
    arrays: dict[str, NDArray[Any]]
    dtype: str
    peer: str
    tags: frozenset[str]

    @property
    def refused(self) -> str | None:
        """The argument that an error names instead of an answer."""
        rules = OUTSIDE.get(self.name, OUTSIDE[""])
        return next((rules[tag] for tag in sorted(self.tags) if tag in rules), None)


@functools.cache
def cases_of(name: str) -> tuple[Case, ...]:
    """All cases of a class; none if there are no data."""
    return tuple(case for file in FILES.get(name, ()) for case in read(name, file))


def read(name: str, file: str) -> Iterator[Case]:
    with np.load(DATA / f"{file}.npz") as data:
        for meta in json.loads(str(data["meta"])):
            arrays = {key: data[f"{meta['id']}.{key}"] for key in meta["keys"]}
            params = dict(meta["params"])
            params |= {key: arrays[key] for key in PARAMETER_ARRAYS if key in arrays}
            if name in ("MSELoss", "L1Loss") and "weight" in arrays and params["reduction"] == "mean":
                params["reduction"] = "weighted_mean"  # what torch's mean is where these two have weights
            peer, tags = meta.get("peer", "torch"), frozenset(meta["tags"])
            yield Case(f"{file}-{meta['id']}", name, params, arrays, meta["dtype"], peer, tags)
