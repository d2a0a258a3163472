"""A sampler in Python: half of the active neurons from the hash tables, the others drawn uniformly.

python -m slide train ... --sampler my_sampler:Half
"""

import numpy as np

from slide.rows import ActiveSet
from slide.sampling import Sampler, Vanilla, group_rng


class Half(Sampler):
    """`active` neurons a group: up to half of them as Vanilla finds them, then uniform ones."""

    def __init__(self, active: int = 1000):
        super().__init__(active)

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None) -> ActiveSet:
        first = Vanilla(max(1, self.active // 2))
        found = first.sample(tables, codes, n_rows, group_size, n_neurons, seed, step, threads)
        return ActiveSet.of(self._fill(found[g], n_neurons, group_rng(seed, step, g)) for g in range(len(found)))

    def _fill(self, ids, n_neurons, rng):
        others = rng.choice(n_neurons, min(self.active, n_neurons), replace=False)
        wanted = self.active - len(ids)
        return np.concatenate([ids, others[~np.isin(others, ids)][:wanted]])
