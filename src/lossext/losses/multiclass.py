"""Losses of one class out of many."""

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

IGNORED = "A class id whose rows are left out: not read, without derivatives, not counted by the mean."


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
    r"""Cross entropy of the softmax of a row of scores, against class ids or probabilities.

    For a row of scores :math:`x` of length C, divided by the temperature, and its class :math:`y`,

    .. math:: w_y \left(\log \sum_j e^{x_j} - x_y\right);

    for a row of probabilities :math:`t`, :math:`\sum_c w_c t_c (\log \sum_j e^{x_j} - x_c)`. Label smoothing s makes
    :math:`(1 - s) t + s / C` of the probabilities, or of the 1 at the class. A row of probabilities need not sum to 1.

    The classes lie along axis 1: input is (N, C), or (N, C, d1, ...) with a value for each of the N x d1 x ... rows. A
    target of input's shape holds probabilities, of any dtype; without axis 1, class ids; a SciPy CSR matrix of shape
    (N, C) probabilities again, which are never made dense.

    The value keeps its digits where the class is sure: it is log1p of the others' share, and the class's slope is minus
    the sum of the others'. Values of probabilities are exact to 4 ulp of the sum
    of their terms. A NaN score makes its row NaN; an infinite one gives the limit. As in torch, the mean over class ids
    is divided by the sum of the known rows' class weights, over probabilities by the number of rows.

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
        None, weights(by_class=True), "Weight of each class, of shape (C,); cast to input's dtype.", kw_only=False
    )
    ignore_index: int = parameter(-100, an_integer(), IGNORED)
    label_smoothing: float = parameter(0.0, within(0, 1), "Share of the target that is spread evenly over the classes.")
    temperature: float = parameter(1.0, above(0), "Divides the scores.")

    def _link(self) -> Link:
        if self.temperature == 1:
            return SOFTMAX
        t = self.temperature
        formula = SOFTMAX.formula.replace("raw", f"raw / {t:g}")
        return Link("softmax", formula, lambda mean: t * SOFTMAX.link(mean), lambda raw: SOFTMAX.inverse(raw / t))

    def log_normalizer(self, input: npt.ArrayLike) -> Array:
        r"""Logarithm of the sum of :math:`e^{x_j / T}` over the classes: one number a row, in input's dtype."""
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
        r"""Product of the loss's whole Hessian with a direction of input's shape.

        A row's Hessian is :math:`s (diag(p) - p p^T) / T^2`, with the softmax p and the sum s of its weighted targets.

        Parameters
        ----------
        input, target, sample_weight, mask, n_threads
            As for calling the loss.
        direction : array_like
            Of input's shape, finite.

        Returns
        -------
        ndarray
            Of input's shape and dtype, in the scale of `grad`.
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
        """Whose gradient, with directions for targets, is the product with them."""
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
    r"""Negative log-likelihood of given log-probabilities at the class.

    For a row of log-probabilities :math:`x` and its class :math:`y`, :math:`-w_y x_y`. The classes lie along axis 1:
    input is (N, C), or (N, C, d1, ...). Log-probabilities are not checked; other columns than the class's are not read.
    A NaN at the class makes value and gradient NaN there. As in torch, the mean divides by the sum of the known rows'
    class weights.

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
        None, weights(by_class=True), "Weight of each class, of shape (C,); cast to input's dtype.", kw_only=False
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
    r"""Focal loss of the softmax of a row of scores: rows of a sure class count little.

    For a row of scores :math:`x` and its class :math:`y` with the softmax :math:`p`,

    .. math:: -w_y (1 - p_y)^\gamma \log p_y.

    ``gamma=0`` is cross entropy. :math:`1 - p_y` is added up from the others, so that small values keep their digits;
    the residual curvature is that of cross entropy. The classes lie along axis 1: input is (N, C), or (N, C, d1, ...).
    The second derivative can be negative.

    T.-Y. Lin et al., Focal loss for dense object detection, 2017.

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

    gamma: float = parameter(2.0, at_least(0), "Power of the probability that is left to the other classes.")


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

    The error bounds hold beside the rounding of the hinges themselves. The gradient at a kink is 0. A NaN score makes
    its own column and the class's NaN, a NaN at the class the whole row; an infinite score is computed as the formula
    says, so inf - inf is NaN.

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

    p: int = parameter(1, one_of(1, 2), "Power of the hinges.", kw_only=False)
    margin: float = parameter(1.0, real(), "By how much the class's score is to exceed the others.", kw_only=False)
    weight: npt.ArrayLike | None = parameter(
        None, weights(by_class=True), "Weight of each class, of shape (C,); cast to input's dtype.", kw_only=False
    )
    reduction: str = parameter("mean", word(*REDUCTIONS), "As of `DenseLoss`.", kw_only=False)

    def _hess_product(self, hess: Array, target: Array, direction: Array) -> Array:
        # a hinge depends on the difference of its score to the class's
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
    r"""Multiclass hinge loss of Crammer and Singer: the best of the other classes counts alone.

    For a row of scores :math:`x` and its class :math:`y`,

    .. math:: w_y \max(0, margin - x_y + \max_{j \ne y} x_j).

    The gradient is 0 where the hinge is 0; of several best others the lowest takes it. ``margin=0`` gives the
    perceptron's loss. A NaN score makes its own column and the class's NaN. The classes lie along axis 1: input is
    (N, C), or (N, C, d1, ...).

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

    margin: float = parameter(1.0, real(), "By how much the class's score is to exceed the best of the others.")


multiclass_hinge_loss = function_of(
    MulticlassHingeLoss,
    """>>> print(lx.multiclass_hinge_loss([[0.5, 1.0, 1.0], [2.0, 0.0, 0.5]], [0, 0], reduction="none"))
    [1.5 0. ]""",
)
