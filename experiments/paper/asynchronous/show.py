"""The picture: accuracy and speed by threads, where the time goes, late gradients, conflicts."""

import numpy as np

from experiments.frame import draw
from experiments.frame.records import of
from experiments.paper.asynchronous import results
from experiments.paper.asynchronous.networks import LAYERS
from experiments.paper.asynchronous.results import SYSTEMS, counts_of

__all__ = ["LAYERS", "plot"]
LOOKS = {"sampled": "slide", "dense": "full"}
STAGES = 5  # that have a colour of their own
GREY = "#888888"


def plot(records, title, data):
    limit = results.cpus(records)
    figure, axes = draw.panels(3, title, rows=2, width=4.6)
    draw_accuracy(axes[0], records)
    draw.popularity(axes[0], data)
    draw.accuracy(axes[0], "epochs")
    draw_gaps(axes[1], records, results.gaps, "P@1 less that of one thread (points)\ngrey: within one")
    threads_axis(axes[1], records, limit)
    draw_gaps(axes[2], records, results.late_gaps, "P@1 less that of one worker (points)\ngrey: within one")
    draw.threads_axis(axes[2], sorted({line["workers"] for line in of(records, "late")} - {1}))
    axes[2].set_xlabel("workers whose gradients come late, simulated (log scale)")
    draw_conflicts(axes[3], records)
    threads_axis(axes[3], records, limit)
    draw_speed(axes[4], records, limit)
    threads_axis(axes[4], records, limit)
    draw_stages(axes[5], records, max((n for n in counts_of(records, "sampled") if n <= limit), default=1))
    for axis in axes:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, handlelength=2.5)
    return figure


def draw_accuracy(axis, records):
    """P@1 on one thread and on the most: means of the seeds, and their standard deviation."""
    for name in SYSTEMS:
        counts = counts_of(records, name)
        for n, line in zip(sorted({counts[0], counts[-1]}), ("-", ":"), strict=False):
            some = of(records, "evaluation", system=name, threads=n)
            epochs = sorted({each["epoch"] for each in some})
            values = [[each["p1"] for each in some if each["epoch"] == epoch] for epoch in epochs]
            look = draw.style(LOOKS[name]) | {"linestyle": line, "label": f"{name}, {n} thread{'s' * (n != 1)}"}
            band(axis, epochs, [results.mean_and_spread(each) for each in values], look)


def band(axis, x, found, look):
    """Means, and deviations around them."""
    mean, spread = np.array(found).T
    axis.plot(x, mean, **look)
    axis.fill_between(x, mean - spread, mean + spread, color=look["color"], alpha=0.15, linewidth=0)


def draw_gaps(axis, records, gaps, label):
    for number, name in enumerate(SYSTEMS):
        found = gaps(records, name)
        if not found:  # one thread only
            continue
        mean, spread = 100 * np.array(list(found.values())).T
        look = draw.style(LOOKS[name]) | {"label": name, "capsize": 3}
        axis.errorbar(np.array(list(found)) * 1.04**number, mean, spread, **look)
    axis.axhspan(-1, 1, color=GREY, alpha=0.15, linewidth=0)
    axis.axhline(0, color=GREY, linewidth=1)
    axis.set(ylabel=label)


def draw_speed(axis, records, limit):
    for name in SYSTEMS:
        found = results.speed_up(records, name)
        axis.plot(found.keys(), found.values(), **draw.style(LOOKS[name]) | {"label": name})
    within = [n for n in counts_of(records, "sampled") if n <= limit]
    axis.plot(within, within, ":", color=GREY, label="ideal")
    axis.set(ylabel="speed-up of an epoch (times)", ylim=(0, None))


def draw_stages(axis, records, threads):
    """Milliseconds of a batch by stage, on one thread and on as many as there are CPUs for, and a half of the former or
    so: what the latter would be if all got as much faster."""
    bars = [(name, n) for name in SYSTEMS for n in sorted({1, threads})]
    found = {bar: results.stages(records, *bar) for bar in bars}
    whole = {bar: sum(stages.values()) for bar, stages in found.items()}
    named = list(results.stages(records, "sampled", 1))[:STAGES]
    at, bottom = np.arange(len(bars)), np.zeros(len(bars))
    for number, stage in enumerate([*named, "others"]):
        parts = np.array([stages.get(stage, 0.0) if stage in named else
                          sum(ms for name, ms in stages.items() if name not in named)
                          for stages in found.values()])  # fmt: skip
        parts = 100 * parts / np.array([whole[name, 1] for name, _ in bars])
        axis.bar(at, parts, 0.65, bottom=bottom, color=draw.SERIES[number], label=stage)
        bottom += parts
    axis.axhline(100 / threads, linestyle=":", color=GREY, label="ideal")
    axis.set(ylabel="time of a batch by stage\n(percent of that on one thread)", ylim=(0, 150))
    axis.set_xticks(at, [f"{name},\n{n} thread{'s' * (n != 1)}" for name, n in bars])


def draw_conflicts(axis, records):
    """Rates are zero on one thread, which is left out."""
    forms = {"rows_in_work": ("-", "to a row in work elsewhere"), "weights_in_work": ("--", "to a weight in work"),
             "hit_rows": (":", "rows that lost one (measured)")}  # fmt: skip
    for name in SYSTEMS:
        counts = [n for n in counts_of(records, name) if n > 1]
        for field, (line, label) in forms.items():
            look = draw.style(LOOKS[name]) | {"linestyle": line, "label": f"{name}: {label}"}
            axis.plot(counts, [results.rate(records, name, n, field) for n in counts], clip_on=False, **look)
    axis.set(ylabel="of a batch's additions or rows\n(percent, log scale above 0.001)", ylim=(0, 130))
    axis.set_yscale("symlog", linthresh=1e-3)
    ticks = [0, 1e-3, 1e-2, 0.1, 1, 10, 100]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def threads_axis(axis, records, limit):
    """Shades the numbers of threads that the CPUs are too few for."""
    counts = counts_of(records, "sampled")
    draw.threads_axis(axis, counts)
    axis.set_xlim(0.9, max(counts) * 1.1)
    if max(counts) > limit:
        axis.axvspan(limit * 1.19, max(counts) * 1.1, color=GREY, alpha=0.15, linewidth=0,
                     label=f"more threads than CPUs ({limit})")  # fmt: skip
