"""Totals over chunks against one call of all rows."""

import itertools
import pickle
import re
import sys
import threading

import cases
import numpy as np
import pytest

import lossext as lx
from lossext.samplers import LogUniformSampler

TOTALS = ("mean", "sum", "weighted_mean", "batchmean")
ROWS = 211


def drawn(cls, dtype, rng):
    """Arguments of a call, and its keywords, each along the rows."""
    shape = (ROWS, 7)
    keywords = {"sample_weight": rng.integers(0, 9, ROWS) / 8, "mask": rng.random(shape) < 0.8}
    if cls.declaration.family != "element":
        keywords["mask"] = keywords["mask"][:, 0]
    if cls.declaration.family == "element":
        keywords["element_weight"] = rng.integers(1, 9, shape) / 8
    return (cases.input_of(shape, dtype, rng, cls), cases.target_of(cls, shape, rng)), keywords


def cuts(rng):
    """Row numbers at which to cut, empty chunks among them."""
    return np.sort(np.concatenate([[0, 0, ROWS], rng.integers(0, ROWS, 9)]))


def filled(loss, arrays, keywords, at):
    total = loss.accumulator()
    for start, stop in itertools.pairwise(at):
        part = slice(start, stop)
        total.update(*(a[part] for a in arrays), **{name: v[part] for name, v in keywords.items()})
    return total


def close(a, b):
    """To one rounding of the type."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=6 * np.finfo(a.dtype).eps)


@pytest.mark.parametrize("cls", lx.registry(), ids=cases.name)
@pytest.mark.parametrize("reduction", TOTALS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_any_chunks_are_the_whole(cls, reduction, dtype):
    rng = np.random.default_rng(5)
    loss = cls(reduction=reduction)
    arrays, keywords = drawn(cls, dtype, rng)
    for given in ({}, keywords, {"sample_weight": keywords["sample_weight"]}, {"mask": keywords["mask"]}):
        total = filled(loss, arrays, given, cuts(rng))
        with np.errstate(all="ignore"):
            close(total.value(), loss(*arrays, **given))
        assert total.divisor() == pytest.approx(
            loss.divisor(arrays[1], shape=arrays[0].shape, **given), rel=1e-14 if dtype == "f8" else 1e-7
        )


def test_weights_and_missing_labels_that_the_loss_holds():
    rng = np.random.default_rng(6)
    scores, ids = rng.standard_normal((ROWS, 4)).astype("f4"), rng.integers(0, 4, ROWS)
    ids[::5] = -100
    for reduction in TOTALS:
        loss = lx.CrossEntropyLoss(weight=[1.0, 2.0, 0.5, 3.0], reduction=reduction, label_smoothing=0.1)
        total = filled(loss, (scores, ids), {}, cuts(rng))
        close(total.value(), loss(scores, ids))
        assert total.divisor() == pytest.approx(loss.divisor(ids))
    target = rng.standard_normal((ROWS, 4))
    target[rng.random(target.shape) < 0.3] = np.nan
    loss = lx.HuberLoss(missing="nan")
    close(filled(loss, (scores.astype("f8"), target), {}, cuts(rng)).value(), loss(scores.astype("f8"), target))
    labels = (rng.random((ROWS, 4)) < 0.4).astype(float)
    mask = rng.random(labels.shape) < 0.3  # some rows know nothing
    loss = lx.MultiLabelSoftMarginLoss()
    close(filled(loss, (scores, labels), {"mask": mask}, cuts(rng)).value(), loss(scores, labels, mask=mask))


def test_custom_losses():
    rng = np.random.default_rng(9)
    scores, target, weight = rng.standard_normal((3, ROWS)).astype("f4")
    loss = lx.custom_loss(lambda raw, y: (raw - y) ** 2, lambda raw, y: 2 * (raw - y))
    given = {"sample_weight": np.abs(weight)}
    close(filled(loss, (scores, target), given, cuts(rng)).value(), loss(scores, target, **given))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_layers(reduction):
    rng = np.random.default_rng(7)
    w, b, x = (rng.standard_normal(shape).astype("f4") for shape in ((30, 5), (30,), (ROWS, 5)))
    labels, weight = rng.integers(0, 30, ROWS), rng.integers(0, 4, ROWS) / 2
    labels[::7] = -100
    loss = lx.LinearSoftmaxLoss(reduction, weight=rng.random(30))
    kept = np.where(labels < 0, 0, labels)
    sampled = LogUniformSampler(30, seed=3).sample(kept, 8)
    for made, y in (
        (loss, labels),
        (lx.LinearBCELoss(reduction=reduction), kept[:, np.newaxis]),
        (lx.SampledSoftmaxLoss(8, 30, reduction=reduction), kept),
        (lx.NCELoss(8, 30, reduction=reduction), kept),
    ):
        given = {"sampled_values": sampled} if hasattr(made, "num_sampled") else {}
        total = made.accumulator()
        for part in np.array_split(np.arange(ROWS), 9):
            own = {"sampled_values": (sampled[0], sampled[1][part], sampled[2])} if given else {}
            total.update(w, b, y[part], x[part], sample_weight=weight[part], **own)
        close(total.value(), made(w, b, y, x, sample_weight=weight, **given))
    both = lx.InBatchSoftmaxLoss(reduction=reduction, symmetric=True)
    total = both.accumulator().update(x[:9], x[9:20]).update(x[20:30], x[20:30])
    parts = both(x[:9].astype("f8"), x[9:20].astype("f8")), both(x[20:30].astype("f8"), x[20:30].astype("f8"))
    wanted = (9 * parts[0] + 10 * parts[1]) / 19 if reduction == "mean" else sum(parts)
    assert total.value() == pytest.approx(wanted, rel=1e-5)
    assert total.divisor() == (19 if reduction == "mean" else 1)


def test_sums_do_not_lose_what_float64_would():
    loss = lx.L1Loss(reduction="sum")
    total = loss.accumulator()
    total.update([1e17], [0.0])
    for _ in range(1000):
        total.update([1.0], [0.0])
    assert total.value() == 1e17 + 1000
    single = loss.accumulator()
    for _ in range(3000):
        single.update(np.full(1, 1e-4, "f4"), np.zeros(1, "f4"))
    assert single.value() == np.float32(3000 * float(np.float32(1e-4)))


def test_the_same_chunks_in_the_same_order_give_the_same_bits():
    rng = np.random.default_rng(8)
    arrays = rng.standard_normal((2, ROWS))
    loss, at = lx.LogCoshLoss(), cuts(rng)
    states = {pickle.dumps(filled(loss, arrays, {}, at)) for _ in range(3)}
    assert len(states) == 1
    parts = []
    for start, stop in itertools.pairwise(at):
        parts.append(pickle.loads(pickle.dumps(loss.accumulator().update(*arrays[:, start:stop]))))
    merged = loss.accumulator()
    for part in parts:
        merged.merge(part)
    assert merged.value() == filled(loss, arrays, {}, at).value()
    assert merged.divisor() == ROWS


def test_it_is_small_and_goes_on_after_pickling():
    total = lx.BCEWithLogitsLoss().accumulator().update([0.5, 1.0], [1, 0])
    packed = pickle.dumps(total)
    assert len(packed) < 400
    again = pickle.loads(packed).update([2.0], [1])
    assert again.value() == pytest.approx(lx.BCEWithLogitsLoss()([0.5, 1.0, 2.0], [1, 0, 1]))
    assert len(pickle.dumps(lx.SampledSoftmaxLoss(4, 9, reduction="mean").accumulator())) < 1000


def test_nothing_is_nan_and_the_sum_of_nothing_is_0():
    assert np.isnan(lx.MSELoss().accumulator().value())
    assert lx.MSELoss(reduction="sum").accumulator().value() == 0
    masked = lx.MSELoss().accumulator().update([1.0], [0.0], mask=[False])
    assert np.isnan(masked.value())
    assert masked.divisor() == 0


def test_several_threads_update_one():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        total, part = lx.MSELoss().accumulator(), lx.MSELoss().accumulator().update(np.ones(2), np.zeros(2))

        def work():
            for _ in range(2000):
                total.update(np.ones(3), np.zeros(3))
                total.merge(part)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert total.divisor() == 4 * 2000 * 5
    assert total.value() == 1


def test_a_chunk_that_fails_leaves_it_as_it_was():
    total = lx.CrossEntropyLoss().accumulator().update([[0.0, 1.0]], [1])
    before = pickle.dumps(total)
    with pytest.raises(ValueError, match=re.escape("target[0] = 7")):
        total.update([[0.0, 1.0]], [7])
    with pytest.raises(TypeError):
        total.update([[0.0, 1.0]])
    assert pickle.dumps(total) == before
    with pytest.raises(ValueError, match="L1Loss"):
        total.merge(lx.L1Loss().accumulator())
    with pytest.raises(TypeError, match="allowed is an Accumulator"):
        total.merge(3.0)
    with pytest.raises(ValueError, match="reduction='none'"):
        lx.L1Loss(reduction="none").accumulator()
