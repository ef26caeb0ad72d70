"""Answers collected by running torch 2.13, and what long double makes of the same numbers (`ref_*`: tested here).

A case is {id, dtype, params, tags, keys}; its arrays stand under "<id>.<key>".  bfloat16 cases hold float32 arrays.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from cases import dense

DATA = Path(__file__).parent / "data"
FILES = {
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin",
    "MultiMarginLoss": "multi_margin",
    "HingeEmbeddingLoss": "hinge_embedding",
    "BCEWithLogitsLoss": "bce_with_logits",
}
TOLERANCE = {"float64": 2e-12, "float32": 3e-6, "float16": 3e-3, "bfloat16": 3e-6}
# what torch takes and this package refuses (then its error is tested instead), by tag
REFUSED = {
    "MultiLabelSoftMarginLoss": {"t:out": "target", "nd": "input", "empty": "input"},
    "MultiMarginLoss": {"1d": "input", "0d": "input"},
    "HingeEmbeddingLoss": {"target_not_pm1": "target"},
    "BCEWithLogitsLoss": {"t:out": "target"},
}


def read_cases():
    for cls in dense:
        if cls.__name__ in FILES:
            with np.load(DATA / f"{FILES[cls.__name__]}.npz") as file:
                for case in json.loads(str(file["meta"])):
                    arrays = {key: file[f"{case['id']}.{key}"] for key in case["keys"]}
                    yield pytest.param(cls, case, arrays, id=case["id"])


CASES = list(read_cases())


def loss_of(cls, case, arrays):
    weights = {key: arrays[key] for key in ("weight", "pos_weight") if key in arrays}
    return cls(**case["params"], **weights)


def close(got, ref, tolerance):
    """Within `tolerance` of the array's scale; infinities and NaN where the reference has them."""
    got, ref = np.asarray(got), np.asarray(ref)
    assert got.shape == ref.shape
    with np.errstate(over="ignore"):
        expected = ref.astype(got.dtype)  # beyond the type: inf
    finite = np.isfinite(expected)
    assert np.array_equal(got[~finite], expected[~finite], equal_nan=True)
    if finite.any():
        error = np.abs(got[finite].astype(np.float64) - ref[finite])
        assert np.max(error) <= tolerance * max(np.max(np.abs(ref[finite])), np.finfo(got.dtype).smallest_subnormal)


@pytest.mark.parametrize(("cls", "case", "arrays"), CASES)
def test_golden(cls, case, arrays, level):
    refused = [argument for tag, argument in REFUSED[cls.__name__].items() if tag in case["tags"]]
    loss = loss_of(cls, case, arrays)
    if refused:
        with pytest.raises(ValueError, match=refused[0]):
            loss(arrays["input"], arrays["target"])
        return
    tolerance = TOLERANCE[case["dtype"]]
    value, grad = loss.value_and_grad(arrays["input"], arrays["target"], grad_output=arrays["grad_output"])
    assert grad.dtype == arrays["input"].dtype
    close(value, arrays["ref_loss"], tolerance)
    close(grad, arrays["ref_grad_input"], tolerance)
    if "kink" in case["tags"]:
        assert np.array_equal(grad == 0, arrays["ref_grad_input"] == 0)


def test_most_cases_are_inside_the_contract():
    """So that a slip in the rule above does not turn the golden tests off."""
    for cls in (cls for cls in dense if cls.__name__ in FILES):
        kept = [p for p in CASES if p.values[0] is cls and not set(p.values[1]["tags"]) & set(REFUSED[cls.__name__])]
        assert len(kept) >= 78
