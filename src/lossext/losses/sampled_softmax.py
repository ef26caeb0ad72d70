"""Sampled softmax loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossext import _validate
from lossext._kernels import drivers
from lossext._parameters import Parameter, Parameterized
from lossext.losses._sampled import SampledSoftmaxGrad, checked_values, evaluate, layer
from lossext.samplers import UniformSampler, checked_seed


class SampledSoftmaxLoss(Parameterized):
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
    num_true : int
        Labels of each row, T, at most num_classes.
    sampled_values : (array_like (S,), array_like (N, T), array_like (S,)), optional
        ``(sampled_candidates, true_expected_count, sampled_expected_count)``, as samplers give it; then nothing is
        drawn, and num_sampled is not used. Repeated classes are fine.
    remove_accidental_hits : bool
        Leave out of a row's negatives every class that is one of its labels, also with sampled_values.
    seed : int, numpy.random.Generator or None
        With an int, calls draw one after the other from a generator of the object's own: a new object repeats the
        sequence, pickling keeps its state. A generator is used as it is. Every call draws anew, `grad` too: to
        evaluate twice on the same negatives, pass sampled_values.
    reduction : {"none", "mean", "sum"}
        One value a row, their mean over the N rows or their sum.

    Raises
    ------
    TypeError
        sampled_values is neither list nor tuple; labels or sampled_candidates are not integers; inputs, weights or
        biases are not real; a parameter is of the wrong type.
    ValueError
        num_sampled or num_true is greater than num_classes or less than 1; seed is negative; reduction is unknown;
        sampled_values is not of length 3; an expected count is not finite and positive; labels or sampled ids lie
        outside [0, num_classes); shapes do not fit.

    Notes
    -----
    Without sampled_values, unique classes are drawn uniformly. With remove_accidental_hits they moreover avoid the
    labels of the whole batch while at least num_sampled classes remain. All expected counts are then equal, so they
    cancel.

    *inputs* (N, D) sets the type: float32 and float64 are used as they are, float16 is computed in float32, integers in
    float64. *weights* (V, D) and *biases* (V,) are used as they are if they are of that type and C-contiguous; of
    others the rows that a call touches are converted. *labels* is (N, T), or (N,) if T is 1, of any integer dtype.

    There is no clamp: a loss of 71 is 71. Where the true logit is the largest, the value is log1p of the others'
    share and keeps its relative accuracy down to 0. Error, beside the rounding of the logits: some 5 ulp of float32,
    1e-14 in float64. Results do not depend on the number of threads.

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

    num_sampled = Parameter[int]()
    num_classes = Parameter[int]()
    num_true = Parameter[int]()
    sampled_values = Parameter[Any]()
    remove_accidental_hits = Parameter[bool]()
    seed = Parameter[Any]()
    reduction = Parameter[str]()
    _sampler: UniformSampler

    def __init__(
        self,
        num_sampled: int,
        num_classes: int,
        num_true: int = 1,
        sampled_values: Any = None,
        remove_accidental_hits: bool = True,
        seed: int | np.random.Generator | None = 0,
        reduction: str = "none",
    ) -> None:
        classes = _validate.positive("num_classes", num_classes)
        counts = {"num_sampled": num_sampled, "num_true": num_true}
        for name, value in counts.items():
            counts[name] = _validate.positive(name, value)
            if counts[name] > classes:
                raise ValueError(f"{name} = {value} is greater than num_classes = {classes}")
        self._set_parameters(
            num_sampled=counts["num_sampled"],
            num_classes=classes,
            num_true=counts["num_true"],
            sampled_values=checked_values(sampled_values),
            remove_accidental_hits=_validate.boolean("remove_accidental_hits", remove_accidental_hits),
            seed=checked_seed(seed),
            reduction=_validate.reduction(reduction),
        )
        self.__dict__["_sampler"] = UniformSampler(classes, seed=seed)

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __call__(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sampled_values: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Value of the loss.

        Parameters
        ----------
        weights, biases, labels, inputs : array_like
            (V, D), (V,), (N, num_true) and (N, D); see the class for types.
        sampled_values : optional
            Instead of those given at construction.
        sample_weight : array_like of shape (N,), optional
            Multiplies each row's loss; stays out of the divisor of ``reduction="mean"``.
        n_threads : int, optional
            At least 1. Default: see ``lossext.show_config()``.

        Returns
        -------
        numpy scalar or ndarray
            A scalar of inputs' dtype, or an array (N,) for ``reduction="none"``.
        """
        arrays = weights, biases, labels, inputs
        return self._evaluate(arrays, False, sampled_values, sample_weight, None, n_threads)[0]

    def value_and_grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sampled_values: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> tuple[Any, SampledSoftmaxGrad]:
        """``(value, gradients)``.

        Parameters
        ----------
        weights, biases, labels, inputs, sampled_values, sample_weight, n_threads
            As for calling the loss.
        grad_output : array_like, optional
            Upstream gradient: a scalar for mean and sum, (N,) for none. Default 1.

        Returns
        -------
        value : numpy scalar or ndarray
        gradients : SampledSoftmaxGrad
            ``weights`` and ``biases`` as `RowSparse`, ``inputs`` an array (N, D).
        """
        arrays = weights, biases, labels, inputs
        value, grad = self._evaluate(arrays, True, sampled_values, sample_weight, grad_output, n_threads)
        assert grad is not None
        return value, grad

    def grad(
        self,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        labels: npt.ArrayLike,
        inputs: npt.ArrayLike,
        *,
        sampled_values: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        grad_output: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> SampledSoftmaxGrad:
        """The gradients alone, of classes drawn anew; parameters as for `value_and_grad`."""
        return self.value_and_grad(
            weights,
            biases,
            labels,
            inputs,
            sampled_values=sampled_values,
            sample_weight=sample_weight,
            grad_output=grad_output,
            n_threads=n_threads,
        )[1]

    def _evaluate(
        self,
        arrays: tuple[Any, ...],
        want_grad: bool,
        sampled_values: Any,
        sample_weight: Any,
        grad_output: Any,
        n_threads: Any,
    ) -> tuple[Any, SampledSoftmaxGrad | None]:
        weights, biases, labels, inputs = arrays
        checked = layer(weights, biases, labels, inputs, self.num_classes, self.num_true)
        values = self.sampled_values if sampled_values is None else checked_values(sampled_values)
        log_true = log_sampled = None
        if values is None:
            avoided = checked.labels if self.remove_accidental_hits else None
            sampled = self._sampler.draw_apart(avoided, self.num_sampled)
        else:
            sampled = _validate.ids_in_range("sampled_candidates", values[0], self.num_classes)
            true_count = values[1].reshape(-1, 1) if self.num_true == 1 and values[1].ndim == 1 else values[1]
            if true_count.shape != checked.labels.shape:
                raise ValueError(
                    f"true_expected_count has shape {values[1].shape}; allowed is the labels', {checked.labels.shape}"
                )
            log_true, log_sampled = np.log(true_count, dtype=np.float64), np.log(values[2], dtype=np.float64)
        return evaluate(
            drivers.SOFTMAX,
            self.reduction,
            checked,
            sampled,
            log_true,
            log_sampled,
            self.remove_accidental_hits,
            want_grad,
            sample_weight,
            grad_output,
            n_threads,
        )


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
        num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits, seed, reduction
    )
    return loss(weights, biases, labels, inputs)
