"""Predictions without the labels that a row has already: exact, against every label sorted by hand."""

import numpy as np
import pytest
from scipy import sparse

from slide import Dense, Network, Sampled
from slide.prediction import Ensemble, Mixed, Mixing
from slide.rows import ActiveSet, as_sparse_rows
from slide.seen import first_unseen, seen_labels, topk_unseen, unseen, without
from tests.conftest import assert_sets

N = 50  # features and labels
LAST = {
    "sampled": Sampled(N, K=2, L=5, active=20),
    "every neuron": Sampled(N, sampler="full"),
    "dense": Dense(N),
    "bfloat16": Sampled(N, K=2, L=5, active=20, weight_type="bfloat16", moment_type="bfloat16"),
}


def items(rng, n=40):
    """(X, Y) of one set of items: what a row has, from nothing to all of them, and what comes next."""
    X = rng.random((n, N)) * (rng.random((n, N)) < rng.random((n, 1)) ** 2)
    X[0], X[1], X[2] = 0, 1, np.arange(N) < N - 2
    return sparse.csr_array(X.astype(np.float32)), sparse.csr_array(rng.random((n, N)) < 0.05)


def trained(last, X, Y, hidden=(16,), seed=0):
    layers = [*(Dense(width) for width in hidden), LAST[last]]
    return Network(N, layers, batch_size=16, seed=seed, threads=1).fit(X, Y, epochs=2)


def expected(ids, values, seen, k):
    """(ids, values), (n, k): of all labels, best first, those that seen has not, row by row."""
    rows = []
    for *pairs, has in zip(ids, values, seen, strict=True):
        kept = [(i, v) for i, v in zip(*pairs, strict=True) if i >= 0 and not has[i]]
        rows.append((kept + [(-1, -np.inf)] * k)[:k])
    return np.array([[i for i, _ in row] for row in rows]), np.array([[v for _, v in row] for row in rows])


def assert_masked(model, X, seen, k, **how):
    """That predictions with mask_seen are those of all labels, less those seen."""
    everything = model.predict(X, N, **how)
    mask = True if seen is X else seen
    ids, values = model.predict(X, k, mask_seen=mask, **how)
    wanted = expected(*everything, np.asarray(seen.todense()) != 0, min(k, N))
    np.testing.assert_array_equal(ids, wanted[0])
    np.testing.assert_allclose(values, wanted[1], rtol=1e-5, atol=1e-5)
    return ids


@pytest.mark.parametrize("k", [1, 5, N, N + 9])
@pytest.mark.parametrize(("last", "hidden"), [*((last, (16,)) for last in LAST), ("sampled", (12, 8)), ("dense", ())])
def test_a_network_leaves_out_what_a_row_has(last, hidden, k, rng):
    X, Y = items(rng)
    network = trained(last, X, Y, hidden)
    ids = assert_masked(network, X, X, k)
    assert (ids[1] == -1).all() and (ids[2] >= 0).sum() == min(k, 2)
    assert_masked(network, X, sparse.csr_array(rng.random(X.shape) < 0.3), k)


@pytest.mark.parametrize("k", [1, 5, N])
def test_sampled_prediction_leaves_it_out_too(k, rng):
    X, Y = items(rng)
    network = trained("sampled", X, Y)
    network.rehash()
    assert_masked(network, X, X, k, sampled=True)


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("k", [1, 5, N])
def test_ensembles_and_neighbours_leave_it_out(n_networks, k, rng):
    X, Y = items(rng)
    ensemble = Ensemble([trained("sampled", X, Y, seed=seed) for seed in range(n_networks)])
    mixing = {"hidden": Mixing(k=5, beta=0.7), "input": Mixing(k=9, beta=1.5)}
    for model in (ensemble, Mixed(ensemble, X, Y, mixing), Mixed(ensemble, X, Y, {"input": Mixing(beta=0.0)})):
        assert_masked(model, X, X, k)
        assert_masked(model, X, sparse.csr_array(rng.random(X.shape) < 0.3), k)


def test_a_mixing_of_one_network_leaves_it_out(rng):
    X, Y = items(rng)
    assert_masked(Mixed(trained("dense", X, Y), X, Y), X, X, 5)


@pytest.mark.parametrize("kind", ["network", "ensemble", "mixed"])
def test_evaluation_counts_what_is_left(kind, rng):
    X, Y = items(rng)
    network = trained("sampled", X, Y)
    model = {"network": network, "ensemble": Ensemble([network]), "mixed": Mixed(network, X, Y)}[kind]
    ids, _ = model.predict(X, 3, mask_seen=True)
    hits = np.take_along_axis(np.c_[Y.toarray(), np.zeros(len(ids))], ids, axis=1)
    found = model.evaluate(X, Y, ks=(1, 3), mask_seen=True).scores
    assert found["P@1"] == pytest.approx(hits[:, 0].mean()) and found["P@3"] == pytest.approx(hits.mean())


def test_mixtures_are_chosen_by_the_predictions_that_will_be_made(rng):
    X, Y = items(rng)
    mixed = Mixed(trained("sampled", X[10:], Y[10:]), X[10:], Y[10:])
    grid = {"k": (5,), "power": (1.0,), "beta": (0.5,), "eps": (0.1,)}
    first = mixed.choose(X[:10], Y[:10], grid, mask_seen=True)[0]
    assert first["P@1"] == pytest.approx(mixed.model.evaluate(X[:10], Y[:10], mask_seen=True).scores["P@1"])


def test_more_labels_are_asked_for_until_enough_are_left():
    """Of 1,000 labels, best first 0, 1, 2, ..., row 0 has none, row 1 the first 998, row 2 the first 20, row 3 all."""
    seen = as_sparse_rows(np.arange(1000) < np.array([[0], [998], [20], [1000]]))
    asked = []

    def topk(rows, m):
        asked.append((rows.tolist(), m))
        ids = np.tile(np.arange(m, dtype=np.int32), (len(rows), 1))
        return -ids.astype(np.float32), ids

    values, ids = topk_unseen(topk, 3, seen)
    assert ids.tolist() == [[0, 1, 2], [998, 999, -1], [20, 21, 22], [-1, -1, -1]]
    assert values.tolist() == [[0, -1, -2], [-998, -999, -np.inf], [-20, -21, -22], [-np.inf] * 3]
    assert asked == [([0, 1, 2, 3], 12), ([1, 2, 3], 48), ([1, 3], 192), ([1, 3], 768), ([1, 3], 1000)]


def test_unseen_labels_by_hand():
    seen = as_sparse_rows(np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]))
    ids = np.array([[3, 2, -1], [0, 3, -1], [0, 1, 2]], np.int32)
    new = unseen(seen, np.arange(3)[:, None], ids)
    assert new.tolist() == [[False, True, False], [True, True, False], [False, True, True]]
    values, left = first_unseen(np.float32([[9, 8, -np.inf], [7, 6, -np.inf], [5, 4, 3]]), ids, 2, seen)
    assert left.tolist() == [[2, -1], [0, 3], [1, 2]] and values.tolist() == [[8, -np.inf], [7, 6], [4, 3]]
    assert left.dtype == np.int32 and values.dtype == np.float32
    assert_sets(without(ActiveSet.of([[0, 1, 3], [2], [0]]), seen), [[0], [2], []])
    assert_sets(without(ActiveSet.of([[], [1, 3], [0, 2]]), as_sparse_rows(np.zeros((3, 4)))), [[], [1, 3], [0, 2]])


@pytest.mark.parametrize("kind", ["network", "ensemble", "mixed"])
def test_what_has_no_meaning_is_refused(kind, rng):
    X, Y = items(rng)
    network = Network(N, [Dense(8), Dense(30)], threads=1)
    model = {"network": network, "ensemble": Ensemble([network]), "mixed": Mixed(network, X, Y[:, :30])}[kind]
    for call in (model.predict, lambda X, **how: model.evaluate(X, Y[:, :30], **how)):
        with pytest.raises(ValueError, match=r"mask_seen: found True with 50 features and 30 labels"):
            call(X, mask_seen=True)
        with pytest.raises(ValueError, match=r"mask_seen: found 50 columns, expected 30"):
            call(X, mask_seen=X)
        with pytest.raises(ValueError, match=r"mask_seen: found 39 rows, expected 40"):
            call(X, mask_seen=Y[:39, :30])
    assert seen_labels(False, as_sparse_rows(X), N) is None


@pytest.mark.parametrize("kind", ["network", "ensemble", "mixed"])
def test_no_rows_have_no_predictions(kind, rng):
    X, Y = items(rng)
    network = trained("sampled", X, Y)
    model = {"network": network, "ensemble": Ensemble([network]), "mixed": Mixed(network, X, Y)}[kind]
    assert [found.shape for found in model.predict(X[:0], 5, mask_seen=True)] == [(0, 5), (0, 5)]
