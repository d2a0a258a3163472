"""Hard thresholding: the neurons found in at least m tables (paper, appendix B)."""

import numpy as np
from scipy.stats import binom

from slide._kernels.sampling import frequent_rows
from slide.machine.threads import check_threads
from slide.rows import ActiveSet
from slide.sampling.base import Sampler, check_draws, collect, locate, room, scratch
from slide.settings.checks import check_integer
from slide.tables import HashTables
from slide.typing import Numbers


class Threshold(Sampler):
    """Counts how often each neuron is found, over all tables and all samples of the group; keeps those at m or more.

    A neuron that collides in one table with probability p^K passes with probability
    sum over i = m..L of C(L, i) (p^K)^i (1 - p^K)^(L - i), where no more than `active` do: `probability`.

    Parameters
    ----------
    active : int or None
        Where more neurons reach m, the most frequent are kept and of equally frequent ones those found first, tables
        from 0; they come in the order in which they were found. None: all that reach it.
    m : int
        At least 1. Counts end at 65,535.

    Raises
    ------
    ValueError
        Where m is out of range.
    """

    def __init__(self, active: int | None = None, m: int = 2):
        super().__init__(active)
        self.m = check_integer("m", m)

    def probability(
        self, p: Numbers, L: int | None = None, n_neurons: int | None = None, observed: np.ndarray | None = None,
    ) -> Numbers:  # fmt: skip
        """The binomial tail: that at least `observed` of L tables find the neuron; at least m where it is None.

        Exact, given the counts of the other neurons, where ties at that count did not decide who is left out.
        """
        return reach(p, L, self.m if observed is None else observed)

    def observe(
        self, tables: HashTables, codes: np.ndarray, n_neurons: int, seed: int, step: int,
    ) -> np.ndarray | None:  # fmt: skip
        """The count that a neuron needs, given the others: m, or more where more than `active` reach it."""
        return needed_counts(tables, codes, self.m, self.active)

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        return sample_frequent(tables, codes, n_rows, group_size, n_neurons, self.m, self.active, threads)


def reach(p, L, count):
    """The probability that a neuron is found in at least `count` of L tables."""
    return binom.sf(np.asarray(count) - 1, check_integer("L", L), p)


def needed_counts(tables, codes, m, active):
    """int64 (n,): the lowest count that would have joined each row's `active` highest (None: any number) of at least m.

    Above the highest count that was left out; that count itself where a neuron of it was taken, being found first.
    """
    held, needed = tables.query(codes), np.full(len(codes), m, np.int64)
    for row in range(len(codes)):
        first, last = held.indptr[row * tables.L], held.indptr[(row + 1) * tables.L]
        counts = np.unique(held.ids[first:last], return_counts=True)[1]
        counts = np.sort(counts[counts >= m])[::-1]
        if active is not None and len(counts) > active:
            needed[row] = counts[active] + (counts[active - 1] > counts[active])
    return needed


def sample_frequent(tables, codes, n_rows, group_size, n_neurons, m, active, threads) -> ActiveSet:
    """The `active` (None: all) most frequent neurons of each group among those found at least m times."""
    threads = check_threads(threads)
    check_draws(n_rows, group_size, n_neurons, 0, 0)
    located = locate(tables, codes, n_rows, n_neurons, threads)
    where = room(tables, located, group_size, n_neurons, threads)
    counts = scratch("counts", threads, n_neurons, np.uint16)
    histograms = scratch("histograms", threads, 2**16, np.uint32)
    m, active = min(m, 2**16), min(active or n_neurons, n_neurons)
    return collect(
        where,
        lambda sets: frequent_rows(
            located, tables.buckets, tables.items, group_size, m, active, counts, histograms, sets, threads
        ),
    )
