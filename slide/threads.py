"""How many threads the kernels use: one rule for the whole package."""

import os

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
