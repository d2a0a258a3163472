"""The full softmax and the exact top k are those of NumPy, also at the edges of a block and on any number of threads.

The full softmax is compared in float64, on steps that are large beside the rounding of the weights; the top k is exact.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide._kernels import full, topk
from slide.layers import panels
from slide.layers.base import BLOCK_NEURONS, exact_topk
from slide.layers.weights import Float32Rows
from slide.machine.memory import Scratch
from slide.machine.threads import one_blas_thread
from slide.optim import SGD, Adam
from tests.conftest import THREADS, read_only

OPTIMIZERS = [SGD(lr=64.0), Adam(beta1=0.875, beta2=1 - 2**-9)]


def offsets(counts):
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def problem(seed, n, d, n_neurons):
    """(x, W, bias, label_ptr, labels); about a third of the rows have no labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)).astype(np.float32)
    W = rng.standard_normal((n_neurons, d)).astype(np.float32) / np.float32(np.sqrt(d))
    counts = np.minimum(rng.integers(0, 4, n) * (rng.random(n) < 0.8), n_neurons)
    labels = [np.sort(rng.permutation(n_neurons)[:c]) for c in counts]
    labels = np.concatenate([*labels, np.zeros(0)]).astype(np.int32)
    return x, W, rng.standard_normal(n_neurons).astype(np.float32), offsets(counts), labels


def padded(values, columns):
    return np.concatenate([values, np.zeros(columns - len(values))]).astype(np.float32)


def full_step(x, W, bias, label_ptr, labels, smooth, optimizer, block, chunks, threads):
    """Logits, softmax and backward as a layer calls them: (probabilities, loss, dx, w, bias, m, v)."""
    (n, d), n_neurons, adam = x.shape, len(W), optimizer.name == "adam"
    n_blocks, samples, features = -(-n_neurons // block), panels.pack(x.T), panels.pack(x)
    columns = samples.shape[0] * samples.shape[2]
    z = np.full((n_blocks, block, panels.stride(columns)), np.nan, np.float32)
    top, total = np.full((2, n_blocks, columns), np.nan, np.float32)
    mean = np.full(n, np.nan, np.float32)
    full.exponentials_rows(samples, W, bias, z, top, total, threads)
    full.logits_of_labels(x, W, bias, label_ptr, labels, mean, threads)
    most = top.max(axis=0)
    shift = np.exp(top - most)
    total = (shift * total).sum(axis=0)
    p = (z[:, :, :columns] * (shift / total)[:, None]).reshape(-1, columns)[:n_neurons, :n].T
    count = np.diff(label_ptr)
    loss = np.where(count > 0, np.log(total[:n]) + most[:n] - mean, 0)
    scale, order = np.where(count > 0, 1 / n, 0), np.argsort(labels, kind="stable")
    label, sample = labels[order], np.repeat(np.arange(n, dtype=np.int32), count)[order]
    block_ptr = np.searchsorted(label, np.arange(n_blocks + 1) * block).astype(np.int64)
    w, m, v = W.copy(), *(np.zeros_like(W if adam else W[:0]) for _ in range(2))
    biases = np.stack([bias, 0 * bias, 0 * bias])
    dx = np.zeros((min(chunks, n_blocks), d, columns), np.float32)
    factor, even = shift * padded(scale, columns) / total, padded(smooth * scale / n_neurons, columns)
    target = ((1 - smooth) * scale / np.maximum(count, 1)).astype(np.float32)
    work = np.full((threads, full.scratch_size(block, features.size // n)), np.nan, np.float32)
    full.backward_rows(
        Float32Rows(w, m, v, biases), features, z, factor, even, full.LabelsByBlock(block_ptr, label, sample, target),
        optimizer.hyper(1, 1.0), dx, work, threads,
    )  # fmt: skip
    return p, loss, dx.sum(axis=0)[:, :n].T, w, biases, m, v


def check_full(x, W, bias, label_ptr, labels, smooth, optimizer, block, chunks=4):
    read_only(x, W, bias, label_ptr, labels)
    delta, want_dx, want_loss = reference.full_softmax(
        *(a.astype(np.float64) for a in (x, W, bias)), label_ptr, labels, 1 / len(x), smooth
    )
    first = None
    with one_blas_thread():
        for threads in THREADS:
            got = full_step(x, W, bias, label_ptr, labels, smooth, optimizer, block, chunks, threads)
            first = first or got
            for a, b in zip(got, first, strict=True):
                np.testing.assert_array_equal(a, b)
    p, loss, dx, w, biases, m, v = first
    grad, bias_grad = delta.T @ x, delta.sum(axis=0)
    compared = [(p.sum(axis=1), 1), (loss, want_loss), (dx, want_dx)]
    if optimizer.name == "sgd":
        compared += [((W - w) / optimizer.lr, grad), ((bias - biases[0]) / optimizer.lr, bias_grad)]
    else:
        compared += [(8 * m, grad), (np.sqrt(512 * v), np.abs(grad)), (8 * biases[1], bias_grad)]
    for found, expected in compared:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 40), st.integers(1, 70),
    st.sampled_from([0.0, 0.3]), st.sampled_from(OPTIMIZERS), st.sampled_from([1, 16, 33]),
)  # fmt: skip
def test_the_full_softmax_agrees_with_numpy(seed, n, d, n_neurons, smooth, optimizer, block):
    check_full(*problem(seed, n, d, n_neurons), smooth, optimizer, block)


@pytest.mark.parametrize("n_neurons", [1, BLOCK_NEURONS - 1, BLOCK_NEURONS, BLOCK_NEURONS + 1, 2 * BLOCK_NEURONS + 500])
def test_the_full_softmax_at_the_edges_of_a_block(simd, n_neurons):
    check_full(*problem(n_neurons, 5, 6, n_neurons), 0.1, OPTIMIZERS[0], BLOCK_NEURONS)
    check_full(*problem(n_neurons, 1, 1, n_neurons), 0.0, OPTIMIZERS[1], BLOCK_NEURONS)


def test_the_full_softmax_of_rows_without_labels_moves_nothing():
    x, W, bias, _, _ = problem(3, 4, 5, 20)
    nothing = np.zeros(0, np.int32)
    given = x, W, bias, np.zeros(5, np.int64), nothing, 0.2, SGD(), BLOCK_NEURONS
    _, loss, dx, w, biases, _, _ = full_step(*given, 1, 2)
    assert not loss.any() and not dx.any()
    np.testing.assert_array_equal(w, W)
    np.testing.assert_array_equal(biases[0], bias)


def test_the_full_softmax_of_large_logits_stays_finite():
    x, W, bias, label_ptr, labels = problem(4, 6, 8, 50)
    got = full_step(x * 1000, W, bias, label_ptr, labels, 0.0, SGD(), 16, 2, 2)
    assert all(np.isfinite(a).all() for a in got)


def integers(rng, *shape):
    """Small integers: exact in float32 in any order of summation, and full of ties."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def topk_of(x, W, bias, k, chunk, block, parts, threads):
    samples, shape = panels.pack(x.T), (min(parts, -(-len(W) // block)), len(x), k)
    values, ids = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
    work = np.full((threads, (block + 1) * samples.shape[2]), np.nan, np.float32)
    topk.topk_rows(samples, W, bias, chunk, block, work, values, ids, threads)
    return values[0], ids[0]


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 9), st.integers(1, 200), st.integers(1, 220),
    st.sampled_from([1, 2, 8]), st.sampled_from([1, 16, 64, 100]), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_the_top_k_agree_with_numpy_and_ties_go_to_the_smaller_id(seed, n, d, n_neurons, k, chunk, block, parts):
    rng, k = np.random.default_rng(seed), min(k, n_neurons)
    x, W, bias = integers(rng, n, d), integers(rng, n_neurons, d), integers(rng, n_neurons)
    read_only(x, W, bias)
    want_values, want_ids = reference.topk_rows(x @ W.T + bias, k)
    for threads in THREADS:
        values, ids = topk_of(x, W, bias, k, chunk, block, parts, threads)
        np.testing.assert_array_equal(values, want_values)
        np.testing.assert_array_equal(ids, want_ids)


@pytest.mark.parametrize("n_neurons", [1, BLOCK_NEURONS - 1, BLOCK_NEURONS, BLOCK_NEURONS + 1, 2 * BLOCK_NEURONS + 500])
def test_the_top_k_at_the_edges_of_a_block(simd, rng, n_neurons):
    x, W, bias = integers(rng, 130, 5), integers(rng, n_neurons, 5), integers(rng, n_neurons)
    k = min(5, n_neurons)
    want_values, want_ids = reference.topk_rows(x @ W.T + bias, k)
    for threads in THREADS:
        values, ids = exact_topk(x, W, bias, k, Scratch(), threads)
        np.testing.assert_array_equal(values, want_values)
        np.testing.assert_array_equal(ids, want_ids)
    values, ids = exact_topk(x[:0], W, bias, k, Scratch(), 2)
    assert values.shape == ids.shape == (0, k)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 50), st.integers(1, 60))
def test_the_top_k_of_active_sets_leave_places_empty(seed, n, n_neurons, k):
    rng = np.random.default_rng(seed)
    z = integers(rng, n, n_neurons)
    sets = [rng.permutation(n_neurons)[: rng.integers(0, n_neurons + 1)] for _ in range(n)]
    indptr, active = offsets([len(s) for s in sets]), np.concatenate(sets).astype(np.int32)
    flat = np.concatenate([z[i, s] for i, s in enumerate(sets)]).astype(np.float32).reshape(-1, 1)
    read_only(indptr, active, flat)
    masked = np.full((n, n_neurons), -np.inf, np.float32)
    for i, s in enumerate(sets):
        masked[i, s] = z[i, s]
    want_values, want_ids = (np.full((n, k), fill, np.float32) for fill in (-np.inf, -1))
    best, order = reference.topk_rows(masked, min(k, n_neurons))
    want_values[:, : best.shape[1]] = best
    want_ids[:, : best.shape[1]] = np.where(np.isinf(best), -1, order)
    for threads in THREADS:
        values, ids = np.full((n, k), -np.inf, np.float32), np.full((n, k), -1, np.int32)
        topk.topk_active(indptr, active, flat, values, ids, threads)
        np.testing.assert_array_equal(values, want_values)
        np.testing.assert_array_equal(ids, want_ids)


@pytest.mark.parametrize("threads", [2, 8])
def test_the_logits_of_labels_do_not_depend_on_threads(threads):
    rng = np.random.default_rng(0)
    n, d, n_neurons = 3000, 8, 50
    x, W, bias = integers(rng, n, d), integers(rng, n_neurons, d), integers(rng, n_neurons)
    ptr = np.concatenate([[0], np.cumsum(rng.integers(0, 4, n))]).astype(np.int64)
    labels = rng.integers(0, n_neurons, ptr[-1]).astype(np.int32)
    one, many = np.empty((2, n), np.float32)
    full.logits_of_labels(x, W, bias, ptr, labels, one, 1)
    for _ in range(5):
        full.logits_of_labels(x, W, bias, ptr, labels, many, threads)
        np.testing.assert_array_equal(many, one)
    z = x @ W.T + bias
    for i in range(n):
        mine = labels[ptr[i] : ptr[i + 1]]
        np.testing.assert_allclose(one[i], z[i, mine].mean() if len(mine) else 0.0, rtol=3e-7, atol=3e-6)
