"""Stochastic gradient descent for linear and logistic regression whose samples come from hash tables (LGD).

Chen, Xu & Shrivastava: Fast and Accurate Stochastic Gradient Estimation, NeurIPS 2019, algorithm 2. The gradient of a
sample is as large as the product of (weights, -1) and (row, target); its absolute value is followed by two queries,
the vector and its negative. The estimate is unbiased over the draw of the hash functions.
"""

import time

import numpy as np

TRIED = 8  # evaluations of a trial
WIDE = 96
METHODS = ("lsh", "uniform", "full")


def regression(n, dim, tail, clusters, rng):
    """(x, y, w): rows of unit norm, centred before; targets of mean 0 and variance 1; the least squares solution.

    Half of the variance of the bulk of y is linear in x, the other is noise of the median size of a normal one, by
    Student's t with `tail` degrees of freedom, whose tail is Pareto's of that index; "normal" is the limit. clusters:
    0, or so many of power-law size, which rows lie in.
    """
    x = rng.standard_normal((n, dim))
    if clusters:
        weight = 1 / np.arange(1, clusters + 1) ** 1.5
        x = rng.standard_normal((clusters, dim))[rng.choice(clusters, n, p=weight / weight.sum())] + 0.4 * x
    x -= x.mean(axis=0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    signal = x @ rng.standard_normal(dim)
    noise = rng.standard_normal(n) if tail == "normal" else rng.standard_t(tail, n)
    y = signal / signal.std() + 0.6745 * noise / np.median(np.abs(noise))
    y = (y - y.mean()) / y.std()
    return x, y, np.linalg.lstsq(x, y, rcond=None)[0]


def make(model, chosen, seed):
    """(x, y) of a training; logistic: y is the sign of the regression's."""
    x, y, _ = regression(chosen["n"], chosen["dim"], chosen["tail"], chosen["clusters"], np.random.default_rng(seed))
    return x, np.where(y > 0, 1.0, -1.0) if model == "logistic" else y


class Linear:
    """Mean of (x w - y)^2 / 2; hashed: (x, scale y), of which (w, -1 / scale) has the same product for any scale."""

    @staticmethod
    def hashed(x, y, scale=1.0):
        return np.column_stack([x, scale * y])

    @staticmethod
    def queries(w, scale=1.0):
        """The vectors by whose buckets large gradients are found."""
        return np.array([np.append(w, -1 / scale), np.append(-w, 1 / scale)])

    @staticmethod
    def slopes(x, y, w):
        return x @ w - y

    @staticmethod
    def loss(x, y, w):
        return float(np.mean((x @ w - y) ** 2) / 2)


class Logistic:
    """Mean of log(1 + exp(-y x w)); hashed: y x, and the query is -w: the samples that are on the wrong side."""

    @staticmethod
    def hashed(x, y, scale=1.0):
        return y[:, None] * x

    @staticmethod
    def queries(w, scale=1.0):
        return -w[None, :] if w.any() else np.ones((1, len(w)))

    @staticmethod
    def slopes(x, y, w):
        return -y / (1 + np.exp(np.clip(y * (x @ w), -30, 30)))

    @staticmethod
    def loss(x, y, w):
        return float(np.mean(np.logaddexp(0, -y * (x @ w))))


MODELS = {"linear": Linear, "logistic": Logistic}


def least_loss(model, x, y) -> float:
    """The smallest loss that any weights have."""
    from scipy.optimize import minimize

    m = MODELS[model]
    found = minimize(lambda w: m.loss(x, y, w), np.zeros(x.shape[1]), method="L-BFGS-B",
                     jac=lambda w: x.T @ m.slopes(x, y, w) / len(x), options={"maxiter": 2000})  # fmt: skip
    return float(found.fun)


class Sampler:
    """Draws rows from the buckets of a query, each with the factor that makes the mean of gradients unbiased.

    Rows and queries are rotated at random, in `WIDE` dimensions at least, before they are hashed: sparse projections
    collide as often as the angle says only where no few coordinates dominate, and the target does: of the query
    (0, -1) it is all there is.
    """

    def __init__(self, model, x, y, K, L, seed, threads, scale=1.0):
        from slide.hashing import SimHash
        from slide.tables import HashTables

        self.model, self.scale, rows = model, scale, model.hashed(x, y, scale)
        dim, wide = rows.shape[1], max(WIDE, rows.shape[1])
        self.norms = np.linalg.norm(rows, axis=1)
        self.rows, self.n, self.L, self.K = rows, len(rows), L, K
        turned = np.linalg.qr(np.random.default_rng(seed).standard_normal((wide, wide)))[0]
        self.rotation = turned[:dim].astype(np.float32)
        self.family = SimHash(wide, K, L, seed=seed)
        self.tables = HashTables(len(rows), L, self.family.code_bits, bucket_size=len(rows), range_bits=K, seed=seed,
                                 threads=threads)  # fmt: skip
        self.family.threads = threads
        self.tables.build(self.codes(rows))
        self.family.threads = 1

    def codes(self, rows):
        return self.family.codes(rows.astype(np.float32) @ self.rotation)

    def chances(self, ids, queries):
        """Of each row, the sum over the queries of the probability to be in the query's bucket of a table."""
        cosine = self.rows[ids] @ queries.T / (self.norms[ids, None] * np.linalg.norm(queries, axis=1))
        return ((1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi) ** self.K).sum(axis=1)

    def draw(self, w, size, rng):
        """(ids, factors): `size` draws, each of one query and one table; those from an empty bucket are left out.

        With q queries, a draw from a bucket of S rows stands for q S / (sum over queries of p(row, query)^K) rows.
        """
        queries = self.model.queries(w, self.scale)
        located = self.tables.locate(self.codes(queries), 1)
        which, table = rng.integers(len(queries), size=size), rng.integers(self.L, size=size)
        start, count = self.tables.buckets[table, located[table, which]].T.astype(np.int64)
        held = count > 0
        ids = self.tables.items[table[held], start[held] + (rng.random(held.sum()) * count[held]).astype(np.int64)]
        return ids, len(queries) * count[held] / self.chances(ids, queries) / self.n


def descend(model, method, chosen, records, threads, seed):
    """Tunes the rate by the mean loss over a trial, so that none wins that diverges on its way; then trains.

    Adds a "least", "trial" and "descent" lines.
    """
    x, y = make(model, chosen, seed)
    sampler = None
    if method == "lsh":
        start = time.perf_counter()
        sampler = Sampler(MODELS[model], x, y, chosen["K"], chosen["L"], seed, threads, chosen["scale"])
        records.add("tables", model=model, seconds=time.perf_counter() - start)
        first = MODELS[model].loss(x, y, np.zeros(x.shape[1]))
        records.add("least", model=model, seed=seed, loss=least_loss(model, x, y), start=first)
    epochs = {"full": chosen["full_steps"]}.get(method, chosen["epochs"])
    # A full gradient is cheap, and a rate at which it diverges may look well for some steps.
    short = {"full": epochs}.get(method, chosen["tune_epochs"])
    losses, batch = {}, chosen["batch"]
    for rate in chosen["full_rates" if method == "full" else "rates"]:
        lines = descent(model, method, x, y, sampler, rate, short, TRIED, batch, seed + 1)
        losses[rate] = float(np.mean([line["loss"] for line in lines]))
        records.add("trial", model=model, method=method, seed=seed, rate=rate, loss=losses[rate])
    rate = min(losses, key=losses.get)
    for line in descent(model, method, x, y, sampler, rate, epochs, chosen["evaluations"], batch, seed):
        records.add("descent", model=model, method=method, seed=seed, rate=rate, **line)


def descent(model, method, x, y, sampler, rate, epochs, evaluations, batch, seed):
    """Yields epochs, seconds and loss; the rate falls linearly to a tenth, and the clock stops for the loss."""
    m, rng, w = MODELS[model], np.random.default_rng(seed), np.zeros(x.shape[1])
    per_epoch = 1 if method == "full" else len(x) // batch
    steps = max(1, round(epochs * per_epoch))
    marks = set(np.unique(np.linspace(0, steps, evaluations + 1).round().astype(int))[1:].tolist())
    seconds, start = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        if method == "full":
            gradient = x.T @ m.slopes(x, y, w) / len(x)
        else:
            ids, factor = drawn(sampler, len(x), w, batch, rng)
            gradient = x[ids].T @ (factor * m.slopes(x[ids], y[ids], w)) / batch
        w -= rate * (1 - 0.9 * step / steps) * gradient
        if step in marks:
            seconds += time.perf_counter() - start
            loss = m.loss(x, y, w)
            yield {"epochs": step / per_epoch, "seconds": seconds, "loss": loss if np.isfinite(loss) else 1e30}
            start = time.perf_counter()


def drawn(sampler, n, w, batch, rng):
    """(ids, factors) of a batch, uniform ones where there is no sampler."""
    return (rng.integers(n, size=batch), 1.0) if sampler is None else sampler.draw(w, batch, rng)
