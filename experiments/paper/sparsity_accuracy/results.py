"""What the records say, by method and data set: the last evaluations, gaps, what the tables held."""

import numpy as np

from experiments.frame.records import of

SETS = {"mnist": "MNIST", "rectangles": "Rectangles", "convex": "Convex"}
METHODS = ("lsh", "dropout", "adaptive", "winners", "dense")
NEAR = 0.01  # of the dense network's accuracy


def final(records, data, method, share, tables=None, noise=0.0) -> list[dict]:
    """The last evaluation of each seed."""
    lines = of(records, "evaluation", data=data, method=method, share=share, tables=tables, noise=noise)
    return list({line["seed"]: line for line in lines}.values())


def best_tables(records, data) -> str:
    """Those of the best trial on held-out rows at the lowest share; of equals the first tried."""
    tried = of(records, "trial", data=data, method="lsh", share=lowest(records))
    return max(tried, key=lambda line: line["p1"])["tables"]


def lowest(records) -> float:
    return min(records[0]["settings"]["shares"])


def at(records, data, method, share) -> list[dict]:
    """`final`, of LSH with the best tables, of the dense network with all nodes."""
    tables = best_tables(records, data) if method == "lsh" else None
    return final(records, data, method, 1.0 if method == "dense" else share, tables)


def at_the_lowest(records) -> dict:
    """{data: {method: its last evaluations with the fewest active nodes}}."""
    return {data["name"]: {method: at(records, data["name"], method, lowest(records)) for method in METHODS}
            for data in of(records, "data")}  # fmt: skip


def published(records, data) -> list[dict]:
    """LSH with the first of the tables that were tried."""
    return final(records, data, "lsh", lowest(records), next(iter(records[0]["settings"]["tables"])))


def gaps(lines, others) -> list[float]:
    """P@1 of the one less that of the other, seed by seed."""
    of_seed = {line["seed"]: line["p1"] for line in others}
    return [line["p1"] - of_seed[line["seed"]] for line in lines]


def gap(lines, others) -> float:
    return float(np.mean(gaps(lines, others)))


def spread(values) -> float:
    """The standard deviation of the seeds."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def mean(lines, name) -> float:
    """Of a field of numbers, or of one for each layer."""
    return float(np.mean([line[name] for line in lines]))


def held_by(lines) -> float:
    """The share of the true winners that was active, mean of layers and seeds."""
    return mean(lines, "recall")


def by_noise(records, data) -> list[tuple]:
    """(what winner-take-all held, its gaps to the dense network), by what it held, of every noise."""
    low, dense = lowest(records), final(records, data, "dense", 1.0)
    noises = [0.0, *records[0]["settings"]["noise"]]
    lines = [final(records, data, "winners", low, noise=noise) for noise in noises]
    return sorted((held_by(some), gaps(some, dense)) for some in lines)


def winners_like(records, data, recall) -> float:
    """The gap to the dense network of winner-take-all that holds such a share, between the two nearest measured."""
    held, below = zip(*((x, np.mean(y)) for x, y in by_noise(records, data)), strict=True)
    return float(np.interp(recall, held, below))
