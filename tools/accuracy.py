"""Measure the error of every element loss, and of torch's function of the same name where it is installed.

    python tools/accuracy.py            # writes docs/accuracy.json, from which the site makes its figure and its table

float32 predictions of every magnitude that a model gives, hard targets; exact values come from long double (the twins
of the tests).  As there, an error is counted in units of 2^-23 of the sum of the sizes of the terms that the exact
result is added up from, which is the result itself where nothing cancels.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import lossext

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cases import kind_of, matrix_only, plain, takes_part_of_the_line  # noqa: E402
from twins import reference  # noqa: E402

TARGETS = {"unit": (0, 1), "sign": (-1, 1), "positive": (1, 2), "non_negative": (0, 3)}
LARGEST = {"log": 20.0, "half_logit": 40.0}  # beyond, exponentials leave float32


def predictions(cls):
    """Of every magnitude: 40,000 of either sign, or 20,000 in [0, 1]."""
    rng = np.random.default_rng(0)
    if takes_part_of_the_line(cls):
        return rng.random(20_000).astype(np.float32)
    link = cls.declaration.link
    largest = LARGEST.get(link.name, 80.0) if link else 80.0
    size = np.concatenate([rng.uniform(0, largest, 20_000), 10.0 ** rng.uniform(-6, np.log10(largest), 20_000)])
    return np.concatenate([size, -size]).astype(np.float32)


def in_ulp(got, exact, terms):
    """The greatest error; results under the smallest normal number are left out."""
    unit = np.finfo(np.float32).eps * terms
    some = (terms >= np.finfo(np.float32).tiny) & np.isfinite(exact)
    error = np.abs(np.asarray(got).astype(np.longdouble) - exact)[some] / unit[some]
    return round(float(error.max(initial=0)), 2)


def of_torch(cls, x, y):
    import torch

    function = getattr(torch.nn.functional, cls.declaration.function, None)
    if function is None:
        return None
    input = torch.tensor(x, requires_grad=True)
    value = function(input, torch.tensor(y.astype(np.float32)), reduction="none")
    value.sum().backward()
    return value.detach().numpy(), input.grad.numpy()


def measure(cls, peers):
    x = predictions(cls)
    x = x[:, None] if matrix_only(cls) else x
    found = {}
    loss = plain(cls, reduction="none")
    for sign in TARGETS.get(kind_of(cls), (-1, 1)):
        y = np.full(x.shape, sign)
        exact = reference(loss, x, y)
        results = {"lossext": loss.value_and_grad(x, y), **{name: peer(cls, x, y) for name, peer in peers.items()}}
        for name, result in results.items():
            if result is not None:
                value = in_ulp(np.reshape(result[0], exact.value.shape), exact.value, exact.value_terms)
                grad = in_ulp(result[1], exact.grad, exact.grad_terms)
                before = found.get(name, (0.0, 0.0))
                found[name] = max(before[0], value), max(before[1], grad)
    return {"bound": (cls.declaration.value_ulp, cls.declaration.grad_ulp), **found}


def main():
    peers, versions = {}, {"lossext": lossext.__version__, "numpy": np.__version__}
    try:
        versions["torch"] = version("torch")
        peers["torch"] = of_torch
    except ImportError:
        print("torch is not installed: lossext alone", file=sys.stderr)
    losses = {cls.__name__: measure(cls, peers) for cls in lossext.registry() if cls.declaration.family == "element"}
    for name, found in losses.items():
        print(f"{name:26}", *(f"{who} {value:g} / {grad:g}  " for who, (value, grad) in found.items()))
    path = ROOT / "docs" / "accuracy.json"
    path.write_text(json.dumps({"versions": versions, "losses": losses}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
