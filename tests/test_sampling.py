"""Samplers retrieve what the tables hold, and training completes it with labels and uniform draws."""

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide._kernels import inclusion
from slide.rows import ActiveSet, offsets
from slide.sampling import SAMPLERS, Full, Threshold, TopK, Uniform, Vanilla, base, complete, inclusion_weights
from slide.sampling.recent import RecentLabels
from slide.tables import HashTables
from tests.conftest import read_only

THREADS = st.sampled_from([1, 2, 8])
SEEDS = st.integers(0, 2**64 - 1)
STEPS = st.integers(0, 3)


def built(rng, n, L, bits, bucket_size=128):
    """Tables over n items, and what their buckets hold as lists."""
    codes = rng.integers(0, 2**bits, (n, L), dtype=np.uint32)
    tables = HashTables(n, L, bits, bucket_size, threads=1)
    tables.build(codes)
    return tables, reference.build_rows(codes.T, 2**bits, bucket_size, False, 0, 1)[0]


def lists(active):
    return [active[g].tolist() for g in range(len(active))]


def active_set(sets):
    ids = np.array([item for ids in sets for item in ids], dtype=np.int32)
    return ActiveSet(offsets([len(ids) for ids in sets]), ids)


def same(found, expected):
    assert found.indptr.dtype == np.int64 and found.ids.dtype == np.int32
    assert lists(found) == expected


@given(
    n=st.integers(1, 80),
    L=st.integers(1, 6),
    bits=st.integers(1, 5),
    n_rows=st.integers(0, 9),
    group_size=st.integers(1, 5),
    active=st.none() | st.integers(1, 100),
    m=st.integers(1, 4),
    threads=THREADS,
    seed=SEEDS,
    step=STEPS,
    counted=st.booleans(),
)
def test_retrieval_is_that_of_lists(n, L, bits, n_rows, group_size, active, m, threads, seed, step, counted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "ROOM", 0 if counted else base.ROOM)  # whether buckets are counted first
        check_retrieval(n, L, bits, n_rows, group_size, active, m, threads, seed, step)


def check_retrieval(n, L, bits, n_rows, group_size, active, m, threads, seed, step):
    rng = np.random.default_rng(seed)
    tables, held = built(rng, n, L, bits, bucket_size=9)
    codes = rng.integers(0, 2**bits, (n_rows, L), dtype=np.uint32)
    codes.flags.writeable = False
    arguments = tables, codes, n_rows, group_size, n, seed, step, threads
    limit = active or n
    expected = reference.vanilla_rows(codes.T, held, group_size, limit, seed, step)
    same(Vanilla(active).sample(*arguments), expected)
    same(TopK(active).sample(*arguments), reference.frequent_rows(codes.T, held, group_size, 1, limit))
    same(
        Threshold(active, m).sample(*arguments), reference.frequent_rows(codes.T, held, group_size, m, limit)
    )
    # The scratch that all of them share was left clean.
    same(Vanilla(active).sample(*arguments), expected)


def test_topk_and_threshold_by_hand():
    tables = HashTables(4, 3, 1, threads=1)
    tables.build(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 1]]))
    codes = np.zeros((1, 3), dtype=np.uint32)
    arguments = tables, codes, 1, 1, 4, 0, 0, 1
    same(TopK(2).sample(*arguments), [[0, 1]])
    same(TopK(3).sample(*arguments), [[0, 1, 3]])
    same(Threshold(None, 2).sample(*arguments), [[0, 1]])
    same(Threshold(None, 3).sample(*arguments), [[1]])
    same(Threshold(None, 4).sample(*arguments), [[]])
    same(Threshold(1, 2).sample(*arguments), [[1]])


def test_counts_saturate():
    tables = HashTables(2, 1, 1, threads=1)
    tables.build(np.array([[0], [1]]))
    codes = np.zeros((70_000, 1), dtype=np.uint32)
    codes[:3] = 1
    for m, expected in [(3, [[1, 0]]), (65_535, [[0]]), (65_536, [[]]), (10**12, [[]])]:
        same(Threshold(None, m).sample(tables, codes, 70_000, 70_000, 2, 0, 0, 1), expected)


def test_vanilla_visits_the_tables_in_every_order():
    L, steps = 3, 3000
    tables = HashTables(3, L, 2, threads=1)
    # Table t holds item t alone in bucket 0.
    tables.build(1 - np.eye(3, dtype=np.uint32))
    codes = np.zeros((2, L), dtype=np.uint32)
    orders = [
        tuple(ids)
        for step in range(steps // 2)
        for ids in lists(Vanilla().sample(tables, codes, 2, 1, 3, 7, step, 1))
    ]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 6
    # Chi-square with 5 degrees of freedom at 0.999.
    assert ((counts - steps / 6) ** 2 / (steps / 6)).sum() < 20.5


@given(
    n=st.integers(1, 60),
    n_rows=st.integers(0, 7),
    group_size=st.integers(1, 4),
    active=st.integers(1, 70),
    threads=THREADS,
    seed=SEEDS,
    step=STEPS,
)
def test_baselines(n, n_rows, group_size, active, threads, seed, step):
    n_groups = -(-n_rows // group_size)
    found = Uniform(active).sample(None, None, n_rows, group_size, n, seed, step, threads)
    same(found, reference.uniform_rows(n_groups, min(active, n), n, seed, step))
    assert all(len(set(ids)) == min(active, n) for ids in lists(found))
    same(Full().sample(None, None, n_rows, group_size, n, seed, step, threads), [list(range(n))] * n_groups)


@pytest.mark.parametrize("active", [3, 8])
def test_uniform_is_uniform(active):
    n, groups = 10, 20_000
    ids = Uniform(active).sample(None, None, groups, 1, n, 1, 1).ids
    expected = groups * active / n
    counts = np.bincount(ids, minlength=n)
    # Draws without replacement: below chi-square with 9 degrees of freedom at 0.999.
    assert ((counts - expected) ** 2 / expected).sum() < 27.9
    pairs = np.zeros((n, n))
    for row in ids.reshape(groups, active)[:4000]:
        pairs[np.ix_(row, row)] += 1
    each = pairs[np.triu_indices(n, 1)]
    assert np.abs(each / 4000 - active * (active - 1) / (n * (n - 1))).max() < 0.04


@given(
    n=st.integers(1, 70),
    n_rows=st.integers(0, 9),
    group_size=st.integers(1, 5),
    minimum=st.integers(0, 90),
    most=st.integers(0, 6),
    threads=THREADS,
    seed=SEEDS,
    step=STEPS,
)
def test_completion_is_that_of_lists(n, n_rows, group_size, minimum, most, threads, seed, step):
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, n, rng.integers(0, most + 1)).tolist() for _ in range(n_rows)]
    retrieved = [
        rng.permutation(n)[: rng.integers(0, min(n, 20) + 1)].tolist()
        for _ in range(-(-n_rows // group_size))
    ]
    both = active_set(retrieved), active_set(labels)
    for array in (both[0].indptr, both[0].ids, both[1].indptr, both[1].ids):
        array.flags.writeable = False
    pool, share = rng.integers(0, n, rng.integers(0, 40), dtype=np.int32), float(rng.choice([0.0, 0.4, 1.0]))
    pool.flags.writeable = False
    for _ in range(2):
        active, slots, parts = complete(
            both[0], both[1].indptr, both[1].ids, group_size, minimum, n, seed, step, threads, pool, share
        )
        sets, expected_slots, expected_parts = reference.complete_rows(
            retrieved, labels, pool, share, group_size, min(minimum, n), n, seed, step
        )
        same(active, sets)
        assert slots.dtype == np.int32 and slots.tolist() == expected_slots
        assert parts.tolist() == expected_parts


def test_completion_without_labels():
    retrieved = active_set([[3, 1], [], [2]])
    same(complete(retrieved, None, None, 4, 0, 5, 0, 0)[0], [[3, 1], [], [2]])
    active, slots, parts = complete(retrieved, None, None, 4, 9, 5, 0, 0)
    assert parts.tolist() == [[0, 2, 2, 0], [0, 0, 0, 0], [0, 1, 1, 0]]
    assert [sorted(ids) for ids in lists(active)] == [list(range(5))] * 3 and len(slots) == 0
    empty = complete(active_set([]), None, None, 1, 3, 5, 0, 0)[0]
    assert len(empty) == 0


def recent(entries, n):
    labels = RecentLabels(max(len(entries), 1), n)
    labels.add(np.asarray(entries, np.int32))
    return labels


@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(0, 6), st.sampled_from([1, 2, 8]))
def test_inclusion_weights_agree_with_numpy(seed, n, n_groups, threads):
    rng = np.random.default_rng(seed)
    sets, found = ([rng.permutation(n)[: rng.integers(n + 1)] for _ in range(n_groups)] for _ in range(2))
    active, retrieved, counts = active_set(sets), active_set(found), rng.integers(0, 4, n).astype(np.int32)
    draws, missed = rng.integers(0, 50, n_groups).astype(np.float32), rng.random(n_groups, np.float32)
    weights, entries = np.empty(len(active.ids), np.float32), max(int(counts.sum()), 1)
    inclusion.inclusion_rows(*read_only(active.indptr, active.ids, retrieved.indptr, retrieved.ids, counts), entries,
                             *read_only(draws, missed), base.seen_scratch(threads, n), weights, threads)  # fmt: skip
    expected = reference.inclusion_rows(sets, found, counts / entries, draws, missed)
    np.testing.assert_allclose(weights, np.concatenate([*expected, []]), rtol=1e-3)


@pytest.mark.parametrize("uniformly", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_weights_make_the_sum_over_active_neurons_that_over_all(uniformly, share):
    n, runs, group = 50, 4000, 3
    value, rng, chance = np.arange(1.0, n + 1), np.random.default_rng(0), 1 / np.arange(1.0, n + 1)
    chance /= chance.sum()
    found = Uniform(6).sample(None, None, runs, 1, n, 3, 1) if uniformly else active_set([[0, 7, 30]] * runs)
    labels = rng.choice(n, runs * group, p=chance).astype(np.int32)
    pool = rng.choice(n, 20_000, p=chance).astype(np.int32)
    active, slots, parts = complete(
        found, np.arange(len(labels) + 1), labels, group, 16, n, 3, 1, None, pool, pool_share=share
    )
    known, others = None if uniformly else found, np.full(runs, group - 1.0)
    weights = inclusion_weights(active, parts, known, recent(pool, n), others)
    assert weights.dtype == np.float32 and (weights > 0.99).all()
    certain = np.isin(active.ids, [0, 7, 30])
    assert uniformly or (weights[certain] == 1).all()
    terms = weights * value[active.ids]
    own = active.indptr[:-1] + slots[::group]  # of the first sample of each group: it is there in any case
    terms[own] = value[labels[::group]]
    sums = np.add.reduceat(terms, active.indptr[:-1])
    assert abs(sums.mean() / value.sum() - 1) < 0.03


def test_a_label_that_could_not_have_been_drawn_has_a_finite_weight():
    active, _, parts = complete(active_set([[]]), np.array([0, 1]), np.array([3], np.int32), 1, 1, 8, 0, 0)
    assert inclusion_weights(active, parts, active_set([[]]), recent([], 8), np.zeros(1)) == 8


def test_a_pool_is_drawn_from_by_frequency_and_never_asked_for_more_than_it_has():
    runs, pool = 3000, np.array([4, 4, 4, 9], np.int32)
    active, _, _ = complete(active_set([[0]] * runs), None, None, 1, 2, 20, 5, 1, pool=pool)
    drawn = active.ids.reshape(runs, 2)[:, 1]
    assert set(drawn) == {4, 9} and abs((drawn == 4).mean() - 0.75) < 0.04
    active, _, _ = complete(active_set([[0]] * runs), None, None, 1, 11, 20, 5, 1, pool=pool, pool_share=0.5)
    assert all(len(set(ids)) == 11 for ids in lists(active))
    assert np.mean([{4, 9} <= set(ids) for ids in lists(active)]) > 0.98
    with pytest.raises(ValueError, match="pool_share: found 2"):
        complete(active_set([[0]]), None, None, 1, 2, 20, 5, 1, pool=pool, pool_share=2)


def test_recent_labels_are_a_ring():
    recent = RecentLabels(5, 29)
    assert len(recent.ids) == 0 and recent.counts.tolist() == [0] * 29
    recent.add(np.array([1, 2, 3], np.int32))
    assert recent.ids.tolist() == [1, 2, 3]
    recent.add(np.array([4, 5, 6], np.int32))
    assert sorted(recent.ids) == [2, 3, 4, 5, 6]
    other = RecentLabels(5, 29)
    other.load_state(recent.state())
    for ring in (recent, other):
        ring.add(np.arange(20, 29, dtype=np.int32))
        assert sorted(ring.ids) == [24, 25, 26, 27, 28]
        assert ring.counts[[4, 28, 24]].tolist() == [0, 1, 1]
        ring.add(np.array([3, 3], np.int32))
        assert ring.counts.sum() == 5 and ring.counts[3] == 2
    assert recent.ids.tolist() == other.ids.tolist()


def test_weights_where_all_are_active_are_one():
    active, _, parts = complete(active_set([[3, 1], [2]]), None, None, 4, 5, 5, 0, 0)
    for found in (None, active_set([[3, 1], [2]])):
        assert (inclusion_weights(active, parts, found, recent([0, 1, 2, 3, 4], 5), np.zeros(2)) == 1).all()


def test_the_fill_is_uniform_and_not_the_uniform_sample():
    n, runs = 20, 4000
    fills = complete(active_set([[0, 1]] * runs), None, None, 1, 6, n, 9, 1)[0].ids.reshape(runs, 6)[:, 2:]
    counts = np.bincount(fills.ravel(), minlength=n)[2:]
    expected = runs * 4 / 18
    assert ((counts - expected) ** 2 / expected).sum() < 40.8
    drawn = Uniform(4).sample(None, None, runs, 1, n, 9, 1).ids.reshape(runs, 4)
    assert (drawn == fills).mean() < 0.1


def test_threads_and_python_threads_change_nothing():
    rng = np.random.default_rng(0)
    tables, _ = built(rng, 3000, 8, 6)
    codes = rng.integers(0, 64, (100, 8), dtype=np.uint32)
    samplers = [Vanilla(90), TopK(50), Threshold(None, 2), Uniform(1000)]

    def all_sets(threads):
        return [lists(s.sample(tables, codes, 100, 7, 3000, 1, 2, threads)) for s in samplers]

    expected, found = all_sets(1), []
    assert all_sets(2) == expected and all_sets(8) == expected
    workers = [threading.Thread(target=lambda: found.extend(all_sets(2) for _ in range(5))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 15 and all(sets == expected for sets in found)


def test_samplers_are_their_settings():
    assert set(SAMPLERS) == {"vanilla", "topk", "threshold", "uniform", "full"}
    for sampler in (Vanilla(5), TopK(), Threshold(3, m=4), Uniform(6), Full()):
        for twin in (
            type(sampler)(**vars(sampler)),
            copy.deepcopy(sampler),
            pickle.loads(pickle.dumps(sampler)),
        ):
            assert vars(twin) == vars(sampler)
    assert repr(Threshold(3)) == "Threshold(active=3, m=2)"
    assert [name for name, s in SAMPLERS.items() if not s.needs_tables] == ["uniform", "full"]
    assert [name for name, s in SAMPLERS.items() if s.dense] == ["full"]


@pytest.mark.parametrize(
    "make", [lambda: Vanilla(0), lambda: TopK(-1), lambda: Uniform(None), lambda: Vanilla(2.5)]
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match="active: found .*, expected an integer of at least 1"):
        make()
    with pytest.raises(ValueError, match="m: found 0"):
        Threshold(m=0)


def test_bad_input_is_refused():
    tables, _ = built(np.random.default_rng(0), 20, 3, 2)
    codes = np.zeros((4, 3), dtype=np.uint32)
    for arguments, message in [
        ((None, codes, 4, 1, 20), "tables: found None"),
        ((tables, None, 4, 1, 20), "codes: found None"),
        ((tables, codes, 5, 1, 20), "codes: found 4 rows, expected n_rows = 5"),
        ((tables, codes, 4, 0, 20), "group_size: found 0"),
        ((tables, codes, 4, 1, 21), "tables: found 20 items"),
        ((tables, codes[:, :2], 4, 1, 20), "codes: found shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            Vanilla().sample(*arguments, 0, 0)
    one = active_set([[1, 2]])
    for arguments, message in [
        ((one, np.array([0, 1, 2]), np.array([1, 1], np.int32), 1, 0, 5), "labels_indptr: found 2 rows"),
        ((one, np.array([0, 3]), np.array([1, 1], np.int32), 1, 0, 5), "expected offsets from 0 to 2"),
        (
            (one, np.array([0, 1]), np.array([5], np.int32), 1, 0, 5),
            "labels_ids: found ids 5 to 5, expected 0 to 4",
        ),
        ((one, None, None, 1, 0, 2), "retrieved: found ids 1 to 2, expected 0 to 1"),
        ((one, None, None, 1, -1, 5), "minimum: found -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            complete(*arguments, 0, 0)
