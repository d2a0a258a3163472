"""Panels: the form in which the kernels take the common factor of blocked matrix products."""

import numpy as np

from slide._kernels.simd import vec as _vec

LINE_FLOATS = 16  # of a cache line


def pack(x: np.ndarray) -> np.ndarray:
    """float32 (panels, rows, width): the columns of x (rows, columns) in panels side by side, zeros in the last."""
    rows, columns = x.shape
    width = _vec.panel()
    n = -(-columns // width)
    out = np.zeros((n, rows, width), dtype=np.float32)
    for p, panel in enumerate(out):
        part = x[:, p * width : (p + 1) * width]
        panel[:, : part.shape[1]] = part
    return out


def stride(columns: int) -> int:
    """Floats from row to row, at least `columns`: an odd number of cache lines, so that rows share no cache set."""
    lines = -(-columns // LINE_FLOATS)
    return LINE_FLOATS * (lines + 1 - lines % 2)
