"""Base classes of the estimators: fits that either succeed or change nothing, passes over the rows, and their state."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import check_is_fitted, validate_data

from lossext._validate import Array
from lossext.sklearn._progress import CallbackSupportMixin, Progress
from lossext.sklearn._rows import Rows
from lossext.sklearn._targets import encode, find_classes, make_rows

DTYPES = [np.float64, np.float32]

Method = TypeVar("Method", bound=Callable[..., Any])


def all_or_nothing(method: Method) -> Method:
    """A method that leaves the estimator unchanged if it fails."""

    @functools.wraps(method)
    def whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(self.__dict__)
        try:
            with np.errstate(all="ignore"):
                return method(self, *args, **kwargs)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    return whole  # type: ignore[return-value]


def check_memory(n_vectors: int, shape: tuple[int, int], dtype: Any, solver: str) -> None:
    """MemoryError, before the work starts, if a solver's vectors of classes x features exceed the memory."""
    needed = n_vectors * shape[0] * shape[1] * np.dtype(dtype).itemsize
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise MemoryError(
            f"{shape[0]} columns of scores x {shape[1]} features need {needed} bytes for solver={solver!r}, more than "
            "this machine has; use fewer features (HashingVectorizer(n_features=...)) or float32"
        )


class OnlyIf:
    """Decorator of a method that some estimators do not have; `why_not` raises the AttributeError that says why."""

    def __init__(self, why_not: Callable[[Any], None]) -> None:
        self.why_not = why_not

    def __call__(self, method: Callable[..., Any]) -> OnlyIf:
        bound = OnlyIf(self.why_not)
        bound.method = method
        functools.update_wrapper(bound, method)
        return bound

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self.method
        self.why_not(instance)
        return self.method.__get__(instance, owner)

    method: Callable[..., Any]


class Estimator(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]
    """Base of all."""

    coef_: Array
    intercept_: Array
    n_iter_: int
    loss_curve_: list[float]

    _learning_rates: ClassVar[dict[str, float]]  # of the solvers that go by mini-batches

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked(self, X: Any) -> Any:
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse="csr", dtype=DTYPES, reset=False)

    def _passes(
        self,
        one: Callable[[], dict[str, float]],
        progress: Progress,
        fitted: Callable[[], dict[str, Any]],
        improved: Callable[[], None] = lambda: None,
    ) -> str:
        """Passes over the rows until the last of their numbers settles; how they ended.

        `fitted` makes the attributes of the model so far; `improved` is told when the number is the least so far.
        """
        best, stale = np.inf, 0
        for n_iter in range(1, self.max_iter + 1):
            progress.begin(fitted)
            numbers = one()
            *_, watched = numbers.values()
            stale = 0 if watched < best - self.tol * min(abs(best), abs(watched)) else stale + 1
            if watched < best:
                best = watched
                improved()
            self.n_iter_ = n_iter
            if progress.end(n_iter, fitted, **numbers):
                return "stopped"
            if stale >= self.n_iter_no_change:
                return "settled"
        return "reached max_iter"

    def _rate(self) -> float:
        return float(self.learning_rate or self._learning_rates[self.solver])

    def _warn(self, message: str) -> None:
        warnings.warn(message, ConvergenceWarning, stacklevel=5)


class Classifier(Estimator):
    """Base of the classifiers."""

    classes_: Array

    _multi_output: ClassVar[bool] = False  # whether a row of y can have several columns
    _multilabel: bool

    def _past(self) -> tuple[Array, Array, Array] | None:
        return (self.classes_, self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=DTYPES, multi_output=self._multi_output, reset=reset
        )
        return X, y

    def _find_classes(self, y: Any, classes: Any = None, partly: bool = False, names: Any = None) -> None:
        """Set the classes: those of y, those that a first call of partial_fit names, or the names of y's columns."""
        self.classes_, self._multilabel = find_classes(y)
        if self._multilabel and names is not None:
            self.classes_ = np.asarray(names)
        if partly and self._multilabel and classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"classes of a multilabel problem are those of y's columns, {self.classes_}, not {classes}"
            )
        if partly and not self._multilabel:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.unique(classes)
        if len(self.classes_) < 2:
            only = self.classes_[0]
            raise ValueError(
                f"{type(self).__name__} needs rows of at least 2 classes; y holds only 1 class: "
                f"{only.item() if isinstance(only, np.generic) else only!r}"
            )

    def _rows(self, X: Any, y: Any, sample_weight: Any, may_be_empty: bool = False) -> Rows:
        """The rows whose weight is not zero."""
        n_columns = len(self.classes_) if self._multi_output and (self._multilabel or len(self.classes_) > 2) else 1
        rows = make_rows(X, encode(y, self.classes_, self._multilabel), sample_weight, n_columns)
        if not rows.X.shape[0] and not may_be_empty:
            raise ValueError("Sample weights must contain at least one nonzero weight; all are zero")
        return rows

    def _check_totals(self, totals: Array) -> None:
        """Refuse weights of the classes' rows that leave one class."""
        if np.count_nonzero(totals) < 2:
            raise ValueError(
                f"{type(self).__name__} needs rows of at least 2 classes; those with a nonzero weight have only 1 class"
            )

    def _begin_partial_fit(self, X: Any, y: Any, classes: Any) -> tuple[Any, Any, bool]:
        """X and y, and whether this is the first call."""
        first = not hasattr(self, "coef_")
        names = getattr(y, "columns", None)
        X, y = self._validated(X, y, reset=first)
        if first:
            self._find_classes(y, classes, True, names)
            self.n_iter_ = 0
        elif classes is not None:
            _check_partial_fit_first_call(self, classes)
        return X, y, first
