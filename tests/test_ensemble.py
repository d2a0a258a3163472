"""Ensembles: the mean of all probabilities, exact; and what networks compute for them."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp

from slide import Dense, Network, Sampled
from slide.activations import chosen_logits, hidden, last_hidden, log_normalisers
from slide.prediction.ensemble import CANDIDATES, Block, Ensemble, union
from slide.rows import ActiveSet, as_sparse_rows

N_FEATURES, N_LABELS = 40, 60
LAST = {
    "sampled": Sampled(N_LABELS, K=2, L=5, active=20),
    "every neuron": Sampled(N_LABELS, sampler="full"),
    "dense": Dense(N_LABELS),
    "bfloat16": Sampled(N_LABELS, K=2, L=5, active=20, weight_type="bfloat16", moment_type="bfloat16"),
}


def data(rng, n=50):
    X = sparse.random_array((n, N_FEATURES), density=0.2, format="csr", rng=rng, dtype=np.float32)
    Y = sparse.csr_array(rng.random((n, N_LABELS)) < 0.05)
    return X, Y


def trained(last, seed, X, Y, hidden=(16,), threads=1):
    layers = [*(Dense(width) for width in hidden), last]
    return Network(N_FEATURES, layers, batch_size=16, seed=seed, threads=threads).fit(X, Y, epochs=3)


def dense_log_mean(networks, X):
    """(n, n_labels), float64: the logarithm of the mean probability of every label, at once."""
    parts = []
    for network in networks:
        x, output = last_hidden(network, network._as_rows(X)), network.layers[-1]
        z = x.astype(np.float64) @ output.weights.T.astype(np.float64) + output.bias
        parts.append(z - logsumexp(z, axis=1, keepdims=True))
    return logsumexp(parts, axis=0) - np.log(len(parts))


def assert_topk(ids, values, expected):
    """That ids and values are the largest of each row of `expected`, best first."""
    k = ids.shape[1]
    np.testing.assert_allclose(values, -np.sort(-expected, axis=1)[:, :k], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(values, np.take_along_axis(expected, ids.astype(np.int64), 1), rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == k for row in ids.tolist())


@pytest.mark.parametrize(
    "last, hidden",
    [*((last, (16,)) for last in LAST), ("sampled", (24, 8)), ("sampled", ()), ("every neuron", ()), ("dense", ())],
)
def test_prediction_is_the_mean_of_all_probabilities(last, hidden, rng):
    X, Y = data(rng)
    networks = [trained(LAST[last], seed, X, Y, hidden) for seed in range(3)]
    for n in (1, 3):
        ensemble = Ensemble(networks[:n])
        for k in (1, 5, N_LABELS, N_LABELS + 9):
            ids, values = ensemble.predict(X, k)
            assert ids.shape == values.shape == (50, min(k, N_LABELS))
            assert_topk(ids, values, dense_log_mean(networks[:n], X))


def test_one_network_ranks_as_it_does_alone(rng):
    X, Y = data(rng)
    network = trained(LAST["sampled"], 0, X, Y)
    ids, values = network.predict(X, 7)
    found, log_p = Ensemble([network]).predict(X, 7)
    np.testing.assert_array_equal(found, ids)
    np.testing.assert_allclose(np.diff(log_p), np.diff(values), atol=1e-5)


def test_networks_that_normalise_differently_each_read_rows_their_own_way(rng):
    X, Y = data(rng)
    networks = [Network(N_FEATURES, [Dense(8), Dense(N_LABELS)], normalize=n, threads=1) for n in (True, False)]
    ensemble = Ensemble(networks).fit(X, Y, epochs=2)
    assert_topk(*ensemble.predict(X, 5), dense_log_mean(networks, X))


def with_biases(*biases):
    """Networks whose logits are these biases for every input."""
    networks = []
    for bias in biases:
        networks.append(Network(N_FEATURES, [Dense(4), Dense(len(bias))], threads=1))
        networks[-1].layers[-1].weights[...] = 0
        networks[-1].layers[-1].bias[...] = bias
    return networks


def test_a_label_that_no_network_puts_forward_is_found(rng):
    one, other = np.full(1000, -9.0), np.full(1000, -9.0)
    one[: 2 * CANDIDATES], other[-2 * CANDIDATES :] = 2.0, 2.0
    one[500] = other[500] = 1.9  # never among the first of either, the largest of the mean
    networks = with_biases(one, other)
    X, _ = data(rng)
    ids, values = Ensemble(networks).predict(X, 3)
    assert (ids[:, 0] == 500).all() and (ids[:, 1:] == [0, 1]).all()
    assert_topk(ids, values, dense_log_mean(networks, X))


def test_equal_probabilities_go_to_the_smaller_label(rng):
    ids, _ = Ensemble(with_biases(np.zeros(500), np.zeros(500))).predict(data(rng)[0], 4)
    assert (ids == [0, 1, 2, 3]).all()


def test_the_seed_decides_the_hash_functions_and_the_weights(rng):
    X, Y = data(rng)
    networks = [Network(N_FEATURES, [Dense(16), LAST["sampled"]], seed=seed, threads=1) for seed in range(3)]
    ensemble = Ensemble(networks).fit(X, Y, steps=4)
    assert [network.step for network in networks] == [4, 4, 4]
    families = [network.layers[-1].index.family for network in ensemble.networks]
    assert len({family.seed for family in families}) == 3
    assert not np.array_equal(families[0].codes(np.eye(16, dtype=np.float32)), families[1].codes(np.eye(16)))
    assert not np.array_equal(networks[0].layers[0].weights, networks[1].layers[0].weights)


def test_prediction_does_not_depend_on_threads(rng):
    X, Y = data(rng)
    found = []
    for threads in (1, 3):
        ensemble = Ensemble([trained(LAST["sampled"], seed, X, Y, threads=threads) for seed in (0, 1)])
        found.append(ensemble.predict(X, 5))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_counts_missing_labels_as_wrong(rng):
    X, Y = data(rng)
    ensemble = Ensemble([trained(LAST["dense"], 0, X, Y)])
    ids, _ = ensemble.predict(X, 1)
    hits = [Y[i, label] != 0 for i, label in enumerate(ids[:, 0])]
    evaluation = ensemble.evaluate(X, Y, ks=(1, N_LABELS + 1))
    assert evaluation.scores["P@1"] == pytest.approx(np.mean(hits)) and evaluation.active == N_LABELS
    assert evaluation.scores[f"P@{N_LABELS + 1}"] == pytest.approx(Y.nnz / 50 / (N_LABELS + 1))


def test_no_rows_have_no_predictions(rng):
    X, Y = data(rng)
    ids, values = Ensemble([trained(LAST["sampled"], seed, X, Y) for seed in (0, 1)]).predict(X[:0], 5)
    assert ids.shape == values.shape == (0, 5)


def test_memory_is_bounded_where_labels_are_many(rng):
    n, n_labels = 600, 40_000
    networks = [Network(N_FEATURES, [Dense(4), Dense(n_labels)], seed=i, threads=1) for i in range(2)]
    X = rng.random((n, N_FEATURES), dtype=np.float32)
    Ensemble(networks).predict(X[:2])
    tracemalloc.start()
    Ensemble(networks).predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n_labels  # bytes: a quarter of one network's logits


@pytest.mark.parametrize(
    "networks", [[], "networks", [1], [Network(3, [Dense(2)]), Network(3, [Dense(4)])]], ids=lambda x: repr(x)[:9]
)
def test_networks_that_do_not_fit_together_are_refused(networks):
    with pytest.raises(ValueError, match="networks: found"):
        Ensemble(networks)


def test_k_and_ks_are_checked(rng):
    X, Y = data(rng)
    ensemble = Ensemble([trained(LAST["dense"], 0, X, Y)])
    with pytest.raises(ValueError, match="k: found 0"):
        ensemble.predict(X, 0)
    with pytest.raises(ValueError, match="ks: found"):
        ensemble.evaluate(X, Y, ks=())
    with pytest.raises(ValueError, match=f"X: found 3 columns, expected {N_FEATURES}"):
        ensemble.predict(X[:, :3])


@pytest.mark.parametrize("n_labels", [1, 95, 6144, 13000])
@pytest.mark.parametrize("weight_type", ["float32", "bfloat16"])
def test_normalisers_are_log_sum_exp(n_labels, weight_type, rng, simd):
    last = Sampled(n_labels, K=1, L=1, weight_type=weight_type, init_std=2.0)
    output = Network(N_FEATURES, [Dense(8), last], threads=2).layers[-1]
    output.bias[...] = rng.normal(0, 20, n_labels)
    x = rng.random((300, 8), dtype=np.float32)
    z = x.astype(np.float64) @ output.weights.T.astype(np.float64) + output.bias
    np.testing.assert_allclose(log_normalisers(output, x), logsumexp(z, axis=1), rtol=1e-5, atol=1e-5)
    assert log_normalisers(output, x[:0]).shape == (0,)


@pytest.mark.parametrize("last", LAST)
def test_chosen_logits_are_those_of_the_layer(last, rng):
    output = Network(N_FEATURES, [Dense(8), LAST[last]], threads=2).layers[-1]
    x = rng.random((3, 8), dtype=np.float32)
    chosen = ActiveSet.of([[3, 0], [], [59]])
    z = x @ output.weights.T + output.bias
    np.testing.assert_allclose(chosen_logits(output, x, chosen), [z[0, 3], z[0, 0], z[2, 59]], rtol=1e-5, atol=1e-6)
    assert chosen_logits(output, x[:0], ActiveSet.of([])).shape == (0,)


def test_hidden_rows_are_what_the_last_layer_reads(rng):
    X, Y = data(rng)
    network = trained(LAST["sampled"], 0, X, Y, (24, 8))
    x = (X.toarray() / np.maximum(np.linalg.norm(X.toarray(), axis=1, keepdims=True), 1e-30)).astype(np.float32)
    for layer in network.layers[:-1]:
        x = np.maximum(x @ layer.weights.T + layer.bias, 0)
    np.testing.assert_allclose(hidden(network, X), x, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="network: found 1 layer"):
        hidden(Network(N_FEATURES, [Dense(3)]), X)


def test_a_block_gives_logits_of_one_network_where_no_normaliser_is_needed(rng):
    X, Y = data(rng)
    network = trained(LAST["dense"], 0, X, Y)
    ids, values = Block([network], as_sparse_rows(X), normalised=False).topk(5)
    expected = network.predict(X, 5)
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(values, expected[1], rtol=1e-5, atol=1e-5)


def test_a_union_has_each_label_once_and_ascending():
    joined = union(9, ActiveSet.of([[8, 1], [], [2]]), ActiveSet.of([[1, 0], [], [8]]))
    assert [joined[i].tolist() for i in range(3)] == [[0, 1, 8], [], [2, 8]]
