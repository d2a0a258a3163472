"""Networks for prediction alone: what they predict, hold, refuse, and share through their file."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import slide
from slide import Dense, Network, Sampled
from slide.bfloat16 import narrow, widen
from slide.cli import main
from slide.data import save_xmc
from slide.prediction import Ensemble
from slide.state import storage
from slide.state.archive import ALIGNED, Archive
from tests.networks import CONFIGURATIONS, N_FEATURES, N_LABELS, assert_same, assert_same_predictions, make, separable
from tests.robustness.test_threads import at_once

X, Y = separable()


def trained(name, steps=12):
    return make(name, 2).fit(X, Y, steps=steps)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_frozen_networks_predict_as_before(name, tmp_path):
    network = trained(name)
    network.save(tmp_path / "served.npz", inference=True)
    assert not network.frozen
    served = Network.load(tmp_path / "served.npz", threads=2)
    twin = copy.deepcopy(network).freeze()
    assert served.frozen and twin.frozen and served.step == network.step
    for other in (served, twin, pickle.loads(pickle.dumps(served)), copy.deepcopy(twin)):
        assert other.frozen
        assert_same_predictions(other, network, X)
    twin.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "served.npz").read_bytes()
    assert_same_predictions(slide.load(tmp_path / "again.npz"), network, X)
    network.fit(X, Y, steps=2)  # goes on
    assert network.step == 14


@pytest.mark.parametrize("name", ["vanilla, simhash", "dense", "bfloat16"])
def test_frozen_networks_are_not_trained(name, tmp_path):
    network = trained(name).freeze()
    for what in (
        lambda: network.fit(X, Y), lambda: network.partial_fit(X, Y), lambda: network.fit(X, Y, steps=1),
        lambda: network.rehash(), lambda: network.fit(X, Y, validation=0.2),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="found a frozen network, which only predicts"):
            what()
    with pytest.raises((RuntimeError, ValueError), match="frozen|expected a last layer with active sets"):
        network.grow(2)
    with pytest.raises(AttributeError, match="call freeze"):
        network.frozen = False
    assert network.freeze() is network


def test_files_for_prediction_hold_weights_and_buckets_alone(tmp_path):
    network = Network(N_FEATURES, [Dense(64), Sampled(2000, active=50, K=3, L=4)], threads=1)
    network.save(tmp_path / "all.npz")
    network.save(tmp_path / "served.npz", inference=True)
    with np.load(tmp_path / "served.npz") as archive:
        names = set(archive.files)
        assert archive["layers.1.neurons.bias"].shape == (1, 2000)
    assert not any(name.endswith((".m", ".v", ".located")) for name in names)
    weights = 4 * sum(layer.weights.size for layer in network.layers)
    assert (tmp_path / "served.npz").stat().st_size < 1.5 * weights < (tmp_path / "all.npz").stat().st_size / 2


def test_large_arrays_are_mapped_and_aligned(tmp_path):
    trained("vanilla, simhash").save(tmp_path / "served.npz", inference=True)
    served = Network.load(tmp_path / "served.npz")
    for layer in served.layers:
        assert isinstance(layer.parameters.w.base, np.memmap)
        assert layer.parameters.w.ctypes.data % ALIGNED == 0
    tables = served.layers[-1].index.tables
    assert isinstance(tables._sets[0].items.base, np.memmap)
    before = (tmp_path / "served.npz").read_bytes()
    served.layers[-1].weights[...] = 0
    assert (tmp_path / "served.npz").read_bytes() == before


def test_mapped_arrays_are_those_that_are_read(tmp_path):
    trained("bfloat16").save(tmp_path / "served.npz", inference=True)
    with open(tmp_path / "served.npz", "rb") as file, Archive(file) as archive:
        for name in archive:
            np.testing.assert_array_equal(archive.mapped(name), archive[name], strict=True)
    np.savez(tmp_path / "odd.npz", a=np.arange(5.0), f=np.asfortranarray(np.ones((3, 4))), none=np.zeros((0, 3)))
    with open(tmp_path / "odd.npz", "rb") as file, Archive(file) as archive:
        for name in archive:
            np.testing.assert_array_equal(archive.mapped(name), archive[name], strict=True)


def test_processes_predict_from_one_file(tmp_path):
    network = trained("vanilla, simhash")
    network.save(tmp_path / "served.npz", inference=True)
    program = (
        "import sys, numpy as np, slide; from tests.networks import separable; "
        "print(slide.load(sys.argv[1], threads=1).predict(separable()[0], 2)[0].tolist())"
    )
    for _ in range(2):
        out = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "served.npz"], check=True, capture_output=True, text=True
        )  # fmt: skip
        assert eval(out.stdout) == network.predict(X, 2)[0].tolist()


def test_frozen_networks_are_served_by_threads_and_in_ensembles(tmp_path):
    networks = [make("vanilla, simhash", 1, seed=i).fit(X, Y, steps=5) for i in range(2)]
    whole = Ensemble(networks).predict(X, 3)
    ensemble = Ensemble([network.freeze() for network in networks])
    ensemble.save(tmp_path / "ensemble.npz")
    for model in (ensemble, slide.load(tmp_path / "ensemble.npz")):
        for ids, values in at_once(*[lambda m=model: m.predict(X, 3)] * 4):
            np.testing.assert_array_equal(ids, whole[0])
            np.testing.assert_array_equal(values, whole[1])


def broken(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, change in changes.items():
        arrays[name] = change(arrays[name].copy())
    np.savez(path, **arrays)


def not_finite(w):
    w[0, 0] = np.nan
    return w


@pytest.mark.parametrize(
    "name, change",
    [("layers.1.neurons.w", not_finite), ("layers.1.neurons.w", lambda w: w[1:]),
     ("layers.1.neurons.bias", lambda b: np.repeat(b, 3, axis=0)),
     ("layers.1.index.tables.items", lambda items: items + 10**6),
     ("layers.1.index.tables.buckets", lambda buckets: buckets + np.uint32(7)),
     ("layers.1.index.tables.settings", lambda s: s + np.uint64(1)), ("layers.1.index.counters", lambda c: -c)],
)  # fmt: skip
def test_files_that_are_wrong_are_refused(name, change, tmp_path):
    path = tmp_path / "served.npz"
    trained("vanilla, simhash").save(path, inference=True)
    broken(path, **{name: change})
    with pytest.raises(ValueError, match="expected a model that slide saved"):
        slide.load(path)


@pytest.mark.parametrize("seeds", ["x", [1], [None, 2**80], [None, "1"]])
def test_seeds_that_are_wrong_are_refused(seeds, tmp_path, monkeypatch):
    network = trained("vanilla, simhash")
    monkeypatch.setattr(storage, "layer_seeds", lambda network: seeds)
    network.save(tmp_path / "served.npz", inference=True)
    with pytest.raises(ValueError, match="expected a model that slide saved"):
        slide.load(tmp_path / "served.npz")


def test_a_network_that_is_loaded_whole_is_not_frozen(tmp_path):
    network = trained("vanilla, simhash")
    network.save(tmp_path / "model.npz")
    again = Network.load(tmp_path / "model.npz")
    assert not again.frozen and again.predict(X[:1])[0].max() < N_LABELS
    assert_same(again.fit(X, Y, steps=2), network.fit(X, Y, steps=2))


def test_output_weights_are_rounded_for_prediction(tmp_path):
    network = trained("vanilla, simhash")
    network.save(tmp_path / "served.npz", inference=True, weight_type="bfloat16")
    served = slide.load(tmp_path / "served.npz")
    assert served.frozen and served.specs[-1].weight_type == "bfloat16"
    rounded = widen(narrow(network.layers[-1].weights))
    assert network.layers[-1].parameters.w.dtype == np.float32
    np.testing.assert_array_equal(served.layers[-1].weights, rounded)
    network.layers[-1].weights[...] = rounded
    for sampled in (False, True):
        for rows in (X[:1], X):
            ids, values = network.predict(rows, 3, sampled)
            found = served.predict(rows, 3, sampled)
            np.testing.assert_allclose(found[1], values, rtol=1e-5, atol=1e-6)
            assert (found[0] == ids).mean() > 0.98
    served.save(tmp_path / "again.npz", weight_type="bfloat16")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "served.npz").read_bytes()


@pytest.mark.parametrize(
    "name, settings",
    [("vanilla, simhash", {"weight_type": "bfloat16"}), ("dense", {"weight_type": "bfloat16", "inference": True}),
     ("vanilla, simhash", {"weight_type": "float16", "inference": True}), ("vanilla, simhash", {"inference": 1}),
     ("one layer", {"weight_type": "bfloat16", "inference": True})],
)  # fmt: skip
def test_weights_that_cannot_be_rounded_are_refused(name, settings, tmp_path):
    with pytest.raises(ValueError, match="found"):
        make(name, 1).save(tmp_path / "served.npz", **settings)
    assert not (tmp_path / "served.npz").exists()


def test_a_frozen_network_is_not_resumed(tmp_path, capsys):
    trained("vanilla, simhash").save(tmp_path / "served.npz", inference=True)
    save_xmc(tmp_path / "data.txt", X, Y)
    data = ["--train", str(tmp_path / "data.txt"), "--test", str(tmp_path / "data.txt")]
    assert main(["train", *data, "--resume", str(tmp_path / "served.npz"), "--epochs", "9"]) == 2
    assert "found a frozen network, which only predicts" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "served.npz"), "--input", data[1], "--sampled"]) == 0
