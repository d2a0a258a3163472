"""Model files that anyone may have made: mutations of good ones, and what must hold of each."""

from pathlib import Path

import numpy as np

from slide import Dense, Network, RehashSchedule, Sampled
from slide.hashing import CrossPolytope, MinHash
from slide.sampling import TopK
from tests.robustness.archives import JsonMutator

N_FEATURES, N_LABELS = 40, 60
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
    return files


def use(path) -> str:
    """Loads and uses a file: "refused", or "loaded" where it can be trained, asked and saved. Other ends are faults."""
    X, Y = examples(20)
    try:
        network = Network.load(path, threads=1)
    except (ValueError, MemoryError) as error:
        assert str(path) in str(error), error
        return "refused" if isinstance(error, ValueError) else "too large"
    if (network.n_features, network.n_labels) != (N_FEATURES, N_LABELS):
        return "loaded"
    try:
        network.predict(X, 5)
        network.predict(X, 5, sampled=True)
        network.fit(X, Y, steps=3)
        network.rehash()
        network.save(f"{path}.again")
    except FloatingPointError:  # weights of 1e38
        return "loaded, diverged"
    except MemoryError:  # groups of 2**40 samples
        return "loaded, too large"
    return "loaded"


def run(number, seed, folder, trial):
    mutator, path = JsonMutator(good_files(folder), seed), Path(folder, "model.npz")
    for _ in range(number):
        what, content = mutator.draw()
        path.write_bytes(content)
        trial(what, lambda: use(path), content)
