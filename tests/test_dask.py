"""Estimators on chunks of a real cluster of two processes, against those of one."""

import gc
import logging
import os
import pickle
import re
import runpy
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
sklearn = pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

import lossext as lx  # noqa: E402
import lossext.dask as ld  # noqa: E402
import lossext.sklearn as ls  # noqa: E402

ROWS, CHUNK, FEW = 2003, 300, 700  # FEW: three chunks, where a fit takes many passes
MEMORY = 400 << 20  # of a worker, which needs half of it for its libraries


@pytest.fixture(scope="module")
def client():
    settings = {"distributed.comm.timeouts.connect": "20s", "distributed.worker.daemon": True}
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with dask.config.set(settings), distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, memory_limit=MEMORY, dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster, distributed.Client(cluster) as client:  # fmt: skip
        yield client


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((ROWS, 5)) * [1, 10, 0.1, 1, 1] + 2
    score = X @ [1, 0.1, 3, 0, -1] - 6.2
    y = (score + rng.logistic(size=ROWS) > 0).astype(int)
    weight = rng.integers(0, 4, ROWS) / 2
    return X, y, y + (X[:, 3] > 2.5), score + rng.standard_normal(ROWS), weight


def chunked(*arrays, rows=CHUNK):
    return [da.from_array(a, chunks=(rows, *a.shape[1:])) for a in arrays]


def same(a, b):
    """The same optimum."""
    assert a.objective_ == pytest.approx(b.objective_, rel=1e-8)
    scale = np.abs(b.coef_).max()
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=1e-5 * max(scale, np.abs(b.intercept_).max()))


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("loss", ["bce_with_logits", "cross_entropy"])
def test_classes(client, data, solver, loss):
    X, _, y, _, weight = data
    dX, dy, dw = chunked(X, y, weight, rows=FEW)
    # a penalty that counts: where classes are all but separated, L-BFGS takes its gap for a thirtieth
    settings = {"loss": loss, "C": 0.01, "tol": 1e-7, "class_weight": "balanced"}
    here = ls.LossClassifier(**settings).fit(X, y, weight)
    there = ld.LossClassifier(solver=solver, **settings).fit(dX, dy, dw)
    same(there, here)
    assert there.n_features_in_ == 5
    predicted = there.predict(dX)
    assert predicted.chunks == dy.chunks
    np.testing.assert_array_equal(predicted.compute(), there.predict(X))
    np.testing.assert_allclose(there.predict_proba(dX).compute(), there.predict_proba(X))
    np.testing.assert_array_equal(there.predict_top_k(dX, 2).compute(), there.predict_top_k(X, 2))
    with pytest.raises(ValueError, match="X has 3 features, but LossClassifier is expecting 5"):
        there.predict(dX[:, :3])
    with pytest.raises(ValueError, match="X has 2 chunks along its columns"):
        there.predict_proba(dX.rechunk({1: 3}))
    assert there.score(dX, dy, dw) == pytest.approx(here.score(X, y, weight), abs=2e-3)


def test_same_bits(client, data):
    X, y, *_ = data
    dX, dy = chunked(X, y, rows=120)  # two levels of sums
    first, second = (ld.LossClassifier().fit(dX, dy) for _ in range(2))
    assert first.coef_.tobytes() == second.coef_.tobytes()
    assert first.loss_curve_ == second.loss_curve_


@pytest.mark.parametrize("loss", ["huber", "half_poisson", lx.PinballLoss(quantile=0.8)], ids=str)
def test_numbers(client, data, loss):
    X, _, _, y, weight = data
    y = np.abs(y) if loss == "half_poisson" else y
    here = ls.LossRegressor(loss, alpha=0.01, tol=1e-6).fit(X, y, weight)
    there = ld.LossRegressor(loss, alpha=0.01, tol=1e-6).fit(*chunked(X, y, weight, rows=FEW))
    if isinstance(loss, str):
        same(there, here)
    else:  # rounded kinks
        assert there.objective_ == pytest.approx(here.objective_, rel=1e-4)


def test_targets_far_beyond_the_bend(client, data):
    X, _, _, y, _ = data
    X, y = np.column_stack([X, np.full(ROWS, 7.0)]), 30 * y  # and a constant feature
    here, there = (
        ls.LossRegressor("huber", alpha=0.01).fit(X, y),
        ld.LossRegressor("huber", alpha=0.01).fit(*chunked(X, y, rows=FEW)),
    )
    assert there.objective_ == pytest.approx(here.objective_, rel=1e-8)


def test_scores_of_numbers(client, data):
    X, _, _, y, weight = data
    dX, dw = chunked(X, weight, rows=FEW)
    for loss, numbers in (("half_squared_error", y), ("half_gamma", np.abs(y) + 0.1), ("huber", y)):
        (dn,) = chunked(numbers, rows=FEW)
        there = ld.LossRegressor(loss, alpha=0.01, tol=1e-6).fit(dX, dn)
        here = ls.LossRegressor(loss, alpha=0.01, tol=1e-6).fit(X, numbers)
        assert there.score(dX, dn, dw) == pytest.approx(here.score(X, numbers, weight), abs=1e-8)
        np.testing.assert_allclose(there.predict(dX).compute(), here.predict(X), rtol=1e-6, atol=1e-6)


def test_l1_and_hinge(client, data):
    X, y, *_ = data
    settings = {"penalty": "l1", "C": 0.1, "tol": 1e-6}
    few = chunked(X, y, rows=FEW)
    here, there = ls.LossClassifier(**settings).fit(X, y), ld.LossClassifier(**settings).fit(*few)
    assert there.objective_ == pytest.approx(here.objective_, rel=1e-8)
    here, there = ls.LossClassifier("hinge").fit(X, y), ld.LossClassifier("hinge").fit(*few)
    assert there.objective_ == pytest.approx(here.objective_, rel=1e-4)


def test_several_labels(client, data):
    X, y, y3, *_ = data
    Y = np.column_stack([y, y3 > 1, y3 == 0]).astype(int)
    here = ls.LossClassifier("bce_with_logits", tol=1e-7).fit(X, Y)
    same(ld.LossClassifier("bce_with_logits", tol=1e-7).fit(*chunked(X, Y, rows=FEW)), here)


def test_dataframes_and_strings(client, data):
    X, y, *_ = data
    frame = pd.DataFrame(X, columns=list("abcde")).assign(y=np.where(y, "yes", "no"))
    ddf = dd.from_pandas(frame, npartitions=4)
    there = ld.LossClassifier(tol=1e-7).fit(ddf[list("abcde")], ddf["y"])
    here = ls.LossClassifier(tol=1e-7).fit(frame[list("abcde")], frame["y"])
    same(there, here)
    assert list(there.feature_names_in_) == list("abcde")
    assert list(there.predict(ddf[list("abcde")]).compute()) == list(here.predict(frame[list("abcde")]))


def test_a_bad_label_is_named_by_its_row(client, data):
    X, y, _, numbers, weight = data
    dX, dy = chunked(X, y)
    bad = y.astype(float)
    bad[1234] = np.nan
    with pytest.raises(ValueError, match=r"y holds nan in row 1234; .*chunk 4 of 7"):
        ld.LossClassifier().fit(dX, *chunked(bad))
    positive = np.abs(numbers)
    positive[777] = -1
    with pytest.raises(ValueError, match=r"y holds -1\.0 in row 777; loss='half_poisson' takes"):
        ld.LossRegressor("half_poisson").fit(dX, *chunked(positive))
    broken = X.copy()
    broken[1999, 2] = np.inf
    with pytest.raises(ValueError, match="X holds inf in row 1999"):
        ld.LossClassifier().fit(*chunked(broken, y))
    weight = weight.copy()
    weight[5] = -2
    with pytest.raises(ValueError, match=r"sample_weight holds -2\.0 in row 5"):
        ld.LossClassifier().fit(dX, dy, *chunked(weight))
    with pytest.raises(ValueError, match="at least 2 classes"):
        ld.LossClassifier().fit(dX, *chunked(np.zeros(ROWS, int)))
    with pytest.raises(ValueError, match="all are zero"):
        ld.LossClassifier().fit(dX, dy, *chunked(np.zeros(ROWS)))


def test_chunks_that_do_not_fit_are_refused(client, data):
    X, y, *_ = data
    dX, dy = chunked(X, y)
    estimator = ld.LossClassifier()
    before = dict(estimator.__dict__)
    for arguments, message in (
        ((dX, dy.rechunk(500)), "y = y.rechunk({0: X.chunks[0]})"),
        ((dX[dX[:, 0] > 1], dy), "X.compute_chunk_sizes()"),
        ((dX.rechunk((300, 2)), dy), "X.rechunk({1: -1})"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            estimator.fit(*arguments)
    with pytest.raises(TypeError, match=r"y is ndarray; allowed is a dask array"):
        estimator.fit(dX, y)
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=4)
    other = dd.from_pandas(pd.Series(y), npartitions=3)
    with pytest.raises(ValueError, match="repartition"):
        estimator.fit(frame, other)
    assert estimator.__dict__ == before


def test_a_chunk_that_fails_is_named(client, data):
    X, y, *_ = data
    dX, dy = chunked(X, y)

    def wide(block, block_info=None):
        return block[:, :4] if block_info[0]["chunk-location"][0] == 3 else block

    with pytest.raises(ValueError, match="different numbers of columns"):
        ld.LossClassifier().fit(dX.map_blocks(wide, dtype=float, meta=np.empty((0, 0))), dy)
    target = da.from_array(np.where(np.arange(ROWS) == 1000, 3, 0), chunks=CHUNK)
    with pytest.raises(
        ld.ChunkError, match=r"chunk 3 of 7, rows 900 to 1199, on worker tcp://.*ValueError: target\[100"
    ):
        ld.accumulate(lx.CrossEntropyLoss(), dX[:, :3], target)


def test_accumulators_and_scorers(client, data):
    X, y, _, numbers, weight = data
    dX, dy, dn, dw = chunked(X, y, numbers, weight)
    loss = lx.HuberLoss(reduction="weighted_mean")
    total = ld.accumulate(loss, dX[:, 0], dn, sample_weight=dw)
    assert total.value() == pytest.approx(loss(X[:, 0], numbers, sample_weight=weight), rel=1e-15)
    assert len(pickle.dumps(total)) < 500
    fitted = ld.LossClassifier().fit(dX, dy)
    there = ld.loss_scorer("bce_with_logits")(fitted, dX, dy, sample_weight=dw)
    assert there == pytest.approx(ls.loss_scorer("bce_with_logits")(fitted, X, y, sample_weight=weight), rel=1e-12)


def test_progress_is_told_on_the_client(client, data, capsys):
    ld.LossClassifier(verbose=2).fit(*chunked(*data[:2]))
    assert "[LossClassifier] iteration 1: objective" in capsys.readouterr().out


def blocks_of_the_page(word):
    """Blocks of docs/dask.md that need a cluster and hold a word."""
    page = Path(__file__).parents[1] / "docs" / "dask.md"
    if not page.exists():
        pytest.skip("the tests stand alone")
    found = re.findall(r"^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in found if word in block]


@pytest.mark.parametrize("word", ["LossClassifier", "xgboost", "lightgbm"])
def test_the_page(client, data, monkeypatch, word):
    if word != "LossClassifier":
        pytest.importorskip(word)
    X, y, *_ = data
    dX, dy = (part.persist() for part in chunked(X, y))
    monkeypatch.setattr(distributed, "Client", lambda: client)
    (block,) = blocks_of_the_page(word)
    exec(block, {"X": dX, "y": dy, "client": client, "lx": lx})


def test_the_example(monkeypatch, capsys):
    example = Path(__file__).parents[1] / "examples" / "dask_rows.py"
    if not example.exists():
        pytest.skip("the tests stand alone")
    fit = runpy.run_path(str(example))["fit"]
    fitted = fit(20_000, 5_000, 1, "1TB", processes=False)  # this process is the worker, whatever else it holds
    assert fitted.coef_[0] == pytest.approx(np.linspace(-1, 1, 20), abs=0.1)
    assert "20000 rows" in capsys.readouterr().out


def wait_until(settled, seconds=10):
    end = time.monotonic() + seconds
    while not settled():
        assert time.monotonic() < end
        time.sleep(0.05)


def slowly(block, seconds):
    time.sleep(seconds)
    return block


def test_an_interrupt_leaves_no_futures(client, data, request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    X, y, *_ = data
    dX, dy = chunked(X, y)
    slow = dX.map_blocks(slowly, 0.3, dtype=float)
    estimator = ld.LossClassifier()

    def n_tasks():
        return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))

    gc.collect()  # what other tests persisted goes first
    wait_until(lambda: not n_tasks())
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(slow, dy)
    assert not hasattr(estimator, "coef_")
    wait_until(lambda: not n_tasks())
    assert not client.futures


def test_a_worker_that_is_killed(client, data):
    X, y, *_ = data
    dX, dy = chunked(X, y)
    slow = dX.map_blocks(slowly, 0.02, dtype=float)
    expected = ld.LossClassifier().fit(slow, dy)
    pids = list(client.run(os.getpid).values())
    timer = threading.Timer(0.4, lambda: os.kill(pids[0], signal.SIGKILL))
    timer.start()
    found = ld.LossClassifier().fit(slow, dy)
    timer.join()
    assert found.coef_.tobytes() == expected.coef_.tobytes()
    client.wait_for_workers(2, timeout=30)
    assert pids[0] not in client.run(os.getpid).values()


def made(start, n_rows):
    """Rows that a worker makes: features and, last, the class; few draws, so that memory decides the time."""
    rng = np.random.default_rng(start)
    X = np.tile(rng.standard_normal((n_rows // 20, 33)), (20, 1))
    X[:, 32] = X[:, :3].sum(axis=1) + rng.logistic(size=n_rows) > 0
    return X


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:newton reached max_iter")
def test_an_array_of_20_times_a_workers_memory(client):
    n_rows = 60_000  # 16 MB a chunk
    n_chunks = -(-20 * MEMORY // (n_rows * 33 * 8))
    parts = [
        da.from_delayed(dask.delayed(made, pure=True)(i, n_rows), (n_rows, 33), dtype=float) for i in range(n_chunks)
    ]
    whole = da.concatenate(parts)
    assert whole.nbytes >= 20 * MEMORY
    fitted = ld.LossClassifier(max_iter=2).fit(whole[:, :32], whole[:, 32])
    assert fitted.coef_[0, :3] == pytest.approx(1, abs=0.2)
    used = client.run(lambda dask_worker: dask_worker.monitor.get_process_memory())
    assert max(used.values()) < MEMORY


def test_a_client_that_is_closed_leaves_the_estimator_as_it_was(data):
    X, y, *_ = data
    dX, dy = chunked(X, y)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as cluster:
        client = distributed.Client(cluster)
        slow = dX.map_blocks(slowly, 0.3, dtype=float)
        estimator = ld.LossClassifier()
        before = dict(estimator.__dict__)
        threading.Timer(0.8, client.close).start()
        with client.as_current(), pytest.raises(RuntimeError, match="client"):
            estimator.fit(slow, dy)
        assert estimator.__dict__ == before
