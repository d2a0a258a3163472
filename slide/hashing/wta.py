"""WTA: which coordinate of a random bin is the largest; follows the order of the coordinates."""

import numpy as np
from numpy.typing import ArrayLike

from slide._kernels.hashing import wta as kernel
from slide.hashing.base import MAX_DIM, HashFamily
from slide.hashing.bins import agreement, cut_permutations
from slide.hashing.run import aligned
from slide.settings.checks import check_integer
from slide.typing import Numbers


class WTA(HashFamily):
    """One hash: the position of the largest of `bin_size` random coordinates; the first of equals.

    Yagnik et al., "The power of comparative reasoning" (ICCV 2011), with MLSys 2020's saving: permutations of
    all coordinates are cut in bins, dim // bin_size of them each, so K L hashes take K L bin_size / dim
    permutations where bin_size divides dim; coordinates that are left over sit that permutation out. A row
    narrower than a bin is one bin.

    bin_size : int
        Coordinates in a bin, 8 by default: a hash takes ceil(log2(bin_size)) bits.

    The similarity is the share of the bin_size-subsets of the coordinates in which both vectors have their
    largest coordinate at the same place. NaN and -inf never win.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    bin_size : int
        Coordinates of a bin; a hash takes log2(bin_size) bits.
    """

    name = "wta"
    bits_per_hash = 3
    options = ("bin_size",)
    dense_from = float("inf")  # the form for CSR takes sixteen rows at a time itself

    def __init__(self, dim: int, K: int, L: int, seed: int = 0, bin_size: int = 8):
        self.bin_size = check_integer("bin_size", bin_size, 1, MAX_DIM)
        self.bits_per_hash = max(1, (self.bin_size - 1).bit_length())
        super().__init__(dim, K, L, seed)
        self.width = min(self.bin_size, self.dim)
        self._bins = cut_permutations(self, self.width, self.K * self.L)

    def _scratch(self, threads):
        return (
            aligned(threads, 16 * self.dim, np.float32),
            aligned(threads, 16 * self.L, np.uint32),
        )

    def _codes_dense(self, rows, codes, threads):
        self._codes_taken(rows, None, codes, threads)

    def _codes_taken(self, rows, ids, codes, threads):
        kernel.wta_rows(
            rows, ids, self._bins, self.K, self.bits_per_hash, codes, *self._scratch(threads), threads
        )

    def _codes_sparse(self, indptr, ids, values, codes, threads):
        kernel.wta_csr_rows(
            indptr, ids, values, self.dim, self._bins, self.K, self.bits_per_hash, codes,
            *self._scratch(threads), threads,
        )  # fmt: skip

    def similarity(self, x: ArrayLike, y: ArrayLike) -> float:
        """The share of bins that agree; time O(dim**2)."""
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        return agreement(x, y, range(self.dim), self.width)

    def collision_probability(self, similarity: Numbers) -> Numbers:
        """The similarity itself."""
        return np.asarray(similarity, np.float64)[()]
