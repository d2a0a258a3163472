"""The experiment on sparse rows: its pairs, its ranking, its share of empty bins, its verdict."""

import numpy as np
import pytest

from experiments.frame.claims import FAILS, HOLDS, IN_PART
from experiments.paper import sparse_rows
from slide.hashing import WTA


@pytest.mark.parametrize(("share", "common"), [(0.01, 0.8), (0.3, 0.25), (0.5, 0.0)])
def test_pairs_have_the_non_zeros_in_common_that_are_asked_for(share, common):
    rows = sparse_rows.pair(1000, share, common, np.random.default_rng(0))
    n, both = round(1000 * share), (rows > 0).all(axis=0)
    assert ((rows > 0).sum(axis=1) == n).all() and both.sum() == round(common * n)
    assert np.array_equal(rows[0, both], rows[1, both])


def test_the_auc_is_the_share_of_pairs_in_order():
    assert sparse_rows.auc(np.array([3, 2]), np.array([1, 2])) == (1 + 1 + 1 + 0.5) / 4
    assert sparse_rows.auc(np.array([1.0]), np.array([1.0])) == 0.5


def test_empty_bins_are_as_many_as_hash_to_nothing():
    lines = []
    records = type("Records", (), {"add": lambda _, record, **fields: lines.append(fields)})()
    sparse_rows.measure(0.1, dict(dim=200, common=[0.8, 0.3], pairs=4, K=2, L=5), records, 1, 0)
    assert [line["family"] for line in lines] == list(sparse_rows.FAMILIES)
    # Zeros as low as negative infinity never win, and ones that rise tell an empty bin's place from its first.
    row = sparse_rows.pair(200, 0.1, 0.3, np.random.default_rng(0))[0] > 0
    family = WTA(200, 1, 4000, seed=1)
    rising = np.where(row, 2.0, np.random.default_rng(1).random((60, 200))).astype(np.float32)
    fixed = (family.codes(rising) == family.codes(rising[:1])).all(axis=0)
    assert lines[0]["empty_bin"] == pytest.approx(1 - fixed.mean(), abs=0.03)


@pytest.mark.parametrize(
    ("apart", "auc", "dense", "word"),
    [(0.9, 0.9, 0.5, HOLDS), (0.9, 0.52, 0.5, IN_PART), (0.2, 0.5, 0.5, IN_PART), (0.2, 0.5, 0.3, FAILS)],
)
def test_verdict(apart, auc, dense, word):
    line = dict(record="pairs", seed=0, found_dissimilar=0.0, similar=0.5, dissimilar=0.5, both_empty=0.1)
    line["empty_bin"] = 0.5
    lines = [{"record": "header", "settings": {"common": [0.8, 0.3], "K": 1, "L": 1, "shares": [0.01, 0.5]}}]
    for share, wta, dwta in ((0.01, (0.2, 0.5), (apart, auc)), (0.5, (0.5, 0.5), (dense, 0.5))):
        for family, (similar, ranked) in (("wta", wta), ("dwta", dwta)):
            lines.append({**line, "family": family, "share": share, "found_similar": similar, "auc": ranked})
    assert sparse_rows.verdicts(lines)["dwta"].word == word
    assert sparse_rows.finding(lines).endswith(".")
