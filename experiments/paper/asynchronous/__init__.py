"""Threads that add to shared gradients without locks, and gradients that come late: three hidden layers of 1,000,
sampled and dense, on MNIST.

`update="hogwild"` is what the released code does: threads add their samples' gradients to one array per batch,
unsynchronised, and then every row is stepped once. (Spring & Shrivastava 2017 step the weights after every sample.) In
this package it exists where a layer has active sets. `Dense`, and `Sampled(sampler="full")` which becomes one, are
matrix products whose sums have one order: there is nothing to lose. So "dense" here is a sampled layer whose sampler
takes every neuron: the same kernels and threads, only the sets differ. Its speed is not that of dense networks; the
matrix products that those are computed with are on record too, on one thread.

More workers than this machine has are simulated: `late` trains with small batches, and each gradient is computed with
the weights of when it began and applied after others were (workers.py). By how many, relative to the number of the
other workers, is drawn from what real threads did here.
"""

from experiments.frame import machine, processes
from experiments.frame.claims import judged, unmeasured
from experiments.frame.mnist import mnist
from experiments.frame.records import of
from experiments.paper.asynchronous import results, show
from experiments.paper.asynchronous.results import SYSTEMS, counts_of

QUESTION = "Do threads that update without locks meet less in sampled layers than in dense ones, and learn as well?"
FIGURE = "KDD 2017; talk: sparsity + randomness"
PAPER = (
    "Sparse and random active sets make updates of threads near-independent: accuracy per epoch stays as on one "
    "thread, and training is nearly linearly faster, up to 56 threads (Spring & Shrivastava 2017)"
)
CLAIMS = ("conflicts", "asynchronous")
TIME = {"smoke": "20 s", "small": "10 min", "paper": "20 h"}

# hogwild: threads without locks, `least` of them even where there are fewer CPUs, at most `most`; late: gradients of
# workers, their delays measured in so many batches of real threads. `several`: the systems whose every number of
# threads has all seeds; the others' first and last have.
SETTINGS = {
    "smoke": dict(
        n_train=240, n_tune=100, width=60, active=10, K=4, L=8, seeds=2, several=["sampled"],
        hogwild=dict(batch=16, epochs=dict(sampled=2, dense=0.5, matrix=1), rates=dict(sampled=[3e-3], dense=[3e-3],
                     matrix=[3e-3]), tune_epochs=dict(sampled=1, dense=1, matrix=1), least=1, most=2, repeats=2),
        late=dict(batch=8, epochs=dict(sampled=1, dense=0.5), rates=dict(sampled=[3e-3], dense=[3e-3]),
                  tune_epochs=dict(sampled=1, dense=1), threads=[2], delays=20, workers=dict(sampled=[1, 4],
                  dense=[1, 4])),
    ),
    "small": dict(
        n_train=3000, n_tune=1500, width=1000, active=100, K=6, L=20, seeds=3, several=["sampled"],
        hogwild=dict(batch=64, epochs=dict(sampled=6, dense=0.5, matrix=1),
                     rates=dict(sampled=[3e-3, 8e-3], dense=[1e-3], matrix=[1e-3]),
                     tune_epochs=dict(sampled=4, dense=1, matrix=1), least=8, most=64, repeats=6),
        late=dict(batch=8, epochs=dict(sampled=3, dense=0.5), rates=dict(sampled=[1e-3, 3e-3], dense=[1e-3]),
                  tune_epochs=dict(sampled=1, dense=1), threads=[2, 4, 8], delays=200,
                  workers=dict(sampled=[1, 8, 64], dense=[1, 64])),
    ),
    "paper": dict(
        n_train=None, n_tune=10_000, width=1000, active=100, K=6, L=20, seeds=3, several=["sampled", "dense"],
        hogwild=dict(batch=64, epochs=dict(sampled=20, dense=10, matrix=10),
                     rates=dict(sampled=[1e-3, 3e-3], dense=[3e-4, 1e-3], matrix=[3e-4, 1e-3]),
                     tune_epochs=dict(sampled=10, dense=2, matrix=2), least=8, most=64, repeats=50),
        late=dict(batch=8, epochs=dict(sampled=10, dense=2), rates=dict(sampled=[3e-4, 1e-3], dense=[1e-4, 3e-4]),
                  tune_epochs=dict(sampled=4, dense=1), threads=[2, 4, 8], delays=2000,
                  workers=dict(sampled=[1, 4, 16, 64], dense=[1, 4, 16, 64])),
    ),
}  # fmt: skip
POINT, LINEAR = 0.01, 0.8  # as accurate: within a point; near-linear: at least this part of the threads


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    records.add("data", **mnist(seed, chosen["n_train"]).facts())
    for setting in records.pending(grid_of(chosen, threads, seed)):
        given = {"chosen": chosen, **{name: setting[name] for name in setting if name != "kind"}}
        if setting["kind"] != "rate":
            part = "hogwild" if setting["kind"] == "hogwild" else "late"
            given["lr"] = records.of("rate", system=setting["system"], part=part)[0]["lr"]
        if setting["kind"] == "late":
            given["relative"] = results.relative_delays(records.lines)
        for line in processes.lines("experiments.paper.asynchronous.measure", setting["kind"], **given):
            records.add(**{**line, **{name: value for name, value in setting.items() if name != "kind"}})


def grid_of(chosen, threads, seed) -> list[dict]:
    """What is measured, in order; `kind` is a function of measure.py, the rest what it takes."""
    hogwild, late = chosen["hogwild"], chosen["late"]
    counts = machine.thread_counts(max(threads, hogwild["least"]), hogwild["most"])
    grid = [{"kind": "rate", "system": s, "part": part, "seed": seed} for part in ("hogwild", "late")
            for s in chosen[part]["rates"]]  # fmt: skip
    for number in range(chosen["seeds"]):
        for system in SYSTEMS:
            some = counts if system in chosen["several"] or number == 0 else sorted({1, counts[-1]})
            grid += [{"kind": "hogwild", "system": system, "threads": n, "seed": seed + number} for n in some]
    grid += [{"kind": "hogwild", "system": "matrix", "threads": 1, "seed": seed}]
    grid += [{"kind": "delays", "system": "sampled", "threads": n, "seed": seed} for n in late["threads"]]
    return grid + [{"kind": "late", "system": system, "workers": n, "seed": seed + number} for system in SYSTEMS
                   for n in late["workers"][system] for number in range(chosen["seeds"])]  # fmt: skip


def verdicts(records) -> dict:
    """Sampled layers meet and lose less than dense ones, and are as accurate as on one thread and as one worker; near-
    linear speed-up."""
    if counts_of(records, "sampled") == [1]:
        return dict.fromkeys(CLAIMS, unmeasured("there was one thread where it was measured"))
    found = results.summary(records)
    fit, gap, speed, meet, gone, late = (found[name] for name in ("fit", "gap", "speed", "meet", "gone", "late"))
    fewer = meet["sampled"] < meet["dense"] and gone["sampled", "hit_rows"] <= gone["dense", "hit_rows"]
    met = (
        f"{meet['sampled']:.1f} % of the additions meet another in sampled layers, {meet['dense']:.0f} % in dense "
        f"ones, on {found['least']} threads; P@1 on up to {found['most']} threads is off that on one by at most "
        f"{100 * abs(gap['sampled']):.1f} points, mean of the seeds, and {100 * late['sampled']:+.1f} points off with "
        f"gradients as late as those of {found['workers']} workers ({100 * late['dense']:+.1f} with dense layers)"
    )
    faster = (
        f"on {fit} threads, all that there were CPUs for, an epoch is {speed['sampled']:.2f} times faster with sampled "
        f"layers and {speed['dense']:.2f} times with dense ones: {results.reason(records, fit)}"
    )
    as_good = [abs(gap["sampled"]) <= POINT, late["sampled"] >= -POINT]
    of_speed = judged([speed["sampled"] >= LINEAR * fit], faster) if fit > 1 else unmeasured("there was one CPU")
    return {"conflicts": judged([fewer, *as_good], met), "asynchronous": of_speed}


def finding(records) -> str:
    if counts_of(records, "sampled") == [1]:
        return "One thread only: nothing to compare."
    found = results.summary(records)
    fit, least, gap, speed = (found[name] for name in ("fit", "least", "gap", "speed"))
    meet, batch, gone = (found[name] for name in ("meet", "batch", "gone"))
    epoch = {name: results.seconds_per_epoch(records, name, 1) for name in (*SYSTEMS, "matrix")}
    millionth = {name: 1e4 * gone[name, "lost"] for name in SYSTEMS}
    late = "; ".join(
        f"{name} " + ", ".join(f"{100 * mean:+.1f} ± {100 * spread:.1f} with {n}" for n, (mean, spread) in some.items())
        for name, some in ((s, results.late_gaps(records, s)) for s in SYSTEMS)
    )
    return (
        f"Sampled and dense: P@1 with several threads, up to {found['most']}, is off that of one by at most "
        f"{100 * abs(gap['sampled']):.1f} and {100 * abs(gap['dense']):.1f} points, means of the seeds (on one thread "
        f"these differ by a standard deviation of {100 * results.noise(records, 'sampled'):.1f} and "
        f"{100 * results.noise(records, 'dense'):.1f}); an epoch on {fit} threads is {speed['sampled']:.2f} and "
        f"{speed['dense']:.2f} times faster. On {least} threads {meet['sampled']:.1f} and {meet['dense']:.0f} % of the "
        f"additions are to a weight that another sample in work adds to ({batch['sampled']:.0f} and "
        f"{batch['dense']:.0f} % to a row that another thread adds to in the same batch); on any number at most "
        f"{gone['sampled', 'hit_rows']:.2g} and {gone['dense', 'hit_rows']:.2g} % of the rows lack an addition "
        f"({millionth['sampled']:.2g} and {millionth['dense']:.2g} of a million additions are lost). Late gradients, "
        f"points of P@1 by workers: {late}; {results.delays_in_words(records)}. Seconds per epoch on one thread: "
        f"sampled {epoch['sampled']:.2f}, dense {epoch['dense']:.2f}, dense by matrix products {epoch['matrix']:.2f}."
    )


def plot(records):
    data, width = of(records, "data")[0], records[0]["settings"]["width"]
    return show.plot(records, f"{QUESTION}\n{data['title']}, {show.LAYERS} hidden layers of {width:,}", data)
