"""A linear classifier on any of the package's classification losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import log_expit, log_softmax
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_class_weight, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import check_is_fitted, validate_data

from lossext.losses import BCEWithLogitsLoss, MultiLabelSoftMarginLoss, MultiMarginLoss
from lossext.sklearn import _solvers
from lossext.sklearn._coordinates import Coordinates
from lossext.sklearn._objective import LOSSES, LinearModel, Rows, ScoreLoss, as_loss
from lossext.sklearn._progress import CallbackSupportMixin, Progress
from lossext.sklearn._targets import class_ids, encode, find_classes, make_rows, of_columns, ratio

Array = npt.NDArray[Any]


def takes_ids(estimator: LossClassifier) -> bool:
    """Whether the loss wants one class a row, so does no multilabel problem."""
    return estimator.loss == "multi_margin" or isinstance(estimator.loss, MultiMarginLoss)


def has_probabilities(estimator: LossClassifier) -> bool:
    """Whether the loss is a logistic one."""
    if takes_ids(estimator):
        raise AttributeError(
            "probabilities are available for the logistic losses, 'multilabel_soft_margin' and 'bce_with_logits', "
            f"not for loss={estimator.loss!r}; CalibratedClassifierCV makes them out of its scores"
        )
    return True


def has_steps(estimator: LossClassifier) -> bool:
    """Whether the solver goes by mini-batches."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is available for solver='adam' and solver='sgd', not for solver='lbfgs'")
    return True


class LossClassifier(CallbackSupportMixin, LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""Linear classifier on any classification loss of the package.

    With weights :math:`s_i` of the rows, row losses :math:`\ell_i` (a mean over the C columns, as the package defines
    them) and coefficients W, it minimises

    .. math:: \frac{C}{\sum_i s_i} \sum_i s_i k_i \ell_i + \frac{alpha}{2} \|W\|^2,

    where :math:`k_i` is the weight of the row's class, divided by the mean of these weights. So the losses are summed
    over the columns: `alpha` and `tol` mean the same for any number of classes, and a multilabel problem is solved as
    label by label, but in one pass. Intercepts are not penalised.

    Parameters
    ----------
    loss : {"multi_margin", "multilabel_soft_margin", "bce_with_logits"} or a loss object of theirs
        The logistic losses are one-vs-rest on a one-dimensional multiclass y. An object's parameters count, but for
        its `reduction`; its weights must be scalars or go along the classes.
    alpha : float
        Strength of the penalty, at least 0.
    solver : {"lbfgs", "adam", "sgd"}
        "lbfgs" sees all rows in every iteration (`scipy.optimize.minimize`) and computes in float64, or in float32 if
        X is float32. It rounds the kinks of multi margin with p = 1 over a hundredth of the margin. "adam" and "sgd"
        (with a momentum of 0.9) go by mini-batches; they have `partial_fit`.
    fit_intercept : bool
        Whether there are intercepts.
    class_weight : dict or "balanced", optional
        Weights of the classes, 1 for those that a dict leaves out; "balanced": the inverse of a class's share of the
        rows (in `partial_fit`, of those seen so far). In a multilabel problem a dict's keys are column numbers, its
        values the weights of the columns.
    pos_weight : float, array-like of shape (C,) or "balanced", optional
        Weight of the positive part of a logistic loss; "balanced": negative rows / positive rows of each column.
    max_iter : int
        Greatest number of iterations of lbfgs, of passes over the rows of adam and sgd.
    tol : float
        lbfgs stops where no component of the gradient is greater, or where the type's precision ends; for a loss with
        kinks also where an iteration lowers the objective by less than tol / 100 of it. adam and sgd stop where
        `n_iter_no_change` passes in a row do not lower the objective (with validation rows: their loss) by `tol`.
    learning_rate : float, optional
        Of adam and sgd. Default: 0.01 and 0.1.
    batch_size : int
        Rows of a mini-batch.
    early_stopping : bool
        For adam and sgd: keep `validation_fraction` of the rows apart, watch the loss on them, and return the
        coefficients where it was least. Rows handed to `fit` as `X_val` and `y_val` are watched in any case.
    validation_fraction : float
        Between 0 and 1.
    n_iter_no_change : int
        See `tol`.
    undo_weights : bool
        Whether `predict_proba` gives the probabilities of the data as it is, undoing `pos_weight` and `class_weight`
        (which shift the scores, so `predict` too), or as the weights made it.
    warm_start : bool
        Whether `fit` starts from the coefficients of the last one.
    random_state : int, RandomState or None
        Order of the rows in mini-batches; split of validation rows.
    verbose : int
        1: a line every 10 iterations; 2: every iteration.

    Attributes
    ----------
    classes_ : ndarray
        The classes; column numbers for a multilabel problem.
    coef_ : ndarray of shape (C, n_features), or (1, n_features) for two classes
    intercept_ : ndarray of shape (C,) or (1,)
    n_iter_ : int
        Iterations or passes done.
    objective_ : float
        Value of the objective where lbfgs stopped; of the last pass, measured while it went on, for adam and sgd.
    loss_curve_ : list of float
        The objective after each iteration.
    validation_curve_ : list of float
        Loss of the validation rows after each pass, a mean over rows and a sum over columns; empty without such rows.
    pos_weight_ : ndarray of shape (C,) or (1,), or None
    class_weight_ : ndarray of shape (n_classes,), or None
    n_features_in_ : int
    feature_names_in_ : ndarray

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lossext.sklearn import LossClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = LossClassifier("bce_with_logits").fit(X, y)
    >>> print(classifier.predict(X[::50]))
    [0 1 2]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "loss": [StrOptions(set(LOSSES)), MultiMarginLoss, MultiLabelSoftMarginLoss, BCEWithLogitsLoss],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"lbfgs", "adam", "sgd"})],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "pos_weight": [Interval(Real, 0, None, closed="neither"), "array-like", StrOptions({"balanced"}), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "undo_weights": ["boolean"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        loss: Any = "multi_margin",
        *,
        alpha: float = 1e-3,
        solver: str = "lbfgs",
        fit_intercept: bool = True,
        class_weight: Any = None,
        pos_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-3,
        learning_rate: float | None = None,
        batch_size: int = 256,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        undo_weights: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.alpha = alpha
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.pos_weight = pos_weight
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.undo_weights = undo_weights
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = not takes_ids(self)
        return tags

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> LossClassifier:
        """Fit to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)
            float32 and float64 are used as they are.
        y : array-like of shape (N,), or {array-like, sparse matrix} of shape (N, C) for a multilabel problem
            A sparse y stays sparse.
        sample_weight : array-like of shape (N,), or (N, C) for a logistic loss, optional
            Not negative. Rows of weight 0 are as good as absent, and a weight of 2 is as good as a repeated row.
        X_val, y_val, sample_weight_val : optional
            Rows whose loss decides when adam and sgd stop.

        Returns
        -------
        LossClassifier
            Itself.
        """
        if self.solver == "lbfgs" and (self.early_stopping or X_val is not None):
            raise ValueError("early_stopping and X_val need solver='adam' or solver='sgd'; solver='lbfgs' has neither")
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together; only one of them was given")
        past = (self.classes_, self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None
        X, y = self._validated(X, y, reset=True)
        self._find_classes(y)
        rows = self._rows(X, y, sample_weight)
        validation = None
        if X_val is not None:
            X_val, y_val = self._validated(X_val, y_val, reset=False)
            validation = self._rows(X_val, y_val, sample_weight_val)
        elif self.early_stopping:
            rows, validation = self._split(rows)
        self._positives, self._seen = np.zeros(1), np.zeros(1)
        loss = self._weigh(rows)
        if not self._multilabel and np.count_nonzero(self._class_totals()) < 2:
            raise ValueError(
                f"{type(self).__name__} needs rows of at least 2 classes; those with a nonzero weight have only 1 class"
            )

        model = LinearModel(loss.n_columns, X.shape[1], self.fit_intercept)
        parameters = self._first_parameters(model, past, X.dtype)
        self.loss_curve_: list[float] = []
        self.validation_curve_: list[float] = []
        progress = Progress(self, X, y, sample_weight, self.max_iter)
        if self.solver == "lbfgs":
            parameters = self._fit_lbfgs(model, loss, rows, parameters, progress)
        else:
            parameters = self._fit_batches(model, loss, rows, parameters, validation, progress)
        self._set(model, parameters)
        progress.close()
        return self

    def _fit_lbfgs(
        self, model: LinearModel, loss: ScoreLoss, rows: Rows, parameters: Array, progress: Progress
    ) -> Array:
        scale = 1 / rows.total_weight()
        rows = self._with_class_weights(rows)

        def value_and_grad(parameters: Array, width: float) -> tuple[float, Array]:
            value, grad = model.value_and_grad(loss, rows, parameters, width)
            grad *= scale
            return scale * value + self._penalise(model, parameters, grad), grad

        def end(n_iter: int, objective: float, gradient: float, parameters: Array) -> bool:
            self.loss_curve_.append(objective)
            return progress.end(n_iter, self._attributes(model, parameters), objective=objective, gradient=gradient)

        parameters, self.n_iter_, gradient, trouble = _solvers.lbfgs(
            value_and_grad,
            parameters,
            Coordinates(model, rows, loss.curvature(rows), self.alpha),
            loss.kink_width,
            self.tol,
            self.max_iter,
            lambda parameters: progress.begin(self._attributes(model, parameters)),
            end,
        )
        self.objective_ = scale * model.value(loss, rows, parameters) + self._penalise(model, parameters)
        if trouble:
            warnings.warn(
                f"lbfgs {trouble} after {self.n_iter_} iterations: objective {self.objective_:.6g}, largest component "
                f"of the gradient {gradient:.3g}, wanted is tol={self.tol:g}. Scale the features (StandardScaler, "
                f"MaxAbsScaler), or raise max_iter={self.max_iter}, alpha={self.alpha:g} or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return parameters

    def _fit_batches(
        self,
        model: LinearModel,
        loss: ScoreLoss,
        rows: Rows,
        parameters: Array,
        validation: Rows | None,
        progress: Progress,
    ) -> Array:
        scale = rows.X.shape[0] / rows.total_weight()
        rows = self._with_class_weights(rows)
        if validation is not None:
            validation_scale = 1 / validation.total_weight()
            validation = self._with_class_weights(validation)
        self._random = check_random_state(self.random_state)
        self._state = _solvers.new_state(self.solver, parameters)
        best, best_parameters, stale = np.inf, parameters.copy(), 0
        trouble: str | None = "reached max_iter"

        for n_iter in range(1, self.max_iter + 1):
            progress.begin(self._attributes(model, parameters))
            objective, gradient = self._pass(model, loss, rows, scale, parameters)
            self.loss_curve_.append(objective)
            watched, numbers = objective, {"objective": objective}
            if validation is not None:
                watched = validation_scale * model.value(loss, validation, parameters)
                self.validation_curve_.append(watched)
                numbers["validation_loss"] = watched
            stale = 0 if watched < best - self.tol else stale + 1
            if watched < best:
                best = watched
                if validation is not None:
                    best_parameters[...] = parameters
            self.n_iter_ = n_iter
            if progress.end(n_iter, self._attributes(model, parameters), **numbers):
                trouble = None
                break
            if stale >= self.n_iter_no_change:
                trouble = "diverged" if objective > self.loss_curve_[0] + self.tol else None
                break
        if trouble:
            warnings.warn(
                f"{self.solver} {trouble} after {n_iter} passes: objective {objective:.6g}, in the first one "
                f"{self.loss_curve_[0]:.6g}, largest component of the last gradient {gradient:.3g}. Scale the features "
                f"(StandardScaler, MaxAbsScaler), change learning_rate={self._rate():g}, or raise "
                f"max_iter={self.max_iter} or tol={self.tol:g}.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.objective_ = objective
        return parameters if validation is None else best_parameters

    def _pass(
        self, model: LinearModel, loss: ScoreLoss, rows: Rows, scale: float, parameters: Array
    ) -> tuple[float, float]:
        """One pass by mini-batches: the objective on the way, and the last gradient's largest component."""
        n_rows = rows.X.shape[0]
        order = self._random.permutation(n_rows) if n_rows > self.batch_size else None
        objective = 0.0
        for batch in gen_batches(n_rows, self.batch_size):
            size = batch.stop - batch.start
            value, grad = model.value_and_grad(loss, rows if order is None else rows.take(order[batch]), parameters)
            grad *= scale / size
            objective += (scale * value + size * self._penalise(model, parameters, grad)) / n_rows
            _solvers.step(self.solver, parameters, grad, self._state, self._rate())
        if not np.isfinite(parameters).all():
            raise ValueError(
                f"{self.solver} produced coefficients that are not finite: scale the features (StandardScaler, "
                f"MaxAbsScaler) or lower learning_rate={self._rate():g}"
            )
        return objective, float(np.abs(grad).max())

    def _rate(self) -> float:
        return self.learning_rate or _solvers.LEARNING_RATE[self.solver]

    @available_if(has_steps)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> LossClassifier:
        """One pass over some rows, from the coefficients so far.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; but weights scale the steps, and rows of weight 0 change nothing.
        classes : array-like of shape (n_classes,)
            All the classes there will be, in the first call; not needed for a multilabel problem.

        Returns
        -------
        LossClassifier
            Itself.
        """
        first = not hasattr(self, "coef_")
        X, y = self._validated(X, y, reset=first)
        if first:
            self._find_classes(y, classes, partly=True)
            self._positives, self._seen, self.n_iter_ = np.zeros(1), np.zeros(1), 0
        elif classes is not None:
            _check_partial_fit_first_call(self, classes)
        rows = make_rows(X, encode(y, self.classes_, self._multilabel, takes_ids(self)), sample_weight)
        loss = self._weigh(rows)
        model = LinearModel(loss.n_columns, X.shape[1], self.fit_intercept)
        if first:
            self._set(model, np.zeros(model.size, X.dtype))
        parameters = self._first_parameters(model, (self.classes_, self.coef_, self.intercept_), self.coef_.dtype)
        if getattr(self, "_state", {}).keys() != _solvers.new_state(self.solver, parameters[:0]).keys():
            self._state = _solvers.new_state(self.solver, parameters)  # at first, and after another solver
            self._random = check_random_state(self.random_state)
        if rows.X.shape[0]:
            self.objective_, _ = self._pass(model, loss, self._with_class_weights(rows), 1.0, parameters)
            self._set(model, parameters)
        self.n_iter_ += 1
        return self

    def predict(self, X: Any) -> Any:
        """Classes (N,); for a multilabel problem 0 and 1 (N, C), sparse if y was sparse.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray or CSR matrix
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        parts: list[Any] = []
        for block in Rows(X, X, None).blocks(len(self.coef_)):
            scores = safe_sparse_dot(block.X, self.coef_.T, dense_output=True) + self.intercept_
            if self._multilabel:
                labels = (scores > 0).astype(int)
                parts.append(sparse.csr_array(labels) if self._sparse_output else labels)
            elif scores.shape[1] == 1:
                parts.append(self.classes_[(scores[:, 0] > 0).astype(int)])
            else:
                parts.append(self.classes_[scores.argmax(axis=1)])
        return sparse.vstack(parts, format="csr") if self._multilabel and self._sparse_output else np.concatenate(parts)

    @available_if(has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Probabilities, by default of the data as it was before `class_weight` and `pos_weight`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N, n_classes)
            For one-dimensional y rows sum to 1 (one-vs-rest probabilities are divided by their sum); for a multilabel
            problem each label has its own.
        """
        return np.asarray(np.exp(self.predict_log_proba(X)))

    @available_if(has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of what `predict_proba` gives.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N, n_classes)
        """
        scores = self.decision_function(X)
        if self.undo_weights and self.pos_weight_ is not None:
            scores -= np.log(self.pos_weight_).astype(scores.dtype)
        if self._multilabel:  # class weights go along whole columns, and shift nothing
            return np.asarray(log_expit(scores))
        # a class of weight k has k times its share of what the model saw; a weight of 0 cannot be undone
        weights = (
            self.class_weight_ if self.undo_weights and self.class_weight_ is not None else np.ones(len(self.classes_))
        )
        shift = np.log(np.where(weights > 0, weights, 1)).astype(scores.dtype)
        if scores.ndim == 1:
            scores -= shift[1] - shift[0]
            return np.column_stack((log_expit(-scores), log_expit(scores)))
        return np.asarray(log_softmax(log_expit(scores) - shift, axis=1))

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], multi_output=True, reset=reset
        )
        return X, y

    def _find_classes(self, y: Any, classes: Any = None, partly: bool = False) -> None:
        self.classes_, self._multilabel = find_classes(y)
        if partly and self._multilabel and classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"classes of a multilabel problem are the column numbers 0 to {len(self.classes_) - 1}, not {classes}"
            )
        if partly and not self._multilabel:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.unique(classes)
        self._sparse_output = sparse.issparse(y)
        if self._multilabel and takes_ids(self):
            raise ValueError(
                f"loss={self.loss!r} takes one class a row; for a multilabel y, the losses are "
                "'multilabel_soft_margin' and 'bce_with_logits'"
            )
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs rows of at least 2 classes; y holds only 1 class: {self.classes_[0]!r}"
            )

    def _rows(self, X: Any, y: Any, sample_weight: Any) -> Rows:
        rows = make_rows(X, encode(y, self.classes_, self._multilabel, takes_ids(self)), sample_weight)
        if not rows.X.shape[0]:
            raise ValueError("Sample weights must contain at least one nonzero weight; all are zero")
        return rows

    def _split(self, rows: Rows) -> tuple[Rows, Rows]:
        """Rows to fit to, and rows to watch."""
        stratify = None if self._multilabel else class_ids(rows.target)
        fitted, watched = train_test_split(
            np.arange(rows.X.shape[0]),
            test_size=self.validation_fraction,
            stratify=stratify,
            random_state=self.random_state,
        )
        return rows.take(fitted), rows.take(watched)

    def _weigh(self, rows: Rows) -> ScoreLoss:
        """Set the weights of the classes and the positive parts, by all rows so far; the loss that they make."""
        loss = as_loss(self.loss)
        n_classes = len(self.classes_)
        n_columns = 1 if n_classes == 2 and not self._multilabel else n_classes
        n_weights = n_classes if takes_ids(self) else n_columns  # multi margin weighs both of two classes
        positives, seen = rows.counts(n_weights)
        self._positives, self._seen = self._positives + positives, self._seen + seen

        parameters = loss._parameters
        weight = of_columns("the weight of the loss", parameters["weight"], n_weights)
        pos_weight = of_columns("the pos_weight of the loss", parameters.get("pos_weight"), n_weights)
        if self.pos_weight is not None:
            if pos_weight is not None or takes_ids(self):
                reason = "has a pos_weight of its own" if pos_weight is not None else "has no positive part to weigh"
                raise ValueError(f"pos_weight={self.pos_weight!r} cannot be used: loss={self.loss!r} {reason}")
            if isinstance(self.pos_weight, str):
                pos_weight = ratio(self._seen - self._positives, self._positives)
            else:
                pos_weight = of_columns("pos_weight", self.pos_weight, n_columns)
        if pos_weight is not None and not (pos_weight > 0).all():
            raise ValueError(f"pos_weight={pos_weight} is not positive")
        self.pos_weight_ = pos_weight

        self.class_weight_ = self._class_weights()
        if self._multilabel and self.class_weight_ is not None:
            weight = self.class_weight_ if weight is None else self.class_weight_ * weight
        return ScoreLoss(loss, n_columns, weight, pos_weight)

    def _class_totals(self) -> Array:
        """Weight of the rows of each class so far."""
        positives: Array = self._positives
        return positives if len(positives) > 1 else np.append(self._seen - positives, positives)

    def _class_weights(self) -> Array | None:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, dict):
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            if not (weights >= 0).all():
                raise ValueError(f"class_weight={self.class_weight} holds a negative weight")
            if self._multilabel:
                return np.asarray(weights)
        elif self._multilabel:
            raise ValueError(
                "class_weight='balanced' takes one class a row; for a multilabel y there is pos_weight='balanced'"
            )
        else:
            weights = ratio(1.0, self._class_totals())
        totals = self._class_totals()
        mean = np.sum(weights * totals) / np.sum(totals)
        if mean == 0:
            raise ValueError(f"class_weight={self.class_weight} is 0 for all classes that occur")
        return np.asarray(weights / mean)

    def _with_class_weights(self, rows: Rows) -> Rows:
        if self.class_weight_ is None or self._multilabel:
            return rows
        weight = self.class_weight_.astype(rows.X.dtype)[class_ids(rows.target)]
        if rows.weight is not None:
            weight = rows.weight * (weight if rows.weight.ndim == 1 else weight[:, None])
        return rows._replace(weight=weight)

    def _penalise(self, model: LinearModel, parameters: Array, grad: Array | None = None) -> float:
        """Value of the penalty; its gradient is added to `grad`."""
        coef, _ = model.split(parameters)
        if grad is not None:
            coef_grad, _ = model.split(grad)
            coef_grad += self.alpha * coef
        return 0.5 * self.alpha * float(np.einsum("ij,ij", coef, coef))

    def _first_parameters(self, model: LinearModel, past: tuple[Array, Array, Array] | None, dtype: Any) -> Array:
        if past is None:
            return np.zeros(model.size, dtype)
        classes, coef, intercept = past
        if not np.array_equal(classes, self.classes_) or coef.shape != model.shape:
            raise ValueError(
                f"warm_start=True goes on from {coef.shape[1]} features and classes {classes}; X and y have "
                f"{model.shape[1]} and {self.classes_}"
            )
        return np.column_stack((coef, intercept) if self.fit_intercept else (coef,)).astype(dtype).ravel()

    def _attributes(self, model: LinearModel, parameters: Array) -> Callable[[], dict[str, Any]]:
        """The fitted attributes, made when they are needed."""

        def attributes() -> dict[str, Any]:
            coef, intercept = model.split(parameters)
            if not self.fit_intercept:
                intercept = np.zeros((len(coef), 1), coef.dtype)
            return {"coef_": coef.copy(), "intercept_": intercept.ravel()}

        return attributes

    def _set(self, model: LinearModel, parameters: Array) -> None:
        for name, value in self._attributes(model, parameters)().items():
            setattr(self, name, value)
