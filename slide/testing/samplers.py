"""Whether a sampler keeps its contract (slide.sampling.Sampler)."""

import inspect
from typing import Any

import numpy as np

from slide.matrices import falls
from slide.rows import ActiveSet
from slide.sampling import Sampler
from slide.tables import HashTables

N_NEURONS, N_ROWS, TABLES, BITS = 300, 23, 6, 4


def check_sampler(cls: type[Sampler], **settings: Any) -> None:
    """Raises AssertionError where a sampler breaks its contract, saying what is wrong and why it matters.

    Checked are: the form of the ActiveSet; groups of one, some and all rows, one row and none; ids unique in a group
    and in range; `active` as a limit; that the result follows from (tables, codes, seed, step) alone, not from threads
    or what was sampled before; that at step 0 a row's set depends on no other row; and that codes may be read-only and
    the tables stay as they are.

    Parameters
    ----------
    cls : type
        A subclass of `slide.sampling.Sampler`.
    **settings
        What it is constructed with, `active=7` besides where the constructor takes it.

    Raises
    ------
    AssertionError
        Where the contract is broken.
    """
    if not (isinstance(cls, type) and issubclass(cls, Sampler)):
        raise AssertionError(
            f"found {cls!r}, expected a subclass of slide.sampling.Sampler (the class, not an instance)"
        )
    if "active" in inspect.signature(cls).parameters:
        settings = {"active": 7, **settings}
    for sampler in (cls(**settings), *([cls(**settings | {"active": 1})] if "active" in settings else [])):
        _check_config(sampler)
        trial = Trial(sampler)
        for n_rows in (N_ROWS, 1, 0):
            for group_size in (1, 4, N_ROWS, 100):
                trial.check(n_rows, group_size)
        trial.check_threads()
        trial.check_step_zero()


class Trial:
    """A sampler with tables and codes that it must leave alone."""

    def __init__(self, sampler):
        self.sampler, self.name = sampler, type(sampler).__name__
        rng = np.random.default_rng(0)
        self.tables = HashTables(N_NEURONS, TABLES, BITS, threads=1)
        self.tables.build(rng.integers(0, 2**BITS, (N_NEURONS, TABLES), dtype=np.uint32))
        self.codes = rng.integers(0, 2**BITS, (N_ROWS, TABLES), dtype=np.uint32)

    def sample(self, rows, group_size, step=3, threads=1, sampler=None) -> ActiveSet:
        sampler = sampler or self.sampler
        codes = self.codes[rows].copy()
        codes.setflags(write=False)
        before = {name: array.copy() for name, array in self.tables.state().items()}
        inputs = (self.tables, codes) if sampler.needs_tables else (None, None)
        try:
            found = sampler.sample(*inputs, len(codes), group_size, N_NEURONS, 11, step, threads)
        except Exception as error:
            raise AssertionError(
                f"{self.name}.sample: fails on {len(codes)} rows in groups of {group_size}: "
                f"{type(error).__name__}: {error}"
                + (" (codes and tables are read-only: work on a copy)" if "read-only" in str(error) else "")
            ) from error
        for name, array in self.tables.state().items():
            if not np.array_equal(array, before[name]):
                raise AssertionError(f"{self.name}.sample: changed the tables ({name})")
        return found

    def check(self, n_rows, group_size):
        rows, what = slice(0, n_rows), f"{n_rows} rows in groups of {group_size}"
        found = self.sample(rows, group_size)
        self.well_formed(found, -(-n_rows // group_size), what)
        again = self.sample(rows, group_size)
        self.equal(again, found, f"two calls with equal arguments differ ({what}): random numbers must be a function "
                                 "of (seed, step, group)")  # fmt: skip
        twin = type(self.sampler)(**self.sampler.config())
        self.equal(self.sample(rows, group_size, sampler=twin), found, f"a new sampler of equal settings differs "
                   f"({what}): what was sampled before must not matter")  # fmt: skip

    def well_formed(self, found, n_groups, what):
        name = f"{self.name}.sample"
        if not isinstance(found, ActiveSet):
            raise AssertionError(f"{name}: found {type(found).__name__}, expected a slide.rows.ActiveSet")
        for part, dtype in (("indptr", np.int64), ("ids", np.int32)):
            array = getattr(found, part)
            if not (isinstance(array, np.ndarray) and array.dtype == dtype):
                kind = getattr(array, "dtype", type(array).__name__)
                raise AssertionError(
                    f"{name}: found {part} of {kind}, expected {np.dtype(dtype)} (ActiveSet.of makes one from lists)"
                )
        if len(found) != n_groups:
            raise AssertionError(f"{name}: found {len(found)} groups for {what}, expected {n_groups}")
        sizes = np.diff(found.indptr)
        if found.indptr[0] != 0 or found.indptr[-1] != len(found.ids) or falls(found.indptr):
            raise AssertionError(f"{name}: found indptr {found.indptr}, expected it to rise from 0 to {len(found.ids)}")
        if len(found.ids) and not (found.ids.min() >= 0 and found.ids.max() < N_NEURONS):
            raise AssertionError(
                f"{name}: found ids {found.ids.min()} to {found.ids.max()}, expected 0 to {N_NEURONS - 1}"
            )
        for group in range(n_groups):
            repeated = len(found[group]) - len(np.unique(found[group]))
            if repeated:
                raise AssertionError(f"{name}: group {group} of {what} repeats {repeated} ids, expected unique ids")
        self.limited(sizes, what)

    def limited(self, sizes, what):
        active = getattr(self.sampler, "active", None)
        if active is not None and len(sizes) and sizes.max() > active:
            raise AssertionError(
                f"{self.name}.sample: a group of {what} has {sizes.max()} ids, expected at most active = {active}"
            )

    def equal(self, found, expected, why):
        if not (np.array_equal(found.indptr, expected.indptr) and np.array_equal(found.ids, expected.ids)):
            raise AssertionError(f"{self.name}.sample: {why}")

    def check_threads(self):
        for group_size in (1, 4):
            expected = self.sample(slice(None), group_size)
            for threads in (2, 8, None):
                found = self.sample(slice(None), group_size, threads=threads)
                self.equal(found, expected, f"the result depends on threads (here {threads})")

    def check_step_zero(self):
        together = self.sample(slice(None), 1, step=0)
        for row in range(N_ROWS):
            alone = self.sample(slice(row, row + 1), 1, step=0)
            self.equal(alone, ActiveSet.of([together[row]]), f"at step 0, prediction, the set of row {row} depends on "
                       "the rows beside it (group_rng draws the same for all groups then)")  # fmt: skip


def _check_config(sampler):
    name = type(sampler).__name__
    try:
        twin = type(sampler)(**sampler.config())
    except TypeError as error:
        raise AssertionError(
            f"{name}: cls(**config()) fails: {error} (attributes must be the constructor's settings and nothing else)"
        ) from error
    if twin.config() != sampler.config():
        raise AssertionError(f"{name}: cls(**config()) has settings {twin.config()}, expected {sampler.config()}")
