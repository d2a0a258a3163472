"""How long training takes to the accuracy of the full softmax: SLIDE beside the full softmax of this package and of
PyTorch, and beside PyTorch's sampled softmax with as many candidates, shared by the batch.

The target is the full softmax's best P@1 less half a point. SLIDE has the settings that `python -m slide train`
recommends, its learning rate too; for the others rate and regularisation are the best of a few (see SETTINGS) on rows
held out from a part of the training set, never on test rows. P@1 is that of the whole test set, shuffled. Time is
training alone: parsing, tuning and evaluation outside, everything else inside.

PyTorch's full softmax takes the same steps as this package's: that is checked on a few (the same weights, the same
losses to rounding), its milliseconds a step are measured, and its curve is the other's over that time.

Real data is looked for in the folder that SLIDE_DATA names and in shared/data beside the checkout, one folder with
train.txt and test.txt (.gz, .xz) a set; where it is absent the set is left out, and the record says so. PyTorch comes
with the extra `baselines`.
"""

import statistics
import time
from itertools import product

import numpy as np

from experiments import children, draw
from experiments.data import find

QUESTION = "How much sooner does SLIDE reach the accuracy of the full softmax, on real data and at 670,091 labels?"
PAPER = "2.7 to 3.5 times sooner than TensorFlow on a V100, 10 times on the same CPU, Amazon-670K (figure 5, abstract)"
TIME = {"smoke": "40 s", "small": "35 min"}

BELOW = 0.005  # the target is the full softmax's best P@1 less this
RATES = [2e-3, 5e-3, 1e-2]
PLAIN = dict(dropout=0.0, label_smoothing=0.0)
BOTH = [PLAIN, dict(dropout=0.3, label_smoothing=0.7)]
# epochs: of each system; tune: rows (a fifth of them held out) and epochs of a trial; evaluations: in a run;
# full, sampled: regularisations tried for the full softmax and PyTorch's sampled one; check: PyTorch's steps timed.
SETTINGS = {
    "smoke": {
        "amazon-670k": dict(
            shape=dict(scale=0.004, n_train=1500, n_test=300), epochs={"slide": 4, "full": 4, "torch-sampled": 4},
            tune=dict(rows=500, epochs=1), rates=RATES[:2], evaluations=3, full=[PLAIN], sampled=[PLAIN], check=3,
        ),
    },
    "small": {
        "citeulike-tags-53k": dict(
            epochs={"slide": 12, "full": 12, "torch-sampled": 12}, tune=dict(rows=5000, epochs=4), rates=RATES,
            evaluations=24, full=BOTH, sampled=BOTH, check=20,
        ),
        "diginetica-43k": dict(
            epochs={"slide": 4, "full": 2, "torch-sampled": 4}, tune=dict(rows=72_000, epochs=1), rates=RATES[:2],
            evaluations=8, full=[PLAIN], sampled=[PLAIN], check=20,
        ),
        "amazon-670k": dict(
            shape=dict(scale=1.0, n_train=40_000, n_test=4000), epochs={"slide": 6, "full": 4, "torch-sampled": 6},
            tune=dict(rows=4000, epochs=2), rates=RATES[1:], evaluations=8, full=[PLAIN], sampled=[PLAIN], check=4,
        ),
    },
}  # fmt: skip
SYSTEMS = ("slide", "full", "torch-sampled", "torch")
LABELS = {
    "slide": "SLIDE", "full": "slide, full softmax", "torch": "PyTorch, full softmax (same steps, its own time a step)",
    "torch-sampled": "PyTorch, sampled softmax",
}  # fmt: skip
COLOURS = {"slide": "#D55E00", "full": "#0072B2", "torch": "#000000", "torch-sampled": "#009E73"}
MARKERS = {"slide": "o", "full": "s", "torch": "x", "torch-sampled": "^"}
HIDDEN, BATCH = 128, 256
ROW = "{:22} {:28} {:>7} {:>7} {:>7} {:>9} {:>9} {:>8}"


def run(scale, records, threads, seed):
    sets = []
    for name in SETTINGS[scale]:
        if name == "amazon-670k" or find(name):
            sets.append(name)
        else:
            note(records, f"{name} is left out: no folder of that name in SLIDE_DATA or shared/data")
    systems = [name for name in SYSTEMS if not name.startswith("torch") or children.has_torch()]
    if len(systems) < len(SYSTEMS):
        note(records, children.NO_TORCH)
    grid = [{"data": name, "system": system} for name in sets for system in systems]
    for setting in records.pending(grid):
        waits = children.waits(setting["system"], scale)
        arguments = {"scale": scale, "threads": threads, "seed": seed, **setting}
        for line in children.lines("time_to_accuracy", "child", env=waits, **arguments):
            records.add(**line)
            if line["record"] == "evaluation":
                print(f"{line['data']} {line['system']}: {line['seconds']:.2f} s, P@1 {line['p1']:.4f}", flush=True)
    print_table(records.lines)


def note(records, text):
    print(text)
    records.add("note", text=text)


def child(scale, data, system, threads, seed):
    """Yields what `measure` finds, for a process of its own."""
    lines = []

    def add(record, **fields):
        lines.append({"record": record, "data": data, "system": system, **fields})

    measure(data, SETTINGS[scale][data], system, threads, seed, add)
    yield from lines


def load(name, chosen, seed):
    """((X, Y), (X_test, Y_test)), rows of unit norm, the test set shuffled."""
    from slide.data import make_xmc
    from slide.data.registry import load_folder
    from slide.rows import as_sparse_rows

    made = chosen.get("shape")
    (X, Y), (X_test, Y_test) = make_xmc(name, **made, seed=seed) if made else load_folder(find(name))
    order = np.random.default_rng(seed).permutation(X_test.shape[0])
    X, X_test = (as_sparse_rows(part).normalized().to_scipy() for part in (X, X_test[order]))
    return (X, Y), (X_test, Y_test[order])


def measure(name, chosen, system, threads, seed, add):
    """Tunes where the system is tuned, trains, evaluates; add(record, **fields) takes what is found."""
    from slide.metrics import popularity_baseline

    train, test = load(name, chosen, seed)
    if system == "slide":
        add("data", popularity=popularity_baseline(train[1], test[1])["P@1"], n_train=train[0].shape[0],
            n_test=test[0].shape[0], n_features=train[0].shape[1], n_labels=train[1].shape[1])  # fmt: skip
    if system == "torch":
        add("torch_steps", **torch_steps(train, chosen, threads, seed))
        return
    make = Maker(system, train, threads, seed)
    tuned = tune(make, train, chosen, seed, add) if system != "slide" else {}
    network = make(train, chosen["epochs"][system], **tuned)
    add("chosen", **network.said)
    for line in curve(network, train, test, chosen["evaluations"]):
        add("evaluation", **line)


class Maker:
    """make(train, epochs, rate, regular): the network of a system, ready for so many epochs of `train`."""

    def __init__(self, system, train, threads, seed):
        from slide.defaults import recommended

        self.system, self.threads, self.seed = system, threads, seed
        self.shape = train[0].shape[1], train[1].shape[1]
        self.settings = recommended(train[0].shape[0], self.shape[1])

    def __call__(self, train, epochs, rate=None, regular=None):
        steps = epochs * -(-train[0].shape[0] // BATCH)
        if self.system == "torch-sampled":
            return TorchTraining(self, train, steps, rate, regular)
        changes = {} if self.system == "slide" else {**regular, "sampler": "full", "lr": rate}
        return Training(self, steps, {**self.settings, **changes})


class Training:
    """A slide.Network with what there is to say of it."""

    def __init__(self, make, steps, settings):
        from slide.defaults import make_network

        self.steps, self.said = steps, {"settings": settings}
        self.network = make_network(*make.shape, steps, {**settings, "threads": make.threads, "seed": make.seed})

    def fit(self, X, Y, callback):
        def after(network, loss):
            callback(network.step, network.active)

        self.network.fit(X, Y, steps=self.steps, callback=after)

    def p1(self, X, Y) -> float:
        return self.network.evaluate(X, Y, ks=(1,)).scores["P@1"]


class TorchTraining(Training):
    """PyTorch's sampled softmax with the schedule of slide.defaults."""

    def __init__(self, make, train, steps, rate, regular):
        from experiments import torch_peers
        from slide import Schedule

        n = make.settings["active"]
        by_frequency = np.argsort(-np.bincount(train[1].indices, minlength=make.shape[1]), kind="stable")
        output = torch_peers.Candidates(by_frequency, HIDDEN, n, make.seed, regular["label_smoothing"])
        self.network = torch_peers.TorchNetwork(
            make.shape[0], HIDDEN, output, lr=rate, schedule=Schedule("linear", steps=steps), batch_size=BATCH,
            seed=make.seed, threads=make.threads, dropout=regular["dropout"],
        )  # fmt: skip
        self.steps = steps
        self.said = {"settings": {**regular, "lr": rate, "candidates": n, "batch_size": BATCH}}


def full_network(n_features, n_labels, threads, seed, rate=1e-3):
    from slide import Adam, Dense, Network, Sampled

    return Network(n_features, [Dense(HIDDEN), Sampled(n_labels, sampler="full")], optimizer=Adam(rate),
                   batch_size=BATCH, seed=seed, threads=threads)  # fmt: skip


def tune(make, train, chosen, seed, add) -> dict:
    """The rate and the regularisation whose network is best on held-out training rows."""
    order = np.random.default_rng(seed + 1).permutation(train[0].shape[0])[: chosen["tune"]["rows"]]
    held = min(len(order) // 5, 2000)
    out, kept = ([part[rows] for part in train] for rows in (order[:held], order[held:]))
    best, top = None, -1.0
    for regular, rate in product(chosen["full" if make.system == "full" else "sampled"], chosen["rates"]):
        network = make(kept, chosen["tune"]["epochs"], rate, regular)
        network.fit(*kept, lambda step, active: None)
        score = network.p1(*out)
        add("trial", rate=rate, regular=regular, p1=score, rows=len(order) - held, held_out=held)
        if score > top:
            best, top = dict(rate=rate, regular=regular), score
    return best


def curve(training, train, test, evaluations):
    """The evaluations of a whole training, the clock stopped while they are made."""
    marks = set(np.linspace(0, training.steps, evaluations + 1).astype(int)[1:].tolist())
    done, seconds, active = [], 0.0, []

    def after_batch(step, now):
        nonlocal seconds, start
        active.append(now)
        if step in marks:
            seconds += time.perf_counter() - start
            done.append(dict(step=step, seconds=seconds, p1=training.p1(*test), active=float(np.mean(active))))
            start = time.perf_counter()

    start = time.perf_counter()
    training.fit(*train, after_batch)
    return done


def torch_steps(train, chosen, threads, seed) -> dict:
    """Seconds a step of PyTorch's full softmax, and how far its losses are from slide's over as many steps.

    Raises RuntimeError where they differ by more than rounding explains.
    """
    from experiments import torch_peers

    (X, Y), rate = train, chosen["rates"][0]
    ours = full_network(X.shape[1], Y.shape[1], threads, seed, rate)
    output = torch_peers.Full(Y.shape[1], HIDDEN, BATCH, seed)
    theirs = torch_peers.TorchNetwork(X.shape[1], HIDDEN, output, lr=rate, threads=threads)
    theirs.copy_from(ours)
    order = np.random.default_rng(seed).permutation(X.shape[0])
    seconds, apart = [], []
    for number in range(chosen["check"] + 1):
        rows = order[number * BATCH : (number + 1) * BATCH]
        start = time.perf_counter()
        loss = theirs.partial_fit(X[rows], Y[rows])
        seconds.append(time.perf_counter() - start)
        apart.append(abs(loss - ours.partial_fit(X[rows], Y[rows])) / abs(loss))
    if max(apart) > 1e-3:
        raise RuntimeError(f"PyTorch's losses: found {max(apart):.1e} from slide's (relative), expected rounding")
    return dict(seconds_a_step=statistics.median(seconds[1:]), losses_apart=max(apart), steps=chosen["check"])


def summarise(lines, name) -> dict:
    """{system: best and last P@1, seconds to the target (None: never), seconds in all, active} of a data set."""
    found = {}
    for system in SYSTEMS:
        points = points_of(lines, name, system)
        if points:
            found[system] = dict(points=points, best=max(x["p1"] for x in points), last=points[-1]["p1"],
                                 spent=points[-1]["seconds"], active=points[-1]["active"])  # fmt: skip
    target = found["full"]["best"] - BELOW
    for own in found.values():
        own["target"] = target
        own["reached"] = next((x["seconds"] for x in own["points"] if x["p1"] >= target), None)
    return found


def points_of(lines, name, system) -> list[dict]:
    """The evaluations of a system; those of PyTorch's full softmax are this package's, on its own time."""
    of = {"torch": "full"}.get(system, system)
    points = [x for x in lines if x["record"] == "evaluation" and x["data"] == name and x["system"] == of]
    if system != "torch":
        return points
    timed = [x for x in lines if x["record"] == "torch_steps" and x["data"] == name]
    return [{**x, "seconds": x["step"] * timed[0]["seconds_a_step"]} for x in points] if timed else []


def print_table(lines):
    print("\n" + ROW.format("data", "system", "best", "last", "target", "s to it", "x SLIDE", "active"))
    for data in (line for line in lines if line["record"] == "data"):
        found = summarise(lines, data["data"])
        for system, own in found.items():
            print(ROW.format(
                data["data"], LABELS[system][:28], f"{own['best']:.4f}", f"{own['last']:.4f}", f"{own['target']:.4f}",
                "never" if own["reached"] is None else f"{own['reached']:.2f}", times(found, system),
                f"{own['active']:,.0f}",
            ))  # fmt: skip
        print(f"{data['data']}: always the most frequent label {data['popularity']:.4f}")


def times(found, system) -> str:
    """How many times SLIDE's seconds to the target a system took, in words."""
    slide, own = found["slide"]["reached"], found[system]["reached"]
    return "-" if slide is None or own is None else f"{own / slide:.1f}"


def finding(records) -> str:
    words = []
    for data in (line["data"] for line in records if line["record"] == "data"):
        found = summarise(records, data)
        slide = found.pop("slide")
        at = "does not reach it" if slide["reached"] is None else f"takes {slide['reached']:.3g} s"
        others = (f"{LABELS[name].split(' (')[0]} {in_words(own)} (best {own['best']:.3f})"
                  for name, own in found.items())  # fmt: skip
        words.append(f"{data}: to P@1 {slide['target']:.3f} SLIDE {at} (best {slide['best']:.3f}), {', '.join(others)}")
    return ". ".join(words) + "."


def in_words(own) -> str:
    return "never" if own["reached"] is None else f"{own['reached']:.3g} s"


def plot(records):
    sets = [line for line in records if line["record"] == "data"]
    figure, axes = draw.panels(len(sets), "Accuracy against training time")
    for axis, data in zip(axes, sets, strict=True):
        found = summarise(records, data["data"])
        for system, own in found.items():
            more = "" if times(found, system) == "-" else f": {own['reached']:.3g} s to target"
            axis.plot([x["seconds"] for x in own["points"]], [x["p1"] for x in own["points"]], color=COLOURS[system],
                      marker=MARKERS[system], markersize=4.5, linewidth=1.6, label=LABELS[system] + more)  # fmt: skip
        axis.axhline(found["full"]["target"], color="#666666", linewidth=0.8, label="target")
        axis.axhline(data["popularity"], linestyle=":", color=draw.COLOURS["popularity"],
                     label=draw.LABELS["popularity"])  # fmt: skip
        synthetic = "synthetic, shape of Amazon-670K" if data["data"] == "amazon-670k" else data["data"]
        axis.set_title(f"{synthetic}: {data['n_labels']:,} labels, {data['n_train']:,} rows", fontsize=10)
        axis.set(xlabel="training (seconds, log scale)", ylabel="P@1 on the test set (fraction)")
        axis.set_ylim(bottom=0)
        draw.seconds_axis(axis)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    return figure
