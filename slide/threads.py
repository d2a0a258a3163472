"""How many threads the kernels use, and NumPy's BLAS beside them: one rule for the whole package."""

import os
from functools import cache

from threadpoolctl import ThreadpoolController

from slide.checks import check_integer


def available_threads() -> int:
    """The number of CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """`threads` as a positive int; None means every available CPU.

    Raises ValueError where it is not a positive integer.
    """
    if threads is None:
        return available_threads()
    return check_integer("threads", threads)


@cache
def _controller() -> ThreadpoolController:
    # Looking up the loaded libraries takes a millisecond: once is enough, NumPy is loaded by then.
    return ThreadpoolController()


def one_blas_thread():
    """A context in which every BLAS call runs on the thread that makes it: one thread adds in one order, and the
    kernels have threads of their own."""
    return _controller().limit(limits=1, user_api="blas")
