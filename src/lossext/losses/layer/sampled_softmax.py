"""Sampled softmax loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._kernels.drivers import Labels
from lossext._validate import FLOAT64, Array
from lossext.losses.layer._call import is_csr
from lossext.losses.layer._link import SoftmaxLink, log_of_shares, log_shares
from lossext.losses.layer._sampled import SampledLoss, ragged_labels, with_shares


class SampledSoftmaxLoss(SoftmaxLink, SampledLoss):
    r"""Softmax cross entropy of a linear layer of very many classes, at a sample of them.

    For a row of inputs :math:`x`, its labels :math:`l_1 ... l_T` and sampled classes :math:`c_1 ... c_S`,

    .. math::
        t_k = x \cdot W_{l_k} + b_{l_k} - \log E_{l_k}, \qquad z_s = x \cdot W_{c_s} + b_{c_s} - \log E_{c_s}, \qquad
        loss = \log\Big(\sum_k e^{t_k} + \sum_s e^{z_s}\Big) - \frac{1}{T} \sum_k t_k,

    where :math:`E` are the counts that the sampler is expected to draw.

    Parameters
    ----------
    num_sampled : int
        Classes to draw at each call, at most num_classes.
    num_classes : int
        Classes of the layer, V.
    num_true : int or None
        Labels of each row, T, at most num_classes. None: rows have different numbers of labels.
    sampled_values : (array_like (S,), array_like (N, T), array_like (S,)), optional
        ``(sampled_candidates, true_expected_count, sampled_expected_count)``, as samplers give it; then nothing is
        drawn, and num_sampled is not used. Repeated classes are fine.
    remove_accidental_hits : bool
        Leave out of a row's negatives every class that is one of its labels, also with sampled_values.
    seed : int, numpy.random.Generator or None
        With an int, calls draw one after the other from a generator of the object's own: a new object repeats the
        sequence, pickling keeps its state. A generator is used as it is. Every call draws anew, `grad` too: to
        evaluate twice on the same negatives, pass sampled_values. With None, each process draws its own. Workers that
        start from the same int draw the same: `spawn` makes them independent, and repeatable.
    reduction : {"none", "mean", "sum"}
        One value per row, their mean over the N rows or their sum.
    sampler : optional
        Draws the classes in the place of the uniform default: one of ``lossext.samplers``, or any object with a method
        ``sample(labels, num_sampled)`` that gives what sampled_values takes. Then seed is not used.

    Raises
    ------
    TypeError
        sampled_values is neither list nor tuple; labels or sampled_candidates are not integers; inputs, weights or
        biases are not real; a parameter is of the wrong type.
    ValueError
        num_sampled or num_true is greater than num_classes or less than 1; seed is negative; reduction is unknown;
        sampled_values is not of length 3; an expected count is not finite and positive; labels or sampled ids lie
        outside [0, num_classes); exclude and a row's labels leave nothing to draw; shapes do not fit.

    Notes
    -----
    Without sampled_values, unique classes are drawn uniformly. With remove_accidental_hits they moreover avoid the
    labels of the whole batch while at least num_sampled classes remain. All expected counts are then equal, so they
    cancel.

    *inputs* (N, D) sets the type: float32 and float64 are used as they are, float16 is computed in float32, integers in
    float64. *weights* (V, D) and *biases* (V,) are used as they are if they are of that type and C-contiguous; of
    others the rows that a call touches are converted. *labels* is (N, T), or (N,) if T is 1, of any integer dtype.

    Rows have different numbers of labels where *labels* is a CSR matrix (N, V), such as SciPy's, whose data are the
    labels' weights (see label_weight), or, with ``num_true=None``, an array (N, M) padded with -1. T is then each row's
    own. A row without labels has the value 0, and the mean leaves it out. true_expected_count has a number for each
    entry of the matrix, or is (N, M); a sampler gets the labels row after row, (L,).

    There is no clamp: a loss of 71 is 71. Where the true logit is the largest, the value is log1p of the others'
    share and keeps its relative accuracy down to 0. Error, beside the rounding of the logits: some 5 ulp of float32,
    1e-14 in float64. Probabilities in gradients are as `LinearSoftmaxLoss` says. Results do not depend on the number of
    threads.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> rng = np.random.default_rng(0)
    >>> weights, biases, x = rng.normal(size=(1000, 8)), np.zeros(1000), rng.normal(size=(4, 8))
    >>> loss = lx.SampledSoftmaxLoss(num_sampled=20, num_classes=1000, reduction="mean")
    >>> value, grad = loss.value_and_grad(weights, biases, [1, 2, 3, 4], x)
    >>> grad.inputs.shape, grad.weights.values.shape
    ((4, 8), (24, 8))
    >>> grad.weights.add_to(weights, scale=-0.1)  # a step of gradient descent on the 24 rows
    """

    _kind = drivers.SOFTMAX

    def __init__(
        self,
        num_sampled: int,
        num_classes: int,
        num_true: int = 1,
        sampled_values: Any = None,
        remove_accidental_hits: bool = True,
        seed: int | np.random.Generator | None = 0,
        reduction: str = "none",
        sampler: Any = None,
    ) -> None:
        self._start(
            num_sampled,
            num_classes,
            num_true,
            sampled_values=sampled_values,
            remove_accidental_hits=remove_accidental_hits,
            seed=seed,
            reduction=reduction,
            sampler=sampler,
        )

    @_validate.quiet
    def init_raw(self, target: Any, sample_weight: npt.ArrayLike | None = None) -> Array:
        """The biases that minimise the full softmax loss of a layer without weights, which the sampled one estimates.

        They are the logarithms of the classes' weighted shares of the labels.

        Parameters
        ----------
        target : array_like of integers, (N, num_true), or (N,) if num_true is 1
            Labels.
        sample_weight : array_like of shape (N,), optional
            As for the loss.

        Returns
        -------
        ndarray of shape (num_classes,)
            Of float64, at least log(1e-15) (about -34.5), so finite for a class that does not occur; 0 where there is
            no weight at all.

        Raises
        ------
        TypeError
            target is not of integers.
        ValueError
            A label lies outside [0, num_classes); the weights of a class sum to less than 0, so that there is no
            minimum; shapes do not fit.

        Examples
        --------
        >>> import lossext as lx
        >>> print(lx.SampledSoftmaxLoss(num_sampled=2, num_classes=3).init_raw([0, 2, 2, 2]).round(2))
        [ -1.39 -34.54  -0.29]
        """
        if self.num_true is not None and not is_csr(target):
            return log_shares(target, sample_weight, self.num_classes, self.num_true)
        n_rows = target.shape[0] if is_csr(target) else len(target)
        weight = _validate.sample_weights(sample_weight, n_rows, FLOAT64)
        labels = with_shares(ragged_labels(target, n_rows, self.num_classes), None, n_rows)
        if len(labels.ids) and (labels.ids.min() < 0 or labels.ids.max() >= self.num_classes):
            at = int(np.argmax((labels.ids < 0) | (labels.ids >= self.num_classes)))
            raise ValueError(f"a label of target is {labels.ids[at]}, which is not in [0, {self.num_classes})")
        assert labels.start is not None
        count = np.diff(labels.start)
        share = np.repeat(1 / np.maximum(count, 1), count) if labels.share is None else labels.share
        if weight is not None:
            share = share * np.repeat(weight, count)
        return log_of_shares(np.bincount(labels.ids, share, minlength=self.num_classes))

    def _draw(self, labels: Labels) -> Array | tuple[Array, Array, Array]:
        parameters = self._parameters
        if parameters["sampler"] is not None:
            return super()._draw(labels)
        avoided = labels.ids if parameters["remove_accidental_hits"] else None
        return self._own_sampler.draw_checked(avoided, parameters["num_sampled"])


def sampled_softmax_loss(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    labels: npt.ArrayLike,
    inputs: npt.ArrayLike,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    seed: int | np.random.Generator | None = None,
    reduction: str = "none",
    sampler: Any = None,
) -> Any:
    """Value of `SampledSoftmaxLoss`, which says what the arguments are and which errors are raised.

    Examples
    --------
    >>> import numpy as np, lossext as lx
    >>> weights, biases = np.eye(7, 3), np.zeros(7)
    >>> print(lx.sampled_softmax_loss(weights, biases, [0, 1], np.eye(2, 3), num_sampled=5, num_classes=7).round(4))
    [1.0436 1.0436]
    """
    loss = SampledSoftmaxLoss(
        num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits, seed, reduction, sampler
    )
    return loss(weights, biases, labels, inputs)
