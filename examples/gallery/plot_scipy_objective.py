"""
Any loss in scipy.optimize
==========================

``scipy_objective`` makes value, gradient and the Hessian's product with a vector of a linear model's loss: what
``scipy.optimize.minimize`` takes. Data: chemistry of 178 wines of three growers (scikit-learn).
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

import lossext as lx

X, grower = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)
y = grower[:, None] == np.arange(3)  # one column a grower

# %%
objective = lx.scipy_objective(lx.BCEWithLogitsLoss(), X, y, alpha=1e-3)
curves = {}
for method in ("CG", "L-BFGS-B", "Newton-CG"):
    curve = curves[method] = []
    more = {"hessp": objective.hessp} if method == "Newton-CG" else {}
    result = minimize(
        objective,
        np.zeros(objective.size),
        jac=True,
        method=method,
        callback=lambda w, curve=curve: curve.append(objective(w)[0]),
        **more,
    )
    print(f"{method:10} {result.nit:3} iterations, {result.nfev:3} evaluations, value {result.fun:.6f}")
coef, intercept = objective.unpack(result.x)
print(f"right growers: {((X @ coef + intercept).argmax(axis=1) == grower).mean():.1%}")

# %%
fig, ax = plt.subplots(figsize=(7, 4))
for method, curve in curves.items():
    ax.semilogy(np.array(curve) - result.fun + 1e-9, label=method)
ax.set(xlabel="iteration", ylabel="value over the least")
ax.legend()
plt.show()
