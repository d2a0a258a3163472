"""Trains and asks networks of every kind on several threads, for a thread sanitizer to watch.

python -m tests.robustness.races rows|hogwild [--threads N]
"""

import argparse
import sys

from slide import Network
from tests.networks import CONFIGURATIONS, N_FEATURES, separable

CHOSEN = (
    "vanilla, ranged", "vanilla, simhash", "topk, wta", "threshold, minhash", "topk, dwta", "vanilla, mips",
    "threshold, cross-polytope", "filled by labels", "logQ", "uniform", "full", "dense", "hidden sampled",
    "first sampled", "bfloat16", "one layer",
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("update", choices=("rows", "hogwild"))
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    X, Y = separable()
    for name in CHOSEN:
        layers, settings = CONFIGURATIONS[name]
        narrow = any(getattr(spec, "weight_type", "") == "bfloat16" for spec in layers)
        sampled = any(not spec.dense for spec in layers)
        if options.update == "hogwild" and (narrow or not sampled):
            continue
        settings = {"batch_size": 32, **settings, "threads": options.threads, "update": options.update}
        network = Network(N_FEATURES, layers, **settings).fit(X, Y, steps=12)
        network.rehash()
        network.predict(X, 5)
        network.predict(X, 5, sampled=True)
        print(name, flush=True)


if __name__ == "__main__":
    sys.exit(main())
