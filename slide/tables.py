"""L hash tables over the neurons of a layer: which ones share a code with an input (paper, section 3.1)."""

import math

import numpy as np

from slide._kernels.tables import build_rows, clear_rows, locate_rows, reinsert_rows
from slide.machine import memory
from slide.machine.threads import check_threads
from slide.rows import ActiveSet, gather_slices
from slide.settings.checks import as_array, check_array, check_integer, check_mapping
from slide.state.commit import Commit
from slide.table_set import TableSet, allocate, check_layout, table_set, table_types

POLICIES = ("fifo", "reservoir")
ABSENT = 2**32 - 1  # the code of what a table does not hold
IDENTITY = np.array([1, 0], dtype=np.uint64)  # the fold that changes nothing


def default_range_bits(n_items: int, code_bits: int) -> int:
    """About four items per bucket, never fewer than 2**10 buckets, never more than there are codes, or 2**28."""
    return min(code_bits, 28, max(10, math.ceil(math.log2(n_items)) - 2))


class HashTables:
    """L tables of buckets over the item ids 0..n_items-1; an item is in one bucket of each table.

    A bucket's slots are laid out when the tables are built: min(bucket_size, count + count // 4 + 1) for
    `count` items that hash there. Between builds this capacity takes the place of bucket_size: `update` lets
    the policy act when it is full.

    Tables are built beside those in use and take their place at once, so that what interrupts a build leaves them as
    they were. From the second build on there are two sets of arrays, of which one is spare.

    Differs from the paper: buckets take the room they need, not bucket_size slots each, which for 670,091
    items, L=50 and 18 bits is 0.46 GB a set (`nbytes`) in place of 6.7 GB.

    Parameters
    ----------
    n_items : int
        At least 1.
    L : int
        The number of tables.
    code_bits : int
        A code is below 2**code_bits, 1 to 32; higher bits are ignored. Items of the code ABSENT (2**32 - 1) are in no
        bucket of that table, and inputs of that code find nothing.
    bucket_size : int
        The most ids that a bucket holds.
    policy : {"fifo", "reservoir"}
        What a full bucket does with one more id. "fifo" forgets the oldest; "reservoir" is algorithm R (Vitter 1985):
        arrival number c replaces a uniformly drawn id with probability bucket_size / c, so that the bucket is a uniform
        sample of its arrivals.
    range_bits : int or None
        A table has 2**range_bits buckets, 1 to min(code_bits, 28); None chooses about four items per bucket. Where it
        is below code_bits, codes are folded by a multiply-shift hash drawn for each table, which merges the buckets of
        two different codes with probability 2**-range_bits.
    seed : int
        0 to 2**64 - 1; decides the folds and the reservoir's draws.
    threads : int or None
        None for every CPU. The tables are the same for any number.
    huge_pages : bool
        Whether the arrays ask for huge pages (see `slide.machine.memory.zeros`).
    empty : bool
        Whether there are no arrays before `adopt`.

    Raises
    ------
    ValueError
        Where a setting is out of its range.
    """

    def __init__(
        self, n_items, L, code_bits, bucket_size=128, policy="fifo", range_bits=None, seed=0, threads=None,
        huge_pages=True, empty=False,
    ):  # fmt: skip
        self.n_items = check_integer("n_items", n_items, 1, 2**31 - 1)
        self.L = check_integer("L", L, 1, 2**20)
        self.code_bits = check_integer("code_bits", code_bits, 1, 32)
        self.bucket_size = check_integer("bucket_size", bucket_size, 1, 2**31 - 1)
        self.seed = check_integer("seed", seed, 0, 2**64 - 1)
        if not isinstance(policy, str) or policy not in POLICIES:
            raise ValueError(f"policy: found {policy!r}, expected one of {', '.join(POLICIES)}")
        self.policy = policy
        if range_bits is None:
            range_bits = default_range_bits(self.n_items, self.code_bits)
        self.range_bits = check_integer("range_bits", range_bits, 1, min(28, self.code_bits))
        self.threads = check_threads(threads)
        self._huge_pages = huge_pages
        self._scratch = memory.Scratch()
        self._mask = 2**self.range_bits - 1
        if self.range_bits == self.code_bits:
            self._shift, self._folds = 0, np.tile(IDENTITY, (self.L, 1))
        else:
            self._shift = 64 - self.range_bits
            self._folds = np.random.default_rng(self.seed).integers(0, 2**64, (self.L, 2), dtype=np.uint64)
        self._sets = None if empty else self._allocate(), None  # in use, and spare

    def _allocate(self) -> TableSet:
        reservoir = self.policy == "reservoir"
        sizes = self.n_items, self.L, self.range_bits, self.bucket_size, reservoir
        return allocate(*sizes, self.seed, self._huge_pages)

    @property
    def located(self) -> np.ndarray:
        """uint32 (L, n_items), read-only: the bucket of each item in each table."""
        return read_only(self._sets[0].located)

    @property
    def buckets(self) -> np.ndarray:
        """uint32 (L, buckets + 1, 2), read-only: a bucket's first slot, and how many ids it holds."""
        return read_only(self._sets[0].buckets)

    @property
    def items(self) -> np.ndarray:
        """int32 (L, slots), read-only: the ids in the buckets' slots."""
        return read_only(self._sets[0].items)

    @property
    def step(self) -> int:
        """The number of builds and updates."""
        return self._sets[0].step

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of the tables in use."""
        used = self._sets[0]
        return sum(array.nbytes for array in (used.located, used.buckets, used.items, used.arrivals, self._folds))

    def locate(self, codes, threads: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """uint32 (L, n): the bucket of each table for `codes` (n, L). threads: None is the tables' own
        number. out: the array to write to, None for a new one.

        Raises ValueError where codes is not an array of integers (n, L).
        """
        codes = self._check_codes(codes)
        located = np.empty((self.L, len(codes)), dtype=np.uint32) if out is None else out
        locate_rows(codes, self._folds, self._shift, self._mask, located, threads or self.threads)
        return located

    def _next(self) -> TableSet:
        """The set that the next build writes to: the spare one, once that in use holds anything."""
        used, spare = self._sets
        if not used.built:
            return used
        if spare is None:
            spare = self._allocate()
            self._sets = used, spare
        return spare

    def code_buffer(self) -> np.ndarray:
        """uint32 (n_items, L), for the codes of the next `build`: where it keeps them, so without a copy."""
        return self._next().located.T

    def build(self, codes, commit: Commit | None = None) -> None:
        """Empties the tables and inserts items 0..n_items-1, in this order, by their `codes` uint32 (n_items,
        L).

        Fastest with codes in `code_buffer()`, or otherwise in the order of memory of a transposed (L, n_items).

        commit: where the change is added to, which is made when that is run; None makes it at once.

        Raises ValueError where codes has another shape or is not an array of integers.
        """
        codes = self._check_codes(codes, self.n_items)
        made, step = self._next(), self.step + 1
        by_table, folds, shift, mask = codes.T, self._folds, self._shift, self._mask
        if not by_table.flags.c_contiguous:
            by_table, folds, shift = self.locate(codes, out=made.located), np.tile(IDENTITY, (self.L, 1)), 0
            mask = 2 * self._mask + 1  # the bucket after the last is one, too
        present = self._scratch.get("present", (self.threads, self.n_items), np.int32)
        build_rows(by_table, folds, shift, mask, made.tables, step, present, self.threads)
        change = commit or Commit()
        change.set(made, step=step, built=True)
        change.set(self, _sets=(made, *(each for each in self._sets if each is not made)))
        if commit is None:
            change.run()

    def update(self, ids, codes, commit: Commit | None = None) -> None:
        """Moves items to the buckets of their new `codes` uint32 (m, L), one after the other in the order of
        `ids` (m,).

        An item whose bucket is unchanged stays where it is, or stays forgotten. Any other leaves its old
        bucket, if it is still there, and arrives at the new one as the newest.

        commit: as for `build`; nothing may come between this and its run.

        Raises ValueError where ids are not unique integers in 0..n_items-1, where codes has another shape, or
        before the first `build`.
        """
        used = self._sets[0]
        if not used.built:
            raise ValueError("update: found tables that were never built, expected a call of build before")
        ids = self._check_ids(ids)
        codes = self._check_codes(codes, len(ids))
        moved = self.locate(codes, out=self._scratch.get("moved", (self.L, len(ids)), np.uint32))
        movers = self._scratch.get("movers", (self.threads, len(ids)), np.int32)
        change = commit or Commit()
        change.call(reinsert_rows, ids, moved, used.tables, used.step + 1, movers, self.threads)
        change.set(used, step=used.step + 1)
        if commit is None:
            change.run()

    def query(self, codes) -> ActiveSet:
        """The ids in the buckets of `codes` (n, L), oldest first; group r * L + t is row r in table t."""
        located = self.locate(codes)
        tables = np.arange(self.L)[:, None]
        starts, sizes = self.buckets[tables, located].T.reshape(2, -1).astype(np.int64)
        indptr, where = gather_slices(starts, sizes)
        table_of = np.repeat(np.tile(np.arange(self.L), located.shape[1]), sizes)
        return ActiveSet(indptr, self.items[table_of, where])

    def occupancy(self) -> dict:
        """How full the tables are.

        Returns
        -------
        dict
            "mean", ids per bucket, over all buckets; "max", ids in the fullest; "empty", the share of buckets without
            an id; "held", the share of (item, table) pairs that are in their bucket, the others having been forgotten.
        """
        sizes = self.buckets[:, :-1, 1]
        total = int(sizes.sum(dtype=np.int64))
        return {
            "mean": total / sizes.size,
            "max": int(sizes.max()),
            "empty": 1 - int(np.count_nonzero(sizes)) / sizes.size,
            "held": total / (self.n_items * self.L),
        }

    def _settings(self) -> list:
        policy = POLICIES.index(self.policy)
        return [self.n_items, self.L, self.code_bits, self.bucket_size, self.range_bits, policy, self.seed]

    def state(self) -> dict:
        """What `load_state` needs to go on bit by bit the same, as arrays (views; copy to keep)."""
        used = self._sets[0]
        if used.located.size:
            clear_rows(used.tables, self.threads)
        return {
            "settings": np.array(self._settings(), dtype=np.uint64),
            "progress": np.array([used.step, used.built], dtype=np.uint64),
            "located": used.located,
            "buckets": used.buckets,
            "items": used.items,
            "arrivals": used.arrivals,
        }

    def load_state(self, state: dict) -> None:
        """Takes over a `state` of tables with the same settings.

        Raises ValueError, leaving the tables as they were, where an array is missing, has another dtype or shape or
        holds what no table can hold.
        """
        check_mapping("state", state)
        mine = self.state()
        taken = {name: check_array(f"state[{name!r}]", state.get(name), own) for name, own in mine.items()}
        if not np.array_equal(taken["settings"], mine["settings"]):
            raise ValueError(f"state['settings']: found {taken['settings']}, expected {mine['settings']}")
        check_layout(**taken, n_items=self.n_items)
        change, used = Commit(), self._sets[0]
        for name in ("located", "buckets", "items", "arrivals"):
            change.call(np.copyto, mine[name], taken[name])
        change.set(used, step=int(taken["progress"][0]), built=bool(taken["progress"][1]))
        change.run()

    def adopt(self, state: dict) -> None:
        """Looks up in the buckets and items of a `state` themselves from now on; nothing can be built or updated then.

        Raises ValueError as `load_state`.
        """
        found = {
            "settings": check_array("state['settings']", state.get("settings"), np.zeros(7, np.uint64)),
            "progress": check_array("state['progress']", state.get("progress"), np.zeros(2, np.uint64)),
        }
        if not np.array_equal(found["settings"], np.array(self._settings(), dtype=np.uint64)):
            raise ValueError(f"state['settings']: found {found['settings']}, expected {self._settings()}")
        sizes = self.n_items, self.L, self.range_bits, self.bucket_size, False
        for name, (dtype, shape) in table_types(*sizes).items():
            like = np.broadcast_to(np.zeros((), dtype), shape if name in ("buckets", "items") else (self.L, 0))
            given = state.get(name) if name in ("buckets", "items") else np.zeros((self.L, 0), dtype)
            found[name] = check_array(f"state[{name!r}]", given, like)
        check_layout(**found, n_items=self.n_items)
        step, built = map(int, found["progress"])
        self._sets = table_set(found, self.bucket_size, False, self.seed, step, bool(built)), None

    def _check_codes(self, codes, n_rows=None):
        codes = as_array("codes", codes)
        if codes.ndim != 2 or codes.shape[1] != self.L or (n_rows is not None and len(codes) != n_rows):
            raise ValueError(
                f"codes: found shape {codes.shape}, expected ({'n' if n_rows is None else n_rows}, {self.L})"
            )
        if codes.dtype.kind not in "iu":
            raise ValueError(f"codes: found dtype {codes.dtype}, expected uint32")
        return codes.astype(np.uint32, copy=False)

    def _check_ids(self, ids):
        ids = as_array("ids", ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(f"ids: found shape {ids.shape} of dtype {ids.dtype}, expected integers (m,)")
        if ids.size and not (0 <= ids.min() and ids.max() < self.n_items):
            raise ValueError(f"ids: found {ids.min()} to {ids.max()}, expected 0 to {self.n_items - 1}")
        ids = np.ascontiguousarray(ids, dtype=np.int32)
        seen = np.zeros(self.n_items, dtype=bool)
        seen[ids] = True
        if np.count_nonzero(seen) != len(ids):
            raise ValueError(f"ids: found {len(ids) - np.count_nonzero(seen)} repeated, expected unique ids")
        return ids


def read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.setflags(write=False)
    return view
