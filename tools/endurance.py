"""Interrupts and forks in the middle of parallel calls: python tools/endurance.py [INTERRUPTS [FORKS]]

Ends non-zero if a call that was let finish gives other bits than a serial one, or a child does not finish.
"""

import os
import random
import signal
import sys
import threading
import time

import numpy as np

import lossext as lx

interrupts, forks = (int(word) for word in (*sys.argv[1:], *("400", "100")[len(sys.argv) - 1 :])[:2])
rng = np.random.default_rng(0)
x, ids = rng.normal(size=(20_000, 100)).astype("f4"), rng.integers(0, 100, 20_000)
dots = rng.normal(size=(300, 64)), np.zeros(300), rng.integers(0, 300, 2000), rng.normal(size=(2000, 64))
calls = [
    lambda n: lx.MultiMarginLoss().value_and_grad(x, ids, n_threads=n)[1],
    lambda n: lx.HuberLoss().value_and_grad(x, x[::-1].copy(), n_threads=n)[1],
    lambda n: lx.LinearSoftmaxLoss().value_and_grad(*dots, n_threads=n)[1].inputs,
]
right = [call(1).tobytes() for call in calls]


def interrupt(*_):
    raise KeyboardInterrupt


signal.signal(signal.SIGALRM, interrupt)
random.seed(0)
raised = finished = 0
while raised < interrupts:
    k = (raised + finished) % len(calls)
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 2e-2))
        found = calls[k](2).tobytes()
        signal.setitimer(signal.ITIMER_REAL, 0)
        finished += 1
        if found != right[k]:
            sys.exit("a call beside interrupts gave other bits")
    except KeyboardInterrupt:
        raised += 1
print(f"interrupts: {raised} in the middle of calls, {finished} calls between them with the bits of serial ones")

stop = threading.Event()


def keep_busy():
    while not stop.is_set():
        calls[0](2)


def child():
    for call, bits in zip(calls, right, strict=True):
        if call(2).tobytes() != bits:
            os._exit(1)
    os._exit(0)


thread = threading.Thread(target=keep_busy)
thread.start()
try:
    for _ in range(forks):
        time.sleep(random.uniform(0, 5e-3))
        pid = os.fork()
        if pid == 0:
            child()
        end = time.monotonic() + 60
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                sys.exit("a child hangs")
            time.sleep(1e-3)
        if ended[1]:
            sys.exit(f"a child ended with {ended[1]}")
finally:
    stop.set()
    thread.join()
print(f"forks: {forks} while another thread was in a parallel call, each child with the bits of serial calls")
