"""The dense first layer on sparse input: weights by feature, so that a sample reads only the rows it has."""

from dataclasses import replace

import numpy as np

from slide._kernels import lookup as _lookup
from slide.layers.base import Layer
from slide.layers.lane_block import NO_IDS
from slide.layers.weights import Weights, touched_count
from slide.rows import ActiveSet


class SparseInputLayer(Layer):
    """ReLU(W x + b) for SparseRows x; only the rows of features that a batch has are updated."""

    exact_reads_sparse = True

    def __init__(self, n_inputs, spec, run, rng, std):
        super().__init__(n_inputs, spec.n_neurons, run)
        self.rows = Weights(n_inputs, spec.n_neurons, run.optimizer, std, rng, False, run.huge_pages)
        no_decay = replace(run.optimizer, weight_decay=0.0)
        self.bias_rows = Weights(1, spec.n_neurons, no_decay, 0.0, rng, False)
        self.active = spec.n_neurons

    @property
    def weights(self) -> np.ndarray:
        return self.rows.w.T

    @property
    def bias(self) -> np.ndarray:
        return self.bias_rows.w[0]

    def exact(self, x):
        out = np.empty((len(x), self.n_neurons), np.float32)
        _lookup.lookup_rows(x.indptr, x.ids, x.values, self.rows.w, self.bias, True, out, self.run.threads)
        return out

    def forward(self, x, step):
        with self.run.clock("input"):
            self._x = x
            self._y = self.scratch.get("y", (len(x), self.n_neurons))
            self._plan = self.rows.lookup(x, self.bias, self._y, self.run.threads)
            return self._y

    def backward(self, dy):
        with self.run.clock("input"):
            self._dy = np.multiply(dy, self._y > 0, out=self.scratch.get("dy", dy.shape))

    def update(self, step, rate):
        x, n, run = self._x, len(self._x), self.run
        with run.clock("input_update"):
            groups = np.arange(n + 1, dtype=np.int64) * self.n_neurons
            self.rows.update(
                ActiveSet(x.indptr, x.ids), x.values.reshape(-1, 1), groups, NO_IDS, self._dy.reshape(-1), step, rate,
                run.threads, run.update, self._plan,
            )  # fmt: skip
            self.touched = touched_count(self._plan)
            self.bias_rows.update_all(self._dy.sum(axis=0, keepdims=True), None, step, rate, 1)

    def state(self):
        both = {"features": self.rows, "bias": self.bias_rows}
        return {f"{name}.{k}": v for name, rows in both.items() for k, v in rows.state().items()}

    def load_state(self, state):
        for name, rows in {"features": self.rows, "bias": self.bias_rows}.items():
            rows.load_state({k: state[f"{name}.{k}"] for k in rows.state()})
