"""A linear regressor for any regression loss of the package."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_y, check_array, column_or_1d, validate_data

from lossext._validate import Array, quiet
from lossext.sklearn import _losses, _steps
from lossext.sklearn._base import DTYPES, Estimator, OnlyIf, all_or_nothing, check_memory
from lossext.sklearn._fit import LinearFit
from lossext.sklearn._predict import by_steps
from lossext.sklearn._progress import Progress
from lossext.sklearn._rows import Rows
from lossext.sklearn._scores import ScoreLoss
from lossext.sklearn._solve import SHARES, Model, constants, curvature_at
from lossext.sklearn._targets import make_rows

SAMPLE = 100_000  # rows from which the initial constants of a fit are computed


class LossRegressor(RegressorMixin, LinearFit, Estimator):  # type: ignore[misc]
    r"""Linear regressor for any regression loss of the package.

    With weights :math:`s_i` of the rows, losses :math:`\ell` and coefficients W, it minimises

    .. math:: \frac{1}{\sum_i s_i} \sum_i s_i \ell(x_i W + b, y_i) + \frac{alpha}{2} \|W\|^2,

    summed over several outputs or quantiles. Intercepts are not penalised. `alpha` has the scale of scikit-learn's
    generalised linear regressors; for "half_squared_error", the equivalent `alpha` of `Ridge` is N times this one.

    Parameters
    ----------
    loss : str or loss object
        A regression loss by name, such as "huber", "half_poisson" or "pinball", or as an object, whose parameters are
        used except for its `reduction` and its `weight`. A loss with several quantiles or expectiles predicts one
        column for each. With ``missing="nan"``, NaN in y is ignored.
    alpha : float
        Strength of the penalty, at least 0.
    penalty : {"l2", "l1", "elasticnet"}
        "l1" is alpha times the sum of the absolute coefficients; "elasticnet" is the average of both, weighted by
        `l1_ratio`.
    l1_ratio : float
        Weight of the l1 penalty in "elasticnet", from 0 to 1.
    solver : {"auto", "newton", "newton-cg", "lbfgs", "adam", "sgd"}
        "newton" factorises the Hessian of each column, and uses the majorizer of a loss that is not convex;
        "newton-cg" uses conjugate gradients. "auto" is "newton" for up to 2048 features and "newton-cg" for more; for
        `partial_fit` it is "sgd". Kinks are smoothed, less and less, until the effect is negligible.
    fit_intercept : bool
        Whether to fit intercepts.
    max_iter : int
        Maximum number of iterations; for adam and sgd, of passes over the rows.
    tol : float
        Solvers that use all rows stop when the estimated distance of the objective from its minimum is at most
        ``tol**2`` times its value; adam and sgd when `n_iter_no_change` consecutive passes do not lower it by `tol`
        times its value.
    learning_rate : float, optional
        Learning rate of adam and sgd, in units of y's standard deviation unless the link is a logarithm. Default: 0.01
        and 0.5.
    batch_size : int, optional
        Rows per mini-batch. Default: 256 for adam, 64 for sgd.
    early_stopping : bool
        For adam and sgd: hold out `validation_fraction` of the rows, and return the coefficients with the lowest loss
        on these.
    validation_fraction : float
        Between 0 and 1.
    n_iter_no_change : int
        See `tol`.
    sort_quantiles : bool
        Whether to sort each row's predictions of several quantiles, so that they do not cross.
    warm_start : bool
        Whether `fit` starts from the coefficients of the previous fit.
    random_state : int, RandomState or None
        For the order of the rows in mini-batches and the choice of validation rows.
    verbose : int
        1: a line every 10 iterations, with the elapsed time and an upper bound of the remaining time; 2: a line every
        iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (K, n_features)
        The latter for several outputs or quantiles.
    intercept_ : float or ndarray of shape (K,)
    n_iter_ : int
        Number of iterations or passes.
    objective_ : float
        Value of the objective; for adam and sgd, measured during the last pass.
    loss_curve_ : list of float
        The objective after each iteration.
    validation_curve_ : list of float
        Loss of the validation rows after each pass; empty without such rows.
    n_features_in_ : int
    feature_names_in_ : ndarray
    """

    _kinds = _losses.REGRESSION
    _learning_rates: ClassVar[dict[str, float]] = {"adam": 0.01, "sgd": 0.5}

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Estimator._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "penalty": [StrOptions({"l2", "l1", "elasticnet"})],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "solver": [StrOptions({"auto", "newton", "newton-cg", "lbfgs", "adam", "sgd"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "sort_quantiles": ["boolean"],
    }

    def __init__(
        self,
        loss: Any = "huber",
        *,
        alpha: float = 1.0,
        penalty: str = "l2",
        l1_ratio: float = 0.5,
        solver: str = "auto",
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        sort_quantiles: bool = False,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.alpha = alpha
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.sort_quantiles = sort_quantiles
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            loss = self._loss()
        except ValueError:
            return tags
        # several outputs are supported except with several quantiles; scikit-learn's checks use negative ones
        tags.target_tags.multi_output = _losses.columns_of(loss) is None and _losses.kind_of(loss) == "real"
        tags.target_tags.positive_only = _losses.kind_of(loss) != "real"
        return tags

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LossRegressor:
        """Fit to all rows; an error leaves the estimator unchanged.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)
            Coefficients have its dtype, float32 or float64; small problems (at most 2^20 numbers) are solved in
            float64.
        y : array-like of shape (N,) or (N, K)
        sample_weight : array-like of shape (N,), or (N, K), optional
            Not negative.

        Returns
        -------
        LossRegressor
            Itself.
        """
        if self.early_stopping and not by_steps(self):
            raise ValueError(f"early_stopping needs solver='adam' or solver='sgd', not solver={self.solver!r}")
        past = (self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None
        X, y = self._validated(X, y, reset=True)
        rows, model = self._prepare(X, y, sample_weight)
        watched = None
        if self.early_stopping:
            ids = np.arange(rows.X.shape[0])
            fitted, kept = train_test_split(ids, test_size=self.validation_fraction, random_state=self.random_state)
            part = rows.take(kept)
            rows, watched = rows.take(fitted), (part, part.total_weight())
            model = model._replace(total=rows.total_weight())
        some = rows if rows.X.shape[0] <= SAMPLE else rows.take(np.linspace(0, rows.X.shape[0] - 1, SAMPLE).astype(int))
        progress = Progress(self, X, y, sample_weight, self.max_iter)
        self._fit_rows(rows, some, model, watched, past, progress)
        return self

    def _fit_rows(
        self,
        rows: Any,
        some: Rows,
        model: Model,
        watched: tuple[Rows, float] | None,
        past: tuple[Array, Array] | None,
        progress: Progress,
    ) -> Any:
        """Fit to rows, wherever they lie; the constants to start from are those of some of them."""
        shape, dtype = (model.loss.n_columns, rows.X.shape[1]), rows.X.dtype
        self._check_memory(shape, dtype)
        start = np.zeros(shape, dtype), np.zeros(shape[0], dtype)
        columns, weight = model.loss.columns(some.target, some.weight), some.total_weight()
        self._width = self._spread(model.loss, some.target)
        if past is not None:
            coef, intercept = past[0].reshape(shape), np.reshape(past[1], shape[:1])
            start = coef.astype(dtype), intercept.astype(dtype)
        elif self.fit_intercept:
            start[1][:] = self._constants(model, columns, some, weight)
        curvature = curvature_at(model.loss, start[1].astype(np.float64), columns, weight, self._width)
        self.validation_curve_: list[float] = []
        self.loss_curve_ = progress.curve
        self._minimise(model, rows, start, curvature, progress, watched)
        self._shape_result(model)
        del self._width
        progress.close()
        return self

    @OnlyIf(_steps.why_no_steps)
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> LossRegressor:
        """One pass over some rows, from the coefficients so far.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; but weights scale the steps, and rows of weight 0 change nothing.

        Returns
        -------
        LossRegressor
            Itself.
        """
        first = not hasattr(self, "coef_")
        X, y = self._validated(X, y, reset=first)
        rows, model = self._prepare(X, y, sample_weight, may_be_empty=True)
        shape = (model.loss.n_columns, X.shape[1])
        if first:
            check_memory(4, shape, X.dtype, self._step_solver())
            self.coef_, self.intercept_, self.n_iter_ = np.zeros(shape, X.dtype), np.zeros(shape[0], X.dtype), 0
            if self.fit_intercept and rows.X.shape[0]:
                columns = model.loss.columns(rows.target, rows.weight)
                width = self._spread(model.loss, rows.target)
                self.intercept_[:] = self._constants(model, columns, rows, model.total, width)
        else:
            coef: Any = self.coef_
            whole: Any = getattr(self, "_state", {}).get("coef")
            self.coef_ = whole.T if whole is not None and coef.base is whole else coef.reshape(shape)
            self.intercept_ = np.reshape(self.intercept_, shape[:1]).astype(self.coef_.dtype)
        if rows.X.shape[0]:
            self._one_pass(model, rows)
        self._shape_result(model)
        self.n_iter_ += 1
        return self

    @quiet
    def predict(self, X: Any) -> Array:
        """The loss's mean, quantile or other prediction: scores, put through the inverse of its link.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N,) or (N, K)
        """
        X = self._checked(X)
        raw = np.asarray(X @ self.coef_.T + self.intercept_)
        loss = self._loss()
        result: Array = raw if loss.declaration.link is None else np.asarray(loss.inverse_link(raw))
        if self.sort_quantiles and result.ndim == 2:
            result.sort(axis=1)
        return result

    @quiet
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """D², the share of the loss of the best constant that the model saves; R² for squared errors.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        float
            At most 1.
        """
        X = self._checked(X)
        y = self._targets(y, X.dtype)
        rows, model = self._prepare(X, y, sample_weight)
        loss = model.loss
        columns = loss.columns(rows.target, rows.weight)
        raw = np.asarray(rows.X @ self.coef_.T + self.intercept_).reshape(rows.X.shape[0], -1)
        value = loss.evaluate(np.ascontiguousarray(raw), columns)[0].sum()
        self_width = self._spread(loss, rows.target)
        best = self._constants(model, columns, rows, model.total, self_width)
        constant = np.repeat(np.asarray(best, raw.dtype)[np.newaxis], len(raw), axis=0)
        least = self._least(rows.target, columns, loss, raw)
        value, whole = value - least, loss.evaluate(constant, columns)[0].sum() - least
        return float(1 - value / whole) if whole else float(value == 0)

    def _least(self, target: Array, columns: Any, loss: Any, raw: Array) -> float:
        """The loss of means that are the targets: 0, but for likelihoods that leave terms without the mean out."""
        link = self._loss().declaration.link
        if link is None:
            return 0.0
        with np.errstate(all="ignore"):
            perfect = link.link(np.nan_to_num(np.asarray(target, np.float64), nan=1.0)).reshape(len(raw), -1)
        value = loss.evaluate(np.ascontiguousarray(np.broadcast_to(perfect, raw.shape), raw.dtype), columns)[0].sum()
        return float(value) if np.isfinite(value) else 0.0

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        X = validate_data(self, X, accept_sparse="csr", dtype=DTYPES, reset=reset)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        y = self._targets(y, X.dtype)
        if len(y) != X.shape[0]:
            raise ValueError(f"Found input variables with inconsistent numbers of samples: {[X.shape[0], len(y)]}")
        return X, y

    def _targets(self, y: Any, dtype: Any) -> Array:
        missing = _losses.parameters_of(self._loss()).get("missing") == "nan"
        if not missing:
            y = _check_y(y, multi_output=_losses.columns_of(self._loss()) is None, y_numeric=True, estimator=self)
        else:
            y = check_array(y, ensure_2d=False, dtype="numeric", ensure_all_finite="allow-nan", input_name="y")
        if not self.__sklearn_tags__().target_tags.multi_output and y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return np.asarray(y, dtype if y.dtype.kind == "f" else np.float64)

    def _prepare(self, X: Any, y: Array, sample_weight: Any, may_be_empty: bool = False) -> tuple[Rows, Model]:
        """The rows that count, and the model of the loss."""
        loss = self._loss()
        n_columns = _losses.columns_of(loss)
        if n_columns is None:
            y = y.reshape(len(y), -1)
            n_columns = y.shape[1]
        elif y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        elif y.ndim == 2:
            raise ValueError(f"y has shape {y.shape}; allowed is ({len(y)},) for a loss of {n_columns} quantiles")
        known = ~np.isnan(y)
        if not known.all():
            weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
            sample_weight = weight * known if weight.ndim == y.ndim else weight[:, np.newaxis] * known
            filling = y[known][:1] if known.any() else np.ones(1)
            y = np.where(known, y, filling)
            if y.ndim == 2 and y.shape[1] == 1:
                sample_weight = sample_weight[:, 0]
        target = loss._target
        bad = target.is_bad(y)
        if bad.any():
            at = np.unravel_index(int(np.argmax(bad)), y.shape)
            raise ValueError(f"y holds {y[at]} in row {at[0]}; loss={self.loss!r} takes {target.requirement}")
        rows = make_rows(X, y, sample_weight, y.shape[1] if y.ndim == 2 else 1)
        if not rows.X.shape[0] and not may_be_empty:
            raise ValueError("Sample weights must contain at least one nonzero weight; all are zero")
        score_loss = ScoreLoss(loss, n_columns)
        return rows, Model(score_loss, self.alpha, self.fit_intercept, rows.total_weight(), self._l1_share())

    def _spread(self, loss: ScoreLoss, target: Array) -> Any:
        """A scale of the targets of each column, for kinks; None for a smooth loss."""
        if not loss.has_kinks:
            return None
        low, high = np.quantile(target.reshape(len(target), -1), (0.16, 0.84), axis=0)
        spread = np.where(high > low, high - low, target.std() or 1.0)
        return np.repeat(spread, loss.n_columns) if loss.shares_target else spread

    def _constants(self, model: Model, columns: Any, rows: Rows, total: float, width: Any = None) -> Array:
        """The scores that are best without features."""
        loss = model.loss
        target = rows.target.reshape(len(rows.target), -1)
        middle = target.mean(axis=0)
        link = loss.loss.declaration.link
        raw = (
            middle
            if link is None
            else loss.loss.link(np.where(middle > 0, middle, 1) if link.name == "log" else middle)
        )
        start = np.repeat(raw, loss.n_columns) if loss.shares_target else raw
        width = self._width if width is None and loss.has_kinks else width
        for share in SHARES[:5] if loss.has_kinks else (None,):
            start = constants(
                loss, columns, total, np.asarray(start, np.float64), None if share is None else share * width
            )
        return np.asarray(start)

    def _unit(self, rows: Rows) -> float:
        link = self._loss().declaration.link
        if link is not None and link.name != "identity":
            return 1.0
        y = rows.target.reshape(len(rows.target), -1).astype(np.float64)
        weight = np.ones((1, 1)) if rows.weight is None else rows.weight.reshape(len(y), -1)
        weight = np.broadcast_to(weight, y.shape)
        mean = np.average(y, axis=0, weights=weight)
        return float(np.sqrt(np.average((y - mean) ** 2, weights=weight))) or 1.0

    def _kink_width(self, model: Model, first: bool = False) -> Any:
        return self._width if model.loss.has_kinks else None

    def _full_solver(self, model: Model, rows: Rows) -> str:
        if self.solver != "auto" or (model.l1 and model.alpha):
            return super()._full_solver(model, rows)
        n_features = rows.X.shape[1]
        return "newton" if n_features <= min(2048, 4 * rows.X.shape[0]) else "newton-cg"

    def _shape_result(self, model: Model) -> None:
        """Of one output, coefficients are a vector."""
        if model.loss.n_columns == 1:
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]
