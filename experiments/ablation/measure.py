"""Trains the variants of an ablation and records what came of them."""

import re
import time
from dataclasses import replace

import numpy as np

from experiments.ablation.variants import check, complete, in_words, variants
from experiments.frame import machine, problems, records
from experiments.frame.retrieval import retrieval
from slide.data import load
from slide.defaults import make_network
from slide.metrics import parts_of, popularity_baseline, row_scores
from slide.rows import as_label_rows
from slide.validation import held_out

PROBED = 500  # rows whose true top neurons are looked for in the tables
TOP = 10


def read(names, seed: int):
    """The problem of --data: the name of a set that experiments know, or a training and perhaps a test file."""
    if len(names) == 1 and (names[0] in problems.STAND_INS or names[0] == problems.TINY):
        return problems.problem(names[0], seed)
    if len(names) > 2:
        raise ValueError(f"--data: found {len(names)} names, expected a set, or a training and perhaps a test file")
    train = load(names[0])
    test = load(names[1], n_features=train[0].shape[1], n_labels=train[1].shape[1]) if len(names) == 2 else None
    popular = popularity_baseline(train[1], test[1])["P@1"] if test else float("nan")
    return problems.Problem(names[0], names[0], train, test, popular)


def with_held_out(problem, seed: int):
    """The problem with some of its training rows in the place of the test set."""
    X, Y = problem.train
    kept, held = held_out(X.shape[0], seed=seed)
    popular = popularity_baseline(Y[kept], Y[held])["P@1"]
    return replace(problem, train=(X[kept], Y[kept]), test=(X[held], Y[held]), popularity=popular)


def ablate(path, data, base: dict, vary: dict, *, cross=False, seeds=3, metric="P@1", on_test=False, threads=1, seed=0,
           again=False):  # fmt: skip
    """Writes the records of all variants to `path`, going on where an earlier run of the same was interrupted."""
    parts_of(metric, "--metric")
    problem = read(data, seed)
    if on_test and problem.test is None:
        raise ValueError("--test: found no test file in --data, expected one")
    problem = problem if on_test else with_held_out(problem, seed)
    changes = variants(base, vary, cross)
    check(problem, base, changes)  # before anything is trained
    settings = {"data": list(data), "base": base, "vary": vary, "cross": cross, "seeds": seeds, "metric": metric,
                "on_test": on_test}  # fmt: skip
    header = {"experiment": "ablate", "scale": "ablate", "threads": threads, "seed": seed, "settings": settings}
    grid = [{"change": change, "seed": seed + i} for i in range(seeds) for change in changes]
    with records.Records(path, {**header, **machine.facts()}, again) as log:
        if not log.of("data"):
            log.add("data", **problem.facts())
        for setting in log.pending(grid, "ablate"):
            log.add("result", **setting, **one(problem, base, setting["change"], setting["seed"], metric, threads))
    return path


def one(problem, base, change, seed, metric, threads) -> dict:
    """What a variant comes to: its metric, ms per sample of training, active neurons, what its tables find."""
    settings = complete(problem, base, change)
    (X, Y), (X_test, Y_test) = problem.train, problem.test
    steps = settings["epochs"] * -(-X.shape[0] // settings["batch_size"])
    network = make_network(X.shape[1], Y.shape[1], steps, {**settings, "seed": seed, "threads": threads})
    active = []
    start = time.perf_counter()
    network.fit(X, Y, steps=steps, callback=lambda network, loss: active.append(network.active))
    ms = 1e3 * (time.perf_counter() - start) / network.samples
    labels = as_label_rows(Y_test, X_test.shape[0], Y.shape[1])
    k = max(k for _, k in parts_of(metric))
    ids, _ = network.predict(X_test, k)
    ids = np.pad(ids, ((0, 0), (0, k - ids.shape[1])), constant_values=-1)
    found = {metric: float(row_scores(labels, ids, metric).mean()), "ms": ms, "active": float(np.mean(active))}
    if len(network.layers) == 2 and getattr(network.layers[-1], "index", None) is not None:
        probed = retrieval(network, problem, min(PROBED, X_test.shape[0]), (TOP,), rebuild=False)
        found |= {"recall": probed["recall"][0], "retrieved": probed["retrieved"]}
    return found


def name_of(data, vary) -> str:
    """The stem of the files of an ablation."""
    return re.sub(r"[^\w.-]+", "_", "-".join(["ablate", str(data[0]).rsplit("/", 1)[-1], *vary]))


def summary(lines) -> list[dict]:
    """A line per variant: its change, in words, and of each measurement the mean and the spread, highest less lowest,
    over the seeds."""
    metric = lines[0]["settings"]["metric"]
    out = []
    for change in dict.fromkeys(in_words(line["change"]) for line in records.of(lines, "result")):
        own = [line for line in records.of(lines, "result") if in_words(line["change"]) == change]
        row = {"change": own[0]["change"], "words": change, "seeds": len(own)}
        for name in (metric, "ms", "active", "recall", "retrieved"):
            values = [line[name] for line in own if name in line]
            row[name] = (float(np.mean(values)), float(np.ptp(values))) if values else None
        out.append(row)
    return out
