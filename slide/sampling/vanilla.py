"""Vanilla sampling: the first neurons found (paper, appendix B)."""

import numpy as np

from slide import counter_rng
from slide._kernels.sampling import vanilla_rows
from slide.machine.threads import check_threads
from slide.rows import ActiveSet
from slide.sampling.base import Sampler, check_draws, collect, locate, room, scratch, seen_scratch
from slide.settings.checks import check_integer
from slide.tables import HashTables
from slide.typing import Numbers


class Vanilla(Sampler):
    """Visits the tables in a random order and takes what it finds until there are `active` neurons or no table is left.

    For each table it takes the buckets of every sample of the group, one after the other, and stops exactly
    at `active`. The order of the tables is drawn anew for each group and step.

    The paper gives (p^K)^tau (1 - p^K)^(L - tau) for the probability that a neuron is chosen after tau
    tables; that is the probability to be in exactly tau given tables. To be found in at least one of tau
    tables it is 1 - (1 - p^K)^tau: see `probability`.

    Parameters
    ----------
    active : int or None
        Neurons per group; None: all that are found.
    """

    def probability(
        self, p: Numbers, L: int | None = None, n_neurons: int | None = None, observed: np.ndarray | None = None,
    ) -> Numbers:  # fmt: skip
        """1 - (1 - p)**tau, of the tau = `observed` tables that were visited; all L where it is None.

        Exact for a neuron whose own presence does not decide where the visit ends, and that is not beyond the
        end in the last bucket: between the value for tau - 1 and the one for tau otherwise.
        """
        tables = check_integer("L", L) if observed is None else np.asarray(observed)
        return 1 - (1 - np.asarray(p, np.float64)) ** tables

    def observe(
        self, tables: HashTables, codes: np.ndarray, n_neurons: int, seed: int, step: int,
    ) -> np.ndarray | None:  # fmt: skip
        """The number of tables visited, the last one included even if only in part."""
        L, active = tables.L, self.active or n_neurons
        held, visited = tables.query(codes), np.empty(len(codes), np.int64)
        for row in range(len(codes)):
            stream = counter_rng.draw(counter_rng.group_key(seed, step, row), counter_rng.ORDER)
            ids: set[int] = set()
            visited[row] = 0
            for table in counter_rng.shuffle_row(L, stream):
                if len(ids) >= active and active < n_neurons:  # all neurons are no limit
                    break
                ids.update(held[row * L + table].tolist())
                visited[row] += 1
        return visited

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        threads = check_threads(threads)
        check_draws(n_rows, group_size, n_neurons, seed, step)
        located = locate(tables, codes, n_rows, n_neurons, threads)
        active = min(self.active or n_neurons, n_neurons)
        where = room(tables, located, group_size, active, threads)
        order = scratch("order", threads, tables.L, np.int32)
        seen = seen_scratch(threads, n_neurons)
        return collect(
            where,
            lambda sets: vanilla_rows(
                located, tables.buckets, tables.items, group_size, active, seed, step, order, seen, sets, threads
            ),
        )
