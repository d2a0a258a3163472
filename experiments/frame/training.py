"""What the experiments that train have in common: networks by system, learning rates by trial, evaluations by clock."""

import time
from dataclasses import replace
from functools import partial

import numpy as np

SAMPLERS = {"slide": "vanilla", "slide-plain": "vanilla", "uniform": "uniform", "full": "full"}
PLAIN = {"dropout": 0.0, "label_smoothing": 0.0}
# For targets that are not smooth; at first they learn faster so than with the smooth ones that are recommended.
CORRECTED = {"logq_correction": True, "logq_warmup": 300}
CORRECTABLE = ("slide", "slide-plain", "torch-sampled")  # systems whose logits are tried with and without correction


def settings(system, problem, layer=None, **changes) -> dict:
    """What a system is on a problem: the recommended settings, but for `layer` (of Sampled) and `changes` (of Network,
    `label_smoothing`, and `hidden`, the widths before the softmax). `network` leaves out what has no effect."""
    from slide import RehashSchedule
    from slide.defaults import recommended

    given = {"sampler": SAMPLERS.get(system, "vanilla"), **(layer or {})}
    advice = recommended(problem.train[0].shape[0], problem.n_labels, given, problem.labels_per_row)
    last = {name: advice[name] for name in ("hash", "K", "L") if name in advice}
    last |= sized(system, advice.get("min_active", problem.n_labels))
    if given["sampler"] != "uniform":
        last |= corrected(advice)
    last["rehash"] = RehashSchedule(N0=advice.get("N0", 50))
    return {
        "hidden": [128], **{name: advice[name] for name in ("batch_size", "group_size", *PLAIN) if name in advice},
        **changes,
        "layer": {**last, **given},
    }  # fmt: skip


def corrected(advice) -> dict:
    """The settings of Sampled that say how its softmax is corrected."""
    return {name: advice[name] for name in ("logq_correction", "logq_warmup", "max_labels") if name in advice}


def sized(system, n_active) -> dict:
    """The settings of Sampled for active sets of so many neurons: made as recommended, or all drawn uniformly."""
    from slide.defaults import active_set

    if system == "uniform":
        return {"active": n_active, "min_active": n_active, "label_fill": 0.0}
    return active_set(n_active)


def choices(problem, rates, regularise=True, corrected=False) -> list[dict]:
    """What is tried on held-out rows, the same for every system: each rate ("lr") with neither dropout nor label
    smoothing, with the dropout recommended for the problem, and, where smoothing is, with both.

    regularise False: each rate with what is recommended, and no more. corrected: where targets are not smooth, with
    logits corrected and as they are.
    """
    from slide.defaults import recommended

    advice = recommended(problem.train[0].shape[0], problem.n_labels)
    both = {name: advice[name] for name in PLAIN}
    tried = [PLAIN, {**PLAIN, "dropout": both["dropout"]}, both]
    tried = tried if regularise else [both]
    distinct = [regular for number, regular in enumerate(tried) if regular not in tried[:number]]
    return [{"lr": rate, **regular, **way} for regular in distinct for way in corrections(regular, corrected)
            for rate in rates]  # fmt: skip


def corrections(regular, corrected) -> list[dict]:
    """Whether logits are corrected, as far as that is a choice beside those of `choices`."""
    if not corrected:
        return [{}]
    return [{"logq_correction": way} for way in ((False,) if regular["label_smoothing"] else (True, False))]


def make(system, problem, chosen, choice, steps, threads, seed):
    """The network of a system: `chosen` are its `settings`, `choice` (see `choices`) overrides them.

    "torch" is PyTorch's full softmax, "torch-bfloat16" the same with products in bfloat16, "torch-gpu" on a GPU,
    "torch-sampled" its sampled one, with as many
    candidates as SLIDE has active and logits corrected where SLIDE's are.
    """
    from slide.defaults import WARMUP

    lr, regular = choice["lr"], {name: choice[name] for name in PLAIN if name in choice}
    layer = {**chosen["layer"], **{name: choice[name] for name in ("logq_correction",) if name in choice}}
    if layer.get("logq_correction"):
        layer.setdefault("logq_warmup", min(WARMUP, steps // 3))
    if not system.startswith("torch"):
        return network(problem, {**chosen, **regular, "layer": layer}, lr, steps, threads, seed)
    from experiments.peers import pytorch

    shape = {"lr": lr, "steps": steps, "seed": seed, "threads": threads, "batch_size": chosen["batch_size"], **regular}
    if system != "torch-sampled":
        device = "cuda" if system == "torch-gpu" else "cpu"
        shape |= {"device": device, "bfloat16": system == "torch-bfloat16"}
        return pytorch.full_softmax(problem.n_features, problem.n_labels, **shape)
    warmup = layer.get("logq_warmup", 0) if layer["logq_correction"] else None
    return pytorch.sampled_softmax(
        problem.n_features, problem.train[1], layer["min_active"], warmup=warmup, **shape
    )  # fmt: skip


def network(problem, chosen, lr, steps, threads, seed, comm=None):
    """The network of `settings`, as far as they have an effect, with a linear schedule over `steps` batches; comm: the
    ranks that share it."""
    from slide import Adam, Dense, Network, Sampled, Schedule
    from slide.settings.fields import with_effect
    from slide.settings.network import NetworkSettings

    smoothing = {"label_smoothing": chosen["label_smoothing"]} if "label_smoothing" in chosen else {}
    layer = with_effect(Sampled, {**chosen["layer"], **smoothing})
    layers = [*(Dense(width) for width in chosen["hidden"]), Sampled(problem.n_labels, **layer)]
    rest = {name: value for name, value in chosen.items() if name not in ("hidden", "layer", *smoothing)}
    rest = with_effect(NetworkSettings, rest, layers)
    return Network(
        problem.n_features, layers, comm=comm, optimizer=Adam(lr=lr),
        schedule=Schedule("linear", steps=max(steps, 1)), seed=seed, threads=threads, **rest,
    )  # fmt: skip


def for_timing(system, problem, threads, seed, **changes):
    """A network for measurements of time alone, at a constant rate without dropout or smoothing."""
    return make(system, problem, settings(system, problem, **changes), {"lr": 2e-3, **PLAIN}, 10**6, threads, seed)


def n_batches(problem, epochs, batch_size=256) -> int:
    """Batches of so many epochs, which need not be whole."""
    return max(1, round(epochs * -(-problem.train[0].shape[0] // batch_size)))


def tune(build, problem, choices, *, epochs, seed, add=None, rows=30_000, batch_size=256, seconds=None) -> dict:
    """The one of `choices` whose network is best on held-out training rows, never on the test set.

    build(choice, problem, steps) makes the network. A tenth of the training rows, at most 2,000, are held out, and at
    most `rows` of the others are trained on, for `epochs` or until `seconds` are over. add(p1=, **choice)
    takes each trial.
    """
    part = held_out(problem, rows, seed)
    steps, chosen, top = n_batches(part, epochs, batch_size), choices[0], -1.0
    for choice in choices if len(choices) > 1 else []:
        trial, start = build(choice, part, steps), time.perf_counter()

        def late(network, loss, start=start):
            return seconds is not None and time.perf_counter() - start > seconds

        trial.fit(*part.train, steps=steps, callback=late)
        score = trial.evaluate(*part.test, ks=(1,)).scores["P@1"]
        if add is not None:
            add(p1=score, **choice)
        if score > top:
            chosen, top = choice, score
    return chosen


def held_out(problem, rows, seed):
    """The problem with held-out training rows in the place of its test set."""
    X, Y = problem.train
    order = np.random.default_rng(seed + 1).permutation(X.shape[0])
    n = min(2_000, X.shape[0] // 10)
    out, kept = order[:n], order[n : n + rows]
    return replace(problem, train=(X[kept], Y[kept]), test=(X[out], Y[out]))


def train(network, problem, steps, add, *, evaluations=10, seconds=None, early=False, grow=None) -> list[dict]:
    """Trains for `steps` batches and stops the clock for evaluations on the whole test set; returns them.

    add(step=, samples=, seconds=, p1=, active=, loss=) takes each evaluation; they are spread evenly, or, early,
    by equal factors from a fiftieth of the steps on. active: the mean over the batches so far. seconds: training ends
    with the evaluation after so many. grow: how many times larger active sets are from a third of the steps on. The
    clock runs for all but evaluation, and the drawing of the first weights.
    """
    even, by_factors = np.linspace(0, steps, evaluations + 1)[1:], np.geomspace(max(1, steps / 50), steps, evaluations)
    marks = set((by_factors if early else even).round().astype(int).tolist())
    done, spent, start, active = [], 0.0, 0.0, 0.0

    def after_batch(network, loss):
        nonlocal spent, start, active
        active += network.active
        if grow and network.step == max(1, steps // 3):
            network.grow(grow)
        elapsed = spent + time.perf_counter() - start
        over = seconds is not None and elapsed >= seconds
        if network.step in marks or over:
            spent = elapsed
            score = network.evaluate(*problem.test, ks=(1,)).scores["P@1"]
            done.append(add(
                step=network.step, samples=network.samples, seconds=spent, p1=score, active=active / network.step,
                loss=loss,
            ))  # fmt: skip
            start = time.perf_counter()
        return over

    start = time.perf_counter()
    if hasattr(network, "rehash"):  # tables were built by the constructor, outside of the clock
        network.rehash()
    network.fit(*problem.train, steps=steps, callback=after_batch)
    return done


def tuned(system, problem, add, chosen, *, rates, tune_epochs, threads, seed, seconds=None, fields=None,
          regularise=True) -> dict:  # fmt: skip
    """The best of `choices` for a system of `settings`; add("trial", system=, **fields, **line) takes each trial."""

    from slide.defaults import WARMUP

    def build(choice, part, steps):
        # A trial, shorter than the training that it is for, warms up in a third of its batches at most.
        warmup = min(chosen["layer"].get("logq_warmup", WARMUP), steps // 3)
        trial = {**chosen, "layer": {**chosen["layer"], "logq_warmup": warmup}}
        return make(system, part, trial, choice, steps, threads, seed)

    tried = choices(problem, rates, regularise, regularise and system in CORRECTABLE)
    return tune(
        build, problem, tried, epochs=tune_epochs, seed=seed, seconds=seconds,
        batch_size=chosen["batch_size"], add=lambda **line: add("trial", system=system, **(fields or {}), **line),
    )  # fmt: skip


def tuned_run(system, problem, add, chosen, *, rates, epochs, tune_epochs, threads, seed, evaluations=10, seconds=None,
              early=False, fields=None, choice=None, regularise=True, seeds=1):  # fmt: skip
    """Tunes a system of `settings` (see `choices`) unless its `choice` is given, and trains it with so many seeds, from
    `seed` on.

    add(record, **line) takes "trial" and "evaluation" lines, which carry the system and `fields`; evaluations their
    seed, too.
    """
    if choice is None:
        choice = tuned(system, problem, add, chosen, rates=rates, tune_epochs=tune_epochs, threads=threads, seed=seed,
                       seconds=seconds, fields=fields, regularise=regularise)  # fmt: skip
    steps, fields = n_batches(problem, epochs, chosen["batch_size"]), {"system": system, **(fields or {})}
    for each in range(seed, seed + seeds):
        add_one = partial(add, "evaluation", seed=each, **fields, **choice)
        train(make(system, problem, chosen, choice, steps, threads, each), problem, steps, add_one,
              evaluations=evaluations, seconds=seconds, early=early)  # fmt: skip


def choice_of(line) -> dict:
    """The choice with which the network of an evaluation line was trained."""
    return {name: line[name] for name in ("lr", *PLAIN, "logq_correction") if name in line}


def seconds_to(lines, target) -> float | None:
    """The training seconds at the first evaluation at the target or above."""
    return next((line["seconds"] for line in lines if line["p1"] >= target), None)


def best(lines) -> float:
    return max((line["p1"] for line in lines), default=0.0)
