"""The parts of a loss's docstring that follow from its declaration: Parameters, Raises and Notes."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from lossext._declare import Declaration, parameters_of

TARGET_TYPES = {
    "class": "*target*, of input's shape without axis 1, holds class ids of any integer dtype.",
    "labels": "*target* (N, K) holds the ids of each row's labels, of any integer dtype, up to the first -1; or a "
    "SciPy CSR matrix of shape (N, C) that is 1 at the labels (stored zeros are none).",
    "sign": "*target* holds -1 and 1, in any integer or float dtype (bool is refused: False is not -1).",
}


def complete_docstring(cls: Any) -> None:
    """Put Parameters, Raises and Notes before the Examples of a class's own docstring."""
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
    shape = "target has not one class id a row of input" if ids else "target has another shape than input"
    if declaration.target.kind == "labels":
        shape = "target has another number of rows than input"
    if declaration.broadcasts:
        shape = "input and target do not broadcast"
    wrong = "a class id lies outside [0, C)" if ids else f"a target is not {declaration.target.requirement}"
    if declaration.input_domain:
        wrong += f"; an element of input is not {declaration.input_domain.requirement}"
    rank = ["input is not of rank 2 or has no column"] if declaration.ranks else []
    return {
        "TypeError": [
            f"a parameter ({names}) is of a wrong type",
            "input is complex, object or str",
            "target is not of an integer dtype" if ids else "target is not of a real dtype",
        ],
        "ValueError": ["a parameter is not what is allowed", *rank, shape, wrong],
    }


def notes_of(declaration: Declaration) -> list[str]:
    shape = "of shape (N, C)" if declaration.ranks else "of any shape"
    if declaration.family == "row" and not declaration.ranks:
        shape = "of shape (N, C) or (N, C, d1, ...), with the classes along axis 1"
    target = TARGET_TYPES.get(
        declaration.target.kind,
        f"*target* is of any bool, integer or float dtype, each {declaration.target.requirement}.",
    )
    inside = f", each {declaration.input_domain.requirement} or NaN" if declaration.input_domain else ""
    of_row = ", of the row's greatest" if declaration.derivatives_by_row else ""
    notes = [
        f"*input* is {shape}{inside}, float32 or float64 (read as it is); float16 is computed in float32; integers and "
        f"bools in float64. {target}",
        f"Error: {declaration.value_ulp:g} ulp of a value, {declaration.grad_ulp:g} ulp of the gradient, "
        f"{declaration.hess_ulp:g} of the curvature{of_row} (one more for each weight and for the mean's divisor); "
        "results under the smallest normal number may be 0.",
        divisor_note(declaration),
    ]
    if declaration.link:
        notes.append(f"Link: {declaration.link.name}, the mean is ``{declaration.link.formula}``.")
    if len(declaration.curvatures) > 1:
        notes.append(f"Curvatures: {', '.join(declaration.curvatures)}.")
    return notes


def divisor_note(declaration: Declaration) -> str:
    things = "rows" if declaration.value_by_row else "elements"
    if declaration.divides_by_class_weight:
        return (
            "``mean`` divides by the sum of the known rows' class weights where the target holds class ids, else by "
            "the number of known rows; ``weighted_mean`` by the sum of all weights, ``batchmean`` by the number of "
            "rows; see `divisor`."
        )
    return (
        f"``mean`` divides by the number of known {things}, ``weighted_mean`` by the sum of their weights, "
        "``batchmean`` by the number of rows; see `divisor`."
    )
