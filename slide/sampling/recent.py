"""The labels that training saw last: drawing from them draws labels by how frequent they are."""

import numpy as np

from slide.settings.checks import check_array
from slide.state.commit import Commit

MOST_ADDED = 2**62
ONE = np.int32(1)  # a Python 1 is an int64, and slow to add to int32


class RecentLabels:
    """A ring of the last `size` label entries, int32, below n_labels; an entry drawn uniformly is a label drawn by its
    frequency.

    counts : int32 (n_labels,), how many entries each label has.
    """

    def __init__(self, size: int, n_labels: int):
        self._ring = np.zeros(size, np.int32)
        self._added = 0
        self._before = None  # of what may be taken back: entries added before, their places, what was there
        self.counts = np.zeros(n_labels, np.int32)

    def add(self, ids: np.ndarray, commit: Commit | None = None) -> None:
        """The labels of a batch. Until `commit` is run (None: at once) they count, but no `state` has them, and the
        next `add` takes them back: the batch came to nothing."""
        self._take_back()
        ids = ids[-len(self._ring) :]
        places = (self._added + np.arange(len(ids))) % len(self._ring)
        there = self._ring[places]
        change = Commit()
        change.set(self, _before=(self._added, places, there), _added=self._added + len(ids))
        change.call(np.add.at, self.counts, ids, ONE)
        change.call(np.subtract.at, self.counts, self._real(self._added, there), ONE)
        change.call(self._ring.__setitem__, places, ids)
        (change if commit is None else commit).set(self, _before=None)
        change.run()

    @property
    def pending(self):
        """What the last `add` is known by until its commit is run or another takes it back, then None."""
        return self._before

    def _real(self, added, there):
        """Those of the ring's values, from place `added` on, that were entries."""
        return there[max(0, len(self._ring) - added) :]

    def _take_back(self):
        if self._before is None:
            return
        added, places, there = self._before
        change = Commit()
        change.call(np.subtract.at, self.counts, self._ring[places], ONE)
        change.call(np.add.at, self.counts, self._real(added, there), ONE)
        change.call(self._ring.__setitem__, places, there)
        change.set(self, _added=added, _before=None)
        change.run()

    @property
    def ids(self) -> np.ndarray:
        """What it holds, int32, in no order that matters."""
        return self._ring[: min(self._added, len(self._ring))]

    def state(self) -> dict[str, np.ndarray]:
        if self._before is None:
            return {"ring": self._ring, "added": np.array(self._added, np.int64)}
        added, places, there = self._before
        ring = self._ring.copy()
        ring[places] = there
        return {"ring": ring, "added": np.array(added, np.int64)}

    def load_state(self, state) -> None:
        ring, added = (check_array(name, state.get(name), own) for name, own in self.state().items())
        if not (0 <= ring.min() and ring.max() < len(self.counts)):
            raise ValueError(f"ring: found labels {ring.min()} to {ring.max()}, expected 0 to {len(self.counts) - 1}")
        if not 0 <= added < MOST_ADDED:
            raise ValueError(f"added: found {added}, expected a number of labels, 0 to {MOST_ADDED - 1}")
        self._ring[...], self._added, self._before = ring, int(added), None
        self.counts[...] = np.bincount(self.ids, minlength=len(self.counts))


def recent_types(size: int) -> dict:
    """{name: (dtype, shape)} of the arrays of a state."""
    return {"ring": (np.int32, (size,)), "added": (np.int64, ())}
