"""The baseline of sampled softmax: neurons drawn uniformly, whatever the input."""

import numpy as np

from slide._kernels.sampling import uniform_rows
from slide.machine.threads import check_threads
from slide.rows import ActiveSet
from slide.sampling.base import Sampler, check_draws, group_count, seen_scratch
from slide.settings.checks import check_integer
from slide.tables import HashTables
from slide.typing import Numbers


class Uniform(Sampler):
    """Distinct neurons of each group drawn uniformly; no tables.

    Parameters
    ----------
    active : int
        How many; all of them where there are fewer.
    """

    needs_tables = False
    draws_uniformly = True
    active: int

    def __init__(self, active: int):
        self.active = check_integer("active", active)

    def probability(
        self, p: Numbers, L: int | None = None, n_neurons: int | None = None, observed: np.ndarray | None = None,
    ) -> Numbers:  # fmt: skip
        """min(active, n_neurons) / n_neurons, over the uniform draw; p has no part in it."""
        n_neurons = check_integer("n_neurons", n_neurons)
        return np.full(np.shape(p), min(self.active, n_neurons) / n_neurons)[()]

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        threads = check_threads(threads)
        check_draws(n_rows, group_size, n_neurons, seed, step)
        n_groups = group_count(n_rows, group_size)
        active = min(self.active, n_neurons)
        ids = np.empty((n_groups, active), dtype=np.int32)
        uniform_rows(active, n_neurons, seed, step, seen_scratch(threads, n_neurons), ids, threads)
        return ActiveSet(np.arange(n_groups + 1, dtype=np.int64) * active, ids.reshape(-1))
