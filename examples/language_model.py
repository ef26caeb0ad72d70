"""A next-word model of Python's own standard library: sampled softmax against the full one.

    python -m pip install tqdm
    python examples/language_model.py [--words 200000] [--epochs 2] [--files 100000]

The words of the library's sources (names, keywords, comments) make a vocabulary of some 30 000.  The model adds up the
embeddings of the three words before, weighted by their distance, and a linear layer gives the next word.  It is trained
with the softmax of a few hundred sampled words and with the full one, by the same steps of Adagrad, and evaluated with
the full one on files that it has not seen: perplexity is the exponential of the mean loss.
"""

import argparse
import math
import random
import re
import sysconfig
import time
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

import lossext as lx
from lossext.samplers import LogUniformSampler

DIM, CONTEXT, BATCH, RATE = 64, 3, 512, 0.1


def read_words(n_files: int) -> list[str]:
    """The words of files of the standard library, in a random order."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests"}
    files = [path for path in root.rglob("*.py") if not skipped & set(path.parts)]
    random.Random(0).shuffle(files)
    return [word for path in files[:n_files] for word in re.findall(r"[A-Za-z_]+", path.read_text("utf8", "ignore"))]


def encode(words: list[str]) -> tuple[list[str], np.ndarray]:
    """The vocabulary, the most frequent word first, and the words as its numbers; 0 is for words that occur once."""
    counts = Counter(words)
    vocabulary = ["?"] + [word for word, count in counts.most_common() if count > 1]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    return vocabulary, np.array([numbers.get(word, 0) for word in words])


class Model:
    """Embeddings, weights of the context's places, and the output layer, each with Adagrad's sums of squares."""

    def __init__(self, n_words: int) -> None:
        rng = np.random.default_rng(0)
        self.embeddings = rng.normal(0, 0.1, (n_words, DIM)).astype(np.float32)
        self.places = np.ones((CONTEXT, DIM), np.float32)
        self.weights = rng.normal(0, 0.1, (n_words, DIM)).astype(np.float32)
        self.biases = np.zeros(n_words, np.float32)
        self.squares = {name: np.full_like(array, 1e-3) for name, array in vars(self).items()}

    def hidden(self, contexts: np.ndarray) -> np.ndarray:
        return (self.embeddings[contexts] * self.places).sum(axis=1)

    def step(self, name: str, grad: np.ndarray | lx.RowSparse) -> None:
        if not isinstance(grad, lx.RowSparse):
            grad = lx.RowSparse(np.arange(len(grad)), grad, grad.shape)  # all rows
        grad.adagrad(getattr(self, name), self.squares[name], RATE)

    def train(
        self, loss: lx.SampledSoftmaxLoss | lx.LinearSoftmaxLoss, contexts: np.ndarray, words: np.ndarray
    ) -> None:
        grad = loss.grad(self.weights, self.biases, words, self.hidden(contexts))
        per_place = grad.inputs[:, None] * self.places
        places = (grad.inputs[:, None] * self.embeddings[contexts]).sum(axis=0)
        embeddings = lx.RowSparse(contexts.ravel(), per_place.reshape(-1, DIM), self.embeddings.shape)
        for name, gradient in (
            ("weights", grad.weights),
            ("biases", grad.biases),
            ("places", places),
            ("embeddings", embeddings),
        ):
            self.step(name, gradient)

    def perplexity(self, contexts: np.ndarray, words: np.ndarray) -> float:
        exact = lx.LinearSoftmaxLoss()
        return math.exp(exact(self.weights, self.biases, words, self.hidden(contexts)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=200_000, help="how many to train on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--files", type=int, default=100_000, help="how many files of the library to read at most")
    options = parser.parse_args()

    vocabulary, text = encode(read_words(options.files))
    windows = np.lib.stride_tricks.sliding_window_view(text, CONTEXT + 1)
    contexts, words = windows[:, :CONTEXT], windows[:, CONTEXT]
    test = slice(len(words) - 10_000, None)
    n_train = min(options.words, len(words) - 10_000 - CONTEXT)
    print(f"{len(text)} words, {len(vocabulary)} of them distinct; training on {n_train}, testing on 10000")

    n_words = len(vocabulary)
    losses = {"full softmax": lx.LinearSoftmaxLoss()}
    for n_sampled in (100, 1000):
        sampler = LogUniformSampler(n_words, seed=0)
        losses[f"{n_sampled} sampled"] = lx.SampledSoftmaxLoss(n_sampled, n_words, reduction="mean", sampler=sampler)

    rows, models = [], {}
    with tqdm(total=len(losses) * options.epochs * n_train, unit="word", unit_scale=True, mininterval=1) as progress:
        for name, loss in losses.items():
            model = models[name] = Model(n_words)
            seconds, perplexities = 0.0, [model.perplexity(contexts[test], words[test])]
            for epoch in range(options.epochs):
                progress.set_description(f"{name}, epoch {epoch + 1}")
                order = np.random.default_rng(epoch).permutation(n_train)
                begin = time.perf_counter()
                for first in range(0, n_train, BATCH):
                    batch = order[first : first + BATCH]
                    model.train(loss, contexts[batch], words[batch])
                    progress.update(len(batch))
                seconds += time.perf_counter() - begin
                perplexities.append(model.perplexity(contexts[test], words[test]))
            rows.append((name, seconds / options.epochs, perplexities))

    print(f"\n{'trained with':<14} {'s / epoch':>9}  exact perplexity at the start and after each epoch")
    for name, seconds, perplexities in rows:
        print(f"{name:<14} {seconds:9.1f}  {' '.join(f'{p:8.0f}' for p in perplexities)}")

    numbers = {word: number for number, word in enumerate(vocabulary)}
    model = models["1000 sampled"]
    for phrase in ("for i in", "if not isinstance", "the end of"):
        context = np.array([[numbers.get(word, 0) for word in phrase.split()]])
        _, ids = lx.topk(model.weights, model.biases, model.hidden(context), 5)
        print(f"{phrase} ... {', '.join(vocabulary[i] for i in ids[0])}")


if __name__ == "__main__":
    main()
