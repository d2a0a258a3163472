"""DWTA: WTA for sparse rows, whose empty bins borrow; follows the order of the non-zero coordinates."""

import numpy as np
from numpy.typing import ArrayLike

from slide._kernels.hashing import wta as kernel
from slide.hashing.base import HashFamily
from slide.hashing.bins import agreement, empty_odds, invert_bins
from slide.hashing.run import aligned
from slide.hashing.wta import WTA


class DWTA(WTA):
    """WTA over the non-zero coordinates: a coordinate that is exactly 0 (or NaN or -inf) is absent.

    Chen & Shrivastava, "Densified winner take all hashing for sparse datasets" (UAI 2018). One pass over the
    non-zeros updates the bin of each in every permutation. A bin without a non-zero coordinate takes the code
    of the first non-empty bin on its walk through random ones, by double hashing; after 64 attempts the next
    ones in turn. A row without any filled bin codes as 0.

    Dense rows follow the same rule: one without zeros codes as WTA codes it, and the zeros of a ReLU's output
    are absent, where WTA would let them win over nothing. Bins should seldom be empty: with very sparse rows
    choose a `bin_size` near dim / non-zeros, or more.

    The similarity is (a + e / bin_size) / (1 - o), of probabilities over random bins: a, that both rows have
    their largest non-zero at the same place; e, that just one row is absent from the bin and so borrows a
    code, right by chance; o, that both are, and so look on together. Without zeros it is WTA's.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    bin_size : int
        Coordinates of a bin; a hash takes log2(bin_size) bits.
    """

    name = "dwta"
    dense_from = HashFamily.dense_from

    def __init__(self, dim: int, K: int, L: int, seed: int = 0, bin_size: int = 8):
        super().__init__(dim, K, L, seed, bin_size)
        self._a, self._b = (int(value) for value in self._random(1, [0], 2)[0])
        self._slots = None

    def _codes_taken(self, rows, ids, codes, threads):
        positions = aligned(threads, 16 * self.K * self.L, np.int32)
        kernel.dwta_rows(
            rows, ids, self._bins, self.K, self.bits_per_hash, self._a, self._b, codes,
            *self._scratch(threads), positions, threads,
        )  # fmt: skip

    def _codes_sparse(self, indptr, ids, values, codes, threads):
        if self._slots is None:
            self._slots = invert_bins(self._bins, self.dim)
        n_bins = self.K * self.L
        best, positions = aligned(threads, n_bins, np.float32), aligned(threads, n_bins, np.int32)
        kernel.dwta_csr_rows(
            indptr, ids, values, *self._slots, self.K, self.bits_per_hash, self._a, self._b, codes,
            best, positions, threads,
        )  # fmt: skip

    def similarity(self, x: ArrayLike, y: ArrayLike) -> float:
        """The probability that a hash agrees (see above); time O(dim * common non-zeros)."""
        x, y = (np.asarray(v, np.float32) for v in (x, y))
        x, y = (np.where((v == 0) | np.isnan(v), -np.inf, v) for v in (x, y))
        in_x, in_y = x > -np.inf, y > -np.inf
        both, one = empty_odds(in_x.sum(), in_y.sum(), (in_x | in_y).sum(), self.dim, self.width)
        if not (in_x | in_y).any():
            return 1.0
        share = agreement(x, y, np.flatnonzero(in_x & in_y), self.width)
        return float(min((share + one / self.width) / (1 - both), 1.0))
