"""A parallel call, then a fork, then a parallel call in the child: where OpenMP packages usually hang."""

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import lossext as lx
from lossext._kernels import drivers
from lossext.samplers import UniformSampler

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 and later warn of what is tested here
]
TIMEOUT = 60  # seconds: long enough for a loaded machine, as a hang lasts forever

X = np.random.default_rng(0).normal(size=(1000, 200)).astype(np.float32)
UNIT = (X > 0.3).astype(np.uint8)
CLASS = np.arange(1000) % 200
WEIGHTS = np.random.default_rng(1).normal(size=(200, 200)).astype(np.float32)
SAMPLED = UniformSampler(200, seed=0).sample(CLASS[:, None], 64)


def results(n_threads):
    """Digest of a value and gradient of each family."""
    digest = hashlib.sha256()
    for loss, target in [(lx.BCEWithLogitsLoss(), UNIT), (lx.MultiMarginLoss(p=2), CLASS)]:
        for array in loss.value_and_grad(X, target, n_threads=n_threads):
            digest.update(array.tobytes())
    sampled = lx.SampledSoftmaxLoss(64, 200, sampled_values=SAMPLED, reduction="mean")
    value, grad = sampled.value_and_grad(WEIGHTS, WEIGHTS[0], CLASS, X, n_threads=n_threads)
    grad.weights.add_to(WEIGHTS.copy(), -0.1, n_threads=n_threads)
    for array in (value, grad.inputs, grad.weights.values, grad.biases.values):
        digest.update(array.tobytes())
    return digest.digest()


@pytest.fixture(scope="module")
def serial_results():
    return results(1)


def wait(pid):
    """The exit code of a child, killed if it hangs."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hangs"


def fork(work):
    """Run `work` in a child; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def check(n_threads, expected):
    assert results(n_threads) == expected
    if n_threads > 1 and drivers.openmp_limit() > 1 and sys.platform == "linux":
        assert len(os.listdir("/proc/self/task")) > 1, "the call ran on one thread"


@pytest.mark.parametrize("parent_threads", [None, 1, 2, 4])
@pytest.mark.parametrize("child_threads", [1, 2, 4])
def test_child(serial_results, parent_threads, child_threads):
    if parent_threads is not None:
        assert results(parent_threads) == serial_results
    assert wait(fork(lambda: check(child_threads, serial_results))) == 0
    assert results(4) == serial_results


def test_grandchild(serial_results):
    def child():
        check(2, serial_results)
        assert wait(fork(lambda: check(3, serial_results))) == 0
        check(2, serial_results)

    results(2)
    assert wait(fork(child)) == 0


def test_siblings(serial_results):
    results(2)
    children = [fork(lambda: check(2, serial_results)) for _ in range(4)]
    assert [wait(pid) for pid in children] == [0] * 4


@pytest.mark.parametrize("warm", [False, True])
def test_fork_from_a_thread(serial_results, warm):
    """The pool belongs to a thread: the forking one may have its own, or none."""
    codes = []

    def work():
        if warm:
            results(2)
        codes.append(wait(fork(lambda: check(2, serial_results))))

    results(2)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [0]


def test_fork_while_others_run(serial_results):
    stop = threading.Event()
    wrong = []

    def run():
        while not stop.is_set():
            if results(2) != serial_results:
                wrong.append("bits")

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        codes = [wait(fork(lambda: check(2, serial_results))) for _ in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 20
    assert not wrong


def run_script(tmp_path, code, **environ):
    """A script of its own: children that are not forked import its main module anew."""
    script = tmp_path / "script.py"
    script.write_text(COMMON + textwrap.dedent(code))
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "4", **environ},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


COMMON = """\
import warnings

import numpy as np

import lossext as lx

warnings.simplefilter("ignore", DeprecationWarning)
X = np.random.default_rng(0).normal(size=(1000, 200)).astype(np.float32)


def work(n_threads):
    value, grad = lx.MultiMarginLoss(p=2).value_and_grad(X, np.arange(1000) % 200, n_threads=n_threads)
    return float(value), float(np.abs(grad).sum())

"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path, method):
    run_script(
        tmp_path,
        f"""
        if __name__ == "__main__":
            import multiprocessing

            expected = work(2)
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                found = pool.map_async(work, [1, 2, 4, 2]).get({TIMEOUT})
            assert found == [expected] * 4, (found, expected)
            assert work(4) == expected
        """,
    )


def test_loky(tmp_path):
    pytest.importorskip("joblib")
    run_script(
        tmp_path,
        """
        if __name__ == "__main__":
            from joblib import Parallel, delayed

            expected = work(2)
            assert Parallel(n_jobs=2)(delayed(work)(n) for n in [1, 2, 4, 2]) == [expected] * 4
        """,
    )


OTHERS = {
    "torch": """
        import torch
        def other():
            a = torch.ones(1000, 1000)
            assert float((a @ a)[0, 0]) == 1000 and float(torch.exp(a).sum()) > 2.7e6
        """,
    "sklearn": """
        from sklearn.ensemble import HistGradientBoostingClassifier
        def other():
            HistGradientBoostingClassifier(max_iter=3).fit(X, X[:, 0] > 0)
        """,
    "xgboost": """
        import xgboost
        def other():
            xgboost.train({"nthread": 2}, xgboost.DMatrix(X, label=X[:, 0] > 0), num_boost_round=2)
        """,
    "lightgbm": """
        import lightgbm
        def other():
            lightgbm.train({"num_threads": 2, "verbose": -1}, lightgbm.Dataset(X, label=X[:, 0] > 0), num_boost_round=2)
        """,
}


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("package", OTHERS)
def test_beside_another_runtime(tmp_path, package, first):
    """Two OpenMP runtimes in one process, and our own after a fork of it."""
    pytest.importorskip(package)
    calls = "expected = work(4)\nother()" if first == "ours" else "other()\nexpected = work(4)"
    imports = textwrap.dedent(OTHERS[package])
    script = f"""
import os, sys
def main():
    {calls.replace(chr(10), chr(10) + "    ")}
    other()
    assert work(2) == expected
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work(4) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
main()
"""
    path = tmp_path / "script.py"
    path.write_text(COMMON + imports + script if first == "ours" else imports + COMMON + script)
    run = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=2 * TIMEOUT, cwd=tmp_path)
    assert run.returncode == 0, run.stderr


REFUSE = "int omp_pause_resource_all(int kind) { (void)kind; return -1; }\n"


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="needs gcc and LD_PRELOAD")
@pytest.mark.skipif("gcc" not in drivers.compiler(), reason="libomp has fork handlers of its own")
@pytest.mark.skipif(not drivers.openmp_version(), reason="a serial build")
def test_runtime_that_refuses_to_pause(tmp_path):
    """Where the pool cannot be torn down before a fork, the child stays on one thread, whatever it asks for."""
    (tmp_path / "refuse.c").write_text(REFUSE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "refuse.so", "refuse.c"], cwd=tmp_path, check=True)
    run_script(
        tmp_path,
        f"""
        import os

        expected = work(4)
        pid = os.fork()
        if pid == 0:
            import faulthandler

            faulthandler.dump_traceback_later({TIMEOUT}, exit=True)
            same = [work(n) for n in (4, 2, None)] == [expected] * 3
            os._exit(0 if same and len(os.listdir("/proc/self/task")) <= 2 else 3)  # one is the watchdog's
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """,
        LD_PRELOAD=f"{os.environ.get('LD_PRELOAD', '')}:{tmp_path / 'refuse.so'}".lstrip(":"),
    )
