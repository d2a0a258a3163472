"""Arrays for weights, moments and tables: zeroed, aligned, on huge pages where the system has them."""

import math
import mmap

import numpy as np

HUGE_PAGE = 2 << 20


def zeros(shape, dtype=np.float32, huge_pages=True) -> np.ndarray:
    """A zeroed C-contiguous array aligned to 64 bytes, or to 2 MB and advised to use huge pages if it is that large.

    Transparent huge pages are asked for with madvise(2); where the system has none, plain pages serve silently.
    (MLSys 2020, appendix D, reserves 1 GB pages instead, and crashes without them.)
    """
    dtype = np.dtype(dtype)
    n_bytes = math.prod(np.atleast_1d(shape).tolist()) * dtype.itemsize
    if huge_pages and n_bytes >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # Private: a shared mapping gets no huge pages by madvise, and a forked child would write into its parent's.
        region = mmap.mmap(-1, n_bytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            region.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass
        buffer, alignment = np.frombuffer(region, dtype=np.uint8), HUGE_PAGE
    else:
        buffer, alignment = np.zeros(n_bytes + 64, dtype=np.uint8), 64
    start = -buffer.ctypes.data % alignment
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)


class Scratch:
    """Named work arrays that are allocated once and grow when a larger batch comes.

    Contents are undefined, but for arrays of `fill` whose users leave them as they were.
    """

    def __init__(self):
        self._buffers: dict[str, np.ndarray] = {}

    def get(self, name: str, shape, dtype=np.float32, fill=0) -> np.ndarray:
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size or buffer.dtype != dtype:
            # A little more than asked for: active sets change their size from batch to batch.
            buffer = self._buffers[name] = zeros(max(size + size // 4, 1), dtype)
            if fill:
                buffer[...] = fill
        return buffer[:size].reshape(shape)
