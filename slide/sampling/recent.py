"""The labels that training saw last: drawing from them draws labels by how frequent they are."""

import numpy as np

ONE = np.int32(1)  # a Python 1 is an int64, and slow to add to int32


class RecentLabels:
    """A ring of the last `size` label entries, int32, below n_labels; an entry drawn uniformly is a label drawn by its
    frequency.

    counts : int32 (n_labels,), how many entries each label has.
    """

    def __init__(self, size: int, n_labels: int):
        self._ring = np.zeros(size, np.int32)
        self._added = 0
        self.counts = np.zeros(n_labels, np.int32)

    def add(self, ids: np.ndarray) -> None:
        """The labels of a batch."""
        ids = ids[-len(self._ring) :]
        np.add.at(self.counts, ids, ONE)
        while len(ids):  # once, or twice at the end of the ring
            low = self._added % len(self._ring)
            place = self._ring[low : low + len(ids)]
            if self._added >= len(self._ring):
                np.subtract.at(self.counts, place, ONE)
            place[:] = ids[: len(place)]
            self._added += len(place)
            ids = ids[len(place) :]

    @property
    def ids(self) -> np.ndarray:
        """What it holds, int32, in no order that matters."""
        return self._ring[: min(self._added, len(self._ring))]

    def state(self) -> dict[str, np.ndarray]:
        return {"ring": self._ring, "added": np.array(self._added)}

    def load_state(self, state) -> None:
        self._ring[...], self._added = state["ring"], int(state["added"])
        self.counts[...] = np.bincount(self.ids, minlength=len(self.counts))
