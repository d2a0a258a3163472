"""SLIDE and the full softmax at the full size of Amazon-670K (synthetic): time a sample, memory, what K retrieves.

Each system has a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from experiments import draw

QUESTION = "What do a sample and its memory cost at 670,091 labels, and which K makes the tables select?"
PAPER = "about 3,000 of 670,091 neurons active (0.5 %) with DWTA, K=8, L=50, batch 256 (section 5)"
TIME = {"smoke": "10 s", "small": "5 min"}

SETTINGS = {
    "smoke": dict(
        scale=0.01, n_train=2000, n_test=200, warm_up=2, steps={"slide": 10, "uniform": 10, "full": 3}, active=200,
        K={"dwta": [2, 3], "simhash": [6, 9]}, L=10, chosen={"hash": "dwta", "K": 3},
    ),
    "small": dict(
        scale=1.0, n_train=None, n_test=10_000, warm_up=20, steps={"slide": 1916, "uniform": 1916, "full": 25},
        active=3000, K={"dwta": [3, 4, 5, 6, 7, 8], "simhash": [9, 12, 15, 18]}, L=50,
        chosen={"hash": "dwta", "K": 5},
    ),
}  # fmt: skip
SYSTEMS = ("slide", "uniform", "full")
BATCH, GROUP = 256, 16
ROW = "{:26} {:>10} {:>10} {:>9} {:>8} {:>8}"
K_ROW = "{:8} {:>3} {:>12} {:>14} {:>12} {:>14}"


def run(scale, records, threads, seed):
    print(K_ROW.format("hash", "K", "a bucket", "largest", "a sample", "a group of 16"))
    for line in _child(scale, "retrieval", threads, seed):
        records.add("retrieval", **line)
        print(K_ROW.format(line["hash"], line["K"], f"{line['mean']:.2f}", line["largest"], f"{line['sample']:.0f}",
                           f"{line['group']:.0f}"), flush=True)  # fmt: skip
    print("\n" + ROW.format("system", "ms/sample", "rehash ms", "active", "GB peak", "P@1"))
    for system in SYSTEMS:
        for line in _child(scale, system, threads, seed):
            records.add("system", **line)
            score = "-" if line["p1"] is None else f"{line['p1']:.3f}"
            print(ROW.format(draw.LABELS[system], f"{line['ms']:.4f}", f"{line['rehash_ms']:.4f}",
                             f"{line['active']:,.0f}", f"{line['peak_gb']:.2f}", score), flush=True)  # fmt: skip


def _child(scale, what, threads, seed):
    """Runs one part in a process of its own; yields its JSON lines."""
    command = [sys.executable, "-m", "experiments.full_size", scale, what, str(threads), str(seed)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(settings, system, threads, seed):
    """Trains a system for some batches and prints one line: ms a sample, all in, and by stage."""
    import resource

    from slide import Adam, Dense, Network, Sampled
    from slide.data import make_xmc

    (X, Y), test = make_xmc(
        "amazon-670k", settings["n_train"], settings["n_test"], scale=settings["scale"], seed=seed
    )
    sampler = {"slide": "vanilla"}.get(system, system)
    layer = Sampled(Y.shape[1], sampler=sampler, active=settings["active"], L=settings["L"], **settings["chosen"])
    network = Network(
        X.shape[1], [Dense(128), layer], optimizer=Adam(2e-3), batch_size=BATCH, group_size=GROUP, seed=seed,
        threads=threads,
    )  # fmt: skip
    network.fit(X, Y, steps=settings["warm_up"])
    steps, active = settings["steps"][system], []
    network.run.clock.reset()
    before = network.samples
    start = time.perf_counter()
    network.fit(X, Y, steps=steps, callback=lambda network, loss: active.append(network.active))
    seconds = time.perf_counter() - start
    samples = network.samples - before
    stages = {name: 1e3 * value / samples for name, value in network.run.clock.seconds.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    p1 = network.evaluate(*test, ks=(1,)).scores["P@1"] if system != "full" else None
    print(json.dumps(dict(
        system=system, ms=1e3 * seconds / samples, rehash_ms=stages.get("rehash", 0.0), stages=stages, steps=steps,
        active=float(np.mean(active)), peak_gb=peak, p1=p1,
    )))  # fmt: skip


def retrieval(settings, threads, seed):
    """How full the buckets are and how many neurons a sample and a group find, of random weights, for each K."""
    from slide import Dense, Network, Sampled
    from slide.data import make_xmc
    from slide.rows import as_sparse_rows
    from slide.sampling import Vanilla

    (X, _), _ = make_xmc("amazon-670k", 4 * BATCH, 1, scale=settings["scale"], seed=seed)
    n_labels = round(670_091 * settings["scale"])
    for hash_, counts in settings["K"].items():
        for K in counts:
            layer = Sampled(n_labels, hash=hash_, K=K, L=settings["L"], bucket_size=2**15)
            network = Network(X.shape[1], [Dense(128), layer], seed=seed, threads=threads)
            first, last = network.layers
            codes = last.index.codes(first.exact(as_sparse_rows(X[:BATCH])))
            tables, found = last.index.tables, {}
            for name, size in (("sample", 1), ("group", GROUP)):
                active = Vanilla().sample(tables, codes, BATCH, size, n_labels, seed, 1, threads)
                found[name] = len(active.ids) / len(active)
            fill = tables.occupancy()
            print(json.dumps(dict(hash=hash_, K=K, mean=fill["mean"], largest=int(fill["max"]), n=n_labels, **found)))


def plot(records):
    figure, (left, right) = draw.panels(2, "The shape of Amazon-670K at full size (synthetic data)")
    for hash_, marker in (("dwta", "o"), ("simhash", "s")):
        lines = [line for line in records if line["record"] == "retrieval" and line["hash"] == hash_]
        bits = 3 if hash_ == "dwta" else 1
        for name, style in (("sample", "--"), ("group", "-")):
            left.plot([bits * line["K"] for line in lines], [line[name] for line in lines], style, marker=marker,
                      color=draw.COLOURS["slide" if hash_ == "dwta" else "full"],
                      label=f"{hash_.upper() if hash_ == 'dwta' else 'SimHash'}, a {name}")  # fmt: skip
    n = next(line["n"] for line in records if line["record"] == "retrieval")
    left.axhline(0.005 * n, linestyle=":", color="#666666", label="0.5 % of the neurons")
    left.set(xlabel="bits of a code (DWTA: 3 K, SimHash: K)", ylabel="neurons retrieved (log scale)", yscale="log")
    left.legend(fontsize=8)
    lines = [line for line in records if line["record"] == "system"]
    names = [f"{draw.LABELS[line['system']]}\n{line['active']:,.0f} active" for line in lines]
    bars = right.barh(names, [line["ms"] for line in lines], color=[draw.COLOURS[line["system"]] for line in lines])
    right.bar_label(bars, [f" {line['ms']:.3f} ms, {line['peak_gb']:.1f} GB" for line in lines])
    right.set(xlabel="training, all in (milliseconds a sample, log scale)", xscale="log")
    right.set_xlim(right=6 * max(line["ms"] for line in lines))
    right.invert_yaxis()
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scale", choices=SETTINGS)
    parser.add_argument("what", choices=(*SYSTEMS, "retrieval"))
    parser.add_argument("threads", type=int)
    parser.add_argument("seed", type=int)
    args = parser.parse_args()
    if args.what == "retrieval":
        retrieval(SETTINGS[args.scale], args.threads, args.seed)
    else:
        measure(SETTINGS[args.scale], args.what, args.threads, args.seed)
