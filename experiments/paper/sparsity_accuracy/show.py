"""The picture: accuracy by the share of active nodes, and how far from the dense network by what tables hold."""

import numpy as np

from experiments.frame import draw
from experiments.frame.records import of
from experiments.paper.sparsity_accuracy import results
from experiments.paper.sparsity_accuracy.results import METHODS, NEAR

NAMES = {
    "lsh": "LSH, tables best on held-out rows", "dropout": "dropout", "adaptive": "adaptive dropout",
    "winners": "winner-take-all",
}  # fmt: skip


def plot(records, question):
    sets = of(records, "data")
    figure, axes = draw.panels(len(sets), question, rows=2, width=4)
    for data, by_share, by_recall in zip(sets, axes, axes[len(sets) :], strict=False):
        draw_shares(by_share, records, data)
        draw_recall(by_recall, records, data["name"])
    shown = [axis.get_legend_handles_labels() for axis in (axes[0], axes[len(sets)])]
    both = [above + below for above, below in zip(*shown, strict=True)]
    figure.legend(*both, loc="outside right center", fontsize=9, frameon=False)
    return figure


def draw_shares(axis, records, data):
    shares, low = records[0]["settings"]["shares"], 1.0
    for number, method in enumerate(m for m in METHODS if m != "dense"):
        lines = [[line["p1"] for line in results.at(records, data["name"], method, share)] for share in shares]
        low = min(low, band(axis, shares, lines, **draw.series(number, NAMES[method])))
    dense = [line["p1"] for line in results.final(records, data["name"], "dense", 1.0)]
    axis.axhline(np.mean(dense), color=draw.COLOURS["torch"], linewidth=1.2, label="dense network")
    around = results.spread(dense)
    axis.axhspan(np.mean(dense) - around, np.mean(dense) + around, color=draw.COLOURS["torch"], alpha=0.12, linewidth=0)
    axis.set(
        xscale="log", xlabel="active nodes (%, log scale)", ylim=(low - 0.04, 1.02),
        ylabel="P@1 on the test set (fraction)", title=f"{data['title']}, {data['n_train']:,} training rows",
    )  # fmt: skip
    axis.set_xticks(shares, [f"{100 * share:g}" for share in shares])
    axis.minorticks_off()


def band(axis, x, values, **look) -> float:
    """Means of the seeds, and their standard deviation as a band; returns its lowest end."""
    mean, around = (np.array([f(some) for some in values]) for f in (np.mean, results.spread))
    axis.plot(x, mean, **look)
    axis.fill_between(x, mean - around, mean + around, color=look["color"], alpha=0.15, linewidth=0)
    return float((mean - around).min())


def draw_recall(axis, records, name):
    """Each of the tables that were tried at the lowest share, on what winner-take-all with noise gives."""
    low, dense = results.lowest(records), results.final(records, name, "dense", 1.0)
    held, noisy = zip(*results.by_noise(records, name), strict=True)
    winners = {**draw.series(METHODS.index("winners"), "winner-take-all, inputs with noise"), "marker": "."}
    band(axis, [100 * x for x in held], [[100 * y for y in some] for some in noisy], **winners)
    for number, tables in enumerate(records[0]["settings"]["tables"]):
        lines = results.final(records, name, "lsh", low, tables)
        below = [100 * y for y in results.gaps(lines, dense)]
        look = draw.series(number + len(METHODS) - 1, f"LSH: {tables}")
        axis.errorbar(100 * results.held_by(lines), np.mean(below), results.spread(below), linestyle="", capsize=2,
                      **{**look, "markersize": 8 if tables == results.best_tables(records, name) else 5})  # fmt: skip
    axis.axhspan(-100 * NEAR, 100 * NEAR, color="#888888", alpha=0.15, linewidth=0)
    axis.axhline(0, color=draw.COLOURS["torch"], linewidth=1.2)
    axis.set(
        xlabel=f"top {100 * low:g} % of the nodes that are active (%)", xlim=(0, 103),
        ylabel="P@1 less the dense network's (points)\ngrey: within one",
    )  # fmt: skip
