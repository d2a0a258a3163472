"""Processes that fork: OpenMP's threads do not come along, and a child that waits for them waits for ever.

So they end before a fork, and parent and child start their own when they next need some. Where the OpenMP at hand
cannot end them, or somebody forks unseen by Python, the child's loops run on one thread.
"""

import os
import warnings

from slide._kernels.openmp import release_threads, stay_alone

_released = False


def _before():
    global _released
    _released = release_threads()


def _in_parent():
    global _released
    _released = False


def _in_child():
    global _released
    if not _released:
        stay_alone()
        warnings.warn(
            "slide: this process was forked after threads had run, which its OpenMP cannot start again: it runs on one "
            "thread (start processes by 'spawn' or 'forkserver', or load the network in the child)",
            RuntimeWarning,
            stacklevel=2,
        )
    _released = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
