"""Measure the error of losses, and of what torch and scikit-learn compute for the same where they are installed.

    python tools/accuracy.py              # every loss; writes docs/accuracy.json, which the site draws
    python tools/accuracy.py HuberLoss    # these losses only

What was recorded of a library that is not installed here is kept.  float32 predictions of every magnitude that a model
gives, hard targets; exact values come from long double (the twins of the tests).  As there, an error is counted in
units of 2^-23 of the sum of the sizes of the terms that the exact result is added up from, which is the result itself
where nothing cancels; gradients of a row in units of the row's greatest.
"""

import argparse
import importlib.util
import json
import re
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
    target = torch.tensor(y if cls.declaration.takes_ids else y.astype(np.float32))
    value = function(input, target, reduction="none")
    value.sum().backward()
    return value.detach().numpy(), input.grad.numpy()


SKLEARN = {
    "BCEWithLogitsLoss": "HalfBinomialLoss",
    "CrossEntropyLoss": "HalfMultinomialLoss",
    "HalfSquaredErrorLoss": "HalfSquaredError",
    "L1Loss": "AbsoluteError",
    "PinballLoss": "PinballLoss",
}


def of_sklearn(cls, x, y):
    from sklearn._loss import loss as losses

    if cls.__name__ not in SKLEARN:
        return None
    arguments = {"n_classes": x.shape[1]} if cls.declaration.takes_ids else {}
    loss = getattr(losses, SKLEARN[cls.__name__])(**arguments)
    return loss.loss_gradient(y.astype(np.float32), x)


LIBRARIES = {"torch": ("torch", of_torch), "scikit-learn": ("sklearn", of_sklearn)}


def cases(cls):
    """Predictions and targets."""
    if cls.declaration.family != "element":
        rng = np.random.default_rng(1)
        for columns in (2, 10, 1000):
            rows = 40_000 // columns
            x = rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-6, 3, (rows, 1))
            y = rng.integers(columns, size=rows)
            labels = np.full((rows, columns), -1)
            labels[:, 0] = y
            yield x.astype(np.float32), labels if kind_of(cls) == "labels" else y
        return
    x = predictions(cls)
    x = x[:, None] if matrix_only(cls) else x
    for sign in TARGETS.get(kind_of(cls), (-1, 1)):
        yield x, np.full(x.shape, sign)


def measure(cls, peers):
    found = {}
    loss = plain(cls, reduction="none")
    for x, y in cases(cls):
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [cls.__name__ for cls in lossext.registry()]
    parser.add_argument("losses", nargs="*", metavar="LOSS", choices=[*names, []], help="default: all")
    wanted = parser.parse_args().losses or names
    path = ROOT / "docs" / "accuracy.json"
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"versions": {}, "losses": {}}
    versions = {**recorded["versions"], "lossext": lossext.__version__, "numpy": np.__version__}
    peers = {name: peer for name, (module, peer) in LIBRARIES.items() if importlib.util.find_spec(module)}
    versions |= {name: version(name) for name in peers}
    losses = {}
    for cls in lossext.registry():
        before = recorded["losses"].get(cls.__name__, {})
        if cls.__name__ in wanted:
            losses[cls.__name__] = before | measure(cls, peers)
            shown = losses[cls.__name__].items()
            print(f"{cls.__name__:26}", *(f"{who} {value:g} / {grad:g}  " for who, (value, grad) in shown))
        elif before:
            losses[cls.__name__] = before
    text = json.dumps({"versions": versions, "losses": losses}, indent=1)
    path.write_text(re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
