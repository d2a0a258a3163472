"""How far a gradient from hash tables is from the whole one, against a uniform one, without training.

The error of an estimate is the trace of its covariance, E |estimate - gradient|^2. That of one uniform draw is E |g|^2
- |E g|^2; with probabilities in proportion to |g|, the best there are, it is (E |g|)^2 - |E g|^2: so no weights 1 / p
gain more than the spread of |g|. Tables stay what they are while draws are made from them: of the error of m draws a
part, `between` / L, does not fall with m.
"""

import time

import numpy as np

from experiments.paper.lsh_sampler.sampled_gradients import Linear, Sampler, drawn, regression


def measure(dim, tail, chosen, records, seed):
    """Adds "spread" lines: the errors of a draw at each point of training, from no weights (0) to least squares (1):
    uniform, best, and for each K and scale of the targets that from tables, expected over their functions.

    Scales: 1, targets of variance 1, and the one at which rows and query are as near to parallel as they can be.
    """
    x, y, solution = regression(chosen["n"], dim, tail, 0, np.random.default_rng(seed))
    balanced = float((np.linalg.norm(solution) * np.abs(y).mean()) ** -0.5)
    for scale in (1.0, balanced):
        rows = Linear.hashed(x, y, scale)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        between_rows = np.arccos(np.clip(rows @ rows.T, -1, 1))
        np.fill_diagonal(between_rows, 0)
        for point in chosen["points"]:
            w = point * solution
            query = Linear.queries(w, scale)[0]
            cosine = rows @ query / np.linalg.norm(query)
            size = np.abs(Linear.slopes(x, y, w)) * np.linalg.norm(x, axis=1)
            lsh = expected(size, cosine, between_rows, chosen["K"])
            fields = dict(dim=dim, tail=tail, point=point, seed=seed, scale=scale, balanced=scale != 1.0)
            fields["cosine"] = float((cosine**2).mean() ** 0.5)
            square = float((np.mean(x * Linear.slopes(x, y, w)[:, None], axis=0) ** 2).sum())
            uniform, best = float((size**2).mean()) - square, float(size.mean()) ** 2 - square
            for K, second in lsh.items():
                records.add("spread", K=K, uniform=uniform, best=best, lsh=second - square, **fields)


def expected(size, cosine, between_rows, Ks) -> dict:
    """{K: the second moment of a draw from a table, expected over its functions}, of gradients of these sizes (n,).

    A draw of row i from a bucket of S rows counts S |g_i| times 2 / (n (p_i^K + (1 - p_i)^K)), and S is 1 for each
    row j in the bucket: a function puts i, j and the query on one side with probability 1 - (sum of the three angles)
    / 2 pi, and the query alone on the other with (both its angles - that of the rows) / 2 pi.
    """
    angle, n = np.arccos(np.clip(cosine, -1, 1)), len(size)
    both, p = angle[:, None] + angle, 1 - angle / np.pi
    with_query = np.clip(1 - (both + between_rows) / (2 * np.pi), 0, 1)
    with_negative = np.clip((both - between_rows) / (2 * np.pi), 0, 1)
    out, query_power, negative_power = {}, with_query.copy(), with_negative.copy()
    for K in range(1, max(Ks) + 1):
        if K > 1:
            query_power *= with_query
            negative_power *= with_negative
        if K not in Ks:
            continue
        together = query_power.sum(axis=1) + negative_power.sum(axis=1)
        out[K] = float(2 * ((size / (p**K + (1 - p) ** K)) ** 2 * together).sum() / n**2)
    return out


def errors(x, y, w, sampler) -> dict:
    """{"uniform", "lsh", "between"} of real tables: what a bucket gives is summed over the rows that it holds."""
    slopes, queries = Linear.slopes(x, y, w), Linear.queries(w, sampler.scale)
    size = np.abs(slopes) * np.linalg.norm(x, axis=1)
    square = float(((x.T @ slopes / len(x)) ** 2).sum())
    moments, means = by_bucket(x, slopes, size, sampler, queries)
    # The two queries of a table are one draw: the mean of their halves is that of the table.
    means = means.reshape(len(queries), sampler.L, -1).mean(axis=0)
    between = float(((means - means.mean(axis=0)) ** 2).sum() / (sampler.L - 1))
    return {"uniform": float((size**2).mean()) - square, "lsh": float(moments.mean()) - square, "between": between}


def by_bucket(x, slopes, size, sampler, queries):
    """Second moment (buckets,) and mean (buckets, dim) of what a draw from each query's bucket of each table gives."""
    from scipy.sparse import csr_array

    found = sampler.tables.query(sampler.codes(queries))
    counts = np.diff(found.indptr)
    bucket = np.repeat(np.arange(len(counts)), counts)
    weight = len(queries) / sampler.chances(np.arange(sampler.n), queries) / sampler.n
    second = counts * np.bincount(bucket, (weight[found.ids] * size[found.ids]) ** 2, len(counts))
    held = csr_array(((weight * slopes)[found.ids], found.ids, found.indptr), shape=(len(counts), sampler.n))
    return second, held @ x


def after(errors, draws, L) -> np.ndarray:
    """The error of the mean of so many draws from L tables, by the errors of one draw and of a table."""
    shared = errors["between"] / L
    return shared + (errors["lsh"] - shared) / np.asarray(draws)


def repeat(chosen, records, threads, seed):
    """Adds "error" lines: |mean of m draws - gradient|^2 over that of one uniform draw, a mean over sets of tables;
    and the errors of one draw ("one"), of many tables.
    """
    x, y, solution = regression(chosen["n"], chosen["dim"], chosen["tail"], 0, np.random.default_rng(seed))
    w, K = chosen["point"] * solution, chosen["K"]
    slopes, draws = Linear.slopes(x, y, w), np.array(chosen["draws"])
    whole, rng = x.T @ slopes / len(x), np.random.default_rng(seed)
    one = errors(x, y, w, Sampler(Linear, x, y, K, chosen["many"], seed, threads, chosen["scale"]))
    size = np.abs(slopes) * np.linalg.norm(x, axis=1)
    records.add("one", **one, best=float(size.mean() ** 2 - whole @ whole))
    for L in [0, *chosen["L"]]:
        total = np.zeros(len(draws))
        for number in range(chosen["sets"]):
            own = seed + 1000 * (number + 1)
            sampler = Sampler(Linear, x, y, K, L, own, threads, chosen["scale"]) if L else None
            total += squared_errors(x, slopes, whole, sampler, w, draws, rng)
        for m, value in zip(draws.tolist(), total / chosen["sets"] / one["uniform"], strict=True):
            records.add("error", L=L, draws=m, error=float(value))


def squared_errors(x, slopes, whole, sampler, w, draws, rng):
    """|mean of the first m draws - whole|^2, for each m of `draws`; a draw from an empty bucket is a draw of 0."""
    most = int(draws.max())
    ids, factor = drawn(sampler, len(x), w, most, rng)
    # Draws are independent of each other, so that the empty ones may come in any order.
    kept = rng.permutation(most)[: len(ids)]
    given = np.zeros((most, x.shape[1]))
    given[kept] = x[ids] * (factor * slopes[ids])[:, None]
    means = np.cumsum(given, axis=0)[draws - 1] / draws[:, None]
    return ((means - whole) ** 2).sum(axis=1)


def cost(dim, chosen, records, threads, seed):
    """Adds "cost" lines: the seconds of a batch's gradient, drawn uniformly and from tables of each K."""
    x, y, w = regression(chosen["n"], dim, 4, 0, np.random.default_rng(seed))
    for K in chosen["K"]:
        samplers = {"uniform": None, "lsh": Sampler(Linear, x, y, K, chosen["L"], seed, threads)}
        seconds = {name: [] for name in samplers}
        for _ in range(chosen["rounds"]):
            for name, sampler in samplers.items():
                seconds[name].append(timed(x, y, w, sampler, chosen["batch"], chosen["batches"], seed))
        records.add("cost", dim=dim, K=K, **{name: float(np.median(own)) for name, own in seconds.items()})


def timed(x, y, w, sampler, batch, batches, seed) -> float:
    """Seconds of a gradient of `batch` samples."""
    rng, start = np.random.default_rng(seed), time.perf_counter()
    for _ in range(batches):
        ids, factor = drawn(sampler, len(x), w, batch, rng)
        x[ids].T @ (factor * Linear.slopes(x[ids], y[ids], w))
    return (time.perf_counter() - start) / batches
