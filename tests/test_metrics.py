"""Ranking metrics are those that loops over rows give; a label said twice counts once, -1 is no label.

Examples by hand are in test_by_hand_training.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from slide.metrics import (
    evaluate_topk,
    ndcg_at_k,
    popularity_baseline,
    precision_at_k,
    propensities,
    psp_at_k,
)


def by_loops(Y, top_ids, k, p):
    """(P@k, nDCG@k, PSP@k) row by row."""
    precision, ndcg, gained, attainable = [], [], 0.0, 0.0
    for row, predicted in zip(Y, top_ids.tolist(), strict=True):
        true = set(np.flatnonzero(row).tolist())
        hits = [
            (rank, label)
            for rank, label in enumerate(predicted[:k])
            if label in true and label not in predicted[:rank]
        ]
        precision.append(len(hits) / k)
        best = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(true))))
        ndcg.append(sum(1 / np.log2(rank + 2) for rank, _ in hits) / best if true else 0.0)
        gained += sum(1 / p[label] for _, label in hits)
        attainable += sum(sorted((1 / p[label] for label in true), reverse=True)[:k])
    return np.mean(precision), np.mean(ndcg), gained / attainable if attainable else 0.0


@given(
    n=st.integers(1, 12), width=st.integers(1, 9), k=st.integers(1, 6), share=st.sampled_from([0.0, 0.2, 0.8]),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_metrics_are_those_of_loops_however_labels_are_stored(n, width, k, share, seed):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n, width)) < share).astype(np.float32)
    top_ids = rng.integers(-1, width, (n, 6))
    top_ids.flags.writeable = False
    p = rng.uniform(0.1, 1, width)
    expected = by_loops(Y, top_ids, k, p)
    for labels in (Y, sparse.csr_matrix(Y), sparse.coo_array(Y)):
        found = (
            precision_at_k(labels, top_ids, k),
            ndcg_at_k(labels, top_ids, k),
            psp_at_k(labels, top_ids, p, k),
        )
        assert found == pytest.approx(expected, rel=1e-12)
    scores = evaluate_topk(Y, top_ids, (k,), p)
    assert scores == dict(zip((f"P@{k}", f"nDCG@{k}", f"PSP@{k}"), found, strict=True))
    assert evaluate_topk(Y, top_ids).keys() == {"P@1", "P@3", "P@5", "nDCG@1", "nDCG@3", "nDCG@5"}


def test_a_perfect_ranking_scores_one_on_full_rows():
    Y = np.array([[1, 1, 1, 0], [0, 1, 1, 1]])
    top_ids = np.array([[2, 1, 0], [1, 2, 3]])
    assert evaluate_topk(Y, top_ids, (1, 2, 3), np.ones(4)) == pytest.approx(
        {f"{name}@{k}": 1.0 for name in ("P", "nDCG", "PSP") for k in (1, 2, 3)}
    )


def test_the_popularity_baseline_says_the_most_frequent_labels_to_all():
    Y_train = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    Y_test = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    # Label 1 first, then 0 and 2, equally frequent.
    expected = {"P@1": 1 / 3, "P@2": 2 / 6, "P@6": 3 / 18}
    assert popularity_baseline(Y_train, Y_test, (1, 2, 6)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="Y_test: found 3 columns, expected 4"):
        popularity_baseline(Y_train, Y_test[:, :3])


def test_what_does_not_fit_together_is_refused():
    Y, top = np.eye(3), np.zeros((3, 2), dtype=int)
    for arguments, message in [
        ((Y, top[:2], 1), r"top_ids: found int64 of shape \(2, 2\), expected integers \(3, at least k\)"),
        ((Y, top.astype(float), 1), "top_ids: found float64"),
        ((Y, top, 3), "k: found 3, expected .* = 2"),
        ((Y, top, 0), "k: found 0"),
        ((Y, top + 3, 1), "top_ids: found ids 3 to 3, expected -1 to 2"),
        ((Y, top - 2, 1), "top_ids: found ids -2"),
        ((np.ones(3), top, 1), "Y_true: found labels without the number of all labels, expected an indicator matrix"),
    ]:
        with pytest.raises(ValueError, match=message):
            precision_at_k(*arguments)
    for bad in (np.ones(2), np.zeros(3), np.array([1, np.nan, 1])):
        with pytest.raises(ValueError, match="propensities: found"):
            psp_at_k(Y, top, bad, 1)
    with pytest.raises(ValueError, match="Y_train: found 2 rows, expected at least 3"):
        propensities(np.eye(2))
    with pytest.raises(ValueError, match="[AB]: found"):
        propensities(np.eye(3), B=0)
