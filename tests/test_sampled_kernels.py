"""The kernels of sampled layers against their NumPy twins: forward, softmax, input gradients, updates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide._kernels import forward, lanes, lookup, softmax, transpose
from slide.layers.lane_block import NO_IDS, LaneBlock, lanes_of
from slide.layers.weights import Float32Rows, Weights, groups_of, touched_count, touched_ids
from slide.machine.memory import Scratch
from slide.optim import SGD, Adam
from slide.rows import ActiveSet, SparseRows
from tests.conftest import read_only

THREADS = (1, 2, 8)


def random_sparse(rng, n, d, density=0.4):
    mask = rng.random((n, d)) < density
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int64)
    values = rng.standard_normal(int(mask.sum())).astype(np.float32)
    return SparseRows(indptr, np.nonzero(mask)[1].astype(np.int32), values, (n, d))


def random_active(rng, n_groups, n_neurons, low=0):
    sets = [rng.permutation(n_neurons)[: rng.integers(low, n_neurons + 1)] for _ in range(n_groups)]
    indptr = np.concatenate([[0], np.cumsum([len(s) for s in sets])]).astype(np.int64)
    return ActiveSet(indptr, np.concatenate([*sets, NO_IDS]).astype(np.int32))


def problem(seed, n, d, n_neurons, group_size, sparse):
    """Weights, an active set, labels among it, and a batch of inputs; some groups and samples have nothing."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n_neurons, d)).astype(np.float32)
    bias = rng.standard_normal(n_neurons).astype(np.float32)
    active = random_active(rng, -(-n // group_size), n_neurons)
    if sparse:
        block = LaneBlock.from_sparse(random_sparse(rng, n, d), group_size)
    else:
        x = rng.standard_normal((n, d)).astype(np.float32)
        block = LaneBlock.from_dense(x, group_size, Scratch(), 1)
    counts = [min(rng.integers(0, 4), len(active[i // group_size])) for i in range(n)]
    slots = [rng.permutation(len(active[i // group_size]))[:c] for i, c in enumerate(counts)]
    label_ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return W, bias, active, block, label_ptr, np.concatenate([*slots, NO_IDS]).astype(np.int32)


def rows_of(W, bias):
    """Float32Rows of these weights and biases."""
    W, biases = W.copy(), np.stack([bias, bias, bias])
    return Float32Rows(W, W[:0], W[:0], biases)


def no_room(threads):
    return np.empty((threads, 0), np.float32)


shapes = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 130), st.integers(1, 150),
    st.integers(1, 60) | st.integers(250, 600),  # more rows than a tile has
    st.sampled_from([1, 3, 16, 20, 32, 100]), st.booleans(),
)  # fmt: skip


@given(shapes)
def test_group_kernels_agree_with_numpy(shape):
    W, bias, active, block, label_ptr, slots = problem(*shape)
    group_size = shape[4]
    read_only(W, bias, active.indptr, active.ids, block.indptr, block.ids, block.values, label_ptr, slots)
    place = (active.indptr, active.ids, block.indptr, block.ids)
    weights = np.random.default_rng(shape[0]).choice([1.0, 7.5], len(active.ids) * (shape[0] % 2)).astype(np.float32)
    read_only(weights)
    want_z = reference.forward_rows(W, bias, *place, block.values, True)
    want = reference.softmax_rows(W, bias, *place, block.values, weights, label_ptr, slots, group_size, 0.1, 0.2)
    first, rows, groups = None, rows_of(W, bias), groups_of(active, block)
    targets = softmax.Targets(label_ptr, slots, weights, group_size, 0.1, 0.2)
    for threads in THREADS:
        z, room = np.full((len(active.ids), lanes_of(group_size)), np.nan, np.float32), no_room(threads)
        forward.forward_rows(rows, groups, True, z, room, threads)
        np.testing.assert_allclose(z, want_z, rtol=1e-4, atol=1e-4)
        delta, dx = np.full_like(z, np.nan), np.full(block.values.shape, np.nan, np.float32)
        loss = np.full(shape[1], np.nan, np.float32)
        work = np.full(softmax.work_size(groups, True, threads), np.nan, np.float32)
        softmax.softmax_rows(rows, groups, targets, delta, dx, loss, work, room, threads)
        for got, expected in zip((delta, dx, loss), want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)
        again = np.empty_like(dx)
        forward.input_gradient_rows(rows, groups, delta, again, work, room, threads)
        np.testing.assert_array_equal(again, dx)
        first = first or (z, delta, dx, loss)
        for got, expected in zip((z, delta, dx, loss), first, strict=True):
            np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(rows.arrays[0], W)


def test_every_instruction_set_agrees_with_numpy(simd):
    for shape in [(1, 37, 128, 50, 16, False), (2, 5, 77, 9, 1, False), (3, 40, 200, 33, 32, True)]:
        W, bias, active, block, label_ptr, slots = problem(*shape)
        place = (active.indptr, active.ids, block.indptr, block.ids)
        weights = np.linspace(1, 9, len(active.ids)).astype(np.float32)
        want = reference.softmax_rows(W, bias, *place, block.values, weights, label_ptr, slots, shape[4], 1.0, 0.3)
        got = [np.empty(w.shape, np.float32) for w in want]
        groups, targets = groups_of(active, block), softmax.Targets(label_ptr, slots, weights, shape[4], 1.0, 0.3)
        work = np.empty(softmax.work_size(groups, True, 2), np.float32)
        softmax.softmax_rows(rows_of(W, bias), groups, targets, *got, work, no_room(2), 2)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


# With a large eps a step is a smooth function of the gradient, also where that cancels to nearly nothing.
OPTIMIZERS = [Adam(lr=0.01, eps=1.0, weight_decay=0.1), Adam(beta1=0.5, beta2=0.9, eps=1.0), SGD(lr=0.1)]


@given(shapes, st.sampled_from(OPTIMIZERS))
def test_updates_agree_with_numpy(shape, optimizer):
    sparse = shape[5]
    _, _, active, block, _, _ = problem(*shape)
    n_neurons, d, rng = shape[3], shape[2], np.random.default_rng(shape[0])
    coef = rng.standard_normal((len(active.ids), lanes_of(shape[4]))).astype(np.float32)
    x = block.sample_major(Scratch(), 1)
    want = {name: a.astype(np.float64) for name, a in new_weights(n_neurons, d, optimizer).state().items()}
    for step in (1, 2):
        hyper = np.float32(optimizer.hyper(step, 1.0)).astype(np.float64)  # 1 - 0.999 is another number in float32
        reference.update_rows(
            active.indptr, active.ids, coef.astype(np.float64), block.indptr, block.ids, x.astype(np.float64),
            want["w"], want["m"], want["v"], want["bias"], optimizer.name == "adam", hyper,
        )  # fmt: skip
    first = None
    for mode, threads in [("rows", 1), ("rows", 2), ("rows", 8), ("hogwild", 1)]:
        weights = new_weights(n_neurons, d, optimizer)
        for step in (1, 2):
            by_row = weights.update(active, coef, block.indptr, block.ids, x, step, 1.0, threads, mode)
            assert sorted(touched_ids(by_row)) == sorted(set(active.ids.tolist()))
            assert touched_count(by_row) == len(set(active.ids.tolist()))
        first = first or weights.state()
        for name, got in weights.state().items():
            if mode == "rows":
                np.testing.assert_array_equal(got, first[name])
            if mode == "rows" or optimizer.name == "sgd" or not sparse:  # hogwild leaves out columns without gradient
                np.testing.assert_allclose(got, want[name], rtol=1e-5, atol=1e-5, err_msg=name)


def new_weights(n_neurons, d, optimizer):
    return Weights(n_neurons, d, optimizer, 1.0, np.random.default_rng(3))


def listed(by_row):
    """{row: its (pair, group)} of what `Weights.transpose` returns."""
    names = ("part_ptr", "n_touched", "rows", "starts", "counts", "pair", "group")
    part_ptr, n_touched, rows, starts, counts, pair, group = (np.asarray(getattr(by_row, name)) for name in names)
    places = [k for low, n in zip(part_ptr[:-1], n_touched, strict=True) for k in range(low, low + n)]
    parts = {int(rows[k]): slice(starts[k], starts[k] + counts[k]) for k in places}
    assert len(parts) == len(places)
    return {row: list(zip(pair[part].tolist(), group[part].tolist(), strict=True)) for row, part in parts.items()}


@pytest.mark.parametrize("shared", [1, 10**9])
@pytest.mark.parametrize("n_rows", [1, 40, 1_000, 1_100_000])
def test_pairs_by_row_agree_with_numpy(rng, monkeypatch, shared, n_rows):
    monkeypatch.setattr(transpose, "MIN_SHARED_PAIRS", shared)
    for n_groups in (0, 1, 2, 70):
        sizes = rng.integers(0, min(n_rows, 60) + 1, n_groups)
        active = ActiveSet.of([rng.choice(n_rows, size, replace=False) for size in sizes])
        read_only(active.indptr, active.ids)
        want = reference.transpose_rows(active.indptr, active.ids)
        for threads in THREADS:
            weights = Weights(n_rows, 2, SGD(), 0.0, rng)
            assert listed(weights.transpose(active, threads)) == want
            x = SparseRows(active.indptr, active.ids, np.ones(len(active.ids), np.float32), (n_groups, n_rows))
            bias, out = np.zeros(2, np.float32), np.empty((n_groups, 2), np.float32)
            assert listed(weights.lookup(x, bias, out, threads)) == want


@given(shapes)
def test_lane_blocks_agree_with_numpy(shape):
    seed, n, d, _, group_size, _ = shape
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    read_only(x)
    for threads in THREADS:
        block = LaneBlock.from_dense(x, group_size, Scratch(), threads)
        want = reference.pack_rows(x, group_size, lanes_of(group_size))
        np.testing.assert_array_equal(block.values.reshape(want.shape), want)
        back = np.empty_like(x)
        lanes.unpack_rows(block.values, group_size, back, threads)
        np.testing.assert_array_equal(back, x)
        np.testing.assert_array_equal(back, reference.unpack_rows(block.values, group_size, n, d))
        major = reference.sample_major_rows(block.indptr, block.values)
        np.testing.assert_array_equal(block.sample_major(Scratch(), threads), major)
    np.testing.assert_array_equal(block.to_dense(), x)
    np.testing.assert_array_equal(block.gather(x)[:, : min(n, group_size)], block.values[:, : min(n, group_size)])


@pytest.mark.parametrize("group_size", [1, 3, 16])
def test_sparse_blocks_hold_the_rows(rng, group_size):
    rows = random_sparse(rng, 20, 30)
    block = LaneBlock.from_sparse(rows, group_size)
    dense = rows.to_scipy().toarray()
    np.testing.assert_array_equal(block.to_dense(), dense)
    np.testing.assert_array_equal(block.gather(dense), block.values)


@pytest.mark.parametrize("width", [1, 16, 100, 128, 300])
@pytest.mark.parametrize("relu", [False, True])
def test_lookup_agrees_with_numpy(simd, rng, width, relu):
    rows = random_sparse(rng, 33, 50)
    W, bias = rng.standard_normal((50, width)).astype(np.float32), rng.standard_normal(width).astype(np.float32)
    read_only(W, bias, rows.indptr, rows.ids, rows.values)
    want = reference.lookup_rows(rows.indptr, rows.ids, rows.values, W, bias, relu)
    for threads in THREADS:
        out = np.empty((33, width), np.float32)
        lookup.lookup_rows(rows.indptr, rows.ids, rows.values, W, bias, relu, out, threads)
        np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)
