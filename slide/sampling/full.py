"""The baseline of the full softmax: every neuron is active."""

import numpy as np

from slide.rows import ActiveSet
from slide.sampling.base import Sampler, check_draws, group_count
from slide.tables import HashTables
from slide.typing import Numbers


class Full(Sampler):
    """All neurons, in order; a layer need not ask, since `dense` is set."""

    needs_tables = False
    dense = True

    def __init__(self) -> None:
        """There is nothing to set."""

    def probability(
        self, p: Numbers, L: int | None = None, n_neurons: int | None = None, observed: np.ndarray | None = None,
    ) -> Numbers:  # fmt: skip
        """Always 1."""
        return np.ones(np.shape(p))[()]

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        check_draws(n_rows, group_size, n_neurons, seed, step)
        n_groups = group_count(n_rows, group_size)
        ids = np.tile(np.arange(n_neurons, dtype=np.int32), n_groups)
        return ActiveSet(np.arange(n_groups + 1, dtype=np.int64) * n_neurons, ids)
