"""Sections of a loss's docstring that follow from its declaration: Parameters, Raises and Notes."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from lossext._declare import Declaration, parameters_of

TARGET_TYPES = {
    "class": "*target* has input's shape without axis 1 and holds class ids of any integer dtype.",
    "labels": "*target* has shape (N, K) and holds the ids of each row's labels up to the first -1, in any integer "
    "dtype; or it is a SciPy CSR matrix of shape (N, C) that is 1 at the labels (stored zeros do not count).",
    "sign": "*target* holds -1 and 1, in any integer or float dtype (bool raises a TypeError: False is not -1).",
}


def complete_docstring(cls: Any) -> None:
    """Insert Parameters, Raises and Notes before the Examples section of a class's docstring."""
    if cls.__doc__ is None:  # python -OO
        return
    text, separator, examples = inspect.cleandoc(cls.__doc__).partition("Examples\n--------\n")
    if not separator:
        raise TypeError(f"{cls.__name__} has no Examples in its docstring")
    parameters = [
        f"{name} : {p.check.requirement}, default {p.default!r}\n{indented(p.text)}"
        for name, p in parameters_of(cls).items()
        if p.check is not None
    ]
    raises = [f"{error}\n{indented('; '.join(reasons))}." for error, reasons in raises_of(cls).items()]
    cls.__doc__ = "\n\n".join(
        (
            text.rstrip(),
            "\n".join(("Parameters\n----------", *parameters)),
            "\n".join(("Raises\n------", *raises)),
            "Notes\n-----\n" + "\n\n".join(map(wrapped, notes_of(cls.declaration))),
            f"Examples\n--------\n{examples}",
        )
    )


def indented(text: str) -> str:
    return textwrap.indent(wrapped(text, 104), "    ")


def wrapped(text: str, width: int = 108) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def raises_of(cls: Any) -> dict[str, list[str]]:
    declaration: Declaration = cls.declaration
    names = ", ".join(parameters_of(cls))
    ids = declaration.takes_ids
    shape = "target does not have one class id per row of input" if ids else "target's shape is not input's"
    if declaration.target.kind == "labels":
        shape = "target does not have as many rows as input"
    if declaration.broadcasts:
        shape = "input and target do not broadcast"
    wrong = "a class id is outside [0, C)" if ids else f"a target is not {declaration.target.requirement}"
    if declaration.input_domain:
        wrong += f"; an element of input is not {declaration.input_domain.requirement}"
    rank = ["input is not 2-D or has no columns"] if declaration.ranks else []
    return {
        "TypeError": [
            f"a parameter ({names}) has a wrong type",
            "input has a complex, object or str dtype",
            "target does not have an integer dtype" if ids else "target does not have a real dtype",
        ],
        "ValueError": ["a parameter has a value that is not allowed", *rank, shape, wrong],
    }


def notes_of(declaration: Declaration) -> list[str]:
    shape = "of shape (N, C)" if declaration.ranks else "of any shape"
    if declaration.family == "row" and not declaration.ranks:
        shape = "of shape (N, C) or (N, C, d1, ...), with the classes along axis 1"
    target = TARGET_TYPES.get(
        declaration.target.kind,
        f"*target* has any bool, integer or float dtype; each element must be {declaration.target.requirement}.",
    )
    inside = f", each element {declaration.input_domain.requirement} or NaN" if declaration.input_domain else ""
    of_row = ", of the largest one in the row for derivatives" if declaration.derivatives_by_row else ""
    notes = [
        f"*input* is {shape}{inside}. float32 and float64 are computed in their own precision, float16 in float32, "
        f"integers and bools in float64. {target}",
        f"Error bounds: {declaration.value_ulp:g} ulp for a value, {declaration.grad_ulp:g} ulp for the gradient, "
        f"{declaration.hess_ulp:g} ulp for the curvature{of_row}, plus one for each weight and for the divisor of a "
        "mean; results below the smallest normal number may be 0.",
        divisor_note(declaration),
    ]
    if declaration.link:
        notes.append(f"Link: {declaration.link.name}; the mean is ``{declaration.link.formula}``.")
    if len(declaration.curvatures) > 1:
        notes.append(f"Curvatures: {', '.join(declaration.curvatures)}.")
    return notes


def divisor_note(declaration: Declaration) -> str:
    things = "rows" if declaration.value_by_row else "elements"
    if declaration.divides_by_class_weight:
        return (
            "``mean`` divides by the sum of the known rows' class weights if the target holds class ids, otherwise by "
            "the number of known rows; ``weighted_mean`` divides by the sum of all weights, ``batchmean`` by the "
            "number of rows; see `divisor`."
        )
    return (
        f"``mean`` divides by the number of known {things}, ``weighted_mean`` by the sum of the weights, "
        "``batchmean`` by the number of rows; see `divisor`."
    )
