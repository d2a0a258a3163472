"""What practitioners take for many labels: PECOS XR-Linear, omikuji, napkinXC, fastText, and nearest neighbours.

All come with the extra `rivals`, which brings NumPy 1 and an older SciPy: PECOS and fastText run with no other. Each is
trained and asked in a process of its own, by one thread, with the settings that its authors recommend, but for those of
`choices`, which held-out training rows decide. All are given rows of unit norm. omikuji and fastText read text: it is
written beforehand, and what they need to read it is part of their training. fastText reads a row as a text whose words
are its features, whatever their values.
"""

import importlib.util
import os
import resource
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy import sparse

from experiments.frame import machine

KS = (1, 3, 5)
FEW = 2000  # labels up to which fastText is tried with a classifier for each, beside its hierarchical softmax


class Rival:
    """One of the systems: `prepare`, `fit`, `predict` and `save`, in this order; only fit and predict are timed.

    choice   what is chosen on held-out rows, one of `choices(n_labels)`
    folder   an empty one, for files
    """

    PACKAGE, PIP = "", ""
    RANDOM = True  # whether another seed gives another model

    def __init__(self, choice: dict, seed: int, folder: Path):
        self.choice, self.seed, self.folder = choice, seed, Path(folder)

    @staticmethod
    def choices(n_labels: int) -> list[dict]:
        raise NotImplementedError

    def prepare(self, X, Y, X_test):
        """Writes what is read from files."""

    def fit(self, X, Y):
        raise NotImplementedError

    def predict(self, X, k) -> np.ndarray:
        """int (n, k): the best labels, best first; -1 where there are fewer."""
        raise NotImplementedError

    def save(self, folder):
        raise NotImplementedError


class Pecos(Rival):
    """XR-Linear (Yu, Zhong, Zhang, Chang & Dhillon, JMLR 2022): a tree over labels, a linear ranker in each node."""

    PACKAGE, PIP = "pecos", "libpecos"

    @staticmethod
    def choices(n_labels):
        return [{"threshold": 0.1}, {"threshold": 0.01}]

    def fit(self, X, Y):
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear import XLinearModel

        chain = Indexer.gen(LabelEmbeddingFactory.create(Y, X, method="pifa"), seed=self.seed, threads=1)
        self.model = XLinearModel.train(X, Y, C=chain, threads=1, **self.choice)

    def predict(self, X, k):
        return best_of(self.model.predict(X, only_topk=k, threads=1), k)

    def save(self, folder):
        self.model.save(str(folder))


class Omikuji(Rival):
    """Three Parabel trees (Prabhu et al., WWW 2018), its default, or three of Bonsai (Khandagale et al., 2020).

    It takes no seed: every run is another one.
    """

    PACKAGE, PIP = "omikuji", "omikuji"

    @staticmethod
    def choices(n_labels):
        return [{"tree": "Parabel"}, {"tree": "Bonsai"}]

    def prepare(self, X, Y, X_test):
        from slide.data import save_xmc

        self.path = self.folder / "train.txt"
        save_xmc(self.path, X, Y)
        self.rows = [list(zip(*row, strict=True)) for row in split_rows(X_test)]

    def fit(self, X, Y):
        import omikuji

        settings = omikuji.Model.default_hyper_param()
        if self.choice["tree"] == "Bonsai":
            settings.cluster_k, settings.cluster_balanced, settings.max_depth = 100, False, 3
        with quiet():
            self.model = omikuji.Model.train_on_data(str(self.path), settings, n_threads=1)

    def predict(self, X, k):
        return padded([[label for label, _ in self.model.predict(row, top_k=k)] for row in self.rows], k)

    def save(self, folder):
        with quiet():
            self.model.save(str(folder))


class NapkinXC(Rival):
    """A probabilistic label tree (Jasinska-Kobus et al., 2020), or the mean of three."""

    PACKAGE, PIP = "napkinxc", "napkinxc"

    @staticmethod
    def choices(n_labels):
        return [{"ensemble": 0}, {"ensemble": 3}]

    def fit(self, X, Y):
        from napkinxc.models import PLT

        self.model = PLT(str(self.folder / "model"), seed=self.seed, threads=1, verbose=False, **self.choice)
        self.model.fit(X, [labels.tolist() for labels, _ in split_rows(Y)])

    def predict(self, X, k):
        return padded(self.model.predict(X, top_k=k), k)

    def save(self, folder):
        (self.folder / "model").rename(folder)


class FastText(Rival):
    """fastText (Joulin et al., EACL 2017): the mean of word vectors, and a linear layer of all labels above it."""

    PACKAGE, PIP = "fasttext", "fasttext-wheel"

    @staticmethod
    def choices(n_labels):
        epochs = {"hs": (25, 100)} | ({"ova": (5, 25)} if n_labels <= FEW else {})
        return [{"loss": x, "lr": lr, "epoch": n} for x in epochs for n in epochs[x] for lr in (0.1, 0.5)]

    def prepare(self, X, Y, X_test):
        self.path, self.texts = self.folder / "train.txt", texts_of(X_test)
        labels = (" ".join(f"__label__{label}" for label in ids) for ids, _ in split_rows(Y))
        lines = (f"{names} {text}\n" for names, text in zip(labels, texts_of(X), strict=True))
        with self.path.open("w", encoding="ascii") as file:
            file.writelines(lines)

    def fit(self, X, Y):
        import fasttext

        self.model = fasttext.train_supervised(str(self.path), **self.choice, seed=self.seed, thread=1, verbose=0)

    def predict(self, X, k):
        found, _ = self.model.predict(self.texts, k=k)
        return padded([[int(name.removeprefix("__label__")) for name in names] for names in found], k)

    def save(self, folder):
        folder.mkdir()
        self.model.save_model(str(folder / "model.bin"))


class Neighbours(Rival):
    """The labels of the 50 nearest training rows, each counted with a power of its cosine."""

    PACKAGE, PIP, RANDOM = "sparse_dot_topn", "sparse-dot-topn", False
    K = 50

    @staticmethod
    def choices(n_labels):
        return [{"power": power} for power in (1, 4, 16)]

    def fit(self, X, Y):
        self.by_feature, self.labels = X.T.tocsr(), Y.astype(np.float32)

    def predict(self, X, k):
        from sparse_dot_topn import sp_matmul_topn

        near = sp_matmul_topn(X, self.by_feature, top_n=self.K, threshold=0.0, n_threads=1)
        near.data **= self.choice["power"]
        return best_of(sp_matmul_topn(near, self.labels, top_n=k, n_threads=1), k)

    def save(self, folder):
        folder.mkdir()
        sparse.save_npz(folder / "X.npz", self.by_feature, compressed=False)
        sparse.save_npz(folder / "Y.npz", self.labels, compressed=False)


RIVALS = {"pecos": Pecos, "omikuji": Omikuji, "napkinxc": NapkinXC, "fasttext": FastText, "neighbours": Neighbours}


def missing(system: str) -> str | None:
    """Why a rival cannot be measured here, in words; None where it can."""
    rival = RIVALS[system]
    if importlib.util.find_spec(rival.PACKAGE):
        return None
    return f"{rival.PIP} is left out: not installed (pip install 'slidenn[rivals]')"


def measure(system, choice, seed, folder, limit):
    """Yields what a rival reaches on test.npz, trained on train.npz of the folder, and what it costs.

    CPU seconds, user and system; GB at most, the data among them; MB of the saved model. The process is ended by
    SIGXCPU once training and prediction took `limit` CPU seconds.
    """
    from slide.data import load

    (X, Y), (X_test, Y_test) = (load(Path(folder, f"{part}.npz")) for part in ("train", "test"))
    X, X_test = unit_rows(X), unit_rows(X_test)
    with tempfile.TemporaryDirectory() as own:
        rival = RIVALS[system](choice, seed, own)
        rival.prepare(X, Y, X_test)
        with limited_cpu(limit):
            start = time.process_time()
            rival.fit(X, Y)
            trained = time.process_time()
            ids = rival.predict(X_test, max(KS))
            predicted = time.process_time()
        yield {
            **scores(Y, Y_test, ids), "train_s": trained - start, "predict_s": predicted - trained,
            "peak_gb": machine.peak_gb(), "model_mb": saved_mb(rival, Path(own, "saved")),
        }  # fmt: skip


def scores(Y, Y_test, ids) -> dict:
    """P@k and PSP@k of ids (n, 5)."""
    from slide.metrics import evaluate_topk, propensities

    found = evaluate_topk(Y_test, ids, KS, propensities(Y))
    return {name: value for name, value in found.items() if not name.startswith("nDCG")}


@contextmanager
def limited_cpu(seconds):
    """A context in which this process, or a child, is ended by SIGXCPU after so many more CPU seconds."""
    before = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, before)


def saved_mb(rival, folder) -> float:
    rival.save(folder)
    return size_mb(folder)


def size_mb(path) -> float:
    """Megabytes of a file, or of all the files in a folder."""
    files = [path] if path.is_file() else [x for x in path.rglob("*") if x.is_file()]
    return sum(x.stat().st_size for x in files) / 1e6


@contextmanager
def quiet():
    """Nothing that is compiled writes to the standard error here: omikuji counts every row there."""
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def unit_rows(X) -> sparse.csr_matrix:
    from slide.rows import as_sparse_rows

    rows = as_sparse_rows(X).normalized()
    arrays = rows.values.copy(), rows.ids.copy(), rows.indptr.copy()
    return sparse.csr_matrix(arrays, shape=rows.shape, dtype=np.float32)


def split_rows(matrix):
    """Yields (ids, values) of each row of a CSR matrix."""
    ends = matrix.indptr
    for a, b in zip(ends[:-1], ends[1:], strict=True):
        yield matrix.indices[a:b], matrix.data[a:b]


def texts_of(X) -> list[str]:
    """A text for each row, with a word for each of its features."""
    return [" ".join(f"f{feature}" for feature in ids) for ids, _ in split_rows(X)]


def best_of(scores, k) -> np.ndarray:
    """The k best labels of each row of a CSR matrix of scores; -1 where there are fewer."""
    order = (ids[np.argsort(-values, kind="stable")][:k].tolist() for ids, values in split_rows(scores.tocsr()))
    return padded(order, k)


def padded(rows, k) -> np.ndarray:
    """int64 (n, k) of lists of at most k labels."""
    return np.array([[*row, *[-1] * (k - len(row))] for row in rows], np.int64).reshape(-1, k)
