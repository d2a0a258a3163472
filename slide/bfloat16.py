"""bfloat16: the upper half of a float32, its 16 bits in a uint16. Stored so, weights take half the memory."""

import numpy as np

from slide._kernels import bfloat16 as _bfloat16

TYPES = {"float32": np.float32, "bfloat16": np.uint16}
BLOCK_ROWS = 1 << 14  # rows that are widened at a time: a few megabytes


def widen(rows: np.ndarray, threads: int = 1) -> np.ndarray:
    """float32 (n, d) of bits (n, d); an array of float32 is returned itself."""
    if rows.dtype == np.float32:
        return rows
    out = np.empty(rows.shape, np.float32)
    _bfloat16.widen_rows(rows, out, threads)
    return out


def narrow(rows: np.ndarray, threads: int = 1) -> np.ndarray:
    """The bits (n, d) nearest to float32 (n, d), ties to even; NaN stays NaN."""
    out = np.empty(rows.shape, np.uint16)
    _bfloat16.narrow_rows(rows, out, threads)
    return out


def blocks(rows: np.ndarray):
    """Slices of the rows of a matrix that may be widened one at a time; of float32 one slice of all."""
    step = len(rows) if rows.dtype == np.float32 else BLOCK_ROWS
    return [slice(low, min(low + step, len(rows))) for low in range(0, len(rows), max(step, 1))]
