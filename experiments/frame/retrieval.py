"""What the hash tables of a trained network find of the true top neurons."""

import time

import numpy as np


def retrieval(network, data, n, tops=(10,), rebuild=True) -> dict:
    """Recall of the true top neurons, one for each of `tops`, by the buckets of n test samples, and their size.

    rebuild: of tables that are built anew, and then the seconds to hash all neurons; else of the tables as training
    left them.
    """
    from slide.rows import as_sparse_rows

    first, last = network.layers
    index, hashing = last.index, None
    if rebuild:
        index.build(last.weights)
        start = time.perf_counter()
        index.family.codes(last.weights)
        hashing = time.perf_counter() - start
    hidden = first.exact(as_sparse_rows(data.test[0][:n]).normalized())
    best_ids, _ = network.predict(data.test[0][:n], k=max(tops))
    found = index.tables.query(index.codes(hidden))
    hits, sizes, L = np.zeros(len(tops)), [], index.family.L
    for row in range(len(hidden)):
        ids = np.unique(found.ids[found.indptr[row * L] : found.indptr[(row + 1) * L]])
        held = np.isin(best_ids[row], ids)
        hits += [held[:top].mean() for top in tops]
        sizes.append(len(ids))
    return {"recall": (hits / len(hidden)).tolist(), "retrieved": float(np.mean(sizes)), "hashing": hashing}
