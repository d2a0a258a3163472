"""Network: the public face of training and prediction."""

from dataclasses import dataclass, replace

import numpy as np

from slide import metrics, storage
from slide.checks import check_integer, check_number
from slide.layers import build_layers
from slide.layers.base import Run
from slide.layers.lane_block import LaneBlock
from slide.layers.sampled import SampledLayer
from slide.layers.settings import Dense, Sampled
from slide.layers.weights import UPDATES
from slide.optim import SGD, Adam, Schedule
from slide.rows import as_label_rows, as_sparse_rows
from slide.threads import check_threads, one_blas_thread

WEIGHTS, ORDER, DROPOUT = 1, 2, 3  # what random numbers are for: each has a stream of its own
# Samples a call of the layers in prediction, and bytes of their input where that is made dense: what is held at once,
# and once more in panels.
PREDICT_ROWS, PREDICT_BYTES = 1024, 32 << 20


@dataclass(frozen=True)
class Evaluation:
    """Scores ("P@1", "nDCG@3", "PSP@5", ...) of a test set and the mean active neurons a sample they took."""

    scores: dict
    active: float


class Network:
    """A feed-forward network with a softmax over many labels, trained by SLIDE (Chen et al., MLSys 2020).

    n_features   columns of the input
    layers       Dense or Sampled settings, the softmax last; ReLU in between. A first Dense layer reads only the
                 features that a sample has.
    optimizer    Adam (default) or SGD
    schedule     factor on the learning rate: a Schedule
    batch_size   samples between two updates
    group_size   consecutive samples of a batch that share an active set; 1 is the paper's
    update       "rows": one owner a row, bit for bit the same on any number of threads; "hogwild": the paper's
                 unsynchronised accumulation of gradients
    dropout      share of the last hidden layer's activations set to zero in training, the others scaled up
    label_smoothing   share of the target that is spread evenly over the active neurons
    normalize    whether rows of X are scaled to unit Euclidean norm first
    seed         of everything random
    threads      None: all CPUs
    huge_pages   whether weights and moments ask for huge pages

    One network must not be used by two Python threads at once, not even to predict: layers keep their work arrays
    between calls.

    Raises ValueError naming the setting, the value found and what was expected.

    >>> network = Network(n_features, [Dense(128), Sampled(n_labels, active=1000)])
    >>> network.fit(X, Y, epochs=3).evaluate(X_test, Y_test).scores["P@1"]
    """

    def __init__(
        self,
        n_features: int,
        layers,
        *,
        optimizer=None,
        schedule=None,
        batch_size: int = 256,
        group_size: int = 16,
        update: str = "rows",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        normalize: bool = True,
        seed: int = 0,
        threads: int | None = None,
        huge_pages: bool = True,
    ):
        optimizer, schedule = optimizer or Adam(), schedule or Schedule()
        for name, value, kinds in (("optimizer", optimizer, (Adam, SGD)), ("schedule", schedule, (Schedule,))):
            if not isinstance(value, kinds):
                raise ValueError(f"{name}: found {value!r}, expected {' or '.join(k.__name__ for k in kinds)}")
        if update not in UPDATES:
            raise ValueError(f"update: found {update!r}, expected one of {UPDATES}")
        layers = list(layers) if isinstance(layers, list | tuple) else layers
        if not isinstance(layers, list) or not layers or not all(isinstance(x, Dense | Sampled) for x in layers):
            raise ValueError(f"layers: found {layers!r}, expected a non-empty list of Dense and Sampled")
        self.n_features, self.specs = check_integer("n_features", n_features), layers
        self.optimizer, self.schedule, self.update = optimizer, schedule, update
        self.batch_size = check_integer("batch_size", batch_size)
        self.group_size = check_integer("group_size", group_size)
        self.dropout = check_number("dropout", dropout, "[0, 1)")
        self.label_smoothing = check_number("label_smoothing", label_smoothing, "[0, 1)")
        self.normalize, self.huge_pages = bool(normalize), bool(huge_pages)
        self.seed, self.threads = check_integer("seed", seed, 0), check_threads(threads)
        self.run = Run(
            self.optimizer, self.group_size, update, self.seed, self.threads, self.huge_pages, self.label_smoothing
        )
        self.layers = build_layers(self.n_features, self.specs, self.run, self._rng(WEIGHTS))
        self.step = 0
        self.samples = 0

    @property
    def n_labels(self) -> int:
        return self.specs[-1].n_neurons

    @property
    def active(self) -> float:
        """Mean active neurons a sample in the last layer, of the last batch."""
        return float(self.layers[-1].active)

    def partial_fit(self, X, Y) -> float:
        """One step on one batch: X (n, n_features) and Y (n, n_labels), CSR or dense. Returns the mean loss."""
        rows = self._as_rows(X)
        labels = self._as_labels(Y, rows)
        with one_blas_thread():
            return self._learn(rows, labels)

    def fit(self, X, Y, epochs: int = 1, steps: int | None = None, callback=None) -> "Network":
        """Trains for `epochs` passes over X and Y, or for exactly `steps` batches.

        The samples come in an order that is a function of the seed and the step alone, so training that is saved
        and resumed sees the same batches as training that was not interrupted. callback(network, loss) is called
        after every batch; a true result ends training.
        """
        rows = self._as_rows(X)
        labels = self._as_labels(Y, rows)
        check_integer("epochs" if steps is None else "steps", epochs if steps is None else steps, 0)
        per_epoch = -(-len(rows) // self.batch_size)
        end = self.step + (steps if steps is not None else epochs * per_epoch)
        order, epoch = None, -1
        with one_blas_thread():
            while self.step < end:
                if self.step // per_epoch != epoch:
                    epoch = self.step // per_epoch
                    order = self._rng(ORDER, epoch).permutation(len(rows))
                first = self.step % per_epoch * self.batch_size
                batch = order[first : first + self.batch_size]
                loss = self._learn(rows.take(batch), labels.take(batch))
                if callback is not None and callback(self, loss):
                    break
        return self

    def grow(self, factor: float) -> None:
        """From the next batch on, the last layer's active sets are `factor` (above 0) times as large, and shared by as
        many times more samples, up to a batch; groups of one stay so.

        Small sets are soon trained, large ones to higher accuracy: grow in a callback of `fit`, a third of the way.

        Raises ValueError where all neurons of the last layer are always active.
        """
        check_number("factor", factor, "(0, inf)")
        if not isinstance(self.layers[-1], SampledLayer):
            raise ValueError(f"grow: found {self.specs[-1]!r}, expected a last layer with active sets")
        self.specs = [*self.specs[:-1], self.specs[-1].grown(factor)]
        self.layers[-1].size(self.specs[-1])
        if self.group_size > 1:
            self.group_size = self.run.group_size = min(self.batch_size, max(1, round(factor * self.group_size)))

    def rehash(self) -> None:
        """Rebuilds all hash tables from the weights as they are now.

        Training does so by its schedule, whose last rebuild may lie far back: sampled prediction finds more after it.
        Later rebuilds of training come when they would have come.
        """
        for layer in self.layers:
            if getattr(layer, "index", None) is not None:
                layer.index.build(layer.rows.w)

    def _rng(self, purpose, number=0) -> np.random.Generator:
        """The stream of one purpose in one epoch or step: no two of them share their numbers."""
        return np.random.default_rng((purpose, self.seed, number))

    def _as_rows(self, X):
        """User input, validated, with rows of unit norm if asked."""
        rows = as_sparse_rows(X, "X", self.n_features)
        return rows.normalized() if self.normalize else rows

    def _as_labels(self, Y, rows):
        """The labels of `rows` in training, validated; training needs a row."""
        if len(rows) == 0:
            raise ValueError("X: found no rows, expected at least one")
        return as_label_rows(Y, len(rows), self.n_labels)

    def _learn(self, x, labels) -> float:
        step, rate = self.step + 1, self.schedule.rate(self.step + 1)
        *hidden, output = self.layers
        for layer in hidden:
            x = layer.forward(x, step)
        x, kept = self._drop(x, step) if hidden else (x, None)
        loss, dy = output.learn(x, labels, step, rate)
        if kept is not None:
            dy = dy * kept
        for layer in reversed(hidden):
            dy = layer.backward(dy)
        for layer in hidden:
            layer.update(step, rate)
        self.step = step
        self.samples += len(labels)
        return loss

    def _drop(self, x, step):
        """(x with dropout, its mask); the mask is a function of the seed and the step."""
        if not self.dropout:
            return x, None
        values = x.values if isinstance(x, LaneBlock) else x
        rng = self._rng(DROPOUT, step)
        kept = (rng.random(values.shape, dtype=np.float32) >= self.dropout) * np.float32(1 / (1 - self.dropout))
        return (replace(x, values=values * kept) if isinstance(x, LaneBlock) else x * kept), kept

    def predict(self, X, k: int = 5, sampled: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """(ids, values), both (n, k): the k labels of largest logit, best first; ties go to the smaller label.

        Where there are fewer labels than k, k is their number.

        sampled=False computes every label, in blocks that never hold n x n_labels. sampled=True computes those that
        the hash tables retrieve (see `rehash`); where they are fewer than k, ids is -1 and values -inf. What is
        retrieved for a row is a function of the seed and that row, whatever other rows X has.
        """
        ids, values, _ = self._predict(self._as_rows(X), check_integer("k", k), sampled)
        return ids, values

    def _rows_at_once(self):
        if self.layers[0].exact_reads_sparse:
            return PREDICT_ROWS
        return max(1, min(PREDICT_ROWS, PREDICT_BYTES // (4 * self.n_features)))

    def _predict(self, rows, k, sampled):
        k = min(k, self.n_labels)
        ids, values = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), -np.inf, np.float32)
        active = 0.0
        *hidden, output = self.layers
        with one_blas_thread():
            at_once = self._rows_at_once()
            for low in range(0, len(rows), at_once):
                part = slice(low, min(low + at_once, len(rows)))
                x = rows.take(part)
                n = len(x)
                for layer in hidden:
                    x = layer.retrieve(x) if sampled else layer.exact(x)
                values[part], ids[part], mean = output.retrieve_topk(x, k) if sampled else output.topk(x, k)
                active += mean * n
        return ids, values, active / max(len(rows), 1)

    def evaluate(self, X, Y, ks=(1, 3, 5), sampled: bool = False, propensities=None) -> Evaluation:
        """P@k and nDCG@k on X and Y, and PSP@k where propensities (n_labels,) are given: see slide.metrics."""
        if not isinstance(ks, list | tuple) or not ks:
            raise ValueError(f"ks: found {ks!r}, expected integers of at least 1")
        ks = [check_integer("ks", k) for k in ks]
        rows = self._as_rows(X)
        labels = as_label_rows(Y, len(rows), self.n_labels)
        ids, _, active = self._predict(rows, max(ks), sampled)
        # Where there are fewer labels than k, the places beyond them are predictions that are wrong.
        ids = np.pad(ids, ((0, 0), (0, max(ks) - ids.shape[1])), constant_values=-1)
        return Evaluation(metrics.evaluate_topk(labels.to_scipy(), ids, ks, propensities), active)

    def save(self, path) -> None:
        """Everything that training needs to go on, in one .npz file, written atomically; nothing in it executes."""
        storage.save(self, path)

    @classmethod
    def load(cls, path, threads: int | None = None, hash=None, sampler=None) -> "Network":
        """The network that `save` wrote; training goes on bit for bit as if it had not been interrupted.

        hash, sampler   the class of a hash family or sampler that is not slide's own, or {path: class} where the
                        layers' differ. The file holds its import path and settings. Importing a module runs it, so
                        loading never does: without these the class is looked up among the modules that the program
                        has imported already. The class is then constructed with the settings in the file.

        Raises ValueError where the file is no network, or names a class that is not found.
        """
        return storage.load(cls, path, threads, hash, sampler)
