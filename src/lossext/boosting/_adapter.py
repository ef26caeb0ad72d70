"""What the adapters share: from raw scores, labels and weights of a boosting library to derivatives and values."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lossext import _probing, _validate
from lossext._declare import CURVATURES, registry
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized, above, once
from lossext._validate import FLOAT32, FLOAT64, Array
from lossext.boosting._builtin import Builtin, cap, limit, rule_of
from lossext.losses._dense import DenseLoss

BLOCK = 1 << 16  # scores at a time: what is made of them stays in the cache


def require(library: str) -> Any:
    """The library, or an ImportError that says how to get it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(f"this needs {library}: pip install 'lossext[{library}]'", name=library) from error


def raw_target_weight(first: Any, second: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Arguments of a call in one order.

    A native interface calls with (raw scores, data set), a scikit-learn one with (labels, raw scores, weights).
    """
    target, raw = first, second
    if is_dataset(second):
        raw, target, weight = first, second.get_label(), second.get_weight()
    raw, target = np.asarray(raw), np.asarray(target)
    if target.ndim == 1 and raw.ndim == 2 and raw.shape[1] > 1 and target.size == raw.size:
        target = target.reshape(raw.shape)  # XGBoost 2 forgets the shape of its labels
    weight = None if weight is None else np.asarray(weight)
    return raw, target, None if weight is None or not weight.size else weight


def is_dataset(argument: Any) -> bool:
    """Whether this is XGBoost's DMatrix or LightGBM's Dataset."""
    return hasattr(argument, "get_label")


# ---- which losses can be boosted ----


def why_not(loss: Any) -> str | None:
    """Why a loss is none of free scores, of which a high one speaks for the positive class or a great mean."""
    if loss.declaration.low_score_means == "alike":
        return 'a low score of it means "alike", and boosted scores are high for the positive class'
    if loss._target.kind == "labels":
        return "its targets are sets of class ids, but the libraries take one label per row, or labels of 0 and 1"
    if loss._input_domain is not None:
        return f"its input is {loss._input_domain.requirement}, and a boosted score is any number"
    if not loss.declaration.linear_score:
        return "its input is not a free score, and a boosted score is any number"
    return None


def fitting() -> list[str]:
    """Names of the losses that can be boosted."""
    return [cls.__name__ for cls in registry() if why_not(cls()) is None]


def checked_loss(loss: Any) -> DenseLoss:
    """The loss, if it can be boosted."""
    if not isinstance(loss, DenseLoss):
        raise TypeError(f"loss must be a loss object such as BCEWithLogitsLoss(), not {loss!r}")
    reason = why_not(loss)
    if reason is not None:
        raise ValueError(f"loss = {loss!r} cannot be boosted: {reason}. Those that can: {', '.join(fitting())}")
    for name in loss.declaration.weights:
        weight = loss._parameters.get(name)
        if isinstance(weight, np.ndarray) and weight.ndim and weight.size != weight.shape[-1]:
            raise ValueError(
                f"{name} of {type(loss).__name__} has shape {weight.shape}; allowed is one for each column"
            )
    return loss


def flattens(loss: DenseLoss) -> bool:
    """Whether the second derivative of a loss of residuals vanishes far from the target, where the slope does not."""
    if loss._target.kind != "real" or "majorizer" not in loss.declaration.curvatures:
        return False
    if loss._n_outputs:
        loss = loss._of_output(0)
    far = 1e3 * np.array([-1.0, 1.0])
    slope, curvature = loss._with(weight=None, reduction="sum").grad_and_hess(far, np.zeros(2))
    return bool((abs(curvature * far) < 1e-3 * abs(slope)).any())


def plain_numbers(array: Any) -> Any:
    """As NumPy's own float32 or float64 (an equal dtype can be another object), in memory that C can read."""
    if array is None or ((array.dtype is FLOAT32 or array.dtype is FLOAT64) and array.flags.aligned):
        return array
    return array.astype(FLOAT32 if array.dtype == FLOAT32 else FLOAT64)


def weight_of(loss: DenseLoss) -> float:
    """The product of the weights of a loss of one column."""
    weights = [loss._parameters.get(name) for name in loss.declaration.weights]
    return math.prod(float(np.reshape(w, ())) for w in weights if w is not None)


class Block(NamedTuple):
    """Some rows of all columns, or of one."""

    loss: DenseLoss
    rows: slice
    columns: Any  # slice(None) or the number of one
    scores: Array
    target: Array
    weight: Array | None


class Adapter(Parameterized):
    """Base of the objectives."""

    library: ClassVar[str]

    loss = Parameter[DenseLoss]()
    curvature = Parameter[str | None]()
    scale_pos_weight = Parameter[float]()  # of derivatives, not of the metric, as in the libraries' own

    def _own_parameters(self, loss: Any, curvature: Any, scale_pos_weight: Any) -> dict[str, Any]:
        """Checked."""
        loss = checked_loss(loss)
        factor = above(0.0)("scale_pos_weight", scale_pos_weight)
        return {"loss": loss, "curvature": self._checked_curvature(loss, curvature), "scale_pos_weight": factor}

    def _checked_curvature(self, loss: DenseLoss, curvature: Any) -> str | None:
        own = loss.declaration.curvatures
        if curvature is None or curvature in own:
            return curvature  # type: ignore[no-any-return]
        if not isinstance(curvature, str):
            raise TypeError(f"curvature must be a str or None, not {curvature!r}")
        rule = rule_of(self.library, loss)
        if curvature == "builtin" and rule is not None:
            return curvature
        allowed = (*(() if rule is None else ("builtin",)), *own)
        if curvature == "builtin":
            raise ValueError(
                f"{self.library} has no objective of its own for {loss!r}, or one that recomputes leaf values after "
                f"each tree or whose curvature is not known; allowed are {', '.join(map(repr, allowed))}"
            )
        raise ValueError(f"curvature = {curvature!r} of {type(loss).__name__} is not one of {allowed}")

    @once
    def _rule(self) -> Builtin:
        """What the Hessian is made of."""
        builtin = rule_of(self.library, self.loss)
        if builtin is not None and self.curvature in (None, "builtin"):
            return builtin
        declaration = self.loss.declaration
        kind = self.curvature
        if kind is None:
            curved = declaration.smooth and declaration.convex and not flattens(self.loss)
            wanted = ("exact",) if curved else ("majorizer", "residual", "exact")
            if declaration.takes_ids and not declaration.smooth:
                # the majorizer of all columns together makes steps half as long: digits 0.876 right, so 0.953 (p = 1)
                wanted = ("exact",)
            kind = next(k for k in wanted if k in declaration.curvatures)
        return Builtin("", kind)

    @once
    def _summed(self) -> DenseLoss:
        return self.loss._with(reduction="sum")

    @property
    def _name(self) -> str:
        return self.loss.declaration.function

    def predict(self, raw: npt.ArrayLike) -> Array:
        """Means (probabilities, counts) of the model's raw scores; the scores themselves where the loss has no link."""
        scores = np.asarray(raw)
        return self.loss.inverse_link(scores) if self.loss.declaration.link else scores

    # ---- arrangement ----

    def _constant(self, raw: Array) -> Any:
        """What is added to the raw scores."""
        return None

    def _targets(self, target: Array, columns: int) -> Array:
        """Some targets, as the loss takes them: (N,), or (N, columns)."""
        declaration = self.loss.declaration
        if declaration.takes_ids:
            classes = target.astype(np.int64)
            if (classes != target).any():
                raise ValueError(f"label {target[classes != target][0]} is not a class id")
            return classes
        if self._one_against_all(target, columns):
            return (target[:, np.newaxis] == np.arange(columns)) * (2 if declaration.target.sign else 1) - (  # type: ignore[no-any-return]
                1 if declaration.target.sign else 0
            )
        if declaration.target.sign:
            target = np.where(target == 0, -1, target)
        return target if self.loss._n_outputs else target.reshape(len(target), columns)

    def _one_against_all(self, target: Array, columns: int) -> bool:
        """Whether class ids stand for columns of 0 and 1."""
        kind = self.loss.declaration.target.kind
        return target.ndim == 1 and columns > 1 and kind in ("unit", "sign") and not self.loss._n_outputs

    def _check(self, raw: Array, target: Array, weight: Array | None) -> None:
        """TypeError, ValueError where the arrays do not go together."""
        for name, array in (("raw scores", raw), ("labels", target), ("weights", weight)):
            if array is not None:
                _validate.require_real(f"the array of {name}", array)
        self._check_shapes(raw, target)
        if weight is not None and weight.shape != raw.shape[:1]:
            raise ValueError(f"weights have shape {weight.shape}; allowed is {raw.shape[:1]}, one per row of scores")

    def _check_shapes(self, raw: Array, target: Array) -> None:
        columns = raw.shape[1]
        if self.loss.declaration.takes_ids or self.loss._n_outputs or self._one_against_all(target, columns):
            fits = target.shape == raw.shape[:1]
        else:
            fits = target.size == raw.size
        if not fits:
            shape = raw.shape if columns > 1 else raw.shape[:1]
            raise ValueError(f"labels of shape {target.shape} do not go with raw scores of shape {shape}")

    def _check_classes(self, target: Array, columns: int) -> None:
        """ValueError for one that is none of those that stand for columns."""
        target = self._looked_up(target)
        if self._one_against_all(target, columns):
            bad = (target != np.floor(target)) | ~((target >= 0) & (target < columns))
            if bad.any():
                row = int(np.argmax(bad))
                raise ValueError(f"target[{row}] = {target[row]} is not in [0, {columns})")

    def _looked_up(self, target: Array) -> Array:
        """Targets that stand for others."""
        return target

    def _column_loss(self, column: int) -> DenseLoss:
        """The loss of one column alone."""
        losses = self.__dict__.setdefault("_column_losses", {})
        if column not in losses:
            loss = self._summed
            if loss._n_outputs:
                loss = loss._of_output(column)
            weights = {name: loss._parameters.get(name) for name in loss.declaration.weights}
            losses[column] = loss._with(
                **{name: w if w is None or w.size == 1 else w.reshape(-1)[column] for name, w in weights.items()}
            )
        return losses[column]  # type: ignore[no-any-return]

    def _blocks(self, raw: Array, target: Array, weight: Array | None) -> Iterator[Block]:
        """All scores, some at a time; `raw` is (N, C)."""
        rows, columns = raw.shape
        constant = self._constant(raw)
        by_class = columns > 1 and raw.flags.f_contiguous
        ids = self.loss.declaration.takes_ids
        if by_class and not ids:  # elementwise: column by column, as they lie
            step, width = BLOCK, 1
        else:
            step, width = max(1, BLOCK // columns), columns
        real = raw.dtype if raw.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        spare = np.empty((min(step, rows), 2 if ids and columns == 1 else width), real)
        for start in range(0, rows, step):
            chosen = slice(start, min(start + step, rows))
            part = self._targets(target[chosen], columns)
            part_weight = None if weight is None else weight[chosen]
            for column in range(columns) if by_class and not ids else (slice(None),):
                scores = raw[chosen, column]
                at = constant if constant is None or constant.ndim == 0 else constant[column]
                if ids and columns == 1:  # two classes, one score: of the second
                    spare[: len(scores), 0] = 0
                    np.add(scores[:, 0], 0 if at is None else at, out=spare[: len(scores), 1])
                    scores = spare[: len(scores)]
                elif at is not None or not scores.flags.c_contiguous:
                    shifted = spare[: len(scores)].reshape(scores.shape)
                    np.add(scores, 0 if at is None else at, out=shifted)
                    scores = shifted
                if isinstance(column, int):
                    yield Block(
                        self._column_loss(column), chosen, column, scores.reshape(-1, 1),
                        part.reshape(len(part), -1)[:, -1 if self.loss._n_outputs else column].reshape(-1, 1),
                        part_weight,
                    )  # fmt: skip
                else:
                    yield Block(self._summed, chosen, column, scores, part, part_weight)

    def _explain(self, error: ValueError, raw: Array, target: Array, weight: Array | None) -> ValueError:
        """The error of the whole, whose index is the row's."""
        raw = raw.reshape(len(raw), -1)
        try:
            self._check_classes(target, raw.shape[1])
            part = self._targets(target, raw.shape[1])
        except ValueError as of_classes:
            return of_classes
        if self.loss.declaration.takes_ids and raw.shape[1] == 1:
            raw = np.column_stack((np.zeros_like(raw), raw))
        elif raw.shape[1] == 1 and self.loss.declaration.ranks != (2,) and not self.loss._n_outputs:
            raw, part = raw[:, 0], part[:, 0]
        try:
            self._summed.grad(raw, part, sample_weight=weight)
        except ValueError as whole:
            error = whole
        if raw.ndim == 1 or raw.shape[1] <= 2:
            ids = np.isfinite(target) & (target == np.floor(target))
            if ids.all() and target.min() >= 0 and target.max() > 1 and self._kinds_of_classes():
                return ValueError(
                    f"{error}: there is one score per row. Of more classes than two tell the library num_class"
                )
        return error

    def _kinds_of_classes(self) -> bool:
        return self.loss.declaration.target.kind in ("unit", "sign", "class")

    # ---- derivatives and values ----

    def _results(self, shape: tuple[int, ...], order: str) -> tuple[Array, Array]:
        """Arrays for gradient and Hessian: those of the last call, if nobody else has them."""
        spare = self.__dict__.pop("_spare", None)
        if spare is not None:
            grad, hess = spare
            del spare
            fresh = (order == "F" and not grad.flags.f_contiguous) or (order == "C" and not grad.flags.c_contiguous)
            # one reference is the name, one the argument
            if grad.shape == shape and not fresh and sys.getrefcount(grad) == 2 and sys.getrefcount(hess) == 2:
                return grad, hess
        return np.empty(shape, np.float32, order), np.empty(shape, np.float32, order)  # type: ignore[call-overload]

    @_validate.quiet
    def _derivatives(
        self,
        raw: Array,
        target: Array,
        weight: Array | None,
        order: str = "C",
        out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:
        """Gradient and positive Hessian in float32, of raw's shape; with negative weights both change their sign."""
        shape = raw.shape
        raw = raw.reshape(len(raw), -1) if raw.ndim == 1 else raw
        self._check(raw, target, weight)
        grad, hess = self._results(raw.shape, order) if out is None else out
        if not self._in_one_pass(raw, target, weight, grad, hess):
            self._in_blocks(raw, target, weight, grad, hess)
        if out is None:
            self.__dict__["_spare"] = (grad, hess)
        return grad.reshape(shape, order=order), hess.reshape(shape, order=order)  # type: ignore[call-overload]

    def _in_one_pass(self, raw: Array, target: Array, weight: Array | None, grad: Array, hess: Array) -> bool:
        """Derivatives by the driver that reads and writes the library's layouts; false for losses it is not for."""
        columns = raw.shape[1]
        ids = self.loss.declaration.takes_ids
        objective = self._objective(columns) if columns <= drivers.MOST_CLASSES or not ids else None
        if objective is None:
            return False
        scores, labels, factors = (plain_numbers(a) for a in (raw, self._looked_up(target), weight))
        constant = self._constant(raw)
        shift = None if constant is None else np.ascontiguousarray(np.broadcast_to(constant, (columns,)), np.float64)
        against_all = self._one_against_all(labels, columns)
        if labels.ndim == 1 or self.loss._n_outputs:
            labels = labels.reshape(len(labels), -1)[:, -1]
        labels = labels if labels.size == len(labels) else labels.reshape(len(labels), columns)
        try:
            if not objective.run(scores, labels, factors, shift, against_all, grad, hess):
                raise ValueError("a label is not one of the loss's")
        except ValueError as error:
            raise self._explain(error, raw, target, weight) from None
        return True

    def _objective(self, columns: int) -> drivers.Objective | None:
        """The driver's part of this, None for losses without a kernel that it could run."""
        made = self.__dict__.setdefault("_objectives", {})
        if columns not in made:
            made[columns] = self._make_objective(columns)
        return made[columns]  # type: ignore[no-any-return]

    def _make_objective(self, columns: int) -> drivers.Objective | None:
        facts, rule = self.loss.declaration, self._rule
        if not isinstance(self.loss._evaluator, drivers.Evaluator) or (facts.family != "element") != facts.takes_ids:
            return None
        losses = [self._summed] if facts.takes_ids else [self._column_loss(c) for c in range(columns)]
        constants = None
        if rule.kind in CURVATURES:
            mode = drivers.CURVATURE
            if facts.takes_ids and not self._curves and rule.kind != "majorizer":
                mode = drivers.TO_THE_KINK
        elif facts.takes_ids:
            return None
        else:
            mode = drivers.CONSTANT if facts.smooth else drivers.CONSTANT_AT_SLOPES
            constants = np.array([weight_of(loss) for loss in losses], np.float64)
        return drivers.Objective(
            [loss._evaluator for loss in losses],
            CURVATURES.get(rule.kind, 0),
            mode,
            constants,
            self._is_limited and constants is None,
            limit,
            rule.factor(columns),
            rule.floor,
            abs(float(getattr(self.loss, "margin", 0.0))) / 2,
            self.scale_pos_weight if columns == 1 or not facts.takes_ids else 1.0,
        )

    @property
    def _is_limited(self) -> bool:
        """Whether the Hessian may be 0 or infinite where there is a slope: it is mended, and weights come in then."""
        return not self.loss.declaration.smooth and not (self.loss.declaration.takes_ids and self._curves)

    def _in_blocks(self, raw: Array, target: Array, weight: Array | None, grad: Array, hess: Array) -> None:
        """The same by NumPy, of any loss."""
        rule = self._rule
        self._check_classes(target, raw.shape[1])
        kinked = self._is_limited
        late = weight is not None and bool(kinked or weight.min() < 0)
        undo_mean = self.loss.declaration.over_columns
        kind = rule.kind if rule.kind in CURVATURES else None
        factor = rule.factor(raw.shape[1])
        try:
            for block in self._blocks(raw, target, None if late else weight):
                scale = float(block.scores.shape[1]) if undo_mean else 1.0
                arguments = {"sample_weight": block.weight, "grad_output": scale}
                if kind is not None:
                    g, h = block.loss.grad_and_hess(block.scores, block.target, curvature=kind, **arguments)  # type: ignore[arg-type]
                else:
                    g = block.loss.grad(block.scores, block.target, **arguments)  # type: ignore[arg-type]
                    h = self._weight_of(block, g)
                if factor != 1:
                    h *= factor
                if g.shape[1] != raw.shape[1] and not isinstance(block.columns, int):  # two classes, one score
                    g, h = g[:, 1:], h[:, 1:]
                if isinstance(block.columns, int):
                    g, h = g[:, 0], h[:, 0]
                if kinked:
                    self._mend(block, g, h)
                else:
                    np.maximum(h, rule.floor, out=h)
                grad[block.rows, block.columns] = g
                hess[block.rows, block.columns] = h
        except ValueError as error:
            raise self._explain(error, raw, target, weight) from None
        if kinked:
            cap(hess)
            np.maximum(hess, np.float32(rule.floor), out=hess)
        if late:
            grad *= weight[:, np.newaxis]  # type: ignore[index]
            hess *= weight[:, np.newaxis]  # type: ignore[index]
        labels = self._looked_up(target)
        if self.scale_pos_weight != 1 and labels.size == raw.size:
            factors = np.where(labels.reshape(raw.shape) == 1, np.float32(self.scale_pos_weight), np.float32(1))
            grad *= factors
            hess *= factors

    @once
    def _curves(self) -> bool:
        """Whether a row loss has a finite curvature above 0 wherever it has a slope; else hinges need a stand-in."""
        if self.loss.declaration.smooth or self._rule.kind not in ("exact", "majorizer"):
            return self.loss.declaration.smooth
        if self._rule.kind == "majorizer":
            return False
        scores, target = _probing.scores_and_targets("class", 3)
        plain = self.loss._with(weight=None, reduction="sum")
        slope, curvature = plain.grad_and_hess(scores, target, curvature=self._rule.kind)
        return not ((curvature <= 0) & (slope != 0)).any()

    def _weight_of(self, block: Block, grad: Array) -> Array:
        """The curvature that is the weight: all of it where there is a slope."""
        hess = np.ones_like(grad)
        if not self.loss.declaration.smooth:
            hess[grad == 0] = 0
        for name in block.loss.declaration.weights:
            w = block.loss._parameters.get(name)
            if w is not None:
                hess *= w
        if block.weight is not None:
            hess *= block.weight[:, np.newaxis]
        missing = block.target != block.target
        if missing.any():
            hess[np.broadcast_to(missing.reshape(len(hess), -1), hess.shape)] = 0
        return hess

    def _mend(self, block: Block, grad: Array, hess: Array) -> None:
        """Slopes that no curvature goes with get slope / distance from the kink, on a row's average.

        A hinge of value z has |slope| z = value: slope / z is the curvature of the parabola that touches the hinge at
        the score, lies above it and has its minimum at the kink. z counts as at least half of the margin.
        """
        bare = (hess <= 0) & (grad != 0)
        if not bare.any():
            return
        value = block.loss._with(reduction="none")(block.scores, block.target)
        if self.loss.declaration.over_columns:
            value = value * block.scores.shape[1]
        size = abs(grad).reshape(len(grad), -1)
        standing_in = self._standing_in(value if value.ndim == 1 else value.reshape(len(grad), -1), size, 1)
        hess[bare] = standing_in.reshape(grad.shape)[bare]

    def _standing_in(self, value: Array, size: Array, axis: int) -> Array:
        """Sizes of slopes over the distance from the kink, 0 where there is no slope; classes lie along `axis`."""
        if value.ndim < size.ndim:
            value = np.expand_dims(value, axis)
        with np.errstate(all="ignore"):
            distance = value / size.max(axis=axis, keepdims=True)
            np.maximum(distance, abs(float(getattr(self.loss, "margin", 0.0))) / 2, out=distance)
            curvature: Array = np.divide(size, distance, out=np.zeros_like(size), where=size > 0)
        return curvature

    @_validate.quiet
    def _total(self, raw: Array, target: Array, weight: Array | None) -> tuple[float, float]:
        """Weighted sum of the loss, and what to divide it by for the mean."""
        raw = raw.reshape(len(raw), -1)
        self._check(raw, target, weight)
        declaration = self.loss.declaration
        total = 0.0
        try:
            for block in self._blocks(raw, target, weight):
                share = 1 / raw.shape[1] if declaration.over_columns and isinstance(block.columns, int) else 1.0
                total += share * float(block.loss(block.scores, block.target, sample_weight=block.weight))
        except ValueError as error:
            raise self._explain(error, raw, target, weight) from None
        count = float(len(raw) if weight is None else np.sum(weight, dtype=np.float64))
        return total, count if declaration.value_by_row else count * raw.shape[1]

    @_validate.quiet
    def _values(self, raw: Array, target: Array, weight: Array | None) -> Array:
        """Weighted value of each row, (N,): over columns the sum, as of the derivatives."""
        raw = raw.reshape(len(raw), -1)
        self._check(raw, target, weight)
        values = np.zeros(len(raw))
        scale = raw.shape[1] if self.loss.declaration.over_columns else 1
        try:
            for block in self._blocks(raw, target, weight):
                each = np.asarray(block.loss._with(reduction="none")(block.scores, block.target), np.float64)
                part = each if each.ndim == 1 else each.sum(axis=1)
                values[block.rows] += (1 if isinstance(block.columns, int) else scale) * part
        except ValueError as error:
            raise self._explain(error, raw, target, weight) from None
        return values if weight is None else values * weight

    def _mean(self, raw: Array, target: Array, weight: Array | None) -> float:
        total, count = self._total(raw, target, weight)
        return total / count if count else math.nan


class ShiftedAdapter(Adapter):
    """An adapter that keeps the constant which its library's models do not."""

    init_raw = Parameter[Array]()

    @staticmethod
    def _checked_init_raw(init_raw: Any) -> Array:
        array = np.asarray(init_raw)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"init_raw has dtype {array.dtype}; allowed are real numbers")
        if array.ndim > 1 or not np.isfinite(array).all():
            raise ValueError(f"init_raw = {init_raw!r} is not a finite number, or one for each column")
        return array.astype(np.float64)

    def _check_init_raw(self, shape: tuple[int, ...]) -> None:
        if self.init_raw.shape not in ((), shape[1:]):
            raise ValueError(
                f"init_raw has shape {self.init_raw.shape}; for raw scores of shape {shape} allowed is () or "
                f"{shape[1:]}"
            )

    def _derivatives(
        self,
        raw: Array,
        target: Array,
        weight: Array | None,
        order: str = "C",
        out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:
        self._check_init_raw(raw.shape)
        return super()._derivatives(raw, target, weight, order, out)

    def _total(self, raw: Array, target: Array, weight: Array | None) -> tuple[float, float]:
        self._check_init_raw(raw.shape)
        return super()._total(raw, target, weight)

    def _constant(self, raw: Array) -> Any:
        return self.init_raw if self.init_raw.any() else None

    def predict(self, raw: npt.ArrayLike) -> Array:
        """Means of the model's raw scores plus ``init_raw``; the sum itself where the loss has no link."""
        scores = np.asarray(raw)
        self._check_init_raw(scores.shape)
        return super().predict(scores + self.init_raw)
