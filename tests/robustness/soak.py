"""Trains, predicts, saves and loads for minutes, and shows the memory of the process: it must not grow.

python -m tests.robustness.soak [--minutes M]
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from slide import Dense, Network, RehashSchedule, Sampled

N_FEATURES, N_LABELS, N_ROWS = 2000, 5000, 1000
ALLOWED = 1.02, 4  # factor, and MB, that memory may be above its largest of the first quarter


def resident() -> float:
    """MB of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    X = sparse.random(N_ROWS, N_FEATURES, 0.02, "csr", np.float32, random_state=0)
    Y = np.random.default_rng(0).integers(0, N_LABELS, N_ROWS)
    sampled = Sampled(N_LABELS, active=200, hash="ranged", K=4, L=10, rehash=RehashSchedule(20, 0.0, 2), reinsert=True)
    network = Network(N_FEATURES, [Dense(32), sampled], batch_size=100)
    start, seen = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.npz")
        while time.monotonic() - start < 60 * minutes or len(seen) < 8:
            until = time.monotonic() + max(minutes, 0.1) * 60 / 40
            while time.monotonic() < until:
                network.fit(X, Y, epochs=1)
                network.predict(X[:100])
                network.predict(X[:100], sampled=True)
            network.save(path)
            network = Network.load(path)
            seen.append(resident())
            print(f"{time.monotonic() - start:7.0f} s  {network.step:8,} batches  {seen[-1]:8.1f} MB", flush=True)
    first = max(seen[: max(len(seen) // 4, 2)])
    print(f"largest of the first quarter: {first:.1f} MB; in the end: {seen[-1]:.1f} MB")
    return 0 if seen[-1] <= first * ALLOWED[0] + ALLOWED[1] else 1


if __name__ == "__main__":
    sys.exit(main())
