"""slide as it comes beside what practitioners take for many labels (`experiments.peers.rivals`), on whole test sets.

What a rival's authors leave open is chosen on held-out training rows, with the first seed, and kept for the others.
Every system has one thread and CPU seconds, user and system, as its time. A run that was interrupted goes on at the
first result that is missing. To measure some results anew, rename the record to NAME.jsonl.partial and take out the
blocks of lines of those settings.
"""

import json
import signal
import statistics
import tempfile
from functools import partial
from itertools import product
from pathlib import Path

from experiments.frame import draw, problems, processes
from experiments.frame.records import of
from experiments.peers import rivals

QUESTION = "How good is slide as it comes beside other systems for many labels, and at what cost?"
PAPER = "compares SLIDE with TensorFlow's softmax, full and sampled, alone (section 5)"
TIME = {"smoke": "90 s", "small": "3 h", "paper": "8 h"}

# Arguments of `slide tune`, None where settings are not tuned, and of each `slide train` that takes what it found.
SLIDE = {
    "slide-rule": dict(tune=None, train={"slide-rule": ["--no-tune"]}),
    "slide-network": dict(tune=["--neighbours", "0"], train={"slide-network": ["--neighbours", "0"]}),
    "slide": dict(tune=[], train={"slide": [], "slide-networks": ["--networks", "3"]}),
}
OURS = [name for command in SLIDE.values() for name in command["train"]]
SETTINGS = {
    "smoke": dict(sets={problems.TINY: [0]}, limit=60, tune_rows=1000, slide=["slide-rule", "slide"]),
    "small": dict(sets={name: [0, 1, 2] for name in ("bibtex-159", "delicious-983", "citeulike-tags-53k",
                  "gutenberg-lcsh-42K")}, limit=600, tune_rows=30_000, slide=list(SLIDE)),
    "paper": dict(sets={"diginetica-43k": [0], "wiki-skipgram-218k": [0]}, limit=1200, tune_rows=30_000,
                  slide=list(SLIDE)),
}  # fmt: skip
LABELS = {
    "pecos": "PECOS XR-Linear", "omikuji": "omikuji, 3 trees", "napkinxc": "napkinXC PLT", "fasttext": "fastText",
    "neighbours": "50 nearest neighbours", "slide-rule": "slide, not tuned", "slide-network": "slide, one network",
    "slide": "slide as it comes", "slide-networks": "slide, 3 networks",
}  # fmt: skip
METRICS = tuple(f"{name}@{k}" for name in ("P", "PSP") for k in rivals.KS)
COSTS = ("train_s", "tune_s", "predict_s", "peak_gb", "model_mb")
ROW = "{:20} {:22} " + " ".join(["{:>6}"] * 6) + " {:>9} {:>8} {:>9} {:>7} {:>8}"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def run(scale, records, threads, seed):
    plan = SETTINGS[scale]
    sets, systems = present(plan, records)
    with tempfile.TemporaryDirectory() as folder:
        for setting in records.pending(grid(plan, sets, systems, seed)):
            data = saved(Path(folder), setting["set"], seed, plan["tune_rows"], records)
            measure = partial(measured, records, setting, plan["limit"])
            if setting["stage"] == "tune":
                for choice in rivals.RIVALS[setting["system"]].choices(labels_of(data)):
                    measure("trial", data / "tune", choice)
            else:
                choice = chosen(records.lines, setting) if setting["system"] in rivals.RIVALS else None
                measure("result", data, choice)
    print(table(records.lines))


def present(plan, records) -> tuple[list, list]:
    """The sets and the systems that are there, with a note in the records of what is not."""
    without = [f"{name} is left out: not in {' or '.join(map(str, problems.folders()))}"
               for name in plan["sets"] if name != problems.TINY and problems.find(name) is None]  # fmt: skip
    reasons = {system: rivals.missing(system) for system in rivals.RIVALS}
    for text in filter(None, [*without, *reasons.values()]):
        records.add("note", text=text)
        print(text)
    sets = [name for name in plan["sets"] if name == problems.TINY or problems.find(name)]
    if not sets:
        raise ValueError(f"SLIDE_DATA: found none of {', '.join(plan['sets'])}, expected the folder that holds them")
    return sets, [system for system, reason in reasons.items() if reason is None] + plan["slide"]


def grid(plan, sets, systems, seed):
    """Yields the settings: all of the first seed, in which rivals are tuned, then all of the others; slide last."""
    for number in range(max(len(plan["sets"][name]) for name in sets)):
        for name, system in product(sets, (x for x in systems if x in rivals.RIVALS)):
            seeds = plan["sets"][name] if rivals.RIVALS[system].RANDOM else [0]
            if number == 0:
                yield {"set": name, "system": system, "stage": "tune"}
            for add in seeds[number : number + 1]:
                yield {"set": name, "system": system, "stage": "test", "seed": seed + add}
    for name, system in product(sets, (x for x in systems if x in SLIDE)):
        for add in plan["sets"][name]:
            yield {"set": name, "system": system, "stage": "test", "seed": seed + add, "arguments": SLIDE[system]}


def saved(folder, name, seed, tune_rows, records) -> Path:
    """The folder of a set: train.npz, test.npz, and in tune/ what trials take."""
    from experiments.frame.training import held_out

    path = folder / name
    if not path.exists():
        found = problems.problem(name, seed)
        if not of(records.lines, "data", name=name):
            records.add("data", **found.facts())
        save(path, found)
        save(path / "tune", held_out(found, tune_rows, seed))
    return path


def save(folder, problem):
    from slide.data import save

    folder.mkdir()
    for name, pair in {"train": problem.train, "test": problem.test}.items():
        save(folder / f"{name}.npz", *pair)
    (folder / "facts.json").write_text(json.dumps(problem.facts()))


def labels_of(data) -> int:
    return json.loads((data / "facts.json").read_text())["n_labels"]


def measured(records, setting, limit, record, data, choice):
    """Adds what a system reached, or why it did not: it failed, or took more than `limit` CPU seconds."""
    system, seed = setting["system"], setting.get("seed", 0)
    shared = dict(seed=seed, folder=str(data), limit=limit)
    if system in SLIDE:
        lines = processes.lines("experiments.peers.slide_command", "measure", env=ONE_THREAD,
                                **setting["arguments"], **shared)  # fmt: skip
    else:
        lines = processes.lines("experiments.peers.rivals", "measure", env=ONE_THREAD, system=system, choice=choice,
                                **shared)  # fmt: skip
    about = {"set": setting["set"], "system": system, "seed": seed, "choice": choice}
    left = list(setting["arguments"]["train"]) if system in SLIDE else [system]
    try:
        for line in lines:
            records.add(record, **{**about, **line})
            left.pop(0)
    except processes.Ended as error:
        over = error.code == -signal.SIGXCPU
        text = None if over else str(error).strip().splitlines()[-1]  # of a traceback, what was raised
        records.add("failed", of=record, over=over, limit=limit, text=text, **about | {"system": left[0]})


def chosen(lines, setting) -> dict:
    """The choice of the best trial; the first one where no trial ended."""
    own = {name: setting[name] for name in ("set", "system")}
    trials = of(lines, "trial", **own) or of(lines, "failed", of="trial", **own)
    return max(trials, key=lambda line: line.get("P@1", 0.0))["choice"]


def summarise(lines) -> list[dict]:
    """The mean over the seeds of each system on each set, with the spread of P@1; sets and systems as they came."""
    out = []
    for name, system in dict.fromkeys((x["set"], x["system"]) for x in of(lines, "result")):
        own = of(lines, "result", set=name, system=system)
        tuning = sum(x["train_s"] + x["predict_s"] for x in of(lines, "trial", set=name, system=system))
        tuning += sum(x["limit"] for x in of(lines, "failed", of="trial", set=name, system=system) if x["over"])
        mean = {key: statistics.mean(x.get(key, 0.0) for x in own) for key in (*METRICS, *COSTS)}
        p1 = [x["P@1"] for x in own]
        mean["tune_s"] += tuning
        out.append({"set": name, "system": system, **mean, "low": min(p1), "high": max(p1), "seeds": len(own),
                    "choice": own[0]["choice"]})  # fmt: skip
    return out


def table(lines) -> str:
    """What was measured, a line for each system on each set."""
    head = ROW.format("set", "system", *METRICS, "train s", "tune s", "predict s", "GB", "model MB")
    rows = [
        ROW.format(x["set"], LABELS[x["system"]], *(f"{x[name]:.4f}" for name in METRICS),
                   *(f"{x[name]:.1f}" for name in COSTS[:3]), f"{x['peak_gb']:.2f}", f"{x['model_mb']:.1f}")
        for x in summarise(lines)
    ]  # fmt: skip
    return "\n".join([head, *rows, *map(failure, of(lines, "failed"))])


def failure(line) -> str:
    why = f"took more than {line['limit']:,} CPU seconds" if line["over"] else line["text"]
    return f"{line['set']}, {LABELS[line['system']]}, {line['of']} with {line['choice']}: {why}"


def finding(records) -> str:
    """On each set slide's best P@1 and that of the best other system, each with the CPU seconds of training."""
    found, lines = [], summarise(records)
    for name in dict.fromkeys(line["set"] for line in lines):
        here = [line for line in lines if line["set"] == name]
        groups = ([x for x in here if x["system"] in OURS], [x for x in here if x["system"] not in OURS])
        best = [max(group, key=lambda x: x["P@1"]) for group in groups if group]
        words = (f"{LABELS[x['system']]} {x['P@1']:.3f} in {x['train_s'] + x['tune_s']:,.0f} s" for x in best)
        found.append(f"{name}: {', '.join(words)}")
    return f"P@1 and CPU seconds of training and tuning. {'. '.join(found)}."


def plot(records):
    """P@1 against CPU seconds, a panel for each set; a line leads from each point to where it is with tuning."""
    lines = summarise(records)
    sets, systems = (list(dict.fromkeys(line[name] for line in lines)) for name in ("set", "system"))
    columns = 2 if len(sets) == 4 else min(3, len(sets))
    figure, axes = draw.panels(columns, QUESTION, rows=-(-len(sets) // columns))
    for system in systems:
        axes[0].plot([], [], label=LABELS[system], **look(system))
    for axis, name in zip(axes, sets, strict=False):
        for line in (x for x in lines if x["set"] == name):
            point(axis, line)
        [data] = of(records, "data", name=name)
        bottom, top = axis.get_ylim()
        axis.set(
            title=f"{data['title']}: {data['n_train']:,} rows, {data['n_labels']:,} labels",
            xlabel="CPU seconds: training, prediction; line: tuning (log)", ylabel="P@1 on the test set (fraction)",
            ylim=(min(bottom, 0.9 * top), 1.01 * top),
        )  # fmt: skip
        draw.plain_log_axis(axis)
    for axis in axes[len(sets) :]:
        axis.set_axis_off()
    draw.legend_above(figure, axes[0], columns=4)
    return figure


def point(axis, line):
    seconds, style = line["train_s"] + line["predict_s"], look(line["system"])
    spread = [[line["P@1"] - line["low"]], [line["high"] - line["P@1"]]]
    axis.errorbar([seconds], [line["P@1"]], yerr=spread, capsize=2, **style)
    axis.plot([seconds, seconds + line["tune_s"]], 2 * [line["P@1"]], color=style["color"], linewidth=0.8, alpha=0.6)


def look(system) -> dict:
    """All of slide in its colour of other figures, apart by their signs."""
    ours = system in OURS
    at = OURS.index(system) if ours else list(rivals.RIVALS).index(system) + 1
    colour = draw.COLOURS["slide"] if ours else draw.SERIES[at]
    return {"color": colour, "marker": "vosD"[at] if ours else draw.SIGNS[at + 3], "markersize": 7, "linestyle": "none"}
