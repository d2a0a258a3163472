"""Vanilla sampling: the first neurons found (paper, appendix B)."""

import numpy as np

from slide._kernels.sampling import vanilla_rows
from slide.checks import check_integer
from slide.rows import ActiveSet, offsets
from slide.sampling.base import Sampler, collect, locate, scratch, seen_scratch
from slide.threads import check_threads


class Vanilla(Sampler):
    """Visits the tables in a random order and takes what it finds until there are `active` neurons or no
    table is left.

    For each table it takes the buckets of every sample of the group, one after the other, and stops exactly
    at `active`. The order of the tables is drawn anew for each group and step.

    The paper gives (p^K)^tau (1 - p^K)^(L - tau) for the probability that a neuron is chosen after tau
    tables; that is the probability to be in exactly tau given tables. To be found in at least one of tau
    tables it is 1 - (1 - p^K)^tau.
    """

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None) -> ActiveSet:
        threads = check_threads(threads)
        group_size = check_integer("group_size", group_size)
        located, bounds = locate(tables, codes, n_rows, group_size, n_neurons, threads)
        active = min(self.active or n_neurons, n_neurons)
        where = offsets(np.minimum(bounds, active))
        order = scratch("order", threads, tables.L, np.int32)
        return collect(
            where,
            lambda ids, sizes: vanilla_rows(
                located,
                tables.buckets,
                tables.items,
                group_size,
                active,
                seed,
                step,
                where,
                order,
                seen_scratch(threads, n_neurons),
                ids,
                sizes,
                threads,
            ),
        )
