"""Files of networks are whole or not there, hold nothing that executes, and are refused where anything is wrong.

That training goes on from them bit for bit is in test_training.py.
"""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from slide import Dense, Network, RehashSchedule, Sampled
from slide.state import storage
from tests.networks import N_FEATURES, N_LABELS, arrays, assert_same, make, separable


def test_what_has_grown_stays_so(tmp_path):
    path, (X, Y) = tmp_path / "model.npz", separable()
    whole = make("hidden sampled", 2).fit(X, Y, steps=3)
    whole.grow(1.5)
    whole.fit(X, Y, steps=2).save(path)
    again = Network.load(path)
    assert again.specs == whole.specs and again.group_size == whole.group_size
    assert_same(again.fit(X, Y, steps=3), whole.fit(X, Y, steps=3))


@pytest.fixture
def saved(tmp_path):
    """(network, path) after a few steps."""
    network = make("hidden sampled", 2).fit(*separable(), steps=3)
    network.save(tmp_path / "model.npz")
    return network, tmp_path / "model.npz"


def test_load_gives_the_network_that_was_saved(saved):
    network, path = saved
    again = Network.load(str(path))
    assert_same(again, network)
    assert again.specs == network.specs and again.optimizer == network.optimizer
    assert again.schedule == network.schedule
    for layer in again.layers:
        assert layer.weights.dtype == np.float32


def test_files_hold_no_pickles(saved):
    with np.load(saved[1], allow_pickle=False) as archive:
        assert "header" in archive.files
        for name in archive.files:
            assert archive[name].dtype.kind in "iuf"
        assert json.loads(bytes(archive["header"]))["format"] == storage.FORMAT


def test_a_failure_while_writing_leaves_the_old_file(saved, monkeypatch):
    network, path = saved
    before = path.read_bytes()

    def fail(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "write", fail)
        with pytest.raises(OSError, match="disk full"):
            network.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    network.fit(*separable(), steps=1).save(path)
    assert Network.load(path).step == 4
    assert os.listdir(path.parent) == [path.name]


def test_the_path_is_taken_as_it_is(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved[0].save("plain")
    assert Network.load("plain").step == 3
    umask = os.umask(0)
    os.umask(umask)
    assert os.stat("plain").st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_is_no_file(saved, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder: found a folder, expected a file"):
        saved[0].save(tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match="model.npz: found no folder"):
        saved[0].save(tmp_path / "nowhere" / "model.npz")
    assert sorted(os.listdir(tmp_path)) == ["folder", "model.npz"]
    with pytest.raises(FileNotFoundError, match="folder"):
        Network.load(tmp_path / "folder")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.npz"):
        Network.load(tmp_path / "absent.npz")


def rewritten(path, change):
    """The archive at `path` with its {name: array} changed."""
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    content = change(content) or content
    np.savez(path, **content)


def with_header(**changes):
    def change(content):
        header = json.loads(bytes(content["header"])) | changes
        content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    return change


def with_settings(**changes):
    def change(content):
        settings = json.loads(bytes(content["header"]))["settings"]
        with_header(settings=settings | changes)(content)

    return change


def npy_bytes():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"not a model at all" * 100, b"PK\x03\x04", b"\x80\x04}q\x00.", npy_bytes(), json.dumps({}).encode()],
)
def test_files_of_other_kinds_are_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.npz"):
        Network.load(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(saved, share):
    content = saved[1].read_bytes()
    saved[1].write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="model.npz"):
        Network.load(saved[1])


def test_flipped_bits_are_noticed(saved):
    content = bytearray(saved[1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    saved[1].write_bytes(content)
    with pytest.raises(ValueError, match="model.npz"):
        Network.load(saved[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda content: {"weights": np.zeros(3)},
        lambda content: {"header": np.zeros(3)},
        lambda content: {"header": np.frombuffer(b"[1, 2]", np.uint8)},
        lambda content: {"header": np.frombuffer(b"{}", np.uint8)},
        with_header(format=99),
        with_header(format=None),
        with_header(step="three"),
        with_header(samples=None),
        with_header(step=-1),
        with_header(settings=3),
        with_settings(layers=[]),
        with_settings(layers=3),
        with_settings(layers=[3]),
        with_settings(layers=[{"kind": "conv", "n_neurons": 3}]),
        with_settings(layers=[{"kind": "dense", "n_neurons": 3, "unknown": 4}]),
        with_settings(layers=[{"kind": "dense", "n_neurons": 3}]),
        with_settings(n_features=N_FEATURES + 1),
        with_settings(optimizer={"name": "adagrad"}),
        with_settings(optimizer=None),
        with_settings(schedule=[]),
        with_settings(dropout=-1),
        with_settings(n_features=10**30),
        with_settings(n_features=2**60),
        with_settings(layers=[{"kind": []}]),
        lambda content: {k: v for k, v in content.items() if k != "layers.1.neurons.w"},
        lambda content: {k: v for k, v in content.items() if k != "layers.1.index.tables.items"},
        lambda content: content | {"layers.1.neurons.w": content["layers.1.neurons.w"][1:]},
        lambda content: content | {"layers.1.neurons.w": content["layers.1.neurons.w"].astype("U9")},
        lambda content: content | {"layers.1.index.counters": np.zeros(5, np.int64)},
        lambda content: content | {"layers.1.index.tables.items": content["layers.1.index.tables.items"] + 1000},
    ],
)
def test_contents_that_no_network_has_are_refused(saved, change):
    rewritten(saved[1], change)
    with pytest.raises(ValueError, match="model.npz"):
        Network.load(saved[1])


@pytest.mark.parametrize("threads", [0, -1, "2"])
def test_threads_out_of_range_are_refused(saved, threads):
    with pytest.raises(ValueError, match="^threads: "):
        Network.load(saved[1], threads=threads)


def test_settings_of_numpy_integers_are_kept(tmp_path):
    rehash = RehashSchedule(N0=np.int64(7))
    network = Network(np.int32(5), [Dense(np.int64(4)), Sampled(np.int32(6), active=np.int64(3), K=2, rehash=rehash)])
    network.save(tmp_path / "model")
    assert Network.load(tmp_path / "model").specs == network.specs


def test_pickled_arrays_are_refused(saved):
    rewritten(saved[1], lambda content: content | {"header": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="model.npz"):
        Network.load(saved[1])


def test_header_says_what_the_network_is(saved):
    with zipfile.ZipFile(saved[1]) as archive:
        assert archive.testzip() is None
    with np.load(saved[1]) as archive:
        header = json.loads(bytes(archive["header"]))
    assert header["step"] == 3 and header["samples"] == saved[0].samples
    assert header["settings"]["n_features"] == N_FEATURES
    assert header["settings"]["layers"][-1]["n_neurons"] == N_LABELS
    assert {name.split(".", 1)[1] for name in arrays(saved[0])}
