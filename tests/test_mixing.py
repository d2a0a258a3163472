"""Mixing: the best labels among all by log p + beta log(share + eps), and weights that held-out rows choose."""

import numpy as np
import pytest
from scipy import sparse

from slide import Dense, Network, Sampled
from slide.activations import hidden
from slide.hashing import SimHash
from slide.prediction import mixing as mixing_module
from slide.prediction.ensemble import Ensemble
from slide.prediction.mixing import Mixed, Mixing
from slide.prediction.neighbours import Neighbours, unit_rows

N_FEATURES, N_LABELS = 30, 40
BOTH = {"hidden": Mixing(k=5, power=3.0, beta=0.7, eps=0.05), "input": Mixing(k=9, power=1.0, beta=1.5, eps=0.01)}
GRID = {"k": (5, 20), "power": (1.0, 4.0), "beta": (0.5, 2.0), "eps": (0.01, 0.1)}


def data(rng, n=120):
    X = sparse.random_array((n, N_FEATURES), density=0.2, format="csr", rng=rng, dtype=np.float32)
    Y = sparse.csr_array(rng.random((n, N_LABELS)) < 0.05)
    return X, Y


def trained(X, Y, seed=0, widths=(16,), threads=1):
    layers = [*(Dense(width) for width in widths), Sampled(N_LABELS, K=2, L=5, active=20)]
    return Network(N_FEATURES, layers, batch_size=16, seed=seed, threads=threads).fit(X, Y, epochs=3)


def all_scores(model, X, Y, mixings, queries):
    """float64 (n, n_labels): the score of every label, of the model's values for all of them."""
    ids, values = model.predict(queries, N_LABELS)
    scores = np.empty(values.shape)
    np.put_along_axis(scores, ids.astype(np.int64), values.astype(float), 1)
    networks = model.networks if isinstance(model, Ensemble) else [model]
    for name, mixing in mixings.items():
        rows, near = X, queries
        if name == "hidden":
            rows, near = (np.hstack([unit_rows(hidden(network, x)) for network in networks]) for x in (X, queries))
        memory = Neighbours(rows, Y)
        shares = memory.shares(*memory.find(near, mixing.k), mixing.power).toarray()
        scores += mixing.beta * np.log(shares + mixing.eps)
    return scores


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("names", [("hidden",), ("input",), ("hidden", "input")])
def test_prediction_has_the_largest_scores_of_all_labels(names, n_networks, rng):
    X, Y = data(rng)
    queries, _ = data(rng)
    networks = [trained(X, Y, seed) for seed in range(n_networks)]
    model = networks[0] if n_networks == 1 else Ensemble(networks)
    mixings = {name: BOTH[name] for name in names}
    expected = all_scores(model, X, Y, mixings, queries)
    for k in (1, 4, N_LABELS + 3):
        ids, scores = Mixed(model, X, Y, mixings).predict(queries, k)
        assert ids.shape == scores.shape == (120, min(k, N_LABELS))
        np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :k], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            scores, np.take_along_axis(expected, ids.astype(np.int64), 1), rtol=1e-4, atol=1e-4
        )


def test_without_weight_the_model_predicts_alone(rng):
    X, Y = data(rng)
    network = trained(X, Y)
    mixed = Mixed(network, X, Y, {"hidden": Mixing(beta=0.0), "input": Mixing(beta=0.0)})
    for one, other in zip(mixed.predict(X), network.predict(X), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def neighbourly(rng, n):
    """Rows in 200 narrow clusters, each of one label that the other features say nothing about."""
    centres = np.random.default_rng(1).random((200, N_FEATURES), dtype=np.float32)
    label = np.random.default_rng(2).integers(0, N_LABELS, 200)
    cluster = rng.integers(0, 200, n)
    X = centres[cluster] + 0.02 * rng.random((n, N_FEATURES), dtype=np.float32)
    return X, sparse.csr_array((np.ones(n, np.float32), (np.arange(n), label[cluster])), shape=(n, N_LABELS))


def test_neighbours_that_help_get_weight(rng):
    X, Y = neighbourly(rng, 1500)
    X_held, Y_held = neighbourly(rng, 200)
    mixed = Mixed(trained(X, Y), X, Y, {"input": Mixing(beta=0.0)})
    alone = mixed.evaluate(X_held, Y_held).scores
    records = mixed.choose(X_held, Y_held, GRID)
    assert mixed.mixings["input"].beta > 0
    assert records[0] == {"by": None, "P@1": pytest.approx(alone["P@1"]), "nDCG@5": pytest.approx(alone["nDCG@5"])}
    assert len(records) == 1 + 16
    best = max(record["P@1"] + record["nDCG@5"] for record in records)
    scores = mixed.evaluate(X_held, Y_held).scores
    assert scores["P@1"] + scores["nDCG@5"] == pytest.approx(best) and scores["P@1"] > alone["P@1"]


def test_a_trial_is_the_evaluation_of_its_settings(rng):
    X, Y = neighbourly(rng, 400)
    X_held, Y_held = neighbourly(rng, 80)
    mixed = Mixed(Ensemble([trained(X, Y, seed) for seed in (0, 1)]), X, Y)
    records = mixed.choose(X_held, Y_held, GRID)
    for record in records[1:33:5]:
        settings = {name: record[name] for name in ("k", "power", "beta", "eps")}
        mixed.mixings = {record["by"]: Mixing(**settings)}
        scores = mixed.evaluate(X_held, Y_held).scores
        assert record["P@1"] == pytest.approx(scores["P@1"]) and record["nDCG@5"] == pytest.approx(scores["nDCG@5"])


def test_neighbours_that_do_not_help_get_none(rng):
    X, Y = neighbourly(rng, 1500)
    X_held, Y_held = neighbourly(rng, 200)
    network = trained(X, Y)
    shuffled = Y[rng.permutation(1500)]  # what is remembered says nothing of these labels
    mixed = Mixed(network, X, shuffled)
    mixed.choose(X_held, Y_held, GRID)
    assert all(mixing.beta == 0 for mixing in mixed.mixings.values())


def test_the_second_similarity_joins_only_where_it_helps(rng):
    X, Y = neighbourly(rng, 1000)
    X_held, Y_held = neighbourly(rng, 200)
    network = trained(X, Y, widths=(64,))
    mixed = Mixed(network, X, Y)
    records = mixed.choose(X_held, Y_held, GRID)
    used = [name for name, mixing in mixed.mixings.items() if mixing.beta > 0]
    assert used and len(records) in (1 + 32, 1 + 32 + 16)
    if len(used) == 2:
        singles = [record["P@1"] + record["nDCG@5"] for record in records[:33]]
        scores = mixed.evaluate(X_held, Y_held).scores
        assert scores["P@1"] + scores["nDCG@5"] > max(singles)


def test_what_was_saved_is_restored(rng):
    X, Y = data(rng)
    network = trained(X, Y)
    mixed = Mixed(network, X, Y, BOTH)
    state = mixed.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    restored = Mixed.restore(network, state)
    assert restored.mixings == BOTH and restored.nbytes == mixed.nbytes
    for one, other in zip(restored.predict(X), mixed.predict(X), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "break_it", [lambda s: s.pop("rows.ids"), lambda s: s["rows.ids"].fill(99), lambda s: s["settings"].fill(0)]
)
def test_a_broken_state_is_refused(break_it, rng):
    X, Y = data(rng)
    network = trained(X, Y)
    state = {name: array.copy() for name, array in Mixed(network, X, Y).state().items()}
    break_it(state)
    with pytest.raises(ValueError, match="found"):
        Mixed.restore(network, state)


def test_prediction_does_not_depend_on_threads(rng):
    X, Y = data(rng)
    one, other = (Mixed(trained(X, Y, threads=threads), X, Y).predict(X) for threads in (1, 3))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_hidden_rows_may_be_found_by_hash_tables(rng):
    X, Y = data(rng)
    network = trained(X, Y)
    options = {"family": SimHash(16, K=1, L=60), "candidates": 120, "bucket_size": 120}
    found = Mixed(network, X, Y, BOTH, **options)
    assert found.memories["hidden"].tables and not found.memories["input"].tables
    np.testing.assert_allclose(found.predict(X)[1], Mixed(network, X, Y, BOTH).predict(X)[1], rtol=1e-4, atol=1e-4)


def test_many_hidden_rows_are_found_by_hash_tables_unless_asked(rng, monkeypatch):
    X, Y = data(rng)
    network = trained(X, Y)
    monkeypatch.setattr(mixing_module, "EXACT", X.shape[0] - 1)
    found = Mixed(network, X, Y)
    assert isinstance(found.memories["hidden"].family, SimHash) and not found.memories["input"].tables
    assert Mixed(network, X, Y, family=None).memories["hidden"].tables is None
    again = Mixed.restore(network, found.state())
    np.testing.assert_array_equal(again.predict(X)[0], found.predict(X)[0])


def test_no_rows_have_no_predictions(rng):
    X, Y = data(rng)
    ids, scores = Mixed(trained(X, Y), X, Y).predict(X[:0])
    assert ids.shape == scores.shape == (0, 5)


def test_one_remembered_row_and_one_label(rng):
    X, Y = data(rng, 1)
    mixed = Mixed(trained(X, Y), X, Y)
    assert mixed.choose(X, Y, GRID)[0]["by"] is None
    assert mixed.predict(X)[0].shape == (1, 5)
    single = Network(N_FEATURES, [Dense(4), Dense(1)]).fit(X, np.ones((1, 1)))
    assert Mixed(single, X, np.ones((1, 1))).predict(X)[0].tolist() == [[0]]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": "network"}, "model: found 'network'"),
        ({"mixings": {}}, "mixings: found {}"),
        ({"mixings": {"output": Mixing()}}, "mixings: found"),
        ({"mixings": {"input": 3}}, "mixings: found"),
        ({"Y": np.ones((3, N_LABELS))}, "Y: found 3 rows, expected 120"),
        ({"X": np.ones((120, 3))}, "X: found 3 columns"),
    ],
)
def test_what_does_not_fit_is_refused(change, message, rng):
    X, Y = data(rng)
    with pytest.raises(ValueError, match=message):
        Mixed(**{"model": trained(X, Y), "X": X, "Y": Y, **change})


def test_a_network_without_hidden_layer_has_no_hidden_rows(rng):
    X, Y = data(rng)
    network = trained(X, Y, widths=())
    with pytest.raises(ValueError, match="mixings: found 'hidden'"):
        Mixed(network, X, Y)
    assert Mixed(network, X, Y, {"input": Mixing()}).predict(X)[0].shape == (120, 5)


@pytest.mark.parametrize("setting", [{"k": 0}, {"power": -1}, {"beta": -0.1}, {"eps": 0}])
def test_wrong_mixings_are_refused(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: found"):
        Mixing(**setting)


def test_choosing_needs_rows_and_a_whole_grid(rng):
    X, Y = data(rng)
    mixed = Mixed(trained(X, Y), X, Y)
    with pytest.raises(ValueError, match="X: found no rows"):
        mixed.choose(X[:0], Y[:0])
    with pytest.raises(ValueError, match="grid: found"):
        mixed.choose(X, Y, {"k": (1,)})
