"""make_xmc: synthetic sets with the statistics of public ones and a structure to learn."""

import math
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from scipy.sparse import csr_matrix

from slide.typing import Pair

CHUNK = 1 << 20  # tokens drawn at a time


@dataclass(frozen=True)
class Preset:
    """The statistics of a set (the Extreme Classification Repository) and the structure planted for it."""

    n_features: int
    n_labels: int
    n_train: int
    n_test: int
    nnz: float  # mean non-zeros per row
    labels: float  # mean labels per row
    label_spread: float  # sigma of the log-normal number of labels per row; 0: binomial on 1..7
    exponent: float  # frequency of the label of rank r: (r + offset) ** -exponent
    offset: float
    cluster: int  # labels a cluster
    own: int  # features of a label's prototype
    shared: int  # features of a cluster's prototype
    from_label: float  # the part of a row's words from its labels' prototypes,
    from_cluster: float  # and from its cluster's; the rest is background
    stray: float  # the part of a row's labels, after the first, from all labels instead of the row's cluster


PRESETS = {
    "amazon-670k": Preset(
        135909, 670091, 490449, 153025, 75.0, 5.45, 0.0, 1.0, 80.0, 32, 10, 40, 0.15, 0.1, 0.1
    ),
    "delicious-200k": Preset(
        782585, 205443, 196606, 100095, 297.0, 75.54, 1.2, 1.0, 60.0, 512, 8, 200, 0.1, 0.05, 0.5
    ),
}  # fmt: skip


def make_xmc(
    preset: str, n_train: int | None = None, n_test: int | None = None, scale: float = 1.0, seed: int = 0,
) -> tuple[Pair, Pair]:  # fmt: skip
    """A synthetic extreme-classification set, with one distribution for training and test rows.

    Label frequencies follow a power law. Labels come in clusters, each a mixture of all ranks. A row draws a
    label by frequency and the others mostly from its cluster, and then words: from the prototypes of its
    labels (a few features per label), from the prototype of the cluster, and from a Zipf law over all features.
    Rows are in no order, and the numbers of features and labels tell nothing.

    Parameters
    ----------
    preset : {"amazon-670k", "delicious-200k"}
        The published numbers of features, labels and rows, mean non-zeros and labels per row.
    n_train, n_test : int or None
        Rows; None: the preset's, times scale.
    scale : float
        In (0, 1]. The numbers of features, labels and (where not given) training and test rows are each multiplied by
        scale and rounded; the non-zeros and labels per row, the prototypes, the size of a cluster and the law of the
        label frequencies stay.
    seed : int
        From 0; the same seed gives the same bits.

    Returns
    -------
    train : (X, Y)
        X is a csr_matrix of shape (n, D), float32: tf-idf, (1 + log count) * (1 + log((1 + n_train) / (1 + df))) with
        df the training rows that have the feature; rows of unit norm, indices sorted. Y is a csr_matrix of shape (n,
        L), float32 ones, at least one label per row.
    test : (X, Y)
        Likewise.

    Raises
    ------
    ValueError
        Where the preset is unknown, seed or a number of rows is not a number as above, or scale is out of (0, 1] or
        leaves fewer features or labels than four times those of a mean row.
    """
    shape = _scaled(preset, n_train, n_test, scale)
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed: found {seed!r}, expected an integer from 0")
    world = _World(shape, seed)
    train, test = (world.draw(n, part) for part, n in enumerate((shape.n_train, shape.n_test), 1))
    df = np.bincount(train[0].indices, minlength=shape.n_features)
    idf = (1 + np.log((1 + shape.n_train) / (1 + df))).astype(np.float32)
    for X, _ in (train, test):
        _weigh(X, idf)
    return train, test


def _scaled(name, n_train, n_test, scale):
    """The preset with its sizes scaled; checks every argument but the seed."""
    preset = PRESETS.get(name.lower() if isinstance(name, str) else None)
    if preset is None:
        raise ValueError(f"preset: found {name!r}, expected one of {', '.join(sorted(PRESETS))}")
    least = max(4 * preset.nnz / preset.n_features, 4 * preset.labels / preset.n_labels)
    if not isinstance(scale, Real) or not least <= scale <= 1:
        raise ValueError(f"scale: found {scale!r}, expected {math.ceil(least * 1e4) / 1e4} to 1 for {name}")
    sizes = {field: round(getattr(preset, field) * scale) for field in ("n_features", "n_labels")}
    for field, rows in (("n_train", n_train), ("n_test", n_test)):
        if rows is not None and (not isinstance(rows, (int, np.integer)) or rows < 1):
            raise ValueError(f"{field}: found {rows!r}, expected an integer from 1, or None")
        sizes[field] = max(1, round(getattr(preset, field) * scale)) if rows is None else int(rows)
    return replace(preset, **sizes)


class _World:
    """What the rows have in common: label frequencies, clusters and prototypes."""

    def __init__(self, shape, seed):
        self.shape, self.seed = shape, seed
        random = self.random(0, 0)
        n = shape.n_labels
        ranks = random.permutation(n)
        # Slots: labels in the order of their clusters. cumulative[s] is the weight of all slots before s.
        self.label_at = random.permutation(n).astype(np.int32)
        self.cumulative = np.concatenate([[0.0], np.cumsum((ranks + 1 + shape.offset) ** -shape.exponent)])
        self.feature_at = random.permutation(shape.n_features).astype(np.int32)
        self.own = self.words(random, (n, shape.own))
        self.shared = self.words(random, (-(-n // shape.cluster), shape.shared))

    def random(self, part, chunk):
        return np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, part, chunk))))

    def words(self, random, size):
        """Features for prototypes: uniform but for the commonest tenth, which tells little."""
        n = self.shape.n_features
        return self.feature_at[random.integers(n // 10, n, size, dtype=np.int32)]

    def background(self, random, size):
        """Features by Zipf's law (density 1 / (rank + 10)), by the inverse of its distribution function."""
        n = self.shape.n_features
        rank = 10 * ((1 + n / 10) ** random.random(size, dtype=np.float32)) - 10
        return self.feature_at[np.minimum(rank.astype(np.int32), n - 1)]

    def slots(self, random, low, high):
        """Slots from low up to high (arrays), by label frequency."""
        start, end = self.cumulative[low], self.cumulative[high]
        weight = start + (end - start) * random.random(len(low))
        slot = np.searchsorted(self.cumulative, weight, side="right") - 1
        return np.clip(slot, low, high - 1)

    def draw(self, n, part):
        """n rows: counts of features (float32) and labels, both CSR."""
        shape = self.shape
        random = self.random(part, 0)
        n_labels = self.sizes(random, n, shape.labels, shape.label_spread, shape.n_labels)
        n_words = self.sizes(random, n, shape.nnz, 0.5, shape.n_features)
        rows = max(1, int(CHUNK / (2 * max(shape.nnz, shape.labels))))
        parts = []
        for chunk, first in enumerate(range(0, n, rows), 1):
            take = slice(first, first + rows)
            parts.append(self.chunk(self.random(part, chunk), n_labels[take], n_words[take]))
        label_counts, labels, word_counts, words, counts = zip(*parts, strict=True)
        del parts
        Y = _csr(label_counts, labels, None, (n, shape.n_labels))
        return _csr(word_counts, words, counts, (n, shape.n_features)), Y

    @staticmethod
    def sizes(random, n, mean, spread, most):
        """How many of `most` a row has: log-normal with that mean, or, spread 0, binomial on 1..7."""
        if spread == 0:
            return 1 + random.binomial(6, (mean - 1) / 6, n)
        drawn = mean * np.exp(spread * random.standard_normal(n) - spread**2 / 2)
        return np.clip(np.rint(drawn), 1, most // 4).astype(np.int64)

    def chunk(self, random, n_labels, n_words):
        shape = self.shape
        n = len(n_labels)
        main = self.slots(random, np.zeros(n, np.int64), np.full(n, shape.n_labels))
        cluster = main // shape.cluster
        draws = 4 * n_labels + 4
        row = np.repeat(np.arange(n), draws)
        low = cluster[row] * shape.cluster
        high = np.minimum(low + shape.cluster, shape.n_labels)
        stray = random.random(len(row)) < shape.stray
        slot = self.slots(random, np.where(stray, 0, low), np.where(stray, shape.n_labels, high))
        # The second half of the draws, uniform, completes rows where a frequent label was drawn repeatedly.
        first = np.cumsum(draws) - draws
        late = np.flatnonzero(2 * (np.arange(len(row)) - first[row]) >= draws[row])
        slot[late] = low[late] + random.random(len(late)) * (high - low)[late]
        slot[first] = main
        label_counts, slots, _ = _distinct(row, slot, n_labels, shape.n_labels)

        row = np.repeat(np.arange(n), 2 * n_words)
        kind = random.random(len(row), dtype=np.float32)
        start = np.cumsum(label_counts) - label_counts
        chosen = slots[start[row] + (random.random(len(row)) * label_counts[row]).astype(np.int64)]
        word = self.background(random, len(row))
        place = random.random(len(row))
        at = kind < shape.from_label
        word[at] = self.own[chosen[at], (place[at] * shape.own).astype(np.int64)]
        at = (kind >= shape.from_label) & (kind < shape.from_label + shape.from_cluster)
        word[at] = self.shared[cluster[row[at]], (place[at] ** 2 * shape.shared).astype(np.int64)]
        word_counts, words, counts = _distinct(row, word, n_words, shape.n_features)
        return label_counts, self.label_at[slots], word_counts, words, counts.astype(np.float32)


def _distinct(row, ids, most, width):
    """The first `most[row]` distinct ids of each row, sorted: how many per row, the ids, how often drawn.

    row: sorted. Keys (row, id, place in the row's draws) are packed into one integer: a plain sort is fast.
    """
    place_bits = int(np.bincount(row).max() - 1).bit_length()
    start = np.searchsorted(row, np.arange(len(most)))
    place = np.arange(len(row)) - start[row]
    key = np.sort(((row * width + ids) << place_bits) | place)
    pair = key >> place_bits
    new = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    times = np.diff(np.append(new, len(key)))
    pair, first = pair[new], key[new] & ((1 << place_bits) - 1)
    of, ids = np.divmod(pair, width)
    # A first draw is kept where fewer than most[row] first draws come before it in its row.
    seen = np.zeros(len(row) + 1, np.int64)
    seen[start[of] + first + 1] = 1
    np.cumsum(seen, out=seen)
    keep = seen[start[of] + first] - seen[start[of]] < most[of]
    return np.bincount(of[keep], minlength=len(most)), ids[keep].astype(np.int32), times[keep]


def _csr(counts, ids, values, shape):
    """CSR of pieces: ids sorted within rows; values None: ones."""
    ptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    ids = np.concatenate(ids)
    values = np.ones(len(ids), np.float32) if values is None else np.concatenate(values)
    matrix = csr_matrix((values, ids, ptr.astype(np.int32) if ptr[-1] < 2**31 else ptr), shape=shape)
    matrix.sort_indices()
    matrix.has_canonical_format = True
    return matrix


def _weigh(X, idf):
    """Counts to tf-idf of unit norm, in place."""
    for first in range(0, X.shape[0], 10000):
        ptr = X.indptr[first : first + 10001]
        piece = slice(ptr[0], ptr[-1])
        values = (1 + np.log(X.data[piece])) * idf[X.indices[piece]]
        norms = np.sqrt(np.add.reduceat(values.astype(np.float64) ** 2, ptr[:-1] - ptr[0]))
        X.data[piece] = values / np.repeat(norms, np.diff(ptr))
