"""A hash family that knows the inputs: they are centred, and measured where they vary."""

import numpy as np

from slide.hashing import HashFamily, SimHash


class Centred(HashFamily):
    """SimHash of inputs without their mean, in coordinates in which they vary less unlike.

    With the mean m and the deviations of the inputs seen last, an input x is hashed as ((x - m) / s, c) and a row of
    weights w as (w s, (w . m) / c), s the root of the deviations: the inner product is still w . x. What all inputs
    share takes one coordinate, in place of most of the angle; it is spread evenly over max(8, dim / 4) ones, since a
    projection of SimHash takes a third of them. w . m counts from its mean over all rows, which is the same for every
    row, and c makes the new coordinate as large in inputs as in rows, measured by the length of either.
    """

    name = "centred"
    bits_per_hash = SimHash.bits_per_hash
    watches = True
    LEAST = 1e-3  # variance of a coordinate, of the largest

    def __init__(self, dim, K, L, seed=0):
        super().__init__(dim, K, L, seed)
        self._extra = max(8, self.dim // 4)
        self._inner = SimHash(self.dim + self._extra, self.K, self.L, self.seed)
        self._mean, self._scale = np.zeros(self.dim, np.float32), np.ones(self.dim, np.float32)
        self._level = np.array([0, 1], np.float32)  # the mean of w . m, and c

    def fit(self, rows):
        rows = self.dense(rows)
        if self.inputs is None or not self.inputs[1].any():
            return
        mean, variance = self.inputs
        scale = np.sqrt(np.sqrt(np.maximum(variance, self.LEAST * variance.max())))
        shared = rows @ mean
        spread = max(float(shared.std()), 1e-9)
        lengths = np.sqrt((variance / scale**2).sum()) / max(float(np.sqrt(((rows * scale) ** 2).sum(1).mean())), 1e-9)
        self._mean, self._scale = np.array(mean), scale
        self._level = np.array([shared.mean(), np.sqrt(spread * lengths)], np.float32)

    def state(self):
        return {"mean": self._mean, "scale": self._scale, "level": self._level}

    def load_state(self, state):
        if state:
            self._mean, self._scale, self._level = (np.array(state[name]) for name in ("mean", "scale", "level"))

    def codes(self, rows):
        rows = self.dense(rows)
        return self._codes(rows * self._scale, (rows @ self._mean - self._level[0]) / self._level[1])

    def query_codes(self, rows):
        return self._codes((self.dense(rows) - self._mean) / self._scale, np.full(rows.shape[0], self._level[1]))

    def _codes(self, rows, shared):
        longer = np.empty((len(rows), self._inner.dim), np.float32)
        longer[:, : self.dim] = rows
        longer[:, self.dim :] = shared[:, None] / np.sqrt(self._extra)
        self._inner.threads = self.threads
        return self._inner.codes(longer)
