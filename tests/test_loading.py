"""Files of networks, ensembles and mixtures: slide.load gives what was saved, and refuses what nobody saved."""

import copy
import json
import pickle

import numpy as np
import pytest

import slide
from slide.cli import main
from slide.data import save_xmc
from slide.hashing import DWTA, Ranged, SimHash
from slide.network import Network
from slide.prediction import Ensemble, Mixed, Mixing
from slide.prediction.loading import file_bytes
from slide.state.storage import read_run
from tests.networks import N_FEATURES, N_LABELS, assert_same, make, separable
from tests.test_storage import npy_bytes, rewritten

MODELS = ("network", "ensemble", "mixed", "mixed ensemble", "mixed by tables")
WIDTH = 16


def networks(n):
    X, Y = separable()
    return [make("vanilla, simhash", 1, seed=seed).fit(X, Y, steps=4 + seed) for seed in range(n)]


def family(cls):
    return cls(WIDTH, K=3, L=4, seed=5)


def new(name):
    X, Y = separable()
    if name == "network":
        return networks(1)[0]
    if name == "ensemble":
        return Ensemble(networks(3))
    if name == "mixed":
        return Mixed(networks(1)[0], X, Y, {"input": Mixing(k=7, beta=0.3), "hidden": Mixing(power=2.0)})
    if name == "mixed ensemble":
        return Mixed(Ensemble(networks(2)), X, Y, {"hidden": Mixing()})
    return Mixed(networks(1)[0], X, Y, family=family(SimHash), candidates=20, bucket_size=9)


def assert_same_model(one, other):
    assert type(one) is type(other)
    X, _ = separable(seed=1)
    for a, b in zip(one.predict(X, 4), other.predict(X, 4), strict=True):
        np.testing.assert_array_equal(a, b)
    if isinstance(one, Network):
        assert_same(one, other)
        return
    for a, b in zip(one.networks, other.networks, strict=True):
        assert_same(a, b)
    if isinstance(one, Mixed):
        assert one.mixings == other.mixings and list(one.mixings) == list(other.mixings)
        assert one._options == other._options
        for name, array in one.state().items():
            np.testing.assert_array_equal(array, other.state()[name])


@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_model_that_was_saved(name, tmp_path):
    model, path = new(name), tmp_path / "model"
    model.save(path)
    again = slide.load(path)
    assert_same_model(model, again)
    again.save(path, run={"seconds": 3})
    assert_same_model(model, slide.load(path, threads=2)) and read_run(path) == {"seconds": 3}
    assert path.stat().st_size == pytest.approx(file_bytes(model), rel=0.3)
    assert repr(again).replace("threads=1", "") == repr(slide.load(path)).replace("threads=1", "")
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[array].dtype.kind in "iuf" for array in archive.files)


@pytest.mark.parametrize("name", MODELS)
def test_models_are_pickled_and_copied(name):
    model = new(name)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same_model(model, again)
        if not isinstance(model, Network):
            assert not {id(network) for network in model.networks} & {id(network) for network in again.networks}


def test_networks_of_an_ensemble_go_on(tmp_path):
    ensemble, (X, Y) = new("ensemble"), separable()
    ensemble.save(tmp_path / "model")
    for one, other in zip(slide.load(tmp_path / "model").fit(X, Y, steps=3).networks,
                          ensemble.fit(X, Y, steps=3).networks, strict=True):  # fmt: skip
        assert_same(one, other)


def test_a_family_is_as_it_was_fitted(tmp_path):
    X, Y = separable()
    fitted = family(Ranged)
    fitted.inputs = np.random.default_rng(0).random((2, WIDTH), dtype=np.float32)
    fitted.fit(np.random.default_rng(1).random((150, WIDTH), dtype=np.float32))
    mixed = Mixed(networks(1)[0], X, Y, family=fitted)
    mixed.save(tmp_path / "model")
    assert_same_model(mixed, slide.load(tmp_path / "model"))
    kept = slide.load(tmp_path / "model")._options["family"].state()
    for name, array in fitted.state().items():
        np.testing.assert_array_equal(kept[name], array)


class Own(DWTA):
    pass


def test_families_of_ones_own_are_not_imported(tmp_path, monkeypatch):
    own, (X, Y) = Own, separable()
    mixed = Mixed(networks(1)[0], X, Y, family=family(own))
    mixed.save(tmp_path / "model")
    assert_same_model(mixed, slide.load(tmp_path / "model"))
    monkeypatch.delattr("tests.test_loading.Own")
    with pytest.raises(ValueError, match="model: hash: the file names 'tests.test_loading:Own'"):
        slide.load(tmp_path / "model")
    assert_same_model(mixed, slide.load(tmp_path / "model", hash=own))
    new("ensemble").save(tmp_path / "other")
    with pytest.raises(ValueError, match="other: hash: found .*, expected None: the file names no hash"):
        slide.load(tmp_path / "other", hash=own)


def test_a_network_is_not_taken_from_a_file_of_more(tmp_path):
    new("ensemble").save(tmp_path / "model")
    with pytest.raises(ValueError, match="model: found a model of kind 'ensemble', which slide.load reads"):
        Network.load(tmp_path / "model")


def with_header(prefix="", **changes):
    def change(content):
        name = f"{prefix}header"
        header = json.loads(bytes(content[name])) | changes
        content[name] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    return change


def with_array(name, change):
    return lambda content: content | {name: change(content[name])}


def without(name):
    return lambda content: {key: array for key, array in content.items() if key != name}


OPTIONS = {"family": {"class": "simhash", "config": {"dim": WIDTH, "K": 3, "L": 4, "seed": 5}}}
WRONG = {
    "ensemble": [
        with_header(kind="forest"), with_header(kind=[]), with_header(networks=2), with_header(networks=4),
        with_header(networks=0), with_header(networks=2**60), with_header(networks="3"), with_header(odd=1),
        with_header(run=3), with_header(format=3), with_header("networks.1.", step=-1),
        with_header("networks.1.", kind="ensemble"), without("networks.2.header"), without("header"),
        without("networks.0.layers.1.neurons.w"), with_array("networks.0.layers.1.neurons.w", lambda w: w[1:]),
        lambda content: content | {"networks.1.odd": np.zeros(3)}, lambda content: content | {"odd": np.zeros(3)},
    ],
    "mixed by tables": [
        with_header(options=3), with_header(options={"odd": 1}), with_header(options={"family": "simhash"}),
        with_header(options={"family": {"class": "simhash"}}), with_header(options={"candidates": 0}),
        with_header(options={"family": {"class": "md5", "config": {}}}), with_header(options={"bucket_size": "9"}),
        with_header(options={"family": {"class": "simhash", "config": {"dim": 9, "K": 3, "L": 4, "seed": 5}}}),
        with_header(options={"family": {"class": "simhash", "config": {"dim": WIDTH, "K": 9, "L": 2**24, "seed": 5}}}),
        with_header(options={"family": {"class": "simhash", "config": {"dim": WIDTH, "K": 3, "L": -4, "seed": 5}}}),
        with_header("model.", kind="mixed"), without("memory.rows.ids"), without("model.header"),
        with_array("memory.rows.ids", lambda ids: ids + N_FEATURES), with_array("memory.rows.ids", lambda ids: ids - 1),
        with_array("memory.rows.values", lambda values: values * np.nan),
        with_array("memory.rows.values", lambda values: values.astype(np.float64)),
        with_array("memory.rows.indptr", lambda ptr: ptr[:-1]), with_array("memory.rows.indptr", lambda ptr: ptr[::-1]),
        with_array("memory.rows.indptr", lambda ptr: ptr[:0]),
        with_array("memory.labels.ids", lambda ids: ids + N_LABELS),
        with_array("memory.labels.indptr", lambda ptr: ptr + 1),
        with_array("memory.settings", lambda _: np.frombuffer(b"[3]", np.uint8)),
        with_array("memory.settings", lambda _: np.frombuffer(b'{"hidden": {"k": 0}}', np.uint8)),
        with_array("memory.settings", lambda _: np.frombuffer(b'{"hidden": {"beta": NaN}}', np.uint8)),
        with_array("memory.settings", lambda _: np.frombuffer(b'{"other": {}}', np.uint8)),
        lambda content: content | {"family.odd": np.zeros(3)}, lambda content: content | {"odd": np.zeros(3)},
        lambda content: content | {"memory.odd": np.zeros(3)},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name, change", [(name, change) for name, changes in WRONG.items() for change in changes])
def test_contents_that_no_model_has_are_refused(name, change, tmp_path):
    path = tmp_path / "model.npz"
    new(name).save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match="model.npz: "):
        slide.load(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    for content in (b"", b"PK\x03\x04", npy_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="model.npz: found .*, expected a model"):
            slide.load(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        slide.load(tmp_path / "absent")


def test_a_model_that_is_not_finite_leaves_the_file_alone(tmp_path):
    path, model = tmp_path / "model", new("mixed ensemble")
    path.write_bytes(b"old")
    model.networks[1].layers[0].bias[0] = np.nan
    with pytest.raises(FloatingPointError, match=f"{path} was left as it was"):
        model.save(path)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["ensemble", "mixed"])
def test_commands_take_every_model(name, tmp_path, capsys):
    X, Y = separable(seed=1)
    model, path, data = new(name), str(tmp_path / "m.npz"), str(tmp_path / "test.txt")
    model.save(path)
    save_xmc(data, X, Y)
    assert main(["predict", path, "--input", data, "--top-k", "3"]) == 0
    first = [int(line.partition(":")[0]) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_array_equal(first, model.predict(X, 1)[0][:, 0])
    assert main(["evaluate", path, "--test", data]) == 0
    assert f"P@1     {model.evaluate(X, Y).scores['P@1']:.4f}" in capsys.readouterr().out
    assert main(["info", path]) == 0
    begins = {"ensemble": "Ensemble of 3:\nNetwork 40 -> ", "mixed": "Mixed with 150 training rows: input=Mixing("}
    assert capsys.readouterr().out.startswith(begins[name])
    assert main(["evaluate", path, "--test", data, "--sampled"]) == 2
    assert f"--sampled: found with {path}, which is {type(model).__name__}" in capsys.readouterr().err
    assert main(["train", "--train", data, "--test", data, "--resume", path]) == 0  # each of its networks goes on
    assert "goes on after batch" in capsys.readouterr().out
