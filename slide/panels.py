"""Panels: the form in which the kernels take the common factor of blocked matrix products."""

import numpy as np

from slide._kernels import vec as _vec

LINE = 16  # floats in a cache line


def pack(x: np.ndarray) -> np.ndarray:
    """float32 (panels, rows, width): the columns of x (rows, columns) in panels side by side, zeros in the last."""
    rows, columns = x.shape
    width = _vec.panel()
    n = -(-columns // width)
    out = np.zeros((rows, n * width), dtype=np.float32)
    out[:, :columns] = x
    return np.ascontiguousarray(out.reshape(rows, n, width).transpose(1, 0, 2))


def stride(columns: int) -> int:
    """Floats from row to row, at least `columns`: an odd number of cache lines, so that rows share no cache set."""
    lines = -(-columns // LINE)
    return LINE * (lines + 1 - lines % 2)
