"""
One's own loss, checked and boosted
===================================

Two NumPy functions, the value and its derivative, make a loss object: ``custom_loss`` tries one against the other, and
estimators, adapters and scorers take it. ``check_objective`` finds what is usually wrong in a hand-written objective.
Data: progress of diabetes in 442 patients (scikit-learn), some of it written down wrongly by us.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_predict

import lossext as lx
from lossext.boosting import LGBMRegressor

# %%
# Cauchy's loss hardly minds outliers: its slope goes back to 0 far away.

SCALE = 50.0


def cauchy(raw, target):
    return SCALE**2 / 2 * np.log1p(((raw - target) / SCALE) ** 2)


def slope(raw, target):
    d = raw - target
    return d / (1 + (d / SCALE) ** 2)


def curvature(raw, target):
    return 1 / (1 + ((raw - target) / SCALE) ** 2)  # of a parabola above the loss: never negative


loss = lx.custom_loss(cauchy, slope, curvature, target="real")

# %%
# A derivative that is wrong is refused when the loss is made.

try:
    lx.custom_loss(cauchy, lambda raw, target: target - raw, target="real")
except ValueError as error:
    print(error)

# %%
# An objective written by hand for LightGBM, with the sign the wrong way round:


def objective(y, raw):
    return slope(y, raw), curvature(raw, y)


print(lx.check_objective(objective, value=lambda y, raw: cauchy(raw, y), target="real"))

# %%
# Every tenth outcome is ten times too large.

X, y = load_diabetes(return_X_y=True)
written = np.where(np.arange(len(y)) % 10 == 0, 10 * y, y)
trees = {"n_estimators": 60, "num_leaves": 7, "n_jobs": 1, "verbose": -1}
predicted = {
    "squared error": cross_val_predict(LGBMRegressor(loss=lx.HalfSquaredErrorLoss(), **trees), X, written, cv=5),
    "Cauchy": cross_val_predict(LGBMRegressor(loss=loss, **trees), X, written, cv=5),
}
fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for ax, (name, p) in zip(axes, predicted.items(), strict=True):
    print(f"{name:14} mean error against the true outcomes {np.abs(p - y).mean():.1f}")
    ax.plot(y, p, ".")
    ax.plot([0, 350], [0, 350], "k:")
    ax.set(title=name, xlabel="true outcome", ylabel="predicted", ylim=(0, 600))
plt.show()
