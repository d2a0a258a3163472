"""Test accuracy against the share of active nodes: hash tables, dropout, adaptive dropout, winner-take-all; and against
the share of the true winners that the tables hold.

After Spring & Shrivastava, KDD 2017, whose two hidden layers of 1,000 ReLU nodes and softmax all methods have here,
with inputs of unit norm, Adam with a rate that falls linearly to zero, batches and epochs. The rate of a method on a
set is the best of SETTINGS["rates"] on held-out training rows: one tuned at the lowest share, for shares of at most
10 %, and one tuned at 25 %, for the others (the paper too has larger rates for few active nodes). Seeds decide rows,
weights and order; what is compared by its accuracy has all of them, the other tables and winner-take-all with noise
one.

LSH is this package's `Sampled` as hidden layers: the most frequent neurons up to the share ("topk"), a set for each
sample (group_size 1) and no random ones (min_active 0). SETTINGS["tables"] are tried at the lowest share; of these a
set has the best on held-out rows at the higher shares and in the verdict. "as published" has SimHash with the paper's
K = 6 bits and its released code's L = 100 tables. Its test pass is sparse too, which is the paper's claim of cheap
inference (`sampled=True`); the scores of the same network with all of its nodes, the default of `evaluate`, are on
record beside them. Labels cannot join the active sets of hidden layers; the softmax has all of its nodes. Differs from
the paper: the hashed input is not pooled, batches and Adam (the paper's: one sample, momentum and Adagrad).

The others compute every node (peers/masked_networks.py); in a test winner-take-all keeps its share, and both dropouts
have all nodes, scaled. Winner-take-all by inputs with noise chooses as badly as tables do, without any: where LSH is
no further from the dense network than it, the share of the winners is what LSH lacks. MNIST is mnist/mnist.npz in the
folder that SLIDE_DATA names or in shared/data; where it is missing it is left out and the record says so. Rectangles
and Convex are drawn (frame/binary_images.py): Rectangles is the plain set, which in the paper has textures from
photographs.
"""

import itertools

import numpy as np

from experiments.frame import binary_images, mnist
from experiments.frame.claims import judged
from experiments.frame.problems import Problem, find, one_hot
from experiments.frame.training import held_out, n_batches
from experiments.paper.sparsity_accuracy import results, show
from experiments.paper.sparsity_accuracy.results import METHODS, NEAR, SETS, gap

QUESTION = "How accurate is a network with few active nodes, if hash tables, chance or the activations choose them?"
FIGURE = 'talk: "We can go very sparse if Adaptive"; KDD 2017, accuracy by active nodes'
PAPER = (
    "With 5 % of the nodes active LSH is within 1 % of the dense network on average, in training and in inference, "
    "where dropout at random falls off (KDD 2017, abstract; the talk has no numbers on its curves)"
)
CLAIMS = ("few_neurons", "sparse")
TIME = {"smoke": "8 s", "small": "13 min", "paper": "60 h"}

GENERATED = {"rectangles": binary_images.rectangles, "convex": binary_images.convex}
# Names of tables: what Sampled takes, K and L of SimHash where nothing is said; `rehash` what RehashSchedule takes.
TABLES = {
    "as published": dict(K=6, L=100),
    "rehash every 2 batches": dict(K=6, L=100, rehash=dict(N0=2, growth=0.0)),
    "more tables": dict(K=4, L=400),
    "more, MIPS": dict(K=4, L=400, hash="mips"),
    "more, ranged DWTA": dict(K=3, L=400, hash="ranged"),
    "more, inputs centred": dict(K=4, L=400, hash="centred"),
    "more, weights drawn small": dict(K=4, L=400, init_std=0.02),
}
MORE_TABLES = {**TABLES, "three times more, weights drawn small": dict(K=4, L=1200, init_std=0.02)}
_FEW_RATES, _RATES = [3e-3, 1e-2, 3e-2], [1e-3, 3e-3, 1e-2]
# sets: training rows, test rows, epochs and batch; rates: for few active nodes, for more; tune: epochs and most rows of
# a trial; evaluations: in a run; noise: of winner-take-all, in standard deviations of a sample's inputs; probe: test
# rows whose active sets are looked at.
SETTINGS = {
    "smoke": dict(
        width=60, seeds=2, shares=[0.05, 0.25], rates=[[3e-3], [1e-3, 3e-3]], tune=[1, 200], evaluations=2, N0=5,
        noise=[1.0], probe=50, tables={"as published": dict(K=3, L=10), "more, inputs centred": dict(K=2, L=20,
        hash="centred")}, sets={name: [300, 200, 2, 32] for name in SETS},
    ),
    "small": dict(
        width=1000, seeds=3, shares=[0.05, 0.25], rates=[_FEW_RATES[1:], _RATES[1:]], tune=[2, 2000], evaluations=1,
        N0=10, noise=[0.5, 1.5, 4.0], probe=300, tables=TABLES,
        sets={"mnist": [12_000, 2000, 2, 128], "rectangles": [2000, 2000, 6, 64], "convex": [2000, 2000, 6, 64]},
    ),
    "paper": dict(
        width=1000, seeds=3, shares=[0.05, 0.1, 0.25, 0.5, 0.75, 0.9], rates=[_FEW_RATES, _RATES], tune=[5, 10**6],
        evaluations=25, N0=50, noise=[0.3, 0.5, 1.0, 2.0, 4.0], probe=2000, tables=MORE_TABLES,
        sets={"mnist": [60_000, 10_000, 25, 128], "rectangles": [12_000, 50_000, 25, 64],
              "convex": [8000, 50_000, 25, 64]},
    ),
}  # fmt: skip
FEW, TUNED_AT = 0.1, 0.25  # shares up to FEW have a rate of their own


def run(scale, records, threads, seed):
    chosen, there = SETTINGS[scale], []
    for name, (n_train, n_test, *_) in chosen["sets"].items():
        if name in GENERATED or find(mnist.FILE):
            there.append(name)
            records.add("data", **load(name, n_train, n_test, seed).facts())
        else:
            records.add("note", text=f"{name} is left out: no {mnist.FILE} in SLIDE_DATA or shared/data")
    grid = [{"data": name, "method": method} for name in there for method in METHODS]
    for setting in records.pending(grid):
        measure(chosen, records, threads, seed, **setting)


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


def measure(chosen, records, threads, seed, data, method):
    """Tunes a method on a set and trains it at every share with every seed; adds "trial" and "evaluation" lines."""
    from threadpoolctl import threadpool_limits

    from experiments.paper.sparsity_accuracy import systems

    *sizes, epochs, batch = chosen["sets"][data]
    about = {"data": data, "method": method}
    problems = [load(data, *sizes, seed + number) for number in range(chosen["seeds"])]
    part = held_out(problems[0], chosen["tune"][1], seed)

    def train(problem, seed, epochs, evaluations, **what):
        steps = n_batches(problem, epochs, batch)
        return systems.trained(problem, method, chosen, steps, batch, evaluations, threads, seed, **what)

    def tuned(share, tables):
        scores = {}
        for lr in chosen["rates"][share > FEW]:
            scores[lr] = train(part, seed, chosen["tune"][0], 1, share=share, lr=lr, tables=tables)[-1]["p1"]
            records.add("trial", **about, share=share, tables=tables, lr=lr, p1=scores[lr])
        return max(scores, key=scores.get)

    wanted = []
    with threadpool_limits(threads, "blas"):
        for tuned_at, shares in groups(chosen["shares"] if method != "dense" else [1.0]):
            for tables in tables_of(records, chosen, data, method, tuned_at):
                lr = tuned(tuned_at, tables)
                for share in shares:
                    for noise in noises(chosen, method, share):
                        wanted.append(dict(share=share, lr=lr, tables=tables, noise=noise))
        for number, what in itertools.product(range(len(problems)), wanted):
            if number and not compared(records, data, method, **what):
                continue
            for line in train(problems[number], seed + number, epochs, chosen["evaluations"], **what):
                records.add("evaluation", **about, **what, seed=seed + number, **line)


def compared(records, data, method, share, tables, noise, lr) -> bool:
    """Whether a training is compared by its accuracy, with every seed: of the tables those that are best and those as
    published, and winner-take-all without noise. The others, which show what a share of the winners gives, have one."""
    if method != "lsh" or share > results.lowest(records.lines):
        return noise == 0
    return tables in (results.best_tables(records.lines, data), next(iter(records.lines[0]["settings"]["tables"])))


def groups(shares) -> list[tuple]:
    """(the share at which the rate is tuned, the shares that have this rate)."""
    parts = [share for share in shares if share <= FEW], [share for share in shares if share > FEW]
    near = [(part, at) for part, at in zip(parts, (0.0, TUNED_AT), strict=True) if part]
    return [(min(part, key=lambda share, at=at: abs(share - at)), part) for part, at in near]


def tables_of(records, chosen, data, method, share) -> list:
    """Names of tables that a method is trained with: of LSH all at the lowest share, then the best on held-out rows."""
    if method != "lsh":
        return [None]
    return list(chosen["tables"]) if share == min(chosen["shares"]) else [results.best_tables(records.lines, data)]


def noises(chosen, method, share) -> list:
    """Of winner-take-all, at the lowest share, none and those of `chosen`."""
    return [0.0, *(chosen["noise"] if method == "winners" and share == min(chosen["shares"]) else [])]


def verdicts(records) -> dict:
    """By activations, and by hash tables: on each set within `NEAR` of the dense network, and above dropout."""
    found = results.at_the_lowest(records)
    near = {m: [-gap(lines[m], lines["dense"]) <= NEAR and gap(lines[m], lines["dropout"]) > 0
                for lines in found.values()] for m in ("lsh", "winners", "adaptive")}  # fmt: skip
    off = {SETS[data]: 100 * gap(lines["lsh"], lines["dense"]) for data, lines in found.items()}
    above = sum(gap(lines["lsh"], lines["dropout"]) > 0 for lines in found.values())
    low = f"with {100 * results.lowest(records):g} % of the nodes"
    few = (
        f"{low} winner-take-all is within {100 * NEAR:g} point of the dense network on {sum(near['winners'])} of "
        f"{len(found)} data sets, adaptive dropout on {sum(near['adaptive'])}"
    )
    tables = (
        f"{low} LSH is within {100 * NEAR:g} point of the dense network on {sum(near['lsh'])} of {len(found)} data "
        f"sets ({', '.join(f'{title} {points:+.1f} points' for title, points in off.items())}) and above dropout at "
        f"random on {above}: {reason(records)}"
    )
    return {"few_neurons": judged([*near["winners"], *near["adaptive"]], few), "sparse": judged(near["lsh"], tables)}


def reason(records) -> str:
    """What the tables hold, and where winner-take-all is that chooses as badly."""
    parts = []
    for data, lines in results.at_the_lowest(records).items():
        held, before = (results.held_by(some) for some in (lines["lsh"], results.published(records, data)))
        like = 100 * results.winners_like(records, data, held)
        parts.append(
            f"{SETS[data]} {100 * held:.0f} % ({100 * before:.0f} % as published; winner-take-all that keeps as many: "
            f"{like:+.1f} points)"
        )
    return f"of the nodes of the largest inputs its tables hold {', '.join(parts)}"


def finding(records) -> str:
    return (
        "P@1 at the end of training, mean and standard deviation of the seeds. "
        f"{'. '.join(of_set(records, data, lines) for data, lines in results.at_the_lowest(records).items())}."
    )


def of_set(records, data, lines) -> str:
    """All methods with the fewest active nodes, and what LSH costs and could see, in words."""
    p1 = {m: f"{results.mean(some, 'p1'):.3f} ± {results.spread([x['p1'] for x in some]):.3f}"
          for m, some in lines.items()}  # fmt: skip
    lsh = lines["lsh"]
    near, far, work, exact = (results.mean(lsh, name) for name in ("near", "far", "work", "p1_exact"))
    return (
        f"{SETS[data]}: dense {p1['dense']}, winner-take-all {p1['winners']}, adaptive dropout {p1['adaptive']}, "
        f"dropout {p1['dropout']}, LSH {p1['lsh']} with the tables that are best on held-out rows "
        f"({lsh[0]['tables']}; all of its nodes in the test: {exact:.3f}) and "
        f"{results.mean(results.published(records, data), 'p1'):.3f} with those as published; its inputs have a cosine "
        f"of {near:.2f} with the weights of their top nodes and {far:.2f} with the others, and to hash them and count "
        f"takes {100 * work:.0f} % of the additions of all nodes"
    )


def plot(records):
    return show.plot(records, QUESTION)
