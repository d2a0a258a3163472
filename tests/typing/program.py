"""What users write, for type checkers; `pytest tests/test_typing.py` checks it and runs it."""

import sys
from pathlib import Path

import numpy as np

from slide import Adam, Dense, Network, RehashSchedule, Sampled, SampledSoftmax, Schedule
from slide.data import make_xmc, save_xmc
from slide.hashing import HashFamily
from slide.metrics import popularity_baseline
from slide.prediction import Ensemble, Mixed
from slide.rows import ActiveSet, Matrix
from slide.sampling import Sampler, group_rng
from slide.tables import HashTables


class Larger(HashFamily):
    """A hash: which of four random coordinates is the largest."""

    bits_per_hash = 2

    def __init__(self, dim: int, K: int, L: int, seed: int = 0) -> None:
        super().__init__(dim, K, L, seed)
        self.places = np.random.default_rng(seed).integers(dim, size=(4, K * L))

    def codes(self, rows: Matrix) -> np.ndarray:
        dense = self.dense(rows)
        return self.pack(dense[:, self.places].argmax(axis=1))


class Few(Sampler):
    """A few neurons, uniformly."""

    needs_tables = False

    def __init__(self, few: int = 8) -> None:
        self.few = few

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        groups = range(-(-n_rows // group_size))
        return ActiveSet.of(group_rng(seed, step, g).choice(n_neurons, self.few, replace=False) for g in groups)


def watch(network: Network, loss: float) -> bool:
    return network.step > 1000 or loss < 0


def main(folder: Path) -> float:
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", n_train=300, n_test=50, scale=0.0025)
    save_xmc(folder / "train.txt", X, Y)
    own = Sampled(Y.shape[1], active=64, hash=Larger, K=5, L=8, rehash=RehashSchedule(N0=50))
    network = Network(
        X.shape[1], [Dense(16), own], optimizer=Adam(lr=1e-2), schedule=Schedule("linear", steps=100), batch_size=64
    )
    network.fit(X, Y, epochs=2, callback=watch, validation=(X_test, Y_test), monitor="P@1")
    network.label_smoothing = 0.1
    network.schedule = Schedule()
    lists: list[list[int]] = [[1, 2], [0]]
    network.partial_fit(X[:2], lists)
    network.partial_fit(X[:2].toarray(), np.array([3, 4]))

    labels, logits = network.predict(X_test, k=5)
    best: float = network.evaluate(X_test, Y_test, ks=[1, 3]).scores["P@1"]
    top = float(network.predict_proba(X_test)[1].max()) + float(logits.max()) + labels[0, 0]
    network.save(folder / "model.npz", inference=True)
    same = Network.load(str(folder / "model.npz"), hash=Larger)
    if same.n_labels != network.n_labels or not np.isfinite(top):
        return -1.0

    few = Network(X.shape[1], [Dense(8), Sampled(Y.shape[1], sampler=Few(16), min_active=0)], seed=1).fit(X, Y)
    other = Network(X.shape[1], [Dense(8), Sampled(Y.shape[1], active=64)], seed=2).fit(X, Y, steps=2)
    mixed = Mixed(Ensemble([few, other]), X, Y)
    softmax = SampledSoftmax(8, Y.shape[1], active=32, optimizer=Adam(lr=1e-3))
    loss, dh = softmax.learn(few.hidden(X), Y)
    baseline = popularity_baseline(Y, Y_test)["P@1"]
    return best + mixed.evaluate(X_test, Y_test).scores["P@5"] + loss + float(dh.sum()) + baseline


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
