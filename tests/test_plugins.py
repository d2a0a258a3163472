"""Hash families and samplers of a user's own: in layers, in files, which import nothing, and on the command line."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from slide import Dense, Network, RehashSchedule, Sampled
from slide.cli import main
from slide.data import make_xmc, save_xmc
from slide.hashing import FAMILIES, CrossPolytope, HashFamily, SimHash
from slide.plugins import describe, find_class, path_of
from slide.sampling import SAMPLERS, Sampler, Threshold, Vanilla
from slide.settings.fields import with_effect
from tests.networks import N_FEATURES, N_LABELS, assert_same, separable
from tests.test_testing_families import Pairs
from tests.test_testing_samplers import ByGroup

SMALL = dict(active=12, K=2, L=6, rehash=RehashSchedule(N0=3, growth=0.0, renew_every=2), reinsert=True)


class Shifted(Pairs):
    """With an option."""

    options = ("shift",)

    def __init__(self, dim, K, L, seed=0, shift=0):
        super().__init__(dim, K, L, seed)
        self.shift = shift
        self.left = (self.left + shift) % dim


def make(**settings):
    layer = Sampled(N_LABELS, **with_effect(Sampled, SMALL | settings) | settings)
    return Network(N_FEATURES, [Dense(16), layer], threads=2)


OWN = {
    "class": dict(hash=Shifted), "instance": dict(hash=Shifted(16, 3, 5, seed=2**64 - 1, shift=4)),
    "path": dict(hash="tests.test_plugins:Shifted"), "built-in class": dict(hash=SimHash),
    "built-in instance": dict(hash=CrossPolytope(16, 2, 4, width=4)), "mips": dict(hash="mips"),
    "sampler class": dict(sampler=ByGroup), "sampler instance": dict(sampler=ByGroup(active=9)),
    "sampler path": dict(sampler="tests.test_testing_samplers:ByGroup"),
    "threshold instance": dict(sampler=Threshold(5, m=1)), "both": dict(hash=Pairs, sampler=ByGroup),
}  # fmt: skip


@pytest.mark.parametrize("settings", OWN.values(), ids=OWN)
def test_own_classes_train_and_go_on_from_files(settings, tmp_path):
    X, Y = separable()
    network = make(**settings)
    losses = [network.partial_fit(X, Y) for _ in range(2)]
    network.fit(X, Y, steps=6).save(tmp_path / "model.npz")
    again = Network.load(tmp_path / "model.npz", threads=1)
    assert again.specs == network.specs
    assert_same(again.fit(X, Y, steps=20), network.fit(X, Y, steps=20))
    assert network.partial_fit(X, Y) < losses[0]


def test_an_instance_brings_its_own_settings():
    layer = make(hash=Shifted(16, 3, 5, seed=7, shift=4)).layers[-1]
    assert layer.index.family.config() == dict(dim=16, K=3, L=5, seed=7, shift=4)
    assert layer.index.tables.L == 5 and layer.index.tables.code_bits == 3
    assert make(sampler=ByGroup(active=9)).layers[-1].minimum == 9
    assert make(sampler=ByGroup()).layers[-1].minimum == SMALL["active"]
    assert make(sampler=ByGroup).layers[-1].sampler.active == SMALL["active"]
    with pytest.raises(ValueError, match=r"hash: found Shifted\(dim=9.*expected dim=16"):
        make(hash=Shifted(9, 3, 5))


@pytest.mark.parametrize("name, base", [("hash", HashFamily), ("sampler", Sampler)])
@pytest.mark.parametrize("value", ["md5", "no.such.module:Thing", "os:system", "os:nothing", dict, 3, None, ":", "a:b"])
def test_what_is_not_found_or_of_another_kind_is_refused(name, base, value):
    with pytest.raises(ValueError, match=f"^{name}: found {re.escape(repr(value))}, .*(cannot be imported|expected)"):
        Sampled(10, **{name: value})


def test_classes_and_instances_are_described_by_name_and_settings():
    assert describe("simhash", FAMILIES) == "simhash" and describe(SimHash, FAMILIES) == {"class": "simhash"}
    assert describe(Shifted, FAMILIES) == {"class": "tests.test_plugins:Shifted"}
    assert describe(Vanilla(3), SAMPLERS) == {"class": "vanilla", "config": {"active": 3}}
    assert find_class("hash", path_of(Shifted), FAMILIES, HashFamily) is Shifted


def test_settings_that_json_does_not_hold_are_refused(tmp_path):
    network = make(hash=Shifted(16, 3, 5, shift=np.arange(15)))
    with pytest.raises(ValueError, match="hash: found .* expected settings of plain JSON values"):
        network.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


MODULE = '''
import pathlib
from slide.hashing import SimHash
from slide.sampling import Vanilla
pathlib.Path(__file__).with_name("imported").touch()
class Own(SimHash): pass
class OwnSampler(Vanilla): pass
'''


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """(path of a network with classes of the module own_classes, that module); the module is not imported any more."""
    (tmp_path / "own_classes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    network = make(hash="own_classes:Own", sampler="own_classes:OwnSampler")
    network.save(tmp_path / "model.npz")
    (tmp_path / "imported").unlink()
    module = sys.modules.pop("own_classes")
    yield tmp_path / "model.npz", module
    sys.modules.pop("own_classes", None)


def test_loading_imports_nothing(elsewhere):
    path, module = elsewhere
    with pytest.raises(ValueError, match="model.npz: hash: the file names 'own_classes:Own', which .* not imported"):
        Network.load(path)
    with pytest.raises(ValueError, match="model.npz: sampler: the file names 'own_classes:OwnSampler'"):
        Network.load(path, hash=module.Own)
    assert not path.with_name("imported").exists()
    loaded = Network.load(path, hash={"own_classes:Own": module.Own}, sampler=module.OwnSampler)
    assert loaded.specs[-1].hash is module.Own and not path.with_name("imported").exists()
    with pytest.raises(ValueError, match="hash: found <class 'dict'>, expected a subclass of slide's HashFamily"):
        Network.load(path, hash=dict, sampler=module.OwnSampler)
    sys.modules["own_classes"] = module
    assert Network.load(path).specs == loaded.specs


def test_plain_strings_in_files_import_nothing(elsewhere, tmp_path):
    import json

    path, _ = elsewhere
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    header = bytes(content["header"]).replace(b'{"class": "own_classes:Own"}', b'"own_classes:Own"')
    assert json.loads(header)["settings"]["layers"][-1]["hash"] == "own_classes:Own"
    np.savez(path, **content | {"header": np.frombuffer(header, np.uint8)})
    with pytest.raises(ValueError, match="hash: the file names 'own_classes:Own'"):
        Network.load(path)
    assert not path.with_name("imported").exists()


def test_classes_that_a_file_does_not_name_are_refused(tmp_path):
    make(hash="dwta").save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="hash: found .*Shifted.*, expected None"):
        Network.load(tmp_path / "model.npz", hash=Shifted)


def test_the_command_line_takes_own_classes_where_they_are_named(tmp_path, monkeypatch, capsys):
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", n_train=200, n_test=40, scale=0.004)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    save_xmc("train.txt", X, Y)
    save_xmc("test.txt", X_test, Y_test)
    Path("own_on_line.py").write_text(MODULE)
    own = ["--hash", "own_on_line:Own", "--sampler", "own_on_line:OwnSampler"]
    files = ["--train", "train.txt", "--test", "test.txt", "--threads", "1"]
    assert main(["train", *files, *own, "--steps", "2", "--save", "model.npz", "--log", "run.jsonl"]) == 0
    assert "hash=own_on_line:Own" in capsys.readouterr().out and "own_on_line:Own" in Path("run.jsonl").read_text()
    del sys.modules["own_on_line"]
    for command in (["evaluate", "model.npz", "--test", "test.txt"], ["predict", "model.npz", "--input", "test.txt"],
                    ["train", *files, "--resume", "model.npz", "--steps", "1"]):  # fmt: skip
        assert main(command) == 2
        assert "pass hash=Class (on the command line, --hash own_on_line:Own)" in capsys.readouterr().err
    assert main(["evaluate", "model.npz", "--test", "test.txt", "--sampled", *own]) == 0
    assert main(["train", *files, "--resume", "model.npz", "--hash", "own_on_line:Own", "--sampler", "topk"]) == 2
    assert "sampler: found 'topk' with --resume, expected 'own_on_line:OwnSampler'" in capsys.readouterr().err
    assert main(["train", *files, "--resume", "model.npz", *own]) == 2
    assert "expected more than the 2 batches that model.npz was trained for" in capsys.readouterr().err  # it was loaded
