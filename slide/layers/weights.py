"""The rows of one layer: weights, biases, optimizer state, and the update that gives each row one owner."""

import numpy as np

from slide import memory
from slide._kernels import bfloat16 as _bfloat16
from slide._kernels import forward as _forward
from slide._kernels import hogwild as _hogwild
from slide._kernels import lookup as _lookup
from slide._kernels import optimizer as _optimizer
from slide._kernels import softmax as _softmax
from slide._kernels import transpose as _transpose
from slide._kernels import update as _update
from slide.bfloat16 import TYPES, blocks, narrow
from slide.layers.lane_block import NO_IDS
from slide.rows import ActiveSet, offsets

UPDATES = ("rows", "hogwild")


class Weights:
    """n_rows rows of `width` float32 weights, each with a bias if asked, and the optimizer's moments.

    w      (n_rows, width)
    bias   (3, n_rows): value, first and second moment; no columns where rows have no bias
    m, v   as w; no rows with SGD
    """

    types = np.float32, np.float32  # of w; of m and v
    seed = 0  # of what is random in an update

    def __init__(self, n_rows, width, optimizer, std, rng, with_bias=True, huge_pages=True):
        self.optimizer = optimizer
        self.adam = optimizer.name == "adam"
        self.w = memory.zeros((n_rows, width), self.types[0], huge_pages)
        self._fill(std, rng)
        moments = n_rows if self.adam else 0
        self.m = memory.zeros((moments, width), self.types[1], huge_pages)
        self.v = memory.zeros((moments, width), self.types[1], huge_pages)
        self.bias = memory.zeros((3, n_rows) if with_bias else (0, 0), huge_pages=huge_pages)
        self._scratch = memory.Scratch()

    def _fill(self, std, rng):
        fill_normal(self.w, std, rng)

    def state(self) -> dict[str, np.ndarray]:
        return {"w": self.w, "m": self.m, "v": self.v, "bias": self.bias}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name, array in self.state().items():
            found = state[name]
            if found.shape != array.shape or found.dtype != array.dtype:
                raise ValueError(
                    f"{name}: found {found.dtype} of shape {found.shape}, expected {array.dtype} of {array.shape}"
                )
            array[...] = found

    def update_all(self, grad: np.ndarray, bias_grad: np.ndarray, step: int, rate: float, threads: int) -> None:
        """The optimizer on every row; grad (n_rows, width), bias_grad (n_rows,)."""
        hyper = self.optimizer.hyper(step, rate)
        _optimizer.step_rows(self.w, self.m, self.v, grad, self.adam, hyper, threads)
        if self.bias.size:
            bias, m, v = (self.bias[i : i + 1] for i in range(3))
            no_decay = (*hyper[:4], 0.0)
            _optimizer.step_rows(bias, m, v, bias_grad.reshape(1, -1), self.adam, no_decay, 1)

    def lookup(self, x, bias, out, threads) -> tuple:
        """out = ReLU(x @ w + bias) of SparseRows x; returns the plan of `update` for its columns, made meanwhile."""
        rows = x.indptr, x.ids, x.values, self.w, bias, True, out
        if not 0 < len(x.ids) < _transpose.ALONE:
            _lookup.lookup_rows(*rows, threads)
            return self.transpose(ActiveSet(x.indptr, x.ids), threads)
        plan = self._plan(len(x.ids))
        _lookup.lookup_and_sort_rows(*rows, *self._sorting(len(x.ids)), *plan, threads)
        return plan

    def forward(self, active, block, relu, out, threads) -> None:
        """Logits of every group's active rows, or their ReLU: out (pairs, lanes), of the inputs in a LaneBlock."""
        _forward.forward_rows(
            self.w, self.bias[0], active.indptr, active.ids, block.indptr, block.ids, block.values, relu, out, threads
        )

    def input_gradient(self, active, block, delta, dx, threads) -> None:
        """dx, shaped as block.values, of the gradients delta (pairs, lanes) of the active rows."""
        _forward.input_gradient_rows(
            self.w, active.indptr, active.ids, block.indptr, block.ids, delta, dx,
            self._gradient_work(active, block, threads), threads,
        )  # fmt: skip

    def _gradient_work(self, active, block, threads):
        size = _forward.work_size(active.indptr, block.indptr, block.values.shape[1], threads)
        return self._scratch.get("work", (size,))

    def softmax(self, active, block, weights, label_ptr, slots, scale, smooth, delta, dx, loss, threads) -> None:
        """Forward, softmax over the active rows and its gradients: see `softmax.softmax_rows`."""
        _softmax.softmax_rows(
            self.w, self.bias[0], active.indptr, active.ids, block.indptr, block.ids, block.values, weights,
            label_ptr, slots, block.group_size, scale, smooth, delta, dx, loss,
            self._softmax_work(active, block, dx, threads), threads,
        )  # fmt: skip

    def _softmax_work(self, active, block, dx, threads):
        size = _softmax.work_size(active.indptr, block.indptr, block.values.shape[1], len(dx) > 0, threads)
        return self._scratch.get("work", (size,))

    def transpose(self, active, threads) -> tuple:
        """Which groups wanted each row, from an ActiveSet: what `update` takes as its plan, valid until the next."""
        plan = self._plan(len(active.ids))
        _transpose.transpose_rows(
            active.indptr, active.ids, len(self.w),
            self._scratch.get("cursors", (len(active), _transpose.PARTS), np.int32), *self._sorting(len(active.ids)),
            *plan, threads,
        )  # fmt: skip
        return plan

    def _plan(self, pairs) -> tuple:
        """(part_ptr, n_touched, touched, pairs): where `transpose.transpose_rows` puts its result."""
        s, parts = self._scratch, _transpose.PARTS
        return (
            s.get("part_ptr", (parts + 1,), np.int64), s.get("n_touched", (parts,), np.int32),
            s.get("touched", (3, pairs), np.int32), s.get("by_row", (2, pairs), np.int32),
        )  # fmt: skip

    def _sorting(self, pairs) -> tuple:
        """Its scratch: keys and groups."""
        return self._scratch.get("keys", (2, pairs), np.uint64), self._scratch.get("group_of", (pairs,), np.int32)

    def update(self, active, coef, x_indptr, x_cols, x, step, rate, threads, mode="rows", plan=None) -> tuple:
        """The optimizer on the rows that groups wanted; returns the plan, which `touched_ids` reads.

        active    ActiveSet: the rows of each group
        coef      (pairs, lanes): for each entry of active, the factor of each of the group's samples
        x_indptr  int64 (groups + 1), x_cols: the columns of each group's inputs (see LaneBlock)
        x         flat float32: group g's inputs, lanes x columns, at x_indptr[g] * lanes
        mode      "rows": each row has one owner, the result is the same on any number of threads; "hogwild"
        plan      of `transpose` or `lookup`, if that was called for this batch already
        """
        plan = plan or self.transpose(active, threads)
        hyper = self.optimizer.hyper(step, rate)
        self._update(active, plan, coef, (x_indptr, x_cols, x), hyper, step, threads, mode)
        return plan

    def _update(self, active, plan, coef, inputs, hyper, step, threads, mode):
        s = self._scratch
        x_indptr, x_cols, x = inputs
        sparse = len(x_cols) > 0 or x_indptr[-1] == 0
        if mode == "hogwild":
            self._update_hogwild(active, plan, coef, inputs, sparse, hyper, threads)
        elif sparse:
            width = self.w.shape[1]
            place = s.get("column_place", (threads, width), np.int32, fill=-1)
            columns = s.get("columns", (threads, width), np.int32)
            _update.update_sparse_rows(
                *plan, coef, *inputs, self.w, self.m, self.v, self.bias, self.adam, hyper,
                s.get("sparse", (threads, 5, width)), place, columns, threads,
            )  # fmt: skip
        else:
            _update.update_rows(
                *plan, coef, x_indptr, x, self.w, self.m, self.v, self.bias, self.adam, hyper,
                s.get("grad", (threads, _update.ROWS_BESIDE * (self.w.shape[1] + 1))), threads,
            )  # fmt: skip

    def _update_hogwild(self, active, plan, coef, inputs, sparse, hyper, threads):
        s = self._scratch
        part_ptr, n_touched, touched, by_row = plan
        row_ptr = offsets(n_touched)
        place = s.get("place", (len(active.ids),), np.int32)
        grad, bias_grad = s.get("grads", (row_ptr[-1], self.w.shape[1])), s.get("bias_grads", (row_ptr[-1],))
        _hogwild.place_rows(part_ptr, row_ptr, touched, by_row, place, grad, bias_grad, threads)
        _hogwild.accumulate_rows(active.indptr, place, coef, *inputs, grad, bias_grad, threads)
        _hogwild.apply_rows(
            part_ptr, row_ptr, touched, grad, bias_grad, sparse, self.w, self.m, self.v, self.bias, self.adam,
            hyper, threads,
        )  # fmt: skip


class BFloat16Weights(Weights):
    """Weights whose w is stored as bfloat16, and m and v too where moment_type is; biases stay float32.

    Arithmetic is float32: see slide/_kernels/bfloat16.pyx, also for how results are rounded (w and v at random, by
    `seed`, m to the nearest). Every row has a bias, inputs are dense, and rows have owners.
    """

    def __init__(self, n_rows, width, optimizer, std, rng, huge_pages=True, moment_type="float32"):
        self.types = np.uint16, TYPES[moment_type]
        super().__init__(n_rows, width, optimizer, std, rng, True, huge_pages)

    def _fill(self, std, rng):
        for part in blocks(self.w):
            values = np.zeros(self.w[part].shape, np.float32)
            fill_normal(values, std, rng)
            self.w[part] = narrow(values)

    def _tile(self, threads):
        return self._scratch.get("tile", (threads, _bfloat16.TILE_ROWS * (self.w.shape[1] + 1)))

    def forward(self, active, block, relu, out, threads):
        _bfloat16.forward_rows(
            self.w, self.bias[0], active.indptr, active.ids, block.indptr, block.values, relu, out,
            self._tile(threads), threads,
        )  # fmt: skip

    def input_gradient(self, active, block, delta, dx, threads):
        _bfloat16.input_gradient_rows(
            self.w, active.indptr, active.ids, block.indptr, delta, dx, self._gradient_work(active, block, threads),
            self._tile(threads), threads,
        )  # fmt: skip

    def softmax(self, active, block, weights, label_ptr, slots, scale, smooth, delta, dx, loss, threads):
        _bfloat16.softmax_rows(
            self.w, self.bias[0], active.indptr, active.ids, block.indptr, block.values, weights,
            label_ptr, slots, block.group_size, scale, smooth, delta, dx, loss,
            self._softmax_work(active, block, dx, threads), self._tile(threads), threads,
        )  # fmt: skip

    def _update(self, active, plan, coef, inputs, hyper, step, threads, mode):
        x_indptr, _, x = inputs
        width = self.w.shape[1]
        work = _update.ROWS_BESIDE * (width + 1) + width
        _bfloat16.update_rows(
            *plan, coef, x_indptr, x, self.w, self.m, self.v, self.bias, self.adam, hyper, step, self.seed,
            self._scratch.get("rows", (threads, work)), threads,
        )  # fmt: skip


def touched_count(plan) -> int:
    return int(plan[1].sum())


def touched_ids(plan) -> np.ndarray:
    """The rows that a plan of `Weights.transpose` updates: int32, unordered, unique."""
    part_ptr, n_touched, touched, _ = plan
    parts = [touched[0, low : low + n] for low, n in zip(part_ptr[:-1], n_touched, strict=True) if n]
    return np.concatenate(parts) if parts else NO_IDS


def fill_normal(w: np.ndarray, std: float, rng: np.random.Generator) -> None:
    """Fills w with N(0, std**2), in slices so that no second array of its size is made."""
    rows = max(1, (1 << 22) // max(w.shape[1], 1))
    for low in range(0, len(w) if std > 0 else 0, rows):
        part = w[low : low + rows]
        rng.standard_normal(part.shape, dtype=np.float32, out=part)
        part *= std
