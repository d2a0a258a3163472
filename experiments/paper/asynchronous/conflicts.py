"""How often threads that add to shared gradients without locks meet, and how many additions they lose."""

import numpy as np


def rows_and_columns(network, rows) -> list[tuple]:
    """[(ActiveSet of rows, columns (samples, inputs) as CSR of ones)] of every sampled hidden layer, for SparseRows.

    They are what a batch of single samples, rows as training takes them, adds to: sample i adds to weight [r, c] of a
    layer where r is active for i and its input c is there. Inputs that are there and zero count: they are written.
    """
    from slide.layers.lane_block import LaneBlock
    from slide.rows import ActiveSet
    from slide.state.commit import Commit

    found, x = [], LaneBlock.from_sparse(rows, 1)
    for layer in network.layers[:-1]:
        columns = _ones(x.indptr, x.ids, x.n_columns)
        x = layer.forward(rows if not found else x, network.step + 1, Commit())
        found.append((ActiveSet(x.indptr.copy(), x.ids.copy()), columns))
    return found


def _ones(indptr, ids, width):
    from scipy import sparse

    return sparse.csr_array((np.ones(len(ids), np.float32), ids.copy(), indptr.copy()), shape=(len(indptr) - 1, width))


def shared(active, columns, threads, window) -> float:
    """The share of a batch's additions whose weight another thread adds to as well, within `window` samples in a row.

    active   ActiveSet of single samples; sample i is thread i % threads's
    columns  CSR (samples, inputs) of ones; CSR (samples, 1) of ones counts rows in the place of weights
    window   `threads`: the samples that are in work at the same time; len(active): the batch
    """
    n_rows = int(active.ids.max(initial=-1)) + 1
    rows = _ones(active.indptr, active.ids, n_rows)
    alone = total = 0.0
    for low in range(0, len(active), window):
        samples = np.arange(low, min(low + window, len(active)))
        of_threads = [samples[i::threads] for i in range(threads)]
        parts = [rows[mine].T.toarray() @ columns[mine].toarray() for mine in of_threads]
        whole = sum(parts)
        total += float(whole.sum(dtype=np.float64))
        alone += sum(float(part[part == whole].sum(dtype=np.float64)) for part in parts)
    return 1 - alone / total if total else 0.0


def lost(active, columns, n_rows, threads, mode="hogwild", repeats=1) -> dict:
    """Counts additions that did not arrive, of a batch on real threads: {"additions", "lost", "rows", "hit_rows"}.

    Every addition is 1 and the optimizer is SGD of rate 1 on weights of zero, so a weight is minus the number of
    additions that arrived, exactly: float32 holds every whole number up to 2**24. rows: those that the batch wrote,
    hit_rows: those that lack an addition. mode "rows" gives each row one owner.
    """
    from slide import SGD
    from slide.layers.weights import Weights

    expected = _ones(active.indptr, active.ids, n_rows).T.toarray() @ columns.toarray()
    out = {"additions": 0, "lost": 0, "rows": 0, "hit_rows": 0}
    coef = np.ones((len(active.ids), 1), np.float32)
    for _ in range(repeats):
        weights = Weights(n_rows, columns.shape[1], SGD(lr=1.0), 0.0, np.random.default_rng(0))
        weights.update(
            active, coef, columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data, 1, 1.0,
            threads, mode,
        )  # fmt: skip
        missing = expected + weights.w
        out["additions"] += int(expected.sum(dtype=np.float64))
        out["lost"] += int(missing.sum(dtype=np.float64))
        out["rows"] += int((expected > 0).any(axis=1).sum())
        out["hit_rows"] += int((missing != 0).any(axis=1).sum())
    return out
