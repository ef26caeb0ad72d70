"""The overview of losses shown by `help(lossext)`, generated from their modules."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType

RULES = """
An object returns the value and its derivatives, a function (`huber_loss` for `HuberLoss`) only the value::

    loss = lossext.HuberLoss(delta=0.5)
    loss(input, target)                     # the value
    loss.grad(input, target)                # its gradient with respect to input
    loss.value_and_grad(input, target)      # both from one pass over memory; out= receives the gradient
    loss.grad_and_hess(input, target)       # the gradient and the diagonal of the Hessian
    loss.divisor(target)                    # the divisor of the reduction
    loss.inverse_link(raw), loss.link(mean), loss.init_raw(target)     # for losses that have a link

Rules for all losses of an array of predictions, unless a class states otherwise:

- Parameters are checked when the object is created and read-only afterwards; they define equality, hash and pickle.
- float32 and float64 are computed in their own precision, float16 in float32, integers and bools in float64; sums are
  computed in float64.
- `weight` applies to elements or columns, `sample_weight` (N,) to rows, `element_weight` to the elements of one call.
- `mask=` (True: known) and `missing="nan"` exclude missing targets, also from every divisor.
- `reduction`: "mean" over known elements or rows (not divided by weights), "sum", "none", "weighted_mean", "batchmean".
- A target that the loss does not allow raises a ValueError that names its position; NaN predictions propagate.
- Results are bit-identical for any number of threads, which is set by `n_threads` or LOSSEXT_NUM_THREADS.
"""
ENDING = """
Other names: `RowSparse`, `topk`, `FrequencyEstimator`, `balanced_weights`, `balanced_pos_weight`, `scipy_objective`,
`custom_loss`, `check_objective`, `registry`, `show_config`; `lossext.samplers`, `lossext.sklearn`, `lossext.boosting`.
`python -m lossext` runs every loss.
"""


def subject_of(module: str) -> str:
    """The subject of a module's losses, from the first line of its docstring."""
    return (sys.modules[module].__doc__ or module).splitlines()[0].partition(",")[0].rstrip(".")


def overview(modules: tuple[ModuleType, ...]) -> str:
    """The rules, followed by the classes of each subject."""
    lines = [RULES]
    for module in modules:
        classes = [name for name in module.__all__ if name.endswith("Loss")]
        names = textwrap.fill(", ".join(classes), 110, initial_indent="    ", subsequent_indent="    ")
        lines.append(f"{subject_of(module.__name__)}::\n\n{names}\n")
    return "\n".join((*lines, ENDING))
