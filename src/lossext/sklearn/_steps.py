"""Steps on a few rows at a time: averaged gradient descent and Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from lossext._validate import Array
from lossext.sklearn._features import product
from lossext.sklearn._rows import Rows
from lossext.sklearn._solve import Model

LEARNING_RATE = {"adam": 0.01, "sgd": 0.5}
DECAY = (0.9, 0.999)  # of Adam's two averages, as in Kingma and Ba (2014)
ROWS_OF_A_STEP = 256
STATES = {"adam": ("mean", "square"), "sgd": ("square", "average")}


class Steps:
    """Coefficients (D + 1, C), the intercepts last, and what a solver remembers; plain arrays, to be pickled.

    "sgd" is Adagrad with steps in the units of each feature (Ross, Mineiro and Langford, 2013), whose result is the
    average of the coefficients on the way. It touches the columns that a batch holds: the penalty shrinks one common
    factor of the coefficients, and the average is kept as the sum of what was added to them (Bottou, 2012).
    """

    def __init__(self, solver: str, coef: Array, intercept: Array) -> None:
        self.solver = solver
        self.n_steps = 0
        self.parameters = np.vstack((coef.T, intercept[np.newaxis]))
        zeros = np.zeros_like(self.parameters)
        self.state = {name: zeros.copy() for name in STATES[solver]}
        if solver == "sgd":
            self.size = np.zeros(len(self.parameters), self.parameters.dtype)
            self.length = 0.0
            self.factor, self.weight_of_added, self.weight_of_average = 1.0, 0.0, 0.0
