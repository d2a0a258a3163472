"""A training step of SLIDE stage by stage, beside what the machine's memory and arithmetic allow: its roofline.

A stage's floor is the larger of two times: the bytes that it must move over the bandwidth of their kind (rows read in
order, rows gathered at random, rows read and written at random, all measured here), and its multiplications over the
rate of a large matrix product. Bytes are counted once a batch for every distinct row. Each variant has a process of
its own: threads, huge pages or not, instruction sets. Rounds over all of them alternate; medians, also of the ratios
within a round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from experiments.frame import draw
from experiments.frame.training import corrected, sized

QUESTION = "Where does a training step's time go, and how far is each stage from what the machine allows?"
PAPER = "memory-bound at every number of threads (figure 6); 1.3 times from huge pages and SIMD (section 5.4)"
TIME = {"smoke": "10 s", "small": "4 min"}

SETTINGS = {
    "smoke": dict(scale=0.01, n_train=2000, active=200, warm_up=3, steps=5, rounds=1, repeats=2, probe=2000),
    "small": dict(scale=1.0, n_train=40_000, active=3000, warm_up=200, steps=20, rounds=3, repeats=3,
                  probe=500_000),
}
BATCH, HIDDEN, L = 256, 128, 50
STAGES = ("input", "hash", "sample", "forward", "transpose", "update", "input_update", "rehash", "rest")
WORDS = {
    "input": "input layer", "hash": "hash", "sample": "probe and select", "forward": "forward, softmax, hidden deltas",
    "transpose": "transpose", "update": "gradient and Adam", "input_update": "input layer's update",
    "rehash": "rehash, amortised", "rest": "rest (batches, Python)",
}  # fmt: skip
ROW = "{:32} {:>9} {:>9} {:>9} {:>9} {:>8}  {}"


def run(scale, records, threads, seed):
    from slide import build_info

    variants = [dict(name=f"{n} threads" if n > 1 else "1 thread", threads=n) for n in thread_counts(threads)]
    variants.append(dict(name="without huge pages", threads=threads, huge_pages=False))
    for simd in build_info()["simd_available"]:
        if simd != build_info()["simd"]:
            variants.append(dict(name=f"SIMD: {simd}", threads=threads, simd=simd))
    for setting in records.pending([dict(round=n, **x) for n in range(SETTINGS[scale]["rounds"]) for x in variants]):
        variant = {name: value for name, value in setting.items() if name != "round"}
        records.add("step", round=setting["round"], **child(scale, variant, seed))
    lines = summarise(records.of("step"))
    for line in lines:
        print(f"\n{line['name']}: {line['total_ms']:.2f} ms a batch of {BATCH}, {line['total_ms'] / BATCH:.4f} ms a "
              f"sample, {line['ratio']:.2f} times {lines[0]['name']}")  # fmt: skip
        if line in lines[: len(thread_counts(threads))]:
            print_stages(line)


def summarise(records) -> list[dict]:
    """The medians over the rounds of each variant; `ratio`: of its time to that of the first one in the same round."""
    out = []
    of_name = {name: [x for x in records if x["name"] == name] for name in dict.fromkeys(x["name"] for x in records)}
    base = {line["round"]: line["total_ms"] for line in records if line["name"] == records[0]["name"]}
    for lines in of_name.values():
        ratio = statistics.median(line["total_ms"] / base[line["round"]] for line in lines)
        out.append({**median([{x: line[x] for x in ("total_ms", "bandwidth", "gflops", "stages")} for line in lines]),
                    "name": lines[0]["name"], "ratio": ratio})  # fmt: skip
    return out


def median(values):
    """Elementwise, of dictionaries of one shape; of words, the most frequent."""
    if isinstance(values[0], dict):
        return {name: median([value[name] for value in values]) for name in values[0]}
    return statistics.mode(values) if isinstance(values[0], str) else statistics.median(values)


def thread_counts(threads):
    """From `threads` down to one by halves."""
    counts = [threads]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return counts


def print_stages(line):
    rates = line["bandwidth"]
    print(f"memory: read {rates['read']:.1f}, gather {rates['gather']:.1f}, update {rates['update']:.1f} GB/s; "
          f"matrix products {line['gflops']:.0f} GFLOP/s")  # fmt: skip
    print(ROW.format("stage", "ms", "MB moved", "MFLOP", "floor ms", "x floor", "floor set by"))
    for name in STAGES:
        stage = line["stages"][name]
        ratio = f"{stage['ms'] / stage['floor_ms']:.2f}" if stage["floor_ms"] > 0.05 else "-"
        print(ROW.format(WORDS[name], f"{stage['ms']:.2f}", f"{stage['bytes'] / 1e6:.1f}",
                         f"{stage['flops'] / 1e6:.0f}", f"{stage['floor_ms']:.2f}", ratio, stage["bound"]))  # fmt: skip


def child(scale, variant, seed):
    environment = dict(os.environ)
    if variant.get("simd"):
        environment["SLIDE_SIMD"] = variant["simd"]
    if not variant.get("huge_pages", True):
        environment["NUMPY_MADVISE_HUGEPAGE"] = "0"  # NumPy asks for huge pages of its own accord
    command = [sys.executable, "-m", __spec__.name, scale, json.dumps(variant), str(seed)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def measure(settings, variant, seed):
    """Trains, and prints one line: milliseconds a batch of each stage, medians over the repeats, and its floor."""
    from slide import Adam, Dense, Network, RehashSchedule, Sampled
    from slide.data import make_xmc
    from slide.defaults import recommended
    from slide.roofline import measure_bandwidth, measure_products
    from slide.rows import as_sparse_rows

    threads = variant["threads"]
    (X, Y), _ = make_xmc("amazon-670k", settings["n_train"], 1, scale=settings["scale"], seed=seed)
    advice = recommended(EPOCH * BATCH, Y.shape[1], {"min_active": settings["active"]}, Y.nnz / X.shape[0])
    layer = Sampled(Y.shape[1], hash=advice["hash"], K=advice["K"], L=L, rehash=RehashSchedule(N0=10**6),
                    **sized("slide", settings["active"]), **corrected(advice))  # fmt: skip
    network = Network(X.shape[1], [Dense(HIDDEN), layer], optimizer=Adam(2e-3), batch_size=BATCH,
                      group_size=advice["group_size"], seed=seed, threads=threads, normalize=False,
                      huge_pages=variant.get("huge_pages", True))  # fmt: skip
    X = as_sparse_rows(X).normalized()  # here, since `fit` would do it at every call
    network.fit(X, Y, steps=settings["warm_up"])
    rounds, rates, counts = [], [], []
    for _ in range(settings["repeats"]):
        rounds.append(timed_steps(network, X, Y, settings["steps"], counts))
        rates.append(measure_bandwidth(threads, n_rows=settings["probe"], touched=min(40_000, settings["probe"]),
                                       repeats=3))  # fmt: skip
    rebuild = min(timed_rebuild(network) for _ in range(settings["repeats"]))
    bandwidth = {kind: statistics.median(rate[kind] for rate in rates) for kind in rates[0]}
    gflops = measure_products(threads)
    ms = {name: statistics.median(line.get(name, 0.0) for line in rounds) for name in (*STAGES, "total")}
    rehashes = RehashSchedule(N0=advice["N0"]).count(EPOCH) / EPOCH
    ms["rehash"] = rebuild * rehashes
    stages = floors(ms, np.mean(counts, axis=0), network, len(X.ids) / len(X), rehashes, bandwidth, gflops)
    print(json.dumps(dict(
        variant, total_ms=ms["total"] + ms["rehash"], rebuild_ms=rebuild, stages=stages, bandwidth=bandwidth,
        gflops=gflops, active=network.active,
    )))  # fmt: skip


EPOCH = 1916  # batches of Amazon-670K


def timed_steps(network, X, Y, steps, counts):
    network.run.clock.reset()
    note = lambda network, _: counts.append([layer.touched for layer in network.layers] + [network.active])  # noqa: E731
    start = time.perf_counter()
    network.fit(X, Y, steps=steps, callback=note)
    total = time.perf_counter() - start
    line = {name: 1e3 * seconds / steps for name, seconds in network.run.clock.seconds.items()}
    line["total"] = 1e3 * total / steps
    line["rest"] = line["total"] - sum(line[name] for name in line if name != "total")
    return line


def timed_rebuild(network):
    layer = network.layers[-1]
    start = time.perf_counter()
    layer.index.build(layer.weights)
    return 1e3 * (time.perf_counter() - start)


def floors(ms, counts, network, nnz, rehashes, bandwidth, gflops):
    """{stage: ms, bytes, flops, floor and what sets it}; rehashes: a batch."""
    features, neurons, active = counts
    row, pairs = 4 * HIDDEN, active * BATCH / network.group_size
    product = 2.0 * pairs * network.group_size * HIDDEN
    moved = {
        "input": ("gather", features * row, 2.0 * BATCH * nnz * HIDDEN),
        "hash": ("read", BATCH * row, 0.0),
        "sample": ("gather", BATCH * L * 2 * 64, 0.0),
        "forward": ("gather", pairs * row, 2 * product),
        "transpose": ("read", pairs * 4 * 8, 0.0),
        "update": ("update", neurons * 6 * row, product),
        "input_update": ("update", features * 6 * row, 2.0 * BATCH * nnz * HIDDEN),
        "rehash": ("read", rehashes * network.n_labels * (row + 3 * 4 * L), 0.0),
        "rest": ("read", 0.0, 0.0),
    }
    out = {}
    for name, (kind, n_bytes, flops) in moved.items():
        times = {kind: n_bytes / bandwidth[kind] / 1e6, "arithmetic": flops / gflops / 1e6}
        bound = max(times, key=times.get)
        out[name] = dict(ms=ms[name], bytes=n_bytes, flops=flops, floor_ms=times[bound], bound=bound)
    return out


def plot(records):
    lines = summarise([line for line in records if line["record"] == "step"])
    figure, (left, right) = draw.panels(2, "A training step at the shape of Amazon-670K, stage by stage")
    first, places = lines[0], np.arange(len(STAGES))
    bars = left.barh(places, [first["stages"][name]["ms"] for name in STAGES], 0.6, color=draw.COLOURS["slide"],
                     label=f"measured, {first['name']}")  # fmt: skip
    floor = [first["stages"][name]["floor_ms"] for name in STAGES]
    left.plot(floor, places, "|", markersize=18, markeredgewidth=3, color="black", label="floor: memory or arithmetic")
    left.bar_label(bars, [f"  {first['stages'][name]['ms']:.1f}" for name in STAGES])
    left.set_yticks(places, [WORDS[name] for name in STAGES])
    left.set(xlabel="milliseconds a batch of 256")
    left.set_xlim(right=1.2 * max(first["stages"][name]["ms"] for name in STAGES))
    left.invert_yaxis()
    left.legend(loc="lower right")
    totals = [line["total_ms"] for line in lines]
    bars = right.barh([line["name"] for line in lines], totals, 0.6, color=draw.COLOURS["slide"])
    right.bar_label(bars, [f"  {total:.1f} ({line['ratio']:.2f} x)" for total, line in zip(totals, lines, strict=True)])
    right.set(xlabel="milliseconds a batch of 256, rehash included")
    right.set_xlim(right=1.35 * max(totals))
    right.invert_yaxis()
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scale", choices=SETTINGS)
    parser.add_argument("variant", type=json.loads)
    parser.add_argument("seed", type=int)
    args = parser.parse_args()
    measure(SETTINGS[args.scale], args.variant, args.seed)
