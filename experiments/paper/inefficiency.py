"""Where the cycles go: by the processor's counters where they may be read, by stages of a batch always.

Where nothing may be counted a model answers: a stage that memory sets the floor of is bound by memory, as the roofline
has it (see `frame.roofline`), and the part that such stages have of all that a step needs at least is memory's.
"""

import time

from experiments.frame import draw, machine, processes, roofline
from experiments.frame.claims import judged, unmeasured
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import for_timing

QUESTION = "Where do the cycles of SLIDE go, and is memory the limit?"
FIGURE = "Fig. 6"
PAPER = (
    "Memory-bound slots are the largest class in both systems; their share grows with the cores in TensorFlow and "
    "shrinks in SLIDE (figure 6, VTune)"
)
CLAIMS = ("memory_bound",)
TIME = {"smoke": "5 s", "small": "50 s", "paper": "20 min"}

SETTINGS = {
    "smoke": dict(data="tiny", steps={"slide": 10, "torch": 3}, most=1, probe=2_000, square=256),
    "small": dict(data="citeulike-tags-53k", steps={"slide": 150, "torch": 15}, most=32, probe=200_000),
    "paper": dict(data="amazon-670k", steps={"slide": 300, "torch": 8}, most=32, probe=500_000),
}
# Event: what it tells, as a share of the cycles or of the slots.
EVENTS = ("cycles", "instructions", "stalled-cycles-frontend", "stalled-cycles-backend", "cache-references",
          "cache-misses", "branches", "branch-misses")  # fmt: skip
BACK_END = "stalled, back end"
STAGES = {
    "input": "first layer", "input_update": "update, first layer", "hash": "hashing the input",
    "sample": "tables and active sets", "forward": "forward and backward, output layer",
    "transpose": "pairs sorted by row", "update": "gradient and Adam, output layer", "rehash": "rehashing all neurons",
}  # fmt: skip


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    systems, allowed = processes.present(chosen["steps"], records), machine.countable(EVENTS)
    records.add("counters", allowed=allowed, why=None if allowed else machine.why_uncounted(EVENTS, allowed))
    grid = [{"threads": n, "system": s} for n in machine.thread_counts(threads, chosen["most"]) for s in systems]
    for setting in records.pending(grid):
        arguments = {"scale": scale, "seed": seed, **setting}
        for line in processes.lines(__name__, "measure", **arguments):
            records.add("stages", **{**line, **setting})
        if allowed:
            command = processes.command(__name__, "measure", **arguments)
            records.add("counted", counts=machine.counters(command, allowed), **setting)


def measure(scale, system, threads, seed):
    """Yields seconds and page faults of training steps, and of SLIDE each stage's, with the share of its roofline."""
    chosen = SETTINGS[scale]
    found = problem(chosen["data"], seed, n_test=1)
    network = for_timing(system, found, threads, seed)
    network.fit(*found.train, steps=2)
    if system == "slide":
        network.context.clock.reset()
    steps, touched = chosen["steps"][system], []

    def note(network, loss):
        if system == "slide":
            touched.append(roofline.touched(network))

    before, start = machine.page_faults(), time.perf_counter()
    network.fit(*found.train, steps=steps, callback=note)
    total, faults = time.perf_counter() - start, machine.page_faults() - before
    line = {"total": total, "faults": faults, "steps": steps, "stages": {}}
    if system == "slide":
        line["stages"] = dict(network.context.clock.seconds)
        least = floors(network, line["stages"], touched, found, chosen, threads)
        line["floors"] = {name: len(touched) * 1e-3 * stage["floor_ms"] for name, stage in least.items()}
    else:
        least = roofline.full_floors(found, 256, 128, *machine_limits(chosen, threads))
    line["needed"] = {"memory": 0.0, "arithmetic": 0.0}
    for stage in least.values():
        line["needed"]["arithmetic" if stage["bound"] == "arithmetic" else "memory"] += stage["floor_ms"]
    yield line


def machine_limits(chosen, threads):
    """(bandwidth, GFLOP/s) of this machine: see slide.machine.roofline."""
    from slide.machine.roofline import measure_bandwidth, measure_products

    bandwidth = measure_bandwidth(threads, n_rows=chosen["probe"], touched=min(40_000, chosen["probe"]), repeats=3)
    return bandwidth, measure_products(threads, chosen.get("square", 2048))


def floors(network, stages, touched, found, chosen, threads) -> dict:
    """What `roofline.floors` says of a batch."""
    nonzeros, rehashes = found.train[0].nnz / found.train[0].shape[0], network.layers[-1].index.rehashes / network.step
    return roofline.floors(stages, touched, network, nonzeros, rehashes, *machine_limits(chosen, threads))


def memory_share(records) -> dict:
    """{(system, threads): percent of what a step needs at least that memory needs, by the model}."""
    lines = [line for line in of(records, "stages") if "needed" in line]
    lines.sort(key=lambda x: (x["system"], x["threads"]))
    return {(x["system"], x["threads"]): 100 * x["needed"]["memory"] / sum(x["needed"].values()) for x in lines}


def shares(records) -> dict:
    """{threads: {stage: percent of the time of a step}}, "other" with what is in no stage."""
    out = {}
    for line in of(records, "stages", system="slide"):
        known = {name: 100 * seconds / line["total"] for name, seconds in line["stages"].items()}
        out[line["threads"]] = {**known, "other": max(0.0, 100 - sum(known.values()))}
    return out


def ratios(counted) -> dict:
    """Percent and instructions per cycle of what perf counted."""
    pairs = {
        "stalled, front end": ("stalled-cycles-frontend", "cycles"), "branches missed": ("branch-misses", "branches"),
        BACK_END: ("stalled-cycles-backend", "cycles"), "cache missed": ("cache-misses", "cache-references"),
    }  # fmt: skip
    out = {name: 100 * counted[a] / counted[b] for name, (a, b) in pairs.items() if counted.get(a) and counted.get(b)}
    if counted.get("cycles") and counted.get("instructions"):
        out["instructions per cycle (x 10)"] = 10 * counted["instructions"] / counted["cycles"]
    return out


def verdicts(records) -> dict:
    """From one thread to the most, the back end's stalls fall with SLIDE and rise with PyTorch. Where they are not
    counted, the same of memory's part in the model, which is also the larger of the two with both.
    """
    note, by = of(records, "counters")[0], shares(records)
    few, many = min(by), max(by)
    stalls = {(x["system"], x["threads"]): ratios(x["counts"]).get(BACK_END) for x in of(records, "counted")}
    keys = [(system, n) for system in ("slide", "torch") for n in (few, many)]
    if None not in (ends := [stalls.get(key) for key in keys]) and few < many:
        why = (
            f"from {few} to {many} threads the stalls of the back end go from {ends[0]:.0f} to {ends[1]:.0f} % of the "
            f"cycles with SLIDE, from {ends[2]:.0f} to {ends[3]:.0f} % with PyTorch"
        )
        return {"memory_bound": judged([ends[1] < ends[0], ends[3] > ends[2]], why)}
    model = memory_share(records)
    why = note["why"] or "stalls of both systems on several threads are not on record"
    if None in (ends := [model.get(key) for key in keys]) or few == many:
        stages = f"by its stages memory and arithmetic need {floor_of(records)[many]:.0f} % of SLIDE's time at least"
        return {"memory_bound": unmeasured(f"{why}; {stages}")}
    why = (
        f"{why}; by a model, the roofline, memory has {ends[0]:.0f} % of what a step of SLIDE needs at least on {few} "
        f"thread{'s' * (few > 1)} and {ends[1]:.0f} % on {many}, of PyTorch's full softmax {ends[2]:.0f} and "
        f"{ends[3]:.0f} %"
    )
    largest = [min(ends[:2]) > 50, min(ends[2:]) > 50]
    return {"memory_bound": judged([*largest, ends[1] < ends[0], ends[3] > ends[2]], why)}


def finding(records) -> str:
    note, by = of(records, "counters")[0], shares(records)
    most = by[max(by)]
    top = sorted(most.items(), key=lambda item: -item[1])[:3]
    words = ", ".join(f"{STAGES.get(name, name)} {value:.0f} %" for name, value in top)
    if not note["allowed"]:
        counted = f"Nothing was counted: {note['why']}"
    else:
        parts = (f"{line['system']} on {line['threads']} threads: " + ", ".join(f"{k} {v:.1f}" for k, v in
                 ratios(line["counts"]).items()) for line in of(records, "counted"))  # fmt: skip
        counted = f"Counted in whole processes, percent: {'; '.join(parts)}"
    lines = [x for x in of(records, "stages") if x["threads"] == max(by)]
    faulted = ", ".join(f"{draw.LABELS[x['system']]} {x['faults'] / x['total']:,.0f}" for x in lines)
    model = ", ".join(f"{system} on {n} {100 - share:.0f} and {share:.0f} %" for (system, n), share in
                      memory_share(records).items())  # fmt: skip
    modelled = f" By the model arithmetic and memory have of what a step needs at least: {model}." if model else ""
    return (
        f"{counted}. What can be had is the time of each stage of a batch: {words} (on {max(by)} threads); memory and "
        f"arithmetic would need {floor_of(records)[max(by)]:.0f} % of the whole. Page faults per second: {faulted}."
        f"{modelled}"
    )


def floor_of(records) -> dict:
    """{threads: the floors of all stages, in percent of the time of a step}."""
    return {x["threads"]: 100 * sum(x["floors"].values()) / x["total"] for x in of(records, "stages", system="slide")}


def plot(records):
    by, counted = shares(records), [x for x in of(records, "counted") if ratios(x["counts"])]
    figure, axes = draw.panels(3 if counted else 2, QUESTION, width=6)
    names = [name for name in [*STAGES, "other"] if any(name in known for known in by.values())]
    names += sorted({name for known in by.values() for name in known} - set(names))
    left, floor = dict.fromkeys(by, 0.0), floor_of(records)
    for number, name in enumerate(names):
        values = [by[n].get(name, 0.0) for n in by]
        bars = [f"threads: {n}\n(roofline: {floor[n]:.0f} %)" for n in by]
        axes[0].barh(bars, values, left=list(left.values()), color=draw.SERIES[number % 9],
                     label=STAGES.get(name, name))  # fmt: skip
        left = {n: left[n] + value for n, value in zip(by, values, strict=True)}
    axes[0].set(xlabel="time of a training step (percent)", xlim=(0, 100))
    axes[0].set_title("SLIDE, measured")
    axes[0].legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    model_panel(axes[1], records)
    if counted:
        keys = sorted({key for line in counted for key in ratios(line["counts"])})
        for number, line in enumerate(counted):
            at = [i + 0.8 * number / len(counted) for i in range(len(keys))]
            values, label = ratios(line["counts"]), f"{line['system']}, {line['threads']} threads"
            axes[2].barh(at, [values.get(key, 0) for key in keys], height=0.75 / len(counted),
                         color=draw.SERIES[number % 9], label=label)  # fmt: skip
        axes[2].set_yticks([i + 0.4 for i in range(len(keys))], keys)
        axes[2].set_xlabel("percent")
        axes[2].legend(fontsize=8)
    return figure


def model_panel(axis, records):
    """What memory and arithmetic need at least, by the model, of both systems."""
    model = memory_share(records)
    names = [f"{draw.LABELS[system]},\n{n} thread{'s' * (n > 1)}" for system, n in model]
    memory = list(model.values())
    axis.barh(names, memory, color=draw.SERIES[1], label="memory")
    axis.barh(names, [100 - share for share in memory], left=memory, color=draw.SERIES[4], label="arithmetic")
    axis.set(xlabel="least time of a step (percent)", xlim=(0, 100), title="by a model, the roofline")
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
