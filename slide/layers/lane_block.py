"""Lane blocks: the activations of a batch, group by group, a group's samples side by side."""

from dataclasses import dataclass, replace

import numpy as np

from slide._kernels import lanes as _lanes
from slide._kernels.simd.vec import LANES

NO_IDS = np.zeros(0, dtype=np.int32)


def lanes_of(group_size: int) -> int:
    """Floats per row of a block: 1 for single samples, else the group size rounded up to whole vectors."""
    return 1 if group_size == 1 else -(-group_size // LANES) * LANES


def n_groups_of(n: int, group_size: int) -> int:
    return -(-n // group_size)


def even_group(n: int, most: int) -> int:
    """Samples of each of the fewest groups that n samples make with at most so many in each; the last may have fewer.

    Lanes without a sample are computed, too: 260 samples are two groups of 130 rather than of 256 and 4.
    """
    return -(-n // max(1, n_groups_of(n, most))) or 1


def with_lanes(values: np.ndarray, lanes: int) -> np.ndarray:
    """values (rows, at most lanes), filled up with zeros to (rows, lanes)."""
    return values if values.shape[1] == lanes else np.pad(values, ((0, 0), (0, lanes - values.shape[1])))


@dataclass
class LaneBlock:
    """What a layer of `n_columns` neurons says about n samples in groups of group_size.

    indptr   int64 (groups + 1): group g owns rows indptr[g]:indptr[g + 1] of values
    ids      int32: the neuron of each row; empty where every group has all neurons in order
    values   float32 (rows, lanes): the activation of that neuron for each sample of the group
    """

    n: int
    group_size: int
    n_columns: int
    indptr: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    @classmethod
    def from_dense(cls, x: np.ndarray, group_size: int, scratch, threads: int) -> "LaneBlock":
        n, d = x.shape
        n_groups = n_groups_of(n, group_size)
        indptr = np.arange(n_groups + 1, dtype=np.int64) * d
        if group_size == 1:
            return cls(n, 1, d, indptr, NO_IDS, x.reshape(-1, 1))
        values = scratch.get("lanes", (n_groups * d, lanes_of(group_size)))
        _lanes.pack_rows(x, group_size, values, threads)
        return cls(n, group_size, d, indptr, NO_IDS, values)

    @classmethod
    def from_sparse(cls, rows, group_size: int) -> "LaneBlock":
        """From SparseRows: the columns of a group are the union of its samples' columns."""
        n, d = rows.shape
        if group_size == 1:
            return cls(n, 1, d, rows.indptr, rows.ids, rows.values.reshape(-1, 1))
        n_groups = n_groups_of(n, group_size)
        sample = np.repeat(np.arange(n), np.diff(rows.indptr))
        group = sample // group_size
        wide = group.astype(np.int64) * d + rows.ids
        columns, place = np.unique(wide, return_inverse=True)
        values = np.zeros((len(columns), lanes_of(group_size)), dtype=np.float32)
        np.add.at(values, (place, sample % group_size), rows.values)
        indptr = np.searchsorted(columns, np.arange(n_groups + 1, dtype=np.int64) * d).astype(np.int64)
        return cls(n, group_size, d, indptr, (columns % d).astype(np.int32), values)

    @property
    def is_dense(self) -> bool:
        return len(self.ids) == 0 and self.indptr[-1] > 0

    def to_dense(self, values: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """(n x n_columns), zeros where a neuron is not active; of `values` in this block's shape if given."""
        values = self.values if values is None else values
        out = np.zeros((self.n, self.n_columns), dtype=np.float32)
        if self.is_dense:
            _lanes.unpack_rows(values, self.group_size, out, threads)
            return out
        if self.group_size == 1:
            out[self._samples(), self.ids] = values[:, 0]
            return out
        for g in range(len(self.indptr) - 1):
            low, high = self.indptr[g], self.indptr[g + 1]
            first = g * self.group_size
            m = min(self.group_size, self.n - first)
            out[first : first + m, self.ids[low:high]] = values[low:high, :m].T
        return out

    def gather(self, dense: np.ndarray) -> np.ndarray:
        """The entries of a dense (n x n_columns) array at this block's places: the inverse of `to_dense`."""
        if self.group_size == 1 and not self.is_dense:
            return dense[self._samples(), self.ids].reshape(-1, 1)
        values = np.zeros_like(self.values)
        for g in range(len(self.indptr) - 1):
            low, high = self.indptr[g], self.indptr[g + 1]
            first = g * self.group_size
            m = min(self.group_size, self.n - first)
            columns = self.ids[low:high] if not self.is_dense else slice(None)
            values[low:high, :m] = dense[first : first + m, columns].T
        return values

    def with_lanes_of(self, other: "LaneBlock") -> "LaneBlock":
        """The same with as many lanes as another block, which has at least its own."""
        return replace(self, group_size=other.group_size, values=with_lanes(self.values, other.values.shape[1]))

    def _samples(self) -> np.ndarray:
        """The sample of each row, where groups are of one."""
        return np.repeat(np.arange(self.n), np.diff(self.indptr))

    def sample_major(self, scratch, threads: int) -> np.ndarray:
        """Each group's block as lanes x columns, flat: what the gradients of weight rows are made of."""
        if self.group_size == 1:
            return self.values.reshape(-1)
        out = scratch.get("sample_major", (self.values.size,))
        _lanes.sample_major_rows(self.indptr, self.values, out, threads)
        return out
