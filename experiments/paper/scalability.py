"""Time to a fixed P@1 against the number of threads, with one owner per row and with the paper's hogwild."""

from experiments.frame import draw, machine, processes
from experiments.frame.claims import judged, unmeasured
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import best, choice_of, make, n_batches, seconds_to, settings, train, tuned

QUESTION = "How does the time to a fixed accuracy fall with the number of threads?"
FIGURE = "Fig. 9, 13"
PAPER = (
    "SLIDE's time falls up to 44 cores, TensorFlow's no more after 16; SLIDE passes TensorFlow on the CPU at 2 "
    "(Amazon) to 8 cores (Delicious) (figures 9, 13)"
)
CLAIMS = ("scalability",)
TIME = {"smoke": "10 s", "small": "8 min", "paper": "300 h"}

SETTINGS = {
    "smoke": dict(data="tiny", epochs=2, evaluations=4, most=2, seconds=None, rates=[5e-3], tune_epochs=0.2),
    "small": dict(data="citeulike-tags-53k", epochs=3, evaluations=12, most=64, seconds=70, rates=[5e-3, 1e-2],
                  tune_epochs=2),
    "paper": dict(data="amazon-670k", epochs=1, evaluations=12, most=64, seconds=None, rates=[2e-3, 5e-3],
                  tune_epochs=0.2),
}
SYSTEMS = {"slide": "SLIDE, one owner per row", "hogwild": "SLIDE, hogwild", "full": "full softmax",
           "torch": "full softmax (PyTorch)"}  # fmt: skip
LOOKS = {"slide": "slide", "hogwild": "slide-paper", "full": "full", "torch": "torch"}
# The tuned system whose choice another takes, since both compute the same.
LIKE = {"slide": "slide", "hogwild": "slide", "full": "full", "torch": "full"}
LINEAR = 0.85  # nearly linear: at least this part of the threads
TARGET = 0.9  # part of the best P@1 of SLIDE with one owner per row


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    systems = processes.present(SYSTEMS, records)
    counts = machine.thread_counts(threads, chosen["most"])[::-1]
    grid = [{"system": s, "threads": "tune"} for s in ("slide", "full")]
    grid += [{"system": s, "threads": n} for n in counts for s in systems]
    for setting in records.pending(grid):
        arguments = {"scale": scale, "seed": seed, **setting}
        if setting["threads"] == "tune":
            arguments["threads"] = threads
            for line in processes.lines(__name__, "tune", **arguments):
                records.add("chosen", system=setting["system"], **line)
        else:
            choice = choice_of(records.of("chosen", system=LIKE[setting["system"]])[0])
            for line in processes.lines(__name__, "measure", choice=choice, **arguments):
                records.add("evaluation", **{**line, **setting})


def tune(scale, system, threads, seed):
    """Yields the choice of a system, tuned on held-out rows with all threads."""
    chosen, found = SETTINGS[scale], problem(SETTINGS[scale]["data"], seed)
    yield tuned(system, found, lambda *_, **line: line, settings(system, found), rates=chosen["rates"],
                tune_epochs=chosen["tune_epochs"], threads=threads, seed=seed, regularise=False)  # fmt: skip


def measure(scale, system, threads, seed, choice):
    """Yields the evaluations of a training."""
    chosen, out = SETTINGS[scale], []
    found = problem(chosen["data"], seed)
    steps = n_batches(found, chosen["epochs"])
    of_system = settings(LIKE[system], found, **({"update": "hogwild"} if system == "hogwild" else {}))
    network = make("torch" if system == "torch" else LIKE[system], found, of_system, choice, steps, threads, seed)
    train(network, found, steps, lambda **line: out.append(line) or line, evaluations=chosen["evaluations"],
          seconds=chosen["seconds"])  # fmt: skip
    yield from out


def times(records):
    """({system: {threads: (seconds to the target or None, milliseconds per batch)}}, target)."""
    target = TARGET * best(of(records, "evaluation", system="slide"))
    out = {}
    for system in SYSTEMS:
        for n in sorted({line["threads"] for line in of(records, "evaluation", system=system)}):
            lines = of(records, "evaluation", system=system, threads=n)
            pace = 1e3 * lines[-1]["seconds"] / lines[-1]["step"]
            out.setdefault(system, {})[n] = seconds_to(lines, target), pace
    return out, target


def verdicts(records) -> dict:
    """Batches are nearly linearly faster, by more than the full softmax's, and the target is reached before it."""
    found, target = times(records)
    most, gain = max(found["slide"]), gains(found)
    if most == 1:
        return {"scalability": unmeasured("there was one thread where it was measured")}
    dense = [name for name in ("full", "torch") if name in found]
    at = {name: by[most][0] for name, by in found.items()}
    first = all(at["slide"] is not None and (at[name] is None or at["slide"] < at[name]) for name in dense)
    compared = " and ".join(f"{gain[name]:.2f} times for the {SYSTEMS[name]}" for name in dense)
    why = (
        f"on {most} threads, all that there were where it was measured, batches are {gain['slide']:.2f} times faster "
        f"than on one ({compared}), and P@1 {target:.3f} is {'reached first' if first else 'not reached first'}"
    )
    linear = gain["slide"] > LINEAR * most
    return {"scalability": judged([linear, gain["slide"] > max(gain[name] for name in dense), first], why)}


def gains(found) -> dict:
    """{system: how many times faster a batch is with the most threads than with the fewest}."""
    return {name: by[min(by)][1] / by[max(by)][1] for name, by in found.items()}


def finding(records) -> str:
    found, target = times(records)
    most = max(found["slide"])
    if most == 1:
        return "One thread only: nothing to compare."
    gain = gains(found)
    own = of(records, "evaluation", system="slide")
    same = len({(line["step"], line["p1"]) for line in own}) == len({line["step"] for line in own})
    speed = ", ".join(f"{SYSTEMS[name]} {value:.2f}" for name, value in gain.items())
    reached = ", ".join(f"{SYSTEMS[name]} {'not reached' if by[most][0] is None else f'{by[most][0]:.1f} s'}"
                        for name, by in found.items())  # fmt: skip
    return (
        f"On {most} threads batches are faster than on one thread by {speed} times; to P@1 {target:.3f} on "
        f"{most} threads {reached}. With one owner per row every number of threads gives "
        f"{'the same scores' if same else 'OTHER SCORES, which must not be'}."
    )


def plot(records):
    found, target = times(records)
    settings, counts = records[0]["settings"], sorted({line["threads"] for line in of(records, "evaluation")})
    figure, axes = draw.panels(2, f"{QUESTION}\n{settings['data']}, P@1 {target:.3f}")
    for name, by in found.items():
        look = {**draw.style(LOOKS[name]), "label": SYSTEMS[name]}
        there = {n: seconds for n, (seconds, _) in by.items() if seconds is not None}
        axes[0].plot(there.keys(), there.values(), **look)
        axes[1].plot(by.keys(), [pace / by[max(by)][1] for _, pace in by.values()], **look)
    axes[1].plot(counts, [max(counts) / n for n in counts], ":", color="#888888", label="ideal")
    axes[0].set_ylabel("training to the target (seconds, log scale)")
    draw.plain_log_axis(axes[0], "y")
    axes[1].set(ylabel="time per batch / time with the most threads")
    for axis in axes:
        draw.threads_axis(axis, counts)
    axes[1].legend(fontsize=8)
    return figure
