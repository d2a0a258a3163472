"""Tasks for bodies in PyTorch: the next item of a session, the number in an image, the next token of a sequence.

A task has classes, a body that makes hidden rows, and examples: each an input, and a target or several, of which
IGNORED is none. Its examples are split into training and test; a tenth of the training examples can be held out.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

IGNORED = -100
DIGITS, SIDE = 5, 14  # of a number in an image; pixels of a digit's side


@dataclass
class Task:
    """title; n_classes; body: makes the module; train, test: (inputs, targets), arrays; k: at which recall counts."""

    title: str
    n_classes: int
    body: object
    train: tuple
    test: tuple
    k: int

    def entries(self):
        """How often each class is a target in training."""
        target = self.train[1]
        return np.bincount(target[target != IGNORED], minlength=self.n_classes)

    def held_out(self, seed, most):
        """The same with training examples in the place of the test set: a tenth, at most `most`."""
        inputs, targets = self.train
        order = np.random.default_rng(seed + 1).permutation(len(targets))
        n = min(most, len(order) // 10)
        kept, out = order[n:], order[:n]
        return replace(self, train=(inputs[kept], targets[kept]), test=(inputs[out], targets[out]))

    def tested(self, most):
        """The same with at most so many test examples, of all in another order; None: all."""
        inputs, targets = self.test
        order = np.random.default_rng(0).permutation(len(targets))[:most]
        return replace(self, test=(inputs[order], targets[order]))


class Recurrent(nn.Module):
    """A GRU over items (n, length): hidden rows (n, length, width)."""

    def __init__(self, n_items, width):
        super().__init__()
        self.embedding = nn.Embedding(n_items + 1, width, sparse=True)  # the last is no item
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, items):
        return self.gru(self.embedding(items))[0]


class Convolutional(nn.Module):
    """A CNN over images of numbers, (n, SIDE, DIGITS * SIDE) bytes: hidden rows (n, width)."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * (-(-SIDE // 4)) * (-(-DIGITS * SIDE // 4)), width), nn.BatchNorm1d(width),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images[:, None].float() / 255)


class Attentive(nn.Module):
    """A causal transformer of two layers over tokens (n, length): hidden rows (n, length, width)."""

    def __init__(self, n_tokens, width, length):
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, width, sparse=True)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.position = nn.Parameter(0.1 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.blocks(self.embedding(tokens) + self.position[: tokens.shape[1]], mask=mask, is_causal=True)


def sessions(width, seed, longest=20, n_items=None, n_sessions=None) -> Task:
    """The shop sessions of diginetica-43k, where this machine has them and no sizes are asked for; else made ones."""
    found = None if n_items else real_sessions()
    title = "sessions of diginetica" if found else "made sessions"
    if not found:
        found = made_sessions(n_items or 50_000, n_sessions or 150_000, seed)
    n_items, train, test = found
    train, test = (pairs(part, longest, n_items) for part in (train, test))
    return Task(f"next item, GRU: {title}, {n_items:,} items", n_items, lambda: Recurrent(n_items, width), train, test,
                20)  # fmt: skip


def real_sessions():
    """(items, training sessions, test sessions), lists of items; None where there are none."""
    from experiments.frame.problems import find, problem

    if find("diginetica-43k") is None:
        return None
    data = problem("diginetica-43k")
    from slide.data.registry import load_folder

    train, test = load_folder(find("diginetica-43k"))
    return data.n_labels, rebuilt(*train), rebuilt(*(part[::-1] for part in test))


def rebuilt(X, Y):
    """Sessions from rows of which each is the items so far and the next one, a session's rows one after the other."""
    out, seen = [], None
    for i in range(X.shape[0]):
        before, item = set(X.indices[X.indptr[i] : X.indptr[i + 1]].tolist()), int(Y.indices[Y.indptr[i]])
        if before != seen:
            out.append(sorted(before))
        out[-1].append(item)
        seen = before | {item}
    return out


def made_sessions(n_items, n, seed):
    """After an item comes one of six that are its own, or, in one of five cases, any."""
    rng = np.random.default_rng(seed)
    follows = rng.integers(0, n_items, (n_items, 6))
    items = np.empty((n, 6), np.int64)
    items[:, 0] = rng.integers(0, n_items, n)
    for t in range(1, 6):
        next_ones = follows[items[:, t - 1], rng.integers(0, 6, n)]
        items[:, t] = np.where(rng.random(n) < 0.2, rng.integers(0, n_items, n), next_ones)
    return n_items, list(items[n // 20 :]), list(items[: n // 20])


def pairs(found, longest, n_items):
    """(inputs, targets) (sessions, longest): the last items of each session, filled up, and what follows each."""
    inputs = np.full((len(found), longest), n_items, np.int64)
    targets = np.full((len(found), longest), IGNORED, np.int64)
    for i, items in enumerate(found):
        items = items[-longest - 1 :]
        inputs[i, : len(items) - 1], targets[i, : len(items) - 1] = items[:-1], items[1:]
    return inputs, targets


def numbers(width, seed, n_classes=20_000, per_class=20) -> Task:
    """Images of numbers of five digits, of MNIST or made ones; a class is a number, one of `n_classes`."""
    from experiments.frame import mnist

    found = mnist.arrays()
    title = "MNIST" if found else "made digits"
    X, y, X_test, y_test = found or mnist.made(seed, 6_000, 1_000)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(10**DIGITS)[:n_classes]
    train = images(X, y, chosen, np.repeat(np.arange(n_classes), per_class), rng)
    test = images(X_test, y_test, chosen, rng.integers(0, n_classes, min(4_000, 2 * n_classes)), rng)
    return Task(f"number in an image, CNN: digits of {title}, {n_classes:,} numbers", n_classes,
                lambda: Convolutional(width), train, test, 1)  # fmt: skip


def images(X, y, chosen, classes, rng):
    """(images uint8 (n, SIDE, DIGITS * SIDE), classes): a digit's picture is one of its own, at half of the size."""
    small = X.reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4)).astype(np.uint8)
    of_digit = [np.flatnonzero(y == digit) for digit in range(10)]
    out = np.empty((len(classes), SIDE, DIGITS * SIDE), np.uint8)
    for place in range(DIGITS):
        digits = chosen[classes] // 10**place % 10
        for digit, own in enumerate(of_digit):
            rows = np.flatnonzero(digits == digit)
            out[rows, :, place * SIDE : (place + 1) * SIDE] = small[own[rng.integers(0, len(own), len(rows))]]
    return out, classes


def tokens(width, seed, n_tokens=50_000, n=60_000, length=16) -> Task:
    """Sequences whose next token is, by the parity of the one before the last, one of two that are the last one's own;
    in one of ten cases it is drawn by Zipf's law."""
    rng = np.random.default_rng(seed)
    follows = rng.integers(0, n_tokens, (n_tokens, 2))
    found = rng.zipf(1.3, (n, length + 1)) % n_tokens
    for t in range(2, length + 1):
        told = follows[found[:, t - 1], found[:, t - 2] % 2]
        found[:, t] = np.where(rng.random(n) < 0.1, found[:, t], told)
    inputs, targets, cut = found[:, :-1].copy(), found[:, 1:].copy(), n // 20
    return Task(f"next token, transformer: made sequences, {n_tokens:,} tokens", n_tokens,
                lambda: Attentive(n_tokens, width, length), (inputs[cut:], targets[cut:]),
                (inputs[:cut], targets[:cut]), 1)  # fmt: skip


TASKS = {"gru": sessions, "cnn": numbers, "transformer": tokens}
