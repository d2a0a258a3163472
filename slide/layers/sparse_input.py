"""The dense first layer on sparse input: weights by feature, so that a sample reads only the rows it has."""

from dataclasses import replace

import numpy as np

from slide._kernels import lookup as _lookup
from slide.layers.base import Layer, energy
from slide.layers.lane_block import NO_IDS
from slide.layers.weights import Weights, touched_count, weight_types
from slide.rows import ActiveSet
from slide.settings.attributes import ReadOnly
from slide.state.part import Part, prefixed


class SparseInputLayer(Layer):
    """ReLU(W x + b) for SparseRows x; only the rows of features that a batch has are updated.

    Over ranks each has some of the features, and sums are those of all.
    """

    exact_reads_sparse = True
    exact_calls_blas = False

    bias_parameters: ReadOnly[Weights] = ReadOnly("write into the array bias")

    def __init__(self, n_inputs, spec, context, rng, std):
        super().__init__(n_inputs, spec, context)
        self._parameters = Weights(
            n_inputs, spec.n_neurons, context.optimizer, std, rng, False, context.huge_pages, context.exchange
        )
        self._bias_parameters = Weights(1, spec.n_neurons, without_decay(context.optimizer), 0.0, rng, False)
        self._active = spec.n_neurons

    @classmethod
    def types(cls, n_inputs, spec, optimizer):
        features = weight_types(n_inputs, spec.n_neurons, optimizer, with_bias=False)
        bias = weight_types(1, spec.n_neurons, optimizer, with_bias=False)
        return prefixed("features.", features) | prefixed("bias.", bias)

    def use(self, context, commit):
        super().use(context, commit)
        commit.set(self.bias_parameters, optimizer=without_decay(context.optimizer))

    def check_finite(self):
        super().check_finite()
        self.bias_parameters.check_finite()

    @Layer.weights
    def weights(self) -> np.ndarray:
        return self.parameters.w.T

    @Layer.bias
    def bias(self) -> np.ndarray:
        return self.bias_parameters.w[0]

    def exact(self, x):
        out, exchange = np.empty((len(x), self.n_neurons), np.float32), self.context.exchange
        given = x.indptr, x.ids, x.values, self.parameters.w, exchange.once(self.bias)
        _lookup.lookup_rows(*given, False, out, self.context.threads)
        exchange.sum(out)
        return np.maximum(out, 0.0, out=out)

    def forward(self, x, step, commit):
        with self.context.clock("input"):
            self._x = x
            self._y = self.scratch.get("y", (len(x), self.n_neurons))
            bias = self.context.exchange.once(self.bias)
            self._plan = self.parameters.lookup(x, bias, self._y, self.context.threads)
            self._inputs = np.array([energy(x.values)], np.float32)
        with self.context.exchange.timed(self.context.clock):
            self.context.exchange.sum(self._y, self._inputs)
        with self.context.clock("input"):
            return np.maximum(self._y, 0.0, out=self._y)

    def backward(self, dy):
        with self.context.clock("input"):
            self._dy = np.multiply(dy, self._y > 0, out=self.scratch.get("dy", dy.shape))

    def update(self, step, rate, commit):
        x, n, context, dy = self._x, len(self._x), self.context, self._dy
        self._check_gradients(float(self._inputs[0]), energy(dy), step, rate)
        groups = np.arange(n + 1, dtype=np.int64) * self.n_neurons
        bias_grad = dy.sum(axis=0, keepdims=True)
        with commit.timed(context.clock, "input_update"):
            self.parameters.update(
                ActiveSet(x.indptr, x.ids), x.values.reshape(-1, 1), groups, NO_IDS, dy.reshape(-1), step, rate,
                context.threads, context.update, self._plan, commit,
            )  # fmt: skip
            self.bias_parameters.update_all(bias_grad, None, step, rate, 1, commit)
        commit.set(self, _touched=touched_count(self._plan))

    def state(self):
        return prefixed("features.", self.parameters.state()) | prefixed("bias.", self.bias_parameters.state())

    def load_state(self, state):
        self.parameters.load_state(Part(state, "features."))
        self.bias_parameters.load_state(Part(state, "bias."))

    def adopt(self, state):
        self.parameters.adopt(Part(state, "features."))
        self.bias_parameters.adopt(Part(state, "bias."))


def without_decay(optimizer):
    return replace(optimizer, weight_decay=0.0)
