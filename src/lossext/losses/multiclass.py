"""Losses for multiclass classification."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt

from lossext import _start, _threads, _validate
from lossext._declare import CLASS, REAL, SOFTMAX, Link, function_of
from lossext._kernels import drivers
from lossext._parameters import above, an_integer, at_least, once, one_of, parameter, real, weights, within, word
from lossext._validate import Array
from lossext.losses._dense import REDUCTIONS, RowLoss

__all__ = [
    "CrossEntropyLoss",
    "MultiMarginLoss",
    "MulticlassHingeLoss",
    "NLLLoss",
    "SoftmaxFocalLoss",
    "cross_entropy",
    "multi_margin_loss",
    "multiclass_hinge_loss",
    "nll_loss",
    "softmax_focal_loss",
]

IGNORED = (
    "Rows with this class id are ignored: their scores are not read, their derivatives are 0, no mean counts them."
)


class CrossEntropyLoss(
    RowLoss,
    kernel="cross_entropy",
    soft_kernel="soft_cross_entropy",
    product_kernel="softmax_hessian",
    function="cross_entropy",
    target=CLASS,
    ranks=None,
    link=SOFTMAX,
    start=_start.at_log_shares,
    divides_by_class_weight=True,
    curvatures=("exact", "residual"),
    value_ulp=3.0,
    grad_ulp=3.0,
    derivatives_by_row=True,
    cost=0.35,
    cost_of_row=4.0,
):
    r"""Cross entropy of the softmax of scores, for class ids or probabilities as targets.

    For a row of scores :math:`x` of length C, divided by the temperature, and its class :math:`y`,

    .. math:: w_y \left(\log \sum_j e^{x_j} - x_y\right);

    for a row of probabilities :math:`t`, it is :math:`\sum_c w_c t_c (\log \sum_j e^{x_j} - x_c)`. Label smoothing s
    replaces :math:`t` (1 at the class and 0 elsewhere for a class id) by :math:`(1 - s) t + s / C`. A row of
    probabilities need not sum to 1.

    The classes lie along axis 1: input has shape (N, C), or (N, C, d1, ...) with a value for each of the N x d1 x ...
    rows. A target of input's shape holds probabilities, in any dtype; a target of that shape without axis 1 holds class
    ids; a SciPy CSR matrix of shape (N, C) holds probabilities and is never made dense.

    Confident predictions keep their digits: the value is computed by log1p from the probabilities of the other classes,
    and the slope of the class as minus the sum of the other slopes. For probabilities as targets, values are exact to 4
    ulp of the sum of their terms. A NaN score makes its row NaN; an infinite score gives the limit. As in torch, the
    mean divides by the sum of the known rows' class weights for class ids, and by the number of rows for probabilities.

    As `torch.nn.CrossEntropyLoss`.

    Examples
    --------
    >>> import lossext as lx
    >>> loss = lx.CrossEntropyLoss()
    >>> value, grad = loss.value_and_grad([[0.0, 0.0], [30.0, -30.0]], [0, 0])
    >>> print(f"{value:.4f}")
    0.3466
    >>> print(grad[0], f"{grad[1, 1]:.3e}")
    [-0.25  0.25] 4.378e-27
    >>> print(f"{lx.cross_entropy([[30.0, -30.0]], [0]):.4e}")  # not 0
    8.7565e-27
    """

    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Class weights of shape (C,); cast to input's dtype.", kw_only=False
    )
    ignore_index: int = parameter(-100, an_integer(), IGNORED)
    label_smoothing: float = parameter(
        0.0, within(0, 1), "The fraction s of the target spread evenly over all classes."
    )
    temperature: float = parameter(1.0, above(0), "Divides the scores.")

    def _link(self) -> Link:
        if self.temperature == 1:
            return SOFTMAX
        t = self.temperature
        formula = SOFTMAX.formula.replace("raw", f"raw / {t:g}")
        return Link("softmax", formula, lambda mean: t * SOFTMAX.link(mean), lambda raw: SOFTMAX.inverse(raw / t))

    def log_normalizer(self, input: npt.ArrayLike) -> Array:
        r"""Logarithm of the sum of :math:`e^{x_j / T}` over the classes, with the temperature T.

        Parameters
        ----------
        input : array_like of shape (N, C) or (N, C, d1, ...)
            Scores.

        Returns
        -------
        ndarray of shape (N,) or (N, d1, ...)
            Of input's dtype.
        """
        x, real_type, dtype = _validate.real_input("input", input)
        if x.ndim < 2 or x.shape[1] == 0:
            raise ValueError(f"input has shape {x.shape}; allowed is (N, C) or (N, C, d1, ...)")
        greatest = np.argmax(x, axis=1)
        plain = CrossEntropyLoss(temperature=self.temperature, reduction="none")
        own = np.take_along_axis(x, np.expand_dims(greatest, 1), 1).squeeze(1)
        with np.errstate(all="ignore"):
            total = plain(x.astype(real_type, copy=False), greatest) + own / real_type.type(self.temperature)
        return _validate.rounded(np.asarray(total), dtype)

    def hess_product(
        self,
        input: npt.ArrayLike,
        target: npt.ArrayLike,
        direction: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Array:
        r"""Product of the full Hessian of the loss with a direction.

        The Hessian of a row is :math:`s (diag(p) - p p^T) / T^2`, with the softmax p, the sum s of its weighted targets
        and the temperature T.

        Parameters
        ----------
        input, target, sample_weight, mask, n_threads
            As in a call of the loss.
        direction : array_like
            Of input's shape, finite.

        Returns
        -------
        ndarray
            Of input's shape and dtype, with the same weights and divisor as `grad`.
        """
        x, real_type, dtype = _validate.real_input("input", input)
        v, *_ = _validate.real_input("direction", direction)
        if v.shape != x.shape:
            raise ValueError(f"direction has shape {v.shape}; allowed is input's, {x.shape}")
        if x.ndim < 2 or x.shape[1] == 0:
            raise ValueError(f"input has shape {x.shape}; allowed is (N, C) or (N, C, d1, ...)")
        # at equal scores a row's value is the sum of its weighted targets times log C
        flat = np.zeros(x.shape, real_type)
        known = {"sample_weight": sample_weight, "mask": mask}
        sums = self._with(reduction="none")(flat, target, n_threads=n_threads, **known)
        scale = math.log(max(2, x.shape[1])) * self.divisor(target, shape=x.shape, **known)
        with np.errstate(all="ignore"):
            upstream = np.where(scale, sums / (scale or 1.0), 0)
        product: Array = self._products.run(
            drivers.GRAD, x, v.astype(real_type, copy=False), None, None, None, upstream, None, n_threads
        )
        return _validate.rounded(product, dtype)

    @once
    def _products(self) -> drivers.Evaluator:
        """The evaluator whose gradient is the Hessian product when it is given directions as targets."""
        number, _ = drivers.find_loss("row", self.declaration.product_kernel or "")
        facts = {"soft_kernel_number": number, "soft_target": REAL, "weight": None, "reduction": "none"}
        facts |= {"ignore_index": None, "label_smoothing": 0.0}
        return drivers.Evaluator(SimpleNamespace(**{**vars(self._facts), **facts}), _validate, _threads)


cross_entropy = function_of(
    CrossEntropyLoss,
    """>>> print(lx.cross_entropy([[0.0, 0.0], [3.0, 1.0]], [1, 0], reduction="none").round(4))
    [0.6931 0.1269]""",
    positional=("weight",),
)


class NLLLoss(
    RowLoss,
    kernel="nll",
    function="nll_loss",
    target=CLASS,
    ranks=None,
    divides_by_class_weight=True,
    value_ulp=0.0,
    grad_ulp=0.0,
    linear_score=False,
):
    r"""Negative log-likelihood of log-probabilities.

    For a row of log-probabilities :math:`x` and its class :math:`y`,

    .. math:: -w_y x_y.

    The classes lie along axis 1: input has shape (N, C) or (N, C, d1, ...). Log-probabilities are not checked; only the
    column of the class is read. If it is NaN, value and gradient are NaN there. As in torch, the mean divides by the
    sum of the known rows' class weights.

    As `torch.nn.NLLLoss`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> value, grad = lx.NLLLoss().value_and_grad(np.log([[0.25, 0.75], [0.5, 0.5]]), [1, 0])
    >>> print(f"{value:.4f}")
    0.4904
    >>> print(grad)
    [[ 0.  -0.5]
     [-0.5  0. ]]
    """

    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Class weights of shape (C,); cast to input's dtype.", kw_only=False
    )
    ignore_index: int = parameter(-100, an_integer(), IGNORED)


nll_loss = function_of(
    NLLLoss,
    """>>> print(lx.nll_loss([[-0.5, -1.0], [-2.0, -0.25]], [0, 1], reduction="none"))
    [0.5  0.25]""",
    positional=("weight",),
)


class SoftmaxFocalLoss(
    RowLoss,
    kernel="softmax_focal",
    function="softmax_focal_loss",
    target=CLASS,
    ranks=None,
    link=SOFTMAX,
    start=_start.at_focal_shares,
    curvatures=("exact", "residual"),
    value_ulp=9.0,
    grad_ulp=8.0,
    hess_ulp=16.0,
    derivatives_by_row=True,
    convex=False,
    cost=0.35,
    cost_of_row=6.0,
):
    r"""Focal loss of the softmax of scores: cross entropy with less weight on well-classified rows.

    For a row of scores :math:`x` and its class :math:`y` with the softmax :math:`p`,

    .. math:: -w_y (1 - p_y)^\gamma \log p_y.

    ``gamma=0`` is cross entropy. :math:`1 - p_y` is computed as the sum of the other probabilities, so that small
    values keep their digits. The classes lie along axis 1: input has shape (N, C) or (N, C, d1, ...). The loss is not
    convex: the second derivative can be negative; ``curvature="residual"`` is the curvature of cross entropy.

    Source: Lin, Goyal, Girshick, He, Dollár: Focal loss for dense object detection (2017).

    Examples
    --------
    >>> import lossext as lx
    >>> value, grad = lx.SoftmaxFocalLoss().value_and_grad([[0.0, 0.0], [3.0, 0.0]], [0, 0])
    >>> print(f"{value:.4f}")
    0.0867
    >>> print(grad.round(4))
    [[-0.1491  0.1491]
     [-0.0002  0.0002]]
    """

    gamma: float = parameter(2.0, at_least(0), "The power of the total probability of the other classes.")


softmax_focal_loss = function_of(
    SoftmaxFocalLoss,
    """>>> print(lx.softmax_focal_loss([[0.0, 0.0], [3.0, 0.0]], [0, 0], reduction="none").round(6))
    [1.73287e-01 1.09000e-04]""",
)


class MultiMarginLoss(
    RowLoss,
    kernel="multi_margin",
    function="multi_margin_loss",
    target=CLASS,
    variant="p",
    over_columns=True,
    curvatures=("exact", "majorizer"),
    value_ulp=4.0,
    grad_ulp=4.0,
    smooth=False,
):
    r"""Multiclass hinge loss of Weston and Watkins.

    For a row of scores :math:`x` of length C and its class :math:`y`,

    .. math:: \frac{w_y}{C} \sum_{i \ne y} \max(0, (margin - x_y) + x_i)^p.

    The error bounds hold in addition to the rounding of the hinges themselves. The gradient at a kink is 0. A NaN score
    makes the gradient NaN in its own column and in that of the class; if it is the score of the class, in the whole
    row. Infinite scores follow the formula, so inf - inf is NaN.

    As `torch.nn.MultiMarginLoss`.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> x = np.array([[0.3, 0.7], [0.5, 0.5]], np.float32)
    >>> loss = lx.MultiMarginLoss()
    >>> value, grad = loss.value_and_grad(x, [0, 0])
    >>> print(value)
    0.6
    >>> print(grad)
    [[-0.25  0.25]
     [-0.25  0.25]]
    """

    p: int = parameter(1, one_of(1, 2), "The power of the hinges.", kw_only=False)
    margin: float = parameter(
        1.0, real(), "By how much the score of the class should exceed the other scores.", kw_only=False
    )
    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Class weights of shape (C,); cast to input's dtype.", kw_only=False
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "See `DenseLoss`.", kw_only=False)

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        # each hinge depends on its score minus the score of the class
        rows = np.arange(len(target))
        product: Array = hess * (direction - direction[rows, target][:, np.newaxis])
        product[rows, target] = -product.sum(axis=1)
        return product


multi_margin_loss = function_of(
    MultiMarginLoss,
    """>>> print(lx.multi_margin_loss([[0.25, 0.75], [0.5, 0.5]], [0, 0], reduction="none"))
    [0.75 0.5 ]""",
    positional=("p", "margin", "weight", "reduction"),
)


class MulticlassHingeLoss(
    RowLoss,
    kernel="multiclass_hinge",
    function="multiclass_hinge_loss",
    target=CLASS,
    ranks=None,
    curvatures=("exact", "majorizer"),
    value_ulp=1.0,
    grad_ulp=0.0,
    smooth=False,
):
    r"""Multiclass hinge loss of Crammer and Singer: only the highest of the other scores counts.

    For a row of scores :math:`x` and its class :math:`y`,

    .. math:: w_y \max(0, margin - x_y + \max_{j \ne y} x_j).

    The gradient is 0 where the hinge is 0. If several other classes share the highest score, the one with the lowest
    index receives the gradient. ``margin=0`` gives the perceptron's loss. A NaN score makes the gradient NaN in its own
    column and in that of the class. The classes lie along axis 1: input has shape (N, C) or (N, C, d1, ...).

    Source: Crammer and Singer: On the algorithmic implementation of multiclass kernel-based vector machines (2001). As
    scikit-learn's ``hinge_loss``.

    Examples
    --------
    >>> import lossext as lx
    >>> value, grad = lx.MulticlassHingeLoss().value_and_grad([[0.5, 1.0, 1.0], [2.0, 0.0, 0.5]], [0, 0])
    >>> print(value)
    0.75
    >>> print(grad)
    [[-0.5  0.5  0. ]
     [ 0.   0.   0. ]]
    """

    margin: float = parameter(1.0, real(), "By how much the score of the class should exceed the highest other score.")


multiclass_hinge_loss = function_of(
    MulticlassHingeLoss,
    """>>> print(lx.multiclass_hinge_loss([[0.5, 1.0, 1.0], [2.0, 0.0, 0.5]], [0, 0], reduction="none"))
    [1.5 0. ]""",
)
