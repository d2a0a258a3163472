"""Ranking metrics of extreme classification, as the XMC repository's scripts define them; all are fractions,
not percent.

Everywhere: Y_true is a label indicator matrix (n, labels), any scipy sparse or dense 2-D array; top_ids int
(n, >= k) are the predicted labels, best first, padded with -1, which counts as wrong, as does a label's
second occurrence in a row. A row without true labels counts as zero in the mean.

Raised everywhere: ValueError where shapes do not fit together, an id is not in -1..labels-1, or k is not in
1..top_ids.shape[1].
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from slide.rows import Labels, SparseRows, as_label_rows
from slide.settings.checks import as_array, check_integer, check_number


def precision_at_k(Y_true: Labels, top_ids: ArrayLike, k: int) -> float:
    """P@k: the mean share of true labels among the first k.

    Parameters
    ----------
    Y_true : (n, labels) indicator matrix
        SciPy sparse or dense.
    top_ids : (n, >= k) integers
        Predicted labels, best first; -1 is none.
    k : int
        From 1 to the columns of top_ids.

    Returns
    -------
    float
        From 0 to 1.
    """
    return _mean(_precision(*_check(Y_true, top_ids, k), k))


def ndcg_at_k(Y_true: Labels, top_ids: ArrayLike, k: int) -> float:
    """The normalised discounted cumulative gain, nDCG@k.

    Hits are weighted by 1 / log2(rank + 1), and divided by the same sum for the row's best ranking.

    Parameters
    ----------
    Y_true, top_ids, k
        As for `precision_at_k`.

    Returns
    -------
    float
        From 0 to 1.
    """
    return _mean(_ndcg(*_check(Y_true, top_ids, k), k))


def row_scores(Y_true: Labels, top_ids: ArrayLike, metric: str) -> np.ndarray:
    """The metric of each row by itself.

    Parameters
    ----------
    Y_true, top_ids
        As for `precision_at_k`.
    metric : str
        "P@k" or "nDCG@k", or the sum of several: "P@1+nDCG@5".

    Returns
    -------
    ndarray of shape (n,), float64
        A score per row.
    """
    return np.sum([ROW_METRICS[name](*_check(Y_true, top_ids, k), k) for name, k in parts_of(metric)], axis=0)


def parts_of(metric: str, name: str = "metric") -> list[tuple[str, int]]:
    """The metrics that a sum of metrics is made of.

    Parameters
    ----------
    metric : str
        Such as "P@1+nDCG@5".
    name : str
        Of the argument, for the error.

    Returns
    -------
    list of (str, int)
        [("P", 1), ("nDCG", 5)] of that.

    Raises
    ------
    ValueError
        Where it is no metric of single rows.
    """
    parts = [re.fullmatch(r"(P|nDCG)@([1-9]\d{0,8})", part) for part in str(metric).split("+")]
    if not all(parts):
        raise ValueError(f"{name}: found {metric!r}, expected P@k or nDCG@k, such as 'P@1', or a sum: 'P@1+nDCG@5'")
    return [(part[1], int(part[2])) for part in parts if part]


def _precision(labels, top_ids, k):
    return _hits(labels, top_ids, k).mean(axis=1)


def _ndcg(labels, top_ids, k):
    gains = 1 / np.log2(np.arange(k) + 2)
    best = np.concatenate([[1.0], np.cumsum(gains)])[np.minimum(np.diff(labels.indptr), k)]
    return _hits(labels, top_ids, k) @ gains / best


ROW_METRICS = {"P": _precision, "nDCG": _ndcg}


def _mean(scores):
    return float(scores.mean()) if len(scores) else 0.0


def psp_at_k(Y_true: Labels, top_ids: ArrayLike, propensities: ArrayLike, k: int) -> float:
    """The propensity-scored precision, PSP@k (Jain, Prabhu & Varma 2016).

    Hits are weighted by 1 / propensity of their label, summed over all rows, and divided by the largest such sum that
    can be reached.

    Parameters
    ----------
    Y_true, top_ids
        As for `precision_at_k`.
    propensities : ndarray of shape (labels,)
        Positive numbers.
    k : int
        As for `precision_at_k`.

    Returns
    -------
    float
        From 0 to 1; 0 where no row has a label.
    """
    labels, top_ids = _check(Y_true, top_ids, k)
    weights = _inverse(propensities, labels.shape[1])
    gained = (_hits(labels, top_ids, k) * weights[top_ids[:, :k]]).sum()
    per_label = weights[labels.ids]
    row_of = np.repeat(np.arange(len(labels)), np.diff(labels.indptr))
    order = np.lexsort((-per_label, row_of))
    rank = np.arange(len(order)) - np.repeat(labels.indptr[:-1], np.diff(labels.indptr))
    attainable = per_label[order][rank < k].sum()
    return float(gained / attainable) if attainable else 0.0


def propensities(Y_train: Labels, A: float = 0.55, B: float = 1.5) -> np.ndarray:
    """The propensities of labels, p_l = 1 / (1 + C (N_l + B)^-A) with C = (log N - 1)(B + 1)^A.

    N is the number of training rows and N_l that of rows with label l (Jain, Prabhu & Varma 2016).

    Parameters
    ----------
    Y_train : (n, labels) indicator matrix
        Labels of the training rows.
    A, B : float
        0.6, 2.6 for Amazon-670K and Amazon-3M; 0.5, 0.4 for WikiLSHTC-325K and Wikipedia-500K; 0.55, 1.5 for others,
        AmazonCat-13K among them.

    Returns
    -------
    ndarray of shape (labels,), float64
        From 0 to 1.

    Raises
    ------
    ValueError
        Where there are fewer than 3 rows, for which C is negative, or B is not above 0.
    """
    labels = as_label_rows(Y_train, name="Y_train")
    if len(labels) < 3:
        raise ValueError(f"Y_train: found {len(labels)} rows, expected at least 3")
    A, B = np.float64(check_number("A", A, "(-inf, inf)")), np.float64(check_number("B", B, "(0, inf)"))
    counts = np.bincount(labels.ids, minlength=labels.shape[1])
    with np.errstate(all="ignore"):
        result = 1 / (1 + (np.log(len(labels)) - 1) * (B + 1) ** A * (counts + B) ** -A)
    if not (np.isfinite(result) & (result > 0)).all():
        raise ValueError(f"A, B: found {A}, {B}, expected numbers by which all propensities are finite and above 0")
    return result


def evaluate_topk(
    Y_true: Labels, top_ids: ArrayLike, ks: Sequence[int] = (1, 3, 5), propensities: ArrayLike | None = None,
) -> dict:  # fmt: skip
    """All metrics of predicted labels.

    Parameters
    ----------
    Y_true, top_ids
        As for `precision_at_k`.
    ks : list of int
        The values of k.
    propensities : ndarray of shape (labels,) or None
        For PSP@k.

    Returns
    -------
    dict
        {"P@1": ..., "nDCG@1": ..., ...} for each k; with propensities "PSP@1" and so on, too.
    """
    labels, ks = as_label_rows(Y_true, name="Y_true"), check_ks(ks)
    scores = {f"P@{k}": precision_at_k(labels, top_ids, k) for k in ks}
    scores |= {f"nDCG@{k}": ndcg_at_k(labels, top_ids, k) for k in ks}
    if propensities is not None:
        scores |= {f"PSP@{k}": psp_at_k(labels, top_ids, propensities, k) for k in ks}
    return scores


def popularity_baseline(Y_train: Labels, Y_test: Labels, ks: Sequence[int] = (1, 3, 5)) -> dict[str, float]:
    """P@k of always predicting the most frequent training labels; of equals the smaller id first.

    Parameters
    ----------
    Y_train, Y_test : (n, labels) indicator matrix
        Labels of the training and the test rows.
    ks : list of int
        The values of k.

    Returns
    -------
    dict
        {"P@1": ..., ...}.
    """
    train, ks = as_label_rows(Y_train, name="Y_train"), check_ks(ks)
    test = as_label_rows(Y_test, n_labels=train.shape[1], name="Y_test")
    counts = np.bincount(train.ids, minlength=train.shape[1])
    top = np.full(max(ks), -1)
    order = np.argsort(-counts, kind="stable")[: len(top)]
    top[: len(order)] = order
    top_ids = np.broadcast_to(top, (len(test), len(top)))
    return {f"P@{k}": precision_at_k(test, top_ids, k) for k in ks}


def check_ks(ks: Sequence[int]) -> list[int]:
    """The values of k, checked.

    Parameters
    ----------
    ks : list or tuple of int
        Each at least 1.

    Returns
    -------
    list of int
        The same.

    Raises
    ------
    ValueError
        Where they are something else.
    """
    if not isinstance(ks, list | tuple) or not ks:
        raise ValueError(f"ks: found {ks!r}, expected integers of at least 1")
    return [check_integer("ks", k) for k in ks]


def _check(Y_true, top_ids, k) -> tuple[SparseRows, np.ndarray]:
    labels = as_label_rows(Y_true, name="Y_true")
    try:
        top_ids = np.asarray(top_ids)
    except ValueError as error:
        raise ValueError(f"top_ids: found {type(top_ids).__name__}, expected integers (n, at least k)") from error
    if top_ids.ndim != 2 or len(top_ids) != len(labels) or top_ids.dtype.kind not in "iu":
        found = f"{top_ids.dtype} of shape {top_ids.shape}"
        raise ValueError(f"top_ids: found {found}, expected integers ({len(labels)}, at least k)")
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= top_ids.shape[1]:
        raise ValueError(
            f"k: found {k!r}, expected an integer from 1 to top_ids.shape[1] = {top_ids.shape[1]}"
        )
    if top_ids.size and not (-1 <= top_ids.min() and top_ids.max() < labels.shape[1]):
        found = f"{top_ids.min()} to {top_ids.max()}"
        raise ValueError(f"top_ids: found ids {found}, expected -1 to {labels.shape[1] - 1}")
    return labels, top_ids


def _hits(labels: SparseRows, top_ids, k):
    """bool (n, k): whether each prediction is a true label that the row has not named before."""
    top_ids = top_ids[:, :k].astype(np.int64)
    n, width = labels.shape
    row_of = np.repeat(np.arange(n), np.diff(labels.indptr))
    true = row_of * width + labels.ids
    wanted = np.arange(n)[:, None] * width + top_ids
    where = np.minimum(np.searchsorted(true, wanted), max(len(true) - 1, 0))
    hits = (top_ids >= 0) & (true[where] == wanted if len(true) else False)
    for j in range(1, k):
        hits[:, j] &= (top_ids[:, :j] != top_ids[:, j : j + 1]).all(axis=1)
    return hits


def _inverse(propensities, n_labels):
    propensities = as_array("propensities", propensities)
    numbers = propensities.dtype.kind in "biuf" and propensities.shape == (n_labels,)
    if not numbers or not (propensities > 0).all():
        raise ValueError(
            f"propensities: found shape {propensities.shape}, expected ({n_labels},), all above 0"
        )
    return 1 / propensities.astype(np.float64)
