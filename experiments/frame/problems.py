"""The data of the experiments: real sets where this machine has them, else synthetic ones of the same shape."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.frame.machine import ROOT

# name: the synthetic preset that stands in for it, and its scale.
STAND_INS = {
    "citeulike-tags-53k": ("amazon-670k", 0.08),
    "diginetica-43k": ("amazon-670k", 0.065),
    "wiki-skipgram-218k": ("amazon-670k", 0.33),
    "delicious-983": ("delicious-200k", 0.005),
    "amazon-670k": ("amazon-670k", 1.0),
    "delicious-200k": ("delicious-200k", 1.0),
}
TINY = "tiny"  # for trials of the code: a synthetic set of 2,680 labels


@dataclass(frozen=True)
class Problem:
    """A training and a test set, (X, Y) each, the test set shuffled; `title` says which they are."""

    name: str
    title: str
    train: tuple
    test: tuple
    popularity: float

    @property
    def n_features(self) -> int:
        return self.train[0].shape[1]

    @property
    def n_labels(self) -> int:
        return self.train[1].shape[1]

    @property
    def labels_per_row(self) -> float:
        """The mean number of labels of a training sample."""
        return self.train[1].nnz / max(self.train[1].shape[0], 1)

    def facts(self) -> dict:
        """What a record keeps of it."""
        return {
            "name": self.name, "title": self.title, "popularity": self.popularity, "n_train": self.train[0].shape[0],
            "n_test": self.test[0].shape[0], "n_features": self.n_features, "n_labels": self.n_labels,
        }  # fmt: skip


def folders() -> list[Path]:
    """Where real data is looked for: the folder that SLIDE_DATA names, data/ in the checkout, shared/data beside it."""
    named = os.environ.get("SLIDE_DATA")
    return ([Path(named)] if named else []) + [ROOT / "data", ROOT.parent / "shared" / "data"]


def find(name: str) -> Path | None:
    """The file or folder of that name in the first of `folders` that has it."""
    return next((folder / name for folder in folders() if (folder / name).exists()), None)


def problem(name: str, seed: int = 0, n_test: int | None = None, shape: dict | None = None) -> Problem:
    """The real set `name`, else its stand-in. n_test: keeps so many test rows of a shuffled set; None: all.

    shape: `n_train` and `n_test` of the synthetic preset `name`, which is then made whether or not the real is there.
    """
    from slide.metrics import popularity_baseline

    title, (train, test) = _made(name, seed, **shape) if shape else _sets(name, seed)
    order = np.random.default_rng(seed).permutation(test[0].shape[0])[:n_test]
    test = test[0][order], test[1][order]
    return Problem(name, title, train, test, popularity_baseline(train[1], test[1])["P@1"])


def _made(name, seed, scale=1.0, **sizes):
    from slide.data import make_xmc
    from slide.data.registry import DATASETS

    at = f" at a scale of {scale:g}" if scale < 1 else ""
    title = f"synthetic set, shape of {DATASETS[name].name}{at}"
    return title, make_xmc(name, **sizes, scale=scale, seed=seed)


def _sets(name, seed):
    from slide.data import make_xmc
    from slide.data.registry import DATASETS, load_folder, load_public

    if name == TINY:
        return "tiny synthetic set", make_xmc("amazon-670k", 1500, 300, scale=0.004, seed=seed)
    if name in DATASETS:
        for folder in folders():
            try:
                return DATASETS[name].name, load_public(name, folder)
            except FileNotFoundError:
                continue
    elif (folder := find(name)) is not None:
        return name, load_folder(folder)
    preset, scale = STAND_INS[name]
    return _made(preset, seed, scale)


def one_hot(y, n_classes):
    """CSR float32 (n, n_classes) with a one in the column of each label of y (n,)."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(y), np.float32), y, np.arange(len(y) + 1)), shape=(len(y), n_classes))


def blends(rng, dim, density):
    """Pairs of vectors, from opposite to equal; the closer, the more of their non-zeros are in common."""
    for correlation in np.concatenate([np.linspace(-0.98, 0.9, 14), [0.95, 0.98, 0.995, 0.999]]):
        x, noise = rng.standard_normal((2, dim))
        rows = np.array([x, correlation * x + np.sqrt(1 - correlation**2) * noise], np.float32)
        present = np.tile(rng.random(dim) < density, (2, 1))
        drawn_anew = rng.random(dim) > abs(correlation)
        present[1, drawn_anew] = rng.random(drawn_anew.sum()) < density
        yield np.where(present, rows, np.float32(0))
