"""Training is a function of data, settings and seed: not of threads, of interruptions or of what is asked meanwhile."""

import copy

import numpy as np
import pytest
from scipy import sparse

from slide import SGD, Dense, Network, RehashSchedule, Sampled
from slide.network import DROPOUT, ORDER, WEIGHTS
from slide.sampling import TopK
from slide.state import storage
from tests.networks import (
    CONFIGURATIONS,
    N_FEATURES,
    N_LABELS,
    N_ROWS,
    assert_same,
    assert_same_predictions,
    make,
    sampled,
    separable,
)

FAST = ("vanilla, simhash", "topk, dwta", "threshold, ranged", "logQ, few labels", "full", "dense", "hidden sampled",
        "bfloat16")  # fmt: skip
EVERY = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CONFIGURATIONS]


@pytest.mark.parametrize("name", EVERY)
def test_threads_and_interruptions_do_not_change_a_bit(name, tmp_path):
    """150 rows in batches of 32: the last batch is partial, and step 33 is within an epoch."""
    path, (X, Y) = tmp_path / "model.npz", separable()

    def keep(network, _):
        if network.step == 33:
            network.save(path)

    whole = make(name, 2).fit(X, Y, steps=55, callback=keep)
    assert all(np.isfinite(layer.weights).all() for layer in whole.layers)
    resumed = Network.load(path, threads=1)
    assert resumed.step == 33 and resumed.threads == 1
    assert storage.settings(resumed) == storage.settings(whole) | {"threads": 1}
    many = make(name, 8).fit(X, Y, steps=55)
    for other in (resumed.fit(X, Y, steps=22), many):
        assert_same(other, whole)
        assert_same_predictions(other, whole, X)


def test_the_seed_decides_every_random_choice():
    X, Y = separable()
    one, two, other = (make("vanilla, simhash", 2, seed=seed).fit(X, Y, steps=5) for seed in (1, 1, 2))
    assert_same(one, two)
    assert (one.layers[0].weights != other.layers[0].weights).any()


@pytest.mark.parametrize("seed", [0, 1, 2, 2**32, 2**40 + 5])
def test_streams_of_random_numbers_are_apart(seed):
    network = make("dense", 1, seed=seed)
    places = [(WEIGHTS, 0), *[(purpose, number) for purpose in (ORDER, DROPOUT) for number in range(4)]]
    assert len({network._rng(*place).integers(2**62) for place in places}) == len(places)


def test_partial_fit_is_a_step_of_fit():
    X, Y = separable()
    one, two = make("dense", 1, batch_size=N_ROWS), make("dense", 1, batch_size=N_ROWS)
    one.fit(X, Y)
    order = one._rng(ORDER, 0).permutation(N_ROWS)
    two.partial_fit(X[order], Y[order])
    assert_same(one, two)


def test_hogwild_on_one_thread_differs_by_rounding_alone():
    X, Y = separable()
    settings = {"optimizer": SGD(lr=0.5), "batch_size": 32, "threads": 1}
    rows, hogwild = (
        Network(N_FEATURES, [Dense(16), sampled(sampler="uniform")], update=update, **settings).fit(X, Y, steps=20)
        for update in ("rows", "hogwild")
    )
    for a, b in zip(rows.layers, hogwild.layers, strict=True):
        np.testing.assert_allclose(a.weights, b.weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-5, atol=1e-6)


def test_dense_input_trains_as_sparse_does():
    X, Y = separable()
    one, two = (make("vanilla, simhash", 2) for _ in range(2))
    assert_same(one.fit(X, Y, steps=20), two.fit(X.toarray(), Y.toarray(), steps=20))


def test_prediction_does_not_disturb_training():
    X, Y = separable()
    one, two = make("hidden sampled", 2), make("hidden sampled", 2)
    one.fit(X, Y, steps=12)
    two.fit(X, Y, steps=12, callback=lambda network, _: network.evaluate(X, Y, sampled=True) is None)
    assert_same(one, two)


def test_labels_may_come_as_an_indicator_as_integers_and_as_lists():
    X, Y = separable()
    one = sparse.csr_array((np.ones(N_ROWS, bool), Y.indices[Y.indptr[:-1]], np.arange(N_ROWS + 1)), shape=Y.shape)
    forms = {
        "several": (Y, Y.toarray(), Y.toarray() > 0, Y.tocoo(), np.split(Y.indices, Y.indptr[1:-1])),
        "one": (one, one.toarray(), one.indices, one.indices.tolist(), one.indices.reshape(-1, 1).tolist()),
    }
    for same in forms.values():
        networks = [make("vanilla, simhash", 2).fit(X, Y, steps=6) for Y in same]
        losses = [network.partial_fit(X, Y) for network, Y in zip(networks, same, strict=True)]
        scores = [network.evaluate(X, Y) for network, Y in zip(networks, same, strict=True)]
        assert len(set(losses)) == 1 and all(score == scores[0] for score in scores)
        for network in networks[1:]:
            assert_same(network, networks[0])


@pytest.mark.parametrize("copied_by", [copy.deepcopy, Network._twin])
@pytest.mark.parametrize("name", EVERY)
def test_a_copy_trains_as_the_original_does_and_apart_from_it(name, copied_by):
    X, Y = separable()
    network = make(name, 2).fit(X, Y, steps=10)
    copied, before = copied_by(network), [layer.weights.copy() for layer in network.layers]
    copied.fit(X, Y, steps=10)
    for layer, weights in zip(network.layers, before, strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
    assert_same(network.fit(X, Y, steps=10), copied)


def test_callback_ends_training():
    X, Y = separable()
    network = make("dense", 1).fit(X, Y, epochs=10, callback=lambda network, loss: network.step == 7)
    assert network.step == 7 and network.samples == 4 * 32 + (N_ROWS - 4 * 32) + 2 * 32


def test_an_epoch_ends_with_a_smaller_batch():
    X, Y = separable()
    network = make("uniform", 1).fit(X, Y, epochs=3)
    assert network.step == 15 and network.samples == 3 * N_ROWS


def test_a_network_says_how_many_neurons_were_active():
    network = make("uniform", 1)
    network.partial_fit(np.ones((3, N_FEATURES)), np.zeros((3, N_LABELS)))
    assert network.n_labels == N_LABELS and network.active == 12.0


def test_few_of_a_samples_labels_join_its_active_set():
    X = np.random.default_rng(0).random((64, N_FEATURES)).astype(np.float32)
    Y = np.ones((64, N_LABELS), np.float32)
    for layer, most in ((sampled(sampler="uniform", active=1), N_LABELS),
                        (sampled(sampler="uniform", active=1, max_labels=3), 4)):  # fmt: skip
        network = Network(N_FEATURES, [Dense(16), layer], group_size=1, batch_size=32)
        network.fit(X, Y, steps=2)
        assert most - 1 <= network.active <= most
    with pytest.raises(ValueError, match="max_labels: found 0"):
        sampled(max_labels=0)


def test_active_sets_grow_when_asked():
    X, Y = separable()
    layer = sampled(sampler="vanilla", active=4, min_active=8)
    network = Network(N_FEATURES, [Dense(16), layer], batch_size=32, group_size=4, seed=3)
    seen = []

    def after_batch(network, loss):
        seen.append(network.active)
        if network.step == 3:
            network.grow(2.0)

    network.fit(X, Y, steps=6, callback=after_batch)
    assert max(seen[:3]) < 16 <= min(seen[3:])
    assert network.group_size == 8 and network.specs[-1].active == 8 and network.specs[-1].min_active == 16
    network.grow(100)
    assert network.group_size == 32 and network.specs[-1].min_active == N_LABELS
    for factor in (0, -1, "2", float("nan")):
        with pytest.raises(ValueError, match="factor: "):
            network.grow(factor)
    with pytest.raises(ValueError, match="grow: found"):
        Network(N_FEATURES, [Dense(16), sampled(sampler="full")]).grow(2)


def test_a_sampler_of_its_own_grows_too():
    spec = Sampled(100, sampler=TopK(active=5)).grown(3)
    assert spec.sampler == TopK(active=15) and spec.min_active is None


def test_rehash_indexes_the_weights_as_they_are():
    X, Y = separable()
    layer = sampled(sampler="vanilla", active=4, rehash=RehashSchedule(N0=1000))
    network = Network(N_FEATURES, [Dense(16), layer], batch_size=32, seed=3).fit(X, Y, steps=20)
    index = network.layers[-1].index
    before, due = index.tables.located.copy(), index.next_rehash
    network.rehash()
    assert (index.tables.located != before).any() and index.next_rehash == due
    codes = index.family.codes(network.layers[-1].weights)
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(codes))
