"""Hinges of sparse features, by the dual coordinate descent of liblinear (Hsieh et al. 2008) in scikit-learn.

Where features are many a hinge's minimum lies on kinks by the thousand, which liblinear meets exactly, row by row.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from lossext.sklearn import _losses
from lossext.sklearn._scores import ScoreLoss
from lossext.sklearn._solve import Fit, Task

# liblinear penalises an intercept: in a unit of so many lengths of a row, hardly (on text 1e-5 of the objective); its
# passes grow with the square
FAR = 2.0
PASSES = 10  # of liblinear's, which leave ever more rows out, are an iteration
SHARPER = 0.1  # of the tolerance is liblinear's, where there is no such penalty to limit what it is good for


def fits(loss: ScoreLoss, X: Any, fit_intercept: bool) -> bool:
    """Whether the loss is liblinear's hinge, ``max(0, margin - y x)^p``, but for a scale, and its numbers can count X.

    Its penalty of an intercept is worth it for p = 1 alone: for p = 2 Newton's method gets to the minimum.
    """
    if loss.loss.declaration.function != "hinge_loss" or X.nnz >= 1 << 31:
        return False
    own = _losses.parameters_of(loss.loss)
    return bool(own["margin"] > 0 and not (own["p"] == 2 and fit_intercept))


def as_liblinear_reads(X: Any) -> Any:
    """CSR of float64 with short indices; what is so already is not copied."""
    where = (part.astype(np.int32, copy=False) for part in (X.indices, X.indptr))
    parts = (X.data.astype(np.float64, copy=False), *where)
    return sparse.csr_array(parts, shape=X.shape, copy=False)


def hinges(task: Task) -> Fit:
    """Minimise column by column; the tolerance is liblinear's own."""
    model, rows, max_iter = task.model, task.rows, task.max_iter
    loss = model.loss
    dtype, X = rows.X.dtype, as_liblinear_reads(rows.X)
    margin, p = (_losses.parameters_of(loss.loss)[name] for name in ("margin", "p"))
    coef = np.zeros((loss.n_columns, X.shape[1]), dtype)
    intercept = np.zeros(loss.n_columns, dtype)
    unit = FAR * np.sqrt(max(float(X.multiply(X).sum()) / X.shape[0], np.finfo(float).tiny))
    value, n_iter, settled, stopped = 0.0, 0, True, False
    for c in range(loss.n_columns):
        columns = loss.columns(rows.target, rows.weight, c, c + 1)
        y = columns.target[:, 0]
        weight = np.ones(1) if columns.weight is None else columns.weight[:, 0].astype(np.float64)
        weight = np.broadcast_to(weight, y.shape)
        features, known = X, y[weight > 0]
        one_class = not known.size or bool((known == known[0]).all())
        if one_class and (model.fit_intercept or not known.size):
            intercept[c] = margin * known[0] if known.size else 0
        else:
            if one_class:  # liblinear wants two: a row without features changes nothing
                features = sparse.vstack((X, sparse.csr_array((1, X.shape[1]))), format="csr")
                y, weight = np.append(y, -known[0]), np.append(weight, 1.0)
            solver = LinearSVC(
                loss="hinge" if p == 1 else "squared_hinge",
                dual=True,
                C=1 / (model.alpha * model.total * margin ** (2 - p)),  # of coefficients over the margin
                tol=task.tol * (1 if model.fit_intercept else SHARPER),
                max_iter=PASSES * max_iter,
                fit_intercept=model.fit_intercept,
                intercept_scaling=unit,
                random_state=0,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                solver.fit(features, y, sample_weight=weight)
            coef[c] = margin * solver.coef_[0]
            if model.fit_intercept:
                intercept[c] = margin * solver.intercept_[0]
            n_iter = max(n_iter, int(solver.n_iter_))
            settled &= solver.n_iter_ < PASSES * max_iter
        scores = (X @ coef[c] + intercept[c])[:, np.newaxis]
        value += float(loss.evaluate(scores, columns)[0].sum()) / model.total
        value += 0.5 * model.alpha * float(coef[c].astype(np.float64) @ coef[c])
        stopped = task.report(lambda: (coef.copy(), intercept.copy()), value)
        if stopped:
            break
    return Fit(coef, intercept, value, 0.0 if settled else np.nan, n_iter, settled or stopped)
