"""
Robust regression
=================

Twenty men of a fitness club: how many jumps go with how many sit-ups? A few men jump far more than the others. The
squared error follows them, Huber's loss and the absolute error do not. Data: Linnerud's exercises (scikit-learn).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_linnerud

import lossext as lx
from lossext.sklearn import LossRegressor

exercises = load_linnerud().data
situps, jumps = exercises[:, 1:2], exercises[:, 2]

# %%
# What each loss does with a residual: the slope is how hard a point pulls at the line.

losses = {
    "squared error": lx.HalfSquaredErrorLoss(),
    "Huber, delta = 10": lx.HuberLoss(delta=10.0),
    "absolute error": lx.L1Loss(),
}
residual = np.linspace(-40, 40, 201)
grid = np.linspace(situps.min(), situps.max(), 50)[:, None]
typical = np.argsort(jumps)[:15]  # without the five who jump most
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
right.plot(situps, jumps, "k.")
for name, loss in losses.items():
    left.plot(residual, loss.grad(residual, np.zeros_like(residual)) * residual.size, label=name)
    model = LossRegressor(loss, alpha=0.0).fit(situps, jumps)
    right.plot(grid, model.predict(grid), label=name)
    error = np.abs(model.predict(situps) - jumps)[typical]
    print(f"{name:18} {model.coef_.item():.2f} jumps a sit-up, error of typical men {error.mean():.1f} jumps")
left.set(xlabel="residual", ylabel="slope of the loss", ylim=(-42, 42))
right.set(xlabel="sit-ups", ylabel="jumps")
right.legend()
plt.show()
