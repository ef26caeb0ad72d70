"""
Many labels for a text
======================

Which parameters does a function have? The text is what its documentation says before it lists them; the labels are the
names of frequent parameters, several a text. All labels are fitted in one pass. Data: docstrings of NumPy and SciPy.
"""

import importlib
import inspect
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

import lossext as lx
from lossext.sklearn import LossClassifier

LABELS = ["axis", "out", "dtype", "keepdims", "nan_policy", "size", "mode", "where"]
MODULES = ["numpy", "numpy.linalg", "numpy.fft", "numpy.ma", "numpy.random"]
MODULES += [f"scipy.{part}" for part in ("linalg", "special", "stats", "signal", "ndimage", "optimize", "sparse")]

# %%
# Texts and labels: the summary goes into the text, the list of parameters into the labels.

texts, names = [], []
warnings.simplefilter("ignore")
for module in map(importlib.import_module, MODULES):
    for name, thing in vars(module).items():
        text, found, rest = (inspect.getdoc(thing) or "").partition("Parameters\n----------\n")
        if found and callable(thing) and not inspect.isclass(thing) and not name.startswith("_") and text not in texts:
            parameters = re.findall(r"^([\w, ]+) : ", rest.partition("\n-----")[0], re.MULTILINE)
            texts.append(text)
            names.append({part.strip() for line in parameters for part in line.split(",")})
Y = np.array([[label in of_one for label in LABELS] for of_one in names]).astype(int)
print(f"{len(texts)} functions, {Y.sum(axis=1).mean():.2f} of the {len(LABELS)} labels each")

# %%
X = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit_transform(texts)
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.3, random_state=0)
scores = {}
for name, loss in {
    "multilabel soft margin": lx.MultiLabelSoftMarginLoss(),
    "the same, balanced": lx.MultiLabelSoftMarginLoss(weight=1 / Y_train.mean(axis=0)),
    "asymmetric": lx.AsymmetricLoss(),
}.items():
    model = LossClassifier(loss, alpha=1e-4).fit(X_train, Y_train)
    scores[name] = average_precision_score(Y_test, model.decision_function(X_test), average=None)
    print(f"{name:24} mean average precision {scores[name].mean():.3f}")

# %%
fig, ax = plt.subplots(figsize=(8, 3.5))
for shift, (name, precision) in enumerate(scores.items()):
    ax.bar(np.arange(len(LABELS)) + 0.27 * shift, precision, 0.25, label=name)
ax.plot(np.arange(len(LABELS)) + 0.27, Y_test.mean(axis=0), "k_", markersize=25, label="share of the label")
ax.set_xticks(np.arange(len(LABELS)) + 0.27, LABELS)
ax.set_ylabel("average precision")
ax.legend(fontsize=8)
plt.show()
