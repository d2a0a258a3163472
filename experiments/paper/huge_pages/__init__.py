"""Huge pages on and off: what the processor's counters say where they may be read, page faults and time always; and
TLB misses by a model (see `tlb`), from the addresses of real batches."""

import statistics
import time

import numpy as np

from experiments.frame import draw, machine, processes
from experiments.frame.claims import judged, unmeasured
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import network, settings
from experiments.paper.huge_pages import addresses, tlb

QUESTION = "What do huge pages save: TLB misses, page walks, page faults, time?"
FIGURE = "Table 4"
PAPER = (
    "dTLB load misses fall from 5.12 to 0.25 %, page walks for data from 7.74 to 0.72 % of the cycles, page faults "
    "from 32,548 to 26,527 per second (table 4); about 1.3 times faster together with SIMD (figure 10)"
)
CLAIMS = ("huge_pages",)
TIME = {"smoke": "10 s", "small": "60 s", "paper": "10 min"}

SETTINGS = {
    "smoke": dict(data="tiny", steps=10, warm=3, repeats=1, replayed=1),
    "small": dict(data="citeulike-tags-53k", steps=100, warm=60, repeats=4, replayed=3),
    "paper": dict(data="amazon-670k", steps=300, warm=60, repeats=7, replayed=3),
}
EVENTS = {
    "dTLB-loads": "data TLB loads", "dTLB-load-misses": "data TLB misses", "iTLB-loads": "code TLB loads",
    "iTLB-load-misses": "code TLB misses", "dtlb_load_misses.walk_active": "cycles of page walks, data",
    "itlb_misses.walk_active": "cycles of page walks, code", "cycles": "cycles", "page-faults": "page faults",
}  # fmt: skip
RATES = {"dTLB-load-misses": "dTLB-loads", "iTLB-load-misses": "iTLB-loads", "dtlb_load_misses.walk_active": "cycles",
         "itlb_misses.walk_active": "cycles"}  # fmt: skip
REAL = 0.1  # of weights and moments must lie on more huge pages than without


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    grid = [{"repeat": r, "huge": huge} for r in range(chosen["repeats"]) for huge in (True, False)]
    events = machine.countable(EVENTS)
    missing = [event for event in EVENTS if event not in events]
    records.add("counters", allowed=events, missing=missing, why=machine.why_uncounted(EVENTS, events))
    for setting in records.pending([*grid, {"model": "Cascade Lake"}]):
        if "model" in setting:
            for line in processes.lines(__name__, "replay", scale=scale, threads=threads, seed=seed):
                records.add(**line)
            continue
        arguments = {"scale": scale, "threads": threads, "seed": seed, "huge": setting["huge"]}
        env = {} if setting["huge"] else processes.NO_HUGE_PAGES
        [line] = processes.lines(__name__, "measure", env=env, **arguments)
        records.add("use", **line, **setting)
        hardware = [event for event in events if event != "page-faults"]
        if hardware:
            counted = machine.counters(processes.command(__name__, "measure", **arguments), hardware, env)
            records.add("counted", counts=counted, **setting)


def measure(scale, huge, threads, seed):
    """Yields one line: time and page faults of training steps, those of the start, and bytes on huge pages."""
    chosen = SETTINGS[scale]
    found = problem(chosen["data"], seed, n_test=1)
    before = machine.page_faults()
    net = network(found, settings("slide", found, huge_pages=huge), 2e-3, 10**6, threads, seed)
    net.fit(*found.train, steps=chosen["warm"])
    warm, start = machine.page_faults(), time.perf_counter()
    net.fit(*found.train, steps=chosen["steps"])
    seconds = time.perf_counter() - start
    n_bytes = sum(part.w.nbytes + part.m.nbytes + part.v.nbytes for part in (layer.parameters for layer in net.layers))
    yield {
        "ms": 1e3 * seconds / chosen["steps"], "faults": machine.page_faults() - warm, "seconds": seconds,
        "start": warm - before, "huge_bytes": machine.huge_page_bytes(), "bytes": n_bytes,
    }  # fmt: skip


def replay(scale, threads, seed):
    """Yields a "known" line for each stream with a known answer, and a "modelled" one for each size of pages and stage:
    loads of 64 bytes, misses of the first level, walks, of batches after the first.
    """
    from slide.rows import as_sparse_rows

    for line in tlb.known(seed):
        yield {"record": "known", **line}
    chosen = SETTINGS[scale]
    found = problem(chosen["data"], seed, n_test=1)
    net = network(found, settings("slide", found), 2e-3, 10**6, threads, seed)
    net.fit(*found.train, steps=chosen["warm"])
    order = np.random.default_rng(seed).permutation(found.train[0].shape[0])
    models, counts = {size: tlb.Tlb(size) for size in tlb.PAGES}, {}
    for number in range(chosen["replayed"] + 1):
        batch = order[number * net.batch_size : (number + 1) * net.batch_size]
        net.partial_fit(found.train[0][batch], found.train[1][batch])
        for stage, stream in addresses.of_batch(net, as_sparse_rows(found.train[0][batch]).normalized()).items():
            for size, model in models.items():
                missed, walked = model.replay(stream)
                if number:  # the first batch fills the buffers
                    total = counts.setdefault((size, stage), [0, 0, 0])
                    counts[size, stage] = [a + b for a, b in zip(total, (len(stream), missed, walked), strict=True)]
    for (size, stage), (loads, missed, walked) in counts.items():
        yield {"record": "modelled", "size": size, "stage": stage, "loads": loads, "missed": missed, "walked": walked}


def modelled(records) -> dict:
    """{size of pages: (percent of the loads that miss the first level, that are walked)}, by the model."""
    out = {}
    for size in tlb.PAGES:
        lines = of(records, "modelled", size=size)
        if lines:
            loads = sum(line["loads"] for line in lines)
            out[size] = tuple(100 * sum(line[key] for line in lines) / loads for key in ("missed", "walked"))
    return out


def medians(records) -> dict:
    """{huge: {"ms", "faults_per_s", "start", "huge_bytes"}}."""
    out = {}
    for huge in (False, True):
        lines = of(records, "use", huge=huge)
        out[huge] = {key: statistics.median(line[key] or 0 for line in lines)
                     for key in ("ms", "start", "huge_bytes", "bytes")}  # fmt: skip
        out[huge]["faults_per_s"] = statistics.median(line["faults"] / line["seconds"] for line in lines)
    return out


def rates(records) -> dict:
    """{event: {huge: percent}} of what could be counted."""
    out = {}
    for huge in (False, True):
        for event, base in RATES.items():
            values = [100 * c[event] / c[base] for c in (line["counts"] for line in of(records, "counted", huge=huge))
                      if c.get(event) is not None and c.get(base)]  # fmt: skip
            if values:
                out.setdefault(event, {})[huge] = statistics.median(values)
    return out


def verdicts(records) -> dict:
    """With huge pages there is less of each: page faults before training and in it, TLB misses, page walks; the last
    two by the processor's counters, or else by the model."""
    found, counted = medians(records), rates(records)
    off, on = found[False], found[True]
    if (on["huge_bytes"] - off["huge_bytes"]) < REAL * on["bytes"]:
        return {"huge_pages": unmeasured("the system gave no huge pages, both runs have the same ones")}
    why = (
        f"page faults fall from {off['start']:,.0f} to {on['start']:,.0f} before training and from "
        f"{off['faults_per_s']:,.0f} to {on['faults_per_s']:,.0f} a second in it, a batch takes {on['ms']:.2f} ms with "
        f"huge pages and {off['ms']:.2f} ms without"
    )
    less = [on["start"] < off["start"], on["faults_per_s"] < off["faults_per_s"]]
    less += [rate[True] < rate[False] for rate in counted.values()]
    if not counted:
        why += "; TLB misses and page walks could not be counted"
        small, large = (modelled(records).get(size) for size in tlb.PAGES)
        less += [large[0] < small[0], large[1] < small[1]] if small else [False]
        if small:
            why += (
                f", a model of the TLBs of a Cascade Lake core has {small[0]:.2g} % of the loads of weights and tables "
                f"miss the first level with pages of 4 KB, {large[0]:.2g} % with 2 MB, and {small[1]:.2g} and "
                f"{large[1]:.2g} % walked"
            )
    return {"huge_pages": judged(less, why)}


def finding(records) -> str:
    found, counted, note = medians(records), rates(records), of(records, "counters")[0]
    off, on = found[False], found[True]
    gain = off["ms"] / on["ms"]
    words = [
        f"A batch takes {on['ms']:.2f} ms with huge pages and {off['ms']:.2f} ms without ({gain:.2f} times); page "
        f"faults per second of training are {on['faults_per_s']:,.0f} and {off['faults_per_s']:,.0f}, before training "
        f"{on['start']:,.0f} and {off['start']:,.0f}; {on['huge_bytes'] / 2**20:,.0f} MB really lie on huge pages, "
        f"{off['huge_bytes'] / 2**20:,.0f} MB without (weights and moments: {on['bytes'] / 2**20:,.0f} MB)"
    ]
    words += [f"{EVENTS[name]} {v[False]:.2f} % without, {v[True]:.2f} % with" for name, v in counted.items()]
    if not counted:
        words.append(f"TLB misses and page walks could not be counted: {note['why']}")
    for size, (missed, walked) in modelled(records).items():
        words.append(
            f"by the model, not counted, with pages of {size} {missed:.2f} % of the loads of weights and tables, of 64 "
            f"bytes each, miss the first level and {walked:.2f} % are walked"
        )
    if apart := [abs(line["found"] - line["expected"]) for line in of(records, "known")]:
        words.append(
            f"on {len(apart)} streams with a known answer the model is off by at most {100 * max(apart):.1f} points"
        )
    return f"{'; '.join(words)}."


def plot(records):
    found, counted = medians(records), rates(records)
    values = {"time\n(ms per batch)": {huge: found[huge]["ms"] for huge in found},
              "page faults,\nstart": {huge: found[huge]["start"] for huge in found},
              "page faults per\nsecond, training": {huge: found[huge]["faults_per_s"] for huge in found},
              "MB on\nhuge pages": {huge: found[huge]["huge_bytes"] / 2**20 for huge in found}}  # fmt: skip
    model = modelled(records)
    for number, name in enumerate(("TLB misses, level 1,\nmodel (percent)", "page walks, model\n(percent of loads)")):
        if model:
            values[name] = {huge: model["2 MB" if huge else "4 KB"][number] for huge in found}
    values |= {f"{EVENTS[event]}\n(percent)": value for event, value in counted.items()}
    figure, axes = draw.panels(len(values), QUESTION, width=2.4)
    for axis, (name, value) in zip(axes, values.items(), strict=True):
        bars = axis.bar(["without", "with"], [value[False], value[True]], color=[draw.SERIES[1], draw.SERIES[0]])
        axis.bar_label(bars, [f"{value[huge]:,.3g}" if value[huge] < 1000 else f"{value[huge]:,.0f}"
                              for huge in (False, True)])  # fmt: skip
        axis.set(ylabel=name.replace("\n", " "))
        axis.set_ylim(0, 1.15 * max(value.values()) or 1)
    return figure
