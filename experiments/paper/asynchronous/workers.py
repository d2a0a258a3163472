"""Workers that share weights and tables, each with a batch of its own: how late their gradients come, and what of it.

A gradient is `d` batches late if d others were applied between the moment its worker began and its own turn.
"""

import heapq
import threading
from copy import copy
from itertools import count

import numpy as np


class Worker:
    """Computes on the weights, moments and tables of a network of `Sampled` layers, with scratch of its own, so that
    its gradient waits while others change them."""

    def __init__(self, network):
        self.layers = [twin(layer) for layer in network.layers]

    def gradient(self, rows, labels, step, rate):
        """(loss, Commit) of a batch, SparseRows both: `run` of the commit applies it to the weights as they are then,
        and comes before the worker's next batch."""
        from slide.state.commit import Commit

        *hidden, output = self.layers
        commit, x = Commit(), rows
        for layer in hidden:
            x = layer.forward(x, step, commit)
        loss = output.learn(x, labels, step, rate, commit)
        dy = output.gradient()
        for layer in reversed(hidden):
            dy = layer.backward(dy)
        for layer in hidden:
            layer.update(step, rate, commit)
        return loss, commit


def twin(layer):
    """The same layer, of the same arrays, with scratch of its own."""
    from slide.machine.memory import Scratch

    own, parameters = copy(layer), copy(layer.parameters)
    own._scratch, parameters._scratch = Scratch(), Scratch()
    own._parameters = parameters
    return own


def batches(network, data, size, seed):
    """Yields (rows, labels) of `size` samples for ever, in an order that the seed decides."""
    from slide.rows import as_label_rows, as_sparse_rows

    X, Y = data.train
    rows = as_sparse_rows(X, "X", network.n_features).normalized()
    labels = as_label_rows(Y, len(rows), network.n_labels)
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(rows))
        for low in range(0, len(order), size):
            some = order[low : low + size]
            yield rows.take(some), labels.take(some)


def measured_delays(network, data, size, threads, steps, seed=0) -> list[int]:
    """How late each gradient was when so many real threads, with a worker each, learnt `steps` batches together.

    Tables stay as they are. Threads of Python take turns where they are in Python, and run side by side in kernels.
    """
    found, applied, left, error = [], count(), iter(range(steps)), []
    lock, done = threading.Lock(), [0]
    given = batches(network, data, size, seed)

    def work():
        worker = Worker(network)
        try:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                    batch, start = next(given), done[0]
                _, commit = worker.gradient(*batch, network.step + 1, network.schedule.rate(network.step + 1))
                with lock:
                    found.append(done[0] - start)
                    done[0] = next(applied) + 1
                commit.run()
        except Exception as failed:  # a thread's own would be lost
            error.append(failed)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if error:
        raise error[0]
    return found


def train_late(network, data, size, steps, workers, delays, seed) -> list[int]:
    """Trains for `steps` batches as so many workers would; returns how late each gradient was.

    delays: of real threads, divided by how many others there were; one is drawn for each gradient and multiplied by
    the other workers here. A gradient is computed with the weights of its beginning, and applied when it is due; the
    last ones at the end. Nothing is lost, and all is a function of the seed. Sets the network's weights and tables.
    """
    rng, given, lateness, waiting, free = np.random.default_rng(seed), batches(network, data, size, seed), [], [], []
    applied = 0
    for step in range(1, steps + 1):
        for layer in network.layers:
            layer.settle(step - 1)
        worker = free.pop() if free else Worker(network)
        _, commit = worker.gradient(*next(given), step, network.schedule.rate(step))
        late = rng.choice(delays) * (workers - 1)
        late = int(late) + int(rng.random() < late % 1)
        heapq.heappush(waiting, (step + late, step, applied, commit, worker))
        while waiting and (waiting[0][0] <= step or step == steps):
            _, _, before, due, done = heapq.heappop(waiting)
            due.run()
            lateness.append(applied - before)
            applied += 1
            free.append(done)
    return lateness
