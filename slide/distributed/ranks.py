"""The exchange over the ranks of an MPI communicator, by mpi4py.

MPI only moves numbers here; every sum is made by NumPy, in the order of the ranks, so that a result is a function of
the number of ranks and of nothing else.
"""

import os
import sys
import time
import traceback
import zlib
from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np

from slide.distributed import shares
from slide.distributed.exchange import ALONE, Exchange
from slide.layers.settings import Dense
from slide.machine.memory import Scratch
from slide.machine.threads import available_threads
from slide.rows import SparseRows

SMALL = 4096  # floats up to which every rank gets all of every other: one message in place of two
BLOCK = 1 << 22  # weights that are drawn at once
FEWEST = np.float32(-3e38)  # the largest logit of none
CHECKED = 1 << 16  # entries of data that are compared over ranks
PATIENCE = 5.0  # seconds in which ranks that fail alike come together


class Ranks(Exchange):
    """The ranks of an intra-communicator of mpi4py, which is duplicated. `make` is what to call."""

    def __init__(self, comm):
        self._comm, self._ends = comm.Dup(), comm.Dup()
        self.rank, self.size = comm.rank, comm.size
        self._scratch = Scratch()
        self.bytes, self.seconds = 0, 0.0  # that this rank sent in sums so far, and that it spent in them, waits too
        _abort_on_exceptions(self)

    def __reduce__(self):
        raise TypeError("pickling: found a network over ranks, expected one of one process: save it")

    # ---- Shares ----------------------------------------------------------------------------------------------------

    def check(self, n_features, specs, settings):
        found = f"with {self.size} ranks"
        if len(specs) != 2 or type(specs[0]) is not Dense:
            raise ValueError(f"layers: found {list(specs)!r} {found}, expected Dense(width) and an output layer")
        if settings.update != "rows":
            raise ValueError(f"update: found {settings.update!r} {found}, expected 'rows'")
        if not getattr(specs[1], "labels", True):
            raise ValueError(f"labels: found False {found}, expected True: labels are active on the rank that has them")
        for name, n in (("n_features", n_features), ("n_labels", specs[1].n_neurons)):
            if n < self.size:
                raise ValueError(f"{name}: found {n} {found}, expected at least as many")
        told = repr((n_features, specs, replace(settings, threads=1)))
        others = self.all(told)
        if len(set(others)) > 1:
            rank = next(i for i, other in enumerate(others) if other != others[0])
            raise ValueError(f"settings: found {others[rank]} on rank {rank}, expected {others[0]} as on rank 0")

    def check_same(self, what, *rows):
        found = [x for each in rows for x in (each.shape, len(each.ids), *map(_checksum, (each.ids, each.values)))]
        if len(set(map(str, self.all(found)))) > 1:
            raise ValueError(f"{what}: found other data on other ranks, expected the same rows on each of {self.size}")

    def refuse(self, what):
        raise RuntimeError(f"{what}: found a network over {self.size} ranks, expected one of one process: save it, and "
                           "load it there")  # fmt: skip

    def settings(self, settings):
        if settings.get("threads") is not None:
            return settings
        return settings | {"threads": max(1, available_threads() // self._sharing())}

    def _sharing(self):
        """How many ranks run on CPUs of this one."""
        from mpi4py import MPI

        here = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
        found = sum(bool(mine & other) for other in here.allgather(mine))
        here.Free()
        return found

    def count(self, n):
        return _count(n, self.rank, self.size)

    def total(self, n):
        return sum(self.all(n))

    def specs(self, specs):
        *hidden, output = specs
        return (*hidden, output.shared(lambda n: self.count(n)))

    def own(self, rows):
        mine = rows.ids % self.size == self.rank
        indptr = np.concatenate([[0], np.cumsum(mine)])[rows.indptr].astype(np.int64)
        ids = (rows.ids[mine] // self.size).astype(np.int32, copy=False)
        return SparseRows(indptr, ids, rows.values[mine], (len(rows), self.count(rows.shape[1])))

    def seed(self, seed):
        return (seed + self.rank * 0x9E3779B97F4A7C15) % 2**62

    def fill(self, w, draw):
        n, step = self.total(len(w)), max(1, BLOCK // max(w.shape[1], 1)) * self.size
        for low in range(0, n, step):
            values = np.zeros((min(step, n - low), w.shape[1]), w.dtype)
            draw(values)
            own = values[self.rank :: self.size]
            w[low // self.size : low // self.size + len(own)] = own

    # ---- Sums ------------------------------------------------------------------------------------------------------

    def once(self, array):
        return array if self.rank == 0 else np.zeros_like(array)

    def timed(self, clock):
        return clock("exchange")

    def sum(self, *arrays):
        flat = self._scratch.get("sent", (sum(array.size for array in arrays),))
        np.concatenate([array.reshape(-1) for array in arrays], out=flat)
        flat = self._add_all(flat) if self.size == 2 or len(flat) <= SMALL else self._add_shares(flat)
        low = 0
        for array in arrays:
            array[...] = flat[low : low + array.size].reshape(array.shape)
            low += array.size

    def _add_all(self, flat):
        parts = self._scratch.get("received", (self.size, len(flat)))
        self._gather(flat, parts)
        return _add(parts)

    def _add_shares(self, flat):
        """Each rank adds up a share of the array, and all get the sums of all shares."""
        n = -(-len(flat) // self.size)
        sent, parts = (self._scratch.get(name, (self.size, n)) for name in ("shares", "parts"))
        sent.reshape(-1)[: len(flat)] = flat
        start = time.perf_counter()
        self._comm.Alltoall(sent, parts)
        self.bytes, self.seconds = self.bytes + sent.nbytes - n * 4, self.seconds + time.perf_counter() - start
        self._gather(_add(parts), sent)
        return sent.reshape(-1)

    def _gather(self, own, parts):
        start = time.perf_counter()
        self._comm.Allgather(own, parts)
        self.bytes, self.seconds = self.bytes + own.nbytes * (self.size - 1), self.seconds + time.perf_counter() - start

    def normalise(self, most, total, *sums):
        own = np.concatenate([most, total, *sums], dtype=np.float32)
        parts = np.empty((self.size, len(own)), np.float32)
        self._gather(own, parts)
        return merge(parts, len(most), [len(each) for each in sums])

    def softmax(self, stages):
        stages.close(*self.normalise(*stages.open()))

    def best(self, values, ids, active, k):
        n, missing = len(values), k - values.shape[1]
        values = np.pad(values, ((0, 0), (0, missing)), constant_values=-np.inf)
        ids = np.pad(np.where(ids >= 0, ids * self.size + self.rank, -1), ((0, 0), (0, missing)), constant_values=-1)
        all_values, all_ids = np.empty((self.size, n, k), np.float32), np.empty((self.size, n, k), np.int32)
        self._comm.Allgather(np.ascontiguousarray(values, np.float32), all_values)
        self._comm.Allgather(np.ascontiguousarray(ids, np.int32), all_ids)
        all_values, all_ids = (x.swapaxes(0, 1).reshape(n, -1) for x in (all_values, all_ids))
        order = np.lexsort((all_ids, -all_values), axis=1)[:, :k]  # ties go to the smaller label
        return np.take_along_axis(all_values, order, 1), np.take_along_axis(all_ids, order, 1), sum(self.all(active))

    # ---- Agreement -------------------------------------------------------------------------------------------------

    def any(self, flag):
        found = np.empty(self.size, np.int8)
        self._comm.Allgather(np.array([bool(flag)], np.int8), found)
        return bool(found.any())

    def same(self, value):
        return self._comm.bcast(value)

    def all(self, value):
        return self._comm.allgather(value)

    def gather(self, array: np.ndarray):
        """On the first rank the arrays of all, in a list; None on others. Of one dtype, (rows, ...)."""
        shapes = self._comm.gather(array.shape)
        array = np.ascontiguousarray(array)
        if self.rank:
            self._comm.Send(array.view(np.uint8).reshape(-1), 0)
            return None
        found = [array] + [np.empty(shape, array.dtype) for shape in shapes[1:]]
        for rank, each in enumerate(found[1:], start=1):
            self._comm.Recv(each.view(np.uint8).reshape(-1), rank)
        return found

    # ---- Files -----------------------------------------------------------------------------------------------------

    def write(self, arrays, types, do):
        shares.write(self, arrays, types, do)

    def part(self, archive, network):
        like = {f"layers.{i}.{name}": x for i, layer in enumerate(network.layers) for name, x in layer.state().items()}
        return shares.OwnPart(self, archive, like)

    # ---- Ends ------------------------------------------------------------------------------------------------------

    def come_together(self) -> bool:
        """Whether all ranks call this within some seconds."""
        request, until = self._ends.Ibarrier(), time.monotonic() + PATIENCE
        while not request.Test():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def ended(self, code, message, note):
        if message is None:
            return code
        if self.rank == 0:
            note(message)
        if self.come_together():
            return code
        if self.rank:
            note(message)
        self.end(code)
        return code

    def abort(self, code: int):
        """Ends all ranks, at once."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        self._comm.Abort(code)

    def lost(self, error):
        if isinstance(error, KeyboardInterrupt):
            self.end(130)
        traceback.print_exception(error)
        self.end(1)

    def end(self, code: int):
        print(f"slide: rank {self.rank} of {self.size} cannot go on, all ranks are ended", file=sys.stderr, flush=True)
        self.abort(code)


def make(comm) -> Exchange:
    """The exchange over a communicator of mpi4py; a world of one where that is None, or has one rank.

    Raises ValueError where it is no intra-communicator of mpi4py.
    """
    if comm is None or isinstance(comm, Exchange):
        return ALONE if comm is None else comm
    try:
        from mpi4py import MPI
    except ImportError:
        raise ValueError(f"comm: found {comm!r} without mpi4py, expected None or slidenn[distributed]") from None
    if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
        raise ValueError(f"comm: found {comm!r}, expected an mpi4py.MPI.Intracomm or None")
    if comm.size == 1:
        return ALONE
    return _of_world() if comm == MPI.COMM_WORLD else Ranks(comm)


@cache
def _of_world():
    from mpi4py import MPI

    return Ranks(MPI.COMM_WORLD)


def merge(parts: np.ndarray, n: int, sizes: list) -> tuple[np.ndarray, ...]:
    """What `Exchange.normalise` returns, of n samples and sums of these sizes; parts: of each rank what it gave."""
    tops, totals = parts[:, :n], parts[:, n : 2 * n]
    most = tops.max(axis=0)
    sums = np.split(_add(parts[:, 2 * n :]), np.cumsum(sizes)[:-1])
    return most, _add(totals * np.exp(tops - most)), *sums


def _count(n, rank, size):
    return (n - rank + size - 1) // size


def _add(parts):
    """The sum of the rows of an array, one after the other."""
    out = parts[0].copy()
    for part in parts[1:]:
        out += part
    return out


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(array[:: max(1, len(array) // CHECKED)]))


def _abort_on_exceptions(ranks):
    """An exception that ends this process ends all: otherwise the others would wait for it without end."""
    if getattr(sys.excepthook, "ends_ranks", False):
        return
    before = sys.excepthook

    def hook(kind, error, trace):
        before(kind, error, trace)
        ranks.end(1)

    hook.ends_ranks = True
    sys.excepthook = hook
