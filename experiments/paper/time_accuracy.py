"""P@1 against training time and iterations: SLIDE, SLIDE without its optimisations, the full softmax here and in
PyTorch, on a GPU too where there is one, and PyTorch's sampled softmax. Every system has a process of its own."""

import statistics
import time

import numpy as np

from experiments.frame import draw, machine, processes, seeds
from experiments.frame.claims import judged, unmeasured
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import best, choice_of, make, seconds_to, settings, tuned, tuned_run

QUESTION = "How much faster does SLIDE reach the accuracy of the full softmax, and what do SIMD and huge pages add?"
FIGURE = "Fig. 5, 10"
PAPER = (
    "Time to convergence on Amazon-670K 2.7 times lower than TensorFlow's on a V100, 8 to 10 times than on the same "
    "CPU, per-iteration curves identical (figure 5); huge pages and SIMD add about 1.3 times (figure 10)"
)
CLAIMS = ("gpu", "cpu", "optimisations")
TIME = {"smoke": "20 s", "small": "23 min", "paper": "200 h"}

RATES = [2e-3, 5e-3, 1e-2, 2e-2]
# epochs: of every system; rates and tune_epochs: of the trials; seconds: at most, per system; check: steps of PyTorch's
# full softmax that are timed and compared with those of this package; shape: of a synthetic set, and tune_scale: of
# the smaller one of that kind on which it is tuned, since a trial at full size would end before anything is learned.
SETTINGS = {
    "smoke": {"tiny": dict(epochs=3, tune_epochs=1, rates=RATES[1:2], evaluations=4, seconds=20, check=3, seeds=2)},
    "small": {
        "citeulike-tags-53k": dict(epochs=5, tune_epochs=2, rates=RATES[1:3], evaluations=8, seconds=150, check=20,
                                   seeds=3),
        "amazon-670k": dict(shape=dict(n_train=60_000, n_test=4_000, scale=0.25), tune_scale=0.1, epochs=1.2,
                            tune_epochs=1, rates=RATES[2:], evaluations=6, seconds=300, check=4, seeds=3),
    },
    "paper": {
        name: dict(epochs=4, tune_epochs=0.2, rates=RATES, evaluations=16, seconds=None, check=20, seeds=3)
        for name in ("amazon-670k", "delicious-200k")
    },
}  # fmt: skip
SYSTEMS = ("slide", "slide-plain", "full", "torch-sampled", "torch", "torch-bfloat16", "torch-gpu")
PLAIN = {"SLIDE_SIMD": "plain", **processes.NO_HUGE_PAGES}
BELOW = 0.005  # the target is the full softmax's best P@1 less this
# How many times faster the claims have it: than the full softmax on a GPU, on the CPU (rounded down), and than itself
# without what this machine has (1.3, rounded).
OF_THE_GPU, AS_PUBLISHED, OPTIMISED = 3.5, 8, 1.25
TORCH_GPU = "torch-gpu"  # takes the full softmax's choice, and is trained: its time is its own
TORCH_BFLOAT16 = "torch-bfloat16"  # likewise, where the processor multiplies bfloat16
TORCH_STEPS = "torch"  # takes the full softmax's steps here, on the time that a step of its own takes


def run(scale, records, threads, seed):
    sets, systems = SETTINGS[scale], processes.present(SYSTEMS, records)
    if TORCH_GPU in systems and not processes.gpu():
        systems.remove(TORCH_GPU)
    if TORCH_BFLOAT16 in systems and not machine.has_bfloat16():
        systems.remove(TORCH_BFLOAT16)
        records.add("note", text="PyTorch in bfloat16 is left out: this processor does not multiply it")
    for setting in records.pending([{"data": name, "system": s} for name in sets for s in systems]):
        plain = PLAIN if setting["system"] == "slide-plain" else {}
        environment = {**plain, **processes.waits(setting["system"], scale)}
        arguments = {"scale": scale, "threads": threads, "seed": seed, "choice": taken(setting, records), **setting}
        for line in processes.lines(__name__, "measure", env=environment, **arguments):
            records.add(line.pop("record"), **{**line, **setting})


def taken(setting, records) -> dict | None:
    """The choice that a system takes from another, which computes the same: None where it is tuned itself."""
    other = {"slide-plain": "slide", "torch": "full", TORCH_BFLOAT16: "full", TORCH_GPU: "full"}.get(setting["system"])
    return choice_of(of(records.lines, "evaluation", data=setting["data"], system=other)[0]) if other else None


def measure(scale, data, system, threads, seed, choice):
    """Yields the lines of a system on a set: "data", "trial" and "evaluation", or "steps" of PyTorch's full softmax;
    of a GPU "device", its name with such steps, which also load its libraries before any clock runs."""
    plan, out = dict(SETTINGS[scale][data]), []
    shape, smaller, check = (plan.pop(name, None) for name in ("shape", "tune_scale", "check"))
    found, of_all = problem(data, seed, shape=shape), {"threads": threads, "seed": seed}
    yield {"record": "data", **found.facts()}
    if system == TORCH_STEPS:
        yield {"record": "steps", **torch_steps(system, found, choice, check, threads, seed)}
        return
    if system == TORCH_GPU:
        from experiments.peers.pytorch import gpu

        yield {"record": "device", **torch_steps(system, found, choice, check, threads, seed), **next(gpu())}

    def add(record, **line):
        out.append({"record": record, **line})
        return line

    if smaller and choice is None:
        part = problem(data, seed, shape={**shape, "scale": smaller})
        choice = tuned(system, part, add, settings(system, part), rates=plan["rates"], tune_epochs=plan["tune_epochs"],
                       **of_all)  # fmt: skip
    chosen = settings(system, found, huge_pages=system != "slide-plain")
    tuned_run(system, found, add, chosen, early=True, choice=choice, **of_all, **plan)
    yield from out


def torch_steps(system, found, choice, check, threads, seed) -> dict:
    """Seconds a step of a full softmax of PyTorch, and how far its losses are from this package's over as many steps.

    Raises RuntimeError where they differ by more than rounding explains.
    """
    from experiments.peers.pytorch import unit_rows

    choice, total = {**choice, "dropout": 0.0}, 10**6  # dropout draws other neurons in PyTorch
    ours, theirs = (make(name, found, settings(name, found), choice, total, threads, seed) for name in ("full", system))
    theirs.copy_from(ours)
    X, Y = unit_rows(found.train[0]), found.train[1]
    order = np.random.default_rng(seed).permutation(X.shape[0])
    seconds, apart = [], []
    for rows in (order[256 * number : 256 * number + 256] for number in range(check + 1)):
        start = time.perf_counter()
        loss = theirs.partial_fit(X[rows], Y[rows])
        seconds.append(time.perf_counter() - start)
        apart.append(abs(loss - ours.partial_fit(X[rows], Y[rows])) / abs(loss))
    if max(apart) > 1e-3:
        raise RuntimeError(f"PyTorch's losses: found {max(apart):.1e} from slide's (relative), expected rounding")
    return dict(seconds_a_step=statistics.median(seconds[1:]), losses_apart=max(apart), steps=check)


def curves(records, data) -> dict:
    """{system: evaluations}; PyTorch's full softmax has those of this package's, on its own time."""
    out = {system: seeds.curve(records, data=data, system=system) for system in SYSTEMS}
    for line in of(records, "steps", data=data):
        out["torch"] = [{**x, "seconds": x["step"] * line["seconds_a_step"]} for x in out["full"]]
    return {system: lines for system, lines in out.items() if lines}


def reached(records, data) -> tuple[float, dict]:
    """(target, {system: seconds to it}); None where a system did not reach it."""
    lines = curves(records, data)
    target = best(lines["full"]) - BELOW
    return target, {system: seconds_to(own, target) for system, own in lines.items()}


def verdicts(records) -> dict:
    """Of a GPU: ahead on every set. Of the CPU: ahead on every set, and `AS_PUBLISHED` times on every set."""
    at = {data: reached(records, data)[1] for data in records[0]["settings"]}
    gpu, full, torch, plain = ([ahead(own, name) for own in at.values() if name in own]
                               for name in (TORCH_GPU, "full", "torch", "slide-plain"))  # fmt: skip
    cpu = [*full, *torch]
    words = f"SLIDE is {spread(full)} times faster than the full softmax here to its P@1 less {BELOW}"
    words += f", and {spread(torch)} times than PyTorch's" if torch else ""
    where = f", on {len(at)} data set{'s' * (len(at) != 1)} with {draw.threads(records)}"
    of_gpu = unmeasured("there was no GPU where it was measured")
    if gpu:
        faster = f"SLIDE is {spread(gpu)} times faster than PyTorch's full softmax on {' and '.join(gpus(records))}"
        of_gpu = judged([min(gpu) > 1, min(gpu) >= OF_THE_GPU], faster + where)
    slower = f"without SIMD and huge pages SLIDE takes {spread(plain)} times as long{where}"
    return {
        "gpu": of_gpu, "cpu": judged([min(cpu) > 1, min(cpu) >= AS_PUBLISHED], words + where),
        "optimisations": judged([ratio >= OPTIMISED for ratio in plain], slower),
    }  # fmt: skip


def ahead(at, other) -> float:
    """How many times faster than another SLIDE reaches the target; 0 where it never does, inf where the other does."""
    return 0.0 if at["slide"] is None else np.inf if at[other] is None else at[other] / at["slide"]


def spread(ratios) -> str:
    """The least and the largest, in words."""
    low, high = (f"{x:.1f}" if x < 10 else f"{x:.0f}" for x in (min(ratios), max(ratios)))
    return low if low == high else f"{low} to {high}"


def finding(records) -> str:
    words = []
    for data in records[0]["settings"]:
        lines, (target, at) = curves(records, data), reached(records, data)
        scores = ", ".join(f"{draw.LABELS[s]} {seeds.score(own)} (end {own[-1]['p1']:.3f})" for s, own in lines.items()
                           if s != "torch")  # fmt: skip
        popular, slide = of(records, "data", data=data)[0]["popularity"], at["slide"]
        if slide is None or target <= popular:
            why = "nothing was learned" if target <= popular else f"SLIDE does not reach P@1 {target:.3f}"
            words.append(f"{data}: {why}, no times to compare; best P@1 {scores}")
            continue
        ratio = ", ".join(f"{draw.LABELS[s]} {_times(at[s], slide)}" for s in at if s != "slide")
        words.append(f"{data}: to P@1 {target:.3f} SLIDE takes {slide:.3g} s, {ratio}; best P@1 {scores}")
    return f"{draw.threads(records).capitalize()}{_gpu(records)}. {'. '.join(words)}."


def gpus(records) -> list[str]:
    return sorted({line["name"] for line in of(records, "device")})


def _gpu(records) -> str:
    """The GPUs of a record, in words; nothing where there was no PyTorch that would have found one."""
    names = gpus(records)
    return "; GPU: " + ", ".join(names) if names else "; no GPU here" if of(records, "steps") else ""


def _times(other, slide) -> str:
    return "never" if other is None else f"{other / slide:.1f} times as long"


def plot(records):
    names = list(records[0]["settings"])
    figure, axes = draw.panels(2, f"{QUESTION}\n{draw.threads(records)}", len(names))
    for number, data in enumerate(names):
        facts, lines, (target, _) = of(records, "data", data=data)[0], curves(records, data), reached(records, data)
        pair = zip(axes[2 * number : 2 * number + 2], ("seconds", "step"), (draw.SECONDS, draw.BATCHES), strict=True)
        for axis, x, label in pair:
            for system, own in lines.items():
                if x == "seconds" or system != "torch":
                    draw.curve(axis, own, x, "p1", **draw.style(system))
            draw.popularity(axis, facts)
            draw.accuracy(axis, label)
            axis.axhline(target, color="#999999", linewidth=0.8, label=f"full softmax's best less {BELOW}")
            axis.set_title(f"{facts['title']}\n{facts['n_labels']:,} labels", fontsize=9)
        draw.plain_log_axis(axes[2 * number])
    draw.legend(figure, axes[0])
    return figure
