"""Prediction: exact logits are those of plain NumPy, sampled ones those of what the tables hold for the row alone."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from slide import SGD, Dense, Network, Sampled, reference
from slide.hashing import FAMILIES
from tests.networks import CONFIGURATIONS, N_FEATURES, N_LABELS, N_ROWS, make, sampled, separable


@pytest.mark.parametrize("name", ["vanilla, simhash", "full", "dense", "hidden sampled", "first sampled", "one layer"])
def test_exact_prediction_is_that_of_plain_numpy(name):
    X, Y = separable()
    network = make(name, 2).fit(X, Y, steps=10)
    x = X.toarray().astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for layer in network.layers:
        z = x @ layer.weights.T + layer.bias
        x = np.maximum(z, 0)
    ids, values = network.predict(X, k=4)
    assert ids.shape == values.shape == (N_ROWS, 4) and ids.dtype == np.int32 and values.dtype == np.float32
    np.testing.assert_allclose(values, reference.topk_rows(z, 4)[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(z, ids, axis=1), values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_sampled_prediction_names_logits_of_active_neurons(name):
    X, Y = separable()
    network = make(name, 2).fit(X, Y, steps=10)
    ids, values = network.predict(X, k=N_LABELS, sampled=True)
    np.testing.assert_array_equal(ids < 0, np.isinf(values))
    assert (values[:, 1:] <= values[:, :-1]).all()
    found = np.sort(ids, axis=1)
    assert ((np.diff(found, axis=1) > 0) | (found[:, 1:] < 0)).all()  # no neuron twice
    evaluation = network.evaluate(X, Y, sampled=True)
    np.testing.assert_allclose((ids >= 0).sum(axis=1).mean(), evaluation.active, rtol=1e-12)


def test_prediction_in_parts_is_prediction(monkeypatch):
    X, Y = separable()
    network = make("vanilla, simhash", 2).fit(X, Y, steps=10)
    whole = [network.predict(X, 3, sampled_) for sampled_ in (False, True)]
    monkeypatch.setattr("slide.network.PREDICT_ROWS", 7)
    for sampled_, (ids, values) in zip((False, True), whole, strict=True):
        again = network.predict(X, 3, sampled_)
        np.testing.assert_array_equal(again[0], ids)
        np.testing.assert_allclose(again[1], values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["vanilla, simhash", "threshold, dwta", "uniform", "hidden sampled", "one layer"])
def test_sampled_prediction_of_a_row_depends_on_that_row_alone(name):
    X, Y = separable()
    network = make(name, 2).fit(X, Y, steps=10)
    ids, values = network.predict(X, 4, sampled=True)
    order = np.random.default_rng(0).permutation(N_ROWS)[:50]
    again = network.predict(X[order], 4, sampled=True)
    np.testing.assert_array_equal(again[0], ids[order])
    np.testing.assert_allclose(again[1], values[order], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layers", [[sampled(8), sampled()], [Dense(N_LABELS)], [sampled()]])
def test_prediction_on_wide_data_stays_small(layers):
    n_features = 200_000
    network = Network(n_features, layers, optimizer=SGD(), threads=1)
    X = sparse.random_array((300, n_features), density=1e-4, format="csr", rng=0, dtype=np.float32)
    tracemalloc.start()
    try:
        network.predict(X, 3)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20  # 240 MB if all of it were dense
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sampled_", [False, True])
@pytest.mark.parametrize("name", ["vanilla, simhash", "dense", "first sampled", "one layer"])
def test_no_rows_rows_of_zeros_and_rows_without_labels(name, sampled_):
    network = make(name, 2)
    ids, values = network.predict(np.zeros((0, N_FEATURES)), k=4, sampled=sampled_)
    assert ids.shape == values.shape == (0, 4)
    ids, values = network.predict(np.zeros((1, N_FEATURES)), k=N_LABELS + 50, sampled=sampled_)
    assert ids.shape == values.shape and ids.shape[0] == 1
    if not sampled_:
        assert sorted(ids[0][ids[0] >= 0]) == list(range(N_LABELS))
    scores = network.evaluate(np.zeros((0, N_FEATURES)), np.zeros((0, N_LABELS)), sampled=sampled_).scores
    assert set(scores.values()) == {0.0}
    scores = network.evaluate(np.ones((3, N_FEATURES)), np.zeros((3, N_LABELS)), sampled=sampled_).scores
    assert set(scores.values()) == {0.0}


@pytest.mark.parametrize("layers", [[Dense(2)], [Dense(3), Dense(1)], [Dense(3), Sampled(2, active=1, K=1, L=2)]])
@pytest.mark.parametrize("sampled_", [False, True])
def test_places_beyond_the_labels_are_wrong_predictions(layers, sampled_):
    network = Network(3, layers, threads=1)
    n_labels = layers[-1].n_neurons
    X, Y = np.ones((4, 3)), np.ones((4, n_labels))
    network.fit(X, Y)
    scores = network.evaluate(X, Y, ks=(1, 3, 5), sampled=sampled_).scores
    if not sampled_:
        assert scores["P@5"] == pytest.approx(n_labels / 5, rel=1e-12)


@pytest.mark.parametrize("hash_", sorted(FAMILIES))
@pytest.mark.parametrize("width", [1, 2, 5])
def test_layers_of_few_neurons_or_one_input(hash_, width):
    network = Network(1, [Dense(width), sampled(1, hash=hash_, K=1, L=1)], threads=2)
    network.fit(np.ones((3, 1)), np.ones((3, 1)), epochs=2)
    assert network.predict(np.ones((1, 1)), k=1)[0].tolist() == [[0]]
