"""Model files that anyone may have made: mutations of good ones, and what must hold of each."""

from pathlib import Path

import numpy as np
from scipy import sparse

import slide
from slide import Dense, Network, RehashSchedule, Sampled
from slide.hashing import CrossPolytope, MinHash
from slide.prediction import Ensemble, Mixed
from slide.prediction.mixing import Mixing
from slide.prediction.unfinished import Unfinished
from slide.sampling import TopK
from tests.robustness.archives import JsonMutator

N_FEATURES, N_LABELS = 40, 60
INDEXED = 1000  # labels of a network with an index
OFTEN = RehashSchedule(N0=2, growth=0.0, renew_every=2)
LAYERS = (
    [Dense(8), Sampled(N_LABELS, hash="ranged", K=3, L=5, active=12, label_fill=0.5, rehash=OFTEN)],
    [Sampled(24, hash=MinHash(N_FEATURES, 2, 3, top_k=5), active=6), Dense(8), Dense(N_LABELS)],
    [Dense(8), Sampled(N_LABELS, hash="mips", K=4, L=3, active=9, policy="reservoir", reinsert=True, rehash=OFTEN)],
    [Dense(8), Sampled(N_LABELS, sampler=TopK(9), hash=CrossPolytope(8, 2, 4), logq_correction=True,
                       weight_type="bfloat16", moment_type="bfloat16")],
)  # fmt: skip


def examples(n=40):
    rng = np.random.default_rng(1)
    return rng.random((n, N_FEATURES), np.float32), np.eye(N_LABELS)[rng.integers(0, N_LABELS, n)]


def good_files(folder) -> list[bytes]:
    """Saved networks of every part that a file may have."""
    X, Y = examples()
    files = []
    for i, layers in enumerate(LAYERS):
        path = Path(folder, f"good_{i}.npz")
        network = Network(N_FEATURES, layers, batch_size=16, threads=1)
        for low in (0, 16, 20):  # by batches: what the last one left to do is saved, too
            network.partial_fit(X[low : low + 16], Y[low : low + 16])
        network.save(path)
        files.append(path.read_bytes())
    for model in (*several(X, Y), indexed(X)):
        model.save(path)
        files.append(path.read_bytes())
    return files


def indexed(X) -> Network:
    """A network with an index, which a recall is asked of."""
    labels = np.eye(INDEXED, dtype=np.float32)[np.arange(len(X)) % INDEXED]
    network = Network(N_FEATURES, [Dense(8), Sampled(INDEXED, K=2, L=3, active=12)], batch_size=16, threads=1)
    network.fit(X, labels).build_index(X)
    return network


def several(X, Y):
    """A model of each kind that holds networks, and one for prediction alone."""
    layers = [Dense(8), Sampled(N_LABELS, K=2, L=3, active=12)]
    networks = [Network(N_FEATURES, layers, batch_size=16, threads=1, seed=seed).fit(X, Y) for seed in range(3)]
    record = {"step": 2, "loss": 1.0, "P@1": 0.5, "P@3": 0.3, "P@5": 0.2, "rows": 9}
    progress = {"monitor": "P@1", "mask_seen": False, "records": [record], "risen": 1, "end": 5}
    indicator = sparse.csr_matrix(Y)
    yield Ensemble(networks[:2])
    yield Mixed(networks[0], sparse.csr_matrix(X), indicator, {"hidden": Mixing(k=3), "input": Mixing(k=3)})
    yield Unfinished(networks[:2], 1, progress, networks[2])
    yield networks[2].freeze()


def use(path) -> str:
    """Loads and uses a file: "refused", or "loaded" where it can be trained, asked and saved. Other ends are faults."""
    X, Y = examples(20)
    try:
        model = slide.load(path, threads=1)
    except (ValueError, MemoryError) as error:
        assert str(path) in str(error), error
        return "refused" if isinstance(error, ValueError) else "too large"
    if model.n_features != N_FEATURES or model.n_labels not in (N_LABELS, INDEXED):
        return "loaded"
    try:
        model.predict(X, 5)
        if isinstance(model, Network) and model.n_labels == INDEXED:
            return ask(model, X, path)
        for network in [model] if isinstance(model, Network) else model.networks:
            network.predict(X, 5, sampled=True)
            if not network.frozen:
                network.fit(X, Y, steps=3)
                network.rehash()
        model.save(f"{path}.again")
    except FloatingPointError:  # weights of 1e38
        return "loaded, diverged"
    except MemoryError:  # groups of 2**40 samples
        return "loaded, too large"
    return "loaded"


def ask(model, X, path) -> str:
    try:
        for recall in (0.9, 1):
            model.predict(X, 5, recall=recall)
    except RuntimeError as error:  # the index is of other weights, and there are no rows to make one for
        assert "build_index" in str(error), error
        return "loaded, without index"
    model.save(f"{path}.again")
    return "loaded, with index"


def run(number, seed, folder, trial):
    mutator, path = JsonMutator(good_files(folder), seed), Path(folder, "model.npz")
    for _ in range(number):
        what, content = mutator.draw()
        path.write_bytes(content)
        trial(what, lambda: use(path), content)
