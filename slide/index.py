"""LSHIndex: a hash family, its tables, and the schedule on which they follow the weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slide.bfloat16 import blocks, widen
from slide.hashing import HashFamily
from slide.hashing.outside import check_codes, check_family, check_state
from slide.machine.memory import Scratch
from slide.settings.checks import Integer, Number, check_array, check_integer, check_mapping
from slide.settings.fields import Settings, documented, setting
from slide.state.commit import Commit
from slide.state.part import Part, prefixed
from slide.table_set import table_types
from slide.tables import HashTables, default_range_bits

TABLES = "hash tables"  # the group of the settings of tables

@documented()
@dataclass(frozen=True, repr=False)
class RehashSchedule(Settings):
    """When all neurons are hashed again (MLSys 2020, sections 3.2 and 4.2).

    Parameters
    ----------
    {settings}
    """

    N0: int = setting(50, Integer(1, 2**31 - 1), "batches before the first rehash", group=TABLES)
    growth: float = setting(
        0.2, Number("[0, inf)"), "lambda: the t-th interval is N0 * exp(growth * t) batches; 0 keeps it at N0",
        group=TABLES, more="The released code keeps it.",
    )  # fmt: skip
    renew_every: int = setting(
        0, Integer(0), "new hash functions at every so many rehashes; 0 keeps the first ones", group=TABLES,
        more="Differs from the paper, whose released code renews at every 20th.",
    )  # fmt: skip

    def interval(self, t: int) -> int:
        """Batches between the t-th rehash and the next.

        Parameters
        ----------
        t : int
            0: from the start of training.

        Returns
        -------
        int
            At least 1.
        """
        check_integer("t", t, 0)
        return min(max(1, round(self.N0 * math.exp(min(self.growth * t, 40.0)))), MOST_STEPS // 2)

    def count(self, steps: int) -> int:
        """Rehashes in so many batches.

        Parameters
        ----------
        steps : int
            Batches.

        Returns
        -------
        int
            How many rebuilds of the tables are due in them.
        """
        check_integer("steps", steps, 0, MOST_STEPS)
        t = end = 0
        while (end := end + self.interval(t)) <= steps:
            t += 1
        return t


MOST_STEPS = 2**62
NO_IDS = np.zeros(0, np.int32)
LEFT_OUT = np.array([0, 2], np.uint64)  # the progress of tables that a file does not hold


class InputStatistics:
    """The mean and variance of the inputs that came last, rows (n, dim), dense or CSR.

    Each batch counts `keep` times as much as the one after it.

    Sums are in float64, in the order of the rows.
    """

    def __init__(self, dim: int, keep: float = 0.9):
        self.keep = keep
        self._sums = np.zeros((2, dim))
        self._weight = 0.0

    def add(self, rows, commit: Commit | None = None) -> None:
        """A batch; an empty one changes nothing. commit: where the change is added to; None makes it at once."""
        n = rows.shape[0]
        if not n:
            return
        squares = rows.multiply(rows) if hasattr(rows, "multiply") else np.square(rows)
        sums = self.keep * self._sums
        for total, values in zip(sums, (rows, squares), strict=True):
            total += np.asarray(values.sum(axis=0, dtype=np.float64)).ravel() / n
        change = commit or Commit()
        change.set(self, _sums=sums, _weight=self.keep * self._weight + 1)
        if commit is None:
            change.run()

    def mean_and_variance(self):
        """(mean, variance), float32 (dim,) each; None before any row came."""
        if not self._weight:
            return None
        mean, square = self._sums / self._weight
        return mean.astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        return {"sums": self._sums, "weight": np.array(self._weight)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        sums, weight = (check_array(f"inputs.{name}", state.get(name), own) for name, own in self.state().items())
        if not (np.isfinite(sums).all() and (sums[1] >= 0).all() and 0 <= weight < np.inf):
            raise ValueError("inputs: found negative or infinite sums, expected those of a mean and a variance")
        self._sums, self._weight = np.array(sums), float(weight)


class LSHIndex:
    """Finds, for an input, the neurons whose weights fall into the same buckets.

    empty : whether there are no tables before `adopt`.

    make_family(seed) makes the hash family; n_neurons rows of weights are indexed under their row number. They are
    hashed by the family's `codes`, and the inputs that look them up by its `query_codes`.

    Whatever changes it changes it whole: a rehash hashes and builds beside what is in use, a renewed or newly fitted
    family included, and takes its place at the end.

    moved : int32, the neurons whose weights have changed since they were hashed and that `settle` is to hash again.

    Raises ValueError where a family, or what it returns, is not what `HashFamily` says.
    """

    def __init__(self, make_family, n_neurons, schedule, seed, bucket_size, policy, threads, huge_pages=True,
                 empty=False):  # fmt: skip
        self._make_family = make_family
        self._seed = seed
        self.schedule = schedule
        self.threads = threads
        self.rehashes = 0
        self.next_rehash = schedule.interval(0)
        self.moved = NO_IDS
        self.family = self._family(0)
        self.inputs = InputStatistics(self.family.dim) if self.family.watches else None
        self.tables = HashTables(
            n_neurons, self.family.L, self.family.code_bits, bucket_size, policy, seed=seed, threads=threads,
            huge_pages=huge_pages, empty=empty,
        )  # fmt: skip
        self._scratch = Scratch()

    def _family(self, generation: int) -> HashFamily:
        """The family of a generation, to which nothing was fitted."""
        family = self._make_family((self._seed + 7919 * generation) % 2**64)
        check_family(family, HashFamily, like=getattr(self, "family", None))
        family.threads = self.threads
        return family

    def use_threads(self, threads: int, commit: Commit) -> None:
        """Runs on so many threads from when `commit` is run; what it gives does not depend on them."""
        for each in (self, self.tables, self.family):
            commit.set(each, threads=threads)

    def build(self, weights: np.ndarray) -> None:
        """Hashes all neurons: weights (n_neurons, n_inputs), float32 or the bits of bfloat16."""
        expected = self.tables.n_items, self.family.dim
        known = isinstance(weights, np.ndarray) and weights.dtype in (np.float32, np.uint16)
        if not known or weights.shape != expected:
            found = f"{weights.dtype} of shape {weights.shape}" if hasattr(weights, "dtype") else type(weights).__name__
            raise ValueError(f"weights: found {found}, expected float32 {expected}, or the bits of bfloat16")
        commit = Commit()
        self.rebuild(weights, commit)
        commit.run()

    def rebuild(self, weights: np.ndarray, commit: Commit, family: HashFamily | None = None) -> None:
        """As `build`, by a new family where one is given; the change is added to `commit`."""
        if type(self.family).fit is not HashFamily.fit:
            family = family or self.family.copy()
            if self.inputs:
                family.inputs = self.inputs.mean_and_variance()
            family.fit(widen(weights, self.threads))
        family = family or self.family
        codes = self.tables.code_buffer()
        for part in blocks(weights):
            family.codes_into(widen(weights[part], self.threads), codes[part])
        self.tables.build(codes, commit)
        commit.set(self, family=family, moved=NO_IDS)

    def codes(self, rows, watch: bool = False, commit: Commit | None = None) -> np.ndarray:
        """uint32 (n, L): the buckets of inputs, from a dense array or CSR rows.

        watch: whether these are inputs of training, which a family that `watches` is to know; commit: once that is
        run, or None: from now on.
        """
        codes = check_codes(self.family, "query_codes", self.family.query_codes(rows), rows.shape[0])
        if watch and self.inputs:
            self.inputs.add(rows, commit)
        return codes

    def settle(self, step: int, weights: np.ndarray) -> None:
        """Brings the tables up to date with the weights after batch number `step`: all neurons, or those that `moved`.

        What fails or is interrupted here can be done again, with the same result.
        """
        if not self.maintain(step, weights):
            self.reinsert(self.moved, weights)

    def is_settled(self, step: int) -> bool:
        """Whether `settle` has nothing to do."""
        return step < self.next_rehash and not len(self.moved)

    def maintain(self, step: int, weights: np.ndarray) -> bool:
        """Rehashes all neurons if it is time after batch number `step` (1-based); says whether it did."""
        if step < self.next_rehash:
            return False
        commit, rehashes = Commit(), self.rehashes + 1
        renew = self.schedule.renew_every
        family = self._family(rehashes // renew) if renew and rehashes % renew == 0 else None
        self.rebuild(weights, commit, family)
        commit.set(self, rehashes=rehashes, next_rehash=step + self.schedule.interval(rehashes))
        commit.run()
        return True

    def reinsert(self, ids: np.ndarray, weights: np.ndarray) -> None:
        """Hashes only the given neurons again and moves them to their new buckets."""
        if not len(ids):
            return
        commit, ids = Commit(), np.sort(ids)
        codes = self._scratch.get("codes", (self.family.L, len(ids)), np.uint32).T
        rows, taken = weights, ids
        if weights.dtype != np.float32:
            rows, taken = widen(weights[ids], self.threads), np.arange(len(ids), dtype=np.int32)
        self.tables.update(ids, self.family.codes_taken(rows, taken, out=codes), commit)
        commit.set(self, moved=NO_IDS)
        commit.run()

    def state(self) -> dict[str, np.ndarray]:
        """Every array that goes on from here; `moved` where there are any."""
        counters = np.array([self.rehashes, self.next_rehash], dtype=np.int64)
        parts = prefixed("tables.", self.tables.state()) | prefixed("family.", check_state(self.family))
        moved = {"moved": self.moved} if len(self.moved) else {}
        inputs = prefixed("inputs.", self.inputs.state()) if self.inputs else {}
        return {"counters": counters, **moved, **parts, **inputs}

    def load_state(self, state: dict[str, np.ndarray]) -> bool:
        """Takes over a `state` of an index of the same settings. Returns whether its tables are LEFT_OUT, as where
        ranks wrote it: `build` is then to be called.

        Raises ValueError where an array is missing, unknown, or not what an index can have.
        """
        check_mapping("state", state)
        rehashes, following, family = self._counters_and_family(state)
        parts = {name: Part(state, f"{name}.") for name in ("tables", "inputs")}
        moved = self._check_moved(state.get("moved", NO_IDS))
        left_out = np.array_equal(parts["tables"]["progress"], LEFT_OUT)
        if self.inputs:
            self.inputs.load_state(parts["inputs"])
        if not left_out:
            self.tables.load_state(parts["tables"])
        self.family, self.moved, self.rehashes, self.next_rehash = family, moved, rehashes, following
        return left_out

    def adopt(self, state: dict[str, np.ndarray]) -> None:
        """Finds by the buckets of a `state` themselves from now on; such an index is never hashed again.

        Raises ValueError as `load_state`.
        """
        rehashes, following, family = self._counters_and_family(state)
        self.tables.adopt(Part(state, "tables."))
        self.family, self.moved, self.rehashes, self.next_rehash = family, NO_IDS, rehashes, following

    def _counters_and_family(self, state):
        counters = check_array("counters", state.get("counters"), np.zeros(2, np.int64))
        rehashes, following = counters.tolist()
        if not 0 <= rehashes < MOST_STEPS or not 1 <= following < MOST_STEPS:
            raise ValueError(f"counters: found {counters}, expected rehashes done, and the batch of the next")
        renew = self.schedule.renew_every
        progress = check_array("tables.progress", state.get("tables.progress"), np.zeros(2, np.uint64))
        if not progress[1]:
            raise ValueError("tables.progress: found tables that were never built, expected those of an index in use")
        family = self._family(rehashes // renew if renew else 0)
        family.load_state(check_state(family, dict(Part(state, "family.")), like=self.family))
        return rehashes, following, family

    def _check_moved(self, moved):
        moved = np.array(moved)
        if moved.ndim != 1 or moved.dtype != np.int32 or len(np.unique(moved)) != len(moved):
            raise ValueError(f"moved: found {moved.dtype} of shape {moved.shape}, expected unique int32 (n,)")
        if len(moved) and not (0 <= moved.min() and moved.max() < self.tables.n_items):
            raise ValueError(f"moved: found {moved.min()} to {moved.max()}, expected 0 to {self.tables.n_items - 1}")
        return moved


def index_types(family: HashFamily, n_neurons: int, bucket_size: int, policy: str) -> dict:
    """{name: (dtype, shape)} of the arrays of a state; * as for `slide.layers.array_types`."""
    sums = {"inputs.sums": (np.float64, (2, family.dim)), "inputs.weight": (np.float64, ())} if family.watches else {}
    sizes = n_neurons, family.L, default_range_bits(n_neurons, family.code_bits), bucket_size, policy == "reservoir"
    tables = {"settings": (np.uint64, (7,)), "progress": (np.uint64, (2,)), **table_types(*sizes)}
    return {"counters": (np.int64, (2,)), "moved*": None, "family.*": None, **prefixed("tables.", tables), **sums}
