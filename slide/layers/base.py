"""What all layers share: their context, and what a network may ask of a layer."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from slide._kernels import topk as _topk
from slide.bfloat16 import widen
from slide.distributed.exchange import ALONE, Exchange
from slide.layers import panels
from slide.layers.few import FEW_ROWS, few_topk
from slide.layers.lane_block import LaneBlock
from slide.layers.stage_clock import StageClock
from slide.layers.weights import Weights
from slide.machine.memory import Scratch
from slide.optim import SGD, Adam
from slide.settings.attributes import Attributes, ReadOnly
from slide.state.commit import Commit

BLOCK_NEURONS = 96  # neurons whose weights, logits and moments stay in a second-level cache; whole tiles of every set
TASK_SAMPLES = 256  # that a block of weights serves while it is in the cache
PREDICTION_TASKS = 32  # more than the threads, so that they balance
LARGEST = 1e30  # sums of squares and learning rates below it leave float32's end, 3e38, far away
SOFTMAX = 2.0  # the most that the sum of squares of a batch's softmax less its targets can be, in the mean
DIVERGED = "training has diverged, and the batch was not learnt (a lower learning rate may help)"


@dataclass(frozen=True)
class Context:
    """What every layer of a network shares: some of the network's settings, a clock, and the exchange with ranks."""

    optimizer: Adam | SGD
    group_size: int
    update: str
    seed: int
    threads: int
    huge_pages: bool
    clock: StageClock = field(default_factory=StageClock, compare=False)
    exchange: Exchange = field(default=ALONE, compare=False)

    @classmethod
    def of(cls, settings, clock: StageClock | None = None, exchange: Exchange = ALONE) -> "Context":
        """From the settings of a network; clock None: a new one."""
        names = [f.name for f in fields(cls) if f.name not in ("clock", "exchange")]
        given = {name: getattr(settings, name) for name in names}
        return cls(**given, clock=clock or StageClock(), exchange=exchange)


class Layer(Attributes):
    """Rows in, rows out. Inputs and outputs are SparseRows, dense float32 (n, d) arrays or LaneBlocks.

    A hidden layer has forward, backward and update; an output layer learn and gradient. None of them changes what
    training goes on from: what a batch is to change they add to a Commit, which the network runs when all is done.
    """

    exact_reads_sparse = False
    """Whether `exact` takes SparseRows as they are, without a dense array of them."""

    exact_calls_blas = True
    """Whether `exact` of a hidden layer calls NumPy's products, whose threads are then limited."""

    updates_early = False
    """Whether `gradient` of an output layer is known only after its Commit was run."""

    n_inputs: ReadOnly[int] = ReadOnly("make a new Network")
    n_neurons: ReadOnly[int] = ReadOnly("make a new Network")
    spec: ReadOnly[Any] = ReadOnly("make a new Network; some settings are attributes of Network")
    context: ReadOnly[Context] = ReadOnly("its settings are attributes of Network")
    parameters: ReadOnly[Weights] = ReadOnly("write into the arrays weights and bias")
    scratch: ReadOnly[Scratch] = ReadOnly("it is the layer's own")
    active: ReadOnly[float] = ReadOnly("it is measured: mean active neurons per sample, of the batch seen last")
    touched: ReadOnly[int] = ReadOnly("it is measured: rows of weights that the batch seen last updated")

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

    @classmethod
    def types(cls, n_inputs: int, spec, optimizer) -> dict:
        """{name: (dtype, shape)} of the arrays of `state` (see `slide.layers.array_types`)."""
        raise NotImplementedError

    def use(self, context: Context, commit: Commit) -> None:
        """Goes on with another optimizer of the same class, threads and so on, from the next batch."""
        commit.set(self, _context=context)
        commit.set(self.parameters, optimizer=context.optimizer)

    def resize(self, spec, commit: Commit) -> None:
        """Goes on with other settings, of those that are read in every batch; the others must be as they were."""
        commit.set(self, _spec=spec)

    def settle(self, step: int) -> None:
        """Does what batch number `step` left to be done before the tables are used."""

    def is_settled(self, step: int) -> bool:
        """Whether `settle` has nothing to do, and `retrieve` may be called by several threads at once."""
        return True

    def check_finite(self) -> None:
        """FloatingPointError, naming the array, where a weight or moment is not finite."""
        self.parameters.check_finite()

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

    def adopt(self, state) -> None:
        """Works from now on with the arrays of a `frozen_state` themselves, for prediction alone.

        Raises ValueError where one has another dtype or shape, or values that none can have.
        """
        raise NotImplementedError

    def forward(self, x, step, commit: Commit):
        """Activations of a hidden layer in training."""
        raise NotImplementedError

    def backward(self, dy):
        """From the gradient of this layer's output, shaped as forward gave it, to that of its input (None at 0)."""
        raise NotImplementedError

    def update(self, step, rate, commit: Commit) -> None:
        """The optimizer on the gradients of the batch that was seen last; rate scales the learning rate.

        Raises FloatingPointError where a gradient may overflow.
        """
        raise NotImplementedError

    def learn(self, x, labels, step, rate, commit: Commit) -> float:
        """The mean loss: one step of the output layer; labels are SparseRows of the batch.

        Raises FloatingPointError where the loss is not finite, or a gradient may overflow.
        """
        raise NotImplementedError

    def gradient(self):
        """The gradient of the x that `learn` had last, shaped as it; None of data."""
        raise NotImplementedError

    def _check_gradients(self, inputs: float, deltas: float, step, rate) -> None:
        """FloatingPointError where weights, changed by products of inputs and deltas, might not stay finite.

        Both are sums of squares (see `energy`). No sum of products is larger than the root of theirs; with its square,
        Adam's second moment, and with the steps that the optimizer makes of it, it is then far from float32's end.
        """
        lr, *_, decay = self.context.optimizer.hyper(step, rate)
        if not (inputs * deltas * max(1.0, lr) * max(1.0, lr) < LARGEST and lr < LARGEST and decay <= 1):
            raise FloatingPointError(
                f"batch {step}: found inputs of norm {inputs**0.5:.3g}, their gradients of norm {deltas**0.5:.3g}, a "
                f"learning rate of {lr:.3g} and a decay of {decay:.3g} per step, by which weights of {self.spec!r} may "
                f"become infinite: {DIVERGED}"
            )

    def _check_loss(self, loss, step) -> None:
        """FloatingPointError where the loss of a sample, float (n,), is not finite."""
        if not np.isfinite(loss).all():
            bad = loss[~np.isfinite(loss)][0]
            raise FloatingPointError(f"batch {step}: found a loss of {bad}, expected a finite one: {DIVERGED}")

    def exact(self, x) -> np.ndarray:
        """Activations (n, n_neurons) with every neuron computed, for inference."""
        raise NotImplementedError

    def retrieve(self, x):
        """Activations with the neurons that sampling finds, single samples, for inference."""
        return self.exact(x)

    def topk(self, x, k):
        """(values, ids, active neurons per sample): the k largest logits of an output layer, of all its neurons."""
        x, threads = np.ascontiguousarray(as_dense(x)), self.context.threads
        if 0 < len(x) <= FEW_ROWS:
            return *few_topk(self.parameters, x, k, self.scratch, threads), self.n_neurons
        return *self._topk_of_many(x, k), self.n_neurons

    def _topk_of_many(self, x, k):
        return exact_topk(x, self.parameters.w, self.bias, k, self.scratch, self.context.threads)

    def retrieve_topk(self, x, k):
        """The same among the neurons that sampling finds; -1 where they are fewer than k."""
        return self.topk(x, k)


def energy(x) -> float:
    """The sum of squares of float32 values, an array of any shape; infinite or NaN where one is, or near the end."""
    flat = x.ravel()
    return float(np.dot(flat, flat))


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
