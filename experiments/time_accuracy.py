"""P@1 against training time and iterations: SLIDE, SLIDE without its optimisations, the full softmax here and in
PyTorch. Every system has a process of its own."""

from experiments import children, draw
from experiments.data import problem
from experiments.records import of
from experiments.training import best, choices, n_batches, seconds_to, settings, train, tune, tuned_run

QUESTION = "How much sooner does SLIDE reach the accuracy of the full softmax, and what do SIMD and huge pages add?"
FIGURE = "Fig. 5, 10"
PAPER = (
    "Time to convergence on Amazon-670K 2.7 times lower than TensorFlow's on a V100, 8 to 10 times than on the same "
    "CPU, per-iteration curves identical (figure 5); huge pages and SIMD add about 1.3 times (figure 10)"
)
TIME = {"smoke": "14 s", "small": "22 min", "paper": "200 h"}

RATES = {"slide": [2e-3, 5e-3], "slide-plain": [2e-3, 5e-3], "full": [5e-3, 1e-2], "torch": [5e-3, 1e-2]}
SETTINGS = {
    "smoke": dict(data={"tiny": dict(epochs=3, tune_epochs=1, seconds=20, tune_seconds=20)}, evaluations=4,
                  rates={system: [5e-3] for system in RATES}),
    "small": dict(
        data={"citeulike-tags-53k": dict(epochs=6, tune_epochs=1, seconds=120, tune_seconds=15),
              "diginetica-43k": dict(epochs=3, tune_epochs=1, seconds=120, tune_seconds=15)},
        evaluations=7, rates=RATES),
    "paper": dict(data={"amazon-670k": dict(epochs=4, tune_epochs=0.2, seconds=None, tune_seconds=None),
                        "delicious-200k": dict(epochs=4, tune_epochs=0.2, seconds=None, tune_seconds=None)},
                  evaluations=16, rates=RATES),
}  # fmt: skip
SYSTEMS = ("slide", "slide-plain", "full", "torch")
PLAIN = {"SLIDE_SIMD": "plain", **children.NO_HUGE_PAGES}
TARGET = 0.95  # part of the full softmax's best P@1 at which times are compared


def run(scale, records, threads, seed):
    chosen, systems = SETTINGS[scale], SYSTEMS
    if not children.has_torch():
        systems = SYSTEMS[:-1]
        records.add("note", text=children.NO_TORCH)
    for setting in records.pending([{"data": name, "system": s} for name in chosen["data"] for s in systems]):
        plain = PLAIN if setting["system"] == "slide-plain" else {}
        environment = {**plain, **children.waits(setting["system"], scale)}
        arguments = {"scale": scale, "threads": threads, "seed": seed, **setting}
        for line in children.lines("time_accuracy", "measure", env=environment, **arguments):
            records.add(line.pop("record"), **{**line, **setting})


def measure(scale, data, system, threads, seed):
    """Yields the lines of a system on a set: "data", "trial" and "evaluation"."""
    chosen, found, out = SETTINGS[scale], problem(data, seed), []
    plan = {**chosen["data"][data], "evaluations": chosen["evaluations"], "rates": chosen["rates"][system]}
    yield {"record": "data", **found.facts()}
    if system == "torch":
        train_torch(found, lambda record, **line: out.append({"record": record, **line}), plan, threads, seed)
    else:
        plan.pop("tune_seconds")
        of_system = settings(system, found, huge_pages=system != "slide-plain")
        tuned_run(system, found, lambda record, **line: out.append({"record": record, **line}), of_system,
                  threads=threads, seed=seed, early=True, **plan)  # fmt: skip
    yield from out


def train_torch(found, add, plan, threads, seed):
    from experiments.torch_peers import full_softmax

    def build(choice, part, steps):
        return full_softmax(part.n_features, part.n_labels, steps=steps, seed=seed, threads=threads, **choice)

    choice = tune(build, found, choices("torch", found, plan["rates"]), epochs=plan["tune_epochs"], seed=seed,
                  seconds=plan["tune_seconds"], add=lambda **line: add("trial", **line))  # fmt: skip
    steps = n_batches(found, plan["epochs"])
    train(build(choice, found, steps), found, steps, lambda **line: add("evaluation", **choice, **line) or line,
          evaluations=plan["evaluations"], early=True, seconds=plan["seconds"])  # fmt: skip


def reached(records, data) -> dict:
    """{system: seconds to the target}, and the target; None where a system did not reach it."""
    lines = {system: of(records, "evaluation", data=data, system=system) for system in SYSTEMS}
    target = TARGET * best(lines["full"])
    return {system: seconds_to(own, target) for system, own in lines.items()}, target, lines


def finding(records) -> str:
    words, faster = [], []
    for data in records[0]["settings"]["data"]:
        at, target, lines = reached(records, data)
        popular = of(records, "data", data=data)[0]["popularity"]
        slide = at["slide"]
        if slide is None or target <= popular:
            faster.append(0.0)
            words.append(f"{data}: best P@1 SLIDE {best(lines['slide']):.3f}, full softmax {best(lines['full']):.3f}, "
                         "no times to compare")  # fmt: skip
            continue
        faster.append(at["full"] / slide)
        ratio = [f"{draw.LABELS[s]} {_times(at[s], slide)}" for s in SYSTEMS[1:] if lines[s]]
        scores = [f"{best(lines[s]):.3f} (end {lines[s][-1]['p1']:.3f})" for s in SYSTEMS if lines[s]]
        words.append(f"{data}: to P@1 {target:.3f} SLIDE takes {slide:.1f} s, {', '.join(ratio)}; best P@1 "
                     f"{', '.join(scores)}")  # fmt: skip
    verdict = "Reproduced" if min(faster) > 2 else "In part" if max(faster) > 1 else "Not reproduced"
    return f"{verdict} against the CPU ({draw.threads(records)}; no GPU here). {'. '.join(words)}."


def _times(other, slide) -> str:
    return "never" if other is None else f"{other / slide:.1f} times as long"


def plot(records):
    names = list(records[0]["settings"]["data"])
    figure, axes = draw.panels(2, f"Accuracy against time and iterations, {draw.threads(records)}", len(names))
    for number, data in enumerate(names):
        facts = of(records, "data", data=data)[0]
        pair = zip(axes[2 * number : 2 * number + 2], ("seconds", "step"), (draw.SECONDS, draw.BATCHES), strict=True)
        for axis, x, label in pair:
            for system in SYSTEMS:
                lines = of(records, "evaluation", data=data, system=system)
                if lines:
                    draw.curve(axis, lines, x, "p1", **draw.style(system))
            draw.popularity(axis, facts)
            draw.accuracy(axis, label)
            axis.set_title(f"{facts['title']}, {facts['n_labels']:,} labels")
        draw.seconds_axis(axes[2 * number])
    draw.legend(figure, axes[0])
    return figure
