"""Trying out an objective that somebody else wrote: `check_objective`."""

from __future__ import annotations

import inspect
import math
import pickle
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _probing, _validate
from lossext._declare import logistic, softmax
from lossext._probing import derivative, differ
from lossext._validate import Array

LIBRARIES = ("lightgbm", "xgboost", "catboost")
TARGETS = ("unit", "sign", "class", "real", "non_negative", "positive")
MOST = 0.8  # of the tried entries, to say what kind of mistake it is: some may lie at a kink
LOPSIDED = 0.05  # |sum of slopes| / sum of |slopes| at the start
NO_SLOPE = 1e-6


class Finding(NamedTuple):
    """A mistake, what shows it, and what to do."""

    fault: str
    found: str
    remedy: str


class ObjectiveReport:
    """What `check_objective` found: iterates over its findings; its length is their number."""

    def __init__(self, findings: list[Finding], checked: list[str], left_out: list[str]) -> None:
        self.findings, self.checked, self.left_out = tuple(findings), tuple(checked), tuple(left_out)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __repr__(self) -> str:
        lines = []
        for finding in self.findings:
            lines.append(finding.fault)
            for label, text in (("found", finding.found), ("to do", finding.remedy)):
                lines += textwrap.wrap(text, 100, initial_indent=f"  {label}  ", subsequent_indent=" " * 9)
        if not self.findings:
            lines.append("nothing wrong was found")
        for label, texts in (("checked", self.checked), ("left out", self.left_out)):
            if texts:
                lines += textwrap.wrap(f"{label}: {'; '.join(texts)}", 110, subsequent_indent="  ")
        return "\n".join(lines)

    def raise_if_any(self) -> None:
        """ValueError with the whole report if there is a finding."""
        if self.findings:
            raise ValueError(f"{len(self.findings)} faults of the objective\n{self!r}")


class FailureError(Exception):
    """A finding after which nothing more can be said."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding


class Data:
    """What a native objective asks of a data set."""

    def __init__(self, label: Array, weight: Array) -> None:
        self.label, self.weight = label, weight

    def get_label(self) -> Array:
        return self.label

    def get_weight(self) -> Array:
        return self.weight

    def get_init_score(self) -> None:
        return None

    def get_base_margin(self) -> Array:
        return np.empty(0, np.float32)

    def num_row(self) -> int:
        return len(self.label)

    num_data = num_row


class Interface:
    """One way of calling for all kinds of objectives: (raw, target, weights) to (grad, hess), as float64."""

    def __init__(self, objective: Any, library: str | None, n_columns: int | None) -> None:
        self.objective, self.n_columns = objective, n_columns
        self.catboost = hasattr(objective, "calc_ders_range") or hasattr(objective, "calc_ders_multi")
        self.library = "catboost" if self.catboost else library
        self.real = np.float32 if library == "xgboost" else np.float64
        self.order = "F" if library == "lightgbm" else "C"
        self.flat = False
        self.native = False
        self.n_arguments = 3 if self.catboost else arguments_of(objective)
        self.takes_weight = self.n_arguments > 2

    def __call__(self, raw: Array, target: Array, weight: Array | None = None) -> tuple[Array, Array]:
        """Gradient and Hessian of the loss to be minimised."""
        given: Array = np.array(raw, self.real, order=self.order)  # type: ignore[call-overload]
        label = np.array(target, np.float32)  # as the libraries hand them over
        w = np.ones(len(label), np.float32) if weight is None else np.array(weight, np.float32)
        before = given.copy(), label.copy(), w.copy()
        try:
            with np.errstate(all="ignore"):
                pair = self._answer(given, label, w)
        except FailureError:
            raise
        except Exception as error:
            raise FailureError(
                Finding(
                    "raises",
                    f"{type(error).__name__}: {error} (raw of shape {given.shape}, labels float32 of shape "
                    f"{label.shape})",
                    "The libraries hand over labels as float32, and raw scores of shape (N,) or (N, C).",
                )
            ) from error
        for name, old, new in zip(("raw", "labels", "weights"), before, (given, label, w), strict=True):
            if name == "raw" and self.library == "xgboost":
                continue  # a copy there, which its tutorial writes to
            if not np.array_equal(old, new, equal_nan=True):
                raise FailureError(
                    Finding(
                        "changes its arguments",
                        f"{name} had other values after the call",
                        "Compute out of place, or copy first: the library goes on using these arrays.",
                    )
                )
        return pair

    def _answer(self, raw: Array, target: Array, weight: Array) -> tuple[Array, Array]:
        if self.catboost:
            return self._of_catboost(raw, target, weight)
        if not self.native:
            arguments = (target, raw, weight, None)[: self.n_arguments]
            try:
                pair = self.objective(*arguments)
            except Exception as error:
                if self.n_arguments != 2:
                    raise
                asks_data = isinstance(error, AttributeError) and "attribute 'get_" in str(error)
                try:  # it may use the scores before it asks for labels
                    pair = self.objective(raw, Data(target, weight))
                except Exception as native_error:
                    raise (native_error if asks_data else error) from None
                self.native = self.takes_weight = True
            return self._read(pair, raw.shape)
        return self._read(self.objective(raw, Data(target, weight)), raw.shape)

    def _read(self, pair: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise FailureError(Finding("wrong shape", f"it returned {type(pair).__name__}", "Return (grad, hess)."))
        arrays = []
        for name, part in zip(("grad", "hess"), pair, strict=True):
            array = np.asarray(part)
            if array.dtype.kind not in "biuf" or array.shape not in (shape, (math.prod(shape),)):
                raise FailureError(
                    Finding(
                        "wrong shape",
                        f"{name} has shape {array.shape} and dtype {array.dtype} for raw scores of shape {shape}",
                        f"Return real numbers of shape {shape}.",
                    )
                )
            if array.shape != shape:
                self.flat = True
                array = array.reshape(shape, order=self.order)  # type: ignore[call-overload]
            arrays.append(array.astype(np.float64))
        return arrays[0], arrays[1]

    def _of_catboost(self, raw: Array, target: Array, weight: Array) -> tuple[Array, Array]:
        """CatBoost maximises: both have the other sign there."""
        if raw.ndim == 1:
            pairs = np.asarray(self.objective.calc_ders_range(raw, target, weight), np.float64)
            if pairs.shape != (len(raw), 2):
                raise FailureError(
                    Finding(
                        "wrong shape",
                        f"calc_ders_range gives shape {pairs.shape} for {len(raw)} rows",
                        "Return a pair (der1, der2) for each row.",
                    )
                )
            return -pairs[:, 0], -pairs[:, 1]
        grad, hess = np.empty(raw.shape), np.empty(raw.shape)
        for i in range(len(raw)):
            first, second = self.objective.calc_ders_multi(raw[i], target[i], weight[i])
            grad[i] = -np.asarray(first, np.float64)
            hess[i] = -np.diagonal(np.asarray(second, np.float64))
        return grad, hess


def arguments_of(function: Any) -> int:
    """How many arguments it takes by position; 2 where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return min(max(len(by_position), 2), 4)


def check_objective(
    objective: Any,
    *,
    value: Callable[..., Any] | None = None,
    target: str = "unit",
    n_classes: int | None = None,
    library: str | None = None,
    y: npt.ArrayLike | None = None,
    start: npt.ArrayLike = 0.0,
) -> ObjectiveReport:
    """Try one's own boosting objective for the mistakes that are usual, and say what to do about them.

    Parameters
    ----------
    objective : callable or object
        ``objective(y, raw)``, ``objective(y, raw, weight)`` or ``objective(y, raw, weight, group)`` of scikit-learn
        interfaces, ``objective(raw, data)`` of `lightgbm.train` and `xgboost.train`, or an object of CatBoost with
        ``calc_ders_range`` or ``calc_ders_multi``. Which it is, is tried.
    value : callable, optional
        The loss itself, with the arguments of the objective: one number per row, or their sum or mean. The gradient is
        then compared with difference quotients of it.
    target : {"unit", "sign", "class", "real", "non_negative", "positive"}
        What the labels are: 0 and 1; -1 and 1; class ids; any numbers; at least 0; above 0, the last two with the
        logarithm of the mean for a score.
    n_classes : int, optional
        Columns of the raw scores of several classes: from 3 on the labels are class ids.
    library : {"lightgbm", "xgboost", "catboost"}, optional
        Whose layout and type the raw scores have: LightGBM's are float64 and lie class by class, XGBoost's float32 row
        by row. A flat result is read likewise.
    y : array_like, optional
        Labels of one's own, for which `start` is checked.
    start : float or array_like of shape (C,)
        Raw score at which boosting starts: ``init_score`` of LightGBM, ``base_margin`` of XGBoost, ``baseline`` of
        CatBoost.

    Returns
    -------
    ObjectiveReport
        Iterates over its findings, each with ``fault``, ``found`` and ``remedy``; none when all is well. Printed, it is
        a table that says too what was not checked. ``raise_if_any()`` makes a ValueError of it.

    Raises
    ------
    TypeError
        objective is neither callable nor an object of CatBoost's kind; a word is no str.
    ValueError
        target or library is unknown; n_classes is under 2, or does not go with target.

    Notes
    -----
    Faults: ``raises``, ``wrong shape``, ``changes its arguments``, ``not deterministic``, ``not picklable``,
    ``C order taken for F``, ``rows depend on each other``, ``mean instead of sum``, ``wrong sign``, ``wrong gradient``,
    ``gradient of the probability``, ``Hessian of the probability``, ``Hessian is not the derivative of the gradient``,
    ``Hessian not positive``, ``weights ignored``, ``weights twice``, ``weights wrong``, ``unstable softmax``,
    ``NaN at extreme scores``, ``start value missing``.

    A Hessian may be the gradient's derivative, or 0.45 to 4.1 times that (LightGBM's and XGBoost's softmax), a bound
    from above, a constant, the distance of the probability from the label, or what does not depend on the label (Fisher
    information).

    Examples
    --------
    >>> import lossext as lx, numpy as np
    >>> def objective(y, raw):
    ...     p = 1 / (1 + np.exp(-raw))
    ...     return y - p, p * (1 - p)
    >>> report = lx.check_objective(objective)
    >>> print("wrong sign" in [finding.fault for finding in report])
    True
    """
    _validate.choice("target", target, TARGETS)
    if library is not None:
        _validate.choice("library", library, LIBRARIES)
    if not (callable(objective) or hasattr(objective, "calc_ders_range") or hasattr(objective, "calc_ders_multi")):
        raise TypeError(f"objective must be callable, or have CatBoost's calc_ders_range, not {objective!r}")
    if n_classes is not None:
        n_classes = _validate.integer("n_classes", n_classes)
        if n_classes < 2:
            raise ValueError(f"n_classes = {n_classes} is not at least 2")
        if n_classes > 2:
            if target not in ("unit", "class"):
                raise ValueError(f"n_classes = {n_classes} with target = {target!r}; allowed is 'class'")
            target = "class"
    if target == "class":
        n_classes = n_classes or 3
    return Checker(objective, value, target, n_classes if target == "class" else None, library).report(y, start)


class Checker:
    """One run of `check_objective`."""

    def __init__(
        self, objective: Any, value: Callable[..., Any] | None, target: str, n_classes: int | None, library: str | None
    ) -> None:
        self.objective, self.value, self.kind, self.n_classes = objective, value, target, n_classes
        self.call = Interface(objective, library, n_classes)
        self.raw, self.target = _probing.scores_and_targets(target, n_classes)
        self.findings: list[Finding] = []
        self.checked: list[str] = []
        self.left_out: list[str] = []

    def add(self, fault: str, found: str, remedy: str) -> None:
        if all(finding.fault != fault for finding in self.findings):
            self.findings.append(Finding(fault, found, remedy))

    def report(self, y: Any, start: Any) -> ObjectiveReport:
        self.pickle()
        try:
            self.grad, self.hess = self.call(self.raw, self.target)
            if self.repeat() and self.rows():
                self.sign()
                right = self.gradient()
                self.curvature(right)
                self.weights()
            self.extremes()
            self.start(y, start)
        except FailureError as failure:
            self.add(*failure.finding)
        return ObjectiveReport(self.findings, self.checked, self.left_out)

    def where(self, at: Any) -> str:
        row = at if np.ndim(at) == 0 else at[0]
        raw = np.array2string(self.raw[row], precision=4)
        return f"raw = {raw}, label = {self.target[row]:g}"

    # ---- one check each ----

    def pickle(self) -> None:
        self.checked.append("pickling")
        try:
            pickle.loads(pickle.dumps(self.objective))
        except Exception as error:
            self.add(
                "not picklable",
                f"{type(error).__name__}: {error}",
                "Define a function at the top of a module, or a class with __call__, in place of a lambda or an inner "
                "function: models with it can then be saved, and go to other processes.",
            )

    def repeat(self) -> bool:
        self.checked.append("the same result twice")
        again = self.call(self.raw, self.target)
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip((self.grad, self.hess), again, strict=True))
        if not same:
            self.add(
                "not deterministic",
                "a second call with the same arguments gave another result",
                "Draw no random numbers in it, and keep no state between calls.",
            )
        return same

    def rows(self) -> bool:
        """Whether each row's results belong to that row."""
        self.checked.append("rows by themselves")
        n = len(self.raw)
        twice = self.call(np.concatenate((self.raw, self.raw)), np.concatenate((self.target, self.target)))[0]
        ratio = ratio_of(twice[:n], self.grad)
        if ratio is not None and abs(ratio - 0.5) < 0.01:
            self.add(
                "mean instead of sum",
                "with every row twice each gradient is half as large",
                "Return each row's own derivatives, not divided by the number of rows: leaves add them up, and "
                "regularisation and min_child_weight count on that.",
            )
        row = n // 3
        moved = self.raw.copy()
        moved[row] += np.linspace(0.5, 1.0, moved[row].size).reshape(moved[row].shape)
        changed = self.call(moved, self.target)[0].reshape(n, -1) != self.grad.reshape(n, -1)
        others = np.flatnonzero(changed.any(axis=1))
        others = others[others != row]
        if self.n_classes and self.call.flat and self.call.library is None:
            self.add(
                "C order taken for F",
                "the result is flat: LightGBM reads it class by class, XGBoost row by row",
                "Return arrays of shape (N, C), which both understand, or say library=.",
            )
        if not len(others):
            return True
        if self.n_classes and len(others) < n / 2:
            lies = "class by class (Fortran order)" if self.call.order == "F" else "row by row (C order)"
            self.add(
                "C order taken for F",
                f"other scores in row {row} changed the results of row {others[0]}",
                f"Raw scores have shape (N, C) and lie {lies}: index them as raw[row, class], reshape nothing, and "
                "return arrays of that shape.",
            )
        else:
            self.add(
                "rows depend on each other",
                f"other scores in row {row} changed the results of {len(others)} other rows",
                "A row's derivatives are those of its own loss: take sums and maxima along the classes (axis=1), and "
                "norms of nothing over all rows.",
            )
        return False

    def sign(self) -> None:
        """Of slopes where it is known without the loss."""
        self.checked.append("sign of the gradient")
        if self.n_classes:
            wanted = np.ones_like(self.raw)
            wanted[np.arange(len(self.raw)), self.target] = -1
            grad = self.grad
        elif self.kind in ("unit", "sign"):
            wanted, grad = np.where(self.target > 0, -1.0, 1.0), self.grad
        else:
            middle = self.target if self.kind == "real" else np.log(self.target + 0.1)
            wanted = np.where(np.arange(len(middle)) % 2, 1.0, -1.0)
            grad = self.call(middle + 3 * wanted, self.target)[0]
        steep = np.abs(grad) > NO_SLOPE * np.abs(grad).max(initial=0.0)
        if steep.any() and (grad * wanted < 0)[steep].mean() > MOST:
            self.wrong_sign("it falls where the score moves away from the label")

    def wrong_sign(self, found: str) -> None:
        of_catboost = self.call.library == "catboost"
        self.add(
            "wrong sign",
            f"the gradient has the sign of the loss's negative: {found}",
            "CatBoost takes derivatives of what is maximised, minus the loss: turn the sign of both."
            if of_catboost
            else "Return derivatives of the loss, which is minimised (prediction minus label, not label minus "
            "prediction). Only CatBoost wants the other sign.",
        )

    def gradient(self) -> bool:
        """Whether the gradient is right, as far as the value function says."""
        if self.value is None:
            self.left_out.append("gradient against the loss (no value)")
            return True
        self.checked.append("gradient against value")
        shown = slice(0, 48)
        raw, target = self.raw[shown], self.target[shown]
        with np.errstate(all="ignore"):
            expected = derivative(lambda moved: self.values(moved, target), raw)
        found = self.grad[shown]
        wrong = differ(found, expected)
        if wrong.mean() <= 1 - MOST:
            return True
        at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        shows = f"at {self.where(at)} it is {found[at]:.6g}, and differences of value say {expected[at]:.6g}"
        ratio = ratio_of(found, expected)
        if ratio is not None and abs(ratio + 1) < 0.01:
            self.wrong_sign(shows)
        elif ratio is not None and abs(ratio * len(self.raw) - 1) < 0.01:
            self.rows()
        elif self.kind == "unit" and differ(found, expected / slope_of_logistic(raw)).mean() <= 1 - MOST:
            self.add(
                "gradient of the probability",
                shows,
                "Differentiate by the raw score: multiply the derivative by p by p (1 - p).",
            )
        else:
            of = "" if ratio is None else f"; it is {ratio:.4g} times as large everywhere"
            self.add("wrong gradient", shows + of, "Differentiate value by the raw score, a row by itself.")
        return False

    def values(self, raw: Array, target: Array) -> Array:
        """Of each row, asked for one by one: so sum and mean are alike."""
        assert self.value is not None
        result = np.empty(len(raw))
        for i in range(len(raw)):
            label, scores = target[i : i + 1].astype(np.float32), raw[i : i + 1].copy()
            if self.call.native:
                try:
                    answer = self.value(scores, Data(label, np.ones(1, np.float32)))
                except (AttributeError, TypeError):
                    answer = self.value(label, scores)
            else:
                arguments = (label, scores, np.ones(1, np.float32))
                answer = self.value(*arguments[: min(arguments_of(self.value), 3)])
            if isinstance(answer, tuple):  # (name, value, whether higher is better)
                answer = next(part for part in answer if isinstance(part, (float, np.floating, np.ndarray)))
            result[i] = np.sum(answer)
        return result

    def curvature(self, gradient_is_right: bool) -> None:
        """Whether the Hessian is above 0 and has to do with the gradient."""
        self.checked.append("Hessian against gradient")
        grad, hess = self.grad, self.hess
        steep = np.abs(grad) > NO_SLOPE * np.abs(grad).max(initial=0.0)
        bad = (hess < 0) | ((hess == 0) & steep)
        if (hess[steep] < 0).mean() > MOST if steep.any() else False:
            found = "all of it is below 0"
        elif bad.any():
            at = np.unravel_index(int(np.argmin(np.where(bad, hess, np.inf))), hess.shape)
            found = f"at {self.where(at)} it is {hess[at]:.6g} with a gradient of {grad[at]:.6g}"
        else:
            found = ""
        if found:
            self.add(
                "Hessian not positive",
                found,
                "A leaf's value is -sum(grad) / (sum(hess) + lambda). Return a bound from above (the majorizer), or "
                "np.maximum(hess, 1e-16); 1 for a loss without a second derivative. CatBoost wants all negative.",
            )
        second = derivative(lambda moved: self.call(moved, self.target)[0], self.raw)
        if "wrong sign" in [f.fault for f in self.findings]:
            second = -second
        if (hess <= 0).mean() > MOST and (second > 0).mean() > MOST:
            return  # said already
        at_all = (
            np.isfinite(second) & np.isfinite(hess) & (second > 1e-3 * np.abs(second).max(initial=0.0)) & (hess > 0)
        )
        if at_all.mean() < 1 - MOST:
            return  # a kinked loss: anything above 0 is a choice
        if self.of_probability(second, at_all):
            self.add(
                "Hessian of the probability",
                f"at {self.where(first_of(at_all))} it is {hess[first_of(at_all)]:.6g}, and the derivative of the "
                f"gradient by the raw score is {second[first_of(at_all)]:.6g}",
                "Differentiate by the raw score, not by p: for the logistic loss the Hessian is p (1 - p).",
            )
        elif gradient_is_right and not self.allowed(second, at_all):
            wrong = differ(hess, second) & at_all
            at = first_of(wrong)
            self.add(
                "Hessian is not the derivative of the gradient",
                f"at {self.where(at)} it is {hess[at]:.6g}, and differences of the gradient say {second[at]:.6g}",
                "Differentiate the gradient by the raw score once more; a bound from above or a constant will do too.",
            )

    def of_probability(self, second: Array, where: Array) -> bool:
        """Whether the Hessian is the second derivative by p, or the gradient's by p."""
        raw, hess = self.raw, self.hess
        if self.n_classes:
            p = softmax(raw)
            own = np.arange(self.n_classes) == self.target[:, np.newaxis]
            slope = p * (1 - p)
            guesses = [np.where(own, p**-2, (1 - p) ** -2), np.where(own, p**-2, 0)]
        elif self.kind == "unit":
            slope = slope_of_logistic(raw)
            by_p = derivative(lambda moved: self.call(moved, self.target)[0] / slope_of_logistic(moved), raw)
            guesses = [by_p / slope]
        else:
            return False
        guesses.append(second / slope)
        return any(differ(hess, guess)[where].mean() <= 1 - MOST for guess in guesses)

    def allowed(self, second: Array, where: Array) -> bool:
        """Whether the Hessian is the derivative, a multiple of it, a bound, a constant, or an expectation."""
        hess = self.hess
        ratio = ratio_of(hess[where], second[where])
        if ratio is not None and 0.45 < ratio < 4.1:
            return True
        if np.ptp(hess) <= 1e-6 * np.abs(hess).max():
            return True
        above = (hess >= second * (1 - 1e-2))[where].mean() > MOST
        if above and (hess <= second.max() * 1.05).mean() > MOST:
            return True
        if self.kind in ("unit", "class"):  # the distance of the probability from the label
            p, ones = logistic(self.raw), self.target
            if self.n_classes:
                p, ones = softmax(self.raw), np.arange(self.n_classes) == self.target[:, np.newaxis]
            if ratio_of(hess, np.abs(p - ones)) is not None:
                return True
        other_labels = np.roll(self.target, 1)
        elsewhere = self.call(self.raw, other_labels)[1]
        if differ(elsewhere, hess).mean() > 0.01:
            return False
        if self.kind in ("non_negative", "positive", "real"):
            return True
        there = derivative(lambda moved: self.call(moved, other_labels)[0], self.raw)
        low, high = np.minimum(second, there), np.maximum(second, there)
        return bool(((hess >= low - 1e-3) & (hess <= high + 1e-3))[where].mean() > MOST)

    def weights(self) -> None:
        if not self.call.takes_weight:
            self.left_out.append(
                "weights (the objective takes none: LightGBM then leaves sample_weight out without a word, XGBoost "
                "refuses it)"
            )
            return
        self.checked.append("weights")
        weight = np.linspace(0.5, 3.0, len(self.raw))
        for name, plain, weighted in zip(
            ("gradient", "Hessian"), (self.grad, self.hess), self.call(self.raw, self.target, weight), strict=True
        ):
            factor = weight[:, np.newaxis] if plain.ndim == 2 else weight
            known = np.isfinite(plain) & (np.abs(plain) > NO_SLOPE * np.abs(plain).max(initial=0.0))
            if not known.any() or close(weighted[known], (plain * factor)[known]):
                continue
            remedy = "Multiply gradient and Hessian by the weights, once: the library does not for custom objectives."
            if close(weighted[known], plain[known]):
                self.add("weights ignored", f"the {name} is the same whatever the weights", remedy)
            elif close(weighted[known], (plain * factor**2)[known]):
                self.add("weights twice", f"the {name} is multiplied by the squares of the weights", remedy)
            else:
                ratio = (weighted / np.where(known, plain, 1))[known][0]
                self.add(
                    "weights wrong",
                    f"with a weight of {np.broadcast_to(factor, plain.shape)[known][0]:.4g} the {name} is multiplied "
                    f"by {ratio:.4g}",
                    remedy,
                )

    def extremes(self) -> None:
        """Finite results where models go in the end."""
        self.checked.append("extreme scores")
        sizes = (40.0, 100.0, 1000.0) if self.kind in ("unit", "sign", "class", "real") else (20.0, 60.0)
        for size in sizes:
            for side in (1.0, -1.0):
                raw = self.raw.copy()
                if self.n_classes:
                    raw[:, 0] = side * size
                else:
                    raw[:] = side * size
                grad, hess = self.call(raw, self.target)
                bad = ~(np.isfinite(grad) & np.isfinite(hess))
                if bad.any():
                    self.not_finite(raw, first_of(bad), grad, hess)
                    return
        if self.n_classes:
            for shift in (1000.0, -1000.0):
                grad, hess = self.call(self.raw + shift, self.target)
                if not (np.isfinite(grad).all() and np.isfinite(hess).all()):
                    self.not_finite(self.raw + shift, (0, 0), grad, hess)
                    return

    def not_finite(self, raw: Array, at: Any, grad: Array, hess: Array) -> None:
        found = (
            f"at raw = {np.array2string(raw[at[0]], precision=4)}, label = {self.target[at[0]]:g} gradient and Hessian "
            f"are {grad[at]:.4g} and {hess[at]:.4g}"
        )
        if self.n_classes:
            self.add(
                "unstable softmax",
                found,
                "Subtract each row's greatest score before np.exp: raw - raw.max(axis=1, keepdims=True).",
            )
        else:
            self.add(
                "NaN at extreme scores",
                found,
                "Write it without quotients and logarithms of what becomes 0: np.logaddexp(0, raw) for log(1 + e^raw), "
                "sigmoid(-raw) for 1 - p.",
            )

    def start(self, y: Any, start: Any) -> None:
        """Whether boosting starts where the slopes of one's own labels add up to 0."""
        if y is None:
            self.left_out.append("start value (no y)")
            return
        self.checked.append("start value")
        labels = np.asarray(y)
        shape = (len(labels), self.n_classes) if self.n_classes else labels.shape

        def slopes(at: Any) -> Array:
            return self.call(np.broadcast_to(np.asarray(at, np.float64), shape), labels)[0]

        grad = slopes(start)
        total, size = grad.sum(axis=0), np.abs(grad).sum(axis=0)
        if not (np.abs(total) > LOPSIDED * size).any():
            return
        if self.n_classes:
            shares = np.bincount(labels.astype(np.int64), minlength=self.n_classes) / len(labels)
            best: Any = np.log(np.maximum(shares, 1e-15))
            best = np.round(best - best.mean(), 4).tolist()
        else:
            best = round(constant(lambda c: float(slopes(c).sum()), float(np.asarray(start))), 4)
        self.add(
            "start value missing",
            f"at the start, {start}, the slopes of the labels add up to {np.max(np.abs(total) / size):.0%} of their "
            "sizes: the first trees do nothing but find the mean",
            f"Start from {best}: with init_score of LightGBM, base_margin (or base_score) of XGBoost, baseline of "
            "CatBoost, and add it to raw predictions where the library does not.",
        )


# ---- arithmetic ----


def slope_of_logistic(raw: Array) -> Array:
    p = logistic(raw)
    return np.maximum(p * (1 - p), 1e-300)  # type: ignore[no-any-return]


def first_of(where: Array) -> Any:
    return np.unravel_index(int(np.argmax(where)), where.shape)


def close(found: Array, expected: Array) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-3, atol=1e-6 * float(np.abs(expected).max(initial=0.0))))


def ratio_of(found: Array, expected: Array) -> float | None:
    """The number that most of `expected` is multiplied by to be `found`; None if there is none."""
    with np.errstate(all="ignore"):
        where = np.isfinite(found) & np.isfinite(expected) & (np.abs(expected) > 1e-3 * np.nanmax(np.abs(expected)))
        if not where.any():
            return None
        ratios = found[where] / expected[where]
    ratio = float(np.median(ratios))
    return ratio if (np.abs(ratios - ratio) <= 0.02 * abs(ratio)).mean() > MOST else None


def constant(slope: Callable[[float], float], start: float) -> float:
    """Where a rising function is 0, by bisection from `start` on."""
    away, reach = -math.copysign(1.0, slope(start)), 0.5
    while reach < 1e9 and slope(start + away * reach) * away < 0:
        reach *= 2
    near, far = start, start + away * reach
    for _ in range(60):
        middle = (near + far) / 2
        if slope(middle) * away < 0:
            near = middle
        else:
            far = middle
    return (near + far) / 2
