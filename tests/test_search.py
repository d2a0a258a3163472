"""The index that finds the top labels: its kernels by the oracle, its recall, its files, and when it is stale."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slide import Dense, Network, Sampled, reference
from slide._kernels import screen as _screen
from slide._kernels.simd import vec
from slide.layers import panels
from slide.reference import screen as oracle
from slide.search import TopIndex
from slide.search.clusters import whitening
from slide.search.codes import encode_rows, side_by_side
from slide.search.recall import share_found

assert reference  # the oracle is a part of it


@pytest.fixture(params=vec.available(), scope="module")
def simd(request):
    before = vec.live()
    vec.use(request.param)
    yield request.param
    vec.use(before)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def made(seed, n, d, m=60, threads=2):
    rng = np.random.default_rng(seed)
    w, bias, x = normal(rng, n, d) * rng.random((n, 1), dtype=np.float32), normal(rng, n), np.abs(normal(rng, m, d))
    best = np.argsort(-(x @ w.T + bias), axis=1, kind="stable")[:, : min(10, n)].astype(np.int32)
    return w, bias, x, TopIndex.build(w, bias, x, best, np.zeros(2, np.int64), 0, threads)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 300), st.integers(1, 3), st.booleans())
@settings(deadline=None, max_examples=60)
def test_clusters_are_chosen_as_by_sorting(seed, n, n_clusters, spread, tied):
    rng = np.random.default_rng(seed)
    scores = normal(rng, n, n_clusters) ** (2 * spread - 1)
    scores = np.round(scores, 0 if tied else 6)
    probes = int(rng.integers(1, n_clusters + 1))
    few = int(rng.integers(1, probes + 1))
    expected = oracle.choose_rows(scores, few, probes)
    for threads in (1, 2, 8):
        chosen = np.empty((n, probes), np.int32)
        _screen.choose_rows(scores, n_clusters, few, np.empty((threads, n_clusters), np.float32), chosen, threads)
        np.testing.assert_array_equal(chosen, expected)


def test_products_of_a_row_do_not_depend_on_others(simd):
    rng = np.random.default_rng(0)
    x, basis, bias = normal(rng, 40, 37), normal(rng, 37, 70), normal(rng, 70)
    packed, x = panels.pack(basis), np.require(x)
    x.setflags(write=False)
    out = np.empty((40, packed.shape[0] * packed.shape[2]), np.float32)
    _screen.products_rows(x, packed, bias, out, 2)
    np.testing.assert_allclose(out[:, :70], oracle.products_rows(x, basis, bias), rtol=1e-4, atol=1e-4)
    alone = np.empty((1, out.shape[1]), np.float32)
    for i in range(40):
        _screen.products_rows(x[i : i + 1], packed, bias, alone, 1)
        np.testing.assert_array_equal(alone[0], out[i])


@pytest.mark.parametrize("d", [1, 8, 37, 128])
def test_scores_are_those_of_the_decoded_rows(simd, d):
    *_, x, index = made(d, 700, d)
    scores = index.scores(x, 1)[:, : index.n_clusters].copy()
    codes, factors = oracle.encode_rows(x @ index.of_inputs)
    probes, kept = min(9, index.n_clusters), 12
    chosen = oracle.choose_rows(scores, 2, probes).astype(np.int32)
    arrays = index.first, index.codes, index.scale, index.shift, index.ids
    values, _ = oracle.search_rows(*arrays, codes * factors[:, :1].astype(float), scores, chosen, kept)
    blocks = int(np.diff(index.first)[chosen].sum())
    for threads in (1, 2, 8):
        found, ids = np.zeros((threads, len(x), kept), np.float32), np.zeros((threads, len(x), kept), np.int32)
        scratch = (np.full(shape, 7, kind) for shape, kind in (
            (index.n_clusters + 1, np.int64), (chosen.size, np.int32), (threads + 1, np.int64), (len(x), np.float32)
        ))  # fmt: skip
        screened = _screen.search_rows(_screen.Blocks(*arrays), codes, factors.astype(np.float32), scores, chosen, 2,
                                       *scratch, found, ids, threads)  # fmt: skip
        assert screened == blocks
        np.testing.assert_allclose(found[0][ids[0] >= 0], values[np.isfinite(values)], rtol=1e-3, atol=1e-3)
        assert (np.isfinite(values) == (ids[0] >= 0)).all()


def test_inputs_are_coded_as_by_numpy(simd):
    rng = np.random.default_rng(0)
    x = normal(rng, 30, 16) * np.float32(10) ** rng.integers(-20, 20, (30, 1)).astype(np.float32)
    x[3], x[4, :5] = 0, 1e-38
    x.setflags(write=False)
    expected = oracle.encode_rows(x)
    for threads in (1, 2, 8):
        codes, factors = np.empty((30, 16), np.int8), np.empty((30, 2), np.float32)
        _screen.encode_rows(x, codes, factors, threads)
        assert (np.abs(codes.astype(int) - expected[0]) <= 1).all() and (codes == expected[0]).mean() > 0.99
        np.testing.assert_allclose(factors[:, 0], expected[1][:, 0], rtol=1e-6)
        np.testing.assert_allclose(factors[:, 1], factors[:, 0] * 7.5 * codes.sum(axis=1, dtype=int), rtol=1e-6)
        assert (np.abs(codes * factors[:, :1] - x) <= 0.5001 * factors[:, :1]).all()


def test_codes_are_within_half_a_step():
    rows = normal(np.random.default_rng(0), 64, 16)
    rows[3] = 0
    codes, scale = encode_rows(rows)
    decoded = oracle.decode_blocks(side_by_side(codes), scale)
    assert (np.abs(decoded - rows) <= 0.5001 * scale[:, None]).all()


def test_inputs_have_unit_moments_and_logits_stay():
    rng = np.random.default_rng(0)
    x, w = np.abs(normal(rng, 500, 6)), normal(rng, 9, 6)
    of_inputs, of_rows = whitening(x)
    white = x @ of_inputs
    np.testing.assert_allclose(white.T @ white / 500, np.eye(6), atol=1e-3)
    np.testing.assert_allclose(white @ (w @ of_rows).T, x @ w.T, rtol=1e-3, atol=1e-3)


def test_every_neuron_is_found_where_all_are_candidates(simd):
    w, bias, x, index = made(1, 300, 24)
    ids, screened = index.candidates(x, index.n_clusters, 300, 2)
    assert (np.sort(ids, axis=1) == np.arange(300)).all() and screened >= 300


def test_candidates_of_a_row_depend_on_it_alone(simd):
    *_, x, index = made(2, 2000, 40)
    ids, _ = index.candidates(x, 12, 9, 1)
    for threads in (1, 2, 8):
        np.testing.assert_array_equal(index.candidates(x, 12, 9, threads)[0], ids)
        for i in range(5):
            np.testing.assert_array_equal(index.candidates(x[i : i + 1], 12, 9, threads)[0][0], ids[i])


def test_building_does_not_depend_on_threads():
    first, second = (made(3, 20_000, 8, threads=threads)[3].state() for threads in (1, 8))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    X, Y = np.abs(normal(rng, 1500, 50)), rng.integers(0, 3000, 1500)
    layers = [Dense(24), Sampled(3000, hash="dwta", K=2, L=8, active=100)]
    network = Network(50, layers, batch_size=100, threads=2, normalize=False).fit(X, Y, epochs=2)
    return network, X, Y


@pytest.mark.parametrize("recall", [0.9, 0.99])
@pytest.mark.parametrize("k", [1, 5])
def test_recall_is_reached(trained, k, recall):
    network, X, _ = trained
    ids, values = network.predict(X, k, recall=recall)
    exact_ids, exact = network.predict(X, k)
    found = network.measured_recall(k, recall)
    assert found.recall >= recall and share_found(ids, exact_ids) >= recall - 0.02
    same = ids == exact_ids
    np.testing.assert_allclose(values[same], exact[same], rtol=1e-5, atol=1e-5)


def test_rows_alone_and_together_are_the_same(trained):
    network, X, _ = trained
    ids, values = network.predict(X[:60], recall=0.95)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda i: network.predict(X[i : i + 1], recall=0.95), range(60)))
    np.testing.assert_array_equal(np.concatenate([each[0] for each in alone]), ids)
    np.testing.assert_array_equal(np.concatenate([each[1] for each in alone]), values)


def test_an_index_of_other_weights_is_never_used(trained):
    network, X, Y = trained
    network = deepcopy(network)
    network.predict(X[:1], recall=0.9)
    before = network._top
    network.predict(X[:1], recall=0.9)
    assert network._top is before
    network.partial_fit(X[:100], Y[:100])
    network.predict(X[:1], recall=0.9)
    after = network._top
    assert after is not before
    network.layers[-1].weights[...] *= -1
    ids, _ = network.predict(X, recall=0.95)
    assert network._top is not after
    assert share_found(ids, network.predict(X)[0]) > 0.9


@pytest.mark.parametrize("inference", [False, True])
def test_a_file_keeps_the_index(trained, tmp_path, inference):
    network, X, _ = trained
    network = deepcopy(network)
    network.build_index()
    ids, values = network.predict(X, recall=0.95)
    network.save(tmp_path / "model.npz", inference=inference)
    loaded = Network.load(tmp_path / "model.npz", threads=2)
    index = loaded._top
    found = loaded.predict(X, recall=0.95)
    assert index is not None and loaded._top is index
    np.testing.assert_array_equal(found[0], ids)
    np.testing.assert_array_equal(found[1], values)


def test_a_file_keeps_rows_for_an_index(trained, tmp_path):
    network, X, Y = trained
    network = deepcopy(network)
    network.partial_fit(X[:100], Y[:100])  # of what there was before, the index is none
    network.save(tmp_path / "model.npz", inference=True, weight_type="bfloat16")
    loaded = Network.load(tmp_path / "model.npz")
    assert share_found(loaded.predict(X, recall=0.95)[0], loaded.predict(X)[0]) > 0.93
    assert share_found(loaded.freeze().predict(X, recall=0.95)[0], loaded.predict(X)[0]) > 0.93


def test_what_an_index_cannot_be_is_refused(trained):
    network, X, _ = trained
    network.build_index()
    state = network._top.state()
    wrong = {
        "first": state["first"][::-1].copy(), "ids": np.zeros_like(state["ids"]), "best": state["best"] + 3000,
        "centers": np.full_like(state["centers"], np.nan), "codes": state["codes"][:-1],
    }  # fmt: skip
    for name, array in wrong.items():
        with pytest.raises(ValueError, match=name):
            TopIndex.load({**state, name: array}, 3000, 24)
    with pytest.raises(ValueError, match="shift"):
        TopIndex.load({name: array for name, array in state.items() if name != "shift"}, 3000, 24)


def test_seen_labels_are_left_out(trained):
    network, X, _ = trained
    best = network.predict(X[:50], 3)[0]
    seen = np.zeros((50, 3000), np.float32)
    np.put_along_axis(seen, best.astype(np.int64), 1, axis=1)
    ids, _ = network.predict(X[:50], 3, mask_seen=seen, recall=0.97)
    assert share_found(ids, network.predict(X[:50], 3, mask_seen=seen)[0]) > 0.9
    assert not (ids[:, :, None] == best[:, None]).any()


def test_settings_without_effect_are_refused(trained):
    network, X, _ = trained
    for given_, match in (({"recall": 1.01}, "recall"), ({"recall": 0.9, "sampled": True}, "sampled"),
                          ({"recall": 0.9, "k": 101}, "k=101")):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            network.predict(X[:1], **given_)
    small = Network(50, [Dense(8), Sampled(20, sampler="full")])
    with pytest.raises(ValueError, match="1,000 labels"):
        small.predict(X[:1], recall=0.9)
    new = Network(50, [Dense(24), Sampled(3000, hash="dwta", K=2, L=8, active=100)])
    with pytest.raises(RuntimeError, match="build_index"):
        new.predict(X[:1], recall=0.9)
    new.build_index(X)
    assert new.predict(X[:2], recall=0.9)[0].shape == (2, 5)
    assert new.predict(X[:0], recall=0.9)[0].shape == (0, 5)


def test_what_recalls_take_is_measured_once_whoever_asks_first(trained):
    network, X, _ = trained
    network.build_index(X)
    asked = [(k, recall) for k in (1, 2, 3) for recall in (0.9, 0.95)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: network.predict(X[:5], each[0], recall=each[1]), asked * 3))
    kept = network._top.found
    for each, (ids, _) in zip(asked * 3, together, strict=True):
        np.testing.assert_array_equal(ids, network.predict(X[:5], each[0], recall=each[1])[0])
        assert network.measured_recall(*each).recall >= each[1]
    assert set(network._top.found) == set(asked) and all(kept[key] == network._top.found[key] for key in kept)
