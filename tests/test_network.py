"""Networks: the same bits on any number of threads, learning, prediction, bad input."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from slide import SGD, Adam, Dense, Network, RehashSchedule, Sampled, Schedule, reference
from slide.hashing import FAMILIES
from slide.network import DROPOUT, ORDER, WEIGHTS
from slide.sampling import TopK

N_FEATURES, N_LABELS, N_ROWS = 40, 30, 150


def separable(seed=0, n=N_ROWS):
    """(X sparse, Y sparse): every label has features of its own, rows have one or two labels and a little noise."""
    rng = np.random.default_rng(seed)
    prototypes = np.random.default_rng(99).random((N_LABELS, N_FEATURES))
    prototypes *= prototypes > 0.8
    Y = np.eye(N_LABELS)[rng.integers(0, N_LABELS, n)]
    Y[: n // 5] = np.maximum(Y[: n // 5], np.roll(Y[: n // 5], 1, axis=0))
    X = Y @ prototypes + 0.1 * rng.random((n, N_FEATURES)) * (rng.random((n, N_FEATURES)) < 0.2)
    return sparse.csr_array(X.astype(np.float32)), sparse.csr_array(Y.astype(np.float32))


def sampled(n_neurons=N_LABELS, **settings):
    settings = {"active": 12, "K": 3, "L": 6, "bucket_size": 8, **settings}
    settings.setdefault("rehash", RehashSchedule(N0=10, growth=0.0))
    return Sampled(n_neurons, **settings)


SAMPLERS = ("vanilla", "topk", "threshold")
REHASH = [RehashSchedule(10, growth, renew) for growth in (0.0, 0.3) for renew in (0, 2)]
# Every sampler with every family; the other settings take turns.
CONFIGURATIONS = {
    f"{sampler}, {hash_}": (
        [
            Dense(16),
            sampled(
                sampler=sampler, hash=hash_, K=2, rehash=REHASH[(i + j) % 4], reinsert=(i + j) % 2 == 0,
                policy=("fifo", "reservoir")[i % 2], labels=j != 3,
            ),
        ],
        {"optimizer": Adam(moments=("frozen", "decayed")[(i + j // 2) % 2]), "group_size": (16, 1, 3)[(i + j) % 3]},
    )
    for i, sampler in enumerate(SAMPLERS)
    for j, hash_ in enumerate(sorted(FAMILIES))
} | {
    "filled by labels": ([Dense(16), sampled(K=2, active=5, min_active=25, label_fill=0.6)], {"group_size": 20}),
    "logQ": ([Dense(16), sampled(K=2, active=5, min_active=20, logq_correction=True)], {"label_smoothing": 0.3}),
    "logQ, few labels": (
        [Dense(16), sampled(K=2, active=5, min_active=20, label_fill=0.5, logq_correction=True, logq_warmup=9,
                            max_labels=1)], {"group_size": 5}),
    "logQ, uniform": ([Dense(16), sampled(sampler="uniform", active=20, logq_correction=True)], {}),
    "uniform": ([Dense(16), sampled(sampler="uniform")], {"optimizer": Adam(moments="decayed")}),
    "full": ([Dense(16), sampled(sampler="full")], {"dropout": 0.3}),
    "dense": ([Dense(16), Dense(8), Dense(N_LABELS)], {"label_smoothing": 0.1, "optimizer": SGD(weight_decay=0.01)}),
    "hidden sampled": (
        [Dense(16), sampled(40, K=2, reinsert=True), sampled(K=2, hash="dwta")],
        {"dropout": 0.2, "schedule": Schedule("cosine", warmup=10, steps=120)},
    ),
    "first sampled": ([sampled(40, K=2), sampled(K=2)], {"optimizer": Adam(moments="decayed", weight_decay=0.01)}),
    "one layer": ([sampled(K=2, hash="dwta")], {"group_size": 20}),
}  # fmt: skip


def make(name, threads, **more):
    layers, settings = CONFIGURATIONS[name]
    return Network(N_FEATURES, layers, **{"batch_size": 32, "seed": 3, "threads": threads, **settings, **more})


def arrays(network):
    """Every array that training goes on from."""
    return {f"{i}.{k}": v for i, layer in enumerate(network.layers) for k, v in layer.state().items()}


def assert_same(one, other):
    assert one.step == other.step and one.samples == other.samples
    one, other = arrays(one), arrays(other)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_any_number_of_threads_gives_the_same_bits(name):
    X, Y = separable()
    networks = [make(name, threads).fit(X, Y, steps=100) for threads in (1, 2, 8)]
    assert np.isfinite(networks[0].layers[0].weights).all()
    for network in networks[1:]:
        assert_same(network, networks[0])
        for k in (1, 7):
            for sampled_ in (False, True):
                for a, b in zip(network.predict(X, k, sampled_), networks[0].predict(X, k, sampled_), strict=True):
                    np.testing.assert_array_equal(a, b)


def test_the_seed_matters_and_is_all_that_does():
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


def test_hogwild_on_one_thread_stays_close_to_rows():
    X, Y = separable()
    settings = {"optimizer": SGD(lr=0.5), "batch_size": 32, "threads": 1}
    rows, hogwild = (
        Network(N_FEATURES, [Dense(16), sampled(sampler="uniform")], update=update, **settings).fit(X, Y, steps=20)
        for update in ("rows", "hogwild")
    )
    for a, b in zip(rows.layers, hogwild.layers, strict=True):
        np.testing.assert_allclose(a.weights, b.weights, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-3, atol=1e-4)


LEARNERS = {
    "full": ([Dense(32), sampled(sampler="full")], {}),
    **{s: ([Dense(32), sampled(sampler=s)], {}) for s in (*SAMPLERS, "uniform")},
    **{h: ([Dense(32), sampled(hash=h, K=2)], {}) for h in sorted(FAMILIES)},
    "paper's group": ([Dense(32), sampled()], {"group_size": 1}),
    "dense": ([Dense(32), Dense(N_LABELS)], {}),
    "hidden dense": ([Dense(32), Dense(24), Dense(N_LABELS)], {}),
    "linear": ([Dense(N_LABELS)], {}),
    "hidden sampled": ([Dense(32), sampled(64, active=40), sampled()], {}),
    "first sampled": ([sampled(64, active=40), sampled()], {}),
    "decayed": ([Dense(32), sampled()], {"optimizer": Adam(lr=0.01, moments="decayed")}),
    "sgd": ([Dense(32), sampled()], {"optimizer": SGD(lr=2.0)}),
    "dropout": ([Dense(64), sampled()], {"dropout": 0.2, "label_smoothing": 0.05}),
    "hogwild": ([Dense(32), sampled()], {"update": "hogwild", "threads": 8}),
    "hogwild, first sampled": ([sampled(64, active=40), sampled()], {"update": "hogwild", "threads": 8}),
    "hogwild, sgd": (
        [Dense(32), sampled()], {"update": "hogwild", "threads": 8, "group_size": 1, "optimizer": SGD(lr=2.0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNERS)
def test_networks_learn(name):
    layers, settings = LEARNERS[name]
    settings = {"optimizer": Adam(lr=0.01), "batch_size": 32, "threads": 2, **settings}
    network = Network(N_FEATURES, layers, **settings)
    X, Y = separable(n=300)
    losses = []
    network.fit(X, Y, epochs=30, callback=lambda _, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2
    assert network.evaluate(*separable(1)).scores["P@1"] > 0.9


def test_dense_input_learns_as_sparse_does():
    X, Y = separable()
    one, two = (make("vanilla, simhash", 2) for _ in range(2))
    assert_same(one.fit(X, Y, steps=20), two.fit(X.toarray(), Y.toarray(), steps=20))


def test_callback_ends_training():
    X, Y = separable()
    network = make("dense", 1).fit(X, Y, epochs=10, callback=lambda network, loss: network.step == 7)
    assert network.step == 7 and network.samples == 4 * 32 + (N_ROWS - 4 * 32) + 2 * 32


def test_epochs_and_the_last_partial_batch():
    X, Y = separable()
    network = make("uniform", 1).fit(X, Y, epochs=3)
    assert network.step == 15 and network.samples == 3 * N_ROWS


@pytest.mark.parametrize("name", ["vanilla, simhash", "full", "dense", "hidden sampled", "first sampled", "one layer"])
def test_exact_prediction_is_that_of_plain_numpy(name):
    X, Y = separable()
    network = make(name, 2).fit(X, Y, steps=10)
    x = X.toarray() / np.linalg.norm(X.toarray(), axis=1, keepdims=True)
    for layer in network.layers:
        z = x @ layer.weights.T + layer.bias
        x = np.maximum(z, 0)
    ids, values = network.predict(X, k=4)
    assert ids.shape == values.shape == (N_ROWS, 4) and ids.dtype == np.int32 and values.dtype == np.float32
    np.testing.assert_allclose(values, reference.topk_rows(z, 4)[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(z, ids, axis=1), values, rtol=1e-3, atol=1e-4)


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
    np.testing.assert_allclose((ids >= 0).sum(axis=1).mean(), evaluation.active)


def test_prediction_in_parts_is_prediction(monkeypatch):
    X, Y = separable()
    network = make("vanilla, simhash", 2).fit(X, Y, steps=10)
    whole = [network.predict(X, 3, sampled_) for sampled_ in (False, True)]
    monkeypatch.setattr("slide.network.PREDICT_ROWS", 7)
    for sampled_, (ids, values) in zip((False, True), whole, strict=True):
        again = network.predict(X, 3, sampled_)
        np.testing.assert_array_equal(again[0], ids)
        np.testing.assert_allclose(again[1], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["vanilla, simhash", "threshold, dwta", "uniform", "hidden sampled", "one layer"])
def test_sampled_prediction_of_a_row_depends_on_that_row_alone(name):
    X, Y = separable()
    network = make(name, 2).fit(X, Y, steps=10)
    ids, values = network.predict(X, 4, sampled=True)
    order = np.random.default_rng(0).permutation(N_ROWS)[:50]
    again = network.predict(X[order], 4, sampled=True)
    np.testing.assert_array_equal(again[0], ids[order])
    np.testing.assert_allclose(again[1], values[order], rtol=1e-5, atol=1e-6)


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


def test_prediction_does_not_disturb_training():
    X, Y = separable()
    one, two = make("hidden sampled", 2), make("hidden sampled", 2)
    one.fit(X, Y, steps=12)
    two.fit(X, Y, steps=12, callback=lambda network, _: network.evaluate(X, Y, sampled=True) is None)
    assert_same(one, two)


@pytest.mark.parametrize("sampled_", [False, True])
@pytest.mark.parametrize("name", ["vanilla, simhash", "dense", "first sampled", "one layer"])
def test_small_predictions(name, sampled_):
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
def test_fewer_labels_than_k(layers, sampled_):
    network = Network(3, layers, threads=1)
    n_labels = layers[-1].n_neurons
    X, Y = np.ones((4, 3)), np.ones((4, n_labels))
    network.fit(X, Y)
    scores = network.evaluate(X, Y, ks=(1, 3, 5), sampled=sampled_).scores
    if not sampled_:
        np.testing.assert_allclose(scores["P@5"], n_labels / 5)


@pytest.mark.parametrize("hash_", sorted(FAMILIES))
@pytest.mark.parametrize("width", [1, 2, 5])
def test_narrow_layers(hash_, width):
    network = Network(1, [Dense(width), sampled(1, hash=hash_, K=1, L=1)], threads=2)
    network.fit(np.ones((3, 1)), np.ones((3, 1)), epochs=2)
    assert network.predict(np.ones((1, 1)), k=1)[0].tolist() == [[0]]


INTEGERS = (0, -1, 1.5, "3", None, True)
SHARES = (-0.1, 1.0, np.nan, "0", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, v) for name in ("n_features", "batch_size", "group_size") for v in INTEGERS],
        *[("threads", v) for v in (0, -1, 1.5, "3", True)],
        *[(name, v) for name in ("dropout", "label_smoothing") for v in SHARES],
        *[("update", v) for v in ("sample", None, 1)],
        *[("layers", v) for v in ([], None, Dense(3), [3], [Dense], "dense")],
        *[("seed", v) for v in (-1, 1.5, "3", None)],
        *[("optimizer", v) for v in ("adam", Adam, 3)],
        *[("schedule", v) for v in ("linear", Schedule, 3)],
    ],
)
def test_bad_network_settings(name, value):
    settings = {"n_features": 4, "layers": [Dense(3)], name: value}
    with pytest.raises(ValueError, match=name):
        Network(**settings)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *[(kind, "n_neurons", v) for kind in (Dense, Sampled) for v in INTEGERS],
        *[(kind, "init_std", v) for kind in (Dense, Sampled) for v in (-1, np.nan, np.inf, "1")],
        *[(Sampled, name, v) for name in ("active", "m", "K", "L", "bucket_size") for v in INTEGERS],
        *[(Sampled, "min_active", v) for v in (-1, 1.5, "3", True)],
        *[(Sampled, name, v) for name in ("sampler", "hash", "policy") for v in ("none", None, 3)],
        *[(Sampled, "rehash", v) for v in (50, None)],
        (Sampled, "K", 40),
    ],
)
def test_bad_layer_settings(kind, name, value):
    with pytest.raises(ValueError, match=name):
        Network(4, [kind(**{"n_neurons": 5, name: value})])


@pytest.fixture(scope="module")
def network():
    return make("vanilla, simhash", 1)


X3, Y3 = np.ones((3, N_FEATURES)), np.ones((3, N_LABELS))


@pytest.mark.parametrize(
    ("X", "Y", "name"),
    [
        (X3[:, 1:], Y3, "X"), (X3, Y3[:, 1:], "Y"), (X3, Y3[1:], "Y"), (X3[0], Y3, "X"), (X3, Y3[0], "Y"),
        (X3 * np.nan, Y3, "X"), (X3 * np.inf, Y3, "X"), (X3, Y3 * np.nan, "Y"), (X3 * 1e300, Y3, "X"),
        (X3 * 1j, Y3, "X"), ("text", Y3, "X"), (None, Y3, "X"), (X3, None, "Y"), (X3[:0], Y3[:0], "X"),
        (sparse.csr_array(X3 * np.nan), Y3, "X"), (sparse.csr_array(X3[:, 1:]), Y3, "X"),
    ],
)  # fmt: skip
def test_bad_data(network, X, Y, name):
    before = {k: v.copy() for k, v in arrays(network).items()}
    for method in (network.fit, network.partial_fit):
        with pytest.raises(ValueError, match=f"^{name}: "):
            method(X, Y)
    if np.shape(X) != (0, N_FEATURES):
        with pytest.raises(ValueError, match=f"^{name}: "):
            network.evaluate(X, Y)
    for key, array in arrays(network).items():
        np.testing.assert_array_equal(array, before[key])
    assert network.step == 0


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True])
def test_bad_k(network, k):
    with pytest.raises(ValueError, match="k: "):
        network.predict(X3, k)
    with pytest.raises(ValueError, match="k"):
        network.evaluate(X3, Y3, ks=(1, k))


def test_bad_ks(network):
    for ks in ((), 5):
        with pytest.raises(ValueError, match="ks: "):
            network.evaluate(X3, Y3, ks=ks)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", -1), ("epochs", 1.5), ("epochs", "2"), ("steps", -1), ("steps", 0.5)]
)
def test_bad_lengths_of_training(network, name, value):
    with pytest.raises(ValueError, match=f"{name}: "):
        network.fit(X3, Y3, **{name: value})


def test_n_labels_and_active():
    network = make("uniform", 1)
    network.partial_fit(X3, np.zeros((3, N_LABELS)))
    assert network.n_labels == N_LABELS and network.active == 12.0


def test_a_corrected_softmax_learns_the_distribution_of_labels():
    """From an input that says nothing: without the correction what is drawn often comes out too small."""
    rng, chance = np.random.default_rng(0), 1 / np.arange(1.0, N_LABELS + 1)
    chance /= chance.sum()
    Y = sparse.csr_array(np.eye(N_LABELS, dtype=np.float32)[rng.choice(N_LABELS, 4000, p=chance)])
    distance = {}
    for corrected in (False, True):
        layer = sampled(
            sampler="uniform", active=2, min_active=8, label_fill=0.5, logq_correction=corrected, logq_warmup=50
        )
        schedule = Schedule("linear", steps=1500)
        network = Network(1, [Dense(4), layer], group_size=4, optimizer=Adam(lr=1e-2), schedule=schedule, seed=1)
        network.fit(np.ones((4000, 1), np.float32), Y, steps=1500)
        ids, logits = network.predict(np.ones((1, 1), np.float32), k=N_LABELS)
        learnt = np.exp(logits[0] - logits.max())[np.argsort(ids[0])]
        distance[corrected] = np.abs(learnt / learnt.sum() - chance).sum() / 2
    assert distance[True] < 0.05 and distance[False] > 0.1, distance


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


def test_active_sets_that_grow():
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
