"""Probabilities, scores of given labels, logits in blocks and hidden rows are those of plain NumPy."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from slide import Dense, Network, reference
from slide.layers import few
from slide.prediction import Ensemble
from tests.networks import CONFIGURATIONS, N_FEATURES, N_LABELS, N_ROWS, make, separable

X, Y = separable()
KINDS = ["vanilla, simhash", "full", "dense", "hidden sampled", "first sampled", "one layer", "bfloat16"]
SIZES = [0, 1, 2, 3, N_ROWS]


def trained(name, threads=2, **more):
    return make(name, threads, **more).fit(X, Y, steps=10)


def plain(network, rows):
    """(logits, last hidden rows) in float64."""
    x = rows.toarray().astype(np.float64)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    for layer in network.layers:
        hidden, z = x, x @ layer.weights.T + layer.bias
        x = np.maximum(z, 0)
    return z, hidden


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("n", SIZES)
def test_scores_are_those_of_plain_numpy(name, n):
    network = trained(name)
    rows = X[:n]
    z, hidden = plain(network, rows)
    p = softmax(z, axis=1)
    ids, values = network.predict_proba(rows, 4)
    assert ids.dtype == np.int32 and values.dtype == np.float32 and ids.shape == values.shape == (n, 4)
    np.testing.assert_allclose(values, reference.topk_rows(p, 4)[0], rtol=2e-5)
    np.testing.assert_allclose(np.take_along_axis(p, ids.astype(int), 1), values, rtol=2e-5)
    every = network.predict_proba(rows, N_LABELS + 3)[1]
    np.testing.assert_allclose(every.sum(axis=1), np.ones(n), rtol=1e-5)
    blocks = list(network.logits(rows))
    np.testing.assert_allclose(np.concatenate([np.empty((0, N_LABELS)), *blocks]), z, rtol=1e-5, atol=1e-5)
    some = np.array([3, 0, 3, N_LABELS - 1])
    np.testing.assert_allclose(network.decision_function(rows, some), z[:, some], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        network.decision_function(rows, ids), np.take_along_axis(z, ids.astype(int), 1), rtol=1e-5, atol=1e-5
    )
    if len(network.layers) > 1:
        np.testing.assert_allclose(network.hidden(rows), hidden, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["vanilla, simhash", "dense", "bfloat16"])
def test_a_few_rows_are_predicted_as_many_are(name, monkeypatch, simd):
    """In parts of the labels that are smaller than these, with some left over."""
    network = trained(name)
    z, _ = plain(network, X)
    monkeypatch.setattr(few, "PART_BYTES", 4 * 7 * network.layers[-1].n_inputs)
    monkeypatch.setattr(few, "HELD", 30)
    for n in (1, 2):
        for k in (1, 5, N_LABELS):
            ids, values = network.predict(X[:n], k)
            np.testing.assert_allclose(values, reference.topk_rows(z[:n], k)[0], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(np.take_along_axis(z[:n], ids.astype(int), 1), values, rtol=1e-5, atol=1e-5)
            assert all(len(set(row)) == k for row in ids.tolist())
        np.testing.assert_allclose(network.predict_proba(X[:n], 2)[1], -np.sort(-softmax(z[:n], axis=1))[:, :2], 1e-5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_equal_logits_the_smaller_label_comes_first(n, monkeypatch):
    network = Network(3, [Dense(2), Dense(50)], threads=2)
    network.layers[1].weights[...] = 0
    network.layers[1].bias[...] = 0
    monkeypatch.setattr(few, "PART_BYTES", 4 * 2 * 9)
    ids, values = network.predict(np.ones((n, 3)), 12)
    assert ids.tolist() == [list(range(12))] * n and not values.any()
    assert network.predict_proba(np.ones((n, 3)), 1)[1] == pytest.approx(np.full((n, 1), 0.02), rel=1e-6)


def test_a_threshold_leaves_out_what_is_less_probable():
    network = trained("vanilla, simhash")
    ids, values = network.predict_proba(X, 6)
    threshold = float(np.median(values[:, 1]))
    cut_ids, cut_values = network.predict_proba(X, 6, threshold=threshold)
    kept = values >= np.float32(threshold)
    assert kept.any() and not kept.all()
    np.testing.assert_array_equal(cut_ids, np.where(kept, ids, -1))
    np.testing.assert_array_equal(cut_values, np.where(kept, values, 0))
    assert (network.predict_proba(X, 3, threshold=1.0)[0] == -1).all()


def test_what_is_seen_is_left_out_and_keeps_its_probability():
    network = trained("vanilla, simhash")
    p = softmax(plain(network, X)[0], axis=1)
    ids, values = network.predict_proba(X, N_LABELS, mask_seen=Y)
    seen = Y.toarray() > 0
    assert ((ids >= 0).sum(axis=1) == N_LABELS - seen.sum(axis=1)).all() and not values[ids < 0].any()
    rows, places = np.nonzero(ids >= 0)
    assert not seen[rows, ids[rows, places]].any()
    np.testing.assert_allclose(values[rows, places], p[rows, ids[rows, places]], rtol=2e-5)


def test_logits_come_in_blocks(monkeypatch):
    network = trained("vanilla, simhash")
    whole = np.concatenate(list(network.logits(X)))
    monkeypatch.setattr("slide.scores.BLOCK_BYTES", 4 * 7 * N_LABELS)
    blocks = list(network.logits(X))
    assert [len(block) for block in blocks] == [7] * (N_ROWS // 7) + [N_ROWS % 7]
    np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=1e-5, atol=1e-6)


def test_what_is_no_label_has_no_score(monkeypatch):
    network = trained("dense")
    monkeypatch.setattr("slide.scores.HELD", 5)
    labels = np.array([[4, -1], [-1, -1], [0, 2]])
    found = network.decision_function(X[:3], labels)
    np.testing.assert_array_equal(found == -np.inf, labels < 0)
    z = plain(network, X[:3])[0]
    np.testing.assert_allclose([found[0, 0], *found[2]], [z[0, 4], z[2, 0], z[2, 2]], rtol=1e-5)
    assert network.decision_function(X[:3], []).shape == (3, 0)


@pytest.mark.parametrize(
    "labels, message",
    [([N_LABELS], "expected 0 to"), ([-1], "expected 0 to"), ([[-2], [0]], "expected -1 to"), ([0.5], "integers"),
     ([[1], [2], [3]], "integers"), (3, "integers"), ("a", "labels")],
)  # fmt: skip
def test_labels_that_are_none_are_refused(labels, message):
    for model in (make("dense", 1), Ensemble([make("dense", 1)])):
        with pytest.raises(ValueError, match=message):
            model.decision_function(X[:2], labels)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan, None, "x", True])
def test_thresholds_that_are_none_are_refused(threshold):
    for model in (make("dense", 1), Ensemble([make("dense", 1)])):
        with pytest.raises(ValueError, match="threshold: found"):
            model.predict_proba(X, 1, threshold=threshold)


def test_hidden_rows_need_a_hidden_layer_and_arguments_are_checked_before_logits_are_asked_for():
    with pytest.raises(ValueError, match="expected a hidden one"):
        make("one layer", 1).hidden(X)
    with pytest.raises(ValueError, match="X: found"):
        make("dense", 1).logits(np.ones((2, N_FEATURES + 1)))


@pytest.mark.parametrize("n", [1, 40])
def test_an_ensemble_has_the_mean_of_the_probabilities(n):
    networks = [trained("vanilla, simhash", seed=i) for i in range(3)]
    ensemble = Ensemble(networks)
    p = np.mean([softmax(plain(network, X[:n])[0], axis=1) for network in networks], axis=0)
    ids, values = ensemble.predict_proba(X[:n], 4)
    np.testing.assert_allclose(values, -np.sort(-p, axis=1)[:, :4], rtol=2e-5)
    np.testing.assert_allclose(ensemble.decision_function(X[:n], ids), np.log(values), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ensemble.decision_function(X[:n], [5, 1]), np.log(p[:, [5, 1]]), rtol=1e-4, atol=1e-5)
    cut_ids, _ = ensemble.predict_proba(X[:n], 4, threshold=float(values[0, 0]))
    np.testing.assert_array_equal(cut_ids, np.where(values >= values[0, 0], ids, -1))


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_every_network_has_probabilities(name):
    network = make(name, 1)
    ids, values = network.predict_proba(X[:5], N_LABELS)
    expected = np.exp(log_softmax(np.concatenate(list(network.logits(X[:5]))), axis=1))
    np.testing.assert_allclose(values, np.take_along_axis(expected, ids.astype(int), 1), rtol=1e-4)
