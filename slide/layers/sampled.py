"""The sampled layer: hash tables choose the active neurons of a group, forward and backward run on those alone."""

import numpy as np

from slide._kernels import topk as _topk
from slide.bfloat16 import TYPES, blocks, widen
from slide.hashing.outside import is_outside
from slide.index import LSHIndex, index_types
from slide.layers.base import Layer, as_dense, exact_topk
from slide.layers.frozen import Frozen, Unfilled
from slide.layers.labels import labels_found, of_others
from slide.layers.lane_block import LaneBlock, even_group, lanes_of
from slide.layers.passes import Pass, UpdateInputs
from slide.layers.weights import BFloat16Weights, Weights, touched_count, touched_ids, weight_types
from slide.rows import SparseRows
from slide.sampling import complete, inclusion_weights, retrieve
from slide.sampling.base import Sampler
from slide.sampling.recent import RecentLabels, recent_types
from slide.settings.attributes import ReadOnly
from slide.settings.checks import check_integer
from slide.state.commit import Commit
from slide.state.part import Part, prefixed

RECENT = 1 << 18  # label entries that a fill by frequency is drawn from


class SampledLayer(Layer):
    index: ReadOnly[LSHIndex | None] = ReadOnly("call retrieve_by")
    sampler: ReadOnly[Sampler] = ReadOnly("call retrieve_by")
    minimum: ReadOnly[int] = ReadOnly("make a new Network, or call Network.grow")
    seed: ReadOnly[int] = ReadOnly("it follows from the network's: make a new Network")
    recent: ReadOnly[RecentLabels | None] = ReadOnly("it is the layer's own")

    def __init__(self, n_inputs, spec, context, rng, std):
        super().__init__(n_inputs, spec, context)
        commit = Commit()
        self.resize(spec, commit)
        commit.run()
        self._parameters = _make_parameters(n_inputs, spec, context, rng, std)
        self._seed = int(rng.integers(2**62))
        self._draws = self.parameters.seed = context.exchange.seed(self.seed)
        self._recent = RecentLabels(RECENT // context.exchange.size, spec.n_neurons) if _keeps_recent(spec) else None
        self._index = None
        if self.sampler.needs_tables:
            self._index = LSHIndex(
                lambda seed: spec.make_family(n_inputs, seed), spec.n_neurons, spec.rehash,
                getattr(spec.hash, "seed", self.seed), spec.bucket_size, spec.policy, context.threads,
                context.huge_pages, isinstance(rng, Frozen),
            )  # fmt: skip
            if not isinstance(rng, Frozen | Unfilled):
                self.index.build(self.parameters.w)

    @classmethod
    def types(cls, n_inputs, spec, optimizer):
        of_weights = TYPES[spec.weight_type], TYPES[spec.moment_type]
        types = prefixed("neurons.", weight_types(spec.n_neurons, n_inputs, optimizer, types=of_weights))
        if spec.make_sampler().needs_tables:
            family = spec.make_family(n_inputs, seed=0)
            types |= prefixed("index.", index_types(family, spec.n_neurons, spec.bucket_size, spec.policy))
        return types | (prefixed("recent.", recent_types(RECENT)) if _keeps_recent(spec) else {})

    def _how(self):
        if self.index is None:
            return f"{self.sampler!r}"
        family = self.index.family
        return f"{self.sampler!r}, tables of {type(family).__name__}(K={family.K}, L={family.L})"

    def use(self, context, commit):
        super().use(context, commit)
        if self.index is not None:
            self.index.use_threads(context.threads, commit)

    def resize(self, spec, commit):
        super().resize(spec, commit)
        sampler = spec.make_sampler()
        active = getattr(sampler, "active", None)
        if active is not None:
            active = check_integer(f"{type(sampler).__name__}.active", active)
        commit.set(self, _sampler=sampler, _minimum=spec.min_active if spec.min_active is not None else
                   active or spec.active)  # fmt: skip

    def settle(self, step):
        if self.index is not None:
            with self.context.clock("rehash"):
                self.index.settle(step, self.parameters.w)

    def is_settled(self, step):
        if is_outside(type(self.sampler)):
            return False
        return self.index is None or (not is_outside(type(self.index.family)) and self.index.is_settled(step))

    def retrieve_by(self, index, sampler) -> None:
        """Retrieves by another LSHIndex, built, and another Sampler from now on: for comparisons, it is not saved."""
        self._index, self._sampler = index, sampler

    def _as_block(self, x, group_size, scratch=None) -> LaneBlock:
        if isinstance(x, LaneBlock):
            return x
        if isinstance(x, SparseRows):
            return LaneBlock.from_sparse(x, group_size)
        return LaneBlock.from_dense(np.ascontiguousarray(x), group_size, scratch or self.scratch, self.context.threads)

    def _sample(self, x, group_size, step, commit=None):
        """What the sampler finds for each group, and nothing else: at step 0 the active sets of prediction."""
        context = self.context
        with context.clock("hash"):
            codes = self.index.codes(_hashable(x), step > 0, commit) if self.index else None
        with context.clock("sample"):
            tables = self.index.tables if self.index else None
            return retrieve(
                self.sampler, tables, codes, _length(x), group_size, self.n_neurons, self._draws, step, context.threads
            )

    def _complete(self, retrieved, labels, group_size, step):
        """(the active set of each group, place of each label entry in it, sizes of its parts: see `complete`)."""
        context = self.context
        with context.clock("sample"):
            label_ptr, label_ids = (labels.indptr, labels.ids) if labels is not None else (None, None)
            return complete(
                retrieved, label_ptr, label_ids, group_size, self.minimum, self.n_neurons, self._draws, step,
                context.threads, self.recent.ids if self.spec.label_fill else None, self.spec.label_fill,
            )  # fmt: skip

    def forward(self, x, step, commit):
        self._pass = self.activate(x, step, commit, self.scratch)
        return self.activations(self._pass)

    def backward(self, dy):
        return self.differentiate(self._pass, dy, self.scratch)

    def update(self, step, rate, commit):
        self.add_update([self._pass], step, rate, commit)

    def learn(self, x, labels, step, rate, commit):
        n = len(labels)
        passed = self._pass = self.softmax(x, labels, np.full(n, 1.0 / n, np.float32), step, commit, self.scratch)
        self._gradient = passed.as_input(passed.dx, self.context.threads)
        self._check_loss(passed.loss, step)
        self.add_update([passed], step, rate, commit)
        return float(passed.loss.mean())

    def gradient(self):
        return self._gradient

    def activate(self, x, step, commit, scratch) -> Pass:
        """The forward pass of a hidden layer. Its arrays are those of `scratch`."""
        context = self.context
        group = even_group(_length(x), context.group_size)
        active, _, _ = self._complete(self._sample(x, group, step, commit), None, group, step)
        with context.clock("forward"):
            block = self._as_block(x, group, scratch)
            values = self._compute(block, active, True, scratch)
            commit.set(self, _active=_mean_active(np.diff(active.indptr), group, block.n))
            return Pass(x, block, active, values)

    def activations(self, passed: Pass) -> LaneBlock:
        """What `activate` computed, as the next layer takes it."""
        block, active = passed.block, passed.active
        return LaneBlock(block.n, block.group_size, self.n_neurons, active.indptr, active.ids, passed.values)

    def differentiate(self, passed: Pass, dy, scratch):
        """The gradient of the input of `activate` (None of data), from that of its activations, shaped as they."""
        with self.context.clock("backward"):
            passed.delta = np.multiply(dy, passed.values > 0, out=scratch.get("delta", dy.shape))
            if isinstance(passed.input, SparseRows):
                return None
            dx = scratch.get("dx", passed.block.values.shape)
            self.parameters.input_gradient(passed.active, passed.block, passed.delta, dx, self.context.threads)
            return passed.as_input(dx, self.context.threads)

    def softmax(self, x, labels, scale, step, commit, scratch, number=0) -> Pass:
        """The forward and backward pass of an output layer, which has the arrays of `scratch`.

        labels   SparseRows, the labels of each sample
        scale    float32 (n,): the factor of each sample's gradient
        number   of this batch among those that share a step: each has draws of its own
        """
        context, draws = self.context, step + (number << 32)
        group = even_group(_length(x), context.group_size)
        retrieved = self._sample(x, group, draws, commit)
        if self.recent:
            self.recent.add(context.exchange.own(labels).ids, commit)
        if self.spec.max_labels:
            labels = labels.sampled(self.spec.max_labels, np.random.default_rng((self.seed, draws)))
        counts, labels = np.diff(labels.indptr), context.exchange.own(labels)
        forced = labels if self.spec.labels else None
        active, slots, parts = self._complete(retrieved, forced, group, draws)
        weights = self._weights(retrieved, active, parts, forced, group, step)
        if forced is None:
            labels, slots = labels_found(labels, active, group)
            counts = np.diff(labels.indptr)
        with context.clock("forward"):
            block = self._as_block(x, group, scratch)
            delta = scratch.get("delta", (len(active.ids), lanes_of(group)))
            rows, lanes = block.values.shape
            dx = scratch.get("dx", (0 if isinstance(x, SparseRows) else rows, lanes))
            loss = scratch.get("loss", (block.n,))
            stages = self.parameters.softmax(
                active, block, weights, labels.indptr, slots, counts, scale, self.spec.label_smoothing, delta, dx,
                loss, context.threads,
            )  # fmt: skip
            context.exchange.softmax(stages)
            commit.set(self, _active=_mean_active(stages.sizes, group, block.n))
        with context.exchange.timed(context.clock):
            context.exchange.sum(dx)
        return Pass(x, block, active, None, delta, dx, loss, scale)

    def _compute(self, block, active, relu, scratch):
        out = scratch.get("values", (len(active.ids), lanes_of(block.group_size)))
        self.parameters.forward(active, block, relu, out, self.context.threads)
        return out

    def add_update(self, passes, step, rate, commit) -> None:
        """Adds one step of the optimizer, by the gradients of all passes together, to the commit.

        Raises FloatingPointError where one may overflow.
        """
        context = self.context
        energy, energy_of_gradients = np.sum([each.energies() for each in passes], axis=0)
        self._check_gradients(energy, energy_of_gradients, step, rate)
        with context.clock("update"):
            given = UpdateInputs.of(passes, self.scratch, context.threads)
        with context.clock("transpose"):
            plan = self.parameters.transpose(given.active, context.threads)
        with context.clock("update"), commit.timed(context.clock, "update"):  # hogwild adds up at once
            self.parameters.update(
                given.active, given.delta, given.x_indptr, given.x_cols, given.x, step, rate, context.threads,
                context.update, plan, commit,
            )  # fmt: skip
        commit.set(self, _touched=touched_count(plan))
        if self.index is not None and self.spec.reinsert:
            commit.set(self.index, moved=touched_ids(plan))

    def _weights(self, retrieved, active, parts, labels, group_size, step):
        """How many neurons each active one counts for in the softmax; empty: itself alone."""
        if not self.spec.logq_correction:
            return np.zeros(0, np.float32)
        with self.context.clock("sample"):
            weights = inclusion_weights(
                active, parts, None if self.sampler.draws_uniformly else retrieved, self.recent,
                of_others(labels, group_size, len(active)), self.context.threads,
            )  # fmt: skip
            return weights if step >= self.spec.logq_warmup else weights ** (step / self.spec.logq_warmup)

    def exact(self, x):
        return np.maximum(as_dense(x) @ self.weights.T + self.bias, 0.0)

    def _topk_of_many(self, x, k):
        if self.parameters.w.dtype == np.float32:
            return super()._topk_of_many(x, k)
        values, ids = [], []
        for part in blocks(self.parameters.w):
            w = widen(self.parameters.w[part], self.context.threads)
            found = exact_topk(x, w, self.bias[part], min(k, len(w)), self.scratch, self.context.threads)
            values.append(found[0])
            ids.append(found[1] + np.int32(part.start))
        values, ids = np.concatenate(values, axis=1), np.concatenate(ids, axis=1)
        # Ids rise from block to block: a stable order leaves equals to the smaller.
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(values, order, 1), np.take_along_axis(ids, order, 1)

    def retrieve(self, x):
        active = self._sample(x, 1, 0)
        block = self._as_block(x, 1)
        return self.activations(Pass(x, block, active, self._compute(block, active, True, self.scratch)))

    def retrieve_topk(self, x, k):
        active = self._sample(x, 1, 0)
        block = self._as_block(x, 1)
        z = self._compute(block, active, False, self.scratch)
        values, ids = np.full((block.n, k), -np.inf, np.float32), np.full((block.n, k), -1, np.int32)
        _topk.topk_active(active.indptr, active.ids, z, values, ids, self.context.threads)
        return values, ids, len(active.ids) / max(block.n, 1)

    def state(self):
        state = prefixed("neurons.", self.parameters.state())
        if self.index is not None:
            state |= prefixed("index.", self.index.state())
        return state | (prefixed("recent.", self.recent.state()) if self.recent is not None else {})

    def load_state(self, state):
        self.parameters.load_state(Part(state, "neurons."))
        if self.index is not None:
            if self.index.load_state(Part(state, "index.")):
                self.index.build(self.parameters.w)
        if self.recent is not None:
            self.recent.load_state(Part(state, "recent."))

    def adopt(self, state):
        self.parameters.adopt(Part(state, "neurons."))
        if self.index is not None:
            self.index.adopt(Part(state, "index."))


def _keeps_recent(spec):
    return bool(spec.label_fill or spec.logq_correction)


def _make_parameters(n_inputs, spec, context, rng, std):
    if spec.weight_type == "float32":
        return Weights(
            spec.n_neurons, n_inputs, context.optimizer, std, rng, True, context.huge_pages, context.exchange
        )
    return BFloat16Weights(
        spec.n_neurons, n_inputs, context.optimizer, std, rng, context.huge_pages, spec.moment_type, context.exchange
    )


def _length(x) -> int:
    """Samples of SparseRows, an array or a LaneBlock."""
    return x.n if isinstance(x, LaneBlock) else len(x)


def _hashable(x):
    """What a hash family takes: a dense array or CSR rows."""
    if isinstance(x, SparseRows):
        return x.to_scipy()
    return as_dense(x)


def _mean_active(active, group_size, n):
    """Active neurons per sample, of the numbers of those of each group."""
    if len(active) == 1:
        return float(active[0])
    sizes = np.minimum(group_size, n - np.arange(len(active)) * group_size)
    return float(active @ sizes) / max(n, 1)
