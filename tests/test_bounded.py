"""Exact prediction by the index: its kernel by the oracle, bounds that hold, and the top k of awkward weights."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slide import Dense, Network, Sampled, indexed
from slide._kernels import bounded as _bounded
from slide._kernels import screen as _screen
from slide.reference import bounded as oracle
from slide.reference.screen import decode_blocks
from slide.search import TopIndex
from slide.search.bounds import limits_of
from tests.test_search import made, normal, simd

assert simd  # a fixture


def reached(index, x, floors, threads=2):
    """[ids] of each row of x."""
    ids, counts, _ = index.bounded(x, floors, index.ids.size, threads)
    return [np.sort(row[:count]) for row, count in zip(ids, counts, strict=True)]


@pytest.mark.parametrize("d", [1, 8, 37, 128])
def test_rows_that_may_reach_a_floor_are_those_of_numpy(simd, d):
    w, bias, x, index = made(d, 700, d)
    x = np.ascontiguousarray(x[:21])
    x.setflags(write=False)
    floors = np.quantile(x @ w.T + bias, 0.98, axis=1).astype(np.float32)
    scores, rotated, codes, factors = (np.array(array) for array in index._coded(x, 1))
    limits = limits_of(index.slack, x, rotated, codes, factors, floors)
    arrays = index.first, index.codes, index.scale, index.shift, index.ids
    extra = index.residual, index.length, index.edges
    inputs = codes * factors[:, :1].astype(float)
    least, most = (
        oracle.bounded_rows(*arrays, *extra, inputs, scores, limits + [[0, 0, away]]) for away in (1e-3, -1e-3)
    )
    for threads in (1, 2, 8):
        ids, counts = np.empty((21, 700), np.int32), np.empty((21, 2), np.int64)
        _bounded.bounded_rows(_screen.Blocks(*arrays), *extra, codes, factors, scores, limits, ids, counts, threads)
        for row, count, (few, _), (many, blocks) in zip(ids, counts, least, most, strict=True):
            found = row[: count[0]]
            assert set(few) <= set(found) <= set(many) and count[1] <= blocks
        small = np.full((21, 3), -7, np.int32)
        again = np.empty_like(counts)
        _bounded.bounded_rows(_screen.Blocks(*arrays), *extra, codes, factors, scores, limits, small, again, threads)
        np.testing.assert_array_equal(again, counts)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 40), st.integers(-25, 17), st.integers(-25, 10))
@settings(deadline=None, max_examples=60)
def test_no_row_that_reaches_a_floor_is_left_out(seed, n, d, of_rows, of_inputs):
    rng = np.random.default_rng(seed)
    w = normal(rng, n, d) * np.float32(10) ** rng.integers(of_rows - 2, of_rows + 1, (n, 1)).astype(np.float32)
    w[rng.random(n) < 0.2] = w[0]
    bias = normal(rng, n) * np.float32(10.0 ** (of_rows + of_inputs))
    x = np.maximum(normal(rng, 30, d), 0) * np.float32(10.0**of_inputs)
    x[3] = 0
    best = np.zeros((30, 1), np.int32)
    index = TopIndex.build(w, bias, x, best, np.zeros(2, np.int64), 0, 1)
    z = x @ w.T + bias
    exact = x.astype(float) @ w.T.astype(float) + bias
    for place in (0, n // 2, n - 1):
        floors = np.sort(z, axis=1)[:, place]
        for found, near, far, floor in zip(reached(index, x, floors), z, exact, floors, strict=True):
            assert set(np.flatnonzero((near >= floor) | (far >= floor))) <= set(found)


def test_each_norm_is_bounded():
    w, bias, x, index = made(5, 900, 30)
    _, rotated, codes, factors = (np.array(array) for array in index._coded(x, 1))
    limits = limits_of(index.slack, x, rotated, codes, factors, np.zeros(len(x), np.float32))
    basis = index.of_inputs.astype(float)
    true = x.astype(float) @ basis
    assert (np.linalg.norm(true, axis=1) <= limits[:, 0]).all()
    assert (np.linalg.norm(true - codes * factors[:, :1].astype(float), axis=1) <= limits[:, 1]).all()
    assert (limits[:, 0] <= 1.01 * np.linalg.norm(true, axis=1)).all() and (limits[:, 2] < 0).all()
    of_rows = np.linalg.pinv(basis[:, :30]).T
    places = index.ids >= 0
    cluster = np.repeat(np.arange(index.n_clusters), np.diff(index.first))[:, None] + 0 * index.ids
    away = (w[index.ids[places]] - index.centers[cluster[places]]).astype(float) @ of_rows
    coded = decode_blocks(index.codes, index.scale)[places.ravel(), :30]
    for norm, bound in ((away - coded, index.residual), (coded, index.length)):
        assert (np.linalg.norm(norm, axis=1) <= bound[places]).all()
        assert bound[places].mean() < 1.05 * np.linalg.norm(norm, axis=1).mean()
    radius = np.zeros(index.ids.shape)
    radius[places] = np.linalg.norm(away, axis=1)
    shift = np.where(places, index.shift, -np.inf)
    edges = radius.max(axis=1), shift.max(axis=1), index.residual.max(axis=1), index.length.max(axis=1)
    assert (np.stack(edges, axis=1) <= index.edges).all()


def test_what_is_no_number_leaves_out_nothing():
    w, bias, x, index = made(3, 300, 12)
    for value in (np.nan, np.inf):
        odd = x[:9].copy()
        odd[:, 2] = value
        with np.errstate(all="ignore"):
            assert all(len(found) == 300 for found in reached(index, odd, np.zeros(9, np.float32)))
    assert all(len(found) == 300 for found in reached(index, x, np.full(len(x), -np.inf, np.float32)))


def network_of(weights, bias, weight_type="float32"):
    n, width = weights.shape
    network = Network(30, [Dense(width), Sampled(n, hash="dwta", K=2, L=4, active=20, weight_type=weight_type)],
                      threads=2, normalize=False)  # fmt: skip
    output = network.layers[-1].parameters
    if weight_type == "float32":
        output.w[...] = weights
    network.layers[-1].bias[...] = bias
    return network


def weights_of(name):
    rng = np.random.default_rng(0)
    w, bias = normal(rng, 1500, 24) * rng.random((1500, 1), dtype=np.float32), normal(rng, 1500)
    if name == "equal":
        w[...], bias[...] = w[0], bias[0]
    if name == "duplicates":
        w, bias = w[rng.integers(0, 40, 1500)], np.zeros(1500, np.float32)
    if name == "a few huge":
        w[::100] *= np.float32(1e6)
    if name == "huge":
        w *= np.float32(1e17)
    if name == "tiny":
        w, bias = w * np.float32(1e-25), np.zeros(1500, np.float32)
    if name == "zeros":
        w[...], bias[...] = 0, 0
    return w, bias


NAMES = ["plain", "equal", "duplicates", "a few huge", "huge", "tiny", "zeros"]


def assert_exact(network, X, k):
    """Alone the same bits as without a recall; together the same ids where logits are not nearly the same."""
    for i in range(6):
        alone, exact = network.predict(X[i : i + 1], k, recall=1), network.predict(X[i : i + 1], k)
        np.testing.assert_array_equal(alone[0], exact[0])
        np.testing.assert_array_equal(alone[1], exact[1])
    (ids, values), (exact_ids, exact) = network.predict(X, k, recall=1), network.predict(X, k)
    scale = np.abs(exact).max(initial=1e-30)
    np.testing.assert_allclose(values, exact, rtol=1e-5, atol=1e-6 * scale)
    nearly = np.diff(exact, axis=1, prepend=np.inf, append=-np.inf)
    apart = (np.abs(nearly) > 1e-5 * scale)[:, 1:] & (np.abs(nearly) > 1e-5 * scale)[:, :-1]
    apart[:, -1] = False
    np.testing.assert_array_equal(ids[apart], exact_ids[apart])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 5, 100])
def test_the_best_of_awkward_weights_are_found(simd, name, k, monkeypatch):
    monkeypatch.setattr(indexed, "SPARSE", 1e9)
    X = np.abs(normal(np.random.default_rng(1), 300, 30))
    X[2] = 0
    network = network_of(*weights_of(name))
    network.build_index(X)
    assert_exact(network, X, k)
    if name == "plain":
        found = network.measured_recall(k, 1)
        assert found.recall == 1 and k <= found.candidates < 60 + 3 * k


def test_inputs_with_too_many_candidates_are_computed_in_full(monkeypatch):
    monkeypatch.setattr(indexed, "SPARSE", 1e9)
    monkeypatch.setattr(indexed, "ROOM", 12)
    X = np.abs(normal(np.random.default_rng(1), 300, 30))
    network = network_of(*weights_of("plain"))
    network.build_index(X)
    assert_exact(network, X, 5)
    assert 12 < network.measured_recall(5, 1).candidates <= 1500


def test_weights_of_bfloat16_and_seen_labels():
    rng = np.random.default_rng(0)
    X = np.abs(normal(rng, 200, 30))
    network = network_of(*weights_of("plain"), weight_type="bfloat16")
    network.fit(X, rng.integers(0, 1500, 200), epochs=1)
    assert_exact(network, X, 5)
    seen = np.zeros((200, 1500), np.float32)
    np.put_along_axis(seen, network.predict(X, 3)[0].astype(np.int64), 1, axis=1)
    np.testing.assert_array_equal(network.predict(X, 4, mask_seen=seen, recall=1)[0],
                                  network.predict(X, 4, mask_seen=seen)[0])  # fmt: skip


def test_an_index_without_bounds_is_built_anew(tmp_path):
    X = np.abs(normal(np.random.default_rng(1), 300, 30))
    network = network_of(*weights_of("plain"))
    network.build_index(X)
    before = {name: array for name, array in network._index_state().items() if name.split(".")[-1] != "slack"}
    other = deepcopy(network)
    other._load_index(before)
    assert other._top is None
    np.testing.assert_array_equal(other.predict(X[:1], recall=1)[0], network.predict(X[:1])[0])
    assert other._top is not None


def test_threads_find_what_each_would_alone():
    X = np.abs(normal(np.random.default_rng(1), 300, 30))
    network = network_of(*weights_of("plain"))
    network.build_index(X)
    jobs = [(n, k) for n in (1, 2, 40) for k in (1, 5)] * 3
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: network.predict(X[: job[0]], job[1], recall=1), jobs))
    for (n, k), found in zip(jobs, together, strict=True):
        for array, expected in zip(found, network.predict(X[:n], k, recall=1), strict=True):
            np.testing.assert_array_equal(array, expected)
