"""The baseline of the full softmax: every neuron is active."""

import numpy as np

from slide.rows import ActiveSet
from slide.sampling.base import Sampler, check_draws, group_count


class Full(Sampler):
    """All neurons, in order; a layer need not ask, since `dense` is set."""

    needs_tables = False
    dense = True

    def __init__(self):
        """There is nothing to set."""

    def probability(self, p, L=None, n_neurons=None, observed=None):
        """1."""
        return np.ones(np.shape(p))[()]

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None) -> ActiveSet:
        check_draws(n_rows, group_size, n_neurons, seed, step)
        n_groups = group_count(n_rows, group_size)
        ids = np.tile(np.arange(n_neurons, dtype=np.int32), n_groups)
        return ActiveSet(np.arange(n_groups + 1, dtype=np.int64) * n_neurons, ids)
