"""What each process of the experiment measures; each function yields lines of the record."""

import time

import numpy as np

from experiments.frame.mnist import mnist
from experiments.frame.training import n_batches, train, tune
from experiments.paper.asynchronous import conflicts
from experiments.paper.asynchronous.networks import network
from experiments.paper.asynchronous.workers import measured_delays, train_late


def rate(chosen, system, part, seed):
    """Yields trials on held-out rows, of one thread and in order, and the best rate: of a `part` of SETTINGS."""
    sizes, data, out = chosen[part], mnist(seed, chosen["n_train"]), []
    lr = tune(
        lambda choice, rows, steps: network(system, chosen, rows, choice["lr"], steps, 1, seed, batch=sizes["batch"]),
        data, [{"lr": lr} for lr in sizes["rates"][system]], epochs=sizes["tune_epochs"][system], seed=seed,
        rows=chosen["n_tune"], batch_size=sizes["batch"], add=lambda **line: out.append({"record": "trial", **line}),
    )["lr"]  # fmt: skip
    yield from out
    yield {"record": "rate", "lr": lr}


def hogwild(chosen, system, threads, seed, lr):
    """Yields evaluations of a training without locks, its seconds by stage, and the conflicts in a batch of it."""
    from slide.machine.threads import available_threads

    sizes, data, out = chosen["hogwild"], mnist(seed, chosen["n_train"]), []
    epochs = sizes["epochs"][system]
    steps = n_batches(data, epochs, sizes["batch"])
    trained = network(system, chosen, data, lr, steps, threads, seed, batch=sizes["batch"])
    lines = train(trained, data, steps, lambda **line: out.append(line) or line, evaluations=max(1, round(epochs)))
    for number, line in enumerate(lines):
        yield {"record": "evaluation", **line, "epoch": epochs * (number + 1) / len(lines)}
    stages = {name: 1e3 * seconds / steps for name, seconds in trained.context.clock.seconds.items()}
    total = 1e3 * lines[-1]["seconds"] / steps
    yield {"record": "stages", "ms": {**stages, "the rest": total - sum(stages.values())}, "cpus": available_threads()}
    if system != "matrix":
        yield from conflicts_of(trained, data, sizes, threads)


def conflicts_of(trained, data, sizes, threads):
    """Yields one line per hidden layer: shares of a batch's additions that meet another's, and those that are lost."""
    from scipy import sparse

    from slide.rows import as_sparse_rows

    batch = min(sizes["batch"], data.train[0].shape[0])
    rows = as_sparse_rows(data.train[0][:batch], "X", data.n_features).normalized()
    for layer, (active, columns) in enumerate(conflicts.rows_and_columns(trained, rows)):
        whole_rows = sparse.csr_array(np.ones((batch, 1), np.float32))
        yield {
            "record": "conflicts", "layer": layer,
            "rows_in_work": conflicts.shared(active, whole_rows, threads, threads),
            "rows_in_batch": conflicts.shared(active, whole_rows, threads, batch),
            "weights_in_work": conflicts.shared(active, columns, threads, threads),
            "weights_in_batch": conflicts.shared(active, columns, threads, batch),
            **conflicts.lost(active, columns, trained.layers[layer].n_neurons, threads, repeats=sizes["repeats"]),
        }  # fmt: skip


def delays(chosen, system, threads, seed, lr):
    """Yields how late gradients of real threads came, in batches."""
    sizes, data = chosen["late"], mnist(seed, chosen["n_train"])
    made = network(system, chosen, data, lr, sizes["delays"], 1, seed, "rows", sizes["batch"])
    found = measured_delays(made, data, sizes["batch"], threads, sizes["delays"], seed)
    yield {"record": "delays", "late": found[threads:]}  # the first of each thread began together


def late(chosen, system, workers, seed, lr, relative):
    """Yields the evaluation of a training by so many workers; relative: see `train_late`."""
    from slide.machine.threads import available_threads

    sizes, data = chosen["late"], mnist(seed, chosen["n_train"])
    steps = n_batches(data, sizes["epochs"][system], sizes["batch"])
    made = network(system, chosen, data, lr, steps, available_threads(), seed, "rows", sizes["batch"])
    start = time.perf_counter()
    found = train_late(made, data, sizes["batch"], steps, workers, relative, seed)
    p1 = made.evaluate(*data.test, ks=(1,)).scores["P@1"]
    yield {
        "record": "late", "p1": p1, "seconds": time.perf_counter() - start, "mean": float(np.mean(found)),
        "most": max(found),
    }  # fmt: skip
