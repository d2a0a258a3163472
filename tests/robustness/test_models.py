"""Model files that were damaged or made up: refused by name, before anything is allocated by what they say."""

import copy
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from slide import Dense, Network
from slide.machine import memory
from slide.state.archive import Archive
from tests.networks import N_FEATURES, N_LABELS, arrays, assert_same, sampled, separable
from tests.robustness import archives, fuzz

X, Y = separable()


@pytest.fixture
def saved(tmp_path):
    """(path, its arrays) of a network with every part that one may have."""
    layers = [
        Dense(8), sampled(24, K=2, hash="mips", reinsert=True, policy="reservoir"),
        sampled(hash="ranged", min_active=20, label_fill=0.5),
    ]  # fmt: skip
    network = Network(N_FEATURES, layers, batch_size=32, threads=1)
    for low in (0, 32, 64):
        network.partial_fit(X[low : low + 32], Y[low : low + 32])
    network.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as archive:
        return tmp_path / "model.npz", dict(archive)


def refused(path, content, message=""):
    np.savez(path, **content)
    with pytest.raises(ValueError, match=rf"model\.npz: found .*{message}"):
        Network.load(path)


def test_every_array_is_compared_with_what_the_settings_imply(saved):
    path, good = saved
    for name, array in good.items():
        other = [array[None], array.astype(np.complex64), array.astype(">f8"), np.zeros(3)]
        if name != "header" and not name.endswith(".moved"):  # of any length
            other.append(array.reshape(-1)[:-1])
        for wrong in other:
            refused(path, {**good, name: wrong})
        if not name.endswith(".moved"):  # of which there may be none
            refused(path, {k: v for k, v in good.items() if k != name}, "no |expected ")
    for more in ("more", "layers.0.neurons.x", "layers.3.neurons.w", "layers.1.inputs.sums", "layers.0.index.family.x"):
        refused(path, {**good, more: np.zeros(3)}, "an unknown array")
    np.savez(path, **good)
    Network.load(path)


WRONG = {
    "features.w": [np.nan, np.inf, -np.inf], "neurons.w": [np.nan, np.inf], "neurons.m": [np.nan, -np.inf],
    "neurons.v": [np.nan, np.inf, -1e-30], "neurons.bias": [np.nan, np.inf], "bias.v": [-1.0], "features.v": [-1.0],
    "index.inputs.sums": [np.nan, np.inf], "index.inputs.weight": [np.nan, -1, np.inf],
    "index.family.mean": [np.nan, np.inf], "index.family.variance": [np.nan, -1.0, np.inf],
    "index.family.least": [np.nan], "index.family.bound": [np.nan, 0, -1, np.inf],
    "index.tables.located": [2**32 - 1, 2**20], "index.tables.items": [-1, N_LABELS, 2**31 - 1, -(2**31)],
    "index.tables.buckets": [2**32 - 1, 2**31], "index.tables.settings": [0, 2**63],
    "index.tables.progress": [2**40, 0],
    "index.counters": [-1, -(2**63)], "index.moved": [-1, 24, 2**31 - 1], "recent.ring": [-1, N_LABELS],
    "recent.added": [-1, 2**62, 2**63 - 1],
}  # fmt: skip


@pytest.mark.parametrize("part", WRONG)
def test_values_that_no_network_has_are_refused(saved, part):
    path, good = saved
    names = [name for name in good if name.endswith(f".{part}") and good[name].size]
    assert names
    for name in names:
        for value in WRONG[part]:
            wrong = good[name].copy()
            wrong.reshape(-1)[-1 if part != "index.counters" else 0] = value
            refused(path, {**good, name: wrong})


def with_settings(content, **changes):
    header = json.loads(bytes(content["header"]))
    for where, value in changes.items():
        place, *rest = where.split("__")
        target = header["settings"]
        for key in [place, *rest][:-1]:
            target = target[int(key) if key.isdigit() else key]
        target[[place, *rest][-1]] = value
    return {**content, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)}


@pytest.mark.parametrize(
    "changes",
    [
        {"n_features": 2**31}, {"n_features": 2**62}, {"n_features": 10**30}, {"layers__0__n_neurons": 2**31 - 1},
        {"layers__2__n_neurons": 2**31 - 1}, {"layers__2__L": 2**20}, {"layers__2__L": 2**24}, {"layers__1__L": 2**20},
        {"layers__2__K": 10**6}, {"layers__2__K": 10}, {"layers__1__bucket_size": 2**31 - 1},
        {"layers__2__hash": {"class": "minhash", "config": {"dim": 2**30, "K": 1, "L": 6, "seed": 0}}},
        {"layers__2__hash": {"class": "minhash", "config": {"dim": 8, "K": 1, "L": 2**24, "seed": 0}}},
        {"layers__2__hash": {"class": "cross-polytope", "config": {"dim": 8, "K": 1, "L": 2**20, "seed": 0}}},
        {"layers__2__hash": {"class": "simhash", "config": {"dim": "8", "K": 1, "L": 6, "seed": 0}}},
    ],
)  # fmt: skip
def test_settings_are_not_obeyed_before_they_are_compared(saved, changes):
    path, good = saved
    np.savez(path, **with_settings(good, **changes))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"model\.npz: found"):
            Network.load(path)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def header_text(text):
    return lambda content: {**content, "header": np.frombuffer(text, np.uint8)}


def edited(change):
    def edit(content):
        header = json.loads(bytes(content["header"]))
        change(header)
        return {**content, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)}

    return edit


@pytest.mark.parametrize(
    "change",
    [
        header_text(b"[" * 500_000), header_text(b'{"a":' * 200_000), header_text(b" " * (1 << 20) + b"{}"),
        header_text(b"9" * 100_000), header_text(b'{"format": NaN}'), header_text(b"\xff\xfe"), header_text(b""),
        lambda c: header_text(bytes(c["header"])[:-1] + b', "format": 2}')(c),
        edited(lambda h: h.update(extra=1)), edited(lambda h: h.pop("samples")), edited(lambda h: h.update(step=2**31)),
        edited(lambda h: h.update(step=True)), edited(lambda h: h["settings"].update(extra=1)),
        edited(lambda h: h["settings"].pop("seed")), edited(lambda h: h["settings"]["layers"][0].update(extra=1)),
        edited(lambda h: h["settings"]["layers"][1].pop("K")), edited(lambda h: h["settings"]["optimizer"].update(x=1)),
        edited(lambda h: h["settings"]["schedule"].update(x=1)), edited(lambda h: h["settings"].update(normalize=3)),
        edited(lambda h: h["settings"].update(seed="a")), edited(lambda h: h["settings"].update(layers={})),
        edited(lambda h: h["settings"]["layers"][1]["rehash"].update(x=1)),
        edited(lambda h: h["settings"]["layers"][1].update(hash={"class": "simhash", "extra": 1})),
        edited(lambda h: h["settings"]["layers"][1].update(hash=[])),
        edited(lambda h: h["settings"]["layers"][1].update(hash={"class": 3})),
        edited(lambda h: h["settings"]["layers"][1].update(hash={"class": "simhash", "config": []})),
        edited(lambda h: h["settings"]["optimizer"].update(name=["adam"])),
        edited(lambda h: h["settings"]["optimizer"].update(lr=1e400)),
    ],
)  # fmt: skip
def test_headers_that_slide_does_not_write_are_refused(saved, change):
    path, good = saved
    refused(path, change(good))


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_archives_that_slide_does_not_write_are_refused(saved):
    path, good = saved
    members = list(entries(path).items())
    for content in (
        archives.packed([*members, members[3]]),  # twice
        archives.packed(members, zipfile.ZIP_DEFLATED),
        archives.packed([(name.removesuffix(".npy"), data) for name, data in members]),
        archives.packed([]),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.npz: found"):
            Network.load(path)


def test_an_array_that_is_there_more_often_than_its_bytes_is_refused():
    """Entries of the directory that share their bytes: a file of any length, read again and again."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(50):
            archive.writestr(f"{i}.npy", archives.npy(np.zeros(1000)))
        for info in archive.filelist:
            info.header_offset = archive.filelist[0].header_offset
            info.file_size = info.compress_size = 400_000
    with pytest.raises(ValueError, match="entries of more bytes"):
        Archive(file)


def test_too_little_memory_says_so(saved, monkeypatch):
    """That is no fault of the file."""

    def too_little(*_, **__):
        raise MemoryError("found no memory for 9 GB")

    monkeypatch.setattr(memory, "zeros", too_little)
    with pytest.raises(MemoryError, match=r"model\.npz: found no memory for 9 GB"):
        Network.load(saved[0])
    monkeypatch.undo()
    Network.load(saved[0])


@pytest.mark.parametrize("shape", [2**62, (2**40, 2**40), 2**50])
def test_arrays_that_no_machine_has_raise_a_memory_error(shape):
    with pytest.raises(MemoryError, match="found no memory for"):
        memory.zeros(shape)


def test_a_limit_of_memory_is_no_fault_of_the_file(tmp_path):
    """In a process that may not have more."""
    network = Network(2000, [Dense(256), Dense(20_000)], threads=1)
    network.save(tmp_path / "model.npz")
    program = (
        "import resource, sys\n"
        "from slide import Network\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20),) * 2)\n"
        "try:\n"
        "    Network.load(sys.argv[1], threads=1)\n"
        "except MemoryError as error:\n"
        "    print('MemoryError', error)\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("no /proc here")
    command = [sys.executable, "-c", program, str(tmp_path / "model.npz")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert found.stdout.startswith("MemoryError") and "model.npz" in found.stdout, found


def test_reading_takes_the_memory_of_one_array_beside_the_network(tmp_path):
    network = Network(30, [Dense(64), Dense(40_000)], threads=1)
    network.save(tmp_path / "model.npz")
    largest = max(array.nbytes for array in arrays(network).values())
    tracemalloc.start()
    try:
        Network.load(tmp_path / "model.npz", threads=1)
        assert tracemalloc.get_traced_memory()[1] < 2 * largest + (8 << 20)  # weights are mapped, and not traced
    finally:
        tracemalloc.stop()


def test_what_is_not_finite_is_not_saved(saved):
    path, _ = saved
    before = path.read_bytes()
    for layer, name in ((0, "w"), (1, "v"), (2, "bias")):
        network = Network.load(path)
        getattr(network.layers[layer].parameters, name)[0, 0] = np.nan if name != "v" else -1
        with pytest.raises(FloatingPointError, match=rf"layers\.{layer}\.{name}: found"):
            network.save(path)
        assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["model.npz"]


def test_a_network_that_was_loaded_goes_on_and_one_that_was_not_changes_nothing(saved):
    path, good = saved
    network = Network.load(path, threads=1)
    twin = copy.deepcopy(network)
    refused(path, {**good, "more": np.zeros(3)})
    assert_same(network.fit(X, Y, steps=5), twin.fit(X, Y, steps=5))


def test_mutated_files_are_refused_or_work(tmp_path):
    outcomes = fuzz.run("models", 400, seed=7, faults=str(tmp_path))
    assert not fuzz.faults_of(outcomes) and sum(outcomes.values()) == 400 and outcomes["refused"] > 200
