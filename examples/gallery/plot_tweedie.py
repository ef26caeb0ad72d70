"""
Tweedie: amounts that are often zero
====================================

How much ink is in a pixel, given the others? Often none at all, else some amount: the shape of insurance claims and of
rainfall. The Tweedie deviance with a power between 1 and 2 is made for it; its mean is positive, and its variance grows
with the mean. Data: 1,797 digits of 8 x 8 pixels (scikit-learn), ink from 0 to 16.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict

import lossext as lx
from lossext.boosting import LGBMRegressor

images = load_digits().data
pixel = 8 * 2 + 5
X, y = np.delete(images, pixel, axis=1), images[:, pixel]
print(f"no ink in {np.mean(y == 0):.0%} of the images, {y[y > 0].mean():.1f} on average in the others")

# %%
trees = {"n_estimators": 60, "num_leaves": 7, "n_jobs": 1, "verbose": -1}
powers = [1.1, 1.5]
models = {f"power {power}": LGBMRegressor(loss=lx.HalfTweedieLoss(power=power), **trees) for power in powers}
models["squared error"] = LGBMRegressor(loss=lx.HalfSquaredErrorLoss(), **trees)
mean = {name: cross_val_predict(model, X, y, cv=4) for name, model in models.items()}
for name, m in mean.items():
    print(f"{name:14} least mean {m.min():6.2f}, squared error {np.mean((m - y) ** 2):.2f}")

# %%
# The squared error predicts negative amounts, which the deviance cannot. Which fit is best depends on what judges:

for power in powers:
    deviance = lx.HalfTweedieLoss(power=power)
    values = [f"{name} {deviance(np.log(m.clip(1e-3)), y):.3f}" for name, m in mean.items()]
    print(f"deviance of power {power}:", ", ".join(values))

# %%
fig, ax = plt.subplots(figsize=(7, 4))
for name, m in mean.items():
    edges = np.quantile(m, np.linspace(0, 1, 16))
    group = np.digitize(m, edges[1:-1])
    centres = [m[group == g].mean() for g in np.unique(group)]
    ax.plot(centres, [y[group == g].mean() for g in np.unique(group)], "o-", label=name, alpha=0.7)
ax.plot([0, 16], [0, 16], "k:", label="calibrated")
ax.set(xlabel="predicted mean, in 15 groups", ylabel="mean ink")
ax.legend()
plt.show()
