"""
Quantile intervals: how sure is a prediction?
=============================================

Quantile regression by the pinball loss, at the levels 0.05, 0.5 and 0.95, makes LightGBM predict intervals that should
hold nine of ten outcomes. Data: progress of diabetes in 442 patients (scikit-learn).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_predict

import lossext as lx
from lossext.boosting import LGBMRegressor

X, y = load_diabetes(return_X_y=True)
levels = [0.05, 0.5, 0.95]
trees = {"n_estimators": 60, "num_leaves": 7, "learning_rate": 0.05, "n_jobs": 1, "verbose": -1}

# %%
# One model a level, predicted on folds that it has not seen.

models = [LGBMRegressor(loss=lx.PinballLoss(quantile=level), **trees) for level in levels]
predicted = np.column_stack([cross_val_predict(model, X, y, cv=5) for model in models])
low, middle, high = np.sort(predicted, axis=1).T  # levels fitted apart can cross
inside = ((y >= low) & (y <= high)).mean()
print(f"{inside:.0%} of the outcomes lie inside an interval of 90 %")

# %%
# The loss takes all levels at once, for one target per row.

losses = lx.PinballLoss(quantile=levels, reduction="none")(predicted, y)
print("mean pinball loss at each level:", losses.mean(axis=0).round(2))

# %%
order = np.argsort(middle)
fig, ax = plt.subplots(figsize=(8, 4))
ax.fill_between(np.arange(len(y)), low[order], high[order], alpha=0.3, label="5 % to 95 %")
ax.plot(middle[order], label="median")
ax.plot(y[order], ".", markersize=3, label="outcome")
ax.set(xlabel="patients, by predicted median", ylabel="progress of the disease")
ax.legend()
plt.show()
