"""Threads that add to shared gradients without locks: three hidden layers of 1,000, sampled and dense, on MNIST.

`update="hogwild"` is what the released code does: threads add their samples' gradients to one array per batch,
unsynchronised, and then every row is stepped once. (Spring & Shrivastava 2017 step the weights after every sample.) In
this package it exists where a layer has active sets. `Dense`, and `Sampled(sampler="full")` which becomes one, are
matrix products whose sums have one order: there is nothing to lose. So "dense" here is a sampled layer whose sampler
takes every neuron: the same kernels and threads, only the sets differ. Its speed is not that of dense networks; the
matrix products that those are computed with are on record too, on one thread.
"""

import statistics

from experiments.frame import draw, machine, processes
from experiments.frame.claims import judged, unmeasured
from experiments.frame.mnist import mnist
from experiments.frame.records import of
from experiments.frame.training import n_batches, train, tune
from experiments.paper.asynchronous import conflicts

QUESTION = "Do threads that update without locks meet less in sampled layers than in dense ones, and learn as well?"
FIGURE = "KDD 2017; talk: sparsity + randomness"
PAPER = (
    "Sparse and random active sets make updates of threads near-independent: accuracy per epoch stays as on one "
    "thread, and training is nearly linearly faster, up to 56 threads (Spring & Shrivastava 2017)"
)
CLAIMS = ("conflicts", "asynchronous")
TIME = {"smoke": "15 s", "small": "5 min", "paper": "10 h"}

# "least": so many threads are tried even where there are fewer CPUs.
SETTINGS = {
    "smoke": dict(
        n_train=240, n_tune=100, batch=16, width=60, active=10, K=4, L=8, epochs=dict(sampled=2, dense=2, matrix=2),
        tune_epochs=dict(sampled=1, dense=1, matrix=1), rates=dict(sampled=[3e-3], dense=[3e-3], matrix=[3e-3]),
        least=1, most=2, repeats=2,
    ),
    "small": dict(
        n_train=3000, n_tune=1500, batch=64, width=1000, active=100, K=6, L=20,
        epochs=dict(sampled=15, dense=2, matrix=2), tune_epochs=dict(sampled=10, dense=1, matrix=1),
        rates=dict(sampled=[3e-3, 8e-3], dense=[1e-3, 3e-3], matrix=[1e-3, 3e-3]), least=8, most=64, repeats=6,
    ),
    "paper": dict(
        n_train=None, n_tune=10_000, batch=64, width=1000, active=100, K=6, L=20,
        epochs=dict(sampled=20, dense=10, matrix=10), tune_epochs=dict(sampled=10, dense=2, matrix=2),
        rates=dict(sampled=[1e-3, 3e-3], dense=[3e-4, 1e-3], matrix=[3e-4, 1e-3]), least=8, most=64, repeats=50,
    ),
}  # fmt: skip
SYSTEMS = ("sampled", "dense")  # with hogwild
CONTROLLED = ("sampled",)  # trained with another seed too: how far apart equals may end
LOOKS = {"sampled": "slide", "dense": "full"}
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (7, 3)))
LAYERS = 3
POINT, LINEAR = 0.01, 0.8  # as accurate: within a point; near-linear: at least this part of the threads


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    records.add("data", **mnist(seed, chosen["n_train"]).facts())
    counts = machine.thread_counts(max(threads, chosen["least"]), chosen["most"])
    grid = [{"system": s, "threads": n} for s in SYSTEMS for n in counts] + [{"system": "matrix", "threads": 1}]
    grid += [{"system": s, "threads": 1, "part": "control"} for s in CONTROLLED]
    for setting in records.pending(grid):
        lr = next((line["lr"] for line in records.of("rate", system=setting["system"])), None)
        for line in processes.lines(__name__, "measure", scale=scale, seed=seed, lr=lr, **setting):
            records.add(**{**line, **setting})


def measure(scale, system, threads, seed, lr=None, part="evaluation"):
    """Yields trials and the rate, where none is given, then the evaluations of a training, one per epoch, and the
    conflicts in a batch of what was trained. part "control": evaluations alone, of other weights and another order.
    """
    from slide.machine.threads import available_threads

    chosen, data, out = SETTINGS[scale], mnist(seed, SETTINGS[scale]["n_train"]), []

    def add(record):
        return lambda **line: out.append({"record": record, **line}) or line

    if lr is None:
        lr = tune(
            lambda choice, rows, steps: network(system, chosen, rows, choice["lr"], steps, 1, seed), data,
            [{"lr": rate} for rate in chosen["rates"][system]], epochs=chosen["tune_epochs"][system], seed=seed,
            add=add("trial"), rows=chosen["n_tune"], batch_size=chosen["batch"],
        )["lr"]  # fmt: skip
        add("rate")(lr=lr)
    epochs = chosen["epochs"][system]
    steps = n_batches(data, epochs, chosen["batch"])
    trained = network(system, chosen, data, lr, steps, threads, seed + (part == "control"))
    train(trained, data, steps, add(part), evaluations=epochs)
    for number, line in enumerate(line for line in out if line["record"] == part):
        line.update(epoch=number + 1, cpus=available_threads())
    yield from out
    if system in SYSTEMS and part == "evaluation":
        yield from conflicts_of(trained, data, chosen, threads)


def network(system, chosen, data, lr, steps, threads, seed):
    """Three hidden layers and a softmax; where they have active sets, each sample has its own."""
    from slide import Adam, Dense, Network, Sampled, Schedule

    width, n = chosen["width"], data.n_labels
    if system == "matrix":
        layers = [*(Dense(width) for _ in range(LAYERS)), Dense(n)]
    else:
        lsh = dict(sampler="topk", active=chosen["active"], K=chosen["K"], L=chosen["L"])
        form = lsh if system == "sampled" else dict(sampler=every_neuron(), active=width)
        layers = [*(Sampled(width, **form) for _ in range(LAYERS)), Sampled(n, sampler=every_neuron(), active=n)]
    return Network(
        data.n_features, layers, optimizer=Adam(lr=lr), schedule=Schedule("linear", steps=steps),
        batch_size=chosen["batch"], update="hogwild", seed=seed, threads=threads,
        **({} if system == "matrix" else {"group_size": 1}),
    )  # fmt: skip


def every_neuron():
    """A sampler that takes every neuron, as `Full` does, for a layer that keeps active sets."""
    from slide.sampling import Full

    class Every(Full):
        dense = False

    return Every()


def conflicts_of(trained, data, chosen, threads):
    """Yields one line per hidden layer: shares of a batch's additions that meet another's, and those that are lost."""
    import numpy as np
    from scipy import sparse

    from slide.rows import as_sparse_rows

    batch = min(chosen["batch"], data.train[0].shape[0])
    rows = as_sparse_rows(data.train[0][:batch], "X", data.n_features).normalized()
    for layer, (active, columns) in enumerate(conflicts.rows_and_columns(trained, rows)):
        whole_rows = sparse.csr_array(np.ones((batch, 1), np.float32))
        yield {
            "record": "conflicts", "layer": layer,
            "rows_in_work": conflicts.shared(active, whole_rows, threads, threads),
            "rows_in_batch": conflicts.shared(active, whole_rows, threads, batch),
            "weights_in_work": conflicts.shared(active, columns, threads, threads),
            "weights_in_batch": conflicts.shared(active, columns, threads, batch),
            **conflicts.lost(active, columns, trained.layers[layer].n_neurons, threads, repeats=chosen["repeats"]),
        }  # fmt: skip


def counts_of(records, system) -> list[int]:
    return sorted({line["threads"] for line in of(records, "evaluation", system=system)})


def cpus(records) -> int:
    return of(records, "evaluation")[0]["cpus"]


def seconds_per_epoch(records, system, threads) -> float:
    """The median epoch."""
    marks = [0.0, *(line["seconds"] for line in of(records, "evaluation", system=system, threads=threads))]
    return statistics.median(b - a for a, b in zip(marks, marks[1:], strict=False))


def speed_up(records, system) -> dict:
    """{threads: how many times faster an epoch is than on one thread}."""
    one = seconds_per_epoch(records, system, 1)
    return {n: one / seconds_per_epoch(records, system, n) for n in counts_of(records, system)}


def rate(records, system, threads, field) -> float:
    """A field of the conflicts of all layers in percent: of additions, or of the rows written for "hit_rows"."""
    lines = of(records, "conflicts", system=system, threads=threads)
    total = sum(line["additions"] for line in lines)
    if field in ("lost", "hit_rows"):
        written = total if field == "lost" else sum(line["rows"] for line in lines)
        return 100 * sum(line[field] for line in lines) / written
    if field.startswith("rows"):
        return 100 * statistics.mean(line[field] for line in lines)
    return 100 * sum(line[field] * line["additions"] for line in lines) / total


def gaps(records, system) -> dict:
    """{threads: final P@1 less that of one thread}."""
    last = {n: of(records, "evaluation", system=system, threads=n)[-1]["p1"] for n in counts_of(records, system)}
    return {n: round(p1 - last[1], 9) for n, p1 in last.items() if n > 1}


def control(records, system) -> float:
    """Final P@1 of another seed on one thread less that of this one."""
    first = of(records, "evaluation", system=system, threads=1)
    return of(records, "control", system=system)[-1]["p1"] - first[-1]["p1"]


def summary(records) -> dict:
    """By system: gap (the largest of P@1), speed (on `fit` threads, the most there are CPUs for), meet and batch (in
    percent, on `least` threads) and gone, {(system, field): the largest rate on several threads}."""
    counts = counts_of(records, "sampled")
    several = [n for n in counts if n > 1]
    fit, least = max((n for n in counts if n <= cpus(records)), default=1), min(several)
    return dict(
        fit=fit, least=least, most=max(counts),
        gap={name: max(gaps(records, name).values(), key=abs) for name in SYSTEMS},
        speed={name: speed_up(records, name)[fit] for name in SYSTEMS},
        meet={name: rate(records, name, least, "weights_in_work") for name in SYSTEMS},
        batch={name: rate(records, name, least, "rows_in_batch") for name in SYSTEMS},
        gone={(name, field): max(rate(records, name, n, field) for n in several)
              for name in SYSTEMS for field in ("hit_rows", "lost")},
    )  # fmt: skip


def verdicts(records) -> dict:
    """Sampled layers meet and lose less than dense ones, and are as accurate as on one thread; near-linear speed-up."""
    if counts_of(records, "sampled") == [1]:
        return dict.fromkeys(CLAIMS, unmeasured("there was one thread where it was measured"))
    found = summary(records)
    fit, gap, speed, meet, gone = (found[name] for name in ("fit", "gap", "speed", "meet", "gone"))
    fewer = meet["sampled"] < meet["dense"] and gone["sampled", "hit_rows"] <= gone["dense", "hit_rows"]
    even = abs(gap["sampled"]) <= POINT
    met = (
        f"{meet['sampled']:.1f} % of the additions meet another in sampled layers, {meet['dense']:.0f} % in dense "
        f"ones, on {found['least']} threads, and P@1 on up to {found['most']} threads is off that on one by at most "
        f"{100 * abs(gap['sampled']):.1f} points"
    )
    faster = (
        f"on {fit} threads, all that there were CPUs for, an epoch is {speed['sampled']:.2f} times faster with sampled "
        f"layers and {speed['dense']:.2f} times with dense ones"
    )
    of_speed = judged([speed["sampled"] >= LINEAR * fit], faster) if fit > 1 else unmeasured("there was one CPU")
    return {"conflicts": judged([fewer, even], met), "asynchronous": of_speed}


def finding(records) -> str:
    counts = counts_of(records, "sampled")
    if counts == [1]:
        return "One thread only: nothing to compare."
    found = summary(records)
    fit, least, gap, speed = (found[name] for name in ("fit", "least", "gap", "speed"))
    meet, batch, gone = (found[name] for name in ("meet", "batch", "gone"))
    epoch = {name: seconds_per_epoch(records, name, 1) for name in (*SYSTEMS, "matrix")}
    seeds = " and ".join(f"{name} {100 * abs(control(records, name)):.1f}" for name in CONTROLLED)
    millionth = {name: 1e4 * gone[name, "lost"] for name in SYSTEMS}
    return (
        f"Sampled and dense: P@1 with several threads, up to {max(counts)}, is off that of one by at most "
        f"{100 * abs(gap['sampled']):.1f} and {100 * abs(gap['dense']):.1f} points (another seed: {seeds}); an epoch "
        f"on {fit} threads is {speed['sampled']:.2f} and {speed['dense']:.2f} times faster. On {least} threads "
        f"{meet['sampled']:.1f} and {meet['dense']:.0f} % of the additions are to a weight that another sample in work "
        f"adds to ({batch['sampled']:.0f} and {batch['dense']:.0f} % to a row that another thread adds to in the same "
        f"batch); on any number at most {gone['sampled', 'hit_rows']:.2g} and {gone['dense', 'hit_rows']:.2g} % of the "
        f"rows lack an addition ({millionth['sampled']:.2g} and {millionth['dense']:.2g} of a million additions are "
        f"lost). Seconds per epoch on one thread: sampled {epoch['sampled']:.2f}, dense {epoch['dense']:.2f}, dense by "
        f"matrix products {epoch['matrix']:.2f}."
    )


def plot(records):
    data, limit = of(records, "data")[0], cpus(records)
    width = records[0]["settings"]["width"]
    title = f"{QUESTION}\n{data['title']}, {LAYERS} hidden layers of {width:,}"
    figure, axes = draw.panels(2, title, rows=2)
    draw_accuracy(axes[0], axes[1], records)
    draw.popularity(axes[0], data)
    draw.accuracy(axes[0], "epochs (log scale)")
    draw_speed(axes[2], records, limit)
    draw_conflicts(axes[3], records, limit)
    for axis, place in zip(axes, ("lower right", "lower right", "lower left", "lower left"), strict=True):
        axis.legend(fontsize=8, loc=place, handlelength=3.5)
    return figure


def draw_accuracy(axis, difference, records):
    """P@1 on one thread and on the most; the difference from one thread on all, of dense layers on the most."""
    for name in SYSTEMS:
        look = draw.style(LOOKS[name])
        first = of(records, "evaluation", system=name, threads=1)
        for number, n in enumerate(counts_of(records, name)):
            lines = of(records, "evaluation", system=name, threads=n)
            more = {**look, "marker": draw.SIGNS[number], "linestyle": LINES[number % len(LINES)], "linewidth": 1.4,
                    "label": f"{name}, {n} thread{'s' * (n != 1)}"}  # fmt: skip
            if n in (1, max(counts_of(records, name))):
                draw.curve(axis, lines, "epoch", "p1", **more)
            gap = [100 * (line["p1"] - one["p1"]) for line, one in zip(lines, first, strict=True)]
            if n > 1 and (name == "sampled" or n == max(counts_of(records, name))):
                difference.plot([line["epoch"] for line in lines], gap, **more)
    for name in CONTROLLED:
        last = of(records, "control", system=name)[-1]
        difference.plot(last["epoch"], 100 * control(records, name), linestyle="", marker="*", markersize=9,
                        color=draw.COLOURS[LOOKS[name]], label=f"{name}, 1 thread, another seed")  # fmt: skip
    difference.axhspan(-100 * POINT, 100 * POINT, color="#888888", alpha=0.15, linewidth=0)
    difference.axhline(0, color="#888888", linewidth=1)
    difference.set(xlabel="epochs (log scale)", ylabel="P@1 less that of one thread (points)\ngrey: within one")
    most = max(line["epoch"] for line in of(records, "evaluation"))
    ticks = [n for n in (1, 2, 5, 10, 20) if n <= most]
    for each in (axis, difference):
        each.set_xscale("log")
        each.set_xticks(ticks, [str(n) for n in ticks])
        each.minorticks_off()


def draw_speed(axis, records, limit):
    for name in SYSTEMS:
        found = speed_up(records, name)
        axis.plot(found.keys(), found.values(), **draw.style(LOOKS[name]) | {"label": name})
    within = [n for n in counts_of(records, "sampled") if n <= limit]
    axis.plot(within, within, ":", color="#888888", label="ideal")
    axis.set(ylabel="speed-up of an epoch (times)", ylim=(0, None))
    threads_axis(axis, records, limit)


def draw_conflicts(axis, records, limit):
    """Rates are zero on one thread, which is left out."""
    forms = {"rows_in_work": ("-", "to a row in work elsewhere"), "weights_in_work": ("--", "to a weight in work"),
             "hit_rows": (":", "rows that lost one (measured)")}  # fmt: skip
    for name in SYSTEMS:
        counts = [n for n in counts_of(records, name) if n > 1]
        for field, (line, label) in forms.items():
            look = draw.style(LOOKS[name]) | {"linestyle": line, "label": f"{name}: {label}"}
            axis.plot(counts, [rate(records, name, n, field) for n in counts], clip_on=False, **look)
    axis.set(ylabel="of a batch's additions or rows\n(percent, log scale above 0.001)", ylim=(0, 130))
    axis.set_yscale("symlog", linthresh=1e-3)
    ticks = [0, 1e-3, 1e-2, 0.1, 1, 10, 100]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    threads_axis(axis, records, limit)


def threads_axis(axis, records, limit):
    """Shades the numbers of threads that the CPUs are too few for."""
    counts = counts_of(records, "sampled")
    draw.threads_axis(axis, counts)
    axis.set_xlim(0.9, max(counts) * 1.1)
    if max(counts) > limit:
        axis.axvspan(limit * 1.19, max(counts) * 1.1, color="#888888", alpha=0.15, linewidth=0,
                     label=f"more threads than CPUs ({limit})")  # fmt: skip
