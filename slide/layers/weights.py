"""The rows of one layer: weights, biases, optimizer state, and the update that gives each row one owner."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slide._kernels import bfloat16 as _bfloat16
from slide._kernels import forward as _forward
from slide._kernels import hogwild as _hogwild
from slide._kernels import lookup as _lookup
from slide._kernels import optimizer as _optimizer
from slide._kernels import softmax as _softmax
from slide._kernels import transpose as _transpose
from slide._kernels import update as _update
from slide._kernels.groups import Groups
from slide._kernels.transpose import PairsByRow
from slide._kernels.weights import Float32Rows
from slide.bfloat16 import TYPES, blocks, narrow
from slide.distributed.exchange import ALONE
from slide.layers.frozen import Frozen
from slide.layers.lane_block import NO_IDS
from slide.machine import memory
from slide.rows import ActiveSet, offsets
from slide.settings.checks import check_array
from slide.state.commit import Commit

UPDATES = ("rows", "hogwild")
CHECKED_ROWS = 1 << 14  # whose values are checked at a time


class Weights:
    """n_rows rows of `width` float32 weights, each with a bias if asked, and the optimizer's moments.

    w      (n_rows, width)
    bias   (3, n_rows): value, first and second moment; no columns where rows have no bias
    m, v   as w; no rows with SGD
    """

    types = np.float32, np.float32  # of w; of m and v
    seed = 0  # of what is random in an update

    def __init__(self, n_rows, width, optimizer, std, rng, with_bias=True, huge_pages=True, exchange=ALONE):
        self.optimizer = optimizer
        self.adam = optimizer.name == "adam"
        self._scratch = memory.Scratch()
        if isinstance(rng, Frozen):
            self._shapes = (n_rows, width), (1, n_rows) if with_bias else (0, 0)
            return
        for name, (dtype, shape) in weight_types(n_rows, width, optimizer, with_bias, self.types).items():
            setattr(self, name, memory.zeros(shape, dtype, huge_pages))
        self._shapes = self.w.shape, self.bias[:1].shape
        exchange.fill(self.w, lambda w: self._draw(w, std, rng))
        self.rows = self._kernel_rows()

    def adopt(self, state: dict[str, np.ndarray]) -> None:
        """Works from now on with the w and bias of a `frozen_state` themselves, and has no moments.

        Raises ValueError where an array has another dtype or shape, or is not finite.
        """
        for name, dtype, shape in zip(("w", "bias"), (self.types[0], np.float32), self._shapes, strict=True):
            found = check_array(name, state.get(name), np.broadcast_to(np.zeros((), dtype), shape))
            self._check_values(name, found, ValueError)
        self.w, self.bias = state["w"], state["bias"]
        self.m = self.v = np.zeros((0, self.w.shape[1]), self.types[1])
        self.rows = self._kernel_rows()

    def _draw(self, w, std, rng):
        fill_normal(w, std, rng)

    def _kernel_rows(self):
        """The arrays as kernels take them."""
        return Float32Rows(self.w, self.m, self.v, self.bias)

    def state(self) -> dict[str, np.ndarray]:
        return {"w": self.w, "m": self.m, "v": self.v, "bias": self.bias}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Takes over a `state`; ValueError where an array has another dtype or shape, or values that none can have."""
        for name, own in self.state().items():
            found = check_array(name, state.get(name), own)
            self._check_values(name, found, ValueError)
            own[...] = found

    def check_finite(self) -> None:
        """FloatingPointError, naming the array, where something is not finite."""
        for name, array in self.state().items():
            self._check_values(name, array, FloatingPointError)

    def _check_values(self, name, array, kind):
        squares = array[2:] if name == "bias" else array if name == "v" else array[:0]
        for low in range(0, len(array), CHECKED_ROWS):
            if not is_finite(array[low : low + CHECKED_ROWS]):
                raise kind(f"{name}: found numbers that are not finite")
            if is_negative(squares[low : low + CHECKED_ROWS]):
                raise kind(f"{name}: found a negative second moment, expected at least 0")

    def lookup(self, x, bias, out, threads) -> PairsByRow:
        """out = x @ w + bias of SparseRows x; returns `transpose` of its columns, made meanwhile."""
        given = x.indptr, x.ids, x.values, self.w, bias, False, out
        if not 0 < len(x.ids) < _transpose.MIN_SHARED_PAIRS:
            _lookup.lookup_rows(*given, threads)
            return self.transpose(ActiveSet(x.indptr, x.ids), threads)
        by_row = self._by_row(len(x.ids))
        _lookup.lookup_and_sort_rows(*given, by_row, threads)
        return by_row

    def forward(self, active, block, relu, out, threads) -> None:
        """Logits of every group's active rows, or their ReLU: out (pairs, lanes), of the inputs in a LaneBlock."""
        _forward.forward_rows(self.rows, groups_of(active, block), relu, out, self._room(threads), threads)

    def input_gradient(self, active, block, delta, dx, threads) -> None:
        """dx, shaped as block.values, of the gradients delta (pairs, lanes) of the active rows."""
        groups = groups_of(active, block)
        work = self._scratch.get("work", (_forward.work_size(groups, threads),))
        _forward.input_gradient_rows(self.rows, groups, delta, dx, work, self._room(threads), threads)

    def softmax(
        self, active, block, weights, label_ptr, slots, counts, scale, smooth, delta, dx, loss, threads
    ) -> "SoftmaxStages":
        """Forward, softmax over the active rows and its gradients, which the stages compute when they are called."""
        groups = groups_of(active, block)
        targets = _softmax.Targets(label_ptr, slots, counts, weights, block.group_size, scale, smooth)
        work = self._scratch.get("work", (_softmax.work_size(groups, len(dx) > 0, threads),))
        given = self.rows, groups, targets, delta, dx, loss, work, self._room(threads), threads
        return SoftmaxStages(given, len(loss), np.diff(active.indptr))

    def _room(self, threads):
        """Scratch of the forward kernels beside their work; float32 needs none."""
        return self._scratch.get("room", (threads, 0))

    def transpose(self, active, threads) -> PairsByRow:
        """Which groups wanted each row, from an ActiveSet; valid until the next."""
        by_row = self._by_row(len(active.ids))
        cursors = self._scratch.get("cursors", (len(active), _transpose.PARTS), np.int32)
        _transpose.transpose_rows(active.indptr, active.ids, len(self.w), by_row, cursors, threads)
        return by_row

    def _by_row(self, pairs) -> PairsByRow:
        s, parts = self._scratch, _transpose.PARTS
        return PairsByRow(
            s.get("part_ptr", (parts + 1,), np.int64), s.get("n_touched", (parts,), np.int32),
            s.get("touched", (3, pairs), np.int32), s.get("by_row", (2, pairs), np.int32),
            s.get("keys", (2, pairs), np.uint64), s.get("group_of", (pairs,), np.int32),
        )  # fmt: skip

    def update(
        self, active, coef, x_indptr, x_cols, x, step, rate, threads, mode="rows", by_row=None, commit=None
    ) -> PairsByRow:
        """The optimizer on the rows that groups wanted; returns the pairs by row, which `touched_ids` reads.

        active    ActiveSet: the rows of each group
        coef      (pairs, lanes): for each entry of active, the factor of each of the group's samples
        x_indptr  int64 (groups + 1), x_cols: the columns of each group's inputs (see LaneBlock)
        x         flat float32: group g's inputs, lanes x columns, at x_indptr[g] * lanes
        mode      "rows": each row has one owner, the result is the same on any number of threads; "hogwild"
        by_row    of `transpose` or `lookup`, if that was called for this batch already
        commit    where the change of weights and moments is added to, made when that is run; None: at once
        """
        by_row, change = by_row or self.transpose(active, threads), commit or Commit()
        groups = Groups(active.indptr, active.ids, x_indptr, x_cols, x, coef.shape[1])
        hyper = self.optimizer.hyper(step, rate)
        sparse = len(x_cols) > 0 or x_indptr[-1] == 0
        if mode == "hogwild":
            self._update_hogwild(by_row, groups, coef, sparse, hyper, threads, change)
        elif sparse:
            self._update_sparse(by_row, groups, coef, hyper, threads, change)
        else:
            scratch = self._scratch.get("grad", (threads, _update.scratch_size(self.w.shape[1])))
            change.call(_update.update_rows, self.rows, by_row, groups, coef, hyper, self.seed, step, scratch, threads)
        if commit is None:
            change.run()
        return by_row

    def _update_sparse(self, by_row, groups, coef, hyper, threads, change):
        s, width = self._scratch, self.w.shape[1]
        change.call(
            _update.update_sparse_rows, self.rows, by_row, groups, coef, hyper, s.get("sparse", (threads, 5, width)),
            s.get("column_place", (threads, width), np.int32, fill=-1), s.get("columns", (threads, width), np.int32),
            threads,
        )  # fmt: skip

    def _update_hogwild(self, by_row, groups, coef, sparse, hyper, threads, change):
        s = self._scratch
        row_ptr = offsets(by_row.n_touched)
        place = s.get("place", (len(coef),), np.int32)
        grad, bias_grad = s.get("grads", (row_ptr[-1], self.w.shape[1])), s.get("bias_grads", (row_ptr[-1],))
        _hogwild.place_rows(by_row, row_ptr, place, grad, bias_grad, threads)
        _hogwild.accumulate_rows(groups, place, coef, grad, bias_grad, threads)
        change.call(_hogwild.apply_rows, self.rows, by_row, row_ptr, grad, bias_grad, sparse, hyper, threads)

    def update_by_rows(self, ids, grads, step, rate, threads, commit) -> None:
        """Adds to the commit the optimizer on rows with gradients from elsewhere; biases stay.

        ids    int32 (n,), which may repeat; grads float32 (n, width): gradients of one row are summed
        """
        n, width = grads.shape
        ones, at = np.ones((n, 1), np.float32), np.arange(n + 1, dtype=np.int64)
        groups = Groups(at, ids, at * width, NO_IDS, grads.reshape(-1), 1)
        by_row = self.transpose(ActiveSet(at, ids), threads)
        scratch = self._scratch.get("grad", (threads, _update.scratch_size(width)))
        rows, hyper = Float32Rows(self.w, self.m, self.v, self.bias[:0]), self.optimizer.hyper(step, rate)
        commit.call(_update.update_rows, rows, by_row, groups, ones, hyper, self.seed, step, scratch, threads)

    def update_all(self, grad, bias_grad, step: int, rate: float, threads: int, commit: Commit | None = None) -> None:
        """The optimizer on every row; grad (n_rows, width), bias_grad (n_rows,). commit: as for `update`."""
        hyper, change = self.optimizer.hyper(step, rate), commit or Commit()
        change.call(_optimizer.step_rows, self.w, self.m, self.v, grad, self.adam, hyper, threads)
        if self.bias.size:
            bias, m, v = (self.bias[i : i + 1] for i in range(3))
            no_decay = (*hyper[:4], 0.0)
            change.call(_optimizer.step_rows, bias, m, v, bias_grad.reshape(1, -1), self.adam, no_decay, 1)
        if commit is None:
            change.run()


@dataclass
class SoftmaxStages:
    """A softmax whose active rows may be shared out over ranks: `at_once`, or `open` and, with all sums, `close`.

    given   what `softmax.softmax_rows` takes
    n       samples
    sizes   (groups,): of all active sets; over ranks they are added up
    """

    given: tuple[Any, ...]
    n: int
    sizes: np.ndarray

    def at_once(self) -> None:
        _softmax.softmax_rows(*self.given)

    def open(self) -> tuple[np.ndarray, ...]:
        """float32: of each sample the largest logit, the sum of exponentials less that, and the sum of its labels'
        logits; of each group the mass of its weights, and its size. Rank by rank these are put together."""
        sums, mass = np.empty((3, self.n), np.float32), np.empty(len(self.sizes), np.float32)
        _softmax.open_rows(*(*self.given, sums, mass))
        return *sums, mass, self.sizes.astype(np.float32)

    def close(self, most, total, labels, mass, sizes) -> None:
        self.sizes = sizes
        _softmax.close_rows(*(*self.given, np.stack([most, total, labels]), np.ascontiguousarray(mass)))


class BFloat16Weights(Weights):
    """Weights whose w is stored as bfloat16, and m and v too where moment_type is; biases stay float32.

    Arithmetic is float32: see slide/_kernels/bfloat16.pyx, also for how results are rounded (w and v at random, by
    `seed`, m to the nearest). Every row has a bias, inputs are dense, and rows have owners.
    """

    def __init__(
        self, n_rows, width, optimizer, std, rng, huge_pages=True, moment_type="float32", exchange=ALONE
    ):
        self.types = np.uint16, TYPES[moment_type]
        super().__init__(n_rows, width, optimizer, std, rng, True, huge_pages, exchange)

    def _draw(self, w, std, rng):
        for part in blocks(w):
            values = np.zeros(w[part].shape, np.float32)
            fill_normal(values, std, rng)
            w[part] = narrow(values)

    def _kernel_rows(self):
        return _bfloat16.BFloat16Rows(self.w, self.m, self.v, self.bias)

    def _room(self, threads):
        return self._scratch.get("room", (threads, _bfloat16.room_size(self.w.shape[1])))


def groups_of(active, block) -> Groups:
    """What the forward kernels read of an ActiveSet and a LaneBlock."""
    values = block.values
    return Groups(active.indptr, active.ids, block.indptr, block.ids, values.reshape(-1), values.shape[1])


def weight_types(n_rows, width, optimizer, with_bias=True, types=(np.float32, np.float32)) -> dict:
    """{name: (dtype, shape)} of the arrays of Weights; types: of w, and of m and v."""
    moments = n_rows if optimizer.name == "adam" else 0
    return {
        "w": (types[0], (n_rows, width)), "m": (types[1], (moments, width)), "v": (types[1], (moments, width)),
        "bias": (np.float32, (3, n_rows) if with_bias else (0, 0)),
    }  # fmt: skip


def is_finite(values: np.ndarray) -> bool:
    """Of float32, or of the bits of bfloat16."""
    if values.dtype == np.uint16:
        return bool(((values & 0x7F80) != 0x7F80).all())
    return bool(np.isfinite(values).all())


def is_negative(values: np.ndarray) -> bool:
    """Whether any is, of float32 or of the bits of bfloat16."""
    return bool(((values > 0x8000) if values.dtype == np.uint16 else (values < 0)).any())


def touched_count(by_row: PairsByRow) -> int:
    """How many rows an update of these pairs touches."""
    return int(np.sum(by_row.n_touched))


def touched_ids(by_row: PairsByRow) -> np.ndarray:
    """Which ones: int32, unordered, unique."""
    rows = np.asarray(by_row.rows)
    parts = [rows[low : low + n] for low, n in zip(by_row.part_ptr[:-1], by_row.n_touched, strict=True) if n]
    return np.concatenate(parts) if parts else NO_IDS


def fill_normal(w: np.ndarray, std: float, rng: np.random.Generator) -> None:
    """Fills w with N(0, std**2), in slices so that no second array of its size is made."""
    rows = max(1, (1 << 22) // max(w.shape[1], 1))
    for low in range(0, len(w) if std > 0 else 0, rows):
        part = w[low : low + rows]
        rng.standard_normal(part.shape, dtype=np.float32, out=part)
        part *= std
