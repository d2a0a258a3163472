"""Labels that a row has already, and that a prediction leaves out: items bought, pages visited."""

from __future__ import annotations

import numpy as np

from slide.rows import ActiveSet, Matrix, SparseRows, as_sparse_rows

FIRST = 4  # times as many labels as asked for are computed at first, and so many times more where too few are left


def seen_labels(mask_seen: bool | Matrix, rows: SparseRows, n_labels: int) -> SparseRows | None:
    """The labels that are left out for each of `rows`, (n, n_labels); None: none are.

    mask_seen   False; True: the row's own features, where features and labels are the same things in the same order; or
                a matrix (n, n_labels), SciPy sparse or dense, whose non-zeros they are

    Raises ValueError where it is True and features and labels are not as many, or the matrix has another shape.
    """
    if mask_seen is None or mask_seen is False:
        return None
    if mask_seen is not True:
        seen = as_sparse_rows(mask_seen, "mask_seen", n_labels)
        if len(seen) != len(rows):
            raise ValueError(f"mask_seen: found {len(seen)} rows, expected {len(rows)}, one for each of X")
        return seen
    if rows.shape[1] != n_labels:
        raise ValueError(
            f"mask_seen: found True with {rows.shape[1]} features and {n_labels} labels, expected as many of both, "
            f"each feature being a label, or a matrix ({len(rows)}, {n_labels}) of the labels to leave out"
        )
    return rows


def unseen(seen: SparseRows, row, ids) -> np.ndarray:
    """bool, the shape of ids: whether they are labels (0 or more) that seen has not in these rows."""
    width = seen.shape[1]
    wanted = np.asarray(row, np.int64) * width + ids
    mine = np.repeat(np.arange(len(seen)) * width, np.diff(seen.indptr)) + seen.ids
    if not len(mine):
        return ids >= 0
    return (ids >= 0) & (mine[np.minimum(np.searchsorted(mine, wanted), len(mine) - 1)] != wanted)


def without(chosen: ActiveSet, seen: SparseRows) -> ActiveSet:
    """The labels chosen for each row, less those that seen has."""
    sizes = np.diff(chosen.indptr)
    kept = unseen(seen, np.repeat(np.arange(len(sizes)), sizes), chosen.ids)
    return ActiveSet(np.concatenate([[0], np.cumsum(kept)])[chosen.indptr].astype(np.int64), chosen.ids[kept])


def first_unseen(values, ids, k: int, seen: SparseRows) -> tuple[np.ndarray, np.ndarray]:
    """(values, ids), (n, k): the first k of each row that seen has not; -inf and -1 where they are fewer.

    values float32, ids int32, both (n, m) with m of at least k
    """
    kept = unseen(seen, np.arange(len(ids))[:, None], ids)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    there, ids, values = (np.take_along_axis(array, order, axis=1) for array in (kept, ids, values))
    return np.where(there, values, np.float32(-np.inf)), np.where(there, ids, np.int32(-1))


def topk_unseen(topk, k: int, seen: SparseRows) -> tuple[np.ndarray, np.ndarray]:
    """(values, ids), (n, k): the k best labels of each row among those that seen has not, exact; -inf and -1 where
    they are fewer.

    topk(rows, m) gives (values, ids), (len(rows), m): the best labels of the rows of these numbers, best first. It is
    asked for a few more than k, and again for more where too few of them are left.
    """
    values, ids = np.full((len(seen), k), -np.inf, np.float32), np.full((len(seen), k), -1, np.int32)
    enough = np.minimum(k + np.diff(seen.indptr), seen.shape[1])  # labels of which k are unseen, or all there are
    left, m = np.arange(len(seen)), FIRST * k
    while len(left):
        most = min(m, int(enough[left].max()))
        z, best = topk(left, most)
        values[left], ids[left] = first_unseen(z, best, k, seen.take(left))
        left, m = left[(ids[left, -1] < 0) & (most < enough[left])], FIRST * m
    return values, ids
