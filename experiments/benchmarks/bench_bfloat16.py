"""A softmax whose weights, and moments, are stored as bfloat16, and one of float32: time, memory, accuracy."""

import statistics

from experiments.frame import draw, seeds
from experiments.frame.problems import Problem, problem
from experiments.frame.records import of
from experiments.frame.timing import timed_steps
from experiments.frame.training import PLAIN, best, n_batches, network, settings, sized, train

QUESTION = "What do weights and moments in bfloat16 save, and what do they cost in accuracy?"
PAPER = (
    "float32 throughout; its successor (Daghaghi et al., MLSys 2021, table 3) reports 1.28 times from bfloat16 on "
    "Amazon-670K where the processor has instructions for it, and slower training elsewhere"
)
TIME = {"smoke": "5 s", "small": "3 min"}

SETTINGS = {
    "smoke": dict(scale=0.01, n_train=2000, n_active=200, warm_up=2, steps=3, repeats=2, data="tiny", epochs=2,
                  evaluations=2, seeds=2),
    "small": dict(scale=1.0, n_train=20_000, n_active=3000, warm_up=15, steps=10, repeats=7,
                  data="citeulike-tags-53k", epochs=12, evaluations=8, seeds=3),
}  # fmt: skip
# name: how weights are stored, how moments are
VARIANTS = {
    "float32": ("float32", "float32"),
    "bfloat16 weights": ("bfloat16", "float32"),
    "bfloat16 weights and moments": ("bfloat16", "bfloat16"),
}
LR = 5e-3
STAGES = ("forward", "update")


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    for line in steps(chosen, threads, seed):
        records.add("step", **line)
    data = problem(chosen["data"], seed)
    records.add("data", **data.facts())
    grid = [{"name": name, "seed": seed + number} for number in range(chosen["seeds"]) for name in VARIANTS]
    for setting in records.pending(grid):
        layer = dict(zip(("weight_type", "moment_type"), VARIANTS[setting["name"]], strict=True))
        n = n_batches(data, chosen["epochs"])
        net = network(data, settings("slide", data, layer=layer), LR, n, threads, setting["seed"])
        train(net, data, n, lambda **line: records.add("evaluation", **setting, **line),  # noqa: B023
              evaluations=chosen["evaluations"])  # fmt: skip


def steps(chosen, threads, seed):
    """Yields a line for each variant: milliseconds per sample, medians over rounds in which the variants alternate."""
    from slide.data import make_xmc
    from slide.rows import as_sparse_rows

    (X, Y), _ = make_xmc("amazon-670k", chosen["n_train"], 1, scale=chosen["scale"], seed=seed)
    found = Problem("", "", (as_sparse_rows(X).normalized(), Y), None, 0.0)
    networks = {name: step_network(found, *types, chosen, threads, seed) for name, types in VARIANTS.items()}
    rounds = {name: [] for name in VARIANTS}
    for net in networks.values():
        net.fit(*found.train, steps=chosen["warm_up"])
    for _ in range(chosen["repeats"]):
        for name, net in networks.items():
            rounds[name].append(timed(net, *found.train, chosen["steps"]))
    for name, net in networks.items():
        own = net.layers[-1].parameters
        yield {
            "name": name, "bytes": own.w.nbytes + own.m.nbytes + own.v.nbytes, "active": net.active,
            "ratios": [line["total"] / first["total"] for line, first in zip(rounds[name], rounds["float32"],
                                                                             strict=True)],
            "ms": {stage: statistics.median(line[stage] for line in rounds[name]) for stage in rounds[name][0]},
        }  # fmt: skip


def step_network(found, weight_type, moment_type, chosen, threads, seed):
    """The recommended network, which neither rebuilds tables nor normalises rows while it is timed."""
    from slide import RehashSchedule

    layer = dict(sized("slide", chosen["n_active"]), weight_type=weight_type, moment_type=moment_type,
                 rehash=RehashSchedule(N0=10**6))  # fmt: skip
    steps = chosen["warm_up"] + chosen["repeats"] * chosen["steps"]
    return network(found, settings("slide", found, layer, **PLAIN, normalize=False), LR, steps, threads, seed)


def timed(net, X, Y, n):
    """Milliseconds per sample over n steps: of the stages that touch the softmax's weights, and in all."""
    seconds, samples = timed_steps(net, X, Y, n)
    return {stage: 1e3 * seconds[stage] / samples for stage in (*STAGES, "total")}


def finding(records) -> str:
    lines = {line["name"]: line for line in of(records, "step")}
    said = []
    for name, line in lines.items():
        top = best(seeds.curve(records, name=name))
        ratio = statistics.median(line["ratios"])
        compared = "" if name == "float32" else f" ({ratio:.2f} times float32)"
        said.append(
            f"{name}: {line['ms']['total']:.4f} ms per sample{compared}, {line['bytes'] / 1e6:,.0f} MB of weights and "
            f"moments, best P@1 {top:.3f}"
        )
    return f"{_in_short(records, lines)} Measured: {'; '.join(said)}."


def _in_short(records, lines) -> str:
    first, *_, last = lines.values()
    before, after = (best(seeds.curve(records, name=line["name"])) for line in (first, last))
    ratio = min(statistics.median(line["ratios"]) for line in lines.values())
    return (
        f"Weights and moments in bfloat16 take {last['bytes'] / first['bytes']:.0%} of the memory, "
        f"{'and save time' if ratio < 0.97 else 'but save no time'} ({ratio:.2f} times float32's at best); the "
        f"best P@1 is {after:.3f} instead of {before:.3f}."
    )


def plot(records):
    lines, data = of(records, "step"), of(records, "data")[0]
    figure, (left, middle, right) = draw.panels(3, f"{QUESTION}\n{draw.threads(records)}")
    short = ["float32", "bfloat16\nweights", "bfloat16 weights\nand moments"]
    below = [0.0] * len(lines)
    for number, stage in enumerate((*STAGES, "rest")):
        ms = [line["ms"].get(stage, line["ms"]["total"] - sum(line["ms"][s] for s in STAGES)) for line in lines]
        label = {"forward": "forward, softmax, hidden deltas", "update": "gradient and Adam"}.get(stage, "the rest")
        left.bar(short, ms, 0.6, bottom=below, color=draw.SERIES[number], label=label)
        below = [a + b for a, b in zip(below, ms, strict=True)]
    left.set(ylabel="milliseconds per sample", ylim=(0, 1.35 * max(below)), title="a step, shape of Amazon-670K")
    left.legend(loc="upper right", fontsize=8)
    bars = middle.bar(short, [line["bytes"] / 1e6 for line in lines], 0.6, color=draw.COLOURS["slide"])
    middle.bar_label(bars, fmt="{:,.0f}")
    middle.set(ylabel="megabytes", title="weights and moments of the softmax")
    for number, name in enumerate(VARIANTS):
        own = seeds.curve(records, name=name)
        draw.curve(right, own, "samples", "p1", **draw.series(number, name))
    draw.popularity(right, data)
    draw.accuracy(right, "training (samples)")
    right.set_title(f"{data['title']}, {data['n_labels']:,} labels\n{seeds.in_words(own)}", fontsize=10)
    right.legend(loc="lower right", fontsize=8)
    return figure
