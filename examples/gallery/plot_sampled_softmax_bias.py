"""
Sampled softmax, and its bias as S grows
========================================

The gradient of a sampled softmax is an estimate of that of the full one. Its noise falls with the number S of sampled
classes, and so does its bias, faster. Data: the words of Python's language reference (the standard library's
``pydoc_data``), each to be told from the one before.
"""

import pydoc_data.topics
import re
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

import lossext as lx
from lossext.samplers import FixedUnigramSampler, UniformSampler

words = re.findall(r"[a-z]+", " ".join(pydoc_data.topics.topics.values()).lower())
vocabulary = [word for word, count in Counter(words).most_common() if count > 2]
number = {word: i for i, word in enumerate(vocabulary)}
ids = np.array([number[word] for word in words if word in number])
before, after = ids[:-1], ids[1:]
num_classes, dim = len(vocabulary), 32
print(f"{len(ids)} words, {num_classes} of them different")

# %%
# A small model, trained with 100 sampled words at a time, until it knows something.

rng = np.random.default_rng(0)
embedding = rng.normal(0, 0.1, (num_classes, dim)).astype(np.float32)
weights, biases = rng.normal(0, 0.1, (num_classes, dim)).astype(np.float32), np.zeros(num_classes, np.float32)
squares = {"embedding": np.full_like(embedding, 1e-3), "weights": np.full_like(weights, 1e-3)}
squares["biases"] = np.full_like(biases, 1e-3)
unigram = FixedUnigramSampler(np.bincount(ids), distortion=0.75, seed=0)
loss = lx.SampledSoftmaxLoss(100, num_classes, sampler=unigram, reduction="mean")
exact = lx.LinearSoftmaxLoss()
held = slice(0, 2000)
print(f"perplexity at the start {np.exp(exact(weights, biases, after[held], embedding[before[held]])):.0f}", end=", ")
for _ in range(600):
    batch = rng.integers(2000, len(after), 512)
    value, grad = loss.value_and_grad(weights, biases, after[batch], embedding[before[batch]])
    grad.weights.adagrad(weights, squares["weights"], learning_rate=0.1)
    grad.biases.adagrad(biases, squares["biases"], learning_rate=0.1)
    rows = lx.RowSparse(before[batch], grad.inputs, embedding.shape)  # adds up repeated rows
    rows.adagrad(embedding, squares["embedding"], learning_rate=0.1)
print(f"after 600 steps {np.exp(exact(weights, biases, after[held], embedding[before[held]])):.0f}")

# %%
# The gradient of the weights for one batch, against that of the full softmax: one draw, and the mean of many.

batch = rng.integers(0, len(after), 256)
layer = weights, biases, after[batch], embedding[before[batch]]
full = exact.grad(*layer).weights
sizes, draws = [10, 30, 100, 300, 1000], 60


def distance(grad):
    return np.linalg.norm(grad - full) / np.linalg.norm(full)


fig, ax = plt.subplots(figsize=(7, 4))
for name, sampler, color in (
    ("unigram", FixedUnigramSampler(np.bincount(ids), seed=1), "C0"),
    ("uniform", UniformSampler(num_classes, seed=1), "C1"),
):
    one, many = [], []
    for size in sizes:
        sampled = lx.SampledSoftmaxLoss(size, num_classes, sampler=sampler, reduction="mean")
        grads = [sampled.grad(*layer).weights.to_dense() for _ in range(draws)]
        one.append(np.mean([distance(grad) for grad in grads]))
        many.append(distance(np.mean(grads, axis=0)))
    ax.loglog(sizes, one, color + "--", label=f"{name}, one draw")
    ax.loglog(sizes, many, color, label=f"{name}, mean of {draws} draws")
    print(f"{name}: {many[0]:.3f} at S = {sizes[0]}, {many[-1]:.3f} at S = {sizes[-1]}")
ax.set(xlabel="sampled classes S", ylabel="distance from the full gradient / its length")
ax.legend()
plt.show()
