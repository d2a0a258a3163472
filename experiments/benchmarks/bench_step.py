"""A training step of SLIDE stage by stage, compared with what memory and arithmetic allow: see `frame.roofline`.

Each variant has a process of its own: threads, huge pages or not, instruction sets. Rounds over all of them alternate;
medians, also of the ratios within a round. One variant alone, as a line of JSON:

    python -m experiments.frame.processes experiments.benchmarks.bench_step measure \
        '{"scale": "small", "seed": 0, "name": "2 threads", "threads": 2}'
"""

import statistics

import numpy as np

from experiments.frame import draw, machine, processes, roofline
from experiments.frame.records import of
from experiments.frame.roofline import STAGES
from experiments.frame.timing import median_seconds, timed_steps
from experiments.frame.training import CORRECTED, sized

QUESTION = "Where does a training step's time go, and how far is each stage from what the machine allows?"
PAPER = "memory-bound at every number of threads (figure 6); 1.3 times from huge pages and SIMD (section 5.4)"
TIME = {"smoke": "10 s", "small": "4 min"}

SETTINGS = {
    "smoke": dict(scale=0.01, n_train=2000, active=200, warm_up=3, steps=5, rounds=1, repeats=2, probe=2000,
                  square=256),
    "small": dict(scale=1.0, n_train=40_000, active=3000, warm_up=200, steps=20, rounds=3, repeats=3,
                  probe=500_000),
}
BATCH, HIDDEN, L = 256, 128, 50
EPOCH = 1916  # batches of Amazon-670K
ROW = "{:32} {:>9} {:>9} {:>9} {:>9} {:>8}  {}"


def run(scale, records, threads, seed):
    from slide import build_info

    counts = machine.thread_counts(threads)[::-1]
    variants = [dict(name=f"{n} threads" if n > 1 else "1 thread", threads=n) for n in counts]
    variants.append(dict(name="without huge pages", threads=threads, huge_pages=False))
    for simd in build_info()["simd_available"]:
        if simd != build_info()["simd"]:
            variants.append(dict(name=f"SIMD: {simd}", threads=threads, simd=simd))
    for setting in records.pending([dict(round=n, **x) for n in range(SETTINGS[scale]["rounds"]) for x in variants]):
        variant = {name: value for name, value in setting.items() if name != "round"}
        for line in processes.lines(__name__, "measure", env=environment(variant), scale=scale, seed=seed, **variant):
            records.add("step", **setting, **line)
    lines = summarise(records.of("step"))
    for line in lines:
        print(f"\n{line['name']}: {line['total_ms']:.2f} ms per batch of {BATCH}, {line['ratio']:.2f} times "
              f"{lines[0]['name']}")  # fmt: skip
        if line in lines[: len(counts)]:
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


def print_stages(line):
    rates = line["bandwidth"]
    print(f"memory: read {rates['read']:.1f}, gather {rates['gather']:.1f}, update {rates['update']:.1f} GB/s; "
          f"matrix products {line['gflops']:.0f} GFLOP/s")  # fmt: skip
    print(ROW.format("stage", "ms", "MB moved", "MFLOP", "floor ms", "x floor", "floor set by"))
    for name in STAGES:
        stage = line["stages"][name]
        ratio = f"{stage['ms'] / stage['floor_ms']:.2f}" if stage["floor_ms"] > 0.05 else "-"
        print(ROW.format(STAGES[name], f"{stage['ms']:.2f}", f"{stage['bytes'] / 1e6:.1f}",
                         f"{stage['flops'] / 1e6:.0f}", f"{stage['floor_ms']:.2f}", ratio, stage["bound"]))  # fmt: skip


def environment(variant) -> dict:
    """What a variant's process has in its environment."""
    simd = {"SLIDE_SIMD": variant["simd"]} if "simd" in variant else {}
    return {**simd, **({} if variant.get("huge_pages", True) else processes.NO_HUGE_PAGES)}


def measure(scale, seed, name, threads, huge_pages=True, simd=None):
    """Trains, and yields one line: ms per batch of each stage, medians over the repeats, and its floor."""
    from slide import Adam, Dense, Network, RehashSchedule, Sampled
    from slide.data import make_xmc
    from slide.defaults import recommended
    from slide.machine.roofline import measure_bandwidth, measure_products
    from slide.rows import as_sparse_rows

    settings = SETTINGS[scale]
    (X, Y), _ = make_xmc("amazon-670k", settings["n_train"], 1, scale=settings["scale"], seed=seed)
    advice = recommended(EPOCH * BATCH, Y.shape[1], {"min_active": settings["active"]}, Y.nnz / X.shape[0])
    layer = Sampled(Y.shape[1], hash=advice["hash"], K=advice["K"], L=L, rehash=RehashSchedule(N0=10**6),
                    **sized("slide", settings["active"]), **CORRECTED)  # fmt: skip
    network = Network(X.shape[1], [Dense(HIDDEN), layer], optimizer=Adam(2e-3), batch_size=BATCH,
                      group_size=advice["group_size"], seed=seed, threads=threads, normalize=False,
                      huge_pages=huge_pages)  # fmt: skip
    X = as_sparse_rows(X).normalized()  # here, since `fit` would do it at every call
    network.fit(X, Y, steps=settings["warm_up"])
    rounds, rates, counts = [], [], []
    for _ in range(settings["repeats"]):
        rounds.append(stages_of(network, X, Y, settings["steps"], counts))
        rates.append(measure_bandwidth(threads, n_rows=settings["probe"], touched=min(40_000, settings["probe"]),
                                       repeats=3))  # fmt: skip
    last = network.layers[-1]
    rebuild = 1e3 * median_seconds(lambda: last.index.build(last.weights), repeats=settings["repeats"])[0]
    bandwidth = {kind: statistics.median(rate[kind] for rate in rates) for kind in rates[0]}
    gflops = measure_products(threads, settings.get("square", 2048))
    ms = {name: statistics.median(line.get(name, 0.0) for line in rounds) for name in (*STAGES, "total")}
    rehashes = RehashSchedule(N0=advice["N0"]).count(EPOCH) / EPOCH
    ms["rehash"] = rebuild * rehashes
    stages = roofline.floors(ms, counts, network, len(X.ids) / len(X), rehashes, bandwidth, gflops)
    yield dict(total_ms=ms["total"] + ms["rehash"], rebuild_ms=rebuild, stages=stages, bandwidth=bandwidth,
               gflops=gflops, active=network.active)  # fmt: skip


def stages_of(network, X, Y, steps, counts) -> dict:
    """Milliseconds per batch of each stage and in all; what each batch touched is added to counts."""
    seconds, _ = timed_steps(network, X, Y, steps, lambda network: counts.append(roofline.touched(network)))
    ms = {name: 1e3 * value / steps for name, value in seconds.items()}
    return {**ms, "rest": 2 * ms["total"] - sum(ms.values())}


def finding(records) -> str:
    first, *others = summarise(of(records, "step"))
    stages = sorted(first["stages"].items(), key=lambda item: -item[1]["ms"])[:3]
    parts = (f"{STAGES[name]} {x['ms']:.2f} ms (at least {x['floor_ms']:.2f}, by {bound_of(x)})" for name, x in stages)
    floor = sum(stage["floor_ms"] for stage in first["stages"].values())
    ratios = ", ".join(f"{line['name']} {line['ratio']:.2f}" for line in others)
    return (
        f"On {first['name']} a batch of {BATCH} takes {first['total_ms']:.2f} ms, rebuilds of the tables included; "
        f"memory and arithmetic need at least {floor:.2f}. The longest stages: {', '.join(parts)}. "
        f"Times as long: {ratios}."
    )


def bound_of(stage) -> str:
    return "arithmetic" if stage["bound"] == "arithmetic" else "memory"


def plot(records):
    lines = summarise(of(records, "step"))
    figure, (left, right) = draw.panels(2, f"{QUESTION}\nthe shape of Amazon-670K")
    first, places = lines[0], np.arange(len(STAGES))
    bars = left.barh(places, [first["stages"][name]["ms"] for name in STAGES], 0.6, color=draw.COLOURS["slide"],
                     label=f"measured, {first['name']}")  # fmt: skip
    floor = [first["stages"][name]["floor_ms"] for name in STAGES]
    left.plot(floor, places, "|", markersize=18, markeredgewidth=3, color="black", label="floor: memory or arithmetic")
    left.bar_label(bars, [f"  {first['stages'][name]['ms']:.1f}" for name in STAGES])
    left.set_yticks(places, list(STAGES.values()))
    left.set(xlabel="milliseconds per batch of 256")
    left.set_xlim(right=1.2 * max(first["stages"][name]["ms"] for name in STAGES))
    left.invert_yaxis()
    left.legend(loc="upper right")
    totals = [line["total_ms"] for line in lines]
    bars = right.barh([line["name"] for line in lines], totals, 0.6, color=draw.COLOURS["slide"])
    right.bar_label(bars, [f"  {total:.1f} ({line['ratio']:.2f} x)" for total, line in zip(totals, lines, strict=True)])
    right.set(xlabel="milliseconds per batch of 256, rehash included")
    right.set_xlim(right=1.35 * max(totals))
    right.invert_yaxis()
    return figure
