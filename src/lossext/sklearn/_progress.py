"""Progress of a fit: lines on the terminal, and scikit-learn's callbacks where the release has them (1.9)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["CallbackSupportMixin", "Progress"]

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """No callbacks."""


class Progress:
    """Reports the iterations of one fit, each a subtask of the estimator's callback context."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, max_iter: int) -> None:
        self.estimator, self.max_iter, self.started = estimator, max_iter, time.perf_counter()
        self.data = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
        self.curve: list[float] = []  # the first of the numbers of each iteration
        self.context: Any = None
        self.task: Any = None
        if getattr(estimator, "_skl_callbacks", None):
            self.context = estimator._init_callback_context(max_subtasks=max_iter + 1)
            self.context.call_on_fit_task_begin(estimator=estimator, **self.data)

    def begin(self, fitted: Callable[[], dict[str, Any]]) -> None:
        """An iteration begins, unless it has; `fitted` gives the attributes of the model so far."""
        if self.context is not None and self.task is None:
            self.task = self.context.subcontext(task_name="iteration")
            self.task.call_on_fit_task_begin(estimator=self.estimator, **self.data, reconstruction_attributes=fitted)

    def end(self, n_iter: int, fitted: Callable[[], dict[str, Any]], **numbers: float) -> bool:
        """An iteration is done; whether a callback wants the fit to stop."""
        self.curve.append(next(iter(numbers.values())))
        verbose = self.estimator.verbose
        if verbose and n_iter % max(1, 10 ** (2 - verbose)) == 0:
            text = ", ".join(f"{name} {number:.6g}" for name, number in numbers.items())
            spent = time.perf_counter() - self.started
            left = spent / n_iter * max(0, self.max_iter - n_iter)
            name = type(self.estimator).__name__
            print(f"[{name}] iteration {n_iter}: {text}, {spent:.1f} s, at most {left:.1f} s left", flush=True)
        if self.task is None:
            return False
        task, self.task = self.task, None
        return bool(task.call_on_fit_task_end(estimator=self.estimator, **self.data, reconstruction_attributes=fitted))

    def close(self) -> None:
        """The fit is done."""
        if self.context is not None:
            if self.task is not None:  # begun, but not needed any more
                self.task.call_on_fit_task_end(estimator=self.estimator)
            self.context.call_on_fit_task_end(estimator=self.estimator, **self.data, reconstruction_attributes={})
