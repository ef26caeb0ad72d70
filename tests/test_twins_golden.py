"""Twins against golden answers of peers' references: they agree but for rounding, and for what is said here."""

import numpy as np
import pytest
from golden_cases import DATA, FILES, cases_of
from jets import EXTENDED
from twins import TWINS, loss_like, reference, wide

CASES = [pytest.param(case, id=case.id) for name in FILES for case in cases_of(name)]
# A curvature that is the same number everywhere is that at a prediction that is not finite, too.
CONSTANT_CURVATURE = ("MSELoss", "HalfSquaredErrorLoss", "L1Loss", "PinballLoss", "HingeLoss")


def compared(case, key, shape):
    """Which elements the contract answers as the reference does."""
    x, y = case.arrays["input"], case.arrays["target"]
    if not {"nonfinite"} & case.tags or x.shape != y.shape or shape != x.shape:
        return np.ones(shape, bool)
    if case.name == "KLDivLoss":  # a target of log 0 counts 0 whatever the prediction
        return ~(np.isneginf(x) & np.isneginf(y))
    known = np.isfinite(y)  # targets that are not are errors
    return known & np.isfinite(x) if key == "ref_hess" and case.name in CONSTANT_CURVATURE else known


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    if case.refused or "ref_loss" not in case.arrays:
        return
    if not EXTENDED and "tiny" in case.tags and case.name in ("HalfPoissonLoss", "HalfGammaLoss", "HalfTweedieLoss"):
        pytest.skip("long double is double here: x - log y has no more digits than the kernels' own")
    arrays, loss = case.arrays, loss_like(case.name, **case.params)
    twin = reference(
        loss, arrays["input"], arrays["target"], grad_output=arrays["grad_output"], parameter_type=np.float64
    )
    for key, got, size in (
        ("ref_loss", twin.value, twin.value_terms),
        ("ref_grad_input", twin.grad, twin.grad_terms),
        ("ref_hess", twin.hess, twin.hess_terms),
    ):
        if key in arrays:
            expected = arrays[key]
            assert got.shape == expected.shape
            with np.errstate(all="ignore"):
                # what rounding to float64 does, and rounding in long double, to which logarithms of targets add
                bound = 1e-15 * abs(wide(expected)) + (1e-18 if EXTENDED else 1e-14) * size + 1e-320
                fine = (abs(got - expected) <= bound) | (got.astype(np.float64) == expected)
                fine |= np.isnan(got) & np.isnan(expected)
            fine |= ~compared(case, key, expected.shape)
            assert fine.all(), f"{key}: {got[~fine]} for {expected[~fine]}"


def test_most_cases_are_compared():
    """So that a slip in the rules above does not turn the tests off."""
    assert set(FILES) == set(TWINS)
    for name in FILES:
        cases = cases_of(name)
        compared = [case for case in cases if not case.refused and "ref_loss" in case.arrays]
        assert len(compared) >= max(10, 0.8 * len(cases)), name


def test_every_file_belongs_to_a_class():
    others = {"nce", "sampled_softmax"}
    assert {path.stem for path in DATA.glob("*.npz")} == {file for files in FILES.values() for file in files} | others
