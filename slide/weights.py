"""The rows of one layer: weights, biases, optimizer state, and the update that gives each row one owner."""

import numpy as np

from slide import memory
from slide._kernels import hogwild as _hogwild
from slide._kernels import optimizer as _optimizer
from slide._kernels import update as _update
from slide.blocks import NO_IDS
from slide.rows import offsets

UPDATES = ("rows", "hogwild")


class Weights:
    """n_rows rows of `width` float32 weights, each with a bias if asked, and the optimizer's moments.

    w      (n_rows, width)
    bias   (3, n_rows): value, first and second moment; no columns where rows have no bias
    m, v   as w; no rows with SGD
    last   int32 (n_rows,): the step that last touched a row; empty unless moments decay
    """

    def __init__(self, n_rows, width, optimizer, std, rng, with_bias=True, huge_pages=True):
        self.optimizer = optimizer
        self.adam = optimizer.name == "adam"
        self.w = memory.zeros((n_rows, width), huge_pages=huge_pages)
        fill_normal(self.w, std, rng)
        moments = n_rows if self.adam else 0
        self.m = memory.zeros((moments, width), huge_pages=huge_pages)
        self.v = memory.zeros((moments, width), huge_pages=huge_pages)
        self.bias = memory.zeros((3, n_rows) if with_bias else (0, 0), huge_pages=huge_pages)
        decayed = self.adam and optimizer.moments == "decayed"
        self.last = np.zeros(n_rows if decayed else 0, dtype=np.int32)
        self._slot_of = np.full(n_rows, -1, dtype=np.int32)
        self._scratch = memory.Scratch()

    def state(self) -> dict[str, np.ndarray]:
        return {"w": self.w, "m": self.m, "v": self.v, "bias": self.bias, "last": self.last}

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

    def transpose(self, active, threads) -> tuple:
        """Which groups wanted each row, from an ActiveSet: what `update` takes as its plan, valid until the next."""
        s = self._scratch
        pairs, n_groups = len(active.ids), len(active)
        part_ptr = s.get("part_ptr", (_update.PARTS + 1,), np.int64)
        n_touched = s.get("n_touched", (_update.PARTS,), np.int32)
        touched = s.get("touched", (3, pairs), np.int32)
        by_row = s.get("by_row", (2, pairs), np.int32)
        _update.transpose_rows(
            active.indptr, active.ids, s.get("cursors", (n_groups, _update.PARTS), np.int32), part_ptr,
            s.get("by_part", (3, pairs), np.int32), self._slot_of, touched, n_touched, by_row, threads,
        )  # fmt: skip
        return part_ptr, n_touched, touched, by_row

    def update(self, active, coef, x_indptr, x_cols, x, step, rate, threads, mode="rows", plan=None) -> np.ndarray:
        """The optimizer on the rows that groups wanted; returns their ids (int32, unordered, unique).

        active    ActiveSet: the rows of each group
        coef      (pairs, lanes): for each entry of active, the factor of each of the group's samples
        x_indptr  int64 (groups + 1), x_cols: the columns of each group's inputs (see LaneBlock)
        x         flat float32: group g's inputs, lanes x columns, at x_indptr[g] * lanes
        mode      "rows": each row has one owner, the result is the same on any number of threads; "hogwild"
        plan      of `transpose`, if that was called for this batch already
        """
        s = self._scratch
        part_ptr, n_touched, touched, _ = plan = plan or self.transpose(active, threads)
        inputs = (x_indptr, x_cols, x)
        sparse = len(x_cols) > 0 or x_indptr[-1] == 0
        hyper = self.optimizer.hyper(step, rate)
        if mode == "hogwild":
            self._update_hogwild(active, plan, coef, inputs, sparse, hyper, step, threads)
        elif sparse:
            width = self.w.shape[1]
            place = s.get("column_place", (threads, width), np.int32, fill=-1)
            columns = s.get("columns", (threads, width), np.int32)
            _update.update_sparse_rows(
                *plan, coef, *inputs, self.w, self.m, self.v, self.bias, self.last, self.adam, hyper, step,
                s.get("sparse", (threads, 5, width)), place, columns, threads,
            )  # fmt: skip
        else:
            _update.update_rows(
                *plan, coef, x_indptr, x, self.w, self.m, self.v, self.bias, self.last, self.adam, hyper, step,
                s.get("grad", (threads, self.w.shape[1])), threads,
            )  # fmt: skip
        return _touched_ids(part_ptr, n_touched, touched)

    def _update_hogwild(self, active, plan, coef, inputs, sparse, hyper, step, threads):
        s = self._scratch
        part_ptr, n_touched, touched, by_row = plan
        row_ptr = offsets(n_touched)
        place = s.get("place", (len(active.ids),), np.int32)
        grad, bias_grad = s.get("grads", (row_ptr[-1], self.w.shape[1])), s.get("bias_grads", (row_ptr[-1],))
        _hogwild.place_rows(part_ptr, row_ptr, touched, by_row, place, grad, bias_grad, threads)
        _hogwild.accumulate_rows(active.indptr, place, coef, *inputs, grad, bias_grad, threads)
        _hogwild.apply_rows(
            part_ptr, row_ptr, touched, grad, bias_grad, sparse, self.w, self.m, self.v, self.bias, self.last,
            self.adam, hyper, step, threads,
        )  # fmt: skip


def _touched_ids(part_ptr, n_touched, touched):
    parts = [touched[0, low : low + n] for low, n in zip(part_ptr[:-1], n_touched, strict=True) if n]
    return np.concatenate(parts) if parts else NO_IDS


def fill_normal(w: np.ndarray, std: float, rng: np.random.Generator) -> None:
    """Fills w with N(0, std**2), in slices so that no second array of its size is made."""
    rows = max(1, (1 << 22) // max(w.shape[1], 1))
    for low in range(0, len(w) if std > 0 else 0, rows):
        part = w[low : low + rows]
        rng.standard_normal(part.shape, dtype=np.float32, out=part)
        part *= std
