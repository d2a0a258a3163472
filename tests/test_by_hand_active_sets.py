"""From a file to active sets by hand: each stage on numbers small enough to follow with a pencil.

In the order in which a batch passes them: parse, first layer, hash codes, tables, sampling, completion, weights.
"""

import numpy as np
import pytest

from slide.data import load_xmc
from slide.hashing import ABSENT, DWTA, MIPS, WTA, CrossPolytope, MinHash, Ranged, SimHash
from slide.layers.weights import Weights
from slide.optim import SGD
from slide.rows import ActiveSet, as_sparse_rows
from slide.sampling import Full, Threshold, TopK, Uniform, Vanilla, complete, inclusion_weights
from slide.sampling.recent import RecentLabels
from slide.tables import HashTables


def test_a_file_of_two_samples_becomes_two_matrices(tmp_path):
    """The header says 2 samples, 4 features, 3 labels; a line is labels, a blank, feature:value."""
    (tmp_path / "train.txt").write_text("2 4 3\n0,2 1:0.5 3:2\n1 0:-1\n")
    X, Y = load_xmc(tmp_path / "train.txt")
    assert X.toarray().tolist() == [[0, 0.5, 0, 2], [-1, 0, 0, 0]]
    assert Y.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]


def test_rows_of_unit_length():
    rows = as_sparse_rows([[3, 0, 4], [0, 0, 0]]).normalized()
    np.testing.assert_array_equal(rows.to_scipy().toarray(), np.float32([[0.6, 0, 0.8], [0, 0, 0]]))


def test_the_first_layer_adds_the_rows_of_the_features_that_a_sample_has():
    """-3 * (1, 2) + (10, 20) = (7, 14); with the bias (-8, 0.5) that is (-1, 14.5), before ReLU."""
    weights = Weights(3, 2, SGD(), 0.0, np.random.default_rng(0), with_bias=False)
    weights.w[...] = [[1, 2], [10, 20], [100, 200]]
    out = np.empty((2, 2), np.float32)
    weights.lookup(as_sparse_rows([[-3, 1, 0], [0, 0, 0]]), np.array([-8, 0.5], np.float32), out, 1)
    assert out.tolist() == [[-1, 14.5], [-8, 0.5]]


# ---- Hash codes: K = 2 hashes make a code, the first in the higher bits ---------------------------------------------


def test_simhash_takes_the_signs_of_sums_of_a_third_of_the_coordinates():
    family = SimHash(6, K=2, L=2, seed=0)
    assert family._indices.tolist() == [[0, 4], [3, 5], [1, 5], [2, 3]]
    assert family._signs.tolist() == [[1, 1], [-1, -1], [-1, 1], [-1, -1]]
    # 3 + 1 > 0, -0 + 2 > 0; 1 - 2 < 0, -2 - 0 < 0: bits 11 and 00.
    assert family.codes([[3, -1, 2, 0, 1, -2]]).tolist() == [[0b11, 0b00]]


def test_wta_takes_the_place_of_the_largest_in_each_bin():
    family = WTA(4, K=2, L=1, bin_size=2, seed=0)
    assert family._bins.tolist() == [[3, 2], [1, 0]]
    # (8, 3): place 0, (1, 5): place 1. (1, 5): 1, (1, 5): 1. Of equals the first: 0, 0.
    assert family.codes([[5, 1, 3, 8], [5, 1, 5, 1], [2, 2, 2, 2]]).tolist() == [[0b01], [0b11], [0b00]]


def test_dwta_looks_at_what_is_not_zero_and_empty_bins_borrow():
    family = DWTA(4, K=2, L=1, bin_size=2, seed=0)
    assert family._bins.tolist() == [[0, 1], [3, 2]]
    # (5, 1): place 0, (8, 3): 0. (-1, none): 0, (none, -2): 1. (none, none) borrows from (none, 3): 1, 1.
    rows = [[5, 1, 3, 8], [-1, 0, -2, 0], [0, 0, 3, 0]]
    assert family.codes(rows).tolist() == [[0b00], [0b01], [0b11]]


def test_minhash_takes_the_label_of_the_first_member_in_a_random_order():
    family = MinHash(6, K=2, L=1, top_k=2, bits=2, seed=0)
    assert family._bins.tolist() == [[2, 5, 3, 4, 1, 0], [3, 2, 5, 4, 0, 1]]
    assert family._labels.tolist() == [[2, 2, 0, 1, 2, 0], [0, 2, 2, 1, 2, 1]]
    # The two largest are coordinates 1 and 4. Coordinate 4 comes first in both orders, at place 3: labels 1 and 1.
    assert family.codes([[0, 9, 1, 0, 7, 2]]).tolist() == [[0b01_01]]


def test_cross_polytope_takes_the_largest_coordinate_of_a_rotation_and_its_sign():
    family = CrossPolytope(2, K=1, L=1, width=2, seed=0)
    assert family._signs.tolist() == [[[-1, 1], [1, 1], [1, 1]]]
    # (1, 3) with signs is (-1, 3); three times (a, b) -> (a + b, a - b): (2, -4), (-2, 6), (4, -8). Place 1, negative.
    assert family.codes([[1, 3], [-1, -3]]).tolist() == [[2 * 1 + 1], [2 * 1]]


def test_mips_makes_rows_as_long_as_the_longest():
    """(3, 0) lacks 4 of the length 5: spread over eight coordinates each is sqrt(16 / 8). Queries get zeros."""
    family, inner = MIPS(2, K=3, L=4, seed=1), SimHash(10, K=3, L=4, seed=1)
    family.fit(np.array([[3, 0], [0, -5]], np.float32))
    lacking = [3, 0, *[2**0.5] * 8]
    assert family.codes([[3, 0], [0, -5]]).tolist() == inner.codes([lacking, [0, -5, *[0] * 8]]).tolist()
    assert family.query_codes([[3, 0]]).tolist() == inner.codes([[3, 0, *[0] * 8]]).tolist()


def test_ranged_tables_hold_the_rows_of_the_largest_bounds_under_shorter_codes():
    """The tables drop 0, 1, 1 and 2 of two hashes, and hold 4, 2, 2 and 1 of four rows."""
    family, inner = Ranged(2, K=2, L=4, share=0.5, errors=3.0), DWTA(2, K=2, L=4)
    assert family.dropped.tolist() == [0, 1, 1, 2]
    family.inputs = np.array([1, 0], np.float32), np.array([0, 1], np.float32)  # mean, variance
    # Bounds w . mean + 3 sqrt(w**2 . variance): 2, 3, -1, 0.5.
    rows = np.array([[2, 0], [0, 1], [-1, 0], [0.5, 0]], np.float32)
    family.fit(rows)
    first, second, third, _ = inner.codes(rows).T
    shorter = [[code & ~0b111 for code in codes.tolist()] for codes in (second, third)]
    assert family.codes(rows).T.tolist() == [
        first.tolist(),
        [shorter[0][0], shorter[0][1], ABSENT, ABSENT],
        [shorter[1][0], shorter[1][1], ABSENT, ABSENT],
        [ABSENT, 0, ABSENT, ABSENT],
    ]


# ---- Tables ---------------------------------------------------------------------------------------------------------


def test_a_bucket_keeps_the_newest_and_a_query_finds_them():
    tables = HashTables(n_items=4, L=2, code_bits=1, bucket_size=2, threads=1)
    tables.build(np.array([[0, 1], [0, 1], [1, 0], [0, 1]]))
    found = tables.query(np.array([[0, 0], [1, 1]]))
    # Sample 0: table 0, bucket 0 had items 0, 1, 3 and room for two; table 1, bucket 0. Then sample 1.
    assert [found[i].tolist() for i in range(4)] == [[1, 3], [2], [2], [1, 3]]
    tables.update([3], np.array([[1, 0]]))
    found = tables.query(np.array([[0, 0], [1, 1]]))
    assert [found[i].tolist() for i in range(4)] == [[1], [2, 3], [2, 3], [1]]


# ---- Sampling: three tables of four neurons; the sample's code is 0 everywhere --------------------------------------

CODES = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 1]])
# Bucket 0 of the tables: 0, 1, 3; 0, 1, 2; 1. So neuron 0 is found twice, 1 three times, 2 and 3 once.


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (TopK(1), [1]),
        (TopK(2), [0, 1]),
        (TopK(3), [0, 1, 3]),  # of equals the one found first
        (TopK(None), [0, 1, 3, 2]),
        (Threshold(None, m=1), [0, 1, 3, 2]),
        (Threshold(None, m=2), [0, 1]),
        (Threshold(None, m=3), [1]),
        (Threshold(None, m=4), []),
        (Threshold(1, m=2), [1]),  # the most frequent of those that reach m
        (Full(), [0, 1, 2, 3]),
    ],
    ids=repr,
)
def test_samplers_on_three_tables(sampler, expected):
    tables = HashTables(4, L=3, code_bits=1, threads=1)
    tables.build(CODES)
    found = sampler.sample(tables, np.zeros((1, 3), np.uint32), 1, 1, 4, seed=0, step=0)
    assert len(found) == 1 and found[0].tolist() == expected


def test_vanilla_takes_the_tables_as_they_come_until_it_has_enough():
    tables = HashTables(4, L=3, code_bits=1, threads=1)
    tables.build(CODES)
    found = {tuple(Vanilla(2).sample(tables, np.zeros((1, 3), np.uint32), 1, 1, 4, 0, step)[0]) for step in range(40)}
    assert found == {(0, 1), (1, 0)}  # table 0 or 1 first: 0 and 1; table 2 first: 1, and then the next one's 0
    everything = Vanilla(None).sample(tables, np.zeros((1, 3), np.uint32), 1, 1, 4, 0, 0)[0]
    assert sorted(everything) == [0, 1, 2, 3]


def test_the_samples_of_a_group_share_a_set():
    """Three samples in groups of two: the second group is one sample."""
    tables = HashTables(3, L=1, code_bits=2, threads=1)
    tables.build(np.array([[0], [1], [2]]))
    found = TopK(None).sample(tables, np.array([[2], [0], [1]], np.uint32), 3, 2, 3, 0, 0)
    assert [ids.tolist() for ids in found] == [[2, 0], [1]]


def test_a_uniform_draw_of_all_is_all():
    assert sorted(Uniform(9).sample(None, None, 1, 1, 5, 0, 0)[0]) == [0, 1, 2, 3, 4]


# ---- Completion and weights -----------------------------------------------------------------------------------------


def test_a_set_is_its_labels_then_what_was_found_then_draws():
    """Two samples, of labels 4 and 1, and 4: their group has 4 and 1, then 3 of what was found, then two others."""
    labels = np.array([0, 2, 3]), np.array([4, 1, 4], np.int32)
    active, slots, parts = complete(ActiveSet.of([[1, 3]]), *labels, 2, minimum=5, n_neurons=6, seed=0, step=1)
    assert active[0][:3].tolist() == [4, 1, 3]
    assert len(active[0]) == 5 and set(active[0][3:]) < {0, 2, 5}
    assert slots.tolist() == [0, 1, 0]  # where each label entry stands in its group's set
    assert parts.tolist() == [[2, 3, 3, 0]]  # labels; and found; and drawn by frequency, in 0 draws


def test_a_neuron_weighs_what_its_chance_to_be_active_says():
    """Of 8 neurons 3 are found or labels and 2 of the other 5 are drawn: a drawn one stands for 5 / 2."""
    found = ActiveSet.of([[6, 7]])
    active, _, parts = complete(found, np.array([0, 1]), np.array([0], np.int32), 1, 5, 8, seed=0, step=1)
    weights = inclusion_weights(active, parts, found, RecentLabels(4, 8), others=np.zeros(1))
    np.testing.assert_allclose(weights, [2.5, 1, 1, 2.5, 2.5], rtol=1e-6)


def test_what_is_a_frequent_label_weighs_less():
    """Of the last 4 labels 2 were neuron 0, and others of the group have 2 label entries: it is missed by them with
    (1 - 2/4)**2 and by the uniform draw with 1 - 2/5, so its chance is 1 - 0.6 / 4."""
    recent = RecentLabels(4, 8)
    recent.add(np.array([0, 0, 1, 2], np.int32))
    found = ActiveSet.of([[6, 7]])
    active, _, parts = complete(found, np.array([0, 1]), np.array([0], np.int32), 1, 5, 8, seed=0, step=1)
    weights = inclusion_weights(active, parts, found, recent, others=np.full(1, 2.0))
    np.testing.assert_allclose(weights[:3], [1 / 0.85, 1, 1], rtol=1e-6)


def test_recent_labels_are_a_ring():
    recent = RecentLabels(3, 5)
    recent.add(np.array([4, 1], np.int32))
    recent.add(np.array([1, 0], np.int32))
    assert sorted(recent.ids) == [0, 1, 1]  # 0 took the place of 4
    assert recent.counts.tolist() == [1, 2, 0, 0, 0]
