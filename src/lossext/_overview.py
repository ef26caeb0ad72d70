"""What `help(lossext)` says of the losses, from the modules that they stand in."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType

RULES = """
An object gives the value and its derivatives, a function (`huber_loss` of `HuberLoss`) the value alone::

    loss = lossext.HuberLoss(delta=0.5)
    loss(input, target)                     # the value
    loss.grad(input, target)                # its gradient with respect to input
    loss.value_and_grad(input, target)      # both from one pass over memory; out= takes the gradient
    loss.grad_and_hess(input, target)       # the gradient and the diagonal of the second derivatives
    loss.divisor(target)                    # what the mean divides by
    loss.inverse_link(raw), loss.link(mean), loss.init_raw(target)     # of losses that have a link

What holds for all losses of an array of predictions, unless a class says otherwise:

- Parameters are checked when the object is made, and read-only after; objects compare, hash and pickle by them.
- float32 and float64 are computed as they are, float16 in float32, integers and bools in float64; sums in float64.
- `weight` belongs to elements or columns, `sample_weight` (N,) to rows, `element_weight` to the elements of one call.
- `mask=` (True: known), or `missing="nan"`, leaves a missing target out, of every divisor too.
- `reduction`: "mean" over what is known (never by a sum of weights), "sum", "none", "weighted_mean", "batchmean".
- A target outside what the loss takes is a ValueError that names its place; a NaN prediction comes through.
- The bits are the same for any number of threads: `n_threads`, LOSSEXT_NUM_THREADS, or what the machine allows.
"""
ENDING = """
Beside them: `RowSparse`, `topk`, `FrequencyEstimator`, `balanced_weights`, `balanced_pos_weight`, `scipy_objective`,
`custom_loss`, `check_objective`, `registry`, `show_config`; `lossext.samplers`, `lossext.sklearn`, `lossext.boosting`.
`python -m lossext` tries every loss.
"""


def subject_of(module: str) -> str:
    """What the losses of a module are of, as the first line of its documentation says."""
    return (sys.modules[module].__doc__ or module).splitlines()[0].partition(",")[0].rstrip(".")


def overview(modules: tuple[ModuleType, ...]) -> str:
    """The rules, and the classes of each subject."""
    lines = [RULES]
    for module in modules:
        classes = [name for name in module.__all__ if name.endswith("Loss")]
        names = textwrap.fill(", ".join(classes), 110, initial_indent="    ", subsequent_indent="    ")
        lines.append(f"{subject_of(module.__name__)}::\n\n{names}\n")
    return "\n".join((*lines, ENDING))
