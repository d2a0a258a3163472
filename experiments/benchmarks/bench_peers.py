"""A training step of SLIDE compared with its peers: same data, network, batch, optimizer, threads; all in.

Peers are PyTorch's full softmax (as one writes it, and in chunks with one buffer; at the scale "paper" compiled and in
bfloat16, too), PyTorch's sampled softmax with log-uniform candidates shared by the batch, and the released C++ SLIDE.
PyTorch comes with the extra `baselines`; the released SLIDE is a binary that you build from its own repository and name
in the environment variable SLIDE_RELEASED (see experiments/peers/released.py). What is missing is left out, and the
record, the printout and the figure say so.

Each system has a process of its own; rounds of all systems alternate, and medians over the rounds are compared; the
released SLIDE, slower by far, runs once. Batches are sliced and converted inside of the time.

SLIDE rebuilds its tables less and less often. Steps without a rebuild and one rebuild are timed apart; its time, and
every ratio, is that of the first epoch of Amazon-670K under the default schedule, rebuilds and all. The record also
holds the time without rebuilds and that at the schedule's interval after the epoch.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from experiments.frame import draw, machine, processes
from experiments.frame.claims import judged
from experiments.frame.records import of
from experiments.frame.timing import timed_steps
from experiments.frame.training import CORRECTED, SAMPLERS, sized
from experiments.peers import released

QUESTION = "How long does a training step take, compared with PyTorch and the released C++ SLIDE?"
PAPER = "10 times faster than TensorFlow's full softmax on the same CPU (abstract)"
CLAIMS = ("computation",)
TIME = {"smoke": "20 s", "small": "6 min", "paper": "15 min"}

SETTINGS = {
    "smoke": dict(
        scale=0.004, n_train=4000, rounds=1, active=100, warm_up=2,
        steps={"slide": 60, "uniform": 4, "full": 2, "torch": 2, "torch-compiled": 1, "torch-autocast": 1,
               "torch-full": 2, "torch-bfloat16": 2, "torch-sampled": 4},
    ),
    "small": dict(
        scale=1.0, n_train=40_000, rounds=2, active=3000, warm_up=20,
        steps={"slide": 400, "uniform": 130, "full": 4, "torch": 2, "torch-full": 4, "torch-sampled": 130},
    ),
    "paper": dict(
        scale=1.0, n_train=40_000, rounds=3, active=3000, warm_up=20,
        steps={"slide": 400, "uniform": 130, "full": 4, "torch": 2, "torch-compiled": 2, "torch-autocast": 2,
               "torch-full": 4, "torch-bfloat16": 4, "torch-sampled": 130},
    ),
}  # fmt: skip
LABELS = {
    "slide": "SLIDE", "uniform": "slide, uniform candidates", "full": "slide, full softmax",
    "torch": "PyTorch, full softmax as one writes it", "torch-full": "PyTorch, full softmax in chunks, one buffer",
    "torch-compiled": "PyTorch, that and torch.compile", "torch-autocast": "PyTorch, that and bfloat16 by autocast",
    "torch-bfloat16": "PyTorch, in chunks, one buffer, bfloat16",
    "torch-sampled": "PyTorch, sampled softmax (log-uniform)", "released": "released C++ SLIDE",
}  # fmt: skip
COLOURS = {
    "torch-full": "#444444", "torch-compiled": "#222222", "torch-autocast": "#666666", "torch-bfloat16": "#888888",
    "released": "#8C510A",
}  # fmt: skip
BATCH, HIDDEN, LR = 256, 128, 2e-3
PUBLISHED = 100  # times less
EPOCH = 490_449  # training samples of Amazon-670K
ROW = "{:46} {:>10} {:>9} {:>9} {:>8}"


def run(scale, records, threads, seed):
    from slide.data import make_xmc

    settings = SETTINGS[scale]
    systems, missing = present(settings)
    for text in missing:
        records.add("note", text=text)
        print(text)
    (X, Y), _ = make_xmc("amazon-670k", settings["n_train"], 1, scale=settings["scale"], seed=seed)
    grid = [{"round": n, "system": system} for n in range(settings["rounds"]) for system in systems]
    with tempfile.TemporaryDirectory() as folder:
        save(folder, X, Y)
        for setting in records.pending([x for x in grid if x["round"] == 0 or x["system"] != "released"]):
            system = setting["system"]
            waits = processes.waits(system, scale)
            arguments = dict(scale=scale, system=system, threads=threads, seed=seed, folder=folder)
            for line in processes.lines(__name__, "measure", env=waits, **arguments):
                records.add("round", **setting, **line)
    lines = records.of("round")
    print(ROW.format("system", "ms/sample", "x SLIDE", "active", "GB peak"))
    for line in summarise(lines):
        print(ROW.format(title(line), f"{line['ms']:.4f}", f"{line['ratio']:.2f}", f"{line['active']:,.0f}",
                         f"{line['peak_gb']:.2f}"))  # fmt: skip
    print(rebuilds(lines))


def present(settings) -> tuple[list, list]:
    """(systems that can be measured here, a sentence for each kind that cannot)."""
    systems, missing = list(settings["steps"]), []
    if not processes.has_torch():
        systems = [name for name in systems if not name.startswith("torch")]
        missing.append(processes.NO_TORCH)
    if released.binary():
        systems.append("released")
    else:
        missing.append(f"The released C++ SLIDE is left out: {released.VARIABLE} names no binary of it")
    return systems, missing


def save(folder, X, Y):
    for name, matrix in (("X", X), ("Y", Y)):
        for part in ("data", "indices", "indptr"):
            np.save(Path(folder, f"{name}.{part}.npy"), getattr(matrix, part))
        Path(folder, f"{name}.json").write_text(json.dumps(matrix.shape))


def load(folder):
    from scipy.sparse import csr_matrix

    return [
        csr_matrix(
            tuple(np.load(Path(folder, f"{name}.{part}.npy")) for part in ("data", "indices", "indptr")),
            shape=json.loads(Path(folder, f"{name}.json").read_text()),
        )
        for name in ("X", "Y")
    ]


def measure(scale, system, threads, seed, folder):
    """Yields ms per sample after a warm-up, active neurons and peak memory, for a process of its own."""
    X, Y = load(folder)
    if system == "released":
        yield released.measure(released.binary(), X, Y, HIDDEN, threads, folder)
        return
    timed = time_torch if system.startswith("torch") else time_slide
    found = timed(system, X, Y, SETTINGS[scale], threads, seed)
    yield {**found, "batch": BATCH, "peak_gb": machine.peak_gb()}


def time_slide(system, X, Y, settings, threads, seed) -> dict:
    from slide import Adam, Dense, Network, RehashSchedule, Sampled
    from slide.defaults import recommended
    from slide.settings.fields import with_effect
    from slide.settings.network import NetworkSettings

    advice = recommended(EPOCH, Y.shape[1], {"min_active": settings["active"]}, Y.nnz / X.shape[0])
    layer = dict(sampler=SAMPLERS[system], hash=advice["hash"], K=advice["K"], rehash=RehashSchedule(N0=advice["N0"]),
                 **sized(system, settings["active"]), **(CORRECTED if system == "slide" else {}))  # fmt: skip
    layers = [Dense(HIDDEN), Sampled(Y.shape[1], **with_effect(Sampled, layer))]
    shared = with_effect(NetworkSettings, {"group_size": advice["group_size"]}, layers)
    network = Network(X.shape[1], layers, optimizer=Adam(LR), batch_size=BATCH, seed=seed, threads=threads, **shared)
    index, steps, active = getattr(network.layers[-1], "index", None), settings["steps"][system], []
    network.fit(X, Y, steps=min(settings["warm_up"], steps))
    rebuilt = index.rehashes if index else 0
    seconds, samples = timed_steps(network, X, Y, steps, lambda network: active.append(network.active))
    stages = {name: 1e3 * value / samples for name, value in seconds.items()}
    found = dict(active=float(np.mean(active)), steps=steps, ms=stages.pop("total"), stages=stages)
    return {**found, **spread(found, seconds["rehash"], index, rebuilt)} if index else found


def spread(found, seconds, index, before) -> dict:
    """The time per sample of a whole epoch with its rebuilds, that of a step without, and that after the epoch.

    seconds: of the rebuilds that were measured; before: how many there had been when measuring began.
    """
    one = 1e3 * seconds / (index.rehashes - before)
    step = found["ms"] - found["stages"]["rehash"]
    count = index.schedule.count(EPOCH // BATCH)
    return dict(
        ms=step + one * count / EPOCH, step_ms=step, rebuild_ms=one, rebuilds=count,
        late_ms=step + one / (BATCH * index.schedule.interval(count)), measured_ms=found["ms"],
    )  # fmt: skip


def time_torch(system, X, Y, settings, threads, seed) -> dict:
    from experiments.peers import pytorch

    n_labels, steps = Y.shape[1], settings["steps"][system]
    if system == "torch-sampled":
        output = pytorch.Candidates(np.bincount(Y.indices, minlength=n_labels), HIDDEN, settings["active"], seed)
    elif system in ("torch-full", "torch-bfloat16"):
        kind = pytorch.FullBFloat16 if system == "torch-bfloat16" else pytorch.Full
        output = kind(n_labels, HIDDEN, BATCH, seed)
    else:
        output = pytorch.Plain(n_labels, HIDDEN, seed, autocast=system == "torch-autocast",
                               compiled=system == "torch-compiled")  # fmt: skip
    network = pytorch.TorchNetwork(X.shape[1], HIDDEN, output, lr=LR, seed=seed, threads=threads)
    order = np.random.default_rng(seed).permutation(X.shape[0] // BATCH * BATCH).reshape(-1, BATCH)
    active, warm_up = [], min(settings["warm_up"], steps)
    for number in range(warm_up + steps):
        if number == warm_up:
            start = time.perf_counter()
        rows = order[number % len(order)]
        network.partial_fit(X[rows], Y[rows])
        active.append(network.active)
    ms = 1e3 * (time.perf_counter() - start) / (steps * BATCH)
    return dict(ms=ms, active=float(np.mean(active)), steps=steps)


def summarise(lines) -> list[dict]:
    """The median time of each system, and its median ratio to SLIDE's of the same round."""
    slide = {line["round"]: line["ms"] for line in lines if line["system"] == "slide"}
    out = []
    for system in dict.fromkeys(line["system"] for line in lines):
        mine = [line for line in lines if line["system"] == system]
        out.append({
            "system": system, "ms": statistics.median(line["ms"] for line in mine), "active": mine[0]["active"],
            "ratio": statistics.median(line["ms"] / slide[line["round"]] for line in mine),
            "peak_gb": max(line["peak_gb"] for line in mine), "batch": mine[0]["batch"],
        })  # fmt: skip
    return out


def title(line) -> str:
    return LABELS[line["system"]] + ("" if line["batch"] == BATCH else f", batch {line['batch']}")


def rebuilds(lines) -> str:
    """What of SLIDE's time is the rebuilding of its tables, in a sentence."""
    slide = [line for line in lines if line["system"] == "slide"]
    ms, step, one, late, now = (
        statistics.median(line[name] for line in slide)
        for name in ("ms", "step_ms", "rebuild_ms", "late_ms", "measured_ms")
    )
    return (
        f"SLIDE: {ms:.4f} ms per sample over the first epoch of Amazon-670K, with {slide[0]['rebuilds']} rebuilds of "
        f"{one:,.0f} ms ({1 - step / ms:.1%} of the time); {step:.4f} without, {late:.4f} as often as after the "
        f"epoch, {now:.4f} in the {slide[0]['steps']} batches measured"
    )


def verdicts(records) -> dict:
    """`PUBLISHED` times fewer neurons of the output layer, and as many times less time than the full softmax here."""
    found = {line["system"]: line for line in summarise(of(records, "round"))}
    slide, full = found["slide"], found["full"]
    fewer = full["active"] / slide["active"]
    why = (
        f"SLIDE computes one in {fewer:.0f} neurons of the output layer, and a step is {full['ratio']:.0f} times "
        "faster than the full softmax here"
    )
    why += f" and {found['torch']['ratio']:.0f} times than PyTorch's" if "torch" in found else ""
    return {"computation": judged([fewer >= PUBLISHED, full["ratio"] >= PUBLISHED], why)}


def finding(records) -> str:
    lines = of(records, "round")
    others = (f"{title(x)} {x['ratio']:.3g}" for x in summarise(lines) if x["system"] != "slide")
    return f"{rebuilds(lines)}. Times SLIDE's: {', '.join(others)}."


def plot(records):
    figure, (axis,) = draw.panels(1, f"{QUESTION}\nthe shape of Amazon-670K, all in", width=9.5)
    lines = summarise(of(records, "round"))
    names = [f"{title(line)}\n{line['active']:,.0f} active" for line in lines]
    colours = {**draw.COLOURS, **COLOURS}
    bars = axis.barh(names, [line["ms"] for line in lines], color=[colours[line["system"]] for line in lines])
    axis.bar_label(bars, [f" {line['ms']:.3g} ms, {line['ratio']:.3g} x, {line['peak_gb']:.1f} GB" for line in lines])
    draw.plain_log_axis(axis)
    axis.set(xlabel="milliseconds per sample (log scale); times SLIDE's; peak memory")
    axis.set_xlim(right=12 * max(line["ms"] for line in lines))
    axis.invert_yaxis()
    notes = [line["text"] for line in of(records, "note")]
    if notes:
        axis.set_title("\n".join(notes), fontsize=8.5, loc="left", color="#555555")
    return figure
