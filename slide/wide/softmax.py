"""SampledSoftmax: the output layer for many labels, whatever computes its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from slide.activations import chosen_logits, log_normalisers
from slide.layers.passes import check_factors
from slide.matrices import MOST
from slide.rows import ActiveSet, Labels, SparseRows, as_label_rows
from slide.settings.attributes import ReadOnly
from slide.settings.checks import check_integer
from slide.state.commit import Commit
from slide.wide.base import Batch, WideLayer
from slide.wide.settings import recommended_softmax, split

REDUCTIONS = ("mean", "sum")
LABELS_AT_ONCE = 1 << 14  # whose logits are made by one product


class SoftmaxBatch(Batch):
    """What `SampledSoftmax.forward` computed.

    losses   float32 (n,): the cross entropy of each sample, over its active set; 0 where it has no label
    loss     their weighted mean or sum
    """

    def __init__(self, owner, passed, commit, scratch, labels: ArrayLike | None):
        super().__init__(owner, passed, commit, scratch)
        self.labels, self.losses = labels, np.array(passed.loss)
        self._added = owner.layer.recent and owner.layer.recent.pending
        self.loss = float(np.dot(passed.scale, passed.loss))


class SampledSoftmax(WideLayer):
    """A softmax over many labels of which each batch computes few: its own labels, draws, and, where one of the
    settings of hash tables is given (active, hash, K, L, ...), those that tables retrieve.

    A batch takes three calls, of which only the last changes anything; `learn` is all three.

    One batch at a time: several Python threads wait for each other. Whatever exception ends a call, the layer is then
    as before it.

    Parameters
    ----------
    n_inputs : int
        Columns of the hidden rows h.
    n_labels : int
        Labels.
    **settings
        Those of `slide.Sampled` (active, min_active, hash, K, L, ...), and of `slide.Network` optimizer, schedule,
        group_size, update, seed, threads and huge_pages. What is not given is recommended for so many labels
        (`slide.wide.settings.recommended_softmax`); of an optimizer of your own give beta1=0, too. Those of Network are
        attributes, too; to assign one changes it from the next batch.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what was expected.

    Examples
    --------
    >>> softmax = SampledSoftmax(128, n_labels, optimizer=Adam(lr=1e-3, beta1=0.0))
    >>> batch = softmax.forward(h, Y)        # batch.loss, batch.losses
    >>> dh = softmax.backward(batch)         # the gradient of batch.loss by h
    >>> softmax.update(batch)                # one step of the layer's own optimizer
    """

    def __init__(self, n_inputs: int, n_labels: int, **settings: Any):
        n_labels = check_integer("n_labels", n_labels, 1, MOST)
        spec, shared = split(type(self), n_labels, settings, recommended_softmax(n_labels, settings))
        self._set_up(n_inputs, spec, shared)

    @ReadOnly("make a new SampledSoftmax")
    def n_labels(self) -> int:
        """Labels: neurons of the layer."""
        return self.layer.n_neurons

    def forward(
        self, h: ArrayLike, Y: Labels, sample_weight: ArrayLike | None = None, reduction: str = "mean", number: int = 0,
    ) -> SoftmaxBatch:  # fmt: skip
        """The loss of a batch, and what its gradients are made of. Nothing moves.

        Parameters
        ----------
        h : ndarray of shape (n, n_inputs), float32
            Hidden rows.
        Y : n integers, n lists of integers, or (n, n_labels) indicator matrix
            The labels of each row; rows without labels have no loss.
        sample_weight : ndarray of shape (n,) or None
            At least 0; None: 1 each.
        reduction : {"mean", "sum"}
            Of the loss and its gradients: "mean" is sum(weight * loss) / sum(weight).
        number : int
            Of this batch among several that `update` is to take together: draws differ by it.

        Returns
        -------
        Batch
            `loss`, a float, `losses`, (n,), and what `backward` and `update` need.
        """
        h = self._as_inputs(h)
        labels = self._as_labels(Y, len(h))
        scale = scale_of(sample_weight, len(h), reduction)
        return self._alone("forward", self._forward, h, labels, scale, check_integer("number", number, 0, 2**31))

    def _forward(self, h, labels, scale, number):
        self.layer.settle(self.step)
        commit, scratch = Commit(), self._borrowed()
        passed = self.layer.softmax(h, labels, scale, self.step + 1, commit, scratch, number)
        self.layer._check_loss(passed.loss, self.step + 1)
        return SoftmaxBatch(self, passed, commit, scratch, labels)

    def backward(self, batch: SoftmaxBatch, gradient: float | ArrayLike = 1.0) -> np.ndarray:
        """The gradient by h of what batch.loss became.

        Parameters
        ----------
        batch : Batch
            Of `forward`.
        gradient : float or ndarray of shape (n,)
            Of that by batch.loss; or the factor of each sample. `update` follows it, too.

        Returns
        -------
        ndarray of shape (n, n_inputs), float32
            The gradient.

        Raises
        ------
        ValueError
            Where it was called for this batch before.
        """
        self._mine(batch, "backward")
        if batch._differentiated:
            raise ValueError("backward: found a batch that was differentiated already, expected one `backward` of each")
        passed, factors = batch._pass, check_factors("gradient", gradient, batch.n)
        if (factors != 1).any():
            passed.multiply(factors)
        batch._differentiated = True
        return passed.as_input(passed.dx, self.threads)

    def _remember(self, batches, commit):
        recent = self.layer.recent
        if recent is None or (len(batches) == 1 and recent.pending is batches[0]._added):
            return  # its commit has what is to be done
        recent.add(np.concatenate([batch.labels.ids for batch in batches]), commit)

    def learn(
        self, h: ArrayLike, Y: Labels, sample_weight: ArrayLike | None = None, reduction: str = "mean",
    ) -> tuple[float, np.ndarray]:  # fmt: skip
        """`forward`, `backward` and `update` of one batch.

        Parameters
        ----------
        h, Y, sample_weight, reduction
            As for `forward`.

        Returns
        -------
        loss : float
            That of `forward`.
        dh : ndarray of shape (n, n_inputs), float32
            The gradient by h.
        """
        batch = self.forward(h, Y, sample_weight, reduction)
        dh = self.backward(batch)
        self.update(batch)
        return batch.loss, dh

    def loss(self, h: ArrayLike, Y: Labels, sample_weight: ArrayLike | None = None, reduction: str = "mean") -> float:
        """The cross entropy over all labels, for evaluation: nothing is sampled, nothing moves.

        Where a row has several labels, the mean of theirs; without labels it has no loss.

        Parameters
        ----------
        h, Y, sample_weight, reduction
            As for `forward`.

        Returns
        -------
        float
            The loss.
        """
        h = self._as_inputs(h)
        labels, scale = self._as_labels(Y, len(h)), scale_of(sample_weight, len(h), reduction)
        return float(np.dot(scale, self.losses(h, labels)))

    def losses(self, h: ArrayLike, Y: Labels) -> np.ndarray:
        """The cross entropy over all labels of each row.

        Parameters
        ----------
        h, Y
            As for `forward`.

        Returns
        -------
        ndarray of shape (n,), float64
            As `loss`, row by row.
        """
        h = self._as_inputs(h)
        labels = self._as_labels(Y, len(h))
        return self._alone("losses", self._losses, h, labels)

    def _losses(self, h, labels):
        counts = np.diff(labels.indptr)
        row = np.repeat(np.arange(len(h)), counts)
        logits = chosen_logits(self.layer, h, ActiveSet(labels.indptr, labels.ids))
        mean = np.bincount(row, logits, len(h)) / np.maximum(counts, 1)
        return np.where(counts > 0, log_normalisers(self.layer, h) - mean, 0.0)

    def logits(self, h: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
        """The logits of some labels, or of all.

        Parameters
        ----------
        h : ndarray of shape (n, n_inputs), float32
            Hidden rows.
        labels : (n,) or (n, k) integers, or None
            None: all.

        Returns
        -------
        ndarray of the shape of labels or (n, n_labels), float32
            Logits.
        """
        return self._alone("logits", self._logits, self._as_inputs(h), labels)

    def _logits(self, h, labels):
        if labels is None:
            out = np.empty((len(h), self.n_labels), np.float32)
            for low in range(0, self.n_labels, LABELS_AT_ONCE):
                part = slice(low, low + LABELS_AT_ONCE)
                np.matmul(h, self.weights[part].T, out=out[:, part])
            out += self.bias
            return out
        labels = np.asarray(labels)
        if labels.ndim not in (1, 2) or len(labels) != len(h) or labels.dtype.kind not in "iu":
            raise ValueError(f"labels: found {labels.dtype} of shape {labels.shape}, expected integers, ({len(h)},) or "
                             f"({len(h)}, k)")  # fmt: skip
        if labels.size and not 0 <= labels.min() <= labels.max() < self.n_labels:
            raise ValueError(
                f"labels: found {labels.min()} to {labels.max()}, expected integers from 0 to {self.n_labels - 1}"
            )
        each = labels.size // max(len(h), 1)
        chosen = ActiveSet(np.arange(len(h) + 1, dtype=np.int64) * each, labels.astype(np.int32).ravel())
        return chosen_logits(self.layer, h, chosen).reshape(labels.shape)

    def log_prob(self, h: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
        """The logarithms of probabilities over all labels.

        Parameters
        ----------
        h, labels
            As for `logits`.

        Returns
        -------
        ndarray of the shape of labels or (n, n_labels), float32
            Logarithms.
        """
        h = self._as_inputs(h)
        logits = self.logits(h, labels)
        normalisers = self._alone("log_prob", log_normalisers, self.layer, h)
        return (logits.T - normalisers.astype(np.float32)).T

    def topk(self, h: ArrayLike, k: int = 5, sampled: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The labels of largest logit, best first; see `Network.predict`.

        Parameters
        ----------
        h : ndarray of shape (n, n_inputs), float32
            Hidden rows.
        k : int
            How many.
        sampled : bool
            As for `Network.predict`; with hash tables only.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Labels.
        values : ndarray of shape (n, k), float32
            Their logits.
        """
        if sampled and self.layer.sampler.draws_uniformly:
            raise ValueError("sampled: found True for a layer without hash tables, expected False; a layer has "
                             "tables if one of their settings is given, such as active or hash")  # fmt: skip
        k = min(check_integer("k", k), self.n_labels)
        return self._alone("topk", self._topk, self._as_inputs(h), k, sampled)

    def _topk(self, h, k, sampled):
        if sampled:
            self.layer.settle(self.step)
        values, ids, _ = self.layer.retrieve_topk(h, k) if sampled else self.layer.topk(h, k)
        return ids, values

    def _as_labels(self, Y, n) -> SparseRows:
        """Labels as rows; a 1-D array of integers, the most frequent kind, takes a short way."""
        if isinstance(Y, np.ndarray) and Y.ndim == 1 and Y.dtype.kind in "iu" and len(Y) == n:
            if not n or (Y.min() >= 0 and Y.max() < self.n_labels):
                ones = np.ones(n, np.float32)
                return SparseRows(np.arange(n + 1, dtype=np.int64), Y.astype(np.int32), ones, (n, self.n_labels))
        return as_label_rows(Y, n, self.n_labels)


def scale_of(sample_weight: ArrayLike | None, n, reduction) -> np.ndarray:
    """float32 (n,): the factor of each sample's loss in the loss of a batch."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: found {reduction!r}, expected one of {', '.join(REDUCTIONS)}")
    if sample_weight is None:
        return np.full(n, 1.0 / max(n, 1) if reduction == "mean" else 1.0, np.float32)
    weight = check_factors("sample_weight", sample_weight, n)
    if (weight < 0).any():
        raise ValueError(f"sample_weight: found {weight.min()}, expected numbers of at least 0")
    total = weight.sum(dtype=np.float64)
    return weight / np.float32(total) if reduction == "mean" and total else np.array(weight)
