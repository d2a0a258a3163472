"""The arrays of a network over ranks in one file: put together from the ranks' parts, and taken apart again.

Which rank has what follows from the names of the arrays. Tables are no sum of parts: a file of ranks holds none that
are built, and whoever loads it hashes its neurons.
"""

from collections.abc import Callable, Mapping

import numpy as np

from slide.index import LEFT_OUT
from slide.state.archive import Streamed
from slide.tables import default_range_bits

BLOCK = 16 << 20  # bytes of each rank that are on their way at once
ROWS = ("w", "m", "v")
N_ITEMS, CODE_BITS, RANGE_BITS = 0, 2, 4  # places in the settings of tables


def axis_of(name: str) -> int | None:
    """Along which axis the array of that name is shared out; None where all ranks have the same."""
    *parts, last = name.split(".")
    if parts[-1:] == ["neurons"] and last == "bias":
        return 1
    return 0 if parts[-1:] in (["neurons"], ["features"]) and last in ROWS else None


def kind_of(name: str) -> str:
    """"shared", "same", "tables", "moved" or "recent": how the whole array is found."""
    *parts, last = name.split(".")
    if "tables" in parts and "index" in parts:
        return "tables"
    if parts[-1:] == ["index"] and last == "moved":
        return "moved"
    if parts[-1:] == ["recent"]:
        return "recent"
    return "same" if axis_of(name) is None else "shared"


def write(ranks, arrays: Mapping, types: dict, do: Callable) -> None:
    """do(arrays of the whole network) on the first rank, which asks the others for blocks; raises on all what it does.

    types   {name: (dtype, shape)} of the whole network's
    """
    recent = {name: _recent(ranks, arrays, name) for name in arrays if name.endswith("recent.ring")}
    if ranks.rank:
        while (asked := ranks.same(None)) is not None:
            ranks.gather(_picked(arrays, *asked))
    else:
        error = None
        try:
            do(dict(_whole(ranks, arrays, types, recent)))
        except BaseException as found:
            error = found
        ranks.same(None)
    error = ranks.same(None if ranks.rank else error)
    if error is not None:
        raise error


def _whole(ranks, arrays, types, recent):
    for name, array in arrays.items():
        kind = kind_of(name)
        if kind == "shared":
            dtype, shape = types[name]
            yield name, Streamed(dtype, shape, lambda name=name, array=array: _blocks(ranks, name, array))
        elif kind == "tables":
            n = types[name.rpartition(".")[0] + ".located"][1][1]
            yield name, _unbuilt(name, array, types[name], n)
        elif name in recent:
            ring = np.zeros(types[name][1], np.int32)
            ring[: len(recent[name])] = recent[name]
            yield name, ring
        elif kind == "recent":
            yield name, np.array(len(recent[name.removesuffix("added") + "ring"]), np.int64)
        elif kind == "same":
            yield name, array


def _blocks(ranks, name, array):
    """The values of a whole array, block by block, in its order."""
    for row in range(len(array)) if axis_of(name) else [None]:
        part = array if row is None else array[row]
        step = max(1, BLOCK // max(1, part.nbytes // max(1, len(part))))
        for low in range(0, len(part), step):
            asked = name, row, low, low + step
            ranks.same(asked)
            yield interleaved(ranks.gather(_picked({name: array}, *asked)))


def _picked(arrays, name, row, low, high):
    return (arrays[name] if row is None else arrays[name][row])[low:high]


def interleaved(parts) -> np.ndarray:
    """Of the rows of R ranks those of all: row i is the next of rank i mod R."""
    out = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    for rank, part in enumerate(parts):
        out[rank :: len(parts)] = part
    return out


def _recent(ranks, arrays, name):
    """The label entries that all ranks remember."""
    kept = arrays[name][: min(int(arrays[name.removesuffix("ring") + "added"]), len(arrays[name]))]
    found = ranks.gather((kept * ranks.size + ranks.rank).astype(np.int32))
    return None if found is None else np.concatenate(found)


def _unbuilt(name, array, what, n_items):
    dtype, shape = what
    if name.endswith("tables.settings"):
        array = array.copy()
        array[N_ITEMS], array[RANGE_BITS] = n_items, default_range_bits(n_items, int(array[CODE_BITS]))
        return array
    if name.endswith("tables.progress"):
        return LEFT_OUT
    return Streamed(dtype, shape, lambda: _zeros(dtype, shape))


def _zeros(dtype, shape):
    left = int(np.prod(shape, dtype=np.int64))
    zeros = np.zeros(min(left, BLOCK), dtype)
    while left:
        yield zeros[:left]
        left -= min(left, len(zeros))


class OwnPart(Mapping):
    """Of the arrays of a file those of a rank, in place of the `like` of its network: views of the file where it is
    mapped, tables that are not built."""

    def __init__(self, ranks, archive, like: Mapping):
        self._ranks, self._archive, self._like = ranks, archive, like

    def __iter__(self):
        return (name for name in self._archive if kind_of(name) != "moved")

    def __len__(self):
        return sum(1 for _ in self)

    def __getitem__(self, name):
        kind, rank, size = kind_of(name), self._ranks.rank, self._ranks.size
        if kind == "moved":
            raise KeyError(name)
        if kind == "same":
            return self._archive[name]
        if kind == "shared":
            mine = slice(rank, None, size)
            return self._archive.mapped(name)[(slice(None), mine) if axis_of(name) else mine]
        like = self._like[name]
        if kind == "tables":
            return LEFT_OUT if name.endswith("progress") else like
        return self._own_recent(name)

    def _own_recent(self, name):
        prefix = name.rpartition(".")[0]
        ring, added = (self._archive[f"{prefix}.{part}"] for part in ("ring", "added"))
        held = np.roll(ring, -(int(added) % len(ring))) if added > len(ring) else ring[: int(added)]  # oldest first
        like = self._like[f"{prefix}.ring"]
        mine = held[held % self._ranks.size == self._ranks.rank][-len(like) :] // self._ranks.size
        if name.endswith("added"):
            return np.array(len(mine), np.int64)
        return np.concatenate([mine, np.zeros(len(like) - len(mine), np.int32)]).astype(np.int32)
