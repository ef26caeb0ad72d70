"""
Focal loss against weighted BCE in LightGBM
===========================================

One digit of ten is an 8: a rare class. LightGBM fits it with binary cross entropy, with the focal loss, and with
``pos_weight``. The order of the scores hardly changes; the probabilities do. Data: 1,797 digits of 8 x 8 pixels
(scikit-learn).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import cross_val_predict

import lossext as lx
from lossext.boosting import LGBMClassifier

X, digit = load_digits(return_X_y=True)
y = (digit == 8).astype(int)
losses = {
    "binary cross entropy": lx.BCEWithLogitsLoss(),
    "focal, gamma = 2": lx.SigmoidFocalLoss(gamma=2.0),
    "pos_weight = 9": lx.BCEWithLogitsLoss(pos_weight=9.0),
}

# %%
# ``LGBMClassifier`` starts at the constant that minimises the loss, and its ``predict_proba`` is that of its link.

probabilities = {}
for name, loss in losses.items():
    model = LGBMClassifier(loss=loss, n_estimators=40, num_leaves=7, n_jobs=1, verbose=-1)
    p = probabilities[name] = cross_val_predict(model, X, y, cv=4, method="predict_proba")[:, 1]
    print(f"{name:22} average precision {average_precision_score(y, p):.3f}   log loss {log_loss(y, p):.3f}", end="   ")
    print(f"mean probability {p.mean():.3f} (share of eights {y.mean():.3f})")

# %%
# The focal loss cares little for what is predicted well: its probabilities keep away from 0 and 1. ``pos_weight`` moves
# all of them up. Where probabilities count, take binary cross entropy, or calibrate.

fig, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True)
bins = np.linspace(0, 1, 26)
for ax, (name, p) in zip(axes, probabilities.items(), strict=True):
    ax.hist([p[y == 0], p[y == 1]], bins, stacked=True, log=True, label=["others", "eights"])
    ax.set(title=name, xlabel="predicted probability of an 8")
axes[0].set_ylabel("digits")
axes[0].legend()
plt.show()
