"""The wide layer below other bodies: a GRU, a CNN and a transformer of PyTorch, with four output layers each.

Everything but the output layer is the same: body, optimizer of the body, batches, schedule. With each output layer the
learning rates of body and layer, and whether the layer's Adam has a first moment, are those that are best on held-out
training examples. The sampled ones have as many neurons active as each other. The clock runs for all but evaluation.
At the scale "small" a training ends after 20 seconds, which is before the rate has fallen where steps are slow, and a
part of the test set is evaluated.
"""

import itertools
import time

from experiments.frame import draw, processes
from experiments.frame.claims import judged, unmeasured
from experiments.frame.records import of

QUESTION = "Does the sampled layer train a CNN, a GRU and a transformer as it does a network on sparse input?"
FIGURE = "talk: SLIDE on more complex architectures like CNN/RNN"
PAPER = "The talk names CNN and RNN as what comes next; nothing is measured"
CLAIMS = ("architectures",)
TIME = {"smoke": "30 s", "small": "28 min", "paper": "12 h"}

BELOW = 0.01  # of the targets found
LEARNT = 0.01  # of the targets found, below which nothing was learned
SYSTEMS = ("slide", "torch-sampled", "torch-adaptive", "torch")
FULL = {
    "gru": dict(given={}, width=100, batch=64, candidates=5000, steps=9000, tune_steps=1000),
    "cnn": dict(given={}, width=128, batch=256, candidates=2500, steps=4000, tune_steps=800),
    "transformer": dict(given={}, width=64, batch=16, candidates=5000, steps=6000, tune_steps=1000),
}
SMALL = {name: {**task, "steps": 1500, "tune_steps": 500} for name, task in FULL.items()}
SETTINGS = {  # rates: of body and output layer; beta1: of the output layer's Adam
    "smoke": dict(
        tasks={
            "gru": dict(given=dict(n_items=300, n_sessions=600), width=16, batch=32, candidates=80, steps=20,
                        tune_steps=5),
            "cnn": dict(given=dict(n_classes=200, per_class=4), width=16, batch=32, candidates=60, steps=20,
                        tune_steps=5),
            "transformer": dict(given=dict(n_tokens=300, n=400, length=6), width=16, batch=16, candidates=80, steps=20,
                                tune_steps=5),
        },
        rates=[[1e-2, 2e-2]], beta1=[0.9, 0.0], seeds=1, evaluations=2, held_out=50, seconds=None,
        tune_seconds=None, tested=None,
    ),
    "small": dict(tasks=SMALL, rates=[[3e-3, 6e-3], [1e-2, 2e-2]], beta1=[0.9, 0.0], seeds=3, evaluations=5,
                  held_out=500, seconds=20, tune_seconds=7, tested=1000),
    "paper": dict(tasks=FULL, rates=[[x, y * x] for x in (1e-3, 3e-3, 1e-2) for y in (1, 2)], beta1=[0.9, 0.0], seeds=3,
                  evaluations=12, held_out=4000, seconds=None, tune_seconds=None, tested=None),
}  # fmt: skip


def run(scale, records, threads, seed):
    settings = SETTINGS[scale]
    if not processes.has_torch():
        records.add("note", text=processes.NO_TORCH)
        return
    grid = [
        {"task": task, "system": system, "seed": seed + number}
        for number in range(settings["seeds"]) for task in settings["tasks"] for system in SYSTEMS
    ]  # fmt: skip
    for setting in records.pending(grid):
        chosen = records.of("chosen", task=setting["task"], system=setting["system"])
        choice = {name: chosen[0][name] for name in ("rates", "beta1")} if chosen else None
        given = dict(scale=scale, threads=threads, choice=choice, **setting)
        for line in processes.lines(__name__, "measure", env=processes.waits("torch", scale), **given):
            records.add(line.pop("record"), **setting, **line)


def measure(scale, task, system, seed, threads, choice):
    """Yields the choice of learning rates and beta1, unless it is given, and evaluations; for a process of its own."""
    import torch

    from experiments.paper.architectures.tasks import TASKS

    settings = SETTINGS[scale]
    own = settings["tasks"][task]
    torch.set_num_threads(threads)
    found = TASKS[task](own["width"], 0, **own["given"]).tested(settings["tested"])
    yield {"record": "task", "title": found.title, "k": found.k, "n_classes": found.n_classes}
    if choice is None:
        trials = []
        part = found.held_out(seed, settings["held_out"])
        for rates, beta1 in itertools.product(settings["rates"], settings["beta1"]):
            tried = dict(rates=rates, beta1=beta1)
            *_, last = train(part, system, own, own["tune_steps"], tried, seed, threads, 1, settings["tune_seconds"])
            trials.append({"recall": last["recall"], **tried})
            yield {"record": "trial", **trials[-1]}
        best = max(trials, key=lambda trial: trial["recall"])
        choice = {name: best[name] for name in ("rates", "beta1")}
        yield {"record": "chosen", **choice}
    for line in train(found, system, own, own["steps"], choice, seed, threads, settings["evaluations"],
                      settings["seconds"]):  # fmt: skip
        yield {"record": "evaluation", **choice, **line}


def train(task, system, own, steps, choice, seed, threads, evaluations, seconds):
    """Yields evaluations of a training of so many steps, or seconds, at rates (body, output layer) that fall
    linearly."""
    import numpy as np
    import torch

    from experiments.peers.heads import HEADS

    torch.manual_seed(seed)
    body, (rate, layer_rate) = task.body(), choice["rates"]
    head = HEADS[system](
        own["width"], task.entries(), lr=layer_rate, beta1=choice["beta1"], candidates=own["candidates"],
        seed=seed, warmup=min(1000, steps // 3), steps=steps, threads=threads,
    )  # fmt: skip
    optimizers = of_body(body, rate)
    rng, spent, start = np.random.default_rng(seed), 0.0, time.perf_counter()
    marks = np.linspace(0, steps, evaluations + 1)[1:].round()
    inputs, targets = task.train
    for step in range(1, steps + 1):
        factor = 1 - (step - 1) / steps
        rows = rng.integers(0, len(targets), own["batch"])
        hidden, target = flat(body(torch.from_numpy(inputs[rows])), torch.from_numpy(targets[rows]))
        loss = head.loss(hidden, target)
        loss.backward()
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        head.step(factor)
        over = seconds is not None and spent + time.perf_counter() - start > seconds
        if step in marks or over:
            spent += time.perf_counter() - start
            yield dict(step=step, seconds=spent, loss=loss.item(), **evaluate(body, head, task))
            start = time.perf_counter()
        if over:
            return


def of_body(body, rate):
    """Adam for a body, and the Adam of touched rows for its embedding."""
    import torch

    rows = [p for module in body.modules() if isinstance(module, torch.nn.Embedding) for p in module.parameters()]
    others = [p for p in body.parameters() if all(p is not q for q in rows)]
    found = [torch.optim.Adam(others, lr=rate, fused=True)]
    return [*found, torch.optim.SparseAdam(rows, lr=rate)] if rows else found


def flat(hidden, target):
    """(hidden rows, targets) of the places that have a target."""
    from experiments.paper.architectures.tasks import IGNORED

    hidden, target = hidden.reshape(-1, hidden.shape[-1]), target.reshape(-1)
    there = (target != IGNORED).nonzero()[:, 0]
    return hidden[there], target[there]


def evaluate(body, head, task) -> dict:
    """{recall: share of targets among the k best; mrr: mean of 1 / rank, 0 beyond k} of the test set."""
    import torch

    inputs, targets = task.test
    hits = reciprocal = n = 0
    body.eval()
    with torch.no_grad():
        for low in range(0, len(targets), 256):
            given = torch.from_numpy(inputs[low : low + 256]), torch.from_numpy(targets[low : low + 256])
            hidden, target = flat(body(given[0]), given[1])
            for part, wanted in zip(hidden.split(256), target.split(256), strict=True):
                right = head.topk(part, task.k) == wanted[:, None]
                hits, n = hits + int(right.sum()), n + len(wanted)
                reciprocal += float((right / torch.arange(1, task.k + 1)).sum())
    body.train()
    return {"recall": hits / n, "mrr": reciprocal / n}


LOOK = {
    **{name: draw.style(name) for name in ("slide", "torch", "torch-sampled")},
    "torch-adaptive": draw.series(3, "adaptive softmax (PyTorch)"),
}


def last_of(records, task, system) -> list[dict]:
    """The last evaluation of each seed."""
    lines = of(records, "evaluation", task=task, system=system)
    return [[line for line in lines if line["seed"] == seed][-1] for seed in sorted({line["seed"] for line in lines})]


def tasks_in(records) -> dict:
    return {line["task"]: line for line in of(records, "task")}


def verdicts(records) -> dict:
    """In every task something is learned, and as many targets are found in the end as by the others, less `BELOW`."""
    if not of(records, "evaluation"):
        return {"architectures": unmeasured("PyTorch was not installed where it was to be measured")}
    conditions, words = [], []
    for name in tasks_in(records):
        slide, sampled, full = (mean_recall(records, name, system) for system in ("slide", "torch-sampled", "torch"))
        conditions.append(slide > LEARNT and slide >= max(sampled, full) - BELOW)
        words.append(f"{name} {slide:.3f}, {sampled:.3f} and {full:.3f}" if max(slide, sampled, full) > LEARNT
                     else f"{name} none by any in so short a time")  # fmt: skip
    seconds = records[0]["settings"]["seconds"]
    when = f"after {seconds} s" if seconds else "at the end of training"
    why = f"targets found {when} by the sampled layer, by PyTorch's sampled softmax and by the full one: "
    return {"architectures": judged(conditions, why + "; ".join(words))}


def mean_recall(records, task, system) -> float:
    last = last_of(records, task, system)
    return sum(line["recall"] for line in last) / len(last)


def finding(records) -> str:
    if not of(records, "evaluation"):
        return " ".join(line["text"] for line in of(records, "note"))
    said = []
    for name, task in tasks_in(records).items():
        parts = []
        for system in SYSTEMS:
            last = last_of(records, name, system)
            if last:
                mean = {field: sum(line[field] for line in last) / len(last) for field in ("recall", "mrr", "seconds")}
                parts.append(f"{LOOK[system]['label']} {mean['recall']:.3f} (MRR {mean['mrr']:.3f}) after "
                             f"{last[0]['step']:,} steps, {mean['seconds']:.0f} s")  # fmt: skip
        said.append(f"{task['title']}, share of targets among the {task['k']} best: {'; '.join(parts)}.")
    return " ".join(said)


def plot(records):
    found = tasks_in(records)
    figure, axes = draw.panels(max(1, len(found)), f"{QUESTION}\n{draw.threads(records)}")
    for axis, (name, task) in zip(axes, found.items(), strict=False):
        for system in SYSTEMS:
            lines = of(records, "evaluation", task=name, system=system)
            for number, seed in enumerate(sorted({line["seed"] for line in lines})):
                look = LOOK[system] if number == 0 else {**LOOK[system], "label": None}
                draw.curve(axis, of(lines, "evaluation", seed=seed), "seconds", "recall", **look)
        axis.set(xlabel=draw.SECONDS, ylabel=f"targets among the {task['k']} best (fraction)")
        axis.set_title(task["title"], fontsize=9)
        if max(mean_recall(records, name, system) for system in SYSTEMS) <= LEARNT:
            axis.set(ylim=(0, 1), title=f"{task['title']}\nnothing was learned in so short a time")
        draw.plain_log_axis(axis)
    if found:
        draw.legend(figure, axes[0])
    return figure
