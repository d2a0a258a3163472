"""What a machine can do at best: bytes per second of its memory, as a sampled layer uses it, and matrix products."""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from slide._kernels import bandwidth as _bandwidth
from slide.machine import memory
from slide.machine.threads import check_threads

TASK_ROWS = 1000  # rows that one thread sums before it takes the next


def measure_bandwidth(threads=None, n_rows=500_000, width=128, touched=40_000, repeats=7, seed=0) -> dict:
    """Gigabytes per second, the best of `repeats`:

    read     rows of `width` floats one after the other, all n_rows of them
    gather   `touched` rows at random
    update   `touched` rows at random of three matrices (weights and two moments), read and written; both count

    The matrices are on huge pages where the system has them, as those of a layer are.
    """
    threads = check_threads(threads)
    rng = np.random.default_rng(seed)
    w, m, v = (memory.zeros((n_rows, width)) for _ in range(3))
    for matrix in (w, m, v):
        matrix[...] = 1.0
    in_order = np.arange(n_rows // TASK_ROWS * TASK_ROWS, dtype=np.int32)
    whole = touched // TASK_ROWS * TASK_ROWS
    draws = [rng.choice(n_rows, whole, replace=False).astype(np.int32) for _ in range(repeats)]
    row = 4 * width
    return {
        "read": _best(lambda ids: _sum(w, ids, threads), [in_order] * repeats, row),
        "gather": _best(lambda ids: _sum(w, ids, threads), draws, row),
        "update": _best(lambda ids: _bandwidth.scale_rows(w, m, v, ids, 1.0, threads), draws, 6 * row),
    }


def _sum(w, ids, threads):
    out = np.zeros((len(ids) // TASK_ROWS, w.shape[1]), np.float32)
    _bandwidth.sum_rows(w, ids, np.ones(TASK_ROWS, np.float32), out, threads)


def _best(function, draws, bytes_a_row):
    rates = []
    for ids in draws:
        start = time.perf_counter()
        function(ids)
        rates.append(len(ids) * bytes_a_row / (time.perf_counter() - start) / 1e9)
    return max(rates)


def measure_products(threads=None, size=2048, repeats=5, seed=0) -> float:
    """The best rate of NumPy's float32 product of two matrices (size x size), in GFLOP/s."""
    a, b = np.random.default_rng(seed).standard_normal((2, size, size), dtype=np.float32)
    out, seconds = np.empty_like(a), []
    with threadpool_limits(check_threads(threads), user_api="blas"):
        for _ in range(repeats):
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(seconds) / 1e9
