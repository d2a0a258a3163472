"""TopK sampling: the neurons found most often (paper, appendix B)."""

import numpy as np

from slide.rows import ActiveSet
from slide.sampling.base import Sampler
from slide.sampling.threshold import needed_counts, reach, sample_frequent
from slide.tables import HashTables
from slide.typing import Numbers


class TopK(Sampler):
    """Counts how often each neuron is found, over all tables and all samples of the group; keeps the most frequent.

    Of equally frequent neurons those found first are kept, tables from 0; they come in the order in which
    they were found. Counts end at 65,535.

    Differs from the paper: the cut is found in a histogram of the counts, in linear time, and not by sorting.

    Parameters
    ----------
    active : int or None
        How many are kept; None: all that are found.
    """

    def probability(
        self, p: Numbers, L: int | None = None, n_neurons: int | None = None, observed: np.ndarray | None = None,
    ) -> Numbers:  # fmt: skip
        """The binomial tail: that the neuron's count reaches `observed` in L tables; 1 where it is None.

        Exact, given the counts of the other neurons, where ties at that count did not decide who is left out:
        the unconditional probability has no form in p alone, since it depends on every other neuron's.
        """
        return reach(p, L, 1 if observed is None else observed)

    def observe(
        self, tables: HashTables, codes: np.ndarray, n_neurons: int, seed: int, step: int,
    ) -> np.ndarray | None:  # fmt: skip
        """The count that a neuron needs, given the others: 1, or more where more than `active` were found."""
        return needed_counts(tables, codes, 1, self.active)

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        return sample_frequent(tables, codes, n_rows, group_size, n_neurons, 1, self.active, threads)
