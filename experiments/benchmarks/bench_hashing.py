"""Hashing and tables, family by family: rebuilding all, moving what a batch touched, and what a batch asks."""

import statistics

import numpy as np

from experiments.frame import draw
from experiments.frame.records import of
from experiments.frame.timing import median_seconds

QUESTION = "What do rebuilding the tables, reinserting touched neurons and hashing a batch cost, in each hash family?"
PAPER = "18 s to hash and insert the 205,443 neurons of Delicious-200K, of which inserting takes 0.8 s (table 3)"
TIME = {"smoke": "2 s", "small": "90 s"}

SETTINGS = {
    "smoke": dict(
        n=5000, dim=128, L=10, touched=300, repeats=3, K={"dwta": [3], "wta": [3], "simhash": [6], "minhash": [2]}
    ),
    "small": dict(
        n=670_091, dim=128, L=50, touched=40_000, repeats=3,
        K={"dwta": [5, 6, 8], "wta": [5], "simhash": [9, 16], "minhash": [5]},
    ),
}  # fmt: skip
BATCH, GROUP, ACTIVE = 256, 16, 3000
STAGES = ("hash", "build", "rebuild", "reinsert", "queries", "select")
HEADS = ("hash all", "build", "in all", "reinsert", "queries", "select")
ROW = "{:8} {:>3} {:>8}" + " {:>10}" * len(STAGES)


def run(scale, records, threads, seed):
    """Adds a "timing" for each family, K and number of threads: the median milliseconds of each stage."""
    settings = SETTINGS[scale]
    rng = np.random.default_rng(seed)
    weights = 0.05 * rng.standard_normal((settings["n"], settings["dim"]), np.float32)
    queries = np.maximum(rng.standard_normal((BATCH, settings["dim"]), np.float32), 0)
    touched = np.sort(rng.permutation(settings["n"])[: settings["touched"]]).astype(np.int32)
    step = 0.002 * rng.standard_normal((len(touched), settings["dim"]), np.float32)
    print(ROW.format("hash", "K", "threads", *HEADS) + "   (milliseconds)")
    for hash_, counts in settings["K"].items():
        for K in counts:
            for used in sorted({1, threads}):
                ms = measure(settings, hash_, K, weights, queries, touched, step, used, seed)
                records.add("timing", hash=hash_, K=K, threads=used, n=len(weights), touched=len(touched), ms=ms)
                print(ROW.format(draw.FAMILIES[hash_], K, used, *(f"{ms[stage]:.2f}" for stage in STAGES)), flush=True)


def measure(settings, hash_, K, weights, queries, touched, step, threads, seed):
    """{stage: median milliseconds}. Each reinsertion follows an optimizer's step on the touched rows, back or forth."""
    from slide.hashing import FAMILIES
    from slide.index import LSHIndex, RehashSchedule
    from slide.sampling import Vanilla, complete

    n, dim, L, repeats = settings["n"], settings["dim"], settings["L"], settings["repeats"]
    index = LSHIndex(
        lambda seed: FAMILIES[hash_](dim, K, L, seed=seed), n, RehashSchedule(), seed, 128, "fifo", threads
    )
    sampler, codes = Vanilla(ACTIVE), index.codes(queries)
    signs = iter([1, -1] * repeats)

    def move():
        weights[touched] += next(signs) * step

    def select():
        found = sampler.sample(index.tables, codes, BATCH, GROUP, n, seed, 1, threads)
        complete(found, None, None, GROUP, ACTIVE, n, seed, 1, threads)

    def hash_all():
        index.family.codes_into(weights, index.tables.code_buffer())

    def build():
        index.tables.build(index.tables.code_buffer())

    index.build(weights)
    hashed, built = median_seconds(hash_all, build, repeats=repeats)
    _, moved = median_seconds(move, lambda: index.reinsert(touched, weights), repeats=2 * repeats)
    asked, selected = median_seconds(lambda: index.codes(queries), select, repeats=10 * repeats, warm_up=1)
    seconds = (hashed, built, hashed + built, moved, asked, selected)
    return {stage: 1e3 * value for stage, value in zip(STAGES, seconds, strict=True)}


def on_all_threads(records) -> list[dict]:
    return of(records, "timing", threads=max(line["threads"] for line in of(records, "timing")))


def finding(records) -> str:
    lines = on_all_threads(records)
    first, moved = lines[0], statistics.median(line["ms"]["reinsert"] / line["ms"]["rebuild"] for line in lines)
    said = [
        f"{draw.FAMILIES[line['hash']]} K={line['K']} {line['ms']['rebuild']:,.0f} ms "
        f"({line['ms']['hash'] / line['ms']['rebuild']:.0%} of it hashing) and {line['ms']['queries']:.2f} ms"
        for line in lines
    ]
    low, high = (pick(lines, key=lambda line: line["ms"]["rebuild"]) for pick in (min, max))
    return (
        f"On {draw.threads(records)} a rebuild of {first['n']:,} neurons takes {low['ms']['rebuild']:,.0f} "
        f"({draw.FAMILIES[low['hash']]}) to {high['ms']['rebuild']:,.0f} ms ({draw.FAMILIES[high['hash']]}); to "
        f"reinsert the {first['touched']:,} that a batch touches takes {moved:.0%} of that (median), but after every "
        f"batch. Rebuilds, and the hashing of a batch of {BATCH}: {', '.join(said)}."
    )


def plot(records):
    lines = on_all_threads(records)
    most = lines[0]["threads"]
    names = [f"{draw.FAMILIES[line['hash']]}\nK = {line['K']}" for line in lines]
    n, touched = lines[0]["n"], lines[0]["touched"]
    figure, (left, right) = draw.panels(2, f"{QUESTION}\n{n:,} neurons, {most} threads")
    hashing, building = ([line["ms"][stage] for line in lines] for stage in ("hash", "build"))
    left.bar(names, hashing, color=draw.COLOURS["slide"], label="hash all neurons")
    bars = left.bar(names, building, bottom=hashing, color=draw.COLOURS["full"], label="build the tables")
    left.bar_label(bars, [f"{line['ms']['rebuild']:,.0f}" for line in lines], fontsize=8)
    left.set(ylabel="milliseconds", title="rebuilding all tables")
    parts = (
        ("reinsert", f"reinsert {touched:,} neurons", "full"), ("queries", "hash 256 inputs", "slide"),
        ("select", "probe and select", "uniform"),
    )  # fmt: skip
    for i, (stage, label, colour) in enumerate(parts):
        places = np.arange(len(lines)) + 0.27 * (i - 1)
        right.bar(places, [line["ms"][stage] for line in lines], 0.27, color=draw.COLOURS[colour], label=label)
    right.set_xticks(range(len(lines)), names)
    draw.plain_log_axis(right, "y")
    right.set(ylabel="milliseconds (log scale)", title="a training batch of 256")
    for panel in (left, right):
        panel.legend(fontsize=8, loc="upper left")
        panel.set_ylim(top=1.3 * panel.get_ylim()[1] if panel is left else 6 * panel.get_ylim()[1])
    return figure
