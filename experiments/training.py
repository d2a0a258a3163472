"""What the experiments that train have in common: networks by system, learning rates by trial, evaluations by clock."""

import time
from dataclasses import replace

import numpy as np

SAMPLERS = {"slide": "vanilla", "slide-plain": "vanilla", "uniform": "uniform", "full": "full"}
PLAIN = {"dropout": 0.0, "label_smoothing": 0.0}
FULL = ("full", "torch")  # systems that compute every neuron


def settings(system, problem, layer=None, **changes) -> dict:
    """What a system is on a problem: the recommended settings, but for `layer` (of Sampled) and `changes` (of Network,
    and `hidden`, the widths before the softmax)."""
    from slide.defaults import recommended

    advice = recommended(problem.train[0].shape[0], problem.n_labels, layer)
    last = {name: advice[name] for name in ("hash", "K", "L", "active")}
    return {
        "hidden": [128], "batch_size": 256, "group_size": 32, **regularisations(system, problem)[0], **changes,
        "layer": {**last, "sampler": SAMPLERS.get(system, "vanilla"), **(layer or {})},
    }  # fmt: skip


def regularisations(system, problem) -> list[dict]:
    """Dropout and smoothing of a system: what it has, and then what else is to be tried on held-out rows.

    A system that samples has both where smoothing is recommended, on small data, and neither elsewhere. That advice
    is not made for the full softmax: it has neither, and where the others have both that is tried too.
    """
    from slide.defaults import recommended

    advice = recommended(problem.train[0].shape[0], problem.n_labels)
    own = {name: advice[name] for name in PLAIN} if advice["label_smoothing"] > 0 else PLAIN
    if system not in FULL:
        return [own]
    return [PLAIN] if own == PLAIN else [PLAIN, own]


def choices(system, problem, rates) -> list[dict]:
    """What is tried on held-out rows: every rate ("lr"), and with it what there is to try of dropout and smoothing."""
    return [{"lr": rate, **more} for more in ({}, *regularisations(system, problem)[1:]) for rate in rates]


def network(problem, chosen, lr, steps, threads, seed):
    """The network of `settings`, with a linear schedule over `steps` batches."""
    from slide import Adam, Dense, Network, Sampled, Schedule

    rest = {name: value for name, value in chosen.items() if name not in ("hidden", "layer")}
    layers = [*(Dense(width) for width in chosen["hidden"]), Sampled(problem.n_labels, **chosen["layer"])]
    return Network(
        problem.n_features, layers, optimizer=Adam(lr=lr), schedule=Schedule("linear", steps=max(steps, 1)), seed=seed,
        threads=threads, **rest,
    )  # fmt: skip


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


def train(network, problem, steps, add, *, evaluations=10, seconds=None, early=False) -> list[dict]:
    """Trains for `steps` batches and stops the clock for evaluations on the whole test set; returns them.

    add(step=, samples=, seconds=, p1=, active=, loss=) takes each evaluation; they are spread evenly, or, early,
    by equal factors from a fiftieth of the steps on. seconds: training ends with the evaluation after so many.
    """
    even, by_factors = np.linspace(0, steps, evaluations + 1)[1:], np.geomspace(max(1, steps / 50), steps, evaluations)
    marks = set((by_factors if early else even).round().astype(int).tolist())
    done, spent, start = [], 0.0, 0.0

    def after_batch(network, loss):
        nonlocal spent, start
        elapsed = spent + time.perf_counter() - start
        over = seconds is not None and elapsed >= seconds
        if network.step in marks or over:
            spent = elapsed
            score = network.evaluate(*problem.test, ks=(1,)).scores["P@1"]
            done.append(add(
                step=network.step, samples=network.samples, seconds=spent, p1=score, active=network.active, loss=loss,
            ))  # fmt: skip
            start = time.perf_counter()
        return over

    start = time.perf_counter()
    network.fit(*problem.train, steps=steps, callback=after_batch)
    return done


def tuned_run(system, problem, add, chosen, *, rates, epochs, tune_epochs, threads, seed, evaluations=10, seconds=None,
              early=False, fields=None):  # fmt: skip
    """Tunes a system of `settings` (see `choices`) and trains it; returns its evaluations.

    add(record, **line) takes "trial" and "evaluation" lines, which carry the system and `fields`.
    """
    fields, size = {"system": system, **(fields or {})}, chosen["batch_size"]

    def build(choice, part, steps):
        regular = {name: value for name, value in choice.items() if name != "lr"}
        return network(part, {**chosen, **regular}, choice["lr"], steps, threads, seed)

    choice = tune(
        build, problem, choices(system, problem, rates), epochs=tune_epochs, seed=seed, batch_size=size,
        seconds=seconds, add=lambda **line: add("trial", **fields, **line),
    )  # fmt: skip
    steps = n_batches(problem, epochs, size)
    return train(
        build(choice, problem, steps), problem, steps, lambda **line: add("evaluation", **fields, **choice, **line),
        evaluations=evaluations, seconds=seconds, early=early,
    )  # fmt: skip


def seconds_to(lines, target) -> float | None:
    """The training seconds at the first evaluation at the target or above."""
    return next((line["seconds"] for line in lines if line["p1"] >= target), None)


def best(lines) -> float:
    return max((line["p1"] for line in lines), default=0.0)
