"""MIPS: rows made longer by what they lack in norm, so that the angle follows the inner product."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike

from slide.hashing.base import HashFamily
from slide.hashing.simhash import SimHash
from slide.rows import Matrix
from slide.settings.checks import check_array
from slide.typing import Numbers


class MIPS(HashFamily):
    """Maximum inner products: one more coordinate makes all rows equally long, and both they and queries are hashed.

    A row w gets the coordinate ``sqrt(M**2 - |w|**2)``, a query 0.

    Neyshabur & Srebro, "On symmetric and asymmetric LSHs for inner product search" (ICML 2015), after Shrivastava & Li
    (NIPS 2014): the cosine of the two is ``w . x / (M |x|)``, so that neurons with large weights are found by large
    logits and not by angle alone. M is the largest norm among the rows that were last indexed (`fit`); a row that has
    grown longer since gets 0.

    Differs from the papers: the new coordinate is spread evenly over max(8, dim / 4) ones, which changes no inner
    product. As one it would dominate short rows, and two thirds of SimHash's sparse projections would not see it.

    Both are hashed by SimHash; another family in place of it is a subclass with another `inner`.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    """

    name = "mips"
    inner = SimHash
    bits_per_hash = SimHash.bits_per_hash

    def __init__(self, dim: int, K: int, L: int, seed: int = 0):
        super().__init__(dim, K, L, seed)
        self._extra = max(8, self.dim // 4)
        self._inner = self.inner(self.dim + self._extra, self.K, self.L, self.seed)
        self.bound = np.float64(1)

    def fit(self, rows: Matrix) -> None:
        squares = self._squares(self.dense(rows))
        largest = np.sqrt(squares[np.isfinite(squares)].max(initial=0))
        self.bound = largest or np.float64(1)

    def state(self) -> dict[str, np.ndarray]:
        return {"bound": np.asarray(self.bound)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        if state:
            bound = check_array("bound", state.get("bound"), np.zeros(()))
            if not 0 < bound < np.inf:
                raise ValueError(f"bound: found {bound}, expected the largest norm of some rows")
            self.bound = np.float64(bound)

    def codes(self, rows: Matrix) -> np.ndarray:
        rows = self.dense(rows)
        missing = np.sqrt(np.maximum(self.bound**2 - self._squares(rows), 0) / self._extra)
        return self._inner_codes(self._longer(rows, missing))

    def query_codes(self, rows: Matrix) -> np.ndarray:
        rows = self.as_rows(rows)
        if isinstance(rows, np.ndarray):
            return self._inner_codes(self._longer(rows, 0))
        wider = (rows.shape[0], self._inner.dim)
        return self._inner_codes(scipy.sparse.csr_matrix((rows.data, rows.indices, rows.indptr), shape=wider))

    def _longer(self, rows, value):
        longer = np.empty((len(rows), self._inner.dim), np.float32)
        longer[:, : self.dim] = rows
        longer[:, self.dim :] = np.reshape(value, (-1, 1))
        return longer

    def _inner_codes(self, rows):
        self._inner.threads = self.threads
        return self._inner.codes(rows)

    @staticmethod
    def _squares(rows):
        """(n,) squared norms, each summed in the order of its own row."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.square(rows, dtype=np.float64).sum(axis=1)

    def similarity(self, x: ArrayLike, y: ArrayLike) -> float:
        """Of an indexed row x and a query y: their inner product over M times the norm of y."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        longest = max(self.bound, np.linalg.norm(x)) * np.linalg.norm(y)
        return float(np.clip(x @ y / longest, -1, 1)) if longest else 0.0

    def collision_probability(self, similarity: Numbers) -> Numbers:
        """That of the inner family."""
        return self._inner.collision_probability(similarity)
