"""What the README and examples/ show of hash families and samplers of one's own works as it is written."""

import importlib
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
from slide.hashing import FAMILIES, HashFamily
from slide.plugins import find_class
from slide.sampling import SAMPLERS, Sampler
from slide.testing import check_hash_family, check_sampler
from tests.networks import N_FEATURES, N_LABELS, assert_same, separable

ROOT = Path(slide.__file__).parent.parent
SMALL = dict(active=12, K=2, L=6, rehash=RehashSchedule(N0=3, growth=0.0, renew_every=2))


def readme_block():
    section = (ROOT / "README.md").read_text().split("## Write your own hash function")[1].split("\n## ")[0]
    assert len(section.strip().splitlines()) < 32
    return re.search(r"```python\n(.*?)```", section, re.S).group(1)


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_example_sampler_works_as_it_is_written(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    half = find_class("sampler", "my_sampler:Half", SAMPLERS, Sampler)
    check_sampler(half)
    X, Y = separable()
    network = Network(N_FEATURES, [Dense(16), Sampled(N_LABELS, **SMALL, sampler=half)], optimizer=Adam(lr=0.02))
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


@pytest.mark.slow
def test_a_compiled_family_of_another_package_builds_and_trains(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(built_example(tmp_path)))
    monkeypatch.delitem(sys.modules, "my_hash", raising=False)  # the folder of that name, where examples/ was a path
    family = find_class("hash", "my_hash:MyHash", FAMILIES, HashFamily)
    check_hash_family(family)
    check_hash_family(family, dim=33, K=3, L=7)
    X, Y = separable()
    network = Network(N_FEATURES, [Dense(16), Sampled(N_LABELS, **SMALL, hash=family)], threads=2)
    network.fit(X, Y, epochs=5).save(tmp_path / "model.npz")
    assert_same(Network.load(tmp_path / "model.npz"), network)
    with pytest.raises(ValueError, match=r"hasher: found SignHasher\(dim=8.*expected a RowHasher\(dim=8, L=3\)"):
        broken = family(8, 2, 3)
        broken.hasher = family(8, 2, 2).hasher
        broken.codes(np.ones((2, 8)))


def example(monkeypatch, name, needs):
    """The module examples/name.py; skips where what it `needs` is not installed."""
    for module, version in needs.items():
        pytest.importorskip(module, version, reason=f"{module} is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module(name)


@pytest.mark.slow
def test_the_gru_learns_what_follows_an_item(monkeypatch):
    gru = example(monkeypatch, "torch_gru", {"torch": None})
    import torch

    torch.manual_seed(0)
    model = gru.train(gru.NextItem(300, width=32), 300, 80)
    assert model.head.core.step == 80 and gru.recall(model, 300) > 0.5


@pytest.mark.slow
def test_the_transformer_learns_with_one_matrix(monkeypatch):
    transformer = example(monkeypatch, "torch_transformer", {"torch": None})
    import torch

    torch.manual_seed(0)
    model = transformer.NextToken(50, width=32, layers=1)
    before = model.head.weight.detach().clone()
    transformer.train(model, 50, 150, length=8)
    assert model.head.core.step == 150 and not torch.equal(model.head.weight, before)
    assert transformer.accuracy(model, 50) > 0.1  # chance is 0.02


@pytest.mark.slow
def test_tags_of_texts_are_predicted(monkeypatch):
    tags = example(monkeypatch, "sklearn_tags", {"sklearn": "1.6"})
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    from slide.sklearn import SlideClassifier

    texts, labels = tags.documented("json logging")
    assert len(texts) > 50 and {"json", "logging", "class", "function"} <= {x for some in labels for x in some}
    settings = {"hidden": 32, "batch_size": 16, "epochs": 30, "label_lists": True, "random_state": 0}
    model = make_pipeline(TfidfVectorizer(), SlideClassifier(**settings))
    found = model.fit(texts, labels).predict(texts)
    assert np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, labels, strict=True)]) > 0.8


def test_what_compiled_families_need_is_installed():
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["slide"]
    shipped = {str(path.relative_to(ROOT / "slide")) for pattern in patterns for path in (ROOT / "slide").glob(pattern)}
    published = {"hashing/__init__.pxd", "hashing/lanes.pxd", "_kernels/hashing/row_hasher.pxd", "_kernels/rng.pxd"}
    assert published | {"_kernels/simd/hashing_lanes.h", "_kernels/simd/vec_ops.h"} <= shipped
    assert Path(slide.get_include(), "hashing_lanes.h").is_file()
