"""The mean and variance of the rows that came last."""

import numpy as np


class RecentMoments:
    """Of rows (n, dim), dense or CSR: each batch counts `keep` times as much as the one after it.

    Sums are in float64, in the order of the rows.
    """

    def __init__(self, dim: int, keep: float = 0.9):
        self.keep = keep
        self._sums = np.zeros((2, dim))
        self._weight = 0.0

    def add(self, rows) -> None:
        """A batch; an empty one changes nothing."""
        n = rows.shape[0]
        if not n:
            return
        squares = rows.multiply(rows) if hasattr(rows, "multiply") else np.square(rows)
        for total, values in zip(self._sums, (rows, squares), strict=True):
            total *= self.keep
            total += np.asarray(values.sum(axis=0, dtype=np.float64)).ravel() / n
        self._weight = self.keep * self._weight + 1

    def moments(self):
        """(mean, variance), float32 (dim,) each; None before any row came."""
        if not self._weight:
            return None
        mean, square = self._sums / self._weight
        return mean.astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        return {"sums": self._sums, "weight": np.array(self._weight)}

    def load_state(self, state) -> None:
        self._sums, self._weight = np.array(state["sums"], np.float64), float(state["weight"])
