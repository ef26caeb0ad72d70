"""Parallel calls of every loss, from several Python threads at once: what a ThreadSanitizer build is run on."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import lossext as lx

ROUNDS = 20


def calls():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        x = rng.normal(size=(600, 100)).astype(dtype)
        for cls in lx.registry():
            target = np.ones(x.shape, np.uint8)  # a good one of every kind of element
            if cls.declaration.takes_ids:
                target = np.arange(len(x)) % x.shape[1]
            if cls.declaration.target.kind == "labels":
                target = target[:, np.newaxis]
            for reduction in ("mean", "none"):
                yield cls(reduction=reduction), np.clip(x, 0, 1) if cls.declaration.input_domain else x, target


def work(seed):
    for loss, x, target in calls():
        loss(x, target, n_threads=4)
        loss.value_and_grad(x, target, n_threads=3)
        loss.grad(x, target, sample_weight=np.ones(len(x)), n_threads=2)
    weights = np.random.default_rng(seed).normal(size=(500, 40))
    sampled = lx.SampledSoftmaxLoss(100, 500, num_true=2, seed=seed)
    labels = np.arange(600).reshape(300, 2) % 500
    _, grad = sampled.value_and_grad(weights, weights[:, 0].copy(), labels, weights[:300], n_threads=4)
    grad.weights.add_to(weights, -0.1, n_threads=3)


with ThreadPoolExecutor(4) as pool:
    list(pool.map(work, range(ROUNDS)))
print(f"races: none found in {ROUNDS * (3 * len(list(calls())) + 2)} parallel calls from 4 threads")
