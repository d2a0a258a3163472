"""The networks that are trained: hidden layers of hash tables, and of all nodes behind a gate."""

import numpy as np

from experiments.paper.sparsity_accuracy import choices
from experiments.peers.masked_networks import AllKept, Dropout, MaskedNetwork, NoisyWinners, Standout

GATES = {
    "dropout": lambda share, noise, seed: Dropout(share), "adaptive": lambda share, noise, seed: Standout(share),
    "winners": NoisyWinners, "dense": lambda share, noise, seed: AllKept(),
}  # fmt: skip


def trained(problem, method, chosen, steps, batch, evaluations, threads, seed, share, lr, tables=None,
            noise=0.0) -> list:  # fmt: skip
    """Step, loss, scores and what was kept, at evenly spread batches, the last among them."""
    if method == "lsh":
        network = Hashed(problem, chosen["tables"][tables], share, lr, steps, batch, chosen, threads, seed)
    else:
        network = Masked(problem, method, share, noise, lr, steps, batch, chosen, seed)
    marks = set(np.linspace(0, steps, evaluations + 1)[1:].round().astype(int).tolist())
    found = []

    def after_batch(inner, loss):
        if inner.step in marks:
            found.append({"step": inner.step, "loss": float(loss), **network.scores(*problem.test)})

    network.fit(*problem.train, steps, after_batch)
    return found


class Hashed:
    """The package's network with sampled hidden layers."""

    def __init__(self, problem, tables, share, lr, steps, batch, chosen, threads, seed):
        from slide import Adam, Dense, Network, Schedule

        self.share, self.probe = share, chosen["probe"]
        hidden = choices.layer(tables, chosen, share)
        self.network = Network(
            problem.n_features, [hidden, hidden, Dense(problem.n_labels)], optimizer=Adam(lr=lr), group_size=1,
            schedule=Schedule("linear", steps=steps), batch_size=batch, seed=seed, threads=threads,
        )  # fmt: skip

    def fit(self, X, Y, steps, callback):
        self.network.fit(X, Y, steps=steps, callback=callback)

    def scores(self, X, Y) -> dict:
        """P@1 by the nodes that the tables find and by all; the share of each layer's in the last batch; what the
        tables hold (`choices.held`) as training left them, between two rebuilds or after one."""
        active = [layer.active / layer.n_neurons for layer in self.network.layers[:-1]]
        held = choices.held(self.network, X[: self.probe], self.share)
        sparse, exact = (self.network.evaluate(X, Y, ks=(1,), sampled=kind).scores["P@1"] for kind in (True, False))
        return {"p1": sparse, "p1_exact": exact, "active": active, "work": choices.work(self.network), **held}


class Masked:
    """A network that computes all nodes, by the gate of its method."""

    def __init__(self, problem, method, share, noise, lr, steps, batch, chosen, seed):
        widths = [problem.n_features, chosen["width"], chosen["width"], problem.n_labels]
        self.network = MaskedNetwork(widths, lambda: GATES[method](share, noise, seed), lr=lr, steps=steps, seed=seed)
        self.batch = batch

    def fit(self, X, Y, steps, callback):
        self.network.fit(X, Y.indices, steps, self.batch, callback)

    def scores(self, X, Y) -> dict:
        """P@1, the share of each layer's nodes in the last batch, and of winner-take-all what it kept of the true
        winners of the test rows."""
        active, gates = list(self.network.active), self.network.gates
        before = [len(getattr(gate, "recall", ())) for gate in gates]
        found = {"p1": float((self.network.predict(X) == Y.indices).mean()), "active": active}
        if hasattr(gates[0], "recall"):
            found["recall"] = [float(np.mean(gate.recall[n:])) for gate, n in zip(gates, before, strict=True)]
        return found
