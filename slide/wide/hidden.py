"""SampledHidden: a wide hidden layer whose active neurons hash tables choose."""

import numpy as np

from slide.settings.checks import check_integer
from slide.state.commit import Commit
from slide.wide.base import Batch, WideLayer
from slide.wide.settings import recommended_hidden, split


class HiddenBatch(Batch):
    """What `SampledHidden.forward` computed: output, float32 (n, n_neurons), 0 where a neuron is not active."""

    def __init__(self, owner, passed, commit, scratch, block):
        super().__init__(owner, passed, commit, scratch)
        self._block, self.output = block, block.to_dense(threads=owner.threads)


class SampledHidden(WideLayer):
    """ReLU(h @ weights.T + bias) of those neurons that hash tables retrieve for h; the others are 0.

    n_inputs    columns of h
    n_neurons   its width

    Settings are those of `slide.SampledSoftmax`, but for those of an output layer. What is not given is recommended: a
    tenth of the neurons are active.

    Three calls, of which only the last changes anything:

    >>> batch = hidden.forward(h)            # batch.output
    >>> dh = hidden.backward(batch, dy)      # dy: the gradient by batch.output
    >>> hidden.update(batch)
    """

    _last = False

    def __init__(self, n_inputs: int, n_neurons: int, **settings):
        n_neurons = check_integer("n_neurons", n_neurons)
        spec, shared = split(type(self), n_neurons, settings, recommended_hidden(n_neurons, settings))
        self._set_up(n_inputs, spec, shared)

    def forward(self, h) -> HiddenBatch:
        """The activations of a batch of hidden rows, float32 (n, n_inputs). Nothing moves."""
        return self._alone("forward", self._forward, self._as_inputs(h))

    def _forward(self, h):
        self.layer.settle(self.step)
        commit, scratch = Commit(), self._borrowed()
        passed = self.layer.activate(h, self.step + 1, commit, scratch)
        return HiddenBatch(self, passed, commit, scratch, self.layer.activations(passed))

    def backward(self, batch: HiddenBatch, gradient) -> np.ndarray:
        """float32 (n, n_inputs): the gradient by h, of that by batch.output, (n, n_neurons).

        Raises ValueError where it was called for this batch before.
        """
        self._mine(batch, "backward")
        if batch._differentiated:
            raise ValueError("backward: found a batch that was differentiated already, expected one `backward` of each")
        gradient = np.ascontiguousarray(gradient, np.float32)
        if gradient.shape != batch.output.shape:
            raise ValueError(f"gradient: found shape {gradient.shape}, expected {batch.output.shape}")
        return self._alone("backward", self._backward, batch, gradient)

    def _backward(self, batch, gradient):
        dh = self.layer.differentiate(batch._pass, batch._block.gather(gradient), batch._scratch)
        batch._differentiated = True
        return dh

    def exact(self, h) -> np.ndarray:
        """float32 (n, n_neurons): the activations of every neuron."""
        return self._alone("exact", self.layer.exact, self._as_inputs(h))
