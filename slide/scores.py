"""What a network computes beside its best labels: probabilities, scores of given labels, all logits, hidden rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from slide import activations
from slide.activations import all_logits, beside, chosen_logits, last_hidden, log_normalisers, logits_of, row_blocks
from slide.rows import ActiveSet, Matrix, SparseRows
from slide.seen import seen_labels
from slide.settings.attributes import ReadOnly
from slide.settings.checks import as_array, check_integer, check_number

BLOCK_BYTES = 32 << 20  # of a block of logits, where not even one row is larger
HELD = 1 << 20  # labels, one for each row, that are scored at once


class Scores:
    """Methods of a Network."""

    n_labels: ReadOnly[int]
    layers: ReadOnly[tuple[Any, ...]]
    _as_rows: Callable[..., SparseRows]
    _best: Callable[..., Any]

    def predict_proba(
        self, X: Matrix, k: int = 5, threshold: float = 0.0, mask_seen: bool | Matrix = False,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """The k most probable labels, best first.

        The softmax is that over all labels, exact, and computed in blocks that never hold n x n_labels.

        Parameters
        ----------
        X : (n, n_features) matrix
            As for `Network.fit`.
        k : int
            Labels per row. Where there are fewer labels than k, k is their number.
        threshold : float
            In [0, 1]: less probable labels are left out; their places, at the end of a row, have id -1 and probability
            0.
        mask_seen : bool or (n, n_labels) matrix
            As for `Network.predict`; probabilities of the other labels stay as they are.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Labels.
        probabilities : ndarray of shape (n, k), float32
            Of the softmax over all labels.
        """
        k, threshold, rows = check_integer("k", k), check_threshold(threshold), self._as_rows(X)
        seen = seen_labels(mask_seen, rows, self.n_labels)
        ids, values = beside([self], "predict_proba", self._probabilities, rows, min(k, self.n_labels), seen)
        return cut(ids, values, threshold)

    def _probabilities(self, rows, k, seen):
        ids, values = np.empty((len(rows), k), np.int32), np.empty((len(rows), k), np.float32)
        for part in row_blocks([self], len(rows)):
            x = last_hidden(self, rows.take(part))
            z, ids[part], _ = self._best(x, k, False, seen and seen.take(part))
            values[part] = np.exp(z - log_normalisers(self.layers[-1], x)[:, None])
        return ids, np.minimum(values, 1, out=values)

    def decision_function(self, X: Matrix, labels: ArrayLike) -> np.ndarray:
        """The logits of given labels.

        Parameters
        ----------
        X : (n, n_features) matrix
            As for `Network.fit`.
        labels : (m,) or (n, m) integers
            The same for every row, or each row's own, among which -1 is no label, of logit -inf, as `predict` returns
            them.

        Returns
        -------
        ndarray of shape (n, m), float32
            Logits.

        Raises
        ------
        ValueError
            Where labels are not that, or not below n_labels.
        """
        rows = self._as_rows(X)
        labels = check_labels(labels, len(rows), self.n_labels)
        return beside([self], "decision_function", self._score, rows, labels)

    def _score(self, rows, labels):
        out = np.empty((len(rows), labels.shape[-1]), np.float32)
        for part in row_blocks([self], len(rows)):
            x, output = last_hidden(self, rows.take(part)), self.layers[-1]
            if labels.ndim == 1:
                out[part] = logits_of(output, x, labels)
            else:
                score_each(lambda some, chosen, x=x, output=output: chosen_logits(output, x[some], chosen),
                           labels[part], out[part])  # fmt: skip
        return out

    def logits(self, X: Matrix) -> Iterator[np.ndarray]:
        """All logits, of some consecutive rows of X after the other.

        Parameters
        ----------
        X : (n, n_features) matrix
            As for `Network.fit`.

        Returns
        -------
        iterator of ndarray of shape (rows, n_labels), float32
            A block has at most 32 MB, or one row. It is computed when it is asked for, of the network as it is then.
        """
        return self._logit_blocks(self._as_rows(X))

    def _logit_blocks(self, rows):
        most = max(1, BLOCK_BYTES // (4 * self.n_labels))
        for part in row_blocks([self], len(rows), most):
            yield beside([self], "logits", self._every_logit, rows.take(part))

    def _every_logit(self, rows):
        return all_logits(self.layers[-1], last_hidden(self, rows))

    def hidden(self, X: Matrix) -> np.ndarray:
        """The activations of the last hidden layer, every neuron of every layer computed.

        Parameters
        ----------
        X : (n, n_features) matrix
            As for `Network.fit`.

        Returns
        -------
        ndarray of shape (n, width), float32
            Activations.

        Raises
        ------
        ValueError
            Where the network has no hidden layer.
        """
        return activations.hidden(self, X)


def check_threshold(threshold) -> float:
    return check_number("threshold", threshold, "[0, 1]")


def cut(ids, values, threshold):
    """(ids, values) where what is not a label, or less probable than the threshold, has id -1 and probability 0."""
    kept = (ids >= 0) & (values >= np.float32(threshold))
    return np.where(kept, ids, np.int32(-1)), np.where(kept, values, np.float32(0))


def check_labels(labels: ArrayLike, n: int, n_labels: int) -> np.ndarray:
    """int32 (m,) of 0..n_labels-1, or (n, m) of -1..n_labels-1."""
    labels = as_array("labels", labels)
    sound = labels.ndim in (1, 2) and (labels.dtype.kind in "iu" or not labels.size)
    if not sound or (labels.ndim == 2 and len(labels) != n):
        raise ValueError(
            f"labels: found {labels.dtype} of shape {labels.shape}, expected integers (m,), or ({n}, m), a row of them "
            "for each of X"
        )
    least = 1 - labels.ndim
    if labels.size and not (least <= labels.min() and labels.max() < n_labels):
        raise ValueError(f"labels: found {labels.min()} to {labels.max()}, expected {least} to {n_labels - 1}")
    return labels.astype(np.int32)


def score_each(score, labels: np.ndarray, out) -> None:
    """out (n, m) = score(rows, chosen) of each row's own labels (n, m), and -inf where a label is -1.

    rows is a slice of 0..n-1, chosen an ActiveSet of their labels, the result float32 (entries,).
    """
    n, m = labels.shape
    step = max(1, HELD // max(m, 1))
    for low in range(0, n, step):
        some = slice(low, min(low + step, n))
        ids = np.maximum(labels[some], 0)
        chosen = ActiveSet(np.arange(len(ids) + 1, dtype=np.int64) * m, ids.reshape(-1))
        out[some] = np.where(labels[some] >= 0, score(some, chosen).reshape(-1, m), np.float32(-np.inf))
