"""Test accuracy against the share of active nodes: hash tables, dropout, adaptive dropout, winner-take-all.

After Spring & Shrivastava, KDD 2017, whose two hidden layers of 1,000 ReLU nodes and softmax all methods have here,
with the same initial deviations, inputs of unit norm, Adam with a rate that falls linearly to zero, batches and epochs.
The rate of a method on a set is the best of three on held-out training rows: one tuned at the lowest share, for shares
of at most 10 %, and one tuned at 25 %, for the others (the paper too has larger rates for few active nodes).

LSH is this package's `Sampled` as hidden layers: SimHash with the paper's K = 6 bits and its released code's L = 100
tables, the most frequent neurons up to the share ("topk"), a set for each sample (group_size 1) and no random ones
(min_active 0): near 90 % the tables find fewer than are asked for, and the record has what they found. Its test
pass is sparse too, which is the paper's claim of cheap inference (`sampled=True`); the scores of the same network with
all of its nodes, the default of `evaluate`, are on record beside them. Differs from the paper: the hashed input is not
pooled, batches and Adam (the paper's: one sample, momentum and Adagrad).

The others compute every node (peers/masked_networks.py); in a test winner-take-all keeps its share, and both dropouts
have all nodes, scaled. MNIST is mnist/mnist.npz in the folder that SLIDE_DATA names or in shared/data; where it is
missing it is left out and the record says so. Rectangles and Convex are drawn (frame/binary_images.py): Rectangles is
the plain set, with as many training rows as the paper's, which has textures from photographs.
"""

import numpy as np

from experiments.frame import binary_images, draw, mnist
from experiments.frame.claims import judged
from experiments.frame.problems import Problem, find, one_hot
from experiments.frame.records import of
from experiments.frame.training import held_out, n_batches
from experiments.peers.masked_networks import AllKept, Dropout, MaskedNetwork, Standout, Winners

QUESTION = "How accurate is a network with few active nodes, if hash tables, chance or the activations choose them?"
FIGURE = 'talk: "We can go very sparse if Adaptive"; KDD 2017, accuracy by active nodes'
PAPER = (
    "With 5 % of the nodes active LSH is within 1 % of the dense network on average, in training and in inference, "
    "where dropout at random falls off (KDD 2017, abstract; the talk has no numbers on its curves)"
)
CLAIMS = ("few_neurons", "sparse")
TIME = {"smoke": "5 s", "small": "8 min", "paper": "20 h"}

SETS = {"mnist": "MNIST", "rectangles": "Rectangles", "convex": "Convex"}
GENERATED = {"rectangles": binary_images.rectangles, "convex": binary_images.convex}
_SHARES = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9]
# sets: training rows, test rows and epochs; tune: epochs of a trial; evaluations: in a run.
SETTINGS = {
    "smoke": dict(
        width=60, shares=[0.05, 0.25, 0.9], rates=[1e-3, 3e-3], tune=1, batch=32, evaluations=2, K=3, L=10, N0=5,
        sets={"mnist": [300, 200, 2], "rectangles": [300, 200, 2], "convex": [300, 200, 2]},
    ),
    "small": dict(
        width=1000, shares=_SHARES, rates=[1e-3, 1e-2, 3e-2], tune=2, batch=64, evaluations=3, K=6, L=100, N0=10,
        sets={"mnist": [3000, 3000, 6], "rectangles": [2000, 3000, 6], "convex": [2000, 3000, 6]},
    ),
    "paper": dict(
        width=1000, shares=_SHARES, rates=[1e-3, 1e-2, 3e-2], tune=5, batch=64, evaluations=25, K=6, L=100, N0=50,
        sets={"mnist": [60_000, 10_000, 25], "rectangles": [12_000, 50_000, 25], "convex": [8000, 50_000, 25]},
    ),
}  # fmt: skip
FEW, TUNED_AT = 0.1, 0.25  # shares up to FEW have a rate of their own
GATES = {"dropout": Dropout, "adaptive": Standout, "winners": Winners, "dense": lambda share: AllKept()}
METHODS = ("lsh", *GATES)
NAMES = {
    "lsh": "LSH", "dropout": "dropout", "adaptive": "adaptive dropout", "winners": "winner-take-all",
    "dense": "dense network",
}  # fmt: skip
NEAR = 0.01  # of the dense network's accuracy


def run(scale, records, threads, seed):
    chosen, problems = SETTINGS[scale], {}
    for name, (n_train, n_test, _) in chosen["sets"].items():
        if name in GENERATED or find(mnist.FILE):
            problems[name] = load(name, n_train, n_test, seed)
            records.add("data", **problems[name].facts())
        else:
            records.add("note", text=f"{name} is left out: no {mnist.FILE} in SLIDE_DATA or shared/data")
    for setting in records.pending([{"data": name, "method": method} for name in problems for method in METHODS]):
        measure(problems[setting["data"]], setting["method"], chosen, records.add, threads, seed)


def load(name, n_train, n_test, seed) -> Problem:
    """Images as float32 rows of unit norm and one label each, CSR; of MNIST at most what there is."""
    from slide.metrics import popularity_baseline

    if name in GENERATED:
        parts = [GENERATED[name](n, (seed, which)) for which, n in enumerate((n_train, n_test))]
    else:
        X, y, X_test, y_test = mnist.arrays()
        parts = [(X, y), (X_test, y_test)]
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(y))[:n] for (_, y), n in zip(parts, (n_train, n_test), strict=True)]
        parts = [(X[order], y[order]) for (X, y), order in zip(parts, orders, strict=True)]
    n_classes = 1 + max(int(y.max()) for _, y in parts)
    train, test = ((unit_rows(X), one_hot(y, n_classes)) for X, y in parts)
    return Problem(name, SETS[name], train, test, popularity_baseline(train[1], test[1])["P@1"])


def unit_rows(X):
    X = X.astype(np.float32)
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)


def measure(problem, method, chosen, add, threads, seed):
    """Tunes a method on a set and trains it at every share; adds "trial" and "evaluation" lines."""
    from threadpoolctl import threadpool_limits

    about = {"data": problem.name, "method": method}
    part, epochs = held_out(problem, problem.train[0].shape[0], seed), chosen["sets"][problem.name][-1]

    def train(part, share, lr, epochs, evaluations):
        steps = n_batches(part, epochs, chosen["batch"])
        network = (Hashed if method == "lsh" else Masked)(part, method, share, lr, steps, chosen, threads, seed)
        return train_and_evaluate(network, part, steps, evaluations)

    with threadpool_limits(threads, "blas"):
        for tuned_at, shares in groups(chosen["shares"] if method != "dense" else [1.0]):
            scores = {}
            for lr in chosen["rates"]:
                scores[lr] = train(part, tuned_at, lr, chosen["tune"], 1)[-1]["p1"]
                add("trial", **about, share=tuned_at, lr=lr, p1=scores[lr])
            lr = max(scores, key=scores.get)
            for share in shares:
                for line in train(problem, share, lr, epochs, chosen["evaluations"]):
                    add("evaluation", **about, share=share, lr=lr, **line)


def groups(shares) -> list[tuple]:
    """(the share at which the rate is tuned, the shares that have this rate)."""
    parts = [share for share in shares if share <= FEW], [share for share in shares if share > FEW]
    near = [(part, at) for part, at in zip(parts, (0.0, TUNED_AT), strict=True) if part]
    return [(min(part, key=lambda share, at=at: abs(share - at)), part) for part, at in near]


def train_and_evaluate(network, problem, steps, evaluations) -> list[dict]:
    """Step, samples, loss and scores at evenly spread batches, the last among them."""
    marks = set(np.linspace(0, steps, evaluations + 1)[1:].round().astype(int).tolist())
    found = []

    def after_batch(inner, loss):
        if inner.step in marks:
            found.append({"step": inner.step, "loss": loss, **network.scores(*problem.test)})

    network.fit(*problem.train, steps, after_batch)
    return found


class Hashed:
    """The package's network with sampled hidden layers."""

    def __init__(self, problem, method, share, lr, steps, chosen, threads, seed):
        from slide import Adam, Dense, Network, RehashSchedule, Sampled, Schedule

        self.width = chosen["width"]
        hidden = Sampled(
            self.width, sampler="topk", active=max(1, round(share * self.width)), min_active=0, hash="simhash",
            K=chosen["K"], L=chosen["L"], bucket_size=self.width, rehash=RehashSchedule(chosen["N0"]),
        )  # fmt: skip
        self.network = Network(
            problem.n_features, [hidden, hidden, Dense(problem.n_labels)], optimizer=Adam(lr=lr), group_size=1,
            schedule=Schedule("linear", steps=steps), batch_size=chosen["batch"], seed=seed, threads=threads,
        )  # fmt: skip

    def fit(self, X, Y, steps, callback):
        self.network.fit(X, Y, steps=steps, callback=callback)

    def scores(self, X, Y) -> dict:
        """P@1 by the nodes that the tables find and by all; the share of each layer's in the last batch."""
        active = [layer.active / self.width for layer in self.network.layers[:-1]]
        sparse, exact = (self.network.evaluate(X, Y, ks=(1,), sampled=kind).scores["P@1"] for kind in (True, False))
        return {"p1": sparse, "p1_exact": exact, "active": active}


class Masked:
    """A network that computes all nodes, by the gate of its method."""

    def __init__(self, problem, method, share, lr, steps, chosen, threads, seed):
        widths = [problem.n_features, chosen["width"], chosen["width"], problem.n_labels]
        self.network = MaskedNetwork(widths, lambda: GATES[method](share), lr=lr, steps=steps, seed=seed)
        self.batch = chosen["batch"]

    def fit(self, X, Y, steps, callback):
        self.network.fit(X, Y.indices, steps, self.batch, callback)

    def scores(self, X, Y) -> dict:
        """P@1, and the share of each layer's nodes in the last batch."""
        active = list(self.network.active)
        return {"p1": float((self.network.predict(X) == Y.indices).mean()), "active": active}


def final(records, data, method, share) -> dict:
    """The last evaluation of a run."""
    return of(records, "evaluation", data=data, method=method, share=share)[-1]


def at_the_lowest(records) -> dict:
    """{data: {method: its last evaluation with the fewest active nodes}}; of the dense network, with all."""
    low = records[0]["settings"]["shares"][0]
    return {data["name"]: {m: final(records, data["name"], m, 1.0 if m == "dense" else low) for m in METHODS}
            for data in of(records, "data")}  # fmt: skip


def verdicts(records) -> dict:
    """By activations, and by hash tables: on each set within `NEAR` of the dense network, and above dropout."""
    p1 = [{m: line["p1"] for m, line in found.items()} for found in at_the_lowest(records).values()]
    near = {m: [x["dense"] - x[m] <= NEAR and x[m] > x["dropout"] for x in p1] for m in METHODS if m != "dropout"}
    worst = max(x["dense"] - x["lsh"] for x in p1)
    above, low = sum(x["lsh"] > x["dropout"] for x in p1), records[0]["settings"]["shares"][0]
    few = (
        f"with {100 * low:g} % of the nodes winner-take-all is within {100 * NEAR:g} point of the dense network on "
        f"{sum(near['winners'])} of {len(p1)} data sets, adaptive dropout on {sum(near['adaptive'])}"
    )
    tables = (
        f"LSH with {100 * low:g} % of the nodes is within {100 * NEAR:g} point of the dense network on "
        f"{sum(near['lsh'])} of {len(p1)} data sets (at most {100 * worst:.1f} points below) and above dropout at "
        f"random on {above}"
    )
    return {"few_neurons": judged([*near["winners"], *near["adaptive"]], few), "sparse": judged(near["lsh"], tables)}


def finding(records) -> str:
    words, measured = [], []
    for data, at in zip(of(records, "data"), at_the_lowest(records).values(), strict=True):
        p1 = {m: line["p1"] for m, line in at.items()}
        measured += at["lsh"]["active"]
        words.append(
            f"{data['title']} {p1['lsh']:.3f} (dense {p1['dense']:.3f}, dropout {p1['dropout']:.3f}, adaptive "
            f"{p1['adaptive']:.3f}, winner-take-all {p1['winners']:.3f}; all nodes of the LSH network "
            f"{at['lsh']['p1_exact']:.3f})"
        )
    return (
        f"P@1 of LSH at the end of training: {'; '.join(words)}. Active nodes of LSH as measured: "
        f"{100 * np.mean(measured):.1f} %."
    )


def plot(records):
    sets, shares = of(records, "data"), records[0]["settings"]["shares"]
    figure, axes = draw.panels(len(sets), QUESTION, width=4)
    for axis, data in zip(axes, sets, strict=True):
        for number, method in enumerate(m for m in METHODS if m != "dense"):
            lines = [final(records, data["name"], method, share) for share in shares]
            draw.curve(axis, lines, "share", "p1", **draw.series(number, NAMES[method]))
            if method == "lsh":
                look = {**draw.series(number, "LSH, all nodes in the test"), "linestyle": "--", "markerfacecolor": "w"}
                draw.curve(axis, lines, "share", "p1_exact", **look)
        dense = final(records, data["name"], "dense", 1.0)["p1"]
        axis.axhline(dense, color=draw.COLOURS["torch"], linewidth=1.2, label=NAMES["dense"])
        draw.popularity(axis, data)
        low = min(min(line.get_ydata()) for line in axis.get_lines())
        draw.accuracy(axis, "active nodes of a hidden layer (%, log scale)")
        axis.set(xscale="log", title=f"{data['title']}, {data['n_train']:,} training rows", ylim=(low - 0.04, 1.02))
        # The last two ticks are too near for both to have a label.
        axis.set_xticks(shares, [f"{100 * share:g}" if share != shares[-2] else "" for share in shares])
        axis.minorticks_off()
    draw.legend(figure, axes[0])
    return figure
