"""How busy the cores are: CPU time over wall time x threads, of training steps alone."""

import os
import statistics
import time

from experiments.frame import draw, machine, processes
from experiments.frame.claims import judged, unmeasured
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import for_timing

QUESTION = "How busy do SLIDE and the full softmax in PyTorch keep the cores?"
FIGURE = "Table 2"
PAPER = "With 8, 16 and 32 threads TensorFlow keeps 45, 35 and 32 % of its cores busy, SLIDE 82, 81 and 85 % (table 2)"
CLAIMS = ("cores",)
TIME = {"smoke": "12 s", "small": "3 min", "paper": "1 h"}

SETTINGS = {
    "smoke": dict(data="tiny", steps={"slide": 10, "full": 4, "torch": 2}, repeats=1, most=1),
    "small": dict(data="citeulike-tags-53k", steps={"slide": 150, "full": 20, "torch": 10}, repeats=3, most=32),
    "paper": dict(data="amazon-670k", steps={"slide": 300, "full": 10, "torch": 6}, repeats=5, most=32),
}  # fmt: skip
BUSY, APART = 80, 5  # percent of the cores' time, and points above PyTorch's
SYSTEMS = ("slide", "full", "torch")
PUBLISHED = {"SLIDE (paper)": {8: 82, 16: 81, 32: 85}, "TensorFlow (paper)": {8: 45, 16: 35, 32: 32}}


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    systems = processes.present(SYSTEMS, records)
    grid = [{"repeat": r, "threads": n, "system": s} for r in range(chosen["repeats"])
            for n in machine.thread_counts(threads, chosen["most"]) for s in systems]  # fmt: skip
    for setting in records.pending(grid):
        for line in processes.lines(__name__, "measure", scale=scale, seed=seed, **setting):
            records.add("use", **{**line, **setting})


def measure(scale, system, threads, seed, repeat):
    """Yields one line: wall and CPU seconds of training steps, after a few that are not counted."""
    chosen = SETTINGS[scale]
    found = problem(chosen["data"], seed, n_test=1)
    network = for_timing(system, found, threads, seed)
    network.fit(*found.train, steps=3)
    cpu, start = time.process_time(), time.perf_counter()
    network.fit(*found.train, steps=chosen["steps"][system])
    wall = time.perf_counter() - start
    yield {"wall": wall, "cpu": time.process_time() - cpu, "steps": chosen["steps"][system], "load": os.getloadavg()[0]}


def used(records, system) -> dict:
    """{threads: median share of the cores' time, in percent}."""
    out = {}
    for line in of(records, "use", system=system):
        out.setdefault(line["threads"], []).append(100 * line["cpu"] / (line["wall"] * line["threads"]))
    return {n: statistics.median(values) for n, values in sorted(out.items())}


def verdicts(records) -> dict:
    """At the most threads, which must be as many as the table begins with: `BUSY` percent, and more than PyTorch."""
    slide, torch = (used(records, system) for system in ("slide", "torch"))
    most, least = max(slide), min(PUBLISHED["SLIDE (paper)"])
    words = f"SLIDE keeps the cores busy {slide[most]:.0f} % of the time on {most} threads"
    words += f" and PyTorch {torch[most]:.0f} %" if torch else "; PyTorch is not installed"
    if most < least or not torch:
        few = f"; there were no more where it was measured, and the claim is of {least} to 32"
        return {"cores": unmeasured(words + few * (most < least))}
    return {"cores": judged([slide[most] >= BUSY, slide[most] > torch[most] + APART], words)}


def finding(records) -> str:
    found = {system: used(records, system) for system in SYSTEMS}
    words = "; ".join(f"{draw.LABELS[s]} {', '.join(f'{n}: {v:.0f} %' for n, v in found[s].items())}"
                      for s in SYSTEMS if found[s])  # fmt: skip
    return f"Share of the cores' time by threads: {words}."


def plot(records):
    figure, (axis,) = draw.panels(1, QUESTION, width=8)
    for system in SYSTEMS:
        found = used(records, system)
        if found:
            axis.plot(found.keys(), found.values(), **draw.style(system))
    for (name, values), system in zip(PUBLISHED.items(), ("slide", "torch"), strict=True):
        look = {**draw.style(system), "label": name, "linestyle": ":", "fillstyle": "none"}
        axis.plot(values.keys(), values.values(), **look)
    draw.threads_axis(axis, sorted({line["threads"] for line in of(records, "use")} | set(PUBLISHED["SLIDE (paper)"])))
    axis.set(ylabel="CPU time / (wall time x threads), percent", ylim=(0, 108))
    draw.legend(figure, axis)
    return figure
