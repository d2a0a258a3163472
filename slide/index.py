"""LSHIndex: a hash family, its tables, and the schedule on which they follow the weights."""

import math
from dataclasses import dataclass

import numpy as np

from slide.bfloat16 import blocks, widen
from slide.checks import Integer, Number
from slide.fields import Settings, documented, setting
from slide.hashing import HashFamily
from slide.memory import Scratch
from slide.tables import HashTables

TABLES = "hash tables"  # the group of the settings of tables

@documented()
@dataclass(frozen=True, repr=False)
class RehashSchedule(Settings):
    """When all neurons are hashed again (MLSys 2020, sections 3.2 and 4.2).

    {settings}
    """

    N0: int = setting(50, Integer(), "batches before the first rehash", group=TABLES)
    growth: float = setting(
        0.2, Number("[0, inf)"), "lambda: the t-th interval is N0 * exp(growth * t) batches; 0 keeps it at N0",
        group=TABLES, more="The released code keeps it.",
    )  # fmt: skip
    renew_every: int = setting(
        0, Integer(0), "new hash functions at every so many rehashes; 0 keeps the first ones", group=TABLES,
        more="Differs from the paper, whose released code renews at every 20th.",
    )  # fmt: skip

    def interval(self, t: int) -> int:
        """Batches between the t-th rehash (0: the start of training) and the next."""
        return max(1, round(self.N0 * math.exp(min(self.growth * t, 40.0))))

    def count(self, steps: int) -> int:
        """Rehashes in so many batches."""
        t = end = 0
        while (end := end + self.interval(t)) <= steps:
            t += 1
        return t


class InputStatistics:
    """The mean and variance of the inputs that came last, rows (n, dim), dense or CSR.

    Each batch counts `keep` times as much as the one after it.

    Sums are in float64, in the order of the rows.
    """

    def __init__(self, dim: int, keep: float = 0.9):
        self.keep = keep
        self._sums = np.zeros((2, dim))
        self._weight = 0.0

    def add(self, rows) -> None:
        """A batch; an empty one changes nothing."""
        n = rows.shape[0]
        if not n:
            return
        squares = rows.multiply(rows) if hasattr(rows, "multiply") else np.square(rows)
        for total, values in zip(self._sums, (rows, squares), strict=True):
            total *= self.keep
            total += np.asarray(values.sum(axis=0, dtype=np.float64)).ravel() / n
        self._weight = self.keep * self._weight + 1

    def mean_and_variance(self):
        """(mean, variance), float32 (dim,) each; None before any row came."""
        if not self._weight:
            return None
        mean, square = self._sums / self._weight
        return mean.astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        return {"sums": self._sums, "weight": np.array(self._weight)}

    def load_state(self, state) -> None:
        self._sums, self._weight = np.array(state["sums"], np.float64), float(state["weight"])


class LSHIndex:
    """Finds, for an input, the neurons whose weights fall into the same buckets.

    make_family(seed) makes the hash family; n_neurons rows of weights are indexed under their row number. They are
    hashed by the family's `codes`, and the inputs that look them up by its `query_codes`.
    """

    def __init__(self, make_family, n_neurons, schedule, seed, bucket_size, policy, threads, huge_pages=True):
        self._make_family = make_family
        self._seed = seed
        self.schedule = schedule
        self.threads = threads
        self.rehashes = 0
        self.next_rehash = schedule.interval(0)
        self.family = None
        self.inputs = None
        self._renew(0)
        self.tables = HashTables(
            n_neurons, self.family.L, self.family.code_bits, bucket_size, policy, seed=seed, threads=threads,
            huge_pages=huge_pages,
        )  # fmt: skip
        self._scratch = Scratch()

    def _renew(self, generation: int) -> None:
        self.family = self._make_family((self._seed + 7919 * generation) % 2**64)
        self.family.threads = self.threads
        if self.family.watches and self.inputs is None:
            self.inputs = InputStatistics(self.family.dim)

    def use_threads(self, threads: int) -> None:
        """Runs on so many threads from now on; what it gives does not depend on them."""
        self.threads = self.tables.threads = self.family.threads = threads

    def build(self, weights: np.ndarray) -> None:
        """Hashes all neurons: weights (n_neurons, n_inputs), float32 or the bits of bfloat16."""
        if self.inputs:
            self.family.inputs = self.inputs.mean_and_variance()
        if type(self.family).fit is not HashFamily.fit:
            self.family.fit(widen(weights, self.threads))
        codes = self.tables.code_buffer()
        for part in blocks(weights):
            self.family.codes_into(widen(weights[part], self.threads), codes[part])
        self.tables.build(codes)

    def codes(self, rows, watch=False) -> np.ndarray:
        """uint32 (n, L): the buckets of inputs, from a dense array or CSR rows.

        watch: whether these are inputs of training, which a family that `watches` is to know.
        """
        codes = self.family.query_codes(rows)
        if watch and self.inputs:
            self.inputs.add(rows)
        return codes

    def maintain(self, step: int, weights: np.ndarray) -> bool:
        """Rehashes all neurons if it is time after batch number `step` (1-based); says whether it did."""
        if step < self.next_rehash:
            return False
        self.rehashes += 1
        self.next_rehash = step + self.schedule.interval(self.rehashes)
        renew = self.schedule.renew_every
        if renew and self.rehashes % renew == 0:
            self._renew(self.rehashes // renew)
        self.build(weights)
        return True

    def reinsert(self, ids: np.ndarray, weights: np.ndarray) -> None:
        """Hashes only the given neurons again and moves them to their new buckets."""
        if len(ids):
            ids = np.sort(ids)
            codes = self._scratch.get("codes", (self.family.L, len(ids)), np.uint32).T
            rows, taken = weights, ids
            if weights.dtype != np.float32:
                rows, taken = widen(weights[ids], self.threads), np.arange(len(ids), dtype=np.int32)
            self.tables.update(ids, self.family.codes_taken(rows, taken, out=codes))

    def state(self) -> dict[str, np.ndarray]:
        counters = np.array([self.rehashes, self.next_rehash], dtype=np.int64)
        parts = {"tables": self.tables.state(), "family": self.family.state()}
        if self.inputs:
            parts["inputs"] = self.inputs.state()
        return {"counters": counters, **{f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.rehashes, self.next_rehash = (int(x) for x in state["counters"])
        renew = self.schedule.renew_every
        self._renew(self.rehashes // renew if renew else 0)
        for part, into in (("family", self.family), ("tables", self.tables), ("inputs", self.inputs)):
            if into is None:
                continue
            prefix = f"{part}."
            into.load_state({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
