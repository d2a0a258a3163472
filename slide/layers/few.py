"""All logits of a few rows, a row at a time: panels of a blocked product would be nearly empty.

A part of the weights that fits into a second-level cache serves all of them, and threads share the parts: one row takes
about as long as reading the weights once.
"""

import numpy as np

from slide._kernels import topk as _topk
from slide.layers.lane_block import LaneBlock
from slide.rows import ActiveSet

FEW_ROWS = 2  # at most; of more a panel is the faster
PART_BYTES = 1 << 20  # of float32 weights
HELD = 1 << 20  # logits at once


def few_logits(parameters, x: np.ndarray, scratch, threads: int):
    """Yields (neurons, z): an ActiveSet of some neurons, `size` of them a part, and z float32 (parts, n, size), their
    logits of x float32 (n, width). z is valid until the next."""
    n_neurons, width = parameters.w.shape
    n, first = len(x), 0
    part = max(1, min(n_neurons, PART_BYTES // (4 * width)))
    most = max(1, HELD // (part * n))
    while first < n_neurons:
        size = min(part, n_neurons - first)
        parts = min(most, (n_neurons - first) // size)
        z = scratch.get("few", (parts, n, size))
        neurons, block = _neurons(first, *z.shape), LaneBlock.from_dense(np.tile(x, (parts, 1)), 1, scratch, threads)
        parameters.forward(neurons, block, False, z.reshape(-1, 1), threads)
        yield neurons, z
        first += parts * size


def _neurons(first, parts, n, size) -> ActiveSet:
    """The neurons of each part once for every row."""
    ids = np.arange(first, first + parts * size, dtype=np.int32).reshape(parts, 1, size)
    indptr = np.arange(parts * n + 1, dtype=np.int64) * size
    return ActiveSet(indptr, np.broadcast_to(ids, (parts, n, size)).reshape(-1))


def few_topk(parameters, x: np.ndarray, k: int, scratch, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """(values, ids), (n, k): the k largest logits of each row among all neurons, ties to the smaller id."""
    n, found = len(x), []
    for neurons, z in few_logits(parameters, x, scratch, threads):
        kept = min(k, z.shape[2])
        best = _best(neurons, z, kept, threads)
        found.append([array.reshape(-1, n, kept).swapaxes(0, 1).reshape(n, -1) for array in best])
    values, ids = (np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
    indptr = np.arange(n + 1, dtype=np.int64) * ids.shape[1]
    return _best(ActiveSet(indptr, ids.reshape(-1)), values, k, threads)


def _best(candidates, z, k, threads):
    values = np.full((len(candidates), k), -np.inf, np.float32)
    ids = np.full((len(candidates), k), -1, np.int32)
    _topk.topk_active(candidates.indptr, candidates.ids, z.reshape(-1, 1), values, ids, threads)
    return values, ids


def few_log_normalisers(parameters, x: np.ndarray, scratch, threads: int) -> np.ndarray:
    """float64 (n,): the logarithm of the sum of exp(logit) over all neurons."""
    running = np.full(len(x), -np.inf)
    for _, z in few_logits(parameters, x, scratch, threads):
        top = z.max(axis=2, keepdims=True)
        sums = np.log(np.exp(z - top).sum(axis=2, dtype=np.float64)) + top[:, :, 0]
        running = np.logaddexp(running, np.logaddexp.reduce(sums, axis=0))
    return running
