"""The least time that each stage of a training step can take, by what the machine's memory and arithmetic allow.

A stage's floor is the larger of two times: the bytes that it must move over the bandwidth of their kind (rows read in
order, rows gathered at random, rows read and written at random: see `slide.machine.roofline`), and its
multiplications and additions over the rate of a large matrix product. Bytes are counted once per batch for every
distinct row.
"""

import numpy as np

STAGES = {
    "input": "input layer", "hash": "hash", "sample": "probe and select", "forward": "forward, softmax, hidden deltas",
    "transpose": "transpose", "update": "gradient and Adam", "input_update": "input layer's update",
    "rehash": "rehash, amortised", "rest": "rest (batches, Python)",
}  # fmt: skip
CACHE_LINE, ID = 64, 4  # bytes


def touched(network) -> list:
    """What the last batch touched: distinct features, distinct neurons, and neurons in the mean active set."""
    return [*(layer.touched for layer in network.layers), network.active]


def floors(ms, counts, network, nonzeros, rehashes, bandwidth, gflops) -> dict:
    """{stage: {"ms", "bytes", "flops", "floor_ms", "bound": what sets the floor}}, all per batch.

    ms         {stage: measured}
    counts     `touched` of the batches
    network    of one hidden layer and a sampled softmax
    nonzeros   features of a sample
    rehashes   rebuilds of all tables per batch
    bandwidth, gflops   of slide.machine.roofline.measure_bandwidth and measure_products
    """
    features, neurons, active = np.mean(counts, axis=0)
    batch, hidden, L = network.batch_size, network.layers[0].n_neurons, network.layers[-1].index.family.L
    row, pairs = 4 * hidden, active * batch / network.group_size
    products, first = 2.0 * active * batch * hidden, 2.0 * batch * nonzeros * hidden
    moved = {  # kind of access, bytes, multiplications and additions
        "input": ("gather", features * row, first),
        "hash": ("read", batch * row, 0.0),
        "sample": ("gather", batch * L * 2 * CACHE_LINE, 0.0),
        "forward": ("gather", pairs * row, 2 * products),
        "transpose": ("read", pairs * 8 * ID, 0.0),
        "update": ("update", neurons * 6 * row, products),
        "input_update": ("update", features * 6 * row, first),
        "rehash": ("read", rehashes * network.n_labels * (row + 3 * ID * L), 0.0),
        "rest": ("read", 0.0, 0.0),
    }
    return _least(moved, ms, bandwidth, gflops)


def full_floors(problem, batch, hidden, bandwidth, gflops) -> dict:
    """The same of a full softmax that updates its weights after all gradients are there, which then are read again.

    Bytes are those of the weights, their gradients and moments alone: that logits are written and read is left out, as
    a chunk of them may stay in the cache.
    """
    nonzeros = problem.train[0].nnz / problem.train[0].shape[0]
    row, products, first = 4 * hidden, 2.0 * batch * problem.n_labels * hidden, 2.0 * batch * nonzeros * hidden
    features = problem.n_features * (1 - (1 - nonzeros / problem.n_features) ** batch)
    matrix = problem.n_labels * row
    moved = {
        "input": ("gather", features * row, first),
        "forward": ("read", matrix, products),
        "backward": ("read", 2 * matrix, 2 * products),
        "update": ("update", 7 * matrix, 0.0),
        "input_update": ("update", features * 6 * row, first),
    }
    return _least(moved, {}, bandwidth, gflops)


def _least(moved, ms, bandwidth, gflops) -> dict:
    out = {}
    for stage, (kind, n_bytes, flops) in moved.items():
        times = {kind: n_bytes / bandwidth[kind] / 1e6, "arithmetic": flops / gflops / 1e6}
        bound = max(times, key=times.get)
        out[stage] = dict(ms=ms.get(stage, 0.0), bytes=n_bytes, flops=flops, floor_ms=times[bound], bound=bound)
    return out
