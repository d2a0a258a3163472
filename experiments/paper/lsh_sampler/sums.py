"""Sums from what tables retrieve: each item found counts for 1 / (its probability to be found)."""

import numpy as np

KINDS = ("one", "all")  # of the items found
QUERIES = (1, 2)  # the query alone; it and its negative
TABLES = 2000  # built at once


def items_of(chosen, seed):
    """(rows, the query first; values; p, the probability to share a bit of a hash with the query)."""
    rng = np.random.default_rng(seed)
    n, dim = chosen["sum_items"], chosen["sum_dim"]
    query = rng.standard_normal(dim)
    items = rng.standard_normal((n, dim)) + rng.uniform(-1, 1, (n, 1)) * query
    cosine = items @ query / np.linalg.norm(items, axis=1) / np.linalg.norm(query)
    return np.vstack([query, items]).astype(np.float32), np.exp(2 * cosine), 1 - np.arccos(cosine) / np.pi


def found_with(p, K, L, queries):
    """The probability to be found in one of L tables."""
    one = p**K + (1 - p) ** K if queries == 2 else p**K
    return 1 - (1 - one) ** L


def measure(K, L, chosen, records, seed):
    """Adds "sum" lines: mean and deviation of estimate / truth over draws of the hash functions.

    Each kind has functions of its own, and no two settings share any: intervals from the same draws would be wrong
    together. Unbiased; where nothing is found it is 0. The query alone finds an item as seldom as p^K: `unseen` is the
    part of the sum that less than one of the draws is expected to find, and whose spread none of them shows. With the
    negative no item is rarer than 2^(1 - K).
    """
    rows, value, p = items_of(chosen, seed)
    seeds = np.random.SeedSequence([seed, K, L]).generate_state(len(KINDS), np.uint64) >> np.uint64(8)
    for kind, first in zip(KINDS, seeds.tolist(), strict=True):
        estimates = {queries: [] for queries in QUERIES}
        rng = np.random.default_rng(first)
        for held in retrieved(rows, K, L, chosen["sum_draws"], first):
            for queries in QUERIES:
                found = np.flatnonzero(held[:queries].any(axis=0))
                weighted = value[found] / found_with(p[found], K, L, queries)
                if kind == "one" and len(found):
                    weighted = len(found) * weighted[rng.integers(len(found))]
                estimates[queries].append(weighted.sum())
        for queries, values in estimates.items():
            ratio = np.array(values) / value.sum()
            rare = chosen["sum_draws"] * found_with(p, K, L, queries) < 1
            records.add("sum", K=K, L=L, kind=kind, queries=queries, draws=len(values), mean=float(ratio.mean()),
                        std=float(ratio.std(ddof=1)), unseen=float(value[rare].sum() / value.sum()))  # fmt: skip


def retrieved(rows, K, L, draws, seed):
    """Yields for each draw of the functions bool (2, items): those in a bucket of the query, and of its negative."""
    from slide.hashing import SimHash
    from slide.tables import HashTables

    n, at_once = len(rows) - 1, max(1, TABLES // L)
    for first in range(0, draws, at_once):
        family = SimHash(rows.shape[1], K, L * min(at_once, draws - first), seed=seed + first)
        tables = HashTables(n, family.L, family.code_bits, bucket_size=n, seed=seed, threads=1)
        tables.build(family.codes(rows[1:]))
        found = tables.query(family.codes(np.vstack([rows[:1], -rows[:1]])))
        for number in range(family.L // L):
            held = np.zeros((2, n), bool)
            for query in range(2):
                low = found.indptr[query * family.L + number * L]
                held[query, found.ids[low : found.indptr[query * family.L + (number + 1) * L]]] = True
            yield held


def varies(line) -> bool:
    """Whether the estimates of a "sum" differ: where every draw finds everything they are the truth."""
    return line["std"] > 1e-6


def holds_truth(line) -> bool:
    """Whether the truth is in the 95 % interval of a "sum"."""
    return abs(line["mean"] - 1) <= 1.96 * line["std"] / line["draws"] ** 0.5


def chance(n) -> tuple[int, int]:
    """How many of n independent 95 % intervals hold the truth, in 19 of 20 cases."""
    from scipy.stats import binom

    return int(binom.ppf(0.025, n, 0.95)), int(binom.ppf(0.975, n, 0.95))
