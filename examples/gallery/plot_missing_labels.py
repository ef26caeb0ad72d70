"""
Missing labels
==============

Half of the labels are not known. A mask, or NaN with ``missing="nan"``, leaves them out of value, gradient and mean. To
take them for "no" is what goes wrong elsewhere. Data: 1,797 digits (scikit-learn) with four questions for each.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

import lossext as lx

X, digit = load_digits(return_X_y=True)
X = np.column_stack([X / 16, np.ones(len(X))])
questions = {
    "even": digit % 2 == 0,
    "above 4": digit > 4,
    "round": np.isin(digit, [0, 6, 8, 9]),
    "prime": np.isin(digit, [2, 3, 5, 7]),
}
Y = np.column_stack(list(questions.values())).astype(float)
train, test = slice(0, 1200), slice(1200, None)

# %%
# A "yes" is known more often than a "no", as where people tick boxes.

rng = np.random.default_rng(0)
known = rng.random(Y.shape) < np.where(Y == 1, 0.4, 0.7)
target = np.where(known, Y, np.nan)
by_nan, by_mask = lx.BCEWithLogitsLoss(missing="nan"), lx.BCEWithLogitsLoss()
scores = rng.normal(size=Y.shape)
assert by_nan(scores, target) == by_mask(scores, Y, mask=known)

# %%


def fit(loss, target):
    def objective(flat):
        coef = flat.reshape(X.shape[1], -1)
        value, grad = loss.value_and_grad(X[train] @ coef, target[train])
        return value + 5e-4 * flat @ flat, (X[train].T @ grad).ravel() + 1e-3 * flat

    flat = minimize(objective, np.zeros(X.shape[1] * Y.shape[1]), jac=True, method="L-BFGS-B").x
    return X[test] @ flat.reshape(X.shape[1], -1)


fits = {
    "everything known": fit(by_mask, Y),
    "missing left out": fit(by_nan, target),
    "missing taken for no": fit(by_mask, np.nan_to_num(target)),
}
fig, ax = plt.subplots(figsize=(7, 3.5))
for shift, (name, raw) in enumerate(fits.items()):
    precision = average_precision_score(Y[test], raw, average=None)
    print(f"{name:22} log loss {by_mask(raw, Y[test]):.3f}, average precision", precision.round(3))
    ax.bar(
        np.arange(4) + 0.27 * shift, lx.BCEWithLogitsLoss(reduction="none")(raw, Y[test]).mean(axis=0), 0.25, label=name
    )
ax.set_xticks(np.arange(4) + 0.27, list(questions))
ax.set_ylabel("log loss on new digits")
ax.legend()
plt.show()
