"""How a linear estimator gets its coefficients: the choice of a solver, and what it says of the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from lossext._validate import Array
from lossext.sklearn import _dual, _losses, _solve, _steps
from lossext.sklearn._base import check_memory
from lossext.sklearn._predict import by_steps
from lossext.sklearn._progress import Progress
from lossext.sklearn._rows import Rows
from lossext.sklearn._solve import ACCEPTED, ACCEPTED_OF_KINKS, Model

MANY_SCORES = 1 << 25  # rows x classes, of which newton-cg keeps some vectors
SMALL = 64  # features up to which its products are cheaper than conjugate gradients, where they are few
FEW_PRODUCTS = 1 << 26
FEW_COUPLED = 1 << 23  # of coupled columns, whose Hessian is made of many
LBFGS_FIRST = "lbfgs, then newton-cg"  # as messages call it
DIRECT = 2048  # features up to which a Hessian is factorised


class LinearFit:
    """Mixin of the estimators whose scores are linear."""

    def get_params(self: Any, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; deeply, those of the loss too, as `loss__margin`.

        Parameters
        ----------
        deep : bool

        Returns
        -------
        dict
        """
        params: dict[str, Any] = super().get_params(deep)  # type: ignore[misc]
        if deep:
            params.update({f"loss__{name}": value for name, value in self._loss_params().items()})
        return params

    def set_params(self: Any, **params: Any) -> Any:
        """Set parameters by name; `loss__margin=2` puts a loss with that margin in the place of the loss.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        LossClassifier or LossRegressor
            Itself.
        """
        nested = {name: params.pop(name) for name in list(params) if name.startswith("loss__")}
        if not nested:
            return super().set_params(**params)  # type: ignore[misc]
        loss = _losses.find(params.get("loss", self.loss), self._kinds, type(self).__name__)
        allowed = self._loss_params(loss)
        for name in nested:
            if name.removeprefix("loss__") not in allowed:
                valid = ", ".join(f"loss__{known}" for known in allowed)
                raise ValueError(f"Invalid parameter {name!r} for loss {loss!r}. Valid parameters are: {valid}")
        changed = _losses.changed(loss, **{name.removeprefix("loss__"): value for name, value in nested.items()})
        return super().set_params(**{**params, "loss": changed})  # type: ignore[misc]

    def _loss_params(self: Any, loss: Any = None) -> dict[str, Any]:
        """Parameters of the loss that count here; none of a loss that does not fit."""
        try:
            loss = self._loss() if loss is None else loss
        except ValueError:
            return {}
        return {name: value for name, value in _losses.parameters_of(loss).items() if name != "reduction"}

    def _loss(self: Any) -> Any:
        return _losses.find(self.loss, self._kinds, type(self).__name__)

    def _l1_share(self: Any) -> float:
        return {"l2": 0.0, "l1": 1.0, "elasticnet": self.l1_ratio}[self.penalty]  # type: ignore[no-any-return]

    def _check_memory(self: Any, shape: tuple[int, int], dtype: Any) -> None:
        """MemoryError before the work starts where the coefficients alone do not fit."""
        check_memory(4 if by_steps(self) else 2, shape, dtype, self.solver)

    def _minimise(
        self: Any,
        model: Model,
        rows: Rows,
        start: tuple[Array, Array],
        curvature: Array,
        progress: Progress,
        watched: tuple[Rows, float] | None,
    ) -> None:
        """Set the coefficients and the numbers of the fit."""
        if by_steps(self):
            self._mini_batches(model, rows, start, progress, watched)
            return

        dtype, rows = rows.X.dtype, rows.precise(model.loss.n_columns)
        start = start[0].astype(rows.X.dtype, copy=False), start[1].astype(rows.X.dtype, copy=False)

        def now(model_at: Callable[[], tuple[Array, Array]]) -> Callable[[], dict[str, Array]]:
            return lambda: attributes(*model_at(), dtype=dtype)

        progress.begin(lambda: attributes(*start, dtype=dtype))

        def report(model_at: Callable[[], tuple[Array, Array]], value: float) -> bool:
            stopped = progress.end(len(progress.curve) + 1, now(model_at), objective=value)
            if not stopped:
                progress.begin(now(model_at))
            return stopped

        tol = self.tol**2
        solver, width = self._full_solver(model, rows), self._kink_width(model)
        task = _solve.Task(model, rows, start, curvature, tol, self.max_iter, report, width)
        if solver in ("newton-cg", "newton"):
            fit = _solve.newton(task, direct=solver == "newton")
        elif solver == LBFGS_FIRST:
            fit = _solve.lbfgs_first(task)
        elif solver == "liblinear":
            fit = _dual.hinges(task._replace(tol=self.tol))
        else:
            fit = _solve.lbfgs(task)
        if not (np.isfinite(fit.coef).all() and np.isfinite(fit.intercept).all()):
            raise ValueError(f"{solver} produced coefficients that are not finite: scale the features (StandardScaler)")
        self.coef_ = np.ascontiguousarray(fit.coef, dtype)
        self.intercept_ = np.asarray(fit.intercept, dtype)
        if model.loss.coupled:  # a constant added to all scores changes nothing
            self.intercept_ -= self.intercept_.mean(dtype=np.float64)
        self.n_iter_, self.objective_ = len(progress.curve), fit.value
        accepted = ACCEPTED_OF_KINKS if model.loss.has_kinks else ACCEPTED
        if not fit.settled or fit.gap > max(tol, accepted) * abs(fit.value):
            end = "ended with the precision of the type" if fit.settled else f"reached max_iter={self.max_iter}"
            above = f"about {fit.gap:.3g} above its minimum (by its gradient), wanted is {tol * abs(fit.value):.3g}"
            done = f"{self.n_iter_} {'columns' if solver == 'liblinear' else 'iterations'}"
            self._warn(
                f"{solver} {end} after {done}: objective {fit.value:.6g}"
                f"{'' if np.isnan(fit.gap) else f', {above}'}. Scale the features "
                f"(StandardScaler, MaxAbsScaler), or raise max_iter={self.max_iter}, alpha={model.alpha:g} "
                f"or tol={self.tol:g}."
            )

    def _full_solver(self: Any, model: Model, rows: Rows) -> str:
        """The solver that sees all rows; a penalty with a corner is L-BFGS's, which knows bounds."""
        if model.l1 and model.alpha:
            return "lbfgs"
        if self.solver != "auto":
            return str(self.solver)
        n_rows, n_features = rows.X.shape
        many = n_features > DIRECT and not rows.elsewhere and sparse.issparse(rows.X)
        if many and model.alpha and _dual.fits(model.loss, rows.X, model.fit_intercept):
            return "liblinear"
        if model.loss.has_kinks and not model.loss.coupled and n_features <= DIRECT and n_features <= n_rows:
            return "newton"
        if model.loss.coupled and model.loss.has_kinks and not (model.loss.rounds or model.loss.softens):
            return "lbfgs"
        if not model.loss.coupled:
            few = n_features <= SMALL and n_rows * n_features**2 * model.loss.n_columns <= FEW_PRODUCTS
            direct = few and not rows.elsewhere and not _solve.are_many(rows, model.loss)
            return "newton" if direct else "newton-cg"
        if n_rows * model.loss.n_columns > MANY_SCORES:
            return "lbfgs"
        convex = model.loss.loss.declaration.convex and not model.loss.has_kinks
        small = n_features <= DIRECT and not rows.elsewhere  # L-BFGS keeps twenty vectors of coefficients
        if not (small and convex) or _solve.are_many(rows, model.loss):
            return "newton-cg"
        n_parameters = _solve.number_of_parameters(rows, model.loss)
        return "newton" if (n_rows + n_parameters / 3) * n_parameters**2 <= FEW_COUPLED else LBFGS_FIRST

    def _mini_batches(
        self: Any,
        model: Model,
        rows: Rows,
        start: tuple[Array, Array],
        progress: Progress,
        watched: tuple[Rows, float] | None,
    ) -> None:
        self._random = check_random_state(self.random_state)
        self._state = state = _steps.new_state(
            self._step_solver(), *start, unit=self._unit(rows), of_classes=model.loss.of_classes
        )
        best: dict[str, Array] = {}

        def now() -> dict[str, Array]:
            return attributes(state["coef"].T, state["intercept"], dtype=rows.X.dtype)

        def one_pass() -> dict[str, float]:
            objective = self._pass(model, rows, rows.X.shape[0] / model.total)
            if watched is None:
                return {"objective": objective}
            part, total = watched
            value = sum(
                float(_steps.slopes(model, b.X, b, state["coef"], state["intercept"], 1 / total)[0])
                for b in part.blocks(model.loss.n_columns)
            )
            self.validation_curve_.append(value)
            return {"objective": objective, "validation_loss": value}

        def improved() -> None:
            if watched is not None:
                best.update(now())

        end = self._passes(one_pass, progress, now, improved)
        self.objective_ = self.loss_curve_[-1]
        if end == "settled" and self.objective_ > self.loss_curve_[0] * (1 + self.tol) and watched is None:
            end = "did not lower the objective"
        if end in ("reached max_iter", "did not lower the objective"):
            self._warn(
                f"{self._step_solver()} {end}{f'={self.max_iter}' if 'max_iter' in end else ''} after {self.n_iter_} "
                f"passes: objective {self.objective_:.6g}, in the first {self.loss_curve_[0]:.6g}. Scale the features "
                f"(StandardScaler, MaxAbsScaler), change learning_rate={self._rate():g}, or raise "
                f"max_iter={self.max_iter} or tol={self.tol:g}; the gradient of all rows is seen by solver='newton-cg'."
            )
        self.__dict__.update(best or now())

    def _one_pass(self: Any, model: Model, rows: Rows) -> None:
        """A pass of `partial_fit`."""
        solver = self._step_solver()
        if getattr(self, "_state", {}).get("solver") != solver or self._state["coef"].shape[::-1] != self.coef_.shape:
            self._state = _steps.new_state(  # at first, and after another solver
                solver, self.coef_, self.intercept_, unit=self._unit(rows), of_classes=model.loss.of_classes
            )
            self._random = check_random_state(self.random_state)
        elif not self._state["coef"].flags.writeable:  # memory-mapped
            self._state = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in self._state.items()}
        if self.coef_.base is not self._state["coef"]:  # another fit, or a user, put it there
            self._state["coef"][...], self._state["intercept"][...] = self.coef_.T, self.intercept_
            if solver == "sgd":
                self._state["at"][...], self._state["at_intercept"][...] = self.coef_.T, self.intercept_
        copies = _steps.saved(self._state, rows.X)
        try:
            self.objective_ = self._pass(model, rows, 1.0)
        except BaseException:
            _steps.restore(self._state, copies)
            raise
        self.coef_, self.intercept_ = self._state["coef"].T, self._state["intercept"]

    def _pass(self: Any, model: Model, rows: Rows, scale: float) -> float:
        """One pass by mini-batches: the objective on the way."""
        value, n_rows = 0.0, rows.X.shape[0]
        try:
            for batch in rows.batches(self.batch_size or _steps.BATCH_SIZE[self._step_solver()], self._random):
                size = batch.X.shape[0]
                value += (
                    _steps.step(model, batch, scale / size, self._state, self._rate() * self._state["unit"])
                    * size
                    / n_rows
                )
        except FloatingPointError:
            raise ValueError(
                f"{self._step_solver()} produced coefficients that are not finite: scale the features (StandardScaler, "
                f"MaxAbsScaler) or lower learning_rate={self._rate():g}"
            ) from None
        coef = self._state["coef"]
        penalty = 0.0
        if (model.alpha and hasattr(self, "loss_curve_") and scale != 1.0) or coef.size <= 1 << 20:
            ridge = 0.5 * (1 - model.l1) * float(np.vdot(coef, coef))
            penalty = model.alpha * (ridge + (model.l1 * float(np.abs(coef).sum()) if model.l1 else 0.0))
        return value + penalty

    def _unit(self: Any, rows: Rows) -> float:
        """The scale of scores, in which learning rates are."""
        return 1.0

    def _step_solver(self: Any) -> str:
        return "sgd" if self.solver == "auto" else str(self.solver)

    def _rate(self: Any) -> float:
        return float(self.learning_rate or self._learning_rates[self._step_solver()])


def attributes(coef: Array, intercept: Array, dtype: Any) -> dict[str, Array]:
    """Coefficients (C, D) and intercepts as attributes of an estimator, copied."""
    return {"coef_": np.array(coef, dtype, order="C"), "intercept_": np.array(intercept, dtype)}
