"""The index that predicts with a recall, against exact prediction and other indexes of the same weights.

Everything is measured on one thread, in CPU time, but for what is built. Others search hidden rows for inner products
with rows of weights; to compute these is a part of their time.
"""

import statistics
import time

import numpy as np

from experiments.frame import draw
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import PLAIN, make, n_batches, settings

QUESTION = "What does it take to find the best labels without computing all, and how near is it to what others take?"
PAPER = "HALOS (MLSys 2022) reports inference 21 times faster than the full layer's, of equal accuracy"
TIME = {"smoke": "20 s", "small": "35 min"}

BOTH = dict(dropout=0.3, label_smoothing=0.7)
SETTINGS = {
    "smoke": {"seeds": 1, "rows": 200, "alone": 20, "repeats": 1, "recalls": [0.9, 1],
              "data": {"tiny": dict(lr=5e-3, epochs=2)}},
    "small": {
        "seeds": 2, "rows": 2000, "alone": 300, "repeats": 2, "recalls": [0.9, 0.95, 0.97, 0.99, 0.995, 1],
        "data": {
            "citeulike-tags-53k": dict(lr=5e-3, epochs=12, **BOTH),
            "wiki-skipgram-218k": dict(lr=5e-3, epochs=1),
            "amazon-670k": dict(lr=1e-2, epochs=4, shape=dict(n_train=60_000, n_test=4_000), corrected=True, seeds=1),
        },
    },
}  # fmt: skip
K = 5
SLIDE = "slide"
AGREES, NEAR = 0.97, 0.005  # share of rows with the exact top 1, and P@1 below exact, of what is compared
ROW = "{:22} {:16} {:>8} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8}"


def run(scale, records, threads, seed):
    plan = SETTINGS[scale]
    print(ROW.format("data", "index", "setting", "recall@1", "recall@5", "P@1", "ms", "p50 ms", "p99 ms", "build s",
                     "MB"))  # fmt: skip
    grid = [{"data": data, "seed": seed + number} for data, chosen in plan["data"].items()
            for number in range(chosen.get("seeds", plan["seeds"]))]  # fmt: skip
    for setting in records.pending(grid):
        measure(plan, records, threads, **setting)


def measure(plan, records, threads, data, seed):
    chosen = {name: value for name, value in plan["data"][data].items() if name != "seeds"}
    found = problem(data, seed, shape=chosen.pop("shape", None))
    network = trained(found, {**PLAIN, **chosen}, threads, seed)
    X, Y = (part[: plan["rows"]] for part in found.test)
    build = clock(lambda: network.build_index(found.train[0]), time.perf_counter)
    network.threads = 1
    exact, _ = network.predict(X, K)
    hidden = network.hidden(X)
    first_layer = per_row(lambda: network.hidden(X), plan, len(hidden))

    def add(system, setting, search, alone, build, n_bytes, extra=0.0):
        ids = search(None)
        times = [1e3 * clock(lambda i=i: alone(i)) for i in range(plan["alone"])]
        line = records.add(
            "result", data=data, seed=seed, title=found.title, n=found.n_labels, system=system, setting=setting,
            recall1=float(np.mean(ids[:, 0] == exact[:, 0])), p1=hits(Y, ids[:, 0]), build=build, mb=n_bytes / 1e6,
            recall5=float(np.mean((ids[:, :, None] == exact[:, None]).any(axis=1))),
            ms=1e3 * (extra + per_row(lambda: search(None), plan, len(exact))), p50=float(np.percentile(times, 50)),
            p99=float(np.percentile(times, 99)),
        )  # fmt: skip
        print(ROW.format(data, system, setting, *(f"{line[name]:.3f}" for name in ("recall1", "recall5", "p1")),
                         *(f"{line[name]:.4f}" for name in ("ms", "p50", "p99")), f"{build:.1f}",
                         f"{line['mb']:.0f}"), flush=True)  # fmt: skip

    weights = network.layers[-1].weights
    add("exact", "", lambda _: network.predict(X, K)[0], lambda i: network.predict(X[i : i + 1], K), 0.0,
        weights.nbytes)  # fmt: skip
    n_bytes = network.index_bytes
    for recall in plan["recalls"]:
        network.measured_recall(K, recall)
        add(SLIDE, recall, lambda _, r=recall: network.predict(X, K, recall=r)[0],
            lambda i, r=recall: network.predict(X[i : i + 1], K, recall=r), build, n_bytes)  # fmt: skip
    measure_others(network, X, hidden, first_layer, threads, add)


def measure_others(network, X, hidden, first_layer, threads, add):
    from experiments.peers import top_indexes

    def alone(i, index):
        return index.search(top_indexes.with_ones(network.hidden(X[i : i + 1]), 1))

    output = network.layers[-1]
    rows, queries = top_indexes.with_ones(output.weights, output.bias), top_indexes.with_ones(hidden, 1)
    for name, system in top_indexes.present().items():
        start = time.perf_counter()
        index = system(rows, threads)
        build = time.perf_counter() - start
        for value in system.TRIED:
            index.tune(value)
            add(name, value, lambda _, index=index: index.search(queries),
                lambda i, index=index: alone(i, index), build, index.n_bytes, first_layer)  # fmt: skip


def trained(found, choice, threads, seed):
    corrected = {"label_smoothing": 0.0} if choice.pop("corrected", False) else None
    steps = n_batches(found, choice.pop("epochs"))
    return make(SLIDE, found, settings(SLIDE, found, corrected), choice, steps, threads, seed).fit(
        *found.train, steps=steps)  # fmt: skip


def clock(act, now=time.process_time) -> float:
    start = now()
    act()
    return now() - start


def per_row(act, plan, n) -> float:
    return min(clock(act) for _ in range(plan["repeats"])) / n


def hits(Y, first):
    """P@1 of one prediction per row."""
    first = np.asarray(first, np.int64)
    return float(np.mean(np.asarray(Y[np.arange(len(first)), np.maximum(first, 0)]).ravel() * (first >= 0) > 0))


def means(records, data, system) -> list[dict]:
    """What was measured with each setting of a system, means of the seeds."""
    lines = of(records, "result", data=data, system=system)
    settings = dict.fromkeys(line["setting"] for line in lines)
    by = [[line for line in lines if line["setting"] == setting] for setting in settings]
    names = ("recall1", "recall5", "p1", "ms", "p50", "p99")
    return [{"system": system} | {name: statistics.mean(x[name] for x in some) for name in names} for some in by]


def chosen_line(records, data, system, exact):
    """The fastest setting of a system whose top label is that of exact prediction in enough of the rows, with a P@1
    that is near; or None."""
    lines = [x for x in means(records, data, system) if x["recall1"] >= AGREES and x["p1"] >= exact["p1"] - NEAR]
    return min(lines, key=lambda line: line["ms"], default=None)


def finding(records) -> str:
    parts = []
    for data in dict.fromkeys(line["data"] for line in of(records, "result")):
        exact = means(records, data, "exact")[0]
        mine = chosen_line(records, data, SLIDE, exact)
        if mine is None:
            continue
        names = dict.fromkeys(line["system"] for line in of(records, "result", data=data))
        others = [chosen_line(records, data, name, exact) for name in names if name not in ("exact", SLIDE)]
        best = min((line for line in others if line), key=lambda line: line["ms"], default=None)
        parts.append(
            f"{data}: the exact top 1 in {mine['recall1']:.1%} of the rows, {exact['ms'] / mine['ms']:.0f} times "
            f"faster than exact in batches and {exact['p50'] / mine['p50']:.0f} times alone, P@1 {mine['p1']:.3f} "
            f"against {exact['p1']:.3f}"
        )
        if best:
            parts[-1] += (
                f"; {best['system']} takes {best['ms'] / mine['ms']:.1f} times as long in batches and "
                f"{best['p50'] / mine['p50']:.1f} times alone"
            )
    head = f"With a top 1 as exact in {AGREES:.0%} of the rows or more and P@1 within {NEAR}, means of the seeds: "
    return head + "; ".join(parts) + "."


def plot(records):
    data = list(dict.fromkeys(line["data"] for line in of(records, "result")))
    names = [name for name in dict.fromkeys(line["system"] for line in of(records, "result")) if name != "exact"]
    figure, axes = draw.panels(len(data), f"{QUESTION}\none thread")
    for axis, which in zip(axes, data, strict=True):
        for number, name in enumerate(names):
            for turn, lines in enumerate(by_seed(of(records, "result", data=which, system=name))):
                look = draw.series(number, name) if not turn else draw.series(number, None)
                draw.curve(axis, sorted(lines, key=lambda line: line["ms"]), "ms", "recall1", **look)
        exact = of(records, "result", data=which, system="exact")[0]
        axis.axvline(exact["ms"], linestyle=":", color=draw.COLOURS["popularity"], label="exact")
        axis.set(title=f"{exact['title']}\n{exact['n']:,} labels", xlabel="ms per row (log scale)")
        draw.plain_log_axis(axis)
    axes[0].set_ylabel("exact top 1 found (share of rows)")
    draw.legend(figure, axes[0])
    return figure


def by_seed(lines):
    return [[line for line in lines if line["seed"] == seed] for seed in dict.fromkeys(x["seed"] for x in lines)]
