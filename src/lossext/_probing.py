"""Scores and targets to try functions at, and difference quotients of these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossext._validate import Array

STEP = 0.01  # in units of the score: of a function in float32 the quotient still has four digits
FIVE_POINTS = ((-2, 1), (-1, -8), (1, 8), (2, -1))  # over 12 steps, with an error of step^4 f^(5) / 30
CLOSE = 1e-3


def scores_and_targets(kind: str, n_classes: int | None = None, n_rows: int = 96) -> tuple[Array, Array]:
    """Scores (N,) or (N, C) of moderate size, and targets of a kind that go with them."""
    rng = np.random.default_rng(20240229)
    raw = rng.normal(scale=1.5, size=n_rows if n_classes is None else (n_rows, n_classes))
    noise = rng.normal(size=n_rows)
    if n_classes is not None:
        return raw, np.arange(n_rows) % n_classes
    if kind in ("unit", "sign"):
        ones = np.arange(n_rows) % 2
        return raw, (ones if kind == "unit" else 2 * ones - 1).astype(np.float64)
    if kind == "real":
        return raw, 2 * noise
    return raw, rng.poisson(1.5, n_rows).astype(np.float64) if kind == "non_negative" else np.exp(noise)


def derivative(function: Callable[[Array], Array], raw: Array) -> Array:
    """Of a function of each score; of one of rows, of a row's value or of the entry itself, by the entries."""
    result = np.empty(raw.shape)
    for c in range(raw.shape[1]) if raw.ndim == 2 else (None,):
        entry = (slice(None),) if c is None else (slice(None), c)
        total = np.zeros(len(raw))
        for steps, factor in FIVE_POINTS:
            moved = raw.copy()
            moved[entry] += steps * STEP
            value = np.asarray(function(moved), np.float64)
            total += factor * (value[entry] if value.ndim == raw.ndim else value)
        result[entry] = total / (12 * STEP)
    return result


def differ(found: Array, expected: Array, tolerance: float = CLOSE) -> Array:
    """Where two arrays are not close, by the size of the greater ones; nowhere where either is not finite."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(found) & np.isfinite(expected)
        size = np.abs(np.where(finite, expected, 0.0))
        typical = float(np.median(size[size > 0])) if (size > 0).any() else 1.0
        wrong: Array = finite & (np.abs(found - expected) > tolerance * (np.abs(expected) + typical))
    return wrong
