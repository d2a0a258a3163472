"""Hash families and samplers of one's own: in layers, in files, on the command line, from the README, compiled."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import slide
from slide import Adam, Dense, Network, RehashSchedule, Sampled
from slide.cli import main
from slide.data import make_xmc, save_xmc
from slide.hashing import FAMILIES, MIPS, CrossPolytope, HashFamily, SimHash
from slide.index import LSHIndex
from slide.plugins import describe, find_class, path_of
from slide.sampling import SAMPLERS, Sampler, Threshold, Vanilla
from slide.testing import check_hash_family, check_sampler
from tests.networks import N_FEATURES, N_LABELS, assert_same, separable
from tests.test_testing_families import Pairs
from tests.test_testing_samplers import ByGroup

ROOT = Path(slide.__file__).parent.parent
SMALL = dict(active=12, K=2, L=6, rehash=RehashSchedule(N0=3, growth=0.0, renew_every=2), reinsert=True)


class Shifted(Pairs):
    """With an option."""

    options = ("shift",)

    def __init__(self, dim, K, L, seed=0, shift=0):
        super().__init__(dim, K, L, seed)
        self.shift = shift
        self.left = (self.left + shift) % dim


def make(**settings):
    return Network(N_FEATURES, [Dense(16), Sampled(N_LABELS, **SMALL | settings)], threads=2)


OWN = {
    "class": dict(hash=Shifted), "instance": dict(hash=Shifted(16, 3, 5, seed=2**64 - 1, shift=4)),
    "path": dict(hash="tests.test_plugins:Shifted"), "built-in class": dict(hash=SimHash),
    "built-in instance": dict(hash=CrossPolytope(16, 2, 4, width=4)), "mips": dict(hash="mips"),
    "sampler class": dict(sampler=ByGroup), "sampler instance": dict(sampler=ByGroup(active=9)),
    "sampler path": dict(sampler="tests.test_testing_samplers:ByGroup"),
    "threshold instance": dict(sampler=Threshold(5, m=1)), "both": dict(hash=Pairs, sampler=ByGroup),
}  # fmt: skip


@pytest.mark.parametrize("settings", OWN.values(), ids=OWN)
def test_training_saving_and_going_on(settings, tmp_path):
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
def test_what_is_not_found(name, base, value):
    with pytest.raises(ValueError, match=f"^{name}: found {re.escape(repr(value))}, .*(cannot be imported|expected)"):
        Sampled(10, **{name: value})


def test_describing():
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


def test_command_line(tmp_path, monkeypatch, capsys):
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
    assert main(["train", *files, "--resume", "model.npz", *own]) == 2
    assert "of a schedule of 2, expected one that has not ended" in capsys.readouterr().err  # it was loaded


def test_queries_and_weights_may_be_hashed_differently():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((50, 12)).astype(np.float32)
    index = LSHIndex(lambda seed: MIPS(12, 3, 4, seed), 50, RehashSchedule(), 1, 16, "fifo", 1)
    index.build(weights)
    family = index.family
    assert family.bound == pytest.approx(np.linalg.norm(weights, axis=1).max())
    np.testing.assert_array_equal(index.codes(weights), family.query_codes(weights))
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(family.codes(weights)))
    other = LSHIndex(lambda seed: MIPS(12, 3, 4, seed), 50, RehashSchedule(), 1, 16, "fifo", 1)
    other.load_state(index.state())
    assert other.family.bound == family.bound


class Flipped(SimHash):
    """A built-in family with a `codes` of its own."""

    def codes(self, rows):
        return super().codes(rows) ^ 1


@pytest.mark.parametrize("cls", [Pairs, Flipped, SimHash, CrossPolytope, MIPS])
@pytest.mark.parametrize("at_once", [7, 1 << 15])
def test_codes_where_the_index_wants_them(cls, at_once, monkeypatch):
    monkeypatch.setattr("slide.hashing.base.OWN_ROWS", at_once)
    rng = np.random.default_rng(0)
    weights, changed = rng.standard_normal((2, 50, 12)).astype(np.float32)
    ids = rng.permutation(50)[:19].astype(np.int32)
    index = LSHIndex(lambda seed: cls(12, 3, 4, seed), 50, RehashSchedule(), 1, 16, "fifo", 2)
    index.build(weights)
    expected = index.family.codes(weights)
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(expected))
    for out in (np.zeros((4, 50), np.uint32).T, np.zeros((100, 12), np.uint32)[::2, ::3]):
        index.family.codes_into(weights, out)
        np.testing.assert_array_equal(out, expected)
        assert index.family.codes_taken(weights, ids, out=out[:19]).base is out.base
        np.testing.assert_array_equal(out[:19], expected[ids])
    expected[ids] = index.family.codes(changed)[ids]
    index.reinsert(ids, changed)
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(expected))
    assert index.family.codes_taken(weights, ids[:0]).shape == (0, 4)


def test_codes_of_a_wrong_form_are_refused(monkeypatch):
    for codes in (np.zeros((50, 1), np.uint32), np.zeros((50, 4)), np.zeros((1, 4), np.uint32)):
        monkeypatch.setattr(Flipped, "codes", lambda self, rows, codes=codes: codes)
        with pytest.raises(ValueError, match=r"Flipped.codes: found .* expected uint32 \(50, 4\)"):
            LSHIndex(lambda seed: Flipped(12, 3, 4, seed), 50, RehashSchedule(), 1, 16, "fifo", 1).build(
                np.ones((50, 12), np.float32)
            )


def test_mips_prefers_long_weights():
    """Of two neurons at one angle to the input, the one of the larger inner product is found more often."""
    rng = np.random.default_rng(3)
    x, noise = rng.standard_normal((2, 64))
    direction = 0.8 * x / np.linalg.norm(x) + 0.6 * noise / np.linalg.norm(noise)
    weights = np.array([direction, 0.3 * direction], np.float32)
    family = MIPS(64, 1, 2000)
    family.fit(weights)
    found = (family.codes(weights) == family.query_codes(x[None].astype(np.float32))).mean(axis=1)
    expected = [family.collision_probability(family.similarity(w, x)) for w in weights]
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert found[0] > found[1] + 0.1


def test_cross_polytope_options():
    assert CrossPolytope(10, 2, 3, width=32).code_bits == 12
    for width in (0, 1, 3, 2.0):
        with pytest.raises(ValueError, match="width: found"):
            CrossPolytope(10, 2, 3, width=width)
    check_hash_family(CrossPolytope, dim=33, width=4)


def readme_block():
    section = (ROOT / "README.md").read_text().split("## Write your own hash function")[1].split("\n## ")[0]
    assert len(section.strip().splitlines()) < 32
    return re.search(r"```python\n(.*?)```", section, re.S).group(1)


def test_the_readme_hash_function_works_as_it_is_written(tmp_path):
    space = {"__name__": "my_hash"}
    exec(readme_block(), space)
    check_hash_family(space["Larger"])
    X, Y = separable()
    network = Network(N_FEATURES, [Dense(16), Sampled(N_LABELS, hash=space["Larger"], K=2, L=20, active=12)],
                      optimizer=Adam(lr=0.02))  # fmt: skip
    before = network.evaluate(X, Y).scores["P@1"]
    network.fit(X, Y, epochs=60).save(tmp_path / "model.npz")
    after = network.evaluate(X, Y).scores["P@1"]
    assert after > max(0.5, before + 0.3), (before, after)
    again = Network.load(tmp_path / "model.npz", hash=space["Larger"])
    assert again.evaluate(X, Y).scores["P@1"] == after


def test_the_example_sampler(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    half = find_class("sampler", "my_sampler:Half", SAMPLERS, Sampler)
    check_sampler(half)
    X, Y = separable()
    network = Network(N_FEATURES, [Dense(16), Sampled(N_LABELS, **SMALL | {"sampler": half})], optimizer=Adam(lr=0.02))
    assert network.fit(X, Y, epochs=40).evaluate(X, Y).scores["P@1"] > 0.5


def built_example(folder):
    """Builds examples/my_hash in `folder`, away from this repository; skips where there is no compiler."""
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        pytest.skip("no C compiler here")
    pytest.importorskip("Cython")
    source = folder / "my_hash"
    shutil.copytree(ROOT / "examples" / "my_hash", source, ignore=shutil.ignore_patterns("*.c", "*.so", "build"))
    # A bare interpreter finds slide by its path, as it finds an installed one.
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "lib", "--build-temp", "temp"]
    done = subprocess.run(command, cwd=source, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    if done.returncode and "Python.h" in done.stderr:
        pytest.skip("no headers of Python here")
    assert done.returncode == 0, done.stderr
    return source / "lib"


def test_a_compiled_family_of_another_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(built_example(tmp_path)))
    family = find_class("hash", "my_hash:MyHash", FAMILIES, HashFamily)
    check_hash_family(family)
    check_hash_family(family, dim=33, K=3, L=7)
    X, Y = separable()
    network = make(hash=family)
    network.fit(X, Y, epochs=5).save(tmp_path / "model.npz")
    assert_same(Network.load(tmp_path / "model.npz"), network)
    with pytest.raises(ValueError, match=r"hasher: found SignHasher\(dim=8.*expected a RowHasher\(dim=8, L=3\)"):
        broken = family(8, 2, 3)
        broken.hasher = family(8, 2, 2).hasher
        broken.codes(np.ones((2, 8)))


def test_what_compiled_families_need_is_installed():
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["slide"]
    shipped = {str(path.relative_to(ROOT / "slide")) for pattern in patterns for path in (ROOT / "slide").glob(pattern)}
    published = {"hashing/__init__.pxd", "hashing/lanes.pxd", "_kernels/hashing/row_hasher.pxd", "_kernels/rng.pxd"}
    assert published | {"_kernels/simd/hashing_lanes.h", "_kernels/simd/vec_ops.h"} <= shipped
    assert Path(slide.get_include(), "hashing_lanes.h").is_file()
