"""Ensembles: several networks of other seeds, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from slide import metrics
from slide._kernels import topk as _topk
from slide.activations import alone, beside, chosen_logits, last_hidden, log_normalisers, row_blocks
from slide.network import Evaluation, Network
from slide.rows import ActiveSet, Labels, Matrix, as_label_rows, as_sparse_rows, offsets
from slide.scores import check_labels, check_threshold, cut, score_each
from slide.seen import seen_labels, without
from slide.settings.checks import check_integer
from slide.state import storage
from slide.state.part import prefixed
from slide.typing import FilePath

CANDIDATES = 16  # labels that each network puts forward at first, or twice as many as are asked for
HELD = 1 << 20  # labels put forward that are held at once
SLACK = 1e-4  # of a logarithm: more than rounding makes of one logit in two kernels


class Ensemble:
    """The mean of the probabilities of several networks (Lakshminarayanan et al., NIPS 2017): exact, of all labels.

    Networks of one set of settings differ by their `seed`: it decides the initial weights, the order of the samples,
    dropout, the hash functions and what is drawn to fill active sets.

    Parameters
    ----------
    networks : list of Network
        At least one, all of the same features and labels.

    Raises
    ------
    ValueError
        Where networks are none, or the same, or differ in their numbers of features or labels.

    Examples
    --------
    >>> layers = [Dense(128), Sampled(n_labels, active=1000)]
    >>> ensemble = Ensemble([Network(n_features, layers, seed=seed) for seed in range(3)])
    >>> ensemble.fit(X, Y, epochs=12).evaluate(X_test, Y_test).scores["P@1"]
    """

    def __init__(self, networks: Sequence[Network]):
        networks = list(networks) if isinstance(networks, list | tuple) else networks
        if not isinstance(networks, list) or not networks or not all(isinstance(x, Network) for x in networks):
            raise ValueError(f"networks: found {networks!r}, expected a non-empty list of Networks")
        shapes = {(network.n_features, network.n_labels) for network in networks}
        if len({id(network) for network in networks}) < len(networks):
            raise ValueError(f"networks: found one of {len(networks)} twice, expected different ones")
        if len(shapes) > 1:
            raise ValueError(f"networks: found (features, labels) {sorted(shapes)}, expected the same of all")
        self.networks = networks
        (self.n_features, self.n_labels) = shapes.pop()

    def fit(self, X: Matrix, Y: Labels, **settings: Any) -> Ensemble:
        """Trains one network after the other.

        Parameters
        ----------
        X, Y
            As for `Network.fit`.
        **settings
            The other arguments of `Network.fit`.

        Returns
        -------
        Ensemble
            Itself.
        """
        for network in self.networks:
            network.fit(X, Y, **settings)
        return self

    def predict(self, X: Matrix, k: int = 5, mask_seen: bool | Matrix = False) -> tuple[np.ndarray, np.ndarray]:
        """The k labels of largest mean probability, best first; of equals the smaller label.

        Parameters
        ----------
        X, k, mask_seen
            As for `Network.predict`.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Labels.
        values : ndarray of shape (n, k), float32
            Logarithms of the mean probabilities.
        """
        return predict_blocks(self, X, k, Block.topk, mask_seen=mask_seen)

    def predict_proba(
        self, X: Matrix, k: int = 5, threshold: float = 0.0, mask_seen: bool | Matrix = False,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """The k labels of largest mean probability, and these probabilities.

        Parameters
        ----------
        X, k, threshold, mask_seen
            As for `Network.predict_proba`.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Labels.
        probabilities : ndarray of shape (n, k), float32
            Mean probabilities.
        """
        threshold = check_threshold(threshold)
        ids, values = self.predict(X, k, mask_seen)
        return cut(ids, np.minimum(np.exp(values), 1), threshold)

    def decision_function(self, X: Matrix, labels: ArrayLike) -> np.ndarray:
        """The logarithms of the mean probabilities of given labels.

        Parameters
        ----------
        X, labels
            As for `Network.decision_function`.

        Returns
        -------
        ndarray of shape (n, m), float32
            Logarithms.
        """
        rows = as_sparse_rows(X, "X", self.n_features)
        labels = check_labels(labels, len(rows), self.n_labels)
        out = np.empty((len(rows), labels.shape[-1]), np.float32)

        def score():
            for part in row_blocks(self.networks, len(rows)):
                block = Block(self.networks, rows.take(part))
                each = labels[part] if labels.ndim == 2 else np.broadcast_to(labels, out[part].shape)
                score_each(lambda some, chosen, block=block: block.log_p(chosen, some), each, out[part])

        beside(self.networks, "decision_function", score)
        return out

    def evaluate(
        self, X: Matrix, Y: Labels, ks: Sequence[int] = (1, 3, 5), propensities: ArrayLike | None = None,
        mask_seen: bool | Matrix = False,
    ) -> Evaluation:  # fmt: skip
        """P@k, nDCG@k and, with propensities, PSP@k on X and Y.

        Parameters
        ----------
        X, Y, ks, propensities, mask_seen
            As for `Network.evaluate`.

        Returns
        -------
        Evaluation
            Scores; every label is computed.
        """
        return evaluate(self, X, Y, ks, propensities, mask_seen)

    def __repr__(self) -> str:
        return "\n".join([f"Ensemble of {len(self.networks)}:", *map(repr, self.networks)])

    def save(self, path: FilePath, run: dict | None = None) -> None:
        """Writes all networks to one .npz file, as `Network.save`; `slide.load` reads it.

        Parameters
        ----------
        path : str or path-like
            Of the file.
        run : dict or None
            As for `Network.save`.
        """
        alone(self.networks, "save", storage.save, path, self.content, run)

    def content(self, run: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The arrays of its file.

        Parameters
        ----------
        run : dict or None
            As for `save`.

        Returns
        -------
        dict
            {name: array}.
        """
        header = storage.make_header(kind="ensemble", networks=len(self.networks), run=run)
        parts = [prefixed(f"networks.{i}.", storage.content(network)) for i, network in enumerate(self.networks)]
        return {"header": header, **{name: array for part in parts for name, array in part.items()}}


class Block:
    """Some rows as all networks of an ensemble see them.

    networks     a list of Networks
    rows         SparseRows (n, n_features), as the user gave them
    normalised   whether `log_p` is the logarithm of the mean probability; else of one network it is the logit, which
                 ranks labels alike and saves a visit of all of them
    seen         SparseRows (n, n_labels) of the labels that are left out, or None
    """

    def __init__(self, networks, rows, normalised=True, seen=None):
        self.rows, self.n, self.n_labels, self.seen = rows, len(rows), networks[0].n_labels, seen
        self.normalised = normalised or len(networks) > 1
        self.outputs = [network.layers[-1] for network in networks]
        self.hidden = [last_hidden(network, network._as_rows(rows)) for network in networks]

    @cached_property
    def logs(self) -> list[np.ndarray]:
        """The logarithm of each network's normaliser, float64 (n,)."""
        if not self.normalised:
            return [np.zeros(self.n)]
        return [log_normalisers(*pair) for pair in zip(self.outputs, self.hidden, strict=True)]

    def log_p(self, chosen: ActiveSet, rows=slice(None)) -> np.ndarray:
        """float32 (entries,): the logarithm of the mean probability of the labels chosen for each of `rows`."""
        total, row = None, np.repeat(np.arange(len(chosen)), np.diff(chosen.indptr))
        for output, hidden, logs in zip(self.outputs, self.hidden, self.logs, strict=True):
            one = chosen_logits(output, hidden[rows], chosen) - logs[rows][row]
            total = one if total is None else np.logaddexp(total, one)
        return (total - np.log(len(self.outputs))).astype(np.float32)

    def topk(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(ids, values), (n, k): the labels of largest `log_p`, among all labels but those seen; -1 and -inf where
        they are fewer.

        The threshold algorithm (Fagin, Lotem & Naor 2001): each network puts forward its m best labels, and the mean
        of all networks is computed for each of these. A label that no network put forward has at most the mean of the
        m-th probabilities; rows whose k-th best is not above that try again with m four times as large, at last with
        all labels.
        """
        ids, values = np.full((self.n, k), -1, np.int32), np.full((self.n, k), -np.inf, np.float32)
        alone = len(self.outputs) == 1 and self.seen is None
        left, m = np.arange(self.n), k if alone else max(CANDIDATES, 2 * k)
        while len(left):
            m = min(m, self.n_labels)
            bound, step = np.empty(len(left)), max(1, HELD // (m * len(self.outputs)))
            for low in range(0, len(left), step):
                part = slice(low, low + step)
                ids[left[part]], values[left[part]], bound[part] = self._candidates(left[part], m, k)
            left, m = left[(bound > -np.inf) & (values[left, -1] <= bound + SLACK)], 4 * m
        return ids, values

    def _candidates(self, rows, m, k):
        """(ids, values) of the k best among the m that each network puts forward, and what any other has at most."""
        lists, bound = [], None
        for output, hidden, logs in zip(self.outputs, self.hidden, self.logs, strict=True):
            z, ids, _ = output.topk(hidden[rows], m)
            lists.append(listed(ids))
            last = z[:, -1] - logs[rows]
            bound = last if bound is None else np.logaddexp(bound, last)
        chosen = union(self.n_labels, *lists)
        if self.seen is not None:
            chosen = without(chosen, self.seen.take(rows))
        whole = m == self.n_labels or (len(lists) == 1) & (np.diff(chosen.indptr) >= k)  # no other label can be better
        bound = np.where(whole, -np.inf, bound - np.log(len(lists)))
        return *best(chosen, self.log_p(chosen, rows), k, self.outputs[0].context.threads), bound


def predict_blocks(model, X: Matrix, k, of_block, normalised=True, mask_seen: bool | Matrix = False):
    """(ids, values), (n, k): of_block(block, k) for all rows of X, block by block."""
    k = min(check_integer("k", k), model.n_labels)
    networks = model.networks
    rows = as_sparse_rows(X, "X", model.n_features)
    seen = seen_labels(mask_seen, rows, model.n_labels)
    ids, values = np.empty((len(rows), k), np.int32), np.empty((len(rows), k), np.float32)

    def predict():
        for part in row_blocks(networks, len(rows)):
            block = Block(networks, rows.take(part), normalised, seen and seen.take(part))
            ids[part], values[part] = of_block(block, k)

    beside(networks, "predict", predict)
    return ids, values


def evaluate(
    model, X: Matrix, Y: Labels, ks: Sequence[int], propensities: ArrayLike | None, mask_seen: bool | Matrix = False,
) -> Evaluation:  # fmt: skip
    """The Evaluation of any model that has `predict` and n_labels, every label computed."""
    if not isinstance(ks, list | tuple) or not ks:
        raise ValueError(f"ks: found {ks!r}, expected integers of at least 1")
    most = max(check_integer("ks", k) for k in ks)
    ids, _ = model.predict(X, most, mask_seen=mask_seen)
    ids = np.pad(ids, ((0, 0), (0, most - ids.shape[1])), constant_values=-1)
    labels = as_label_rows(Y, len(ids), model.n_labels)
    return Evaluation(metrics.evaluate_topk(labels.to_scipy(), ids, ks, propensities), float(model.n_labels))


def listed(ids: np.ndarray) -> ActiveSet:
    """The set of each row of ids (n, m), where -1 is no label."""
    return ActiveSet(offsets((ids >= 0).sum(axis=1)), ids[ids >= 0].astype(np.int32, copy=False))


def keys(n_labels: int, chosen: ActiveSet) -> np.ndarray:
    """int64 (entries,): one number for each label of each row, ascending from row to row."""
    return np.repeat(np.arange(len(chosen)) * n_labels, np.diff(chosen.indptr)) + chosen.ids


def union(n_labels: int, *sets) -> ActiveSet:
    """The labels that any of the sets has for a row, ascending."""
    n = len(sets[0])
    joined = np.unique(np.concatenate([keys(n_labels, chosen) for chosen in sets]))
    indptr = np.searchsorted(joined, np.arange(n + 1) * n_labels).astype(np.int64)
    return ActiveSet(indptr, (joined - np.repeat(np.arange(n) * n_labels, np.diff(indptr))).astype(np.int32))


def best(chosen: ActiveSet, scores: np.ndarray, k: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, values), (n, k): the chosen labels of largest float32 score; -1 and -inf where they are fewer."""
    n = len(chosen)
    ids, values = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    if n:
        _topk.topk_active(chosen.indptr, chosen.ids, scores.reshape(-1, 1), values, ids, threads)
    return ids, values
