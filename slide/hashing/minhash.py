"""MinHash: the top coordinates as a set; follows the Jaccard similarity of the sets."""

import numpy as np
from numpy.typing import ArrayLike

from slide._kernels.hashing import minhash as kernel
from slide.hashing.base import MAX_DIM, HashFamily
from slide.hashing.bins import cut_permutations, invert_bins
from slide.hashing.run import aligned
from slide.settings.checks import check_integer
from slide.typing import Numbers


class MinHash(HashFamily):
    """One hash: a few random bits of the first member of the row's set in a random bin of coordinates.

    MLSys 2020, appendix on hash functions: a row becomes the set of its `top_k` largest coordinates, found
    with a heap, and the set is hashed by densified one permutation hashing (Shrivastava & Li, UAI 2014; an
    empty bin borrows on a random walk of its own, as in Shrivastava, ICML 2017). A coordinate that is exactly
    0 or NaN is never a member, so a row with fewer others has a smaller set; of equal values the lower
    coordinate is taken first. A row with no member codes as 0.

    Differs from the paper: bins hold 2 dim / top_k coordinates, so that most hold a member; as one
    permutation has fewer bins than K L, several are used.

    Two sets of Jaccard similarity J agree with probability J + (1 - J) / 2**bits.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    top_k : int or None
        Members of a row's set. None: 30 as in the released code, or a quarter of a narrow row.
    bits : int
        1..8, bits of a hash. The place of the member is replaced by that many random bits, as in b-bit
        minwise hashing (Li & König, WWW 2010), so that codes stay short and even.
    """

    name = "minhash"
    bits_per_hash = 3
    options = ("top_k", "bits")

    def __init__(self, dim: int, K: int, L: int, seed: int = 0, top_k: int | None = None, bits: int = 3):
        self.bits = self.bits_per_hash = check_integer("bits", bits, 1, 8)
        super().__init__(dim, K, L, seed)
        default = min(30, max(1, self.dim // 4))
        self.top_k = default if top_k is None else check_integer("top_k", top_k, 1, MAX_DIM)
        width, n_bins = max(1, min(self.dim, -(-2 * self.dim // self.top_k))), self.K * self.L
        self._bins = cut_permutations(self, width, n_bins)
        self._slots = invert_bins(self._bins, self.dim)
        draws = self._random(1, np.arange(n_bins), width)
        self._labels = (draws >> np.uint64(64 - self.bits)).astype(np.uint8)
        self._a, self._b = (int(value) for value in self._random(2, [0], 2)[0])

    def _settings(self, threads):
        n_members = min(self.top_k, self.dim)
        scratch = np.empty((threads, n_members), np.uint64), aligned(threads, self.K * self.L, np.int32)
        return (*self._slots, self._labels, self.K, self.bits, self._a, self._b), scratch

    def _codes_dense(self, rows, codes, threads):
        self._codes_taken(rows, None, codes, threads)

    def _codes_taken(self, rows, ids, codes, threads):
        settings, scratch = self._settings(threads)
        kernel.minhash_rows(rows, ids, *settings, codes, *scratch, threads)

    def _codes_sparse(self, indptr, ids, values, codes, threads):
        settings, scratch = self._settings(threads)
        kernel.minhash_csr_rows(indptr, ids, values, *settings, codes, *scratch, threads)

    def similarity(self, x: ArrayLike, y: ArrayLike) -> float:
        """The Jaccard similarity of the sets; 1 of two empty ones."""
        in_x, in_y = (top_coordinates(np.asarray(v, np.float32), self.top_k) for v in (x, y))
        union = np.count_nonzero(in_x | in_y)
        return float(np.count_nonzero(in_x & in_y) / union) if union else 1.0

    def collision_probability(self, similarity: Numbers) -> Numbers:
        """J + (1 - J) / 2**bits."""
        similarity = np.asarray(similarity, np.float64)[()]
        return similarity + (1 - similarity) / 2**self.bits


def top_coordinates(row, top_k: int | None):
    """bool (dim,): the top_k largest of a row, the lower coordinate of equals; never a zero or NaN."""
    present = np.flatnonzero((row != 0) & ~np.isnan(row))
    chosen = np.zeros(len(row), bool)
    chosen[present[np.argsort(-row[present], kind="stable")[:top_k]]] = True
    return chosen
