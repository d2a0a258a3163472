"""Arrays for weights, moments and tables: zeroed, aligned, on huge pages where the system has them."""

import math
import mmap
import threading

import numpy as np

HUGE_PAGE = 2 << 20


def zeros(shape, dtype=np.float32, huge_pages=True) -> np.ndarray:
    """A zeroed C-contiguous array aligned to 64 bytes, or to 2 MB where it is that large.

    Large ones are advised with madvise(2) to use transparent huge pages, or with huge_pages=False not to: NumPy's own
    arrays ask for them too. Where the system has none, plain pages serve silently. (MLSys 2020, appendix D, reserves
    1 GB pages instead, and crashes without them.) The system hands out a page when it is first written to, which takes
    longer than a batch where pages are huge: that is done here, for all of them.

    Raises MemoryError, saying how much was asked for, where there is not so much.
    """
    dtype = np.dtype(dtype)
    n_bytes = math.prod(np.atleast_1d(shape).tolist()) * dtype.itemsize
    try:
        aligned = _aligned(n_bytes, getattr(mmap, "MADV_HUGEPAGE" if huge_pages else "MADV_NOHUGEPAGE", None))
    except (MemoryError, OSError, OverflowError, ValueError) as error:
        raise MemoryError(f"found no memory for {n_bytes / 1e9:.3g} GB, an array of shape {shape} ({error})") from error
    aligned[:: mmap.PAGESIZE] = 0
    return aligned.view(dtype).reshape(shape)


def _aligned(n_bytes, advice):
    """uint8 (n_bytes,), zero: mapped with that advice, where there is one, from a huge page on."""
    if n_bytes >= HUGE_PAGE and advice is not None:
        # Private: a shared mapping gets no huge pages by madvise, and a forked child would write into its parent's.
        region = mmap.mmap(-1, n_bytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            region.madvise(advice)
        except OSError:
            pass
        buffer, alignment = np.frombuffer(region, dtype=np.uint8), HUGE_PAGE
    else:
        buffer, alignment = np.zeros(n_bytes + 64, dtype=np.uint8), 64
    start = -buffer.ctypes.data % alignment
    return buffer[start : start + n_bytes]


class Scratch(threading.local):
    """Named work arrays that are allocated once and grow when a larger batch comes, of each Python thread its own.

    Contents are undefined, but for arrays of `fill` whose users leave them as they were.
    """

    def __init__(self):
        self._buffers: dict[str, np.ndarray] = {}

    def __reduce__(self):
        return Scratch, ()

    def get(self, name: str, shape, dtype=np.float32, fill=0) -> np.ndarray:
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size or buffer.dtype != dtype:
            # A little more than asked for: active sets change their size from batch to batch.
            buffer = zeros(max(size + size // 4, 1), dtype)
            if fill:
                buffer[...] = fill
            self._buffers[name] = buffer  # not before it is filled: an exception may come at any time
        return buffer[:size].reshape(shape)
