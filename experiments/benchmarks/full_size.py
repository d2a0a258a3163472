"""SLIDE and the full softmax at the full size of Amazon-670K (synthetic): time per sample, memory, what K retrieves.

Each system has a process of its own, so that its peak memory is its own.
"""

import numpy as np

from experiments.frame import draw, machine, processes
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.timing import timed_steps
from experiments.frame.training import network, settings, sized

QUESTION = "What do a sample and its memory cost at 670,091 labels, and which K makes the tables select?"
PAPER = "about 3,000 of 670,091 neurons active (0.5 %) with DWTA, K=8, L=50, batch 256 (section 5)"
TIME = {"smoke": "10 s", "small": "5 min"}

SETTINGS = {
    "smoke": dict(
        shape=dict(scale=0.01, n_train=2000, n_test=200), warm_up=2, steps={"slide": 10, "uniform": 10, "full": 3},
        n_active=200, K={"dwta": [2, 3], "simhash": [6, 9]},
    ),
    "small": dict(
        shape=dict(scale=1.0, n_train=None, n_test=10_000), warm_up=20,
        steps={"slide": 1916, "uniform": 1916, "full": 25}, n_active=3000,
        K={"dwta": [3, 4, 5, 6, 7, 8], "simhash": [9, 12, 15, 18]},
    ),
}  # fmt: skip
SYSTEMS = ("slide", "uniform", "full")
LR = 2e-3
ROW = "{:26} {:>10} {:>10} {:>9} {:>8} {:>8}"
K_ROW = "{:8} {:>3} {:>12} {:>14} {:>12} {:>14}"


def run(scale, records, threads, seed):
    given = dict(scale=scale, threads=threads, seed=seed)
    print(K_ROW.format("hash", "K", "a bucket", "largest", "a sample", "a group"))
    for line in processes.lines(__name__, "retrieval", **given):
        records.add("retrieval", **line)
        print(K_ROW.format(line["hash"], line["K"], f"{line['mean']:.2f}", line["largest"], f"{line['sample']:.0f}",
                           f"{line['group']:.0f}"), flush=True)  # fmt: skip
    print("\n" + ROW.format("system", "ms/sample", "rehash ms", "active", "GB peak", "P@1"))
    for system in SYSTEMS:
        for line in processes.lines(__name__, "measure", system=system, **given):
            records.add("system", **line)
            score = "-" if line["p1"] is None else f"{line['p1']:.3f}"
            print(ROW.format(draw.LABELS[system], f"{line['ms']:.4f}", f"{line['rehash_ms']:.4f}",
                             f"{line['active']:,.0f}", f"{line['peak_gb']:.2f}", score), flush=True)  # fmt: skip


def measure(scale, system, threads, seed):
    """Trains a system for some batches and yields one line: ms per sample, all in, and by stage."""
    plan = SETTINGS[scale]
    found, steps, active = problem("amazon-670k", seed, shape=plan["shape"]), plan["steps"][system], []
    chosen = settings(system, found, layer=sized(system, plan["n_active"]))
    net = network(found, chosen, LR, plan["warm_up"] + steps, threads, seed)
    net.fit(*found.train, steps=plan["warm_up"])
    seconds, samples = timed_steps(net, *found.train, steps, lambda net: active.append(net.active))
    stages = {name: 1e3 * value / samples for name, value in seconds.items()}
    peak = machine.peak_gb()
    p1 = net.evaluate(*found.test, ks=(1,)).scores["P@1"] if system != "full" else None
    yield dict(
        system=system, ms=stages.pop("total"), rehash_ms=stages.get("rehash", 0.0), stages=stages, steps=steps,
        active=float(np.mean(active)), peak_gb=peak, p1=p1,
    )  # fmt: skip


def retrieval(scale, threads, seed):
    """Yields how full the buckets are and how many neurons a sample and a group find, of random weights, for each K."""
    from slide.rows import as_sparse_rows
    from slide.sampling import Vanilla

    plan = SETTINGS[scale]
    found = problem("amazon-670k", seed, shape={**plan["shape"], "n_train": 1024, "n_test": 1})
    n = found.n_labels
    for hash_, K in [(hash_, K) for hash_, counts in plan["K"].items() for K in counts]:
        chosen = settings("slide", found, layer=dict(hash=hash_, K=K, bucket_size=2**15))
        net = network(found, chosen, LR, 1, threads, seed)
        (first, last), batch = net.layers, net.batch_size
        codes = last.index.codes(first.exact(as_sparse_rows(found.train[0][:batch])))
        tables, fill, counts = last.index.tables, last.index.tables.occupancy(), {}
        for name, size in (("sample", 1), ("group", net.group_size)):
            active = Vanilla().sample(tables, codes, batch, size, n, seed, 1, threads)
            counts[name] = len(active.ids) / len(active)
        fields = dict(hash=hash_, K=K, n=n, group_size=net.group_size, **counts)
        yield {**fields, "mean": fill["mean"], "largest": int(fill["max"])}


def finding(records) -> str:
    n = of(records, "retrieval")[0]["n"]
    few = [line for line in of(records, "retrieval") if line["sample"] <= 0.005 * n]
    least = {line["hash"]: line for line in reversed(few)}  # the smallest K of each
    selects = ", ".join(f"{draw.FAMILIES[name]} K={x['K']} ({x['sample']:,.0f})" for name, x in least.items())
    systems = [
        f"{draw.LABELS[x['system']]} {x['ms']:.3f} ms per sample, {x['active']:,.0f} active, {x['peak_gb']:.1f} GB"
        for x in of(records, "system")
    ]
    return (
        f"{'; '.join(systems)}. Of random weights, a sample's buckets hold at most 0.5 % of {n:,} neurons from "
        f"{selects or 'no K here'} on."
    )


def plot(records):
    figure, (left, right) = draw.panels(2, f"{QUESTION}\nthe shape of Amazon-670K (synthetic data)")
    for hash_, marker in (("dwta", "o"), ("simhash", "s")):
        lines = of(records, "retrieval", hash=hash_)
        bits = 3 if hash_ == "dwta" else 1
        for name, style in (("sample", "--"), ("group", "-")):
            left.plot([bits * line["K"] for line in lines], [line[name] for line in lines], style, marker=marker,
                      color=draw.COLOURS["slide" if hash_ == "dwta" else "full"],
                      label=f"{draw.FAMILIES[hash_]}, per {name}")  # fmt: skip
    n = of(records, "retrieval")[0]["n"]
    left.axhline(0.005 * n, linestyle=":", color="#666666", label="0.5 % of the neurons")
    left.set(xlabel="bits of a code (DWTA: 3 K, SimHash: K)", ylabel="neurons retrieved (log scale)")
    draw.plain_log_axis(left, "y")
    left.legend(fontsize=8)
    lines = of(records, "system")
    names = [f"{draw.LABELS[line['system']]}\n{line['active']:,.0f} active" for line in lines]
    bars = right.barh(names, [line["ms"] for line in lines], color=[draw.COLOURS[line["system"]] for line in lines])
    right.bar_label(bars, [f" {line['ms']:.3f} ms, {line['peak_gb']:.1f} GB" for line in lines])
    draw.plain_log_axis(right)
    right.set(xlabel="training, all in (milliseconds per sample, log scale)")
    right.set_xlim(right=6 * max(line["ms"] for line in lines))
    right.invert_yaxis()
    return figure
