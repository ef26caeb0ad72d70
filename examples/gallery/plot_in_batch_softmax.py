"""
Two towers: in-batch softmax with and without log q
===================================================

The other items of a batch are negatives for free, but frequent items are negatives more often. ``log_q`` corrects that;
without it the model learns a score from which the popularity is missing. Data: the words of Python's language reference
(``pydoc_data``): the word before is the "user", the word after the "item".
"""

import itertools
import pydoc_data.topics
import re
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

import lossext as lx

words = re.findall(r"[a-z]+", " ".join(pydoc_data.topics.topics.values()).lower())
vocabulary = [word for word, count in Counter(words).most_common() if count > 2]
number = {word: i for i, word in enumerate(vocabulary)}
ids = np.array([number[word] for word in words if word in number])
user, item = ids[:-1], ids[1:]
test = np.random.default_rng(1).random(len(user)) < 0.1
n, dim = len(vocabulary), 32

# %%
# ``FrequencyEstimator`` learns from the stream how probable each item is in a batch. The gradient's rows go straight
# into the tables.


def fit(correct):
    rng = np.random.default_rng(0)
    users, items = rng.normal(0, 0.3, (2, n, dim)).astype(np.float32)
    of_users, of_items = np.full_like(users, 1e-2), np.full_like(items, 1e-2)
    frequency = lx.FrequencyEstimator(num_buckets=10 * n)
    loss = lx.InBatchSoftmaxLoss()
    train = np.flatnonzero(~test)
    for _ in range(1200):
        batch = rng.choice(train, 256)
        u, i = user[batch], item[batch]
        frequency.update(i)
        log_q = frequency.log_q(i) if correct else None
        grad = loss.grad(users[u], items[i], item_ids=i, log_q=log_q)
        lx.RowSparse(u, grad.users, users.shape).adagrad(users, of_users, learning_rate=0.1)
        grad.item_rows(i, n).adagrad(items, of_items, learning_rate=0.1)
    return users, items


models = {"with log q": fit(True), "without": fit(False)}

# %%
# Recall: is the word after among the ten best?

best = {
    name: lx.topk(items, np.zeros(n, np.float32), users[user[test]], k=10)[1] for name, (users, items) in models.items()
}
hits = {name: (found == item[test][:, None]).any(axis=1) for name, found in best.items()}
for name, hit in hits.items():
    print(f"{name:12} recall at 10: {hit.mean():.3f}")

# %%
# What is recommended: with the correction, frequent words as often as they occur; without it, too seldom.

fig, ax = plt.subplots(figsize=(7, 4))
edges = np.array([0, 1, 3, 10, 30, 100, 300, n])
groups = [f"{a + 1}–{b}" for a, b in itertools.pairwise(edges)]
shares = {"word after": np.histogram(item[test], edges)[0] / test.sum()}
shares |= {name: np.histogram(found[:, 0], edges)[0] / test.sum() for name, found in best.items()}
for shift, (name, share) in enumerate(shares.items()):
    ax.bar(np.arange(len(groups)) + 0.27 * shift, share, 0.25, label=name)
ax.set_xticks(np.arange(len(groups)) + 0.27, groups)
ax.set(xlabel="rank of the word by frequency", ylabel="share of the first recommendations")
ax.legend()
plt.show()
