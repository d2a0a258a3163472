"""Weights, active sets and batches for the tests of sampled layers' kernels."""

import numpy as np
from hypothesis import strategies as st

from slide.layers.lane_block import NO_IDS, LaneBlock
from slide.machine.memory import Scratch
from slide.rows import ActiveSet, SparseRows, offsets

# seed, samples, columns, neurons (some more than a chunk has), samples a group
SHAPES = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 130), st.integers(1, 150), st.integers(1, 60) | st.integers(250, 600),
    st.sampled_from([1, 3, 16, 20, 32, 100]),
)  # fmt: skip


def sixteenths(rng, *shape):
    """Numbers from -1/2 to 1/2 of which sums of products are exact in float32, in any order."""
    return (rng.integers(-8, 9, shape) / 16).astype(np.float32)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def random_sparse(rng, n, d, density=0.4, draw=normal):
    mask = rng.random((n, d)) < density
    return SparseRows(offsets(mask.sum(1)), np.nonzero(mask)[1].astype(np.int32), draw(rng, int(mask.sum())), (n, d))


def random_active(rng, n_groups, n_neurons):
    return ActiveSet.of([rng.permutation(n_neurons)[: rng.integers(0, n_neurons + 1)] for _ in range(n_groups)])


def problem(seed, n, d, n_neurons, group_size, sparse, draw=normal):
    """(W, bias, active set, inputs, label_ptr, slots): some groups and samples have nothing."""
    rng = np.random.default_rng(seed)
    W, bias = draw(rng, n_neurons, d), draw(rng, n_neurons)
    active = random_active(rng, -(-n // group_size), n_neurons)
    if sparse:
        block = LaneBlock.from_sparse(random_sparse(rng, n, d, draw=draw), group_size)
    else:
        block = LaneBlock.from_dense(draw(rng, n, d), group_size, Scratch(), 1)
    counts = [min(rng.integers(0, 4), len(active[i // group_size])) for i in range(n)]
    slots = [rng.permutation(len(active[i // group_size]))[:c] for i, c in enumerate(counts)]
    return W, bias, active, block, offsets(counts), np.concatenate([*slots, NO_IDS]).astype(np.int32)


def listed(by_row):
    """{row: its (pair, group)} of what `Weights.transpose` returns."""
    names = ("part_ptr", "n_touched", "rows", "starts", "counts", "pair", "group")
    part_ptr, n_touched, rows, starts, counts, pair, group = (np.asarray(getattr(by_row, name)) for name in names)
    places = [k for low, n in zip(part_ptr[:-1], n_touched, strict=True) for k in range(low, low + n)]
    parts = {int(rows[k]): slice(starts[k], starts[k] + counts[k]) for k in places}
    assert len(parts) == len(places)
    return {row: list(zip(pair[part].tolist(), group[part].tolist(), strict=True)) for row, part in parts.items()}
