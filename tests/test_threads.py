"""How many threads a call takes, and calls from many threads at once."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lossext as lx
from lossext import _threads
from lossext._kernels import drivers

MUCH = 1e9  # ns of work
RNG = np.random.default_rng(1)


def python(code, **environ):
    """Output of a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environ}
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def limit_of_child(before="", **environ):
    """What `default` says in a fresh interpreter."""
    environ = {"LOSSEXT_NUM_THREADS": "", **environ}
    code = f"import os; os.environ.get('LOSSEXT_NUM_THREADS') or os.environ.pop('LOSSEXT_NUM_THREADS')\n{before}"
    return int(python(f"{code}\nfrom lossext import _threads; print(_threads.default()[0])", **environ))


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("LOSSEXT_NUM_THREADS", raising=False)


# the policy


def test_little_work_stays_on_one_thread():
    assert _threads.choose(None, 0.0) == 1


def test_much_work_takes_the_default():
    assert _threads.choose(None, MUCH) == (_threads.default()[0] if drivers.openmp_version() else 1)


@pytest.mark.skipif(not drivers.openmp_version(), reason="serial build")
def test_a_run_of_calls_is_much_work():
    """Calls of 40 us, one right after another, until they make up for waking the team; a pause ends the run."""

    def threads_of_run():
        return next((count for _ in range(100_000) if (count := drivers.threads_for(4e4)) != 1), 1)

    def counts():
        drivers.threads_for(1e5)
        time.sleep(0.1)
        yield drivers.threads_for(4e4)
        yield threads_of_run()  # 0: as many as there may be, which is asked for once
        drivers.remember_threads(3)
        yield drivers.threads_for(4e4)
        yield drivers.threads_for(1e3)
        time.sleep(0.1)
        yield drivers.threads_for(4e4)
        yield threads_of_run()

    tries = [list(counts()) for _ in range(5)]  # a pause can be the scheduler's, too
    assert [1, 0, 3, 1, 1, 0] in tries


def test_a_run_of_calls_gives_the_same_bits():
    x, y = RNG.standard_normal((256, 100)).astype("f4"), RNG.integers(0, 2, (256, 100))
    loss = lx.BCEWithLogitsLoss()
    value, grad = loss.value_and_grad(x, y, n_threads=1)
    for _ in range(3000):
        got = loss.value_and_grad(x, y)
        assert got[0] == value
        assert got[1].tobytes() == grad.tobytes()


@pytest.mark.parametrize("work", [0.0, MUCH])
@pytest.mark.parametrize("n_threads", [1, 3, np.int64(5)])
def test_explicit_number_counts(monkeypatch, n_threads, work):
    monkeypatch.setenv("LOSSEXT_NUM_THREADS", "2")
    assert _threads.choose(n_threads, work) == (n_threads if drivers.openmp_version() else 1)


@pytest.mark.parametrize("n_threads", [0, -1, -(10**30)])
def test_explicit_number_too_small(n_threads):
    with pytest.raises(ValueError, match="n_threads"):
        _threads.choose(n_threads, MUCH)


@pytest.mark.parametrize("n_threads", [2.0, "2", True, [2]])
def test_explicit_number_of_wrong_type(n_threads):
    with pytest.raises(TypeError, match="n_threads"):
        _threads.choose(n_threads, MUCH)


def test_environment_beats_the_limits(monkeypatch):
    monkeypatch.setenv("LOSSEXT_NUM_THREADS", "7")
    assert _threads.default() == (7, "LOSSEXT_NUM_THREADS")


@pytest.mark.parametrize("wish", ["0", "-2", "many", "", "2.5"])
def test_bad_environment(monkeypatch, wish):
    monkeypatch.setenv("LOSSEXT_NUM_THREADS", wish)
    with pytest.raises(ValueError, match="LOSSEXT_NUM_THREADS"):
        _threads.choose(None, MUCH)


@pytest.mark.skipif(not drivers.openmp_version(), reason="a serial build")
def test_least_limit_counts(monkeypatch):
    for openmp, affinity, quota, least in [(4, 8, None, 4), (8, 4, None, 4), (8, 8, 3, 3), (1, 8, 3, 1)]:
        monkeypatch.setattr(drivers, "openmp_limit", lambda n=openmp: n)
        monkeypatch.setattr(_threads, "affinity", lambda n=affinity: n)
        monkeypatch.setattr(_threads, "container_quota", lambda n=quota: n)
        assert _threads.default()[0] == least


# control groups: (files of the file system, /proc/self/cgroup, CPUs)
GROUPS = {
    "no quota": ({"cpu.max": "max 100000"}, "0::/", None),
    "v2 container": ({"cpu.max": "200000 100000"}, "0::/", 2),
    "v2 part of a CPU": ({"cpu.max": "50000 100000"}, "0::/", 1),
    "v2 two and a half": ({"cpu.max": "250000 100000"}, "0::/", 3),
    "v2 group": ({"a/b/cpu.max": "300000 100000", "a/cpu.max": "max 100000"}, "0::/a/b", 3),
    "v2 parent is tighter": ({"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, "0::/a/b", 1),
    "v2 path of the host": ({"cpu.max": "100000 100000"}, "0::/kubepods/pod1/x", 1),
    "v1 container": ({"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu,cpuacct:/", 2),
    "v1 joint mount": (
        {"cpu,cpuacct/g/cpu.cfs_quota_us": "400000", "cpu,cpuacct/g/cpu.cfs_period_us": "100000"},
        "4:memory:/g\n3:cpu,cpuacct:/g\n0::/",
        4,
    ),
    "v1 no quota": ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu,cpuacct:/", None),
    "v1 path of the host": (
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        "3:cpu,cpuacct:/docker/abc",
        1,
    ),
    "nonsense": ({"cpu.max": "a lot"}, "0::/", None),
    "other controllers": ({}, "4:memory:/g\n1:name=systemd:/init", None),
}


@pytest.mark.parametrize("case", GROUPS)
def test_container_quota(tmp_path, case):
    files, membership, expected = GROUPS[case]
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "self").write_text(membership + "\n")
    assert _threads.container_quota(tmp_path / "cgroup", tmp_path / "self") == expected


def test_no_control_groups(tmp_path):
    assert _threads.container_quota(tmp_path, tmp_path / "absent") is None


@pytest.mark.skipif(not drivers.openmp_version(), reason="a serial build")
class TestRuntime:
    def test_omp_num_threads(self):
        code = "from lossext._kernels import drivers; print(drivers.openmp_limit())"
        assert python(code, OMP_NUM_THREADS="3") == "3"
        assert limit_of_child(OMP_NUM_THREADS="1") == 1

    def test_threadpoolctl(self):
        threadpoolctl = pytest.importorskip("threadpoolctl")
        with threadpoolctl.threadpool_limits(1, user_api="openmp"):
            assert drivers.openmp_limit() == 1
            assert _threads.default()[0] == 1

    def test_nobody_elses_settings_change(self):
        """Neither by import, nor by calls with more threads than the runtime would use."""
        code = """
import ctypes, os, sys
before = dict(os.environ)
import lossext as lx, numpy as np
from lossext._kernels import drivers
cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
assert drivers.openmp_limit() == 2
x = np.ones((500, 300))
lx.BCEWithLogitsLoss().value_and_grad(x, x, n_threads=5)
assert drivers.openmp_limit() == 2
assert dict(os.environ) == before
assert cpus is None or os.sched_getaffinity(0) == cpus
"""
        python(code, OMP_NUM_THREADS="2")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_affinity():
    """One CPU, one thread: in a container of one CPU nothing is slower than serial code."""
    assert limit_of_child("cpu = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu})") == 1


# many threads


def many_calls():
    """(loss, arguments) of different sizes, on both sides of the bounds where calls become parallel."""
    for rows, cols in [(1, 1), (7, 5), (300, 20), (2000, 150), (40, 10_000)]:
        for dtype in (np.float32, np.float64):
            x = RNG.normal(size=(rows, cols)).astype(dtype)
            yield lx.BCEWithLogitsLoss(), (x, (x > 0).astype(np.uint8))
            yield lx.MultiLabelSoftMarginLoss(reduction="none"), (x, (x > 0).astype(dtype))
            yield lx.MultiMarginLoss(p=2), (x, np.arange(rows) % cols)
            yield lx.HingeEmbeddingLoss(reduction="sum"), (x, np.where(x > 0, 1, -1))


def bits(loss, arguments, n_threads=None):
    value, grad = loss.value_and_grad(*arguments, n_threads=n_threads)
    return hashlib.sha256(value.tobytes() + grad.tobytes()).hexdigest()


@pytest.mark.parametrize("n_threads", [None, 1, 2, 5])
def test_concurrent_calls_give_the_same_bits(n_threads):
    calls = list(many_calls())
    expected = [bits(*call, n_threads=1) for call in calls]
    order = [int(i) for i in RNG.permutation(np.tile(np.arange(len(calls)), 6))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: bits(*calls[i], n_threads=n_threads), order))
    assert found == [expected[i] for i in order]


def at_offset(array, offset):
    """A copy that begins `offset` elements after a cache line."""
    memory = np.empty(array.nbytes + 64 + offset * array.itemsize, np.uint8)
    begin = -memory.ctypes.data % 64 + offset * array.itemsize
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def test_bits_do_not_depend_on_addresses():
    for loss, (x, target) in many_calls():
        found = set()
        for offset in (0, 1, 3, 8, 13):
            value, grad = loss.value_and_grad(at_offset(x, offset), target, out=at_offset(x, 2 * offset))
            assert loss(at_offset(x, 5 * offset), target).tobytes() == value.tobytes()
            found.add((value.tobytes(), grad.tobytes()))
        assert len(found) == 1, (loss, x.shape, x.dtype)


def test_errors_beside_good_calls():
    """A bad target in one thread leaves the calls of others alone."""
    x = RNG.normal(size=(500, 400)).astype(np.float32)
    good, bad = np.arange(500) % 400, np.arange(500)
    loss = lx.MultiMarginLoss()
    expected = bits(loss, (x, good))

    def call(i):
        if i % 2:
            return bits(loss, (x, good), n_threads=2) == expected
        with pytest.raises(ValueError, match=r"target\[400\]"):
            loss(x, bad, n_threads=2)
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(60)))


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_threads_that_end_leave_nothing():
    """Each calling thread has a pool of its own, which ends with it."""
    x = np.ones((500, 400), np.float32)

    def round_of_calls():
        threads = [threading.Thread(target=lambda: lx.BCEWithLogitsLoss()(x, x, n_threads=3)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(500):  # pool threads end a little after their master
            if len(os.listdir("/proc/self/task")) <= limit:
                break
            time.sleep(0.01)
        return len(os.listdir("/proc/self/task"))

    limit = len(os.listdir("/proc/self/task")) + 1
    assert [round_of_calls() for _ in range(5)][-1] <= limit


def test_without_the_gil():
    if getattr(sys, "_is_gil_enabled", lambda: True)() and sys.version_info >= (3, 13):
        import sysconfig

        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            pytest.fail("importing lossext switched the GIL on")
    elif sys.version_info < (3, 13):
        pytest.skip("no free threading before 3.13")


# long calls


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this platform")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt(n_threads):
    """Ctrl-C ends a long call; the calls after it are as before."""
    level = drivers.isa()
    drivers.set_isa(drivers.isa_levels()[0])
    x = np.zeros(1 << 28)  # never written: the system backs it by one page
    target = np.zeros(1 << 28, np.uint8)

    def interrupt(*_):
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGALRM, interrupt)
        begin = time.process_time()  # whatever else runs
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            lx.BCEWithLogitsLoss()(x, target, n_threads=n_threads)
        took = time.process_time() - begin
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        drivers.set_isa(level)
    assert took < n_threads * (0.05 + 0.2)
    assert lx.BCEWithLogitsLoss()(x[:10], target[:10]) == pytest.approx(np.log(2))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="memory never written counts there")
class TestBeyond32Bits:
    """More than 2^31 elements: memory that is never written costs nothing to read."""

    def test_elementwise(self):
        n = (1 << 31) + 100_003
        x, target = np.zeros(n, np.float32), np.zeros(n, np.uint8)
        x[[-1, 1 << 31]] = 1e9
        value = lx.BCEWithLogitsLoss(reduction="sum")(x, target)
        assert float(value) == pytest.approx(2e9 + (n - 2) * np.log(2), rel=1e-6)

    @pytest.mark.parametrize("shape", [((1 << 31) + 5, 1), (3, (1 << 30) + 1)])
    def test_rows(self, shape):
        rows, cols = shape
        if cols == 1 and os.environ.get("LOSSEXT_BIG") != "1":
            pytest.skip("needs much time; LOSSEXT_BIG=1 runs it")
        x, target = np.zeros(shape, np.float32), np.zeros(rows, np.int32)
        x[-1, -1] = 3.0
        value = lx.MultiMarginLoss(reduction="sum")(x, target)
        others = rows * (cols - 1)
        expected = (others + 3.0) / cols if cols > 1 else 0.0
        assert float(value) == pytest.approx(expected, rel=1e-6)

    def test_gradient_and_bad_target(self):
        if os.environ.get("LOSSEXT_BIG") != "1":
            pytest.skip("needs 9 GB of memory; LOSSEXT_BIG=1 runs it")
        n = (1 << 31) + 100_003
        x, target = np.zeros(n, np.float32), np.zeros(n, np.uint8)
        lx.BCEWithLogitsLoss(reduction="sum").grad(x, target, out=x)
        assert x[0] == x[-1] == x[1 << 31] == 0.5
        target[-7] = 9
        with pytest.raises(ValueError, match=rf"target\[{n - 7}\]"):
            lx.BCEWithLogitsLoss()(x, target)


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
def test_memory_error():
    """Where the gradient has no place to go: MemoryError, and everything else as it was."""
    python(
        """
import resource, numpy as np, lossext as lx
loss = lx.BCEWithLogitsLoss()
x = np.zeros((4000, 5000), np.float32)
target = np.zeros_like(x)
expected = loss(x, target)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), -1))
for call in (loss.grad, loss.value_and_grad, lx.BCEWithLogitsLoss(reduction="none")):
    try:
        call(x, target, n_threads=1)
    except MemoryError:
        pass
    else:
        raise SystemExit("no MemoryError")
assert loss(x, target, n_threads=1) == expected
assert not x.any() and not target.any()
assert loss.grad(x[:5], target[:5]).shape == (5, 5000)
"""
    )
