"""The kernels of sampled layers agree with NumPy on any number of threads: forward, softmax, gradients, updates.

Most inputs are sixteenths: sums of their products are exact whatever the order, and so is all that is no exp or root.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide._kernels import forward, lanes, lookup, softmax, transpose
from slide.layers.lane_block import LaneBlock, lanes_of
from slide.layers.weights import Float32Rows, Weights, groups_of, touched_count, touched_ids
from slide.machine.memory import Scratch
from slide.optim import SGD, Adam
from slide.rows import ActiveSet, SparseRows
from tests.conftest import THREADS, read_only
from tests.kernel_problems import SHAPES, listed, problem, random_sparse, sixteenths


def rows_of(W, bias):
    """Float32Rows of these weights and biases."""
    W, biases = W.copy(), np.stack([bias, bias, bias])
    return Float32Rows(W, W[:0], W[:0], biases)


def run_group_kernels(rows, groups, targets, shapes, threads):
    """(ReLU activations, deltas, input gradients, losses) by the kernels, in arrays that were full of NaN."""
    z, delta, dx, loss = (np.full(shape, np.nan, np.float32) for shape in (shapes[0], *shapes))
    room = np.empty((threads, 0), np.float32)
    work = np.full(softmax.work_size(groups, True, threads), np.nan, np.float32)
    forward.forward_rows(rows, groups, True, z, room, threads)
    softmax.softmax_rows(rows, groups, targets, delta, dx, loss, work, room, threads)
    again = np.full_like(dx, np.nan)
    forward.input_gradient_rows(rows, groups, delta, again, work, room, threads)
    np.testing.assert_array_equal(again, dx)
    return z, delta, dx, loss


def check_group_kernels(shape, sparse, weighted):
    W, bias, active, block, label_ptr, slots = problem(*shape, sparse, sixteenths)
    rng = np.random.default_rng(shape[0])
    weights = rng.choice([1.0, 7.5], len(active.ids) * weighted).astype(np.float32)
    read_only(W, bias, active.indptr, active.ids, block.indptr, block.ids, block.values, label_ptr, slots, weights)
    place = (active.indptr, active.ids, block.indptr, block.ids)
    scale = rng.choice([0.5, 1.0, 2.0], len(label_ptr) - 1).astype(np.float32)
    held = weights, label_ptr, slots, block.group_size, scale, 0.2
    want = reference.softmax_rows(W, bias, *place, block.values, *held)
    rows, groups = rows_of(W, bias), groups_of(active, block)
    targets = softmax.Targets(label_ptr, slots, np.diff(label_ptr), weights, block.group_size, scale, 0.2)
    first, *others = (
        run_group_kernels(rows, groups, targets, [w.shape for w in want], threads) for threads in THREADS
    )
    for found in others:
        for got, expected in zip(found, first, strict=True):
            np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(first[0], reference.forward_rows(W, bias, *place, block.values, True))
    for got, expected in zip(first[1:], want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(rows.arrays[0], W)
    coef, dx = sixteenths(rng, *want[0].shape), np.empty_like(block.values)
    work, room = np.empty(forward.work_size(groups, 2), np.float32), np.empty((2, 0), np.float32)
    forward.input_gradient_rows(rows, groups, coef, dx, work, room, 2)
    np.testing.assert_array_equal(dx, reference.input_gradient_rows(W, *place, coef))


@given(SHAPES, st.booleans(), st.booleans())
def test_forward_softmax_and_input_gradients_agree_with_numpy(shape, sparse, weighted):
    check_group_kernels(shape, sparse, weighted)


def test_they_do_on_every_instruction_set(simd):
    check_group_kernels((1, 37, 128, 50, 16), False, True)
    check_group_kernels((2, 5, 77, 9, 1), False, False)
    check_group_kernels((3, 40, 200, 33, 32), True, True)


# With a large eps a step is a smooth function of the gradient, also where that cancels to nearly nothing.
OPTIMIZERS = [Adam(lr=0.01, eps=1.0, weight_decay=0.1), Adam(beta1=0.5, beta2=0.9, eps=1.0), SGD(lr=0.1)]


@given(SHAPES, st.booleans(), st.sampled_from(OPTIMIZERS))
def test_updates_agree_with_numpy(shape, sparse, optimizer):
    check_updates(shape, sparse, optimizer)


@pytest.mark.parametrize("width", [1, 7, 16, 33, 100, 130])
def test_they_do_of_rows_that_fill_no_registers_on_every_instruction_set(simd, width):
    check_updates((width, 300, width, 60, 150), False, OPTIMIZERS[0])


def check_updates(shape, sparse, optimizer):
    _, _, active, block, _, _ = problem(*shape, sparse)
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


@pytest.mark.parametrize("columns", [1, 5, 40, 150])
@pytest.mark.parametrize("mode", ["rows", "hogwild"])
def test_updates_by_few_and_by_most_columns_agree_with_numpy(rng, columns, mode):
    """Rows are stepped column by column or as a whole; columns that no group of a row has stay as they are."""
    n_rows, width, n = 30, 150, 25
    active = ActiveSet.of([rng.permutation(n_rows)[:6] for _ in range(n)])
    cols = np.concatenate([np.sort(rng.permutation(width)[:columns]) for _ in range(n)]).astype(np.int32)
    x_indptr, x = np.arange(n + 1, dtype=np.int64) * columns, rng.standard_normal(n * columns).astype(np.float32)
    coef = rng.standard_normal((len(active.ids), 1)).astype(np.float32)
    optimizer = OPTIMIZERS[0]
    want = {name: a.astype(np.float64) for name, a in new_weights(n_rows, width, optimizer).state().items()}
    first = None
    for threads in THREADS if mode == "rows" else (1,):
        weights = new_weights(n_rows, width, optimizer)
        for step in (1, 2):
            if first is None:
                hyper = np.float32(optimizer.hyper(step, 1.0)).astype(np.float64)
                reference.update_rows(
                    active.indptr, active.ids, coef.astype(np.float64), x_indptr, cols, x.astype(np.float64),
                    want["w"], want["m"], want["v"], want["bias"], True, hyper,
                )  # fmt: skip
            weights.update(active, coef, x_indptr, cols, x, step, 1.0, threads, mode)
        first = first or weights.state()
        for name, got in weights.state().items():
            np.testing.assert_array_equal(got, first[name])
            np.testing.assert_allclose(got, want[name], rtol=1e-5, atol=1e-5, err_msg=name)


def new_weights(n_neurons, d, optimizer):
    return Weights(n_neurons, d, optimizer, 1.0, np.random.default_rng(3))


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


@given(SHAPES)
def test_lane_blocks_agree_with_numpy(shape):
    seed, n, d, _, group_size = shape
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
    rows, W, bias = random_sparse(rng, 33, 50, draw=sixteenths), sixteenths(rng, 50, width), sixteenths(rng, width)
    read_only(W, bias, rows.indptr, rows.ids, rows.values)
    want = reference.lookup_rows(rows.indptr, rows.ids, rows.values, W, bias, relu)
    for threads in THREADS:
        out = np.full((33, width), np.nan, np.float32)
        lookup.lookup_rows(rows.indptr, rows.ids, rows.values, W, bias, relu, out, threads)
        np.testing.assert_array_equal(out, want)
