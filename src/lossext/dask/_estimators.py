"""The linear estimators of `lossext.sklearn` on dask arrays and dataframes."""

from __future__ import annotations

from typing import Any, ClassVar

import dask
import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from lossext import sklearn as plain
from lossext._validate import Array
from lossext.dask import _work
from lossext.dask._chunks import Chunks, as_array, check_kinds, is_collection, merged_sums
from lossext.dask._rows import Loss, Rows
from lossext.dask._work import Plan, Point, Survey
from lossext.sklearn._base import OnlyIf, all_or_nothing
from lossext.sklearn._predict import why_no_probabilities
from lossext.sklearn._progress import Progress
from lossext.sklearn._regressor import SAMPLE
from lossext.sklearn._rows import Rows as LocalRows

DIRECT = 1 << 20  # numbers of all columns' Hessians up to which a pass sums them
SOLVERS = StrOptions({"auto", "newton", "newton-cg", "lbfgs"})


class OnDask:
    """Mixin: fits by passes over chunks; collections are predicted chunk by chunk."""

    _plain: ClassVar[type]

    def _here(self: Any) -> Any:
        """The same estimator without dask, as workers get it."""
        estimator = self._plain(**self.get_params(deep=False))
        estimator.solver = "auto"
        kept = (
            "classes_",
            "coef_",
            "intercept_",
            "class_weight_",
            "pos_weight_",
            "n_features_in_",
            "feature_names_in_",
        )
        names = (*kept, "_multilabel", "_sparse_output")
        estimator.__dict__.update({k: v for k, v in self.__dict__.items() if k in names})
        return estimator

    def _surveyed(self: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Chunks, Survey]:
        """Chunks that are checked, and what they hold."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        if self.early_stopping:
            raise ValueError("early_stopping=True has no meaning on chunks; allowed is False")
        chunks = Chunks(X=X, y=y, sample_weight=sample_weight)
        found: Survey = chunks.run(_work.survey, _work.merge_surveys, self._here(), -(-SAMPLE // len(chunks)))
        if chunks.lengths is None:
            chunks.settle([lengths[0] for lengths in found.lengths])
        refuse(chunks, found)
        meta = getattr(X, "_meta_nonempty", None)  # of a dataframe: its names
        example = np.zeros((1, next(iter(found.shapes))[0])) if meta is None else meta
        validate_data(self, example, dtype="numeric", reset=True)
        return chunks, found

    def _rows_of(self: Any, chunks: Chunks, found: Survey) -> Rows:
        dtype = "<f4" if found.dtypes == {np.dtype(np.float32).str} else "<f8"
        assert chunks.start is not None
        return Rows(chunks, (chunks.start[-1], self.n_features_in_), Plan(self._here(), np.dtype(dtype).str, False))

    def _full_solver(self: Any, model: Any, rows: Any) -> str:
        """A Cholesky factor where its matrix is small: it takes one pass, conjugate gradients one for each product."""
        if self.solver != "auto" or (model.l1 and model.alpha):
            return super()._full_solver(model, rows)  # type: ignore[misc, no-any-return]
        if model.loss.coupled:
            return "newton-cg" if not model.loss.has_kinks else str(super()._full_solver(model, rows))  # type: ignore[misc]
        return "newton" if model.loss.n_columns * (rows.X.shape[1] + 1) ** 2 <= DIRECT else "newton-cg"

    def _minimise(self: Any, model: Any, rows: Any, *others: Any) -> None:
        super()._minimise(model._replace(loss=Loss(model.loss, rows)), rows, *others)  # type: ignore[misc]

    def _by_chunk(self: Any, name: str, X: Any, *arguments: Any) -> Any:
        """What a method of the estimator says of a collection, as a collection."""
        check_is_fitted(self)
        here, sample = self._here(), getattr(X, "_meta_nonempty", None)
        check_kinds({"X": X})
        widths = (self.n_features_in_ if np.isnan(n) else n for n in X.shape[1:])
        # refused here if it does not fit, not by a worker
        example = np.zeros((1, *widths), X.dtype) if sample is None else sample
        meta = np.asarray(getattr(here, name)(example, *arguments))[:0]
        if sample is not None:
            return X.map_partitions(by_method, here, name, *arguments, meta=framed(meta))
        there = dask.delayed(here, traverse=False)  # an object of its own in the graph, not one per chunk
        shape = {"drop_axis": 1} if meta.ndim == 1 else {"chunks": (X.chunks[0], meta.shape[1:])}
        return X.map_blocks(by_method, there, name, *arguments, meta=meta, **shape)

    def predict(self: Any, X: Any) -> Any:
        """Predictions of new rows; of a collection, a collection.

        Parameters
        ----------
        X : dask array or dataframe, or array-like of shape (N, n_features)

        Returns
        -------
        dask array, series or dataframe, or ndarray
        """
        return self._by_chunk("predict", X) if is_collection(X) else super().predict(X)  # type: ignore[misc]

    def score(self: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The score of `lossext.sklearn`, of all rows: accuracy, or D².

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        float
        """
        if not is_collection(X):
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        check_is_fitted(self)
        return float(self._score_chunks(Chunks(X=X, y=y, sample_weight=sample_weight)))


def refuse(chunks: Chunks, found: Survey) -> None:
    """ValueError for what is wrong with the rows, by their number in the whole."""
    assert chunks.start is not None
    if found.problem is not None:
        index, row, text = found.problem
        if row is None:
            raise ValueError(f"chunk {index} of {len(chunks)}: {text}")
        raise ValueError(text.format(row=chunks.start[index] + row) + f" (chunk {index} of {len(chunks)})")
    if len(found.shapes) > 1:
        raise ValueError(f"chunks have different numbers of columns of X and y: {sorted(found.shapes)}")
    if not chunks.start[-1]:
        raise ValueError(f"Found array with 0 sample(s) in {len(chunks)} chunks while a minimum of 1 is required.")


def framed(found: Array, index: Any = None) -> Any:
    """As a series, or a dataframe of several columns."""
    import pandas as pd

    return (pd.Series if found.ndim == 1 else pd.DataFrame)(found, index=index)


def by_method(part: Any, estimator: Any, name: str, *arguments: Any) -> Any:
    """A method's result for one chunk."""
    method, n_rows = getattr(estimator, name), part.shape[0]
    found = np.asarray(method(part if n_rows else np.zeros((1, estimator.n_features_in_)), *arguments))[:n_rows]
    return framed(found, part.index) if hasattr(part, "index") else found


def right(parts: dict[str, Any], index: int, estimator: Any) -> Any:
    """Weight of the rows whose class is predicted, and of all."""
    if not parts["X"].shape[0]:
        return None
    y = as_array(parts["y"])
    weight = as_array(parts["sample_weight"]).astype(np.float64) if "sample_weight" in parts else np.ones(len(y))
    same = np.asarray(estimator.predict(parts["X"])) == (y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)
    same = same.all(axis=1) if same.ndim == 2 else same
    return weight[same].sum(), weight.sum()


class LossClassifier(OnDask, plain.LossClassifier):
    """`lossext.sklearn.LossClassifier` on dask arrays and dataframes, with the same optimum.

    Workers compute the loss, its gradient and products with its Hessian of their chunks where these lie, the client
    runs the solver. Sums are added in the order of the chunks, so the same chunks give the same bits. Chunks that are
    not persisted are made anew in every pass over the rows.

    Parameters
    ----------
    loss, C, alpha, penalty, l1_ratio, fit_intercept, class_weight, pos_weight
        As of `lossext.sklearn.LossClassifier`, as are the next.
    max_iter, tol, undo_weights, warm_start, verbose
        As of `lossext.sklearn.LossClassifier`.
    solver : {"auto", "newton", "newton-cg", "lbfgs"}
        "newton" sums a Hessian of each column in one pass an iteration; "newton-cg" takes a pass for each product,
        "lbfgs" one for each gradient. "auto" is "newton" while its matrices hold up to 2**20 numbers.
    learning_rate, batch_size, early_stopping, validation_fraction, n_iter_no_change, random_state
        Of `partial_fit`, which takes arrays.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> from distributed import Client
    >>> from lossext.dask import LossClassifier
    >>> with Client(n_workers=1, processes=False, dashboard_address=None) as client:
    ...     X = da.from_array(np.array([[0.0], [1.0], [2.0], [3.0]]), chunks=(2, 1))
    ...     y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    ...     print(LossClassifier().fit(X, y).predict(X).compute())
    [0 0 1 1]
    """

    _plain = plain.LossClassifier
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **plain.LossClassifier._parameter_constraints,
        "solver": [SOLVERS],
    }

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LossClassifier:
        """Fit to all rows; an error leaves the estimator as it was.

        Parameters
        ----------
        X : dask array of shape (N, n_features) or dataframe
            Chunks of whole rows, dense or CSR.
        y : dask array of shape (N,), series, or (N, C) of 0 and 1 for a multilabel problem
        sample_weight : dask array or series of shape (N,), optional

        Returns
        -------
        LossClassifier
            Itself.
        """
        past = self._past()
        chunks, found = self._surveyed(X, y, sample_weight)
        classes = found.classes
        assert classes is not None
        one_of_each = np.vstack([np.eye(len(classes), dtype=int)] * 2) if found.several else classes
        self._find_classes(one_of_each, names=getattr(y, "columns", None) if found.several else None)
        progress = Progress(self, X, y, sample_weight, self.max_iter)
        self._fit_rows(self._rows_of(chunks, found), None, past, progress)
        return self

    def _weighted(self, rows: Any) -> Any:
        if isinstance(rows, LocalRows):
            return super()._weighted(rows)
        return rows.by_class(rows.plan._replace(plain=self._here(), weighted=True))

    def _score_chunks(self, chunks: Chunks) -> float:
        same, total = chunks.run(right, merged_sums, self._here())
        return float(same / total)

    def decision_function(self, X: Any) -> Any:
        """Scores; of a collection, a collection.

        Parameters
        ----------
        X : dask array or dataframe, or array-like of shape (N, n_features)

        Returns
        -------
        dask array, series or dataframe, or ndarray
        """
        return self._by_chunk("decision_function", X) if is_collection(X) else super().decision_function(X)

    def predict_top_k(self, X: Any, k: int = 5) -> Any:
        """The k classes of greatest scores, the greatest first; of a collection, a collection.

        Parameters
        ----------
        X : dask array or dataframe, or array-like of shape (N, n_features)
        k : int

        Returns
        -------
        dask array or dataframe, or ndarray
        """
        return self._by_chunk("predict_top_k", X, k) if is_collection(X) else super().predict_top_k(X, k)

    def _probabilities(self, X: Any, name: str) -> Any:
        return self._by_chunk(name, X) if is_collection(X) else getattr(self._here(), name)(X)

    @OnlyIf(why_no_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """Probabilities, as `lossext.sklearn.LossClassifier` has them; of a collection, a collection.

        Parameters
        ----------
        X : dask array or dataframe, or array-like of shape (N, n_features)

        Returns
        -------
        dask array or dataframe, or ndarray
        """
        return self._probabilities(X, "predict_proba")

    @OnlyIf(why_no_probabilities)
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of what `predict_proba` gives.

        Parameters
        ----------
        X : dask array or dataframe, or array-like of shape (N, n_features)

        Returns
        -------
        dask array or dataframe, or ndarray
        """
        return self._probabilities(X, "predict_log_proba")


class LossRegressor(OnDask, plain.LossRegressor):
    """`lossext.sklearn.LossRegressor` on dask arrays and dataframes, with the same optimum.

    See `LossClassifier` for what is done where.

    Parameters
    ----------
    loss, alpha, penalty, l1_ratio, fit_intercept, max_iter, tol, sort_quantiles, warm_start, verbose
        As of `lossext.sklearn.LossRegressor`.
    solver : {"auto", "newton", "newton-cg", "lbfgs"}
        As of `LossClassifier`.
    learning_rate, batch_size, early_stopping, validation_fraction, n_iter_no_change, random_state
        Of `partial_fit`, which takes arrays.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from lossext.dask import LossRegressor
    >>> with Client(n_workers=1, processes=False, dashboard_address=None) as client:
    ...     X = da.arange(100.0, chunks=25)[:, None]
    ...     print(LossRegressor("half_squared_error", alpha=0.0).fit(X, 2 * X[:, 0] + 1).coef_.round(6))
    [2.]
    """

    _plain = plain.LossRegressor
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **plain.LossRegressor._parameter_constraints,
        "solver": [SOLVERS],
    }

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LossRegressor:
        """Fit to all rows; an error leaves the estimator as it was.

        Parameters
        ----------
        X : dask array of shape (N, n_features) or dataframe
            Chunks of whole rows, dense or CSR.
        y : dask array of shape (N,) or (N, K), series or dataframe
        sample_weight : dask array or series of shape (N,), optional

        Returns
        -------
        LossRegressor
            Itself.
        """
        past = (self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None
        chunks, found = self._surveyed(X, y, sample_weight)
        rows = self._rows_of(chunks, found)
        some, model = self._sample(found, rows)
        rows.moments(model.fit_intercept)
        progress = Progress(self, X, y, sample_weight, self.max_iter)
        self._fit_rows(rows, some, model._replace(total=rows.total_weight()), None, past, progress)
        return self

    def _sample(self, found: Survey, rows: Rows) -> tuple[LocalRows, Any]:
        """Some rows' targets, and the model."""
        y = found.y
        assert y is not None
        nothing = np.empty((len(y), 0), rows.X.dtype)
        y = np.asarray(y, rows.X.dtype if y.dtype.kind == "f" else np.float64)
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        return self._prepare(nothing, y, found.weight)

    def _score_chunks(self, chunks: Chunks) -> float:
        """D² of all rows, from the losses of the model, of the best constant and of the targets themselves."""
        here = self._here()
        found: Survey = chunks.run(_work.survey, _work.merge_surveys, here, -(-SAMPLE // len(chunks)))
        chunks.settle([lengths[0] for lengths in found.lengths])
        refuse(chunks, found)
        rows = self._rows_of(chunks, found)
        some, model = self._sample(found, rows)
        columns = model.loss.columns(some.target, some.weight)
        width = self._spread(model.loss, some.target)
        constant = self._constants(model, columns, some, some.total_weight(), width)
        shape = (model.loss.n_columns, rows.X.shape[1])
        w, b = self.coef_.reshape(shape).T, np.reshape(self.intercept_, shape[:1])
        value = float(rows.sums(Point(model.loss, None, w, b))[0].sum())
        whole = float(rows.sums(Point(model.loss, None, np.zeros_like(w), np.asarray(constant)))[0].sum())
        least = chunks.run(_work.least, merged_sums, rows.plan)[0]
        value, whole = value - least, whole - least
        return float(1 - value / whole) if whole else float(value == 0)
