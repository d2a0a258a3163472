"""SimHash: signs of sparse random projections; follows the cosine."""

import numpy as np
from numpy.typing import ArrayLike

from slide._kernels.hashing import simhash as kernel
from slide.hashing.base import HashFamily
from slide.hashing.run import aligned
from slide.typing import Numbers


class SimHash(HashFamily):
    """One bit per hash: whether the sum of a random third of the coordinates, with random signs, is above 0.

    Charikar (2002) with the sparse ternary projections of MLSys 2020, appendix on hash functions: each takes
    max(1, round(dim / 3)) coordinates. Sums are in float32 in the order of the coordinates, and a sum of 0
    (or NaN) gives bit 0. Two rows at angle t agree with probability 1 - t / pi: exactly so for Gaussian
    projections, closely for sparse ones where no few coordinates dominate the rows.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    """

    name = "simhash"
    bits_per_hash = 1

    def __init__(self, dim: int, K: int, L: int, seed: int = 0):
        super().__init__(dim, K, L, seed)
        taken, n_projections = max(1, round(self.dim / 3)), self.K * self.L
        self._indices = np.empty((n_projections, taken), np.int32)
        self._signs = np.empty((n_projections, taken), np.float32)
        for first, orders in self._permutations(n_projections):
            part = slice(first, first + len(orders))
            draws = self._random(1, np.arange(part.start, part.stop), taken)
            self._indices[part] = np.sort(orders[:, :taken], axis=1)
            self._signs[part] = np.where(draws >> np.uint64(63), 1, -1)
        self._terms = self._interleave()
        self._columns = None

    def _entries(self):
        return 2 * self._indices + (self._signs < 0)

    def _interleave(self):
        """(ceil(K L / 8), taken, 8): the kernel sums a few projections at a time."""
        entries = self._entries()
        padded = np.pad(entries, ((0, -len(entries) % kernel.INTERLEAVED), (0, 0)))
        grouped = padded.reshape(-1, kernel.INTERLEAVED, entries.shape[1]).transpose(0, 2, 1)
        return np.ascontiguousarray(grouped, np.int32)

    def _by_coordinate(self):
        """starts (dim + 1,) and entries 2 * projection + (sign < 0): which projections take a coordinate."""
        if self._columns is None:
            order = np.argsort(self._indices, axis=None, kind="stable")
            projections = order // self._indices.shape[1]
            entries = 2 * projections + (self._signs.ravel()[order] < 0)
            counts = np.bincount(self._indices.ravel(), minlength=self.dim)
            starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            self._columns = starts, entries.astype(np.int32)
        return self._columns

    def _codes_dense(self, rows, codes, threads):
        self._codes_taken(rows, None, codes, threads)

    def _codes_taken(self, rows, ids, codes, threads):
        blocks = aligned(threads, 32 * self.dim, np.float32)
        lanes = aligned(threads, 16 * self.L, np.uint32)
        kernel.simhash_rows(rows, ids, self._terms, self.K, codes, blocks, lanes, threads)

    def _codes_sparse(self, indptr, ids, values, codes, threads):
        sums = aligned(threads, self.K * self.L, np.float32)
        kernel.simhash_csr_rows(indptr, ids, values, *self._by_coordinate(), self.K, codes, sums, threads)

    def similarity(self, x: ArrayLike, y: ArrayLike) -> float:
        """The cosine; a zero vector has 0 with any other and 1 with another zero vector."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        norms = np.linalg.norm(x) * np.linalg.norm(y)
        if norms == 0:
            return float(not x.any() and not y.any())
        return float(np.clip(x @ y / norms, -1, 1))

    def collision_probability(self, similarity: Numbers) -> Numbers:
        """1 - arccos(cosine) / pi."""
        return 1 - np.arccos(np.clip(similarity, -1, 1)) / np.pi
