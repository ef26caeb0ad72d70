"""A linear classifier on any of the package's classification losses."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, StrOptions

from lossext._validate import Array
from lossext.sklearn import _losses, _steps
from lossext.sklearn._base import Classifier, OnlyIf, all_or_nothing, check_memory
from lossext.sklearn._fit import LinearFit
from lossext.sklearn._predict import ClassPredictions, by_steps
from lossext.sklearn._progress import Progress
from lossext.sklearn._rows import Rows
from lossext.sklearn._solve import Model, curvature_at, start_of_classes
from lossext.sklearn._weights import class_totals, weigh, weigh_by_class


class LossClassifier(ClassPredictions, LinearFit, Classifier):
    r"""Linear classifier on any classification loss of the package.

    With weights :math:`s_i` of the rows, row losses :math:`\ell_i` and coefficients W, it minimises

    .. math:: \frac{1}{\sum_i s_i} \sum_i s_i k_i \ell_i + \frac{alpha}{2} \|W\|^2,

    where :math:`k_i` is the weight of the row's class divided by the mean of these weights. :math:`\ell_i` is a sum
    over the columns of the scores, so `alpha` has the same meaning for any number of classes, and a multilabel problem
    has the solution of separate problems for each label, found in one pass. Intercepts are not penalised.

    Parameters
    ----------
    loss : str or loss object
        A classification loss of the package, by name, such as "bce_with_logits" or "multi_margin", or as an object,
        whose parameters are used except for its `reduction`; its weights must be scalars or one per class. Losses of
        one score and its label are one-vs-rest for a one-dimensional multiclass y; only they accept a multilabel y.
        In measurements at C=1 (`benchmarks/linear_defaults.py`), cross entropy has the lowest log loss on digits,
        breast cancer, wine and text, and an accuracy within 0.3 points of the best on the first three; on text
        ``HingeLoss(p=2)`` and ``MultiMarginLoss(p=2)`` are 12 points better.
    C : float
        Inverse strength of the penalty, as in `sklearn.linear_model.LogisticRegression`.
    alpha : float, optional
        Strength of the penalty relative to the mean of the losses, at least 0; overrides `C`. Default: 1 / (C x the
        total weight of the rows, including class weights); in `partial_fit`, of the rows so far.
    penalty : {"l2", "l1", "elasticnet"}
        "l1" is alpha times the sum of the absolute coefficients; "elasticnet" is the average of both, weighted by
        `l1_ratio`.
    l1_ratio : float
        Weight of the l1 penalty in "elasticnet", from 0 to 1.
    solver : {"auto", "newton-cg", "lbfgs", "adam", "sgd"}
        "newton-cg" and "lbfgs" use all rows in every iteration; for losses of single scores, "newton-cg" solves a few
        columns at a time to save memory. "adam" and "sgd" use mini-batches; "sgd" averages its iterates and scales its
        steps by the magnitude of each feature. "auto" chooses "newton-cg" for many rows or more than 2048 sparse
        features; direct solves for few features or, for softmax losses, few parameters; "lbfgs" for other softmax
        losses and where vectors of rows x classes would take too much memory; the dual coordinate descent of
        `sklearn.svm.LinearSVC` on more than 2048 sparse features for ``HingeLoss(p=1)`` and, without intercepts, for
        ``HingeLoss(p=2)``; and "sgd" for `partial_fit`. Other kinked losses are smoothed, less and less, until the
        effect is negligible.
    fit_intercept : bool
        Whether to fit intercepts.
    class_weight : dict or "balanced", optional
        Weights of the classes, 1 for classes missing in a dict; "balanced": inversely proportional to the share of the
        class among the rows (in `partial_fit`, among those seen so far). For a multilabel problem, a dict maps column
        numbers, or the column names of a frame, to weights of the columns.
    pos_weight : float, array-like of shape (C,) or "balanced", optional
        Weight of the positives in a loss of single scores; "balanced": negative rows / positive rows of each column.
    max_iter : int
        Maximum number of iterations; for adam and sgd, of passes over the rows.
    tol : float
        newton-cg and lbfgs stop when the estimated distance of the objective from its minimum is at most ``tol**2``
        times its value. adam and sgd stop when `n_iter_no_change` consecutive passes do not lower the objective (or the
        loss of the validation rows) by `tol` times its value.
    learning_rate : float, optional
        Learning rate of adam and sgd. Default: 0.01 and 1.
    batch_size : int, optional
        Rows per mini-batch. Default: 256 for adam, 64 for sgd.
    early_stopping : bool
        For adam and sgd: hold out `validation_fraction` of the rows, and return the coefficients with the lowest loss
        on these. Rows passed to `fit` as `X_val` and `y_val` are always used in this way.
    validation_fraction : float
        Between 0 and 1.
    n_iter_no_change : int
        See `tol`.
    undo_weights : bool
        Whether `predict_proba` corrects for `pos_weight` and `class_weight` and gives the probabilities of the
        unweighted data, or gives those of the weighted data. The weights shift the scores, which affects `predict`.
    warm_start : bool
        Whether `fit` starts from the coefficients of the previous fit.
    random_state : int, RandomState or None
        For the order of the rows in mini-batches and the choice of validation rows.
    verbose : int
        1: a line every 10 iterations, with the elapsed time and an upper bound of the remaining time; 2: a line every
        iteration.

    Attributes
    ----------
    classes_ : ndarray
        The classes; column numbers, or the column names of a frame, for a multilabel problem.
    coef_ : ndarray of shape (C, n_features), or (1, n_features) for two classes
    intercept_ : ndarray of shape (C,) or (1,)
    alpha_ : float
        The strength of the penalty used.
    n_iter_ : int
        Number of iterations or passes.
    objective_ : float
        Value of the objective; for adam and sgd, measured during the last pass.
    loss_curve_ : list of float
        The objective after each iteration.
    validation_curve_ : list of float
        Loss of the validation rows after each pass, averaged over rows and summed over columns; empty without such
        rows.
    pos_weight_ : ndarray of shape (C,) or (1,), or None
        The `pos_weight` used.
    class_weight_ : ndarray of shape (n_classes,), or None
        The class weights used.
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

    _multi_output = True
    _kinds = _losses.CLASSIFICATION
    _learning_rates: ClassVar[dict[str, float]] = {"adam": 0.01, "sgd": 1.0}

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Classifier._parameter_constraints,
        "C": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left"), None],
        "penalty": [StrOptions({"l2", "l1", "elasticnet"})],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "solver": [StrOptions({"auto", "newton-cg", "lbfgs", "adam", "sgd"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "pos_weight": [Interval(Real, 0, None, closed="neither"), "array-like", StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "undo_weights": ["boolean"],
    }

    def __init__(
        self,
        loss: Any = "cross_entropy",
        *,
        C: float = 1.0,
        alpha: float | None = None,
        penalty: str = "l2",
        l1_ratio: float = 0.5,
        solver: str = "auto",
        fit_intercept: bool = True,
        class_weight: Any = None,
        pos_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-4,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        undo_weights: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.C = C
        self.alpha = alpha
        self.penalty = penalty
        self.l1_ratio = l1_ratio
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
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = not self._by_class()
        return tags

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
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
        """Fit to all rows; an error leaves the estimator unchanged.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)
            Coefficients have its dtype, float32 or float64; small problems (at most 2^20 numbers) are solved in
            float64.
        y : array-like of shape (N,), or {array-like, sparse matrix} of shape (N, C) for a multilabel problem
            A sparse y stays sparse; labels are made dense for 2^18 scores at a time.
        sample_weight : array-like of shape (N,), or (N, C) for a loss of single scores, optional
            Not negative. A row with weight 0 counts as absent, a row with weight 2 as repeated.
        X_val, y_val, sample_weight_val : optional
            Validation rows, whose loss decides when adam and sgd stop.

        Returns
        -------
        LossClassifier
            Itself.
        """
        if not by_steps(self) and (self.early_stopping or X_val is not None):
            raise ValueError(
                f"early_stopping and X_val need solver='adam' or solver='sgd'; solver={self.solver!r} has neither"
            )
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together; only one of them was given")
        past = self._past()
        names = getattr(y, "columns", None)
        X, y = self._validated(X, y, reset=True)
        self._find_classes(y, names=names)
        rows = self._rows(X, y, sample_weight)
        validation = None
        if X_val is not None:
            X_val, y_val = self._validated(X_val, y_val, reset=False)
            validation = self._rows(X_val, y_val, sample_weight_val)
        elif self.early_stopping:
            rows, validation = self._split(rows)
        progress = Progress(self, X, y, sample_weight, self.max_iter)
        self._fit_rows(rows, validation, past, progress)
        return self

    def _fit_rows(
        self, rows: Any, validation: Rows | None, past: tuple[Array, Array, Array] | None, progress: Progress
    ) -> Any:
        """Fit to rows, wherever they lie."""
        model = self._weigh(rows)
        if not self._multilabel:
            self._check_totals(class_totals(self._positives, self._seen))
        shape, dtype = (model.loss.n_columns, rows.X.shape[1]), rows.X.dtype
        self._check_memory(shape, dtype)
        start = np.zeros(shape, dtype), np.zeros(shape[0], dtype)
        if past is not None:
            classes, coef, intercept = past
            if not np.array_equal(classes, self.classes_) or coef.shape != shape:
                raise ValueError(
                    f"warm_start=True goes on from {coef.shape[1]} features and classes {classes}; X and y "
                    f"have {shape[1]} and {self.classes_}"
                )
            start = coef.astype(dtype), intercept.astype(dtype)
        elif self.fit_intercept:
            start[1][:] = start_of_classes(model.loss, self._positives, self._seen, model.total)
        self.validation_curve_: list[float] = []
        self.loss_curve_ = progress.curve
        curvature = self._curvature(model, start[1])
        weighted = self._weighted(rows)
        watched = None if validation is None else (self._weighted(validation), validation.total_weight())
        self._minimise(model, weighted, start, curvature, progress, watched)
        progress.close()
        return self

    def _curvature(self, model: Model, start: Array) -> Array:
        loss, positives, seen = model.loss, self._positives, self._seen
        if loss.by_class:
            totals = class_totals(positives, seen)
            columns = loss.columns(np.arange(len(totals)), totals)
        else:
            target = np.repeat(np.array([[0], [1]], np.uint8), loss.n_columns, axis=1)
            columns = loss.columns(target, np.vstack((seen - positives, positives)))
        return curvature_at(loss, start.astype(np.float64), columns, model.total, self._kink_width(model, True))

    def _kink_width(self, model: Model, first: bool = False) -> Any:
        if not model.loss.has_kinks:
            return None
        return model.loss.kink_width * (2.0 if first else 1.0)

    @OnlyIf(_steps.why_no_steps)
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
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
            shape = (model.loss.n_columns, X.shape[1])
            check_memory(4, shape, X.dtype, self._step_solver())
            self.coef_, self.intercept_ = np.zeros(shape, X.dtype), np.zeros(shape[0], X.dtype)
        if rows.X.shape[0]:
            total = float(np.mean(self._seen))
            self._one_pass(model._replace(total=total), self._weighted(rows))
        self.n_iter_ += 1
        return self

    def _by_class(self) -> bool:
        """Whether the loss wants one class per row, so does no multilabel problem."""
        try:
            return _losses.kind_of(self._loss()) == "class"
        except ValueError:
            return False

    def _find_classes(self, y: Any, classes: Any = None, partly: bool = False, names: Any = None) -> None:
        by_class = _losses.kind_of(self._loss()) == "class"
        super()._find_classes(y, classes, partly, names)
        self._sparse_output = sparse.issparse(y)
        self._positives, self._seen = np.zeros(1), np.zeros(1)  # weights of rows, see `weigh`
        if self._multilabel and by_class:
            others = _losses.fitting(("unit", "sign"))
            raise ValueError(
                f"loss={self.loss!r} takes one class per row; for a multilabel y, the losses are "
                f"{', '.join(map(repr, sorted(others)))}"
            )

    def _split(self, rows: Rows) -> tuple[Rows, Rows]:
        """Rows to fit to, and rows to watch."""
        stratify = None if self._multilabel else rows.target
        ids, share = np.arange(rows.X.shape[0]), self.validation_fraction
        fitted, watched = train_test_split(ids, test_size=share, stratify=stratify, random_state=self.random_state)
        return rows.take(fitted), rows.take(watched)

    def _weigh(self, rows: Rows) -> Model:
        """Set the weights of classes and positive parts by all rows so far; the model of the loss so weighted."""
        n_columns = 1 if len(self.classes_) == 2 and not self._multilabel else len(self.classes_)
        if rows.weight is not None and rows.weight.ndim == 2 and self._by_class():
            raise ValueError(f"sample_weight has shape {rows.weight.shape}; allowed is {rows.weight.shape[:1]}")
        positives, seen = rows.counts(n_columns)
        self._positives, self._seen = self._positives + positives, self._seen + seen
        loss, self.class_weight_ = weigh(
            self._loss(),
            self.classes_,
            self._multilabel,
            self.class_weight,
            self.pos_weight,
            self._positives,
            self._seen,
        )
        self.pos_weight_ = loss.pos_weight
        total, alpha = rows.total_weight(), self.alpha
        if alpha is None:
            weight = float(np.mean(self._seen))
            if self.class_weight_ is not None and not self._multilabel and isinstance(self.class_weight, dict):
                raw = np.array([self.class_weight.get(c, 1.0) for c in self.classes_.tolist()])
                weight = float(raw @ np.broadcast_to(class_totals(self._positives, self._seen), raw.shape))
            alpha = 1.0 / (self.C * weight) if weight > 0 else 0.0
        self.alpha_ = float(alpha)
        return Model(loss, self.alpha_, self.fit_intercept, total, self._l1_share())

    def _weighted(self, rows: Rows) -> Rows:
        """Rows with the weights of their classes; in a multilabel problem those are the loss's."""
        return rows if self.class_weight_ is None or self._multilabel else weigh_by_class(rows, self.class_weight_)
