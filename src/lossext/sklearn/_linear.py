"""A linear classifier on any of the package's classification losses."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import log_expit, log_softmax
from sklearn.base import _fit_context
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from lossext._validate import Array
from lossext.losses import BCEWithLogitsLoss, MultiLabelSoftMarginLoss, MultiMarginLoss
from lossext.sklearn import _solvers
from lossext.sklearn._base import Classifier
from lossext.sklearn._objective import LOSSES, LinearModel, Rows
from lossext.sklearn._progress import Progress
from lossext.sklearn._targets import class_ids
from lossext.sklearn._weights import class_totals, weigh, weigh_by_class


def has_probabilities(estimator: LossClassifier) -> bool:
    """Whether the loss is a logistic one."""
    if estimator._takes_ids():
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


class LossClassifier(LinearClassifierMixin, Classifier):  # type: ignore[misc]
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

    Notes
    -----
    lbfgs spends its time in matrix products of microseconds each. On cores that are busy with something else, the
    threads of BLAS wait for each other in every one; `with threadpoolctl.threadpool_limits(1, user_api="blas"):`
    around `fit` ends that.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lossext.sklearn import LossClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = LossClassifier("bce_with_logits").fit(X, y)
    >>> print(classifier.predict(X[::50]))
    [0 1 2]
    """

    _learning_rates = _solvers.LEARNING_RATE
    _multi_output = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Classifier._parameter_constraints,
        "loss": [StrOptions(set(LOSSES)), MultiMarginLoss, MultiLabelSoftMarginLoss, BCEWithLogitsLoss],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"lbfgs", "adam", "sgd"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "pos_weight": [Interval(Real, 0, None, closed="neither"), "array-like", StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "undo_weights": ["boolean"],
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
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = not self._takes_ids()
        return tags

    def _takes_ids(self) -> bool:
        return self.loss == "multi_margin" or isinstance(self.loss, MultiMarginLoss)

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
        past = self._past()
        X, y = self._validated(X, y, reset=True)
        self._find_classes(y)
        rows = self._rows(X, y, sample_weight)
        validation = None
        if X_val is not None:
            X_val, y_val = self._validated(X_val, y_val, reset=False)
            validation = self._rows(X_val, y_val, sample_weight_val)
        elif self.early_stopping:
            rows, validation = self._split(rows)
        model = self._weigh(rows)
        if not self._multilabel:
            self._check_totals(class_totals(self._positives, self._seen))

        parameters = np.zeros(model.size, X.dtype)
        if past is not None:
            classes, coef, intercept = past
            if not np.array_equal(classes, self.classes_) or coef.shape != model.shape:
                raise ValueError(
                    f"warm_start=True goes on from {coef.shape[1]} features and classes {classes}; X and y "
                    f"have {X.shape[1]} and {self.classes_}"
                )
            parameters[:] = model.join(coef, intercept)
        self.validation_curve_: list[float] = []
        progress = Progress(self, X, y, sample_weight, self.max_iter)
        self.loss_curve_ = progress.curve
        total, rows = rows.total_weight(), self._weighted(rows)
        if self.solver == "lbfgs":
            parameters = self._lbfgs(model, rows, 1 / total, parameters, progress)
        else:
            parameters = self._mini_batches(model, rows, rows.X.shape[0] / total, parameters, validation, progress)
        self.__dict__.update(model.attributes(parameters))
        progress.close()
        return self

    def _lbfgs(self, model: LinearModel, rows: Rows, scale: float, parameters: Array, progress: Progress) -> Array:
        parameters, gradient, trouble = _solvers.lbfgs(
            model, rows, scale, parameters, self.tol, self.max_iter, progress
        )
        self.n_iter_ = len(self.loss_curve_)
        self.objective_ = scale * model.value(rows, parameters) + model.penalty(parameters)
        if trouble:
            self._warn(
                f"lbfgs {trouble} after {self.n_iter_} iterations: objective {self.objective_:.6g}, largest component "
                f"of the gradient {gradient:.3g}, wanted is tol={self.tol:g}. Scale the features (StandardScaler, "
                f"MaxAbsScaler), or raise max_iter={self.max_iter}, alpha={self.alpha:g} or tol."
            )
        return parameters

    def _mini_batches(
        self, model: LinearModel, rows: Rows, scale: float, parameters: Array, watched: Rows | None, progress: Progress
    ) -> Array:
        if watched is not None:
            watched_scale, watched = 1 / watched.total_weight(), self._weighted(watched)
        self._random = check_random_state(self.random_state)
        self._state = _solvers.new_state(self.solver, parameters)
        best, gradient = parameters.copy(), np.inf

        def one_pass() -> dict[str, float]:
            nonlocal gradient
            objective, gradient = self._pass(model, rows, scale, parameters)
            if watched is None:
                return {"objective": objective}
            self.validation_curve_.append(watched_scale * model.value(watched, parameters))
            return {"objective": objective, "validation_loss": self.validation_curve_[-1]}

        end = self._passes(
            one_pass, progress, partial(model.attributes, parameters), lambda: np.copyto(best, parameters)
        )
        self.objective_ = self.loss_curve_[-1]
        if end == "settled" and self.objective_ > self.loss_curve_[0] + self.tol:
            end = "diverged"
        if end in ("reached max_iter", "diverged"):
            self._warn(
                f"{self.solver} {end} after {self.n_iter_} passes: objective {self.objective_:.6g}, in the first one "
                f"{self.loss_curve_[0]:.6g}, largest component of the last gradient {gradient:.3g}. Scale the features "
                f"(StandardScaler, MaxAbsScaler), change learning_rate={self._rate():g}, or raise "
                f"max_iter={self.max_iter} or tol={self.tol:g}."
            )
        return parameters if watched is None else best

    def _pass(self, model: LinearModel, rows: Rows, scale: float, parameters: Array) -> tuple[float, float]:
        """One pass by mini-batches: the objective on the way, and the last gradient's largest component."""
        objective = 0.0
        for batch in rows.batches(self.batch_size, self._random):
            size = batch.X.shape[0]
            value, grad = model.value_and_grad(batch, parameters, scale / size)
            objective += value * size / rows.X.shape[0]
            _solvers.step(self.solver, parameters, grad, self._state, self._rate())
        if not np.isfinite(parameters).all():
            raise ValueError(
                f"{self.solver} produced coefficients that are not finite: scale the features (StandardScaler, "
                f"MaxAbsScaler) or lower learning_rate={self._rate():g}"
            )
        return objective, float(np.abs(grad).max())

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
        X, y, first = self._begin_partial_fit(X, y, classes)
        rows = self._rows(X, y, sample_weight, may_be_empty=True)
        model = self._weigh(rows)
        if first:
            self.__dict__.update(model.attributes(np.zeros(model.size, X.dtype)))
        parameters = model.join(self.coef_, self.intercept_)
        if getattr(self, "_state", {}).keys() != _solvers.new_state(self.solver, parameters[:0]).keys():
            self._state = _solvers.new_state(self.solver, parameters)  # at first, and after another solver
            self._random = check_random_state(self.random_state)
        if rows.X.shape[0]:
            self.objective_, _ = self._pass(model, self._weighted(rows), 1.0, parameters)
            self.__dict__.update(model.attributes(parameters))
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
        X = self._checked(X)
        parts: list[Any] = []
        for block in Rows(X, X, None).blocks(len(self.coef_)):
            scores = block.X @ self.coef_.T + self.intercept_
            if self._multilabel:
                labels = (scores > 0).astype(int)
                parts.append(sparse.csr_array(labels) if self._sparse_output else labels)
            else:
                ids = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)
                parts.append(self.classes_[ids])
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
        shift = np.zeros(len(self.classes_), scores.dtype)
        if self.undo_weights and self.class_weight_ is not None:
            # a class of weight k has k times its share of what the model saw; a weight of 0 cannot be undone
            shift[:] = np.log(np.where(self.class_weight_ > 0, self.class_weight_, 1))
        if scores.ndim == 1:
            scores -= shift[1] - shift[0]
            return np.column_stack((log_expit(-scores), log_expit(scores)))
        return np.asarray(log_softmax(log_expit(scores) - shift, axis=1))

    def _find_classes(self, y: Any, classes: Any = None, partly: bool = False) -> None:
        super()._find_classes(y, classes, partly)
        self._sparse_output = sparse.issparse(y)
        self._positives, self._seen = np.zeros(1), np.zeros(1)  # weights of rows, see `weigh`
        if self._multilabel and self._takes_ids():
            raise ValueError(
                f"loss={self.loss!r} takes one class a row; for a multilabel y, the losses are "
                "'multilabel_soft_margin' and 'bce_with_logits'"
            )

    def _split(self, rows: Rows) -> tuple[Rows, Rows]:
        """Rows to fit to, and rows to watch."""
        stratify = None if self._multilabel else class_ids(rows.target)
        ids, share = np.arange(rows.X.shape[0]), self.validation_fraction
        fitted, watched = train_test_split(ids, test_size=share, stratify=stratify, random_state=self.random_state)
        return rows.take(fitted), rows.take(watched)

    def _weigh(self, rows: Rows) -> LinearModel:
        """Set the weights of classes and positive parts by all rows so far; the model of the loss so weighted."""
        positives, seen = rows.counts(len(self.classes_))
        self._positives, self._seen = self._positives + positives, self._seen + seen
        loss, self.class_weight_ = weigh(
            self.loss, self.classes_, self._multilabel, self.class_weight, self.pos_weight, self._positives, self._seen
        )
        self.pos_weight_ = loss.pos_weight
        return LinearModel(loss, rows.X.shape[1], self.fit_intercept, self.alpha)

    def _weighted(self, rows: Rows) -> Rows:
        """Rows with the weights of their classes; in a multilabel problem those are the loss's."""
        return rows if self.class_weight_ is None or self._multilabel else weigh_by_class(rows, self.class_weight_)
