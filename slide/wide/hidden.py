"""SampledHidden: a wide hidden layer whose active neurons hash tables choose."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from slide.matrices import MOST
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

    A batch takes three calls, of which only the last changes anything.

    Parameters
    ----------
    n_inputs : int
        Columns of h.
    n_neurons : int
        Its width.
    **settings
        Those of `slide.SampledSoftmax`, but for those of an output layer. What is not given is recommended: a tenth of
        the neurons are active.

    Examples
    --------
    >>> batch = hidden.forward(h)            # batch.output
    >>> dh = hidden.backward(batch, dy)      # dy: the gradient by batch.output
    >>> hidden.update(batch)
    """

    _last = False

    def __init__(self, n_inputs: int, n_neurons: int, **settings: Any):
        n_neurons = check_integer("n_neurons", n_neurons, 1, MOST)
        spec, shared = split(type(self), n_neurons, settings, recommended_hidden(n_neurons, settings))
        self._set_up(n_inputs, spec, shared)

    def forward(self, h: ArrayLike) -> HiddenBatch:
        """The activations of a batch of hidden rows. Nothing moves.

        Parameters
        ----------
        h : ndarray of shape (n, n_inputs), float32
            The batch.

        Returns
        -------
        Batch
            `output`, float32 (n, n_neurons), and what its gradients are made of.
        """
        return self._alone("forward", self._forward, self._as_inputs(h))

    def _forward(self, h):
        self.layer.settle(self.step)
        commit, scratch = Commit(), self._borrowed()
        passed = self.layer.activate(h, self.step + 1, commit, scratch)
        return HiddenBatch(self, passed, commit, scratch, self.layer.activations(passed))

    def backward(self, batch: HiddenBatch, gradient: ArrayLike) -> np.ndarray:
        """The gradient by h.

        Parameters
        ----------
        batch : Batch
            Of `forward`.
        gradient : ndarray of shape (n, n_neurons), float32
            By batch.output.

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
        gradient = np.ascontiguousarray(gradient, np.float32)
        if gradient.shape != batch.output.shape:
            raise ValueError(f"gradient: found shape {gradient.shape}, expected {batch.output.shape}")
        return self._alone("backward", self._backward, batch, gradient)

    def _backward(self, batch, gradient):
        dh = self.layer.differentiate(batch._pass, batch._block.gather(gradient), batch._scratch)
        batch._differentiated = True
        return dh

    def exact(self, h: ArrayLike) -> np.ndarray:
        """The activations of every neuron.

        Parameters
        ----------
        h : ndarray of shape (n, n_inputs), float32
            Hidden rows.

        Returns
        -------
        ndarray of shape (n, n_neurons), float32
            Activations.
        """
        return self._alone("exact", self.layer.exact, self._as_inputs(h))
