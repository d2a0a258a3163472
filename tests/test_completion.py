"""What training adds to the neurons that a sampler found, and how many neurons each of them then stands for.

The set of a group is its labels, what was found, and draws by frequency and uniformly up to a minimum. Its weights make
a sum over active neurons an estimate of that over all.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide._kernels import inclusion
from slide.rows import ActiveSet
from slide.sampling import Uniform, base, complete, inclusion_weights
from slide.sampling.recent import RecentLabels
from tests.conftest import THREADS, assert_sets, read_only


@given(
    n=st.integers(1, 70), n_rows=st.integers(0, 9), group_size=st.integers(1, 5), minimum=st.integers(0, 90),
    most=st.integers(0, 6), threads=st.sampled_from(THREADS), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 3),
)  # fmt: skip
def test_sets_slots_and_parts_are_those_of_lists(n, n_rows, group_size, minimum, most, threads, seed, step):
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, n, rng.integers(0, most + 1)).tolist() for _ in range(n_rows)]
    found = [
        rng.permutation(n)[: rng.integers(0, min(n, 20) + 1)].tolist() for _ in range(-(-n_rows // group_size))
    ]
    pool, share = rng.integers(0, n, rng.integers(0, 40), dtype=np.int32), float(rng.choice([0.0, 0.4, 1.0]))
    both = ActiveSet.of(found), ActiveSet.of(labels)
    read_only(both[0].indptr, both[0].ids, both[1].indptr, both[1].ids, pool)
    for _ in range(2):  # the second call finds the scratch that the first one left
        active, slots, parts = complete(
            both[0], both[1].indptr, both[1].ids, group_size, minimum, n, seed, step, threads, pool, share
        )
        sets, expected_slots, expected_parts = reference.complete_rows(
            found, labels, pool, share, group_size, min(minimum, n), n, seed, step
        )
        assert_sets(active, sets)
        assert slots.dtype == np.int32 and slots.tolist() == expected_slots
        assert parts.tolist() == expected_parts


def test_in_prediction_there_are_no_labels():
    found = ActiveSet.of([[3, 1], [], [2]])
    assert_sets(complete(found, None, None, 4, 0, 5, 0, 0)[0], [[3, 1], [], [2]])
    active, slots, parts = complete(found, None, None, 4, 9, 5, 0, 0)
    assert parts.tolist() == [[0, 2, 2, 0], [0, 0, 0, 0], [0, 1, 1, 0]]
    assert [sorted(ids) for ids in active] == [[0, 1, 2, 3, 4]] * 3 and len(slots) == 0
    assert len(complete(ActiveSet.of([]), None, None, 1, 3, 5, 0, 0)[0]) == 0


def test_the_fill_is_uniform_and_not_the_uniform_sample():
    n, runs = 20, 4000
    fills = complete(ActiveSet.of([[0, 1]] * runs), None, None, 1, 6, n, 9, 1)[0].ids.reshape(runs, 6)[:, 2:]
    counts = np.bincount(fills.ravel(), minlength=n)[2:]
    expected = runs * 4 / 18
    # Draws without replacement: below chi-square with 17 degrees of freedom at 0.999.
    assert ((counts - expected) ** 2 / expected).sum() < 40.8
    drawn = Uniform(4).sample(None, None, runs, 1, n, 9, 1).ids.reshape(runs, 4)
    assert (drawn == fills).mean() < 0.1


def test_a_pool_is_drawn_from_by_frequency_and_never_asked_for_more_than_it_has():
    runs, pool = 3000, np.array([4, 4, 4, 9], np.int32)
    active, _, _ = complete(ActiveSet.of([[0]] * runs), None, None, 1, 2, 20, 5, 1, pool=pool)
    drawn = active.ids.reshape(runs, 2)[:, 1]
    # One draw a group: within 4 standard errors of 3/4, sqrt(3 / 16 / 3000).
    assert set(drawn) == {4, 9} and abs((drawn == 4).mean() - 0.75) < 0.032
    # Half of ten missing neurons from a pool that has two: after 20 draws each, 9 is missed with 0.75**20 = 0.003.
    active, _, parts = complete(ActiveSet.of([[0]] * runs), None, None, 1, 11, 20, 5, 1, pool=pool, pool_share=0.5)
    assert all(len(set(ids)) == 11 for ids in active)
    assert (parts[:, 3] == 20).all() and (parts[:, 2] == 3).mean() > 0.99
    with pytest.raises(ValueError, match="pool_share: found 2"):
        complete(ActiveSet.of([[0]]), None, None, 1, 2, 20, 5, 1, pool=pool, pool_share=2)


def recent(entries, n):
    labels = RecentLabels(max(len(entries), 1), n)
    labels.add(np.asarray(entries, np.int32))
    return labels


def test_recent_labels_forget_the_oldest_also_where_a_batch_is_larger_than_the_ring():
    ring = RecentLabels(5, 29)
    assert len(ring.ids) == 0 and ring.counts.tolist() == [0] * 29
    for batch in ([1, 2, 3], [4, 5, 6]):
        ring.add(np.array(batch, np.int32))
    assert sorted(ring.ids) == [2, 3, 4, 5, 6]
    other = RecentLabels(5, 29)
    other.load_state(ring.state())
    for each in (ring, other):
        each.add(np.arange(20, 29, dtype=np.int32))
        assert sorted(each.ids) == [24, 25, 26, 27, 28]
        assert each.counts.tolist() == [0] * 24 + [1] * 5
        each.add(np.array([3, 3], np.int32))
        assert each.counts.sum() == 5 and each.counts[3] == 2
    assert ring.ids.tolist() == other.ids.tolist()


@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(0, 6), st.sampled_from(THREADS))
def test_weights_are_those_of_the_formula(seed, n, n_groups, threads):
    rng = np.random.default_rng(seed)
    sets, found = ([rng.permutation(n)[: rng.integers(n + 1)] for _ in range(n_groups)] for _ in range(2))
    active, retrieved, counts = ActiveSet.of(sets), ActiveSet.of(found), rng.integers(0, 4, n).astype(np.int32)
    draws, missed = rng.integers(0, 50, n_groups).astype(np.float32), rng.random(n_groups, np.float32)
    weights, entries = np.empty(len(active.ids), np.float32), max(int(counts.sum()), 1)
    inclusion.inclusion_rows(*read_only(active.indptr, active.ids, retrieved.indptr, retrieved.ids, counts), entries,
                             *read_only(draws, missed), base.seen_scratch(threads, n), weights, threads)  # fmt: skip
    expected = reference.inclusion_rows(sets, found, counts / entries, draws.astype(float), missed.astype(float))
    np.testing.assert_allclose(weights, np.concatenate([*expected, []]), rtol=1e-5)


@pytest.mark.parametrize("uniformly", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_weighted_sum_over_active_neurons_estimates_that_over_all(uniformly, share):
    n, runs, group = 50, 4000, 3
    value, rng, chance = np.arange(1.0, n + 1), np.random.default_rng(0), 1 / np.arange(1.0, n + 1)
    chance /= chance.sum()
    found = Uniform(6).sample(None, None, runs, 1, n, 3, 1) if uniformly else ActiveSet.of([[0, 7, 30]] * runs)
    labels = rng.choice(n, runs * group, p=chance).astype(np.int32)
    pool = rng.choice(n, 20_000, p=chance).astype(np.int32)
    active, slots, parts = complete(
        found, np.arange(len(labels) + 1), labels, group, 16, n, 3, 1, None, pool, pool_share=share
    )
    known, others = None if uniformly else found, np.full(runs, group - 1.0)
    weights = inclusion_weights(active, parts, known, recent(pool, n), others)
    assert weights.dtype == np.float32 and (weights >= 1).all()
    certain = np.isin(active.ids, [0, 7, 30])
    assert uniformly or (weights[certain] == 1).all()
    terms = weights * value[active.ids]
    own = active.indptr[:-1] + slots[::group]  # of the first sample of each group: it is there in any case
    terms[own] = value[labels[::group]]
    sums = np.add.reduceat(terms, active.indptr[:-1])
    # Draws are taken as if they were independent, which leaves a bias of a few hundredths at most.
    assert abs(sums.mean() / value.sum() - 1) < 0.03


def test_where_all_are_active_each_stands_for_itself():
    active, _, parts = complete(ActiveSet.of([[3, 1], [2]]), None, None, 4, 5, 5, 0, 0)
    for found in (None, ActiveSet.of([[3, 1], [2]])):
        assert (inclusion_weights(active, parts, found, recent([0, 1, 2, 3, 4], 5), np.zeros(2)) == 1).all()


def test_a_label_that_could_not_have_been_drawn_stands_for_no_more_than_there_are():
    active, _, parts = complete(ActiveSet.of([[]]), np.array([0, 1]), np.array([3], np.int32), 1, 1, 8, 0, 0)
    assert inclusion_weights(active, parts, ActiveSet.of([[]]), recent([], 8), np.zeros(1)) == 8


@pytest.mark.parametrize(
    ("found", "label_ptr", "labels", "minimum", "n", "message"),
    [
        ([[1, 2]], [0, 1, 2], [1, 1], 0, 5, "labels_indptr: found 2 rows"),
        ([[1, 2]], [0, 3], [1, 1], 0, 5, "expected offsets from 0 to 2"),
        ([[1, 2]], [0, 1], [5], 0, 5, "labels_ids: found ids 5 to 5, expected 0 to 4"),
        ([[1, 2]], None, None, 0, 2, "retrieved: found ids 1 to 2, expected 0 to 1"),
        ([[1, 2]], None, None, -1, 5, "minimum: found -1"),
    ],
)
def test_what_does_not_fit_together_is_refused(found, label_ptr, labels, minimum, n, message):
    label_ptr, labels = (None, None) if labels is None else (np.array(label_ptr), np.array(labels, np.int32))
    with pytest.raises(ValueError, match=message):
        complete(ActiveSet.of(found), label_ptr, labels, 1, minimum, n, 0, 0)
