"""Ranged hashing: neurons whose logits may be large are held by more tables, under shorter codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slide._kernels.hashing import ranged as kernel
from slide.hashing.base import HashFamily
from slide.hashing.dwta import DWTA
from slide.machine.threads import check_threads
from slide.rows import Matrix
from slide.settings.checks import check_array, check_number


class Ranged(HashFamily):
    """DWTA whose tables hold the neurons of large logits alone; the fewer they hold, the fewer hashes make a code.

    Few neurons are ever among the top ones, and every input retrieves the others in vain. So each neuron w gets a
    bound on its logits, ``w . m + errors * sqrt(w**2 . v)``, from the mean m and the variance v of the inputs seen last
    (`inputs`; until there are any, 0 and 1). Table t drops d(t) of the K hashes of a code, and holds the share
    ``share**d(t)`` of the neurons of the largest bounds: its buckets are about as large as those of all neurons under K
    hashes, but a neuron is found with the probability of K - d(t) of them.

    d is 1 in most tables; in an eighth it is 0, so that every neuron can be found; a twelfth drop 2, and one table each
    3 to K. The last one, without any hash, holds the same few neurons for every input, as the bias and the common part
    of the inputs would have it.

    After norm-ranging LSH (Yan, Li, Dai, Chen & Cheng, "Norm-ranging LSH for maximum inner product search", NeurIPS
    2018), which ranges rows by norm and probes sub-indexes of equal codes. Differs from it: ranges are by the bound,
    and nested; a range has fewer hashes instead of a scale of its own. Only the angle is hashed, as by DWTA.

    K is by one larger than DWTA's. The rows that a table does not hold are ABSENT from it.

    Another family in place of DWTA is a subclass with another `inner`, compiled and in this package, whose
    `_codes_taken` writes the first tables alone where it is given so many columns.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    share : float
        0 < share < 1.
    errors : float
        0 or more: standard deviations of the logits from their mean.
    """

    name = "ranged"
    inner = DWTA
    bits_per_hash = DWTA.bits_per_hash
    options = ("share", "errors")
    watches = True
    drops = 1
    dense_from = 0.0  # bounds are summed over dense rows

    def __init__(self, dim: int, K: int, L: int, seed: int = 0, share: float = 0.22, errors: float = 3.0):
        self._inner = self.inner(dim, K, L, seed)
        self.bits_per_hash = self._inner.bits_per_hash
        super().__init__(dim, K, L, seed)
        self.share = check_number("share", share, "(0, 1)")
        self.errors = check_number("errors", errors, "[0, inf)")
        self.dropped = dropped(self.K, self.L)
        self._bits = (self.dropped * self.bits_per_hash).astype(np.int32)
        self._mean, self._variance = np.zeros(self.dim, np.float32), np.ones(self.dim, np.float32)
        self._least = np.full(self.L, -np.inf, np.float32)

    def fit(self, rows: Matrix) -> None:
        """Takes over what is known of the inputs, and the least bounds that the tables hold."""
        rows = self.dense(rows)
        if self.inputs is not None:
            self._mean, self._variance = (np.ascontiguousarray(x, np.float32) for x in self.inputs)
        bounds = np.empty(len(rows), np.float32)
        if len(rows):
            self._bounds(rows, None, bounds, check_threads(self.threads))
        least = least_of(bounds[np.isfinite(bounds)], self.share ** np.arange(self.K + 1))
        self._least = least[self.dropped]

    def state(self) -> dict[str, np.ndarray]:
        return {"mean": self._mean, "variance": self._variance, "least": self._least}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        if state:
            own = self.state()
            mean, variance, least = (np.array(check_array(name, state.get(name), own[name])) for name in own)
            if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
                raise ValueError("mean, variance: found negative or infinite values, expected those of inputs")
            self._mean, self._variance, self._least = mean, variance, least

    def query_codes(self, rows: Matrix) -> np.ndarray:
        self._inner.threads = self.threads
        bits = self._bits.astype(np.uint32)
        return self._inner.codes(rows) >> bits << bits

    def _codes_dense(self, rows, codes, threads):
        self._codes_taken(rows, None, codes, threads)

    def _codes_taken(self, rows, ids, codes, threads):
        """The tables that drop no hash hold every row: for most rows no other code is computed."""
        whole = int(np.count_nonzero(self.dropped == 0))
        self._inner._codes_taken(rows, ids, codes[:, :whole], threads)
        if whole == self.L:
            return
        bounds = np.empty(len(codes), np.float32)
        self._bounds(rows, ids, bounds, threads)
        held = np.flatnonzero(bounds >= self._least[whole]).astype(np.int32)
        of_held = np.empty((self.L, len(held)), np.uint32)
        if len(held):
            self._inner._codes_taken(rows, held if ids is None else ids[held], of_held.T, threads)
        kernel.range_rows(
            held, bounds[held], of_held[whole:], self._least[whole:], self._bits[whole:], codes[:, whole:], threads
        )  # fmt: skip

    def _bounds(self, rows, ids, out, threads):
        kernel.bound_rows(rows, ids, self._mean, self._variance, self.errors, out, threads)


def dropped(K: int, L: int):
    """(L,) the hashes that each table drops of its K."""
    counts = np.zeros(K + 1, int)
    deep = range(2, K + 1) if K > 1 else range(1, 2)
    for d in deep:
        counts[d] = max(1, L // 12) if 2 == d < K else 1
    counts[np.cumsum(counts) > L // 2] = 0
    counts[0] = L - counts.sum() if K == 1 else max(1, (L - counts.sum()) // 8)
    if K > 1:
        counts[1] = L - counts.sum()
    return np.repeat(np.arange(K + 1), counts)


def least_of(bounds, shares):
    """Of each share, the least of that many of the largest bounds, or rather halfway to the next: float32, -inf of all.

    Halfway, so that the last bit of a bound does not matter.
    """
    n = len(bounds)
    counts = np.maximum(1, np.round(np.asarray(shares) * n)).astype(np.int64)
    some = counts < n
    at = n - counts[some]
    least = np.full(len(counts), -np.inf, np.float32)
    if some.any():
        ordered = np.partition(bounds, np.unique([at - 1, at]))
        least[some] = (ordered[at - 1].astype(np.float64) + ordered[at]) / 2
    return least
