"""What the ranks of `test_distributed` do: mpiexec -n R python -m tests.ranks CASE FOLDER. Failures end all ranks."""

import sys
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from scipy import sparse

from slide import SGD, Adam, Dense, Network, RehashSchedule, Sampled

COMM = MPI.COMM_WORLD
N, N_FEATURES, N_LABELS, WIDTH = 300, 61, 103, 16
TABLES = dict(K=2, L=6, rehash=RehashSchedule(N0=5))
SETS = dict(active=20, min_active=60, label_fill=0.5, **TABLES)
ALL = dict(active=5, min_active=N_LABELS, **TABLES)
FAST = {"optimizer": Adam(lr=0.03)}
HALF = dict(weight_type="bfloat16", moment_type="bfloat16")

EVERY_NEURON = {
    "full": ([Dense(WIDTH), Dense(N_LABELS, label_smoothing=0.2)], {}),
    "smoothed": ([Dense(WIDTH), Sampled(N_LABELS, label_smoothing=0.3, **ALL)], {"dropout": 0.2}),
    "single samples": ([Dense(WIDTH), Sampled(N_LABELS, **ALL)], {"group_size": 1}),
    "one label each, corrected": ([Dense(WIDTH), Sampled(N_LABELS, max_labels=1, logq_correction=True, **ALL)], {}),
    "sgd": ([Dense(WIDTH), Sampled(N_LABELS, **ALL)], {"optimizer": SGD(lr=0.3), "group_size": 64}),
}
SOME_NEURONS = {
    "corrected": ([Dense(WIDTH), Sampled(N_LABELS, hash="ranged", logq_correction=True, **SETS)], FAST),
    "bfloat16": ([Dense(WIDTH), Sampled(N_LABELS, label_smoothing=0.3, **SETS, **HALF)], FAST),
}

RESUMED = {name: EVERY_NEURON[name] for name in ("full", "smoothed")} | SOME_NEURONS


def data():
    """(X, Y): every label has features of its own; some rows have no label, many no label of a rank."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, N_LABELS, N)
    own = rng.random((N_LABELS, N_FEATURES)) < 0.2
    X = (own[label] & (rng.random((N, N_FEATURES)) < 0.8)) * rng.random((N, N_FEATURES))
    Y = [[] if i % 7 == 0 else [y, (y + 1) % N_LABELS] if i % 3 == 0 else [y] for i, y in enumerate(label.tolist())]
    return sparse.csr_array(X.astype(np.float32)), Y


X, Y = data()


def train(layers, settings, comm, epochs=4):
    """(network, losses) after some batches, the last of an epoch smaller, with a change of settings on the way."""
    network, losses = Network(N_FEATURES, layers, comm=comm, batch_size=64, threads=1, **settings), []
    network.fit(X, Y, epochs=epochs, callback=lambda _, loss: losses.append(loss))
    return network, losses


def arrays(network, path):
    network.save(path)
    with np.load(path) as file:
        found = {name: file[name] for name in file.files if "index." not in name and name != "header"}
    return {name: np.sort(array) if name.endswith("ring") else array for name, array in found.items()}


def same_everywhere(*values):
    assert len(set(COMM.allgather(str(values)))) == 1


def every_neuron(folder):
    """R ranks give what one process does, but for rounding."""
    for name, (layers, settings) in EVERY_NEURON.items():
        ranks, losses = train(layers, settings, COMM)
        one, expected = train(layers, settings, None)
        same_everywhere(losses)
        np.testing.assert_allclose(losses, expected, rtol=1e-5, err_msg=name)
        found, whole = arrays(ranks, folder / "ranks.npz"), arrays(one, folder / f"one{COMM.rank}.npz")
        for array in whole:
            np.testing.assert_allclose(found[array], whole[array], rtol=1e-3, atol=2e-4, err_msg=f"{name}, {array}")
        for k in (1, 3, N_LABELS):
            ids, values = ranks.predict(X[:40], k)
            expected_ids, expected_values = one.predict(X[:40], k)
            np.testing.assert_allclose(values, expected_values, rtol=1e-3, atol=1e-4)
            assert (ids == expected_ids).mean() > 0.97
        assert ranks.active == one.active == N_LABELS
        scores, expected = (network.evaluate(X, Y).scores for network in (ranks, one))
        assert scores == pytest.approx(expected, abs=0.02)


def some_neurons(folder):
    """The same bits on a second run, and active sets of the size that is asked for."""
    for layers, settings in SOME_NEURONS.values():
        network, losses = train(layers, settings, COMM)
        again, losses_again = train(layers, settings, COMM)
        assert losses == losses_again
        first, second = (arrays(each, folder / "some.npz") for each in (network, again))
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
        ids, values = network.predict(X, 5, sampled=True)
        same_everywhere(losses, ids.tobytes(), values.tobytes(), network.active)
        assert 60 <= network.active <= 60 + COMM.size
        assert losses[-1] < losses[0] and (ids >= 0).any()
        network.grow(1.5)
        network.label_smoothing = 0.1
        network.fit(X, Y, epochs=1)
        assert 88 <= network.active <= 92 + COMM.size
        assert network.evaluate(X, Y, sampled=True).active > 0


def save(folder):
    """Trains, saves, and trains on: what whoever resumes is held against."""
    for name, (layers, settings) in RESUMED.items():
        network, _ = train(layers, settings, COMM, epochs=2)
        network.save(folder / f"{name}.npz", run={"seconds": 1.0})
        best = network.predict(X, 3)
        losses = [network.partial_fit(X[:64], Y[:64]) for _ in range(3)]
        if COMM.rank == 0:
            np.savez(folder / f"{name} expected.npz", losses=losses, ids=best[0], values=best[1])


def resume(folder):
    """What `save` has left, on this number of ranks."""
    for name in RESUMED:
        network = Network.load(folder / f"{name}.npz", threads=1, comm=COMM)
        expected = np.load(folder / f"{name} expected.npz")
        ids, values = network.predict(X, 3)
        np.testing.assert_allclose(values, expected["values"], rtol=1e-4, atol=1e-5)
        assert (ids == expected["ids"]).mean() > 0.97
        losses = [network.partial_fit(X[:64], Y[:64]) for _ in range(3)]
        if name in EVERY_NEURON:
            np.testing.assert_allclose(losses, expected["losses"], rtol=1e-4, err_msg=name)
        assert network.evaluate(X, Y, sampled=True).active > 0
        assert network.samples == 2 * N + 3 * 64


def refusals(folder):
    """What does not go over ranks ends in an error that names it, on all of them."""
    output = Sampled(N_LABELS, **SETS)
    refused = [
        ("layers", dict(layers=[output])), ("layers", dict(layers=[Dense(8), Dense(8), output])),
        ("layers", dict(layers=[Sampled(20, **TABLES), output])), ("update", dict(update="hogwild")),
        ("labels", dict(layers=[Dense(8), Sampled(N_LABELS, labels=False, **SETS)])),
        ("n_labels", dict(layers=[Dense(8), Dense(1)])), ("settings", dict(seed=COMM.rank)),
        ("comm", dict(comm="world")),
    ]  # fmt: skip
    for name, given in refused:
        with pytest.raises(ValueError, match=f"^{name}: found"):
            Network(N_FEATURES, **{"layers": [Dense(8), output], "comm": COMM, **given})
    network = Network(N_FEATURES, [Dense(8), output], comm=COMM, threads=1)
    with pytest.raises(ValueError, match="X, Y: found other data"):
        network.fit(X[COMM.rank :], Y[COMM.rank :])
    for what in ("freeze", "predict_proba", "hidden", "logits", "decision_function", "inference"):
        with pytest.raises(RuntimeError, match=f"^{what}: found a network over {COMM.size} ranks"):
            {
                "freeze": network.freeze, "predict_proba": lambda: network.predict_proba(X),
                "hidden": lambda: network.hidden(X), "logits": lambda: list(network.logits(X)),
                "decision_function": lambda: network.decision_function(X, [1]),
                "inference": lambda: network.save(folder / "x.npz", inference=True),
            }[what]()  # fmt: skip
    with pytest.raises(FileNotFoundError, match="nowhere"):
        network.save(folder / "nowhere" / "x.npz")
    network.layers[1].weights[0] = np.nan if COMM.rank == COMM.size - 1 else 0
    with pytest.raises(FloatingPointError, match="layers.1.w"):
        network.save(folder / "x.npz")
    assert not (folder / "x.npz").exists()
    with pytest.raises(FloatingPointError, match="loss of nan"):
        network.fit(X, Y)
    assert network.fit(X, Y, steps=0).step == 0


def lost(folder):
    """One rank raises where the others go on."""
    network = Network(N_FEATURES, [Dense(8), Sampled(N_LABELS, **SETS)], comm=COMM, threads=1)

    def callback(network, loss):
        if network.step == 3 and COMM.rank == 1:
            raise KeyError("of this rank alone")

    network.fit(X, Y, epochs=10**6, callback=callback)


if __name__ == "__main__":
    {f.__name__: f for f in (every_neuron, some_neurons, save, resume, refusals, lost)}[sys.argv[1]](Path(sys.argv[2]))
