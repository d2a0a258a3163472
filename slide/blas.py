"""BLAS on one thread: the kernels have threads of their own, and one thread adds in one order."""

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    # Looking up the loaded libraries takes a millisecond: once is enough, NumPy is loaded by then.
    return ThreadpoolController()


def one_blas_thread():
    """A context in which every BLAS call runs on the thread that makes it."""
    return _controller().limit(limits=1, user_api="blas")
