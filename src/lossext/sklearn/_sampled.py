"""A softmax classifier for very many classes, trained on a sample of them in each step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from lossext._validate import Array
from lossext.losses import CrossEntropyLoss, SampledSoftmaxLoss, topk
from lossext.row_sparse import ProductSparse, RowSparse, block_of, product
from lossext.samplers import (
    AllSampler,
    FixedUnigramSampler,
    LearnedUnigramSampler,
    LogUniformSampler,
    SampledValues,
    UniformSampler,
)
from lossext.sklearn._base import Classifier, all_or_nothing, check_memory
from lossext.sklearn._predict import linear_scores
from lossext.sklearn._progress import Progress
from lossext.sklearn._rows import BLOCK, Rows, without_empty_columns

STEPS = 20  # minimum per pass over few rows: with fewer, the sampled loss stops falling before anything is learnt
LEAST_BATCH = 32
MANY = 3  # from a third of the classes on, processing all of them is faster than scattered ones
STATES = {"adagrad": ("squares",), "adam": ("mean", "squares"), "sgd": ()}  # arguments of RowSparse's methods


class SampledSoftmaxClassifier(ClassifierMixin, Classifier):  # type: ignore[misc]
    """Multinomial logistic regression for very many classes by sampled softmax.

    A step on a mini-batch updates only the rows of the coefficients for its labels and for `num_sampled` classes drawn
    for the whole batch; the loss corrects for the probability of drawing them. Time therefore does not depend on the
    number of classes V. Memory holds the coefficients (V, D), the state of the solver (as much again for adagrad, twice
    as much for adam) and some rows. Predictions are exact and computed in tiles. For sparse rows, a step updates only
    the features that occur in the batch; coefficients are then stored feature by feature (`coef_` is in Fortran order),
    and on most systems take memory only once their feature has occurred.

    Parameters
    ----------
    num_sampled : int
        Number of classes to draw for each mini-batch. If it is at least the number of classes, the softmax is exact.
    sampler : {"log_uniform", "uniform", "fixed_unigram", "learned_unigram"} or a sampler
        Distribution of the sampled classes. "log_uniform": Zipf's law over classes sorted by frequency; "uniform": all
        classes equally likely; "fixed_unigram": proportional to their frequency to the power of 0.75;
        "learned_unigram": proportional to their frequency among the rows so far. Frequencies are those in the y of
        `fit`, or of the first `partial_fit`. A sampler object with ``sample(labels, num_sampled)``, such as those of
        `lossext.samplers`, draws indices of `classes_`.
    solver : {"adagrad", "adam", "sgd"}
        Row-sparse updates; "adam" is lazy Adam, which leaves rows without a gradient unchanged.
    learning_rate : float, optional
        Default: 0.1 for adagrad, 0.01 for adam, 0.5 for sgd.
    batch_size : int
        Maximum number of rows per mini-batch; for few rows, `fit` uses mini-batches of a twentieth, but of at least 32
        rows.
    fit_intercept : bool
        Whether to fit intercepts.
    alpha : float
        Strength of the penalty ``alpha / 2 |w|^2`` relative to the mean loss; a step shrinks only the coefficients that
        it updates.
    max_iter : int
        Maximum number of passes over the rows.
    tol, n_iter_no_change : float, int
        Stop when `n_iter_no_change` consecutive passes do not lower the mean sampled loss (with early stopping: the
        loss of the validation rows) by `tol` times its value.
    early_stopping : bool
        Whether to hold out `validation_fraction` of the rows, and to return the coefficients with the lowest mean cross
        entropy on these, which is exact and computed in tiles.
    validation_fraction : float
        Between 0 and 1.
    warm_start : bool
        Whether `fit` starts from the coefficients of the previous fit.
    random_state : int, RandomState or None
        For the order of the rows and the sampled classes.
    verbose : int
        1: a line every 10 passes, with the elapsed time and an upper bound of the remaining time; 2: a line every pass.

    Attributes
    ----------
    classes_ : ndarray of shape (V,)
    coef_ : ndarray of shape (V, n_features)
        Of the dtype of X, float32 or float64.
    intercept_ : ndarray of shape (V,)
    n_iter_ : int
        Number of passes.
    loss_curve_ : list of float
        Mean sampled loss, measured during each pass.
    validation_curve_ : list of float
        Mean cross entropy of the validation rows after each pass; empty without such rows.
    n_features_in_ : int
    feature_names_in_ : ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from lossext.sklearn import SampledSoftmaxClassifier
    >>> rng = np.random.default_rng(0)
    >>> directions = rng.standard_normal((5000, 32)).astype(np.float32)
    >>> y = rng.integers(0, 5000, 20_000)
    >>> X = directions[y]
    >>> model = SampledSoftmaxClassifier(num_sampled=500, random_state=0).fit(X, y)
    >>> print(model.score(X, y) > 0.9, model.predict_top_k(X[:2], k=3).shape)
    True (2, 3)
    """

    _learning_rates: ClassVar[dict[str, float]] = {"adagrad": 0.1, "adam": 0.01, "sgd": 0.5}
    _counts: Array  # weight of the rows of each class

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Classifier._parameter_constraints,
        "num_sampled": [Interval(Integral, 1, None, closed="left")],
        "sampler": [StrOptions({"log_uniform", "uniform", "fixed_unigram", "learned_unigram"}), HasMethods("sample")],
        "solver": [StrOptions(set(STATES))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    _made_for: tuple[Any, ...]  # solver, num_sampled and sampler of the state that partial_fit goes on with

    def __init__(
        self,
        num_sampled: int = 1024,
        sampler: Any = "log_uniform",
        *,
        solver: str = "adagrad",
        learning_rate: float | None = None,
        batch_size: int = 512,
        fit_intercept: bool = True,
        alpha: float = 0.0,
        max_iter: int = 100,
        tol: float = 1e-2,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.num_sampled = num_sampled
        self.sampler = sampler
        self.solver = solver
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SampledSoftmaxClassifier:
        """Fit to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)
            float32 and float64 keep their dtype; a sparse matrix stays sparse.
        y : array-like of shape (N,)
            One class per row.
        sample_weight : array-like of shape (N,), optional
            Not negative. A row with weight 0 counts as absent.

        Returns
        -------
        SampledSoftmaxClassifier
            Itself.
        """
        past = self._past()
        X, y = self._validated(X, y, reset=True)
        self._find_classes(y)
        rows = self._rows(X, y, sample_weight)
        self._start(rows)
        self._check_totals(self._counts)
        if past is not None:
            classes, coef, intercept = past
            if not np.array_equal(classes, self.classes_) or coef.shape != self.coef_.shape:
                raise ValueError(
                    f"warm_start=True goes on from {coef.shape[1]} features and {len(classes)} classes; X and "
                    f"y have {X.shape[1]} and {len(self.classes_)}, or other ones"
                )
            self.coef_[...], self.intercept_[...] = coef, intercept

        progress = Progress(self, X, y, sample_weight, self.max_iter)
        self.loss_curve_ = progress.curve
        self.validation_curve_: list[float] = []
        watched: Rows | None = None
        if self.early_stopping:  # classes of one row can be on either side
            ids, share = np.arange(rows.X.shape[0]), self.validation_fraction
            fitted, kept = train_test_split(ids, test_size=share, random_state=self.random_state)
            rows, watched = rows.take(fitted), rows.take(kept)
        scale = rows.X.shape[0] / rows.total_weight()
        best: dict[str, Any] = {}

        def one_pass() -> dict[str, float]:
            loss = self._pass(rows, scale, min(self.batch_size, max(LEAST_BATCH, rows.X.shape[0] // STEPS)))
            if watched is None:
                return {"loss": loss}
            self.validation_curve_.append(self._cross_entropy(watched))
            return {"loss": loss, "validation_loss": self.validation_curve_[-1]}

        def improved() -> None:
            if watched is not None:
                best.update(self._attributes())

        end = self._passes(one_pass, progress, self._attributes, improved)
        self.__dict__.update(best)
        if end == "reached max_iter":
            self._warn(
                f"{self.solver} reached max_iter={self.max_iter} passes while the loss still fell: mean sampled loss "
                f"{self.loss_curve_[-1]:.6g}, in the pass before {self.loss_curve_[-2:][0]:.6g}. Raise max_iter or "
                f"tol={self.tol:g}, or change learning_rate={self._rate():g}."
            )
        progress.close()
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> SampledSoftmaxClassifier:
        """One pass over some rows, from the coefficients so far.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; but weights scale the steps, and rows of weight 0 change nothing.
        classes : array-like of shape (V,)
            All the classes there will be, in the first call.

        Returns
        -------
        SampledSoftmaxClassifier
            Itself.
        """
        X, y, first = self._begin_partial_fit(X, y, classes)
        rows = self._rows(X, y, sample_weight, may_be_empty=True)
        if first:
            self._start(rows)
        elif self._made_for != (self.solver, self.num_sampled, self.sampler):  # others from here on
            if self._made_for[0] != self.solver:
                self._new_state()
            if self._made_for[1:] != (self.num_sampled, self.sampler):
                self._sampler = self._make_sampler(len(self.classes_), int(self._random.randint(2**31)))
            self._made_for = (self.solver, self.num_sampled, self.sampler)
        self._prepare(X)
        if rows.X.shape[0]:
            self._pass(rows, 1.0, self.batch_size)
        self.n_iter_ += 1
        return self

    def decision_function(self, X: Any) -> Array:
        """Logits (N, V); for two classes (N,), of the second against the first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray
        """
        X = self._checked(X)
        scores: Array = linear_scores(X, self.coef_, self.intercept_)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row, without the matrix of all logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N,)
        """
        return self.predict_top_k(X, 1)[:, 0]

    def predict_top_k(self, X: Any, k: int = 5) -> Array:
        """The k likeliest classes of each row, the likeliest first, without the matrix of all logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)
        k : int
            At least 1, at most the number of classes.

        Returns
        -------
        ndarray of shape (N, k)
        """
        X = self._checked(X)
        if sparse.issparse(X):
            return np.asarray(self.classes_[np.concatenate([self._top_of_sparse(rows, k) for rows in self._tiles(X)])])
        ids = [topk(self.coef_, self.intercept_, block.X, k)[1] for block in Rows(X, X, None).blocks(X.shape[1])]
        return np.asarray(self.classes_[np.concatenate(ids)])

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of all classes; beside the result, only a tile of rows is computed at a time.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N, V)
        """
        log_proba = self.predict_log_proba(X)
        return np.exp(log_proba, out=log_proba)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of what `predict_proba` gives.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (N, n_features)

        Returns
        -------
        ndarray of shape (N, V)
        """
        X = self._checked(X)
        out = np.empty((X.shape[0], len(self.classes_)), np.result_type(X.dtype, self.coef_.dtype))
        for rows in gen_batches(X.shape[0], max(1, BLOCK // len(self.classes_))):
            out[rows] = log_softmax(linear_scores(X[rows], self.coef_, self.intercept_), axis=1)
        return out

    def _cross_entropy(self, rows: Rows) -> float:
        """Mean cross entropy of all classes."""
        total = 0.0
        for block in rows.blocks(len(self.classes_)):
            logs = log_softmax(linear_scores(block.X, self.coef_, self.intercept_), axis=1)
            own = -logs[np.arange(len(logs)), block.target].astype(np.float64)
            total += float(own.sum() if block.weight is None else own @ block.weight)
        return total / rows.total_weight()

    def _tiles(self, X: Any) -> Any:
        """A few rows at a time, whose logits fit in the cache."""
        return (X[rows] for rows in gen_batches(X.shape[0], max(1, BLOCK // len(self.classes_))))

    def _top_of_sparse(self, X: Any, k: int) -> Array:
        if not 1 <= k <= len(self.classes_):
            raise ValueError(f"k = {k} is not in [1, {len(self.classes_)}]")
        scores = linear_scores(X, self.coef_, self.intercept_)
        few = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(scores, few, axis=1), axis=1, kind="stable")
        return np.take_along_axis(few, order, axis=1)

    def _start(self, rows: Rows) -> None:
        """Coefficients of 0, and a sampler for classes sorted by their frequency in `rows`."""
        n_classes = len(self.classes_)
        check_memory(1 + len(STATES[self.solver]), (n_classes, rows.X.shape[1]), rows.X.dtype, self.solver)
        self.coef_ = np.zeros((n_classes, rows.X.shape[1]), rows.X.dtype, order_for(rows.X))
        self.intercept_ = np.zeros(n_classes, rows.X.dtype)
        self._new_state()
        self._random = check_random_state(self.random_state)
        self._counts, _ = rows.counts(n_classes)
        self._by_frequency = np.argsort(-self._counts, kind="stable")
        self._rank = np.empty_like(self._by_frequency)
        self._rank[self._by_frequency] = np.arange(n_classes)
        self._sampler = self._make_sampler(n_classes, int(self._random.randint(2**31)))
        self._made_for = (self.solver, self.num_sampled, self.sampler)

    def _new_state(self) -> None:
        """What the solver remembers of the steps so far: nothing."""
        self._state = {
            f"{name}_of_{of}": np.zeros_like(array)
            for name in STATES[self.solver]
            for of, array in (("coef", self.coef_), ("intercept", self.intercept_))
        }
        self._n_steps = 0

    def _prepare(self, X: Any) -> None:
        """Copies of what is memory-mapped for reading, or laid out for other features."""

        def ready(part: Array) -> Array:
            part = np.asarray(part, order=order_for(X) if part.ndim == 2 else "C")
            return part if part.flags.writeable else part.copy(order="K")

        self.coef_, self.intercept_ = ready(self.coef_), ready(self.intercept_)
        self._state = {name: ready(part) for name, part in self._state.items()}

    def _make_sampler(self, n_classes: int, seed: int) -> Any:
        if self.num_sampled >= n_classes:
            return AllSampler(n_classes)
        if not isinstance(self.sampler, str):
            if getattr(self.sampler, "num_classes", n_classes) != n_classes:
                raise ValueError(f"sampler has {self.sampler.num_classes} classes; y has {n_classes}")
            return copy.deepcopy(self.sampler)  # whose state is the caller's
        if self.sampler == "fixed_unigram":  # classes that come later are to be drawn too
            counts = np.maximum(self._counts[self._by_frequency], 1)
            return FixedUnigramSampler(counts, distortion=0.75, seed=seed)
        if self.sampler == "log_uniform":
            log_uniform = LogUniformSampler(n_classes, seed=seed)
            log_uniform._warned = True  # of classes that are not sorted: these are, however flat their frequencies
            return log_uniform
        return (UniformSampler if self.sampler == "uniform" else LearnedUnigramSampler)(n_classes, seed=seed)

    def _draw(self, labels: Array) -> SampledValues:
        """Sampled classes, which the sampler knows by their rank."""
        values = self._sampler.sample(self._rank[labels], min(self.num_sampled, len(self.classes_)))
        return SampledValues(self._by_frequency[np.asarray(values[0])], values[1], values[2])

    def _pass(self, rows: Rows, scale: float, batch_size: int) -> float:
        """One pass by mini-batches; the mean sampled loss on the way."""
        n_rows, n_classes = rows.X.shape[0], len(self.classes_)
        loss = SampledSoftmaxLoss(min(self.num_sampled, n_classes), n_classes, reduction="sum")
        total = 0.0
        for batch in rows.batches(batch_size, self._random):
            drawn = self._draw(batch.target)
            self._n_steps += 1
            if sparse.issparse(batch.X):
                total += self._sparse_step(batch, drawn, scale)
                continue
            value, grad = loss.value_and_grad(
                self.coef_,
                self.intercept_,
                batch.target,
                batch.X.astype(self.coef_.dtype, copy=False),
                sampled_values=drawn,
                sample_weight=batch.weight,
                grad_output=scale / batch.X.shape[0],
            )
            self._check_finite(value, grad.weights.values, grad.biases.values)
            total += float(value)
            weights = grad.weights
            if self.alpha:
                weights.values += self.alpha * self.coef_[weights.indices]
            self._step(weights, self.coef_, "coef")
            if self.fit_intercept:
                self._step(grad.biases, self.intercept_, "intercept")
        return float(scale * total / n_rows)

    def _sparse_step(self, batch: Rows, drawn: SampledValues, scale: float) -> float:
        """A step on the classes and the features that a batch has.

        The loss is the cross entropy of the scores ``x . W_j + b_j - log E_j``, in which each row has its own class
        and the sampled ones; a class drawn repeatedly has ``log sum_s 1 / E_s`` in the place of ``- log E_j``.
        """
        dtype, n_classes, n_rows = self.coef_.dtype, len(self.classes_), batch.X.shape[0]
        ids = np.unique(np.concatenate((batch.target, drawn[0])))
        if MANY * len(ids) >= n_classes and self.solver != "adam" and not self.alpha:
            ids = np.arange(n_classes)  # a step of 0 changes nothing
        columns = None if len(ids) == n_classes else ids
        own = np.arange(n_rows), np.searchsorted(ids, batch.target)
        X = batch.X.astype(dtype, copy=False)
        features, few = without_empty_columns(X)
        coef = self.coef_.T  # (D, V): a feature's numbers lie side by side
        scores = product(X, coef) if columns is None else product(few, block_of(coef, features, columns))
        own_scores = scores[own] + self.intercept_[batch.target] - np.log(np.ravel(drawn[1])).astype(dtype)
        share = np.bincount(np.searchsorted(ids, drawn[0]), 1 / np.asarray(drawn[2], np.float64), len(ids))
        log_share = np.log(share, out=np.full(len(ids), -np.inf), where=share > 0)  # others are but rows' own classes
        scores += (self.intercept_[ids] + log_share).astype(dtype)
        scores[own] = own_scores
        value, slope = CrossEntropyLoss(reduction="sum").value_and_grad(
            scores, own[1], sample_weight=batch.weight, grad_output=scale / n_rows
        )
        total = slope.sum(axis=0)
        self._check_finite(value, total, np.abs(few.data).max(initial=0) * np.abs(slope).sum(axis=0))
        grad = ProductSparse.of(features, columns, few.T.tocsr(), slope, self.alpha, coef.shape)
        self._step(grad, coef, "coef")
        if self.fit_intercept:
            ids.setflags(write=False)
            self._step(RowSparse.of_unique(ids, total, self.intercept_.shape), self.intercept_, "intercept")
        return float(value)

    def _check_finite(self, *parts: Any) -> None:
        """ValueError where the coefficients run away."""
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError(
                f"{self.solver} diverged: the loss or its gradient is not finite. Scale the features (StandardScaler, "
                f"MaxAbsScaler) or lower learning_rate={self._rate():g}"
            )

    def _step(self, grad: RowSparse, parameters: Array, of: str) -> None:
        """One update, in place, of what has a gradient."""
        state: dict[str, Any] = {name: self._state[f"{name}_of_{of}"] for name in STATES[self.solver]}
        if isinstance(grad, ProductSparse):
            state = {name: part.T for name, part in state.items()}
        update: Callable[..., None] = getattr(grad, self.solver)
        step = {"step": self._n_steps} if self.solver == "adam" else {}
        update(parameters, **state, **step, learning_rate=self._rate())

    def _attributes(self) -> dict[str, Any]:
        return {"coef_": self.coef_.copy(order="K"), "intercept_": self.intercept_.copy()}


def order_for(X: Any) -> Any:
    """How coefficients (V, D) lie: in the order of the classes, or, for sparse rows, of the features."""
    return "F" if sparse.issparse(X) else "C"
