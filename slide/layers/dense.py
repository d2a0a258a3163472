"""Dense layers as matrix products: hidden ones, and the full softmax that sampling is compared with."""

import numpy as np

from slide._kernels import full as _full
from slide.layers import panels
from slide.layers.base import BLOCK_NEURONS, SOFTMAX, Layer, as_dense, energy
from slide.layers.lane_block import LaneBlock
from slide.layers.weights import Weights, weight_types
from slide.rows import SparseRows
from slide.state.part import Part, prefixed

GRADIENT_SUMS = 64  # of the inputs, each in one order: more than the threads, so that they balance


class DenseLayer(Layer):
    """All neurons, every weight updated at every batch."""

    def __init__(self, n_inputs, spec, context, rng, std):
        super().__init__(n_inputs, spec, context)
        self._parameters = Weights(
            spec.n_neurons, n_inputs, context.optimizer, std, rng, True, context.huge_pages, context.exchange
        )
        self._active = spec.n_neurons

    @classmethod
    def types(cls, n_inputs, spec, optimizer):
        return prefixed("neurons.", weight_types(spec.n_neurons, n_inputs, optimizer))

    def exact(self, x):
        return np.maximum(as_dense(x) @ self.parameters.w.T + self.bias, 0.0)

    def forward(self, x, step, commit):
        with self.context.clock("forward"):
            self._input, self._x = x, as_dense(x)
            self._y = self.exact(self._x)
            return self._y

    def backward(self, dy):
        with self.context.clock("backward"):
            self._dy = dy * (self._y > 0)
            dx = self._dy @ self.parameters.w
            return self._input.gather(dx) if isinstance(self._input, LaneBlock) else dx

    def update(self, step, rate, commit):
        self._check_gradients(energy(self._x), energy(self._dy), step, rate)
        with self.context.clock("update"):
            grad, bias_grad = self._dy.T @ self._x, self._dy.sum(axis=0)
        with commit.timed(self.context.clock, "update"):
            self.parameters.update_all(grad, bias_grad, step, rate, self.context.threads, commit)

    def state(self):
        return prefixed("neurons.", self.parameters.state())

    def load_state(self, state):
        self.parameters.load_state(Part(state, "neurons."))

    def adopt(self, state):
        self.parameters.adopt(Part(state, "neurons."))


class FullSoftmax(DenseLayer):
    """The output layer with every neuron active."""

    updates_early = True

    def __init__(self, n_inputs, spec, context, rng, std):
        super().__init__(n_inputs, spec, context, rng, std)
        self._active = context.exchange.total(spec.n_neurons)

    def learn(self, x, labels, step, rate, commit):
        count = np.diff(labels.indptr)
        loss = self._forward(x, self.context.exchange.own(labels), count)
        self._check_loss(loss, step)
        self._check_gradients(energy(self._x), SOFTMAX, step, rate)
        self._backward(step, rate, count, commit)
        return float(np.mean(np.where(count > 0, loss, 0.0)))

    def _forward(self, x, labels, count):
        """The loss of each sample; labels are those of this rank, count the labels of each sample in all."""
        context, s = self.context, self.scratch
        self._input, self._x = x, np.ascontiguousarray(as_dense(x))
        n, block = len(labels), min(BLOCK_NEURONS, self.n_neurons)
        n_blocks = -(-self.n_neurons // block)
        with context.clock("forward"):
            samples = panels.pack(self._x.T)
            columns = samples.shape[0] * samples.shape[2]
            z = s.get("logits", (n_blocks, block, panels.stride(columns)))
            top, total = s.get("top", (n_blocks, columns)), s.get("total", (n_blocks, columns))
            _full.exponentials_rows(samples, self.parameters.w, self.bias, z, top, total, context.threads)
        with context.clock("softmax"):
            mean = s.get("mean", (n,))
            _full.logits_of_labels(
                self._x, self.parameters.w, self.bias, labels.indptr, labels.ids, mean, context.threads
            )
            own = top.max(axis=0)
            self._shift, self._z, self._labels = np.exp(top - own), z, labels
            total, share = (self._shift * total).sum(axis=0), np.diff(labels.indptr) / np.maximum(count, 1)
        with context.exchange.timed(context.clock):
            most, self._total, mean = context.exchange.normalise(own, total, mean * share.astype(np.float32))
            self._own = np.exp(own - most)
        return np.log(self._total[:n]) + most[:n] - mean

    def _backward(self, step, rate, count, commit):
        """Gradients and optimizer in one pass over the blocks, in which the input's gradient is summed up, too."""
        context, s, labels, z = self.context, self.scratch, self._labels, self._z
        n, d = self._x.shape
        own_count, columns = np.diff(labels.indptr), self._shift.shape[1]
        scale, smooth = np.where(count > 0, 1.0 / n, 0.0).astype(np.float32), self.spec.label_smoothing
        order = np.argsort(labels.ids, kind="stable")
        label = np.ascontiguousarray(labels.ids[order])
        sample = np.repeat(np.arange(n, dtype=np.int32), own_count)[order]
        block_ptr = np.searchsorted(label, np.arange(len(z) + 1) * z.shape[1]).astype(np.int64)
        is_data = isinstance(self._input, SparseRows)
        dx = self._dx = s.get("dx", (min(GRADIENT_SUMS, len(z)), 0 if is_data else d, columns))
        target = (1 - smooth) * scale / np.maximum(count, 1)
        own = self.parameters
        with context.clock("backward"):
            dx[...] = 0.0
            factor = self._shift * (fill(scale, columns) * self._own / self._total)
            even = fill(smooth * scale / self.active, columns)
            features = panels.pack(self._x)
            entries = _full.LabelsByBlock(block_ptr, label, sample, target.astype(np.float32))
        with commit.timed(context.clock, "backward"):
            commit.call(
                _full.backward_rows,
                own.rows, features, z, factor, even, entries, own.optimizer.hyper(step, rate), dx,
                s.get("grads", (context.threads, _full.scratch_size(z.shape[1], features.size // n))), context.threads,
            )  # fmt: skip

    def gradient(self):
        if isinstance(self._input, SparseRows):
            return None
        dx = np.ascontiguousarray(self._dx.sum(axis=0)[:, : len(self._x)].T)
        with self.context.exchange.timed(self.context.clock):
            self.context.exchange.sum(dx)
        return self._input.gather(dx) if isinstance(self._input, LaneBlock) else dx


def fill(values, columns):
    """float32 (columns,): values, then zeros."""
    out = np.zeros(columns, dtype=np.float32)
    out[: len(values)] = values
    return out
