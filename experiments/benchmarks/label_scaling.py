"""What a training sample costs as the number of labels grows and the number of active neurons stays.

Synthetic sets with the features and rows of Amazon-670K and ever more labels; SLIDE with the settings recommended for
the number of labels, but for the number of active neurons, and, for comparison, as many drawn uniformly: a sampled
softmax without tables. Each setting has a process of its own; rounds over all of them alternate, medians.
The time per sample is all in but for the rebuilding of the tables, which hashes every neuron and so grows with the
labels, but comes less and less often: its share over the first epoch of Amazon-670K is added, and shown apart.
"""

import statistics

import numpy as np

from experiments.frame import draw, machine, processes
from experiments.frame.claims import judged
from experiments.frame.problems import Problem
from experiments.frame.records import of
from experiments.frame.roofline import STAGES
from experiments.frame.timing import median_seconds, timed_steps
from experiments.frame.training import PLAIN, network, settings, sized

QUESTION = "Does the cost of a sample grow with the active neurons, and not with the number of labels?"
PAPER = "the cost is sub-linear in the width of the layer: only the retrieved neurons are touched (section 3)"
CLAIMS = ("wider",)
TIME = {"smoke": "20 s", "small": "5 min"}

SETTINGS = {
    "smoke": dict(labels=[1000, 2000], n_active=[100], steps=12, warm_up=3, rounds=1, n_features=3000),
    "small": dict(labels=[50_000, 200_000, 670_091, 2_000_000], n_active=[1000, 3000], steps=60, warm_up=20,
                  rounds=2, n_features=135_909),
}  # fmt: skip
SYSTEMS = ("slide", "uniform")
BATCH, HIDDEN, L, LR = 256, 128, 50, 2e-3  # L: as recommended
EPOCH = 490_449  # training samples of Amazon-670K
FLAT = 1.5  # times as much is flat
MOMENTS = 3  # float32 arrays of labels x hidden that a layer holds
STACKED = ("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#000000", "#999999")
ROW = "{:>9} {:>7} {:26} {:>10} {:>11} {:>9} {:>9} {:>8}"


def run(scale, records, threads, seed):
    plan, fitting = SETTINGS[scale], []
    for n in plan["labels"]:
        if needed(n) > machine.free_memory():
            text = f"{n:,} labels are left out: they take {needed(n) / 2**30:.1f} GB, and less is free"
            print(records.add("note", text=text)["text"])
        else:
            fitting.append(n)
    grid = [
        {"round": number, "labels": n, "target": active, "system": system}
        for number in range(plan["rounds"]) for n in fitting for active in plan["n_active"] for system in SYSTEMS
    ]  # fmt: skip
    for setting in records.pending(grid):
        arguments = {name: value for name, value in setting.items() if name != "round"}
        for line in processes.lines(__name__, "measure", scale=scale, threads=threads, seed=seed, **arguments):
            records.add("round", **setting, **line)
    lines = records.of("round")
    print(ROW.format("labels", "target", "system", "ms/sample", "+ rebuilds", "active", "K", "GB peak"))
    for line in summarise(lines):
        print(ROW.format(
            f"{line['labels']:,}", line["target"], draw.LABELS[line["system"]], f"{line['step_ms']:.4f}",
            f"{line['ms']:.4f}", f"{line['active']:,.0f}", line["K"] or "-", f"{line['peak_gb']:.2f}",
        ))  # fmt: skip
    print(verdict(lines))


def needed(n_labels) -> float:
    """Bytes that a network of so many labels takes, tables and their making included."""
    return n_labels * (4 * MOMENTS * (HIDDEN + 1) + 16 * L) + 2**30


def measure(scale, labels, target, system, threads, seed):
    """Yields ms per sample without rebuilds, by stage, one rebuild, active neurons, peak memory: of a process alone."""
    from slide import RehashSchedule
    from slide.defaults import default_N0

    plan, active = SETTINGS[scale], []
    steps, (X, Y) = plan["steps"], rows(plan, labels, seed)
    found = Problem("", "", (X, Y), (X, Y), 0.0)
    chosen = settings(system, found, layer={**sized(system, target), "rehash": RehashSchedule(N0=10**9)}, **PLAIN,
                      batch_size=BATCH, hidden=[HIDDEN])  # fmt: skip
    net = network(found, chosen, LR, plan["warm_up"] + steps, threads, seed)
    net.fit(X, Y, steps=plan["warm_up"])
    seconds, samples = timed_steps(net, X, Y, steps, lambda net: active.append(net.active))
    stages = {name: 1e3 * value / samples for name, value in seconds.items()}
    yield dict(
        K=chosen["layer"].get("K"), step_ms=stages.pop("total"), stages=stages,
        active=float(np.mean(active)), rebuild_ms=rebuild(net.layers[-1]),
        rebuilds=RehashSchedule(N0=default_N0(labels)).count(EPOCH // BATCH),
        peak_gb=machine.peak_gb(),
    )  # fmt: skip


def rows(plan, n_labels, seed):
    """Batches with the features of Amazon-670K and labels 1 to 7 per row, of n_labels by the same law of frequency."""
    from scipy.sparse import csr_matrix

    from slide.data import make_xmc

    n = BATCH * plan["steps"]
    (X, _), _ = make_xmc("amazon-670k", n, 1, scale=plan["n_features"] / 135_909, seed=seed)
    random = np.random.default_rng(seed)
    count = 1 + random.binomial(6, 4.45 / 6, n)
    rank = np.exp(random.random(int(count.sum())) * np.log((n_labels + 80) / 80)) * 80 - 80
    ids = random.permutation(n_labels)[np.minimum(rank.astype(np.int64), n_labels - 1)]
    Y = csr_matrix((np.ones(len(ids), np.float32), ids, np.concatenate([[0], np.cumsum(count)])), (n, n_labels))
    Y.sum_duplicates()
    Y.data[:] = 1
    return X, Y


def rebuild(layer) -> float:
    """Milliseconds of one rebuild of the layer's tables, the median of three; 0 where it has none."""
    if layer.index is None:
        return 0.0
    return 1e3 * median_seconds(lambda: layer.index.build(layer.weights), repeats=3)[0]


def summarise(lines) -> list[dict]:
    """The medians over the rounds of each setting, with `ms` the time per sample with its share of rebuilds."""
    out = []
    for key in dict.fromkeys((line["labels"], line["target"], line["system"]) for line in lines):
        mine = [line for line in lines if (line["labels"], line["target"], line["system"]) == key]
        step, one = (statistics.median(line[name] for line in mine) for name in ("step_ms", "rebuild_ms"))
        stages = {name: statistics.median(line["stages"][name] for line in mine) for name in mine[0]["stages"]}
        peak = max(line["peak_gb"] for line in mine)
        out.append({**mine[0], "step_ms": step, "rebuild_ms": one, "stages": stages, "peak_gb": peak,
                    "ms": step + one * mine[0]["rebuilds"] / EPOCH})  # fmt: skip
    return out


def ends(lines) -> tuple[dict, dict]:
    """SLIDE with the fewest active neurons, at the fewest and at the most labels."""
    found = summarise(lines)
    mine = [x for x in found if x["system"] == "slide" and x["target"] == min(y["target"] for y in found)]
    return mine[0], mine[-1]


def verdicts(records) -> dict:
    """The cost of a sample grows less than the labels, and by no more than `FLAT` times."""
    first, last = ends(of(records, "round"))
    labels, cost = last["labels"] / first["labels"], last["ms"] / first["ms"]
    why = (
        f"{labels:.0f} times the labels cost {cost:.2f} times as much per sample, rebuilds of the tables included, "
        f"with as many active neurons ({first['active']:,.0f} and {last['active']:,.0f})"
    )
    return {"wider": judged([cost < labels, cost <= FLAT], why)}


def verdict(lines) -> str:
    """How many times its cost at the fewest labels SLIDE has at the most, with the fewest active neurons."""
    first, last = ends(lines)
    return (
        f"SLIDE with {first['target']:,} neurons asked for: {last['labels'] / first['labels']:.0f} times the labels "
        f"cost {last['step_ms'] / first['step_ms']:.2f} times as much per sample, {last['ms'] / first['ms']:.2f} with "
        f"rebuilds; neurons active {last['active'] / first['active']:.2f} times"
    )


def finding(records) -> str:
    return verdict(of(records, "round")) + "."


def plot(records):
    lines = summarise(of(records, "round"))
    targets = sorted({line["target"] for line in lines})
    figure, axes = draw.panels(1 + len(targets), QUESTION)
    for system in SYSTEMS:
        for target, marker in zip(targets, "os^D", strict=False):
            mine = [x for x in lines if x["system"] == system and x["target"] == target]
            look = dict(color=draw.COLOURS[system], marker=marker, markersize=4.5)
            x = [line["labels"] for line in mine]
            name = f"{draw.LABELS[system]}, {mine[0]['active']:,.0f} active"
            axes[0].plot(x, [line["step_ms"] for line in mine], label=name, **look)
            if system == "slide":
                axes[0].plot(x, [line["ms"] for line in mine], linestyle="--", label=f"{name}, with rebuilds", **look)
    counts = sorted({line["labels"] for line in lines})
    axes[0].set(xlabel="labels (thousands, log scale)", ylabel="milliseconds per sample, training", xscale="log")
    axes[0].set_xticks(counts, [f"{n / 1000:,.0f}" for n in counts])
    axes[0].minorticks_off()
    axes[0].set_ylim(bottom=0)
    axes[0].legend(fontsize=7.5)
    for axis, target in zip(axes[1:], targets, strict=True):
        bars(axis, [x for x in lines if x["system"] == "slide" and x["target"] == target])
    draw.legend(figure, axes[1])
    return figure


def bars(axis, lines):
    """SLIDE's time by stage at each number of labels."""
    names = [f"{line['labels']:,}\n{line['active']:,.0f} active\n{line['peak_gb']:.1f} GB" for line in lines]
    below = np.zeros(len(lines))
    stages = [name for name in lines[0]["stages"] if name != "rehash"]
    parts = {name: np.array([line["stages"][name] for line in lines]) for name in stages}
    parts["rebuilds"] = np.array([line["ms"] - line["step_ms"] for line in lines])
    for (name, part), colour in zip(parts.items(), STACKED, strict=False):
        axis.bar(names, part, bottom=below, label=STAGES.get(name, name), color=colour, width=0.6)
        below += part
    axis.set(xlabel="labels", ylabel="milliseconds per sample, by stage")
    axis.set_title(f"SLIDE, {lines[0]['target']:,} neurons asked for", fontsize=10)
    axis.set_ylim(top=1.05 * below.max())
