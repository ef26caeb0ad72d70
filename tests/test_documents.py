"""The examples that the losses' documents print: the numbers that a user compares first."""

import numpy as np
import pytest

import lossext


def f32(values):
    return np.array(values, np.float32)


def test_multilabel_soft_margin():
    """MindSpore, ops.multilabel_soft_margin_loss: prints 0.84693956, which its formula makes 5 ulp low."""
    x, y = f32([[0.3, 0.6, 0.6], [0.9, 0.4, 0.2]]), f32([[0, 0, 1], [0, 0, 1]])
    value = lossext.multilabel_soft_margin_loss(x, y, reduction="mean")
    assert type(value) is np.float32
    assert abs(np.float64(value) - 0.8469398568) <= np.spacing(np.float32(0.8469398568))
    assert abs(value - np.float32(0.84693956)) <= 6 * np.spacing(value)
    assert lossext.MultiLabelSoftMarginLoss()(x, y) == value


def test_multi_margin():
    """MindSpore, ops.multi_margin_loss: prints 0.6666667."""
    x, y, weight = np.ones((3, 3), np.float32), np.array([1, 2, 1]), f32([1, 1, 1])
    value = lossext.multi_margin_loss(x, y, weight=weight)
    assert str(value) == "0.6666667"
    assert value == np.float32(2 / 3)
    assert lossext.MultiMarginLoss(weight=weight)(x, y) == value
    assert lossext.multi_margin_loss(x, y) == value
    np.testing.assert_array_equal(lossext.multi_margin_loss(x, y, reduction="none"), f32([2 / 3] * 3))


def test_hinge_embedding():
    """MindSpore, nn.HingeEmbeddingLoss: prints 0.16666667."""
    x = f32([0.9, -1.2, 2, 0.8, 3.9, 2, 1, 0, -1]).reshape(3, 3)
    y = f32([1, 1, -1, 1, -1, 1, -1, 1, 1]).reshape(3, 3)
    value = lossext.hinge_embedding_loss(x, y, margin=1.0, reduction="mean")
    assert abs(np.float64(value) - 1.5 / 9) <= np.spacing(np.float32(1 / 6))
    assert lossext.HingeEmbeddingLoss(margin=1.0, reduction="mean")(x, y) == value
    grad = lossext.HingeEmbeddingLoss(reduction="sum").grad(x, y)
    np.testing.assert_array_equal(grad, [[1, 1, 0], [1, 0, 1], [-1, 1, 1]])  # x = margin is the kink


def test_multilabel_soft_margin_is_weighted_bce():
    """A blog compares the two and its own loop: 0.4405062198638916 twice, 0.440506249666214 from torch 1.5's BCE."""
    x, y, weight = f32([[0.8, 0.9, 0.3]] * 4), f32([[1, 1, 0]] * 4), f32([0.8, 1, 0.8])
    values = [
        lossext.multilabel_soft_margin_loss(x, y, weight=weight),
        lossext.binary_cross_entropy_with_logits(x, y, weight=weight),
        lossext.binary_cross_entropy_with_logits(x, y, weight=weight, pos_weight=np.ones(3)),
    ]
    for value in values:
        assert float(value) == pytest.approx(0.440506209029, abs=2.0**-25)
        assert float(value) == pytest.approx(0.4405062198638916, abs=2.0**-25)
    # the same number for mean only
    rows = lossext.multilabel_soft_margin_loss(x, y, weight=weight, reduction="sum")
    elements = lossext.binary_cross_entropy_with_logits(x, y, weight=weight, reduction="sum")
    assert elements == pytest.approx(3 * rows, rel=1e-6)


def test_blogs_loop_with_pos_weight():
    """The blog's validate_loss, a loop over sigmoid(x), with weight and pos_weight: the mean is over all elements."""
    x, y = np.array([[0.8, 0.9, 0.3], [-0.2, 0.4, 1.5]]), np.array([[1, 1, 0], [0, 1, 1]])
    weight, pos_weight = np.array([0.8, 1, 0.8]), np.array([2, 0.5, 3])
    p = 1 / (1 + np.exp(-x))
    expected = -np.sum(weight * (pos_weight * y * np.log(p) + (1 - y) * np.log(1 - p))) / x.size
    value = lossext.binary_cross_entropy_with_logits(x, y, weight=weight, pos_weight=pos_weight)
    assert value == pytest.approx(expected, rel=1e-14)


def test_arguments_as_the_documents_hand_them_over():
    """Positions, scalars as weight, integer labels."""
    x, y = f32([[0.3, 0.6, 0.6], [0.9, 0.4, 0.2]]), np.array([[0, 0, 1], [0, 0, 1]])
    value = lossext.multilabel_soft_margin_loss(x, y)
    assert lossext.multilabel_soft_margin_loss(x, y, 2) == 2 * value
    assert lossext.multilabel_soft_margin_loss(x, y, None, "sum") == 2 * value
    assert lossext.multilabel_soft_margin_loss(x, y.astype(bool), 1.0, "mean") == value
    ones = np.ones((3, 3), np.float32)
    assert lossext.multi_margin_loss(ones, [1, 2, 1], 2, 2) == pytest.approx(8 / 3)
    assert lossext.hinge_embedding_loss(ones, 1, 1, "sum") == 9
    assert lossext.binary_cross_entropy_with_logits(x, y, f32([1, 1, 1]), f32([1, 1, 1]), "mean") == pytest.approx(
        value
    )
