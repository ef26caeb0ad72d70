"""Objectives with one mistake each, and ones without."""

import numpy as np
import pytest

import lossext as lx


def sigmoid(raw):
    return 1 / (1 + np.exp(-raw))


def plain(y, raw):
    p = sigmoid(raw)
    return p - y, p * (1 - p)


def weighted(y, raw, weight):
    grad, hess = plain(y, raw)
    return grad * weight, hess * weight


def native(raw, data):
    grad, hess = plain(data.get_label(), raw)
    return grad * data.get_weight(), hess * data.get_weight()


def log_loss(y, raw):
    return np.logaddexp(0, raw) - y * raw


def focal(y, raw, gamma=2.0):
    """Gradient and exact Hessian by differences of it."""

    def slope(x):
        p = sigmoid(x)
        q = np.where(y == 1, p, 1 - p)
        sign = np.where(y == 1, 1.0, -1.0)
        return sign * (1 - q) ** gamma * (gamma * q * np.log(np.maximum(q, 1e-300)) + q - 1)

    return slope(raw), (slope(raw + 1e-4) - slope(raw - 1e-4)) / 2e-4


def softmax(raw):
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def one_hot(y, n_classes):
    return (np.asarray(y)[:, np.newaxis] == np.arange(n_classes)).astype(float)


def multiclass(y, raw):
    p = softmax(raw)
    return p - one_hot(y, raw.shape[1]), 2 * p * (1 - p)


def multiclass_loss(y, raw):
    return np.logaddexp.reduce(raw, axis=1) - raw[np.arange(len(y)), y.astype(int)]


def pinball(y, raw):
    return np.where(raw > y, 0.1, -0.9), np.ones_like(raw)


def poisson(y, raw):
    return np.exp(raw) - y, np.exp(raw + 0.7)


def huber(y, raw):
    return np.clip(raw - y, -1, 1), np.ones_like(raw)


def gamma(y, raw):
    return 1 - y * np.exp(-raw), np.ones_like(raw)


def hinge(y, raw):
    return np.where(y * raw < 1, -y, 0.0), np.ones_like(raw)


class ForCatBoost:
    def calc_ders_range(self, approxes, targets, weights):
        result = []
        for i in range(len(targets)):
            p = sigmoid(approxes[i])
            w = 1.0 if weights is None else weights[i]
            result.append((w * (targets[i] - p), -w * p * (1 - p)))
        return result


class ManyForCatBoost:
    def calc_ders_multi(self, approx, target, weight):
        p = softmax(np.asarray(approx)[np.newaxis])[0]
        return weight * (one_hot([target], len(p))[0] - p), -weight * (np.diag(p) - np.outer(p, p))


class WrongForCatBoost(ForCatBoost):
    def calc_ders_range(self, approxes, targets, weights):
        return [(-a, -b) for a, b in super().calc_ders_range(approxes, targets, weights)]


@pytest.mark.parametrize(
    ("objective", "more"),
    [
        (plain, {}),
        (plain, {"value": log_loss, "y": [0, 1, 1, 0]}),
        (plain, {"y": np.arange(100) == 0, "start": -np.log(99)}),
        (weighted, {"library": "xgboost"}),
        (native, {"library": "lightgbm"}),
        (multiclass, {"n_classes": 4, "value": multiclass_loss, "library": "lightgbm"}),
        (multiclass, {"n_classes": 3, "library": "xgboost"}),
        (multiclass, {"target": "class"}),
        (pinball, {"target": "real"}),
        (huber, {"target": "real"}),
        (poisson, {"target": "non_negative"}),
        (gamma, {"target": "positive"}),
        (hinge, {"target": "sign"}),
        (ForCatBoost(), {}),
        (ManyForCatBoost(), {"n_classes": 3, "value": multiclass_loss}),
    ],
)
def test_nothing_wrong(objective, more):
    report = lx.check_objective(objective, **more)
    assert list(report) == [], report
    assert len(report) == 0
    report.raise_if_any()
    assert "nothing wrong was found" in str(report)


def wrong_sign(y, raw):
    grad, hess = plain(y, raw)
    return -grad, hess


def hess_of_probability(y, raw):
    p = sigmoid(raw)
    return p - y, y / p**2 + (1 - y) / (1 - p) ** 2


def hess_by_probability(y, raw):
    return plain(y, raw)[0], np.ones_like(raw)


def grad_of_probability(y, raw):
    p = sigmoid(raw)
    return p - y if y is None else (p - y) / (p * (1 - p)), p * (1 - p)


def weights_twice(y, raw, weight):
    grad, hess = weighted(y, raw, weight)
    return grad * weight, hess * weight


def weights_ignored(y, raw, weight):
    return plain(y, raw)


def native_without_weights(raw, data):
    return plain(data.get_label(), raw)


def weights_of_the_gradient_alone(y, raw, weight):
    grad, hess = plain(y, raw)
    return grad * weight, hess


def normed_weights(y, raw, weight):
    return weighted(y, raw, weight / weight.sum())


def flat_in_c_order(y, raw):
    grad, hess = multiclass(y, raw)
    return grad.ravel(), hess.ravel()


def read_as_flat(y, raw):
    raw = raw.ravel().reshape(raw.shape[1], len(y)).T
    return multiclass(y, raw)


def unstable(y, raw):
    e = np.exp(raw)
    p = e / e.sum(axis=1, keepdims=True)
    return p - one_hot(y, raw.shape[1]), p * (1 - p)


def softmax_over_rows(y, raw):
    p = softmax(raw.T).T
    return p - one_hot(y, raw.shape[1]), p * (1 - p)


def mean(y, raw):
    grad, hess = plain(y, raw)
    return grad / len(y), hess / len(y)


def exact_focal(y, raw):
    return focal(y, raw)


def flat_hess(y, raw):
    return np.where(raw > y, 0.1, -0.9), np.zeros_like(raw)


def nan_at_extremes(y, raw):
    e = np.exp(raw)
    return e / (1 + e) - y, e / (1 + e) ** 2


def random(y, raw):
    grad, hess = plain(y, raw)
    return grad + np.random.default_rng().normal(scale=1e-6, size=len(grad)), hess


def in_place(y, raw):
    raw *= -1
    p = 1 / (1 + np.exp(raw))
    return p - y, p * (1 - p)


def fails(y, raw):
    return plain(y, raw[:, 0])


def one_number(y, raw):
    return plain(y, raw)[0].mean(), plain(y, raw)[1]


def half(y, raw):
    grad, hess = plain(y, raw)
    return grad / 2, hess


def unrelated_hess(y, raw):
    return plain(y, raw)[0], np.exp(3 * raw)


@pytest.mark.parametrize(
    ("objective", "fault", "more"),
    [
        (wrong_sign, "wrong sign", {}),
        (wrong_sign, "wrong sign", {"value": log_loss}),
        (WrongForCatBoost(), "wrong sign", {}),
        (hess_of_probability, "Hessian of the probability", {}),
        (hess_by_probability, "Hessian of the probability", {}),
        (grad_of_probability, "gradient of the probability", {"value": log_loss}),
        (unrelated_hess, "Hessian is not the derivative of the gradient", {}),
        (weights_twice, "weights twice", {}),
        (weights_ignored, "weights ignored", {}),
        (native_without_weights, "weights ignored", {}),
        (native_without_weights, "weights ignored", {"library": "xgboost"}),
        (weights_of_the_gradient_alone, "weights ignored", {}),
        (normed_weights, "weights wrong", {}),
        (flat_in_c_order, "C order taken for F", {"library": "lightgbm", "n_classes": 4}),
        (flat_in_c_order, "C order taken for F", {"n_classes": 4}),
        (read_as_flat, "C order taken for F", {"library": "lightgbm", "n_classes": 3}),
        (unstable, "unstable softmax", {"n_classes": 3}),
        (unstable, "unstable softmax", {"n_classes": 3, "library": "xgboost"}),
        (softmax_over_rows, "rows depend on each other", {"n_classes": 3}),
        (mean, "mean instead of sum", {}),
        (exact_focal, "Hessian not positive", {}),
        (flat_hess, "Hessian not positive", {"target": "real"}),
        (nan_at_extremes, "NaN at extreme scores", {}),
        (random, "not deterministic", {}),
        (in_place, "changes its arguments", {}),
        (fails, "raises", {}),
        (one_number, "wrong shape", {}),
        (half, "wrong gradient", {"value": log_loss}),
        (plain, "start value missing", {"y": np.arange(100) == 0}),
        (multiclass, "start value missing", {"n_classes": 3, "y": [0] * 90 + [1] * 5 + [2] * 5}),
        (lambda y, raw: plain(y, raw), "not picklable", {}),
    ],
)
def test_faults(objective, fault, more):
    report = lx.check_objective(objective, **more)
    faults = [finding.fault for finding in report]
    assert fault in faults, report
    assert len(faults) <= 2, report
    with pytest.raises(ValueError, match=fault):
        report.raise_if_any()
    for finding in report:
        assert finding.fault in str(report)
        assert finding.fault in lx.check_objective.__doc__
        assert finding.remedy


def test_what_to_start_from():
    (finding,) = lx.check_objective(plain, y=np.arange(100) == 0)
    assert f"{-np.log(99):.4f}".rstrip("0") in finding.remedy


def test_start_value_missing():
    rare = np.arange(2000) % 100 == 0
    start = np.log(20 / 1980)
    (finding,) = lx.check_objective(ForCatBoost(), y=rare)
    assert finding.fault == "start value missing"
    assert f"{start:.4f}" in finding.remedy
    assert not list(lx.check_objective(ForCatBoost(), y=rare, start=start))
    counts = np.random.default_rng(0).poisson(30, 2000)
    (finding,) = lx.check_objective(poisson, target="non_negative", y=counts)
    assert f"{np.log(counts.mean()):.4f}".rstrip("0") in finding.remedy
    assert not list(lx.check_objective(poisson, target="non_negative", y=counts, start=np.log(counts.mean())))
    classes = np.repeat([0, 1, 2], [1800, 180, 20])
    (finding,) = lx.check_objective(multiclass, n_classes=3, library="lightgbm", y=classes)
    assert finding.fault == "start value missing"
    shares = np.log([0.9, 0.09, 0.01])
    assert not list(lx.check_objective(multiclass, n_classes=3, library="lightgbm", y=classes, start=shares))


def scores_first(raw, data):
    """Uses the scores before it asks for labels."""
    e = np.exp(raw - raw.max(axis=1)[:, np.newaxis])
    p = e / e.sum(axis=1)[:, np.newaxis]
    w = data.get_weight()[:, np.newaxis]
    return w * (p - one_hot(data.get_label(), 3)), w * p * (1 - p)


def unstable_scores_first(raw, data):
    p = np.exp(raw) / np.exp(raw).sum(axis=1)[:, np.newaxis]
    w = data.get_weight()[:, np.newaxis]
    return w * (p - one_hot(data.get_label(), 3)), w * p * (1 - p)


def squared_log(raw, data):
    """XGBoost's tutorial, which writes to the scores."""
    y, w = data.get_label(), data.get_weight()
    raw[raw < -1] = -1 + 1e-6
    slope = (np.log1p(raw) - np.log1p(y)) / (raw + 1)
    return w * slope, w * np.maximum((1 + np.log1p(y) - np.log1p(raw)) / (raw + 1) ** 2, 1e-6)


def test_native_that_begins_with_the_scores():
    assert not list(lx.check_objective(scores_first, n_classes=3, library="xgboost"))
    (finding,) = lx.check_objective(unstable_scores_first, n_classes=3, library="xgboost")
    assert finding.fault == "unstable softmax"


def test_xgboost_lets_it_write_to_the_scores():
    faults = [f.fault for f in lx.check_objective(squared_log, target="non_negative", library="xgboost")]
    assert "changes its arguments" not in faults
    faults = [f.fault for f in lx.check_objective(squared_log, target="non_negative", library="lightgbm")]
    assert faults == ["changes its arguments"]


def test_random_is_one_fault():
    assert [f.fault for f in lx.check_objective(random)] == ["not deterministic"]


def test_what_was_left_out():
    report = lx.check_objective(plain)
    assert len(report.left_out) == 3
    assert not lx.check_objective(weighted, value=log_loss, y=[0, 1]).left_out


def test_errors():
    with pytest.raises(TypeError, match="objective must be callable"):
        lx.check_objective(3)
    with pytest.raises(ValueError, match="target = 'yes'"):
        lx.check_objective(plain, target="yes")
    with pytest.raises(ValueError, match="library = 'sklearn'"):
        lx.check_objective(plain, library="sklearn")
    with pytest.raises(ValueError, match="n_classes = 1 is not at least 2"):
        lx.check_objective(plain, n_classes=1)
    with pytest.raises(ValueError, match="allowed is 'class'"):
        lx.check_objective(plain, n_classes=3, target="real")


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
@pytest.mark.parametrize("cls", lx.registry())
def test_adapters(library, cls):
    """Our own objectives, of the losses that have them."""
    pytest.importorskip(library)
    import lossext.boosting as ours
    from lossext.boosting._adapter import why_not

    loss = cls()
    if why_not(loss) is not None:
        pytest.skip(why_not(loss))
    name = {"lightgbm": "LightGBMObjective", "xgboost": "XGBoostObjective", "catboost": "CatBoostObjective"}[library]
    kind = loss._target.kind
    report = lx.check_objective(
        getattr(ours, name)(loss), target=kind, n_classes=3 if kind == "class" else None, library=library
    )
    if cls is lx.ExponentialLoss:  # e^100 is no float32
        assert [finding.fault for finding in report] == ["NaN at extreme scores"]
    else:
        assert list(report) == [], report
