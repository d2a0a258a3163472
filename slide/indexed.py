"""Prediction by an index: the top of all labels, nearly always, at a fraction of the time."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from slide._kernels import topk as _topk
from slide.activations import last_hidden, row_blocks
from slide.layers.base import as_dense
from slide.layers.few import FEW_ROWS
from slide.layers.lane_block import LaneBlock
from slide.rows import ActiveSet, Matrix, SparseRows, offsets
from slide.search import Found, TopIndex
from slide.search.recall import MORE, find_floor, find_parameters
from slide.settings.attributes import ReadOnly
from slide.settings.checks import check_integer, check_number
from slide.state.commit import Commit
from slide.state.part import Part, prefixed

MOST_K = 100  # labels that a recall is measured for
SAMPLE = 1024  # inputs of the last layer that an index is made for and measured on
FEWEST_LABELS = 1000  # below, an exact prediction takes no longer
WIDEST = 4096  # inputs of the last layer
PROBED = 128  # weights, and biases, that tell whether an index is of these
BOUNDED_ROWS = 256  # inputs at once of which all neurons that may reach a floor are held
ROOM = 8192  # of these neurons, of an input; of one that has more, every neuron is computed
SPARSE = 1 / 3  # of the neurons, which rows at once must screen less than: products of all take no longer
AT_ONCE = 4  # times as many rows at once as in exact prediction: each block of the index is read once for all


class Indexed:
    """Methods of a Network that predict by a TopIndex.

    `_top` is the index or None; `_inputs` a tuple of float32 (rows, width), what the last layer read last in training.
    """

    n_labels: ReadOnly[int]
    layers: ReadOnly[tuple[Any, ...]]
    frozen: ReadOnly[bool]
    _alone: Callable[..., Any]
    _as_rows: Callable[..., SparseRows]
    _beside: Callable[..., Any]
    _exact_calls_blas: Callable[[], bool]

    def build_index(self, X: Matrix | None = None) -> None:
        """Builds the index that `predict` with `recall` uses, which otherwise does so when it is first needed.

        `save` keeps an index. One whose weights have been trained since is never used: `predict` builds it anew. After
        some weights were written by hand, call this.

        Parameters
        ----------
        X : (n, n_features) matrix or None
            Rows like those to be predicted, of which 1,024 are enough: recall is measured on them. None: rows that were
            trained last, as the last layer then read them.

        Raises
        ------
        ValueError
            The network has fewer than 1,000 labels, or no hidden layer, or one of more than 4,096 neurons before the
            last.
        RuntimeError
            X is None, and the network has not been trained since it was made.
        """
        self._check_indexed()
        rows = None if X is None else self._as_rows(X)
        if rows is not None and not len(rows):
            raise ValueError("X: found no rows, expected at least one")
        self._alone("build_index", self._build_index, rows)

    def measured_recall(self, k: int = 5, recall: float = 0.99) -> Found:
        """What `predict(X, k, recall=recall)` does, and the recall that was measured with it.

        Builds the index where it is needed.

        Parameters
        ----------
        k : int
            Labels per row, at most 100.
        recall : float
            In (0, 1], the share of the k best labels that is to be found.

        Returns
        -------
        slide.search.Found
            Its `recall` was measured on rows of training, or on those given to `build_index`.
        """
        k, recall = check_integer("k", k), self._check_recall(recall, k)
        return self._with_index(self._found, min(k, self.n_labels), recall)

    @ReadOnly("it is what the index takes: see build_index")
    def index_bytes(self) -> int:
        """Memory that the index takes, in bytes; 0 where there is none."""
        return 0 if self._top is None else self._top.n_bytes

    def _check_indexed(self):
        if not self._may_have_index():
            widths = [layer.n_neurons for layer in self.layers]
            raise ValueError(
                f"recall: found layers of {widths}, expected an index to have an effect: at least {FEWEST_LABELS:,} "
                f"labels, before them a hidden layer of at most {WIDEST:,} neurons, and one process"
            )

    def _may_have_index(self):
        wide_enough = len(self.layers) > 1 and self.n_labels >= FEWEST_LABELS
        return wide_enough and self.layers[-1].n_inputs <= WIDEST and self._exchange.size == 1

    def _check_recall(self, recall, k, sampled=False):
        """None, or a number that may be asked for."""
        if recall is None:
            return None
        recall = check_number("recall", recall, "(0, 1]")
        if sampled:
            raise ValueError(f"recall: found {recall} with sampled=True, expected one of them")
        if k > MOST_K:
            raise ValueError(f"recall: found k={k}, expected at most {MOST_K}, or None: every label is computed")
        self._check_indexed()
        return recall

    def _with_index(self, do, *args):
        """do(*args) beside others, while there is an index of the weights as they are."""
        while True:
            done, found = self._beside("predict", self._if_indexed, do, *args, blas=self._exact_calls_blas())
            if done:
                return found
            self._alone("predict", self._build_if_stale)

    def _if_indexed(self, do, *args):
        return (True, do(*args)) if self._is_indexed() else (False, None)

    def _is_indexed(self):
        return self._top is not None and bool((self._top.stamp == self._stamp()).all())

    def _build_if_stale(self):
        if not self._is_indexed():
            self._build_index(None)

    def _stamp(self):
        """int64 (2,): of the weights of the last layer: the batches trained, and a sum over some weights."""
        parameters, total = self.layers[-1].parameters, 0
        for some in (parameters.w.reshape(-1), parameters.bias[0]):
            total = zlib.crc32(some[:: max(1, len(some) // PROBED)].tobytes(), total)
        return np.array([self.step, total], np.int64)

    def _build_index(self, rows):
        inputs, output = self._index_inputs(rows), self.layers[-1]
        _, best, _ = output.topk(inputs, min(MOST_K, self.n_labels))
        w, threads = output.parameters.w, self.threads
        index = TopIndex.build(w, output.bias, inputs, best, self._stamp(), self.seed, threads)
        commit = Commit()
        commit.set(self, _top=index)
        commit.run()

    def _index_inputs(self, rows):
        if rows is not None:
            step = -(-len(rows) // SAMPLE)
            rows = rows.take(np.arange(0, len(rows), step))
            return np.concatenate([last_hidden(self, rows.take(part)) for part in row_blocks([self], len(rows))])
        if self._inputs:
            return np.concatenate(self._inputs)[-SAMPLE:]
        if self._top is not None:
            return self._top.inputs
        raise RuntimeError(
            "build_index: found no index, and a network that has not been trained since it was made or loaded from a "
            "file without rows, expected build_index(X) first, with rows like those to be predicted"
        )

    def _keep_inputs(self, x, commit):
        """Adds to the commit that the last layer read x, which may change afterwards."""
        if not self._may_have_index():
            return
        kept = (*self._inputs, np.array(as_dense(x)[-SAMPLE:], np.float32, order="C"))
        while sum(map(len, kept)) - len(kept[0]) >= SAMPLE:
            kept = kept[1:]
        commit.set(self, _inputs=kept)

    def _found(self, k, recall):
        """Found: measured where it is needed first, by several threads perhaps, all of which find the same."""
        top, key = self._top, (k, recall)
        found = top.found.get(key)
        if found is None:
            if recall == 1:
                found = find_floor(top, self._bounded_topk, k, self.threads)
            else:
                found = find_parameters(top, self._candidates_topk, k, recall, self.threads)
            top.found = {**top.found, key: found}  # others read it meanwhile
        return found

    def _indexed_topk(self, x, k, recall):
        """(values, ids, neurons screened per row)."""
        if k > MOST_K:  # of rows that leave out more labels than a recall is measured for
            return self.layers[-1].topk(x, k)
        x, found = np.ascontiguousarray(as_dense(x)), self._found(k, recall)
        if recall < 1:
            return self._candidates_topk(x, k, found.probes, found.candidates)
        if len(x) > FEW_ROWS and found.screened > SPARSE * self.n_labels:
            return self.layers[-1].topk(x, k)
        return self._bounded_topk(x, k, found.probes)[:3]

    def _candidates_topk(self, x, k, probes, candidates):
        ids, screened = self._top.candidates(x, probes, min(candidates, self.n_labels), self.threads)
        return *self._topk_of(x, k, _as_active(ids)), screened

    def _topk_of(self, x, k, active):
        """(values, ids), (n, k): of the active neurons of each row."""
        output, threads = self.layers[-1], self.threads
        logits = np.empty((len(active.ids), 1), np.float32)
        if len(active.ids):
            block = LaneBlock.from_dense(x, 1, output.scratch, threads)
            output.parameters.forward(active, block, False, logits, threads)
        values, best = np.full((len(x), k), -np.inf, np.float32), np.full((len(x), k), -1, np.int32)
        _topk.topk_active(active.indptr, active.ids, logits, values, best, threads)
        return values, best

    def _bounded_topk(self, x, k, probes):
        """(values, ids, neurons screened per row, neurons computed per row): the k best of all, exact.

        The k-th best of the first clusters is a floor, and every neuron whose logit may reach it is computed.
        """
        values, ids = np.empty((len(x), k), np.float32), np.empty((len(x), k), np.int32)
        effort = np.zeros((2, len(x)))
        for low in range(0, len(x), BOUNDED_ROWS):
            part = slice(low, low + BOUNDED_ROWS)
            values[part], ids[part], effort[:, part] = self._bounded_rows(x[part], k, probes)
        return values, ids, *(effort.sum(axis=1) / max(len(x), 1)).tolist()

    def _bounded_rows(self, x, k, probes):
        floors, _, first = self._candidates_topk(x, k, probes, k + MORE)
        found, counts, screened = self._top.bounded(x, floors[:, -1], ROOM, self.threads)
        fits = counts <= ROOM
        sizes = np.where(fits, counts, 0)
        active = ActiveSet(offsets(sizes), np.concatenate([row[:size] for row, size in zip(found, sizes, strict=True)]))
        values, ids = self._topk_of(x, k, active)
        if not fits.all():
            values[~fits], ids[~fits], _ = self.layers[-1].topk(x[~fits], k)
        return values, ids, (screened + first, np.where(fits, counts, self.n_labels))

    def _index_state(self, narrowed=False) -> dict:
        """Arrays of a file: the index, where it is of the weights as they are, and inputs for the next.

        narrowed: whether the file has rounded weights.
        """
        current = self._is_indexed() and not narrowed
        inputs = {"inputs": np.concatenate(self._inputs)[-SAMPLE:]} if self._inputs else {}
        if current and self.frozen:
            inputs = {}
        return inputs | (prefixed("top.", self._top.state()) if current else {})

    def _load_index(self, state):
        """Takes over what `_index_state` gave; ValueError where an array is not what it can be."""
        width, top, inputs = self.layers[-1].n_inputs, Part(state, "top."), state.get("inputs")
        if len(top) and top.get("slack") is None:  # of a version whose index had no bounds: it is built anew
            top, inputs = Part({}, ""), top.get("inputs") if inputs is None else inputs
        if inputs is not None:
            fits = inputs.dtype == np.float32 and inputs.ndim == 2 and inputs.shape[1] == width
            if not (fits and 0 < len(inputs) <= SAMPLE and np.isfinite(inputs).all() and self._may_have_index()):
                found = f"{inputs.dtype} of shape {inputs.shape}"
                raise ValueError(f"inputs: found {found}, expected up to {SAMPLE} finite rows of {width}")
        index = TopIndex.load(top, self.n_labels, width) if len(top) else None
        self._inputs, self._top = (() if inputs is None else (np.ascontiguousarray(inputs),)), index


def _as_active(ids) -> ActiveSet:
    """Of ids (n, kept): those of each row, but for -1, which come last."""
    n, kept = ids.shape
    if (ids[:, -1] >= 0).all():
        return ActiveSet(np.arange(n + 1, dtype=np.int64) * kept, ids.reshape(-1))
    there = ids >= 0
    return ActiveSet(offsets(there.sum(axis=1)), ids[there])
