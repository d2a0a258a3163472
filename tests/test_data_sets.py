"""Data sets: the public ones are found under any of their names; synthetic ones look like what they imitate."""

import dataclasses

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from slide.data import DATASETS, load_folder, load_public, make_xmc, registry, save_xmc


@pytest.fixture
def small(monkeypatch):
    """The registry with a set small enough to write: (name, train, test)."""
    train, test = make_xmc("amazon-670k", n_train=30, n_test=10, scale=0.003)
    sizes = {"n_train": 30, "n_test": 10, "n_features": train[0].shape[1], "n_labels": train[1].shape[1]}
    entry = dataclasses.replace(DATASETS["amazon-670k"], **sizes)
    monkeypatch.setitem(registry.DATASETS, "amazon-670k", entry)
    return "Amazon-670k", train, test


@pytest.mark.parametrize(
    "names",
    [
        ("amazon-670k/train.txt", "amazon-670k/test.txt.gz"),
        ("Amazon-670K/amazon_train.txt", "Amazon-670K/amazon_test.txt"),
        ("train.txt.xz", "amazon_test.txt.bz2"),
    ],
)
def test_a_set_is_found_under_its_names_and_compressed(tmp_path, small, names):
    name, train, test = small
    for path, pair in zip(names, (train, test), strict=True):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        save_xmc(tmp_path / path, *pair)
    found = load_public(name, root=tmp_path)
    for (X, Y), (X2, Y2) in zip((train, test), found, strict=True):
        assert (X != X2).nnz == 0 and (Y != Y2).nnz == 0


def test_a_set_that_is_not_there_says_what_to_do(tmp_path, small):
    with pytest.raises(FileNotFoundError, match="(?s)train set of Amazon-670K.*manikvarma.*3. call load_public"):
        load_public("amazon-670k", root=tmp_path)
    with pytest.raises(ValueError, match="found 'amazon', expected one of Amazon-670K, .*WikiLSHTC-325K"):
        load_public("amazon", root=tmp_path)
    name, train, test = small
    save_xmc(tmp_path / "train.txt", *test)
    save_xmc(tmp_path / "test.txt", *test)
    with pytest.raises(ValueError, match=r"train.txt, line 1: found \(10, .*expected \(30, .*train set"):
        load_public(name, root=tmp_path)


def test_a_folder_of_ones_own_holds_a_train_and_a_test_file(tmp_path, small):
    _, train, test = small
    with pytest.raises(FileNotFoundError, match="found none of train.txt, train.txt.gz, .*, train.txt.zst"):
        load_folder(tmp_path)
    save_xmc(tmp_path / "train.txt.gz", *train)
    save_xmc(tmp_path / "test.txt.xz", *test)
    (X, Y), (X_test, _) = load_folder(str(tmp_path))
    assert (X != train[0]).nnz == 0 and (Y != train[1]).nnz == 0 and X_test.shape == test[0].shape
    save_xmc(tmp_path / "test.txt", test[0], test[1][:, :-1])
    with pytest.raises(ValueError, match="test.txt, line 1: found .* features and labels, expected .* as in"):
        load_folder(tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_names_its_size_and_source(name):
    entry = DATASETS[name]
    assert entry.header("train") == (entry.n_train, entry.n_features, entry.n_labels)
    assert entry.url.startswith("http") and "Bhatia" in entry.repository and entry.source and entry.stem


def bits(pairs):
    return [array.tobytes() for pair in pairs for m in pair for array in (m.data, m.indices, m.indptr)]


@pytest.mark.parametrize(
    "preset, scale, nnz, labels, shape",
    [
        ("amazon-670k", 0.02, 75, 5.45, (9809, 3060, 2718, 13402)),
        ("delicious-200k", 0.02, 297, 75.54, (3932, 2002, 15652, 4109)),
    ],
)
def test_synthetic_sets_have_the_sizes_of_what_they_imitate(preset, scale, nnz, labels, shape):
    (X, Y), (X_test, Y_test) = make_xmc(preset, scale=scale)
    assert (X.shape[0], X_test.shape[0], *X.shape[1:], *Y.shape[1:]) == shape
    n = X.shape[0] + X_test.shape[0]
    assert abs((X.nnz + X_test.nnz) / n / nnz - 1) < 0.03
    assert abs((Y.nnz + Y_test.nnz) / n / labels - 1) < 0.05
    for A, B in ((X, Y), (X_test, Y_test)):
        assert A.dtype == B.dtype == np.float32 and A.indices.dtype == np.int32
        assert np.abs(np.sqrt(A.multiply(A).sum(1)) - 1).max() < 1e-5
        assert (np.diff(B.indptr) >= 1).all() and (B.data == 1).all() and (A.data > 0).all()
        for m in (A, B):
            assert csr_matrix((m.data, m.indices, m.indptr), m.shape).has_canonical_format


def test_label_frequencies_follow_a_power_law():
    """Behind the head, log frequency falls linearly with log rank; no label is in over 2 % of the rows."""
    Y = make_xmc("amazon-670k", n_test=1, scale=0.1)[0][1]
    counts = np.sort(np.bincount(Y.indices, minlength=Y.shape[1]))[::-1]
    assert counts[0] / Y.shape[0] < 0.02
    rank = np.arange(300, 7000)
    slope, offset = np.polyfit(np.log(rank), np.log(counts[rank]), 1)
    assert -1.1 < slope < -0.5
    assert np.abs(np.log(counts[rank]) - slope * np.log(rank) - offset).max() < 0.35


def test_train_and_test_share_their_structure():
    """The mean of a label's rows finds it again, far above what the most frequent label gets."""
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", scale=0.02, n_test=1000)
    centres = (Y.T @ X).tocsr()
    norms = np.sqrt(centres.multiply(centres).sum(1))
    scores = (X_test @ centres.T).toarray() / np.maximum(np.asarray(norms).T, 1e-9)
    truth = Y_test.toarray() > 0
    hit = truth[np.arange(1000), scores.argmax(1)].mean()
    popular = truth[:, np.bincount(Y.indices).argmax()].mean()
    assert 0.4 < hit < 0.85 and popular < 0.02


def test_the_seed_decides_every_bit():
    one = bits(make_xmc("amazon-670k", n_train=300, n_test=100, scale=0.01, seed=3))
    assert one == bits(make_xmc("Amazon-670K", n_train=300, n_test=100, scale=0.01, seed=3))
    other = bits(make_xmc("amazon-670k", n_train=300, n_test=100, scale=0.01, seed=4))
    assert all(a != b for a, b in zip(one, other, strict=True) if len(a) > 1600)
    pairs = make_xmc("amazon-670k", n_train=100, n_test=100, scale=0.01)
    assert (pairs[0][0] != pairs[1][0]).nnz > 5000


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"preset": "mnist"}, "preset: found 'mnist', expected one of amazon-670k, delicious-200k"),
        ({"scale": 0}, "scale: found 0, expected 0.0023 to 1 for amazon-670k"),
        ({"scale": 1.5}, "scale: found 1.5"),
        ({"scale": float("nan")}, "scale: found nan"),
        ({"n_train": 0}, "n_train: found 0, expected an integer from 1, or None"),
        ({"n_test": 2.5}, "n_test: found 2.5"),
        ({"seed": -1}, "seed: found -1, expected an integer from 0"),
        ({"seed": "x"}, "seed: found 'x'"),
    ],
)
def test_arguments_out_of_range_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        make_xmc(**{"preset": "amazon-670k", "scale": 0.01, **wrong})
