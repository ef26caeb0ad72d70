"""Two towers on a real log: which name does a Python function call beside those that it calls already?

    python -m pip install tqdm
    python examples/two_towers.py [--epochs 30] [--files 100000]

Every function of the standard library is a user, the names that it calls are its items: a log that is always at hand,
with the few popular items and the long tail of any other.  The user tower takes the mean of the vectors of a
function's other calls through a linear layer, the item tower is a table; the loss is the softmax over the batch's own
items, corrected for popular ones by log q.  One call of each function that was not trained on is hidden: recall@20 is
how often it is among the first 20 names that the model gives, beside the 20 most frequent names.  If torch is
installed, the same model is trained with it, by the same steps.
"""

import argparse
import random
import re
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

import lossext as lx

DIM, BATCH, RATE, TEMPERATURE, MOST, K = 64, 512, 0.1, 0.1, 16, 20
KEYWORDS = {"if", "elif", "while", "for", "in", "and", "or", "not", "is", "return", "yield", "await", "assert", "del",
            "lambda", "raise", "except", "with", "else", "from", "import"}  # fmt: skip


def read_log(n_files: int) -> list[list[str]]:
    """The names that each function calls, in their order; functions that call one alone are left out."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests", "idlelib"}
    files = sorted(path for path in root.rglob("*.py") if not skipped & set(path.parts))
    random.Random(0).shuffle(files)
    log = []
    for path in files[:n_files]:
        for function in re.split(r"^\s*(?:async )?def ", path.read_text("utf8", "ignore"), flags=re.MULTILINE)[1:]:
            names = dict.fromkeys(re.findall(r"([A-Za-z_]\w*)\(", function)[1:])  # the first is its own
            calls = [name for name in names if name not in KEYWORDS][:MOST]
            if len(calls) > 1:
                log.append(calls)
    return log


def encode(log: list[list[str]]) -> tuple[list[str], np.ndarray]:
    """The names that occur three times, the most frequent first, and each function's calls as their numbers."""
    counts = Counter(name for calls in log for name in calls)
    names = [name for name, count in counts.most_common() if count > 2]
    numbers = {name: number for number, name in enumerate(names)}
    rows = [[numbers[name] for name in calls if name in numbers] for calls in log]
    calls = np.full((len(rows), MOST), -1)
    for row, ids in zip(calls, rows, strict=True):
        row[: len(ids)] = ids
    calls = calls[(calls >= 0).sum(axis=1) > 1]
    return names, calls[np.random.default_rng(0).permutation(len(calls))]


def split(calls: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One call of each function, and the others."""
    place = rng.integers((calls >= 0).sum(axis=1))
    rows = np.arange(len(calls))
    others = calls.copy()
    others[rows, place] = -1
    return calls[rows, place], others


class Towers:
    """The model in NumPy and lossext: two tables and a linear layer, each with Adagrad's sums of squares."""

    def __init__(self, n_items: int) -> None:
        rng = np.random.default_rng(0)
        self.calls = rng.normal(0, 0.1, (n_items, DIM)).astype(np.float32)
        self.items = rng.normal(0, 0.1, (n_items, DIM)).astype(np.float32)
        self.layer = np.eye(DIM, dtype=np.float32)
        self.squares = {name: np.full_like(array, 1e-3) for name, array in vars(self).items()}
        self.loss = lx.InBatchSoftmaxLoss(TEMPERATURE, normalize=True)
        self.frequency = lx.FrequencyEstimator(10 * n_items)

    def means(self, history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the vectors of a function's other calls, and each call's part in it."""
        known = history >= 0
        part = (known / known.sum(axis=1, keepdims=True)).astype(np.float32)
        return (part[:, :, None] * self.calls[history]).sum(axis=1), part

    def step(self, name: str, grad: lx.RowSparse) -> None:
        grad.adagrad(getattr(self, name), self.squares[name], RATE)

    def train(self, hidden: np.ndarray, history: np.ndarray) -> None:
        means, part = self.means(history)
        self.frequency.update(hidden)
        log_q = self.frequency.log_q(hidden)
        grad = self.loss.grad(means @ self.layer, self.items[hidden], item_ids=hidden, log_q=log_q)
        known = history >= 0
        of_calls = (part[:, :, None] * (grad.users @ self.layer.T)[:, None])[known]
        of_layer = means.T @ grad.users
        self.step("items", grad.item_rows(hidden, len(self.items)))
        self.step("calls", lx.RowSparse(history[known], of_calls, self.calls.shape))
        self.step("layer", lx.RowSparse(np.arange(DIM), of_layer, of_layer.shape))

    def best(self, history: np.ndarray) -> np.ndarray:
        items = self.items / np.linalg.norm(self.items, axis=1, keepdims=True)
        users = self.means(history)[0] @ self.layer
        return lx.topk(items, np.zeros(len(items), np.float32), users, K, exclude=history)[1]


def torch_towers(n_items: int, log_q: np.ndarray) -> tuple[Callable[..., None], Callable[..., np.ndarray]]:
    """The same in torch, with the exact log q: how to train on a batch, and the best items."""
    import torch
    import torch.nn.functional as F

    start = Towers(n_items)
    calls, items, layer, log_q = (torch.from_numpy(a) for a in (start.calls, start.items, start.layer, log_q))
    parameters = [calls, items, layer]
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adagrad(parameters, lr=RATE, initial_accumulator_value=1e-3)

    def users(history: torch.Tensor) -> torch.Tensor:
        known = (history >= 0).float()
        part = known / known.sum(dim=1, keepdim=True)
        return (part[:, :, None] * F.embedding(history.clamp(min=0), calls, sparse=True)).sum(dim=1) @ layer

    def train(hidden: np.ndarray, history: np.ndarray) -> None:
        y = torch.from_numpy(hidden)
        u = F.normalize(users(torch.from_numpy(history)))
        v = F.normalize(F.embedding(y, items, sparse=True))
        scores = u @ v.T / TEMPERATURE - log_q[y]
        same = (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool)
        optimizer.zero_grad()
        F.cross_entropy(scores.masked_fill(same, -torch.inf), torch.arange(len(y))).backward()
        optimizer.step()

    def best(history: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            given = torch.from_numpy(history)
            scores = F.normalize(users(given)) @ F.normalize(items).T
            padded = torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)  # -1 is the last column
            padded.scatter_(1, torch.where(given < 0, len(items), given), -torch.inf)
            return padded[:, :-1].topk(K).indices.numpy()

    return train, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--files", type=int, default=100_000, help="how many files of the library to read at most")
    options = parser.parse_args()

    names, calls = encode(read_log(options.files))
    n_test = len(calls) // 10
    train, (hidden, history) = calls[n_test:], split(calls[:n_test], np.random.default_rng(1))
    print(f"{len(names)} names, {len(train)} functions to train on, {n_test} to test, {(calls >= 0).sum()} calls")

    # probability that a name is in a batch, where one of a function's calls is drawn
    each = 1 / (train >= 0).sum(axis=1, keepdims=True) * (train >= 0)
    often = np.bincount(train[train >= 0], each[train >= 0], minlength=len(names)) / len(train)
    log_q = np.log(-np.expm1(BATCH * np.log1p(-np.maximum(often, 1e-9)))).astype(np.float32)

    towers = Towers(len(names))
    models = {"lossext": (towers.train, towers.best)}
    try:
        models["torch"] = torch_towers(len(names), log_q)
    except ImportError:
        print("torch is not installed: without it")

    most_frequent = np.argsort(-often)[: K + MOST]
    popular = np.array([[n for n in most_frequent if n not in set(row)][:K] for row in history])
    rows = [("most frequent", 0.0, (popular == hidden[:, None]).any(axis=1).mean())]
    with tqdm(total=len(models) * options.epochs * len(train), unit="function", mininterval=1) as progress:
        for name, (train_on, best) in models.items():
            rng, seconds = np.random.default_rng(2), 0.0
            for epoch in range(options.epochs):
                progress.set_description(f"{name}, epoch {epoch + 1}")
                order = rng.permutation(len(train))
                for first in range(0, len(train), BATCH):
                    batch = split(train[order[first : first + BATCH]], rng)
                    begin = time.perf_counter()
                    train_on(*batch)
                    seconds += time.perf_counter() - begin
                    progress.update(len(batch[0]))
            found = best(history)
            assert not (found[:, :, None] == history[:, None, :]).any()
            rows.append((name, seconds / options.epochs, (found == hidden[:, None]).any(axis=1).mean()))

    print(f"\n{'':<14} {'s / epoch':>9} {f'recall@{K}':>10}")
    for name, seconds, recall in rows:
        print(f"{name:<14} {seconds:9.2f} {recall:10.3f}")

    numbers = {name: number for number, name in enumerate(names)}
    for given in ("open read", "acquire wait", "bytearray len"):
        known = np.array([[numbers[name] for name in given.split() if name in numbers]])
        if known.size:
            print(f"{given} ... {', '.join(names[i] for i in towers.best(known)[0, :5])}")


if __name__ == "__main__":
    main()
