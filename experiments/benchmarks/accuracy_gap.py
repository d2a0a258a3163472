"""Accuracy to the end of training: what the active set is made of, what the tables find of the true top neurons, and
what twice the epochs do. Every variant has a process of its own."""

import numpy as np

from experiments.frame import draw, processes, seeds
from experiments.frame.claims import judged
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.retrieval import retrieval
from experiments.frame.training import PLAIN, best, make, n_batches, settings, train

QUESTION = "Does sampled training end below the full softmax, and what closes the gap?"
PAPER = (
    "Accuracy per iteration is that of the full softmax (figure 5); independent runs of the released code peak early "
    "and fall: Delicious-200K .459 to .422, Wikipedia-325K .438 against .501"
)
CLAIMS = ("per_iteration",)
TIME = {"smoke": "10 s", "small": "40 min", "paper": "60 h"}

AS_THEY_ARE = dict(logq_correction=False, max_labels=None)
# Active sets of equal size but for the last: `share` of it retrieved by `hash`, the fill drawn; what is not said is
# the recommendation.
VARIANTS = {
    "retrieved": dict(label="retrieved alone, by DWTA, uncorrected (before)", share=1.0, label_fill=0.0, hash="dwta",
                      correction=AS_THEY_ARE),
    "dwta": dict(label="as recommended, but retrieved by DWTA", hash="dwta"),
    "recommended": dict(label="recommended: 1/3 by ranged hashing, 1/3 by frequency, 1/3 uniform"),
    "twice": dict(label="recommended, twice the epochs", epochs=2),
    "frequency": dict(label="as recommended, the rest by frequency", label_fill=1.0),
    "no tables": dict(label="no tables: half by frequency, half uniform", share=0.0),
    "frequency alone": dict(label="no tables: by frequency alone", share=0.0, label_fill=1.0),
    "uncorrected": dict(label="as recommended, logits as they are", correction=AS_THEY_ARE),
    "logQ": dict(label="as recommended, logits corrected", correction=dict(logq_correction=True, logq_warmup=400)),
    "large": dict(label="recommended, four times as many", size=4),
    "grown": dict(label="recommended, four times as many after a third", grow=4),
}
SHORT = {
    "retrieved": "retrieved alone (before)", "dwta": "retrieved by DWTA", "recommended": "recommended",
    "twice": "recommended, epochs x 2", "frequency": "rest by frequency", "no tables": "no tables",
    "frequency alone": "by frequency alone", "uncorrected": "logits as they are", "logQ": "logits corrected",
    "large": "recommended, sets x 4", "grown": "recommended, sets x 4 later", "full": "full softmax",
    "torch-sampled": "sampled softmax (PyTorch)",
}  # fmt: skip
OTHERS = {"full": "full softmax", "torch-sampled": "PyTorch, sampled softmax"}
ORDER = [*VARIANTS, *OTHERS]
CLOSED = 0.005  # so far below the full softmax's best P@1
DRAWN = ("recommended", "dwta", "retrieved", "grown", *OTHERS)  # as curves; of the others, the best alone
FEW = ("retrieved", "dwta", "recommended", "twice", "uncorrected", "grown", *OTHERS)
# Systems that other figures show have their colours there.
COLOURS = {
    "recommended": draw.COLOURS["slide"], "full": draw.COLOURS["full"], "torch-sampled": draw.COLOURS["torch-sampled"],
    "retrieved": "#E69F00", "dwta": "#7B3294", "frequency": "#D7191C", "no tables": "#009E73",
    "frequency alone": "#999999", "logQ": "#000000", "large": "#8C510A", "twice": "#666600",
    "grown": "#CC79A7", "uncorrected": "#1A9850",
}  # fmt: skip
BOTH = dict(dropout=0.3, label_smoothing=0.7)
# seeds: how many runs, each with a seed of its own, are averaged, where that is not one; epochs: with which the
# recommended set is best, or as many as there was time for; layer: of Sampled, where the recommendation is the full
# softmax; large: of Network, for sets four times as large, where a batch has as many labels: PyTorch's has no fewer
# candidates; chosen, full, sampled: rate, regularisation and epochs of slide's sampled variants, the full softmax and
# PyTorch's sampled one. Each is the best of a few on held-out training rows (of diginetica 20,000, of delicious 1,292
# with each seed, of the others 2,000), except for the last two on the skip-grams, where they have what is best for
# slide.
SETTINGS = {
    "smoke": {"tiny": dict(chosen=dict(lr=5e-3, epochs=2), evaluations=2, probes=50, variants=FEW[2:])},
    "small": {
        "citeulike-tags-53k": dict(
            seeds=3, chosen=dict(lr=5e-3, epochs=12, **BOTH), full=dict(lr=5e-3, epochs=8),
            sampled=dict(lr=7e-3, epochs=8, **BOTH), large=dict(group_size=128), evaluations=8, probes=300,
            variants=[name for name in ORDER if name != "uncorrected"]),
        "delicious-983": dict(
            seeds=3, layer=dict(min_active=10), chosen=dict(lr=3e-3, epochs=160, dropout=0.5),
            full=dict(lr=5e-3, epochs=36, dropout=0.5), sampled=dict(lr=5e-3, epochs=36, dropout=0.5),
            large=dict(group_size=16), evaluations=8, probes=300, variants=(*FEW, "large")),
    },
    "paper": {
        "diginetica-43k": dict(
            seeds=3, chosen=dict(lr=5e-3, epochs=4, dropout=0.3),
            full=dict(lr=5e-3, epochs=3, dropout=0.5, label_smoothing=0.5), evaluations=5, probes=300, variants=FEW),
        "wiki-skipgram-218k": dict(seeds=3, chosen=dict(lr=5e-3, epochs=1), sampled=dict(lr=5e-3, epochs=1,
            logq_correction=False), evaluations=4, probes=300, variants=FEW),
        **{name: dict(chosen=dict(lr=5e-3, epochs=epochs, dropout=0.3), evaluations=12, probes=1000, variants=FEW)
           for name, epochs in (("amazon-670k", 6), ("delicious-200k", 10))},
    },
}  # fmt: skip


def run(scale, records, threads, seed):
    known = processes.present(ORDER, records)
    wanted = [{"data": data, "variant": name, "seed": seed + number} for data, plan in SETTINGS[scale].items()
              for name in known if name in plan.get("variants", ORDER) for number in range(plan.get("seeds", 1))]
    for setting in records.pending(wanted):
        waits = processes.waits(setting["variant"], scale)
        arguments = dict(scale=scale, threads=threads, **setting)
        for line in processes.lines(__name__, "measure", env=waits, **arguments):
            records.add(line.pop("record"), **{**line, **setting})


def measure(scale, data, variant, threads, seed):
    """Yields "data" and the "evaluation" lines of a variant, with what its tables find of the top neurons."""
    plan = SETTINGS[scale][data]
    found, out = problem(data, seed), []
    yield {"record": "data", **found.facts()}
    system = variant if variant in OTHERS else "slide"
    of_system = plan.get({"full": "full", "torch-sampled": "sampled"}.get(variant), plan["chosen"])
    choice = {**PLAIN, **of_system}
    steps = n_batches(found, choice.pop("epochs") * VARIANTS.get(variant, {}).get("epochs", 1))
    net = make(system, found, of_variant(system, variant, found, plan), choice, steps, threads, seed)

    def add(**line):
        tables = system == "slide" and net.layers[-1].index is not None
        recall = retrieval(net, found, plan["probes"], tops=(1, 10, 100), rebuild=False) if tables else {}
        out.append({"record": "evaluation", **choice, **line, **recall})
        return line

    grow = VARIANTS.get(variant, {}).get("grow")
    train(net, found, steps, add, evaluations=plan["evaluations"], early=True, grow=grow)
    yield from out


def of_variant(system, variant, found, plan) -> dict:
    """The settings of a variant, for `make`."""
    given = {**plan.get("layer", {})}
    advice = settings(system, found, given, **plan.get("network", {}))
    if system != "slide":
        return advice
    wanted, layer = VARIANTS[variant], advice["layer"]
    size = layer["min_active"] * wanted.get("size", 1)
    share = wanted.get("share", layer["active"] / layer["min_active"])
    changed = {"hash": wanted["hash"]} if "hash" in wanted else {}
    made = settings(system, found, {**given, "min_active": size, **changed}, **plan.get("network", {}))
    made["layer"].update(
        active=max(1, round(share * size)), label_fill=wanted.get("label_fill", layer["label_fill"]),
        sampler="vanilla" if share else "uniform", **wanted.get("correction", {}),
    )  # fmt: skip
    return {**made, "group_size": advice["group_size"], **plan.get(variant, {})}


def lines_of(records, data) -> dict:
    """{variant: its evaluations, in the mean over the seeds}."""
    out = {name: seeds.curve(records, data=data, variant=name) for name in ORDER}
    return {name: lines for name, lines in out.items() if lines}


def ahead(ours, theirs) -> tuple[int, int]:
    """(how many of their evaluations our curve is above at the same time, their number), from our first one on."""
    seconds, scores = ([x[name] for x in ours] for name in ("seconds", "p1"))
    later = [x for x in theirs if x["seconds"] >= seconds[0]]
    return sum(float(np.interp(x["seconds"], seconds, scores)) >= x["p1"] for x in later), len(later)


def milliseconds(lines) -> float:
    return 1e3 * lines[-1]["seconds"] / lines[-1]["samples"]


def gap_of(found, variant) -> float:
    """How far the best and the last P@1 of a variant, and of "recommended" those of twice the epochs, fall short."""
    lows = [best(found[variant]), found[variant][-1]["p1"]]
    lows += [found["twice"][-1]["p1"]] if variant == "recommended" else []
    return best(found["full"]) - min(lows)


def verdicts(records) -> dict:
    """The gap is closed on each data set by what is recommended; what is retrieved alone is the paper's way."""
    found = {data: lines_of(records, data) for data in records[0]["settings"]}
    closed = {data: gap_of(lines, "recommended") <= CLOSED for data, lines in found.items()}
    missed = ", ".join(data for data, ok in closed.items() if not ok)
    why = (
        f"the recommended active sets, filled and with corrected logits, end within {CLOSED} of the full softmax's P@1 "
        f"on {sum(closed.values())} of {len(closed)} data sets{f' (not on {missed})' if missed else ''}"
    )
    alone = [gap_of(lines, "retrieved") <= CLOSED for lines in found.values() if "retrieved" in lines]
    why += f"; retrieved neurons alone, the paper's way, on {sum(alone)} of {len(alone)}" if alone else ""
    return {"per_iteration": judged(closed.values(), why)}


def finding(records) -> str:
    settings = records[0]["settings"]
    runs = {data: plan.get("seeds", 1) for data, plan in settings.items()}
    trained = f"seeds: {', '.join(f'{n} on {data}' for data, n in runs.items())}"
    if len(set(runs.values())) == 1:
        trained = f"means over {max(runs.values())} seeds" if max(runs.values()) > 1 else "one seed"
    return f"{'. '.join(of_set(records, data) for data in settings)}. {trained.capitalize()}."


def of_set(records, data) -> str:
    found, facts = lines_of(records, data), of(records, "data", data=data)[0]
    full, mine, twice = (found[name] for name in ("full", "recommended", "twice"))
    last, closed = mine[-1], gap_of(found, "recommended") <= CLOSED
    share, held = (x / facts["n_labels"] for x in (last["active"], last["retrieved"]))
    faster = milliseconds(full) / milliseconds(mine)
    pace = f"{faster:.0f} times faster per sample" if faster > 1.5 else f"{1 / faster:.2f} times its time per sample"
    words = (
        f"{data}: the gap is {'closed' if closed else 'not closed'}: full softmax {score(full)}, recommended "
        f"{score(mine)}, with twice the epochs {score(twice)}, in {share:.2%} of the neurons, {pace}; its "
        f"tables hold {last['recall'][1]:.0%} of the true top 10 in {held:.2%} of the neurons"
    )
    if "torch-sampled" in found:
        words += f"; {against(found)}"
    return words


def against(found) -> str:
    """Where the recommended set, and larger ones, are above PyTorch's sampled softmax, in words."""
    theirs, words = found["torch-sampled"], []
    sets = {"recommended": "", "large": "four times as many: ", "grown": "four times as many after a third: "}
    for name, what in sets.items():
        if name in found:
            count, of_all = ahead(found[name], theirs)
            words.append(f"{what}{found[name][-1]['active']:,.0f} neurons at {count} of {of_all}")
    return (
        f"above PyTorch's sampled softmax ({theirs[-1]['active']:,.0f} candidates) at its evaluations with "
        f"{', '.join(words)}"
    )


def score(lines) -> str:
    """The best P@1, and that at the end where it is lower."""
    end = lines[-1]["p1"]
    return f"{best(lines):.4f}" + ("" if end == best(lines) else f" (end {end:.4f})")


def name_of(variant) -> str:
    return OTHERS.get(variant) or VARIANTS[variant]["label"]


def plot(records):
    names = list(records[0]["settings"])
    figure, axes = draw.panels(2, QUESTION, len(names), width=6.5)
    for number, data in enumerate(names):
        facts, found = of(records, "data", data=data)[0], lines_of(records, data)
        left, right = axes[2 * number : 2 * number + 2]
        for name in DRAWN:
            if name in found:
                draw.curve(left, found[name], "seconds", "p1", **look_of(name))
        draw.popularity(left, facts)
        draw.accuracy(left, draw.SECONDS)
        left.set_title(f"{facts['title']}\n{facts['n_labels']:,} labels", fontsize=10)
        draw.plain_log_axis(left)
        bars(right, found, facts["n_labels"])
    draw.legend_above(figure, axes[0], columns=3)
    return figure


def look_of(name, **more) -> dict:
    return {**draw.series(ORDER.index(name), name_of(name)), "color": COLOURS[name], **more}


def bars(axis, found, n_labels):
    """The best P@1 of every variant, with a mark where it ends, and what its tables hold of the true top 10."""
    names = list(found)
    scores = [best(found[name]) for name in names]
    made = axis.barh(range(len(names)), scores, color=[COLOURS[name] for name in names])
    labels = [f" {p1:.3f}{held(found[name][-1], n_labels)}" for name, p1 in zip(names, scores, strict=True)]
    axis.bar_label(made, labels, fontsize=7.5)
    ends = [found[name][-1]["p1"] for name in names]
    axis.plot(ends, range(len(names)), linestyle="", marker="|", color="black", markersize=11)
    axis.set_yticks(range(len(names)), [SHORT[name] for name in names], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="P@1 on the test set (fraction)", xlim=(0, 1.75 * max(scores)))
    axis.set_title("best of the run, black: at its end; what the tables hold of the true top 10", fontsize=10)


def held(line, n_labels) -> str:
    """What the tables hold at the end, in words; nothing where there are none."""
    if "recall" not in line:
        return ""
    return f"; tables: {line['recall'][1]:.0%} in {line['retrieved'] / n_labels:.2%} of the neurons"
