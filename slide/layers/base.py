"""What all layers share: their context, and what a network may ask of a layer."""

from dataclasses import dataclass, field, fields

import numpy as np

from slide._kernels import topk as _topk
from slide.attributes import Attributes, ReadOnly
from slide.bfloat16 import widen
from slide.layers import panels
from slide.layers.lane_block import LaneBlock
from slide.layers.stage_clock import StageClock
from slide.memory import Scratch

BLOCK_NEURONS = 96  # neurons whose weights, logits and moments stay in a second-level cache; whole tiles of every set
TASK_SAMPLES = 256  # that a block of weights serves while it is in the cache
PREDICTION_TASKS = 32  # more than the threads, so that they balance


@dataclass(frozen=True)
class Context:
    """What every layer of a network shares: some of the network's settings, and a clock."""

    optimizer: object
    group_size: int
    update: str
    seed: int
    threads: int
    huge_pages: bool
    clock: StageClock = field(default_factory=StageClock, compare=False)

    @classmethod
    def of(cls, settings, clock: StageClock | None = None) -> "Context":
        """From the settings of a network; clock None: a new one."""
        names = [f.name for f in fields(cls) if f.name != "clock"]
        return cls(**{name: getattr(settings, name) for name in names}, clock=clock or StageClock())


class Layer(Attributes):
    """Rows in, rows out. Inputs and outputs are SparseRows, dense float32 (n, d) arrays or LaneBlocks.

    A hidden layer has forward, backward and update; an output layer does all three in `learn`.
    """

    exact_reads_sparse = False
    """Whether `exact` takes SparseRows as they are, without a dense array of them."""

    n_inputs = ReadOnly("make a new Network")
    n_neurons = ReadOnly("make a new Network")
    spec = ReadOnly("make a new Network; some settings are attributes of Network")
    context = ReadOnly("its settings are attributes of Network")
    parameters = ReadOnly("write into the arrays weights and bias")
    scratch = ReadOnly("it is the layer's own")
    active = ReadOnly("it is measured: mean active neurons per sample, of the batch seen last")
    touched = ReadOnly("it is measured: rows of weights that the batch seen last updated")

    def __init__(self, n_inputs: int, spec, context: Context):
        self._n_inputs = n_inputs
        self._n_neurons = spec.n_neurons
        self._spec = spec
        self._context = context
        self._scratch = Scratch()
        self._active = 0.0
        self._touched = 0

    def __repr__(self) -> str:
        return f"{self.spec!r}: {self._how()}"

    def _how(self) -> str:
        """How its active neurons are found, in words."""
        return "every neuron active"

    def use(self, context: Context) -> None:
        """Goes on with another optimizer of the same class, threads and so on, from the next batch."""
        self._context = context
        self.parameters.optimizer = context.optimizer

    def resize(self, spec) -> None:
        """Goes on with other settings, of those that are read in every batch; the others must be as they were."""
        self._spec = spec

    @ReadOnly("write into the array, layer.weights[...] = values")
    def weights(self) -> np.ndarray:
        """float32 (n_neurons, n_inputs), the weights themselves: writing to it changes the network.

        Of weights stored as bfloat16 a copy, which cannot be written to.
        """
        w = self.parameters.w
        if w.dtype == np.float32:
            return w
        copy = widen(w, self.context.threads)
        copy.setflags(write=False)
        return copy

    @ReadOnly("write into the array, layer.bias[...] = values")
    def bias(self) -> np.ndarray:
        """float32 (n_neurons,)"""
        return self.parameters.bias[0]

    def forward(self, x, step):
        """Activations of a hidden layer in training."""
        raise NotImplementedError

    def backward(self, dy):
        """From the gradient of this layer's output, shaped as forward gave it, to that of its input (None at 0)."""
        raise NotImplementedError

    def update(self, step, rate) -> None:
        """The optimizer on the gradients of the batch that was seen last; rate scales the learning rate."""
        raise NotImplementedError

    def learn(self, x, labels, step, rate):
        """(mean loss, gradient of x): one step of the output layer; labels are SparseRows of the batch."""
        raise NotImplementedError

    def exact(self, x) -> np.ndarray:
        """Activations (n, n_neurons) with every neuron computed, for inference."""
        raise NotImplementedError

    def retrieve(self, x):
        """Activations with the neurons that sampling finds, single samples, for inference."""
        return self.exact(x)

    def topk(self, x, k):
        """(values, ids, active neurons per sample): the k largest logits of an output layer, of all its neurons."""
        values, ids = exact_topk(as_dense(x), self.weights, self.bias, k, self.scratch, self.context.threads)
        return values, ids, self.n_neurons

    def retrieve_topk(self, x, k):
        """The same among the neurons that sampling finds; -1 where they are fewer than k."""
        return self.topk(x, k)


def as_dense(x) -> np.ndarray:
    """Any currency as a float32 (n, d) array."""
    if isinstance(x, LaneBlock):
        return x.to_dense()
    return x if isinstance(x, np.ndarray) else x.to_scipy().toarray()


def exact_topk(x, w, bias, k, scratch, threads):
    """(values, ids) of the k largest logits among all rows of weights."""
    n, samples = len(x), panels.pack(x.T)
    n_panels, _, width = samples.shape
    if n == 0:
        return np.empty((0, k), np.float32), np.empty((0, k), np.int32)
    task_panels = max(1, TASK_SAMPLES // width)
    most = max(1, PREDICTION_TASKS * task_panels // n_panels)
    n_parts = min(most, max(1, len(w) // (BLOCK_NEURONS * max(k, 1))), -(-len(w) // BLOCK_NEURONS))
    values, ids = np.full((n_parts, n, k), -np.inf, np.float32), np.full((n_parts, n, k), -1, np.int32)
    work = scratch.get("topk", (threads, (BLOCK_NEURONS + 1) * width))
    _topk.topk_rows(samples, w, bias, task_panels, BLOCK_NEURONS, work, values, ids, threads)
    return values[0], ids[0]
