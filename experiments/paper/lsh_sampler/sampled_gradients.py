"""Stochastic gradient descent for linear and logistic regression whose samples come from hash tables (LGD).

Spring, Chen & Shrivastava: LSH-sampled Stochastic Gradient Descent, NeurIPS 2019, algorithm 2. The gradient of a
sample is as large as the product of (weights, -1) and (row, target); its absolute value is followed by two queries,
the vector and its negative. The estimate is unbiased over the draw of the hash functions.
"""

import time

import numpy as np

from experiments.frame import draw

TRIED = 8  # evaluations of a trial
METHODS = ("lsh", "uniform", "full")
LOOKS = {
    "lsh": {**draw.series(0, "sampled by LSH"), "markersize": 3.5},
    "uniform": {**draw.series(2, "sampled uniformly"), "markersize": 3.5},
    "full": {**draw.series(1, "full gradient"), "markersize": 3.5},
}


def make(model, n, dim, seed):
    """Rows of unit norm in clusters of power-law size, and targets: what few rows are far off, most gain nothing by."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((50, dim))
    weight = 1 / np.arange(1, 51) ** 1.5
    x = centres[rng.choice(50, n, p=weight / weight.sum())] + 0.4 * rng.standard_normal((n, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    truth = rng.standard_normal(dim)
    y = x @ truth + 0.1 * rng.standard_t(2, n)
    if model == "logistic":
        return x, np.where(y > 0, 1.0, -1.0)
    return x, y / np.abs(y).std()


class Linear:
    """Mean of (x w - y)^2 / 2; hashed: (x, y)."""

    @staticmethod
    def hashed(x, y):
        return np.column_stack([x, y])

    @staticmethod
    def queries(w):
        """The vectors by whose buckets large gradients are found."""
        return np.array([np.append(w, -1.0), np.append(-w, 1.0)])

    @staticmethod
    def slopes(x, y, w):
        return x @ w - y

    @staticmethod
    def loss(x, y, w):
        return float(np.mean((x @ w - y) ** 2) / 2)


class Logistic:
    """Mean of log(1 + exp(-y x w)); hashed: y x, and the query is -w: the samples that are on the wrong side."""

    @staticmethod
    def hashed(x, y):
        return y[:, None] * x

    @staticmethod
    def queries(w):
        return -w[None, :] if w.any() else np.ones((1, len(w)))

    @staticmethod
    def slopes(x, y, w):
        return -y / (1 + np.exp(np.clip(y * (x @ w), -30, 30)))

    @staticmethod
    def loss(x, y, w):
        return float(np.mean(np.logaddexp(0, -y * (x @ w))))


MODELS = {"linear": Linear, "logistic": Logistic}


class Sampler:
    """Draws rows from the buckets of a query, each with the factor that makes the mean of gradients unbiased."""

    def __init__(self, rows, K, L, seed, threads):
        from slide.hashing import SimHash
        from slide.tables import HashTables

        self.norms = np.linalg.norm(rows, axis=1)
        self.rows, self.n, self.L, self.K = rows, len(rows), L, K
        self.family = SimHash(rows.shape[1], K, L, seed=seed)
        self.family.threads = 1
        self.tables = HashTables(len(rows), L, self.family.code_bits, bucket_size=len(rows), range_bits=K, seed=seed,
                                 threads=threads)  # fmt: skip
        self.family.threads = threads
        self.tables.build(self.family.codes(rows.astype(np.float32)))
        self.family.threads = 1

    def draw(self, queries, size, rng):
        """(ids, factors): `size` draws, each of one query and one table; those from an empty bucket are left out.

        With q queries, a draw from a bucket of S rows stands for q S / sum over queries of p(row, query)^K rows.
        """
        located = self.tables.locate(self.family.codes(queries.astype(np.float32)), 1)
        which, table = rng.integers(len(queries), size=size), rng.integers(self.L, size=size)
        start, count = self.tables.buckets[table, located[table, which]].T.astype(np.int64)
        held = count > 0
        ids = self.tables.items[table[held], start[held] + (rng.random(held.sum()) * count[held]).astype(np.int64)]
        cosine = self.rows[ids] @ queries.T / (self.norms[ids, None] * np.linalg.norm(queries, axis=1))
        p = (1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi) ** self.K
        return ids, len(queries) * count[held] / p.sum(axis=1) / self.n


def descend(model, method, chosen, records, threads, seed):
    """Tunes the rate by the mean loss over a trial, so that none wins that diverges on its way; then trains.

    Adds "trial" and "descent" lines.
    """
    x, y = make(model, chosen["n"], chosen["dim"], seed)
    sampler = None
    if method == "lsh":
        start = time.perf_counter()
        sampler = Sampler(MODELS[model].hashed(x, y), chosen["K"], chosen["L"], seed, threads)
        records.add("tables", model=model, seconds=time.perf_counter() - start)
    epochs = {"full": chosen["full_steps"]}.get(method, chosen["epochs"])
    # A full gradient is cheap, and a rate at which it diverges may look well for some steps.
    short = {"full": epochs}.get(method, chosen["tune_epochs"])
    losses, batch = {}, chosen["batch"]
    for rate in chosen["full_rates" if method == "full" else "rates"]:
        lines = descent(model, method, x, y, sampler, rate, short, TRIED, batch, seed + 1)
        losses[rate] = float(np.mean([line["loss"] for line in lines]))
        records.add("trial", model=model, method=method, rate=rate, loss=losses[rate])
    rate = min(losses, key=losses.get)
    w = np.zeros(x.shape[1])
    for line in descent(model, method, x, y, sampler, rate, epochs, chosen["evaluations"], batch, seed, w):
        records.add("descent", model=model, method=method, rate=rate, **line)
        if sampler is not None:
            records.add("spread", model=model, epochs=line["epochs"], **spread(model, x, y, w, sampler, seed))


def spread(model, x, y, w, sampler, seed) -> dict:
    """The second moment of sampled gradients over that of uniform ones (below 1: LSH helps), and the mean factor."""
    n = min(len(x), 20_000)
    ids, factor = sampler.draw(MODELS[model].queries(w), n, np.random.default_rng(seed))
    slopes = MODELS[model].slopes(x, y, w)
    return {
        "moment": float((factor**2 * slopes[ids] ** 2).sum() / n / np.mean(slopes**2)),
        "factor": float(factor.sum() / n),
    }


def descent(model, method, x, y, sampler, rate, epochs, evaluations, batch, seed, w=None):
    """Yields epochs, seconds and loss; the rate falls linearly to a tenth, and the clock stops for the loss.

    w: where the weights are kept, if the caller wants them.
    """
    m, rng = MODELS[model], np.random.default_rng(seed)
    w = np.zeros(x.shape[1]) if w is None else w
    per_epoch = 1 if method == "full" else len(x) // batch
    steps = max(1, round(epochs * per_epoch))
    marks = set(np.unique(np.linspace(0, steps, evaluations + 1).round().astype(int))[1:].tolist())
    seconds, start = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        if method == "full":
            gradient = x.T @ m.slopes(x, y, w) / len(x)
        else:
            ids, factor = (rng.integers(len(x), size=batch), 1.0) if sampler is None else sampler.draw(
                m.queries(w), batch, rng)  # fmt: skip
            gradient = x[ids].T @ (factor * m.slopes(x[ids], y[ids], w)) / batch
        w -= rate * (1 - 0.9 * step / steps) * gradient
        if step in marks:
            seconds += time.perf_counter() - start
            loss = m.loss(x, y, w)
            yield {"epochs": step / per_epoch, "seconds": seconds, "loss": loss if np.isfinite(loss) else 1e30}
            start = time.perf_counter()
