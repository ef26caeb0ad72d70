"""
Calibration after pos_weight
============================

``pos_weight`` finds more of a rare class, and overstates its probability. Subtracting ``log(pos_weight)`` from the
logits undoes that. Data: one digit against the nine others, 1,797 images (scikit-learn).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lossext as lx
from lossext.sklearn import LossClassifier

X, digit = load_digits(return_X_y=True)
X, y = X[:, 20:40], (digit == 8).astype(int)  # a few rows of pixels: not too easy
pos_weight = lx.balanced_pos_weight(y[:, None])[0]
print(f"one 8 in {1 + pos_weight:.1f} digits: pos_weight = {pos_weight:.2f}")

# %%


def logits(loss):
    model = make_pipeline(StandardScaler(), LossClassifier(loss, alpha=1e-3))
    return cross_val_predict(model, X, y, cv=5, method="decision_function")


plain = logits(lx.BCEWithLogitsLoss())
weighted = logits(lx.BCEWithLogitsLoss(pos_weight=pos_weight))
found = {"plain": plain, "pos_weight": weighted, "pos_weight, undone": weighted - np.log(pos_weight)}
inverse_link = lx.BCEWithLogitsLoss().inverse_link
for name, raw in found.items():
    p = inverse_link(raw)
    print(
        f"{name:20} mean probability {p.mean():.3f}, log loss {lx.binary_cross_entropy_with_logits(raw, y):.4f}", end=""
    )
    print(f", eights found at 1/2: {(raw[y == 1] > 0).mean():.0%}")

# %%
fig, ax = plt.subplots(figsize=(6, 5))
for name, raw in found.items():
    p = inverse_link(raw)
    group = np.digitize(p, np.quantile(p, np.linspace(0, 1, 11))[1:-1])
    ax.plot([p[group == g].mean() for g in range(10)], [y[group == g].mean() for g in range(10)], "o-", label=name)
ax.plot([0, 1], [0, 1], "k:", label="calibrated")
ax.set(xlabel="predicted probability of an 8, in ten groups", ylabel="share of eights")
ax.legend()
plt.show()
